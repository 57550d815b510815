//! How a profile reads, in answers and in webhooks.
//! Changes nothing.

use serde_json::{Value, json};

use super::comms;
use super::model::{CUSTOM_ATTRIBUTES, EARNED, Profile, Row, WRITABLE};
use crate::clock;

/// Readable and null unless set (Omneo SDK types).
const EMPTY: [&str; 9] = [
    "birth_date",
    "birth_days",
    "birth_days_past",
    "joined_location",
    "next_birthday",
    "preferred_location",
    "organisations",
    "created_by",
    "regions",
];

/// The profile as `GET /profiles/{id}` has it, without the envelope.
pub(crate) fn view(promo_default: Option<bool>, profile: &Profile) -> Value {
    let get = |key: &str| profile.fields.get(key).cloned().unwrap_or_default();
    let mut view: Row = WRITABLE.iter().chain(&EARNED).chain(&EMPTY).map(|key| ((*key).to_owned(), get(key))).collect();
    let names = [get("first_name"), get("last_name")].map(|name| name.as_str().unwrap_or_default().to_owned());
    let primary = profile.identities.iter().find(|identity| identity["is_primary"] == true);
    let default = profile.addresses.iter().find(|address| address["is_default"] == true);
    let more = json!({
        "id": profile.id,
        "external_id": primary.map(|identity| &identity["identifier"]),
        "full_name": names.join(" ").trim(),
        "identities": profile.identities,
        "tags": profile.tags,
        "attributes": { "comms": comms::view(promo_default, profile), "appearance": {}, "dates": [] },
        "custom_attributes": custom_attributes(profile),
        "custom_fields": [],
        "statuses": [],
        "statuses_original": [],
        "address": default,
        "addresses": profile.addresses,
        "is_completed": true,
        "is_public": false,
        "created_at": clock::plain(profile.created_ms),
        "updated_at": clock::plain(profile.updated_ms),
    });
    view.extend(more.as_object().cloned().unwrap_or_default());
    for key in [
        "reward_balance",
        "point_balance",
        "point_balance_dollars",
        "benefit_balance",
        "credit_balance",
        "combined_balance_dollars",
    ] {
        let value = view[key].take();
        view.insert(key.to_owned(), if value.is_null() { json!(0) } else { value });
    }
    view.extend(phone_parts(view["mobile_phone"].as_str()));
    Value::Object(view)
}

/// Of each, what was given.
fn custom_attributes(profile: &Profile) -> Value {
    let rows = profile.fields.get(CUSTOM_ATTRIBUTES).and_then(Value::as_array).into_iter().flatten();
    let given = |row: &Value| {
        let [namespace, handle, ty, value] = ["namespace", "handle", "type", "value"].map(|key| row[key].clone());
        json!({ "namespace": namespace, "handle": handle, "type": ty, "value": value })
    };
    rows.map(given).collect()
}

/// The parts of the number that Omneo splits off; country codes of more than two digits are not known here.
fn phone_parts(phone: Option<&str>) -> Row {
    let digits = phone.and_then(|phone| phone.strip_prefix('+'));
    let code = digits.map(|digits| if digits.starts_with(['1', '7']) { 1 } else { 2 });
    let split = digits.zip(code).map(|(digits, code)| digits.split_at(code));
    let parts = json!({
        "mobile_phone_e164": phone,
        "mobile_phone_country": split.and_then(|(code, _)| code.parse::<u64>().ok()),
        "mobile_phone_national": split.map(|(_, rest)| rest),
        "mobile_phone_national_prefix": split.map(|(_, rest)| format!("0{rest}")),
    });
    parts.as_object().cloned().unwrap_or_default()
}

/// The body of profile webhooks: the profile at the root, and two flat lists.
pub(crate) fn context(promo_default: Option<bool>, profile: &Profile) -> Value {
    let mut body = view(promo_default, profile);
    body["flattened_tags"] = json!(profile.tags);
    body["flattened_statuses"] = json!(["active"]);
    body
}
