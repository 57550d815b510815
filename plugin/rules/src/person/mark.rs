//! Marks of values. They are equal when the values are, and reveal nothing else. Does not know where they are kept.

use serde::{Deserialize, Serialize};

use crate::fingerprint::fingerprint;

/// The mark of a value: equal values have equal marks. The absence of a value has a mark of its own, and so has a value
/// that was never taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(String);

impl Mark {
    /// The mark of a field's value. It depends on whose value it is, so that it cannot be compared with a list of
    /// common values.
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

    /// A mark that equals no value's: the present value has never been taken in.
    pub fn never_taken() -> Self {
        Self("?".into())
    }

    /// Whether this marks a value, and neither an absence nor a value that was never taken in.
    pub fn is_value(&self) -> bool {
        !self.0.is_empty() && self.0 != "?"
    }
}
