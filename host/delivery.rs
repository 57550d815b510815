//! Delivery: sends calls that are due, within each target's limits, until they have a reply or are given up.
//!
//! Knows the journal and the client; nothing of rules or lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::budget::Bucket;
use crate::client::Client;
use crate::clock;
use crate::config::{self, Peer, Tenant};
use crate::journal::{Due, Journal, Paused};
use crate::model::{Blame, Failure, Reply, Request};
use crate::retry::{self, Decision, Outcome};

/// Shopify's bucket before its first answer has told the real one: what development stores show.
const SHOPIFY_BUCKET: (f64, f64) = (2000.0, 100.0);
/// Reckoned cost of a GraphQL call before it is sent: a mutation is 10 points and an object 1, by Shopify's documentation.
const MUTATION_COST: f64 = 15.0;
const QUERY_COST: f64 = 10.0;

/// Everything that attempts share.
pub struct Delivery {
    journal: Journal,
    client: Client,
    settings: config::Delivery,
    targets: HashMap<(String, String), Arc<Target>>,
    stopping: watch::Receiver<bool>,
}

/// One side of one tenant.
struct Target {
    peer: Peer,
    slots: Semaphore,
    budget: Option<Mutex<Bucket>>,
    /// Why it takes nothing now, if so.
    paused: watch::Sender<Option<String>>,
}

impl Delivery {
    pub fn new(
        journal: Journal,
        client: Client,
        settings: config::Delivery,
        tenants: &[Tenant],
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let mut targets = HashMap::new();
        for tenant in tenants {
            for name in ["shopify", "omneo"] {
                let Some(peer) = tenant.peer(name) else { continue };
                let key = (tenant.name.clone(), name.to_owned());
                let rate = peer.per_minute.map(|calls| Bucket::per_minute(calls, clock::now()));
                let cost = (name == "shopify").then(|| Bucket::new(SHOPIFY_BUCKET.0, SHOPIFY_BUCKET.1, clock::now()));
                let target = Target {
                    peer: peer.clone(),
                    slots: Semaphore::new(settings.concurrent_calls),
                    budget: rate.or(cost).map(Mutex::new),
                    paused: watch::Sender::new(None),
                };
                targets.insert(key, Arc::new(target));
            }
        }
        Self { journal, client, settings, targets, stopping }
    }

