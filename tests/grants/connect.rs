//! A shop that no tenant names is invited, its merchant installs the app and says which Omneo tenant is the shop's, and the two are in
//! step: nobody types anything into a configuration.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tandem::config::{App, AppKind, Config};
use tandem::journal::EventRow;
use tandem::serve::Server;
use tandem_standin::{AppOptions, Omneo, OmneoOptions, Shopify, ShopifyOptions, sign_query};

use super::install::{Browser, Listens, approved};
use super::street::{CALLBACK, ID, PUBLIC, SECRET, app, keys, options, until};
use crate::desk::Desk;
use crate::host::{self, Host};
use crate::liar::{Liar, Lie, answer_of};

/// A host with an app and no tenant.
pub struct Fresh {
    pub desk: Desk,
    pub shopify: Shopify,
    operator: String,
    /// A second Omneo tenant, whose settings do not tell its webhook secret.
    silent: Omneo,
}

impl Listens for Fresh {
    fn address(&self) -> SocketAddr {
        self.desk.host.server.address
    }
}

impl Fresh {
    pub async fn of(kind: AppKind) -> Self {
        Self::at(kind, Some(PUBLIC)).await
    }

    /// Reached at the address that it listens on, without TLS: for a browser.
    pub async fn of_browser(kind: AppKind) -> Self {
        Self::at(kind, None).await
    }

    async fn at(kind: AppKind, public_url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = match kind {
            AppKind::Embedded => AppOptions::embedded(ID, SECRET, "http://127.0.0.1:1/shopify/main"),
            kind => options(kind, 3_600),
        };
        let shopify = Shopify::start(ShopifyOptions::with_apps(vec![made])).await.unwrap();
        let omneo = Omneo::start(OmneoOptions::default()).await.unwrap();
        let silent = Omneo::start(OmneoOptions { tells_secret: false, ..OmneoOptions::default() }).await.unwrap();
        let mut config = Self::config(folder.path(), kind, &shopify, [&omneo, &silent]);
        config.listen = free();
        let own = format!("http://{}", config.listen);
        config.public_url = Some(public_url.unwrap_or(&own).to_owned());
        let server = Server::start(&config).await.unwrap();
        let callback = public_url.map_or_else(|| format!("{own}/shopify/main/callback"), |_| CALLBACK.to_owned());
        shopify.edit_app(ID, |app| {
            app.application_url = format!("{own}/shopify/main");
            app.redirect_urls = vec![callback];
        });
        if public_url.is_some() {
            shopify.install(ID);
        }
        let desk = Desk::of(Host::of(server, config, omneo, folder));
        let operator = desk.token("ops", None).await;
        Self { desk, shopify, operator, silent }
    }

    fn config(folder: &std::path::Path, kind: AppKind, shopify: &Shopify, omneos: [&Omneo; 2]) -> Config {
        let mut config = host::config(folder, omneos[0], &[]);
        config.keys = keys();
        config.delivery.retry_delays_ms = vec![100; 100];
        config.apps =
            [("main".to_owned(), App { endpoint: Some(shopify.url()), ..(*app(kind)).clone() }.into())].into();
        config.allow.push(omneos[1].address().to_string());
        config.allow_merchants = config.allow.clone();
        // What the operator allows for one thing is not for merchants to name.
        config.allow.push(shopify.address().to_string());
        config
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.desk.ask(&self.operator, method, path, body).await
    }

