//! A real host on a free loopback port with tenants of the test's choice, and what became of what it was sent.
//!
//! Knows the door, the journal and how the hostile component is built; not what is expected of either.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use reqwest::{Method, Url};
use tandem::compile::Compiler;
use tandem::config::{Alerts, Apps, Config, Delivery, Peer, Quota, RulesFrom, Tenant};
use tandem::journal::{EventRow, RunRow};
use tandem::model::EventId;
use tandem::rules::Plugin;
use tandem::serve::Server;
use tandem::vault::Keys;
use tandem::{bake, engine};
use tandem_standin::{Omneo, OmneoOptions, sign_shopify};
use tempfile::TempDir;

/// What signs the webhooks of every tenant and side. The second of two that are valid.
pub const SECRET: &str = "new-secret";
pub const OLD_SECRET: &str = "old-secret";
/// Longest body that the host takes.
pub const BODY_BYTES_MAX: usize = 64 << 10;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The tenant of a host that is started on a component.
pub const TENANT: &str = "acme";

pub struct Host {
    pub server: Server,
    pub config: Config,
    /// The one side of every tenant, and the other.
    pub omneo: Omneo,
    pub journal: PathBuf,
    client: reqwest::Client,
    _folder: TempDir,
}

/// The component of `tests/plugins`, built and loaded once for all tests of a program.
pub fn hostile() -> Plugin {
    static HOSTILE: LazyLock<Plugin> =
        LazyLock::new(|| Plugin::load(&engine::engine().unwrap(), hostile_component()).unwrap());
    HOSTILE.clone()
}

/// The same, not loaded.
pub fn hostile_component() -> &'static [u8] {
    static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| bake::encode(&std::fs::read(build()).unwrap()).unwrap());
    &COMPONENT
}

