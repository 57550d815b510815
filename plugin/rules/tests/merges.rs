//! Merges of people on both sides, whichever side is heard of first: one profile remains with one customer who speaks
//! for it, and nothing is deleted or created unasked.

use crate::world;

use crate::world::{Manners, World, with_timezone};
use tandem_sdk::{Event, Value, event, json};

const ADA: [(&str, Option<&str>); 2] = [("first_name", Some("Ada")), ("email", Some("ada@example.org"))];

/// A world with two people who are in step, with the customers and profiles of both.
fn two(rules: Value) -> (World, [u64; 2], [String; 2]) {
    let mut world = World::new(with_timezone(rules), 1, Manners::default());
    let customers = ["ada@example.org", "bea@example.org"].map(|email| {
        let customer = world.edit(|world| world.shopify.create(&[("email", Some(email))]).unwrap());
        assert!(world.rest());
        customer
    });
    let profiles: Vec<_> = world.omneo.profiles.keys().cloned().collect();
    world.clean_slate();
    (world, customers, [profiles[0].clone(), profiles[1].clone()])
}

fn merge_event(kept: u64, gone: u64, status: &str, job: Value) -> Event {
    let body = json!({
        "admin_graphql_api_customer_kept_id": format!("gid://shopify/Customer/{kept}"),
        "admin_graphql_api_customer_deleted_id": format!("gid://shopify/Customer/{gone}"),
        "admin_graphql_api_job_id": job, "status": status,
        "errors": if status == "failed" { json!([{ "customer_ids": [kept], "message": "Ada is being merged." }]) } else { json!([]) },
    });
    Event { topic: "customers/merge".into(), payload: body.to_string(), ..event() }
}

fn reason_with(world: &World, text: &str) -> bool {
    world.reasons().iter().any(|reason| reason.contains(text))
}

#[test]
fn the_kept_customer_takes_the_profile_of_the_deleted_one_in_either_order() {
    for is_merge_first in [false, true] {
        let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
        let gone = world.edit(|world| world.shopify.create(&ADA).unwrap());
        let kept = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))]).unwrap());
        assert!(world.rest());
        let profile = world.omneo.profiles.keys().next().unwrap().clone();
        world.clean_slate();
        world.held_back = vec!["customers/"];
        world.edit(|world| world.shopify.merge(kept, gone));
        world.held_back.clear();
        world.let_go(|waiting| {
            if is_merge_first {
                waiting.reverse();
            }
        });
        assert!(world.rest());
        let identities = &world.omneo.profiles[&profile].identities;
        assert_eq!((identities, world.omneo.profiles.len()), (&vec![kept.to_string()], 1), "{:?}", world.reasons());
        assert_eq!(world.memory(&format!("shopify/customer/{kept}"))["link"]["customer"], json!(kept));
        // The deleted customer stays deleted, and the kept customer is kept in step.
        let late = json!({ "id": gone, "email": "ada@example.org", "first_name": "Late" });
        world.send(0, Event { topic: "customers/update".into(), payload: late.to_string(), ..event() });
        assert!(world.rest());
        assert!(world.last_reason().contains("in Shopify"), "{}", world.last_reason());
        world.now += 60_000;
        world.edit(|world| world.shopify.update(kept, &[("first_name", Some("Augusta"))])).unwrap();
        assert!(world.rest());
        assert_eq!(world.omneo.profiles[&profile].first_name, "Augusta", "{:?}", world.reasons());
        assert_eq!(world.host.dead_letters().count(), 0);
    }
}

#[test]
fn without_any_memory_a_merge_comes_to_the_same() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    let gone = world.edit(|world| world.shopify.create(&ADA).unwrap());
    let kept = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))]).unwrap());
    assert!(world.rest());
    world.host.forget();
    world.held_back = vec!["customers/delete"];
    world.edit(|world| world.shopify.merge(kept, gone));
    assert!(world.rest());
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    let profile = world.omneo.profiles.values().next().unwrap();
    assert_eq!(
        (&profile.identities, world.omneo.profiles.len()),
        (&vec![kept.to_string()], 1),
        "{:?}",
        world.reasons()
    );
}

