//! A tenant with a past: profiles in one go, with their own times, told to nobody.
//! Values are taken as they are, since nobody typed them just now.

use std::collections::BTreeMap;

use serde_json::json;

use super::Omneo;
use super::model::{Profile, Row};
use super::store::Store;
use crate::clock;
use crate::past::{Past, Sides};

impl Omneo {
    /// Puts a past into the tenant; `customers` are the ids of those that people are linked to, by the number of the person.
    /// Gives each such customer's profile.
    pub(crate) fn live_through(&self, past: &Past, customers: &[(u64, u64)]) -> Vec<(u64, String)> {
        let customers: BTreeMap<u64, u64> = customers.iter().copied().collect();
        self.core.with(false, |store| {
            let here = (0..past.people).filter(|n| past.sides(*n) != Sides::Shop);
            let made = here.map(|n| {
                let customer = customers.get(&n).copied();
                let profile = person(store, past, n, customer);
                let id = profile.id.clone();
                store.profiles.put(profile);
                customer.map(|customer| (customer, id))
            });
            made.flatten().collect()
        })
    }

    /// Moves the times of a profile into the past, as though nothing had happened since.
    pub fn backdate_profile(&self, id: &str, created_ms: i64, updated_ms: i64) {
        self.core.with(false, |store| {
            if let Some(profile) = store.profile(id).cloned() {
                store.profiles.put(Profile { created_ms, updated_ms, ..profile });
            }
        });
    }
}

fn person(store: &mut Store, past: &Past, n: u64, customer: Option<u64>) -> Profile {
    let of = past.person(n);
    let at = clock::plain(of.made_ms);
    let (id, identity) = (store.next_uuid(), store.next_id());
    let fields = json!({
        "email": of.email, "first_name": of.first_name, "last_name": of.last_name, "mobile_phone": of.phone,
        "profile_type": "active", "joined_at": at,
    });
    let identity = |customer: u64| {
        let row = json!({
            "id": identity, "handle": "shopify", "identifier": customer.to_string(), "is_primary": true, "is_active": true,
            "merged_from": null, "profile_id": id, "created_at": at, "updated_at": at,
        });
        row.as_object().cloned().unwrap_or_default()
    };
    let mut comms = Row::new();
    if of.is_subscribed {
        comms.insert("email_promo".to_owned(), json!(true));
        comms.insert("email_consent_updated_at".to_owned(), json!(at));
    }
    Profile {
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: of.tags,
        identities: customer.map(identity).into_iter().collect(),
        comms,
        addresses: Vec::new(),
        deleted: false,
        created_ms: of.made_ms,
        updated_ms: of.made_ms,
        id,
    }
}
