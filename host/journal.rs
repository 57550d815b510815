//! The journal: events, runs, calls, attempts and memory, in SQLite. All that the stages share.
//!
//! Knows SQL and which writes must be on disk before which; not what an event means or how a call is sent.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock;
use crate::engine::Usage;
use crate::metrics::Metrics;
use crate::model::{
    Blame, Call, CallId, Effect, End, Entity, EntityId, Event, EventId, Failure, Millis, Names, Outcome, Reply, RunId,
    Webhook,
};

mod accounts;
mod cases;
mod dead;
mod directions;
mod fixed;
mod gauges;
mod intake;
mod keep;
mod names;
mod operators;
mod paused;
mod reader;
mod recorded;
mod redact;
mod repair;
mod runs;
mod schema;
mod shadows;
mod versions;
mod writer;

pub use cases::Files;
pub use dead::{DeadLetters, Which};
pub use directions::{Directed, Direction, Directions, Mode, Passing};
pub use fixed::Change;
pub use intake::Terms;
pub use keep::{Old, Received};
pub use names::Joined;
pub use operators::{Deed, Token};
pub use paused::Paused;
pub use reader::{AttemptRow, CallRow, EventRow, Filter, Reader, RunRow};
pub use recorded::{Range, Recorded, Run, Span};
pub use redact::{Redacted, Texts};
pub use repair::{Chosen, IsOwn, REPLAYED_MAX, Unchosen, Wanted};
pub use runs::{By, Closed};
pub use shadows::Shadow;
pub use versions::{Activated, Activation, ActivationRow, Active, Cause, Configured, Moved, VersionRow};
use writer::Writer;

/// Milliseconds that a connection waits for another process' write.
const BUSY_MS: u64 = 5_000;

/// A handle on the journal; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    writer: Writer,
    readers: Arc<Readers>,
    feeds: Arc<Senders>,
    directions: Arc<Directions>,
    metrics: Metrics,
}

/// What the stages are told as it happens. After a restart each begins with what is not over.
pub struct Feeds {
    pub events: UnboundedReceiver<Arrived>,
    pub calls: UnboundedReceiver<Due>,
    pub replies: UnboundedReceiver<Answered>,
    pub pauses: UnboundedReceiver<Paused>,
    pub directions: UnboundedReceiver<Directed>,
}

struct Senders {
    events: UnboundedSender<Arrived>,
    calls: UnboundedSender<Due>,
    replies: UnboundedSender<Answered>,
    pauses: UnboundedSender<Paused>,
    directions: UnboundedSender<Directed>,
}

/// An event to be handled.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    pub event: EventId,
    pub tenant: String,
}

/// A call to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub id: CallId,
    pub run: RunId,
    pub event: EventId,
    pub tenant: String,
    pub call: Call,
    /// What its target's requests are written for.
    pub api_version: String,
    /// Attempts made before.
    pub attempts: u32,
    /// When the last attempt began, if nobody knows how it ended.
    pub unknown_since: Option<Millis>,
}

/// A run whose last calls have all been answered, or one of them given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub event: EventId,
    pub run: RunId,
    pub tenant: String,
    pub given_up: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Appended {
    Accepted(EventId),
    /// It had arrived before, as this event.
    Duplicate(EventId),
}

/// An event and the lane it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyed {
    pub event: EventId,
    pub lane: Joined,
    /// Entities that it comes after.
    pub after: Vec<EntityId>,
}

/// An event with a run to go on with.
#[derive(Debug)]
pub struct Begun {
    pub run: RunId,
    /// The digest of the rules that it began with, and that it is to end with.
    pub version: String,
    pub event: Event,
    pub memory: Vec<String>,
    /// `None` while calls of the run wait for a reply.
    pub replies: Option<Vec<Vec<Reply>>>,
}

