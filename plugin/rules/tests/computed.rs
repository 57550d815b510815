//! An emptied value is not an absent one, and a value that could not be computed is not an emptied one.

use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Call, Effect, End, Event, Next, Outcome, Reply, Request, Rules, Value, event, json, step};

const PROFILE: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";

fn configured(fields: Value) -> DefaultRules {
    DefaultRules::configure(&json!({"timezone": "UTC", "fields": fields}).to_string()).expect("it is right").0
}

/// A person on both sides. Each test changes only what it is about.
struct Pair {
    rules: DefaultRules,
    memory: Vec<String>,
    profile: Value,
    node: Value,
    writes: Vec<(String, Value)>,
    /// Values that somebody writes into `acme.size` just before the rules write metafields; each is used once.
    ambushes: Vec<&'static str>,
}

impl Pair {
    fn new(fields: Value) -> Self {
        let profile = json!({
            "id": PROFILE, "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org", "mobile_phone": null,
            "profile_type": "active", "identities": [{"handle": "shopify", "identifier": "7"}], "tags": [], "addresses": [],
            "attributes": {"comms": {}}, "point_balance": 120, "tier": {"handle": "gold", "name": "Gold"}, "reward_balance": 0,
            "company": "Engines", "custom_attributes": [], "created_at": "2026-01-01 00:00:00", "updated_at": "2026-01-02 00:00:00"
        });
        let mut node = json!({
            "id": "gid://shopify/Customer/7", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-02T00:00:00Z",
            "state": "DISABLED", "firstName": "Ada", "lastName": "Lovelace", "tags": [], "note": null, "locale": "en",
            "defaultEmailAddress": {"emailAddress": "ada@example.org"}, "defaultPhoneNumber": null, "link": {"value": PROFILE},
            "numberOfOrders": "0", "taxExempt": false, "verifiedEmail": true, "amountSpent": {"amount": "10.0", "currencyCode": "AUD"}
        });
        for field in ["greeting", "size", "tier", "tier_name", "points", "reward_balance"] {
            node[format!("field_{field}")] = Value::Null;
        }
        Self { rules: configured(fields), memory: vec![], profile, node, writes: vec![], ambushes: vec![] }
    }

    fn hear(&mut self, source: &str) -> End {
        let (topic, body) = match source {
            "omneo" => ("profile.updated", self.profile.clone()),
            _ => ("customer.tags_added", json!({"customerId": "gid://shopify/Customer/7", "tags": ["cx-x"]})),
        };
        let event = Event { source: source.into(), topic: topic.into(), payload: body.to_string(), ..event() };
        let mut replies = vec![];
        loop {
            match step(&self.rules, &event, &self.memory, replies.clone()) {
                Next::End(end) => {
                    self.memory = end.memory.clone().into_iter().chain(self.memory.drain(..)).take(1).collect();
                    return end;
                }
                Next::Send(send) => {
                    assert!(replies.len() < 20, "the rules ask without end");
                    replies.push(send.calls.iter().map(|call| self.answer(call)).collect::<Vec<_>>());
                }
            }
        }
    }

    fn answer(&mut self, call: &Call) -> Reply {
        let line = call.line();
        let body = match &call.request {
            Request::Graphql(graphql) => serde_json::from_str(&graphql.variables).unwrap(),
            Request::Rest(rest) => rest.body.as_ref().map_or(Value::Null, |body| serde_json::from_str(body).unwrap()),
        };
        let data = match line.replace(PROFILE, "ID").as_str() {
            "GET omneo /profiles/ID" => json!({"data": self.profile}),
            "POST omneo /profiles/search-id" => json!({"data": {"id": PROFILE}}),
            "PUT omneo /profiles/ID" => {
                for (key, value) in body.as_object().unwrap() {
                    self.profile[key] = value.clone();
                }
                json!({"data": self.profile})
            }
            "GET omneo /profiles/ID/addresses" => json!({"data": []}),
            "GET omneo /profiles/ID/attributes/comms" => json!({"data": {}}),
            "GRAPHQL shopify Addresses" => {
                json!({"data": {"customer": {"updatedAt": "2026-01-02T00:00:00Z", "defaultAddress": null, "addressesV2": {"nodes": []}}}})
            }
            "GRAPHQL shopify UpdatePerson" => {
                for (key, value) in body["input"].as_object().unwrap() {
                    self.node[key] = value.clone();
                }
                json!({"data": {"customerSet": {"customer": self.node, "userErrors": []}}})
            }
            "GRAPHQL shopify Loyalty" => {
                let written = body["metafields"].as_array().unwrap().clone();
                if let Some(value) = self.ambushes.pop() {
                    self.set(&json!({"key": "size"}), json!(value));
                }
                let is_stale = |one: &Value| {
                    let now = self.node[format!("field_{}", one["key"].as_str().unwrap())]["compareDigest"].clone();
                    one.get("compareDigest").is_some_and(|digest| *digest != now)
                };
                if let Some(at) = written.iter().position(is_stale) {
                    let error = json!({"field": ["metafields", at.to_string()], "code": "STALE_OBJECT", "message": "It has been updated."});
                    let data = json!({"data": {"metafieldsSet": {"metafields": [], "userErrors": [error]}}});
                    return Reply::Answer(Answer { status: 200, headers: vec![], body: data.to_string() });
                }
                for one in &written {
                    self.set(one, one["value"].clone());
                }
                json!({"data": {"metafieldsSet": {"metafields": written, "userErrors": []}}})
            }
            "GRAPHQL shopify ClearMetafields" => {
                for one in body["metafields"].as_array().unwrap() {
                    self.set(one, Value::Null);
                }
                json!({"data": {"metafieldsDelete": {"deletedMetafields": [], "userErrors": []}}})
            }
            _ => json!({"data": {"customer": self.node}}),
        };
        if call.effect != Effect::Read {
            self.writes.push((line, body));
        }
        Reply::Answer(Answer { status: 200, headers: vec![], body: data.to_string() })
    }

