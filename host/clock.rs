//! Times as text and as numbers. `now` is the only function that reads the time of day.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;

use crate::model::{Millis, Tick};

/// A clock that only goes forward, from the moment when it was started. The time of day may jump; rates and waits must
/// not.
#[derive(Clone, Copy, Debug)]
pub struct Steady(Instant);

impl Steady {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Tick {
        Tick(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time of day at a tick, computed from the present time of day. For people only.
    pub fn time_of_day(self, at: Tick) -> Millis {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let here = self.now();
        now().saturating_add(ms(at.since(here))).saturating_sub(ms(here.since(at)))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-01-02T03:04:05.678Z`.
pub fn rfc3339(at: Millis) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment(at).format(format).unwrap_or_default()
}

/// `2026-01-02`, for people.
pub fn date(at: Millis) -> String {
    moment(at).format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

/// `03:04:05`, for people.
pub fn time_of_day(at: Millis) -> String {
    moment(at).format(format_description!("[hour]:[minute]:[second]")).unwrap_or_default()
}

/// Reads RFC 3339.
pub fn parse(text: &str) -> Option<Millis> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Reads a date in the format of HTTP: `Wed, 21 Oct 2026 07:28:00 GMT`.
pub fn parse_http(text: &str) -> Option<Millis> {
    let moment = OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

fn moment(at: Millis) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