#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Journal {
    /// Opens a journal, made if there is none. The thread ends when the last handle is dropped.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Feeds, JoinHandle<()>)> {
        let what = || format!("opening the journal `{}`", path.display());
        let mut connection = Connection::open(path).with_context(what)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS)).with_context(what)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864;
                 PRAGMA secure_delete = ON;",
            )
            .with_context(what)?;
        schema::prepare(&mut connection, path).with_context(what)?;
        // A crash may have left in it what was redacted.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).with_context(what)?;
        connection.set_prepared_statement_cache_capacity(64);
        let (writer, thread) = Writer::start(connection)?;
        let (journal, feeds) = Self::around(writer, path.to_owned());
        journal.read(|reader| {
            for (paused, _) in reader.paused()? {
                let _ = journal.feeds.pauses.send(paused);
            }
            reader.directions()?.into_iter().for_each(|direction| journal.directions.set(direction));
            for arrived in reader.unfinished()? {
                let _ = journal.feeds.events.send(arrived);
            }
            for due in reader.unanswered()? {
                let _ = journal.feeds.calls.send(due);
            }
            Ok(())
        })?;
        Ok((journal, feeds, thread))
    }

    /// A journal in memory, written at once by whoever polls a write, and gone with its last handle: for simulations,
    /// in which nothing may happen at a time of its own. It has no [`Reader`].
    pub fn in_memory() -> anyhow::Result<(Self, Feeds)> {
        let mut connection = Connection::open_in_memory().context("opening a journal in memory")?;
        connection.execute_batch("PRAGMA foreign_keys = ON").context("opening a journal in memory")?;
        schema::prepare(&mut connection, Path::new(":memory:")).context("opening a journal in memory")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self::around(Writer::here(connection), PathBuf::new()))
    }

    /// Writes a journal in memory to a file, for who wants to read it.
    pub fn copy_to(&self, path: &Path) -> anyhow::Result<()> {
        self.writer.copy_to(path)
    }

    fn around(writer: Writer, path: PathBuf) -> (Self, Feeds) {
        let (events, events_feed) = unbounded_channel();
        let (calls, calls_feed) = unbounded_channel();
        let (replies, replies_feed) = unbounded_channel();
        let (pauses, pauses_feed) = unbounded_channel();
        let (directions, directions_feed) = unbounded_channel();
        let journal = Self {
            writer,
            readers: Arc::new(Readers { path, idle: Mutex::default() }),
            feeds: Arc::new(Senders { events, calls, replies, pauses, directions }),
            directions: Arc::default(),
            metrics: Metrics::default(),
        };
        let feeds = Feeds {
            events: events_feed,
            calls: calls_feed,
            replies: replies_feed,
            pauses: pauses_feed,
            directions: directions_feed,
        };
        (journal, feeds)
    }

    /// Waits until nothing can be written any more before a restart, and says why. For ever, if all goes well.
    pub fn broken(&self) -> impl Future<Output = String> + use<> {
        let mut broken = self.writer.broken();
        async move {
            if let Ok(why) = broken.wait_for(Option::is_some).await {
                return why.clone().unwrap_or_default();
            }
            // The journal was closed in good order.
            std::future::pending().await
        }
    }

    /// Reads, on a connection of its own, what is committed. Blocks.
    pub fn read<T>(&self, read: impl FnOnce(&Reader) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(connection) => Reader::new(connection),
            None => Reader::open(&self.readers.path)?,
        };
        let result = read(&reader);
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader.into_connection());
        result
    }

    /// Records what events are about, in this order, and finds the lane of each that is not over.
    pub async fn key(&self, tenant: &str, keys: Vec<(EventId, Entity)>) -> anyhow::Result<Vec<Keyed>> {
        let tenant = tenant.to_owned();
        self.writer
            .write_soon(move |tx| {
                let keyed = keys.into_iter().map(|(event, entity)| key(tx, &tenant, event, &entity));
                keyed.filter_map(Result::transpose).collect()
            })
            .await
    }

    /// Gives the entity of an event these names too. `Err` says which two names of one kind that would give it.
    pub async fn claim(&self, tenant: &str, lane: EntityId, names: Names) -> anyhow::Result<Result<Joined, String>> {
        let tenant = tenant.to_owned();
        self.writer.write_soon(move |tx| names::learn(tx, &tenant, lane, &names)).await
    }

    /// Opens a run of an event on the version that is active now, or goes on with the open one if memory has not changed
    /// since. `None`: the event is over.
    pub async fn begin(&self, event: EventId, lane: EntityId) -> anyhow::Result<Option<Begun>> {
        self.writer.write_soon(move |tx| runs::begin(tx, event, lane)).await
    }

    /// Closes the open run of an event; the next one begins with nothing.
    pub async fn drop_run(&self, event: EventId) -> anyhow::Result<()> {
        self.writer.write_soon(move |tx| drop_open_runs(tx, event)).await
    }

    /// Adds the next pass of calls to a run, each with what its target's requests are written for. When this returns they are on disk and on their way.
    pub async fn send(
        &self,
        run: RunId,
        event: EventId,
        tenant: &str,
        calls: Vec<(Call, String)>,
        asked: Asked,
    ) -> anyhow::Result<()> {
        let feeds = self.feeds.clone();
        let tenant = tenant.to_owned();
        self.writer
            .write(
                move |tx| {
                    // Without that, what another stage has ended meanwhile would go on.
                    if record_ask(tx, run, &asked)? {
                        runs::send(tx, run, event, &tenant, &calls)
                    } else {
                        Ok((vec![], None))
                    }
                },
                move |(due, answered)| {
                    for due in due {
                        let _ = feeds.calls.send(due.clone());
                    }
                    if let Some(answered) = answered {
                        let _ = feeds.replies.send(answered.clone());
                    }
                },
            )
            .await?;
        Ok(())
    }

    /// Records that a call is about to be sent; for a write, on disk. `None`: its run is not open any more, or has its reply.
    pub async fn attempt(&self, due: &Due) -> anyhow::Result<Option<i64>> {
        let (call, run, now) = (due.id, due.run, clock::now());
        let job = move |tx: &Transaction| {
            let is_wanted: bool = tx
                .prepare_cached(
                    "SELECT state = 'open' AND EXISTS (SELECT 1 FROM calls WHERE id = ?2 AND reply IS NULL)
                     FROM runs WHERE id = ?1",
                )?
                .query_row([run.0, call.0], |row| row.get(0))?;
            if !is_wanted {
                return Ok(None);
            }
            tx.prepare_cached("INSERT INTO attempts (call, began_at) VALUES (?, ?)")?.execute(params![call.0, now])?;
            Ok(Some(tx.last_insert_rowid()))
        };
        match due.call.effect {
            Effect::Read => self.writer.write_soon(job).await,
            Effect::Repeatable | Effect::Once => self.writer.write(job, |_| ()).await,
        }
    }

    /// Records how an attempt ended that was not the last.
    pub async fn attempted(&self, attempt: i64, outcome: String) -> anyhow::Result<()> {
        let now = clock::now();
        self.writer.write_soon(move |tx| end_attempt(tx, attempt, &outcome, now)).await
    }

    /// Records the reply to a call, and tells when its run can be asked again.
    pub async fn reply(&self, due: &Due, attempt: Option<(i64, String)>, reply: Reply) -> anyhow::Result<()> {
        let feeds = self.feeds.clone();
        let answered = Answered { event: due.event, run: due.run, tenant: due.tenant.clone(), given_up: None };
        let (call, run, now) = (due.id, due.run, clock::now());
        let complete = move |tx: &Transaction| {
            if let Some((attempt, outcome)) = attempt {
                end_attempt(tx, attempt, &outcome, now)?;
            }
            // What is redacted stays so, whoever answers now.
            let is_first = tx
                .prepare_cached("UPDATE calls SET reply = ? WHERE id = ? AND call <> '' AND reply IS NULL")?
                .execute(params![to_json(&reply)?, call.0])?
                == 1;
            let waiting: bool = tx
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM calls WHERE run = ? AND reply IS NULL)")?
                .query_row([run.0], |row| row.get(0))?;
            Ok(is_first && !waiting)
        };
        if self.writer.write_soon(complete).await? {
            let _ = feeds.replies.send(answered);
        }
        Ok(())
    }

    /// Tells that a call will not be sent again.
    pub async fn give_up(&self, due: &Due, attempt: i64, outcome: String, failure: Failure) -> anyhow::Result<()> {
        let now = clock::now();
        self.writer.write_soon(move |tx| end_attempt(tx, attempt, &outcome, now)).await?;
        let answered = Answered { event: due.event, run: due.run, tenant: due.tenant.clone(), given_up: Some(failure) };
        let _ = self.feeds.replies.send(answered);
        Ok(())
    }

    /// Records what an ask used, logged and named that no pass of calls and no end came of.
    pub async fn asked(&self, run: RunId, asked: Asked) -> anyhow::Result<()> {
        self.writer.write_soon(move |tx| record_ask(tx, run, &asked)).await.map(drop)
    }

    /// Ends an event by its rules' word. Gives the lanes it turned out to share, if its names are its own; `None`: the
    /// run does not count any more, and the event begins again.
    pub async fn end(
        &self,
        run: RunId,
        event: EventId,
        lane: EntityId,
        tenant: &str,
        end: End,
        asked: Asked,
    ) -> anyhow::Result<Option<Joined>> {
        let tenant = tenant.to_owned();
        let end = move |tx: &Transaction| {
            if !record_ask(tx, run, &asked)? {
                let joined = is_over(tx, event)?.then_some(Joined { entity: lane, from: vec![] });
                return Ok((joined, false));
            }
            let version: String =
                tx.prepare_cached("SELECT version FROM runs WHERE id = ?")?.query_row([run.0], |row| row.get(0))?;
            let learned = names::learn(tx, &tenant, lane, &end.names)?;
            let joined = learned.clone().unwrap_or(Joined { entity: lane, from: vec![] });
            let remembered = match &end.memory {
                Some(memory) => Some(remember(tx, joined.entity, event, memory)?),
                None => None,
            };
            let (outcome, blame, reason) = match learned {
                Ok(_) => (end.outcome, blame_of(end.outcome), end.reason),
                Err(two) => {
                    (Outcome::Failed, Some(Blame::Plugin), format!("{two}; the event had said: {}", end.reason))
                }
            };
            tx.prepare_cached("UPDATE runs SET state = 'ended', remembered = ? WHERE id = ?")?
                .execute(params![remembered, run.0])?;
            let redacted_by = finish(tx, event, outcome, blame, &reason, Some(&version))?;
            // In the end only: the rules may have been asked with what they remembered until now.
            if redacted_by == Some(event) {
                redact::forget(tx, joined.entity, event)?;
            }
            Ok((Some(joined), redacted_by.is_some()))
        };
        let (joined, redacted) = self.writer.write(end, |_| ()).await?;
        if redacted {
            self.empty_log().await?;
        }
        Ok(joined)
    }

    /// Ends an event without its rules' word: it is skipped, or has failed.
    pub async fn close(
        &self,
        event: EventId,
        by: By,
        outcome: Outcome,
        blame: Option<Blame>,
        reason: String,
    ) -> anyhow::Result<Closed> {
        let close = move |tx: &Transaction| {
            let Some(version) = runs::closes(tx, event, &by)? else {
                let closed = if is_over(tx, event)? { Closed::Over(None) } else { Closed::Again };
                return Ok((closed, None));
            };
            drop_open_runs(tx, event)?;
            let redacted_by = finish(tx, event, outcome, blame, &reason, version.as_deref())?;
            Ok((Closed::Over(version), redacted_by))
        };
        let (closed, redacted_by) = self.writer.write(close, |_| ()).await?;
        if redacted_by.is_some() {
            self.empty_log().await?;
        }
        Ok(closed)
    }
}

