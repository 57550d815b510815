//! Sequences of events in which a synchronisation is known to go wrong, one by one.

use crate::world::{Manners, World, with_timezone};
use tandem_sdk::json;

const ADA: [(&str, Option<&str>); 3] =
    [("first_name", Some("ada")), ("email", Some("ada@example.org")), ("phone", Some("+61400000001"))];

fn first_names(world: &World, customer: u64, profile: &str) -> (String, String) {
    let customer = world.shopify.customers[&customer].first_name.clone().unwrap_or_default();
    (customer, world.omneo.profiles[profile].first_name.clone())
}

#[test]
fn omneo_writes_names_its_own_way_and_nobody_corrects_it() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("mcDonald"))])).unwrap();
    assert!(world.rest());
    let again: Vec<_> = world.delivered.iter().rev().take(2).cloned().collect();
    world.send(1000, again[0].clone());
    world.send(4 * 3_600_000, again[1].clone());
    assert!(world.rest());
    assert_eq!(first_names(&world, customer, &profile), ("mcDonald".into(), "Mcdonald".into()));
    assert_eq!(world.writes.len(), 1, "{:?}", world.writes);
    let skips: Vec<_> = world.reasons().into_iter().filter(|reason| reason.contains("echo: ")).collect();
    assert_eq!(skips.len(), 3, "{:?}", world.reasons());
}

#[test]
fn two_halves_born_at_once_become_one_person() {
    let mut world =
        World::new(with_timezone(json!({ "fields": { "first_name": { "owner": "omneo" } } })), 1, Manners::default());
    world.edit(|world| {
        world.shopify.create(&ADA).unwrap();
        world.omneo.create(&json!({ "first_name": "Adele", "email": "ada@example.org" })).unwrap();
    });
    assert!(world.rest());
    assert_eq!((world.shopify.customers.len(), world.omneo.profiles.len()), (1, 1));
    let profile = world.omneo.profiles.values().next().unwrap();
    assert_eq!((profile.identities.len(), profile.first_name.as_str()), (1, "Adele"));
    let customer = world.shopify.customers.values().next().unwrap();
    assert_eq!(customer.first_name.as_deref(), Some("Adele"));
    assert_eq!((world.host.restarts, world.host.dead_letters().count()), (1, 0), "{:?}", world.reasons());
}

#[test]
fn a_lost_answer_to_a_creation_makes_no_second_customer() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    world.lost = vec!["CreatePerson"];
    let body = json!({ "first_name": "Ada", "email": "ada@example.org" });
    let profile = world.edit(|world| world.omneo.create(&body).unwrap());
    world.after(2500, |world| {
        let id = *world.shopify.customers.keys().next().unwrap();
        world.edit(|world| world.shopify.update(id, &[("email", Some("new@example.org"))])).unwrap();
    });
    assert!(world.rest());
    assert_eq!((world.shopify.customers.len(), world.count("CreatePerson")), (1, 2));
    let customer = world.shopify.customers.values().next().unwrap();
    assert_eq!(customer.email.as_deref(), Some("new@example.org"));
    assert_eq!(world.omneo.profiles[&profile].email, "new@example.org");
}

#[test]
fn an_edit_of_a_profile_whose_creation_nobody_answered_is_merged() {
    // Omneo's own notation of a name is not an edit; a name that somebody has since given to the profile is one. Within
    // the first second the two cannot be distinguished, and the owner's name wins.
    let sigma = ("ΝΙΚΟΣ", None, ("ΝΙΚΟΣ", "Νικος"));
    let own_way = ("mcDonald", None, ("mcDonald", "Mcdonald"));
    let at_once = ("mcDonald", Some(("ada", 0)), ("mcDonald", "Mcdonald"));
    let later = ("mcDonald", Some(("ada", 3_000)), ("Ada", "Ada"));
    for (name, edited, expected) in [sigma, own_way, at_once, later] {
        let rules = json!({ "fields": { "first_name": { "owner": "shopify" } } });
        let mut world = World::new(with_timezone(rules), 1, Manners::default());
        world.lost = vec!["POST omneo /profiles"];
        let ada = [("first_name", Some(name)), ("email", Some("ada@example.org"))];
        let customer = world.edit(|world| world.shopify.create(&ada).unwrap());
        let edit = move |world: &mut World| {
            let id = world.omneo.profiles.keys().next().unwrap().clone();
            if let Some((name, after)) = edited {
                world.now += after;
                world.edit(|world| world.omneo.update(&id, &json!({ "first_name": name }))).unwrap();
            }
        };
        // The edit happens before the profile is looked for again.
        world.before.push(("availability", Box::new(move |world| world.before.push(("search-id", Box::new(edit))))));
        assert!(world.rest());
        let profile = world.omneo.profiles.keys().next().unwrap().clone();
        assert_eq!((world.omneo.profiles.len(), world.lost.len()), (1, 0));
        let names = first_names(&world, customer, &profile);
        assert_eq!((names.0.as_str(), names.1.as_str()), expected, "{:?}", world.reasons());
    }
}

