//! The host's mapping stage in virtual time: the real lanes, the real component, the real journal (in memory), and the
//! few lines between them that `host/mapping.rs` has in its tasks. Knows nothing of the stores.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use tandem::check::{self, Key, checked};
use tandem::journal::{Activation, Answered, Appended, Asked, By, Cause, Feeds, Journal};
use tandem::lanes::Lanes;
use tandem::model::{Call, Effect, End, EntityId, Event, EventId, Failure, Names, Next, Outcome, RunId, Webhook};
use tandem::rules::Plugin;

use super::world::{Attempt, Job, Mutant, World};

pub const TENANT: &str = "acme";
const RESTARTS_MAX: u32 = 20;

pub struct Host {
    pub journal: Journal,
    feeds: Feeds,
    plugin: Plugin,
    lanes: Lanes,
    running: HashMap<EventId, Running>,
    events: HashMap<EventId, Event>,
    /// As the journal has it: the newest first.
    remembered: BTreeMap<EntityId, Vec<String>>,
    pub ended: Vec<Ended>,
    pub restarts: usize,
    /// Windows that [`Mutant::NoGuard`] took away.
    pub windows_taken: usize,
}

#[derive(Default)]
struct Running {
    run: Option<RunId>,
    known: Names,
    /// The calls of every pass.
    passes: Vec<Vec<Call>>,
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
        let activation = Activation {
            tenant: TENANT.into(),
            digest: plugin.digest().into(),
            cause: Cause::Configured,
            fixed: BTreeMap::new(),
            relink: false,
            expected: None,
            failures_max: None,
            configured: None,
        };
        at_once(journal.activate(activation)).unwrap().unwrap();
        Self {
            journal,
            feeds,
            plugin: plugin.clone(),
            lanes: Lanes::default(),
            running: HashMap::new(),
            events: HashMap::new(),
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

    /// Makes lanes one, and sends back what may not go on.
    fn join(&mut self, into: EntityId, from: &[EntityId]) {
        for other in from {
            let theirs = self.remembered.remove(other).unwrap_or_default();
            self.remembered.entry(into).or_default().extend(theirs);
        }
        for event in self.lanes.join(into, from) {
            self.running.remove(&event);
            at_once(self.journal.drop_run(event)).unwrap();
            self.restarts += 1;
            assert!(self.lanes.restart(event) <= RESTARTS_MAX, "event {event} begins again for ever");
        }
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
        let Appended::Accepted(id) = at_once(self.host.journal.append(webhook.clone())).unwrap() else { return };
        let event = Event { id, webhook };
        self.say(|| format!("event {id}: {} {}", event.webhook.topic, event.webhook.payload));
        let host = &mut self.host;
        let key = check::key(&event.webhook, host.plugin.manifest(), || host.plugin.key(&event).result);
        host.events.insert(id, event);
        match key {
            Key::Entity(entity) => {
                for keyed in at_once(host.journal.key(TENANT, vec![(id, entity)])).unwrap() {
                    host.join(keyed.lane.entity, &keyed.lane.from);
                    host.lanes.push(keyed.event, keyed.lane.entity, keyed.after);
                }
            }
            Key::Over(outcome, blame, reason) => {
                let version = By::Key(host.plugin.digest().to_owned());
                at_once(host.journal.close(id, version, outcome, blame, reason.clone())).unwrap();
                host.ended.push(Ended { event: id, outcome, reason });
            }
        }
    }

    /// Does all that can be done now.
    pub fn pump(&mut self) {
        loop {
            if let Some(event) = self.host.lanes.start() {
                self.begin(event);
            } else if let Ok(Answered { event, run, given_up, .. }) = self.host.feeds.replies.try_recv() {
                assert_eq!(given_up, None);
                // Of a run that was dropped otherwise.
                if self.host.running.get(&event).is_some_and(|running| running.run == Some(run)) {
                    self.begin(event);
                }
            } else if let Ok(due) = self.host.feeds.calls.try_recv() {
                assert_eq!(due.unknown_since, None);
                let ms = [1, 20, 150, 700][self.random.usize(..4)];
                let ms = if self.random.u8(..100) < self.troubles.slow { ms } else { 1 };
                self.after(ms, Job::Attempt(Attempt { due, made: 0, is_again: false }));
            } else {
                while self.host.feeds.events.try_recv().is_ok() {}
                return;
            }
        }
    }

    /// Asks the rules about an event that may run.
    fn begin(&mut self, event: EventId) {
        let host = &mut self.host;
        let Some(lane) = host.lanes.entity_of(event) else { return };
        let begun = at_once(host.journal.begin(event, lane)).unwrap();
        // Nothing is redacted here.
        let Some(begun) = begun else { return };
        host.running.entry(event).or_default().run = Some(begun.run);
        let Some(replies) = begun.replies else { return };
        let step = host.plugin.step(&begun.event, &begun.memory, &replies);
        let next = step.result.and_then(|next| checked(next, host.plugin.manifest()));
        let next = next.and_then(|next| check::not_for_ever(next, replies.len()));
        let names = next.as_ref().map(|next| next.names().clone()).unwrap_or_default();
        let asked = Asked { names, ..Asked::default() };
        match next {
            Ok(Next::Send { calls, names }) => self.send_calls(event, begun.run, calls, names, asked),
            Ok(Next::End(end)) => self.end(event, begun.run, end, asked),
            Err(failure) => self.fail(event, begun.run, failure, asked),
        }
    }

    /// Claims the names that are new, and journals the calls if the event may still go on.
    fn send_calls(&mut self, event: EventId, run: RunId, calls: Vec<Call>, mut names: Names, asked: Asked) {
        self.check_reads(event, &calls);
        let host = &mut self.host;
        if calls.iter().any(|call| call.effect != Effect::Read) {
            host.lanes.wrote(event);
        }
        if self.mutant == Mutant::NoClaims {
            names = Names::default();
        }
        let known = &mut host.running.entry(event).or_default().known;
        if *known != names {
            *known = names.clone();
            let Some(lane) = host.lanes.entity_of(event) else { return };
            match at_once(host.journal.claim(TENANT, lane, names)).unwrap() {
                Ok(joined) => host.join(joined.entity, &joined.from),
                Err(two) => return self.fail(event, run, Failure::new(tandem::model::Blame::Plugin, two), asked),
            }
            if !host.lanes.is_running(event) {
                return self.say(|| format!("event {event} begins again"));
            }
        }
        host.running.entry(event).or_default().passes.push(calls.clone());
        let written = |call: Call| (call.clone(), host.plugin.api_version(&call.target).to_owned());
        let calls = calls.into_iter().map(written).collect();
        at_once(host.journal.send(run, event, TENANT, calls, asked)).unwrap();
    }

    /// No write of a field to a side that the same event has not read, or made, before.
    fn check_reads(&mut self, event: EventId, calls: &[Call]) {
        let passes = self.host.running.get(&event).map(|running| &running.passes[..]).unwrap_or_default();
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

    fn end(&mut self, event: EventId, run: RunId, mut end: End, asked: Asked) {
        let (mutant, host) = (self.mutant, &mut self.host);
        if mutant == Mutant::NoClaims {
            end.names = Names::default();
        }
        if let Some(memory) = end.memory.as_mut().filter(|_| mutant == Mutant::NoGuard) {
            let mut parts: Value = serde_json::from_str(memory).unwrap_or_default();
            if parts.as_object_mut().is_some_and(|parts| parts.remove("windows").is_some()) {
                host.windows_taken += 1;
                *memory = parts.to_string();
            }
        }
        let Some(lane) = host.lanes.entity_of(event) else { return };
        let (outcome, reason, memory) = (end.outcome, end.reason.clone(), end.memory.clone());
        let joined = at_once(host.journal.end(run, event, lane, TENANT, end, asked)).unwrap().unwrap();
        host.join(joined.entity, &joined.from);
        if let Some(memory) = memory {
            let new = if memory.is_empty() { vec![] } else { vec![memory] };
            host.remembered.insert(joined.entity, new);
        }
        self.over(event, outcome, reason);
        if mutant == Mutant::NoRead {
            let link = self.host.remembered.get(&joined.entity).and_then(|texts| texts.first());
            let link: Value = link.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            if let (Some(customer), Some(profile)) =
                (link["link"]["customer"].as_u64(), link["link"]["profile"].as_str())
            {
                self.copy(customer, profile);
            }
        }
    }

    fn fail(&mut self, event: EventId, run: RunId, failure: Failure, asked: Asked) {
        let (outcome, blame, reason) = (Outcome::Failed, Some(failure.blame), failure.reason);
        at_once(self.host.journal.asked(run, asked)).unwrap();
        at_once(self.host.journal.close(event, By::Run(run), outcome, blame, reason.clone())).unwrap();
        self.over(event, outcome, reason);
    }

    fn over(&mut self, event: EventId, outcome: Outcome, reason: String) {
        self.say(|| format!("event {event} is {}: {reason}", outcome.name()));
        self.host.running.remove(&event);
        self.host.lanes.finish(event);
        self.host.ended.push(Ended { event, outcome, reason });
    }
}
