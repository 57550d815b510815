//! Sends requests: TLS to public addresses, anything else only where the operator has allowed it by name.
//!
//! The only module that sends. Knows HTTP; not which answers are good.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url, redirect};
use tokio::sync::Semaphore;
use url::form_urlencoded;

use crate::answer;
use crate::clock;
use crate::config::{Delivery, Peer, check_url};
use crate::model::{self, Answer, Call, Request};
use crate::retry::Outcome;

mod addresses;
mod download;
mod roots;

pub use download::{Bounds, NotDownloaded};
pub use roots::{Built, built};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// What all answers that are being read may take together, beyond the first [`SMALL_BYTES`] of each. So a few hostile
/// targets can neither fill the memory nor keep the small answers of others from being read.
const LARGE_BYTES_MAX: usize = 256 << 20;
const SMALL_BYTES: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token may take to come, while calls wait for it.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of an answer that rules are given.
const HEADERS_KEPT: [&str; 4] = ["link", "location", "x-shopify-api-version", "x-request-id"];

#[derive(Clone)]
pub struct Client {
    /// Connects to public addresses only.
    public: reqwest::Client,
    /// For the authorities in `allow`.
    allowed: reqwest::Client,
    allow: Vec<String>,
    /// The bytes that large answers may still take.
    large: Arc<Semaphore>,
    timeout: Duration,
}

/// An answer to a form: its body may hold a token.
#[derive(Clone, PartialEq)]
pub struct Posted {
    pub status: u16,
    pub retry_after_ms: Option<u64>,
    pub body: String,
}

/// A form that was not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct NotPosted {
    pub why: String,
    /// Something was sent, so what the form asks for may have been done.
    pub is_lost: bool,
}

