//! Writes changes to one side: collisions first, one call, and what cannot be written left out of it. Does not know why a
//! value is to be written, and remembers nothing but where the phone went.

use std::collections::BTreeMap;

use serde_json::Map;
use tandem_sdk::{End, GraphqlError, Value, json, refused};

use super::fields::{Field, Side};
use super::memory::Held;
use super::omneo::{self, Owner, Profile, Reading};
use super::run::Run;
use super::shopify::{self, Customer, Owners};
use super::write::{customer_is_gone, profile_is_gone};

/// Fields with the values that they are to have.
pub type Changes = BTreeMap<Field, Option<String>>;

/// Whom Shopify was asked about together with the customer.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub owners: Owners,
}

/// What became of the changes to one side.
pub struct Written<T> {
    /// Absent where nothing was written.
    pub after: Option<T>,
    pub fields: Vec<Field>,
    pub held: Vec<(Field, Held)>,
}

/// A value that somebody else has may be free one day.
fn taken(to: Side, why: String) -> Held {
    Held { to, why, again: true }
}

/// A value that is not accepted will not be accepted later.
fn wrong(to: Side, why: String) -> Held {
    Held { to, why, again: false }
}

pub fn taken_by(customer: u64) -> Held {
    taken(Side::Shopify, format!("it belongs to customer {customer}"))
}

/// Availability first; what Omneo refuses all the same is held.
pub async fn write_omneo(run: &mut Run<'_>, profile: &Profile, mut changes: Changes) -> Result<Written<Profile>, End> {
    let mut held = vec![];
    let wanted = |changes: &Changes, field| changes.get(&field).cloned().flatten();
    let (email, phone) = (wanted(&changes, Field::Email), wanted(&changes, Field::Phone));
    let (email_owner, phone_owner) = omneo::availability(run.cx, email.as_deref(), phone.as_deref()).await?;
    if let Some(owner) = somebody_else(&email_owner, &profile.id) {
        changes.remove(&Field::Email);
        held.push((Field::Email, taken(Side::Omneo, format!("it belongs to {owner}"))));
    }
    let mut second = somebody_else(&phone_owner, &profile.id).is_some();
    while !changes.is_empty() {
        let body = body(&changes, second, run.memory.second_phone);
        // A phone that is not written stays in the slot where it is.
        let slot = if changes.contains_key(&Field::Phone) { second } else { run.memory.second_phone };
        let reading = Reading { second_phone: slot, ..run.reading() };
        match omneo::update(run.cx, &profile.id, body, reading).await? {
            omneo::Written::Done(mut after) => {
                run.memory.second_phone = slot;
                after.complete(profile);
                return Ok(Written { after: Some(*after), fields: changes.into_keys().collect(), held });
            }
            omneo::Written::Gone => return Err(profile_is_gone(run, &profile.id)),
            omneo::Written::Unknown => return Err(refused("it is not known whether the profile was updated")),
            omneo::Written::Invalid(faults) => {
                let about = |field: &Field| faults.iter().find(|fault| is_about(&fault.key, *field));
                let found: Vec<_> = changes.keys().filter_map(|field| Some((*field, about(field)?.is_taken))).collect();
                if found.is_empty() {
                    let keys = omneo::listed(&faults);
                    return Err(refused(format!("updating the profile: Omneo found fault with {keys}")));
                }
                for (field, is_taken) in found {
                    if field == Field::Phone && !second {
                        second = true;
                        continue;
                    }
                    changes.remove(&field);
                    held.push((
                        field,
                        match is_taken {
                            true => taken(Side::Omneo, "it belongs to another profile".to_owned()),
                            false => wrong(Side::Omneo, "Omneo did not accept it".to_owned()),
                        },
                    ));
                }
            }
        }
    }
    Ok(Written { after: None, fields: vec![], held })
}

fn is_about(fault: &str, field: Field) -> bool {
    fault == omneo::key(field) || (field == Field::Phone && fault == "secondary_phone")
}

/// In words, the owner that is not this profile.
pub fn somebody_else(owner: &Owner, profile: &str) -> Option<String> {
    match owner {
        Owner::Nobody => None,
        Owner::Profile(id) if id == profile => None,
        Owner::Profile(id) => Some(format!("profile {id}")),
        Owner::Somebody => Some("another profile".to_owned()),
    }
}

/// A phone that somebody else has as mobile goes into the second slot, which need not be unique, and back when it can.
fn body(changes: &Changes, second: bool, was_second: bool) -> Value {
    let mut body = Map::new();
    for (field, value) in changes {
        if *field != Field::Phone {
            body.insert(omneo::key(*field).into(), json!(value));
            continue;
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

/// Owners first; what Shopify refuses all the same is held.
pub async fn write_shopify(
    run: &mut Run<'_>,
    customer: &Customer,
    mut changes: Changes,
    asked: &Asked,
) -> Result<Written<Customer>, End> {
    let mut written = Written { after: None, fields: vec![], held: vec![] };
    let wanted = |field| changes.get(&field).cloned().flatten();
    let (email, phone) = (wanted(Field::Email), wanted(Field::Phone));
    let is_known = (email.is_none() || email == asked.email) && (phone.is_none() || phone == asked.phone);
    let owners = match is_known {
        true => asked.owners.clone(),
        false => shopify::person_and_owners(run.cx, customer.id, email.as_deref(), phone.as_deref()).await?.1,
    };
    for (field, value, owner) in [(Field::Email, email, owners.email), (Field::Phone, phone, owners.phone)] {
        if let (Some(_), Some(owner)) = (value, owner.filter(|owner| *owner != customer.id)) {
            changes.remove(&field);
            written.held.push((field, taken_by(owner)));
        }
    }
    let (mut values, cleared): (Changes, Changes) = changes.into_iter().partition(|(_, value)| value.is_some());
    while !values.is_empty() {
        let input: Map<_, _> =
            values.iter().map(|(field, value)| (shopify::input_key(*field).to_owned(), json!(value))).collect();
        match shopify::update(run.cx, customer.id, input.into()).await? {
            shopify::Written::Done(after) => {
                written.fields.extend(std::mem::take(&mut values).into_keys());
                written.after = Some(*after);
            }
            shopify::Written::Gone => return Err(customer_is_gone(run, customer.id)),
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
        match shopify::clear(run.cx, customer.id, &fields).await? {
            shopify::Written::Done(after) => {
                written.fields.extend(fields);
                written.after = Some(*after);
            }
            shopify::Written::Gone => return Err(customer_is_gone(run, customer.id)),
            shopify::Written::Errors(errors) => {
                let why = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(", ");
                let held = wrong(Side::Shopify, format!("Shopify says `{why}`"));
                written.held.extend(fields.into_iter().map(|field| (field, held.clone())));
            }
        }
    }
    Ok(written)
}

/// The fields that the errors are about, each with why it is held. At least one, or the run is over.
pub fn faults<T>(
    errors: &[GraphqlError],
    among: &BTreeMap<Field, T>,
    doing: &str,
) -> Result<BTreeMap<Field, Held>, End> {
    let mut found = BTreeMap::new();
    for error in errors {
        if let Some(field) = shopify::field_of(error).filter(|field| among.contains_key(field)) {
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
