//! What a customer's erasure in Shopify does to the profile, if the settings ask for anything. The host redacts the
//! data that it holds itself in any case.

use tandem_sdk::{Ending, View, done, refused, skipped};

use super::memory::{Gone, Memory};
use super::omneo::{self, Owner};
use super::run::Run;
use super::who;
use crate::key::{customer_name, profile_name};

/// Handles `customers/redact`. The customer stays known as deleted, so that a late event does not bring the person
/// back. The profile is purged when `people.on_redact = "purge"`. Purging cannot be undone, so a profile that a living
/// customer has too is left for a person to decide.
pub async fn customer(mut run: Run<'_>, body: &View<'_>) -> Ending {
    let id = body.opt_id("/customer/id")?;
    if let Some(customer) = id {
        run.retire(customer_name(customer));
    }
    if !run.settings.people.purge_redacted || !run.to_omneo {
        let end = skipped("the profile is left as it is: `people.on_redact = \"ignore\"`, or nothing goes to Omneo");
        let Some(customer) = id else { return Ok(end) };
        let Memory { link, gone, .. } = run.memory;
        let gone = Gone { customer: Some(customer), ..gone };
        return Ok(end.remember(Memory { link, gone, ..Memory::default() }.write()));
    }
    let email = body.opt_text("/customer/email")?.map(str::trim).filter(|email| !email.is_empty());
    let linked = run.memory.link.as_ref().filter(|link| Some(link.customer) == id).map(|link| link.profile.clone());
    let handle = &run.settings.identity_handle;
    let mut profile = match (linked, id) {
        (Some(profile), _) => Some(profile),
        (None, Some(id)) => omneo::search(run.cx, handle, id).await?,
        (None, None) => None,
    };
    if let (None, Some(email)) = (&profile, email)
        && let (Owner::Profile(owner), _) = omneo::availability(run.cx, Some(email), None).await?
    {
        profile = Some(owner);
    }
    let merged = std::mem::take(&mut run.memory.merged);
    let gone = |profile| Memory { gone: Gone { customer: id, profile }, ..Memory::default() }.write();
    let Some(profile) = profile else {
        return Ok(skipped("the redacted customer has no profile").remember(gone(None)));
    };
    let Some(identities) = omneo::identities(run.cx, &profile, handle).await? else {
        run.retire(profile_name(&profile));
        let reason = format!("the redacted customer's profile {profile} is deleted already");
        return Ok(skipped(reason).remember(gone(Some(profile))));
    };
    let others = identities.iter().map(|identity| identity.customer);
    let others: Vec<_> = others.filter(|other| Some(*other) != id && !merged.customers.contains(other)).collect();
    if let Some(other) = who::first_living(&run, &others).await? {
        return Err(refused(format!(
            "profile {profile} of the redacted customer is also customer {other}'s, so it is not purged \
             (`people.on_redact`); erase in Omneo what is the redacted customer's"
        )));
    }
    run.learn(profile_name(&profile));
    omneo::purge(run.cx, &profile).await?;
    run.retire(profile_name(&profile));
    let reason = format!("to Omneo: profile {profile} purged (`people.on_redact = \"purge\"`)");
    Ok(done(reason).remember(gone(Some(profile))))
}
