//! `tandem serve`: runs the host until it is told to stop. Knows no other command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::anyhow;

use super::{known_tenant, wrong_command};
use crate::compile::{Compiler, Limits};
use crate::config::{self, Config, Log};
use crate::files;
use crate::journal::{Broken, Taken};
use crate::serve::{Notify, Server, reload_signals, stop_signal};
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
    // Exit code 2: no start mends it, so whatever starts hosts again leaves this one alone.
    let config = Config { relink, ..config::load(&path).map_err(wrong_command)? };
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
    for file in config::secret_files(&path) {
        if let Some(mode) = files::wider(&file) {
            let file = file.display();
            tracing::warn!(
                "`{file}` has the mode {mode:o}: others may read the secret in it\nhint: leave it to the user that the host runs as: `chown USER {file}` and `chmod 600 {file}`; for a user of systemd's own, which has no name before, `EnvironmentFile=` or `LoadCredential=`"
            );
        }
    }
    let mut reloads = reload_signals()?;
    let mut server = Server::start_on(&config, Compiler::child(config::this_program()?, Limits::default())).await?;
    let (socket, watchdog_us) = config::notify_socket();
    let notify = Notify::new(socket, watchdog_us);
    notify.ready();
    let mut useless = pin!(server.useless());
    let mut failed = pin!(server.failed());
    // A journal that takes nothing for so long hangs, and so does the host. One that refuses, as on a full disk, does not.
    let lives = async || drop(server.journal.try_to_write().await);
    let mut broken = pin!(server.journal.broken());
    let mut stopped = pin!(stop_signal());
    let reloading = async {
        while reloads.recv().await.is_some() {
            reload(&server, &path).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        stopped = &mut stopped => stopped?,
        // Whoever starts this again has it read what is on disk.
        why = &mut broken => return Err(ended(&config.journal, why)),
        () = reloading => {}
        () = notify.live(lives) => {}
        error = &mut failed => {
            notify.stopping();
            // What has ended in a panic says so again.
            return Err(server.stop().await.err().map_or(error, |why| why.context("a part of the host has ended")));
        }
        error = &mut useless => {
            server.stop().await?;
            return Err(error);
        }
    }
    tracing::info!("stopping");
    notify.stopping();
    tokio::select! {
        stopped = server.stop() => stopped,
        why = &mut broken => Err(ended(&config.journal, why)),
    }
}

/// Has the host go by its configuration as it is now. One that is broken changes nothing.
async fn reload(server: &Server, path: &Path) {
    let reloaded = match config::load(path) {
        Ok(config) => server.reload(config).await,
        Err(error) => Err(error),
    };
    if let Err(error) = reloaded {
        tracing::error!("the configuration was not taken over, and the host goes on as before: {error:#}");
    }
}

/// Why a host ends whose journal takes nothing any more.
fn ended(journal: &Path, Broken { why, is_taken }: Broken) -> anyhow::Error {
    let journal = journal.display();
    if is_taken {
        let hint = "one host runs on a journal: stop the other one before this one is started again";
        return Taken(format!("the journal `{journal}` was taken over: {why}\nhint: {hint}")).into();
    }
    anyhow!("the journal `{journal}` is broken: {why}\nhint: see to the disk, and start again")
}

/// The log goes to standard error. A line that cannot be written is lost: saying so would write there too.
fn write_log(Log { filter, is_json }: Log) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match is_json {
        true => log.json().flatten_event(true).with_current_span(false).init(),
        false => log.with_ansi(std::io::stderr().is_terminal() && !config::no_color()).init(),
    }
}
