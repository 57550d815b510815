//! Metafields of customers and their definitions: types, limits, uniqueness, compare-and-set.
//! Knows nothing of what the values mean.

use serde_json::{Map, Value, json};

use super::customer::Problem;
use super::store::{Customer, Definition, Metafield, Store};
use super::views;
use crate::clock;

/// Shopify docs; the wording of the refusal is not recorded.
const METAFIELDS_MAX: usize = 25;
const NAMESPACE_CHARS: std::ops::RangeInclusive<usize> = 3..=255;
const KEY_CHARS: std::ops::RangeInclusive<usize> = 2..=64;
/// Where an omitted namespace puts a metafield: the app's own corner.
const APP_NAMESPACE: &str = "app--1";
const TYPES: [&str; 13] = [
    "boolean",
    "date",
    "date_time",
    "id",
    "json",
    "list.single_line_text_field",
    "money",
    "multi_line_text_field",
    "number_decimal",
    "number_integer",
    "rating",
    "single_line_text_field",
    "url",
];

/// `metafieldsSet`: all or nothing.
pub(crate) fn set(store: &mut Store, inputs: &[Value]) -> Value {
    if inputs.len() > METAFIELDS_MAX {
        let message = format!("Exceeded the maximum metafields input limit of {METAFIELDS_MAX}.");
        return refused(&[(Problem::new(&["metafields"], message, "LESS_THAN_OR_EQUAL_TO"), None)]);
    }
    let (mut drafts, mut written, mut problems) = (Vec::<Customer>::new(), Vec::new(), Vec::new());
    for (at, input) in inputs.iter().enumerate() {
        let owner = views::id_of("Customer", input["ownerId"].as_str().unwrap_or_default());
        let saved = owner.and_then(|id| store.customers.get(&id)).cloned();
        let Some(saved) = saved else {
            problems.push((
                Problem::new(&["metafields", &at.to_string(), "ownerId"], "Owner does not exist.", "INVALID"),
                Some(at),
            ));
            continue;
        };
        let draft = drafts.iter().position(|draft| draft.id == saved.id).unwrap_or_else(|| {
            drafts.push(saved);
            drafts.len() - 1
        });
        match put(store, &mut drafts[draft], input) {
            Ok(field) => written.push(field),
            Err(problem) => problems.push((under(problem, at), Some(at))),
        }
    }
    if !problems.is_empty() {
        return refused(&problems);
    }
    drafts.into_iter().for_each(|draft| store.save(draft));
    let views: Vec<_> = written.iter().map(|field| views::metafield(store, field)).collect();
    json!({ "metafields": views, "userErrors": [] })
}

/// `metafieldsDelete`: null for what was not there, whoever it should have belonged to (recorded answer).
pub(crate) fn delete(store: &mut Store, inputs: &Value) -> Value {
    let mut deleted = vec![];
    for input in inputs.as_array().into_iter().flatten() {
        let owner = views::id_of("Customer", input["ownerId"].as_str().unwrap_or_default());
        let Some(mut new) = owner.and_then(|id| store.customers.get(&id)).cloned() else {
            deleted.push(Value::Null);
            continue;
        };
        let before = new.metafields.len();
        new.metafields.retain(|field| input["namespace"] != *field.namespace || input["key"] != *field.key);
        deleted.push(if new.metafields.len() < before { input.clone() } else { Value::Null });
        store.save(new);
    }
    json!({ "deletedMetafields": deleted, "userErrors": [] })
}

/// Writes one metafield into an unsaved customer.
pub(crate) fn put(store: &mut Store, customer: &mut Customer, input: &Value) -> Result<Metafield, Problem> {
    let text = |name: &str| input[name].as_str();
    let (namespace, key) = (text("namespace").unwrap_or(APP_NAMESPACE), text("key").unwrap_or_default());
    check_lengths(namespace, key)?;
    let ty = type_of(store, namespace, key, text("type"))?;
    let value = normal(&ty, text("value").unwrap_or_default())
        .map_err(|message| Problem::new(&["value"], message, "INVALID_VALUE"))?;
    if ty == "id" && store.by_metafield(namespace, key, &value).is_some_and(|other| other.id != customer.id) {
        return Err(Problem::new(&["value"], "Value has already been assigned to another metafield.", "TAKEN"));
    }
    let found = customer.metafields.iter().position(|field| field.namespace == namespace && field.key == key);
    if let Some(digest) = input.get("compareDigest") {
        let now = found.map(|at| json!(customer.metafields[at].digest())).unwrap_or_default();
        if *digest != now {
            return Err(Problem::new(
                &[],
                "The resource has been updated since it was loaded. Try again with an updated `compareDigest` value.",
                "STALE_OBJECT",
            ));
        }
    }
    let (id, now) = (store.next_id(), store.now_ms);
    let field = match found {
        Some(at) => &mut customer.metafields[at],
        None => {
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            customer.metafields.push(Metafield {
                id,
                namespace,
                key,
                ty: ty.clone(),
                value: String::new(),
                created_ms: now,
                updated_ms: now,
            });
            customer.metafields.last_mut().expect("one was just pushed")
        }
    };
    if field.value != value || field.ty != ty {
        (field.value, field.ty, field.updated_ms) = (value, ty, now);
    }
    Ok(field.clone())
}

