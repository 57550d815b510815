//! The proofs that are under way: which, how far each is, and that none goes on for nobody. Knows numbers; replays nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Proofs at one time; more wait. Each takes all cores, behind live events, and two batches of events in memory.
const AT_ONCE_MAX: usize = 2;

/// Tenant and digest.
type Which = (String, String);

#[derive(Clone)]
pub struct Proofs(Arc<Inner>);

struct Inner {
    running: Mutex<HashMap<Which, Arc<Running>>>,
    turns: Arc<Semaphore>,
    /// Of each tenant that has ever proved one: its proofs come one after the other, or two long ones would keep every other
    /// tenant waiting.
    of_tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A proof that somebody waits for.
#[derive(Default)]
pub struct Running {
    pub done: AtomicU64,
    pub all: AtomicU64,
    /// Nobody waits for it any more.
    pub given_up: AtomicBool,
}

/// Dropped, the proof is given up, or over.
pub struct Begun {
    pub running: Arc<Running>,
    which: Which,
    proofs: Proofs,
}

impl Default for Proofs {
    fn default() -> Self {
        Self(Arc::new(Inner {
            running: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            of_tenants: Mutex::default(),
        }))
    }
}

impl Proofs {
    /// `None`: one of this version is under way.
    pub fn begin(&self, tenant: &str, digest: &str) -> Option<Begun> {
        let which = (tenant.to_owned(), digest.to_owned());
        let running = Arc::new(Running::default());
        let mut all = self.all();
        if all.contains_key(&which) {
            return None;
        }
        all.insert(which.clone(), running.clone());
        Some(Begun { running, which, proofs: self.clone() })
    }

    /// How many events of how many are done, if one is under way.
    pub fn progress(&self, tenant: &str, digest: &str) -> Option<(u64, u64)> {
        let all = self.all();
        let running = all.get(&(tenant.to_owned(), digest.to_owned()))?;
        Some((running.done.load(Ordering::Relaxed), running.all.load(Ordering::Relaxed)))
    }

    /// Waits for its turn, which is over when the result is dropped.
    pub async fn turn(&self, tenant: &str) -> Result<[OwnedSemaphorePermit; 2], AcquireError> {
        let own = {
            let mut of_tenants = self.0.of_tenants.lock().unwrap_or_else(PoisonError::into_inner);
            of_tenants.entry(tenant.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        let own = own.acquire_owned().await?;
        Ok([own, self.0.turns.clone().acquire_owned().await?])
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Which, Arc<Running>>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.running.given_up.store(true, Ordering::Relaxed);
        self.proofs.all().remove(&self.which);
    }
}