#[test]
fn an_edit_that_an_answer_shows_is_not_swallowed() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let theirs = profile.clone();
    world.before.push((
        "PUT",
        Box::new(move |world| {
            world.edit(|world| world.omneo.update(&theirs, &json!({ "first_name": "Augusta" }))).unwrap();
        }),
    ));
    world.edit(|world| world.shopify.update(customer, &[("email", Some("new@example.org"))])).unwrap();
    assert!(world.rest());
    assert_eq!(first_names(&world, customer, &profile), ("Augusta".into(), "Augusta".into()));
    assert_eq!(world.omneo.profiles[&profile].email, "new@example.org");
}

#[test]
fn an_answer_to_a_write_makes_no_webhook_stale() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.held_back = vec!["customers/update"];
    world.before.push((
        "UpdatePerson",
        Box::new(move |world| {
            world.edit(|world| world.shopify.update(customer, &[("email", Some("new@example.org"))])).unwrap();
            world.now += 3000;
        }),
    ));
    world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Augusta" }))).unwrap();
    assert!(world.rest());
    // Only the webhook of the edit itself arrives, dated before our write.
    world.held_back.clear();
    world.let_go(|waiting| waiting.truncate(1));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].email, "new@example.org");
    assert_eq!(first_names(&world, customer, &profile), ("Augusta".into(), "Augusta".into()));
}

#[test]
fn the_owner_wins_whoever_is_heard_first() {
    let rules = json!({ "fields": { "first_name": { "owner": "omneo" } } });
    let (mut world, customer, profile) = World::met(rules, &ADA);
    world.held_back = vec!["profile.updated"];
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Sophie"))])).unwrap();
    world.now += 1000;
    world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Olga" }))).unwrap();
    assert!(world.rest());
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    assert_eq!(first_names(&world, customer, &profile), ("Olga".into(), "Olga".into()));
}

#[test]
fn the_owner_wins_even_when_a_write_runs_over_its_edit() {
    let rules = json!({ "fields": { "first_name": { "owner": "omneo" } } });
    let (mut world, customer, profile) = World::met(rules, &ADA);
    let theirs = profile.clone();
    world.before.push((
        "PUT",
        Box::new(move |world| {
            world.edit(|world| world.omneo.update(&theirs, &json!({ "first_name": "Olga" }))).unwrap();
            world.now += 1000;
        }),
    ));
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Sophie"))])).unwrap();
    assert!(world.rest());
    assert_eq!(first_names(&world, customer, &profile), ("Olga".into(), "Olga".into()));
    assert!(world.reasons().iter().any(|reason| reason.contains("put back")), "{:?}", world.reasons());
}

#[test]
fn an_edit_that_was_run_over_is_not_put_back_over_a_later_one() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let theirs = profile.clone();
    world.held_back = vec!["profile.updated"];
    world.before.push((
        "PUT",
        Box::new(move |world| {
            world.edit(|world| world.omneo.update(&theirs, &json!({ "first_name": "Olga" }))).unwrap();
            world.now += 1000;
        }),
    ));
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Sophie"))])).unwrap();
    assert!(world.rest());
    world.now += 5000;
    world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Petra" }))).unwrap();
    world.held_back.clear();
    world.let_go(|_| {});
    assert!(world.rest());
    assert_eq!(first_names(&world, customer, &profile), ("Petra".into(), "Petra".into()));
}

#[test]
fn a_taken_phone_goes_to_the_second_slot_and_back() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let other = json!({ "email": "other@example.com", "mobile_phone": "+61400000002" });
    let other = world.edit(|world| world.omneo.create(&other).unwrap());
    assert!(world.rest());
    world.clean_slate();
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("+61400000002"))])).unwrap();
    assert!(world.rest());
    let slots = |world: &World| {
        let profile = &world.omneo.profiles[&profile];
        (profile.mobile_phone.clone(), profile.secondary_phone.clone())
    };
    assert_eq!(slots(&world), (None, Some("+61400000002".into())));
    assert_eq!(world.shopify.customers[&customer].phone.as_deref(), Some("+61400000002"), "kept");
    world.edit(|world| world.omneo.update(&other, &json!({ "mobile_phone": null }))).unwrap();
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("+61400000003"))])).unwrap();
    assert!(world.rest());
    assert_eq!(slots(&world), (Some("+61400000003".into()), None));
}

