//! What is remembered of a person: marks of the values last seen on each side, ids, clocks and the names of tags. Holds
//! no value of a field, and knows nothing of how the memory is used.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tandem_sdk::Value;

use super::fields::{Field, Fields, Side};
use super::mark::Mark;

/// The memory of a person. An empty memory means that the person is seen for the first time; it does no harm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// For each field, the marks of the two values that were last merged, or that a creation used.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub base: BTreeMap<String, Base>,
    pub clock: Clock,
    /// Whether Shopify's phone number is kept in the profile's second slot, because somebody else has it in the first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub second_phone: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, Held>,
    #[serde(skip_serializing_if = "Windows::is_empty")]
    pub windows: Windows,
    pub tags: Tags,
    pub consent: Consents,
    #[serde(skip_serializing_if = "Addresses::is_empty")]
    pub addresses: Addresses,
    #[serde(skip_serializing_if = "Gone::is_empty")]
    pub gone: Gone,
    #[serde(skip_serializing_if = "MergedInto::is_empty")]
    pub merged: MergedInto,
    /// Whether the customer has had no profile so far. Its purchases may have been sent without one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub customer: u64,
    pub profile: String,
}

/// The marks of the values that were seen on each side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    #[serde(rename = "s")]
    pub shopify: Mark,
    #[serde(rename = "o")]
    pub omneo: Mark,
}

/// Times of Shopify's clock, in seconds. Omneo needs none here, because its profile is read at every event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// The clock of the newest snapshot whose fields have all been merged. An answer to a write does not count.
    pub merged: i64,
    /// The clock of the newest answer to a write of fields. An older body does not show that write.
    pub wrote: i64,
}

/// A field that could not be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub to: Side,
    pub why: String,
    /// Whether the write may become possible although nothing changes here.
    pub again: bool,
}

/// For each side and field, the last write of ours. A body that dates from inside the window shows an edit that the
/// write ran over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Windows {
    #[serde(rename = "s", skip_serializing_if = "BTreeMap::is_empty")]
    pub shopify: BTreeMap<String, Window>,
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    pub omneo: BTreeMap<String, Window>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub read_at: i64,
    pub wrote_at: i64,
    pub read: Mark,
    pub wrote: Mark,
}

/// Names of tags, in folded form.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// The tags of the whitelist, as last seen in Shopify.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// The tags that came to Omneo from Shopify. They do not come back with a prefix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brought: Vec<String>,
    /// Shopify's tags with the prefix as they should be, in lower case; absent until both sides were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixed: Option<Vec<String>>,
    /// The mark of Omneo's list of tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omneo: Option<Mark>,
}

/// What is remembered of a person's addresses: ids and marks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Addresses {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<AddressEntry>,
    /// The default addresses last seen on both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<(Option<String>, Option<String>)>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressEntry {
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub shopify: Option<String>,
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub omneo: Option<String>,
    /// The marks of the two addresses that were last merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The parts that each side had then. Only those are ever cleared.
    pub had: (u16, u16),
    /// Whether these rules created Shopify's address. If so, it is deleted when Omneo's is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ours: bool,
    /// Whether the address was deleted in Omneo. If so, it is not created there again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The last write of ours to each side. A body that dates from inside the window shows an edit that the write ran
    /// over.
    #[serde(rename = "s_window", skip_serializing_if = "Option::is_none")]
    pub shopify_window: Option<Window>,
    #[serde(rename = "o_window", skip_serializing_if = "Option::is_none")]
    pub omneo_window: Option<Window>,
}

impl Addresses {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.default.is_none()
    }
}

impl AddressEntry {
    pub fn id(&self, side: Side) -> Option<&String> {
        match side {
            Side::Shopify => self.shopify.as_ref(),
            Side::Omneo => self.omneo.as_ref(),
        }
    }

    pub fn window(&self, side: Side) -> Option<&Window> {
        match side {
            Side::Shopify => self.shopify_window.as_ref(),
            Side::Omneo => self.omneo_window.as_ref(),
        }
    }
}

