//! The host's mapping stage in virtual time: the shipped scheduler, the real component and the real journal (in memory).
//! Orders to the journal, its answers, and what is computed wait in three queues, and the seed chooses which moves next.
//! Knows nothing of the stores.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use tandem::check::{self, Key};
use tandem::journal::{Appended, Asked, At, Begun, Fact, Feeds, Journal, Known, Mode, Orders, Over, Terms, With};
use tandem::model::{Blame, Call, Effect, EntityId, Event, EventId, Failure, Names, Next, Outcome, RunId, Webhook};
use tandem::rules::Plugin;
use tandem::scheduler::{self, Answer, Closer, Ending, Input, Joined, Limits, Scheduler, Sending, System, Ticket, Try};

use super::guards::Mutant;
use super::operators::Versions;
use super::world::{Attempt, Job, QUIET_MS, World};

pub const TENANT: &str = "acme";
/// So few that the journal is read again and again.
const LIMITS: Limits =
    Limits { ready_max: 4, read_at_once_max: 3, named_at_once_max: 2, loaded_max: 3, passed_over_max: 1_000 };
/// How long an order that failed waits.
const PAUSE_MS: i64 = 1_000;

pub struct Host {
    pub journal: Journal,
    orders: Orders,
    feeds: Feeds,
    plugin: Plugin,
    pub versions: Versions,
    scheduler: Scheduler,
    /// How many there were before it.
    pub driver: usize,
    /// Who waits for a drain, and for which version.
    pub drains: BTreeMap<u64, Option<String>>,
    /// What the journal is to carry out, what it has told, and what was computed.
    pending: VecDeque<scheduler::Effect>,
    told: VecDeque<Fact>,
    computed: Vec<Input>,
    known: HashMap<EventId, Held>,
    /// By which version, and what it said.
    keys: HashMap<Ticket, (String, Vec<(EventId, Known)>)>,
    /// The calls of every pass of a run, whatever restarts there are.
    passes: HashMap<RunId, Vec<Vec<Call>>>,
    pub events: HashMap<EventId, Event>,
    /// Why those are over that have no key.
    reasons: HashMap<EventId, String>,
    /// As the journal has it: the newest first.
    remembered: BTreeMap<EntityId, Vec<String>>,
    pub ended: Vec<Ended>,
    pub restarts: usize,
    /// Windows that [`Mutant::NoGuard`] took away.
    pub windows_taken: usize,
}

/// What is known of an event that has begun.
#[derive(Default)]
struct Held {
    run: Option<RunId>,
    begun: Option<Box<Begun>>,
    answer: Option<(Try, Result<Next, Failure>, Asked)>,
    failure: Option<Failure>,
    claimed: Names,
}

pub struct Ended {
    pub event: EventId,
    pub outcome: Outcome,
    pub reason: String,
}

/// A journal in memory is written when a write is first polled.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a journal in memory makes nobody wait"),
    }
}

impl Host {
    pub fn new(plugin: &Plugin) -> Self {
        let (journal, feeds) = Journal::in_memory().unwrap();
        Self {
            versions: Versions::new(&journal, plugin.digest()),
            driver: 0,
            drains: BTreeMap::new(),
            orders: journal.orders(TENANT, QUIET_MS as u64),
            journal,
            feeds,
            plugin: plugin.clone(),
            scheduler: Scheduler::new(LIMITS),
            pending: VecDeque::new(),
            told: VecDeque::new(),
            computed: vec![],
            known: HashMap::new(),
            keys: HashMap::new(),
            passes: HashMap::new(),
            events: HashMap::new(),
            reasons: HashMap::new(),
            remembered: BTreeMap::new(),
            ended: vec![],
            restarts: 0,
            windows_taken: 0,
        }
    }

    pub fn source_of(&self, event: EventId) -> String {
        self.events[&event].webhook.source.clone()
    }

    pub fn dead_letters(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(|ended| ended.outcome.is_dead_letter())
    }

    /// Events that are not over, for a restart of one of them.
    pub fn open_events(&self) -> Vec<EventId> {
        let mut open: Vec<_> = self.known.keys().copied().collect();
        open.sort_unstable();
        open
    }

    fn remember_joined(&mut self, joined: &Joined) {
        for other in &joined.from {
            let theirs = self.remembered.remove(other).unwrap_or_default();
            self.remembered.entry(joined.entity).or_default().extend(theirs);
        }
    }

