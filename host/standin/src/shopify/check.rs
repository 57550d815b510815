//! Whether a document fits the schema, told in Shopify's words before anything is executed.
//! Knows nothing of variables' values.

use std::collections::BTreeSet;

use async_graphql_parser::types::{
    BaseType, ExecutableDocument, Field, FieldDefinition, InputValueDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet, Type,
};
use async_graphql_parser::{Pos, Positioned};
use async_graphql_value::Value as Literal;
use serde_json::json;

use super::schema::{Schema, TopError, error, named};

/// Errors of the document that no variable can mend.
pub(crate) fn check(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    name: &str,
) -> Vec<TopError> {
    let (root, word) = match operation.ty {
        OperationType::Query => ("QueryRoot", "query"),
        OperationType::Mutation => ("Mutation", "mutation"),
        OperationType::Subscription => {
            return vec![json!({ "message": "Schema is not configured for subscriptions" })];
        }
    };
    let path = vec![format!("{word} {name}").trim_end().to_owned()];
    let (errors, open, used) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut check = Check { schema, document, operation, errors, open, used, path };
    check.set(&operation.selection_set.node, root);
    check.variables(name);
    check.errors
}

struct Check<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    errors: Vec<TopError>,
    /// Names of the fragments around the place under inspection.
    open: Vec<String>,
    /// Names of variables.
    used: BTreeSet<String>,
    path: Vec<String>,
}

