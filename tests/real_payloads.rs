//! Every collected payload through the component ends as somebody who knows both systems would want, and says why.
//!
//! The table beside this file has the ending of each. A payload that it does not know must end sensibly for its topic
//! and its shape. None traps or runs out of fuel, and Shopify's schemas take every request.
//!
//! The payloads are not part of the project. They are read from the folder named by `TANDEM_REAL_PAYLOADS`, or from the
//! one beside the checkout; without either, the test says that it did not run.

use crate::admin_schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tandem::client::Client;
use tandem::config::Peer;
use tandem::lookup::{self, Lookup};
use tandem::model::{Effect, Event, EventId, Next, Outcome, Reply, Request, Webhook};
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

/// What became of each payload, with and without test orders: a line per file, its name, how it ends and what it writes;
/// after a bar, how it ends when test orders count, where that differs. `BLESS=1` writes the table anew: read the diff.
const TABLE: &str = "tests/real_payloads/expected.txt";

/// Topics that the host answers by itself, or hears without asking the rules for anything.
const HOST: [&str; 5] =
    ["app/scopes_update", "app/uninstalled", "customers/data_request", "customers/redact", "shop/redact"];

/// Writes that the table leaves out, since a body may hold any number of them.
const UNCOUNTED: [&str; 1] = ["POST omneo /profiles/{}/addresses/upsert"];

/// How one payload ended.
struct Ended {
    file: String,
    topic: String,
    outcome: String,
    reason: String,
    /// Whether the rules listen to the topic. Where they do not, nothing is written and no more can be expected.
    heard: bool,
    /// What was written, in order, without ids.
    writes: Vec<String>,
    /// What the outcome must be whatever the table says, judged by topic and body alone.
    sensible: Vec<&'static str>,
}

impl Ended {
    /// As the table has it.
    fn line(&self) -> String {
        let writes: Vec<_> =
            self.writes.iter().filter(|write| !UNCOUNTED.contains(&write.as_str())).map(String::as_str).collect();
        format!("{} {}", self.outcome, writes.join(", ")).trim_end().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_payloads() {
    let Some(folder) = folder() else {
        assert!(std::env::var_os("CI").is_none(), "CI has the payloads, and this run has not found them");
        println!("SKIPPED: no payloads; name their folder in TANDEM_REAL_PAYLOADS");
        return;
    };
    let mut table: BTreeMap<String, [String; 2]> = BTreeMap::new();
    let (skipping, including) = tokio::join!(run_all(&folder, false), run_all(&folder, true));
    let mut wrong = vec![];
    for (n, ended) in [skipping, including].into_iter().enumerate() {
        println!("\n{} payloads, test orders {}", ended.len(), ["skipped", "included"][n]);
        print!("{}", summary(&ended));
        for one in &ended {
            table.entry(one.file.clone()).or_default()[n] = one.line();
            if !one.sensible.contains(&one.outcome.as_str()) {
                wrong.push(format!("{}: expected {:?}, got {}: {}", one.file, one.sensible, one.line(), one.reason));
            }
        }
        wrong.extend(differences(&ended, n));
    }
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        let line = |(file, [skipping, including]): (&String, &[String; 2])| match skipping == including {
            true => format!("{file}: {skipping}\n"),
            false => format!("{file}: {skipping} | {including}\n"),
        };
        let text: String = table.iter().map(line).collect();
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE), text).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{} payloads ended otherwise than they should:\n{}", wrong.len(), wrong.join("\n"));
}

/// What ended otherwise than the table says. A file that it does not know has only to end sensibly.
fn differences(ended: &[Ended], column: usize) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE)).unwrap();
    let mut expected = BTreeMap::new();
    for line in text.lines() {
        let (file, ends) = line.split_once(": ").expect("a line is a file and how it ends");
        let ends: Vec<_> = ends.split(" | ").collect();
        expected.insert(file, ends[column.min(ends.len() - 1)]);
    }
    let mut wrong = vec![];
    let mut known = 0;
    for one in ended {
        let Some(expected) = expected.get(one.file.as_str()) else { continue };
        known += 1;
        let unheard = !one.heard && !expected.contains(' ');
        if *expected != one.line() && !unheard {
            wrong.push(format!("{}: expected {expected}, got {}: {}", one.file, one.line(), one.reason));
        }
    }
    println!("{known} of {} payloads are in the table", ended.len());
    wrong
}

async fn run_all(folder: &Path, include_test: bool) -> Vec<Ended> {
    let rules = format!("timezone = \"Australia/Melbourne\"\n[orders]\ninclude_test = {include_test}\n");
    let plugin = playground::plugin(&rules).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let mut lines = index.lines();
    let columns: Vec<_> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (file, topic, version) = (column("file"), column("topic"), column("api_version"));
    let mut missing = 0;
    for line in lines {
        let fields: Vec<_> = line.split('\t').collect();
        // The index may list what is kept elsewhere.
        let Ok(payload) = std::fs::read_to_string(folder.join(fields[file])) else {
            missing += 1;
            continue;
        };
        let (topic, version) = (fields[topic].to_owned(), fields[version].to_owned());
        running.spawn(run(plugin.clone(), fields[file].to_owned(), topic, version, payload, include_test));
    }
    let mut ended = vec![];
    while let Some(result) = running.join_next().await {
        ended.push(result.unwrap());
    }
    assert!(!ended.is_empty(), "no payload of the index is there");
    if missing > 0 {
        println!("{missing} files of the index are not there");
    }
    ended.sort_by(|one, other| one.file.cmp(&other.file));
    ended
}

