//! Decides which event may run now: one at a time per entity, in order of place, after the earlier events that it waits
//! for, and in no lane in which a write of a dropped run may still take effect.
//!
//! Pure: knows ids and order; neither journal nor rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::words::{Opened, Place, System, Ticket};
use crate::model::{EntityId, EventId};

/// The events of one tenant that are not over and have a lane.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<EntityId, Lane>,
    events: HashMap<EventId, Item>,
    /// Entities that have become part of another one, and that one.
    moved: HashMap<EntityId, EntityId>,
    /// Events that may start now.
    ready: BTreeMap<Place, EventId>,
    /// For an event, the entities whose earlier events it waits for; and for an entity, the events that wait for it.
    after: HashMap<EventId, Box<[EntityId]>>,
    waiters: HashMap<EntityId, BTreeSet<EventId>>,
    /// The tickets that block a lane, each with its entity.
    blocks: BTreeMap<Ticket, EntityId>,
}

/// The events of one entity.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<Place, EventId>,
    running: Option<(Place, EventId)>,
    /// The one of `waiting` that may start.
    ready: Option<Place>,
    blocks: u32,
}

/// An event. Small: a million may wait here.
#[derive(Debug)]
struct Item {
    place: Place,
    entity: EntityId,
    source: System,
    is_duty: bool,
    has_asked: bool,
    in_flight: bool,
    /// Whether it has asked for a write.
    wrote: bool,
    restarts: u8,
}

impl Item {
    fn opened(&self, event: EventId) -> Opened {
        let Self { place, source, is_duty, has_asked, in_flight, .. } = *self;
        Opened { event, place, source, is_duty, has_asked, in_flight }
    }
}

