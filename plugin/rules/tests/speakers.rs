//! Sequences of events that decide who a person is, one by one: merges, purges, an interruption half-way, a pause.

use crate::world::{Manners, World, invariants, with_timezone};
use tandem_sdk::{Event, Value, event, json};

const ADA: [(&str, Option<&str>); 3] =
    [("first_name", Some("Ada")), ("email", Some("ada@example.org")), ("phone", Some("+61400000001"))];

#[test]
fn a_customer_merged_away_leaves_one_profile_and_one_customer_though_the_deletion_is_heard_first() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    let gone = world.edit(|world| world.shopify.create(&ADA).unwrap());
    let kept = world.edit(|world| world.shopify.create(&[("last_name", Some("Byron"))]).unwrap());
    assert!(world.rest());
    let profile = world.omneo.profiles.keys().next().unwrap().clone();
    world.edit(|world| world.shopify.merge(kept, gone));
    assert!(world.rest());
    assert_eq!((world.omneo.profiles.len(), world.shopify.customers.len()), (1, 1));
    assert_eq!(world.omneo.profiles[&profile].identities, [kept.to_string()], "{:?}", world.reasons());
    assert_eq!(world.host.dead_letters().count(), 0);
    invariants::hold(&mut world);
}

#[test]
fn a_purged_profile_is_not_brought_back_by_an_old_event() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.held_back = vec!["customers/update"];
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Augusta"))])).unwrap();
    world.edit(|world| world.omneo.delete(&profile));
    assert!(world.rest());
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    assert!(world.last_reason().contains(&format!("profile {profile} is deleted in Omneo")), "{}", world.last_reason());
    assert_eq!((world.omneo.profiles.len(), world.shopify.customers.len(), world.writes.len()), (0, 1, 0));
    invariants::hold(&mut world);
}

#[test]
fn edits_made_while_the_sync_was_paused_count_as_made_at_once() {
    let rules = json!({ "fields": { "first_name": { "owner": "omneo" }, "last_name": { "owner": "shopify" } } });
    let (mut world, customer, profile) = World::met(rules, &ADA);
    // The events of both sides are withheld, as while Shopify may not be written.
    world.held_back = vec!["customers/update", "profile.updated"];
    world.edit(|world| {
        let edit = [("first_name", Some("Sophie")), ("last_name", Some("Shopify"))];
        world.shopify.update(customer, &edit).unwrap();
    });
    world.now += 3000;
    let edit = json!({ "first_name": "Olga", "last_name": "Omneo", "mobile_phone": "+61400000009" });
    world.edit(|world| world.omneo.update(&profile, &edit)).unwrap();
    assert!(world.rest());
    world.held_back.clear();
    world.let_go(|waiting| waiting.reverse());
    assert!(world.rest());
    let (s, o) = (&world.shopify.customers[&customer], &world.omneo.profiles[&profile]);
    assert_eq!((s.first_name.as_deref(), o.first_name.as_str()), (Some("Olga"), "Olga"));
    assert_eq!((s.last_name.as_deref(), o.last_name.as_str()), (Some("Shopify"), "Shopify"));
    assert_eq!((s.phone.as_deref(), o.mobile_phone.as_deref()), (Some("+61400000009"), Some("+61400000009")));
    assert_eq!((world.count("UpdatePerson"), world.count("PUT")), (1, 1), "one write per side: {:?}", world.writes);
    invariants::hold(&mut world);
}

#[test]
fn a_host_killed_between_creation_and_identity_makes_no_second_customer() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    world.before.push((
        "/identities",
        Box::new(|world| {
            world.host.kill();
            world.after(5000, World::go_on);
        }),
    ));
    world.lost = vec!["/identities"];
    let profile = world.edit(|world| world.omneo.create(&json!({ "email": "ada@example.org" })).unwrap());
    assert!(world.rest());
    assert_eq!((world.shopify.customers.len(), world.omneo.profiles.len()), (1, 1));
    let customer = world.shopify.customers.keys().next().unwrap().to_string();
    assert_eq!(world.omneo.profiles[&profile].identities, [customer], "{:?}", world.reasons());
    assert_eq!(world.host.dead_letters().count(), 0, "{:?}", world.reasons());
    invariants::hold(&mut world);
}

#[test]
fn the_second_customer_of_a_profile_is_heard_and_not_followed() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let second = world.edit(|world| world.shopify.create(&[("email", Some("two@example.org"))]).unwrap());
    world.omneo.profiles.get_mut(&profile).unwrap().identities.push(second.to_string());
    assert!(world.rest());
    for edit in ["Bea", "Cleo"] {
        world.now += 60_000;
        world.edit(|world| world.shopify.update(second, &[("first_name", Some(edit))])).unwrap();
        assert!(world.rest());
        let reason = world.last_reason();
        assert!(reason.contains(&format!("customer {customer} speaks for profile {profile}")), "{reason}");
    }
    assert_eq!((world.writes.len(), world.omneo.profiles[&profile].first_name.as_str()), (0, "Ada"));
    invariants::hold(&mut world);
}

