//! What a document selects: the fields of a selection set, with fragments opened and directives obeyed.
//! Knows nothing of values nor of their cost.

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use serde_json::{Map, Value};

use super::schema::{Schema, plain};

/// A document that fits the schema, with its variables.
pub(crate) struct Plan<'a> {
    pub schema: &'a Schema,
    pub document: &'a ExecutableDocument,
    pub variables: &'a Map<String, Value>,
}

/// Fields by response key, in order.
pub(crate) type Collected<'a> = Vec<(String, Vec<&'a Positioned<Field>>)>;

impl<'a> Plan<'a> {
    pub fn collect(&self, sets: &[&'a SelectionSet], ty: &str) -> Collected<'a> {
        let mut collected: Collected<'a> = Vec::new();
        for item in sets.iter().flat_map(|set| &set.items) {
            if !self.included(item.node.directives()) {
                continue;
            }
            let inner = match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    match collected.iter_mut().find(|(known, _)| known == key) {
                        Some((_, fields)) => fields.push(field),
                        None => collected.push((key.to_owned(), vec![field])),
                    }
                    continue;
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    on.is_none_or(|on| self.schema.is(ty, on)).then_some(&fragment.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.node.fragment_name.node);
                    let fragment =
                        fragment.filter(|fragment| self.schema.is(ty, &fragment.node.type_condition.node.on.node));
                    fragment.map(|fragment| &fragment.node.selection_set.node)
                }
            };
            for (key, fields) in inner.map(|set| self.collect(&[set], ty)).unwrap_or_default() {
                match collected.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, known)) => known.extend(fields),
                    None => collected.push((key, fields)),
                }
            }
        }
        collected
    }

    fn included(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let condition =
                directive.node.get_argument("if").map(|literal| plain(literal.node.clone(), self.variables));
            match directive.node.name.node.as_str() {
                "include" => condition == Some(Value::Bool(true)),
                "skip" => condition != Some(Value::Bool(true)),
                _ => true,
            }
        })
    }
}

/// The selection sets of fields that stand under one key.
pub(crate) fn below<'a>(fields: &[&'a Positioned<Field>]) -> Vec<&'a SelectionSet> {
    fields.iter().map(|field| &field.node.selection_set.node).collect()
}

pub(crate) fn root_type(operation: &OperationDefinition) -> &'static str {
    if operation.ty == OperationType::Mutation { "Mutation" } else { "QueryRoot" }
}
