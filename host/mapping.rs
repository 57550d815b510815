//! Mapping: finds the lane of each event, asks the rules about it until it is over, and journals what they say.
//!
//! Knows the journal, the lanes and which version of the rules to ask; never sends anything. One task per tenant, so that
//! no tenant waits for another's lanes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{Instrument as _, Span, field};

use crate::check::{self, checked};
use crate::compliance::{self, Duty};
use crate::engine;
use crate::journal::{Answered, Arrived, Asked, Begun, By, Closed, Directed, Journal};
use crate::lanes::Lanes;
use crate::model::{Blame, Call, Effect, End, EntityId, Event, EventId, Failure, Names, Next, Outcome, RunId};
use crate::registry::Registry;
use crate::rules::{Plugin, short};
use crate::tenants::Tenants;

mod aside;
mod keys;
mod swap;

use aside::Aside;
pub use swap::{Control, Drained, Requests, requests};
use swap::{Held, Request, Trial};

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

/// What the lanes are told, and by whom they are asked for something.
pub struct Feeds {
    pub arrived: UnboundedReceiver<Arrived>,
    pub answered: UnboundedReceiver<Answered>,
    pub directed: UnboundedReceiver<Directed>,
    pub requests: Requests,
}

/// Runs every tenant's lanes until told to stop. A tenant has a worker from its first message on.
pub async fn run(
    journal: Journal,
    registry: Registry,
    tenants: Tenants,
    feeds: Feeds,
    mut stopping: watch::Receiver<bool>,
) {
    let Feeds { mut arrived, mut answered, mut directed, mut requests } = feeds;
    let asks_max = ASKS_MAX.min(2 * cores());
    let (asks, keying) = (Arc::new(Semaphore::new(asks_max)), Arc::new(Semaphore::new(KEYING_MAX)));
    let mut workers: HashMap<String, UnboundedSender<Message>> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let (tenant, message) = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(arrived) = arrived.recv() => (arrived.tenant, Message::Arrived(arrived.event)),
            Some(answered) = answered.recv() => (answered.tenant.clone(), Message::Answered(answered)),
            Some(directed) = directed.recv() => (directed.tenant, Message::Directed(directed.source)),
            Some((tenant, request)) = requests.recv() => (tenant, Message::Requested(request)),
            Some(_) = tasks.join_next() => continue,
            else => break,
        };
        if let Message::Requested(Request::Leave(left)) = message {
            if let Some(inbox) = workers.remove(&tenant) {
                let _ = inbox.send(Message::Leave);
            }
            // Whoever wanted to know may have gone.
            let _ = left.send(());
            continue;
        }
        if tenants.get(&tenant).is_none() {
            tracing::warn!(stage = "mapping", tenant, "what there is of this tenant waits: it is not configured");
            continue;
        }
        let inbox = workers.entry(tenant.clone()).or_insert_with(|| {
            let (inbox, messages) = unbounded_channel();
            let worker = Worker {
                tenant,
                registry: registry.clone(),
                journal: journal.clone(),
                lanes: Lanes::default(),
                running: HashMap::new(),
                begun: 0,
                keyless: BTreeSet::new(),
                held: None,
                aside: Aside::default(),
                trial: Trial::default(),
                own_asks: Arc::new(Semaphore::new(asks_max / 2)),
                asks: asks.clone(),
                loaded: Arc::new(Semaphore::new(LOADED_MAX)),
                keying: keying.clone(),
                inbox: inbox.clone(),
                stopping: stopping.clone(),
            };
            tasks.spawn(worker.run(messages, stopping.clone()));
            inbox
        });
        // A worker that has ended is one that was told to stop.
        let _ = inbox.send(message);
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
    registry: Registry,
    journal: Journal,
    lanes: Lanes,
    running: HashMap<EventId, Running>,
    /// How many events have begun, those that began again included.
    begun: u64,
    /// Events that are being closed for what came of their key.
    keyless: BTreeSet<EventId>,
    /// While no event may begin: those that would.
    held: Option<Held>,
    /// Of directions that are held.
    aside: Aside,
    trial: Trial,
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
    /// Which beginning this is: what comes back from an earlier one of the same event is of no interest.
    beginning: u64,
    /// The version that its run is on, once it was asked: there as long as the run is.
    plugin: Option<Plugin>,
    run: Option<RunId>,
    /// When it began here.
    since: Option<Instant>,
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
        beginning: u64,
        run: RunId,
    },
    /// The rules were asked in this run.
    Asked {
        event: EventId,
        beginning: u64,
        run: RunId,
        plugin: Plugin,
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
        beginning: Option<u64>,
        entity: EntityId,
        from: Vec<EntityId>,
    },
    /// The event was closed for what came of its key, or is to be asked for it again.
    Keyless {
        event: EventId,
        again: bool,
    },
    /// This version has brought an event to an end, or has failed to.
    Judged {
        version: String,
        failed: bool,
    },
    Requested(Request),
    /// The tenant is gone.
    Leave,
    /// The direction of this source has another mode.
    Directed(String),
    /// What is aside of this source is to come into its lanes.
    Drain(String),
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
                    Message::Leave => return,
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
                        self.arrived(events).await;
                    }
                    other => self.take(other).await,
                }
            }
            if self.held.is_some() {
                self.hold();
                continue;
            }
            while let Some(event) = self.lanes.start() {
                self.begin(event);
            }
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Arrived(event) => self.arrived(vec![event]).await,
            Message::Directed(source) => self.directed(source).await,
            Message::Drain(source) => self.drain(source).await,
            Message::Answered(answered) => self.answered(answered),
            Message::Waits { event, beginning, run } => {
                if let Some(running) = self.running.get_mut(&event).filter(|running| running.beginning == beginning) {
                    running.run = Some(run);
                    if let Some(early) = running.early.take() {
                        self.answered(early);
                    }
                }
            }
            Message::Asked { event, beginning, run, plugin, next, asked, duty } => {
                let now = self.running.get_mut(&event);
                let Some(running) = now.filter(|running| running.beginning == beginning) else { return };
                running.run = Some(run);
                running.plugin = Some(plugin.clone());
                match next {
                    Ok(Next::Send { calls, names }) => self.send(event, run, &plugin, calls, names, asked).await,
                    Ok(Next::End(end)) => self.end(event, run, plugin, end, asked, duty),
                    Err(failure) => self.fail_asked(event, run, failure, asked).await,
                }
            }
            Message::Keyless { event, again } => {
                if self.keyless.remove(&event) && again {
                    self.key_all(vec![event]).await;
                }
            }
            Message::Judged { version, failed } => self.judged(version, failed).await,
            Message::Requested(request) => self.requested(request).await,
            Message::Ended { event, beginning, entity, from } => {
                self.join(entity, &from).await;
                // It may have been taken up again meanwhile.
                if self.beginning_of(event) == beginning {
                    self.running.remove(&event);
                    self.lanes.finish(event);
                }
            }
            Message::Over(events) => {
                for event in events {
                    self.running.remove(&event);
                    self.lanes.finish(event);
                }
            }
            // The worker has ended.
            Message::Leave => {}
            Message::Again(event) => {
                self.running.remove(&event);
                self.lanes.restart(event);
            }
        }
    }

    fn beginning_of(&self, event: EventId) -> Option<u64> {
        self.running.get(&event).map(|running| running.beginning)
    }

    fn answered(&mut self, answered: Answered) {
        let event = answered.event;
        let Some(running) = self.running.get_mut(&event) else { return };
        match running.run {
            Some(run) if run == answered.run => match answered.given_up {
                Some(failure) => self.fail(event, By::Run(run), failure),
                None => self.begin(event),
            },
            // Of a run that was dropped.
            Some(_) => {}
            None => running.early = Some(answered),
        }
    }

    /// Makes lanes one, and sends back what may not go on.
    async fn join(&mut self, into: EntityId, from: &[EntityId]) {
        for event in self.lanes.join(into, from) {
            self.restart(event, "another event is about the same entity").await;
        }
    }

    async fn restart(&mut self, event: EventId, why: &str) {
        self.running.remove(&event);
        if let Err(error) = self.journal.drop_run(event).await {
            tracing::error!(stage = "mapping", tenant = self.tenant, event = event.0, blame = "host", "{error:#}");
        }
        let restarts = self.lanes.restart(event);
        tracing::info!(stage = "mapping", tenant = self.tenant, event = event.0, "begins again: {why}");
        if restarts > RESTARTS_MAX {
            let why =
                format!("begun again {RESTARTS_MAX} times because other events turned out to be about the same entity");
            self.fail(event, By::Host, Failure::new(Blame::Host, why));
        }
    }

    /// Asks the rules about an event that may run, unless its run still waits for replies.
    fn begin(&mut self, event: EventId) {
        let Some(lane) = self.lanes.entity_of(event) else { return };
        let number = self.begun + 1;
        let running = self.running.entry(event).or_insert_with(|| Running {
            beginning: number,
            since: Some(Instant::now()),
            ..Running::default()
        });
        self.begun = self.begun.max(running.beginning);
        let (beginning, plugin) = (running.beginning, running.plugin.clone());
        let (journal, registry, inbox) = (self.journal.clone(), self.registry.clone(), self.inbox.clone());
        let (loaded, own_asks, asks) = (self.loaded.clone(), self.own_asks.clone(), self.asks.clone());
        let span = self.span(event);
        let asking = async move {
            // The semaphores are never closed.
            let Ok(_loaded) = loaded.acquire_owned().await else { return };
            let begun = match journal.begin(event, lane).await {
                Ok(Some(begun)) => begun,
                Ok(None) => return drop(inbox.send(Message::Over(vec![event]))),
                Err(error) => return again(&inbox, event, &error).await,
            };
            let Begun { run, version, event: webhook, memory, replies } = begun;
            tracing::Span::current().record("run", run.0).record("version", short(&version));
            let Some(replies) = replies else {
                let _ = inbox.send(Message::Waits { event, beginning, run });
                return;
            };
            let plugin = match plugin.filter(|plugin| plugin.digest() == version) {
                Some(plugin) => plugin,
                None => match registry.plugin(&version).await {
                    Ok(plugin) => plugin,
                    Err(error) => return without(&journal, &inbox, event, &error).await,
                },
            };
            let duty = compliance::duty(&webhook.webhook);
            if let Some(duty) = duty.filter(|duty| !compliance::is_asked(*duty, plugin.manifest())) {
                let end = End { outcome: Outcome::Done, reason: String::new(), memory: None, names: Names::default() };
                let (next, duty) = (Ok(Next::End(end)), Some(Box::new((duty, webhook))));
                let _ =
                    inbox.send(Message::Asked { event, beginning, run, plugin, next, asked: Asked::default(), duty });
                return;
            }
            let duty = duty.map(|duty| Box::new((duty, webhook.clone())));
            let metrics = journal.metrics().clone();
            let Ok(own_permit) = own_asks.acquire_owned().await else { return };
            let Ok(permit) = asks.acquire_owned().await else { return };
            let rules = plugin.clone();
            let began = Instant::now();
            let step = spawn_blocking(move || {
                let _permits = (own_permit, permit);
                let began = Instant::now();
                let mut step = rules.step(&webhook, &memory, &replies);
                metrics.asked(began.elapsed().as_secs_f64(), step.usage.fuel);
                let next = step.result.and_then(|next| checked(next, rules.manifest()));
                step.result = next.and_then(|next| check::not_for_ever(next, replies.len()));
                step
            });
            let (next, asked) = match step.await {
                Ok(step) => {
                    tracing::debug!(took_ms = millis(began), fuel = step.usage.fuel, "asked");
                    let names = step.result.as_ref().map(|next| next.names().clone()).unwrap_or_default();
                    (step.result, Asked { usage: step.usage, log: step.log, names })
                }
                Err(error) => (Err(Failure::new(Blame::Host, format!("the ask failed: {error}"))), Asked::default()),
            };
            // The worker is gone when the host stops; the run is in the journal.
            let _ = inbox.send(Message::Asked { event, beginning, run, plugin, next, asked, duty });
        };
        tokio::spawn(asking.instrument(span));
    }

    /// Claims the names that are new, and journals the calls if the event may still go on.
    async fn send(
        &mut self,
        event: EventId,
        run: RunId,
        plugin: &Plugin,
        calls: Vec<Call>,
        names: Names,
        asked: Asked,
    ) {
        if calls.iter().any(|call| call.effect != Effect::Read) {
            self.lanes.wrote(event);
        }
        let known = &mut self.running.entry(event).or_default().known;
        if *known != names {
            *known = names.clone();
            let Some(lane) = self.lanes.entity_of(event) else { return };
            match self.journal.claim(&self.tenant, lane, names).await {
                Ok(Ok(joined)) => self.join(joined.entity, &joined.from).await,
                Ok(Err(two)) => {
                    return self.fail_asked(event, run, Failure::new(Blame::Plugin, two), asked).await;
                }
                Err(error) => return again(&self.inbox, event, &error).await,
            }
            // The other event may be the one that goes on.
            if !self.lanes.is_running(event) {
                return;
            }
        }
        let written = |call: Call| {
            let api_version = plugin.api_version(&call.target).to_owned();
            (call, api_version)
        };
        let calls = calls.into_iter().map(written).collect();
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        tokio::spawn(async move {
            if let Err(error) = journal.send(run, event, &tenant, calls, asked).await {
                again(&inbox, event, &error).await;
            }
        });
    }

    fn end(
        &self,
        event: EventId,
        run: RunId,
        plugin: Plugin,
        mut end: End,
        asked: Asked,
        duty: Option<Box<(Duty, Event)>>,
    ) {
        let (Some(lane), beginning) = (self.lanes.entity_of(event), self.beginning_of(event)) else { return };
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        let (span, since) = (self.span(event), self.since(event));
        span.record("run", run.0).record("version", short(plugin.digest()));
        let ending = async move {
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
            let outcome = end.outcome.name();
            match journal.end(run, event, lane, &tenant, end, asked).await {
                Ok(Some(joined)) => {
                    journal.metrics().ended(&tenant, outcome);
                    let version = plugin.digest().to_owned();
                    // Not why: a reason may hold an e-mail address.
                    tracing::info!(took_ms = since.map(millis), "{outcome}");
                    let _ = inbox.send(Message::Ended { event, beginning, entity: joined.entity, from: joined.from });
                    let _ = inbox.send(Message::Judged { version, failed: false });
                }
                // Whoever dropped the run has the event begin again.
                Ok(None) => {}
                Err(error) => again(&inbox, event, &error).await,
            }
        };
        tokio::spawn(ending.instrument(span));
    }

    /// Fails an event by what came of an ask: what the rules logged or named may explain it.
    async fn fail_asked(&self, event: EventId, run: RunId, failure: Failure, asked: Asked) {
        if let Err(error) = self.journal.asked(run, asked).await {
            tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
        }
        self.fail(event, By::Run(run), failure);
    }

    fn fail(&self, event: EventId, by: By, failure: Failure) {
        self.close(event, by, Outcome::Failed, Some(failure.blame), failure.reason);
    }

    /// Ends an event without its rules.
    fn close(&self, event: EventId, by: By, outcome: Outcome, blame: Option<Blame>, reason: String) {
        let (lane, beginning) = (self.lanes.entity_of(event), self.beginning_of(event));
        let (journal, inbox, tenant) = (self.journal.clone(), self.inbox.clone(), self.tenant.clone());
        let stopping = self.stopping.clone();
        let (span, since) = (self.span(event), self.since(event));
        let closing = async move {
            let closed = loop {
                match journal.close(event, by.clone(), outcome, blame, reason.clone()).await {
                    Ok(closed) => break closed,
                    Err(_) if *stopping.borrow() => return,
                    Err(error) => {
                        tracing::error!(blame = "host", "{error:#}");
                        tokio::time::sleep(JOURNAL_PAUSE).await;
                    }
                }
            };
            let version = match closed {
                Closed::Over(version) => version,
                Closed::Again if lane.is_none() => return drop(inbox.send(Message::Keyless { event, again: true })),
                // Whoever dropped the run has the event begin again.
                Closed::Again => return,
            };
            journal.metrics().ended(&tenant, outcome.name());
            if outcome.is_dead_letter() {
                tracing::warn!(
                    version = version.as_deref().map(short),
                    blame = blame.map(Blame::name),
                    took_ms = since.map(millis),
                    "{}; `tandem events {event}` says why",
                    outcome.name()
                );
            }
            let _ = inbox.send(match lane {
                Some(entity) => Message::Ended { event, beginning, entity, from: vec![] },
                None => Message::Keyless { event, again: false },
            });
            if let Some(version) = version.filter(|_| outcome == Outcome::Failed) {
                let _ = inbox.send(Message::Judged { version, failed: blame == Some(Blame::Plugin) });
            }
        };
        tokio::spawn(closing.instrument(span));
    }

    /// What is logged about an event names it.
    fn span(&self, event: EventId) -> Span {
        let tenant = &self.tenant;
        tracing::info_span!("mapping", tenant, event = event.0, run = field::Empty, version = field::Empty)
    }

    fn since(&self, event: EventId) -> Option<Instant> {
        self.running.get(&event).and_then(|running| running.since)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Has an event begin again whose run is on a version that is not to be had any more.
async fn without(journal: &Journal, inbox: &UnboundedSender<Message>, event: EventId, error: &anyhow::Error) {
    if let Err(error) = journal.drop_run(event).await {
        tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
    }
    again(inbox, event, error).await;
}

async fn again(inbox: &UnboundedSender<Message>, event: EventId, error: &anyhow::Error) {
    tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
    tokio::time::sleep(JOURNAL_PAUSE).await;
    let _ = inbox.send(Message::Again(event));
}
