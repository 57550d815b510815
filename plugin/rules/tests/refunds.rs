//! Refunds, as conversations: a refund that moves money becomes a return, lines removed without payment lower the sale,
//! and nothing else counts.

use crate::conversation::{Omneo, parse, rules, shopify};
use tandem_sdk::{Event, Outcome, Value, json};

/// A guest's order of three pieces of tea and one pot, with shipping and with tax on top.
fn order(second: u32, refunds: Value) -> Value {
    json!({
        "id": 4501, "name": "#1001", "currency": "AUD", "financial_status": "paid", "total_price": "77.00",
        "created_at": "2026-03-01T10:00:00Z", "updated_at": format!("2026-03-01T10:00:{second:02}Z"),
        "total_tax": "7.00", "payment_gateway_names": ["bogus"],
        "line_items": [
            {"id": 81, "name": "Tea", "price": "10.00", "quantity": 3, "sku": "TEA", "tax_lines": [{"price": "3.00"}]},
            {"id": 82, "name": "Pot", "price": "35.00", "quantity": 1, "variant_id": 92, "tax_lines": [{"price": "3.50"}]},
        ],
        "shipping_lines": [{"id": 5, "title": "Post", "price": "5.00", "tax_lines": [{"price": "0.50"}]}],
        "refunds": refunds,
    })
}

fn refund(changes: Value) -> Value {
    let mut refund = json!({
        "id": 55, "created_at": "2026-03-05T10:00:00Z",
        "refund_line_items": [{"id": 551, "line_item_id": 81, "quantity": 2, "subtotal": 20.0, "total_tax": 2.00}],
        "order_adjustments": [],
        "transactions": [{"kind": "refund", "status": "success", "amount": "22.00"}],
    });
    for (key, value) in changes.as_object().unwrap() {
        refund[key] = value.clone();
    }
    refund
}

fn event(order: &Value) -> Event {
    shopify("orders/updated", order)
}

const SALE: &str = "POST omneo /transactions/update-create";

#[test]
fn money_back_is_a_return_beside_the_whole_sale() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &event(&order(1, json!([]))));
    let run = omneo.hear(&rules, &event(&order(2, json!([refund(json!({}))]))));
    assert_eq!(run.outcome(), (Outcome::Done, "return of 22.00 AUD sent"));
    assert_eq!(run.calls, [SALE]);
    assert_eq!(
        run.bodies[0],
        parse(
            r##"{
                "external_id": "4501-R55", "external_order_id": "4501", "receipt_ref": "4501-R55",
                "linked_receipt_ref": "#1001", "total": -22.00, "total_original": -20.00, "currency": "AUD",
                "transacted_at": "2026-03-05 10:00:00", "timezone": "Australia/Melbourne", "systems": ["web"],
                "payments": ["bogus"], "is_void": false, "delete_existing_items": true,
                "items": [{
                    "external_id": "551", "name": "Tea", "quantity": -2, "sku": "TEA", "price_current": 11.00,
                    "price_original": 11.00, "price_sell": 11.00, "price_tax": 1.00
                }]
            }"##
        )
    );
    assert_eq!(omneo.transactions["4501"]["total"].to_string(), "77.00");
    let run = omneo.hear(&rules, &event(&order(3, json!([refund(json!({}))]))));
    assert_eq!((run.end.outcome, run.calls.len()), (Outcome::Skipped, 0));
}

