//! Events against the stand-ins, without a written reply: what the rules ask and are answered, and both sides before and after.
//!
//! Knows how a topic comes about in a stand-in's world; the host in between is the real one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use similar::TextDiff;
use tandem_standin::{OmneoOptions, ShopifyOptions};

use crate::clock;
use crate::events::{self, EventInFull};
use crate::journal::{EventRow, Filter};
use crate::model::EventId;
use crate::paint::{Paint, harmless};
use crate::playground::Playground;
use crate::rules::Plugin;
use crate::samples::{self, Edit, Unfit};

/// The clocks of both systems count whole seconds: what comes within the second of the last edit would be a tie.
const TICK: Duration = Duration::from_millis(1_100);

/// Something that happens.
#[derive(Clone, Debug)]
pub struct Step {
    pub topic: String,
    /// As it is sent, and of a customer as the stand-in then has it; without it, the stand-in does what the topic tells of, and says
    /// so itself.
    pub body: Option<Value>,
    pub edits: Vec<Edit>,
}

/// What came of the steps.
pub struct Simulated {
    /// Those that a step has sent, and those that followed.
    pub events: Vec<(EventInFull, bool)>,
    pub before: World,
    pub after: World,
}

/// Everything that both sides hold, by what it is called.
pub type World = BTreeMap<String, Value>;

/// Plays the steps, one after the other, each to its end.
pub async fn run(plugin: Plugin, steps: &[Step]) -> anyhow::Result<Simulated> {
    let folder = tempfile::tempdir().context("making a temporary folder for the journal")?;
    let (shopify, omneo) = (ShopifyOptions::default(), OmneoOptions::default());
    let playground = Playground::start(plugin, &folder.path().join("try.db"), shopify, omneo).await?;
    let played = play(&playground, steps).await;
    playground.stop().await?;
    played
}

async fn play(playground: &Playground, steps: &[Step]) -> anyhow::Result<Simulated> {
    // A person is there on both sides before anything happens to that person.
    let person = match steps.first().map(|step| step.topic.as_str()) {
        Some("customers/create" | "profile.created") | None => None,
        Some(_) => {
            let mut ada = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev", "phone": "+61400000001"});
            if let Some(id) = steps.first().and_then(changed_customer) {
                ada["id"] = json!(id);
            }
            let id = playground.shopify.create_customer(ada).map_err(refused)?;
            playground.settle().await?;
            tokio::time::sleep(TICK).await;
            Some(id)
        }
    };
    let mut last = last_event(playground)?;
    let before = world(playground);
    let mut seen = vec![];
    let mut customer = person;
    for (n, step) in steps.iter().enumerate() {
        if n > 0 {
            tokio::time::sleep(TICK).await;
        }
        customer = happen(playground, step, customer)?;
        playground.settle().await?;
        let filter = Filter { after: Some(last), limit: usize::MAX, ..Filter::default() };
        // Other events may come before it: an account that is enabled says so by itself.
        let mut is_seen = false;
        for row in playground.server.journal.read(|reader| reader.events(&filter))? {
            last = row.event.id;
            let own = !is_seen && row.event.webhook.topic == step.topic;
            is_seen |= own;
            seen.extend(in_full(playground, &row)?.map(|event| (event, own)));
        }
    }
    if !seen.iter().any(|(_, own)| *own) {
        bail!(
            "no event came of it: the stand-in has nothing to tell\nhint: `--edit` changes a value, `--body` sends a whole one"
        );
    }
    Ok(Simulated { events: seen, before, after: world(playground) })
}

/// Has a step happen; the customer whom the following ones are about.
fn happen(playground: &Playground, step: &Step, customer: Option<u64>) -> anyhow::Result<Option<u64>> {
    let (shopify, omneo) = (&playground.shopify, &playground.omneo);
    let Step { topic, body, edits } = step;
    if let Some(body) = body {
        // Rules look at the customer, and not at what is sent alone.
        match changed_customer(step) {
            _ if topic == "customers/create" => {
                return Ok(Some(shopify.create_customer(body.clone()).map_err(refused)?));
            }
            Some(id) if shopify.customer(id).is_some() => {
                shopify.update_customer(id, body.clone()).map_err(refused)?;
                return Ok(Some(id));
            }
            _ => {}
        }
        match samples::source_of(topic) {
            "shopify" => shopify.send(topic, body.clone()),
            _ => omneo.send(topic, body.clone()),
        }
        return Ok(customer);
    }
    let edited = |mut body: Value| -> anyhow::Result<Value> {
        edits.iter().try_for_each(|edit| edit.apply(&mut body)).map_err(Unfit)?;
        Ok(body)
    };
    let sample = || {
        let mut body = samples::body(topic, &clock::rfc3339(clock::now()));
        samples::in_shop(&mut body, &shopify.shop(), None);
        if let Some(known) = customer.filter(|_| body["customer"]["id"].is_u64()) {
            body["customer"]["id"] = json!(known);
        }
        edited(body)
    };
    let changed = |usual: Value, there: Option<Value>| match edits.is_empty() {
        true => Ok(usual),
        false => Edit::changes(edits, &there.unwrap_or_default()),
    };
    let profile = || {
        let profiles = omneo.profiles();
        let id = profiles.first().and_then(|profile| profile["id"].as_str()).map(str::to_owned);
        id.context("there is nobody in Omneo\nhint: begin with `profile.created` or `customers/create`")
    };
    let in_omneo = |done: Result<(), Value>| done.map_err(|why| anyhow!("Omneo's stand-in refuses that: {why}"));
    let known = || customer.context("there is no customer\nhint: begin with `customers/create`");
    match topic.as_str() {
        "customers/create" => {
            let person = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev", "phone": "+61400000001"});
            return Ok(Some(shopify.create_customer(edited(person)?).map_err(refused)?));
        }
        "customers/update" => {
            let (id, usual) = (known()?, json!({"first_name": "Augusta Ada"}));
            shopify.update_customer(id, changed(usual, shopify.customer(id))?).map_err(refused)?;
        }
        "customers/delete" => drop(shopify.delete_customer(known()?)),
        "profile.created" => {
            let person = json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev", "mobile_phone": "+61400000002"});
            in_omneo(omneo.create_profile(edited(person)?).map(drop))?;
        }
        "profile.updated" => {
            let (id, usual) = (profile()?, json!({"first_name": "Augusta Ada"}));
            in_omneo(omneo.update_profile(&id, changed(usual, omneo.profiles().into_iter().next())?))?;
        }
        "profile.deleted" => drop(omneo.delete_profile(&profile()?)),
        order if order.starts_with("orders/") => {
            let mut body = samples::body(topic, &clock::rfc3339(clock::now()));
            if let Some(customer) = customer {
                body["customer"] =
                    json!({"id": customer, "email": "ada@lovelace.dev", "first_name": "Ada", "last_name": "Lovelace"});
            }
            shopify.send_order(topic, edited(body)?);
        }
        product if product.starts_with("products/") => shopify.send_product(topic, sample()?),
        _ if samples::source_of(topic) == "shopify" => shopify.send(topic, sample()?),
        _ => {
            let mut body = samples::body(topic, &clock::rfc3339(clock::now()));
            body["profile_id"] = json!(profile()?);
            omneo.send(topic, edited(body)?);
        }
    }
    Ok(customer)
}

