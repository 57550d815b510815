//! Which event may run now: one at a time per entity, in order of arrival, after those it comes after.
//!
//! Pure: knows ids and order; neither journal nor rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{EntityId, EventId};

/// The events of one tenant that are not over.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<EntityId, Lane>,
    events: BTreeMap<EventId, Item>,
    /// Where the events of an entity are since it became part of another.
    moved: HashMap<EntityId, EntityId>,
    /// Events that may start as soon as somebody asks for one.
    ready: BTreeMap<Place, EventId>,
    /// The place of the next event.
    next: Place,
    /// Who waits for which entity's earlier events.
    waiters: HashMap<EntityId, BTreeSet<EventId>>,
}

/// Where an event stands among all: in order of arrival, a dead letter that is retried behind those that are there.
type Place = u64;

/// The events of one entity.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<Place, EventId>,
    running: Option<(Place, EventId)>,
    /// The one of `waiting` that may start.
    ready: Option<Place>,
}

#[derive(Debug)]
struct Item {
    place: Place,
    entity: EntityId,
    after: Vec<EntityId>,
    /// Whether it has asked for a write.
    wrote: bool,
    restarts: u32,
}

impl Lanes {
    /// Adds an event. Its entity may be new, or be made of entities that were several until now: see [`Lanes::join`].
    pub fn push(&mut self, event: EventId, entity: EntityId, after: Vec<EntityId>) {
        // Told of twice, it would stand in two places.
        if self.events.contains_key(&event) {
            return;
        }
        let entity = self.entity(entity);
        let after: Vec<_> = after.into_iter().map(|other| self.entity(other)).collect();
        for other in &after {
            self.waiters.entry(*other).or_default().insert(event);
        }
        let place = self.next;
        self.next += 1;
        self.events.insert(event, Item { place, entity, after, wrote: false, restarts: 0 });
        self.lanes.entry(entity).or_default().waiting.insert(place, event);
        self.consider(entity);
    }

    /// The earliest event that may run, which then runs.
    pub fn start(&mut self) -> Option<EventId> {
        let (place, event) = self.ready.pop_first()?;
        let lane = self.lane_of(event)?;
        lane.waiting.remove(&place);
        lane.running = Some((place, event));
        lane.ready = None;
        Some(event)
    }

    pub fn is_running(&self, event: EventId) -> bool {
        let entity = self.events.get(&event).map(|item| item.entity);
        entity.and_then(|entity| self.lanes.get(&entity)).is_some_and(|lane| lane.is_running(event))
    }

    /// The entity that an event is about, as known by now.
    pub fn entity_of(&self, event: EventId) -> Option<EntityId> {
        self.events.get(&event).map(|item| item.entity)
    }

    /// Notes that a running event asks for a write.
    pub fn wrote(&mut self, event: EventId) {
        if let Some(item) = self.events.get_mut(&event) {
            item.wrote = true;
        }
    }

    /// The event is over and leaves its lane.
    pub fn finish(&mut self, event: EventId) {
        let Some(item) = self.events.remove(&event) else { return };
        self.ready.remove(&item.place);
        for other in item.after {
            if let Some(waiters) = self.waiters.get_mut(&other) {
                waiters.remove(&event);
                if waiters.is_empty() {
                    self.waiters.remove(&other);
                }
            }
        }
        if let Some(lane) = self.lanes.get_mut(&item.entity) {
            lane.waiting.remove(&item.place);
            if lane.is_running(event) {
                lane.running = None;
            }
            if lane.ready == Some(item.place) {
                lane.ready = None;
            }
        }
        self.consider(item.entity);
        for waiter in self.waiters.get(&item.entity).cloned().unwrap_or_default() {
            if let Some(entity) = self.entity_of(waiter) {
                self.consider(entity);
            }
        }
        self.moved.retain(|_, to| self.lanes.contains_key(to));
    }

    /// The event goes back to its place in the lane and begins again. Gives how often it has.
    pub fn restart(&mut self, event: EventId) -> u32 {
        let Some(item) = self.events.get_mut(&event) else { return 0 };
        item.wrote = false;
        item.restarts += 1;
        let (place, entity, restarts) = (item.place, item.entity, item.restarts);
        if let Some(lane) = self.lanes.get_mut(&entity) {
            if lane.is_running(event) {
                lane.running = None;
            }
            lane.waiting.insert(place, event);
        }
        self.consider(entity);
        restarts
    }

    /// Takes out every event that does not run, and gives them in the order they stood in.
    pub fn take_waiting(&mut self) -> Vec<EventId> {
        let mut waiting = self.in_order();
        waiting.retain(|event| !self.is_running(*event));
        waiting.iter().for_each(|event| self.finish(*event));
        waiting
    }

