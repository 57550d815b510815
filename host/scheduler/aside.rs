//! Which of a tenant's waiting events are in memory: enough that can begin, and of a held source only those that have
//! begun. The rest is on disk, behind the horizon or behind the cut of its source, and is read in order of place.

use std::collections::BTreeSet;

use super::words::{Effect, Opened, Place, System, Ticket, Which};
use super::{Reading, Scheduler, State};

impl Scheduler {
    /// Takes an event in, or leaves it on disk if it is of a source that is held.
    pub(super) fn admit(&mut self, opened: Opened) {
        if opened.has_asked {
            self.left.insert(opened.event);
        }
        let is_aside = self.held.contains(&opened.source) || self.cuts.contains_key(&opened.source);
        if is_aside && may_wait(&opened) {
            self.cut(opened);
        } else {
            self.unkeyed.insert(opened.place, opened);
        }
    }

    /// Leaves this event and the later ones of its source on disk.
    fn cut(&mut self, opened: Opened) {
        let cut = self.cuts.entry(opened.source).or_insert(opened.place);
        *cut = opened.place.min(*cut);
    }

    pub(super) fn read(&mut self, ticket: Ticket, opened: Vec<Opened>, upto: Place, is_all: bool) {
        let Some(reading) = self.reading.take_if(|reading| reading.ticket == ticket) else { return };
        let new: Vec<_> =
            opened.into_iter().filter(|opened| !reading.gone.contains(&opened.place) && !self.has(opened)).collect();
        let source = match reading.which {
            Which::From(source) => source,
            Which::Asked => {
                new.into_iter().for_each(|opened| self.admit(opened));
                self.left_upto = (!is_all).then_some(upto);
                return;
            }
            Which::All => {
                new.into_iter().for_each(|opened| self.admit(opened));
                self.horizon = self.horizon.max(upto);
                self.is_all = is_all;
                return;
            }
        };
        if self.held.contains(&source) {
            return;
        }
        // The cut may have moved to an earlier place meanwhile; then this answer would leave a gap.
        if self.cuts.get(&source).is_some_and(|cut| cut.0 <= reading.after.0) {
            return;
        }
        self.unkeyed.extend(new.into_iter().map(|opened| (opened.place, opened)));
        let read = if is_all { reading.upto } else { upto };
        if is_all && self.horizon <= read {
            self.cuts.remove(&source);
        } else {
            self.cuts.insert(source, Place(read.0 + 1));
        }
    }

    /// How many events can begin now, can begin when they have a key, or have just begun.
    pub(super) fn soon(&self) -> usize {
        let naming = self.naming.as_ref().map_or(0, |naming| naming.events.len());
        self.lanes.ready() + self.loaded + self.unkeyed.len() + naming
    }

    /// Reads more events as long as too few can begin.
    pub(super) fn read_on(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let is_full = self.len() >= self.limits.passed_over_max;
        if is_full && !self.is_full {
            self.out.push(Effect::Full { events: self.len() });
        }
        self.is_full = is_full;
        let is_enough = is_full || self.soon() >= self.limits.ready_max;
        let behind = self.cuts.iter().find(|(source, _)| !self.held.contains(source));
        let (which, after, upto) = match (self.left_upto, behind) {
            (Some(after), _) => (Which::Asked, after, Place(i64::MAX)),
            _ if is_enough => return,
            (None, Some((source, cut))) => (Which::From(*source), Place(cut.0 - 1), self.horizon),
            (None, None) if !self.is_all => (Which::All, self.horizon, Place(i64::MAX)),
            (None, None) => return,
        };
        let ticket = self.ticket();
        self.reading = Some(Reading { ticket, which, after, upto, gone: BTreeSet::new() });
        self.out.push(Effect::Read { ticket, which, after, upto, most: self.limits.read_at_once_max });
    }

    pub(super) fn directed(&mut self, source: System, is_held: bool) {
        if !is_held {
            self.held.remove(&source);
            return;
        }
        self.held.insert(source);
        let goes = |opened: &Opened| opened.source == source && may_wait(opened);
        let mut aside: Vec<Opened> = self.unkeyed.values().copied().filter(goes).collect();
        self.unkeyed.retain(|_, opened| !goes(opened));
        if let Some(naming) = &mut self.naming {
            aside.extend(naming.events.values().copied().filter(goes));
            naming.events.retain(|_, opened| !goes(opened));
        }
        // An event that has asked for something goes on. One that was about to ask has done nothing yet, and is put
        // aside.
        for opened in self.lanes.all().into_iter().filter(goes) {
            match self.running.get(&opened.event).map(|now| now.state) {
                None => {}
                Some(State::Again | State::Beginning | State::Asking(_, 0) | State::Calling(_, 0)) => {
                    self.void(opened.event);
                    self.drop_run(opened.event);
                }
                Some(_) => continue,
            }
            self.lanes.finish(opened.event);
            aside.push(opened);
        }
        aside.into_iter().for_each(|opened| self.cut(opened));
    }
}

/// Whether a hold keeps an event from beginning. It does not if the event has calls in its open run, if a write of a
/// dropped run may still take effect, or if the host itself made the event or has a duty about it.
fn may_wait(opened: &Opened) -> bool {
    !opened.is_duty && !opened.has_asked && !opened.in_flight && opened.source != System::Host
}
