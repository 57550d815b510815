//! Profiles that are deleted or erased, as conversations: what is removed from the customer, and what is purged.

use crate::conversation;

use crate::conversation::{Run, rules, run, shopify};
use tandem_sdk::{Call, Event, Outcome, Rules, Value, event, json};

const PROFILE: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";

fn linked() -> Vec<String> {
    vec![json!({"link": {"customer": 7, "profile": PROFILE}}).to_string()]
}

fn deleted() -> Event {
    Event {
        source: "omneo".into(),
        topic: "profile.deleted".into(),
        payload: json!({"id": PROFILE}).to_string(),
        ..event()
    }
}

fn customer(tags: &[&str], profile: Option<&str>) -> Value {
    json!({
        "id": "gid://shopify/Customer/7", "createdAt": "2026-03-01T09:00:00Z", "updatedAt": "2026-03-01T09:00:00Z",
        "state": "DISABLED", "firstName": "Ada", "lastName": null, "tags": tags, "defaultEmailAddress": null,
        "defaultPhoneNumber": null, "link": profile.map(|profile| json!({"value": profile})),
    })
}

/// Runs the deletion of the profile, with this customer in Shopify.
fn clean(setting: &str, memory: &[String], customer: &Value) -> Run {
    run(&rules(json!({"people": {"on_profile_delete": setting}})), &deleted(), memory, |call| {
        let none = json!({"userErrors": []});
        match call.line().as_str() {
            "GRAPHQL shopify Person" => (200, json!({"data": {"customer": customer}})),
            "GRAPHQL shopify FindPerson" => (200, json!({"data": {"customerByIdentifier": customer}})),
            "GRAPHQL shopify RemoveTags" => (200, json!({"data": {"tagsRemove": none}})),
            "GRAPHQL shopify ClearMetafields" => (200, json!({"data": {"metafieldsDelete": none}})),
            line if line == format!("GET omneo /profiles/{PROFILE}") => (404, json!({})),
            line => panic!("not expected: {line}"),
        }
    })
}

