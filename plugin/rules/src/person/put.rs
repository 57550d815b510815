//! Writes changes to one side: checks for collisions, makes one call, and leaves out what cannot be written. Does not
//! know why a value is written, and remembers only in which slot the phone is.

use std::collections::BTreeMap;

use serde_json::Map;
use tandem_sdk::{End, GraphqlError, Value, json, refused};

use super::fields::{Core, Field, Side};
use super::memory::Held;
use super::omneo::{self, Fault, Owner, Profile, Reading};
use super::run::Run;
use super::shopify::{self, Customer, Owners};
use crate::mapping::{OmneoPlace, ShopifyPlace};

/// How many metafields Shopify takes in one call.
const METAFIELDS_MAX: usize = 25;

/// Fields with the values to be written.
pub type Changes = BTreeMap<Field, Option<String>>;

/// The owners of an e-mail and a phone that Shopify was asked for together with the customer.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub owners: Owners,
}

/// The result of writing changes to one side.
pub struct Written<T> {
    /// Absent where nothing was written.
    pub after: Option<T>,
    pub fields: Vec<Field>,
    pub held: Vec<(Field, Held)>,
    /// Fields that somebody changed after they were read. They were not written, and have to be looked at again.
    pub stale: Vec<Field>,
}

/// Holds a value that somebody else has; it may become free.
fn taken(to: Side, why: String) -> Held {
    Held { to, why, again: true }
}

/// Holds a value that is not accepted; it will not be accepted later.
fn wrong(to: Side, why: String) -> Held {
    Held { to, why, again: false }
}

pub fn taken_by(customer: u64) -> Held {
    taken(Side::Shopify, format!("it belongs to customer {customer}"))
}

/// Writes changes to Omneo. Asks first whether e-mail and phone are free; a value that Omneo refuses nevertheless is
/// held.
pub async fn write_omneo(run: &mut Run<'_>, profile: &Profile, changes: Changes) -> Result<Written<Profile>, End> {
    let mut written = Written { after: None, fields: vec![], held: vec![], stale: vec![] };
    let is_attribute = |field: &Field| matches!(field.omneo, OmneoPlace::Attribute { .. });
    let (attributes, mut changes): (Changes, Changes) = changes.into_iter().partition(|(field, _)| is_attribute(field));
    let (email, phone) = (wanted(&changes, Core::Email), wanted(&changes, Core::Phone));
    let (email_owner, phone_owner) = omneo::availability(run.cx, email.as_deref(), phone.as_deref()).await?;
    if let Some(owner) = somebody_else(&email_owner, &profile.id)
        && let Some(field) = find(&changes, Core::Email)
    {
        changes.remove(&field);
        written.held.push((field, taken(Side::Omneo, format!("it belongs to {owner}"))));
    }
    let mut second = somebody_else(&phone_owner, &profile.id).is_some();
    while !changes.is_empty() {
        let body = body(&changes, second, run.memory.second_phone);
        // A phone that is not written stays in its slot.
        let slot = if find(&changes, Core::Phone).is_some() { second } else { run.memory.second_phone };
        let reading = Reading { second_phone: slot, ..run.reading() };
        match omneo::update(run.cx, &profile.id, body, reading).await? {
            omneo::Written::Read(after) if is_left(&changes, profile, &after) => {
                return Err(refused("updating the profile: Omneo answered without it and left it as it was"));
            }
            omneo::Written::Done(mut after) | omneo::Written::Read(mut after) => {
                run.memory.second_phone = slot;
                after.complete(profile);
                written.after = Some(*after);
                written.fields.extend(std::mem::take(&mut changes).into_keys());
            }
            omneo::Written::Gone => return Err(run.end_without_profile(&profile.id)),
            omneo::Written::Unknown => return Err(refused("it is not known whether the profile was updated")),
            omneo::Written::Invalid(faults) => {
                let objections = objections(&faults, changes.keys().copied(), second, "updating the profile")?;
                second |= objections.phone_moves;
                for (field, held) in objections.held {
                    changes.remove(&field);
                    written.held.push((field, held));
                }
            }
        }
    }
    write_attributes(run, profile, attributes, &mut written).await?;
    Ok(written)
}

/// What follows from Omneo's objections to a write: it is tried again without some fields, or with the phone in the
/// other slot.
pub struct Objections {
    pub held: BTreeMap<Field, Held>,
    /// Whether somebody else has the phone as their mobile number. It may then go into the second slot, whose numbers
    /// need not be unique.
    pub phone_moves: bool,
}