    /// Sends what is due until told to stop; then lets attempts under way end.
    pub async fn run(self: Arc<Self>, mut due: UnboundedReceiver<Due>, mut pauses: UnboundedReceiver<Paused>) {
        let mut under_way = JoinSet::new();
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                // In this order: what is paused at start is known before the first call is sent.
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(paused) = pauses.recv() => self.set(paused),
                next = due.recv() => match next {
                    Some(due) => { under_way.spawn(self.clone().deliver(due)); }
                    None => break,
                },
                Some(_) = under_way.join_next() => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    fn set(&self, Paused { tenant, target, reason }: Paused) {
        if let Some(reason) = &reason {
            tracing::warn!(stage = "delivery", tenant, target, "paused until `tandem resume`: {reason}");
        }
        if let Some(target) = self.targets.get(&(tenant, target)) {
            target.paused.send_replace(reason);
        }
    }

    /// The targets that take nothing now, and why.
    pub fn paused(&self) -> Vec<(String, String, String)> {
        let why = |target: &Target| target.paused.borrow().clone();
        self.targets
            .iter()
            .filter_map(|((tenant, name), target)| Some((tenant.clone(), name.clone(), why(target)?)))
            .collect()
    }

    async fn deliver(self: Arc<Self>, due: Due) {
        if let Err(error) = self.attempts(&due).await {
            // The journal holds the call; it is sent after a restart.
            tracing::error!(stage = "delivery", tenant = due.tenant, event = due.event.0, blame = "host", "{error:#}");
        }
    }

    /// Waits for something, unless the host is to stop first. An attempt under way is not waited for like this: it
    /// has its own time limit, and how it ends is worth knowing.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => None,
            value = wait => Some(value),
        }
    }

    async fn attempts(&self, due: &Due) -> anyhow::Result<()> {
        let target = match self.targets.get(&(due.tenant.clone(), due.call.target.clone())) {
            Some(target) => target.clone(),
            // Checked before the call was journalled; a target can only vanish from a changed configuration.
            None => anyhow::bail!("tenant `{}` has no target `{}`", due.tenant, due.call.target),
        };
        if let Some(since) = due.unknown_since {
            return self.tell_unknown(due, None, "the host stopped while it was under way", since).await;
        }
        let mut attempts = due.attempts;
        loop {
            let Some(slot) = self.unless_stopped(target.admission(&due.call.request)).await else { return Ok(()) };
            let Some(attempt) = self.journal.attempt(due).await? else { return Ok(()) };
            let began = clock::now();
            let outcome = self.client.send(&target.peer, &due.call, &due.api_version).await;
            drop(slot);
            let outcome = target.understand(outcome);
            let counted = !matches!(outcome, Outcome::Throttled { .. });
            attempts += u32::from(counted);
            let said = describe(&outcome);
            self.journal.metrics().attempted(&due.call.target, &said);
            let decision =
                retry::decide(outcome, due.call.effect, attempts, &self.settings.retry_delays_ms, fastrand::f64());
            tracing::info!(
                stage = "delivery",
                tenant = due.tenant,
                event = due.event.0,
                call = due.call.line(),
                attempt = attempts,
                "{said}"
            );
            match decision {
                Decision::Reply(reply) => return self.journal.reply(due, Some((attempt, said)), reply).await,
                Decision::Again { after_ms, counts } => {
                    attempts -= u32::from(counted && !counts);
                    self.journal.attempted(attempt, format!("{said}; again in {}", seconds(after_ms))).await?;
                    if self.unless_stopped(sleep(Duration::from_millis(after_ms))).await.is_none() {
                        return Ok(());
                    }
                }
                Decision::Unknown(why) => {
                    return self.tell_unknown(due, Some((attempt, said)), &why, began).await;
                }
                Decision::Pause(why) => {
                    attempts -= 1;
                    self.journal.attempted(attempt, format!("{said}; {} is paused", due.call.target)).await?;
                    tracing::error!(
                        stage = "delivery",
                        tenant = due.tenant,
                        blame = "peer",
                        "{} answers {why}: paused until its credentials are seen to",
                        due.call.target
                    );
                    target.paused.send_replace(Some(format!("{} answers {why}", due.call.target)));
                }
                Decision::GiveUp(why) => {
                    tracing::warn!(
                        stage = "delivery",
                        tenant = due.tenant,
                        event = due.event.0,
                        blame = "peer",
                        "{why}"
                    );
                    let failure = Failure::new(Blame::Peer, format!("{}: {why}", due.call.line()));
                    return self.journal.give_up(due, attempt, said, failure).await;
                }
            }
        }
    }

    /// Waits until an attempt of unknown fate can no longer be under way anywhere, then says so to the rules.
    async fn tell_unknown(
        &self,
        due: &Due,
        attempt: Option<(i64, String)>,
        why: &str,
        since: i64,
    ) -> anyhow::Result<()> {
        let quiet_ms = i64::try_from(self.settings.quiet_ms).unwrap_or(i64::MAX);
        let left = since.saturating_add(quiet_ms).saturating_sub(clock::now()).clamp(0, quiet_ms);
        if self.unless_stopped(sleep(Duration::from_millis(left as u64))).await.is_none() {
            return Ok(());
        }
        self.journal.reply(due, attempt, Reply::Unknown(why.to_owned())).await
    }
}

impl Target {
    /// A slot to send in, once the target is not paused and has the budget.
    async fn admission(&self, request: &Request) -> tokio::sync::SemaphorePermit<'_> {
        loop {
            let mut paused = self.paused.subscribe();
            // The sender lives as long as `self`.
            let _ = paused.wait_for(Option::is_none).await;
            let wait = self.budget.as_ref().and_then(|budget| {
                let mut bucket = budget.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.take(cost(request), clock::now()).err()
            });
            if let Some(ms) = wait {
                sleep(Duration::from_millis(ms)).await;
                continue;
            }
            let slot = self.slots.acquire().await.expect("the slots are never closed");
            if self.paused.borrow().is_none() {
                return slot;
            }
        }
    }

    /// Reads what Shopify says of cost and throttling in an answer that HTTP calls a success.
    fn understand(&self, outcome: Outcome) -> Outcome {
        let Outcome::Answered { answer, .. } = &outcome else { return outcome };
        // Only GraphQL answers have either; a look at the text spares the others a parse.
        if answer.status != 200 || !answer.body.contains("\"throttleStatus\"") && !answer.body.contains("THROTTLED") {
            return outcome;
        }
        let Ok(said) = serde_json::from_str::<Said>(&answer.body) else { return outcome };
        let cost = said.extensions.cost;
        let status = cost.throttle_status;
        if let (Some(status), Some(budget)) = (&status, &self.budget) {
            let mut bucket = budget.lock().unwrap_or_else(PoisonError::into_inner);
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

fn cost(request: &Request) -> f64 {
    match request {
        Request::Rest { .. } => 1.0,
        Request::Graphql { document, .. } if document.contains("mutation") => MUTATION_COST,
        Request::Graphql { .. } => QUERY_COST,
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { answer, .. } => answer.status.to_string(),
        Outcome::Throttled { .. } => "throttled".into(),
        Outcome::NotSent(why) => format!("not sent: {why}"),
        Outcome::NoAnswer(why) => format!("no answer: {why}"),
        Outcome::Blocked(why) => format!("blocked: {why}"),
    }
}

fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{:.1} s", ms as f64 / 1000.0) } else { format!("{} s", ms / 1000) }
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
