//! The registry: every tenant's versions, which of them is active, and their code, which is loaded when it is needed.
//!
//! Knows the journal, which keeps all that, and how rules are loaded; neither lanes nor who asks for a swap.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, anyhow, bail};
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::compile::{Compiler, Made, Source};
use crate::config::Quota;
use crate::engine::Engine;
use crate::journal::{
    Activated, Activation, ActivationRow, Active, Cause, Change, Journal, Moved, Removed, VersionRow,
};
use crate::rules::{self, Manifest, Plugin};

mod code;
mod configured;
mod folder;
mod loaded;

pub use crate::rules::COMPONENT_BYTES_MAX;
use code::Codes;
pub use configured::Unbuilt;
use configured::{Built, Once, Unsettled};
use loaded::Loaded;

/// Memory that the code of versions may take up, the active ones of busy tenants included.
const LOADED_BYTES_MAX: usize = 512 << 20;
/// How many of the first digits of a digest name a version.
const PREFIX_DIGITS_MIN: usize = 6;

/// A handle on the registry; cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    journal: Journal,
    engine: Engine,
    compiler: Compiler,
    /// The host that compiled code has to be compiled for.
    host: String,
    folder: PathBuf,
    loaded: Loaded,
    unsettled: Unsettled,
    built: Built,
    codes: Codes,
    default_base: OnceLock<String>,
}

/// A component that is kept as a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    pub digest: String,
    pub manifest: Manifest,
    /// Doubts about its rules file, and what of it cannot be activated as it is: ready to print, usually empty.
    pub warnings: String,
    /// Whether the version is new to the tenant.
    pub is_new: bool,
}

/// How to make a version current.
#[derive(Clone, Debug, Default)]
pub struct Activate<'a> {
    pub tenant: &'a str,
    /// The digest of the version, or its first digits.
    pub version: &'a str,
    /// The digest that must be current when the version is made current. Without it, that is the one that is current
    /// when this is called.
    pub expected: Option<&'a str>,
    /// The host rolls back by itself when this many of the latest 64 events have failed by the version's fault.
    pub failures_max: Option<u32>,
    /// The version may change what people are linked by; then everybody linked is given the new link, too.
    pub relink: bool,
}

/// A version that is loaded and can be made current.
pub struct Prepared {
    activation: Activation,
    plugin: Plugin,
}

