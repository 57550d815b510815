//! A command's way to a host: asks its admin API, and says in words what came of it.
//!
//! Knows HTTP, tokens and problems (RFC 9457); neither the verbs nor what an answer means.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, SERVER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client;
use crate::paint::harmless;
use crate::problem::{Kind, MEDIA_TYPE, Problem};

/// Longest answer that is read: an event may hold many payloads.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For a verb that only looks or writes a row, and for one that compiles or replays.
const QUICK_MAX: Duration = Duration::from_secs(30);
const SLOW_MAX: Duration = Duration::from_secs(15 * 60);
/// What a host's answers name it as, before its version.
const PRODUCT: &str = "tandem/";
const OWN: &str = concat!("tandem/", env!("CARGO_PKG_VERSION"));

/// A host, and the token to show it.
pub struct Remote {
    client: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
}

/// A method and a path of the admin API, with `{…}` for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    /// Whether it may take minutes.
    pub is_slow: bool,
}

/// What goes with it.
pub enum Body {
    Nothing,
    Json(Value),
    File { kind: &'static str, sha256: Option<String>, bytes: Vec<u8> },
}

/// What came back, of a request that was granted.
pub struct Answer {
    pub text: String,
    /// What the host says it is: `tandem/0.1.0`.
    server: String,
}

impl Remote {
    /// An error: the address is none, or the token may not be sent there.
    pub fn new(address: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let base = address_of(address)?;
        let is_plain = base.scheme() == "http";
        if token.is_some() && is_plain && !is_loopback(&base) {
            bail!(
                "the token would travel in the clear to `{base}`, for anybody on the way to read\nhint: use https, or a tunnel: `ssh -L 8081:127.0.0.1:8081 {}`, and `--host http://127.0.0.1:8081`",
                base.host_str().unwrap_or_default()
            );
        }
        let token = token.map(header).transpose()?;
        // Installing it twice is no mistake: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let client = reqwest::Client::builder()
                .connect_timeout(CONNECT_MAX)
                // A redirect would take the token to another address.
                .redirect(redirect::Policy::none())
                .user_agent(OWN);
            // A proxy would read what goes to a plain address; what goes to https passes it sealed.
            if is_plain { client.no_proxy() } else { client }
        };
        Ok(Self { client: client::built(builder)?.client, base, token })
    }

    /// Where it is, for people.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks, and gives the answer if it was granted. `names` take the places of `{…}` in the path, in order.
    pub async fn ask(
        &self,
        operation: Operation,
        names: &[&str],
        query: &[(&str, String)],
        body: Body,
    ) -> anyhow::Result<Answer> {
        let url = self.url(operation.path, names, query)?;
        let method = Method::from_bytes(operation.method.as_bytes()).context("a method of the table")?;
        let patience = if operation.is_slow { SLOW_MAX } else { QUICK_MAX };
        let mut request = self.client.request(method, url).timeout(patience);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let response = with_body(request, body).send().await.map_err(|error| self.unreached(&error, patience))?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (server, kind) = (header(SERVER).to_owned(), header(CONTENT_TYPE).to_owned());
        let location = header(LOCATION).to_owned();
        let text = self.read(response, patience).await?;
        if !server.starts_with(PRODUCT) {
            return Err(self.no_host(status, &location));
        }
        if status.is_success() {
            return Ok(Answer { text, server });
        }
        let problem = kind.starts_with(MEDIA_TYPE);
        let problem = problem.then(|| serde_json::from_str::<Problem>(&text).ok()).flatten();
        Err(self.refused(operation, status, problem, &text, &server))
    }

