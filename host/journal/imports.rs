//! Imports: what a tenant has of its past read, and how far that has come. A page's items become events in the transaction
//! that notes the page as read, so that a crash neither loses nor doubles an item. Knows no system and no rules.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::clues;
use super::directions::Mode;
use super::intake::append;
use super::missing::{self, Listed};
use super::operators::{Deed, record};
use super::usage::{ROW_BYTES, bytes};
use super::{Appended, Journal, Reader, from_json, to_json};
use crate::clock;
use crate::model::{EventId, Millis, Webhook};
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
    /// The name of the token that began it; `HOST` for the host itself.
    pub by: String,
    pub kind: Kind,
    /// Whether nothing is made of what is read.
    pub plan: bool,
    /// Whether somebody has agreed to what the rules warn of, and to many names that are not listed any more.
    pub agreed: bool,
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

/// Who begins the reconciliations that nobody has asked for.
pub const HOST: &str = "the host";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody wants what there is to be read.
    Import,
    /// What has changed since the last reading is read again, in case that a webhook never came.
    Reconciliation,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Reconciliation => "reconciliation",
        }
    }

    fn named(name: &str) -> Self {
        if name == Self::Reconciliation.name() { Self::Reconciliation } else { Self::Import }
    }
}

/// How far the reading of one collection has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    pub pull: String,
    pub source: String,
    /// RFC 3339: only what has changed since then is read.
    pub since: Option<String>,
    /// The kind of names that are compared with those that are known, `shopify/customer`. Nothing else of the items is read
    /// then.
    pub names_of: Option<String>,
    /// Why its end is not what was wanted, for people; may be empty.
    pub why: String,
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
    /// Items that are events now; in a plan, those that would be.
    pub events: u64,
    /// Known names that were not listed, so that an event was made of each.
    pub missing: u64,
    /// A digest of the names of the last page; empty if it had none.
    pub last_page: String,
    /// How often that page has come again.
    pub same_pages: u64,
    /// What the rules would begin with, for some of the items that are not in step. Only in a plan.
    pub sample: Vec<Sampled>,
    /// The job that reads everything at once, in the place of pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// What the rules would do about some items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// `would write: POST omneo /profiles`, or how the event would end.
    pub what: String,
    pub items: u64,
    /// The names of a few of them.
    pub names: Vec<String>,
}

/// A job of the source, and how far its file was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// SHA-256 of the query that it runs.
    pub query: String,
    /// The source's name for it; empty while it has not begun.
    pub id: String,
    /// When it was asked for, or when it was first refused because too many others run.
    pub asked_at: Option<Millis>,
    /// The newest event when it was asked for.
    pub asked_after: i64,
    /// Jobs before it that ended without a whole file.
    pub failed: u32,
    /// Downloads of its file in vain.
    pub downloads: u32,
    /// The bytes of its file, once it is known to be whole; and where the next item begins.
    pub size: u64,
    pub offset: u64,
}

/// A page that was read.
pub struct TakenPage {
    /// Which of the import's readings it belongs to.
    pub at: usize,
    /// That reading with the page: `pages` in it is one more than the journal has.
    pub after: Reading,
    pub events: Vec<Webhook>,
    pub items: Vec<Item>,
    /// The newest event of the journal when the page was asked for.
    pub asked_after: EventId,
    /// How many bytes the tenant may have in the journal.
    pub bytes_max: u64,
}

/// How many events of an import have come to one outcome, of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// `pull/customers`, or `missing/customers` for known names that were not listed.
    pub topic: String,
    /// `None`: they are not over.
    pub outcome: Option<String>,
    pub events: u64,
}

