//! Settings about people, each with every value, and bodies of older and newer API versions.

use crate::world::{Manners, World, with_timezone};
use tandem_sdk::{Event, Value, event, json};

const ADA: [(&str, Option<&str>); 3] =
    [("first_name", Some("Ada")), ("email", Some("ada@example.org")), ("phone", Some("+61400000001"))];

#[test]
fn only_profiles_of_the_listed_types_go_over() {
    for (types, kind, is_sent) in [
        (json!(["active"]), "active", true),
        (json!(["active"]), "incomplete", false),
        (json!(["active", "incomplete"]), "incomplete", true),
        (json!([]), "active", false),
    ] {
        let rules = with_timezone(json!({ "people": { "profile_types": types } }));
        let mut world = World::new(rules, 1, Manners::default());
        let body = json!({ "email": "ada@example.org", "profile_type": kind });
        world.edit(|world| world.omneo.create(&body).unwrap());
        assert!(world.rest());
        assert_eq!(world.shopify.customers.len(), usize::from(is_sent), "{kind} among {types}");
    }
}

#[test]
fn excluded_addresses_stay_in_omneo() {
    for (patterns, is_sent) in
        [(json!([]), true), (json!(["*@example.com"]), false), (json!(["ADA@*"]), false), (json!(["bea@*"]), true)]
    {
        let rules = with_timezone(json!({ "people": { "exclude_emails": patterns } }));
        let mut world = World::new(rules, 1, Manners::default());
        world.edit(|world| world.omneo.create(&json!({ "email": "ada@example.com" })).unwrap());
        assert!(world.rest());
        assert_eq!(world.shopify.customers.len(), usize::from(is_sent), "{patterns}");
    }
}

#[test]
fn the_level_of_a_subscription_is_the_tenants() {
    for (rules, level) in [
        (json!({}), "SINGLE_OPT_IN"),
        (json!({ "consent": { "opt_in_level": "SINGLE_OPT_IN" } }), "SINGLE_OPT_IN"),
        (json!({ "consent": { "opt_in_level": "CONFIRMED_OPT_IN" } }), "CONFIRMED_OPT_IN"),
        (json!({ "consent": { "opt_in_level": "UNKNOWN" } }), "UNKNOWN"),
    ] {
        let (mut world, customer, profile) = World::met(rules, &ADA);
        world.edit(|world| world.omneo.comms(&profile, &json!({ "email_promo": true })));
        assert!(world.rest());
        assert_eq!(world.shopify.customers[&customer].email_consent.0, "subscribed");
        assert_eq!(world.shopify.opt_in_levels, [level]);
    }
}

#[test]
fn consent_that_is_switched_off_goes_neither_way() {
    let (mut world, customer, profile) = World::met(json!({ "sync": { "consent": false } }), &ADA);
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "email", "subscribed", Some(at)));
    world.edit(|world| world.omneo.comms(&profile, &json!({ "sms_promo": true })));
    assert!(world.rest());
    assert_eq!(world.writes, Vec::<String>::new(), "{:?}", world.reasons());
}

#[test]
fn only_tags_of_the_whitelist_go_to_omneo() {
    for (rules, expected) in [
        (json!({}), ""),
        (json!({ "tags": { "whitelist": [] } }), ""),
        (json!({ "tags": { "whitelist": ["vip"] } }), "vip"),
        (json!({ "tags": { "whitelist": ["VIP", "Mobile App"] } }), "mobile-app vip"),
    ] {
        let (mut world, customer, profile) = World::met(rules, &ADA);
        world.edit(|world| world.shopify.tag(customer, &["vip", "mobile app", "own"], &[]));
        assert!(world.rest());
        let tags: Vec<_> = world.omneo.profiles[&profile].tags.iter().cloned().collect();
        assert_eq!(tags.join(" "), expected);
    }
}

