//! Carries out the steps of a plan one after the other. Each result is shown at once, and a failure does not hold back
//! the other steps.

use super::ask::ask;
use super::difference::{Act, State, Step};
use super::{Setup, zone};

/// Carries out a step, and returns the step in its new state.
pub async fn apply(setup: &Setup<'_>, step: Step) -> Step {
    let (peer, version) = match step.side {
        "shopify" => (&setup.tenant.shopify, setup.manifest.api_version("shopify")),
        _ => (&setup.tenant.omneo, setup.manifest.api_version("omneo")),
    };
    match &step.act {
        None => step,
        Some(Act::Call(call)) => match ask(setup.client, peer, call, version).await {
            Ok(_) => step,
            Err(trouble) => Step::trouble(step.side, &step.what, &trouble),
        },
        Some(Act::Timezone(timezone)) => match zone::write(&setup.zone, timezone) {
            Ok(()) => step,
            Err(error) => {
                Step::new("rules", State::Missing, format!("{}: {error:#}", step.what)).hint("write it by hand")
            }
        },
    }
}
