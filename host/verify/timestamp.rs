//! Reads the `timestamp` of a query that Shopify signs, and refuses one that is not recent.
//!
//! Knows neither the rest of the query nor a clock: the time is an argument.

/// How many seconds a query's timestamp may differ from now, in either direction: as many as in Shopify's own library
/// for JavaScript.
pub const AGE_S_MAX: u64 = 90;

/// Why a timestamp is not accepted as recent.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TimestampRefused {
    #[error("the timestamp is missing")]
    Missing,
    #[error("the timestamp is empty")]
    Empty,
    #[error("the timestamp is negative")]
    Negative,
    #[error("the timestamp is not a whole number of seconds")]
    Fraction,
    #[error("the timestamp is not a number")]
    NotANumber,
    #[error("the timestamp is too large to be a time")]
    TooLarge,
    #[error("the timestamp is more than {AGE_S_MAX} seconds ago")]
    Past,
    #[error("the timestamp is more than {AGE_S_MAX} seconds ahead")]
    Future,
}

/// The seconds since 1970 that a timestamp gives, if they are within [`AGE_S_MAX`] of now.
pub fn recent(timestamp: Option<&str>, now_s: i64) -> Result<i64, TimestampRefused> {
    let text = timestamp.ok_or(TimestampRefused::Missing)?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() {
        return Err(TimestampRefused::Empty);
    }
    if text.strip_prefix('-').is_some_and(is_digits) {
        return Err(TimestampRefused::Negative);
    }
    if text.split_once('.').is_some_and(|(whole, rest)| is_digits(whole) && is_digits(rest)) {
        return Err(TimestampRefused::Fraction);
    }
    if !is_digits(text) {
        return Err(TimestampRefused::NotANumber);
    }
    let timestamp: i64 = text.parse().map_err(|_| TimestampRefused::TooLarge)?;
    match timestamp.abs_diff(now_s) > AGE_S_MAX {
        true if timestamp < now_s => Err(TimestampRefused::Past),
        true => Err(TimestampRefused::Future),
        false => Ok(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_337_178_173;

    #[test]
    fn a_timestamp_is_recent_for_a_minute_and_a_half() {
        for apart in [-90, -1, 0, 1, 90] {
            let text = (NOW_S + apart).to_string();
            assert_eq!(recent(Some(&text), NOW_S), Ok(NOW_S + apart));
        }
        for (apart, due) in [(-91, TimestampRefused::Past), (91, TimestampRefused::Future)] {
            let text = (NOW_S + apart).to_string();
            assert_eq!(recent(Some(&text), NOW_S), Err(due));
        }
    }

    #[test]
    fn anything_else_is_no_timestamp() {
        assert_eq!(recent(None, NOW_S), Err(TimestampRefused::Missing));
        let cases = [
            ("", TimestampRefused::Empty),
            ("-1337178173", TimestampRefused::Negative),
            ("-0", TimestampRefused::Negative),
            ("1337178173.0", TimestampRefused::Fraction),
            ("1337178173.5", TimestampRefused::Fraction),
            ("NaN", TimestampRefused::NotANumber),
            ("Infinity", TimestampRefused::NotANumber),
            ("-Infinity", TimestampRefused::NotANumber),
            ("+1337178173", TimestampRefused::NotANumber),
            ("1337178173 ", TimestampRefused::NotANumber),
            (" 1337178173", TimestampRefused::NotANumber),
            ("1337178173.", TimestampRefused::NotANumber),
            ("1.337178173e9", TimestampRefused::NotANumber),
            ("0x4fb3bd3d", TimestampRefused::NotANumber),
            ("1_337_178_173", TimestampRefused::NotANumber),
            ("1337178173\0", TimestampRefused::NotANumber),
            ("١٣٣٧١٧٨١٧٣", TimestampRefused::NotANumber),
            ("2012-05-16T14:22:53Z", TimestampRefused::NotANumber),
            ("9223372036854775808", TimestampRefused::TooLarge),
            ("13371781730000000000000000000", TimestampRefused::TooLarge),
            // Milliseconds, and the limits of the range.
            ("1337178173000", TimestampRefused::Future),
            ("9223372036854775807", TimestampRefused::Future),
            ("0", TimestampRefused::Past),
        ];
        for (text, due) in cases {
            assert_eq!(recent(Some(text), NOW_S), Err(due), "{text:?}");
        }
        assert_eq!(recent(Some("9223372036854775807"), i64::MIN), Err(TimestampRefused::Future));
    }
}
