//! Mapping: has the rules asked about each event until the event is over, as its tenant's scheduler says.
//!
//! Drives the schedulers: hands their orders to the journal and their asks to the rules, and tells them the results of
//! both. Decides nothing, and sends nothing. Each tenant has a task of its own, so that no tenant waits for another's
//! lanes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{Span, field};

use crate::compliance::Duty;
use crate::credentials::Credentials;
use crate::engine::{self, Wanted};
use crate::journal::{Asked, At, Begun, Deed, Fact, Journal, Known, Mode, Orders, Over, With};
use crate::model::{Blame, Effect as CallEffect, Event, EventId, Failure, Names, Next, RunId};
use crate::registry::{Refused, Registry};
use crate::rules::{Plugin, short};
use crate::scheduler::{Answer, Closer, Effect, Input, Limits, Order, Scheduler, Sending, System, Ticket, Try};
use crate::tenants::Tenants;
use crate::turns::Turns;

mod ask;
mod duties;
mod keys;
mod swap;

pub use duties::Farewell;
use swap::Request;
pub use swap::{Control, Drained, Requests, requests};

/// How long an order that could not be carried out waits for another try.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
/// Asks of all tenants at a time, for a key or for what to do next. Each takes an instance of the pool and a core.
const ASKS_MAX: usize = engine::INSTANCES_MAX as usize / 2;

/// The channels of mapping: facts and requests come in, farewells go out.
pub struct Feeds {
    pub facts: UnboundedReceiver<Fact>,
    pub requests: Requests,
    /// To the part of the host that keeps tenants.
    pub farewells: UnboundedSender<Farewell>,
}

/// What all workers share.
#[derive(Clone)]
struct Shared {
    journal: Journal,
    registry: Registry,
    tenants: Tenants,
    credentials: Credentials,
    farewells: UnboundedSender<Farewell>,
    /// The turns in which rules are asked, shared by all tenants.
    turns: Turns,
    /// How long a write may take effect after its attempt began.
    quiet_ms: u64,
}

/// Runs every tenant's scheduler until told to stop. A tenant has a worker from its first message on.
pub async fn run(
    journal: Journal,
    registry: Registry,
    tenants: Tenants,
    credentials: Credentials,
    feeds: Feeds,
    quiet_ms: u64,
    mut stopping: watch::Receiver<bool>,
) {
    let Feeds { mut facts, mut requests, farewells } = feeds;
    let turns = Turns::new(ASKS_MAX.min(2 * cores()));
    let shared = Shared { journal, registry, tenants: tenants.clone(), credentials, farewells, turns, quiet_ms };
    let mut workers: HashMap<String, UnboundedSender<Message>> = HashMap::new();
    let mut tasks = JoinSet::new();
    // Events from before this start send no message, so their tenants are begun here.
    let mut first = match shared.journal.read(|reader| reader.waiting_tenants()) {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::error!(stage = "mapping", blame = "host", "{error:#}");
            vec![]
        }
    };
    loop {
        let (tenant, message) = match first.pop() {
            Some(tenant) => (tenant, Message::Begin),
            None => tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(Fact { tenant, input, with }) = facts.recv() => (tenant, Message::Told(input, with)),
                Some((tenant, request)) = requests.recv() => (tenant, Message::Requested(request)),
                Some(_) = tasks.join_next() => continue,
                else => break,
            },
        };
        if let Message::Requested(Request::Leave(left)) = message {
            if let Some(inbox) = workers.remove(&tenant) {
                let _ = inbox.send(Message::Leave);
            }
            // Sending fails if the asker has stopped waiting.
            let _ = left.send(());
            continue;
        }
        if tenants.get(&tenant).is_none() {
            tracing::warn!(stage = "mapping", tenant, "what there is of this tenant waits: it is not configured");
            continue;
        }
        let inbox = workers.entry(tenant.clone()).or_insert_with(|| {
            let (inbox, messages) = unbounded_channel();
            let worker = Worker::new(tenant, shared.clone(), inbox.clone());
            tasks.spawn(worker.run(messages, stopping.clone()));
            inbox
        });
        // Sending fails if the worker was told to stop, and has ended.
        let _ = inbox.send(message);
    }
    workers.clear();
    while tasks.join_next().await.is_some() {}
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

