//! Addresses are settled and refused as Shopify is recorded to do.

use crate::kit::{graphql, shop};
use serde_json::{Value, json};
use tandem_standin::Shopify;

async fn mutate(shop: &Shopify, call: &str, variables: Value) -> Value {
    let types = [
        ("id", "ID!"),
        ("addressId", "ID!"),
        ("address", "MailingAddressInput!"),
        ("input", "CustomerInput!"),
        ("topic", "WebhookSubscriptionTopic!"),
        ("hook", "WebhookSubscriptionInput!"),
    ];
    let declared = types.iter().filter(|(name, _)| variables.get(*name).is_some());
    let declared: Vec<_> = declared.map(|(name, ty)| format!("${name}: {ty}")).collect();
    let answer = graphql(shop, &format!("mutation M({}) {{ done: {call} }}", declared.join(", ")), variables).await;
    if answer["data"]["done"].is_null() { answer["errors"][0].clone() } else { answer["data"]["done"].clone() }
}

fn person(shop: &Shopify) -> String {
    format!("gid://shopify/Customer/{}", shop.create_customer(json!({ "first_name": "Ann" })).unwrap())
}

const CREATE: &str = "customerAddressCreate(customerId: $id, address: $address) {
    address { firstName address1 country countryCodeV2 province provinceCode phone formattedArea } userErrors { field message } }";

#[tokio::test]
async fn a_country_and_its_provinces_are_known_by_code_and_by_name() {
    let (shop, _) = shop().await;
    let ann = person(&shop);
    for (address, settled) in [
        (
            json!({ "countryCode": "AU", "provinceCode": "VIC" }),
            json!(["Australia", "AU", "Victoria", "VIC", "VIC, Australia"]),
        ),
        (
            json!({ "country": "new zealand", "province": "otago" }),
            json!(["New Zealand", "NZ", "Otago", "OTA", "OTA, New Zealand"]),
        ),
        (
            json!({ "countryCode": "US", "country": "Canada" }),
            json!(["United States", "US", null, null, "United States"]),
        ),
        (json!({ "countryCode": "SG", "provinceCode": "ON" }), json!(["Singapore", "SG", null, null, "Singapore"])),
        (
            json!({ "countryCode": "JP", "provinceCode": "JP-13" }),
            json!(["Japan", "JP", "JP-13", "JP-13", "JP-13, Japan"]),
        ),
        (json!({ "address1": " " }), json!([null, null, null, null, null])),
    ] {
        let answer = mutate(&shop, CREATE, json!({ "id": ann, "address": address })).await;
        let keys = ["country", "countryCodeV2", "province", "provinceCode", "formattedArea"];
        assert_eq!(json!(keys.map(|key| &answer["address"][key])), settled, "{address}: {answer}");
        assert_eq!(answer["address"]["firstName"], "Ann");
    }
}

#[tokio::test]
async fn an_address_is_refused_in_the_recorded_words() {
    let (shop, _) = shop().await;
    let ann = person(&shop);
    for (address, field, message) in [
        (json!({ "countryCode": "ZZ" }), "country", "Country is invalid"),
        (json!({ "country": "Atlantis" }), "country", "Country is invalid"),
        (json!({ "countryCode": "US", "provinceCode": "ON" }), "province", "Province is invalid"),
        (json!({ "city": "<script>" }), "city", "City cannot contain HTML tags"),
        (json!({ "zip": "1 https://x" }), "zip", "Zip cannot contain URL"),
        (json!({ "firstName": "Ann 😀" }), "firstName", "First name cannot contain emojis"),
    ] {
        let answer = mutate(&shop, CREATE, json!({ "id": ann, "address": address })).await;
        let expected = json!({ "address": null, "userErrors": [{ "field": ["address", field], "message": message }] });
        assert_eq!(answer, expected, "{address}");
    }
    let unknown = mutate(&shop, CREATE, json!({ "id": ann, "address": { "countryCode": "XX" } })).await;
    assert_eq!(unknown["extensions"]["code"], "INVALID_VARIABLE", "{unknown}");
    let update = "customerUpdate(input: $input) { userErrors { field message } }";
    let blank = mutate(&shop, update, json!({ "input": { "id": ann, "addresses": [{ "city": " " }] } })).await;
    let expected = json!([{ "field": ["addresses", "0"], "message": "Customer address cannot be blank." }]);
    assert_eq!(blank["userErrors"], expected);
}

