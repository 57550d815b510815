//! What people do to the shop without the API: shoppers, merchants, and a test that looks.
//! Knows nothing of GraphQL's documents; values obey the same rules as there.

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::shelf::Shelf;
use super::store::{Customer, Store};
use super::{Shopify, customer, merges, metafields, mutations, views, webhooks};
use crate::clock;

impl Shopify {
    /// Creates a customer as a shopper or merchant would; keys as in REST bodies (`first_name`, `email`, `tags`, `addresses`…),
    /// and an `id` to have that one.
    /// The messages of what Shopify refuses otherwise, as `email: Email has already been taken`.
    pub fn create_customer(&self, fields: Value) -> Result<u64, Vec<String>> {
        self.core.with(|store| edit(store, None, &fields))
    }

    /// Changes the given keys; null clears. `state` may become `enabled` or `disabled`.
    pub fn update_customer(&self, id: u64, fields: Value) -> Result<(), Vec<String>> {
        self.core.with(|store| {
            let old = store.customers.get(&id).cloned().ok_or_else(|| vec![format!("no customer {id}")])?;
            edit(store, Some(&old), &fields).map(drop)
        })
    }

    /// Sets a metafield as a merchant or another app would.
    pub fn set_metafield(&self, id: u64, [namespace, key, ty, value]: [&str; 4]) -> Result<(), String> {
        self.core.with(|store| {
            let mut new = store.customers.get(&id).cloned().ok_or_else(|| format!("no customer {id}"))?;
            let input = json!({ "namespace": namespace, "key": key, "type": ty, "value": value });
            metafields::put(store, &mut new, &input).map_err(|problem| problem.message)?;
            store.save(new);
            Ok(())
        })
    }

    pub fn add_tags(&self, id: u64, tags: &[&str]) -> Result<(), Vec<String>> {
        self.change(id, |customer, _| {
            customer.tags =
                customer::with_tags(&customer.tags, tags.iter().copied()).map_err(|problem| vec![problem.message])?;
            Ok(())
        })
    }

    pub fn remove_tags(&self, id: u64, tags: &[&str]) -> Result<(), Vec<String>> {
        self.change(id, |customer, _| {
            customer.tags.retain(|tag| !tags.iter().any(|gone| gone.to_lowercase() == tag.to_lowercase()));
            Ok(())
        })
    }

    /// Sets `subscribed`, `unsubscribed` or `pending`, now or at a time in Unix milliseconds.
    pub fn set_email_consent(&self, id: u64, state: &str, at_ms: Option<i64>) -> Result<(), Vec<String>> {
        self.change(id, |customer, now_ms| {
            mutations::set_consent(&mut customer.email_consent, state, None, at_ms, now_ms);
            Ok(())
        })
    }

    pub fn set_sms_consent(&self, id: u64, state: &str, at_ms: Option<i64>) -> Result<(), Vec<String>> {
        self.change(id, |customer, now_ms| {
            mutations::set_consent(&mut customer.sms_consent, state, None, at_ms, now_ms);
            Ok(())
        })
    }

    /// False when there is no such customer.
    pub fn delete_customer(&self, id: u64) -> bool {
        self.core.with(|store| store.delete(id))
    }

    /// Merges as the admin does: `kept` stays and gains what it lacks, `gone` is deleted, customers/merge tells of both.
    pub fn merge_customers(&self, kept: u64, gone: u64) -> Result<(), Vec<String>> {
        self.core.with(|store| merges::merge(store, kept, gone, None).map_err(|message| vec![message]))
    }

    /// The webhook body plus `tags`, `locale`, both consents (null without address or number) and `metafields` by `namespace.key`.
    pub fn customer(&self, id: u64) -> Option<Value> {
        self.core.with(|store| store.customers.get(&id).map(|customer| webhooks::flat(&store.facts, customer)))
    }

    /// All customers by id.
    pub fn customers(&self) -> Vec<Value> {
        self.core
            .with(|store| store.customers.values().map(|customer| webhooks::flat(&store.facts, customer)).collect())
    }

    /// Keeps an order body by its id and sends it under `topic`; `orders/delete` forgets it. `updated_at` is now unless given.
    pub fn send_order(&self, topic: &str, order: Value) {
        self.core.with(|store| keep(store, topic, order, |store| &mut store.orders));
    }

    /// The same for a product body.
    pub fn send_product(&self, topic: &str, product: Value) {
        self.core.with(|store| keep(store, topic, product, |store| &mut store.products));
    }

    pub fn orders(&self) -> Vec<Value> {
        self.core.with(|store| store.orders.values().cloned().collect())
    }

    pub fn products(&self) -> Vec<Value> {
        self.core.with(|store| store.products.values().cloned().collect())
    }

