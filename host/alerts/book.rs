//! Which alerts are open, and what is to be told of them: each once, again after hours, and once more when it is over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

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
    pub hint: String,
}

/// By what it costs to learn of it late, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DiskFilling,
    DataRequest,
    VersionFailed,
    RulesUnbuilt,
    TokenRefused,
    TargetPaused,
    JournalFilling,
    EventsWaiting,
    TargetHeld,
    TokenEnding,
    DeadLetters,
    NotReconciled,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::DiskFilling,
        Self::DataRequest,
        Self::VersionFailed,
        Self::RulesUnbuilt,
        Self::TokenRefused,
        Self::TargetPaused,
        Self::JournalFilling,
        Self::EventsWaiting,
        Self::TargetHeld,
        Self::TokenEnding,
        Self::DeadLetters,
        Self::NotReconciled,
    ];

    /// As posts and the log have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DiskFilling => "disk-filling",
            Self::DataRequest => "data-request",
            Self::VersionFailed => "version-failed",
            Self::RulesUnbuilt => "rules-unbuilt",
            Self::TokenRefused => "token-refused",
            Self::TargetPaused => "target-paused",
            Self::JournalFilling => "journal-filling",
            Self::EventsWaiting => "events-waiting",
            Self::TargetHeld => "target-held",
            Self::TokenEnding => "token-ending",
            Self::DeadLetters => "dead-letters",
            Self::NotReconciled => "not-reconciled",
        }
    }

    /// How long it has to last before anybody is told: Shopify gives no token now and then.
    fn lasts_ms(self) -> i64 {
        if self == Self::TokenRefused { 5 * MINUTE_MS } else { 0 }
    }

    /// After which it is told again while it is open: what has days, once a day.
    fn again_ms(self) -> i64 {
        match self {
            Self::DataRequest | Self::VersionFailed | Self::TokenEnding | Self::NotReconciled => 24 * HOUR_MS,
            _ => 4 * HOUR_MS,
        }
    }
}

/// What is told of an alert. What is new goes before what is over, and that before what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Firing,
    Resolved,
    /// It is open for hours by now.
    Still,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub state: State,
    /// The same of all notes of one alert.
    pub id: String,
    pub alert: Alert,
    /// The time of day.
    pub since: Millis,
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct Found {
    pub alerts: Vec<Alert>,
    /// Kinds, of one tenant or of all, of which not everything was looked at: what is not found of them may still be there.
    pub cut: BTreeSet<(Kind, Option<String>)>,
}

/// An alert that somebody was told of, as it is kept for the next start: without its text, which may name a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: String,
    pub kind: Kind,
    pub tenant: Option<String>,
    pub since: Millis,
    pub told_at: Millis,
}

/// What follows from a look.
#[derive(Debug, Default, PartialEq)]
pub struct Turn {
    pub notes: Vec<Note>,
    /// What is to be kept of them, and the ids of what is over.
    pub told: Vec<Told>,
    pub over: Vec<String>,
    /// How many alerts wait to be told, or have no place in the book.
    pub waiting: usize,
}

/// Milliseconds of a clock that only goes forward, from some moment on.
type At = i64;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// How long an alert has to be away before it is over, so that what comes and goes is one.
const OVER_MS: i64 = 2 * MINUTE_MS;
/// Alerts of one kind that are open at a time, so that no kind keeps another out.
pub const OF_KIND_MAX: usize = 200;
/// Notes of an hour, and how many of these are for what is the host's own. The others wait for the next hour.
pub const NOTES_PER_HOUR_MAX: usize = 60;
const OWN_NOTES: usize = 10;

#[derive(Debug, Default)]
pub struct Book {
    open: BTreeMap<String, Open>,
    /// When the notes of the last hour were told, and whether they were of the host's own.
    told: Vec<(At, bool)>,
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    since: Millis,
    began: At,
    seen: At,
    /// Absent: nobody was told yet.
    told: Option<At>,
}

impl Alert {
    /// Tells it from others, and says nothing of them.
    fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.kind.name(), self.tenant.as_deref().unwrap_or_default(), &self.about] {
            hash.update(part);
            hash.update([0]);
        }
        hex::encode(&hash.finalize()[..16])
    }
}

impl Book {
    /// As it was when the host stopped. What was told then is not told anew.
    pub fn of(told: Vec<Told>, at: At, now: Millis) -> Self {
        let open = told.into_iter().map(|Told { id, kind, tenant, since, told_at }| {
            let whose = tenant.as_deref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
            let text = format!("`{}`{whose}, which was told before the host was started", kind.name());
            let alert = Alert { kind, tenant, about: String::new(), text, hint: String::new() };
            let ago = (now - told_at).clamp(0, kind.again_ms());
            (id, Open { alert, since, began: at, seen: at, told: Some(at - ago) })
        });
        Self { open: open.collect(), told: vec![] }
    }

