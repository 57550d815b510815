//! Intake: verifies webhooks and journals them before it answers. Works while rules, lanes and targets do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use http_body_util::LengthLimitError;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tracing::{Instrument as _, Span, field};

use crate::budget::Bucket;
use crate::clock::{self, Steady};
use crate::compliance::{self, Duty};
use crate::config::{App, Quota, Tenant};
use crate::credentials::Credentials;
use crate::journal::{Appended, Journal, Mode, Terms};
use crate::metrics::Metrics;
use crate::model::{self, EventId, Millis, Webhook};
use crate::rules;
use crate::tenants::Tenants;
use crate::verify::{self, Signature};

/// Seconds' worth of webhooks that a tenant may send at once.
const BURST_S: f64 = 10.0;
/// What the law wants done is taken in beyond a tenant's bytes, up to so many more.
const DUTY_BYTES: u64 = 64 << 20;
/// How topics of events begin that the host itself makes of what it has read.
const OWN: [&str; 2] = [rules::TOPIC, rules::MISSING];

pub struct Intake {
    journal: Journal,
    tenants: Tenants,
    credentials: Credentials,
    body_bytes_max: usize,
    /// What each tenant may send now, and the limit that this was made for.
    rates: Mutex<HashMap<String, (u64, Bucket)>>,
    /// What rates go by.
    clock: Steady,
}

/// An answer that is not 200, with a line for whoever reads the sender's log.
struct Refused(StatusCode, String);

