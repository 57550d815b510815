//! Customers are normalised, refused and spoken of as Shopify is recorded to do.

use crate::kit::{graphql, shop, shop_with, topics};
use serde_json::{Value, json};

const PERSON: &str = r#"
fragment Person on Customer {
  id legacyResourceId updatedAt state firstName lastName note locale tags
  defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt }
  defaultPhoneNumber { phoneNumber marketingState marketingUpdatedAt }
  addressesV2(first: 10) { nodes { id address1 city countryCodeV2 } }
  own: metafields(first: 25, namespace: "omneo") { nodes { key type value compareDigest } }
}"#;

async fn set(shop: &tandem_standin::Shopify, identifier: Value, input: Value) -> Value {
    let query = format!(
        "mutation Set($by: CustomerSetIdentifiers, $input: CustomerSetInput!) {{
           customerSet(identifier: $by, input: $input) {{ customer {{ ...Person }} userErrors {{ field message code }} }} }} {PERSON}"
    );
    graphql(shop, &query, json!({ "by": identifier, "input": input })).await
}

fn refusal(answer: &Value) -> Value {
    let payload = &answer["data"]["customerSet"];
    assert_eq!(payload["customer"], Value::Null, "{answer}");
    payload["userErrors"][0].clone()
}

fn gid(id: u64) -> String {
    format!("gid://shopify/Customer/{id}")
}

#[tokio::test]
async fn customer_set_by_custom_id_creates_once_and_writes_the_link() {
    let (shop, clock) = shop().await;
    let by = json!({ "customId": { "namespace": "omneo", "key": "profile_id", "value": "P1" } });
    let first = set(&shop, by.clone(), json!({ "firstName": "Ann", "email": "ann@example.com" })).await;
    clock.advance(5_000);
    let second = set(&shop, by.clone(), json!({ "firstName": "Anna" })).await;
    let (first, second) = (&first["data"]["customerSet"]["customer"], &second["data"]["customerSet"]["customer"]);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["own"]["nodes"][0]["value"], "P1");
    assert_eq!((&second["firstName"], &second["updatedAt"]), (&json!("Anna"), &json!("2026-07-01T00:00:05Z")));
    assert_eq!(shop.customers()[0]["metafields"], json!({ "omneo.profile_id": "P1" }));
    assert_eq!(topics(&shop.outbox()), ["customers/create", "customers/update"]);

    let (bare, _) = shop_with(|options| options.link_defined = false).await;
    let answer = set(&bare, by.clone(), json!({ "firstName": "Ann" })).await;
    assert_eq!(answer["data"], json!({ "customerSet": null }));
    assert_eq!(answer["errors"][0]["message"], "Metafield definition of type 'id' is required when using custom ids.");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let define = r#"mutation Define { metafieldDefinitionCreate(definition:
        { ownerType: CUSTOMER, namespace: "omneo", key: "profile_id", name: "Link", type: "id" })
        { createdDefinition { type { name } } userErrors { code } } }"#;
    let made = graphql(&bare, define, json!({})).await;
    assert_eq!(made["data"]["metafieldDefinitionCreate"]["createdDefinition"]["type"]["name"], "id");
    let again = graphql(&bare, define, json!({})).await;
    assert_eq!(again["data"]["metafieldDefinitionCreate"]["userErrors"][0]["code"], "TAKEN");
    assert!(set(&bare, by, json!({ "firstName": "Ann" })).await["data"]["customerSet"]["customer"].is_object());
}

