//! Versions: the components of every tenant, which of them is active, and how it became so. Knows digests and bytes;
//! not what is in a component.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::fixed::{self, Change, Fixed};
use super::{Journal, Reader, opened, reopen, room};
use crate::clock;
use crate::config::Quota;
use crate::model::{EventId, Millis};
use crate::scheduler::{Input, Opened};

/// Why a version is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The configuration names it.
    Configured,
    Activated,
    RolledBack,
    /// The version before it failed too many events.
    Failing,
}

/// A version to be made current.
#[derive(Clone, Debug)]
pub struct Activation {
    pub tenant: String,
    pub digest: String,
    pub cause: Cause,
    /// Its settings (JSON pointer to JSON) that may not change once people are linked by them, unless `relink` says so.
    pub fixed: BTreeMap<String, String>,
    pub relink: bool,
    /// The version that must be current now, if any must.
    pub expected: Option<String>,
    /// This many failures among its latest events roll it back.
    pub failures_max: Option<u32>,
    /// What the configuration said, if the version was made from that.
    pub configured: Option<Configured>,
}

/// What a configuration said of a tenant's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    /// SHA-256 of the file that the configuration names, and of the default rules that a rules file was frozen into,
    /// which is empty for a component.
    pub source: String,
    pub base: String,
    pub digest: String,
}

/// The version that new runs of a tenant take.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    pub digest: String,
    pub since: Millis,
    pub failures_max: Option<u32>,
    /// What a roll back would make current.
    pub back: Option<String>,
    id: i64,
}

/// A version that was made current.
#[derive(Clone, Debug, PartialEq)]
pub struct Activated {
    pub digest: String,
    /// The version that was current before.
    pub replaced: Option<String>,
    /// Whether some tenant is still on the version that was replaced.
    pub is_used: bool,
    /// How many entities are linked by a changed setting, and are to be brought in step.
    pub relinked: usize,
    /// Events that begin again, in order of arrival.
    pub again: Vec<EventId>,
}

/// Why nothing was made current.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    /// The version that is current, which is not the expected one.
    Other(Option<String>),
    /// These settings would change, and this many entities are linked by them.
    Fixed { changed: Vec<Change>, linked: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    pub digest: String,
    /// As JSON.
    pub manifest: String,
    pub deployed_at: Millis,
    /// The note that somebody gave it.
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ActivationRow {
    pub digest: String,
    pub at: Millis,
    pub cause: String,
}

type Before = (Option<i64>, Vec<Opened>);

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Activated => "activated",
            Self::RolledBack => "rolled back",
            Self::Failing => "failing",
        }
    }
}

