//! Carries out what a tenant's scheduler orders: each order in one transaction with its guards, in the order in which
//! orders are handed over. Answers are told in that order, too.
//!
//! Knows what an order expects (the lane, the pass, the memory), and writes nothing where the journal has another; does
//! not know what comes next.

use rusqlite::{OptionalExtension, Transaction, params};
use tokio::sync::mpsc::UnboundedSender;

use super::room::NO_ROOM_TO_BEGIN;
use super::writer::Writer;
use super::{
    Due, Journal, drop_open_runs, finish, from_json, is_over, key, names, opened, record_ask, redact, runs, usage,
};
use crate::clock;
use crate::engine::Usage;
use crate::model::{
    Blame, End, Entity, EntityId, Event, EventId, Failure, Millis, Names, Outcome, Reply, RunId, is_duty,
};
use crate::scheduler::{
    Beginning, Closer, Ending, Input, Joined, Opened, Order, Place, Sending, Ticket, Try, Verdict, Which,
};

/// An input for a tenant's scheduler, and what its driver needs with it.
#[derive(Debug)]
pub struct Fact {
    pub tenant: String,
    pub input: Input,
    pub with: With,
}

#[derive(Debug)]
pub enum With {
    Nothing,
    /// An event that the rules are to be asked about.
    Begun(Box<Begun>),
    /// Why a call was given up, or why names cannot be claimed.
    Failure(Failure),
    /// Events that are over now.
    Ended(Vec<Over>),
    /// Why an order failed.
    Why(String),
}

/// An event that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    pub event: EventId,
    pub outcome: Outcome,
    pub blame: Option<Blame>,
    pub version: Option<String>,
    /// Its personal data is gone from its rows, and is still to go from the log of writes.
    pub is_redacted: bool,
}

/// An event whose run goes on, with everything that an ask needs.
#[derive(Debug)]
pub struct Begun {
    pub run: RunId,
    /// The digest of the rules that the run began with and will end with.
    pub version: String,
    pub event: Event,
    pub memory: Vec<String>,
    pub replies: Vec<Vec<Reply>>,
}

/// What an ask used and logged, and the names it gave.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub usage: Usage,
    pub log: Vec<String>,
    pub names: Names,
}

/// What an event is about, or how it ended before it could run.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    Entity(Entity),
    Over(Outcome, Option<Blame>, String),
}

/// The event that an order is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    pub event: EventId,
    pub of: Try,
    /// The entity that the event is expected to belong to.
    pub lane: EntityId,
}

/// Takes the orders of one tenant. Orders that are handed over one after the other are carried out in that order.
#[derive(Clone)]
pub struct Orders {
    writer: Writer,
    facts: UnboundedSender<Fact>,
    calls: UnboundedSender<Due>,
    tenant: String,
    /// How long a write may take effect after its attempt began.
    quiet_ms: Millis,
}

/// The answer to an order: for the scheduler, and for the driver with it.
type Said = (Input, With);

impl Journal {
    pub fn orders(&self, tenant: &str, quiet_ms: u64) -> Orders {
        Orders {
            writer: self.writer.of(tenant),
            facts: self.feeds.facts.clone(),
            calls: self.feeds.calls.clone(),
            tenant: tenant.to_owned(),
            quiet_ms: Millis::try_from(quiet_ms).unwrap_or(Millis::MAX),
        }
    }
}

impl Orders {
    /// Hands over an order. Its answer is told at once, before it is on disk, because whatever follows from the answer
    /// is written later. An error means that the journal has stopped.
    async fn order(
        &self,
        what: Order,
        verb: impl FnOnce(&Transaction) -> rusqlite::Result<Said> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.order_and(what, |tx| Ok((verb(tx)?, ())), |()| ()).await
    }

