//! Tenants that come, change and go while the host runs, and what is kept of their secrets.

use crate::host;

use crate::desk::{Desk, detail};
use crate::host::{Host, SECRET, hostile_component, shop};
use reqwest::Method;
use serde_json::{Value, json};
use tandem::clock;
use tandem::serve::Server;
use tandem::vault::Keys;
use tandem_standin::{OmneoOptions, Shopify, ShopifyOptions, sign_omneo, sign_shopify};

const OLD_KEY: &str = "0f";
const NEW_KEY: &str = "a1";

fn keys(pairs: &[&str]) -> Keys {
    Keys::parse(&pairs.iter().map(|pair| pair.repeat(32)).collect::<Vec<_>>()).unwrap()
}

async fn desk() -> Desk {
    Desk::of(Host::with(|config| config.keys = keys(&[OLD_KEY])).await)
}

/// A tenant whose two sides are the stand-in.
fn tenant(desk: &Desk, name: &str, token: &str) -> Value {
    let side = json!({"url": desk.host.omneo.url(), "token": token, "webhook_secrets": [SECRET]});
    json!({"tenant": name, "shop": shop(name), "shopify": side, "omneo": side})
}

/// Sends a webhook of Omneo, signed with this secret; gives the status.
async fn from_omneo(desk: &Desk, tenant: &str, secret: &str) -> u16 {
    let body = r#"{"id": 1}"#;
    let headers = [("x-omneo-hmac-sha256", &*sign_omneo(secret, body.as_bytes())), ("x-omneo-event", "good")];
    desk.host.request(Method::POST, &format!("/webhooks/omneo/{tenant}"), &headers, body).await.0
}

/// Keeps the hostile component as a version of a tenant, and makes it current.
async fn activate(desk: &Desk, operator: &str, tenant: &str) -> Value {
    let url = format!("http://{}/v1/tenants/{tenant}/versions", desk.host.server.admin.unwrap());
    let sent = desk.client.post(url).bearer_auth(operator).body(hostile_component()).send().await.unwrap();
    let digest = serde_json::from_str::<Value>(&sent.text().await.unwrap()).unwrap()["digest"].clone();
    let path = format!("/v1/tenants/{tenant}/versions/{}/activate", digest.as_str().unwrap());
    let activated = desk.post(operator, &path, json!({})).await;
    assert_eq!(activated.0, 200, "{activated:?}");
    digest
}

