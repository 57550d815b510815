//! What a deletion on one side does to the other half. A deleted person is remembered as such, so that a late event
//! does not create the person again.

use tandem_sdk::{End, Ending, done, skipped};

use super::fields::Side;
use super::omneo::{self, Identity};
use super::run::Run;
use super::shopify;
use super::tags;
use crate::key::profile_name;
use crate::settings::{OnCustomerDelete, OnProfileDelete};

/// Handles `customers/delete`, whose body holds only the customer's id.
pub async fn customer(mut run: Run<'_>, customer: u64) -> Ending {
    let handle = &run.settings.identity_handle;
    let linked = run.memory.link.as_ref().filter(|link| link.customer == customer).map(|link| link.profile.clone());
    let wish = run.settings.people.on_customer_delete;
    run.customer_is_gone(customer);
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
        run.profile_is_gone(&profile);
        return Ok(left(&run, &format!("customer {customer} and profile {profile} are both deleted")));
    };
    let (own, others): (Vec<_>, Vec<_>) = identities.into_iter().partition(|identity| identity.customer == customer);
    if own.is_empty() {
        return Ok(left(
            &run,
            &format!("profile {profile} does not have the identity of customer {customer} any more"),
        ));
    }
    // The link is kept without the identity, so that a change of the profile does not create the deleted customer
    // again.
    if others.is_empty() && run.memory.link.is_none() {
        run.link(customer, &profile);
        run.customer_is_gone(customer);
    }
    let what = match others.first() {
        None if wish == OnCustomerDelete::Delete => {
            omneo::delete(run.cx, &profile).await?;
            run.profile_is_gone(&profile);
            format!("profile {profile} deleted (`people.on_customer_delete = \"delete\"`)")
        }
        // After a merge in Shopify, a profile can have two customers; it still belongs to the other one.
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

/// Handles a profile that is gone. Its customer is never deleted. If the settings say so, the customer loses what came
/// from the profile, but only when the event itself says that the profile was deleted. If the profile had no customer,
/// its deletion does not keep any customer from getting a new one.
pub async fn profile(mut run: Run<'_>, profile: &str, is_told: bool, was_nobodys: bool) -> Ending {
    let end = if was_nobodys {
        run.retire(profile_name(profile));
        skipped(format!("profile {profile} is deleted in Omneo; it had no customer"))
    } else {
        run.end_without_profile(profile)
    };
    if !is_told || !run.to_shopify || run.settings.people.on_profile_delete != OnProfileDelete::Clean {
        return Err(end);
    }
    let customer = match run.memory.link.clone().filter(|link| link.profile == profile) {
        Some(link) => shopify::person(&run, link.customer).await?,
        None => shopify::find_by_profile(&run, profile).await?,
    };
    // A customer whose metafield names another profile by now belongs to that profile.
    let Some(customer) = customer.filter(|customer| customer.profile.as_deref().is_none_or(|other| other == profile))
    else {
        return Err(end);
    };
    let ours = |tag: &&String| tags::has_prefix(&run.settings.tags, tag);
    let remove: Vec<_> = customer.tags.iter().filter(ours).cloned().collect();
    let mut errors = shopify::tags(run.cx, customer.id, &[], &remove).await?;
    let has_link = customer.profile.is_some();
    if has_link {
        errors.extend(shopify::clear_ours(&run, customer.id).await?);
    }
    match errors.first() {
        Some(error) => run.note(format!("Shopify did not accept all of it: `{}`", error.message)),
        None if has_link || !remove.is_empty() => {
            run.wrote(Side::Shopify, format!("customer {} cleaned of tags and metafields", customer.id));
        }
        None => {}
    }
    run.memory.tags.prefixed = None;
    run.note(format!("profile {profile} is deleted in Omneo (`people.on_profile_delete = \"clean\"`)"));
    Ok(run.end(&format!("nothing of Omneo's is left on customer {}", customer.id)))
}

fn left(run: &Run, reason: &str) -> End {
    skipped(reason).remember(run.memory.write())
}
