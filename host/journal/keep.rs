//! Removes events by their age, each with everything that hangs on it. Knows what must stay because others need it.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Journal, Reader};
use crate::model::{EventId, Millis};

/// What retention needs to know of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub event: EventId,
    pub tenant: String,
    pub received_at: Millis,
}

/// An event to remove if it was over before `before`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Old {
    pub event: EventId,
    pub before: Millis,
}

/// How far retention believes the clock, and how many events it may remove.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The latest time that retention believes.
    pub at: Millis,
    /// How many events may leave, in thousandths of an event.
    pub allowed: u64,
}

impl Journal {
    /// Keeps the pace of retention for its next round and for the next start.
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

    /// Removes those of these events that were over before their time and are no dead letters, with their runs, calls,
    /// attempts and logs; gives how many. Current memory stays, and so does memory that a later event began with.
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
    // A data request stays until somebody says that it is answered, unless nobody can any more.
    // The newest event stays: its number would be given again, and an entity is known by the number of its first event.
    let leaves: Option<bool> = tx
        .prepare_cached(
            "SELECT outcome IN ('done', 'skipped', 'discarded') AND ended_at < ? AND id < (SELECT max(id) FROM events)
                    AND NOT (topic = 'customers/data_request' AND source = 'shopify' AND outcome <> 'discarded'
                             AND redacted_at IS NULL AND id NOT IN (SELECT event FROM answers)
                             AND tenant NOT IN (SELECT tenant FROM removed_tenants))
             FROM events WHERE id = ? AND outcome IS NOT NULL",
        )?
        .query_row(params![before, event.0], |row| row.get(0))
        .optional()?;
    if leaves != Some(true) {
        return Ok(false);
    }
    let runs = "SELECT id FROM runs WHERE event = ?1";
    for statement in [
        // The memory that this event began with and replaced: no later event began with that.
        "DELETE FROM memory WHERE NOT current AND revision < (SELECT max(revision) FROM memory) AND revision IN
             (SELECT value FROM runs, json_each(runs.memory) WHERE event = ?1 AND remembered IS NOT NULL)"
            .to_owned(),
        format!("DELETE FROM log WHERE run IN ({runs})"),
        format!("DELETE FROM attempts WHERE call IN (SELECT id FROM calls WHERE run IN ({runs}))"),
        format!("DELETE FROM calls WHERE run IN ({runs})"),
        "DELETE FROM runs WHERE event = ?1".to_owned(),
        "DELETE FROM answers WHERE event = ?1".to_owned(),
        "DELETE FROM events WHERE id = ?1".to_owned(),
    ] {
        tx.prepare_cached(&statement)?.execute([event.0])?;
    }
    Ok(true)
}

impl Reader {
    /// Up to `limit` events after this one, of all tenants, in order of arrival.
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
