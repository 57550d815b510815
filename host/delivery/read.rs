//! Reads that no event has asked for, such as the pages of an import. They keep the limits of their target as calls of rules
//! do, and are not journalled.

use std::fs::File;
use std::time::Duration;

use tokio::time::sleep;

use super::{Delivery, answers, describe};
use crate::budget::Cause;
use crate::client::{Bounds, NotDownloaded};
use crate::model::{Answer, Call, Reply};
use crate::retry::{self, Decision, Outcome};

/// Why a read has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unread {
    /// The host is about to stop.
    Stopped,
    /// There is no such tenant, or not any more.
    Gone,
    /// The target did not answer, as this says.
    GivenUp(String),
}

impl Delivery {
    /// Downloads a file from an address that a target has signed, without the target's credentials. `None`: the host is about
    /// to stop.
    pub async fn download(&self, url: &str, to: File, bounds: Bounds) -> Option<Result<u64, NotDownloaded>> {
        self.unless_stopped(self.client.download(url, to, bounds)).await
    }

    /// The pause after so many attempts in vain.
    pub fn pause_after(&self, attempts: u32) -> Duration {
        let delays = &self.settings.retry_delays_ms;
        let ms = delays.get(attempts.saturating_sub(1) as usize).or(delays.last()).copied().unwrap_or_default();
        Duration::from_millis(ms)
    }

    /// Sends a read, again where that may help, and gives its answer. Waits as long as the target is paused or asks to wait.
    pub async fn read(&self, tenant: &str, call: &Call, api_version: &str) -> Result<Answer, Unread> {
        let name = &call.target;
        let target = self.target(tenant, name).ok_or(Unread::Gone)?;
        let (mut attempts, mut waits, mut renewed) = (0, 0, false);
        loop {
            let admission = target.admission_of_pull(call, || self.allowed(tenant, name));
            let permit = self.unless_stopped(admission).await.ok_or(Unread::Stopped)?;
            let of = self.tenants.get(tenant).ok_or(Unread::Gone)?;
            let token = self.credentials.token(&of, name).await;
            let of = self.tenants.get(tenant).ok_or(Unread::Gone)?;
            let peer = of.peer(name).ok_or(Unread::Gone)?;
            let outcome = self.attempt(permit, peer, &token, call, api_version).await;
            let outcome = retry::patient(outcome, waits);
            attempts += u32::from(!matches!(outcome, Outcome::Throttled { .. }));
            let (said, is_without) = (describe(&outcome), matches!(outcome, Outcome::NoToken(_)));
            let is_unauthorized = answers(&outcome, 401);
            self.journal.metrics().attempted(name, &said);
            if let (true, false, Ok(old)) = (is_unauthorized, renewed, &token)
                && self.credentials.refused_by_shop(&of, name, old)
            {
                attempts -= 1;
                renewed = true;
                continue;
            }
            renewed = false;
            match retry::decide(outcome, call.effect, attempts, &self.settings.retry_delays_ms, fastrand::f64()) {
                Decision::Reply(Reply::Answer(answer)) => {
                    if let Ok(token) = &token {
                        self.credentials.accepted_by_shop(&of, name, token);
                    }
                    return Ok(answer);
                }
                Decision::Again { after_ms, counts } => {
                    attempts -= u32::from(!counts && attempts > 0);
                    waits += u32::from(!counts);
                    let time = Duration::from_millis(if counts { after_ms } else { 0 });
                    self.unless_stopped(sleep(time)).await.ok_or(Unread::Stopped)?;
                }
                Decision::Pause(why) => {
                    attempts -= 1;
                    let cause = if is_unauthorized || is_without { Cause::Unauthorized } else { Cause::Locked };
                    let why = if is_without { why } else { format!("{name} answers {why}") };
                    target.pause(cause, why);
                    let now = self.tenants.get(tenant);
                    if now.is_some_and(|now| self.credentials.has_changed(&now, name, &token)) {
                        target.lift(Cause::Unauthorized);
                    }
                }
                Decision::Reply(Reply::Unknown(why)) | Decision::Unknown(why) | Decision::GiveUp(why) => {
                    return Err(Unread::GivenUp(format!("{}: {why}", call.line())));
                }
            }
        }
    }
}
