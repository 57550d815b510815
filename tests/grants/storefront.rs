//! Storefront authentication: a shopper's widgets get the token of the shopper's own profile, and nobody else's. Here what these stories
//! share: a shop with an app proxy, and what a shopper's browser or an extension is answered.

mod after;
mod browser;
mod doors;
mod pressure;
mod story;
mod whose;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tandem::config::{AppKind, Config};
use tandem::metrics::{Format, Now};
use tandem::playground::Playground;
use tandem_standin::{AppProxy, Omneo, RefreshRule, SessionToken, Shopify, sign_proxy};

use super::street::*;
use crate::town::{RULES, plugin};

pub const PATH: &str = "/apps/cx";
pub const PROXIED: &str = "/storefront/main";
pub const EXTENSION: &str = "/storefront/main/extension";

/// A street whose shop has an app proxy.
pub struct Front(pub Street);

/// What somebody was answered.
#[derive(Clone, Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Front {
    pub async fn new() -> Self {
        Self::of(AppKind::Standalone).await
    }

    pub async fn of(kind: AppKind) -> Self {
        let street = Street::of(kind, options(kind, 3_600), RefreshRule::Strict).await;
        let front = Self(street);
        front.tell_address();
        front
    }

    /// The app proxy leads to the host as it listens now.
    pub fn tell_address(&self) {
        let url = format!("http://{}{PROXIED}", self.0.playground.server.address);
        self.shopify().edit_app(ID, |app| app.proxy = Some(AppProxy { path: PATH.into(), url }));
    }

    /// The host starts again, with another Omneo at this address.
    pub async fn with_omneo(self, url: String, authority: String) -> Self {
        self.again(|config| {
            config.tenants[0].omneo.url = format!("{url}/api/v3");
            config.allow.push(authority);
        })
        .await
    }

    /// The host starts again, with another configuration.
    pub async fn again(self, edit: impl FnOnce(&mut Config)) -> Self {
        let Street { playground, folder } = self.0;
        let Playground { shopify, omneo, server, mut config, .. } = playground;
        server.stop().await.unwrap();
        edit(&mut config);
        let playground = Playground::with(plugin(RULES).await, config, shopify, omneo).await.unwrap();
        let front = Self(Street { playground, folder });
        front.0.tell_address();
        front.tell_address();
        front
    }

    pub fn shopify(&self) -> &Shopify {
        &self.0.playground.shopify
    }

    pub fn omneo(&self) -> &Omneo {
        &self.0.playground.omneo
    }

    /// A customer with an account, and a profile of theirs. Gives both ids.
    pub async fn shopper(&self, name: &str) -> (u64, String) {
        let email = format!("{name}@example.org");
        let customer = self.shopify().create_customer(json!({ "first_name": name, "email": email })).unwrap();
        let profile = || self.profile_of(&email);
        self.0.until("the profile", || profile().is_some()).await;
        self.settle().await;
        (customer, profile().unwrap())
    }

    pub fn profile_of(&self, email: &str) -> Option<String> {
        let profiles = self.omneo().profiles();
        let found = profiles.iter().find(|profile| profile["email"] == email)?;
        found["id"].as_str().map(str::to_owned)
    }

    /// The host goes by another configuration from now on.
    pub async fn reload(&self, edit: impl FnOnce(&mut Config)) {
        let mut next = self.0.playground.config.clone();
        edit(&mut next);
        self.0.playground.server.reload(next).await.unwrap();
    }

    /// A number that the host counts.
    pub fn counted(&self, what: &str) -> u64 {
        let text = self.0.playground.server.journal.metrics().text(&Now::default(), Format::OpenMetrics);
        let found = text.lines().find_map(|line| line.strip_prefix(what)?.trim().parse().ok());
        found.unwrap_or_default()
    }

    pub async fn settle(&self) {
        self.0.playground.settle().await.unwrap();
    }

    /// A page of the shop asks for a token, with nobody or a customer logged in.
    pub async fn visit(&self, customer: Option<u64>) -> Seen {
        let cookie = customer.map(|customer| format!("storefront_customer={customer}")).unwrap_or_default();
        ask(Method::GET, &format!("{}{PATH}", self.shopify().url()), &[("cookie", &cookie)]).await
    }

    /// An extension asks for one.
    pub async fn extension(&self, token: &SessionToken) -> Seen {
        let token = self.shopify().session_token(ID, token).unwrap();
        self.at(Method::POST, EXTENSION, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Somebody asks the host itself.
    pub async fn at(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Seen {
        ask(method, &format!("http://{}{target}", self.0.playground.server.address), headers).await
    }

    /// The same for what the app proxy would have signed just now.
    pub async fn signed(&self, customer: &str) -> Seen {
        self.at(Method::GET, &format!("{PROXIED}?{}", query(customer)), &[]).await
    }

    /// How often Omneo was asked for a token.
    pub fn tokens_asked(&self) -> usize {
        self.omneo().requests().iter().filter(|request| request.path == "/id/api/v1/auth/token").count()
    }

    /// A widget asks Omneo with a token.
    pub async fn widget(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}/id/api/v1{path}", self.omneo().address());
        let request = client().request(method, url).bearer_auth(token).header("content-type", "application/json");
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    pub async fn stop(self) {
        self.0.stop().await;
    }
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The profile of the token that was given; `null`: of nobody's.
    pub fn pid(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        let body = self.json();
        let claims = claims(body["token"].as_str().unwrap());
        assert_eq!(body["expiry"], claims["exp"]);
        let pid = claims["pid"].as_str().unwrap().to_owned();
        assert_eq!(self.header("x-omneo-is-anon"), if pid == "null" { "true" } else { "false" });
        // The stand-in's address says no name of Omneo's.
        assert!(!self.headers.contains_key("x-omneo-tenant"), "{self:?}");
        pid
    }

    pub fn token(&self) -> String {
        self.json()["token"].as_str().unwrap().to_owned()
    }

    /// Nothing was given, nobody may keep it, and nothing of what was sent comes back.
    pub fn is_refused(&self, status: u16, sent: &str) {
        assert_eq!(self.status, status, "{sent}: {self:?}");
        let body = self.json();
        assert!(body["token"].is_null() && body["error"].is_string() && body["message"].is_string(), "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        for part in sent.split(['&', '=', '?', '.']).filter(|part| part.len() > 12) {
            let shown = format!("{:?}{}", self.headers, self.text);
            assert!(!shown.contains(part), "{part}: {self:?}");
        }
        assert!(self.header("location").is_empty() && self.header("set-cookie").is_empty(), "{self:?}");
    }
}

pub fn claims(token: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub async fn ask(method: Method, url: &str, headers: &[(&str, &str)]) -> Seen {
    let request =
        headers.iter().fold(client().request(method, url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Seen { status, headers, text: answer.text().await.unwrap() }
}

/// A query as the app proxy of the shop makes it now.
pub fn query(customer: &str) -> String {
    let at = (tandem::clock::now() / 1_000).to_string();
    signed_by(SECRET, &pairs(customer, &at))
}

pub fn pairs<'a>(customer: &'a str, timestamp: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("shop", "acme.myshopify.com"),
        ("logged_in_customer_id", customer),
        ("path_prefix", PATH),
        ("timestamp", timestamp),
    ]
}

pub fn signed_by(secret: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = encoded(pairs);
    query.push_str(&format!("&signature={}", sign_proxy(secret, pairs)));
    query
}

pub fn encoded(pairs: &[(&str, &str)]) -> String {
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}
