//! Finds the other half of a person who is seen for the first time, or has it created, and links the two. The values
//! that both halves have are left to the merge of fields.

use tandem_sdk::{Cx, End, join, refused, skipped};

use super::born::{Created, create_customer, create_profile};
use super::fields::{Core, Field, Side};
use super::omneo::{self, Owner, Profile};
use super::owner;
use super::put::somebody_else;
use super::run::Run;
use super::shopify::{self, Customer, is_id};
use crate::key::{PROFILES, customer_name, profile_name};
use crate::mapping::is_e164;

/// How often the creation of a profile is tried. Somebody else may create the same person at the same moment, or an
/// answer may be lost; each time, the next look finds what exists.
const CREATE_TRIES: usize = 3;

/// Why a customer gets no profile.
pub const NO_EMAIL: &str = "the customer has no e-mail, and Omneo requires one; it is tried again when there is one";

/// The two halves of a person, both read.
pub struct Met {
    pub customer: Customer,
    pub profile: Profile,
}

/// Finds the profile of a customer without a link: by identity, by the customer's metafield, by e-mail, or else by
/// creating one.
pub async fn of_customer(run: &mut Run<'_>, id: u64) -> Result<Met, End> {
    let search = omneo::search(run.cx, &run.settings.identity_handle, id);
    let (customer, found) = join(shopify::person(run, id), search).await;
    let Some(customer) = customer? else {
        return Err(run.end_without_customer(id));
    };
    match found? {
        Some(profile) => by_identity(run, customer, profile).await,
        None => without_identity(run, customer).await,
    }
}

/// Finds the profile of a customer whose identity no profile has: by the customer's metafield, by e-mail, or else by
/// creating one. Sign-ups and purchases both come here, so that the same questions are asked about both.
pub async fn without_identity(run: &mut Run<'_>, customer: Customer) -> Result<Met, End> {
    let (handle, id) = (&run.settings.identity_handle, customer.id);
    if let Some(linked) = customer.profile.clone().filter(|id| is_id(id)) {
        match omneo::profile(run.cx, &linked, run.reading()).await? {
            Some(profile) => return by_metafield(run, customer, profile).await,
            None if run.settings.people.recreate_deleted => run.retire(profile_name(&linked)),
            None => return Err(run.end_without_profile(&linked)),
        }
    }
    let fields = &customer.snapshot.fields;
    let Some(email) = fields.plain(Core::Email) else {
        return Err(skipped(NO_EMAIL));
    };
    let phone = fields.plain(Core::Phone).filter(|phone| is_e164(phone));
    let mut last = String::new();
    for _ in 0..CREATE_TRIES {
        let (email_owner, phone_owner) = omneo::availability(run.cx, Some(&email), phone.as_deref()).await?;
        match email_owner {
            Owner::Profile(profile) => return by_email(run, customer, profile).await,
            Owner::Somebody => {
                return Err(refused("the customer's e-mail is taken in Omneo, which does not say by whom"));
            }
            Owner::Nobody => {}
        }
        let second = somebody_else(&phone_owner, "").is_some();
        match create_profile(run, &customer, phone.as_deref(), second).await? {
            Created::Done(profile) => return Ok(Met { customer, profile: *profile }),
            Created::Taken(why) if why == last => break,
            Created::Taken(why) => last = why,
            Created::Unknown => {
                if let Some(profile) = omneo::search(run.cx, handle, id).await? {
                    return after_lost_answer(run, customer, profile).await;
                }
                last = "nobody answered its creation".to_owned();
                continue;
            }
        }
        if let Some(profile) = omneo::search(run.cx, handle, id).await? {
            return by_identity(run, customer, profile).await;
        }
    }
    Err(refused(format!("the profile can neither be created nor found: {last}, and no profile shows up that has it")))
}