    pub async fn invite(&self, body: Value) -> Value {
        let (status, made) = self.ask(Method::POST, "/v1/invitations", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    pub fn opened(&self) -> String {
        format!("/shopify/main?{}", self.shopify.app_url_query(ID).unwrap())
    }

    /// Opens the app and approves; gives the page with the form.
    pub async fn approve(&self, browser: &mut Browser) -> String {
        let (status, location, page) = browser.get(self, &self.opened()).await;
        assert_eq!(status, 302, "{page}");
        let (status, location, page) = browser.get(self, &approved(&self.shopify, &location)).await;
        assert_eq!(status, 303, "{page}");
        let (status, _, page) = browser.get(self, &location).await;
        assert_eq!(status, 200, "{page}");
        // The address is good once.
        assert_eq!(browser.get(self, &location).await.0, 410);
        page
    }

    pub fn events(&self) -> Vec<EventRow> {
        let filter = tandem::journal::Filter { limit: usize::MAX, ..tandem::journal::Filter::default() };
        self.desk.host.server.journal.read(|reader| reader.events(&filter)).unwrap()
    }

    /// A customer of the shop is in Omneo.
    pub async fn is_in_step(&self) {
        self.shopify.create_customer(json!({ "first_name": "Ada", "email": "ada@lovelace.dev" })).unwrap();
        let omneo = &self.desk.host.omneo;
        until("the profile", || omneo.profiles().len() == 1, || self.events()).await;
    }

    pub async fn tenant(&self, name: &str) -> Value {
        let (status, tenant) = self.ask(Method::GET, &format!("/v1/tenants/{name}"), None).await;
        assert_eq!(status, 200, "{tenant}");
        tenant
    }

    pub async fn stop(self) {
        self.desk.host.stop().await;
    }
}

/// An address that nobody listens on just now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What a page has hidden in its form.
pub fn form(page: &str) -> String {
    let token = page.split_once(r#"name="form" value=""#).unwrap_or_else(|| panic!("no form: {page}")).1;
    token.split_once('"').unwrap().0.to_owned()
}

pub const CONNECT: &str = "/shopify/main/connect";
pub const TOKEN: &str = "omneo-token";

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_shop_is_installed_connected_and_in_step() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let mut browser = Browser::default();
    // Nobody's yet.
    assert_eq!(browser.get(&fresh, &fresh.opened()).await.0, 403);
    let made = fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    assert_eq!(made["link"], json!(format!("{PUBLIC}/shopify/main")));
    assert_eq!(made["code"], json!(null));
    let page = fresh.approve(&mut browser).await;
    assert!(page.contains("Connect acme.myshopify.com to Omneo") && page.contains("form-action 'self'"), "{page}");
    // It is a tenant, named after its shop, for which nothing is sent.
    let tenant = fresh.tenant("acme").await;
    assert_eq!(tenant["omneo"]["url"], json!(""));
    assert!(tenant["active"].is_string(), "the default rules are there already: {tenant}");
    let (_, targets) = fresh.ask(Method::GET, "/v1/tenants/acme/targets", None).await;
    assert!(
        targets[1]["paused"]["why"]
            .as_str()
            .or(targets[1]["paused"].as_str())
            .unwrap_or(&targets.to_string())
            .contains("not connected")
    );
    assert_eq!(fresh.ask(Method::GET, "/v1/invitations", None).await.1, json!([]));

    let omneo = fresh.desk.host.omneo.url();
    let fields = [("form", &*form(&page)), ("address", &*omneo), ("token", TOKEN), ("secret", "")];
    let (status, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 200 && page.contains("acme.myshopify.com is in step with Omneo"), "{page}");
    assert!(!page.contains(TOKEN) && !page.contains("omneo-secret"), "{page}");
    // The back button, and a double click.
    let (status, _, again) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 410 && again.contains("This page is not open any more"), "{again}");
    fresh.is_in_step().await;
    let tenant = fresh.tenant("acme").await;
    assert_eq!(tenant["omneo"]["url"], json!(omneo));
    assert_eq!(tenant["omneo"]["webhook_secrets"].as_array().unwrap().len(), 1);
    // Opened again, the page of the shop is there for whoever signs in at Shopify.
    let page = fresh.approve(&mut browser).await;
    assert!(page.contains("acme.myshopify.com is connected") && page.contains("Switch off"), "{page}");
    let (_, audit) = fresh.ask(Method::GET, "/v1/audit", None).await;
    let audit = audit.to_string();
    assert!(audit.contains("invitation by ops") && audit.contains("merchant of acme.myshopify.com"), "{audit}");
    assert!(!audit.contains(TOKEN));
    fresh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_admits_a_shop_and_an_embedded_app_is_connected_in_its_frame() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    let made = fresh.invite(json!({ "app": "main", "tenant": "melbourne" })).await;
    let code = made["code"].as_str().unwrap().to_owned();
    let (_, listed) = fresh.ask(Method::GET, "/v1/invitations", None).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["code"]), (1, &json!(null)));
    let mut browser = Browser::default();
    let (status, _, page) = browser.get(&fresh, &fresh.opened()).await;
    assert!(status == 403 && page.contains("frame-ancestors https://acme.myshopify.com"), "{page}");
    let wrong = [("form", &*form(&page)), ("code", "0123456789")];
    let (status, _, page) = browser.post(&fresh, "/shopify/main/code", &wrong).await;
    assert!(status == 403 && page.contains("This code is not good"), "{page}");
    // The form that was shown to enter a code is not the one to connect by.
    let (status, _, _) =
        browser.post(&fresh, CONNECT, &[("form", &form(&page)), ("address", "a"), ("token", "t")]).await;
    assert_eq!(status, 410);
    let typed = format!(" {} ", code.to_uppercase());
    let (status, _, page) =
        browser.post(&fresh, "/shopify/main/code", &[("form", &form(&page)), ("code", &typed)]).await;
    assert!(status == 200 && page.contains("acme.myshopify.com is admitted"), "{page}");
    let (status, _, page) = browser.get(&fresh, &fresh.opened()).await;
    assert!(status == 200 && page.contains("frame-ancestors https://acme.myshopify.com"), "{page}");
    // A code is good once, and this one's shop is a tenant.
    assert_eq!(fresh.ask(Method::GET, "/v1/invitations", None).await.1, json!([]));
    let fields = [("form", &*form(&page)), ("address", &*fresh.silent.url()), ("token", TOKEN)];
    let (status, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 422 && page.contains("Omneo does not tell its webhook secret"), "{page}");
    assert!(page.contains(&format!(r#"value="{}""#, fresh.silent.url())) && !page.contains(TOKEN), "{page}");
    let omneo = fresh.desk.host.omneo.url();
    let fields = [("form", &*form(&page)), ("address", &*omneo), ("token", TOKEN)];
    let (status, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 200 && page.contains("is in step with Omneo"), "{page}");
    assert!(page.contains("frame-ancestors https://acme.myshopify.com"), "{page}");
    fresh.is_in_step().await;
    assert_eq!(fresh.tenant("melbourne").await["shop"], json!("acme.myshopify.com"));
    fresh.stop().await;
}

/// What is wrong is said, and nothing is changed; then it is put right.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_wrongly_of_omneo_changes_nothing() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com", "tenant": "acme" })).await;
    let mut browser = Browser::default();
    let mut page = fresh.approve(&mut browser).await;
    let good = fresh.desk.host.omneo.url();
    // Another tenant of this host has the second one.
    let (shop, url) = ("zeta.myshopify.com", fresh.silent.url());
    let other = json!({ "tenant": "zeta", "shop": shop, "shopify": { "app": "main" },
        "omneo": { "url": url, "token": "t", "webhook_secrets": ["s"] } });
    assert_eq!(fresh.ask(Method::POST, "/v1/tenants", Some(other)).await.0, 201);
    let nobody = free();
    let table = [
        ("", TOKEN, 422, "no address of an Omneo tenant"),
        ("a b", TOKEN, 422, "no address of an Omneo tenant"),
        ("https://me:secret@omneo.example", TOKEN, 422, "no address of an Omneo tenant"),
        ("http://omneo.example/api/v3", TOKEN, 422, "omneo.example"),
        ("https://127.0.0.1/api/v3", TOKEN, 422, "is not a public address"),
        ("https://169.254.169.254", TOKEN, 422, "is not a public address"),
        ("https://[::1]:9", TOKEN, 422, "is not a public address"),
        (&*format!("http://{nobody}/api/v3"), TOKEN, 422, "is not"),
        (&url, TOKEN, 409, "another tenant of this host has that Omneo tenant"),
        (&good, "a wrong token", 422, "refuses the token"),
        (&good, "", 422, "refuses the token"),
        (&format!("{good}/elsewhere"), TOKEN, 422, "404"),
        (&fresh.shopify.url(), TOKEN, 422, "is not https"),
        (&fresh.shopify.url().replace("http:", "https:"), TOKEN, 422, "is not a public address"),
    ];
    for (address, token, status, why) in table {
        let fields = [("form", &*form(&page)), ("address", address), ("token", token), ("secret", "s")];
        let (said, _, next) = browser.post(&fresh, CONNECT, &fields).await;
        let text = next.to_lowercase();
        assert!(said == status && text.contains(&why.to_lowercase()), "{address}: {said} {next}");
        assert!(text.contains("role=\"alert\"") && !next.contains("zeta") && !next.contains("a wrong token"), "{next}");
        assert_eq!(fresh.tenant("acme").await["omneo"]["url"], json!(""), "{address}");
        page = next;
    }
    // The form of another app, a made-up one, none at all, and a long one.
    let long = "a".repeat(20_000);
    for (token, status) in [("", 410), ("0".repeat(64).as_str(), 410), (&long, 413)] {
        let fields = [("form", token), ("address", &*good), ("token", TOKEN)];
        assert_eq!(browser.post(&fresh, CONNECT, &fields).await.0, status);
    }
    let fields = [("form", &*form(&page)), ("address", &*good), ("token", TOKEN)];
    // Two at once: the form is good once.
    let mut other = Browser::default();
    let (one, two) = tokio::join!(browser.post(&fresh, CONNECT, &fields), other.post(&fresh, CONNECT, &fields));
    let mut both = [one.0, two.0];
    both.sort_unstable();
    assert_eq!(both, [200, 410]);
    fresh.is_in_step().await;
    fresh.stop().await;
}

/// Each direction by itself, seen at once over the admin API; and what happens meanwhile is not sent later.
#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_switches_each_direction_off_and_on() {
    const SWITCH: &str = "/shopify/main/switch";
    let fresh = Fresh::of(AppKind::Embedded).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    let mut browser = Browser::default();
    let (_, _, page) = browser.get(&fresh, &fresh.opened()).await;
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    let (_, _, mut page) = browser.post(&fresh, CONNECT, &fields).await;
    fresh.is_in_step().await;
    for (source, value, modes) in [
        ("shopify", "off", ["drop", "run"]),
        ("omneo", "off", ["drop", "drop"]),
        ("shopify", "on", ["run", "drop"]),
        ("shopify", "on", ["run", "drop"]),
        ("shopify", "sideways", ["run", "drop"]),
        ("nowhere", "off", ["run", "drop"]),
        ("omneo", "on", ["run", "run"]),
    ] {
        let (status, _, next) = browser.post(&fresh, SWITCH, &[("form", &*form(&page)), (source, value)]).await;
        assert_eq!(status, 200, "{next}");
        let offs = next.matches("Switch on</button>").count();
        assert_eq!(offs, modes.iter().filter(|mode| **mode == "drop").count(), "{next}");
        let (_, directions) = fresh.ask(Method::GET, "/v1/tenants/acme/directions", None).await;
        assert_eq!([&directions[0]["mode"], &directions[1]["mode"]], modes.map(|mode| json!(mode)).each_ref());
        // A double click.
        assert_eq!(browser.post(&fresh, SWITCH, &[("form", &*form(&page)), (source, value)]).await.0, 410);
        page = next;
    }
    let (_, audit) = fresh.ask(Method::GET, "/v1/audit", None).await;
    assert_eq!(audit.to_string().matches("merchant of acme.myshopify.com").count(), 1 + 4, "{audit}");
    // What an operator has set is not a merchant's to lift.
    let held = json!({ "mode": "hold", "why": "stocktaking" });
    assert_eq!(fresh.ask(Method::PUT, "/v1/tenants/acme/directions/shopify", Some(held)).await.0, 200);
    for value in ["on", "off"] {
        let (_, _, next) = browser.post(&fresh, SWITCH, &[("form", &*form(&page)), ("shopify", value)]).await;
        assert!(next.contains("Set by whoever runs this Tandem: stocktaking"), "{next}");
        let (_, directions) = fresh.ask(Method::GET, "/v1/tenants/acme/directions", None).await;
        assert_eq!(directions[0]["mode"], json!("hold"));
        page = next;
    }
    fresh.stop().await;
}

