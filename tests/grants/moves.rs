//! Shops that move to another domain, are redacted, or had another app before; and what is asked for once.

use reqwest::Method;
use serde_json::{Value, json};
use tandem::config::AppKind;
use tandem::journal::EventRow;
use tandem::playground::TENANT;
use tandem_standin::{Fault, Losing, RefreshRule, Rule};

use super::connect::{CONNECT, Fresh, TOKEN, form};
use super::install::{Browser, approved};
use super::street::*;

/// Invited, approved and connected; gives the last page.
async fn connected(fresh: &Fresh, kind: AppKind, browser: &mut Browser) -> String {
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com", "tenant": "acme" })).await;
    let page = match kind {
        AppKind::Embedded => browser.get(fresh, &fresh.opened()).await.2,
        _ => fresh.approve(browser).await,
    };
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    let (status, _, page) = browser.post(fresh, CONNECT, &fields).await;
    assert!(status == 200 && page.contains("is in step with Omneo"), "{page}");
    page
}

/// Where a page's link to Shopify leads.
fn link(page: &str) -> String {
    let link = page.split_once(r#"class="button" href=""#).unwrap_or_else(|| panic!("no link: {page}")).1;
    link.split_once('"').unwrap().0.replace("&amp;", "&")
}

async fn paused(fresh: &Fresh) -> String {
    fresh.ask(Method::GET, "/v1/tenants/acme/targets", None).await.1.to_string()
}

/// Has Shopify tell the app so, and waits for what comes of it.
async fn duty(fresh: &Fresh, topic: &str, body: Value) -> EventRow {
    let body = body.to_string();
    let url = format!("http://{}/webhooks/shopify/main", fresh.desk.host.server.address);
    let request = reqwest::Client::new().post(url).header("x-shopify-topic", topic);
    let answer = request.header("x-shopify-hmac-sha256", sign(SECRET, &body)).body(body).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let number = text.trim().strip_prefix("accepted as event ").unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    let event = tandem::model::EventId(number);
    let over = || fresh.events().into_iter().find(|row| row.event.id == event && row.outcome.is_some());
    until("its end", || over().is_some(), || fresh.events()).await;
    over().unwrap()
}

/// A shop is its number: under another domain it is the same tenant, with its links, its Omneo tenant and its address for webhooks.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_moves_to_another_domain_keeps_its_tenant() {
    for kind in [AppKind::Standalone, AppKind::Embedded] {
        let fresh = Fresh::of(kind).await;
        let mut browser = Browser::default();
        connected(&fresh, kind, &mut browser).await;
        fresh.is_in_step().await;
        fresh.shopify.rename("acme-moda.myshopify.com");
        let (status, _, page) = browser.get(&fresh, &fresh.opened()).await;
        let page = if kind == AppKind::Standalone {
            assert!(status == 403 && page.contains("under another address"), "{page}");
            let (status, location, page) = browser.get(&fresh, &approved(&fresh.shopify, &link(&page))).await;
            assert_eq!(status, 303, "{page}");
            browser.get(&fresh, &location).await.2
        } else {
            assert!(page.contains("frame-ancestors https://acme-moda.myshopify.com"), "{page}");
            page
        };
        assert!(page.contains("acme-moda.myshopify.com is connected"), "{page}");
        let (_, tenants) = fresh.ask(Method::GET, "/v1/tenants", None).await;
        assert_eq!(tenants.as_array().unwrap().len(), 1, "{tenants}");
        assert_eq!(fresh.tenant("acme").await["shop"], json!("acme-moda.myshopify.com"));
        let (_, audit) = fresh.ask(Method::GET, "/v1/audit", None).await;
        assert!(audit.to_string().contains("its shop is acme-moda.myshopify.com now"), "{audit}");
        // Both ways, by the webhooks that there were.
        let omneo = &fresh.desk.host.omneo;
        fresh.shopify.create_customer(json!({ "first_name": "Grace", "email": "grace@hopper.dev" })).unwrap();
        until("the profile", || omneo.profiles().len() == 2, || fresh.events()).await;
        // Another shop is not taken for it, whatever it is called.
        fresh.shopify.rename("zeta.myshopify.com");
        fresh.shopify.set_shop_id(4_711);
        let (status, _, page) = Browser::default().get(&fresh, &fresh.opened()).await;
        assert!(status == 403 && page.contains("is not known here"), "{page}");
        if kind == AppKind::Standalone {
            let mut browser = Browser::default();
            let page = browser.get(&fresh, &fresh.opened()).await.2;
            let (status, _, page) = browser.get(&fresh, &approved(&fresh.shopify, &link(&page))).await;
            assert!(status == 403 && page.contains("is not known here"), "{page}");
        }
        assert_eq!(fresh.tenant("acme").await["shop"], json!("acme-moda.myshopify.com"));
        fresh.stop().await;
    }
}

