//! A customer's addresses: their three mutations, and what Shopify does to an address before it keeps it.
//! Knows nothing of the customer's other values but the names.

use serde_json::{Map, Value, json};

use super::customer::Problem;
use super::graphql::Failed;
use super::mutations::refused;
use super::store::{Address, Customer, Store};
use super::views;

/// Recorded answer.
const ADDRESS_CHARS_MAX: usize = 255;
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

/// Recorded answer: an address id of nobody's fails the whole field, before the customer is looked at.
fn known_address(store: &Store, arguments: &Map<String, Value>) -> Result<u64, Failed> {
    let gid = arguments["addressId"].as_str().unwrap_or_default();
    let id = views::id_of("MailingAddress", gid);
    let known = id.filter(|id| {
        store.customers.values().any(|customer| customer.addresses.iter().any(|address| address.id == *id))
    });
    known.ok_or_else(|| Failed {
        message: format!("Invalid id: {}", gid.split('?').next().unwrap_or_default()),
        code: "RESOURCE_NOT_FOUND",
    })
}

fn under_address(mut problem: Problem) -> Problem {
    problem.field = Some(["address".to_owned()].into_iter().chain(problem.field.into_iter().flatten()).collect());
    problem
}

/// An address with the keys of a `MailingAddressInput` written over it; names default to the customer's (recorded answer).
pub(crate) fn normal(customer: &Customer, mut address: Address, input: &Value) -> Result<Address, Problem> {
    const KEYS: [&str; 12] = [
        "address1",
        "address2",
        "city",
        "company",
        "country",
        "countryCode",
        "firstName",
        "lastName",
        "phone",
        "province",
        "provinceCode",
        "zip",
    ];
    let fresh = address.fields.is_empty();
    for key in KEYS {
        let Some(given) = input.get(key).map(|value| value.as_str().unwrap_or_default().trim()) else { continue };
        if given.chars().count() > ADDRESS_CHARS_MAX {
            let label = format!("{}{}", key[..1].to_uppercase(), &key[1..]);
            return Err(Problem::new(
                &[key],
                format!("{label} is too long (maximum is {ADDRESS_CHARS_MAX} characters)"),
                "TOO_LONG",
            ));
        }
        if given.is_empty() {
            address.fields.remove(key);
        } else {
            address.fields.insert(key.to_owned(), given.to_owned());
        }
    }
    if address.fields.is_empty() {
        return Err(Problem::new(&[], "Customer address cannot be blank.", "BLANK"));
    }
    settle_country(&mut address, input)?;
    let names = [("firstName", &customer.first_name), ("lastName", &customer.last_name)];
    for (key, name) in names.into_iter().filter(|(key, _)| fresh && input.get(*key).is_none()) {
        address.fields.extend(name.iter().map(|name| (key.to_owned(), name.clone())));
    }
    Ok(address)
}

/// Codes and names of country and province follow each other, as far as this small list knows them.
fn settle_country(address: &mut Address, input: &Value) -> Result<(), Problem> {
    const COUNTRIES: [(&str, &str); 14] = [
        ("AU", "Australia"),
        ("CA", "Canada"),
        ("DE", "Germany"),
        ("ES", "Spain"),
        ("FR", "France"),
        ("GB", "United Kingdom"),
        ("IE", "Ireland"),
        ("IT", "Italy"),
        ("JP", "Japan"),
        ("NL", "Netherlands"),
        ("NZ", "New Zealand"),
        ("SG", "Singapore"),
        ("US", "United States"),
        ("ZA", "South Africa"),
    ];
    const PROVINCES: [(&str, &str, &str); 12] = [
        ("AU", "ACT", "Australian Capital Territory"),
        ("AU", "NSW", "New South Wales"),
        ("AU", "NT", "Northern Territory"),
        ("AU", "QLD", "Queensland"),
        ("AU", "SA", "South Australia"),
        ("AU", "TAS", "Tasmania"),
        ("AU", "VIC", "Victoria"),
        ("AU", "WA", "Western Australia"),
        ("CA", "ON", "Ontario"),
        ("CA", "QC", "Quebec"),
        ("US", "CA", "California"),
        ("US", "NY", "New York"),
    ];
    let given = |key: &str| input.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    if let Some(code) = given("countryCode") {
        if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Problem::new(&["countryCode"], "Country is invalid", "INVALID"));
        }
        let name = COUNTRIES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name);
        address.fields.insert("country".to_owned(), name.to_owned());
    } else if let Some(name) = given("country") {
        let known = COUNTRIES.iter().find(|(code, known)| known.eq_ignore_ascii_case(name) || *code == name);
        let (code, name) = known.ok_or_else(|| Problem::new(&["country"], "Country is invalid", "INVALID"))?;
        address
            .fields
            .extend([("countryCode".to_owned(), (*code).to_owned()), ("country".to_owned(), (*name).to_owned())]);
    }
    let country = address.get("countryCode").unwrap_or_default().to_owned();
    let mut provinces = PROVINCES.iter().filter(|(known, _, _)| *known == country);
    if let Some(code) = given("provinceCode") {
        let name = provinces.find(|(_, known, _)| *known == code).map_or(code, |(_, _, name)| name);
        address.fields.insert("province".to_owned(), name.to_owned());
    } else if let Some(name) = given("province")
        && let Some((_, code, name)) =
            provinces.find(|(_, code, known)| known.eq_ignore_ascii_case(name) || *code == name)
    {
        address
            .fields
            .extend([("provinceCode".to_owned(), (*code).to_owned()), ("province".to_owned(), (*name).to_owned())]);
    }
    Ok(())
}
