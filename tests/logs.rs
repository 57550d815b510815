//! What is logged of a day: a span for each stage with its tenant and event, and nothing of anybody's.

mod town;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tandem::admin;
use tandem::config::{App, AppKind, PROXY};
use tandem::model::Request;
use tandem::vault::Keys;
use tandem_standin::{Fault, Rule, sign_proxy};
use town::{Town, order};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Texts of at least so many characters, and so many digits of numbers, are somebody's if they are found in a body.
const CHARS_MIN: usize = 4;
const DIGITS_MIN: usize = 6;

/// The texts and long numbers of a body.
fn values(text: &str, found: &mut BTreeSet<String>) {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ (Value::Object(_) | Value::Array(_))) => walk(&inner, found),
                _ if text.chars().count() >= CHARS_MIN => drop(found.insert(text.clone())),
                _ => {}
            },
            Value::Number(number) if number.to_string().len() >= DIGITS_MIN => drop(found.insert(number.to_string())),
            Value::Array(all) => all.iter().for_each(|value| walk(value, found)),
            Value::Object(all) => all.values().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    walk(&serde_json::from_str(text).unwrap_or(Value::String(text.to_owned())), found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_logged_without_anything_of_anybodys() {
    let log = Log::default();
    let writer = log.clone();
    let filter = tracing_subscriber::EnvFilter::new("tandem=trace");
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    subscriber.with_writer(move || writer.clone()).init();

    let town = Town::new().await.configured(|config| {
        config.admin = Some(([127, 0, 0, 1], 0).into());
        config.delivery.retry_delays_ms = vec![1, 1];
        config.keys = Keys::parse(&["ab".repeat(32)]).unwrap();
        let app = App {
            name: "main".into(),
            client_id: "client-id-123".into(),
            client_secret: "shpss_hush".into(),
            previous_secret: None,
            kind: AppKind::Own,
            endpoint: None,
            proxy: PROXY.into(),
            trust_classic_accounts: [].into(),
        };
        config.apps = [("main".to_owned(), app.into())].into();
    });
    let town = town.await;
    let (shopify, omneo) = (&town.playground.shopify, &town.playground.omneo);
    let (ada, profile) = town.ada().await;
    shopify.update_customer(ada, json!({"first_name": "Augusta", "phone": "+61400000009"})).unwrap();
    town.settle().await;
    shopify.send("orders/paid", order(4_501_777, Some(ada), "paid"));
    town.settle().await;
    // Busy, broken, and answering with what it was sent.
    omneo.faults().add(Rule::any().times(1), Fault::StatusRetryAfter(429, 1));
    omneo.faults().add(Rule::any().skip(1), Fault::Status(503));
    shopify.update_customer(ada, json!({"last_name": "Byron", "email": "augusta@byron.example"})).unwrap();
    town.settle().await;
    omneo.faults().clear();
    assert!(!town.dead_letters().is_empty());
    shopify.send("customers/update", json!({"id": "no number", "email": "wrong@shape.example"}));
    town.settle().await;
    let _ = profile;

    // Somebody looks, with the right token and with a wrong one.
    let token = admin::new_token().unwrap();
    let server = &town.playground.server;
    assert!(server.journal.add_token("ops", None, &admin::hash(&token)).await.unwrap());
    let url = |path: &str| format!("http://{}{path}", server.admin.unwrap());
    let client = reqwest::Client::new();
    let tenant = town.events()[0].event.webhook.tenant.clone();
    for token in [token.as_str(), "tandem_0badc0de"] {
        let discard = client.post(url(&format!("/v1/tenants/{tenant}/dead-letters/discard"))).bearer_auth(token);
        let why = json!({"why": "augusta@byron.example has called"}).to_string();
        discard.header("content-type", "application/json").body(why).send().await.unwrap();
        client.get(url("/v1/tenants?secret=augusta")).bearer_auth(token).send().await.unwrap();
    }
    // Somebody puts a token where it does not belong.
    for path in [format!("/v1/tenants/{token}/events"), format!("/v1/{token}"), format!("/v1/tenants/{tenant}/{token}")]
    {
        client.get(url(&path)).bearer_auth(&token).send().await.unwrap();
    }
    let intake = format!("http://{}/webhooks/omneo/{token}", server.address);
    client.post(intake).header("x-shopify-shop-domain", &token).body("{}").send().await.unwrap();
    let intake = format!("http://{}/webhooks/shopify", server.address);
    client.post(intake).header("x-shopify-shop-domain", &token).body("{}").send().await.unwrap();
    // A shopper's browser, with what opens something and with what opens nothing.
    let at = (tandem::clock::now() / 1_000).to_string();
    let shop = "augusta.myshopify.com";
    let pairs = [("shop", shop), ("logged_in_customer_id", "7064055"), ("path_prefix", PROXY), ("timestamp", &at)];
    let signature = sign_proxy("shpss_hush", &pairs);
    let signed = format!("shop={shop}&logged_in_customer_id=7064055&path_prefix=%2Fapps%2Fcx&timestamp={at}");
    for target in [
        format!("main?{signed}&signature={signature}"),
        format!("main?{signed}&signature={signature}&email=augusta@byron.example"),
        format!("main?{token}"),
        format!("{token}?{signed}"),
        format!("main/{token}"),
    ] {
        client.get(format!("http://{}/storefront/{target}", server.address)).send().await.unwrap();
    }
    let extension = format!("http://{}/storefront/main/extension", server.address);
    client.post(extension).bearer_auth(&token).send().await.unwrap();
    // A stranger knocks.
    let intake = format!("http://{}/webhooks/omneo/no%0Abody", server.address);
    client.post(intake).body("augusta@byron.example").send().await.unwrap();

    let mut somebodys: BTreeSet<String> = ["augusta", "tandem_0badc0de", "no\nbody"].map(str::to_owned).into();
    somebodys.insert(signature);
    somebodys.insert(token);
    let config = &town.playground.config.tenants[0];
    for side in [&config.shopify, &config.omneo] {
        if let tandem::config::Credential::Token(token) = &side.credential {
            somebodys.insert(token.clone());
        }
    }
    for event in town.events() {
        values(&event.event.webhook.payload, &mut somebodys);
        somebodys.extend(event.reason.clone().filter(|reason| reason.len() > 20));
        for call in town.show(event.event.id).into_iter().flat_map(|run| run.calls) {
            values(call.call.body(), &mut somebodys);
            if let Request::Rest { path, query, .. } = &call.call.request {
                let ids =
                    path.split('/').filter(|part| part.contains(|c: char| c.is_ascii_digit() || "@%".contains(c)));
                somebodys.extend(ids.map(str::to_owned));
                somebodys.extend(query.iter().map(|(_, value)| value.clone()).filter(|value| value.len() >= CHARS_MIN));
            }
            if let Some(tandem::model::Reply::Answer(answer)) = call.reply {
                values(&answer.body, &mut somebodys);
            }
        }
    }
    town.stop().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(somebodys.len() > 50 && somebodys.contains("augusta@byron.example"), "{somebodys:?}");
    // Words that Tandem has of its own.
    const OWN: [&str; 3] = ["omneo", "shopify", "paid"];
    // A few digits may stand in any time or port.
    let is_telling = |value: &str| value.len() >= 8 || value.chars().any(char::is_alphabetic);
    let found: Vec<_> = somebodys
        .iter()
        .filter(|value| is_telling(value) && !OWN.contains(&value.as_str()) && log.contains(*value))
        .collect();
    let line = |value: &str| log.lines().find(|line| line.contains(value)).unwrap_or_default().to_owned();
    let shown: Vec<_> = found.iter().map(|value| (value, line(value))).collect();
    assert!(found.is_empty(), "{shown:#?}");

    // Each stage says whose and what, and how long it took.
    let says = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let of = format!("tenant=\"{tenant}\"");
    assert!(says(&["webhook{", &of, "event=1", "accepted took_ms="]), "{log}");
    assert!(says(&["mapping{", &of, "event=1", "run=1", "version=", "done took_ms="]), "{log}");
    assert!(says(&["delivery{", &of, "event=1", "run=1", "call=1", "200 attempt=1 took_ms="]), "{log}");
    assert!(says(&["delivery{", "throttled"]) || says(&["delivery{", "429 attempt="]), "{log}");
    assert!(says(&["mapping{", "failed; `tandem events ", "blame=\"peer\""]), "{log}");
    assert!(says(&["admin{", "method=POST", &of, "by=\"ops\"", "200 took_ms="]), "{log}");
    assert!(says(&["admin{", "path=\"/v1/tenants/{tenant}/events\"", "by=\"ops\"", "404 took_ms="]), "{log}");
    assert!(says(&["WARN webhook: ", "not accepted: unknown address took_ms="]), "{log}");
}
