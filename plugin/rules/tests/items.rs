//! Items of pulls: products and locations by pairs, people in the world, and what an item that is in step costs.

use tandem_sdk::{Event, Outcome, Value, event, json};

use crate::conversation::{Omneo, Run, body_of, parse, rules, run, shopify};
use crate::rendered;
use crate::world::scenario::live;
use crate::world::{Manners, World, with_timezone};

const IN_STEP: &str = "in step: it is as when it was last read";

fn item(source: &str, pull: &str, payload: &Value) -> Event {
    Event { source: source.into(), topic: format!("pull/{pull}"), payload: payload.to_string(), ..event() }
}

fn product() -> Value {
    json!({
        "id": 61, "admin_graphql_api_id": "gid://shopify/Product/61", "title": "Tea", "handle": "tea", "vendor": "Leaf",
        "body_html": "<p>Green</p>", "status": "active", "published_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-03-01T10:00:00+11:00", "tags": "green, loose", "product_type": "Drinks",
        "options": [{"name": "Size", "position": 1}, {"name": "Tin", "position": 2}],
        "images": [
            {"src": "https://cdn.example.org/tea.png", "position": 1},
            {"src": "https://cdn.example.org/cup.png", "position": 2},
        ],
        "variants": [
            {
                "id": 92, "title": "Large / Red", "sku": "TEA", "price": "30.00", "compare_at_price": "35.00",
                "position": 2, "option1": "Large", "option2": "Red", "barcode": "930",
            },
            {
                "id": 91, "title": "Small / Red", "sku": "TEA", "price": "19.90", "compare_at_price": null,
                "position": 1, "option1": "Small", "option2": "Red", "barcode": null,
            },
        ],
    })
}

fn gid(kind: &str, id: &Value) -> String {
    format!("gid://shopify/{kind}/{id}")
}

/// The product as GraphQL shows it, from its body and Shopify's schema.
fn product_node(body: &Value, connection: fn(Vec<Value>) -> Value) -> Value {
    let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
    let options = list("options");
    let variant = |variant: &Value| {
        let chosen = options
            .iter()
            .enumerate()
            .map(|(n, option)| json!({ "name": option["name"], "value": variant[format!("option{}", n + 1)] }));
        json!({
            "__typename": "ProductVariant", "id": gid("ProductVariant", &variant["id"]), "title": variant["title"],
            "sku": variant["sku"], "barcode": variant["barcode"], "price": variant["price"],
            "compareAtPrice": variant["compare_at_price"], "position": variant["position"],
            "selectedOptions": chosen.collect::<Value>(),
        })
    };
    let mut media: Vec<_> = list("images")
        .iter()
        .map(|image| json!({ "__typename": "MediaImage", "id": "gid://shopify/MediaImage/1", "image": { "url": image["src"] } }))
        .collect();
    media.insert(media.len().min(1), json!({ "__typename": "Video", "id": "gid://shopify/Video/1" }));
    media.push(json!({ "__typename": "MediaImage", "id": "gid://shopify/MediaImage/2", "image": null }));
    json!({
        "__typename": "Product", "id": body["admin_graphql_api_id"], "title": body["title"], "handle": body["handle"],
        "vendor": body["vendor"], "productType": body["product_type"],
        "status": body["status"].as_str().map(str::to_uppercase), "descriptionHtml": body["body_html"],
        "tags": body["tags"].as_str().unwrap_or_default().split(", ").collect::<Vec<_>>(),
        "createdAt": body["created_at"], "updatedAt": body["updated_at"], "publishedAt": body["published_at"],
        "templateSuffix": null, "variantsCount": { "count": list("variants").len() },
        "variants": connection(list("variants").iter().map(variant).collect()), "media": connection(media),
    })
}

fn nodes(nodes: Vec<Value>) -> Value {
    json!({ "nodes": nodes })
}

fn edges(nodes: Vec<Value>) -> Value {
    json!({ "edges": nodes.into_iter().map(|node| json!({ "node": node })).collect::<Value>() })
}

fn hear(event: &Event, memory: &[String]) -> Run {
    run(&rules(json!({})), event, memory, |call| {
        assert_eq!(call.line(), "POST omneo /products/queue");
        (200, json!({ "data": "queued" }))
    })
}

