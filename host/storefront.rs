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
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use crate::client::Client;
use crate::clock::{self, Steady};
use crate::config::{App, Tenant, proxy_parts};
use crate::credentials::Credentials;
use crate::journal::{Direction, Journal, Mode, Standing, Terms};
use crate::metrics::Metrics;
use crate::model::{Shop, Tick, Webhook};
use crate::tenants::Tenants;
use crate::verify::proxy;
use crate::verify::session;

mod ask;
mod kept;
mod refused;
mod room;
mod table;
mod token;
mod whose;

pub use ask::CUSTOMER as CUSTOMER_QUERY;
use ask::{Ask, Trouble};
use kept::{Basis, Kept, Said, Spot};
use refused::Refused;
use room::{Room, Seat};
use table::{NotNow, Table};
use token::IdToken;
use whose::{Linked, Unproven};

/// How long a shopper waits for an answer, whatever the other systems do.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long one token may wait for its turn to be asked for, and how long the other systems may take together for it.
const TURN_MAX: Duration = Duration::from_secs(2);
const ASK_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whose profile it is, if that changes while the other systems are asked.
const LOOKS: usize = 2;
/// Reads of the journal at a time.
const READS_AT_ONCE: usize = 8;
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
    /// The connections of the listener that this is served by, webhooks and all.
    pub connections: usize,
}

struct Storefront {
    parts: Parts,
    memory: Mutex<Table<Place>>,
    room: Room,
    reading: Arc<Semaphore>,
    /// What rates and waits go by.
    clock: Steady,
}

type Place = Arc<Spot>;

/// Somebody whom Shopify has vouched for. Their request has a seat for as long as anything is done for it.
#[derive(Clone)]
struct Who {
    client_id: String,
    shop: Shop,
    tenant: String,
    customer: Option<u64>,
    seat: Arc<Seat>,
}

/// How somebody stands now.
struct Stand {
    tenant: Arc<Tenant>,
    /// `None`: nobody is logged in.
    linked: Option<Linked>,
    revision: i64,
}

/// Which way somebody comes.
#[derive(Clone, Copy)]
enum Door {
    Proxy,
    Extension,
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
    let (room, reading) = (Room::new(parts.connections), Arc::new(Semaphore::new(READS_AT_ONCE)));
    let storefront = Arc::new(Storefront { parts, memory, room, reading, clock });
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
        let is_path = |path: &str| proxy_parts(path).is_some();
        let visitor = proxy::checked(&raw, is_path, app.secrets(), clock::now() / 1_000);
        let visitor = visitor.map_err(Refused::Query)?;
        storefront.answer(&app, visitor.shop, visitor.customer).await
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
        storefront.answer(&app, session.shop, session.customer).await
    };
    let answered = asked.await;
    storefront.seen(Door::Extension, answered)
}

impl Storefront {
    fn app(&self, name: &str) -> Result<Arc<App>, Refused> {
        self.parts.credentials.app(name).ok_or(Refused::UnknownApp)
    }

    /// The token for somebody whom Shopify has vouched for. Nothing is waited for before they are admitted and have a seat.
    async fn answer(self: &Arc<Self>, app: &App, shop: Shop, customer: Option<u64>) -> Result<Response, Refused> {
        let tenant = self.tenant(&app.client_id, &shop)?;
        let place = self.table(|table, now| table.admit(&tenant.name, customer, now)).map_err(Refused::TooMany)?;
        let seat = Arc::new(self.room.enter(&tenant.name).ok_or(Refused::Busy)?);
        let who = Who { client_id: app.client_id.clone(), shop, tenant: tenant.name.clone(), customer, seat };
        let given = timeout(ANSWER_MAX, self.given(&who, &place)).await.unwrap_or(Err(Refused::Late))?;
        Ok(answer_with(&tenant.omneo.url, &given))
    }

    /// The tenant whose shop it is, if the shop has this app.
    fn tenant(&self, client_id: &str, shop: &Shop) -> Result<Arc<Tenant>, Refused> {
        let is_in = |tenant: &Arc<Tenant>| tenant.shopify.app().is_some_and(|own| own.client_id == client_id);
        let tenant = self.parts.tenants.of_shop(shop.domain()).filter(is_in).ok_or(Refused::NoShop)?;
        match () {
            () if tenant.is_closed() => Err(Refused::Closed),
            () if !tenant.has_omneo() => Err(Refused::NoShop),
            () => Ok(tenant),
        }
    }

