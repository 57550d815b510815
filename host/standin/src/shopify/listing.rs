//! Pages of a whole shop: what a search leaves, in the order asked for, from a cursor on, and how many there are.
//! Knows nothing of what is listed; the cursor says after which value and id a page ended, so nothing that stays is missed
//! however the list changes meanwhile, and what moves to its end is met twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::graphql::Failed;

/// Shopify docs: of a page.
const PAGE_MAX: u64 = 250;
/// SDL: what a count stops at unless it is told otherwise.
const COUNT_LIMIT: u64 = 10_000;

/// By what a list is ordered: a number or a time, or a text. Ids break ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    fn read(text: &str, like: &Key) -> Option<Key> {
        Some(match like {
            Key::Number(_) => Key::Number(text.parse().ok()?),
            Key::Text(_) => Key::Text(text.to_owned()),
        })
    }

    fn text(&self) -> String {
        match self {
            Key::Number(number) => number.to_string(),
            Key::Text(text) => text.clone(),
        }
    }
}

/// The connection that the arguments ask for, out of all that the search has left; `render` shows the thing with an id.
pub(crate) fn page(
    mut found: Vec<(Key, u64)>,
    arguments: &Map<String, Value>,
    render: impl Fn(u64) -> Value,
) -> Result<Value, Failed> {
    let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
    let refuse = |message: String| Err(Failed { message, code: "BAD_REQUEST" });
    let size = |name: &str| given(name).and_then(Value::as_u64);
    let (first, last) = (size("first"), size("last"));
    let size = match (first, last) {
        (None, None) => return refuse("you must provide one of first or last".to_owned()),
        (Some(_), Some(_)) => return refuse("providing both first and last is not supported".to_owned()),
        (first, last) => first.or(last).unwrap_or_default(),
    };
    if size > PAGE_MAX {
        return refuse(format!("first or last cannot be more than {PAGE_MAX}"));
    }
    if !found.is_sorted() {
        found.sort();
    }
    if given("reverse") == Some(&Value::Bool(true)) {
        found.reverse();
    }
    let reversed = found.len() > 1 && found[0] > found[1];
    let place = |name: &str, inclusive: bool| -> Result<Option<usize>, Failed> {
        let Some(cursor) = given(name).and_then(Value::as_str) else { return Ok(None) };
        let Some(like) = found.first() else { return Ok(Some(0)) };
        let Some(at) = opened(cursor, &like.0) else {
            return Err(Failed {
                message: format!("Invalid cursor for current pagination sort: {cursor}"),
                code: "BAD_REQUEST",
            });
        };
        let is_before = |entry: &(Key, u64)| if reversed { *entry > at } else { *entry < at };
        Ok(Some(found.partition_point(|entry| is_before(entry) || inclusive && *entry == at)))
    };
    let (mut start, mut end) = (place("after", true)?.unwrap_or(0), place("before", false)?.unwrap_or(found.len()));
    end = end.max(start);
    let size = usize::try_from(size).unwrap_or_default();
    if first.is_some() {
        end = end.min(start.saturating_add(size));
    } else {
        start = start.max(end.saturating_sub(size));
    }
    let edges: Vec<_> =
        found[start..end].iter().map(|entry| json!({ "node": render(entry.1), "cursor": cursor(entry) })).collect();
    let page_info = json!({
        "hasNextPage": end < found.len(),
        "hasPreviousPage": start > 0,
        "startCursor": edges.first().map(|edge| &edge["cursor"]),
        "endCursor": edges.last().map(|edge| &edge["cursor"]),
    });
    let nodes: Vec<_> = edges.iter().map(|edge| edge["node"].clone()).collect();
    Ok(json!({ "nodes": nodes, "edges": edges, "pageInfo": page_info }))
}

/// How many there are, up to the limit asked for.
pub(crate) fn count(found: usize, arguments: &Map<String, Value>) -> Value {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    let limit = arguments.get("limit").map_or(Some(COUNT_LIMIT), Value::as_u64);
    match limit {
        Some(limit) if found > limit => json!({ "count": limit, "precision": "AT_LEAST" }),
        _ => json!({ "count": found, "precision": "EXACT" }),
    }
}

/// As recorded: `{"last_id":…,"last_value":"…"}` in base64.
fn cursor((key, id): &(Key, u64)) -> String {
    STANDARD.encode(format!(r#"{{"last_id":{id},"last_value":{}}}"#, json!(key.text())))
}

fn opened(cursor: &str, like: &Key) -> Option<(Key, u64)> {
    let value: Value = serde_json::from_slice(&STANDARD.decode(cursor).ok()?).ok()?;
    Some((Key::read(value["last_value"].as_str()?, like)?, value["last_id"].as_u64()?))
}
