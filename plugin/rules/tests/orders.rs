//! Orders, as conversations: which state of a body leads to which calls, for any topics and in any sequence.

use crate::conversation::{Omneo, but, order, paid, parse, rules, run, shopify};
use tandem_sdk::{Event, Outcome, Reply, Rules, Value, json, step};

fn at(second: u32, changes: Value) -> Value {
    let mut order = but(changes);
    order["updated_at"] = json!(format!("2026-03-01T10:00:{second:02}+11:00"));
    order
}

const SALE: &str = "POST omneo /transactions/update-create";

/// A profile whose customer the host knows.
fn known() -> Omneo {
    let names = ["shopify/customer/7064", "omneo/profile/p1"].map(str::to_owned).to_vec();
    Omneo { names, ..Omneo::with(&[("ada@example.org", "p1", &["7064"])]) }
}

/// Whoever may sign in to a profile can give it the identity of any customer: then that customer's purchases do not count
/// for it.
#[test]
fn an_identity_alone_makes_nobody_the_buyer() {
    let host = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (own, theirs) = (["shopify/customer/7064", "omneo/profile/p1"], ["shopify/customer/9", "omneo/profile/p1"]);
    // E-mail of the customer, link of the customer, names that the host knows, and what becomes of the sale.
    type Row<'a> = (Option<&'static str>, Option<&'static str>, &'a [&'static str], Result<(), &'static str>);
    let table: [Row; 8] = [
        (Some("ada@example.org"), None, &[], Ok(())),
        (Some("ADA@example.org "), None, &[], Ok(())),
        (Some("ann@example.org"), None, &[], Err("nothing else says")),
        (None, None, &[], Err("nothing else says")),
        (Some("ann@example.org"), Some("p1"), &[], Ok(())),
        (Some("ann@example.org"), None, &own, Ok(())),
        // The address of the customer, too, can be set at Omneo.
        (Some("ada@example.org"), None, &theirs, Err("customer 9 speaks for the profile")),
        (Some("ada@example.org"), Some("p1"), &theirs, Ok(())),
    ];
    for (email, link, names, due) in table {
        let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
        omneo.emails.insert(7064, email);
        (omneo.link, omneo.names) = (link.map(str::to_owned), host(names));
        let run = omneo.hear(&rules(json!({})), &paid(&order()));
        let sent = omneo.transactions["4501"].get("profile_id").and_then(Value::as_str);
        match due {
            Ok(()) => assert_eq!(sent, Some("p1"), "{email:?} {link:?} {names:?}: {}", run.end.reason),
            Err(why) => {
                assert!(sent.is_none() && run.end.reason.contains(why), "{email:?} {names:?}: {}", run.end.reason)
            }
        }
    }
}

#[test]
fn a_sale_is_sent_whole_to_the_profile_of_its_customer() {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let run = omneo.hear(&rules(json!({})), &paid(&order()));
    // Nothing but the identity says whose the profile is, so both are asked.
    let asked = ["POST omneo /profiles/search-id", "GRAPHQL shopify Person", "GET omneo /profiles/p1"];
    assert_eq!((&run.calls[..3], &run.calls[3..]), (&asked.map(str::to_owned)[..], &[SALE.to_owned()][..]));
    assert_eq!(run.bodies[0], json!({"type": "shopify", "id": "7064"}));
    assert_eq!(
        run.bodies[3],
        parse(
            r##"{
                "external_id": "4501", "external_order_id": "4501", "receipt_ref": "#1001", "profile_id": "p1",
                "total": 19.90, "total_original": 19.90, "currency": "AUD",
                "transacted_at": "2026-02-28 23:00:00", "timezone": "Australia/Melbourne",
                "systems": ["web"], "payments": ["bogus"], "is_void": false, "delete_existing_items": true,
                "items": [{
                    "external_id": "81", "name": "Tea", "quantity": 1, "variant_external_id": "91",
                    "price_current": 19.90, "price_original": 19.90, "price_sell": 19.90, "price_tax": 1.81
                }]
            }"##
        )
    );
    assert_eq!(run.outcome(), (Outcome::Done, "sale of 19.90 AUD sent to profile p1"));
}

