//! The admin API: HTTP and JSON for operators and tenants, with the document that describes it. Loopback by default.
//!
//! Knows the journal and what delivery has paused; nothing of rules or lanes. Every change is in the audit trail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument as _, field};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::Accounts;
use crate::client::Client;
use crate::connect::Connect;
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::deploy::Versions;
use crate::imports::Imports;
use crate::journal::{Journal, Reader};
use crate::listen::{self, Held, Listen};
use crate::problem::{Kind, MEDIA_TYPE, Problem};
use crate::registry::{COMPONENT_BYTES_MAX, Refused};
use crate::repair::Repair;
use crate::tenants::Tenants;

mod cases;
mod directions;
mod document;
mod extract;
mod grants;
mod imports;
mod invitations;
mod repair;
mod setup;
mod shadow;
mod tenants;
mod verbs;
mod versions;

use document::Document;
use extract::{Body, Of, Path, Query, Side, Upload, Who};

pub use cases::Cases;
pub use directions::{Direction, DirectionMode};
pub use grants::{Grant, HeldGrant};
pub use imports::{
    Import, Kinds as ImportKind, Outcomes, Reading as ImportReading, Sampled, Shared as SharedClues,
    State as ImportState,
};
pub use invitations::Invitation;
pub use repair::{LeftOut, PreviewedCall, PreviewedEvent, ReplayPreview, Replayed};
pub use setup::Step;
pub use shadow::Shadow;
pub use tenants::{Account, AccountSide, WebhookSecret};
pub use verbs::{BEING_BUILT, DeadLetters, Done, HeldCause, HeldTarget, Settled, Target, Tenant};
pub use versions::{Activations, Progress, Swapped, Version};

/// Random bytes of a token, and what it begins with, so that a leaked one can be searched for.
const TOKEN_BYTES: usize = 32;
const TOKEN_PREFIX: &str = "tandem_";
const TARGETS: [&str; 2] = ["shopify", "omneo"];

#[derive(Clone)]
pub struct Admin(Arc<Shared>, Arc<AsyncMutex<Tried>>);

/// What came of the last try to write, and when that was.
type Tried = Option<(Instant, Result<(), String>)>;

/// What the handlers share.
pub struct Shared {
    pub journal: Journal,
    pub delivery: Arc<Delivery>,
    pub versions: Versions,
    pub accounts: Accounts,
    pub repair: Repair,
    pub imports: Imports,
    pub tenants: Tenants,
    /// For set-up.
    pub client: Client,
    pub connect: Connect,
    pub credentials: Credentials,
    pub public_url: Option<String>,
    pub places: Places,
}

/// Requests of one tenant's tokens at a time: fewer than there are connections, so that a tenant keeps neither the operators
/// nor a probe out, and no other tenant from the compiler for long.
const OF_TENANT_MAX: usize = 8;

/// The places that requests of tenants' tokens take until they are dealt with, also when who asked has gone.
#[derive(Default)]
pub struct Places(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Places {
    fn take(&self, tenant: &str) -> Result<OwnedSemaphorePermit, Problem> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has no request under way takes no memory.
        places.retain(|name, places| name == tenant || places.available_permits() < OF_TENANT_MAX);
        let of_tenant = places.entry(tenant.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(OF_TENANT_MAX)));
        of_tenant.clone().try_acquire_owned().map_err(|_| {
            let detail =
                format!("{OF_TENANT_MAX} requests of this tenant's tokens are under way; send this again later");
            Problem::new(Kind::TooMany, detail)
        })
    }
}

/// A new token. It is shown once; only [`hash`] of it is kept. An error: the system has no randomness to give.
pub fn new_token() -> anyhow::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("making a token: {error}"))?;
    Ok(format!("{TOKEN_PREFIX}{}", hex::encode(bytes)))
}

pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// The OpenAPI document, as JSON.
pub fn document() -> String {
    let (_, document) = verbs().split_for_parts();
    format!("{:#}", document::complete(&document))
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", security(()),
    responses((status = 200, body = serde_json::Value, content_type = "application/json")))]
async fn openapi() -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

impl Admin {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared), Arc::default())
    }
}

/// Serves until told to stop, within what `descriptors` leave.
pub async fn serve(admin: Admin, listener: TcpListener, descriptors: usize, stopped: impl Future<Output = ()>) {
    let limits = listen::Limits::of_admin(descriptors, COMPONENT_BYTES_MAX);
    let listen = Listen { name: "admin", limits, metrics: admin.0.journal.metrics().clone() };
    listen::serve(listener, router(admin), listen, stopped).await;
}

/// Why others than this machine's should not reach this address: tokens travel in the clear.
pub fn warn_of(address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!("the admin API listens on {address}, beyond this machine: put a proxy with TLS in front of it");
    }
}

