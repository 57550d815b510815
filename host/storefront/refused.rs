//! Why a shopper gets no token, as their browser may know it: a code, a status and a sentence that repeats nothing of what was sent.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::table::TooMany;
use crate::verify::proxy::ProxyRefused;

/// When somebody may ask again who met the host's own trouble.
const AGAIN_MS: u64 = 1_000;
/// The same where it will take longer than a moment.
const LATER_MS: u64 = 30_000;

pub enum Refused {
    /// No app of this host is called so.
    UnknownApp,
    /// The query is not as the app proxy makes it.
    Query(ProxyRefused),
    Session(String),
    /// The shop is not connected here by this app, or not any more.
    NoShop,
    /// The secrets of the shop's tenant cannot be opened here.
    Closed,
    TooMany(TooMany),
    /// As many shoppers wait here as may.
    Busy,
    /// A system did not answer as it should; the log says more. Again in so many milliseconds.
    Failed(&'static str, u64),
    /// Whose profile it is changed while it was asked for.
    Changed,
    Late,
    /// The host's own fault.
    Host,
    NoAddress,
    NoMethod,
}

impl Refused {
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown-app",
            Self::Query(_) => "query",
            Self::Session(_) => "session",
            Self::NoShop => "no-shop",
            Self::Closed => "closed",
            Self::TooMany(_) => "too-many",
            Self::Busy => "busy",
            Self::Failed(..) => "failed",
            Self::Changed => "changed",
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
            Self::Closed | Self::Busy | Self::Failed(..) | Self::Changed | Self::Host => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::UnknownApp => "no app is called so here".into(),
            Self::Query(refused) => refused.to_string(),
            Self::Session(refused) => refused.clone(),
            Self::NoShop => "the shop is not connected here by this app".into(),
            Self::Closed | Self::Host => "this does not work just now".into(),
            Self::TooMany(_) => "too many requests; ask again later".into(),
            Self::Busy => "too many shoppers wait here just now; ask again later".into(),
            Self::Failed(target, _) => format!("{target} does not answer as it should just now"),
            Self::Changed => "this has changed just now; ask again".into(),
            Self::Late => "this took too long".into(),
            Self::NoAddress => "there is nothing at this address".into(),
            Self::NoMethod => "this address is asked in another way: GET by the app proxy, POST by an extension".into(),
        }
    }

    fn wait_ms(&self) -> Option<u64> {
        match self {
            Self::TooMany(TooMany { wait_ms }) | Self::Failed(_, wait_ms) => Some((*wait_ms).max(1)),
            Self::Busy | Self::Changed | Self::Late | Self::Host => Some(AGAIN_MS),
            Self::Closed => Some(LATER_MS),
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