/// How an answer of 200 is logged.
#[derive(Clone, Copy)]
struct Said(&'static str);

impl Intake {
    pub fn new(journal: Journal, tenants: Tenants, credentials: Credentials, body_bytes_max: usize) -> Self {
        let (rates, clock) = (Mutex::default(), Steady::start());
        Self { journal, tenants, credentials, body_bytes_max, rates, clock }
    }

    /// The addresses that webhooks are sent to.
    pub fn router(self) -> Router {
        let metrics = self.journal.metrics().clone();
        let seen = axum::middleware::from_fn(move |request, next| seen(metrics.clone(), request, next));
        Router::new()
            .route("/webhooks/shopify", post(shopify))
            .route("/webhooks/shopify/{app}", post(duty_of_app))
            .route("/webhooks/shopify/{app}/{key}", post(of_app))
            .route("/webhooks/omneo/{tenant}", post(omneo))
            .method_not_allowed_fallback(|| async {
                Refused(StatusCode::METHOD_NOT_ALLOWED, "webhooks are POSTed".into())
            })
            .fallback(|| async {
                Refused(StatusCode::NOT_FOUND, "webhooks go to /webhooks/shopify, /webhooks/shopify/{app}, /webhooks/shopify/{app}/{key} or /webhooks/omneo/{tenant}".into())
            })
            .layer(seen)
            .with_state(Arc::new(self))
    }

    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
        let too_large =
            || Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {} bytes", self.body_bytes_max));
        let length = value(headers, "content-length").and_then(|text| text.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.body_bytes_max) {
            return Err(too_large());
        }
        to_bytes(body, self.body_bytes_max).await.map_err(|error| {
            let is_length = std::error::Error::source(&error).is_some_and(|cause| cause.is::<LengthLimitError>());
            let partly = || Refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive whole".into());
            if is_length { too_large() } else { partly() }
        })
    }

    /// Why nothing is to be done about a webhook, if its direction is dropped. What the host does itself is done.
    fn dropped(&self, webhook: &Webhook) -> Option<String> {
        let directions = self.journal.directions(&webhook.tenant);
        let direction = directions.into_iter().find(|direction| direction.source == webhook.source)?;
        if direction.mode != Mode::Drop || compliance::duty(webhook).is_some() {
            return None;
        }
        Some(format!("what comes from {} is dropped, by {}: {}", direction.source, direction.by, direction.why))
    }

    /// Takes one webhook off what a tenant may send; `Err` says in how many seconds to send it again.
    fn admit(&self, tenant: &str, per_second: u64) -> Result<(), u64> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, rate) = (self.clock.now(), per_second as f64);
        let full = || (per_second, Bucket::new(rate * BURST_S, rate, now));
        let known = rates.entry(tenant.to_owned()).or_insert_with(full);
        if known.0 != per_second {
            *known = full();
        }
        known.1.take(1.0, now).map_err(|ms| ms.div_ceil(1_000))
    }

    async fn append(&self, webhook: Webhook, limits: Quota) -> Result<Response, Refused> {
        let tenant = webhook.tenant.clone();
        Span::current().record("tenant", &tenant).record("topic", &webhook.topic);
        let source = if webhook.source == "shopify" { "shopify" } else { "omneo" };
        // What the law wants done is never refused, and may be what makes room.
        let is_duty = compliance::duty(&webhook).is_some();
        if !is_duty && let Err(seconds) = self.admit(&tenant, limits.events_per_second) {
            let said =
                format!("more than {} webhooks a second; send it again in {seconds} s\n", limits.events_per_second);
            let headers = [(header::RETRY_AFTER, seconds.to_string())];
            return Ok((StatusCode::TOO_MANY_REQUESTS, headers, said).into_response());
        }
        // Whoever knows the secret can sign anything as a duty: there is an end to them, too.
        let bytes_max = limits.journal_bytes_max.saturating_add(if is_duty { DUTY_BYTES } else { 0 });
        let terms = Terms { skipped: self.dropped(&webhook), bytes_max: Some(bytes_max) };
        let is_dropped = terms.skipped.is_some();
        match self.journal.take_in(webhook, terms).await {
            Ok(None) => {
                // Not 503, which says that the host is in trouble: this is one tenant, whose operator is to act.
                let said = format!("the {} bytes of this tenant's journal are used up", limits.journal_bytes_max);
                Err(Refused(StatusCode::INSUFFICIENT_STORAGE, said))
            }
            Ok(Some(Appended::Accepted(event))) => Ok(self.accepted(&tenant, source, event, is_dropped, None)),
            Ok(Some(Appended::Differs { event, from })) => {
                Ok(self.accepted(&tenant, source, event, is_dropped, Some(from)))
            }
            Ok(Some(Appended::Duplicate(event))) => {
                Span::current().record("event", event.0);
                Ok((Extension(Said("delivered before")), format!("delivered before, as event {event}\n"))
                    .into_response())
            }
            Err(error) => Err(not_stored(&error)),
        }
    }

    /// `differs_from`: the event that came with the same id and another body.
    fn accepted(
        &self,
        tenant: &str,
        source: &str,
        event: EventId,
        is_dropped: bool,
        differs_from: Option<EventId>,
    ) -> Response {
        self.journal.metrics().accepted(tenant, source);
        if is_dropped {
            self.journal.metrics().ended(tenant, "skipped");
        }
        let said = if is_dropped { "dropped" } else { "accepted" };
        Span::current().record("event", event.0);
        let differs = differs_from.map(|from| {
            tracing::warn!("its webhook id is that of event {from}, whose body or topic is another");
            format!("; its webhook id is that of event {from}, whose body or topic is another")
        });
        (Extension(Said(said)), format!("{said} as event {event}{}\n", differs.unwrap_or_default())).into_response()
    }
}

/// Counts and logs what came of a webhook: never its body, nor what its sender wrote beside the topic.
async fn seen(metrics: Metrics, request: Request, next: Next) -> Response {
    let span = tracing::info_span!("webhook", tenant = field::Empty, topic = field::Empty, event = field::Empty);
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status();
    let _in = span.entered();
    if status.is_success() {
        let said = response.extensions().get::<Said>().map_or("accepted", |said| said.0);
        tracing::info!(took_ms, "{said}");
    } else {
        let cause = cause(status);
        metrics.refused(cause);
        tracing::warn!(took_ms, status = status.as_u16(), "not accepted: {cause}");
    }
    response
}

