//! A deploy is a proof: a tenant's cases and what was recorded, through a version, before anything runs on it.

use crate::host;

use std::time::{Duration, Instant};

use crate::desk::{Desk, detail};
use reqwest::Method;
use serde_json::{Value, json};
use tandem::{bake, engine};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CASES: &str = "/v1/tenants/acme/cases";

async fn version(rules: &str) -> Vec<u8> {
    let building = engine::building_engine().unwrap();
    bake::bake(&building, host::hostile_component(), "rules.toml", rules).await.unwrap().component
}

/// Deploys a version of acme's; gives its digest.
async fn deployed(desk: &Desk, token: &str, rules: &str) -> String {
    let url = format!("http://{}/v1/tenants/acme/versions", desk.host.server.admin.unwrap());
    let answer = desk.client.post(url).bearer_auth(token).body(version(rules).await).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["digest"].as_str().unwrap().to_owned()
}

fn verb(digest: &str, verb: &str) -> String {
    format!("/v1/tenants/acme/versions/{digest}/{verb}")
}

/// A case of `ask`, which asks Omneo and says what it answered.
fn asking(status: u16, rules: Option<&str>) -> Value {
    let talk = format!("GET omneo /profiles\n< 200 {{}}\n\n= done: Omneo answered {status}\n");
    let mut files = json!({"payload.json": "{\"id\": 1}", "transcript.http": talk});
    if let Some(rules) = rules {
        files["rules.toml"] = json!(rules);
    }
    files
}

async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn cases_are_kept_as_a_whole_and_wrong_ones_are_named() {
    let desk = Desk::open().await;
    let (acme, other) = (desk.token("acme-1", Some("acme")).await, desk.token("other-1", Some("other")).await);
    let put = async |cases: Value| desk.ask(&acme, Method::PUT, CASES, Some(json!({ "cases": cases }))).await;
    let good = json!({"shopify/ask/it-asks": asking(200, None), "shopify/good/it-is-seen": {"payload.json": "{}"}});
    assert_eq!(put(good.clone()).await.0, 204);
    assert_eq!(desk.get(&acme, CASES).await, (200, json!({ "cases": good })));
    assert_eq!(detail(&desk.get(&other, CASES).await), (404, "there is no tenant `acme`"));

    let hint = "is no name of a case\nhint: it is like `shopify/orders-paid/a-guest-order-is-sent`";
    for name in
        ["../../etc", "shopify/../etc", "shopify/say", "stripe/say/it-says", "shopify/say/a/b", "/shopify/say/x"]
    {
        let answer = put(json!({ name: {"payload.json": "{}"} })).await;
        assert_eq!(detail(&answer), (422, &*format!("`{name}` {hint}")));
    }
    // All that is wrong at once.
    let answer = put(json!({
        "shopify/say/a": {"payload.json": "{"},
        "shopify/say/b": {},
        "shopify/say/c": {"payload.json": "{}", "../passwd": "root"},
    }));
    let answer = answer.await;
    let (status, wrong) = detail(&answer);
    assert_eq!(status, 422);
    assert!(wrong.starts_with("`shopify/say/a/payload.json` is not JSON: "), "{wrong}");
    assert!(wrong.contains("\n\nthe case `shopify/say/b` has no `payload.json`\n"), "{wrong}");
    assert!(
        wrong.contains("\n\nthe case `shopify/say/c` has a file `../passwd`, which cases do not have\n"),
        "{wrong}"
    );
    let many = (0..11).map(|n| (format!("shopify/say/{n}"), asking(200, Some(&format!("says = \"{n}\"\n")))));
    let answer = put(Value::Object(many.collect())).await;
    assert_eq!(detail(&answer), (422, "these cases bring 11 different `rules.toml` along; 10 are allowed"));
    assert_eq!(desk.get(&acme, CASES).await.1["cases"], good);

    assert_eq!(desk.ask(&acme, Method::DELETE, CASES, None).await.0, 204);
    assert_eq!(desk.get(&acme, CASES).await.1, json!({"cases": {}}));
    let (_, deeds) = desk.get(&acme, "/v1/audit?limit=2").await;
    let what: Vec<_> = deeds.as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["removed its cases", "replaced its cases by 2"]);
    desk.host.stop().await;
}

