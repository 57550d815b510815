//! Invitations: shops that may install an app before any tenant names them. Only the hash of a code is stored. Knows
//! neither app nor tenant.

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
    /// `None`: the shop is the one whose merchant types the code.
    pub shop: Option<String>,
    /// SHA-256, in hex, of the code, if the invitation needs one.
    pub code: Option<String>,
    /// The tenant's name; `None`: the tenant is named after the shop.
    pub tenant: Option<String>,
    /// The name of the token that made the invitation.
    pub by: String,
    pub ends_at: Millis,
}

impl Journal {
    /// Keeps a new invitation, or puts back one that was taken up in vain. Any other invitation of the same shop and
    /// app is deleted. When this returns, the invitation is on disk.
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

    /// Takes up an invitation, which is good once. `false`: it was taken up or withdrawn before.
    pub async fn take_invitation(&self, id: &str) -> anyhow::Result<bool> {
        let id = id.to_owned();
        let take = move |tx: &Transaction| tx.execute("DELETE FROM invitations WHERE id = ?", [&id]);
        Ok(self.writer.write(take, |_| ()).await? > 0)
    }
}

impl Reader {
    /// The open invitations, in the order in which they end.
    pub fn invitations(&self, now: Millis) -> anyhow::Result<Vec<Invitation>> {
        let mut statement = self.connection.prepare(&format!("{ALL} WHERE ends_at > ? ORDER BY ends_at, id"))?;
        Ok(statement.query_map([now], row)?.collect::<Result<_, _>>()?)
    }

    /// The open invitation of a shop for an app.
    pub fn invitation_of(&self, client_id: &str, shop: &str, now: Millis) -> anyhow::Result<Option<Invitation>> {
        let one = format!("{ALL} WHERE client_id = ? AND shop = ? AND ends_at > ?");
        Ok(self.connection.prepare(&one)?.query_row(params![client_id, shop, now], row).optional()?)
    }

    /// The open invitation to an app that has this code.
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
