//! Apps in place of tokens: what Shopify grants is held, renewed and used, whatever becomes of it on the way.

mod browser;
mod connect;
mod install;
mod jobs;
mod library;
mod moves;
mod storefront;
mod street;
mod webhooks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem::config::{App, AppKind, Peer};
use tandem::credentials::Ask;
use tandem::journal::EventRow;
use tandem::playground::{Playground, TENANT};
use tandem::vault::Keys;
use tandem_standin::{Fault, RefreshRule, Rule};

use crate::town::{RULES, plugin};
use street::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_ones_own_gets_its_token_by_itself() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 86_399), RefreshRule::Strict).await;
    street.customer(1);
    street.until("the profile", || street.profiles() == 1).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    // It lives for a day: one is enough, and a restart does not ask for another.
    assert_eq!(street.counts().given, 1);
    let Street { playground, folder } = street;
    let playground = playground.restart(None).await.unwrap();
    let street = Street { playground, folder };
    street.tell_address();
    street.customer(2);
    street.until("the other profile", || street.profiles() == 2).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    assert_eq!(street.counts().given, 1);
    // Nobody who has the journal has the token.
    let journal = street.playground.config.journal.clone();
    let Street { playground, folder: _folder } = street;
    playground.server.stop().await.unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    for secret in ["shpat_", "shpca_", "shprt_", SECRET] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

