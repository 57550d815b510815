//! Events that are over and begin again: chooses them, makes a digest that stands for exactly these events, and reopens
//! them. Knows nothing of calls.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};
use sha2::{Digest as _, Sha256};

use super::operators::{Deed, record};
use super::reader::Reader;
use super::versions::active;
use super::{Journal, reopen_last};
use crate::model::{EventId, Millis};
use crate::scheduler::{Input, Opened};

/// Events that one replay may choose, including those that it leaves out.
pub const REPLAYED_MAX: usize = 10_000;

/// Selects events of a tenant. An absent field selects all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Only these.
    pub events: Option<Vec<EventId>>,
    /// Only from `first` to `last`, both included.
    pub first: Option<EventId>,
    pub last: Option<EventId>,
    /// Only those received at this time or later.
    pub since: Option<Millis>,
    pub topic: Option<String>,
    /// As in [`super::Filter`].
    pub outcome: Option<String>,
}

/// The chosen events, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen {
    /// The digest of the version that they would run on.
    pub version: String,
    /// Events that are over, and can begin again.
    pub events: Vec<EventId>,
    /// Events that are not over yet.
    pub waiting: Vec<EventId>,
    /// Redacted events, of which nothing is left to run.
    pub redacted: Vec<EventId>,
    /// Events that the host handles itself, which it does only once.
    pub own: Vec<EventId>,
    /// Numbers that were given, but are of no event.
    pub unknown: Vec<EventId>,
    /// A digest of exactly these events, as they ended, and of this version.
    pub confirm: String,
}

/// Why nothing is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unchosen {
    /// More than [`REPLAYED_MAX`].
    TooMany,
    /// No version is active that they could run on.
    NoVersion,
}

/// Whether the host itself does something about events of this source and topic.
pub type IsOwn = fn(&str, &str) -> bool;

impl Reader {
    pub fn choose(&self, tenant: &str, wanted: &Wanted, is_own: IsOwn) -> anyhow::Result<Result<Chosen, Unchosen>> {
        let tx = self.connection.unchecked_transaction()?;
        Ok(choose(&tx, tenant, wanted, is_own)?)
    }
}

impl Journal {
    /// Reopens the chosen events, each as a new run at the end of its lane, and says so in the audit trail: all of them
    /// if `confirm` stands for exactly these events, and otherwise none. Gives what is chosen now.
    pub async fn begin_again(
        &self,
        tenant: &str,
        wanted: Wanted,
        is_own: IsOwn,
        confirm: String,
        by: &str,
    ) -> anyhow::Result<Result<Chosen, Unchosen>> {
        let (feeds, tenant, by) = (self.feeds.clone(), tenant.to_owned(), by.to_owned());
        let told = tenant.clone();
        let again = move |tx: &Transaction| {
            let chosen = match choose(tx, &tenant, &wanted, is_own)? {
                Ok(chosen) if chosen.confirm == confirm && !chosen.events.is_empty() => chosen,
                other => return Ok((other, vec![])),
            };
            let opened = chosen.events.iter().map(|event| reopen_last(tx, *event));
            let opened = opened.collect::<rusqlite::Result<Vec<Opened>>>()?;
            record(tx, &Deed { by, tenant: Some(tenant), what: deed(&chosen, &wanted) })?;
            Ok((Ok(chosen), opened))
        };
        let tell = move |(_, opened): &(Result<Chosen, Unchosen>, Vec<Opened>)| {
            opened.iter().for_each(|opened| feeds.tell(&told, Input::Arrived(*opened)));
        };
        Ok(self.writer.write(again, tell).await?.0)
    }
}

fn choose(
    connection: &Connection,
    tenant: &str,
    wanted: &Wanted,
    is_own: IsOwn,
) -> rusqlite::Result<Result<Chosen, Unchosen>> {
    let Some(active) = active(connection, tenant)? else { return Ok(Err(Unchosen::NoVersion)) };
    let mut hash = Sha256::new();
    hash.update(format!("{tenant}\n{}\n", active.digest));
    let mut chosen = Chosen { version: active.digest, ..Chosen::default() };
    let (sql, values) = query(tenant, wanted);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut all = 0;
    while let Some(row) = rows.next()? {
        all += 1;
        if all > REPLAYED_MAX {
            return Ok(Err(Unchosen::TooMany));
        }
        let event = EventId(row.get(0)?);
        let (source, topic): (String, String) = (row.get(1)?, row.get(2)?);
        let (ended_at, is_redacted): (Option<Millis>, bool) = (row.get(3)?, row.get(4)?);
        match ended_at {
            _ if is_redacted => chosen.redacted.push(event),
            _ if is_own(&source, &topic) => chosen.own.push(event),
            None => chosen.waiting.push(event),
            Some(ended_at) => {
                hash.update(format!("{event} {ended_at}\n"));
                chosen.events.push(event);
            }
        }
    }
    if let Some(events) = &wanted.events {
        let found = [&chosen.events, &chosen.waiting, &chosen.redacted, &chosen.own];
        let is_unknown = |event: &&EventId| !found.iter().any(|found| found.binary_search(event).is_ok());
        chosen.unknown = events.iter().filter(is_unknown).copied().collect();
    }
    chosen.confirm = hex::encode(hash.finalize());
    Ok(Ok(chosen))
}

fn query(tenant: &str, wanted: &Wanted) -> (String, Vec<Value>) {
    let Wanted { events, first, last, since, topic, outcome } = wanted;
    let mut conditions = vec!["tenant = ?"];
    let mut values: Vec<Value> = vec![tenant.to_owned().into()];
    let mut also = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    };
    let list = |events: &Vec<EventId>| {
        let events: Vec<_> = events.iter().map(ToString::to_string).collect();
        format!("[{}]", events.join(",")).into()
    };
    also("id IN (SELECT value FROM json_each(?))", events.as_ref().map(list));
    also("id >= ?", first.map(|event| event.0.into()));
    also("id <= ?", last.map(|event| event.0.into()));
    also("received_at >= ?", since.map(Value::from));
    also("topic = ?", topic.clone().map(Value::from));
    match outcome.as_deref() {
        Some("dead") => conditions.push("outcome IN ('refused', 'invalid', 'failed')"),
        Some("waiting") => conditions.push("outcome IS NULL"),
        other => also("outcome = ?", other.map(|outcome| outcome.to_owned().into())),
    }
    let sql = format!(
        "SELECT id, source, topic, CASE WHEN outcome IS NOT NULL THEN coalesce(ended_at, 0) END, redacted_by IS NOT NULL
         FROM events WHERE {} ORDER BY id LIMIT {}",
        conditions.join(" AND "),
        REPLAYED_MAX + 1
    );
    (sql, values)
}

/// `replayed 3 events on 0123456789ab, sending: 17 to 21, of orders/paid`.
fn deed(chosen: &Chosen, wanted: &Wanted) -> String {
    let (first, last) = (chosen.events.first(), chosen.events.last());
    let range = first.zip(last).map(|(first, last)| format!("{first} to {last}")).unwrap_or_default();
    let topic = wanted.topic.as_deref().map(|topic| format!(", of {topic}"));
    let outcome = wanted.outcome.as_deref().map(|outcome| format!(", that were {outcome}"));
    let version = chosen.version.get(..12).unwrap_or(&chosen.version);
    let narrowed: String = [topic, outcome].into_iter().flatten().collect();
    format!("replayed {} events on {version}, sending: {range}{narrowed}", chosen.events.len())
}
