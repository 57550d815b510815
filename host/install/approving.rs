//! The way of a browser to Shopify, where the merchant approves what the app asks for, or says who it is.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::pages::Page;
use super::shared::{Install, Question, failed};
use crate::config::{App, Tenant};

/// Sends the merchant's browser to Shopify, to approve.
pub async fn to_approve(install: &Install, app: &App, tenant: &Tenant) -> Result<Response, Page> {
    to_shopify(install, app, tenant, Question::Approve).await
}

/// Sends the browser of somebody whose shop has approved to Shopify, to say who it is. The token that comes of it is that
/// person's, so that it does not end the one that is in use.
pub async fn to_sign_in(install: &Install, app: &App, tenant: &Tenant) -> Result<Response, Page> {
    to_shopify(install, app, tenant, Question::SignIn).await
}

async fn to_shopify(install: &Install, app: &App, tenant: &Tenant, question: Question) -> Result<Response, Page> {
    let (address, cookie) = way(install, app, &tenant.shop, &tenant.shopify.url, question).await?;
    Ok(redirect(StatusCode::FOUND, address, cookie))
}

/// The address at Shopify where the question is asked, and the cookie that has to come with the answer. `url` is where the shop
/// is reached.
pub async fn way(
    install: &Install,
    app: &App,
    shop: &str,
    url: &str,
    question: Question,
) -> Result<(String, Option<String>), Page> {
    let Some(public_url) = &install.0.public_url else {
        let cure = "Whoever runs this host writes its address into the configuration as `public_url`.";
        return Err(Page::wrong(StatusCode::INTERNAL_SERVER_ERROR, "This host does not know its own address", cure));
    };
    let (state, cookie) = install.ask(question, app, shop, true).await?;
    // Scopes are those of the app's own configuration at Shopify.
    let back = format!("{public_url}/shopify/{}/callback", app.name);
    let address = format!("{url}/admin/oauth/authorize");
    let mut pairs = vec![("client_id", &*app.client_id), ("redirect_uri", &*back), ("state", &*state)];
    if matches!(question, Question::SignIn) {
        pairs.push(("grant_options[]", "per-user"));
    }
    let address = Url::parse_with_params(&address, pairs).map_err(|error| failed(error.into()))?;
    Ok((address.to_string(), cookie))
}

pub fn redirect(status: StatusCode, location: String, cookie: Option<String>) -> Response {
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    let cookie = cookie.map(|cookie| [(header::SET_COOKIE, cookie)]);
    match cookie {
        Some(cookie) => (status, headers, cookie).into_response(),
        None => (status, headers).into_response(),
    }
}