#[test]
fn two_profiles_of_merged_customers_both_stay_where_that_is_set() {
    let (mut world, [kept, gone], [own, theirs]) = two(json!({ "people": { "on_merge": "link" } }));
    world.held_back = vec!["customers/delete"];
    world.edit(|world| world.shopify.merge(kept, gone));
    assert!(world.rest());
    assert!(reason_with(&world, "which both stay (`people.on_merge = \"link\"`)"), "{:?}", world.reasons());
    assert_eq!((world.writes.len(), world.omneo.profiles.len()), (0, 2));
    // An edit of the second profile goes to no customer; an edit of the first one does.
    for (profile, name) in [(&theirs, "Bea"), (&own, "Ada")] {
        world.now += 60_000;
        world.edit(|world| world.omneo.update(profile, &json!({ "first_name": name }))).unwrap();
        assert!(world.rest());
    }
    assert_eq!(world.shopify.customers[&kept].first_name.as_deref(), Some("Ada"));
    assert!(reason_with(&world, "who was merged into one with another profile"));
    assert_eq!((world.shopify.customers.len(), world.host.dead_letters().count()), (1, 0), "{:?}", world.reasons());
}

#[test]
fn two_profiles_of_merged_customers_become_one() {
    let (mut world, [kept, gone], [own, theirs]) = two(json!({}));
    world.held_back = vec!["customers/delete"];
    world.edit(|world| world.shopify.merge(kept, gone));
    assert!(world.rest());
    assert!(reason_with(&world, &format!("profile {theirs} merged into {own}")), "{:?}", world.reasons());
    assert_eq!(world.omneo.profiles.keys().collect::<Vec<_>>(), [&own]);
    // When the event arrives once more, the profiles are merged already, and nothing is written.
    world.clean_slate();
    world.send(0, merge_event(kept, gone, "completed", Value::Null));
    assert!(world.rest());
    assert_eq!((world.writes.len(), world.host.dead_letters().count()), (0, 0), "{:?}", world.reasons());
}

#[test]
fn a_merge_of_profiles_whose_answer_is_no_is_believed_only_if_the_profile_is_there() {
    for is_gone in [true, false] {
        let (mut world, [kept, gone], [own, theirs]) = two(json!({ "people": { "on_merge": "merge" } }));
        world.held_back = vec!["customers/delete", "profile."];
        if is_gone {
            // Somebody else merges first, so that Omneo no longer knows the source.
            let (source, destination) = (theirs.clone(), own.clone());
            let faster = move |world: &mut World| world.omneo.merge(&source, &destination);
            world.before.push(("profiles/merge", Box::new(faster)));
        } else {
            world.before.push(("profiles/merge", Box::new(|world| world.omneo.refuses_merges = true)));
        }
        world.edit(|world| world.shopify.merge(kept, gone));
        assert!(world.rest());
        assert_eq!(world.host.dead_letters().count(), usize::from(!is_gone), "{:?}", world.reasons());
        assert_eq!(reason_with(&world, "did not merge profile"), !is_gone);
    }
}

#[test]
fn asked_for_a_person_has_to_look() {
    let (mut world, [kept, gone], [own, theirs]) = two(json!({ "people": { "on_merge": "ask" } }));
    world.held_back = vec!["customers/delete"];
    world.edit(|world| world.shopify.merge(kept, gone));
    assert!(world.rest());
    let both = format!(
        "customer {gone} was merged into customer {kept} in Shopify; they are linked to profiles {own} and {theirs}"
    );
    assert!(world.last_reason().contains(&format!("Refused: {both}")), "{}", world.last_reason());
    assert_eq!((world.writes.len(), world.omneo.profiles.len()), (0, 2));
}

#[test]
fn only_a_completed_merge_is_one() {
    let (mut world, [kept, gone], _) = two(json!({ "people": { "on_merge": "merge" } }));
    for status in ["failed", "in_progress", "odd"] {
        world.send(0, merge_event(kept, gone, status, Value::Null));
        assert!(world.rest());
        assert!(world.last_reason().contains(&format!("its status is `{status}`")), "{}", world.last_reason());
    }
    assert!(reason_with(&world, "`failed`: Ada is being merged."), "{:?}", world.reasons());
    assert_eq!((world.calls.len(), world.omneo.profiles.len()), (0, 2));
    // A merge that was under way may be over when its event is handled.
    for (now, is_over) in [("IN_PROGRESS", false), ("FAILED", false), ("COMPLETED", true)] {
        world.clean_slate();
        world.shopify.merge_status = Some((now, kept));
        world.send(0, merge_event(kept, gone, "in_progress", json!("gid://shopify/Job/1")));
        assert!(world.rest());
        assert_eq!(world.omneo.profiles.len(), if is_over { 1 } else { 2 }, "{:?}", world.reasons());
        assert_eq!(reason_with(&world, &format!("not completed: it is `{now}`")), !is_over, "{:?}", world.reasons());
    }
}

