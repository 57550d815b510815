//! Executes a GraphQL document: selection sets over JSON objects, with aliases, connections and linked things.
//! Knows nothing of customers or orders; root fields are somebody else's closure.

use async_graphql_parser::types::{Field, OperationDefinition};
use async_graphql_parser::{Positioned, parse_query};
use serde_json::{Map, Value, json};

use super::bucket::Bucket;
use super::check::check;
use super::connections::{LINK, shape};
use super::cost::{self, MUTATION_COST, QUERY_COST_MAX};
use super::schema::{Schema, error, named};
use super::selection::{Collected, Plan, below, root_type};

/// A root field that failed as a whole: null in `data` and one entry in `errors`.
pub(crate) struct Failed {
    pub message: String,
    pub code: &'static str,
}

/// Arguments that choose a page, which means nothing where all is written out.
const PAGING: [&str; 4] = ["first", "after", "last", "before"];

/// Gives a root field's value by its name and arguments.
pub(crate) type Resolver<'a> = dyn FnMut(&str, &Map<String, Value>) -> Result<Value, Failed> + 'a;

/// The name of the operation that a request body asks for; empty when it has none, or several without choosing.
pub(crate) fn operation_name(body: &Value) -> String {
    if let Some(name) = body["operationName"].as_str().filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let document = body["query"].as_str().and_then(|query| parse_query(query).ok());
    let Some(document) = document.filter(|document| document.operations.iter().len() == 1) else {
        return String::new();
    };
    let only = document.operations.iter().find_map(|(name, _)| name.map(ToString::to_string));
    only.unwrap_or_default()
}

/// The answer to a request body.
pub(crate) fn execute(schema: &Schema, body: &Value, bucket: &mut Bucket, resolve: &mut Resolver<'_>) -> Value {
    let Some(query) = body["query"].as_str() else {
        return json!({ "errors": { "query": "Required parameter missing or invalid" } });
    };
    let document = match parse_query(query) {
        Ok(document) => document,
        Err(problem) => {
            return json!({ "errors": [{ "message": problem.to_string(), "extensions": { "code": "PARSE_ERROR" } }] });
        }
    };
    let name = operation_name(body);
    let found = document.operations.iter().find(|(known, _)| known.map_or("", |known| known.as_str()) == name);
    let Some((_, operation)) = found else {
        let message = if name.is_empty() {
            "An operation name is required".to_owned()
        } else {
            format!("No operation named \"{name}\"")
        };
        return json!({ "errors": [{ "message": message }] });
    };
    let operation = &operation.node;
    let problems = check(schema, &document, operation, &name);
    if !problems.is_empty() {
        return json!({ "errors": problems });
    }
    let variables = match schema.variables(operation, body["variables"].as_object().unwrap_or(&Map::new())) {
        Ok(variables) => variables,
        Err(problems) => return json!({ "errors": problems }),
    };
    let plan = Plan { schema, document: &document, variables: &variables };
    let requested = cost::requested(&plan, operation);
    if requested > QUERY_COST_MAX {
        return cost::too_expensive(requested);
    }
    if !bucket.covers(requested) {
        return bucket.throttled(requested);
    }
    let (data, actual, errors) = run(&plan, operation, resolve);
    let cost = bucket.charge(requested, actual.min(requested));
    let mut answer = json!({ "data": data, "extensions": { "cost": cost } });
    if !errors.is_empty() {
        answer["errors"] = Value::Array(errors);
    }
    answer
}

/// A connection below an object that is written out line by line.
pub(crate) struct Child<'a> {
    /// Its type.
    pub connection: String,
    pub fields: Vec<&'a Positioned<Field>>,
    pub nodes: Vec<Value>,
    /// The id of the object.
    pub parent: Option<String>,
}

