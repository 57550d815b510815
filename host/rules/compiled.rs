//! Compiled code of a component, so that it is made once: what may be kept of it, and making a plugin of that again.
//!
//! Knows when code may be trusted; not where it is kept.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use anyhow::Context;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::{Plugin, digest, fit};

/// Digits of the digest of shared code, with which compiled code begins that goes with it; without any, there are none.
const DIGEST_DIGITS: usize = 64;

/// Compiled code, and the digest of exactly these bytes.
pub struct Compiled {
    pub code: Vec<u8>,
    pub sha256: String,
    /// What it has in common with others of its base.
    pub shared: Option<Shared>,
}

/// The compiled code of a module that components share.
pub struct Shared {
    /// Of the module.
    pub digest: String,
    pub code: Vec<u8>,
    /// Of the code.
    pub sha256: String,
}

/// A module that components share, loaded.
pub struct Code {
    digest: String,
    module: Module,
}

/// What code was compiled for: this host's version, wasmtime's, its settings, and what the processor can do.
pub fn host(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

/// The digest of the code that this compiled component goes with.
pub fn shared_by(compiled: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(compiled.get(..DIGEST_DIGITS)?).ok()?;
    Some(digits.to_owned()).filter(|digits| !digits.starts_with(' '))
}

impl Code {
    pub(super) fn new(engine: &Engine, module: &[u8]) -> anyhow::Result<Self> {
        let compiled = Module::new(engine, module).map_err(|error| fit::refused(&error))?;
        Ok(Self { digest: digest(module), module: compiled })
    }

    /// Of code that was kept, as [`Plugin::load_compiled`] does it.
    pub fn load(engine: &Engine, module: &str, code: &[u8], sha256: &str) -> Option<Self> {
        if digest(code) != sha256 {
            return None;
        }
        match deserialize(engine, Kind::Module, code)? {
            Deserialized::Module(compiled) => Some(Self { digest: module.to_owned(), module: compiled }),
            Deserialized::Component(_) => None,
        }
    }

    pub(super) fn module(&self) -> &Module {
        &self.module
    }

    /// Bytes of memory that it takes up.
    pub fn bytes(&self) -> usize {
        let image = self.module.image_range();
        image.end.addr() - image.start.addr()
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Plugin {
    /// Its code, to be kept.
    pub fn compiled(&self) -> anyhow::Result<Compiled> {
        let taking = || "taking the compiled code";
        let own = self.inner.pre.component().serialize().map_err(anyhow::Error::from).with_context(taking)?;
        let shared = match &self.inner.code {
            Some(shared) => {
                let code = shared.module.serialize().map_err(anyhow::Error::from).with_context(taking)?;
                Some(Shared { digest: shared.digest.clone(), sha256: digest(&code), code })
            }
            None => None,
        };
        let goes_with = shared.as_ref().map_or_else(|| " ".repeat(DIGEST_DIGITS), |shared| shared.digest.clone());
        let code = [goes_with.as_bytes(), &own].concat();
        Ok(Compiled { sha256: digest(&code), code, shared })
    }

    /// Bytes of memory that its own code takes up while it is loaded, data it begins with included.
    pub fn code_bytes(&self) -> usize {
        let image = self.inner.pre.component().image_range();
        image.end.addr() - image.start.addr()
    }

    /// The code that it shares with others, if it does.
    pub fn shared_code(&self) -> Option<&Arc<Code>> {
        self.inner.code.as_ref()
    }

    /// Makes the version of this digest of code that was kept, and of what it shares with others. `None`: these are not the
    /// bytes whose `sha256` was noted when they were compiled, or they were compiled for another host.
    pub fn load_compiled(
        engine: &Engine,
        version: &str,
        code: &[u8],
        sha256: &str,
        shared: Option<Arc<Code>>,
    ) -> anyhow::Result<Option<Self>> {
        if digest(code) != sha256 || shared_by(code).as_deref() != shared.as_ref().map(|shared| shared.digest()) {
            return Ok(None);
        }
        match code.get(DIGEST_DIGITS..).and_then(|code| deserialize(engine, Kind::Component, code)) {
            Some(Deserialized::Component(component)) => {
                Self::around(engine, &component, version.to_owned(), shared).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// What compiled code is of.
#[derive(Clone, Copy)]
enum Kind {
    Component,
    Module,
}

enum Deserialized {
    Component(Component),
    Module(Module),
}

#[allow(unsafe_code, reason = "compiled code cannot be loaded otherwise; the argument stands in the function")]
fn deserialize(engine: &Engine, kind: Kind, code: &[u8]) -> Option<Deserialized> {
    // SAFETY: wasmtime runs what it is given here as it is, so it must be what wasmtime has compiled. It is: the host
    // that compiled it, or had this same program compile it as its child, noted its digest in the journal, and the caller
    // has found these very bytes, in memory where nobody changes them any more, to have that digest. Writing the folder they
    // come from is not enough to be run; writing the journal too would be, and the journal is the host's own. wasmtime
    // itself refuses what another version, other settings or another processor made.
    unsafe {
        match kind {
            Kind::Component => Component::deserialize(engine, code).ok().map(Deserialized::Component),
            Kind::Module => Module::deserialize(engine, code).ok().map(Deserialized::Module),
        }
    }
}
