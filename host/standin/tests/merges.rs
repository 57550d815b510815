//! Customers are merged, and metafields deleted, as Shopify is recorded to do.

use crate::kit::{graphql, shop, topics};
use serde_json::{Value, json};
use tandem_standin::Shopify;

fn gid(id: u64) -> String {
    format!("gid://shopify/Customer/{id}")
}

async fn merge(shop: &Shopify, one: u64, two: u64, fields: Value) -> Value {
    let mutation = "mutation M($one: ID!, $two: ID!, $fields: CustomerMergeOverrideFields) {
        customerMerge(customerOneId: $one, customerTwoId: $two, overrideFields: $fields) {
          resultingCustomerId job { id done } userErrors { field message code } } }";
    let answer = graphql(shop, mutation, json!({ "one": gid(one), "two": gid(two), "fields": fields })).await;
    answer["data"]["customerMerge"].clone()
}

#[tokio::test]
async fn the_customer_whose_email_is_kept_survives_a_merge() {
    let (shop, _) = shop().await;
    let one = shop.create_customer(json!({ "email": "one@example.com" })).unwrap();
    let two = shop.create_customer(json!({ "email": "two@example.com" })).unwrap();
    let merged = merge(&shop, one, two, json!({ "customerIdOfEmailToKeep": gid(one) })).await;
    assert_eq!((&merged["resultingCustomerId"], &merged["job"]["done"]), (&json!(gid(one)), &json!(false)));
    assert!(shop.customer(two).is_none() && shop.customer(one).is_some());
    let told = topics(&shop.outbox());
    assert!(told.ends_with(&["customers/delete".into(), "customers/merge".into()]), "{told:?}");
    let status = "query S($job: ID!) { customerMergeJobStatus(jobId: $job) { jobId resultingCustomerId status customerMergeErrors { message } } }";
    let answer = graphql(&shop, status, json!({ "job": merged["job"]["id"] })).await;
    let found = &answer["data"]["customerMergeJobStatus"];
    assert_eq!((&found["status"], &found["resultingCustomerId"]), (&json!("COMPLETED"), &json!(gid(one))));
    let unknown = graphql(&shop, status, json!({ "job": "gid://shopify/Job/1" })).await;
    assert_eq!(unknown["data"]["customerMergeJobStatus"], Value::Null);
}

#[tokio::test]
async fn without_a_wish_the_only_email_decides_and_else_the_second_is_kept() {
    let (shop, _) = shop().await;
    for (first, second, kept) in [(Some("a@example.com"), None, 0), (None, Some("b@example.com"), 1), (None, None, 1)] {
        let ids =
            [first, second].map(|email| shop.create_customer(json!({ "first_name": "Ann", "email": email })).unwrap());
        let merged = merge(&shop, ids[0], ids[1], Value::Null).await;
        assert_eq!(merged["resultingCustomerId"], json!(gid(ids[kept])), "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn who_is_not_there_and_who_is_the_same_is_not_merged() {
    let (shop, _) = shop().await;
    let one = shop.create_customer(json!({ "email": "one@example.com" })).unwrap();
    let itself = merge(&shop, one, one, Value::Null).await;
    assert_eq!(
        itself["userErrors"],
        json!([{ "field": null, "message": "Customers IDs should not match", "code": "INVALID_CUSTOMER_ID" }])
    );
    let unknown = merge(&shop, one, 999_999_999_999_999, Value::Null).await;
    let message = "Customer does not exist with ID 999999999999999";
    assert_eq!(
        unknown["userErrors"],
        json!([{ "field": ["customerTwoId"], "message": message, "code": "INVALID_CUSTOMER_ID" }])
    );
    assert_eq!((&unknown["resultingCustomerId"], &unknown["job"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_metafield_that_is_not_there_is_deleted_without_an_error() {
    let (shop, _) = shop().await;
    let one = shop.create_customer(json!({ "email": "one@example.com" })).unwrap();
    let set = "mutation S($m: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $m) { userErrors { message } } }";
    let field = |key: &str| json!({ "ownerId": gid(one), "namespace": "omneo", "key": key });
    let mut link = field("profile_id");
    (link["type"], link["value"]) = (json!("id"), json!("P1"));
    graphql(&shop, set, json!({ "m": [link] })).await;
    let delete = "mutation D($m: [MetafieldIdentifierInput!]!) { metafieldsDelete(metafields: $m) {
        deletedMetafields { key namespace ownerId } userErrors { field message } } }";
    let nobody = json!({ "ownerId": gid(999_999_999_999_999), "namespace": "omneo", "key": "tier" });
    let answer = graphql(&shop, delete, json!({ "m": [field("profile_id"), field("tier"), nobody] })).await;
    let expected = json!({ "deletedMetafields": [field("profile_id"), null, null], "userErrors": [] });
    assert_eq!(answer["data"]["metafieldsDelete"], expected);
    assert_eq!(shop.customers()[0]["metafields"], json!({}));
}
