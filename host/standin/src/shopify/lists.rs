//! The root fields that go through all of the shop's things: which of them a search leaves, and by what they are ordered.
//! Changes nothing, and knows nothing of pages.

use serde_json::{Map, Value};

use super::graphql::Failed;
use super::listing::{Key, count, page};
use super::model::Customer;
use super::search::{Field, Search};
use super::store::Store;
use super::views;
use crate::clock;

/// Shopify docs: older orders are shown only to whoever may read all of them.
const ORDERS_MS: i64 = 60 * 86_400_000;

/// A page, or how many there are.
pub(crate) fn resolve(store: &Store, field: &str, arguments: &Map<String, Value>) -> Result<Value, Failed> {
    let found = found(store, field, arguments);
    match field.strip_suffix("Count") {
        Some(_) => Ok(count(found.len(), arguments)),
        None => page(found, arguments, |id| show(store, field, id)),
    }
}

/// All of them by their ids, in the order asked for.
pub(crate) fn ids(store: &Store, field: &str, arguments: &Map<String, Value>) -> Vec<u64> {
    let mut found = found(store, field, arguments);
    found.sort();
    if arguments.get("reverse") == Some(&Value::Bool(true)) {
        found.reverse();
    }
    found.into_iter().map(|(_, id)| id).collect()
}

/// One of them.
pub(crate) fn show(store: &Store, field: &str, id: u64) -> Value {
    match field {
        "customers" => views::linked("Customer", id),
        "orders" => views::linked("Order", id),
        "products" => views::linked("Product", id),
        _ => store.locations.iter().find(|one| number(one) == id).cloned().unwrap_or_default(),
    }
}

fn found(store: &Store, field: &str, arguments: &Map<String, Value>) -> Vec<(Key, u64)> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let (search, sort) = (Search::read(text("query")), text("sortKey"));
    match field.trim_end_matches("Count") {
        "customers" => customers(store, &search, sort),
        "orders" => orders(store, &search, sort),
        "products" => products(store, &search, sort),
        "locations" => {
            // A count counts the inactive ones, too.
            let with_inactive =
                field.ends_with("Count") || arguments.get("includeInactive") == Some(&Value::Bool(true));
            locations(store, &search, sort, with_inactive)
        }
        _ => Vec::new(),
    }
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

/// Without leave to read all orders, those of the last 60 days are all there are.
fn orders(store: &Store, search: &Search, sort: &str) -> Vec<(Key, u64)> {
    let scopes = store.acting.as_ref().map_or(&store.facts.scopes, |acting| &acting.scopes);
    let from_ms = match scopes.iter().any(|scope| scope == "read_all_orders") {
        true => i64::MIN,
        false => store.now_ms - ORDERS_MS,
    };
    let kept = store.orders.iter().filter(|(id, body)| {
        created(body) >= from_ms
            && search.holds(|field| match field {
                "id" => Field::Number(signed(**id)),
                "name" => Field::Text(body["name"].as_str()),
                "email" => Field::Text(body["email"].as_str()),
                "customer_id" => Field::Number(body["customer"]["id"].as_u64().map_or(-1, signed)),
                "financial_status" => Field::Text(body["financial_status"].as_str()),
                "test" => Field::Text(Some(if body["test"] == true { "true" } else { "false" })),
                "created_at" => Field::Time(created(body)),
                "processed_at" => Field::Time(processed(body)),
                "updated_at" => Field::Time(time(body, "updated_at")),
                _ => Field::Unknown,
            })
    });
    let key = |id: u64, body: &Value| match sort {
        "ID" => Key::Number(signed(id)),
        "CREATED_AT" => Key::Number(created(body)),
        "UPDATED_AT" => Key::Number(time(body, "updated_at")),
        "ORDER_NUMBER" => Key::Number(body["order_number"].as_i64().unwrap_or_default()),
        _ => Key::Number(processed(body)),
    };
    kept.map(|(id, body)| (key(*id, body), *id)).collect()
}

fn products(store: &Store, search: &Search, sort: &str) -> Vec<(Key, u64)> {
    let kept = store.products.iter().filter(|(id, body)| {
        search.holds(|field| match field {
            "id" => Field::Number(signed(**id)),
            "title" => Field::Text(body["title"].as_str()),
            "handle" => Field::Text(body["handle"].as_str()),
            "vendor" => Field::Text(body["vendor"].as_str()),
            "status" => Field::Text(Some(body["status"].as_str().unwrap_or("active"))),
            "created_at" => Field::Time(time(body, "created_at")),
            "published_at" => Field::Time(time(body, "published_at")),
            "updated_at" => Field::Time(time(body, "updated_at")),
            _ => Field::Unknown,
        })
    });
    let text = |body: &Value, key: &str| Key::Text(body[key].as_str().unwrap_or_default().to_lowercase());
    let key = |id: u64, body: &Value| match sort {
        "CREATED_AT" => Key::Number(time(body, "created_at")),
        "UPDATED_AT" => Key::Number(time(body, "updated_at")),
        "PUBLISHED_AT" => Key::Number(time(body, "published_at")),
        "TITLE" => text(body, "title"),
        "VENDOR" => text(body, "vendor"),
        _ => Key::Number(signed(id)),
    };
    kept.map(|(id, body)| (key(*id, body), *id)).collect()
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

/// An order that does not say when it was made was made when it was paid.
pub(crate) fn created(order: &Value) -> i64 {
    time(order, if order["created_at"].is_string() { "created_at" } else { "processed_at" })
}

pub(crate) fn processed(order: &Value) -> i64 {
    time(order, if order["processed_at"].is_string() { "processed_at" } else { "created_at" })
}

pub(crate) fn time(body: &Value, key: &str) -> i64 {
    body[key].as_str().and_then(clock::parse).unwrap_or_default()
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
