//! What types there are, and whether variables and arguments fit them, told in Shopify's words.
//! Knows nothing of any data, and executes nothing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_graphql_parser::types::{
    BaseType, Field, FieldDefinition, InputValueDefinition, OperationDefinition, ServiceDocument, Type, TypeDefinition,
    TypeKind, TypeSystemDefinition,
};
use async_graphql_parser::{Pos, Positioned, parse_schema};
use async_graphql_value::Value as Literal;
use serde_json::{Map, Value, json};

use crate::clock;

pub(crate) struct Schema(HashMap<String, TypeDefinition>);

/// A top-level error, as in `errors[]`.
pub(crate) type TopError = Value;

impl Schema {
    /// The schema, read once however many shops there are.
    pub fn shared() -> Arc<Schema> {
        static SHARED: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::load()));
        Arc::clone(&SHARED)
    }

    fn load() -> Schema {
        let document: ServiceDocument =
            parse_schema(concat!(include_str!("schema.graphql"), include_str!("commerce.graphql")))
                .expect("the schema is part of the source");
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(ty) => Some((ty.node.name.node.to_string(), ty.node)),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        Schema(types.collect())
    }

    /// The definition of a field of an object type or interface.
    pub fn field(&self, ty: &str, name: &str) -> Option<&FieldDefinition> {
        let fields = match &self.0.get(ty)?.kind {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            _ => return None,
        };
        fields.iter().map(|field| &field.node).find(|field| field.name.node == name)
    }

    /// The fields of an input object.
    pub fn inputs(&self, ty: &str) -> Option<&[Positioned<InputValueDefinition>]> {
        match &self.0.get(ty)?.kind {
            TypeKind::InputObject(object) => Some(&object.fields),
            _ => None,
        }
    }

    /// Whether objects of type `concrete` satisfy a fragment `on condition`.
    pub fn is(&self, concrete: &str, condition: &str) -> bool {
        let implements = |ty: &TypeDefinition| match &ty.kind {
            TypeKind::Object(object) => object.implements.iter().any(|name| name.node == condition),
            _ => false,
        };
        let has_member = |ty: &TypeDefinition| match &ty.kind {
            TypeKind::Union(union) => union.members.iter().any(|name| name.node == concrete),
            _ => false,
        };
        concrete == condition
            || self.0.get(concrete).is_some_and(implements)
            || self.0.get(condition).is_some_and(has_member)
    }

    /// The types that an object of a type may be of: itself, unless it is abstract.
    pub fn possible<'s>(&'s self, ty: &'s str) -> Vec<&'s str> {
        if !self.is_abstract(ty) {
            return vec![ty];
        }
        let objects = self.0.iter().filter(|(_, one)| matches!(one.kind, TypeKind::Object(_)));
        objects.map(|(name, _)| name.as_str()).filter(|name| self.is(name, ty)).collect()
    }

    pub fn is_composite(&self, ty: &str) -> bool {
        self.0
            .get(ty)
            .is_some_and(|ty| matches!(ty.kind, TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)))
    }

    pub fn is_abstract(&self, ty: &str) -> bool {
        self.0.get(ty).is_some_and(|ty| matches!(ty.kind, TypeKind::Interface(_) | TypeKind::Union(_)))
    }

    /// The variables with their defaults, or what is wrong with them.
    pub fn variables(
        &self,
        operation: &OperationDefinition,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<TopError>> {
        let (mut variables, mut errors) = (Map::new(), Vec::new());
        for definition in &operation.variable_definitions {
            let (name, ty) = (definition.node.name.node.as_str(), &definition.node.var_type.node);
            let default =
                || definition.node.default_value().map(|value| plain(value.clone().into_value(), &Map::new()));
            let Some(mut value) = given.get(name).cloned().or_else(default) else {
                if !ty.nullable {
                    errors.push(invalid_variable(
                        name,
                        ty,
                        &Value::Null,
                        definition.pos,
                        vec![(vec![], "Expected value to not be null".to_owned())],
                    ));
                }
                continue;
            };
            let mut problems = Vec::new();
            self.coerce(&mut value, ty, &mut Vec::new(), &mut problems);
            if problems.is_empty() {
                variables.insert(name.to_owned(), value);
            } else {
                errors.push(invalid_variable(
                    name,
                    ty,
                    &given.get(name).cloned().unwrap_or_default(),
                    definition.pos,
                    problems,
                ));
            }
        }
        if errors.is_empty() { Ok(variables) } else { Err(errors) }
    }

    /// The arguments of a field, with variables put in. What is wrong inside literals counts as a wrong argument.
    pub fn arguments(
        &self,
        definition: &FieldDefinition,
        field: &Positioned<Field>,
        variables: &Map<String, Value>,
    ) -> Result<Map<String, Value>, TopError> {
        let mut arguments = Map::new();
        for (name, literal) in &field.node.arguments {
            let absent =
                matches!(&literal.node, Literal::Variable(variable) if !variables.contains_key(variable.as_str()));
            let Some(expected) =
                definition.arguments.iter().find(|argument| argument.node.name.node == name.node).filter(|_| !absent)
            else {
                continue;
            };
            let (mut value, ty, mut problems) =
                (plain(literal.node.clone(), variables), &expected.node.ty.node, Vec::new());
            self.coerce(&mut value, ty, &mut Vec::new(), &mut problems);
            if !problems.is_empty() {
                let message = format!(
                    "Argument '{}' on Field '{}' has an invalid value ({}). Expected type '{ty}'.",
                    name.node, field.node.name.node, literal.node
                );
                let extensions = json!({ "code": "argumentLiteralsIncompatible", "typeName": "Field", "argumentName": name.node.as_str() });
                return Err(error(&message, literal.pos, &[field.node.response_key().node.to_string()], extensions));
            }
            arguments.insert(name.node.to_string(), value);
        }
        Ok(arguments)
    }

    fn coerce(&self, value: &mut Value, ty: &Type, path: &mut Vec<Value>, problems: &mut Vec<(Vec<Value>, String)>) {
        if value.is_null() {
            if !ty.nullable {
                problems.push((path.clone(), "Expected value to not be null".to_owned()));
            }
            return;
        }
        match &ty.base {
            BaseType::List(inner) => {
                if !value.is_array() {
                    *value = Value::Array(vec![value.take()]);
                }
                let items = value.as_array_mut().into_iter().flatten();
                for (at, item) in items.enumerate() {
                    path.push(json!(at));
                    self.coerce(item, inner, path, problems);
                    path.pop();
                }
            }
            BaseType::Named(name) => self.coerce_named(value, name, path, problems),
        }
    }

    fn coerce_named(
        &self,
        value: &mut Value,
        name: &str,
        path: &mut Vec<Value>,
        problems: &mut Vec<(Vec<Value>, String)>,
    ) {
        let mut problem = |explanation: String| problems.push((path.clone(), explanation));
        let shown = value.to_string();
        let mismatch = || format!("Could not coerce value {shown} to {name}");
        match self.0.get(name).map(|ty| (&ty.kind, &ty.directives)) {
            Some((TypeKind::Enum(choice), _)) => {
                let names = choice.values.iter().map(|value| value.node.value.node.as_str());
                if !value.as_str().is_some_and(|given| names.clone().any(|name| name == given)) {
                    let names: Vec<_> = names.collect();
                    problem(format!("Expected {shown} to be one of: {}", names.join(", ")));
                }
            }
            Some((TypeKind::InputObject(object), directives)) => {
                let Some(map) = value.as_object_mut() else {
                    return problem(format!("Expected {shown} to be a key-value object."));
                };
                if directives.iter().any(|directive| directive.node.name.node == "oneOf") && map.len() != 1 {
                    return problem(format!(
                        "'{name}' requires exactly one argument, but {} were provided.",
                        map.len()
                    ));
                }
                self.coerce_object(map, name, &object.fields, path, problems);
            }
            _ => match name {
                "ID" if value.is_number() => *value = json!(shown),
                "String" | "ID" if !value.is_string() => problem(mismatch()),
                "Int" if value.as_i64().is_none() => problem(mismatch()),
                "Boolean" if !value.is_boolean() => problem(mismatch()),
                "DateTime" if value.as_str().and_then(clock::parse).is_none() => {
                    problem(format!("invalid DateTime '{}'", value.as_str().unwrap_or(&shown)));
                }
                _ => {}
            },
        }
    }

    fn coerce_object(
        &self,
        map: &mut Map<String, Value>,
        name: &str,
        fields: &[Positioned<InputValueDefinition>],
        path: &mut Vec<Value>,
        problems: &mut Vec<(Vec<Value>, String)>,
    ) {
        for key in map.keys().filter(|key| !fields.iter().any(|field| field.node.name.node == key.as_str())) {
            let mut path = path.clone();
            path.push(json!(key));
            problems.push((path, format!("Field is not defined on {name}")));
        }
        for field in fields {
            let (key, ty) = (field.node.name.node.as_str(), &field.node.ty.node);
            path.push(json!(key));
            match map.get_mut(key) {
                Some(value) => self.coerce(value, ty, path, problems),
                None if !ty.nullable => problems.push((path.clone(), "Expected value to not be null".to_owned())),
                None => {}
            }
            path.pop();
        }
    }
}

