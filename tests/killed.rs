//! Stories in which the host is killed, as by `kill -9`, in the middle of a call, and started again on its journal.

use crate::town;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::town::order;
use serde_json::{Value, json};
use tandem::client::Client;
use tandem::credentials::{Ask, Credentials};
use tandem::journal::{EventRow, Filter, Journal, Range, Reader, Reading};
use tandem::paint::Paint;
use tandem::replay::{self, Class, Replay};
use tandem::rules::Plugin;
use tandem::{admin, config};
use tandem::{bake, engine};
use tandem_standin::{
    AppOptions, Approval, Fault, Omneo, OmneoOptions, Past, RefreshRule, Rule, Shopify, ShopifyOptions, live_through,
    sign_shopify,
};

/// How long anything may take: rules are built while the host listens already, by a process of its own.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// The app of a shop that has one.
const ID: &str = "client-id-123";
const APP_URL: &str = "http://127.0.0.1:1/shopify/app";

/// A host in a process of its own, between two stand-ins in this one.
struct Killable {
    shopify: Shopify,
    omneo: Omneo,
    folder: tempfile::TempDir,
    port: u16,
    /// Where the admin API listens.
    admin: u16,
    child: Arc<Mutex<Option<Child>>>,
}

/// The default rules, frozen once for all stories.
async fn component() -> Vec<u8> {
    static MADE: tokio::sync::OnceCell<Vec<u8>> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(|| component_of(town::RULES)).await.clone()
}

async fn component_of(rules: &str) -> Vec<u8> {
    let base = bake::default_base().unwrap();
    bake::bake(&engine::building_engine().unwrap(), &base, "acme.toml", rules).await.unwrap().component
}

impl Killable {
    async fn start() -> Self {
        let options = ShopifyOptions::default();
        let (token, secret) = (options.token.clone(), options.webhook_secret.clone());
        let credential = format!("token = \"{token}\", webhook_secrets = [\"{secret}\"]");
        let killable = Self::made(options, &credential).await;
        killable.run().await;
        killable
    }

