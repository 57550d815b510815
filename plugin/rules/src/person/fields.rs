//! What one side shows of a person. Knows neither side's names for it.

use std::collections::BTreeMap;

pub use crate::mapping::{Core, Field, Side};

/// What a shopper consents to being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Email,
    Sms,
}

/// What one side shows: nothing where it does not show the field at all, `None` where it shows that it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(BTreeMap<Field, Option<String>>);

/// One side's fields at a time of its own clock, in whole seconds.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub fields: Fields,
    pub at: Option<i64>,
    pub created: Option<i64>,
}

impl Fields {
    pub fn set(&mut self, field: Field, value: Option<String>) {
        self.0.insert(field, value.filter(|value| !field.format.is_nothing(value)));
    }

    /// `None` where the side does not show it.
    pub fn shown(&self, field: Field) -> Option<Option<&str>> {
        self.0.get(&field).map(Option::as_deref)
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
        self.0.iter().map(|(field, value)| (*field, value.as_deref()))
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
