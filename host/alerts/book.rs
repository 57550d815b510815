//! Which alerts are open, and what is to be told of them: each once, again after hours, and once more when it is over. Pure.

use std::collections::BTreeMap;

use crate::model::Millis;

/// What is wrong: kind, tenant and subject tell it from others, the text says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub kind: Kind,
    /// Absent of what is the host's own.
    pub tenant: Option<String>,
    /// What of the kind: a target, a topic with a cause, an event.
    pub about: String,
    pub text: String,
    pub hint: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DeadLetters,
    TargetPaused,
    TargetHeld,
    DataRequest,
    VersionFailed,
    RulesUnbuilt,
    JournalFilling,
    DiskFilling,
    TokenEnding,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::DeadLetters,
        Self::TargetPaused,
        Self::TargetHeld,
        Self::DataRequest,
        Self::VersionFailed,
        Self::RulesUnbuilt,
        Self::JournalFilling,
        Self::DiskFilling,
        Self::TokenEnding,
    ];

    /// As posts and the log have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::TargetPaused => "target-paused",
            Self::TargetHeld => "target-held",
            Self::DataRequest => "data-request",
            Self::VersionFailed => "version-failed",
            Self::RulesUnbuilt => "rules-unbuilt",
            Self::JournalFilling => "journal-filling",
            Self::DiskFilling => "disk-filling",
            Self::TokenEnding => "token-ending",
        }
    }

    /// How long it has to last before anybody is told: a target is throttled now and then.
    fn lasts_ms(self) -> i64 {
        if self == Self::TargetHeld { 5 * MINUTE_MS } else { 0 }
    }
}

/// What is told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Firing,
    /// It is open for hours by now.
    Still,
    Resolved,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub state: State,
    pub alert: Alert,
    pub since: Millis,
}

const MINUTE_MS: i64 = 60_000;
/// After which an open alert is told again.
const AGAIN_MS: i64 = 4 * 60 * MINUTE_MS;
/// How long an alert has to be away before it is over, so that what comes and goes is one.
const OVER_MS: i64 = 2 * MINUTE_MS;
/// Alerts that are open at a time, and notes of an hour: more are counted.
pub const OPEN_MAX: usize = 500;
pub const NOTES_PER_HOUR_MAX: usize = 60;

#[derive(Debug, Default)]
pub struct Book {
    open: BTreeMap<(Kind, Option<String>, String), Open>,
    /// When the notes of the last hour were told.
    told: Vec<Millis>,
    /// Notes that were one too many since the last that was told.
    left_out: usize,
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    since: Millis,
    seen: Millis,
    /// Absent: nobody was told yet.
    told: Option<Millis>,
}

impl Book {
    /// What is to be told, after a look that has found all of these.
    pub fn look(&mut self, now: Millis, there: Vec<Alert>) -> Vec<Note> {
        for alert in there {
            let key = (alert.kind, alert.tenant.clone(), alert.about.clone());
            let is_full = self.open.len() >= OPEN_MAX;
            match self.open.get_mut(&key) {
                Some(open) => (open.alert, open.seen) = (alert, now),
                None if is_full => self.left_out += 1,
                None => drop(self.open.insert(key, Open { alert, since: now, seen: now, told: None })),
            }
        }
        let mut notes = vec![];
        self.open.retain(|_, open| {
            let note = |state| Note { state, alert: open.alert.clone(), since: open.since };
            // A clock that was set back makes nothing wait for hours.
            let age = |then: Millis| (now - then).max(0);
            if open.seen != now && age(open.seen) >= OVER_MS {
                notes.extend(open.told.map(|_| note(State::Resolved)));
                return false;
            }
            let state = match open.told {
                None if age(open.since) >= open.alert.kind.lasts_ms() => Some(State::Firing),
                Some(told) if age(told) >= AGAIN_MS && open.seen == now => Some(State::Still),
                _ => None,
            };
            if let Some(state) = state {
                notes.push(note(state));
                open.told = Some(now);
            }
            true
        });
        self.within(now, notes)
    }