#[test]
fn omneos_tags_have_the_tenants_prefix() {
    for (rules, expected) in [
        (json!({}), "cx-gold omneo/mine"),
        (json!({ "tags": { "prefix": "cx-" } }), "cx-gold omneo/mine"),
        (json!({ "tags": { "prefix": "omneo/" } }), "cx-mine omneo/gold"),
    ] {
        let (mut world, customer, profile) = World::met(rules, &ADA);
        world.edit(|world| world.omneo.update(&profile, &json!({ "tags": ["gold"] }))).unwrap();
        // Of these two tags, the one with the prefix is not for people to add.
        world.edit(|world| world.shopify.tag(customer, &["cx-mine", "omneo/mine"], &[]));
        assert!(world.rest());
        let tags: Vec<_> = world.shopify.customers[&customer].tags.keys().cloned().collect();
        assert_eq!(tags.join(" "), expected);
    }
}

#[test]
fn a_national_number_goes_over_where_its_country_is_set() {
    const TYPED: &str = "0491 570 006";
    for (rules, expected) in [
        (json!({}), None),
        (json!({ "people": { "default_country": "AU" } }), Some("+61491570006")),
        (json!({ "people": { "default_country": "DK" } }), None),
    ] {
        let (world, customer, profile) = World::met(rules, &[ADA[0], ADA[1], ("phone", Some(TYPED))]);
        assert_eq!(world.omneo.profiles[&profile].mobile_phone.as_deref(), expected);
        assert_eq!(world.shopify.customers[&customer].phone.as_deref(), Some(TYPED), "it stays as it was typed");
    }
}

#[test]
fn tags_that_shopify_brought_come_back_only_when_told() {
    for (mirrors, expected) in [(false, "vip"), (true, "cx-vip vip")] {
        let rules = json!({ "tags": { "whitelist": ["vip"], "mirror_whitelisted": mirrors } });
        let (mut world, customer, profile) = World::met(rules, &ADA);
        world.edit(|world| world.shopify.tag(customer, &["vip"], &[]));
        assert!(world.rest());
        let tags =
            |world: &World| world.shopify.customers[&customer].tags.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(tags(&world), expected);
        // When the tag is removed in Shopify, where it came from, it disappears everywhere.
        world.edit(|world| world.shopify.tag(customer, &[], &["vip"]));
        assert!(world.rest());
        assert_eq!((tags(&world).as_str(), world.omneo.profiles[&profile].tags.len()), ("", 0));
        world.clean_slate();
        for event in world.delivered.clone() {
            world.send(0, event);
        }
        assert!(world.rest());
        assert_eq!(world.writes, Vec::<String>::new(), "it is at rest");
    }
}

/// Sends a body as Shopify would, except for some keys. Returns the reason.
fn hear(world: &mut World, customer: u64, more: Value, without: &[&str]) -> String {
    let node = world.shopify.customers[&customer].clone();
    let mut body = json!({
        "id": customer, "first_name": node.first_name, "last_name": node.last_name, "email": node.email,
        "phone": node.phone, "updated_at": tandem_sdk::Time(node.at * 1000).rfc3339(), "addresses": [],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|key, _| !without.contains(&key.as_str()));
    world.clean_slate();
    world.send(0, Event { topic: "customers/update".into(), payload: body.to_string(), ..event() });
    assert!(world.rest());
    world.last_reason()
}

#[test]
fn an_old_body_brings_tags_and_consent_and_a_new_one_erases_neither() {
    let (mut world, customer, profile) = World::met(json!({ "tags": { "whitelist": ["vip"] } }), &ADA);
    // The events about tags and consent are withheld.
    world.held_back = vec!["customer.tags", "consent/update"];
    let at = world.seconds();
    world.edit(|world| world.shopify.tag(customer, &["vip"], &[]));
    world.edit(|world| world.shopify.consent(customer, "email", "subscribed", Some(at)));
    let new = hear(&mut world, customer, json!({}), &[]);
    assert!(new.contains("echo"), "{new}");
    assert_eq!(world.omneo.profiles[&profile].tags.len(), 0);
    let time = tandem_sdk::Time(at * 1000).rfc3339();
    let consent = json!({ "state": "subscribed", "consent_updated_at": time });
    let old = json!({ "tags": "vip, own", "email_marketing_consent": consent, "sms_marketing_consent": null });
    hear(&mut world, customer, old.clone(), &[]);
    assert!(world.omneo.profiles[&profile].tags.contains("vip"), "{:?}", world.reasons());
    assert_eq!(world.omneo.profiles[&profile].comms["email_promo"], json!(true));
    for body in [old, json!({})] {
        let again = hear(&mut world, customer, body, &[]);
        assert!(again.contains("echo") && world.writes.is_empty(), "{again}");
    }
    assert!(world.omneo.profiles[&profile].tags.contains("vip"));
}

#[test]
fn the_oldest_bodies_say_it_in_a_word_that_counts_only_without_a_consent_object() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.held_back = vec!["consent/update"];
    let never = hear(&mut world, customer, json!({ "accepts_marketing": false }), &[]);
    assert!(never.contains("echo") && world.calls.is_empty(), "no is what nobody has decided, too: {never}");
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "email", "subscribed", Some(at)));
    let object = json!({ "state": "not_subscribed", "consent_updated_at": null });
    let both = json!({ "accepts_marketing": true, "email_marketing_consent": object });
    let reason = hear(&mut world, customer, both, &[]);
    assert!(reason.contains("echo"), "the object counts: {reason}");
    hear(&mut world, customer, json!({ "accepts_marketing": true, "email_marketing_consent": null }), &[]);
    assert_eq!(world.omneo.profiles[&profile].comms["email_promo"], json!(true), "{:?}", world.reasons());
    let again = hear(&mut world, customer, json!({ "accepts_marketing": true }), &[]);
    assert!(again.contains("echo"), "{again}");
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "email", "unsubscribed", Some(at)));
    hear(&mut world, customer, json!({ "accepts_marketing": false }), &[]);
    assert_eq!(world.omneo.profiles[&profile].comms["email_promo"], json!(false), "{:?}", world.reasons());
}