/// What an ask used and logged, and the names it gave.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub usage: Usage,
    pub log: Vec<String>,
    pub names: Names,
}

fn append(tx: &Transaction, webhook: &Webhook) -> rusqlite::Result<Appended> {
    let inserted = tx
        .prepare_cached(
            "INSERT INTO events (tenant, source, topic, delivery_id, occurred_at, received_at, api_version, payload)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            webhook.tenant,
            webhook.source,
            webhook.topic,
            webhook.delivery_id,
            webhook.occurred_at,
            webhook.received_at,
            webhook.api_version,
            webhook.payload
        ])?;
    if inserted == 1 {
        return Ok(Appended::Accepted(EventId(tx.last_insert_rowid())));
    }
    tx.query_row(
        "SELECT id FROM events WHERE tenant = ? AND source = ? AND delivery_id = ?",
        params![webhook.tenant, webhook.source, webhook.delivery_id],
        |row| Ok(Appended::Duplicate(EventId(row.get(0)?))),
    )
}

fn key(tx: &Transaction, tenant: &str, event: EventId, entity: &Entity) -> rusqlite::Result<Option<Keyed>> {
    let waits = tx
        .prepare_cached("UPDATE events SET entity = ? WHERE id = ? AND outcome IS NULL")?
        .execute(params![to_json(entity)?, event.0])?;
    if waits == 0 {
        return Ok(None);
    }
    let lane = names::declare(tx, tenant, EntityId(event.0), &entity.names)?;
    let mut after = vec![];
    for name in &entity.after {
        after.extend(names::find(tx, tenant, name)?.filter(|other| *other != lane.entity));
    }
    Ok(Some(Keyed { event, lane, after }))
}

