//! People: keeps a Shopify customer and an Omneo profile in step, both ways.
//!
//! An event is only a hint that a person has changed. The state of each side is compared with the state last seen
//! there, and the changes of one side go to the other. Knows nothing of orders.

mod address;
mod addresses;
mod born;
mod buyer;
mod claims;
mod comms;
mod consent;
mod deleted;
mod documents;
mod fields;
mod mark;
mod memory;
mod merge;
mod merged;
mod news;
mod omneo;
mod owner;
mod put;
mod redacted;
mod run;
mod shopify;
mod tags;
mod who;
mod write;

use tandem_sdk::{Cx, End, Ending, Event, Json, join, skipped};

use crate::key::{self, customer_name, profile_name};
use crate::settings::Settings;
use fields::{Core, Field, Side, Snapshot};
use merge::{Limits, RunOver};
use news::{Extras, News};
use omneo::Profile;
use put::Asked;
use run::Run;
use shopify::Customer;
use who::Met;
use write::{Merged, Pair};

pub use buyer::{Buyer, of_guest};

/// The topics of the items that are people.
const PULLED_CUSTOMER: &str = "pull/customers";
const PULLED_PROFILE: &str = "pull/profiles";

/// How often, within one event, a customer is read again because somebody changed a metafield before it was written.
const LOOKS_MAX: usize = 3;

pub async fn from_shopify(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let body = payload.view();
    let started = || Run::new(cx, settings, event, Side::Shopify);
    match event.topic.as_str() {
        "customers/merge" => return merged::customers(started(), &body).await,
        "customers/redact" => return redacted::customer(started(), &body).await,
        _ => {}
    }
    let id = key::customer_id(&body)?;
    if event.topic == "customers/delete" {
        return deleted::customer(started(), id).await;
    }
    let listed = (event.topic == PULLED_CUSTOMER).then(|| Customer::read(&body, &settings.mapping)).transpose()?;
    let news = match &listed {
        Some(customer) => News::of_item(customer),
        None => News::read(&event.topic, &body, settings)?,
    };
    let mut run = started();
    if listed.is_some() && run.memory.gone.customer == Some(id) {
        // What is listed may be there all the same: a deletion was only seemingly seen.
        if shopify::person(&run, id).await?.is_none() {
            return Ok(skipped(format!("customer {id} is deleted in Shopify")));
        }
        run.memory.gone.customer = None;
        run.memory.forget();
    }
    if let Some(reason) = news.says_nothing(settings).or_else(|| known_as_deleted(&run, id)) {
        return Ok(skipped(reason));
    }
    let link = run.memory.link.clone().filter(|link| link.customer == id);
    // Only a whole body shows the addresses. At first contact through any other topic, they have to be read.
    run.addresses_due = match &news {
        // A list shows none.
        News::Body { .. } if listed.is_some() => settings.sync.addresses && link.is_none(),
        News::Body { .. } => settings.sync.addresses && !addresses::are_as_seen(&run.memory, &body)?,
        _ => link.is_none(),
    };
    if run.addresses_due {
        run.addresses_over = addresses::run_over(&run.memory, Side::Shopify, &body, settings.addresses_owner)?;
    }
    let Some(link) = link else {
        if event.topic == "customers/disable" {
            return Ok(skipped("the customer is not linked to a profile, and a disabled one gets none"));
        }
        if let News::Body { snapshot, .. } = &news
            && snapshot.fields.all().all(|(field, _)| !field.is(Core::Email))
        {
            let named = shopify::named_profile(&body)?;
            return without_protected_data(run, id, snapshot, named).await;
        }
        if let News::Body { snapshot, .. } = &news
            && listed.as_ref().is_none_or(|customer| customer.profile.is_none())
            && shopify::named_profile(&body)?.is_none()
            && has_no_email(&run, snapshot)
        {
            let end = skipped(who::NO_EMAIL);
            let waited = std::mem::replace(&mut run.memory.waits, true);
            return Ok(if waited { end } else { end.remember(run.memory.write()) });
        }
        return first_contact_of_customer(run, id).await;
    };
    let over = match &news {
        News::Body { snapshot, .. } => merge::run_over(&run.memory, Side::Shopify, snapshot, &settings.mapping),
        _ => RunOver::new(),
    };
    let clock = run.memory.clock.merged;
    // What waits for a chance gets one with every reading.
    let is_due = run.memory.waits || listed.is_some() && run.memory.is_due();
    if over.is_empty()
        && !is_due
        && let Some(reason) = news.is_old(&mut run)
    {
        let end = skipped(reason);
        return Ok(if run.memory.clock.merged > clock { end.remember(run.memory.write()) } else { end });
    }
    if let News::Body { snapshot, extras, is_whole } = &news
        && over.is_empty()
        && *is_whole
        && is_enough(&run, snapshot, extras)
    {
        return from_body(run, &link.profile, id, snapshot).await;
    }
    let (customer, profile) = join(shopify::person(&run, id), omneo::profile(cx, &link.profile, run.reading())).await;
    let Some(customer) = customer? else {
        return Err(run.end_without_customer(id));
    };
    match profile? {
        Some(profile) => in_step(run, Met { customer, profile }, &over, &Asked::default()).await,
        None => lost_profile(run, &link.profile, id).await,
    }
}

