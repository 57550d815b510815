//! Addresses of people: which go to the other side, which stay, and which are held, in a world without faults.

use crate::world::{World, with_timezone};
use tandem_rules::DefaultRules;
use tandem_sdk::{Rules, Value, json};

const EMAIL: (&str, Option<&str>) = ("email", Some("ada@example.org"));

fn met(rules: Value) -> (World, u64, String) {
    World::met(rules, &[EMAIL])
}

fn street(city: &str) -> Value {
    json!({ "address1": "1 High St", "city": city, "zip": "3000", "countryCode": "AU" })
}

fn row(city: &str) -> Value {
    json!({ "address_line_1": "2 Low St", "city": city, "postcode": "3000", "country": "AU" })
}

fn writes(world: &World) -> Vec<String> {
    world.writes.iter().map(|line| line.replace("/profiles/00000000-0000-4000-8000-000000000001", "")).collect()
}

/// Delivers every event once more; nothing may be written.
fn is_at_rest(world: &mut World) {
    world.clean_slate();
    for event in std::mem::take(&mut world.delivered) {
        world.send(1, event);
        assert!(world.rest());
    }
    assert_eq!(world.writes, Vec::<String>::new());
}

#[test]
fn an_address_of_shopify_goes_over_once_and_its_echo_stops() {
    let (mut world, id, profile) = met(json!({}));
    let address = world.edit(|world| world.shopify.address(id, None, &street("mcKinnon"))).unwrap();
    assert!(world.rest());
    assert_eq!(writes(&world), ["POST omneo /addresses/upsert"]);
    let rows = &world.omneo.profiles[&profile].addresses;
    assert_eq!((rows.len(), &rows[0]["external_id"]), (1, &json!(address["id"].to_string())));
    // Omneo's own notation of a city is not corrected on either side.
    assert_eq!(
        (&rows[0]["city"], &world.shopify.customers[&id].addresses[0]["city"]),
        (&json!("Mckinnon"), &json!("mcKinnon"))
    );
    is_at_rest(&mut world);
}

#[test]
fn an_address_of_omneo_goes_over_and_gets_the_id_of_shopifys() {
    let (mut world, id, profile) = met(json!({}));
    world.edit(|world| world.omneo.address(&profile, None, &row("Perth")));
    assert!(world.rest());
    assert_eq!(writes(&world), ["GRAPHQL shopify AddAddress", "PUT omneo /addresses/2"]);
    let address = &world.shopify.customers[&id].addresses[0];
    assert_eq!(world.omneo.profiles[&profile].addresses[0]["external_id"], json!(address["id"].to_string()));
    is_at_rest(&mut world);
}

#[test]
fn a_lost_answer_to_an_address_makes_no_second_one() {
    let (mut world, id, profile) = met(json!({}));
    world.lost.push("AddAddress");
    world.edit(|world| world.omneo.address(&profile, None, &row("Perth")));
    assert!(world.rest());
    assert_eq!((world.shopify.customers[&id].addresses.len(), world.count("AddAddress")), (1, 1));
    assert!(world.omneo.profiles[&profile].addresses[0]["external_id"].is_string());
    is_at_rest(&mut world);
}

#[test]
fn what_omneo_requires_holds_one_address_and_no_other() {
    let (mut world, id, profile) = met(json!({}));
    world.edit(|world| world.shopify.address(id, None, &json!({ "address1": "1 High St", "countryCode": "AU" })));
    world.edit(|world| world.shopify.address(id, None, &street("Perth")));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].addresses.len(), 1);
    let held = world.reasons().join("\n");
    assert!(held.contains("is held: Omneo requires city, postcode, which Shopify's does not have"), "{held}");
    is_at_rest(&mut world);
}