#[tokio::test]
async fn an_address_named_by_its_id_is_changed_and_another_becomes_the_default() {
    let (shop, _) = shop().await;
    let ann = person(&shop);
    let create = CREATE.replace("address { ", "address { id ");
    let mut ids = vec![];
    for street in ["1 High St", "2 High St"] {
        let made = mutate(&shop, &create, json!({ "id": ann, "address": { "address1": street, "zip": "1" } })).await;
        ids.push(made["address"]["id"].clone());
    }
    let prefer = "customerUpdateDefaultAddress(customerId: $id, addressId: $addressId) {
        customer { defaultAddress { id } } userErrors { field message } }";
    let preferred = mutate(&shop, prefer, json!({ "id": ann, "addressId": ids[1] })).await;
    assert_eq!(preferred["customer"]["defaultAddress"]["id"], ids[1]);
    let nobody = mutate(&shop, prefer, json!({ "id": ann, "addressId": "gid://shopify/MailingAddress/1" })).await;
    assert_eq!(nobody["message"], "Invalid id: gid://shopify/MailingAddress/1");
    let update = "customerUpdate(input: $input) { customer { addressesV2(first: 9) { nodes { id address1 zip } } } userErrors { message } }";
    let addresses = json!([{ "id": ids[1], "address1": "3 High St" }]);
    let updated = mutate(&shop, update, json!({ "input": { "id": ann, "addresses": addresses } })).await;
    let expected = json!([{ "id": ids[1], "address1": "3 High St", "zip": "1" }]);
    assert_eq!(updated["customer"]["addressesV2"]["nodes"], expected, "{updated}");
}

/// As a merchant does it in the admin: one address is changed, and the list is saved.
#[tokio::test]
async fn a_list_that_is_saved_again_keeps_its_addresses() {
    let (shop, _) = shop().await;
    let address = |line: &str| json!({ "address1": line, "city": "Perth", "country_code": "AU" });
    let ann = json!({ "first_name": "Ann", "addresses": [address("1 High St"), address("2 High St")] });
    let ann = shop.create_customer(ann).unwrap();
    let before = shop.customer(ann).unwrap()["addresses"].clone();
    let mut changed = before.clone();
    changed[1]["city"] = json!("Fremantle");
    shop.update_customer(ann, json!({ "addresses": changed.clone() })).unwrap();
    assert_eq!(shop.customer(ann).unwrap()["addresses"], changed);
    let refused = shop.update_customer(ann, json!({ "addresses": { "0": { "city": "Perth" } } }));
    assert_eq!(refused, Err(vec!["addresses: is no list".to_owned()]));
    assert_eq!(shop.customer(ann).unwrap()["addresses"], changed);
    shop.update_customer(ann, json!({ "addresses": null })).unwrap();
    assert_eq!(shop.customer(ann).unwrap()["addresses"], json!([]));
}

#[tokio::test]
async fn a_subscription_goes_to_an_address_that_shopify_would_take() {
    let (shop, _) = shop().await;
    let create = "webhookSubscriptionCreate(topic: $topic, webhookSubscription: $hook) {
        webhookSubscription { uri filter } userErrors { message } }";
    let hook = |hook: Value| json!({ "topic": "CUSTOMERS_UPDATE", "hook": hook });
    let made = mutate(&shop, create, hook(json!({ "uri": " https://example.com/h " }))).await;
    assert_eq!(made["webhookSubscription"], json!({ "uri": "https://example.com/h", "filter": null }));
    for (given, message) in [
        (json!({ "uri": "  " }), "Address can't be blank"),
        (json!({ "uri": "https://" }), "Address is invalid"),
        (json!({ "uri": "ws://example.com" }), "Address protocol ws:// is not supported"),
        (json!({ "uri": "https://example.com/h" }), "Address for this topic has already been taken"),
        (
            json!({ "uri": "https://example.com/i", "filter": "vip" }),
            "The specified filter is invalid, please ensure you specify the field(s) you wish to filter on.",
        ),
    ] {
        let refused = mutate(&shop, create, hook(given.clone())).await;
        assert_eq!(refused["userErrors"], json!([{ "message": message }]), "{given}");
    }
    let bogus = json!({ "topic": "NO_SUCH_TOPIC", "hook": { "uri": "https://example.com/h" } });
    assert_eq!(mutate(&shop, create, bogus).await["extensions"]["code"], "INVALID_VARIABLE");
}
