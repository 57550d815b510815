//! The whole history of an order, delivered in any order and with repetitions: the result is always the same, and no
//! sale exists twice.

use crate::conversation::{Omneo, rules, shopify};
use tandem_sdk::{Decimal, Event, Outcome, Value, json};

/// SplitMix64: a small generator, which gives the same numbers for a seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// An order with its life in Shopify: what was bought, what was refunded, and how far it has progressed.
struct Order {
    second: u32,
    body: Value,
    events: Vec<Event>,
}

impl Order {
    fn placed(random: &mut Random) -> Self {
        let customer = if random.one_in(3) { Value::Null } else { json!({"id": 7064, "email": "ada@example.org"}) };
        let body = json!({
            "id": 4501, "name": "#1001", "currency": "AUD", "financial_status": "pending", "total_price": "64.00",
            "created_at": "2026-03-01T10:00:00Z", "email": "ada@example.org", "customer": customer,
            "payment_gateway_names": ["bogus"], "total_tip_received": "0.00",
            "line_items": [
                {"id": 81, "name": "Tea", "price": "19.00", "quantity": 3, "sku": "TEA", "tax_lines": []},
            ],
            "shipping_lines": [{"id": 5, "title": "Post", "price": "7.00"}], "refunds": [],
        });
        let mut order = Self { second: 0, body, events: vec![] };
        order.tell("orders/create");
        order
    }

    fn tell(&mut self, topic: &str) {
        self.second += 1;
        self.body["updated_at"] = json!(format!("2026-03-01T10:00:{:02}Z", self.second));
        self.events.push(shopify(topic, &self.body));
    }

    /// Adds a line whose price does not divide by its number of pieces.
    fn edited(&mut self) {
        let line = json!({
            "id": 82, "name": "Pot", "price": "12.00", "quantity": 3, "discount_allocations": [{"amount": "1.00"}]
        });
        self.body["line_items"].as_array_mut().unwrap().push(line);
        self.body["total_price"] = json!("99.00");
        self.body["total_discounts"] = json!("1.00");
        self.events.push(shopify("orders/edited", &json!({"order_edit": {"id": 9, "order_id": 4501}})));
        self.tell("orders/updated");
    }

    fn refund(&mut self, id: u64, status: Option<&str>) {
        let transactions: Vec<_> =
            status.iter().map(|status| json!({"kind": "refund", "status": status, "amount": "19.00"})).collect();
        let refund = json!({
            "id": id, "order_id": 4501, "created_at": "2026-03-05T10:00:00Z", "transactions": transactions,
            "refund_line_items": [{
                "id": id * 10, "line_item_id": 81, "quantity": 1, "subtotal": "19.00", "total_tax": "0.00",
                "line_item": {"id": 81, "name": "Tea", "price": "19.00", "quantity": 3, "sku": "TEA"}
            }],
        });
        self.body["refunds"].as_array_mut().unwrap().push(refund.clone());
        self.events.push(shopify("refunds/create", &refund));
        self.tell("orders/updated");
    }

    fn succeeded(&mut self) {
        for refund in self.body["refunds"].as_array_mut().unwrap() {
            for transaction in refund["transactions"].as_array_mut().unwrap() {
                transaction["status"] = json!("success");
            }
        }
        self.tell("orders/updated");
    }
}

fn history(random: &mut Random) -> Vec<Event> {
    let mut order = Order::placed(random);
    if random.one_in(2) {
        order.edited();
    }
    order.body["financial_status"] = json!("paid");
    order.tell("orders/paid");
    if random.one_in(3) {
        order.refund(56, None);
    }
    if random.one_in(2) {
        order.refund(55, Some(if random.one_in(2) { "pending" } else { "success" }));
        order.succeeded();
    }
    order.body["fulfillment_status"] = json!("fulfilled");
    order.tell("orders/fulfilled");
    if random.one_in(4) {
        order.body["cancelled_at"] = json!("2026-03-09T10:00:00Z");
        order.tell("orders/cancelled");
        order.tell("orders/paid");
    }
    if random.one_in(8) {
        order.events.push(shopify("orders/delete", &json!({"id": 4501})));
    }
    order.events
}

/// The transactions that are not void, after checking that each sums to its total.
fn live(omneo: &Omneo) -> Vec<(String, Value)> {
    let mut live = vec![];
    for (id, sent) in &omneo.transactions {
        let sum = |item: &Value| {
            let number = |key: &str| item[key].to_string().parse::<Decimal>().unwrap();
            number("quantity") * number("price_sell")
        };
        let items: Decimal = sent["items"].as_array().unwrap().iter().map(sum).sum();
        assert_eq!(items, sent["total"].to_string().parse().unwrap(), "{sent}");
        if sent["is_void"] == false {
            live.push((id.clone(), sent.clone()));
        }
    }
    live
}

