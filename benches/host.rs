//! What the host costs: accepting webhooks durably, and whole events with targets that answer at once.
//!
//! `cargo bench --bench host`. Figures depend on the disk; a row of plain `fsync`s is printed beside them.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem::journal::{Appended, Journal, Range, Reader};
use tandem::model::Webhook;
use tandem::playground::{self, Playground};
use tandem::replay::{Replay, Require};
use tandem_standin::{OmneoOptions, ShopifyOptions};

const EVENTS: usize = 20_000;
const SENDERS: usize = 256;
/// Events of the cycle, and the products they are about: not so many that the stand-in's own search for one is measured.
const CYCLES: usize = 6_000;
const PRODUCTS: usize = 300;
/// Calls to a target at a time. It is the host that is measured, not this limit of its settings.
const CONCURRENT_CALLS: u64 = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fsync = plain_fsync(folder.path());
    println!("a plain write and fsync: {:.0} a second", fsync);
    runtime.block_on(async {
        accept(folder.path(), fsync).await;
        cycle(folder.path()).await;
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