/// The domain is the same, and the shop another one: nothing of the one before may go to it.
#[tokio::test(flavor = "multi_thread")]
async fn another_shop_under_the_same_domain_waits_for_an_operator() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    let mut browser = Browser::default();
    let (_, _, page) = browser.get(&fresh, &fresh.opened()).await;
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    assert_eq!(browser.post(&fresh, CONNECT, &fields).await.0, 200);
    fresh.is_in_step().await;
    fresh.shopify.set_shop_id(77);
    let (status, _, page) = browser.get(&fresh, &fresh.opened()).await;
    assert!(status == 409 && page.contains("acme.myshopify.com is another shop than before"), "{page}");
    let paused = async || {
        let (_, targets) = fresh.ask(Method::GET, "/v1/tenants/acme/targets", None).await;
        targets.as_array().unwrap().iter().filter(|target| target.to_string().contains("another shop answers")).count()
    };
    assert_eq!(paused().await, 2);
    // Opened again it stays so, whatever the merchant does; an operator says that it is right.
    assert_eq!(browser.get(&fresh, &fresh.opened()).await.0, 409);
    // Also when it is installed anew, and with a new grant.
    fresh.shopify.uninstall(ID);
    fresh.shopify.install(ID);
    assert_eq!(browser.get(&fresh, &fresh.opened()).await.0, 409);
    assert_eq!(paused().await, 2);
    for target in ["shopify", "omneo"] {
        let resume = format!("/v1/tenants/acme/targets/{target}/resume");
        assert_eq!(fresh.ask(Method::POST, &resume, None).await.0, 204);
    }
    assert_eq!(browser.get(&fresh, &fresh.opened()).await.0, 200);
    assert_eq!(paused().await, 0);
    fresh.stop().await;
}

