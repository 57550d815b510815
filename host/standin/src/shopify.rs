//! One shop: starts its server, lets callers in and sends its webhooks.
//! Knows nothing of GraphQL's inside nor of what a value may be; the modules below do.

mod addresses;
mod amounts;
mod apps;
mod bucket;
mod bulk;
mod check;
mod connections;
mod contact;
mod cost;
mod customer;
mod definitions;
mod edits;
mod graphql;
mod ledger;
mod listing;
mod lists;
mod merges;
mod metafields;
mod model;
mod mutations;
mod order_views;
mod past;
mod places;
mod problem;
mod queries;
mod rest;
mod schema;
mod search;
mod selection;
mod shelf;
mod store;
mod subscriptions;
mod views;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::clock::{self, Clock};
use crate::faults::Faults;
use crate::lock;
use crate::outbox::{Delivery, Outbox};
use crate::server::{Answer, Call, Request, Response, Server, Service};
use crate::sign::sign_shopify;
pub use apps::{AppOptions, AppProxy, Approval, RefreshRule, SessionToken, TokenCounts};
use apps::{Apps, Recipient};
use bucket::Bucket;
use bulk::Bulk;
pub use bulk::BulkFault;
pub use ledger::{Ledger, Manner, Pays};
use model::Acting;
use schema::Schema;
use store::{Facts, Store};

/// Shopify docs: a version for each quarter, good for a year; an older one is answered by the oldest.
const QUARTERS: [&str; 4] = ["01", "04", "07", "10"];
const OLDEST_VERSION: &str = "2025-10";

/// What a shop is and how its stand-in behaves.
#[derive(Clone, Debug)]
pub struct ShopifyOptions {
    /// `acme.myshopify.com`, put on every webhook.
    pub shop: String,
    /// The number in the shop's global id: a shop keeps it for ever, whatever its domain.
    pub shop_id: u64,
    /// A token that is good for ever, as a custom app made in the admin has one. A shop with [`apps`](ShopifyOptions::apps)
    /// need not have it: where it is empty, no webhook is signed with [`webhook_secret`](ShopifyOptions::webhook_secret).
    pub token: String,
    pub webhook_secret: String,
    /// The apps that merchants of this shop can install. Without any, the shop knows the fixed token alone.
    pub apps: Vec<AppOptions>,
    /// How long a refresh token stays good once it was used.
    pub refresh_rule: RefreshRule,
    /// How long the token endpoint holds its answers back, so that requests overlap. What they do is done before.
    pub token_delay_ms: u64,
    /// Where webhooks go; without it they wait.
    pub webhook_url: Option<String>,
    /// Of webhooks. An answer is in the version that the request's path has, or in the oldest that is still there.
    pub api_version: String,
    pub clock: Clock,
    pub delivery: Delivery,
    /// Everything random, ids included, comes from here.
    pub seed: u64,
    /// Size of the bucket in points, and points it regains per second of [`clock`](ShopifyOptions::clock).
    pub bucket: (f64, f64),
    /// How many of a shop's things a bulk operation reads while one request is answered.
    pub bulk_at_once: usize,
    /// What the app may do here, as `currentAppInstallation { accessScopes }` gives it.
    pub scopes: Vec<String>,
    /// Whether the metafield definition `omneo.profile_id` of type `id` exists from the start.
    pub link_defined: bool,
    /// Customer ids above 2^53 instead of merely above 2^32.
    pub big_ids: bool,
    /// IANA name, as `shop { ianaTimezone }` gives it.
    pub timezone: String,
    /// That time zone's offset from UTC, as webhook bodies spell times; the stand-in knows no daylight saving.
    pub offset_minutes: i32,
    /// ISO 4217.
    pub currency: String,
    pub taxes_included: bool,
}

impl Default for ShopifyOptions {
    fn default() -> ShopifyOptions {
        ShopifyOptions {
            shop: "acme.myshopify.com".to_owned(),
            shop_id: 1,
            token: "shpat_standin".to_owned(),
            webhook_secret: "shopify-secret".to_owned(),
            apps: Vec::new(),
            refresh_rule: RefreshRule::default(),
            token_delay_ms: 0,
            webhook_url: None,
            api_version: "2026-07".to_owned(),
            clock: Clock::system(),
            delivery: Delivery::Automatic,
            seed: 1,
            // Recorded answers: what a development store has.
            bucket: (2_000.0, 100.0),
            bulk_at_once: 500,
            scopes: ["read_customer_merge", "read_locations", "read_orders", "read_products", "write_customers"]
                .map(String::from)
                .into(),
            link_defined: true,
            big_ids: false,
            timezone: "Australia/Brisbane".to_owned(),
            offset_minutes: 600,
            currency: "AUD".to_owned(),
            taxes_included: true,
        }
    }
}

