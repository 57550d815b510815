//! A person is created without the values that the other side objects to, and those are held with the reason. One
//! mechanism serves creations and changes, all fields and both sides.

use crate::world::{Manners, World, with_timezone};
use tandem_sdk::{Value, json};

const LONG: &str = "A name that is longer than anybody's";

fn nobody() -> World {
    World::new(with_timezone(json!({})), 1, Manners::default())
}

fn held(world: &World, name: &str, field: &str) -> Value {
    world.memory(name)["held"][field].clone()
}

#[test]
fn a_profile_is_made_without_what_omneo_finds_fault_with() {
    for (fault, field, words) in [
        ("mobile_phone", "phone", "The phone number is invalid."),
        ("first_name", "first_name", "The first name may not be greater than 20 characters."),
        ("last_name", "last_name", "The last name format is invalid."),
    ] {
        let mut world = nobody();
        world.omneo.faults = vec![(fault, words), ("secondary_phone", words)];
        if fault != "mobile_phone" {
            world.omneo.faults.pop();
        }
        let ida = [
            ("first_name", Some(LONG)),
            ("last_name", Some("Phone")),
            ("email", Some("ida@posteo.example")),
            ("phone", Some("+15005550001")),
        ];
        let customer = world.edit(|world| world.shopify.create(&ida)).unwrap();
        assert!(world.rest());
        let profile = world.omneo.profiles.values().next().unwrap_or_else(|| panic!("{fault}: {:?}", world.reasons()));
        assert_eq!(profile.email, "ida@posteo.example");
        assert_eq!((profile.mobile_phone.is_none(), &profile.secondary_phone), (fault == "mobile_phone", &None));
        let first = &world.reasons()[0];
        let said = format!("{field} is held, not written to Omneo: Omneo says `{words}`");
        assert!(first.contains("Done: ") && first.contains(&said), "{first}");
        assert!(held(&world, &format!("shopify/customer/{customer}"), field)["again"] == json!(false));
        // When the value is corrected on its own side, it goes over.
        world.omneo.faults.clear();
        world.clean_slate();
        let mended = if field == "phone" { "+15005550006" } else { "Ida" };
        world.edit(|world| world.shopify.update(customer, &[(field, Some(mended))])).unwrap();
        assert!(world.rest());
        let profile = world.omneo.profiles.values().next().unwrap();
        let shown =
            [profile.mobile_phone.clone().unwrap_or_default(), profile.first_name.clone(), profile.last_name.clone()];
        assert!(shown.contains(&mended.to_owned()), "{field}: {shown:?} {:?}", world.reasons());
        assert!(!world.last_reason().contains("is held"), "{}", world.last_reason());
    }
}

#[test]
fn a_customer_is_made_without_what_shopify_finds_fault_with() {
    for (fault, field, words) in [
        ("phone", "phone", "Phone is invalid"),
        ("firstName", "first_name", "First name is too long (maximum is 255 characters)"),
        ("lastName", "last_name", "Last name cannot contain URL"),
        ("email", "email", "Email contains an invalid domain name"),
    ] {
        let mut world = nobody();
        world.shopify.faults = vec![(fault, words)];
        let body = json!({
            "first_name": "Ida", "last_name": "Phone", "email": "ida@posteo.example", "mobile_phone": "+15005550001"
        });
        world.edit(|world| world.omneo.create(&body)).unwrap();
        assert!(world.rest());
        let customer =
            world.shopify.customers.values().next().unwrap_or_else(|| panic!("{fault}: {:?}", world.reasons()));
        assert_eq!(customer.get(field), &None, "{fault}");
        let said = format!("{field} is held, not written to Shopify: Shopify says `{words}`");
        assert!(world.reasons()[0].contains(&said), "{:?}", world.reasons());
    }
}

#[test]
fn an_e_mail_that_omneo_does_not_take_is_the_reason_at_once() {
    let mut world = nobody();
    world.omneo.faults = vec![("email", "The email must be a valid email address.")];
    world.edit(|world| world.shopify.create(&[("email", Some("ida@localhost"))])).unwrap();
    assert!(world.rest());
    assert_eq!(
        world.last_reason(),
        "Outcome::Refused: creating the profile: Omneo says of `email`: `The email must be a valid email address.`"
    );
    assert_eq!(world.count("POST omneo /profiles"), world.count("search-id") + world.count("availability") + 1);
}

/// The words of the objection decide for every field: a number that somebody else has goes into the second slot, an
/// invalid one does not.
#[test]
fn taken_is_told_from_invalid_by_the_words() {
    for (words, second) in [
        ("The mobile phone has already been taken.", true),
        ("This number already exists.", true),
        ("The mobile phone is not a valid number.", false),
    ] {
        let mut world = nobody();
        world.omneo.faults = vec![("mobile_phone", words)];
        let ida = [("email", Some("ida@posteo.example")), ("phone", Some("+15005550001"))];
        world.edit(|world| world.shopify.create(&ida)).unwrap();
        assert!(world.rest());
        let profile = world.omneo.profiles.values().next().expect("it is made");
        assert_eq!(profile.secondary_phone.is_some(), second, "{words}: {:?}", world.reasons());
        // An objection to a change is read in the same way.
        world.clean_slate();
        let customer = *world.shopify.customers.keys().next().unwrap();
        world.edit(|world| world.shopify.update(customer, &[("phone", Some("+15005550009"))])).unwrap();
        assert!(world.rest());
        let profile = world.omneo.profiles.values().next().unwrap();
        assert_eq!(
            profile.secondary_phone.as_deref() == Some("+15005550009"),
            second,
            "{words}: {:?}",
            world.reasons()
        );
        assert_eq!(world.last_reason().contains("phone is held"), !second, "{:?}", world.reasons());
    }
}

#[test]
fn what_is_held_is_the_first_thing_said() {
    let (mut world, customer, _) = World::met(json!({}), &[("email", Some("ida@posteo.example"))]);
    world.edit(|world| world.shopify.update(customer, &[("phone", Some("12"))])).unwrap();
    assert!(world.rest());
    assert_eq!(
        world.last_reason(),
        "Outcome::Skipped: phone is held, not written to Omneo: it is not an international number; nothing was written"
    );
}
