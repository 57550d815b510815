//! What a field's arguments choose: the page of a connection, one metafield of many.
//! Knows nothing of documents.

use serde_json::{Map, Value, json};

/// In an object: the items of a connection, from which the arguments choose.
pub(crate) const ITEMS: &str = "__items";
/// In an object: the metafields of which the arguments choose one.
pub(crate) const PICK: &str = "__pick";

/// In an object that has nothing but `__typename` and `id`: the rest of it is to be had by its id.
pub(crate) const LINK: &str = "__link";

/// Applies a field's arguments to the two special objects.
pub(crate) fn shape(value: Value, arguments: &Map<String, Value>) -> Value {
    if let Some(items) = value.get(ITEMS).and_then(Value::as_array) {
        return page(items, arguments);
    }
    let Some(choices) = value.get(PICK).and_then(Value::as_array) else { return value };
    let same = |item: &&Value| {
        item["key"] == arguments["key"]
            && arguments.get("namespace").is_none_or(|namespace| item["namespace"] == *namespace)
    };
    choices.iter().find(same).cloned().unwrap_or_default()
}

fn page(items: &[Value], arguments: &Map<String, Value>) -> Value {
    let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
    let keys = given("keys").and_then(Value::as_array);
    let full_key = |item: &Value| {
        json!(format!(
            "{}.{}",
            item["namespace"].as_str().unwrap_or_default(),
            item["key"].as_str().unwrap_or_default()
        ))
    };
    let kept = items.iter().filter(|item| given("namespace").is_none_or(|namespace| item["namespace"] == *namespace));
    let mut kept: Vec<_> =
        kept.filter(|item| keys.is_none_or(|keys| keys.contains(&full_key(item)))).cloned().collect();
    // Shipping that an edit has taken off is shown where it is asked for.
    let with_removals = given("includeRemovals") == Some(&Value::Bool(true));
    kept.retain(|item| with_removals || item["isRemoved"] != true);
    if given("reverse") == Some(&Value::Bool(true)) {
        kept.reverse();
    }
    let number = |name: &str| given(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let cursor = |name: &str| given(name).and_then(Value::as_str).and_then(|text| text.parse::<usize>().ok());
    let (mut start, mut end) = (
        cursor("after").map_or(0, |at| at + 1).min(kept.len()),
        cursor("before").unwrap_or(kept.len()).min(kept.len()),
    );
    match (number("first"), number("last")) {
        (Some(first), _) => end = end.min(start + first),
        (None, Some(last)) => start = start.max(end.saturating_sub(last)),
        (None, None) => {}
    }
    let nodes = kept.get(start..end).unwrap_or_default();
    let edges: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| json!({ "node": node, "cursor": (start + at).to_string() }))
        .collect();
    let page_info = json!({
        "hasNextPage": end < kept.len(),
        "hasPreviousPage": start > 0,
        "startCursor": edges.first().map(|edge| &edge["cursor"]),
        "endCursor": edges.last().map(|edge| &edge["cursor"]),
    });
    json!({ "nodes": nodes, "edges": edges, "pageInfo": page_info })
}
