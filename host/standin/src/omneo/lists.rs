//! Filters, order and pages of a list.
//! Knows nothing of what is listed.

use serde_json::{Value, json};

use super::store::text;
use crate::server::{Answer, Call};

const PAGE_SIZE: usize = 15;
const PAGE_SIZE_MAX: usize = 250;

/// A Laravel page of what the query's filters leave.
pub(crate) fn list(rows: Vec<Value>, call: &Call) -> Answer {
    let get = |name: &str| call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut kept: Vec<_> =
        rows.into_iter().filter(|row| call.query.iter().all(|(key, value)| passes(row, key, value))).collect();
    if let Some(sort) = get("sort") {
        let key = sort.trim_start_matches('-');
        kept.sort_by_key(|row| text(&row[key]));
        if sort.starts_with('-') {
            kept.reverse();
        }
    }
    let size: usize = get("page[size]")
        .or(get("limit"))
        .and_then(|size| size.parse().ok())
        .unwrap_or(PAGE_SIZE)
        .clamp(1, PAGE_SIZE_MAX);
    let page: usize = get("page[number]").or(get("page")).and_then(|page| page.parse().ok()).unwrap_or(1).max(1);
    let (total, last) = (kept.len(), kept.len().div_ceil(size).max(1));
    let skipped = (page - 1).saturating_mul(size);
    let shown: Vec<_> = kept.into_iter().skip(skipped).take(size).collect();
    let link = |page: usize| format!("http://{}{}?page[number]={page}", call.header("host"), call.path);
    let links = json!({
        "first": link(1),
        "last": link(last),
        "prev": (page > 1).then(|| link(page - 1)),
        "next": (page < last).then(|| link(page + 1)),
    });
    let (from, to) = (skipped + 1, skipped + shown.len());
    let meta = json!({
        "current_page": page,
        "from": (!shown.is_empty()).then_some(from),
        "last_page": last,
        "links": [],
        "path": format!("http://{}{}", call.header("host"), call.path),
        "per_page": size,
        "to": (!shown.is_empty()).then_some(to),
        "total": total,
    });
    Answer::new(200, json!({ "data": shown, "links": links, "meta": meta }))
}

/// `filter[field]=value`, `filter[list.field]=value` and `filter[field][op]=value`; anything else is no filter.
fn passes(row: &Value, key: &str, wanted: &str) -> bool {
    let Some(rest) = key.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')) else { return true };
    let (field, op) = rest.split_once("][").unwrap_or((rest, "eq"));
    let (field, inner) = field.split_once('.').unwrap_or((field, ""));
    let values = match &row[field] {
        Value::Array(items) => items
            .iter()
            .map(|item| text(if inner.is_empty() || item.is_string() { item } else { &item[inner] }))
            .collect(),
        value => vec![text(value)],
    };
    let values: Vec<_> = values.into_iter().flatten().collect();
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    match op {
        "ne" => !any(&|value| value == wanted),
        "gt" => any(&|value| value > wanted),
        "gte" => any(&|value| value >= wanted),
        "lt" => any(&|value| value < wanted),
        "lte" => any(&|value| value <= wanted),
        "in" => any(&|value| wanted.split(',').any(|one| one == value)),
        _ => any(&|value| value == wanted),
    }
}
