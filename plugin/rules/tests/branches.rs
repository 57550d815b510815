//! Branches that a simulated life seldom takes, one by one.

use crate::world::{Manners, World, with_timezone};
use tandem_rules::DefaultRules;
use tandem_sdk::{Rules, Value, json};

const ADA: [(&str, Option<&str>); 3] =
    [("first_name", Some("Ada")), ("email", Some("ada@example.org")), ("phone", Some("+61400000001"))];

fn quiet(rules: Value) -> World {
    World::new(with_timezone(rules), 1, Manners::default())
}

#[test]
fn an_echo_sends_nothing() {
    let (mut world, _, _) = World::met(json!({}), &ADA);
    let again = world.delivered.iter().find(|event| event.source == "shopify").unwrap().clone();
    world.send(0, again);
    assert!(world.rest());
    assert_eq!(
        (world.calls.len(), world.last_reason().as_str()),
        (0, "Outcome::Skipped: echo: the customer is as it was last seen")
    );
}

#[test]
fn an_old_body_sends_nothing() {
    let (mut world, customer, _) = World::met(json!({}), &ADA);
    for name in ["Augusta", "Byron"] {
        world.now += 5000;
        world.edit(|world| world.shopify.update(customer, &[("first_name", Some(name))])).unwrap();
        assert!(world.rest());
    }
    let old = world.delivered.iter().find(|event| event.payload.contains("Augusta")).unwrap().clone();
    world.clean_slate();
    world.send(0, old);
    assert!(world.rest());
    assert_eq!((world.calls.len(), world.last_reason().contains("stale")), (0, true));
}

#[test]
fn an_edit_in_shopify_costs_two_calls() {
    let (mut world, customer, _) = World::met(json!({}), &ADA);
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Augusta"))])).unwrap();
    assert!(world.rest());
    let last = world.reasons();
    assert_eq!(last[0], "Outcome::Done: to Omneo: first_name (changed in Shopify)");
    // One read and one write for the edit. The body of the echo says that nothing else has changed.
    assert_eq!((world.count("GET"), world.count("PUT"), world.calls.len()), (1, 1, 2));
}

#[test]
fn who_has_no_email_waits_for_one() {
    let mut world = quiet(json!({}));
    let customer = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))]).unwrap());
    assert!(world.rest());
    assert!(world.last_reason().contains("has no e-mail"), "{}", world.last_reason());
    world.edit(|world| world.shopify.update(customer, &[("email", Some("ada@example.org"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles.len(), 1);
}

#[test]
fn who_must_not_go_to_shopify_does_not() {
    for (body, why) in [
        (json!({ "email": "ada@example.com" }), "is like `*@example.com`"),
        (json!({ "email": "staff-profile-7@shop.example" }), "is like `staff-profile-*`"),
        (json!({ "email": "ada@example.org", "profile_type": "system" }), "the profile's type is `system`"),
    ] {
        let mut world = quiet(json!({}));
        world.edit(|world| world.omneo.create(&body).unwrap());
        assert!(world.rest());
        assert_eq!(world.shopify.customers.len(), 0);
        assert!(world.last_reason().contains(why), "{}", world.last_reason());
    }
}

#[test]
fn a_direction_that_is_off_writes_nothing() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let rules = with_timezone(json!({ "sync": { "shopify_to_omneo": false } }));
    world.rules = DefaultRules::configure(&rules.to_string()).unwrap().0;
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Sophie"))])).unwrap();
    world.edit(|world| world.omneo.update(&profile, &json!({ "last_name": "Olga" }))).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].first_name, "Ada");
    assert_eq!(world.shopify.customers[&customer].last_name.as_deref(), Some("Olga"));
    assert!(world.writes.iter().all(|write| !write.contains("omneo")), "{:?}", world.writes);
    // When the switch is on again, the next event sends the values that were kept back.
    world.rules = DefaultRules::configure(&with_timezone(json!({})).to_string()).unwrap().0;
    world.now += 60_000;
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("+61400000009"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].first_name, "Sophie");
}

