//! A host between the two stand-ins, on free loopback ports: for the demo, the stories and the benches.
//!
//! Knows how to put them together and when they have come to rest.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tandem_standin::{AppOptions, Omneo, OmneoOptions, Shopify, ShopifyOptions};

use crate::bake;
use crate::config::{
    Alerts, App, AppKind, Apps, BODY_BYTES_MAX, Config, Delivery, PROXY, Peer, Quota, RulesFrom, Tenant,
};
use crate::engine;
use crate::journal::{EventRow, Filter};
use crate::rules::Plugin;
use crate::serve::Server;
use crate::vault::Keys;

/// The tenant of every playground.
pub const TENANT: &str = "acme";
/// How long [`Playground::settle`] waits before it says what is still under way.
const SETTLE_MAX: Duration = Duration::from_secs(60);

pub struct Playground {
    pub shopify: Shopify,
    pub omneo: Omneo,
    pub server: Server,
    pub config: Config,
    /// Rules that were given, in place of those that the journal has.
    plugin: Option<Plugin>,
    /// What grants are sealed with, as a configuration has it; empty where there is no app.
    pub key: String,
}

/// The app of a playground whose shop has to be installed first: its name at the host, its client id and its secret.
pub const APP: &str = "main";
pub const CLIENT_ID: &str = "0123456789abcdef0123456789abcdef";
pub const CLIENT_SECRET: &str = "shpss_playground";

/// The default rules, frozen with a rules file and loaded.
pub async fn plugin(rules: &str) -> anyhow::Result<Plugin> {
    match bake::bake(&engine::building_engine()?, &bake::default_base()?, "acme.toml", rules).await {
        Ok(baked) => Plugin::load(&engine::engine()?, &baked.component),
        Err(refused) => bail!("{refused}"),
    }
}

/// Rules of somebody's own: a rules file, frozen into a base or the default rules, or a component.
pub async fn plugin_of(rules: &Path, base: Option<&Path>) -> anyhow::Result<Plugin> {
    let is_wasm = rules.extension().is_some_and(|extension| extension == "wasm");
    let component = match (is_wasm, base) {
        (true, Some(_)) => {
            bail!("`--base` goes with a rules file, and `{}` is a plugin\nhint: leave it out", rules.display())
        }
        (true, None) => bake::read_component(rules)?,
        (false, base) => {
            let text = bake::read_rules(rules)?;
            let base = base.map_or_else(bake::default_base, bake::read_component)?;
            match bake::bake(&engine::building_engine()?, &base, &rules.display().to_string(), &text).await {
                Ok(baked) => baked.component,
                Err(refused) => bail!("{refused}"),
            }
        }
    };
    Plugin::load(&engine::engine()?, &component)
}

impl Playground {
    /// Starts all three. The host's retries are quick: nobody wants to watch a real schedule.
    pub async fn start(
        plugin: Plugin,
        journal: &Path,
        shopify: ShopifyOptions,
        omneo: OmneoOptions,
    ) -> anyhow::Result<Self> {
        let (shopify_peer, omneo_peer, shop) = (
            (shopify.token.clone(), shopify.webhook_secret.clone()),
            (omneo.token.clone(), omneo.webhook_secret.clone()),
            shopify.shop.clone(),
        );
        let (shopify, omneo) = (Shopify::start(shopify).await?, Omneo::start(omneo).await?);
        let peer = |url: String, (token, secret): (String, String)| Peer {
            webhook_secrets: vec![secret.as_str().into()],
            ..Peer::with_token(&url, &token)
        };
        let mut config = config(journal, &shopify, &omneo);
        config.tenants.push(Tenant {
            name: TENANT.into(),
            shop,
            rules: RulesFrom::Component(PathBuf::new()),
            shopify: peer(shopify.url(), shopify_peer),
            omneo: peer(omneo.url(), omneo_peer),
            limits: Quota::default(),
        });
        Self::with(plugin, config, shopify, omneo).await
    }

