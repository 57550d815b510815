//! Says of a call, before anything is deployed, whether the other side would take it as it is written: GraphQL by its
//! syntax and a schema, REST by the table of Omneo's endpoints. Knows nothing of what an answer would be.

use std::path::Path;

use anyhow::{Context, bail};
use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::{self, Type};
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonValue;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::{DiagnosticList, Valid};
use serde_json::Value;

use crate::files;
use crate::model::{Call, Request};

/// Mistakes that are named: one often makes others.
const MISTAKES_MAX: usize = 3;
/// Inputs of which exactly one field may be given. Shopify declares them so; prints of its schemas lose it.
const ONE_OF: [&str; 2] = ["CustomerIdentifierInput", "CustomerSetIdentifiers"];
/// Scalars of Shopify's own that are written as texts. The library takes anything for a scalar that it does not know.
const TEXTS: [&str; 6] = ["Date", "DateTime", "Decimal", "FormattedString", "HTML", "URL"];

/// A GraphQL schema of the Admin API.
#[derive(Debug)]
pub struct Schema(Valid<apollo_compiler::Schema>);

/// What nobody here knows of a call, which is worth a look and no mistake: `POST omneo /profile: neither …`.
pub fn unknown(call: &Call) -> Option<String> {
    match &call.request {
        Request::Rest { path, .. } if call.target == "omneo" => tandem_standin::unknown(path),
        _ => None,
    }
    .map(|why| format!("{}: {why}", call.line()))
}

/// Why a call would be refused as it is written: `POST omneo /profiles: the body lacks …`.
pub fn refusal(call: &Call, schema: Option<&Schema>) -> Option<String> {
    let why = match &call.request {
        Request::Rest { method, path, body, .. } if call.target == "omneo" => {
            tandem_standin::refusal(method.name(), path, body.as_deref().unwrap_or_default())
        }
        // Nobody here knows Shopify's REST.
        Request::Rest { .. } => None,
        Request::Graphql { .. } if call.target == "omneo" => Some("Omneo takes REST, not GraphQL".to_owned()),
        Request::Graphql { document, variables } => match schema {
            Some(schema) => schema.refusal(document, variables),
            None => syntax(document).err(),
        },
    };
    why.map(|why| format!("{}: {why}", call.line()))
}

impl Schema {
    /// Reads a schema in GraphQL's own language. Errors name the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = String::from_utf8(files::read(path, "the schema")?)
            .with_context(|| format!("the schema `{}` is not text", path.display()))?;
        if text.trim_start().starts_with('{') {
            bail!(
                "the schema `{}` is JSON\nhint: give it in GraphQL's own language (`type QueryRoot {{ … }}`), which tools for introspection can print",
                path.display()
            );
        }
        match apollo_compiler::Schema::parse(text, path) {
            // Implementations are deprecated where their interface is not, which a strict reader refuses.
            Ok(schema) => Ok(Self(Valid::assume_valid(schema))),
            Err(wrong) => bail!("the schema `{}` cannot be read: {}", path.display(), told(&wrong.errors)),
        }
    }

    /// Why Shopify would refuse a document with these variables.
    pub fn refusal(&self, document: &str, variables: &str) -> Option<String> {
        self.check(document, variables).err()
    }

    fn check(&self, document: &str, variables: &str) -> Result<(), String> {
        let schema = &self.0;
        let document = ExecutableDocument::parse_and_validate(schema, document, "document")
            .map_err(|wrong| told(&wrong.errors))?;
        let operation =
            document.operations.get(None).map_err(|_| "it has more than one operation, or none".to_owned())?;
        let variables = match serde_json::from_str(if variables.is_empty() { "{}" } else { variables }) {
            Ok(Value::Object(variables)) => Value::Object(variables),
            _ => return Err(format!("its variables are not an object: {variables}")),
        };
        // Converted and not parsed a second time: numbers are kept as their digits here, which only this keeps.
        let JsonValue::Object(variables) = JsonValue::from(variables) else { return Ok(()) };
        let declared = |name: &str| operation.variables.iter().find(|variable| variable.name == name);
        for (name, value) in &variables {
            let variable =
                declared(name.as_str()).ok_or_else(|| format!("variable `{}` is not declared", name.as_str()))?;
            strict(schema, &variable.ty, value)?;
        }
        coerce_variable_values(schema, operation, &variables).map_err(|wrong| wrong.message().to_string())?;
        Ok(())
    }
}

