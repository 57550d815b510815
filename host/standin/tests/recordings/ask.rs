//! Writes the document that asks the stand-in what a recording asked of Shopify: the same root fields with the same
//! arguments, and of each the part of the recorded answer that the stand-in's schema has.
//! Knows nothing of customers.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use async_graphql_parser::types::{
    BaseType, FieldDefinition, OperationType, Selection, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use async_graphql_parser::{parse_query, parse_schema};
use async_graphql_value::Value as Literal;
use serde_json::{Map, Value};

use super::read::Recorded;

/// Root fields that neither the rules nor set-up use, though they look as if.
const UNUSED: [&str; 2] = ["product", "standardMetafieldDefinitionEnable"];

pub struct Schema(HashMap<String, TypeDefinition>);

/// A request as it can be put to the stand-in.
pub struct Ask {
    pub document: String,
    pub variables: Value,
    /// The root fields by the names that they have in the answer.
    pub fields: Vec<(String, String)>,
    pub is_mutation: bool,
}

impl Schema {
    pub fn load() -> Self {
        let document = parse_schema(concat!(
            include_str!("../../src/shopify/schema.graphql"),
            include_str!("../../src/shopify/commerce.graphql"),
        ))
        .unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(ty) => Some((ty.node.name.node.to_string(), ty.node)),
            _ => None,
        });
        Self(types.collect())
    }

    fn field(&self, ty: &str, name: &str) -> Option<&FieldDefinition> {
        let fields = match &self.0.get(ty)?.kind {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            _ => return None,
        };
        fields.iter().map(|field| &field.node).find(|field| field.name.node == name)
    }

    /// What to select of a type so that it can be laid beside the sample; empty for scalars.
    fn selection(&self, ty: &str, sample: &Value) -> String {
        if !matches!(self.0.get(ty).map(|ty| &ty.kind), Some(TypeKind::Object(_) | TypeKind::Interface(_))) {
            return String::new();
        }
        let sample = sample.as_array().map_or(sample, |items| items.first().unwrap_or(&Value::Null));
        let mut text = String::new();
        for (name, sample) in sample.as_object().into_iter().flatten() {
            let Some(field) = self.field(ty, name) else { continue };
            if field.arguments.iter().all(|argument| argument.node.ty.node.nullable) {
                let _ = write!(text, " {name}{}", self.selection(named(&field.ty.node), sample));
            }
        }
        // An object without any field is no selection.
        format!(" {{{} }}", if text.is_empty() { " __typename" } else { &text })
    }

    /// Whether the request is of a root field that the stand-in has, but for those that the rules read nothing by.
    pub fn concerns(&self, recorded: &Recorded) -> bool {
        let has = |name: &str| {
            !UNUSED.contains(&name) && ["Mutation", "QueryRoot"].iter().any(|root| self.field(root, name).is_some())
        };
        // Aliases hide names; what a definition or a subscription is answered with gives them away.
        let given_away =
            |value: &Value| ["createdDefinition", "webhookSubscription"].iter().any(|key| value.get(*key).is_some());
        let data = recorded.answer["data"].as_object().filter(|_| recorded.document.is_none());
        match data {
            Some(data) => {
                data.iter().any(|(name, value)| has(name) || given_away(value) && !UNUSED.contains(&name.as_str()))
            }
            None => self.ask(recorded).is_some_and(|ask| ask.fields.iter().any(|(_, name)| has(name))),
        }
    }

    /// `None` where nothing of the request is known to the stand-in's schema, or nothing says what was asked.
    pub fn ask(&self, recorded: &Recorded) -> Option<Ask> {
        match &recorded.document {
            Some(document) => self.as_recorded(document, recorded),
            None => self.by_variables(recorded),
        }
    }

    fn as_recorded(&self, document: &str, recorded: &Recorded) -> Option<Ask> {
        let document = parse_query(document).ok()?;
        let (_, operation) = document.operations.iter().next()?;
        let operation = &operation.node;
        let (root, word) = match operation.ty {
            OperationType::Mutation => ("Mutation", "mutation"),
            _ => ("QueryRoot", "query"),
        };
        let (mut body, mut used, mut fields) = (String::new(), BTreeSet::new(), vec![]);
        for item in &operation.selection_set.node.items {
            let Selection::Field(field) = &item.node else { continue };
            let (name, key) = (field.node.name.node.as_str(), field.node.response_key().node.as_str());
            let Some(definition) = self.field(root, name) else { continue };
            let arguments: Vec<_> =
                field.node.arguments.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            field.node.arguments.iter().for_each(|(_, value)| note(&value.node, &mut used));
            let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
            let selection = self.selection(named(&definition.ty.node), &recorded.answer["data"][key]);
            let _ = write!(body, " {key}: {name}{arguments}{selection}");
            fields.push((key.to_owned(), name.to_owned()));
        }
        let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
        let definitions: Vec<_> = definitions
            .filter(|definition| used.contains(definition.name.node.as_str()))
            .map(|definition| {
                let default = definition.default_value.as_ref().map(|value| format!(" = {}", value.node));
                format!("${}: {}{}", definition.name.node, definition.var_type.node, default.unwrap_or_default())
            })
            .collect();
        let definitions = if definitions.is_empty() { String::new() } else { format!("({})", definitions.join(", ")) };
        let variables = recorded.variables.as_object().cloned().unwrap_or_default();
        let variables: Map<_, _> = variables.into_iter().filter(|(name, _)| used.contains(name.as_str())).collect();
        let document = format!("{word} Recorded{definitions} {{{body} }}");
        let is_mutation = root == "Mutation";
        (!fields.is_empty()).then(|| Ask { document, variables: Value::Object(variables), fields, is_mutation })
    }

    /// The variables are then named after the arguments, or the request cannot be told.
    fn by_variables(&self, recorded: &Recorded) -> Option<Ask> {
        let none = Map::new();
        let variables = recorded.variables.as_object().unwrap_or(&none);
        let (root, names): (_, Vec<_>) = match recorded.answer["data"].as_object() {
            Some(data) => {
                let root = ["Mutation", "QueryRoot"]
                    .into_iter()
                    .find(|root| data.keys().any(|name| self.field(root, name).is_some()))?;
                (root, data.keys().filter(|name| self.field(root, name).is_some()).cloned().collect())
            }
            None => ("Mutation", vec![self.field_of(recorded)?]),
        };
        let (mut body, mut used) = (String::new(), Map::new());
        let mut definitions = vec![];
        let mut fields = vec![];
        for name in &names {
            let definition = self.field(root, name)?;
            let given = definition.arguments.iter().map(|argument| &argument.node);
            let given: Vec<_> = given.filter(|argument| variables.contains_key(argument.name.node.as_str())).collect();
            let required = definition.arguments.iter().filter(|argument| !argument.node.ty.node.nullable).count();
            let mut arguments: Vec<_> = given.iter().map(|argument| format!("{0}: ${0}", argument.name.node)).collect();
            let pages = ["first", "last"];
            let is_paged = definition.arguments.iter().any(|argument| argument.node.name.node == "first");
            if is_paged && !given.iter().any(|argument| pages.contains(&argument.name.node.as_str())) {
                // A page was asked for, or there would be no answer.
                arguments.push("first: 250".to_owned());
            }
            if given.iter().filter(|argument| !argument.ty.node.nullable).count() < required {
                continue;
            }
            for argument in given {
                let name = argument.name.node.to_string();
                if used.insert(name.clone(), variables[&name].clone()).is_none() {
                    definitions.push(format!("${name}: {}", argument.ty.node));
                }
            }
            let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
            let selection = self.selection(named(&definition.ty.node), &recorded.answer["data"][name]);
            let _ = write!(body, " {name}{arguments}{selection}");
            fields.push((name.clone(), name.clone()));
        }
        let definitions = if definitions.is_empty() { String::new() } else { format!("({})", definitions.join(", ")) };
        let word = if root == "Mutation" { "mutation" } else { "query" };
        let document = format!("{word} Recorded{definitions} {{{body} }}");
        let is_mutation = root == "Mutation";
        (!fields.is_empty()).then(|| Ask { document, variables: Value::Object(used), fields, is_mutation })
    }

    /// The mutation that a refused variable belongs to: `Variable $input of type CustomerInput! was provided…`.
    fn field_of(&self, recorded: &Recorded) -> Option<String> {
        let message = recorded.answer["errors"][0]["message"].as_str()?;
        let (name, rest) = message.strip_prefix("Variable $")?.split_once(" of type ")?;
        let ty = rest.split_once(" was")?.0;
        let TypeKind::Object(root) = &self.0.get("Mutation")?.kind else { return None };
        let takes = |field: &FieldDefinition| {
            field.arguments.iter().any(|known| known.node.name.node == name && known.node.ty.node.to_string() == ty)
        };
        root.fields.iter().find(|field| takes(&field.node)).map(|field| field.node.name.node.to_string())
    }
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

fn note(literal: &Literal, used: &mut BTreeSet<String>) {
    match literal {
        Literal::Variable(name) => drop(used.insert(name.to_string())),
        Literal::List(items) => items.iter().for_each(|item| note(item, used)),
        Literal::Object(fields) => fields.values().for_each(|value| note(value, used)),
        _ => {}
    }
}
