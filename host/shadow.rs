//! Shadows: a version that runs beside the live one on the same events, and sends nothing. A proof that follows the
//! journal.
//!
//! Knows the journal, the registry and how one event is compared; no lane waits for a shadow. All shadows share one
//! thread, of lower priority than those of live events, and an engine of their own. The journal keeps how far each
//! shadow is, and what it has found.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::clock;
use crate::conversation::Rules;
use crate::engine::{self, Engine};
use crate::journal::{ActivationRow, Journal, Shadow, Span};
use crate::model::{EventId, Millis};
use crate::registry::Registry;
use crate::replay::{Report, Tally, compare, step_back};
use crate::rules::Plugin;
use crate::tenants::Tenants;

/// Shadows at one time. Each has its version's code in memory.
const SHADOWS_MAX: usize = 32;
/// How many of the latest activations of a tenant are looked at.
const ACTIVATIONS_MAX: usize = 100;
/// The pause after every shadow has seen everything.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an event may take before the shadow goes past it and counts it as not over.
const UNFINISHED_MAX_MS: Millis = 10 * 60 * 1_000;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Shadows {
    journal: Journal,
    registry: Registry,
    begun: Arc<Notify>,
}

/// Why no shadow began.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("`{0}` is the active version: a shadow is another one")]
    Active(String),
    #[error("`{0}` runs as a shadow already, and its report would be lost\nhint: end it first")]
    Running(String),
    #[error("{SHADOWS_MAX} shadows run on this host, and no more may\nhint: wait for one to end, or end one")]
    TooMany,
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Shadows {
    /// Goes on with the shadows that are in the journal, until told to stop.
    pub fn start(
        journal: Journal,
        registry: Registry,
        tenants: Tenants,
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let shadows = Self { journal, registry, begun: Arc::default() };
        let follower = Follower {
            shadows: shadows.clone(),
            tenants,
            stopping,
            runtime: Handle::current(),
            engine: None,
            candidates: HashMap::new(),
            passed: HashMap::new(),
        };
        let thread = thread::Builder::new().name("shadow".into()).spawn(move || follower.run());
        Ok((shadows, thread.context("starting the thread of shadows")?))
    }

    /// Makes a version of a tenant follow the events that come from now on, `events_max` at most, in place of a shadow
    /// that is over.
    pub async fn begin(&self, tenant: &str, digest: &str, events_max: Option<u64>) -> Result<(), Refused> {
        let (active, running, manifest) = self
            .journal
            .read(|reader| Ok((reader.active(tenant)?, reader.shadows()?, reader.component_manifest(digest)?)))?;
        if active.is_some_and(|active| active.digest == digest) {
            return Err(Refused::Active(digest.to_owned()));
        }
        if let Some(other) = running.iter().find(|shadow| shadow.tenant == tenant) {
            return Err(Refused::Running(other.digest.clone()));
        }
        if running.len() >= SHADOWS_MAX {
            return Err(Refused::TooMany);
        }
        let manifest = manifest.with_context(|| format!("there is no version `{digest}`"))?;
        let manifest = serde_json::from_str(&manifest).context("reading a manifest")?;
        let report = text(&Report::empty(tenant, digest, &manifest))?;
        self.journal.begin_shadow(tenant, digest, events_max, report).await?;
        self.begun.notify_one();
        Ok(())
    }
}

/// What the thread works with.
struct Follower {
    shadows: Shadows,
    tenants: Tenants,
    stopping: watch::Receiver<bool>,
    runtime: Handle,
    /// There while shadows run.
    engine: Option<Engine>,
    /// The versions of the shadows that run, by digest.
    candidates: HashMap<String, Plugin>,
    /// For each tenant, when its shadow began, and the event up to which there is nothing for that shadow to see: the
    /// next look begins behind it.
    passed: HashMap<String, (Millis, EventId)>,
}

impl Follower {
    fn run(mut self) {
        step_back();
        while !self.is_stopping() {
            let (pause, more) = match self.round() {
                Ok((0, _)) => (None, false),
                Ok((_, more)) => (Some(PAUSE), more),
                Err(error) => {
                    tracing::error!(stage = "shadow", blame = "host", "{error:#}");
                    (Some(PAUSE * 10), false)
                }
            };
            if !more {
                self.wait(pause);
            }
        }
    }