/// Nothing is sent with what was granted until it is known which shop has granted it.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_used_once_its_shop_is_known() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let mut browser = Browser::default();
    connected(&fresh, AppKind::Standalone, &mut browser).await;
    fresh.is_in_step().await;
    let address = fresh.desk.host.server.address;
    fresh.desk.host.omneo.set_webhook_url(format!("http://{address}/webhooks/omneo/acme"));
    // The shop was closed, and another one has its name.
    fresh.shopify.revoke_tokens(ID);
    fresh.shopify.set_shop_id(4_711);
    let (status, location, page) = browser.get(&fresh, &fresh.opened()).await;
    assert_eq!(status, 302, "{page}");
    let admin = Rule::path("POST /admin/api");
    fresh.shopify.faults().add(admin, Fault::Status(503));
    let before = fresh.shopify.requests().len();
    let (status, _, page) = browser.get(&fresh, &approved(&fresh.shopify, &location)).await;
    assert!(status == 503 && page.contains("Shopify does not answer as it should"), "{page}");
    fresh.desk.host.omneo.create_profile(json!({ "first_name": "Grace", "email": "grace@hopper.dev" })).unwrap();
    let has_come = || fresh.events().iter().any(|row| row.event.webhook.topic == "profile.created");
    until("the event", has_come, || fresh.events()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let asked = || {
        let requests = fresh.shopify.requests().into_iter().skip(before);
        requests
            .filter(|request| request.path.contains("graphql"))
            .map(|request| request.body.to_string())
            .collect::<Vec<_>>()
    };
    assert!(!asked().is_empty() && asked().iter().all(|body| body.contains("shop { id }")), "{:?}", asked());
    fresh.shopify.faults().clear();
    let began = std::time::Instant::now();
    while !paused(&fresh).await.contains("another shop answers as acme.myshopify.com now") {
        assert!(began.elapsed() < PATIENCE, "{}", paused(&fresh).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Not one call has gone to the other shop, however the host came to know of it.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(asked().iter().all(|body| body.contains("shop { id }")), "{:?}", asked());
    // Its merchant is shown nothing of the tenant's.
    let mut browser = Browser::default();
    let (status, location, page) = browser.get(&fresh, &fresh.opened()).await;
    assert_eq!(status, 302, "{page}");
    let (status, _, page) = browser.get(&fresh, &approved(&fresh.shopify, &location)).await;
    assert!(status == 409 && page.contains("is another shop than before") && !page.contains("<form"), "{page}");
    for target in ["shopify", "omneo"] {
        let path = format!("/v1/tenants/acme/targets/{target}/resume");
        let (status, said) = fresh.ask(Method::POST, &path, Some(json!({}))).await;
        assert!(status < 300, "{said}");
    }
    until("the customer", || fresh.shopify.customers().len() == 2, || fresh.events()).await;
    fresh.stop().await;
}

/// An address with a session token in it, read in somebody's log, opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_opens_one_page() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    let mut browser = Browser::default();
    connected(&fresh, AppKind::Embedded, &mut browser).await;
    let address = fresh.opened();
    assert_eq!(browser.get(&fresh, &address).await.0, 200);
    for mut browser in [browser, Browser::default()] {
        let (status, _, page) = browser.get(&fresh, &address).await;
        assert!(status == 401 && page.contains("was opened already") && !page.contains("<form"), "{page}");
    }
    fresh.stop().await;
}

/// What Omneo's own app for Shopify has set up, by the API of Omneo.
async fn official(fresh: &Fresh) -> Vec<Value> {
    let url = format!("{}/webhooks", fresh.desk.host.omneo.url());
    let listed = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
    let listed: Value = serde_json::from_str(&listed.text().await.unwrap()).unwrap();
    let is_official = |row: &&Value| row["namespace"] == "shopify-acme";
    listed["data"].as_array().unwrap().iter().filter(is_official).map(|row| row["is_active"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn omneos_own_app_is_left_when_somebody_says_so() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    let url = format!("{}/webhooks", fresh.desk.host.omneo.url());
    for trigger in ["profile.updated", "profile.created"] {
        let row =
            json!({ "trigger": trigger, "url": "https://api.acme.getomneo.com/shopify", "namespace": "shopify-acme" });
        let made = reqwest::Client::new().post(&url).bearer_auth(TOKEN).header("content-type", "application/json");
        assert!(made.body(row.to_string()).send().await.unwrap().status().is_success());
    }
    let mut browser = Browser::default();
    let page = connected(&fresh, AppKind::Embedded, &mut browser).await;
    assert!(page.contains("rewards at checkout") && page.contains("Switch its webhooks off"), "{page}");
    assert_eq!(official(&fresh).await, [true, true]);
    // The same for operators, who are offered it and not more.
    for _ in 0..2 {
        let (status, steps) = fresh.ask(Method::POST, "/v1/tenants/acme/setup", Some(json!({}))).await;
        let offers: Vec<_> = steps.as_array().unwrap().iter().filter(|step| step["state"] == "offer").collect();
        assert!(status == 200 && offers.len() == 1, "{steps}");
        assert!(offers[0]["hint"].as_str().unwrap().contains("`--leave-official-app`"), "{steps}");
        assert_eq!(official(&fresh).await, [true, true]);
    }
    let dry = json!({ "leave_official_app": true, "dry_run": true });
    let (_, steps) = fresh.ask(Method::POST, "/v1/tenants/acme/setup", Some(dry)).await;
    assert_eq!(steps.as_array().unwrap().iter().filter(|step| step["state"] == "change").count(), 2, "{steps}");
    assert_eq!(official(&fresh).await, [true, true]);
    let forms: Vec<_> = page.split("<form").filter(|form| form.contains("name=\"leave\"")).collect();
    let fields = [("form", &*form(forms[0])), ("leave", "yes")];
    let (status, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 200 && !page.contains("Switch its webhooks off"), "{page}");
    assert_eq!(official(&fresh).await, [false, false]);
    let (_, steps) = fresh.ask(Method::POST, "/v1/tenants/acme/setup", Some(json!({}))).await;
    assert!(!steps.to_string().contains("offer"), "{steps}");
    fresh.is_in_step().await;
    fresh.stop().await;
}

/// Webhooks that somebody, or a system, has taken away are made again before anything is reconciled.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_are_gone_are_made_again() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    connected(&fresh, AppKind::Embedded, &mut Browser::default()).await;
    let url = format!("{}/webhooks", fresh.desk.host.omneo.url());
    let listed = async || -> Vec<Value> {
        let answer =
            reqwest::Client::new().get(format!("{url}?page[size]=100")).bearer_auth(TOKEN).send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        body["data"].as_array().unwrap().clone()
    };
    let before = listed().await;
    for webhook in &before[..6] {
        let id = webhook["id"].as_i64().unwrap();
        let gone = reqwest::Client::new().delete(format!("{url}/{id}")).bearer_auth(TOKEN).send().await.unwrap();
        assert!(gone.status().is_success());
    }
    let reconciled = async |body: Value| {
        let (status, import) = fresh.ask(Method::POST, "/v1/tenants/acme/reconciliations", Some(body)).await;
        assert_eq!(status, 201, "{import}");
        let ended = async || fresh.ask(Method::GET, "/v1/tenants/acme/imports", None).await.1[0]["state"] == "done";
        while !ended().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        import["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(reconciled(json!({ "plan": true })).await, "");
    assert_eq!(listed().await.len() + 6, before.len(), "a plan changes nothing");
    let why = reconciled(json!({})).await;
    assert!(
        why.starts_with("webhooks were gone and are made again (omneo: ") && why.ends_with(", and 1 more)"),
        "{why}"
    );
    assert_eq!(listed().await.len(), before.len());
    assert_eq!(reconciled(json!({})).await, "");
    fresh.stop().await;
}

/// Once the app is gone and its shop redacted, nothing of Omneo's is held: whoever installs it again connects it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_shop_forgets_its_omneo_tenant() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let mut browser = Browser::default();
    connected(&fresh, AppKind::Standalone, &mut browser).await;
    fresh.is_in_step().await;
    let redact = || json!({ "shop_id": 1, "shop_domain": "acme.myshopify.com" });
    // A forged one, while the shop lets the app in, changes nothing.
    let row = duty(&fresh, "shop/redact", redact()).await;
    assert_eq!(row.outcome.as_deref(), Some("skipped"), "{row:?}");
    assert_eq!(fresh.tenant("acme").await["omneo"]["url"], json!(fresh.desk.host.omneo.url()));
    fresh.shopify.uninstall(ID);
    let row = duty(&fresh, "shop/redact", redact()).await;
    let reason = row.reason.unwrap_or_default();
    assert!(reason.contains("Omneo's token and webhook secrets are forgotten"), "{:?} {reason}", row.outcome);
    let tenant = fresh.tenant("acme").await;
    assert_eq!((&tenant["omneo"]["url"], &tenant["omneo"]["webhook_secrets"]), (&json!(""), &json!([])));
    // Again, it is the same.
    assert_eq!(duty(&fresh, "shop/redact", redact()).await.outcome.as_deref(), Some("done"));
    fresh.shopify.install(ID);
    let page = fresh.approve(&mut browser).await;
    assert!(page.contains("Connect acme.myshopify.com to Omneo"), "{page}");
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    let (_, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(page.contains("is in step with Omneo"), "{page}");
    fresh.shopify.create_customer(json!({ "first_name": "Grace", "email": "grace@hopper.dev" })).unwrap();
    until("the profile", || fresh.desk.host.omneo.profiles().len() == 2, || fresh.events()).await;
    fresh.stop().await;
}

/// The body of a duty names its shop by a number, too: neither a domain that somebody else has by now nor a new one misleads.
#[tokio::test(flavor = "multi_thread")]
async fn a_duty_is_the_shops_of_its_number() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let mut browser = Browser::default();
    connected(&fresh, AppKind::Standalone, &mut browser).await;
    fresh.is_in_step().await;
    fresh.shopify.uninstall(ID);
    let body = |number: u64, domain: &str| json!({ "shop_id": number, "shop_domain": domain }).to_string();
    let post = async |body: String| {
        let url = format!("http://{}/webhooks/shopify/main", fresh.desk.host.server.address);
        let request = reqwest::Client::new().post(url).header("x-shopify-topic", "shop/redact");
        let answer = request.header("x-shopify-hmac-sha256", sign(SECRET, &body)).body(body).send().await.unwrap();
        answer.text().await.unwrap()
    };
    for (number, domain) in
        [(4_711, "acme.myshopify.com"), (4_711, "zeta.myshopify.com"), (u64::MAX, "acme.myshopify.com")]
    {
        assert_eq!(post(body(number, domain)).await, "nothing is held of that shop\n", "{number} {domain}");
    }
    assert!(fresh.tenant("acme").await["omneo"]["url"] != json!(""));
    // The shop itself, under a domain that nobody here knows yet.
    let said = post(body(1, "acme-moda.myshopify.com")).await;
    assert!(said.starts_with("accepted as event "), "{said}");
    let forgotten = || {
        fresh
            .events()
            .iter()
            .any(|row| row.outcome.as_deref() == Some("done") && row.event.webhook.topic == "shop/redact")
    };
    until("the redaction", forgotten, || fresh.events()).await;
    fresh.stop().await;
}

/// A call under way is the first to hear that the app is gone. What the shop told that call counts for the redaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_told_a_call_counts() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    connected(&fresh, AppKind::Standalone, &mut Browser::default()).await;
    let slow = std::time::Duration::from_millis(500);
    fresh.desk.host.omneo.faults().add(Rule::path("POST /profiles/search-id").times(1), Fault::Hang(slow));
    fresh.shopify.create_customer(json!({ "first_name": "Ada", "email": "ada@lovelace.dev" })).unwrap();
    let omneo = &fresh.desk.host.omneo;
    let asked = || omneo.requests().iter().any(|request| request.path.ends_with("/search-id"));
    until("the call", asked, || fresh.events()).await;
    fresh.shopify.outbox().lose(Losing::Everything);
    let before = fresh.shopify.token_counts(ID).requests;
    fresh.shopify.uninstall(ID);
    until("the refusal", || fresh.shopify.token_counts(ID).requests > before, || fresh.events()).await;
    let row = duty(&fresh, "shop/redact", json!({ "shop_id": 1, "shop_domain": "acme.myshopify.com" })).await;
    assert_eq!(row.outcome.as_deref(), Some("done"), "{row:?}");
    fresh.stop().await;
}

/// An invitation for the new domain of a shop that is here makes no second tenant that is in step with it.
#[tokio::test(flavor = "multi_thread")]
async fn one_shop_is_not_two_tenants() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let mut browser = Browser::default();
    connected(&fresh, AppKind::Standalone, &mut browser).await;
    fresh.shopify.rename("acme-moda.myshopify.com");
    fresh.invite(json!({ "app": "main", "shop": "acme-moda.myshopify.com", "tenant": "moda" })).await;
    let (_, location, _) = browser.get(&fresh, &fresh.opened()).await;
    let (status, _, page) = browser.get(&fresh, &approved(&fresh.shopify, &location)).await;
    assert!(status == 409 && page.contains("is another shop than before"), "{page}");
    let (_, targets) = fresh.ask(Method::GET, "/v1/tenants/moda/targets", None).await;
    assert!(targets.to_string().contains("another tenant has this shop"), "{targets}");
    fresh.stop().await;
}

/// A shop that was installed and never named its Omneo tenant: what the law wants is done all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_duties_of_a_shop_that_never_connected_are_done() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com", "tenant": "acme" })).await;
    fresh.approve(&mut Browser::default()).await;
    let person = json!({ "id": 191_167, "email": "ada@lovelace.dev" });
    let of = |more: Value| json!({ "shop_domain": "acme.myshopify.com", "customer": person, "orders_to_redact": [], "data_request": more });
    for (topic, body) in [("customers/data_request", of(json!({ "id": 9_999 }))), ("customers/redact", of(Value::Null))]
    {
        let row = duty(&fresh, topic, body).await;
        assert_eq!(row.outcome.as_deref(), Some("done"), "{topic} {row:?}");
    }
    fresh.shopify.uninstall(ID);
    let row = duty(&fresh, "shop/redact", json!({ "shop_id": 1, "shop_domain": "acme.myshopify.com" })).await;
    assert_eq!(row.outcome.as_deref(), Some("done"), "{row:?}");
    assert_eq!(fresh.desk.host.omneo.requests().len(), 0);
    fresh.stop().await;
}

