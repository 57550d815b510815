//! Storefront authentication: a shopper's widgets get a token for Omneo, for the shopper's own profile and nobody else's. They come by
//! a shop's app proxy, or from an extension at checkout and in customer accounts.
//!
//! Knows who asks, whose profile that is and how often may be asked. Neither rules nor lanes have a part in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use crate::client::Client;
use crate::clock::{self, Steady};
use crate::config::{App, Tenant};
use crate::credentials::Credentials;
use crate::journal::{Direction, Journal, Mode, Standing, Terms};
use crate::metrics::Metrics;
use crate::model::{Shop, Tick, Webhook};
use crate::tenants::Tenants;
use crate::verify::proxy::{self, ProxyRefused};
use crate::verify::session;

mod ask;
mod table;
mod token;
mod whose;

pub use ask::CUSTOMER as CUSTOMER_QUERY;
use ask::{Ask, Trouble};
use table::{Table, TooMany};
use token::IdToken;
use whose::{Linked, Unproven};

/// How long a shopper waits for an answer, whatever the other systems do.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long these may take together for one token.
const ASK_MAX: Duration = Duration::from_secs(6);
/// Tokens that are asked for at a time, of all tenants.
const ASKS_AT_ONCE: usize = 64;
/// How long it counts that a customer could not be shown to be a profile's.
const UNPROVEN_MS: u64 = 30_000;
/// How long nobody asks again for a token that was asked for in vain, and for how long at most if a system wants more.
const FAILED_MS: u64 = 1_000;
const FAILED_MS_MAX: u64 = 60_000;
/// A customer without a profile is one event in so many milliseconds, whatever else forgets that there was one.
const RESYNC_EVERY_MS: i64 = 3_600_000;
/// How long a browser may remember what it is allowed to send, in seconds.
const PREFLIGHT_S: &str = "7200";

const OMNEO_TENANT: HeaderName = HeaderName::from_static("x-omneo-tenant");
const IS_ANON: HeaderName = HeaderName::from_static("x-omneo-is-anon");

pub struct Parts {
    pub journal: Journal,
    pub tenants: Tenants,
    pub credentials: Credentials,
    pub client: Client,
}

struct Storefront {
    parts: Parts,
    memory: Mutex<Table<Place>>,
    asking: Semaphore,
    /// What rates and waits go by.
    clock: Steady,
}

/// Where what was said of one customer is kept. Whoever has it asks; the others wait for that.
type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// What was said, and until when it counts.
struct Kept {
    basis: Basis,
    said: Said,
    until: Tick,
}

/// What it was said by: if any of this is another by now, it is asked anew. So a link that was changed, merged or taken away, a
/// redaction and other credentials end what is in memory without anybody having to think of it.
#[derive(Clone)]
struct Basis {
    tenant: Arc<Tenant>,
    /// The profiles, and the revision of what is remembered of the person. `None`: it is about nobody.
    link: Option<(Vec<String>, i64)>,
}

#[derive(Clone)]
enum Said {
    Token(IdToken),
    Unproven(Unproven),
    Failed(Trouble),
}

/// Which way somebody comes.
#[derive(Clone, Copy)]
enum Door {
    Proxy,
    Extension,
}

/// Why there is no token, as a shopper's browser may know it.
enum Refused {
    /// No app of this host is called so.
    UnknownApp,
    /// The query is not as the app proxy makes it.
    Query(ProxyRefused),
    Session(String),
    /// The shop is not connected here by this app, or not any more.
    NoShop,
    TooMany(TooMany),
    /// A system did not answer as it should; the log says which.
    Failed(Trouble),
    Late,
    /// The host's own fault.
    Host,
    NoAddress,
    NoMethod,
}

/// A token, and whether it is nobody's.
struct Given {
    token: IdToken,
    is_anon: bool,
}

