//! The types that every stage shares: events, calls, replies, endings, failures.
//!
//! Knows neither disk, network nor wasm.

mod domain;

use std::fmt;

pub use domain::{Shop, shop_as_typed, shop_of_shopify};
use serde::{Deserialize, Serialize};

/// Greatest length of an entity's name.
const NAME_BYTES_MAX: usize = 500;

/// The number of an event in the journal. It is unique there, and ascends in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub i64);

/// One run of an event through one version of the rules, with one state of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub i64);

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Milliseconds of a clock that only goes forward, even when the time of day is changed. Rates and waits use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The milliseconds from an earlier tick to this one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A verified webhook, before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub tenant: String,
    /// `shopify` or `omneo`.
    pub source: String,
    pub topic: String,
    /// The sender's id of this delivery, if it gives one. Two deliveries with the same id are the same event.
    pub delivery_id: Option<String>,
    /// RFC 3339.
    pub occurred_at: String,
    pub received_at: Millis,
    pub api_version: String,
    pub payload: String,
}

/// A journalled webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub webhook: Webhook,
}

/// The names of the entity that an event is about, in the form `source/kind/id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub names: Vec<String>,
    pub after: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    pub target: String,
    pub request: Request,
    pub effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Read,
    Repeatable,
    Once,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    Rest { method: Method, path: String, query: Vec<(String, String)>, body: Option<String> },
    Graphql { document: String, variables: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    Answer(Answer),
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Send { calls: Vec<Call>, names: Names },
    End(End),
}

#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub outcome: Outcome,
    pub reason: String,
    /// `None` leaves the memory as it was. An empty text deletes it.
    pub memory: Option<String>,
    pub names: Names,
}

/// What a run has found out about the names of its entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Names {
    pub learned: Vec<String>,
    /// Names of things that are gone for good. They still belong to the entity, but no longer count as names of their
    /// kind.
    pub retired: Vec<String>,
}

/// How an event ended, according to the rules or to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    Skipped,
    /// Declined by the rules; a dead letter.
    Refused,
    /// Declined by the rules because of its payload; a dead letter.
    Invalid,
    /// Given up by the host because of a [`Failure`]; a dead letter.
    Failed,
    /// Put away by a person.
    Discarded,
}

/// Where the cause of a failure lies, which decides who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The data that was received.
    Payload,
    /// The tenant's rules.
    Plugin,
    /// Shopify or Omneo.
    Peer,
    /// Tandem itself.
    Host,
}

/// Why the rules could not bring an event to an end, in words for the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub blame: Blame,
    pub reason: String,
}

impl Failure {
    pub fn new(blame: Blame, reason: impl Into<String>) -> Self {
        Self { blame, reason: reason.into() }
    }
}

impl Next {
    pub fn names(&self) -> &Names {
        match self {
            Self::Send { names, .. } | Self::End(End { names, .. }) => names,
        }
    }
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// Whether a person should look at the event.
    pub fn is_dead_letter(self) -> bool {
        !matches!(self, Self::Done | Self::Skipped | Self::Discarded)
    }
}

impl Blame {
    pub fn name(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Plugin => "plugin",
            Self::Peer => "peer",
            Self::Host => "host",
        }
    }
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Call {
    /// The call in one line: `PUT omneo /profiles/2b1c`, `GET omneo /profiles?email=a@b.c`, `shopify UpdatePerson`.
    pub fn line(&self) -> String {
        let place = self.place();
        match &self.request {
            Request::Rest { query, .. } if !query.is_empty() => {
                let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{place}?{}", query.join("&"))
            }
            _ => place,
        }
    }

    /// The line without the query: target, method and path, or target and operation.
    pub fn place(&self) -> String {
        match &self.request {
            Request::Rest { method, path, .. } => format!("{} {} {path}", method.name(), self.target),
            Request::Graphql { document, .. } => format!("{} {}", self.target, operation(document)),
        }
    }

    /// The body or the variables of the request, for people.
    pub fn body(&self) -> &str {
        match &self.request {
            Request::Rest { body, .. } => body.as_deref().unwrap_or_default(),
            Request::Graphql { variables, .. } => variables,
        }
    }

    pub fn bytes(&self) -> usize {
        match &self.request {
            Request::Rest { path, query, body, .. } => {
                path.len()
                    + query.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
                    + body.as_ref().map_or(0, String::len)
            }
            Request::Graphql { document, variables } => document.len() + variables.len(),
        }
    }
}