    /// Waits for the pause, or until a shadow begins or the host stops. Without a pause, waits only for these two.
    fn wait(&mut self, pause: Option<Duration>) {
        let (stopping, begun) = (&mut self.stopping, &self.shadows.begun);
        let paused = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = begun.notified() => {}
                () = paused => {}
            }
        });
    }

    fn is_stopping(&self) -> bool {
        // An error means that the sender is gone, and the host with it.
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Brings every shadow forward by what one read gives. Gives how many shadows there are, and whether there is more
    /// for one of them.
    fn round(&mut self) -> anyhow::Result<(usize, bool)> {
        let shadows = self.shadows.journal.read(|reader| reader.shadows())?;
        self.candidates.retain(|digest, _| shadows.iter().any(|shadow| shadow.digest == *digest));
        self.passed.retain(|tenant, _| shadows.iter().any(|shadow| shadow.tenant == *tenant));
        if shadows.is_empty() {
            self.engine = None;
        }
        let (count, mut more) = (shadows.len(), false);
        for shadow in shadows {
            if self.is_stopping() {
                break;
            }
            match self.why_over(&shadow)? {
                Some(why) => self.end(&shadow.tenant, why)?,
                None => more |= self.follow(shadow)?,
            }
        }
        Ok((count, more))
    }

    /// Why a shadow is over without having seen more; `None` if it is not.
    fn why_over(&self, shadow: &Shadow) -> anyhow::Result<Option<&'static str>> {
        if self.tenants.get(&shadow.tenant).is_none() {
            return Ok(Some("the tenant was removed"));
        }
        let (activations, versions) = self.shadows.journal.read(|reader| {
            Ok((reader.activations(&shadow.tenant, ACTIVATIONS_MAX)?, reader.versions(&shadow.tenant)?))
        })?;
        if !versions.iter().any(|row| row.digest == shadow.digest) {
            return Ok(Some("the version was removed"));
        }
        // The version may have been activated and rolled back again meanwhile.
        let is_since = |row: &ActivationRow| row.digest == shadow.digest && row.at >= shadow.since;
        Ok(activations.iter().any(is_since).then_some("the version was activated"))
    }

    fn end(&self, tenant: &str, why: &str) -> anyhow::Result<()> {
        tracing::info!(stage = "shadow", tenant, "the shadow ends: {why}");
        self.runtime.block_on(self.shadows.journal.end_shadow(tenant, why)).map(drop)
    }

    /// Compares the next events of a shadow. `true`: there may be more at once.
    fn follow(&mut self, mut shadow: Shadow) -> anyhow::Result<bool> {
        let journal = &self.shadows.journal;
        if let Some((_, passed)) = self.passed.get(&shadow.tenant).filter(|(since, _)| *since == shadow.since) {
            shadow.cursor = shadow.cursor.max(*passed);
        }
        let unfinished_since = clock::now() - UNFINISHED_MAX_MS;
        let last = journal.read(|reader| reader.shadow_may_go_to(&shadow, unfinished_since))?;
        let span = Span { first: shadow.cursor, last, events: 0 };
        let events = journal.read(|reader| reader.recorded(&shadow.tenant, Some(shadow.cursor), span))?;
        if events.is_empty() {
            self.passed.insert(shadow.tenant, (shadow.since, last.max(shadow.cursor)));
            return Ok(false);
        }
        let candidate = match self.candidate(&shadow.digest) {
            Ok(candidate) => candidate,
            Err(error) => {
                tracing::warn!(stage = "shadow", tenant = shadow.tenant, "loading a version: {error:#}");
                self.end(&shadow.tenant, "the version cannot be loaded")?;
                return Ok(false);
            }
        };
        let journal = &self.shadows.journal;
        let Some((_, report)) = journal.read(|reader| reader.shadow(&shadow.tenant))? else { return Ok(false) };
        let (began, rules) = (Instant::now(), Rules::from(&candidate));
        let mut tally = Tally::go_on(serde_json::from_str(&report).context("reading a shadow's report")?, false);
        for recorded in &events {
            let is_enough = shadow.events_max.is_some_and(|most| tally.events() >= most);
            if is_enough || self.is_stopping() {
                break;
            }
            tally.add(recorded, compare(recorded, &rules));
            shadow.cursor = recorded.event.id;
        }
        if let Some(most) = shadow.events_max.filter(|most| tally.events() >= *most) {
            shadow.ended = Some((clock::now(), format!("it has seen {most} events")));
        }
        let report = text(&tally.report(began.elapsed()))?;
        self.runtime.block_on(journal.keep_shadow(&shadow, report))?;
        Ok(shadow.ended.is_none())
    }

    fn candidate(&mut self, digest: &str) -> anyhow::Result<Plugin> {
        if let Some(candidate) = self.candidates.get(digest) {
            return Ok(candidate.clone());
        }
        let engine = match &self.engine {
            Some(engine) => engine.clone(),
            None => self.engine.insert(engine::engine()?).clone(),
        };
        // The version may have to be compiled, which takes a runtime.
        let _runtime = self.runtime.enter();
        let candidate = self.shadows.registry.load_on(&engine, digest)?;
        self.candidates.insert(digest.to_owned(), candidate.clone());
        Ok(candidate)
    }
}

fn text(report: &Report) -> anyhow::Result<String> {
    serde_json::to_string(report).context("writing a shadow's report")
}