#[test]
fn the_login_of_an_account_is_the_shoppers() {
    let set = |allowed: bool| json!({ "people": { "email_to_accounts": allowed } });
    for (rules, allowed, expected) in [
        (json!({}), false, "ada@example.org"),
        (set(false), false, "ada@example.org"),
        (set(true), true, "new@example.org"),
    ] {
        let (mut world, customer, profile) = World::met(rules, &ADA);
        world.shopify.customers.get_mut(&customer).unwrap().has_account = true;
        world.edit(|world| world.omneo.update(&profile, &json!({ "email": "new@example.org" }))).unwrap();
        assert!(world.rest());
        assert_eq!(world.shopify.customers[&customer].email.as_deref(), Some(expected));
        assert_eq!(world.reasons()[0].contains("email is held, not written to Shopify"), !allowed);
    }
}

#[test]
fn an_email_of_another_customer_is_held_naming_them() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let other = world.edit(|world| world.shopify.create(&[("email", Some("other@example.com"))]).unwrap());
    assert!(world.rest());
    world.omneo.profiles.retain(|id, _| *id == profile);
    world
        .edit(|world| world.omneo.update(&profile, &json!({ "email": "other@example.com", "last_name": "B" })))
        .unwrap();
    let rules = with_timezone(json!({ "people": { "exclude_emails": [] } }));
    world.rules = DefaultRules::configure(&rules.to_string()).unwrap().0;
    assert!(world.rest());
    let held = format!("email is held, not written to Shopify: it belongs to customer {other}");
    assert!(world.last_reason().contains(&held) || world.reasons().iter().any(|r| r.contains(&held)));
    assert_eq!(world.shopify.customers[&customer].last_name.as_deref(), Some("B"));
}

#[test]
fn a_name_taken_away_in_shopify_stays_in_omneo() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.edit(|world| world.shopify.update(customer, &[("first_name", None), ("phone", None)])).unwrap();
    assert!(world.rest());
    assert!(world.reasons()[0].contains("first_name is held, not written to Omneo: Omneo cannot be without one"));
    let profile = &world.omneo.profiles[&profile];
    assert_eq!((profile.first_name.as_str(), &profile.mobile_phone), ("Ada", &None));
}

#[test]
fn prefixed_tags_are_omneos() {
    let (mut world, customer, profile) = World::met(json!({ "tags": { "whitelist": ["vip"] } }), &ADA);
    let tags = |world: &World| world.shopify.customers[&customer].tags.values().cloned().collect::<Vec<_>>().join(" ");
    let omneo = json!({ "tags": ["gold", "a,b", "cx-odd"] });
    world.edit(|world| world.omneo.update(&profile, &omneo)).unwrap();
    assert!(world.rest());
    assert_eq!(tags(&world), "cx-gold");
    assert!(world.reasons()[0].contains("2 of Omneo's tags left out"), "{:?}", world.reasons());
    // A prefixed tag is put back when removed by hand and taken away when added by hand. A tag that is not listed is
    // left alone.
    world.clean_slate();
    world.edit(|world| world.shopify.tag(customer, &["cx-mine", "own"], &["cx-gold"]));
    assert!(world.rest());
    assert_eq!(tags(&world), "cx-gold own");
    world.clean_slate();
    world.edit(|world| world.shopify.tag(customer, &["more"], &[]));
    assert!(world.rest());
    assert_eq!((world.calls.len(), world.last_reason().contains("no tag of the whitelist")), (0, true));
    // A tag that came from Shopify does not come back with the prefix.
    world.edit(|world| world.shopify.tag(customer, &["VIP"], &[]));
    assert!(world.rest());
    assert!(world.omneo.profiles[&profile].tags.contains("VIP"));
    assert_eq!(tags(&world), "cx-gold more own VIP");
}

#[test]
fn consent_goes_both_ways_with_its_time() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "sms", "subscribed", Some(at)));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].comms["sms_promo"], json!(true));
    world.clean_slate();
    let time = tandem_sdk::Time(world.now).plain();
    let comms = json!({ "sms_optout": true, "sms_consent_updated_at": time });
    world.edit(|world| world.omneo.comms(&profile, &comms));
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&customer].sms_consent, ("unsubscribed", Some(at + 60)));
    assert_eq!(world.writes.len(), 1, "{:?}", world.writes);
}

#[test]
fn consent_without_an_address_is_held() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA[..2]);
    world.edit(|world| world.omneo.comms(&profile, &json!({ "sms_promo": true })));
    assert!(world.rest());
    assert!(world.last_reason().contains("consent to SMS is held: the customer has no phone number"));
    world.now += 60_000;
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("+61400000001"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&customer].sms_consent.0, "subscribed");
}