/// Tokens of two seconds, under load, with a token endpoint that takes its time.
async fn under_load(kind: AppKind) {
    let street = Street::of(kind, options(kind, 2), RefreshRule::Strict).await;
    street.playground.shopify.set_token_delay_ms(200);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(6) {
        sent += 1;
        street.customer(sent);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    street.until("every profile", || street.profiles() as u64 == sent).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    let counts = street.counts();
    assert_eq!(counts.most_at_once, 1, "{counts:?}");
    // One in a second and a half, and a few more where one was refused.
    assert!((3..=3 + began.elapsed().as_secs()).contains(&counts.given), "{counts:?}");
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_all_the_time_lose_nothing() {
    under_load(AppKind::Own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_that_end_all_the_time_lose_nothing() {
    under_load(AppKind::Standalone).await;
}

/// A token that is taken back while it has long to live.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_is_renewed_once_whoever_has_it() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 86_399), RefreshRule::Strict).await;
    street.playground.shopify.set_token_delay_ms(300);
    for _ in 0..3 {
        let before = street.counts().given;
        street.playground.shopify.revoke_tokens(ID);
        let profiles = street.profiles();
        for n in 0..10 {
            street.customer(profiles as u64 + n + 1);
        }
        street.until("the profiles", || street.profiles() == profiles + 10).await;
        street.playground.settle().await.unwrap();
        assert_eq!(street.counts().given, before + 1);
    }
    street.no_dead_letters();
    assert_eq!((street.counts().most_at_once, street.paused()), (1, String::new()));
    street.stop().await;
}

/// Answers of the token endpoint that are late, wrong or lost; and calls that wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_for_now_is_made_later() {
    let own = vec![Fault::Status(500), Fault::StatusRetryAfter(429, 1)];
    // Of the last one, the token was granted, and nobody has it.
    let standalone = vec![Fault::Status(408), Fault::Reset, Fault::LoseAnswer];
    for (kind, table) in [(AppKind::Own, own), (AppKind::Standalone, standalone)] {
        let street = Street::of(kind, options(kind, 2), RefreshRule::Seconds(30)).await;
        for (n, fault) in table.iter().enumerate() {
            street.playground.shopify.faults().add(Rule::path(TOKENS).times(2), fault.clone());
            // Nothing lives when the customer comes.
            tokio::time::sleep(Duration::from_millis(2_100)).await;
            street.customer(n as u64);
            street.until(&format!("the profile after {fault:?}"), || street.profiles() == n + 1).await;
            street.playground.settle().await.unwrap();
        }
        street.no_dead_letters();
        assert_eq!(street.paused(), "");
        street.stop().await;
    }
}

/// What somebody has to mend: the calls wait, the reason says whom to ask, and once it is mended everything goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_for_good_has_its_reason_and_goes_on_when_it_is_granted_anew() {
    let street = Street::of(AppKind::Standalone, options(AppKind::Standalone, 3_600), RefreshRule::Strict).await;
    // Everything that was granted is taken back.
    street.playground.shopify.revoke_tokens(ID);
    street.customer(1);
    street.until("the pause", || !street.paused().is_empty()).await;
    assert!(
        street.paused().starts_with("shopify: what the shop granted has ended (invalid_grant)"),
        "{}",
        street.paused()
    );
    assert!(street.paused().contains("have somebody open the app `main`"));
    street.approve().await.unwrap();
    street.until("the profile", || street.profiles() == 1).await;
    assert_eq!(street.paused(), "");
    street.playground.settle().await.unwrap();
    street.playground.shopify.uninstall(ID);
    street.until("the pause", || street.paused().contains("the app was uninstalled")).await;
    street.playground.server.resume(TENANT, "shopify").await.unwrap();
    street.playground.shopify.install(ID);
    street.approve().await.unwrap();
    street.set_up().await;
    street.customer(2);
    street.until("the other profile", || street.profiles() == 2).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_wrong_waits_for_the_configuration() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 2), RefreshRule::Strict).await;
    street.playground.shopify.rotate_secret(ID, "shpss_new");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    // Its webhook is signed with the new secret, which the host does not know either.
    let old = sign(SECRET, r#"{"id": 7}"#);
    let key = street.key().await;
    let path = format!("/webhooks/shopify/main/{key}");
    let headers = [("x-shopify-topic", "customers/update"), ("x-shopify-hmac-sha256", &*old)];
    assert_eq!(street.post(&path, &headers, r#"{"id": 7}"#).await.0, 200);
    street.playground.omneo.create_profile(json!({"first_name": "Grace", "email": "grace@hopper.dev"})).unwrap();
    street.until("the pause", || !street.paused().is_empty()).await;
    assert!(street.paused().contains("does not accept the id and secret of the app `main` (invalid_client)"));
    let mut next = street.playground.config.clone();
    let app = Arc::new(App {
        client_secret: "shpss_new".into(),
        previous_secret: Some(SECRET.into()),
        ..(*app(AppKind::Own)).clone()
    });
    next.apps = [("main".to_owned(), app.clone())].into();
    next.tenants[0].shopify = Peer::of_app(next.tenants[0].shopify.url.clone(), app, None);
    street.playground.server.reload(next).await.unwrap();
    street.until("the customer", || street.playground.shopify.customers().len() == 1).await;
    assert_eq!(street.paused(), "");
    // Both secrets sign for now.
    for secret in [SECRET, "shpss_new"] {
        let signature = sign(secret, r#"{"id": 7}"#);
        let headers = [("x-shopify-topic", "customers/update"), ("x-shopify-hmac-sha256", &*signature)];
        assert_eq!(street.post(&path, &headers, r#"{"id": 7}"#).await.0, 200, "{secret}");
    }
    street.stop().await;
}

/// The configuration is read again and again while tokens end and are renewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_in_the_middle_of_a_renewal_changes_nothing() {
    let street = Street::of(AppKind::Standalone, options(AppKind::Standalone, 2), RefreshRule::Strict).await;
    street.playground.shopify.set_token_delay_ms(300);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        sent += 1;
        street.customer(sent);
        let mut next = street.playground.config.clone();
        let other =
            App { name: format!("other-{sent}"), client_id: format!("other-{sent}"), ..(*app(AppKind::Own)).clone() };
        next.apps.insert(other.name.clone(), Arc::new(other));
        street.playground.server.reload(next).await.unwrap();
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    street.until("every profile", || street.profiles() as u64 == sent).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    assert_eq!((street.counts().most_at_once, street.paused()), (1, String::new()));
    street.stop().await;
}

/// Somebody comes with a code that is none, or a session token of yesterday, just when the token is to be renewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_spoils_no_renewal() {
    let street = Street::of(AppKind::Standalone, options(AppKind::Standalone, 2), RefreshRule::Strict).await;
    for n in 0..3 {
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        for ask in [Ask::Code("used".into()), Ask::Exchange("none".into())] {
            let refused = street.playground.server.granted(TENANT, ask).await.unwrap_err();
            assert!(!refused.to_string().is_empty());
        }
        street.customer(n);
        street.until("the profile", || street.profiles() as u64 == n + 1).await;
        assert_eq!(street.paused(), "");
    }
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_no_key_opens_waits_for_the_key_or_for_the_merchant() {
    let street = Street::of(AppKind::Standalone, options(AppKind::Standalone, 3_600), RefreshRule::Strict).await;
    let Street { playground, folder } = street;
    let Playground { shopify, omneo, server, mut config, .. } = playground;
    server.stop().await.unwrap();
    let old = config.keys.clone();
    config.keys = Keys::parse(&["cd".repeat(32)]).unwrap();
    let playground = Playground::with(plugin(RULES).await, config, shopify, omneo).await.unwrap();
    let street = Street { playground, folder };
    street.tell_address();
    street.customer(1);
    street.until("the pause", || !street.paused().is_empty()).await;
    assert!(street.paused().contains("what the shop granted cannot be opened: "), "{}", street.paused());
    // It is said once, and not again and again.
    let attempts = |street: &Street| {
        let runs = |row: &EventRow| street.playground.server.journal.read(|reader| reader.show(row.event.id)).unwrap();
        let runs = street.events().iter().flat_map(|row| runs(row).unwrap().1).collect::<Vec<_>>();
        runs.iter().flat_map(|run| &run.calls).map(|call| call.attempts.len()).sum::<usize>()
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = attempts(&street);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(attempts(&street), before);
    let mut next = street.playground.config.clone();
    next.keys = Keys::parse(&["cd".repeat(32), "ab".repeat(32)]).unwrap();
    assert_ne!(next.keys, old);
    street.playground.server.reload(next).await.unwrap();
    street.until("the profile", || street.profiles() == 1).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    assert_eq!(street.counts().requests, 1, "nothing was asked for");
    street.stop().await;
}

/// The shop refuses every token, and Shopify goes on giving them out.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_refuses_every_token_is_not_asked_for_ever() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 3_600), RefreshRule::Strict).await;
    let admin = Rule::path("POST /admin/api");
    street.playground.shopify.faults().add(admin, Fault::Unauthorized);
    for n in 0..60 {
        let fields = json!({"first_name": "Grace", "email": format!("grace{n}@hopper.dev")});
        street.playground.omneo.create_profile(fields).unwrap();
    }
    street.until("the pause", || !street.paused().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(street.counts().given <= 2, "{:?}", street.counts());
    assert!(street.paused().contains("answers 401"), "{}", street.paused());
    street.playground.shopify.faults().clear();
    street.playground.server.resume(TENANT, "shopify").await.unwrap();
    street.until("the customers", || street.playground.shopify.customers().len() == 60).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    assert!(street.counts().given <= 2, "{:?}", street.counts());
    street.stop().await;
}

/// Shopify has taken the request for a token and says nothing: the host can be stopped all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_token_for_ever() {
    let street = Street::of(AppKind::Own, options(AppKind::Own, 2), RefreshRule::Strict).await;
    street.playground.shopify.faults().add(Rule::path(TOKENS), Fault::Hang(Duration::from_secs(600)));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    street.customer(1);
    street.until("the event", || !street.events().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::time::timeout(PATIENCE, street.stop()).await.unwrap();
}
