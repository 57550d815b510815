//! What Shopify does to the values of a customer before it keeps them, and when it refuses them.
//! Knows nothing of who writes; field names are GraphQL's, without the leading `input`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::contact::{clean_email, normal_phone};
use super::problem::Problem;
use super::store::{Address, Customer, Store};
use super::{addresses, views};

/// Recorded answers for all of these.
const NAME_CHARS_MAX: usize = 255;
pub(crate) const NOTE_CHARS_MAX: usize = 5_000;
const EMAIL_CHARS_MAX: usize = 255;
const TAG_CHARS_MAX: usize = 255;
const TAGS_MAX: usize = 250;

/// The customer as it would be after `input`, whose nulls clear; or everything that is wrong with it.
pub(crate) fn apply(
    store: &mut Store,
    old: Option<&Customer>,
    input: &Map<String, Value>,
) -> Result<Customer, Vec<Problem>> {
    let mut new = old.cloned().unwrap_or_else(|| store.blank_customer());
    let mut problems = Vec::new();
    let text = |key: &str| input.get(key).map(|value| value.as_str().unwrap_or_default());
    names_and_note(&mut new, input, &mut problems);
    if let Some(given) = text("email") {
        let email = clean_email(given);
        new.email = Some(email).filter(|email| !email.is_empty());
        problems.extend(new.email.iter().flat_map(|email| email_problems(store, email, new.id)));
    }
    if let Some(given) = text("phone") {
        new.phone = normal_phone(given);
        problems.extend(phone_problem(store, given, &new));
    }
    for (key, slot) in [("locale", &mut new.locale), ("state", &mut new.state)] {
        if let Some(given) = text(key).filter(|given| !given.is_empty()) {
            *slot = if key == "state" { given.to_lowercase() } else { given.to_owned() };
        }
    }
    if !is_locale(&new.locale) {
        problems.push(Problem::new(&["locale"], "Locale is invalid", "INVALID"));
    }
    if let Some(given) = input.get("taxExempt").and_then(Value::as_bool) {
        new.tax_exempt = given;
    }
    if let Some(given) = input.get("taxExemptions").and_then(Value::as_array) {
        new.tax_exemptions = given.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    if let Some(given) = input.get("tags") {
        let given = given.as_array().into_iter().flatten().filter_map(Value::as_str);
        match with_tags(&[], given) {
            Ok(tags) => new.tags = tags,
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(given) = input.get("addresses").and_then(Value::as_array) {
        replace_addresses(store, &mut new, given, &mut problems);
    }
    let nameless = [&new.email, &new.phone, &new.first_name, &new.last_name].into_iter().all(Option::is_none);
    if nameless && problems.is_empty() {
        problems.push(Problem {
            field: None,
            message: "A name, phone number, or email address must be present".to_owned(),
            code: Some("BLANK"),
        });
    }
    if problems.is_empty() { Ok(new) } else { Err(problems) }
}

fn names_and_note(new: &mut Customer, input: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for (key, label, slot) in
        [("firstName", "First name", &mut new.first_name), ("lastName", "Last name", &mut new.last_name)]
    {
        let Some(given) = input.get(key).map(|value| value.as_str().unwrap_or_default().trim()) else { continue };
        if given.chars().count() > NAME_CHARS_MAX {
            problems.push(Problem::new(
                &[key],
                format!("{label} is too long (maximum is {NAME_CHARS_MAX} characters)"),
                "TOO_LONG",
            ));
        }
        *slot = Some(given.to_owned()).filter(|name| !name.is_empty());
    }
    if let Some(given) = input.get("note") {
        new.note = given.as_str().map(str::to_owned);
        if new.note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
            problems.push(Problem::new(
                &["note"],
                format!("Note is too long (maximum is {NOTE_CHARS_MAX} characters)"),
                "TOO_LONG",
            ));
        }
    }
}

fn phone_problem(store: &Store, given: &str, new: &Customer) -> Option<Problem> {
    let taken = new.phone.as_deref().and_then(|phone| store.by_phone(phone)).is_some_and(|other| other.id != new.id);
    if new.phone.is_none() && !given.trim().is_empty() {
        Some(Problem::new(&["phone"], "Phone is invalid", "INVALID"))
    } else {
        taken.then(|| Problem::new(&["phone"], "Phone has already been taken", "TAKEN"))
    }
}

fn email_problems(store: &Store, email: &str, id: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let long = email.chars().count() > EMAIL_CHARS_MAX;
    if long {
        problems.push(Problem::new(
            &["email"],
            format!("Email is too long (maximum is {EMAIL_CHARS_MAX} characters)"),
            "TOO_LONG",
        ));
    }
    let shaped = email.split_once('@').is_some_and(|(name, domain)| {
        let dotted = domain.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty());
        !name.is_empty() && dotted && !domain.contains('@') && !domain.ends_with('.')
    });
    if long || !shaped {
        problems.push(Problem::new(&["email"], "Email is invalid", "INVALID"));
    } else if store.by_email(email).is_some_and(|other| other.id != id) {
        problems.push(Problem::new(&["email"], "Email has already been taken", "TAKEN"));
    }
    problems
}

/// A language and what narrows it down, as `en` or `pt-BR`.
fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| (2..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// `have` with `more`: split at commas, trimmed, one of each whatever the case (the first spelling stays), sorted.
pub(crate) fn with_tags<'a>(have: &[String], more: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Problem> {
    let mut tags = BTreeMap::new();
    let more = more.flat_map(|tag| tag.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
    for tag in have.iter().map(String::as_str).chain(more) {
        if tag.chars().count() > TAG_CHARS_MAX {
            return Err(Problem::new(
                &["tags"],
                format!("Tags is too long (maximum is {TAG_CHARS_MAX} characters)"),
                "TOO_LONG",
            ));
        }
        tags.entry(tag.to_lowercase()).or_insert_with(|| tag.to_owned());
    }
    if tags.len() > TAGS_MAX {
        return Err(Problem::new(&["tags"], format!("Tags cannot be more than {TAGS_MAX}"), "INVALID"));
    }
    Ok(tags.into_values().collect())
}

/// Recorded answer: the list is replaced and every address gets a new id, but one that is named by its id, which is changed;
/// the first becomes the default.
fn replace_addresses(store: &mut Store, customer: &mut Customer, given: &[Value], problems: &mut Vec<Problem>) {
    let mut addresses = Vec::new();
    for (at, input) in given.iter().enumerate() {
        let id = input["id"].as_str().and_then(|id| views::id_of("MailingAddress", id));
        let kept = customer.addresses.iter().find(|address| Some(address.id) == id).cloned();
        let address = kept.unwrap_or_else(|| Address { id: store.next_id(), ..Address::default() });
        match addresses::normal(customer, address, input) {
            Ok(address) => addresses.push(address),
            Err(mut problem) => {
                let prefix = ["addresses".to_owned(), at.to_string()];
                problem.field = problem.field.map(|field| prefix.iter().cloned().chain(field).collect());
                problems.push(problem);
            }
        }
    }
    // The same addresses again are not a change.
    let same = addresses.len() == customer.addresses.len()
        && addresses.iter().zip(&customer.addresses).all(|(a, b)| a.fields == b.fields);
    if !same {
        customer.default_address = addresses.first().map(|address| address.id);
        customer.addresses = addresses;
    }
}
