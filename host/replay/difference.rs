//! What differs between a record and what a candidate does instead, by JSON pointers. Knows calls and JSON; asks
//! nobody.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::{Call, EventId, Request};

/// Differences between two values that are listed. Further ones are not looked for.
const CHANGES_MAX: usize = 100;

/// How an event fares with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It traps, takes too long or too much, or says something that rules may not say, and the record does none of
    /// that.
    Failed,
    /// It asks for something that has no recorded reply.
    Diverged,
    Different,
    NoLongerHeard,
    /// The event was skipped because nobody listened, and the candidate listens.
    NewlyHeard,
    Identical,
    /// Neither the recorded version nor the candidate listens.
    Unheard,
    /// The rules did not bring it to an end.
    Unfinished,
    Redacted,
    /// The host itself handles its topic.
    Host,
    /// Not everything that its run was given is there any more, or an older host ran it, which did not keep that.
    Incomplete,
}

/// One event, recorded and through a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub event: EventId,
    /// `shopify orders/paid`
    pub topic: String,
    pub class: Class,
    /// Why it failed, or why it is not compared, in the host's words: never with a value in it.
    pub note: String,
    /// The whole reason why it failed, as the tenant would read it.
    pub reason: String,
    /// Whether the candidate puts the event into another lane: versions that do are not swapped while lanes are in use.
    pub key_differs: bool,
    /// In order, those of calls first.
    pub changes: Vec<Change>,
    /// How many of the recorded calls the candidate asked for, too, and how many there are.
    pub calls_asked: usize,
    pub calls_recorded: usize,
}

/// One place that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The call that it is in, without ids. `None`: it is in the key or the ending of the event.
    pub call: Option<String>,
    /// JSON pointer. In a call, it is below `/query`, `/body`, `/document`, `/variables`, `/effect` or `/pass`, or
    /// empty for the whole call; in an event, below `/key`, `/outcome`, `/reason`, `/memory` or `/names`.
    pub at: String,
    /// The values then and now. `None`: there was none, or there is none.
    pub then: Option<Value>,
    pub now: Option<Value>,
}

/// A change without what is particular to its event, so that changes of many events can be the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// With `*` for every number in it.
    pub at: String,
    pub change: Kind,
    /// Then and now, where these are words of Tandem's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<[String; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Added,
    Changed,
    Removed,
}

