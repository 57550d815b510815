//! Creates the other half of a person, with the base set at once. Whether one has to be created is not decided here.

use std::collections::BTreeMap;

use serde_json::Map;
use tandem_sdk::{End, Value, json, refused};

use super::fields::{Core, Field, Side, Snapshot};
use super::memory::Held;
use super::omneo::{self, Profile, Reading};
use super::put::{faults, taken_by};
use super::run::Run;
use super::shopify::{self, Customer};
use super::write::open_windows;

/// How the creation of a profile went.
pub enum Created {
    Done(Box<Profile>),
    /// Somebody has the e-mail or the identity.
    Refused,
    /// It may have been created.
    Unknown,
}

pub async fn create_profile(
    run: &mut Run<'_>,
    customer: &Customer,
    phone: Option<&str>,
    mut second: bool,
) -> Result<Created, End> {
    let fields = &customer.snapshot.fields;
    let identity = json!({ "handle": run.settings.identity_handle, "identifier": customer.id.to_string() });
    loop {
        let mut body = Map::new();
        for field in run.settings.mapping.fields().filter(|field| is_told_at_birth(*field)) {
            body.extend(fields.value(field).map(|value| (field.omneo.path(), json!(field.plain(value)))));
        }
        let slot = if second { "secondary_phone" } else { "mobile_phone" };
        body.extend(phone.map(|phone| (slot.to_owned(), json!(phone))));
        body.insert("identities".into(), json!([identity]));
        let reading = Reading { second_phone: second, ..run.reading() };
        match omneo::create(run.cx, body.into(), reading).await? {
            omneo::Written::Done(mut profile) => {
                if !profile.customers.contains(&customer.id) {
                    profile.customers.push(customer.id);
                }
                run.link(customer.id, &profile.id);
                run.memory.second_phone = second;
                settle(run, &customer.snapshot, &profile.snapshot);
                run.wrote(Side::Omneo, format!("a new profile {}", profile.id));
                return Ok(Created::Done(profile));
            }
            omneo::Written::Invalid(faults) => {
                let about = |name: &str| faults.iter().any(|fault| fault.key.starts_with(name));
                if about("mobile_phone") && !second {
                    second = true;
                } else if about("email") || about("identities") {
                    return Ok(Created::Refused);
                } else {
                    return Err(refused(format!(
                        "creating the profile: Omneo found fault with {}",
                        omneo::listed(&faults)
                    )));
                }
            }
            omneo::Written::Unknown => return Ok(Created::Unknown),
            omneo::Written::Gone => return Err(refused("creating the profile: Omneo does not know the address")),
        }
    }
}

/// `None` when somebody else has the e-mail.
pub async fn create_customer(
    run: &mut Run<'_>,
    profile: &Profile,
    phone: Option<String>,
    phone_owner: Option<u64>,
) -> Result<Option<Customer>, End> {
    let mut held = BTreeMap::new();
    let mut values = BTreeMap::new();
    for field in run.settings.mapping.fields().filter(|field| is_told_at_birth(*field)) {
        values.extend(profile.snapshot.fields.value(field).map(|value| (field, field.plain(value))));
    }
    if let Some(field) = run.settings.mapping.fields().find(|field| field.is(Core::Phone)) {
        match phone_owner {
            Some(owner) => drop(held.insert(field, taken_by(owner))),
            None => values.extend(phone.map(|phone| (field, phone))),
        }
    }
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
            shopify::Written::Gone => return Err(refused("creating the customer: Shopify answered that it is gone")),
            shopify::Written::Errors(errors) => {
                for (field, why) in faults(&errors, &values, "creating the customer")? {
                    if field.is(Core::Email) {
                        let refusal = format!("creating the customer: the e-mail was not accepted: {}", why.why);
                        return if why.again { Ok(None) } else { Err(refused(refusal)) };
                    }
                    values.remove(&field);
                    held.insert(field, why);
                }
            }
        }
    }
}

fn born(run: &mut Run, customer: &Customer, profile: &Profile, written: Vec<Field>, held: BTreeMap<Field, Held>) {
    run.link(customer.id, &profile.id);
    settle(run, &customer.snapshot, &profile.snapshot);
    // Sent again after a lost answer, the creation shows what the shopper has added since the first time.
    for field in run.settings.mapping.fields().filter(|field| !written.contains(field)) {
        if customer.snapshot.fields.value(field).is_some() {
            run.memory.base.remove(field.name());
            run.memory.held.remove(field.name());
        }
    }
    run.memory.held.extend(held.into_iter().map(|(field, held)| (field.name().to_owned(), held)));
    // It also runs over what the shopper has changed.
    let created = customer.snapshot.created;
    let before = created.map(|created| created.max(run.now - 1));
    let before = Snapshot { fields: customer.snapshot.fields.clone(), at: before, created };
    open_windows(run, Side::Shopify, &written, &before, &customer.snapshot);
    run.memory.clock.merged = created.unwrap_or_default();
    run.memory.clock.wrote = customer.snapshot.at.unwrap_or_default();
    run.wrote(Side::Shopify, format!("a new customer {}", customer.id));
}

/// Names and e-mail. A phone number may be somebody else's and is told apart.
fn is_told_at_birth(field: Field) -> bool {
    field.core.is_some() && !field.is(Core::Phone)
}

/// A creation is a merge: what was read on one side and what the answer shows on the other belong together.
/// The other fields are merged afterwards, like those of people who have met.
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
