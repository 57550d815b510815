//! Webhooks that a tenant keeps, and what a token may do with them.
//! Knows nothing of when one is due: where events go is the stand-in's own setting.

use serde_json::{Value, json};

use super::store::{Errors, Row, Shelf, Store};
use crate::clock;

/// What may not be changed afterwards (Omneo docs).
const FIXED: [&str; 2] = ["id", "namespace"];

const QUEUES: [&str; 3] = ["high", "default", "low"];

/// The scope that a request on webhooks needs and the token lacks.
pub(crate) fn lacking(store: &Store, method: &str, path: &str) -> Option<String> {
    let verb = match method {
        "GET" => "read",
        "POST" => "create",
        "PUT" => "update",
        _ => "delete",
    };
    let scope = format!("{verb}-webhooks");
    let has = store.scopes.iter().any(|own| own == "*" || *own == scope);
    (path.starts_with("/webhooks") && !has).then_some(scope)
}

/// The tokens of this user: one.
pub(crate) fn tokens(store: &Store) -> Value {
    json!([{ "id": "1", "name": "tandem", "scopes": store.scopes, "revoked": false, "expires_at": null }])
}

/// A webhook, new or changed. Each trigger and address together is one webhook's (Omneo docs).
pub(crate) fn put(store: &mut Store, id: Option<u64>, input: &Row) -> Result<Row, Value> {
    let old = id.and_then(|id| store.webhooks.get(&id)).cloned();
    let now = clock::plain(store.now_ms);
    let default = json!({
        "user_id": 1, "is_active": true, "retry_hourly": false, "retry_daily": false, "queue": "low", "condition": null,
        "extra_data_template": null, "created_at": now, "updated_at": now,
    });
    let mut row = old.clone().or_else(|| default.as_object().cloned()).unwrap_or_default();
    let given = input.iter().filter(|(key, _)| old.is_none() || !FIXED.contains(&key.as_str()));
    row.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    // Omneo docs: an unknown queue is the low one.
    if row.get("queue").is_none_or(|queue| !QUEUES.iter().any(|known| queue == known)) {
        row.insert("queue".to_owned(), json!("low"));
    }
    if old.as_ref() != Some(&row) {
        row.insert("updated_at".to_owned(), json!(now));
    }
    if taken(&store.webhooks, id, &row) {
        let mut errors = Errors::default();
        errors.add("url", "The url has already been taken.");
        errors.check()?;
    }
    let id = id.unwrap_or_else(|| store.next_id());
    row.insert("id".to_owned(), json!(id));
    store.webhooks.insert(id, row.clone());
    Ok(row)
}

fn taken(webhooks: &Shelf, id: Option<u64>, row: &Row) -> bool {
    let same = |other: &Row| ["trigger", "url"].iter().all(|key| other.get(*key) == row.get(*key));
    webhooks.iter().any(|(known, other)| Some(*known) != id && same(other))
}
