//! A profile's addresses: what they require, and the one default among them.
//! Knows nothing of routes.

use serde_json::{Value, json};

use super::store::{Errors, Profile, Row, Store, text};
use crate::clock;

/// Omneo's documentation of addresses.
pub(crate) const REQUIRED: &[&str] = &["address_line_1", "city", "country", "postcode"];

const KEYS: [&str; 19] = [
    "address_line_1",
    "address_line_2",
    "address_line_3",
    "city",
    "company",
    "country",
    "custom_fields",
    "external_id",
    "iso",
    "iso_state",
    "is_default",
    "latitude",
    "longitude",
    "meta",
    "name",
    "notes",
    "phone",
    "postcode",
    "state",
];

/// Creates an address, or changes the one with this id; one address at most is the default.
pub(crate) fn apply(
    store: &mut Store,
    profile: &mut Profile,
    given: &Row,
    id: Option<&Value>,
    errors: &mut Errors,
) -> Option<Row> {
    let found = id.and_then(|id| profile.addresses.iter().position(|known| known["id"] == *id));
    let mut row = match found {
        Some(at) => profile.addresses[at].clone(),
        None => {
            errors.require(given, REQUIRED, "");
            let mut row: Row = KEYS.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
            row.insert("is_default".to_owned(), json!(profile.addresses.is_empty()));
            row.insert("profile_id".to_owned(), json!(profile.id));
            row.insert("id".to_owned(), json!(store.next_id()));
            row.insert("created_at".to_owned(), json!(clock::plain(store.now_ms)));
            row
        }
    };
    let before = row.clone();
    for (key, value) in given.iter().filter(|(key, _)| KEYS.contains(&key.as_str())) {
        let value = if key == "external_id" { text(value).into() } else { value.clone() };
        row.insert(key.clone(), value);
    }
    if found.is_none() || row != before {
        row.insert("updated_at".to_owned(), json!(clock::plain(store.now_ms)));
    }
    if row["is_default"] == true {
        profile.addresses.iter_mut().for_each(|other| drop(other.insert("is_default".to_owned(), json!(false))));
    }
    match found {
        Some(at) => profile.addresses[at] = row.clone(),
        None => profile.addresses.push(row.clone()),
    }
    Some(row)
}