    /// What is to be told, after a look that has found this.
    pub fn look(&mut self, at: At, now: Millis, Found { alerts, cut }: Found) -> Turn {
        let mut turn = Turn::default();
        for alert in alerts {
            let (id, kind) = (alert.id(), alert.kind);
            if let Some(open) = self.open.get_mut(&id) {
                (open.alert, open.seen) = (alert, at);
            } else if self.open.values().filter(|open| open.alert.kind == kind).count() >= OF_KIND_MAX {
                turn.waiting += 1;
            } else {
                self.open.insert(id, Open { alert, since: now, began: at, seen: at, told: None });
            }
        }
        let mut due = vec![];
        self.open.retain(|id, open| {
            let state = open.due(at, &cut);
            // Nobody was told, so nobody hears that it is over.
            if state == Some(State::Resolved) && open.told.is_none() {
                return false;
            }
            due.extend(state.map(|state| (state, open.alert.kind, open.told.unwrap_or(open.began), id.clone())));
            true
        });
        due.sort();
        self.told.retain(|(told, _)| at - told < HOUR_MS);
        for (state, _, _, id) in due {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if !has_room(&self.told, open.alert.tenant.is_none()) {
                turn.waiting += 1;
                continue;
            }
            self.told.push((at, open.alert.tenant.is_none()));
            open.told = Some(at);
            turn.notes.push(Note { state, id: id.clone(), alert: open.alert.clone(), since: open.since });
            if state == State::Resolved {
                self.open.remove(&id);
                turn.over.push(id);
            } else {
                let (kind, tenant) = (open.alert.kind, open.alert.tenant.clone());
                turn.told.push(Told { id, kind, tenant, since: open.since, told_at: now });
            }
        }
        turn
    }
}

impl Open {
    /// What there is to tell of it now, if anything.
    fn due(&self, at: At, cut: &BTreeSet<(Kind, Option<String>)>) -> Option<State> {
        let kind = self.alert.kind;
        if self.seen != at {
            let is_cut = cut.contains(&(kind, None)) || cut.contains(&(kind, self.alert.tenant.clone()));
            return (!is_cut && at - self.seen >= OVER_MS).then_some(State::Resolved);
        }
        match self.told {
            None => (at - self.began >= kind.lasts_ms()).then_some(State::Firing),
            Some(told) => (at - told >= kind.again_ms()).then_some(State::Still),
        }
    }
}