/// The invariants must report a run that breaks them; otherwise, finding nothing would prove little.
#[test]
fn a_run_that_writes_unread_is_found() {
    let (mut world, customer, _) = World::met(json!({}), &ADA);
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Augusta"))])).unwrap();
    assert!(world.rest());
    assert_eq!(invariants::broken(&world), Vec::<String>::new());
    let at = world.host.ended.iter().position(|ended| ended.sent.len() > 1).expect("one wrote");
    let ended = &mut world.host.ended[at];
    ended.sent.remove(0);
    ended.replies.remove(0);
    let memory = json!({ "clock": { "merged": 9_000_000_000_i64 }, "link": link(ended.end.memory.as_ref()) });
    ended.memory = vec![memory.to_string()];
    let bad = invariants::broken(&world).join("; ");
    assert!(bad.contains("I3: `PUT omneo") && bad.contains("I6: the clock `merged` went back"), "{bad}");
}

fn link(memory: Option<&String>) -> Value {
    serde_json::from_str::<Value>(memory.expect("it remembers")).unwrap()["link"].take()
}

#[test]
fn a_dead_speaker_is_not_taken_for_a_living_one() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.shopify.lose(customer);
    let body = json!({ "id": customer, "email": "ada@example.org", "updated_at": "2026-09-29T00:00:00Z" });
    world.send(0, Event { topic: "customers/delete".into(), payload: body.to_string(), ..event() });
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].identities, Vec::<String>::new());
    assert_eq!(world.memory(&format!("omneo/profile/{profile}"))["gone"]["customer"], json!(customer));
    invariants::hold(&mut world);
}

const VICTIM: [(&str, Option<&str>); 3] =
    [("first_name", Some("Vera")), ("email", Some("vera@example.org")), ("phone", Some("+61400000007"))];

/// A world in which nothing is heard yet: a customer who has no profile, and the profile of somebody else, who has given it
/// that customer's identity.
fn claimed(rules: Value) -> (World, u64, String) {
    let mut world = World::new(with_timezone(rules), 1, Manners::default());
    let mallory = json!({ "first_name": "Mallory", "email": "mallory@example.org", "mobile_phone": "+61400000008" });
    world.held_back = vec!["customers/", "profile", "identity"];
    let profile = world.edit(|world| world.omneo.create(&mallory)).unwrap();
    let victim = world.edit(|world| world.shopify.create(&VICTIM)).unwrap();
    assert!(world.rest());
    world.omneo.profiles.get_mut(&profile).unwrap().identities.push(victim.to_string());
    (world, victim, profile)
}

/// Whoever may sign in to a profile can give it any identity. Nothing of the customer goes there, from whichever side the
/// first event comes.
#[test]
fn an_identity_alone_links_nobody() {
    for order in [false, true] {
        let (mut world, victim, profile) = claimed(json!({}));
        let before = world.omneo.profiles[&profile].json();
        world.held_back.clear();
        world.let_go(|waiting| {
            if order {
                waiting.reverse()
            }
        });
        assert!(world.rest());
        assert_eq!((world.omneo.profiles[&profile].json(), world.writes.len()), (before, 0), "{:?}", world.reasons());
        assert_eq!(world.shopify.customers[&victim].profile, None);
        let doubts =
            world.host.dead_letters().filter(|ended| ended.end.reason.contains("nothing else says that the two"));
        assert!(doubts.count() >= 2, "{:?}", world.reasons());
        invariants::hold(&mut world);
    }
}

/// What the reason of the dead letter says mends it, one way or the other.
#[test]
fn what_a_doubt_says_to_do_ends_it() {
    // They are one person: staff set the metafield.
    let (mut world, victim, profile) = claimed(json!({}));
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    world.shopify.customers.get_mut(&victim).unwrap().profile = Some(profile.clone());
    world.edit(|world| world.shopify.update(victim, &[("last_name", Some("Vane"))])).unwrap();
    assert!(world.rest());
    assert!(
        world.last_reason().contains(&profile) || world.writes.iter().any(|line| line.contains(&profile)),
        "{:?}",
        world.reasons()
    );
    let linked: Value = world.memory(&format!("shopify/customer/{victim}"));
    assert_eq!((&linked["link"]["profile"], world.omneo.profiles.len()), (&json!(profile), 1), "{linked}");

    // They are two: the identity is taken from the profile, and the customer gets one.
    let (mut world, victim, profile) = claimed(json!({}));
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    world.omneo.profiles.get_mut(&profile).unwrap().identities.clear();
    world.edit(|world| world.shopify.update(victim, &[("last_name", Some("Vane"))])).unwrap();
    assert!(world.rest());
    let own = world.omneo.profiles.values().find(|found| found.identities == [victim.to_string()]);
    assert!(own.is_some_and(|own| own.json()["email"] == "vera@example.org"), "{:?}", world.reasons());
}

