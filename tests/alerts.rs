//! Alerts of a running host: what somebody should know of arrives, signed, and again when the first try was not taken.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tandem::alerts::{Found, Kind, Look};
use tandem::clock;
use tandem::config::{Alerts, Peer, Post, Quota, RulesFrom, Tenant};
use tandem::journal::{Activation, Answering, Appended, Cause, Direction, Mode};
use tandem::model::{EventId, Webhook};
use tandem::tenants::Tenants;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::host::{self, Host, TENANT};

/// A post as it arrived.
struct Arrived {
    head: String,
    body: String,
}

impl Arrived {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
        line.map(|(_, value)| value).unwrap_or_default()
    }
}

/// Takes one post and answers it with the status that goes with it.
async fn take(listener: &TcpListener, status: impl FnOnce(&Arrived) -> &'static str) -> Arrived {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = vec![];
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let arrived = Arrived { head: head.replace("\r\n", "\n"), body: body.to_owned() };
        if arrived.body.len() >= arrived.header("content-length").parse().unwrap_or(0) {
            let status = status(&arrived);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return arrived;
        }
    }
}

#[tokio::test]
async fn an_alert_is_posted_signed_and_posted_again_where_it_was_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = vec![7; 32];
    let post = Post { url: format!("http://{address}/tandem"), key: key.clone() };
    let peer = || Peer {
        webhook_secrets: vec![host::SECRET.into()],
        ..Peer::with_token("https://api.acme.getomneo.com", "t")
    };
    let host = Host::with(|config| {
        config.tenants.push(Tenant {
            name: "acme".into(),
            shop: host::shop("acme"),
            rules: RulesFrom::Component(host::build()),
            shopify: peer(),
            omneo: peer(),
            limits: Quota::default(),
        });
        config.allow.push(address.to_string());
        config.alerts = Alerts { every: Duration::from_millis(50), post: Some(post) };
    })
    .await;
    let event = host.event("acme", "broken", r#"{"id":7}"#).await;
    host.over(event).await;
    // Something else may be wrong here, too: the disk of whoever runs this may be full. Each is refused once.
    let mut arrived: BTreeMap<String, Vec<Arrived>> = BTreeMap::new();
    let is_whole = |posts: &&Vec<Arrived>| posts.len() == 2 && posts[0].body.contains("dead-letters");
    while !arrived.values().any(|posts| is_whole(&posts)) {
        let status = |post: &Arrived| match arrived.contains_key(post.header("webhook-id")) {
            true => "200 OK",
            false => "500 Internal Server Error",
        };
        let post = take(&listener, status).await;
        arrived.entry(post.header("webhook-id").to_owned()).or_default().push(post);
    }
    let posts = arrived.values().find(is_whole).unwrap();
    assert_eq!(posts[0].body, posts[1].body);
    for post in posts {
        let signed = format!("{}.{}.{}", post.header("webhook-id"), post.header("webhook-timestamp"), post.body);
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(signed).finalize().into_bytes();
        assert_eq!(post.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac)));
    }
    // The time is that of the attempt: a second has gone by.
    let seconds = |post: &Arrived| post.header("webhook-timestamp").parse::<i64>().unwrap();
    assert!(seconds(&posts[1]) > seconds(&posts[0]));
    let said: Value = serde_json::from_str(&posts[1].body).unwrap();
    let data = &said["data"];
    assert_eq!((&said["type"], &data["tenant"]), (&"alert.firing".into(), &"acme".into()), "{said}");
    assert!(data["text"].as_str().unwrap().starts_with("1 dead letters of acme, broken: "), "{said}");
    let firing = arrived.values().filter(|posts| posts[0].body.contains("dead-letters")).count();
    assert_eq!(firing, 1, "it is told once");
    // The next start knows that it was told.
    let kept = host.server.journal.read(|reader| reader.told_alerts()).unwrap();
    assert!(kept.iter().any(|told| data["id"] == told.id && told.kind == "dead-letters"), "{kept:?}");
    host.stop().await;
}

const DAY_MS: i64 = 86_400_000;