enum Message {
    /// The tenant has events from before this start.
    Begin,
    Told(Input, With),
    /// Keys were found, with the version that found them; `None` if no version is active.
    Named {
        ticket: Ticket,
        keys: Option<(String, Vec<(EventId, Known)>)>,
    },
    Answered(Box<Answered>),
    Requested(Request),
    /// The tenant is gone.
    Leave,
}

/// The result of an ask.
struct Answered {
    event: EventId,
    of: Try,
    plugin: Plugin,
    next: Result<Next, Failure>,
    asked: Asked,
    /// What the host has to do itself when the rules are done.
    duty: Option<(Duty, Event)>,
}

/// The driver of one tenant's scheduler.
struct Worker {
    tenant: String,
    shared: Shared,
    orders: Orders,
    scheduler: Scheduler,
    /// What the scheduler does not need to know of the events that it has begun.
    known: HashMap<EventId, Held>,
    /// The keys of events that are to be declared.
    keys: HashMap<Ticket, (String, Vec<(EventId, Known)>)>,
    /// Where to tell that a drain is complete.
    drains: HashMap<u64, oneshot::Sender<()>>,
    /// Keeps the asks for keys wanted: to drop it is to give them up.
    naming: Option<Wanted>,
    inbox: UnboundedSender<Message>,
}

/// What is known of an event since it began.
#[derive(Default)]
struct Held {
    since: Option<Instant>,
    run: Option<RunId>,
    begun: Option<Box<Begun>>,
    /// The version that its run is on, kept as long as the run.
    plugin: Option<Plugin>,
    answer: Option<Box<Answered>>,
    failure: Option<Failure>,
    /// Names claimed or retired already.
    claimed: Names,
    /// Keeps the ask under way wanted: to drop it is to give the ask up.
    wanted: Option<Wanted>,
}

impl Worker {
    fn new(tenant: String, shared: Shared, inbox: UnboundedSender<Message>) -> Self {
        Self {
            orders: shared.journal.orders(&tenant, shared.quiet_ms),
            tenant,
            shared,
            scheduler: Scheduler::new(Limits::default()),
            known: HashMap::new(),
            keys: HashMap::new(),
            drains: HashMap::new(),
            naming: None,
            inbox,
        }
    }