    /// Stores a metafield under the name of its field.
    fn set(&mut self, metafield: &Value, value: Value) {
        let key = format!("field_{}", metafield["key"].as_str().unwrap());
        self.node[key] = if value.is_null() {
            Value::Null
        } else {
            json!({ "value": value, "compareDigest": format!("digest of {value}") })
        };
    }

    fn wrote(&mut self) -> Vec<String> {
        std::mem::take(&mut self.writes).into_iter().map(|(line, body)| format!("{line} {body}")).collect()
    }
}

const WORDS: &str = "join(' ', [first_name, to_string(abs(point_balance))])";

#[test]
fn an_expression_that_fails_leaves_what_is_there_and_says_why() {
    let mut pair = Pair::new(json!({"greeting": {"shopify": "metafields.acme.greeting", "expression": WORDS}}));
    pair.hear("omneo");
    assert_eq!(pair.node["field_greeting"]["value"], "Ada 120.0");
    pair.wrote();
    // The value that the expression reads is no longer a number.
    for broken in [json!("lots"), Value::Null] {
        pair.profile["point_balance"] = broken;
        pair.profile["updated_at"] = json!("2026-01-03 00:00:00");
        let end = pair.hear("omneo");
        assert_eq!(pair.node["field_greeting"]["value"], "Ada 120.0", "{}", end.reason);
        assert!(end.reason.contains("greeting is held, not written to Shopify: `join("), "{}", end.reason);
        assert!(end.reason.contains("fails: Argument 0 expects type number, given"), "{}", end.reason);
        let again = pair.hear("omneo");
        assert_eq!(
            (again.outcome, pair.wrote().iter().filter(|call| call.contains("greeting")).count()),
            (Outcome::Skipped, 0)
        );
    }
    // When the value can be computed again, it goes over, and nothing is held.
    pair.profile["point_balance"] = json!(130);
    let end = pair.hear("omneo");
    assert_eq!(pair.node["field_greeting"]["value"], "Ada 130.0");
    assert!(!end.reason.contains("is held"), "{}", end.reason);
    // The hold ends even when the value is the same as before the fault.
    pair.profile["point_balance"] = Value::Null;
    pair.hear("omneo");
    pair.profile["point_balance"] = json!(130);
    let end = pair.hear("omneo");
    assert!(!end.reason.contains("greeting is held"), "{}", end.reason);
    assert!(!pair.memory[0].contains("fails"), "{}", pair.memory[0]);
}

#[test]
fn a_misspelt_key_clears_nothing() {
    for (source, right, wrong, field) in [
        ("omneo", "first_name", "frist_name", json!({"shopify": "metafields.acme.greeting"})),
        ("shopify", "numberOfOrders", "numberOfOrder", json!({"omneo": "company"})),
    ] {
        let with = |expression: &str| {
            let mut line = field.clone();
            line["expression"] = json!(expression);
            json!({ "greeting": line })
        };
        let mut pair = Pair::new(with(right));
        pair.hear(source);
        let before = (pair.profile["company"].clone(), pair.node.get("field_greeting").cloned());
        pair.wrote();
        pair.rules = configured(with(wrong));
        pair.profile["updated_at"] = json!("2026-01-03 00:00:00");
        pair.profile["last_name"] = json!("Byron");
        let end = pair.hear("omneo");
        assert_eq!(
            (pair.profile["company"].clone(), pair.node.get("field_greeting").cloned()),
            before,
            "{}",
            end.reason
        );
        assert!(end.reason.contains(&format!("shows no `{wrong}`, which its expression reads")), "{}", end.reason);
    }
}

#[test]
fn an_expression_that_comes_to_nothing_clears() {
    let mut pair = Pair::new(json!({"greeting": {"shopify": "metafields.acme.greeting", "expression": "tier.name"}}));
    pair.hear("omneo");
    assert_eq!(pair.node["field_greeting"]["value"], "Gold");
    pair.profile["tier"] = Value::Null;
    let end = pair.hear("omneo");
    assert_eq!(pair.node["field_greeting"], Value::Null, "{}", end.reason);
}

