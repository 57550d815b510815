//! Every collected payload through the component: none traps or runs out of fuel, and every skip and refusal says why.
//!
//! The payloads are not part of the project. They are read from the folder named by `TANDEM_REAL_PAYLOADS`, or from the
//! one beside the checkout; without either, the test says that it did not run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tandem::client::Client;
use tandem::config::Peer;
use tandem::model::{Event, EventId, Next, Outcome, Reply, Webhook};
use tandem::playground;
use tandem::rules::Plugin;
use tandem_standin::{Clock, Delivery, Omneo, OmneoOptions, Shopify, ShopifyOptions};

/// More rounds than the rules ever need.
const PASSES_MAX: usize = 40;

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/shopify-payloads");
    let folder = std::env::var_os("TANDEM_REAL_PAYLOADS").map_or(beside, PathBuf::from);
    folder.join("index.tsv").is_file().then_some(folder)
}

/// How one payload ended.
struct Ended {
    topic: String,
    outcome: String,
    reason: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn real_payloads() {
    let Some(folder) = folder() else {
        assert!(std::env::var_os("CI").is_none(), "CI has the payloads, and this run has not found them");
        println!("SKIPPED: no payloads; name their folder in TANDEM_REAL_PAYLOADS");
        return;
    };
    for include_test in [false, true] {
        let rules = format!("timezone = \"Australia/Melbourne\"\n[orders]\ninclude_test = {include_test}\n");
        let plugin = playground::plugin(&rules).await.unwrap();
        let mut running = tokio::task::JoinSet::new();
        let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
        let mut lines = index.lines();
        let columns: Vec<_> = lines.next().unwrap().split('\t').collect();
        let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let (file, topic, version) = (column("file"), column("topic"), column("api_version"));
        let mut missing = vec![];
        for line in lines {
            let fields: Vec<_> = line.split('\t').collect();
            let path = folder.join(fields[file]);
            // The index may list what is kept elsewhere.
            let Ok(payload) = std::fs::read_to_string(&path) else {
                missing.push(fields[file].to_owned());
                continue;
            };
            let (topic, version) = (fields[topic].to_owned(), fields[version].to_owned());
            running.spawn(run(plugin.clone(), fields[file].to_owned(), topic, version, payload));
        }
        let mut ended = vec![];
        while let Some(result) = running.join_next().await {
            ended.push(result.unwrap());
        }
        assert!(ended.len() > 100, "only {} payloads were found", ended.len());
        println!("\n{} payloads, test orders {}", ended.len(), if include_test { "included" } else { "skipped" });
        print!("{}", summary(&ended));
        if !missing.is_empty() {
            println!("{} files of the index are not there", missing.len());
        }
    }
}

/// One payload alone, against stand-ins that know nobody but the customer it is about.
async fn run(plugin: Plugin, file: String, topic: String, version: String, payload: String) -> Ended {
    let event = Event {
        id: EventId(1),
        webhook: Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: topic.clone(),
            delivery_id: None,
            occurred_at: "2026-11-01T00:00:00Z".into(),
            received_at: tandem::clock::parse("2026-11-01T00:00:01Z").unwrap(),
            api_version: version,
            payload,
        },
    };
    let ended = |outcome: Outcome, reason: String| {
        assert!(!reason.is_empty(), "{file}: {} without a reason", outcome.name());
        Ended { topic: topic.clone(), outcome: outcome.name().into(), reason }
    };
    let wanted = plugin.manifest().listens.iter().any(|(source, wanted)| source == "shopify" && *wanted == topic);
    if !wanted {
        return ended(Outcome::Skipped, "the topic is not mapped by these rules".into());
    }
    let key = plugin.key(&event).result.unwrap_or_else(|failure| panic!("{file}: {}", failure.reason));
    if let Err(why) = key {
        return ended(Outcome::Invalid, why);
    }
    let world = World::around(&event).await;
    let mut replies: Vec<Vec<Reply>> = vec![];
    for _ in 0..PASSES_MAX {
        let asked = plugin.step(&event, &[], &replies);
        match asked.result.unwrap_or_else(|failure| panic!("{file}: {}", failure.reason)) {
            Next::End(end) => return ended(end.outcome, end.reason),
            Next::Send { calls, .. } => {
                let mut pass = vec![];
                for call in calls {
                    pass.push(world.answer(&plugin, &call).await);
                }
                replies.push(pass);
            }
        }
    }
    panic!("{file}: not over after {PASSES_MAX} rounds");
}

