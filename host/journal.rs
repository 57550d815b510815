//! The journal keeps events, runs, calls, attempts and memory in SQLite. The stages share nothing else.
//!
//! Knows SQL and which writes must be on disk before which; not what an event means or how a call is sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock;
use crate::metrics::Metrics;
use crate::model::{
    Blame, Call, CallId, Effect, Entity, EntityId, EventId, Failure, Millis, Outcome, Reply, RunId, is_duty,
};
use crate::scheduler::{Input, Keyed, Opened, Place, System};

mod accounts;
mod alerts;
mod backup;
mod cases;
mod clues;
mod dead;
mod directions;
mod fence;
mod fixed;
mod gauges;
mod grants;
mod imports;
mod installs;
mod intake;
mod invitations;
mod keep;
mod missing;
mod names;
mod operators;
mod orders;
mod paused;
mod place;
mod queues;
mod reader;
mod readers;
mod recorded;
mod redact;
mod repair;
mod room;
mod runs;
mod schema;
mod shadows;
mod standing;
mod usage;
mod versions;
mod writer;

pub use alerts::{Answering, DataRequest, ToldAlert};
pub use backup::{Copied, back_up, restore};
pub use cases::Files;
pub use clues::{Alike, Shared, Standing as ClueStanding};
pub use dead::{DeadLetters, Which};
pub use directions::{Direction, Directions, Mode};
use fence::Fence;
pub use fixed::Change;
pub use grants::GrantRow;
pub use imports::{
    HOST, Import, Item as ItemRead, Job, Kind as ImportKind, Outcomes, PageTaken, Reading, Sampled,
    State as ImportState, TakenPage,
};
pub use installs::Asked as AskedMerchant;
pub use intake::Terms;
pub use invitations::Invitation;
pub use keep::{Old, Pace, Received};
pub use operators::{Deed, Token};
pub use orders::{Asked, At, Begun, Fact, Known, Orders, Over, With};
pub use paused::Paused;
pub use place::{Claim, Taken};
pub use reader::{AttemptRow, CallRow, EventRow, Filter, Reader, RunRow};
use readers::Readers;
pub use recorded::{Range, Recorded, Run, Span};
pub use redact::{Redacted, Texts};
pub use repair::{Chosen, IsOwn, REPLAYED_MAX, Unchosen, Wanted};
pub use room::{NoRoom, Removed};
pub use runs::Written;
pub use shadows::Shadow;
pub use standing::Standing;
pub use versions::{Activated, Activation, ActivationRow, Active, Cause, Configured, Moved, VersionRow};
pub use writer::Broken;
use writer::Writer;

/// Capacity of the cache of prepared statements: larger than the number of statements in this module.
const STATEMENTS_KEPT: usize = 256;
/// How long a connection waits for another process to finish its write, in milliseconds.
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

/// The channels on which the stages hear of changes as they happen. After a restart, `calls` begins with the calls that
/// have no reply, and `pauses` with the targets that are paused.
pub struct Feeds {
    /// Facts for the schedulers of all tenants, in the order in which they happened.
    pub facts: UnboundedReceiver<Fact>,
    pub calls: UnboundedReceiver<Due>,
    pub pauses: UnboundedReceiver<Paused>,
}

struct Senders {
    facts: UnboundedSender<Fact>,
    calls: UnboundedSender<Due>,
    pauses: UnboundedSender<Paused>,
}

impl Senders {
    fn tell(&self, tenant: &str, input: Input) {
        // Sending fails only while the host stops, when the receiver is gone.
        let _ = self.facts.send(Fact { tenant: tenant.to_owned(), input, with: With::Nothing });
    }
}

/// A call to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub id: CallId,
    pub run: RunId,
    pub event: EventId,
    pub tenant: String,
    pub call: Call,
    /// The API version of the target that the call is written for.
    pub api_version: String,
    /// Attempts made before.
    pub attempts: u32,
    /// When the last attempt began, if nobody knows how it ended.
    pub unknown_since: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Appended {
    Accepted(EventId),
    /// The webhook had arrived before, and is this event.
    Duplicate(EventId),
    /// The webhook has the id of the event `from`, but another body or topic, so it became an event of its own.
    Differs {
        event: EventId,
        from: EventId,
    },
}

