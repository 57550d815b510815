//! Tenants that were added over the admin API, as JSON whose secrets are sealed. Knows no key and nothing of what it says.

use rusqlite::{Transaction, params};

use super::operators::{Deed, record};
use super::{Journal, Reader};
use crate::clock;

impl Journal {
    /// Keeps a tenant's account, in the place of an older one, with who did that and what it was. When this returns it is on
    /// disk.
    pub async fn keep_account(&self, tenant: &str, account: String, deed: Option<Deed>) -> anyhow::Result<()> {
        let tenant = tenant.to_owned();
        let keep = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO accounts (tenant, account) VALUES (?, ?)
                 ON CONFLICT DO UPDATE SET account = excluded.account",
                params![tenant, account],
            )?;
            deed.map_or(Ok(()), |deed| record(tx, &deed))
        };
        self.writer.write(keep, |()| ()).await
    }

    /// Forgets a tenant's account and cases and revokes its tokens: who has its name later is somebody else. Its events stay.
    pub async fn forget_account(&self, tenant: &str, deed: Deed) -> anyhow::Result<()> {
        let tenant = tenant.to_owned();
        let forget = move |tx: &Transaction| {
            tx.execute("DELETE FROM accounts WHERE tenant = ?", [&tenant])?;
            tx.execute("DELETE FROM cases WHERE tenant = ?", [&tenant])?;
            tx.execute(
                "UPDATE tokens SET revoked_at = ? WHERE tenant = ? AND revoked_at IS NULL",
                params![clock::now(), tenant],
            )?;
            record(tx, &deed)
        };
        self.writer.write(forget, |()| ()).await
    }

    /// Tells the stages what waits of a tenant, as at the start: it was unknown to them for a while. Blocks.
    pub fn refeed(&self, tenant: &str) -> anyhow::Result<()> {
        let (unfinished, unanswered) = self.read(|reader| Ok((reader.unfinished()?, reader.unanswered()?)))?;
        for arrived in unfinished.into_iter().filter(|arrived| arrived.tenant == tenant) {
            let _ = self.feeds.events.send(arrived);
        }
        for due in unanswered.into_iter().filter(|due| due.tenant == tenant) {
            let _ = self.feeds.calls.send(due);
        }
        Ok(())
    }
}

impl Reader {
    /// Every tenant that was added, and its account.
    pub fn accounts(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut statement = self.connection.prepare("SELECT tenant, account FROM accounts ORDER BY tenant")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn account(&self, tenant: &str) -> anyhow::Result<Option<String>> {
        let mut statement = self.connection.prepare_cached("SELECT account FROM accounts WHERE tenant = ?")?;
        let mut rows = statement.query([tenant])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }
}
