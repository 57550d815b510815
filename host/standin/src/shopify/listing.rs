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
    found: Vec<(Key, u64)>,
    arguments: &Map<String, Value>,
    render: impl Fn(u64) -> Value,
) -> Result<Value, Failed> {
    let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
    let refuse = |message: String| Failed { message, code: "BAD_REQUEST" };
    let size = |name: &str| given(name).and_then(Value::as_u64);
    let (size, is_first) = match (size("first"), size("last")) {
        (None, None) => return Err(refuse("you must provide one of first or last".to_owned())),
        (Some(_), Some(_)) => return Err(refuse("providing both first and last is not supported".to_owned())),
        (Some(first), None) => (first, true),
        (None, Some(last)) => (last, false),
    };
    if size > PAGE_MAX {
        return Err(refuse(format!("first or last cannot be more than {PAGE_MAX}")));
    }
    let place = |name: &str| -> Result<Option<(Key, u64)>, Failed> {
        let Some(cursor) = given(name).and_then(Value::as_str) else { return Ok(None) };
        let Some((like, _)) = found.first() else { return Ok(None) };
        let at = opened(cursor, like);
        Ok(Some(at.ok_or_else(|| refuse(format!("Invalid cursor for current pagination sort: {cursor}")))?))
    };
    let (after, before) = (place("after")?, place("before")?);
    let is_reversed = given("reverse") == Some(&Value::Bool(true));
    let size = usize::try_from(size).unwrap_or_default();
    let wanted = Wanted { after, before, is_reversed, is_first, size };
    let Window { shown, is_more_before, is_more_behind } = window(found, &wanted);
    let edges: Vec<_> = shown.iter().map(|entry| json!({ "node": render(entry.1), "cursor": cursor(entry) })).collect();
    let page_info = json!({
        "hasNextPage": is_more_behind,
        "hasPreviousPage": is_more_before,
        "startCursor": edges.first().map(|edge| &edge["cursor"]),
        "endCursor": edges.last().map(|edge| &edge["cursor"]),
    });
    let nodes: Vec<_> = edges.iter().map(|edge| edge["node"].clone()).collect();
    Ok(json!({ "nodes": nodes, "edges": edges, "pageInfo": page_info }))
}

/// So many entries from the beginning or the end of what is between two places.
struct Wanted {
    after: Option<(Key, u64)>,
    before: Option<(Key, u64)>,
    is_reversed: bool,
    is_first: bool,
    size: usize,
}

struct Window {
    shown: Vec<(Key, u64)>,
    is_more_before: bool,
    is_more_behind: bool,
}

/// Only what is shown is put in order: a page is a small part of a shop.
fn window(mut found: Vec<(Key, u64)>, wanted: &Wanted) -> Window {
    let Wanted { after, before, is_reversed, is_first, size } = wanted;
    let order = |a: &(Key, u64), b: &(Key, u64)| if *is_reversed { b.cmp(a) } else { a.cmp(b) };
    let count = found.len();
    found.retain(|entry| after.as_ref().is_none_or(|after| order(entry, after).is_gt()));
    let is_behind_after = found.len() < count;
    let count = found.len();
    found.retain(|entry| before.as_ref().is_none_or(|before| order(entry, before).is_lt()));
    let is_before_before = found.len() < count;
    let is_cut = found.len() > *size;
    if is_cut {
        let nearer = |a: &(Key, u64), b: &(Key, u64)| if *is_first { order(a, b) } else { order(b, a) };
        if *size > 0 {
            found.select_nth_unstable_by(size - 1, nearer);
        }
        found.truncate(*size);
    }
    found.sort_unstable_by(order);
    let (is_more_before, is_more_behind) = match is_first {
        true => (is_behind_after, is_cut || is_before_before),
        false => (is_cut || is_behind_after, is_before_before),
    };
    Window { shown: found, is_more_before, is_more_behind }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(numbers: &[i64]) -> Vec<(Key, u64)> {
        numbers.iter().map(|number| (Key::Number(*number), 1)).collect()
    }

    #[test]
    fn a_window_is_what_sorting_all_would_give() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let numbers: Vec<i64> = (0..random.usize(..9)).map(|_| random.i64(0..20)).collect();
            let at = |random: &mut fastrand::Rng| random.bool().then(|| (Key::Number(random.i64(0..20)), 1));
            let (after, before) = (at(&mut random), at(&mut random));
            let (is_reversed, is_first, size) = (random.bool(), random.bool(), random.usize(..5));
            let mut sorted = entries(&numbers);
            sorted.sort();
            if is_reversed {
                sorted.reverse();
            }
            let is_within = |entry: &(Key, u64)| {
                let beyond = |place: &Option<(Key, u64)>, less: bool| {
                    place.as_ref().is_none_or(|place| if less != is_reversed { entry < place } else { entry > place })
                };
                beyond(&after, false) && beyond(&before, true)
            };
            let within: Vec<_> = sorted.into_iter().filter(is_within).collect();
            let cut = within.len().saturating_sub(size);
            let expected = if is_first { &within[..within.len() - cut] } else { &within[cut..] };
            let wanted = Wanted { after, before, is_reversed, is_first, size };
            let window = window(entries(&numbers), &wanted);
            assert_eq!(window.shown, expected, "{numbers:?}");
            assert!(cut == 0 || if is_first { window.is_more_behind } else { window.is_more_before });
        }
    }
}