fn syntax(document: &str) -> Result<(), String> {
    let document = ast::Document::parse(document, "document").map_err(|wrong| told(&wrong.errors))?;
    let operation = |definition: &&ast::Definition| matches!(definition, ast::Definition::OperationDefinition(_));
    match document.definitions.iter().filter(operation).count() {
        1 => Ok(()),
        _ => Err("it has more than one operation, or none".to_owned()),
    }
}

/// What is wrong, in a line.
fn told(wrong: &DiagnosticList) -> String {
    let told = wrong.iter().take(MISTAKES_MAX).map(|wrong| match wrong.line_column_range() {
        Some(range) => format!("line {}, column {}: {}", range.start.line, range.start.column, wrong.error),
        None => wrong.error.to_string(),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// What the library leaves open: [`ONE_OF`] and [`TEXTS`]. What is of another shape than its type is the library's.
fn strict(schema: &apollo_compiler::Schema, ty: &Type, value: &JsonValue) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Effect, Method};

    fn graphql(document: &str) -> Option<String> {
        let request = Request::Graphql { document: document.into(), variables: "{}".into() };
        refusal(&Call { target: "shopify".into(), request, effect: Effect::Read }, None)
    }

    fn rest(method: Method, path: &str, body: &str) -> Option<String> {
        let body = (!body.is_empty()).then(|| body.to_owned());
        let request = Request::Rest { method, path: path.into(), query: vec![], body };
        refusal(&Call { target: "omneo".into(), request, effect: Effect::Read }, None)
    }

    #[test]
    fn a_document_must_be_graphql() {
        assert_eq!(graphql("query Read($id: ID!) { customer(id: $id) { id } }"), None);
        let cut = graphql("query Read {\n  customer { id }\n").unwrap();
        assert!(cut.starts_with("shopify Read: line 2, column ") && cut.contains("expected R_CURLY, got EOF"), "{cut}");
        assert!(graphql("query A { a } query B { b }").unwrap().ends_with("more than one operation, or none"));
        assert!(graphql("type A { a: Int }").is_some());
    }

    #[test]
    fn a_request_must_be_for_an_endpoint_and_hold_what_it_requires() {
        assert_eq!(rest(Method::Get, "/profiles/2b1c", ""), None);
        assert_eq!(rest(Method::Post, "/profiles/2b1c/redeem", r#"{"amount":5}"#), None);
        // Omneo has more than anybody has written down.
        assert_eq!(rest(Method::Post, "/profile", "{}"), None);
        let call = |path: &str| {
            let request = Request::Rest { method: Method::Get, path: path.into(), query: vec![], body: None };
            Call { target: "omneo".into(), request, effect: Effect::Read }
        };
        assert_eq!(
            unknown(&call("/profile")).as_deref(),
            Some("GET omneo /profile: neither Omneo's documentation nor its SDK has `/profile`")
        );
        for known in ["/profiles/2b1c", "/achievements/definitions/7", "/profiles/2b1c/balances"] {
            assert_eq!(unknown(&call(known)), None, "{known}");
        }
        assert_eq!(
            rest(Method::Patch, "/profiles/2b1c", "{}").unwrap(),
            "PATCH omneo /profiles/2b1c: `/profiles/2b1c` takes GET, PUT, DELETE, not PATCH"
        );
        assert_eq!(
            rest(Method::Post, "/profiles/search-id", r#"{"type":"shopify","id":null}"#).unwrap(),
            "POST omneo /profiles/search-id: the body lacks `id`, which is required"
        );
        assert_eq!(
            rest(Method::Post, "/webhooks", "").unwrap(),
            "POST omneo /webhooks: the body lacks `trigger`, `url`, `namespace`, which is required"
        );
    }
}
