//! Deletions of people, as conversations: what is removed on the other side, and that no late event brings anybody
//! back.

use crate::conversation::{Run, rules, run, shopify};
use tandem_sdk::{Call, Event, Outcome, Value, event, json};

const PROFILE: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";

/// The memory of customer 7, who is linked.
fn linked() -> Vec<String> {
    vec![json!({"link": {"customer": 7, "profile": PROFILE}}).to_string()]
}

fn gone() -> Event {
    shopify("customers/delete", &json!({"id": 7, "email": null, "addresses": [], "tax_exemptions": []}))
}

/// An Omneo whose profile has the identities of these customers under the handle.
fn omneo(customers: &'static [u64]) -> impl FnMut(&Call) -> (u16, Value) {
    move |call| {
        let line = call.line();
        let row = |(n, customer): (usize, &u64)| json!({"id": n + 31, "handle": "shopify", "identifier": customer.to_string()});
        let listed: Vec<_> = customers
            .iter()
            .enumerate()
            .map(row)
            .chain([json!({"id": 9, "handle": "pos", "identifier": "7"})])
            .collect();
        match line.as_str() {
            "POST omneo /profiles/search-id" if customers.contains(&7) => (200, json!({"data": {"id": PROFILE}})),
            "POST omneo /profiles/search-id" => (404, json!({})),
            _ if line.ends_with("/identities") => (200, json!({"data": listed})),
            _ if line.starts_with("DELETE") => (204, Value::Null),
            _ => panic!("not expected: {line}"),
        }
    }
}

/// A profile without identities that somebody has edited, and the event about it.
fn edited() -> (Value, Event) {
    let profile = json!({
        "id": PROFILE, "first_name": "Ada", "last_name": "Byron", "email": "ada@example.org", "mobile_phone": null,
        "identities": [], "tags": [], "attributes": {"comms": {}},
        "created_at": "2026-03-01 00:00:00", "updated_at": "2026-03-02 00:00:00"
    });
    let edited =
        Event { source: "omneo".into(), topic: "profile.updated".into(), payload: profile.to_string(), ..event() };
    (profile, edited)
}

fn delete_with(setting: &str, memory: &[String], customers: &'static [u64]) -> Run {
    run(&rules(json!({"people": {"on_customer_delete": setting}})), &gone(), memory, omneo(customers))
}

#[test]
fn by_default_the_profile_loses_the_identity_and_stays() {
    let run = run(&rules(json!({})), &gone(), &linked(), omneo(&[7]));
    assert_eq!(
        run.calls,
        [
            format!("GET omneo /profiles/{PROFILE}/identities"),
            format!("DELETE omneo /profiles/{PROFILE}/identities/id/31")
        ]
    );
    assert_eq!(
        run.outcome(),
        (
            Outcome::Done,
            format!(
                "customer 7 is deleted in Shopify; to Omneo: the identity of customer 7 taken from profile {PROFILE}"
            )
            .as_str()
        )
    );
}

#[test]
fn a_late_body_of_a_deleted_customer_asks_nobody() {
    let memory = delete_with("unlink", &linked(), &[7]).memory();
    let late = shopify("customers/update", &json!({"id": 7, "email": "ada@example.org", "first_name": "Ada"}));
    let run = run(&rules(json!({})), &late, &memory, |call| panic!("{}", call.line()));
    assert_eq!(run.outcome(), (Outcome::Skipped, "customer 7 is deleted in Shopify"));
}

#[test]
fn the_profile_is_deleted_only_when_told_and_only_when_nobody_else_is_it() {
    let run = delete_with("delete", &linked(), &[7]);
    assert_eq!(run.calls[1], format!("DELETE omneo /profiles/{PROFILE}"));
    assert_eq!(run.end.outcome, Outcome::Done);
    let run = delete_with("delete", &linked(), &[7, 8]);
    assert_eq!(run.calls[1], format!("DELETE omneo /profiles/{PROFILE}/identities/id/31"));
    assert!(run.end.reason.ends_with("which stays customer 8's"), "{}", run.end.reason);
}

