//! What leaves the journal by its age: an event that is over, with all that hangs on it. Knows what must stay for others.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Journal, Reader};
use crate::model::{EventId, Millis};

/// An event as far as its age goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub event: EventId,
    pub tenant: String,
    pub received_at: Millis,
}

/// An event that leaves if it was over before then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Old {
    pub event: EventId,
    pub before: Millis,
}

/// How far the clock is believed by which events are old, and how many may leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The latest time that is believed.
    pub at: Millis,
    /// Thousandths of events.
    pub allowed: u64,
}

impl Journal {
    /// Keeps the pace of retention for the next look, and for the next start.
    pub async fn keep_pace(&self, pace: Pace) -> anyhow::Result<()> {
        let keep = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO retention (one, at, allowed) VALUES (1, ?, ?)
                 ON CONFLICT DO UPDATE SET at = excluded.at, allowed = excluded.allowed",
                params![pace.at, pace.allowed],
            )
        };
        self.writer.write(keep, |_| ()).await.map(drop)
    }

    /// Takes out those of these events that are over since then and no dead letters, with their runs, calls, attempts and
    /// logs; gives how many. What is remembered now stays, and so does what a later event began with.
    pub async fn remove(&self, events: Vec<Old>) -> anyhow::Result<u64> {
        let remove = move |tx: &Transaction| {
            let mut removed = 0;
            for old in &events {
                removed += u64::from(remove(tx, *old)?);
            }
            Ok(removed)
        };
        self.writer.write(remove, |_| ()).await
    }
}

fn remove(tx: &Transaction, Old { event, before }: Old) -> rusqlite::Result<bool> {
    // The newest stays: its number would be given again, and entities go by the number of their first event.
    let leaves: Option<bool> = tx
        .prepare_cached(
            "SELECT outcome IN ('done', 'skipped', 'discarded') AND ended_at < ? AND id < (SELECT max(id) FROM events)
             FROM events WHERE id = ? AND outcome IS NOT NULL",
        )?
        .query_row(params![before, event.0], |row| row.get(0))
        .optional()?;
    if leaves != Some(true) {
        return Ok(false);
    }
    let runs = "SELECT id FROM runs WHERE event = ?1";
    for statement in [
        // What the event left something newer in the place of: only those before it began with that.
        "DELETE FROM memory WHERE NOT current AND revision < (SELECT max(revision) FROM memory) AND revision IN
             (SELECT value FROM runs, json_each(runs.memory) WHERE event = ?1 AND remembered IS NOT NULL)"
            .to_owned(),
        format!("DELETE FROM log WHERE run IN ({runs})"),
        format!("DELETE FROM attempts WHERE call IN (SELECT id FROM calls WHERE run IN ({runs}))"),
        format!("DELETE FROM calls WHERE run IN ({runs})"),
        "DELETE FROM runs WHERE event = ?1".to_owned(),
        "DELETE FROM events WHERE id = ?1".to_owned(),
    ] {
        tx.prepare_cached(&statement)?.execute([event.0])?;
    }
    Ok(true)
}

impl Reader {
    /// The next so many events after this one, of all tenants, in order of arrival.
    pub fn received(&self, after: EventId, limit: usize) -> anyhow::Result<Vec<Received>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, tenant, received_at FROM events WHERE id > ? ORDER BY id LIMIT ?")?;
        let rows = statement.query_map(params![after.0, limit], |row| {
            Ok(Received { event: EventId(row.get(0)?), tenant: row.get(1)?, received_at: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The pace of retention as it was kept last.
    pub fn pace(&self) -> anyhow::Result<Option<Pace>> {
        let mut statement = self.connection.prepare_cached("SELECT at, allowed FROM retention WHERE one = 1")?;
        Ok(statement.query_row([], |row| Ok(Pace { at: row.get(0)?, allowed: row.get(1)? })).optional()?)
    }

    /// When the newest event was received.
    pub fn newest(&self) -> anyhow::Result<Option<Millis>> {
        let mut statement =
            self.connection.prepare_cached("SELECT received_at FROM events ORDER BY id DESC LIMIT 1")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    pub fn events_count(&self) -> anyhow::Result<u64> {
        Ok(self.connection.prepare_cached("SELECT count(*) FROM events")?.query_row([], |row| row.get(0))?)
    }
}