pub async fn from_omneo(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let body = payload.view();
    let id = key::profile_id(&body)?;
    if event.topic == "identity.created"
        && let Some(handle) = body.opt_text("/handle")?.filter(|handle| *handle != settings.identity_handle)
    {
        return Ok(skipped(format!("the identity's handle is `{handle}`, not `{}`", settings.identity_handle)));
    }
    let mut run = Run::new(cx, settings, event, Side::Omneo);
    let is_merge = event.topic == "profile.merged";
    let about_address = event.topic.starts_with("profile.address.");
    if is_merge {
        // What is remembered of the other half of the merge is ignored.
        run.memory = memory::Memory::read_of(cx.memory(), |link| link.profile == id);
    } else if run.memory.merged.profiles.contains(id) {
        return Ok(skipped(format!(
            "profile {id} was linked to a customer who was merged into one with another profile (`people.on_merge`)"
        )));
    }
    // The body of the event is the address. The addresses that are read show what became of it.
    if about_address {
        if !settings.sync.addresses {
            return Ok(skipped("switched off: `sync.addresses = false`"));
        }
        run.addresses_due = true;
        run.address_deleted = body.opt_loose("/id")?.filter(|_| event.topic == "profile.address.deleted");
    }
    // Only a profile event shows the profile. Its body is used only to find values that one of our writes ran over.
    let is_listed = event.topic == PULLED_PROFILE;
    let shown = if is_listed || (event.topic.starts_with("profile.") && !about_address) {
        Profile::read(&body, run.reading()).ok()
    } else {
        None
    };
    let over = match &shown {
        Some(shown) => merge::run_over(&run.memory, Side::Omneo, &shown.snapshot, &settings.mapping),
        None => RunOver::new(),
    };
    if settings.sync.addresses && shown.is_some() {
        run.addresses_over = addresses::run_over(&run.memory, Side::Omneo, &body, settings.addresses_owner)?;
    }
    // What is said of a profile that is gone is what it was before.
    let says_how_it_is = !is_merge && event.topic != "profile.deleted";
    if let Some(shown) =
        shown.as_ref().filter(|shown| says_how_it_is && over.is_empty() && says_all(&run, shown, is_listed))
    {
        if let Some(reason) = run.kept_from_shopify(shown) {
            return Ok(skipped(reason));
        }
        if run.memory.link.as_ref().is_some_and(|link| link.profile == id)
            && run.addresses_over.is_empty()
            && !run.memory.waits
            && !(is_listed && run.memory.is_due())
            && is_echo(&run, shown)
        {
            return Ok(skipped("echo: the profile is as it was last seen"));
        }
    }
    let Some(mut profile) = omneo::profile(cx, id, run.reading()).await? else {
        let has_no_customer = |shown: Profile| shown.shows_identities && shown.customers.is_empty();
        let was_nobodys = run.memory.link.is_none() && shown.is_some_and(has_no_customer);
        return deleted::profile(run, id, event.topic == "profile.deleted", was_nobodys).await;
    };
    let was_gone = run.memory.gone.profile.take_if(|gone| gone.as_str() == id).is_some();
    if settings.sync.consent && profile.comms.is_none() {
        profile.comms = Some(consent::read(&mut run, id).await?);
    }
    if let Some(reason) = run.kept_from_shopify(&profile) {
        return Ok(skipped(reason));
    }
    if is_merge {
        return merged::profiles(run, profile).await;
    }
    let Some(link) = run.memory.link.clone().filter(|link| link.profile == id) else {
        // A new customer has no addresses; a customer that was found may have some.
        let has_addresses = profile.has_addresses;
        let met = who::of_profile(&mut run, profile, false).await?;
        run.addresses_due |= has_addresses || !run.has_written(Side::Shopify);
        return in_step(run, met, &RunOver::new(), &Asked::default()).await;
    };
    if settings.sync.addresses {
        run.addresses_over = addresses::run_over(&run.memory, Side::Omneo, &body, settings.addresses_owner)?;
        run.addresses_due |= !run.addresses_over.is_empty();
    }
    if about_address && run.addresses_over.is_empty() && addresses::omneo_as_seen(&run, id).await? {
        run.addresses_due = false;
    }
    let is_due = run.memory.waits || is_listed && run.memory.is_due();
    if over.is_empty() && !run.addresses_due && !is_due && is_echo(&run, &profile) {
        let what = if about_address { "addresses are as they were" } else { "profile is as it was" };
        let end = skipped(format!("echo: the {what} last seen"));
        return Ok(if was_gone { end.remember(run.memory.write()) } else { end });
    }
    if run.memory.gone.customer == Some(link.customer) && !settings.people.recreate_deleted {
        return Err(run.end_without_customer(link.customer));
    }
    let asked = wanted(&run, &profile);
    let read = shopify::person_and_owners(&run, link.customer, asked.email.as_deref(), asked.phone.as_deref());
    let (customer, owners) = read.await?;
    match customer {
        Some(customer) => in_step(run, Met { customer, profile }, &over, &Asked { owners, ..asked }).await,
        None if settings.people.recreate_deleted => {
            run.retire(customer_name(link.customer));
            run.memory = memory::Memory::default();
            profile.customers.retain(|customer| *customer != link.customer);
            let met = who::of_profile(&mut run, profile, false).await?;
            in_step(run, met, &RunOver::new(), &Asked::default()).await
        }
        None => Err(run.end_without_customer(link.customer)),
    }
}

