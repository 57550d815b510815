//! How far retention believes the clock, and how many events it may remove: a clock that is wrong for an hour must not
//! empty a journal. Pure.

use std::time::Duration;

use crate::journal::Pace;
use crate::model::Millis;

const DAY_MS: Millis = 24 * 3_600 * 1_000;
/// A host may have stood still for this long, so a clock that is ahead by no more is believed at once.
const STANDSTILL_MS: Millis = DAY_MS;
/// A clock that is ahead by more is believed little by little: this many milliseconds for each one that the host has
/// run.
const CATCH_UP: Millis = 4;
/// One in this many of all events may leave in a day that the host has run.
const SHARE: u64 = 4;
/// Thousandths of an event: with these, a journal of few events lets one go in a few days.
const WHOLE: u64 = 1_000;

/// What the pace is worked out from.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What the clock says.
    pub clock: Millis,
    /// How long the host has run since the last round, by a clock that nobody sets.
    pub ran: Duration,
    /// When the newest event was received; `None` if there is no event.
    pub newest: Option<Millis>,
    /// Events in the journal.
    pub events: u64,
}

/// The pace after this round. The first one of a journal begins at its newest event.
pub fn later(before: Option<Pace>, seen: Seen) -> Pace {
    let Seen { clock, ran, newest, events } = seen;
    let before = before.unwrap_or(Pace { at: newest.unwrap_or(clock), allowed: 0 });
    let ran_ms = Millis::try_from(ran.as_millis()).unwrap_or(Millis::MAX).min(DAY_MS);
    let a_day = events.saturating_mul(WHOLE) / SHARE;
    let allowed = before.allowed.saturating_add(a_day.saturating_mul(ran_ms as u64) / DAY_MS as u64);
    Pace { at: clock.min(before.at.saturating_add(ran_ms * CATCH_UP)), allowed: allowed.min(a_day) }
}

/// The time by which events are old.
pub fn now(pace: Pace, clock: Millis) -> Millis {
    clock.min(pace.at.saturating_add(STANDSTILL_MS))
}

/// How many events may leave now.
pub fn most(pace: Pace) -> u64 {
    pace.allowed / WHOLE
}

/// The pace after this many events have left.
pub fn less(pace: Pace, events: u64) -> Pace {
    Pace { allowed: pace.allowed.saturating_sub(events.saturating_mul(WHOLE)), ..pace }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000 * DAY_MS;
    const HOUR: Duration = Duration::from_secs(3_600);

    fn seen(days_ahead: Millis, ran: Duration) -> Seen {
        Seen { clock: NOW + days_ahead * DAY_MS, ran, newest: Some(NOW), events: 240 }
    }

    #[test]
    fn a_clock_that_is_ahead_is_believed_little_by_little() {
        // Days that the clock is ahead at each look, hours that the host has run before it, and days that are believed.
        for (what, looks, believed) in [
            ("all is well", vec![(0, 0), (0, 1)], 0),
            ("off for a night", vec![(0, 0), (1, 0)], 1),
            ("400 days ahead, for three seconds", vec![(400, 0)], 1),
            ("the same, a thousand times", vec![(400, 0); 1_000], 1),
            ("the same, on a journal that is known", vec![(0, 1), (400, 0), (400, 0)], 1),
            ("400 days ahead for a day", vec![(400, 1); 24], 5),
            ("off for 6 days, then running for 2", [vec![(0, 0)], vec![(6, 1); 48]].concat(), 6),
            ("two days behind", vec![(0, 0), (-2, 1)], -2),
            ("behind and back", vec![(0, 0), (-2, 1), (0, 12)], 0),
            ("400 days ahead and back", vec![(0, 0), (400, 1), (0, 1)], 0),
        ] {
            let (mut pace, mut last) = (None, NOW);
            for (ahead, hours) in looks {
                let seen = seen(ahead, HOUR * hours);
                pace = Some(later(pace, seen));
                last = now(pace.unwrap(), seen.clock);
            }
            assert_eq!((last - NOW) / DAY_MS, believed, "{what}");
        }
    }

    #[test]
    fn a_share_leaves_in_a_day_however_often_is_looked() {
        let mut pace = later(None, seen(0, HOUR));
        assert_eq!(most(pace), 2);
        for _ in 0..1_000 {
            pace = later(Some(pace), seen(0, Duration::ZERO));
        }
        assert_eq!(most(pace), 2);
        let mut left = 0;
        for _ in 0..24 {
            left += most(pace);
            pace = later(Some(less(pace, most(pace))), seen(0, HOUR));
        }
        assert_eq!(left, 60);
        // A share that is not used is not saved up: no more than a day's share leaves at once.
        for _ in 0..24 * 30 {
            pace = later(Some(pace), seen(0, HOUR));
        }
        assert_eq!(most(pace), 60);
    }
}
