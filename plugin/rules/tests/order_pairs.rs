//! Orders by pairs: the body of a webhook, and the same order as GraphQL shows it, become the same purchases.

use tandem_rules::DefaultRules;
use tandem_sdk::{Ask, Call, Event, Outcome, Reading, Request, Rules, Value, event, json, reading};

use crate::conversation::{self, Omneo, but, published, rules, run, shopify};
use crate::rendered;

const IN_STEP: &str = "in step: it is as when it was last read";

fn with(settings: Value) -> DefaultRules {
    let mut orders = json!({ "include_test": true, "from": "1990-01-01" });
    orders.as_object_mut().unwrap().append(&mut settings.as_object().unwrap().clone());
    rules(json!({ "orders": orders }))
}

fn document(rules: &DefaultRules) -> String {
    let reading = Reading { bulk: true, ..reading("orders") };
    match rules.ask_page(&reading) {
        Ok(Ask::Bulk(document)) => document,
        other => panic!("{other:?}"),
    }
}

/// The item that a job makes of an order.
fn item(rules: &DefaultRules, body: &Value) -> Event {
    let root = json!({ "orders": { "edges": [{ "node": rendered::order(body) }] } });
    let shown = rendered::answer(&document(rules), &root);
    let lines = rendered::lines(shown["orders"]["edges"][0]["node"].clone());
    Event { topic: "pull/orders".into(), payload: lines.to_string(), ..event() }
}

/// What came of an event: its outcome, its reason, and every call to Omneo with its body.
#[derive(Debug, PartialEq)]
struct Came {
    outcome: Outcome,
    reason: String,
    calls: Vec<(String, Value)>,
}

/// Hears an event about an order, with this memory, in a shop that has the order. Gives what came of it, the reads of
/// refunds, and the memory that is left.
fn hear(rules: &DefaultRules, event: &Event, body: &Value, memory: &[String]) -> (Came, usize, Vec<String>) {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let mut reads = 0;
    let run = run(rules, event, memory, |call: &Call| match &call.request {
        Request::Graphql(request) if request.operation() == "OrderRefunds" => {
            reads += 1;
            (200, json!({ "data": rendered::answer(&request.document, &json!({ "order": rendered::order(body) })) }))
        }
        _ => omneo.answer(call),
    });
    let calls = run.calls.iter().cloned().zip(run.bodies.iter().cloned());
    let calls = calls.filter(|(line, _)| line != "GRAPHQL shopify OrderRefunds").collect();
    let memory = run.memory();
    (Came { outcome: run.end.outcome, reason: run.end.reason, calls }, reads, memory)
}

/// Compares the two ways in which an order can come, alone and after each other. Gives what came of the order.
fn pair(settings: &Value, body: &Value, what: &str) -> Came {
    let (rules, body) = (with(settings.clone()), rendered::complete(body.clone()));
    let webhook = shopify("orders/updated", &body);
    let (by_webhook, reads, memory) = hear(&rules, &webhook, &body, &[]);
    assert_eq!(reads, 0);
    let item = item(&rules, &body);
    let (by_item, reads, item_memory) = hear(&rules, &item, &body, &[]);
    assert_eq!(by_item, by_webhook, "{what}");
    let is_over =
        body["cancelled_at"].is_string() || matches!(body["financial_status"].as_str(), Some("voided" | "expired"));
    let has_refunds = body["refunds"].as_array().is_some_and(|refunds| !refunds.is_empty());
    let is_read = has_refunds && !is_over && by_item.outcome != Outcome::Invalid;
    assert_eq!(reads, usize::from(is_read), "{what}: refunds are read where there are some");
    // Whatever comes second brings nothing new.
    if by_webhook.outcome == Outcome::Done {
        let (same, reads, memory_after) = hear(&rules, &item, &body, &item_memory);
        assert_eq!((same.reason.as_str(), same.calls, reads), (IN_STEP, vec![], 0), "{what}: the same item");
        assert_eq!(memory_after, Vec::<String>::new(), "{what}: nothing is left to remember");
        for (second, memory) in [(&item, &memory), (&webhook, &item_memory)] {
            let (again, _, _) = hear(&rules, second, &body, memory);
            let sent: Vec<_> = again.calls.iter().filter(|(line, _)| line.contains("update-create")).collect();
            assert_eq!((again.outcome, sent), (Outcome::Skipped, vec![]), "{what}: {}", again.reason);
        }
    }
    by_webhook
}

