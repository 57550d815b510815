//! Reads the record of a tenant's events: what the last run of each was given, asked for and answered. Writes nothing,
//! and does not know what the record is compared with.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::reader::{Reader, read_event};
use super::{from_json, to_json};
use crate::model::{Blame, Call, Entity, Event, EventId, Millis, Names, Outcome, Reply};

/// Limits of one read, in events and in bytes. They bound what a replay holds in memory, and how long it keeps the log
/// of writes from being emptied.
const EVENTS_PER_READ_MAX: usize = 512;
const BYTES_PER_READ_MAX: usize = 32 << 20;

/// Selects events of a tenant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// The newest events, this many.
    Last(u64),
    /// The events received at this time or later.
    Since(Millis),
}

/// The events of a tenant from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub first: EventId,
    pub last: EventId,
    pub events: u64,
}

/// An event with all that decided how it ended.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub event: Event,
    /// What the rules said it is about; `None` if they were not asked or could not say.
    pub entity: Option<Entity>,
    pub is_redacted: bool,
    /// The version that ended it.
    pub version: Option<String>,
    /// `None` while it is not over.
    pub ending: Option<(Outcome, Option<Blame>, String)>,
    /// The last run, if it is of that version.
    pub run: Option<Run>,
    /// Whether the journal still has everything that the run was given or left behind.
    pub is_whole: bool,
}

type Passes = Vec<Vec<(Call, Option<Reply>)>>;

#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The memory of the entity before the run, the newest first, and after it.
    pub memory: Vec<String>,
    pub memory_after: Vec<String>,
    /// A call has no reply if the run did not get that far.
    pub passes: Passes,
    /// The names that each ask gave.
    pub names: Vec<Names>,
    /// Whether the rules ended the run.
    pub is_ended: bool,
}

/// The columns that [`recorded`] reads.
const RECORDED: &str = "SELECT id, tenant, source, topic, delivery_id, occurred_at, received_at, api_version, payload,
    entity, outcome, blame, reason, version, redacted_at IS NOT NULL FROM events";

impl Reader {
    /// Where a range begins and ends now. `None`: the range is empty.
    pub fn span(&self, tenant: &str, range: Range) -> anyhow::Result<Option<Span>> {
        let (since, limit) = match range {
            Range::Last(events) => (Millis::MIN, i64::try_from(events).unwrap_or(i64::MAX)),
            Range::Since(since) => (since, i64::MAX),
        };
        let found = self.connection.query_row(
            "SELECT min(id), max(id), count(*)
             FROM (SELECT id FROM events WHERE tenant = ? AND received_at >= ? ORDER BY id DESC LIMIT ?)",
            params![tenant, since, limit],
            |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?)),
        )?;
        let (Some(first), Some(last), events) = found else { return Ok(None) };
        Ok(Some(Span { first: EventId(first), last: EventId(last), events }))
    }

    /// The tenants that have events.
    pub fn tenants(&self) -> anyhow::Result<Vec<String>> {
        let mut statement = self.connection.prepare("SELECT DISTINCT tenant FROM events ORDER BY tenant")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The next events of a tenant in a span, in order of arrival, all read at one moment: as many as may be held in
    /// memory, and none when there are no more.
    pub fn recorded(&self, tenant: &str, after: Option<EventId>, span: Span) -> anyhow::Result<Vec<Recorded>> {
        let tx = self.connection.unchecked_transaction()?;
        let mut statement =
            tx.prepare_cached(&format!("{RECORDED} WHERE id >= ? AND id <= ? AND tenant = ? ORDER BY id LIMIT ?"))?;
        let from = after.map_or(span.first.0, |after| after.0 + 1);
        let mut rows = statement.query(params![from, span.last.0, tenant, EVENTS_PER_READ_MAX])?;
        let mut events = vec![];
        let mut bytes = 0;
        while let Some(row) = rows.next()?.filter(|_| bytes < BYTES_PER_READ_MAX) {
            let recorded = recorded(&tx, row)?;
            bytes += recorded.bytes();
            events.push(recorded);
        }
        Ok(events)
    }

    /// The next of `events`, which are in order of arrival: as many as may be held in memory.
    pub fn recorded_of(
        &self,
        tenant: &str,
        after: Option<EventId>,
        events: &[EventId],
    ) -> anyhow::Result<Vec<Recorded>> {
        let tx = self.connection.unchecked_transaction()?;
        let mut statement = tx.prepare_cached(&format!("{RECORDED} WHERE id = ? AND tenant = ?"))?;
        let begin = events.partition_point(|event| after.is_some_and(|after| *event <= after));
        let mut found = vec![];
        let mut bytes = 0;
        for event in &events[begin..] {
            if found.len() == EVENTS_PER_READ_MAX || bytes >= BYTES_PER_READ_MAX {
                break;
            }
            let row = statement.query_row(params![event.0, tenant], |row| recorded(&tx, row)).optional()?;
            bytes += row.as_ref().map_or(0, Recorded::bytes);
            found.extend(row);
        }
        Ok(found)
    }
}

