//! One tenant of Omneo CX: starts its server and sends its webhooks.
//! Knows nothing of routes nor of what a value may be; the modules below do.

mod addresses;
mod attributes;
mod catalogue;
mod commerce;
mod comms;
mod edits;
mod endpoints;
mod id;
mod identities;
mod lists;
mod model;
mod past;
mod people;
mod profiles;
mod routes;
mod store;
mod views;
mod webhooks;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::lock;
use crate::outbox::{Delivery, Outbox};
use crate::server::{Answer, Call, Request, Response, Server, Service};
use crate::sign::sign_omneo;
pub use endpoints::{ENDPOINTS, Endpoint, refusal, unknown};
use store::Store;

const API: &str = "/api/v3";
const MINUTE_MS: i64 = 60_000;

/// What a tenant is and how its stand-in behaves.
#[derive(Clone, Debug)]
pub struct OmneoOptions {
    /// Only a name: the address is the stand-in's own.
    pub tenant: String,
    /// What `Authorization: Bearer …` must hold.
    pub token: String,
    pub webhook_secret: String,
    /// Where webhooks go; without it they wait.
    pub webhook_url: Option<String>,
    pub clock: Clock,
    pub delivery: Delivery,
    /// Everything random, profile ids included, comes from here.
    pub seed: u64,
    /// Requests allowed in each minute of [`clock`](OmneoOptions::clock); Omneo publishes no number.
    pub per_minute: Option<u32>,
    /// Omneo docs: webhooks of a token's own namespace do not report what that token did. Off, so that echoes are met.
    pub suppress_own: bool,
    /// What `email_promo` and the like say while nobody has set them; their `_raw` twins are null then.
    pub promo_default: Option<bool>,
    /// What the token may do, as `GET /auth/access-tokens` gives it; `*` is everything. Held where webhooks are set up.
    pub scopes: Vec<String>,
    /// Whether the settings tell the webhook secret, as [INF] they do.
    pub tells_secret: bool,
    /// The most that a page of a list holds, whatever is asked for.
    pub page_max: usize,
}

impl Default for OmneoOptions {
    fn default() -> OmneoOptions {
        OmneoOptions {
            tenant: "acme".to_owned(),
            token: "omneo-token".to_owned(),
            webhook_secret: "omneo-secret".to_owned(),
            webhook_url: None,
            clock: Clock::system(),
            delivery: Delivery::Automatic,
            seed: 1,
            per_minute: None,
            suppress_own: false,
            promo_default: None,
            scopes: vec!["*".to_owned()],
            tells_secret: true,
            page_max: store::PAGE_MAX,
        }
    }
}

/// A running tenant; clones are the same tenant.
#[derive(Clone)]
pub struct Omneo {
    core: Arc<Core>,
    server: Server,
}

struct Core {
    tenant: String,
    token: Mutex<String>,
    secret: String,
    clock: Clock,
    outbox: Outbox,
    suppress_own: bool,
    per_minute: Option<u32>,
    /// The minute under way and the requests in it.
    minute: Mutex<(i64, u32)>,
    store: Mutex<Store>,
    /// Life of an ID token.
    id_seconds: Mutex<i64>,
}

impl Omneo {
    /// Listens on a free port of 127.0.0.1, until [`stop`](Omneo::stop) or the end of the runtime.
    pub async fn start(options: OmneoOptions) -> std::io::Result<Omneo> {
        let outbox = Outbox::start(options.delivery, options.webhook_url.clone(), options.seed);
        let (core, service) = Self::made(&options, outbox);
        Ok(Omneo { core, server: Server::start(service, options.clock).await? })
    }

    /// Without a socket or a task: asked by [`ask`](Omneo::ask), its webhooks taken from the outbox. For simulations.
    pub fn unplugged(options: OmneoOptions) -> Omneo {
        let outbox = Outbox::unplugged(Delivery::Manual, None, options.seed);
        let (core, service) = Self::made(&options, outbox);
        Omneo { core, server: Server::unplugged(service, options.clock) }
    }

