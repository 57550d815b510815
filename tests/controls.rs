//! What an operator does while events flow: directions that are held or dropped.
//!
//! `say` of the hostile rules asks for one call that names the event.

mod host;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use host::{Host, TENANT, hostile_component};
use reqwest::Method;
use tandem::journal::{Appended, Direction, EventRow, Filter, Journal, Mode};
use tandem::model::{EventId, Webhook};
use tandem_standin::{Fault, Rule, sign_shopify};

async fn start() -> Host {
    let engine = tandem::engine::building_engine().unwrap();
    let rules = tandem::bake::bake(&engine, hostile_component(), "rules.toml", "says = \"it\"\n").await.unwrap();
    Host::on(&rules.component).await
}

/// Journals an event of this system about this thing.
async fn say(journal: &Journal, source: &str, id: u64, nth: u64) -> EventId {
    let webhook = Webhook {
        tenant: TENANT.into(),
        source: source.into(),
        topic: "say".into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: tandem::clock::now(),
        api_version: "2026-07".into(),
        payload: format!(r#"{{"id": {id}, "nth": {nth}}}"#),
    };
    match journal.append(webhook).await.unwrap() {
        Appended::Accepted(event) | Appended::Duplicate(event) => event,
    }
}

async fn direct(host: &Host, source: &str, mode: Mode) {
    let direction = Direction {
        tenant: TENANT.into(),
        source: source.into(),
        mode,
        since: 0,
        by: "ops".into(),
        why: "a migration".into(),
    };
    host.server.journal.direct(direction).await.unwrap();
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// How often Omneo was told of each event.
fn told(host: &Host) -> HashMap<u64, usize> {
    let mut told = HashMap::new();
    for request in host.omneo.requests() {
        if let Some((nth, _)) = request.path.split_once("/said/").and_then(|(_, rest)| rest.split_once('/')) {
            *told.entry(nth.parse().unwrap()).or_default() += 1;
        }
    }
    told
}

fn events(host: &Host, source: &str) -> Vec<EventRow> {
    let filter = Filter { limit: usize::MAX, ..Filter::default() };
    let mut events = host.server.journal.read(|reader| reader.events(&filter)).unwrap();
    events.retain(|row| row.event.webhook.source == source);
    events
}

fn waiting(host: &Host, source: &str) -> usize {
    events(host, source).iter().filter(|row| row.outcome.is_none()).count()
}

/// What comes from Shopify is held under load, the other direction flows through the same entities, and the host restarts
/// while it is held and while it drains.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stands_in_nobodys_way_and_drains_in_order() {
    const THINGS: u64 = 12;
    let mut host = start().await;
    host.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(2)));
    let mut nth = 0;
    let mut send = async |host: &Host, events: u64| {
        for _ in 0..events {
            let source = if nth % 2 == 0 { "shopify" } else { "omneo" };
            say(&host.server.journal, source, nth / 2 % THINGS, nth).await;
            nth += 1;
        }
    };
    send(&host, 400).await;
    direct(&host, "shopify", Mode::Hold).await;
    send(&host, 400).await;
    until("the other direction", || waiting(&host, "omneo") == 0).await;
    let held = waiting(&host, "shopify");
    assert!(held >= 200, "{held} of those that came later are held");
    host = host.restart(|_| ()).await;
    send(&host, 100).await;
    until("the other direction", || waiting(&host, "omneo") == 0).await;
    assert_eq!(waiting(&host, "shopify"), held + 50);

    direct(&host, "shopify", Mode::Run).await;
    send(&host, 100).await;
    until("some of them", || waiting(&host, "shopify") < held).await;
    host = host.restart(|_| ()).await;
    send(&host, 100).await;
    until("all of them", || waiting(&host, "shopify") + waiting(&host, "omneo") == 0).await;
    let told = told(&host);
    assert_eq!((told.len(), told.values().max()), (nth as usize, Some(&1)));
    // One at a time, in order of arrival.
    for source in ["shopify", "omneo"] {
        let mut lanes: BTreeMap<String, i64> = BTreeMap::new();
        for row in events(&host, source) {
            let (row, runs) = host.show(row.event.id);
            assert_eq!(row.outcome.as_deref(), Some("done"), "{row:#?}");
            let before = lanes.insert(row.names[0].clone(), row.ended_at.unwrap()).unwrap_or_default();
            assert!(runs.last().unwrap().begun_at >= before, "{row:#?} began before the one before it was over");
        }
    }
    host.stop().await;
}