/// What the shop has not granted is named when it is connected, with what to do.
#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_are_granted_in_part_are_named() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    fresh.shopify.edit_app(ID, |app| app.scopes = vec!["read_customers".into(), "write_customers".into()]);
    fresh.shopify.uninstall(ID);
    fresh.shopify.install(ID);
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    let mut browser = Browser::default();
    let (_, _, page) = browser.get(&fresh, &fresh.opened()).await;
    let fields = [("form", &*form(&page)), ("address", &*fresh.desk.host.omneo.url()), ("token", TOKEN)];
    let (status, _, page) = browser.post(&fresh, CONNECT, &fields).await;
    assert!(status == 200 && page.contains("is connected, and something is missing"), "{page}");
    for scope in ["read_orders", "read_products"] {
        assert!(page.contains(&format!("the app lacks the scope `{scope}`")), "{page}");
    }
    assert!(page.contains("Add it to the app") && !page.contains("`read_customers`"), "{page}");
    fresh.stop().await;
}

/// Over the admin API, the same road.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_invites_and_connects() {
    let fresh = Fresh::of(AppKind::Own).await;
    let table = [
        (json!({ "app": "none" }), 422),
        (json!({ "app": "main", "shop": "evil.myshopify.com.attacker.com" }), 422),
        (json!({ "app": "main", "shop": "" }), 422),
        (json!({ "app": "main", "tenant": "../x" }), 422),
        (json!({ "shop": "acme.myshopify.com" }), 422),
    ];
    for (body, status) in table {
        assert_eq!(fresh.ask(Method::POST, "/v1/invitations", Some(body.clone())).await.0, status, "{body}");
    }
    // The later invitation of a shop takes the place of the one before.
    for tenant in ["one", "two"] {
        fresh.invite(json!({ "app": "main", "shop": "Acme.myshopify.com", "tenant": tenant })).await;
    }
    let (_, open) = fresh.ask(Method::GET, "/v1/invitations", None).await;
    assert_eq!((open.as_array().unwrap().len(), &open[0]["tenant"]), (1, &json!("two")));
    let withdraw = format!("/v1/invitations/{}", open[0]["id"].as_str().unwrap());
    assert_eq!(fresh.ask(Method::DELETE, &withdraw, None).await.0, 204);
    assert_eq!(fresh.ask(Method::DELETE, &withdraw, None).await.0, 404);
    let body = json!({ "tenant": "acme", "shop": "acme.myshopify.com", "shopify": { "app": "main" } });
    let (status, added) = fresh.ask(Method::POST, "/v1/tenants", Some(body.clone())).await;
    assert_eq!((status, &added["omneo"]["url"]), (201, &json!("")), "{added}");
    let taken =
        fresh.ask(Method::POST, "/v1/invitations", Some(json!({ "app": "main", "shop": "acme.myshopify.com" })));
    assert_eq!(taken.await.0, 409);
    // A tenant's own token may connect it, and no other's.
    let own = fresh.desk.token("own", Some("acme")).await;
    assert_eq!(fresh.desk.ask(&own, Method::POST, "/v1/invitations", Some(json!({ "app": "main" }))).await.0, 403);
    let connect = "/v1/tenants/acme/connect";
    let omneo = fresh.desk.host.omneo.url();
    let said = |token: &str| Some(json!({ "address": omneo, "token": token }));
    assert_eq!(fresh.desk.ask(&own, Method::POST, connect, said("wrong")).await.0, 422);
    let (status, steps) = fresh.desk.ask(&own, Method::POST, connect, said(TOKEN)).await;
    assert_eq!(status, 200, "{steps}");
    assert!(steps.as_array().unwrap().iter().all(|step| step["state"] != "missing"), "{steps}");
    fresh.is_in_step().await;
    // Another Omneo tenant takes an operator.
    let other = json!({ "address": fresh.silent.url(), "token": TOKEN, "webhook_secret": "s" });
    assert_eq!(fresh.desk.ask(&own, Method::POST, connect, Some(other)).await.0, 422);
    // What is known stays, and what is missing is made.
    assert_eq!(fresh.desk.ask(&own, Method::POST, connect, Some(json!({}))).await.0, 200);
    assert_eq!(fresh.desk.ask(&own, Method::POST, connect, Some(json!({ "address": omneo }))).await.0, 422);
    // Once more, and everything is there already.
    let (_, steps) = fresh.desk.ask(&own, Method::POST, connect, said(TOKEN)).await;
    assert!(
        steps.as_array().unwrap().iter().all(|step| step["state"] == "there" || step["state"] == "note"),
        "{steps}"
    );
    assert_eq!(fresh.tenant("acme").await["omneo"]["webhook_secrets"].as_array().unwrap().len(), 1);
    // A secret that was to end, and is said again, is the one that stays.
    let lasting = async |secret: &str| {
        let body = json!({ "address": omneo, "token": TOKEN, "webhook_secret": secret });
        assert_eq!(fresh.ask(Method::POST, connect, Some(body)).await.0, 200);
        let tenant = fresh.tenant("acme").await;
        let secrets = tenant["omneo"]["webhook_secrets"].as_array().unwrap();
        secrets
            .iter()
            .filter(|secret| secret["ends_at"].is_null())
            .map(|secret| secret["id"].clone())
            .collect::<Vec<_>>()
    };
    let mut before = vec![];
    for secret in ["omneo-secret", "mistyped", "omneo-secret"] {
        let now = lasting(secret).await;
        assert!(
            now.len() == 1 && (secret == "omneo-secret" && before.is_empty() || now != before),
            "{secret}: {now:?}"
        );
        before = now;
    }
    fresh.stop().await;
}