/// An item of a page, as far as all items are noted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    pub name: String,
    /// What may tell that an item of another collection is about the same: `email/ada@example.org`.
    pub clues: Vec<String>,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTaken {
    Yes,
    /// The import does not run any more, or its reading stands elsewhere: nothing was written.
    Moved,
    /// The tenant may have no more bytes in the journal: nothing was written.
    NoRoom,
    /// What comes from the system that was read is dropped: nothing was written.
    Dropped,
    /// Somebody's data was to be redacted after the page was asked for, and may be in it: nothing was written.
    Redacted,
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
            let Import { tenant, began_at, by, kind, plan, agreed, state, why, since, readings, .. } = &import;
            let begun = tx.execute(
                "INSERT INTO imports (tenant, began_at, by, kind, plan, agreed, state, why, since, readings)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![tenant, began_at, by, kind.name(), plan, agreed, state.name(), why, since, to_json(readings)?],
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
            let plan = if *plan { "the plan of " } else { "" };
            let what = format!("begins {plan}{} {id} of {}", kind.name(), pulls.join(", "));
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
            if !to.is_open() {
                missing::forget(tx, &tenant)?;
            }
            if let Some(by) = by {
                let what = format!("import {id} is {}: {why}", to.name());
                record(tx, &Deed { by, tenant: Some(tenant), what })?;
            }
            Ok(true)
        };
        self.writer.write(set, |_| ()).await
    }

    /// Notes a page as read, and takes in the events of its items, all or nothing. The last page of a reading moves the
    /// collection's checkpoint; that of a reading by names has an event made of each known name that was not listed.
    pub async fn take_page(&self, import: &Import, page: TakenPage) -> anyhow::Result<PageTaken> {
        let (feeds, import, writer) = (self.feeds.clone(), import.clone(), self.writer.of(&import.tenant));
        let (tenant, kind, is_plan) = (import.tenant.clone(), import.kind, import.plan);
        if !is_plan && self.mode(&tenant, &page.after.source) == Mode::Drop {
            return Ok(PageTaken::Dropped);
        }
        let before = import.readings.get(page.at).map_or(0, |reading| reading.in_step);
        let (source, in_step) = (page.after.source.clone(), page.after.in_step.saturating_sub(before));
        let take = move |tx: &Transaction| {
            let TakenPage { at, mut after, mut events, items, asked_after, bytes_max } = page;
            let running = "SELECT readings FROM imports WHERE id = ? AND state = 'running'";
            let known: Option<String> = tx.query_row(running, [import.id], |row| row.get(0)).optional()?;
            let Some(mut readings) = known.map(|text| from_json::<Vec<Reading>>(&text)).transpose()? else {
                return Ok((PageTaken::Moved, vec![], 0));
            };
            if readings.get(at).is_none_or(|known| known.pull != after.pull || known.pages + 1 != after.pages) {
                return Ok((PageTaken::Moved, vec![], 0));
            }
            if is_redacted_since(tx, &import.tenant, asked_after)? {
                return Ok((PageTaken::Redacted, vec![], 0));
            }
            let names = items.iter().map(|item| &*item.name);
            if after.names_of.is_some() {
                missing::list(tx, &import.tenant, after.pages == 1, names)?;
            } else {
                let begins = after.pages == 1 && after.since.is_none();
                let noted = items.iter().map(|item| (&*item.name, &*item.clues));
                clues::note(tx, &import.tenant, &after.pull, begins, noted)?;
            }
            if after.ended_at.is_some() {
                match &after.names_of {
                    Some(kind) => match missing::of(tx, listed(&import, kind, &after))? {
                        Ok(missing) => {
                            after.missing = missing.len() as u64;
                            events.extend(missing);
                        }
                        Err(why) => after.why = why,
                    },
                    None if !import.plan => checkpoint(tx, &import.tenant, &after)?,
                    None => {}
                }
            }
            let more: u64 = events.iter().map(|event| ROW_BYTES + event.payload.len() as u64).sum();
            if !events.is_empty() && bytes(tx, &import.tenant)?.saturating_add(more) > bytes_max {
                return Ok((PageTaken::NoRoom, vec![], 0));
            }
            let (missing, mut arrived) = (after.missing, vec![]);
            if import.plan {
                after.events += events.len() as u64 - after.missing;
            } else {
                for event in &events {
                    if let (Appended::Accepted(_) | Appended::Differs { .. }, Some(opened)) = append(tx, event)? {
                        arrived.push(opened);
                    }
                }
                after.events += arrived.len() as u64;
            }
            if after.names_of.is_some() && after.ended_at.is_some() {
                missing::forget(tx, &import.tenant)?;
            }
            readings[at] = after;
            tx.execute("UPDATE imports SET readings = ? WHERE id = ?", params![to_json(&readings)?, import.id])?;
            Ok((PageTaken::Yes, arrived, missing))
        };
        let metrics = self.metrics.clone();
        let tell = move |(taken, arrived, missing): &(PageTaken, Vec<_>, u64)| {
            if *taken == PageTaken::Yes && !is_plan {
                let events = (arrived.len() as u64).saturating_sub(*missing);
                for (found, items) in [("in step", in_step), ("event", events), ("missing", *missing)] {
                    metrics.items_read(kind.name(), &source, found, items);
                }
            }
            for opened in arrived {
                feeds.tell(&tenant, Input::Arrived(*opened));
            }
        };
        Ok(writer.write(take, tell).await?.0)
    }
}

