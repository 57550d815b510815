//! A tenant's cases, which say what its rules must do and are part of every proof. Knows their names and texts; not
//! what they say.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::{Journal, Reader, from_json, to_json};

/// The texts of a case, by file name.
pub type Files = BTreeMap<String, String>;

impl Journal {
    /// Replaces all cases of a tenant, by name.
    pub async fn keep_cases(&self, tenant: &str, cases: BTreeMap<String, Files>) -> anyhow::Result<()> {
        let tenant = tenant.to_owned();
        let keep = move |tx: &Transaction| {
            tx.execute("DELETE FROM cases WHERE tenant = ?", [&tenant])?;
            let mut insert = tx.prepare_cached("INSERT INTO cases (tenant, name, files) VALUES (?, ?, ?)")?;
            for (name, files) in &cases {
                insert.execute(params![tenant, name, to_json(files)?])?;
            }
            Ok(())
        };
        self.writer.write(keep, |_| ()).await
    }
}

impl Reader {
    /// The cases of a tenant, by name.
    pub fn cases(&self, tenant: &str) -> anyhow::Result<BTreeMap<String, Files>> {
        let mut statement = self.connection.prepare_cached("SELECT name, files FROM cases WHERE tenant = ?")?;
        let mut rows = statement.query([tenant])?;
        let mut cases = BTreeMap::new();
        while let Some(row) = rows.next()? {
            cases.insert(row.get(0)?, from_json(&row.get::<_, String>(1)?)?);
        }
        Ok(cases)
    }
}
