//! Refunds that arrive by themselves, as conversations: before the order that carries them, after it, twice, and for an
//! order that was never seen.

use crate::conversation;

use crate::conversation::{Omneo, published, rules, shopify};
use tandem_sdk::{Event, Outcome, Rules, Value, json};

/// An order of three pieces of tea, with shipping and with tax on top.
fn order(second: u32, refunds: Value) -> Event {
    let order = json!({
        "id": 4501, "name": "#1001", "currency": "AUD", "financial_status": "paid", "total_price": "38.50",
        "created_at": "2026-03-01T10:00:00Z", "updated_at": format!("2026-03-01T10:00:{second:02}Z"),
        "total_tax": "3.50", "payment_gateway_names": ["bogus"], "email": "ada@example.org",
        "customer": {"id": 7064, "email": "ada@example.org", "first_name": "Ada"},
        "line_items": [{
            "id": 81, "name": "Tea", "price": "10.00", "quantity": 3, "sku": "TEA", "variant_id": 91,
            "tax_lines": [{"price": "3.00"}]
        }],
        "shipping_lines": [{"id": 5, "title": "Post", "price": "5.00", "tax_lines": [{"price": "0.50"}]}],
        "refunds": refunds,
    });
    shopify("orders/updated", &order)
}

fn refund(changes: Value) -> Value {
    let mut refund = json!({
        "id": 55, "order_id": 4501, "created_at": "2026-03-05T10:00:00Z",
        "refund_line_items": [{
            "id": 551, "line_item_id": 81, "quantity": 2, "subtotal": 20.0, "total_tax": 2.00,
            "line_item": {"id": 81, "name": "Tea", "price": "10.00", "quantity": 3, "sku": "TEA", "variant_id": 91}
        }],
        "order_adjustments": [],
        "transactions": [{"kind": "refund", "status": "success", "amount": "22.00"}],
    });
    for (key, value) in changes.as_object().unwrap() {
        refund[key] = value.clone();
    }
    refund
}

fn alone(changes: Value) -> Event {
    shopify("refunds/create", &refund(changes))
}

fn known() -> Omneo {
    Omneo::with(&[("ada@example.org", "p1", &["7064"])])
}

#[test]
fn a_refund_alone_is_the_return_that_its_order_would_bring() {
    let rules = rules(json!({}));
    let (mut first, mut second) = (known(), known());
    first.hear(&rules, &order(1, json!([])));
    let run = first.hear(&rules, &alone(json!({})));
    assert_eq!(run.outcome(), (Outcome::Done, "return of 22.00 AUD sent"));
    assert_eq!(run.calls, ["POST omneo /transactions/update-create"]);
    // The order's own body has nothing to add.
    let run = first.hear(&rules, &order(2, json!([refund(json!({}))])));
    assert_eq!((run.calls.len(), run.end.outcome), (0, Outcome::Skipped), "{}", run.end.reason);
    // The same in the opposite sequence.
    second.hear(&rules, &order(2, json!([refund(json!({}))])));
    let run = second.hear(&rules, &alone(json!({})));
    assert_eq!(run.outcome(), (Outcome::Skipped, "the refund was sent before"));
    assert_eq!(first.transactions, second.transactions);
    assert_eq!(first.transactions["4501-R55"]["profile_id"], "p1");
}

#[test]
fn a_refund_without_a_time_has_that_of_its_order() {
    let rules = rules(json!({}));
    let mut omneo = known();
    omneo.hear(&rules, &order(1, json!([])));
    omneo.hear(&rules, &alone(json!({"created_at": null})));
    assert_eq!(omneo.transactions["4501-R55"]["transacted_at"], "2026-03-01 10:00:00");
}