#[test]
fn the_items_of_a_return_sum_to_the_money_in_every_reading() {
    let all = refund(json!({
        "refund_line_items": [
            {"id": 551, "line_item_id": 81, "quantity": 3, "subtotal": 25.00, "total_tax": 2.50},
            {"id": 552, "line_item_id": 82, "quantity": 1, "subtotal": 35.00, "total_tax": 3.50},
        ],
        "order_adjustments": [
            {"kind": "shipping_refund", "amount": "-5.00", "tax_amount": "-0.50"},
            {"kind": "refund_discrepancy", "amount": "-1.50", "tax_amount": "0.00"},
        ],
        "refund_shipping_lines": [{"subtotal_amount_set": {"shop_money": {"amount": "5.00"}}}],
        "transactions": [
            {"kind": "refund", "status": "success", "amount": "70.00"},
            {"kind": "refund", "status": "success", "amount": "3.00"},
        ],
    }));
    let shown = |reading: &str| {
        let mut omneo = Omneo::default();
        let settings = json!({"orders": {"item_price": reading}});
        let run = omneo.hear(&rules(settings), &event(&order(1, json!([all]))));
        assert_eq!(run.end.outcome, Outcome::Done, "{}", run.end.reason);
        let sent = &omneo.transactions["4501-R55"];
        assert_eq!(sent["total"].to_string(), "-73.00");
        let items = sent["items"].as_array().unwrap().iter();
        items.map(|item| format!("{} x {}", item["quantity"], item["price_sell"])).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(shown("unit"), "-1 x 9.16, -2 x 9.17, -1 x 38.50, -1 x 5.50, -1 x 1.50");
    assert_eq!(shown("line"), "-3 x -27.50, -1 x -38.50, -1 x -5.50, -1 x -1.50");
    assert_eq!(shown("each"), "-1 x 9.16, -1 x 9.17, -1 x 9.17, -1 x 38.50, -1 x 5.50, -1 x 1.50");
}

#[test]
fn what_was_removed_unpaid_lowers_the_sale() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let removed = refund(json!({"transactions": []}));
    let run = omneo.hear(&rules, &event(&order(1, json!([removed]))));
    assert_eq!(run.outcome(), (Outcome::Done, "sale of 55.00 AUD sent without a profile (guest)"));
    let items = run.bodies[0]["items"].as_array().unwrap();
    assert_eq!((&items[0]["quantity"], items[0]["price_sell"].to_string()), (&json!(1), "11.00".into()));
    let whole = json!([{"line_item_id": 81, "quantity": 3, "subtotal": 30.0, "total_tax": 3.00}]);
    let run =
        omneo.hear(&rules, &event(&order(2, json!([refund(json!({"transactions": [], "refund_line_items": whole}))]))));
    assert_eq!(
        (run.bodies[0]["total"].to_string(), run.bodies[0]["items"].as_array().unwrap().len()),
        ("44.00".into(), 2)
    );
}

#[test]
fn a_pending_refund_waits_and_is_sent_when_it_succeeds() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let with = |second, status: &str| {
        let transactions = json!([{"kind": "refund", "status": status, "amount": "22.00"}]);
        event(&order(second, json!([refund(json!({"transactions": transactions}))])))
    };
    let run = omneo.hear(&rules, &with(1, "pending"));
    assert_eq!(run.end.reason, "sale of 77.00 AUD sent without a profile (guest); refund 55 is pending");
    let run = omneo.hear(&rules, &with(2, "failure"));
    assert_eq!(run.end.reason, "nothing of the order that Omneo keeps has changed; refund 55 was not carried out");
    let run = omneo.hear(&rules, &with(3, "success"));
    assert_eq!(run.end.reason, "return of 22.00 AUD sent");
}

#[test]
fn a_refund_that_does_not_balance_is_refused_and_the_sale_is_sent() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let transactions = json!([{"kind": "refund", "status": "success", "amount": "9.00"}]);
    let wrong = event(&order(1, json!([refund(json!({"transactions": transactions}))])));
    let why = "refund 55 not sent: goods of 22.00 less differences of 0.00 are not the 9.00 paid back; \
         Shopify does not show the order";
    let run = omneo.hear(&rules, &wrong);
    assert_eq!(run.end.outcome, Outcome::Refused);
    assert_eq!(run.end.reason, format!("sale of 77.00 AUD sent without a profile (guest); {why}"));
    let run = omneo.hear(&rules, &wrong);
    assert_eq!((run.outcome(), run.calls.len()), ((Outcome::Refused, why), 1));

    let lines = json!([{"id": 551, "line_item_id": 81, "quantity": 2}]);
    let run = omneo.hear(&rules, &event(&order(2, json!([refund(json!({"refund_line_items": lines}))]))));
    assert_eq!(
        run.end.reason,
        "refund 55 not sent: payload at `/refunds/0/refund_line_items/0/subtotal`: missing; Shopify does not show the order"
    );
    let lines = json!([{"line_item_id": 81, "quantity": 4, "subtotal": 40.0, "total_tax": 4.0}]);
    let gone = refund(json!({"refund_line_items": lines, "transactions": []}));
    let run = omneo.hear(&rules, &event(&order(3, json!([gone]))));
    assert_eq!(
        run.end.reason,
        "refund 55 not taken off the sale: it takes off more or less than there was; Shopify does not show the order"
    );
}

