//! Has a running host go by its configuration as it is now: tenants, their secrets, limits and rules, and the keys that
//! secrets are sealed with. What takes a restart is named.

use std::sync::PoisonError;

use anyhow::Context;

use super::Server;
use crate::config::{Changes, Config, Tenant, changes};
use crate::tenants::Taken;

impl Server {
    /// Takes over what can be taken over while the host runs. What is wrong with one tenant keeps no other as it was.
    pub async fn reload(&self, next: Config) -> anyhow::Result<()> {
        let now = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A file that is being written has none for a moment, and every webhook would be refused.
        if next.tenants.is_empty() && !now.tenants.is_empty() {
            anyhow::bail!(
                "the configuration has no tenant any more, so nothing of it is taken over\nhint: start the host again if all of them are to go"
            );
        }
        let Changes { added, changed, removed, keys, at_restart } = changes(&now, &next);
        let own: Vec<&Tenant> = next.tenants.iter().filter(|tenant| !self.is_of_the_api(tenant, &added)).collect();
        for name in &removed {
            self.leave(name).await?;
        }
        // First all that change their shop: one may have the shop that another has had.
        for tenant in own.iter().filter(|tenant| changed.contains(&tenant.name)) {
            if self.tenants.get(&tenant.name).is_some_and(|known| known.shop != tenant.shop) {
                self.tenants.remove(&tenant.name);
            }
        }
        for tenant in &own {
            let (is_new, has_changed) = (added.contains(&tenant.name), changed.contains(&tenant.name));
            if is_new || has_changed {
                self.take(tenant, is_new).await?;
            }
        }
        if keys || now.apps != next.apps {
            self.credentials.set(next.keys.clone(), next.apps.clone());
            self.accounts.reopen(next.keys.clone()).await.context("opening the secrets of tenants")?;
        }
        for tenant in &own {
            self.configure(tenant).await;
        }
        for (names, what) in [(&added, "added"), (&changed, "changed"), (&removed, "not in the configuration any more")]
        {
            names.iter().for_each(|tenant| tracing::info!(tenant, "{what}"));
        }
        if !at_restart.is_empty() {
            tracing::warn!("these settings are taken over at the next start only: {}", at_restart.join(", "));
        }
        tracing::info!("goes by the configuration as it is now");
        // What takes a restart stays as it was, or it would not be named again.
        let config = Config { tenants: next.tenants.clone(), keys: next.keys.clone(), apps: next.apps.clone(), ..now };
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Whether a tenant that is new in the configuration has the name of one that was added over the admin API.
    fn is_of_the_api(&self, tenant: &Tenant, added: &[String]) -> bool {
        let is_known = added.contains(&tenant.name) && self.tenants.get(&tenant.name).is_some();
        if is_known {
            tracing::error!(tenant = tenant.name, "stays as it is: it was added over the admin API, too");
        }
        is_known
    }

    /// A tenant's webhooks are not taken in any more, and its events wait.
    async fn leave(&self, name: &str) -> anyhow::Result<()> {
        self.tenants.remove(name);
        self.delivery.forget(name);
        self.registry.forget(name);
        self.credentials.forget(name);
        self.lanes.leave(name).await
    }

    async fn take(&self, tenant: &Tenant, is_new: bool) -> anyhow::Result<()> {
        let (tenants, taken) = (self.tenants.clone(), tenant.clone());
        let set = move || {
            if let Err(Taken) = tenants.set(taken.clone()) {
                tracing::error!(tenant = taken.name, "stays out: another tenant has its shop");
            }
        };
        if is_new {
            self.credentials.settle(tenant).await?;
            // What waits of it goes on.
            return self.journal.take_up(&tenant.name, set).await;
        }
        set();
        self.credentials.settle(tenant).await?;
        for target in ["shopify", "omneo"] {
            self.delivery.credentials_changed(&tenant.name, target);
        }
        Ok(())
    }

    /// Makes current what the configuration names, if that is new.
    async fn configure(&self, tenant: &Tenant) {
        if let Err(error) = self.registry.configure(tenant, false).await {
            tracing::error!(tenant = tenant.name, blame = "plugin", "its rules stay as they were: {error:#}");
        }
    }
}