fn listed<'a>(import: &'a Import, kind: &'a str, over: &'a Reading) -> Listed<'a> {
    let Reading { pull, source, .. } = over;
    Listed { tenant: &import.tenant, import: import.id, pull, source, kind, agreed: import.agreed }
}

/// Whether somebody's data was to be redacted since an event came.
fn is_redacted_since(tx: &Transaction, tenant: &str, event: EventId) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM events WHERE tenant = ? AND id > ? AND source = 'shopify'
             AND topic IN ('customers/redact', 'shop/redact'))",
    )?
    .query_row(params![tenant, event.0], |row| row.get(0))
}

/// Notes until when the changes of a collection are read. A reading that begins later than the one before was begun, or than
/// the tenant was first served, leaves a gap, and so moves nothing.
fn checkpoint(tx: &Transaction, tenant: &str, over: &Reading) -> rusqlite::Result<()> {
    let Some(at) = over.begun_at else { return Ok(()) };
    let from = over.since.as_deref().map_or(Some(Millis::MIN), clock::parse);
    tx.execute(
        "INSERT INTO checkpoints (tenant, pull, at)
         SELECT ?1, ?2, ?3 WHERE coalesce((SELECT at FROM checkpoints WHERE tenant = ?1 AND pull = ?2),
                                          (SELECT min(at) FROM activations WHERE tenant = ?1), ?4) >= ?4
         ON CONFLICT DO UPDATE SET at = excluded.at",
        params![tenant, over.pull, at, from.unwrap_or(Millis::MAX)],
    )?;
    Ok(())
}

const COLUMNS: &str = "id, tenant, began_at, ended_at, by, state, why, since, readings, kind, plan, agreed";

