//! The directions of a tenant, named by the system that events come from: whether its events run, are held, or are
//! dropped.
//!
//! Knows the modes and who set them; not how the stages apply them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rusqlite::{Transaction, params};

use super::operators::{Deed, record};
use super::{Journal, Reader};
use crate::model::Millis;
use crate::scheduler::{Input, System};

/// What happens to events that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Run,
    /// Events are kept, and begin when the direction runs again.
    Hold,
    /// Events are acknowledged, and end at once as skipped.
    Drop,
}

/// A direction with its mode, and who set it.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    pub tenant: String,
    /// `shopify` or `omneo`: where its events come from.
    pub source: String,
    pub mode: Mode,
    pub since: Millis,
    /// The name of the token that was used.
    pub by: String,
    pub why: String,
}

/// The directions that are held or dropped, by tenant. They are in memory because every webhook looks them up.
#[derive(Debug, Default)]
pub struct Directions(RwLock<HashMap<String, Vec<Direction>>>);

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Hold => "hold",
            Self::Drop => "drop",
        }
    }
}

impl Directions {
    pub(super) fn set(&self, direction: Direction) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of = known.entry(direction.tenant.clone()).or_default();
        of.retain(|other| other.source != direction.source);
        if direction.mode != Mode::Run {
            of.push(direction);
        }
    }

    pub(super) fn forget(&self, tenant: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    fn of(&self, tenant: &str) -> Vec<Direction> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).cloned().unwrap_or_default()
    }
}

impl Journal {
    /// The directions of a tenant that are held or dropped.
    pub fn directions(&self, tenant: &str) -> Vec<Direction> {
        self.directions.of(tenant)
    }

    /// The mode of one direction.
    pub fn mode(&self, tenant: &str, source: &str) -> Mode {
        let directions = self.directions(tenant);
        directions.iter().find(|direction| direction.source == source).map_or(Mode::Run, |direction| direction.mode)
    }

    /// Sets the mode of a direction, and says so in the audit trail. When this returns, it is on disk.
    pub async fn direct(&self, direction: Direction) -> anyhow::Result<()> {
        let (known, feeds, told) = (self.directions.clone(), self.feeds.clone(), direction.clone());
        let set = move |tx: &Transaction| {
            let Direction { tenant, source, mode, since, by, why } = direction;
            match mode {
                Mode::Run => {
                    tx.execute("DELETE FROM directions WHERE tenant = ? AND source = ?", [&tenant, &source])?;
                }
                Mode::Hold | Mode::Drop => {
                    tx.execute(
                        "INSERT INTO directions (tenant, source, mode, since, by, why) VALUES (?, ?, ?, ?, ?, ?)
                         ON CONFLICT DO UPDATE SET mode = excluded.mode, since = excluded.since, by = excluded.by,
                             why = excluded.why",
                        params![tenant, source, mode.name(), since, by, why],
                    )?;
                }
            }
            let does = match mode {
                Mode::Run => "runs",
                Mode::Hold => "holds",
                Mode::Drop => "drops",
            };
            record(tx, &Deed { by, tenant: Some(tenant), what: format!("{does} what comes from {source}: {why}") })
        };
        let tell = move |(): &()| {
            let (source, is_held) = (System::named(&told.source), told.mode == Mode::Hold);
            feeds.tell(&told.tenant, Input::Directed { source, is_held });
            known.set(told);
        };
        self.writer.write(set, tell).await
    }
}

impl Reader {
    /// Every direction that is held or dropped.
    pub fn directions(&self) -> anyhow::Result<Vec<Direction>> {
        let mut statement = self
            .connection
            .prepare("SELECT tenant, source, mode, since, by, why FROM directions ORDER BY tenant, source")?;
        let rows = statement.query_map([], |row| {
            let mode: String = row.get(2)?;
            Ok(Direction {
                tenant: row.get(0)?,
                source: row.get(1)?,
                mode: if mode == Mode::Drop.name() { Mode::Drop } else { Mode::Hold },
                since: row.get(3)?,
                by: row.get(4)?,
                why: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many events of a tenant are not over, by their source.
    pub fn waiting_from(&self, tenant: &str) -> anyhow::Result<HashMap<String, u64>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT source, count(*) FROM events WHERE outcome IS NULL AND tenant = ? GROUP BY source",
        )?;
        let rows = statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
