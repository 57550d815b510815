//! The versions that the configuration names: built and activated when the configuration has changed, or when the base
//! of the rules has changed under it. Otherwise the active version stays, whoever activated it.
//!
//! Only the tenant's events wait for that. A rules file that several tenants have is built once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use super::{Prepared, Registry};
use crate::bake;
use crate::compile::Mistakes;
use crate::config::{RulesFrom, Tenant};
use crate::journal::{Activation, Cause, Configured};
use crate::rules;

/// Tenants whose rules are built at a time. How many of these are compiled at a time is up to the compiler.
const AT_ONCE_MAX: usize = 4;
/// How many rules files are remembered as built.
const BUILT_MAX: usize = 4_096;

/// Tenants that are not yet on the version that the configuration names, and why.
#[derive(Default)]
pub struct Unsettled(Mutex<BTreeMap<String, Unbuilt>>);

/// Why a tenant is not on the version that its configuration names.
#[derive(Clone, Debug, PartialEq)]
pub enum Unbuilt {
    /// The version is being built, or waits for that. The tenant's events wait.
    Building,
    /// The version could not be built, for this reason. The tenant's events go on with the version that was active
    /// before, if there is one.
    Failed(String),
}

/// What a tenant's configuration names, as it was read.
struct Named {
    file: String,
    bytes: Vec<u8>,
    is_component: bool,
    source: String,
    base: String,
}

impl Unsettled {
    /// Whether new events of this tenant have to wait.
    pub fn is_building(&self, tenant: &str) -> bool {
        self.tenants().get(tenant) == Some(&Unbuilt::Building)
    }