/// The customer that a given body says to have changed.
fn changed_customer(Step { topic, body, .. }: &Step) -> Option<u64> {
    body.as_ref().filter(|_| topic == "customers/update").and_then(|body| body["id"].as_u64())
}

fn refused(errors: Vec<String>) -> anyhow::Error {
    anyhow!("Shopify's stand-in refuses that: {}", errors.join(", "))
}

fn last_event(playground: &Playground) -> anyhow::Result<EventId> {
    Ok(playground.events()?.last().map_or(EventId(0), |row| row.event.id))
}

fn in_full(playground: &Playground, row: &EventRow) -> anyhow::Result<Option<EventInFull>> {
    let shown = playground.server.journal.read(|reader| reader.show(row.event.id))?;
    Ok(shown.map(|(row, runs)| EventInFull::of(row, runs)))
}

fn world(playground: &Playground) -> World {
    let (shopify, omneo) = (&playground.shopify, &playground.omneo);
    let all = [
        ("Shopify customer", "id", shopify.customers()),
        ("Omneo profile", "id", omneo.profiles()),
        ("Omneo transaction", "external_id", omneo.transactions()),
        ("Omneo order", "external_id", omneo.orders()),
        ("Omneo product", "external_id", omneo.products()),
        ("Omneo location", "external_id", omneo.locations()),
    ];
    let named = |(what, key, rows): (&str, &str, Vec<Value>)| -> Vec<(String, Value)> {
        let name = |row: &Value| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        rows.into_iter().map(|row| (format!("{what} {}", name(&row)), row)).collect()
    };
    all.into_iter().flat_map(named).collect()
}

impl Simulated {
    /// For people: each event of a step with its conversation, a line for those that followed, and what is different on both
    /// sides.
    pub fn show(&self, paint: Paint) -> String {
        let mut text = String::new();
        for (event, own) in &self.events {
            match own {
                true => text += &format!("{}\n", events::show(event, paint)),
                false => text += &format!("{}\n", events::line(&event.event, paint)),
            }
        }
        let _ = writeln!(text, "\n{}", paint.bold("both sides, before and after"));
        let changes = self.changes(paint);
        text + if changes.is_empty() { "nothing is different\n" } else { &changes }
    }

    fn changes(&self, paint: Paint) -> String {
        let pretty = |value: Option<&Value>| value.map(|value| format!("{value:#}\n")).unwrap_or_default();
        let mut text = String::new();
        let names: std::collections::BTreeSet<_> = self.before.keys().chain(self.after.keys()).collect();
        for name in names {
            let (before, after) = (self.before.get(name), self.after.get(name));
            if before == after {
                continue;
            }
            let what = match (before, after) {
                (None, _) => "is new",
                (_, None) => "is gone",
                _ => "is different",
            };
            let _ = writeln!(text, "{} {what}", paint.bold(harmless(name)));
            let (before, after) = (pretty(before), pretty(after));
            let diff = TextDiff::from_lines(&before, &after);
            let diff = diff.unified_diff().context_radius(1).to_string();
            for line in harmless(&diff).lines().filter(|line| !line.starts_with("@@")) {
                let line = match line.chars().next() {
                    Some('+') => paint.green(line),
                    Some('-') => paint.red(line),
                    _ => line.to_owned(),
                };
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    /// The same for a program.
    pub fn json(&self) -> anyhow::Result<Value> {
        let events: Result<Vec<_>, _> = self.events.iter().map(|(event, _)| serde_json::to_value(event)).collect();
        Ok(json!({"events": events?, "before": self.before, "after": self.after}))
    }

    /// The events that a step has sent and that did not end so.
    pub fn otherwise(&self, ends: &[&str]) -> Vec<String> {
        let own = self.events.iter().filter(|(_, own)| *own).map(|(event, _)| &event.event);
        let outcome = |event: &events::Event| event.outcome.clone().unwrap_or_else(|| "waiting".to_owned());
        let other = own.filter(|event| !ends.contains(&outcome(event).as_str()));
        let said = |event: &events::Event| {
            format!("{} is {}: {}", event.topic, outcome(event), event.reason.as_deref().unwrap_or_default())
        };
        other.map(said).collect()
    }
}