impl Check<'_> {
    fn set(&mut self, set: &SelectionSet, ty: &str) {
        for item in &set.items {
            for directive in item.node.directives() {
                directive.node.arguments.iter().for_each(|(_, literal)| note(&literal.node, &mut self.used));
            }
            match &item.node {
                Selection::Field(field) => self.field(field, ty),
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map_or(ty, |on| on.node.on.node.as_str());
                    self.path.push(format!("... on {on}"));
                    self.fragment(&fragment.node.selection_set.node, on, item.pos);
                    self.path.pop();
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let Some(fragment) = self.document.fragments.get(name) else {
                        let extensions = json!({ "code": "useAndDefineFragment", "fragmentName": name.as_str() });
                        self.errors.push(error(
                            &format!("Fragment {name} was used, but not defined"),
                            item.pos,
                            &self.path,
                            extensions,
                        ));
                        continue;
                    };
                    if self.open.iter().any(|open| open == name.as_str()) {
                        let extensions = json!({ "code": "infiniteLoop", "fragmentName": name.as_str() });
                        let message = format!("Fragment {name} contains an infinite loop");
                        self.errors.push(error(&message, item.pos, &self.path, extensions));
                        continue;
                    }
                    self.open.push(name.to_string());
                    let path = std::mem::replace(&mut self.path, vec![format!("fragment {name}")]);
                    self.fragment(
                        &fragment.node.selection_set.node,
                        &fragment.node.type_condition.node.on.node,
                        item.pos,
                    );
                    self.path = path;
                    self.open.pop();
                }
            }
        }
    }

    fn fragment(&mut self, set: &SelectionSet, on: &str, pos: Pos) {
        if self.schema.is_composite(on) {
            self.set(set, on);
        } else {
            let extensions = json!({ "code": "undefinedType", "typeName": on });
            self.errors.push(error(
                &format!("No such type {on}, so it can't be a fragment condition"),
                pos,
                &self.path,
                extensions,
            ));
        }
    }

    fn field(&mut self, field: &Positioned<Field>, ty: &str) {
        let name = field.node.name.node.as_str();
        if name == "__typename" {
            return;
        }
        self.path.push(field.node.response_key().node.to_string());
        match self.schema.field(ty, name) {
            None => {
                let extensions = json!({ "code": "undefinedField", "typeName": ty, "fieldName": name });
                self.errors.push(error(
                    &format!("Field '{name}' doesn't exist on type '{ty}'"),
                    field.pos,
                    &self.path,
                    extensions,
                ));
            }
            Some(definition) => {
                self.arguments(definition, field);
                let inner = named(&definition.ty.node);
                let (composite, selects) =
                    (self.schema.is_composite(inner), !field.node.selection_set.node.items.is_empty());
                if composite != selects {
                    let message = if composite {
                        format!(
                            "Field must have selections (field '{name}' returns {inner} but has no selections. Did you mean '{name} {{ ... }}'?)"
                        )
                    } else {
                        format!(
                            "Selections can't be made on scalars (field '{name}' returns {inner} but has selections)"
                        )
                    };
                    let extensions = json!({ "code": "selectionMismatch", "nodeName": format!("field '{name}'"), "typeName": inner });
                    self.errors.push(error(&message, field.pos, &self.path, extensions));
                }
                self.set(&field.node.selection_set.node, inner);
            }
        }
        self.path.pop();
    }

    fn arguments(&mut self, definition: &FieldDefinition, field: &Positioned<Field>) {
        let name = field.node.name.node.as_str();
        for (argument, literal) in &field.node.arguments {
            note(&literal.node, &mut self.used);
            if let Some(known) = definition.arguments.iter().find(|known| known.node.name.node == argument.node) {
                self.fits(&known.node, literal, argument.pos);
                self.path.push(argument.node.to_string());
                self.accepted(&literal.node, &known.node.ty.node, argument.pos);
                self.path.pop();
                continue;
            }
            let extensions = json!({
                "code": "argumentNotAccepted", "name": name, "typeName": "Field", "argumentName": argument.node.as_str(),
            });
            let message = format!("Field '{name}' doesn't accept argument '{}'", argument.node);
            self.errors.push(error(&message, argument.pos, &self.path, extensions));
        }
        let missing = definition
            .arguments
            .iter()
            .filter(|known| !known.node.ty.node.nullable && known.node.default_value.is_none());
        let missing =
            missing.map(|known| known.node.name.node.as_str()).filter(|known| field.node.get_argument(known).is_none());
        let missing = missing.collect::<Vec<_>>().join(", ");
        if !missing.is_empty() {
            let extensions =
                json!({ "code": "missingRequiredArguments", "className": "Field", "name": name, "arguments": missing });
            self.errors.push(error(
                &format!("Field '{name}' is missing required arguments: {missing}"),
                field.pos,
                &self.path,
                extensions,
            ));
        }
    }

    /// An object that is written out may have no field that its type does not have.
    fn accepted(&mut self, literal: &Literal, ty: &Type, pos: Pos) {
        match (literal, &ty.base) {
            (Literal::List(items), BaseType::List(inner)) => {
                items.iter().for_each(|item| self.accepted(item, inner, pos));
            }
            (literal, BaseType::List(inner)) => self.accepted(literal, inner, pos),
            (Literal::Object(given), BaseType::Named(ty)) => {
                let schema = self.schema;
                let known = schema.inputs(ty).unwrap_or_default();
                for (name, value) in given {
                    self.path.push(name.to_string());
                    if let Some(field) = known.iter().find(|field| field.node.name.node == *name) {
                        self.accepted(value, &field.node.ty.node, pos);
                    } else {
                        let extensions = json!({
                            "code": "argumentNotAccepted", "name": ty.as_str(), "typeName": "InputObject",
                            "argumentName": name.as_str(),
                        });
                        let message = format!("InputObject '{ty}' doesn't accept argument '{name}'");
                        self.errors.push(error(&message, pos, &self.path, extensions));
                    }
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    /// A variable given as a whole argument must be declared with a type that fits.
    fn fits(&mut self, argument: &InputValueDefinition, literal: &Positioned<Literal>, pos: Pos) {
        let Literal::Variable(name) = &literal.node else { return };
        let declared = self.operation.variable_definitions.iter().find(|known| known.node.name.node == *name);
        let Some(declared) = declared.map(|known| &known.node) else { return };
        let (given, wanted) = (&declared.var_type.node, &argument.ty.node);
        if !is_assignable(given, wanted, declared.default_value.is_some()) {
            let argument = argument.name.node.as_str();
            let message = format!("Type mismatch on variable ${name} and argument {argument} ({given} / {wanted})");
            let extensions = json!({
                "code": "variableMismatch", "variableName": name.as_str(), "typeName": given.to_string(),
                "argumentName": argument, "errorMessage": "Type mismatch",
            });
            self.errors.push(error(&message, pos, &self.path, extensions));
        }
    }

    fn variables(&mut self, operation: &str) {
        let declared: Vec<_> = self.operation.variable_definitions.iter().map(|known| &known.node.name).collect();
        for name in declared.iter().filter(|name| !self.used.contains(name.node.as_str())) {
            let message = format!("Variable ${} is declared by {operation} but not used", name.node);
            let extensions = json!({ "code": "variableNotUsed", "variableName": name.node.as_str() });
            self.errors.push(error(&message, name.pos, &self.path, extensions));
        }
        for name in self.used.iter().filter(|name| !declared.iter().any(|known| known.node == name.as_str())) {
            let message = format!("Variable ${name} is used by {operation} but not declared");
            let extensions = json!({ "code": "variableNotDefined", "variableName": name });
            self.errors.push(error(&message, self.operation.selection_set.pos, &self.path, extensions));
        }
    }
}

fn is_assignable(given: &Type, wanted: &Type, has_default: bool) -> bool {
    let base = match (&given.base, &wanted.base) {
        (BaseType::Named(given), BaseType::Named(wanted)) => given == wanted,
        (BaseType::List(given), BaseType::List(wanted)) => is_assignable(given, wanted, false),
        _ => false,
    };
    base && (wanted.nullable || !given.nullable || has_default)
}

/// Notes the variables in a literal.
fn note(literal: &Literal, used: &mut BTreeSet<String>) {
    match literal {
        Literal::Variable(name) => drop(used.insert(name.to_string())),
        Literal::List(items) => items.iter().for_each(|item| note(item, used)),
        Literal::Object(fields) => fields.values().for_each(|field| note(field, used)),
        _ => {}
    }
}
