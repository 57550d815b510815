//! Compiled code: taken from the folder if the journal vouches for it, and compiled again if not. Code that versions
//! share is loaded once.
//!
//! Knows what is kept where; not whose version it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, bail};
use tokio::runtime::Handle;

use super::{Registry, folder};
use crate::compile::{Made, Source};
use crate::engine::Engine;
use crate::rules::{self, Code, Compiled, Plugin};

/// Code that versions share, by the digest of its module. It stays in memory as long as one of these versions does.
#[derive(Default)]
pub struct Codes(Mutex<HashMap<String, Weak<Code>>>);

impl Registry {
    /// Loads a version on an engine. On an engine of the caller's own, it takes no instance from live events. The code
    /// is the one that was compiled when the version was deployed, if that is still there. Blocks.
    pub fn load_on(&self, engine: &Engine, digest: &str) -> anyhow::Result<Plugin> {
        let (journal, inner) = (&self.0.journal, &self.0);
        let noted = journal.read(|reader| reader.compiled(digest))?;
        if let Some((_, sha256)) = noted.filter(|(host, _)| *host == inner.host)
            && let Some(code) = folder::read(&inner.folder, digest)
        {
            let shared = rules::shared_by(&code).and_then(|shared| self.code(engine, &shared));
            if let Some(plugin) = Plugin::load_compiled(engine, digest, &code, &sha256, shared)? {
                return Ok(plugin);
            }
            tracing::warn!(version = digest, "its compiled code is not what was kept: it is compiled again");
        }
        let component = journal.read(|reader| reader.component(digest))?;
        let component = component.with_context(|| format!("version `{digest}` is not kept here"))?;
        if rules::digest(&component) != digest {
            bail!("version `{digest}` is not what was deployed: the journal is damaged");
        }
        let made = inner.compiler.compile_now(Source::Component(component))?;
        self.keep_code(digest, &made);
        self.load_made(engine, digest, &made)
    }

    /// Freezes a rules file into a version, and loads the result on an engine of the caller's. Nothing of it is kept.
    /// Blocks.
    pub fn freeze(&self, engine: &Engine, digest: &str, file: &str, text: &str) -> anyhow::Result<Plugin> {
        let base = self.0.journal.read(|reader| reader.component(digest))?;
        let made = self.0.compiler.compile_now(Source::Rules { file: file.into(), text: text.into(), base })?;
        self.load_made(engine, &rules::digest(&made.component), &made)
    }

    /// Loads what was just compiled.
    fn load_made(&self, engine: &Engine, digest: &str, made: &Made) -> anyhow::Result<Plugin> {
        let compiled = &made.compiled;
        let shared = compiled.shared.as_ref().and_then(|shared| {
            let kept = self.code(engine, &shared.digest);
            kept.or_else(|| Code::load(engine, &shared.digest, &shared.code, &shared.sha256).map(Arc::new))
        });
        let plugin = Plugin::load_compiled(engine, digest, &compiled.code, &compiled.sha256, shared)?;
        plugin.with_context(|| format!("the code of version `{digest}` was compiled for another host than this"))
    }

    /// Code that versions share. On the engine of live events it is loaded once, and stays as long as one of these
    /// versions does.
    fn code(&self, engine: &Engine, digest: &str) -> Option<Arc<Code>> {
        let inner = &self.0;
        let is_live = Engine::same(engine, &inner.engine);
        let mut codes = inner.codes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = codes.get(digest).filter(|_| is_live).and_then(Weak::upgrade) {
            return Some(code);
        }
        let (host, sha256) = inner.journal.read(|reader| reader.compiled(digest)).ok()??;
        let kept = folder::read(&inner.folder, digest).filter(|_| host == inner.host)?;
        let code = Arc::new(Code::load(engine, digest, &kept, &sha256)?);
        if is_live {
            codes.retain(|_, code| code.strong_count() > 0);
            codes.insert(digest.to_owned(), Arc::downgrade(&code));
        }
        Some(code)
    }

    /// Keeps compiled code for the next time. If that fails, the next load is merely slower. Blocks.
    pub(super) fn keep_code(&self, digest: &str, made: &Made) {
        let (inner, Compiled { code, sha256, shared }) = (&self.0, &made.compiled);
        let keep = |digest: &str, code: &[u8], sha256: &str| {
            folder::write(&inner.folder, digest, code)?;
            // A file without this note, or with another one's, is not trusted.
            Handle::current().block_on(inner.journal.note_compiled(digest, &inner.host, sha256))
        };
        let kept = keep(digest, code, sha256).and_then(|()| match shared {
            Some(shared) => keep(&shared.digest, &shared.code, &shared.sha256),
            None => Ok(()),
        });
        if let Err(error) = kept {
            tracing::warn!(version = digest, blame = "host", "its compiled code could not be kept: {error:#}");
        }
    }
}