#[test]
fn a_taken_email_is_held_and_lands_when_it_is_free() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let other = world.edit(|world| world.omneo.create(&json!({ "email": "other@example.com" })).unwrap());
    assert!(world.rest());
    world.clean_slate();
    let edit = [("email", Some("other@example.com")), ("first_name", Some("Augusta"))];
    world.edit(|world| world.shopify.update(customer, &edit)).unwrap();
    assert!(world.rest());
    let held = format!("email is held, not written to Omneo: it belongs to profile {other}");
    assert!(world.reasons().iter().any(|reason| reason.contains(&held)), "{:?}", world.reasons());
    assert_eq!(world.omneo.profiles[&profile].first_name, "Augusta");
    assert_eq!(world.writes.len(), 1, "no retry storm: {:?}", world.writes);
    world.now += 60_000;
    world.edit(|world| world.omneo.update(&other, &json!({ "email": "free@example.com" }))).unwrap();
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Ada"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].email, "other@example.com");
}

#[test]
fn tags_heard_in_the_wrong_order_end_right() {
    let rules = json!({ "tags": { "whitelist": ["vip", "mobile app"] } });
    let (mut world, customer, profile) = World::met(rules, &ADA);
    let tags = |world: &World| world.omneo.profiles[&profile].tags.iter().cloned().collect::<Vec<_>>();
    world.held_back = vec!["customer.tags"];
    world.edit(|world| world.shopify.tag(customer, &["vip"], &[]));
    world.edit(|world| world.shopify.tag(customer, &[], &["vip"]));
    world.let_go(|waiting| waiting.reverse());
    assert!(world.rest());
    assert_eq!(tags(&world), Vec::<String>::new());
    world.held_back.clear();
    for (remove, left) in [(None, "mobile-app"), (Some("mobile app"), "mobile-app"), (Some("mobile-app"), "")] {
        let add: &[_] = if remove.is_none() { &["mobile app", "mobile-app"] } else { &[] };
        world.edit(|world| world.shopify.tag(customer, add, remove.as_slice()));
        assert!(world.rest());
        assert_eq!(tags(&world).join(" "), left);
    }
}

#[test]
fn a_bounce_is_stronger_than_a_later_subscription() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.edit(|world| world.omneo.comms(&profile, &json!({ "email_bounced": true })));
    assert!(world.rest());
    world.clean_slate();
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "email", "subscribed", Some(at)));
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&customer].email_consent.0, "unsubscribed");
    assert_eq!(world.omneo.profiles[&profile].comms.get("email_promo"), None);
    assert!(world.writes.len() <= 2, "{:?}", world.writes);
}

#[test]
fn a_bounce_while_there_is_no_number_counts_when_it_is_back() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    let at = world.seconds();
    world.edit(|world| world.shopify.consent(customer, "sms", "subscribed", Some(at)));
    assert!(world.rest());
    world.now += 5000;
    world.edit(|world| world.shopify.update(customer, &[("phone", None)])).unwrap();
    assert!(world.rest());
    world.edit(|world| world.omneo.comms(&profile, &json!({ "sms_bounced": true })));
    assert!(world.rest());
    world.now += 5000;
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("+61400000001"))])).unwrap();
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&customer].sms_consent.0, "unsubscribed");
}

#[test]
fn consent_that_nobody_gave_subscribes_nobody() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.edit(|world| world.omneo.update(&profile, &json!({ "first_name": "Augusta" }))).unwrap();
    world.edit(|world| world.shopify.consent(customer, "email", "not_subscribed", None));
    assert!(world.rest());
    assert_eq!((world.count("Consent"), world.count("comms")), (0, 0));
}

#[test]
fn a_purged_profile_stays_gone() {
    let (mut world, customer, profile) = World::met(json!({}), &ADA);
    world.edit(|world| world.omneo.purge(&profile));
    for name in ["Augusta", "Ada"] {
        world.edit(|world| world.shopify.update(customer, &[("first_name", Some(name))])).unwrap();
        assert!(world.rest());
        assert!(
            world.last_reason().contains(&format!("profile {profile} is deleted in Omneo")),
            "{}",
            world.last_reason()
        );
    }
    assert_eq!((world.omneo.profiles.len(), world.writes.len()), (0, 0));
}
