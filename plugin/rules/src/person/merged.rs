//! Merges of people: of two customers in Shopify, of two profiles in Omneo. Finds out who is one person now and which
//! customer speaks for the profile; the values of the two halves are left to the merge of fields.

use tandem_sdk::{End, Ending, View, join, refused, skipped};

use super::fields::{Core, Side};
use super::memory::Memory;
use super::merge::RunOver;
use super::omneo::{self, Profile, Reading};
use super::owner;
use super::put::Asked;
use super::run::Run;
use super::shopify::{self, Customer, MergeRequest};
use super::who::{self, Met};
use super::{agree, in_step};
use crate::key::{CUSTOMER_DELETED, CUSTOMER_KEPT, customer_name};
use crate::settings::{OnMerge, OnProfileMerge};

/// Handles `customers/merge`. The kept customer speaks for the profile of the deleted one, unless the kept customer has
/// a profile already. The memory only spares look-ups: `customers/delete` may have come first, or nothing may be
/// remembered.
pub async fn customers(mut run: Run<'_>, body: &View<'_>) -> Ending {
    let (kept, deleted) = (body.id(CUSTOMER_KEPT)?, body.id(CUSTOMER_DELETED)?);
    if let Some(reason) = is_not_over(&run, body, kept).await? {
        return Ok(skipped(reason));
    }
    run.memory = Memory::read_of(run.cx.memory(), |link| link.customer == kept);
    let (own, theirs) = join(profile_of(&run, kept), profile_of(&run, deleted)).await;
    let (own, theirs) = (own?, theirs?);
    let customer = not_doubted(&mut run, (kept, deleted), [&own, &theirs]).await?;
    let (own, theirs) = (own.map(|found| found.profile), theirs.map(|found| found.profile));
    if run.memory.link.as_ref().is_some_and(|link| link.customer == deleted) {
        run.memory.forget();
    }
    run.memory.merged.customers.remove(&kept);
    run.memory.merged.customers.insert(deleted);
    run.retire(customer_name(deleted));
    match (own, theirs) {
        (Some(own), Some(theirs)) if own.id != theirs.id => {
            two_profiles(run, (kept, deleted), own, theirs, customer).await
        }
        (Some(profile), _) | (None, Some(profile)) => speaks(run, (kept, deleted), profile, customer).await,
        (None, None) => {
            let reason = format!("{}, and no profile has the identity of either", was_merged(kept, deleted));
            Ok(skipped(reason).remember(run.memory.write()))
        }
    }
}

fn was_merged(kept: u64, deleted: u64) -> String {
    format!("customer {deleted} was merged into customer {kept} in Shopify")
}

/// Why there is nothing to do now, or ever. Only a completed merge counts.
async fn is_not_over(run: &Run<'_>, body: &View<'_>, kept: u64) -> Result<Option<String>, End> {
    let status = body.opt_text("/status")?.unwrap_or("unknown");
    let job = body.opt_text("/admin_graphql_api_job_id")?;
    match (status, job) {
        ("completed", _) => Ok(None),
        ("requested" | "in_progress", Some(job)) => {
            let now = shopify::merge_status(run.cx, job).await?;
            match now {
                Some((status, result)) if status == "COMPLETED" && result == Some(kept) => Ok(None),
                Some((status, _)) => Ok(Some(format!("the merge of two customers is not completed: it is `{status}`"))),
                None => Ok(Some("Shopify does not know the merge of two customers any more".to_owned())),
            }
        }
        _ => {
            let why: Vec<_> =
                body.list("/errors")?.iter().filter_map(|e| e.opt_text("/message").ok().flatten()).collect();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(" ")) };
            Ok(Some(format!("the merge of two customers did not complete: its status is `{status}`{why}")))
        }
    }
}

/// A profile that is to be a customer's.
struct Found {
    profile: Profile,
    /// Whether the memory says so. Otherwise only an identity does.
    is_remembered: bool,
}