    fn made(options: &OmneoOptions, outbox: Outbox) -> (Arc<Core>, Service) {
        let mut store = Store::new(options.seed, options.promo_default, options.scopes.clone());
        store.told_secret = options.tells_secret.then(|| options.webhook_secret.clone());
        store.page_max = options.page_max;
        let core = Arc::new(Core {
            tenant: options.tenant.clone(),
            token: Mutex::new(options.token.clone()),
            secret: options.webhook_secret.clone(),
            clock: options.clock.clone(),
            outbox,
            suppress_own: options.suppress_own,
            per_minute: options.per_minute,
            minute: Mutex::new((0, 0)),
            store: Mutex::new(store),
            id_seconds: Mutex::new(id::SECONDS),
        });
        let serving = Arc::clone(&core);
        let service = Service {
            name: |call| {
                let path = below(&call.path).unwrap_or(&call.path).to_owned();
                (path.clone(), path)
            },
            execute: Box::new(move |call| serving.answer(call)),
            throttled: Box::new(|| busy(1)),
            unauthorized,
        };
        (core, service)
    }

    /// Answers a request without a connection; `target` is the path with the query, `/api/v3` included. `None` where a
    /// connection would have been closed without an answer.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Option<Response> {
        self.server.ask(method, target, headers, body)
    }

    /// `http://127.0.0.1:PORT/api/v3`.
    pub fn url(&self) -> String {
        format!("http://{}{API}", self.server.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn tenant(&self) -> &str {
        &self.core.tenant
    }

    /// Ends the server, its connections and the delivery of webhooks; the state stays readable.
    pub fn stop(&self) {
        self.server.stop();
        self.core.outbox.stop();
    }

    pub fn set_webhook_url(&self, url: impl Into<String>) {
        self.core.outbox.set_url(url.into());
    }

    /// How long ID tokens live that are given from now on.
    pub fn set_id_seconds(&self, seconds: i64) {
        *lock(&self.core.id_seconds) = seconds;
    }

    /// From now on other tokens are refused.
    pub fn set_token(&self, token: impl Into<String>) {
        *lock(&self.core.token) = token.into();
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
    /// One edit or request at the present time; the webhooks it caused go to the outbox in one piece, if they are told at all.
    fn with<T>(&self, told: bool, act: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = lock(&self.store);
        store.now_ms = self.clock.now_ms();
        let done = act(&mut store);
        for (name, body) in std::mem::take(&mut store.events).into_iter().filter(|_| told) {
            let body = body.to_string().into_bytes();
            let signature = sign_omneo(&self.secret, &body);
            let headers =
                [("content-type", "application/json"), ("x-omneo-event", &name), ("x-omneo-hmac-sha256", &signature)];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            self.outbox.emit(&name, headers, body, None);
        }
        done
    }

    fn answer(&self, call: &Call) -> Answer {
        if let Some(path) = id::below(&call.path) {
            return id::answer(self, call, path);
        }
        let Some(path) = below(&call.path) else {
            return Answer::new(404, json!({ "message": "Not Found" }));
        };
        if call.header("authorization") != format!("Bearer {}", lock(&self.token)) {
            return unauthorized();
        }
        let allowance = match self.allowance() {
            Ok(allowance) => allowance,
            Err(seconds) => return busy(seconds),
        };
        let answer = self.with(!self.suppress_own, |store| routes::route(store, call, path));
        match allowance {
            Some((limit, left)) => answer.with("x-ratelimit-limit", limit).with("x-ratelimit-remaining", left),
            None => answer,
        }
    }

    /// Counts one request: the limit and what is left of it, or the seconds until there is more.
    fn allowance(&self) -> Result<Option<(u32, u32)>, i64> {
        let Some(limit) = self.per_minute else { return Ok(None) };
        let now_ms = self.clock.now_ms();
        let mut minute = lock(&self.minute);
        if minute.0 != now_ms / MINUTE_MS {
            *minute = (now_ms / MINUTE_MS, 0);
        }
        if minute.1 >= limit {
            return Err((MINUTE_MS - now_ms % MINUTE_MS).div_euclid(1000).max(1));
        }
        minute.1 += 1;
        Ok(Some((limit, limit - minute.1)))
    }
}

/// The path below `/api/v3`, with its slash.
fn below(path: &str) -> Option<&str> {
    path.strip_prefix(API).filter(|rest| rest.starts_with('/'))
}

fn unauthorized() -> Answer {
    Answer::new(401, json!({ "message": "Unauthenticated." }))
}

/// As Laravel's throttle says it; Omneo documents no numbers.
fn busy(seconds: i64) -> Answer {
    Answer::new(429, json!({ "message": "Too Many Attempts." })).with("retry-after", seconds)
}
