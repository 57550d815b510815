//! Whether a host would take a component, before anything of it runs: what it is large in, and what it would have the host
//! keep for it. The same for all who build, test, deploy and serve it.
//!
//! Knows the limits of a slot; what a component may import is checked where that is linked.

use anyhow::{anyhow, bail};
use wasmparser::{CanonicalFunction, Parser, Payload};

use crate::engine::{MEMORIES_MAX, MEMORY_BYTES_MAX, PARTS_MAX, TABLE_ELEMENTS_MAX};

/// Longest component that is taken: ten times the default rules.
pub const COMPONENT_BYTES_MAX: usize = 16 << 20;

/// Refuses what no limit of an ask would see.
pub fn check(component: &[u8]) -> anyhow::Result<()> {
    if component.len() > COMPONENT_BYTES_MAX {
        bail!(
            "the component has {} bytes; {COMPONENT_BYTES_MAX} are allowed\nhint: leave out data and libraries that it does not need, and optimise it for size",
            component.len()
        );
    }
    for payload in Parser::new(0).parse_all(component) {
        // Whoever compiles it says what is wrong with it.
        let Ok(payload) = payload else { return Ok(()) };
        let Payload::ComponentCanonicalSection(functions) = payload else { continue };
        if functions.into_iter().flatten().any(|function| matches!(function, CanonicalFunction::ResourceNew { .. })) {
            bail!(
                "the component makes resources, which the host would have to keep for it, without a limit\nhint: keep objects inside the component: rules are given and give plain values"
            );
        }
    }
    Ok(())
}

/// Why wasmtime did not compile it.
pub fn refused(error: &wasmtime::Error) -> anyhow::Error {
    let said: Vec<_> = error.chain().map(ToString::to_string).collect();
    let has = |text: &str| said.iter().any(|said| said.contains(text));
    let more = if has("core module instances") {
        format!("has more than {PARTS_MAX} core instances")
    } else if has("linear memories") {
        format!("has more than {MEMORIES_MAX} memories")
    } else if has("tables, which exceeds") {
        format!("has more than {PARTS_MAX} tables")
    } else if has("module memory does not fit") {
        format!("begins with a memory of more than {} MiB", MEMORY_BYTES_MAX >> 20)
    } else if has("module table does not fit") {
        format!("begins with a table of more than {TABLE_ELEMENTS_MAX} elements")
    } else if has("does not fit in pooling allocator") {
        "has more functions, globals and imports than a host keeps room for".to_owned()
    } else {
        return anyhow!(
            "the component is not valid here: {}\nhint: it may have been cut off, or built for another target than wasm32-unknown-unknown",
            error.root_cause()
        );
    };
    anyhow!(
        "the component {more}: no host would take it\nhint: it brings along more of a language than rules need; plugins in Rust and JavaScript fit (`tandem new`)"
    )
}