    fn name(&mut self, ticket: Ticket, events: &[EventId]) {
        let version = self.versions.active().to_owned();
        let keys = events.iter().map(|id| {
            let event = &self.events[id];
            let ask = || self.versions.failure(&version, *id, None).map_or_else(|| self.plugin.key(event).result, Err);
            let known = match check::key(&event.webhook, self.plugin.manifest(), ask) {
                Key::Entity(entity) => Known::Entity(entity),
                Key::Over(outcome, blame, reason) => Known::Over(outcome, blame, reason),
            };
            (*id, known)
        });
        let keys: Vec<_> = keys.collect();
        for (event, known) in &keys {
            if let Known::Over(_, _, reason) = known {
                self.reasons.insert(*event, reason.clone());
            }
        }
        self.keys.insert(ticket, (version, keys));
        self.computed.push(Input::Named { ticket, has_version: true });
    }

    /// Has the journal carry out an order.
    fn apply(&mut self, order: scheduler::Effect) {
        use scheduler::Effect as Do;
        let orders = &self.orders;
        let done = match order {
            Do::Read { ticket, which, after, upto, most } => at_once(orders.read(ticket, which, (after, upto), most)),
            Do::Declare { ticket, events } => {
                let (version, mut keys) = self.keys.remove(&ticket).unwrap_or_default();
                keys.retain(|(event, _)| events.contains(event));
                at_once(orders.declare(ticket, version, keys))
            }
            Do::Begin { event, of, lane } => at_once(orders.begin(At { event, of, lane })),
            Do::Send { event, of, lane, run, pass } => {
                let held = &self.known[&event];
                let Some((_, Ok(Next::Send { calls, names }), asked)) = &held.answer else { return };
                let written = |call: &Call| (call.clone(), self.plugin.manifest().api_version(&call.target).to_owned());
                let calls = calls.iter().map(written).collect();
                let names = (*names != held.claimed).then(|| names.clone());
                at_once(orders.send(At { event, of, lane }, (run, pass), calls, names, asked.clone()))
            }
            Do::End { event, of, lane, run, pass } => {
                let Some((_, Ok(Next::End(end)), asked)) = &self.known[&event].answer else { return };
                at_once(orders.end(At { event, of, lane }, (run, pass), end.clone(), asked.clone()))
            }
            Do::Close { event, of, by } => {
                let held = &self.known[&event];
                let failed = held.answer.as_ref().and_then(|(_, next, _)| next.as_ref().err());
                let failure = match by {
                    Closer::Host => Failure::new(Blame::Host, "begins again for ever"),
                    Closer::Run(_) => held.failure.as_ref().or(failed).cloned().unwrap(),
                };
                at_once(orders.close((event, of), by, failure, None))
            }
            Do::Drop { ticket, event } => at_once(orders.drop_run(ticket, event)),
            other => panic!("no order to the journal: {other:?}"),
        };
        done.unwrap();
    }
}

impl World {
    /// What is remembered of every person.
    pub fn memories(&self) -> impl Iterator<Item = Value> {
        self.host.remembered.values().filter_map(|texts| {
            let read = |text: &String| serde_json::from_str(text).unwrap_or_default();
            let all: Vec<Value> = texts.iter().map(read).collect();
            all.iter().find(|memory| memory["link"].is_object()).or(all.first()).cloned()
        })
    }

    pub fn accept(&mut self, webhook: Webhook) {
        let journal = &self.host.journal;
        let is_dropped = journal.mode(TENANT, &webhook.source) == Mode::Drop;
        let skipped = is_dropped.then(|| format!("what comes from {} is dropped", webhook.source));
        let terms = Terms { skipped, bytes_max: None };
        let taken = at_once(journal.take_in(webhook.clone(), terms)).unwrap();
        let Some(Appended::Accepted(id)) = taken else { return };
        if is_dropped {
            self.say(|| format!("dropped: {} {}", webhook.topic, webhook.payload));
            self.dropped.push(webhook.payload);
            return;
        }
        let event = Event { id, webhook };
        self.say(|| format!("event {id}: {} {}", event.webhook.topic, event.webhook.payload));
        self.host.events.insert(id, event);
    }

    /// Does all that can be done now, in an order that the seed chooses.
    pub fn pump(&mut self) {
        loop {
            while let Ok(fact) = self.host.feeds.facts.try_recv() {
                self.host.told.push_back(fact);
            }
            while let Ok(due) = self.host.feeds.calls.try_recv() {
                if due.unknown_since.is_some() {
                    let (attempt, why) = (Attempt { due, made: 0, is_again: false }, "an earlier run did not hear");
                    self.after(QUIET_MS, Job::Unknown(attempt, why.to_owned()));
                    continue;
                }
                let ms = [1, 20, 150, 700][self.random.usize(..4)];
                let ms = if self.random.u8(..100) < self.troubles.slow { ms } else { 1 };
                self.after(ms, Job::Attempt(Attempt { due, made: 0, is_again: false }));
            }
            let host = &mut self.host;
            let waiting = [!host.pending.is_empty(), !host.told.is_empty(), !host.computed.is_empty()];
            let waiting: Vec<usize> = (0..3).filter(|n| waiting[*n]).collect();
            if waiting.is_empty() {
                return;
            }
            match waiting[self.random.usize(..waiting.len())] {
                0 => {
                    if let Some(order) = self.host.pending.pop_front() {
                        self.host.apply(order);
                    }
                }
                1 => {
                    if let Some(fact) = self.host.told.pop_front() {
                        self.take(fact);
                    }
                }
                _ => {
                    let at = self.random.usize(..self.host.computed.len());
                    let input = self.host.computed.remove(at);
                    self.step(input);
                }
            }
        }
    }