#[test]
fn only_what_was_made_here_is_deleted_there() {
    let (mut world, id, profile) = met(json!({}));
    world.edit(|world| world.shopify.address(id, None, &street("Perth")));
    assert!(world.rest());
    world.edit(|world| world.omneo.address(&profile, None, &row("Perth")));
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&id].addresses.len(), 2);
    for _ in 0..2 {
        world.edit(|world| world.omneo.drop_address(&profile, 0));
        assert!(world.rest());
    }
    // The shopper's own address stays in Shopify, and is not created again in Omneo, where it was deleted.
    let left: Vec<_> = world.shopify.customers[&id].addresses.iter().map(|one| one["address1"].clone()).collect();
    assert_eq!((left, world.omneo.profiles[&profile].addresses.len()), (vec![json!("1 High St")], 0));
    is_at_rest(&mut world);
}

#[test]
fn absence_in_shopify_deletes_nothing() {
    let (mut world, id, profile) = met(json!({}));
    let address = world.edit(|world| world.shopify.address(id, None, &street("Perth"))).unwrap();
    assert!(world.rest());
    world.edit(|world| world.shopify.drop_address(id, address["id"].as_u64().unwrap()));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].addresses.len(), 1);
    is_at_rest(&mut world);
}

#[test]
fn the_owner_decides_an_address_that_both_have_changed() {
    for (owner, is_omneo_later, expected) in [
        (Some("shopify"), true, "Perth"),
        (Some("shopify"), false, "Perth"),
        (Some("omneo"), true, "Hobart"),
        (Some("omneo"), false, "Hobart"),
        (Some("latest"), true, "Hobart"),
        (Some("latest"), false, "Perth"),
        (None, true, "Hobart"),
        (None, false, "Perth"),
    ] {
        let rules = owner.map_or(json!({}), |owner| json!({ "addresses": { "owner": owner } }));
        let (mut world, id, profile) = met(rules);
        let address = world.edit(|world| world.shopify.address(id, None, &street("Melbourne"))).unwrap();
        assert!(world.rest());
        let number = address["id"].as_u64();
        world.held_back = vec!["customers/update", "profile.address"];
        let row = world.omneo.profiles[&profile].addresses[0]["id"].clone();
        for is_omneo in [!is_omneo_later, is_omneo_later] {
            world.now += 10_000;
            if is_omneo {
                world.edit(|world| world.omneo.address(&profile, Some(row.clone()), &json!({ "city": "Hobart" })));
            } else {
                world.edit(|world| world.shopify.address(id, number, &json!({ "city": "Perth" })));
            }
        }
        world.held_back.clear();
        world.let_go(|_| {});
        assert!(world.rest());
        let s = world.shopify.customers[&id].addresses[0]["city"].clone();
        let o = world.omneo.profiles[&profile].addresses[0]["city"].clone();
        assert_eq!((s, o), (json!(expected), json!(expected)), "{owner:?} {is_omneo_later}");
        is_at_rest(&mut world);
    }
}

#[test]
fn null_clears_what_was_there_and_nothing_else() {
    let (mut world, id, profile) = met(json!({}));
    let mut with_company = street("Perth");
    with_company["company"] = json!("Acme");
    let address = world.edit(|world| world.shopify.address(id, None, &with_company)).unwrap();
    assert!(world.rest());
    let row = world.omneo.profiles[&profile].addresses[0]["id"].clone();
    world.edit(|world| world.omneo.address(&profile, Some(row), &json!({ "notes": "ring twice" })));
    world.edit(|world| world.shopify.address(id, address["id"].as_u64(), &json!({ "company": null })));
    assert!(world.rest());
    let row = &world.omneo.profiles[&profile].addresses[0];
    assert_eq!((&row["company"], &row["notes"]), (&Value::Null, &json!("ring twice")));
    is_at_rest(&mut world);
}