impl Recorded {
    fn bytes(&self) -> usize {
        let run = self.run.iter();
        let said = run.flat_map(|run| run.passes.iter().flatten());
        let said: usize = said.map(|(call, reply)| call.bytes() + reply.as_ref().map_or(0, Reply::bytes)).sum();
        let memory = self.run.iter().flat_map(|run| run.memory.iter().chain(&run.memory_after));
        self.event.webhook.payload.len() + said + memory.map(String::len).sum::<usize>()
    }
}

fn recorded(connection: &Connection, row: &Row) -> rusqlite::Result<Recorded> {
    let event = read_event(row)?;
    let entity: Option<String> = row.get(9)?;
    let outcome: Option<String> = row.get(10)?;
    let blame: Option<String> = row.get(11)?;
    let version: Option<String> = row.get(13)?;
    let ending = match outcome {
        Some(outcome) => {
            let blame = blame.as_deref().map(word).transpose()?;
            Some((word(&outcome)?, blame, row.get::<_, Option<String>>(12)?.unwrap_or_default()))
        }
        None => None,
    };
    let mut recorded = Recorded {
        entity: entity.as_deref().map(from_json).transpose()?,
        is_redacted: row.get(14)?,
        ending,
        run: None,
        is_whole: true,
        version,
        event,
    };
    if !recorded.is_redacted {
        read_run(connection, &mut recorded)?;
    }
    Ok(recorded)
}

/// An outcome or a blame by its name.
fn word<T: serde::de::DeserializeOwned>(name: &str) -> rusqlite::Result<T> {
    from_json(&to_json(&name)?)
}

fn read_run(connection: &Connection, recorded: &mut Recorded) -> rusqlite::Result<()> {
    let found = connection
        .prepare_cached(
            "SELECT id, version, memory, state, names, remembered FROM runs WHERE event = ? ORDER BY id DESC LIMIT 1",
        )?
        .query_row([recorded.event.id.0], |row| {
            let (id, version, revisions): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (state, names, remembered): (String, Option<String>, Option<i64>) =
                (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((id, version, from_json::<Vec<i64>>(&revisions)?, state, names, remembered))
        })
        .optional()?;
    let Some((id, version, revisions, state, names, remembered)) = found else { return Ok(()) };
    if recorded.version.as_ref() != Some(&version) {
        return Ok(());
    }
    let memory = bodies(connection, &revisions)?;
    let memory_after = match remembered {
        None => memory.clone(),
        Some(0) => Some(vec![]),
        Some(revision) => bodies(connection, &[revision])?,
    };
    recorded.is_whole = memory.is_some() && memory_after.is_some() && names.is_some();
    let names = names.as_deref().map(from_json).transpose()?.unwrap_or_default();
    recorded.run = Some(Run {
        memory: memory.unwrap_or_default(),
        memory_after: memory_after.unwrap_or_default(),
        passes: passes(connection, id)?,
        names,
        is_ended: state == "ended",
    });
    Ok(())
}

/// The texts of these revisions; `None` if one of them is gone.
fn bodies(connection: &Connection, revisions: &[i64]) -> rusqlite::Result<Option<Vec<String>>> {
    let mut statement = connection.prepare_cached("SELECT body FROM memory WHERE revision = ?")?;
    revisions.iter().map(|revision| statement.query_row([revision], |row| row.get(0)).optional()).collect()
}

fn passes(connection: &Connection, run: i64) -> rusqlite::Result<Passes> {
    let mut statement =
        connection.prepare_cached("SELECT pass, call, reply FROM calls WHERE run = ? ORDER BY pass, id")?;
    let mut rows = statement.query([run])?;
    let mut passes: Passes = vec![];
    while let Some(row) = rows.next()? {
        let (pass, call, reply): (usize, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        passes.resize_with(passes.len().max(pass + 1), Vec::new);
        passes[pass].push((from_json(&call)?, reply.as_deref().map(from_json).transpose()?));
    }
    Ok(passes)
}
