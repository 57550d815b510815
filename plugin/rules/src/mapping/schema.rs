//! The JSON Schema of the table `[fields]`. Knows which keys and places there are, and not which of them go together.

use serde_json::Map;
use tandem_sdk::{Value, json};

use super::detail::{self, Of};
use super::keys::KEYS;
use super::place::{ATTRIBUTE, METAFIELD, OMNEO_KEYS, SHOPIFY_KEYS, TAG};
use super::{Entry, TYPE, defaults, format};

/// The schema of the table: the default fields by name, and any number of others.
pub fn schema() -> Value {
    let named = defaults(None).into_iter().map(|entry| (entry.name.clone(), of_default(&entry)));
    let both = |one: &str, other: &str| json!({"required": [one, other]});
    let mut other = line();
    other["anyOf"] = json!([both("omneo", "shopify"), both("omneo", "expression"), both("shopify", "expression")]);
    json!({
        "type": "object",
        "description": "Which value of a profile is which value of a customer, in what format, and who owns it.",
        "properties": named.collect::<Map<_, _>>(),
        "propertyNames": {"pattern": "^[A-Za-z0-9_]{1,64}$"},
        "additionalProperties": other,
    })
}

/// The schema of a default field. Any default field may be left out except the e-mail: Omneo has no profile without
/// one.
fn of_default(entry: &Entry) -> Value {
    let as_it_is = entry.to_json();
    let mut fields = line();
    if entry.core.is_some() {
        // The two systems find each other by the core fields: an author may set only `owner` and `way`, and may repeat
        // the other keys unchanged.
        let keys = fields["properties"].as_object_mut().expect("a table");
        keys.retain(|key, _| as_it_is.get(key).is_some());
        for (key, value) in keys.iter_mut().filter(|(key, _)| !["owner", "way"].contains(&key.as_str())) {
            *value = json!({"const": as_it_is[key]});
        }
    }
    fields["default"] = as_it_is;
    if entry.name == "email" {
        return fields;
    }
    json!({"anyOf": [fields, {"const": false, "description": "The field is left out."}]})
}

/// The schema of one entry of the table.
fn line() -> Value {
    let (omneo, shopify): (Vec<_>, Vec<_>) =
        [Of::Order, Of::Product].map(|of| (detail::omneo_pattern(of), detail::shopify_pattern(of))).into_iter().unzip();
    let place = |known: Vec<&str>, patterns: &[&str]| json!({"anyOf": [{"enum": known}, {"type": "string", "pattern": format!("^({})$", patterns.join("|"))}]});
    let part = r"[^.\s]+";
    let known = OMNEO_KEYS.iter().map(|key| key.path).chain(["birth_date"]).collect();
    let attribute = format!(r"{}{part}\.{part}", escaped(ATTRIBUTE));
    let mut of_omneo = place(known, &[&attribute, &omneo[0], &omneo[1]]);
    of_omneo["description"] = json!("The value's place in Omneo.");
    let (metafield, tag) = (format!(r"{}{part}\.{part}", escaped(METAFIELD)), format!(r"{}[\s\S]+", escaped(TAG)));
    let known = SHOPIFY_KEYS.iter().map(|key| key.path).collect();
    let mut of_shopify = place(known, &[&metafield, &tag, &shopify[0], &shopify[1]]);
    of_shopify["description"] = json!("The value's place in Shopify.");
    let texts = |names: &[&str], what: &str| json!({"type": "string", "enum": names, "description": what});
    let properties = json!({
        "omneo": of_omneo,
        "shopify": of_shopify,
        "format": texts(&format::NAMES, "What the value is read as. A field of your own is `text` if nothing is said."),
        "owner": texts(&["omneo", "shopify", "latest"], "Who wins a value that both sides changed."),
        "way": texts(&["both", "to_omneo", "to_shopify"], "Where the value goes."),
        "expression": {"type": "string", "description": "JMESPath over the side whose place is not given."},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217 code, for `format = \"money\"`."},
        TYPE: {"type": "string", "description": "Shopify's type of a metafield. It follows from the format."},
    });
    debug_assert!(KEYS.iter().all(|key| properties.get(key).is_some()), "every key has its schema");
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// A regular expression that matches this text.
pub(super) fn escaped(text: &str) -> String {
    text.replace('.', r"\.")
}
