//! Webhooks of an app: one secret for many shops, so that only address and body say whose they are.

use serde_json::json;
use tandem::config::{AppKind, RulesFrom};
use tandem::journal::EventRow;
use tandem::playground::TENANT;
use tandem_standin::{Fault, RefreshRule, Rule};

use super::street::*;

/// Each address takes what its sender can prove, whatever headers say.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_an_app_believes_bodies_only() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 3_600), RefreshRule::Strict).await;
    let shop = street.playground.config.tenants[0].shop.clone();
    let key = street.key().await;
    let own = format!("/webhooks/shopify/main/{key}");
    let redact = |shop: &str| json!({ "shop_id": 1, "shop_domain": shop }).to_string();
    let gone =
        |shop: &str| json!({ "id": 1, "myshopify_domain": shop, "shop_domain": "other.myshopify.com" }).to_string();
    let table: Vec<(&str, &str, &str, String, u16)> = vec![
        // Signed by nobody who is known, it makes no difference whose it claims to be.
        ("/webhooks/shopify/main", "shop/redact", "foreign", redact(&shop), 401),
        ("/webhooks/shopify/main", "shop/redact", "foreign", redact("nobody.myshopify.com"), 401),
        (&own, "customers/update", "foreign", json!({"id": 1}).to_string(), 401),
        ("/webhooks/shopify/main/0123", "customers/update", "foreign", json!({"id": 1}).to_string(), 401),
        // Signed by the app, but of no tenant.
        ("/webhooks/shopify/main/0123", "customers/update", SECRET, json!({"id": 1}).to_string(), 404),
        ("/webhooks/shopify/other", "shop/redact", SECRET, redact(&shop), 404),
        ("/webhooks/shopify/main", "shop/redact", SECRET, redact("nobody.myshopify.com"), 200),
        ("/webhooks/shopify/main", "customers/redact", SECRET, redact("nobody.myshopify.com"), 200),
        // A duty is the shop's that its body names, and others do not come here.
        ("/webhooks/shopify/main", "customers/update", SECRET, json!({"id": 1, "shop_domain": shop}).to_string(), 404),
        ("/webhooks/shopify/main", "app/scopes_update", SECRET, json!({"id": 1}).to_string(), 404),
        ("/webhooks/shopify/main", "shop/redact", SECRET, "{}".into(), 400),
        ("/webhooks/shopify/main", "shop/redact", SECRET, "no JSON".into(), 400),
        ("/webhooks/shopify/main", "app/uninstalled", SECRET, redact(&shop), 400),
        (&own, "shop/redact", SECRET, redact("other.myshopify.com"), 400),
        (&own, "app/uninstalled", SECRET, gone("other.myshopify.com"), 400),
        (&own, "pull/customers", SECRET, json!({"id": 1}).to_string(), 400),
        (&own, "missing/customers", SECRET, json!({"id": 1}).to_string(), 400),
        (&own, "customers/update", SECRET, json!({"id": 1}).to_string(), 200),
        // The address of tokens is not for the shops of apps.
        ("/webhooks/shopify", "customers/update", SECRET, json!({"id": 1}).to_string(), 404),
    ];
    let before = street.events().len();
    let mut taken = 0;
    for (path, topic, secret, body, status) in table {
        let signature = sign(secret, &body);
        let headers =
            [("x-shopify-topic", topic), ("x-shopify-hmac-sha256", &*signature), ("x-shopify-shop-domain", &*shop)];
        let (said, text) = street.post(path, &headers, &body).await;
        assert_eq!(said, status, "{path} {topic} {body}: {text}");
        taken += usize::from(text.starts_with("accepted"));
    }
    assert_eq!((taken, street.events().len() - before), (1, 1));
    street.stop().await;
}

/// Whoever says that the app was uninstalled is believed once the shop does not let it in.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_uninstalled_when_the_shop_says_so() {
    for kind in [AppKind::Own, AppKind::Standalone] {
        is_uninstalled(kind).await;
    }
}

async fn is_uninstalled(kind: AppKind) {
    let street = Street::of(kind, options(kind, 3_600), RefreshRule::Strict).await;
    street.customer(1);
    street.until("the profile", || street.profiles() == 1).await;
    let shop = street.playground.config.tenants[0].shop.clone();
    let forged = [
        ("app/uninstalled", json!({ "id": 1, "myshopify_domain": shop }).to_string()),
        ("shop/redact", json!({ "shop_id": 1, "shop_domain": shop }).to_string()),
    ];
    for (topic, body) in &forged {
        let row = street.duty(topic, body).await;
        assert_eq!(row.outcome.as_deref(), Some("skipped"), "{row:?}");
        assert!(row.reason.unwrap().starts_with("the shop lets the app in"));
    }
    assert_eq!(street.paused(), "");
    let waited = street.events().len();
    street.playground.shopify.uninstall(ID);
    street.until("the word of it", || street.events().len() > waited).await;
    street.until("the pause", || street.paused().contains("the app was uninstalled")).await;
    let row = street.duty(forged[1].0, &forged[1].1).await;
    assert_eq!(row.outcome.as_deref(), Some("done"), "{row:?}");
    street.stop().await;
}

