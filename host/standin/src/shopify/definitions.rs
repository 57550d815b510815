//! Metafield definitions: what is refused and what is kept.
//! Knows nothing of values.

use serde_json::{Map, Value, json};

use super::graphql::Failed;
use super::metafields::{APP_NAMESPACE, is_type, length_problems};
use super::problem::{Problem, refused};
use super::store::{Definition, Store};
use super::views;

/// Recorded answer: Shopify's own namespace is nobody else's.
const NOT_YOURS: &str = "Access denied for metafieldDefinitionCreate field. Required access: API client to have access \
    to the namespace and the resource type associated with the metafield definition.\n";

/// `metafieldDefinitionCreate`.
pub(crate) fn create(store: &mut Store, input: &Map<String, Value>) -> Result<Value, Failed> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let [owner, key, name, ty] = ["ownerType", "key", "name", "type"].map(text);
    let namespace = input.get("namespace").and_then(Value::as_str).unwrap_or(APP_NAMESPACE).to_owned();
    if namespace == "shopify" {
        return Err(Failed { message: NOT_YOURS.to_owned(), code: "ACCESS_DENIED" });
    }
    let access = input.get("access").cloned().unwrap_or_default();
    let unwanted = input.get("capabilities").is_some_and(|given| given["uniqueValues"]["enabled"] == false);
    let mut problems: Vec<_> = length_problems(&namespace, &key).into_iter().map(under_definition).collect();
    if store.definition(&owner, &namespace, &key).is_some() {
        let label = owner[..1].to_owned() + &owner[1..].to_lowercase();
        let message = format!("Key is in use for {label} metafields on the '{namespace}' namespace.");
        problems.push(Problem::new(&["definition", "key"], message, "TAKEN"));
    }
    if ty == "id" && unwanted {
        let message = "Capability unique_values is required for type id but is disabled";
        problems.push(Problem::new(&["definition"], message, "CAPABILITY_REQUIRED_BUT_DISABLED"));
    }
    if access["admin"].is_string() && !namespace.starts_with("app--") {
        // Recorded answer: what is no app's corner is the merchant's to read and to write.
        let message = "Setting this access control is not permitted. It must be one of [\"public_read_write\"].";
        problems.push(Problem::new(&["definition"], message, "INVALID"));
    }
    if !is_type(&ty) {
        problems.push(Problem::new(&["definition", "type"], "Type is not a valid metafield type.", "INCLUSION"));
    }
    if !problems.is_empty() {
        return Ok(refused("createdDefinition", &problems));
    }
    let description = input.get("description").and_then(Value::as_str).map(str::to_owned);
    let storefront = access["storefront"].as_str().unwrap_or("NONE").to_owned();
    let definition = Definition { id: store.next_id(), owner, namespace, key, name, description, ty, storefront };
    let view = views::definition(&definition);
    store.definitions.push(definition);
    Ok(json!({ "createdDefinition": view, "userErrors": [] }))
}

fn under_definition(mut problem: Problem) -> Problem {
    problem.field = Some(["definition".to_owned()].into_iter().chain(problem.field.into_iter().flatten()).collect());
    problem
}
