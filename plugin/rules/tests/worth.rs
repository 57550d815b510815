//! What an order is worth now, as conversations. Sale and returns in Omneo together equal what is left of the order
//! according to Shopify, for any sequence of its bodies.

use crate::conversation::{Omneo, rules, run, shopify};
use tandem_sdk::{Decimal, Event, Outcome, Value, json};

/// A guest's order in AUD with these keys.
fn order(second: u32, keys: Value) -> Value {
    let mut order = json!({
        "id": 5001, "name": "#5001", "currency": "AUD", "presentment_currency": "AUD", "taxes_included": false,
        "financial_status": "paid", "created_at": "2026-03-04T10:00:00Z",
        "updated_at": format!("2026-03-04T10:00:{second:02}Z"), "total_discounts": "0.00", "total_tax": "0.00",
        "customer": null, "shipping_lines": [], "refunds": [],
    });
    for (key, value) in keys.as_object().unwrap() {
        order[key] = value.clone();
    }
    order
}

fn line(id: u64, price: &str, quantity: u64) -> Value {
    json!({"id": id, "name": format!("Item {id}"), "price": price, "quantity": quantity, "sku": format!("SKU-{id}")})
}

fn back(line: u64, quantity: u64, subtotal: &str) -> Value {
    json!({"id": line * 10, "line_item_id": line, "quantity": quantity, "total_tax": 0.0,
        "subtotal_set": {"shop_money": {"amount": subtotal}}})
}

/// A refund with these keys. Its money is given as status and amount.
fn refund(id: u64, money: &[(&str, &str)], keys: Value) -> Value {
    let transactions: Vec<_> =
        money.iter().map(|(status, amount)| json!({"kind": "refund", "status": status, "amount": amount})).collect();
    let mut refund = json!({
        "id": id, "created_at": "2026-03-05T10:00:00Z", "refund_line_items": [], "order_adjustments": [],
        "refund_shipping_lines": [], "transactions": transactions,
    });
    for (key, value) in keys.as_object().unwrap() {
        refund[key] = value.clone();
    }
    refund
}

fn money(amount: &str) -> Value {
    json!({"shop_money": {"amount": amount}})
}

fn event(order: &Value) -> Event {
    shopify("orders/updated", order)
}

/// The sum of the transactions that are not void.
fn net(omneo: &Omneo) -> Decimal {
    let live = omneo.transactions.values().filter(|sent| sent["is_void"] != json!(true));
    live.map(|sent| sent["total"].to_string().parse::<Decimal>().unwrap()).sum()
}

/// Handles the bodies in sequence, then the last body alone, then the bodies in reverse, each under `return` and
/// `update`. Nothing may be refused, and the sum in Omneo must always equal the worth of the last body. Returns the
/// reasons of the first sequence.
fn always_leaves(bodies: &[Value], worth: &str) -> Vec<String> {
    let mut reasons = vec![];
    let last = bodies.len() - 1;
    let mut reversed: Vec<_> = (0..bodies.len()).collect();
    reversed.reverse();
    for setting in ["return", "update"] {
        for order in [(0..bodies.len()).collect(), vec![last], reversed.clone()] {
            let rules = rules(json!({"orders": {"refunds": setting}}));
            let mut omneo = Omneo::default();
            let mut said = vec![];
            for n in &order {
                let run = omneo.hear(&rules, &event(&bodies[*n]));
                assert!(
                    !matches!(run.end.outcome, Outcome::Refused | Outcome::Invalid),
                    "{setting}: {}",
                    run.end.reason
                );
                said.push(run.end.reason);
            }
            assert_eq!(net(&omneo), worth.parse().unwrap(), "{setting}, in the order {order:?}: {said:?}");
            if reasons.is_empty() {
                reasons = said;
            }
        }
    }
    reasons
}

