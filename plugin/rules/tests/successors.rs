//! Successors of deleted halves: a new half takes the place of one that is gone, and never becomes a second of its
//! kind.

use crate::world::{Manners, World, invariants, with_timezone};
use tandem_sdk::{Event, Value, event, json};

const ADA: [(&str, Option<&str>); 2] = [("first_name", Some("Ada")), ("email", Some("ada@example.org"))];

fn nobody_is_stuck(world: &World) {
    assert_eq!(world.host.dead_letters().count(), 0, "{:?}", world.reasons());
}

/// Checks that the customer speaks for the profile: an edit of the customer reaches it.
fn speaks(world: &mut World, customer: u64, profile: &str) {
    world.now += 60_000;
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Augusta"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[profile].first_name, "Augusta", "{:?}", world.reasons());
    nobody_is_stuck(world);
    invariants::hold(world);
}

#[test]
fn a_new_customer_takes_over_the_profile_of_a_deleted_one_in_either_order() {
    for is_deletion_late in [false, true] {
        let (mut world, old, profile) = World::met(json!({}), &ADA);
        world.held_back = if is_deletion_late { vec!["customers/delete"] } else { vec![] };
        world.edit(|world| world.shopify.delete(old));
        assert!(world.rest());
        world.now += 60_000;
        let new = world.edit(|world| world.shopify.create(&ADA)).unwrap();
        assert!(world.rest());
        world.held_back.clear();
        world.let_go(|_| {});
        assert!(world.rest());
        assert_eq!(world.omneo.profiles[&profile].identities, [new.to_string()], "{:?}", world.reasons());
        speaks(&mut world, new, &profile);
    }
}

#[test]
fn what_a_deleted_customer_said_last_does_not_touch_its_successor() {
    let (mut world, old, profile) = World::met(json!({}), &ADA);
    world.held_back = vec!["customers/update"];
    world.edit(|world| world.shopify.update(old, &[("first_name", Some("Late"))])).unwrap();
    world.edit(|world| world.shopify.delete(old));
    assert!(world.rest());
    let new = world.edit(|world| world.shopify.create(&ADA)).unwrap();
    assert!(world.rest());
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].first_name, "Ada", "{:?}", world.reasons());
    speaks(&mut world, new, &profile);
}

#[test]
fn a_new_profile_takes_over_the_customer_of_a_deleted_one() {
    let (mut world, customer, old) = World::met(json!({}), &ADA);
    world.edit(|world| world.omneo.delete(&old));
    assert!(world.rest());
    world.now += 60_000;
    let row = json!({ "first_name": "Ada", "email": "ada@example.org" });
    let new = world.edit(|world| world.omneo.create(&row)).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&new].identities, [customer.to_string()], "{:?}", world.reasons());
    speaks(&mut world, customer, &new);
}

#[test]
fn a_deleted_half_is_created_again_only_when_told() {
    let (mut world, old, profile) = World::met(json!({ "people": { "recreate_deleted": true } }), &ADA);
    world.edit(|world| world.shopify.delete(old));
    assert!(world.rest());
    world.now += 60_000;
    world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Bea" }))).unwrap();
    assert!(world.rest());
    let new = *world.shopify.customers.keys().next().expect("it is created again");
    assert_eq!((world.shopify.customers.len(), world.count("CreatePerson")), (1, 1), "{:?}", world.reasons());
    assert_eq!(world.shopify.customers[&new].first_name.as_deref(), Some("Bea"));
    speaks(&mut world, new, &profile);

    // The same in the other direction.
    world.clean_slate();
    world.edit(|world| world.omneo.delete(&profile));
    assert!(world.rest());
    world.now += 60_000;
    world.edit(|world| world.shopify.update(new, &[("first_name", Some("Cea"))])).unwrap();
    assert!(world.rest());
    let again = world.omneo.profiles.keys().next().expect("it is created again").clone();
    assert_eq!((world.omneo.profiles.len(), again != profile), (1, true), "{:?}", world.reasons());
    speaks(&mut world, new, &again);
}

