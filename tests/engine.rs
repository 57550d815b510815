//! Rules in the engine, with no host around them: one program, so that the engine is linked once for all of these.

mod admin_schema;
mod wrapper;

mod any_text;
mod compat;
mod compose;
mod large_orders;
mod order_pairs;
mod orders;
mod real_payloads;
mod schemas;
mod split;
