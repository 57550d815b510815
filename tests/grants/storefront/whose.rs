//! Whose token it is: a link of the journal and an address that is shown to be the customer's, or nobody's.

use reqwest::Method;
use serde_json::{Value, json};
use tandem::config::{App, AppKind, Peer};
use tandem::journal::{Direction, Mode};
use tandem::playground::TENANT;
use tandem_standin::{Delivery, SessionToken};

use super::Front;
use crate::grants::street::app;

/// Bob signs up with the address that was Ann's.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_anns_opens_nothing_of_hers_until_it_is_bobs() {
    let front = Front::new().await;
    let (ann, anns) = front.shopper("ann").await;
    // Ann has another address at Shopify by now, and Omneo has not: as long as she is a customer, she speaks for the profile.
    front.omneo().outbox().set_delivery(Delivery::Manual);
    front.shopify().update_customer(ann, json!({ "email": "ann@new.example.org" })).unwrap();
    front.0.until("her new address", || front.profile_of("ann@new.example.org").is_some()).await;
    front.omneo().update_profile(&anns, json!({ "email": "ann@example.org" })).unwrap();
    let fields = json!({ "first_name": "Bob", "email": "ann@example.org" });
    let bob = front.shopify().create_customer(fields).unwrap();
    let is_over = |customer: u64| {
        let is_theirs = |names: &[String]| names.contains(&format!("shopify/customer/{customer}"));
        front.0.events().iter().any(|event| is_theirs(&event.names) && event.outcome.is_some())
    };
    front.0.until("what becomes of Bob", || is_over(bob)).await;
    assert_eq!(front.visit(Some(bob)).await.pid(), "null");
    // Her own addresses differ: what is on its way may be anybody's.
    assert_eq!(front.visit(Some(ann)).await.pid(), "null");
    front.stop().await;

    // Ann is not a customer any more.
    let front = Front::new().await;
    let (ann, anns) = front.shopper("ann").await;
    assert!(front.shopify().delete_customer(ann));
    front.settle().await;
    let fields = json!({ "first_name": "Bob", "email": "ann@example.org", "verified_email": false });
    let bob = front.shopify().create_customer(fields).unwrap();
    front.settle().await;
    let is_linked = |event: &tandem::journal::EventRow| {
        event.names.contains(&format!("shopify/customer/{bob}")) && event.outcome.as_deref() == Some("done")
    };
    assert!(front.0.events().iter().any(is_linked), "{:#?}", front.0.events());
    for _ in 0..3 {
        assert_eq!(front.visit(Some(bob)).await.pid(), "null", "he has not shown that the address is his");
        assert_eq!(front.extension(&SessionToken::extension(Some(bob))).await.pid(), "null");
    }
    // Nobody is asked again for half a minute; a change that the journal hears of counts at once.
    front.shopify().update_customer(bob, json!({ "verified_email": true, "last_name": "Builder" })).unwrap();
    front.settle().await;
    assert_eq!(front.visit(Some(bob)).await.pid(), anns);
    front.stop().await;
}

