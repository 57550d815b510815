//! Shopify's answers to the operations that the rules send. Knows the operations by name, and not their documents.

use tandem_sdk::{Time, Value, json};

use super::shopify::{Customer, Shopify};

impl Shopify {
    /// Answers a GraphQL operation.
    pub fn answer(&mut self, operation: &str, variables: &Value) -> Value {
        let id = |at: &str| tail(variables.pointer(at).and_then(Value::as_str).unwrap_or_default());
        let found = self.faults.iter().filter(|(key, _)| variables["input"][*key].is_string());
        let errors: Vec<_> = found.map(|(key, words)| json!({ "field": ["input", key], "message": words })).collect();
        if matches!(operation, "CreatePerson" | "UpdatePerson") && !errors.is_empty() {
            return json!({ "data": { "customerSet": { "customer": null, "userErrors": errors } } });
        }
        let is_at_fault =
            self.faults.iter().any(|(key, _)| *key == "phone") && variables["address"]["phone"].is_string();
        if let ("AddAddress" | "ChangeAddress", true) = (operation, is_at_fault) {
            let root = if operation == "AddAddress" { "customerAddressCreate" } else { "customerAddressUpdate" };
            let error = json!({ "field": ["address", "phone"], "message": "Phone is invalid" });
            return json!({ "data": { root: { "address": null, "userErrors": [error] } } });
        }
        let data = match operation {
            "Person" => json!({ "customer": self.node_of(id("/id")) }),
            "PersonAndOwners" => {
                let by = |name: &str, with: &str| match variables[with] == json!(true) {
                    true => self.find(&variables[name]).map(|customer| json!({ "id": customer.node()["id"] })),
                    false => None,
                };
                json!({ "customer": self.node_of(id("/id")), "email": by("email", "withEmail"), "phone": by("phone", "withPhone") })
            }
            "FindPerson" => json!({ "customerByIdentifier": self.find(&variables["by"]).map(Customer::node) }),
            "CreatePerson" => {
                let profile = variables["profileId"].as_str().unwrap_or_default().to_owned();
                let known = self.customers.values().find(|c| c.profile.as_deref() == Some(&profile)).map(|c| c.id);
                let created = match known {
                    Some(id) => self.update(id, &inputs(&variables["input"])).map(|()| id),
                    None => self.create(&inputs(&variables["input"])),
                };
                if let Ok(id) = created {
                    self.customers.get_mut(&id).expect("it is there").profile = Some(profile);
                }
                self.written("customerSet", created)
            }
            "UpdatePerson" => self.set("customerSet", id("/id"), &variables["input"]),
            "ClearPerson" => self.set("customerUpdate", id("/input/id"), &variables["input"]),
            "Addresses" => {
                let node = self.customers.get(&id("/id")).map(|customer| {
                    let nodes: Vec<_> = customer.addresses.iter().map(Customer::address_node).collect();
                    let default = customer.default_address.map(|id| json!({ "id": format!("gid://shopify/MailingAddress/{id}?x=y") }));
                    json!({ "updatedAt": Time(customer.at * 1000).rfc3339(), "defaultAddress": default, "addressesV2": { "nodes": nodes } })
                });
                json!({ "customer": node })
            }
            "AddressesWritten" => {
                let customer = self.customers.get(&id("/id"));
                let time = customer.map(|customer| Time(customer.at * 1000).rfc3339());
                json!({ "customer": time.map(|at| json!({ "updatedAt": at })) })
            }
            "AddAddress" | "ChangeAddress" => {
                let known = (operation == "ChangeAddress").then(|| id("/addressId"));
                let root = if known.is_some() { "customerAddressUpdate" } else { "customerAddressCreate" };
                match self.address(id("/id"), known, &variables["address"]) {
                    Some(address) => json!({ root: { "address": Customer::address_node(&address), "userErrors": [] } }),
                    None => {
                        let error = json!({ "message": "Invalid id", "extensions": { "code": "RESOURCE_NOT_FOUND" } });
                        return json!({ "data": { root: null }, "errors": [error] });
                    }
                }
            }
            "DropAddress" => {
                self.drop_address(id("/id"), id("/addressId"));
                json!({ "customerAddressDelete": { "deletedAddressId": variables["addressId"], "userErrors": [] } })
            }
            "PreferAddress" => {
                self.prefer(id("/id"), id("/addressId"));
                json!({ "customerUpdateDefaultAddress": { "customer": { "id": variables["id"] }, "userErrors": [] } })
            }
            "EmailConsent" | "SmsConsent" => self.set_consent(operation, &variables["input"]),
            "AddTags" | "RemoveTags" | "SwapTags" => {
                let list = |at: &str| -> Vec<&str> {
                    variables[at]
                        .as_array()
                        .map(|tags| tags.iter().filter_map(Value::as_str).collect())
                        .unwrap_or_default()
                };
                let (add, remove) = match operation {
                    "AddTags" => (list("tags"), vec![]),
                    "RemoveTags" => (vec![], list("tags")),
                    _ => (list("add"), list("remove")),
                };
                self.tag(id("/id"), &add, &remove);
                let none = json!({ "userErrors": [] });
                json!({ "tagsAdd": none, "tagsRemove": none, "add": none, "remove": none })
            }
            "Loyalty" => {
                let metafield = &variables["metafields"][0];
                assert_eq!((&metafield["key"], &metafield["type"]), (&json!("profile_id"), &json!("id")));
                let customer = tail(metafield["ownerId"].as_str().unwrap_or_default());
                let value = metafield["value"].as_str().map(str::to_owned);
                let is_taken = self.customers.values().any(|c| c.id != customer && c.profile == value);
                if !is_taken {
                    self.customers.get_mut(&customer).expect("it is there").profile = value;
                    self.chat(customer, true);
                }
                let errors = if is_taken {
                    json!([{ "field": ["metafields", "0", "value"], "message": "Value must be unique.", "code": "TAKEN" }])
                } else {
                    json!([])
                };
                json!({ "metafieldsSet": { "metafields": [], "userErrors": errors } })
            }
            "ClearMetafields" => {
                let owner = variables["metafields"][0]["ownerId"].as_str().unwrap_or_default();
                if let Some(customer) = self.customers.get_mut(&tail(owner)) {
                    customer.profile = None;
                }
                json!({ "metafieldsDelete": { "deletedMetafields": [], "userErrors": [] } })
            }
            "OrdersOf" => json!({ "customer": { "orders": { "nodes": [], "pageInfo": { "hasNextPage": false } } } }),
            "MergeStatus" => {
                let found = self.merge_status.map(|(status, kept)| {
                    json!({ "status": status, "resultingCustomerId": format!("gid://shopify/Customer/{kept}") })
                });
                json!({ "customerMergeJobStatus": found })
            }
            "MergePersons" => {
                assert_eq!(variables["fields"]["customerIdOfEmailToKeep"], variables["two"]);
                self.merge(id("/two"), id("/one"));
                let job = json!({ "id": "gid://shopify/Job/1", "done": false });
                json!({ "customerMerge": { "resultingCustomerId": variables["two"], "job": job, "userErrors": [] } })
            }
            other => panic!("Shopify does not know `{other}`"),
        };
        json!({ "data": data })
    }

