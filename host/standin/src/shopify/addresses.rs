//! A customer's addresses: their four mutations, and what Shopify does to an address before it keeps it.
//! Knows nothing of the customer's other values but the names.

use serde_json::{Map, Value, json};

use super::contact::normal_phone;
use super::graphql::Failed;
use super::places::{self, Provinces};
use super::problem::{Problem, refused};
use super::store::{Address, Customer, Store};
use super::views::{self, payload};

/// Recorded answer.
const ADDRESS_CHARS_MAX: usize = 255;
/// What is kept as it is given, and how Shopify speaks of it.
const TEXTS: [(&str, &str); 8] = [
    ("address1", "Address1"),
    ("address2", "Address2"),
    ("city", "City"),
    ("company", "Company"),
    ("firstName", "First name"),
    ("lastName", "Last name"),
    ("phone", "Phone"),
    ("zip", "Zip"),
];

fn owner(store: &Store, arguments: &Map<String, Value>) -> Option<Customer> {
    let id = arguments["customerId"].as_str().and_then(|id| views::id_of("Customer", id));
    id.and_then(|id| store.customers.get(&id)).cloned()
}

const NO_CUSTOMER: &str = "Customer does not exist";
const NO_ADDRESS: &str = "Customer address does not exist";

pub(crate) fn create(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let Some(mut new) = owner(store, arguments) else {
        return refused("address", &[Problem::new(&["customerId"], NO_CUSTOMER, "INVALID")]);
    };
    let blank = Address { id: store.next_id(), ..Address::default() };
    match normal(&new, blank, &arguments["address"]) {
        Err(problem) => refused("address", &[under_address(problem)]),
        Ok(address) => {
            if new.addresses.is_empty() || arguments.get("setAsDefault") == Some(&Value::Bool(true)) {
                new.default_address = Some(address.id);
            }
            let view = views::address(&address);
            new.addresses.push(address);
            store.save(new);
            json!({ "address": view, "userErrors": [] })
        }
    }
}

pub(crate) fn update(store: &mut Store, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let id = known_address(store, arguments)?;
    let Some(mut new) = owner(store, arguments) else {
        return Ok(refused("address", &[Problem::new(&["customerId"], NO_CUSTOMER, "INVALID")]));
    };
    let Some(at) = new.addresses.iter().position(|address| address.id == id) else {
        return Ok(refused("address", &[Problem::new(&["addressId"], NO_ADDRESS, "INVALID")]));
    };
    let changed = normal(&new, new.addresses[at].clone(), arguments.get("address").unwrap_or(&Value::Null));
    Ok(match changed {
        Err(problem) => refused("address", &[under_address(problem)]),
        Ok(address) => {
            let view = views::address(&address);
            new.addresses[at] = address;
            if arguments.get("setAsDefault") == Some(&Value::Bool(true)) {
                new.default_address = Some(id);
            }
            store.save(new);
            json!({ "address": view, "userErrors": [] })
        }
    })
}

pub(crate) fn delete(store: &mut Store, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let id = known_address(store, arguments)?;
    let Some(mut new) = owner(store, arguments) else {
        return Ok(refused("deletedAddressId", &[Problem::new(&["customerId"], NO_CUSTOMER, "INVALID")]));
    };
    let Some(at) = new.addresses.iter().position(|address| address.id == id) else {
        return Ok(refused("deletedAddressId", &[Problem::new(&["addressId"], NO_ADDRESS, "INVALID")]));
    };
    let gid = new.addresses.remove(at).gid();
    if new.default_address == Some(id) {
        new.default_address = new.addresses.first().map(|address| address.id);
    }
    store.save(new);
    Ok(json!({ "deletedAddressId": gid, "userErrors": [] }))
}

/// `customerUpdateDefaultAddress`.
pub(crate) fn prefer(store: &mut Store, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let id = known_address(store, arguments)?;
    let Some(mut new) = owner(store, arguments) else {
        return Ok(refused("customer", &[Problem::new(&["customerId"], NO_CUSTOMER, "INVALID")]));
    };
    if !new.addresses.iter().any(|address| address.id == id) {
        return Ok(refused("customer", &[Problem::new(&["addressId"], NO_ADDRESS, "INVALID")]));
    }
    new.default_address = Some(id);
    let owner = new.id;
    store.save(new);
    Ok(payload(store, owner))
}

/// Recorded answer: an address id of nobody's fails the whole field, before the customer is looked at.
fn known_address(store: &Store, arguments: &Map<String, Value>) -> Result<u64, Failed> {
    let gid = arguments["addressId"].as_str().unwrap_or_default();
    let id = views::id_of("MailingAddress", gid);
    let known = id.filter(|id| store.customers.named(&format!("address/{id}")).next().is_some());
    known.ok_or_else(|| Failed {
        message: format!("Invalid id: {}", gid.split('?').next().unwrap_or_default()),
        code: "RESOURCE_NOT_FOUND",
    })
}

fn under_address(mut problem: Problem) -> Problem {
    problem.field = Some(["address".to_owned()].into_iter().chain(problem.field.into_iter().flatten()).collect());
    problem
}

