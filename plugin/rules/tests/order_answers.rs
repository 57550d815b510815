//! Orders, products and locations whose calls get a 2xx that is not an answer.

use crate::conversation::{Omneo, but, order, paid, rules, shopify};
use tandem_sdk::{Answer, Outcome, Reply, converse, json};

const SALE: &str = "POST omneo /transactions/update-create";

/// Bodies that proxies and targets in trouble have sent with a 2xx.
const NO_ANSWERS: [(u16, &str); 8] = [
    (200, ""),
    (200, "<html><body>We will be back soon</body></html>"),
    (200, r#"{"data": {"id": 7"#),
    (200, "\u{1f}\u{fffd}\u{8}\u{0}"),
    (200, r#"{"status": "maintenance"}"#),
    (200, "null"),
    (201, r#"{"data": []}"#),
    (204, ""),
];

#[test]
fn a_2xx_that_is_no_answer_never_counts_as_sent() {
    let rules = rules(json!({}));
    let customer = order();
    let pending = but(json!({"financial_status": "pending"}));
    // Each kind of call about an order, a product and a location gets such a response, every time.
    let product = json!({"id": 61, "title": "Tea", "variants": [{"id": 91, "title": "Small", "price": "1.00"}],
        "variant_gids": [{"admin_graphql_api_id": "gid://shopify/ProductVariant/92"}]});
    let place = json!({"id": 7, "name": "Shop", "phone": "+61390000000"});
    let events = [
        (paid(&customer), "/transactions/update-create"),
        (paid(&pending), "GET omneo /orders"),
        (paid(&pending), "POST omneo /orders"),
        (shopify("products/update", &product), "/products/queue"),
        (shopify("products/update", &product), "GRAPHQL shopify Variants"),
        (shopify("locations/create", &place), "GET omneo /locations"),
        (shopify("locations/create", &place), "POST omneo /locations"),
    ];
    for (event, at) in events {
        for (status, body) in NO_ANSWERS {
            if (at.starts_with("GET") || at == "/products/queue") && body.contains("[]") {
                // An empty list is a valid answer to a look-up, and of the queue's answer only its `data` is known.
                continue;
            }
            let mut omneo = Omneo::default();
            let mut asked = 0;
            let (_, end) = converse(&rules, &event, &[], |call| {
                if format!("{} ", call.line()).contains(at) {
                    asked += 1;
                    return Reply::Answer(Answer { status, headers: vec![], body: body.to_owned() });
                }
                let nodes = json!({"data": {"nodes": [null]}});
                let (status, body) = if call.line().contains("Variants") { (200, nodes) } else { omneo.answer(call) };
                Reply::Answer(Answer { status, headers: vec![], body: body.to_string() })
            });
            assert!(asked > 0, "{at} is not asked: {}", end.reason);
            assert_eq!(end.outcome, Outcome::Refused, "{at} answers {status} {body}: {}", end.reason);
            // A call that reads or may be repeated is sent three times, and an order is looked for before it is created
            // again.
            assert!([1, 2, 3].contains(&asked), "{at} is asked {asked} times");
        }
    }
}

#[test]
fn a_call_that_is_answered_the_second_time_is_done_once() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let mut first = true;
    let (calls, end) = converse(&rules, &paid(&but(json!({"customer": null}))), &[], |call| {
        let (status, body) = omneo.answer(call);
        let body = if std::mem::take(&mut first) { "<html>".to_owned() } else { body.to_string() };
        Reply::Answer(Answer { status, headers: vec![], body })
    });
    assert_eq!(calls.iter().map(tandem_sdk::Call::line).collect::<Vec<_>>(), [SALE, SALE]);
    assert_eq!((end.outcome, omneo.transactions.len()), (Outcome::Done, 1), "{}", end.reason);
}

#[test]
fn an_order_whose_fate_is_not_known_is_looked_for_each_time_and_made_once() {
    let rules = rules(json!({}));
    let pending = paid(&but(json!({"customer": null, "financial_status": "pending"})));
    for (lost, is_done) in [(1, true), (2, true), (3, false)] {
        let mut omneo = Omneo::default();
        let mut made = 0;
        let (calls, end) = converse(&rules, &pending, &[], |call| {
            if call.line() == "POST omneo /orders" {
                made += 1;
                if made <= lost {
                    return Reply::Unknown("the connection was closed".into());
                }
            }
            let (status, body) = omneo.answer(call);
            Reply::Answer(Answer { status, headers: vec![], body: body.to_string() })
        });
        assert_eq!(end.outcome == Outcome::Done, is_done, "{lost}: {}", end.reason);
        assert_eq!(omneo.orders.len(), usize::from(is_done), "{lost}");
        let lines: Vec<_> = calls.iter().map(tandem_sdk::Call::line).collect();
        let looks = lines.iter().filter(|line| line.starts_with("GET omneo /orders")).count();
        assert_eq!(looks, lines.iter().filter(|line| *line == "POST omneo /orders").count(), "{lines:?}");
    }
}
