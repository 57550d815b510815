//! What Omneo does to a profile's values before it keeps them, when it refuses them, and how a profile reads.
//! Knows nothing of routes.

use serde_json::{Map, Value, json};

use super::lists::Field;
use super::model::{EARNED, WRITABLE};
use super::store::{Errors, Profile, Row, Store, text};
use super::{addresses, attributes, comms, views};
use crate::clock;

/// Omneo docs: profiles overview.
const TYPES: [&str; 7] = ["active", "deleted", "dependant", "incomplete", "pending", "system", "temporary"];

/// The answer that Omneo's SDK looks for.
const PHONE_EXISTS: &str = "The phone number exists";

/// The profile as it would be after `input`; or the 422 body. `engine` may also write what members earn.
pub(crate) fn apply(store: &mut Store, old: Option<&Profile>, input: &Row, engine: bool) -> Result<Profile, Value> {
    let mut new = old.cloned().unwrap_or_else(|| blank(store));
    let mut errors = Errors::default();
    if old.is_none() {
        errors.require(input, &["email"], "");
    }
    for (key, value) in
        input.iter().filter(|(key, _)| WRITABLE.contains(&key.as_str()) || engine && EARNED.contains(&key.as_str()))
    {
        let value = match key.as_str() {
            "first_name" | "last_name" => json!(name(value.as_str().unwrap_or_default())),
            "email" => email(store, &new.id, value, &mut errors),
            "mobile_phone" | "secondary_phone" => phone(store, &new.id, key, value, &mut errors),
            "joined_at" => value.as_str().and_then(clock::parse).map(clock::plain).into(),
            _ => value.clone(),
        };
        new.fields.insert(key.clone(), value);
    }
    if let Some(tags) = input.get("tags").and_then(Value::as_array) {
        let tags = unique_tags(tags);
        let sorted = |tags: &[String]| {
            let mut tags = tags.to_vec();
            tags.sort();
            tags
        };
        // Another order is no change.
        if sorted(&tags) != sorted(&new.tags) {
            new.tags = tags;
        }
    }
    if let Some(given) = input.get("custom_attributes").and_then(Value::as_array) {
        for attribute in given {
            attributes::put(store, &mut new, attribute);
        }
    }
    for comms in [
        &input.get("attributes").unwrap_or(&Value::Null)["comms"],
        input.get("comms_attributes").unwrap_or(&Value::Null),
    ] {
        comms::apply(&mut new, comms);
    }
    for (at, identity) in input.get("identities").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let held = new.identities.iter().any(|known| {
            known["handle"] == identity["handle"]
                && Some(&known["identifier"]) == text(&identity["identifier"]).map(Value::from).as_ref()
        });
        if !held {
            add_identity(store, &mut new, identity, &format!("identities.{at}."), &mut errors);
        }
    }
    for address in input.get("addresses").and_then(Value::as_array).into_iter().flatten() {
        addresses::apply(store, &mut new, address.as_object().unwrap_or(&Map::new()), None, &mut errors);
    }
    errors.check()?;
    Ok(new)
}

fn blank(store: &mut Store) -> Profile {
    let unknown = |key: &str| (key.to_owned(), json!("Unknown"));
    let mut fields: Row = [unknown("first_name"), unknown("last_name")].into_iter().collect();
    fields.insert("profile_type".to_owned(), json!("active"));
    fields.insert("joined_at".to_owned(), json!(clock::plain(store.now_ms)));
    Profile {
        id: store.next_uuid(),
        fields,
        tags: Vec::new(),
        identities: Vec::new(),
        comms: Row::new(),
        addresses: Vec::new(),
        deleted: false,
        created_ms: store.now_ms,
        updated_ms: store.now_ms,
    }
}

/// A live test of Omneo's SDK writes `SDK test profile batch` and finds `Sdk Test Profile Batch`: each word gets one capital.
fn name(given: &str) -> String {
    let mut capital = true;
    let cased = given.trim().chars().flat_map(|c| {
        let cased: Vec<char> = if capital { c.to_uppercase().collect() } else { c.to_lowercase().collect() };
        capital = c.is_whitespace() || c == '-';
        cased
    });
    Some(cased.collect::<String>()).filter(|name| !name.is_empty()).unwrap_or_else(|| "Unknown".to_owned())
}

fn email(store: &Store, id: &str, value: &Value, errors: &mut Errors) -> Value {
    let email = value.as_str().unwrap_or_default().trim().to_lowercase();
    let shaped = email
        .split_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.') && !email.contains(char::is_whitespace));
    if email.is_empty() {
        errors.add("email", "The email field is required.");
    } else if !shaped {
        errors.add("email", "The email must be a valid email address.");
    } else if store.by_field("email", &email).is_some_and(|other| other.id != id) {
        errors.add("email", "The email has already been taken.");
    }
    json!(email)
}