    pub fn step(&mut self, input: Input) {
        use scheduler::Effect as Do;
        for effect in self.host.scheduler.step(input) {
            match effect {
                Do::Name { ticket, events } => self.host.name(ticket, &events),
                Do::Ask { event, of, .. } => self.ask(event, of),
                Do::Wake { what } => self.after(PAUSE_MS, Job::Told(Input::Woke { what })),
                Do::WaitQuiet { ticket, .. } => self.after(QUIET_MS, Job::Told(Input::Quieted { ticket })),
                Do::Restarted { event, why } => {
                    self.host.restarts += 1;
                    self.say(|| format!("event {event} begins again: {why}"));
                }
                Do::RollBack { version, .. } => self.order_roll_back(version),
                Do::Drained { wish } => self.drained(wish),
                Do::Full { .. } => {}
                order => self.host.pending.push_back(order),
            }
        }
    }

    /// Another scheduler with another driver: what is in the journal stays, and what was ordered, told or computed is gone.
    pub fn reload(&mut self) {
        while let Ok(fact) = self.host.feeds.facts.try_recv() {
            self.host.told.push_back(fact);
        }
        // Nobody hears of it any more, but it has happened.
        while let Some(Fact { input, with, .. }) = self.host.told.pop_front() {
            self.keep(&input, with);
        }
        let host = &mut self.host;
        host.scheduler = Scheduler::new(LIMITS);
        host.driver += 1;
        host.drains.clear();
        host.pending.clear();
        host.computed.clear();
        host.known.clear();
        host.keys.clear();
        for source in ["shopify", "omneo"] {
            let is_held = self.host.journal.mode(TENANT, source) == Mode::Hold;
            self.step(Input::Directed { source: System::named(source), is_held });
        }
    }

    /// Keeps what comes with a fact, and tells the scheduler.
    fn take(&mut self, Fact { mut input, with, .. }: Fact) {
        self.keep(&input, with);
        if let Input::RolledBack { again } = &mut input
            && self.mutant == Mutant::NotAgain
        {
            again.clear();
        }
        self.step(input);
    }

    fn keep(&mut self, input: &Input, with: With) {
        let host = &mut self.host;
        match (input, with) {
            (Input::Began { event, .. }, With::Begun(begun)) => {
                let held = host.known.entry(*event).or_default();
                if held.run.replace(begun.run) != Some(begun.run) {
                    held.claimed = Names::default();
                }
                held.begun = Some(begun);
            }
            (Input::Began { event, .. } | Input::Sent { event, .. }, With::Failure(failure)) => {
                host.known.entry(*event).or_default().failure = Some(failure);
            }
            (Input::Sent { event, is: Sending::Waits | Sending::Answered, .. }, _) => {
                let held = host.known.entry(*event).or_default();
                if let Some((_, Ok(Next::Send { calls, names }), _)) = held.answer.take() {
                    held.claimed = names;
                    let run = held.run.expect("it has begun");
                    host.passes.entry(run).or_default().push(calls);
                }
            }
            // Whatever had become of them: they are open again.
            (Input::Arrived(opened), _) => host.ended.retain(|ended| ended.event != opened.event),
            (Input::RolledBack { again }, _) => {
                host.ended.retain(|ended| !again.iter().any(|opened| opened.event == ended.event));
            }
            (Input::Sent { is: Sending::Joins(joined), .. }, _) => host.remember_joined(joined),
            (Input::Declared { keyed, .. }, with) => {
                keyed.iter().for_each(|keyed| host.remember_joined(&keyed.lane));
                if let With::Ended(all) = with {
                    all.into_iter().for_each(|over| self.over(over));
                }
            }
            (Input::Ended { event, is, .. }, With::Ended(all)) => {
                if let Ending::Over { joined: Some(joined), .. } = is {
                    self.remember(*event, joined);
                }
                all.into_iter().for_each(|over| self.over(over));
            }
            _ => {}
        }
    }