/// What a status means here: one of [`crate::metrics::REFUSALS`].
pub(crate) fn cause(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "malformed",
        StatusCode::UNAUTHORIZED => "bad signature",
        StatusCode::NOT_FOUND => "unknown address",
        StatusCode::METHOD_NOT_ALLOWED => "not a POST",
        StatusCode::REQUEST_TIMEOUT => "not whole",
        StatusCode::PAYLOAD_TOO_LARGE => "too long",
        StatusCode::TOO_MANY_REQUESTS => "too many",
        StatusCode::INSUFFICIENT_STORAGE => "tenant's journal full",
        _ => "journal",
    }
}

async fn shopify(State(intake): State<Arc<Intake>>, request: Request) -> Result<Response, Refused> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let shop = model::shop(value(&headers, "x-shopify-shop-domain").unwrap_or_default());
    // Of an app only the body is signed, by one secret for all its shops: the shop that a header names says nothing.
    let tenant = intake.tenants.of_shop(&shop).filter(|tenant| tenant.shopify.app().is_none());
    let tenant = tenant.ok_or_else(|| unknown("shop", &shop))?;
    let signature = Signature::of_shopify(value(&headers, "x-shopify-hmac-sha256"))
        .map_err(|refused| unverified(&tenant, refused))?;
    let body = intake.body(&headers, body).await?;
    let received_at = clock::now();
    signature.check(tenant.shopify.secrets_at(received_at), &body).map_err(|refused| unverified(&tenant, refused))?;
    let topic = topic(value(&headers, "x-shopify-topic"))?;
    intake.append(from_shopify(&tenant, &headers, topic, text(&body)?, received_at), tenant.limits).await
}

fn from_shopify(tenant: &Tenant, headers: &HeaderMap, topic: String, payload: String, received_at: Millis) -> Webhook {
    let triggered = value(headers, "x-shopify-triggered-at").filter(|at| clock::parse(at).is_some());
    Webhook {
        tenant: tenant.name.clone(),
        source: "shopify".into(),
        topic,
        delivery_id: delivery_id(headers),
        occurred_at: triggered.map_or_else(|| clock::rfc3339(received_at), str::to_owned),
        received_at,
        api_version: value(headers, "x-shopify-api-version").unwrap_or_default().to_owned(),
        payload,
    }
}

/// What Shopify sends to an app about any of its shops: what the law wants done, and that the app was uninstalled. Whose it is
/// says the body, which is signed.
async fn duty_of_app(
    State(intake): State<Arc<Intake>>,
    Path(app): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let Signed { app, headers, topic, payload, received_at } = intake.signed(&app, request).await?;
    let Some(keys) = keys_of_shop(&topic) else {
        let said = format!("`{topic}` goes to its tenant's own address, which `tandem tenant setup` subscribes with");
        return Err(Refused(StatusCode::NOT_FOUND, said));
    };
    let shop = shop_in(&payload, keys).ok_or_else(|| no_shop(keys))?;
    match intake.tenant_of(&app, shop).await? {
        Some(tenant) => {
            not_closed(&tenant)?;
            intake.append(from_shopify(&tenant, &headers, topic, payload, received_at), tenant.limits).await
        }
        // Shopify is told that it has been heard: nothing is held of that shop.
        None => Ok((Extension(Said("nothing is held of that shop")), "nothing is held of that shop\n").into_response()),
    }
}

