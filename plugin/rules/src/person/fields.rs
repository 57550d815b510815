//! The fields that both sides have, and what each is known to do to a value. Knows neither side's names for them.

use std::fmt;

use serde::{Deserialize, Serialize};
use tandem_sdk::{View, Wrong};

use crate::settings::{Owner, Owners};

/// A field of a person that goes both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    FirstName,
    LastName,
    Email,
    Phone,
}

/// One of the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Shopify,
    Omneo,
}

/// What a shopper consents to being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Email,
    Sms,
}

/// What one side shows: `None` where it does not show the field at all, `Some(None)` where it shows that it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields([Option<Option<String>>; 4]);

/// One side's fields at a time of its own clock, in whole seconds.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub fields: Fields,
    pub at: Option<i64>,
    pub created: Option<i64>,
}

impl Field {
    pub const ALL: [Field; 4] = [Field::FirstName, Field::LastName, Field::Email, Field::Phone];

    /// The name that settings, memory and reasons use.
    pub fn name(self) -> &'static str {
        match self {
            Field::FirstName => "first_name",
            Field::LastName => "last_name",
            Field::Email => "email",
            Field::Phone => "phone",
        }
    }

    pub fn owner(self, owners: &Owners) -> Owner {
        match self {
            Field::FirstName => owners.first_name,
            Field::LastName => owners.last_name,
            Field::Email => owners.email,
            Field::Phone => owners.phone,
        }
    }

    /// The value as it is written to the other side.
    pub fn plain(self, value: &str) -> String {
        match self {
            Field::FirstName | Field::LastName => value.trim().to_owned(),
            Field::Email => value.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect(),
            Field::Phone => value.chars().filter(|c| !c.is_whitespace() && !"-().".contains(*c)).collect(),
        }
    }

    /// The value as it is compared: without what either side is known to change about it.
    pub fn folded(self, value: &str) -> String {
        match self {
            Field::FirstName | Field::LastName => value.trim().to_lowercase(),
            Field::Email => self.plain(value),
            Field::Phone => value.chars().filter(char::is_ascii_digit).collect(),
        }
    }

    pub fn same(self, a: Option<&str>, b: Option<&str>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a == b || self.folded(a) == self.folded(b),
            (a, b) => a == b,
        }
    }

    /// A blank is nothing, and so is the name that Omneo gives to a person without one.
    fn is_nothing(self, value: &str) -> bool {
        let names = matches!(self, Field::FirstName | Field::LastName);
        value.trim().is_empty() || (names && value.trim() == "Unknown")
    }
}

/// Whether both systems can hold a phone number: `+` and up to 15 digits. Any other would have to be guessed at.
pub fn is_e164(phone: &str) -> bool {
    phone.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    })
}

impl Fields {
    /// Takes what is at the pointer, if anything is.
    pub fn read(&mut self, field: Field, from: &View, pointer: &str) -> Result<(), Wrong> {
        if from.has(pointer) {
            self.set(field, from.opt_loose(pointer)?);
        }
        Ok(())
    }

    pub fn set(&mut self, field: Field, value: Option<String>) {
        self.0[field as usize] = Some(value.filter(|value| !field.is_nothing(value)));
    }

    /// `None` where the side does not show it.
    pub fn shown(&self, field: Field) -> Option<Option<&str>> {
        self.0[field as usize].as_ref().map(Option::as_deref)
    }

    /// The value, if it is shown and there is one.
    pub fn value(&self, field: Field) -> Option<&str> {
        self.shown(field).flatten()
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

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Shopify => Side::Omneo,
            Side::Omneo => Side::Shopify,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Side::Shopify => "Shopify",
            Side::Omneo => "Omneo",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_side_does_to_a_value_is_no_difference() {
        assert!(Field::FirstName.same(Some("mcDonald"), Some("Mcdonald ")));
        assert!(Field::Email.same(Some("A da@Example.org"), Some("ada@example.org")));
        assert!(Field::Phone.same(Some("+61 400-000 001"), Some("+61400000001")));
        assert!(!Field::Phone.same(Some("+61400000001"), None));
    }

    #[test]
    fn unknown_is_no_name() {
        let mut fields = Fields::default();
        fields.set(Field::LastName, Some("Unknown".into()));
        fields.set(Field::Email, Some(" ".into()));
        assert_eq!(fields.shown(Field::LastName), Some(None));
        assert_eq!(fields.shown(Field::Email), Some(None));
        assert_eq!(fields.shown(Field::Phone), None);
    }

    #[test]
    fn only_international_numbers_travel() {
        assert!(is_e164("+61400000001"));
        for phone in ["0400000001", "61400000001", "+0400", "+61400000001x2", "+"] {
            assert!(!is_e164(phone), "{phone}");
        }
    }
}
