//! What an operator does with a tenant's versions while the host runs: deploy, prove, activate, roll back.
//!
//! Knows the registry, the lanes and the proof; neither HTTP nor the configuration.

use anyhow::{Context as _, bail};
use tokio::task::spawn_blocking;

use crate::engine;
use crate::journal::{Activated, Journal, Range};
use crate::mapping::Control;
use crate::model::EventId;
use crate::registry::{Activate, Deployed, Refused, Registry};
use crate::replay::{Replay, Report};
use crate::tenants::Tenants;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Versions {
    pub registry: Registry,
    journal: Journal,
    lanes: Control,
    tenants: Tenants,
}

impl Versions {
    pub fn new(registry: Registry, journal: Journal, lanes: Control, tenants: Tenants) -> Self {
        Self { registry, journal, lanes, tenants }
    }

    /// Checks a component and keeps it as a version of a tenant. `sha256` is what its sender says it is.
    pub async fn deploy(&self, tenant: &str, component: &[u8], sha256: Option<&str>) -> anyhow::Result<Deployed> {
        self.known(tenant)?;
        self.registry.deploy(tenant, component, sha256).await
    }

    /// Freezes a rules file into the default rules, and keeps that as a version of a tenant.
    pub async fn deploy_rules(&self, tenant: &str, file: &str, rules: &str) -> anyhow::Result<Deployed> {
        self.known(tenant)?;
        self.registry.deploy_rules(tenant, file, rules).await
    }

    /// Replays a tenant's recorded events through one of its versions, and keeps the report with it.
    pub async fn prove(&self, tenant: &str, digest: &str, range: Range) -> anyhow::Result<Report> {
        self.known(tenant)?;
        let (registry, journal) = (self.registry.clone(), self.journal.clone());
        let (name, version) = (tenant.to_owned(), digest.to_owned());
        let proof = spawn_blocking(move || {
            // On an engine of its own, so that it takes no instance from events that are live.
            let candidate = registry.load_on(&engine::engine()?, &version)?;
            let replay = Replay { tenant: &name, range, candidate: &candidate, with_values: false };
            journal.read(|reader| replay.run(reader, |_, _| {}))
        });
        let report = proof.await.context("replaying")??;
        self.journal.keep_report(tenant, digest, &serde_json::to_string(&report)?).await?;
        Ok(report)
    }

    /// Makes a version current between two events. With `drain` no run is under way at that moment, and what has not
    /// begun is asked for its key again: for a version that gives other keys than the active one.
    pub async fn activate(&self, how: Activate<'_>, drain: bool) -> Result<Activated, Refused> {
        let tenant = how.tenant;
        self.known(tenant)?;
        let prepared = self.registry.prepare(how).await?;
        let _drained = if drain { Some(self.lanes.drain(tenant).await?) } else { None };
        let activated = self.registry.make_current(prepared).await?;
        if activated.replaced.is_none() {
            self.lanes.go(tenant)?;
        }
        Ok(activated)
    }

    /// Makes the version current that was before the active one; `expected` is the one to be left.
    pub async fn roll_back(&self, tenant: &str, expected: Option<&str>, drain: bool) -> Result<Activated, Refused> {
        self.known(tenant)?;
        let prepared = self.registry.prepare_roll_back(tenant, expected).await?;
        let _drained = if drain { Some(self.lanes.drain(tenant).await?) } else { None };
        self.registry.make_current(prepared).await
    }

    /// Has an event that is under way begin again, on the version that is active now.
    pub fn restart(&self, tenant: &str, event: EventId) -> anyhow::Result<()> {
        self.known(tenant)?;
        self.lanes.restart(tenant, event)
    }

    fn known(&self, tenant: &str) -> anyhow::Result<()> {
        if self.tenants.get(tenant).is_none() {
            bail!("there is no tenant `{tenant}`");
        }
        Ok(())
    }
}