/// Whether the hour has room for one more note.
fn has_room(told: &[(At, bool)], is_own: bool) -> bool {
    let others = told.iter().filter(|(_, is_own)| !is_own).count();
    told.len() < NOTES_PER_HOUR_MAX && (is_own || others < NOTES_PER_HOUR_MAX - OWN_NOTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: Kind, about: &str) -> Alert {
        let tenant = (kind != Kind::DiskFilling).then(|| "acme".to_owned());
        Alert { kind, tenant, about: about.into(), text: format!("{about} is wrong"), hint: "mend it".into() }
    }

    fn look(book: &mut Book, minute: i64, there: &[Alert]) -> Turn {
        book.look(minute * MINUTE_MS, 0, Found { alerts: there.to_vec(), ..Found::default() })
    }

    fn told(book: &mut Book, minute: i64, there: &[Alert]) -> Vec<(State, String)> {
        let notes = look(book, minute, there).notes;
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
    fn what_passes_by_itself_is_told_when_it_lasts_and_is_there_and_not_resolved_before() {
        let (mut book, refused) = (Book::default(), alert(Kind::TokenRefused, "main"));
        let there = std::slice::from_ref(&refused);
        assert_eq!(told(&mut book, 0, there), []);
        assert_eq!(told(&mut book, 3, &[]), [], "nobody was told, so nobody hears that it is over");
        assert_eq!(told(&mut book, 4, there), []);
        assert_eq!(told(&mut book, 8, there), []);
        assert_eq!(told(&mut book, 9, &[]), [], "it is not there now");
        assert_eq!(told(&mut book, 10, there), [(State::Firing, "main".to_owned())]);
    }

    #[test]
    fn what_has_no_room_in_an_hour_is_told_in_the_next_one_and_the_worst_is_told_first() {
        let mut book = Book::default();
        let many: Vec<_> = (0..150).map(|n| alert(Kind::DeadLetters, &format!("{n:03}"))).collect();
        let disk = alert(Kind::DiskFilling, "disk");
        let mut there = many.clone();
        assert_eq!(look(&mut book, 0, &there).notes.len(), NOTES_PER_HOUR_MAX - OWN_NOTES);
        // What is the host's own has room of its own, and among the others the worst goes first.
        there.push(disk.clone());
        there.push(alert(Kind::TargetPaused, "omneo"));
        let turn = look(&mut book, 1, &there);
        assert_eq!((turn.notes.len(), &turn.notes[0].alert, turn.waiting), (1, &disk, 101));
        let turn = look(&mut book, 60, &there);
        assert_eq!(turn.notes[0].alert.about, "omneo");
        let later = look(&mut book, 120, &there);
        let mut all: Vec<String> = vec![];
        all.extend(turn.notes.into_iter().chain(later.notes).map(|note| note.alert.about));
        all.retain(|about| about.parse::<u32>().is_ok());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 99, "nobody is told of one of them twice");
        // What is over is told, too, as soon as there is room, and until then it is not forgotten.
        assert_eq!(look(&mut book, 121, std::slice::from_ref(&disk)).notes, []);
        let mut over = 0;
        for minute in 123..600 {
            over += look(&mut book, minute, std::slice::from_ref(&disk)).over.len();
        }
        assert_eq!(over, 150);
    }

    #[test]
    fn no_kind_keeps_another_out_of_the_book() {
        let mut book = Book::default();
        let many: Vec<_> = (0..OF_KIND_MAX + 7).map(|n| alert(Kind::DeadLetters, &n.to_string())).collect();
        let turn = look(&mut book, 0, &many);
        assert_eq!(turn.waiting, OF_KIND_MAX + 7 - turn.notes.len());
        let disk = alert(Kind::DiskFilling, "disk");
        assert_eq!(look(&mut book, 1, &[&many[..], &[disk]].concat()).notes[0].alert.kind, Kind::DiskFilling);
    }

    #[test]
    fn what_was_not_looked_at_is_not_over() {
        let (mut book, one) = (Book::default(), alert(Kind::DeadLetters, "orders/paid"));
        assert_eq!(told(&mut book, 0, std::slice::from_ref(&one)).len(), 1);
        for whose in [None, Some("acme".to_owned())] {
            let cut = BTreeSet::from([(Kind::DeadLetters, whose)]);
            assert_eq!(book.look(10 * MINUTE_MS, 0, Found { alerts: vec![], cut }).notes, []);
        }
        let cut = BTreeSet::from([(Kind::DeadLetters, Some("other".to_owned())), (Kind::TargetHeld, None)]);
        assert_eq!(book.look(11 * MINUTE_MS, 0, Found { alerts: vec![], cut }).notes.len(), 1);
    }

    #[test]
    fn a_host_that_is_started_again_tells_nothing_anew_and_says_what_is_over() {
        let (one, other) = (alert(Kind::TargetPaused, "omneo"), alert(Kind::DataRequest, "17"));
        let mut book = Book::default();
        let before = look(&mut book, 0, &[one.clone(), other.clone()]);
        assert_eq!((before.notes.len(), before.told.len()), (2, 2));
        assert!(!format!("{:?}", before.told).contains("omneo"), "what is kept names nobody");
        let mut book = Book::of(before.told.clone(), 0, HOUR_MS);
        assert_eq!(told(&mut book, 0, std::slice::from_ref(&one)), []);
        let turn = look(&mut book, 2, std::slice::from_ref(&one));
        assert_eq!((turn.notes.len(), &turn.over), (1, &vec![other.id()]));
        assert_eq!((turn.notes[0].state, &turn.notes[0].id), (State::Resolved, &other.id()));
        // An hour has gone while it was stopped.
        assert_eq!(told(&mut book, 179, std::slice::from_ref(&one)), []);
        assert_eq!(told(&mut book, 180, std::slice::from_ref(&one)), [(State::Still, "omneo".to_owned())]);
        // A clock that was set back, or far forward, makes nothing wait for longer and nothing be told at once anew.
        for now in [i64::MIN / 2, -HOUR_MS] {
            let mut book = Book::of(before.told.clone(), 0, now);
            assert_eq!(told(&mut book, 240, std::slice::from_ref(&one)).len(), 2);
        }
    }

    #[test]
    fn each_kind_has_a_name_and_an_alert_an_id_of_its_own() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        let ids = [
            alert(Kind::TargetPaused, "omneo"),
            alert(Kind::TargetPaused, "shopify"),
            alert(Kind::TargetHeld, "omneo"),
        ];
        assert_eq!(ids.iter().map(Alert::id).collect::<BTreeSet<_>>().len(), 3);
    }
}
