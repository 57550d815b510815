//! The scheduler in virtual time, with a journal that applies orders late and answers later: two queues, of which the seed
//! chooses the next to move. Events hold, drain, join, restart, fail and come back; versions change and are rolled back;
//! the host is killed. No seed may find two writes of one entity at once, a pass written twice, or an event that waits for
//! ever; and without each guard some seed does.
//!
//! `TANDEM_SWEEP` says how many lives, `TANDEM_SEED` where to begin.

mod guards;
mod journal;
mod window;

use std::collections::{HashMap, HashSet, VecDeque};

use guards::{Guard, Mutant, Suite};
use journal::{BAD, Call, Event, Journal};
use tandem::model::EventId;
use tandem::scheduler::{Answer, Beginning, Closer, Effect, Input, Limits, Place, Scheduler, System, Ticket, Try};

const LIVES: u64 = 2_000;
const TURNS_MAX: u32 = 60_000;

struct World {
    random: fastrand::Rng,
    mutant: Mutant,
    journal: Journal,
    scheduler: Scheduler,
    /// To the journal, and what is computed.
    orders: VecDeque<Effect>,
    computed: Vec<Input>,
    timers: Vec<Input>,
    quiet: Vec<(Ticket, EventId)>,
    names: HashMap<Ticket, u32>,
    answers: HashMap<EventId, (bool, bool)>,
    /// Sources that the scheduler knows to be held, and events that it has let write a pass: begun again, they go on.
    held: HashSet<System>,
    sending: HashSet<EventId>,
    /// Events that this scheduler has had lanes for.
    keyed: HashSet<EventId>,
    drains: Vec<u64>,
    drained: HashSet<u64>,
    wishes: u64,
    arrived: i64,
    events: i64,
    kills: u32,
    restarts: u32,
    rolled_back: u32,
    is_quiet: bool,
    story: bool,
}

fn limits() -> Limits {
    Limits { ready_max: 3, read_at_once_max: 2, named_at_once_max: 2, loaded_max: 3, passed_over_max: 1_000 }
}

impl World {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut journal = Journal::new(mutant);
        if random.u8(..4) > 0 {
            journal.activate(1);
        }
        journal.commit();
        let events = random.i64(2..18);
        Self {
            random,
            mutant,
            journal,
            scheduler: Scheduler::new(limits()),
            orders: VecDeque::new(),
            computed: vec![],
            timers: vec![],
            quiet: vec![],
            names: HashMap::new(),
            answers: HashMap::new(),
            held: HashSet::new(),
            sending: HashSet::new(),
            keyed: HashSet::new(),
            drains: vec![],
            drained: HashSet::new(),
            wishes: 0,
            arrived: 0,
            events,
            kills: 0,
            restarts: 0,
            rolled_back: 0,
            is_quiet: false,
            story: std::env::var_os("TANDEM_STORY").is_some(),
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.story {
            eprintln!("{}", what());
        }
    }

    fn event(&mut self) -> Event {
        let random = &mut self.random;
        Event {
            source: [System::Shopify, System::Omneo, System::Host][random.usize(..3)],
            is_duty: random.u8(..10) == 0,
            name: random.i64(0..5),
            after: (random.u8(..3) == 0).then(|| random.i64(0..5)),
            learns: random.i64(0..5),
            passes: random.u32(0..4),
            is_hard: random.bool(),
            is_keyless: random.u8(..4) == 0,
            place: Place(0),
            is_over: false,
            failed: None,
        }
    }

