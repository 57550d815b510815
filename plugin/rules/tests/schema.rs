//! The JSON Schema of a rules file accepts every file that `configure` accepts, and refuses the mistakes that an
//! ordinary validator can see.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tandem_rules::DefaultRules;
use tandem_sdk::{Problem, Rules};

fn validator() -> Validator {
    let schema = DefaultRules::schema();
    jsonschema::draft7::meta::validate(&schema).expect("draft 7");
    jsonschema::draft202012::meta::validate(&schema).expect("2020-12, but for what it says of itself");
    jsonschema::draft7::new(&schema).expect("a schema")
}

fn configure(rules: &Value) -> Result<(), Vec<Problem>> {
    DefaultRules::configure(&rules.to_string()).map(drop)
}

/// Every setting in the schema: its place and its own schema.
fn settings(schema: &Value, at: &str, each: &mut Vec<(String, Value)>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{at}/{key}");
        match place.as_str() {
            "/fields" => {}
            _ if inner.get("properties").is_some() => settings(inner, &place, each),
            _ => each.push((place, inner.clone())),
        }
    }
}

/// A rules file with one setting beside the keys that every file needs.
fn with(at: &str, value: Value) -> Value {
    let mut rules = json!({"timezone": "UTC"});
    let (tables, key) = at.rsplit_once('/').unwrap();
    let table = tables.split('/').skip(1).fold(&mut rules, |rules, table| {
        rules.as_object_mut().unwrap().entry(table).or_insert(Value::Object(Map::new()))
    });
    table[key] = value;
    rules
}

#[test]
fn every_setting_and_every_choice_is_right_for_both_and_a_wrong_type_for_none() {
    let (validator, mut each) = (validator(), vec![]);
    settings(&DefaultRules::schema(), "", &mut each);
    let known = DefaultRules::default().describe().settings;
    assert_eq!(each.len(), known.iter().filter(|setting| !setting.at.starts_with("/fields/")).count());
    for (at, schema) in &each {
        assert!(schema["description"].as_str().is_some_and(|what| what.ends_with('.')), "{at} is not described");
        let of_list = |value: &Value| if schema["type"] == "array" { json!([value]) } else { value.clone() };
        let choices = schema["enum"].as_array().or(schema["items"]["enum"].as_array()).into_iter().flatten();
        let right = choices.map(of_list).chain(schema.get("default").cloned());
        for rules in right.map(|value| with(at, value)) {
            assert_eq!((validator.is_valid(&rules), configure(&rules)), (true, Ok(())), "{rules}");
        }
        for wrong in [json!(3), json!({}), json!("\u{7}no such thing"), json!([[]])] {
            let rules = with(at, wrong.clone());
            if configure(&rules).is_ok() {
                assert!(validator.is_valid(&rules), "the schema refuses what is right: {rules}");
            } else {
                assert!(!validator.is_valid(&rules), "the schema takes what is wrong: {rules}");
            }
        }
    }
}

#[test]
fn every_setting_in_force_can_be_written_down() {
    let validator = validator();
    let fields = json!({
        "last_name": false,
        "first_name": {"owner": "omneo"},
        "points": {"omneo": "point_balance", "shopify": "metafields.loyalty.points", "format": "number"},
        "birthday": {"omneo": "birth_date", "shopify": "metafields.facts.birth_date", "format": "date"},
        "greeting": {"shopify": "note", "expression": "first_name"},
        "vip": {"omneo": "custom_attributes.shop.vip", "shopify": "tags.vip", "format": "boolean", "way": "to_omneo"},
        "gift": {"omneo": "transaction.meta.gift", "shopify": "order.note_attributes.Gift note"},
        "kind": {"omneo": "product.department", "shopify": "product.product_type"},
        "money": {"omneo": "credit_balance", "shopify": "metafields.omneo.credit", "format": "money", "currency": "AUD"},
    });
    for rules in [json!({"timezone": "UTC"}), json!({"timezone": "UTC", "fields": fields})] {
        assert_eq!((validator.is_valid(&rules), configure(&rules)), (true, Ok(())), "{rules}");
        let (configured, _) = DefaultRules::configure(&rules.to_string()).unwrap();
        let mut written = rules.clone();
        for setting in configured.describe().settings {
            let value: Value = serde_json::from_str(&setting.value).unwrap();
            if !value.is_null() {
                let (tables, key) = setting.at.rsplit_once('/').unwrap();
                let table = tables.split('/').skip(1).fold(&mut written, |rules, table| {
                    rules.as_object_mut().unwrap().entry(table).or_insert(Value::Object(Map::new()))
                });
                table[key] = value;
            }
        }
        let said: Vec<_> =
            validator.iter_errors(&written).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!((said, configure(&written)), (vec![], Ok(())), "{written}");
    }
}

#[test]
fn a_validator_sees_an_authors_mistakes() {
    let validator = validator();
    for (rules, place) in [
        (json!({}), ""),
        (json!({"sync": {"orders": true}}), ""),
        (json!({"timezone": "Melbourne"}), "/timezone"),
        (json!({"timezone": "/UTC"}), "/timezone"),
        (json!({"timezone": "UTC", "tags": {"whitelst": ["vip"]}}), "/tags"),
        (json!({"timezone": "UTC", "tags": {"prefix": 3}}), "/tags/prefix"),
        (json!({"timezone": "UTC", "tags": {"whitelist": ["a,b"]}}), "/tags/whitelist/0"),
        (json!({"timezone": "UTC", "identity": "shopify"}), "/identity"),
        (json!({"timezone": "UTC", "orders": {"transaction_status": "refunded"}}), "/orders/transaction_status"),
        (json!({"timezone": "UTC", "include_test": true}), ""),
        (json!({"timezone": "UTC", "fields": {"email": false}}), "/fields/email"),
        (json!({"timezone": "UTC", "fields": {"emial": false}}), "/fields/emial"),
        (json!({"timezone": "UTC", "fields": {"email": {"omneo": "title"}}}), "/fields/email/omneo"),
        (json!({"timezone": "UTC", "fields": {"a": {"omneo": "company"}}}), "/fields/a"),
        (json!({"timezone": "UTC", "fields": {"a": {"omneo": "compny", "shopify": "note"}}}), "/fields/a/omneo"),
        (json!({"timezone": "UTC", "fields": {"a": {"omneo": "company", "shopify": "nte"}}}), "/fields/a/shopify"),
        (json!({"timezone": "UTC", "fields": {"a b": {"omneo": "company", "shopify": "note"}}}), "/fields"),
    ] {
        assert!(configure(&rules).is_err(), "{rules} is right");
        let said: Vec<_> = validator.iter_errors(&rules).map(|error| error.instance_path().to_string()).collect();
        assert!(said.iter().any(|at| at == place), "{rules}: expected a mistake at `{place}`, found {said:?}");
    }
    let odd = json!({
        "timezone": "UTC", "products": {"brand": "\u{1c}"},
        "fields": {
            "a": {"omneo": "transaction.meta.a", "shopify": "order.note_attributes.Gift\nnote"},
            "b": {"omneo": "custom_attributes.a.b", "shopify": "tags.a\nb", "format": "boolean"}
        }
    });
    for rules in [json!({"sync": {"orders": false}}), json!({"sync": {"shopify_to_omneo": false}}), odd] {
        assert_eq!((validator.is_valid(&rules), configure(&rules)), (true, Ok(())), "{rules}");
    }
}
