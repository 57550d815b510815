//! Measures the journal for an operator's instruments: what waits, and what is dead. Does not know what is done about
//! it.

use std::collections::HashMap;

use rusqlite::Transaction;

use super::{Journal, Reader};
use crate::clock;
use crate::metrics::{Metrics, TenantNow};

/// The length of a test write: that of most webhooks.
const TRY_BYTES: u32 = 32 << 10;

impl Journal {
    /// The counters that every stage adds to.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Why the journal can write nothing more before a restart; `None` as long as it can.
    pub fn why_broken(&self) -> Option<String> {
        self.writer.broken().borrow().as_ref().map(|broken| broken.why.clone())
    }

    /// Writes a row as long as a webhook, and deletes it again. If this succeeds, the write was on disk, so a webhook
    /// could be taken in. An error means that the journal is broken, the disk is full, or another process is writing.
    pub async fn try_to_write(&self) -> anyhow::Result<()> {
        let tried = |tx: &Transaction| {
            tx.execute("INSERT INTO tries (filler) VALUES (zeroblob(?))", [TRY_BYTES])?;
            tx.execute("DELETE FROM tries", []).map(drop)
        };
        self.writer.write(tried, |()| ()).await
    }

    /// Its file.
    pub fn path(&self) -> std::path::PathBuf {
        self.readers.path.clone()
    }

    /// The journal's size on disk: its main file and its log of writes.
    pub fn bytes(&self) -> u64 {
        let path = self.readers.path.display();
        let size = |name: String| std::fs::metadata(name).map_or(0, |file| file.len());
        size(path.to_string()) + size(format!("{path}-wal"))
    }
}

impl Reader {
    /// How many events wait and how many are dead letters, by tenant.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_found_out_and_so_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        journal.try_to_write().await.unwrap();
        let room = async |pages: i64| {
            let limit =
                move |tx: &Transaction| tx.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()));
            journal.writer.write(limit, |()| ()).await.unwrap();
        };
        room(1).await;
        // The pages that the test write has left free are filled first.
        let fill = |tx: &Transaction| tx.execute("INSERT INTO tries (filler) VALUES (zeroblob(16384))", []).map(drop);
        while journal.writer.write(fill, |()| ()).await.is_ok() {}
        let error = journal.try_to_write().await.unwrap_err();
        assert!(format!("{error:#}").contains("full"), "{error:#}");
        assert_eq!(journal.why_broken(), None);
        room(100_000).await;
        journal.try_to_write().await.unwrap();
        drop((journal, _feeds));
        thread.join().unwrap();
    }
}