#[test]
fn what_is_no_order_is_invalid_and_a_test_order_is_skipped() {
    let mut omneo = Omneo::default();
    let mut hear = |body: Value| omneo.hear(&rules(json!({})), &paid(&body)).end;
    assert_eq!(hear(json!({"id": 1, "total_price": "1.00"})).reason, "not an order: it has no `line_items`");
    assert_eq!(hear(json!({"id": 1, "line_items": [], "total_price": ""})).outcome, Outcome::Invalid);
    assert_eq!(hear(but(json!({"test": true}))).reason, "a test order: `orders.include_test = false`");
    let run = omneo.hear(&rules(json!({"orders": {"include_test": true}})), &paid(&but(json!({"test": true}))));
    assert_eq!(run.end.outcome, Outcome::Done);
}

#[test]
fn stale_bodies_and_echoes_are_skipped() {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let rules = rules(json!({}));
    let newer = paid(&at(9, json!({})));
    omneo.hear(&rules, &newer);
    let run = omneo.hear(&rules, &paid(&at(8, json!({"financial_status": "pending"}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "older than what is known of the order"));
    let run = omneo.hear(&rules, &newer);
    assert_eq!(run.outcome(), (Outcome::Skipped, "an echo: this state of the order was dealt with before"));
    let run = omneo.hear(&rules, &Event { occurred_at: "2026-01-02T03:04:04Z".into(), ..newer.clone() });
    assert_eq!(run.end.reason, "older than what is known of the order");
    let run = omneo.hear(&rules, &paid(&at(10, json!({"note": "leave at the door"}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "nothing of the order that Omneo keeps has changed"));
    assert!(run.calls.is_empty());
}

#[test]
fn two_bodies_of_one_second_are_told_apart_by_when_they_were_sent() {
    let rules = rules(json!({}));
    let first = paid(&order());
    let mut second = paid(&but(json!({"name": "#1001-B"})));
    second.occurred_at = "2026-01-02T03:04:05.5Z".into();
    for pair in [[&first, &second], [&second, &first]] {
        let mut omneo = Omneo::default();
        pair.iter().for_each(|event| drop(omneo.hear(&rules, event)));
        assert_eq!(omneo.transactions["4501"]["receipt_ref"], "#1001-B");
    }
}

#[test]
fn cancelled_makes_the_sale_void_for_good() {
    let rules = rules(json!({}));
    let cancelled = json!({"cancelled_at": "2026-03-01T11:00:00+11:00"});
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &paid(&but(cancelled.clone())));
    assert_eq!(run.outcome(), (Outcome::Skipped, "cancelled and never sent"));

    let mut omneo = Omneo::default();
    omneo.hear(&rules, &paid(&order()));
    let run = omneo.hear(&rules, &shopify("orders/cancelled", &at(1, cancelled)));
    assert_eq!(run.calls, [SALE]);
    assert_eq!(run.bodies, [json!({"external_id": "4501", "is_void": true})]);
    assert_eq!(run.outcome(), (Outcome::Done, "the order was cancelled: sale of 19.90 made void"));
    let run = omneo.hear(&rules, &paid(&at(2, json!({}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "cancelled before"));
    assert_eq!(omneo.transactions["4501"]["is_void"], true);
}

#[test]
fn a_lapsed_authorisation_makes_a_sale_void_until_the_order_is_paid() {
    let rules = rules(json!({"orders": {"transaction_status": "authorized"}}));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &paid(&but(json!({"financial_status": "voided"}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "financial status is `voided`"));
    omneo.hear(&rules, &paid(&at(1, json!({"financial_status": "authorized"}))));
    let run = omneo.hear(&rules, &paid(&at(2, json!({"financial_status": "expired"}))));
    assert_eq!(run.outcome(), (Outcome::Done, "financial status is `expired`: sale of 19.90 made void"));
    omneo.hear(&rules, &paid(&at(3, json!({"financial_status": "paid"}))));
    assert_eq!(omneo.transactions["4501"]["is_void"], false);
}

#[test]
fn below_the_threshold_it_is_an_omneo_order_that_the_sale_fulfils() {
    let rules = rules(json!({}));
    let mut omneo = known();
    let run = omneo.hear(&rules, &paid(&but(json!({"financial_status": "pending"}))));
    assert_eq!(run.calls, ["GET omneo /orders?filter[external_id]=4501", "POST omneo /orders"]);
    let body = &run.bodies[1];
    assert_eq!((&body["status"], &body["order_number"]), (&json!("pending"), &json!("1001")));
    for key in ["external_order_id", "delete_existing_items", "is_void"] {
        assert!(body.get(key).is_none(), "{key}");
    }
    assert_eq!(
        run.outcome(),
        (
            Outcome::Done,
            "order of 19.90 AUD sent to profile p1: its status `pending` is below `paid`, so it is not a sale yet"
        )
    );
    let run = omneo.hear(&rules, &paid(&at(1, json!({"financial_status": "authorized", "name": "#1"}))));
    assert_eq!(run.calls, ["PUT omneo /orders/500"]);
    let run = omneo.hear(&rules, &paid(&at(2, json!({}))));
    assert_eq!(run.calls, [SALE, "PUT omneo /orders/500"]);
    assert_eq!(run.bodies[1], json!({"status": "fulfilled"}));
    let run = omneo.hear(&rules, &paid(&at(3, json!({"financial_status": "pending"}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "nothing of the order that Omneo keeps has changed"));
    let run = omneo.hear(&rules, &paid(&at(4, json!({"cancelled_at": "2026-03-01T11:00:00+11:00"}))));
    assert_eq!(run.end.reason, "the order was cancelled: sale of 19.90 made void, Omneo order cancelled");
    assert_eq!(omneo.orders[0]["status"], "cancelled");
}

#[test]
fn every_threshold_is_reached_by_what_follows_it() {
    let financial = [
        ("pending", "pending authorized partially_paid paid partially_refunded refunded"),
        ("authorized", "authorized partially_paid paid partially_refunded refunded"),
        ("partially_paid", "partially_paid paid partially_refunded refunded"),
        ("paid", "paid partially_refunded refunded"),
    ];
    let fulfilment = [("partial", "partial fulfilled"), ("fulfilled", "fulfilled")];
    let check = |key: &str, threshold: &str, reached: &str, statuses: &[Value]| {
        for status in statuses {
            let rules = rules(json!({"orders": {"transaction_status": threshold}}));
            let body = but(json!({"financial_status": null, key: status}));
            let run = Omneo::default().hear(&rules, &paid(&body));
            let expected = status.as_str().is_some_and(|status| reached.split(' ').any(|one| one == status));
            assert_eq!(run.calls.iter().any(|call| call == SALE), expected, "{threshold}: {status}");
        }
    };
    let statuses = ["pending", "authorized", "partially_paid", "paid", "partially_refunded", "refunded"];
    let statuses: Vec<_> = statuses.into_iter().map(Value::from).chain([Value::Null]).collect();
    for (threshold, reached) in financial {
        check("financial_status", threshold, reached, &statuses);
    }
    for (threshold, reached) in fulfilment {
        check("fulfillment_status", threshold, reached, &[json!("partial"), json!("fulfilled"), Value::Null]);
    }
}

#[test]
fn topics_in_any_order_give_the_same_end() {
    let rules = rules(json!({}));
    let bodies = [
        ("orders/create", at(1, json!({"financial_status": "pending"}))),
        ("orders/paid", at(2, json!({}))),
        ("orders/updated", at(3, json!({"name": "#1001-B"}))),
        ("orders/fulfilled", at(4, json!({"name": "#1001-B", "fulfillment_status": "fulfilled"}))),
    ];
    let events: Vec<_> = bodies.iter().map(|(topic, body)| shopify(topic, body)).collect();
    for cancel in [false, true] {
        let mut events = events.clone();
        if cancel {
            events.push(shopify("orders/cancelled", &at(5, json!({"cancelled_at": "2026-03-01T11:00:00+11:00"}))));
        }
        for order in permutations(events.len()) {
            let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
            order.iter().for_each(|n| drop(omneo.hear(&rules, &events[*n])));
            let sales: Vec<_> = omneo.transactions.values().collect();
            let statuses: Vec<_> = omneo.orders.iter().map(|order| order["status"].clone()).collect();
            if cancel {
                assert!(sales.iter().all(|sale| sale["is_void"] == true), "{order:?}");
                assert!(statuses.iter().all(|status| status == "cancelled"), "{order:?}");
            } else {
                assert_eq!((sales.len(), &sales[0]["receipt_ref"]), (1, &json!("#1001-B")), "{order:?}");
                assert!(statuses.iter().all(|status| status == "fulfilled"), "{order:?}");
            }
            let again = omneo.hear(&rules, &events[events.len() - 1]);
            assert_eq!((again.end.outcome, again.calls.len()), (Outcome::Skipped, 0), "{order:?}");
        }
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    match n {
        0 => vec![vec![]],
        _ => {
            let insert = |rest: Vec<usize>| {
                (0..n).map(move |at| {
                    let mut all = rest.clone();
                    all.insert(at, n - 1);
                    all
                })
            };
            permutations(n - 1).into_iter().flat_map(insert).collect()
        }
    }
}

#[test]
fn a_customer_without_a_profile_gets_one() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &paid(&order()));
    let create = run.calls.iter().position(|call| call == "POST omneo /profiles").unwrap();
    assert_eq!(
        run.bodies[create],
        json!({
            "email": "ada@example.org", "first_name": "Ada",
            "identities": [{"handle": "shopify", "identifier": "7064"}]
        })
    );
    assert_eq!(omneo.transactions["4501"]["profile_id"], "p1");

    let mut omneo = Omneo::with(&[("ada@example.org", "p9", &[])]);
    let run = omneo.hear(&rules, &paid(&order()));
    assert_eq!(run.calls[4], "POST omneo /profiles/p9/identities");
    assert_eq!(run.bodies[4], json!({"handle": "shopify", "identifier": "7064"}));
    assert_eq!(omneo.transactions["4501"]["profile_id"], "p9");
}

/// Only one customer speaks for a profile, but the purchases of its other customers count for it too.
#[test]
fn the_orders_of_a_second_customer_count_on_the_profile() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064", "7065"])]);
    omneo.names = ["shopify/customer/7064", "shopify/customer/7065", "omneo/profile/p1"].map(str::to_owned).to_vec();
    for (order, customer) in [(4501, 7064), (4502, 7065)] {
        let customer = json!({"id": customer, "email": "other@example.org"});
        omneo.memory.clear();
        let gid = format!("gid://shopify/Order/{order}");
        let body = but(json!({"id": order, "admin_graphql_api_id": gid, "customer": customer}));
        let run = omneo.hear(&rules, &paid(&body));
        assert_eq!(run.calls, [SALE]);
    }
    let profiles: Vec<_> = omneo.transactions.values().map(|sale| &sale["profile_id"]).collect();
    assert_eq!((profiles, omneo.profiles.len()), (vec![&json!("p1"), &json!("p1")], 1));
}

#[test]
fn who_is_faster_is_looked_up_again() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    omneo.instead = vec![
        ("search-id", 404, json!({})),
        ("availability", 200, json!({"data": {"email": {"available": true, "profile": null}}})),
        ("POST omneo /profiles", 422, json!({"errors": {"email": ["taken"]}})),
    ];
    let run = omneo.hear(&rules, &paid(&order()));
    assert_eq!(run.end.reason, "sale of 19.90 AUD sent to profile p1");

    omneo = Omneo::with(&[("ada@example.org", "p1", &[])]);
    omneo.instead = vec![("identities", 422, json!({"message": "taken"}))];
    let run = omneo.hear(&rules, &paid(&order()));
    assert_eq!(
        run.end.reason,
        "sale of 19.90 AUD sent without a profile (profile p1 cannot have the identity of customer 7064: Omneo did \
         not accept it and does not say why)"
    );
}

#[test]
fn guests_stay_anonymous_unless_an_existing_profile_may_be_found_by_email() {
    let guest = paid(&but(json!({"customer": null})));
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &[])]);
    let run = omneo.hear(&rules(json!({})), &guest);
    assert_eq!(run.outcome(), (Outcome::Done, "sale of 19.90 AUD sent without a profile (guest)"));
    assert_eq!((&run.bodies[0]["receipt_email"], run.bodies[0].get("profile_id")), (&json!("ada@example.org"), None));

    let by_email = rules(json!({"orders": {"guest": "email"}}));
    omneo.memory.clear();
    let run = omneo.hear(&by_email, &guest);
    assert_eq!(run.calls, ["POST omneo /profiles/availability", SALE]);
    assert_eq!(run.bodies[1]["profile_id"], "p1");
    let run = Omneo::default().hear(&by_email, &guest);
    assert_eq!(run.end.reason, "sale of 19.90 AUD sent without a profile (guest, and no profile has the e-mail)");
}

#[test]
fn a_guest_who_signs_up_later_claims_the_order() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &paid(&but(json!({"customer": null}))));
    let run = omneo.hear(&rules, &paid(&at(1, json!({}))));
    assert_eq!(run.end.reason, "sale of 19.90 AUD sent to profile p1");
    assert_eq!((omneo.transactions.len(), &omneo.transactions["4501"]["profile_id"]), (1, &json!("p1")));
}