impl Journal {
    /// Opens a journal for a command that runs beside a host, and makes the file if there is none. The writing thread
    /// ends when the last handle is dropped.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Feeds, JoinHandle<()>)> {
        place::make(path)?;
        place::refuse_names(path)?;
        Self::open_behind(path, |_| Ok(None))
    }

    /// Opens a journal as its host. The host that had the journal before can no longer write to it, and so sends
    /// nothing that is not on disk already.
    pub fn open_as_host(claim: &Claim) -> anyhow::Result<(Self, Feeds, JoinHandle<()>)> {
        let opened = Self::open_behind(claim.path(), |connection| Fence::raise(connection).map(Some))?;
        claim.warn_of_width();
        Ok(opened)
    }

    fn open_behind(
        path: &Path,
        raise: impl FnOnce(&mut Connection) -> rusqlite::Result<Option<Fence>>,
    ) -> anyhow::Result<(Self, Feeds, JoinHandle<()>)> {
        let what = || format!("opening the journal `{}`", path.display());
        let mut connection = Connection::open(path).with_context(what)?;
        connection.busy_timeout(Duration::from_millis(BUSY_MS)).with_context(what)?;
        schema::refuse_strangers(&connection, path)?;
        let settings = connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864;
             PRAGMA secure_delete = ON;",
        );
        settings.map_err(|error| schema::unreadable(path, error))?;
        schema::prepare(&mut connection, path).with_context(what)?;
        let fence = raise(&mut connection).with_context(what)?;
        // After a crash, the log of writes may still hold what was redacted.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).with_context(what)?;
        keep_statements(&connection).with_context(what)?;
        let (writer, thread) = Writer::start(connection, fence)?;
        let (journal, feeds) = Self::around(writer, path.to_owned());
        let (paused, directions) = journal.read(|reader| Ok((reader.paused()?, reader.directions()?)))?;
        let calls = journal.read(|reader| reader.unanswered())?;
        directions.into_iter().for_each(|direction| journal.directions.set(direction));
        // Sending cannot fail: the receivers are in `feeds`.
        paused.into_iter().for_each(|(paused, _)| drop(journal.feeds.pauses.send(paused)));
        calls.into_iter().for_each(|due| drop(journal.feeds.calls.send(due)));
        Ok((journal, feeds, thread))
    }

    /// A journal in memory, for simulations in which nothing may happen at a time of its own: a write is done when it
    /// is first polled. The journal is gone with its last handle, and has no [`Reader`].
    pub fn in_memory() -> anyhow::Result<(Self, Feeds)> {
        let mut connection = Connection::open_in_memory().context("opening a journal in memory")?;
        connection.execute_batch("PRAGMA foreign_keys = ON").context("opening a journal in memory")?;
        schema::prepare(&mut connection, Path::new(":memory:")).context("opening a journal in memory")?;
        keep_statements(&connection).context("opening a journal in memory")?;
        Ok(Self::around(Writer::here(connection), PathBuf::new()))
    }

    /// Copies a journal in memory to a file, where it can be read.
    pub fn copy_to(&self, path: &Path) -> anyhow::Result<()> {
        self.writer.copy_to(path)
    }

    fn around(writer: Writer, path: PathBuf) -> (Self, Feeds) {
        let (facts, facts_feed) = unbounded_channel();
        let (calls, calls_feed) = unbounded_channel();
        let (pauses, pauses_feed) = unbounded_channel();
        let journal = Self {
            writer,
            readers: Arc::new(Readers::of(path)),
            feeds: Arc::new(Senders { facts, calls, pauses }),
            directions: Arc::default(),
            metrics: Metrics::default(),
        };
        let feeds = Feeds { facts: facts_feed, calls: calls_feed, pauses: pauses_feed };
        (journal, feeds)
    }

    /// Waits until the journal can write nothing more before a restart, and says why. Waits for ever if that never
    /// happens.
    pub fn broken(&self) -> impl Future<Output = Broken> + use<> {
        let mut broken = self.writer.broken();
        async move {
            let why = broken.wait_for(Option::is_some).await.ok().and_then(|broken| broken.clone());
            // The channel closes without a reason when the journal is closed in good order.
            if let Some(why) = why { why } else { std::future::pending().await }
        }
    }

    /// Records that a call is about to be sent, and gives the number of the attempt. For a call that writes, the record
    /// is on disk when this returns. `None`: the run is no longer open, or the call has its reply.
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
        let writer = self.writer.of(&due.tenant);
        match due.call.effect {
            Effect::Read => writer.write_soon(job).await,
            Effect::Repeatable | Effect::Once => writer.write(job, |_| ()).await,
        }
    }

    /// Records how an attempt ended after which the call is tried again. If it is not settled by an answer, the attempt
    /// may still take effect.
    pub async fn attempted(&self, due: &Due, attempt: i64, outcome: String, is_settled: bool) -> anyhow::Result<()> {
        let (about, now) = (due.clone(), clock::now());
        let end = move |tx: &Transaction| {
            end_attempt(tx, attempt, &outcome, is_settled, now)?;
            is_quiet(tx, &about)
        };
        self.record_attempt(due, end).await
    }

    /// Records the reply to a call, and tells the scheduler when every call of the run has its reply.
    pub async fn reply(&self, due: &Due, attempt: Option<(i64, String)>, reply: Reply) -> anyhow::Result<()> {
        let (about, now) = (due.clone(), clock::now());
        let complete = move |tx: &Transaction| {
            if let Some((attempt, outcome)) = attempt {
                end_attempt(tx, attempt, &outcome, true, now)?;
            }
            // A redacted call has an empty text, and takes no reply any more.
            let is_first = tx
                .prepare_cached("UPDATE calls SET reply = ? WHERE id = ? AND call <> '' AND reply IS NULL")?
                .execute(params![to_json(&reply)?, about.id.0])?
                == 1;
            let waiting: bool = tx
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM calls WHERE run = ? AND reply IS NULL)")?
                .query_row([about.run.0], |row| row.get(0))?;
            let quiet = is_quiet(tx, &about)?;
            let replied = || (is_first && !waiting).then_some(Input::Replied { event: about.event, run: about.run });
            Ok(quiet.or_else(replied))
        };
        self.record_attempt(due, complete).await
    }

    /// Records that a call is given up, and tells the scheduler.
    pub async fn give_up(
        &self,
        due: &Due,
        attempt: i64,
        outcome: String,
        is_settled: bool,
        failure: Failure,
    ) -> anyhow::Result<()> {
        let (about, now) = (due.clone(), clock::now());
        let give_up = move |tx: &Transaction| {
            end_attempt(tx, attempt, &outcome, is_settled, now)?;
            let given_up = "UPDATE calls SET given_up = ? WHERE id = ? AND call <> '' AND reply IS NULL";
            tx.prepare_cached(given_up)?.execute(params![to_json(&failure)?, about.id.0])?;
            let quiet = is_quiet(tx, &about)?;
            Ok(Some(quiet.unwrap_or(Input::Replied { event: about.event, run: about.run })))
        };
        self.record_attempt(due, give_up).await
    }

    async fn record_attempt(
        &self,
        due: &Due,
        record: impl FnOnce(&Transaction) -> rusqlite::Result<Option<Input>> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (feeds, tenant) = (self.feeds.clone(), due.tenant.clone());
        let record = move |tx: &Transaction| {
            if let Some(input) = record(tx)? {
                feeds.tell(&tenant, input);
            }
            Ok(())
        };
        self.writer.of(&due.tenant).write_soon(record).await
    }
}

