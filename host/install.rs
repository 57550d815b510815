//! Installing: what happens when a merchant opens an app of this host in Shopify, until the shop has granted what the app asks
//! for. An app of the kind `standalone` has the merchant approve (OAuth's authorization code); one of the kind `embedded` comes
//! with a session token, which is exchanged.
//!
//! Knows browsers and Shopify's admin; neither rules nor calls.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::clock;
use crate::config::{App, AppKind, Tenant};
use crate::credentials::{Access, Ask, Credentials, Refused};
use crate::journal::{AskedMerchant, Journal};
use crate::model::{Millis, Shop};
use crate::tenants::Tenants;
use crate::verify::parameters::parameters;
use crate::verify::{query, session};

mod pages;

use pages::{Page, STYLE, STYLE_PATH};

/// How long a merchant may take to approve.
const APPROVAL_MAX_MS: Millis = 600_000;
/// Random bytes of a state and of a cookie.
const SECRET_BYTES: usize = 32;
/// The cookie by which an answer is known to come from the browser that was sent to Shopify.
const COOKIE: &str = "tandem-install";
/// What to do about anything that is not as Shopify sends it.
const OPEN_AGAIN: &str = "Open the app again in Shopify's admin, under Apps.";

#[derive(Clone)]
pub struct Install(Arc<Shared>);

struct Shared {
    journal: Journal,
    tenants: Tenants,
    credentials: Credentials,
    /// Where this host is reached from outside, without a `/` at its end. No address is made of what a request says.
    public_url: Option<String>,
}

impl Install {
    pub fn new(journal: Journal, tenants: Tenants, credentials: Credentials, public_url: Option<String>) -> Self {
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Self(Arc::new(Shared { journal, tenants, credentials, public_url }))
    }