fn check_lengths(namespace: &str, key: &str) -> Result<(), Problem> {
    for (name, value, chars) in [("namespace", namespace, NAMESPACE_CHARS), ("key", key, KEY_CHARS)] {
        let (count, label) = (value.chars().count(), if name == "key" { "Key" } else { "Namespace" });
        if count < *chars.start() {
            return Err(Problem::new(
                &[name],
                format!("{label} is too short (minimum is {} characters)", chars.start()),
                "TOO_SHORT",
            ));
        }
        if count > *chars.end() {
            return Err(Problem::new(
                &[name],
                format!("{label} is too long (maximum is {} characters)", chars.end()),
                "TOO_LONG",
            ));
        }
    }
    Ok(())
}

/// The type given, which must be the defined one if there is one.
fn type_of(store: &Store, namespace: &str, key: &str, given: Option<&str>) -> Result<String, Problem> {
    let defined = store.definition("CUSTOMER", namespace, key).map(|definition| definition.ty.clone());
    let ty = match (given.filter(|ty| !ty.is_empty()), defined) {
        (None, None) => return Err(Problem::new(&["type"], "Type can't be blank", "BLANK")),
        (Some(ty), Some(defined)) if ty != defined => {
            return Err(Problem::new(
                &["type"],
                format!("Type must be consistent with the definition's type: '{defined}'."),
                "INVALID_TYPE",
            ));
        }
        (Some(ty), _) => ty.to_owned(),
        (None, Some(defined)) => defined,
    };
    if !TYPES.contains(&ty.as_str()) {
        return Err(Problem::new(
            &["type"],
            format!("Type must be one of the following: {}.", TYPES.join(", ")),
            "INCLUSION",
        ));
    }
    Ok(ty)
}

/// The value as Shopify keeps it, or its complaint (recorded answers for integers, decimals and booleans).
fn normal(ty: &str, value: &str) -> Result<String, String> {
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err("Value can't be blank.".to_owned());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let sign = if trimmed.starts_with('-') { "-" } else { "" };
    match ty {
        "number_integer" if digits(whole) && fraction.bytes().all(|byte| byte == b'0') => Ok(format!("{sign}{whole}")),
        "number_integer" => Err("Value must be an integer.".to_owned()),
        "number_decimal" if digits(whole) && digits(fraction) => {
            let kept = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
            Ok(format!("{sign}{whole}.{}", if kept.is_empty() { "0" } else { kept }))
        }
        "number_decimal" => Err("Value must be a decimal.".to_owned()),
        "boolean" => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "1" => Ok("true".to_owned()),
            "f" | "false" | "0" => Ok("false".to_owned()),
            _ => Err("Value must be true or false.".to_owned()),
        },
        "json" | "list.single_line_text_field" | "money" => serde_json::from_str::<Value>(trimmed)
            .map(|_| trimmed.to_owned())
            .map_err(|_| "Value is invalid JSON.".to_owned()),
        "date" | "date_time" if clock::parse(trimmed).is_none() => {
            Err("Value must be in “YYYY-MM-DDTHH:MM:SS” format. For example: 2022-06-01T15:30:00".to_owned())
        }
        "single_line_text_field" if value.contains('\n') => Err("Value can't include a line break.".to_owned()),
        _ => Ok(value.to_owned()),
    }
}

/// `metafieldDefinitionCreate`.
pub(crate) fn define(store: &mut Store, input: &Map<String, Value>) -> Value {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let [owner, key, name, ty] = ["ownerType", "key", "name", "type"].map(text);
    let namespace = input.get("namespace").and_then(Value::as_str).unwrap_or(APP_NAMESPACE).to_owned();
    let unwanted = input.get("capabilities").is_some_and(|given| given["uniqueValues"]["enabled"] == false);
    let problem = if store.definition(&owner, &namespace, &key).is_some() {
        let label = owner[..1].to_owned() + &owner[1..].to_lowercase();
        Some(Problem::new(
            &["definition", "key"],
            format!("Key is in use for {label} metafields on the '{namespace}' namespace."),
            "TAKEN",
        ))
    } else if ty == "id" && unwanted {
        Some(Problem::new(
            &["definition"],
            "Capability unique_values is required for type id but is disabled",
            "CAPABILITY_REQUIRED_BUT_DISABLED",
        ))
    } else if !TYPES.contains(&ty.as_str()) {
        Some(Problem::new(&["definition", "type"], "Type is not a valid metafield type.", "INCLUSION"))
    } else {
        None
    };
    if let Some(problem) = problem {
        return json!({ "createdDefinition": null, "userErrors": [user_error(&problem)] });
    }
    let storefront = input.get("access").and_then(|access| access["storefront"].as_str()).unwrap_or("NONE").to_owned();
    let definition = Definition { id: store.next_id(), owner, namespace, key, name, ty, storefront };
    let view = views::definition(&definition);
    store.definitions.push(definition);
    json!({ "createdDefinition": view, "userErrors": [] })
}

pub(crate) fn user_error(problem: &Problem) -> Value {
    json!({ "field": problem.field, "message": problem.message, "code": problem.code })
}

fn under(mut problem: Problem, at: usize) -> Problem {
    let prefix = ["metafields".to_owned(), at.to_string()];
    problem.field = problem.field.map(|field| prefix.into_iter().chain(field).collect());
    problem
}

/// Recorded answers have `elementIndex: null` also where one element is to blame.
fn refused(problems: &[(Problem, Option<usize>)]) -> Value {
    let errors = problems.iter().map(|(problem, _)| {
        let mut error = user_error(problem);
        error["elementIndex"] = Value::Null;
        error
    });
    json!({ "metafields": null, "userErrors": errors.collect::<Vec<_>>() })
}
