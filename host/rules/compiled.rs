//! Compiled code of a component, so that it is made once: what may be kept of it, and making a plugin of that again.
//!
//! Knows when code may be trusted; not where it is kept.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Context;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Plugin, digest};

/// Compiled code, and the digest of exactly these bytes.
pub struct Compiled {
    pub code: Vec<u8>,
    pub sha256: String,
}

/// What code was compiled for: this host's version, wasmtime's, its settings, and what the processor can do.
pub fn host(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

impl Plugin {
    /// Its code, to be kept.
    pub fn compiled(&self) -> anyhow::Result<Compiled> {
        let code =
            self.inner.pre.component().serialize().map_err(anyhow::Error::from).context("taking the compiled code")?;
        Ok(Compiled { sha256: digest(&code), code })
    }

    /// Bytes of memory that its code takes up while it is loaded, data it begins with included.
    pub fn code_bytes(&self) -> usize {
        let image = self.inner.pre.component().image_range();
        image.end.addr() - image.start.addr()
    }

    /// Makes the version of this digest of code that was kept. `None`: these are not the bytes whose `sha256` was noted
    /// when they were compiled, or they were compiled for another host.
    pub fn load_compiled(engine: &Engine, version: &str, code: &[u8], sha256: &str) -> anyhow::Result<Option<Self>> {
        match deserialize(engine, code, sha256) {
            Some(component) => Self::around(engine, &component, version.to_owned()).map(Some),
            None => Ok(None),
        }
    }
}

#[allow(unsafe_code, reason = "compiled code cannot be loaded otherwise; the argument stands in the function")]
fn deserialize(engine: &Engine, code: &[u8], sha256: &str) -> Option<Component> {
    if digest(code) != sha256 {
        return None;
    }
    // SAFETY: wasmtime runs what it is given here as it is, so it must be what wasmtime has compiled. It is: the host
    // that compiled it, or had this same program compile it as its child, noted `sha256` in the journal, and these very
    // bytes, in memory where nobody changes them any more, have that digest. Writing the folder they come from is not enough to be run; writing the journal too would
    // be, and the journal is the host's own. wasmtime itself refuses what another version, other settings or another
    // processor made.
    unsafe { Component::deserialize(engine, code) }.ok()
}