#[test]
fn a_product_is_the_same_however_it_comes() {
    for changes in [
        json!({}),
        json!({ "status": "draft" }),
        json!({ "published_at": null }),
        json!({ "tags": "", "vendor": "", "body_html": "", "images": [] }),
    ] {
        let mut body = product();
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let by_webhook = hear(&shopify("products/update", &body), &[]);
        let paged = item("shopify", "products", &product_node(&body, nodes));
        let of_job = item("shopify", "products", &rendered::lines(product_node(&body, edges)));
        for event in [&paged, &of_job] {
            let came = hear(event, &[]);
            assert_eq!((&came.bodies, came.outcome()), (&by_webhook.bodies, by_webhook.outcome()), "{changes}");
            // What comes second brings nothing new, and the same item is not even looked at.
            let unchanged = "nothing of the product that Omneo keeps has changed";
            assert_eq!(hear(event, &by_webhook.memory()).end.reason, unchanged);
            assert_eq!(hear(&shopify("products/update", &body), &came.memory()).end.reason, unchanged);
            let same = hear(event, &came.memory());
            assert_eq!((same.end.reason.as_str(), same.end.memory), (IN_STEP, None));
        }
    }
}

#[test]
fn variants_that_a_list_is_short_of_are_read() {
    let mut node = product_node(&product(), nodes);
    node["variantsCount"]["count"] = json!(3);
    let event = item("shopify", "products", &node);
    let page = |ids: &[u64], next: Option<&str>| {
        let variant = |id: &u64| {
            json!({
                "id": format!("gid://shopify/ProductVariant/{id}"), "title": "More", "price": "1.00", "position": id,
                "selectedOptions": [],
            })
        };
        let nodes: Value = ids.iter().map(variant).collect();
        let info = json!({ "hasNextPage": next.is_some(), "endCursor": next });
        json!({ "data": { "product": { "variants": { "nodes": nodes, "pageInfo": info } } } })
    };
    let came = run(&rules(json!({})), &event, &[], |call| match call.target.as_str() {
        "omneo" => (200, json!({ "data": "queued" })),
        _ => match body_of(call)["after"].as_str() {
            None => (200, page(&[91, 92], Some("abc"))),
            Some(after) => {
                assert_eq!((after, call.line().as_str()), ("abc", "GRAPHQL shopify ProductVariants"));
                (200, page(&[93], None))
            }
        },
    });
    assert_eq!(came.outcome(), (Outcome::Done, "product `Tea` sent with 3 variants"));
    let sent = &came.bodies[2];
    assert_eq!(
        (sent["variants"][2]["external_id"].as_str(), &sent["archive_existing_variants"]),
        (Some("93"), &json!(true))
    );
    for (answer, why) in [
        (json!({ "data": { "product": null } }), "Shopify does not show the product"),
        (json!({ "errors": [{ "message": "Internal" }], "data": null }), "Internal"),
        (page(&[91], Some("abc")), "there are more than 3000 of them"),
    ] {
        let came = run(&rules(json!({})), &event, &[], |_| (200, answer.clone()));
        let why = format!("reading the variants that the list does not hold: {why}");
        assert_eq!(came.outcome(), (Outcome::Refused, why.as_str()));
    }
}

#[test]
fn a_location_is_the_same_however_it_comes() {
    let address = |phone: Value| {
        json!({
            "address1": "1 Gertrude St", "address2": null, "city": "Melbourne", "province": "Victoria", "provinceCode": "VIC",
            "country": "Australia", "countryCode": "AU", "zip": "3065", "phone": phone,
        })
    };
    let node = |active: bool| {
        json!({
            "id": "gid://shopify/Location/71", "name": "Fitzroy", "isActive": active, "updatedAt": "2026-03-01T00:00:00Z",
            "address": address(json!("+61390000000")),
        })
    };
    let body = |active: bool| {
        json!({
            "id": 71, "admin_graphql_api_id": "gid://shopify/Location/71", "name": "Fitzroy", "address1": "1 Gertrude St",
            "address2": null, "city": "Melbourne", "zip": "3065", "province": "Victoria", "province_code": "VIC",
            "country": "AU", "country_name": "Australia", "country_code": "AU", "phone": "+61390000000", "active": active,
            "updated_at": "2026-03-01T11:00:00+11:00",
        })
    };
    let rules = rules(json!({}));
    for active in [true, false] {
        let (mut by_webhook, mut by_item) = (Omneo::default(), Omneo::default());
        by_webhook.hear(&rules, &shopify("locations/update", &body(active)));
        let listed = item("shopify", "locations", &node(active));
        by_item.hear(&rules, &listed);
        assert_eq!(by_item.locations, by_webhook.locations);
        let again = by_webhook.hear(&rules, &listed);
        assert_eq!((again.calls.len(), again.end.outcome), (0, Outcome::Skipped));
        let same = by_item.hear(&rules, &listed);
        assert_eq!((same.calls.len(), same.end.reason.as_str()), (0, IN_STEP));
    }
}

