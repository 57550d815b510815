//! An Omneo with profiles. Knows Omneo's own peculiarities, and nothing of Shopify.

use std::collections::{BTreeMap, BTreeSet};

use tandem_sdk::{Method, RestRequest, Time, Value, json};

use super::Hook;

#[derive(Default)]
pub struct Omneo {
    pub profiles: BTreeMap<String, Profile>,
    pub hooks: Vec<Hook>,
    /// In seconds.
    pub now: i64,
    /// Whether Omneo refuses to merge profiles.
    pub refuses_merges: bool,
    /// Keys of a profile to which Omneo objects when they have a value, each with its words.
    pub faults: Vec<(&'static str, &'static str)>,
    count: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub id: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub mobile_phone: Option<String>,
    pub secondary_phone: Option<String>,
    pub profile_type: String,
    pub tags: BTreeSet<String>,
    /// Identifiers under the handle `shopify`.
    pub identities: Vec<String>,
    /// `email_promo` and the like; an attribute that nobody has set is absent.
    pub comms: BTreeMap<String, Value>,
    pub created: i64,
    pub at: i64,
    pub addresses: Vec<Value>,
}

/// A name as Omneo stores it: each word capitalised, without accents that Omneo cannot hold, and never empty.
pub fn omneo_name(name: &str) -> String {
    if name.trim().is_empty() {
        return "Unknown".into();
    }
    let words = name.trim().split(' ').map(|word| {
        let mut letters = word.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        (first + &letters.as_str().to_lowercase()).replace('ë', "e")
    });
    words.collect::<Vec<_>>().join(" ")
}

impl Profile {
    pub fn json(&self) -> Value {
        let time = |at: i64| Time(at * 1000).plain();
        let mut comms = json!({});
        for channel in ["email", "sms"] {
            let get = |name: &str| self.comms.get(&format!("{channel}_{name}")).cloned();
            let promo = get("promo").unwrap_or_default();
            comms[format!("{channel}_promo_raw")] =
                if promo.is_null() { Value::Null } else { json!(i32::from(promo == json!(true))) };
            comms[format!("{channel}_promo")] = promo;
            comms[format!("{channel}_optout")] = get("optout").unwrap_or(json!(false));
            comms[format!("{channel}_bounced")] = get("bounced").unwrap_or(json!(false));
            comms[format!("{channel}_consent_updated_at")] = get("consent_updated_at").unwrap_or_default();
        }
        let identities = self.identities.iter().enumerate();
        json!({
            "id": self.id, "first_name": self.first_name, "last_name": self.last_name, "email": self.email,
            "mobile_phone": self.mobile_phone, "secondary_phone": self.secondary_phone,
            "profile_type": self.profile_type, "addresses": self.addresses, "tags": self.tags, "attributes": { "comms": comms },
            "identities": identities.map(|(n, id)| json!({ "id": n, "handle": "shopify", "identifier": id })).collect::<Vec<_>>(),
            "created_at": time(self.created), "updated_at": time(self.at),
        })
    }

    fn store(&mut self, body: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        for (key, value) in body.as_object().into_iter().flatten() {
            match key.as_str() {
                "first_name" => self.first_name = omneo_name(value.as_str().unwrap_or_default()),
                "last_name" => self.last_name = omneo_name(value.as_str().unwrap_or_default()),
                "email" => self.email = value.as_str().expect("Omneo requires an e-mail").to_lowercase(),
                "mobile_phone" => self.mobile_phone = text(value),
                "secondary_phone" => self.secondary_phone = text(value),
                "profile_type" => self.profile_type = text(value).unwrap_or_default(),
                "tags" => {
                    let tags = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                    self.tags = tags.map(|tag| tag.replace(' ', "-")).collect();
                }
                "identities" => {
                    let all = value.as_array().into_iter().flatten();
                    self.identities = all.filter_map(|identity| text(&identity["identifier"])).collect();
                }
                other => panic!("Omneo does not know `{other}`"),
            }
        }
    }
}