/// A run under way ends; what comes after it of the same entity steps aside, and the other direction passes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_ends_though_its_direction_is_held() {
    let host = start().await;
    let journal = &host.server.journal;
    host.omneo.faults().add(Rule::path("POST /said/0/"), Fault::Hang(Duration::from_millis(300)));
    let first = say(journal, "shopify", 7, 0).await;
    let second = say(journal, "shopify", 7, 1).await;
    until("the call", || told(&host).contains_key(&0)).await;
    direct(&host, "shopify", Mode::Hold).await;
    let theirs = say(journal, "omneo", 7, 2).await;
    assert_eq!(host.over(theirs).await.outcome.as_deref(), Some("done"));
    assert_eq!(host.row(first).outcome.as_deref(), Some("done"));
    assert_eq!((host.row(second).outcome, told(&host).contains_key(&1)), (None, false));
    // A dead letter that is retried meanwhile, and what the host does itself.
    let broken = host.event(TENANT, "customers/redact", r#"{"shop_id": 1, "customer": {"id": 9}}"#).await;
    assert_eq!(host.over(broken).await.outcome.as_deref(), Some("done"));
    direct(&host, "shopify", Mode::Run).await;
    assert_eq!(host.over(second).await.outcome.as_deref(), Some("done"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_acknowledged_and_skipped() {
    let host = start().await;
    direct(&host, "shopify", Mode::Hold).await;
    let held = host.event(TENANT, "say", r#"{"id": 1, "nth": 1}"#).await;
    direct(&host, "shopify", Mode::Drop).await;
    // It had arrived before.
    assert_eq!(host.over(held).await.outcome.as_deref(), Some("done"));

    let post = async |topic: &str, body: &'static str| {
        let (shop, signature) = (host::shop(TENANT), sign_shopify(host::SECRET, body.as_bytes()));
        let headers =
            [("x-shopify-shop-domain", &*shop), ("x-shopify-hmac-sha256", &signature), ("x-shopify-topic", topic)];
        host.request(Method::POST, "/webhooks/shopify", &headers, body).await
    };
    let (status, said) = post("say", r#"{"id": 1, "nth": 2}"#).await;
    let number = said.trim().strip_prefix("dropped as event ").and_then(|number| number.parse().ok());
    let dropped = host.row(EventId(number.unwrap_or_else(|| panic!("{status} {said}"))));
    assert_eq!((status, dropped.outcome.as_deref()), (200, Some("skipped")));
    let reason = "what comes from shopify is dropped, by ops: a migration";
    assert_eq!((dropped.reason.as_deref(), dropped.version), (Some(reason), None));
    let said = post("customers/redact", r#"{"shop_id": 1, "customer": {"id": 9}}"#).await.1;
    assert!(said.starts_with("accepted as event "), "{said}");
    let other = say(&host.server.journal, "omneo", 1, 3).await;
    assert_eq!(host.over(other).await.outcome.as_deref(), Some("done"));

    let host = host.restart(|_| ()).await;
    assert_eq!(host.server.journal.mode(TENANT, "shopify"), Mode::Drop);
    direct(&host, "shopify", Mode::Run).await;
    let event = host.event(TENANT, "say", r#"{"id": 1, "nth": 4}"#).await;
    assert_eq!(host.over(event).await.outcome.as_deref(), Some("done"));
    let mut told: Vec<_> = told(&host).into_iter().collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 1), (3, 1), (4, 1)]);
    host.stop().await;
}
