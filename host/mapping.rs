//! Mapping: finds the lane of each event, asks the rules about it until it is over, and journals what they say.
//!
//! Knows the journal, the lanes and the rules; never sends anything. One task per tenant, so that no tenant waits for
//! another's lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::check::{self, Key, checked};
use crate::compliance::{self, Duty};
use crate::engine;
use crate::journal::{Answered, Arrived, Asked, Begun, Journal};
use crate::lanes::Lanes;
use crate::model::{Blame, Call, Effect, End, EntityId, Event, EventId, Failure, Names, Next, Outcome, RunId};
use crate::rules::Plugin;

/// Events whose lane is found in one write.
const KEYED_AT_ONCE_MAX: usize = 256;
/// Restarts of an event because another turned out to be about the same entity.
const RESTARTS_MAX: u32 = 20;
/// How long an event whose journal could not be written waits for another try.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
/// Asks of all tenants at a time. Each takes an instance of the pool and a core.
const ASKS_MAX: usize = engine::INSTANCES_MAX as usize / 2;
/// Events of a tenant that are in memory to be asked about; a backlog stays on disk.
const LOADED_MAX: usize = 128;
/// Tenants whose events are given a lane at a time. Each takes an instance, too.
const KEYING_MAX: usize = engine::INSTANCES_MAX as usize - ASKS_MAX;

/// Runs every tenant's lanes until told to stop.
pub async fn run(
    journal: Journal,
    plugins: HashMap<String, Plugin>,
    mut arrived: UnboundedReceiver<Arrived>,
    mut answered: UnboundedReceiver<Answered>,
    mut stopping: watch::Receiver<bool>,
) {
    let asks_max = ASKS_MAX.min(2 * cores());
    let (asks, keying) = (Arc::new(Semaphore::new(asks_max)), Arc::new(Semaphore::new(KEYING_MAX)));
    let mut workers = HashMap::new();
    let mut tasks = JoinSet::new();
    for (tenant, plugin) in plugins {
        let (inbox, messages) = unbounded_channel();
        let worker = Worker {
            tenant: tenant.clone(),
            plugin,
            journal: journal.clone(),
            lanes: Lanes::default(),
            running: HashMap::new(),
            own_asks: Arc::new(Semaphore::new(asks_max / 2)),
            asks: asks.clone(),
            loaded: Arc::new(Semaphore::new(LOADED_MAX)),
            keying: keying.clone(),
            inbox: inbox.clone(),
            stopping: stopping.clone(),
        };
        workers.insert(tenant, inbox);
        tasks.spawn(worker.run(messages, stopping.clone()));
    }
    let tell = |workers: &HashMap<String, UnboundedSender<Message>>, tenant: &str, message| {
        match workers.get(tenant) {
            // A worker that has ended is one that was told to stop.
            Some(inbox) => drop(inbox.send(message)),
            None => tracing::warn!(stage = "mapping", tenant, "an event of a tenant that is not configured waits"),
        }
    };
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(arrived) = arrived.recv() => tell(&workers, &arrived.tenant.clone(), Message::Arrived(arrived.event)),
            Some(answered) = answered.recv() => tell(&workers, &answered.tenant.clone(), Message::Answered(answered)),
            else => break,
        }
    }
    workers.clear();
    while tasks.join_next().await.is_some() {}
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The lanes of one tenant, and who asks for them.
struct Worker {
    tenant: String,
    plugin: Plugin,
    journal: Journal,
    lanes: Lanes,
    running: HashMap<EventId, Running>,
    /// Waited for before `asks`, which is all tenants' and serves whoever came first: or a thousand events of one tenant
    /// would go before any of another's.
    own_asks: Arc<Semaphore>,
    asks: Arc<Semaphore>,
    /// Held by each event that is in memory, with payload and replies, to be asked about.
    loaded: Arc<Semaphore>,
    keying: Arc<Semaphore>,
    inbox: UnboundedSender<Message>,
    stopping: watch::Receiver<bool>,
}

/// What is known of an event while it runs.
#[derive(Default)]
struct Running {
    /// How often it had begun again: what comes back from an earlier beginning is of no interest.
    restarts: u32,
    run: Option<RunId>,
    /// The replies of a run that nobody here had heard of yet.
    early: Option<Answered>,
    /// Names claimed or retired already.
    known: Names,
}

