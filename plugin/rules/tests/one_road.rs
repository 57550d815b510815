//! Buyers and customers who sign up are looked for and created in one and the same way.

use crate::conversation::{Omneo, Run, rules, shopify};
use tandem_sdk::{Event, Outcome, Value, json};

const SALE: &str = "POST omneo /transactions/update-create";
const ANN: &str = "7100";
const BOB: u64 = 7101;

/// An order of Bob's with this e-mail.
fn order(second: u32, email: &str) -> Event {
    let body = json!({
        "id": 5026, "name": "#5026", "order_number": 5026, "test": false, "currency": "AUD", "taxes_included": false,
        "financial_status": "paid", "fulfillment_status": null, "cancelled_at": null,
        "created_at": "2026-03-04T10:00:00Z", "updated_at": format!("2026-03-04T10:00:{second:02}Z"),
        "total_price": "80.00", "total_discounts": "0.00", "total_tax": "0.00", "source_name": "web", "email": email,
        "customer": {"id": BOB, "email": email, "first_name": "Neo", "last_name": "Second"},
        "line_items": [{"id": 311, "name": "Item", "price": "80.00", "quantity": 1, "sku": "SKU", "variant_id": 1311,
            "discount_allocations": [], "tax_lines": []}],
        "shipping_lines": [], "refunds": []
    });
    shopify("orders/paid", &body)
}

/// An Omneo in which Ann's profile has the e-mail that is Bob's in Shopify now.
fn given_up() -> Omneo {
    let mut omneo = Omneo::with(&[("family@posteo.example", "p1", &[ANN])]);
    omneo.emails.insert(BOB, Some("family@posteo.example"));
    omneo
}

fn hear(omneo: &mut Omneo, event: &Event) -> Run {
    omneo.hear(&rules(json!({})), event)
}

fn profile_of(omneo: &Omneo) -> Option<&Value> {
    omneo.transactions["5026"].get("profile_id")
}

#[test]
fn an_order_with_the_e_mail_of_another_living_customer_goes_without_a_profile() {
    let mut omneo = given_up();
    let run = hear(&mut omneo, &order(0, "family@posteo.example"));
    assert_eq!(
        run.outcome(),
        (
            Outcome::Done,
            "sale of 80.00 AUD sent without a profile (the customer's e-mail belongs to profile p1, which is customer 7100's)"
        )
    );
    assert!(!run.calls.iter().any(|call| call.contains("/identities")), "{:?}", run.calls);
    assert_eq!((profile_of(&omneo), &omneo.profiles["family@posteo.example"].1), (None, &vec![ANN.to_owned()]));
}

#[test]
fn a_customer_who_is_deleted_holds_no_address() {
    let mut omneo = given_up();
    omneo.deleted.push(7100);
    let run = hear(&mut omneo, &order(0, "family@posteo.example"));
    assert_eq!(run.end.reason, "sale of 80.00 AUD sent to profile p1");
    assert_eq!(omneo.profiles["family@posteo.example"].1, [ANN, "7101"]);
}

#[test]
fn once_the_address_is_free_the_next_event_of_the_order_claims_the_sale() {
    for is_told_again in [false, true] {
        let mut omneo = given_up();
        hear(&mut omneo, &order(0, "family@posteo.example"));
        let given_up = omneo.profiles.remove("family@posteo.example").unwrap();
        omneo.profiles.insert("ann@posteo.example".into(), given_up);
        // A repetition of the same body serves as well as a new body.
        let run = hear(&mut omneo, &order(u32::from(!is_told_again), "family@posteo.example"));
        assert_eq!(run.end.reason, "sale of 80.00 AUD sent to profile p2", "{:?}", run.calls);
        assert_eq!(omneo.profiles["family@posteo.example"].1, ["7101"]);
        let again = hear(&mut omneo, &order(2, "family@posteo.example"));
        assert_eq!((again.end.outcome, again.calls.len()), (Outcome::Skipped, 0), "{:?}", again.calls);
    }
}

#[test]
fn a_purchase_compares_an_e_mail_as_a_sign_up_does() {
    let mut omneo = Omneo::with(&[("bob@posteo.example", "p7", &[])]);
    omneo.emails.insert(BOB, Some("Bob@ Posteo.Example"));
    let run = hear(&mut omneo, &order(0, "Bob@ Posteo.Example"));
    let asked = run.calls.iter().position(|call| call == "POST omneo /profiles/availability").unwrap();
    assert_eq!(run.bodies[asked], json!({"email": "bob@posteo.example"}));
    assert_eq!(profile_of(&omneo), Some(&json!("p7")));

    // The same for a guest's order.
    let guest = |settings| {
        let mut omneo = Omneo::with(&[("bob@posteo.example", "p7", &[])]);
        let mut body: Value = serde_json::from_str(&order(0, "Bob@Posteo.Example").payload).unwrap();
        body["customer"] = Value::Null;
        omneo.hear(&rules(settings), &shopify("orders/paid", &body)).end.reason
    };
    assert_eq!(guest(json!({"orders": {"guest": "email"}})), "sale of 80.00 AUD sent to profile p7");
    assert_eq!(guest(json!({})), "sale of 80.00 AUD sent without a profile (guest)");
}

