//! What the host costs: accepting webhooks durably, and whole events with targets that answer at once.
//!
//! `cargo bench --bench host`. Figures depend on the disk; a row of plain `fsync`s is printed beside them.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem::config::{Alerts, Apps, Config, Peer, Quota, RulesFrom, Tenant};
use tandem::journal::{Appended, Journal, Range, Reader};
use tandem::model::Webhook;
use tandem::playground::{self, Playground};
use tandem::replay::{Replay, Require};
use tandem::serve::Server;
use tandem::vault::Keys;
use tandem_standin::{OmneoOptions, ShopifyOptions};

const EVENTS: usize = 20_000;
const SENDERS: usize = 256;
/// Webhooks a second that come at a steady rate.
const STEADY: u32 = 200;
/// Events of the cycle, and the products they are about: not so many that the stand-in's own search for one is measured.
const CYCLES: usize = 6_000;
const PRODUCTS: usize = 300;
/// Calls to a target at a time. It is the host that is measured, not this limit of its settings.
const CONCURRENT_CALLS: u64 = 64;
/// Events of one tenant that wait, and those of another that are measured beside them.
const WAITING: i64 = 300_000;
const LIGHT: usize = 100;
/// How long the backlog is worked off alone.
const ALONE: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fsync = plain_fsync(folder.path());
    println!("a plain write and fsync: {:.0} a second", fsync);
    runtime.block_on(async {
        accept(folder.path(), fsync).await;
        cycle(folder.path()).await;
        backlog(folder.path()).await;
    });
}

fn plain_fsync(folder: &std::path::Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("plain")).expect("a file");
    let began = Instant::now();
    let mut writes = 0;
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[b'x'; 1000]).and_then(|()| file.sync_data()).expect("a write");
        writes += 1;
    }
    f64::from(writes) / began.elapsed().as_secs_f64()
}

