//! Signatures, delivery and faults, for both stand-ins alike.

use std::time::Duration;

use crate::kit::{Receiver, graphql, graphql_reply, rest, shop, shop_with, tenant};
use serde_json::{Value, json};
use tandem_standin::{Clock, Delivery, Fault, Rule, Shopify, ShopifyOptions, sign_omneo, sign_shopify};

const READ: &str = "query Read { shop { name } }";
const WRITE: &str = "mutation Write { customerSet(input: { firstName: \"Ann\" }) { customer { id } } }";

/// RFC 4231, test case 2.
#[test]
fn signatures_equal_a_published_vector() {
    let (key, data) = ("Jefe", b"what do ya want for nothing?");
    assert_eq!(sign_omneo(key, data), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_eq!(sign_shopify(key, data), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
}

#[tokio::test]
async fn webhooks_arrive_signed_and_a_failed_one_comes_again() {
    let receiver = Receiver::answering(&[500, 200]).await;
    let (shop, _) = shop_with(|options| options.delivery = Delivery::Automatic).await;
    shop.create_customer(json!({ "first_name": "Ann" })).unwrap();
    assert!(shop.outbox().quiet(), "without an address there is nothing to wait for");
    shop.set_webhook_url(&receiver.url);
    shop.outbox().settled().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], received[1], "the retry is the same webhook");
    let (head, body) = &received[0];
    assert!(head.starts_with("post /webhooks http/1.1"));
    assert!(
        head.contains("x-shopify-topic: customers/create")
            && head.contains("x-shopify-shop-domain: acme.myshopify.com")
    );
    let signature = sign_shopify("shopify-secret", body.as_bytes()).to_lowercase();
    assert!(head.contains(&format!("x-shopify-hmac-sha256: {signature}")));
    assert!(shop.outbox().failed().is_empty());
}

#[tokio::test]
async fn duplicates_are_the_same_webhook_twice() {
    let receiver = Receiver::answering(&[]).await;
    let (omneo, _) = tenant().await;
    omneo.outbox().set_duplicates_percent(100);
    omneo.set_webhook_url(&receiver.url);
    omneo.create_profile(json!({ "email": "ann@example.com" })).unwrap();
    assert!(!omneo.outbox().quiet());
    omneo.outbox().set_delivery(Delivery::Automatic);
    omneo.outbox().settled().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], received[1]);
    let signature = sign_omneo("omneo-secret", received[0].1.as_bytes());
    assert!(received[0].0.contains(&format!("x-omneo-hmac-sha256: {signature}")));
    assert!(received[0].0.contains("x-omneo-event: profile.created"));
}

#[tokio::test]
async fn a_test_takes_and_delivers_webhooks_itself() {
    let receiver = Receiver::answering(&[202]).await;
    let (shop, _) = shop().await;
    shop.send("app/uninstalled", json!({ "id": 1 }));
    let webhook = shop.outbox().pending().remove(0);
    assert_eq!((webhook.n, webhook.topic.as_str()), (0, "app/uninstalled"));
    assert_eq!(shop.outbox().take(), std::slice::from_ref(&webhook));
    assert!(shop.outbox().deliver(&webhook).await.is_err());
    shop.set_webhook_url(&receiver.url);
    assert_eq!(shop.outbox().deliver(&webhook).await, Ok(202));
    assert!(shop.outbox().quiet());
}

#[tokio::test]
async fn a_lost_answer_was_executed_and_a_reset_was_not() {
    let (shop, _) = shop().await;
    shop.faults().add(Rule::operation("Write").times(1), Fault::Reset);
    shop.faults().add(Rule::operation("Write").times(1), Fault::LoseAnswer);
    assert!(graphql(&shop, READ, json!({})).await["data"].is_object());
    assert!(graphql_reply(&shop, WRITE, json!({})).await.is_none());
    assert_eq!(shop.customers().len(), 0);
    assert!(graphql_reply(&shop, WRITE, json!({})).await.is_none());
    assert_eq!(shop.customers().len(), 1);
    assert!(graphql_reply(&shop, WRITE, json!({})).await.is_some());
    assert_eq!(shop.requests().iter().map(|request| request.status).collect::<Vec<_>>(), [200, 0, 0, 200]);
}

#[tokio::test]
async fn faults_answer_in_each_services_way_and_end_in_time() {
    let (shop, _) = shop().await;
    let (omneo, _) = tenant().await;
    shop.faults().add(Rule::any().skip(1).times(1), Fault::Throttled);
    assert!(graphql(&shop, READ, json!({})).await.get("errors").is_none());
    let throttled = graphql(&shop, READ, json!({})).await;
    assert_eq!(throttled["errors"][0]["extensions"]["code"], "THROTTLED");
    assert_eq!(throttled["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"], 0);
    shop.faults().add(Rule::any(), Fault::Unauthorized);
    assert_eq!(graphql_reply(&shop, READ, json!({})).await.unwrap().status, 401);
    shop.faults().clear();
    shop.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(50)));
    let begun = std::time::Instant::now();
    assert!(graphql(&shop, READ, json!({})).await["data"].is_object());
    assert!(begun.elapsed() >= Duration::from_millis(50));

    omneo.faults().add(Rule::path("GET /profiles").times(1), Fault::Throttled);
    omneo.faults().add(Rule::path("GET /prof").times(1), Fault::StatusRetryAfter(503, 7));
    let busy = rest(&omneo, "GET /profiles", Value::Null).await;
    assert_eq!((busy.status, busy.head.contains("retry-after: 1\r")), (429, true));
    let down = rest(&omneo, "GET /profiles", Value::Null).await;
    assert_eq!((down.status, down.head.contains("retry-after: 7\r")), (503, true));
    assert_eq!(rest(&omneo, "GET /profiles", Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_person_edits_between_the_reading_and_the_writing() {
    let (omneo, _) = tenant().await;
    let id = omneo.create_profile(json!({ "email": "ann@example.com", "first_name": "Ann" })).unwrap();
    let (editor, who) = (omneo.clone(), id.clone());
    omneo.faults().after(Rule::path("GET /profiles/"), move || {
        editor.update_profile(&who, json!({ "first_name": "Anna" })).unwrap();
    });
    let (eraser, who) = (omneo.clone(), id.clone());
    omneo.faults().before(Rule::path("PUT /profiles/"), move || assert!(eraser.delete_profile(&who)));
    let read = rest(&omneo, &format!("GET /profiles/{id}"), Value::Null).await;
    assert_eq!(read.body["data"]["first_name"], "Ann", "the answer was made before the edit");
    assert_eq!(omneo.profile(&id).unwrap()["first_name"], "Anna");
    assert_eq!(rest(&omneo, &format!("PUT /profiles/{id}"), json!({})).await.status, 404);
    assert_eq!(rest(&omneo, "GET /profiles", Value::Null).await.status, 200, "closures run once");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let options =
            ShopifyOptions { clock: Clock::fixed(0), delivery: Delivery::Manual, seed: 7, ..ShopifyOptions::default() };
        let shop = Shopify::start(options).await.unwrap();
        let id = shop.create_customer(json!({ "first_name": "Ann" })).unwrap();
        seen.push((id, shop.outbox().take()));
        shop.stop();
    }
    assert_eq!(seen[0], seen[1]);
}
