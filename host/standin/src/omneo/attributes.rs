//! A profile's custom attributes: rows with an id, of which the profile itself shows the four that were given.
//! Knows nothing of routes.

use serde_json::{Value, json};

use super::model::{CUSTOM_ATTRIBUTES, Profile};
use super::store::Store;
use crate::clock;

const GIVEN: [&str; 4] = ["namespace", "handle", "type", "value"];

/// The rows, whole.
pub(crate) fn all(profile: &Profile) -> Vec<Value> {
    profile.fields.get(CUSTOM_ATTRIBUTES).and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(crate) fn find(profile: &Profile, namespace: &str, handle: &str) -> Option<Value> {
    all(profile).into_iter().find(|one| is_it(one, namespace, handle))
}

/// Sets one; its row.
pub(crate) fn put(store: &mut Store, profile: &mut Profile, given: &Value) -> Value {
    let (namespace, handle) =
        (given["namespace"].as_str().unwrap_or_default(), given["handle"].as_str().unwrap_or_default());
    let mut rows = all(profile);
    let at = rows.iter().position(|one| is_it(one, namespace, handle));
    let now = clock::plain(store.now_ms);
    let mut row = at.map_or_else(
        || json!({ "id": store.next_id(), "profile_id": profile.id, "created_at": now, "updated_at": now }),
        |at| rows[at].clone(),
    );
    if GIVEN.iter().any(|key| row[*key] != given[*key]) {
        row["updated_at"] = json!(now);
    }
    for key in GIVEN {
        row[key] = given[key].clone();
    }
    match at {
        Some(at) => rows[at] = row.clone(),
        None => rows.push(row.clone()),
    }
    profile.fields.insert(CUSTOM_ATTRIBUTES.to_owned(), json!(rows));
    row
}

/// Whether it was there.
pub(crate) fn remove(profile: &mut Profile, namespace: &str, handle: &str) -> bool {
    let mut rows = all(profile);
    let before = rows.len();
    rows.retain(|one| !is_it(one, namespace, handle));
    let was_there = rows.len() < before;
    if was_there {
        profile.fields.insert(CUSTOM_ATTRIBUTES.to_owned(), json!(rows));
    }
    was_there
}

fn is_it(one: &Value, namespace: &str, handle: &str) -> bool {
    one["namespace"] == namespace && one["handle"] == handle
}