    /// The same as [`Self::order`], and runs `then` when the result is on disk.
    async fn order_and<T: Send + 'static>(
        &self,
        what: Order,
        verb: impl FnOnce(&Transaction) -> rusqlite::Result<(Said, T)> + Send + 'static,
        then: impl FnOnce(T) + Send + 'static,
    ) -> anyhow::Result<()> {
        let (facts, tenant) = (self.facts.clone(), self.tenant.clone());
        // Sending fails only while the host stops, when the receiver is gone.
        let tell = move |said: Result<(Said, T), String>| match said {
            Ok(((input, with), rest)) => {
                let _ = facts.send(Fact { tenant, input, with });
                Some(rest)
            }
            Err(why) => {
                let _ = facts.send(Fact { tenant, input: Input::Failed { what }, with: With::Why(why) });
                None
            }
        };
        // If the commit fails after the answer was told, the writer breaks the journal, so nothing is left to do here.
        let then = move |done: Result<T, &str>| {
            if let Ok(done) = done {
                then(done);
            }
        };
        self.writer.order(verb, tell, then, true).await
    }

    /// Reads the events after a place that are not over, in order. The answer is told when all of them are on disk.
    pub async fn read(
        &self,
        ticket: Ticket,
        which: Which,
        (after, upto): (Place, Place),
        most: usize,
    ) -> anyhow::Result<()> {
        let (tenant, since) = (self.tenant.clone(), clock::now().saturating_sub(self.quiet_ms));
        let (facts, told, failed) = (self.facts.clone(), self.tenant.clone(), self.tenant.clone());
        let (late, soon) = (facts.clone(), facts);
        let read = move |tx: &Transaction| unfinished(tx, &tenant, which, (after, upto), most, since);
        let tell = move |read: Result<Vec<Opened>, String>| match read {
            Ok(opened) => Some(opened),
            Err(why) => {
                let input = Input::Failed { what: Order::Ticket(ticket) };
                let _ = soon.send(Fact { tenant: failed, input, with: With::Why(why) });
                None
            }
        };
        let then = move |read: Result<Vec<Opened>, &str>| {
            let (input, with) = match read {
                Ok(opened) => {
                    let upto = opened.last().map_or(after, |last| last.place);
                    let is_all = opened.len() < most;
                    (Input::Read { ticket, opened, upto, is_all }, With::Nothing)
                }
                Err(why) => (Input::Failed { what: Order::Ticket(ticket) }, With::Why(why.to_owned())),
            };
            let _ = late.send(Fact { tenant: told, input, with });
        };
        self.writer.order(read, tell, then, false).await
    }

    /// Records what events are about, in this order, and finds the lane of each that is not over.
    pub async fn declare(&self, ticket: Ticket, version: String, events: Vec<(EventId, Known)>) -> anyhow::Result<()> {
        let (tenant, quiet_ms) = (self.tenant.clone(), self.quiet_ms);
        let declare = move |tx: &Transaction| {
            let since = clock::now().saturating_sub(quiet_ms);
            let (mut keyed, mut over, mut again, mut ended) = (vec![], vec![], vec![], vec![]);
            for (event, known) in events {
                let (outcome, blame, reason) = match known {
                    Known::Entity(entity) => {
                        keyed.extend(key(tx, &tenant, event, &entity)?);
                        continue;
                    }
                    Known::Over(outcome, blame, reason) => (outcome, blame, reason),
                };
                if is_over(tx, event)? {
                    continue;
                }
                if let Some(entity) = under_way(tx, event, since)? {
                    keyed.extend(key(tx, &tenant, event, &entity)?);
                    continue;
                }
                // The answer of a version that is no longer active does not count.
                let Some(verdict) = verdict(tx, &tenant, &version, is_failed(outcome, blame))? else {
                    again.push(event);
                    continue;
                };
                drop_open_runs(tx, event)?;
                let is_redacted = finish(tx, event, outcome, blame, &reason, Some(&version))?.is_some();
                over.push((event, (outcome == Outcome::Failed).then_some(verdict)));
                ended.push(Over { event, outcome, blame, version: Some(version.clone()), is_redacted });
            }
            Ok((Input::Declared { ticket, keyed, over, again }, With::Ended(ended)))
        };
        self.order(Order::Ticket(ticket), declare).await
    }

    /// Opens a run of an event on the active version, or goes on with its open run if the memory has not changed since
    /// that run began.
    pub async fn begin(&self, at: At) -> anyhow::Result<()> {
        self.begin_within(at, u64::MAX).await
    }

    /// The same, but opens no first run of an event if the tenant has more bytes than this in the journal.
    pub async fn begin_within(&self, at: At, bytes_max: u64) -> anyhow::Result<()> {
        let At { event, of, lane } = at;
        let (tenant, quiet_ms) = (self.tenant.clone(), self.quiet_ms);
        let begin = move |tx: &Transaction| {
            let since = clock::now().saturating_sub(quiet_ms);
            let (is, with) = begin(tx, (&tenant, bytes_max), event, lane, since)?;
            Ok((Input::Began { event, of, is }, with))
        };
        self.order(Order::Event(event, of), begin).await
    }

    /// Claims new names, if there are any, and adds the next pass of calls to a run, both or neither. Each call comes
    /// with the API version that it is written for. Delivery gets the calls when they are on disk.
    pub async fn send(
        &self,
        at: At,
        (run, pass): (RunId, u32),
        calls: Vec<runs::Written>,
        names: Option<Names>,
        asked: Asked,
    ) -> anyhow::Result<()> {
        let At { event, of, .. } = at;
        let (tenant, due) = (self.tenant.clone(), self.calls.clone());
        let send = move |tx: &Transaction| {
            let (is, with, due) = send(tx, &tenant, at, (run, pass), &calls, names.as_ref(), &asked)?;
            Ok(((Input::Sent { event, of, is }, with), due))
        };
        let then = move |all: Vec<Due>| all.into_iter().for_each(|one| drop(due.send(one)));
        self.order_and(Order::Event(event, of), send, then).await
    }

    /// Ends an event as its rules have decided.
    pub async fn end(&self, at: At, (run, pass): (RunId, u32), end: End, asked: Asked) -> anyhow::Result<()> {
        let At { event, of, .. } = at;
        let tenant = self.tenant.clone();
        let end = move |tx: &Transaction| {
            let (is, over) = end_run(tx, &tenant, at, (run, pass), end, &asked)?;
            Ok((Input::Ended { event, of, is }, With::Ended(over.into_iter().collect())))
        };
        self.order(Order::Event(event, of), end).await
    }

    /// Ends an event as failed, without an answer of its rules.
    pub async fn close(
        &self,
        (event, of): (EventId, Try),
        by: Closer,
        failure: Failure,
        asked: Option<Asked>,
    ) -> anyhow::Result<()> {
        let tenant = self.tenant.clone();
        let close = move |tx: &Transaction| {
            let (is, over) = close(tx, &tenant, event, by, &failure, asked.as_ref())?;
            Ok((Input::Ended { event, of, is }, With::Ended(over.into_iter().collect())))
        };
        self.order(Order::Event(event, of), close).await
    }

    /// Drops the open run of an event; the next run begins without replies. Tells whether a write may still take
    /// effect.
    pub async fn drop_run(&self, ticket: Ticket, event: EventId) -> anyhow::Result<()> {
        let quiet_ms = self.quiet_ms;
        let drop = move |tx: &Transaction| {
            drop_open_runs(tx, event)?;
            let in_flight = runs::is_in_flight(tx, event, clock::now().saturating_sub(quiet_ms))?;
            Ok((Input::Dropped { ticket, in_flight }, With::Nothing))
        };
        self.order(Order::Ticket(ticket), drop).await
    }
}