/// In both directions, a value that was there and is null now is cleared; an absent key says nothing.
#[test]
fn emptied_is_not_absent() {
    let fields = json!({
        "note": {"omneo": "company", "shopify": "note"},
        "size": {"omneo": "occupation", "shopify": "metafields.acme.size"},
    });
    let met = || {
        let mut pair = Pair::new(fields.clone());
        (pair.profile["company"], pair.profile["occupation"]) = (json!("Engines"), json!("Countess"));
        pair.hear("omneo");
        assert_eq!((&pair.node["note"], &pair.node["field_size"]["value"]), (&json!("Engines"), &json!("Countess")));
        pair.wrote();
        pair
    };
    let mut pair = met();
    pair.profile["occupation"] = Value::Null;
    pair.hear("omneo");
    assert_eq!(pair.node["field_size"], Value::Null);

    let mut pair = met();
    pair.profile.as_object_mut().unwrap().remove("occupation");
    pair.hear("omneo");
    assert_eq!(pair.node["field_size"]["value"], "Countess");

    let mut pair = met();
    pair.node["field_size"] = Value::Null;
    pair.hear("shopify");
    assert_eq!(pair.profile["occupation"], Value::Null);

    let mut pair = met();
    pair.node.as_object_mut().unwrap().remove("field_size");
    pair.hear("shopify");
    assert_eq!(pair.profile["occupation"], "Countess");
}

/// Shopify reports the change (`compareDigest`), and both sides are read again.
#[test]
fn a_metafield_that_somebody_changes_before_it_is_written_is_not_run_over() {
    let met = |owner: &str| {
        let mut pair =
            Pair::new(json!({"size": {"omneo": "occupation", "shopify": "metafields.acme.size", "owner": owner}}));
        pair.profile["occupation"] = json!("Countess");
        pair.hear("omneo");
        assert_eq!(pair.node["field_size"]["value"], "Countess");
        pair.profile["occupation"] = json!("Duchess");
        pair
    };
    for (owner, expected) in [("omneo", "Duchess"), ("shopify", "Queen")] {
        let mut pair = met(owner);
        pair.ambushes = vec!["Queen"];
        let end = pair.hear("omneo");
        let both = [pair.node["field_size"]["value"].clone(), pair.profile["occupation"].clone()];
        assert_eq!(both, [expected, expected], "{owner}: {}", end.reason);
    }
    // If somebody changes it every time, it is not overwritten, and the event ends.
    let mut pair = met("omneo");
    pair.ambushes = vec!["Empress", "King", "Queen"];
    let end = pair.hear("omneo");
    assert!(end.reason.contains("size: somebody changed it at each of 3 looks"), "{}", end.reason);
    assert_eq!(pair.node["field_size"]["value"], "Empress");
    let end = pair.hear("omneo");
    assert_eq!(pair.node["field_size"]["value"], "Duchess", "{}", end.reason);
    // A metafield that did not exist is created only if it still does not exist.
    let mut pair =
        Pair::new(json!({"size": {"omneo": "occupation", "shopify": "metafields.acme.size", "owner": "shopify"}}));
    pair.profile["occupation"] = json!("Countess");
    pair.ambushes = vec!["Queen"];
    let end = pair.hear("omneo");
    let both = [pair.node["field_size"]["value"].clone(), pair.profile["occupation"].clone()];
    assert_eq!(both, ["Queen", "Queen"], "{}", end.reason);
}

#[test]
fn what_can_never_work_is_refused_and_what_hardly_can_is_doubted() {
    let doubts = |fields: Value| {
        let found = DefaultRules::configure(&json!({"timezone": "UTC", "fields": fields}).to_string());
        match found {
            Ok((_, doubts)) => doubts,
            Err(problems) => panic!("{problems:?}"),
        }
    };
    let line = |expression: &str, place: &str, path: &str| json!({"a": {place: path, "expression": expression}});
    for (fields, fix) in [
        (line("frist_name", "shopify", "note"), "did you mean `first_name`?"),
        (line("numberOfOrder", "omneo", "company"), "did you mean `numberOfOrders`?"),
        (line("join(' ', [first_name, tire.name])", "shopify", "note"), "did you mean `title`?"),
    ] {
        let found = doubts(fields.clone());
        assert_eq!(found.len(), 1, "{fields}: {found:?}");
        assert_eq!(found[0].at, "/fields/a/expression");
        assert!(found[0].fix == fix || found[0].fix == "did you mean `tier`?", "{found:?}");
    }
    for fields in [
        line("first_name || custom_attributes[0].value", "shopify", "note"),
        line("defaultEmailAddress.emailAddress", "omneo", "company"),
        json!({}),
    ] {
        assert_eq!(doubts(fields.clone()), vec![], "{fields}");
    }
    let refused = json!({"timezone": "UTC", "fields": line("abs('x')", "shopify", "note")}).to_string();
    let problems = DefaultRules::configure(&refused).err().unwrap_or_default();
    assert_eq!(problems[0].message, "argument 1 of `abs` is a number, never a text (character 4)");
}