#[tokio::test]
async fn a_tenant_is_added_serves_and_is_gone() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let right = OmneoOptions::default().token;
    let added = desk.post(&operator, "/v1/tenants", tenant(&desk, "acme", &right)).await;
    assert_eq!((added.0, &added.1["managed_by"], &added.1["active"]), (201, &json!("api"), &Value::Null), "{added:?}");

    // What comes before there are rules waits for them.
    let early = desk.host.event("acme", "good", r#"{"id": 1}"#).await;
    assert_eq!(desk.get(&operator, "/v1/tenants").await.1[0]["waiting"], 1);
    let digest = activate(&desk, &operator, "acme").await;
    assert_eq!(desk.host.over(early).await.version.as_deref(), digest.as_str());
    let late = desk.host.event("acme", "good", r#"{"id": 2}"#).await;
    assert_eq!(desk.host.over(late).await.outcome.as_deref(), Some("done"));
    assert_eq!(desk.get(&operator, "/v1/tenants/acme").await.1["active"], digest);

    // Another shop, and a rate: the old shop is unknown at once.
    let change = json!({"shop": "Acme-Two.myshopify.com", "omneo": {"per_minute": 60}});
    let changed = desk.ask(&operator, Method::PATCH, "/v1/tenants/acme", Some(change)).await;
    assert_eq!((&changed.1["shop"], &changed.1["omneo"]["per_minute"]), (&json!("acme-two.myshopify.com"), &json!(60)));
    let signature = sign_shopify(SECRET, b"{}");
    for (domain, status) in [(shop("acme").as_str(), 404), ("acme-two.myshopify.com", 200)] {
        let headers =
            [("x-shopify-shop-domain", domain), ("x-shopify-hmac-sha256", &*signature), ("x-shopify-topic", "good")];
        assert_eq!(desk.host.request(Method::POST, "/webhooks/shopify", &headers, "{}").await.0, status, "{domain}");
    }

    // A tenant's token sees itself, and dies with it.
    let own = desk.token("acme-1", Some("acme")).await;
    assert_eq!(desk.get(&own, "/v1/tenants/acme").await.0, 200);
    for (method, body) in [(Method::DELETE, None), (Method::PATCH, Some(json!({})))] {
        assert_eq!(desk.ask(&own, method, "/v1/tenants/acme", body).await.0, 403);
    }
    assert_eq!(desk.post(&own, "/v1/tenants", tenant(&desk, "other", "t")).await.0, 403);
    let cases = json!({"cases": {"shopify/good/it-is-seen": {"payload.json": "{}"}}});
    assert_eq!(desk.ask(&own, Method::PUT, "/v1/tenants/acme/cases", Some(cases)).await.0, 204);
    assert_eq!(desk.ask(&operator, Method::DELETE, "/v1/tenants/acme", None).await.0, 204);
    let left = desk.host.server.journal.read(|reader| reader.cases("acme")).unwrap();
    assert!(left.is_empty(), "whoever has the name next has cases of its own: {left:?}");
    assert_eq!(desk.get(&own, "/v1/tenants/acme").await.0, 401);
    assert_eq!(desk.get(&operator, "/v1/tenants/acme").await.0, 404);
    assert_eq!(from_omneo(&desk, "acme", SECRET).await, 404);

    let (_, audit) = desk.get(&operator, "/v1/audit").await;
    let deeds: Vec<_> = audit.as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    assert_eq!(deeds[0], "removed tenant acme; 0 events that were not over are discarded");
    assert!(
        deeds.contains(&"added tenant acme") && deeds.contains(&"changed its shop, addresses, rates or limits"),
        "{deeds:?}"
    );
    desk.host.stop().await;
}

#[tokio::test]
async fn what_waits_when_a_tenant_goes_is_put_away_and_its_name_is_for_its_own_shop() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let wrong = tenant(&desk, "acme", "wrong");
    assert_eq!(desk.post(&operator, "/v1/tenants", wrong.clone()).await.0, 201);
    activate(&desk, &operator, "acme").await;
    // Its call is refused, so the side is paused and the call waits.
    let asks = desk.host.event("acme", "ask", r#"{"id": 7}"#).await;
    let restart = format!("/v1/tenants/acme/events/{}/restart", asks.0);
    let paused = |targets: &Value| targets.as_array().unwrap().iter().any(|target| !target["paused"].is_null());
    until(async || paused(&desk.get(&operator, "/v1/tenants/acme/targets").await.1)).await;
    assert_eq!(desk.post(&operator, &restart, json!({})).await.0, 204);
    until(async || desk.host.show(asks).1.len() == 2).await;
    let hold = json!({"mode": "hold", "why": "a migration"});
    assert_eq!(desk.ask(&operator, Method::PUT, "/v1/tenants/acme/directions/omneo", Some(hold)).await.0, 200);

    assert_eq!(desk.ask(&operator, Method::DELETE, "/v1/tenants/acme", None).await.0, 204);
    let row = desk.host.row(asks);
    let ending = (row.outcome.as_deref(), row.reason.as_deref());
    assert_eq!(ending, (Some("discarded"), Some("its tenant was removed")));
    let what = "removed tenant acme; 1 events that were not over are discarded";
    assert_eq!(desk.get(&operator, "/v1/audit").await.1[0]["what"], what);

    // The name is not another's; of its own shop it begins anew, and nothing of before goes on.
    let mut other = wrong;
    other["shop"] = json!("other.myshopify.com");
    let refused = desk.post(&operator, "/v1/tenants", other).await;
    assert!(
        refused.0 == 409 && detail(&refused).1.starts_with("a tenant `acme` was removed whose shop was"),
        "{refused:?}"
    );
    let right = tenant(&desk, "acme", &OmneoOptions::default().token);
    assert_eq!(desk.post(&operator, "/v1/tenants", right).await.0, 201);
    assert!(!paused(&desk.get(&operator, "/v1/tenants/acme/targets").await.1));
    let directions = desk.get(&operator, "/v1/tenants/acme/directions").await.1;
    assert!(directions.as_array().unwrap().iter().all(|direction| direction["mode"] == "run"), "{directions}");
    assert_eq!(desk.get(&operator, "/v1/tenants/acme").await.1["active"], Value::Null);
    activate(&desk, &operator, "acme").await;
    let event = desk.host.event("acme", "ask", r#"{"id": 8}"#).await;
    assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));
    let attempts: usize =
        desk.host.show(asks).1.iter().flat_map(|run| &run.calls).map(|call| call.attempts.len()).sum();
    assert_eq!(attempts, 1, "what was refused once is not sent again");
    let over = desk.post(&operator, &restart, json!({})).await;
    assert_eq!(detail(&over), (409, &*format!("event {} is over: discarded", asks.0)));
    desk.host.stop().await;
}