    fn step(&mut self, input: Input) {
        self.say(|| format!("  in  {input:?}"));
        match &input {
            Input::Directed { source, is_held: true } => drop(self.held.insert(*source)),
            Input::Directed { source, is_held: false } => drop(self.held.remove(source)),
            Input::Drain { wish } => self.drains.push(*wish),
            Input::Go { wish } => {
                self.drains.retain(|other| other != wish);
                self.drained.remove(wish);
            }
            Input::Declared { keyed, .. } => self.keyed.extend(keyed.iter().map(|keyed| keyed.event)),
            // What it has under way from before the host was killed is of no lane that this scheduler knows.
            Input::Over { events } => {
                let is_known = |call: &Call| {
                    let event = self.journal.rows.runs[call.run].event;
                    !events.contains(&event) || self.keyed.contains(&event)
                };
                self.journal.ghosts.retain(is_known);
            }
            // What had written goes on.
            Input::Arrived(opened) if opened.in_flight => drop(self.sending.insert(opened.event)),
            Input::Read { opened, .. } => {
                self.sending.extend(opened.iter().filter(|opened| opened.in_flight).map(|opened| opened.event));
            }
            Input::Began { event, is: Beginning::InFlight, .. } => drop(self.sending.insert(*event)),
            Input::RolledBack { again } => {
                self.rolled_back += 1;
                for opened in again.iter().filter(|opened| !opened.in_flight) {
                    self.sending.remove(&opened.event);
                }
                self.sending.extend(again.iter().filter(|opened| opened.in_flight).map(|opened| opened.event));
            }
            _ => {}
        }
        for effect in self.scheduler.step(input) {
            self.say(|| format!("      out {effect:?}"));
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Name { ticket, .. } => {
                let version = self.journal.rows.active.map(|(_, version)| version);
                self.names.insert(ticket, version.unwrap_or_default());
                self.computed.push(Input::Named { ticket, has_version: version.is_some() });
            }
            Effect::Ask { event, of, run } => self.ask(event, of, run.0 as usize),
            Effect::Drained { wish } => {
                self.drained.insert(wish);
                let is_idle = self.journal.flying.iter().chain(&self.journal.ghosts).all(|call| !call.writes);
                if !is_idle {
                    self.journal.bad("told of a drain while a write is under way".into());
                }
            }
            Effect::Wake { what } => self.timers.push(Input::Woke { what }),
            Effect::WaitQuiet { ticket, event } => self.quiet.push((ticket, event)),
            Effect::Restarted { event, .. } => {
                self.restarts += 1;
                self.sending.insert(event);
            }
            order => {
                self.check(&order);
                self.orders.push_back(order);
            }
        }
    }

    /// What may not be ordered now.
    fn check(&mut self, order: &Effect) {
        match order {
            Effect::Send { event, .. } | Effect::End { event, .. } => drop(self.sending.insert(*event)),
            Effect::Begin { event, .. } => {
                let (row, opened) = (&self.journal.rows.events[event], self.journal.opened(*event));
                let may = row.is_over
                    || row.is_duty
                    || row.source == System::Host
                    || opened.has_asked
                    || self.sending.contains(event);
                if self.held.contains(&row.source) && !may {
                    self.journal.bad(format!("{event:?} begins though its source is held"));
                }
            }
            _ => {}
        }
        let is_new = matches!(order, Effect::Begin { .. } | Effect::Send { .. } | Effect::Declare { .. });
        if is_new && self.drained.iter().any(|wish| self.drains.contains(wish)) {
            self.journal.bad(format!("{order:?} though the lanes are drained"));
        }
    }

    /// The rules: some reads, then a write, then the end. The bad version fails what is hard.
    fn ask(&mut self, event: EventId, of: Try, run: usize) {
        let (row, now) = (&self.journal.rows.events[&event], &self.journal.rows.runs[run]);
        let passes = now.passes;
        let has_failed = now.version == BAD && row.is_hard;
        let writes = passes + 1 == row.passes;
        let next = match () {
            () if has_failed => Answer::Fail,
            () if passes < row.passes => Answer::Send { writes },
            () => Answer::End,
        };
        self.answers.insert(event, (writes, has_failed));
        self.computed.push(Input::Asked { event, of, next });
        if self.mutant == Mutant::NoPass && self.random.u8(..4) == 0 {
            // As if somebody asked once more and took what comes first.
            let lane = self.journal.rows.of[&event];
            let run = tandem::model::RunId(run as i64);
            self.orders.push_back(Effect::Send { event, of: Try(0), lane, run, pass: passes });
        }
    }

    fn apply(&mut self) {
        let Some(order) = self.orders.pop_front() else { return };
        self.say(|| format!("journal {order:?}"));
        let fails = !self.is_quiet && self.random.u8(..40) == 0;
        if fails {
            return self.journal.fail(&order);
        }
        let named = match &order {
            Effect::Declare { ticket, .. } => self.names[ticket],
            _ => 0,
        };
        let (writes, has_failed) = match &order {
            Effect::Send { event, .. } | Effect::Close { event, by: Closer::Run(_), .. } => {
                self.answers.get(event).copied().unwrap_or_default()
            }
            _ => (false, false),
        };
        self.journal.apply(order, named, writes, has_failed);
    }

