//! One side of one tenant: how many calls it takes at a time, how much it takes now, and whether it takes any.
//!
//! Knows what Shopify says of cost and throttling; not what becomes of a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use crate::budget::Bucket;
use crate::clock;
use crate::model::{Millis, Request};
use crate::retry::Outcome;

/// Shopify's bucket before its first answer has told the real one: what development stores show.
const SHOPIFY_BUCKET: (f64, f64) = (2000.0, 100.0);
/// Reckoned cost of a GraphQL call before it is sent: a mutation is 10 points and an object 1, by Shopify's documentation.
const MUTATION_COST: f64 = 15.0;
const QUERY_COST: f64 = 10.0;

pub struct Target {
    /// How many there are, and those that are free.
    slots: Mutex<(usize, Arc<Semaphore>)>,
    budget: Mutex<Budget>,
    paused: watch::Sender<BTreeMap<Cause, String>>,
}

/// What may be sent to it now.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    pub per_minute: Option<u32>,
    pub concurrent_calls: usize,
}

/// What a target takes no calls for. Several may stand at once, and each goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// An operator wants it so, or the app was uninstalled: what the journal holds.
    Ordered,
    /// It answers 401: until its credentials change.
    Unauthorized,
    /// It answers that the shop is frozen or locked, which other credentials do not change.
    Locked,
}

/// How much may be sent: by the tenant's rate, and by Shopify's bucket of cost.
struct Budget {
    /// What the rate was made for.
    per_minute: Option<u32>,
    rate: Option<Bucket>,
    cost: Option<Bucket>,
}