/// Reads both sides as the host does: first the profiles, as Omneo lists them, then the customers.
fn reconcile(world: &mut World) {
    let mut items = vec![];
    for profile in world.omneo.profiles.values() {
        let mut listed = profile.json();
        listed.as_object_mut().unwrap().retain(|key, _| key != "attributes" && key != "addresses");
        items.push(item("omneo", "profiles", &listed));
    }
    for customer in world.shopify.customers.values() {
        items.push(item("shopify", "customers", &customer.node()));
    }
    for (n, event) in items.into_iter().enumerate() {
        let occurred_at = tandem_sdk::Time(world.now).rfc3339();
        world.send(n as i64, Event { id: format!("i{}-{n}", world.now), occurred_at, ..event });
    }
    assert!(world.rest());
}

#[test]
fn people_who_are_in_step_cost_nothing() {
    let (mut world, _, _) =
        World::met(json!({}), &[("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))]);
    for _ in 0..2 {
        world.clean_slate();
        reconcile(&mut world);
        assert_eq!(world.calls, Vec::<String>::new(), "{:?}", world.reasons());
        let reasons = world.reasons();
        assert!(
            reasons.len() == 2 && reasons.iter().all(|reason| reason.starts_with("Outcome::Skipped: ")),
            "{reasons:?}"
        );
    }
}

#[test]
fn what_no_webhook_has_told_is_found_by_a_list() {
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let (mut world, customer, profile) = World::met(json!({}), &ada);
    // A webhook of each side is lost.
    world.held_back = vec!["customers/update", "profile.updated"];
    world.edit(|world| world.shopify.update(customer, &[("first_name", Some("Augusta"))])).unwrap();
    assert!(world.rest());
    world.edit(|world| world.omneo.update(&profile, &json!({ "last_name": "King" }))).unwrap();
    assert!(world.rest());
    world.waiting.clear();
    world.clean_slate();
    reconcile(&mut world);
    assert_eq!(world.shopify.customers[&customer].get("last_name").as_deref(), Some("King"), "{:?}", world.reasons());
    assert_eq!(world.omneo.profiles[&profile].first_name, "Augusta");
    world.waiting.clear();
    // The next reading sees what the first has written, and takes it for that.
    for _ in 0..2 {
        world.clean_slate();
        reconcile(&mut world);
        assert_eq!(world.calls, Vec::<String>::new(), "{:?}", world.reasons());
    }
}

#[test]
fn an_item_that_led_to_something_is_not_looked_at_again_until_its_memory_changes() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    world.held_back = vec!["customers/", "profile."];
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let id = world.edit(|world| world.shopify.create(&ada)).unwrap();
    let listed = item("shopify", "customers", &world.shopify.customers[&id].node());
    world.send(0, listed.clone());
    assert!(world.rest());
    assert_eq!(world.omneo.profiles.len(), 1, "{:?}", world.reasons());
    world.clean_slate();
    world.send(0, listed);
    assert!(world.rest());
    assert_eq!((world.last_reason(), world.calls.len()), (format!("Outcome::Skipped: {IN_STEP}"), 0));
    // What the rules have written themselves makes another item, which is an echo.
    let written = item("shopify", "customers", &world.shopify.customers[&id].node());
    world.send(0, written);
    assert!(world.rest());
    let echo = "Outcome::Skipped: echo: the customer is as it was last seen";
    assert_eq!((world.last_reason().as_str(), world.calls.len()), (echo, 0));
}

#[test]
fn a_mark_goes_with_the_settings_and_with_any_other_change_of_the_memory() {
    let rules_with = |level: &str| rules(json!({ "products": { "level": level } }));
    let event = item("shopify", "products", &product_node(&product(), nodes));
    let queued = |_: &tandem_sdk::Call| (200, json!({ "data": "queued" }));
    let memory = run(&rules_with("header"), &event, &[], queued).memory();
    assert_eq!(run(&rules_with("header"), &event, &memory, queued).end.reason, IN_STEP);
    assert_eq!(run(&rules_with("variant"), &event, &memory, queued).end.outcome, Outcome::Done, "other settings");
    // An event that changes the memory removes the mark; the next item is looked at, and found in step.
    let mut dearer = product();
    dearer["variants"][0]["price"] = json!("31.00");
    dearer["updated_at"] = json!("2026-03-01T10:00:01+11:00");
    let changed = run(&rules_with("header"), &shopify("products/update", &dearer), &memory, queued).memory();
    assert_eq!(parse(&changed[0])["pulled"], Value::Null);
    let newer = Event {
        occurred_at: "2026-03-02T00:00:00Z".into(),
        ..item("shopify", "products", &product_node(&dearer, nodes))
    };
    let again = run(&rules_with("header"), &newer, &changed, queued);
    assert_eq!(again.outcome(), (Outcome::Skipped, "nothing of the product that Omneo keeps has changed"));
    let same = run(&rules_with("header"), &newer, &again.memory(), queued);
    let why = "as when it was last read: nothing of the product that Omneo keeps has changed";
    assert_eq!(same.outcome(), (Outcome::Skipped, why));
    // A memory of two halves, and one that cannot be read, hold no mark.
    for memory in [vec![memory[0].clone(), "{}".into()], vec!["{".into()]] {
        assert_ne!(run(&rules_with("header"), &event, &memory, queued).end.reason, IN_STEP);
    }
}

#[test]
fn what_is_held_is_tried_again_with_every_reading() {
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let (mut world, customer, _) = World::met(json!({}), &ada);
    let bob = json!({ "email": "bob@posteo.example", "first_name": "Bob", "last_name": "Baker" });
    world.edit(|world| world.omneo.create(&bob)).unwrap();
    assert!(world.rest());
    // Ada takes the address that Bob has in Omneo; he keeps his customer's address.
    let bobs = world.shopify.customers.values().find(|c| c.get("first_name").as_deref() == Some("Bob")).unwrap().id;
    world.held_back = vec!["customers/", "profile."];
    world.edit(|world| world.shopify.update(bobs, &[("email", Some("robert@posteo.example"))])).unwrap();
    world.edit(|world| world.shopify.update(customer, &[("email", Some("bob@posteo.example"))])).unwrap();
    assert!(world.rest());
    let listed = world.shopify.customers[&customer].node();
    for _ in 0..2 {
        world.clean_slate();
        world.send(0, item("shopify", "customers", &listed));
        assert!(world.rest());
        assert!(world.last_reason().contains("email is held") && !world.calls.is_empty(), "{:?}", world.reasons());
    }
    // Once the address is free, the same item is enough.
    world.waiting.clear();
    let listed_bob = world.shopify.customers[&bobs].node();
    world.send(0, item("shopify", "customers", &listed_bob));
    assert!(world.rest());
    world.send(0, item("shopify", "customers", &listed));
    assert!(world.rest());
    let of_ada = world.omneo.profiles.values().find(|profile| profile.first_name == "Ada").unwrap();
    assert_eq!(of_ada.email, "bob@posteo.example", "{:?}", world.reasons());
}

#[test]
fn a_customer_without_an_email_costs_nothing() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    let nobody = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))])).unwrap();
    assert!(world.rest());
    let why =
        "Outcome::Skipped: the customer has no e-mail, and Omneo requires one; it is tried again when there is one";
    assert_eq!((world.last_reason().as_str(), world.calls.len()), (why, 0));
    reconcile(&mut world);
    assert_eq!((world.last_reason().as_str(), world.calls.len()), (why, 0));
    // One with a phone number may be known by its identity, and is looked for once.
    let phone = [("first_name", Some("Bob")), ("phone", Some("+15005550006"))];
    let known = world.edit(|world| world.shopify.create(&phone)).unwrap();
    assert!(world.rest());
    assert_eq!((world.last_reason().as_str(), world.calls.len()), (why, 2));
    world.clean_slate();
    world.edit(|world| world.shopify.update(known, &[("last_name", Some("Baker"))])).unwrap();
    assert!(world.rest());
    reconcile(&mut world);
    assert_eq!(world.calls, Vec::<String>::new(), "{:?}", world.reasons());
    // With an e-mail, both get their profile.
    for (n, id) in [nobody, known].into_iter().enumerate() {
        let email = format!("n{n}@posteo.example");
        world.edit(|world| world.shopify.update(id, &[("email", Some(&email))])).unwrap();
        assert!(world.rest());
    }
    assert_eq!(world.omneo.profiles.len(), 2, "{:?}", world.reasons());
}