#[tokio::test]
async fn a_version_whose_cases_fail_is_not_activated() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    let b = deployed(&desk, &acme, "says = \"b\"\n").await;
    let cases = json!({
        "shopify/ask/it-asks": asking(200, None),
        "shopify/ask/it-asks-whatever-it-says": asking(200, Some("says = \"c\"\n")),
        "shopify/ask/it-is-told-otherwise": asking(404, None),
    });
    assert_eq!(desk.ask(&acme, Method::PUT, CASES, Some(json!({ "cases": cases }))).await.0, 204);
    // There is no event yet that could speak against it.
    let refused = desk.post(&acme, &verb(&b, "activate"), json!({})).await;
    let against = format!(
        "1 of the tenant's cases speak against it\nhint: its proof says which (`tandem prove acme {} --kept`); `require` `none` (`--require none`) activates it all the same",
        &b[..12]
    );
    assert_eq!(detail(&refused), (409, against.as_str()));
    let (_, proof) = desk.get(&acme, &verb(&b[..12], "proof")).await;
    assert_eq!(
        (&proof["cases"]["passed"], &proof["cases"]["failed"][0]["name"]),
        (&json!(2), &json!("shopify/ask/it-is-told-otherwise"))
    );
    let wrong = proof["cases"]["failed"][0]["wrong"].as_str().unwrap();
    assert!(wrong.contains("\n-= done: Omneo answered 404\n+= done: Omneo answered 200"), "{wrong}");

    // The same for people.
    let url = format!("http://{}{}", desk.host.server.admin.unwrap(), verb(&b, "proof"));
    let answer = desk.client.get(url).bearer_auth(&acme).header("accept", "text/plain").send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("0 events of acme through hostile 1 ("), "{text}");
    assert!(
        text.contains("\n2 cases pass, 1 fails\nshopify/ask/it-is-told-otherwise\n  --- transcript.http, expected\n"),
        "{text}"
    );

    let insisted = desk.post(&acme, &verb(&b, "activate"), json!({"require": "none"})).await;
    assert_eq!((insisted.0, insisted.1["active"].as_str()), (200, Some(&*b)), "{insisted:?}");
    // A case's own rules are in force in it, or it fails if there can be none.
    let say = |rules: &str| json!({"payload.json": "{\"id\": 1, \"nth\": 1}", "rules.toml": rules});
    let cases = json!({"shopify/say/1": say("traps = true\n"), "shopify/say/2": say("says = \"wordy\"\n")});
    assert_eq!(desk.ask(&acme, Method::PUT, CASES, Some(json!({ "cases": cases }))).await.0, 204);
    let (status, proof) = desk.post(&acme, &verb(&b, "proof"), json!({})).await;
    let wrong = |n: usize| proof["cases"]["failed"][n]["wrong"].as_str().unwrap();
    assert_eq!((status, wrong(0)), (200, "the rules failed"));
    assert!(wrong(1).starts_with("error: "), "{}", wrong(1));
    desk.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_shows_how_far_it_is_runs_once_and_ends_when_nobody_waits() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    let a = deployed(&desk, &acme, "says = \"a\"\n").await;
    // Each takes all that it may, here and there.
    let mut events = vec![];
    for id in 0..60 {
        events.push(desk.host.event("acme", "endless", &json!({ "id": id }).to_string()).await);
    }
    for event in &events {
        desk.host.over(*event).await;
    }
    let progress = async || desk.get(&acme, &verb(&a, "progress")).await.1;
    assert_eq!(progress().await, json!({"done": 0, "all": 0, "running": false}));
    let prove = || {
        let url = format!("http://{}{}", desk.host.server.admin.unwrap(), verb(&a, "proof"));
        let request = desk.client.post(url).bearer_auth(&acme).header("content-type", "application/json").body("{}");
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let first = prove();
    until("the proof to begin", async || progress().await["running"] == true).await;
    let second = desk.post(&acme, &verb(&a, "proof"), json!({})).await;
    let told = format!("a proof of `{a}` is under way\nhint: look at its progress, and ask again when it is done");
    assert_eq!(detail(&second), (409, told.as_str()));
    assert_eq!(desk.post(&acme, &verb(&a, "activate"), json!({})).await.0, 409);

    // Whoever waited for it goes away.
    first.abort();
    until("the proof to end", async || progress().await["running"] == false).await;
    assert_eq!(progress().await, json!({"done": 0, "all": 0, "running": false}));
    assert_eq!(desk.get(&acme, &verb(&a, "proof")).await.0, 404);
    assert_eq!(prove().await.unwrap(), 200);
    assert_eq!(progress().await, json!({"done": 60, "all": 60, "running": false}));
    assert_eq!(desk.get(&acme, &verb(&a, "proof")).await.1["counts"]["identical"], 60);
    desk.host.stop().await;
}

