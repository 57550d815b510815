//! Wires the stages together and takes them down again.
//!
//! The only place that knows all of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bake::{self, Baked, Refused};
use crate::client::Client;
use crate::config::{Config, RulesFrom, Tenant};
use crate::delivery::Delivery;
use crate::engine;
use crate::journal::{Change, Fixed, Journal};
use crate::mapping;
use crate::rules::{Manifest, Plugin};
use crate::setup::{self, Setup, Zone};
use crate::webhook::Intake;

/// How long a request may take to arrive that is under way when the host stops.
const LAST_REQUEST_MAX: Duration = Duration::from_secs(2);

/// A running host.
pub struct Server {
    pub address: SocketAddr,
    pub journal: Journal,
    delivery: Arc<Delivery>,
    stop: watch::Sender<bool>,
    intake: JoinHandle<()>,
    stages: [JoinHandle<()>; 2],
    writer: Thread<()>,
}

impl Server {
    /// Loads every tenant's rules, opens the journal, goes on with what is in it, and listens.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let plugins = load_plugins(&config.tenants).await?;
        let manifests: HashMap<_, _> =
            plugins.iter().map(|(tenant, plugin)| (tenant.clone(), plugin.manifest().clone())).collect();
        let server = Self::start_with(config, plugins).await?;
        tokio::spawn(warn_of_missing(config.clone(), manifests));
        Ok(server)
    }

    /// The same with rules that are loaded already, by the name of their tenant.
    pub async fn start_with(config: &Config, plugins: HashMap<String, Plugin>) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
        let address = listener.local_addr().context("listening")?;
        let (journal, feeds, writer) = Journal::open(&config.journal)?;
        for (tenant, plugin) in &plugins {
            keep_fixed(&journal, tenant, plugin.manifest(), config.relink.contains(tenant)).await?;
        }
        let client = Client::new(config.delivery.timeout_ms, config.allow.clone())?;
        let (stop, stopping) = watch::channel(false);
        let delivery = Arc::new(Delivery::new(
            journal.clone(),
            client,
            config.delivery.clone(),
            &config.tenants,
            &api_versions(&plugins),
            stopping.clone(),
        ));
        let intake = Intake::new(config, journal.clone()).router();
        let mut listening = stopping.clone();
        let intake = tokio::spawn(async move {
            let stopped = async move { drop(listening.wait_for(|stopping| *stopping).await) };
            // An error here is one of accepting, which the loop inside retries; there is no other.
            let _ = axum::serve(listener, intake).with_graceful_shutdown(stopped).await;
        });
        let stages = [
            tokio::spawn(mapping::run(journal.clone(), plugins, feeds.events, feeds.replies, stopping)),
            tokio::spawn(delivery.clone().run(feeds.calls, feeds.pauses)),
        ];
        tracing::info!("listening on http://{address}");
        Ok(Self { address, journal, delivery, stop, intake, stages, writer })
    }

    /// Takes calls to a target again, whatever paused it.
    pub async fn resume(&self, tenant: &str, target: &str) -> anyhow::Result<()> {
        self.journal.resume(tenant, target).await.map(drop)
    }

    /// Tenant, target and reason of each target that takes nothing now.
    pub fn paused(&self) -> Vec<(String, String, String)> {
        self.delivery.paused()
    }

    /// Stops taking webhooks, lets requests and attempts under way end, and closes the journal.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let intake = timeout(LAST_REQUEST_MAX, self.intake).await;
        for stage in self.stages {
            stage.await.context("a stage ended in a panic")?;
        }
        let Ok(intake) = intake else {
            // Its connection has a handle on the journal, which will not close: nothing in it depends on that.
            tracing::warn!("stopped in the middle of a request that did not arrive in {LAST_REQUEST_MAX:?}");
            return Ok(());
        };
        intake.context("the intake ended in a panic")?;
        drop((self.journal, self.delivery));
        let joined = tokio::task::spawn_blocking(move || self.writer.join()).await.context("closing the journal")?;
        if joined.is_err() {
            bail!("the journal's thread ended in a panic");
        }
        Ok(())
    }
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
pub async fn stop_signal() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("waiting for signals")?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for signals"),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("waiting for signals")
}