impl ShopifyOptions {
    /// A shop with these apps and no fixed token.
    pub fn with_apps(apps: Vec<AppOptions>) -> ShopifyOptions {
        ShopifyOptions { token: String::new(), apps, ..ShopifyOptions::default() }
    }
}

/// A running shop; clones are the same shop.
#[derive(Clone)]
pub struct Shopify {
    core: Arc<Core>,
    server: Server,
}

struct Core {
    shop: Mutex<Arc<str>>,
    token: Mutex<String>,
    secret: String,
    /// Locked after `state`, where both are.
    apps: Mutex<Apps>,
    has_apps: bool,
    clock: Clock,
    outbox: Outbox,
    schema: Arc<Schema>,
    state: Mutex<State>,
    /// Pages of the theme, by path.
    theme: Mutex<BTreeMap<String, String>>,
}

struct State {
    store: Store,
    bucket: Bucket,
    bulk: Bulk,
    random: fastrand::Rng,
}

impl Shopify {
    /// Listens on a free port of 127.0.0.1, until [`stop`](Shopify::stop) or the end of the runtime.
    pub async fn start(options: ShopifyOptions) -> std::io::Result<Shopify> {
        let outbox = Outbox::start(options.delivery, options.webhook_url.clone(), options.seed);
        let clock = options.clock.clone();
        let (core, service) = Self::made(options, outbox);
        let server = Server::start(service, clock).await?;
        lock(&core.state).bulk.site = format!("http://{}", server.address);
        Ok(Shopify { core, server })
    }

    /// Without a socket or a task: asked by [`ask`](Shopify::ask), its webhooks taken from the outbox. For simulations.
    pub fn unplugged(options: ShopifyOptions) -> Shopify {
        let outbox = Outbox::unplugged(Delivery::Manual, None, options.seed);
        let clock = options.clock.clone();
        let (core, service) = Self::made(options, outbox);
        Shopify { core, server: Server::unplugged(service, clock) }
    }

    fn made(options: ShopifyOptions, outbox: Outbox) -> (Arc<Core>, Service) {
        let has_apps = !options.apps.is_empty();
        let apps = Apps::new(options.apps, options.refresh_rule, options.token_delay_ms, options.seed, &options.shop);
        let facts = Facts {
            shop_id: options.shop_id,
            shop: options.shop.clone(),
            timezone: options.timezone,
            offset_minutes: options.offset_minutes,
            currency: options.currency,
            taxes_included: options.taxes_included,
            scopes: options.scopes,
            api_version: options.api_version,
            classic_accounts: false,
            customers_denied: false,
        };
        let state = State {
            store: Store::new(facts, options.seed, options.big_ids, options.link_defined),
            bucket: Bucket::new(options.bucket, options.clock.now_ms()),
            bulk: Bulk::new(options.bulk_at_once),
            random: fastrand::Rng::with_seed(options.seed),
        };
        let core = Arc::new(Core {
            shop: Mutex::new(options.shop.into()),
            token: Mutex::new(options.token),
            secret: options.webhook_secret,
            apps: Mutex::new(apps),
            has_apps,
            clock: options.clock,
            outbox,
            schema: Schema::shared(),
            state: Mutex::new(state),
            theme: Mutex::default(),
        });
        let (serving, throttling) = (Arc::clone(&core), Arc::clone(&core));
        let service = Service {
            name: |call| (operation(call), call.path.clone()),
            execute: Box::new(move |call| serving.answer(call)),
            throttled: Box::new(move || Answer::new(200, lock(&throttling.state).bucket.empty())),
            unauthorized,
        };
        (core, service)
    }

