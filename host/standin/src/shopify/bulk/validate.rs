//! What Shopify has against a bulk query before it begins, in the recorded words.
//! Knows nothing of the shop.

use async_graphql_parser::types::{BaseType, Field, OperationType};
use async_graphql_parser::{Positioned, parse_query};
use serde_json::Map;

use crate::shopify::check::check;
use crate::shopify::schema::{Schema, named};
use crate::shopify::selection::{Plan, below};

/// Recorded answers.
const CONNECTIONS_MAX: usize = 5;
const NESTED_MAX: usize = 2;

/// The messages, in the order in which Shopify gives them.
pub(super) fn problems(schema: &Schema, query: &str) -> Vec<String> {
    let document = match parse_query(query) {
        Ok(document) => document,
        Err(problem) => return vec![format!("Failed to parse the query - {problem}")],
    };
    let Some((_, operation)) = document.operations.iter().next() else {
        return vec!["Failed to parse the query - there is no operation".to_owned()];
    };
    if operation.node.ty != OperationType::Query {
        return vec!["Invalid operation type. Only `query` operations are supported.".to_owned()];
    }
    let wrong = check(schema, &document, &operation.node, "");
    if !wrong.is_empty() {
        return wrong.iter().map(|error| error["message"].as_str().unwrap_or_default().to_owned()).collect();
    }
    let variables = Map::new();
    let plan = Plan { schema, document: &document, variables: &variables };
    let mut found = Found::default();
    let roots = plan.collect(&[&operation.node.selection_set.node], "QueryRoot");
    for (_, fields) in &roots {
        let name = fields[0].node.name.node.as_str();
        if name == "node" || name == "nodes" {
            found.problems.push(format!("Bulk queries cannot contain a top level `{name}` field."));
        }
        found.look(&plan, fields, "QueryRoot", Place { depth: 0, is_in_list: false, parent: None });
    }
    found.told()
}

#[derive(Default)]
struct Found {
    problems: Vec<String>,
    connections: usize,
    deepest: usize,
    /// Connections that select `nodes`, those that have others in them and no `id`, and whether one is in a list.
    by_nodes: Vec<String>,
    without_id: Vec<String>,
    in_list: bool,
}

/// Where a field stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// How many connections it is in.
    depth: usize,
    is_in_list: bool,
    /// The connection whose node it is in, and whether that node selects its `id`.
    parent: Option<(&'a str, bool)>,
}

impl Found {
    fn look(&mut self, plan: &Plan, fields: &[&Positioned<Field>], ty: &str, place: Place) {
        let name = fields[0].node.name.node.as_str();
        let Some(definition) = plan.schema.field(ty, name) else { return };
        let inner = named(&definition.ty.node);
        if !plan.schema.is_composite(inner) {
            return;
        }
        if !inner.ends_with("Connection") {
            let is_in_list = place.is_in_list || matches!(definition.ty.node.base, BaseType::List(_));
            for (_, fields) in plan.collect(&below(fields), inner) {
                self.look(plan, &fields, inner, Place { is_in_list, ..place });
            }
            return;
        }
        self.connections += 1;
        self.deepest = self.deepest.max(place.depth);
        self.in_list |= place.is_in_list;
        if let Some((parent, false)) = place.parent
            && !self.without_id.iter().any(|known| known == parent)
        {
            self.without_id.push(parent.to_owned());
        }
        for (_, parts) in plan.collect(&below(fields), inner) {
            match parts[0].node.name.node.as_str() {
                "nodes" => self.by_nodes.push(format!("'{name}'")),
                "edges" => self.nodes(
                    plan,
                    &parts,
                    inner,
                    Place { depth: place.depth + 1, is_in_list: false, parent: Some((name, false)) },
                ),
                _ => {}
            }
        }
    }

    fn nodes(&mut self, plan: &Plan, edges: &[&Positioned<Field>], connection: &str, place: Place) {
        let Some(edge) = plan.schema.field(connection, "edges").map(|edges| named(&edges.ty.node)) else { return };
        let Some(node) = plan.schema.field(edge, "node").map(|node| named(&node.ty.node)) else { return };
        for (_, fields) in
            plan.collect(&below(edges), edge).into_iter().filter(|(_, fields)| fields[0].node.name.node == "node")
        {
            // What an abstract node holds may be of any of its types.
            for concrete in plan.schema.possible(node) {
                let selected = plan.collect(&below(&fields), concrete);
                let has_id = selected.iter().any(|(key, fields)| key == "id" && fields[0].node.name.node == "id");
                let parent = place.parent.map(|(name, _)| (name, has_id));
                for (_, fields) in &selected {
                    self.look(plan, fields, concrete, Place { parent, ..place });
                }
            }
        }
    }

    fn told(self) -> Vec<String> {
        let mut told = self.problems;
        let mut say = |is_so: bool, message: String| {
            if is_so {
                told.push(message);
            }
        };
        say(self.connections == 0, "Bulk queries must contain at least one connection.".to_owned());
        let example = self.by_nodes.first().map(|name| name.trim_matches('\'').to_owned()).unwrap_or_default();
        say(
            !self.by_nodes.is_empty(),
            format!(
                "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: '{example} {{ edges {{ node {{'. Selecting via 'nodes' is not supported. Invalid connection fields: {}.",
                self.by_nodes.join(", ")
            ),
        );
        say(
            self.deepest > NESTED_MAX,
            format!("Bulk queries cannot contain connections with a nesting depth greater than {NESTED_MAX}."),
        );
        say(
            self.connections > CONNECTIONS_MAX,
            format!("Bulk queries cannot contain more than {CONNECTIONS_MAX} connections."),
        );
        say(
            !self.without_id.is_empty(),
            format!(
                "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of 'ID' return type. Connection fields without 'id': {}.",
                self.without_id.join(", ")
            ),
        );
        say(
            self.in_list,
            "Queries that contain a connection field within a list field are not currently supported.".to_owned(),
        );
        told
    }
}