fn verbs() -> OpenApiRouter<Admin> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(verbs::health))
        .routes(routes!(verbs::ready))
        .routes(routes!(verbs::metrics))
        .routes(routes!(openapi))
        .routes(routes!(verbs::tenants, tenants::add))
        .routes(routes!(tenants::show, tenants::change, tenants::remove))
        .routes(routes!(setup::set_up))
        .routes(routes!(setup::connect))
        .routes(routes!(invitations::list, invitations::invite))
        .routes(routes!(invitations::withdraw))
        .routes(routes!(tenants::set_token))
        .routes(routes!(tenants::add_webhook_secret))
        .routes(routes!(tenants::end_webhook_secret))
        .routes(routes!(verbs::events))
        .routes(routes!(verbs::event))
        .routes(routes!(verbs::any_event))
        .routes(routes!(verbs::restart))
        .routes(routes!(verbs::dead_letters))
        .routes(routes!(verbs::retry))
        .routes(routes!(verbs::discard))
        .routes(routes!(verbs::targets))
        .routes(routes!(verbs::pause))
        .routes(routes!(verbs::resume))
        .routes(routes!(directions::list))
        .routes(routes!(directions::set))
        .routes(routes!(imports::list, imports::begin))
        .routes(routes!(imports::change))
        .routes(routes!(imports::reconcile))
        .routes(routes!(imports::clues))
        .routes(routes!(repair::replay))
        .routes(routes!(grants::grants))
        .routes(routes!(verbs::audit))
        .routes(routes!(versions::list, versions::deploy))
        .routes(routes!(versions::remove))
        .routes(routes!(versions::activations))
        .routes(routes!(versions::progress))
        .routes(routes!(cases::list_cases, cases::replace_cases, cases::remove_cases))
        .routes(routes!(shadow::show_shadow, shadow::begin_shadow, shadow::end_shadow))
        .routes(routes!(versions::roll_back))
        .route_layer(axum::middleware::from_fn(whole))
        // A proof is for whoever waits for it.
        .routes(routes!(versions::report, versions::prove))
        .routes(routes!(versions::activate))
}

/// Carries a request out to its end, whether or not anybody waits for the answer: what is half done, the journal would know
/// and the stages would not, or the audit trail.
async fn whole(request: Request, next: Next) -> Response {
    // The bytes of its body count until then, too.
    let held = request.extensions().get::<Held>().cloned();
    let deed = async move {
        let response = next.run(request).await;
        drop(held);
        response
    };
    match to_its_end(deed).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work.in_current_span()).await.map_err(|error| Problem::own(error.into()))
}

fn router(admin: Admin) -> Router {
    let (router, _) = verbs().split_for_parts();
    router
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::NoMethod, "this address takes another method; see /v1/openapi.json")
        })
        .fallback(|| async { Problem::new(Kind::NoAddress, "there is nothing here; see /v1/openapi.json") })
        .layer(DefaultBodyLimit::max(COMPONENT_BYTES_MAX))
        .layer(axum::middleware::from_fn(seen))
        .with_state(admin)
}

/// Answers, says who does so that a command knows a host by it, and logs what was asked: never a body, a query or a token. Of the
/// path only the pattern, since a caller may have put a token into it, and the tenant once its token is known.
async fn seen(request: Request, next: Next) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let path = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("admin", %method, path, tenant = field::Empty, by = field::Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    let name = header::HeaderValue::from_static(concat!("tandem/", env!("CARGO_PKG_VERSION")));
    response.headers_mut().insert(header::SERVER, name);
    let (status, took_ms) =
        (response.status().as_u16(), u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    // Instruments ask all the time.
    span.in_scope(|| match method == Method::GET && response.status().is_success() {
        true => tracing::debug!(took_ms, "{status}"),
        false => tracing::info!(took_ms, "{status}"),
    });
    response
}

impl Admin {
    /// Reads the journal without holding up what else runs.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnMut(&Reader) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let journal = self.0.journal.clone();
        let read = tokio::task::spawn_blocking(move || journal.read(read)).await;
        read.map_err(anyhow::Error::from).flatten().map_err(Problem::own)
    }
}

impl Problem {
    /// A failure of the host. The log has it; whoever asked only learns that it is there.
    fn own(error: anyhow::Error) -> Self {
        tracing::error!(stage = "admin", blame = "host", "{error:#}");
        Self::new(Kind::Host, "the host could not do this; its log says why")
    }
}

/// What a person can put right is said; anything else is our own.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown { .. } => Self::new(Kind::NotFound, refused.to_string()),
            Refused::Moved(_) | Refused::First(_) | Refused::None(_) | Refused::Busy(_) | Refused::Fixed(_) => {
                Self::new(Kind::Conflict, refused.to_string())
            }
            Refused::Other(error) => Self::own(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
