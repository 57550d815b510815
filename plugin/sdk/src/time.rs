//! Reads and writes times as both systems write them. Has no clock.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// Reads RFC 3339, or Omneo's `2026-01-02 03:04:05`, which is UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let moment = match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(moment) => moment,
            Err(_) => PrimitiveDateTime::parse(text, &plain).ok()?.assume_utc(),
        };
        i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// `2026-01-02T03:04:05Z`; a fraction of a second is cut off.
    pub fn rfc3339(self) -> String {
        self.write(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
    }

    /// `2026-01-02 03:04:05` in UTC, as Omneo writes times; a fraction of a second is cut off.
    pub fn plain(self) -> String {
        self.write(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z: the resolution of both systems' clocks.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    fn write(self, format: &[time::format_description::BorrowedFormatItem]) -> String {
        OffsetDateTime::from_unix_timestamp(self.seconds())
            .ok()
            .and_then(|moment| moment.format(format).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_systems_times_are_one_moment() {
        let shopify = Time::parse("2026-01-02T14:04:05+11:00").unwrap();
        assert_eq!(Time::parse("2026-01-02 03:04:05"), Some(shopify));
        assert_eq!(shopify.rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(shopify.plain(), "2026-01-02 03:04:05");
        assert_eq!(Time::parse("2026-01-02T03:04:05.123456789Z"), Some(Time(shopify.0 + 123)));
        assert_eq!(Time::parse("yesterday"), None);
    }
}
