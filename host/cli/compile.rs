//! `tandem compile`: how a host compiles what was uploaded, in this process of its own. Not for people.

use std::io::{stdin, stdout};

use anyhow::Context;

use crate::compile;

#[derive(clap::Args)]
pub struct Arguments {
    /// Memory that this process may write to.
    #[arg(long)]
    memory_bytes: u64,
    /// Seconds of all cores together.
    #[arg(long)]
    cpu_s: u64,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { memory_bytes, cpu_s } = arguments;
    compile::confine(memory_bytes, cpu_s).context("holding the process to its limits")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("starting the runtime")?;
    runtime.block_on(compile::answer(stdin().lock(), stdout().lock()))
}