enum Message {
    Arrived(EventId),
    Answered(Answered),
    /// The event goes on in this run, which still waits for replies.
    Waits {
        event: EventId,
        restarts: u32,
        run: RunId,
    },
    /// The rules were asked in this run.
    Asked {
        event: EventId,
        restarts: u32,
        run: RunId,
        next: Result<Next, Failure>,
        asked: Asked,
        /// What the host has to do itself when the rules are done.
        duty: Option<Box<(Duty, Event)>>,
    },
    /// Events were ended that may be in any lane, running or not.
    Over(Vec<EventId>),
    /// The event is over, in a lane made of these.
    Ended {
        event: EventId,
        entity: EntityId,
        from: Vec<EntityId>,
    },
    /// The journal could not be written; the event begins again.
    Again(EventId),
}

impl Worker {
    async fn run(mut self, mut messages: UnboundedReceiver<Message>, mut stopping: watch::Receiver<bool>) {
        loop {
            let message = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                message = messages.recv() => message,
            };
            let mut next = message;
            while let Some(message) = next.take() {
                match message {
                    Message::Arrived(first) => {
                        let mut events = vec![first];
                        while events.len() < KEYED_AT_ONCE_MAX {
                            match messages.try_recv() {
                                Ok(Message::Arrived(event)) => events.push(event),
                                Ok(other) => {
                                    next = Some(other);
                                    break;
                                }
                                Err(_) => break,
                            }
                        }
                        self.key(events).await;
                    }
                    other => self.take(other).await,
                }
            }
            while let Some(event) = self.lanes.start() {
                self.begin(event);
            }
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Arrived(event) => self.key(vec![event]).await,
            Message::Answered(answered) => self.answered(answered),
            Message::Waits { event, restarts, run } => {
                if let Some(running) = self.running.get_mut(&event).filter(|running| running.restarts == restarts) {
                    running.run = Some(run);
                    if let Some(early) = running.early.take() {
                        self.answered(early);
                    }
                }
            }
            Message::Asked { event, restarts, run, next, asked, duty } => {
                let Some(running) = self.running.get_mut(&event).filter(|running| running.restarts == restarts) else {
                    return;
                };
                running.run = Some(run);
                match next {
                    Ok(Next::Send { calls, names }) => self.send(event, run, calls, names, asked).await,
                    Ok(Next::End(end)) => self.end(event, run, end, asked, duty),
                    Err(failure) => {
                        // What the rules logged may explain it.
                        if let Err(error) = self.journal.asked(run, asked).await {
                            tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
                        }
                        self.fail(event, failure);
                    }
                }
            }
            Message::Ended { event, entity, from } => {
                self.join(entity, &from).await;
                self.running.remove(&event);
                self.lanes.finish(event);
            }
            Message::Over(events) => {
                for event in events {
                    self.running.remove(&event);
                    self.lanes.finish(event);
                }
            }
            Message::Again(event) => {
                self.running.remove(&event);
                self.lanes.restart(event);
            }
        }
    }

    fn answered(&mut self, answered: Answered) {
        let event = answered.event;
        let Some(running) = self.running.get_mut(&event) else { return };
        match running.run {
            Some(run) if run == answered.run => match answered.given_up {
                Some(failure) => self.fail(event, failure),
                None => self.begin(event),
            },
            // Of a run that was dropped.
            Some(_) => {}
            None => running.early = Some(answered),
        }
    }

    /// Finds the lanes of events, in order of arrival.
    async fn key(&mut self, events: Vec<EventId>) {
        let (journal, plugin) = (self.journal.clone(), self.plugin.clone());
        // The semaphores are never closed.
        let Ok(permit) = self.keying.clone().acquire_owned().await else { return };
        let keyed = spawn_blocking(move || {
            let _permit = permit;
            events.into_iter().map(|event| (event, key(&journal, &plugin, event))).collect::<Vec<_>>()
        });
        let mut keys = vec![];
        for (event, key) in keyed.await.unwrap_or_default() {
            match key {
                Key::Entity(entity) => keys.push((event, entity)),
                Key::Over(outcome, blame, reason) => self.close(event, outcome, blame, reason),
            }
        }
        let keyed = loop {
            match self.journal.key(&self.tenant, keys.clone()).await {
                Ok(keyed) => break keyed,
                // They are in the journal, and are found there at the next start.
                Err(_) if *self.stopping.borrow() => return,
                Err(error) => {
                    tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
                    tokio::time::sleep(JOURNAL_PAUSE).await;
                }
            }
        };
        for keyed in keyed {
            self.join(keyed.lane.entity, &keyed.lane.from).await;
            self.lanes.push(keyed.event, keyed.lane.entity, keyed.after);
        }
    }

    /// Makes lanes one, and sends back what may not go on.
    async fn join(&mut self, into: EntityId, from: &[EntityId]) {
        for event in self.lanes.join(into, from) {
            self.restart(event).await;
        }
    }

    async fn restart(&mut self, event: EventId) {
        self.running.remove(&event);
        if let Err(error) = self.journal.drop_run(event).await {
            tracing::error!(stage = "mapping", tenant = self.tenant, event = event.0, blame = "host", "{error:#}");
        }
        let restarts = self.lanes.restart(event);
        tracing::info!(
            stage = "mapping",
            tenant = self.tenant,
            event = event.0,
            "begins again: another event is about the same entity"
        );
        if restarts > RESTARTS_MAX {
            let why =
                format!("begun again {RESTARTS_MAX} times because other events turned out to be about the same entity");
            self.fail(event, Failure::new(Blame::Host, why));
        }
    }

    /// Asks the rules about an event that may run, unless its run still waits for replies.
    fn begin(&mut self, event: EventId) {
        let Some(lane) = self.lanes.entity_of(event) else { return };
        let restarts = self.lanes.restarts(event);
        self.running.entry(event).or_default().restarts = restarts;
        let (journal, plugin, inbox) = (self.journal.clone(), self.plugin.clone(), self.inbox.clone());
        let (loaded, own_asks, asks) = (self.loaded.clone(), self.own_asks.clone(), self.asks.clone());
        tokio::spawn(async move {
            // The semaphores are never closed.
            let Ok(_loaded) = loaded.acquire_owned().await else { return };
            let begun = match journal.begin(event, lane, plugin.digest()).await {
                Ok(Some(begun)) => begun,
                Ok(None) => return drop(inbox.send(Message::Over(vec![event]))),
                Err(error) => return again(&inbox, event, &error).await,
            };
            let Begun { run, event: webhook, memory, replies } = begun;
            let Some(replies) = replies else {
                let _ = inbox.send(Message::Waits { event, restarts, run });
                return;
            };
            let duty = compliance::duty(&webhook.webhook);
            if let Some(duty) = duty.filter(|duty| !compliance::is_asked(*duty, plugin.manifest())) {
                let end = End { outcome: Outcome::Done, reason: String::new(), memory: None, names: Names::default() };
                let (next, duty) = (Ok(Next::End(end)), Some(Box::new((duty, webhook))));
                let _ = inbox.send(Message::Asked { event, restarts, run, next, asked: Asked::default(), duty });
                return;
            }
            let duty = duty.map(|duty| Box::new((duty, webhook.clone())));
            let Ok(own_permit) = own_asks.acquire_owned().await else { return };
            let Ok(permit) = asks.acquire_owned().await else { return };
            let step = spawn_blocking(move || {
                let _permits = (own_permit, permit);
                let mut step = plugin.step(&webhook, &memory, &replies);
                let next = step.result.and_then(|next| checked(next, plugin.manifest()));
                step.result = next.and_then(|next| check::not_for_ever(next, replies.len()));
                step
            });
            let (next, asked) = match step.await {
                Ok(step) => (step.result, Asked { usage: step.usage, log: step.log }),
                Err(error) => (Err(Failure::new(Blame::Host, format!("the ask failed: {error}"))), Asked::default()),
            };
            // The worker is gone when the host stops; the run is in the journal.
            let _ = inbox.send(Message::Asked { event, restarts, run, next, asked, duty });
        });
    }

    /// Claims the names that are new, and journals the calls if the event may still go on.
    async fn send(&mut self, event: EventId, run: RunId, calls: Vec<Call>, names: Names, asked: Asked) {
        if calls.iter().any(|call| call.effect != Effect::Read) {
            self.lanes.wrote(event);
        }
        let known = &mut self.running.entry(event).or_default().known;
        if *known != names {
            *known = names.clone();
            let Some(lane) = self.lanes.entity_of(event) else { return };
            match self.journal.claim(&self.tenant, lane, names).await {
                Ok(Ok(joined)) => self.join(joined.entity, &joined.from).await,
                Ok(Err(two)) => return self.fail(event, Failure::new(Blame::Plugin, two)),
                Err(error) => return again(&self.inbox, event, &error).await,
            }
            // The other event may be the one that goes on.
            if !self.lanes.is_running(event) {
                return;
            }
        }
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        tokio::spawn(async move {
            if let Err(error) = journal.send(run, event, &tenant, calls, asked).await {
                again(&inbox, event, &error).await;
            }
        });
    }

    fn end(&self, event: EventId, run: RunId, mut end: End, asked: Asked, duty: Option<Box<(Duty, Event)>>) {
        let Some(lane) = self.lanes.entity_of(event) else { return };
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        let plugin = self.plugin.clone();
        tokio::spawn(async move {
            if let Some(duty) = duty {
                let (duty, webhook) = *duty;
                match compliance::fulfil(&journal, plugin.manifest(), duty, &webhook, end).await {
                    Ok(fulfilled) => {
                        let _ = inbox.send(Message::Over(fulfilled.over));
                        end = fulfilled.end;
                    }
                    Err(error) => return again(&inbox, event, &error).await,
                }
            }
            let (outcome, reason) = (end.outcome.name(), end.reason.clone());
            match journal.end(run, event, lane, &tenant, end, asked).await {
                Ok(joined) => {
                    tracing::info!(stage = "mapping", tenant, event = event.0, outcome, "{reason}");
                    let _ = inbox.send(Message::Ended { event, entity: joined.entity, from: joined.from });
                }
                Err(error) => again(&inbox, event, &error).await,
            }
        });
    }

    fn fail(&self, event: EventId, failure: Failure) {
        self.close(event, Outcome::Failed, Some(failure.blame), failure.reason);
    }

    /// Ends an event without its rules.
    fn close(&self, event: EventId, outcome: Outcome, blame: Option<Blame>, reason: String) {
        let lane = self.lanes.entity_of(event);
        let version = Some(self.plugin.digest().to_owned());
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            if outcome.is_dead_letter() {
                tracing::warn!(stage = "mapping", tenant, event = event.0, blame = blame.map(Blame::name), "{reason}");
            }
            while let Err(error) = journal.close(event, outcome, blame, reason.clone(), version.clone()).await {
                tracing::error!(stage = "mapping", tenant, event = event.0, blame = "host", "{error:#}");
                if *stopping.borrow() {
                    return;
                }
                tokio::time::sleep(JOURNAL_PAUSE).await;
            }
            if let Some(entity) = lane {
                let _ = inbox.send(Message::Ended { event, entity, from: vec![] });
            }
        });
    }
}

