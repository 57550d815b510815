//! The pages that a merchant sees while an app is installed. Knows words and headers; decides nothing.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// How every page looks, in the light and in the dark.
pub const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 36rem; margin: 4rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
.wrong h1::before { content: '! '; }
code { font-size: 0.95em; overflow-wrap: anywhere; }
";
/// Asks App Bridge to send its request once more with a new session token (shopify-app-js).
const RETRY_SESSION: HeaderName = HeaderName::from_static("x-shopify-retry-invalid-session-request");
pub const STYLE_PATH: &str = "/pages.css";

/// A page: what it says first, and what there is to do.
pub struct Page {
    pub status: StatusCode,
    pub title: String,
    pub text: Vec<String>,
    /// The shop in whose admin it may stand in a frame.
    pub framed_by: Option<String>,
    /// Whether App Bridge is to try once more, with a new session token.
    pub tries_again: bool,
}

impl Page {
    pub fn good(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            text: vec![text.into()],
            framed_by: None,
            tries_again: false,
        }
    }

    /// `cure` is what the merchant, or whoever helps, can do.
    pub fn wrong(status: StatusCode, title: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { status, title: title.into(), text: vec![cure.into()], framed_by: None, tries_again: false }
    }

    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.text.push(text.into());
        self
    }

    pub fn framed_by(self, shop: &str) -> Self {
        Self { framed_by: Some(shop.to_owned()), ..self }
    }

    pub fn tried_again(self) -> Self {
        Self { tries_again: true, ..self }
    }

    fn markup(&self) -> Markup {
        let is_wrong = !self.status.is_success();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " – Tandem" }
                    link rel="stylesheet" href=(STYLE_PATH);
                }
                body class=[is_wrong.then_some("wrong")] {
                    main {
                        h1 { (self.title) }
                        @for text in &self.text { p { (text) } }
                    }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let frames = match &self.framed_by {
            Some(shop) => format!("https://{shop} https://admin.shopify.com"),
            None => "'none'".to_owned(),
        };
        let policy = format!(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
        );
        let headers = [
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
            (HeaderName::from_static("x-content-type-options"), "nosniff".to_owned()),
        ];
        let again = self.tries_again.then_some([(RETRY_SESSION, "1")]);
        let page = (self.status, headers, Html(self.markup().into_string()));
        match again {
            Some(again) => (again, page).into_response(),
            None => page.into_response(),
        }
    }
}
