//! Orders and transactions: what they require, what replaces what, how they read.
//! Knows nothing of routes; numbers are kept as the tokens they came as.

use serde_json::{Value, json};

use super::store::{Errors, Row, Store, text};
use crate::clock;

/// Omneo SDK types: what may be written. Other keys are ignored, as Laravel does.
const TRANSACTION_KEYS: [&str; 31] = [
    "currency",
    "custom_fields",
    "external_id",
    "external_order_id",
    "fees",
    "is_void",
    "linked_receipt_ref",
    "location_id",
    "margin",
    "meta",
    "need_action",
    "order_id",
    "order_number",
    "organisation_id",
    "payments",
    "profile_id",
    "receipt_email",
    "receipt_is_email",
    "receipt_ref",
    "redemption_id",
    "rounding",
    "staff_id",
    "status",
    "systems",
    "tags",
    "tender",
    "timezone",
    "total",
    "total_original",
    "transacted_at",
    "type",
];
/// Of those, what `update-create` does not take.
const NOT_IN_UPDATE_CREATE: [&str; 6] = ["custom_fields", "fees", "order_id", "order_number", "status", "type"];
const ORDER_KEYS: [&str; 24] = [
    "currency",
    "custom_fields",
    "due_date",
    "external_id",
    "fees",
    "is_void",
    "location_id",
    "margin",
    "meta",
    "order_number",
    "organisation_id",
    "payments",
    "profile_id",
    "receipt_email",
    "receipt_ref",
    "rounding",
    "staff_id",
    "status",
    "systems",
    "tags",
    "timezone",
    "total",
    "total_original",
    "transacted_at",
];
pub(crate) const SALE_REQUIRED: &[&str] = &["total", "transacted_at", "timezone", "items"];

/// Whether a purchase is finished, which decides its keys and what its items must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Transaction,
    /// A transaction through `update-create`.
    Upsert,
    Order,
}

impl Kind {
    fn takes(self, key: &str) -> bool {
        match self {
            Kind::Transaction => TRANSACTION_KEYS.contains(&key),
            Kind::Upsert => TRANSACTION_KEYS.contains(&key) && !NOT_IN_UPDATE_CREATE.contains(&key),
            Kind::Order => ORDER_KEYS.contains(&key),
        }
    }

    fn item_required(self) -> &'static [&'static str] {
        if self == Kind::Order { &["name", "quantity"] } else { &["name", "quantity", "price_current", "price_sell"] }
    }

    fn event(self) -> &'static str {
        if self == Kind::Order { "order" } else { "transaction" }
    }
}

/// `POST /transactions/update-create`: looks for `external_id`, then for `id` (Omneo docs); whether it was created, and the row.
pub(crate) fn update_create(store: &mut Store, input: &Row) -> Result<(bool, Row), Value> {
    let external =
        input.get("external_id").and_then(text).and_then(|external| by_external(store.transactions.iter(), &external));
    let id =
        external.or_else(|| input.get("id").and_then(Value::as_u64).filter(|id| store.transactions.contains_key(id)));
    Ok((id.is_none(), sale(store, Kind::Upsert, id, input)?))
}

/// The id of the row with this external id.
pub(crate) fn by_external<'a>(mut rows: impl Iterator<Item = (&'a u64, &'a Row)>, external: &str) -> Option<u64> {
    rows.find(|(_, row)| row.get("external_id").and_then(text).as_deref() == Some(external)).map(|(id, _)| *id)
}

/// Creates or changes an order or a transaction.
pub(crate) fn sale(store: &mut Store, kind: Kind, id: Option<u64>, input: &Row) -> Result<Row, Value> {
    let mut errors = Errors::default();
    if id.is_none() {
        errors.require(input, SALE_REQUIRED, "");
    }
    // A known defect of the API, says its SDK: these two may be absent but not null.
    for key in ["receipt_is_email", "is_void"] {
        if input.get(key).is_some_and(|value| !value.is_boolean()) {
            errors.add(key, format!("The {} field must be true or false.", key.replace('_', " ")));
        }
    }
    check_numbers(input, &["total", "total_original", "rounding"], "", &mut errors);
    if input.get("transacted_at").and_then(Value::as_str).is_some_and(|time| clock::parse(time).is_none()) {
        errors.add("transacted_at", "The transacted at is not a valid date.");
    }
    if input.get("timezone").and_then(Value::as_str).is_some_and(|zone| !zone.contains('/') && zone != "UTC") {
        errors.add("timezone", "The timezone must be a valid zone.");
    }
    let none = Row::new();
    let items: Vec<&Row> = input
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|item| item.as_object().unwrap_or(&none))
        .collect();
    for (at, item) in items.iter().enumerate() {
        let prefix = format!("items.{at}.");
        errors.require(item, kind.item_required(), &prefix);
        check_numbers(
            item,
            &["quantity", "price_current", "price_sell", "price_original", "price_tax"],
            &prefix,
            &mut errors,
        );
    }
    let profile = owner(store, input, &mut errors);
    errors.check()?;
    let shelf = if kind == Kind::Order { &store.orders } else { &store.transactions };
    let old = id.and_then(|id| shelf.get(&id)).cloned();
    let mut row = old.clone().unwrap_or_else(|| blank_sale(store, kind));
    let id = row["id"].clone();
    for (key, value) in
        input.iter().filter(|(key, _)| kind.takes(key) && !["profile_id", "location_id"].contains(&key.as_str()))
    {
        let value = match key.as_str() {
            "transacted_at" | "due_date" => value.as_str().and_then(clock::parse).map(clock::plain).into(),
            "external_id" | "external_order_id" => text(value).into(),
            _ => value.clone(),
        };
        row.insert(key.clone(), value);
    }
    if let Some(profile) = profile {
        row.insert("profile_id".to_owned(), profile);
    }
    if let Some(location) = input.get("location_id").and_then(text) {
        let location = placed(store, &location);
        row.insert("location".to_owned(), location);
    }
    if input.contains_key("items") {
        let replace = old.is_none() || input.get("delete_existing_items") == Some(&Value::Bool(true));
        let known = row["items"].take();
        let items =
            merged_items(store, kind, &id, known.as_array().map(Vec::as_slice).unwrap_or_default(), &items, replace);
        row.insert("items".to_owned(), json!(items));
    }
    keep(store, kind, old, row)
}

