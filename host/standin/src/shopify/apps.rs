//! The apps of a shop: what each is, whether it is installed, and what it was given.
//! Knows nothing of HTTP or pages; the modules below do.

mod grants;
mod hooks;
mod links;
mod merchant;
mod pages;
mod proxy;
mod routes;
mod sessions;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::model::Acting;
use crate::lock;
use grants::Book;
pub(crate) use hooks::{Recipient, recipients};
pub use merchant::Approval;
pub use proxy::AppProxy;
pub(crate) use routes::{operation, route};
pub use sessions::SessionToken;

/// Shopify docs: an access token of the authorization code grant or of token exchange lives for an hour.
const TOKEN_SECONDS: u64 = 3_600;
/// Shopify docs: one of the client credentials grant lives for a day, less a second.
const OWN_TOKEN_SECONDS: u64 = 86_399;
/// Shopify docs: 90 days.
const REFRESH_SECONDS: u64 = 7_776_000;
/// The member of staff who opens apps, where nobody else is named.
const STAFF: u64 = 42;

/// An app, as its developer has set it up. Installed or not is the merchant's business.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Also the app's name in the paths of the merchant's pages.
    pub client_id: String,
    /// Signs queries, session tokens and webhooks, and is asked for at the token endpoint.
    pub client_secret: String,
    /// The secret before the last rotation. Session tokens that it has signed can still be exchanged; the token endpoint
    /// does not take it as `client_secret`.
    pub previous_secret: Option<String>,
    /// What merchants call it.
    pub name: String,
    /// What an installation grants.
    pub scopes: Vec<String>,
    /// Whether the client credentials grant is open to it: app and shop are in one organisation.
    pub may_use_client_credentials: bool,
    /// Where Shopify opens it, `http://127.0.0.1:8080/shopify/app`.
    pub application_url: String,
    /// Where `redirect_uri` may lead, each in full.
    pub redirect_urls: Vec<String>,
    /// Whether it is shown inside the merchant's admin and gets session tokens there.
    pub embedded: bool,
    /// Where its own configuration sends `app/uninstalled` and the three compliance topics; a path is one of
    /// [`application_url`](AppOptions::application_url).
    pub webhook_uri: Option<String>,
    /// Where it is reached through the shop's own addresses, if it is.
    pub proxy: Option<AppProxy>,
    /// Life of an access token that ends.
    pub token_seconds: u64,
    /// Life of a refresh token.
    pub refresh_seconds: u64,
}

impl Default for AppOptions {
    /// A standalone app whose addresses lead nowhere.
    fn default() -> AppOptions {
        AppOptions::standalone("client-id-123", "hush", "http://127.0.0.1:1/shopify/app")
    }
}

impl AppOptions {
    /// An app of the shop's own organisation, which asks for tokens by client credentials.
    pub fn own(client_id: &str, client_secret: &str) -> AppOptions {
        let app = AppOptions::standalone(client_id, client_secret, "http://127.0.0.1:1/shopify/app");
        AppOptions { may_use_client_credentials: true, token_seconds: OWN_TOKEN_SECONDS, ..app }
    }

    /// An app with a site of its own, which uses the authorization code grant; its redirect address is
    /// `{application_url}/callback`.
    pub fn standalone(client_id: &str, client_secret: &str, application_url: &str) -> AppOptions {
        AppOptions {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            previous_secret: None,
            name: client_id.to_owned(),
            scopes: ["read_customer_merge", "read_locations", "read_orders", "read_products", "write_customers"]
                .map(String::from)
                .into(),
            may_use_client_credentials: false,
            application_url: application_url.to_owned(),
            redirect_urls: vec![format!("{application_url}/callback")],
            embedded: false,
            webhook_uri: None,
            proxy: None,
            token_seconds: TOKEN_SECONDS,
            refresh_seconds: REFRESH_SECONDS,
        }
    }

    /// An app inside the merchant's admin, which uses token exchange.
    pub fn embedded(client_id: &str, client_secret: &str, application_url: &str) -> AppOptions {
        AppOptions { embedded: true, ..AppOptions::standalone(client_id, client_secret, application_url) }
    }

    /// Makes `new` the secret and keeps the one before as the previous.
    fn rotate(&mut self, new: &str) {
        self.previous_secret = Some(std::mem::replace(&mut self.client_secret, new.to_owned()));
    }
}

