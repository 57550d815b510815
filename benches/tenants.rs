//! What tenants cost that are there and do nothing, and how long the first event of one takes that was not asked lately.
//!
//! `cargo bench --bench tenants`. Each number of tenants is a process of its own, since memory that one has freed is kept.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tandem::config::{Alerts, Apps, Config, Delivery, Peer, Quota, RulesFrom, Tenant};
use tandem::journal::{Activation, Appended, Cause, Journal};
use tandem::model::Webhook;
use tandem::rules::Plugin;
use tandem::serve::Server;
use tandem::vault::Keys;
use tandem::{bake, clock, engine};

const NUMBERS: [usize; 4] = [1, 100, 1_000, 10_000];
/// Different versions; tenants on the same one share it.
const VERSIONS: usize = 4;
/// Tenants that get an event in the end, at most.
const BUSY_MAX: usize = 1_000;
const KIB: f64 = 1024.0;

fn main() {
    // As a child: the folder, and how many tenants there are.
    if let [folder, tenants] = &std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect::<Vec<_>>()[..] {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(measure(Path::new(folder), tenants.parse().expect("a number")));
    }
    println!(
        "{:>8} {:>10} {:>16} {:>16} {:>14} {:>12} {:>12}",
        "tenants", "start", "memory", "each when idle", "after events", "cold event", "warm event"
    );
    for tenants in NUMBERS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The first makes the journal, and compiles what is kept beside it.
        for _ in 0..2 {
            let me = std::env::current_exe().expect("this program");
            let ran = Command::new(me).arg(folder.path()).arg(tenants.to_string()).status().expect("a process");
            assert!(ran.success());
        }
    }
}

async fn measure(folder: &Path, tenants: usize) {
    let config = config(folder, tenants);
    if !config.journal.exists() {
        return make(&config).await;
    }
    let before = resident_bytes();
    let began = Instant::now();
    let server = Server::start(&config).await.expect("a host");
    let started = began.elapsed();
    let idle = resident_bytes();
    // The first tenants have a version each, none of which is loaded.
    let mut cold = vec![];
    for tenant in config.tenants.iter().take(VERSIONS) {
        cold.push(event(&server, &tenant.name).await);
    }
    let mut warm = vec![];
    for tenant in config.tenants.iter().cycle().take(200) {
        warm.push(event(&server, &tenant.name).await);
    }
    for tenant in config.tenants.iter().take(BUSY_MAX) {
        event(&server, &tenant.name).await;
    }
    let busy = resident_bytes();
    let median = |took: &mut Vec<Duration>| {
        took.sort();
        took[took.len() / 2].as_secs_f64() * 1e3
    };
    println!(
        "{tenants:>8} {:>8.0}ms {:>12.1} MiB {:>12.2} KiB {:>10.1} MiB {:>9.2} ms {:>9.2} ms",
        started.as_secs_f64() * 1e3,
        idle / KIB / KIB,
        (idle - before) / KIB / tenants as f64,
        busy / KIB / KIB,
        median(&mut cold),
        median(&mut warm),
    );
    server.stop().await.expect("a clean stop");
}

/// Time from taking an event in to its end: a test order, which the rules skip without a call.
async fn event(server: &Server, tenant: &str) -> Duration {
    let began = Instant::now();
    let now = clock::now();
    let webhook = Webhook {
        tenant: tenant.to_owned(),
        source: "shopify".into(),
        topic: "orders/create".into(),
        delivery_id: None,
        occurred_at: clock::rfc3339(now),
        received_at: now,
        api_version: "2026-07".into(),
        payload: include_str!("../tests/cases/shopify/orders-create/a-test-order-is-skipped/payload.json").into(),
    };
    let Appended::Accepted(event) = server.journal.append(webhook).await.expect("an append") else { panic!() };
    loop {
        let shown = server.journal.read(|reader| reader.show(event)).expect("the journal");
        if let Some(outcome) = shown.and_then(|(row, _)| row.outcome) {
            assert_eq!(outcome, "skipped");
            return began.elapsed();
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

/// Deploys the versions, and makes each current for its share of the tenants.
async fn make(config: &Config) {
    let mut versions = vec![];
    for n in 0..VERSIONS {
        let rules = format!("timezone = \"UTC\"\n[tags]\nprefix = \"v{n}:\"\n");
        let (building, base) = (engine::building_engine().expect("an engine"), bake::default_base().expect("a base"));
        let baked = bake::bake(&building, &base, "rules.toml", &rules).await.expect("the rules are right");
        let plugin = Plugin::load(&engine::engine().expect("an engine"), &baked.component).expect("a plugin");
        versions.push((plugin, baked.component));
    }
    let (journal, feeds, thread) = Journal::open(&config.journal).expect("a journal");
    for (tenant, (plugin, component)) in config.tenants.iter().zip(versions.iter().cycle()) {
        let manifest = serde_json::to_string(plugin.manifest()).expect("JSON");
        let (name, digest) = (&tenant.name, plugin.digest());
        journal.deploy(name, digest, manifest, component.clone(), None).await.expect("a version");
        let activation = Activation {
            tenant: name.clone(),
            digest: digest.to_owned(),
            cause: Cause::Activated,
            fixed: Default::default(),
            relink: false,
            expected: None,
            failures_max: None,
            configured: None,
        };
        assert!(journal.activate(activation).await.expect("the journal").is_ok());
    }
    drop((journal, feeds));
    thread.join().expect("a clean end");
    // Compiles each version once, and keeps the code.
    let server = Server::start(config).await.expect("a host");
    for tenant in config.tenants.iter().take(VERSIONS) {
        event(&server, &tenant.name).await;
    }
    server.stop().await.expect("a clean stop");
}

fn config(folder: &Path, tenants: usize) -> Config {
    let peer = Peer {
        webhook_secrets: vec!["s".repeat(40).as_str().into()],
        ..Peer::with_token("https://127.0.0.1:9", &"t".repeat(40))
    };
    let tenant = |n: usize| Tenant {
        name: format!("tenant-{n}"),
        shop: format!("shop-{n}.myshopify.com"),
        rules: RulesFrom::Deployed,
        shopify: peer.clone(),
        omneo: peer.clone(),
        limits: Quota::default(),
    };
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        journal: folder.join("tandem.db"),
        body_bytes_max: 2 << 20,
        allow: vec![],
        allow_merchants: vec![],
        delivery: Delivery { timeout_ms: 5_000, retry_delays_ms: vec![], quiet_ms: 5_000 },
        public_url: None,
        apps: Apps::new(),
        tenants: (0..tenants).map(tenant).collect(),
        keys: Keys::default(),
        admin: None,
        alerts: Alerts::default(),
        reconcile: None,
        relink: vec![],
    }
}

/// What this process has in memory, by Linux.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this bench runs on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * KIB
}