async fn by_identity(run: &mut Run<'_>, customer: Customer, id: String) -> Result<Met, End> {
    let Some(profile) = omneo::profile(run.cx, &id, run.reading()).await? else {
        return Err(run.end_without_profile(&id));
    };
    let earlier: Vec<_> = profile.customers.iter().take_while(|other| **other != customer.id).copied().collect();
    nobody_else_speaks(run, &id, &earlier).await?;
    if !is_theirs(run, &customer, &profile).await? {
        return Err(refused(owner::doubt(customer.id, &id)));
    }
    meet(run, &customer, &id).await?;
    Ok(Met { customer, profile })
}

/// Ends the run if another customer speaks for the profile. One customer speaks for a profile: the linked one while it
/// exists, or else the first of these that does.
pub async fn nobody_else_speaks(run: &Run<'_>, profile: &str, others: &[u64]) -> Result<(), End> {
    let linked = run.memory.link.iter().filter(|link| link.profile == profile).map(|link| link.customer);
    let others: Vec<_> = linked.chain(others.iter().copied()).collect();
    match first_living(run, &others).await? {
        Some(speaker) => Err(skipped(format!("customer {speaker} speaks for profile {profile}"))),
        None => Ok(()),
    }
}

/// Continues after a lost answer. The profile with the identity is the one that was created, so both sides began with
/// the values that were sent. A name that differs by case only is Omneo's notation; another name in a profile that was
/// edited since is an edit. Within the first second the two cannot be distinguished, and the names are merged as when
/// two existing halves meet.
async fn after_lost_answer(run: &mut Run<'_>, customer: Customer, id: String) -> Result<Met, End> {
    let met = by_identity(run, customer, id).await?;
    let is_name = |field: &Field| field.is(Core::FirstName) || field.is(Core::LastName);
    for field in run.settings.mapping.fields().filter(is_name) {
        let (sent, shown) = (met.customer.snapshot.fields.value(field), met.profile.snapshot.fields.value(field));
        if sent.map(folded) == shown.map(folded) {
            run.memory.settle(field, sent, shown);
        } else if sent.is_some() && shown.is_some() && met.profile.snapshot.is_edited() {
            run.memory.settle(field, sent, sent);
        }
    }
    Ok(met)
}