/// The outcomes that a person would find sensible for a body that nobody has looked at.
fn sensible(topic: &str, payload: &str, include_test: bool) -> Vec<&'static str> {
    let body: Value = serde_json::from_str(payload).unwrap_or_default();
    let customer = body["id"].is_u64() || body["admin_graphql_api_id"].is_string();
    let order = body["line_items"].is_array() && !body["total_price"].is_null();
    match topic {
        _ if HOST.contains(&topic) => vec!["host"],
        "customers/create" | "customers/update" | "customers/enable" => match body["email"].as_str() {
            _ if !customer => vec!["invalid"],
            None | Some("") => vec!["skipped"],
            // Two people may share an e-mail or a number.
            Some(_) => vec!["done", "refused"],
        },
        "orders/create"
        | "orders/updated"
        | "orders/paid"
        | "orders/fulfilled"
        | "orders/partially_fulfilled"
        | "orders/cancelled" => match () {
            () if !order => vec!["invalid"],
            () if body["test"] == true && !include_test => vec!["skipped"],
            () if !body["cancelled_at"].is_null() => vec!["skipped"],
            () if ["voided", "expired"].iter().any(|status| body["financial_status"] == *status) => vec!["skipped"],
            () => vec!["done", "refused"],
        },
        "products/create" | "products/update" => match body["title"].is_string() && body["variants"].is_array() {
            true => vec!["done"],
            false => vec!["invalid"],
        },
        // The rest says nothing to a system that knows nobody yet, unless it can be heard at all.
        _ => vec!["skipped", "invalid"],
    }
}

/// One payload alone, against stand-ins that know nobody but the customer that it is about or that has bought.
async fn run(
    plugin: Plugin,
    file: String,
    topic: String,
    version: String,
    payload: String,
    include_test: bool,
) -> Ended {
    let sensible = sensible(&topic, &payload, include_test);
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
    let heard = plugin.manifest().listens.iter().any(|(source, wanted)| source == "shopify" && *wanted == topic);
    let ended = |outcome: Outcome, reason: String, writes: Vec<String>| {
        assert!(!reason.is_empty(), "{file}: {} without a reason", outcome.name());
        let is_host = HOST.contains(&topic.as_str()) && outcome == Outcome::Skipped && writes.is_empty();
        let outcome = if is_host { "host" } else { outcome.name() };
        Ended {
            file: file.clone(),
            topic: topic.clone(),
            outcome: outcome.into(),
            reason,
            heard,
            writes,
            sensible: sensible.clone(),
        }
    };
    if !heard {
        return ended(Outcome::Skipped, "the topic is not mapped by these rules".into(), vec![]);
    }
    let key = plugin.key(&event).result.unwrap_or_else(|failure| panic!("{file}: {}", failure.reason));
    if let Err(why) = key {
        return ended(Outcome::Invalid, why, vec![]);
    }
    let world = World::around(&event).await;
    let mut replies: Vec<Vec<Reply>> = vec![];
    let mut writes = vec![];
    for _ in 0..PASSES_MAX {
        let asked = plugin.step(&event, &[], &replies);
        match asked.result.unwrap_or_else(|failure| panic!("{file}: {}", failure.reason)) {
            Next::End(end) => return ended(end.outcome, end.reason, writes),
            Next::Send { calls, .. } => {
                let mut pass = vec![];
                for call in calls {
                    if let Request::Graphql { document, variables } = &call.request {
                        admin_schema::valid(document, variables).unwrap_or_else(|why| panic!("{file}: {why}"));
                    }
                    writes.extend((call.effect != Effect::Read).then(|| without_ids(&call.line())));
                    pass.push(world.answer(&plugin, &call).await);
                }
                replies.push(pass);
            }
        }
    }
    panic!("{file}: not over after {PASSES_MAX} rounds");
}

/// A call's line with `{}` in place of every part of its path that is an id.
fn without_ids(line: &str) -> String {
    let part = |part: &str| {
        if part.starts_with(|c: char| c.is_ascii_digit()) || part.len() == 36 { "{}" } else { part }.to_owned()
    };
    line.split('/').map(part).collect::<Vec<_>>().join("/")
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
        // Hundreds of payloads run at once: a busy machine is no fault.
        let client = Client::new(120_000, allow).unwrap();
        let body: Value = serde_json::from_str(&event.webhook.payload).unwrap_or_default();
        match event.webhook.topic.split('/').next() {
            Some("customers") => add_customer(&shopify, &body),
            Some("orders") => add_customer(&shopify, &body["customer"]),
            _ => {}
        }
        Self { shopify, omneo, client }
    }

    async fn answer(&self, plugin: &Plugin, call: &tandem::model::Call) -> Reply {
        // The host has heard of nobody before.
        if Lookup::of(call).is_some() {
            return lookup::answer(&[]);
        }
        let (url, token) = match call.target.as_str() {
            "shopify" => (self.shopify.url(), ShopifyOptions::default().token),
            _ => (self.omneo.url(), OmneoOptions::default().token),
        };
        let peer = Peer::with_token(&url, &token);
        let version = plugin.manifest().targets.iter().find(|target| target.name == call.target).unwrap();
        match self.client.send(&peer, &token, call, &version.api_version).await {
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

/// The customer of a body, or of an order's, as the shop has them when the body is sent. What the stand-in does not take, such as a phone
/// that Shopify would not have stored either, is left out.
fn add_customer(shopify: &Shopify, body: &Value) {
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
    for Ended { topic, outcome, reason, .. } in ended {
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
