//! What an ask costs in a fresh instance and in a kept one, against the same rules run natively and the same kind of job
//! in plain Node, in one run.
//!
//! `cargo bench --bench ask`. Prints microseconds at the 20th percentile of many batches, ratios to native, and fuel,
//! which is the same on every machine. What is not installed is left out, and said.

mod made;

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tandem::conversation::{Conversation, Rules};
use tandem::model::{Answer, Call, Event, EventId, Next, Outcome, Reply, Webhook};
use tandem::playground;
use tandem::rules::Plugin;
use tandem_rules::DefaultRules;
use tandem_sdk::{Rules as _, step};

const BATCHES: usize = 60;
const RULES: &str = "timezone = \"Australia/Melbourne\"\n";

/// An event with what is remembered of its entity, and the replies of a first run of it.
struct Case {
    name: String,
    event: Event,
    memory: Vec<String>,
    replies: Vec<Vec<Reply>>,
}

/// What one way of running rules takes for a case, in microseconds.
#[derive(Clone, Copy)]
struct Took {
    first: f64,
    /// Key and every ask until the event is over.
    whole: f64,
}

/// What is measured, how it is read off, and its fuel.
type Row = (String, fn(Took) -> f64, u64);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let plugin = runtime.block_on(playground::plugin(RULES)).expect("the default rules");
    let (native, _) = DefaultRules::configure(&json!({"timezone": "Australia/Melbourne"}).to_string())
        .expect("the settings are right");
    let cases = cases(&plugin);

    let mut columns: Vec<(&str, Vec<Took>)> = vec![
        ("native", cases.iter().map(|case| natively(&native, case)).collect()),
        ("warm", cases.iter().map(|case| warm(&plugin, case)).collect()),
        ("fresh", fresh(&plugin, &cases)),
        ("unwatched", cases.iter().map(|case| unwatched(&plugin, case)).collect()),
    ];
    columns.push(("composed", fresh(&made::composed(), &cases)));
    match made::javascript(|rules| rules) {
        Some(js) => columns.push(("js", fresh(&js, &cases))),
        None => println!("no column `js`: npm is not installed"),
    }
    match node(&cases) {
        Ok(took) => columns.push(("node", took)),
        Err(why) => println!("no column `node`: {why}"),
    }
    print(&plugin, &cases, &columns);
}

fn print(plugin: &Plugin, cases: &[Case], columns: &[(&str, Vec<Took>)]) {
    print!("{:<46}", "microseconds");
    columns.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!("{:>14}{:>17}{:>12}", "fresh/native", "fresh/unwatched", "fuel, 1000s");
    for (n, case) in cases.iter().enumerate() {
        let fuel = |upto: usize| plugin.step(&case.event, &case.memory, &case.replies[..upto]).usage.fuel;
        let whole = plugin.key(&case.event).usage.fuel + (0..=case.replies.len()).map(fuel).sum::<u64>();
        let size = case.event.webhook.payload.len() as f64 / 1000.0;
        let rows: [Row; 2] = [
            (format!("first ask, {} ({size:.0} KB)", case.name), |took| took.first, fuel(0)),
            (format!("whole event, {} asks and key", case.replies.len() + 1), |took| took.whole, whole),
        ];
        for (name, of, fuel) in rows {
            print!("{name:<46}");
            columns.iter().for_each(|(_, took)| print!("{:>10.1}", of(took[n])));
            let ratio = of(columns[2].1[n]) / of(columns[0].1[n]);
            let watching = of(columns[2].1[n]) / of(columns[3].1[n]);
            println!("{ratio:>14.2}{watching:>17.2}{:>12.0}", fuel as f64 / 1000.0);
        }
    }
}

fn natively(rules: &DefaultRules, case: &Case) -> Took {
    let event = sdk_event(&case.event);
    let replies: Vec<Vec<_>> = case.replies.iter().map(|pass| pass.iter().map(sdk_reply).collect()).collect();
    let whole = || {
        let _ = black_box(rules.key(&event));
        for n in 0..=replies.len() {
            drop(black_box(step(rules, &event, &case.memory, replies[..n].to_vec())));
        }
    };
    Took { first: time(|| drop(black_box(step(rules, &event, &case.memory, vec![])))), whole: time(whole) }
}

fn warm(plugin: &Plugin, case: &Case) -> Took {
    let ask = |n: usize| plugin.bench_warm(&case.event, &case.memory, &case.replies[..n], BATCHES * 5);
    Took { first: ask(0), whole: (0..=case.replies.len()).map(ask).sum() }
}

