//! A 2xx that does not hold what was asked for is not an answer: no call about a person accepts it as one.

use crate::conversation::{rules, run, shopify};
use tandem_sdk::{Call, Outcome, Value, json};

/// Bodies that targets in trouble, and proxies before them, send with a 200.
fn no_answers() -> [Value; 4] {
    [json!("We will be back soon"), json!({"status": "maintenance"}), json!({}), json!({"data": null})]
}

/// The usual answers of both sides about a customer who signs up.
fn well(call: &Call) -> (u16, Value) {
    match call.line().as_str() {
        "GRAPHQL shopify Person" => {
            let email = json!({"emailAddress": "ada@example.org", "marketingState": "SUBSCRIBED", "marketingUpdatedAt": "2026-03-01T00:00:00Z"});
            let node = json!({
                "id": "gid://shopify/Customer/7", "state": "DISABLED", "firstName": "Ada", "lastName": null, "tags": [],
                "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z", "link": null,
                "defaultEmailAddress": email, "defaultPhoneNumber": null
            });
            (200, json!({"data": {"customer": node}}))
        }
        "POST omneo /profiles/search-id" => (404, json!({})),
        "POST omneo /profiles/availability" => (200, json!({"data": {"email": {"available": true, "profile": null}}})),
        "POST omneo /profiles" => {
            let profile = json!({
                "id": "2b1c", "first_name": "Ada", "last_name": "Unknown", "email": "ada@example.org", "mobile_phone": null,
                "identities": [{"handle": "shopify", "identifier": "7"}], "tags": [], "attributes": {"comms": {}},
                "created_at": "2026-03-01 00:00:00", "updated_at": "2026-03-01 00:00:00"
            });
            (201, json!({"data": profile}))
        }
        "PUT omneo /profiles/2b1c/attributes/comms" => (
            200,
            json!({"data": {"email_promo": true, "email_promo_raw": 1, "email_consent_updated_at": "2026-03-01 00:00:00"}}),
        ),
        // Asked only when the answer to the write did not show the attributes.
        "GET omneo /profiles/2b1c/attributes/comms" => (200, json!({"data": {"email_promo": null}})),
        "GRAPHQL shopify Loyalty" => (200, json!({"data": {"metafieldsSet": {"metafields": [], "userErrors": []}}})),
        other => panic!("nobody asks {other}"),
    }
}

#[test]
fn a_sign_up_is_done_only_if_every_call_was_answered() {
    let rules = rules(json!({"fields": {"tier": false, "tier_name": false, "points": false, "reward_balance": false}}));
    let body = json!({"id": 7, "email": "ada@example.org", "first_name": "Ada", "updated_at": "2026-03-01T00:00:00Z"});
    let event = shopify("customers/create", &body);
    let good = run(&rules, &event, &[], well);
    assert_eq!(good.end.outcome, Outcome::Done, "{}", good.end.reason);
    for line in good.calls.iter().filter(|line| !line.ends_with("search-id")) {
        for no_answer in no_answers() {
            let ill = run(&rules, &event, &[], |call| match call.line() == *line {
                true => (200, no_answer.clone()),
                false => well(call),
            });
            // A write is checked by a read where its answer does not show the result.
            let is_told = ill.end.reason.contains("Omneo left it as it was");
            assert!(ill.end.outcome == Outcome::Refused || is_told, "{line} {no_answer}: {}", ill.end.reason);
        }
    }
}
