//! What people do to the stores, and that it is written down. Knows nothing of what should come of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::addresses;
use super::life::{MAPPED, Side, What};
use super::orders::Book;
use super::world::World;

/// A side and an id on it.
pub type Who = (Side, String);

#[derive(Clone, Debug)]
pub struct Edit {
    pub at: i64,
    pub value: Option<String>,
    /// Whether the two halves differed just before, if that can be told: while a write is not over, it cannot.
    pub differed: Option<bool>,
}

/// What people did, to be compared with what became of it.
#[derive(Default)]
pub struct History {
    pub edits: BTreeMap<(Who, usize), Vec<Edit>>,
    /// Fields in which somebody once wanted what another one had.
    pub collided: BTreeSet<usize>,
    pub count: usize,
    /// Orders by number.
    pub orders: BTreeMap<u64, Book>,
    pub addresses: addresses::Done,
    /// Halves that a person deleted, with the other half they had then.
    pub deleted: Vec<(Who, Option<Who>)>,
    /// Customers for whom an order made a profile.
    pub bought_first: BTreeSet<String>,
}

/// A value as people see it; nothing, if it stands for nothing.
fn plain(field: usize, value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!(MAPPED[field].neutral)(text).is_empty()).then(|| text.to_owned())
}

/// Equal as far as both stores can hold it.
pub fn same(field: usize, one: &Option<String>, other: &Option<String>) -> bool {
    let neutral = |value: &Option<String>| value.as_deref().map(MAPPED[field].neutral);
    neutral(one) == neutral(other)
}

impl World {
    /// What a half shows of every mapped field; nothing if it is gone.
    pub fn shown(&self, who: &Who) -> Option<Vec<Option<String>>> {
        let body = self.body(who)?;
        let is_second = who.0 == Side::Omneo && self.uses_second(&who.1);
        let read = |(field, mapped): (usize, &super::life::Mapped)| {
            let (key, second) = match who.0 {
                Side::Shopify => (mapped.shopify, None),
                Side::Omneo => (mapped.omneo, mapped.omneo_second.filter(|_| is_second)),
            };
            plain(field, &body[key]).or_else(|| plain(field, &body[second?]))
        };
        Some(MAPPED.iter().enumerate().map(read).collect())
    }

    fn body(&self, who: &Who) -> Option<Value> {
        match who.0 {
            Side::Shopify => self.shopify.customer(who.1.parse().ok()?),
            Side::Omneo => self.omneo.profile(&who.1),
        }
    }

    /// Whether the memory says that the number lives in the profile's second slot.
    fn uses_second(&self, profile: &str) -> bool {
        self.memories().any(|memory| memory["link"]["profile"] == profile && memory["second_phone"] == true)
    }

    pub fn halves(&self, side: Side) -> Vec<Who> {
        let id = |body: &Value| body["id"].as_str().map_or_else(|| body["id"].to_string(), str::to_owned);
        let all = match side {
            Side::Shopify => self.shopify.customers(),
            Side::Omneo => self.omneo.profiles(),
        };
        all.iter().map(|body| (side, id(body))).collect()
    }

    pub fn other_half(&self, who: &Who) -> Option<Who> {
        let customers = |profile: &Value| -> Vec<String> {
            let identities = profile["identities"].as_array().cloned().unwrap_or_default();
            let own = identities.iter().filter(|identity| identity["handle"] == "shopify");
            own.filter_map(|identity| identity["identifier"].as_str().map(str::to_owned)).collect()
        };
        match who.0 {
            Side::Shopify => {
                let profiles = self.omneo.profiles();
                let profile = profiles.iter().find(|profile| customers(profile).contains(&who.1))?;
                Some((Side::Omneo, profile["id"].as_str()?.to_owned()))
            }
            Side::Omneo => {
                let known = customers(&self.omneo.profile(&who.1)?);
                let living = known.into_iter().find(|id| self.body(&(Side::Shopify, id.clone())).is_some())?;
                Some((Side::Shopify, living))
            }
        }
    }

    fn pick(&self, side: Side, who: usize) -> Option<Who> {
        let halves = self.halves(side);
        // `usize::MAX` is the youngest.
        if who == usize::MAX { halves.last().cloned() } else { halves.get(who % halves.len().max(1)).cloned() }
    }