/// The same e-mail address, or Shopify's metafield, agrees with the identity, as after another app has linked the two.
#[test]
fn an_identity_that_something_agrees_with_links() {
    let same = |email: &str| json!({ "first_name": "Vera", "email": email });
    for (row, metafield) in
        [(same("vera@example.org"), false), (same("VERA@Example.org"), false), (same("old@example.org"), true)]
    {
        let (mut world, victim, profile) = claimed(json!({}));
        world.omneo.update(&profile, &row).unwrap();
        world.shopify.customers.get_mut(&victim).unwrap().profile = metafield.then(|| profile.clone());
        world.held_back.clear();
        world.let_go(|_| {});
        assert!(world.rest());
        assert_eq!(
            world.memory(&format!("shopify/customer/{victim}"))["link"]["profile"],
            json!(profile),
            "{:?}",
            world.reasons()
        );
        assert_eq!((world.omneo.profiles.len(), world.host.dead_letters().count()), (1, 0));
        invariants::hold(&mut world);
    }
}

/// A customer without an e-mail address is told by the phone number.
#[test]
fn where_the_customer_has_no_address_the_phone_agrees() {
    for (phone, links) in [("+61400000007", true), ("+61400000006", false)] {
        let (mut world, victim, profile) = claimed(json!({}));
        world.shopify.customers.get_mut(&victim).unwrap().email = None;
        world.omneo.update(&profile, &json!({ "mobile_phone": phone })).unwrap();
        world.held_back = vec!["profile", "identity"];
        world.let_go(|waiting| waiting.retain(|event| event.source == "shopify"));
        assert!(world.rest());
        let is_linked = world.memory(&format!("shopify/customer/{victim}"))["link"]["profile"] == json!(profile);
        assert_eq!(is_linked, links, "{:?}", world.reasons());
    }
}

/// Where merged profiles have their customers merged in Shopify, a customer whom only an identity names stays out of it.
#[test]
fn an_identity_alone_has_no_customers_merged() {
    let rules = json!({ "people": { "on_profile_merge": "merge" } });
    let (mut world, customer, profile) = World::met(rules, &ADA);
    world.held_back = vec!["identity", "profile", "customers/"];
    let victim = world.edit(|world| world.shopify.create(&VICTIM)).unwrap();
    world.omneo.profiles.get_mut(&profile).unwrap().identities.push(victim.to_string());
    assert!(world.rest());
    world.held_back.clear();
    world.waiting.clear();
    let body = world.omneo.profiles[&profile].json();
    world.send(
        0,
        Event { source: "omneo".into(), topic: "profile.merged".into(), payload: body.to_string(), ..event() },
    );
    assert!(world.rest());
    assert_eq!(world.count("MergePersons"), 0, "{:?}", world.writes);
    assert!(
        world.last_reason().contains(&format!("has the identity of customer {victim} too")),
        "{:?}",
        world.reasons()
    );
    assert!(world.shopify.customers.contains_key(&customer) && world.shopify.customers.contains_key(&victim));
}

/// Each identity costs a read, and a run has only so many. Whoever writes a hundred of them must not make the rules fail.
#[test]
fn a_profile_with_a_crowd_of_identities_is_a_matter_for_a_person() {
    let (mut world, victim, profile) = claimed(json!({}));
    for n in 0..100 {
        world.omneo.profiles.get_mut(&profile).unwrap().identities.push((900_000 + n).to_string());
    }
    world.held_back.clear();
    world.let_go(|_| {});
    world.edit(|world| world.shopify.update(victim, &[("last_name", Some("Vane"))])).unwrap();
    world.edit(|world| world.omneo.update(&profile, &json!({ "last_name": "Mal" }))).unwrap();
    assert!(world.rest());
    let reasons: Vec<_> = world.host.dead_letters().map(|ended| ended.end.reason.clone()).collect();
    assert!(
        reasons.iter().any(|reason| reason.starts_with("the profile has the identities of 101 customers")),
        "{reasons:?}"
    );
    assert!(world.host.dead_letters().all(|ended| ended.end.outcome == tandem_sdk::Outcome::Refused), "{reasons:?}");
    invariants::hold(&mut world);
}
