//! Whoever asks too often, and systems that do not answer as they should: what they are told, and what it costs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tandem::config::{AppKind, Peer, RulesFrom};
use tandem::metrics::{Format, Now};
use tandem_standin::{Fault, Omneo, OmneoOptions, Rule, SessionToken, Shopify, ShopifyOptions};

use super::Front;
use crate::grants::street::{ID, SECRET, app, client, options};
use crate::liar::{Liar, Lie, answer_of};

const TOKEN: &str = "POST /id/api/v1/auth/token";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_one_shopper_are_one_question() {
    let front = Arc::new(Front::new().await);
    let (ada, adas) = front.shopper("ada").await;
    let (bob, bobs) = front.shopper("bob").await;
    let asked = front.omneo().requests().len();
    let began = Instant::now();
    let senders = (0..40).map(|_| {
        let front = front.clone();
        tokio::spawn(async move {
            let (query, mut given) = (super::query(&ada.to_string()), 0);
            let target = format!("{}?{query}", super::PROXIED);
            for _ in 0..250 {
                let seen = front.at(reqwest::Method::GET, &target, &[]).await;
                match seen.status {
                    200 => given += 1,
                    _ => {
                        seen.is_refused(429, &query);
                        let wait: u64 = seen.header("retry-after").parse().unwrap();
                        assert!((1..=3).contains(&wait), "{wait}");
                    }
                }
            }
            given
        })
    });
    let given: u64 = join_all(senders).await.into_iter().map(Result::unwrap).sum();
    // Thirty, and one every two seconds.
    let most = 30 + began.elapsed().as_secs() / 2 + 1;
    assert!((30..=most).contains(&given), "{given}");
    // A token and a profile.
    assert_eq!(front.omneo().requests().len() - asked, 2);
    // Nobody else has less for it.
    assert_eq!(front.visit(Some(bob)).await.pid(), bobs);
    assert_eq!(front.visit(None).await.pid(), "null");
    assert_ne!(adas, bobs);
    let text = front.0.playground.server.journal.metrics().text(&Now::default(), Format::OpenMetrics);
    for line in [
        format!("tandem_storefront_requests_total{{door=\"proxy\",outcome=\"customer\"}} {}", given + 1),
        format!("tandem_storefront_requests_total{{door=\"proxy\",outcome=\"too-many\"}} {}", 10_000 - given),
        "tandem_storefront_requests_total{door=\"proxy\",outcome=\"anonymous\"} 1".to_owned(),
        "tandem_storefront_asks_total{outcome=\"token\"} 3".to_owned(),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    Arc::into_inner(front).unwrap().stop().await;
}

/// Down, busy, silent, and back again.
#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_does_not_answer_is_asked_once_and_again_later() {
    let front = Front::of(AppKind::Own).await;
    let table = [
        (true, TOKEN, Fault::Status(500)),
        (true, TOKEN, Fault::Status(502)),
        (true, TOKEN, Fault::Reset),
        (true, TOKEN, Fault::LoseAnswer),
        (true, TOKEN, Fault::Unauthorized),
        (true, TOKEN, Fault::StatusRetryAfter(429, 1)),
        (true, "GET /profiles", Fault::Status(503)),
        (true, "GET /profiles", Fault::Reset),
        (false, "POST /admin/api", Fault::Status(503)),
        (false, "POST /admin/api", Fault::Throttled),
        (false, "POST /admin/api", Fault::Reset),
    ];
    for (n, (is_omneo, path, fault)) in table.into_iter().enumerate() {
        let (customer, profile) = front.shopper(&format!("ada{n}")).await;
        let faults = if is_omneo { front.omneo().faults() } else { front.shopify().faults() };
        faults.add(Rule::path(path), fault.clone());
        // All who come at once hear the same of one question.
        let before = front.omneo().requests().len();
        for seen in join_all((0..10).map(|_| front.visit(Some(customer)))).await {
            seen.is_refused(503, "");
            assert!(["1", "2", "3"].contains(&seen.header("retry-after")), "{fault:?}: {seen:?}");
        }
        assert!(front.omneo().requests().len() - before <= 2, "{fault:?}");
        faults.clear();
        // For so long the system has asked to be spared.
        if matches!(fault, Fault::StatusRetryAfter(..) | Fault::Throttled) {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        // Something is learned of the person: what was said before does not count.
        front.omneo().update_profile(&profile, serde_json::json!({ "last_name": "Lovelace" })).unwrap();
        front.settle().await;
        assert_eq!(front.visit(Some(customer)).await.pid(), profile, "after {fault:?}");
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever() {
    let front = Front::of(AppKind::Own).await;
    let (ada, _) = front.shopper("ada").await;
    front.omneo().faults().add(Rule::path(TOKEN), Fault::Hang(Duration::from_secs(600)));
    let began = Instant::now();
    let (all, token) = (join_all((0..5).map(|_| front.signed(""))), SessionToken::extension(Some(ada)));
    let (strangers, theirs) = tokio::join!(all, front.extension(&token));
    for seen in strangers.into_iter().chain([theirs]) {
        assert!(matches!(seen.status, 503 | 504), "{seen:?}");
        assert!(!seen.header("retry-after").is_empty(), "{seen:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    // Whoever comes now is told at once, and is told to come back later than in a moment.
    let before = front.tokens_asked();
    let began = Instant::now();
    let seen = front.signed("").await;
    seen.is_refused(503, "");
    let wait: u64 = seen.header("retry-after").parse().unwrap();
    assert!((5..=20).contains(&wait) && began.elapsed() < Duration::from_secs(2), "{wait}");
    assert_eq!(front.tokens_asked(), before);
    front.stop().await;
}

/// An Omneo that hangs fills up with its own shop's visitors: neither webhooks nor another shop's shoppers wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn visitors_who_wait_leave_room_for_webhooks_and_for_other_shops() {
    let (front, shop, omneo) = with_zeta(Front::of(AppKind::Own).await).await;
    let front = Arc::new(front);
    front.omneo().faults().add(Rule::path(TOKEN), Fault::Hang(Duration::from_secs(600)));
    let began = Instant::now();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let front = front.clone();
            tokio::spawn(async move { (front.signed("").await, began.elapsed()) })
        })
        .collect();
    front.0.until("the question", || front.tokens_asked() > 0).await;
    // A webhook of the same shop is taken in, and what another shop asks for is given.
    let before = front.0.events().len();
    front.shopify().create_customer(serde_json::json!({ "first_name": "Eve", "email": "eve@example.org" })).unwrap();
    front.0.until("the webhook", || front.0.events().len() > before).await;
    let seen = front.at(reqwest::Method::GET, &zetas_target(), &[]).await;
    assert_eq!(seen.pid(), "null");
    assert!(began.elapsed() < Duration::from_secs(5), "they do not wait any more: this shows nothing");
    let (mut turned_away, mut failed) = (0, 0);
    for seen in waiting {
        let (seen, after) = seen.await.unwrap();
        seen.is_refused(503, "");
        match seen.json()["error"].as_str().unwrap() {
            "busy" => {
                turned_away += 1;
                assert!(after < Duration::from_secs(5) && seen.header("retry-after") == "1", "{after:?} {seen:?}");
            }
            other => {
                failed += 1;
                assert_eq!(other, "failed");
            }
        }
    }
    // A sixteenth of the listener's places, and 64 at most.
    assert!(turned_away >= 100 - 64 && failed > 0, "{turned_away} {failed}");
    shop.stop();
    omneo.stop();
    Arc::into_inner(front).unwrap().stop().await;
}

/// A second shop of the same app, with another Omneo.
async fn with_zeta(front: Front) -> (Front, Shopify, Omneo) {
    let options = ShopifyOptions {
        shop: ZETA.into(),
        shop_id: 2,
        ..ShopifyOptions::with_apps(vec![options(AppKind::Own, 3_600)])
    };
    let (shop, omneo) = (Shopify::start(options).await.unwrap(), Omneo::start(OmneoOptions::default()).await.unwrap());
    shop.install(ID);
    let front = front
        .again(|config| {
            let mut zeta = config.tenants[0].clone();
            (zeta.name, zeta.shop, zeta.rules) = ("zeta".into(), ZETA.into(), RulesFrom::Deployed);
            zeta.shopify = Peer::of_app(shop.url(), app(AppKind::Own), None);
            zeta.omneo.url = omneo.url();
            config.tenants.push(zeta);
            config.allow.extend([shop.address().to_string(), omneo.address().to_string()]);
        })
        .await;
    (front, shop, omneo)
}

const ZETA: &str = "zeta.myshopify.com";

/// What a visitor of the second shop asks for, as its app proxy passes it on.
fn zetas_target() -> String {
    let at = (tandem::clock::now() / 1_000).to_string();
    let pairs: Vec<_> =
        super::pairs("", &at).into_iter().map(|(n, v)| (n, if n == "shop" { ZETA } else { v })).collect();
    format!("{}?{}", super::PROXIED, super::signed_by(SECRET, &pairs))
}

/// What one customer's question has taught counts for all of the shop.
#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_asks_to_be_spared_is_spared() {
    let front = Front::of(AppKind::Own).await;
    let ((ada, _), (bob, _)) = (front.shopper("ada").await, front.shopper("bob").await);
    front.omneo().faults().add(Rule::path("GET /profiles"), Fault::StatusRetryAfter(429, 40));
    front.signed(&ada.to_string()).await.is_refused(503, "");
    let before = front.omneo().requests().len();
    for customer in [bob.to_string(), ada.to_string(), String::new()] {
        let seen = front.signed(&customer).await;
        seen.is_refused(503, "");
        let wait: u64 = seen.header("retry-after").parse().unwrap();
        assert!((20..=40).contains(&wait), "{wait}");
    }
    assert_eq!(front.omneo().requests().len(), before);
    front.stop().await;
}

/// What was paid for is kept, also if whoever wanted it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_that_nobody_waits_for_any_more() {
    let front = Front::of(AppKind::Own).await;
    front.omneo().faults().add(Rule::path(TOKEN).times(1), Fault::Hang(Duration::from_millis(1_500)));
    let url = format!("http://{}{}?{}", front.0.playground.server.address, super::PROXIED, super::query(""));
    let gone = client().get(url).timeout(Duration::from_millis(500)).send().await;
    assert!(gone.is_err_and(|error| error.is_timeout()));
    assert_eq!(front.tokens_asked(), 1);
    let began = Instant::now();
    while front.counted("tandem_storefront_asks_total{outcome=\"token\"}") == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "the answer was thrown away");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(front.signed("").await.pid(), "null");
    assert_eq!(front.tokens_asked(), 1);
    front.stop().await;
}

