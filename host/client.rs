//! Sends requests: TLS to public addresses, anything else only where the operator has allowed it by name.
//!
//! The only module that sends. Knows HTTP; not which answers are good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url, redirect};

use crate::config::{Delivery, Peer, check_url};
use crate::model::{self, Answer, Call, Request};
use crate::retry::Outcome;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Headers of an answer that rules are given.
const HEADERS_KEPT: [&str; 4] = ["link", "location", "x-shopify-api-version", "x-request-id"];

#[derive(Clone)]
pub struct Client {
    /// Follows names to public addresses only.
    public: reqwest::Client,
    /// For the authorities in `allow`.
    allowed: reqwest::Client,
    allow: Vec<String>,
}

impl Client {
    pub fn new(timeout_ms: u64, allow: Vec<String>) -> anyhow::Result<Self> {
        // Installing it twice is no mistake: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = reqwest::Client::builder();
            // What is written to a connection that is closed must not arrive after everybody thinks that it cannot.
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
        Ok(Self {
            public: builder().dns_resolver(PublicOnly).https_only(true).build().context("building the HTTP client")?,
            allowed: builder().build().context("building the HTTP client")?,
            allow,
        })
    }

    /// Sends a call and tells how that ended.
    pub async fn send(&self, peer: &Peer, call: &Call, api_version: &str) -> Outcome {
        let (method, url, body) = match address(peer, call, api_version) {
            Ok(address) => address,
            Err(why) => return Outcome::Blocked(why),
        };
        let client = match self.client_for(&url) {
            Ok(client) => client,
            Err(why) => return Outcome::Blocked(why),
        };
        let headers = match headers(&call.target, &peer.token) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Blocked(why),
        };
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() || error.is_builder() => Outcome::NotSent(explain(&error)),
            Err(error) => Outcome::NoAnswer(explain(&error)),
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
        if literal.is_ok_and(|address| !is_public(address)) {
            return Err(format!(
                "`{host}` is not a public address\nhint: allow it by name: `[network] allow = [\"{authority}\"]`"
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

/// A path must stay below the target's address: no empty, `.` or `..` segment, encoded or not, and nothing that ends it.
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

async fn read(mut response: reqwest::Response) -> Outcome {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let retry_after_ms =
        header("retry-after").and_then(|text| seconds(&text)).map(|seconds| seconds.saturating_mul(1000));
    let headers = HEADERS_KEPT.iter().filter_map(|name| Some(((*name).to_owned(), header(name)?))).collect();
    let mut body = vec![];
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Outcome::NoAnswer(format!("the answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Outcome::NoAnswer(explain(&error)),
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Outcome::Answered { answer: Answer { status, headers, body }, retry_after_ms }
}

/// `Retry-After` in seconds; Shopify writes them with a fraction (`2.0`). A date is not read: the schedule serves.
fn seconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds.ceil() as u64)
}

/// The innermost causes, without the address: it may hold what is no one's business.
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

/// Resolves names, and drops every address that is not public: a name must not lead into the operator's network.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("`{}` has no public address", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

/// Outside the blocks that RFC 6890 and its registry reserve.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // Global unicast is 2000::/3; 2001:db8::/32 is for documentation, 2002::/16 and 64:ff9b::/96 carry IPv4.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && address.segments()[1] == 0x0db8)
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, .., y, z] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0x2002, _) => Some(v4(b, address.segments()[2])),
        (0x0064, 0xff9b) => Some(v4(y, z)),
        _ => address.to_ipv4_mapped(),
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

    #[test]
    fn only_public_addresses_are_public() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for good in ["23.227.38.65", "2606:4700::1111", "64:ff9b::17e3:2641", "2002:17e3:2641::1"] {
            assert!(public(good), "{good}");
        }
        let bad = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2001:db8::1",
        ];
        for bad in bad {
            assert!(!public(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn nothing_goes_to_a_private_address_that_is_not_allowed_by_name() {
        let client = Client::new(1_000, vec!["127.0.0.1:1".into()]).unwrap();
        let request = Request::Rest { method: model::Method::Get, path: "/x".into(), query: vec![], body: None };
        let call = Call { target: "omneo".into(), request, effect: model::Effect::Read };
        let send = async |url: &str| {
            let peer = Peer { url: url.into(), token: "t".into(), webhook_secrets: vec![], per_minute: None };
            client.send(&peer, &call, "").await
        };
        for (url, why) in [
            ("https://127.0.0.1:2", "is not a public address"),
            ("https://[::1]:2", "is not a public address"),
            ("http://shop.test", "is not https"),
        ] {
            let outcome = send(url).await;
            assert!(matches!(&outcome, Outcome::Blocked(said) if said.contains(why)), "{url}: {outcome:?}");
        }
        // A name that leads there is found out when it is resolved.
        let outcome = send("https://localhost:2").await;
        assert!(matches!(&outcome, Outcome::NotSent(said) if said.contains("no public address")), "{outcome:?}");
        // Allowed by name, it is tried; nobody listens.
        let outcome = send("http://127.0.0.1:1").await;
        assert!(matches!(&outcome, Outcome::NotSent(said) if !said.contains("public")), "{outcome:?}");
    }

    #[test]
    fn retry_after_may_have_a_fraction() {
        assert_eq!(seconds("2.0"), Some(2));
        assert_eq!(seconds("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(seconds("-1"), None);
    }
}
