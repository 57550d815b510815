//! Reads the journal: what is not over yet, and what people ask to see. Writes nothing.

use std::path::Path;

use anyhow::Context;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use crate::files::Unusable;
use crate::journal::{Due, from_json, schema};
use crate::model::{Call, CallId, Effect, Event, EventId, Millis, Reply, RunId, Webhook};

const READING: &str = "reading the journal";
const MISSING_HINT: &str = "`tandem serve` makes it at its first start; `--journal FILE` names another";
const OTHER_HINT: &str = "`--journal FILE` names another";

/// A connection that only reads.
pub struct Reader {
    pub(super) connection: Connection,
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub tenant: Option<String>,
    /// `waiting`, `done`, `skipped`, `refused`, `invalid`, `failed`, or `dead` for the last three.
    pub outcome: Option<String>,
    pub topic: Option<String>,
    /// Only those with a higher number.
    pub after: Option<EventId>,
    /// Only those with a lower number.
    pub before: Option<EventId>,
    /// Only those received at `since` or later, and before `until`.
    pub since: Option<Millis>,
    pub until: Option<Millis>,
    /// Only those about the entity with this name, with or without its source: `customer/706405506`.
    pub about: Option<String>,
    /// At most this many, the newest.
    pub limit: usize,
}

/// An event as people are shown it.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub event: Event,
    /// The names of what it is about, as its rules said.
    pub names: Vec<String>,
    /// `None` while the event is not over.
    pub outcome: Option<String>,
    pub blame: Option<String>,
    pub reason: Option<String>,
    pub version: Option<String>,
    pub ended_at: Option<Millis>,
    /// When its redaction was decided. It is carried out at once, or at the event's end if the event is not over.
    pub redacted_at: Option<Millis>,
    /// How many calls its last run has. [`Reader::show`] gives 0 here, and the calls with the runs.
    pub calls: usize,
}

#[derive(Clone, Debug)]
pub struct RunRow {
    pub version: String,
    pub state: String,
    pub begun_at: Millis,
    pub asks: u64,
    pub fuel: u64,
    pub log: Option<String>,
    pub calls: Vec<CallRow>,
}

#[derive(Clone, Debug)]
pub struct CallRow {
    pub pass: usize,
    pub call: Call,
    pub reply: Option<Reply>,
    pub attempts: Vec<AttemptRow>,
}

#[derive(Clone, Debug)]
pub struct AttemptRow {
    pub began_at: Millis,
    pub ended_at: Option<Millis>,
    pub outcome: Option<String>,
}

pub(super) const EVENT: &str = "id, tenant, source, topic, delivery_id, occurred_at, received_at, api_version, payload";