/// An order of A for 1893.00 in which A is exchanged for B. `refund` says how it was paid or paid back; `total` is the
/// order's own total.
fn exchange(b: &str, total: &str, current: &str, refund: Value) -> Vec<Value> {
    let first =
        json!({"total_price": "1893.00", "current_total_price": "1893.00", "line_items": [line(101, "1893.00", 1)]});
    let then = json!({
        "total_price": total, "current_total_price": current, "refunds": [refund],
        "line_items": [line(101, "1893.00", 1), line(102, b, 1)],
    });
    vec![order(1, first), order(2, then)]
}

#[test]
fn an_exchange_is_worth_what_was_kept_of_it() {
    let goods = || json!({"refund_line_items": [back(101, 1, "1893.00")]});
    let cheaper = exchange("365.00", "2258.00", "365.00", refund(61, &[("success", "1528.00")], goods()));
    let reasons = always_leaves(&cheaper, "365.00");
    assert_eq!(reasons[1], "sale of 2258.00 AUD sent without a profile (guest); return of 1893.00 AUD sent");
    // Nothing has to be paid: only the sale changes.
    let even = exchange("1893.00", "3786.00", "1893.00", refund(61, &[], goods()));
    assert_eq!(always_leaves(&even, "1893.00")[1], "sale of 1893.00 AUD sent without a profile (guest)");
    let dearer = exchange("2000.00", "3893.00", "2000.00", refund(61, &[], goods()));
    always_leaves(&dearer, "2000.00");
    // The total may still be that of the first purchase.
    let first_total = exchange("365.00", "1893.00", "365.00", refund(61, &[("success", "1528.00")], goods()));
    always_leaves(&first_total, "365.00");
}

#[test]
fn what_an_edit_took_off_is_lowered_once_whenever_it_is_paid_back() {
    let body = |second, status: &str, current: &str, refunds: Value| {
        let mut shirts = line(131, "48.00", 2);
        shirts["discount_allocations"] = json!([{"amount": "19.20", "discount_application_index": 0}]);
        let keys = json!({
            "financial_status": status, "total_price": "76.80", "total_discounts": "19.20", "refunds": refunds,
            "current_total_price": current, "line_items": [shirts],
        });
        order(second, keys)
    };
    let removed = |money: &[(&str, &str)]| refund(64, money, json!({"refund_line_items": [back(131, 1, "38.40")]}));
    let whole = body(1, "paid", "76.80", json!([]));
    let taken_off = body(2, "paid", "38.40", json!([removed(&[])]));
    let paid_back =
        body(3, "partially_refunded", "38.40", json!([removed(&[]), refund(65, &[("success", "38.40")], json!({}))]));
    always_leaves(&[whole.clone(), taken_off.clone()], "38.40");
    let reasons = always_leaves(&[whole.clone(), taken_off.clone(), paid_back], "38.40");
    let settles = "refund 65 pays back what was taken off the sale before";
    assert_eq!(reasons[2], format!("nothing of the order that Omneo keeps has changed; {settles}"));
    // The money may also come with the refund that took the line off, at once or later. Then that refund is a return.
    let at_once = body(3, "partially_refunded", "38.40", json!([removed(&[("success", "38.40")])]));
    let reasons = always_leaves(&[whole, taken_off, at_once], "38.40");
    assert_eq!(reasons[2], "sale of 76.80 AUD sent without a profile (guest); return of 38.40 AUD sent");
}

