//! A journal as the scheduler sees it, in a few lines: it applies orders later than they are given, answers some of them at
//! once and some with the commit, and forgets what was not committed when the host is killed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use tandem::model::{EntityId, EventId, RunId};
use tandem::scheduler::{
    Beginning, Closer, Effect, Ending, Input, Joined, Keyed, Opened, Order, Place, Sending, System, Ticket, Try,
    Verdict, Which,
};

use super::guards::Mutant;

/// What rules say of an event, whatever version.
#[derive(Clone, Debug)]
pub struct Event {
    pub source: System,
    pub is_duty: bool,
    /// What it shows, what it comes after, and what its run finds out.
    pub name: i64,
    pub after: Option<i64>,
    pub learns: i64,
    /// Passes before its end; the last of them writes.
    pub passes: u32,
    /// The bad version fails it, or cannot even say what it is about.
    pub is_hard: bool,
    pub is_keyless: bool,
    pub place: Place,
    pub is_over: bool,
    /// Whose fault it was that it failed: a version's or a target's.
    pub failed: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub event: EventId,
    pub version: u32,
    pub is_open: bool,
    pub passes: u32,
    pub memory: Vec<i64>,
    pub unanswered: u32,
    pub is_given_up: bool,
}

/// A call on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    pub run: usize,
    pub writes: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub events: BTreeMap<EventId, Event>,
    pub names: HashMap<i64, EntityId>,
    pub of: HashMap<EventId, EntityId>,
    pub memory: HashMap<EntityId, Vec<i64>>,
    pub runs: Vec<Run>,
    pub due: Vec<Call>,
    /// Attempts that began and have no end.
    pub attempts: Vec<Call>,
    pub last_place: i64,
    pub last_revision: i64,
    /// Number of the activation, and version; none at first.
    pub active: Option<(i64, u32)>,
    pub before: Option<u32>,
    pub activations: i64,
    pub held: BTreeSet<System>,
}

pub const BAD: u32 = 2;
const FAILURES_MAX: u32 = 2;

pub struct Journal {
    pub rows: Rows,
    disk: Rows,
    pub mutant: Mutant,
    /// What the scheduler will be told, and what it will be told when that is on disk.
    pub facts: VecDeque<Input>,
    later: VecDeque<Input>,
    /// For a mutant: ends that are told late.
    pub late: Vec<Input>,
    due_later: Vec<Call>,
    /// Under way, and those of a host that was killed: they may still take effect.
    pub flying: Vec<Call>,
    pub ghosts: Vec<Call>,
    pub written: HashMap<(usize, u32), u32>,
    pub bad: Option<String>,
}

impl Journal {
    pub fn new(mutant: Mutant) -> Self {
        Self {
            rows: Rows::default(),
            disk: Rows::default(),
            mutant,
            facts: VecDeque::new(),
            later: VecDeque::new(),
            late: vec![],
            due_later: vec![],
            flying: vec![],
            ghosts: vec![],
            written: HashMap::new(),
            bad: None,
        }
    }

    pub fn bad(&mut self, what: String) {
        self.bad.get_or_insert(what);
    }

    pub fn commit(&mut self) {
        self.rows.due.append(&mut self.due_later);
        self.disk = self.rows.clone();
        self.facts.append(&mut self.later);
    }

    /// What was not committed is gone, and so is everybody who was told. What is under way may still arrive.
    pub fn kill(&mut self) {
        self.rows = self.disk.clone();
        self.facts.clear();
        self.later.clear();
        self.late.clear();
        self.due_later.clear();
        self.ghosts.append(&mut self.flying);
        // The next scheduler is not told of what events left under way that are over.
        self.ghosts
            .retain(|call| self.disk.runs.get(call.run).is_some_and(|run| !self.disk.events[&run.event].is_over));
        self.written.retain(|(run, pass), _| self.rows.runs.get(*run).is_some_and(|run| run.passes > *pass));
        let rows = &self.rows;
        let is_due = |call: &Call| rows.runs[call.run].is_open;
        let due: Vec<Call> = rows.due.iter().chain(&rows.attempts).copied().filter(is_due).collect();
        self.rows.attempts.retain(|call| !due.contains(call));
        self.rows.due = due;
    }

    pub fn opened(&self, event: EventId) -> Opened {
        let row = &self.rows.events[&event];
        let has_asked = self.rows.runs.iter().any(|run| run.event == event && run.is_open && run.passes > 0);
        Opened {
            event,
            place: row.place,
            source: row.source,
            is_duty: row.is_duty,
            has_asked,
            in_flight: self.is_in_flight(event) && self.mutant != Mutant::NoInFlight,
        }
    }