/// Rules that need more than was granted: whoever opens the app is asked for it, once in a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_missing_is_asked_for() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let whole = fresh.shopify.app(ID).unwrap().scopes;
    fresh.shopify.edit_app(ID, |app| app.scopes.retain(|scope| scope != "read_orders"));
    let mut browser = Browser::default();
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com", "tenant": "acme" })).await;
    let page = fresh.approve(&mut browser).await;
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    let (_, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(page.contains("the app lacks the scope `read_orders`"), "{page}");
    fresh.shopify.edit_app(ID, |app| app.scopes = whole);
    let signs_in = |location: &str| location.contains("per-user");
    let (_, location, _) = browser.get(&fresh, &fresh.opened()).await;
    assert!(!signs_in(&location), "{location}");
    // Somebody who does not go on is not asked again at once.
    let (_, other, _) = Browser::default().get(&fresh, &fresh.opened()).await;
    assert!(signs_in(&other), "{other}");
    let (status, _, page) = browser.get(&fresh, &approved(&fresh.shopify, &location)).await;
    assert_eq!(status, 303, "{page}");
    let (_, location, _) = browser.get(&fresh, &fresh.opened()).await;
    assert!(signs_in(&location), "{location}");
    let (_, steps) = fresh.ask(Method::POST, "/v1/tenants/acme/setup", Some(json!({}))).await;
    assert!(!steps.to_string().contains("lacks the scope"), "{steps}");
    fresh.stop().await;
}

/// The app is taken away while a run waits for Omneo, and comes back: the run goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_uninstalled_while_a_run_is_in_flight() {
    let street = Street::of(AppKind::Standalone, options(AppKind::Standalone, 3_600), RefreshRule::Strict).await;
    let slow = std::time::Duration::from_secs(2);
    street.playground.omneo.faults().add(Rule::path("POST /profiles").times(1), Fault::Hang(slow));
    street.customer(1);
    let asked = || {
        street
            .playground
            .omneo
            .requests()
            .iter()
            .any(|request| request.method == "POST" && request.path.ends_with("/profiles"))
    };
    street.until("the call", asked).await;
    street.playground.shopify.uninstall(ID);
    street.until("the profile", || street.profiles() == 1).await;
    street.until("the pause", || street.paused().contains("shopify: ")).await;
    street.playground.shopify.install(ID);
    street.approve().await.unwrap();
    street.playground.server.resume(TENANT, "shopify").await.unwrap();
    street.set_up().await;
    street.customer(2);
    street.until("the other profile", || street.profiles() == 2).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    street.stop().await;
}