/// In a pool that has served all cases, as that of a host has.
fn fresh(plugin: &Plugin, cases: &[Case]) -> Vec<Took> {
    for case in cases {
        let _ = black_box(plugin.key(&case.event));
        drop(black_box(plugin.step(&case.event, &case.memory, &case.replies)));
    }
    cases.iter().map(|case| fresh_one(plugin, case)).collect()
}

fn fresh_one(plugin: &Plugin, case: &Case) -> Took {
    let whole = || {
        let _ = black_box(plugin.key(&case.event));
        for n in 0..=case.replies.len() {
            drop(black_box(plugin.step(&case.event, &case.memory, &case.replies[..n])));
        }
    };
    Took { first: time(|| drop(black_box(plugin.step(&case.event, &case.memory, &[])))), whole: time(whole) }
}

/// As `fresh`, but nobody looks after the ask: without its time, its slices and its own stack.
fn unwatched(plugin: &Plugin, case: &Case) -> Took {
    let ask = |n: usize| assert!(black_box(plugin.bench_unwatched(&case.event, &case.memory, &case.replies[..n])));
    let whole = || {
        let _ = black_box(plugin.key(&case.event));
        (0..=case.replies.len()).for_each(ask);
    };
    Took { first: time(|| ask(0)), whole: time(whole) }
}

/// Has Node do it, on the same payloads and replies.
fn node(cases: &[Case]) -> Result<Vec<Took>, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/node.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node cannot be started: {error}"))?;
    let bodies = |pass: &Vec<Reply>| pass.iter().map(|reply| body(reply).to_owned()).collect::<Vec<_>>();
    let input: Vec<Value> = cases
        .iter()
        .map(|Case { event, memory, replies, .. }| {
            let replies: Vec<_> = replies.iter().map(bodies).collect();
            json!({"topic": event.webhook.topic, "payload": event.webhook.payload, "memory": memory, "replies": replies})
        })
        .collect();
    let written = node.stdin.take().map(|mut stdin| stdin.write_all(json!(input).to_string().as_bytes()));
    let output = node.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() || !matches!(written, Some(Ok(()))) {
        return Err(format!("`{script}` failed"));
    }
    let took: Vec<(f64, f64)> = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(took.into_iter().map(|(first, whole)| Took { first, whole }).collect())
}

/// A customer who signs up and one who is then edited, orders, and a product.
fn cases(plugin: &Plugin) -> Vec<Case> {
    let (sign_up, memory) = case(plugin, "a new customer", "customers/create", customer("Ada"), vec![]);
    let (edit, _) = case(plugin, "a customer's new name", "customers/update", customer("Augusta"), memory);
    let mut cases = vec![sign_up, edit];
    for (name, topic, payload) in [
        ("an order of 12 lines", "orders/paid", order(12)),
        ("an order of 42 lines", "orders/paid", order(42)),
        ("a product of 100 variants", "products/update", product(100)),
    ] {
        cases.push(case(plugin, name, topic, payload, vec![]).0);
    }
    cases
}

/// A case, and what is remembered after it.
fn case(plugin: &Plugin, name: &str, topic: &str, payload: Value, memory: Vec<String>) -> (Case, Vec<String>) {
    let event = event(topic, payload.to_string());
    let rules = Rules::from(plugin);
    let mut conversation = Conversation::new(&rules, &event, &memory);
    conversation.key();
    let end = loop {
        match conversation.go_on().expect("the rules answer").0 {
            Next::Send { calls, .. } => conversation.answer(calls.iter().map(answer).collect()),
            Next::End(end) => break end,
        }
    };
    assert_eq!(end.outcome, Outcome::Done, "{name}: {}", end.reason);
    let replies = conversation.into_asks().1;
    (Case { name: name.to_owned(), event, memory, replies }, end.memory.into_iter().collect())
}

