//! The smallest wrapper there can be: it passes every question on to the rules it imports.
//!
//! What is too much for registers lies in memory alike for who is asked and who asks, so a pointer is all that moves.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const MODULE: &str = r#"(module
    (import "tandem:rules/rules@0.1.0" "describe" (func $describe (param i32)))
    (import "tandem:rules/rules@0.1.0" "configure" (func $configure (param i32 i32 i32)))
    (import "tandem:rules/rules@0.1.0" "schema" (func $schema (param i32)))
    (import "tandem:rules/rules@0.1.0" "pulls" (func $pulls (param i32)))
    (import "tandem:rules/rules@0.1.0" "ask-page" (func $ask_page
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tandem:rules/rules@0.1.0" "read-page" (func $read_page
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tandem:rules/rules@0.1.0" "key" (func $key
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "tandem:rules/rules@0.1.0" "step" (func $step (param i32 i32)))
    (memory (export "memory") 1)
    ;; Answers lie in the first 256 bytes, what is handed over behind them. Nothing is ever freed.
    (global $next (mut i32) (i32.const 256))
    (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get $new)))
        (loop $more
            (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
                (then
                    (if (i32.eq (memory.grow (memory.size)) (i32.const -1)) (then unreachable))
                    (br $more))))
        (memory.copy (local.get $at) (local.get $old) (local.get $size))
        (local.get $at))
    (func (export "tandem:rules/rules@0.1.0#describe") (result i32)
        (call $describe (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#configure") (param i32 i32) (result i32)
        (call $configure (local.get 0) (local.get 1) (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#schema") (result i32)
        (call $schema (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#pulls") (result i32)
        (call $pulls (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#ask-page") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (call $ask_page (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
            (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10) (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#read-page")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (call $read_page (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
            (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11)
            (local.get 12) (local.get 13) (local.get 14) (local.get 15) (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#key")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (call $key (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6)
            (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11) (local.get 12) (local.get 13)
            (i32.const 0))
        (i32.const 0))
    (func (export "tandem:rules/rules@0.1.0#step") (param i32) (result i32)
        (call $step (local.get 0) (i32.const 0))
        (i32.const 0)))"#;

pub fn component() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("rules.wit", include_str!("../../wit/v0.1/rules.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("wrapper")).unwrap();
    let mut module = wat::parse_str(MODULE).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}
