//! Paused targets, which get no calls until somebody resumes them, whatever restarts there are. Knows why a target is
//! paused; not who sends.

use rusqlite::params;

use super::{Journal, Reader};
use crate::clock;
use crate::model::Millis;

/// Why Shopify is paused after the merchant has uninstalled the app.
pub(super) const UNINSTALLED: &str = "the app was uninstalled";

/// A target that has been paused, or that takes calls again.
#[derive(Clone, Debug, PartialEq)]
pub struct Paused {
    pub tenant: String,
    pub target: String,
    /// `None`: it takes calls again.
    pub reason: Option<String>,
}

/// Pauses a target. The reason of an earlier pause is kept behind the new one.
pub(super) fn keep(tx: &rusqlite::Transaction, paused: &Paused) -> rusqlite::Result<usize> {
    tx.execute(
        "INSERT INTO paused (tenant, target, since, reason) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET reason = excluded.reason || '; before: ' || reason",
        params![paused.tenant, paused.target, clock::now(), paused.reason],
    )
}

impl Journal {
    /// Pauses a target. When this returns it is on disk.
    pub async fn pause(&self, tenant: &str, target: &str, reason: &str) -> anyhow::Result<()> {
        let paused = Paused { tenant: tenant.into(), target: target.into(), reason: Some(reason.into()) };
        let (feeds, told) = (self.feeds.clone(), paused.clone());
        let pause = move |tx: &rusqlite::Transaction| {
            tx.execute(
                "INSERT INTO paused (tenant, target, since, reason) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET reason = excluded.reason",
                params![paused.tenant, paused.target, clock::now(), paused.reason],
            )
        };
        self.writer.write(pause, move |_| drop(feeds.pauses.send(told))).await?;
        Ok(())
    }

    /// Pauses Shopify because its app was uninstalled.
    pub async fn pause_uninstalled(&self, tenant: &str) -> anyhow::Result<()> {
        let paused = Paused { tenant: tenant.into(), target: "shopify".into(), reason: Some(UNINSTALLED.into()) };
        let (feeds, told) = (self.feeds.clone(), paused.clone());
        // If an operator has paused the target, that reason stays.
        let pause = move |tx: &rusqlite::Transaction| {
            tx.execute(
                "INSERT INTO paused (tenant, target, since, reason) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![paused.tenant, paused.target, clock::now(), paused.reason],
            )
        };
        let tell = move |paused: &usize| {
            if *paused > 0 {
                let _ = feeds.pauses.send(told);
            }
        };
        self.writer.write(pause, tell).await.map(drop)
    }

    /// Resumes Shopify if it was paused because its app was uninstalled. A pause by an operator stays.
    pub async fn resume_installed(&self, tenant: &str) -> anyhow::Result<()> {
        let resumed = Paused { tenant: tenant.into(), target: "shopify".into(), reason: None };
        let (feeds, tenant) = (self.feeds.clone(), tenant.to_owned());
        let resume = move |tx: &rusqlite::Transaction| {
            let that = "DELETE FROM paused WHERE tenant = ? AND target = 'shopify' AND reason = ?";
            tx.execute(that, [&*tenant, UNINSTALLED])
        };
        let tell = move |gone: &usize| {
            if *gone > 0 {
                let _ = feeds.pauses.send(resumed);
            }
        };
        self.writer.write(resume, tell).await.map(drop)
    }

    /// Resumes a target. `false`: it was not paused.
    pub async fn resume(&self, tenant: &str, target: &str) -> anyhow::Result<bool> {
        let resumed = Paused { tenant: tenant.into(), target: target.into(), reason: None };
        let (feeds, told) = (self.feeds.clone(), resumed.clone());
        let resume = move |tx: &rusqlite::Transaction| {
            // To resume Shopify is to accept the shop that answers now, so its number is kept.
            if resumed.target == "shopify" {
                let known = "UPDATE shops SET number = other, other = NULL WHERE tenant = ? AND other IS NOT NULL";
                tx.execute(known, [&resumed.tenant])?;
            }
            tx.execute("DELETE FROM paused WHERE tenant = ? AND target = ?", params![resumed.tenant, resumed.target])
        };
        Ok(self.writer.write(resume, move |_| drop(feeds.pauses.send(told))).await? > 0)
    }
}

impl Reader {
    /// The targets that are paused, and since when.
    pub fn paused(&self) -> anyhow::Result<Vec<(Paused, Millis)>> {
        let mut statement = self.connection.prepare("SELECT tenant, target, reason, since FROM paused")?;
        let rows = statement.query_map([], |row| {
            Ok((Paused { tenant: row.get(0)?, target: row.get(1)?, reason: row.get(2)? }, row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
