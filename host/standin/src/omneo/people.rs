//! A tenant's profiles in the order of their making, found also by what is unique of them.
//! Knows nothing of what changes them.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::model::Profile;

/// Soft-deleted profiles stay, and are found by their id alone.
#[derive(Default)]
pub(crate) struct People {
    /// By the number of their making.
    rows: std::collections::BTreeMap<u64, Profile>,
    made: u64,
    numbers: HashMap<String, u64>,
    holders: HashMap<String, BTreeSet<u64>>,
}

impl People {
    /// The profile with this id, deleted or not.
    pub fn get(&self, id: &str) -> Option<&Profile> {
        self.rows.get(self.numbers.get(id)?)
    }

    /// All that are not deleted, oldest first.
    pub fn live(&self) -> impl Iterator<Item = &Profile> {
        self.rows.values().filter(|profile| !profile.deleted)
    }

    /// The one that holds a value of its own: an e-mail address, a phone number, an identity.
    pub fn holder(&self, key: &str, value: &str) -> Option<&Profile> {
        self.rows.get(self.holders.get(&name(key, value))?.first()?)
    }

    /// Puts a profile in the place of the one with its id, or at the end; its number.
    pub fn put(&mut self, profile: Profile) -> u64 {
        let number = self.numbers.get(&profile.id).copied().unwrap_or_else(|| {
            self.made += 1;
            self.made
        });
        self.forget_names(number);
        for name in names(&profile) {
            self.holders.entry(name).or_default().insert(number);
        }
        self.numbers.insert(profile.id.clone(), number);
        self.rows.insert(number, profile);
        number
    }

    /// Forgets a profile for good.
    pub fn erase(&mut self, id: &str) {
        if let Some(number) = self.numbers.remove(id) {
            self.forget_names(number);
            self.rows.remove(&number);
        }
    }

    fn forget_names(&mut self, number: u64) {
        for name in self.rows.get(&number).map(names).unwrap_or_default() {
            if let Some(numbers) = self.holders.get_mut(&name) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.holders.remove(&name);
                }
            }
        }
    }
}

fn name(key: &str, value: &str) -> String {
    format!("{key}\n{value}")
}

/// What nobody else may have, and what else a profile is looked for by.
fn names(profile: &Profile) -> Vec<String> {
    if profile.deleted {
        return Vec::new();
    }
    let fields = ["email", "mobile_phone"].into_iter();
    let fields = fields.filter_map(|key| Some(name(key, profile.fields.get(key)?.as_str()?)));
    let identities = profile.identities.iter().filter_map(|identity| {
        let text = |key: &str| identity.get(key).and_then(Value::as_str);
        Some(name(&format!("identity/{}", text("handle")?), text("identifier")?))
    });
    fields.chain(identities).collect()
}