/// Shopify may have said once, by mistake, that somebody is gone. A list that shows them is a reason to ask again.
#[test]
fn who_is_listed_is_not_taken_for_deleted_for_ever() {
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let deleted = |customer: u64| {
        let payload = json!({ "id": customer }).to_string();
        Event { topic: "customers/delete".into(), payload, ..event() }
    };
    let (mut world, customer, profile) = World::met(json!({}), &ada);
    world.send(0, deleted(customer));
    assert!(world.rest());
    assert_eq!(world.omneo.profiles[&profile].identities, Vec::<String>::new());
    reconcile(&mut world);
    assert_eq!(world.omneo.profiles[&profile].identities, [customer.to_string()], "{:?}", world.reasons());
    world.waiting.clear();
    for _ in 0..2 {
        world.clean_slate();
        reconcile(&mut world);
    }
    assert_eq!(world.writes, Vec::<String>::new(), "{:?}", world.reasons());
    // Whoever is gone stays gone.
    let (mut world, customer, profile) = World::met(json!({}), &ada);
    let node = world.shopify.customers[&customer].node();
    world.shopify.lose(customer);
    world.send(0, deleted(customer));
    assert!(world.rest());
    world.clean_slate();
    world.send(1, item("shopify", "customers", &node));
    assert!(world.rest());
    assert_eq!((world.writes.len(), world.calls.len()), (0, 1), "{:?}", world.reasons());
    assert_eq!(world.omneo.profiles[&profile].identities, Vec::<String>::new());
}

