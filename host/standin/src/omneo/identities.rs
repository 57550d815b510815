//! A profile's identities by their handle and by their id: read, changed, taken away; and the identities of all.
//! Knows nothing of how a new one is added.

use serde_json::{Value, json};

use super::store::{Errors, Profile, Row, Store, text};
use crate::clock;

/// Where a profile has the identity that a path names.
pub(crate) fn at(profile: &Profile, by_id: bool, named: &str) -> Option<usize> {
    let is_it = |identity: &Row| match by_id {
        true => identity["id"].as_u64().is_some_and(|id| named.parse() == Ok(id)),
        false => identity["handle"] == named,
    };
    profile.identities.iter().position(is_it)
}

/// Changes what is given of it; what somebody else has is refused.
pub(crate) fn change(store: &Store, profile: &mut Profile, at: usize, input: &Row) -> Result<Row, Value> {
    let mut new = profile.identities[at].clone();
    for key in ["handle", "identifier"] {
        if let Some(given) = input.get(key).and_then(text).filter(|given| !given.is_empty()) {
            new.insert(key.to_owned(), json!(given));
        }
    }
    for key in ["is_active", "is_primary"] {
        if let Some(given) = input.get(key).filter(|given| given.is_boolean()) {
            new.insert(key.to_owned(), given.clone());
        }
    }
    let of = |row: &Row, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (handle, identifier) = (of(&new, "handle"), of(&new, "identifier"));
    let own = profile.identities.iter().enumerate();
    let mut own = own.filter(|(other, _)| *other != at);
    let elsewhere = store.by_identity(&handle, &identifier).is_some_and(|other| other.id != profile.id);
    if elsewhere || own.any(|(_, one)| of(one, "handle") == handle && of(one, "identifier") == identifier) {
        let mut errors = Errors::default();
        errors.add("identifier", "The identifier has already been taken.");
        errors.check()?;
    }
    if new != profile.identities[at] {
        new.insert("updated_at".to_owned(), json!(clock::plain(store.now_ms)));
        profile.identities[at] = new.clone();
    }
    Ok(new)
}

/// Every identity that there is, with its profile where that is asked for.
pub(crate) fn all(store: &Store, with_profile: bool) -> Vec<Row> {
    let of = |profile: &Profile| {
        let about = json!({ "id": profile.id, "email": profile.fields.get("email") });
        let shown = profile.identities.iter().cloned().map(move |mut identity| {
            if with_profile {
                identity.insert("profile".to_owned(), about.clone());
            }
            identity
        });
        shown.collect::<Vec<_>>()
    };
    store.profiles.live().flat_map(of).collect()
}
