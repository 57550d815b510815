//! Right after something has happened to a customer: what is in memory does not count any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem::config::{AppKind, Credential};
use tandem_standin::{Fault, Rule, SessionToken};

use super::Front;
use crate::grants::street::*;

/// Shorter than the host waits for an answer.
const HANG: Duration = Duration::from_secs(4);

/// Everybody has asked before, so that a token is in memory.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_a_token_of_before() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    let (bob, bobs) = front.shopper("bob").await;
    let (cleo, cleos) = front.shopper("cleo").await;
    let (dan, dans) = front.shopper("dan").await;
    let (eve, eves) = front.shopper("eve").await;
    for (customer, profile) in [(ada, &adas), (bob, &bobs), (cleo, &cleos), (dan, &dans), (eve, &eves)] {
        assert_eq!(front.visit(Some(customer)).await.pid(), **profile);
    }
    // Deleted at Shopify: a session token of before is good for minutes.
    let token = SessionToken::extension(Some(ada));
    assert_eq!(front.extension(&token).await.pid(), adas);
    assert!(front.shopify().delete_customer(ada));
    front.settle().await;
    assert_eq!(front.extension(&token).await.pid(), "null");
    // Merged into another one: whoever is left has their own profile, and the other one nothing.
    assert_eq!(front.visit(Some(bob)).await.pid(), bobs);
    front.shopify().merge_customers(cleo, bob).unwrap();
    front.settle().await;
    assert_eq!(front.signed(&bob.to_string()).await.pid(), "null");
    assert_eq!(front.visit(Some(cleo)).await.pid(), cleos);
    // The profile is deleted at Omneo.
    front.omneo().delete_profile(&dans);
    front.settle().await;
    assert_eq!(front.visit(Some(dan)).await.pid(), "null");
    // Redacted.
    let body = json!({
        "shop_domain": "acme.myshopify.com",
        "customer": { "id": eve, "email": "eve@example.org" },
        "orders_to_redact": [],
    });
    front.0.duty("customers/redact", &body.to_string()).await;
    assert_eq!(front.visit(Some(eve)).await.pid(), "null");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_profiles_that_become_one_leave_one_token() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    let other =
        front.omneo().create_profile(json!({ "first_name": "Augusta", "email": "augusta@example.org" })).unwrap();
    front.settle().await;
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    front.omneo().merge_profiles(&adas, &other);
    front.settle().await;
    // The profile that is left has another address, which may be another person's.
    assert_eq!(front.visit(Some(ada)).await.pid(), "null");
    front.omneo().update_profile(&other, json!({ "email": "ada@example.org" })).unwrap();
    front.settle().await;
    assert_eq!(front.visit(Some(ada)).await.pid(), other);
    front.stop().await;
}

/// Whatever is changed of a tenant, everything is asked anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_a_tenant_of_before_does_not_count() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    assert_eq!((front.visit(Some(ada)).await.pid(), front.visit(None).await.pid()), (adas.clone(), "null".into()));
    let before = front.tokens_asked();
    let mut next = front.0.playground.config.clone();
    next.tenants[0].omneo.credential = Credential::Token("rotated".into());
    front.0.playground.server.reload(next).await.unwrap();
    front.visit(Some(ada)).await.is_refused(503, "");
    front.visit(None).await.is_refused(503, "");
    front.omneo().set_token("rotated");
    let mut next = front.0.playground.config.clone();
    next.tenants[0].omneo.credential = Credential::Token("rotated".into());
    next.tenants[0].limits.keep_days += 1;
    front.0.playground.server.reload(next).await.unwrap();
    assert_eq!((front.visit(Some(ada)).await.pid(), front.visit(None).await.pid()), (adas, "null".into()));
    // Twice in vain: the profile was not to be read, and the token of nobody was refused.
    assert_eq!(front.tokens_asked(), before + 3);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_took_the_app_away_gets_nothing() {
    for kind in [AppKind::Own, AppKind::Standalone] {
        let front = Front::of(kind).await;
        let (ada, adas) = front.shopper("ada").await;
        let query = super::query(&ada.to_string());
        let token = front.shopify().session_token(ID, &SessionToken::extension(Some(ada))).unwrap();
        assert_eq!(front.visit(Some(ada)).await.pid(), adas);
        front.shopify().uninstall(ID);
        front.0.until("the pause", || front.0.paused().contains("the app was uninstalled")).await;
        // What Shopify signed just before.
        let target = format!("{}?{query}", super::PROXIED);
        front.at(reqwest::Method::GET, &target, &[]).await.is_refused(404, &query);
        let headers = [("authorization", &*format!("Bearer {token}"))];
        front.at(reqwest::Method::POST, super::EXTENSION, &headers).await.is_refused(404, &token);
        front.stop().await;
    }
}