    /// Whether a write of a dropped run may still take effect.
    pub fn is_in_flight(&self, event: EventId) -> bool {
        let is_its = |call: &&Call| call.writes && self.rows.runs[call.run].event == event;
        let is_dropped = |call: &&Call| !self.rows.runs[call.run].is_open;
        self.flying.iter().chain(&self.ghosts).filter(is_its).any(|call| is_dropped(&call))
    }

    fn place(&mut self) -> Place {
        self.rows.last_place += 1;
        Place(self.rows.last_place)
    }

    pub fn append(&mut self, event: EventId, row: Event) {
        let place = self.place();
        self.rows.events.insert(event, Event { place, ..row });
        self.later.push_back(Input::Arrived(self.opened(event)));
    }

    /// A person takes up dead letters.
    pub fn reopen(&mut self, event: EventId) {
        let is_dead = self.rows.events.get(&event).is_some_and(|row| row.is_over && row.failed.is_some());
        if is_dead {
            let place = self.place();
            self.drop_runs(event);
            let row = self.rows.events.get_mut(&event).unwrap();
            (row.is_over, row.failed, row.place) = (false, None, place);
            self.later.push_back(Input::Arrived(self.opened(event)));
        }
    }

    /// Ended by somebody else.
    pub fn erase(&mut self, event: EventId) {
        if let Some(row) = self.rows.events.get_mut(&event).filter(|row| !row.is_over) {
            row.is_over = true;
            self.drop_runs(event);
            self.later.push_back(Input::Over { events: vec![event] });
        }
    }

    pub fn direct(&mut self, source: System, is_held: bool) {
        if is_held {
            self.rows.held.insert(source)
        } else {
            self.rows.held.remove(&source)
        };
        self.later.push_back(Input::Directed { source, is_held });
    }

    pub fn activate(&mut self, version: u32) {
        self.rows.activations += 1;
        self.rows.before = self.rows.active.map(|(_, version)| version);
        self.rows.active = Some((self.rows.activations, version));
        self.later.push_back(Input::Activated);
    }

    fn drop_runs(&mut self, event: EventId) {
        self.rows.runs.iter_mut().filter(|run| run.event == event).for_each(|run| run.is_open = false);
    }

    /// Gives a name to an entity; gives the entity that had it.
    fn join(&mut self, into: EntityId, name: i64) -> Vec<EntityId> {
        match self.rows.names.get(&name).copied() {
            None => {
                self.rows.names.insert(name, into);
                vec![]
            }
            Some(other) if other == into => vec![],
            Some(other) => {
                let rows = &mut self.rows;
                let all = rows.names.values_mut().chain(rows.of.values_mut());
                all.filter(|entity| **entity == other).for_each(|entity| *entity = into);
                let theirs = rows.memory.remove(&other).unwrap_or_default();
                rows.memory.entry(into).or_default().extend(theirs);
                vec![other]
            }
        }
    }

    fn memory(&self, entity: EntityId) -> Vec<i64> {
        self.rows.memory.get(&entity).cloned().unwrap_or_default()
    }

    fn is_lane(&self, event: EventId, lane: EntityId) -> bool {
        self.rows.of[&event] == lane || self.mutant == Mutant::NoLane
    }

    fn is_open(&self, run: usize) -> bool {
        self.rows.runs[run].is_open || self.mutant == Mutant::NoOpen
    }

    fn verdict(&self, version: u32, has_failed: bool) -> Option<Verdict> {
        let (activation, active) = self.rows.active?;
        let failures_max = (active == BAD).then_some(FAILURES_MAX);
        (active == version).then(|| Verdict {
            activation,
            failures_max,
            failed: has_failed.then(|| version.to_string()),
        })
    }

    /// Carries out an order. `named` is the version that keys are of, `next` what the rules answered.
    pub fn apply(&mut self, order: Effect, named: u32, writes: bool, has_failed: bool) {
        match order {
            Effect::Read { ticket, which, after, upto, most } => self.read(ticket, which, (after, upto), most),
            Effect::Declare { ticket, events } => self.declare(ticket, &events, named),
            Effect::Begin { event, of, lane } => {
                let is = self.begin(event, lane);
                self.facts.push_back(Input::Began { event, of, is });
            }
            Effect::Send { event, of, lane, run, pass } => {
                let is = self.send((event, lane), run.0 as usize, pass, writes);
                self.facts.push_back(Input::Sent { event, of, is });
            }
            Effect::End { event, of, lane, run, .. } => {
                let is = self.end(event, lane, run.0 as usize);
                self.tell_end(event, of, is);
            }
            Effect::Close { event, of, by } => {
                let is = self.close(event, by, has_failed);
                self.tell_end(event, of, is);
            }
            Effect::Drop { ticket, event } => {
                self.drop_runs(event);
                let in_flight = self.is_in_flight(event) && self.mutant != Mutant::NoQuiet;
                self.facts.push_back(Input::Dropped { ticket, in_flight });
            }
            Effect::RollBack { version, .. } => self.roll_back(version.parse().unwrap()),
            other => panic!("no order to the journal: {other:?}"),
        }
    }

