//! What a tenant takes of the journal is counted whole and exactly, whatever it does, and none gets around its limit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tandem::config::{Peer, Quota, RulesFrom, Tenant};
use tandem::journal::{Direction, Filter, Journal, Mode};
use tandem::retention;
use tandem::tenants::Tenants;
use tandem::{bake, clock, engine};
use tandem_standin::sign_shopify;

use crate::desk::{Desk, detail};
use crate::host::{self, Host, TENANT, hostile_component};

const MIB: u64 = 1 << 20;
/// Events of a tenant that are in memory at a time: what is under way goes on.
const UNDER_WAY: u64 = 64;

async fn saying(what: &str) -> Vec<u8> {
    let rules = format!("says = \"{what}\"\n");
    bake::bake(&engine::building_engine().unwrap(), hostile_component(), "rules.toml", &rules).await.unwrap().component
}

/// A host whose tenant has these limits.
async fn limited(limits: Quota) -> Desk {
    let mut host = Host::on(&saying("it").await).await;
    host.config.tenants[0].limits = limits;
    Desk::of(host.restart(|_| ()).await)
}

async fn post(desk: &Desk, topic: &str, id: u64) -> u16 {
    let body = format!(r#"{{"id": {id}, "nth": {id}}}"#);
    let (shop, signature) = (host::shop(TENANT), sign_shopify(host::SECRET, body.as_bytes()));
    let headers =
        [("x-shopify-shop-domain", &*shop), ("x-shopify-hmac-sha256", &signature), ("x-shopify-topic", topic)];
    desk.host.request(Method::POST, "/webhooks/shopify", &headers, body).await.0
}

/// Sends a component, as a tenant does; gives status and answer.
async fn deploy(desk: &Desk, token: &str, component: Vec<u8>) -> (u16, Value) {
    let url = format!("http://{}/v1/tenants/{TENANT}/versions", desk.host.server.admin.unwrap());
    let answer = desk.client.post(url).bearer_auth(token).body(component).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn waiting(desk: &Desk) -> u64 {
    desk.host.server.journal.read(|reader| reader.unfinished_count()).unwrap()
}

async fn settled(desk: &Desk) {
    until("rest", || waiting(desk) == 0).await;
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// What is counted, which must be what there is.
fn bytes(journal: &Journal) -> u64 {
    let (miscounted, bytes) = journal.read(|reader| Ok((reader.miscounted()?, reader.bytes_of(TENANT)?))).unwrap();
    assert_eq!(miscounted, BTreeMap::new());
    bytes
}

async fn direct(desk: &Desk, mode: Mode) {
    let direction = Direction {
        tenant: TENANT.into(),
        source: "shopify".into(),
        mode,
        since: 0,
        by: "ops".into(),
        why: "a migration".into(),
    };
    desk.host.server.journal.direct(direction).await.unwrap();
}

/// Of each table of the journal it is known whether it counts; one that is added is thought of here.
#[tokio::test]
async fn every_table_counts_or_has_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    drop((journal, feeds));
    thread.join().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let names = |kind: &str| -> Vec<String> {
        let mut all = connection.prepare("SELECT name FROM sqlite_master WHERE type = ? ORDER BY name").unwrap();
        all.query_map([kind], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let triggers = names("trigger");
    let uncounted: Vec<_> =
        names("table").into_iter().filter(|table| !triggers.contains(&format!("{table}_added"))).collect();
    // Components count with each version; `compiled` has a row of fixed size for each; the rest is the host's own.
    let expected = [
        "alerts",
        "compiled",
        "components",
        "fence",
        "installs",
        "invitations",
        "places",
        "removed_tenants",
        "retention",
        "tries",
        "usage",
    ];
    assert_eq!(uncounted, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_tenant_does_is_counted_and_uncounted() {
    let desk = limited(Quota { keep_days: 7, ..Quota::default() }).await;
    let (operator, own) = (desk.token("ops", None).await, desk.token("acme-1", Some(TENANT)).await);
    let journal = desk.host.server.journal.clone();
    let mut before = bytes(&journal);
    for (topic, least) in [
        ("good", 300),
        ("remember", 300),
        ("loud", 10_000),
        ("ask", 500),
        ("hoarder", 600 << 10),
        ("twins", 300),
        ("broken", 300),
        ("rambling", 1_000),
    ] {
        // Each about a thing of its own: what is remembered of one is another's.
        assert_eq!(post(&desk, topic, least).await, 200);
        settled(&desk).await;
        let after = bytes(&journal);
        assert!(after >= before + least, "{topic}: {}", after - before);
        before = after;
    }
    // Versions, their proofs and shadows, cases, pauses, directions, and what is done again.
    let b = deploy(&desk, &own, saying("b").await).await.1["digest"].as_str().unwrap().to_owned();
    let with_version = bytes(&journal);
    assert!(with_version > before + 100_000, "{}", with_version - before);
    let version = format!("/v1/tenants/{TENANT}/versions/{b}");
    for (method, path, body, status) in [
        (Method::POST, format!("{version}/proof"), Some(json!({})), 200),
        (Method::PUT, format!("/v1/tenants/{TENANT}/shadow"), Some(json!({"version": b})), 200),
        (Method::PUT, format!("/v1/tenants/{TENANT}/shadow"), Some(json!({"version": b})), 409),
        (Method::DELETE, version.clone(), None, 409),
        (Method::DELETE, format!("/v1/tenants/{TENANT}/shadow"), None, 204),
        (Method::PUT, format!("/v1/tenants/{TENANT}/shadow"), Some(json!({"version": b})), 200),
        (Method::DELETE, format!("/v1/tenants/{TENANT}/shadow"), None, 204),
        (Method::POST, format!("/v1/tenants/{TENANT}/targets/omneo/pause"), Some(json!({"why": "because"})), 204),
        (Method::POST, format!("/v1/tenants/{TENANT}/targets/omneo/resume"), None, 204),
        (Method::POST, format!("/v1/tenants/{TENANT}/dead-letters/retry"), Some(json!({})), 200),
        (Method::DELETE, version.clone(), None, 204),
        (Method::DELETE, version, None, 404),
    ] {
        let answer = desk.ask(&own, method.clone(), &path, body).await;
        assert_eq!(answer.0, status, "{method} {path}: {answer:?}");
        bytes(&journal);
    }
    settled(&desk).await;
    // Old events leave, and a person and the shop are redacted.
    let connection = rusqlite::Connection::open(&desk.host.journal).unwrap();
    connection.execute_batch("UPDATE events SET received_at = 0, ended_at = 0 WHERE id < 4").unwrap();
    let tenants = Tenants::new(&desk.host.config.tenants);
    assert_eq!(retention::sweep(&journal, &tenants, clock::now(), u64::MAX).await.unwrap(), 3);
    bytes(&journal);
    for topic in ["customers/redact", "shop/redact"] {
        assert_eq!(post(&desk, topic, 7).await, 200);
        settled(&desk).await;
        bytes(&journal);
    }
    let deed = tandem::journal::Deed { by: "ops".into(), tenant: Some(TENANT.into()), what: "removed".into() };
    journal.remove_tenant(TENANT, "acme.myshopify.com", deed).await.unwrap();
    bytes(&journal);
    drop((operator, connection, journal));
    desk.host.stop().await;
}

/// Small webhooks that each have much remembered, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_rules_remember_counts() {
    let desk = limited(Quota { journal_bytes_max: 8 * MIB, ..Quota::default() }).await;
    let mut accepted = 0;
    while post(&desk, "hoarder", accepted).await == 200 {
        accepted += 1;
        settled(&desk).await;
    }
    assert!((5..15).contains(&accepted), "{accepted}");
    assert!(bytes(&desk.host.server.journal) < 9 * MIB);
    desk.host.stop().await;
}

/// What the law wants done has room of its own, and that ends, too: whoever knows the secret can sign anything.
#[tokio::test(flavor = "multi_thread")]
async fn duties_are_taken_in_beyond_the_limit_and_not_for_ever() {
    let desk = limited(Quota { journal_bytes_max: 4_000, ..Quota::default() }).await;
    let fill = |bytes: u64| {
        let insert =
            "INSERT INTO events (tenant, source, topic, occurred_at, received_at, api_version, payload, outcome)
             VALUES ('acme', 'shopify', 'good', '', 0, '', printf('%.*c', ?, 'a'), 'skipped')";
        assert_eq!(rusqlite::Connection::open(&desk.host.journal).unwrap().execute(insert, [bytes]), Ok(1));
    };
    fill(4_000);
    assert_eq!((post(&desk, "good", 1).await, post(&desk, "customers/redact", 1).await), (507, 200));
    settled(&desk).await;
    fill(64 * MIB);
    assert_eq!(post(&desk, "customers/redact", 2).await, 507);
    bytes(&desk.host.server.journal);
    desk.host.stop().await;
}

/// Small webhooks that are held until they are many: they begin as long as there is room. What does not can be retried.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_does_not_begin_without_room() {
    let limit = 16 * MIB;
    let desk = limited(Quota { journal_bytes_max: limit, ..Quota::default() }).await;
    direct(&desk, Mode::Hold).await;
    let events = 2 * UNDER_WAY;
    for id in 0..events {
        assert_eq!(post(&desk, "hoarder", id).await, 200);
    }
    direct(&desk, Mode::Run).await;
    settled(&desk).await;
    let journal = desk.host.server.journal.clone();
    let ended = |outcome: &str| {
        let filter = Filter {
            outcome: Some(outcome.into()),
            topic: Some("hoarder".into()),
            limit: usize::MAX,
            ..Filter::default()
        };
        journal.read(|reader| reader.events(&filter)).unwrap()
    };
    let (done, failed) = (ended("done").len() as u64, ended("failed"));
    assert_eq!(done + failed.len() as u64, events);
    assert!(done <= UNDER_WAY + limit / (600 << 10), "{done}");
    let why = "its tenant may have no more in the journal (`journal_bytes_max`), so it did not begin: make room, and retry it";
    assert!(failed.iter().all(|row| row.reason.as_deref() == Some(why) && row.blame.as_deref() == Some("host")));
    assert!(bytes(&journal) < limit + UNDER_WAY * MIB);
    // What the law wants done begins all the same.
    assert_eq!(post(&desk, "customers/redact", 9_999).await, 200);
    settled(&desk).await;
    let filter = Filter { topic: Some("customers/redact".into()), limit: 1, ..Filter::default() };
    // Of nobody, in this case: the host has looked at it.
    assert_eq!(journal.read(|reader| reader.events(&filter)).unwrap()[0].outcome.as_deref(), Some("invalid"));
    // With more room all of them are done.
    let mut config = desk.host.config.clone();
    config.tenants[0].limits.journal_bytes_max = Quota::default().journal_bytes_max;
    desk.host.server.reload(config).await.unwrap();
    let operator = desk.token("ops", None).await;
    let path = format!("/v1/tenants/{TENANT}/dead-letters/retry");
    assert_eq!(desk.post(&operator, &path, json!({})).await.0, 200);
    until("all of them", || ended("done").len() as u64 == events).await;
    drop(journal);
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_have_a_number_and_a_size_and_those_that_nothing_needs_may_go() {
    let desk = limited(Quota { versions_max: 4, ..Quota::default() }).await;
    let own = desk.token("acme-1", Some(TENANT)).await;
    let mut digests = vec![];
    for what in ["b", "c", "d"] {
        let (status, version) = deploy(&desk, &own, saying(what).await).await;
        assert_eq!(status, 200, "{version}");
        digests.push(version["digest"].as_str().unwrap().to_owned());
    }
    let short = |n: usize| &digests[n][..12];
    let refused = deploy(&desk, &own, saying("e").await).await;
    let (status, why) = detail(&refused);
    assert_eq!(status, 507, "{why}");
    assert!(why.contains("versions of ") && why.contains(", and may have 4 of 512 MiB\nhint: `tandem undeploy acme VERSION` removes one; of 3 that nothing needs the oldest are "), "{why}");
    assert!((0..3).all(|n| why.contains(short(n))), "{why}");
    // One that it has is not one more.
    assert_eq!(deploy(&desk, &own, saying("b").await).await.0, 200);
    let activate = async |n: usize| {
        let path = format!("/v1/tenants/{TENANT}/versions/{}/activate", digests[n]);
        assert_eq!(desk.post(&own, &path, json!({"require": "none"})).await.0, 200);
    };
    let remove = async |n: usize| {
        let path = format!("/v1/tenants/{TENANT}/versions/{}", digests[n]);
        let answer = desk.ask(&own, Method::DELETE, &path, None).await;
        (answer.0, detail(&answer).1.split_once(" stays: ").map(|(_, why)| why.lines().next().unwrap().to_owned()))
    };
    activate(0).await;
    activate(1).await;
    assert_eq!(remove(1).await, (409, Some("it is active".into())));
    assert_eq!(remove(0).await, (409, Some("a roll back goes to it".into())));
    assert_eq!(remove(2).await, (204, None));
    assert_eq!(remove(2).await.0, 404);
    // Its bytes and its code are gone, and there is room for another.
    let journal = desk.host.server.journal.clone();
    assert_eq!(journal.read(|reader| reader.component(&digests[2])).unwrap(), None);
    let code = desk.host.journal.with_file_name("tandem.db-compiled").join(format!("{}.cwasm", digests[2]));
    assert!(!code.exists());
    assert_eq!(deploy(&desk, &own, saying("e").await).await.0, 200);
    bytes(&journal);
    // Roll backs still go where they went.
    for _ in 0..2 {
        assert_eq!(desk.post(&own, &format!("/v1/tenants/{TENANT}/roll-back"), json!({})).await.0, 200);
    }
    let event = desk.host.event(TENANT, "say", r#"{"id": 1, "nth": 1}"#).await;
    assert_eq!(desk.host.over(event).await.reason.as_deref(), Some("it"));
    drop(journal);
    desk.host.stop().await;
}

/// A roll back goes past a version that was removed, and never to the version that it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_goes_past_what_was_removed() {
    let desk = limited(Quota::default()).await;
    let own = desk.token("acme-1", Some(TENANT)).await;
    let mut digests = vec![];
    for what in ["a", "b", "c", "d", "e"] {
        digests.push(deploy(&desk, &own, saying(what).await).await.1["digest"].as_str().unwrap().to_owned());
    }
    for n in [0, 1, 0, 2, 3, 4, 2] {
        let path = format!("/v1/tenants/{TENANT}/versions/{}/activate", digests[n]);
        assert_eq!(desk.post(&own, &path, json!({"require": "none"})).await.0, 200);
    }
    // Between two activations of the first.
    let path = format!("/v1/tenants/{TENANT}/versions/{}", digests[1]);
    assert_eq!(desk.ask(&own, Method::DELETE, &path, None).await.0, 204);
    let mut went = vec![];
    loop {
        let (status, swapped) = desk.post(&own, &format!("/v1/tenants/{TENANT}/roll-back"), json!({})).await;
        if status != 200 {
            break;
        }
        went.push(swapped["active"].as_str().unwrap().to_owned());
    }
    let first = desk.host.server.journal.read(|reader| reader.versions(TENANT)).unwrap()[0].digest.clone();
    let expected = [&digests[4], &digests[3], &digests[2], &digests[0], &first];
    assert_eq!(went.iter().collect::<Vec<_>>(), expected);
    desk.host.stop().await;
}

/// What a tenant's own token can do about the journal ends where its room does; an operator sees to it.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_tenants_token_adds_nothing() {
    let desk = limited(Quota::default()).await;
    let (operator, own) = (desk.token("ops", None).await, desk.token("acme-1", Some(TENANT)).await);
    assert_eq!(post(&desk, "broken", 1).await, 200);
    settled(&desk).await;
    let spare = deploy(&desk, &own, saying("b").await).await.1["digest"].as_str().unwrap().to_owned();
    let mut config = desk.host.config.clone();
    config.tenants[0].limits.journal_bytes_max = 4_000;
    desk.host.server.reload(config).await.unwrap();
    let cases = json!({"cases": {"shopify/good/it-is-seen": {"payload.json": "{}"}}});
    for (method, path, body) in [
        (Method::POST, "dead-letters/retry", json!({})),
        (Method::POST, "targets/omneo/pause", json!({"why": "because"})),
        (Method::PUT, "cases", cases.clone()),
        (Method::PUT, "shadow", json!({"version": spare})),
        (Method::PUT, "directions/shopify", json!({"mode": "hold", "why": "because"})),
        (Method::POST, "replay", json!({"send": true, "dry_run": true})),
    ] {
        let answer = desk.ask(&own, method.clone(), &format!("/v1/tenants/{TENANT}/{path}"), Some(body)).await;
        assert_eq!(answer.0, 507, "{method} {path}: {answer:?}");
        assert!(detail(&answer).1.contains("of the 0 MiB are used up that tenant `acme` may have"), "{answer:?}");
    }
    assert_eq!(deploy(&desk, &own, saying("c").await).await.0, 507);
    assert_eq!(deploy(&desk, &operator, saying("c").await).await.0, 507);
    // It may remove things, and an operator may do what it has to.
    let version = format!("/v1/tenants/{TENANT}/versions/{spare}");
    assert_eq!(desk.ask(&own, Method::DELETE, &version, None).await.0, 204);
    let path = format!("/v1/tenants/{TENANT}/cases");
    assert_eq!(desk.ask(&operator, Method::PUT, &path, Some(cases)).await.0, 204);
    bytes(&desk.host.server.journal);
    desk.host.stop().await;
}

/// A start with the clock 400 days ahead takes nothing out, however often; and a day takes out a fourth at most.
#[tokio::test]
async fn a_clock_that_is_ahead_does_not_empty_a_journal() {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    let now = clock::now();
    let connection = rusqlite::Connection::open(&path).unwrap();
    for age in (0..30).rev() {
        let insert = "INSERT INTO events (tenant, source, topic, occurred_at, received_at, api_version, payload, outcome, ended_at)
             VALUES ('acme', 'shopify', 'good', '', ?1, '', '{}', 'done', ?1)";
        connection.execute(insert, [now - age * DAY_MS]).unwrap();
    }
    let peer = Peer { webhook_secrets: vec!["s".into()], ..Peer::with_token("https://o", "t") };
    let tenants = |keep_days: u64| {
        let (shopify, omneo, rules) = (peer.clone(), peer.clone(), RulesFrom::Deployed);
        let limits = Quota { keep_days, ..Quota::default() };
        Tenants::new(&[Tenant { name: TENANT.into(), shop: "a.example".into(), rules, shopify, omneo, limits }])
    };
    let look = async |keep_days: u64, days_ahead: i64, ran: Duration| {
        retention::look(&journal, &tenants(keep_days), now + days_ahead * DAY_MS, ran).await.unwrap()
    };
    for ran in [Duration::ZERO, Duration::from_secs(3), Duration::ZERO, Duration::ZERO] {
        assert_eq!(look(90, 400, ran).await, 0);
    }
    assert_eq!(look(90, 400, DAY).await, 0);
    // By the right clock 22 are older than a week.
    assert_eq!(look(7, 0, Duration::ZERO).await, 7);
    assert_eq!(look(7, 0, Duration::ZERO).await, 0);
    let mut days = vec![];
    for _ in 0..6 {
        days.push(look(7, 0, DAY).await);
    }
    assert_eq!(days, [5, 4, 3, 2, 1, 0]);
    drop((journal, feeds));
    thread.join().unwrap();
}