    /// Everything but the host.
    async fn made(options: ShopifyOptions, credential: &str) -> Self {
        let shopify = Shopify::start(options).await.unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        // A port that was free a moment ago. The host must come back under the same one.
        let [port, admin] = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, admin] = [port, admin].map(|listener| listener.local_addr().unwrap().port());
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\njournal = \"killed.db\"\n[network]\nallow = [\"{}\", \"{}\"]\n\
             [delivery]\ntimeout_ms = 1000\nquiet_ms = 1000\nretry_delays_ms = [50, 100, 200, 400, 800]\n\
             [tenants.acme]\nshop = \"{}\"\ncomponent = \"acme.wasm\"\n\
             shopify = {{ url = \"{}\", {credential} }}\n\
             omneo = {{ url = \"{}\", token = \"{}\", webhook_secrets = [\"{}\"] }}\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n",
            shopify.address(),
            omneo.address(),
            ShopifyOptions::default().shop,
            shopify.url(),
            omneo.url(),
            OmneoOptions::default().token,
            OmneoOptions::default().webhook_secret,
        );
        std::fs::write(folder.path().join("tandem.toml"), config).unwrap();
        std::fs::write(folder.path().join("acme.wasm"), component().await).unwrap();
        shopify.set_webhook_url(format!("http://127.0.0.1:{port}/webhooks/shopify"));
        omneo.set_webhook_url(format!("http://127.0.0.1:{port}/webhooks/omneo/acme"));
        Self { shopify, omneo, folder, port, admin, child: Arc::default() }
    }

    /// Everything but the host, with an app that the merchant has approved before the host was ever started.
    async fn with_app(app: AppOptions) -> Self {
        let (key, callback) = ("ab".repeat(32), format!("{APP_URL}/callback"));
        let options = ShopifyOptions { refresh_rule: RefreshRule::Seconds(60), ..ShopifyOptions::with_apps(vec![app]) };
        let apps = format!(
            "[secrets]\nkeys = [\"{key}\"]\n[apps.main]\nclient_id = \"{ID}\"\nclient_secret = \"hush\"\nkind = \"standalone\"\n"
        );
        let host = Self::made(options, "app = \"main\"").await;
        let file = host.folder.path().join("tandem.toml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &apps).unwrap();
        let config = config::load(&file).unwrap();
        let (journal, _, _) = Journal::open(&config.journal).unwrap();
        let client = Client::new(5_000, config.allow.clone()).unwrap();
        let credentials = Credentials::new(journal, client, config.keys.clone(), config.apps.clone());
        let approval = Approval { redirect_uri: callback, ..Approval::default() };
        let back = reqwest::Url::parse(&host.shopify.approve(ID, &approval).unwrap()).unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        credentials.grant(&config.tenants[0], &config.apps["main"], Ask::Code(code)).await.unwrap();
        host
    }

    /// Starts the host and waits until it listens and has its rules.
    async fn run(&self) {
        let child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["serve", "--config"])
            .arg(self.folder.path().join("tandem.toml"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        let began = Instant::now();
        for port in [self.port, self.admin] {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                assert!(began.elapsed() < WAIT_MAX, "the host does not listen");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        // Events wait for the first build, and what is tested here is not how long that takes.
        let ready = format!("http://127.0.0.1:{}/ready", self.admin);
        while client().get(&ready).send().await.unwrap().text().await.unwrap() != "ready\n" {
            assert!(began.elapsed() < Duration::from_secs(120), "the rules are not built");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the host as soon as a call has been carried out and before it is answered.
    fn kill_after(&self, rule: Rule) -> Arc<Mutex<bool>> {
        let killed = Arc::new(Mutex::new(false));
        let (child, told) = (self.child.clone(), killed.clone());
        let kill = move || {
            if let Some(mut child) = child.lock().unwrap().take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            *told.lock().unwrap() = true;
        };
        if rule != Rule::path("PUT /profiles") && rule != Rule::path("POST /orders") {
            self.shopify.faults().after(rule, kill);
        } else {
            self.omneo.faults().after(rule, kill);
        }
        killed
    }

    async fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < WAIT_MAX, "waited in vain for {what}: {:#?}", self.events());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sets what becomes of what comes from Shopify, over the admin API.
    async fn direct(&self, mode: &str) {
        self.ask("PUT", "directions/shopify", &json!({"mode": mode, "why": "a test"})).await;
    }

    /// Asks the admin API for something about the tenant.
    async fn ask(&self, method: &str, path: &str, body: &Value) {
        let journal = Journal::open(&self.journal()).unwrap();
        let token = admin::new_token().unwrap();
        journal.0.add_token(&token[..12], None, &admin::hash(&token)).await.unwrap();
        let url = format!("http://127.0.0.1:{}/v1/tenants/acme/{path}", self.admin);
        let request = client().request(method.parse().unwrap(), url).bearer_auth(token);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// How far the only reading of the only import is.
    fn reading(&self) -> Reading {
        let imports = Reader::open(&self.journal()).and_then(|reader| reader.imports("acme"));
        let import = imports.unwrap_or_default().into_iter().next();
        import.map(|import| import.readings[0].clone()).unwrap_or_default()
    }

    fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until no webhook is on its way and every event is over.
    async fn settle(&self) {
        let resting = || self.shopify.outbox().quiet() && self.omneo.outbox().quiet() && self.waiting() == 0;
        self.until("rest", resting).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.until("rest", resting).await;
    }

    fn waiting(&self) -> u64 {
        Reader::open(&self.journal()).and_then(|reader| reader.unfinished_count()).unwrap_or(1)
    }

    fn events(&self) -> Vec<EventRow> {
        let filter = Filter { limit: usize::MAX, ..Filter::default() };
        Reader::open(&self.journal()).and_then(|reader| reader.events(&filter)).unwrap_or_default()
    }

    fn dead_letters(&self) -> Vec<EventRow> {
        self.events()
            .into_iter()
            .filter(|event| !matches!(event.outcome.as_deref(), Some("done" | "skipped")))
            .collect()
    }

    fn journal(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("killed.db")
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.shopify.stop();
        self.omneo.stop();
    }
}

fn client() -> reqwest::Client {
    // Installing it twice is no mistake: it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn is_killed(killed: &Arc<Mutex<bool>>) -> bool {
    *killed.lock().unwrap()
}

/// Interleaving 16: killed between the customer's creation and the identity; the next event is customers/create.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_creating_the_customer() {
    let host = Killable::start().await;
    let killed = host.kill_after(Rule::operation("CreatePerson"));
    host.omneo
        .create_profile(json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"}))
        .unwrap();
    host.until("the kill", || is_killed(&killed)).await;
    host.run().await;
    host.settle().await;
    let (customers, profiles) = (host.shopify.customers(), host.omneo.profiles());
    assert_eq!((customers.len(), profiles.len()), (1, 1));
    let identities = profiles[0]["identities"].as_array().unwrap();
    assert_eq!(identities.len(), 1, "{identities:?}");
    assert_eq!(identities[0]["identifier"], json!(customers[0]["id"].to_string()));
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_write_that_may_be_repeated() {
    let host = Killable::start().await;
    let fields = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"});
    let customer = host.shopify.create_customer(fields).unwrap();
    host.settle().await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let killed = host.kill_after(Rule::path("PUT /profiles"));
    host.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    host.until("the kill", || is_killed(&killed)).await;
    host.run().await;
    host.settle().await;
    assert_eq!(host.omneo.profiles()[0]["last_name"], json!("Byron"));
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_write_that_may_not_be_repeated() {
    let host = Killable::start().await;
    let killed = host.kill_after(Rule::path("POST /orders"));
    host.shopify.send_order("orders/create", order(4501, None, "pending"));
    host.until("the kill", || is_killed(&killed)).await;
    host.run().await;
    host.settle().await;
    // It was carried out once, and the rules, told that nobody knows, did not ask for it again.
    assert_eq!(host.omneo.orders().len(), 1);
    host.shopify.send_order("orders/paid", order(4501, None, "paid"));
    host.settle().await;
    assert_eq!((host.omneo.orders().len(), host.omneo.transactions().len()), (1, 1));
}

/// Killed again and again while a crowd signs up: everybody is there in the end, once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_load() {
    let host = Killable::start().await;
    host.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(5)));
    for n in 0..40 {
        let fields = json!({"first_name": "Ada", "last_name": "Lovelace", "email": format!("ada{n}@lovelace.dev")});
        host.shopify.create_customer(fields).unwrap();
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        host.kill();
        host.run().await;
    }
    // The stand-in gives up sooner than Shopify does: what it gave up while the host was down is sent once more.
    for webhook in host.shopify.outbox().failed() {
        assert_eq!(host.shopify.outbox().deliver(&webhook).await, Ok(200));
    }
    host.settle().await;
    for e in host.events().iter().filter(|e| e.event.webhook.topic == "customers/create") {
        eprintln!("{} {:?} {:?}", e.event.id, e.outcome, e.reason);
    }
    let emails: std::collections::BTreeSet<_> =
        host.omneo.profiles().iter().map(|profile| profile["email"].to_string()).collect();
    assert_eq!((host.omneo.profiles().len(), emails.len()), (40, 40));
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
    // However often a run was cut off: asked anew with what was recorded, it says the same.
    let candidate = Plugin::load(&engine::engine().unwrap(), &component().await).unwrap();
    let replay = Replay { tenant: "acme", range: Range::Last(u64::MAX), candidate: &candidate, with_values: true };
    let report = replay.run(&Reader::open(&host.journal()).unwrap(), |_, _| ()).unwrap();
    assert_eq!(report.count(Class::Identical), report.events, "{}", replay::text(&report, Paint::plain()));
    assert!(report.events >= 80);
}

/// Killed again and again while what was held drains: everybody is there in the end, once, and in order of arrival.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_held_direction_drains() {
    let host = Killable::start().await;
    host.direct("hold").await;
    let people = 30;
    let fields =
        |n: usize| json!({"first_name": "Ada", "last_name": "Lovelace", "email": format!("ada{n}@lovelace.dev")});
    let customers: Vec<_> = (0..people).map(|n| host.shopify.create_customer(fields(n)).unwrap()).collect();
    for customer in &customers {
        host.shopify.update_customer(*customer, json!({"last_name": "Byron"})).unwrap();
    }
    host.until("the webhooks", || host.shopify.outbox().quiet() && host.waiting() >= 2 * people as u64).await;
    host.kill();
    host.run().await;
    assert_eq!(host.omneo.profiles().len(), 0);
    host.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(5)));
    host.direct("run").await;
    for _ in 0..3 {
        let before = host.waiting();
        host.until("some of them", || host.waiting() < before || before == 0).await;
        host.kill();
        host.run().await;
    }
    host.settle().await;
    let profiles = host.omneo.profiles();
    let emails: std::collections::BTreeSet<_> = profiles.iter().map(|profile| profile["email"].to_string()).collect();
    assert_eq!((profiles.len(), emails.len()), (people, people));
    assert!(profiles.iter().all(|profile| profile["last_name"] == "Byron"), "{profiles:#?}");
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
}