#[test]
fn cancelled_makes_sale_and_return_void_for_good() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let mut cancelled = order(5, json!([refund(json!({}))]));
    cancelled["cancelled_at"] = json!("2026-03-06T10:00:00Z");
    omneo.hear(&rules, &event(&order(2, json!([refund(json!({}))]))));
    omneo.hear(&rules, &event(&order(1, json!([]))));
    let run = omneo.hear(&rules, &event(&cancelled));
    assert_eq!(run.end.reason, "the order was cancelled: sale of 77.00 made void, return of 22.00 made void");
    omneo.hear(&rules, &event(&order(6, json!([refund(json!({}))]))));
    let all: Vec<_> = omneo.transactions.iter().map(|(id, sent)| (id.as_str(), sent["is_void"].clone())).collect();
    assert_eq!(all, [("4501", json!(true)), ("4501-R55", json!(true))]);
}

#[test]
fn two_bodies_of_one_second_leave_one_sale_and_one_return() {
    let rules = rules(json!({}));
    let without = event(&order(1, json!([])));
    let mut with = event(&order(1, json!([refund(json!({}))])));
    with.occurred_at = "2026-01-02T03:04:05.9Z".into();
    for pair in [[&without, &with], [&with, &without]] {
        let mut omneo = Omneo::default();
        pair.iter().for_each(|event| drop(omneo.hear(&rules, event)));
        assert_eq!(omneo.transactions.keys().collect::<Vec<_>>(), ["4501", "4501-R55"]);
    }
}

#[test]
fn a_refund_can_lower_the_sale_or_be_left_alone() {
    let events = [event(&order(1, json!([]))), event(&order(2, json!([refund(json!({}))])))];
    let hear = |omneo: &mut Omneo, setting: &str| {
        let rules = rules(json!({"orders": {"refunds": setting}}));
        events.iter().map(|event| omneo.hear(&rules, event)).last().unwrap()
    };
    let mut omneo = Omneo::default();
    let run = hear(&mut omneo, "update");
    assert_eq!(run.end.reason, "sale of 55.00 AUD sent without a profile (guest)");
    assert_eq!(omneo.transactions.keys().collect::<Vec<_>>(), ["4501"]);
    let items = omneo.transactions["4501"]["items"].as_array().unwrap();
    assert_eq!((&items[0]["quantity"], items[0]["price_sell"].to_string()), (&json!(1), "11.00".into()));
    let mut omneo = Omneo::default();
    let run = hear(&mut omneo, "ignore");
    assert_eq!(run.end.outcome, Outcome::Skipped);
    assert_eq!((omneo.transactions.len(), omneo.transactions["4501"]["total"].to_string()), (1, "77.00".into()));
}

