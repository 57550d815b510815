//! Redaction: removes personal data from rows that stay, and from the file. Knows what rows hold; not whose data it is.

use std::time::Duration;

use anyhow::Context;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Journal, Reader, drop_open_runs, finish, names};
use crate::clock;
use crate::model::{EntityId, EventId, Outcome};
use crate::scheduler::Input;

/// Events that one transaction redacts, so that no webhook waits long behind it.
const EVENTS_PER_WRITE: usize = 100;
/// How often to try to empty the log of writes, and the pause between tries: somebody may be reading it.
const EMPTY_TRIES: u32 = 100;
const EMPTY_PAUSE: Duration = Duration::from_millis(50);

/// What was redacted at the request of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Redacted {
    pub events: u64,
    /// How many of them are not over, and are redacted at their end.
    pub waiting: u64,
    pub calls: u64,
}

/// An event with all its texts, to be searched.
#[derive(Debug)]
pub struct Texts {
    pub event: EventId,
    pub source: String,
    pub topic: String,
    /// What the rules said it is about.
    pub entity: Option<crate::model::Entity>,
    pub payload: String,
    /// Reason, calls, replies, attempts and log.
    pub others: Vec<String>,
}

impl Journal {
    /// Removes personal data from these events: at once from those that are over, and from the others at their end. The
    /// names of their entities stay if they are ids.
    pub async fn redact(&self, by: EventId, events: &[EventId]) -> anyhow::Result<()> {
        for some in events.chunks(EVENTS_PER_WRITE) {
            let some = some.to_vec();
            let redact = move |tx: &Transaction| some.iter().try_for_each(|event| mark(tx, by, *event));
            self.writer.write(redact, |()| ()).await?;
        }
        Ok(())
    }