fn unfinished(
    tx: &Transaction,
    tenant: &str,
    which: Which,
    (after, upto): (Place, Place),
    most: usize,
    since: Millis,
) -> rusqlite::Result<Vec<Opened>> {
    /// Starts from the events that are under way, of whatever tenant, since these are few.
    const UNDER_WAY: &str = "(
             SELECT runs.event FROM runs
             WHERE runs.state = 'open' AND EXISTS (SELECT 1 FROM calls WHERE calls.run = runs.id)
             UNION
             SELECT runs.event FROM attempts INDEXED BY unsettled
             JOIN calls ON calls.id = attempts.call JOIN runs ON runs.id = calls.run
             WHERE (attempts.ended_at IS NULL OR attempts.is_unsettled) AND attempts.began_at > ?6
               AND runs.state = 'dropped'
         ) AS under_way CROSS JOIN events ON events.id = under_way.event WHERE";
    let source = if let Which::From(source) = which { Some(source.name()) } else { None };
    let from = match which {
        Which::All | Which::From(_) => "events INDEXED BY waiting WHERE",
        Which::Asked => UNDER_WAY,
    };
    let sql = format!(
        "SELECT events.id FROM {from} tenant = ?1 AND outcome IS NULL AND place > ?2 AND place <= ?3
             AND (?5 IS NULL OR ?5 = source) AND ?6 IS NOT NULL
         ORDER BY place LIMIT ?4"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![tenant, after.0, upto.0, most, source, since], |row| row.get(0).map(EventId))?;
    rows.map(|event| opened(tx, event?, since)).collect()
}