/// Says in the log what each tenant lacks on either side. Nothing waits for it, and whatever a target answers, nothing
/// stops.
async fn warn_of_missing(config: Config, manifests: HashMap<String, Manifest>) {
    let Ok(client) = Client::new(config.delivery.timeout_ms, config.allow.clone()) else { return };
    for tenant in &config.tenants {
        let Some(manifest) = manifests.get(&tenant.name) else { continue };
        let (zone, address) = (Zone::of_component(manifest), config.public_url.as_deref());
        setup::warn_of_missing(&Setup { client: &client, tenant, manifest, zone, address }).await;
    }
}

/// Refuses rules that would cut existing links, unless they were told to.
async fn keep_fixed(journal: &Journal, tenant: &str, manifest: &Manifest, relink: bool) -> anyhow::Result<()> {
    let fixed = manifest.settings.iter().filter(|setting| setting.fixed);
    let settings = fixed.map(|setting| (setting.at.clone(), setting.value.clone())).collect();
    match journal.fix(tenant, settings, relink).await? {
        Fixed::Kept => {}
        Fixed::Relinked(linked) => tracing::info!(tenant, "{linked} linked people are brought in step again"),
        Fixed::Refused { changed, linked } => {
            let changed: Vec<_> = changed
                .iter()
                .map(|Change { at, was, wanted }| format!("`{}` from {was} to {wanted}", setting_name(at)))
                .collect();
            bail!(
                "the rules of tenant `{tenant}` change {}, and {} linked by it\n\
                 hint: set it back, or start once with `--relink {tenant}`: everybody linked is given the new link, and \
                 keeps the old one",
                changed.join(", "),
                if linked == 1 { "one person is".to_owned() } else { format!("{linked} people are") },
            );
        }
    }
    Ok(())
}

/// `identity.handle` for `/identity/handle`.
fn setting_name(at: &str) -> String {
    at.trim_start_matches('/').replace('/', ".")
}

/// What each tenant's rules write their requests for.
fn api_versions(plugins: &HashMap<String, Plugin>) -> HashMap<(String, String), String> {
    let versions = plugins.iter().flat_map(|(tenant, plugin)| {
        let targets = plugin.manifest().targets.iter();
        targets.map(|target| ((tenant.clone(), target.name.clone()), target.api_version.clone()))
    });
    versions.collect()
}

/// Compiles the rules of every tenant, from rules files too.
async fn load_plugins(tenants: &[Tenant]) -> anyhow::Result<HashMap<String, Plugin>> {
    let engine = engine::engine()?;
    let building = engine::building_engine()?;
    let mut plugins = HashMap::new();
    for tenant in tenants {
        let (bytes, name) = match &tenant.rules {
            RulesFrom::Component(path) => (bake::read_component(path)?, format!("plugin `{}`", path.display())),
            RulesFrom::File(path) => {
                let (file, rules) = (path.display().to_string(), bake::read_rules(path)?);
                match bake::bake(&building, &bake::default_base()?, &file, &rules).await {
                    Ok(Baked { component, warnings }) => {
                        if !warnings.is_empty() {
                            tracing::warn!(tenant = tenant.name, "the rules are in doubt:\n{warnings}");
                        }
                        (component, format!("the rules `{file}`"))
                    }
                    Err(Refused::Rules(mistakes)) => bail!("{}", mistakes.trim_end()),
                    Err(Refused::Other(error)) => return Err(error.context(format!("the rules `{file}`"))),
                }
            }
        };
        let plugin = Plugin::load(&engine, &bytes).with_context(|| format!("tenant `{}`: {name}", tenant.name))?;
        plugins.insert(tenant.name.clone(), plugin);
    }
    Ok(plugins)
}