/// Handles the host's request to look at a person. If the person is linked, both sides are read and differences are put
/// right, among them the identity under the handle in force. If the event names only a customer, who has no profile,
/// the customer gets one, as at first contact.
pub async fn resync(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let mut run = Run::new(cx, settings, event, Side::Shopify);
    let Some(link) = run.memory.link.clone() else {
        let Some(customer) = key::lone_customer(&Json::payload(event)?.view())? else {
            return Ok(skipped("nothing is remembered that links a customer to a profile"));
        };
        if !run.to_omneo {
            return Ok(skipped("no profile is made or linked: `sync.shopify_to_omneo = false`"));
        }
        if let Some(reason) = known_as_deleted(&run, customer) {
            return Ok(skipped(reason));
        }
        run.addresses_due = settings.sync.addresses;
        return first_contact_of_customer(run, customer).await;
    };
    let (customer, profile) =
        join(shopify::person(&run, link.customer), omneo::profile(cx, &link.profile, run.reading())).await;
    let Some(customer) = customer? else {
        return Err(run.end_without_customer(link.customer));
    };
    let Some(mut profile) = profile? else {
        return lost_profile(run, &link.profile, link.customer).await;
    };
    run.link(customer.id, &profile.id);
    who::identify(&mut run, customer.id, &mut profile).await?;
    run.addresses_due = true;
    in_step(run, Met { customer, profile }, &RunOver::new(), &Asked::default()).await
}