/// Gives `Input::Quiet` if the run of this call was dropped and no write of the event's dropped runs can take effect
/// any more.
fn is_quiet(tx: &Transaction, due: &Due) -> rusqlite::Result<Option<Input>> {
    let is_dropped: bool = tx
        .prepare_cached("SELECT state = 'dropped' FROM runs WHERE id = ?")?
        .query_row([due.run.0], |row| row.get(0))?;
    // With 0, attempts of any age count. An attempt whose host was killed never gets an end; for that one the scheduler
    // waits only as long as the quiet time.
    let is_quiet = is_dropped && due.call.effect != Effect::Read && !runs::is_in_flight(tx, due.event, 0)?;
    Ok(is_quiet.then_some(Input::Quiet { event: due.event }))
}

/// Takes the next place, behind every event there is.
fn next_place(tx: &Transaction) -> rusqlite::Result<Place> {
    tx.prepare_cached("UPDATE places SET last = last + 1 RETURNING last")?.query_row([], |row| row.get(0).map(Place))
}

/// Keeps every statement prepared, whatever values are bound to it. By default SQLite prepares a statement again
/// whenever a bound value could change its plan, which took half the time of the writing thread.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Reads what the tenant's scheduler needs to know of an event that is not over. Attempts that began before `since`
/// count as settled.
fn opened(tx: &Transaction, event: EventId, since: Millis) -> rusqlite::Result<Opened> {
    let in_flight = runs::is_in_flight(tx, event, since)?;
    tx.prepare_cached(
        "SELECT place, source, topic, EXISTS (SELECT 1 FROM runs JOIN calls ON calls.run = runs.id
             WHERE runs.event = events.id AND runs.state = 'open') FROM events WHERE id = ?",
    )?
    .query_row([event.0], |row| {
        let (source, topic): (String, String) = (row.get(1)?, row.get(2)?);
        Ok(Opened {
            event,
            place: Place(row.get(0)?),
            source: System::named(&source),
            is_duty: is_duty(&source, &topic),
            has_asked: row.get(3)?,
            in_flight,
        })
    })
}

