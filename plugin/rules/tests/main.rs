//! The tests that run the default rules natively. They form one program, so that they are linked once.

mod conversation;
mod world;

mod addresses;
mod any_input;
mod any_text;
mod branches;
mod computed;
mod deletions;
mod erasures;
mod forgotten;
mod histories;
mod holds;
mod interleavings;
mod locations;
mod merges;
mod no_answer;
mod one_road;
mod order_answers;
mod order_lives;
mod orders;
mod people;
mod people_settings;
mod product_lives;
mod products;
mod pulls;
mod refunds;
mod refunds_alone;
mod schema;
mod settings;
mod speakers;
mod successors;
mod sums;
mod worth;