async fn again(inbox: &UnboundedSender<Message>, event: EventId, error: &anyhow::Error) {
    tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
    tokio::time::sleep(JOURNAL_PAUSE).await;
    let _ = inbox.send(Message::Again(event));
}

/// What an event is about, or how it is over before its rules could handle it. Blocks.
fn key(journal: &Journal, plugin: &Plugin, event: EventId) -> Key {
    let failed = |reason| Key::Over(Outcome::Failed, Some(Blame::Host), reason);
    match journal.read(|reader| reader.event(event)) {
        Ok(Some(event)) => {
            let asked = || check::key(&event.webhook, plugin.manifest(), || plugin.key(&event).result);
            let Some(duty) = compliance::duty(&event.webhook) else { return asked() };
            // What the rules cannot name, or do not want to, the host does all the same.
            let entity = compliance::is_asked(duty, plugin.manifest()).then(asked).and_then(|key| match key {
                Key::Entity(entity) => Some(entity),
                Key::Over(..) => None,
            });
            match journal.read(|reader| compliance::key(reader, &event, duty, entity)) {
                Ok(entity) => Key::Entity(entity),
                Err(error) => failed(format!("{error:#}")),
            }
        }
        Ok(None) => failed("the event is not in the journal".into()),
        Err(error) => failed(format!("{error:#}")),
    }
}