/// Answers as systems that know nobody yet would.
fn answer(call: &Call) -> Reply {
    let line = call.line();
    let (status, body) = if line.ends_with("/search-id") {
        (404, json!({"message": "not found"}))
    } else if line.ends_with("/availability") {
        (200, json!({"data": {"email": {"available": true, "profile": null}, "mobile_phone": null}}))
    } else if line.ends_with("/addresses") {
        (200, json!({"data": []}))
    } else if line.ends_with("/addresses/upsert") {
        (
            200,
            json!({"data": {"id": 8, "external_id": "8000000000001", "name": "Ada Lovelace", "address_line_1": "1 Engine Street",
            "city": "Melbourne", "state": "Victoria", "postcode": "3000", "country": "Australia", "is_default": true}}),
        )
    } else if line == "shopify Addresses" {
        (
            200,
            json!({"data": {"customer": {"updatedAt": "2026-11-02T09:00:00Z", "defaultAddress": {"id": "gid://shopify/MailingAddress/8000000000001"},
            "addressesV2": {"nodes": [{"id": "gid://shopify/MailingAddress/8000000000001", "address1": "1 Engine Street", "address2": null,
            "city": "Melbourne", "company": null, "zip": "3000", "phone": null, "province": "Victoria", "provinceCode": "VIC",
            "country": "Australia", "countryCodeV2": "AU", "firstName": "Ada", "lastName": "Lovelace"}]}}}}),
        )
    } else if line.contains(" omneo /profiles") && !line.contains("/addresses") {
        (
            if line.starts_with("POST") { 201 } else { 200 },
            json!({"data": {"id": "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev",
            "mobile_phone": null, "profile_type": "active", "tier": {"handle": "gold", "name": "Gold"}, "point_balance": 120, "reward_balance": 10.5,
            "identities": [{"id": 1, "handle": "shopify", "identifier": "7064055069001"}], "tags": [], "addresses": [],
            "attributes": {"comms": {"email_promo": null, "sms_promo": null, "optout": false}},
            "created_at": "2026-11-02 09:00:00", "updated_at": "2026-11-02 09:00:00"}}),
        )
    } else if line == "shopify Loyalty" {
        let sent: Value = serde_json::from_str(call.body()).expect("its variables are JSON");
        (200, json!({"data": {"metafieldsSet": {"metafields": sent["metafields"], "userErrors": []}}}))
    } else if line == "shopify Person" {
        (
            200,
            json!({"data": {"customer": {"id": "gid://shopify/Customer/7064055069001", "legacyResourceId": "7064055069001",
            "updatedAt": "2026-11-02T09:00:00Z", "state": "DISABLED", "firstName": "Ada", "lastName": "Lovelace", "note": null, "tags": [],
            "defaultEmailAddress": {"emailAddress": "ada@lovelace.dev", "marketingState": "NOT_SUBSCRIBED", "marketingUpdatedAt": null},
            "defaultPhoneNumber": null, "link": null, "field_tier": null, "field_tier_name": null, "field_points": null, "field_reward_balance": null}}}),
        )
    } else {
        (200, json!({"data": {"id": 77}}))
    };
    Reply::Answer(Answer { status, headers: vec![], body: body.to_string() })
}

/// Microseconds of one run: the 20th percentile of the batches.
fn time(mut run: impl FnMut()) -> f64 {
    let began = Instant::now();
    run();
    let size = (2_000_000 / began.elapsed().as_nanos().max(1)).clamp(1, 200) as usize;
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..size {
                run();
            }
            began.elapsed().as_secs_f64() * 1e6 / size as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 5]
}

fn customer(first_name: &str) -> Value {
    json!({
        "id": 7_064_055_069_001_u64, "admin_graphql_api_id": "gid://shopify/Customer/7064055069001", "email": "ada@lovelace.dev",
        "created_at": "2026-11-02T20:00:00+11:00", "updated_at": if first_name == "Ada" { "2026-11-02T20:00:00+11:00" } else { "2026-11-02T21:00:00+11:00" },
        "first_name": first_name, "last_name": "Lovelace",
        "state": "disabled", "note": null, "verified_email": true, "multipass_identifier": null, "tax_exempt": false, "phone": null,
        "currency": "AUD", "addresses": [{"id": 8_000_000_000_001_u64, "customer_id": 7_064_055_069_001_u64, "first_name": "Ada",
            "last_name": "Lovelace", "company": null, "address1": "1 Engine Street", "address2": null, "city": "Melbourne",
            "province": "Victoria", "country": "Australia", "zip": "3000", "phone": null, "name": "Ada Lovelace", "province_code": "VIC",
            "country_code": "AU", "country_name": "Australia", "default": true}],
        "tax_exemptions": [], "admin_graphql_api_customer": null,
    })
}