    /// Delivery: a call that is due leaves, or one under way arrives.
    fn deliver(&mut self) {
        let journal = &mut self.journal;
        if !journal.rows.due.is_empty() && (journal.flying.is_empty() || self.random.bool()) {
            let call = journal.rows.due.remove(self.random.usize(..journal.rows.due.len()));
            if !journal.rows.runs[call.run].is_open && self.mutant != Mutant::DroppedIsSent {
                return;
            }
            let entity = |call: &Call| journal.rows.of[&journal.rows.runs[call.run].event];
            let of = |call: &Call| journal.rows.runs[call.run].event;
            // Whatever version said so: one of them may have given other keys.
            let name = |call: &Call| journal.rows.events[&of(call)].name;
            let others = journal.flying.iter().chain(&journal.ghosts);
            let mut others = others.filter(|other| other.writes && other.run != call.run);
            if call.writes && others.any(|other| entity(other) == entity(&call) || name(other) == name(&call)) {
                journal.bad(format!("{:?} writes while another run of {:?} does", of(&call), entity(&call)));
            }
            journal.rows.attempts.push(call);
            journal.commit();
            journal.flying.push(call);
        } else if !journal.ghosts.is_empty() && self.random.u8(..8) == 0 {
            journal.ghosts.remove(self.random.usize(..journal.ghosts.len()));
        } else if !journal.flying.is_empty() {
            let at = self.random.usize(..journal.flying.len());
            // A write takes its time, so that much happens meanwhile.
            if journal.flying[at].writes && self.random.u8(..8) > 0 {
                return;
            }
            let call = journal.flying.remove(at);
            journal.rows.attempts.retain(|other| *other != call);
            let run = &mut journal.rows.runs[call.run];
            run.is_given_up |= !self.is_quiet && self.random.u8(..20) == 0;
            run.unanswered -= u32::from(!run.is_given_up);
            let event = run.event;
            if run.is_open && (run.unanswered == 0 || run.is_given_up) {
                let run = tandem::model::RunId(call.run as i64);
                journal.facts.push_back(Input::Replied { event, run });
            }
            if !journal.rows.runs[call.run].is_open && !journal.is_in_flight(event) {
                journal.facts.push_back(Input::Quiet { event });
            }
        }
    }

    /// People, and what goes wrong.
    fn trouble(&mut self) {
        let event = EventId(self.random.i64(1..=self.events));
        let source = [System::Shopify, System::Omneo][self.random.usize(..2)];
        match self.random.u8(..16) {
            0 | 1 => {
                let flying: Vec<&Call> = self.journal.flying.iter().filter(|call| call.writes).collect();
                let under_way = flying.first().map(|call| self.journal.rows.runs[call.run].event);
                self.step(Input::Restart { event: under_way.unwrap_or(event) });
            }
            2 => {
                let is_held = self.random.bool();
                self.journal.direct(source, is_held);
            }
            3 => {
                self.wishes += 1;
                self.step(Input::Drain { wish: self.wishes });
                if self.mutant == Mutant::NoDrain {
                    self.change_keys();
                    self.step(Input::Go { wish: self.wishes });
                }
            }
            4 if !self.drains.is_empty() => {
                let wish = self.drains[self.random.usize(..self.drains.len())];
                // A version with other keys, or one drained for the fun of it.
                if self.drained.contains(&wish) {
                    self.change_keys();
                }
                self.step(Input::Go { wish });
            }
            5 | 6 => {
                let now = self.journal.rows.active.map(|(_, version)| version);
                if now.is_none_or(|now| now < 3) {
                    self.journal.activate(if now == Some(1) { BAD } else { 1 });
                }
            }
            7 => self.journal.erase(event),
            8..11 => self.reopen(event),
            11 if self.random.bool() => self.kill(),
            _ => {}
        }
    }

    /// Activates a version that may give other keys.
    fn change_keys(&mut self) {
        let version = [1, 3, 4][self.random.usize(..3)];
        self.journal.activate(version);
        self.journal.commit();
        while let Some(fact) = self.journal.facts.pop_front() {
            self.step(fact);
        }
    }

    fn reopen(&mut self, event: EventId) {
        let place = self.journal.rows.events.get(&event).map(|row| row.place);
        self.journal.reopen(event);
        if self.mutant == Mutant::OldPlace
            && let (Some(place), Some(row)) = (place, self.journal.rows.events.get_mut(&event))
        {
            row.place = place;
        }
    }

    fn kill(&mut self) {
        self.say(|| "killed".into());
        self.kills += 1;
        self.journal.kill();
        self.scheduler = Scheduler::new(limits());
        self.orders.clear();
        self.computed.clear();
        self.timers.clear();
        self.quiet.clear();
        self.held.clear();
        self.sending.clear();
        self.keyed.clear();
        self.drains.clear();
        self.drained.clear();
        self.start();
    }

    fn start(&mut self) {
        for source in self.journal.rows.held.clone() {
            self.step(Input::Directed { source, is_held: true });
        }
        self.step(Input::Activated);
    }