    /// Says of an order that it failed; nothing of it was applied.
    pub fn fail(&mut self, order: &Effect) {
        let what = match *order {
            Effect::Read { ticket, .. } | Effect::Declare { ticket, .. } | Effect::Drop { ticket, .. } => {
                Order::Ticket(ticket)
            }
            Effect::Begin { event, of, .. }
            | Effect::Send { event, of, .. }
            | Effect::End { event, of, .. }
            | Effect::Close { event, of, .. } => Order::Event(event, of),
            _ => return self.facts.push_back(Input::NotRolledBack),
        };
        self.facts.push_back(Input::Failed { what });
    }

    fn tell_end(&mut self, event: EventId, of: Try, is: Ending) {
        let fact = Input::Ended { event, of, is };
        if self.mutant == Mutant::LateEnd { self.late.push(fact) } else { self.facts.push_back(fact) }
    }

    fn read(&mut self, ticket: Ticket, which: Which, (after, upto): (Place, Place), most: usize) {
        let is_meant = |event: &EventId, row: &Event| match which {
            Which::All => true,
            Which::Asked if self.mutant == Mutant::NoTakeover => false,
            Which::Asked => self.opened(*event).has_asked || self.is_in_flight(*event),
            Which::From(source) => source == row.source,
        };
        let is_it = |event: &EventId, row: &Event| {
            !row.is_over && row.place > after && row.place <= upto && is_meant(event, row)
        };
        let found = self.rows.events.iter().filter(|(event, row)| is_it(event, row));
        let mut found: Vec<_> = found.map(|(event, row)| (row.place, *event)).collect();
        found.sort_unstable();
        let is_all = found.len() <= most;
        found.truncate(most);
        let upto = found.last().map_or(after, |(place, _)| *place);
        let opened = found.into_iter().map(|(_, event)| self.opened(event)).collect();
        self.later.push_back(Input::Read { ticket, opened, upto, is_all });
    }

    fn declare(&mut self, ticket: Ticket, events: &[EventId], named: u32) {
        let (mut keyed, mut over, mut again) = (vec![], vec![], vec![]);
        for event in events.iter().copied() {
            let row = self.rows.events[&event].clone();
            if row.is_over {
                continue;
            }
            let is_under_way = self.opened(event).has_asked || self.is_in_flight(event);
            if named == BAD && row.is_keyless && is_under_way && self.mutant != Mutant::ClosesUnderWay {
                // Another version could say so, and what it wrote is of that lane.
                let lane = Joined { entity: self.rows.of[&event], from: vec![] };
                keyed.push(Keyed { event, lane, after: vec![] });
                continue;
            }
            if named == BAD && row.is_keyless {
                if self.rows.active.map(|(_, version)| version) != Some(named) {
                    again.push(event);
                    continue;
                }
                self.drop_runs(event);
                let row = self.rows.events.get_mut(&event).unwrap();
                (row.is_over, row.failed) = (true, Some(named));
                over.push((event, self.verdict(named, true)));
                continue;
            }
            // Some versions give other keys.
            let name = row.name + if named >= 3 { 1_000 } else { 0 };
            let entity = *self.rows.names.entry(name).or_insert(EntityId(event.0 + i64::from(named) * 1_000));
            self.rows.of.insert(event, entity);
            let after = row.after.and_then(|name| self.rows.names.get(&name).copied());
            let after = after.into_iter().filter(|other| *other != entity).collect();
            keyed.push(Keyed { event, lane: Joined { entity, from: vec![] }, after });
        }
        self.facts.push_back(Input::Declared { ticket, keyed, over, again });
    }

    fn begin(&mut self, event: EventId, lane: EntityId) -> Beginning {
        if self.rows.events[&event].is_over && self.mutant != Mutant::BeginsOver {
            return Beginning::Over;
        }
        if !self.is_lane(event, lane) {
            return Beginning::Moved(self.rows.of[&event]);
        }
        let entity = self.rows.of[&event];
        if entity != lane {
            self.bad(format!("{event:?} begins with what {lane:?} remembers, and is of {entity:?}"));
        }
        let memory = self.memory(lane);
        let is_it = |run: &Run| run.event == event && run.is_open && run.memory == memory;
        if let Some(at) = self.rows.runs.iter().position(is_it) {
            let run = RunId(at as i64);
            return match &self.rows.runs[at] {
                now if now.is_given_up && self.mutant != Mutant::GivenUpIsNoRow => Beginning::GivenUp { run },
                now if now.unanswered > 0 || now.is_given_up => Beginning::Waits { run },
                now => Beginning::Ask { run, passes: now.passes },
            };
        }
        let Some((_, version)) = self.rows.active else { return Beginning::NoVersion };
        if self.rows.runs.iter().any(|run| run.event == event && run.is_open) {
            self.drop_runs(event);
            if self.is_in_flight(event) && self.mutant != Mutant::NoQuiet {
                return Beginning::InFlight;
            }
        }
        let run = RunId(self.rows.runs.len() as i64);
        let (passes, unanswered) = (0, 0);
        self.rows.runs.push(Run { event, version, is_open: true, passes, memory, unanswered, is_given_up: false });
        Beginning::Ask { run, passes }
    }