#[test]
fn any_delivery_of_a_history_has_the_same_end() {
    let sweep: u64 = std::env::var("TANDEM_SWEEP").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let first: u64 = std::env::var("TANDEM_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for seed in first..first + 400 * sweep {
        let mut random = Random(seed);
        let refunds = ["return", "update", "ignore"][random.below(3)];
        let rules = rules(json!({"orders": {"refunds": refunds}}));
        let events = history(&mut random);
        let mut expected = Omneo::default();
        events.iter().for_each(|event| drop(expected.hear(&rules, event)));
        for _ in 0..6 {
            let mut shuffled = events.clone();
            for _ in 0..random.below(4) {
                shuffled.push(events[random.below(events.len())].clone());
            }
            for n in (1..shuffled.len()).rev() {
                shuffled.swap(n, random.below(n + 1));
            }
            let mut omneo = Omneo::default();
            for event in &shuffled {
                let run = omneo.hear(&rules, event);
                assert!(
                    matches!(run.end.outcome, Outcome::Done | Outcome::Skipped),
                    "TANDEM_SEED={seed}: {}",
                    run.end.reason
                );
                let sales = omneo.transactions.keys().filter(|id| !id.contains("-R")).count();
                assert!(sales <= 1, "TANDEM_SEED={seed}: {:?}", omneo.transactions);
            }
            let topics: Vec<_> = shuffled.iter().map(|event| event.topic.as_str()).collect();
            assert_eq!(live(&omneo), live(&expected), "TANDEM_SEED={seed}, refunds {refunds}: {topics:?}");
            let statuses: Vec<_> = omneo.orders.iter().map(|order| order["status"].clone()).collect();
            assert!(!statuses.contains(&json!("pending")), "TANDEM_SEED={seed}: {topics:?}");
            for event in &shuffled {
                let again = omneo.hear(&rules, event);
                assert_eq!(
                    // A refund of an order that is over looks for transactions that a failed run may have left.
                    (
                        again.calls.iter().filter(|call| !call.contains("transactions/external/")).count(),
                        again.end.outcome
                    ),
                    (0, Outcome::Skipped),
                    "TANDEM_SEED={seed}: {}",
                    again.end.reason
                );
            }
        }
    }
}

/// Interleaving 12 of the specification.
#[test]
fn a_refund_before_everything_else_and_a_cancellation_in_between() {
    let rules = rules(json!({}));
    let mut order = Order::placed(&mut Random(1));
    order.body["financial_status"] = json!("paid");
    order.tell("orders/paid");
    order.refund(55, Some("pending"));
    order.succeeded();
    order.body["cancelled_at"] = json!("2026-03-09T10:00:00Z");
    order.tell("orders/cancelled");
    order.tell("orders/paid");
    let [_create, paid, alone, pending, success, cancelled, again] = &order.events[..] else { panic!("seven events") };
    let mut omneo = Omneo::default();
    for event in [alone, pending, paid, success, cancelled, again] {
        omneo.hear(&rules, event);
    }
    let all: Vec<_> = omneo.transactions.iter().map(|(id, sent)| (id.as_str(), &sent["is_void"])).collect();
    assert_eq!(all, [("4501", &json!(true)), ("4501-R55", &json!(true))]);
}

/// Interleaving 13 of the specification, as far as orders go.
#[test]
fn a_guests_order_ends_with_the_customer_that_is_kept() {
    let rules = rules(json!({}));
    let mut order = Order::placed(&mut Random(1));
    order.body["financial_status"] = json!("paid");
    let mut with = |customer: Value| {
        order.body["customer"] = customer;
        order.tell("orders/updated");
        order.events.last().unwrap().clone()
    };
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"]), ("ada@example.net", "p2", &["8000"])]);
    omneo.hear(&rules, &with(Value::Null));
    assert_eq!(omneo.transactions["4501"].get("profile_id"), None);
    omneo.hear(&rules, &with(json!({"id": 7064, "email": "ada@example.org"})));
    assert_eq!(omneo.transactions["4501"]["profile_id"], "p1");
    // The customer's deletion removes the identity from the profile. Then the order arrives with the kept customer.
    omneo.profiles.get_mut("ada@example.org").unwrap().1.clear();
    omneo.emails.insert(8000, Some("ada@example.net"));
    let run = omneo.hear(&rules, &with(json!({"id": 8000, "email": "ada@example.net"})));
    assert_eq!(run.end.reason, "sale of 64.00 AUD sent to profile p2");
    assert_eq!((omneo.transactions.len(), &omneo.transactions["4501"]["profile_id"]), (1, &json!("p2")));
    assert_eq!((omneo.profiles.len(), omneo.profiles["ada@example.org"].1.len()), (2, 0));
}
