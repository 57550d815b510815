//! What is read off the journal for an operator's instruments. Knows what waits and what is dead; not what is done about it.

use std::collections::HashMap;

use super::{Journal, Reader};
use crate::clock;
use crate::metrics::{Metrics, TenantNow};

impl Journal {
    /// Where every stage counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Why nothing can be written any more before a restart, if so.
    pub fn why_broken(&self) -> Option<String> {
        self.writer.broken().borrow().clone()
    }

    /// Its size on disk, with what is not yet moved into the main file.
    pub fn bytes(&self) -> u64 {
        let path = self.readers.path.display();
        let size = |name: String| std::fs::metadata(name).map_or(0, |file| file.len());
        size(path.to_string()) + size(format!("{path}-wal"))
    }
}

impl Reader {
    /// What waits and what is dead, by tenant.
    pub fn waiting(&self) -> anyhow::Result<HashMap<String, TenantNow>> {
        let mut tenants: HashMap<String, TenantNow> = HashMap::new();
        let now = clock::now();
        let mut statement = self.connection.prepare_cached(
            "SELECT tenant, count(*), min(received_at) FROM events WHERE outcome IS NULL GROUP BY tenant",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let tenant = tenants.entry(row.get(0)?).or_default();
            tenant.waiting = row.get(1)?;
            tenant.oldest_ms = (now - row.get::<_, i64>(2)?).max(0);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT tenant, count(*) FROM events WHERE outcome IN ('refused', 'invalid', 'failed') GROUP BY tenant",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tenants.entry(row.get(0)?).or_default().dead_letters = row.get(1)?;
        }
        Ok(tenants)
    }
}
