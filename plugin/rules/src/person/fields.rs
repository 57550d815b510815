//! The fields that one side shows of a person. Knows neither side's names for them.

use std::collections::BTreeMap;

use crate::mapping::{Computed, is_known_key};
pub use crate::mapping::{Core, Field, Side};

/// A channel of marketing that a shopper can consent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Email,
    Sms,
}

/// The fields that one side shows. A field that is not shown has no entry; a field that is shown to be empty is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    shown: BTreeMap<Field, Option<String>>,
    /// Fields that could not be computed from what the side shows, each with the reason. Their values are not known,
    /// which is different from empty.
    failed: BTreeMap<Field, String>,
}

/// One side's fields at a time of its own clock, in whole seconds.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub fields: Fields,
    pub at: Option<i64>,
    pub created: Option<i64>,
}

impl Fields {
    pub fn set(&mut self, field: Field, value: Option<String>) {
        self.shown.insert(field, value.filter(|value| !field.format.is_nothing(value)));
    }

    /// Takes the result of an expression over this side. If the expression read a key that the side can have but does
    /// not show, the field counts as not shown.
    pub fn compute(&mut self, side: Side, field: Field, computed: Computed) {
        match computed {
            Computed::Value(value) => self.set(field, value.and_then(|value| field.format.of_json(&value))),
            Computed::Failed(why) => drop(self.failed.insert(field, why)),
            Computed::Hidden(key) if is_known_key(side, &key) => {}
            Computed::Hidden(key) => {
                drop(self.failed.insert(field, format!("{side} shows no `{key}`, which its expression reads")));
            }
        }
    }

    /// The fields that could not be computed, each with the reason.
    pub fn failed(&self) -> &BTreeMap<Field, String> {
        &self.failed
    }

    /// The field as this side shows it; `None` where the side does not show it.
    pub fn shown(&self, field: Field) -> Option<Option<&str>> {
        self.shown.get(&field).map(Option::as_deref)
    }

    /// The value, if it is shown and not empty.
    pub fn value(&self, field: Field) -> Option<&str> {
        self.shown(field).flatten()
    }

    /// The value of a core field, if it is mapped, shown and not empty.
    pub fn core(&self, core: Core) -> Option<&str> {
        self.all().find(|(field, _)| field.is(core)).and_then(|(_, value)| value)
    }

    /// The value of a core field as it would be written.
    pub fn plain(&self, core: Core) -> Option<String> {
        let (field, value) = self.all().find(|(field, _)| field.is(core))?;
        value.map(|value| field.plain(value))
    }

    /// Every field that is shown.
    pub fn all(&self) -> impl Iterator<Item = (Field, Option<&str>)> {
        self.shown.iter().map(|(field, value)| (*field, value.as_deref()))
    }
}

impl Snapshot {
    /// Whether it was edited after its creation.
    pub fn is_edited(&self) -> bool {
        matches!((self.at, self.created), (Some(at), Some(created)) if at > created)
    }
}

impl Medium {
    /// The beginning of both sides' keys about this medium.
    pub fn key(self) -> &'static str {
        match self {
            Medium::Email => "email",
            Medium::Sms => "sms",
        }
    }
}
