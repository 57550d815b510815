//! Counts how many of the latest events a version has failed, from its first failure on. Pure.

use super::words::Verdict;

/// A bit for each of the latest 64 events.
#[derive(Debug, Default)]
pub struct Trial {
    activation: i64,
    /// The lowest bit is the latest event. A bit is set if the version failed the event.
    failures: u64,
}

impl Trial {
    /// Counts an event. Gives the version and its failures if these are too many.
    pub fn judge(&mut self, verdict: Verdict) -> Option<(String, u32)> {
        let Verdict { activation, failures_max, failed } = verdict;
        let Some(version) = failed else {
            if self.activation == activation {
                self.failures <<= 1;
            }
            return None;
        };
        if self.activation != activation {
            *self = Self { activation, failures: 0 };
        }
        self.failures = self.failures << 1 | 1;
        let failures = self.failures.count_ones();
        failures_max.is_some_and(|most| failures >= most).then_some((version, failures))
    }
}
