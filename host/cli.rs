//! The commands: reads arguments, calls what does the work, prints what came of it. Each command has a file of its own.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 it failed, 2 the command
//! is wrong: its arguments, or a file that it names and that cannot be read or written, 3 another host has the journal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, Config, Tenant};
use crate::files::Unusable;
use crate::journal::Taken;
use crate::output::{self, noteln};
use crate::samples::Unfit;
use crate::version;

mod access;
mod app;
mod audit;
mod backup;
mod build;
mod cases;
mod compile;
mod connect;
mod data_request;
mod dead;
mod demo;
mod deploy;
mod directions;
mod events;
mod grants;
mod help;
mod import;
mod inspect;
mod invitations;
mod new;
mod on_host;
mod operations;
mod pages;
mod reconcile;
mod record;
mod replay;
mod replay_live;
mod resume;
mod schema;
mod serve;
mod set_up;
mod setup;
mod shadow;
mod slow;
mod status;
mod table;
mod targets;
mod tenants;
mod test;
mod token;
mod top;
mod trigger;
mod try_out;
mod versions;
mod watch;

/// Keeps Shopify and Omneo CX in step, with each tenant's rules in a WebAssembly component.
#[derive(Parser)]
#[command(name = "tandem", version = version::TEXT, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    access: access::Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host: take webhooks in, run the rules, send the calls.
    ///
    /// Ends cleanly on SIGTERM and Ctrl-C. `/health` and `/ready` of the admin listener say how it is.
    Serve(serve::Arguments),
    /// Play a day in a shop against stand-ins for both systems.
    ///
    /// Shows each event and, in the end, both sides beside each other. Exit code 0 only if they agree.
    Demo(demo::Arguments),
    /// Make on both sides what a tenant's rules need.
    ///
    /// Makes the metafield definitions, a webhook for every topic, and the shop's time zone in the rules file. A second run
    /// changes nothing. Exit code 1 if something is missing that cannot be made from here.
    Setup(setup::Arguments),
    /// Print what Shopify has to be told of an app of the configuration.
    App {
        #[command(subcommand)]
        verb: app::App,
    },
    /// Freeze a rules file into a component, or check it.
    Build(build::Arguments),
    /// Print the JSON Schema of a rules file.
    ///
    /// An editor that has it completes and checks the file: `tandem schema -o rules.schema.json`, and `#:schema
    /// ./rules.schema.json` as the file's first line.
    Schema(schema::Arguments),
    /// Begin a plugin of your own, with a case and a test.
    New(new::Arguments),
    /// Run cases, or one event, through rules.
    ///
    /// Shows the calls, how the event ends, and fuel, memory, output and log beside the limits of production.
    Test(test::Arguments),
    /// Let events happen, and see the conversation and both sides.
    ///
    /// Stand-ins of both systems answer, so no reply has to be written: `tandem try customers/update --edit note=VIP --rules
    /// acme.toml` shows what one field does. Exit code 1 if an event is refused, invalid or failed, or not listened to.
    Try(try_out::Arguments),
    /// Send a host a signed webhook, as Shopify or Omneo would.
    ///
    /// To the host of the configuration, with its secrets. `tandem demo --keep` prints what names that host.
    Trigger(trigger::Arguments),
    /// Turn a recorded event into a case with invented values.
    ///
    /// The same name, address, e-mail, phone number or id becomes the same invented value everywhere in the case.
    Record(record::Arguments),
    /// Show what a component is: world, imports, manifest, limits.
    Inspect(inspect::Arguments),
    /// Run recorded events through another version, and compare.
    ///
    /// With a candidate: reads the journal, sends nothing, and shows each call that would differ from what was sent.
    /// Without one, on a host: compares with the live version, and `--send` sends what it asks for.
    Replay(replay::Arguments),
    /// Write what is held on a person who asked for it, as JSON.
    ///
    /// The event is a `customers/data_request`. The journal is read at this moment. Until `--answered` says that it was handed over,
    /// the event stays in the journal and an alert names its date.
    DataRequest(data_request::Arguments),
    /// Copy the journal into a file, while a host runs on it.
    ///
    /// The copy is of one moment, and is looked through before it is in its place.
    Backup(backup::Backup),
    /// Make a journal of what `tandem backup` has written.
    ///
    /// Where a journal is, nothing is written: stop the host, and move that one away first.
    Restore(backup::Restore),
    /// Send a paused target calls again.
    ///
    /// At once on a host; in a journal, from the next start of `tandem serve`.
    Resume(resume::Arguments),
    /// Make, list and revoke tokens of the admin API.
    Token {
        #[command(subcommand)]
        command: token::Token,
        #[command(flatten)]
        place: Place,
    },
    /// List a tenant's versions, and which is active since when.
    ///
    /// Also shows how each became active, and what a roll back returns to.
    Versions(versions::Versions),
    /// Print what a shell completes of these commands.
    ///
    /// Those of bash belong into `/usr/share/bash-completion/completions/tandem`.
    Completions(pages::Completions),
    /// Write a manual page for each command.
    Man(pages::Man),
    /// Compile what is on standard input, for a host, within limits.
    #[command(hide = true)]
    Compile(compile::Arguments),
    /// List events, or show one with its calls and replies.
    Events(events::Arguments),
    #[command(flatten)]
    OnHost(on_host::Verb),
}