#[test]
fn the_default_follows() {
    let (mut world, id, profile) = met(json!({}));
    world.edit(|world| world.shopify.address(id, None, &street("Perth")));
    let second =
        world.edit(|world| world.shopify.address(id, None, &street("Hobart"))).unwrap()["id"].as_u64().unwrap();
    assert!(world.rest());
    world.now += 60_000;
    world.edit(|world| world.shopify.prefer(id, second));
    assert!(world.rest());
    let rows = world.omneo.profiles[&profile].addresses.clone();
    let default: Vec<_> = rows.iter().filter(|row| row["is_default"] == true).collect();
    assert_eq!((default.len(), &default[0]["city"]), (1, &json!("Hobart")));
    world.now += 60_000;
    let other = rows.iter().find(|row| row["is_default"] == false).map(|row| row["id"].clone());
    world.edit(|world| world.omneo.address(&profile, other, &json!({ "is_default": true })));
    assert!(world.rest());
    assert_ne!(world.shopify.customers[&id].default_address, Some(second));
    is_at_rest(&mut world);
}

#[test]
fn switched_off_nothing_goes() {
    let (mut world, id, profile) = met(json!({ "sync": { "addresses": false } }));
    world.edit(|world| world.shopify.address(id, None, &street("Perth")));
    world.edit(|world| world.omneo.address(&profile, None, &row("Perth")));
    assert!(world.rest());
    assert_eq!(world.writes, Vec::<String>::new());
    assert!(world.reasons().iter().any(|reason| reason.contains("`sync.addresses = false`")), "{:?}", world.reasons());
}

#[test]
fn a_direction_that_is_off_writes_nothing_to_that_side() {
    for (switch, side) in [("shopify_to_omneo", " omneo "), ("omneo_to_shopify", " shopify ")] {
        let (mut world, id, profile) = met(json!({}));
        let off = with_timezone(json!({ "sync": { switch: false } }));
        world.rules = DefaultRules::configure(&off.to_string()).unwrap().0;
        world.edit(|world| world.shopify.address(id, None, &street("Perth")));
        world.edit(|world| world.omneo.address(&profile, None, &row("Hobart")));
        assert!(world.rest());
        let (there, elsewhere): (Vec<_>, Vec<_>) = writes(&world).into_iter().partition(|write| write.contains(side));
        assert!(there.is_empty() && !elsewhere.is_empty(), "{switch}: {there:?} {elsewhere:?}");
        is_at_rest(&mut world);
        // When the switch is on again, the other address follows at the next look at the person's addresses.
        world.rules = DefaultRules::configure(&with_timezone(json!({})).to_string()).unwrap().0;
        world.edit(|world| world.shopify.address(id, None, &street("Cairns")));
        assert!(world.rest());
        let both = (world.shopify.customers[&id].addresses.len(), world.omneo.profiles[&profile].addresses.len());
        assert_eq!(both, (3, 3), "{switch}: {:?}", world.reasons());
        is_at_rest(&mut world);
    }
}

#[test]
fn the_id_of_another_system_stays() {
    let (mut world, id, profile) = met(json!({}));
    let mut foreign = row("Perth");
    foreign["external_id"] = json!("pos-77");
    world.edit(|world| world.omneo.address(&profile, None, &foreign));
    assert!(world.rest());
    assert_eq!((world.writes.len(), world.shopify.customers[&id].addresses.len()), (0, 0));
    assert_eq!(world.omneo.profiles[&profile].addresses[0]["external_id"], json!("pos-77"));
}

#[test]
fn lost_memory_writes_nothing() {
    let (mut world, id, profile) = met(json!({}));
    world.edit(|world| world.shopify.address(id, None, &street("Perth")));
    world.edit(|world| world.omneo.address(&profile, None, &row("Hobart")));
    assert!(world.rest());
    world.host.forget();
    is_at_rest(&mut world);
}

#[test]
fn a_number_at_fault_keeps_no_address_back() {
    let (mut world, id, profile) = met(json!({}));
    world.omneo.faults = vec![("phone", "The phone is invalid.")];
    world.shopify.faults = vec![("phone", "Phone is invalid")];
    let mut with_phone = street("Perth");
    with_phone["phone"] = json!("12");
    world.edit(|world| world.shopify.address(id, None, &with_phone));
    assert!(world.rest());
    let rows = &world.omneo.profiles[&profile].addresses;
    assert_eq!((rows.len(), rows[0].get("phone")), (1, None));
    assert!(
        world.reasons().join("\n").contains("its phone was left out: Omneo says of `phone`"),
        "{:?}",
        world.reasons()
    );
    let mut with_phone = row("Sydney");
    with_phone["phone"] = json!("12");
    world.edit(|world| world.omneo.address(&profile, None, &with_phone));
    assert!(world.rest());
    let all = &world.shopify.customers[&id].addresses;
    assert_eq!((all.len(), all[1].get("phone")), (2, None));
    assert!(world.reasons().join("\n").contains("its phone was left out: Shopify says `Phone is invalid`"));
    is_at_rest(&mut world);
}

