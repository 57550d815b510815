//! Products and locations: what replaces what.
//! Knows nothing of sales.

use serde_json::{Value, json};

use super::commerce::by_external;
use super::store::{Errors, Row, Store, text};
use crate::clock;

/// Omneo SDK types: what a row has, whether it was given or not.
const PRODUCT: [&str; 16] = [
    "id",
    "title",
    "handle",
    "external_id",
    "type",
    "status",
    "brand",
    "department",
    "link_brand",
    "link_department",
    "description",
    "web_url",
    "currency",
    "position",
    "meta",
    "organisation",
];
const PRODUCT_LISTS: [&str; 7] = ["images", "systems", "channels", "tags", "options", "custom_fields", "variants"];
const VARIANT: [&str; 18] = [
    "id",
    "product_id",
    "sku",
    "external_id",
    "barcode",
    "web_url",
    "handle",
    "title",
    "description",
    "position",
    "price",
    "price_discounted",
    "price_comparison",
    "price_cost",
    "available_quantity",
    "meta",
    "created_at",
    "updated_at",
];
const VARIANT_LISTS: [&str; 3] = ["images", "tags", "options"];
const LOCATION: [&str; 14] = [
    "id",
    "type",
    "name",
    "handle",
    "description",
    "phone",
    "email",
    "timezone",
    "external_id",
    "external_code",
    "icon",
    "image_url",
    "country_iso_3",
    "address",
];
const LOCATION_LISTS: [&str; 5] = ["normal_hours", "special_hours", "tags", "custom_fields", "departments"];

fn blank(values: &[&str], lists: &[&str]) -> Row {
    let values = values.iter().map(|key| ((*key).to_owned(), Value::Null));
    values.chain(lists.iter().map(|key| ((*key).to_owned(), json!([])))).collect()
}

/// `POST /products/queue`: by external id, its variants by sku (Omneo docs). Applied at once here, though Omneo takes its time.
pub(crate) fn queue_product(store: &mut Store, input: &Row) -> Result<(), Value> {
    let mut errors = Errors::default();
    let none = Row::new();
    let given: Vec<&Row> = input
        .get("variants")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|variant| variant.as_object().unwrap_or(&none))
        .collect();
    for (at, variant) in given.iter().enumerate() {
        errors.require(variant, &["sku"], &format!("variants.{at}."));
    }
    errors.check()?;
    let external = input.get("external_id").and_then(text).unwrap_or_default();
    let id = by_external(store.products.iter(), &external);
    let old = id.and_then(|id| store.products.get(&id)).cloned();
    let mut row = old.clone().unwrap_or_else(|| blank(&PRODUCT, &PRODUCT_LISTS));
    row.extend(
        input
            .iter()
            .filter(|(key, _)| !["variants", "archive_existing_variants", "id"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    let id = id.unwrap_or_else(|| store.next_id());
    row.insert("id".to_owned(), json!(id));
    row.insert("external_id".to_owned(), json!(external));
    let known = row.get("variants").and_then(Value::as_array).cloned().unwrap_or_default();
    let archive = input.get("archive_existing_variants") == Some(&Value::Bool(true));
    let mut variants = if archive { Vec::new() } else { known.clone() };
    for variant in given {
        let same = |other: &Value| text(&other["sku"]) == text(&variant["sku"]);
        let before = known.iter().find(|other| same(other)).and_then(Value::as_object).cloned();
        let mut new = before.clone().unwrap_or_else(|| blank(&VARIANT, &VARIANT_LISTS));
        new.extend(variant.clone());
        new.insert("product_id".to_owned(), json!(id));
        let now = json!(clock::plain(store.now_ms));
        if new["id"].is_null() {
            new.insert("id".to_owned(), json!(store.next_id()));
            new.insert("created_at".to_owned(), now.clone());
        }
        if before.as_ref() != Some(&new) {
            new.insert("updated_at".to_owned(), now);
        }
        match variants.iter().position(same) {
            Some(at) => variants[at] = Value::Object(new),
            None => variants.push(Value::Object(new)),
        }
    }
    row.insert("variants".to_owned(), json!(variants));
    put(store, "product", id, old, row);
    Ok(())
}

/// Makes a tag; one that is there already stays as it is.
pub(crate) fn put_tag(store: &mut Store, handle: &str) -> Row {
    let handle = handle.trim().replace(' ', "-");
    if let Some(known) = store.tags.values().find(|tag| tag["handle"] == handle.as_str()) {
        return known.clone();
    }
    let (id, now) = (store.next_id(), clock::plain(store.now_ms));
    let row = json!({ "id": id, "handle": handle, "created_at": now, "updated_at": now });
    let row = row.as_object().cloned().unwrap_or_default();
    store.tags.insert(id, row.clone());
    row
}

/// Creates or changes a location; any keys, since nothing here depends on them.
pub(crate) fn put_location(store: &mut Store, id: Option<u64>, input: &Row) -> Row {
    let old = id.and_then(|id| store.locations.get(&id)).cloned();
    let id = id.unwrap_or_else(|| store.next_id());
    let mut row = old.clone().unwrap_or_else(|| {
        let mut row = blank(&LOCATION, &LOCATION_LISTS);
        row.insert("is_published".to_owned(), json!(true));
        row.insert("is_permanently_closed".to_owned(), json!(false));
        row
    });
    row.extend(input.clone());
    row.insert("id".to_owned(), json!(id));
    put(store, "location", id, old, row)
}

/// Deletes a location; what was sold there goes to the heir, if one is named. How Omneo wants it named is not documented:
/// its app for Shopify needs one and takes it from its settings.
pub(crate) fn delete_location(store: &mut Store, id: u64, heir: Option<&str>) -> Result<bool, Value> {
    if !store.locations.contains_key(&id) {
        return Ok(false);
    }
    let heir_row = heir.and_then(|heir| store.locations.get(&heir.parse().ok().filter(|heir| *heir != id)?)).cloned();
    if heir.is_some() && heir_row.is_none() {
        let mut errors = Errors::default();
        errors.add("fallback_location_id", "The selected fallback location id is invalid.");
        errors.check()?;
    }
    store.locations.remove(&id);
    if let Some(heir) = heir_row {
        for sale in store.transactions.values_mut().chain(store.orders.values_mut()) {
            if sale.get("location").is_some_and(|location| location["id"] == id) {
                sale.insert("location".to_owned(), Value::Object(heir.clone()));
            }
        }
    }
    Ok(true)
}

fn put(store: &mut Store, kind: &str, id: u64, old: Option<Row>, mut row: Row) -> Row {
    let now = json!(clock::plain(store.now_ms));
    if row.get("created_at").is_none_or(Value::is_null) {
        row.insert("created_at".to_owned(), now.clone());
    }
    if old.as_ref() != Some(&row) {
        row.insert("updated_at".to_owned(), now);
        let verb = if old.is_some() { "updated" } else { "created" };
        store.event(&format!("{kind}.{verb}"), Value::Object(row.clone()));
    }
    let shelf = if kind == "product" { &mut store.products } else { &mut store.locations };
    shelf.insert(id, row.clone());
    row
}