#[test]
fn a_deleted_profile_takes_its_tags_and_metafields_along_only_when_told() {
    let ada = customer(&["vip", "cx-gold", "CX-Silver"], Some(PROFILE));
    let run = clean("unlink", &linked(), &ada);
    assert_eq!((run.calls.len(), run.end.outcome), (1, Outcome::Skipped));
    for memory in [linked(), vec![]] {
        let run = clean("clean", &memory, &ada);
        assert_eq!(run.calls[2..], ["GRAPHQL shopify RemoveTags", "GRAPHQL shopify ClearMetafields"]);
        assert_eq!(run.bodies[2]["tags"], json!(["cx-gold", "CX-Silver"]));
        let keys: Vec<_> = run.bodies[3]["metafields"].as_array().unwrap().iter().map(|m| &m["key"]).collect();
        assert_eq!(keys, ["profile_id", "tier", "tier_name", "points", "reward_balance"]);
        let reason = format!(
            "to Shopify: customer 7 cleaned of tags and metafields; profile {PROFILE} is deleted in Omneo \
             (`people.on_profile_delete = \"clean\"`)"
        );
        assert_eq!(run.outcome(), (Outcome::Done, reason.as_str()));
        assert!(run.memory()[0].contains(&format!(r#""gone":{{"profile":"{PROFILE}"}}"#)), "{:?}", run.memory());
    }
}

#[test]
fn cleaned_twice_nothing_is_left_to_write() {
    let run = clean("clean", &linked(), &customer(&["vip"], None));
    assert_eq!((run.calls.len(), run.end.outcome), (2, Outcome::Skipped), "{}", run.end.reason);
}

#[test]
fn a_customer_that_has_gone_over_to_another_profile_is_left_alone() {
    let other = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a12";
    let run = clean("clean", &linked(), &customer(&["cx-gold"], Some(other)));
    assert_eq!((run.calls.len(), run.end.outcome), (2, Outcome::Skipped));
    let run = clean("clean", &linked(), &Value::Null);
    assert_eq!((run.calls.len(), run.end.outcome), (2, Outcome::Skipped));
}

/// Runs a redaction, with an Omneo whose profile has the e-mail and the identities of these customers.
fn redact(body: Value, memory: &[String], customers: &'static [u64], is_living: bool) -> Run {
    let rules = rules(json!({"people": {"on_redact": "purge"}}));
    run(&rules, &shopify("customers/redact", &body), memory, |call: &Call| match call.line().as_str() {
        "POST omneo /profiles/search-id" => match customers.contains(&7) {
            true => (200, json!({"data": {"id": PROFILE}})),
            false => (404, json!({})),
        },
        "POST omneo /profiles/availability" => {
            (200, json!({"data": {"email": {"available": false, "profile": {"id": PROFILE}}}}))
        }
        "GRAPHQL shopify Person" => (200, json!({"data": {"customer": is_living.then(|| customer(&[], None))}})),
        line if line == format!("GET omneo /profiles/{PROFILE}/identities") => {
            let identity = |id: &u64| json!({"id": 3, "handle": "shopify", "identifier": id.to_string()});
            (200, json!({"data": customers.iter().map(identity).collect::<Vec<_>>()}))
        }
        line if line == format!("DELETE omneo /profiles/{PROFILE}/purge") => (204, Value::Null),
        line => panic!("not expected: {line}"),
    })
}

#[test]
fn erasure_is_the_hosts_unless_the_settings_have_the_profile_purged() {
    let body = json!({"customer": {"id": 7, "email": "ada@example.org"}});
    let run = run(&rules(json!({})), &shopify("customers/redact", &body), &linked(), |call| panic!("{}", call.line()));
    assert_eq!(
        run.outcome(),
        (Outcome::Skipped, "the profile is left as it is: `people.on_redact = \"ignore\"`, or nothing goes to Omneo")
    );
    assert!(
        run.memory()[0].contains(r#""gone":{"customer":7}"#),
        "nothing late brings anybody back: {:?}",
        run.memory()
    );
}

#[test]
fn a_redacted_customers_profile_is_purged_and_nothing_personal_stays() {
    let memory = json!({
        "link": {"customer": 7, "profile": PROFILE}, "base": {"email": {"s": "0123456789abcdef", "o": "0123456789abcdef"}},
    });
    let body = json!({"customer": {"id": 7, "email": "ada@example.org", "phone": "555"}, "orders_to_redact": [1]});
    let run = redact(body, &[memory.to_string()], &[], false);
    let purge = format!("DELETE omneo /profiles/{PROFILE}/purge");
    assert_eq!(run.calls, [format!("GET omneo /profiles/{PROFILE}/identities"), purge]);
    let memory: Value = serde_json::from_str(&run.memory()[0]).unwrap();
    assert_eq!((&memory["gone"], &memory["base"]), (&json!({"customer": 7, "profile": PROFILE}), &Value::Null));
    let late = shopify("customers/update", &json!({"id": 7, "email": "ada@example.org"}));
    let late = conversation::run(&rules(json!({})), &late, &run.memory(), |call| panic!("{}", call.line()));
    assert_eq!(late.outcome(), (Outcome::Skipped, "customer 7 is deleted in Shopify"));
}

#[test]
fn an_email_alone_is_enough_to_find_whom_to_purge() {
    let run = redact(json!({"customer": {"email": "ada@example.org"}}), &[], &[], false);
    assert_eq!(run.calls.last(), Some(&format!("DELETE omneo /profiles/{PROFILE}/purge")));
    assert_eq!(run.end.outcome, Outcome::Done);
    let rules = rules(json!({"people": {"on_redact": "purge"}}));
    let named = rules.key(&shopify("customers/redact", &json!({"customer": {"email": "ada@example.org"}}))).unwrap();
    assert!(named.names[0].starts_with("shopify/redaction/") && !named.names[0].contains("ada"), "{named:?}");
}

#[test]
fn whoever_shares_the_profile_with_a_living_customer_is_not_purged() {
    let body = json!({"customer": {"id": 7, "email": "ada@example.org"}});
    let run = redact(body.clone(), &[], &[7, 8], true);
    assert_eq!(run.end.outcome, Outcome::Refused);
    assert!(run.end.reason.contains("is also customer 8's, so it is not purged"), "{}", run.end.reason);
    let run = redact(body, &[], &[7, 8], false);
    assert_eq!(run.end.outcome, Outcome::Done);
}

#[test]
fn who_has_no_profile_has_none_to_purge() {
    for body in [json!({}), json!({"customer": null}), json!({"customer": {"id": null, "email": " "}})] {
        let run = redact(body, &[], &[], false);
        assert_eq!((run.calls.len(), run.end.outcome), (0, Outcome::Skipped), "{}", run.end.reason);
    }
}
