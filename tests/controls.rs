//! What an operator does while events flow: directions that are held or dropped, and what a tenant may take of the host.
//!
//! `say` of the hostile rules asks for one call that names the event.

use crate::host;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::host::{Host, TENANT, hostile_component};
use reqwest::Method;
use tandem::clock;
use tandem::config::Quota;
use tandem::journal::{Appended, Deed, Direction, EventRow, Filter, Journal, Mode, Range};
use tandem::model::{EventId, Webhook};
use tandem::retention;
use tandem::tenants::Tenants;
use tandem_standin::{Fault, Rule, sign_shopify};

/// A host whose tenant has these limits.
async fn limited(limits: Quota) -> Host {
    let mut host = start().await;
    host.config.tenants[0].limits = limits;
    host.restart(|_| ()).await
}

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
        received_at: clock::now(),
        api_version: "2026-07".into(),
        payload: format!(r#"{{"id": {id}, "nth": {nth}}}"#),
    };
    match journal.append(webhook).await.unwrap() {
        Appended::Accepted(event) | Appended::Duplicate(event) | Appended::Differs { event, .. } => event,
    }
}

/// Sends a webhook as Shopify does; gives status and text of the answer.
async fn post(host: &Host, topic: &str, body: &str) -> (u16, String) {
    let (shop, signature) = (host::shop(TENANT), sign_shopify(host::SECRET, body.as_bytes()));
    let headers =
        [("x-shopify-shop-domain", &*shop), ("x-shopify-hmac-sha256", &signature), ("x-shopify-topic", topic)];
    host.request(Method::POST, "/webhooks/shopify", &headers, body.to_owned()).await
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

/// Whom it is about has been redacted meanwhile: nobody is told of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_redacted_while_it_was_held_does_not_begin() {
    let host = start().await;
    direct(&host, "shopify", Mode::Hold).await;
    let theirs = host.event(TENANT, "say", r#"{"id": 1, "nth": 1}"#).await;
    let another = host.event(TENANT, "say", r#"{"id": 2, "nth": 2}"#).await;
    let redaction = host.event(TENANT, "customers/redact", r#"{"shop_id": 1, "customer": {"id": 9}}"#).await;
    host.over(redaction).await;
    host.server.journal.redact(redaction, &[theirs]).await.unwrap();
    let host = host.restart(|_| ()).await;
    direct(&host, "shopify", Mode::Run).await;
    let row = host.over(theirs).await;
    assert_eq!((row.outcome.as_deref(), row.event.webhook.payload.as_str()), (Some("skipped"), ""));
    assert_eq!(host.over(another).await.outcome.as_deref(), Some("done"));
    assert_eq!(told(&host), HashMap::from([(2, 1)]));
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

    let post = async |topic: &str, body: &str| post(&host, topic, body).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_at_a_time_is_told_when_to_send_again() {
    let host = limited(Quota { events_per_second: 1, ..Quota::default() }).await;
    let mut accepted = 0;
    let refused = loop {
        match post(&host, "say", &format!(r#"{{"id": 1, "nth": {accepted}}}"#)).await {
            (200, _) => accepted += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused, (429, "more than 1 webhooks a second; send it again in 1 s\n".into()));
    // Ten seconds' worth, and what came back meanwhile.
    assert!((10..20).contains(&accepted), "{accepted}");
    let redact = r#"{"shop_id": 1, "customer": {"id": 9}}"#;
    assert_eq!(post(&host, "customers/redact", redact).await.0, 200);
    // An operator may give it more at once.
    let host = host.restart(|_| ()).await;
    assert_eq!(post(&host, "say", r#"{"id": 1, "nth": 99}"#).await.0, 200);
    host.stop().await;
}

/// What the triggers have counted, which must be what there is.
fn bytes(host: &Host) -> u64 {
    host.server
        .journal
        .read(|reader| {
            assert_eq!(reader.miscounted()?, BTreeMap::new());
            reader.bytes_of(TENANT)
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_refuses_webhooks_until_there_is_room() {
    let host = start().await;
    // Its version counts, too.
    let limit = bytes(&host) + 8_000;
    let mut config = host.config.clone();
    config.tenants[0].limits.journal_bytes_max = limit;
    host.server.reload(config).await.unwrap();
    let (mut accepted, body) = (0, format!(r#"{{"id": 1, "nth": 1, "note": "{}"}}"#, "a".repeat(500)));
    let refused = loop {
        match post(&host, "say", &body).await {
            (200, _) => accepted += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused, (507, format!("the {limit} bytes of this tenant's journal are used up\n")));
    assert!((3..12).contains(&accepted), "{accepted}");
    // What is under way ends, beyond the limit too, and what is to be redacted makes room.
    until("all of them", || waiting(&host, "shopify") == 0).await;
    let full = bytes(&host);
    assert!(full + 1_000 > limit, "{full} of {limit}");
    assert_eq!(post(&host, "shop/redact", r#"{"shop_id": 1}"#).await.0, 200);
    until("the redaction", || waiting(&host, "shopify") == 0).await;
    let left = bytes(&host);
    assert!(left + 500 * accepted < full, "{left} of {full}");
    assert_eq!(post(&host, "say", &body).await.0, 200);
    until("the last one", || waiting(&host, "shopify") == 0).await;
    bytes(&host);
    host.stop().await;
}

/// What is over and old leaves with all that hangs on it; what others need stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_tenant_keeps_leaves_the_journal() {
    let host = limited(Quota { keep_days: 7, ..Quota::default() }).await;
    let event = async |topic: &str, body: &str| {
        let event = host.event(TENANT, topic, body).await;
        host.over(event).await;
        event
    };
    let first = event("remember", r#"{"id": 1, "a": 1}"#).await;
    let second = event("remember", r#"{"id": 1, "b": 2}"#).await;
    let called = event("say", r#"{"id": 2, "nth": 1}"#).await;
    let dead = event("broken", r#"{"id": 3}"#).await;
    direct(&host, "shopify", Mode::Hold).await;
    let held = host.event(TENANT, "say", r#"{"id": 4, "nth": 2}"#).await;
    direct(&host, "shopify", Mode::Run).await;
    let recalled = event("recall", r#"{"id": 1}"#).await;
    let third = event("remember", r#"{"id": 1, "c": 3}"#).await;
    host.over(held).await;
    let connection = rusqlite::Connection::open(&host.journal).unwrap();
    let age = |event: EventId, days: i64| {
        let ms = days * 24 * 3_600 * 1_000;
        let older = "UPDATE events SET received_at = received_at - ?1, ended_at = ended_at - ?1 WHERE id = ?2";
        connection.execute(older, [ms, event.0]).unwrap();
    };
    [first, second, called, dead].into_iter().for_each(|event| age(event, 8));
    age(recalled, 6);
    // Retried after a long time, it is not over for long.
    connection.execute("UPDATE events SET received_at = 0 WHERE id = ?", [held.0]).unwrap();

    let tenants = Tenants::new(&host.config.tenants);
    let journal = &host.server.journal;
    assert_eq!(retention::sweep(journal, &tenants, clock::now(), u64::MAX).await.unwrap(), 3);
    assert_eq!(retention::sweep(journal, &tenants, clock::now(), u64::MAX).await.unwrap(), 0);
    let left: Vec<_> = events(&host, "shopify").iter().map(|row| row.event.id).collect();
    assert_eq!(left, [dead, held, recalled, third]);
    bytes(&host);
    for (table, rows) in [("runs", 4), ("calls", 1), ("attempts", 1)] {
        let count = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        assert_eq!(count, Ok(rows), "{table}");
    }
    // What a later event began with is there still, and what nobody began with any more is not.
    let began = journal.read(|reader| reader.began_with(recalled)).unwrap();
    assert_eq!(began, Some(vec![(second, r#"{"id": 1, "b": 2}"#.to_owned())]));
    let memories: Vec<String> = {
        let mut statement = connection.prepare("SELECT body FROM memory ORDER BY revision").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(memories, [r#"{"id": 1, "b": 2}"#, r#"{"id": 1, "c": 3}"#]);
    let whole = journal.read(|reader| {
        let span = reader.span(TENANT, Range::Last(u64::MAX))?.unwrap();
        Ok(reader.recorded(TENANT, None, span)?.iter().all(|recorded| recorded.is_whole))
    });
    assert!(whole.unwrap());
    let again = event("recall", r#"{"id": 1}"#).await;
    assert_eq!(host.row(again).reason.as_deref(), Some(r#"["{\"id\": 1, \"c\": 3}"]"#));

    // The newest keeps its number, however old.
    age(again, 99);
    [dead, held, recalled, third].into_iter().for_each(|event| age(event, 99));
    assert_eq!(retention::sweep(journal, &tenants, clock::now(), u64::MAX).await.unwrap(), 3);
    let left: Vec<_> = events(&host, "shopify").iter().map(|row| row.event.id).collect();
    assert_eq!(left, [dead, again]);
    assert!(event("say", r#"{"id": 5, "nth": 5}"#).await > again);

    // Of a tenant that is only not there, nothing leaves; of one that was removed, what would leave of any other.
    tenants.remove(TENANT);
    let later = clock::now() + 100 * 24 * 3_600_000;
    assert_eq!(retention::sweep(journal, &tenants, later, u64::MAX).await.unwrap(), 0);
    let deed = Deed { by: "ops".into(), tenant: Some(TENANT.into()), what: "removed".into() };
    journal.remove_tenant(TENANT, "acme.myshopify.com", deed).await.unwrap();
    assert_eq!(retention::sweep(journal, &tenants, later, u64::MAX).await.unwrap(), 1);
    host.stop().await;
}