/// The keys that Shopify withholds from an app without approval.
const PROTECTED: [&str; 5] = ["first_name", "last_name", "email", "phone", "addresses"];

#[test]
fn what_a_body_does_not_show_is_neither_erased_nor_made_up() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let before = world.omneo.profiles[&profile].clone();
    let reason = hear(&mut world, customer, json!({}), &PROTECTED);
    assert!(reason.contains("echo") && world.calls.is_empty(), "{reason}");
    assert_eq!(world.omneo.profiles[&profile], before);
    // Nobody is created from such a body.
    let body = json!({ "id": 99, "updated_at": "2026-09-20T00:00:00Z", "state": "disabled" });
    world.send(0, Event { topic: "customers/create".into(), payload: body.to_string(), ..event() });
    assert!(world.rest());
    assert!(world.last_reason().contains("keeps protected customer data"), "{}", world.last_reason());
    assert_eq!((world.writes.len(), world.omneo.profiles.len()), (0, 1));
}

#[test]
fn without_protected_data_whoever_has_an_identity_or_names_a_profile_is_linked() {
    for has_identity in [true, false] {
        let (mut world, customer, profile) = World::met(json!({}), &ADA);
        world.host.forget();
        world.held_back = vec!["identity"];
        let more = if has_identity {
            json!({})
        } else {
            world.omneo.profiles.get_mut(&profile).unwrap().identities.clear();
            json!({ "metafields": [{ "namespace": "omneo", "key": "profile_id", "value": profile }] })
        };
        let reason = hear(&mut world, customer, more, &PROTECTED);
        assert!(reason.contains(&format!("linked to profile {profile} without the protected data")), "{reason}");
        assert_eq!(world.omneo.profiles[&profile].identities, [customer.to_string()]);
        assert_eq!((world.count("GRAPHQL"), world.writes.len()), (0, usize::from(!has_identity)), "{:?}", world.calls);
        let again = hear(&mut world, customer, json!({}), &PROTECTED);
        assert!(again.contains("echo") && world.calls.is_empty(), "{again}");
        // An edit in Omneo reaches the customer.
        world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Augusta" }))).unwrap();
        assert!(world.rest());
        assert_eq!(world.shopify.customers.len(), 1, "{:?}", world.reasons());
    }
}