/// An address with the keys of a `MailingAddressInput` written over it; names default to the customer's. That a blank one
/// is taken is a recorded answer, and so is that [`nested`] refuses it.
pub(crate) fn normal(customer: &Customer, mut address: Address, input: &Value) -> Result<Address, Problem> {
    let fresh = address.fields.is_empty();
    let country_before = address.get("countryCode").map(str::to_owned);
    for (key, label) in TEXTS {
        let Some(given) = input.get(key).map(|value| value.as_str().unwrap_or_default().trim()) else { continue };
        if let Some(complaint) = complaint(given) {
            let code = if given.chars().count() > ADDRESS_CHARS_MAX { "TOO_LONG" } else { "INVALID" };
            return Err(Problem::new(&[key], format!("{label} {complaint}"), code));
        }
        put(&mut address, key, given);
    }
    // Recorded answer: what is no number stays as it is.
    if let Some(phone) = address.get("phone").and_then(normal_phone) {
        put(&mut address, "phone", &phone);
    }
    settle_country(&mut address, input)?;
    settle_province(&mut address, input, country_before.as_deref())?;
    let names = [("firstName", &customer.first_name), ("lastName", &customer.last_name)];
    for (key, name) in names.into_iter().filter(|(key, _)| fresh && input.get(*key).is_none()) {
        address.fields.extend(name.iter().map(|name| (key.to_owned(), name.clone())));
    }
    Ok(address)
}

/// What `customerCreate` (without an old customer) and `customerUpdate` refuse of the addresses in their input before
/// they look at anything else (recorded answers). `customerSet` takes all of it.
pub(crate) fn nested(old: Option<&Customer>, input: &Map<String, Value>) -> Option<Problem> {
    let addresses = input.get("addresses").and_then(Value::as_array).into_iter().flatten();
    addresses.enumerate().find_map(|(at, address)| {
        let id = address["id"].as_str().map(|id| views::id_of("MailingAddress", id));
        let known = |id| old.is_some_and(|old| old.addresses.iter().any(|address| Some(address.id) == id));
        let at = at.to_string();
        match id {
            Some(_) if old.is_none() => {
                Some(Problem::new(&["addresses", &at, "id"], "Cannot specify address ID on creation", "INVALID"))
            }
            Some(id) if !known(id) => Some(Problem::new(&["addresses", &at, "id"], NO_ADDRESS, "INVALID")),
            None if is_blank(address) => {
                Some(Problem::new(&["addresses", &at], "Customer address cannot be blank.", "BLANK"))
            }
            _ => None,
        }
    })
}

fn is_blank(input: &Value) -> bool {
    let keys = TEXTS.iter().map(|(key, _)| *key).chain(["country", "countryCode", "province", "provinceCode"]);
    keys.filter_map(|key| input[key].as_str()).all(|text| text.trim().is_empty())
}

fn put(address: &mut Address, key: &str, value: &str) {
    if value.is_empty() {
        address.fields.remove(key);
    } else {
        address.fields.insert(key.to_owned(), value.to_owned());
    }
}

/// Recorded answers.
fn complaint(text: &str) -> Option<String> {
    let emoji = |c: char| matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{fe0f}');
    if text.chars().count() > ADDRESS_CHARS_MAX {
        Some(format!("is too long (maximum is {ADDRESS_CHARS_MAX} characters)"))
    } else if text.split_once('<').is_some_and(|(_, rest)| rest.contains('>')) {
        Some("cannot contain HTML tags".to_owned())
    } else if ["http://", "https://"].iter().any(|scheme| text.contains(scheme)) {
        Some("cannot contain URL".to_owned())
    } else {
        text.contains(emoji).then(|| "cannot contain emojis".to_owned())
    }
}

/// The first of the two keys that has a value, trimmed; empty where one is there without any.
fn given<'a>(input: &'a Value, keys: [&str; 2]) -> Option<&'a str> {
    let mut given = keys.iter().filter_map(|key| Some(input.get(*key)?.as_str().unwrap_or_default().trim()));
    let first = given.next()?;
    Some(if first.is_empty() { given.next().unwrap_or_default() } else { first })
}

/// Recorded answers: code and name follow each other, a code outweighs a name, and both are blamed on the name.
fn settle_country(address: &mut Address, input: &Value) -> Result<(), Problem> {
    let Some(given) = given(input, ["countryCode", "country"]) else { return Ok(()) };
    let place = places::country(given);
    if place.is_none() && !given.is_empty() {
        return Err(Problem::new(&["country"], "Country is invalid", "INVALID"));
    }
    let (code, name) = place.unwrap_or_default();
    put(address, "countryCode", code);
    put(address, "country", name);
    Ok(())
}

/// The same for the province; one of another country than the address now has does not stay.
fn settle_province(address: &mut Address, input: &Value, country_before: Option<&str>) -> Result<(), Problem> {
    let country = address.get("countryCode").unwrap_or_default().to_owned();
    let moved = country_before.is_some_and(|before| before != country);
    let Some(given) = given(input, ["provinceCode", "province"]).or(moved.then_some("")) else { return Ok(()) };
    let (code, name) = match places::provinces(&country) {
        Provinces::Listed if !given.is_empty() => places::province(&country, given)
            .ok_or_else(|| Problem::new(&["province"], "Province is invalid", "INVALID"))?,
        Provinces::Unknown => {
            let name = input["province"].as_str().map(str::trim).filter(|name| !name.is_empty());
            (input["provinceCode"].as_str().unwrap_or_default().trim(), name.unwrap_or(given))
        }
        Provinces::Listed | Provinces::None => ("", ""),
    };
    put(address, "provinceCode", code);
    put(address, "province", name);
    Ok(())
}
