//! What must hold when a life is over: of each webhook that was acknowledged there is one event, over once, and each of its
//! effects once; usage is counted exactly.
//!
//! Reads the journal's tables by itself, so that no reader of the host's can hide what is wrong with them. Only what counts
//! as usage is added up by the host's own table.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tandem::journal::Reader;

use super::senders::Sent;
use super::target::Done;

/// An event as it stands in the journal.
struct Row {
    id: u64,
    tenant: String,
    outcome: Option<String>,
    reason: String,
    /// Attempts that were recorded for its calls.
    attempts: u32,
}

pub fn open(journal: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// How many events are not over.
pub fn unfinished(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT count(*) FROM events WHERE outcome IS NULL", [], |row| row.get(0))
}

/// Dead letters: number, blame and reason of each.
pub fn dead_letters(connection: &Connection) -> rusqlite::Result<Vec<(u64, String, String)>> {
    let mut statement = connection.prepare(
        "SELECT id, coalesce(blame, ''), coalesce(reason, '') FROM events WHERE outcome IN ('refused', 'invalid', 'failed')",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// How many events ended without anybody knowing whether a call was carried out.
pub fn unknown(journal: &Path) -> usize {
    let counted = open(journal).and_then(|connection| {
        let count = "SELECT count(*) FROM events WHERE reason = 'unknown'";
        connection.query_row(count, [], |row| row.get(0))
    });
    counted.unwrap_or_default()
}

/// What is wrong with a journal that nobody has open, and with what was done.
pub fn check(journal: &Path, sent: &[Sent], done: &HashMap<u64, Done>, is_in_order: bool) -> Vec<String> {
    let connection = match open(journal) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("the journal cannot be opened: {error}")],
    };
    let mut bad = vec![];
    let sound: Result<String, _> = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    if sound.as_deref() != Ok("ok") {
        bad.push(format!("the journal is not sound: {sound:?}"));
    }
    let checked = rows(&connection).and_then(|rows| {
        for sent in sent {
            one(sent, rows.get(&sent.nth).map_or(&[], Vec::as_slice), done.get(&sent.nth), &mut bad);
        }
        memory(&connection, sent, &rows, is_in_order, &mut bad)?;
        replies(&connection, &mut bad)
    });
    if let Err(error) = checked {
        bad.push(format!("the journal cannot be read: {error}"));
    }
    match Reader::open(journal).and_then(|reader| reader.miscounted()) {
        Ok(miscounted) if miscounted.is_empty() => {}
        miscounted => bad.push(format!("usage is not what it is said to be (counted, summed): {miscounted:?}")),
    }
    bad
}

fn rows(connection: &Connection) -> rusqlite::Result<BTreeMap<u64, Vec<Row>>> {
    let mut statement = connection.prepare(
        "SELECT id, tenant, payload ->> 'nth', outcome, coalesce(reason, ''),
                (SELECT count(*) FROM attempts JOIN calls ON calls.id = attempts.call JOIN runs ON runs.id = run WHERE runs.event = events.id)
         FROM events WHERE topic = 'effects' ORDER BY id",
    )?;
    let mut found: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let event = Row {
            id: row.get(0)?,
            tenant: row.get(1)?,
            outcome: row.get(3)?,
            reason: row.get(4)?,
            attempts: row.get(5)?,
        };
        found.entry(row.get(2)?).or_default().push(event);
    }
    Ok(found)
}

/// What is wrong with one webhook.
fn one(sent: &Sent, rows: &[Row], done: Option<&Done>, bad: &mut Vec<String>) {
    let nth = sent.nth;
    let mut wrong = |what: String| bad.push(format!("webhook {nth} of {}: {what}", sent.tenant));
    if !sent.refusals.is_empty() {
        wrong(format!("was answered {:?}", sent.refusals));
    }
    if sent.events.len() > 1 {
        wrong(format!("was acknowledged as different events: {:?}", sent.events));
    }
    if rows.len() > 1 {
        wrong(format!("is there as {} events", rows.len()));
    }
    let Some(row) = rows.first() else {
        match sent.events.as_slice() {
            [] => wrong("was never acknowledged".to_owned()),
            events => wrong(format!("was acknowledged as event {events:?} and is lost")),
        }
        if done.is_some() {
            wrong(format!("has effects and no event: {done:?}"));
        }
        return;
    };
    if row.tenant != sent.tenant || !sent.events.is_empty() && !sent.events.contains(&row.id) {
        wrong(format!("was acknowledged as {:?} and is event {} of {}", sent.events, row.id, row.tenant));
    }
    if row.outcome.as_deref() != Some("done") {
        wrong(format!("event {} ends as {:?}: {}", row.id, row.outcome, row.reason));
        return;
    }
    let done = done.cloned().unwrap_or_default();
    let once_is_right = match row.reason.as_str() {
        "sent" => done.once == 1,
        // Told as such: nobody knows.
        "unknown" => done.once <= 1,
        _ => false,
    };
    if !once_is_right {
        wrong(format!(
            "event {} was done, `{}`, and what must not be done twice was done {} times",
            row.id, row.reason, done.once
        ));
    }
    if done.kept == 0 {
        wrong(format!("event {} was done, and the call that may be repeated was not carried out", row.id));
    }
    if done.requests > row.attempts {
        wrong(format!("event {} sent {} requests and journalled {} attempts", row.id, done.requests, row.attempts));
    }
}

/// Each entity remembers each of its events once; in order of arrival, unless some were dead letters for a while.
fn memory(
    connection: &Connection,
    sent: &[Sent],
    rows: &BTreeMap<u64, Vec<Row>>,
    is_in_order: bool,
    bad: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let mut wanted: BTreeMap<(&str, usize), Vec<(u64, u64)>> = BTreeMap::new();
    for sent in sent {
        let events = rows.get(&sent.nth).into_iter().flatten();
        wanted.entry((sent.tenant, sent.entity)).or_default().extend(events.map(|row| (row.id, sent.nth)));
    }
    let mut statement = connection.prepare(
        "SELECT body FROM memory WHERE current AND entity = (SELECT entity FROM names WHERE tenant = ? AND name = ?)",
    )?;
    for ((tenant, entity), mut events) in wanted {
        events.sort_unstable();
        let name = format!("shopify/thing/{}", entity + 1);
        let bodies: Vec<String> =
            statement.query_map([tenant, &name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut found: Vec<u64> = bodies.join(" ").split_whitespace().filter_map(|nth| nth.parse().ok()).collect();
        let mut expected: Vec<u64> = events.iter().map(|(_, nth)| *nth).collect();
        if !is_in_order {
            found.sort_unstable();
            expected.sort_unstable();
        }
        if found != expected {
            bad.push(format!("{name} of {tenant} remembers {found:?} and not {expected:?}"));
        }
    }
    Ok(())
}

/// What led to an end is on record: no run has ended on a reply that is not there.
fn replies(connection: &Connection, bad: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT DISTINCT runs.event FROM calls JOIN runs ON runs.id = calls.run WHERE runs.state = 'ended' AND calls.reply IS NULL",
    )?;
    let events: Vec<u64> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if !events.is_empty() {
        bad.push(format!("calls have no reply of events whose runs have ended: {events:?}"));
    }
    Ok(())
}