    async fn given(self: &Arc<Self>, who: &Who, place: &Place) -> Result<Given, Refused> {
        for _ in 0..LOOKS {
            let stand = self.stand(who).await?;
            let has_none = match &stand.linked {
                Some(Linked::Profiles(_)) => match self.told(who, &stand, place).await? {
                    None => continue,
                    Some(Ok(token)) => return Ok(Given { token, is_anon: false }),
                    Some(Err(unproven)) => unproven == Unproven::NoProfile,
                },
                Some(Linked::Nobody) => true,
                Some(Linked::TooMany) | None => false,
            };
            if let Some(customer) = who.customer.filter(|_| has_none) {
                self.resync(who, &stand.tenant, customer);
            }
            return self.nobodys(who).await;
        }
        Err(Refused::Changed)
    }

    async fn nobodys(self: &Arc<Self>, who: &Who) -> Result<Given, Refused> {
        let who = Who { customer: None, ..who.clone() };
        let place = self.table(|table, now| table.stranger(&who.tenant, now));
        for _ in 0..LOOKS {
            let stand = self.stand(&who).await?;
            if let Some(said) = self.told(&who, &stand, &place).await? {
                // Nobody's token is asked for without a question that could be unproven.
                return said.map(|token| Given { token, is_anon: true }).map_err(|_| Refused::Host);
            }
        }
        Err(Refused::Changed)
    }

    /// How somebody stands now: whose tenant the shop is, and which profiles are theirs by the journal.
    async fn stand(&self, who: &Who) -> Result<Stand, Refused> {
        let tenant = self.tenant(&who.client_id, &who.shop)?;
        // The place for what is said is that of the tenant before.
        if tenant.name != who.tenant {
            return Err(Refused::Changed);
        }
        let uninstalled = self.parts.credentials.is_uninstalled(&tenant).await;
        if uninstalled.map_err(|refused| host_error(&tenant, &anyhow::anyhow!("{refused}")))? {
            return Err(Refused::NoShop);
        }
        let Standing { names, revision, is_other_shop, is_uninstalled } = self.standing(&tenant, who.customer).await?;
        if is_other_shop || is_uninstalled {
            return Err(Refused::NoShop);
        }
        Ok(Stand { tenant, linked: who.customer.map(|customer| whose::linked(customer, &names)), revision })
    }

    async fn standing(&self, tenant: &Tenant, customer: Option<u64>) -> Result<Standing, Refused> {
        // It is never closed. The turn ends with the read, also if nobody waits for the read any more.
        let turn = self.reading.clone().acquire_owned().await;
        let (journal, name) = (self.parts.journal.clone(), tenant.name.clone());
        let of = customer.map(whose::name_of);
        let read = spawn_blocking(move || {
            let _turn = turn;
            journal.read(|reader| reader.standing(&name, of.as_deref()))
        });
        read.await.map_err(anyhow::Error::from).flatten().map_err(|error| host_error(tenant, &error))
    }

    /// What is in memory, if it is good, or else what the other systems say now. `None`: what it would be said by is another by now.
    async fn told(
        self: &Arc<Self>,
        who: &Who,
        stand: &Stand,
        place: &Place,
    ) -> Result<Option<Result<IdToken, Unproven>>, Refused> {
        let (basis, since) = (stand.basis(), self.clock.now());
        if let Some(good) = place.good(&basis, since) {
            return read_said(good).map(Some);
        }
        let turn = place.turn.clone().lock_owned().await;
        // Others may have asked meanwhile, and whatever this stands on may have changed.
        if self.stand(who).await?.basis() != basis {
            return Ok(None);
        }
        if let Some(good) = place.good_after(&basis, since, self.clock.now()) {
            return read_said(good).map(Some);
        }
        let targets: &[&str] = if basis.link.is_some() { &["shopify", "omneo"] } else { &["omneo"] };
        self.table(|table, now| table.ask(&who.tenant, targets, now)).map_err(|not_now| match not_now {
            NotNow::TooMany(too_many) => Refused::TooMany(too_many),
            NotNow::Spared(target, wait_ms) => Refused::Failed(target, wait_ms),
        })?;
        // A task of its own: what was paid for is kept, also if whoever wanted it has gone.
        let asks = self.clone().asks(who.clone(), stand.tenant.clone(), basis.clone(), place.clone(), turn);
        let said = tokio::spawn(asks).await.map_err(|_| Refused::Host)?;
        // Seconds may have passed.
        if self.stand(who).await?.basis() != basis {
            return Ok(None);
        }
        read_said(said).map(Some)
    }