/// Gives the revision, or 0 if everything is forgotten.
fn remember(tx: &Transaction, entity: EntityId, event: EventId, memory: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached("UPDATE memory SET current = 0 WHERE entity = ? AND current")?.execute([entity.0])?;
    if memory.is_empty() {
        return Ok(0);
    }
    tx.prepare_cached("INSERT INTO memory (entity, event, body, current) VALUES (?, ?, ?, 1)")?
        .execute(params![entity.0, event.0, memory])?;
    Ok(tx.last_insert_rowid())
}

/// Ends an event, unless it is over. Gives the event that has it redacted now that it is.
fn finish(
    tx: &Transaction,
    event: EventId,
    outcome: Outcome,
    blame: Option<Blame>,
    reason: &str,
    version: Option<&str>,
) -> rusqlite::Result<Option<EventId>> {
    let redacted_by = tx
        .prepare_cached(
            "UPDATE events SET outcome = ?, blame = ?, reason = ?, version = ?, ended_at = ?
             WHERE id = ? AND outcome IS NULL RETURNING redacted_by",
        )?
        .query_row(params![outcome.name(), blame.map(Blame::name), reason, version, clock::now(), event.0], |row| {
            row.get::<_, Option<i64>>(0)
        })
        .optional()?
        .flatten()
        .map(EventId);
    if redacted_by.is_some() {
        redact::scrub(tx, event)?;
    }
    Ok(redacted_by)
}

