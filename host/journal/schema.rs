//! The journal's tables: makes them, and brings those of an older journal up to date. Knows no row.

use std::path::Path;

use anyhow::{Context, bail};
use rusqlite::{Connection, TransactionBehavior};

/// What a journal of each older schema lacks beside what `schema.sql` makes where it is missing. A journal's
/// `user_version` says how many of these it has.
const STEPS: [&str; 6] = [
    // Redaction; and an index by which all revisions of an entity are found.
    "ALTER TABLE events ADD COLUMN redacted_at INTEGER;
     ALTER TABLE events ADD COLUMN redacted_by INTEGER;
     DROP INDEX remembered;",
    // Names of what is gone, and settings that are fixed (a table of its own).
    "ALTER TABLE names ADD COLUMN retired INTEGER NOT NULL DEFAULT FALSE;",
    // Versions. Those that open runs began on were kept nowhere: their events begin again.
    "ALTER TABLE calls ADD COLUMN api_version TEXT NOT NULL DEFAULT '';
     UPDATE runs SET state = 'dropped' WHERE state = 'open';",
    // What a replay compares beside calls and endings.
    "ALTER TABLE runs ADD COLUMN names TEXT;
     ALTER TABLE runs ADD COLUMN remembered INTEGER;",
    // Events leave by their age while what they left is remembered; and each tenant's bytes are counted.
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
];

/// Makes the tables, or adds to them what they lack.
pub fn prepare(connection: &mut Connection, path: &Path) -> anyhow::Result<()> {
    let old = connection.table_exists(None, "events")?;
    let version = if old { version(connection)? } else { STEPS.len() };
    refuse_newer(version, path)?;
    if version < STEPS.len() {
        tracing::info!("bringing the journal `{}` up to date; this takes a while if it is large", path.display());
        // What was deleted before anything was deleted for good may still be in its free pages.
        connection.execute_batch("VACUUM").context("cleaning the journal")?;
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(version) {
        tx.execute_batch(step)?;
    }
    tx.execute_batch(include_str!("schema.sql"))?;
    tx.execute_batch(&format!("PRAGMA user_version = {}", STEPS.len()))?;
    Ok(tx.commit()?)
}

/// Refuses to read a journal whose tables are others than these.
pub fn check(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    let version = version(connection)?;
    refuse_newer(version, path)?;
    if version < STEPS.len() {
        bail!("the journal `{}` is of an older tandem\nhint: `tandem serve` brings it up to date", path.display());
    }
    Ok(())
}

fn version(connection: &Connection) -> anyhow::Result<usize> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn refuse_newer(version: usize, path: &Path) -> anyhow::Result<()> {
    if version > STEPS.len() {
        bail!("the journal `{}` is of a newer tandem\nhint: use that one", path.display());
    }
    Ok(())
}
