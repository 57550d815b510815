//! Opens runs and goes on with them, adds calls to them, and finds what earlier runs of an event have asked for. Knows
//! nothing of lanes or of who sends.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Due, from_json, names, to_json};
use crate::clock;
use crate::lookup::{self, Lookup};
use crate::model::{Call, CallId, Effect, EntityId, EventId, Failure, Millis, Reply, RunId};

/// The current memory of an entity: its revisions as a run stores them, and its texts, newest first.
pub fn remembered(tx: &Transaction, entity: EntityId) -> rusqlite::Result<(String, Vec<String>)> {
    let mut statement =
        tx.prepare_cached("SELECT revision, body FROM memory WHERE entity = ? AND current ORDER BY revision DESC")?;
    let mut rows = statement.query([entity.0])?;
    let (mut revisions, mut memory): (Vec<i64>, Vec<String>) = (vec![], vec![]);
    while let Some(row) = rows.next()? {
        revisions.push(row.get(0)?);
        memory.push(row.get(1)?);
    }
    Ok((to_json(&revisions)?, memory))
}

/// The revisions alone, as a run stores them.
pub fn revisions(tx: &Transaction, entity: EntityId) -> rusqlite::Result<String> {
    let mut statement =
        tx.prepare_cached("SELECT revision FROM memory WHERE entity = ? AND current ORDER BY revision DESC")?;
    let revisions: Vec<i64> = statement.query_map([entity.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    to_json(&revisions)
}

/// The open run of an event that began with these revisions, and its version.
pub fn open(tx: &Transaction, event: EventId, revisions: &str) -> rusqlite::Result<Option<(RunId, String)>> {
    tx.prepare_cached("SELECT id, version FROM runs WHERE event = ? AND state = 'open' AND memory = ?")?
        .query_row(params![event.0, revisions], |row| Ok((RunId(row.get(0)?), row.get(1)?)))
        .optional()
}

/// Opens a run on the version that is active; `None` if none is.
pub fn new(
    tx: &Transaction,
    tenant: &str,
    event: EventId,
    revisions: &str,
) -> rusqlite::Result<Option<(RunId, String)>> {
    // A swap takes effect here: every run that is opened after an activation is on the new version.
    tx.prepare_cached(
        "INSERT INTO runs (event, version, memory, begun_at, state, names)
         SELECT ?, digest, ?, ?, 'open', '[]' FROM activations WHERE tenant = ? AND current RETURNING id, version",
    )?
    .query_row(params![event.0, revisions, clock::now(), tenant], |row| Ok((RunId(row.get(0)?), row.get(1)?)))
    .optional()
}

/// Why one of the calls of a run is given up, if one is.
pub fn given_up(tx: &Transaction, run: RunId) -> rusqlite::Result<Option<Failure>> {
    let why: Option<String> = tx
        .prepare_cached("SELECT given_up FROM calls WHERE run = ? AND given_up IS NOT NULL LIMIT 1")?
        .query_row([run.0], |row| row.get(0))
        .optional()?;
    why.as_deref().map(from_json).transpose()
}

/// Whether an event has ever begun.
pub fn has_any(tx: &Transaction, event: EventId) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE event = ?)")?.query_row([event.0], |row| row.get(0))
}

/// The replies of a run by pass; `None` while one is missing.
pub fn replies(tx: &Transaction, run: RunId) -> rusqlite::Result<Option<Vec<Vec<Reply>>>> {
    let mut statement = tx.prepare_cached("SELECT pass, reply FROM calls WHERE run = ? ORDER BY pass, id")?;
    let mut rows = statement.query([run.0])?;
    let mut replies: Vec<Vec<Reply>> = vec![];
    while let Some(row) = rows.next()? {
        let (pass, reply): (usize, Option<String>) = (row.get(0)?, row.get(1)?);
        let Some(reply) = reply else { return Ok(None) };
        replies.resize_with(replies.len().max(pass + 1), Vec::new);
        replies[pass].push(from_json(&reply)?);
    }
    Ok(Some(replies))
}

/// Whether a write of a dropped run of an event may still take effect: its attempt has no answer, and began after
/// `since`.
pub fn is_in_flight(tx: &Transaction, event: EventId, since: Millis) -> rusqlite::Result<bool> {
    tx.prepare_cached(IN_FLIGHT)?.query_row([event.0, since], |row| row.get(0))
}