    async fn run(mut self, mut messages: UnboundedReceiver<Message>, mut stopping: watch::Receiver<bool>) {
        for direction in self.shared.journal.directions(&self.tenant) {
            let (source, is_held) = (System::named(&direction.source), direction.mode == Mode::Hold);
            if !self.step(Input::Directed { source, is_held }).await {
                return;
            }
        }
        loop {
            let message = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                message = messages.recv() => message,
            };
            let input = match message {
                None | Some(Message::Leave) => return,
                Some(message) => self.take(message),
            };
            if let Some(input) = input
                && !self.step(input).await
            {
                return;
            }
        }
    }

    /// Keeps what comes with a message, and gives the input that it is for the scheduler.
    fn take(&mut self, message: Message) -> Option<Input> {
        match message {
            // Any input makes the scheduler read the events that wait.
            Message::Begin => Some(Input::Activated),
            Message::Told(input, with) => {
                self.keep(&input, with);
                Some(input)
            }
            Message::Named { ticket, keys } => {
                let has_version = keys.is_some();
                self.keys.extend(keys.map(|keys| (ticket, keys)));
                Some(Input::Named { ticket, has_version })
            }
            Message::Answered(answered) => {
                let (event, of) = (answered.event, answered.of);
                let next = match &answered.next {
                    Ok(Next::Send { calls, .. }) => {
                        Answer::Send { writes: calls.iter().any(|call| call.effect != CallEffect::Read) }
                    }
                    Ok(Next::End(_)) => Answer::End,
                    Err(_) => Answer::Fail,
                };
                let held = self.known.entry(event).or_default();
                // The answer to an earlier try may come after the answer to a later one.
                if held.answer.as_ref().is_none_or(|other| other.of <= of) {
                    held.plugin = Some(answered.plugin.clone());
                    held.answer = Some(answered);
                }
                Some(Input::Asked { event, of, next })
            }
            Message::Requested(request) => self.requested(request),
            Message::Leave => None,
        }
    }

    fn keep(&mut self, input: &Input, with: With) {
        match (input, with) {
            (Input::Began { event, .. }, With::Begun(begun)) => {
                let held = self.known.entry(*event).or_default();
                held.since.get_or_insert_with(Instant::now);
                if held.run.replace(begun.run) != Some(begun.run) {
                    held.claimed = Names::default();
                }
                held.begun = Some(begun);
            }
            (Input::Began { event, .. } | Input::Sent { event, .. }, With::Failure(failure)) => {
                self.known.entry(*event).or_default().failure = Some(failure);
            }
            (Input::Sent { event, is: Sending::Waits | Sending::Answered, .. }, _) => {
                let answer = self.known.get_mut(event).and_then(|held| Some((held.answer.take()?, held)));
                if let Some((answer, held)) = answer
                    && let Ok(Next::Send { names, .. }) = answer.next
                {
                    held.claimed = names;
                }
            }
            (_, With::Ended(all)) => all.into_iter().for_each(|over| self.over(over)),
            (Input::Over { events }, _) => events.iter().for_each(|event| drop(self.known.remove(event))),
            (_, With::Why(why)) => {
                tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{why}");
            }
            _ => {}
        }
    }

    /// Counts and logs that an event is over. The reason is not logged, since it may hold an e-mail address.
    fn over(&mut self, over: Over) {
        let Over { event, outcome, blame, version, is_redacted } = over;
        let held = self.known.remove(&event).unwrap_or_default();
        let took_ms = held.since.map(millis);
        let (version, span) = (version.as_deref().map(short), self.span(event));
        self.shared.journal.metrics().ended(&self.tenant, outcome.name());
        if outcome.is_dead_letter() {
            let blame = blame.map(Blame::name);
            tracing::warn!(parent: &span, version, blame, took_ms, "{}; `tandem events {event}` says why", outcome.name());
        } else {
            span.record("run", held.run.map(|run| run.0)).record("version", version);
            tracing::info!(parent: &span, took_ms, "{}", outcome.name());
        }
        if is_redacted {
            let journal = self.shared.journal.clone();
            tokio::spawn(async move {
                if let Err(error) = journal.empty_log().await {
                    tracing::error!(stage = "mapping", event = event.0, blame = "host", "{error:#}");
                }
            });
        }
    }

    /// Lets the scheduler take a step, and carries out what it says. `false`: the journal has stopped.
    async fn step(&mut self, input: Input) -> bool {
        for effect in self.scheduler.step(input) {
            if let Err(error) = self.carry_out(effect).await {
                tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
                return false;
            }
        }
        true
    }

    async fn carry_out(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Read { ticket, which, after, upto, most } => {
                self.orders.read(ticket, which, (after, upto), most).await
            }
            Effect::Declare { ticket, events } => {
                let (version, mut keys) = self.keys.remove(&ticket).unwrap_or_default();
                keys.retain(|(event, _)| events.contains(event));
                let place = |event: &EventId| events.iter().position(|other| other == event);
                keys.sort_by_key(|(event, _)| place(event));
                self.orders.declare(ticket, version, keys).await
            }
            Effect::Begin { event, of, lane } => {
                let tenant = self.shared.tenants.get(&self.tenant);
                let bytes_max = tenant.map_or(u64::MAX, |tenant| tenant.limits.journal_bytes_max);
                self.orders.begin_within(At { event, of, lane }, bytes_max).await
            }
            Effect::Send { event, of, lane, run, pass } => {
                let found = self.answer(event, of);
                let Some((held, answer, Ok(Next::Send { calls, names }))) = found else {
                    self.begin_again(event);
                    return Ok(());
                };
                let written = |call: &crate::model::Call| {
                    (call.clone(), answer.plugin.manifest().api_version(&call.target).to_owned())
                };
                let calls = calls.iter().map(written).collect();
                let names = (*names != held.claimed).then(|| names.clone());
                let asked = answer.asked.clone();
                self.orders.send(At { event, of, lane }, (run, pass), calls, names, asked).await
            }
            Effect::End { event, of, lane, run, pass } => self.end(At { event, of, lane }, (run, pass)).await,
            Effect::Close { event, of, by } => self.close(event, of, by).await,
            Effect::Drop { ticket, event } => self.orders.drop_run(ticket, event).await,
            other => {
                self.see_to(other);
                Ok(())
            }
        }
    }

    /// Carries out the effects that are no orders to the journal.
    fn see_to(&mut self, effect: Effect) {
        match effect {
            Effect::Name { ticket, events } => self.name(ticket, events),
            Effect::Ask { event, of, .. } => self.ask(event, of),
            Effect::RollBack { version, failures } => self.roll_back(version, failures),
            Effect::Drained { wish } => {
                if let Some(ready) = self.drains.remove(&wish) {
                    // Sending fails if the wait was too long and the drain has been given up.
                    let _ = ready.send(());
                }
            }
            Effect::Wake { what } => self.later(JOURNAL_PAUSE, Input::Woke { what }),
            Effect::WaitQuiet { ticket, .. } => {
                self.later(Duration::from_millis(self.shared.quiet_ms), Input::Quieted { ticket });
            }
            Effect::Restarted { event, why } => {
                if let Some(held) = self.known.get_mut(&event) {
                    held.wanted = None;
                }
                tracing::info!(stage = "mapping", tenant = self.tenant, event = event.0, "begins again: {why}");
            }
            Effect::Full { events } => {
                let tenant = &self.tenant;
                tracing::warn!(
                    stage = "mapping",
                    tenant,
                    "{events} events wait for others of theirs; no more are read"
                );
            }
            // All other effects are orders.
            _ => {}
        }
    }

    fn later(&self, after: Duration, input: Input) {
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // Sending fails only while the host stops, when the worker is gone.
            let _ = inbox.send(Message::Told(input, With::Nothing));
        });
    }

    fn answer(&self, event: EventId, of: Try) -> Option<(&Held, &Answered, &Result<Next, Failure>)> {
        let held = self.known.get(&event)?;
        let answer = held.answer.as_deref().filter(|answer| answer.of == of)?;
        Some((held, answer, &answer.next))
    }

    /// Begins an event again whose answer is missing. That should never happen, but must not keep the event for ever.
    fn begin_again(&self, event: EventId) {
        tracing::error!(stage = "mapping", tenant = self.tenant, event = event.0, blame = "host", "an answer is lost");
        self.later(Duration::ZERO, Input::Lost { event });
    }

    /// Ends an event as its rules have decided, after the host has done its own duty about the event.
    async fn end(&mut self, at: At, run: (RunId, u32)) -> anyhow::Result<()> {
        let Some((_, answer, Ok(Next::End(end)))) = self.answer(at.event, at.of) else {
            self.begin_again(at.event);
            return Ok(());
        };
        let (end, asked) = (end.clone(), answer.asked.clone());
        let Some((duty, webhook)) = answer.duty.clone() else {
            return self.orders.end(at, run, end, asked).await;
        };
        let (orders, shared, plugin) = (self.orders.clone(), self.shared.clone(), answer.plugin.clone());
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let fulfilled = shared.fulfil(plugin.manifest(), duty, &webhook, end).await;
            let ended = match fulfilled {
                Ok(end) => orders.end(at, run, end, asked).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                let input = Input::Failed { what: Order::Event(at.event, at.of) };
                let _ = inbox.send(Message::Told(input, With::Why(format!("{error:#}"))));
            }
        });
        Ok(())
    }

    /// Ends an event as failed, without an answer of its rules.
    async fn close(&mut self, event: EventId, of: Try, by: Closer) -> anyhow::Result<()> {
        let held = self.known.get(&event);
        let answer = held.and_then(|held| held.answer.as_deref());
        let failed = answer.and_then(|answer| answer.next.as_ref().err());
        let failure = match by {
            Closer::Host => {
                let why = "begun again too often because other events turned out to be about the same entity";
                Failure::new(Blame::Host, why)
            }
            Closer::Run(_) => {
                let found = held.and_then(|held| held.failure.as_ref()).or(failed).cloned();
                found.unwrap_or_else(|| Failure::new(Blame::Host, "the host does not know why it failed"))
            }
        };
        let asked = answer.map(|answer| answer.asked.clone());
        self.orders.close((event, of), by, failure, asked).await
    }

    /// A span that names the event in everything that is logged about it.
    fn span(&self, event: EventId) -> Span {
        let tenant = &self.tenant;
        tracing::info_span!("mapping", tenant, event = event.0, run = field::Empty, version = field::Empty)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