/// Ends the run if an identity has led to a profile that nothing else says is the customer's. The deleted customer cannot
/// be read any more, so it is the kept one with whom the profile has to agree; the names of both are one entity's. Gives that customer, if it was read.
async fn not_doubted(
    run: &mut Run<'_>,
    (kept, deleted): (u64, u64),
    found: [&Option<Found>; 2],
) -> Result<Option<Customer>, End> {
    let hints = [kept, deleted].into_iter().zip(found).filter_map(|(of, found)| Some((of, found.as_ref()?)));
    let mut hints: Vec<_> = hints.filter(|(_, found)| !found.is_remembered).collect();
    if !hints.is_empty() {
        let linked = who::linked(run.cx, kept).await?;
        hints.retain(|(_, found)| !linked.contains(&found.profile.id));
    }
    if hints.is_empty() {
        return Ok(None);
    }
    let customer = read(run, kept).await?;
    match hints.iter().find(|(_, found)| !owner::is_same(&customer, &found.profile)) {
        Some((of, found)) => {
            Err(refused(format!("{}; {}", was_merged(kept, deleted), owner::doubt(*of, &found.profile.id))))
        }
        None => Ok(Some(customer)),
    }
}

async fn read(run: &mut Run<'_>, kept: u64) -> Result<Customer, End> {
    match shopify::person(run, kept).await? {
        Some(customer) => Ok(customer),
        None => Err(run.end_without_customer(kept)),
    }
}

/// A customer's profile, if it is not deleted: the remembered one, or else the one with the customer's identity.
async fn profile_of(run: &Run<'_>, customer: u64) -> Result<Option<Found>, End> {
    let links = Memory::links(run.cx.memory());
    let known = links.into_iter().find(|link| link.customer == customer).map(|link| link.profile);
    let is_own = run.memory.link.as_ref().is_some_and(|link| link.customer == customer);
    let reading = Reading { second_phone: is_own && run.memory.second_phone, ..run.reading() };
    if let Some(known) = known
        && let Some(profile) = omneo::profile(run.cx, &known, reading).await?
    {
        return Ok(Some(Found { profile, is_remembered: true }));
    }
    let Some(found) = omneo::search(run.cx, reading.handle, customer).await? else { return Ok(None) };
    let profile = omneo::profile(run.cx, &found, reading).await?;
    Ok(profile.map(|profile| Found { profile, is_remembered: false }))
}

/// Makes the kept customer speak for the profile, if it does not already.
async fn speaks(
    mut run: Run<'_>,
    (kept, deleted): (u64, u64),
    mut profile: Profile,
    customer: Option<Customer>,
) -> Ending {
    let is_linked =
        |run: &Run| run.memory.link.as_ref().is_some_and(|link| link.customer == kept && link.profile == profile.id);
    if is_linked(&run) {
        let reason = format!("{}, who stays linked to profile {}", was_merged(kept, deleted), profile.id);
        return Ok(skipped(reason).remember(run.memory.write()));
    }
    let customer = match customer {
        Some(customer) => customer,
        None => read(&mut run, kept).await?,
    };
    let others: Vec<_> = profile.customers.iter().copied().filter(|other| ![kept, deleted].contains(other)).collect();
    who::nobody_else_speaks(&run, &profile.id, &others).await?;
    who::meet(&mut run, &customer, &profile.id).await?;
    who::identify(&mut run, customer.id, &mut profile).await?;
    run.note(format!("{}, who speaks for profile {}", was_merged(kept, deleted), profile.id));
    in_step(run, Met { customer, profile }, &RunOver::new(), &Asked::default()).await
}

