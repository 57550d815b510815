//! The state of one shop and the bookkeeping of a change: what was different before decides which webhooks go out.
//! Knows nothing of GraphQL or HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use super::model::{Acting, Address, Consent, Customer, Definition, Facts, Metafield, Subscription};
use super::shelf::Shelf;
use super::webhooks;

/// Below, ids fit 32 bits in nobody's program.
const CUSTOMER_ID_FIRST: u64 = 7_064_055_069_000;
/// Above 2^53, where a float would lose the last digits.
const CUSTOMER_ID_FIRST_BIG: u64 = 9_007_199_254_740_993;
const OTHER_ID_FIRST: u64 = 12_264_345_076_018;

pub(crate) struct Store {
    pub facts: Facts,
    /// Found also as `email/…`, `phone/…`, `field/namespace/key/value` and `address/…`.
    pub customers: Shelf<Customer>,
    /// Found also as `customer/…`.
    pub orders: Shelf<Value>,
    /// Found also as `variant/…`.
    pub products: Shelf<Value>,
    pub locations: Vec<Value>,
    pub definitions: Vec<Definition>,
    pub subscriptions: Vec<Subscription>,
    /// The customer that each merge has kept, by its job.
    pub merges: BTreeMap<String, String>,
    /// Who makes the request under way; `None` for the fixed token, and outside of requests.
    pub acting: Option<Acting>,
    /// The time of the request or edit under way.
    pub now_ms: i64,
    /// Topic and body of webhooks to send when the request or edit is done.
    pub events: Vec<(String, Value)>,
    next_customer: u64,
    next_other: u64,
}

impl Store {
    pub fn new(facts: Facts, seed: u64, big_ids: bool, link_defined: bool) -> Store {
        let first = if big_ids { CUSTOMER_ID_FIRST_BIG } else { CUSTOMER_ID_FIRST };
        let spread = seed % 1_000 * 1_000;
        let mut store = Store {
            facts,
            customers: Shelf::new(customer_names),
            orders: Shelf::new(|order| {
                order["customer"]["id"].as_u64().map(|id| format!("customer/{id}")).into_iter().collect()
            }),
            products: Shelf::new(variant_names),
            locations: Vec::new(),
            definitions: Vec::new(),
            subscriptions: Vec::new(),
            merges: BTreeMap::new(),
            acting: None,
            now_ms: 0,
            events: Vec::new(),
            next_customer: first + spread,
            next_other: OTHER_ID_FIRST + spread,
        };
        if link_defined {
            let id = store.next_id();
            let (owner, namespace, key) = ("CUSTOMER".to_owned(), "omneo".to_owned(), "profile_id".to_owned());
            store.definitions.push(Definition {
                id,
                owner,
                namespace,
                key,
                name: "Omneo profile".to_owned(),
                description: None,
                ty: "id".to_owned(),
                storefront: "NONE".to_owned(),
            });
        }
        store
    }

    /// A fresh id of anything but a customer.
    pub fn next_id(&mut self) -> u64 {
        self.next_other += 32;
        self.next_other
    }

    /// Whether a subscription is of the app that makes the request under way: no app sees those of another.
    pub fn is_own(&self, subscription: &Subscription) -> bool {
        subscription.app.as_deref() == self.acting.as_ref().map(|acting| acting.client_id.as_str())
    }

    /// An unsaved customer with the next id.
    pub fn blank_customer(&mut self) -> Customer {
        self.next_customer += 2;
        Customer::nobody(self.next_customer, self.now_ms)
    }

    pub fn by_email(&self, email: &str) -> Option<&Customer> {
        self.customers.named(&format!("email/{}", email.to_lowercase())).next()
    }

    pub fn by_phone(&self, phone: &str) -> Option<&Customer> {
        self.customers.named(&format!("phone/{phone}")).next()
    }

    pub fn by_metafield(&self, namespace: &str, key: &str, value: &str) -> Option<&Customer> {
        self.customers.named(&format!("field/{namespace}/{key}/{value}")).next()
    }

