//! Approvals that merchants have been asked for and have not given yet. Only hashes are stored, so that a reader of the
//! journal cannot answer in a merchant's place. Knows neither browser nor Shopify.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Journal;
use crate::model::Millis;

/// Approvals that may be open at a time. Beyond that, the oldest are forgotten.
const OPEN_MAX: i64 = 1_000;
/// Approvals of one shop that may be open at a time, so that one shop cannot push out the others.
const OPEN_OF_SHOP_MAX: i64 = 10;

/// An approval that a merchant is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// SHA-256, in hex, of the state that comes back with the answer.
    pub state: String,
    /// SHA-256, in hex, of the cookie that the merchant's browser has.
    pub cookie: String,
    pub client_id: String,
    pub shop: String,
    pub ends_at: Millis,
}

impl Journal {
    /// Remembers that a merchant was asked. When this returns it is on disk.
    pub async fn ask_merchant(&self, asked: Asked, now: Millis) -> anyhow::Result<()> {
        let ask = move |tx: &Transaction| {
            tx.execute("DELETE FROM installs WHERE ends_at <= ?", [now])?;
            tx.execute(
                "DELETE FROM installs WHERE state IN (SELECT state FROM installs ORDER BY ends_at DESC LIMIT -1 OFFSET ?)",
                [OPEN_MAX - 1],
            )?;
            let Asked { state, cookie, client_id, shop, ends_at } = &asked;
            tx.execute(
                "DELETE FROM installs WHERE state IN (SELECT state FROM installs WHERE client_id = ? AND shop = ?
                 ORDER BY ends_at DESC LIMIT -1 OFFSET ?)",
                params![client_id, shop, OPEN_OF_SHOP_MAX - 1],
            )?;
            tx.execute(
                "INSERT INTO installs (state, cookie, client_id, shop, ends_at) VALUES (?, ?, ?, ?, ?)",
                params![state, cookie, client_id, shop, ends_at],
            )
        };
        self.writer.write(ask, |_| ()).await.map(drop)
    }

    /// Takes the approval that an answer belongs to, once, if the answer comes in time and from the same browser.
    pub async fn answered(&self, state: String, cookie: String, now: Millis) -> anyhow::Result<Option<Asked>> {
        let take = move |tx: &Transaction| {
            let taken = tx.query_row(
                "DELETE FROM installs WHERE state = ? AND cookie = ? AND ends_at > ? RETURNING client_id, shop, ends_at",
                params![state, cookie, now],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            );
            let asked = |(client_id, shop, ends_at)| Asked { state, cookie, client_id, shop, ends_at };
            Ok(taken.optional()?.map(asked))
        };
        self.writer.write(take, |_| ()).await
    }
}