/// The entity of an event that is under way: an earlier version named it, and what was written belongs to its lane.
fn under_way(tx: &Transaction, event: EventId, since: Millis) -> rusqlite::Result<Option<Entity>> {
    let said = "SELECT entity FROM events WHERE id = ? AND entity IS NOT NULL";
    let said: Option<String> = tx.prepare_cached(said)?.query_row([event.0], |row| row.get(0)).optional()?;
    // Most events have no entity yet, because their key is asked for the first time.
    let Some(said) = said else { return Ok(None) };
    let Opened { has_asked, in_flight, .. } = opened(tx, event, since)?;
    if has_asked || in_flight { from_json(&said).map(Some) } else { Ok(None) }
}

/// The entity that an event belongs to now; the expected one if none of its names is known.
fn lane_of(tx: &Transaction, event: EventId, expected: EntityId) -> rusqlite::Result<EntityId> {
    let first = "SELECT (SELECT names.entity FROM names WHERE names.tenant = events.tenant
                     AND name = json_extract(events.entity, '$.names[0]')) FROM events WHERE id = ?";
    let found: Option<i64> = tx.prepare_cached(first)?.query_row([event.0], |row| row.get(0)).optional()?.flatten();
    if let Some(found) = found {
        return Ok(EntityId(found));
    }
    // The first name may be an e-mail address that was redacted.
    let any = "SELECT names.entity FROM events, json_each(events.entity, '$.names') AS one
               JOIN names ON names.tenant = events.tenant AND names.name = one.value
               WHERE events.id = ? LIMIT 1";
    let found = tx.prepare_cached(any)?.query_row([event.0], |row| row.get(0)).optional()?;
    Ok(found.map_or(expected, EntityId))
}

fn begin(
    tx: &Transaction,
    (tenant, bytes_max): (&str, u64),
    event: EventId,
    lane: EntityId,
    since: Millis,
) -> rusqlite::Result<(Beginning, With)> {
    let Some(row) = super::reader::unfinished_event(tx, event)? else { return Ok((Beginning::Over, With::Nothing)) };
    let now = lane_of(tx, event, lane)?;
    if now != lane {
        return Ok((Beginning::Moved(now), With::Nothing));
    }
    let (revisions, memory) = runs::remembered(tx, lane)?;
    if let Some((run, version)) = runs::open(tx, event, &revisions)? {
        if let Some(failure) = runs::given_up(tx, run)? {
            return Ok((Beginning::GivenUp { run }, With::Failure(failure)));
        }
        let Some(replies) = runs::replies(tx, run)? else { return Ok((Beginning::Waits { run }, With::Nothing)) };
        let is = Beginning::Ask { run, passes: u32::try_from(replies.len()).unwrap_or(u32::MAX) };
        return Ok((is, With::Begun(Box::new(Begun { run, version, event: row, memory, replies }))));
    }
    if drop_open_runs(tx, event)? > 0 && runs::is_in_flight(tx, event, since)? {
        return Ok((Beginning::InFlight, With::Nothing));
    }
    // An event that has begun before may have written, so it goes on.
    if usage::bytes(tx, tenant)? > bytes_max
        && !is_duty(&row.webhook.source, &row.webhook.topic)
        && !runs::has_any(tx, event)?
    {
        let (outcome, blame) = (Outcome::Failed, Some(Blame::Host));
        let is_redacted = finish(tx, event, outcome, blame, NO_ROOM_TO_BEGIN, None)?.is_some();
        let over = Over { event, outcome, blame, version: None, is_redacted };
        return Ok((Beginning::Over, With::Ended(vec![over])));
    }
    let Some((run, version)) = runs::new(tx, tenant, event, &revisions)? else {
        return Ok((Beginning::NoVersion, With::Nothing));
    };
    let is = Beginning::Ask { run, passes: 0 };
    Ok((is, With::Begun(Box::new(Begun { run, version, event: row, memory, replies: vec![] }))))
}

