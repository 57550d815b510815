//! Documents, doors, the bucket and what people do: the shop apart from a customer's values.

use crate::kit;

use crate::kit::{START, graphql, http, shop, shop_with};
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
    let query = "mutation Set($by: CustomerSetIdentifiers, $input: CustomerSetInput!) {
        customerSet(identifier: $by, input: $input) { customer { id } } }";
    graphql(shop, query, json!({ "by": identifier, "input": input })).await
}

fn gid(id: u64) -> String {
    format!("gid://shopify/Customer/{id}")
}

#[tokio::test]
async fn a_person_is_read_through_aliases_fragments_and_directives() {
    let (shop, _) = shop().await;
    let id = shop
        .create_customer(json!({
            "first_name": "Ann", "email": "ann@example.com", "tags": ["vip", "B2B"],
            "addresses": [{ "address1": "1 High St", "city": "Perth", "country_code": "AU", "province_code": "WA" }],
        }))
        .unwrap();
    let query = format!(
        "query Read($id: ID!, $by: CustomerIdentifierInput!, $more: Boolean!, $none: Boolean = false) {{
           customer(id: $id) {{ ...Person tags }}
           owner: customerByIdentifier(identifier: $by) @include(if: $more) {{ id }}
           skipped: customer(id: $id) @include(if: $none) {{ id }}
           nobody: customer(id: \"gid://shopify/Customer/1\") {{ id }}
           node(id: $id) {{ __typename id ... on Customer {{ firstName }} ... on Product {{ title }} }}
           shop {{ myshopifyDomain ianaTimezone currencyCode taxesIncluded }} }} {PERSON}"
    );
    let answer =
        graphql(&shop, &query, json!({ "id": gid(id), "by": { "emailAddress": "ANN@example.com" }, "more": true }))
            .await;
    let data = &answer["data"];
    assert_eq!(data["customer"]["legacyResourceId"], id.to_string());
    assert_eq!(data["customer"]["tags"], json!(["B2B", "vip"]));
    assert_eq!(data["customer"]["updatedAt"], "2026-07-01T00:00:00Z");
    assert_eq!(data["customer"]["defaultEmailAddress"]["marketingState"], "NOT_SUBSCRIBED");
    assert_eq!(data["customer"]["addressesV2"]["nodes"][0]["countryCodeV2"], "AU");
    assert_eq!(data["customer"]["defaultPhoneNumber"], Value::Null);
    assert_eq!(data["owner"], json!({ "id": gid(id) }));
    assert_eq!(data["node"], json!({ "__typename": "Customer", "id": gid(id), "firstName": "Ann" }));
    assert_eq!((data.get("skipped"), &data["nobody"]), (None, &Value::Null));
    assert_eq!(data["shop"]["ianaTimezone"], "Australia/Brisbane");
    assert!(answer.get("errors").is_none());
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_told_as_shopify_tells_it() {
    let (shop, _) = shop().await;
    let answer =
        graphql(&shop, "mutation M { customerSet(input: { email: \"a@b.c\" }) { customer { nope } } }", json!({}))
            .await;
    let error = &answer["errors"][0];
    assert_eq!(error["message"], "Field 'nope' doesn't exist on type 'Customer'");
    assert_eq!(error["extensions"], json!({ "code": "undefinedField", "typeName": "Customer", "fieldName": "nope" }));
    assert_eq!(error["path"], json!(["mutation M", "customerSet", "customer", "nope"]));
    assert!(shop.customers().is_empty(), "nothing of a wrong document is executed");

    let answer = set(&shop, Value::Null, json!({ "metafields": [] })).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "INVALID_VARIABLE");
    let message = "Variable $input of type CustomerSetInput! was provided invalid value for metafields (Field is not defined on CustomerSetInput)";
    assert_eq!(error["message"], message);

    let answer = set(&shop, json!({}), json!({})).await;
    assert_eq!(
        answer["errors"][0]["message"],
        "Variable $by of type CustomerSetIdentifiers was provided invalid value"
    );
    let loops = "query L { shop { ...A } } fragment A on Shop { name ...B } fragment B on Shop { id ...A }";
    let answer = graphql(&shop, loops, json!({})).await;
    assert_eq!(answer["errors"][0]["message"], "Fragment A contains an infinite loop");
    let two = "query A { shop { id } } query B { shop { id } }";
    assert_eq!(graphql(&shop, two, json!({})).await["errors"][0]["message"], "An operation name is required");
    let types = "query T($id: String!, $spare: Int) { customer(id: $id) { id } node(id: $gone) { id } }";
    let answer = graphql(&shop, types, json!({ "id": "x" })).await;
    let messages: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect();
    let expected = [
        "Type mismatch on variable $id and argument id (String! / ID!)",
        "Variable $spare is declared by T but not used",
        "Variable $gone is used by T but not declared",
    ];
    assert_eq!(messages, expected);
    let query = "query Q { customer { id } customers(first: 1) { nodes } shop { id } }";
    let errors = graphql(&shop, query, json!({})).await["errors"].clone();
    assert_eq!(errors[0]["message"], "Field 'customer' is missing required arguments: id");
    assert_eq!(errors[1]["extensions"]["code"], "selectionMismatch");
}