impl Client {
    pub fn new(timeout_ms: u64, allow: Vec<String>) -> anyhow::Result<Self> {
        // This fails if a provider is installed already, which is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = reqwest::Client::builder();
            // What is written to a connection that is closed must not arrive later than the host believes that it can.
            #[cfg(target_os = "linux")]
            let builder = {
                let unacknowledged_ms = Delivery::unacknowledged_ms(timeout_ms);
                builder.tcp_user_timeout(Duration::from_millis(unacknowledged_ms))
            };
            builder
                .timeout(Duration::from_millis(timeout_ms))
                .connect_timeout(CONNECT_TIMEOUT.min(Duration::from_millis(timeout_ms)))
                // A redirect would take the credentials to another address.
                .redirect(redirect::Policy::none())
                .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
        };
        let Built { client: public, is_by_own } = built(|| builder().dns_resolver(PublicOnly).https_only(true))?;
        if is_by_own {
            tracing::info!("this system has no certificate authorities to read, so those that came with tandem count");
        }
        Ok(Self {
            public,
            allowed: built(builder)?.client,
            allow,
            large: Arc::new(Semaphore::new(LARGE_BYTES_MAX)),
            timeout: Duration::from_millis(timeout_ms),
        })
    }

    /// Asks for a token: posts a form, with secrets in it, and gives the whole answer.
    pub async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<Posted, NotPosted> {
        let not_sent = |why: String| NotPosted { why, is_lost: false };
        let url = Url::parse(url).map_err(|error| not_sent(format!("`{url}` is not an address: {error}")))?;
        let client = self.client_for(&url).map_err(not_sent)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = client
            .post(url)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .timeout(FORM_TIMEOUT.min(self.timeout))
            .body(body);
        let lost = |why: String| NotPosted { why, is_lost: true };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(not_sent(explain(&error))),
            Err(error) => return Err(lost(explain(&error))),
        };
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_after_ms = header("retry-after").and_then(|text| wait_ms(&text, header("date").as_deref()));
        let (status, mut body) = (response.status().as_u16(), vec![]);
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(explain(&error)))? {
            if body.len() + chunk.len() > SMALL_BYTES {
                return Err(lost(format!("the answer is longer than {} KiB", SMALL_BYTES >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Posted { status, retry_after_ms, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Posts JSON with headers of its own, and gives the status of the answer, whose body is not read.
    pub async fn post_json(&self, url: &str, headers: &[(&str, &str)], body: &str) -> Result<u16, String> {
        let url = Url::parse(url).map_err(|error| format!("it is not an address: {error}"))?;
        let mut request = self.client_for(&url)?.post(url).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request.body(body.to_owned()).send().await;
        sent.map(|response| response.status().as_u16()).map_err(|error| explain(&error))
    }

    /// Sends a call with a token and tells how that ended.
    pub async fn send(&self, peer: &Peer, token: &str, call: &Call, api_version: &str) -> Outcome {
        let (method, url, body) = match address(peer, call, api_version) {
            Ok(address) => address,
            Err(why) => return Outcome::Blocked(why),
        };
        let client = match self.client_for(&url) {
            Ok(client) => client,
            Err(why) => return Outcome::Blocked(why),
        };
        let headers = match headers(&call.target, token) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Blocked(why),
        };
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        match request.send().await {
            Ok(response) => self.read(call, response).await,
            Err(error) if error.is_connect() || error.is_builder() => Outcome::NotSent(explain(&error)),
            Err(error) => Outcome::NoAnswer(explain(&error)),
        }
    }

    async fn read(&self, call: &Call, mut response: reqwest::Response) -> Outcome {
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_after_ms = header("retry-after").and_then(|text| wait_ms(&text, header("date").as_deref()));
        let encoding = header("content-encoding");
        let headers = HEADERS_KEPT.iter().filter_map(|name| Some(((*name).to_owned(), header(name)?))).collect();
        let mut body = vec![];
        // The permits for its bytes, given back when the answer has been read.
        let mut counted = vec![];
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                        return Outcome::NoAnswer(format!("the answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20));
                    }
                    if body.len() + chunk.len() > SMALL_BYTES {
                        let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
                        let Ok(permit) = self.large.try_acquire_many(bytes) else {
                            return Outcome::NoAnswer("too many large answers are being read".into());
                        };
                        counted.push(permit);
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                Err(error) => return Outcome::NoAnswer(explain(&error)),
            }
        }
        match answer::text(call, status, encoding.as_deref(), body) {
            Ok(body) => Outcome::Answered { answer: Answer { status, headers, body }, retry_after_ms },
            Err(why) => Outcome::NoAnswer(why),
        }
    }

    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, String> {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        if self.allow.contains(&authority) {
            return Ok(&self.allowed);
        }
        check_url(url.as_str(), &self.allow)?;
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if let Some(special) = literal.ok().and_then(addresses::special) {
            return Err(format!(
                "`{host}` is not a public address ({special})\nhint: allow it by name: `[network] allow = [\"{authority}\"]`"
            ));
        }
        Ok(&self.public)
    }
}

/// Method, address and body of a call.
fn address(peer: &Peer, call: &Call, api_version: &str) -> Result<(Method, Url, Option<String>), String> {
    let parse = |text: &str| Url::parse(text).map_err(|error| format!("`{text}` is not an address: {error}"));
    match &call.request {
        Request::Rest { method, path, query, body } => {
            check_path(path)?;
            let mut url = parse(&format!("{}{path}", peer.url))?;
            if !query.is_empty() {
                url.query_pairs_mut().extend_pairs(query);
            }
            let method = match method {
                model::Method::Get => Method::GET,
                model::Method::Post => Method::POST,
                model::Method::Put => Method::PUT,
                model::Method::Patch => Method::PATCH,
                model::Method::Delete => Method::DELETE,
            };
            Ok((method, url, body.clone()))
        }
        Request::Graphql { document, variables } => {
            let url = parse(&format!("{}/admin/api/{api_version}/graphql.json", peer.url))?;
            let document = serde_json::Value::String(document.clone());
            Ok((Method::POST, url, Some(format!(r#"{{"query":{document},"variables":{variables}}}"#))))
        }
    }
}

/// Checks that a path stays below the target's address: no empty, `.` or `..` segment, encoded or not, and no character
/// that would end the path.
pub fn check_path(path: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("the path `{path}` {why}"));
    let Some(segments) = path.strip_prefix('/') else { return refused("does not begin with `/`") };
    if path.contains(['?', '#', '\\']) || path.chars().any(|c| c.is_control() || c == ' ') {
        return refused("holds a character that must be percent-encoded");
    }
    for segment in segments.split('/') {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        if plain.is_empty() || plain == "." || plain == ".." {
            return refused("has an empty, `.` or `..` segment");
        }
    }
    Ok(())
}

fn headers(target: &str, token: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let secret = |text: String| {
        let mut value =
            HeaderValue::try_from(text).map_err(|_| format!("the token of {target} cannot stand in a header"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    match target {
        "shopify" => headers.insert("x-shopify-access-token", secret(token.to_owned())?),
        _ => headers.insert(AUTHORIZATION, secret(format!("Bearer {token}"))?),
    };
    Ok(headers)
}

/// The milliseconds of a `Retry-After`: seconds, which Shopify writes with a fraction (`2.0`), or a date. A date is
/// compared with the time that the answer itself names, since the clocks of the two systems may differ.
fn wait_ms(text: &str, date: Option<&str>) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return (seconds >= 0.0).then(|| (seconds.ceil() as u64).saturating_mul(1000));
    }
    let until = clock::parse_http(text)?;
    let now = date.and_then(clock::parse_http).unwrap_or_else(clock::now);
    u64::try_from(until.saturating_sub(now)).ok()
}

/// The innermost cause, without the address, which may hold personal data.
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".into();
    }
    let mut source = std::error::Error::source(error);
    let mut last = "the request failed".to_owned();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    last
}

/// Resolves names, and drops every address that is not public, so that no name leads into the operator's network.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> =
                found.into_iter().filter(|address| addresses::special(address.ip()).is_none()).collect();
            if public.is_empty() {
                return Err(format!("`{}` has no public address", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_target() {
        assert_eq!(check_path("/profiles/2b1c/addresses/upsert"), Ok(()));
        assert_eq!(check_path("/products/gid:%2F"), Ok(()));
        for bad in [
            "",
            "profiles",
            "/",
            "/a//b",
            "/a/",
            "/../auth",
            "/a/%2e%2E/b",
            "/a/.",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\\..\\b",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn nothing_goes_to_a_private_address_that_is_not_allowed_by_name() {
        let client = Client::new(1_000, vec!["127.0.0.1:1".into()]).unwrap();
        let request = Request::Rest { method: model::Method::Get, path: "/x".into(), query: vec![], body: None };
        let call = Call { target: "omneo".into(), request, effect: model::Effect::Read };
        let send = async |url: &str| client.send(&Peer::with_token(url, "t"), "t", &call, "").await;
        for (url, why) in [
            ("https://127.0.0.1:2", "is not a public address (loopback)"),
            ("https://[::1]:2", "is not a public address (loopback)"),
            ("https://[2001::1]:2", "is not a public address (Teredo)"),
            ("http://shop.test", "is not https"),
        ] {
            let outcome = send(url).await;
            assert!(matches!(&outcome, Outcome::Blocked(said) if said.contains(why)), "{url}: {outcome:?}");
        }
        // A name that leads to a private address is refused when it is resolved.
        let outcome = send("https://localhost:2").await;
        assert!(matches!(&outcome, Outcome::NotSent(said) if said.contains("no public address")), "{outcome:?}");
        // An address that is allowed by name is tried; nobody listens there.
        let outcome = send("http://127.0.0.1:1").await;
        assert!(matches!(&outcome, Outcome::NotSent(said) if !said.contains("public")), "{outcome:?}");
    }

    #[tokio::test]
    async fn large_answers_share_what_there_is_and_small_ones_need_nothing_of_it() {
        let mut client = Client::new(5_000, vec![]).unwrap();
        client.large = Arc::new(Semaphore::new(SMALL_BYTES));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        client.allow.push(address.to_string());
        tokio::spawn(async move {
            for length in [SMALL_BYTES, SMALL_BYTES * 3, SMALL_BYTES / 2 * 3] {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap();
                let body = format!("[{}]", " ".repeat(length - 2));
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                // Writing fails if the client gives up and closes.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
            }
        });
        let request = Request::Rest { method: model::Method::Get, path: "/x".into(), query: vec![], body: None };
        let call = Call { target: "omneo".into(), request, effect: model::Effect::Read };
        let peer = Peer::with_token(&format!("http://{address}"), "t");
        for is_read in [true, false, true] {
            let outcome = client.send(&peer, "t", &call, "").await;
            match outcome {
                Outcome::Answered { .. } => assert!(is_read),
                Outcome::NoAnswer(why) => assert!(!is_read && why == "too many large answers are being read", "{why}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(client.large.available_permits(), SMALL_BYTES);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = Some("Wed, 21 Oct 2026 07:28:00 GMT");
        let table = [
            ("2.0", Some(2_000)),
            (" 7 ", Some(7_000)),
            ("0.2", Some(1_000)),
            ("0", Some(0)),
            ("1e300", Some(u64::MAX)),
            ("inf", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(30_000)),
            ("Wed, 21 Oct 2026 07:27:30 GMT", None),
            ("Thu, 21 Oct 9999 07:28:00 GMT", Some(251_603_539_200_000)),
            ("Wed, 41 Oct 2026 07:28:30 GMT", None),
        ];
        for (text, wait) in table {
            assert_eq!(wait_ms(text, date), wait, "{text}");
        }
        assert!(wait_ms("Thu, 21 Oct 9999 07:28:00 GMT", None).is_some());
    }
}