/// The transactions of an order, each with its external id and its total.
fn sent(came: &Came) -> Vec<(String, String)> {
    let is_sent = |(line, _): &&(String, Value)| line == "POST omneo /transactions/update-create";
    let total =
        |(_, body): &(String, Value)| (body["external_id"].as_str().unwrap().to_owned(), body["total"].to_string());
    came.calls.iter().filter(is_sent).map(total).collect()
}

fn both(shop: &str, shown: &str) -> Value {
    json!({
        "shop_money": { "amount": shop, "currency_code": "AUD" },
        "presentment_money": { "amount": shown, "currency_code": "USD" },
    })
}

/// A refund of the one line of the usual order.
fn refund(lines: Value, money: Value) -> Value {
    json!({
        "id": 8, "admin_graphql_api_id": "gid://shopify/Refund/8", "created_at": "2026-03-02T10:00:00+11:00",
        "processed_at": "2026-03-02T10:00:00+11:00", "refund_line_items": lines, "transactions": money,
        "order_adjustments": [], "refund_shipping_lines": [], "duties": [],
    })
}

fn moved(amount: &str, status: &str) -> Value {
    json!([{ "kind": "refund", "status": status, "amount": amount, "currency": "AUD" }])
}

fn line_back(quantity: u64, subtotal: &str, tax: &str) -> Value {
    json!([{ "id": 801, "line_item_id": 81, "quantity": quantity, "subtotal": subtotal, "total_tax": tax }])
}