    fn node_of(&self, id: u64) -> Option<Value> {
        self.customers.get(&id).map(Customer::node)
    }

    fn find(&self, by: &Value) -> Option<&Customer> {
        let (key, value) = by.as_object().and_then(|by| by.iter().next()).expect("one key");
        let text = value.as_str().unwrap_or_default();
        self.customers.values().find(|customer| match key.as_str() {
            "emailAddress" => customer.email.as_deref() == Some(text),
            "phoneNumber" => customer.phone.as_deref() == Some(text),
            "id" => customer.id == tail(text),
            _ => customer.profile.is_some() && customer.profile.as_deref() == value["value"].as_str(),
        })
    }

    fn set(&mut self, root: &str, id: u64, input: &Value) -> Value {
        if !self.customers.contains_key(&id) {
            let error = json!({ "field": ["id"], "message": "Customer does not exist", "code": "NOT_FOUND" });
            return json!({ root: { "customer": null, "userErrors": [error] } });
        }
        let result = self.update(id, &inputs(input)).map(|()| id);
        self.written(root, result)
    }

    fn set_consent(&mut self, operation: &str, input: &Value) -> Value {
        let (root, medium) = match operation {
            "EmailConsent" => ("customerEmailMarketingConsentUpdate", "email"),
            _ => ("customerSmsMarketingConsentUpdate", "sms"),
        };
        let id = tail(input["customerId"].as_str().unwrap_or_default());
        let consent = &input[if medium == "email" { "emailMarketingConsent" } else { "smsMarketingConsent" }];
        let at = consent["consentUpdatedAt"].as_str().and_then(Time::parse).map(Time::seconds);
        assert!(at.is_none_or(|at| at <= self.now), "no time may be still to come");
        let state = match consent["marketingState"].as_str() {
            Some("SUBSCRIBED") if consent["marketingOptInLevel"].is_string() => "subscribed",
            Some("UNSUBSCRIBED") => "unsubscribed",
            _ => panic!("no such consent: {consent}"),
        };
        self.opt_in_levels.extend(consent["marketingOptInLevel"].as_str().map(str::to_owned));
        self.consent(id, medium, state, Some(at.unwrap_or(self.now)));
        self.written(root, Ok(id))
    }

    fn written(&self, root: &str, result: Result<u64, &'static str>) -> Value {
        match result {
            Ok(id) => json!({ root: { "customer": self.node_of(id), "userErrors": [] } }),
            Err(field) => {
                let word = if field == "email" { "Email" } else { "Phone" };
                let message = format!("{word} has already been taken");
                json!({ root: { "customer": null, "userErrors": [{ "field": ["input", field], "message": message, "code": "TAKEN" }] } })
            }
        }
    }
}

fn inputs(input: &Value) -> Vec<(&str, Option<&str>)> {
    let input = input.as_object().expect("an object");
    input.iter().filter(|(key, _)| *key != "id").map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn tail(gid: &str) -> u64 {
    gid.rsplit('/').next().and_then(|id| id.split('?').next()).and_then(|id| id.parse().ok()).unwrap_or_default()
}
