//! What people and the loyalty engine do to the tenant without the API, and a test that looks.
//! Knows nothing of routes; values obey the same rules as there.

use serde_json::{Map, Value, json};

use super::model::EARNED;
use super::store::{Errors, Profile, Row, Shelf, Store};
use super::{Omneo, addresses, comms, profiles, views};

impl Omneo {
    /// Creates a profile with the keys of `POST /profiles`; its UUID, or the 422 body.
    pub fn create_profile(&self, fields: Value) -> Result<String, Value> {
        self.core.with(true, |store| {
            let profile = profiles::apply(store, None, &row(fields), true)?;
            let id = profile.id.clone();
            store.save(profile);
            Ok(id)
        })
    }

    /// Changes the given keys, as `PUT /profiles/{id}`; also what only the loyalty engine may write, without its events.
    pub fn update_profile(&self, id: &str, fields: Value) -> Result<(), Value> {
        self.change(id, |store, profile| profiles::apply(store, Some(&profile), &row(fields), true))
    }

    /// Replaces the tags.
    pub fn set_tags(&self, id: &str, tags: &[&str]) -> Result<(), Value> {
        self.update_profile(id, json!({ "tags": tags }))
    }

    /// Sets preferences such as `email_promo`, `email_optout`, `email_consent_updated_at`; null means never set.
    pub fn set_comms(&self, id: &str, comms: Value) -> Result<(), Value> {
        self.change(id, |_, mut profile| {
            comms::apply(&mut profile, &comms);
            Ok(profile)
        })
    }

    /// Plays the loyalty engine: `tier` (`{handle, name}`) and balances, with the events `tier.achieved` and `balance.updated`.
    pub fn set_loyalty(&self, id: &str, earned: Value) -> Result<(), Value> {
        let mut earned = row(earned);
        if let Some(handle) = earned.get("tier").map(|tier| tier["handle"].clone()) {
            earned.insert("tier_handle".to_owned(), handle);
        }
        self.core.with(true, |store| {
            let mut new = store.profile(id).cloned().ok_or_else(nobody)?;
            let before = new.fields.clone();
            new.fields.extend(earned.into_iter().filter(|(key, _)| EARNED.contains(&key.as_str())));
            if new.fields == before {
                return Ok(());
            }
            let tier = new.fields.get("tier") != before.get("tier");
            store.save(new.clone());
            store.events.retain(|(name, _)| name != "profile.updated");
            if tier {
                let body = json!({ "profile_id": id, "tier": new.fields.get("tier"), "profile": { "id": id, "email": new.fields.get("email") } });
                store.event("tier.achieved", body);
            }
            let balances = EARNED.iter().filter(|key| key.contains("balance"));
            let mut body: Row = balances.clone().map(|key| ((*key).to_owned(), new.fields.get(*key).cloned().unwrap_or_default())).collect();
            if balances.into_iter().any(|key| new.fields.get(*key) != before.get(*key)) {
                body.insert("profile_id".to_owned(), json!(id));
                store.event("balance.updated", Value::Object(body));
            }
            Ok(())
        })
    }

    /// Adds an identity; the 422 body when somebody has it.
    pub fn add_identity(&self, id: &str, handle: &str, identifier: &str) -> Result<(), Value> {
        self.change(id, |store, mut profile| {
            let mut errors = Errors::default();
            profiles::add_identity(
                store,
                &mut profile,
                &json!({ "handle": handle, "identifier": identifier }),
                "",
                &mut errors,
            );
            errors.check().map(|()| profile)
        })
    }

    /// Adds an address with the keys of `POST /profiles/{id}/addresses`; its id.
    pub fn add_address(&self, id: &str, address: Value) -> Result<u64, Value> {
        let mut made = 0;
        self.change(id, |store, mut profile| {
            let mut errors = Errors::default();
            let row = addresses::apply(store, &mut profile, &row(address), None, &mut errors);
            made = row.and_then(|row| row["id"].as_u64()).unwrap_or_default();
            errors.check().map(|()| profile)
        })?;
        Ok(made)
    }

    /// Merges `source` into `destination`. False when one of them is missing.
    pub fn merge_profiles(&self, source: &str, destination: &str) -> bool {
        self.core.with(true, |store| profiles::merge(store, source, destination))
    }

    /// Soft-deletes. False when there is no such profile.
    pub fn delete_profile(&self, id: &str) -> bool {
        self.change(id, |_, profile| Ok(Profile { deleted: true, ..profile })).is_ok()
    }

    /// Erases for good. False when there is no such profile.
    pub fn purge_profile(&self, id: &str) -> bool {
        let deleted = self.delete_profile(id);
        self.core.with(true, |store| store.profiles.erase(id));
        deleted
    }

    /// The profile as `GET /profiles/{id}` has it, without the envelope; `None` when deleted.
    pub fn profile(&self, id: &str) -> Option<Value> {
        self.core.with(true, |store| store.profile(id).map(|profile| views::view(store.promo_default, profile)))
    }

    /// All profiles that are not deleted, oldest first.
    pub fn profiles(&self) -> Vec<Value> {
        self.core.with(true, |store| {
            store.profiles.live().map(|profile| views::view(store.promo_default, profile)).collect()
        })
    }

    /// All transactions, oldest first; numbers are the tokens that were sent.
    pub fn transactions(&self) -> Vec<Value> {
        self.core.with(true, |store| rows(&store.transactions))
    }

    pub fn orders(&self) -> Vec<Value> {
        self.core.with(true, |store| rows(&store.orders))
    }

    pub fn products(&self) -> Vec<Value> {
        self.core.with(true, |store| rows(&store.products))
    }

    pub fn locations(&self) -> Vec<Value> {
        self.core.with(true, |store| rows(&store.locations))
    }

    /// Sends any body under any event name, signed like the others.
    pub fn send(&self, event: &str, body: Value) {
        self.core.with(true, |store| store.event(event, body));
    }

    fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Store, Profile) -> Result<Profile, Value>,
    ) -> Result<(), Value> {
        self.core.with(true, |store| {
            let profile = store.profile(id).cloned().ok_or_else(nobody)?;
            let profile = change(store, profile)?;
            store.save(profile);
            Ok(())
        })
    }
}

fn nobody() -> Value {
    json!({ "message": "No query results for model [Profile]." })
}

fn row(fields: Value) -> Row {
    match fields {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

fn rows(shelf: &Shelf) -> Vec<Value> {
    shelf.values().map(|row| Value::Object(row.clone())).collect()
}