/// The addresses of the app proxy and of extensions.
pub fn router(parts: Parts) -> Router {
    let clock = Steady::start();
    let memory = Mutex::new(Table::new(clock.now()));
    let storefront = Arc::new(Storefront { parts, memory, asking: Semaphore::new(ASKS_AT_ONCE), clock });
    let no_address = || any(async || Refused::NoAddress);
    let proxy = Router::new()
        .route("/storefront/{app}", get(proxied).fallback(async || Refused::NoMethod))
        .route("/storefront/{app}/", get(proxied).fallback(async || Refused::NoMethod))
        .route("/storefront/{app}/{*rest}", no_address())
        .route("/storefront", no_address())
        .route("/storefront/", no_address());
    let extension = Router::new()
        .route(
            "/storefront/{app}/extension",
            post(extension).options(async || StatusCode::NO_CONTENT).fallback(async || Refused::NoMethod),
        )
        .layer(middleware::map_response(for_any_origin));
    proxy.merge(extension).layer(middleware::map_response(not_stored)).with_state(storefront)
}

/// The app proxy passes on what a visitor's browser asks for, with the customer's number, and signs it.
async fn proxied(
    State(storefront): State<Arc<Storefront>>,
    Path(app): Path<String>,
    RawQuery(raw): RawQuery,
) -> Response {
    let asked = async {
        let app = storefront.app(&app)?;
        let raw = raw.unwrap_or_default();
        let visitor = proxy::checked(&raw, &app.proxy, app.secrets(), clock::now() / 1_000);
        let visitor = visitor.map_err(Refused::Query)?;
        storefront.answer(&app, &visitor.shop, visitor.customer).await
    };
    let answered = asked.await;
    storefront.seen(Door::Proxy, answered)
}

/// An extension sends the session token that Shopify has given it.
async fn extension(State(storefront): State<Arc<Storefront>>, Path(app): Path<String>, headers: HeaderMap) -> Response {
    let asked = async {
        let app = storefront.app(&app)?;
        let token = bearer(&headers).ok_or_else(|| Refused::Session("there is no session token".into()))?;
        let session = session::extension(token, &app.client_id, app.secrets(), clock::now() / 1_000);
        let session = session.map_err(|refused| Refused::Session(refused.to_string()))?;
        storefront.answer(&app, &session.shop, session.customer).await
    };
    let answered = asked.await;
    storefront.seen(Door::Extension, answered)
}

impl Storefront {
    fn app(&self, name: &str) -> Result<Arc<App>, Refused> {
        self.parts.credentials.app(name).ok_or(Refused::UnknownApp)
    }

    /// The token for somebody whom Shopify has vouched for.
    async fn answer(&self, app: &App, shop: &Shop, customer: Option<u64>) -> Result<Response, Refused> {
        let tenant = self.tenant(app, shop).await?;
        let place = self.table(|table, now| table.admit(&tenant.name, customer, now)).map_err(Refused::TooMany)?;
        let given = timeout(ANSWER_MAX, self.given(&tenant, customer, &place)).await;
        let Given { token, is_anon } = given.unwrap_or(Err(Refused::Late))?;
        let name = HeaderValue::try_from(omneo_name(&tenant)).map_err(|_| Refused::Host)?;
        let is_anon = HeaderValue::from_static(if is_anon { "true" } else { "false" });
        let body = Json(json!({ "token": token.text, "expiry": token.expires_s }));
        Ok(([(OMNEO_TENANT, name), (IS_ANON, is_anon)], body).into_response())
    }

    /// The tenant whose shop it is, if the shop has this app.
    async fn tenant(&self, app: &App, shop: &Shop) -> Result<Arc<Tenant>, Refused> {
        let Parts { tenants, credentials, .. } = &self.parts;
        let is_in = |tenant: &Arc<Tenant>| tenant.shopify.app().is_some_and(|own| own.client_id == app.client_id);
        let tenant = tenants.of_shop(shop.domain()).filter(is_in).ok_or(Refused::NoShop)?;
        if !tenant.has_omneo() || tenant.is_closed() || credentials.is_uninstalled(&tenant).await {
            return Err(Refused::NoShop);
        }
        Ok(tenant)
    }