/// E.164; a national number is taken for an Australian one, as the documented samples are.
fn phone(store: &Store, id: &str, key: &str, value: &Value, errors: &mut Errors) -> Value {
    let given: String =
        text(value).unwrap_or_default().chars().filter(|c| !c.is_whitespace() && !"-.()".contains(*c)).collect();
    if given.is_empty() {
        return Value::Null;
    }
    let digits = given
        .strip_prefix('+')
        .map(str::to_owned)
        .or_else(|| given.strip_prefix('0').filter(|rest| rest.len() == 9).map(|rest| format!("61{rest}")));
    let digits =
        digits.filter(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
    let Some(digits) = digits else {
        errors.add(key, format!("The {} field contains an invalid number.", key.replace('_', " ")));
        return Value::Null;
    };
    let phone = format!("+{digits}");
    // Only the first slot is unique; a clash goes to the second (Omneo docs: core fields).
    if key == "mobile_phone" && store.by_field(key, &phone).is_some_and(|other| other.id != id) {
        errors.add(key, PHONE_EXISTS);
    }
    json!(phone)
}

/// Omneo docs: blanks become hyphens, and the list given is the whole list.
fn unique_tags(given: &[Value]) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in
        given.iter().filter_map(Value::as_str).map(|tag| tag.trim().replace(' ', "-")).filter(|tag| !tag.is_empty())
    {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// The profile as one of another type.
pub(crate) fn of_type(mut profile: Profile, ty: &str) -> Result<Profile, Value> {
    if !TYPES.contains(&ty) {
        let mut errors = Errors::default();
        errors.add("profile_type", "The selected profile type is invalid.");
        errors.check()?;
    }
    profile.fields.insert("profile_type".to_owned(), json!(ty));
    Ok(profile)
}

/// What `filter[search]` looks through.
pub(crate) fn words(profile: &&Profile) -> String {
    let fields = ["first_name", "last_name", "email", "mobile_phone", "secondary_phone"];
    let fields = fields.iter().filter_map(|key| profile.fields.get(*key)?.as_str());
    let identifiers = profile.identities.iter().filter_map(|identity| identity["identifier"].as_str());
    fields.chain(identifiers).collect::<Vec<_>>().join(" ")
}

/// What a profile has in a field that lists are filtered and ordered by. Preferences and what is made of other values are not
/// looked for.
pub(crate) fn field(profile: &&Profile, name: &str) -> Field {
    Field::Value(match name {
        "created_at" => return Field::Time(profile.created_ms),
        "updated_at" => return Field::Time(profile.updated_ms),
        "id" => json!(profile.id),
        "tags" => json!(profile.tags),
        "identities" => json!(profile.identities),
        "addresses" => json!(profile.addresses),
        name => profile.fields.get(name).cloned().unwrap_or_default(),
    })
}

/// Handle and identifier are unique together, over all profiles, this one included.
pub(crate) fn add_identity(
    store: &mut Store,
    profile: &mut Profile,
    given: &Value,
    prefix: &str,
    errors: &mut Errors,
) -> Option<Row> {
    let (handle, identifier) =
        (given["handle"].as_str().unwrap_or_default().to_owned(), text(&given["identifier"]).unwrap_or_default());
    for (key, value) in [("handle", &handle), ("identifier", &identifier)] {
        if value.is_empty() {
            errors.add(format!("{prefix}{key}"), format!("The {key} field is required."));
            return None;
        }
    }
    let own = profile.identities.iter().any(|known| known["handle"] == handle && known["identifier"] == identifier);
    if own || store.by_identity(&handle, &identifier).is_some() {
        errors.add(format!("{prefix}identifier"), "The identifier has already been taken.");
        return None;
    }
    let now = clock::plain(store.now_ms);
    let identity = json!({
        "id": store.next_id(),
        "handle": handle,
        "identifier": identifier,
        "is_primary": given["is_primary"] == true,
        "is_active": given["is_active"] != false,
        "merged_from": null,
        "profile_id": profile.id,
        "created_at": now,
        "updated_at": now,
    });
    let identity = identity.as_object().cloned()?;
    profile.identities.push(identity.clone());
    Some(identity)
}

/// Moves what hangs on `source` to `destination` and deletes `source` (Omneo docs: merging profiles). False when one is missing.
pub(crate) fn merge(store: &mut Store, source: &str, destination: &str) -> bool {
    let (Some(source), Some(mut winner)) = (store.profile(source).cloned(), store.profile(destination).cloned()) else {
        return false;
    };
    if source.id == winner.id {
        return false;
    }
    for mut identity in source.identities.clone() {
        identity.insert("merged_from".to_owned(), json!(source.id));
        identity.insert("profile_id".to_owned(), json!(winner.id));
        winner.identities.push(identity);
    }
    for mut address in source.addresses.clone() {
        address.insert("profile_id".to_owned(), json!(winner.id));
        address.insert("is_default".to_owned(), json!(address["is_default"] == true && winner.addresses.is_empty()));
        winner.addresses.push(address);
    }
    for row in
        store.transactions.values_mut().chain(store.orders.values_mut()).filter(|row| row["profile_id"] == source.id)
    {
        row.insert("profile_id".to_owned(), json!(winner.id));
    }
    winner.updated_ms = store.now_ms;
    store.profiles.put(Profile { deleted: true, identities: Vec::new(), addresses: Vec::new(), ..source });
    store.profiles.put(winner.clone());
    let body = views::context(store.promo_default, &winner);
    store.event("profile.merged", body);
    true
}