impl Reader {
    /// Opens a journal that exists.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if let Err(cause) = std::fs::metadata(path) {
            return Err(Unusable::new(READING, path, cause, MISSING_HINT).into());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .with_context(|| format!("opening the journal `{}` to read", path.display()))?;
        match connection.table_exists(None, "attempts") {
            Ok(true) => {
                schema::check(&connection, path)?;
                Ok(Self::new(connection))
            }
            Err(error) if error.sqlite_error_code() != Some(ErrorCode::NotADatabase) => {
                Err(error).with_context(|| format!("opening the journal `{}` to read", path.display()))
            }
            Ok(false) | Err(_) => {
                let cause = std::io::Error::new(std::io::ErrorKind::InvalidData, "this is no journal");
                Err(Unusable::new(READING, path, cause, OTHER_HINT).into())
            }
        }
    }

    /// Opens the journal that this process has open already.
    pub(super) fn beside(path: &Path) -> anyhow::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).context("opening the journal to read")?;
        super::keep_statements(&connection).context("opening the journal to read")?;
        Ok(Self::new(connection))
    }

    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    /// The tenants that have an event that is not over.
    pub fn waiting_tenants(&self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT DISTINCT tenant FROM events INDEXED BY waiting WHERE outcome IS NULL";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The calls of open runs that have no reply.
    pub fn unanswered(&self) -> anyhow::Result<Vec<Due>> {
        Ok(unanswered(&self.connection, None)?)
    }

    pub fn event(&self, id: EventId) -> anyhow::Result<Option<Event>> {
        Ok(event(&self.connection, id).optional()?)
    }

    /// Events that the filter lets through, in order of arrival.
    pub fn events(&self, filter: &Filter) -> anyhow::Result<Vec<EventRow>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {EVENT}, entity, outcome, blame, reason, version, ended_at, redacted_at,
                    (SELECT count(*) FROM calls WHERE run = (SELECT max(id) FROM runs WHERE event = events.id))
             FROM events
             WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR topic = ?2) AND id > ?3
               AND (?4 IS NULL OR outcome = ?4 OR (?4 = 'waiting' AND outcome IS NULL)
                    OR (?4 = 'dead' AND outcome IN ('refused', 'invalid', 'failed')))
               AND (?6 IS NULL OR id < ?6) AND (?7 IS NULL OR received_at >= ?7) AND (?8 IS NULL OR received_at < ?8)
               AND (?9 IS NULL OR EXISTS (
                    SELECT 1 FROM json_each(events.entity, '$.names') AS one
                    WHERE one.value IN (?9, 'shopify/' || ?9, 'omneo/' || ?9) OR one.value IN (
                         SELECT name FROM names WHERE entity IN (
                              SELECT entity FROM names
                              WHERE tenant = events.tenant AND name IN (?9, 'shopify/' || ?9, 'omneo/' || ?9)))))
             ORDER BY id DESC LIMIT ?5"
        ))?;
        let Filter { tenant, outcome, topic, after, before, since, until, about, limit } = filter;
        let (after, before) = (after.map_or(0, |event| event.0), before.map(|event| event.0));
        let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![tenant, topic, after, outcome, limit, before, since, until, about], event_row)?;
        let mut rows: Vec<EventRow> = rows.collect::<Result<_, _>>()?;
        rows.reverse();
        Ok(rows)
    }

    /// One event with everything that was done about it.
    pub fn show(&self, id: EventId) -> anyhow::Result<Option<(EventRow, Vec<RunRow>)>> {
        let row = self
            .connection
            .query_row(
                &format!(
                    "SELECT {EVENT}, entity, outcome, blame, reason, version, ended_at, redacted_at, 0 FROM events WHERE id = ?"
                ),
                [id.0],
                event_row,
            )
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let mut statement = self.connection.prepare(
            "SELECT runs.id, version, state, begun_at, asks, fuel, lines FROM runs LEFT JOIN log ON log.run = runs.id
             WHERE event = ? ORDER BY runs.id",
        )?;
        let mut runs = vec![];
        let mut rows = statement.query([id.0])?;
        while let Some(row) = rows.next()? {
            runs.push(RunRow {
                version: row.get(1)?,
                state: row.get(2)?,
                begun_at: row.get(3)?,
                asks: row.get(4)?,
                fuel: row.get(5)?,
                log: row.get(6)?,
                calls: self.calls(row.get(0)?)?,
            });
        }
        Ok(Some((row, runs)))
    }

    fn calls(&self, run: i64) -> anyhow::Result<Vec<CallRow>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, pass, call, reply FROM calls WHERE run = ? AND call <> '' ORDER BY pass, id")?;
        let mut calls = vec![];
        let mut rows = statement.query([run])?;
        while let Some(row) = rows.next()? {
            let reply: Option<String> = row.get(3)?;
            calls.push(CallRow {
                pass: row.get(1)?,
                call: from_json(&row.get::<_, String>(2)?)?,
                reply: reply.map(|reply| from_json(&reply)).transpose()?,
                attempts: self.attempts(row.get(0)?)?,
            });
        }
        Ok(calls)
    }

    fn attempts(&self, call: i64) -> anyhow::Result<Vec<AttemptRow>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT began_at, ended_at, outcome FROM attempts WHERE call = ? ORDER BY id")?;
        let rows = statement.query_map([call], |row| {
            Ok(AttemptRow { began_at: row.get(0)?, ended_at: row.get(1)?, outcome: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The memory that the last run of an event began with, the newest first: each text, and the event that left it.
    /// `None`: some of it is no longer in the journal.
    pub fn began_with(&self, id: EventId) -> anyhow::Result<Option<Vec<(EventId, String)>>> {
        let run = self
            .connection
            .query_row("SELECT memory FROM runs WHERE event = ? ORDER BY id DESC LIMIT 1", [id.0], |row| {
                from_json::<Vec<i64>>(&row.get::<_, String>(0)?)
            })
            .optional()?;
        let mut statement = self.connection.prepare_cached("SELECT event, body FROM memory WHERE revision = ?")?;
        let mut found = vec![];
        for revision in run.unwrap_or_default() {
            let row = statement.query_row([revision], |row| Ok((EventId(row.get(0)?), row.get(1)?))).optional()?;
            let Some(row) = row else { return Ok(None) };
            found.push(row);
        }
        Ok(Some(found))
    }

    /// The current memory of the entity with this name, the newest text first.
    pub fn memory(&self, tenant: &str, name: &str) -> anyhow::Result<Vec<String>> {
        let mut statement = self.connection.prepare(
            "SELECT body FROM memory WHERE current AND entity = (SELECT entity FROM names WHERE tenant = ? AND name = ?)
             ORDER BY revision DESC",
        )?;
        let rows = statement.query_map(params![tenant, name], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many events are not over.
    pub fn unfinished_count(&self) -> anyhow::Result<u64> {
        Ok(self.connection.query_row("SELECT count(*) FROM events WHERE outcome IS NULL", [], |row| row.get(0))?)
    }
}

/// The calls of open runs, of all tenants or of one, that have no reply.
pub(super) fn unanswered(connection: &Connection, tenant: Option<&str>) -> rusqlite::Result<Vec<Due>> {
    let mut statement = connection.prepare(
        "SELECT calls.id, calls.run, runs.event, events.tenant, calls.call,
                (SELECT count(*) FROM attempts WHERE attempts.call = calls.id),
                (SELECT max(began_at) FROM attempts WHERE attempts.call = calls.id AND ended_at IS NULL),
                calls.api_version
         FROM calls JOIN runs ON runs.id = calls.run JOIN events ON events.id = runs.event
         WHERE calls.reply IS NULL AND calls.given_up IS NULL AND runs.state = 'open' AND events.outcome IS NULL
           AND (?1 IS NULL OR events.tenant = ?1) ORDER BY calls.id",
    )?;
    let rows = statement.query_map([tenant], |row| {
        let call: Call = from_json(&row.get::<_, String>(4)?)?;
        let since: Option<Millis> = row.get(6)?;
        Ok(Due {
            id: CallId(row.get(0)?),
            run: RunId(row.get(1)?),
            event: EventId(row.get(2)?),
            tenant: row.get(3)?,
            attempts: row.get(5)?,
            // Only a call that must not be sent twice needs this; any other is sent again.
            unknown_since: since.filter(|_| call.effect == Effect::Once),
            call,
            api_version: row.get(7)?,
        })
    })?;
    rows.collect()
}

pub(super) fn event(connection: &Connection, id: EventId) -> rusqlite::Result<Event> {
    connection.prepare_cached(&format!("SELECT {EVENT} FROM events WHERE id = ?"))?.query_row([id.0], read_event)
}

/// An event that is not over.
pub(super) fn unfinished_event(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Event>> {
    let sql = format!("SELECT {EVENT} FROM events WHERE id = ? AND outcome IS NULL");
    connection.prepare_cached(&sql)?.query_row([id.0], read_event).optional()
}

pub(super) fn read_event(row: &Row) -> rusqlite::Result<Event> {
    Ok(Event {
        id: EventId(row.get(0)?),
        webhook: Webhook {
            tenant: row.get(1)?,
            source: row.get(2)?,
            topic: row.get(3)?,
            delivery_id: row.get(4)?,
            occurred_at: row.get(5)?,
            received_at: row.get(6)?,
            api_version: row.get(7)?,
            payload: row.get(8)?,
        },
    })
}

fn event_row(row: &Row) -> rusqlite::Result<EventRow> {
    let entity: Option<String> = row.get(9)?;
    let names = match entity {
        Some(entity) => from_json::<crate::model::Entity>(&entity)?.names,
        None => vec![],
    };
    Ok(EventRow {
        event: read_event(row)?,
        names,
        outcome: row.get(10)?,
        blame: row.get(11)?,
        reason: row.get(12)?,
        version: row.get(13)?,
        ended_at: row.get(14)?,
        redacted_at: row.get(15)?,
        calls: row.get(16)?,
    })
}
