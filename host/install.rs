//! Installing: what happens when a merchant opens an app of this host in Shopify, until the shop has granted what the app asks
//! for and its Omneo tenant is connected. An app of the kind `standalone` has the merchant approve (OAuth's authorization code);
//! one of the kind `embedded` comes with a session token, which is exchanged.
//!
//! Knows browsers and Shopify's admin; neither rules nor calls.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::{get, post};

mod approving;
mod connecting;
mod once;
mod opening;
mod pages;
mod shared;

pub use once::{Anew, Seen};
pub use shared::Parts;

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 16 << 10;

pub fn router(parts: Parts) -> Router {
    let style = async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], pages::STYLE);
    Router::new()
        .route("/shopify/{app}", get(opening::open))
        .route("/shopify/{app}/callback", get(opening::callback))
        .route("/shopify/{app}/connect", get(connecting::enter).post(connecting::connect))
        .route("/shopify/{app}/code", post(connecting::code))
        .route("/shopify/{app}/switch", post(connecting::switch))
        .route(pages::STYLE_PATH, get(style))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(shared::Install(Arc::new(parts)))
}
