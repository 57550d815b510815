//! Delivery: sends calls that are due, within each target's limits, until they have a reply or are given up.
//!
//! Knows the journal and the client; nothing of rules or lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::Instrument as _;

pub use crate::budget::Cause;
use crate::client::Client;
use crate::config::{self, Peer};
use crate::credentials::{Credentials, NoToken, Token};
use crate::journal::{Due, Journal, Paused};
use crate::model::{Blame, Call, Failure, Reply};
use crate::retry::{self, Decision, Outcome};
use crate::tenants::Tenants;

mod read;
mod target;

pub use read::Unread;
pub use target::Holding;
use target::{Allowed, Permit, Target};

/// The pause between two rounds through the grants of tenants, and how many tenants are looked at at a time.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOKS_AT_ONCE: usize = 16;
const SIDES: [&str; 2] = ["shopify", "omneo"];

/// A target by tenant and name, with everything that it is paused by, and why.
pub type PausedBy = (String, String, Vec<(Cause, String)>);

/// Everything that attempts share.
pub struct Delivery {
    journal: Journal,
    client: Client,
    credentials: Credentials,
    settings: config::Delivery,
    tenants: Tenants,
    /// The targets that ever had a call, or were paused.
    targets: Mutex<HashMap<(String, String), Arc<Target>>>,
    stopping: watch::Receiver<bool>,
    /// The start of this host. Attempts of an earlier host began before it.
    began: Instant,
}

impl Delivery {
    pub fn new(
        journal: Journal,
        client: Client,
        credentials: Credentials,
        settings: config::Delivery,
        tenants: Tenants,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (targets, began) = (Mutex::default(), Instant::now());
        Self { journal, client, credentials, settings, tenants, targets, stopping, began }
    }

    /// A target of a tenant; `None` if there is no such tenant, or not any more.
    fn target(&self, tenant: &str, name: &str) -> Option<Arc<Target>> {
        self.tenants.get(tenant)?.peer(name)?;
        Some(self.side(tenant, name))
    }