/// A guest's order with so many lines, each as long as Shopify's are.
fn order(lines: u64) -> Value {
    let money = |amount: &str| json!({"shop_money": {"amount": amount, "currency_code": "AUD"}, "presentment_money": {"amount": amount, "currency_code": "AUD"}});
    let line = |n: u64| {
        json!({
            "id": 14_000_000_000_000_u64 + n, "admin_graphql_api_id": format!("gid://shopify/LineItem/{}", 14_000_000_000_000_u64 + n),
            "attributed_staffs": [], "current_quantity": 1, "fulfillable_quantity": 1, "fulfillment_service": "manual",
            "fulfillment_status": null, "gift_card": false, "grams": 250, "name": format!("Dress number {n} - Blue / M"), "price": "59.95",
            "price_set": money("59.95"), "product_exists": true, "product_id": 7_700_000_000_000_u64 + n, "properties": [{"name": "engraving", "value": "for Ada"}],
            "quantity": 1, "requires_shipping": true, "sku": format!("DRESS-{n}-M"), "taxable": true, "title": format!("Dress number {n}"),
            "total_discount": "0.00", "total_discount_set": money("0.00"), "variant_id": 4_400_000_000_000_u64 + n, "variant_inventory_management": "shopify",
            "variant_title": "Blue / M", "vendor": "Acme", "duties": [],
            "tax_lines": (0..4).map(|_| json!({"channel_liable": false, "price": "1.36", "price_set": money("1.36"), "rate": 0.025, "title": "GST"})).collect::<Vec<_>>(),
            "discount_allocations": (0..4).map(|_| json!({"amount": "0.50", "amount_set": money("0.50"), "discount_application_index": 0})).collect::<Vec<_>>(),
        })
    };
    // Per line 59.95 - 2.00 with the tax included.
    let total = 5_795 * lines;
    json!({
        "id": 5_500_000_000_001_u64, "name": "#1001", "test": false, "currency": "AUD", "taxes_included": true, "financial_status": "paid",
        "fulfillment_status": null, "cancelled_at": null, "created_at": "2026-11-02T20:00:00+11:00", "processed_at": "2026-11-02T20:00:00+11:00",
        "updated_at": "2026-11-02T20:00:01+11:00", "total_price": format!("{}.{:02}", total / 100, total % 100), "total_discounts": format!("{}.00", 2 * lines),
        "total_tax": "0.00", "source_name": "web", "payment_gateway_names": ["shopify_payments"], "email": "guest@passing.dev", "customer": null,
        "line_items": (0..lines).map(line).collect::<Vec<_>>(), "shipping_lines": [], "refunds": [],
    })
}

fn product(variants: u64) -> Value {
    let variant = |n: u64| {
        json!({
            "id": 4_400_000_000_000_u64 + n, "admin_graphql_api_id": format!("gid://shopify/ProductVariant/{}", 4_400_000_000_000_u64 + n),
            "barcode": format!("93000000{n:05}"), "compare_at_price": "79.95", "created_at": "2026-11-02T20:00:00+11:00", "image_id": null,
            "inventory_item_id": 4_600_000_000_000_u64 + n, "inventory_policy": "deny", "inventory_quantity": 7, "old_inventory_quantity": 7,
            "option1": format!("Blue {n}"), "option2": "M", "option3": null, "position": n + 1, "price": "59.95",
            "product_id": 7_700_000_000_001_u64, "sku": format!("DRESS-{n}-M"), "taxable": true, "title": format!("Blue {n} / M"),
            "updated_at": "2026-11-02T20:00:00+11:00",
        })
    };
    let option = |name: &str, position: u64| json!({"id": 9_900_000_000_000_u64 + position, "name": name, "position": position, "product_id": 7_700_000_000_001_u64, "values": ["M"]});
    json!({
        "id": 7_700_000_000_001_u64, "admin_graphql_api_id": "gid://shopify/Product/7700000000001", "title": "Dress", "handle": "dress",
        "vendor": "Acme", "body_html": "<p>A dress.</p>".repeat(40), "status": "active", "tags": "new, summer", "template_suffix": null,
        "created_at": "2026-11-02T20:00:00+11:00", "published_at": "2026-11-02T20:00:00+11:00", "updated_at": "2026-11-02T20:00:00+11:00",
        "options": [option("Colour", 1), option("Size", 2)], "variants": (0..variants).map(variant).collect::<Vec<_>>(), "images": [],
    })
}

fn event(topic: &str, payload: String) -> Event {
    Event {
        id: EventId(1),
        webhook: Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: topic.into(),
            delivery_id: None,
            occurred_at: "2026-11-02T09:00:02Z".into(),
            received_at: 1_793_610_003_000,
            api_version: "2026-07".into(),
            payload,
        },
    }
}

fn sdk_event(event: &Event) -> tandem_sdk::Event {
    tandem_sdk::Event {
        source: event.webhook.source.clone(),
        topic: event.webhook.topic.clone(),
        id: event.id.to_string(),
        occurred_at: event.webhook.occurred_at.clone(),
        received_at: tandem::clock::rfc3339(event.webhook.received_at),
        api_version: event.webhook.api_version.clone(),
        payload: event.webhook.payload.clone(),
    }
}

fn body(reply: &Reply) -> &str {
    match reply {
        Reply::Answer(answer) => &answer.body,
        Reply::Unknown(why) => why,
    }
}

fn sdk_reply(reply: &Reply) -> tandem_sdk::Reply {
    match reply {
        Reply::Answer(answer) => tandem_sdk::Reply::Answer(tandem_sdk::Answer {
            status: answer.status,
            headers: vec![],
            body: answer.body.clone(),
        }),
        Reply::Unknown(why) => tandem_sdk::Reply::Unknown(why.clone()),
    }
}