async fn until(is: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !is().await {
        assert!(began.elapsed().as_secs() < 20, "it does not come to that");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn credentials_are_rotated_with_overlap_and_never_shown_again() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let mut new = tenant(&desk, "acme", "first-token");
    new["omneo"]["webhook_secrets"] = json!(["first-secret"]);
    assert_eq!(desk.post(&operator, "/v1/tenants", new).await.0, 201);
    let own = desk.token("acme-1", Some("acme")).await;
    let secrets = "/v1/tenants/acme/targets/omneo/webhook-secrets";

    // With an overlap both are good; without one the old ones end at once.
    let added = desk.post(&own, secrets, json!({"secret": "second-secret"})).await;
    let listed = added.1["omneo"]["webhook_secrets"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2, "{added:?}");
    let ends = clock::parse(listed[0]["ends_at"].as_str().unwrap()).unwrap() - clock::now();
    assert!((23 * 3_600_000..=24 * 3_600_000).contains(&ends) && listed[1]["ends_at"].is_null(), "{added:?}");
    assert_eq!(
        (from_omneo(&desk, "acme", "first-secret").await, from_omneo(&desk, "acme", "second-secret").await),
        (200, 200)
    );
    desk.post(&own, secrets, json!({"secret": "third-secret", "overlap_hours": 0})).await;
    assert_eq!(
        (from_omneo(&desk, "acme", "first-secret").await, from_omneo(&desk, "acme", "second-secret").await),
        (401, 401)
    );
    let shown = desk.get(&own, "/v1/tenants/acme").await.1;
    let [last] = &shown["omneo"]["webhook_secrets"].as_array().unwrap()[..] else { panic!("{shown}") };
    let end = async |id: &str| desk.ask(&own, Method::DELETE, &format!("{secrets}/{id}"), None).await;
    let only = end(last["id"].as_str().unwrap()).await;
    assert!(only.0 == 409 && detail(&only).1.starts_with("it is the last webhook secret that stays"), "{only:?}");
    assert_eq!(end("00000000").await.0, 404);
    assert_eq!(from_omneo(&desk, "acme", "third-secret").await, 200);
    desk.ask(&own, Method::PUT, "/v1/tenants/acme/targets/omneo/token", Some(json!({"token": "second-token"}))).await;

    // Nothing that is kept or answered has one of them in it.
    let answers = [shown, desk.get(&operator, "/v1/audit").await.1, desk.get(&operator, "/v1/tenants").await.1];
    let kept = format!("{:?}", desk.host.server.journal.read(|reader| reader.accounts()).unwrap());
    let (journal, folder) = (desk.host.journal.clone(), desk.host.journal.parent().unwrap().to_owned());
    desk.host.server.stop().await.unwrap();
    let mut all = answers.iter().map(Value::to_string).collect::<String>() + &kept;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            all += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    for secret in ["first-secret", "second-secret", "third-secret", "first-token", "second-token", &OLD_KEY.repeat(32)]
    {
        assert!(!all.contains(secret), "{secret} is to be found");
    }
    assert!(journal.exists());
}

/// A tenant whose secrets cannot be opened is paused, with the reason; the others run.
#[tokio::test]
async fn the_key_is_rotated_with_overlap_and_without_it_that_tenant_alone_is_paused() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let right = OmneoOptions::default().token;
    assert_eq!(desk.post(&operator, "/v1/tenants", tenant(&desk, "acme", &right)).await.0, 201);
    activate(&desk, &operator, "acme").await;
    let mut desk = desk;
    desk.host.config.tenants = host::config(desk.host.journal.parent().unwrap(), &desk.host.omneo, &["other"]).tenants;
    std::fs::write(desk.host.journal.with_file_name("rules.wasm"), hostile_component()).unwrap();
    for (given, why) in [
        (keys(&[]), Some("which is not configured\nhint: add it to `[secrets] keys`")),
        (
            keys(&[NEW_KEY]),
            Some("its secrets cannot be opened: the token of shopify of tenant `acme` is sealed with the key "),
        ),
        // With both, all is sealed anew, and the old one may go.
        (keys(&[NEW_KEY, OLD_KEY]), None),
        (keys(&[NEW_KEY]), None),
        (keys(&[OLD_KEY]), Some("which is not configured")),
        (keys(&[OLD_KEY, NEW_KEY]), None),
    ] {
        desk.host.config.keys = given;
        desk.host = desk.host.restart(|_| ()).await;
        let (_, targets) = desk.get(&operator, "/v1/tenants/acme/targets").await;
        let paused = |n: usize| targets[n]["paused"].as_str().map(str::to_owned);
        match why {
            Some(why) => assert!((0..2).all(|n| paused(n).is_some_and(|said| said.contains(why))), "{targets}"),
            None => assert_eq!((paused(0), paused(1)), (None, None), "{why:?}"),
        }
        let expected = if why.is_some() { 503 } else { 200 };
        assert_eq!(
            (from_omneo(&desk, "acme", SECRET).await, from_omneo(&desk, "other", SECRET).await),
            (expected, 200)
        );
        let event = desk.host.event("other", "good", r#"{"id": 2}"#).await;
        assert_eq!(desk.host.over(event).await.outcome.as_deref(), Some("done"));
    }
    // A tenant of the configuration with its name would be another.
    let mut twice = desk.host.config.clone();
    twice.tenants = host::config(twice.journal.parent().unwrap(), &desk.host.omneo, &["acme"]).tenants;
    desk.host.server.stop().await.unwrap();
    let said = format!("{:#}", Server::start(&twice).await.err().expect("it does not start"));
    assert!(said.starts_with("tenant `acme` stands in the configuration and was added"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_tenant_is_said_and_nothing_is_kept() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let good = tenant(&desk, "acme", "t");
    assert_eq!(desk.post(&operator, "/v1/tenants", good.clone()).await.0, 201);
    let with = |at: &str, value: Value| {
        let mut new = tenant(&desk, "zeta", "t");
        *new.pointer_mut(at).unwrap() = value;
        new
    };
    let cases = [
        (good, 409, "there is a tenant `acme`"),
        (with("/shop", json!(shop("acme"))), 409, "another tenant has the shop `acme.myshopify.com`"),
        (with("/tenant", json!("a/b")), 422, "the tenant name `a/b` is part of an address"),
        (with("/tenant", json!("")), 422, "the tenant name `` is part of an address"),
        (with("/shop", json!("nowhere")), 422, "`nowhere` is no shop"),
        (with("/shop", json!("zeta.shopify.com")), 422, "`zeta.shopify.com` is no shop"),
        (with("/omneo/url", json!("http://10.0.0.1/")), 422, "`http://10.0.0.1` is not https"),
        (with("/omneo/url", Value::Null), 422, "`omneo.url` is missing"),
        (with("/omneo/token", json!("")), 422, "the token of omneo of tenant `zeta` is a line of 1 to"),
        (with("/omneo/token", json!("a\nb")), 422, "the token of omneo of tenant `zeta` is a line of 1 to"),
        (with("/shopify/webhook_secrets", json!([])), 422, "no webhook of shopify could be verified"),
        (with("/shopify/webhook_secrets", json!(vec!["s"; 9])), 422, "a side has 8 webhook secrets at most"),
    ];
    for (new, status, begins) in cases {
        let answer = desk.post(&operator, "/v1/tenants", new.clone()).await;
        assert!(answer.0 == status && detail(&answer).1.starts_with(begins), "{new}: {answer:?}");
    }
    assert_eq!(desk.host.server.journal.read(|reader| reader.accounts()).unwrap().len(), 1);
    assert_eq!(desk.get(&operator, "/v1/tenants/zeta").await.0, 404);
    let change = json!({"omneo": {"url": "nonsense"}});
    assert_eq!(desk.ask(&operator, Method::PATCH, "/v1/tenants/acme", Some(change)).await.0, 422);
    assert_eq!(desk.ask(&operator, Method::PATCH, "/v1/tenants/acme", Some(json!({"shops": "x"}))).await.0, 422);
    desk.host.stop().await;

    // Without a key nothing can be kept; and what the configuration says is changed there.
    let desk = Desk::open().await;
    let operator = desk.token("ops", None).await;
    let keyless = desk.post(&operator, "/v1/tenants", tenant(&desk, "zeta", "t")).await;
    assert!(keyless.0 == 409 && detail(&keyless).1.starts_with("there is no key to seal secrets with"), "{keyless:?}");
    assert_eq!(desk.get(&operator, "/v1/tenants/acme").await.1["managed_by"], "configuration");
    for (method, body) in [(Method::DELETE, None), (Method::PATCH, Some(json!({"shop": "b.example"})))] {
        let refused = desk.ask(&operator, method, "/v1/tenants/acme", body).await;
        assert!(refused.0 == 409 && detail(&refused).1.starts_with("tenant `acme` stands in the configuration"));
    }
    desk.host.stop().await;
}

#[tokio::test]
async fn a_tenant_is_set_up_by_the_rules_that_are_active() {
    let shopify = Shopify::start(ShopifyOptions { link_defined: false, ..ShopifyOptions::default() }).await.unwrap();
    let allowed = shopify.address().to_string();
    let desk = Desk::of(
        Host::with(|config| {
            config.keys = keys(&[OLD_KEY]);
            config.allow.push(allowed);
        })
        .await,
    );
    let operator = desk.token("ops", None).await;
    let mut new = tenant(&desk, "acme", &OmneoOptions::default().token);
    new["shopify"]["url"] = json!(shopify.url());
    new["shopify"]["token"] = json!(ShopifyOptions::default().token);
    new["shop"] = json!(ShopifyOptions::default().shop);
    assert_eq!(desk.post(&operator, "/v1/tenants", new).await.0, 201);
    let set_up = async |body: Value| desk.post(&operator, "/v1/tenants/acme/setup", body).await;
    let outside = json!({"address": "https://tandem.example.org"});

    let early = set_up(outside.clone()).await;
    assert_eq!(detail(&early), (409, "tenant `acme` has no active version\nhint: activate one first"));
    let url = format!("http://{}/v1/tenants/acme/versions", desk.host.server.admin.unwrap());
    let rules = desk.client.post(url).bearer_auth(&operator).header("content-type", "application/toml");
    let deployed = rules.body("timezone = \"Australia/Sydney\"\n").send().await.unwrap().text().await.unwrap();
    let digest = serde_json::from_str::<Value>(&deployed).unwrap()["digest"].as_str().unwrap().to_owned();
    let path = format!("/v1/tenants/acme/versions/{digest}/activate");
    assert_eq!(desk.post(&operator, &path, json!({})).await.0, 200);

    let states = |answer: &(u16, Value), state: &str| {
        answer.1.as_array().unwrap().iter().filter(|step| step["state"] == state).count()
    };
    assert_eq!(set_up(json!({})).await.0, 422);
    assert_eq!(set_up(json!({"address": "http://plain.example.org"})).await.0, 422);
    let dry = set_up(json!({"address": "https://tandem.example.org", "dry_run": true})).await;
    let made = set_up(outside.clone()).await;
    let again = set_up(outside).await;
    let (wanted, missing) = (states(&made, "create"), states(&made, "missing"));
    assert!(wanted > 10 && missing == 0, "{made:?}");
    assert_eq!((states(&dry, "create"), states(&again, "create"), states(&again, "there")), (wanted, 0, wanted));
    desk.host.stop().await;
    shopify.stop();
}

#[tokio::test]
async fn limits_are_changed_one_by_one_and_held_to_at_once() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    let mut acme = tenant(&desk, "acme", &OmneoOptions::default().token);
    acme["limits"] = json!({"keep_days": 30});
    let usual = json!({"events_per_second": 1000, "concurrent_calls": 8, "journal_bytes_max": 10_u64 << 30, "keep_days": 30,
               "versions_max": 100, "versions_bytes_max": 512_u64 << 20});
    assert_eq!(desk.post(&operator, "/v1/tenants", acme).await.1["limits"], usual);
    let change = async |limits: Value| {
        desk.ask(&operator, Method::PATCH, "/v1/tenants/acme", Some(json!({ "limits": limits }))).await
    };
    let changed = change(json!({"events_per_second": 1})).await;
    assert_eq!((&changed.1["limits"]["events_per_second"], &changed.1["limits"]["keep_days"]), (&json!(1), &json!(30)));
    let mut answers = vec![];
    for _ in 0..20 {
        answers.push(from_omneo(&desk, "acme", SECRET).await);
    }
    assert!(answers.starts_with(&[200; 10]) && answers.contains(&429), "{answers:?}");
    assert!(desk.get(&operator, "/v1/tenants/acme").await.1["journal_bytes"].as_u64() > Some(80));
    for (limits, status, said) in [
        (
            json!({"keep_days": 3}),
            422,
            "`keep_days = 3` is too little: a webhook that its sender repeats would be a new event\nhint: use 7 or more",
        ),
        (
            json!({"events_per_second": 1_000_000}),
            422,
            "`events_per_second = 1000000` is too much: no host takes in as many\nhint: use 100000 at most",
        ),
        (
            json!({"keep": 30}),
            422,
            "there is no limit `keep`\nhint: there are `events_per_second`, `concurrent_calls`, `journal_bytes_max`, `keep_days`, `versions_max`, `versions_bytes_max`",
        ),
    ] {
        assert_eq!(detail(&change(limits).await), (status, said));
    }
    assert_eq!(change(json!({"keep_days": -1})).await.0, 422);
    assert_eq!(desk.get(&operator, "/v1/tenants/acme").await.1["limits"]["keep_days"], 30);
    desk.host.stop().await;
}

#[tokio::test]
async fn two_hosts_do_not_run_on_one_journal() {
    let desk = desk().await;
    let second = Server::start(&desk.host.config).await.err().expect("it does not start");
    let said = format!("{second:#}");
    assert!(said.starts_with("another host runs on the journal `"), "{said}");
    let config = desk.host.config.clone();
    desk.host.server.stop().await.unwrap();
    Server::start(&config).await.unwrap().stop().await.unwrap();
}

/// A key that comes back opens its tenant, without a restart.
#[tokio::test]
async fn a_configuration_that_is_read_again_opens_who_was_closed() {
    let mut desk = desk().await;
    let operator = desk.token("ops", None).await;
    let right = OmneoOptions::default().token;
    assert_eq!(desk.post(&operator, "/v1/tenants", tenant(&desk, "acme", &right)).await.0, 201);
    let config = desk.host.config.clone();
    desk.host.config.keys = keys(&[]);
    desk.host = desk.host.restart(|_| ()).await;
    assert_eq!(from_omneo(&desk, "acme", SECRET).await, 503);
    desk.host.server.reload(config).await.unwrap();
    assert_eq!(from_omneo(&desk, "acme", SECRET).await, 200);
    assert_eq!(desk.get(&operator, "/v1/tenants/acme/targets").await.1[0]["paused"], Value::Null);
    desk.host.stop().await;
}

/// Beside the stopped host, and not beside one that runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_removed_from_a_journal_that_no_host_runs_on() {
    let desk = desk().await;
    let operator = desk.token("ops", None).await;
    assert_eq!(desk.post(&operator, "/v1/tenants", tenant(&desk, "acme", "t")).await.0, 201);
    let event = desk.host.event("acme", "good", r#"{"id": 1}"#).await;
    let journal = desk.host.journal.clone();
    let remove = |name: &str, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["tenant", "remove", name, "--yes", "--journal"]).arg(&journal).args(more);
        let output = command.env_remove("TANDEM_HOST").output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = remove("acme", &[]);
    assert!(code == Some(3) && said.starts_with("error: another host runs on the journal `"), "{said}");
    let host = desk.host;
    host.server.stop().await.unwrap();
    let (code, said) = remove("acme", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("tenant acme is removed; what was not over is discarded"), "{said}");
    let reader = tandem::journal::Reader::open(&journal).unwrap();
    assert!(reader.accounts().unwrap().is_empty());
    assert_eq!(reader.show(event).unwrap().unwrap().0.outcome.as_deref(), Some("discarded"));
    // One that stood in the configuration has its shop named.
    let (code, said) = remove("zeta", &[]);
    assert!(code == Some(1) && said.contains("name the shop: `--shop zeta.myshopify.com`"), "{said}");
    assert_eq!(remove("zeta", &["--shop", "zeta.myshopify.com"]).0, Some(0));
    assert_eq!(reader.removed_shop("zeta").unwrap().as_deref(), Some("zeta.myshopify.com"));
}
