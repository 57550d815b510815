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