    /// Adds a location, which GraphQL then lists; no webhook.
    pub fn add_location(&self, id: u64, name: &str) {
        self.core.with(|store| {
            let location = views::location(id, name, true, store.now_ms);
            store.locations.push(location);
        });
    }

    /// Changes what GraphQL shows of a location, as `name`, `isActive` or `address`; no webhook.
    pub fn change_location(&self, id: u64, fields: Value) {
        self.core.with(|store| {
            let gid = webhooks::gid("Location", id);
            let now = clock::utc(store.now_ms);
            let location = store.locations.iter_mut().find(|location| location["id"] == gid.as_str());
            if let (Some(Value::Object(location)), Value::Object(fields)) = (location, fields) {
                location.extend(fields);
                location.insert("updatedAt".to_owned(), json!(now));
            }
        });
    }

    /// Sends any body under any topic, signed like the others.
    pub fn send(&self, topic: &str, body: Value) {
        self.core.with(|store| store.events.push((topic.to_owned(), body)));
    }

    fn change(
        &self,
        id: u64,
        change: impl FnOnce(&mut Customer, i64) -> Result<(), Vec<String>>,
    ) -> Result<(), Vec<String>> {
        self.core.with(|store| {
            let mut customer = store.customers.get(&id).cloned().ok_or_else(|| vec![format!("no customer {id}")])?;
            change(&mut customer, store.now_ms)?;
            store.save(customer);
            Ok(())
        })
    }
}

fn edit(store: &mut Store, old: Option<&Customer>, fields: &Value) -> Result<u64, Vec<String>> {
    const NAMES: [(&str, &str); 3] =
        [("first_name", "firstName"), ("last_name", "lastName"), ("tax_exempt", "taxExempt")];
    let mut input = Map::new();
    for (key, value) in fields.as_object().into_iter().flatten() {
        let known = NAMES.iter().find(|(rest, _)| rest == key).map_or(key.as_str(), |(_, graphql)| graphql);
        let value = match value {
            Value::Array(all) if key == "addresses" => all.iter().map(graphql_address).collect(),
            Value::Null if key == "addresses" => json!([]),
            Value::String(tags) if key == "tags" => {
                tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect()
            }
            _ if key == "addresses" => return Err(vec!["addresses: is no list".to_owned()]),
            value => value.clone(),
        };
        input.insert(known.to_owned(), value);
    }
    let said = |problem: Problem| format!("{}: {}", problem.field.unwrap_or_default().join("."), problem.message);
    let mut new =
        customer::apply(store, old, &input).map_err(|problems| problems.into_iter().map(said).collect::<Vec<_>>())?;
    for (key, slot) in
        [("email_marketing_consent", &mut new.email_consent), ("sms_marketing_consent", &mut new.sms_consent)]
    {
        if let Some(state) = fields[key]["state"].as_str() {
            let at_ms = fields[key]["consent_updated_at"].as_str().and_then(clock::parse);
            mutations::set_consent(slot, state, fields[key]["opt_in_level"].as_str(), at_ms, store.now_ms);
        }
    }
    if let (None, Some(id)) = (old, fields["id"].as_u64()) {
        new.id = id;
    }
    if let Some(is_verified) = fields["verified_email"].as_bool() {
        new.verified_email = is_verified;
    }
    let id = new.id;
    store.save(new);
    Ok(id)
}

fn graphql_address(rest: &Value) -> Value {
    const NAMES: [(&str, &str); 4] = [
        ("first_name", "firstName"),
        ("last_name", "lastName"),
        ("province_code", "provinceCode"),
        ("country_code", "countryCode"),
    ];
    let pairs = rest.as_object().into_iter().flatten().map(|(key, value)| {
        let name = NAMES.iter().find(|(rest, _)| rest == key).map_or(key.as_str(), |(_, graphql)| graphql);
        // An address that is named is changed, and any other is new.
        let value = value.as_u64().filter(|_| key == "id").map(|id| json!(webhooks::gid("MailingAddress", id)));
        (name.to_owned(), value.unwrap_or_else(|| rest[key].clone()))
    });
    pairs.collect()
}

fn keep(store: &mut Store, topic: &str, mut body: Value, shelf: fn(&mut Store) -> &mut Shelf<Value>) {
    let deleted = topic.ends_with("/delete");
    if body.is_object() && !deleted && body.get("updated_at").is_none() {
        body["updated_at"] = json!(clock::local(store.now_ms, store.facts.offset_minutes));
    }
    if let Some(id) = body["id"].as_u64() {
        if deleted {
            shelf(store).remove(id);
        } else {
            shelf(store).insert(id, body.clone());
        }
    }
    store.events.push((topic.to_owned(), body));
}