fn keep(store: &mut Store, kind: Kind, old: Option<Row>, mut row: Row) -> Result<Row, Value> {
    if old.as_ref() != Some(&row) {
        let verb = if old.is_some() { "updated" } else { "created" };
        row.insert("updated_at".to_owned(), json!(clock::plain(store.now_ms)));
        store.event(&format!("{}.{verb}", kind.event()), Value::Object(row.clone()));
    }
    let shelf = if kind == Kind::Order { &mut store.orders } else { &mut store.transactions };
    shelf.insert(row["id"].as_u64().unwrap_or_default(), row.clone());
    Ok(row)
}

fn check_numbers(input: &Row, keys: &[&str], prefix: &str, errors: &mut Errors) {
    let numeric = |value: &Value| {
        value.is_number() || value.is_null() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok())
    };
    for key in keys.iter().filter(|key| input.get(**key).is_some_and(|value| !numeric(value))) {
        let field = format!("{prefix}{key}");
        let message = format!("The {} must be a number.", field.replace('_', " "));
        errors.add(field, message);
    }
}

/// `profile_id` is a UUID, an e-mail or an identifier, as `profile_id_handle` says (Omneo docs). What it does with an
/// identity of nobody's is not documented; here it is refused.
fn owner(store: &Store, input: &Row, errors: &mut Errors) -> Option<Value> {
    let given = input.get("profile_id")?;
    let Some(id) = text(given) else { return Some(Value::Null) };
    let found = match input.get("profile_id_handle").and_then(Value::as_str) {
        None => store.profile(&id),
        Some("email") => store.by_field("email", &id.to_lowercase()),
        Some(handle) => store.by_identity(handle, &id),
    };
    if found.is_none() {
        errors.add("profile_id", "The selected profile id is invalid.");
    }
    found.map(|profile| json!(profile.id))
}

fn blank_sale(store: &mut Store, kind: Kind) -> Row {
    let keys = if kind == Kind::Order { ORDER_KEYS.as_slice() } else { TRANSACTION_KEYS.as_slice() };
    let mut row: Row = keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    let now = clock::plain(store.now_ms);
    let more = json!({ "id": store.next_id(), "is_void": false, "items": [], "location": null, "tags": [], "systems": [], "created_at": now, "updated_at": now });
    row.extend(more.as_object().cloned().unwrap_or_default());
    row
}

/// An item with a known `external_id` keeps its id, whether the rest of the list is replaced or not.
fn merged_items(
    store: &mut Store,
    kind: Kind,
    id: &Value,
    known: &[Value],
    given: &[&Row],
    replace: bool,
) -> Vec<Value> {
    let mut items: Vec<Value> = if replace { Vec::new() } else { known.to_vec() };
    for item in given {
        let external = item.get("external_id").and_then(text);
        let same = |known: &&Value| {
            external.is_some() && known["external_id"].as_str() == external.as_deref()
                || item.get("id").is_some_and(|id| known["id"] == *id)
        };
        let old = known.iter().find(same);
        let mut row = (*item).clone();
        row.insert("external_id".to_owned(), external.clone().into());
        row.insert("id".to_owned(), old.map_or_else(|| json!(store.next_id()), |old| old["id"].clone()));
        row.insert(format!("{}_id", kind.event()), id.clone());
        row.insert("is_return".to_owned(), json!(row["quantity"].to_string().trim_matches('"').starts_with('-')));
        match items.iter().position(|other| other["id"] == row["id"]) {
            Some(at) => items[at] = Value::Object(row),
            None => items.push(Value::Object(row)),
        }
    }
    items
}

/// The location with this id, external id or code; a placeholder is made for one nobody knows (Omneo docs: locations).
fn placed(store: &mut Store, wanted: &str) -> Value {
    let same = |row: &&Row| {
        ["id", "external_id", "external_code"].iter().any(|key| row.get(*key).and_then(text).as_deref() == Some(wanted))
    };
    let found = store.locations.values().find(same).cloned();
    let row = found.unwrap_or_else(|| {
        let id = store.next_id();
        let row = json!({ "id": id, "name": format!("Location {wanted}"), "external_id": wanted })
            .as_object()
            .cloned()
            .unwrap_or_default();
        store.locations.insert(id, row.clone());
        row
    });
    Value::Object(row)
}