/// Sorts objections by the fields that they are about. If they are about none of the fields, the run ends. Used both
/// for creating a profile and for changing one.
pub fn objections(
    faults: &[Fault],
    among: impl Iterator<Item = Field>,
    second: bool,
    doing: &str,
) -> Result<Objections, End> {
    let mut found = Objections { held: BTreeMap::new(), phone_moves: false };
    for field in among {
        let Some(fault) = faults.iter().find(|fault| omneo::is_about(&fault.key, field)) else { continue };
        match (field.is(Core::Phone) && !second, fault.is_taken) {
            (true, true) => found.phone_moves = true,
            (false, true) => {
                drop(found.held.insert(field, taken(Side::Omneo, "it belongs to another profile".to_owned())));
            }
            (_, false) => {
                drop(found.held.insert(field, wrong(Side::Omneo, format!("Omneo says `{}`", fault.words))));
            }
        }
    }
    match found.held.is_empty() && !found.phone_moves {
        true => Err(refused(format!("{doing}: {}", omneo::listed(faults)))),
        false => Ok(found),
    }
}

/// Whether none of the changes took effect: the values are as they were before.
fn is_left(changes: &Changes, before: &Profile, after: &Profile) -> bool {
    let is_as_before = |field: Field| before.snapshot.fields.value(field) == after.snapshot.fields.value(field);
    let is_there =
        |field: Field, value: &Option<String>| field.same(after.snapshot.fields.value(field), value.as_deref());
    changes.iter().all(|(field, value)| is_as_before(*field) && !is_there(*field, value))
}

/// The new value of a core field, if it has one.
fn wanted(changes: &Changes, core: Core) -> Option<String> {
    find(changes, core).and_then(|field| changes.get(&field).cloned().flatten())
}

fn find(changes: &Changes, core: Core) -> Option<Field> {
    changes.keys().find(|field| field.is(core)).copied()
}

/// Writes custom attributes. The result is read afterwards, because the answers are not documented.
async fn write_attributes(
    run: &mut Run<'_>,
    profile: &Profile,
    changes: Changes,
    written: &mut Written<Profile>,
) -> Result<(), End> {
    let mut done = Changes::new();
    for (field, value) in changes {
        match omneo::set_attribute(run.cx, &profile.id, field, value.as_deref()).await? {
            None => drop(done.insert(field, value)),
            Some(why) => written.held.push((field, wrong(Side::Omneo, why))),
        }
    }
    if done.is_empty() {
        return Ok(());
    }
    let Some(now) = omneo::profile(run.cx, &profile.id, run.reading()).await? else {
        return Err(run.end_without_profile(&profile.id));
    };
    // For the other fields, the read may show an edit that has not been merged yet.
    let after = written.after.get_or_insert_with(|| profile.clone());
    for (field, value) in done {
        if is_left(&Changes::from([(field, value)]), profile, &now) {
            written.held.push((field, taken(Side::Omneo, "Omneo left it as it was".to_owned())));
            continue;
        }
        after.snapshot.fields.set(field, now.snapshot.fields.value(field).map(str::to_owned));
        written.fields.push(field);
    }
    Ok(())
}

/// The owner in words, unless it is this profile.
pub fn somebody_else(owner: &Owner, profile: &str) -> Option<String> {
    match owner {
        Owner::Nobody => None,
        Owner::Profile(id) if id == profile => None,
        Owner::Profile(id) => Some(format!("profile {id}")),
        Owner::Somebody => Some("another profile".to_owned()),
    }
}

/// The body of a write. A phone that somebody else has as mobile goes into the second slot, whose numbers need not be
/// unique, and moves back when it can.
fn body(changes: &Changes, second: bool, was_second: bool) -> Value {
    let mut body = Map::new();
    for (field, value) in changes {
        let given = value.as_deref().map(|value| field.format.to_json(value));
        match &field.omneo {
            _ if field.is(Core::Phone) => {}
            OmneoPlace::Key(key) => {
                body.insert(key.path.into(), json!(given));
                continue;
            }
            OmneoPlace::BirthDate => {
                let parts: Vec<_> =
                    value.iter().flat_map(|day| day.split('-')).map(|part| part.parse::<u32>().ok()).collect();
                for (n, key) in ["birth_year", "birth_month", "birth_day"].into_iter().enumerate() {
                    body.insert(key.into(), json!(parts.get(n).copied().flatten()));
                }
                continue;
            }
            OmneoPlace::Attribute { .. } | OmneoPlace::Expression(_) => continue,
        }
        let to_second = second && value.is_some();
        body.insert("mobile_phone".into(), if to_second { Value::Null } else { json!(value) });
        if to_second {
            body.insert("secondary_phone".into(), json!(value));
        } else if was_second {
            body.insert("secondary_phone".into(), Value::Null);
        }
    }
    body.into()
}