    async fn given(&self, tenant: &Arc<Tenant>, customer: Option<u64>, place: &Place) -> Result<Given, Refused> {
        let standing = self.standing(tenant, customer).await?;
        if standing.is_other_shop {
            return Err(Refused::NoShop);
        }
        let linked = customer.map(|customer| (customer, whose::linked(customer, &standing.names)));
        let has_none = match &linked {
            Some((customer, Linked::Profiles(profiles))) => {
                let basis = Basis { tenant: tenant.clone(), link: Some((profiles.clone(), standing.revision)) };
                match self.said(place, basis, Some((*customer, profiles))).await? {
                    Ok(token) => return Ok(Given { token, is_anon: false }),
                    Err(unproven) => unproven == Unproven::NoProfile,
                }
            }
            Some((_, Linked::Nobody)) => true,
            Some((_, Linked::TooMany)) | None => false,
        };
        if let Some(customer) = customer.filter(|_| has_none) {
            self.resync(tenant, customer).await;
        }
        let place = self.table(|table, now| table.stranger(&tenant.name, now));
        let said = self.said(&place, Basis { tenant: tenant.clone(), link: None }, None).await?;
        // Nobody's token is asked for without a question that could be unproven.
        said.map(|token| Given { token, is_anon: true }).map_err(|_| Refused::Host)
    }

    async fn standing(&self, tenant: &Tenant, customer: Option<u64>) -> Result<Standing, Refused> {
        let (journal, name) = (self.parts.journal.clone(), tenant.name.clone());
        let of = customer.map(whose::name_of);
        let read = spawn_blocking(move || journal.read(|reader| reader.standing(&name, of.as_deref()))).await;
        read.map_err(anyhow::Error::from).flatten().map_err(|error| {
            tracing::error!(tenant = tenant.name, blame = "host", "a storefront: {error:#}");
            Refused::Host
        })
    }

    /// What is in memory, if it is good, or else what the other systems say now.
    async fn said(
        &self,
        place: &Place,
        basis: Basis,
        whose: Option<(u64, &Vec<String>)>,
    ) -> Result<Result<IdToken, Unproven>, Refused> {
        let mut kept = place.lock().await;
        let good = kept.as_ref().filter(|kept| kept.is_good(&basis, self.clock.now())).map(|kept| kept.said.clone());
        let said = match good {
            Some(said) => said,
            None => {
                // Before anything is given up that was good.
                self.table(|table, now| table.ask(&basis.tenant.name, now)).map_err(Refused::TooMany)?;
                let said = self.asked(&basis.tenant, whose).await;
                *kept = Some(Kept { until: self.clock.now().plus(kept_ms(&said)), basis, said: said.clone() });
                said
            }
        };
        match said {
            Said::Token(token) => Ok(Ok(token)),
            Said::Unproven(unproven) => Ok(Err(unproven)),
            Said::Failed(trouble) => Err(Refused::Failed(trouble)),
        }
    }

    async fn asked(&self, tenant: &Tenant, whose: Option<(u64, &Vec<String>)>) -> Said {
        let Parts { client, credentials, journal, .. } = &self.parts;
        let ask = Ask { client, credentials, tenant };
        let asked = timeout(ASK_MAX, async {
            // It is never closed.
            let _turn = self.asking.acquire().await;
            match whose {
                Some((customer, profiles)) => ask.theirs(customer, profiles).await,
                None => ask.nobodys().await.map(Ok),
            }
        });
        let late = || Trouble { target: "either system", why: "no answer in time".into(), after_ms: None };
        let said = match asked.await.unwrap_or_else(|_| Err(late())) {
            Ok(Ok(token)) => Said::Token(token),
            Ok(Err(unproven)) => Said::Unproven(unproven),
            Err(trouble) => {
                tracing::warn!(
                    tenant = tenant.name,
                    blame = "peer",
                    "no token for a storefront: {}: {}",
                    trouble.target,
                    trouble.why
                );
                Said::Failed(trouble)
            }
        };
        journal.metrics().storefront_asked(outcome(&said));
        said
    }

    /// Has the rules look at a customer who has no profile: once an hour, and within the tenant's room.
    async fn resync(&self, tenant: &Tenant, customer: u64) {
        // What is held or dropped of Shopify's is not let in by this door.
        let is_stopped = |direction: &Direction| direction.source == "shopify" && direction.mode != Mode::Run;
        if self.parts.journal.directions(&tenant.name).iter().any(is_stopped)
            || !self.table(|table, now| table.resync(&tenant.name, customer, now))
        {
            return;
        }
        let terms = Terms { skipped: None, bytes_max: Some(tenant.limits.journal_bytes_max) };
        match self.parts.journal.take_in(resync(tenant, customer, clock::now()), terms).await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!(tenant = tenant.name, "no room to have a customer without a profile looked at"),
            Err(error) => tracing::error!(tenant = tenant.name, blame = "host", "a storefront: {error:#}"),
        }
    }

    fn table<U>(&self, act: impl FnOnce(&mut Table<Place>, Tick) -> U) -> U {
        let mut table = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut table, self.clock.now())
    }

    /// Counts an answer.
    fn seen(&self, door: Door, answered: Result<Response, Refused>) -> Response {
        let metrics: &Metrics = self.parts.journal.metrics();
        let door = match door {
            Door::Proxy => "proxy",
            Door::Extension => "extension",
        };
        match answered {
            Ok(answer) => {
                let is_anon = answer.headers().get(IS_ANON).is_some_and(|value| value == "true");
                metrics.storefront(door, if is_anon { "anonymous" } else { "customer" });
                answer
            }
            Err(refused) => {
                metrics.storefront(door, refused.code());
                refused.into_response()
            }
        }
    }
}