#[tokio::test]
async fn the_bucket_empties_and_refills_by_the_clock() {
    let (shop, clock) = shop_with(|options| options.bucket = (25.0, 10.0)).await;
    let create = |n: u32| {
        (format!("mutation C {{ customerSet(input: {{ firstName: \"N{n}\" }}) {{ customer {{ id }} }} }}"), json!({}))
    };
    let (query, none) = create(1);
    let answer = graphql(&shop, &query, none.clone()).await;
    let cost = json!({ "requestedQueryCost": 10, "actualQueryCost": 10, "throttleStatus": { "maximumAvailable": 25, "currentlyAvailable": 15, "restoreRate": 10 } });
    assert_eq!(answer["extensions"]["cost"], cost);
    graphql(&shop, &create(2).0, none.clone()).await;
    let throttled = graphql(&shop, &create(3).0, none.clone()).await;
    assert_eq!(throttled["errors"][0]["extensions"]["code"], "THROTTLED");
    assert_eq!(throttled["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"], 5);
    assert_eq!(shop.customers().len(), 2);
    clock.advance(500);
    assert!(graphql(&shop, &create(3).0, none).await.get("errors").is_none());
}

#[tokio::test]
async fn people_edit_and_the_shop_tells_it_as_since_2025_01() {
    let (shop, clock) = shop_with(|options| options.big_ids = true).await;
    let id = shop.create_customer(json!({ "first_name": "Ann", "email": "ann@example.com" })).unwrap();
    assert!(id > 1 << 53);
    assert_eq!(
        shop.create_customer(json!({ "email": "Ann@Example.com" })).unwrap_err(),
        ["email: Email has already been taken"]
    );
    clock.advance(1_500);
    shop.update_customer(id, json!({ "last_name": "Lee", "state": "enabled" })).unwrap();
    shop.update_customer(id, json!({ "last_name": "Lee" })).unwrap();
    shop.add_tags(id, &["vip"]).unwrap();
    shop.set_email_consent(id, "subscribed", Some(START)).unwrap();
    let said = shop.outbox().take();
    let topics: Vec<_> = said.iter().map(|webhook| webhook.topic.as_str()).collect();
    let expected = [
        "customers/create",
        "customers/update",
        "customers/enable",
        "customer.tags_added",
        "customers_email_marketing_consent/update",
    ];
    assert_eq!(topics, expected);
    let body = said[1].json();
    assert_eq!(body["updated_at"], "2026-07-01T10:00:01+10:00");
    assert_eq!(body["admin_graphql_api_id"], gid(id));
    assert!(["tags", "email_marketing_consent", "sms_marketing_consent"].iter().all(|key| body.get(*key).is_none()));
    assert_eq!(said[1].header("X-Shopify-Event-Id"), said[2].header("x-shopify-event-id"));
    assert_ne!(said[1].header("X-Shopify-Webhook-Id"), said[2].header("X-Shopify-Webhook-Id"));
    assert_eq!(said[1].header("X-Shopify-Triggered-At"), Some("2026-07-01T00:00:01.500000000Z"));

    let other = shop.create_customer(json!({ "phone": "+61412345678" })).unwrap();
    shop.merge_customers(id, other).unwrap();
    assert_eq!(shop.customer(id).unwrap()["phone"], "+61412345678");
    assert!(shop.delete_customer(id) && !shop.delete_customer(id));
    let topics = kit::topics(&shop.outbox());
    assert_eq!(
        topics,
        ["customers/create", "customers/delete", "customers/update", "customers/merge", "customers/delete"]
    );
}