#[tokio::test]
async fn customer_set_refuses_in_the_recorded_words() {
    let (shop, _) = shop().await;
    shop.create_customer(json!({ "email": "ann@example.com", "phone": "+61 412 345 678" })).unwrap();
    let ben = json!({ "id": gid(shop.create_customer(json!({ "email": "ben@example.com" })).unwrap()) });
    shop.outbox().take();
    let by_mail = json!({ "email": "ann@example.com" });
    let cases = [
        (&ben, json!({ "email": "ANN@exam ple.com" }), "email", "Email has already been taken", "TAKEN"),
        (&ben, json!({ "phone": "0061412345678" }), "phone", "Phone has already been taken", "TAKEN"),
        (&ben, json!({ "phone": "12" }), "phone", "Phone is invalid", "INVALID"),
        (&ben, json!({ "email": "foo@bar" }), "email", "Email is invalid", "INVALID"),
        (
            &ben,
            json!({ "firstName": "x".repeat(256) }),
            "firstName",
            "First name is too long (maximum is 255 characters)",
            "TOO_LONG",
        ),
        (
            &ben,
            json!({ "tags": ["x".repeat(256)] }),
            "tags",
            "Tags is too long (maximum is 255 characters)",
            "TOO_LONG",
        ),
        (&ben, json!({ "taxExempt": null }), "taxExempt", "Tax exempt is of unexpected type NilClass", "INVALID"),
        (&ben, json!({ "id": gid(1) }), "", "The id field is not allowed if identifier is provided.", "ID_NOT_ALLOWED"),
        (
            &json!({ "id": gid(1) }),
            json!({ "firstName": "A" }),
            "",
            "Resource matching the identifier was not found.",
            "NOT_FOUND",
        ),
        (
            &by_mail,
            json!({ "firstName": "A" }),
            "",
            "The input field corresponding to the identifier is required.",
            "MISSING_FIELD_REQUIRED",
        ),
        (
            &by_mail,
            json!({ "email": "x@example.com" }),
            "",
            "The identifier value does not match the value of the corresponding field in the input.",
            "INPUT_MISMATCH",
        ),
        (&Value::Null, json!({ "note": "x" }), "", "A name, phone number, or email address must be present", "BLANK"),
    ];
    for (by, input, field, message, code) in cases {
        let field = if field.is_empty() { json!(["input"]) } else { json!(["input", field]) };
        let answer = set(&shop, by.clone(), input.clone()).await;
        assert_eq!(refusal(&answer), json!({ "field": field, "message": message, "code": code }), "{input}");
    }
    let many = json!({ "tags": (0..251).map(|n| format!("t{n}")).collect::<Vec<_>>() });
    assert_eq!(refusal(&set(&shop, ben, many).await)["message"], "Tags cannot be more than 250");
    assert_eq!(topics(&shop.outbox()), [""; 0]);
}

#[tokio::test]
async fn values_are_normalised_and_no_change_says_nothing() {
    let (shop, clock) = shop().await;
    let input = json!({ "firstName": " mcDonald ", "lastName": "  ", "email": "a nn@example.com ", "phone": "+61 (412) 345-678", "tags": ["b , a", "B", ""] });
    let answer = set(&shop, Value::Null, input.clone()).await;
    let customer = &answer["data"]["customerSet"]["customer"];
    assert_eq!((&customer["firstName"], &customer["lastName"]), (&json!("mcDonald"), &Value::Null));
    assert_eq!(customer["defaultEmailAddress"]["emailAddress"], "ann@example.com");
    assert_eq!(customer["defaultPhoneNumber"]["phoneNumber"], "+61412345678");
    assert_eq!(customer["tags"], json!(["a", "b"]));
    let id = shop.customers()[0]["id"].as_u64().unwrap();
    assert!(id > u64::from(u32::MAX));
    assert_eq!(topics(&shop.outbox()), ["customers/create", "customer.tags_added"]);
    clock.advance(60_000);
    let again = set(&shop, json!({ "id": gid(id) }), input).await;
    assert_eq!(again["data"]["customerSet"]["customer"]["updatedAt"], "2026-07-01T00:00:00Z");
    let null = set(&shop, json!({ "id": gid(id) }), json!({ "firstName": null, "email": null })).await;
    assert_eq!(null["data"]["customerSet"]["customer"]["firstName"], "mcDonald", "only customerUpdate clears");
    assert_eq!(topics(&shop.outbox()), [""; 0]);
    let clear = "mutation C($input: CustomerInput!) { customerUpdate(input: $input) { customer { firstName } userErrors { field message } } }";
    let cleared = graphql(&shop, clear, json!({ "input": { "id": gid(id), "firstName": null } })).await;
    assert_eq!(cleared["data"]["customerUpdate"], json!({ "customer": { "firstName": null }, "userErrors": [] }));
    let gone = graphql(&shop, clear, json!({ "input": { "id": gid(1), "firstName": null } })).await;
    assert_eq!(
        gone["data"]["customerUpdate"]["userErrors"],
        json!([{ "field": ["id"], "message": "Customer does not exist" }])
    );
}