#[test]
fn what_is_wrong_with_a_buyer_is_held_as_at_a_sign_up() {
    let mut omneo = Omneo::default();
    omneo.emails.insert(BOB, Some("bob@posteo.example"));
    omneo.instead = vec![("search-id", 404, json!({})), ("availability", 200, json!({"data": {}}))];
    omneo.instead.push((
        "POST omneo /profiles",
        422,
        json!({"errors": {"first_name": ["The first name is too long."]}}),
    ));
    let run = hear(&mut omneo, &order(0, "bob@posteo.example"));
    assert_eq!(run.calls.iter().filter(|call| *call == "POST omneo /profiles").count(), 2, "{:?}", run.calls);
    assert_eq!((profile_of(&omneo).is_some(), run.end.outcome), (true, Outcome::Done));

    let instead = vec![("search-id", 404, json!({})), ("availability", 200, json!({"data": {}}))];
    let mut omneo = Omneo { instead, ..Omneo::default() };
    omneo.instead.push((
        "POST omneo /profiles",
        422,
        json!({"errors": {"email": ["The email must be a valid email address."]}}),
    ));
    let run = hear(&mut omneo, &order(0, "ada@example.org"));
    assert_eq!(
        run.end.reason,
        "sale of 80.00 AUD sent without a profile (creating the profile: Omneo says of `email`: `The email must be a \
         valid email address.`)"
    );
}

#[test]
fn a_buyer_whom_shopify_has_no_more_gets_no_profile() {
    let mut omneo = Omneo { deleted: vec![BOB], ..Omneo::default() };
    let run = hear(&mut omneo, &order(0, "bob@posteo.example"));
    assert_eq!((run.calls.last().map(String::as_str), omneo.profiles.len()), (Some(SALE), 0));
    assert!(run.end.reason.contains("customer 7101 is deleted in Shopify"), "{}", run.end.reason);
}

#[test]
fn without_protected_data_only_an_identity_finds_a_buyer() {
    let mut body: Value = serde_json::from_str(&order(0, "").payload).unwrap();
    body["customer"] = json!({"id": BOB});
    let mut omneo = Omneo::with(&[("family@posteo.example", "p1", &[])]);
    let run = hear(&mut omneo, &shopify("orders/paid", &body));
    assert_eq!(run.calls, ["POST omneo /profiles/search-id", SALE]);
    assert!(run.end.reason.contains("Shopify keeps protected customer data"), "{}", run.end.reason);
}

#[test]
fn an_order_makes_nobody_anew_whose_profile_was_found_to_be_gone() {
    let mut omneo = Omneo::with(&[("bob@posteo.example", "p7", &["7101"])]);
    omneo.emails.insert(BOB, Some("bob@posteo.example"));
    hear(&mut omneo, &order(0, "bob@posteo.example"));
    assert_eq!(profile_of(&omneo), Some(&json!("p7")));
    // The profile is deleted in Omneo. Nothing was ever written to the shop, so the shop does not know of the deletion.
    omneo.profiles.clear();
    omneo.instead =
        vec![("update-create", 422, json!({"errors": {"profile_id": ["The selected profile id is invalid."]}}))];
    let mut refunded: Value = serde_json::from_str(&order(1, "bob@posteo.example").payload).unwrap();
    refunded["financial_status"] = json!("partially_refunded");
    refunded["refunds"] = json!([{"id": 9, "created_at": "2026-03-05T10:00:00Z", "order_adjustments": [],
        "refund_line_items": [{"id": 91, "line_item_id": 311, "quantity": 1, "subtotal": 80.0, "total_tax": 0.0}],
        "transactions": [{"kind": "refund", "status": "success", "amount": "80.00"}]}]);
    let run = hear(&mut omneo, &shopify("orders/updated", &refunded));
    assert_eq!(run.outcome(), (Outcome::Done, "return of 80.00 AUD sent"));
    // Later events find no profile, and nothing is sent again.
    for second in 2..4 {
        refunded["updated_at"] = json!(format!("2026-03-04T10:00:{second:02}Z"));
        let run = hear(&mut omneo, &shopify("orders/updated", &refunded));
        assert!(!run.calls.iter().any(|call| call == SALE || call == "POST omneo /profiles"), "{:?}", run.calls);
        assert!(omneo.profiles.is_empty());
    }
    // A profile that exists again is found.
    omneo.profiles.insert("bob@posteo.example".into(), ("p8".into(), vec!["7101".into()]));
    refunded["updated_at"] = json!("2026-03-04T10:00:09Z");
    hear(&mut omneo, &shopify("orders/updated", &refunded));
    assert_eq!(profile_of(&omneo), Some(&json!("p8")));
}