    pub fn router(self) -> Router {
        Router::new()
            .route("/shopify/{app}", get(open))
            .route("/shopify/{app}/callback", get(callback))
            .route("/shopify/{app}/installed", get(installed))
            .route(STYLE_PATH, get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
            .with_state(self)
    }

    fn app(&self, name: &str) -> Result<Arc<App>, Page> {
        self.0.credentials.app(name).ok_or_else(|| {
            let cure =
                "The address of the app is wrong. Whoever runs this host finds the right one in its configuration.";
            Page::wrong(StatusCode::NOT_FOUND, "There is no such app here", cure)
        })
    }

    /// The tenant that names the shop and the app. Who is none is not told whether another one does.
    fn tenant(&self, app: &App, shop: &Shop) -> Result<Arc<Tenant>, Page> {
        let is_in = |tenant: &Arc<Tenant>| tenant.shopify.app().is_some_and(|own| own.client_id == app.client_id);
        self.0.tenants.of_shop(shop.domain()).filter(is_in).ok_or_else(|| {
            let cure = "Ask whoever runs this Tandem to add a tenant for the shop, and then open the app again.";
            Page::wrong(StatusCode::FORBIDDEN, format!("{} is not known here", shop.domain()), cure)
        })
    }

    /// Has the app granted what a code or a session token stands for, and its calls go on. In a task of its own: the browser may go
    /// away.
    async fn grant(&self, tenant: &Arc<Tenant>, app: &Arc<App>, ask: Ask) -> Result<(), Page> {
        let (shared, tenant, app) = (self.0.clone(), tenant.clone(), app.clone());
        let granted = tokio::spawn(async move {
            shared.credentials.grant(&tenant, &app, ask).await.map_err(|refused| not_granted(&refused))?;
            shared.journal.resume_installed(&tenant.name).await.map_err(failed)
        });
        granted.await.unwrap_or_else(|error| Err(failed(error.into())))
    }

    /// Whether the merchant has nothing to do: what was granted is good, and the shop lets the app in. Then calls go on that waited
    /// because the app was uninstalled.
    async fn is_connected(&self, tenant: &Tenant) -> Result<bool, Page> {
        let Shared { credentials, journal, .. } = &*self.0;
        if !credentials.is_granted(tenant).await || credentials.access(tenant).await.0 == Access::Refused {
            return Ok(false);
        }
        journal.resume_installed(&tenant.name).await.map_err(failed)?;
        Ok(true)
    }
}

/// The address of the app itself: Shopify opens it when a merchant installs or opens the app.
async fn open(
    State(install): State<Install>,
    Path(app): Path<String>,
    method: Method,
    RawQuery(raw): RawQuery,
) -> Result<Response, Page> {
    not_head(&method)?;
    let app = install.app(&app)?;
    let raw = raw.unwrap_or_default();
    if app.kind == AppKind::Embedded {
        return embedded(&install, &app, &raw).await;
    }
    standalone(&install, &app, &raw).await
}

async fn standalone(install: &Install, app: &Arc<App>, raw: &str) -> Result<Response, Page> {
    let query = query::checked(raw, app.secrets(), clock::now() / 1_000).map_err(|refused| unsigned(&refused))?;
    let tenant = install.tenant(app, query.shop())?;
    // Asking once more would end the refresh token that is in use.
    if install.is_connected(&tenant).await? {
        return Ok(connected(&tenant).into_response());
    }
    if app.kind == AppKind::Own {
        return Ok(Page::good("There is nothing to approve", "This app gets its access by itself.").into_response());
    }
    let Some(public_url) = &install.0.public_url else {
        let cure = "Whoever runs this host writes its address into the configuration as `public_url`.";
        return Err(Page::wrong(StatusCode::INTERNAL_SERVER_ERROR, "This host does not know its own address", cure));
    };
    let (state, cookie) = (secret().map_err(failed)?, secret().map_err(failed)?);
    let now = clock::now();
    let asked = AskedMerchant {
        state: hash(&state),
        cookie: hash(&cookie),
        client_id: app.client_id.clone(),
        shop: tenant.shop.clone(),
        ends_at: now.saturating_add(APPROVAL_MAX_MS),
    };
    install.0.journal.ask_merchant(asked, now).await.map_err(failed)?;
    // Scopes are those of the app's own configuration at Shopify.
    let (path, back) =
        (format!("/shopify/{}/callback", app.name), format!("{public_url}/shopify/{}/callback", app.name));
    let address = format!("{}/admin/oauth/authorize", tenant.shopify.url);
    let pairs = [("client_id", &*app.client_id), ("redirect_uri", &*back), ("state", &*state)];
    let address = Url::parse_with_params(&address, pairs).map_err(|error| failed(error.into()))?;
    let seconds = APPROVAL_MAX_MS / 1_000;
    let cookie = format!("{COOKIE}={cookie}; Path={path}; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    let headers = [
        (header::LOCATION, address.to_string()),
        (header::SET_COOKIE, cookie),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

async fn embedded(install: &Install, app: &Arc<App>, raw: &str) -> Result<Response, Page> {
    let found = parameters(raw).map_err(|refused| in_admin(unsigned(&refused)))?;
    let token = found.iter().find(|parameter| parameter.name == "id_token").map(|parameter| &*parameter.value);
    let Some(token) = token else {
        let page = Page::wrong(StatusCode::BAD_REQUEST, "This page belongs into Shopify's admin", OPEN_AGAIN);
        return Err(in_admin(page));
    };
    let session = session::admin(token, &app.client_id, app.secrets(), clock::now() / 1_000);
    let session = session.map_err(|refused| again(unsigned(&refused)))?;
    let framed = |page: Page| page.framed_by(session.shop.domain());
    let tenant = install.tenant(app, &session.shop).map_err(framed)?;
    if !install.is_connected(&tenant).await.map_err(framed)? {
        install.grant(&tenant, app, Ask::Exchange(token.to_owned())).await?;
    }
    Ok(framed(connected(&tenant)).into_response())
}

/// Where Shopify sends the merchant's browser after the approval.
async fn callback(
    State(install): State<Install>,
    Path(app): Path<String>,
    method: Method,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Page> {
    let (tenant, app, code) = approved(&install, &app, &method, &headers, &raw.unwrap_or_default()).await?;
    install.grant(&tenant, &app, Ask::Code(code)).await?;
    tracing::info!(tenant = tenant.name, app = app.name, "a merchant has installed the app");
    // Away from an address with a code in it.
    let location = format!("/shopify/{}/installed", app.name);
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store".into())];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// The tenant whose merchant has approved, the app, and the code that stands for that.
async fn approved(
    install: &Install,
    app: &str,
    method: &Method,
    headers: &HeaderMap,
    raw: &str,
) -> Result<(Arc<Tenant>, Arc<App>, String), Page> {
    not_head(method)?;
    let (app, now) = (install.app(app)?, clock::now());
    let query = query::checked(raw, app.secrets(), now / 1_000).map_err(|refused| unsigned(&refused))?;
    let (Some(code), Some(state)) = (query.code(), query.state()) else {
        return Err(Page::wrong(StatusCode::BAD_REQUEST, "Shopify's answer has no code", OPEN_AGAIN));
    };
    // Whoever is not the browser that was sent leaves everything as it is.
    let asked = install.0.journal.answered(hash(state), hash(&cookie(headers)), now).await.map_err(failed)?;
    let asked = asked.filter(|asked| asked.client_id == app.client_id && asked.shop == query.shop().domain());
    if asked.is_none() {
        let title = "This approval is not open any more";
        let why =
            "It was used already, is older than ten minutes, or was begun in another browser or for another shop.";
        return Err(Page::wrong(StatusCode::BAD_REQUEST, title, why).and(OPEN_AGAIN));
    }
    let tenant = install.tenant(&app, query.shop())?;
    Ok((tenant, app, code.to_owned()))
}

async fn installed(State(install): State<Install>, Path(app): Path<String>) -> Result<Page, Page> {
    install.app(&app)?;
    let text = "The shop has granted what the app asks for. Whoever runs this Tandem now sets up the rest: `tandem tenant setup`.";
    Ok(Page::good("The app is installed", text))
}

fn connected(tenant: &Tenant) -> Page {
    Page::good(
        format!("{} is connected", tenant.shop),
        "The app has the access that it needs. There is nothing to do here.",
    )
}

/// A preview of a link, as chats and mail programs make them, must not begin or use up anything.
fn not_head(method: &Method) -> Result<(), Page> {
    if *method == Method::HEAD {
        return Err(Page::wrong(StatusCode::METHOD_NOT_ALLOWED, "This address is for browsers", OPEN_AGAIN));
    }
    Ok(())
}

fn unsigned(refused: &dyn std::error::Error) -> Page {
    tracing::warn!("an app was opened by a link that is not as Shopify makes it: {refused}");
    let title = "This link does not come from Shopify, or is too old";
    Page::wrong(StatusCode::UNAUTHORIZED, title, format!("What is wrong with it: {refused}.")).and(OPEN_AGAIN)
}

/// A page that Shopify's admin may show in a frame, whichever shop's it is.
fn in_admin(page: Page) -> Page {
    page.framed_by("*.myshopify.com")
}

/// App Bridge tries once more, with a new session token.
fn again(page: Page) -> Page {
    in_admin(page).tried_again()
}

fn not_granted(refused: &Refused) -> Page {
    const TITLE: &str = "Shopify has not granted the access";
    if refused.is_passing() {
        // The log has the reason, which may be the host's own.
        let cure = "Shopify does not answer as it should just now. Try again in a minute.";
        return in_admin(Page::wrong(StatusCode::SERVICE_UNAVAILABLE, TITLE, cure).and(OPEN_AGAIN));
    }
    let said = refused.to_string();
    let (why, cure) = said.split_once("\nhint: ").unwrap_or((&said, "open the app again"));
    let page = |status| Page::wrong(status, TITLE, format!("{why}.")).and(format!("What to do: {cure}."));
    match refused {
        Refused::SessionToken => again(page(StatusCode::UNAUTHORIZED)),
        _ => in_admin(page(StatusCode::BAD_GATEWAY)),
    }
}

fn failed(error: anyhow::Error) -> Page {
    tracing::error!(blame = "host", "installing an app: {error:#}");
    let cure = "Nothing has changed. Try again in a minute; whoever runs this host finds the reason in its log.";
    Page::wrong(StatusCode::SERVICE_UNAVAILABLE, "This does not work just now", cure)
}

fn cookie(headers: &HeaderMap) -> String {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("drawing a secret: {error}"))?;
    Ok(hex::encode(bytes))
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