#[test]
fn trouble_with_a_profile_never_holds_up_a_sale() {
    let rules = rules(json!({}));
    let mut omneo = Omneo { emails: [(7064, None)].into(), ..Omneo::default() };
    let run = omneo.hear(&rules, &paid(&but(json!({"customer": {"id": 7064, "email": null}}))));
    assert_eq!(
        run.outcome(),
        (
            Outcome::Done,
            "sale of 19.90 AUD sent without a profile (the customer has no e-mail, and Omneo requires one; it is tried \
             again when there is one)"
        )
    );
    omneo = Omneo { instead: vec![("search-id", 403, json!("no"))], ..Omneo::default() };
    let run = omneo.hear(&rules, &paid(&order()));
    assert_eq!(
        run.end.reason,
        "sale of 19.90 AUD sent without a profile (looking for the profile: answered 403 \"no\")"
    );
}

#[test]
fn a_remembered_profile_that_is_gone_is_looked_up_again() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    omneo.hear(&rules, &paid(&but(json!({"financial_status": "pending"}))));
    omneo.profiles.insert("ada@example.org".into(), ("p2".into(), vec!["7064".into()]));
    omneo.instead = vec![("update-create", 422, json!({"errors": {"profile_id": ["unknown"]}}))];
    let run = omneo.hear(&rules, &paid(&at(1, json!({}))));
    let search = ["POST omneo /profiles/search-id", "GRAPHQL shopify Person", "GET omneo /profiles/p2"];
    assert_eq!(run.calls, [&[SALE][..], &search, &[SALE, "PUT omneo /orders/500"]].concat());
    assert_eq!(omneo.transactions["4501"]["profile_id"], "p2");
}