    fn set(&self, tenant: &str, unbuilt: Option<Unbuilt>) {
        match unbuilt {
            Some(unbuilt) => drop(self.tenants().insert(tenant.to_owned(), unbuilt)),
            None => drop(self.tenants().remove(tenant)),
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Unbuilt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Makes the events of these tenants wait until [`Registry::configure`] is done with them.
    pub fn expect<'a>(&self, tenants: impl Iterator<Item = &'a Tenant>) {
        for tenant in tenants.filter(|tenant| !matches!(tenant.rules, RulesFrom::Deployed)) {
            self.0.unsettled.set(&tenant.name, Some(Unbuilt::Building));
        }
    }

    /// Forgets a tenant that the configuration does not name any more.
    pub fn forget(&self, tenant: &str) {
        self.0.unsettled.set(tenant, None);
    }

    /// Tenants that are not on the version that their configuration names, and why.
    pub fn unbuilt(&self) -> BTreeMap<String, Unbuilt> {
        self.0.unsettled.tenants().clone()
    }

    /// For how many tenants a version is being built, and for how many it could not be.
    pub fn unbuilt_count(&self) -> (usize, usize) {
        let tenants = self.0.unsettled.tenants();
        let building = tenants.values().filter(|unbuilt| **unbuilt == Unbuilt::Building).count();
        (building, tenants.len() - building)
    }

    /// Carries out what the configuration names for these tenants, and tells of each when its events may go on. Tenants
    /// for whom nothing has to be built come first. Gives what went wrong.
    pub async fn configure_all(
        &self,
        tenants: Vec<Tenant>,
        relink: Vec<String>,
        settled: impl Fn(&str) + Clone + Send + 'static,
    ) -> Vec<anyhow::Error> {
        let mut rest = vec![];
        for tenant in tenants {
            // An error is told when this is tried again, below.
            if self.settle(&tenant).await.unwrap_or(false) {
                settled(&tenant.name);
            } else {
                rest.push(tenant);
            }
        }
        let at_once = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let mut building = JoinSet::new();
        for tenant in rest {
            // This fails only if the semaphore is closed, which it never is.
            let Ok(turn) = at_once.clone().acquire_owned().await else { break };
            let (registry, settled, relink) = (self.clone(), settled.clone(), relink.contains(&tenant.name));
            building.spawn(async move {
                let _turn = turn;
                let configured = registry.configure(&tenant, relink).await;
                if let Err(error) = &configured {
                    let goes_on = registry.0.journal.read(|reader| reader.active(&tenant.name)).ok().flatten();
                    let events = if goes_on.is_some() { "go on with the version that was active" } else { "wait" };
                    tracing::error!(
                        tenant = tenant.name,
                        "its rules are not what the configuration names; its events {events}: {error:#}"
                    );
                }
                settled(&tenant.name);
                configured
            });
        }
        let mut wrong = vec![];
        while let Some(configured) = building.join_next().await {
            match configured {
                Ok(configured) => wrong.extend(configured.err()),
                Err(error) => wrong.push(error.into()),
            }
        }
        wrong
    }

    /// Whether a tenant is on the version that its configuration names already.
    async fn settle(&self, tenant: &Tenant) -> anyhow::Result<bool> {
        let is_settled = match self.named(tenant).await? {
            Some(named) => self.is_settled(&tenant.name, &named)?,
            None => true,
        };
        if is_settled {
            self.0.unsettled.set(&tenant.name, None);
        }
        Ok(is_settled)
    }

    /// Makes the version that the configuration names for a tenant current, if it is new. Whatever comes of that, the
    /// tenant's events may go on then. Errors name the tenant.
    pub async fn configure(&self, tenant: &Tenant, relink: bool) -> anyhow::Result<()> {
        let configured = self.make_configured(tenant, relink).await;
        let unbuilt = configured.as_ref().err().map(|error| Unbuilt::Failed(format!("{error:#}")));
        self.0.unsettled.set(&tenant.name, unbuilt);
        configured
    }

    async fn make_configured(&self, tenant: &Tenant, relink: bool) -> anyhow::Result<()> {
        let (of, name) = (|| format!("the rules of tenant `{}`", tenant.name), &tenant.name);
        let Some(named) = self.named(tenant).await? else { return Ok(()) };
        let active = self.0.journal.read(|reader| reader.active(name))?.map(|active| active.digest);
        if self.is_settled(name, &named)? {
            return Ok(());
        }
        let deployed = if named.is_component {
            self.deploy(name, &named.bytes, None).await
        } else {
            self.deploy_rules(name, &named.file, &String::from_utf8_lossy(&named.bytes), None).await
        };
        let deployed = match deployed {
            // Mistakes say themselves where they are.
            Err(error) if error.is::<Mistakes>() => return Err(error),
            deployed => deployed.with_context(of)?,
        };
        if !deployed.warnings.is_empty() {
            tracing::warn!(tenant = name, "the rules are in doubt:\n{}", deployed.warnings);
        }
        let plugin = self.plugin(&deployed.digest).await.with_context(of)?;
        let activation = Activation {
            relink,
            // Another version may have been activated while this one was built.
            expected: active,
            configured: Some(Configured { source: named.source, base: named.base, digest: deployed.digest }),
            ..super::activation(name, &plugin, Cause::Configured)
        };
        self.make_current(Prepared { activation, plugin }).await?;
        Ok(())
    }

    /// Reads what the configuration names for a tenant; `None` if its rules are deployed over the API.
    async fn named(&self, tenant: &Tenant) -> anyhow::Result<Option<Named>> {
        let (path, is_component) = match &tenant.rules {
            RulesFrom::Component(path) => (path.clone(), true),
            RulesFrom::File(path) => (path.clone(), false),
            RulesFrom::Deployed => return Ok(None),
        };
        let base = if is_component { String::new() } else { self.default_base_digest().await? };
        let read = move || {
            let bytes = if is_component { bake::read_component(&path)? } else { bake::read_rules(&path)?.into_bytes() };
            let source = rules::digest(&bytes);
            anyhow::Ok(Named { file: path.display().to_string(), bytes, is_component, source, base })
        };
        spawn_blocking(read).await.context("reading rules")?.map(Some)
    }

    /// Whether this is what was last made current for the configuration, so that nothing is to be done.
    fn is_settled(&self, tenant: &str, named: &Named) -> anyhow::Result<bool> {
        let (before, active) =
            self.0.journal.read(|reader| Ok((reader.configured(tenant)?, reader.active(tenant)?)))?;
        let (Some(before), Some(active)) = (before, active) else { return Ok(false) };
        let is_settled = before.source == named.source && (before.base == named.base || before.digest != active.digest);
        if is_settled && before.digest != active.digest {
            tracing::warn!(
                tenant,
                version = active.digest,
                "runs another version than the configuration names: that was activated, or rolled back to, since"
            );
        }
        Ok(is_settled)
    }

    /// The SHA-256 of the default rules that this host carries, which never changes while it runs.
    pub(super) async fn default_base_digest(&self) -> anyhow::Result<String> {
        if let Some(digest) = self.0.default_base.get() {
            return Ok(digest.clone());
        }
        let work = spawn_blocking(|| bake::default_base().map(|base| rules::digest(&base)));
        let digest = work.await.context("encoding the default rules")??;
        Ok(self.0.default_base.get_or_init(|| digest).clone())
    }
}

/// Rules files that were built or are being built, by the digests of file and base.
#[derive(Default)]
pub struct Built(Mutex<BTreeMap<[String; 2], One>>);

/// Locked while a rules file is being built; holds the result for the next one.
type One = Arc<tokio::sync::Mutex<Option<Once>>>;

/// The result of building a rules file, for the next tenant that has the same.
#[derive(Clone)]
pub struct Once {
    pub digest: String,
    /// Warnings name the file, which may be another tenant's.
    pub warnings: String,
    pub file: String,
}

impl Built {
    /// The lock for a rules file. The first to hold it builds the file; others wait, and find the result.
    pub fn one(&self, key: [String; 2]) -> One {
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if built.len() >= BUILT_MAX {
            // Files that are being built stay. Of the others, one may have to be built again.
            built.retain(|_, one| Arc::strong_count(one) > 1);
        }
        built.entry(key).or_default().clone()
    }
}
