//! What a swap asks of a tenant's scheduler: that nothing runs while versions change, or that an event begins again.
//!
//! Knows requests; not who makes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::Worker;
use crate::model::EventId;
use crate::scheduler::Input;

/// How long lanes are held for runs under way to end, until the swap is given up.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// What somebody wants of a tenant's lanes.
pub enum Request {
    /// Hold what has not begun, and tell when nothing runs.
    Drain { wish: u64, ready: oneshot::Sender<()> },
    /// The wish is over: go on.
    Go { wish: u64 },
    /// Have an event begin again, on the version that is active now.
    Restart(EventId),
    /// See whether a version is there now.
    Look,
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
    wishes: Arc<AtomicU64>,
}

/// Nothing of the tenant runs, and nothing begins before this is dropped.
pub struct Drained {
    tenant: String,
    wish: u64,
    requests: UnboundedSender<(String, Request)>,
    _alone: OwnedMutexGuard<()>,
}

/// Makes the handle, and what [`super::run`] is given of it.
pub fn requests() -> (Control, Requests) {
    let (requests, received) = unbounded_channel();
    (Control { requests, draining: Arc::default(), wishes: Arc::default() }, received)
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
        let wish = self.wishes.fetch_add(1, Ordering::Relaxed);
        let drained = Drained { tenant: tenant.to_owned(), wish, requests: self.requests.clone(), _alone: alone };
        let (ready, is_ready) = oneshot::channel();
        self.ask(tenant, Request::Drain { wish, ready })?;
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

    /// Has a tenant's events look once more for a version to go on with.
    pub fn look(&self, tenant: &str) -> anyhow::Result<()> {
        self.ask(tenant, Request::Look)
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
        let _ = self.requests.send((std::mem::take(&mut self.tenant), Request::Go { wish: self.wish }));
    }
}

impl Worker {
    /// What the scheduler wants to know of a request.
    pub(super) fn requested(&mut self, request: Request) -> Option<Input> {
        match request {
            Request::Drain { wish, ready } => {
                self.drains.insert(wish, ready);
                Some(Input::Drain { wish })
            }
            Request::Go { wish } => {
                self.drains.remove(&wish);
                Some(Input::Go { wish })
            }
            Request::Restart(event) => Some(Input::Restart { event }),
            Request::Look => Some(Input::Activated),
            // Seen to where workers are.
            Request::Leave(_) => None,
        }
    }
}