/// Whether an item of a list is to be looked at again although it is the same: something is to be tried again, or the person has
/// no other half. Why not depends on others, who may change.
pub fn is_open(memory: &str) -> bool {
    let memory = memory::Memory::read(&[memory.to_owned()]);
    memory.link.is_none() || memory.is_due()
}

/// Whether a body says by itself that the customer cannot have a profile yet: it shows that there is no e-mail, which
/// Omneo requires. A customer with a phone number may still be known by its identity, and is looked for once.
fn has_no_email(run: &Run, body: &Snapshot) -> bool {
    let is_empty = |core: Core| body.fields.all().any(|(field, value)| field.is(core) && value.is_none());
    is_empty(Core::Email) && (is_empty(Core::Phone) || run.memory.waits)
}

/// Whether a body of Omneo shows all of the profile that is compared: the core fields, and those that were seen before. A
/// list shows no communication attributes, so they are not asked of an item.
fn says_all(run: &Run, shown: &Profile, is_listed: bool) -> bool {
    let fields = &shown.snapshot.fields;
    let mut wanted = run.settings.mapping.fields().filter(|field| field.goes_to(Side::Shopify));
    let is_shown = |field: Field| {
        let was_never_seen = field.core.is_none() && !run.memory.base.contains_key(field.name());
        fields.shown(field).is_some() || fields.failed().contains_key(&field) || was_never_seen
    };
    wanted.all(is_shown)
        && shown.tags.is_some()
        && (is_listed || shown.comms.is_some() || !run.settings.sync.consent)
        && run.memory.gone.profile.as_ref() != Some(&shown.id)
}

fn known_as_deleted(run: &Run, customer: u64) -> Option<String> {
    let gone = &run.memory.gone;
    if gone.customer == Some(customer) {
        return Some(format!("customer {customer} is deleted in Shopify"));
    }
    if run.memory.merged.customers.contains(&customer) {
        return Some(format!("customer {customer} was merged into another one in Shopify"));
    }
    // A person who was merged may have had a second profile, which does not belong to this customer.
    let is_own = |profile: &String| run.memory.link.as_ref().is_none_or(|link| link.profile == *profile);
    let recreates = run.settings.people.recreate_deleted;
    let profile = gone.profile.as_ref().filter(|profile| is_own(profile) && !recreates)?;
    Some(format!("profile {profile} is deleted in Omneo; it is not created again (`people.recreate_deleted`)"))
}

/// Handles a body without protected data: Shopify withholds it from this app, in answers as in webhooks. So the
/// customer is not read, and no profile is looked for by e-mail or created. The metafield in the body may still name a
/// profile; then the two are linked, and the data that the body does show is merged. An identity counts only if
/// events have linked the two before, since the body shows nothing that could agree with it.
async fn without_protected_data(mut run: Run<'_>, id: u64, body: &Snapshot, named: Option<String>) -> Ending {
    let found = omneo::search(run.cx, &run.settings.identity_handle, id).await?;
    const KEPT: &str = "the body has no `email` key: Shopify keeps protected customer data from this app";
    let profile = match (found, named) {
        (Some(found), named) if named.as_ref() == Some(&found) || who::linked(run.cx, id).await?.contains(&found) => {
            found
        }
        (Some(found), _) => return Ok(skipped(format!("{KEPT}; and {}", owner::doubt(id, &found)))),
        (None, Some(named)) => named,
        (None, None) => return Ok(skipped(format!("{KEPT}; and no profile has the customer's identity"))),
    };
    let Some(mut read) = omneo::profile(run.cx, &profile, run.reading()).await? else {
        return Err(run.end_without_profile(&profile));
    };
    let linked = run.memory.link.iter().filter(|link| link.profile == profile).map(|link| link.customer);
    if let Some(other) = linked.chain(read.customers.iter().copied()).next().filter(|other| *other != id) {
        return Ok(skipped(format!("customer {other} speaks for profile {profile}")));
    }
    run.link(id, &profile);
    who::identify(&mut run, id, &mut read).await?;
    run.note(format!("linked to profile {profile} without the protected data that Shopify keeps from this app"));
    merge_body(run, read, id, body).await
}

