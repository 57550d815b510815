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
        return Err(connecting::unknown(install, app, query.shop().domain()).await);
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
    let framed = |page: Page| page.framed_by(session.shop.domain());
    let Some(tenant) = install.tenant(app, &session.shop).await.map_err(framed)? else {
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
    let (tenant, app, code, question) = approved(&install, &app, &method, &headers, &raw.unwrap_or_default()).await?;
    match question {
        Question::SignIn => {
            let signed_in = install.0.credentials.sign_in(&tenant, &app, code).await;
            signed_in.map_err(|refused| not_granted(&refused))?;
        }
        _ => {
            install.grant(&tenant, &app, Ask::Code(code)).await?;
            tracing::info!(tenant = tenant.name, app = app.name, "a merchant has installed the app");
        }
    }
    // Away from an address with a code in it.
    let (once, cookie) = install.ask(Question::Enter, &app, &tenant.shop, true).await?;
    Ok(redirect(StatusCode::SEE_OTHER, format!("/shopify/{}/connect?once={once}", app.name), cookie))
}

/// The tenant whose merchant has approved, the app, the code that stands for that, and what was asked.
async fn approved(
    install: &Install,
    app: &str,
    method: &Method,
    headers: &HeaderMap,
    raw: &str,
) -> Result<(Arc<Tenant>, Arc<App>, String, Question), Page> {
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
    let tenant = install.tenant(&app, query.shop()).await?;
    let Some(tenant) = tenant else { return Err(connecting::unknown(install, &app, query.shop().domain()).await) };
    Ok((tenant, app, code.to_owned(), question))
}