#[test]
fn a_merge_that_names_nobody_is_invalid() {
    let rules = world::with_timezone(json!({}));
    let (rules, _) = <tandem_rules::DefaultRules as tandem_sdk::Rules>::configure(&rules.to_string()).unwrap();
    for body in [
        json!({}),
        json!({ "admin_graphql_api_customer_kept_id": null }),
        json!({ "admin_graphql_api_customer_kept_id": [] }),
    ] {
        let event = Event { topic: "customers/merge".into(), payload: body.to_string(), ..event() };
        let why = tandem_sdk::Rules::key(&rules, &event).unwrap_err();
        assert!(why.contains("admin_graphql_api_customer_kept_id"), "{why}");
    }
}

#[test]
fn of_two_merged_profiles_the_winners_customer_speaks_and_the_other_is_noted() {
    let (mut world, [first, second], [winner, loser]) = two(json!({}));
    world.edit(|world| world.omneo.merge(&loser, &winner));
    assert!(world.rest());
    assert!(
        reason_with(
            &world,
            &format!("profile {winner} has the identity of customer {second} too; customer {first} speaks for it")
        ),
        "{:?}",
        world.reasons()
    );
    assert_eq!((world.shopify.customers.len(), world.count("MergePersons")), (2, 0));
    // The second customer does not speak for the profile: its edits go nowhere.
    world.now += 60_000;
    world.edit(|world| world.shopify.update(second, &[("first_name", Some("Bea"))])).unwrap();
    assert!(world.rest());
    assert!(
        world.last_reason().contains(&format!("customer {first} speaks for profile {winner}")),
        "{:?}",
        world.reasons()
    );
    world.edit(|world| world.shopify.update(first, &[("first_name", Some("Augusta"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&winner].first_name, "Augusta");
    assert_eq!(world.host.dead_letters().count(), 0, "{:?}", world.reasons());
}

#[test]
fn a_merge_of_profiles_that_does_not_name_the_loser_comes_to_the_same() {
    let (mut world, [first, second], [winner, loser]) = two(json!({}));
    world.held_back = vec!["profile.merged"];
    world.edit(|world| world.omneo.merge(&loser, &winner));
    world.held_back.clear();
    world.waiting.clear();
    world.send(
        0,
        Event {
            source: "omneo".into(),
            topic: "profile.merged".into(),
            payload: json!({ "id": winner }).to_string(),
            ..event()
        },
    );
    assert!(world.rest());
    world.now += 60_000;
    world.edit(|world| world.shopify.update(second, &[("first_name", Some("Bea"))])).unwrap();
    assert!(world.rest());
    assert!(
        world.last_reason().contains(&format!("customer {first} speaks for profile {winner}")),
        "{:?}",
        world.reasons()
    );
    assert_eq!((world.writes.len(), world.host.dead_letters().count()), (0, 0), "{:?}", world.reasons());
}

#[test]
fn customers_of_merged_profiles_are_merged_only_when_told() {
    let (mut world, [first, second], [winner, loser]) = two(json!({ "people": { "on_profile_merge": "merge" } }));
    world.edit(|world| world.omneo.merge(&loser, &winner));
    assert!(world.rest());
    assert!(
        reason_with(&world, &format!("the merge of customer {second} into {first} asked for")),
        "{:?}",
        world.reasons()
    );
    assert_eq!(world.shopify.customers.keys().collect::<Vec<_>>(), [&first]);
    assert_eq!(world.omneo.profiles[&winner].identities, [first.to_string()]);
    assert_eq!((world.count("MergePersons"), world.host.dead_letters().count()), (1, 0), "{:?}", world.reasons());
}
