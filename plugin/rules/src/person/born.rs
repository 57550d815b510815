//! Creates the other half of a person, and remembers both halves as merged at once. Does not decide whether it has to
//! be created.

use std::collections::BTreeMap;

use serde_json::Map;
use tandem_sdk::{End, Value, json, refused};

use super::fields::{Core, Field, Side, Snapshot};
use super::memory::Held;
use super::omneo::{self, Fault, Profile, Reading};
use super::put::{faults, objections, taken_by};
use super::run::Run;
use super::shopify::{self, Customer};
use super::write::open_windows;

/// How the creation of a profile went.
pub enum Created {
    Done(Box<Profile>),
    /// Somebody else has the e-mail or the identity, with Omneo's words.
    Taken(String),
    /// The profile may have been created.
    Unknown,
}

/// Creates a profile from what the customer shows. A value that Omneo objects to is held and left out; without an
/// e-mail there is no profile.
pub async fn create_profile(
    run: &mut Run<'_>,
    customer: &Customer,
    phone: Option<&str>,
    mut second: bool,
) -> Result<Created, End> {
    let doing = "creating the profile";
    let identity = json!({ "handle": run.settings.identity_handle, "identifier": customer.id.to_string() });
    let mut values = values_at_birth(run, &customer.snapshot, phone.map(str::to_owned));
    let mut held = BTreeMap::new();
    loop {
        let mut body = Map::new();
        for (field, value) in &values {
            let is_moved = second && field.is(Core::Phone);
            let key = if is_moved { "secondary_phone".to_owned() } else { field.omneo.path() };
            body.insert(key, json!(value));
        }
        body.insert("identities".into(), json!([identity]));
        let reading = Reading { second_phone: second, ..run.reading() };
        match omneo::create(run.cx, body.into(), reading).await? {
            omneo::Written::Done(mut profile) | omneo::Written::Read(mut profile) => {
                if !profile.customers.contains(&customer.id) {
                    profile.customers.push(customer.id);
                }
                run.link(customer.id, &profile.id);
                run.memory.second_phone = second && values.keys().any(|field| field.is(Core::Phone));
                settle(run, &customer.snapshot, &profile.snapshot);
                run.memory
                    .held
                    .extend(held.into_iter().map(|(field, held): (Field, Held)| (field.name().to_owned(), held)));
                run.wrote(Side::Omneo, format!("a new profile {}", profile.id));
                return Ok(Created::Done(profile));
            }
            omneo::Written::Invalid(faults) => {
                let is_vital = |fault: &&Fault| fault.key == "email" || fault.key.starts_with("identities");
                match faults.iter().find(is_vital) {
                    Some(fault) if fault.is_taken => return Ok(Created::Taken(fault.said())),
                    Some(fault) => return Err(refused(format!("{doing}: {}", fault.said()))),
                    None => {}
                }
                let objections = objections(&faults, values.keys().copied(), second, doing)?;
                second |= objections.phone_moves;
                values.retain(|field, _| !objections.held.contains_key(field));
                held.extend(objections.held);
            }
            omneo::Written::Unknown => return Ok(Created::Unknown),
            omneo::Written::Gone => return Err(refused(format!("{doing}: Omneo does not know the address"))),
        }
    }
}

/// The core fields that a side shows, as values for the other side. The phone is given separately, because its number
/// may be somebody else's.
fn values_at_birth(run: &Run, from: &Snapshot, phone: Option<String>) -> BTreeMap<Field, String> {
    let mut values = BTreeMap::new();
    for field in run.settings.mapping.fields().filter(|field| field.core.is_some()) {
        let value = match field.is(Core::Phone) {
            true => phone.clone(),
            false => from.fields.value(field).map(|value| field.plain(value)),
        };
        values.extend(value.map(|value| (field, value)));
    }
    values
}

/// Creates a customer; `None` when somebody else has the e-mail.
pub async fn create_customer(
    run: &mut Run<'_>,
    profile: &Profile,
    phone: Option<String>,
    phone_owner: Option<u64>,
) -> Result<Option<Customer>, End> {
    let doing = "creating the customer";
    let mut held = BTreeMap::new();
    let mut values = values_at_birth(run, &profile.snapshot, phone.filter(|_| phone_owner.is_none()));
    let phone = run.settings.mapping.fields().find(|field| field.is(Core::Phone));
    held.extend(phone.zip(phone_owner).map(|(field, owner)| (field, taken_by(owner))));
    loop {
        let input: Map<_, _> = values
            .iter()
            .filter_map(|(field, value)| Some((shopify::input_key(*field)?.to_owned(), json!(value))))
            .collect();
        match shopify::create(run, &profile.id, Value::Object(input)).await? {
            shopify::Written::Done(customer) => {
                born(run, &customer, profile, values.keys().copied().collect(), held);
                return Ok(Some(*customer));
            }
            shopify::Written::Gone => return Err(refused(format!("{doing}: Shopify answered that it is gone"))),
            shopify::Written::Errors(errors) => {
                for (field, why) in faults(&errors, &values, doing)? {
                    if field.is(Core::Email) && why.again {
                        return Ok(None);
                    }
                    values.remove(&field);
                    held.insert(field, why);
                }
                if values.is_empty() {
                    let why: Vec<_> =
                        held.iter().map(|(field, held)| format!("{}: {}", field.name(), held.why)).collect();
                    return Err(refused(format!(
                        "{doing}: nothing is left of it that Shopify accepts: {}",
                        why.join("; ")
                    )));
                }
            }
        }
    }
}

fn born(run: &mut Run, customer: &Customer, profile: &Profile, written: Vec<Field>, held: BTreeMap<Field, Held>) {
    run.link(customer.id, &profile.id);
    settle(run, &customer.snapshot, &profile.snapshot);
    // If the creation was sent again after a lost answer, the answer also shows what the shopper has added since the
    // first time.
    for field in run.settings.mapping.fields().filter(|field| !written.contains(field)) {
        if customer.snapshot.fields.value(field).is_some() {
            run.memory.base.remove(field.name());
            run.memory.held.remove(field.name());
        }
    }
    run.memory.held.extend(held.into_iter().map(|(field, held)| (field.name().to_owned(), held)));
    // The repeated creation also runs over the shopper's changes, so it opens windows.
    let created = customer.snapshot.created;
    let before = created.map(|created| created.max(run.now - 1));
    let before = Snapshot { fields: customer.snapshot.fields.clone(), at: before, created };
    open_windows(run, Side::Shopify, &written, &before, &customer.snapshot);
    run.memory.clock.merged = created.unwrap_or_default();
    run.memory.clock.wrote = customer.snapshot.at.unwrap_or_default();
    run.wrote(Side::Shopify, format!("a new customer {}", customer.id));
}

/// Remembers a creation as a merge of what was read on one side with what the answer shows on the other. The other
/// fields are merged afterwards, as when two existing halves meet.
fn settle(run: &mut Run, shopify: &Snapshot, omneo: &Snapshot) {
    for field in run.settings.mapping.fields().filter(|field| field.core.is_some()) {
        let (s, o) = (shopify.fields.value(field), omneo.fields.value(field));
        run.memory.settle(field, s, o);
        let to = match (s, o) {
            (Some(_), None) => Side::Omneo,
            (None, Some(_)) => Side::Shopify,
            _ => continue,
        };
        let why = "it is not an international number".to_owned();
        if field.is(Core::Phone) {
            run.memory.held.insert(field.name().to_owned(), Held { to, why, again: false });
        }
    }
}
