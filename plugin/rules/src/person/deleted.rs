//! What a customer's deletion in Shopify does to the profile. The customer stays known as deleted, so that nothing late
//! brings it back. Knows nothing of deletions in Omneo.

use tandem_sdk::{End, Ending, done, skipped};

use super::fields::Side;
use super::omneo::{self, Identity};
use super::run::Run;
use crate::settings::OnCustomerDelete;

/// `customers/delete`, whose body says nothing but who it was.
pub async fn customer(mut run: Run<'_>, customer: u64) -> Ending {
    let handle = &run.settings.identity_handle;
    let linked = run.memory.link.as_ref().filter(|link| link.customer == customer).map(|link| link.profile.clone());
    let wish = run.settings.people.on_customer_delete;
    run.memory.gone.customer = Some(customer);
    if wish == OnCustomerDelete::Ignore {
        return Ok(left(&run, "the profile is left as it is: `people.on_customer_delete = \"ignore\"`"));
    }
    let profile = match linked {
        Some(profile) => Some(profile),
        None => omneo::search(run.cx, handle, customer).await?,
    };
    let Some(profile) = profile else {
        return Ok(left(&run, &format!("customer {customer} is deleted in Shopify, and no profile has its identity")));
    };
    let Some(identities) = omneo::identities(run.cx, &profile, handle).await? else {
        run.memory.gone.profile = Some(profile.clone());
        return Ok(left(&run, &format!("customer {customer} and profile {profile} are both deleted")));
    };
    let (own, others): (Vec<_>, Vec<_>) = identities.into_iter().partition(|identity| identity.customer == customer);
    if own.is_empty() {
        return Ok(left(
            &run,
            &format!("profile {profile} does not have the identity of customer {customer} any more"),
        ));
    }
    let what = match others.first() {
        None if wish == OnCustomerDelete::Delete => {
            omneo::delete(run.cx, &profile).await?;
            run.memory.gone.profile = Some(profile.clone());
            format!("profile {profile} deleted (`people.on_customer_delete = \"delete\"`)")
        }
        // Two customers can have been merged in Shopify; the other one still is this profile.
        other => {
            for Identity { id, .. } in &own {
                omneo::forget_identity(run.cx, &profile, id).await?;
            }
            let also = other.map_or(String::new(), |other| format!(", which stays customer {}'s", other.customer));
            format!("the identity of customer {customer} taken from profile {profile}{also}")
        }
    };
    let reason = format!("customer {customer} is deleted in Shopify; to {}: {what}", Side::Omneo);
    Ok(done(reason).remember(run.memory.write()))
}

fn left(run: &Run, reason: &str) -> End {
    skipped(reason).remember(run.memory.write())
}