#[tokio::test]
async fn consent_follows_the_recorded_matrix() {
    let (shop, _) = shop().await;
    let ann = shop.create_customer(json!({ "email": "ann@example.com" })).unwrap();
    let ben = shop.create_customer(json!({ "first_name": "Ben", "phone": "+61412345678" })).unwrap();
    shop.outbox().take();
    let email = |id: u64, consent: Value| {
        let query = "mutation E($input: CustomerEmailMarketingConsentUpdateInput!) { customerEmailMarketingConsentUpdate(input: $input)
            { customer { defaultEmailAddress { marketingState marketingUpdatedAt } } userErrors { field message code } } }";
        let shop = shop.clone();
        async move {
            graphql(&shop, query, json!({ "input": { "customerId": gid(id), "emailMarketingConsent": consent } })).await
        }
    };
    let level = |state: &str, level: &str| json!({ "marketingState": state, "marketingOptInLevel": level });
    for (consent, message, code) in [
        (json!({ "marketingState": "SUBSCRIBED" }), "Marketing opt in level must exist", "MISSING_ARGUMENT"),
        (
            level("PENDING", "SINGLE_OPT_IN"),
            "Marketing opt in level must be confirmed opt-in for pending consent state",
            "INVALID",
        ),
        (
            json!({ "marketingState": "UNSUBSCRIBED", "consentUpdatedAt": "2026-07-01T00:00:01Z" }),
            "Consent updated at must not be in the future",
            "INVALID",
        ),
    ] {
        let payload = &email(ann, consent).await["data"]["customerEmailMarketingConsentUpdate"].clone();
        assert_eq!(
            (&payload["userErrors"][0]["message"], &payload["userErrors"][0]["code"]),
            (&json!(message), &json!(code))
        );
    }
    let refused = email(ann, level("NOT_SUBSCRIBED", "UNKNOWN")).await;
    assert_eq!(refused["errors"][0]["message"], "Cannot specify NOT_SUBSCRIBED as a marketing state input");
    assert_eq!(refused["data"], json!({ "customerEmailMarketingConsentUpdate": null }));

    let no_effect = email(ben, level("SUBSCRIBED", "SINGLE_OPT_IN")).await;
    let payload = &no_effect["data"]["customerEmailMarketingConsentUpdate"];
    assert_eq!(payload, &json!({ "customer": { "defaultEmailAddress": null }, "userErrors": [] }));
    assert_eq!(topics(&shop.outbox()), [""; 0]);

    let subscribed = json!({ "marketingState": "SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN", "consentUpdatedAt": "2026-06-30T12:00:00+02:00" });
    let done = email(ann, subscribed.clone()).await;
    let shown = &done["data"]["customerEmailMarketingConsentUpdate"]["customer"]["defaultEmailAddress"];
    assert_eq!(shown, &json!({ "marketingState": "SUBSCRIBED", "marketingUpdatedAt": "2026-06-30T10:00:00Z" }));
    email(ann, subscribed).await;
    let said = shop.outbox().take();
    assert_eq!(said.len(), 1);
    let consent = json!({ "state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": "2026-06-30T20:00:00+10:00" });
    assert_eq!(
        said[0].json(),
        json!({ "customer_id": ann, "email_address": "ann@example.com", "email_marketing_consent": consent })
    );

    let query = "mutation S($input: CustomerSmsMarketingConsentUpdateInput!) { customerSmsMarketingConsentUpdate(input: $input) { userErrors { message } } }";
    let sms = graphql(
        &shop,
        query,
        json!({ "input": { "customerId": gid(ann), "smsMarketingConsent": level("SUBSCRIBED", "SINGLE_OPT_IN") } }),
    )
    .await;
    let messages = &sms["data"]["customerSmsMarketingConsentUpdate"]["userErrors"];
    assert_eq!(messages, &json!([{ "message": "A phone number is required to set the SMS consent state." }]));
    shop.set_sms_consent(ben, "subscribed", None).unwrap();
    assert_eq!(topics(&shop.outbox()), ["customers_marketing_consent/update"]);
}