impl Lanes {
    /// Adds an event to the lane of its entity, which may be new. If several entities have become one, [`Lanes::join`]
    /// them first.
    pub fn push(&mut self, opened: Opened, entity: EntityId, after: &[EntityId]) {
        let event = opened.event;
        // An event that is added twice would stand in two places.
        if self.events.contains_key(&event) {
            return;
        }
        let entity = self.entity(entity);
        if !after.is_empty() {
            let after: Box<[_]> = after.iter().map(|other| self.entity(*other)).collect();
            for other in &after {
                self.waiters.entry(*other).or_default().insert(event);
            }
            self.after.insert(event, after);
        }
        let Opened { place, source, is_duty, has_asked, in_flight, .. } = opened;
        let item = Item { place, entity, source, is_duty, has_asked, in_flight, wrote: false, restarts: 0 };
        self.events.insert(event, item);
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

    pub fn contains(&self, event: EventId) -> bool {
        self.events.contains_key(&event)
    }

    /// How many events may start now.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The entity that an event is about, as far as is known now.
    pub fn entity_of(&self, event: EventId) -> Option<EntityId> {
        self.events.get(&event).map(|item| item.entity)
    }

    pub fn place_of(&self, event: EventId) -> Option<Place> {
        self.events.get(&event).map(|item| item.place)
    }

    pub fn restarts(&self, event: EventId) -> u8 {
        self.events.get(&event).map_or(0, |item| item.restarts)
    }

    /// Notes that a running event asks for a write.
    pub fn wrote(&mut self, event: EventId) {
        if let Some(item) = self.events.get_mut(&event) {
            item.wrote = true;
        }
    }

    /// Notes whether the open run of an event has calls.
    pub fn asked(&mut self, event: EventId, has_asked: bool) {
        if let Some(item) = self.events.get_mut(&event) {
            item.has_asked = has_asked;
        }
    }

    /// Blocks the lane of an event until the ticket is given back.
    pub fn block(&mut self, event: EventId, ticket: Ticket) {
        let Some(entity) = self.entity_of(event) else { return };
        self.blocks.insert(ticket, entity);
        self.lanes.entry(entity).or_default().blocks += 1;
        self.consider(entity);
    }

    pub fn unblock(&mut self, ticket: Ticket) {
        let Some(entity) = self.blocks.remove(&ticket).map(|entity| self.entity(entity)) else { return };
        if let Some(lane) = self.lanes.get_mut(&entity) {
            lane.blocks = lane.blocks.saturating_sub(1);
        }
        self.consider(entity);
    }

    /// Whether no write of a dropped run blocks the lane of an event.
    pub fn is_quiet(&self, event: EventId) -> bool {
        let lane = self.entity_of(event).and_then(|entity| self.lanes.get(&entity));
        lane.is_none_or(|lane| lane.blocks == 0)
    }

    /// Removes an event that is over from its lane.
    pub fn finish(&mut self, event: EventId) {
        let Some(item) = self.events.remove(&event) else { return };
        self.ready.remove(&item.place);
        for other in self.after.remove(&event).unwrap_or_default() {
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
        if !self.moved.is_empty() {
            self.moved.retain(|_, to| self.lanes.contains_key(to));
        }
    }

    /// Puts an event back to its place in the lane, where it begins again.
    pub fn restart(&mut self, event: EventId) {
        let Some(item) = self.events.get_mut(&event) else { return };
        item.wrote = false;
        item.restarts = item.restarts.saturating_add(1);
        self.back(event);
    }

    /// The same, without counting a restart: the rules were not asked about the event.
    pub fn back(&mut self, event: EventId) {
        let Some(item) = self.events.get(&event) else { return };
        let (place, entity) = (item.place, item.entity);
        if let Some(lane) = self.lanes.get_mut(&entity) {
            if lane.is_running(event) {
                lane.running = None;
            }
            lane.waiting.insert(place, event);
        }
        self.consider(entity);
    }

    /// Takes out an event, and gives what is known of it.
    pub fn take(&mut self, event: EventId) -> Option<Opened> {
        let opened = self.events.get(&event)?.opened(event);
        self.finish(event);
        Some(opened)
    }

    /// Every event in order.
    pub fn all(&self) -> Vec<Opened> {
        let mut all: Vec<_> = self.events.iter().map(|(event, item)| item.opened(*event)).collect();
        all.sort_unstable_by_key(|opened| opened.place);
        all
    }

    /// Makes the entities `from` part of `into`. If an event of each is running, the one that has asked for no write
    /// must begin again; if both have, or neither, the later one. Gives these events, which stay running until they are
    /// restarted.
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
                    if let Some(all) = self.after.get_mut(waiter) {
                        all.iter_mut().filter(|after| **after == other).for_each(|after| *after = into);
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
            ours.blocks += theirs.blocks;
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

    /// Events of a lane whose open runs have calls although another such event is before them. That happens if a host
    /// was killed after two lanes had become one and before the later run was dropped.
    pub fn surplus(&self, entity: EntityId) -> Vec<EventId> {
        let Some(lane) = self.lanes.get(&self.entity(entity)) else { return vec![] };
        let has_asked = |event: &&EventId| self.events.get(*event).is_some_and(|item| item.has_asked);
        let first = usize::from(lane.running.is_none());
        lane.waiting.values().filter(has_asked).skip(first).copied().collect()
    }

    /// How many events are not over.
    pub fn len(&self) -> usize {
        self.events.len()
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

    /// Makes the first event of a lane ready if it has nothing to wait for.
    fn consider(&mut self, entity: EntityId) {
        let Some(lane) = self.lanes.get(&entity) else { return };
        if lane.running.is_some() {
            return;
        }
        let Some((place, head)) = lane.waiting.first_key_value().map(|(place, event)| (*place, *event)) else {
            if lane.blocks == 0 {
                self.lanes.remove(&entity);
            }
            return;
        };
        let is_quiet = lane.blocks == 0;
        let after = self.after.get(&head).map(|after| &after[..]).unwrap_or_default();
        let free = is_quiet && after.iter().all(|other| self.is_over_before(*other, place, entity));
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
        for (place, (event, entity)) in events.iter().enumerate() {
            lanes.push(opened(*event, place as i64), *entity, &[]);
        }
        lanes
    }

    fn opened(event: i64, place: i64) -> Opened {
        Opened {
            event: EventId(event),
            place: Place(place),
            source: System::Shopify,
            is_duty: false,
            has_asked: false,
            in_flight: false,
        }
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
        lanes.push(opened(2, 2), B, &[A]);
        lanes.push(opened(3, 3), A, &[]);
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

    #[test]
    fn a_lane_waits_until_what_was_dropped_in_it_is_quiet() {
        let mut lanes = lanes(&[(1, A), (2, A), (3, B)]);
        assert_eq!(started(&mut lanes), [1, 3]);
        lanes.block(EventId(1), Ticket(7));
        lanes.restart(EventId(1));
        assert!(started(&mut lanes).is_empty());
        // The block moves along when lanes are joined, and outlives the event that it was made for.
        lanes.finish(EventId(3));
        assert!(lanes.join(B, &[A]).is_empty());
        lanes.finish(EventId(1));
        assert!(started(&mut lanes).is_empty() && !lanes.is_quiet(EventId(2)));
        lanes.unblock(Ticket(7));
        assert_eq!(started(&mut lanes), [2]);
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
                    lanes.push(opened(next, next), EntityId(random.i64(1..8)), &after);
                    next += 1;
                }
                6 if turn % 7 == 0 => {
                    let waiting = lanes.all().into_iter().filter(|opened| !running.contains(&opened.event));
                    let waiting: Vec<_> = waiting.filter_map(|opened| lanes.take(opened.event)).collect();
                    for opened in waiting {
                        lanes.push(opened, EntityId(random.i64(1..8)), &[]);
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
            if turn > 200 && lanes.len() == 0 {
                break;
            }
            assert!(turn < 20_000, "events wait for ever: {lanes:?}");
        }
        assert_eq!(over, next - 1);
        assert!(lanes.lanes.is_empty() && lanes.ready.is_empty() && lanes.waiters.is_empty());
    }
}
