//! Tells which of two bodies is the later one, and reads their times. Knows Shopify's clocks; nothing of what the bodies say.

use serde::Serialize;
use tandem_sdk::{Event, Time, View, Wrong};

/// When a body was true: first by its own clock of whole seconds, then by when Shopify sent it off. In milliseconds.
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

    /// The clock in a memory, at `/clock`.
    pub fn read(memory: &View) -> Option<Self> {
        let clock = memory.get("/clock")?;
        let ms = |at| clock.get(at).and_then(|time| time.value().as_i64());
        clock.is_object().then(|| Self { updated_at: ms("/updated_at"), triggered_at: ms("/triggered_at") })
    }

    /// What this clock does not say is as it was before.
    pub fn or(self, before: Option<Self>) -> Self {
        Self {
            updated_at: self.updated_at.or(before.and_then(|before| before.updated_at)),
            triggered_at: self.triggered_at.or(before.and_then(|before| before.triggered_at)),
        }
    }

    /// Equal is never older, and a clock that one of the two lacks decides nothing.
    pub fn is_older_than(self, other: Self) -> bool {
        match (self.updated_at, other.updated_at) {
            (Some(this), Some(other)) if this != other => this < other,
            _ => matches!((self.triggered_at, other.triggered_at), (Some(this), Some(other)) if this < other),
        }
    }
}

/// Seconds of a time in a body.
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