    /// Every event, in the order they stand in.
    pub fn in_order(&self) -> Vec<EventId> {
        let mut events: Vec<_> = self.events.iter().map(|(event, item)| (item.place, *event)).collect();
        events.sort_unstable();
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Makes entities part of another. Of two that run, the one that has written nothing must begin again, or the later
    /// one when both have: these are given back, and stay running until they are restarted.
    pub fn join(&mut self, into: EntityId, from: &[EntityId]) -> Vec<EventId> {
        let into = self.entity(into);
        let mut restart = vec![];
        for other in from {
            let other = self.entity(*other);
            if other == into {
                continue;
            }
            self.moved.insert(other, into);
            for to in self.moved.values_mut().filter(|to| **to == other) {
                *to = into;
            }
            if let Some(waiters) = self.waiters.remove(&other) {
                for waiter in &waiters {
                    if let Some(item) = self.events.get_mut(waiter) {
                        item.after.iter_mut().filter(|after| **after == other).for_each(|after| *after = into);
                    }
                }
                self.waiters.entry(into).or_default().extend(waiters);
            }
            let theirs = self.lanes.remove(&other).unwrap_or_default();
            if let Some(place) = theirs.ready {
                self.ready.remove(&place);
            }
            for event in theirs.waiting.values().chain(theirs.running.iter().map(|(_, event)| event)) {
                if let Some(item) = self.events.get_mut(event) {
                    item.entity = into;
                }
            }
            let ours = self.lanes.entry(into).or_default();
            ours.waiting.extend(theirs.waiting);
            let running = ours.running;
            match (running, theirs.running) {
                (Some(one), Some(two)) => {
                    let loser = self.loser(one, two);
                    let winner = if loser == one { two } else { one };
                    self.lanes.entry(into).or_default().running = Some(winner);
                    restart.push(loser.1);
                }
                (None, running) => ours.running = running,
                (Some(_), None) => {}
            }
        }
        if let Some(place) = self.lanes.get_mut(&into).and_then(|lane| lane.ready.take()) {
            self.ready.remove(&place);
        }
        self.consider(into);
        restart
    }

    /// How many events are not over.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn loser(&self, one: (Place, EventId), two: (Place, EventId)) -> (Place, EventId) {
        let wrote = |(_, event): (Place, EventId)| self.events.get(&event).is_some_and(|item| item.wrote);
        match (wrote(one), wrote(two)) {
            (true, false) => two,
            (false, true) => one,
            // Neither or both: the later one.
            _ => one.max(two),
        }
    }

    fn entity(&self, entity: EntityId) -> EntityId {
        self.moved.get(&entity).copied().unwrap_or(entity)
    }

    fn lane_of(&mut self, event: EventId) -> Option<&mut Lane> {
        let entity = self.events.get(&event)?.entity;
        self.lanes.get_mut(&entity)
    }

    /// Makes the head of a lane ready if nothing stands before it.
    fn consider(&mut self, entity: EntityId) {
        let Some(lane) = self.lanes.get(&entity) else { return };
        if lane.running.is_some() {
            return;
        }
        let Some((place, head)) = lane.waiting.first_key_value().map(|(place, event)| (*place, *event)) else {
            self.lanes.remove(&entity);
            return;
        };
        let after = self.events.get(&head).map(|item| &item.after[..]).unwrap_or_default();
        let free = after.iter().all(|other| self.is_over_before(*other, place, entity));
        let ready = free.then_some(place);
        // An earlier event may have come back to the lane since another was found ready.
        let before = self.lanes.get_mut(&entity).and_then(|lane| std::mem::replace(&mut lane.ready, ready));
        if before != ready
            && let Some(before) = before
        {
            self.ready.remove(&before);
        }
        if free {
            self.ready.insert(place, head);
        }
    }

    /// Whether an entity has no event left that arrived before this one.
    fn is_over_before(&self, other: EntityId, place: Place, own: EntityId) -> bool {
        let other = self.entity(other);
        other == own
            || self.lanes.get(&other).is_none_or(|lane| {
                lane.running.is_none_or(|(running, _)| running > place)
                    && lane.waiting.first_key_value().is_none_or(|(first, _)| *first > place)
            })
    }
}