/// In a shop with classic accounts whoever types an address has an account with it, which Shopify counts as verified.
#[tokio::test(flavor = "multi_thread")]
async fn a_classic_account_opens_nothing_unless_an_operator_trusts_it() {
    let front = Front::new().await;
    let (ann, anns) = front.shopper("ann").await;
    assert!(front.shopify().delete_customer(ann));
    front.settle().await;
    front.shopify().set_classic_accounts(true);
    // Shopify says of Mallory's account that the address is verified.
    let fields = json!({ "first_name": "Mallory", "email": "ann@example.org" });
    let mallory = front.shopify().create_customer(fields).unwrap();
    assert_eq!(front.shopify().customer(mallory).unwrap()["verified_email"], json!(true));
    front.settle().await;
    let is_linked = |event: &tandem::journal::EventRow| {
        event.names.contains(&format!("shopify/customer/{mallory}")) && event.outcome.as_deref() == Some("done")
    };
    assert!(front.0.events().iter().any(is_linked), "{:#?}", front.0.events());
    for _ in 0..3 {
        assert_eq!(front.visit(Some(mallory)).await.pid(), "null");
        assert_eq!(front.extension(&SessionToken::extension(Some(mallory))).await.pid(), "null");
    }
    assert_eq!(front.counted("tandem_storefront_asks_total{outcome=\"classic accounts\"}"), 1);
    // Another shop is trusted, and then this one.
    for (shop, due) in [("zeta.myshopify.com", "null"), ("acme.myshopify.com", &*anns)] {
        front
            .reload(|next| {
                let trusting =
                    App { trust_classic_accounts: [shop.to_owned()].into(), ..(*app(AppKind::Standalone)).clone() };
                let trusting = std::sync::Arc::new(trusting);
                next.apps.insert("main".into(), trusting.clone());
                next.tenants[0].shopify = Peer::of_app(front.shopify().url(), trusting, None);
            })
            .await;
        assert_eq!(front.visit(Some(mallory)).await.pid(), due, "{shop} is trusted");
    }
    // Back to nobody's word, and to accounts that show the address at each login.
    front.reload(|next| next.tenants[0].limits.keep_days += 1).await;
    assert_eq!(front.visit(Some(mallory)).await.pid(), "null");
    front.shopify().set_classic_accounts(false);
    front.reload(|next| next.tenants[0].limits.keep_days += 2).await;
    assert_eq!(front.visit(Some(mallory)).await.pid(), anns);
    front.stop().await;
}

/// Without Shopify's approval for protected customer data nobody is known, and everybody has what a visitor has.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_app_may_not_read_customers_everybody_is_a_visitor() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    front.shopify().set_customers_denied(true);
    for _ in 0..3 {
        assert_eq!(front.visit(Some(ada)).await.pid(), "null");
    }
    assert_eq!(front.counted("tandem_storefront_asks_total{outcome=\"not approved\"}"), 1);
    assert_eq!(front.counted("tandem_storefront_asks_total{outcome=\"failed\"}"), 0);
    front.shopify().set_customers_denied(false);
    front.reload(|next| next.tenants[0].limits.keep_days += 1).await;
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    front.stop().await;
}

