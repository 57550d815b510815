//! `tandem demo`: reads its arguments. Knows no other command.

use crate::demo;

#[derive(clap::Args)]
pub struct Arguments {
    /// Leave the host and the stand-ins running afterwards.
    #[arg(long)]
    keep: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    demo::run(arguments.keep).await
}
