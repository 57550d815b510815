//! The answer of an API that does not do what was asked: a problem as `application/problem+json` (RFC 9457). Its `type`
//! says which problem it is, and is what clients match on; its `detail` is for people. Knows words and numbers, and no
//! HTTP library.

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// How the `type` of each problem begins.
const TYPE_PREFIX: &str = "urn:tandem:problem:";

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The kind of the problem, which clients match on.
    #[serde(rename = "type")]
    pub kind: Kind,
    pub title: String,
    pub status: u16,
    /// For people: what is wrong, and what to do.
    pub detail: String,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Some value in the request is not valid for its type.
    BadRequest,
    NoToken,
    UnknownToken,
    OperatorsOnly,
    NoTenant,
    /// The API has no such address.
    NoAddress,
    /// The request names something that does not exist.
    NotFound,
    NoMethod,
    /// The present state of the tenant, version or event does not allow the request.
    Conflict,
    TooLong,
    MediaType,
    /// The request can be read, but cannot be carried out as it is.
    Unfit,
    /// The host failed; its log says why.
    Host,
    /// Webhooks cannot be stored at the moment.
    NotReady,
    /// The tenant has used up its space in the journal.
    NoRoom,
    /// The tenant's tokens have as many requests under way as are allowed.
    TooMany,
    /// A kind that this program does not know, because it comes from another version.
    #[default]
    Other,
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::NoToken,
        Self::UnknownToken,
        Self::OperatorsOnly,
        Self::NoTenant,
        Self::NoAddress,
        Self::NotFound,
        Self::NoMethod,
        Self::Conflict,
        Self::TooLong,
        Self::MediaType,
        Self::Unfit,
        Self::Host,
        Self::NotReady,
        Self::NoRoom,
        Self::TooMany,
    ];

    /// The status, the last part of the type, and the title.
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad-request", "The request cannot be read"),
            Self::NoToken => (401, "no-token", "A token is missing"),
            Self::UnknownToken => (401, "unknown-token", "The token is not in force"),
            Self::OperatorsOnly => (403, "operators-only", "This takes an operator's token"),
            Self::NoTenant => (404, "no-tenant", "There is no such tenant"),
            Self::NoAddress => (404, "no-address", "There is nothing at this address"),
            Self::NotFound => (404, "not-found", "What the request names is not there"),
            Self::NoMethod => (405, "no-method", "The address takes another method"),
            Self::Conflict => (409, "conflict", "The present state does not allow it"),
            Self::TooLong => (413, "too-long", "The body is too long"),
            Self::MediaType => (415, "media-type", "The body has another media type than it must have"),
            Self::Unfit => (422, "unfit", "The request asks for what cannot be"),
            Self::Host => (500, "host", "The host failed"),
            Self::NotReady => (503, "not-ready", "The host cannot take webhooks in"),
            Self::NoRoom => (507, "no-room", "The tenant has used up its room in the journal"),
            Self::TooMany => (429, "too-many", "Too many requests of the tenant are under way"),
            Self::Other => (500, "other", "Something went wrong"),
        }
    }

    pub fn status(self) -> u16 {
        self.words().0
    }

    pub fn title(self) -> &'static str {
        self.words().2
    }

    /// The `type` of problems of this kind.
    pub fn uri(self) -> String {
        format!("{TYPE_PREFIX}{}", self.words().1)
    }

    /// The kind for a request that could not be read, by the status that a library gave it.
    pub fn of_status(status: u16) -> Self {
        Self::ALL.into_iter().find(|kind| kind.status() == status).unwrap_or(Self::BadRequest)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.uri())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::ALL.into_iter().find(|kind| kind.uri() == text).unwrap_or(Self::Other))
    }
}

impl Default for Problem {
    fn default() -> Self {
        Self::new(Kind::Other, "")
    }
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, title: kind.title().to_owned(), status: kind.status(), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_problem_has_a_type_of_its_own() {
        let types: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.uri()).collect();
        assert_eq!(types.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let text = serde_json::to_string(&Problem::new(kind, "why")).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), Problem::new(kind, "why"));
        }
    }

    #[test]
    fn one_of_another_version_is_read_too() {
        let text = r#"{"type":"urn:tandem:problem:too-hot","title":"t","status":418,"detail":"d"}"#;
        assert_eq!(serde_json::from_str::<Problem>(text).unwrap().kind, Kind::Other);
    }
}