impl Journal {
    /// Keeps the report of the latest replay through a version.
    pub async fn keep_report(&self, tenant: &str, digest: &str, report: &str) -> anyhow::Result<()> {
        let row = [tenant.to_owned(), digest.to_owned(), report.to_owned()];
        let keep = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO reports (tenant, digest, at, report) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET at = excluded.at, report = excluded.report",
                params![row[0], row[1], clock::now(), row[2]],
            )
        };
        self.writer.write(keep, |_| ()).await.map(drop)
    }

    /// Keeps a component as a version of a tenant, within these limits if there are any. `false`: the tenant had it.
    pub async fn deploy(
        &self,
        tenant: &str,
        digest: &str,
        manifest: String,
        bytes: Vec<u8>,
        limits: Option<Quota>,
    ) -> anyhow::Result<bool> {
        let (tenant, digest) = (tenant.to_owned(), digest.to_owned());
        let deploy = move |tx: &Transaction| {
            if let Some(limits) = limits
                && !room::has_version(tx, &tenant, &digest)?
                && let Some(no_room) = room::no_room(tx, &tenant, bytes.len() as u64, &limits)?
            {
                return Ok(Err(no_room));
            }
            tx.execute(
                "INSERT INTO components (digest, manifest, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                params![digest, manifest, bytes],
            )?;
            let new = tx.execute(
                "INSERT INTO versions (tenant, digest, deployed_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                params![tenant, digest, clock::now()],
            )?;
            Ok(Ok(new == 1))
        };
        Ok(self.writer.write(deploy, |_| ()).await??)
    }

    /// Keeps a note on a version, in place of an older one.
    pub async fn note(&self, tenant: &str, digest: &str, note: &str) -> anyhow::Result<()> {
        let row = [tenant.to_owned(), digest.to_owned(), note.to_owned()];
        let keep = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO notes (tenant, digest, note) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET note = excluded.note",
                params![row[0], row[1], row[2]],
            )
        };
        self.writer.write(keep, |_| ()).await.map(drop)
    }

    /// Makes a version current, if the one that is expected is current now.
    pub async fn activate(&self, activation: Activation) -> anyhow::Result<Result<Activated, Moved>> {
        self.make_current(activation, |tx, activation, now| {
            if let Some(Configured { source, base, digest }) = &activation.configured {
                tx.execute(
                    "INSERT INTO configured (tenant, source, base, digest) VALUES (?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET source = excluded.source, base = excluded.base, digest = excluded.digest",
                    params![activation.tenant, source, base, digest],
                )?;
            }
            Ok(Some((now.map(|now| now.id), vec![])))
        })
        .await
    }

    /// Makes the version current again that was current when the present one was activated; the activation says which
    /// version that is. With [`Cause::Failing`], events that failed by the fault of the version that goes begin again,
    /// and so do events that run on it.
    pub async fn roll_back(&self, activation: Activation) -> anyhow::Result<Result<Activated, Moved>> {
        self.make_current(activation, |tx, activation, now| {
            let Some(now) = now.filter(|now| now.back.as_ref() == Some(&activation.digest)) else { return Ok(None) };
            let back = "SELECT back FROM activations WHERE id = (SELECT back FROM activations WHERE id = ?)";
            let back = tx.query_row(back, [now.id], |row| row.get(0)).optional()?.flatten();
            let again = match activation.cause {
                Cause::Failing => begin_again(tx, &activation.tenant, now)?,
                _ => vec![],
            };
            Ok(Some((back, again)))
        })
        .await
    }

    /// `before` gives the activation that a roll back of the new one would go to, and the events that begin again;
    /// `None` if the current version is not the one that was thought.
    async fn make_current(
        &self,
        activation: Activation,
        before: impl FnOnce(&Transaction, &Activation, Option<&Active>) -> rusqlite::Result<Option<Before>> + Send + 'static,
    ) -> anyhow::Result<Result<Activated, Moved>> {
        let (feeds, tenant) = (self.feeds.clone(), activation.tenant.clone());
        let (metrics, cause) = (self.metrics.clone(), activation.cause);
        let job = move |tx: &Transaction| {
            let Activation { tenant, digest, cause, fixed, relink, expected, failures_max, .. } = &activation;
            let now = active(tx, tenant)?;
            let replaced = now.as_ref().map(|now| now.digest.clone());
            let is_removed = *cause == Cause::Activated && !room::has_version(tx, tenant, digest)?;
            if is_removed || expected.is_some() && *expected != replaced {
                return Ok((Err(Moved::Other(replaced)), vec![], vec![]));
            }
            let (kept, resync) = fixed::fix(tx, tenant, fixed, *relink)?;
            let relinked = match kept {
                Fixed::Kept => 0,
                Fixed::Relinked(linked) => linked,
                Fixed::Refused { changed, linked } => {
                    return Ok((Err(Moved::Fixed { changed, linked }), vec![], vec![]));
                }
            };
            let Some((back, again)) = before(tx, &activation, now.as_ref())? else {
                return Ok((Err(Moved::Other(replaced)), vec![], vec![]));
            };
            // Activating the current version once more adds no step to roll back to.
            if replaced.as_ref() != Some(digest) {
                tx.execute("UPDATE activations SET current = 0 WHERE tenant = ? AND current", [tenant])?;
                tx.execute(
                    "INSERT INTO activations (tenant, digest, at, cause, back, failures_max, current)
                     VALUES (?, ?, ?, ?, ?, ?, 1)",
                    params![tenant, digest, clock::now(), cause.name(), back, failures_max],
                )?;
            }
            let is_used = replaced.as_deref().map(|replaced| is_active(tx, replaced)).transpose()?.unwrap_or(false);
            let events = again.iter().map(|opened| opened.event).collect();
            Ok((Ok(Activated { digest: digest.clone(), replaced, is_used, relinked, again: events }), again, resync))
        };
        let publish = move |(activated, again, resync): &(Result<Activated, Moved>, Vec<Opened>, Vec<Opened>)| {
            if activated.is_ok() {
                let rolled_back = || Input::RolledBack { again: again.clone() };
                feeds.tell(&tenant, if cause == Cause::Failing { rolled_back() } else { Input::Activated });
            }
            let swapped =
                activated.as_ref().ok().filter(|done| done.replaced.as_ref().is_some_and(|old| *old != done.digest));
            if swapped.is_some() {
                metrics.swapped(cause.name());
            }
            resync.iter().for_each(|opened| feeds.tell(&tenant, Input::Arrived(*opened)));
        };
        Ok(self.writer.write(job, publish).await?.0)
    }

    /// Notes the SHA-256 of the code that was compiled from a version for this host.
    pub async fn note_compiled(&self, digest: &str, host: &str, sha256: &str) -> anyhow::Result<()> {
        let (digest, host, sha256) = (digest.to_owned(), host.to_owned(), sha256.to_owned());
        let note = move |tx: &Transaction| {
            tx.execute(
                "INSERT INTO compiled (digest, host, sha256) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET host = excluded.host, sha256 = excluded.sha256",
                params![digest, host, sha256],
            )?;
            Ok(())
        };
        self.writer.write_soon(note).await
    }
}

impl Reader {
    /// The version that new runs of a tenant take.
    pub fn active(&self, tenant: &str) -> anyhow::Result<Option<Active>> {
        Ok(active(&self.connection, tenant)?)
    }

