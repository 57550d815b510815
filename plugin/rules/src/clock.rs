//! Tells which of two bodies is the later one, and reads the times in bodies. Knows Shopify's clocks, and nothing else
//! about the bodies.

use serde::Serialize;
use tandem_sdk::{Event, Time, View, Wrong};

/// The age of a body: first by its own clock, which has whole seconds, then by the moment when Shopify sent it. Both in
/// milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Clock {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_at: Option<i64>,
}

impl Clock {
    pub fn of(payload: &View, event: &Event) -> Result<Self, Wrong> {
        let ms = |text: &str| Time::parse(text).map(|time| time.0);
        Ok(Self { updated_at: payload.opt_text("/updated_at")?.and_then(ms), triggered_at: ms(&event.occurred_at) })
    }

    /// Reads the clock that a memory holds at `/clock`.
    pub fn read(memory: &View) -> Option<Self> {
        let clock = memory.get("/clock")?;
        let ms = |at| clock.get(at).and_then(|time| time.value().as_i64());
        clock.is_object().then(|| Self { updated_at: ms("/updated_at"), triggered_at: ms("/triggered_at") })
    }

    /// Fills in the times that this clock lacks from the clock before.
    pub fn or(self, before: Option<Self>) -> Self {
        Self {
            updated_at: self.updated_at.or(before.and_then(|before| before.updated_at)),
            triggered_at: self.triggered_at.or(before.and_then(|before| before.triggered_at)),
        }
    }

    /// Whether this clock is older than the other. Equal clocks are not older, and a time that one of them lacks is not
    /// compared.
    pub fn is_older_than(self, other: Self) -> bool {
        match (self.updated_at, other.updated_at) {
            (Some(this), Some(other)) if this != other => this < other,
            _ => matches!((self.triggered_at, other.triggered_at), (Some(this), Some(other)) if this < other),
        }
    }
}

/// A time in a body, in seconds.
pub fn seconds(from: &View, pointer: &str) -> Result<Option<i64>, Wrong> {
    Ok(from.opt_text(pointer)?.and_then(Time::parse).map(Time::seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_not_older() {
        let clock = |updated_at, triggered_at| Clock { updated_at, triggered_at };
        assert!(!clock(Some(1), Some(1)).is_older_than(clock(Some(1), Some(1))));
        assert!(clock(Some(1), Some(9)).is_older_than(clock(Some(2), Some(1))));
        assert!(clock(Some(1), Some(1)).is_older_than(clock(Some(1), Some(2))));
        assert!(clock(None, Some(1)).is_older_than(clock(Some(1), Some(2))));
        assert!(!clock(None, None).is_older_than(clock(Some(1), Some(2))));
    }
}