    /// Carries a deed out, if there is anybody to do it to.
    pub fn act(&mut self, what: &What) {
        self.clock.set(self.now);
        self.say(|| format!("PEOPLE   {what:?}"));
        match what {
            What::Born { side, values } => self.be_born(*side, values),
            What::Set { side, who, field, value } => {
                if let Some(who) = self.pick(*side, *who) {
                    self.set(&who, *field, *value);
                }
            }
            What::Tag { side, who, tag, is_added } => {
                if let Some(who) = self.pick(*side, *who) {
                    self.history.count += 1;
                    self.tag(&who, tag, *is_added);
                }
            }
            What::Consent { side, who, medium, decision } => {
                if let Some(who) = self.pick(*side, *who) {
                    self.history.count += 1;
                    self.decide(&who, medium, *decision);
                }
            }
            What::Delete { side, who } => {
                if let Some(who) = self.pick(*side, *who) {
                    self.history.count += 1;
                    let other = self.other_half(&who);
                    match side {
                        Side::Shopify => self.shopify.delete_customer(who.1.parse().unwrap()),
                        Side::Omneo => self.omneo.delete_profile(&who.1),
                    };
                    self.history.deleted.push((who, other));
                }
            }
            What::Address { side, who, deed } => {
                if let Some(who) = self.pick(*side, *who) {
                    self.move_house(&who, *deed);
                }
            }
            What::Order { number, who, step } => {
                let customer = who.and_then(|who| self.pick(Side::Shopify, who)).and_then(|who| self.body(&who));
                self.order(*number, customer, *step);
            }
        }
        self.collect();
    }

    fn be_born(&mut self, side: Side, values: &[Option<&'static str>]) {
        let key = |field: usize| if side == Side::Shopify { MAPPED[field].shopify } else { MAPPED[field].omneo };
        let given =
            values.iter().enumerate().filter_map(|(field, value)| Some((key(field).to_owned(), json!((*value)?))));
        let body = Value::Object(given.collect());
        let id = match side {
            Side::Shopify => self.shopify.create_customer(body).map(|id| id.to_string()).ok(),
            Side::Omneo => self.omneo.create_profile(body).ok(),
        };
        // Somebody else may have the address already, made by ourselves.
        let Some(id) = id else { return };
        let who = (side, id);
        self.history.count += 1;
        for (field, value) in self.shown(&who).unwrap().into_iter().enumerate() {
            let edit = Edit { at: self.now, value, differed: Some(false) };
            self.history.edits.entry((who.clone(), field)).or_default().push(edit);
        }
    }

    fn set(&mut self, who: &Who, field: usize, value: Option<&'static str>) {
        let Some(before) = self.shown(who) else { return };
        let other = self.other_half(who).and_then(|other| self.shown(&other));
        let differed = other.is_none_or(|other| !same(field, &before[field], &other[field]));
        let differed = (differed || self.unanswered == 0).then_some(differed);
        let done = match who.0 {
            Side::Shopify => {
                let fields = json!({ MAPPED[field].shopify: value });
                self.shopify.update_customer(who.1.parse().unwrap(), fields).is_ok()
            }
            Side::Omneo => self.omneo.update_profile(&who.1, json!({ MAPPED[field].omneo: value })).is_ok(),
        };
        if !done {
            self.history.collided.insert(field);
            return;
        }
        self.history.count += 1;
        let after = self.shown(who).unwrap();
        // What changes nothing leaves no trace, in no store and in no webhook.
        if after[field] != before[field] {
            let edit = Edit { at: self.now, value: after[field].clone(), differed };
            self.history.edits.entry((who.clone(), field)).or_default().push(edit);
        }
    }

    fn tag(&mut self, who: &Who, tag: &str, is_added: bool) {
        if who.0 == Side::Shopify {
            let id = who.1.parse().unwrap();
            if is_added { self.shopify.add_tags(id, &[tag]) } else { self.shopify.remove_tags(id, &[tag]) }.unwrap();
            return;
        }
        let profile = self.omneo.profile(&who.1).unwrap();
        let mut tags: Vec<&str> = profile["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let hyphened = tag.replace(' ', "-");
        tags.retain(|known| *known != hyphened);
        if is_added {
            tags.push(tag);
        }
        self.omneo.set_tags(&who.1, &tags).unwrap();
    }

    fn decide(&mut self, who: &Who, medium: &str, decision: u8) {
        if who.0 == Side::Shopify {
            let (id, state) = (who.1.parse().unwrap(), if decision < 2 { "subscribed" } else { "unsubscribed" });
            if medium == "email" {
                self.shopify.set_email_consent(id, state, Some(self.now)).unwrap();
            } else {
                self.shopify.set_sms_consent(id, state, Some(self.now)).unwrap();
            }
            return;
        }
        let key = |name: &str| format!("{medium}_{name}");
        let at = tandem::clock::rfc3339(self.now);
        let comms = match decision {
            0 => json!({ key("promo"): true, key("optout"): false, key("consent_updated_at"): at }),
            1 => json!({ key("promo"): false, key("consent_updated_at"): at }),
            2 => json!({ key("optout"): true, key("consent_updated_at"): at }),
            _ => json!({ key("bounced"): true }),
        };
        self.omneo.set_comms(&who.1, comms).unwrap();
    }
}