    fn turn(&mut self) {
        match self.random.u8(..12) {
            0 if self.arrived < self.events && !self.is_quiet => {
                self.arrived += 1;
                let row = self.event();
                self.journal.append(EventId(self.arrived), row);
            }
            1..=3 => self.apply(),
            4 => self.journal.commit(),
            5 | 6 => {
                if let Some(fact) = self.journal.facts.pop_front() {
                    self.step(fact);
                }
            }
            7 if !self.computed.is_empty() => {
                let input = self.computed.remove(self.random.usize(..self.computed.len()));
                self.step(input);
            }
            8 => self.deliver(),
            9 if !self.timers.is_empty() => {
                let input = self.timers.remove(0);
                self.step(input);
            }
            10 => {
                let is_over = |(_, event): &(Ticket, EventId)| !self.journal.is_in_flight(*event);
                if let Some(at) = self.quiet.iter().position(is_over) {
                    let (ticket, _) = self.quiet.remove(at);
                    self.step(Input::Quieted { ticket });
                }
            }
            11 if !self.is_quiet && self.random.u8(..8) == 0 => self.trouble(),
            _ => {
                if !self.journal.late.is_empty() && self.random.u8(..3) == 0 {
                    let fact = self.journal.late.remove(0);
                    self.step(fact);
                }
            }
        }
    }

    /// Puts everything right, so that all can end.
    fn calm(&mut self) {
        self.is_quiet = true;
        for source in self.journal.rows.held.clone() {
            self.journal.direct(source, false);
        }
        if self.journal.rows.active.is_none() {
            self.journal.activate(1);
        }
        for wish in self.drains.clone() {
            self.step(Input::Go { wish });
        }
    }

    fn is_at_rest(&self) -> bool {
        self.journal.rows.events.values().all(|row| row.is_over)
            && self.scheduler.is_empty()
            && self.orders.is_empty()
            && self.journal.facts.is_empty()
    }
}

struct Lived {
    kills: u32,
    restarts: u32,
    rolled_back: u32,
}

fn live(seed: u64, mutant: Mutant) -> Result<Lived, String> {
    let mut world = World::new(seed, mutant);
    world.start();
    let calm_at = 600 + world.random.u32(..1_200);
    for turn in 0..TURNS_MAX {
        if turn == calm_at {
            world.calm();
        }
        world.turn();
        if let Some(bad) = world.journal.bad.take() {
            return Err(format!("turn {turn}: {bad}"));
        }
        if world.is_quiet && world.is_at_rest() {
            let World { kills, restarts, rolled_back, .. } = world;
            return Ok(Lived { kills, restarts, rolled_back });
        }
    }
    let left: Vec<_> = world.journal.rows.events.iter().filter(|(_, row)| !row.is_over).collect();
    Err(format!("never comes to rest: {left:?} {:?} orders {:?}", world.scheduler, world.orders))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn survived(seed: u64, mutant: Mutant) -> Result<Lived, String> {
    let lived = std::panic::catch_unwind(|| live(seed, mutant));
    lived.unwrap_or_else(|_| Err("panicked".into()))
}

#[test]
fn whatever_happens_each_event_is_over_and_no_two_write_at_once() {
    let (first, lives) = (number("TANDEM_SEED").unwrap_or(1), number("TANDEM_SWEEP").unwrap_or(LIVES));
    let (mut kills, mut restarts, mut rolled_back) = (0, 0, 0);
    for seed in first..first + lives {
        match survived(seed, Mutant::None) {
            Ok(lived) => {
                kills += lived.kills;
                restarts += lived.restarts;
                rolled_back += lived.rolled_back;
            }
            Err(bad) => {
                panic!(
                    "seed {seed}: {bad}\nonce more: TANDEM_STORY=1 TANDEM_SEED={seed} TANDEM_SWEEP=1 cargo test --test scheduler whatever"
                )
            }
        }
    }
    println!("{lives} lives: {kills} kills, {restarts} restarts, {rolled_back} roll backs");
    assert!(lives < 100 || (kills > 0 && restarts > 0 && rolled_back > 0));
}

/// How many lives go wrong without a guard: the first one is enough, unless a number of lives is wished.
fn without(guard: &Guard) -> usize {
    let wished = number("TANDEM_SWEEP");
    let wrong = |seed: &u64| Some((*seed, survived(*seed, guard.mutant).err().filter(|bad| bad.contains(guard.says))?));
    let found: Vec<_> = match wished {
        Some(lives) => (1..1 + lives).filter_map(|seed| wrong(&seed)).collect(),
        None => guards::seeds(guard).find_map(|seed| wrong(&seed)).into_iter().collect(),
    };
    let first = found.first().map(|(seed, bad)| format!("seed {seed}: {}", bad.chars().take(120).collect::<String>()));
    let lives = wished.map(|lives| format!(" of {lives} lives")).unwrap_or_default();
    println!("{}\n  {:?}: {}{lives} goes wrong, such as {first:?}", guard.guard, guard.mutant, found.len());
    found.len()
}

/// Each guard is missed: some life goes wrong without it.
#[test]
fn without_each_guard_some_life_goes_wrong() {
    let missed: Vec<_> = guards::of(Suite::Scheduler).filter(|guard| without(guard) == 0).collect();
    assert!(missed.is_empty(), "nothing is missed without {missed:#?}");
}
