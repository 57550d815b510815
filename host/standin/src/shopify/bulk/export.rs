//! The lines of a bulk operation's file: each object of each connection, one JSON object a line, children after their parents.
//! Knows nothing of statuses and faults.

use std::collections::VecDeque;

use async_graphql_parser::parse_query;
use serde_json::{Map, Value, json};

use crate::shopify::graphql::{Child, Failed, Resolver, node_of};
use crate::shopify::schema::{Schema, named};
use crate::shopify::selection::{Plan, root_type};
use crate::shopify::store::Store;
use crate::shopify::{lists, queries};

/// Without grouping, so many parents stand together before their children do.
const PARENTS_TOGETHER: usize = 50;

/// A file in the making.
pub(super) struct Export {
    is_grouped: bool,
    /// Which root field and which id are still to be written; `None` before it began.
    pending: Option<VecDeque<(usize, u64)>>,
    lines: Vec<String>,
    pub objects: u64,
    pub roots: u64,
}

impl Export {
    pub fn new(is_grouped: bool) -> Export {
        Export { is_grouped, pending: None, lines: Vec::new(), objects: 0, roots: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.pending.as_ref().is_some_and(VecDeque::is_empty)
    }

    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// Writes the next so many objects of the root with all that is below them. The query was found valid before.
    pub fn go_on(&mut self, schema: &Schema, store: &Store, query: &str, at_once: usize) {
        let Ok(document) = parse_query(query) else { return };
        let Some((_, operation)) = document.operations.iter().next() else { return };
        let variables = Map::new();
        let plan = Plan { schema, document: &document, variables: &variables };
        let ty = root_type(&operation.node);
        let roots = plan.collect(&[&operation.node.selection_set.node], ty);
        let arguments = |field: usize| {
            let field = roots[field].1[0];
            let definition = schema.field(ty, &field.node.name.node);
            definition.and_then(|definition| schema.arguments(definition, field, &variables).ok()).unwrap_or_default()
        };
        let pending = self.pending.get_or_insert_with(|| {
            let ids = |at: usize| lists::ids(store, &roots[at].1[0].node.name.node, &arguments(at));
            (0..roots.len()).flat_map(|at| ids(at).into_iter().map(move |id| (at, id))).collect()
        });
        let next: Vec<_> = pending.drain(..at_once.min(pending.len())).collect();
        let mut resolve = |field: &str, arguments: &Map<String, Value>| -> Result<Value, Failed> {
            queries::resolve(store, field, arguments)
        };
        for (at, (_, fields)) in roots.iter().enumerate() {
            let name = fields[0].node.name.node.as_str();
            let nodes: Vec<_> =
                next.iter().filter(|(field, _)| *field == at).map(|(_, id)| lists::show(store, name, *id)).collect();
            let Some(connection) = schema.field(ty, name).map(|field| named(&field.ty.node).to_owned()) else {
                continue;
            };
            self.roots += nodes.len() as u64;
            let child = Child { connection, fields: fields.clone(), nodes, parent: None };
            self.write(&plan, &mut resolve, child);
        }
    }

    fn write(&mut self, plan: &Plan, resolve: &mut Resolver<'_>, child: Child) {
        let Child { connection, fields, nodes, parent } = child;
        let together = if self.is_grouped { 1 } else { PARENTS_TOGETHER };
        for nodes in nodes.chunks(together) {
            let mut children: Vec<Child> = Vec::new();
            for node in nodes {
                let (mut line, below) = node_of(plan, resolve, &connection, &fields, node.clone());
                if let (Some(parent), Value::Object(line)) = (&parent, &mut line) {
                    line.insert("__parentId".to_owned(), json!(parent));
                }
                self.lines.push(format!("{line}\n"));
                self.objects += 1;
                children.extend(below);
            }
            if !self.is_grouped {
                // All of one connection before all of the next.
                let mut connections: Vec<_> = children.iter().map(|child| child.connection.clone()).collect();
                connections.dedup();
                children.sort_by_key(|child| connections.iter().position(|name| *name == child.connection));
            }
            children.into_iter().for_each(|child| self.write(plan, resolve, child));
        }
    }
}