/// In both directions, a part that had a value and is null now is cleared; a part that never went to the other side is
/// not.
#[test]
fn a_part_that_is_emptied_is_emptied_on_the_other_side() {
    let (mut world, id, profile) = met(json!({}));
    let mut full = street("Perth");
    (full["company"], full["address2"]) = (json!("Engines"), json!("Unit 2"));
    let address = world.edit(|world| world.shopify.address(id, None, &full)).unwrap();
    assert!(world.rest());
    let of = |world: &World, key: &str| world.omneo.profiles[&profile].addresses[0][key].clone();
    assert_eq!((of(&world, "company"), of(&world, "address_line_2")), (json!("Engines"), json!("Unit 2")));
    let number = address["id"].as_u64();
    world.edit(|world| world.shopify.address(id, number, &json!({ "company": null })));
    assert!(world.rest());
    assert_eq!(
        (of(&world, "company"), of(&world, "address_line_2")),
        (Value::Null, json!("Unit 2")),
        "{:?}",
        world.reasons()
    );
    let row = of(&world, "id");
    world.edit(|world| world.omneo.address(&profile, Some(row), &json!({ "address_line_2": null })));
    assert!(world.rest());
    assert_eq!(world.shopify.customers[&id].addresses[0]["address2"], Value::Null, "{:?}", world.reasons());
    is_at_rest(&mut world);
}

/// Moves the address to another city.
type Move = Box<dyn Fn(&mut World, &str)>;

#[test]
fn an_edit_that_a_write_of_an_address_ran_over_is_put_back_if_its_side_may_win() {
    for (owner, is_in_shopify, expected) in [
        ("latest", true, "Darwin"),
        ("shopify", true, "Darwin"),
        ("omneo", true, "Hobart"),
        ("latest", false, "Darwin"),
        ("omneo", false, "Darwin"),
        ("shopify", false, "Hobart"),
    ] {
        let (mut world, id, profile) = met(json!({ "addresses": { "owner": owner } }));
        let address = world.edit(|world| world.shopify.address(id, None, &street("Melbourne"))).unwrap();
        assert!(world.rest());
        let (number, row) = (address["id"].as_u64(), world.omneo.profiles[&profile].addresses[0]["id"].clone());
        let of_shopify = move |world: &mut World, city: &str| {
            world.edit(|world| world.shopify.address(id, number, &json!({ "city": city })));
        };
        let of_omneo = {
            let profile = profile.clone();
            move |world: &mut World, city: &str| {
                world.edit(|world| world.omneo.address(&profile, Some(row.clone()), &json!({ "city": city })));
            }
        };
        let (first, ambush, write): (Move, Move, _) = match is_in_shopify {
            true => (Box::new(of_omneo), Box::new(of_shopify), "ChangeAddress"),
            false => (Box::new(of_shopify), Box::new(of_omneo), "addresses/upsert"),
        };
        world.now += 60_000;
        world.before.push((
            write,
            Box::new(move |world: &mut World| {
                world.now += 5_000;
                ambush(world, "Darwin");
            }),
        ));
        first(&mut world, "Hobart");
        assert!(world.rest());
        let s = world.shopify.customers[&id].addresses[0]["city"].clone();
        let o = world.omneo.profiles[&profile].addresses[0]["city"].clone();
        assert_eq!(
            (s, o),
            (json!(expected), json!(expected)),
            "{owner}, in Shopify: {is_in_shopify}: {:#?}",
            world.reasons()
        );
        is_at_rest(&mut world);
    }
}