impl Target {
    pub fn new(name: &str) -> Self {
        let cost = (name == "shopify").then(|| Bucket::new(SHOPIFY_BUCKET.0, SHOPIFY_BUCKET.1, clock::now()));
        Self {
            slots: Mutex::new((0, Arc::new(Semaphore::new(0)))),
            budget: Mutex::new(Budget { per_minute: None, rate: None, cost }),
            paused: watch::Sender::default(),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses it for one more reason.
    pub fn pause(&self, cause: Cause, why: String) {
        self.paused.send_modify(|causes| drop(causes.insert(cause, why)));
    }

    /// Takes a reason away; with the last one the target takes calls again.
    pub fn lift(&self, cause: Cause) {
        self.paused.send_modify(|causes| drop(causes.remove(&cause)));
    }

    /// Takes every reason away.
    pub fn resume(&self) {
        self.paused.send_modify(BTreeMap::clear);
    }

    /// Why it takes nothing now, if so.
    pub fn why_paused(&self) -> Option<String> {
        let causes = self.paused.borrow();
        (!causes.is_empty()).then(|| causes.values().cloned().collect::<Vec<_>>().join("; "))
    }

    /// A slot to send in, once the target is not paused and has the budget.
    /// `allowed` is asked each time, since an operator may change it.
    pub async fn admission(&self, request: &Request, allowed: impl Fn() -> Allowed) -> OwnedSemaphorePermit {
        loop {
            let mut paused = self.paused.subscribe();
            // The sender lives as long as `self`.
            let _ = paused.wait_for(BTreeMap::is_empty).await;
            let Allowed { per_minute, concurrent_calls } = allowed();
            let taken = self.budget().take(request, per_minute, clock::now());
            if let Err(ms) = taken {
                sleep(Duration::from_millis(ms)).await;
                continue;
            }
            // Closed: there are more or fewer by now.
            let Ok(slot) = self.slots(concurrent_calls).acquire_owned().await else { continue };
            if self.paused.borrow().is_empty() {
                return slot;
            }
        }
    }

    /// What is sent in old slots is not waited for when their number changes; who waits for one waits for a new one.
    fn slots(&self, wanted: usize) -> Arc<Semaphore> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.0 != wanted {
            slots.1.close();
            *slots = (wanted, Arc::new(Semaphore::new(wanted)));
        }
        slots.1.clone()
    }

    /// Reads what Shopify says of cost and throttling in an answer that HTTP calls a success.
    pub fn understand(&self, outcome: Outcome) -> Outcome {
        let Outcome::Answered { answer, .. } = &outcome else { return outcome };
        // Only GraphQL answers have either; a look at the text spares the others a parse.
        if answer.status != 200 || !answer.body.contains("\"throttleStatus\"") && !answer.body.contains("THROTTLED") {
            return outcome;
        }
        let Ok(said) = serde_json::from_str::<Said>(&answer.body) else { return outcome };
        let cost = said.extensions.cost;
        let status = cost.throttle_status;
        if let (Some(status), Some(bucket)) = (&status, &mut self.budget().cost) {
            bucket.correct(status.maximum_available, status.currently_available, status.restore_rate, clock::now());
        }
        if said.errors.0.iter().any(|error| error.extensions.code == "THROTTLED") {
            let lacking = status.map_or(1.0, |status| {
                (cost.requested_query_cost - status.currently_available).max(0.0) / status.restore_rate.max(1.0)
            });
            // Never at once: an answer that names no cost would have this spin.
            return Outcome::Throttled { wait_ms: ((lacking * 1000.0) as u64).max(250) };
        }
        outcome
    }
}

impl Budget {
    /// Takes what a request costs, or says how many milliseconds to wait before asking again.
    fn take(&mut self, request: &Request, per_minute: Option<u32>, now: Millis) -> Result<(), u64> {
        if self.per_minute != per_minute {
            self.per_minute = per_minute;
            self.rate = per_minute.map(|calls| Bucket::per_minute(calls, now));
        }
        if let Some(bucket) = &mut self.cost {
            bucket.take(cost(request), now)?;
        }
        if let Some(bucket) = &mut self.rate {
            bucket.take(1.0, now)?;
        }
        Ok(())
    }
}

fn cost(request: &Request) -> f64 {
    match request {
        Request::Rest { .. } => 1.0,
        Request::Graphql { document, .. } if document.contains("mutation") => MUTATION_COST,
        Request::Graphql { .. } => QUERY_COST,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    errors: Errors,
    extensions: Extensions,
}

/// The `errors` of an answer; a text there (as with HTTP's own errors) is no list of them.
#[derive(Default)]
struct Errors(Vec<SaidError>);

impl<'de> Deserialize<'de> for Errors {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(serde_json::from_value(value).unwrap_or_default()))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidError {
    extensions: ErrorExtensions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorExtensions {
    code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extensions {
    cost: Cost,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cost {
    requested_query_cost: f64,
    throttle_status: Option<ThrottleStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThrottleStatus {
    maximum_available: f64,
    currently_available: f64,
    restore_rate: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_of_a_pause_goes_by_itself() {
        let target = Target::new("omneo");
        target.pause(Cause::Unauthorized, "omneo answers 401".into());
        target.pause(Cause::Ordered, "paused by ops: a migration".into());
        assert_eq!(target.why_paused().as_deref(), Some("paused by ops: a migration; omneo answers 401"));
        target.lift(Cause::Unauthorized);
        target.lift(Cause::Unauthorized);
        assert_eq!(target.why_paused().as_deref(), Some("paused by ops: a migration"));
        target.lift(Cause::Ordered);
        assert_eq!(target.why_paused(), None);
        target.pause(Cause::Locked, "shopify answers 402".into());
        target.lift(Cause::Unauthorized);
        assert_eq!(target.why_paused().as_deref(), Some("shopify answers 402"));
        target.resume();
        assert_eq!(target.why_paused(), None);
    }

    #[tokio::test]
    async fn the_number_of_slots_changes_while_calls_wait() {
        let target = Arc::new(Target::new("omneo"));
        let request = Request::Graphql { document: String::new(), variables: String::new() };
        let allowed = Arc::new(Mutex::new(1));
        let ask = || {
            let (target, request, allowed) = (target.clone(), request.clone(), allowed.clone());
            let allowed = move || Allowed { per_minute: None, concurrent_calls: *allowed.lock().unwrap() };
            Box::pin(async move { target.admission(&request, allowed).await })
        };
        let _first = ask().await;
        let mut second = ask();
        assert!(at_once(&mut second).await.is_none());
        *allowed.lock().unwrap() = 2;
        let _third = ask().await;
        let _second = second.await;
        let mut fourth = ask();
        assert!(at_once(&mut fourth).await.is_none());
    }

    /// What a future gives at once, if anything.
    async fn at_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