    /// Starts all three with an app that no shop has installed, and no tenant.
    pub async fn before_installation(journal: &Path) -> anyhow::Result<Self> {
        // Where the host is reached stands in the app before the host listens.
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let listen = free.context("finding a free port")?;
        let url = format!("http://{listen}/shopify/{APP}");
        let app = AppOptions {
            name: "Tandem".into(),
            webhook_uri: Some(format!("http://{listen}/webhooks/shopify/{APP}")),
            ..AppOptions::standalone(CLIENT_ID, CLIENT_SECRET, &url)
        };
        let shopify = Shopify::start(ShopifyOptions::with_apps(vec![app])).await?;
        let omneo = Omneo::start(OmneoOptions::default()).await?;
        let app = App {
            name: APP.into(),
            client_id: CLIENT_ID.into(),
            client_secret: CLIENT_SECRET.into(),
            previous_secret: None,
            kind: AppKind::Standalone,
            endpoint: Some(shopify.url()),
            proxy: PROXY.into(),
            trust_classic_accounts: [].into(),
        };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("no random key: {error}"))?;
        let key = hex::encode(key);
        let config = Config {
            listen,
            public_url: Some(format!("http://{listen}")),
            keys: Keys::parse(std::slice::from_ref(&key)).map_err(anyhow::Error::msg)?,
            apps: [(APP.to_owned(), app.into())].into(),
            allow_merchants: vec![omneo.address().to_string()],
            ..config(journal, &shopify, &omneo)
        };
        Ok(Self { key, ..Self::started(None, config, shopify, omneo).await? })
    }

    /// Starts the host with this configuration between stand-ins that run already.
    pub async fn with(plugin: Plugin, config: Config, shopify: Shopify, omneo: Omneo) -> anyhow::Result<Self> {
        Self::started(Some(plugin), config, shopify, omneo).await
    }

    async fn started(plugin: Option<Plugin>, config: Config, shopify: Shopify, omneo: Omneo) -> anyhow::Result<Self> {
        let server = match &plugin {
            Some(plugin) => Server::start_with(&config, HashMap::from([(TENANT.to_owned(), plugin.clone())])).await?,
            None => Server::start(&config).await?,
        };
        shopify.set_webhook_url(format!("http://{}/webhooks/shopify", server.address));
        omneo.set_webhook_url(format!("http://{}/webhooks/omneo/{TENANT}", server.address));
        Ok(Self { shopify, omneo, server, config, plugin, key: String::new() })
    }

    /// Stops the host and starts it again on the same journal, with a plugin or the one it had.
    pub async fn restart(self, plugin: Option<Plugin>) -> anyhow::Result<Self> {
        let Self { shopify, omneo, server, config, plugin: old, key } = self;
        server.stop().await?;
        Ok(Self { key, ..Self::started(plugin.or(old), config, shopify, omneo).await? })
    }

    /// Waits until no webhook is on its way and every event is over.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut quiet = 0;
        // Twice in a row: a call that ends an event may have sent another webhook just before.
        while quiet < 2 {
            let resting = self.shopify.outbox().quiet()
                && self.omneo.outbox().quiet()
                && self.server.journal.read(|reader| reader.unfinished_count())? == 0;
            quiet = if resting { quiet + 1 } else { 0 };
            if began.elapsed() > SETTLE_MAX {
                let waiting = self.events()?.into_iter().filter(|event| event.outcome.is_none());
                let waiting: Vec<_> =
                    waiting.map(|event| format!("{} {}", event.event.id, event.event.webhook.topic)).collect();
                bail!("not at rest after {SETTLE_MAX:?}; events not over: {waiting:?}");
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        Ok(())
    }

    /// Every event so far, in order of arrival.
    pub fn events(&self) -> anyhow::Result<Vec<EventRow>> {
        self.server.journal.read(|reader| reader.events(&Filter { limit: usize::MAX, ..Filter::default() }))
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await?;
        self.shopify.stop();
        self.omneo.stop();
        Ok(())
    }
}

/// A host between the two, without tenants.
fn config(journal: &Path, shopify: &Shopify, omneo: &Omneo) -> Config {
    Config {
        public_url: None,
        apps: Apps::new(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        keys: Keys::default(),
        alerts: Alerts::default(),
        reconcile: None,
        relink: vec![],
        listen: ([127, 0, 0, 1], 0).into(),
        journal: journal.to_owned(),
        body_bytes_max: BODY_BYTES_MAX,
        allow: vec![shopify.address().to_string(), omneo.address().to_string()],
        allow_merchants: vec![],
        delivery: Delivery {
            timeout_ms: 5_000,
            retry_delays_ms: vec![50, 100, 200, 400, 800, 1_600, 3_200],
            quiet_ms: 5_000,
        },
        tenants: vec![],
    }
}