    /// Ends every event of a tenant that came before this one and is not over, and forgets all names, all memory and all
    /// imports.
    pub async fn erase(&self, tenant: &str, by: EventId) -> anyhow::Result<()> {
        let of = tenant.to_owned();
        let forget = move |tx: &Transaction| {
            ["imports", "checkpoints", "clues", "listed"]
                .iter()
                .try_for_each(|table| tx.execute(&format!("DELETE FROM {table} WHERE tenant = ?"), [&of]).map(drop))
        };
        self.writer.write(forget, |()| ()).await?;
        let waiting = self.read(|reader| reader.waiting_before(tenant, by))?;
        for some in waiting.chunks(EVENTS_PER_WRITE) {
            let some = some.to_vec();
            let (feeds, told) = (self.feeds.clone(), tenant.to_owned());
            let end = move |tx: &Transaction| {
                some.iter().try_for_each(|event| cut_off(tx, *event))?;
                Ok(some)
            };
            let tell = move |some: &Vec<EventId>| feeds.tell(&told, Input::Over { events: some.clone() });
            self.writer.write(end, tell).await?;
        }
        loop {
            let tenant = tenant.to_owned();
            if self.writer.write(move |tx| forget_some(tx, &tenant), |_| ()).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Forgets the memory of the entities with these names, except the record of who is deleted.
    pub async fn forget(&self, tenant: &str, names: Vec<String>, by: EventId) -> anyhow::Result<()> {
        let tenant = tenant.to_owned();
        let job = move |tx: &Transaction| {
            for name in &names {
                if let Some(entity) = names::find(tx, &tenant, name)? {
                    forget(tx, entity, by)?;
                }
            }
            Ok(())
        };
        self.writer.write(job, |()| ()).await
    }

    /// Empties the log of writes, which still holds what was redacted. A long read may prevent that; every start
    /// empties the log, too.
    pub async fn empty_log(&self) -> anyhow::Result<()> {
        for _ in 0..EMPTY_TRIES {
            if self.writer.empty_log().await? {
                return Ok(());
            }
            tokio::time::sleep(EMPTY_PAUSE).await;
        }
        tracing::warn!(
            blame = "host",
            "somebody reads the journal; what was redacted leaves its log of writes at the next start"
        );
        Ok(())
    }
}

/// Marks an event, and redacts it if it is over.
fn mark(tx: &Transaction, by: EventId, event: EventId) -> rusqlite::Result<()> {
    let over = tx
        .prepare_cached(
            "UPDATE events SET redacted_at = ?, redacted_by = ? WHERE id = ? AND redacted_by IS NULL
             RETURNING outcome IS NOT NULL",
        )?
        .query_row(params![clock::now(), by.0, event.0], |row| row.get(0))
        .optional()?;
    if over == Some(true) { scrub(tx, event) } else { Ok(()) }
}

/// Removes personal data from an event that is over. An event that requested its own redaction keeps its reason, which
/// says how much was redacted. Names that hold an `@` are e-mail addresses.
pub(super) fn scrub(tx: &Transaction, event: EventId) -> rusqlite::Result<()> {
    let runs = "SELECT id FROM runs WHERE event = ?1";
    for statement in [
        "UPDATE events SET payload = '', reason = CASE WHEN redacted_by = id THEN reason END,
                entity = CASE WHEN instr(entity, '@') = 0
                    AND (SELECT topic FROM events AS other WHERE other.id = events.redacted_by) <> 'shop/redact'
                    THEN entity END
         WHERE id = ?1"
            .to_owned(),
        format!("UPDATE attempts SET outcome = 'redacted' WHERE call IN (SELECT id FROM calls WHERE run IN ({runs}))"),
        format!("UPDATE calls SET call = '', reply = '', given_up = NULL WHERE run IN ({runs})"),
        "UPDATE runs SET names = NULL WHERE event = ?1".to_owned(),
        format!("DELETE FROM log WHERE run IN ({runs})"),
    ] {
        tx.prepare_cached(&statement)?.execute([event.0])?;
    }
    Ok(())
}

/// Forgets the memory of an entity, except what event `by` left and the member `gone` of a text. Rules keep there, by
/// id, who is deleted; without it, a later event would bring them back. Memory without such a member is forgotten
/// entirely.
pub(super) fn forget(tx: &Transaction, entity: EntityId, by: EventId) -> rusqlite::Result<()> {
    let gone = "CASE WHEN json_valid(body) THEN json_extract(body, '$.gone') END";
    tx.execute(
        &format!("DELETE FROM memory WHERE entity = ? AND event <> ? AND (NOT current OR {gone} IS NULL)"),
        [entity.0, by.0],
    )?;
    tx.execute(
        &format!("UPDATE memory SET body = json_object('gone', json({gone})) WHERE entity = ? AND event <> ?"),
        [entity.0, by.0],
    )?;
    tx.execute(
        "DELETE FROM clues WHERE (tenant, name) IN (SELECT tenant, name FROM names WHERE entity = ?)",
        [entity.0],
    )?;
    tx.execute("DELETE FROM names WHERE entity = ? AND instr(name, '@') > 0", [entity.0])?;
    Ok(())
}

fn cut_off(tx: &Transaction, event: EventId) -> rusqlite::Result<()> {
    drop_open_runs(tx, event)?;
    finish(tx, event, Outcome::Skipped, None, "the shop was redacted before it was over", None).map(drop)
}

/// Forgets some of a tenant's names, and the memory of their entities; gives how many names there were.
fn forget_some(tx: &Transaction, tenant: &str) -> rusqlite::Result<usize> {
    let mut statement = tx.prepare_cached("SELECT name, entity FROM names WHERE tenant = ? LIMIT ?")?;
    let rows = statement.query_map(params![tenant, EVENTS_PER_WRITE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let some: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
    for (name, entity) in &some {
        tx.prepare_cached("DELETE FROM memory WHERE entity = ?")?.execute([entity])?;
        tx.prepare_cached("DELETE FROM names WHERE tenant = ? AND name = ?")?.execute(params![tenant, name])?;
    }
    Ok(some.len())
}

impl Reader {
    /// What was redacted at the request of an event so far, without the event itself.
    pub fn redacted_by(&self, by: EventId) -> anyhow::Result<Redacted> {
        let (events, waiting) = self.connection.query_row(
            "SELECT count(*), count(*) - count(outcome) FROM events WHERE redacted_by = ?1 AND id <> ?1",
            [by.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let calls = self.connection.query_row(
            "SELECT count(*) FROM events JOIN runs ON runs.event = events.id JOIN calls ON calls.run = runs.id
             WHERE redacted_by = ?1 AND events.id <> ?1",
            [by.0],
            |row| row.get(0),
        )?;
        Ok(Redacted { events, waiting, calls })
    }

    /// Whether another event has requested the redaction of this one, and this one has asked for no calls yet.
    pub fn is_put_away(&self, event: EventId) -> anyhow::Result<bool> {
        let mut statement = self.connection.prepare_cached(
            "SELECT redacted_by <> id AND NOT EXISTS (SELECT 1 FROM runs JOIN calls ON calls.run = runs.id
                 WHERE runs.event = events.id AND runs.state = 'open')
             FROM events WHERE id = ? AND redacted_by IS NOT NULL",
        )?;
        Ok(statement.query_row([event.0], |row| row.get(0)).optional()?.unwrap_or_default())
    }

    /// The numbers of a tenant's events, up to this one, whose redaction was not requested.
    pub fn unredacted(&self, tenant: &str, upto: EventId) -> anyhow::Result<Vec<EventId>> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM events WHERE tenant = ? AND id <= ? AND redacted_by IS NULL ORDER BY id")?;
        let rows = statement.query_map(params![tenant, upto.0], |row| row.get(0).map(EventId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn waiting_before(&self, tenant: &str, before: EventId) -> anyhow::Result<Vec<EventId>> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM events WHERE outcome IS NULL AND tenant = ? AND id < ? ORDER BY id")?;
        let rows = statement.query_map(params![tenant, before.0], |row| row.get(0).map(EventId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Up to `limit` events of a tenant that are not redacted, after `after` and up to `upto`, with all their texts.
    /// None when there are no more.
    pub fn texts(&self, tenant: &str, after: EventId, upto: EventId, limit: usize) -> anyhow::Result<Vec<Texts>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, source, topic, entity, payload, reason FROM events
             WHERE id > ? AND id <= ? AND tenant = ? AND (redacted_by IS NULL OR outcome IS NULL) ORDER BY id LIMIT ?",
        )?;
        let mut about = self.connection.prepare_cached(
            "SELECT calls.call, calls.reply, (SELECT group_concat(outcome) FROM attempts WHERE call = calls.id)
             FROM runs JOIN calls ON calls.run = runs.id WHERE runs.event = ?1
             UNION ALL SELECT lines, NULL, NULL FROM runs JOIN log ON log.run = runs.id WHERE runs.event = ?1",
        )?;
        let mut all = vec![];
        let mut rows = statement.query(params![after.0, upto.0, tenant, limit])?;
        while let Some(row) = rows.next()? {
            let (event, entity): (i64, Option<String>) = (row.get(0)?, row.get(3)?);
            let mut others: Vec<String> = row.get::<_, Option<String>>(5)?.into_iter().collect();
            let mut found = about.query([event])?;
            while let Some(row) = found.next()? {
                for column in 0..3 {
                    others.extend(row.get::<_, Option<String>>(column)?);
                }
            }
            all.push(Texts {
                event: EventId(event),
                source: row.get(1)?,
                topic: row.get(2)?,
                entity: entity.and_then(|entity| serde_json::from_str(&entity).ok()),
                payload: row.get(4)?,
                others,
            });
        }
        Ok(all)
    }

    /// Every name of the entity that has this one.
    pub fn names_with(&self, tenant: &str, name: &str) -> anyhow::Result<Vec<String>> {
        let mut statement = self.connection.prepare(
            "SELECT name FROM names WHERE entity = (SELECT entity FROM names WHERE tenant = ? AND name = ?)",
        )?;
        let rows = statement.query_map([tenant, name], |row| row.get(0))?;
        rows.collect::<Result<_, _>>().context("reading names")
    }
}
