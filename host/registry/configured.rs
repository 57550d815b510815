//! The version that the configuration names for a tenant: built and activated when the configuration has changed, or its
//! rules' base has under it. Otherwise what is active stays so, whoever made it so.

use anyhow::Context;

use super::{Prepared, Registry};
use crate::bake;
use crate::compile::Mistakes;
use crate::config::{RulesFrom, Tenant};
use crate::journal::{Activation, Cause, Configured};
use crate::rules;

impl Registry {
    /// Makes current what the configuration names, if that is new. Errors name the tenant.
    pub async fn configure(&self, tenant: &Tenant, relink: bool) -> anyhow::Result<()> {
        let of = || format!("the rules of tenant `{}`", tenant.name);
        let (journal, name) = (&self.0.journal, &tenant.name);
        let (path, is_component) = match &tenant.rules {
            RulesFrom::Component(path) => (path, true),
            RulesFrom::File(path) => (path, false),
            RulesFrom::Deployed => return Ok(()),
        };
        let file = if is_component { bake::read_component(path)? } else { bake::read_rules(path)?.into_bytes() };
        let base = if is_component { vec![] } else { bake::default_base()? };
        let source = rules::digest(&file);
        let base_digest = if is_component { String::new() } else { rules::digest(&base) };
        let (before, active) =
            journal.read(|reader| Ok((reader.configured(name)?, reader.active(name)?.map(|active| active.digest))))?;
        if let (Some(before), Some(active)) = (&before, &active)
            && before.source == source
            && (before.base == base_digest || before.digest != *active)
        {
            if before.digest != *active {
                tracing::warn!(
                    tenant = name,
                    version = active,
                    "runs another version than the configuration names: that was activated, or rolled back to, since"
                );
            }
            return Ok(());
        }
        let deployed = if is_component {
            self.deploy(name, &file, None).await
        } else {
            self.deploy_rules(name, &path.display().to_string(), &String::from_utf8_lossy(&file), None).await
        };
        let deployed = match deployed {
            // They say themselves where they stand.
            Err(error) if error.is::<Mistakes>() => return Err(error),
            deployed => deployed.with_context(of)?,
        };
        if !deployed.warnings.is_empty() {
            tracing::warn!(tenant = name, "the rules are in doubt:\n{}", deployed.warnings);
        }
        let plugin = self.plugin(&deployed.digest).await.with_context(of)?;
        let activation = Activation {
            relink,
            configured: Some(Configured { source, base: base_digest, digest: deployed.digest }),
            ..super::activation(name, &plugin, Cause::Configured)
        };
        self.make_current(Prepared { activation, plugin }).await?;
        Ok(())
    }
}
