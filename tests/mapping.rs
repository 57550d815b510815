//! Stories about mapped fields, through the real host against both stand-ins: what a tenant maps arrives, in both
//! directions or in one, and stays quiet afterwards.

use crate::town::{RULES, Town};
use serde_json::{Value, json};

const FIELDS: &str = r#"
[fields]
reward_balance = false

[fields.birthday]
omneo = "birth_date"
shopify = "metafields.facts.birth_date"
format = "date"

[fields.shoe_size]
omneo = "custom_attributes.shop.shoe_size"
shopify = "metafields.custom.shoe_size"
format = "number"
owner = "shopify"

[fields.company]
omneo = "company"
shopify = "note"

[fields.tier_tag]
omneo = "tier.handle"
shopify = "tags.cx-tier-*"

[fields.stylist]
omneo = "custom_attributes.shop.stylist"
shopify = "tags.stylist"
format = "boolean"
way = "to_omneo"

[fields.greeting]
shopify = "metafields.custom.greeting"
expression = "join(' ', ['Hi', first_name, '-', to_string(point_balance || `0`), 'points'])"
"#;

async fn ada() -> (Town, u64, String) {
    let town = Town::with(&format!("{RULES}{FIELDS}")).await;
    let (customer, profile) = town.ada().await;
    (town, customer, profile)
}

fn metafield(town: &Town, customer: u64, name: &str) -> Value {
    town.customer(customer)["metafields"][name].clone()
}

fn attribute(town: &Town, profile: &str, handle: &str) -> Value {
    let profile = town.profile(profile);
    let all = profile["custom_attributes"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["handle"] == handle).map(|one| one["value"].clone()).unwrap_or_default()
}

