//! Sets up a tenant: finds out what the rules need on both sides and what exists there, and makes the changes.
//!
//! What is wanted and the difference are data; only `apply` changes anything. Knows neither journal nor stages.

use anyhow::{Context, bail};

use crate::client::Client;
use crate::config::{RulesFrom, Tenant};
use crate::rules::{Manifest, Plugin};
use crate::{bake, engine};

mod apply;
mod ask;
mod difference;
mod documents;
mod omneo;
mod report;
mod there;
mod topics;
mod wanted;
mod zone;

pub use apply::apply;
pub use ask::Trouble;
pub use difference::{Act, Kind, OFFICIAL_ALONE, State, Step};
pub use omneo::look_at_omneo;
pub use report::line;
pub use there::timezone;
pub use topics::topic_enum;
pub use zone::Zone;

/// The tenant to set up, and what is needed for it.
pub struct Setup<'a> {
    pub client: &'a Client,
    pub tenant: &'a Tenant,
    pub manifest: &'a Manifest,
    pub zone: Zone,
    /// The address at which webhooks reach this host from outside, without a `/` at its end. If absent, webhooks are
    /// left out.
    pub address: Option<&'a str>,
    /// The tenant's app by name, and the key of its webhook address.
    pub app: Option<&'a (String, String)>,
    /// Whether to switch off the webhooks of Omneo's own app for Shopify.
    pub leave_official: bool,
}

/// The manifest of a tenant's rules, and the time zone in them. A rules file need not have a time zone yet.
pub async fn of_rules(rules: &RulesFrom) -> anyhow::Result<(Manifest, Zone)> {
    let (bytes, name, file) = match rules {
        RulesFrom::Component(path) => (bake::read_component(path)?, format!("plugin `{}`", path.display()), None),
        RulesFrom::Deployed => bail!("its rules were activated over the admin API, not named in the configuration"),
        RulesFrom::File(path) => {
            let (name, text) = (path.display().to_string(), bake::read_rules(path)?);
            let (zone, text) = Zone::of_file(path, &text)?;
            let baked = bake::bake(&engine::building_engine()?, &bake::default_base()?, &name, &text).await;
            let baked = baked.map_err(|refused| anyhow::anyhow!("{refused}"))?;
            (baked.component, format!("the rules `{name}`"), Some(zone))
        }
    };
    let plugin = Plugin::load(&engine::engine()?, &bytes).context(name)?;
    let manifest = plugin.manifest().clone();
    let zone = file.unwrap_or_else(|| Zone::of_component(&manifest));
    Ok((manifest, zone))
}

/// Reads both sides, and gives for each wanted thing its state and the act that would bring it about. Changes nothing.
pub async fn plan(setup: &Setup<'_>) -> Vec<Step> {
    let Setup { client, tenant, manifest, zone, address, app, leave_official } = setup;
    let wanted = wanted::wanted(&tenant.name, manifest, *address, *app);
    let (shop, omneo) = tokio::join!(
        async {
            match &wanted.shopify {
                Some(wanted) => Some(there::shopify(client, &tenant.shopify, &wanted.api_version).await),
                None => None,
            }
        },
        async {
            match &wanted.omneo {
                Some(_) => Some(there::omneo(client, &tenant.omneo).await),
                None => None,
            }
        }
    );
    let mut steps = vec![];
    if let (Some(wanted), Some(shop)) = (&wanted.shopify, &shop) {
        steps.extend(difference::shopify(wanted, shop));
        if let Ok(there::Shop { facts, .. }) = shop {
            steps.extend(zone::steps(zone, &facts.timezone, &facts.currency));
        }
    }
    if let (Some(wanted), Some(omneo)) = (&wanted.omneo, &omneo) {
        steps.extend(difference::omneo(wanted, omneo, *leave_official));
    }
    steps
}

/// Logs what a tenant lacks. Called when the host has just started; no answer of a target stops anything.
pub async fn warn_of_missing(setup: &Setup<'_>) {
    let tenant = &setup.tenant.name;
    let mut is_whole = setup.address.is_some();
    if !is_whole {
        tracing::warn!(tenant, "webhooks are not looked at: `public_url` is not set in the configuration");
    }
    for step in plan(setup).await {
        let missing = match step.state {
            State::There | State::Note | State::Offer => continue,
            State::Create | State::Change => {
                let verb = if setup.tenant.rules == RulesFrom::Deployed { "tenant setup" } else { "setup" };
                format!("`tandem {verb} {tenant}` makes it")
            }
            State::Missing => step.hint.unwrap_or_default(),
        };
        is_whole = false;
        tracing::warn!(tenant, "missing on {}: {}; {missing}", step.side, step.what);
    }
    if is_whole {
        tracing::info!(tenant, "what the rules need is there on both sides");
    }
}