#[test]
fn only_one_customer_speaks_for_a_profile() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let second = world.edit(|world| world.shopify.create(&[("email", Some("two@example.org"))]).unwrap());
    world.omneo.profiles.get_mut(&profile).unwrap().identities.push(second.to_string());
    assert!(world.rest());
    let reason = world.last_reason();
    assert!(reason.contains(&format!("customer {customer} speaks for profile {profile}")), "{reason}");
    assert_eq!((world.writes.len(), world.omneo.profiles.len()), (0, 1));
}

#[test]
fn a_deleted_customer_stays_deleted() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.shopify.lose(customer);
    for name in ["Augusta", "Byron"] {
        world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": name }))).unwrap();
        assert!(world.rest());
    }
    let reason = format!("customer {customer} is deleted in Shopify");
    assert!(world.reasons().iter().all(|given| given.contains(&reason)), "{:?}", world.reasons());
    // The second time, the memory says that the customer is deleted, and Shopify is not asked again.
    assert_eq!((world.shopify.customers.len(), world.count("Person")), (0, 1), "{:?}", world.calls);
}

#[test]
fn what_is_taken_at_the_last_moment_is_held() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let other = world.edit(|world| world.shopify.create(&[("first_name", Some("Other"))]).unwrap());
    assert!(world.rest());
    world.clean_slate();
    let takes = [("email", Some("new@example.org"))];
    world.before.push((
        "UpdatePerson",
        Box::new(move |world| {
            world.edit(|world| world.shopify.update(other, &takes)).unwrap();
        }),
    ));
    world.held_back = vec!["customers/update"];
    let edit = json!({ "email": "new@example.org", "last_name": "B" });
    world.edit(|world| world.omneo.update(&profile, &edit)).unwrap();
    assert!(world.rest());
    let held = "email is held, not written to Shopify: it belongs to another customer";
    assert!(world.last_reason().contains(held), "{:?}", world.reasons());
    assert_eq!(world.shopify.customers[&customer].last_name.as_deref(), Some("B"));
}

#[test]
fn a_phone_taken_while_a_profile_is_created_goes_to_the_second_slot() {
    let mut world = quiet(json!({}));
    world.before.push((
        "availability",
        Box::new(|world| {
            world.after(1, |world| {
                let other = json!({ "email": "other@example.com", "mobile_phone": "+61400000001" });
                world.edit(|world| world.omneo.create(&other)).unwrap();
            });
        }),
    ));
    world.edit(|world| world.shopify.create(&ADA).unwrap());
    assert!(world.rest());
    let profile = world.omneo.profiles.values().find(|profile| profile.email == "ada@example.org").unwrap();
    assert_eq!((&profile.mobile_phone, profile.secondary_phone.as_deref()), (&None, Some("+61400000001")));
    let memory = world.memory(&format!("omneo/profile/{}", profile.id));
    assert_eq!((&memory["second_phone"], &memory["held"]), (&json!(true), &json!(null)));
}

#[test]
fn a_customer_whose_metafield_names_a_profile_is_that_ones() {
    let mut world = quiet(json!({}));
    let profile = world.edit(|world| world.omneo.create(&json!({ "email": "ada@example.org" })).unwrap());
    world.held_back = vec!["customers/", "identity"];
    assert!(world.rest());
    // Simulates a crash just after the creation: no memory, no identity, and the shopper has a new e-mail.
    world.host.forget();
    world.omneo.profiles.get_mut(&profile).unwrap().identities.clear();
    let customer = *world.shopify.customers.keys().next().unwrap();
    world.edit(|world| world.shopify.update(customer, &[("email", Some("new@example.org"))])).unwrap();
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    assert_eq!((world.omneo.profiles.len(), world.shopify.customers.len()), (1, 1));
    assert_eq!(world.omneo.profiles[&profile].identities, [customer.to_string()]);
    assert_eq!(world.omneo.profiles[&profile].email, "new@example.org");
}

#[test]
fn lost_memory_costs_calls_and_nothing_else() {
    let (mut world, _, _) = World::met(json!({}), &ADA);
    world.host.forget();
    for event in world.delivered.clone() {
        world.send(0, event);
    }
    assert!(world.rest());
    assert_eq!(world.writes, Vec::<String>::new());
    assert!(!world.calls.is_empty());
}
