//! The journal's tables: makes them, and brings those of an older journal up to date. Knows nothing of rows.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use rusqlite::{Connection, TransactionBehavior};

use super::usage;
use super::writer::is_damaged;

/// The steps that bring older journals up to date, beside the tables that `schema.sql` adds where they are missing. A
/// journal's `user_version` says how many of these steps it has.
const STEPS: [&str; 7] = [
    // Redaction; and an index by which all revisions of an entity are found.
    "ALTER TABLE events ADD COLUMN redacted_at INTEGER;
     ALTER TABLE events ADD COLUMN redacted_by INTEGER;
     DROP INDEX remembered;",
    // Retired names, and fixed settings (a table of their own).
    "ALTER TABLE names ADD COLUMN retired INTEGER NOT NULL DEFAULT FALSE;",
    // Versions. The versions that open runs had begun on were not stored, so their events begin again.
    "ALTER TABLE calls ADD COLUMN api_version TEXT NOT NULL DEFAULT '';
     UPDATE runs SET state = 'dropped' WHERE state = 'open';",
    // What a replay compares beside calls and endings.
    "ALTER TABLE runs ADD COLUMN names TEXT;
     ALTER TABLE runs ADD COLUMN remembered INTEGER;",
    // Retention removes old events and keeps the memory that they left; and each tenant's bytes are counted.
    "ALTER TABLE memory RENAME TO remembered_of_old;
     CREATE TABLE memory (
       revision INTEGER PRIMARY KEY,
       entity INTEGER NOT NULL,
       event INTEGER NOT NULL,
       body TEXT NOT NULL,
       current INTEGER NOT NULL
     ) STRICT;
     INSERT INTO memory SELECT revision, entity, event, body, current FROM remembered_of_old;
     DROP TABLE remembered_of_old;
     CREATE TABLE usage (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     INSERT INTO usage SELECT tenant, sum(bytes) FROM (
       SELECT tenant, octet_length(payload) AS bytes FROM events
       UNION ALL SELECT events.tenant, octet_length(call) + coalesce(octet_length(reply), 0)
         FROM calls JOIN runs ON runs.id = calls.run JOIN events ON events.id = runs.event
     ) GROUP BY tenant;",
    // Places; and what became of calls that were given up, and of attempts that had no answer.
    "ALTER TABLE events ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
     UPDATE events SET place = id;
     ALTER TABLE calls ADD COLUMN given_up TEXT;
     ALTER TABLE attempts ADD COLUMN is_unsettled INTEGER NOT NULL DEFAULT FALSE;",
    // Every row of a tenant is counted; and memory says whose it is, even when its event has left.
    "ALTER TABLE memory ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
     UPDATE memory SET tenant = coalesce(
       (SELECT tenant FROM names WHERE names.entity = memory.entity LIMIT 1),
       (SELECT tenant FROM events WHERE events.id = memory.event),
       (SELECT tenant FROM events WHERE events.id = memory.entity), '');",
];
/// Since this schema, deleted data is overwritten.
const SECURE_SINCE: usize = 1;
/// The application id in SQLite's header: `Tndm`.
const APPLICATION_ID: i64 = 0x546e_646d;

/// Makes the tables, or adds to them what they lack.
pub fn prepare(connection: &mut Connection, path: &Path) -> anyhow::Result<()> {
    let old = version(connection, path)?;
    refuse_newer(old.unwrap_or_default(), path)?;
    let version = old.unwrap_or(STEPS.len());
    if version < STEPS.len() {
        tracing::info!("bringing the journal `{}` up to date; this takes a while if it is large", path.display());
    }
    if version < SECURE_SINCE {
        // Data that was deleted before may still be in free pages.
        connection.execute_batch("VACUUM").context("cleaning the journal")?;
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(version) {
        tx.execute_batch(step).map_err(|error| {
            damaged(path, &format!("its tables are not those of schema {version}, which it says it has: {error}"))
        })?;
    }
    tx.execute_batch(include_str!("schema.sql"))?;
    if old != Some(STEPS.len()) || !usage::counts_all(&tx)? {
        usage::count_all(&tx)?;
    }
    tx.execute_batch(&format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION_ID}", STEPS.len()))?;
    Ok(tx.commit()?)
}

/// Refuses a file that is no journal, before anything in it is changed.
pub fn refuse_strangers(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    version(connection, path).map(drop)
}

/// Refuses a file that is no journal which this program can read: another's, an empty one, one of a newer schema.
pub fn refuse_unknown(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    match version(connection, path)? {
        None => bail!("`{}` is empty, and no journal\nhint: check the name", path.display()),
        Some(version) => refuse_newer(version, path),
    }
}

/// Refuses to read a journal of an older or a newer schema.
pub fn check(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    let version = version(connection, path)?.unwrap_or_default();
    refuse_newer(version, path)?;
    if version < STEPS.len() {
        bail!("the journal `{}` is of an older tandem\nhint: `tandem serve` brings it up to date", path.display());
    }
    Ok(())
}

/// The error for a file that SQLite cannot read.
pub fn unreadable(path: &Path, error: rusqlite::Error) -> anyhow::Error {
    if is_damaged(&error) {
        return damaged(path, &error.to_string());
    }
    anyhow!(error).context(format!("opening the journal `{}`", path.display()))
}

/// How many of the steps a journal has; `None` if the file is empty. A file that is no journal is refused, and left as
/// it is.
fn version(connection: &Connection, path: &Path) -> anyhow::Result<Option<usize>> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<_> {
        let tables = number("SELECT count(*) FROM sqlite_master")?;
        Ok((number("PRAGMA user_version")?, number("PRAGMA application_id")?, tables))
    };
    let (said, application, tables) = read().map_err(|error| unreadable(path, error))?;
    if tables == 0 && said == 0 {
        return Ok(None);
    }
    if !connection.table_exists(None, "events")? || ![0, APPLICATION_ID].contains(&application) {
        let hint = "`journal` in the configuration, or `--journal FILE`, names another";
        bail!("`{}` is a database, and no journal of a tandem\nhint: {hint}", path.display());
    }
    let of = |_| damaged(path, &format!("it says that it has schema {said} (`user_version`), and there is none"));
    usize::try_from(said).map(Some).map_err(of)
}

fn damaged(path: &Path, why: &str) -> anyhow::Error {
    anyhow!("the journal `{}` is damaged, or is no journal: {why}\nhint: put a backup in its place", path.display())
}

fn refuse_newer(version: usize, path: &Path) -> anyhow::Result<()> {
    if version > STEPS.len() {
        bail!("the journal `{}` is of a newer tandem\nhint: use that one", path.display());
    }
    Ok(())
}
