//! What a swap asks of the lanes: to hold what has not begun while versions change, to count how a new version fares, and
//! to go back from one that fails.
//!
//! Knows the lanes and the registry; not who asks for a swap.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::{KEYED_AT_ONCE_MAX, Worker};
use crate::journal::{Active, Deed};
use crate::model::{EventId, Millis};
use crate::registry::Refused;
use crate::rules::short;

/// How long lanes are held for runs under way to end, until the swap is given up.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// What somebody wants of a tenant's lanes.
pub enum Request {
    /// Hold what has not begun, and tell when nothing runs.
    Drain(oneshot::Sender<()>),
    /// Go on.
    Go,
    /// Have an event begin again, on the version that is active now.
    Restart(EventId),
    /// There is no such tenant any more. Told when nobody comes into its lanes any more.
    Leave(oneshot::Sender<()>),
}

pub type Requests = UnboundedReceiver<(String, Request)>;

/// A handle on the lanes of every tenant.
#[derive(Clone)]
pub struct Control {
    requests: UnboundedSender<(String, Request)>,
    /// For tenants whose lanes were ever drained.
    draining: Arc<std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>>,
}

/// Nothing of the tenant runs, and nothing begins before this is dropped.
pub struct Drained {
    tenant: String,
    requests: UnboundedSender<(String, Request)>,
    _alone: OwnedMutexGuard<()>,
}

/// Events that may not begin now, in the order in which they will.
#[derive(Default)]
pub struct Held {
    pub events: Vec<EventId>,
    ready: Option<oneshot::Sender<()>>,
}

/// How the latest events on a version have ended since it failed the first one.
#[derive(Default)]
pub struct Trial {
    version: String,
    /// When it was activated: another time is another trial.
    since: Millis,
    /// A bit for each event, the latest lowest, set when the version failed it.
    failures: u64,
}

/// Makes the handle, and what [`super::run`] is given of it.
pub fn requests() -> (Control, Requests) {
    let (requests, received) = unbounded_channel();
    (Control { requests, draining: Arc::default() }, received)
}

impl Control {
    /// Waits until every run of a tenant under way is over. Meanwhile, and until the result is dropped, events are taken
    /// in and wait.
    pub async fn drain(&self, tenant: &str) -> anyhow::Result<Drained> {
        let alone = {
            let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
            draining.entry(tenant.to_owned()).or_default().clone()
        };
        let alone = alone.lock_owned().await;
        let drained = Drained { tenant: tenant.to_owned(), requests: self.requests.clone(), _alone: alone };
        let (ready, is_ready) = oneshot::channel();
        self.ask(tenant, Request::Drain(ready))?;
        match timeout(DRAIN_MAX, is_ready).await {
            Ok(Ok(())) => Ok(drained),
            Ok(Err(_)) => bail!("the host stops"),
            Err(_) => bail!(
                "runs of `{tenant}` are still under way after {} s; nothing has changed\nhint: wait until their calls are answered (a paused target takes none), or have them begin again: `tandem restart {tenant} EVENT`",
                DRAIN_MAX.as_secs()
            ),
        }
    }

    /// Has an event begin again, on the version that is active now.
    pub fn restart(&self, tenant: &str, event: EventId) -> anyhow::Result<()> {
        self.ask(tenant, Request::Restart(event))
    }

    /// Lets events go on that waited for a first version.
    pub fn go(&self, tenant: &str) -> anyhow::Result<()> {
        self.ask(tenant, Request::Go)
    }

    /// Lets go of the lanes of a tenant that is gone. Whoever has its name later gets lanes of their own.
    pub async fn leave(&self, tenant: &str) -> anyhow::Result<()> {
        let (left, has_left) = oneshot::channel();
        self.ask(tenant, Request::Leave(left))?;
        has_left.await.map_err(|_| anyhow!("the host stops"))
    }

    fn ask(&self, tenant: &str, request: Request) -> anyhow::Result<()> {
        self.requests.send((tenant.to_owned(), request)).map_err(|_| anyhow!("the host stops"))
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        // The lanes are gone when the host stops.
        let _ = self.requests.send((std::mem::take(&mut self.tenant), Request::Go));
    }
}

impl Trial {
    fn passed(&mut self, version: &str) {
        if self.version == version {
            self.failures <<= 1;
        }
    }