/// A token that ends within a minute is not kept. Those who wait for it share it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_one_question_for_all_who_wait() {
    let front = Arc::new(Front::of(AppKind::Own).await);
    let (ada, adas) = front.shopper("ada").await;
    front.omneo().set_id_seconds(30);
    front.omneo().faults().add(Rule::path(TOKEN), Fault::Hang(Duration::from_secs(1)));
    let visit = |_| {
        let front = front.clone();
        tokio::spawn(async move { front.signed(&ada.to_string()).await })
    };
    let first = visit(0);
    front.0.until("the question", || front.tokens_asked() == 1).await;
    for seen in (1..10).map(visit).collect::<Vec<_>>().into_iter().chain([first]) {
        assert_eq!(seen.await.unwrap().pid(), adas);
    }
    assert_eq!(front.tokens_asked(), 1);
    assert_eq!(front.signed(&ada.to_string()).await.pid(), adas);
    assert_eq!(front.tokens_asked(), 2);
    Arc::into_inner(front).unwrap().stop().await;
}

/// An Omneo that answers with something else than what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_given_to_nobody() {
    let good = r#"{"data":{"token":"e30.eyJwaWQiOiJudWxsIiwiZXhwIjo0MTAyNDQ0ODAwfQ.eA","exp":4102444800}}"#;
    let theirs = r#"{"data":{"token":"e30.eyJwaWQiOiIwYjdkYmZhNi0yNWQzLTRhMmItOGI1ZS0zZDNlNmMxYjJhMTEiLCJleHAiOjQxMDI0NDQ4MDB9.eA","exp":4102444800}}"#;
    let (json, html) = ("content-type: application/json", "content-type: text/html");
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(9 << 20));
    let lies = [
        ("200 OK", json, good, 200),
        ("200 OK", html, "<html><body>Sign in to the network</body></html>", 503),
        ("404 Not Found", html, "<html>not found</html>", 503),
        ("302 Found", "location: http://127.0.0.1:9/", "", 503),
        ("200 OK", json, "", 503),
        ("200 OK", json, "null", 503),
        ("200 OK", json, r#"{"data":{}}"#, 503),
        ("200 OK", json, r#"{"data":{"token":"x","exp":4102444800}}"#, 503),
        ("200 OK", json, theirs, 503),
        ("200 OK", json, &large, 503),
        ("200 OK", "content-encoding: gzip", good, 503),
    ];
    let now = Arc::new(Mutex::new(vec![]));
    let said = now.clone();
    let liar = Liar::start(move |_| Lie::Bytes(said.lock().unwrap().clone())).await;
    let front = Front::of(AppKind::Own).await.with_omneo(liar.url(), liar.address.to_string()).await;
    let mut config = front.0.playground.config.clone();
    for (status, header, body, due) in lies {
        *now.lock().unwrap() = answer_of(status, &[header], body);
        // With anything changed of the tenant, what was said before does not count.
        config.tenants[0].limits.keep_days += 1;
        front.0.playground.server.reload(config.clone()).await.unwrap();
        let seen = front.signed("").await;
        if due == 200 {
            assert_eq!(seen.pid(), "null");
        } else {
            seen.is_refused(due, "");
            assert!(!seen.text.contains("html") && !seen.text.contains("127.0.0.1"), "{seen:?}");
        }
    }
    assert_eq!(liar.requests(), lies.len());
    front.stop().await;
}
