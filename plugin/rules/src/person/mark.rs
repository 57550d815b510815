//! Marks of values: equal when the values are, and telling nothing else. Does not know where they are kept.

use serde::{Deserialize, Serialize};

use crate::fingerprint::fingerprint;

/// The mark of a value: equal marks, equal values. Nothing has a mark of its own, and so has a value never taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(String);

impl Mark {
    /// The mark depends on whose value it is, so that no list of common values can be compared with it.
    pub fn of(whose: &str, field: &str, value: Option<&str>) -> Self {
        match value {
            None => Self(String::new()),
            Some(value) => Self(fingerprint([whose, field, value].join("\n"))),
        }
    }

    /// The mark of any other text.
    pub fn of_text(text: &str) -> Self {
        Self(fingerprint(text))
    }

    /// Equal to no value's mark: what is there has never been taken in.
    pub fn never_taken() -> Self {
        Self("?".into())
    }

    /// Whether it marks a value: neither nothing nor what was never taken in.
    pub fn is_value(&self) -> bool {
        !self.0.is_empty() && self.0 != "?"
    }
}