/// Reopens an event that is over, at its old place.
fn reopen(tx: &Transaction, event: EventId) -> rusqlite::Result<()> {
    drop_open_runs(tx, event)?;
    tx.prepare_cached(
        "UPDATE events SET outcome = NULL, blame = NULL, reason = NULL, version = NULL, ended_at = NULL WHERE id = ?",
    )?
    .execute([event.0])
    .map(drop)
}

/// Reopens an event that is over, behind all other events.
fn reopen_last(tx: &Transaction, event: EventId) -> rusqlite::Result<Opened> {
    reopen(tx, event)?;
    let place = next_place(tx)?;
    tx.prepare_cached("UPDATE events SET place = ? WHERE id = ?")?.execute([place.0, event.0])?;
    opened(tx, event, 0)
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

/// Makes a text the memory of an entity. Gives its revision, or 0 if the text is empty and everything is forgotten.
fn remember(tx: &Transaction, entity: EntityId, event: EventId, memory: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached("UPDATE memory SET current = 0 WHERE entity = ? AND current")?.execute([entity.0])?;
    if memory.is_empty() {
        return Ok(0);
    }
    tx.prepare_cached(
        "INSERT INTO memory (entity, event, body, current, tenant)
         SELECT ?1, id, ?3, 1, tenant FROM events WHERE id = ?2",
    )?
    .execute(params![entity.0, event.0, memory])?;
    Ok(tx.last_insert_rowid())
}

/// Ends an event, unless it is over already. If a redaction of the event was requested, carries it out and gives the
/// event that requested it.
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

/// Gives how many runs were dropped.
fn drop_open_runs(tx: &Transaction, event: EventId) -> rusqlite::Result<usize> {
    tx.prepare_cached("UPDATE runs SET state = 'dropped' WHERE event = ? AND state = 'open'")?.execute([event.0])
}

fn end_attempt(tx: &Transaction, attempt: i64, outcome: &str, is_settled: bool, now: Millis) -> rusqlite::Result<()> {
    // A redacted outcome stays redacted.
    tx.prepare_cached(
        "UPDATE attempts SET ended_at = ?1, is_unsettled = ?3,
             outcome = CASE WHEN outcome IS 'redacted' THEN outcome ELSE ?2 END WHERE id = ?4",
    )?
    .execute(params![now, outcome, !is_settled, attempt])?;
    Ok(())
}

/// Records the fuel, the log and the names of an ask. `false`: the run is no longer open, so the ask does not count.
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
