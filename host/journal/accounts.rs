//! Accounts of tenants that were added over the admin API, as JSON with sealed secrets, and the names of tenants that
//! were removed. Knows neither the keys nor what an account says.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};

use super::operators::{Deed, record};
use super::{Due, Journal, Reader, reader, redact};
use crate::clock;
use crate::model::EventId;
use crate::scheduler::Input;

impl Journal {
    /// Keeps the account of a tenant in place of an older one, and records the deed, if there is one, in the audit
    /// trail. When this returns, both are on disk.
    pub async fn keep_account(&self, tenant: &str, account: String, deed: Option<Deed>) -> anyhow::Result<()> {
        let tenant = tenant.to_owned();
        let keep = move |tx: &Transaction| keep(tx, &tenant, &account, deed.as_ref());
        self.writer.write(keep, |()| ()).await
    }

    /// Keeps the account of a tenant whose shop has a new domain. The webhook address of its app stays, since Shopify
    /// goes on sending there; what the shop granted under the old domain is deleted.
    pub async fn keep_moved(
        &self,
        tenant: &str,
        client_id: &str,
        shop: &str,
        account: String,
        deed: Deed,
    ) -> anyhow::Result<()> {
        let [tenant, client_id, shop] = [tenant, client_id, shop].map(str::to_owned);
        let job = move |tx: &Transaction| {
            tx.execute(
                "UPDATE grants SET shop = ?1, revision = revision + 1, body = NULL, is_dropped = FALSE
                 WHERE tenant = ?2 AND client_id = ?3",
                params![shop, tenant, client_id],
            )?;
            tx.execute("UPDATE shops SET shop = ?, other = NULL WHERE tenant = ?", params![shop, tenant])?;
            keep(tx, &tenant, &account, Some(&deed))
        };
        self.writer.write(job, |()| ()).await
    }

    /// Lets a tenant's waiting events and calls go on. `then` runs first and makes the tenant known to the host, which
    /// takes in no webhook of the tenant before that.
    pub async fn take_up(&self, tenant: &str, then: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        let (tenant, feeds) = (tenant.to_owned(), self.feeds.clone());
        let of = tenant.clone();
        let find = move |tx: &Transaction| reader::unanswered(tx, Some(&of));
        let publish = move |calls: &Vec<Due>| {
            then();
            // This makes the tenant's scheduler read the events that wait.
            feeds.tell(&tenant, Input::Activated);
            calls.iter().for_each(|due| drop(feeds.calls.send(due.clone())));
        };
        self.writer.write(find, publish).await.map(drop)
    }

    /// Removes a tenant with this shop, in one transaction. A later tenant of the same name is a different one, so the
    /// account, grants, cases, imports, pauses and directions are deleted, the tokens are revoked, and no version stays active.
    /// Events that are not over are discarded, so that none of them goes on; the others stay until retention removes
    /// them.
    pub async fn remove_tenant(&self, tenant: &str, shop: &str, deed: Deed) -> anyhow::Result<()> {
        let (tenant, shop, directions) = (tenant.to_owned(), shop.to_owned(), self.directions.clone());
        let gone = tenant.clone();
        let remove = move |tx: &Transaction| {
            let now = clock::now();
            for table in [
                "accounts",
                "cases",
                "checkpoints",
                "clues",
                "directions",
                "grants",
                "imports",
                "listed",
                "paused",
                "shops",
            ] {
                tx.execute(&format!("DELETE FROM {table} WHERE tenant = ?"), [&tenant])?;
            }
            tx.execute(
                "UPDATE tokens SET revoked_at = ? WHERE tenant = ? AND revoked_at IS NULL",
                params![now, tenant],
            )?;
            tx.execute("UPDATE activations SET current = FALSE WHERE tenant = ? AND current", [&tenant])?;
            tx.execute(
                "UPDATE runs SET state = 'dropped' WHERE state = 'open'
                     AND event IN (SELECT id FROM events WHERE tenant = ? AND outcome IS NULL)",
                [&tenant],
            )?;
            let mut statement = tx.prepare(
                "UPDATE events SET outcome = 'discarded', reason = 'its tenant was removed', ended_at = ?
                 WHERE tenant = ? AND outcome IS NULL RETURNING id, redacted_by",
            )?;
            let rows =
                statement.query_map(params![now, tenant], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
            let discarded: Vec<_> = rows.collect::<Result<_, _>>()?;
            for (event, _) in discarded.iter().filter(|(_, redacted_by)| redacted_by.is_some()) {
                redact::scrub(tx, EventId(*event))?;
            }
            tx.execute(
                "INSERT INTO removed_tenants (tenant, shop, at) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET shop = excluded.shop, at = excluded.at",
                params![tenant, shop, now],
            )?;
            let what = format!("{}; {} events that were not over are discarded", deed.what, discarded.len());
            record(tx, &Deed { what, ..deed })
        };
        self.writer.write(remove, move |()| directions.forget(&gone)).await
    }
}

fn keep(tx: &Transaction, tenant: &str, account: &str, deed: Option<&Deed>) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO accounts (tenant, account) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET account = excluded.account",
        params![tenant, account],
    )?;
    deed.map_or(Ok(()), |deed| record(tx, deed))
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

    /// The names of removed tenants. A newer tenant may have one of these names.
    pub fn removed_tenants(&self) -> anyhow::Result<HashSet<String>> {
        let mut statement = self.connection.prepare_cached("SELECT tenant FROM removed_tenants")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The shop of a tenant of this name that was removed.
    pub fn removed_shop(&self, tenant: &str) -> anyhow::Result<Option<String>> {
        let mut statement = self.connection.prepare_cached("SELECT shop FROM removed_tenants WHERE tenant = ?")?;
        Ok(statement.query_row([tenant], |row| row.get(0)).optional()?)
    }
}