    /// Gives how many of the latest events the active version has failed, this one included.
    fn failed(&mut self, active: &Active) -> u32 {
        if (self.version.as_str(), self.since) != (&active.digest, active.since) {
            *self = Self { version: active.digest.clone(), since: active.since, failures: 0 };
        }
        self.failures = self.failures << 1 | 1;
        self.failures.count_ones()
    }
}

impl Worker {
    pub(super) async fn requested(&mut self, request: Request) {
        match request {
            Request::Drain(ready) => {
                self.held.get_or_insert_default().ready = Some(ready);
            }
            Request::Go => {
                let held = self.held.take().unwrap_or_default();
                self.key_all(held.events).await;
            }
            Request::Restart(event) if self.lanes.is_running(event) => self.restart(event, "it was asked for").await,
            // It has not begun, or is over: it takes the active version anyway.
            Request::Restart(_) => {}
            // The worker has ended.
            Request::Leave(_) => {}
        }
    }

    /// Keeps what has not begun from beginning, and tells when nothing runs any more.
    pub(super) fn hold(&mut self) {
        let Some(held) = &mut self.held else { return };
        // What came back from running stood before all others.
        let waiting = self.lanes.take_waiting();
        held.events.splice(0..0, waiting);
        if self.lanes.is_empty()
            && let Some(ready) = held.ready.take()
        {
            // Whoever waited too long has asked to go on already.
            let _ = ready.send(());
        }
    }

    /// Counts how a version fares, and goes back from one that fails too often.
    pub(super) async fn judged(&mut self, version: String, failed: bool) {
        if !failed {
            return self.trial.passed(&version);
        }
        let active = match self.journal.read(|reader| reader.active(&self.tenant)) {
            Ok(active) => active,
            Err(error) => {
                tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
                return;
            }
        };
        let Some(active) = active.filter(|active| active.digest == version) else { return };
        let failures = self.trial.failed(&active);
        if active.failures_max.is_none_or(|most| failures < most) {
            return;
        }
        match self.registry.roll_back_failing(&self.tenant, &version).await {
            Ok(activated) => {
                tracing::error!(
                    stage = "mapping",
                    tenant = self.tenant,
                    blame = "plugin",
                    "version {} failed {failures} of its latest events: rolled back to {}; {} events begin again",
                    short(&version),
                    short(&activated.digest),
                    activated.again.len()
                );
                let what = format!(
                    "rolled back from {}, which failed {failures} of its latest events, to {}",
                    short(&version),
                    short(&activated.digest)
                );
                let deed = Deed { by: "the host".into(), tenant: Some(self.tenant.clone()), what };
                if let Err(error) = self.journal.record(deed).await {
                    tracing::error!(blame = "host", "{error:#}");
                }
                self.begin_again(activated.again).await;
            }
            // Somebody was faster.
            Err(Refused::Moved(_)) => {}
            Err(error) => {
                tracing::error!(
                    stage = "mapping",
                    tenant = self.tenant,
                    blame = "host",
                    "version {} fails and cannot be rolled back: {error}",
                    short(&version)
                );
            }
        }
    }

    /// Has events begin again, and finds the lanes anew of all that wait: the version that found them was a bad one.
    async fn begin_again(&mut self, mut again: Vec<EventId>) {
        // What was about to begin may be on either version by now, and may have begun before what comes back stood
        // before it.
        let beginning = self.running.iter().filter(|(_, running)| running.run.is_none()).map(|(event, _)| *event);
        for event in beginning.collect::<Vec<_>>() {
            if let Err(error) = self.journal.drop_run(event).await {
                tracing::error!(stage = "mapping", tenant = self.tenant, event = event.0, blame = "host", "{error:#}");
            }
            again.push(event);
        }
        for event in &again {
            self.running.remove(event);
            if self.lanes.is_running(*event) {
                self.lanes.restart(*event);
            }
        }
        let mut events = self.lanes.take_waiting();
        events.extend(again);
        events.extend(std::mem::take(&mut self.keyless));
        events.sort_unstable();
        events.dedup();
        // What stands aside comes by itself.
        let aside: BTreeSet<EventId> = self.aside.values().flatten().copied().collect();
        events.retain(|event| !aside.contains(event));
        self.key_all(events).await;
    }

    pub(super) async fn key_all(&mut self, events: Vec<EventId>) {
        let events = self.step_aside(events);
        for some in events.chunks(KEYED_AT_ONCE_MAX) {
            self.key(some.to_vec()).await;
        }
    }
}