/// A list shows no addresses, and yet a customer who is met in one takes them along.
#[test]
fn the_first_item_of_a_customer_brings_the_addresses() {
    let mut world = World::new(with_timezone(json!({})), 1, Manners::default());
    world.held_back = vec!["customers/"];
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let customer = world.edit(|world| world.shopify.create(&ada)).unwrap();
    let address = json!({ "id": 41, "address1": "1 Gertrude St", "city": "Fitzroy", "zip": "3065", "country": "Australia", "country_code": "AU", "default": true });
    world.shopify.customers.get_mut(&customer).unwrap().addresses.push(address);
    assert!(world.rest());
    world.waiting.clear();
    reconcile(&mut world);
    let profile = world.omneo.profiles.values().next().unwrap();
    assert_eq!(profile.addresses.len(), 1, "{:?}", world.reasons());
}

/// What is skipped because of somebody else is looked at again: the other may be gone by then.
#[test]
fn a_verdict_about_somebody_else_is_not_kept() {
    let ada = [("first_name", Some("Ada")), ("email", Some("ada@posteo.example"))];
    let (mut world, customer, profile) = World::met(json!({}), &ada);
    let other = world.edit(|world| world.shopify.create(&[("first_name", Some("Ada"))])).unwrap();
    world.shopify.customers.get_mut(&other).unwrap().profile = Some(profile.clone());
    assert!(world.rest());
    for _ in 0..2 {
        reconcile(&mut world);
    }
    assert!(
        world.reasons().iter().any(|reason| reason.contains(&format!("customer {customer} speaks for"))),
        "{:?}",
        world.reasons()
    );
    world.shopify.lose(customer);
    world
        .send(0, Event { topic: "customers/delete".into(), payload: json!({ "id": customer }).to_string(), ..event() });
    assert!(world.rest());
    reconcile(&mut world);
    assert_eq!(world.omneo.profiles[&profile].identities, [other.to_string()], "{:?}", world.reasons());
}

/// After any life, a reading of both sides writes nothing that the one after it would not have left alone.
#[test]
fn after_any_life_a_second_reading_changes_nothing() {
    let (mut asked, mut read) = (0, 0);
    for seed in 0..80 {
        let mut world = live(seed, false, false).world;
        world.manners = Manners::default();
        world.clean_slate();
        reconcile(&mut world);
        world.clean_slate();
        reconcile(&mut world);
        assert_eq!(world.writes, Vec::<String>::new(), "seed {seed}: {:?}", world.reasons());
        read += world.host.ended.len();
        asked += world.host.ended.iter().filter(|ended| !ended.sent.is_empty()).count();
    }
    println!("{read} items, of which {asked} asked for something");
    assert!(asked * 4 < read, "{asked} of {read} items asked for something");
}