#[tokio::test]
async fn orders_and_products_are_read_back_through_graphql() {
    let (shop, _) = shop().await;
    let buyer = shop.create_customer(json!({ "email": "ann@example.com" })).unwrap();
    let order = json!({
        "id": 4501, "name": "#1001", "currency": "AUD", "total_price": "30.00", "financial_status": "partially_refunded",
        "fulfillment_status": null, "processed_at": "2026-07-01T09:00:00+10:00", "customer": { "id": buyer }, "tags": "a, b",
        "line_items": [{ "id": 1, "name": "Hat", "quantity": 2, "current_quantity": 1, "variant_id": 9, "price": "15.00" }],
        "refunds": [{ "id": 7, "created_at": null, "transactions": [{ "kind": "refund", "status": "success", "amount": "15.00" }] }],
    });
    shop.send_order("orders/updated", order);
    shop.send_product(
        "products/create",
        json!({ "id": 5, "title": "Hat", "handle": "hat", "options": [{ "name": "Size" }],
        "variants": [{ "id": 9, "title": "M", "price": "15.00", "position": 1, "option1": "M" }] }),
    );
    let said = shop.outbox().take();
    assert_eq!(said[1].json()["updated_at"], "2026-07-01T10:00:00+10:00");
    let query = "query O($id: ID!, $variants: [ID!]!) {
        order(id: $id) { displayFinancialStatus displayFulfillmentStatus processedAt customer { id } totalRefundedSet { shopMoney { amount } }
            lineItems(first: 5) { nodes { currentQuantity variant { id } } } }
        nodes(ids: $variants) { ... on ProductVariant { legacyResourceId selectedOptions { name value } } }
        product(id: \"gid://shopify/Product/5\") { variants(first: 1) { pageInfo { hasNextPage } nodes { sku } } } }";
    let variants = json!(["gid://shopify/ProductVariant/9", "gid://shopify/ProductVariant/8"]);
    let answer = graphql(&shop, query, json!({ "id": "gid://shopify/Order/4501", "variants": variants })).await;
    let expected = json!({
        "displayFinancialStatus": "PARTIALLY_REFUNDED", "displayFulfillmentStatus": "UNFULFILLED", "processedAt": "2026-06-30T23:00:00Z",
        "customer": { "id": gid(buyer) }, "totalRefundedSet": { "shopMoney": { "amount": "15.00" } },
        "lineItems": { "nodes": [{ "currentQuantity": 1, "variant": { "id": "gid://shopify/ProductVariant/9" } }] },
    });
    assert_eq!(answer["data"]["order"], expected);
    assert_eq!(
        answer["data"]["nodes"],
        json!([{ "legacyResourceId": "9", "selectedOptions": [{ "name": "Size", "value": "M" }] }, null])
    );
    assert_eq!(answer["data"]["product"]["variants"]["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn doors_are_closed_to_wrong_tokens_paths_and_methods() {
    let (shop, _) = shop().await;
    let path = "/admin/api/2026-07/graphql.json";
    let ask = |line: String, token: &'static str, body: &'static str| {
        let address = shop.address();
        async move { http(address, &line, &[("x-shopify-access-token", token)], body.to_owned()).await.unwrap() }
    };
    let wrong = ask(format!("POST {path}"), "other", "{}").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.body,
        json!({ "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)" })
    );
    assert_eq!(ask(format!("GET {path}"), "shpat_standin", "").await.status, 405);
    assert_eq!(ask("POST /admin/api/2026-07/products.json".to_owned(), "shpat_standin", "{}").await.status, 404);
    assert_eq!(ask(format!("POST {path}"), "shpat_standin", "{").await.status, 400);
    let good = ask(format!("POST {path}"), "shpat_standin", r#"{"query":"query Name { shop { name } }"}"#).await;
    assert_eq!(good.body["data"]["shop"]["name"], "acme");
    assert!(good.head.contains("x-shopify-api-version: 2026-07"));
    for (asked, answered) in [("2026-04", "2026-04"), ("2020-01", "2025-10"), ("unstable", "unstable")] {
        let line = format!("POST /admin/api/{asked}/graphql.json");
        let good = ask(line, "shpat_standin", r#"{"query":"query Name { shop { name } }"}"#).await;
        assert_eq!((good.status, good.header("x-shopify-api-version")), (200, answered), "an old one falls forward");
    }
    for asked in ["2026-02", "next"] {
        assert_eq!(
            ask(format!("POST /admin/api/{asked}/graphql.json"), "shpat_standin", "{}").await.status,
            404,
            "{asked}"
        );
    }
    let requests = shop.requests();
    assert_eq!(requests[..5].iter().map(|request| request.status).collect::<Vec<_>>(), [401, 405, 404, 400, 200]);
    assert_eq!(requests[4].operation, "Name");
}