/// Whatever somebody has answer as if it were Omneo, the merchant reads what is missing, and the host goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_omneo_breaks_nothing() {
    let fresh = Fresh::of(AppKind::Embedded).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    let mut browser = Browser::default();
    let (_, _, mut page) = browser.get(&fresh, &fresh.opened()).await;
    for (body, is_taken) in [("<html>Welcome</html>", false), ("", false), ("[]", true)] {
        let liar = Liar::start(move |_| Lie::Bytes(answer_of("200 OK", &[], body))).await;
        let url = liar.url();
        // Addresses of this machine are refused before anything is asked there.
        let fields = [("form", &*form(&page)), ("address", &*url), ("token", TOKEN), ("secret", "s")];
        let (status, _, next) = browser.post(&fresh, CONNECT, &fields).await;
        assert_eq!((status, liar.requests()), (422, 0), "{next}");
        page = next;
        // The operator's own, which may be anywhere: the same check.
        let peer = tandem::config::Peer::with_token(&url, TOKEN);
        let client = tandem::client::Client::new(5_000, vec![liar.address.to_string()]).unwrap();
        assert_eq!(tandem::setup::look_at_omneo(&client, &peer).await.is_ok(), is_taken, "{body}");
    }
    fresh.stop().await;
}

/// A signed link proves the shop for ninety seconds to whoever has it: it shows no form by which Omneo could be named.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_alone_connects_nothing() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    fresh.invite(json!({ "app": "main", "shop": "acme.myshopify.com" })).await;
    let mut merchant = Browser::default();
    fresh.approve(&mut merchant).await;
    // The link is sent on: whoever opens it has to approve first.
    let link = fresh.opened();
    let mut stranger = Browser::default();
    let (status, location, page) = stranger.get(&fresh, &link).await;
    assert!(status == 302 && location.contains("/admin/oauth/authorize") && !page.contains("form"), "{page}");
    // The merchant's answer in the stranger's browser is none.
    let back = approved(&fresh.shopify, &merchant.get(&fresh, &link).await.1);
    assert_eq!(stranger.get(&fresh, &back).await.0, 400);
    // Nor does the way to the form lead anywhere without the cookie.
    let (_, location, _) = merchant.get(&fresh, &back).await;
    assert!(location.starts_with("/shopify/main/connect?once="), "{location}");
    assert_eq!(stranger.get(&fresh, &location).await.0, 410);
    assert_eq!(merchant.get(&fresh, &location).await.0, 200);
    fresh.stop().await;
}

