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

/// How long a drain holds lanes while runs under way end. After that, the swap is given up.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A request to a tenant's scheduler.
pub enum Request {
    /// Begin nothing new, and tell when nothing runs.
    Drain { wish: u64, ready: oneshot::Sender<()> },
    /// End the drain.
    Go { wish: u64 },
    /// Begin an event again, on the version that is active now.
    Restart(EventId),
    /// Check whether there is a version now.
    Look,
    /// The tenant is gone. The sender is told when nothing enters the tenant's lanes any more.
    Leave(oneshot::Sender<()>),
}

pub type Requests = UnboundedReceiver<(String, Request)>;

/// A handle on the lanes of every tenant.
#[derive(Clone)]
pub struct Control {
    requests: UnboundedSender<(String, Request)>,
    /// A lock for each tenant whose lanes were ever drained, so that drains come one after the other.
    draining: Arc<std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>>,
    wishes: Arc<AtomicU64>,
}

/// As long as this lives, nothing of the tenant runs, and nothing begins.
pub struct Drained {
    tenant: String,
    wish: u64,
    requests: UnboundedSender<(String, Request)>,
    _alone: OwnedMutexGuard<()>,
}

/// Makes the handle, and the requests for [`super::run`] to receive.
pub fn requests() -> (Control, Requests) {
    let (requests, received) = unbounded_channel();
    (Control { requests, draining: Arc::default(), wishes: Arc::default() }, received)
}

impl Control {
    /// Waits until every run of a tenant that is under way is over. Meanwhile, and until the result is dropped, events
    /// are taken in but wait.
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

    /// Makes an event begin again, on the version that is active now.
    pub fn restart(&self, tenant: &str, event: EventId) -> anyhow::Result<()> {
        self.ask(tenant, Request::Restart(event))
    }

    /// Makes a tenant's events look once more for a version to run on.
    pub fn look(&self, tenant: &str) -> anyhow::Result<()> {
        self.ask(tenant, Request::Look)
    }

    /// Lets go of the lanes of a tenant that is gone. A later tenant of the same name gets lanes of its own.
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
        // Sending fails only while the host stops, when the lanes are gone.
        let _ = self.requests.send((std::mem::take(&mut self.tenant), Request::Go { wish: self.wish }));
    }
}

impl Worker {
    /// The input that a request is for the scheduler.
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
            // `run` handles this one, since it has the workers.
            Request::Leave(_) => None,
        }
    }
}