#[test]
fn shipping_comes_back_with_its_tax_however_the_body_lists_it() {
    let taxed = json!({"id": 9161, "title": "Standard", "price": "5.50", "tax_lines": [{"price": "0.50"}]});
    let mut tea = line(161, "11.00", 1);
    tea["tax_lines"] = json!([{"price": "1.00"}]);
    let bodies = |current: Option<&str>, listed: &str, adjusted: Option<&str>| {
        let mut goods = back(161, 1, "11.00");
        goods["total_tax"] = json!(1.0);
        let adjustments =
            adjusted.map(|amount| json!({"kind": "shipping_refund", "amount": amount, "tax_amount": "-0.50"}));
        let keys = json!({
            "refund_line_items": [goods], "order_adjustments": adjustments.into_iter().collect::<Vec<_>>(),
            "refund_shipping_lines": [{"subtotal_amount_set": money(listed), "shipping_line": taxed}],
        });
        let body = |second, refunds: Value, current: Option<&str>| {
            let keys = json!({
                "taxes_included": true, "total_price": "16.50", "total_tax": "1.50", "current_total_price": current,
                "line_items": [tea], "shipping_lines": [taxed], "refunds": refunds,
            });
            order(second, keys)
        };
        let back = refund(68, &[("success", "16.50")], keys);
        vec![body(1, json!([]), current.map(|_| "16.50")), body(2, json!([back]), current)]
    };
    for current in [None, Some("0.00")] {
        always_leaves(&bodies(current, "5.00", None), "0.00");
        always_leaves(&bodies(current, "5.50", None), "0.00");
        // Older bodies have the shipping in both places, with the tax in one of them.
        always_leaves(&bodies(current, "5.00", Some("-5.00")), "0.00");
    }
    // The proportional tax, when part of the shipping came back: 2.50 of 5.00, and so 0.25 of 0.50.
    let mut part = bodies(Some("13.75"), "2.50", None);
    part[1]["refunds"][0]["refund_line_items"] = json!([]);
    part[1]["refunds"][0]["transactions"][0]["amount"] = json!("2.75");
    always_leaves(&part, "13.75");
}

#[test]
fn fees_and_duties_come_back_with_their_tax() {
    let bodies = |current: Option<&str>, tax: &str, charges: &str, money_back: &str| {
        let keys = json!({
            "refund_line_items": [back(341, 1, "20.00")], "total_additional_fees_set": money("0.28"),
            "additional_fees": [{"price_set": money("0.28"), "tax_lines": [{"price": tax}]}],
            "duties": [{"amount_set": money(charges)}],
        });
        let body = |second, refunds: Value, current: Option<&str>| {
            let total: Decimal = ["20.28", charges, tax].iter().map(|part| part.parse::<Decimal>().unwrap()).sum();
            let keys = json!({
                "total_price": total.to_string(), "total_tax": tax, "current_total_price": current,
                "original_total_additional_fees_set": money("0.28"), "original_total_duties_set": money(charges),
                "line_items": [line(341, "20.00", 1)], "refunds": refunds,
            });
            (order(second, keys), total.to_string())
        };
        let back = refund(84, &[("success", money_back)], keys);
        let (first, total) = body(1, json!([]), None);
        let first = current.map_or(first, |_| body(1, json!([]), Some(&total)).0);
        vec![first, body(2, json!([back]), current).0]
    };
    always_leaves(&bodies(None, "0.00", "0.00", "20.28"), "0.00");
    always_leaves(&bodies(None, "0.02", "0.00", "20.30"), "0.00");
    always_leaves(&bodies(Some("0.00"), "0.02", "3.00", "10.00"), "0.00");
}

#[test]
fn removed_shipping_is_not_there_whether_or_not_the_total_still_counts_it() {
    let body = |second, total: &str, current: &str, is_removed: bool, refunds: Value| {
        let shipping = json!([{"id": 9, "title": "Post", "price": "5.00", "is_removed": is_removed}]);
        let keys = json!({"total_price": total, "current_total_price": current, "line_items": [line(11, "20.00", 1)],
            "shipping_lines": shipping, "refunds": refunds});
        order(second, keys)
    };
    let whole = body(1, "25.00", "25.00", false, json!([]));
    always_leaves(&[whole.clone(), body(2, "20.00", "20.00", true, json!([]))], "20.00");
    always_leaves(&[whole.clone(), body(2, "25.00", "20.00", true, json!([]))], "20.00");
    let gone = refund(3, &[], json!({"refund_shipping_lines": [{"subtotal_amount_set": money("5.00")}]}));
    always_leaves(&[whole, body(2, "25.00", "20.00", true, json!([gone]))], "20.00");
}