/// Decisions about marketing as last seen, `subscribed@1767322445`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Consents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Consent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<Consent>,
    /// The mark of all communication attributes of Omneo that are mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omneo: Option<Mark>,
}

/// The last decision of both sides in one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consent {
    #[serde(rename = "s")]
    pub shopify: Option<bool>,
    #[serde(rename = "s_at")]
    pub shopify_at: Option<i64>,
    #[serde(rename = "o")]
    pub omneo: Option<bool>,
    /// Why the last decision could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// The halves that were found to be deleted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gone {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Other customers and profiles that this person was before a merge in Shopify.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MergedInto {
    /// Customers that are deleted now.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub customers: BTreeSet<u64>,
    /// Profiles of those customers that stay separate.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub profiles: BTreeSet<String>,
}

impl Memory {
    /// Reads the newest text that has a link, or else the newest; from the others, only who is gone, who was merged,
    /// and whether a profile is waited for.
    pub fn read(texts: &[String]) -> Self {
        Self::read_of(texts, |_| true)
    }

    /// The links of all texts, the newest first.
    pub fn links(texts: &[String]) -> Vec<Link> {
        texts.iter().filter_map(|text| Self::parse(text).link).collect()
    }

    /// As [`Memory::read`], but prefers a text with the link that is meant.
    pub fn read_of(texts: &[String], is_meant: impl Fn(&Link) -> bool) -> Self {
        let mut all: Vec<_> = texts.iter().map(|text| Self::parse(text)).collect();
        if all.is_empty() {
            return Self::default();
        }
        let is_best = |memory: &Self| memory.link.as_ref().is_some_and(&is_meant);
        let best = all.iter().position(is_best).or_else(|| all.iter().position(|memory| memory.link.is_some()));
        let mut memory = all.swap_remove(best.unwrap_or(0));
        for other in all {
            memory.gone.customer = memory.gone.customer.or(other.gone.customer);
            memory.gone.profile = memory.gone.profile.or(other.gone.profile);
            memory.merged.customers.extend(other.merged.customers);
            memory.merged.profiles.extend(other.merged.profiles);
            memory.waits |= other.waits;
        }
        memory
    }

    /// Reads a text. If it cannot be read as a whole, it is read part by part, and a part that cannot be read counts as
    /// absent.
    fn parse(text: &str) -> Self {
        if let Ok(memory) = serde_json::from_str(text) {
            return memory;
        }
        let Ok(Value::Object(mut parts)) = serde_json::from_str(text) else {
            return Self::default();
        };
        let parts = &mut parts;
        Self {
            link: part(parts, "link"),
            base: part(parts, "base"),
            clock: part(parts, "clock"),
            second_phone: part(parts, "second_phone"),
            held: part(parts, "held"),
            windows: part(parts, "windows"),
            tags: part(parts, "tags"),
            consent: part(parts, "consent"),
            addresses: part(parts, "addresses"),
            gone: part(parts, "gone"),
            merged: part(parts, "merged"),
            waits: part(parts, "waits"),
        }
    }