fn import(row: &Row) -> rusqlite::Result<Import> {
    let state: String = row.get(5)?;
    let (readings, kind): (String, String) = (row.get(8)?, row.get(9)?);
    Ok(Import {
        id: row.get(0)?,
        tenant: row.get(1)?,
        began_at: row.get(2)?,
        ended_at: row.get(3)?,
        by: row.get(4)?,
        kind: Kind::named(&kind),
        plan: row.get(10)?,
        agreed: row.get(11)?,
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

    /// Until when the changes of a tenant's collections were read, by collection.
    pub fn checkpoints(&self, tenant: &str) -> anyhow::Result<BTreeMap<String, Millis>> {
        let mut statement = self.connection.prepare_cached("SELECT pull, at FROM checkpoints WHERE tenant = ?")?;
        Ok(statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    }

    /// Tenants that were served before this time already and of which no reconciliation has come to its end since, with when the
    /// last one did, if any is known.
    pub fn not_reconciled_since(&self, before: Millis, most: usize) -> anyhow::Result<Vec<(String, Option<Millis>)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT served.tenant, last FROM (SELECT tenant, min(at) AS at FROM activations GROUP BY tenant) AS served
             LEFT JOIN (SELECT tenant, max(ended_at) AS last FROM imports
                 WHERE kind = 'reconciliation' AND state = 'done' AND NOT plan GROUP BY tenant) AS reconciled
                 ON reconciled.tenant = served.tenant
             WHERE served.at < ?1 AND coalesce(last, 0) < ?1 ORDER BY served.tenant LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before, most], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When a tenant was first served, which is when a version was first activated.
    pub fn served_since(&self, tenant: &str) -> anyhow::Result<Option<Millis>> {
        let mut statement = self.connection.prepare_cached("SELECT min(at) FROM activations WHERE tenant = ?")?;
        Ok(statement.query_row([tenant], |row| row.get(0))?)
    }

    /// What the events of an import have come to: for each topic, how many wait, and how many are over, by outcome.
    pub fn outcomes_of_import(&self, tenant: &str, import: i64) -> anyhow::Result<Vec<Outcomes>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT topic, outcome, count(*) FROM events
             WHERE tenant = ?1 AND source IN ('shopify', 'omneo') AND delivery_id >= ?2 AND delivery_id < ?3
             GROUP BY topic, outcome ORDER BY topic, outcome",
        )?;
        let (from, to) = (format!("import/{import}/"), format!("import/{import}0"));
        let rows = statement.query_map(params![tenant, from, to], |row| {
            Ok(Outcomes { topic: row.get(0)?, outcome: row.get(1)?, events: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many events of a tenant are not over, and how many of these are items. Counts no more than the first `most`.
    pub fn waiting_items(&self, tenant: &str, most: usize) -> anyhow::Result<(usize, usize)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT count(*), coalesce(sum(delivery_id LIKE 'import/%'), 0) FROM
                 (SELECT delivery_id FROM events INDEXED BY waiting WHERE tenant = ? AND outcome IS NULL LIMIT ?)",
        )?;
        Ok(statement.query_row(params![tenant, most], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Whether somebody's data is to be redacted, and is not yet.
    pub fn is_redacting(&self, tenant: &str) -> anyhow::Result<bool> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM events INDEXED BY waiting WHERE tenant = ? AND outcome IS NULL
                 AND source = 'shopify' AND topic IN ('customers/redact', 'shop/redact'))",
        )?;
        Ok(statement.query_row([tenant], |row| row.get(0))?)
    }

    /// The newest event of the journal.
    pub fn newest_event(&self) -> anyhow::Result<EventId> {
        let mut statement = self.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM events")?;
        Ok(EventId(statement.query_row([], |row| row.get(0))?))
    }

    /// The names that count of the entity with this name.
    pub fn standing_names(&self, tenant: &str, name: &str) -> anyhow::Result<Vec<String>> {
        Ok(super::names::standing(&self.connection, tenant, name)?.map(|(_, names)| names).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_checkpoint_moves_only_where_no_gap_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, _thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        let at = || journal.read(|reader| reader.checkpoints("acme")).unwrap().get("orders").copied();
        let over = async |since: Option<&str>, begun_at| {
            let reading = Reading {
                pull: "orders".into(),
                since: since.map(str::to_owned),
                begun_at: Some(begun_at),
                ended_at: Some(begun_at),
                ..Reading::default()
            };
            let moved = move |tx: &Transaction| checkpoint(tx, "acme", &reading);
            journal.writer.write(moved, |()| ()).await.unwrap();
        };
        let served = |tx: &Transaction| {
            let sql =
                "INSERT INTO activations (tenant, digest, at, cause, current) VALUES ('acme', 'd', 1500, 'c', TRUE)";
            tx.execute(sql, [])
        };
        journal.writer.write(served, |_| ()).await.unwrap();
        over(Some("1970-01-01T00:00:02Z"), 2_500).await;
        assert_eq!(at(), None, "between 1.5 and 2 the tenant was served, and nothing was read");
        over(Some("1970-01-01T00:00:01Z"), 2_000).await;
        assert_eq!(at(), Some(2_000));
        over(Some("1970-01-01T00:00:02Z"), 5_000).await;
        assert_eq!(at(), Some(5_000));
        over(Some("1970-01-01T00:00:06Z"), 9_000).await;
        assert_eq!(at(), Some(5_000), "between 5 and 6 nothing was read");
        over(Some("nonsense"), 9_000).await;
        assert_eq!(at(), Some(5_000));
        over(None, 10_000).await;
        assert_eq!(at(), Some(10_000));
    }
}