/// Why no version was made current. Nothing has changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("tenant `{tenant}` has no version `{version}`\nhint: `tandem versions {tenant}` lists those it has")]
    Unknown { tenant: String, version: String },
    #[error("{}", moved(.0))]
    Moved(Option<String>),
    #[error("there is no version of `{0}` to go back to: the active one is the first")]
    First(String),
    #[error("no version of `{0}` is active yet\nhint: activate one")]
    None(String),
    /// The lanes could not be drained.
    #[error("{0}")]
    Busy(String),
    /// It changes settings by which people are linked.
    #[error("{0}")]
    Fixed(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

fn moved(active: &Option<String>) -> String {
    format!(
        "another version was activated meanwhile: {} is active now\nhint: look at it, and decide again",
        show(active)
    )
}

impl Registry {
    /// Opens the registry of the versions in this journal. Their compiled code is kept in a folder beside the journal.
    pub fn open(journal: Journal, engine: Engine, compiler: Compiler, path: &Path) -> Self {
        Self::within(journal, engine, compiler, path, LOADED_BYTES_MAX)
    }

    /// The same, with this much memory for code.
    pub fn within(journal: Journal, engine: Engine, compiler: Compiler, path: &Path, loaded_bytes_max: usize) -> Self {
        let mut folder = path.as_os_str().to_owned();
        folder.push("-compiled");
        let host = rules::host(&engine);
        let loaded = Loaded::new(loaded_bytes_max);
        let (unsettled, built, codes) = (Unsettled::default(), Built::default(), Codes::default());
        let folder = folder.into();
        let default_base = OnceLock::new();
        Self(Arc::new(Inner { journal, engine, compiler, host, folder, loaded, unsettled, built, codes, default_base }))
    }

    /// Makes rules current that are in memory already and stay there. They end with the host.
    pub async fn install(&self, tenant: &str, plugin: Plugin, relink: bool) -> anyhow::Result<()> {
        self.0.loaded.pin(plugin.clone());
        let activation = Activation { relink, ..activation(tenant, &plugin, Cause::Configured) };
        self.make_current(Prepared { activation, plugin }).await?;
        Ok(())
    }

    /// Checks a component and keeps it as a version of a tenant: whole or not at all. Nothing runs on it yet. `sha256`
    /// is the digest that its sender has worked out, if there is one.
    pub async fn deploy(&self, tenant: &str, bytes: &[u8], sha256: Option<&str>) -> anyhow::Result<Deployed> {
        self.deploy_within(tenant, bytes, sha256, None).await
    }

    /// The same for a tenant with these limits.
    pub async fn deploy_within(
        &self,
        tenant: &str,
        bytes: &[u8],
        sha256: Option<&str>,
        limits: Option<Quota>,
    ) -> anyhow::Result<Deployed> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            bail!("the component has {} bytes; {COMPONENT_BYTES_MAX} are allowed", bytes.len());
        }
        let came = rules::digest(bytes);
        if let Some(sha256) = sha256.filter(|sha256| !sha256.eq_ignore_ascii_case(&came)) {
            bail!("the component has the SHA-256 {came}, not {sha256}\nhint: it may have been cut off; send it again");
        }
        let one = self.0.built.one([came.clone(), String::new()]);
        let _one = one.lock().await;
        // If the component is kept already, it was checked when it first came, for whatever tenant.
        if let Some(deployed) = self.deploy_again(tenant, &came, String::new(), limits).await? {
            return Ok(deployed);
        }
        self.make(tenant, Source::Component(bytes.to_vec()), limits).await
    }

    /// Freezes a rules file into the default rules, and keeps the result as a version of a tenant. A file that two
    /// tenants have is built once.
    pub async fn deploy_rules(
        &self,
        tenant: &str,
        file: &str,
        text: &str,
        limits: Option<Quota>,
    ) -> anyhow::Result<Deployed> {
        let key = [rules::digest(text.as_bytes()), self.default_base_digest().await?];
        let one = self.0.built.one(key);
        let mut one = one.lock().await;
        if let Some(Once { digest, warnings, file: other }) = one.clone()
            && (warnings.is_empty() || other == file)
            && let Some(deployed) = self.deploy_again(tenant, &digest, warnings, limits).await?
        {
            return Ok(deployed);
        }
        let source = Source::Rules { file: file.to_owned(), text: text.to_owned(), base: None };
        let deployed = self.make(tenant, source, limits).await?;
        let (digest, warnings) = (deployed.digest.clone(), deployed.warnings.clone());
        *one = Some(Once { digest, warnings, file: file.to_owned() });
        Ok(deployed)
    }

    /// Makes a component that is kept already a version of this tenant, too; `None` if it is not kept any more.
    async fn deploy_again(
        &self,
        tenant: &str,
        digest: &str,
        warnings: String,
        limits: Option<Quota>,
    ) -> anyhow::Result<Option<Deployed>> {
        let journal = &self.0.journal;
        let kept = journal.read(|reader| Ok(reader.component_manifest(digest)?.zip(reader.component(digest)?)))?;
        let Some((manifest, bytes)) = kept else { return Ok(None) };
        let is_new = journal.deploy(tenant, digest, manifest.clone(), bytes, limits).await?;
        let manifest = serde_json::from_str(&manifest).context("reading a manifest")?;
        Ok(Some(Deployed { digest: digest.to_owned(), manifest, warnings, is_new }))
    }

    async fn make(&self, tenant: &str, source: Source, limits: Option<Quota>) -> anyhow::Result<Deployed> {
        // Checked before anything is compiled. Whether the component's bytes fit is checked when there are any.
        if let Some(limits) = limits
            && let Some(no_room) = self.0.journal.read(|reader| reader.no_room_for_version(tenant, 0, &limits))?
        {
            return Err(no_room.into());
        }
        let made = self.0.compiler.compile(source).await?;
        let (digest, registry) = (rules::digest(&made.component), self.clone());
        let kept = spawn_blocking(move || {
            registry.keep_code(&rules::digest(&made.component), &made);
            made
        });
        let Made { component, manifest, warnings, .. } = kept.await.context("keeping compiled code")?;
        let text = serde_json::to_string(&manifest)?;
        let is_new = self.0.journal.deploy(tenant, &digest, text, component, limits).await?;
        Ok(Deployed { digest, manifest, warnings, is_new })
    }

    /// Removes a version that nothing needs. Its code goes when no tenant has the version any more.
    pub async fn remove(&self, tenant: &str, digest: &str) -> anyhow::Result<Removed> {
        let removed = self.0.journal.remove_version(tenant, digest).await?;
        if removed == Removed::Gone(true) {
            self.0.loaded.let_go(digest);
            folder::remove(&self.0.folder, digest);
        }
        Ok(removed)
    }

    /// Gets ready to make a version current: finds it and loads it, so that nobody waits for that afterwards.
    pub async fn prepare(&self, how: Activate<'_>) -> Result<Prepared, Refused> {
        let Activate { tenant, version, expected, failures_max, relink } = how;
        let active = self.0.journal.read(|reader| reader.active(tenant))?;
        let expected = expected.map(str::to_owned).or(active.map(|active| active.digest));
        let plugin = self.plugin(&self.version(tenant, version)?).await?;
        let asked = activation(tenant, &plugin, Cause::Activated);
        Ok(Prepared { activation: Activation { expected, failures_max, relink, ..asked }, plugin })
    }

    /// Gets ready to go back to the version before the active one, which takes no upload and no build.
    pub async fn prepare_roll_back(&self, tenant: &str, expected: Option<&str>) -> Result<Prepared, Refused> {
        let active = self.0.journal.read(|reader| reader.active(tenant))?;
        let Some(Active { digest, back, .. }) = active else { return Err(Refused::None(tenant.to_owned())) };
        let Some(back) = back else { return Err(Refused::First(tenant.to_owned())) };
        let plugin = self.plugin(&back).await?;
        let expected = Some(expected.map_or(digest, str::to_owned));
        Ok(Prepared { activation: Activation { expected, ..activation(tenant, &plugin, Cause::RolledBack) }, plugin })
    }

    /// Makes a version current: new runs take it, and runs under way end on theirs. Of two activations at the same
    /// time, one is refused.
    pub async fn make_current(&self, prepared: Prepared) -> Result<Activated, Refused> {
        let Prepared { activation, plugin } = prepared;
        let (journal, tenant) = (&self.0.journal, activation.tenant.clone());
        let activated = match activation.cause {
            Cause::Configured | Cause::Activated => journal.activate(activation).await?,
            Cause::RolledBack | Cause::Failing => journal.roll_back(activation).await?,
        };
        self.swapped(&tenant, &plugin, activated)
    }

    /// Rolls back a version that fails. Events that failed by its fault, and events that run on it, begin again.
    pub async fn roll_back_failing(&self, tenant: &str, version: &str) -> Result<Activated, Refused> {
        let mut prepared = self.prepare_roll_back(tenant, Some(version)).await?;
        prepared.activation.cause = Cause::Failing;
        self.make_current(prepared).await
    }

    /// Says which settings a version would change although people of the tenant are linked by them; `None` if none.
    pub fn changed_links(&self, tenant: &str, manifest: &Manifest) -> anyhow::Result<Option<String>> {
        let (changed, linked) = self.0.journal.read(|reader| reader.fixed_changes(tenant, &fixed(manifest)))?;
        Ok((linked > 0)
            .then(|| format!("{}\nhint: set it back, or activate it with `relink`", links(tenant, &changed, linked))))
    }

    /// The versions of a tenant, in the order they were deployed.
    pub fn versions(&self, tenant: &str) -> anyhow::Result<Vec<VersionRow>> {
        self.0.journal.read(|reader| reader.versions(tenant))
    }

    /// The latest activations of a tenant, the last one first.
    pub fn activations(&self, tenant: &str, limit: usize) -> anyhow::Result<Vec<ActivationRow>> {
        self.0.journal.read(|reader| reader.activations(tenant, limit))
    }

    /// What the active version of a tenant says it is.
    pub fn manifest(&self, tenant: &str) -> anyhow::Result<Option<Manifest>> {
        let active = self.0.journal.read(|reader| reader.active(tenant))?;
        let mut rows = self.versions(tenant)?.into_iter();
        let row = rows.find(|row| active.as_ref().is_some_and(|active| active.digest == row.digest));
        Ok(row.map(|row| serde_json::from_str(&row.manifest)).transpose()?)
    }

    /// Whether the code of a version is in memory.
    pub fn is_loaded(&self, digest: &str) -> bool {
        self.0.loaded.get(digest).is_some()
    }

    /// Bytes of code that are kept in memory.
    pub fn loaded_bytes(&self) -> usize {
        self.0.loaded.bytes()
    }

    /// Versions whose code is kept in memory.
    pub fn loaded_count(&self) -> usize {
        self.0.loaded.count()
    }

    /// The version that new runs of a tenant take; `None` until one is activated, and while the one that the
    /// configuration names is being built. Blocks.
    pub fn active(&self, tenant: &str) -> anyhow::Result<Option<Plugin>> {
        if self.0.unsettled.is_building(tenant) {
            return Ok(None);
        }
        let active = self.0.journal.read(|reader| reader.active(tenant))?;
        active.map(|active| self.load(&active.digest)).transpose()
    }

    /// Whether the version that the configuration names for a tenant is being built.
    pub fn is_building(&self, tenant: &str) -> bool {
        self.0.unsettled.is_building(tenant)
    }

    /// A version, loaded and ready to be asked.
    pub async fn plugin(&self, digest: &str) -> anyhow::Result<Plugin> {
        if let Some(plugin) = self.0.loaded.get(digest) {
            return Ok(plugin);
        }
        let (registry, digest) = (self.clone(), digest.to_owned());
        spawn_blocking(move || registry.load(&digest)).await.context("loading a version")?
    }

    /// Loads a version. The first caller loads it; others wait for that. Blocks.
    fn load(&self, digest: &str) -> anyhow::Result<Plugin> {
        self.0.loaded.get_or(digest, || {
            let is_active = self.0.journal.read(|reader| reader.is_active(digest))?;
            Ok((self.load_on(&self.0.engine, digest)?, is_active))
        })
    }

    /// The digest of a tenant's version, from its first digits.
    fn version(&self, tenant: &str, prefix: &str) -> Result<String, Refused> {
        let prefix = prefix.to_ascii_lowercase();
        let unknown = || Refused::Unknown { tenant: tenant.to_owned(), version: prefix.clone() };
        if prefix.len() < PREFIX_DIGITS_MIN {
            return Err(unknown());
        }
        let digests = self.versions(tenant)?.into_iter().map(|row| row.digest);
        let mut found = digests.filter(|digest| digest.starts_with(&prefix));
        match (found.next(), found.next()) {
            (Some(digest), None) => Ok(digest),
            (None, _) => Err(unknown()),
            (Some(_), Some(_)) => {
                Err(anyhow!("`{prefix}` is the beginning of more than one version\nhint: give more digits").into())
            }
        }
    }

    /// Keeps the code of the version that is active now, and lets the code of the one before go with its last run.
    fn swapped(
        &self,
        tenant: &str,
        plugin: &Plugin,
        activated: Result<Activated, Moved>,
    ) -> Result<Activated, Refused> {
        let activated = match activated {
            Ok(activated) => activated,
            Err(Moved::Other(active)) => return Err(Refused::Moved(active)),
            Err(Moved::Fixed { changed, linked }) => return Err(Refused::Fixed(cut_links(tenant, &changed, linked))),
        };
        let loaded = &self.0.loaded;
        loaded.keep(plugin);
        let replaced = activated.replaced.as_ref().filter(|replaced| **replaced != activated.digest);
        if let Some(replaced) = replaced.filter(|_| !activated.is_used) {
            loaded.let_go(replaced);
        }
        if replaced.is_some() {
            tracing::info!(tenant, version = activated.digest, "activated; before it {}", show(&activated.replaced));
        }
        if activated.relinked > 0 {
            tracing::info!(tenant, "{} linked people are brought in step again", activated.relinked);
        }
        Ok(activated)
    }
}