    /// The same, even if there is no such tenant yet.
    fn side(&self, tenant: &str, name: &str) -> Arc<Target> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let target = targets.entry((tenant.to_owned(), name.to_owned())).or_insert_with(|| Arc::new(Target::new(name)));
        target.clone()
    }

    /// Forgets a tenant's targets. Calls that wait there check once more whether they are wanted, and find that they
    /// are not.
    pub fn forget(&self, tenant: &str) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|(of, _), target| {
            let stays = of != tenant;
            if !stays {
                target.lift(Cause::Closed);
                target.resume();
            }
            stays
        });
    }

    /// Sends what is due until told to stop; then lets attempts under way end.
    pub async fn run(self: Arc<Self>, mut due: UnboundedReceiver<Due>, mut pauses: UnboundedReceiver<Paused>) {
        let mut under_way = JoinSet::new();
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                // In this order, so that targets that are paused at the start are known before the first call is sent.
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
        if reason.is_some() {
            tracing::warn!(stage = "delivery", tenant, target, "paused until `tandem resume`");
        }
        let target = self.side(&tenant, &target);
        match reason {
            Some(reason) => target.pause(Cause::Ordered, reason),
            None => target.resume(),
        }
    }

    /// Lets a target that had answered 401 take calls again, since its credentials have changed. Other causes of a
    /// pause stay.
    pub fn credentials_changed(&self, tenant: &str, target: &str) {
        if let Some(target) = self.target(tenant, target) {
            target.lift(Cause::Unauthorized);
        }
    }

    /// Looks after the grants of tenants until told to stop: some tenants at a time, since each may wait for Shopify.
    pub async fn keep_grants(self: Arc<Self>) {
        while self.unless_stopped(sleep(LOOK_EVERY)).await.is_some() {
            let mut looks = JoinSet::new();
            for name in self.tenants.names() {
                let Some(tenant) = self.tenants.get(&name).filter(|tenant| tenant.shopify.app().is_some()) else {
                    continue;
                };
                if looks.len() >= LOOKS_AT_ONCE && self.unless_stopped(looks.join_next()).await.is_none() {
                    break;
                }
                let credentials = self.credentials.clone();
                looks.spawn(async move { credentials.look(&tenant).await });
            }
            let all = async { while looks.join_next().await.is_some() {} };
            if self.unless_stopped(all).await.is_none() {
                return;
            }
        }
    }

    /// Lets calls that wait for a grant go on when there is one, until told to stop.
    pub async fn take_up_granted(self: Arc<Self>) {
        while let Some(news) = self.unless_stopped(self.credentials.news()).await {
            news.iter().for_each(|tenant| self.credentials_changed(tenant, "shopify"));
        }
    }

    /// Pauses both targets of a tenant while its secrets cannot be opened or Omneo is not connected, as `why` says;
    /// without it, ends that pause.
    pub fn set_closed(&self, tenant: &str, why: Option<String>) {
        if let Some(why) = &why {
            tracing::warn!(stage = "delivery", tenant, "paused: {why}");
        }
        for side in SIDES.map(|side| self.side(tenant, side)) {
            match &why {
                Some(why) => side.pause(Cause::Closed, why.clone()),
                None => side.lift(Cause::Closed),
            }
        }
    }

    /// The paused targets, and why.
    pub fn paused(&self) -> Vec<(String, String, String)> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets
            .iter()
            .filter_map(|((tenant, name), target)| Some((tenant.clone(), name.clone(), target.why_paused()?)))
            .collect()
    }

    /// The paused targets.
    pub fn causes(&self) -> Vec<PausedBy> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let causes = targets.iter().map(|((tenant, name), target)| (tenant.clone(), name.clone(), target.causes()));
        causes.filter(|(_, _, causes)| !causes.is_empty()).collect()
    }

    /// The targets whose calls wait although nobody paused them, by tenant and name.
    pub fn holding(&self) -> Vec<(String, String, Holding)> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let holding = targets
            .iter()
            .filter_map(|((tenant, name), target)| Some((tenant.clone(), name.clone(), target.holding()?)));
        holding.collect()
    }

    /// Tells when the host is about to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    async fn deliver(self: Arc<Self>, due: Due) {
        let (event, run, call, side) = (due.event.0, due.run.0, due.id.0, &due.call.target);
        let span = tracing::info_span!("delivery", tenant = due.tenant, event, run, call, side);
        let attempts = async {
            if let Err(error) = self.attempts(&due).await {
                // The journal holds the call; it is sent after a restart.
                tracing::error!(blame = "host", "{error:#}");
            }
        };
        attempts.instrument(span).await;
    }

    /// Waits for something, unless the host is to stop first. An attempt under way is not waited for in this way: it
    /// has its own time limit, and its outcome is worth knowing.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => None,
            value = wait => Some(value),
        }
    }

    async fn attempts(&self, due: &Due) -> anyhow::Result<()> {
        let name = &due.call.target;
        // The target was checked before the call was journalled, and only vanishes with its tenant.
        let gone = || anyhow!("tenant `{}` has no target `{name}`", due.tenant);
        let target = self.target(&due.tenant, name).ok_or_else(gone)?;
        if due.unknown_since.is_some() {
            return self.tell_unknown(due, None, "the host stopped while it was under way", self.began).await;
        }
        let (mut attempts, mut waits) = (due.attempts, 0);
        // Whether the last attempt was answered with 401, and a new token is tried.
        let mut renewed = false;
        loop {
            // If the tenant is gone, nothing is sent: the check is below.
            let admission = target.admission(&due.call, || self.allowed(&due.tenant, name));
            let Some(permit) = self.unless_stopped(admission).await else { return Ok(()) };
            // Read again, since an operator may have changed the tenant while the call waited.
            let Some(tenant) = self.tenants.get(&due.tenant) else { return Ok(()) };
            let token = self.credentials.token(&tenant, name).await;
            // Read once more, since the token may have taken a while.
            let Some(tenant) = self.tenants.get(&due.tenant) else { return Ok(()) };
            let peer = tenant.peer(name).ok_or_else(gone)?;
            let Some(attempt) = self.journal.attempt(due).await? else { return Ok(()) };
            let began = Instant::now();
            let outcome = self.attempt(permit, peer, &token, &due.call, &due.api_version).await;
            let outcome = retry::patient(outcome, waits);
            let counted = !matches!(outcome, Outcome::Throttled { .. });
            // Without an answer, the attempt may still take effect.
            let is_settled = !matches!(outcome, Outcome::NoAnswer(_));
            let is_good = matches!(&outcome, Outcome::Answered { answer, .. } if (200..300).contains(&answer.status));
            let is_unauthorized = answers(&outcome, 401);
            attempts += u32::from(counted);
            let said = describe(&outcome);
            if let (true, Ok(old)) = (is_unauthorized, &token)
                && self.credentials.refused_by_shop(&tenant, name, old)
                && !renewed
            {
                // The grant may have been revoked, or have ended earlier than it said. The next one shows which.
                self.journal.attempted(due, attempt, format!("{said}; again with a new token"), true).await?;
                self.journal.metrics().attempted(name, &said);
                tracing::info!(attempt = attempts, "{said}; again with a new token");
                attempts -= 1;
                renewed = true;
                continue;
            }
            renewed = false;
            if let (true, Ok(token)) = (is_good, &token) {
                self.credentials.accepted_by_shop(&tenant, name, token);
            }
            let is_without = matches!(outcome, Outcome::NoToken(_));
            let decision =
                retry::decide(outcome, due.call.effect, attempts, &self.settings.retry_delays_ms, fastrand::f64());
            self.count(name, &said, &decision);
            // The text of a block names a path, which may be personal data.
            let told = if said.starts_with("blocked") { "blocked" } else { &said };
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(attempt = attempts, took_ms, "{told}");
            match decision {
                Decision::Reply(reply) => return self.journal.reply(due, Some((attempt, said)), reply).await,
                Decision::Again { after_ms, counts } => {
                    attempts -= u32::from(counted && !counts);
                    waits += u32::from(!counts);
                    let said = format!("{said}; again in {}", seconds(after_ms));
                    self.journal.attempted(due, attempt, said, is_settled).await?;
                    // If the target only asked to wait, its gate makes all its calls wait, this one among them.
                    let time = Duration::from_millis(if counts { after_ms } else { 0 });
                    if self.unless_stopped(target.pass_time(time)).await.is_none() {
                        return Ok(());
                    }
                }
                Decision::Unknown(why) => {
                    return self.tell_unknown(due, Some((attempt, said)), &why, began).await;
                }
                Decision::Pause(why) => {
                    attempts -= 1;
                    let noted = format!("{said}; {} is paused", due.call.target);
                    self.journal.attempted(due, attempt, noted, is_settled).await?;
                    let cause = if is_unauthorized || is_without { Cause::Unauthorized } else { Cause::Locked };
                    let why = if is_without { why } else { format!("{} answers {why}", due.call.target) };
                    target.pause(cause, why);
                    let now = self.tenants.get(&due.tenant);
                    if now.is_some_and(|now| self.credentials.has_changed(&now, name, &token)) {
                        // By now the target has another token than the one that was refused.
                        target.lift(Cause::Unauthorized);
                    }
                    tracing::error!(blame = "peer", "{said}: paused until it has new credentials");
                }
                Decision::GiveUp(why) => {
                    tracing::warn!(blame = "peer", "given up; `tandem events {}` says why", due.event);
                    let failure = Failure::new(Blame::Peer, format!("{}: {why}", due.call.line()));
                    return self.journal.give_up(due, attempt, said, is_settled, failure).await;
                }
            }
        }
    }

    /// How much a tenant's target may be sent now.
    fn allowed(&self, tenant: &str, target: &str) -> Allowed {
        let tenant = self.tenants.get(tenant);
        let peer = tenant.as_ref().and_then(|tenant| tenant.peer(target));
        let calls = tenant.as_ref().map_or(1, |tenant| tenant.limits.concurrent_calls);
        let concurrent_calls = usize::try_from(calls).unwrap_or(usize::MAX);
        Allowed { per_minute: peer.and_then(|peer| peer.per_minute), concurrent_calls }
    }

    /// Sends a call once, with this token if there is one.
    async fn attempt(
        &self,
        permit: Permit,
        peer: &Peer,
        token: &Result<Token, NoToken>,
        call: &Call,
        api_version: &str,
    ) -> Outcome {
        permit.ended(match token {
            Ok(token) => self.client.send(peer, &token.text, call, api_version).await,
            Err(NoToken { refused, .. }) if refused.is_passing() => Outcome::NotSent(refused.to_string()),
            Err(NoToken { refused, .. }) => Outcome::NoToken(refused.to_string()),
        })
    }

    fn count(&self, target: &str, said: &str, decision: &Decision) {
        let metrics = self.journal.metrics();
        if let Decision::Again { counts: false, .. } = decision {
            return metrics.throttled(target);
        }
        metrics.attempted(target, said);
        match decision {
            Decision::Again { .. } => metrics.retried(target),
            Decision::Reply(_) => metrics.called(target, said),
            Decision::Unknown(_) => metrics.called(target, "unknown"),
            Decision::GiveUp(_) => metrics.called(target, "given up"),
            // The call waits for its target, and has not ended.
            Decision::Pause(_) => {}
        }
    }

    /// Waits until an attempt of unknown fate can no longer be under way anywhere, then tells the rules that its fate
    /// is unknown. The wait goes by a clock that only goes forward; an attempt of an earlier host began before this
    /// host did.
    async fn tell_unknown(
        &self,
        due: &Due,
        attempt: Option<(i64, String)>,
        why: &str,
        began: Instant,
    ) -> anyhow::Result<()> {
        let left = Duration::from_millis(self.settings.settled_ms()).saturating_sub(began.elapsed());
        if self.unless_stopped(sleep(left)).await.is_none() {
            return Ok(());
        }
        self.journal.reply(due, attempt, Reply::Unknown(why.to_owned())).await
    }
}

/// Whether the target has answered with this status.
fn answers(outcome: &Outcome, status: u16) -> bool {
    matches!(outcome, Outcome::Answered { answer, .. } if answer.status == status)
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { answer, .. } => answer.status.to_string(),
        Outcome::Throttled { .. } => "throttled".into(),
        Outcome::NotSent(why) => format!("not sent: {why}"),
        Outcome::NoAnswer(why) => format!("no answer: {why}"),
        Outcome::Blocked(why) => format!("blocked: {why}"),
        Outcome::NoToken(why) => format!("no token: {}", why.lines().next().unwrap_or_default()),
    }
}

fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{:.1} s", ms as f64 / 1000.0) } else { format!("{} s", ms / 1000) }
}