/// Killed while a job of Shopify's is asked for, looked at, downloaded and read: every order is bought once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_any_place_of_a_job() {
    const ORDERS: usize = 700;
    let host = Killable::with_app(AppOptions::standalone(ID, "hush", APP_URL)).await;
    let rules = format!("{}orders.from = \"2020-01-01\"\n", town::RULES);
    std::fs::write(host.folder.path().join("acme.wasm"), component_of(&rules).await).unwrap();
    let (now, day) = (tandem::clock::now(), 86_400_000);
    let past = Past { products: 3, orders: ORDERS as u64, ..Past::between(now - 40 * day, now - day) };
    live_through(&host.shopify, &host.omneo, &past);
    host.run().await;
    // The first answer is killed in front of the host, whose job is then one that nobody reads.
    let places = [Rule::operation("BulkRun"), Rule::operation("BulkRun"), Rule::operation("BulkLook")];
    let mut places = places.into_iter().chain([Rule::path("GET /bulk-operation-outputs")]);
    let busy = host.omneo.faults().add(Rule::any(), Fault::Throttled);
    let mut next = places.next().map(|place| host.kill_after(place));
    host.ask("POST", "imports", &json!({ "collections": ["orders"], "agreed": true })).await;
    while let Some(killed) = next {
        host.until("the kill", || is_killed(&killed)).await;
        next = places.next().map(|place| host.kill_after(place));
        host.run().await;
    }
    // Omneo takes nothing, so that the file is there and is not read on.
    let job = || host.reading().job.unwrap_or_default();
    host.until("half of the file", || host.reading().events >= 500).await;
    assert!((1..job().size).contains(&job().offset), "{:?}", job());
    host.kill();
    host.run().await;
    host.omneo.faults().remove(busy);
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(300 * round)).await;
        host.kill();
        host.run().await;
    }
    host.until("the end", || host.reading().ended_at.is_some()).await;
    host.settle().await;
    let reading = host.reading();
    assert_eq!((reading.items, reading.events), (ORDERS as u64, ORDERS as u64), "{reading:?}");
    let items = host.events().into_iter().filter(|event| event.event.webhook.topic == "pull/orders").count();
    let sold = host.omneo.transactions();
    let sold: Vec<_> = sold.iter().map(|sale| sale["external_id"].to_string()).collect();
    let once: std::collections::BTreeSet<_> = sold.iter().collect();
    assert_eq!((items, sold.len(), once.len()), (ORDERS, ORDERS, ORDERS));
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
    let files = std::fs::read_dir(host.folder.path().join("killed.db-bulk")).unwrap();
    assert_eq!(files.count(), 0);
}