impl Kept {
    fn is_good(&self, basis: &Basis, now: Tick) -> bool {
        // The same tenant with anything changed of it is another one.
        Arc::ptr_eq(&self.basis.tenant, &basis.tenant) && self.basis.link == basis.link && now < self.until
    }
}

/// How long it counts.
fn kept_ms(said: &Said) -> u64 {
    match said {
        Said::Token(token) => token::kept_ms(token, clock::now()),
        Said::Unproven(_) => UNPROVEN_MS,
        Said::Failed(trouble) => trouble.after_ms.unwrap_or_default().clamp(FAILED_MS, FAILED_MS_MAX),
    }
}

fn outcome(said: &Said) -> &'static str {
    match said {
        Said::Token(_) => "token",
        Said::Failed(_) => "failed",
        Said::Unproven(Unproven::NoCustomer) => "no customer",
        Said::Unproven(Unproven::NoProfile) => "no profile",
        Said::Unproven(Unproven::NoEmail) => "no e-mail",
        Said::Unproven(Unproven::Unverified) => "unverified",
        Said::Unproven(Unproven::OtherEmail) => "other e-mail",
        Said::Unproven(Unproven::Several) => "several profiles",
    }
}

/// An event that has the rules look at a customer. One id within an hour, so that it is there once.
fn resync(tenant: &Tenant, customer: u64, now: i64) -> Webhook {
    let hour = now.div_euclid(RESYNC_EVERY_MS);
    Webhook {
        tenant: tenant.name.clone(),
        source: "tandem".into(),
        topic: "resync".into(),
        delivery_id: Some(format!("storefront/{customer}/{hour}")),
        occurred_at: clock::rfc3339(now),
        received_at: now,
        api_version: String::new(),
        payload: json!({ "names": [whose::name_of(customer)] }).to_string(),
    }
}

