//! Finds the keys of events: some events at a time, in order, and again when another version may give other keys.

use std::collections::BTreeMap;

use super::words::{Effect, Keyed, Opened, Ticket, Verdict};
use super::{Naming, Scheduler, State};
use crate::model::EventId;

impl Scheduler {
    /// Takes the key from every event that has not begun, so that it is asked for again.
    pub(super) fn unkey(&mut self) {
        for opened in self.lanes.all() {
            if !self.running.contains_key(&opened.event) {
                self.lanes.finish(opened.event);
                self.admit(opened);
            }
        }
        match &mut self.naming {
            Some(naming) if naming.is_declaring => naming.is_stale = true,
            _ => self.rename(),
        }
    }

    /// Takes back the events that are being asked for their keys, so that they are asked again.
    pub(super) fn rename(&mut self) {
        for opened in self.naming.take().into_iter().flat_map(|naming| naming.events.into_values()) {
            self.admit(opened);
        }
    }

    pub(super) fn named(&mut self, ticket: Ticket, has_version: bool) {
        let is_open = self.is_open();
        let Some(naming) = self.naming.as_mut().filter(|naming| naming.ticket == ticket && !naming.is_declaring) else {
            return;
        };
        if has_version && is_open {
            naming.is_declaring = true;
            let mut events: Vec<_> = naming.events.values().collect();
            events.sort_unstable_by_key(|opened| opened.place);
            let events = events.into_iter().map(|opened| opened.event).collect();
            return self.out.push(Effect::Declare { ticket, events });
        }
        // A version may have been activated since none was found.
        self.is_without |= !has_version && naming.activations == self.activations;
        self.rename();
    }

    pub(super) fn declared(
        &mut self,
        ticket: Ticket,
        keyed: Vec<Keyed>,
        over: Vec<(EventId, Option<Verdict>)>,
        again: Vec<EventId>,
    ) {
        let mine = self.naming.take_if(|naming| naming.ticket == ticket);
        let is_stale = mine.as_ref().is_some_and(|naming| naming.is_stale);
        let mut events = mine.map(|naming| naming.events).unwrap_or_default();
        for Keyed { event, lane, after } in keyed {
            self.join(&lane, None);
            let Some(opened) = events.remove(&event) else { continue };
            if is_stale {
                self.admit(opened);
                continue;
            }
            self.lanes.push(opened, lane.entity, &after);
            if opened.has_asked {
                self.keep_one(lane.entity);
            }
            if opened.in_flight {
                let has_asked = opened.has_asked;
                self.wait_quiet(event);
                self.lanes.asked(event, has_asked);
            }
        }
        for event in again {
            if let Some(opened) = events.remove(&event) {
                self.admit(opened);
            }
        }
        // Any event that is left is over.
        for opened in events.into_values() {
            self.left.remove(&opened.event);
            if let Some(reading) = &mut self.reading {
                reading.gone.insert(opened.place);
            }
        }
        for (_, verdict) in over {
            self.judge(verdict);
        }
    }

    pub(super) fn name(&mut self) {
        if self.naming.is_some() || self.unkeyed.is_empty() {
            return;
        }
        let ticket = self.ticket();
        let mut events = vec![];
        while events.len() < self.limits.named_at_once_max
            && let Some((_, opened)) = self.unkeyed.pop_first()
        {
            events.push(opened);
        }
        self.out.push(Effect::Name { ticket, events: events.iter().map(|opened| opened.event).collect() });
        let events = events.into_iter().map(|opened| (opened.event, opened)).collect();
        let activations = self.activations;
        self.naming = Some(Naming { ticket, events, is_declaring: false, is_stale: false, activations });
    }

    /// Begins the events of a bad version again. Every event that has not begun gets a new key, since its old key came
    /// from the bad version.
    pub(super) fn rolled_back(&mut self, again: Vec<Opened>) {
        self.is_rolling = false;
        let again: BTreeMap<EventId, Opened> = again.into_iter().map(|opened| (opened.event, opened)).collect();
        for opened in again.values().filter(|opened| opened.in_flight) {
            self.wait_quiet(opened.event);
        }
        // An event that was about to begin may be on either version by now.
        let begins = |state: State| matches!(state, State::Beginning);
        let mut events: Vec<EventId> = again.keys().copied().collect();
        events.extend(self.running.iter().filter(|(_, now)| begins(now.state)).map(|(event, _)| *event));
        for event in events {
            self.void(event);
        }
        again.keys().for_each(|event| self.finish(*event));
        self.unkey();
        for opened in again.into_values() {
            // The event was over when everything else was read.
            if self.is_all {
                self.horizon = self.horizon.max(opened.place);
            }
            self.admit(opened);
        }
    }
}