#[test]
fn a_sale_that_is_lowered_has_each_charge_once() {
    let back = |id: u64, goods: Value, shipping: &str, money: &str| {
        json!({
            "id": id, "created_at": "2026-03-05T10:00:00Z", "refund_line_items": goods,
            "order_adjustments": [{"kind": "shipping_refund", "amount": shipping}],
            "transactions": [{"kind": "refund", "status": "success", "amount": money}],
        })
    };
    let pot = json!([{"id": 552, "line_item_id": 82, "quantity": 1, "subtotal": 35.0, "total_tax": 3.50}]);
    let refunds = json!([back(55, json!([]), "-2.00", "2.00"), back(56, pot, "-1.00", "39.50")]);
    let mut omneo = Omneo::default();
    let settings = json!({"orders": {"refunds": "update"}});
    omneo.hear(&rules(settings), &event(&order(1, refunds)));
    let sale = &omneo.transactions["4501"];
    let items = sale["items"].as_array().unwrap().iter();
    let items: Vec<_> = items.map(|item| format!("{} {}", item["external_id"], item["price_sell"])).collect();
    assert_eq!(sale["total"].to_string(), "35.50");
    assert_eq!(items, [r#""81" 11.00"#, r#""shipping:5" 5.50"#, r#""4501:shipping" -3.00"#]);
}

#[test]
fn a_current_total_that_contradicts_its_order_is_asked_about() {
    let settings = json!({"orders": {"refunds": "update"}});
    let sale = |current: &str, figures| {
        let mut body = order(1, json!([refund(json!({}))]));
        body["current_total_price"] = json!(current);
        let mut omneo = Omneo { figures, ..Omneo::default() };
        let run = omneo.hear(&rules(settings.clone()), &event(&body));
        assert_eq!(run.end.outcome, Outcome::Done, "{}", run.end.reason);
        (omneo.transactions["4501"]["total"].to_string(), run.end.reason)
    };
    assert_eq!(sale("55.00", None).0, "55.00");
    assert_eq!(sale("54.99", Some(["54.99", "0.0", "54.99", "0.0"])).0, "54.99");
    // If neither source can tell, the money decides, as for bodies without a current total.
    let (total, why) = sale("54.99", None);
    let said = "77.00 less 22.00 that came back is not the current total of 54.99: Shopify does not show the order";
    assert_eq!((&*total, &*why), ("55.00", &*format!("sale of 55.00 AUD sent without a profile (guest); {said}")));
}

#[test]
fn another_setting_makes_returns_void_that_the_sale_now_counts() {
    let mut omneo = Omneo::default();
    let with = |second| event(&order(second, json!([refund(json!({}))])));
    omneo.hear(&rules(json!({})), &with(1));
    let run = omneo.hear(&rules(json!({"orders": {"refunds": "update"}})), &with(2));
    assert_eq!(run.end.reason, "return of 22.00 made void; sale of 55.00 AUD sent without a profile (guest)");
    let run = omneo.hear(&rules(json!({})), &with(3));
    assert_eq!(run.end.reason, "sale of 77.00 AUD sent without a profile (guest); return of 22.00 AUD sent");
    assert_eq!(omneo.transactions["4501-R55"]["is_void"], false);
}

/// The pot is exchanged for a kettle of 40.00 with tax, and the difference is paid. The order's own total includes the
/// pot and not the kettle.
fn exchange(second: u32) -> Value {
    let pot = json!([{"id": 552, "line_item_id": 82, "quantity": 1, "subtotal": 35.0, "total_tax": 3.50}]);
    let mut body = order(second, json!([refund(json!({"refund_line_items": pot, "transactions": []}))]));
    let kettle = json!({
        "id": 83, "name": "Kettle", "price": "36.00", "quantity": 1, "sku": "KETTLE", "tax_lines": [{"price": "4.00"}]
    });
    body["line_items"].as_array_mut().unwrap().push(kettle);
    for (key, amount) in
        [("current_total_price", "78.50"), ("current_total_tax", "7.50"), ("current_total_discounts", "0")]
    {
        body[key] = json!(amount);
    }
    body
}

#[test]
fn an_exchange_is_what_is_left_of_it() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &event(&order(1, json!([]))));
    let run = omneo.hear(&rules, &event(&exchange(2)));
    assert_eq!(run.end.reason, "sale of 78.50 AUD sent without a profile (guest)");
    let items = omneo.transactions["4501"]["items"].as_array().unwrap().iter();
    let items: Vec<_> = items.map(|item| item["external_id"].as_str().unwrap()).collect();
    assert_eq!(items, ["81", "83", "shipping:5"]);
    let alone = shopify("refunds/create", &json!({"id": 55, "order_id": 4501}));
    assert_eq!(omneo.hear(&rules, &alone).end.reason, "the order's own body has shown the refund");
}

#[test]
fn an_exchange_beside_a_return_is_worth_both_and_one_off_by_a_cent_is_refused() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &event(&order(1, json!([refund(json!({}))]))));
    let mut both = exchange(2);
    both["refunds"].as_array_mut().unwrap().insert(0, refund(json!({"id": 54})));
    both["refunds"][1]["id"] = json!(56);
    both["current_total_price"] = json!("56.50");
    let run = omneo.hear(&rules, &event(&both));
    assert_eq!(run.end.reason, "sale of 78.50 AUD sent without a profile (guest); return of 22.00 AUD sent");
    let mut short = exchange(2);
    short["current_total_price"] = json!("78.49");
    let run = Omneo::default().hear(&rules, &event(&short));
    assert!(
        run.end.reason.starts_with("the lines sum to 117.00 but the total is 77.00: 40.00 unexplained"),
        "{}",
        run.end.reason
    );
}