async fn first_contact_of_customer(mut run: Run<'_>, id: u64) -> Ending {
    let met = match who::of_customer(&mut run, id).await {
        Ok(met) => met,
        Err(end) if end.memory.is_none() => {
            run.memory.waits = true;
            return Err(end.remember(run.memory.write()));
        }
        Err(end) => return Err(end),
    };
    run.addresses_due |= met.profile.has_addresses;
    in_step(run, met, &RunOver::new(), &Asked::default()).await
}

/// The linked profile is not found. Either it was deleted, or it was merged into another profile, which then has the
/// customer's identity.
async fn lost_profile(mut run: Run<'_>, profile: &str, customer: u64) -> Ending {
    let now = omneo::search(run.cx, &run.settings.identity_handle, customer).await?;
    if now.is_none_or(|now| now == profile) && !(run.settings.people.recreate_deleted && run.to_omneo) {
        return Err(run.end_without_profile(profile));
    }
    run.retire(profile_name(profile));
    run.memory = memory::Memory::default();
    let met = who::of_customer(&mut run, customer).await?;
    in_step(run, met, &RunOver::new(), &Asked::default()).await
}

/// Whether a body can be used in place of the customer: it must be newer than everything that was merged and written,
/// and neither the body nor anything still open may need a whole look at the customer. A new e-mail address or number
/// does need one, since its consent is its own.
fn is_enough(run: &Run, body: &Snapshot, extras: &Extras) -> bool {
    let memory = &run.memory;
    let is_held = |consent: &Option<memory::Consent>| consent.as_ref().is_some_and(|consent| consent.held.is_some());
    body.at.is_some_and(|at| at > memory.clock.merged.max(memory.clock.wrote))
        && body.fields.all().all(|(field, _)| {
            !(field.is(Core::Email) || field.is(Core::Phone)) || memory.knows(Side::Shopify, field, &body.fields)
        })
        && !memory.held.values().any(|held| held.again)
        && !is_held(&memory.consent.email)
        && !is_held(&memory.consent.sms)
        && !run.addresses_due
        && !memory.waits
        && extras.are_as_seen(run)
}

/// Merges a body of Shopify. If something has to be written to Shopify too, the customer is read first.
async fn from_body(run: Run<'_>, profile: &str, customer: u64, body: &Snapshot) -> Ending {
    let Some(profile) = omneo::profile(run.cx, profile, run.reading()).await? else {
        return lost_profile(run, profile, customer).await;
    };
    merge_body(run, profile, customer, body).await
}

async fn merge_body(mut run: Run<'_>, profile: Profile, customer: u64, body: &Snapshot) -> Ending {
    let plan = merge::plan(&run, body, &profile.snapshot, &RunOver::new(), Limits::default());
    if merge::writes(&plan, Side::Shopify) {
        let Some(customer) = shopify::person(&run, customer).await? else {
            return Err(run.end_without_customer(customer));
        };
        return in_step(run, Met { customer, profile }, &RunOver::new(), &Asked::default()).await;
    }
    let merged = Merged { plan: &plan, shopify: body, asked: &Asked::default() };
    write::apply(&mut run, merged, Pair::new(None, profile)).await?;
    advance(&mut run, body);
    Ok(run.end("nothing to do: both sides agree"))
}

