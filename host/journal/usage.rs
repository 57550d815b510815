//! Counts the bytes that each tenant takes in the journal. One table says what counts; the triggers that count, and the
//! sum that checks them, are made from it.
//!
//! Knows which rows are whose; not what a tenant may have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension};

use super::Reader;

/// Bytes of a row beside its texts: for its numbers, its times, and its entries in indexes.
pub const ROW_BYTES: u64 = 100;

/// A table whose rows are kept for a tenant. `{}` in its texts is the row.
struct Counted {
    table: &'static str,
    /// SQL for the tenant that the row counts for; null if it counts for nobody.
    owner: &'static str,
    /// The columns whose length is counted.
    texts: &'static [&'static str],
    /// SQL for further bytes.
    more: &'static str,
}

const OWN: &str = "{}.tenant";
const OF_EVENT: &str = "(SELECT tenant FROM events WHERE id = {}.event)";
const OF_RUN: &str = "(SELECT tenant FROM events WHERE id = (SELECT event FROM runs WHERE id = {}.run))";
const OF_CALL: &str = "(SELECT tenant FROM events WHERE id =
    (SELECT event FROM runs WHERE id = (SELECT run FROM calls WHERE id = {}.call)))";
/// Tenants with the same component share one row, and each is counted for the whole of it, so that a tenant's bytes
/// never depend on what others do.
const OF_COMPONENT: &str =
    "(SELECT octet_length(manifest) + octet_length(bytes) FROM components WHERE digest = {}.digest)";

/// Every table with rows of tenants. A test goes through all tables, and says why a table is not listed here.
const COUNTED: [Counted; 27] = [
    own("events", &["topic", "delivery_id", "occurred_at", "api_version", "payload", "entity", "reason", "version"]),
    own("names", &["name"]),
    own("memory", &["body"]),
    of("runs", OF_EVENT, &["version", "memory", "names"]),
    of("calls", OF_RUN, &["api_version", "call", "reply", "given_up"]),
    of("attempts", OF_CALL, &["outcome"]),
    of("log", OF_RUN, &["lines"]),
    own("answers", &["by"]),
    own("fixed_settings", &["at", "value"]),
    own("reports", &["report"]),
    own("tokens", &["name"]),
    own("audit", &["what"]),
    own("accounts", &["account"]),
    own("grants", &["body"]),
    own("shops", &["shop"]),
    own("paused", &["reason"]),
    own("directions", &["by", "why"]),
    Counted { table: "versions", owner: OWN, texts: &[], more: OF_COMPONENT },
    own("notes", &["note"]),
    own("activations", &[]),
    own("configured", &["source", "base"]),
    own("cases", &["name", "files"]),
    own("shadows", &["report", "ended"]),
    own("imports", &["by", "why", "since", "readings"]),
    own("checkpoints", &["pull"]),
    own("clues", &["clue", "name", "kind", "pull"]),
    own("listed", &["name"]),
];

const fn own(table: &'static str, texts: &'static [&'static str]) -> Counted {
    of(table, OWN, texts)
}

const fn of(table: &'static str, owner: &'static str, texts: &'static [&'static str]) -> Counted {
    Counted { table, owner, texts, more: "0" }
}

impl Counted {
    fn owner(&self, row: &str) -> String {
        self.owner.replace("{}", row)
    }

    fn bytes(&self, row: &str) -> String {
        let more = self.more.replace("{}", row);
        self.texts.iter().fold(format!("{ROW_BYTES} + {more}"), |mut sum, text| {
            let _ = write!(sum, " + coalesce(octet_length({row}.{text}), 0)");
            sum
        })
    }

    fn triggers(&self) -> String {
        let Self { table, texts, .. } = self;
        let (new, old) = (self.owner("new"), self.owner("old"));
        let (added, taken) = (self.bytes("new"), self.bytes("old"));
        let mut triggers = format!(
            "CREATE TRIGGER {table}_added AFTER INSERT ON {table} WHEN {new} IS NOT NULL BEGIN
               INSERT INTO usage (tenant, bytes) VALUES ({new}, {added})
               ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
             END;
             CREATE TRIGGER {table}_removed AFTER DELETE ON {table} WHEN {old} IS NOT NULL BEGIN
               UPDATE usage SET bytes = bytes - ({taken}) WHERE tenant = {old};
             END;"
        );
        if !texts.is_empty() {
            let _ = write!(
                triggers,
                "CREATE TRIGGER {table}_changed AFTER UPDATE OF {} ON {table} WHEN {new} IS NOT NULL BEGIN
                   UPDATE usage SET bytes = bytes + ({added}) - ({taken}) WHERE tenant = {new};
                 END;",
                texts.join(", ")
            );
        }
        triggers
    }
}

/// Whether every table here has its triggers. A new table does not have them yet.
pub fn counts_all(connection: &Connection) -> rusqlite::Result<bool> {
    let expected: usize = COUNTED.iter().map(|counted| if counted.texts.is_empty() { 2 } else { 3 }).sum();
    let there = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'";
    Ok(connection.query_row(there, [], |row| row.get::<_, usize>(0))? == expected)
}

/// Replaces the triggers of an older schema by those of this one, and counts what is there.
pub fn count_all(connection: &Connection) -> rusqlite::Result<()> {
    let mut triggers = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")?;
    let names: Vec<String> = triggers.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    for counted in &COUNTED {
        connection.execute_batch(&counted.triggers())?;
    }
    connection.execute_batch("DELETE FROM usage")?;
    connection.execute(&format!("INSERT INTO usage (tenant, bytes) {}", sums()), []).map(drop)
}

/// SQL that adds everything up, by a scan of the whole journal.
fn sums() -> String {
    let of_table = |counted: &Counted| {
        let table = counted.table;
        format!("SELECT {} AS tenant, {} AS bytes FROM {table}", counted.owner(table), counted.bytes(table))
    };
    let all: Vec<_> = COUNTED.iter().map(of_table).collect();
    format!(
        "SELECT tenant, sum(bytes) AS bytes FROM ({}) WHERE tenant IS NOT NULL GROUP BY tenant",
        all.join(" UNION ALL ")
    )
}

/// What the triggers have counted so far.
pub fn bytes(connection: &Connection, tenant: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM usage WHERE tenant = ?")?;
    Ok(statement.query_row([tenant], |row| row.get(0)).optional()?.unwrap_or_default())
}

impl Reader {
    /// Bytes of all that the journal keeps of a tenant.
    pub fn bytes_of(&self, tenant: &str) -> anyhow::Result<u64> {
        Ok(bytes(&self.connection, tenant)?)
    }

    /// The tenants whose bytes were counted wrong: what was counted, and what a scan of everything adds up to. Empty if
    /// all is well.
    pub fn miscounted(&self) -> anyhow::Result<BTreeMap<String, (i64, i64)>> {
        let sql = format!(
            "SELECT tenant, sum(counted), sum(summed) FROM (
               SELECT tenant, bytes AS counted, 0 AS summed FROM usage
               UNION ALL SELECT tenant, 0, bytes FROM ({})
             ) GROUP BY tenant HAVING sum(counted) <> sum(summed)",
            sums()
        );
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