#[test]
fn ignored_it_is_only_kept_in_mind() {
    let run = delete_with("ignore", &linked(), &[7]);
    assert_eq!((run.calls.len(), run.end.outcome), (0, Outcome::Skipped));
    assert!(run.memory()[0].contains(r#""gone":{"customer":7}"#), "{:?}", run.memory());
}

#[test]
fn lost_memory_costs_a_search_and_the_second_time_writes_nothing() {
    let run = delete_with("unlink", &[], &[7]);
    assert_eq!(run.calls.len(), 3);
    assert_eq!(run.end.outcome, Outcome::Done);
    let again = delete_with("unlink", &run.memory(), &[]);
    assert_eq!((again.calls.len(), again.end.outcome), (1, Outcome::Skipped));
    let again = delete_with("unlink", &linked(), &[]);
    assert_eq!((again.calls.len(), again.end.outcome), (1, Outcome::Skipped));
}

#[test]
fn a_customer_deleted_before_it_was_linked_is_not_created_again() {
    let memory = delete_with("unlink", &[], &[7]).memory();
    let (profile, edited) = edited();
    let run = run(&rules(json!({})), &edited, &memory, |call| match call.line().as_str() {
        line if line == format!("GET omneo /profiles/{PROFILE}") => (200, json!({"data": profile})),
        other => panic!("nobody asks {other}"),
    });
    let reason = "customer 7 is deleted in Shopify; it is not created again (`people.recreate_deleted`)";
    assert_eq!(run.outcome(), (Outcome::Skipped, reason));
}

#[test]
fn an_identity_that_a_profile_cannot_have_because_it_was_deleted_is_no_dead_letter() {
    let (profile, edited) = edited();
    let customer = json!({
        "id": "gid://shopify/Customer/7", "state": "DISABLED", "firstName": "Ada", "lastName": "Byron", "tags": [],
        "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z", "link": null, "numberOfOrders": "0",
        "defaultEmailAddress": {"emailAddress": "ada@example.org", "marketingState": "NOT_SUBSCRIBED", "marketingUpdatedAt": null},
        "defaultPhoneNumber": null
    });
    let taken = json!({"message": "The given data was invalid.", "errors": {"identifier": ["The identifier has already been taken."]}});
    let is_deleted = std::cell::Cell::new(false);
    let run = run(&rules(json!({})), &edited, &[], |call| match call.line().as_str() {
        line if line == format!("GET omneo /profiles/{PROFILE}") && !is_deleted.get() => {
            (200, json!({"data": profile}))
        }
        line if line.starts_with("GET omneo") => (404, json!({})),
        "GRAPHQL shopify FindPerson" => {
            let by_mail = format!("{:?}", call.request).contains("emailAddress");
            (200, json!({"data": {"customerByIdentifier": if by_mail { customer.clone() } else { Value::Null }}}))
        }
        "POST omneo /profiles/search-id" => (404, json!({})),
        line if line.ends_with("/identities") => {
            is_deleted.set(true);
            (422, taken.clone())
        }
        other => panic!("nobody asks {other}"),
    });
    let reason = format!("profile {PROFILE} is deleted in Omneo; customer 7 was about to be linked to it");
    assert_eq!(run.outcome(), (Outcome::Skipped, reason.as_str()));
    assert!(!run.memory().concat().contains("gone"), "{:?}", run.memory());
}

#[test]
fn a_deleted_profile_keeps_its_own_customer_from_another_and_nobody_else() {
    let known = json!([{"id": 31, "handle": "shopify", "identifier": "7"}]);
    let table = [
        ("had no customer", json!([]), vec![], false),
        ("had another system's identity", json!([{"id": 9, "handle": "pos", "identifier": "7"}]), vec![], false),
        ("was created for the customer", known, vec![], true),
        ("was linked, and lost its identity", json!([]), linked(), true),
        ("was shown without its identities", Value::Null, vec![], true),
    ];
    for (case, identities, memory, is_kept_in_mind) in table {
        let (mut profile, mut deleted) = edited();
        profile["identities"] = identities;
        profile.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        (deleted.topic, deleted.payload) = ("profile.deleted".into(), profile.to_string());
        let run = run(&rules(json!({})), &deleted, &memory, |_| (404, json!({})));
        assert_eq!(run.end.outcome, Outcome::Skipped, "{case}");
        assert_eq!(run.memory().concat().contains("gone"), is_kept_in_mind, "{case}: {}", run.end.reason);
    }
}

#[test]
fn a_profile_that_is_gone_too_is_kept_in_mind() {
    let run = run(&rules(json!({})), &gone(), &linked(), |_| (404, json!({})));
    assert_eq!(
        run.outcome(),
        (Outcome::Skipped, format!("customer 7 and profile {PROFILE} are both deleted").as_str())
    );
    assert!(run.memory()[0].contains(&format!(r#""profile":"{PROFILE}"}}}}"#)), "{:?}", run.memory());
}

#[test]
fn a_refusal_of_omneo_is_not_taken_for_success() {
    let mut inner = omneo(&[7]);
    let run = run(&rules(json!({})), &gone(), &linked(), |call| match call.line().starts_with("DELETE") {
        true => (403, json!({"message": "no"})),
        false => inner(call),
    });
    assert_eq!(run.end.outcome, Outcome::Refused);
}

#[test]
fn a_disabled_customer_without_a_profile_gets_none() {
    let body = json!({"id": 7, "email": "ada@example.org", "first_name": "Ada", "state": "disabled"});
    let run = run(&rules(json!({})), &shopify("customers/disable", &body), &[], |call| panic!("{}", call.line()));
    assert_eq!(
        run.outcome(),
        (Outcome::Skipped, "the customer is not linked to a profile, and a disabled one gets none")
    );
}

#[test]
fn a_deleted_profile_leaves_the_customer_and_is_not_created_again() {
    let deleted = Event {
        source: "omneo".into(),
        topic: "profile.deleted".into(),
        payload: json!({"id": PROFILE}).to_string(),
        ..event()
    };
    let run_deleted = run(&rules(json!({})), &deleted, &linked(), |call| {
        assert_eq!(call.line(), format!("GET omneo /profiles/{PROFILE}"));
        (404, json!({}))
    });
    assert_eq!((run_deleted.calls.len(), run_deleted.end.outcome), (1, Outcome::Skipped));
    let late = shopify("customers/update", &json!({"id": 7, "email": "ada@example.org", "first_name": "Augusta"}));
    let run = run(&rules(json!({})), &late, &run_deleted.memory(), |call| panic!("{}", call.line()));
    assert!(run.end.reason.contains("is deleted in Omneo; it is not created again"), "{}", run.end.reason);
}

#[test]
fn a_profile_that_is_deleted_before_its_consent_is_written_is_kept_in_mind() {
    let body = json!({"id": PROFILE, "profile_type": "active", "email": "ada@example.org"});
    for is_there in [false, true] {
        let event = shopify(
            "customers_marketing_consent/update",
            &json!({"id": 7, "sms_marketing_consent": {"state": "subscribed", "consent_updated_at": "2026-03-02T10:00:00Z"}}),
        );
        let mut is_deleted = false;
        let run = run(&rules(json!({})), &event, &linked(), |call| match &*call.line() {
            "GRAPHQL shopify Person" => (
                200,
                json!({"data": {"customer": {"id": "gid://shopify/Customer/7", "state": "DISABLED", "firstName": "Ada",
                    "lastName": null, "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z", "tags": [],
                    "defaultEmailAddress": {"emailAddress": "ada@example.org"}, "defaultPhoneNumber": {
                        "phoneNumber": "+61400000001", "marketingState": "SUBSCRIBED",
                        "marketingUpdatedAt": "2026-03-02T10:00:00Z"}, "link": null}}}),
            ),
            line if line.ends_with("/attributes/comms") => {
                if line.starts_with("GET") && !is_deleted {
                    return (200, json!({"data": {"email_promo": null, "sms_promo": null}}));
                }
                is_deleted = true;
                (404, json!({"message": "No query results for model [Profile]."}))
            }
            line if line.starts_with("GET omneo /profiles/") && is_deleted && !is_there => (404, json!({})),
            line if line.starts_with("GET omneo /profiles/") => (200, json!({ "data": body })),
            line => panic!("{line}"),
        });
        assert!(is_deleted, "{:?}", run.calls);
        let (outcome, why) = if is_there {
            (Outcome::Refused, "does not find its communication attributes")
        } else {
            (Outcome::Skipped, "is deleted in Omneo; it is not created again")
        };
        assert_eq!(run.end.outcome, outcome, "{}", run.end.reason);
        assert!(run.end.reason.contains(why), "{}", run.end.reason);
    }
}

fn missing(name: &str) -> Event {
    let payload = json!({"name": name, "names": [name, format!("omneo/profile/{PROFILE}")], "pull": "customers"});
    let source = name.split('/').next().unwrap().to_owned();
    Event { source, topic: "missing/people".into(), payload: payload.to_string(), ..event() }
}

/// A list that does not show somebody may be wrong. Only Shopify itself can say that the customer is gone.
#[test]
fn who_is_missing_in_a_list_is_deleted_once_shopify_says_so() {
    for (answer, calls, outcome) in [
        (json!({"data": {"node": null}}), 3, Outcome::Done),
        (json!({"data": {"node": {"id": "gid://shopify/Customer/7"}}}), 1, Outcome::Skipped),
        (json!({"data": {}}), 3, Outcome::Refused),
        (json!({"data": {"node": null}, "errors": [{"message": "Access denied"}]}), 1, Outcome::Refused),
    ] {
        let mut others = omneo(&[7]);
        let run = run(&rules(json!({})), &missing("shopify/customer/7"), &linked(), |call| {
            if call.line() == "GRAPHQL shopify StillThere" { (200, answer.clone()) } else { others(call) }
        });
        assert_eq!(
            (run.calls.len(), run.end.outcome),
            (calls, outcome),
            "{answer}: {:?} {}",
            run.calls,
            run.end.reason
        );
    }
}

#[test]
fn a_missing_profile_is_read_before_it_counts_as_deleted() {
    let name = format!("omneo/profile/{PROFILE}");
    let run = run(&rules(json!({})), &missing(&name), &linked(), |call| match call.line() {
        line if line == format!("GET omneo /profiles/{PROFILE}") => (404, json!({})),
        line => panic!("not expected: {line}"),
    });
    assert_eq!(run.end.outcome, Outcome::Skipped);
    assert!(run.end.reason.contains(&format!("profile {PROFILE} is deleted in Omneo")), "{}", run.end.reason);
}

#[test]
fn whatever_is_missing_is_about_the_entity_with_that_name() {
    for name in ["shopify/customer/7", "shopify/product/8", "shopify/location/9", &format!("omneo/profile/{PROFILE}")] {
        let rules = rules(json!({}));
        assert_eq!(tandem_sdk::Rules::key(&rules, &missing(name)).unwrap().names, [name]);
        // Where Shopify still has it, nothing else is asked.
        if name.starts_with("shopify/") {
            let there = |call: &Call| (200, json!({"data": {"node": {"id": call.line()}}}));
            let run = run(&rules, &missing(name), &[], there);
            assert_eq!((run.calls.len(), run.end.outcome), (1, Outcome::Skipped), "{name}");
        }
    }
}

#[test]
fn a_missing_name_that_says_nothing_is_invalid() {
    for name in [
        "",
        "shopify/customer/",
        "shopify/customer/x",
        "shopify/customer/-7",
        "shopify/order/7",
        "omneo/profile/x",
        "omneo/customer/7",
    ] {
        let rules = rules(json!({}));
        assert!(tandem_sdk::Rules::key(&rules, &missing(name)).is_err(), "{name}");
    }
}