/// Killed again and again around the renewal of a token, whose refresh token is another one each time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_any_place_of_a_renewal() {
    let app = AppOptions { token_seconds: 2, ..AppOptions::standalone(ID, "hush", APP_URL) };
    let host = Killable::with_app(app).await;
    host.run().await;
    let mut people = 0;
    for round in 0..8 {
        let killed = Arc::new(Mutex::new(false));
        let (child, told) = (host.child.clone(), killed.clone());
        // From before its answer is sent to after it is on disk.
        let after = Duration::from_millis(round * round);
        let kill = move || {
            std::thread::spawn(move || {
                std::thread::sleep(after);
                let mut child = child.lock().unwrap().take().expect("it runs");
                child.kill().unwrap();
                child.wait().unwrap();
                *told.lock().unwrap() = true;
            });
        };
        host.shopify.faults().after(Rule::operation("token/refresh_token").times(1), kill);
        let began = Instant::now();
        while !is_killed(&killed) {
            assert!(began.elapsed() < WAIT_MAX, "no renewal");
            let email = format!("ada{people}@lovelace.dev");
            host.omneo.create_profile(json!({"first_name": "Ada", "email": email})).unwrap();
            people += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        host.run().await;
    }
    // The stand-in gives up sooner than Omneo does.
    for webhook in host.omneo.outbox().failed() {
        assert_eq!(host.omneo.outbox().deliver(&webhook).await, Ok(200));
    }
    host.until("everybody", || host.shopify.customers().len() == people).await;
    host.until("rest", || host.waiting() == 0).await;
    assert!(host.dead_letters().is_empty(), "{:#?}", host.dead_letters());
    assert_eq!(host.shopify.token_counts(ID).most_at_once, 1);
}

