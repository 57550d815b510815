//! Whoever asks too often, and systems that do not answer as they should: what they are told, and what it costs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tandem::config::AppKind;
use tandem::metrics::{Format, Now};
use tandem_standin::{Fault, Rule, SessionToken};

use super::Front;
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
            assert_eq!(seen.header("retry-after"), "1", "{fault:?}");
        }
        assert!(front.omneo().requests().len() - before <= 2, "{fault:?}");
        faults.clear();
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
    front.stop().await;
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