/// A code is no secret of a shop's: of two merchants who have it, one is admitted.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_and_for_a_week() {
    let fresh = Fresh::of(AppKind::Standalone).await;
    let made = fresh.invite(json!({ "app": "main" })).await;
    let ends = made["ends_at"].as_str().unwrap().to_owned();
    assert!(ends > tandem::clock::rfc3339(tandem::clock::now() + 6 * 24 * 3_600_000), "{ends}");
    let open = |shop: &str| {
        let at = (tandem::clock::now() / 1_000).to_string();
        let pairs = [("host", "aG9zdA"), ("shop", shop), ("timestamp", &*at)];
        let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("/shopify/main?{}&hmac={}", text.join("&"), sign_query(SECRET, &pairs))
    };
    let (mut one, mut two) = (Browser::default(), Browser::default());
    let (_, _, first) = one.get(&fresh, &open("acme.myshopify.com")).await;
    let (_, _, second) = two.get(&fresh, &open("zeta.myshopify.com")).await;
    let code = made["code"].as_str().unwrap();
    let said = one.post(&fresh, "/shopify/main/code", &[("form", &form(&first)), ("code", code)]).await;
    assert!(said.0 == 200 && said.2.contains("/admin/oauth/authorize?"), "{}", said.2);
    let said = two.post(&fresh, "/shopify/main/code", &[("form", &form(&second)), ("code", code)]).await;
    assert_eq!(said.0, 403, "{}", said.2);
    let (_, tenants) = fresh.ask(Method::GET, "/v1/tenants", None).await;
    assert_eq!(tenants.as_array().unwrap().len(), 1, "{tenants}");
    // Two at the same moment.
    let made = fresh.invite(json!({ "app": "main" })).await;
    let code = made["code"].as_str().unwrap();
    let (_, _, first) = one.get(&fresh, &open("eta.myshopify.com")).await;
    let (_, _, second) = two.get(&fresh, &open("theta.myshopify.com")).await;
    let (first, second) = ([("form", &*form(&first)), ("code", code)], [("form", &*form(&second)), ("code", code)]);
    let path = "/shopify/main/code";
    let (said, other) = tokio::join!(one.post(&fresh, path, &first), two.post(&fresh, path, &second));
    let mut both = [said.0, other.0];
    both.sort_unstable();
    assert_eq!(both, [200, 403]);
    let (_, tenants) = fresh.ask(Method::GET, "/v1/tenants", None).await;
    assert_eq!(tenants.as_array().unwrap().len(), 2, "{tenants}");
    // An invitation by the name of a tenant makes none, and stays.
    let made = fresh.invite(json!({ "app": "main", "shop": "iota.myshopify.com", "tenant": "iota" })).await;
    let body = json!({ "tenant": "iota", "shop": "kappa.myshopify.com", "shopify": { "app": "main" } });
    assert_eq!(fresh.ask(Method::POST, "/v1/tenants", Some(body)).await.0, 201);
    let (status, _, page) = one.get(&fresh, &open("iota.myshopify.com")).await;
    assert!(status == 409 && page.contains("There is another tenant of this name"), "{page}");
    let (_, listed) = fresh.ask(Method::GET, "/v1/invitations", None).await;
    assert_eq!(listed[0]["id"], made["id"]);
    fresh.stop().await;
}
