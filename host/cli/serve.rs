//! `tandem serve`: runs the host until it is told to stop. Knows no other command.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::bail;

use super::{known_tenant, wrong_command};
use crate::compile::{Compiler, Limits};
use crate::config::{self, Config, Log};
use crate::serve::{Server, stop_signal};
use crate::version;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let this tenant's rules change what people are linked by. Everybody linked gets the new link beside the old.
    #[arg(long, value_name = "TENANT")]
    relink: Vec<String>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config: path, relink } = arguments;
    let path = super::configuration(path);
    write_log(config::log().map_err(wrong_command)?);
    let config = Config { relink, ..config::load(&path)? };
    for name in &config.relink {
        known_tenant(&config, name, &path)?;
    }
    tracing::info!(
        version = version::VERSION,
        commit = version::commit(),
        configuration = %path.display(),
        journal = %config.journal.display(),
        tenants = config.tenants.len(),
        "starting"
    );
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

/// The log goes to standard error. A line that cannot be written is lost: saying so would write there too.
fn write_log(Log { filter, is_json }: Log) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match is_json {
        true => log.json().flatten_event(true).with_current_span(false).init(),
        false => log.with_ansi(std::io::stderr().is_terminal() && !config::no_color()).init(),
    }
}
