//! Orders as large as a body may be: the component deals with them well within the limits of an ask.

use serde_json::{Value, json};
use tandem::check::Key;
use tandem::conversation::{Ask, Conversation, Rules};
use tandem::engine::Limits;
use tandem::model::{Answer, Event, EventId, Next, Outcome, Reply, Webhook};
use tandem::playground;

/// An order of a wholesaler: so many lines, each with what Shopify says of a line, and half of them given back.
fn order(lines: u64) -> Value {
    let set = |amount: &str| json!({ "shop_money": { "amount": amount, "currency_code": "AUD" }, "presentment_money": { "amount": amount, "currency_code": "AUD" } });
    let line = |n: u64| {
        json!({
            "id": 15_514_960_888_101_u64 + n, "admin_graphql_api_id": format!("gid://shopify/LineItem/{}", 15_514_960_888_101_u64 + n),
            "attributed_staffs": [], "current_quantity": 2 - n % 2, "fulfillable_quantity": 0, "fulfillment_service": "manual",
            "fulfillment_status": "fulfilled", "gift_card": false, "grams": 1_200, "name": format!("Bolt M8, galvanised - {n}"),
            "price": "19.90", "price_set": set("19.90"), "product_exists": true, "product_id": 9_000_000_000_000_u64 + n,
            "properties": [{ "name": "Engraving", "value": "For the workshop in the yard, second door on the left" }],
            "quantity": 2, "requires_shipping": true, "sku": format!("BOLT-M8-{n}"), "taxable": true, "title": "Bolt M8, galvanised",
            "total_discount": "0.00", "total_discount_set": set("0.00"), "variant_id": 50_398_373_085_401_u64 + n,
            "variant_inventory_management": "shopify", "variant_title": n.to_string(), "vendor": "Workshop", "duties": [],
            "tax_lines": [{ "channel_liable": false, "price": "3.98", "price_set": set("3.98"), "rate": 0.1, "title": "GST" }],
            "discount_allocations": [{ "amount": "1.00", "amount_set": set("1.00"), "discount_application_index": 0 }],
        })
    };
    let back = |n: u64| {
        json!({ "id": n, "line_item_id": 15_514_960_888_101_u64 + n, "quantity": 1, "restock_type": "return",
            "subtotal_set": set("19.40"), "total_tax_set": set("1.99") })
    };
    let returned = (0..lines).filter(|n| n % 2 == 1);
    let total = |each: u64, count: u64| format!("{}.{:02}", each * count / 100, each * count % 100);
    json!({
        "id": 6_480_013_459_051_u64, "name": "#1051", "test": false, "currency": "AUD", "presentment_currency": "AUD",
        "taxes_included": false, "financial_status": "partially_refunded", "cancelled_at": null, "customer": null,
        "created_at": "2026-03-04T15:58:40+11:00", "updated_at": "2026-03-04T16:03:01+11:00", "source_name": "web",
        "total_price": total(4_278, lines), "total_discounts": total(100, lines), "total_tax": total(398, lines),
        "current_total_price": total(1, 4_278 * lines - 2_139 * (lines / 2)), "payment_gateway_names": ["bogus"],
        "line_items": (0..lines).map(line).collect::<Value>(), "shipping_lines": [],
        "refunds": [{
            "id": 7, "created_at": "2026-03-05T10:00:00Z", "order_adjustments": [], "refund_line_items": returned.map(back).collect::<Value>(),
            "transactions": [{ "kind": "refund", "status": "success", "amount": total(2_139, lines / 2) }],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_as_large_as_a_body_may_be_is_sent_within_the_limits() {
    let plugin = playground::plugin("timezone = \"Australia/Melbourne\"\n").await.unwrap();
    let body_of_ten = order(10).to_string().len() as u64;
    for bytes in [2_600_000, 10 << 20] {
        let lines = bytes * 10 / body_of_ten * 99 / 100 / 2 * 2;
        let payload = order(lines).to_string();
        let length = payload.len() as u64;
        assert!((bytes * 9 / 10..=bytes).contains(&length), "{length} bytes");
        let webhook = Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: "orders/updated".into(),
            delivery_id: None,
            occurred_at: "2026-11-01T00:00:00Z".into(),
            received_at: 0,
            api_version: "2026-07".into(),
            payload,
        };
        let event = Event { id: EventId(1), webhook };
        let (rules, mut sent) = (Rules::from(&plugin), vec![]);
        let mut conversation = Conversation::new(&rules, &event, &[]);
        assert!(matches!(conversation.key(), Key::Entity(_)));
        let end = loop {
            match conversation.go_on().unwrap_or_else(|failure| panic!("{length} bytes: {}", failure.reason)).0 {
                Next::End(end) => break end,
                Next::Send { calls, .. } => {
                    let stored = || Answer { status: 201, headers: vec![], body: r#"{"data":{"id":77}}"#.into() };
                    conversation.answer(calls.iter().map(|_| Reply::Answer(stored())).collect());
                    sent.extend(calls);
                }
            }
        };
        for Ask { usage, limits, .. } in conversation.into_asks().0 {
            let Limits { fuel_max, memory_bytes_max, output_bytes_max, .. } = limits;
            println!(
                "{length} bytes: fuel {} of {fuel_max}, memory {} of {memory_bytes_max}",
                usage.fuel, usage.memory_bytes
            );
            assert!(usage.fuel < fuel_max / 2, "fuel: {usage:?}");
            assert!(usage.memory_bytes < memory_bytes_max * 4 / 5, "memory: {usage:?}");
            assert!(usage.output_bytes < output_bytes_max / 2, "output: {usage:?}");
        }
        assert_eq!((end.outcome, sent.len()), (Outcome::Done, 2), "{}", end.reason);
    }
}