    /// Whether something about a linked person should be tried again although nothing changes: a value that was held, or
    /// purchases that still have no profile.
    pub fn is_due(&self) -> bool {
        let is_held = |consent: &Option<Consent>| consent.as_ref().is_some_and(|consent| consent.held.is_some());
        self.link.is_some()
            && (self.waits
                || self.held.values().any(|held| held.again)
                || is_held(&self.consent.email)
                || is_held(&self.consent.sms)
                || self.addresses.entries.iter().any(|entry| entry.held.is_some()))
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Forgets everything about a linked pair except who is gone, who was merged, and whether a profile was waited for.
    pub fn forget(&mut self) {
        let (gone, merged) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.merged));
        *self = Self { gone, merged, waits: self.waits, ..Self::default() };
    }

    /// The mark of the value that a side shows of a field.
    pub fn mark(&self, field: Field, value: Option<&str>) -> Mark {
        let of = self.link.as_ref().map_or("", |link| &link.profile);
        Mark::of(of, field.name(), value)
    }

    /// Whether every field that is shown is as last seen on that side.
    pub fn knows_all(&self, side: Side, fields: &Fields) -> bool {
        fields.all().all(|(field, _)| self.knows(side, field, fields))
    }

    /// Whether a field, if it is shown, is as last seen on that side.
    pub fn knows(&self, side: Side, field: Field, fields: &Fields) -> bool {
        let is_seen = |value| self.base.get(field.name()).is_some_and(|base| *base.of(side) == self.mark(field, value));
        // A field that does not go to the other side is never news.
        !field.goes_to(side.other()) || fields.shown(field).is_none_or(is_seen)
    }

    /// Remembers two values as merged. This also settles a hold and closes the windows of the field.
    pub fn settle(&mut self, field: Field, shopify: Option<&str>, omneo: Option<&str>) {
        let base = Base { shopify: self.mark(field, shopify), omneo: self.mark(field, omneo) };
        self.base.insert(field.name().to_owned(), base);
        self.held.remove(field.name());
        self.windows.close(field);
    }
}

fn part<T: DeserializeOwned + Default>(parts: &mut serde_json::Map<String, Value>, name: &str) -> T {
    parts.remove(name).and_then(|part| serde_json::from_value(part).ok()).unwrap_or_default()
}

impl Base {
    pub fn of(&self, side: Side) -> &Mark {
        match side {
            Side::Shopify => &self.shopify,
            Side::Omneo => &self.omneo,
        }
    }
}

impl Windows {
    pub fn of(&self, side: Side) -> &BTreeMap<String, Window> {
        match side {
            Side::Shopify => &self.shopify,
            Side::Omneo => &self.omneo,
        }
    }

    pub fn of_mut(&mut self, side: Side) -> &mut BTreeMap<String, Window> {
        match side {
            Side::Shopify => &mut self.shopify,
            Side::Omneo => &mut self.omneo,
        }
    }

    pub fn close(&mut self, field: Field) {
        self.shopify.remove(field.name());
        self.omneo.remove(field.name());
    }

    fn is_empty(&self) -> bool {
        self.shopify.is_empty() && self.omneo.is_empty()
    }
}

impl Gone {
    fn is_empty(&self) -> bool {
        self.customer.is_none() && self.profile.is_none()
    }
}

impl MergedInto {
    fn is_empty(&self) -> bool {
        self.customers.is_empty() && self.profiles.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> Memory {
        let link = Some(Link { customer: 7, profile: "2b1c".into() });
        Memory { link, ..Memory::default() }
    }

    #[test]
    fn no_value_is_remembered() {
        let mut memory = linked();
        let email = crate::settings::Settings::default().mapping.named("email").unwrap();
        memory.settle(email, Some("ada@example.org"), None);
        let text = memory.write();
        assert!(!text.contains("ada"), "{text}");
        let read = Memory::read(&[text]);
        let mut fields = Fields::default();
        fields.set(email, Some("ada@example.org".into()));
        assert!(read.knows_all(Side::Shopify, &fields) && !read.knows_all(Side::Omneo, &fields));
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let text = r#"{"link":{"customer":7,"profile":"2b1c"},"base":3,"clock":{"merged":"soon"},"new":[]}"#;
        let memory = Memory::read(&["not JSON".into(), text.into()]);
        assert_eq!(memory.link.map(|link| link.customer), Some(7));
        assert_eq!((memory.base.len(), memory.clock.merged), (0, 0));
    }

    #[test]
    fn of_two_memories_the_linked_one_counts() {
        let gone = Memory { gone: Gone { customer: Some(9), profile: None }, ..Memory::default() };
        let memory = Memory::read(&[gone.write(), linked().write()]);
        assert_eq!((memory.link.map(|link| link.customer), memory.gone.customer), (Some(7), Some(9)));
    }
}