/// The domain belongs to another shop by now, whose customers are others.
#[tokio::test(flavor = "multi_thread")]
async fn another_shop_under_the_same_name_gets_nothing() {
    let front = Front::of(AppKind::Own).await;
    let (ada, adas) = front.shopper("ada").await;
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    let journal = &front.0.playground.server.journal;
    assert_eq!(journal.number_shop("acme", "acme.myshopify.com", 1).await.unwrap(), None);
    assert!(journal.number_shop("acme", "acme.myshopify.com", 2).await.unwrap().is_some());
    front.visit(Some(ada)).await.is_refused(404, "");
    front.visit(None).await.is_refused(404, "");
    front.stop().await;
}

/// The profile is gone, and the person has another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_linked_anew_has_the_new_profile() {
    let front = Front::new().await;
    let (ada, old) = front.shopper("ada").await;
    assert_eq!(front.visit(Some(ada)).await.pid(), old);
    front.omneo().delete_profile(&old);
    front.settle().await;
    let fields = json!({ "first_name": "Ada", "email": "ada@example.org" });
    let new = front.omneo().create_profile(fields).unwrap();
    front.settle().await;
    assert_ne!(new, old);
    assert_eq!(front.visit(Some(ada)).await.pid(), new);
    front.stop().await;
}

/// Seconds pass between the look into the journal and Omneo's answer. What happened meanwhile counts, for whoever asks and for those
/// who wait for the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_a_token_is_asked_for_counts() {
    let front = Arc::new(Front::new().await);
    let (ada, _) = front.shopper("ada").await;
    let (dan, _) = front.shopper("dan").await;
    for (customer, is_deleted) in [(ada, true), (dan, false)] {
        let before = front.tokens_asked();
        front.omneo().faults().add(Rule::path("POST /id/api/v1/auth/token").times(1), Fault::Hang(HANG));
        let queries: Vec<_> = (0..3).map(|_| super::query(&customer.to_string())).collect();
        let waiting: Vec<_> = queries
            .iter()
            .map(|query| {
                let (front, target) = (front.clone(), format!("{}?{query}", super::PROXIED));
                tokio::spawn(async move { front.at(reqwest::Method::GET, &target, &[]).await })
            })
            .collect();
        front.0.until("the question", || front.tokens_asked() > before).await;
        let began = Instant::now();
        if is_deleted {
            assert!(front.shopify().delete_customer(customer));
            front.settle().await;
        } else {
            front.shopify().uninstall(ID);
            front.0.until("the pause", || front.0.paused().contains("the app was uninstalled")).await;
        }
        assert!(began.elapsed() < HANG, "the answer came before: this shows nothing");
        for seen in waiting {
            let seen = seen.await.unwrap();
            if is_deleted {
                assert_eq!(seen.pid(), "null");
            } else {
                seen.is_refused(404, "");
            }
        }
        front.omneo().faults().clear();
    }
    Arc::into_inner(front).unwrap().stop().await;
}

/// Neither whether the shop has the app nor whose the tenant is can be read: nobody is let in for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_cannot_tell_lets_nobody_in() {
    let front = Front::of(AppKind::Own).await;
    let (ada, adas) = front.shopper("ada").await;
    assert_eq!(front.visit(Some(ada)).await.pid(), adas);
    let query = super::query(&ada.to_string());
    let target = format!("{}?{query}", super::PROXIED);
    let server = &front.0.playground.server;
    // The grant is another shop's, as after a journal was restored.
    let of = |shop: &str| {
        let journal = rusqlite::Connection::open(&front.0.playground.config.journal).unwrap();
        journal.busy_timeout(PATIENCE).unwrap();
        assert_eq!(journal.execute("UPDATE grants SET shop = ? WHERE tenant = 'acme'", [shop]).unwrap(), 1);
        server.credentials.forget("acme");
    };
    of("zeta.myshopify.com");
    let seen = front.at(reqwest::Method::GET, &target, &[]).await;
    seen.is_refused(503, &query);
    assert_eq!(seen.json()["error"], "host");
    // Nothing is waited for before somebody is admitted: they may not have that tried as often as they like.
    let mut refused = vec![];
    for _ in 0..40 {
        refused.push(front.at(reqwest::Method::GET, &target, &[]).await.status);
    }
    assert!(refused.contains(&429), "{refused:?}");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    of("acme.myshopify.com");
    assert_eq!(front.at(reqwest::Method::GET, &target, &[]).await.pid(), adas);
    // Its secrets cannot be opened: that is not for good.
    front
        .reload(|next| {
            next.tenants[0].shopify.webhook_secrets.clear();
            next.tenants[0].omneo.webhook_secrets.clear();
        })
        .await;
    let seen = front.at(reqwest::Method::GET, &target, &[]).await;
    seen.is_refused(503, &query);
    assert_eq!((&seen.json()["error"], seen.header("retry-after")), (&json!("closed"), "30"));
    front.stop().await;
}