/// Builds the core module of `tests/plugins`, and says where it is.
pub fn build() -> PathBuf {
    let target = Path::new(env!("TANDEM_GUEST_TARGET_DIR"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins"))
        .args(["build", "--locked", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(target);
    // What the outer build was told is not meant for the guest.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-unknown-unknown/guest/tandem_hostile.wasm")
}

/// The shop of a tenant.
pub fn shop(tenant: &str) -> String {
    format!("{tenant}.myshopify.com")
}

impl Host {
    /// Starts a host whose tenants have these rules.
    pub async fn start(plugins: impl IntoIterator<Item = (String, Plugin)>) -> Self {
        let plugins: HashMap<String, Plugin> = plugins.into_iter().collect();
        let folder = tempfile::tempdir().unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        let tenants: Vec<_> = plugins.keys().map(String::as_str).collect();
        let config = config(folder.path(), &omneo, &tenants);
        let server = Server::start_with(&config, plugins).await.unwrap();
        Self { server, omneo, journal: config.journal.clone(), config, client: reqwest::Client::new(), _folder: folder }
    }

    /// Starts a host with one tenant, whose configuration names this component.
    pub async fn on(component: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        let config = config(folder.path(), &omneo, &[TENANT]);
        std::fs::write(folder.path().join("rules.wasm"), component).unwrap();
        let server = Server::start(&config).await.unwrap();
        Self { server, omneo, journal: config.journal.clone(), config, client: reqwest::Client::new(), _folder: folder }
    }

    /// Starts a host by this configuration, whose journal is in a folder of its own.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        let mut config = config(folder.path(), &omneo, &[]);
        change(&mut config);
        let server = Server::start(&config).await.unwrap();
        Self { server, omneo, journal: config.journal.clone(), config, client: reqwest::Client::new(), _folder: folder }
    }

    /// One that was started by a configuration within this folder.
    pub fn of(server: Server, config: Config, omneo: Omneo, folder: TempDir) -> Self {
        let (journal, client) = (config.journal.clone(), reqwest::Client::new());
        Self { server, omneo, journal, config, client, _folder: folder }
    }

    /// Starts a host whose tenants' configuration names these rules, told by folder and name. This compiles them, and nobody
    /// waits for that.
    pub async fn building(compiler: Compiler, names: &[&str], rules: impl Fn(&Path, &str) -> RulesFrom) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        let mut config = config(folder.path(), &omneo, names);
        for tenant in &mut config.tenants {
            tenant.rules = rules(folder.path(), &tenant.name);
        }
        let server = Server::start_on(&config, compiler).await.unwrap();
        Self { server, omneo, journal: config.journal.clone(), config, client: reqwest::Client::new(), _folder: folder }
    }

    /// Stops the host, changes what there is to change on disk, and starts it again as [`Host::building`] does.
    pub async fn restart_building(self, compiler: Compiler, change: impl FnOnce(&Path)) -> Self {
        self.server.stop().await.unwrap();
        change(self._folder.path());
        let server = Server::start_on(&self.config, compiler).await.unwrap();
        Self { server, ..self }
    }

    /// Stops the host, changes what there is to change on disk, and starts it again.
    pub async fn restart(self, change: impl FnOnce(&Path)) -> Self {
        self.server.stop().await.unwrap();
        change(self._folder.path());
        let server = Server::start(&self.config).await.unwrap();
        Self { server, ..self }
    }

    /// Sends a request; gives status and text of the answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let url = Url::parse(&format!("http://{}{path}", self.server.address)).unwrap();
        let request = headers.iter().fold(self.client.request(method, url), |request, (k, v)| request.header(*k, *v));
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Sends a webhook as a tenant's Shopify does, and gives its event.
    pub async fn event(&self, tenant: &str, topic: &str, body: &str) -> EventId {
        let (shop, signature) = (shop(tenant), sign_shopify(SECRET, body.as_bytes()));
        let headers =
            [("x-shopify-shop-domain", &*shop), ("x-shopify-hmac-sha256", &signature), ("x-shopify-topic", topic)];
        let (status, text) = self.request(Method::POST, "/webhooks/shopify", &headers, body.to_owned()).await;
        assert_eq!(status, 200, "{text}");
        let number = text.trim().strip_prefix("accepted as event ").and_then(|number| number.parse().ok());
        EventId(number.unwrap_or_else(|| panic!("{text}")))
    }

    /// Waits until an event is over.
    pub async fn over(&self, event: EventId) -> EventRow {
        let began = Instant::now();
        loop {
            let row = self.row(event);
            if row.outcome.is_some() {
                return row;
            }
            assert!(began.elapsed() < WAIT_MAX, "not over: {row:#?}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    pub fn row(&self, event: EventId) -> EventRow {
        self.show(event).0
    }

    pub fn show(&self, event: EventId) -> (EventRow, Vec<RunRow>) {
        self.server.journal.read(|reader| reader.show(event)).unwrap().expect("the event is in the journal")
    }

    pub async fn stop(self) {
        self.server.stop().await.unwrap();
        self.omneo.stop();
    }
}

/// A configuration within a folder, whose tenants all have the same two sides.
pub fn config(folder: &Path, omneo: &Omneo, tenants: &[&str]) -> Config {
    let peer = Peer {
        webhook_secrets: vec![OLD_SECRET.into(), SECRET.into()],
        ..Peer::with_token(&omneo.url(), &OmneoOptions::default().token)
    };
    let tenant = |name: &&str| Tenant {
        name: (*name).to_owned(),
        shop: shop(name),
        rules: RulesFrom::Component(folder.join("rules.wasm")),
        shopify: peer.clone(),
        omneo: peer.clone(),
        limits: Quota::default(),
    };
    Config {
        public_url: None,
        apps: Apps::new(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        listen: ([127, 0, 0, 1], 0).into(),
        journal: folder.join("tandem.db"),
        body_bytes_max: BODY_BYTES_MAX,
        allow: vec![omneo.address().to_string()],
        allow_merchants: vec![],
        delivery: Delivery { timeout_ms: 5_000, retry_delays_ms: vec![], quiet_ms: 5_000 },
        tenants: tenants.iter().map(tenant).collect(),
        keys: Keys::default(),
        alerts: Alerts::default(),
        reconcile: None,
        relink: vec![],
    }
}
