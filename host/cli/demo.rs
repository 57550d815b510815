//! `tandem demo`: reads its arguments. Knows no other command.

use std::path::PathBuf;

use crate::demo;

#[derive(clap::Args)]
pub struct Arguments {
    /// Leave the host and the stand-ins running afterwards, and print what a shell needs to use them.
    #[arg(long)]
    keep: bool,
    /// Rules to play the day with, in place of the demo's own: a rules file or a component.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    demo::run(arguments.keep, arguments.rules.as_deref()).await
}