fn blame_of(outcome: Outcome) -> Option<Blame> {
    match outcome {
        Outcome::Done | Outcome::Skipped | Outcome::Discarded => None,
        Outcome::Refused => Some(Blame::Peer),
        Outcome::Invalid => Some(Blame::Payload),
        Outcome::Failed => Some(Blame::Host),
    }
}

fn is_over(tx: &Transaction, event: EventId) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT outcome IS NOT NULL FROM events WHERE id = ?")?.query_row([event.0], |row| row.get(0))
}

fn drop_open_runs(tx: &Transaction, event: EventId) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE runs SET state = 'dropped' WHERE event = ? AND state = 'open'")?.execute([event.0])?;
    Ok(())
}

fn end_attempt(tx: &Transaction, attempt: i64, outcome: &str, now: Millis) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE attempts SET ended_at = ?, outcome = ? WHERE id = ? AND outcome IS NOT 'redacted'")?
        .execute(params![now, outcome, attempt])?;
    Ok(())
}

/// Records what an ask used, logged and named. `false`: its run is not open any more, and what came of the ask does not count.
fn record_ask(tx: &Transaction, run: RunId, asked: &Asked) -> rusqlite::Result<bool> {
    let open = tx
        .prepare_cached(
            "UPDATE runs SET asks = asks + 1, fuel = fuel + ?, names = json_insert(names, '$[#]', json(?))
             WHERE id = ? AND state = 'open'",
        )?
        .execute(params![asked.usage.fuel as i64, to_json(&asked.names)?, run.0])?;
    if open == 1 && !asked.log.is_empty() {
        tx.prepare_cached(
            "INSERT INTO log (run, lines) VALUES (?, ?) ON CONFLICT DO UPDATE SET lines = excluded.lines",
        )?
        .execute(params![run.0, asked.log.join("\n")])?;
    }
    Ok(open == 1)
}

fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))
}