    fn url(&self, path: &str, names: &[&str], query: &[(&str, String)]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        let mut names = names.iter();
        {
            let mut segments = url.path_segments_mut().map_err(|()| anyhow!("`{}` has no paths", self.base))?;
            segments.pop_if_empty();
            for part in path.split('/').skip(1) {
                let part = if part.starts_with('{') { *names.next().context("a name is missing")? } else { part };
                if ["", ".", ".."].contains(&part) {
                    bail!("`{part}` is no name of anything");
                }
                segments.push(part);
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn read(&self, mut response: Response, patience: Duration) -> anyhow::Result<String> {
        let mut body = vec![];
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreached(&error, patience))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the answer of `{}` is longer than {} MiB", self.address(), ANSWER_BYTES_MAX >> 20);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn unreached(&self, error: &reqwest::Error, patience: Duration) -> anyhow::Error {
        let mut why = "the request failed".to_owned();
        let mut source = error.source();
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        let is_tls = why.contains("certificate") || why.contains("InvalidContentType") || why.contains("handshake");
        let hint = if error.is_timeout() && !error.is_connect() {
            why = format!("none within {patience:?}");
            "what was asked may be done all the same: look before you ask again"
        } else if self.base.scheme() == "https" && is_tls {
            "does it speak plain http? then write `http://…`; a certificate must be one that this machine trusts"
        } else if error.is_connect() || error.is_timeout() {
            "is `tandem serve` running there? its log says where the admin API listens"
        } else {
            "is that the admin API, and is it http or https? the log of `tandem serve` says where it listens"
        };
        anyhow!("no answer from `{}`: {why}\nhint: {hint}", self.address())
    }

    /// Something answered that is no admin API.
    fn no_host(&self, status: StatusCode, location: &str) -> anyhow::Error {
        let (address, status) = (self.address(), status.as_u16());
        if (300..400).contains(&status) {
            let to = harmless(location);
            return anyhow!(
                "`{address}` answers {status} and sends on to `{to}`, where the token is not taken\nhint: if you trust that address, name it with `--host`"
            );
        }
        anyhow!(
            "`{address}` answers {status}, and not as the admin API of a Tandem host does\nhint: webhooks have another address than operators: `[admin] listen` in the host's configuration, 127.0.0.1:8081 by default; a proxy must pass the header `server` on"
        )
    }

    fn refused(
        &self,
        operation: Operation,
        status: StatusCode,
        problem: Option<Problem>,
        text: &str,
        server: &str,
    ) -> anyhow::Error {
        let address = self.address();
        let Operation { method, path, .. } = operation;
        let other = || other_version(server);
        let detail = harmless(problem.as_ref().map_or(text.trim(), |problem| &problem.detail));
        // Whoever stands between may answer without a problem; then the status says as much.
        let kind = problem.as_ref().map(|problem| problem.kind);
        match kind.unwrap_or_else(|| Kind::of_status(status.as_u16())) {
            Kind::NoToken | Kind::UnknownToken if self.token.is_none() => anyhow!(
                "`{address}` wants a token\nhint: put it into `TANDEM_TOKEN`, or into a file that `--token-file` names; `tandem token create NAME`, beside the journal, makes one"
            ),
            Kind::NoToken | Kind::UnknownToken => anyhow!(
                "`{address}` does not take this token: it is not known there, or was revoked\nhint: `tandem token list`, beside the journal, shows those in force"
            ),
            Kind::OperatorsOnly => anyhow!("{detail}\nhint: `TANDEM_TOKEN` or `--token-file` gives another token"),
            Kind::NoAddress | Kind::NoMethod => {
                anyhow!("`{address}` does not know `{method} {path}`\nhint: {}", other())
            }
            Kind::NoTenant if problem.is_some() => {
                anyhow!("{detail}, or the token is not for it\nhint: `tandem tenants` lists those that it is for")
            }
            Kind::TooLong => anyhow!("the file is longer than `{address}` takes\nhint: {detail}"),
            _ if problem.is_none() && status.is_client_error() => {
                anyhow!("`{address}` answers {}: {detail}\nhint: {}", status.as_u16(), other())
            }
            _ => anyhow!("{detail}"),
        }
    }
}

impl Answer {
    /// The answer as this.
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        // By way of a value: numbers that are kept exact can be read from nothing else inside a flattened struct.
        let value = serde_json::from_str::<Value>(&self.text).and_then(serde_json::from_value);
        value.map_err(|error| {
            anyhow!("the host's answer is not what it should be: {error}\nhint: {}", other_version(&self.server))
        })
    }
}

fn other_version(server: &str) -> String {
    format!("the host is {}, this is {OWN}: use the `tandem` of its version", harmless(server))
}

fn address_of(address: &str) -> anyhow::Result<Url> {
    let hint = "write it as `http://127.0.0.1:8081` or `https://ops.example.org`";
    let url =
        Url::parse(address).map_err(|error| anyhow!("`{address}` is no address of a host: {error}\nhint: {hint}"))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        bail!("`{address}` is no address of a host: it begins with neither `http://` nor `https://`\nhint: {hint}");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        bail!("the address of a host is only that, without a user, a `?` or a `#`\nhint: {hint}");
    }
    Ok(url)
}

/// Whether nobody but this machine sees what is sent there.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn header(token: &str) -> anyhow::Result<HeaderValue> {
    let is_fit = !token.is_empty() && token.bytes().all(|c| c.is_ascii_graphic());
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_fit);
    let mut value = value.context("the token is none: it is one word\nhint: is it the right file, or variable?")?;
    value.set_sensitive(true);
    Ok(value)
}

fn with_body(request: RequestBuilder, body: Body) -> RequestBuilder {
    match body {
        Body::Nothing => request,
        Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json.to_string()),
        Body::File { kind, sha256, bytes } => {
            let request = request.header(CONTENT_TYPE, kind);
            let request = match sha256 {
                Some(sha256) => request.header("x-sha256", sha256),
                None => request,
            };
            request.body(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, token: Option<&str>) -> String {
        Remote::new(address, token).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_token_goes_in_the_clear_to_this_machine_only() {
        for good in ["http://127.0.0.1:8081", "http://[::1]:1", "http://localhost:1", "https://ops.example.org/tandem"]
        {
            assert_eq!(refused(good, Some("tandem_00")), "", "{good}");
        }
        for bad in ["http://10.0.0.5:8081", "http://ops.example.org", "http://localhost.example.org", "http://[::2]"] {
            let said = refused(bad, Some("tandem_00"));
            assert!(said.contains("in the clear") && said.contains("\nhint: use https"), "{bad}: {said}");
            assert_eq!(refused(bad, None), "", "{bad}");
        }
    }

    #[test]
    fn what_is_no_address_or_no_token_is_said() {
        for bad in ["127.0.0.1:8081", "localhost:8081", "ftp://a", "", "http://u:p@127.0.0.1", "http://127.0.0.1/?a"] {
            assert!(refused(bad, None).contains("\nhint: write it as `http://127.0.0.1:8081`"), "{bad}");
        }
        for bad in ["", "two words", "a\nb", "ä"] {
            assert!(refused("http://127.0.0.1:1", Some(bad)).starts_with("the token is none"), "{bad}");
        }
    }

    #[test]
    fn names_are_parts_of_a_path_and_nothing_more() {
        let remote = Remote::new("https://ops.example.org/tandem/", None).unwrap();
        let url = |name: &str| remote.url("/v1/tenants/{tenant}/events", &[name], &[("topic", "a&b".into())]);
        let shown = |name: &str| url(name).unwrap().to_string();
        assert_eq!(shown("acme"), "https://ops.example.org/tandem/v1/tenants/acme/events?topic=a%26b");
        assert_eq!(shown("a/b?c"), "https://ops.example.org/tandem/v1/tenants/a%2Fb%3Fc/events?topic=a%26b");
        for bad in ["", ".", ".."] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