/// The type's name without list and non-null.
pub(crate) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

pub(crate) fn error(message: &str, pos: Pos, path: &[String], extensions: Value) -> TopError {
    json!({ "message": message, "locations": [{ "line": pos.line, "column": pos.column }], "path": path, "extensions": extensions })
}

/// A literal as JSON; variables that were not given become null.
pub(crate) fn plain(literal: Literal, variables: &Map<String, Value>) -> Value {
    match literal {
        Literal::Variable(name) => variables.get(name.as_str()).cloned().unwrap_or_default(),
        Literal::Number(number) => Value::Number(number),
        Literal::String(text) => Value::String(text),
        Literal::Boolean(flag) => Value::Bool(flag),
        Literal::Enum(name) => json!(name.as_str()),
        Literal::List(items) => items.into_iter().map(|item| plain(item, variables)).collect(),
        Literal::Object(map) => {
            // A field given by an absent variable is an absent field.
            let given = map.into_iter().filter(
                |(_, value)| !matches!(value, Literal::Variable(name) if !variables.contains_key(name.as_str())),
            );
            given.map(|(name, value)| (name.to_string(), plain(value, variables))).collect()
        }
        Literal::Null | Literal::Binary(_) => Value::Null,
    }
}

fn invalid_variable(name: &str, ty: &Type, value: &Value, pos: Pos, problems: Vec<(Vec<Value>, String)>) -> TopError {
    let shown = problems.iter().map(|(path, explanation)| {
        let path = path
            .iter()
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(".");
        if path.is_empty() { explanation.clone() } else { format!("{path} ({explanation})") }
    });
    let (shown, whole) = (shown.collect::<Vec<_>>().join(", "), problems.iter().all(|(path, _)| path.is_empty()));
    let message = format!(
        "Variable ${name} of type {ty} was provided invalid value{}",
        if whole { String::new() } else { format!(" for {shown}") }
    );
    let problems: Vec<_> =
        problems.into_iter().map(|(path, explanation)| json!({ "path": path, "explanation": explanation })).collect();
    json!({
        "message": message,
        "locations": [{ "line": pos.line, "column": pos.column }],
        "extensions": { "code": "INVALID_VARIABLE", "value": value, "problems": problems },
    })
}