/// What the fields of a connection select of one of its nodes, apart from the connections below, which come beside it.
pub(crate) fn node_of<'a>(
    plan: &'a Plan<'a>,
    resolve: &mut Resolver<'_>,
    connection: &str,
    fields: &[&'a Positioned<Field>],
    node: Value,
) -> (Value, Vec<Child<'a>>) {
    let one = |ty: &str, fields: &[&'a Positioned<Field>], name: &str| {
        let inner = named(&plan.schema.field(ty, name)?.ty.node).to_owned();
        let found = plan.collect(&below(fields), ty).into_iter();
        let found = found.filter(|(_, fields)| fields[0].node.name.node == name).flat_map(|(_, fields)| fields);
        Some((inner, found.collect::<Vec<_>>()))
    };
    let edges = one(connection, fields, "edges");
    let Some((ty, fields)) = edges.and_then(|(edge, fields)| one(&edge, &fields, "node")) else {
        return (Value::Null, Vec::new());
    };
    let mut run = Run { plan, resolve, errors: Vec::new(), children: Some(Vec::new()) };
    let (line, _) = run.complete(node, &ty, connection, &fields);
    let parent = line["id"].as_str().map(str::to_owned);
    let children = run.children.unwrap_or_default().into_iter();
    (line, children.map(|child| Child { parent: parent.clone(), ..child }).collect())
}

struct Run<'a, 'r> {
    plan: &'a Plan<'a>,
    resolve: &'r mut Resolver<'r>,
    errors: Vec<Value>,
    /// Where connections are left aside, those that were.
    children: Option<Vec<Child<'a>>>,
}

/// The data, the points that it took, and the errors.
fn run<'a>(
    plan: &'a Plan<'a>,
    operation: &'a OperationDefinition,
    resolve: &mut Resolver<'_>,
) -> (Value, u64, Vec<Value>) {
    let mut run = Run { plan, resolve, errors: Vec::new(), children: None };
    let (data, points) = run.root(operation);
    (data, points, run.errors)
}