    /// Notes that one hour has room for.
    fn within(&mut self, now: Millis, mut notes: Vec<Note>) -> Vec<Note> {
        self.told.retain(|told| (0..60 * MINUTE_MS).contains(&(now - told)));
        let room = NOTES_PER_HOUR_MAX.saturating_sub(self.told.len());
        self.left_out += notes.len().saturating_sub(room);
        notes.truncate(room);
        self.told.extend(notes.iter().map(|_| now));
        notes
    }

    /// How many notes were one too many since this was asked last.
    pub fn left_out(&mut self) -> usize {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: Kind, about: &str) -> Alert {
        let text = format!("{about} is wrong");
        Alert { kind, tenant: Some("acme".into()), about: about.into(), text, hint: "mend it" }
    }

    fn told(book: &mut Book, minute: i64, there: &[Alert]) -> Vec<(State, String)> {
        let notes = book.look(minute * MINUTE_MS, there.to_vec());
        notes.into_iter().map(|note| (note.state, note.alert.about)).collect()
    }

    #[test]
    fn an_alert_is_told_once_then_after_hours_and_when_it_is_over() {
        let (mut book, one) = (Book::default(), alert(Kind::TargetPaused, "omneo"));
        let there = std::slice::from_ref(&one);
        let omneo = |state| vec![(state, "omneo".to_owned())];
        assert_eq!(told(&mut book, 0, there), omneo(State::Firing));
        assert_eq!(told(&mut book, 1, there), []);
        assert_eq!(told(&mut book, 239, there), []);
        assert_eq!(told(&mut book, 240, there), omneo(State::Still));
        // Away for a moment, it is not over; away for longer, it is; and it can come again.
        assert_eq!(told(&mut book, 241, &[]), []);
        assert_eq!(told(&mut book, 242, there), []);
        assert_eq!(told(&mut book, 243, &[]), []);
        assert_eq!(told(&mut book, 244, &[]), omneo(State::Resolved));
        assert_eq!(told(&mut book, 245, &[]), []);
        assert_eq!(told(&mut book, 246, there), omneo(State::Firing));
    }

    #[test]
    fn what_is_usual_for_a_moment_is_told_when_it_lasts_and_not_resolved_before() {
        let (mut book, held) = (Book::default(), alert(Kind::TargetHeld, "shopify"));
        let there = std::slice::from_ref(&held);
        assert_eq!(told(&mut book, 0, there), []);
        assert_eq!(told(&mut book, 3, &[]), [], "nobody was told, so nobody hears that it is over");
        assert_eq!(told(&mut book, 4, there), []);
        assert_eq!(told(&mut book, 9, there), [(State::Firing, "shopify".to_owned())]);
    }

    #[test]
    fn an_hour_has_so_many_notes_and_a_book_so_many_alerts() {
        let mut book = Book::default();
        let many: Vec<_> = (0..OPEN_MAX + 7).map(|n| alert(Kind::DeadLetters, &n.to_string())).collect();
        assert_eq!(told(&mut book, 0, &many).len(), NOTES_PER_HOUR_MAX);
        assert_eq!(book.left_out(), OPEN_MAX - NOTES_PER_HOUR_MAX + 7);
        assert_eq!(book.left_out(), 0);
        assert_eq!(told(&mut book, 59, &many), []);
        let other = alert(Kind::DiskFilling, "disk");
        let mut book = Book { told: vec![0; NOTES_PER_HOUR_MAX], ..Book::default() };
        assert_eq!(told(&mut book, 59, std::slice::from_ref(&other)), []);
        let mut book = Book { told: vec![0; NOTES_PER_HOUR_MAX], ..Book::default() };
        assert_eq!(told(&mut book, 60, &[other]).len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let (mut book, one) = (Book::default(), alert(Kind::TargetPaused, "omneo"));
        assert_eq!(told(&mut book, 1_000, std::slice::from_ref(&one)).len(), 1);
        assert_eq!(told(&mut book, 0, &[alert(Kind::DiskFilling, "disk")]).len(), 1);
    }
}