    /// What the latest replay through a version has found, as JSON, and when that was.
    pub fn report(&self, tenant: &str, digest: &str) -> anyhow::Result<Option<(Millis, String)>> {
        let mut statement =
            self.connection.prepare_cached("SELECT at, report FROM reports WHERE tenant = ? AND digest = ?")?;
        Ok(statement.query_row([tenant, digest], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// Whether new runs of any tenant take this version.
    pub fn is_active(&self, digest: &str) -> anyhow::Result<bool> {
        Ok(is_active(&self.connection, digest)?)
    }

    /// The versions of a tenant, in the order they were deployed.
    pub fn versions(&self, tenant: &str) -> anyhow::Result<Vec<VersionRow>> {
        let mut statement = self.connection.prepare(
            "SELECT digest, manifest, deployed_at, note FROM versions JOIN components USING (digest)
             LEFT JOIN notes USING (tenant, digest) WHERE tenant = ? ORDER BY deployed_at, digest",
        )?;
        let rows = statement.query_map([tenant], |row| {
            let (digest, manifest) = (row.get(0)?, row.get(1)?);
            Ok(VersionRow { digest, manifest, deployed_at: row.get(2)?, note: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The activations of a tenant, the latest first.
    pub fn activations(&self, tenant: &str, limit: usize) -> anyhow::Result<Vec<ActivationRow>> {
        let mut statement = self
            .connection
            .prepare("SELECT digest, at, cause FROM activations WHERE tenant = ? ORDER BY id DESC LIMIT ?")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![tenant, limit], |row| {
            Ok(ActivationRow { digest: row.get(0)?, at: row.get(1)?, cause: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A component that was deployed.
    pub fn component(&self, digest: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let mut statement = self.connection.prepare_cached("SELECT bytes FROM components WHERE digest = ?")?;
        Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
    }

    /// What a component says it is, as JSON, if some tenant has it as a version.
    pub fn component_manifest(&self, digest: &str) -> anyhow::Result<Option<String>> {
        let mut statement = self.connection.prepare_cached("SELECT manifest FROM components WHERE digest = ?")?;
        Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
    }

    /// For which host a version was last compiled, and the SHA-256 of the code.
    pub fn compiled(&self, digest: &str) -> anyhow::Result<Option<(String, String)>> {
        let mut statement = self.connection.prepare_cached("SELECT host, sha256 FROM compiled WHERE digest = ?")?;
        Ok(statement.query_row([digest], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// What the configuration last said of a tenant's rules.
    pub fn configured(&self, tenant: &str) -> anyhow::Result<Option<Configured>> {
        let mut statement =
            self.connection.prepare_cached("SELECT source, base, digest FROM configured WHERE tenant = ?")?;
        let row = statement
            .query_row([tenant], |row| Ok(Configured { source: row.get(0)?, base: row.get(1)?, digest: row.get(2)? }));
        Ok(row.optional()?)
    }
}

pub(super) fn active(connection: &Connection, tenant: &str) -> rusqlite::Result<Option<Active>> {
    let mut statement = connection.prepare_cached(
        "SELECT now.digest, now.at, now.failures_max, before.digest, now.id
         FROM activations AS now LEFT JOIN activations AS before ON before.id = now.back
         WHERE now.tenant = ? AND now.current",
    )?;
    let row = statement.query_row([tenant], |row| {
        Ok(Active {
            digest: row.get(0)?,
            since: row.get(1)?,
            failures_max: row.get(2)?,
            back: row.get(3)?,
            id: row.get(4)?,
        })
    });
    row.optional()
}

fn is_active(connection: &Connection, digest: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM activations WHERE digest = ? AND current)")?
        .query_row([digest], |row| row.get(0))
}

/// Drops the open runs of a version, and reopens the events that failed by its fault since it became current.
fn begin_again(tx: &Transaction, tenant: &str, bad: &Active) -> rusqlite::Result<Vec<Opened>> {
    let mut again: Vec<EventId> = vec![];
    let mut dropped = tx.prepare(
        "UPDATE runs SET state = 'dropped' WHERE state = 'open' AND version = ?1
           AND event IN (SELECT id FROM events WHERE outcome IS NULL AND tenant = ?2) RETURNING event",
    )?;
    let mut failed = tx.prepare(
        "SELECT id FROM events
         WHERE outcome IN ('refused', 'invalid', 'failed') AND outcome = 'failed' AND tenant = ?2 AND version = ?1
           AND blame = 'plugin' AND redacted_by IS NULL AND ended_at >= ?3",
    )?;
    let id = |row: &rusqlite::Row| row.get(0).map(EventId);
    for event in dropped.query_map(params![bad.digest, tenant], id)? {
        again.push(event?);
    }
    for event in failed.query_map(params![bad.digest, tenant, bad.since], id)? {
        again.push(event?);
    }
    // They keep their places, as if they had never run.
    again.iter().try_for_each(|event| reopen(tx, *event))?;
    let mut again: Vec<Opened> =
        again.into_iter().map(|event| opened(tx, event, 0)).collect::<rusqlite::Result<_>>()?;
    again.sort_unstable_by_key(|opened| opened.place);
    Ok(again)
}
