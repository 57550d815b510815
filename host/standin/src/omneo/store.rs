//! The state of one tenant and the bookkeeping of a profile's change: what was different before decides which webhooks go out.
//! Knows nothing of HTTP.

use serde_json::{Map, Value, json};

pub(crate) use super::model::{Profile, Row, Shelf};
use super::people::People;
use super::{comms, views};

/// Omneo publishes none.
pub(crate) const PAGE_MAX: usize = 250;

pub(crate) struct Store {
    pub profiles: People,
    pub orders: Shelf,
    pub transactions: Shelf,
    pub products: Shelf,
    pub locations: Shelf,
    pub webhooks: Shelf,
    pub tags: Shelf,
    /// The most that a page of a list holds.
    pub page_max: usize,
    /// What `*_promo` says on read while nobody has set it.
    pub promo_default: Option<bool>,
    /// Of the token.
    pub scopes: Vec<String>,
    /// With which webhooks are signed, if the settings tell it.
    pub told_secret: Option<String>,
    /// The time of the request or edit under way.
    pub now_ms: i64,
    /// Event and body of webhooks to send when the request or edit is done.
    pub events: Vec<(String, Value)>,
    random: fastrand::Rng,
    last_id: u64,
}

impl Store {
    pub fn new(seed: u64, promo_default: Option<bool>, scopes: Vec<String>) -> Store {
        Store {
            profiles: People::default(),
            orders: Shelf::new(),
            transactions: Shelf::new(),
            products: Shelf::new(),
            locations: Shelf::new(),
            webhooks: Shelf::new(),
            tags: Shelf::new(),
            page_max: PAGE_MAX,
            promo_default,
            scopes,
            told_secret: None,
            now_ms: 0,
            events: Vec::new(),
            // Apart from a shop of the same seed.
            random: fastrand::Rng::with_seed(seed ^ 0x0e0e),
            last_id: 0,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn next_uuid(&mut self) -> String {
        crate::uuid(&mut self.random)
    }

    pub fn profile(&self, id: &str) -> Option<&Profile> {
        self.profiles.get(id).filter(|profile| !profile.deleted)
    }

    /// By `email` or `mobile_phone`.
    pub fn by_field(&self, key: &str, value: &str) -> Option<&Profile> {
        self.profiles.holder(key, value)
    }

    pub fn by_identity(&self, handle: &str, identifier: &str) -> Option<&Profile> {
        self.profiles.holder(&format!("identity/{handle}"), identifier)
    }

    pub fn event(&mut self, name: &str, body: Value) {
        self.events.push((name.to_owned(), body));
    }

    /// Saves a profile. Nothing changed: nothing happens. Otherwise the webhooks of exactly what changed are noted.
    pub fn save(&mut self, mut new: Profile) {
        let old = self.profiles.get(&new.id).cloned();
        if old.as_ref().is_some_and(|old| *old == new) {
            return;
        }
        let touched = old.as_ref().is_none_or(|old| Profile { addresses: new.addresses.clone(), ..old.clone() } != new);
        new.updated_ms = if touched { self.now_ms } else { new.updated_ms };
        let number = self.profiles.put(new.clone());
        let Some(old) = old else {
            self.event("profile.created", views::context(self.promo_default, &new));
            return self.say_identities(&[], &new);
        };
        if new.deleted && !old.deleted {
            return self.event("profile.deleted", views::context(self.promo_default, &new));
        }
        if old.fields != new.fields || old.tags != new.tags {
            self.event("profile.updated", views::context(self.promo_default, &new));
        }
        if old.comms != new.comms {
            let mut body = Value::Object(comms::view(self.promo_default, &new));
            body["id"] = json!(number);
            self.event("profile-attribute.updated", body);
        }
        self.say_identities(&old.identities, &new);
        self.say_addresses(&old.addresses, &new);
    }

    /// Says of a profile what a change of it would say.
    pub fn tell_again(&mut self, profile: &Profile) {
        let body = views::context(self.promo_default, profile);
        self.event("profile.updated", body);
    }

    fn say_identities(&mut self, before: &[Row], new: &Profile) {
        for identity in
            new.identities.iter().filter(|identity| !before.iter().any(|known| known["id"] == identity["id"]))
        {
            let mut body = Value::Object(identity.clone());
            body["profile"] = json!({ "id": new.id, "email": new.fields.get("email") });
            self.event("identity.created", body);
        }
    }

    fn say_addresses(&mut self, before: &[Row], new: &Profile) {
        let find = |rows: &[Row], id: &Value| rows.iter().find(|row| row["id"] == *id).cloned();
        let gone = before.iter().filter(|row| find(&new.addresses, &row["id"]).is_none()).map(|row| ("deleted", row));
        let kept = new.addresses.iter().filter_map(|row| match find(before, &row["id"]) {
            None => Some(("created", row)),
            Some(old) if old != *row => Some(("updated", row)),
            Some(_) => None,
        });
        let said: Vec<_> =
            gone.chain(kept).map(|(verb, row)| (format!("profile.address.{verb}"), row.clone())).collect();
        for (name, row) in said {
            let mut body = Value::Object(row);
            body["resource_owner_id"] = json!(new.id);
            body["resource_owner_type"] = json!("profile");
            body["profile"] = json!({ "id": new.id, "email": new.fields.get("email") });
            self.event(&name, body);
        }
    }
}

/// What is wrong with an input, by field, as Laravel says it.
#[derive(Default)]
pub(crate) struct Errors(Map<String, Value>);

impl Errors {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let list = self.0.entry(field.into()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!(message.into()));
        }
    }

    /// `The first name field is required.` for every key that is [`lacking`].
    pub fn require(&mut self, input: &Row, keys: &[&str], prefix: &str) {
        for key in lacking(input, keys) {
            let field = format!("{prefix}{key}");
            let message = format!("The {} field is required.", field.replace('_', " "));
            self.add(field, message);
        }
    }

    /// The 422 body, unless nothing was wrong.
    pub fn check(self) -> Result<(), Value> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(json!({ "message": "The given data was invalid.", "errors": self.0 }))
        }
    }
}

/// The keys that are absent, null or empty.
pub(crate) fn lacking<'a>(input: &Row, keys: &[&'a str]) -> Vec<&'a str> {
    let empty = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    keys.iter().copied().filter(|key| input.get(*key).is_none_or(empty)).collect()
}

/// A string or number as text, since Omneo takes ids either way.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