/// Durable appends by many senders at once.
async fn accept(folder: &std::path::Path, fsync: f64) {
    let (journal, _feeds, _thread) = Journal::open(&folder.join("accept.db")).expect("a journal");
    let journal = Arc::new(journal);
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let journal = journal.clone();
        senders.spawn(async move {
            let mut took = vec![];
            for n in 0..EVENTS / SENDERS {
                let began = Instant::now();
                let appended = journal.append(webhook(sender * 1_000_000 + n)).await.expect("an append");
                assert!(matches!(appended, Appended::Accepted(_)));
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort();
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
    println!(
        "accepted durably: {rate:.0} events a second ({:.1} for each plain fsync), p50 {:.1} ms, p99 {:.1} ms",
        rate / fsync,
        at(50),
        at(99)
    );
}

/// Whole events: taken in, asked about, called out for, and ended, with one call each.
async fn cycle(folder: &std::path::Path) {
    let plugin = playground::plugin("timezone = \"UTC\"\n").await.expect("the default rules");
    let omneo = OmneoOptions { webhook_url: None, ..OmneoOptions::default() };
    let journal = folder.join("cycle.db");
    let playground = Playground::start(plugin.clone(), &journal, ShopifyOptions::default(), omneo).await;
    let Playground { shopify, omneo, server, mut config, .. } = playground.expect("a playground");
    server.stop().await.expect("a clean stop");
    config.tenants[0].limits.concurrent_calls = CONCURRENT_CALLS;
    let playground = Playground::with(plugin.clone(), config, shopify, omneo).await.expect("a playground");
    playground.omneo.outbox().set_delivery(tandem_standin::Delivery::Manual);
    for echo in [false, true] {
        let began = Instant::now();
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..CYCLES {
            let journal = playground.server.journal.clone();
            senders.spawn(async move {
                let mut webhook = webhook(n % PRODUCTS);
                // For an echo the products as they were last; otherwise each is another one than before.
                let version = if echo { CYCLES / PRODUCTS - 1 } else { n / PRODUCTS };
                webhook.payload = webhook.payload.replace("Dress", &format!("Dress {version}"));
                webhook.delivery_id = Some(format!("{n}-{echo}"));
                journal.append(webhook).await.expect("an append")
            });
        }
        senders.join_all().await;
        while playground.server.journal.read(|reader| reader.unfinished_count()).expect("a count") > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let rate = CYCLES as f64 / began.elapsed().as_secs_f64();
        let what = if echo { "an echo, no call" } else { "one call to a stand-in in the same process" };
        println!("whole events, {what}: {rate:.0} a second");
    }
    playground.stop().await.expect("a clean stop");
    let replay =
        Replay { tenant: playground::TENANT, range: Range::Last(u64::MAX), candidate: &plugin, with_values: false };
    let reader = Reader::open(&folder.join("cycle.db")).expect("the journal");
    let report = replay.run(&reader, |_, _| ()).expect("a replay");
    assert_eq!(report.against(Require::Identical), 0);
    let rate = report.events as f64 / (report.took_ms as f64 / 1e3);
    println!("recorded events replayed: {rate:.0} a second");
}

/// Accepting, and a whole event of a tenant with little to do, beside another tenant's backlog that is being worked off. Its
/// events are skipped without a call; each is about an order of its own.
async fn backlog(folder: &std::path::Path) {
    let plugin = playground::plugin("timezone = \"UTC\"\n").await.expect("the default rules");
    let config = two_tenants(&folder.join("backlog.db"));
    let plugins = || HashMap::from([("light".to_owned(), plugin.clone()), ("flood".to_owned(), plugin.clone())]);
    let server = Server::start_with(&config, plugins()).await.expect("a host");
    light(&server, 20).await;
    let idle = light(&server, LIGHT).await;
    let calm = accepted(&server).await;
    let steady_calm = accepted_steadily(&server).await;
    while unfinished(&server) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await.expect("a clean stop");
    fill(&config.journal);
    let began = Instant::now();
    let server = Server::start_with(&config, plugins()).await.expect("a host");
    println!("restart with {WAITING} events waiting: {:.2} s", began.elapsed().as_secs_f64());
    let alone = worked_off(&server, tokio::time::sleep(ALONE)).await;
    let mut busy = 0.0;
    let together = worked_off(&server, async { busy = light(&server, LIGHT).await }).await;
    let steady = accepted_steadily(&server).await;
    let beside = accepted(&server).await;
    let left = unfinished(&server);
    println!("the backlog worked off: {alone:.0} events a second; beside the light tenant: {together:.0}");
    println!("accept, p99 of {SENDERS} senders: {calm:.1} ms; beside {left} waiting: {beside:.1} ms");
    println!("accept, p99 of {STEADY} a second: {steady_calm:.1} ms; beside: {steady:.1} ms");
    println!("a light tenant's event, median: {idle:.1} ms; beside the backlog: {busy:.1} ms ({:.1}x)", busy / idle);
    server.stop().await.expect("a clean stop");
}

/// How many events a second end meanwhile.
async fn worked_off(server: &Server, meanwhile: impl Future<Output = ()>) -> f64 {
    let (before, began) = (unfinished(server), Instant::now());
    meanwhile.await;
    before.saturating_sub(unfinished(server)) as f64 / began.elapsed().as_secs_f64()
}

fn unfinished(server: &Server) -> u64 {
    server.journal.read(|reader| reader.unfinished_count()).expect("a count")
}

/// The median time from taking in to the end of so many events, one after the other.
async fn light(server: &Server, events: usize) -> f64 {
    let mut took = vec![];
    for _ in 0..events {
        let began = Instant::now();
        let appended = server.journal.append(test_order("light")).await.expect("an append");
        let Appended::Accepted(event) = appended else { panic!("{appended:?}") };
        let is_over = |reader: &Reader| Ok(reader.show(event)?.is_some_and(|(row, _)| row.outcome.is_some()));
        while !server.journal.read(is_over).expect("the journal") {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took.push(began.elapsed());
    }
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1e3
}

/// The 99th percentile of accepting by many senders at once, in milliseconds: each sends again as soon as it is answered.
async fn accepted(server: &Server) -> f64 {
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let journal = server.journal.clone();
        senders.spawn(async move {
            let mut took = vec![];
            for _ in 0..20 {
                took.push(taken_in(&journal).await);
            }
            took
        });
    }
    percentile_99(senders.join_all().await.into_iter().flatten().collect())
}

/// The same of webhooks that come at a steady rate, however long any takes.
async fn accepted_steadily(server: &Server) -> f64 {
    let mut sent = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / STEADY);
    for _ in 0..5 * STEADY {
        ticks.tick().await;
        let journal = server.journal.clone();
        sent.spawn(async move { taken_in(&journal).await });
    }
    percentile_99(sent.join_all().await)
}

async fn taken_in(journal: &Journal) -> Duration {
    let began = Instant::now();
    journal.append(test_order("light")).await.expect("an append");
    began.elapsed()
}

fn percentile_99(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() * 99 / 100].as_secs_f64() * 1e3
}

/// Puts the backlog into a journal.
fn fill(journal: &std::path::Path) {
    let connection = rusqlite::Connection::open(journal).expect("the journal");
    let order = test_order("flood");
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
        INSERT INTO events (tenant, source, topic, occurred_at, received_at, api_version, payload, place)
        SELECT ?2, ?3, ?4, ?5, ?6, ?7,
            json_set(?8, '$.id', 900000000 + n, '$.admin_graphql_api_id', 'gid://shopify/Order/' || (900000000 + n)),
            (SELECT last FROM places) + n
        FROM n";
    let values = rusqlite::params![
        WAITING,
        order.tenant,
        order.source,
        order.topic,
        order.occurred_at,
        order.received_at,
        order.api_version,
        order.payload
    ];
    connection.execute(fill, values).expect("a backlog");
    connection.execute("UPDATE places SET last = last + ?", [WAITING]).expect("its places");
}

fn test_order(tenant: &str) -> Webhook {
    Webhook {
        tenant: tenant.into(),
        source: "shopify".into(),
        topic: "orders/create".into(),
        delivery_id: None,
        occurred_at: "2026-11-02T09:00:00Z".into(),
        received_at: tandem::clock::now(),
        api_version: "2026-07".into(),
        payload: include_str!("../tests/cases/shopify/orders-create/a-test-order-is-skipped/payload.json").into(),
    }
}

fn two_tenants(journal: &std::path::Path) -> Config {
    let peer = Peer {
        webhook_secrets: vec!["s".repeat(40).as_str().into()],
        ..Peer::with_token("https://127.0.0.1:9", &"t".repeat(40))
    };
    let tenant = |name: &str| Tenant {
        name: name.into(),
        shop: format!("{name}.myshopify.com"),
        rules: RulesFrom::Deployed,
        shopify: peer.clone(),
        omneo: peer.clone(),
        limits: Quota::default(),
    };
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        journal: journal.to_owned(),
        body_bytes_max: 2 << 20,
        allow: vec![],
        allow_merchants: vec![],
        delivery: tandem::config::Delivery { timeout_ms: 5_000, retry_delays_ms: vec![], quiet_ms: 5_000 },
        public_url: None,
        apps: Apps::new(),
        tenants: vec![tenant("light"), tenant("flood")],
        keys: Keys::default(),
        admin: None,
        alerts: Alerts::default(),
        reconcile: None,
        relink: vec![],
    }
}

fn webhook(n: usize) -> Webhook {
    let payload = json!({
        "id": 7_700_000_000_000_u64 + n as u64, "title": "Dress", "handle": "dress", "vendor": "Acme", "body_html": "x".repeat(600), "status": "active",
        "tags": "", "published_at": "2026-11-02T20:00:00+11:00", "updated_at": "2026-11-02T20:00:00+11:00", "images": [], "options": [{"name": "Size"}],
        "variants": [{"id": 11 + n as u64, "sku": format!("DRESS-{n}"), "title": "M", "price": "59.95", "position": 1, "option1": "M"}],
    });
    Webhook {
        tenant: playground::TENANT.into(),
        source: "shopify".into(),
        topic: "products/update".into(),
        delivery_id: Some(n.to_string()),
        occurred_at: "2026-11-02T09:00:00Z".into(),
        received_at: tandem::clock::now(),
        api_version: "2026-07".into(),
        payload: payload.to_string(),
    }
}
