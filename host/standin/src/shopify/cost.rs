//! The points of a query: what is asked for before it runs, and what came of it.
//! Knows nothing of the bucket. Shopify does not publish its formula; this one gives the recorded 10 of a mutation and of a
//! count, 5 of `first: 5` and 6 of `first: 10`, and what came of a query never costs more than was asked for.

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{Field, OperationDefinition};
use serde_json::{Value, json};

use super::schema::{named, plain};
use super::selection::{Plan, below, root_type};

/// Shopify docs and recorded answers: ten points a mutation.
pub(crate) const MUTATION_COST: u64 = 10;
/// Of a query that counts a whole shop's things.
const COUNT_COST: u64 = 10;
/// Of a connection, whatever is in it.
const CONNECTION_COST: u64 = 2;
/// Shopify docs: of one query, whatever the bucket holds.
pub(crate) const QUERY_COST_MAX: u64 = 1_000;

/// How many times a connection of so many nodes pays for what is asked of each.
fn share(size: u64) -> u64 {
    size.isqrt() + u64::from(size.isqrt().pow(2) != size)
}

/// Points of an object of a type, found in one of another; what is in it comes on top. What a payload directly holds comes
/// with the mutation's own points, and nodes come with their connection's.
pub(crate) fn of_object(ty: &str, parent: &str) -> u64 {
    let is_free = ["Payload", "Connection", "Edge"].iter().any(|end| parent.ends_with(end)) || ty.ends_with("Payload");
    match ty {
        "Count" if parent == "QueryRoot" => COUNT_COST,
        _ => u64::from(!is_free),
    }
}

/// Points of a connection with so many nodes that hold so many points altogether.
pub(crate) fn of_connection(nodes: u64, held: u64) -> u64 {
    match nodes {
        0 => CONNECTION_COST,
        nodes => CONNECTION_COST + (share(nodes) * (nodes + held)).div_ceil(nodes),
    }
}

/// What a query asks for.
pub(crate) fn requested(plan: &Plan, operation: &OperationDefinition) -> u64 {
    let ty = root_type(operation);
    let mut points = 0;
    for (_, fields) in plan.collect(&[&operation.selection_set.node], ty) {
        let times = match fields[0].node.get_argument("ids").map(|ids| plain(ids.node.clone(), plan.variables)) {
            Some(Value::Array(ids)) => ids.len() as u64,
            _ => 1,
        };
        points += of_field(plan, &fields, ty) * times;
        points += if ty == "Mutation" { MUTATION_COST } else { 0 };
    }
    points
}

fn of_set(plan: &Plan, fields: &[&Positioned<Field>], ty: &str) -> u64 {
    // Behind an abstract type is what costs most.
    let each = plan.schema.possible(ty).into_iter().map(|ty| {
        let collected = plan.collect(&below(fields), ty);
        collected.iter().map(|(_, fields)| of_field(plan, fields, ty)).sum()
    });
    each.max().unwrap_or_default()
}

fn of_field(plan: &Plan, fields: &[&Positioned<Field>], parent: &str) -> u64 {
    let Some(definition) = plan.schema.field(parent, fields[0].node.name.node.as_str()) else { return 0 };
    let ty = named(&definition.ty.node);
    if !plan.schema.is_composite(ty) {
        return 0;
    }
    if !ty.ends_with("Connection") {
        return of_object(ty, parent) + of_set(plan, fields, ty);
    }
    let size = ["first", "last"].iter().find_map(|name| fields[0].node.get_argument(name));
    let size = match size.map(|literal| plain(literal.node.clone(), plan.variables)) {
        Some(Value::Number(size)) => size.as_u64().unwrap_or_default(),
        _ => 0,
    };
    // Nodes that are selected both ways are the same nodes.
    let each = plan.collect(&below(fields), ty).into_iter().map(|(_, fields)| of_field(plan, &fields, ty)).max();
    of_connection(size, size * each.unwrap_or_default())
}

/// The whole answer to a query that is too expensive.
pub(crate) fn too_expensive(requested: u64) -> Value {
    let message =
        format!("Query cost is {requested}, which exceeds the single query max cost limit ({QUERY_COST_MAX}).");
    let extensions = json!({
        "code": "MAX_COST_EXCEEDED", "cost": requested, "maxCost": QUERY_COST_MAX,
        "documentation": "https://shopify.dev/api/usage/rate-limits",
    });
    json!({ "errors": [{ "message": message, "extensions": extensions }] })
}
