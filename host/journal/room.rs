//! Room: whether a tenant may have more versions and bytes, and which of its versions nothing needs, so that they may
//! go.
//!
//! Knows what needs a version; not what is in one.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Journal, Reader, usage};
use crate::config::Quota;

/// How many roll backs in a row stay possible: the versions that they lead to are not removed.
const ROLL_BACKS_KEPT: usize = 3;
/// How many versions a refusal names.
const NAMED_MAX: usize = 5;
/// Digits of a digest that people are shown.
const DIGITS: usize = 12;

/// There is no room for what was to be kept. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoRoom(pub String);

/// The result of removing a version.
#[derive(Clone, Debug, PartialEq)]
pub enum Removed {
    /// It is gone; `true` if no tenant has it any more.
    Gone(bool),
    /// It stays, since something needs it.
    Needed(&'static str),
    Unknown,
}

/// Why an event did not begin. The event becomes a dead letter, which can be retried when there is room.
pub const NO_ROOM_TO_BEGIN: &str =
    "its tenant may have no more in the journal (`journal_bytes_max`), so it did not begin: make room, and retry it";

impl Journal {
    /// Removes a version that nothing needs. From then on, roll backs skip it.
    pub async fn remove_version(&self, tenant: &str, digest: &str) -> anyhow::Result<Removed> {
        let (tenant, digest) = (tenant.to_owned(), digest.to_owned());
        let remove = move |tx: &Transaction| {
            if !has_version(tx, &tenant, &digest)? {
                return Ok(Removed::Unknown);
            }
            if let Some((_, why)) = needed(tx, &tenant)?.into_iter().find(|(needed, _)| *needed == digest) {
                return Ok(Removed::Needed(why));
            }
            go_past(tx, &tenant, &digest)?;
            for table in ["reports", "notes"] {
                tx.execute(&format!("DELETE FROM {table} WHERE tenant = ? AND digest = ?"), [&tenant, &digest])?;
            }
            tx.execute("DELETE FROM versions WHERE tenant = ? AND digest = ?", [&tenant, &digest])?;
            let nobody =
                "DELETE FROM components WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM versions WHERE digest = ?1)";
            let is_last = tx.execute(nobody, [&digest])? == 1;
            if is_last {
                tx.execute("DELETE FROM compiled WHERE digest = ?", [&digest])?;
            }
            Ok(Removed::Gone(is_last))
        };
        self.writer.write(remove, |_| ()).await
    }
}

impl Reader {
    /// Why there is no room for one more version of this many bytes; `None` if there is.
    pub fn no_room_for_version(&self, tenant: &str, bytes: u64, limits: &Quota) -> anyhow::Result<Option<NoRoom>> {
        Ok(no_room(&self.connection, tenant, bytes, limits)?)
    }

