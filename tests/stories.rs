//! Stories through the whole host: webhooks in at its door, calls out to the stand-ins.

use std::time::Duration;

use crate::town::{RULES, Town, again, order, plugin, taken};
use serde_json::{Value, json};
use tandem::model::Outcome;
use tandem_standin::{Fault, Rule};

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_becomes_a_profile_and_comes_back_as_an_echo() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    assert_eq!(town.profiles().len(), 1);
    let identity = &town.profile(&profile)["identities"][0];
    assert_eq!((&identity["handle"], &identity["identifier"]), (&json!("shopify"), &json!(customer.to_string())));
    assert_eq!(town.customer(customer)["metafields"]["omneo.profile_id"], json!(profile));
    // Whatever came back from that has been skipped with a reason.
    let events = town.events();
    assert_eq!(events[0].outcome.as_deref(), Some("done"));
    for event in &events[1..] {
        assert_eq!(event.outcome.as_deref(), Some("skipped"), "{event:?}");
        assert!(event.reason.as_deref().unwrap_or_default().contains("echo"), "{event:?}");
    }
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_becomes_a_customer_and_edits_go_both_ways_without_a_loop() {
    let town = Town::new().await;
    let fields = json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev"});
    let profile = town.playground.omneo.create_profile(fields).unwrap();
    town.settle().await;
    let customers = town.playground.shopify.customers();
    assert_eq!((customers.len(), &customers[0]["first_name"]), (1, &json!("Grace")));
    let customer = customers[0]["id"].as_u64().unwrap();
    town.clock.advance(60_000);
    town.playground.shopify.update_customer(customer, json!({"phone": "+61400000009"})).unwrap();
    town.settle().await;
    assert_eq!(town.profile(&profile)["mobile_phone"], json!("+61400000009"));
    town.clock.advance(60_000);
    town.playground.omneo.update_profile(&profile, json!({"first_name": "Amazing"})).unwrap();
    town.settle().await;
    assert_eq!(town.customer(customer)["first_name"], json!("Amazing"));
    // Three changes, three events that did something.
    let done = town.events().iter().filter(|event| event.outcome.as_deref() == Some("done")).count();
    assert_eq!(done, 3, "{:?}", town.outcomes(0));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_becomes_one_transaction_whatever_comes_twice_or_out_of_order() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    town.by_hand();
    let mut paid = order(4501, Some(customer), "paid");
    paid["updated_at"] = json!("2026-11-02T20:00:09+11:00");
    let mut pending = order(4501, Some(customer), "pending");
    pending["updated_at"] = json!("2026-11-02T20:00:00+11:00");
    town.playground.shopify.send_order("orders/paid", paid);
    town.playground.shopify.send_order("orders/create", pending);
    let webhooks = town.playground.shopify.outbox().take();
    let before = town.events().len();
    for webhook in [&webhooks[0], &webhooks[0], &again(&webhooks[0]), &webhooks[1]] {
        town.shopify_delivers(webhook).await;
        town.handled().await;
    }
    // The second delivery of the first has its id and is no event of its own.
    assert_eq!(town.outcomes(before), ["orders/paid done", "orders/paid skipped", "orders/create skipped"]);
    let transactions = town.playground.omneo.transactions();
    assert_eq!((transactions.len(), transactions[0]["total"].to_string()), (1, "19.90".to_owned()));
    assert_eq!(transactions[0]["profile_id"], json!(profile));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_target_is_asked_again_after_the_time_it_names() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    town.playground.omneo.faults().add(Rule::path("PUT /profiles").times(1), Fault::StatusRetryAfter(429, 1));
    let before = town.events().len();
    let began = std::time::Instant::now();
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    assert!(began.elapsed() >= Duration::from_secs(1), "asked again too soon: {:?}", began.elapsed());
    assert_eq!(town.profile(&profile)["last_name"], json!("Byron"));
    let runs = town.show(town.events()[before].event.id);
    let attempts: Vec<_> =
        runs[0].calls.iter().flat_map(|call| &call.attempts).filter_map(|attempt| attempt.outcome.clone()).collect();
    let again = attempts.iter().find(|outcome| outcome.starts_with("429; again in 1")).cloned();
    assert!(again.is_some(), "{attempts:?}");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_query_waits_for_the_bucket_and_goes_through() {
    let town = Town::new().await;
    town.playground.shopify.faults().add(Rule::any().times(2), Fault::Throttled);
    let fields = json!({"first_name": "Grace", "last_name": "Hopper", "email": "grace@hopper.dev"});
    town.playground.omneo.create_profile(fields).unwrap();
    town.settle().await;
    assert_eq!(town.playground.shopify.customers().len(), 1);
    assert_eq!(town.dead_letters(), Vec::<String>::new());
    let runs = town.show(town.events()[0].event.id);
    let throttled = runs.iter().flat_map(|run| &run.calls).flat_map(|call| &call.attempts);
    let throttled = throttled.filter(|attempt| attempt.outcome.as_deref().unwrap_or_default().starts_with("throttled"));
    assert_eq!(throttled.count(), 2);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_pauses_the_target_until_it_is_resumed_and_nothing_is_lost() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    town.playground.omneo.set_token("rotated");
    let before = town.events().len();
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.playground.shopify.send_product(
        "products/update",
        json!({"id": 9, "title": "Socks", "variants": [{"id": 1, "sku": "S", "price": "1.00"}]}),
    );
    let began = std::time::Instant::now();
    while town.playground.server.paused().is_empty() {
        assert!(began.elapsed().as_secs() < 10, "never paused");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let (tenant, target, why) = town.playground.server.paused().remove(0);
    assert_eq!((tenant.as_str(), target.as_str()), ("acme", "omneo"));
    assert!(why.starts_with("omneo answers 401"), "{why}");
    // It stays so, and asks no more: one refusal for each call that was under way, no retries.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = town.playground.omneo.requests().iter().filter(|request| request.status == 401).count();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(town.playground.omneo.requests().iter().filter(|request| request.status == 401).count(), refused);
    assert!(refused <= 2);
    town.playground.omneo.set_token("omneo-token");
    town.playground.server.resume("acme", "omneo").await.unwrap();
    town.settle().await;
    assert_eq!(town.profile(&profile)["last_name"], json!("Byron"));
    assert_eq!(town.playground.omneo.products().len(), 1);
    assert!(town.outcomes(before).iter().all(|outcome| !outcome.ends_with("waiting")));
    town.stop().await;
}

/// Other credentials lift that pause, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_401_is_over_when_the_credentials_change() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    let paused = || town.playground.server.paused().into_iter().map(|(_, target, why)| format!("{target}: {why}"));
    let until = async |what: &str, so: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !so() {
            assert!(began.elapsed().as_secs() < 10, "waited in vain for {what}: {:?}", paused().collect::<Vec<_>>());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    town.playground.omneo.set_token("rotated");
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    until("the 401", &|| paused().any(|why| why.starts_with("omneo: omneo answers 401"))).await;
    town.playground.server.journal.pause("acme", "omneo", "for a while").await.unwrap();
    until("the other", &|| paused().any(|why| why.starts_with("omneo: for a while; omneo answers 401"))).await;
    town.playground.omneo.set_token("omneo-token");
    let requests = town.playground.omneo.requests().len();
    town.playground.server.delivery.credentials_changed("acme", "omneo");
    assert_eq!(paused().collect::<Vec<_>>(), ["omneo: for a while"]);
    town.playground.server.delivery.credentials_changed("acme", "omneo");
    assert_eq!((paused().count(), town.playground.omneo.requests().len()), (1, requests));
    town.playground.server.resume("acme", "omneo").await.unwrap();
    town.settle().await;
    assert_eq!(town.profile(&profile)["last_name"], json!("Byron"));

    town.playground.omneo.set_token("rotated");
    town.clock.advance(60_000);
    town.playground.shopify.update_customer(customer, json!({"last_name": "King"})).unwrap();
    until("the 401", &|| paused().count() == 1).await;
    town.playground.omneo.set_token("omneo-token");
    town.playground.server.delivery.credentials_changed("acme", "omneo");
    town.settle().await;
    assert_eq!((town.profile(&profile)["last_name"].clone(), paused().count()), (json!("King"), 0));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_first_ends_at_the_newest() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    town.by_hand();
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.clock.advance(5_000);
    town.playground.shopify.update_customer(customer, json!({"last_name": "Lovelace"})).unwrap();
    let webhooks = taken(&town.playground.shopify, "customers/update");
    for webhook in webhooks.iter().rev() {
        town.shopify_delivers(webhook).await;
        town.handled().await;
    }
    town.automatic();
    town.settle().await;
    assert_eq!(town.customer(customer)["last_name"], json!("Lovelace"));
    assert_eq!(town.profile(&profile)["last_name"], json!("Lovelace"));
    assert!(!town.omneo_requests(0).iter().any(|request| request.starts_with("PUT ")), "{:?}", town.omneo_requests(0));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_retried_as_a_new_run_without_stale_replies() {
    let town = Town::new().await;
    let (customer, profile) = town.ada().await;
    let before = town.events().len();
    town.playground.omneo.faults().add(Rule::path("PUT /profiles").times(1), Fault::Status(403));
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    let dead = town.events()[before].clone();
    assert_eq!(dead.outcome.as_deref(), Some("refused"), "{dead:?}");
    // Another event of hers changes what is remembered.
    town.clock.advance(60_000);
    town.playground.shopify.update_customer(customer, json!({"last_name": "King", "first_name": "Augusta"})).unwrap();
    town.settle().await;
    assert_eq!(town.profile(&profile)["last_name"], json!("King"));
    let requests = town.playground.omneo.requests().len() + town.playground.shopify.requests().len();
    assert!(town.playground.server.journal.retry(dead.event.id).await.unwrap());
    town.settle().await;
    // What it brought is old news by now, and it said so without taking an old reply for a new one.
    let runs = town.show(dead.event.id);
    assert_eq!(runs.len(), 2);
    assert!(runs[1].calls.len() <= 2, "{:?}", runs[1].calls);
    assert_eq!(town.events()[before].outcome.as_deref(), Some("skipped"), "{:?}", town.events()[before]);
    assert_eq!(town.profile(&profile)["last_name"], json!("King"));
    assert!(town.playground.omneo.requests().len() + town.playground.shopify.requests().len() - requests <= 2);
    // What is over in any other way is no dead letter.
    assert!(!town.playground.server.journal.retry(dead.event.id).await.unwrap());
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_act_twice_is_not_sent_twice_when_its_fate_is_unknown() {
    let town = Town::new()
        .await
        .configured(|config| {
            config.delivery.timeout_ms = 500;
            config.delivery.quiet_ms = 500;
        })
        .await;
    let (customer, _) = town.ada().await;
    town.playground.omneo.faults().add(Rule::path("POST /orders").times(1), Fault::LoseAnswer);
    town.playground.shopify.send_order("orders/create", order(4502, Some(customer), "pending"));
    town.settle().await;
    town.clock.advance(60_000);
    town.playground.shopify.send_order("orders/updated", order(4502, Some(customer), "authorized"));
    town.settle().await;
    assert_eq!(town.playground.omneo.orders().len(), 1, "{:?}", town.omneo_requests(0));
    let posts = town
        .omneo_requests(0)
        .iter()
        .filter(|request| request.starts_with("POST") && request.ends_with("/orders"))
        .count();
    assert_eq!(posts, 1);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing() {
    let mut town = Town::new().await;
    town.playground.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(15)));
    for n in 0..60 {
        let fields = json!({"first_name": "Ada", "last_name": "Lovelace", "email": format!("ada{n}@lovelace.dev")});
        town.playground.shopify.create_customer(fields).unwrap();
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        town.playground = town.playground.restart(None).await.unwrap();
    }
    town.playground.omneo.faults().clear();
    town.settle().await;
    assert_eq!(town.profiles().len(), 60);
    assert_eq!(town.dead_letters(), Vec::<String>::new());
    let emails: std::collections::BTreeSet<_> =
        town.profiles().iter().map(|profile| profile["email"].to_string()).collect();
    assert_eq!(emails.len(), 60);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_up_what_the_old_one_left_with_no_replies_of_its() {
    let mut town = Town::new().await;
    // Made beforehand: the retries do not wait for a build.
    let other = plugin(&format!("{RULES}[tags]\nwhitelist = [\"vip\"]\n")).await;
    let digest = other.digest().to_owned();
    let (customer, profile) = town.ada().await;
    town.playground.omneo.faults().add(Rule::path("PUT /profiles"), Fault::Status(503));
    let before = town.events().len();
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    let began = std::time::Instant::now();
    while !town.playground.omneo.requests().iter().any(|request| request.status == 503) {
        assert!(began.elapsed().as_secs() < 10);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    town.playground = town.playground.restart(Some(other)).await.unwrap();
    town.playground.omneo.faults().clear();
    town.settle().await;
    assert_eq!(town.profile(&profile)["last_name"], json!("Byron"));
    let event = &town.events()[before];
    assert_eq!(event.version.as_deref(), Some(digest.as_str()));
    let states: Vec<_> = town.show(event.event.id).iter().map(|run| run.state.clone()).collect();
    assert_eq!(states, ["dropped", "ended"]);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stays_down_makes_a_dead_letter_with_a_reason() {
    let town = Town::new().await.configured(|config| config.delivery.retry_delays_ms = vec![10, 10]).await;
    let (customer, _) = town.ada().await;
    let before = town.events().len();
    town.playground.omneo.faults().add(Rule::path("GET /profiles"), Fault::Status(502));
    town.playground.shopify.update_customer(customer, json!({"last_name": "Byron"})).unwrap();
    town.settle().await;
    let event = &town.events()[before];
    assert_eq!((event.outcome.as_deref(), event.blame.as_deref()), (Some(Outcome::Failed.name()), Some("peer")));
    let reason = event.reason.as_deref().unwrap();
    assert!(
        reason.starts_with("GET omneo /profiles/") && reason.contains("given up after 3 attempts; the last one: 502"),
        "{reason}"
    );
    town.stop().await;
}

/// Everything that both sides show of Ada's name and address.
fn shown(town: &Town, customer: u64, profile: &str) -> [Value; 4] {
    let (customer, profile) = (town.customer(customer), town.profile(profile));
    [customer["first_name"].clone(), profile["first_name"].clone(), customer["email"].clone(), profile["email"].clone()]
}

mod interleavings {
    use super::*;

    /// 1: a name that Omneo writes otherwise.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_omneo_writes_otherwise_is_sent_once() {
        let town = Town::new().await;
        let (customer, profile) = town.ada().await;
        town.by_hand();
        let (before, requests) = (town.events().len(), town.playground.omneo.requests().len());
        town.playground.shopify.update_customer(customer, json!({"first_name": "mcDonald"})).unwrap();
        let changed = taken(&town.playground.shopify, "customers/update").remove(0);
        town.shopify_delivers(&changed).await;
        town.handled().await;
        let echo = town.playground.omneo.outbox().take().remove(0);
        for _ in 0..2 {
            town.omneo_delivers(&echo).await;
            town.handled().await;
        }
        town.shopify_delivers(&again(&changed)).await;
        town.handled().await;
        assert_eq!(
            town.outcomes(before),
            ["customers/update done", "profile.updated skipped", "profile.updated skipped", "customers/update skipped"]
        );
        assert_eq!(shown(&town, customer, &profile)[..2], [json!("mcDonald"), json!("Mcdonald")]);
        let writes = town.omneo_requests(requests).into_iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!((writes, town.playground.shopify.outbox().pending().len()), (1, 0));
        town.stop().await;
    }

    /// 2: both sides create one person at the same moment.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_person_created_on_both_sides_at_once_stays_one() {
        let town = Town::new().await;
        town.by_hand();
        let customer = town
            .playground
            .shopify
            .create_customer(json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"}))
            .unwrap();
        town.clock.advance(2_000);
        let profile = town
            .playground
            .omneo
            .create_profile(json!({"first_name": "Adele", "last_name": "Lovelace", "email": "ada@lovelace.dev"}))
            .unwrap();
        let (one, two) = (town.playground.shopify.outbox().take(), town.playground.omneo.outbox().take());
        // Slow enough that both are under way together.
        town.playground.shopify.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(30)));
        town.playground.omneo.faults().add(Rule::any(), Fault::Hang(Duration::from_millis(30)));
        tokio::join!(town.shopify_delivers(&one[0]), town.omneo_delivers(&two[0]));
        town.handled().await;
        town.automatic();
        town.settle().await;
        assert_eq!((town.profiles().len(), town.playground.shopify.customers().len()), (1, 1));
        let identities = town.profile(&profile)["identities"].as_array().unwrap().len();
        assert_eq!(identities, 1);
        // The later edit wins, by `latest`.
        assert_eq!(shown(&town, customer, &profile)[..2], [json!("Adele"), json!("Adele")]);
        assert_eq!(town.dead_letters(), Vec::<String>::new());
        let runs = town.events().into_iter().take(2).flat_map(|event| town.show(event.event.id));
        assert!(runs.filter(|run| run.state == "dropped").count() >= 1, "neither began again");
        town.stop().await;
    }

    /// 3: the customer was created, the answer was lost, and the shopper changes the e-mail before we ask again.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_customer_created_without_an_answer_is_found_again() {
        let town = Town::new().await;
        let shop = town.playground.shopify.clone();
        let clock = town.clock.clone();
        shop.faults().add(Rule::operation("CreatePerson").times(1), Fault::LoseAnswer);
        let shopper = shop.clone();
        shop.faults().after(Rule::operation("CreatePerson"), move || {
            clock.advance(3_000);
            let id = shopper.customers()[0]["id"].as_u64().unwrap();
            shopper.update_customer(id, json!({"email": "ada@analytical.dev"})).unwrap();
            clock.advance(3_000);
        });
        let profile = town
            .playground
            .omneo
            .create_profile(json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev"}))
            .unwrap();
        town.settle().await;
        let customers = shop.customers();
        assert_eq!(customers.len(), 1);
        let shown = shown(&town, customers[0]["id"].as_u64().unwrap(), &profile);
        assert_eq!(shown[2..], [json!("ada@analytical.dev"), json!("ada@analytical.dev")]);
        assert_eq!(town.dead_letters(), Vec::<String>::new());
        town.stop().await;
    }

    /// 4: somebody edits the profile while we write to it, and the answer to our write shows that already.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_edit_seen_only_in_an_answer_is_not_swallowed() {
        let town = Town::new().await;
        let (customer, profile) = town.ada().await;
        let (omneo, clock, id) = (town.playground.omneo.clone(), town.clock.clone(), profile.clone());
        town.playground.omneo.faults().before(Rule::path("PUT /profiles"), move || {
            clock.advance(2_000);
            omneo.update_profile(&id, json!({"first_name": "Augusta"})).unwrap();
            clock.advance(2_000);
        });
        town.playground.shopify.update_customer(customer, json!({"email": "ada@analytical.dev"})).unwrap();
        town.settle().await;
        let (name, email) = (json!("Augusta"), json!("ada@analytical.dev"));
        assert_eq!(shown(&town, customer, &profile), [name.clone(), name, email.clone(), email]);
        town.stop().await;
    }

    /// 7: a field of Omneo's, edited in Shopify and a second later in Omneo, Shopify's event first.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_owner_wins_a_field_that_both_changed() {
        let town = Town::with(&format!("{RULES}[fields.first_name]\nowner = \"omneo\"\n")).await;
        let (customer, profile) = town.ada().await;
        town.by_hand();
        town.playground.shopify.update_customer(customer, json!({"first_name": "Shop"})).unwrap();
        town.clock.advance(1_000);
        town.playground.omneo.update_profile(&profile, json!({"first_name": "Till"})).unwrap();
        let (one, two) = (town.playground.shopify.outbox().take(), town.playground.omneo.outbox().take());
        town.shopify_delivers(&one[0]).await;
        town.handled().await;
        town.omneo_delivers(&two[0]).await;
        town.handled().await;
        town.automatic();
        town.settle().await;
        assert_eq!(shown(&town, customer, &profile)[..2], [json!("Till"), json!("Till")]);
        town.stop().await;
    }

    /// 7, the hard half: Omneo's edit falls between our read and our write, which runs over it.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_edit_that_our_write_ran_over_is_put_back() {
        let town = Town::with(&format!("{RULES}[fields.first_name]\nowner = \"omneo\"\n")).await;
        let (customer, profile) = town.ada().await;
        let (omneo, clock, id) = (town.playground.omneo.clone(), town.clock.clone(), profile.clone());
        town.playground.omneo.faults().before(Rule::path("PUT /profiles"), move || {
            clock.advance(2_000);
            omneo.update_profile(&id, json!({"first_name": "Till"})).unwrap();
            clock.advance(2_000);
        });
        town.playground.shopify.update_customer(customer, json!({"first_name": "Shop"})).unwrap();
        town.settle().await;
        assert_eq!(shown(&town, customer, &profile)[..2], [json!("Till"), json!("Till")]);
        town.stop().await;
    }
}