/// What Omneo calls the tenant: widgets make their address of it.
fn omneo_name(tenant: &Tenant) -> String {
    let url = Url::parse(&tenant.omneo.url).ok();
    let name = url.as_ref().and_then(Url::host_str).and_then(|host| host.strip_prefix("api.")).and_then(|rest| {
        let name = rest.strip_suffix(".getomneo.com")?;
        (!name.contains('.')).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| tenant.name.clone())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// An answer is for one person, whatever it says.
async fn not_stored(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An extension runs at an origin of Shopify's, which is not the same for all. No cookie counts, so that any origin may ask.
async fn for_any_origin(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "x-omneo-tenant, x-omneo-is-anon, retry-after"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown-app",
            Self::Query(_) => "query",
            Self::Session(_) => "session",
            Self::NoShop => "no-shop",
            Self::TooMany(_) => "too-many",
            Self::Failed(_) => "failed",
            Self::Late => "late",
            Self::Host => "host",
            Self::NoAddress => "no-address",
            Self::NoMethod => "no-method",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Query(ProxyRefused::Signature | ProxyRefused::Timestamp(_)) | Self::Session(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::UnknownApp | Self::NoShop | Self::NoAddress => StatusCode::NOT_FOUND,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) | Self::Host => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Says what is wrong, and repeats nothing of what was sent.
    fn said(&self) -> String {
        match self {
            Self::UnknownApp => "no app is called so here".into(),
            Self::Query(refused) => refused.to_string(),
            Self::Session(refused) => refused.clone(),
            Self::NoShop => "the shop is not connected here by this app".into(),
            Self::TooMany(_) => "too many requests; ask again later".into(),
            Self::Failed(Trouble { target, .. }) => format!("{target} does not answer as it should just now"),
            Self::Late => "this took too long".into(),
            Self::Host => "this does not work just now".into(),
            Self::NoAddress => "there is nothing at this address".into(),
            Self::NoMethod => "this address is asked in another way: GET by the app proxy, POST by an extension".into(),
        }
    }

    fn wait_ms(&self) -> Option<u64> {
        match self {
            Self::TooMany(TooMany { wait_ms }) => Some(*wait_ms),
            Self::Failed(trouble) => Some(kept_ms(&Said::Failed(trouble.clone()))),
            Self::Late | Self::Host => Some(FAILED_MS),
            _ => None,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code(), "message": self.said() }));
        let mut answer = (self.status(), body).into_response();
        if let Some(ms) = self.wait_ms() {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Peer, Quota, RulesFrom};

    fn tenant(url: &str) -> Arc<Tenant> {
        Arc::new(Tenant {
            name: "acme".into(),
            shop: "acme.myshopify.com".into(),
            rules: RulesFrom::Deployed,
            shopify: Peer::with_token("https://acme.myshopify.com", "t"),
            omneo: Peer::with_token(url, "t"),
            limits: Quota::default(),
        })
    }

    #[test]
    fn omneo_has_its_own_name_for_a_tenant() {
        for (url, due) in [
            ("https://api.red-shoes.getomneo.com/api/v3", "red-shoes"),
            ("https://api.red.shoes.getomneo.com/api/v3", "acme"),
            ("https://omneo.acme.example/api/v3", "acme"),
            ("http://127.0.0.1:9/api/v3", "acme"),
            ("", "acme"),
        ] {
            assert_eq!(omneo_name(&tenant(url)), due, "{url}");
        }
    }

    /// What drops a token that is in memory.
    #[test]
    fn a_token_counts_while_nothing_is_different() {
        let acme = tenant("https://o");
        let link = |profile: &str, revision: i64| Some((vec![profile.to_owned()], revision));
        let basis = |tenant: &Arc<Tenant>, link| Basis { tenant: tenant.clone(), link };
        let said = Said::Token(IdToken { text: "t".into(), expires_s: 9 });
        let now = Steady::start().now();
        let kept = Kept { basis: basis(&acme, link("p", 3)), said, until: now.plus(10) };
        assert!(kept.is_good(&basis(&acme, link("p", 3)), now.plus(9)));
        assert!(!kept.is_good(&basis(&acme, link("p", 3)), now.plus(10)), "its time is over");
        assert!(!kept.is_good(&basis(&acme, link("q", 3)), now), "linked to another profile");
        assert!(!kept.is_good(&basis(&acme, link("p", 4)), now), "something was learned of the person");
        assert!(!kept.is_good(&basis(&acme, None), now));
        assert!(!kept.is_good(&basis(&tenant("https://o"), link("p", 3)), now), "the tenant was changed");
    }

    #[test]
    fn a_failure_counts_for_as_long_as_is_asked_for_within_bounds() {
        let failed = |after_ms| kept_ms(&Said::Failed(Trouble { target: "omneo", why: String::new(), after_ms }));
        for (after_ms, due) in [(None, 1_000), (Some(0), 1_000), (Some(30_000), 30_000), (Some(u64::MAX), 60_000)] {
            assert_eq!(failed(after_ms), due, "{after_ms:?}");
        }
    }

    #[test]
    fn a_customer_without_a_profile_is_one_event_an_hour() {
        let acme = tenant("https://o");
        let id = |now| resync(&acme, 7, now).delivery_id.unwrap();
        assert_eq!(
            (id(0), id(3_599_999), id(3_600_000)),
            ("storefront/7/0".into(), "storefront/7/0".into(), "storefront/7/1".into())
        );
        assert_eq!(resync(&acme, 7, 0).payload, r#"{"names":["shopify/customer/7"]}"#);
    }

    #[test]
    fn a_session_token_comes_once_and_by_its_scheme() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!((of(&["Bearer a.b.c"]), of(&["bearer a.b.c"])), (Some("a.b.c".into()), Some("a.b.c".into())));
        for bad in [&["Basic a"][..], &["a.b.c"], &[""], &[], &["Bearer a", "Bearer b"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