impl Class {
    pub const ALL: [Self; 11] = [
        Self::Identical,
        Self::Different,
        Self::Diverged,
        Self::Failed,
        Self::NewlyHeard,
        Self::NoLongerHeard,
        Self::Unheard,
        Self::Unfinished,
        Self::Redacted,
        Self::Host,
        Self::Incomplete,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Different => "different",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::NewlyHeard => "newly heard",
            Self::NoLongerHeard => "no longer heard",
            Self::Unheard => "unheard",
            Self::Unfinished => "unfinished",
            Self::Redacted => "redacted",
            Self::Host => "the host's",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Change {
    pub fn kind(&self) -> Kind {
        match (&self.then, &self.now) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            _ => Kind::Changed,
        }
    }

    pub fn shape(&self) -> Shape {
        let part = |part: &str| {
            let is_number = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            if is_number { "*".to_owned() } else { part.to_owned() }
        };
        let at = self.at.split('/').map(part).collect::<Vec<_>>().join("/");
        let is_own = ["/outcome", "/effect", "/pass"].contains(&at.as_str());
        let word = |value: &Option<Value>| match value {
            Some(Value::String(word)) => word.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let words = is_own.then(|| [word(&self.then), word(&self.now)]);
        Shape { call: self.call.clone(), at, change: self.kind(), words }
    }
}

/// Where a call goes, without what is particular to it: `PUT omneo /profiles/*`.
pub fn route(call: &Call) -> String {
    let place = call.place();
    if matches!(call.request, Request::Graphql { .. }) {
        return place;
    }
    let is_id = |part: &str| part.contains(|c: char| c.is_ascii_digit() || c == '@');
    place.split('/').map(|part| if is_id(part) { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// All that a call says beside where it goes.
pub fn content(call: &Call) -> Value {
    let mut content = Map::new();
    match &call.request {
        Request::Rest { query, body, .. } => {
            for (name, value) in query {
                let values = content.entry("query").or_insert_with(|| json!({}));
                // A name may come twice.
                let values = values.as_object_mut().map(|query| query.entry(name).or_insert_with(|| json!([])));
                if let Some(Value::Array(values)) = values {
                    values.push(json!(value));
                }
            }
            if let Some(body) = body {
                content.insert("body".into(), parsed(body));
            }
        }
        Request::Graphql { document, variables } => {
            content.insert("variables".into(), parsed(variables));
            content.insert("document".into(), json!(document));
        }
    }
    content.insert("effect".into(), json!(call.effect));
    Value::Object(content)
}

/// The JSON that a text is, or else the text itself.
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// The places in which two values differ.
pub fn changes(call: Option<&str>, then: &Value, now: &Value) -> Vec<Change> {
    let mut found = Found { call, changes: vec![] };
    found.walk("", then, now);
    found.changes
}

struct Found<'a> {
    call: Option<&'a str>,
    changes: Vec<Change>,
}

impl Found<'_> {
    fn walk(&mut self, at: &str, then: &Value, now: &Value) {
        match (then, now) {
            _ if then == now => {}
            (Value::Object(then), Value::Object(now)) => {
                let added = now.iter().filter(|(key, _)| !then.contains_key(*key)).map(|(key, _)| key);
                for key in then.keys().chain(added) {
                    let part = key.replace('~', "~0").replace('/', "~1");
                    self.pair(&format!("{at}/{part}"), then.get(key), now.get(key));
                }
            }
            (Value::Array(then), Value::Array(now)) => {
                for n in 0..then.len().max(now.len()) {
                    self.pair(&format!("{at}/{n}"), then.get(n), now.get(n));
                }
            }
            _ => self.push(at, Some(then), Some(now)),
        }
    }

    fn pair(&mut self, at: &str, then: Option<&Value>, now: Option<&Value>) {
        match (then, now) {
            (Some(then), Some(now)) => self.walk(at, then, now),
            _ => self.push(at, then, now),
        }
    }

    fn push(&mut self, at: &str, then: Option<&Value>, now: Option<&Value>) {
        if self.changes.len() < CHANGES_MAX {
            let call = self.call.map(str::to_owned);
            self.changes.push(Change { call, at: at.to_owned(), then: then.cloned(), now: now.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Effect, Method};

    #[test]
    fn places_are_told_by_pointer() {
        let then = json!({"a": {"b/c": 1, "d": [1, 2]}, "gone": 1, "same": {"x": 1, "y": 2}});
        let now = json!({"same": {"y": 2, "x": 1}, "new": null, "a": {"b/c": 2, "d": [1, 3, 4]}});
        let told: Vec<_> =
            changes(None, &then, &now).iter().map(|change| format!("{} {:?}", change.at, change.kind())).collect();
        assert_eq!(told, ["/a/b~1c Changed", "/a/d/1 Changed", "/a/d/2 Added", "/gone Removed", "/new Added"]);
    }

    #[test]
    fn numbers_differ_by_their_digits() {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(changes(None, &number("19.9"), &number("19.90")).len(), 1);
        assert_eq!(changes(None, &number("[19.90]"), &number("[ 19.90 ]")), []);
    }

    #[test]
    fn what_is_particular_to_an_event_is_not_in_a_route() {
        let rest = |path: &str| Call {
            target: "omneo".into(),
            request: Request::Rest {
                method: Method::Get,
                path: path.into(),
                query: vec![("email".into(), "ada@lovelace.dev".into())],
                body: None,
            },
            effect: Effect::Read,
        };
        assert_eq!(route(&rest("/profiles/2b1c/identities")), "GET omneo /profiles/*/identities");
        assert_eq!(route(&rest("/profiles/by-email/ada%40lovelace.dev")), "GET omneo /profiles/by-email/*");
        let change = Change { call: None, at: "/memory/marks/4501/level2".into(), then: None, now: None };
        assert_eq!(change.shape().at, "/memory/marks/*/level2");
    }
}
