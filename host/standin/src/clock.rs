//! The time both stand-ins go by, and the spellings of it that the two services use.
//! Knows nothing of who asks or why.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::lock;

/// A clock that may be shared by both stand-ins; times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Reading>>);

#[derive(Debug)]
enum Reading {
    /// The computer's time plus so many milliseconds.
    System(i64),
    Fixed(i64),
}

impl Clock {
    /// Follows the computer's clock until it is [`set`](Clock::set).
    pub fn system() -> Clock {
        Clock(Arc::new(Mutex::new(Reading::System(0))))
    }

    /// Stands still at `unix_ms` until it is set or advanced.
    pub fn fixed(unix_ms: i64) -> Clock {
        Clock(Arc::new(Mutex::new(Reading::Fixed(unix_ms))))
    }

    /// Stops the clock at `unix_ms`.
    pub fn set(&self, unix_ms: i64) {
        *lock(&self.0) = Reading::Fixed(unix_ms);
    }

    /// Moves the clock forward; a system clock goes on ticking from there.
    pub fn advance(&self, ms: i64) {
        match &mut *lock(&self.0) {
            Reading::System(offset) => *offset += ms,
            Reading::Fixed(at) => *at += ms,
        }
    }

    pub fn now_ms(&self) -> i64 {
        match *lock(&self.0) {
            Reading::System(offset) => system_ms() + offset,
            Reading::Fixed(at) => at,
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn date_time(ms: i64, offset_minutes: i32) -> OffsetDateTime {
    let utc = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    utc.to_offset(UtcOffset::from_whole_seconds(offset_minutes * 60).unwrap_or(UtcOffset::UTC))
}

/// `2026-07-01T09:30:00Z`, as GraphQL answers have it: whole seconds, UTC.
pub(crate) fn utc(ms: i64) -> String {
    let at = date_time(ms, 0);
    format!("{}T{}Z", date(at), clock_time(at))
}

/// `2026-07-01T19:30:00+10:00`, as webhook bodies have it: whole seconds, in the shop's time zone.
pub(crate) fn local(ms: i64, offset_minutes: i32) -> String {
    let at = date_time(ms, offset_minutes);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    format!("{}T{}{sign}{hours:02}:{minutes:02}", date(at), clock_time(at))
}

/// `2026-07-01 09:30:00`, as Omneo has it: whole seconds, UTC.
pub(crate) fn plain(ms: i64) -> String {
    let at = date_time(ms, 0);
    format!("{} {}", date(at), clock_time(at))
}

/// Reads RFC 3339, Omneo's spelling, and a bare date; milliseconds, or `None` when it is no time.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let mut text = text.trim().replacen(' ', "T", 1);
    if text.len() == 10 {
        text.push_str("T00:00:00");
    }
    let at = OffsetDateTime::parse(&text, &Rfc3339);
    let at = at.or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339)).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

fn date(at: OffsetDateTime) -> String {
    format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
}

fn clock_time(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}
