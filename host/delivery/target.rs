//! One target of one tenant: how many calls it takes at a time, and the gate that says whether it takes any now.
//!
//! Knows what Shopify says of cost and throttling; not what becomes of a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use crate::budget::{Ask, Cause, Change, Claim, Ended, Gate, Held, HeldBy, Pass, SHOPIFY_BUCKET, Wait, said};
use crate::clock::Steady;
use crate::model::{Call, Effect, Millis, Request};
use crate::retry::{self, Outcome};

/// Estimated cost of a GraphQL call before it is sent: a mutation is 10 points and an object 1, by Shopify's
/// documentation.
const MUTATION_COST: f64 = 15.0;
const QUERY_COST: f64 = 10.0;

pub struct Target {
    /// The number of slots, and those that are free.
    slots: Mutex<(usize, Arc<Semaphore>)>,
    gate: Mutex<Gate>,
    clock: Steady,
    /// Notified whenever calls that wait may find the gate open.
    changed: watch::Sender<()>,
    /// Notified when an operator lets everything go on.
    resumed: watch::Sender<()>,
}

/// How much may be sent to a target now.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    pub per_minute: Option<u32>,
    pub concurrent_calls: usize,
}

/// The permission to send a call now. If it is dropped before the call has ended, nothing was sent.
pub struct Permit {
    target: Arc<Target>,
    pass: Option<Pass>,
    _slot: OwnedSemaphorePermit,
}

/// A target whose calls wait although nobody paused it, as people are shown it: with times of the day.
#[derive(Clone, Debug)]
pub struct Holding {
    pub is_down: bool,
    pub why: String,
    pub since: Millis,
    /// When the next call is sent.
    pub until: Millis,
    /// Whether the target is the reason, and not a budget that is used up.
    pub is_shut: bool,
}