impl<'a> Run<'a, '_> {
    fn root(&mut self, operation: &'a OperationDefinition) -> (Value, u64) {
        let ty = root_type(operation);
        let (mut data, mut points) = (Map::new(), 0);
        for (key, fields) in self.plan.collect(&[&operation.selection_set.node], ty) {
            let (field, path) = (fields[0], [key.clone()]);
            let name = field.node.name.node.as_str();
            let Some(definition) = self.plan.schema.field(ty, name) else {
                data.insert(key, json!(ty));
                continue;
            };
            let value = self.plan.schema.arguments(definition, field, self.plan.variables).and_then(|arguments| {
                let value = (self.resolve)(name, &arguments)
                    .map_err(|failed| error(&failed.message, field.pos, &path, json!({ "code": failed.code })))?;
                Ok(shape(value, &arguments))
            });
            points += if ty == "Mutation" { MUTATION_COST } else { 0 };
            let value = value.unwrap_or_else(|problem| {
                self.errors.push(problem);
                Value::Null
            });
            let (value, taken) = match value {
                // Nodes asked for by their ids pay each for itself.
                Value::Array(items) if name == "nodes" => self.all(items, named(&definition.ty.node), ty, &fields),
                value => self.complete(value, named(&definition.ty.node), ty, &fields),
            };
            points += taken;
            data.insert(key, value);
        }
        (Value::Object(data), points)
    }

    /// What the fields select of a value of type `ty`, found in an object of type `parent`, and its points.
    fn complete(&mut self, value: Value, ty: &str, parent: &str, fields: &[&'a Positioned<Field>]) -> (Value, u64) {
        match value {
            // A list costs what one of it costs.
            Value::Array(items) => {
                let done: Vec<_> = items.into_iter().map(|item| self.complete(item, ty, parent, fields)).collect();
                let points = done.iter().map(|(_, points)| *points).max().unwrap_or_default();
                (done.into_iter().map(|(value, _)| value).collect(), points)
            }
            Value::Object(object) if ty.ends_with("Connection") => self.connection(&object, ty, fields),
            Value::Object(object) if self.plan.schema.is_composite(ty) => {
                let concrete =
                    object.get("__typename").and_then(Value::as_str).filter(|_| self.plan.schema.is_abstract(ty));
                let concrete = concrete.unwrap_or(ty).to_owned();
                let (value, points) = self.select(fields, &concrete, object);
                (value, cost::of_object(ty, parent) + points)
            }
            value => (value, 0),
        }
    }

    fn all(&mut self, items: Vec<Value>, ty: &str, parent: &str, fields: &[&'a Positioned<Field>]) -> (Value, u64) {
        let done: Vec<_> = items.into_iter().map(|item| self.complete(item, ty, parent, fields)).collect();
        let points = done.iter().map(|(_, points)| points).sum();
        (done.into_iter().map(|(value, _)| value).collect(), points)
    }

    fn connection(&mut self, object: &Map<String, Value>, ty: &str, fields: &[&'a Positioned<Field>]) -> (Value, u64) {
        let nodes = object.get("nodes").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        let (mut selected, mut held) = (Map::new(), 0);
        for (key, fields) in self.plan.collect(&below(fields), ty) {
            let name = fields[0].node.name.node.as_str();
            let Some(definition) = self.plan.schema.field(ty, name) else {
                selected.insert(key, json!(ty));
                continue;
            };
            let (value, points) = match object.get(name).cloned().unwrap_or_default() {
                Value::Array(items) => self.all(items, named(&definition.ty.node), ty, &fields),
                value => self.complete(value, named(&definition.ty.node), ty, &fields),
            };
            held = held.max(points);
            selected.insert(key, value);
        }
        (Value::Object(selected), cost::of_connection(nodes, held))
    }

    fn select(&mut self, fields: &[&'a Positioned<Field>], ty: &str, object: Map<String, Value>) -> (Value, u64) {
        let (mut selected, mut points) = (Map::new(), 0);
        let collected = self.plan.collect(&below(fields), ty);
        let object = self.opened(object, &collected);
        for (key, fields) in collected {
            let name = fields[0].node.name.node.as_str();
            let Some(definition) = self.plan.schema.field(ty, name) else {
                selected.insert(key, json!(ty));
                continue;
            };
            let inner = named(&definition.ty.node);
            if let Some(children) = self.children.as_mut().filter(|_| inner.ends_with("Connection")) {
                let all = self.plan.schema.arguments(definition, fields[0], self.plan.variables).unwrap_or_default();
                let all = all.into_iter().filter(|(name, _)| !PAGING.contains(&name.as_str())).collect();
                let mut whole = shape(object.get(name).cloned().unwrap_or_default(), &all);
                let nodes = whole["nodes"].take().as_array_mut().map(std::mem::take).unwrap_or_default();
                children.push(Child { connection: inner.to_owned(), fields, nodes, parent: None });
                continue;
            }
            let value = match self.plan.schema.arguments(definition, fields[0], self.plan.variables) {
                Ok(arguments) => shape(object.get(name).cloned().unwrap_or_default(), &arguments),
                Err(problem) => {
                    self.errors.push(problem);
                    Value::Null
                }
            };
            let (value, taken) = self.complete(value, named(&definition.ty.node), ty, &fields);
            points += taken;
            selected.insert(key, value);
        }
        (Value::Object(selected), points)
    }

    /// The whole of a linked thing, if more of it is selected than the link says.
    fn opened(&mut self, object: Map<String, Value>, selected: &Collected) -> Map<String, Value> {
        let is_said = |name: &str| name == "__typename" || object.contains_key(name);
        if !object.contains_key(LINK) || selected.iter().all(|(_, fields)| is_said(&fields[0].node.name.node)) {
            return object;
        }
        let id = object.get("id").map(|id| ("id".to_owned(), id.clone()));
        match (self.resolve)("node", &id.into_iter().collect()) {
            Ok(Value::Object(whole)) => whole,
            _ => object,
        }
    }
}
