//! A merchant opens the app in Shopify, and comes back from there with an approval.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::approving::{redirect, to_approve, to_sign_in};
use super::connecting;
use super::pages::Page;
use super::shared::{Install, OPEN_AGAIN, Question, again, in_admin, not_granted, not_head, unsigned};
use crate::clock;
use crate::config::{App, AppKind, Tenant};
use crate::credentials::Ask;
use crate::model::Shop;
use crate::verify::parameters::parameters;
use crate::verify::{query, session};

/// The address of the app itself: Shopify opens it when a merchant installs or opens the app.
pub async fn open(
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
    let Some(tenant) = install.tenant(app, query.shop()).await? else {
        return Err(match app.kind {
            AppKind::Own => connecting::unknown(install, app, query.shop().domain()).await,
            _ => connecting::unknown_yet(install, app, query.shop()).await,
        });
    };
    let is_granted = install.is_granted(&tenant, app).await?;
    if app.kind == AppKind::Own {
        let text =
            "This app gets its access by itself. Whoever runs this Tandem connects it to Omneo: `tandem connect`.";
        return Ok(Page::good("There is nothing to approve", text).into_response());
    }
    // Asking for the shop's token once more would end the refresh token that is in use.
    if is_granted { to_sign_in(install, app, &tenant).await } else { to_approve(install, app, &tenant).await }
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
    if !install.0.seen.is_new(session.shop.domain(), token, session.expires_s, clock::now() / 1_000) {
        let title = "This page was opened already";
        return Err(again(Page::wrong(StatusCode::UNAUTHORIZED, title, OPEN_AGAIN)));
    }
    let framed = |page: Page| page.framed_by(session.shop.domain());
    let tenant = match install.tenant(app, &session.shop).await.map_err(framed)? {
        Some(tenant) => Some(tenant),
        None => install.moved(app, &session.shop, Ask::Exchange(token.to_owned())).await.map_err(framed)?,
    };
    let Some(tenant) = tenant else {
        return Err(framed(connecting::unknown(install, app, session.shop.domain()).await));
    };
    if !install.is_granted(&tenant, app).await.map_err(framed)? {
        install.grant(&tenant, app, Ask::Exchange(token.to_owned())).await.map_err(framed)?;
    }
    let page = connecting::page(install, app, &tenant).await;
    Ok(page.map(framed).map_err(framed)?.into_response())
}

/// Where Shopify sends the merchant's browser after the approval.
pub async fn callback(
    State(install): State<Install>,
    Path(app): Path<String>,
    method: Method,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Page> {
    let Approved { tenant, app, shop, code, question } =
        approved(&install, &app, &method, &headers, &raw.unwrap_or_default()).await?;
    let tenant = match tenant {
        Some(tenant) => tenant,
        // It may be a tenant's under another domain.
        None => match install.moved(&app, &shop, Ask::Code(code)).await? {
            Some(tenant) => return entered(&install, &app, &tenant).await,
            None => return Err(connecting::unknown(&install, &app, shop.domain()).await),
        },
    };
    match question {
        Question::SignIn => {
            let signed_in = install.0.credentials.sign_in(&tenant, &app, code).await;
            if signed_in.map_err(|refused| not_granted(&refused))? {
                install.granted(&tenant).await?;
            }
        }
        _ => {
            install.grant(&tenant, &app, Ask::Code(code)).await?;
            tracing::info!(tenant = tenant.name, app = app.name, "a merchant has installed the app");
        }
    }
    entered(&install, &app, &tenant).await
}

/// On to the page of the shop, away from an address with a code in it.
async fn entered(install: &Install, app: &App, tenant: &Tenant) -> Result<Response, Page> {
    let (once, cookie) = install.ask(Question::Enter, app, &tenant.shop, true).await?;
    Ok(redirect(StatusCode::SEE_OTHER, format!("/shopify/{}/connect?once={once}", app.name), cookie))
}

/// What a merchant has approved.
struct Approved {
    /// Whose shop it is, if a tenant names it.
    tenant: Option<Arc<Tenant>>,
    app: Arc<App>,
    shop: Shop,
    /// Stands for the approval, once.
    code: String,
    question: Question,
}

async fn approved(
    install: &Install,
    app: &str,
    method: &Method,
    headers: &HeaderMap,
    raw: &str,
) -> Result<Approved, Page> {
    not_head(method)?;
    let (app, now) = (install.app(app)?, clock::now());
    let query = query::checked(raw, app.secrets(), now / 1_000).map_err(|refused| unsigned(&refused))?;
    let (Some(code), Some(state)) = (query.code(), query.state()) else {
        return Err(Page::wrong(StatusCode::BAD_REQUEST, "Shopify's answer has no code", OPEN_AGAIN));
    };
    // Whoever is not the browser that was sent leaves everything as it is.
    let mut asked = None;
    for question in [Question::Approve, Question::SignIn] {
        let shop = install.answered(question, &app, state, headers, true).await?;
        asked = asked.or(shop.filter(|shop| shop == query.shop().domain()).map(|_| question));
    }
    let Some(question) = asked else {
        let title = "This approval is not open any more";
        let why =
            "It was used already, is older than ten minutes, or was begun in another browser or for another shop.";
        return Err(Page::wrong(StatusCode::BAD_REQUEST, title, why).and(OPEN_AGAIN));
    };
    let (tenant, shop, code) = (install.tenant(&app, query.shop()).await?, query.shop().clone(), code.to_owned());
    Ok(Approved { tenant, app, shop, code, question })
}
