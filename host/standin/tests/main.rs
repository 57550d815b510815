//! The stand-ins, asked over sockets: one program, so that they are linked once.

mod kit;

mod addresses;
mod apps;
mod bulk;
mod customers;
mod delivery;
mod lists;
mod members;
mod merchant;
mod merges;
mod omneo;
mod orders;
mod past;
mod recordings;
mod shopify;
mod storefront;
mod whole;
