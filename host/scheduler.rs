//! One tenant's scheduler: which event is where, and what may happen next.
//!
//! Pure: it is told what has happened and says what is to be done. It knows neither clock nor journal nor rules; its
//! driver keeps what events say and what rules answer (`mapping.rs`; `tests/converge` has a driver in virtual time).
//!
//! It relies on the journal: orders are applied in the order given, and their answers come back in that order. Each
//! order names the lane that its event is expected in, and is refused if the event is in another lane by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{EntityId, EventId, RunId};

mod aside;
mod lanes;
mod naming;
mod trial;
mod words;

use lanes::Lanes;
use trial::Trial;
pub use words::{
    Answer, Beginning, Closer, Effect, Ending, Input, Joined, Keyed, Opened, Order, Place, Sending, System, Ticket,
    Try, Verdict, Which,
};

/// How much of a tenant's backlog is in memory; the rest stays on disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No more are read while this many events may start or wait for their key.
    pub ready_max: usize,
    /// How many events are read at a time, and how many are asked for their keys at a time.
    pub read_at_once_max: usize,
    pub named_at_once_max: usize,
    /// Events that are in memory with payload and replies, because the rules are asked about them.
    pub loaded_max: usize,
    /// Reading stops when this many events are in memory; nearly all of them then wait for others.
    pub passed_over_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ready_max: 256, read_at_once_max: 64, named_at_once_max: 64, loaded_max: 64, passed_over_max: 1_000_000 }
    }
}

/// How often an event may restart before it is closed as failed.
const RESTARTS_MAX: u8 = 20;

#[derive(Debug, Default)]
pub struct Scheduler {
    limits: Limits,
    lanes: Lanes,
    /// Events that have begun here.
    running: HashMap<EventId, Running>,
    /// Events that are loaded, or about to be.
    loaded: usize,
    /// Events that are to begin again, and events whose calls are to be written.
    again: BTreeMap<Place, EventId>,
    calling: BTreeMap<Place, EventId>,
    unkeyed: BTreeMap<Place, Opened>,
    naming: Option<Naming>,
    /// Dropped runs whose writes may still take effect; `true` once the journal has said so.
    dropped: BTreeMap<Ticket, (EventId, bool)>,
    /// Events that were under way before the host was restarted and have not begun again here. They have been read as
    /// far as `left_upto`, or all of them if that is `None`.
    left: BTreeSet<EventId>,
    left_upto: Option<Place>,
    /// Each of those events has a lane, and it is known which of their writes may still take effect: events may begin.
    is_taken_over: bool,
    /// Every event that is not over and has a place up to this one is in memory, or behind a cut.
    horizon: Place,
    /// No event is beyond the horizon.
    is_all: bool,
    reading: Option<Reading>,
    /// The driver was told that too many events wait for others.
    is_full: bool,
    held: BTreeSet<System>,
    /// From this place on, no event of this source is in memory unless it has begun.
    cuts: BTreeMap<System, Place>,
    /// Drains: wishes that nothing runs, and whether each was told that nothing does.
    drains: BTreeMap<u64, bool>,
    is_rolling: bool,
    /// As far as is known, no version is active.
    is_without: bool,
    activations: u64,
    trial: Trial,
    /// The last number that was given to a ticket or a try.
    count: u64,
    out: Vec<Effect>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    of: Try,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The event is to begin again.
    Again,
    Beginning,
    Asking(RunId, u32),
    /// The calls of its next pass are to be written when its lane is quiet.
    Calling(RunId, u32),
    Sending(RunId, u32),
    Replies(RunId),
    Ending(RunId, u32),
    Closing(Closer),
}

/// Events that are asked for their keys.
#[derive(Debug)]
struct Naming {
    ticket: Ticket,
    events: BTreeMap<EventId, Opened>,
    is_declaring: bool,
    /// Another version may give other keys by now.
    is_stale: bool,
    activations: u64,
}

