//! How much of the host one tenant may use: each limit with its default and its bounds, and the reason for them.
//!
//! Knows numbers, and not where the limits are enforced.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Least number of days that an event is kept.
pub const KEEP_DAYS_MIN: u64 = 7;

/// The limits of one tenant, `[tenants.NAME.limits]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Webhooks taken in per second; ten seconds' worth may come at once. More are answered with 429 and `Retry-After`.
    /// Shopify counts any answer but a 2xx as a failure: it sends again, 8 times in 4 hours, and a subscription whose
    /// deliveries all fail is deleted after that; Omneo sends again hourly and daily, where the webhook says so. Neither is
    /// known to heed `Retry-After`. So this is for a sender that has run wild, and far above what a shop sends.
    pub events_per_second: u64,
    /// Calls under way at a time, to each of the two systems.
    pub concurrent_calls: u64,
    /// Bytes of all that the journal keeps of the tenant: payloads, calls, replies, attempts, logs, names, memory, versions,
    /// cases and reports, with 100 for each row. Beyond it webhooks are answered with 507, and what would add to it over the
    /// admin API is refused, until retention, a redaction or a removal has made room; what is under way goes on.
    pub journal_bytes_max: u64,
    /// Days that an event stays in the journal once it is over, with its runs, calls and replies. Dead letters, names and
    /// memory stay. At least a week: a webhook sent again later than that would be a new event, and Shopify gives up after
    /// four hours.
    pub keep_days: u64,
    /// Versions that are kept. Further ones are refused until one that nothing needs is removed; what the configuration names
    /// is not.
    pub versions_max: u64,
    /// Bytes of their components, counted for each tenant that has one.
    pub versions_bytes_max: u64,
}

/// The bounds of a limit.
struct Bound {
    name: &'static str,
    least: u64,
    most: u64,
    /// Why the limit is not lower, and why it is not higher.
    why: [&'static str; 2],
}

const BOUNDS: [Bound; 6] = [
    Bound {
        name: "events_per_second",
        least: 1,
        most: 100_000,
        why: ["nothing would be taken in", "no host takes in as many"],
    },
    Bound {
        name: "concurrent_calls",
        least: 1,
        most: 1_000,
        why: ["nothing would be sent", "no system takes as many at a time"],
    },
    Bound {
        name: "journal_bytes_max",
        least: 16 << 20,
        most: 1 << 44,
        why: ["a few large orders would fill it", "a journal is one file, and nobody backs up as much"],
    },
    Bound {
        name: "keep_days",
        least: KEEP_DAYS_MIN,
        most: 3_650,
        why: [
            "a webhook that its sender repeats would be a new event",
            "personal data is not kept for longer than ten years",
        ],
    },
    Bound {
        name: "versions_max",
        least: 8,
        most: 10_000,
        why: ["roll backs go to a few, and one is tried beside them", "nobody looks through as many"],
    },
    Bound {
        name: "versions_bytes_max",
        least: 64 << 20,
        most: 1 << 40,
        why: ["a few large components would fill it", "a journal is one file, and nobody backs up as much"],
    },
];

impl Default for Quota {
    fn default() -> Self {
        Self {
            events_per_second: 1_000,
            concurrent_calls: 8,
            journal_bytes_max: 10 << 30,
            keep_days: 90,
            versions_max: 100,
            versions_bytes_max: 512 << 20,
        }
    }
}

impl Quota {
    /// The names of all limits, in the order in which they are listed.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BOUNDS.iter().map(|bound| bound.name)
    }

    /// Each limit with its least and its greatest value.
    pub fn bounds() -> impl Iterator<Item = (&'static str, u64, u64)> {
        BOUNDS.iter().map(|bound| (bound.name, bound.least, bound.most))
    }

    /// Sets a limit by its name. `false` if there is no limit of that name.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let place = match name {
            "events_per_second" => &mut self.events_per_second,
            "concurrent_calls" => &mut self.concurrent_calls,
            "journal_bytes_max" => &mut self.journal_bytes_max,
            "keep_days" => &mut self.keep_days,
            "versions_max" => &mut self.versions_max,
            "versions_bytes_max" => &mut self.versions_bytes_max,
            _ => return false,
        };
        *place = value;
        true
    }

    /// The limits that are out of bounds, each with the message for it.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Self {
            events_per_second,
            concurrent_calls,
            journal_bytes_max,
            keep_days,
            versions_max,
            versions_bytes_max,
        } = *self;
        let values =
            [events_per_second, concurrent_calls, journal_bytes_max, keep_days, versions_max, versions_bytes_max];
        let wrong = BOUNDS.iter().zip(values).filter_map(|(bound, value)| Some((bound.name, bound.problem(value)?)));
        wrong.collect()
    }
}

impl Bound {
    fn problem(&self, value: u64) -> Option<String> {
        let Self { name, least, most, why: [too_little, too_much] } = self;
        if value < *least {
            return Some(format!("`{name} = {value}` is too little: {too_little}\nhint: use {least} or more"));
        }
        (value > *most).then(|| format!("`{name} = {value}` is too much: {too_much}\nhint: use {most} at most"))
    }
}
