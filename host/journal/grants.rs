//! What Shopify grants to apps for tenants, as text with sealed secrets, and the key in each tenant's webhook address.
//! Knows neither the sealing key nor what a grant says.

use anyhow::Context as _;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::paused::{self, Paused};
use super::{Journal, Reader};

/// What is kept for a tenant and an app.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantRow {
    pub tenant: String,
    /// The app's client id, since its name in the configuration may change.
    pub client_id: String,
    /// The shop that the grant is of.
    pub shop: String,
    /// A part of the address to which the app's webhooks for this tenant are sent.
    pub webhook_key: String,
    /// Raised with each change of the grant; 0 before the first.
    pub revision: i64,
    /// The grant; `None` if there is none.
    pub body: Option<String>,
    /// The last grant was deleted because the shop refused it.
    pub is_dropped: bool,
}

impl Journal {
    /// The row of a tenant and an app, made for this shop with this webhook key if there is none. A row that is there
    /// may be of another shop. When this returns, the row is on disk.
    pub async fn grant_row(
        &self,
        tenant: &str,
        client_id: &str,
        shop: &str,
        webhook_key: String,
    ) -> anyhow::Result<GrantRow> {
        if let Some(row) = self.read(|reader| reader.grant(tenant, client_id))? {
            return Ok(row);
        }
        let [tenant, client_id, shop] = [tenant, client_id, shop].map(str::to_owned);
        let make = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO grants (tenant, client_id, shop, webhook_key, revision) VALUES (?, ?, ?, ?, 0)
                 ON CONFLICT DO NOTHING",
                params![tenant, client_id, shop, webhook_key],
            )?;
            tx.query_row(ONE, [&tenant, &client_id], row)
        };
        self.writer.write(make, |_| ()).await
    }

    /// Makes the row of a tenant and an app this shop's. If the row is of another shop, its grant is deleted and its
    /// key replaced, since the other shop's webhooks still come to the old address.
    pub async fn settle_grant(
        &self,
        tenant: &str,
        client_id: &str,
        shop: &str,
        webhook_key: String,
    ) -> anyhow::Result<()> {
        if self.read(|reader| reader.grant(tenant, client_id))?.is_none_or(|row| row.shop == shop) {
            return Ok(());
        }
        let [tenant, client_id, shop] = [tenant, client_id, shop].map(str::to_owned);
        let settle = move |tx: &Transaction| {
            tx.execute(
                "UPDATE grants SET shop = ?1, webhook_key = ?2, revision = revision + 1, body = NULL, is_dropped = FALSE
                 WHERE tenant = ?3 AND client_id = ?4 AND shop <> ?1",
                params![shop, webhook_key, tenant, client_id],
            )
        };
        self.writer.write(settle, |_| ()).await.map(drop)
    }

    /// Keeps a grant in place of revision `old`, and gives the new revision. Without a `body`, records that the shop
    /// refuses the grant that was held. `None`: the row has another revision by now, and nothing was changed. When this
    /// returns, the row is on disk.
    pub async fn keep_grant(
        &self,
        tenant: &str,
        client_id: &str,
        old: i64,
        body: Option<String>,
    ) -> anyhow::Result<Option<i64>> {
        let (tenant, client_id) = (tenant.to_owned(), client_id.to_owned());
        let keep = move |tx: &Transaction| {
            let kept = tx.execute(
                "UPDATE grants SET body = ?1, is_dropped = ?1 IS NULL, revision = revision + 1
                 WHERE tenant = ?2 AND client_id = ?3 AND revision = ?4",
                params![body, tenant, client_id, old],
            )?;
            Ok((kept > 0).then_some(old + 1))
        };
        self.writer.write(keep, |_| ()).await
    }
}