    /// Asks the other systems, and keeps what they say.
    async fn asks(
        self: Arc<Self>,
        who: Who,
        tenant: Arc<Tenant>,
        basis: Basis,
        place: Place,
        _turn: OwnedMutexGuard<()>,
    ) -> (Said, u64) {
        let Ok(_asking) = timeout(TURN_MAX, self.room.turn(&who.seat)).await else {
            self.log(&tenant, "busy", "host", "this shop, or the host, asks for as many at a time as may be");
            return self.keep(&place, basis, Said::Busy, 0);
        };
        let began = self.clock.now();
        let said = self.asked(&tenant, who.customer.zip(basis.link.as_ref().map(|(profiles, _)| profiles))).await;
        self.keep(&place, basis, said, self.clock.now().since(began))
    }

    fn keep(&self, place: &Place, basis: Basis, said: Said, took_ms: u64) -> (Said, u64) {
        self.parts.journal.metrics().storefront_asked(outcome(&said));
        let now = self.clock.now();
        let kept = Kept::new(basis, said.clone(), took_ms, now, clock::now());
        let wait_ms = kept.until.since(now);
        place.keep(kept);
        (said, wait_ms)
    }

    async fn asked(&self, tenant: &Tenant, whose: Option<(u64, &Vec<String>)>) -> Said {
        let Parts { client, credentials, .. } = &self.parts;
        let ask = Ask { client, credentials, tenant };
        let asked = timeout(ASK_MAX, async {
            match whose {
                Some((customer, profiles)) => ask.theirs(customer, profiles).await,
                None => ask.nobodys().await.map(Ok),
            }
        });
        let late = || Trouble { target: "either system", why: "no answer in time".into(), after_ms: None };
        match asked.await.unwrap_or_else(|_| Err(late())) {
            Ok(Ok(token)) => Said::Token(token),
            Ok(Err(unproven)) => {
                if unproven == Unproven::Denied {
                    self.log(tenant, "denied", "peer", NOT_APPROVED);
                }
                Said::Unproven(unproven)
            }
            Err(trouble) => {
                if let Some(wait_ms) = trouble.after_ms {
                    self.table(|table, now| table.spare(&tenant.name, trouble.target, wait_ms, now));
                }
                self.log(tenant, "failed", "peer", &format!("{}: {}", trouble.target, trouble.why));
                Said::Failed(trouble)
            }
        }
    }

    /// Tells the log why shoppers get no token, or none of their own: now and then, since it may happen very often.
    fn log(&self, tenant: &Tenant, what: &'static str, blame: &str, why: &str) {
        if let Some(more) = self.table(|table, now| table.tells(&tenant.name, what, now)) {
            let tenant = &tenant.name;
            tracing::warn!(tenant, blame, more, "no token for a storefront: {why}; `more` such were not logged");
        }
    }

