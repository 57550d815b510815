//! The state of one run about a person, and the sentence that it ends with. Knows the settings, and makes no calls.

use tandem_sdk::{Cx, End, Event, Time, done, skipped};

use super::address::Address;
use super::fields::{Core, Side};
use super::memory::{Link, Memory};
use super::omneo::{Profile, Reading};
use crate::key::{customer_name, profile_name};
use crate::settings::Settings;

pub struct Run<'a> {
    pub cx: &'a Cx,
    pub settings: &'a Settings,
    pub memory: Memory,
    /// The side that the event comes from.
    pub source: Side,
    /// When the event was accepted, in seconds: the only "now" that the rules have.
    pub now: i64,
    /// Whether Omneo may be written, and whether Shopify may be.
    pub to_omneo: bool,
    pub to_shopify: bool,
    /// Whether customer and profile were not linked before, as far as is remembered.
    pub is_new_link: bool,
    /// Whether anything suggests that the addresses are not as last seen.
    pub addresses_due: bool,
    /// Addresses in the event's body that a write of ours ran over.
    pub addresses_over: Vec<Address>,
    /// The id of the address that the event says was deleted in Omneo.
    pub address_deleted: Option<String>,
    /// Whether names are claimed. A purchase does not claim them: it is not part of the person, and does not wait in
    /// the person's lane.
    claims: bool,
    wrote: Vec<(Side, String)>,
    notes: Vec<String>,
}

impl<'a> Run<'a> {
    pub fn new(cx: &'a Cx, settings: &'a Settings, event: &Event, source: Side) -> Self {
        Self {
            memory: Memory::read(cx.memory()),
            source,
            now: Time::parse(&event.received_at).map_or(i64::MAX, Time::seconds),
            claims: true,
            ..Self::beside(cx, settings)
        }
    }

    /// A look at a person on behalf of another entity: nothing about the person is remembered, and no name is claimed.
    pub fn beside(cx: &'a Cx, settings: &'a Settings) -> Self {
        Self {
            cx,
            settings,
            memory: Memory::default(),
            source: Side::Shopify,
            now: i64::MAX,
            to_omneo: settings.sync.shopify_to_omneo,
            to_shopify: settings.sync.omneo_to_shopify,
            is_new_link: false,
            addresses_due: false,
            addresses_over: vec![],
            address_deleted: None,
            claims: false,
            wrote: vec![],
            notes: vec![],
        }
    }

    /// Adds a name of the entity, if names are claimed.
    pub fn learn(&self, name: String) {
        if self.claims {
            self.cx.learn(name);
        }
    }

    /// Declares that the thing with this name is gone for good, if names are claimed.
    pub fn retire(&self, name: String) {
        if self.claims {
            self.cx.retire(name);
        }
    }

    pub fn may_write(&self, side: Side) -> bool {
        match side {
            Side::Omneo => self.to_omneo,
            Side::Shopify => self.to_shopify,
        }
    }

    pub fn reading(&self) -> Reading<'a> {
        Reading {
            handle: &self.settings.identity_handle,
            second_phone: self.memory.second_phone,
            mapping: &self.settings.mapping,
        }
    }

    /// Links the two and claims both names. From here on, no other run writes to them at the same time.
    pub fn link(&mut self, customer: u64, profile: &str) {
        self.learn(customer_name(customer));
        self.learn(profile_name(profile));
        let link = Link { customer, profile: profile.to_owned() };
        if self.memory.link.as_ref() != Some(&link) {
            self.is_new_link = true;
            self.memory.forget();
            self.memory.link = Some(link);
        }
    }

    /// Remembers the customer as deleted. Another customer may take its place.
    pub fn customer_is_gone(&mut self, customer: u64) {
        self.retire(customer_name(customer));
        self.memory.gone.customer = Some(customer);
    }

    /// Remembers the profile as deleted. Another profile may take its place.
    pub fn profile_is_gone(&mut self, profile: &str) {
        self.retire(profile_name(profile));
        self.memory.gone.profile = Some(profile.to_owned());
    }

    /// The end of a run that found the customer deleted.
    pub fn end_without_customer(&mut self, customer: u64) -> End {
        self.customer_is_gone(customer);
        let reason =
            format!("customer {customer} is deleted in Shopify; it is not created again (`people.recreate_deleted`)");
        skipped(reason).remember(self.memory.write())
    }

    /// The end of a run that found the profile deleted.
    pub fn end_without_profile(&mut self, profile: &str) -> End {
        self.profile_is_gone(profile);
        let reason =
            format!("profile {profile} is deleted in Omneo; it is not created again (`people.recreate_deleted`)");
        skipped(reason).remember(self.memory.write())
    }

    /// Why this profile is kept away from Shopify; `None` if it is not.
    pub fn kept_from_shopify(&self, profile: &Profile) -> Option<String> {
        let people = &self.settings.people;
        let kind = profile.kind.as_deref().unwrap_or("active");
        if !people.profile_types.iter().any(|allowed| allowed == kind) {
            return Some(format!("the profile's type is `{kind}`, which is not in `people.profile_types`"));
        }
        let email = profile.snapshot.fields.core(Core::Email)?;
        let pattern = people.exclude_emails.iter().find(|pattern| matches(pattern, email))?;
        Some(format!("the profile's e-mail is like `{pattern}` in `people.exclude_emails`"))
    }

    /// Notes what was written, for the reason.
    pub fn wrote(&mut self, side: Side, what: impl Into<String>) {
        self.wrote.push((side, what.into()));
    }

    pub fn has_written(&self, side: Side) -> bool {
        self.wrote.iter().any(|(to, _)| *to == side)
    }

    /// Adds a note to the reason.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The ending, with the memory.
    pub fn end(self, nothing: &str) -> End {
        let mut parts = vec![];
        for side in [Side::Omneo, Side::Shopify] {
            let what: Vec<_> = self.wrote.iter().filter(|(to, _)| *to == side).map(|(_, what)| what.as_str()).collect();
            if !what.is_empty() {
                parts.push(format!("to {side}: {}", what.join(", ")));
            }
        }
        let mut held = vec![];
        for (field, why) in &self.memory.held {
            held.push(format!("{field} is held, not written to {}: {}", why.to, why.why));
        }
        for (channel, consent) in [("e-mail", &self.memory.consent.email), ("SMS", &self.memory.consent.sms)] {
            if let Some(why) = consent.as_ref().and_then(|consent| consent.held.as_deref()) {
                held.push(format!("consent to {channel} is held: {why}"));
            }
        }
        let wrote = !parts.is_empty();
        match (wrote, held.is_empty()) {
            (true, _) => {}
            (false, true) => parts.push(nothing.to_owned()),
            // A held value means that the sides differ, and is the first thing that a reader has to know.
            (false, false) => {
                parts.append(&mut held);
                parts.push("nothing was written".to_owned());
            }
        }
        parts.extend(self.notes);
        parts.append(&mut held);
        let reason = parts.join("; ");
        let end = if wrote { done(reason) } else { skipped(reason) };
        end.remember(self.memory.write())
    }
}

/// Whether a text matches a pattern. `*` stands for anything; case is ignored.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    // The parts between the stars are searched from left to right. The last part must stand at the end of the text.
    let mut parts: Vec<_> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*@example.com", "Ada@Example.com", true),
            ("*@example.com", "ada@example.com.au", false),
            ("staff-profile-*", "staff-profile-7@shop.example", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "ab", true),
            ("ab*ba", "aba", false),
            ("ada@example.org", "ada@example.org", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