#[test]
fn without_protected_data_a_second_customer_does_not_speak() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.held_back = vec!["customers/"];
    let second = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))]).unwrap());
    world.omneo.profiles.get_mut(&profile).unwrap().identities.push(second.to_string());
    let reason = hear(&mut world, second, json!({}), &PROTECTED);
    let doubt = format!("profile {profile} has the identity of customer {second}, and nothing else says");
    assert!(reason.contains(&doubt) && second != customer, "{reason}");
    assert_eq!((world.count("GRAPHQL"), world.writes.len()), (0, 0), "{:?}", world.calls);
}

/// The table of consent in RULES: what each side says and when, and what both say in the end.
#[test]
fn consent_ends_as_the_table_says() {
    let bounced = json!({ "bounced": true });
    let said = |promo: Option<bool>, at: Option<i64>| json!({ "promo": promo, "at": at });
    for (s, o, expected_s, expected_o) in [
        (("subscribed", Some(5)), said(None, None), "subscribed", Some(true)),
        (("subscribed", Some(5)), said(Some(false), Some(4)), "subscribed", Some(true)),
        (("subscribed", Some(5)), said(Some(false), Some(6)), "unsubscribed", Some(false)),
        (("subscribed", Some(5)), bounced.clone(), "unsubscribed", None),
        (("subscribed", Some(5)), json!({ "optout": true, "at": 6 }), "unsubscribed", None),
        (("subscribed", Some(5)), json!({ "optout": true }), "unsubscribed", None),
        (("unsubscribed", Some(5)), said(None, None), "unsubscribed", Some(false)),
        (("unsubscribed", Some(5)), said(Some(true), Some(4)), "unsubscribed", Some(false)),
        (("unsubscribed", Some(5)), said(Some(true), Some(6)), "subscribed", Some(true)),
        (("unsubscribed", Some(5)), json!({ "promo": true, "bounced": true, "at": 6 }), "unsubscribed", Some(true)),
        (("not_subscribed", None), said(Some(true), Some(4)), "subscribed", Some(true)),
        (("not_subscribed", None), said(Some(false), Some(4)), "not_subscribed", Some(false)),
        (("not_subscribed", None), said(None, None), "not_subscribed", None),
        (("pending", Some(5)), said(None, None), "pending", None),
        (("invalid", Some(5)), said(None, None), "invalid", None),
        (("redacted", Some(5)), said(None, None), "redacted", None),
    ] {
        for medium in ["email", "sms"] {
            let (mut world, customer, profile) = World::met(json!({}), &ADA);
            let start = world.seconds() - 100;
            world.edit(|world| {
                let mut comms = json!({});
                for (key, value) in o.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
                    match key.as_str() {
                        "at" => {
                            let time = tandem_sdk::Time((start + value.as_i64().unwrap()) * 1000).plain();
                            comms[format!("{medium}_consent_updated_at")] = json!(time);
                        }
                        key => comms[format!("{medium}_{key}")] = value.clone(),
                    }
                }
                world.omneo.comms(&profile, &comms);
                world.shopify.consent(customer, medium, s.0, s.1.map(|at| start + at));
            });
            assert!(world.rest());
            let node = &world.shopify.customers[&customer];
            let state = if medium == "email" { node.email_consent.0 } else { node.sms_consent.0 };
            let promo = world.omneo.profiles[&profile].comms.get(&format!("{medium}_promo")).and_then(Value::as_bool);
            let told = format!("{medium}: {s:?} and {o}: {:?}", world.reasons());
            assert_eq!((state, promo), (expected_s, expected_o), "{told}");
            assert!(world.writes.len() <= 1, "{told} {:?}", world.writes);
        }
    }
}

#[test]
fn a_decision_without_a_time_claims_none() {
    for (medium, at) in [("email", None), ("sms", None), ("email", Some(5)), ("sms", Some(5))] {
        let (mut world, customer, profile) = World::met(json!({}), &ADA);
        let at = at.map(|at| world.seconds() - at);
        world.edit(|world| world.shopify.consent(customer, medium, "subscribed", at));
        assert!(world.rest());
        let comms = &world.omneo.profiles[&profile].comms;
        assert_eq!(comms[&format!("{medium}_promo")], json!(true));
        let time = comms.get(&format!("{medium}_consent_updated_at"));
        assert_eq!(time, at.map(|at| json!(tandem_sdk::Time(at * 1000).rfc3339())).as_ref());
    }
}