/// Ann gives an address up, Bob signs up with it and buys: nothing of his reaches her profile, and once it is free he has
/// one of his own, with what he bought before.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_an_address_takes_over_nobodys_profile() {
    let town = Town::new().await;
    let (ann, anns) = town.ada().await;
    // Ann's new address is another member's in Omneo, so that her profile keeps the old one.
    let other =
        json!({"email": "taken@lovelace.dev", "first_name": "Mary", "last_name": "Sue", "profile_type": "incomplete"});
    town.playground.omneo.create_profile(other).unwrap();
    town.playground.shopify.update_customer(ann, json!({"email": "taken@lovelace.dev"})).unwrap();
    town.settle().await;
    assert_eq!(town.profile(&anns)["email"], json!("ada@lovelace.dev"));
    town.clock.advance(60_000);

    let fields = json!({"first_name": "Bob", "last_name": "Byron", "email": "ada@lovelace.dev"});
    let bob = town.playground.shopify.create_customer(fields).unwrap();
    town.settle().await;
    town.playground.shopify.send_order("orders/paid", order(5026, Some(bob), "paid"));
    town.settle().await;
    let sales = town.playground.omneo.transactions();
    assert_eq!((sales.len(), &sales[0]["profile_id"]), (1, &Value::Null), "{sales:?}");
    let of_ann = |town: &Town| {
        let profile = town.profile(&anns);
        let identities: Vec<_> =
            profile["identities"].as_array().unwrap().iter().map(|one| one["identifier"].clone()).collect();
        (profile["first_name"].clone(), identities)
    };
    assert_eq!(of_ann(&town), (json!("Ada"), vec![json!(ann.to_string())]));
    let letters = town.dead_letters();
    let said = format!("the customer's e-mail belongs to profile {anns}, which is customer {ann}'s");
    assert_eq!(letters, [said]);

    // Ann's profile frees the address; Bob's next event is about no order.
    town.clock.advance(60_000);
    town.playground.omneo.update_profile(&anns, json!({"email": "ann@lovelace.dev"})).unwrap();
    town.settle().await;
    town.clock.advance(60_000);
    town.playground.shopify.update_customer(bob, json!({"first_name": "Robert"})).unwrap();
    town.settle().await;
    let sale = &town.playground.omneo.transactions()[0];
    let bobs = sale["profile_id"].as_str().expect("the sale is somebody's").to_owned();
    assert_eq!(town.profile(&bobs)["email"], json!("ada@lovelace.dev"));
    assert_eq!(town.profile(&bobs)["identities"][0]["identifier"], json!(bob.to_string()));
    assert_eq!(of_ann(&town), (json!("Ada"), vec![json!(ann.to_string())]));
    // The order's own next event has nothing to put right.
    let transactions = town.playground.omneo.transactions().len();
    town.playground.shopify.send_order("orders/fulfilled", order(5026, Some(bob), "paid"));
    town.settle().await;
    assert_eq!((town.playground.omneo.transactions().len(), town.dead_letters().len()), (transactions, 1));
    town.stop().await;
}
