//! A Shopify with customers. Knows Shopify's own peculiarities, and nothing of Omneo.

use std::collections::BTreeMap;

use tandem_sdk::{Time, Value, json};

use super::Hook;

#[derive(Default)]
pub struct Shopify {
    pub customers: BTreeMap<u64, Customer>,
    pub hooks: Vec<Hook>,
    /// In seconds.
    pub now: i64,
    /// Whether tags, consent and metafields count as an update of the customer.
    pub is_chatty: bool,
    /// Whether bodies carry tags and consent, as they did before 2025.
    pub has_old_bodies: bool,
    /// The level of each subscription that was written.
    pub opt_in_levels: Vec<String>,
    /// Keys of a customer's input to which Shopify objects when they have a value, each with its words.
    pub faults: Vec<(&'static str, &'static str)>,
    /// The status of a merge that is asked about, and the customer that it keeps.
    pub merge_status: Option<(&'static str, u64)>,
    count: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Customer {
    pub id: u64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    /// By their lower-case form.
    pub tags: BTreeMap<String, String>,
    pub email_consent: (&'static str, Option<i64>),
    pub sms_consent: (&'static str, Option<i64>),
    pub has_account: bool,
    pub profile: Option<String>,
    pub created: i64,
    pub at: i64,
    /// Each address with its id and its keys, named as in GraphQL.
    pub addresses: Vec<Value>,
    pub default_address: Option<u64>,
}

impl Customer {
    pub fn get(&self, field: &str) -> &Option<String> {
        match field {
            "first_name" | "firstName" => &self.first_name,
            "last_name" | "lastName" => &self.last_name,
            "email" => &self.email,
            _ => &self.phone,
        }
    }

    fn body_addresses(&self) -> Vec<Value> {
        let one = |address: &Value| {
            json!({
                "id": address["id"], "address1": address["address1"], "city": address["city"], "zip": address["zip"],
                "company": address["company"], "country_code": address["countryCodeV2"],
                "default": address["id"].as_u64() == self.default_address,
            })
        };
        self.addresses.iter().map(one).collect()
    }

    pub fn address_node(address: &Value) -> Value {
        let mut node = address.clone();
        node["id"] = json!(format!("gid://shopify/MailingAddress/{}?model_name=CustomerAddress", address["id"]));
        node
    }

    fn slot(&mut self, field: &str) -> &mut Option<String> {
        match field {
            "first_name" | "firstName" => &mut self.first_name,
            "last_name" | "lastName" => &mut self.last_name,
            "email" => &mut self.email,
            _ => &mut self.phone,
        }
    }

    pub fn node(&self) -> Value {
        let time = |at: i64| Time(at * 1000).rfc3339();
        let consent = |at: &str, value: &Option<String>, consent: (&str, Option<i64>)| {
            value.as_ref().map(|value| {
                json!({ at: value, "marketingState": consent.0.to_uppercase(), "marketingUpdatedAt": consent.1.map(time) })
            })
        };
        json!({
            "id": format!("gid://shopify/Customer/{}", self.id),
            "createdAt": time(self.created), "updatedAt": time(self.at),
            "state": if self.has_account { "ENABLED" } else { "DISABLED" },
            "firstName": self.first_name, "lastName": self.last_name,
            "tags": self.tags.values().collect::<Vec<_>>(),
            "defaultEmailAddress": consent("emailAddress", &self.email, self.email_consent),
            "defaultPhoneNumber": consent("phoneNumber", &self.phone, self.sms_consent),
            "link": self.profile.as_ref().map(|profile| json!({ "value": profile })),
        })
    }
}

impl Shopify {
    pub fn create(&mut self, values: &[(&str, Option<&str>)]) -> Result<u64, &'static str> {
        self.count += 1;
        let id = 7_000 + self.count;
        let none = ("not_subscribed", None);
        let customer = Customer {
            id,
            email_consent: none,
            sms_consent: none,
            created: self.now,
            at: self.now,
            ..Customer::default()
        };
        let customer = self.changed(customer, values)?;
        self.hook("customers/create", &customer);
        self.customers.insert(id, customer);
        Ok(id)
    }

    pub fn update(&mut self, id: u64, values: &[(&str, Option<&str>)]) -> Result<(), &'static str> {
        let before = &self.customers[&id];
        let after = self.changed(before.clone(), values)?;
        let is_new = values.iter().any(|(field, _)| before.get(field) != after.get(field));
        let after = Customer { at: self.now, ..after };
        if is_new {
            self.hook("customers/update", &after);
        }
        self.customers.insert(id, after);
        Ok(())
    }

    /// Deletes a customer without sending a webhook.
    pub fn lose(&mut self, id: u64) {
        self.customers.remove(&id);
    }

    pub fn delete(&mut self, id: u64) {
        self.lose(id);
        self.hooks.push(("customers/delete", json!({ "id": id, "phone": null, "addresses": [] })));
    }

    /// Merges two customers: one stays as it is, and the other is deleted. Both topics report it, in this order.
    pub fn merge(&mut self, kept: u64, gone: u64) {
        self.delete(gone);
        let gid = |id: u64| format!("gid://shopify/Customer/{id}");
        let body = json!({
            "admin_graphql_api_customer_kept_id": gid(kept), "admin_graphql_api_customer_deleted_id": gid(gone),
            "admin_graphql_api_job_id": null, "status": "completed", "errors": [],
        });
        self.hooks.push(("customers/merge", body));
    }

    /// The customer with these values as Shopify stores them, or the field whose value somebody else has.
    fn changed(&self, mut customer: Customer, values: &[(&str, Option<&str>)]) -> Result<Customer, &'static str> {
        for (field, value) in values {
            let stored = value.map(|value| match *field {
                "email" => value.replace(' ', "").to_lowercase(),
                _ => value.trim().to_owned(),
            });
            *customer.slot(field) = stored.filter(|value| !value.is_empty());
        }
        for field in ["email", "phone"] {
            let value = customer.get(field);
            if value.is_some() && self.customers.values().any(|c| c.id != customer.id && c.get(field) == value) {
                return Err(field);
            }
        }
        Ok(customer)
    }

    /// Creates or changes an address; `None` when it does not exist.
    pub fn address(&mut self, customer: u64, id: Option<u64>, input: &Value) -> Option<Value> {
        self.count += 1;
        let new = 50_000 + self.count;
        let now = self.now;
        let customer = self.customers.get_mut(&customer).expect("it is there");
        let at = match id {
            Some(id) => Some(customer.addresses.iter().position(|address| address["id"] == json!(id))?),
            None => None,
        };
        let mut address = at.map_or_else(|| json!({ "id": new }), |at| customer.addresses[at].clone());
        let before = address.clone();
        for (key, value) in input.as_object().into_iter().flatten() {
            let key = if key == "countryCode" { "countryCodeV2" } else { key };
            address[key] = value.as_str().map(str::trim).filter(|value| !value.is_empty()).into();
        }
        if address != before {
            customer.at = now;
            match at {
                Some(at) => customer.addresses[at] = address.clone(),
                None => customer.addresses.push(address.clone()),
            }
            customer.default_address = customer.default_address.or(Some(new));
            let customer = customer.clone();
            self.hook("customers/update", &customer);
        }
        Some(address)
    }

    pub fn drop_address(&mut self, customer: u64, id: u64) {
        let now = self.now;
        let customer = self.customers.get_mut(&customer).expect("it is there");
        customer.addresses.retain(|address| address["id"] != json!(id));
        if customer.default_address == Some(id) {
            customer.default_address = customer.addresses.first().and_then(|address| address["id"].as_u64());
        }
        customer.at = now;
        let customer = customer.clone();
        self.hook("customers/update", &customer);
    }

    pub fn prefer(&mut self, customer: u64, id: u64) {
        let now = self.now;
        let customer = self.customers.get_mut(&customer).expect("it is there");
        if customer.default_address != Some(id) && customer.addresses.iter().any(|one| one["id"] == json!(id)) {
            customer.default_address = Some(id);
            customer.at = now;
            let customer = customer.clone();
            self.hook("customers/update", &customer);
        }
    }

    pub fn tag(&mut self, id: u64, add: &[&str], remove: &[&str]) {
        let customer = self.customers.get_mut(&id).expect("it is there");
        let (mut added, mut removed) = (vec![], vec![]);
        for tag in add {
            if customer.tags.insert(tag.to_lowercase(), (*tag).to_owned()).is_none() {
                added.push(*tag);
            }
        }
        for tag in remove {
            removed.extend(customer.tags.remove(&tag.to_lowercase()));
        }
        let gid = format!("gid://shopify/Customer/{id}");
        let occurred = Time(self.now * 1000).rfc3339();
        let is_new = !added.is_empty() || !removed.is_empty();
        if !added.is_empty() {
            self.hooks
                .push(("customer.tags_added", json!({ "customerId": gid, "tags": added, "occurredAt": occurred })));
        }
        if !removed.is_empty() {
            let payload = json!({ "customerId": gid, "tags": removed, "occurredAt": occurred });
            self.hooks.push(("customer.tags_removed", payload));
        }
        self.chat(id, is_new);
    }

    pub fn consent(&mut self, id: u64, medium: &str, state: &'static str, at: Option<i64>) {
        let customer = self.customers.get_mut(&id).expect("it is there");
        let (value, slot) = match medium {
            "email" => (&customer.email, &mut customer.email_consent),
            _ => (&customer.phone, &mut customer.sms_consent),
        };
        if value.is_none() || *slot == (state, at) {
            return;
        }
        *slot = (state, at);
        let consent = json!({ "state": state, "consent_updated_at": at.map(|at| Time(at * 1000).rfc3339()) });
        self.hooks.push(match medium {
            "email" => (
                "customers_email_marketing_consent/update",
                json!({ "customer_id": id, "email_address": customer.email, "email_marketing_consent": consent }),
            ),
            _ => (
                "customers_marketing_consent/update",
                json!({ "id": id, "phone": customer.phone, "sms_marketing_consent": consent }),
            ),
        });
        self.chat(id, true);
    }

    pub fn chat(&mut self, id: u64, is_new: bool) {
        if self.is_chatty && is_new {
            let customer = self.customers.get_mut(&id).expect("it is there");
            customer.at = self.now;
            let customer = customer.clone();
            self.hook("customers/update", &customer);
        }
    }

    fn hook(&mut self, topic: &'static str, customer: &Customer) {
        let time = |at: i64| Time(at * 1000).rfc3339();
        let mut body = json!({
            "id": customer.id, "admin_graphql_api_id": format!("gid://shopify/Customer/{}", customer.id),
            "first_name": customer.first_name, "last_name": customer.last_name,
            "email": customer.email, "phone": customer.phone,
            "state": if customer.has_account { "enabled" } else { "disabled" },
            "created_at": time(customer.created), "updated_at": time(customer.at), "addresses": customer.body_addresses(),
        });
        if self.has_old_bodies {
            let consent =
                |(state, at): (&str, Option<i64>)| json!({ "state": state, "consent_updated_at": at.map(time) });
            body["tags"] = json!(customer.tags.values().cloned().collect::<Vec<_>>().join(", "));
            body["email_marketing_consent"] = consent(customer.email_consent);
            body["sms_marketing_consent"] = customer.phone.as_ref().map(|_| consent(customer.sms_consent)).into();
        }
        self.hooks.push((topic, body));
    }
}
