//! Wires the stages together and takes them down again.
//!
//! The only place that knows all of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::accounts::{self, Accounts, Kept};
use crate::admin::{self, Admin};
use crate::alerts;
use crate::client::Client;
use crate::compile::Compiler;
use crate::config::Config;
use crate::connect::{self, Connect};
use crate::credentials::{Ask, Credentials, WithTokens};
use crate::delivery::Delivery;
use crate::deploy::Versions;
use crate::engine;
use crate::imports::{self, Imports};
use crate::install;
use crate::journal::{Claim, Direction, Journal};
use crate::listen::{self, Listen};
use crate::mapping::{self, Control};
use crate::reconcile;
use crate::registry::Registry;
use crate::repair::Repair;
use crate::retention;
use crate::rules::Plugin;
use crate::setup::{self, Setup, Zone};
use crate::shadow::Shadows;
use crate::storefront;
use crate::tenants::{Taken, Tenants};
use crate::webhook::Intake;

mod notify;
mod reload;

pub use notify::Notify;

/// How long a request may take to arrive that is under way when the host stops.
const LAST_REQUEST_MAX: Duration = Duration::from_secs(2);

/// A running host.
pub struct Server {
    pub address: SocketAddr,
    /// Where the admin API listens, if it does.
    pub admin: Option<SocketAddr>,
    pub journal: Journal,
    pub registry: Registry,
    pub versions: Versions,
    pub imports: Imports,
    tenants: Tenants,
    pub delivery: Arc<Delivery>,
    accounts: Accounts,
    pub credentials: Credentials,
    lanes: Control,
    /// What it goes by now.
    config: Mutex<Config>,
    /// What went wrong with the rules that the configuration names, once that is known.
    configured: Option<oneshot::Receiver<Settled>>,
    stop: watch::Sender<bool>,
    intake: JoinHandle<()>,
    operators: JoinHandle<()>,
    stages: [JoinHandle<()>; 8],
    /// Tells of each part of the host that has ended.
    ended: Option<UnboundedReceiver<&'static str>>,
    client: Client,
    shadow: Thread<()>,
    writer: Thread<()>,
    /// As long as it is there, no other host takes work from this journal.
    _claim: Claim,
}

/// A part of the host that goes on until it is told to stop. When it ends, whatever way, the host is told.
struct Part {
    name: &'static str,
    ends: UnboundedSender<&'static str>,
}

impl Part {
    fn spawn(self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let _ends = self;
            work.await;
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Nobody listens to the end of a host that stops.
        let _ = self.ends.send(self.name);
    }
}

/// What came of the rules that the configuration names.
struct Settled {
    wrong: Vec<anyhow::Error>,
    /// Whether any tenant has some.
    has_rules: bool,
}