/// Killed in the middle of a redaction: it is done again at start, and everything is gone in the end.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_redaction() {
    let host = Killable::start().await;
    let events = 5_000;
    let insert = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
        INSERT INTO events (tenant, source, topic, occurred_at, received_at, api_version, payload, outcome, ended_at)
        SELECT 'acme', 'shopify', 'checkouts/create', '2026-01-02T03:04:05Z', unixepoch() * 1000, '2026-07',
               json_object('id', n, 'email', 'ada@lovelace.dev'), 'skipped', unixepoch() * 1000 FROM n";
    host.until("the journal", || Reader::open(&host.journal()).is_ok()).await;
    let connection = rusqlite::Connection::open(host.journal()).unwrap();
    connection.execute_batch("PRAGMA secure_delete = ON").unwrap();
    connection.execute(insert, [events]).unwrap();
    drop(connection);
    let body = json!({"shop_id": 1, "customer": {"id": 191_167, "email": "ada@lovelace.dev"}, "orders_to_redact": []});
    let (body, options) = (body.to_string(), ShopifyOptions::default());
    let request = client().post(format!("http://127.0.0.1:{}/webhooks/shopify", host.port));
    let request = request
        .header("x-shopify-topic", "customers/redact")
        .header("x-shopify-shop-domain", options.shop)
        .header("x-shopify-hmac-sha256", sign_shopify(&options.webhook_secret, body.as_bytes()));
    assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    let redacted = || host.events().iter().filter(|event| event.event.webhook.payload.is_empty()).count();
    host.until("the first batch", || redacted() > 0).await;
    host.kill();
    assert!(redacted() < events, "it was killed too late to prove anything");
    host.run().await;
    host.settle().await;
    let last = host.events().pop().unwrap();
    let reason = last.reason.as_deref().unwrap_or_default();
    assert!(reason.ends_with("redacted 5000 events with 0 calls"), "{last:?}");
    assert_eq!(redacted(), events + 1);
    for file in ["killed.db", "killed.db-wal"] {
        let bytes = std::fs::read(host.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(16).any(|part| part == b"ada@lovelace.dev"), "{file}");
    }
}