/// A name without case, letter by letter, since a sigma has two lower-case forms.
fn folded(name: &str) -> String {
    name.trim().chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Handles a customer whose metafield names the profile. The metafield is written when the customer is created from a
/// profile, and the identity only afterwards.
async fn by_metafield(run: &mut Run<'_>, customer: Customer, mut profile: Profile) -> Result<Met, End> {
    let id = profile.id.clone();
    let others: Vec<_> = profile.customers.iter().filter(|other| **other != customer.id).copied().collect();
    nobody_else_speaks(run, &id, &others).await?;
    run.link(customer.id, &id);
    identify(run, customer.id, &mut profile).await?;
    Ok(Met { customer, profile })
}

async fn by_email(run: &mut Run<'_>, customer: Customer, id: String) -> Result<Met, End> {
    let Some(mut profile) = omneo::profile(run.cx, &id, run.reading()).await? else {
        return Err(refused(format!("the customer's e-mail belongs to profile {id}, which is deleted")));
    };
    let others: Vec<_> = profile.customers.iter().filter(|other| **other != customer.id).copied().collect();
    if let Some(other) = first_living(run, &others).await? {
        return Err(refused(format!("the customer's e-mail belongs to profile {id}, which is customer {other}'s")));
    }
    meet(run, &customer, &id).await?;
    identify(run, customer.id, &mut profile).await?;
    Ok(Met { customer, profile })
}

/// Finds the customer of a profile without a link: by identity, by the customer's metafield, by e-mail, or else by
/// creating one. `is_merged`: another profile, of which Omneo says no more, has just gone into this one.
pub async fn of_profile(run: &mut Run<'_>, mut profile: Profile, is_merged: bool) -> Result<Met, End> {
    let mut doubted = None;
    for id in few(&profile.customers)?.to_vec() {
        let Some(customer) = living(run, id).await? else { continue };
        if is_theirs(run, &customer, &profile).await? || is_merged && has_lost(run, id, &profile.id).await? {
            meet(run, &customer, &profile.id).await?;
            return Ok(Met { customer, profile });
        }
        doubted.get_or_insert(id);
    }
    if let Some(customer) = doubted {
        return Err(refused(owner::doubt(customer, &profile.id)));
    }
    let fields = &profile.snapshot.fields;
    let Some(email) = fields.plain(Core::Email) else {
        return Err(skipped("the profile has no e-mail"));
    };
    let phone = fields.plain(Core::Phone).filter(|phone| is_e164(phone));
    let by_phone = async {
        match &phone {
            Some(phone) => shopify::find_by_phone(run, phone).await,
            None => Ok(None),
        }
    };
    let by_others = join(shopify::find_by_email(run, &email), by_phone);
    let (by_profile, (by_email, by_phone)) = join(shopify::find_by_profile(run, &profile.id), by_others).await;
    let (by_email, phone_owner) = (by_email?, by_phone?.map(|customer| customer.id));
    if let Some(customer) = by_profile?.or(by_email) {
        return found(run, customer, profile).await;
    }
    if let Some(deleted) = profile.customers.first().filter(|_| !run.settings.people.recreate_deleted) {
        return Err(run.end_without_customer(*deleted));
    }
    match create_customer(run, &profile, phone, phone_owner).await? {
        Some(customer) => {
            identify(run, customer.id, &mut profile).await?;
            Ok(Met { customer, profile })
        }
        // Somebody else has just created the customer.
        None => match shopify::find_by_email(run, &email).await? {
            Some(customer) => found(run, customer, profile).await,
            None => {
                Err(refused("the customer can neither be created nor found: Shopify says that its e-mail is taken"))
            }
        },
    }
}

/// Whether a profile that has a customer's identity is that customer's: by what the two show, or by what events have shown
/// before.
pub async fn is_theirs(run: &Run<'_>, customer: &Customer, profile: &Profile) -> Result<bool, End> {
    Ok(owner::is_same(customer, profile) || linked(run.cx, customer.id).await?.contains(&profile.id))
}

/// Whether a customer was linked to another profile that is gone now. A merge takes the identities of that profile along.
async fn has_lost(run: &Run<'_>, customer: u64, found: &str) -> Result<bool, End> {
    let linked = linked(run.cx, customer).await?;
    let mut gone = false;
    for id in linked.iter().filter(|id| *id != found) {
        gone |= omneo::profile(run.cx, id, run.reading()).await?.is_none();
    }
    Ok(gone)
}

/// The profiles of which events have shown that they are the customer's, as the host knows them.
pub async fn linked(cx: &Cx, customer: u64) -> Result<Vec<String>, End> {
    let names = cx.names_of(&customer_name(customer)).await?;
    Ok(names.iter().filter_map(|name| name.strip_prefix(PROFILES)).map(str::to_owned).collect())
}

/// Handles a customer that was found by its data. It may belong to another profile already.
async fn found(run: &mut Run<'_>, customer: Customer, mut profile: Profile) -> Result<Met, End> {
    let owner = omneo::search(run.cx, &run.settings.identity_handle, customer.id).await?;
    if let Some(other) = owner.as_ref().filter(|owner| **owner != profile.id) {
        return Err(refused(format!("customer {} has this e-mail, and belongs to profile {other}", customer.id)));
    }
    meet(run, &customer, &profile.id).await?;
    if owner.is_none() {
        identify(run, customer.id, &mut profile).await?;
    }
    Ok(Met { customer, profile })
}

/// Gives the profile the customer's identity, if it lacks it. If somebody else has done so meanwhile, that counts too.
pub async fn identify(run: &mut Run<'_>, customer: u64, profile: &mut Profile) -> Result<(), End> {
    if !run.to_omneo || profile.customers.contains(&customer) {
        return Ok(());
    }
    let handle = &run.settings.identity_handle;
    let Some(added) = omneo::identify(run.cx, &profile.id, handle, customer).await? else {
        return Err(vanished(run, customer, &profile.id));
    };
    match added {
        Ok(()) => run.wrote(Side::Omneo, format!("the identity of customer {customer}")),
        Err(words) => match omneo::search(run.cx, handle, customer).await? {
            Some(owner) if owner == profile.id => {}
            // The profile that had the identity may be this one, and may have been deleted since.
            None if omneo::profile(run.cx, &profile.id, run.reading()).await?.is_none() => {
                return Err(vanished(run, customer, &profile.id));
            }
            owner => {
                let why = owner.map_or(words, |owner| format!("it belongs to profile {owner}"));
                let profile = &profile.id;
                return Err(refused(format!(
                    "profile {profile} cannot have the identity of customer {customer}: {why}"
                )));
            }
        },
    }
    profile.customers.push(customer);
    Ok(())
}

/// The ending when the profile turns out to be deleted. A customer that was only about to be linked to it keeps nothing
/// of it.
fn vanished(run: &mut Run, customer: u64, profile: &str) -> End {
    if !run.is_new_link {
        return run.end_without_profile(profile);
    }
    run.retire(profile_name(profile));
    run.memory.link = None;
    let why = format!("profile {profile} is deleted in Omneo; customer {customer} was about to be linked to it");
    match run.source {
        Side::Omneo => skipped(why),
        Side::Shopify => refused(format!("{why}: run the event again")),
    }
}

/// Writes the profile's id into the customer's metafield, if it is not there.
pub async fn link_back(run: &mut Run<'_>, customer: &Customer, profile: &Profile) -> Result<(), End> {
    if !run.to_shopify || customer.profile.as_ref() == Some(&profile.id) {
        return Ok(());
    }
    let errors = shopify::link(run.cx, customer.id, &profile.id).await?;
    match errors.first() {
        Some(error) => run.note(format!("the link in Shopify could not be written: `{}`", error.message)),
        None => run.wrote(Side::Shopify, format!("the link to profile {}", profile.id)),
    }
    Ok(())
}

/// Links a customer to a profile. The customer may have been linked to another profile before, which its metafield
/// still names. If that profile is gone, into this one or for good, its name is retired.
pub async fn meet(run: &mut Run<'_>, customer: &Customer, profile: &str) -> Result<(), End> {
    if let Some(earlier) = customer.profile.as_deref().filter(|earlier| *earlier != profile && is_id(earlier))
        && omneo::profile(run.cx, earlier, run.reading()).await?.is_none()
    {
        run.retire(profile_name(earlier));
    }
    run.link(customer.id, profile);
    Ok(())
}

/// A customer, if it exists. The name of a deleted customer is retired, which makes room for another.
async fn living(run: &Run<'_>, id: u64) -> Result<Option<Customer>, End> {
    let customer = shopify::person(run, id).await?;
    if customer.is_none() {
        run.retire(customer_name(id));
    }
    Ok(customer)
}

/// Customers whose identities one profile may have. Each is read, and a run has only so many reads.
const IDENTITIES_MAX: usize = 10;

/// The customers of a profile's identities, if they are so few that all can be looked at.
fn few(customers: &[u64]) -> Result<&[u64], End> {
    if customers.len() > IDENTITIES_MAX {
        return Err(refused(format!(
            "the profile has the identities of {} customers, of which no more than {IDENTITIES_MAX} are looked at; remove \
             those that are not its own, and run the event again",
            customers.len()
        )));
    }
    Ok(customers)
}

/// The first of these customers that exists.
pub async fn first_living(run: &Run<'_>, customers: &[u64]) -> Result<Option<u64>, End> {
    for id in few(customers)? {
        if living(run, *id).await?.is_some() {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}