/// How long a refresh token stays good once it was used. Shopify's own texts contradict each other, hence the choice.
/// Whatever the rule, a code or a token exchange ends all older refresh tokens of the app at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshRule {
    /// It ends at once. Shopify's texts are all milder than this about renewals, so that whatever copes with this rule copes
    /// with the real one.
    #[default]
    Strict,
    /// For so many seconds, as the page on offline access tokens says ("a short retry window").
    Seconds(u64),
    /// Until its replacement is used to renew, 30 days at most (changelog of 2026-08, more resilient refreshes).
    UntilUsed,
}

/// What the token endpoint did for one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Requests with the app's id that reached the endpoint, refused ones included. Those that a fault refused are not.
    pub requests: u64,
    /// Those of them with a refresh token.
    pub renewals: u64,
    /// Access tokens given out.
    pub given: u64,
    /// Most requests under way at once: from their arrival until the answer went out.
    pub most_at_once: u64,
}

/// All apps that know the shop.
pub(crate) struct Apps {
    pub all: Vec<App>,
    pub rule: RefreshRule,
    /// How long the token endpoint holds its answers back.
    pub delay_ms: u64,
    pub random: fastrand::Rng,
}

/// One app and what this shop has given it.
pub(crate) struct App {
    pub options: AppOptions,
    /// The scopes that the merchant has granted, while it is installed.
    pub granted: Option<Vec<String>>,
    /// It was installed once, so that the compliance topics concern it.
    pub was_installed: bool,
    pub book: Book,
    /// Codes that were not redeemed yet.
    pub codes: BTreeMap<String, Code>,
    pub counts: TokenCounts,
    pub under_way: UnderWay,
}

/// What an authorization code stands for.
pub(crate) struct Code {
    pub ends_ms: i64,
    pub scopes: Vec<String>,
    /// The member of staff whose token it gives; `None` for one of the shop.
    pub user: Option<u64>,
}

/// The token requests of one app that are under way, and the most there were.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<(u64, u64)>>);

/// One request under way, until it is dropped.
pub(crate) struct Passing(UnderWay);

impl UnderWay {
    pub fn enter(&self) -> Passing {
        let mut counts = lock(&self.0);
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Passing(self.clone())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        lock(&self.0.0).0 -= 1;
    }
}

impl Apps {
    /// Tokens differ from shop to shop, also where the seed is the same.
    pub fn new(apps: Vec<AppOptions>, rule: RefreshRule, delay_ms: u64, seed: u64, shop: &str) -> Apps {
        let digest = Sha256::digest(format!("{seed} {shop}"));
        let seed = digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let all = apps.into_iter().map(App::new).collect();
        Apps { all, rule, delay_ms, random: fastrand::Rng::with_seed(seed) }
    }

    pub fn find(&self, client_id: &str) -> Option<&App> {
        self.all.iter().find(|app| app.options.client_id == client_id)
    }

    pub fn find_mut(&mut self, client_id: &str) -> Option<&mut App> {
        self.all.iter_mut().find(|app| app.options.client_id == client_id)
    }

    /// The app and the scopes that an access token stands for, if it is good at `now_ms`.
    pub fn holder(&self, token: &str, now_ms: i64) -> Option<Acting> {
        self.all.iter().find_map(|app| {
            let scopes = app.book.accepts(token, now_ms)?.to_vec();
            let may_use_rest = app.options.may_use_client_credentials;
            Some(Acting { client_id: app.options.client_id.clone(), scopes, may_use_rest })
        })
    }
}

impl App {
    fn new(options: AppOptions) -> App {
        App {
            options,
            granted: None,
            was_installed: false,
            book: Book::default(),
            codes: BTreeMap::new(),
            counts: TokenCounts::default(),
            under_way: UnderWay::default(),
        }
    }

    pub fn counted(&self) -> TokenCounts {
        TokenCounts { most_at_once: lock(&self.under_way.0).1, ..self.counts }
    }

    fn install(&mut self, scopes: Vec<String>) {
        self.granted = Some(scopes);
        self.was_installed = true;
    }

    /// Ends everything that was given; false when it was not installed.
    fn uninstall(&mut self) -> bool {
        self.book.clear();
        self.codes.clear();
        self.granted.take().is_some()
    }
}

/// Scopes as Shopify names what it has granted: `read_x` is not told beside `write_x`, which implies it (Shopify docs:
/// access scopes).
fn told(scopes: &[String]) -> Vec<String> {
    let implied = |scope: &str| {
        scope.strip_prefix("read_").is_some_and(|what| scopes.iter().any(|other| *other == format!("write_{what}")))
    };
    scopes.iter().filter(|scope| !implied(scope)).cloned().collect()
}

/// So many hexadecimal digits.
fn hex_digits(random: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| random.digit(16)).collect()
}