#[test]
fn a_customer_follows_its_profile_into_another_though_nobody_names_the_one_that_is_gone() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    let customer = world.edit(|world| world.shopify.create(&ADA)).unwrap();
    assert!(world.rest());
    let loser = world.omneo.profiles.keys().next().unwrap().clone();
    // A profile that no customer speaks for yet.
    world.held_back = vec!["profile.created", "profile.merged"];
    let row = json!({ "first_name": "Bea", "email": "bea@example.org" });
    let winner = world.edit(|world| world.omneo.create(&row)).unwrap();
    world.edit(|world| world.omneo.merge(&loser, &winner));
    assert!(world.rest());
    world.held_back.clear();
    world.waiting.clear();
    world.send(0, merged(&winner));
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&customer].profile.as_deref(), Some(winner.as_str()), "{:?}", world.reasons());
    nobody_is_stuck(&world);
    speaks(&mut world, customer, &winner);
}

fn merged(winner: &str) -> Event {
    let payload: Value = json!({ "id": winner });
    Event { source: "omneo".into(), topic: "profile.merged".into(), payload: payload.to_string(), ..event() }
}

#[test]
fn a_resync_makes_nobody_on_a_side_that_is_not_written() {
    let rules = json!({ "people": { "recreate_deleted": true }, "sync": { "shopify_to_omneo": false } });
    let mut world = World::new(with_timezone(rules), 1, Manners::default());
    let row = json!({ "first_name": "Ada", "email": "ada@example.org" });
    let profile = world.edit(|world| world.omneo.create(&row)).unwrap();
    assert!(world.rest());
    let customer = *world.shopify.customers.keys().next().expect("it goes to Shopify");
    world.held_back = vec!["profile.deleted"];
    world.edit(|world| world.omneo.delete(&profile));
    let names = json!({ "names": [format!("shopify/customer/{customer}"), format!("omneo/profile/{profile}")] });
    world.send(0, Event { source: "tandem".into(), topic: "resync".into(), payload: names.to_string(), ..event() });
    assert!(world.rest());
    assert_eq!((world.omneo.profiles.len(), world.shopify.customers.len()), (0, 1), "{:?}", world.reasons());
    assert!(world.last_reason().contains("is deleted in Omneo"), "{:?}", world.reasons());
}

/// The host asks about a customer who was logged in and has no profile.
#[test]
fn a_customer_who_is_asked_about_alone_is_met_as_at_the_first_contact() {
    let asked = |customer: u64| {
        let names = json!({ "names": [format!("shopify/customer/{customer}")] });
        Event { source: "tandem".into(), topic: "resync".into(), payload: names.to_string(), ..event() }
    };
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@example.org"))];
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    world.held_back = vec!["customers/create"];
    let customer = world.edit(|world| world.shopify.create(&ada)).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles.len(), 0);
    world.send(0, asked(customer));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles.len(), 1, "{:?}", world.reasons());
    let profile = world.omneo.profiles.keys().next().cloned();
    assert_eq!(world.shopify.customers[&customer].profile, profile);
    // When asked once more, nothing is written.
    let writes = world.writes.len();
    world.send(0, asked(customer));
    assert!(world.rest());
    assert_eq!(world.writes.len(), writes, "{:?}", world.writes);
    // A deleted customer is not brought back, and nobody is created on a side that is not written.
    world.edit(|world| world.shopify.delete(customer));
    assert!(world.rest());
    world.send(0, asked(customer));
    assert!(world.rest());
    assert_eq!(world.shopify.customers.len(), 0);
    let off = with_timezone(json!({ "sync": { "shopify_to_omneo": false } }));
    let mut world = World::new(off, 1, Manners::default());
    let customer = world.edit(|world| world.shopify.create(&ada)).unwrap();
    world.send(0, asked(customer));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles.len(), 0, "{:?}", world.reasons());
    assert!(world.last_reason().contains("sync.shopify_to_omneo = false"), "{:?}", world.reasons());
}