/// Whoever has a token may write identities of their own profile.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_a_shopper_claims_is_worth_nothing() {
    let front = Front::new().await;
    let (ann, anns) = front.shopper("ann").await;
    let (mallory, mallorys) = front.shopper("mallory").await;
    let token = front.visit(Some(mallory)).await.token();
    // Ann's is taken; somebody's who has no profile yet is free.
    front.shopify().outbox().set_delivery(Delivery::Manual);
    let carol =
        front.shopify().create_customer(json!({ "first_name": "Carol", "email": "carol@example.org" })).unwrap();
    let claim = |customer: u64| Some(json!({ "handle": "shopify", "identifier": customer.to_string() }));
    let (status, _) = front.widget(Method::POST, "/profiles/me/identities", &token, claim(ann)).await;
    assert_eq!(status, 422);
    let (status, said) = front.widget(Method::POST, "/profiles/me/identities", &token, claim(carol)).await;
    assert_eq!(status, 201, "{said}");
    let heard = || {
        front.0.events().iter().any(|event| {
            event.event.webhook.topic == "identity.created" && event.names.iter().any(|name| name.ends_with(&mallorys))
        })
    };
    front.0.until("the claim", heard).await;
    front.0.until("its end", || front.0.events().iter().all(|event| event.outcome.is_some())).await;
    // Carol is not shown what is Mallory's, and what she writes does not go there.
    assert_eq!(front.visit(Some(carol)).await.pid(), "null");
    assert_eq!(front.visit(Some(ann)).await.pid(), anns);
    // Omneo itself would give Mallory's, by the identity.
    let url = format!("http://{}/id/api/v1/auth/token", front.omneo().address());
    let by_handle = crate::grants::street::client().post(url).bearer_auth("omneo-token");
    let by_handle = by_handle.header("content-type", "application/json");
    let answer =
        by_handle.body(json!({ "id": carol.to_string(), "id_handle": "shopify" }).to_string()).send().await.unwrap();
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(super::claims(said["data"]["token"].as_str().unwrap())["pid"], json!(mallorys));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_a_profile_is_looked_at_once() {
    let front = Front::of(AppKind::Own).await;
    // Shopify's word of the customer does not come.
    front.shopify().outbox().set_delivery(Delivery::Manual);
    let ada = front.shopify().create_customer(json!({ "first_name": "Ada", "email": "ada@example.org" })).unwrap();
    front.shopify().outbox().take();
    front.shopify().outbox().set_delivery(Delivery::Automatic);
    let looks = || front.0.events().iter().filter(|event| event.event.webhook.topic == "resync").count();
    // Not while what comes from Shopify is held or dropped.
    for mode in [Mode::Hold, Mode::Drop] {
        direct(&front, "shopify", mode).await;
        assert_eq!((front.visit(Some(ada)).await.pid(), looks()), ("null".into(), 0));
    }
    direct(&front, "shopify", Mode::Run).await;
    // Whoever asks at once is one event.
    let visits = (0..20).map(|_| front.visit(Some(ada)));
    for seen in futures_util::future::join_all(visits).await {
        assert_eq!(seen.status, 200, "{seen:?}");
    }
    front.0.until("the look", || looks() == 1).await;
    front.settle().await;
    assert_eq!(looks(), 1);
    let adas = front.profile_of("ada@example.org").expect("the rules have made it");
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    assert_eq!(looks(), 1);
    // Somebody whom Shopify does not know is nobody, and costs one event, too.
    for _ in 0..3 {
        assert_eq!(front.signed("999999").await.pid(), "null");
    }
    front.0.until("the second look", || looks() == 2).await;
    front.settle().await;
    assert_eq!(looks(), 2);
    front.0.no_dead_letters();
    front.stop().await;
}

/// What could not be written down was not done.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_a_profile_is_looked_at_once_there_is_room() {
    let front = Front::of(AppKind::Own).await;
    front.shopify().outbox().set_delivery(Delivery::Manual);
    let ada = front.shopify().create_customer(json!({ "first_name": "Ada", "email": "ada@example.org" })).unwrap();
    front.shopify().outbox().take();
    front.shopify().outbox().set_delivery(Delivery::Automatic);
    let looks = || front.0.events().iter().filter(|event| event.event.webhook.topic == "resync").count();
    front.reload(|next| next.tenants[0].limits.journal_bytes_max = 1).await;
    // The token does not wait for it.
    for _ in 0..3 {
        assert_eq!(front.visit(Some(ada)).await.pid(), "null");
    }
    assert_eq!(looks(), 0);
    front.reload(|_| {}).await;
    let began = std::time::Instant::now();
    while looks() == 0 {
        assert!(began.elapsed() < crate::grants::street::PATIENCE);
        assert_eq!(front.visit(Some(ada)).await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    front.settle().await;
    assert_eq!(looks(), 1);
    front.stop().await;
}

async fn direct(front: &Front, source: &str, mode: Mode) {
    let (by, why) = ("ops".into(), "a test".into());
    let direction = Direction { tenant: TENANT.into(), source: source.into(), mode, since: 0, by, why };
    front.0.playground.server.journal.direct(direction).await.unwrap();
}

/// Lanes, directions and targets stand still.
#[tokio::test(flavor = "multi_thread")]
async fn it_works_while_nothing_is_kept_in_step() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    for source in ["shopify", "omneo"] {
        direct(&front, source, Mode::Hold).await;
        front.0.playground.server.journal.pause(TENANT, source, "a test").await.unwrap();
    }
    front.0.until("the pauses", || front.0.playground.server.paused().len() == 2).await;
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    assert_eq!(front.extension(&SessionToken::extension(Some(ada))).await.pid(), adas);
    assert_eq!(front.visit(None).await.pid(), "null");
    front.stop().await;
}
