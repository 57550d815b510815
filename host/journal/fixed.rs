//! Fixed settings, which may not change once people are linked by them: their values, and which entities are linked.
//! Knows neither what a setting means nor what is done about a change.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::{Value, json};

use super::Reader;
use super::intake::append;
use crate::clock;
use crate::model::Webhook;
use crate::scheduler::Opened;

/// What happened to the fixed settings of a tenant's rules.
#[derive(Clone, Debug, PartialEq)]
pub enum Fixed {
    /// The settings are unchanged, or no entity is linked yet.
    Kept,
    /// The settings have changed, as `relink` allows, and this many entities are to be brought in step again.
    Relinked(usize),
    /// The settings would change, and this many entities are linked. Nothing was stored.
    Refused { changed: Vec<Change>, linked: usize },
}

/// A setting whose wanted value differs from the one that people are linked by.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// JSON pointer.
    pub at: String,
    /// JSON.
    pub was: String,
    pub wanted: String,
}

/// Keeps the fixed settings (JSON pointer to JSON) of a tenant's rules if they are unchanged or no entity is linked.
/// With `relink` they may change, and every linked entity gets a `tandem` event `resync`. Also gives these events.
pub(super) fn fix(
    tx: &Transaction,
    tenant: &str,
    settings: &BTreeMap<String, String>,
    relink: bool,
) -> rusqlite::Result<(Fixed, Vec<Opened>)> {
    let (changed, linked) = changes(tx, tenant, settings)?;
    if !linked.is_empty() && !relink {
        return Ok((Fixed::Refused { changed, linked: linked.len() }, vec![]));
    }
    for (at, value) in settings {
        tx.execute(
            "INSERT INTO fixed_settings (tenant, at, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [tenant, at, value],
        )?;
    }
    let mut events = vec![];
    for names in &linked {
        events.extend(append(tx, &resync(tenant, names))?.1);
    }
    Ok((if linked.is_empty() { Fixed::Kept } else { Fixed::Relinked(linked.len()) }, events))
}

impl Reader {
    /// Which fixed settings of a tenant `settings` would change, and how many entities are linked by them.
    pub fn fixed_changes(
        &self,
        tenant: &str,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<(Vec<Change>, usize)> {
        let (changed, linked) = changes(&self.connection, tenant, settings)?;
        Ok((changed, linked.len()))
    }
}

/// The settings that would change and, if there are any, the names of every linked entity.
fn changes(
    connection: &Connection,
    tenant: &str,
    settings: &BTreeMap<String, String>,
) -> rusqlite::Result<(Vec<Change>, Vec<Vec<String>>)> {
    let mut changed = vec![];
    for (at, wanted) in settings {
        let was: Option<String> = connection
            .query_row("SELECT value FROM fixed_settings WHERE tenant = ? AND at = ?", [tenant, at], |row| row.get(0))
            .optional()?;
        if let Some(was) = was.filter(|was| !is_same(was, wanted)) {
            changed.push(Change { at: at.clone(), was, wanted: wanted.clone() });
        }
    }
    let linked = if changed.is_empty() { vec![] } else { linked(connection, tenant)? };
    Ok((changed, linked))
}

fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || read(one).is_some_and(|one| Some(one) == read(other))
}

/// The names of every entity that both systems know, without retired names.
fn linked(connection: &Connection, tenant: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut names: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT entity, name FROM names WHERE tenant = ? AND NOT retired")?;
    let mut rows = statement.query(params![tenant])?;
    while let Some(row) = rows.next()? {
        names.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let source = |name: &str| name.split('/').next().map(str::to_owned);
    let is_linked = |names: &Vec<String>| names.iter().any(|name| source(name) != source(&names[0]));
    Ok(names.into_values().filter(is_linked).collect())
}

fn resync(tenant: &str, names: &[String]) -> Webhook {
    let now = clock::now();
    Webhook {
        tenant: tenant.to_owned(),
        source: "tandem".into(),
        topic: "resync".into(),
        delivery_id: None,
        occurred_at: clock::rfc3339(now),
        received_at: now,
        api_version: String::new(),
        payload: json!({ "names": names }).to_string(),
    }
}