/// The buyer's profile is deleted, perhaps erased. The order is sent without a profile and says why.
#[test]
fn an_order_brings_nobody_back_whose_profile_is_deleted() {
    let mut omneo = Omneo { link: Some("p9".into()), ..Omneo::default() };
    let run = omneo.hear(&rules(json!({})), &paid(&but(json!({}))));
    assert!(run.end.reason.contains("profile p9 is deleted in Omneo; it is not created again"), "{}", run.end.reason);
    assert_eq!((run.end.outcome, omneo.profiles.len(), omneo.transactions.len()), (Outcome::Done, 0, 1));
    let mut omneo = Omneo { link: Some("p9".into()), ..Omneo::default() };
    omneo.hear(&rules(json!({"people": {"recreate_deleted": true}})), &paid(&but(json!({}))));
    assert_eq!(omneo.profiles.len(), 1);
}

#[test]
fn what_was_sent_is_remembered_though_the_event_failed() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &paid(&but(json!({"financial_status": "pending"}))));
    omneo.instead = vec![("PUT omneo /orders/500", 403, json!("no"))];
    let event = paid(&at(1, json!({})));
    let run = omneo.hear(&rules, &event);
    assert_eq!(run.outcome(), (Outcome::Refused, "setting the status of the order: answered 403 \"no\""));
    let run = omneo.hear(&rules, &event);
    assert_eq!(
        (run.calls, run.end.reason.as_str()),
        (vec!["PUT omneo /orders/500".to_owned()], "Omneo order fulfilled")
    );
}