    fn send(&mut self, (event, lane): (EventId, EntityId), run: usize, pass: u32, writes: bool) -> Sending {
        if !self.is_open(run) || (self.rows.runs[run].passes != pass && self.mutant != Mutant::NoPass) {
            return Sending::NotOpen;
        }
        if !self.is_lane(event, lane) {
            return Sending::Moved(self.rows.of[&event]);
        }
        if writes {
            let from = self.join(lane, self.rows.events[&event].learns);
            if !from.is_empty() {
                return Sending::Joins(Joined { entity: lane, from });
            }
        }
        if self.memory(lane) != self.rows.runs[run].memory {
            if self.mutant != Mutant::NoMemory {
                return Sending::Stale;
            }
            if writes {
                self.bad(format!("{event:?} writes what it asked with an old memory"));
            }
        }
        let times = self.written.entry((run, pass)).or_default();
        *times += 1;
        if *times > 1 {
            self.bad(format!("pass {pass} of run {run} is written twice"));
        }
        self.rows.runs[run].passes += 1;
        self.rows.runs[run].unanswered += 1;
        self.due_later.push(Call { run, writes });
        Sending::Waits
    }

    fn end(&mut self, event: EventId, lane: EntityId, run: usize) -> Ending {
        if !self.is_open(run) {
            return self.not_open(event);
        }
        if !self.is_lane(event, lane) {
            return Ending::Moved(self.rows.of[&event]);
        }
        if self.memory(lane) != self.rows.runs[run].memory && self.mutant != Mutant::NoMemory {
            return Ending::Stale;
        }
        if self.rows.events[&event].is_over {
            self.bad(format!("{event:?} is over and ends"));
        }
        let from = self.join(lane, self.rows.events[&event].learns);
        self.rows.last_revision += 1;
        self.rows.memory.insert(lane, vec![self.rows.last_revision]);
        self.rows.runs[run].is_open = false;
        // It was sent again, and answered: nobody waits for the first attempt.
        self.ghosts.retain(|call| call.run != run);
        self.rows.events.get_mut(&event).unwrap().is_over = true;
        let verdict = self.verdict(self.rows.runs[run].version, false);
        Ending::Over { joined: Some(Joined { entity: lane, from }), verdict }
    }

    fn not_open(&self, event: EventId) -> Ending {
        if self.rows.events[&event].is_over { Ending::Over { joined: None, verdict: None } } else { Ending::NotOpen }
    }

    fn close(&mut self, event: EventId, by: Closer, has_failed: bool) -> Ending {
        let run = match by {
            Closer::Host => self.rows.runs.iter().rposition(|run| run.event == event),
            Closer::Run(run) => Some(run.0 as usize),
        };
        let is_open = matches!(by, Closer::Host) || run.is_some_and(|run| self.is_open(run));
        if !is_open || self.rows.events[&event].is_over {
            return self.not_open(event);
        }
        self.drop_runs(event);
        let version = run.map(|run| self.rows.runs[run].version).unwrap_or_default();
        let row = self.rows.events.get_mut(&event).unwrap();
        (row.is_over, row.failed) = (true, Some(if has_failed { version } else { 0 }));
        Ending::Over { joined: None, verdict: self.verdict(version, has_failed) }
    }

    fn roll_back(&mut self, version: u32) {
        let Some(before) = self.rows.before.filter(|_| self.rows.active.is_some_and(|(_, now)| now == version)) else {
            return self.later.push_back(Input::NotRolledBack);
        };
        let mut again = HashSet::new();
        for run in self.rows.runs.iter_mut().filter(|run| run.is_open && run.version == version) {
            run.is_open = false;
            again.insert(run.event);
        }
        for (event, row) in self.rows.events.iter_mut().filter(|(_, row)| row.is_over && row.failed == Some(version)) {
            (row.is_over, row.failed) = (false, None);
            if self.mutant != Mutant::FailedStaysOut {
                again.insert(*event);
            }
        }
        self.rows.activations += 1;
        self.rows.active = Some((self.rows.activations, before));
        self.rows.before = None;
        let mut again: Vec<_> = again.into_iter().map(|event| self.opened(event)).collect();
        again.sort_by_key(|opened| opened.place);
        self.later.push_back(Input::RolledBack { again });
    }
}
