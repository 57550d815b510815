//! A shop with years behind it: planned, imported, stopped on the way, and reconciled until there is nothing left to do.
//!
//! `TANDEM_PAST=20000` has so many people in it, a quarter as many products, and one and a half times as many orders.

use std::time::{Duration, Instant};

use tandem::imports::{Reconciling, Wanted};
use tandem::journal::{Import, ImportState};
use tandem::playground::{Playground, TENANT};
use tandem_standin::{OmneoOptions, Past, ShopifyOptions, live_through};

use crate::town::Town;

const PEOPLE: u64 = 60;
const YEAR_MS: i64 = 365 * 86_400_000;

fn people() -> u64 {
    std::env::var("TANDEM_PAST").ok().and_then(|people| people.parse().ok()).unwrap_or(PEOPLE)
}

fn imports(town: &Town) -> Vec<Import> {
    town.playground.server.journal.read(|reader| reader.imports(TENANT)).unwrap()
}

/// Waits until `so` holds for the newest import.
async fn until(town: &Town, patience: Duration, so: impl Fn(&Import) -> bool) -> Import {
    let began = Instant::now();
    loop {
        let import = imports(town).remove(0);
        if so(&import) {
            return import;
        }
        assert!(began.elapsed() < patience, "{import:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_over(import: &Import) -> bool {
    !import.state.is_open()
}

/// Waits until every event is over.
async fn at_rest(town: &Town, patience: Duration) {
    let began = Instant::now();
    while town.playground.server.journal.read(|reader| reader.unfinished_count()).unwrap() > 0 {
        let waiting = || town.events().into_iter().find(|event| event.outcome.is_none());
        assert!(began.elapsed() < patience, "{:#?}", waiting().map(|event| town.show(event.event.id)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn read(import: &Import) -> u64 {
    import.readings.iter().map(|reading| reading.items).sum()
}

fn calls(town: &Town) -> (u64, u64) {
    (town.playground.shopify.requests().len() as u64, town.playground.omneo.requests().len() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_with_years_behind_it_is_in_step_and_stays_so() {
    let people = people();
    let patience = Duration::from_secs(60) + Duration::from_millis(50 * people);
    let rules = "timezone = \"Australia/Melbourne\"\norders.from = \"2020-01-01\"\n";
    let folder = tempfile::tempdir().unwrap();
    let (plugin, journal) = (crate::town::plugin(rules).await, folder.path().join("town.db"));
    // What is measured is the host, and no target's limit.
    let mut shopify = ShopifyOptions { bucket: (1e9, 1e9), ..ShopifyOptions::default() };
    shopify.scopes.push("read_all_orders".into());
    let clock = shopify.clock.clone();
    let playground = Playground::start(plugin, &journal, shopify, OmneoOptions::default()).await.unwrap();
    let town = Town { playground, clock, folder };
    town.by_hand();
    let now = town.clock.now_ms();
    let past = Past {
        people,
        products: people / 4,
        orders: people * 3 / 2,
        from_ms: now - 2 * YEAR_MS,
        until_ms: now - 86_400_000,
        linked: 40,
        shared: 30,
    };
    live_through(&town.playground.shopify, &town.playground.omneo, &past);
    town.playground.shopify.outbox().take();
    town.playground.omneo.outbox().take();
    let quiet = calls(&town);

    let plan = Wanted { plan: true, ..Wanted::default() };
    town.playground.server.imports.begin(TENANT, plan, "olga").await.unwrap();
    let planned = until(&town, patience, is_over).await;
    assert_eq!(planned.state, ImportState::Done, "{planned:#?}");
    assert_eq!(town.events().len(), 0);
    let began = Instant::now();
    let before = calls(&town);

    let all = Wanted { agreed: true, ..Wanted::default() };
    town.playground.server.imports.begin(TENANT, all, "olga").await.unwrap();
    // Twice the host stops on the way.
    let mut town = town;
    for part in [4, 2] {
        until(&town, patience, |import| read(import) >= read(&planned) / part || is_over(import)).await;
        let rules = crate::town::plugin(rules).await;
        let Town { playground, clock, folder } = town;
        town = Town { playground: playground.restart(Some(rules)).await.unwrap(), clock, folder };
    }
    let import = until(&town, patience, is_over).await;
    at_rest(&town, patience).await;
    let taken = began.elapsed();
    // What changes while it is read is read twice.
    assert!(import.state == ImportState::Done && read(&import) >= read(&planned), "{import:#?}");
    assert_eq!(town.dead_letters(), [""; 0]);
    let (profiles, customers) = (town.profiles().len(), town.playground.shopify.customers().len());
    assert_eq!(profiles, customers, "everybody is on both sides");
    assert!(profiles as u64 >= people * 9 / 10, "{profiles}");
    let (shopify, omneo) = calls(&town);
    println!(
        "{people} people, {profiles} in step after {taken:.1?}; calls for each person: {:.2} to Shopify, {:.2} to Omneo",
        (shopify - before.0) as f64 / people as f64,
        (omneo - before.1) as f64 / people as f64,
    );
    println!("the plan took {} calls to Shopify and {} to Omneo", before.0 - quiet.0, before.1 - quiet.1);

    // What was written is heard of meanwhile, by webhook or by reading again.
    town.playground.shopify.outbox().take();
    town.playground.omneo.outbox().take();
    for _ in 0..2 {
        town.playground.server.imports.reconcile(TENANT, Reconciling::default(), "olga").await.unwrap();
        until(&town, patience, is_over).await;
        at_rest(&town, patience).await;
        town.playground.shopify.outbox().take();
        town.playground.omneo.outbox().take();
    }
    let (events, before) = (town.events().len(), calls(&town));
    let began = Instant::now();
    town.playground
        .server
        .imports
        .reconcile(TENANT, Reconciling { names: true, ..Reconciling::default() }, "olga")
        .await
        .unwrap();
    let last = until(&town, patience, is_over).await;
    let taken = began.elapsed();
    assert_eq!(town.events().len(), events, "{:?}", town.outcomes(events));
    let (shopify, omneo) = calls(&town);
    let pages: u64 = last.readings.iter().map(|reading| reading.pages).sum();
    assert_eq!(shopify - before.0 + omneo - before.1, pages, "nothing is asked but pages");
    let in_step: u64 = last.readings.iter().map(|reading| reading.in_step).sum();
    for reading in &last.readings {
        let ms = reading.ended_at.zip(reading.begun_at).map(|(ended, begun)| ended - begun).unwrap_or_default();
        let of = if reading.names_of.is_some() { "names of " } else { "" };
        println!("  {of}{}: {} items, {} pages, {ms} ms", reading.pull, reading.items, reading.pages);
    }
    println!("reconciled without a call: {in_step} items in step in {taken:.1?}");
    let bytes = std::fs::metadata(town.folder.path().join("town.db")).unwrap().len();
    println!("the journal has {} KiB for each person", bytes / 1024 / people);
    town.stop().await;
}