#[test]
fn an_order_whose_fate_is_unknown_is_looked_for_when_it_is_cancelled() {
    let rules = rules(json!({}));
    let event = paid(&but(json!({"financial_status": "pending", "customer": null})));
    let found = |body: &str| Reply::Answer(tandem_sdk::Answer { status: 200, headers: vec![], body: body.into() });
    let lost = || Reply::Unknown("the answer was lost".into());
    // After a lost answer, the order is looked for before it is created again; if it is found, it is not created twice.
    let there =
        vec![vec![found(r#"{"data":[]}"#)], vec![lost()], vec![found(r#"{"data":[{"id":500,"external_id":"4501"}]}"#)]];
    let tandem_sdk::Next::Send(send) = step(&rules, &event, &[], there) else { panic!("it should go on") };
    assert_eq!(send.calls[0].line(), "PUT omneo /orders/500");
    let none = || vec![found(r#"{"data":[]}"#)];
    let replies = vec![none(), vec![lost()], none(), vec![lost()], none(), vec![lost()]];
    let tandem_sdk::Next::End(end) = step(&rules, &event, &[], replies) else { panic!("it should end") };
    assert_eq!(end.outcome, Outcome::Refused);
    let mut omneo = Omneo { memory: end.memory.into_iter().collect(), ..Omneo::default() };
    omneo.orders.push(json!({"id": 500, "external_id": 4501}));
    let run = omneo.hear(&rules, &paid(&at(1, json!({"cancelled_at": "2026-03-01T11:00:00+11:00"}))));
    assert_eq!(run.end.reason, "the order was cancelled: Omneo order cancelled");
}

#[test]
fn without_its_memory_nothing_is_made_twice() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let pending = paid(&but(json!({"financial_status": "pending"})));
    for memory in [vec![], vec!["not JSON".to_owned()], vec![r#"{"order":7,"sale":"x","clock":[]}"#.to_owned()]] {
        omneo.memory = memory;
        omneo.hear(&rules, &pending);
        assert_eq!((omneo.orders.len(), omneo.profiles.len()), (1, 1));
    }
    omneo.memory = vec!["not JSON".into()];
    let run = omneo.hear(&rules, &paid(&at(1, json!({}))));
    assert_eq!(run.end.outcome, Outcome::Done);
    assert_eq!((omneo.transactions.len(), &omneo.orders[0]["status"]), (1, &json!("fulfilled")));
    omneo.memory = vec!["not JSON".into()];
    let run = omneo.hear(&rules, &paid(&at(2, json!({"cancelled_at": "2026-03-01T11:00:00+11:00"}))));
    assert_eq!(run.end.outcome, Outcome::Refused);
}

#[test]
fn a_difference_is_refused_and_what_was_sent_stays() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &paid(&but(json!({"total_price": "19.89"}))));
    assert_eq!(
        run.outcome(),
        (
            Outcome::Refused,
            "the lines sum to 19.90 but the total is 19.89: 0.01 unexplained (the header has nothing else); \
             Shopify does not show the order"
        )
    );
    assert_eq!(run.end.memory, None);
}

#[test]
fn without_a_time_zone_the_setting_is_named() {
    let run = run(&tandem_rules::DefaultRules::default(), &paid(&order()), &[], |call| panic!("{}", call.line()));
    assert_eq!(
        run.outcome(),
        (Outcome::Refused, "`timezone` is not set: Omneo wants the shop's time zone with every order")
    );
}

#[test]
fn gift_cards_and_charges_stay_or_leave_consistently() {
    let mut body = but(json!({
        "total_price": "85.00", "total_tip_received": "5.00", "source_name": "pos", "location_id": 33,
        "shipping_lines": [{"id": 5, "title": "Post", "price": "10.10"}],
    }));
    let card = json!({"id": 82, "name": "Gift card", "price": "50.00", "quantity": 1, "gift_card": true, "sku": null});
    body["line_items"].as_array_mut().unwrap().push(card);
    let sale = |orders: Value| {
        let run = Omneo::default().hear(&rules(json!({"orders": orders})), &paid(&body));
        assert_eq!(run.end.outcome, Outcome::Done, "{}", run.end.reason);
        run.bodies.last().unwrap().clone()
    };
    let shown = |sale: &Value| {
        let items = sale["items"].as_array().unwrap().iter();
        let items: Vec<_> = items.map(|item| format!("{} {}", item["external_id"], item["price_sell"])).collect();
        (sale["total"].to_string(), sale["total_original"].to_string(), items.join(", ").replace('"', ""))
    };
    let all = sale(json!({}));
    let expected = "81 19.90, 82 50.00, shipping:5 10.10, 4501:tip 5.00";
    assert_eq!(shown(&all), ("85.00".into(), "69.90".into(), expected.into()));
    assert_eq!(all["items"][2]["department"], "shipping");
    assert_eq!((&all["systems"], &all["location_id"]), (&json!(["pos"]), &json!("33")));
    let few = sale(json!({"charges": "meta", "gift_cards": "exclude"}));
    assert_eq!(shown(&few), ("35.00".into(), "19.90".into(), "81 19.90".into()));
    assert_eq!(
        few["meta"],
        parse(
            r#"{"charges": [{"kind": "shipping", "name": "Post", "amount": 10.10},
                            {"kind": "tip", "name": "tip", "amount": 5.00}],
                "left_out": [{"kind": "gift_card", "name": "Gift card", "amount": 50.00}]}"#
        )
    );
}

#[test]
fn orders_name_themselves_and_wait_for_their_customer() {
    let entity = rules(json!({})).key(&paid(&order())).unwrap();
    assert_eq!((entity.names, entity.after), (vec!["shopify/order/4501".into()], vec!["shopify/customer/7064".into()]));
}

fn gone() -> Event {
    shopify("orders/delete", &json!({"id": 4501}))
}

#[test]
fn deleted_makes_the_sale_void_and_nothing_brings_it_back() {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let rules = rules(json!({}));
    omneo.hear(&rules, &paid(&order()));
    let run = omneo.hear(&rules, &gone());
    assert_eq!(run.outcome(), (Outcome::Done, "the order was deleted: sale of 19.90 made void"));
    assert_eq!(run.bodies, [json!({"external_id": "4501", "is_void": true})]);
    let late = omneo.hear(&rules, &paid(&at(59, json!({"total_price": "19.90"}))));
    assert_eq!((late.calls.len(), late.end.reason.as_str()), (0, "the order was deleted in Shopify"));
    let again = omneo.hear(&rules, &gone());
    assert_eq!((again.calls.len(), again.end.reason.as_str()), (0, "deleted before"));
    assert_eq!(omneo.transactions["4501"]["is_void"], json!(true));
}

#[test]
fn deleted_takes_the_open_order_out_of_omneo() {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let rules = rules(json!({}));
    omneo.hear(&rules, &paid(&but(json!({"financial_status": "pending"}))));
    assert_eq!(omneo.orders.len(), 1);
    let run = omneo.hear(&rules, &gone());
    assert_eq!(run.outcome(), (Outcome::Done, "the order was deleted: Omneo order deleted"));
    assert!(omneo.orders.is_empty());
    // An order that somebody has already deleted in Omneo counts as deleted.
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    omneo.hear(&rules, &paid(&but(json!({"financial_status": "pending"}))));
    omneo.orders.clear();
    assert_eq!(omneo.hear(&rules, &gone()).end.outcome, Outcome::Done);
}

#[test]
fn deleted_and_never_sent_looks_once_and_is_kept_in_mind() {
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules(json!({})), &gone());
    assert_eq!((run.calls.len(), run.end.reason.as_str()), (1, "deleted, and nothing of it stands in Omneo"));
    let late = omneo.hear(&rules(json!({})), &paid(&order()));
    assert_eq!((late.calls.len(), late.end.outcome), (0, Outcome::Skipped));
    let mut omneo = Omneo { memory: vec!["not JSON".into()], ..Omneo::default() };
    assert_eq!(omneo.hear(&rules(json!({})), &gone()).end.outcome, Outcome::Refused);
}

