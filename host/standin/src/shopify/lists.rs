//! The root fields that go through all of the shop's things: which of them a search leaves, and by what they are ordered.
//! Changes nothing, and knows nothing of pages.

use serde_json::{Map, Value};

use super::graphql::Failed;
use super::listing::{Key, count, page};
use super::model::Customer;
use super::search::{Field, Search};
use super::store::Store;
use super::views;

pub(crate) fn resolve(store: &Store, field: &str, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default();
    let search = Search::read(query);
    let sort = arguments.get("sortKey").and_then(Value::as_str).unwrap_or_default();
    if field.starts_with("customers") {
        let found = customers(store, &search, sort);
        if field == "customersCount" {
            return Ok(count(found.len(), arguments));
        }
        return page(found, arguments, |id| views::linked("Customer", id));
    }
    let found = locations(store, &search, sort, arguments.get("includeInactive") == Some(&Value::Bool(true)));
    if field == "locationsCount" {
        return Ok(count(found.len(), arguments));
    }
    page(found, arguments, |id| store.locations.iter().find(|one| number(one) == id).cloned().unwrap_or_default())
}

fn customers(store: &Store, search: &Search, sort: &str) -> Vec<(Key, u64)> {
    let offset_minutes = store.facts.offset_minutes;
    let kept = store.customers.values().filter(|customer| {
        search.holds(|field| match field {
            "id" => Field::Number(signed(customer.id)),
            "email" => Field::Text(customer.email.as_deref()),
            "phone" => Field::Text(customer.phone.as_deref()),
            "first_name" => Field::Text(customer.first_name.as_deref()),
            "last_name" => Field::Text(customer.last_name.as_deref()),
            "state" => Field::Text(Some(&customer.state)),
            "tag" => Field::AnyOf(&customer.tags),
            "created_at" => Field::Time(customer.created_ms),
            // SDL: these two match whole days.
            "updated_at" => Field::Day(customer.updated_ms, offset_minutes),
            "customer_date" => Field::Day(customer.created_ms, offset_minutes),
            _ => Field::Unknown,
        })
    });
    kept.map(|customer| (customer_key(customer, sort), customer.id)).collect()
}

fn customer_key(customer: &Customer, sort: &str) -> Key {
    match sort {
        "CREATED_AT" => Key::Number(customer.created_ms),
        "UPDATED_AT" => Key::Number(customer.updated_ms),
        "NAME" => {
            let part = |name: &Option<String>| name.clone().unwrap_or_default().to_lowercase();
            Key::Text(format!("{}, {}", part(&customer.last_name), part(&customer.first_name)))
        }
        _ => Key::Number(signed(customer.id)),
    }
}

fn locations(store: &Store, search: &Search, sort: &str, with_inactive: bool) -> Vec<(Key, u64)> {
    let kept = store.locations.iter().filter(|one| with_inactive || one["isActive"] == true).filter(|one| {
        search.holds(|field| match field {
            "id" | "location_id" => Field::Number(signed(number(one))),
            "name" => Field::Text(one["name"].as_str()),
            _ => Field::Unknown,
        })
    });
    let key = |one: &Value| match sort {
        "ID" => Key::Number(signed(number(one))),
        _ => Key::Text(one["name"].as_str().unwrap_or_default().to_lowercase()),
    };
    kept.map(|one| (key(one), number(one))).collect()
}

fn number(location: &Value) -> u64 {
    location["id"].as_str().and_then(views::number).unwrap_or_default()
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
