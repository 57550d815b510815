//! Set-up of a tenant: what the rules need on both sides, what is there, the difference, and making it so.
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

/// Whom to set up, and with what.
pub struct Setup<'a> {
    pub client: &'a Client,
    pub tenant: &'a Tenant,
    pub manifest: &'a Manifest,
    pub zone: Zone,
    /// Where webhooks reach this host from outside, without a `/` at its end. Without it they are left out.
    pub address: Option<&'a str>,
    /// The app that the tenant is in, by name, and the key of its address for webhooks.
    pub app: Option<&'a (String, String)>,
    /// Whether the webhooks of Omneo's own app for Shopify are switched off.
    pub leave_official: bool,
}

/// The manifest of a tenant's rules, and what they say of the time zone. A rules file needs none yet.
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

/// Reads both sides and says of each thing that is wanted how it stands, and what would make it so. Changes nothing.
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

/// Says in the log what a tenant lacks. For a host that has just started: whatever a target answers, nothing stops.
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
