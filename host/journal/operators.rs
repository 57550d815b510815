//! The tokens of those who may operate the host, by hash, and the audit trail of what they did. Knows nothing of
//! permissions.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Journal, Reader};
use crate::clock;
use crate::model::Millis;

/// What is kept of a token. The token itself was shown once; only its SHA-256 is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub name: String,
    /// The only tenant that the token is for; `None` for an operator's token, which is for everything.
    pub tenant: Option<String>,
    pub created_at: Millis,
    pub revoked_at: Option<Millis>,
}

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// The name of the token.
    pub by: String,
    pub tenant: Option<String>,
    /// A sentence: `retried 3 dead letters of orders/paid`.
    pub what: String,
}

impl Journal {
    /// Keeps the hash of a new token. `false`: a token of that name is in force.
    pub async fn add_token(&self, name: &str, tenant: Option<&str>, hash: &str) -> anyhow::Result<bool> {
        let (name, tenant, hash) = (name.to_owned(), tenant.map(str::to_owned), hash.to_owned());
        let add = move |tx: &Transaction| {
            let added = tx.execute(
                "INSERT INTO tokens (hash, name, tenant, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![hash, name, tenant, clock::now()],
            )?;
            let of = tenant.as_deref().map_or("an operator's".to_owned(), |tenant| format!("for tenant {tenant}"));
            if added == 1 {
                let what = format!("token {name} created, {of}");
                record(tx, &Deed { by: "command line".into(), tenant: tenant.clone(), what })?;
            }
            Ok(added == 1)
        };
        self.writer.write(add, |_| ()).await
    }

    /// Revokes the token of that name. `false`: none is in force.
    pub async fn revoke_token(&self, name: &str) -> anyhow::Result<bool> {
        let name = name.to_owned();
        let revoke = move |tx: &Transaction| {
            let revoked = tx.execute(
                "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
                params![clock::now(), name],
            )?;
            if revoked == 1 {
                let what = format!("token {name} revoked");
                record(tx, &Deed { by: "command line".into(), tenant: None, what })?;
            }
            Ok(revoked == 1)
        };
        self.writer.write(revoke, |_| ()).await
    }

    /// Adds to the audit trail.
    pub async fn record(&self, deed: Deed) -> anyhow::Result<()> {
        self.writer.write(move |tx| record(tx, &deed), |_| ()).await
    }
}

pub(super) fn record(tx: &Transaction, deed: &Deed) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO audit (at, token, tenant, what) VALUES (?, ?, ?, ?)")?.execute(params![
        clock::now(),
        deed.by,
        deed.tenant,
        deed.what
    ])?;
    Ok(())
}

impl Reader {
    /// The token with this hash, if it is in force.
    pub fn token(&self, hash: &str) -> anyhow::Result<Option<Token>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, tenant, created_at, revoked_at FROM tokens WHERE hash = ? AND revoked_at IS NULL",
        )?;
        Ok(statement.query_row([hash], token).optional()?)
    }

    /// Every token there ever was, the oldest first.
    pub fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        let mut statement = self
            .connection
            .prepare("SELECT name, tenant, created_at, revoked_at FROM tokens ORDER BY created_at, name")?;
        let rows = statement.query_map([], token)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest deeds, of one tenant or of all, the newest first.
    pub fn audit(&self, tenant: Option<&str>, limit: usize) -> anyhow::Result<Vec<(Millis, Deed)>> {
        let mut statement = self.connection.prepare(
            "SELECT at, token, tenant, what FROM audit WHERE ?1 IS NULL OR tenant = ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![tenant, limit], |row| {
            Ok((row.get(0)?, Deed { by: row.get(1)?, tenant: row.get(2)?, what: row.get(3)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn token(row: &rusqlite::Row) -> rusqlite::Result<Token> {
    Ok(Token { name: row.get(0)?, tenant: row.get(1)?, created_at: row.get(2)?, revoked_at: row.get(3)? })
}