#[test]
fn a_deletion_that_is_not_answered_is_not_taken_for_done() {
    let mut omneo = Omneo::with(&[("ada@example.org", "p1", &["7064"])]);
    let rules = rules(json!({}));
    omneo.hear(&rules, &paid(&order()));
    omneo.instead.push(("update-create", 403, json!({"message": "no"})));
    assert_eq!(omneo.hear(&rules, &gone()).end.outcome, Outcome::Refused);
    assert_eq!(omneo.hear(&rules, &gone()).end.outcome, Outcome::Done);
}

#[test]
fn a_threshold_that_a_late_body_shows_is_reached() {
    let rules = rules(json!({"orders": {"transaction_status": "fulfilled"}}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &paid(&at(9, json!({}))));
    let late = omneo.hear(&rules, &paid(&at(5, json!({"fulfillment_status": "fulfilled"}))));
    assert_eq!((late.calls.len(), late.end.reason.as_str()), (0, "older than what is known of the order"));
    let run = omneo.hear(&rules, &paid(&at(10, json!({}))));
    assert_eq!((run.end.outcome, omneo.transactions.len()), (Outcome::Done, 1));
}

#[test]
fn what_a_tenant_maps_of_an_order_goes_along_and_what_is_wrong_is_left_out_aloud() {
    let fields = json!({
        "gift": {"omneo": "transaction.meta.gift_message", "shopify": "order.note_attributes.Gift message"},
        "pickup": {"omneo": "transaction.meta.pickup", "shopify": "order.note_attributes.pickup", "format": "date"},
        "source": {"omneo": "transaction.meta.source", "shopify": "order.source_name"},
        "pieces": {"omneo": "transaction.meta.pieces", "expression": "sum(line_items[].quantity)", "format": "integer"},
        "absent": {"omneo": "transaction.meta.absent", "shopify": "order.po_number"},
    });
    let notes = json!([{"name": "Gift message", "value": "for Ada"}, {"name": "pickup", "value": "next Tuesday"}]);
    let mut omneo = known();
    let run = omneo.hear(&rules(json!({ "fields": fields })), &paid(&but(json!({ "note_attributes": notes }))));
    assert_eq!(run.bodies[0]["meta"], json!({"gift_message": "for Ada", "source": "web", "pieces": 1}));
    assert!(run.end.reason.ends_with("pickup is left out: it is not a date"), "{}", run.end.reason);
}