    /// Why the journal may keep nothing more for a tenant; `None` if it may.
    pub fn no_room(&self, tenant: &str, limits: &Quota) -> anyhow::Result<Option<NoRoom>> {
        let bytes = usage::bytes(&self.connection, tenant)?;
        Ok((bytes > limits.journal_bytes_max).then(|| full(tenant, bytes, limits.journal_bytes_max)))
    }
}

/// Why there is no room for one more version of this many bytes; `None` if there is.
pub fn no_room(connection: &Connection, tenant: &str, bytes: u64, limits: &Quota) -> rusqlite::Result<Option<NoRoom>> {
    let kept = usage::bytes(connection, tenant)?;
    if kept.saturating_add(bytes) > limits.journal_bytes_max {
        return Ok(Some(full(tenant, kept, limits.journal_bytes_max)));
    }
    let sums = "SELECT count(*), coalesce(sum(octet_length(bytes)), 0) FROM versions JOIN components USING (digest)
         WHERE tenant = ?";
    let (count, sum): (u64, u64) = connection.query_row(sums, [tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Quota { versions_max, versions_bytes_max, .. } = *limits;
    if count < versions_max && sum.saturating_add(bytes) <= versions_bytes_max {
        return Ok(None);
    }
    let unneeded = unneeded(connection, tenant)?;
    let hint = match unneeded.is_empty() {
        true => "an operator may raise `versions_max` or `versions_bytes_max`: each is active, or a roll back goes to it, or it runs".to_owned(),
        false => {
            let named: Vec<_> = unneeded.iter().take(NAMED_MAX).map(|digest| &digest[..DIGITS.min(digest.len())]).collect();
            format!("`tandem undeploy {tenant} VERSION` removes one; of {} that nothing needs the oldest are {}", unneeded.len(), named.join(", "))
        }
    };
    Ok(Some(NoRoom(format!(
        "tenant `{tenant}` has {count} versions of {} MiB, and may have {versions_max} of {} MiB\nhint: {hint}",
        sum >> 20,
        versions_bytes_max >> 20
    ))))
}

fn full(tenant: &str, bytes: u64, bytes_max: u64) -> NoRoom {
    NoRoom(format!(
        "{} of the {} MiB are used up that tenant `{tenant}` may have in the journal\nhint: remove versions that nothing needs (`tandem undeploy`), or an operator raises `journal_bytes_max`",
        bytes >> 20,
        bytes_max >> 20
    ))
}

/// The versions of a tenant that nothing needs, the oldest first.
fn unneeded(connection: &Connection, tenant: &str) -> rusqlite::Result<Vec<String>> {
    let needed: BTreeSet<_> = needed(connection, tenant)?.into_iter().map(|(digest, _)| digest).collect();
    let mut statement =
        connection.prepare("SELECT digest FROM versions WHERE tenant = ? ORDER BY deployed_at, digest")?;
    let all: Vec<String> = statement.query_map([tenant], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|digest| !needed.contains(digest)).collect())
}

/// The versions of a tenant that stay, and what needs each.
fn needed(connection: &Connection, tenant: &str) -> rusqlite::Result<Vec<(String, &'static str)>> {
    let mut all = vec![];
    let current = "SELECT id, digest, back FROM activations WHERE tenant = ? AND current";
    let read = |row: &rusqlite::Row| Ok((row.get::<_, String>(1)?, row.get::<_, Option<i64>>(2)?));
    let mut step = connection.query_row(current, [tenant], read).optional()?;
    for n in 0..=ROLL_BACKS_KEPT {
        let Some((digest, back)) = step else { break };
        all.push((digest, if n == 0 { "it is active" } else { "a roll back goes to it" }));
        let before = "SELECT id, digest, back FROM activations WHERE id = ?";
        step = connection.query_row(before, [back], read).optional()?;
    }
    for (sql, why) in [
        ("SELECT digest FROM configured WHERE tenant = ?", "the configuration names it"),
        ("SELECT digest FROM shadows WHERE tenant = ? AND ended IS NULL", "it runs as a shadow"),
        (
            "SELECT DISTINCT runs.version FROM events JOIN runs ON runs.event = events.id
             WHERE events.tenant = ? AND events.outcome IS NULL AND runs.state = 'open'",
            "an event runs on it",
        ),
    ] {
        let mut statement = connection.prepare(sql)?;
        for digest in statement.query_map([tenant], |row| row.get(0))? {
            all.push((digest?, why));
        }
    }
    Ok(all)
}

/// Makes every roll back that leads to this version lead to the version before it instead.
fn go_past(tx: &Transaction, tenant: &str, digest: &str) -> rusqlite::Result<()> {
    let mut statement = tx.prepare("SELECT id, digest, back FROM activations WHERE tenant = ? ORDER BY id")?;
    let rows = statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(i64, String, Option<i64>)> = rows.collect::<Result<_, _>>()?;
    let find = |id: i64| rows.binary_search_by_key(&id, |row| row.0).ok().map(|place| &rows[place]);
    for (id, own, back) in &rows {
        let mut to = *back;
        // A roll back must not lead to the very version that it leaves, either.
        while let Some((_, other, further)) = to.and_then(find)
            && (other == digest || other == own)
        {
            to = *further;
        }
        if to != *back {
            tx.execute("UPDATE activations SET back = ? WHERE id = ?", params![to, id])?;
        }
    }
    Ok(())
}

/// Whether a tenant has a version.
pub fn has_version(connection: &Connection, tenant: &str, digest: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM versions WHERE tenant = ? AND digest = ?)")?
        .query_row([tenant, digest], |row| row.get(0))
}