/// What a tenant's subscriptions send. Whose it is says the key in the address, which the other tenants of the app do not have.
async fn of_app(
    State(intake): State<Arc<Intake>>,
    Path((app, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let Signed { app, headers, topic, payload, received_at } = intake.signed(&app, request).await?;
    let found = intake.credentials.tenant_of_key(&app, &key).await.map_err(|error| not_stored(&error))?;
    let tenant = found.and_then(|name| intake.tenants.get(&name)).filter(|tenant| is_in(tenant, &app));
    let tenant = tenant.ok_or_else(|| unknown("address", "/webhooks/shopify/{app}/{key}"))?;
    not_closed(&tenant)?;
    // The header proves nothing, but whoever sends another shop's name has not meant this tenant.
    if value(&headers, "x-shopify-shop-domain").is_some_and(|shop| model::shop(shop) != tenant.shop) {
        return Err(unknown("address", "/webhooks/shopify/{app}/{key}"));
    }
    if let Some(keys) = keys_of_shop(&topic) {
        let shop = shop_in(&payload, keys).ok_or_else(|| no_shop(keys))?;
        if intake.tenant_of(&app, shop).await?.is_none_or(|of| of.name != tenant.name) {
            return Err(no_shop(keys));
        }
    }
    intake.append(from_shopify(&tenant, &headers, topic, payload, received_at), tenant.limits).await
}

/// Whether a tenant is in an app, whatever its secret is by now.
fn is_in(tenant: &Tenant, app: &App) -> bool {
    tenant.shopify.app().is_some_and(|own| own.client_id == app.client_id)
}

fn not_closed(tenant: &Tenant) -> Result<(), Refused> {
    if tenant.is_closed() {
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "this tenant is paused; send it again".into()));
    }
    Ok(())
}

/// A webhook of an app, whose signature is right.
struct Signed {
    app: Arc<App>,
    headers: HeaderMap,
    topic: String,
    payload: String,
    received_at: Millis,
}

impl Intake {
    /// The tenant in an app whose shop the body of a duty names. A domain may be another shop's by now, and a shop have another
    /// domain: where the number of a shop is known, the number counts.
    async fn tenant_of(&self, app: &App, shop: Named) -> Result<Option<Arc<Tenant>>, Refused> {
        let Named { domain, number } = shop;
        let named = self.tenants.of_shop(&domain).filter(|tenant| is_in(tenant, app));
        let Some(number) = number else { return Ok(named) };
        let (journal, client_id, of) = (self.journal.clone(), app.client_id.clone(), named.clone());
        let read = spawn_blocking(move || {
            journal.read(|reader| {
                let is_other =
                    |tenant: &Arc<Tenant>| reader.is_shop_of_another_number(&tenant.name, &tenant.shop, number);
                Ok((reader.tenants_numbered(&client_id, number)?, of.as_ref().map(is_other).transpose()?))
            })
        });
        let read = read.await.map_err(anyhow::Error::from).flatten();
        let (numbered, is_other) = read.map_err(|error| not_stored(&error))?;
        if is_other == Some(false) {
            return Ok(named);
        }
        let is_now = |(name, domain): (String, String)| self.tenants.get(&name).filter(|tenant| tenant.shop == domain);
        Ok(numbered.into_iter().find_map(is_now).filter(|tenant| is_in(tenant, app)))
    }

    async fn signed(&self, app: &str, request: Request) -> Result<Signed, Refused> {
        let (Parts { headers, .. }, body) = request.into_parts();
        let app = self.credentials.app(app).ok_or_else(|| unknown("app", app))?;
        let unverified = |refused: verify::Refused| {
            tracing::warn!(app = app.name, "{refused}");
            Refused(StatusCode::UNAUTHORIZED, refused.to_string())
        };
        let signature = Signature::of_shopify(value(&headers, "x-shopify-hmac-sha256")).map_err(unverified)?;
        let body = self.body(&headers, body).await?;
        signature.check(app.secrets(), &body).map_err(unverified)?;
        let (topic, payload) = (topic(value(&headers, "x-shopify-topic"))?, text(&body)?);
        Ok(Signed { app, headers, topic, payload, received_at: clock::now() })
    }
}

/// The fields of a duty's body that name the shop, by its domain and by its number.
type Keys = (&'static str, &'static str);