impl Target {
    pub fn new(name: &str) -> Self {
        let clock = Steady::start();
        let gate = Gate::new((name == "shopify").then_some(SHOPIFY_BUCKET), clock.now());
        Self {
            slots: Mutex::new((0, Arc::new(Semaphore::new(0)))),
            gate: Mutex::new(gate),
            clock,
            changed: watch::Sender::default(),
            resumed: watch::Sender::default(),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses the target for one more cause.
    pub fn pause(&self, cause: Cause, why: String) {
        self.gate().pause(cause, why);
    }

    /// Removes a cause. When none is left, the target takes calls again.
    pub fn lift(&self, cause: Cause) {
        self.gate().lift(cause);
        self.changed.send_replace(());
    }

    /// Removes every reason to wait, and wakes the calls that wait.
    pub fn resume(&self) {
        self.gate().resume();
        self.changed.send_replace(());
        self.resumed.send_replace(());
    }

    /// Why the target is paused; `None` if it is not.
    pub fn why_paused(&self) -> Option<String> {
        self.gate().why_paused()
    }

    /// Everything that it is paused by, and why.
    pub fn causes(&self) -> Vec<(Cause, String)> {
        self.gate().causes()
    }

    /// Why the target's calls wait, if they do for another reason than a pause.
    pub fn holding(&self) -> Option<Holding> {
        let Held { by, why, since, until, is_shut } = self.gate().held(self.clock.now(), MUTATION_COST)?;
        let at = |tick| self.clock.time_of_day(tick);
        Some(Holding { is_down: by == HeldBy::Down, why, since: at(since), until: at(until), is_shut })
    }

    /// Waits this long, or until an operator lets everything go on.
    pub async fn pass_time(&self, time: Duration) {
        let mut resumed = self.resumed.subscribe();
        tokio::select! {
            () = sleep(time) => {}
            // The sender lives as long as `self`.
            _ = resumed.changed() => {}
        }
    }

    /// Gives a slot to send in, once the gate lets the call through. `allowed` is asked each time, since an operator
    /// may change it.
    pub async fn admission(self: &Arc<Self>, call: &Call, allowed: impl Fn() -> Allowed) -> Permit {
        self.admitted(call, false, allowed).await
    }

    /// The same for a call that reads a collection, which leaves a part of the budget to events.
    pub async fn admission_of_pull(self: &Arc<Self>, call: &Call, allowed: impl Fn() -> Allowed) -> Permit {
        self.admitted(call, true, allowed).await
    }

    async fn admitted(self: &Arc<Self>, call: &Call, is_pull: bool, allowed: impl Fn() -> Allowed) -> Permit {
        let (cost, is_once) = (cost(&call.request), call.effect == Effect::Once);
        loop {
            let mut changed = self.changed.subscribe();
            let Allowed { per_minute, concurrent_calls } = allowed();
            // The slots are closed if their number has changed.
            let Ok(slot) = self.slots(concurrent_calls).acquire_owned().await else { continue };
            let asked = self.gate().admit(Ask { cost, per_minute, is_once, is_pull }, self.clock.now());
            let wait = match asked {
                Ok(pass) => return Permit { target: self.clone(), pass: Some(pass), _slot: slot },
                Err(wait) => wait,
            };
            drop(slot);
            let time = match wait {
                Wait::Until(until) => Duration::from_millis(until.since(self.clock.now())),
                // `changed` is notified when this ends.
                Wait::Paused | Wait::Probed => Duration::MAX,
            };
            tokio::select! {
                () = sleep(time) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// When the number of slots changes, calls in old slots are not waited for, and calls that wait for a slot wait for
    /// a new one.
    fn slots(&self, wanted: usize) -> Arc<Semaphore> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.0 != wanted {
            slots.1.close();
            *slots = (wanted, Arc::new(Semaphore::new(wanted)));
        }
        slots.1.clone()
    }

    /// Tells the gate how a call ended. Gives the milliseconds that the target has asked to wait.
    fn ended(&self, pass: Pass, how: Ended, claim: Option<Claim>) -> u64 {
        let is_awaited = pass.is_try();
        let (change, asked_ms) = self.gate().ended(pass, how, claim, self.clock.now());
        match change {
            Some(Change::Opened) => tracing::info!("takes calls again"),
            Some(Change::Shut(HeldBy::Throttled)) => tracing::warn!(blame = "peer", "asks to wait: all its calls do"),
            Some(Change::Shut(HeldBy::Down)) => {
                tracing::warn!(blame = "peer", "is down: its calls wait, and one at a time is sent to try");
            }
            None => {}
        }
        if is_awaited {
            self.changed.send_replace(());
        }
        asked_ms
    }
}

impl Permit {
    /// Gives the slot back, and lets the gate learn from how the call ended. If Shopify says in an answer of 200 that
    /// it did nothing for want of budget, the outcome is [`Outcome::Throttled`].
    pub fn ended(mut self, mut outcome: Outcome) -> Outcome {
        let said = match &outcome {
            Outcome::Answered { answer, .. } => said(answer),
            _ => None,
        };
        if said.is_some_and(|said| said.is_throttled) {
            outcome = Outcome::Throttled { wait_ms: 0 };
        }
        let how = retry::toll(&outcome);
        let asked_ms = self.pass.take().map_or(0, |pass| self.target.ended(pass, how, said.map(|said| said.claim)));
        match outcome {
            Outcome::Throttled { .. } => Outcome::Throttled { wait_ms: asked_ms },
            outcome => outcome,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.target.ended(pass, Ended::Unsent, None);
        }
    }
}

fn cost(request: &Request) -> f64 {
    match request {
        Request::Rest { .. } => 1.0,
        Request::Graphql { document, .. } if document.contains("mutation") => MUTATION_COST,
        Request::Graphql { .. } => QUERY_COST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Answer;

    fn call() -> Call {
        let request = Request::Graphql { document: String::new(), variables: String::new() };
        Call { target: "shopify".into(), request, effect: Effect::Read }
    }

    fn answered(body: &str) -> Outcome {
        let answer = Answer { status: 200, headers: vec![], body: body.into() };
        Outcome::Answered { answer, retry_after_ms: None }
    }

    #[tokio::test]
    async fn the_number_of_slots_changes_while_calls_wait() {
        let (target, call) = (Arc::new(Target::new("omneo")), call());
        let allowed = Arc::new(Mutex::new(1));
        let ask = || {
            let (target, call, allowed) = (target.clone(), call.clone(), allowed.clone());
            let allowed = move || Allowed { per_minute: None, concurrent_calls: *allowed.lock().unwrap() };
            Box::pin(async move { target.admission(&call, allowed).await })
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

    const ALLOWED: Allowed = Allowed { per_minute: None, concurrent_calls: 8 };

    #[tokio::test]
    async fn what_a_target_claims_is_understood_however_odd_and_resuming_wakes_who_waits() {
        let throttled = r#""errors": [{"extensions": {"code": "THROTTLED"}}]"#;
        let cost = |status: &str| {
            format!(
                r#"{{{throttled}, "extensions": {{"cost": {{"requestedQueryCost": 1e9, "throttleStatus": {status}}}}}}}"#
            )
        };
        let odd = [
            cost(r#"{"maximumAvailable": 0, "currentlyAvailable": -1e300, "restoreRate": 1e-300}"#),
            cost(r#"{"maximumAvailable": null, "currentlyAvailable": "x", "restoreRate": [0]}"#),
            cost("7"),
            format!(r#"{{{throttled}, "extensions": []}}"#),
        ];
        for body in odd {
            let target = Arc::new(Target::new("shopify"));
            let permit = target.admission(&call(), || ALLOWED).await;
            let outcome = permit.ended(answered(&body));
            let Outcome::Throttled { wait_ms } = outcome else { panic!("{body}: {outcome:?}") };
            assert!((1..=60_000).contains(&wait_ms), "{body}: {wait_ms}");
            assert!(target.holding().is_some_and(|holding| !holding.is_down), "{body}");
            let call = call();
            let mut waits = Box::pin(target.admission(&call, || ALLOWED));
            assert!(at_once(&mut waits).await.is_none(), "{body}");
            target.resume();
            assert!(at_once(&mut waits).await.is_some(), "{body}");
            assert!(target.holding().is_none(), "{body}");
        }
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_in_the_middle_leaves_its_try_to_the_next() {
        let (target, call) = (Arc::new(Target::new("omneo")), call());
        let busy = || {
            let answer = Answer { status: 429, headers: vec![], body: String::new() };
            Outcome::Answered { answer, retry_after_ms: Some(1) }
        };
        target.admission(&call, || ALLOWED).await.ended(busy());
        let probe = target.admission(&call, || ALLOWED).await;
        let mut next = Box::pin(target.admission(&call, || ALLOWED));
        assert!(at_once(&mut next).await.is_none());
        drop(probe);
        assert!(at_once(&mut next).await.is_some());
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