#[test]
fn what_is_given_on_top_or_kept_back_is_in_what_is_left() {
    let body = |second, current: &str, refunds: Value| {
        let keys = json!({"total_price": "50.00", "current_total_price": current, "line_items": [line(11, "50.00", 1)],
            "refunds": refunds});
        order(second, keys)
    };
    let whole = body(1, "50.00", json!([]));
    let with = |adjusted: &str, goods: bool, money: &[(&str, &str)]| {
        let lines = if goods { json!([back(11, 1, "50.00")]) } else { json!([]) };
        let keys = json!({"refund_line_items": lines,
            "order_adjustments": [{"kind": "refund_discrepancy", "amount": adjusted, "tax_amount": "0.00"}]});
        refund(7, money, keys)
    };
    let goodwill = body(2, "50.00", json!([with("-5.85", false, &[("success", "5.85")])]));
    always_leaves(&[whole.clone(), goodwill], "44.15");
    let kept_back = body(2, "0.00", json!([with("10.00", true, &[("success", "40.00")])]));
    always_leaves(&[whole.clone(), kept_back], "10.00");
    // Everything came back, and no money was paid for it.
    let nothing_paid = body(2, "0.00", json!([with("50.00", true, &[])]));
    let reasons = always_leaves(&[whole, nothing_paid], "50.00");
    assert!(reasons[1].ends_with("refund 7 changes nothing of what the order is worth"), "{}", reasons[1]);
}

#[test]
fn a_refund_on_its_way_is_a_return_and_one_that_failed_lowers_the_sale() {
    let body = |second, status: &str, current: &str| {
        let back = refund(7, &[(status, "20.00")], json!({"refund_line_items": [back(11, 1, "20.00")]}));
        let refunds = if current == "50.00" { json!([]) } else { json!([back]) };
        let keys = json!({"total_price": "50.00", "current_total_price": current, "refunds": refunds,
            "line_items": [line(11, "20.00", 1), line(12, "30.00", 1)]});
        order(second, keys)
    };
    let (whole, pending) = (body(1, "", "50.00"), body(2, "pending", "30.00"));
    let reasons = always_leaves(&[whole.clone(), pending.clone(), body(3, "success", "30.00")], "30.00");
    assert_eq!(reasons[1], "return of 20.00 AUD sent");
    assert_eq!(reasons[2], "nothing of the order that Omneo keeps has changed");
    let reasons = always_leaves(&[whole, pending, body(3, "failure", "30.00")], "30.00");
    assert_eq!(reasons[2], "return of 20.00 made void; sale of 30.00 AUD sent without a profile (guest)");
}

#[test]
fn a_refund_that_comes_alone_waits_for_its_order_where_only_the_order_can_tell() {
    let goods = json!({"refund_line_items": [back(101, 1, "1893.00")]});
    let bodies = exchange("365.00", "2258.00", "365.00", refund(61, &[("success", "1528.00")], goods));
    let mut alone = bodies[1]["refunds"][0].clone();
    alone["order_id"] = json!(5001);
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &event(&bodies[0]));
    let run = omneo.hear(&rules, &shopify("refunds/create", &alone));
    let why = "goods of 1893.00 less differences of 0.00 are not the 1528.00 paid back";
    let said = format!("the order's own body says what the refund is worth ({why})");
    assert_eq!(run.outcome(), (Outcome::Skipped, &*said));
    omneo.hear(&rules, &event(&bodies[1]));
    assert_eq!(net(&omneo), "365.00".parse().unwrap());
    // A refund that a body has shown is decided, whatever the decision was.
    let mut even = exchange(
        "1893.00",
        "3786.00",
        "1893.00",
        refund(61, &[], json!({"refund_line_items": [back(101, 1, "1893.00")]})),
    );
    omneo = Omneo::default();
    omneo.hear(&rules, &event(&even.remove(1)));
    alone["transactions"][0]["amount"] = json!("1893.00");
    let run = omneo.hear(&rules, &shopify("refunds/create", &alone));
    assert_eq!(run.outcome(), (Outcome::Skipped, "the order's own body has shown the refund"));
}