struct World {
    shopify: Shopify,
    omneo: Omneo,
    client: Client,
}

impl World {
    async fn around(event: &Event) -> Self {
        let clock = Clock::fixed(event.webhook.received_at);
        let options = ShopifyOptions { clock: clock.clone(), delivery: Delivery::Manual, ..ShopifyOptions::default() };
        let shopify = Shopify::start(options).await.unwrap();
        let options = OmneoOptions { clock, delivery: Delivery::Manual, ..OmneoOptions::default() };
        let omneo = Omneo::start(options).await.unwrap();
        let allow = vec![shopify.address().to_string(), omneo.address().to_string()];
        let client = Client::new(10_000, allow).unwrap();
        if event.webhook.topic.starts_with("customers/") {
            add_customer(&shopify, &event.webhook.payload);
        }
        Self { shopify, omneo, client }
    }

    async fn answer(&self, plugin: &Plugin, call: &tandem::model::Call) -> Reply {
        let (url, token) = match call.target.as_str() {
            "shopify" => (self.shopify.url(), ShopifyOptions::default().token),
            _ => (self.omneo.url(), OmneoOptions::default().token),
        };
        let peer = Peer { url, token, webhook_secrets: vec![], per_minute: None };
        let version = plugin.manifest().targets.iter().find(|target| target.name == call.target).unwrap();
        match self.client.send(&peer, call, &version.api_version).await {
            tandem::retry::Outcome::Answered { answer, .. } => Reply::Answer(answer),
            other => panic!("{} was not answered: {other:?}", call.line()),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shopify.stop();
        self.omneo.stop();
    }
}

/// The customer of a body, as the shop has them when the body is sent. What the stand-in does not take, such as a phone
/// that Shopify would not have stored either, is left out.
fn add_customer(shopify: &Shopify, payload: &str) {
    let Ok(body) = serde_json::from_str::<Value>(payload) else { return };
    let id = body["admin_graphql_api_id"].as_str().and_then(|gid| gid.rsplit('/').next()?.parse::<u64>().ok());
    let Some(id) = id.or_else(|| body["id"].as_u64()) else { return };
    let mut fields = serde_json::Map::from_iter([("id".to_owned(), id.into())]);
    for key in ["first_name", "last_name", "email", "phone"] {
        if let Some(value) = body.get(key).filter(|value| !value.is_null()) {
            fields.insert(key.to_owned(), value.clone());
        }
    }
    if shopify.create_customer(Value::Object(fields.clone())).is_err() {
        fields.remove("phone");
        let _ = shopify.create_customer(Value::Object(fields));
    }
}

/// Lines of count, topic, outcome and reason, with ids and amounts left out so that like falls together.
fn summary(ended: &[Ended]) -> String {
    let mut counts: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for Ended { topic, outcome, reason } in ended {
        // What is quoted is the payload's own, such as a title.
        let reason: String = reason
            .split('`')
            .enumerate()
            .map(|(n, part)| if n % 2 == 1 && outcome == "done" { "…" } else { part })
            .collect();
        let reason: String = reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let reason: String =
            reason.split(' ').map(|word| if word.contains('#') { "#" } else { word }).collect::<Vec<_>>().join(" ");
        *counts.entry((topic, outcome, reason.chars().take(110).collect())).or_default() += 1;
        *totals.entry(outcome).or_default() += 1;
    }
    let mut text = String::new();
    for ((topic, outcome, reason), count) in counts {
        text.push_str(&format!("{count:>4}  {topic:<42} {outcome:<8} {reason}\n"));
    }
    format!("{text}{totals:?}\n")
}
