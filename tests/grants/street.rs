//! A shop with an app installed, an Omneo tenant, and a host between them that has no token. Knows how to ask; not what is
//! expected.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::json;
use tandem::config::{App, AppKind, Config, PROXY, Peer};
use tandem::credentials::Ask;
use tandem::journal::EventRow;
use tandem::playground::{Playground, TENANT};
use tandem::setup::{self, Setup, State, Zone};
use tandem::vault::Keys;
use tandem_standin::{
    AppOptions, Approval, Clock, Omneo, OmneoOptions, RefreshRule, Shopify, ShopifyOptions, sign_shopify,
};

use crate::host;
use crate::town::{RULES, plugin};

pub const ID: &str = "client-id-123";
pub const SECRET: &str = "shpss_hush";
pub const CALLBACK: &str = "https://tandem.example.org/shopify/main/callback";
pub const PUBLIC: &str = "https://tandem.example.org";
pub const TOKENS: &str = "POST /admin/oauth/access_token";
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn app(kind: AppKind) -> Arc<App> {
    Arc::new(App {
        name: "main".into(),
        client_id: ID.into(),
        client_secret: SECRET.into(),
        previous_secret: None,
        kind,
        endpoint: None,
        proxy: PROXY.into(),
        trust_classic_accounts: [].into(),
    })
}

pub fn keys() -> Keys {
    Keys::parse(&["ab".repeat(32)]).unwrap()
}

/// The shop's side of such an app.
pub fn options(kind: AppKind, token_seconds: u64) -> AppOptions {
    let made = match kind {
        AppKind::Own => AppOptions::own(ID, SECRET),
        _ => AppOptions::standalone(ID, SECRET, "http://127.0.0.1:1/shopify/app"),
    };
    AppOptions { token_seconds, ..made }
}

/// A shop that has the app installed, an Omneo tenant, and a host between them that has no token.
pub struct Street {
    pub playground: Playground,
    pub folder: tempfile::TempDir,
}

impl Street {
    pub async fn of(kind: AppKind, app_options: AppOptions, rule: RefreshRule) -> Self {
        let street = Self::bare(kind, app_options, rule).await;
        if kind != AppKind::Own {
            street.approve().await.unwrap();
        }
        street.set_up().await;
        street
    }

    /// With the app installed, and nothing granted yet.
    pub async fn bare(kind: AppKind, app_options: AppOptions, rule: RefreshRule) -> Self {
        Self::with_rules(kind, app_options, rule, RULES).await
    }

    /// The same, with these rules.
    pub async fn with_rules(kind: AppKind, app_options: AppOptions, rule: RefreshRule, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let shopify =
            ShopifyOptions { clock: clock.clone(), refresh_rule: rule, ..ShopifyOptions::with_apps(vec![app_options]) };
        let (shop, shopify) = (shopify.shop.clone(), Shopify::start(shopify).await.unwrap());
        let options = OmneoOptions { clock, ..OmneoOptions::default() };
        let (token, secret) = (options.token.clone(), options.webhook_secret.clone());
        let omneo = Omneo::start(options).await.unwrap();
        shopify.install(ID);
        let config = config(folder.path(), kind, &shop, &shopify, (&omneo, &token, &secret));
        let playground = Playground::with(plugin(rules).await, config, shopify, omneo).await.unwrap();
        let street = Self { playground, folder };
        street.tell_address();
        street
    }

    /// Subscriptions lead to the host as it listens now, without TLS.
    pub fn tell_address(&self) {
        let url = format!("http://{}/shopify/main", self.playground.server.address);
        self.playground.shopify.edit_app(ID, |app| {
            app.application_url = url;
            app.redirect_urls = vec![CALLBACK.into()];
        });
    }

    /// The merchant approves, and the host has the code.
    pub async fn approve(&self) -> anyhow::Result<()> {
        let approval = Approval { redirect_uri: CALLBACK.into(), ..Approval::default() };
        let back = self.playground.shopify.approve(ID, &approval).unwrap();
        let url = reqwest::Url::parse(&back).unwrap();
        let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        self.playground.server.granted(TENANT, Ask::Code(code)).await
    }