impl Journal {
    /// Keeps the number that a shop gives, if none is kept yet. If another number is kept, or another tenant of the app
    /// has a shop of this number, both targets of the tenant are paused until an operator resumes Shopify. Gives the
    /// kept number then, which is 0 in the second case.
    pub async fn number_shop(&self, tenant: &str, shop: &str, number: u64) -> anyhow::Result<Option<u64>> {
        let number = i64::try_from(number).context("the number of the shop")?;
        if self.read(|reader| reader.number_of_shop(tenant, shop))? == Some((number, None)) {
            return Ok(None);
        }
        let (tenant, shop, feeds) = (tenant.to_owned(), shop.to_owned(), self.feeds.clone());
        let paused = ["shopify", "omneo"].map(|target| Paused {
            tenant: tenant.clone(),
            target: target.into(),
            reason: Some(format!(
                "another shop answers as {shop} now, or another tenant has this shop: resume both targets if that is right"
            )),
        });
        let told = paused.clone();
        let hold = move |tx: &Transaction| {
            let known = tx.query_row("SELECT number, shop, other FROM shops WHERE tenant = ?", [&tenant], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<i64>>(2)?))
            });
            match known.optional()? {
                Some((known, of, other)) if of == shop && known != number => {
                    tx.execute("UPDATE shops SET other = ? WHERE tenant = ?", params![number, tenant])?;
                    for one in paused.iter().filter(|_| other != Some(number)) {
                        paused::keep(tx, one)?;
                    }
                    Ok(Some((known, other != Some(number))))
                }
                // Both tenants would be in step with one shop: an operator has to say which of them is right.
                None if other_tenant(tx, &tenant, number)? => {
                    for one in &paused {
                        paused::keep(tx, one)?;
                    }
                    tx.execute(
                        "INSERT INTO shops (tenant, shop, number, other) VALUES (?, ?, 0, ?)",
                        params![tenant, shop, number],
                    )?;
                    Ok(Some((0, true)))
                }
                _ => {
                    tx.execute(
                        "INSERT INTO shops (tenant, shop, number) VALUES (?, ?, ?)
                         ON CONFLICT DO UPDATE SET shop = excluded.shop, number = excluded.number, other = NULL",
                        params![tenant, shop, number],
                    )?;
                    Ok(None)
                }
            }
        };
        let tell = move |held: &Option<(i64, bool)>| {
            if matches!(held, Some((_, true))) {
                told.into_iter().for_each(|one| drop(feeds.pauses.send(one)));
            }
        };
        let held = self.writer.write(hold, tell).await?;
        Ok(held.and_then(|(known, _)| u64::try_from(known).ok()))
    }
}

impl Reader {
    /// The number of a tenant's shop, and another number that it has given since, if any.
    fn number_of_shop(&self, tenant: &str, shop: &str) -> anyhow::Result<Option<(i64, Option<i64>)>> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, other FROM shops WHERE tenant = ? AND shop = ?")?;
        Ok(statement.query_row([tenant, shop], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// The number of a tenant's shop, if it is known.
    pub fn shop_number(&self, tenant: &str, shop: &str) -> anyhow::Result<Option<u64>> {
        Ok(self.number_of_shop(tenant, shop)?.and_then(|(own, _)| u64::try_from(own).ok()))
    }

    /// Whether a tenant's shop is known to have another number than this.
    pub fn is_shop_of_another_number(&self, tenant: &str, shop: &str, number: u64) -> anyhow::Result<bool> {
        let known = self.number_of_shop(tenant, shop)?;
        let number = i64::try_from(number).ok();
        Ok(known.is_some_and(|(own, _)| number != Some(own)))
    }

    /// Whether the number of a tenant's shop is known.
    pub fn is_shop_numbered(&self, tenant: &str, shop: &str) -> anyhow::Result<bool> {
        Ok(self.number_of_shop(tenant, shop)?.is_some())
    }

    /// The tenants of an app that had a shop of this number, each with the domain that the shop had.
    pub fn tenants_numbered(&self, client_id: &str, number: u64) -> anyhow::Result<Vec<(String, String)>> {
        let Ok(number) = i64::try_from(number) else { return Ok(vec![]) };
        let mut statement = self.connection.prepare_cached(
            "SELECT shops.tenant, shops.shop FROM shops JOIN grants ON grants.tenant = shops.tenant AND grants.shop = shops.shop
             WHERE client_id = ? AND number = ?",
        )?;
        let rows = statement.query_map(params![client_id, number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn grant(&self, tenant: &str, client_id: &str) -> anyhow::Result<Option<GrantRow>> {
        Ok(self.connection.prepare_cached(ONE)?.query_row([tenant, client_id], row).optional()?)
    }

    /// The tenant whose webhooks come to the address with this key.
    pub fn tenant_of_webhook_key(&self, client_id: &str, key: &str) -> anyhow::Result<Option<String>> {
        let mut statement =
            self.connection.prepare_cached("SELECT tenant FROM grants WHERE client_id = ? AND webhook_key = ?")?;
        Ok(statement.query_row([client_id, key], |row| row.get(0)).optional()?)
    }
}

/// Whether the shop of another tenant in the same app has this number.
fn other_tenant(tx: &Transaction, tenant: &str, number: i64) -> rusqlite::Result<bool> {
    tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM shops JOIN grants USING (tenant, shop) WHERE number = ?1 AND tenant <> ?2
         AND client_id IN (SELECT client_id FROM grants WHERE tenant = ?2))",
        params![number, tenant],
        |row| row.get(0),
    )
}

const ONE: &str = "SELECT tenant, client_id, shop, webhook_key, revision, body, is_dropped FROM grants WHERE tenant = ? AND client_id = ?";

fn row(row: &Row) -> rusqlite::Result<GrantRow> {
    Ok(GrantRow {
        tenant: row.get(0)?,
        client_id: row.get(1)?,
        shop: row.get(2)?,
        webhook_key: row.get(3)?,
        revision: row.get(4)?,
        body: row.get(5)?,
        is_dropped: row.get(6)?,
    })
}