/// Handles two customers who both have a profile. The tenant decides which profile should carry the person's points.
async fn two_profiles(
    mut run: Run<'_>,
    (kept, deleted): (u64, u64),
    own: Profile,
    theirs: Profile,
    customer: Option<Customer>,
) -> Ending {
    let were = was_merged(kept, deleted);
    let both = format!("{were}; they are linked to profiles {} and {}", own.id, theirs.id);
    match run.settings.people.on_merge {
        OnMerge::Link => {
            run.link(kept, &own.id);
            run.memory.merged.profiles.insert(theirs.id.clone());
            let reason = format!("{both}, which both stay (`people.on_merge = \"link\"`); the first is kept in step");
            Ok(skipped(reason).remember(run.memory.write()))
        }
        OnMerge::Ask => Err(refused(format!(
            "{both}; merge them in Omneo, or take the identity of customer {deleted} from the second \
             (`people.on_merge = \"ask\"`)"
        ))),
        OnMerge::Merge => {
            let others: Vec<_> =
                theirs.customers.iter().copied().filter(|other| ![kept, deleted].contains(other)).collect();
            if let Some(other) = who::first_living(&run, &others).await? {
                return Err(refused(format!("{both}; the second is also customer {other}'s, so they are not merged")));
            }
            merge_profiles(&mut run, &theirs.id, &own.id).await?;
            let customer = match customer {
                Some(customer) => customer,
                None => read(&mut run, kept).await?,
            };
            run.link(kept, &own.id);
            let Some(profile) = omneo::profile(run.cx, &own.id, run.reading()).await? else {
                return Err(refused(format!("profile {} is gone after the merge of {} into it", own.id, theirs.id)));
            };
            run.note(were);
            in_step(run, Met { customer, profile }, &RunOver::new(), &Asked::default()).await
        }
    }
}

/// Merges two profiles. Omneo's answer does not distinguish a merge that was already made from one that is impossible.
/// So the source is read afterwards: a merge deletes it.
async fn merge_profiles(run: &mut Run<'_>, source: &str, destination: &str) -> Result<(), End> {
    if !omneo::merge(run.cx, source, destination).await?
        && omneo::profile(run.cx, source, run.reading()).await?.is_some()
    {
        return Err(refused(format!("Omneo did not merge profile {source} into {destination}; merge them there")));
    }
    run.wrote(Side::Omneo, format!("profile {source} merged into {destination}"));
    Ok(())
}

/// Handles `profile.merged`: the profile has the identities of both. The customer that spoke for it goes on; the others
/// are noted, and are merged in Shopify only if the settings say so.
pub async fn profiles(mut run: Run<'_>, profile: Profile) -> Ending {
    let id = profile.id.clone();
    run.memory.merged.profiles.remove(&id);
    let linked = run.memory.link.clone().filter(|link| link.profile == id).map(|link| link.customer);
    let customer = match linked {
        Some(customer) => shopify::person(&run, customer).await?,
        None => None,
    };
    let met = match customer {
        Some(customer) => Met { customer, profile },
        None => {
            run.memory.forget();
            who::of_profile(&mut run, profile, true).await?
        }
    };
    let speaker = met.customer.id;
    let has_email = met.customer.snapshot.fields.core(Core::Email).is_some();
    let is_second = |other: &u64| *other != speaker && !run.memory.merged.customers.contains(other);
    let others: Vec<_> = met.profile.customers.iter().copied().filter(is_second).collect();
    let profile = met.profile.clone();
    agree(&mut run, met, &RunOver::new(), &Asked::default()).await?;
    for other in others {
        // Of a customer whom only an identity names, nobody knows whether it is the same person.
        if run.settings.people.on_profile_merge == OnProfileMerge::Merge
            && run.to_shopify
            && let Some(second) = shopify::person(&run, other).await?
            && who::is_theirs(&run, &second, &profile).await?
        {
            merge_customers(&mut run, other, speaker, has_email).await?;
        } else {
            run.note(format!(
                "profile {id} has the identity of customer {other} too; customer {speaker} speaks for it"
            ));
        }
    }
    Ok(run.end("nothing to do: both sides agree"))
}

/// Asks Shopify to merge two customers. Shopify does this in its own time, and reports the outcome with
/// `customers/merge`.
async fn merge_customers(run: &mut Run<'_>, other: u64, speaker: u64, has_email: bool) -> Result<(), End> {
    match shopify::merge(run.cx, MergeRequest { gone: other, kept: speaker, by_email: has_email }).await? {
        Ok(job) => {
            let job = job.map_or(String::new(), |job| format!(" (job {job})"));
            run.wrote(Side::Shopify, format!("the merge of customer {other} into {speaker} asked for{job}"));
        }
        Err(why) => run.note(format!("Shopify does not merge customers {other} and {speaker}: `{why}`")),
    }
    Ok(())
}