impl Lane {
    fn is_running(&self, event: EventId) -> bool {
        self.running.is_some_and(|(_, running)| running == event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EntityId = EntityId(1);
    const B: EntityId = EntityId(2);

    fn lanes(events: &[(i64, EntityId)]) -> Lanes {
        let mut lanes = Lanes::default();
        for (event, entity) in events {
            lanes.push(EventId(*event), *entity, vec![]);
        }
        lanes
    }

    fn started(lanes: &mut Lanes) -> Vec<i64> {
        std::iter::from_fn(|| lanes.start()).map(|event| event.0).collect()
    }

    #[test]
    fn one_at_a_time_and_in_order() {
        let mut lanes = lanes(&[(1, A), (2, A), (3, B)]);
        assert_eq!(started(&mut lanes), [1, 3]);
        lanes.finish(EventId(1));
        assert_eq!(started(&mut lanes), [2]);
    }

    #[test]
    fn a_retried_event_stands_behind_those_that_are_there() {
        let mut lanes = lanes(&[(2, A), (3, A), (1, A)]);
        assert_eq!(started(&mut lanes), [2]);
        lanes.finish(EventId(2));
        assert_eq!(started(&mut lanes), [3]);
    }

    #[test]
    fn an_order_waits_only_for_what_came_before_it() {
        let mut lanes = lanes(&[(1, A)]);
        lanes.push(EventId(2), B, vec![A]);
        lanes.push(EventId(3), A, vec![]);
        assert_eq!(started(&mut lanes), [1]);
        lanes.finish(EventId(1));
        assert_eq!(started(&mut lanes), [2, 3]);
    }

    #[test]
    fn of_two_that_meet_the_one_that_wrote_goes_on() {
        let mut lanes = lanes(&[(1, A), (2, B), (3, A)]);
        assert_eq!(started(&mut lanes), [1, 2]);
        lanes.wrote(EventId(2));
        assert_eq!(lanes.join(A, &[B]), [EventId(1)]);
        lanes.restart(EventId(1));
        assert!(lanes.start().is_none());
        lanes.finish(EventId(2));
        assert_eq!(started(&mut lanes), [1]);
        lanes.finish(EventId(1));
        assert_eq!(started(&mut lanes), [3]);
    }

    /// Random pushes, starts, ends, restarts and joins; prints the seed when an invariant breaks.
    #[test]
    fn whatever_happens_the_order_holds() {
        let first: u64 = std::env::var("TANDEM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let seeds: u64 = std::env::var("TANDEM_SWEEP").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
        for seed in first..first + seeds {
            let broken = std::panic::catch_unwind(|| random_life(seed));
            assert!(broken.is_ok(), "seed {seed}: run again with TANDEM_SEED={seed} TANDEM_SWEEP=1");
        }
    }

    fn random_life(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lanes = Lanes::default();
        let (mut next, mut running, mut over) = (1, BTreeSet::new(), 0);
        for turn in 0.. {
            match random.u32(..10) {
                0..=3 if turn < 200 => {
                    let after = if random.bool() { vec![EntityId(random.i64(1..8))] } else { vec![] };
                    lanes.push(EventId(next), EntityId(random.i64(1..8)), after);
                    next += 1;
                }
                6 if turn % 7 == 0 => {
                    for event in lanes.take_waiting() {
                        lanes.push(event, EntityId(random.i64(1..8)), vec![]);
                    }
                }
                4..=6 => {
                    if let Some(event) = lanes.start() {
                        let entity = lanes.entity_of(event).unwrap();
                        for other in &running {
                            assert_ne!(lanes.entity_of(*other), Some(entity), "two of one entity run");
                        }
                        let place = lanes.events[&event].place;
                        for (other, item) in &lanes.events {
                            assert!(item.entity != entity || item.place >= place, "{other:?} waits, {event:?} runs");
                        }
                        running.insert(event);
                    }
                }
                7 => {
                    let (into, from) = (EntityId(random.i64(1..8)), EntityId(random.i64(1..8)));
                    for event in lanes.join(into, &[from]) {
                        assert!(running.remove(&event));
                        lanes.restart(event);
                    }
                }
                _ => {
                    let some = running.iter().nth(random.usize(..running.len().max(1))).copied();
                    if let Some(event) = some {
                        running.remove(&event);
                        if random.u8(..4) == 0 {
                            lanes.restart(event);
                        } else {
                            lanes.finish(event);
                            over += 1;
                        }
                    }
                }
            }
            if turn > 200 && lanes.is_empty() {
                break;
            }
            assert!(turn < 20_000, "events wait for ever: {lanes:?}");
        }
        assert_eq!(over, next - 1);
        assert!(lanes.lanes.is_empty() && lanes.ready.is_empty() && lanes.waiters.is_empty());
    }
}
