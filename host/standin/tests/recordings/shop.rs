//! A stand-in in the midst of a recording: asks it with its own ids in place of the recorded ones, and gives it
//! beforehand what the recorded shop already had. Judges no answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tandem_standin::{Clock, Delivery, Shopify, ShopifyOptions};

use super::ask::Ask;
use super::read::{NOT_ANSWERS, Recorded};

/// Past the last recording: 2026-12-01T00:00:00Z.
const NOW_MS: i64 = 1_796_083_200_000;

pub struct Shop {
    shopify: Shopify,
    /// The stand-in's ids and digests by the recorded ones.
    ids: BTreeMap<String, String>,
    /// The customers of the whole recording as they are first shown at most length.
    known: BTreeMap<String, Value>,
}

impl Shop {
    pub fn open(file: &Value, requests: &[Recorded]) -> Self {
        let options = ShopifyOptions {
            clock: Clock::fixed(NOW_MS),
            delivery: Delivery::Manual,
            bucket: (1e9, 1e9),
            currency: "CAD".to_owned(),
            link_defined: false,
            ..ShopifyOptions::default()
        };
        let mut known = BTreeMap::new();
        customers(file, &mut known);
        for recorded in requests {
            let data = &recorded.answer["data"];
            // Whoever was given a metafield was there.
            let given = recorded.variables["metafields"]
                .as_array()
                .filter(|_| data["metafieldsSet"]["userErrors"] == json!([]));
            let deleted = data["metafieldsDelete"]["deletedMetafields"].as_array();
            for field in given.into_iter().chain(deleted).flatten() {
                let owner = field["ownerId"].as_str();
                if let Some(id) = owner {
                    known.entry(id.to_owned()).or_default();
                }
            }
        }
        Self { shopify: Shopify::unplugged(options), ids: BTreeMap::new(), known }
    }

    /// The recorded answer with the stand-in's ids in it, and the stand-in's.
    pub fn ask(&mut self, ask: &Ask, recorded: &Recorded) -> (Value, Value) {
        let request = json!({ "query": ask.document, "variables": ask.variables }).to_string();
        let mut needed = BTreeMap::new();
        if !ask.is_mutation {
            customers(&recorded.answer, &mut needed);
        }
        let named = self.known.keys().filter(|id| request.contains(id.as_str())).cloned();
        let needed: Vec<_> = named.chain(needed.into_keys()).collect();
        for id in needed.into_iter().filter(|id| !self.ids.contains_key(id)).collect::<Vec<_>>() {
            self.create(id);
        }
        self.had(&recorded.answer["data"]["metafieldsDelete"]["deletedMetafields"]);
        let request = self.translated(request);
        let headers = [("x-shopify-access-token", "shpat_standin"), ("content-type", "application/json")];
        let answer = self.shopify.ask("POST", "/admin/api/2026-07/graphql.json", &headers, &request).unwrap();
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        pair(&recorded.answer["data"], &answer["data"], &mut self.ids);
        let recorded = self.translated(recorded.answer.to_string());
        (serde_json::from_str(&recorded).unwrap(), answer)
    }

    /// With the stand-in's ids in place of the recorded ones.
    fn translated(&self, text: String) -> String {
        let quoted = |id: &str| [format!("\"{id}\""), format!("\\\"{id}\\\"")];
        self.ids.iter().fold(text, |text, (from, to)| {
            quoted(from).iter().zip(quoted(to)).fold(text, |text, (from, to)| text.replace(from, &to))
        })
    }

    /// Metafields from before the recording: those that it deletes and never sets.
    fn had(&self, deleted: &Value) {
        for field in deleted.as_array().into_iter().flatten() {
            let [owner, namespace, key] =
                ["ownerId", "namespace", "key"].map(|name| field[name].as_str().unwrap_or_default());
            let id = self.ids.get(owner).and_then(|id| id.rsplit('/').next()?.parse().ok());
            let Some((id, customer)) = id.and_then(|id| Some((id, self.shopify.customer(id)?))) else { continue };
            if customer["metafields"].get(format!("{namespace}.{key}")).is_none() {
                self.shopify.set_metafield(id, [namespace, key, "single_line_text_field", "x"]).unwrap();
            }
        }
    }

    /// A customer from before the recording.
    fn create(&mut self, id: String) {
        const KEYS: [(&str, &str); 7] = [
            ("email", "/email"),
            ("email", "/defaultEmailAddress/emailAddress"),
            ("phone", "/defaultPhoneNumber/phoneNumber"),
            ("first_name", "/firstName"),
            ("last_name", "/lastName"),
            ("note", "/note"),
            ("tags", "/tags"),
        ];
        let seen = self.known.get(&id).cloned().unwrap_or_default();
        let given = |(key, pointer): (&str, &str)| {
            Some((key.to_owned(), seen.pointer(pointer).filter(|value| !value.is_null())?.clone()))
        };
        let mut fields: Map<_, _> = KEYS.into_iter().filter_map(given).collect();
        for (key, of) in
            [("email_marketing_consent", "defaultEmailAddress"), ("sms_marketing_consent", "defaultPhoneNumber")]
        {
            if let Some(state) = seen[of]["marketingState"].as_str().filter(|state| *state != "NOT_SUBSCRIBED") {
                let consent =
                    json!({ "state": state.to_lowercase(), "consent_updated_at": seen[of]["marketingUpdatedAt"] });
                fields.insert(key.to_owned(), consent);
            }
        }
        if !KEYS[..5].iter().any(|(key, _)| fields.contains_key(*key)) {
            fields.insert("first_name".to_owned(), json!("Somebody"));
        }
        // Where the stand-in has somebody of that e-mail already, the recording shows the same one twice.
        if let Ok(new) = self.shopify.create_customer(Value::Object(fields)) {
            self.ids.insert(id, format!("gid://shopify/Customer/{new}"));
        }
    }
}

/// Every customer in what was answered, and in what a recording's maker wrote beside it.
fn customers(value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            if let Some(id) = map.get("deletedCustomerId").and_then(Value::as_str) {
                found.entry(id.to_owned()).or_default();
            }
            let id = map.get("id").and_then(Value::as_str).filter(|id| id.starts_with("gid://shopify/Customer/"));
            if let Some(id) = id {
                let seen = found.entry(id.to_owned()).or_default();
                if seen.as_object().is_none_or(|seen| seen.len() < map.len()) {
                    *seen = value.clone();
                }
            }
            let rest = map.iter().filter(|(key, _)| !NOT_ANSWERS.contains(&key.as_str()));
            rest.for_each(|(_, value)| customers(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| customers(value, found)),
        _ => {}
    }
}

/// Ids in the same place are ids of the same thing, and digests those of the same value.
fn pair(recorded: &Value, answer: &Value, ids: &mut BTreeMap<String, String>) {
    match (recorded, answer) {
        (Value::String(one), Value::String(other)) if one.starts_with("gid://") && other.starts_with("gid://") => {
            ids.entry(one.clone()).or_insert_with(|| other.clone());
        }
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let beside = other.get(key).unwrap_or(&Value::Null);
                if let ("compareDigest", Some(one), Some(other)) = (key.as_str(), value.as_str(), beside.as_str()) {
                    ids.insert(one.to_owned(), other.to_owned());
                }
                pair(value, beside, ids);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            one.iter().zip(other).for_each(|(one, other)| pair(one, other, ids));
        }
        _ => {}
    }
}
