//! What an ask costs: in a fresh instance and in a kept one, against the same rules run natively, in one run.
//!
//! `cargo bench --bench ask`. Prints microseconds at the 20th percentile of many batches, and ratios to native.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use tandem::model::{Answer, Event, EventId, Next, Reply, Webhook};
use tandem::playground;
use tandem::rules::Plugin;
use tandem_rules::DefaultRules;
use tandem_sdk::{Rules as _, step};

const BATCHES: usize = 60;
const RULES: &str = "timezone = \"Australia/Melbourne\"\n";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let plugin = runtime.block_on(playground::plugin(RULES)).expect("the default rules");
    let (native, _) = DefaultRules::configure(&json!({"timezone": "Australia/Melbourne"}).to_string())
        .expect("the settings are right");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "microseconds", "native", "warm", "fresh", "fresh/native");
    for (name, topic, payload) in payloads() {
        let event = event(topic, payload);
        let (guest, sdk) = (&event, sdk_event(&event));
        let cost = [
            time(|| drop(black_box(step(&native, &sdk, &[], vec![])))),
            plugin.bench_warm(guest, &[], &[], BATCHES * 20),
            time(|| drop(black_box(plugin.step(guest, &[], &[])))),
        ];
        print_row(&format!("first ask, {name}"), cost);
        let whole = whole_event(&plugin, &native, guest, &sdk);
        print_row(&format!("whole event, {name} ({:.0} KB)", event.webhook.payload.len() as f64 / 1000.0), whole);
    }
}

fn print_row(name: &str, [native, warm, fresh]: [f64; 3]) {
    println!("{name:<34} {native:>9.1} {warm:>9.1} {fresh:>9.1} {:>9.2}", fresh / native);
}

/// Key and every ask until the event is over, replies included, with the replies of a first run.
fn whole_event(plugin: &Plugin, native: &DefaultRules, event: &Event, sdk: &tandem_sdk::Event) -> [f64; 3] {
    let mut replies: Vec<Vec<Reply>> = vec![];
    while let Next::Send { calls, .. } = plugin.step(event, &[], &replies).result.expect("the rules answer") {
        replies.push(calls.iter().map(answer).collect());
    }
    let sdk_replies: Vec<Vec<tandem_sdk::Reply>> =
        replies.iter().map(|pass| pass.iter().map(sdk_reply).collect()).collect();
    let passes = 0..=replies.len();
    let natively = time(|| {
        let _ = black_box(native.key(sdk));
        for n in passes.clone() {
            drop(black_box(step(native, sdk, &[], sdk_replies[..n].to_vec())));
        }
    });
    let fresh = time(|| {
        let _ = black_box(plugin.key(event));
        for n in passes.clone() {
            drop(black_box(plugin.step(event, &[], &replies[..n])));
        }
    });
    let warm = passes.clone().map(|n| plugin.bench_warm(event, &[], &replies[..n], BATCHES * 5)).sum();
    [natively, warm, fresh]
}

/// Answers as systems that know nobody yet would.
fn answer(call: &tandem::model::Call) -> Reply {
    let line = call.line();
    let (status, body) = if line.ends_with("/search-id") {
        (404, json!({"message": "not found"}))
    } else if line.ends_with("/availability") {
        (200, json!({"data": {"email": {"available": true, "profile": null}, "mobile_phone": null}}))
    } else if line.starts_with("POST omneo /profiles") {
        (
            201,
            json!({"data": {"id": "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev",
            "identities": [{"id": 1, "handle": "shopify", "identifier": "7064055069001"}], "tags": [], "updated_at": "2026-11-02 09:00:00"}}),
        )
    } else if line == "shopify Person" {
        (
            200,
            json!({"data": {"customer": {"id": "gid://shopify/Customer/7064055069001", "legacyResourceId": "7064055069001",
            "updatedAt": "2026-11-02T09:00:00Z", "state": "DISABLED", "firstName": "Ada", "lastName": "Lovelace", "note": null, "tags": [],
            "defaultEmailAddress": {"emailAddress": "ada@lovelace.dev", "marketingState": "NOT_SUBSCRIBED", "marketingUpdatedAt": null},
            "defaultPhoneNumber": null, "defaultAddress": null, "addressesV2": {"nodes": []}, "omneo": {"nodes": []}}}}),
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

fn payloads() -> Vec<(&'static str, &'static str, String)> {
    let customer = json!({
        "id": 7_064_055_069_001_u64, "admin_graphql_api_id": "gid://shopify/Customer/7064055069001", "email": "ada@lovelace.dev",
        "created_at": "2026-11-02T20:00:00+11:00", "updated_at": "2026-11-02T20:00:00+11:00", "first_name": "Ada", "last_name": "Lovelace",
        "state": "disabled", "note": null, "verified_email": true, "multipass_identifier": null, "tax_exempt": false, "phone": null,
        "currency": "AUD", "addresses": [{"id": 8_000_000_000_001_u64, "customer_id": 7_064_055_069_001_u64, "first_name": "Ada",
            "last_name": "Lovelace", "company": null, "address1": "1 Engine Street", "address2": null, "city": "Melbourne",
            "province": "Victoria", "country": "Australia", "zip": "3000", "phone": null, "name": "Ada Lovelace", "province_code": "VIC",
            "country_code": "AU", "country_name": "Australia", "default": true}],
        "tax_exemptions": [], "admin_graphql_api_customer": null,
    });
    vec![
        ("a small customer", "customers/update", customer.to_string()),
        ("a 30 KB order", "orders/paid", order(12)),
        ("a 100 KB order", "orders/paid", order(42)),
    ]
}

/// A guest's order with so many lines, each as long as Shopify's are.
fn order(lines: u64) -> String {
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
    .to_string()
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