#[tokio::test]
async fn a_proof_takes_the_newest_events_or_those_since_a_moment() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    desk.sent("acme", "good", &[1, 2, 3]).await;
    let a = deployed(&desk, &acme, "says = \"a\"\n").await;
    let prove = async |body: Value| desk.post(&acme, &verb(&a, "proof"), body).await;
    for (body, events) in [
        (json!({}), 3),
        (json!({"last": 2}), 2),
        (json!({"since": "2020-01-01T00:00:00Z"}), 3),
        (json!({"since": "2199-01-01T00:00:00Z"}), 0),
    ] {
        assert_eq!(prove(body.clone()).await.1["events"], events, "{body}");
    }
    let both = prove(json!({"last": 2, "since": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(detail(&both), (400, "`last` and `since` exclude each other"));
    let wrong = prove(json!({"since": "yesterday"})).await;
    assert_eq!(detail(&wrong), (400, "`yesterday` is not a time; write it as `2026-01-02T03:04:05Z`"));
    let unknown = desk.get(&acme, &verb("0123456789ab", "progress")).await;
    assert_eq!(
        detail(&unknown),
        (
            404,
            "tenant `acme` has no such version: `0123456789ab`\nhint: `tandem versions acme` lists its versions; 6 digits and more name one"
        )
    );
    desk.host.stop().await;
}

/// A connection that breaks in the middle of an upload leaves nothing behind, and the next one goes through.
#[tokio::test]
async fn an_upload_that_is_cut_off_half_way_is_no_version() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    let component = version("says = \"a\"\n").await;
    let mut connection = tokio::net::TcpStream::connect(desk.host.server.admin.unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/tenants/acme/versions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {acme}\r\ncontent-length: {}\r\n\r\n",
        component.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&component[..component.len() / 2]).await.unwrap();
    connection.shutdown().await.unwrap();
    // The host has seen the end of it when it closes its own.
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(desk.get(&acme, "/v1/tenants/acme/versions").await.1, json!([]));
    assert_eq!(desk.get(&acme, "/v1/audit?limit=1").await.1[0]["what"], "token acme-1 created, for tenant acme");
    deployed(&desk, &acme, "says = \"a\"\n").await;
    assert_eq!(desk.get(&acme, "/v1/tenants/acme/versions").await.1.as_array().unwrap().len(), 1);
    desk.host.stop().await;
}

/// Who decides while another's proof runs has not seen what that one will make active.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_activations_at_once_one_is_told() {
    let desk = Desk::open().await;
    let acme = desk.token("acme-1", Some("acme")).await;
    let (a, b) = (deployed(&desk, &acme, "says = \"a\"\n").await, deployed(&desk, &acme, "says = \"b\"\n").await);
    for id in 0..20 {
        let event = desk.host.event("acme", "endless", &json!({ "id": id }).to_string()).await;
        desk.host.over(event).await;
    }
    let activate = async |digest: &str| desk.post(&acme, &verb(digest, "activate"), json!({})).await;
    let both = tokio::join!(activate(&a), activate(&b));
    let (winner, loser) = if both.0.0 == 200 { (both.0, both.1) } else { (both.1, both.0) };
    let active = winner.1["active"].as_str().unwrap();
    let told = format!(
        "another version was activated meanwhile: `{active}` is active now\nhint: look at it, and decide again"
    );
    assert_eq!((winner.0, detail(&loser)), (200, (409, told.as_str())));
    assert_eq!(desk.host.server.registry.activations("acme", 9).unwrap().len(), 2);
    desk.host.stop().await;
}