/// Whether a run is as its scheduler expects.
enum Guard {
    /// The run is on this version, and began with these revisions of the memory.
    Holds {
        version: String,
        memory: String,
    },
    Moved(EntityId),
    NotOpen,
}

fn guard(tx: &Transaction, at: At, (run, pass): (RunId, u32)) -> rusqlite::Result<Guard> {
    let open = "SELECT version, memory, (SELECT coalesce(max(pass) + 1, 0) FROM calls WHERE calls.run = runs.id)
         FROM runs WHERE id = ? AND event = ? AND state = 'open'";
    let row = tx.prepare_cached(open)?.query_row([run.0, at.event.0], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
    });
    let Some((version, memory, _)) = row.optional()?.filter(|(_, _, passes)| *passes == pass) else {
        return Ok(Guard::NotOpen);
    };
    let now = lane_of(tx, at.event, at.lane)?;
    Ok(if now == at.lane { Guard::Holds { version, memory } } else { Guard::Moved(now) })
}

fn send(
    tx: &Transaction,
    tenant: &str,
    at: At,
    (run, pass): (RunId, u32),
    calls: &[runs::Written],
    names: Option<&Names>,
    asked: &Asked,
) -> rusqlite::Result<(Sending, With, Vec<Due>)> {
    let nothing = |is| Ok((is, With::Nothing, vec![]));
    let memory = match guard(tx, at, (run, pass))? {
        Guard::NotOpen => return nothing(Sending::NotOpen),
        Guard::Moved(to) => return nothing(Sending::Moved(to)),
        Guard::Holds { memory, .. } => memory,
    };
    if let Some(names) = names {
        match names::learn(tx, tenant, at.lane, names)? {
            Err(two) => return Ok((Sending::Two, With::Failure(Failure::new(TWO_OF_A_KIND, two)), vec![])),
            Ok(joined) if !joined.from.is_empty() => return nothing(Sending::Joins(joined)),
            Ok(_) => {}
        }
    }
    if runs::revisions(tx, at.lane)? != memory {
        return nothing(Sending::Stale);
    }
    record_ask(tx, run, asked)?;
    let due = runs::send(tx, (run, pass), at.event, tenant, calls)?;
    let is = if due.is_empty() { Sending::Answered } else { Sending::Waits };
    Ok((is, With::Nothing, due))
}

