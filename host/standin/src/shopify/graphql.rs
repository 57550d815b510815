//! Executes a GraphQL document: selection sets over JSON objects, with aliases, fragments, directives, connections and cost.
//! Knows nothing of customers or orders; root fields are somebody else's closure.

use async_graphql_parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql_parser::{Positioned, parse_query};
use serde_json::{Map, Value, json};

use super::bucket::{Bucket, MUTATION_COST, connection_cost};
use super::check::check;
use super::connections::shape;
use super::schema::{Schema, error, named, plain};

/// A root field that failed as a whole: null in `data` and one entry in `errors`.
pub(crate) struct Failed {
    pub message: String,
    pub code: &'static str,
}

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
    let mut run = Run { schema, document: &document, variables: &variables, errors: Vec::new(), cost: 0 };
    let requested = run.requested(operation);
    if !bucket.covers(requested) {
        return bucket.throttled(requested);
    }
    let data = run.root(operation, resolve);
    let cost = bucket.charge(requested, run.cost);
    let mut answer = json!({ "data": data, "extensions": { "cost": cost } });
    if !run.errors.is_empty() {
        answer["errors"] = Value::Array(run.errors);
    }
    answer
}

struct Run<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    variables: &'a Map<String, Value>,
    errors: Vec<Value>,
    cost: u64,
}

type Collected<'a> = Vec<(String, Vec<&'a Positioned<Field>>)>;

impl<'a> Run<'a> {
    fn root(&mut self, operation: &'a OperationDefinition, resolve: &mut Resolver<'_>) -> Value {
        let ty = root_type(operation);
        let mut data = Map::new();
        for (key, fields) in self.collect(&[&operation.selection_set.node], ty) {
            let (field, path) = (fields[0], [key.clone()]);
            let name = field.node.name.node.as_str();
            let Some(definition) = self.schema.field(ty, name) else {
                data.insert(key, json!(ty));
                continue;
            };
            let value = self.schema.arguments(definition, field, self.variables).and_then(|arguments| {
                let value = resolve(name, &arguments)
                    .map_err(|failed| error(&failed.message, field.pos, &path, json!({ "code": failed.code })))?;
                Ok(shape(value, &arguments))
            });
            if ty == "Mutation" {
                self.cost += MUTATION_COST;
            }
            let value = value.unwrap_or_else(|problem| {
                self.errors.push(problem);
                Value::Null
            });
            let value = self.complete(value, named(&definition.ty.node), ty, &fields);
            data.insert(key, value);
        }
        Value::Object(data)
    }

    /// What the fields select of a value of type `ty`, found in an object of type `parent`.
    fn complete(&mut self, value: Value, ty: &str, parent: &str, fields: &[&'a Positioned<Field>]) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.complete(item, ty, parent, fields)).collect(),
            Value::Object(object) if self.schema.is_composite(ty) => {
                let nodes = object.get("nodes").and_then(Value::as_array).map_or(0, Vec::len);
                self.cost += price(ty, parent, nodes as u64);
                let concrete =
                    object.get("__typename").and_then(Value::as_str).filter(|_| self.schema.is_interface(ty));
                let concrete = concrete.unwrap_or(ty).to_owned();
                let sets: Vec<_> = fields.iter().map(|field| &field.node.selection_set.node).collect();
                self.select(&sets, &concrete, &object)
            }
            value => value,
        }
    }

    fn select(&mut self, sets: &[&'a SelectionSet], ty: &str, object: &Map<String, Value>) -> Value {
        let mut selected = Map::new();
        for (key, fields) in self.collect(sets, ty) {
            let name = fields[0].node.name.node.as_str();
            let Some(definition) = self.schema.field(ty, name) else {
                selected.insert(key, json!(ty));
                continue;
            };
            let value = match self.schema.arguments(definition, fields[0], self.variables) {
                Ok(arguments) => shape(object.get(name).cloned().unwrap_or_default(), &arguments),
                Err(problem) => {
                    self.errors.push(problem);
                    Value::Null
                }
            };
            let value = self.complete(value, named(&definition.ty.node), ty, &fields);
            selected.insert(key, value);
        }
        Value::Object(selected)
    }

    /// The fields by response key, in order, fragments opened and directives obeyed.
    fn collect(&self, sets: &[&'a SelectionSet], ty: &str) -> Collected<'a> {
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

    fn requested(&self, operation: &'a OperationDefinition) -> u64 {
        let ty = root_type(operation);
        self.requested_set(&[&operation.selection_set.node], ty)
    }

    fn requested_set(&self, sets: &[&'a SelectionSet], ty: &str) -> u64 {
        let mut cost = 0;
        for (_, fields) in self.collect(sets, ty) {
            let Some(definition) = self.schema.field(ty, fields[0].node.name.node.as_str()) else { continue };
            let inner = named(&definition.ty.node);
            if !self.schema.is_composite(inner) {
                continue;
            }
            let size = ["first", "last"].iter().find_map(|name| fields[0].node.get_argument(name));
            let size = size.and_then(|literal| match plain(literal.node.clone(), self.variables) {
                Value::Number(size) => size.as_u64(),
                _ => None,
            });
            cost += price(inner, ty, size.unwrap_or(0));
            cost += if ty == "Mutation" { MUTATION_COST } else { 0 };
            let sets: Vec<_> = fields.iter().map(|field| &field.node.selection_set.node).collect();
            // Behind an interface may be anything; a customer is what costs most.
            cost += self.requested_set(&sets, if self.schema.is_interface(inner) { "Customer" } else { inner });
        }
        cost
    }
}

fn root_type(operation: &OperationDefinition) -> &'static str {
    if operation.ty == OperationType::Mutation { "Mutation" } else { "QueryRoot" }
}

/// Points for one object: a payload and what it directly holds come with the mutation's own points, nodes with their connection's.
fn price(ty: &str, parent: &str, size: u64) -> u64 {
    if ty.ends_with("Connection") {
        connection_cost(size)
    } else {
        let free = ["Payload", "Connection", "Edge"].iter().any(|end| parent.ends_with(end)) || ty.ends_with("Payload");
        u64::from(!free)
    }
}
