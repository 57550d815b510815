//! A host between the two stand-ins, on free loopback ports: for the demo, the stories and the benches.
//!
//! Knows how to put them together and when they have come to rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use tandem_standin::{Omneo, OmneoOptions, Shopify, ShopifyOptions};

use crate::bake;
use crate::config::{Apps, BODY_BYTES_MAX, Config, Delivery, Peer, Quota, RulesFrom, Tenant};
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
    plugin: Plugin,
}

/// The default rules, frozen with a rules file and loaded.
pub async fn plugin(rules: &str) -> anyhow::Result<Plugin> {
    match bake::bake(&engine::building_engine()?, &bake::default_base()?, "acme.toml", rules).await {
        Ok(baked) => Plugin::load(&engine::engine()?, &baked.component),
        Err(refused) => bail!("{refused}"),
    }
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
        let config = Config {
            public_url: None,
            apps: Apps::new(),
            admin: None,
            keys: Keys::default(),
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
            tenants: vec![Tenant {
                name: TENANT.into(),
                shop,
                rules: RulesFrom::Component(PathBuf::new()),
                shopify: peer(shopify.url(), shopify_peer),
                omneo: peer(omneo.url(), omneo_peer),
                limits: Quota::default(),
            }],
        };
        Self::with(plugin, config, shopify, omneo).await
    }

    /// Starts the host with this configuration between stand-ins that run already.
    pub async fn with(plugin: Plugin, config: Config, shopify: Shopify, omneo: Omneo) -> anyhow::Result<Self> {
        let plugins = HashMap::from([(TENANT.to_owned(), plugin.clone())]);
        let server = Server::start_with(&config, plugins).await?;
        shopify.set_webhook_url(format!("http://{}/webhooks/shopify", server.address));
        omneo.set_webhook_url(format!("http://{}/webhooks/omneo/{TENANT}", server.address));
        Ok(Self { shopify, omneo, server, config, plugin })
    }

    /// Stops the host and starts it again on the same journal, with a plugin or the one it had.
    pub async fn restart(self, plugin: Option<Plugin>) -> anyhow::Result<Self> {
        let Self { shopify, omneo, server, config, plugin: old } = self;
        server.stop().await?;
        Self::with(plugin.unwrap_or(old), config, shopify, omneo).await
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
