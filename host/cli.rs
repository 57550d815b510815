//! The commands: reads arguments, calls what does the work, prints what came of it.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 it failed, 2 wrong arguments.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::client::Client;
use crate::config::{Config, Tenant};
use crate::journal::{Filter, Journal, Reader};
use crate::model::EventId;
use crate::paint::Paint;
use crate::rules::Plugin;
use crate::serve::{Server, stop_signal};
use crate::setup::{Setup, State};
use crate::{bake, compliance, config, demo, engine, events, inspect, setup};

/// Keeps Shopify and Omneo CX in step, with each tenant's rules in a WebAssembly component.
#[derive(Parser)]
#[command(name = "tandem", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take webhooks in, run the rules, send the calls.
    Serve {
        /// The configuration.
        #[arg(long, default_value = "tandem.toml")]
        config: PathBuf,
        /// Let this tenant's rules change what people are linked by, and give everybody linked the new link too.
        #[arg(long, value_name = "TENANT")]
        relink: Vec<String>,
    },
    /// Play a day in a shop against stand-ins for both systems, and check that they agree in the end.
    Demo {
        /// Leave the host and the stand-ins running afterwards.
        #[arg(long)]
        keep: bool,
    },
    /// Make on both sides what a tenant's rules need: metafield definitions, webhooks, the time zone. Again does nothing.
    Setup {
        /// The tenant, as the configuration calls it.
        tenant: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Where webhooks reach this host from outside; without it, `public_url` of the configuration.
        #[arg(long)]
        address: Option<String>,
        /// The configuration.
        #[arg(long, default_value = "tandem.toml")]
        config: PathBuf,
    },
    /// Freeze a rules file into a component.
    Build {
        /// The rules file.
        rules: PathBuf,
        /// The component, or core module, to freeze it into; without it, the default rules.
        #[arg(long)]
        base: Option<PathBuf>,
        /// Where to write the component.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Show what a component is: its world, imports, manifest and limits.
    Inspect {
        /// A component, or a core module that carries the plugin world.
        component: PathBuf,
    },
    /// Write what is held on the person of a `customers/data_request` event, as JSON.
    DataRequest {
        /// The number of that event.
        event: i64,
        /// Where to write it; without this, to standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Let a target take calls again that was paused because the app was uninstalled.
    Resume {
        tenant: String,
        #[arg(value_parser = ["shopify", "omneo"])]
        target: String,
        #[command(flatten)]
        place: Place,
    },
    /// List journalled events, or show one with its payload, calls, attempts and replies.
    Events {
        /// The number of an event to show.
        event: Option<i64>,
        #[command(flatten)]
        place: Place,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Only those that ended so; `dead` for every dead letter, `waiting` for those that are not over.
        #[arg(long, value_parser = ["waiting", "done", "skipped", "refused", "invalid", "failed", "dead"])]
        outcome: Option<String>,
        /// Only this topic's.
        #[arg(long)]
        topic: Option<String>,
        /// The newest so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

/// Where the journal is.
#[derive(clap::Args)]
struct Place {
    /// The journal; without it, the one of the configuration.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// The configuration that names the journal.
    #[arg(long, default_value = "tandem.toml", conflicts_with = "journal")]
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
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            // Several problems come ready to print.
            if text.starts_with("error: ") {
                eprintln!("{text}")
            } else {
                eprintln!("error: {text}")
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { config, relink } => runtime()?.block_on(serve(&config, relink)),
        Command::Setup { tenant, dry_run, address, config } => {
            runtime()?.block_on(set_up(&tenant, dry_run, address, &config))
        }
        Command::Demo { keep } => runtime()?.block_on(demo::run(keep)),
        Command::Build { rules, base, output } => runtime()?.block_on(build(&rules, base.as_deref(), &output)),
        Command::Inspect { component } => {
            let plugin = load(&component)?;
            print!("{}", inspect::report(&plugin));
            Ok(())
        }
        Command::DataRequest { event, output, place } => {
            data_request(&place.path()?, EventId(event), output.as_deref())
        }
        Command::Resume { tenant, target, place } => runtime()?.block_on(resume(&place.path()?, &tenant, &target)),
        Command::Events { event, place, tenant, outcome, topic, limit } => {
            let path = place.path()?;
            let reader = Reader::open(&path)?;
            let paint = Paint::for_stdout(config::no_color());
            match event {
                Some(id) => match reader.show(EventId(id))? {
                    Some((event, runs)) => print!("{}", events::show(&event, &runs, paint)),
                    None => bail!("there is no event {id} in `{}`\nhint: `tandem events` lists them", path.display()),
                },
                None => {
                    let filter = Filter { tenant, outcome, topic, after: None, limit };
                    print!("{}", events::list(&reader.events(&filter)?, paint));
                }
            }
            Ok(())
        }
    }
}

fn data_request(journal: &Path, event: EventId, output: Option<&Path>) -> anyhow::Result<()> {
    let document = compliance::document(&Reader::open(journal)?, event)?;
    let text = format!("{document:#}\n");
    let Some(output) = output else {
        print!("{text}");
        return Ok(());
    };
    std::fs::write(output, text).with_context(|| format!("writing `{}`", output.display()))?;
    let events = document["events"].as_array().map_or(0, Vec::len);
    println!("{}: {events} events; delete it when it has been handed over", output.display());
    Ok(())
}

async fn resume(path: &Path, tenant: &str, target: &str) -> anyhow::Result<()> {
    // Made here it would be another.
    drop(Reader::open(path)?);
    let (journal, feeds, thread) = Journal::open(path)?;
    let resumed = journal.resume(tenant, target).await;
    drop((journal, feeds));
    if thread.join().is_err() {
        bail!("the journal's thread ended in a panic");
    }
    if !resumed? {
        bail!("{target} of `{tenant}` is not paused in `{}`", path.display());
    }
    println!("{target} of {tenant} takes calls again from the next start of `tandem serve`");
    Ok(())
}

async fn serve(path: &Path, relink: Vec<String>) -> anyhow::Result<()> {
    let config = Config { relink, ..config::load(path)? };
    for name in &config.relink {
        known_tenant(&config, name, path)?;
    }
    tracing_subscriber::fmt().with_env_filter(config::log_filter()).with_writer(std::io::stderr).init();
    let server = Server::start(&config).await?;
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

async fn set_up(tenant: &str, is_dry: bool, address: Option<String>, path: &Path) -> anyhow::Result<()> {
    let config = config::load(path)?;
    let tenant = known_tenant(&config, tenant, path)?;
    if let Some(address) = &address
        && let Err(why) = config::check_public_url(address)
    {
        bail!("`--address {address}` {why}");
    }
    let Some(address) = address.or(config.public_url.clone()) else {
        bail!(
            "it is not known where webhooks reach this host\nhint: pass `--address https://…`, or write `public_url = \"https://…\"` into `{}`",
            path.display()
        );
    };
    let (manifest, zone) = setup::of_rules(&tenant.rules).await?;
    let client = Client::new(config.delivery.timeout_ms, config.allow.clone())?;
    let address = address.trim_end_matches('/');
    let setup = Setup { client: &client, tenant, manifest: &manifest, zone, address: Some(address) };
    let paint = Paint::for_stdout(config::no_color());
    let mut missing = 0;
    for step in setup::plan(&setup).await {
        let step = if is_dry { step } else { setup::apply(&setup, step).await };
        missing += usize::from(step.state == State::Missing);
        print!("{}", setup::line(&step, is_dry, paint));
    }
    if missing > 0 {
        bail!(
            "{missing} things are missing that cannot be made from here\nhint: see the lines that begin with `!`, and run this again"
        );
    }
    Ok(())
}

fn known_tenant<'a>(config: &'a Config, tenant: &str, path: &Path) -> anyhow::Result<&'a Tenant> {
    config.tenants.iter().find(|known| known.name == tenant).with_context(|| {
        let names: Vec<_> = config.tenants.iter().map(|known| known.name.as_str()).collect();
        format!("there is no tenant `{tenant}` in `{}`\nhint: it has {}", path.display(), names.join(", "))
    })
}

async fn build(rules: &Path, base: Option<&Path>, output: &Path) -> anyhow::Result<()> {
    let name = rules.display().to_string();
    let text = std::fs::read_to_string(rules).with_context(|| format!("reading the rules `{name}`"))?;
    let base = match base {
        Some(base) => read_component(base)?,
        None => bake::default_base()?,
    };
    let component = match bake::bake(&engine::building_engine()?, &base, &name, &text).await {
        Ok(component) => component,
        Err(refused) => bail!("{refused}"),
    };
    // What cannot be loaded is not worth keeping.
    let plugin = Plugin::load(&engine::engine()?, &component)?;
    std::fs::write(output, &component).with_context(|| format!("writing `{}`", output.display()))?;
    println!("{} {} bytes sha256:{}", output.display(), component.len(), plugin.digest());
    Ok(())
}

fn load(path: &Path) -> anyhow::Result<Plugin> {
    Plugin::load(&engine::engine()?, &read_component(path)?).with_context(|| format!("plugin `{}`", path.display()))
}

fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading plugin `{}`", path.display()))?;
    bake::encode(&bytes).with_context(|| format!("plugin `{}`", path.display()))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}