#[tokio::test]
async fn tags_metafields_and_addresses_are_changed_apart() {
    let (shop, clock) = shop().await;
    let id = shop.create_customer(json!({ "first_name": "Ann", "email": "ann@example.com", "tags": ["VIP"] })).unwrap();
    shop.outbox().take();
    clock.advance(1_000);
    let swap = "mutation Swap($id: ID!) { add: tagsAdd(id: $id, tags: [\"vip\", \"new\"]) { node { id ... on Customer { tags } } userErrors { message } }
        remove: tagsRemove(id: $id, tags: [\"Vip\", \"absent\"]) { node { id ... on Customer { tags updatedAt } } userErrors { message } } }";
    let swapped = graphql(&shop, swap, json!({ "id": gid(id) })).await;
    assert_eq!(swapped["data"]["add"]["node"]["tags"], json!(["new", "VIP"]));
    assert_eq!(swapped["data"]["remove"]["node"]["tags"], json!(["new"]));
    let said = shop.outbox().take();
    assert_eq!(
        said[0].json(),
        json!({ "customerId": gid(id), "tags": ["new"], "occurredAt": "2026-07-01T00:00:01.000Z" })
    );
    assert_eq!((said[1].topic.as_str(), &said[1].json()["tags"]), ("customer.tags_removed", &json!(["VIP"])));

    let field = |key: &str, ty: &str, value: &str| json!({ "ownerId": gid(id), "namespace": "omneo", "key": key, "type": ty, "value": value });
    let set = |fields: Vec<Value>| {
        let query = "mutation F($fields: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $fields) { metafields { key value } userErrors { field message code elementIndex } } }";
        let shop = shop.clone();
        async move { graphql(&shop, query, json!({ "fields": fields })).await["data"]["metafieldsSet"].clone() }
    };
    let good = vec![field("points", "number_integer", "120.0"), field("balance", "number_decimal", "12.50")];
    let written = set(good.clone()).await;
    assert_eq!(
        written["metafields"],
        json!([{ "key": "points", "value": "120" }, { "key": "balance", "value": "12.5" }])
    );
    assert_eq!(topics(&shop.outbox()), ["customers/update"]);
    set(good).await;
    assert_eq!(topics(&shop.outbox()), [""; 0]);
    let bad = set(vec![field("points", "number_integer", "7"), field("count", "number_integer", "+1")]).await;
    let error = json!({ "field": ["metafields", "1", "value"], "message": "Value must be an integer.", "code": "INVALID_VALUE", "elementIndex": null });
    assert_eq!(bad, json!({ "metafields": [], "userErrors": [error] }));
    assert_eq!(shop.customer(id).unwrap()["metafields"]["omneo.points"], "120", "all or nothing");
    assert_eq!(set(vec![field("pp", "json", "1"); 26]).await["userErrors"][0]["code"], "LESS_THAN_OR_EQUAL_TO");

    let add = "mutation Add($id: ID!, $a: MailingAddressInput!) { customerAddressCreate(customerId: $id, address: $a) { address { id firstName country } userErrors { field message } } }";
    let added =
        graphql(&shop, add, json!({ "id": gid(id), "a": { "address1": "1 High St", "countryCode": "NZ" } })).await;
    let address = &added["data"]["customerAddressCreate"]["address"];
    assert_eq!((&address["firstName"], &address["country"]), (&json!("Ann"), &json!("New Zealand")));
    assert!(address["id"].as_str().unwrap().ends_with("?model_name=CustomerAddress"));
    let drop = "mutation Drop($id: ID!, $a: ID!) { customerAddressDelete(customerId: $id, addressId: $a) { deletedAddressId userErrors { message } } }";
    let dropped = graphql(&shop, drop, json!({ "id": gid(id), "a": address["id"] })).await;
    assert_eq!(dropped["data"]["customerAddressDelete"]["deletedAddressId"], address["id"]);
    let again = graphql(&shop, drop, json!({ "id": gid(id), "a": address["id"] })).await;
    assert_eq!(again["errors"][0]["extensions"]["code"], "RESOURCE_NOT_FOUND");
    assert_eq!(topics(&shop.outbox()), ["customers/update", "customers/update"]);
}