/// What is quiet sends nothing when the same is heard again.
async fn is_quiet(town: &Town, customer: u64, profile: &str) {
    town.clock.advance(60_000);
    let writes = |town: &Town| {
        let is_write =
            |line: &&String| !line.starts_with("GET") && !line.contains("search") && !line.contains("availability");
        let omneo = town.omneo_requests(0).iter().filter(is_write).count();
        let is_read = |operation: &&String| ["Person", "PersonAndOwners", "FindPerson"].contains(&operation.as_str());
        (omneo, town.shopify_requests(0).iter().filter(|operation| !is_read(operation)).count())
    };
    let before = writes(town);
    let mut body = town.customer(customer);
    // As bodies have been since 2025-01.
    for key in ["tags", "metafields", "email_marketing_consent", "sms_marketing_consent"] {
        body.as_object_mut().unwrap().remove(key);
    }
    town.playground.shopify.send("customers/update", body);
    town.playground.omneo.send("profile.updated", town.profile(profile));
    town.settle().await;
    assert_eq!(writes(town), before, "{:?}", town.outcomes(0));
    assert_eq!(town.dead_letters(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_earn_is_shown_in_metafields_and_a_tag() {
    let (town, customer, profile) = ada().await;
    let gold = json!({"tier": {"handle": "gold", "name": "Gold"}, "point_balance": 120, "reward_balance": 5});
    town.playground.omneo.set_loyalty(&profile, gold).unwrap();
    town.settle().await;
    assert_eq!(metafield(&town, customer, "omneo.tier"), json!("gold"));
    assert_eq!(metafield(&town, customer, "omneo.tier_name"), json!("Gold"));
    assert_eq!(metafield(&town, customer, "omneo.points"), json!("120"));
    assert_eq!(metafield(&town, customer, "omneo.reward_balance"), Value::Null, "it is left out");
    assert_eq!(metafield(&town, customer, "custom.greeting"), json!("Hi Ada - 120 points"));
    assert_eq!(town.customer(customer)["tags"], json!(["cx-tier-gold"]));
    is_quiet(&town, customer, &profile).await;

    town.playground.omneo.set_loyalty(&profile, json!({"tier": {"handle": "silver", "name": "Silver"}})).unwrap();
    town.settle().await;
    assert_eq!(town.customer(customer)["tags"], json!(["cx-tier-silver"]), "the tag before it goes");
    town.playground.omneo.set_loyalty(&profile, json!({"tier": null, "point_balance": 0})).unwrap();
    town.settle().await;
    assert_eq!(metafield(&town, customer, "omneo.tier"), Value::Null);
    assert_eq!(
        (metafield(&town, customer, "omneo.points"), town.customer(customer)["tags"].clone()),
        (json!("0"), json!([]))
    );
    is_quiet(&town, customer, &profile).await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_field_goes_both_ways() {
    let (town, customer, profile) = ada().await;
    let omneo = json!({
        "birth_year": 1815, "birth_month": 12, "birth_day": 10, "company": "Analytical Engines",
        "custom_attributes": [{"namespace": "shop", "handle": "shoe_size", "type": "float", "value": 6.5}],
    });
    town.playground.omneo.update_profile(&profile, omneo).unwrap();
    town.settle().await;
    assert_eq!(metafield(&town, customer, "facts.birth_date"), json!("1815-12-10"));
    assert_eq!(metafield(&town, customer, "custom.shoe_size"), json!("6.5"));
    assert_eq!(town.customer(customer)["note"], json!("Analytical Engines"));
    is_quiet(&town, customer, &profile).await;

    town.playground.shopify.update_customer(customer, json!({"note": "Difference Engines"})).unwrap();
    town.settle().await;
    assert_eq!(town.profile(&profile)["company"], json!("Difference Engines"));
    town.clock.advance(60_000);
    let shopify = &town.playground.shopify;
    shopify.set_metafield(customer, ["custom", "shoe_size", "number_decimal", "7.0"]).unwrap();
    shopify.set_metafield(customer, ["facts", "birth_date", "date", "1815-12-11"]).unwrap();
    town.settle().await;
    assert_eq!(attribute(&town, &profile, "shoe_size").to_string(), "7");
    assert_eq!(town.profile(&profile)["birth_day"], json!(11));
    is_quiet(&town, customer, &profile).await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_way_field_is_neither_taken_back_nor_put_right() {
    let (town, customer, profile) = ada().await;
    town.playground.shopify.add_tags(customer, &["stylist"]).unwrap();
    town.settle().await;
    assert_eq!(attribute(&town, &profile, "stylist"), json!(true));
    let other =
        json!({"custom_attributes": [{"namespace": "shop", "handle": "stylist", "type": "boolean", "value": false}]});
    town.playground.omneo.update_profile(&profile, other).unwrap();
    town.settle().await;
    assert_eq!(
        (attribute(&town, &profile, "stylist"), town.customer(customer)["tags"].clone()),
        (json!(false), json!(["stylist"]))
    );
    is_quiet(&town, customer, &profile).await;
    town.playground.shopify.remove_tags(customer, &["stylist"]).unwrap();
    town.settle().await;
    assert_eq!(attribute(&town, &profile, "stylist"), json!(false));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_format_is_held_and_the_rest_goes() {
    let (town, customer, profile) = ada().await;
    let omneo = json!({
        "company": "Engines",
        "custom_attributes": [{"namespace": "shop", "handle": "shoe_size", "type": "string", "value": "large"}],
    });
    town.playground.omneo.update_profile(&profile, omneo).unwrap();
    town.settle().await;
    assert_eq!(
        (town.customer(customer)["note"].clone(), metafield(&town, customer, "custom.shoe_size")),
        (json!("Engines"), Value::Null)
    );
    let events = town.events();
    let reason =
        |part: &str| events.iter().any(|event| event.reason.as_deref().is_some_and(|reason| reason.contains(part)));
    assert!(reason("shoe_size is held, not written to Shopify: it is not a number"), "{:?}", town.outcomes(0));
    town.stop().await;
}