/// Writes changes to Shopify. Asks first who has e-mail and phone; a value that Shopify refuses nevertheless is held.
pub async fn write_shopify(
    run: &mut Run<'_>,
    customer: &Customer,
    mut changes: Changes,
    asked: &Asked,
) -> Result<Written<Customer>, End> {
    let mut written = Written { after: None, fields: vec![], held: vec![], stale: vec![] };
    let (email, phone) = (wanted(&changes, Core::Email), wanted(&changes, Core::Phone));
    let is_known = (email.is_none() || email == asked.email) && (phone.is_none() || phone == asked.phone);
    let owners = match is_known {
        true => asked.owners.clone(),
        false => shopify::person_and_owners(run, customer.id, email.as_deref(), phone.as_deref()).await?.1,
    };
    for (core, value, owner) in [(Core::Email, email, owners.email), (Core::Phone, phone, owners.phone)] {
        let field = find(&changes, core);
        if let (Some(field), Some(_), Some(owner)) = (field, value, owner.filter(|owner| *owner != customer.id)) {
            changes.remove(&field);
            written.held.push((field, taken_by(owner)));
        }
    }
    let (keys, others): (Changes, Changes) =
        changes.into_iter().partition(|(field, _)| shopify::input_key(*field).is_some());
    let (metafields, tags): (Changes, Changes) =
        others.into_iter().partition(|(field, _)| matches!(field.shopify, ShopifyPlace::Metafield { .. }));
    let (mut values, cleared): (Changes, Changes) = keys.into_iter().partition(|(_, value)| value.is_some());
    while !values.is_empty() {
        let input: Map<_, _> = values
            .iter()
            .filter_map(|(field, value)| Some((shopify::input_key(*field)?.to_owned(), json!(value))))
            .collect();
        match shopify::update(run, customer.id, input.into()).await? {
            shopify::Written::Done(after) => {
                written.fields.extend(std::mem::take(&mut values).into_keys());
                written.after = Some(*after);
            }
            shopify::Written::Gone => return Err(run.end_without_customer(customer.id)),
            shopify::Written::Errors(errors) => {
                for (field, why) in faults(&errors, &values, "updating the customer")? {
                    values.remove(&field);
                    written.held.push((field, why));
                }
            }
        }
    }
    if !cleared.is_empty() {
        let fields: Vec<_> = cleared.into_keys().collect();
        match shopify::clear(run, customer.id, &fields).await? {
            shopify::Written::Done(after) => {
                written.fields.extend(fields);
                written.after = Some(*after);
            }
            shopify::Written::Gone => return Err(run.end_without_customer(customer.id)),
            shopify::Written::Errors(errors) => {
                let why = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(", ");
                let held = wrong(Side::Shopify, format!("Shopify says `{why}`"));
                written.held.extend(fields.into_iter().map(|field| (field, held.clone())));
            }
        }
    }
    write_metafields(run, customer, metafields, &mut written).await?;
    write_tags(run, customer, tags, &mut written).await?;
    Ok(written)
}