    pub fn definition(&self, owner: &str, namespace: &str, key: &str) -> Option<&Definition> {
        self.definitions.iter().find(|known| known.owner == owner && known.namespace == namespace && known.key == key)
    }

    /// Saves a customer. Nothing changed: nothing happens. Otherwise the webhooks of exactly what changed are noted.
    /// Tags and consent have their own topics and leave `updatedAt` alone, as they left the customers/* bodies in 2025-01.
    pub fn save(&mut self, mut new: Customer) {
        let old = self.customers.get(&new.id).cloned();
        if old.as_ref() == Some(&new) {
            return;
        }
        if new.email.is_none() {
            new.email_consent = Consent::default();
        }
        if new.phone.is_none() {
            new.sms_consent = Consent::default();
        }
        let blank = Customer { id: new.id, ..self.shape_of_nobody() };
        let before = old.as_ref().unwrap_or(&blank);
        if old.as_ref().is_none_or(|old| main_part(old) != main_part(&new)) {
            new.updated_ms = self.now_ms;
            let topic = if old.is_some() { "customers/update" } else { "customers/create" };
            self.events.push((topic.to_owned(), webhooks::customer(&self.facts, &new)));
        }
        let switched = old.as_ref().is_some_and(|old| old.state != new.state);
        if let Some(topic) = ["enable", "disable"].into_iter().find(|verb| switched && new.state == format!("{verb}d"))
        {
            self.events.push((format!("customers/{topic}"), webhooks::customer(&self.facts, &new)));
        }
        for (topic, from, to) in
            [("customer.tags_added", &new.tags, &before.tags), ("customer.tags_removed", &before.tags, &new.tags)]
        {
            let tags: Vec<_> = from.iter().filter(|tag| !to.contains(tag)).collect();
            if !tags.is_empty() {
                self.events.push((topic.to_owned(), webhooks::tags(&new, &tags, self.now_ms)));
            }
        }
        if before.email_consent != new.email_consent && new.email.is_some() {
            self.events.push((
                "customers_email_marketing_consent/update".to_owned(),
                webhooks::email_consent(&self.facts, &new),
            ));
        }
        if before.sms_consent != new.sms_consent && new.phone.is_some() {
            self.events
                .push(("customers_marketing_consent/update".to_owned(), webhooks::sms_consent(&self.facts, &new)));
        }
        self.customers.insert(new.id, new);
    }

    /// False when there is no such customer.
    pub fn delete(&mut self, id: u64) -> bool {
        let gone = self.customers.remove(id);
        if gone.is_some() {
            let gid = webhooks::gid("Customer", id);
            let body =
                json!({ "id": id, "phone": null, "addresses": [], "tax_exemptions": [], "admin_graphql_api_id": gid });
            self.events.push(("customers/delete".to_owned(), body));
        }
        gone.is_some()
    }

    fn shape_of_nobody(&mut self) -> Customer {
        let next = self.next_customer;
        let nobody = self.blank_customer();
        self.next_customer = next;
        nobody
    }
}

fn customer_names(customer: &Customer) -> Vec<String> {
    let email = customer.email.iter().map(|email| format!("email/{}", email.to_lowercase()));
    let phone = customer.phone.iter().map(|phone| format!("phone/{phone}"));
    let fields = customer.metafields.iter();
    let fields = fields.map(|field| format!("field/{}/{}/{}", field.namespace, field.key, field.value));
    let addresses = customer.addresses.iter().map(|address| format!("address/{}", address.id));
    email.chain(phone).chain(fields).chain(addresses).collect()
}

fn variant_names(product: &Value) -> Vec<String> {
    let variants = product["variants"].as_array().into_iter().flatten();
    variants.filter_map(|variant| Some(format!("variant/{}", variant["id"].as_u64()?))).collect()
}

/// The customer without what has its own topics.
fn main_part(customer: &Customer) -> Customer {
    Customer {
        tags: Vec::new(),
        email_consent: Consent::default(),
        sms_consent: Consent::default(),
        updated_ms: 0,
        ..customer.clone()
    }
}
