//! Compiles what was sent: in a process of its own that is held to limits, or in this one.
//!
//! Knows what is made of a component or a rules file; not whose version it becomes, nor where it is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::bake::{self, Baked, Refused};
use crate::engine;
use crate::rules::{Compiled, Manifest, Plugin};

mod child;

pub use child::{Limits, answer, confine};

/// How many are compiled at a time; more wait. Each may take all cores, and as much memory as [`Limits`] says.
const AT_ONCE_MAX: usize = 2;

/// What is to be compiled.
#[derive(Debug)]
pub enum Source {
    /// A component, or a core module that carries the plugin world.
    Component(Vec<u8>),
    /// A rules file, by its name and text, and the component to freeze it into; without one, the default rules.
    Rules { file: String, text: String, base: Option<Vec<u8>> },
}

/// A component that was compiled, checked and instantiated once.
pub struct Made {
    pub component: Vec<u8>,
    pub manifest: Manifest,
    pub compiled: Compiled,
    /// Doubts about the rules file, ready to print; usually empty.
    pub warnings: String,
}

/// Mistakes in a rules file, ready to print: place, line, caret and fix.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Mistakes(pub String);

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Compiler {
    way: Way,
    turns: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Way {
    Here,
    Child { program: PathBuf, limits: Limits },
}

impl Compiler {
    /// Compiles in this process: for what the operator of the host has written, and for tests.
    pub fn here() -> Self {
        Self::by(Way::Here)
    }

    /// Compiles in a process of its own, with this `tandem`.
    pub fn child(program: PathBuf, limits: Limits) -> Self {
        Self::by(Way::Child { program, limits })
    }

    fn by(way: Way) -> Self {
        Self { way, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), begun: Arc::default() }
    }

    /// How often it was asked to compile something, since the start.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Compiles something. Errors are for the sender; [`Mistakes`] are among them.
    pub async fn compile(&self, source: Source) -> anyhow::Result<Made> {
        let compiler = self.clone();
        spawn_blocking(move || compiler.compile_now(source)).await.context("compiling")?
    }

    /// The same, but blocks. Must be called within a runtime.
    pub fn compile_now(&self, source: Source) -> anyhow::Result<Made> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        // The work itself holds its turn, since it goes on when nobody waits for it any more.
        let _turn = Handle::current().block_on(self.turns.acquire()).context("waiting to compile")?;
        match &self.way {
            Way::Here => Handle::current().block_on(here(source)),
            Way::Child { program, limits } => child::ask(program, limits, source),
        }
    }
}

async fn here(source: Source) -> anyhow::Result<Made> {
    let (component, warnings) = match source {
        Source::Component(bytes) => (bake::encode(&bytes)?, String::new()),
        Source::Rules { file, text, base } => {
            let base = base.map_or_else(bake::default_base, Ok)?;
            match bake::bake(&engine::building_engine()?, &base, &file, &text).await {
                Ok(Baked { component, warnings, .. }) => (component, warnings),
                Err(Refused::Rules(mistakes)) => return Err(Mistakes(mistakes.trim_end().to_owned()).into()),
                Err(Refused::Other(error)) => return Err(error),
            }
        }
    };
    let plugin = Plugin::load_apart(&engine::compiling_engine()?, &component)?;
    Ok(Made { manifest: plugin.manifest().clone(), compiled: plugin.compiled()?, component, warnings })
}