    /// Has the rules look at a customer who has no profile: once an hour, and within the tenant's room. Nobody waits for that.
    fn resync(self: &Arc<Self>, who: &Who, tenant: &Arc<Tenant>, customer: u64) {
        // What is held or dropped of Shopify's is not let in by this door.
        let is_stopped = |direction: &Direction| direction.source == "shopify" && direction.mode != Mode::Run;
        if self.parts.journal.directions(&tenant.name).iter().any(is_stopped)
            || !self.table(|table, now| table.resync(&tenant.name, customer, now))
        {
            return;
        }
        let (storefront, tenant, seat) = (self.clone(), tenant.clone(), who.seat.clone());
        tokio::spawn(async move {
            let _seat = seat;
            let terms = Terms { skipped: None, bytes_max: Some(tenant.limits.journal_bytes_max) };
            let taken = storefront.parts.journal.take_in(resync(&tenant, customer, clock::now()), terms).await;
            let why = match taken {
                Ok(Some(_)) => return,
                Ok(None) => "a customer without a profile is not looked at: the tenant has no room".to_owned(),
                Err(error) => format!("a customer without a profile is not looked at: {error:#}"),
            };
            storefront.table(|table, now| table.resync_failed(&tenant.name, customer, now));
            storefront.log(&tenant, "not looked at", "host", &why);
        });
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

const NOT_APPROVED: &str = "shopify: the app may not read customers. Ask for protected customer data (name, e-mail) in the Dev \
    Dashboard, under API access, and for the scope `read_customers`";

impl Stand {
    fn basis(&self) -> Basis {
        let link = match &self.linked {
            Some(Linked::Profiles(profiles)) => Some((profiles.clone(), self.revision)),
            _ => None,
        };
        Basis { tenant: Arc::downgrade(&self.tenant), link }
    }
}

/// What was said, and how long it counts if it is a failure.
fn read_said((said, wait_ms): (Said, u64)) -> Result<Result<IdToken, Unproven>, Refused> {
    match said {
        Said::Token(token) => Ok(Ok(token)),
        Said::Unproven(unproven) => Ok(Err(unproven)),
        Said::Failed(trouble) => Err(Refused::Failed(trouble.target, wait_ms)),
        Said::Busy => Err(Refused::Busy),
    }
}

fn host_error(tenant: &Tenant, error: &anyhow::Error) -> Refused {
    tracing::error!(tenant = tenant.name, blame = "host", "a storefront: {error:#}");
    Refused::Host
}

fn outcome(said: &Said) -> &'static str {
    match said {
        Said::Token(_) => "token",
        Said::Failed(_) => "failed",
        Said::Busy => "busy",
        Said::Unproven(Unproven::NoCustomer) => "no customer",
        Said::Unproven(Unproven::NoProfile) => "no profile",
        Said::Unproven(Unproven::Denied) => "not approved",
        Said::Unproven(Unproven::NoEmail) => "no e-mail",
        Said::Unproven(Unproven::Unverified) => "unverified",
        Said::Unproven(Unproven::ClassicAccounts) => "classic accounts",
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

fn answer_with(omneo_url: &str, given: &Given) -> Response {
    let Given { token, is_anon } = given;
    let body = Json(json!({ "token": token.text, "expiry": token.expires_s }));
    let is_anon = HeaderValue::from_static(if *is_anon { "true" } else { "false" });
    let mut answer = ([(IS_ANON, is_anon)], body).into_response();
    if let Some(name) = omneo_name(omneo_url).and_then(|name| HeaderValue::try_from(name).ok()) {
        answer.headers_mut().insert(OMNEO_TENANT, name);
    }
    answer
}

/// What Omneo calls the tenant, if its address says so. Widgets make an address of that name and send the token there, so no other name
/// is given.
fn omneo_name(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "https" && url.port().is_none())?;
    let name = url.host_str()?.strip_prefix("api.")?.strip_suffix(".getomneo.com")?;
    (!name.is_empty() && !name.contains('.')).then(|| name.to_owned())
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
    fn a_widget_is_told_omneos_own_name_of_a_tenant_or_none() {
        for (url, due) in [
            ("https://api.red-shoes.getomneo.com/api/v3", Some("red-shoes")),
            ("https://API.Red-Shoes.getomneo.com", Some("red-shoes")),
            ("https://api.red.shoes.getomneo.com/api/v3", None),
            ("https://api..getomneo.com/api/v3", None),
            ("https://api.getomneo.com/api/v3", None),
            ("https://api.red-shoes.getomneo.com:8443/api/v3", None),
            ("http://api.red-shoes.getomneo.com/api/v3", None),
            ("https://api.red-shoes.getomneo.com.example.org/api/v3", None),
            ("https://api.red-shoes.example.org/.getomneo.com", None),
            ("https://omneo.acme.example/api/v3", None),
            ("http://127.0.0.1:9/api/v3", None),
            ("", None),
        ] {
            let given = Given { token: IdToken { text: "t".into(), expires_s: 9 }, is_anon: false };
            let answer = answer_with(url, &given);
            let name = answer.headers().get(OMNEO_TENANT).map(|name| name.to_str().unwrap());
            assert_eq!(name, due, "{url}");
            assert_eq!(answer.headers()[IS_ANON], "false", "{url}");
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
