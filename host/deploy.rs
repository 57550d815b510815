//! What an operator does with a tenant's versions while the host runs: deploy, prove, activate, roll back.
//!
//! Knows the registry, the lanes and the proof; neither HTTP nor the configuration.

use anyhow::Context as _;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::config::Quota;
use crate::journal::{Activated, Journal, Range};
use crate::mapping::{Control, Drained};
use crate::model::EventId;
use crate::registry::{Activate, Deployed, Refused, Registry};
use crate::replay::Report;
use crate::shadow::Shadows;
use crate::tenants::Tenants;

mod proof;
mod proofs;

use proof::Proof;
use proofs::Proofs;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Versions {
    pub registry: Registry,
    pub shadows: Shadows,
    journal: Journal,
    lanes: Control,
    tenants: Tenants,
    proofs: Proofs,
}

/// Why a version is not proved. Nothing has changed.
#[derive(Debug, Error)]
pub enum Unproved {
    /// Its report would be taken for that of whoever asked first, about other events.
    #[error("a proof of `{0}` is under way\nhint: look at its progress, and ask again when it is done")]
    UnderWay(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Versions {
    pub fn new(registry: Registry, shadows: Shadows, journal: Journal, lanes: Control, tenants: Tenants) -> Self {
        Self { registry, shadows, journal, lanes, tenants, proofs: Proofs::default() }
    }

    /// Checks a component and keeps it as a version of a tenant. `sha256` is what its sender says it is.
    pub async fn deploy(&self, tenant: &str, component: &[u8], sha256: Option<&str>) -> anyhow::Result<Deployed> {
        let limits = self.limits(tenant)?;
        self.looked_at(tenant, self.registry.deploy_within(tenant, component, sha256, Some(limits)).await?)
    }

    /// Freezes a rules file into the default rules, and keeps that as a version of a tenant.
    pub async fn deploy_rules(&self, tenant: &str, file: &str, rules: &str) -> anyhow::Result<Deployed> {
        let limits = self.limits(tenant)?;
        self.looked_at(tenant, self.registry.deploy_rules(tenant, file, rules, Some(limits)).await?)
    }

    /// Runs a tenant's recorded events and its cases through one of its versions, and keeps the report with it. Whoever
    /// stops waiting gives it up; another version's may have to be waited for.
    pub async fn prove(&self, tenant: &str, digest: &str, range: Range) -> Result<Report, Unproved> {
        self.known(tenant)?;
        let begun = self.proofs.begin(tenant, digest).ok_or_else(|| Unproved::UnderWay(digest.to_owned()))?;
        let turn = self.proofs.turn(tenant).await.context("waiting to prove")?;
        let proof = Proof {
            registry: self.registry.clone(),
            journal: self.journal.clone(),
            tenant: tenant.to_owned(),
            digest: digest.to_owned(),
            range,
        };
        let running = begun.running.clone();
        let work = spawn_blocking(move || {
            let _turn = turn;
            proof.run(&running)
        });
        let report = work.await.context("proving")??;
        let text = serde_json::to_string(&report).context("writing the report")?;
        self.journal.keep_report(tenant, digest, &text).await?;
        Ok(report)
    }

    /// How many events of how many the proof of a version has done, if one is under way.
    pub fn progress(&self, tenant: &str, digest: &str) -> Option<(u64, u64)> {
        self.proofs.progress(tenant, digest)
    }

    /// Makes a version current between two events. With `drain` no run is under way at that moment, and what has not
    /// begun is asked for its key again: for a version that gives other keys than the active one.
    pub async fn activate(&self, how: Activate<'_>, drain: bool) -> Result<Activated, Refused> {
        let tenant = how.tenant;
        self.known(tenant)?;
        let prepared = self.registry.prepare(how).await?;
        let _drained = if drain { Some(self.drained(tenant).await?) } else { None };
        self.registry.make_current(prepared).await
    }

    /// Makes the version current that was before the active one; `expected` is the one to be left.
    pub async fn roll_back(&self, tenant: &str, expected: Option<&str>, drain: bool) -> Result<Activated, Refused> {
        self.known(tenant)?;
        let prepared = self.registry.prepare_roll_back(tenant, expected).await?;
        let _drained = if drain { Some(self.drained(tenant).await?) } else { None };
        self.registry.make_current(prepared).await
    }

    /// Has an event that is under way begin again, on the version that is active now.
    pub fn restart(&self, tenant: &str, event: EventId) -> anyhow::Result<()> {
        self.known(tenant)?;
        self.lanes.restart(tenant, event)
    }

    /// Adds to the warnings what only an activation would refuse.
    fn looked_at(&self, tenant: &str, mut deployed: Deployed) -> anyhow::Result<Deployed> {
        if let Some(changed) = self.registry.changed_links(tenant, &deployed.manifest)? {
            let before = if deployed.warnings.is_empty() { "" } else { "\n\n" };
            deployed.warnings = format!("{}{before}warning: {changed}", deployed.warnings.trim_end());
        }
        Ok(deployed)
    }

    async fn drained(&self, tenant: &str) -> Result<Drained, Refused> {
        self.lanes.drain(tenant).await.map_err(|error| Refused::Busy(format!("{error:#}")))
    }

    fn known(&self, tenant: &str) -> anyhow::Result<()> {
        self.limits(tenant).map(drop)
    }

    fn limits(&self, tenant: &str) -> anyhow::Result<Quota> {
        let known = self.tenants.get(tenant).with_context(|| format!("there is no tenant `{tenant}`"))?;
        Ok(known.limits)
    }
}
