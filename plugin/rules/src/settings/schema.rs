//! The JSON Schema of a rules file, made from the table of settings. Knows no value; `configure` decides what is right.

use serde_json::Map;
use tandem_sdk::{Value, json};

use super::table::{KNOWN, Known, MayBe};
use super::{FIELDS, zones};
use crate::mapping;

/// Draft 7 is the latest that editors of TOML support.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of the whole file.
pub fn schema() -> Value {
    let mut root = table();
    for known in KNOWN {
        add(&mut root, known.at, known.schema());
    }
    add(&mut root, FIELDS, mapping::schema());
    root["$schema"] = json!(DRAFT);
    root["title"] = json!("A rules file of Tandem");
    // Sending orders requires the shop's time zone.
    let without = |switch: &str| {
        let sync = json!({"type": "object", "required": [switch], "properties": {switch: {"const": false}}});
        json!({"required": ["sync"], "properties": {"sync": sync}})
    };
    root["if"] = json!({"anyOf": [without("orders"), without("shopify_to_omneo")]});
    root["else"] = json!({"required": ["timezone"]});
    root
}

fn table() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// Puts a schema at a place, with the tables that lead there.
fn add(root: &mut Value, at: &str, schema: Value) {
    let (tables, key) = at.rsplit_once('/').expect("a JSON pointer");
    let inside = tables.split('/').skip(1).fold(root, |table_of, name| {
        let properties = table_of["properties"].as_object_mut().expect("a table");
        properties.entry(name).or_insert_with(table)
    });
    inside["properties"][key] = schema;
}

impl Known {
    fn schema(&self) -> Value {
        let mut schema = self.may_be.schema();
        schema.insert("description".into(), json!(self.what));
        match (self.default)() {
            Value::Null => {}
            default => {
                schema.insert("default".into(), default);
            }
        }
        schema.into()
    }
}

impl MayBe {
    fn schema(&self) -> Map<String, Value> {
        let schema = match self {
            Self::Switch => json!({"type": "boolean"}),
            Self::Text => json!({"type": "string", "minLength": 1}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Tags => json!({"type": "array", "items": {"type": "string", "pattern": "^[^,]*[^,\\s][^,]*$"}}),
            Self::Country => json!({"type": "string", "enum": mapping::known_countries().collect::<Vec<_>>()}),
            Self::Timezone => json!({"type": "string", "enum": zones::names().collect::<Vec<_>>()}),
            Self::Date => json!({"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
            Self::SomeOf(allowed) => json!({"type": "array", "items": {"type": "string", "enum": allowed}}),
            Self::OneOf(allowed) => json!({"type": "string", "enum": allowed}),
        };
        let Value::Object(schema) = schema else { unreachable!("each arm is an object") };
        schema
    }
}
