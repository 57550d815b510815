//! What one side shows of a person. Knows neither side's names for it.

use std::collections::BTreeMap;

use crate::mapping::{Computed, is_known_key};
pub use crate::mapping::{Core, Field, Side};

/// What a shopper consents to being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Email,
    Sms,
}

/// What one side shows: nothing where it does not show the field at all, `None` where it shows that it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    shown: BTreeMap<Field, Option<String>>,
    /// Fields that could not be worked out of what the side shows, and why. They are not empty: nothing is known of them.
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

    /// Takes what an expression over this side has come to. A key that the side may have and does not show hides the field,
    /// as it would hide a value of its own.
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

    /// The fields that could not be worked out, each with why.
    pub fn failed(&self) -> &BTreeMap<Field, String> {
        &self.failed
    }

    /// `None` where the side does not show it.
    pub fn shown(&self, field: Field) -> Option<Option<&str>> {
        self.shown.get(&field).map(Option::as_deref)
    }

    /// The value, if it is shown and there is one.
    pub fn value(&self, field: Field) -> Option<&str> {
        self.shown(field).flatten()
    }

    /// The value of a core field, if it is mapped, shown and there is one.
    pub fn core(&self, core: Core) -> Option<&str> {
        self.all().find(|(field, _)| field.is(core)).and_then(|(_, value)| value)
    }

    /// Everything that is shown.
    pub fn all(&self) -> impl Iterator<Item = (Field, Option<&str>)> {
        self.shown.iter().map(|(field, value)| (*field, value.as_deref()))
    }
}

impl Snapshot {
    /// Whether it has been edited since it was created.
    pub fn is_edited(&self) -> bool {
        matches!((self.at, self.created), (Some(at), Some(created)) if at > created)
    }
}

impl Medium {
    /// How both sides' keys about it begin.
    pub fn key(self) -> &'static str {
        match self {
            Medium::Email => "email",
            Medium::Sms => "sms",
        }
    }
}
