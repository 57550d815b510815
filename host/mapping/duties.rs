//! Has done what the law and Shopify want done about a tenant, when the rules have said how the event ends.
//!
//! Knows whom to ask whether it is true, and who else has something to let go of; not what a duty is.

use anyhow::Context;
use tokio::sync::oneshot;

use super::Shared;
use crate::compliance::{self, Duty};
use crate::credentials::Access;
use crate::model::{End, Event, Outcome};
use crate::rules::Manifest;

/// Asks that what is held of a tenant's Omneo be let go of: its shop is redacted.
pub struct Farewell {
    pub tenant: String,
    /// Whether anything was; an error: not yet.
    pub done: oneshot::Sender<anyhow::Result<bool>>,
}

impl Shared {
    /// Whether the rules have a part in a duty. Where no Omneo tenant is connected, none of their calls has anywhere to go.
    pub(super) fn are_rules_asked(&self, tenant: &str, duty: Duty, manifest: &Manifest) -> bool {
        compliance::is_asked(duty, manifest) && self.tenants.get(tenant).is_none_or(|tenant| tenant.has_omneo())
    }

    /// Does a duty; gives how its event ends. May be done again: the end is the same.
    pub(super) async fn fulfil(&self, manifest: &Manifest, duty: Duty, event: &Event, end: End) -> anyhow::Result<End> {
        let name = &event.webhook.tenant;
        let tenant = self.tenants.get(name);
        if let Some(tenant) = tenant.filter(|tenant| duty.ends_access() && tenant.shopify.app().is_some()) {
            if tenant.is_closed() {
                anyhow::bail!("the tenant is paused, so nobody can tell whether the shop lets the app in");
            }
            let (access, judged) = self.credentials.access(&tenant).await;
            let is_refused = access == Access::Refused;
            if let Some(end) = compliance::believed(duty, access, end.clone())? {
                return Ok(end);
            }
            // First, so that what is granted meanwhile is seen and stays.
            if is_refused && !self.credentials.drop_grant(&tenant, judged).await? {
                anyhow::bail!("the shop has granted the app something else meanwhile");
            }
        }
        let ended = compliance::fulfil(&self.journal, manifest, duty, event, end).await?;
        if duty == Duty::RedactShop && ended.outcome == Outcome::Done && self.farewell(name).await? {
            let reason = format!("{}; Omneo's token and webhook secrets are forgotten", ended.reason);
            return Ok(End { reason, ..ended });
        }
        Ok(ended)
    }

    async fn farewell(&self, tenant: &str) -> anyhow::Result<bool> {
        let (done, answer) = oneshot::channel();
        self.farewells.send(Farewell { tenant: tenant.to_owned(), done }).context("the host stops")?;
        answer.await.context("the host stops")?
    }
}
