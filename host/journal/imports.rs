//! Imports: what a tenant has of its past read, and how far that has come. A page's items become events in the transaction
//! that notes the page as read, so that a crash neither loses nor doubles an item. Knows no system and no rules.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::intake::append;
use super::operators::{Deed, record};
use super::usage::{ROW_BYTES, bytes};
use super::{Appended, Journal, Reader, from_json, to_json};
use crate::clock;
use crate::model::{Millis, Webhook};
use crate::scheduler::Input;

/// Finished imports of a tenant that are kept to be shown.
const KEPT: usize = 20;

/// One import of a tenant. One at a time is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub id: i64,
    pub tenant: String,
    pub began_at: Millis,
    pub ended_at: Option<Millis>,
    /// The name of the token that began it.
    pub by: String,
    pub state: State,
    /// Why it is in this state, for people; may be empty.
    pub why: String,
    /// RFC 3339. Without it, everything is read.
    pub since: Option<String>,
    pub readings: Vec<Reading>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// Somebody, or a lack of room, has stopped it for now.
    Paused,
    Done,
    Failed,
    Cancelled,
}

/// How far the reading of one collection has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub pull: String,
    pub source: String,
    /// When its first page was asked for.
    pub begun_at: Option<Millis>,
    pub ended_at: Option<Millis>,
    /// Where to go on; empty at the beginning.
    pub cursor: String,
    pub pages: u64,
    /// How many items there are, as far as anybody knows.
    pub total: Option<u64>,
    pub items: u64,
    /// Items that were found to be in step, so that no event was made of them.
    pub in_step: u64,
    /// Items that are events now.
    pub events: u64,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTaken {
    Yes,
    /// The import does not run any more, or its reading stands elsewhere: nothing was written.
    Moved,
    /// The tenant may have no more bytes in the journal: nothing was written.
    NoRoom,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn named(name: &str) -> Self {
        let all = [Self::Running, Self::Paused, Self::Done, Self::Cancelled];
        all.into_iter().find(|state| state.name() == name).unwrap_or(Self::Failed)
    }

    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl Import {
    /// The reading that is to go on; `None` if all are over.
    pub fn current(&self) -> Option<usize> {
        self.readings.iter().position(|reading| reading.ended_at.is_none())
    }
}

impl Journal {
    /// Begins an import, unless one of the tenant is open; gives its id.
    pub async fn begin_import(&self, import: Import) -> anyhow::Result<Option<i64>> {
        let begin = move |tx: &Transaction| {
            let Import { tenant, began_at, by, state, why, since, readings, .. } = &import;
            let begun = tx.execute(
                "INSERT INTO imports (tenant, began_at, by, state, why, since, readings) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
                params![tenant, began_at, by, state.name(), why, since, to_json(readings)?],
            )?;
            if begun == 0 {
                return Ok(None);
            }
            let id = tx.last_insert_rowid();
            tx.execute(
                "DELETE FROM imports WHERE tenant = ?1 AND ended_at IS NOT NULL AND id NOT IN
                     (SELECT id FROM imports WHERE tenant = ?1 AND ended_at IS NOT NULL ORDER BY id DESC LIMIT ?2)",
                params![tenant, i64::try_from(KEPT).unwrap_or(i64::MAX)],
            )?;
            let pulls: Vec<_> = readings.iter().map(|reading| reading.pull.as_str()).collect();
            let what = format!("begins import {id} of {}", pulls.join(", "));
            record(tx, &Deed { by: by.clone(), tenant: Some(tenant.clone()), what })?;
            Ok(Some(id))
        };
        self.writer.write(begin, |_| ()).await
    }

    /// Changes the state of the import that is open, if it is in one of these states. `by` is whoever asked for that; without
    /// it, the host did so itself. Gives whether there was one.
    pub async fn set_import(
        &self,
        tenant: &str,
        from: &'static [State],
        to: State,
        why: &str,
        by: Option<&str>,
    ) -> anyhow::Result<bool> {
        let (tenant, why, by) = (tenant.to_owned(), why.to_owned(), by.map(str::to_owned));
        let set = move |tx: &Transaction| {
            let open = "SELECT id, state FROM imports WHERE tenant = ? AND ended_at IS NULL";
            let open: Option<(i64, String)> =
                tx.query_row(open, [&tenant], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((id, _)) = open.filter(|(_, state)| from.contains(&State::named(state))) else { return Ok(false) };
            let ended_at = (!to.is_open()).then(clock::now);
            tx.execute(
                "UPDATE imports SET state = ?, why = ?, ended_at = ? WHERE id = ?",
                params![to.name(), why, ended_at, id],
            )?;
            if let Some(by) = by {
                let what = format!("import {id} is {}: {why}", to.name());
                record(tx, &Deed { by, tenant: Some(tenant), what })?;
            }
            Ok(true)
        };
        self.writer.write(set, |_| ()).await
    }

    /// Notes a page as read, and takes in the events of its items, all or nothing. `after` is the reading with the page,
    /// `pages` in it one more than the journal has.
    pub async fn take_page(
        &self,
        import: &Import,
        at: usize,
        after: Reading,
        events: Vec<Webhook>,
        bytes_max: Option<u64>,
    ) -> anyhow::Result<PageTaken> {
        let (feeds, tenant, id) = (self.feeds.clone(), import.tenant.clone(), import.id);
        let of = tenant.clone();
        let take = move |tx: &Transaction| {
            let running = "SELECT readings FROM imports WHERE id = ? AND state = 'running'";
            let known: Option<String> = tx.query_row(running, [id], |row| row.get(0)).optional()?;
            let Some(mut readings) = known.map(|text| from_json::<Vec<Reading>>(&text)).transpose()? else {
                return Ok((PageTaken::Moved, vec![]));
            };
            if readings.get(at).is_none_or(|known| known.pull != after.pull || known.pages + 1 != after.pages) {
                return Ok((PageTaken::Moved, vec![]));
            }
            let more: u64 = events.iter().map(|event| ROW_BYTES + event.payload.len() as u64).sum();
            if let Some(most) = bytes_max
                && !events.is_empty()
                && bytes(tx, &of)?.saturating_add(more) > most
            {
                return Ok((PageTaken::NoRoom, vec![]));
            }
            let mut after = after;
            let mut arrived = vec![];
            for event in &events {
                if let (Appended::Accepted(_) | Appended::Differs { .. }, Some(opened)) = append(tx, event)? {
                    arrived.push(opened);
                }
            }
            after.events += arrived.len() as u64;
            readings[at] = after;
            tx.execute("UPDATE imports SET readings = ? WHERE id = ?", params![to_json(&readings)?, id])?;
            Ok((PageTaken::Yes, arrived))
        };
        let tell = move |(_, arrived): &(PageTaken, Vec<_>)| {
            for opened in arrived {
                feeds.tell(&tenant, Input::Arrived(*opened));
            }
        };
        Ok(self.writer.of(&import.tenant).write(take, tell).await?.0)
    }
}

const COLUMNS: &str = "id, tenant, began_at, ended_at, by, state, why, since, readings";

fn import(row: &Row) -> rusqlite::Result<Import> {
    let state: String = row.get(5)?;
    let readings: String = row.get(8)?;
    Ok(Import {
        id: row.get(0)?,
        tenant: row.get(1)?,
        began_at: row.get(2)?,
        ended_at: row.get(3)?,
        by: row.get(4)?,
        state: State::named(&state),
        why: row.get(6)?,
        since: row.get(7)?,
        readings: from_json(&readings)?,
    })
}

impl Reader {
    /// The imports of all tenants that run.
    pub fn running_imports(&self) -> anyhow::Result<Vec<Import>> {
        let sql = format!("SELECT {COLUMNS} FROM imports WHERE ended_at IS NULL AND state = 'running' ORDER BY id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_map([], import)?.collect::<Result<_, _>>()?)
    }

    /// The imports of a tenant, the newest first.
    pub fn imports(&self, tenant: &str) -> anyhow::Result<Vec<Import>> {
        let sql = format!("SELECT {COLUMNS} FROM imports WHERE tenant = ? ORDER BY id DESC");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_map([tenant], import)?.collect::<Result<_, _>>()?)
    }

    /// What the events of an import have come to: how many wait, and how many are over, by outcome.
    pub fn outcomes_of_import(&self, tenant: &str, import: i64) -> anyhow::Result<Vec<(Option<String>, u64)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT outcome, count(*) FROM events
             WHERE tenant = ?1 AND source IN ('shopify', 'omneo') AND delivery_id >= ?2 AND delivery_id < ?3
             GROUP BY outcome ORDER BY outcome",
        )?;
        let (from, to) = (format!("import/{import}/"), format!("import/{import}0"));
        let rows = statement.query_map(params![tenant, from, to], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many events of items a tenant has that are not over, up to `most`.
    pub fn waiting_items(&self, tenant: &str, most: usize) -> anyhow::Result<usize> {
        let mut statement = self.connection.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM events INDEXED BY waiting
                 WHERE tenant = ? AND outcome IS NULL AND delivery_id LIKE 'import/%' LIMIT ?)",
        )?;
        Ok(statement.query_row(params![tenant, most], |row| row.get(0))?)
    }

    /// What is remembered of the entity with this name, newest first; `None` if an event that is not over may be about it.
    pub fn remembered_at_rest(&self, tenant: &str, name: &str, busy: &[String]) -> anyhow::Result<Option<Vec<String>>> {
        let Some((entity, names)) = super::names::standing(&self.connection, tenant, name)? else {
            return Ok(Some(vec![]));
        };
        if names.iter().any(|name| busy.contains(name)) {
            return Ok(None);
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT body FROM memory WHERE entity = ? AND current ORDER BY revision DESC")?;
        let memory = statement.query_map([entity.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Some(memory))
    }

    /// The names of everything that events of a tenant are about that are not over; `None` if that is not known of one of them.
    pub fn busy_names(&self, tenant: &str) -> anyhow::Result<Option<Vec<String>>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT entity FROM events INDEXED BY waiting WHERE tenant = ? AND outcome IS NULL")?;
        let mut rows = statement.query([tenant])?;
        let mut names = vec![];
        while let Some(row) = rows.next()? {
            let Some(entity) = row.get::<_, Option<String>>(0)? else { return Ok(None) };
            names.extend(from_json::<crate::model::Entity>(&entity)?.names);
        }
        Ok(Some(names))
    }
}