/// What an order shows, the changes that make it of the usual one, and the transactions that it becomes: external ids and
/// totals.
type Own = (&'static str, Value, Vec<(&'static str, &'static str)>);

/// Own bodies for what no published body has.
fn own() -> Vec<Own> {
    let line = |id: u64, name: &str, price: &str, more: Value| {
        let mut line = json!({
            "id": id, "name": name, "title": name, "price": price, "quantity": 1, "sku": "", "variant_id": 90 + id,
            "product_id": 60 + id, "tax_lines": [], "discount_allocations": [],
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let tea = |more: Value| line(81, "Tea", "19.90", more);
    vec![
        ("taxes included", json!({}), vec![("4501", "19.90")]),
        ("taxes on top", json!({ "taxes_included": false, "total_price": "21.71" }), vec![("4501", "21.71")]),
        (
            "a return with money",
            json!({
                "current_total_price": "0.00", "financial_status": "refunded",
                "refunds": [refund(line_back(1, "19.90", "1.81"), moved("19.90", "success"))],
            }),
            vec![("4501", "19.90"), ("4501-R8", "-19.90")],
        ),
        (
            "a return whose money is on its way",
            json!({
                "current_total_price": "0.00", "financial_status": "paid",
                "refunds": [refund(line_back(1, "19.90", "1.81"), moved("19.90", "pending"))],
            }),
            vec![("4501", "19.90"), ("4501-R8", "-19.90")],
        ),
        (
            "a line taken off without money",
            json!({
                "total_price": "39.80", "current_total_price": "19.90",
                "line_items": [tea(json!({ "quantity": 2 }))],
                "refunds": [refund(line_back(1, "19.90", "1.81"), json!([]))],
            }),
            vec![("4501", "19.90")],
        ),
        (
            "less money than goods",
            json!({
                "current_total_price": "0.00",
                "refunds": [{
                    "id": 8, "created_at": null, "refund_line_items": line_back(1, "19.90", "1.81"),
                    "transactions": moved("14.90", "success"),
                    "order_adjustments": [{ "kind": "refund_discrepancy", "amount": "5.00", "tax_amount": "0.00" }],
                }],
            }),
            vec![("4501", "19.90"), ("4501-R8", "-14.90")],
        ),
        (
            "an exchange",
            json!({
                "total_price": "24.90", "current_total_price": "24.90",
                "line_items": [tea(json!({})), line(82, "Cups", "24.90", json!({}))],
                "refunds": [refund(line_back(1, "19.90", "1.81"), json!([]))],
            }),
            vec![("4501", "24.90")],
        ),
        (
            "shipping that came back with its tax",
            json!({
                "taxes_included": false, "total_price": "32.71", "current_total_price": "21.71", "total_tax": "2.81",
                "shipping_lines": [{
                    "id": 9, "title": "Post", "price": "10.00", "tax_lines": [{ "price": "1.00" }],
                    "discount_allocations": [],
                }],
                "refunds": [{
                    "id": 8, "created_at": "2026-03-02T10:00:00+11:00", "refund_line_items": [],
                    "transactions": moved("11.00", "success"),
                    "order_adjustments": [{ "kind": "shipping_refund", "amount": "-10.00", "tax_amount": "-1.00" }],
                    "refund_shipping_lines": [{
                        "subtotal_amount_set": { "shop_money": { "amount": "10.00" } },
                        "tax_amount_set": { "shop_money": { "amount": "1.00" } },
                        "shipping_line": { "price": "10.00", "tax_lines": [{ "price": "1.00" }] },
                    }],
                }],
            }),
            vec![("4501", "32.71"), ("4501-R8", "-11.00")],
        ),
        (
            "shipping that was taken off",
            json!({
                "total_price": "29.90", "current_total_price": "19.90",
                "shipping_lines": [{ "id": 9, "title": "Post", "price": "10.00", "is_removed": true, "tax_lines": [] }],
            }),
            vec![("4501", "19.90")],
        ),
        (
            "duties, of which a part came back",
            json!({
                "total_price": "24.90", "current_total_price": "22.90",
                "original_total_duties_set": { "shop_money": { "amount": "5.00" } },
                "refunds": [{
                    "id": 8, "created_at": "2026-03-02T10:00:00+11:00", "refund_line_items": [],
                    "transactions": moved("2.00", "success"), "order_adjustments": [],
                    "duties": [{ "amount_set": { "shop_money": { "amount": "2.00" } }, "tax_lines": [] }],
                }],
            }),
            vec![("4501", "24.90"), ("4501-R8", "-2.00")],
        ),
        (
            "duties that only the lines have",
            json!({
                "total_price": "24.90",
                "line_items": [tea(json!({ "duties": [{ "shop_money": { "amount": "5.00" } }] }))],
            }),
            vec![("4501", "24.90")],
        ),
        (
            "a fee",
            json!({
                "total_price": "20.90",
                "original_total_additional_fees_set": { "shop_money": { "amount": "1.00" } },
            }),
            vec![("4501", "20.90")],
        ),
        (
            "a tip as a line",
            json!({
                "total_price": "24.90", "total_tip_received": "5.00",
                "line_items": [
                    tea(json!({})),
                    line(82, "Tip", "5.00", json!({ "tip": { "id": 3 }, "product_id": null, "variant_id": null })),
                ],
            }),
            vec![("4501", "24.90")],
        ),
        (
            "a tip as a line with a name of its own",
            json!({
                "total_price": "24.90", "total_tip_received": "5.00",
                "line_items": [
                    tea(json!({})),
                    line(82, "Trinkgeld", "5.00", json!({ "tip": { "id": 3 }, "product_id": null, "variant_id": null })),
                ],
            }),
            vec![("4501", "24.90")],
        ),
        (
            "a tip in the header",
            json!({ "total_price": "24.90", "total_tip_received": "5.00" }),
            vec![("4501", "24.90")],
        ),
        (
            "a sale at the counter, rounded to five cents",
            json!({
                "source_name": "pos", "location_id": 71, "payment_gateway_names": ["cash"], "customer": null,
                "email": "ada@example.org",
                "total_cash_rounding_payment_adjustment_set": { "shop_money": { "amount": "0.02" } },
            }),
            vec![("4501", "19.90")],
        ),
        (
            "a gift card that was bought, and one that paid",
            json!({
                "total_price": "69.90", "payment_gateway_names": ["gift_card", "bogus"],
                "line_items": [tea(json!({})), line(82, "Card", "50.00", json!({ "gift_card": true }))],
            }),
            vec![("4501", "69.90")],
        ),
        (
            "discounts of every kind",
            json!({
                "total_price": "27.90", "total_discounts": "9.00",
                "discount_applications": [
                    { "type": "discount_code", "code": "TEA5" },
                    { "type": "automatic", "title": "Spring" },
                    { "type": "manual", "title": "Sorry", "description": "Late" },
                    { "type": "script", "title": "Bulk" },
                ],
                "line_items": [tea(json!({ "quantity": 1, "discount_allocations": [
                    { "amount": "5.00", "discount_application_index": 0 },
                    { "amount": "1.00", "discount_application_index": 2 },
                    { "amount": "1.00", "discount_application_index": 3 },
                ] })), line(82, "Cups", "7.00", json!({}))],
                "shipping_lines": [{ "id": 9, "title": "Post", "price": "10.00", "tax_lines": [], "discount_allocations": [
                    { "amount": "2.00", "discount_application_index": 1 },
                ] }],
            }),
            vec![("4501", "27.90")],
        ),
        (
            "a discount that no line has",
            json!({ "total_price": "17.90", "total_discounts": "2.00" }),
            vec![("4501", "17.90")],
        ),
        (
            "variants and products that were deleted",
            json!({ "line_items": [tea(json!({ "variant_id": null, "product_id": null, "sku": "TEA" }))] }),
            vec![("4501", "19.90")],
        ),
        ("a test order", json!({ "test": true }), vec![("4501", "19.90")]),
        ("a guest", json!({ "customer": null }), vec![("4501", "19.90")]),
        ("not paid yet", json!({ "financial_status": "pending" }), vec![]),
        ("partly fulfilled", json!({ "fulfillment_status": "partial" }), vec![("4501", "19.90")]),
        ("cancelled", json!({ "cancelled_at": "2026-03-02T10:00:00+11:00" }), vec![]),
        ("lapsed", json!({ "financial_status": "voided" }), vec![]),
        ("figures that contradict each other", json!({ "total_price": "21.00" }), vec![]),
    ]
}

#[test]
fn own_orders_are_the_same_purchases_either_way() {
    for (what, changes, expected) in own() {
        let came = pair(&json!({}), &but(changes), what);
        let expected: Vec<_> = expected.iter().map(|(id, total)| ((*id).to_owned(), (*total).to_owned())).collect();
        assert_eq!(sent(&came), expected, "{what}: {}", came.reason);
    }
}

#[test]
fn own_orders_are_the_same_purchases_under_every_setting() {
    for settings in [
        json!({ "refunds": "update" }),
        json!({ "refunds": "ignore" }),
        json!({ "item_price": "each", "charges": "meta" }),
        json!({ "gift_cards": "exclude", "guest": "email" }),
        json!({ "transaction_status": "partial" }),
    ] {
        for (what, changes, _) in own() {
            pair(&settings, &but(changes), &format!("{what}, {settings}"));
        }
    }
}

#[test]
fn money_that_the_shopper_was_shown_is_the_same_either_way() {
    let line = json!({
        "id": 81, "name": "Tea", "title": "Tea", "price": "19.90", "price_set": both("19.90", "13.00"), "quantity": 1,
        "sku": "", "variant_id": 91, "product_id": 61, "tax_lines": [{ "price": "1.81", "price_set": both("1.81", "1.18") }],
        "discount_allocations": [{ "amount": "2.00", "amount_set": both("2.00", "1.31"), "discount_application_index": 0 }],
    });
    let body = but(json!({
        "presentment_currency": "USD", "total_price": "17.90", "total_price_set": both("17.90", "11.69"),
        "current_total_price": "0.00", "current_total_price_set": both("0.00", "0.00"), "total_discounts": "2.00",
        "total_discounts_set": both("2.00", "1.31"), "total_tax_set": both("1.81", "1.18"), "line_items": [line],
        "discount_applications": [{ "type": "discount_code", "code": "TEA" }],
        "refunds": [{
            "id": 8, "created_at": "2026-03-02T10:00:00+11:00", "order_adjustments": [],
            "refund_line_items": [{
                "id": 801, "line_item_id": 81, "quantity": 1, "subtotal": 17.9, "subtotal_set": both("17.90", "11.69"),
                "total_tax": 1.81, "total_tax_set": both("1.81", "1.18"),
            }],
            "transactions": [{ "kind": "refund", "status": "success", "amount": "11.69", "currency": "USD" }],
        }],
    }));
    let shop = pair(&json!({}), &body, "shop money");
    assert_eq!(sent(&shop), [("4501".into(), "17.90".into()), ("4501-R8".into(), "-17.90".into())]);
    let shown = pair(&json!({ "money": "presentment" }), &body, "presentment money");
    assert_eq!(sent(&shown), [("4501".into(), "11.69".into()), ("4501-R8".into(), "-11.69".into())]);
    // Without the current total, the money of the refund decides, in its own currency.
    let mut older = body.clone();
    older.as_object_mut().unwrap().retain(|key, _| !key.starts_with("current_total"));
    assert_eq!(sent(&pair(&json!({}), &older, "older")), sent(&shop));
}

#[test]
fn published_orders_are_the_same_purchases_either_way() {
    let Some(published) = published(|topic| topic.starts_with("orders-")) else { return };
    let (mut orders, mut done) = (0, 0);
    for (path, body) in published {
        if !body["line_items"].is_array() || body.get("updated_at").is_none() {
            continue;
        }
        for settings in [json!({}), json!({ "refunds": "update" }), json!({ "money": "presentment" })] {
            // GraphQL shows every amount in both currencies; a body may lack that.
            let lacks_money = |key: &str| !body[key].is_null() && body[format!("{key}_set")].is_null();
            if settings["money"] == "presentment" && ["total_price", "current_total_price"].into_iter().any(lacks_money)
            {
                continue;
            }
            let came = pair(&settings, &body, &format!("{} {settings}", path.display()));
            orders += 1;
            done += usize::from(came.outcome == Outcome::Done);
        }
    }
    assert!(orders > 250 && done > 100, "{done} of {orders} were sent");
}

#[test]
fn refunds_that_cannot_be_read_whole_are_refused() {
    let rules = with(json!({}));
    let body = but(json!({ "refunds": [refund(line_back(1, "19.90", "1.81"), moved("19.90", "success"))] }));
    let body = rendered::complete(body);
    let item = item(&rules, &body);
    let mut longer = rendered::order(&body);
    longer["refunds"][0]["refundLineItems"]["pageInfo"]["hasNextPage"] = json!(true);
    for (answer, why) in [
        (json!({ "data": { "order": null } }), "reading the refunds of the order: Shopify does not show the order"),
        (
            json!({ "data": { "order": { "refunds": [] } } }),
            "reading the refunds of the order: Shopify does not show refund `gid://shopify/Refund/8`",
        ),
        (
            json!({ "errors": [{ "message": "Access denied" }], "data": null }),
            "reading the refunds of the order: Access denied",
        ),
        (
            json!({ "data": { "order": longer } }),
            "answer at `/data/order/refunds/0/refundLineItems`: the refund has more of these than can be read at once",
        ),
    ] {
        let run = run(&rules, &item, &[], |call: &Call| {
            assert_eq!(call.line(), "GRAPHQL shopify OrderRefunds");
            assert_eq!(conversation::body_of(call), json!({ "id": "gid://shopify/Order/4501" }));
            (200, answer.clone())
        });
        assert_eq!(run.outcome(), (Outcome::Refused, why));
        assert_eq!(run.end.memory, None, "the same item counts when it is read again");
    }
}

#[test]
fn what_is_no_item_of_an_order_is_invalid() {
    let rules = with(json!({}));
    let hear = |payload: Value| {
        let event = Event { topic: "pull/orders".into(), payload: payload.to_string(), ..event() };
        let run = run(&rules, &event, &[], |call| panic!("nothing is asked: {}", call.line()));
        (run.end.outcome, run.end.reason)
    };
    let order = "gid://shopify/Order/1";
    for (payload, why) in [
        (json!([]), "payload: an item without a line"),
        (json!([{ "id": order }, { "__typename": "LineItem" }]), "payload at `/1/__parentId`: missing"),
        (
            json!([{ "id": order }, { "__parentId": "gid://shopify/Order/2" }]),
            "payload at `/1/__parentId`: the line belongs to another item than `gid://shopify/Order/1`",
        ),
        (json!([{ "id": order }, { "__parentId": order }]), "payload at `/1/__typename`: missing"),
        (
            json!([{ "id": order }, { "__parentId": order, "__typename": "AutomaticDiscountApplication", "index": 5000 }]),
            "payload at `/1/index`: a discount of index 5000 is beyond what can be counted",
        ),
        (json!([{ "id": "gid://shopify/Order/x" }]), "payload at `/0/id`: expected an id, found `x`"),
        (json!([{ "id": order, "tags": "vip" }]), "payload at `/0/tags`: expected a list, found a text"),
        (json!([{ "id": order }]), "not an order: it has no `total_price`"),
        (json!({ "name": "#1001" }), "not an order: it has no `line_items`"),
    ] {
        assert_eq!(hear(payload.clone()), (Outcome::Invalid, why.to_owned()), "{payload}");
    }
}

#[test]
fn orders_before_the_day_are_left_out_however_they_come() {
    let body = rendered::complete(but(json!({ "processed_at": "2025-12-31T23:59:59Z" })));
    let from = rules(json!({ "orders": { "from": "2026-01-01" } }));
    let why = "processed before `orders.from = \"2026-01-01\"`";
    for event in [shopify("orders/updated", &body), item(&from, &body)] {
        let (came, _, memory) = hear(&from, &event, &body, &[]);
        assert_eq!((came.outcome, came.reason.as_str(), came.calls, memory), (Outcome::Skipped, why, vec![], vec![]));
    }
    let at = but(json!({ "processed_at": "2026-01-01T00:00:00Z" }));
    assert_eq!(hear(&from, &shopify("orders/updated", &at), &at, &[]).0.outcome, Outcome::Done);
    // Without the setting, an order of any day goes, and one that has gone stays in step.
    let (came, _, sent) = hear(&rules(json!({})), &shopify("orders/updated", &body), &body, &[]);
    assert_eq!(came.outcome, Outcome::Done);
    let mut cancelled = body.clone();
    cancelled["cancelled_at"] = json!("2026-03-02T10:00:00Z");
    cancelled["updated_at"] = json!("2026-03-02T10:00:00Z");
    let (came, _, _) = hear(&from, &shopify("orders/cancelled", &cancelled), &cancelled, &sent);
    assert_eq!(
        (came.outcome, came.reason.as_str()),
        (Outcome::Done, "the order was cancelled: sale of 19.90 made void")
    );
}