fn end_run(
    tx: &Transaction,
    tenant: &str,
    at: At,
    (run, pass): (RunId, u32),
    end: End,
    asked: &Asked,
) -> rusqlite::Result<(Ending, Option<Over>)> {
    let event = at.event;
    let (version, memory) = match guard(tx, at, (run, pass))? {
        Guard::NotOpen => return Ok((not_open(tx, event)?, None)),
        Guard::Moved(to) => return Ok((Ending::Moved(to), None)),
        Guard::Holds { version, memory } => (version, memory),
    };
    if runs::revisions(tx, at.lane)? != memory {
        return Ok((Ending::Stale, None));
    }
    record_ask(tx, run, asked)?;
    let learned = names::learn(tx, tenant, at.lane, &end.names)?;
    let joined = learned.clone().unwrap_or(Joined { entity: at.lane, from: vec![] });
    let remembered = match &end.memory {
        Some(memory) => Some(super::remember(tx, joined.entity, event, memory)?),
        None => None,
    };
    let (outcome, blame, reason) = match learned {
        Ok(_) => (end.outcome, super::blame_of(end.outcome), end.reason),
        Err(two) => (Outcome::Failed, Some(TWO_OF_A_KIND), format!("{two}; the event had said: {}", end.reason)),
    };
    tx.prepare_cached("UPDATE runs SET state = 'ended', remembered = ? WHERE id = ?")?
        .execute(params![remembered, run.0])?;
    let redacted_by = finish(tx, event, outcome, blame, &reason, Some(&version))?;
    // Not before its end: until now the rules may have been asked with this memory.
    if redacted_by == Some(event) {
        redact::forget(tx, joined.entity, event)?;
    }
    let verdict = verdict(tx, tenant, &version, false)?;
    let over = Over { event, outcome, blame, version: Some(version), is_redacted: redacted_by.is_some() };
    Ok((Ending::Over { joined: Some(joined), verdict }, Some(over)))
}

fn close(
    tx: &Transaction,
    tenant: &str,
    event: EventId,
    by: Closer,
    failure: &Failure,
    asked: Option<&Asked>,
) -> rusqlite::Result<(Ending, Option<Over>)> {
    if is_over(tx, event)? {
        return Ok((not_open(tx, event)?, None));
    }
    let version: Option<String> = match by {
        Closer::Host => {
            let last = "SELECT version FROM runs WHERE event = ? ORDER BY id DESC LIMIT 1";
            tx.prepare_cached(last)?.query_row([event.0], |row| row.get(0)).optional()?
        }
        Closer::Run(run) => {
            let open = "SELECT version FROM runs WHERE id = ? AND state = 'open'";
            let version = tx.prepare_cached(open)?.query_row([run.0], |row| row.get(0)).optional()?;
            if version.is_none() {
                return Ok((Ending::NotOpen, None));
            }
            if let Some(asked) = asked {
                record_ask(tx, run, asked)?;
            }
            version
        }
    };
    drop_open_runs(tx, event)?;
    let (outcome, blame) = (Outcome::Failed, Some(failure.blame));
    let redacted_by = finish(tx, event, outcome, blame, &failure.reason, version.as_deref())?;
    let verdict = match &version {
        Some(version) => verdict(tx, tenant, version, is_failed(outcome, blame))?,
        None => None,
    };
    let over = Over { event, outcome, blame, version, is_redacted: redacted_by.is_some() };
    Ok((Ending::Over { joined: None, verdict }, Some(over)))
}

fn not_open(tx: &Transaction, event: EventId) -> rusqlite::Result<Ending> {
    let over = Ending::Over { joined: None, verdict: None };
    Ok(if is_over(tx, event)? { over } else { Ending::NotOpen })
}

/// To blame where names that were known before and those that a run has found do not go together. Both come from data, so
/// whoever writes the data must not be able to make a version look bad.
const TWO_OF_A_KIND: Blame = Blame::Payload;

/// Whether a version has failed an event by its own fault.
fn is_failed(outcome: Outcome, blame: Option<Blame>) -> bool {
    outcome == Outcome::Failed && blame == Some(Blame::Plugin)
}

/// How the active version has fared; `None` if another version is active.
fn verdict(tx: &Transaction, tenant: &str, version: &str, has_failed: bool) -> rusqlite::Result<Option<Verdict>> {
    let active = "SELECT id, failures_max FROM activations WHERE tenant = ? AND current AND digest = ?";
    let row = tx.prepare_cached(active)?.query_row([tenant, version], |row| {
        let failed = has_failed.then(|| version.to_owned());
        Ok(Verdict { activation: row.get(0)?, failures_max: row.get(1)?, failed })
    });
    row.optional()
}