    /// Asks the rules about an event.
    fn ask(&mut self, event: EventId, of: Try) {
        let host = &mut self.host;
        let Some(begun) = host.known.get_mut(&event).and_then(|held| held.begun.take()) else { return };
        let fails = host.versions.failure(&begun.version, event, Some(begun.replies.len()));
        let ask = || host.plugin.step(&begun.event, &begun.memory, &begun.replies).result;
        let mut next = check::next(fails.map_or_else(ask, Err), host.plugin.manifest(), begun.replies.len());
        self.mutilate(&mut next);
        let names = next.as_ref().map(|next| next.names().clone()).unwrap_or_default();
        let answer = match &next {
            Ok(Next::Send { calls, .. }) => {
                self.check_reads(event, calls);
                Answer::Send { writes: calls.iter().any(|call| call.effect != Effect::Read) }
            }
            Ok(Next::End(_)) => Answer::End,
            Err(_) => Answer::Fail,
        };
        let held = self.host.known.entry(event).or_default();
        held.failure = None;
        held.answer = Some((of, next, Asked { names, ..Asked::default() }));
        self.host.computed.push(Input::Asked { event, of, next: answer });
    }

    /// Takes away what a mutant lacks.
    fn mutilate(&mut self, next: &mut Result<Next, Failure>) {
        match next {
            Ok(Next::Send { names, .. }) if self.mutant == Mutant::NoClaims => *names = Names::default(),
            Ok(Next::End(end)) => {
                if self.mutant == Mutant::NoClaims {
                    end.names = Names::default();
                }
                if let Some(memory) = end.memory.as_mut().filter(|_| self.mutant == Mutant::NoGuard) {
                    let mut parts: Value = serde_json::from_str(memory).unwrap_or_default();
                    let entries = parts["addresses"]["entries"].as_array_mut().into_iter().flatten();
                    let of_addresses = entries
                        .filter_map(Value::as_object_mut)
                        .flat_map(|entry| ["s_window", "o_window"].map(|key| entry.remove(key).is_some()));
                    let is_taken = of_addresses.fold(false, |any, one| any | one);
                    if parts.as_object_mut().is_some_and(|parts| parts.remove("windows").is_some()) || is_taken {
                        self.host.windows_taken += 1;
                        *memory = parts.to_string();
                    }
                }
            }
            _ => {}
        }
    }

    /// No write of a field to a side that the same event has not read, or made, before.
    fn check_reads(&mut self, event: EventId, calls: &[Call]) {
        let run = self.host.known.get(&event).and_then(|held| held.run);
        let passes = run.and_then(|run| self.host.passes.get(&run)).map(|passes| &passes[..]).unwrap_or_default();
        let before: Vec<String> = passes.iter().flatten().map(Call::line).collect();
        let mut bad = vec![];
        for call in calls.iter().filter(|call| call.effect != Effect::Read) {
            let line = call.line();
            let is_read = match line.strip_prefix("PUT omneo /profiles/") {
                Some(id) => {
                    let read = format!("GET omneo /profiles/{}", id.split('/').next().unwrap_or_default());
                    before.iter().any(|before| *before == read || before == "POST omneo /profiles")
                }
                None if line.starts_with("shopify ")
                    && !line.ends_with(" CreatePerson")
                    && !line.ends_with(" Loyalty") =>
                {
                    before.iter().any(|before| before.starts_with("shopify ") && before.contains("Person"))
                }
                None => true,
            };
            if !is_read {
                bad.push(format!("written without being read: {line} by event {event} after {before:?}"));
            }
        }
        self.bad.append(&mut bad);
    }

    /// An event has ended by its rules' word, and may have left a memory.
    fn remember(&mut self, event: EventId, joined: &Joined) {
        self.host.remember_joined(joined);
        let Some(held) = self.host.known.get(&event) else { return };
        let Some((_, Ok(Next::End(end)), _)) = &held.answer else { return };
        if let Some(run) = held.run {
            self.half_done.remove(&run);
        }
        if let Some(memory) = end.memory.clone() {
            let new = if memory.is_empty() { vec![] } else { vec![memory] };
            self.host.remembered.insert(joined.entity, new);
        }
        if self.mutant == Mutant::NoRead {
            let link = self.host.remembered.get(&joined.entity).and_then(|texts| texts.first());
            let link: Value = link.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            if let (Some(customer), Some(profile)) =
                (link["link"]["customer"].as_u64(), link["link"]["profile"].as_str())
            {
                self.copy(customer, profile);
            }
        }
    }

    fn over(&mut self, Over { event, outcome, .. }: Over) {
        let held = self.host.known.remove(&event).unwrap_or_default();
        let reason = match (held.answer, held.failure) {
            (_, Some(failure)) | (Some((_, Err(failure), _)), None) => failure.reason,
            (Some((_, Ok(Next::End(end)), _)), None) => end.reason,
            _ => self.host.reasons.remove(&event).unwrap_or_default(),
        };
        self.say(|| format!("event {event} is {}: {reason}", outcome.name()));
        self.host.ended.push(Ended { event, outcome, reason });
    }
}
