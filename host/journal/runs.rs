//! Runs: opens one or goes on with it, adds calls to it, and knows what earlier runs of its event have asked. Knows
//! nothing of lanes or of who sends.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Answered, Begun, Due, drop_open_runs, from_json, reader, to_json};
use crate::clock;
use crate::model::{Call, CallId, Effect, EntityId, EventId, Millis, Reply, RunId};

pub fn begin(tx: &Transaction, event: EventId, lane: EntityId) -> rusqlite::Result<Option<Begun>> {
    let Some(webhook) = reader::unfinished_event(tx, event)? else { return Ok(None) };
    let mut memory = vec![];
    let mut revisions: Vec<i64> = vec![];
    let mut statement =
        tx.prepare_cached("SELECT revision, body FROM memory WHERE entity = ? AND current ORDER BY revision DESC")?;
    let mut rows = statement.query([lane.0])?;
    while let Some(row) = rows.next()? {
        revisions.push(row.get(0)?);
        memory.push(row.get(1)?);
    }
    let revisions = to_json(&revisions)?;
    let open = tx
        .prepare_cached("SELECT id, version FROM runs WHERE event = ? AND state = 'open' AND memory = ?")?
        .query_row(params![event.0, revisions], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((run, version)) = open {
        let replies = replies(tx, run)?;
        return Ok(Some(Begun { run: RunId(run), version, event: webhook, memory, replies }));
    }
    drop_open_runs(tx, event)?;
    // Here a swap happens: between the last run that was opened before an activation and the first one after it.
    let run = tx
        .prepare_cached(
            "INSERT INTO runs (event, version, memory, begun_at, state, names)
             SELECT ?, digest, ?, ?, 'open', '[]' FROM activations WHERE tenant = ? AND current RETURNING id, version",
        )?
        .query_row(params![event.0, revisions, clock::now(), webhook.webhook.tenant], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
    let (run, version) = run?;
    Ok(Some(Begun { run: RunId(run), version, event: webhook, memory, replies: Some(vec![]) }))
}

/// The replies of a run by pass; `None` while one is missing.
fn replies(tx: &Transaction, run: i64) -> rusqlite::Result<Option<Vec<Vec<Reply>>>> {
    let mut statement = tx.prepare_cached("SELECT pass, reply FROM calls WHERE run = ? ORDER BY pass, id")?;
    let mut rows = statement.query([run])?;
    let mut replies: Vec<Vec<Reply>> = vec![];
    while let Some(row) = rows.next()? {
        let (pass, reply): (usize, Option<String>) = (row.get(0)?, row.get(1)?);
        let Some(reply) = reply else { return Ok(None) };
        replies.resize_with(replies.len().max(pass + 1), Vec::new);
        replies[pass].push(from_json(&reply)?);
    }
    Ok(Some(replies))
}

pub type Sent = (Vec<Due>, Option<Answered>);

/// Who ends an event without its rules' word.
#[derive(Clone, Debug)]
pub enum By {
    /// The host, whatever the rules are at.
    Host,
    /// What came of this run.
    Run(RunId),
    /// What this version said, or could not say, of what the event is about.
    Key(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Closed {
    /// By this version, if it is known.
    Over(Option<String>),
    /// The run, or the version, does not count any more. The event begins again.
    Again,
}

/// The version that an event is closed by; `None` if that does not count any more.
pub fn closes(tx: &Transaction, event: EventId, by: &By) -> rusqlite::Result<Option<Option<String>>> {
    match by {
        By::Host => {
            let last = "SELECT version FROM runs WHERE event = ? ORDER BY id DESC LIMIT 1";
            tx.prepare_cached(last)?.query_row([event.0], |row| row.get(0)).optional().map(Some)
        }
        By::Run(run) => {
            let open = "SELECT version FROM runs WHERE id = ? AND state = 'open'";
            let version: Option<String> = tx.prepare_cached(open)?.query_row([run.0], |row| row.get(0)).optional()?;
            Ok(version.map(Some))
        }
        By::Key(version) => {
            let active = "SELECT EXISTS (SELECT 1 FROM activations WHERE digest = ? AND current
                 AND tenant = (SELECT tenant FROM events WHERE id = ?))";
            let counts: bool = tx.prepare_cached(active)?.query_row(params![version, event.0], |row| row.get(0))?;
            Ok(counts.then(|| Some(version.clone())))
        }
    }
}

/// A call, and what its target's requests are written for.
pub type Written = (Call, String);

pub fn send(tx: &Transaction, run: RunId, event: EventId, tenant: &str, calls: &[Written]) -> rusqlite::Result<Sent> {
    let pass: i64 = tx
        .prepare_cached("SELECT coalesce(max(pass) + 1, 0) FROM calls WHERE run = ?")?
        .query_row([run.0], |row| row.get(0))?;
    let mut due = vec![];
    for (call, api_version) in calls {
        let text = to_json(call)?;
        let before = if call.effect == Effect::Once { asked_before(tx, event, run, &text)? } else { Before::Never };
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
    let answered = due.is_empty().then(|| Answered { event, run, tenant: tenant.into(), given_up: None });
    Ok((due, answered))
}

/// Whether an earlier run of the event asked this very call.
enum Before {
    Never,
    /// With a 2xx: this is its reply.
    Answered(String),
    /// Its last attempt began then, and nobody knows how it ended.
    Unknown(Millis),
}

fn asked_before(tx: &Transaction, event: EventId, run: RunId, call: &str) -> rusqlite::Result<Before> {
    // What this run asks a second time it asks knowingly, having been told of the first.
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
