//! Passes a request on to another server, and its answer back. Knows nothing of what is asked.

use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;

use crate::http::{Came, Sent, send};

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Of one connection alone.
const OF_A_CONNECTION: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// A request as it is passed on, without a body.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub method: String,
    /// With the query. Plain HTTP only.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Headers of the answer that are not passed back.
    pub kept_back: &'static [&'static str],
}

impl Forward {
    /// What the other server answers, or 502.
    pub async fn answer(self) -> Response<Full<Bytes>> {
        let Forward { method, url, headers, kept_back } = self;
        let method = hyper::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let came = send(Sent { method, url: &url, headers: &headers, body: vec![] }, ANSWER_MAX).await;
        let failed = |why: String| Came { status: 502, headers: vec![], body: why.into_bytes() };
        let Came { status, headers, body } = came.unwrap_or_else(failed);
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            if !OF_A_CONNECTION.contains(&name.as_str()) && !kept_back.contains(&name.as_str()) {
                answer = answer.header(name, value);
            }
        }
        answer.body(Full::new(Bytes::from(body))).unwrap_or_default()
    }
}
