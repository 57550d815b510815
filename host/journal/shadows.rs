//! Shadows: which version of a tenant runs beside the live one, how far it has followed the events, and what it found.
//! Knows no rules.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Journal, Reader};
use crate::clock;
use crate::model::{EventId, Millis};

/// A version that runs beside the live one. A tenant has at most one, running or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    pub tenant: String,
    pub digest: String,
    pub since: Millis,
    /// The last event that it has passed.
    pub cursor: EventId,
    /// The shadow ends after this many events.
    pub events_max: Option<u64>,
    /// When and why it ended, if it did.
    pub ended: Option<(Millis, String)>,
}

const COLUMNS: &str = "tenant, digest, since, cursor, events_max, ended_at, ended";

impl Journal {
    /// Makes a version follow the events that arrive from now on, in place of the tenant's last shadow.
    pub async fn begin_shadow(
        &self,
        tenant: &str,
        digest: &str,
        events_max: Option<u64>,
        report: String,
    ) -> anyhow::Result<()> {
        let (tenant, digest) = (tenant.to_owned(), digest.to_owned());
        let begin = move |tx: &Transaction| {
            // Not `OR REPLACE`: it runs no trigger for the row that it removes, whose bytes would be counted for ever.
            tx.execute("DELETE FROM shadows WHERE tenant = ?", [&tenant])?;
            tx.execute(
                "INSERT INTO shadows (tenant, digest, since, cursor, events_max, report)
                 SELECT ?, ?, ?, coalesce(max(id), 0), ?, ? FROM events",
                params![tenant, digest, clock::now(), events_max, report],
            )
        };
        self.writer.write(begin, |_| ()).await.map(drop)
    }

    /// Keeps how far a shadow is and what it has found, unless it was ended or replaced.
    pub async fn keep_shadow(&self, shadow: &Shadow, report: String) -> anyhow::Result<()> {
        let Shadow { tenant, digest, since, cursor, ended, .. } = shadow.clone();
        let (ended_at, ended) = ended.unzip();
        let keep = move |tx: &Transaction| {
            tx.execute(
                "UPDATE shadows SET cursor = ?, report = ?, ended_at = ?, ended = ?
                 WHERE tenant = ? AND digest = ? AND since = ? AND ended IS NULL",
                params![cursor.0, report, ended_at, ended, tenant, digest, since],
            )
        };
        self.writer.write(keep, |_| ()).await.map(drop)
    }

    /// Ends a tenant's shadow; what it has found stays. `false`: none runs.
    pub async fn end_shadow(&self, tenant: &str, why: &str) -> anyhow::Result<bool> {
        let (tenant, why) = (tenant.to_owned(), why.to_owned());
        let end = move |tx: &Transaction| {
            let sql = "UPDATE shadows SET ended_at = ?, ended = ? WHERE tenant = ? AND ended IS NULL";
            Ok(tx.execute(sql, params![clock::now(), why, tenant])? == 1)
        };
        self.writer.write(end, |_| ()).await
    }
}

impl Reader {
    /// The shadows that run.
    pub fn shadows(&self) -> anyhow::Result<Vec<Shadow>> {
        let sql = format!("SELECT {COLUMNS} FROM shadows WHERE ended IS NULL ORDER BY tenant");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], read_shadow)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The shadow of a tenant, over or not, and what it has found, as JSON.
    pub fn shadow(&self, tenant: &str) -> anyhow::Result<Option<(Shadow, String)>> {
        let sql = format!("SELECT {COLUMNS}, report FROM shadows WHERE tenant = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([tenant], |row| Ok((read_shadow(row)?, row.get(7)?))).optional()?)
    }

    /// How far a shadow can go now: to just before the first event of its tenant that is not over and was received at
    /// `received_since` or later.
    pub fn shadow_may_go_to(&self, shadow: &Shadow, received_since: Millis) -> anyhow::Result<EventId> {
        let mut waiting = self.connection.prepare_cached(
            "SELECT min(id) FROM events WHERE outcome IS NULL AND id > ? AND tenant = ? AND received_at >= ?",
        )?;
        let waiting: Option<i64> =
            waiting.query_row(params![shadow.cursor.0, shadow.tenant, received_since], |row| row.get(0))?;
        if let Some(waiting) = waiting {
            return Ok(EventId(waiting - 1));
        }
        let mut last = self.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM events")?;
        Ok(EventId(last.query_row([], |row| row.get(0))?))
    }
}

fn read_shadow(row: &Row) -> rusqlite::Result<Shadow> {
    let (ended_at, ended): (Option<Millis>, Option<String>) = (row.get(5)?, row.get(6)?);
    Ok(Shadow {
        tenant: row.get(0)?,
        digest: row.get(1)?,
        since: row.get(2)?,
        cursor: EventId(row.get(3)?),
        events_max: row.get(4)?,
        ended: ended_at.zip(ended),
    })
}