/// An order of 50.00 whose body contradicts itself.
fn nonsense(current: &str) -> Value {
    let back = refund(7, &[("success", "11.00")], json!({"refund_line_items": [back(11, 1, "20.00")]}));
    let keys = json!({"total_price": "50.00", "current_total_price": current, "refunds": [back],
        "line_items": [line(11, "20.00", 1), line(12, "30.00", 1)]});
    order(2, keys)
}

#[test]
fn shopifys_own_figures_settle_what_a_body_cannot() {
    for setting in ["return", "update"] {
        let rules = rules(json!({"orders": {"refunds": setting}}));
        let mut omneo = Omneo { figures: Some(["39.0", "-2.5", "36.0", "0.5"]), ..Omneo::default() };
        let run = omneo.hear(&rules, &event(&nonsense("36.00")));
        let why = "refund 7 not sent: goods of 20.00 less differences of 0.00 are not the 11.00 paid back; \
             50.00 less 20.00 that came back is not the current total of 36.00";
        let said = format!("Shopify's own figures say that 36.50 is left of the order ({why})");
        assert_eq!(run.end.reason, format!("sale of 36.50 AUD sent without a profile (guest); {said}"));
        assert_eq!(net(&omneo), "36.50".parse().unwrap());
        let items = omneo.transactions["5001"]["items"].as_array().unwrap().iter();
        let items: Vec<_> = items.map(|item| format!("{} {}", item["external_id"], item["price_sell"])).collect();
        assert_eq!(items, [r#""12" 30.00"#, r#""5001:discrepancy" 6.50"#]);
    }
}

#[test]
fn a_return_that_was_sent_is_void_once_the_figures_count_it() {
    let rules = rules(json!({}));
    let mut omneo = Omneo { figures: Some(["36.5", "0.0", "36.5", "0.0"]), ..Omneo::default() };
    let mut good = nonsense("30.00");
    good["updated_at"] = json!("2026-03-04T10:00:01Z");
    omneo.hear(&rules, &event(&good));
    assert_eq!(net(&omneo), "30.00".parse().unwrap());
    let run = omneo.hear(&rules, &event(&nonsense("36.00")));
    assert!(run.end.reason.starts_with("return of 20.00 made void; sale of 36.50 AUD sent"), "{}", run.end.reason);
    assert_eq!(net(&omneo), "36.50".parse().unwrap());
}

#[test]
fn figures_that_contradict_each_other_are_refused_with_both() {
    let rules = rules(json!({}));
    let mut omneo = Omneo { figures: Some(["39.0", "0.0", "36.0", "0.5"]), ..Omneo::default() };
    let run = omneo.hear(&rules, &event(&nonsense("36.00")));
    assert_eq!(run.end.outcome, Outcome::Refused);
    let both =
        "Shopify contradicts itself: 39.00 was paid or is outstanding, and 36.50 is left of the order with its refunds";
    assert!(run.end.reason.ends_with(both), "{}", run.end.reason);
    // If the lines do not sum to the total, nothing is sent.
    let mut lines = nonsense("36.00");
    lines["line_items"][1]["price"] = json!("29.00");
    let run = self::run(&rules, &event(&lines), &[], |call| omneo.answer(call));
    assert_eq!((run.end.outcome, run.calls.len()), (Outcome::Refused, 1));
    assert!(run.end.reason.starts_with("the lines sum to 49.00 but the total is 50.00: 1.00 unexplained"));
    assert!(run.end.reason.ends_with(both), "{}", run.end.reason);
}

#[test]
fn pieces_that_went_without_a_refund_are_asked_about() {
    let mut body = nonsense("30.00");
    body["refunds"] = json!([]);
    body["line_items"][0]["current_quantity"] = json!(0);
    let rules = rules(json!({}));
    let mut omneo = Omneo { figures: Some(["50.0", "-20.0", "30.0", "0.0"]), ..Omneo::default() };
    omneo.hear(&rules, &event(&body));
    assert_eq!(net(&omneo), "30.00".parse().unwrap());
}