/// Where the journal is.
#[derive(clap::Args)]
struct Place {
    /// The journal; without this, what `TANDEM_JOURNAL` names, or the one of the configuration.
    #[arg(long, value_name = "FILE", global = true)]
    journal: Option<PathBuf>,
    /// The configuration that names the journal; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "journal")]
    config: Option<PathBuf>,
}

impl Place {
    fn path(self) -> anyhow::Result<PathBuf> {
        match self.journal() {
            Some(journal) => Ok(journal),
            None => config::journal_path(&self.configuration()),
        }
    }

    /// The journal, if one is named itself. A flag goes before the environment.
    fn journal(&self) -> Option<PathBuf> {
        let named = || config::path("TANDEM_JOURNAL").filter(|_| self.config.is_none());
        self.journal.clone().or_else(named)
    }

    fn configuration(&self) -> PathBuf {
        configuration(self.config.clone())
    }
}

pub use help::{command, groups};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::from_arg_matches(&help::command().get_matches()).unwrap_or_else(|error| error.exit());
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::from(output::CLOSED),
        Err(error) => {
            print_error(&error);
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Unusable>() || error.is::<WrongCommand>() || error.is::<Unfit>() {
        return 2;
    }
    // So that whoever starts hosts again when they end can leave this one alone.
    if error.is::<Taken>() { 3 } else { 1 }
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
    if text.starts_with("error: ") { noteln!("{text}") } else { noteln!("error: {text}") }
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
        Command::App { verb } => runtime()?.block_on(app::run(verb)),
        Command::Build(arguments) => runtime()?.block_on(build::run(arguments)),
        Command::New(arguments) => new::run(arguments),
        Command::Test(arguments) => runtime()?.block_on(test::run(arguments)),
        Command::Try(arguments) => runtime()?.block_on(try_out::run(arguments)),
        Command::Trigger(arguments) => runtime()?.block_on(trigger::run(arguments)),
        Command::Record(arguments) => runtime()?.block_on(record::run(arguments)),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Replay(arguments) => replay::run(arguments, &access),
        Command::Backup(arguments) => backup::backup(arguments),
        Command::Restore(arguments) => backup::restore(arguments),
        Command::DataRequest(arguments) => runtime()?.block_on(data_request::run(arguments)),
        Command::Resume(arguments) => runtime()?.block_on(resume::run(arguments, &access)),
        Command::Token { command, place } => runtime()?.block_on(token::run(command, &place.path()?)),
        Command::Versions(arguments) => runtime()?.block_on(versions::run(arguments, &access)),
        Command::Completions(arguments) => pages::completions(arguments),
        Command::Man(arguments) => pages::man(arguments),
        Command::Compile(arguments) => compile::run(arguments),
        Command::Events(arguments) => runtime()?.block_on(events::run(arguments, &access)),
        Command::OnHost(verb) => runtime()?.block_on(on_host::run(verb, &access)),
    }
}

/// The configuration that a flag names, or the environment, or that is there by itself.
fn configuration(named: Option<PathBuf>) -> PathBuf {
    named.or_else(|| config::path("TANDEM_CONFIG")).unwrap_or_else(|| "tandem.toml".into())
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
