//! The contract as it was first released, and rules for it. Knows how they become a core module.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub const WIT: &str = include_str!("v0.1/rules.wit");
pub const RULES: &str = include_str!("v0.1/rules.wat");

/// Rules as a toolchain leaves them: a core module that names its world.
pub fn module(wit: &str, rules: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("rules.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = wat::parse_str(rules).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}
