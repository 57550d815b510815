//! Rules in a page of text that do one thing in their key, over and over: what no toolchain would make.
//!
//! Knows the contract's encoding; not what is expected of who is asked.

use tandem::compose;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where texts lie that are handed over, behind everything else.
const ROOM: u32 = 65_536;

/// A module of the world `plugin` or `wrapper`. Its memory begins with zeros: an answer at 0 is the empty one of its kind.
/// It listens to `shopify` `orders/paid`.
fn module(imports: &str, pages: u32, items: &str, [key, step]: [&str; 2]) -> String {
    let inner = if imports.contains("rules/rules") { "(call $inner_describe (i32.const 0))" } else { "" };
    // What imports nothing is inside, and in an encoding of its own: it says nothing.
    let manifest = if imports.is_empty() { 400 } else { 504 };
    format!(
        r#"(module
    {imports}
    (memory (export "memory") {pages})
    (table $table 10 100000 funcref)
    (elem $many funcref (ref.func $nothing) (ref.func $nothing) (ref.func $nothing) (ref.func $nothing))
    (data $some "0123456789abcdef")
    {items}
    (data (i32.const 520) "\00\03\00\00\01\00\00\00")
    (data (i32.const 640) "\00\00\00\00\a0\02\00\00\01\00\00\00")
    (data (i32.const 672) "\b0\02\00\00\0f\00\00\00")
    (data (i32.const 688) "shopify/order/7")
    (data (i32.const 768) "\10\03\00\00\07\00\00\00\17\03\00\00\0b\00\00\00shopifyorders/paid")
    (func $nothing)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const {ROOM}))
    (func (export "tandem:rules/rules@0.1.0#describe") (result i32) {inner}
        (i32.const {manifest}))
    (func (export "tandem:rules/rules@0.1.0#configure") (param i32 i32) (result i32) (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#schema") (result i32) (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#pulls") (result i32) (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#ask-page")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#read-page")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#step") (param i32) (result i32)
        {step}
        (i32.const 256))
    (func (export "tandem:rules/rules@0.1.0#key")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        {key}
        (i32.const 256)))"#
    )
}

fn component(world: &str, module: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("rules.wit", include_str!("../../wit/v0.1/rules.wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// Rules whose key does this, with these items of a module beside it.
pub fn rules(items: &str, key: &str) -> Vec<u8> {
    let log = r#"(import "tandem:rules/host@0.1.0" "log" (func $log (param i32 i32)))"#;
    component("plugin", &module(log, 80, items, [key, ""]), StringEncoding::UTF8)
}

/// Rules whose key does this for ever.
pub fn for_ever(what: &str) -> Vec<u8> {
    rules("", &format!("(loop $again {what} (br $again))"))
}

/// Rules in two parts, of which one hands a text to the other for ever: as long as memory allows, in another encoding.
pub fn parts() -> Vec<u8> {
    in_parts(|for_ever| [for_ever, ""])
}

/// Answers the question for the key with one name.
const ONE_NAME: &str = "(return (i32.const 640))";

/// The same, once an event has begun.
pub fn parts_in_step() -> Vec<u8> {
    in_parts(|for_ever| [ONE_NAME, for_ever])
}

fn in_parts(place: impl Fn(&str) -> [&str; 2]) -> Vec<u8> {
    let import = r#"
    (import "tandem:rules/rules@0.1.0" "describe" (func $inner_describe (param i32)))
    (import "tandem:rules/rules@0.1.0" "key" (func $inner_key
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
    let nothing = "(i32.const 0) (i32.const 0)";
    let for_ever = format!(
        "(loop $again
            (call $inner_key {nothing} {nothing} {nothing} {nothing} {nothing} {nothing}
                (i32.const {ROOM}) (i32.const {}) (i32.const 300))
            (br $again))",
        3 << 20
    );
    let wrapper = component("wrapper", &module(import, 80, "", place(&for_ever)), StringEncoding::UTF8);
    let inner = component("plugin", &module("", 160, "", ["", ""]), StringEncoding::UTF16);
    compose::around(&wrapper, &inner).unwrap()
}
