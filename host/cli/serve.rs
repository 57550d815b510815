//! `tandem serve`: runs the host until it is told to stop. Knows no other command.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::bail;

use super::known_tenant;
use crate::compile::{Compiler, Limits};
use crate::config::{self, Config};
use crate::serve::{Server, stop_signal};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration.
    #[arg(long, default_value = "tandem.toml")]
    config: PathBuf,
    /// Let this tenant's rules change what people are linked by, and give everybody linked the new link too.
    #[arg(long, value_name = "TENANT")]
    relink: Vec<String>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config: path, relink } = arguments;
    let config = Config { relink, ..config::load(&path)? };
    for name in &config.relink {
        known_tenant(&config, name, &path)?;
    }
    let is_colourful = std::io::stderr().is_terminal() && !config::no_color();
    let log = tracing_subscriber::fmt().with_env_filter(config::log_filter()).with_writer(std::io::stderr);
    log.with_ansi(is_colourful).init();
    let server = Server::start_on(&config, Compiler::child(config::this_program()?, Limits::default())).await?;
    let broken = server.journal.broken();
    let stopped = async {
        stop_signal().await?;
        tracing::info!("stopping");
        server.stop().await
    };
    tokio::select! {
        stopped = stopped => stopped,
        // Whoever starts this again has it read what is on disk.
        why = broken => bail!("the journal `{}` is broken: {why}\nhint: see to the disk, and start again", config.journal.display()),
    }
}