const IN_FLIGHT: &str = "SELECT EXISTS (
         SELECT 1 FROM runs JOIN calls ON calls.run = runs.id JOIN attempts ON attempts.call = calls.id
         WHERE runs.event = ? AND runs.state = 'dropped' AND attempts.began_at > ?
           AND (attempts.ended_at IS NULL OR attempts.is_unsettled)
           AND calls.call <> '' AND json_extract(calls.call, '$.effect') <> 'read')";

/// A call, and the API version that it is written for.
pub type Written = (Call, String);

/// Adds a pass to a run, and gives the calls to send. Not among them are questions to the host, which are answered here,
/// and a call that may not be sent twice, if an earlier run has its reply: it gets that one.
pub fn send(
    tx: &Transaction,
    (run, pass): (RunId, u32),
    event: EventId,
    tenant: &str,
    calls: &[Written],
) -> rusqlite::Result<Vec<Due>> {
    let mut due = vec![];
    for (call, api_version) in calls {
        let text = to_json(call)?;
        let before = match Lookup::of(call) {
            Some(Lookup::Names(name)) => {
                let names = names::standing(tx, tenant, &name)?.map(|(_, names)| names);
                Before::Answered(to_json(&lookup::answer(&names.unwrap_or_default()))?)
            }
            None if call.effect == Effect::Once => asked_before(tx, event, run, &text)?,
            None => Before::Never,
        };
        let reply = if let Before::Answered(reply) = &before { Some(reply) } else { None };
        tx.prepare_cached("INSERT INTO calls (run, pass, target, api_version, call, reply) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![run.0, pass, call.target, api_version, text, reply])?;
        let id = CallId(tx.last_insert_rowid());
        let unknown_since = if let Before::Unknown(since) = before { Some(since) } else { None };
        if reply.is_none() {
            let (call, api_version) = (call.clone(), api_version.clone());
            due.push(Due { id, run, event, tenant: tenant.into(), call, api_version, attempts: 0, unknown_since });
        }
    }
    Ok(due)
}

/// What is known of a call before it is sent.
enum Before {
    Never,
    /// By the host itself, or in an earlier run of the event with a 2xx; this is the reply.
    Answered(String),
    /// Its last attempt began then, and nobody knows how it ended.
    Unknown(Millis),
}

fn asked_before(tx: &Transaction, event: EventId, run: RunId, call: &str) -> rusqlite::Result<Before> {
    // If this run has asked for an equal call before, its rules know how that ended and want the call sent again.
    let again: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM calls WHERE run = ? AND call = ?)")?
        .query_row(params![run.0, call], |row| row.get(0))?;
    if again {
        return Ok(Before::Never);
    }
    let mut statement = tx.prepare_cached(
        "SELECT calls.reply, (SELECT max(began_at) FROM attempts WHERE attempts.call = calls.id)
         FROM calls JOIN runs ON runs.id = calls.run WHERE runs.event = ? AND calls.call = ? ORDER BY calls.id DESC",
    )?;
    let mut rows = statement.query(params![event.0, call])?;
    let mut before = Before::Never;
    while let Some(row) = rows.next()? {
        let (text, since): (Option<String>, Option<Millis>) = (row.get(0)?, row.get(1)?);
        let reply: Option<Reply> = text.as_deref().map(from_json).transpose()?;
        match (reply, text, since) {
            (Some(Reply::Answer(answer)), Some(text), _) if (200..300).contains(&answer.status) => {
                return Ok(Before::Answered(text));
            }
            (None | Some(Reply::Unknown(_)), _, Some(since)) if matches!(before, Before::Never) => {
                before = Before::Unknown(since);
            }
            _ => {}
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::journal::{keep_statements, schema};

    #[test]
    fn a_statement_is_prepared_once_whatever_it_is_given() {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        schema::prepare(&mut connection, std::path::Path::new(":memory:")).unwrap();
        keep_statements(&connection).unwrap();
        let tx = connection.transaction().unwrap();
        for event in 1..9 {
            assert!(!is_in_flight(&tx, EventId(event), event).unwrap());
        }
        assert_eq!(tx.prepare_cached(IN_FLIGHT).unwrap().get_status(StatementStatus::RePrepare), 0);
    }
}