async fn write_metafields(
    run: &mut Run<'_>,
    customer: &Customer,
    changes: Changes,
    written: &mut Written<Customer>,
) -> Result<(), End> {
    let (mut values, cleared): (Changes, Changes) = changes.into_iter().partition(|(_, value)| value.is_some());
    // A customer that gets metafields is often new and gets the link too, so both go into one call.
    let profile = run.memory.link.as_ref().map(|link| link.profile.clone());
    let mut link = profile.filter(|profile| customer.profile.as_ref() != Some(profile));
    while !values.is_empty() {
        let some = values.iter().take(METAFIELDS_MAX - 1);
        let list: Vec<_> = some.filter_map(|(field, value)| Some((*field, value.clone()?))).collect();
        match shopify::set_metafields(run, customer, &list, link.as_deref()).await? {
            Ok(shown) => {
                let after = written.after.get_or_insert_with(|| customer.clone());
                for (field, value) in shown {
                    after.snapshot.fields.set(field, value);
                    after.digests.remove(&field);
                }
                if let Some(profile) = link.take() {
                    run.wrote(Side::Shopify, format!("the link to profile {profile}"));
                    after.profile = Some(profile);
                }
                written.fields.extend(list.iter().map(|(field, _)| *field));
                values.retain(|field, _| !list.iter().any(|(written, _)| written == field));
            }
            Err(errors) if errors.iter().any(shopify::is_stale) => {
                written.stale.extend(values.into_keys());
                return Ok(());
            }
            // Shopify takes all metafields or none, so the write is tried again without those that it objects to.
            Err(errors) => {
                link = None;
                let at = |error: &GraphqlError| error.field.split('.').nth(1)?.parse::<usize>().ok();
                let mut faulty: BTreeMap<_, _> = errors
                    .iter()
                    .filter_map(|error| Some((list.get(at(error)?)?.0, format!("Shopify says `{}`", error.message))))
                    .collect();
                let is_the_links = |error: &GraphqlError| at(error) == Some(list.len());
                if faulty.is_empty() && !errors.iter().any(is_the_links) {
                    let why = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(", ");
                    faulty = list.iter().map(|(field, _)| (*field, format!("Shopify says `{why}`"))).collect();
                }
                for (field, why) in faulty {
                    values.remove(&field);
                    written.held.push((field, wrong(Side::Shopify, why)));
                }
            }
        }
    }
    if !cleared.is_empty() {
        let fields: Vec<_> = cleared.into_keys().collect();
        match shopify::clear_metafields(run, customer.id, &fields).await?.first() {
            None => {
                let after = written.after.get_or_insert_with(|| customer.clone());
                for field in &fields {
                    after.snapshot.fields.set(*field, None);
                    after.digests.remove(field);
                }
                written.fields.extend(fields);
            }
            Some(error) => {
                let held = wrong(Side::Shopify, format!("Shopify says `{}`", error.message));
                written.held.extend(fields.into_iter().map(|field| (field, held.clone())));
            }
        }
    }
    Ok(())
}

/// Writes fields that are tags. Each value is a tag of its own, so the previous value's tag is removed.
async fn write_tags(
    run: &mut Run<'_>,
    customer: &Customer,
    changes: Changes,
    written: &mut Written<Customer>,
) -> Result<(), End> {
    let (mut add, mut remove) = (vec![], vec![]);
    for (field, value) in &changes {
        let tag = field.shopify.tag(value.as_deref());
        let is_it = |other: &String| tag.as_ref().is_some_and(|tag| tag.eq_ignore_ascii_case(other));
        let ours = customer.tags.iter().filter(|tag| field.shopify.value_of_tag(tag).is_some());
        remove.extend(ours.filter(|tag| !is_it(tag)).cloned());
        add.extend(tag);
    }
    match shopify::tags(run.cx, customer.id, &add, &remove).await?.first() {
        None if changes.is_empty() => {}
        None => {
            let after = written.after.get_or_insert_with(|| customer.clone());
            for (field, value) in changes {
                after.snapshot.fields.set(field, value);
                written.fields.push(field);
            }
        }
        Some(error) => {
            let held = wrong(Side::Shopify, format!("Shopify says `{}`", error.message));
            written.held.extend(changes.into_keys().map(|field| (field, held.clone())));
        }
    }
    Ok(())
}

/// The fields that the errors are about, each with the reason for its hold. If the errors are about none of the fields,
/// the run ends.
pub fn faults<T>(
    errors: &[GraphqlError],
    among: &BTreeMap<Field, T>,
    doing: &str,
) -> Result<BTreeMap<Field, Held>, End> {
    let mut found = BTreeMap::new();
    for error in errors {
        if let Some(field) = shopify::field_of(error, among.keys().copied()) {
            found.insert(
                field,
                match shopify::is_taken(error) {
                    true => taken(Side::Shopify, "it belongs to another customer".to_owned()),
                    false => wrong(Side::Shopify, format!("Shopify says `{}`", error.message)),
                },
            );
        }
    }
    match errors.first() {
        Some(error) if found.is_empty() => Err(refused(format!("{doing}: Shopify answered `{}`", error.message))),
        _ => Ok(found),
    }
}
