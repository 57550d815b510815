//! Locations, as conversations.

use crate::conversation::{Omneo, rules, shopify};
use tandem_sdk::{Outcome, Value, json};

fn location(second: u32, changes: Value) -> Value {
    let mut location = json!({
        "id": 71, "admin_graphql_api_id": "gid://shopify/Location/71", "name": "Fitzroy", "address1": "1 Gertrude St",
        "address2": null, "city": "Melbourne", "zip": "3065", "province": "Victoria", "province_code": "VIC",
        "country": "AU", "country_name": "Australia", "country_code": "AU", "phone": "+61390000000", "active": true,
        "updated_at": format!("2026-03-01T10:00:{second:02}+11:00"),
    });
    for (key, value) in changes.as_object().unwrap() {
        location[key] = value.clone();
    }
    location
}

#[test]
fn a_location_is_made_once_and_then_updated() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules, &shopify("locations/create", &location(1, json!({}))));
    assert_eq!(run.calls, ["GET omneo /locations?filter[external_id]=71", "POST omneo /locations"]);
    assert_eq!(
        run.bodies[1],
        json!({
            "external_id": "71", "name": "Fitzroy", "phone": "+61390000000", "is_published": true,
            "address": {
                "address_line_1": "1 Gertrude St", "city": "Melbourne", "postcode": "3065", "state": "Victoria",
                "iso_state": "VIC", "country": "Australia", "iso": "AU"
            }
        })
    );
    assert_eq!(run.outcome(), (Outcome::Done, "location `Fitzroy` created"));
    let echo = omneo.hear(&rules, &shopify("locations/update", &location(2, json!({"legacy": false}))));
    assert_eq!(
        (echo.calls.len(), echo.end.reason.as_str()),
        (0, "nothing of the location that Omneo keeps has changed")
    );
    let run = omneo.hear(&rules, &shopify("locations/update", &location(3, json!({"name": "Fitzroy North"}))));
    assert_eq!(run.calls[1], "PUT omneo /locations/300");
    let late = omneo.hear(&rules, &shopify("locations/update", &location(1, json!({"name": "Old"}))));
    assert_eq!(late.outcome(), (Outcome::Skipped, "older than what is known of the location"));
    assert_eq!((omneo.locations.len(), &omneo.locations[0]["name"]), (1, &json!("Fitzroy North")));
}

#[test]
fn without_its_memory_it_is_found_again() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    for memory in [vec![], vec!["not JSON".to_owned()], vec![r#"{"clock":3,"hash":[]}"#.to_owned()]] {
        omneo.memory = memory;
        omneo.hear(&rules, &shopify("locations/update", &location(1, json!({}))));
        assert_eq!(omneo.locations.len(), 1);
    }
}

#[test]
fn a_location_that_is_not_active_is_not_published() {
    let rules = rules(json!({}));
    let mut omneo = Omneo::default();
    omneo.hear(&rules, &shopify("locations/create", &location(1, json!({}))));
    omneo.hear(&rules, &shopify("locations/deactivate", &location(2, json!({"active": false}))));
    assert_eq!(omneo.locations[0]["is_published"], false);
    omneo.hear(&rules, &shopify("locations/activate", &location(3, json!({"active": null}))));
    assert_eq!(omneo.locations[0]["is_published"], true);
    omneo.hear(&rules, &shopify("locations/deactivate", &location(4, json!({"active": null}))));
    assert_eq!(omneo.locations[0]["is_published"], false);
}

#[test]
fn a_location_without_a_phone_has_the_one_that_is_set() {
    let event = shopify("locations/create", &location(1, json!({"phone": " "})));
    let mut omneo = Omneo::default();
    let run = omneo.hear(&rules(json!({})), &event);
    let why = "location `Fitzroy` has no phone, which Omneo requires: give it one, or set `locations.phone`";
    assert_eq!(run.outcome(), (Outcome::Refused, why));
    let set = rules(json!({"locations": {"phone": "+61311111111"}}));
    omneo.hear(&set, &event);
    assert_eq!(omneo.locations[0]["phone"], "+61311111111");
    // The setting is used for the creation only: a number that was entered in Omneo since stays.
    omneo.locations[0]["phone"] = json!("+61322222222");
    omneo.hear(&set, &shopify("locations/update", &location(2, json!({"phone": null, "name": "New"}))));
    assert_eq!(omneo.locations[0]["phone"], "+61322222222");
}

#[test]
fn a_deleted_location_needs_one_that_takes_over() {
    let gone = shopify("locations/delete", &json!({"id": 71}));
    let mut omneo = Omneo::default();
    let none = omneo.hear(&rules(json!({})), &gone);
    assert_eq!(none.outcome(), (Outcome::Skipped, "the location was deleted, and Omneo does not have it"));
    omneo.memory.clear();
    omneo.hear(&rules(json!({})), &shopify("locations/create", &location(1, json!({}))));
    let unset = omneo.hear(&rules(json!({})), &gone);
    assert!(unset.end.reason.ends_with("set `locations.fallback`"), "{}", unset.end.reason);
    let set = rules(json!({"locations": {"fallback": "72"}}));
    let unknown = omneo.hear(&set, &gone);
    assert!(unknown.end.reason.ends_with("`locations.fallback` is `72`"), "{}", unknown.end.reason);
    assert_eq!(
        (unset.end.outcome, unknown.end.outcome, omneo.locations.len()),
        (Outcome::Refused, Outcome::Refused, 1)
    );
    omneo.locations.push(json!({"id": 9, "external_id": 72}));
    let run = omneo.hear(&set, &gone);
    assert_eq!(run.outcome(), (Outcome::Done, "the location was deleted: location 72 takes over"));
    assert_eq!(run.calls[2], "DELETE omneo /locations/300?fallback_location_id=9");
    let late = omneo.hear(&set, &shopify("locations/update", &location(9, json!({}))));
    assert_eq!((late.calls.len(), late.end.reason.as_str()), (0, "the location was deleted in Shopify"));
}

#[test]
fn what_is_no_location_is_invalid_and_switched_off_is_skipped() {
    let mut omneo = Omneo::default();
    for body in [json!({"id": 71}), json!({"name": "Fitzroy"}), json!({"id": 71, "name": 7}), json!([])] {
        let run = omneo.hear(&rules(json!({})), &shopify("locations/update", &body));
        assert_eq!((run.end.outcome, run.calls.len()), (Outcome::Invalid, 0), "{body}");
    }
    let off = rules(json!({"sync": {"locations": false}}));
    let run = omneo.hear(&off, &shopify("locations/create", &location(1, json!({}))));
    assert_eq!(run.outcome(), (Outcome::Skipped, "switched off: `sync.locations = false`"));
}