impl Next {
    pub fn bytes(&self) -> usize {
        let texts = |names: &Names| names.learned.iter().chain(&names.retired).map(String::len).sum::<usize>();
        match self {
            Self::Send { calls, names } => calls.iter().map(Call::bytes).sum::<usize>() + texts(names),
            Self::End(end) => end.reason.len() + end.memory.as_ref().map_or(0, String::len) + texts(&end.names),
        }
    }
}

impl Reply {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Answer(answer) => answer.body.len(),
            Self::Unknown(why) => why.len(),
        }
    }
}

/// The name of a document's operation; `query` or `mutation` when it has none.
fn operation(document: &str) -> &str {
    let mut words = document.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    match words.find(|word| matches!(*word, "query" | "mutation")) {
        Some(kind) => words.next().unwrap_or(kind),
        None => "query",
    }
}

/// Whether the host itself acts on events of this source and topic. Such events are never held.
pub fn is_duty(source: &str, topic: &str) -> bool {
    const TOPICS: [&str; 5] =
        ["customers/redact", "customers/data_request", "shop/redact", "app/uninstalled", "app/scopes_update"];
    source == "shopify" && TOPICS.contains(&topic)
}

/// A shop's domain in the form in which shops are compared, independent of notation: `acme.myshopify.com` for
/// `ACME.myshopify.com.` and `https://acme.myshopify.com/`.
pub fn shop(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("https://").unwrap_or(&lower);
    bare.trim_end_matches(['/', '.']).to_owned()
}

/// Greatest length of a domain according to the domain name system.
const DOMAIN_CHARS_MAX: usize = 253;

/// Why Shopify cannot name a shop by this domain, which must be in the form that [`shop`] returns; `None` if it can.
/// Every webhook has a domain such as `acme.myshopify.com`, even when the shop has other domains.
pub fn no_shop(domain: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let is_domain = domain.contains('.') && domain.len() <= DOMAIN_CHARS_MAX && domain.chars().all(fits);
    let is_shopifys = domain.ends_with("shopify.com") && !domain.ends_with(".myshopify.com");
    (!is_domain || is_shopifys).then(|| {
        format!("`{domain}` is no shop\nhint: write the domain that ends in `.myshopify.com`: `acme.myshopify.com`")
    })
}

/// Whether a text is a valid name: three parts, none of them empty. The last part may contain further slashes.
pub fn is_name(text: &str) -> bool {
    let mut parts = text.splitn(3, '/');
    (0..3).all(|_| parts.next().is_some_and(|part| !part.is_empty()))
        && text.len() <= NAME_BYTES_MAX
        && !text.contains(char::is_control)
}

/// Whether one of Shopify's scopes was granted. Where writing is granted, Shopify lists only `write_orders`, which
/// includes reading.
pub fn is_scope_granted(scope: &str, granted: &[String]) -> bool {
    let write = scope.replacen("read_", "write_", 1);
    granted.iter().any(|given| given == scope || *given == write)
}

/// Finds two different names of the same kind in the two lists, and says so. Only an event may declare two names of one
/// kind to be one entity; the rules may not conclude it.
pub fn two_of_a_kind(own: &[String], theirs: &[String]) -> Option<String> {
    let kind = |name: &str| name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    own.iter().find_map(|one| {
        let other = theirs.iter().find(|other| *other != one && kind(other) == kind(one))?;
        Some(format!("the rules concluded that `{one}` and `{other}` are one, which only an event may say"))
    })
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_has_one_form() {
        let forms = [
            "acme.myshopify.com",
            "ACME.MyShopify.com",
            "acme.myshopify.com.",
            " acme.myshopify.com ",
            "https://acme.myshopify.com",
            "HTTPS://Acme.myshopify.com./",
        ];
        for form in forms {
            assert_eq!(shop(form), "acme.myshopify.com", "{form}");
        }
        for other in ["acme.myshopify.com.evil.example", "acme-myshopify.com", "", "http://acme.myshopify.com"] {
            assert_ne!(shop(other), "acme.myshopify.com", "{other}");
        }
    }
}
