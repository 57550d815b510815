//! Knows which keys of a product were sent with a value and can be emptied, so that a key that is null now is emptied
//! in Omneo too. Knows neither system: a "thing" is the product or a variant, by its id.
//!
//! Null is sent only for a value that was sent before: Omneo does not say which of its keys may be null, and most never
//! are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use tandem_sdk::{Value, View};

/// For each key, the ids of the things that have a value there in Omneo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filled {
    by_key: BTreeMap<String, BTreeSet<u64>>,
    /// Whether nothing was recorded, so that every key of a thing that was sent may have a value.
    is_unknown: bool,
}

impl Filled {
    /// For a memory in which things were sent but their keys were not recorded.
    pub fn unknown() -> Self {
        Self { is_unknown: true, ..Self::default() }
    }

    pub fn read(memory: &View) -> Option<Self> {
        let keys = memory.get("/filled")?.object()?;
        let ids = |ids: &Value| ids.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        Some(Self { by_key: keys.iter().map(|(key, of)| (key.clone(), ids(of))).collect(), is_unknown: false })
    }

    /// The form in which it is remembered.
    pub fn value(&self) -> Value {
        let of = |(key, ids): (&String, &BTreeSet<u64>)| (key.clone(), ids.iter().copied().collect::<Value>());
        Value::Object(self.by_key.iter().filter(|(_, ids)| !ids.is_empty()).map(of).collect())
    }

    /// Notes the keys that are sent of a thing, and adds a null for each key that the body names without a value and
    /// that had one before. A key that the body does not name stays as it is.
    pub fn update<'k>(&mut self, id: u64, keys: &mut Map<String, Value>, named: impl IntoIterator<Item = &'k str>) {
        for key in named {
            let ids = self.by_key.entry(key.to_owned()).or_default();
            if keys.get(key).is_some_and(|value| !value.is_null()) {
                ids.insert(id);
            } else if ids.remove(&id) || self.is_unknown {
                keys.insert(key.to_owned(), Value::Null);
            }
        }
    }

    /// Forgets the things that no longer exist. From here on, everything that was sent is recorded.
    pub fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        self.by_key.values_mut().for_each(|ids| ids.retain(|id| is_there(*id)));
        self.is_unknown = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    fn sent(filled: &mut Filled, keys: Value, named: &[&str]) -> Value {
        let mut keys = keys.as_object().cloned().unwrap();
        filled.update(7, &mut keys, named.iter().copied());
        Value::Object(keys)
    }

    #[test]
    fn what_was_sent_is_emptied_once_and_what_is_not_named_stays() {
        let mut filled = Filled::default();
        assert_eq!(sent(&mut filled, json!({}), &["barcode"]), json!({}));
        assert_eq!(sent(&mut filled, json!({"barcode": "930"}), &["barcode"]), json!({"barcode": "930"}));
        assert_eq!(sent(&mut filled, json!({}), &[]), json!({}));
        assert_eq!(filled.value(), json!({"barcode": [7]}));
        assert_eq!(sent(&mut filled, json!({}), &["barcode"]), json!({"barcode": null}));
        assert_eq!(sent(&mut filled, json!({}), &["barcode"]), json!({}));
        let mut unknown = Filled::unknown();
        assert_eq!(sent(&mut unknown, json!({}), &["barcode"]), json!({"barcode": null}));
    }
}
