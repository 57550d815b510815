//! Says whether Shopify's Admin API would take a request as it is written: its document and its variables, against the
//! schemas of every API version that is at hand. Knows nothing of what an answer would be.
//!
//! The schemas are not part of the project. They are read from the folder named by `TANDEM_SHOPIFY_SCHEMA`, or from the
//! one beside the checkout; without either, the tests say that they did not check.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use apollo_compiler::ast::Type;
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonValue;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::Value;

const VERSIONS: [&str; 3] = ["2026-01", "2026-04", "2026-07"];

/// Inputs of which exactly one field may be given. Shopify declares them so; the print of the schemas has lost it.
const ONE_OF: [&str; 2] = ["CustomerIdentifierInput", "CustomerSetIdentifiers"];

/// Scalars of Shopify's own that are written as texts. The library takes anything for a scalar that it does not know.
const TEXTS: [&str; 6] = ["Date", "DateTime", "Decimal", "FormattedString", "HTML", "URL"];

struct Version {
    name: &'static str,
    schema: Valid<Schema>,
}

/// Nothing where the schemas are not at hand, which CI may not be.
fn versions() -> Option<&'static [Version]> {
    static VERSIONS_READ: OnceLock<Option<Vec<Version>>> = OnceLock::new();
    VERSIONS_READ.get_or_init(read).as_deref()
}

fn read() -> Option<Vec<Version>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/shopify-schema");
    let folder = std::env::var_os("TANDEM_SHOPIFY_SCHEMA").map_or(beside, PathBuf::from);
    let file = |version: &str| folder.join(format!("draft-proxy-admin-{version}.graphql"));
    if !VERSIONS.iter().all(|version| file(version).is_file()) {
        assert!(std::env::var_os("CI").is_none(), "CI has Shopify's schemas, and this run has not found them");
        eprintln!("SKIPPED: no schemas of Shopify; name their folder in TANDEM_SHOPIFY_SCHEMA");
        return None;
    }
    let read = |name: &'static str, file: PathBuf| {
        let text = std::fs::read_to_string(file).expect("a schema can be read");
        let schema = Schema::parse(text, name).expect("a schema can be parsed");
        // Implementations are deprecated where their interface is not, which a strict reader refuses.
        Version { name, schema: Valid::assume_valid(schema) }
    };
    let threads =
        VERSIONS.map(|name| (name, file(name))).map(|(name, file)| std::thread::spawn(move || read(name, file)));
    Some(threads.map(|thread| thread.join().expect("a schema is read")).into())
}

/// Whether every version takes the document with these variables; otherwise which does not, and why.
pub fn valid(document: &str, variables: &str) -> Result<(), String> {
    for Version { name, schema } in versions().unwrap_or_default() {
        against(schema, document, variables)
            .map_err(|why| format!("Shopify {name} would refuse `{document}`: {why}"))?;
    }
    Ok(())
}

fn against(schema: &Valid<Schema>, document: &str, variables: &str) -> Result<(), String> {
    let document = ExecutableDocument::parse_and_validate(schema, document, "document")
        .map_err(|wrong| wrong.errors.to_string())?;
    let operation = document.operations.get(None).map_err(|_| "it has more than one operation, or none".to_owned())?;
    let variables = match serde_json::from_str(if variables.is_empty() { "{}" } else { variables }) {
        Ok(Value::Object(variables)) => Value::Object(variables),
        _ => return Err(format!("its variables are not an object: {variables}")),
    };
    // Converted and not parsed a second time: numbers are kept as their digits here, which only this keeps.
    let JsonValue::Object(variables) = JsonValue::from(variables) else { unreachable!("it was one before") };
    let declared = |name: &str| operation.variables.iter().find(|variable| variable.name == name);
    for (name, value) in &variables {
        let variable =
            declared(name.as_str()).ok_or_else(|| format!("variable `{}` is not declared", name.as_str()))?;
        strict(schema, &variable.ty, value)?;
    }
    coerce_variable_values(schema, operation, &variables).map_err(|wrong| wrong.message().to_string())?;
    Ok(())
}

/// What the library leaves open: [`ONE_OF`] and [`TEXTS`]. What is of another shape than its type is the library's.
fn strict(schema: &Schema, ty: &Type, value: &JsonValue) -> Result<(), String> {
    match (ty, value) {
        (_, JsonValue::Null) => Ok(()),
        (Type::List(inner) | Type::NonNullList(inner), JsonValue::Array(members)) => {
            members.iter().try_for_each(|member| strict(schema, inner, member))
        }
        (Type::List(inner) | Type::NonNullList(inner), single) => strict(schema, inner, single),
        (Type::Named(name) | Type::NonNullNamed(name), value) => match (schema.types.get(name), value) {
            (Some(ExtendedType::Scalar(_)), value) if TEXTS.contains(&name.as_str()) && !value.is_string() => {
                Err(format!("a {name} is written as a text, not as {value}"))
            }
            (Some(ExtendedType::InputObject(input)), JsonValue::Object(members)) => {
                let given = members.iter().filter(|(_, value)| !value.is_null()).count();
                if ONE_OF.contains(&name.as_str()) && (given != 1 || members.len() != 1) {
                    return Err(format!("{name} takes exactly one of its fields, not {}", members.len()));
                }
                let known = members.iter().filter_map(|(key, value)| Some((input.fields.get(key.as_str())?, value)));
                known.into_iter().try_for_each(|(field, value)| strict(schema, &field.ty, value))
            }
            _ => Ok(()),
        },
    }
}

/// Whether anything is checked at all.
#[allow(dead_code, reason = "only the tests of the check itself ask")]
pub fn is_at_hand() -> bool {
    versions().is_some()
}
