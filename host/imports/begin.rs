//! The beginning of imports and reconciliations: what is wanted, whether it can be had, and where a reading begins. Reads no page.

use anyhow::anyhow;
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{Imports, Inner, bulk, page};
use crate::clock;
use crate::journal::{Import, ImportKind as Kind, ImportState as State, Mode, Reading};
use crate::model::Millis;
use crate::rules::{self, Pull};

/// How far before the last reading a reconciliation begins: what changed just before may not have been listed yet.
const OVERLAP_MS: Millis = 3_600_000;

/// What somebody wants to be read.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The collections, by name; all if there are none.
    pub pulls: Vec<String>,
    /// RFC 3339, or a date, which begins in UTC.
    pub since: Option<String>,
    /// Whether what the collections warn of was read and accepted.
    pub agreed: bool,
    /// Whether nothing is to be made of what is read.
    pub plan: bool,
}

/// What is to be reconciled.
#[derive(Clone, Debug, Default)]
pub struct Reconciling {
    /// Whether to find what is gone, too, by reading all names.
    pub names: bool,
    /// Whether nothing is to be made of what is read.
    pub plan: bool,
    /// Whether many names may be gone.
    pub agreed: bool,
    /// What was done before, for people.
    pub why: String,
}

/// Why no import was begun, or changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("no version of `{0}` is active, and rules say what can be read\nhint: `tandem deploy --activate` one")]
    NoVersion(String),
    #[error("the rules of `{0}` say of no collection how it is read\nhint: deploy rules that do")]
    NoPulls(String),
    #[error("the rules have no collection `{0}`\nhint: they have {1}")]
    Unknown(String, String),
    #[error("`{0}` cannot be read yet: {1}")]
    Unready(String, String),
    #[error("{0}\nhint: read that, and say that you agree: `--yes`, or `\"agreed\": true`")]
    Caution(String),
    #[error("`since` is `{0}`, which is {1}\nhint: give a date, `2026-01-31`, or a time, `2026-01-31T08:00:00+11:00`")]
    Since(String, &'static str),
    #[error("another import of the tenant is open\nhint: let it end, or cancel it: `tandem import {0} --cancel`")]
    Open(String),
    #[error("{0}")]
    NotOpen(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Imports {
    /// The collections that a tenant's rules say how to read.
    async fn pulls(&self, tenant: &str) -> Result<Vec<Pull>, Refused> {
        let plugin = self.0.active(tenant).await?.ok_or_else(|| Refused::NoVersion(tenant.to_owned()))?;
        let pulls = plugin.manifest().pulls.clone();
        if pulls.is_empty() { Err(Refused::NoPulls(tenant.to_owned())) } else { Ok(pulls) }
    }

    /// Begins an import; it goes on by itself. Where everything is wanted, a collection that the rules cannot read yet is left
    /// out, and `why` of the import that is given says so.
    pub async fn begin(&self, tenant: &str, wanted: Wanted, by: &str) -> Result<Import, Refused> {
        let known = self.pulls(tenant).await?;
        let names = || known.iter().map(|pull| format!("`{}`", pull.name)).collect::<Vec<_>>().join(", ");
        if let Some(other) = wanted.pulls.iter().find(|name| known.iter().all(|pull| pull.name != **name)) {
            return Err(Refused::Unknown(other.clone(), names()));
        }
        let is_wanted = |pull: &&Pull| wanted.pulls.is_empty() || wanted.pulls.contains(&pull.name);
        let (mut chosen, mut left_out) = (vec![], vec![]);
        for pull in known.iter().filter(is_wanted) {
            match self.0.first_page(tenant, pull).await? {
                Ok(()) => chosen.push(pull),
                Err(why) if wanted.pulls.is_empty() => left_out.push((pull.name.clone(), why)),
                Err(why) => return Err(Refused::Unready(pull.name.clone(), why)),
            }
        }
        if let (true, Some((name, why))) = (chosen.is_empty(), left_out.first()) {
            return Err(Refused::Unready(name.clone(), why.clone()));
        }
        let cautions = chosen.iter().filter(|pull| !pull.caution.is_empty());
        let cautions: Vec<_> = cautions.map(|pull| format!("`{}`: {}", pull.name, pull.caution)).collect();
        if !cautions.is_empty() && !wanted.agreed && !wanted.plan {
            return Err(Refused::Caution(cautions.join("\n")));
        }
        let since = wanted.since.as_deref().map(|since| moment(since, clock::now())).transpose()?.map(clock::rfc3339);
        let readings = chosen.iter().map(|pull| Reading {
            pull: pull.name.clone(),
            source: pull.source.clone(),
            since: since.clone(),
            ..Reading::default()
        });
        let left_out = left_out.iter().map(|(name, why)| format!("`{name}` is left out: {why}"));
        let import = Import {
            plan: wanted.plan,
            agreed: wanted.agreed,
            why: left_out.collect::<Vec<_>>().join("; "),
            since: since.clone(),
            readings: readings.collect(),
            ..new(tenant, Kind::Import, by)
        };
        self.keep(import).await
    }

    /// Begins to read again what has changed since it was last read, in case that a webhook never came. What was never read is
    /// read from the day on that the tenant is served. Collections that the rules cannot read yet are left out.
    pub async fn reconcile(&self, tenant: &str, wanted: Reconciling, by: &str) -> Result<Import, Refused> {
        let known = self.pulls(tenant).await?;
        let of = tenant.to_owned();
        let (checkpoints, served) =
            self.0.parts.journal.read(|reader| Ok((reader.checkpoints(&of)?, reader.served_since(&of)?)))?;
        let now = clock::now();
        let mut readings = vec![];
        for pull in &known {
            if self.0.first_page(tenant, pull).await?.is_ok() {
                let since = since(checkpoints.get(&pull.name).copied().or(served), now).map(clock::rfc3339);
                readings.push(Reading {
                    pull: pull.name.clone(),
                    source: pull.source.clone(),
                    since,
                    ..Reading::default()
                });
            }
        }
        if readings.is_empty() {
            return Err(Refused::NoPulls(tenant.to_owned()));
        }
        if wanted.names {
            let is_read = |pull: &&Pull| !pull.gone.is_empty() && readings.iter().any(|other| other.pull == pull.name);
            let by_names = known.iter().filter(is_read).map(|pull| Reading {
                pull: pull.name.clone(),
                source: pull.source.clone(),
                names_of: Some(pull.gone.clone()),
                ..Reading::default()
            });
            let by_names: Vec<_> = by_names.collect();
            readings.extend(by_names);
        }
        let Reconciling { plan, agreed, why, .. } = wanted;
        self.keep(Import { plan, agreed, why, readings, ..new(tenant, Kind::Reconciliation, by) }).await
    }

    async fn keep(&self, import: Import) -> Result<Import, Refused> {
        let begun = self.0.parts.journal.begin_import(import.clone()).await?;
        let id = begun.ok_or_else(|| Refused::Open(import.tenant.clone()))?;
        Ok(Import { id, ..import })
    }
}

impl Inner {
    /// Whether the rules can say what to ask for; otherwise why not.
    async fn first_page(&self, tenant: &str, pull: &Pull) -> anyhow::Result<Result<(), String>> {
        if self.parts.journal.mode(tenant, &pull.source) == Mode::Drop {
            return Ok(Err(format!(
                "what comes from {} is dropped; `tandem directions {tenant}` says why",
                pull.source
            )));
        }
        let Some(plugin) = self.active(tenant).await? else { return Ok(Err("no version is active".into())) };
        let app = self.parts.tenants.get(tenant).and_then(|tenant| tenant.shopify.app().map(|app| app.kind));
        let reading = rules::Reading {
            pull: pull.name.clone(),
            begun_at: clock::rfc3339(clock::now()),
            since: None,
            names_only: false,
            bulk: bulk::is_offered(&pull.source, app, false),
            cursor: String::new(),
        };
        Ok(spawn_blocking(move || page::ask(&plugin, &reading).map(drop)).await?)
    }
}

/// An import that has read nothing yet.
fn new(tenant: &str, kind: Kind, by: &str) -> Import {
    Import {
        id: 0,
        tenant: tenant.to_owned(),
        began_at: clock::now(),
        ended_at: None,
        by: by.to_owned(),
        kind,
        plan: false,
        agreed: false,
        state: State::Running,
        why: String::new(),
        since: None,
        readings: vec![],
    }
}

/// Where a reconciliation begins that follows a reading; `None`: with everything. A reading in the future was noted by a clock
/// that was wrong, so that nothing is known.
fn since(last: Option<Millis>, now: Millis) -> Option<Millis> {
    last.filter(|last| *last <= now).map(|last| last.saturating_sub(OVERLAP_MS))
}

/// A moment as somebody gives it, which lies in the past.
fn moment(text: &str, now: Millis) -> Result<Millis, Refused> {
    let wrong = |why| Refused::Since(text.to_owned(), why);
    let at = clock::parse(text).or_else(|| clock::parse(&format!("{text}T00:00:00Z")));
    let at = at.ok_or_else(|| wrong("neither a date nor a time"))?;
    if at < now { Ok(at) } else { Err(wrong("not in the past")) }
}

impl From<tokio::task::JoinError> for Refused {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(anyhow!(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_date_or_a_time_in_the_past() {
        let now = clock::parse("2026-03-01T00:00:00Z").unwrap();
        for (text, at) in [
            ("2026-02-28", Some("2026-02-28T00:00:00.000Z")),
            ("2026-02-28T10:00:00+11:00", Some("2026-02-27T23:00:00.000Z")),
            ("2026-03-01", None),
            ("2027-01-01", None),
            ("2026-02-30", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text, now).ok().map(clock::rfc3339).as_deref(), at, "{text}");
        }
    }
}