impl Omneo {
    /// Creates a profile, or says which value is taken.
    pub fn create(&mut self, body: &Value) -> Result<String, &'static str> {
        self.count += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", self.count);
        let unknown = || "Unknown".to_owned();
        let mut profile = Profile {
            id: id.clone(),
            first_name: unknown(),
            last_name: unknown(),
            profile_type: "active".into(),
            created: self.now,
            at: self.now,
            ..Profile::default()
        };
        profile.store(body);
        self.check(&profile)?;
        self.hooks.push(("profile.created", profile.json()));
        self.profiles.insert(id.clone(), profile);
        Ok(id)
    }

    pub fn update(&mut self, id: &str, body: &Value) -> Result<(), &'static str> {
        let before = &self.profiles[id];
        let mut after = before.clone();
        after.store(body);
        self.check(&after)?;
        let is_new = after != *before;
        after.at = self.now;
        if is_new {
            self.hooks.push(("profile.updated", after.json()));
        }
        self.profiles.insert(id.to_owned(), after);
        Ok(())
    }

    pub fn comms(&mut self, id: &str, body: &Value) {
        let profile = self.profiles.get_mut(id).expect("it is there");
        let before = profile.comms.clone();
        profile.comms.extend(body.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        profile.at = self.now;
        if profile.comms != before {
            self.hooks.push(("profile-attribute.updated", json!({ "id": 31, "profile_id": id })));
        }
    }

    /// Creates or changes an address. The city is changed in the way that names are.
    pub fn address(&mut self, profile: &str, id: Option<Value>, body: &Value) -> Value {
        self.count += 1;
        let (new, now) = (json!(self.count), Time(self.now * 1000).plain());
        let all = &mut self.profiles.get_mut(profile).expect("it is there").addresses;
        let at = id.and_then(|id| all.iter().position(|row| row["id"] == id));
        let is_first = all.is_empty();
        let mut row = at.map_or_else(|| json!({ "id": new, "is_default": is_first }), |at| all[at].clone());
        let before = row.clone();
        for (key, value) in body.as_object().into_iter().flatten() {
            row[key] = match key.as_str() {
                "city" => json!(omneo_name(value.as_str().expect("Omneo requires a city"))),
                "address_line_1" | "postcode" | "country" if !value.is_string() => panic!("Omneo requires {key}"),
                _ => value.clone(),
            };
        }
        if row == before {
            return row;
        }
        row["updated_at"] = json!(now);
        if body["is_default"] == json!(true) {
            all.iter_mut().for_each(|other| other["is_default"] = json!(false));
        }
        match at {
            Some(at) => all[at] = row.clone(),
            None => all.push(row.clone()),
        }
        self.say_address(
            profile,
            if at.is_some() { "profile.address.updated" } else { "profile.address.created" },
            &row,
        );
        row
    }

    pub fn drop_address(&mut self, profile: &str, at: usize) {
        let row = self.profiles.get_mut(profile).expect("it is there").addresses.remove(at);
        self.say_address(profile, "profile.address.deleted", &row);
    }

    fn say_address(&mut self, profile: &str, topic: &'static str, row: &Value) {
        let mut body = row.clone();
        body["resource_owner_id"] = json!(profile);
        self.hooks.push((topic, body));
    }

    pub fn purge(&mut self, id: &str) {
        self.profiles.remove(id);
    }

    /// Deletes a profile and sends the webhook.
    pub fn delete(&mut self, id: &str) {
        if let Some(profile) = self.profiles.remove(id) {
            self.hooks.push(("profile.deleted", profile.json()));
        }
    }

    /// Moves everything that belongs to the source to the destination, and deletes the source.
    pub fn merge(&mut self, source: &str, destination: &str) {
        let source = self.profiles.remove(source).expect("it is there");
        let winner = self.profiles.get_mut(destination).expect("it is there");
        winner.identities.extend(source.identities);
        winner.at = self.now;
        let mut body = winner.json();
        for identity in body["identities"].as_array_mut().expect("a list") {
            identity["merged_from"] = json!(source.id);
        }
        self.hooks.push(("profile.merged", body));
    }

    fn check(&self, profile: &Profile) -> Result<(), &'static str> {
        for other in self.profiles.values().filter(|other| other.id != profile.id) {
            if other.email == profile.email {
                return Err("email");
            }
            if other.mobile_phone.is_some() && other.mobile_phone == profile.mobile_phone {
                return Err("mobile_phone");
            }
            if profile.identities.iter().any(|id| other.identities.contains(id)) {
                return Err("identities.0.identifier");
            }
        }
        Ok(())
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &RestRequest) -> (u16, Value) {
        let body: Value =
            request.body.as_deref().map(|body| serde_json::from_str(body).expect("JSON")).unwrap_or_default();
        let path: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        let found = self.faults.iter().filter(|(key, _)| body[*key].is_string());
        let found: BTreeMap<_, _> = found.map(|(key, words)| (*key, json!([words]))).collect();
        let is_asking = path.last() == Some(&"availability") && found.contains_key("mobile_phone");
        let is_address = path.get(2) == Some(&"addresses") && found.contains_key("phone");
        if (matches!(path[..], ["profiles"] | ["profiles", _]) && !found.is_empty()) || is_asking || is_address {
            return (422, json!({ "message": "The given data was invalid.", "errors": found }));
        }
        match (request.method, &path[..]) {
            (Method::Post, ["profiles", "search-id"]) => {
                let found = self.profiles.values().find(|p| p.identities.iter().any(|id| body["id"] == json!(id)));
                found.map_or((404, json!({ "message": "Not found" })), |profile| {
                    (200, json!({ "data": { "id": profile.id } }))
                })
            }
            (Method::Post, ["profiles", "availability"]) => (200, self.availability(&body)),
            (Method::Post, ["profiles", "merge"]) => {
                let id = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                let (source, destination) = (id("source_profile_id"), id("destination_profile_id"));
                if self.refuses_merges {
                    return invalid("source_profile_id");
                }
                if !self.profiles.contains_key(&source) || !self.profiles.contains_key(&destination) {
                    return (404, json!({ "message": "Not found" }));
                }
                self.merge(&source, &destination);
                (200, json!({ "data": self.profiles[&destination].json() }))
            }
            (Method::Post, ["profiles"]) => match self.create(&body) {
                Ok(id) => (201, json!({ "data": self.profiles[&id].json() })),
                Err(key) => invalid(key),
            },
            (_, ["profiles", id, ..]) if !self.profiles.contains_key(*id) => (404, json!({ "message": "Not found" })),
            (Method::Get, ["profiles", id]) => (200, json!({ "data": self.profiles[*id].json() })),
            (Method::Put, ["profiles", id]) => match self.update(id, &body) {
                Ok(()) => (200, json!({ "data": self.profiles[*id].json() })),
                Err(key) => invalid(key),
            },
            (Method::Put, ["profiles", id, "attributes", "comms"]) => {
                self.comms(id, &body);
                (200, json!({ "data": self.profiles[*id].json()["attributes"]["comms"] }))
            }
            (Method::Delete, ["profiles", id, "purge"]) => {
                self.purge(id);
                (204, Value::Null)
            }
            (Method::Get, ["profiles", id, "identities"]) => {
                (200, json!({ "data": self.profiles[*id].json()["identities"] }))
            }
            (Method::Delete, ["profiles", id, "identities", "id", n]) => {
                let n: usize = n.parse().expect("a number");
                self.profiles.get_mut(*id).expect("it is there").identities.remove(n);
                (204, Value::Null)
            }
            (Method::Get, ["profiles", id, "addresses"]) => (200, json!({ "data": self.profiles[*id].addresses })),
            (Method::Post, ["profiles", id, "addresses", "upsert"]) => {
                let external = &body["external_id"];
                let known = self.profiles[*id].addresses.iter().find(|row| row["external_id"] == *external);
                let known = known.map(|row| row["id"].clone());
                (200, json!({ "data": self.address(id, known, &body) }))
            }
            (Method::Put, ["profiles", id, "addresses", row]) => {
                let row = json!(row.parse::<u64>().expect("a number"));
                match self.profiles[*id].addresses.iter().any(|known| known["id"] == row) {
                    true => (200, json!({ "data": self.address(id, Some(row), &body) })),
                    false => (404, json!({ "message": "Not found" })),
                }
            }
            (Method::Post, ["profiles", id, "identities"]) => self.identify(id, &body),
            other => panic!("Omneo does not know {other:?}"),
        }
    }

    fn availability(&self, body: &Value) -> Value {
        let owner = |key: &str, of: &dyn Fn(&Profile) -> Option<String>| {
            let value = body[key].as_str()?;
            let owner = self.profiles.values().find(|profile| of(profile).as_deref() == Some(value));
            Some(json!({ "available": owner.is_none(), "profile": owner.map(|owner| json!({ "id": owner.id })) }))
        };
        json!({ "data": {
            "email": owner("email", &|profile| Some(profile.email.clone())),
            "mobile_phone": owner("mobile_phone", &|profile| profile.mobile_phone.clone()),
        }})
    }

    fn identify(&mut self, id: &str, body: &Value) -> (u16, Value) {
        assert_eq!(body["handle"], json!("shopify"));
        let identifier = body["identifier"].as_str().expect("a text").to_owned();
        if self.profiles.values().any(|profile| profile.identities.contains(&identifier)) {
            return invalid("identifier");
        }
        let profile = self.profiles.get_mut(id).expect("it is there");
        profile.identities.push(identifier.clone());
        profile.at = self.now;
        let identity = json!({ "id": 12, "handle": "shopify", "identifier": identifier, "profile_id": id });
        self.hooks.push(("identity.created", identity.clone()));
        (201, json!({ "data": identity }))
    }
}

fn invalid(key: &str) -> (u16, Value) {
    (422, json!({ "message": "The given data was invalid.", "errors": { key: ["It exists"] } }))
}