    /// Answers a request without a connection; `target` is the path. `None` where a connection would have been closed
    /// without an answer.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Option<Response> {
        self.server.ask(method, target, headers, body)
    }

    /// `http://127.0.0.1:PORT`; GraphQL is at `POST {url}/admin/api/{version}/graphql.json`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Its domain, `acme.myshopify.com`.
    pub fn shop(&self) -> Arc<str> {
        self.core.shop()
    }

    /// The same shop under another domain.
    pub fn rename(&self, shop: &str) {
        *lock(&self.core.shop) = shop.into();
        shop.clone_into(&mut lock(&self.core.state).store.facts.shop);
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the server, its connections and the delivery of webhooks; the state stays readable.
    pub fn stop(&self) {
        self.server.stop();
        self.core.outbox.stop();
    }

    /// Another shop under the same domain: one that was closed, and its name taken by somebody.
    pub fn set_shop_id(&self, id: u64) {
        lock(&self.core.state).store.facts.shop_id = id;
    }

    /// From now on customers log in with a password, which whoever signs up chooses without showing that the e-mail address is
    /// theirs; or, as at the start, with a code that is sent to the address.
    pub fn set_classic_accounts(&self, are_classic: bool) {
        lock(&self.core.state).store.facts.classic_accounts = are_classic;
    }

    /// Whether the apps lack Shopify's approval for protected customer data: a query of a customer is refused.
    pub fn set_customers_denied(&self, are_denied: bool) {
        lock(&self.core.state).store.facts.customers_denied = are_denied;
    }

    /// A page of the theme, for a browser. Whoever has been at `/account/login?customer=N` is that customer, until
    /// `/account/logout`.
    pub fn set_page(&self, path: &str, html: impl Into<String>) {
        lock(&self.core.theme).insert(path.to_owned(), html.into());
    }

    pub fn set_webhook_url(&self, url: impl Into<String>) {
        self.core.outbox.set_url(url.into());
    }

    /// From now on other tokens are refused.
    pub fn set_token(&self, token: impl Into<String>) {
        *lock(&self.core.token) = token.into();
    }

    /// What happens to the next bulk operations that are begun, one after the other.
    pub fn next_bulk(&self, fault: BulkFault) {
        lock(&self.core.state).bulk.faults.push_back(fault);
    }

    pub fn outbox(&self) -> Outbox {
        self.core.outbox.clone()
    }

    pub fn faults(&self) -> Faults {
        self.server.faults.clone()
    }

    /// Every request so far, refused ones included, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

impl Core {
    fn shop(&self) -> Arc<str> {
        lock(&self.shop).clone()
    }

    /// One edit or read at the present time; the webhooks it caused go to the outbox in one piece.
    fn with<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        let mut state = lock(&self.state);
        state.store.now_ms = self.clock.now_ms();
        let done = act(&mut state.store);
        self.emit(&mut state);
        done
    }

    fn emit(&self, state: &mut State) {
        let event_id = crate::uuid(&mut state.random);
        for (topic, body) in std::mem::take(&mut state.store.events) {
            let recipients = self.recipients(&state.store, &topic);
            self.send(state, &topic, &body, &event_id, recipients);
        }
    }

    /// Who is told of a topic: whoever has the fixed token, and the apps.
    fn recipients(&self, store: &Store, topic: &str) -> Vec<Recipient> {
        let is_fixed = !self.has_apps || !lock(&self.token).is_empty();
        let fixed = is_fixed.then(|| Recipient { secret: self.secret.clone(), url: None });
        fixed.into_iter().chain(apps::recipients(&lock(&self.apps), &store.subscriptions, topic)).collect()
    }

    /// Puts one webhook for each recipient into the outbox.
    fn send(&self, state: &mut State, topic: &str, body: &Value, event_id: &str, recipients: Vec<Recipient>) {
        let (State { store, random, .. }, body) = (state, body.to_string().into_bytes());
        for Recipient { secret, url } in recipients {
            let headers = [
                ("content-type", "application/json".to_owned()),
                ("x-shopify-topic", topic.to_owned()),
                ("x-shopify-hmac-sha256", sign_shopify(&secret, &body)),
                ("x-shopify-shop-domain", store.facts.shop.clone()),
                ("x-shopify-api-version", store.facts.api_version.clone()),
                ("x-shopify-webhook-id", crate::uuid(random)),
                // One merchant action, one event id, however many webhooks.
                ("x-shopify-event-id", event_id.to_owned()),
                ("x-shopify-triggered-at", triggered_at(store.now_ms)),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
            self.outbox.emit(topic, headers, body.clone(), url);
        }
    }

    /// Who a request comes from; `None` for a token that is not good.
    fn caller(&self, call: &Call) -> Option<Caller> {
        let (given, fixed) = (call.header("x-shopify-access-token"), lock(&self.token).clone());
        if given == fixed && (!fixed.is_empty() || !self.has_apps) {
            return Some(Caller::Fixed);
        }
        lock(&self.apps).holder(given, self.clock.now_ms()).map(Caller::App)
    }

    fn answer(&self, call: &Call) -> Answer {
        if let Some(answer) = self.has_apps.then(|| apps::route(self, call)).flatten() {
            return answer;
        }
        let parts: Vec<_> = call.path.trim_matches('/').split('/').collect();
        match parts[..] {
            ["admin", "api", asked, name @ ("graphql.json" | "orders.json")] => {
                let Some(version) = answered(asked) else { return Answer::new(404, json!({ "errors": "Not Found" })) };
                let answer = if name == "orders.json" { self.orders(call) } else { self.graphql(call) };
                answer.with("x-shopify-api-version", version)
            }
            ["bulk-operation-outputs", _] if call.method == "GET" => self.file(call),
            _ => Answer::new(404, json!({ "errors": "Not Found" })),
        }
    }

    fn graphql(&self, call: &Call) -> Answer {
        if call.method != "POST" {
            return Answer::new(405, json!({ "errors": "Method Not Allowed" })).with("allow", "POST");
        }
        let Some(caller) = self.caller(call) else { return unauthorized() };
        let Some(body) = call.body.as_ref().filter(|body| body.is_object()) else {
            return Answer::new(400, json!({ "errors": { "query": "Required parameter missing or invalid" } }));
        };
        let mut state = lock(&self.state);
        let now_ms = self.clock.now_ms();
        let State { store, bucket, bulk, .. } = &mut *state;
        store.now_ms = now_ms;
        bulk.advance(&self.schema, store);
        store.acting = caller.acting();
        bucket.refill(now_ms);
        let mutation = |field: &str| self.schema.field("Mutation", field).is_some();
        let answer = graphql::execute(&self.schema, body, bucket, &mut |field, arguments| {
            let id = arguments.get("id").and_then(Value::as_str).unwrap_or_default();
            match field {
                "bulkOperation" => bulk.shown(store, id),
                "bulkOperationCancel" => Ok(bulk.cancel(store, id)),
                "bulkOperationRunQuery" => Ok(bulk.run(&self.schema, store, arguments)),
                _ if mutation(field) => mutations::resolve(store, field, arguments),
                _ => queries::resolve(store, field, arguments),
            }
        });
        state.store.acting = None;
        self.emit(&mut state);
        Answer::new(200, answer)
    }
}

impl Core {
    /// A list of orders by REST.
    fn orders(&self, call: &Call) -> Answer {
        if call.method != "GET" {
            return Answer::new(405, json!({ "errors": "Method Not Allowed" })).with("allow", "GET");
        }
        let Some(caller) = self.caller(call) else { return unauthorized() };
        let mut state = lock(&self.state);
        let State { store, bulk, .. } = &mut *state;
        store.now_ms = self.clock.now_ms();
        store.acting = caller.acting();
        let answer = rest::orders(store, call, &bulk.site);
        store.acting = None;
        answer
    }

    /// The file of a bulk operation, from a store that knows no access tokens and refuses whoever shows it one.
    fn file(&self, call: &Call) -> Answer {
        let refuse = |status: u16, code: &str| {
            Answer::html(status, format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"))
        };
        if ["authorization", "x-shopify-access-token"].iter().any(|name| !call.header(name).is_empty()) {
            return refuse(400, "InvalidArgument");
        }
        let found = lock(&self.state).bulk.file(self.clock.now_ms(), &call.path, &call.query);
        found.map_or_else(|(status, code)| refuse(status, code), Answer::file)
    }
}

/// Whose token a request carries.
enum Caller {
    Fixed,
    App(Acting),
}

impl Caller {
    fn acting(self) -> Option<Acting> {
        match self {
            Caller::Fixed => None,
            Caller::App(acting) => Some(acting),
        }
    }
}

/// The version that a request is answered in: the one that its path has, or the oldest that there still is. Which is the
/// newest one is not known here.
fn answered(asked: &str) -> Option<&str> {
    let is_dated = asked.split_once('-').is_some_and(|(year, month)| {
        year.len() == 4 && year.bytes().all(|digit| digit.is_ascii_digit()) && QUARTERS.contains(&month)
    });
    (is_dated || asked == "unstable").then(|| asked.max(OLDEST_VERSION))
}

/// What a request is called in the log and by faults.
fn operation(call: &Call) -> String {
    apps::operation(call).unwrap_or_else(|| call.body.as_ref().map(graphql::operation_name).unwrap_or_default())
}

/// Recorded answer to a wrong token.
fn unauthorized() -> Answer {
    Answer::new(
        401,
        json!({ "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)" }),
    )
}

/// With fractions of a second, as deliveries have it.
fn triggered_at(now_ms: i64) -> String {
    clock::utc(now_ms).replace('Z', &format!(".{:03}000000Z", now_ms.rem_euclid(1000)))
}
