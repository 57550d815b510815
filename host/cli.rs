//! The commands: reads arguments, calls what does the work, prints what came of it. Each command has a file of its own.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 it failed, 2 the command
//! is wrong: its arguments, or a file that it names and that cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{self, Config, Tenant};
use crate::files::Unusable;

mod access;
mod audit;
mod build;
mod cases;
mod compile;
mod data_request;
mod dead;
mod demo;
mod deploy;
mod directions;
mod events;
mod inspect;
mod new;
mod on_host;
mod operations;
mod record;
mod replay;
mod replay_live;
mod resume;
mod serve;
mod set_up;
mod setup;
mod shadow;
mod status;
mod table;
mod targets;
mod tenants;
mod test;
mod token;
mod top;
mod versions;
mod watch;

/// Keeps Shopify and Omneo CX in step, with each tenant's rules in a WebAssembly component.
#[derive(Parser)]
#[command(name = "tandem", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    access: access::Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take webhooks in, run the rules, send the calls.
    Serve(serve::Arguments),
    /// Play a day in a shop against stand-ins for both systems, and check that they agree in the end.
    Demo(demo::Arguments),
    /// Make on both sides what a tenant's rules need: metafield definitions, webhooks, the time zone. Again does nothing.
    Setup(setup::Arguments),
    /// Freeze a rules file into a component.
    Build(build::Arguments),
    /// Begin a plugin of your own: rules around the default ones, with a case and a test.
    New(new::Arguments),
    /// Run cases, or one event, through rules: what they ask for, what that takes, and how it ends.
    Test(test::Arguments),
    /// Turn a journalled event into a case, with invented values in place of personal ones.
    Record(record::Arguments),
    /// Show what a component is: its world, imports, manifest and limits.
    Inspect(inspect::Arguments),
    /// Run a tenant's recorded events through a candidate version, and compare with what was really sent; on a host, through
    /// the live one, and send that.
    Replay(replay::Arguments),
    /// Write what is held on the person of a `customers/data_request` event, as JSON.
    DataRequest(data_request::Arguments),
    /// Let a target take calls again, on a host whatever paused it, or in a journal for the next start.
    Resume(resume::Arguments),
    /// Make, list and revoke tokens of the admin API.
    Token {
        #[command(subcommand)]
        command: token::Token,
        #[command(flatten)]
        place: Place,
    },
    /// List a tenant's versions: which is active, how it came to that, and what a roll back goes to.
    Versions(versions::Versions),
    /// Compile what is on standard input, for a host, within limits.
    #[command(hide = true)]
    Compile(compile::Arguments),
    /// List journalled events, or show one with its payload, calls, attempts and replies.
    Events(events::Arguments),
    #[command(flatten)]
    OnHost(on_host::Verb),
}

/// Where the journal is.
#[derive(clap::Args)]
struct Place {
    /// The journal; without it, the one of the configuration.
    #[arg(long, global = true)]
    journal: Option<PathBuf>,
    /// The configuration that names the journal.
    #[arg(long, global = true, default_value = "tandem.toml", conflicts_with = "journal")]
    config: PathBuf,
}

impl Place {
    fn path(self) -> anyhow::Result<PathBuf> {
        match self.journal {
            Some(journal) => Ok(journal),
            None => config::journal_path(&self.config),
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough: `tandem test … | head`.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|why| why.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::FAILURE
        }
        Err(error) => {
            print_error(&error);
            ExitCode::from(if error.is::<Unusable>() || error.is::<WrongCommand>() { 2 } else { 1 })
        }
    }
}

/// What is wrong with the command itself, or with what it was given to read, and not with the rules.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongCommand(String);

fn wrong_command(error: anyhow::Error) -> anyhow::Error {
    WrongCommand(format!("{error:#}")).into()
}

fn print_error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    // Several problems come ready to print.
    if text.starts_with("error: ") { eprintln!("{text}") } else { eprintln!("error: {text}") }
}

fn run(Arguments { access, command }: Arguments) -> anyhow::Result<()> {
    let asks = matches!(
        command,
        Command::Replay(_) | Command::Resume(_) | Command::Versions(_) | Command::Events(_) | Command::OnHost(_)
    );
    if !asks {
        access.refuse()?;
    }
    match command {
        Command::Serve(arguments) => runtime()?.block_on(serve::run(arguments)),
        Command::Demo(arguments) => runtime()?.block_on(demo::run(arguments)),
        Command::Setup(arguments) => runtime()?.block_on(setup::run(arguments)),
        Command::Build(arguments) => runtime()?.block_on(build::run(arguments)),
        Command::New(arguments) => new::run(arguments),
        Command::Test(arguments) => runtime()?.block_on(test::run(arguments)),
        Command::Record(arguments) => runtime()?.block_on(record::run(arguments)),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Replay(arguments) => replay::run(arguments, &access),
        Command::DataRequest(arguments) => data_request::run(arguments),
        Command::Resume(arguments) => runtime()?.block_on(resume::run(arguments, &access)),
        Command::Token { command, place } => runtime()?.block_on(token::run(command, &place.path()?)),
        Command::Versions(arguments) => runtime()?.block_on(versions::run(arguments, &access)),
        Command::Compile(arguments) => compile::run(arguments),
        Command::Events(arguments) => runtime()?.block_on(events::run(arguments, &access)),
        Command::OnHost(verb) => runtime()?.block_on(on_host::run(verb, &access)),
    }
}

fn known_tenant<'a>(config: &'a Config, tenant: &str, path: &Path) -> anyhow::Result<&'a Tenant> {
    config.tenants.iter().find(|known| known.name == tenant).with_context(|| {
        let names: Vec<_> = config.tenants.iter().map(|known| known.name.as_str()).collect();
        format!("there is no tenant `{tenant}` in `{}`\nhint: it has {}", path.display(), names.join(", "))
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}