    pub async fn set_up(&self) {
        let Playground { server, config, .. } = &self.playground;
        let tenant = &config.tenants[0];
        let known = server.credentials.with_tokens(tenant).await.unwrap();
        let client = tandem::client::Client::new(5_000, config.allow.clone()).unwrap();
        let plugin = plugin(RULES).await;
        let setup = Setup {
            client: &client,
            tenant: &known.tenant,
            manifest: plugin.manifest(),
            zone: Zone::of_component(plugin.manifest()),
            address: Some(PUBLIC),
            app: known.app.as_ref(),
            leave_official: false,
        };
        for step in setup::plan(&setup).await {
            let done = setup::apply(&setup, step).await;
            assert!(done.state != State::Missing || done.side != "shopify", "{done:?}");
        }
    }

    pub fn customer(&self, n: u64) {
        let email = format!("ada{n}@lovelace.dev");
        self.playground.shopify.create_customer(json!({ "first_name": "Ada", "email": email })).unwrap();
    }

    pub fn profiles(&self) -> usize {
        self.playground.omneo.profiles().len()
    }

    pub async fn until(&self, what: &str, so: impl Fn() -> bool) {
        until(what, so, || self.events()).await;
    }

    pub fn events(&self) -> Vec<EventRow> {
        self.playground.events().unwrap()
    }

    pub fn paused(&self) -> String {
        self.playground.server.paused().into_iter().map(|(_, target, why)| format!("{target}: {why}")).collect()
    }

    pub fn counts(&self) -> tandem_standin::TokenCounts {
        self.playground.shopify.token_counts(ID)
    }

    pub fn no_dead_letters(&self) {
        for event in self.events() {
            assert!(matches!(event.outcome.as_deref(), Some("done" | "skipped")), "{event:#?}");
        }
    }

    pub async fn stop(self) {
        self.playground.server.stop().await.unwrap();
    }
}

pub async fn until(what: &str, so: impl Fn() -> bool, seen: impl Fn() -> Vec<EventRow>) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {:#?}", seen());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn config(folder: &Path, kind: AppKind, shop: &str, shopify: &Shopify, omneo: (&Omneo, &str, &str)) -> Config {
    let (omneo, token, secret) = omneo;
    let mut config = host::config(folder, omneo, &[TENANT]);
    config.keys = keys();
    config.public_url = Some(PUBLIC.into());
    config.apps = [("main".to_owned(), app(kind))].into();
    config.allow.push(shopify.address().to_string());
    config.delivery.retry_delays_ms = vec![100; 100];
    let tenant = &mut config.tenants[0];
    tenant.shop = shop.to_owned();
    tenant.shopify = Peer::of_app(shopify.url(), app(kind), None);
    tenant.omneo = Peer { webhook_secrets: vec![secret.into()], ..Peer::with_token(&omneo.url(), token) };
    config
}

/// One for all: each that is made reads every certificate of the system.
pub fn client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        // Sets up what both sign with.
        tandem::client::Client::new(1_000, vec![]).unwrap();
        reqwest::Client::new()
    });
    CLIENT.clone()
}

pub fn sign(secret: &str, body: &str) -> String {
    sign_shopify(secret, body.as_bytes())
}

impl Street {
    pub async fn key(&self) -> String {
        let tenant = &self.playground.config.tenants[0];
        self.playground.server.credentials.webhook_key(tenant, &app(AppKind::Own)).await.unwrap()
    }

    /// Has Shopify tell the app so, and waits for what comes of it.
    pub async fn duty(&self, topic: &str, body: &str) -> EventRow {
        let signature = sign(SECRET, body);
        let headers = [("x-shopify-topic", topic), ("x-shopify-hmac-sha256", &*signature)];
        let (status, text) = self.post("/webhooks/shopify/main", &headers, body).await;
        assert_eq!(status, 200, "{text}");
        let number = text.trim().strip_prefix("accepted as event ").unwrap().parse().unwrap();
        let event = tandem::model::EventId(number);
        let over = || self.events().into_iter().find(|row| row.event.id == event && row.outcome.is_some());
        self.until("its end", || over().is_some()).await;
        over().unwrap()
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.playground.server.address);
        let request = client().post(url).body(body.to_owned());
        let answer = headers.iter().fold(request, |request, (k, v)| request.header(*k, *v)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}
