//! Events of a direction that is held: they step aside so that they stand in nobody's way, and come into their lanes in
//! order of arrival when it runs again.
//!
//! Knows lanes and modes; not who holds what. What is aside is in the journal as what is not over, and so is set aside
//! again after a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{KEYED_AT_ONCE_MAX, Message, Worker};
use crate::compliance;
use crate::journal::{Mode, Passing};
use crate::model::EventId;

/// Events that are in no lane, by their source, in the order in which they will be: those of directions that are held, and
/// of those that run again until all are in their lanes.
pub type Aside = BTreeMap<String, VecDeque<EventId>>;

impl Worker {
    /// Finds the lanes of what has just arrived, or sets it aside behind what is there.
    pub(super) async fn arrived(&mut self, events: Vec<EventId>) {
        let mut sources: BTreeSet<String> = self.aside.keys().cloned().collect();
        sources.extend(self.held_sources());
        let (stay, aside) = self.part(events, &sources);
        for (source, event) in aside {
            self.aside.entry(source).or_default().push_back(event);
        }
        self.key(stay).await;
    }

    /// Sets aside, before what is there, what stood in lanes. Gives the others.
    pub(super) fn step_aside(&mut self, events: Vec<EventId>) -> Vec<EventId> {
        let (stay, aside) = self.part(events, &self.held_sources());
        for (source, event) in aside.into_iter().rev() {
            self.aside.entry(source).or_default().push_front(event);
        }
        stay
    }

    /// Another mode is in force.
    pub(super) async fn directed(&mut self, source: String) {
        if self.journal.mode(&self.tenant, &source) != Mode::Hold {
            return self.drain(source).await;
        }
        // Who has asked for something goes on; who was about to has done nothing yet.
        let is_under_way = |event: &EventId| self.running.get(event).is_some_and(|running| running.run.is_some());
        let mut events = self.lanes.in_order();
        events.retain(|event| !is_under_way(event));
        let stay: BTreeSet<_> = self.step_aside(events.clone()).into_iter().collect();
        for event in events.into_iter().filter(|event| !stay.contains(event)) {
            self.running.remove(&event);
            self.lanes.finish(event);
        }
    }

    /// Brings some of what is aside into the lanes, and sees to the rest later: others have things to say meanwhile.
    pub(super) async fn drain(&mut self, source: String) {
        if self.journal.mode(&self.tenant, &source) == Mode::Hold {
            return;
        }
        let Some(aside) = self.aside.get_mut(&source) else { return };
        let events: Vec<_> = aside.drain(..aside.len().min(KEYED_AT_ONCE_MAX)).collect();
        if aside.is_empty() {
            self.aside.remove(&source);
        } else {
            // The worker is gone when the host stops.
            let _ = self.inbox.send(Message::Drain(source));
        }
        // A run that asked for nothing may be on a version of long ago.
        if let Err(error) = self.journal.drop_runs(events.clone()).await {
            tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
        }
        self.key(events).await;
    }

    fn held_sources(&self) -> BTreeSet<String> {
        let directions = self.journal.directions(&self.tenant).into_iter();
        directions.filter(|direction| direction.mode == Mode::Hold).map(|direction| direction.source).collect()
    }

    /// Those that may go on, and those that are of one of these sources and have not begun. What the host does itself is
    /// never held.
    fn part(&self, events: Vec<EventId>, sources: &BTreeSet<String>) -> (Vec<EventId>, Vec<(String, EventId)>) {
        if sources.is_empty() {
            return (events, vec![]);
        }
        let passing = match self.journal.read(|reader| reader.passing(&events)) {
            Ok(passing) => passing,
            Err(error) => {
                self.later(events, &error);
                return (vec![], vec![]);
            }
        };
        let (mut stay, mut aside) = (vec![], vec![]);
        for Passing { event, source, topic, has_begun } in passing {
            if has_begun || !sources.contains(&source) || compliance::duty_of(&source, &topic).is_some() {
                stay.push(event);
            } else {
                aside.push((source, event));
            }
        }
        (stay, aside)
    }
}