/// A status that says nothing of the app pauses it at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_frozen_or_silent_is_not_erased() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 3_600), RefreshRule::Strict).await;
    let shop = street.playground.config.tenants[0].shop.clone();
    let redact = json!({ "shop_id": 1, "shop_domain": shop }).to_string();
    for (fault, reason) in [
        (Fault::Status(402), "the shop answers 402"),
        (Fault::Status(423), "the shop answers 423"),
        (Fault::Status(503), "is not known: the shop answers 503"),
    ] {
        street.playground.shopify.faults().clear();
        street.playground.shopify.faults().add(Rule::path("POST /admin/api"), fault);
        let row = street.duty("shop/redact", &redact).await;
        assert_eq!(row.outcome.as_deref(), Some("refused"), "{row:?}");
        assert!(row.reason.as_deref().is_some_and(|said| said.contains(reason)), "{row:?}");
    }
    street.playground.shopify.faults().clear();
    assert_eq!(street.duty("shop/redact", &redact).await.outcome.as_deref(), Some("skipped"));
    street.stop().await;
}

/// Two tenants on one app, of which one replays whatever it can collect.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_tenant_of_the_same_app_reaches_nobody_else() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 3_600), RefreshRule::Strict).await;
    let mut next = street.playground.config.clone();
    let mut zeta = next.tenants[0].clone();
    (zeta.name, zeta.shop) = ("zeta".into(), "zeta.myshopify.com".into());
    zeta.rules = RulesFrom::Deployed;
    next.tenants.push(zeta.clone());
    street.playground.server.reload(next).await.unwrap();
    let acme = street.playground.config.tenants[0].shop.clone();
    let credentials = street.playground.server.credentials.clone();
    let (own, foreign) = (street.key().await, credentials.webhook_key(&zeta, &app(AppKind::Own)).await.unwrap());
    assert_ne!(own, foreign);
    // Everything that Shopify signs about zeta's shop, and what zeta can have it sign: bodies that say what it likes.
    let bodies = [
        json!({ "id": 1, "email": "ada1@lovelace.dev", "first_name": "Evil" }),
        json!({ "shop_id": 2, "shop_domain": zeta.shop }),
        json!({ "id": 2, "myshopify_domain": zeta.shop }),
        json!({ "shop_id": 2, "shop_domain": zeta.shop, "customer": { "id": 1, "email": "ada1@lovelace.dev" } }),
    ];
    let topics =
        ["customers/update", "customers/delete", "customers/redact", "shop/redact", "app/uninstalled", "orders/paid"];
    let addresses = [
        "/webhooks/shopify".to_owned(),
        "/webhooks/shopify/main".to_owned(),
        format!("/webhooks/shopify/main/{foreign}"),
        format!("/webhooks/shopify/main/{}", "0".repeat(32)),
        format!("/webhooks/shopify/main/{acme}"),
        "/webhooks/omneo/acme".to_owned(),
    ];
    let mut tried = 0;
    for body in &bodies {
        let signature = sign(SECRET, &body.to_string());
        for topic in topics {
            for address in &addresses {
                for shop in [&acme, &zeta.shop] {
                    let headers = [
                        ("x-shopify-topic", topic),
                        ("x-shopify-hmac-sha256", &*signature),
                        ("x-shopify-shop-domain", &**shop),
                    ];
                    street.post(address, &headers, &body.to_string()).await;
                    tried += 1;
                }
            }
        }
    }
    let of_acme = |row: &&EventRow| row.event.webhook.tenant == TENANT;
    assert_eq!(street.events().iter().filter(of_acme).count(), 0, "of {tried}");
    // And at its own address, with acme's name in the header, nobody is meant.
    let body = bodies[0].to_string();
    let headers = [
        ("x-shopify-topic", "customers/update"),
        ("x-shopify-hmac-sha256", &*sign(SECRET, &body)),
        ("x-shopify-shop-domain", &*acme),
    ];
    assert_eq!(street.post(&format!("/webhooks/shopify/main/{foreign}"), &headers, &body).await.0, 404);
    // A tenant that moves to another shop gets another address: the shop before goes on sending to the old one.
    let mut moved = zeta.clone();
    moved.shop = "moved.myshopify.com".into();
    // Who asks for that shop while the tenant has another gets nothing, and changes nothing.
    assert!(credentials.webhook_key(&moved, &app(AppKind::Own)).await.is_err());
    credentials.settle(&moved).await.unwrap();
    assert_ne!(credentials.webhook_key(&moved, &app(AppKind::Own)).await.unwrap(), foreign);
    let headers = [("x-shopify-topic", "customers/update"), ("x-shopify-hmac-sha256", &*sign(SECRET, &body))];
    assert_eq!(street.post(&format!("/webhooks/shopify/main/{foreign}"), &headers, &body).await.0, 404);
    // A handle on the journal, which is closed now.
    drop(credentials);
    street.stop().await;
}