#[derive(Debug)]
struct Reading {
    ticket: Ticket,
    which: Which,
    after: Place,
    upto: Place,
    /// Places of events that ended while this read was under way. Its answer comes when it is on disk, and may still
    /// list them.
    gone: BTreeSet<Place>,
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self { limits, left_upto: Some(Place(0)), ..Self::default() }
    }

    /// Takes what has happened, and gives what is to be done, in order.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Arrived(opened) => self.arrived(opened),
            Input::Read { ticket, opened, upto, is_all } => self.read(ticket, opened, upto, is_all),
            Input::Named { ticket, has_version } => self.named(ticket, has_version),
            Input::Declared { ticket, keyed, over, again } => self.declared(ticket, keyed, over, again),
            Input::Began { event, of, is } => self.began(event, of, is),
            Input::Asked { event, of, next } => self.asked(event, of, next),
            Input::Sent { event, of, is } => self.sent(event, of, is),
            Input::Ended { event, of, is } => self.ended(event, of, is),
            Input::Dropped { ticket, in_flight } => self.settled(ticket, in_flight),
            Input::Quiet { event } => self.quiet(event),
            Input::Quieted { ticket } => self.settled(ticket, false),
            Input::Replied { event, run } => {
                if self.running.get(&event).is_some_and(|now| now.state == State::Replies(run)) {
                    self.set(event, State::Again);
                }
            }
            Input::Over { events } => events.into_iter().for_each(|event| self.cut_off(event)),
            Input::RolledBack { again } => self.rolled_back(again),
            Input::NotRolledBack => self.is_rolling = false,
            Input::Directed { source, is_held } => self.directed(source, is_held),
            Input::Activated => {
                self.activations += 1;
                self.is_without = false;
            }
            Input::Drain { wish } => drop(self.drains.insert(wish, false)),
            Input::Go { wish } => self.go(wish),
            Input::Restart { event } => self.restart_by_hand(event),
            Input::Lost { event } => {
                if self.running.contains_key(&event) {
                    self.restart(event, "an answer was lost");
                }
            }
            Input::Failed { what } => self.failed(what),
            Input::Woke { what } => self.woke(what),
        }
        self.go_on();
        std::mem::take(&mut self.out)
    }

    /// How many events are in memory.
    pub fn len(&self) -> usize {
        self.lanes.len() + self.unkeyed.len() + self.naming.as_ref().map_or(0, |naming| naming.events.len())
    }

    /// Whether it knows of nothing that is left to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.running.is_empty() && self.is_all && self.cuts.is_empty()
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn ticket(&mut self) -> Ticket {
        Ticket(self.number())
    }

    fn is_now(&self, event: EventId, of: Try) -> bool {
        self.running.get(&event).is_some_and(|now| now.of == of)
    }

    /// Whether an event is in memory. While it has no lane, it is found by its place.
    fn has(&self, opened: &Opened) -> bool {
        self.lanes.contains(opened.event)
            || self.unkeyed.contains_key(&opened.place)
            || self.naming.as_ref().is_some_and(|naming| naming.events.contains_key(&opened.event))
    }

    fn arrived(&mut self, opened: Opened) {
        if self.has(&opened) || !self.is_all {
            return;
        }
        if self.soon() >= self.limits.ready_max {
            // The event is on disk, and is read when there is room.
            self.is_all = false;
            return;
        }
        self.horizon = self.horizon.max(opened.place);
        self.admit(opened);
    }

    /// Changes the state of an event that runs, and does what goes with the new one.
    fn set(&mut self, event: EventId, state: State) {
        let is_loaded = |state: State| matches!(state, State::Beginning | State::Asking(..));
        let of = match self.running.get(&event) {
            Some(now) => now.of,
            None => Try(self.number()),
        };
        let before = self.running.insert(event, Running { of, state });
        self.left.remove(&event);
        self.loaded -= usize::from(before.is_some_and(|before| is_loaded(before.state)));
        self.loaded += usize::from(is_loaded(state));
        let Some(lane) = self.lanes.entity_of(event) else { return };
        let place = self.lanes.place_of(event).unwrap_or_default();
        match state {
            State::Again => drop(self.again.insert(place, event)),
            State::Calling(..) => drop(self.calling.insert(place, event)),
            State::Beginning => self.out.push(Effect::Begin { event, of, lane }),
            State::Asking(run, _) => self.out.push(Effect::Ask { event, of, run }),
            State::Sending(run, pass) => self.out.push(Effect::Send { event, of, lane, run, pass }),
            State::Ending(run, pass) => self.out.push(Effect::End { event, of, lane, run, pass }),
            State::Closing(by) => self.out.push(Effect::Close { event, of, by }),
            State::Replies(_) => {}
        }
    }

    /// Forgets the present beginning of an event: answers to it are ignored from now on.
    fn void(&mut self, event: EventId) {
        let Some(before) = self.running.remove(&event) else { return };
        self.loaded -= usize::from(matches!(before.state, State::Beginning | State::Asking(..)));
        if let Some(place) = self.lanes.place_of(event) {
            self.again.remove(&place);
            self.calling.remove(&place);
        }
    }

    /// Removes an event that is over, wherever it is.
    fn finish(&mut self, event: EventId) {
        self.void(event);
        self.left.remove(&event);
        let named = self.naming.as_mut().and_then(|naming| naming.events.remove(&event));
        let unkeyed = || self.unkeyed.values().find(|opened| opened.event == event).copied();
        let Some(opened) = self.lanes.take(event).or(named).or_else(unkeyed) else { return };
        self.unkeyed.remove(&opened.place);
        if let Some(reading) = &mut self.reading {
            reading.gone.insert(opened.place);
        }
    }

    /// Removes an event that is over while calls of it may be under way.
    fn cut_off(&mut self, event: EventId) {
        // This includes calls from before the host was restarted.
        if self.running.contains_key(&event) || self.left.contains(&event) {
            self.drop_run(event);
        }
        self.finish(event);
    }

    fn began(&mut self, event: EventId, of: Try, is: Beginning) {
        if !self.is_now(event, of) {
            return;
        }
        match is {
            Beginning::Ask { run, passes } => {
                self.lanes.asked(event, passes > 0);
                self.set(event, State::Asking(run, passes));
            }
            Beginning::Waits { run } => self.set(event, State::Replies(run)),
            Beginning::GivenUp { run } => self.set(event, State::Closing(Closer::Run(run))),
            Beginning::Over => self.finish(event),
            Beginning::Moved(to) => self.follow(event, to),
            Beginning::NoVersion => {
                self.is_without = true;
                self.void(event);
                self.lanes.back(event);
            }
            Beginning::InFlight => {
                self.void(event);
                self.wait_quiet(event);
                self.lanes.back(event);
            }
        }
    }

    fn asked(&mut self, event: EventId, of: Try, next: Answer) {
        let Some(Running { of: now, state: State::Asking(run, passes) }) = self.running.get(&event).copied() else {
            return;
        };
        if now != of {
            return;
        }
        match next {
            Answer::Send { writes } => {
                if writes {
                    self.lanes.wrote(event);
                }
                self.set(event, State::Calling(run, passes));
            }
            Answer::End => self.set(event, State::Ending(run, passes)),
            Answer::Fail => self.set(event, State::Closing(Closer::Run(run))),
        }
    }

    fn sent(&mut self, event: EventId, of: Try, is: Sending) {
        if let Sending::Joins(joined) = &is {
            self.join(joined, None);
        }
        let Some(Running { of: now, state: State::Sending(run, pass) }) = self.running.get(&event).copied() else {
            return;
        };
        if now != of {
            return;
        }
        match is {
            Sending::Waits => {
                self.lanes.asked(event, true);
                self.set(event, State::Replies(run));
            }
            // The event begins again, and finds its replies, or what has become of its run.
            Sending::Answered | Sending::NotOpen => self.set(event, State::Again),
            Sending::Moved(to) => self.follow(event, to),
            // If the other event goes on, this one was restarted just now, and does not get here.
            Sending::Joins(_) => self.set(event, State::Calling(run, pass)),
            Sending::Two => self.set(event, State::Closing(Closer::Run(run))),
            Sending::Stale => self.restart(event, "what is remembered has changed"),
        }
    }

    fn ended(&mut self, event: EventId, of: Try, is: Ending) {
        match is {
            // The event is over, even if it was begun again meanwhile.
            Ending::Over { joined, verdict } => {
                if let Some(joined) = joined {
                    self.join(&joined, Some(event));
                }
                match self.running.get(&event).map(|now| now.state) {
                    Some(State::Ending(..)) => self.finish(event),
                    // The event was closed because of one call, and others of the same pass may be under way.
                    _ => self.cut_off(event),
                }
                self.judge(verdict);
            }
            _ if !self.is_now(event, of) => {}
            Ending::NotOpen => self.set(event, State::Again),
            Ending::Moved(to) => self.follow(event, to),
            Ending::Stale => self.restart(event, "what is remembered has changed"),
        }
    }

    /// Joins lanes, and restarts the events that may not go on.
    fn join(&mut self, joined: &Joined, over: Option<EventId>) {
        for event in self.lanes.join(joined.entity, &joined.from) {
            if over != Some(event) {
                self.restart(event, "another event is about the same entity");
            }
        }
        if !joined.from.is_empty() {
            self.keep_one(joined.entity);
        }
    }

    /// Of several events of a lane that were under way before the host was killed, the first one goes on.
    fn keep_one(&mut self, entity: EntityId) {
        for event in self.lanes.surplus(entity) {
            self.left.remove(&event);
            self.drop_run(event);
            self.out.push(Effect::Restarted { event, why: "another event is about the same entity" });
        }
    }

    /// Begins an event again in the lane that it is in by now. Usually the two lanes were joined before.
    fn follow(&mut self, event: EventId, to: EntityId) {
        let from = self.lanes.entity_of(event).into_iter().collect();
        self.join(&Joined { entity: to, from }, None);
        if self.running.contains_key(&event) {
            self.set(event, State::Again);
        }
    }

    /// Drops the run of an event, and blocks its lane until no write of that run can take effect any more.
    fn drop_run(&mut self, event: EventId) {
        let ticket = self.ticket();
        self.lanes.asked(event, false);
        self.lanes.block(event, ticket);
        self.dropped.insert(ticket, (event, false));
        self.out.push(Effect::Drop { ticket, event });
    }

    /// Blocks the lane of an event in the same way, for a run that is dropped already.
    fn wait_quiet(&mut self, event: EventId) {
        let ticket = self.ticket();
        self.lanes.asked(event, false);
        self.lanes.block(event, ticket);
        self.dropped.insert(ticket, (event, true));
        self.out.push(Effect::WaitQuiet { ticket, event });
    }

    fn settled(&mut self, ticket: Ticket, in_flight: bool) {
        if in_flight {
            if let Some((event, is_known)) = self.dropped.get_mut(&ticket) {
                *is_known = true;
                self.out.push(Effect::WaitQuiet { ticket, event: *event });
            }
        } else if self.dropped.remove(&ticket).is_some() {
            self.lanes.unblock(ticket);
        }
    }

    fn quiet(&mut self, event: EventId) {
        let of = self.dropped.iter().filter(|(_, dropped)| **dropped == (event, true));
        for ticket in of.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.settled(ticket, false);
        }
    }

    fn restart(&mut self, event: EventId, why: &'static str) {
        self.void(event);
        self.drop_run(event);
        if self.lanes.restarts(event) >= RESTARTS_MAX {
            self.set(event, State::Closing(Closer::Host));
            return;
        }
        self.out.push(Effect::Restarted { event, why });
        self.lanes.restart(event);
    }

    fn restart_by_hand(&mut self, event: EventId) {
        match self.running.get(&event).map(|now| now.state) {
            // An event that has not begun takes the active version anyway; one that is ending is as good as over.
            None | Some(State::Ending(..) | State::Closing(_)) => {}
            Some(_) => self.restart(event, "it was asked for"),
        }
    }

    fn judge(&mut self, verdict: Option<Verdict>) {
        let Some((version, failures)) = verdict.and_then(|verdict| self.trial.judge(verdict)) else { return };
        if !self.is_rolling {
            self.is_rolling = true;
            self.out.push(Effect::RollBack { version, failures });
        }
    }

    /// Ends a drain, whose purpose is fulfilled or given up.
    fn go(&mut self, wish: u64) {
        if self.drains.remove(&wish).is_some() && self.drains.is_empty() {
            self.unkey();
        }
    }

    /// Whether new events may begin. A drain prevents that only when everything that was under way before a restart of
    /// the host is under way again.
    fn is_open(&self) -> bool {
        (self.drains.is_empty() || self.is_behind()) && !self.is_rolling && !self.is_without
    }

    /// Notes when everything is known of what was under way before a restart of the host. Until then an event could
    /// begin beside another one of its lane, or beside a write of a dropped run.
    fn take_over(&mut self) {
        if !self.is_taken_over && self.left_upto.is_none() {
            let was_under_way = |opened: &Opened| opened.has_asked || opened.in_flight;
            let naming = self.naming.iter().flat_map(|naming| naming.events.values());
            self.is_taken_over = !self.unkeyed.values().chain(naming).any(was_under_way);
        }
    }

    fn is_behind(&self) -> bool {
        let is_known = self.is_taken_over && self.left.is_empty();
        self.left_upto.is_some() || !is_known && !self.is_without
    }

    /// Does all that can be done now.
    fn go_on(&mut self) {
        if !self.is_rolling {
            let quiet = self.calling.iter().filter(|(_, event)| self.lanes.is_quiet(**event));
            for (place, event) in quiet.map(|(place, event)| (*place, *event)).collect::<Vec<_>>() {
                self.calling.remove(&place);
                if let Some(State::Calling(run, pass)) = self.running.get(&event).map(|now| now.state) {
                    self.set(event, State::Sending(run, pass));
                }
            }
            while self.loaded < self.limits.loaded_max
                && let Some((_, event)) = self.again.pop_first()
            {
                self.set(event, State::Beginning);
            }
        }
        if self.is_open() {
            self.name();
        }
        self.take_over();
        if self.is_open() && self.is_taken_over {
            while self.loaded < self.limits.loaded_max
                && let Some(event) = self.lanes.start()
            {
                self.set(event, State::Beginning);
            }
        }
        if self.is_open() || self.left_upto.is_some() {
            self.read_on();
        }
        if !self.drains.is_empty() && !self.is_behind() && self.running.is_empty() && self.dropped.is_empty() {
            for (wish, is_told) in &mut self.drains {
                if !std::mem::replace(is_told, true) {
                    self.out.push(Effect::Drained { wish: *wish });
                }
            }
        }
    }

    fn failed(&mut self, what: Order) {
        if !matches!(what, Order::Event(event, of) if !self.is_now(event, of)) {
            self.out.push(Effect::Wake { what });
        }
    }

    /// Gives a failed order again.
    fn woke(&mut self, what: Order) {
        match what {
            Order::Event(event, of) => {
                let Some(now) = self.running.get(&event).filter(|now| now.of == of) else { return };
                match now.state {
                    // The rules of this run could not be loaded.
                    State::Asking(..) => {
                        self.void(event);
                        self.drop_run(event);
                        self.lanes.back(event);
                    }
                    State::Beginning | State::Sending(..) | State::Ending(..) | State::Closing(_) => {
                        self.set(event, now.state);
                    }
                    State::Again | State::Calling(..) | State::Replies(_) => {}
                }
            }
            Order::Ticket(ticket) => {
                if let Some((event, false)) = self.dropped.get(&ticket) {
                    self.out.push(Effect::Drop { ticket, event: *event });
                } else if self.reading.as_ref().is_some_and(|reading| reading.ticket == ticket) {
                    self.reading = None;
                } else if self.naming.as_ref().is_some_and(|naming| naming.ticket == ticket) {
                    self.rename();
                }
            }
        }
    }
}
