//! Things by id, found also by the other names that they have.
//! Knows nothing of what the things are: whoever makes a shelf says which names a thing has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;

/// A table that keeps itself findable, since a shop with a past has tens of thousands of rows.
pub(crate) struct Shelf<T> {
    rows: BTreeMap<u64, T>,
    names_of: fn(&T) -> Vec<String>,
    holders: HashMap<String, BTreeSet<u64>>,
}

impl<T> Shelf<T> {
    pub fn new(names_of: fn(&T) -> Vec<String>) -> Shelf<T> {
        Shelf { rows: BTreeMap::new(), names_of, holders: HashMap::new() }
    }

    /// Puts a row in the place of the one with this id, which it gives back.
    pub fn insert(&mut self, id: u64, row: T) -> Option<T> {
        let old = self.remove(id);
        for name in (self.names_of)(&row) {
            self.holders.entry(name).or_default().insert(id);
        }
        self.rows.insert(id, row);
        old
    }

    pub fn remove(&mut self, id: u64) -> Option<T> {
        let old = self.rows.remove(&id)?;
        for name in (self.names_of)(&old) {
            if let Some(ids) = self.holders.get_mut(&name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.holders.remove(&name);
                }
            }
        }
        Some(old)
    }

    /// The rows that have a name, by id.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &T> + use<'_, T> {
        self.holders.get(name).into_iter().flatten().filter_map(|id| self.rows.get(id))
    }
}

impl<T> Deref for Shelf<T> {
    type Target = BTreeMap<u64, T>;

    fn deref(&self) -> &BTreeMap<u64, T> {
        &self.rows
    }
}