fn webhook(tenant: &str, topic: &str, received_at: i64, payload: String) -> Webhook {
    Webhook {
        tenant: tenant.into(),
        source: "shopify".into(),
        topic: topic.into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at,
        api_version: "2026-07".into(),
        payload,
    }
}

async fn append(host: &Host, webhook: Webhook) -> EventId {
    match host.server.journal.append(webhook).await.unwrap() {
        Appended::Accepted(event) => event,
        other => panic!("{other:?}"),
    }
}

fn activation(digest: &str, cause: Cause, expected: Option<String>) -> Activation {
    Activation {
        tenant: TENANT.into(),
        digest: digest.into(),
        cause,
        fixed: BTreeMap::new(),
        relink: false,
        expected,
        failures_max: None,
        configured: None,
    }
}

/// What a look finds of a kind: what it is about, and its text.
fn of(found: &Found, kind: Kind) -> Vec<(&str, &str)> {
    let alerts = found.alerts.iter().filter(|alert| alert.kind == kind);
    alerts.map(|alert| (&*alert.about, &*alert.text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_what_is_wrong_and_nothing_that_is_usual() {
    let host = Host::start([(TENANT.to_owned(), host::hostile())]).await;
    let server = &host.server;
    let tenants = Tenants::new(&host.config.tenants);
    let look = Look {
        journal: server.journal.clone(),
        delivery: server.delivery.clone(),
        credentials: server.credentials.clone(),
        registry: server.registry.clone(),
        tenants: tenants.clone(),
        reconciles: true,
    };
    let quiet = look.look().await;
    let wrong: Vec<_> = quiet.alerts.iter().filter(|alert| alert.kind != Kind::DiskFilling).collect();
    assert!(wrong.is_empty() && quiet.cut.is_empty(), "{quiet:?}");

    // A data request whose time is over is as open as another, until somebody says that it is answered.
    let body = format!(r#"{{"shop_domain": "{}", "customer": {{"id": 7}}}}"#, host::shop(TENANT));
    let now = clock::now();
    let mut requests = vec![];
    for days in [45, 2] {
        let request = webhook(TENANT, "customers/data_request", now - days * DAY_MS, body.clone());
        requests.push(append(&host, request).await);
    }
    for request in &requests {
        host.over(*request).await;
    }
    let found = look.look().await;
    let due = |days: i64| clock::date(now + days * DAY_MS);
    let expected = [
        (
            requests[0].to_string(),
            format!("event {} of acme, a data request, was to be answered by {}", requests[0], due(-15)),
        ),
        (
            requests[1].to_string(),
            format!("event {} of acme, a data request, is to be answered by {}", requests[1], due(28)),
        ),
    ];
    let said = of(&found, Kind::DataRequest);
    assert_eq!(said, expected.iter().map(|(about, text)| (&**about, &**text)).collect::<Vec<_>>());
    assert_eq!(server.journal.answer(requests[0], "ops").await.unwrap(), Answering::Answered);
    assert_eq!(of(&look.look().await, Kind::DataRequest).len(), 1);

    // One alert for each cause, and one for all that are too many, of which none is said to be over.
    for n in 0..25_u8 {
        let name = char::from(b'a' + n);
        let broken = append(&host, webhook(TENANT, &format!("broken/{name}"), now, r#"{"id": 7}"#.into())).await;
        host.over(broken).await;
    }
    let sql = "UPDATE events SET outcome = 'failed', reason = 'on purpose' WHERE topic LIKE 'broken/%'";
    rusqlite::Connection::open(&host.journal).unwrap().execute(sql, []).unwrap();
    let found = look.look().await;
    let dead = of(&found, Kind::DeadLetters);
    assert_eq!((dead.len(), dead[20]), (21, ("(others)", "5 more dead letters of acme, of 5 causes")));
    assert_eq!(found.cut.iter().collect::<Vec<_>>(), [&(Kind::DeadLetters, Some(TENANT.to_owned()))]);

    // Secrets that cannot be opened are one alert, and a tenant that is not connected yet is none.
    server.delivery.set_closed(TENANT, Some("its secrets cannot be opened".into()));
    let found = look.look().await;
    let paused = of(&found, Kind::TargetPaused);
    assert!(!paused.is_empty() && paused.iter().all(|(about, _)| *about == "secrets"), "{found:?}");
    let mut unconnected = host.config.tenants[0].clone();
    unconnected.omneo = Peer::with_token("", "");
    assert!(tenants.set(unconnected).is_ok());
    assert_eq!(of(&look.look().await, Kind::TargetPaused), []);
    server.resume(TENANT, "omneo").await.unwrap();
    let is_closed = |target: &str| server.paused().iter().any(|(_, of, _)| of == target);
    assert!(is_closed("shopify") && is_closed("omneo"), "a person's word opens no secrets");
    server.delivery.set_closed(TENANT, None);
    server.journal.pause(TENANT, "omneo", "paused by ops: a migration").await.unwrap();
    let found = until(&look, Kind::TargetPaused).await;
    let hint = found.alerts.iter().find(|alert| alert.kind == Kind::TargetPaused).map(|alert| &*alert.hint);
    assert_eq!(hint, Some("`tandem resume acme omneo` sends calls again"));
    server.resume(TENANT, "omneo").await.unwrap();

    // The version that failed is named, and not the one that is active.
    let active = || server.journal.read(|reader| reader.active(TENANT)).unwrap().map(|active| active.digest);
    for version in ["1111111111111111", "2222222222222222"] {
        server.journal.deploy(TENANT, version, "{}".into(), vec![], None).await.unwrap();
        server.journal.activate(activation(version, Cause::Activated, active())).await.unwrap().unwrap();
    }
    server.journal.roll_back(activation("1111111111111111", Cause::Failing, active())).await.unwrap().unwrap();
    let found = look.look().await;
    let failed = of(&found, Kind::VersionFailed);
    assert_eq!(failed[0].0, "2222222222222222");
    assert!(failed[0].1.starts_with("version 222222222222 of acme failed too many events"), "{failed:?}");
    // It is over when that one is gone.
    assert!(server.registry.remove(TENANT, "2222222222222222").await.is_ok());
    assert_eq!(of(&look.look().await, Kind::VersionFailed), []);
    // The journal closes with its last handle.
    drop(look);
    host.stop().await;
}

/// Looks until there is something of a kind: what pauses a target is told by a channel.
async fn until(look: &Look, kind: Kind) -> Found {
    let began = std::time::Instant::now();
    loop {
        let found = look.look().await;
        if found.alerts.iter().any(|alert| alert.kind == kind) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is found: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Events of a tenant that has no rules, and no other reason to wait.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_for_nothing_that_is_known_are_found() {
    let host = Host::with(|_| {}).await;
    let peer = Peer::with_token("https://api.acme.getomneo.com", "t");
    let acme = Tenant {
        name: TENANT.into(),
        shop: host::shop(TENANT),
        rules: RulesFrom::Deployed,
        shopify: peer.clone(),
        omneo: peer,
        limits: Quota::default(),
    };
    let server = &host.server;
    let look = Look {
        journal: server.journal.clone(),
        delivery: server.delivery.clone(),
        credentials: server.credentials.clone(),
        registry: server.registry.clone(),
        tenants: Tenants::new(&[acme]),
        reconciles: true,
    };
    append(&host, webhook(TENANT, "good", clock::now() - 29 * 60_000, r#"{"id": 7}"#.into())).await;
    assert_eq!(of(&look.look().await, Kind::EventsWaiting), []);
    append(&host, webhook(TENANT, "good", clock::now() - 31 * 60_000, r#"{"id": 8}"#.into())).await;
    let found = look.look().await;
    assert_eq!(of(&found, Kind::EventsWaiting), [("", "2 events of acme are not over, the oldest for 31 minutes")]);
    // Somebody who holds a direction knows that its events wait.
    let hold = Direction {
        tenant: TENANT.into(),
        source: "shopify".into(),
        mode: Mode::Hold,
        by: "ops".into(),
        why: "a migration".into(),
        since: 0,
    };
    server.journal.direct(hold).await.unwrap();
    assert_eq!(of(&look.look().await, Kind::EventsWaiting), []);
    drop(look);
    host.stop().await;
}