/// `None`: the topic is no duty that ends or shows what is held.
fn keys_of_shop(topic: &str) -> Option<Keys> {
    match compliance::duty_of("shopify", topic)? {
        Duty::RedactCustomer | Duty::ShowCustomer | Duty::RedactShop => Some(("shop_domain", "shop_id")),
        Duty::Uninstalled => Some(("myshopify_domain", "id")),
        Duty::Scopes => None,
    }
}

/// A shop as the body of a duty names it.
struct Named {
    domain: String,
    number: Option<u64>,
}

fn shop_in(payload: &str, (domain, number): Keys) -> Option<Named> {
    let body: Value = serde_json::from_str(payload).ok()?;
    Some(Named { domain: model::shop(body[domain].as_str()?), number: body[number].as_u64() })
}

fn no_shop((key, _): Keys) -> Refused {
    Refused(StatusCode::BAD_REQUEST, format!("the body does not name the tenant's shop as `{key}`"))
}

fn not_stored(error: &anyhow::Error) -> Refused {
    tracing::error!(blame = "host", "{error:#}");
    Refused(StatusCode::SERVICE_UNAVAILABLE, "this cannot be stored now; send it again".into())
}

async fn omneo(
    State(intake): State<Arc<Intake>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let tenant = intake.tenants.get(&name).ok_or_else(|| unknown("tenant", &name))?;
    let signature =
        Signature::of_omneo(value(&headers, "x-omneo-hmac-sha256")).map_err(|refused| unverified(&tenant, refused))?;
    let body = intake.body(&headers, body).await?;
    let received_at = clock::now();
    signature.check(tenant.omneo.secrets_at(received_at), &body).map_err(|refused| unverified(&tenant, refused))?;
    intake
        .append(
            Webhook {
                tenant: tenant.name.clone(),
                source: "omneo".into(),
                topic: topic(value(&headers, "x-omneo-event"))?,
                // Omneo gives none, and its times are whole seconds: two equal bodies may be two changes.
                delivery_id: None,
                occurred_at: clock::rfc3339(received_at),
                received_at,
                api_version: String::new(),
                payload: text(&body)?,
            },
            tenant.limits,
        )
        .await
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Shopify's id of a delivery. An empty one is none: all that came with it would be one webhook.
fn delivery_id(headers: &HeaderMap) -> Option<String> {
    let id = value(headers, "x-shopify-webhook-id")?.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

fn topic(header: Option<&str>) -> Result<String, Refused> {
    match header {
        Some(topic) if OWN.iter().any(|own| topic.starts_with(own)) => {
            let own = OWN.map(|own| format!("`{own}`")).join(" or ");
            Err(Refused(StatusCode::BAD_REQUEST, format!("topics that begin with {own} are the host's own")))
        }
        Some(topic) if !topic.is_empty() => Ok(topic.to_owned()),
        _ => Err(Refused(StatusCode::BAD_REQUEST, "the header with the topic is missing".into())),
    }
}

/// A signed body is kept even if it is not JSON: the rules say what is wrong with it. Not even text it cannot be.
fn text(body: &Bytes) -> Result<String, Refused> {
    match std::str::from_utf8(body) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Refused(StatusCode::BAD_REQUEST, format!("the body is not UTF-8: {error}"))),
    }
}

/// The sender is told what it sent. The log is not: anybody may send anything here, and a token by mistake.
fn unknown(what: &'static str, name: &str) -> Refused {
    tracing::warn!("the {what} is not known");
    Refused(StatusCode::NOT_FOUND, format!("{what} `{name}` is not known here"))
}

fn unverified(tenant: &Tenant, refused: verify::Refused) -> Refused {
    Span::current().record("tenant", &tenant.name);
    if tenant.is_closed() {
        // Nobody can tell whether it is signed; it is to be sent again when somebody can.
        return Refused(StatusCode::SERVICE_UNAVAILABLE, "this tenant is paused; send it again".into());
    }
    tracing::warn!("{refused}");
    Refused(StatusCode::UNAUTHORIZED, refused.to_string())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}