#[test]
fn a_refund_of_an_order_that_is_not_sold_waits_for_it() {
    let rules = rules(json!({}));
    let mut omneo = known();
    let why = "the order is not sold yet: its own body carries the refund";
    let run = omneo.hear(&rules, &alone(json!({})));
    let unseen = "the order was not seen yet: its own body carries the refund";
    assert_eq!((run.calls.len(), run.outcome()), (0, (Outcome::Skipped, unseen)));
    let mut pending = order(1, json!([]));
    pending.payload = pending.payload.replace(r#""paid""#, r#""pending""#);
    omneo.hear(&rules, &pending);
    assert_eq!(omneo.hear(&rules, &alone(json!({}))).outcome(), (Outcome::Skipped, why));
    omneo.hear(&rules, &order(2, json!([refund(json!({}))])));
    assert_eq!(omneo.transactions.len(), 2);
    // A memory that does not say how the order was written is not enough to write a return.
    omneo.memory = vec![r#"{"reached":true,"sale":{"hash":"a","total":"38.50","void":false}}"#.into()];
    let run = omneo.hear(&rules, &alone(json!({})));
    assert_eq!(run.outcome(), (Outcome::Skipped, "the order's own body carries the refund"));
}

#[test]
fn a_refund_of_an_order_that_is_gone_stays_away() {
    let rules = rules(json!({}));
    for (topic, why) in
        [("orders/cancelled", "the order was cancelled"), ("orders/delete", "the order was deleted in Shopify")]
    {
        let mut omneo = known();
        omneo.hear(&rules, &order(1, json!([])));
        let mut body: Value = conversation::parse(&order(2, json!([])).payload);
        body["cancelled_at"] = json!("2026-03-02T10:00:00Z");
        omneo.hear(&rules, &shopify(topic, &body));
        assert_eq!(omneo.hear(&rules, &alone(json!({}))).outcome(), (Outcome::Skipped, why));
        assert_eq!((omneo.transactions.len(), &omneo.transactions["4501"]["is_void"]), (1, &json!(true)));
    }
}

#[test]
fn a_refund_that_moved_no_money_is_its_orders_business() {
    let rules = rules(json!({}));
    let mut omneo = known();
    omneo.hear(&rules, &order(1, json!([])));
    let with = |status: &str| json!({"transactions": [{"kind": "refund", "status": status, "amount": "22.00"}]});
    for (changes, why) in [
        (with("pending"), "the refund is pending"),
        (with("failure"), "the refund was not carried out"),
        (json!({"transactions": []}), "no money went back: the order's own body lowers the sale"),
    ] {
        let run = omneo.hear(&rules, &alone(changes));
        assert_eq!((run.calls.len(), run.outcome()), (0, (Outcome::Skipped, why)));
    }
    let run =
        omneo.hear(&rules, &alone(json!({"transactions": [{"kind": "refund", "status": "success", "amount": "9"}]})));
    let why = "goods of 22.00 less differences of 0.00 are not the 9.00 paid back";
    let why = format!("the order's own body says what the refund is worth ({why})");
    assert_eq!(run.outcome(), (Outcome::Skipped, &*why));
    for broken in [json!({"refund_line_items": [{"line_item_id": 81, "quantity": 1}]}), json!({"transactions": {}})] {
        let run = omneo.hear(&rules, &alone(broken));
        assert_eq!((run.calls.len(), run.end.outcome), (0, Outcome::Refused), "{}", run.end.reason);
    }
    assert_eq!(omneo.transactions.len(), 1);
}

#[test]
fn the_settings_hold_for_a_refund_alone_too() {
    for (settings, why) in [
        (json!({"refunds": "ignore"}), "refunds are left alone: `orders.refunds = \"ignore\"`"),
        (json!({"refunds": "update"}), "the order's own body lowers the sale: `orders.refunds = \"update\"`"),
    ] {
        let rules = rules(json!({"orders": settings}));
        let mut omneo = known();
        omneo.hear(&rules, &order(1, json!([])));
        assert_eq!(omneo.hear(&rules, &alone(json!({}))).outcome(), (Outcome::Skipped, why));
    }
    let off = rules(json!({"sync": {"orders": false}}));
    assert_eq!(
        known().hear(&off, &alone(json!({}))).outcome(),
        (Outcome::Skipped, "switched off: `sync.orders = false`")
    );
}

#[test]
fn a_guests_return_gets_its_email_with_the_order() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let guest = |mut event: Event| {
        let mut body = conversation::parse(&event.payload);
        body["customer"] = Value::Null;
        event.payload = body.to_string();
        event
    };
    omneo.hear(&rules, &guest(order(1, json!([]))));
    let memory = omneo.memory[0].clone();
    assert!(!memory.contains("ada") && !memory.contains("Ada"), "{memory}");
    omneo.hear(&rules, &alone(json!({})));
    assert_eq!(omneo.transactions["4501-R55"].get("receipt_email"), None);
    omneo.hear(&rules, &guest(order(2, json!([refund(json!({}))]))));
    assert_eq!(omneo.transactions["4501-R55"]["receipt_email"], "ada@example.org");
}

#[test]
fn a_profile_that_is_gone_is_looked_up_again() {
    let rules = rules(json!({}));
    let mut omneo = known();
    omneo.hear(&rules, &order(1, json!([])));
    omneo.profiles.insert("ada@example.org".into(), ("p2".into(), vec!["7064".into()]));
    omneo.instead = vec![("update-create", 422, json!({"errors": {"profile_id": ["unknown"]}}))];
    omneo.hear(&rules, &alone(json!({})));
    assert_eq!(omneo.transactions["4501-R55"]["profile_id"], "p2");
}

#[test]
fn a_part_of_an_order_comes_with_the_order() {
    let topics = ["orders/edited", "order_transactions/create", "fulfillments/update", "returns/process"];
    for topic in topics {
        let event = shopify(topic, &json!({"id": 9, "order_id": 4501}));
        assert_eq!(rules(json!({})).key(&event).unwrap().names, ["shopify/order/4501"]);
        let run = Omneo::default().hear(&rules(json!({})), &event);
        assert_eq!(run.outcome(), (Outcome::Skipped, "`orders/updated` carries it"));
    }
    let manifest = rules(json!({})).describe();
    let listens = |topic: &str| manifest.listens.iter().any(|listened| listened.name == topic);
    assert!(listens("refunds/create") && listens("locations/delete") && !topics.into_iter().any(listens));
}

/// Each published body names its order. When it arrives alone, it waits for the order.
#[test]
fn published_parts_of_orders_name_their_order() {
    let topics = ["refunds-", "returns-", "order_transactions-", "fulfillments-", "orders-edited"];
    let Some(files) = published(|topic| topics.iter().any(|start| topic.starts_with(start))) else { return };
    let rules = rules(json!({}));
    let (mut named, mut invalid) = (0, 0);
    for (path, body) in files {
        let topic = path.parent().and_then(|topic| topic.file_name()).unwrap().to_string_lossy();
        let event = shopify(&topic.replacen('-', "/", 1), &body);
        let run = Omneo::default().hear(&rules, &event);
        match rules.key(&event) {
            Ok(entity) => {
                assert!(entity.names[0].starts_with("shopify/order/"), "{}: {entity:?}", path.display());
                assert_eq!((run.calls.len(), run.end.outcome), (0, Outcome::Skipped), "{}", path.display());
                named += 1;
            }
            Err(why) => {
                assert_eq!(
                    run.end.outcome,
                    if topic.starts_with("refunds") { Outcome::Invalid } else { Outcome::Skipped }
                );
                eprintln!("{}: {why}", path.display());
                invalid += 1;
            }
        }
    }
    eprintln!("{named} bodies name their order, {invalid} do not");
    assert_eq!((named, invalid), (28, 1));
}