fn activation(tenant: &str, plugin: &Plugin, cause: Cause) -> Activation {
    Activation {
        tenant: tenant.to_owned(),
        digest: plugin.digest().to_owned(),
        cause,
        fixed: fixed(plugin.manifest()),
        relink: false,
        expected: None,
        failures_max: None,
        configured: None,
    }
}

/// The settings that people are linked by, JSON pointer to JSON.
fn fixed(manifest: &Manifest) -> BTreeMap<String, String> {
    let fixed = manifest.settings.iter().filter(|setting| setting.fixed);
    fixed.map(|setting| (setting.at.clone(), setting.value.clone())).collect()
}

fn show(version: &Option<String>) -> String {
    version.as_deref().map_or("none".into(), |digest| format!("`{digest}`"))
}

fn cut_links(tenant: &str, changed: &[Change], linked: usize) -> String {
    format!(
        "{}\nhint: set it back, or start once with `--relink {tenant}`: everybody linked is given the new link, and \
         keeps the old one",
        links(tenant, changed, linked)
    )
}

fn links(tenant: &str, changed: &[Change], linked: usize) -> String {
    // `identity.handle` for `/identity/handle`.
    let setting = |at: &str| at.trim_start_matches('/').replace('/', ".");
    let changed = changed.iter().map(|Change { at, was, wanted }| format!("`{}` from {was} to {wanted}", setting(at)));
    format!(
        "the rules of tenant `{tenant}` change {}, and {} linked by it",
        changed.collect::<Vec<_>>().join(", "),
        if linked == 1 { "one person is".to_owned() } else { format!("{linked} people are") },
    )
}