impl Server {
    /// The same as [`Server::start_on`], compiling here. When it has started, every tenant is on what the configuration
    /// names; if one is not, nothing has.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let mut server = Self::start_on(config, Compiler::here()).await?;
        let wrong = server.configured().await?;
        if let Some(error) = wrong.into_iter().next() {
            server.stop().await?;
            return Err(error);
        }
        Ok(server)
    }

    /// Opens the journal, goes on with what is in it, and listens. Meanwhile this compiles the rules that the configuration
    /// names where they are new, and they are made current; the events of their tenants wait for that.
    pub async fn start_on(config: &Config, compiler: Compiler) -> anyhow::Result<Self> {
        let mut server = Self::open(config, compiler, None).await?;
        let look = Look {
            client: server.client.clone(),
            credentials: server.credentials.clone(),
            registry: server.registry.clone(),
            tenants: server.tenants.clone(),
            address: config.public_url.clone(),
        };
        let (registry, tenants, lanes) = (server.registry.clone(), server.tenants.clone(), server.lanes.clone());
        let mut stopping = server.stop.subscribe();
        let (named, relink) = (config.tenants.clone(), config.relink.clone());
        let (done, configured) = oneshot::channel();
        server.configured = Some(configured);
        tokio::spawn(async move {
            // The lanes are gone when the host stops.
            let settled = move |tenant: &str| drop(lanes.look(tenant));
            let configure = async {
                let wrong = registry.configure_all(named, relink, settled).await;
                let is_without = |name: &String| matches!(registry.manifest(name), Ok(None));
                let has_rules = wrong.is_empty() || !tenants.names().iter().all(is_without);
                // Most do not ask.
                let _ = done.send(Settled { wrong, has_rules });
                look.warn_of_missing().await;
            };
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = configure => {}
            }
        });
        Ok(server)
    }

    /// Waits until the rules of every tenant were seen to that the configuration names, and gives what went wrong. Once.
    pub async fn configured(&mut self) -> anyhow::Result<Vec<anyhow::Error>> {
        match self.configured.take() {
            Some(configured) => Ok(configured.await.context("the host stops")?.wrong),
            None => Ok(vec![]),
        }
    }

    /// What went wrong, if because of that no tenant at all has rules: otherwise it waits for ever. In place of
    /// [`Server::configured`].
    pub fn useless(&mut self) -> impl Future<Output = anyhow::Error> + use<> {
        let configured = self.configured.take();
        async move {
            if let Some(configured) = configured
                && let Ok(Settled { wrong, has_rules: false }) = configured.await
                && let Some(error) = wrong.into_iter().next()
            {
                return error;
            }
            std::future::pending().await
        }
    }

    /// Waits until a part of the host has ended that should go on until it is told to stop, and says which: what is left of the host
    /// looks alive and does not do its work. Once.
    pub fn failed(&mut self) -> impl Future<Output = anyhow::Error> + use<> {
        let ended = self.ended.take();
        async move {
            if let Some(mut ended) = ended
                && let Some(part) = ended.recv().await
            {
                return anyhow!("the host's part `{part}` has ended, so the host ends with it\nhint: its log says why");
            }
            std::future::pending().await
        }
    }

    /// The same with rules that are loaded already, by the name of their tenant. They are lost with the host.
    pub async fn start_with(config: &Config, plugins: HashMap<String, Plugin>) -> anyhow::Result<Self> {
        Self::open(config, Compiler::here(), Some(plugins)).await
    }

    async fn open(
        config: &Config,
        compiler: Compiler,
        plugins: Option<HashMap<String, Plugin>>,
    ) -> anyhow::Result<Self> {
        // First, so that a second host says what it is, whatever else the two have in common.
        let claim = Claim::on(&config.journal)?;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            anyhow!(
                "listening on {} for webhooks: {error}\nhint: `listen` in the configuration names another address",
                config.listen
            )
        })?;
        let address = listener.local_addr().context("listening")?;
        let (journal, feeds, writer) = Journal::open_as_host(&claim)?;
        let loaded = plugins.as_ref().and_then(|plugins| plugins.values().next());
        let engine = loaded.map_or_else(engine::engine, |plugin| Ok(plugin.engine().clone()))?;
        let registry = Registry::open(journal.clone(), engine, compiler, claim.path());
        // Before anything is changed.
        let tenants = Tenants::new(&config.tenants);
        let mut all_closed = vec![];
        for Kept { tenant, closed } in accounts::kept(&journal, &config.keys, &config.apps).await? {
            let name = tenant.name.clone();
            all_closed.push((name.clone(), closed));
            if tenants.get(&name).is_some() {
                bail!(
                    "tenant `{name}` stands in the configuration and was added over the admin API, too\nhint: take it out of the configuration, or start without it and remove it over the API"
                );
            }
            if let Err(Taken) = tenants.set(tenant) {
                bail!(
                    "tenant `{name}`, which was added over the admin API, has the shop of another one\nhint: a shop belongs to one tenant; take that other one out of the configuration"
                );
            }
        }
        match plugins {
            Some(plugins) => {
                for (tenant, plugin) in plugins {
                    let relink = config.relink.contains(&tenant);
                    registry.install(&tenant, plugin, relink).await?;
                }
            }
            None => registry.expect(config.tenants.iter()),
        }
        for Direction { tenant, source, mode, by, why, .. } in journal.read(|reader| reader.directions())? {
            tracing::warn!(tenant, "the mode of what comes from {source} is `{}`, by {by}: {why}", mode.name());
        }
        let (lanes, requests) = mapping::requests();
        let (stop, stopping) = watch::channel(false);
        let (shadows, shadow) = Shadows::start(journal.clone(), registry.clone(), tenants.clone(), stopping.clone())?;
        let versions = Versions::new(registry.clone(), shadows, journal.clone(), lanes.clone(), tenants.clone());
        let client = Client::new(config.delivery.timeout_ms, config.allow.clone())?;
        let credentials = Credentials::new(journal.clone(), client.clone(), config.keys.clone(), config.apps.clone());
        // A change of a tenant's shop may have been cut off by the end of the host.
        for name in tenants.names() {
            let Some(tenant) = tenants.get(&name) else { continue };
            credentials.settle(&tenant).await?;
        }
        let delivery = Arc::new(Delivery::new(
            journal.clone(),
            client.clone(),
            credentials.clone(),
            config.delivery.clone(),
            tenants.clone(),
            stopping.clone(),
        ));
        for (name, closed) in all_closed {
            delivery.set_closed(&name, closed);
        }
        let accounts = Accounts::new(
            journal.clone(),
            tenants.clone(),
            delivery.clone(),
            credentials.clone(),
            lanes.clone(),
            config,
        );
        let intake = Intake::new(journal.clone(), tenants.clone(), credentials.clone(), config.body_bytes_max);
        let descriptors = listen::descriptors();
        let limits = listen::Limits::of_webhooks(descriptors, config.body_bytes_max);
        let connections = limits.connections;
        let webhooks = Listen { name: "webhooks", limits, metrics: journal.metrics().clone() };
        let mut listening = stopping.clone();
        let stopped = async move { drop(listening.wait_for(|stopping| *stopping).await) };
        let public_url = config.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        let connect = Connect::new(connect::Parts {
            accounts: accounts.clone(),
            tenants: tenants.clone(),
            versions: versions.clone(),
            credentials: credentials.clone(),
            client: client.clone(),
            public_url: public_url.clone(),
            allow: config.allow.clone(),
            allow_merchants: config.allow_merchants.clone(),
        });
        let reconciling = connect.clone();
        let (preparing, mut stopped_before) = (connect.clone(), stopping.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped_before.wait_for(|stopping| *stopping) => {}
                () = preparing.prepare_all() => {}
            }
        });
        let pages = install::router(install::Parts {
            journal: journal.clone(),
            tenants: tenants.clone(),
            credentials: credentials.clone(),
            accounts: accounts.clone(),
            connect: connect.clone(),
            admitting: tokio::sync::Mutex::default(),
            seen: install::Seen::default(),
            anew: install::Anew::default(),
            public_url,
        });
        let storefront = storefront::router(storefront::Parts {
            journal: journal.clone(),
            tenants: tenants.clone(),
            credentials: credentials.clone(),
            client: client.clone(),
            connections,
        });
        let imports = Imports::new(imports::Parts {
            journal: journal.clone(),
            registry: registry.clone(),
            delivery: delivery.clone(),
            tenants: tenants.clone(),
            shelf: imports::Shelf::new(claim.bulk_folder()),
        });
        let pages = pages.merge(storefront).merge(intake.router());
        let (ends, ended) = unbounded_channel();
        let part = |name: &'static str| Part { name, ends: ends.clone() };
        let intake = part("webhooks").spawn(listen::serve(listener, pages, webhooks, stopped));
        let (admin, operators) = match config.admin {
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|error| {
                    anyhow!("listening on {address} for the admin API: {error}\nhint: `[admin] listen` in the configuration names another address")
                })?;
                let address = listener.local_addr().context("listening")?;
                admin::warn_of(address);
                let mut stopping = stopping.clone();
                let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
                let accounts = accounts.clone();
                let admin = Admin::new(admin::Shared {
                    journal: journal.clone(),
                    delivery: delivery.clone(),
                    versions: versions.clone(),
                    accounts,
                    repair: Repair::new(registry.clone(), journal.clone()),
                    imports: imports.clone(),
                    tenants: tenants.clone(),
                    client: client.clone(),
                    connect,
                    credentials: credentials.clone(),
                    public_url: config.public_url.clone(),
                    places: admin::Places::default(),
                });
                (Some(address), part("admin").spawn(admin::serve(admin, listener, descriptors, stopped)))
            }
            None => (None, tokio::spawn(std::future::ready(()))),
        };
        // Ends with the stage that may ask.
        let (farewells, asked) = unbounded_channel();
        part("accounts").spawn(accounts.clone().let_go(asked));
        let stages = [
            part("mapping").spawn(mapping::run(
                journal.clone(),
                registry.clone(),
                tenants.clone(),
                credentials.clone(),
                mapping::Feeds { facts: feeds.facts, requests, farewells },
                config.delivery.settled_ms(),
                stopping.clone(),
            )),
            part("imports").spawn(imports.clone().run(stopping.clone())),
            part("reconciliation").spawn(reconcile::run(
                reconcile::Parts {
                    journal: journal.clone(),
                    tenants: tenants.clone(),
                    connect: reconciling,
                    imports: imports.clone(),
                },
                config.reconcile,
                stopping.clone(),
            )),
            part("retention").spawn(retention::run(journal.clone(), tenants.clone(), stopping.clone())),
            part("alerts").spawn(alerts::run(
                alerts::Look {
                    journal: journal.clone(),
                    delivery: delivery.clone(),
                    credentials: credentials.clone(),
                    registry: registry.clone(),
                    tenants: tenants.clone(),
                    reconciles: config.reconcile.is_some(),
                },
                config.alerts.clone(),
                client.clone(),
                stopping,
            )),
            part("delivery").spawn(delivery.clone().run(feeds.calls, feeds.pauses)),
            part("grants").spawn(delivery.clone().keep_grants()),
            part("granted").spawn(delivery.clone().take_up_granted()),
        ];
        tracing::info!("listening on http://{address}");
        if let Some(admin) = admin {
            tracing::info!("the admin API listens on http://{admin}");
        }
        Ok(Self {
            address,
            admin,
            operators,
            journal,
            registry,
            versions,
            imports,
            tenants,
            delivery,
            accounts,
            credentials,
            lanes,
            config: Mutex::new(config.clone()),
            configured: None,
            stop,
            intake,
            stages,
            ended: Some(ended),
            client,
            shadow,
            writer,
            _claim: claim,
        })
    }

    /// Takes calls to a target again, whatever paused it.
    pub async fn resume(&self, tenant: &str, target: &str) -> anyhow::Result<()> {
        self.journal.resume(tenant, target).await.map(drop)
    }

    /// Has a tenant's app granted anew what its merchant has just approved, and the calls go on that waited for that.
    pub async fn granted(&self, tenant: &str, ask: Ask) -> anyhow::Result<()> {
        let known = self.tenants.get(tenant).with_context(|| format!("there is no tenant `{tenant}`"))?;
        let app = known.shopify.app().with_context(|| format!("tenant `{tenant}` has no app"))?;
        Ok(self.credentials.grant(&known, app, ask).await?)
    }

    /// Tenant, target and reason of each target that takes nothing now.
    pub fn paused(&self) -> Vec<(String, String, String)> {
        self.delivery.paused()
    }

    /// Stops taking webhooks, lets requests and attempts under way end, and closes the journal.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let intake = timeout(LAST_REQUEST_MAX, async { tokio::join!(self.intake, self.operators) }).await;
        for stage in self.stages {
            stage.await.context("a stage ended in a panic")?;
        }
        let Ok(intake) = intake else {
            // Its connection has a handle on the journal, which will not close: nothing in it depends on that.
            tracing::warn!("stopped in the middle of a request that did not arrive in {LAST_REQUEST_MAX:?}");
            return Ok(());
        };
        intake.0.context("the intake ended in a panic")?;
        intake.1.context("the admin API ended in a panic")?;
        drop((
            self.journal,
            self.registry,
            self.versions,
            self.delivery,
            self.accounts,
            self.credentials,
            self.imports,
        ));
        let joined = spawn_blocking(move || self.shadow.join().and_then(|()| self.writer.join()));
        if joined.await.context("closing the journal")?.is_err() {
            bail!("the journal's thread, or that of shadows, ended in a panic");
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

/// Has SIGHUP ask for the configuration to be read again, from now on: one that comes while the host starts is kept for later.
pub fn reload_signals() -> anyhow::Result<tokio::sync::mpsc::Receiver<()>> {
    // One that waits stands for all that came meanwhile.
    let (asks, asked) = tokio::sync::mpsc::channel(1);
    #[cfg(unix)]
    {
        let hang_up = tokio::signal::unix::SignalKind::hangup();
        let mut hung_up = tokio::signal::unix::signal(hang_up).context("waiting for signals")?;
        tokio::spawn(async move {
            while hung_up.recv().await.is_some() {
                let _ = asks.try_send(());
            }
        });
    }
    #[cfg(not(unix))]
    drop(asks);
    Ok(asked)
}

/// What a look at both sides of every tenant takes.
struct Look {
    client: Client,
    credentials: Credentials,
    registry: Registry,
    tenants: Tenants,
    address: Option<String>,
}

/// Says in the log what each tenant lacks on either side. Nothing waits for it, and whatever a target answers, nothing
/// stops.
impl Look {
    async fn warn_of_missing(&self) {
        for name in self.tenants.names() {
            let (registry, of) = (self.registry.clone(), name.clone());
            // One after the other: ten thousand would fill the memory.
            let manifest = spawn_blocking(move || registry.manifest(&of)).await;
            let (Ok(Ok(Some(manifest))), Some(tenant)) = (manifest, self.tenants.get(&name)) else { continue };
            if tenant.is_closed() {
                continue;
            }
            match self.credentials.with_tokens(&tenant).await {
                Ok(WithTokens { tenant, app }) => {
                    let (client, tenant, manifest) = (&self.client, &tenant, &manifest);
                    let (zone, address) = (Zone::of_component(manifest), self.address.as_deref());
                    let app = app.as_ref();
                    let leave_official = false;
                    setup::warn_of_missing(&Setup { client, tenant, manifest, zone, address, app, leave_official })
                        .await;
                }
                Err(refused) => tracing::warn!(tenant = name, "what the rules need was not looked at: {refused}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_in_whatever_way_is_told() {
        let (ends, mut ended) = unbounded_channel();
        let part = |name| Part { name, ends: ends.clone() };
        let panics = part("panics").spawn(async { panic!("on purpose") });
        assert_eq!(ended.recv().await, Some("panics"));
        assert!(panics.await.is_err());
        let stays = part("stays").spawn(std::future::pending());
        part("ends").spawn(async {}).await.unwrap();
        assert_eq!(ended.recv().await, Some("ends"));
        stays.abort();
        assert_eq!(ended.recv().await, Some("stays"));
    }
}