/// Brings the two halves in step, once both have been read.
async fn in_step(mut run: Run<'_>, met: Met, over: &RunOver, asked: &Asked) -> Ending {
    agree(&mut run, met, over, asked).await?;
    Ok(run.end("nothing to do: both sides agree"))
}

/// Merges the two halves, and repeats that as long as somebody changes Shopify's half between a read and the write that
/// follows.
async fn agree(run: &mut Run<'_>, met: Met, over: &RunOver, asked: &Asked) -> Result<(), End> {
    let Met { mut customer, mut profile } = met;
    if run.kept_from_shopify(&profile).is_some() {
        run.to_shopify = false;
    }
    for look in 1.. {
        let body = customer.snapshot.clone();
        let limits = Limits { email_is_login: customer.has_account };
        let plan = merge::plan(run, &body, &profile.snapshot, over, limits);
        if profile.shows_identities {
            who::identify(run, customer.id, &mut profile).await?;
        }
        let id = customer.id;
        let merged = Merged { plan: &plan, shopify: &body, asked };
        let pair = write::apply(run, merged, Pair::new(Some(customer), profile)).await?;
        profile = pair.profile;
        if pair.stale.is_empty() || look == LOOKS_MAX {
            for field in &pair.stale {
                run.note(format!(
                    "{}: somebody changed it at each of {LOOKS_MAX} looks; the next event looks again",
                    field.name()
                ));
            }
            if pair.stale.is_empty() {
                advance(run, &body);
            }
            let Some(written) = pair.customer else { return Ok(()) };
            customer = written;
            break;
        }
        match shopify::person(run, id).await? {
            Some(now) => customer = now,
            None => return Err(run.end_without_customer(id)),
        }
    }
    tags::sync(run, &customer, &mut profile).await?;
    consent::sync(run, &customer, &profile).await?;
    who::link_back(run, &customer, &profile).await?;
    addresses::sync(run, customer.id, &profile.id).await?;
    run.memory.waits |= run.is_new_link && customer.has_orders;
    claims::claim(run, customer.id, &profile.id).await
}

/// Moves the clock forward to what was merged; never back.
fn advance(run: &mut Run, merged: &Snapshot) {
    let clock = &mut run.memory.clock;
    clock.merged = clock.merged.max(merged.at.unwrap_or(clock.merged));
}

fn is_echo(run: &Run, profile: &Profile) -> bool {
    let memory = &run.memory;
    let tags = profile.tags.as_deref().map(tags::mark);
    let comms = profile.comms.as_ref().filter(|_| run.settings.sync.consent).map(consent::mark);
    let fields = &profile.snapshot.fields;
    let is_said =
        |(field, why): (&fields::Field, &String)| memory.held.get(field.name()).is_some_and(|held| held.why == *why);
    memory.knows_all(Side::Omneo, fields)
        && fields.failed().iter().all(is_said)
        && (tags.is_none() || tags == memory.tags.omneo)
        && (comms.is_none() || comms == memory.consent.omneo)
}

/// The e-mail and the phone that Shopify may have to take over from the profile, so that one call can ask who has them.
fn wanted(run: &Run, profile: &Profile) -> Asked {
    let fields = &profile.snapshot.fields;
    let wanted = |core: Core| {
        let (field, value) = fields.all().find(|(field, _)| field.is(core))?;
        let is_new = !run.memory.knows(Side::Omneo, field, fields) || run.memory.held.contains_key(field.name());
        value.filter(|_| is_new).map(|value| field.plain(value))
    };
    Asked { email: wanted(Core::Email), phone: wanted(Core::Phone), owners: Default::default() }
}
