//! The connections of a listener, and which of them has waited longest for its client. Pure.

use std::collections::BTreeMap;

use crate::model::Tick;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The head of a request has not come yet, and the answer before may still be read.
    Waiting,
    /// The head has come, and the body is on its way.
    Sending,
    /// The whole request has come, and is not answered yet.
    Working,
}

/// The connections of a listener, each with something to cut it off by.
pub struct Visitors<T> {
    next: u64,
    known: BTreeMap<u64, Visitor<T>>,
}

struct Visitor<T> {
    phase: Phase,
    /// When the phase began.
    since: Tick,
    /// Bytes of the body, while it is on its way.
    received: usize,
    cut: T,
}

impl<T> Default for Visitors<T> {
    fn default() -> Self {
        Self { next: 0, known: BTreeMap::new() }
    }
}

impl<T> Visitors<T> {
    /// Adds a connection, and gives its number.
    pub fn enter(&mut self, cut: T, now: Tick) -> u64 {
        self.next += 1;
        self.known.insert(self.next, Visitor { phase: Phase::Waiting, since: now, received: 0, cut });
        self.next
    }

    pub fn leave(&mut self, number: u64) {
        self.known.remove(&number);
    }

    pub fn set(&mut self, number: u64, phase: Phase, now: Tick) {
        if let Some(known) = self.known.get_mut(&number)
            && known.phase != phase
        {
            (known.phase, known.since, known.received) = (phase, now, 0);
        }
    }

    /// Counts bytes of the body that is on its way.
    pub fn received(&mut self, number: u64, bytes: usize) {
        if let Some(known) = self.known.get_mut(&number) {
            known.received += bytes;
        }
    }

    /// Removes the connection that has waited longest for a head or, if none waits for a head, for a body. `None`:
    /// every connection has a request that is being worked on.
    pub fn longest_waiting(&mut self) -> Option<T> {
        let candidates = self.known.iter().filter(|(_, known)| known.phase != Phase::Working);
        let number = *candidates.min_by_key(|(number, known)| (known.phase, known.since, **number))?.0;
        self.known.remove(&number).map(|known| known.cut)
    }

    /// Removes the connection whose body has been on its way longest, among those that have sent some of it, and gives
    /// how many bytes that is. `None`: that connection is `own`, or there is none.
    pub fn longest_sending(&mut self, own: u64) -> Option<(T, usize)> {
        let sends = |known: &Visitor<T>| known.phase == Phase::Sending;
        let candidates = self.known.iter().filter(|(n, known)| sends(known) && (known.received > 0 || **n == own));
        let number = *candidates.min_by_key(|(number, known)| (known.since, **number))?.0;
        if number == own { None } else { self.known.remove(&number).map(|known| (known.cut, known.received)) }
    }

    /// The connections without a request that is being worked on.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.known.values().filter(|known| known.phase != Phase::Working).map(|known| &known.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dawdles_gives_way_and_who_is_worked_for_does_not() {
        let mut visitors = Visitors::default();
        for name in ["a", "b", "c", "d", "e"] {
            let number = visitors.enter(name, Tick(0));
            assert_eq!(number, visitors.next);
        }
        visitors.set(1, Phase::Working, Tick(1));
        visitors.set(2, Phase::Sending, Tick(3));
        visitors.set(3, Phase::Sending, Tick(2));
        // Idle again after an answer, so it has waited less than the last one.
        visitors.set(4, Phase::Working, Tick(1));
        visitors.set(4, Phase::Waiting, Tick(4));
        assert_eq!(visitors.waiting().count(), 4);
        // Nobody has sent any part of a body yet.
        assert_eq!(visitors.longest_sending(2), None);
        visitors.received(2, 10);
        assert_eq!(visitors.longest_sending(3), None);
        visitors.received(3, 20);
        visitors.received(3, 1);
        assert_eq!(visitors.longest_waiting(), Some("e"));
        assert_eq!(visitors.longest_waiting(), Some("d"));
        assert_eq!(visitors.longest_sending(2), Some(("c", 21)));
        // It has been sending all the time: saying so again changes nothing.
        visitors.set(2, Phase::Sending, Tick(9));
        assert_eq!(visitors.longest_waiting(), Some("b"));
        assert_eq!(visitors.longest_waiting(), None);
        visitors.leave(1);
        assert!(visitors.known.is_empty());
    }
}
