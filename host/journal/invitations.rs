//! Shops that may install an app though no tenant names them yet. Of a code only the hash is here. Knows neither app nor tenant.

use anyhow::bail;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Deed, Journal, Reader, operators};
use crate::model::Millis;

/// Invitations that may be open at a time.
const OPEN_MAX: i64 = 10_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    pub id: String,
    pub client_id: String,
    /// `None`: the shop whose merchant types the code.
    pub shop: Option<String>,
    /// SHA-256 in hex of the code, if it takes one.
    pub code: Option<String>,
    /// What the tenant is to be called; `None`: after the shop.
    pub tenant: Option<String>,
    /// The name of the token that made it.
    pub by: String,
    pub ends_at: Millis,
}

impl Journal {
    /// Keeps an invitation, or one that was taken up in vain. Another one of the same shop and app goes. When this returns it is on
    /// disk.
    pub async fn invite(&self, invitation: Invitation, now: Millis, deed: Option<Deed>) -> anyhow::Result<()> {
        let invite = move |tx: &Transaction| {
            tx.execute("DELETE FROM invitations WHERE ends_at <= ?", [now])?;
            let Invitation { id, client_id, shop, code, tenant, by, ends_at } = &invitation;
            tx.execute("DELETE FROM invitations WHERE client_id = ? AND shop = ?", params![client_id, shop])?;
            let open: i64 = tx.query_row("SELECT count(*) FROM invitations", [], |row| row.get(0))?;
            if open < OPEN_MAX {
                tx.execute(
                    "INSERT INTO invitations (id, client_id, shop, code, tenant, by, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![id, client_id, shop, code, tenant, by, ends_at],
                )?;
                if let Some(deed) = &deed {
                    operators::record(tx, deed)?;
                }
            }
            Ok(open < OPEN_MAX)
        };
        if !self.writer.write(invite, |_| ()).await? {
            bail!("{OPEN_MAX} invitations are open\nhint: withdraw some, or wait until some end");
        }
        Ok(())
    }

    /// Ends an invitation. `false`: there is none.
    pub async fn withdraw(&self, id: &str, deed: Deed) -> anyhow::Result<bool> {
        let id = id.to_owned();
        let withdraw = move |tx: &Transaction| {
            let is_gone = tx.execute("DELETE FROM invitations WHERE id = ?", [&id])? > 0;
            if is_gone {
                operators::record(tx, &deed)?;
            }
            Ok(is_gone)
        };
        self.writer.write(withdraw, |_| ()).await
    }

    /// Takes an invitation up: it is good once. `false`: somebody else has, or it was withdrawn.
    pub async fn take_invitation(&self, id: &str) -> anyhow::Result<bool> {
        let id = id.to_owned();
        let take = move |tx: &Transaction| tx.execute("DELETE FROM invitations WHERE id = ?", [&id]);
        Ok(self.writer.write(take, |_| ()).await? > 0)
    }
}

impl Reader {
    /// Those that are open, and end first.
    pub fn invitations(&self, now: Millis) -> anyhow::Result<Vec<Invitation>> {
        let mut statement = self.connection.prepare(&format!("{ALL} WHERE ends_at > ? ORDER BY ends_at, id"))?;
        Ok(statement.query_map([now], row)?.collect::<Result<_, _>>()?)
    }

    /// That of a shop for an app.
    pub fn invitation_of(&self, client_id: &str, shop: &str, now: Millis) -> anyhow::Result<Option<Invitation>> {
        let one = format!("{ALL} WHERE client_id = ? AND shop = ? AND ends_at > ?");
        Ok(self.connection.prepare(&one)?.query_row(params![client_id, shop, now], row).optional()?)
    }

    /// That which this code is for.
    pub fn invitation_with(&self, client_id: &str, code: &str, now: Millis) -> anyhow::Result<Option<Invitation>> {
        let one = format!("{ALL} WHERE client_id = ? AND code = ? AND ends_at > ?");
        Ok(self.connection.prepare(&one)?.query_row(params![client_id, code, now], row).optional()?)
    }
}

const ALL: &str = "SELECT id, client_id, shop, code, tenant, by, ends_at FROM invitations";

fn row(row: &Row) -> rusqlite::Result<Invitation> {
    Ok(Invitation {
        id: row.get(0)?,
        client_id: row.get(1)?,
        shop: row.get(2)?,
        code: row.get(3)?,
        tenant: row.get(4)?,
        by: row.get(5)?,
        ends_at: row.get(6)?,
    })
}
