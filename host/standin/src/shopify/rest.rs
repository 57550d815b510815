//! The one resource of the REST Admin API that is still answered: a list of orders, as their webhooks have them, in pages that a
//! link leads through. Knows nothing of GraphQL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::lists::{created, processed, time};
use super::store::Store;
use crate::clock;
use crate::query::encode;
use crate::server::{Answer, Call};

/// Shopify docs.
const PAGE: usize = 50;
const PAGE_MAX: usize = 250;
/// Shopify docs: what may stand beside `page_info`.
const BESIDE_PAGE_INFO: [&str; 3] = ["limit", "fields", "page_info"];

/// `GET /admin/api/{version}/orders.json`. Newest first, as Shopify lists them; `site` is where the link of the next page leads.
pub(crate) fn orders(store: &Store, call: &Call, site: &str) -> Answer {
    let refuse = |status: u16, errors: Value| Answer::new(status, json!({ "errors": errors }));
    if store.acting.as_ref().is_some_and(|acting| !acting.may_use_rest) {
        // Shopify docs: public apps of 2025-04 and later have GraphQL alone.
        return refuse(
            403,
            json!("[API] This action requires the GraphQL Admin API; the REST Admin API is not available to this app"),
        );
    }
    let scopes = store.acting.as_ref().map_or(&store.facts.scopes, |acting| &acting.scopes);
    if !scopes.iter().any(|scope| ["read_orders", "write_orders", "read_all_orders"].contains(&scope.as_str())) {
        return refuse(403, json!("[API] This action requires merchant approval for read_orders scope."));
    }
    let given = |name: &str| call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let asked = match given("page_info") {
        None => call.query.clone(),
        Some(cursor) if call.query.iter().all(|(key, _)| BESIDE_PAGE_INFO.contains(&key.as_str())) => {
            match STANDARD.decode(&cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(text) => crate::query::pairs(&text),
                None => return refuse(400, json!({ "page_info": "Invalid value." })),
            }
        }
        Some(_) => return refuse(400, json!({ "page_info": "Cannot be combined with other parameters." })),
    };
    let wanted = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let limit = given("limit").or_else(|| wanted("limit").map(str::to_owned));
    let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let from_ms = match scopes.iter().any(|scope| scope == "read_all_orders") {
        true => i64::MIN,
        false => store.now_ms - 60 * 86_400_000,
    };
    let bound = |name: &str| wanted(name).and_then(clock::parse);
    let within = |key: &str, own: i64| {
        bound(&format!("{key}_min")).is_none_or(|min| own >= min)
            && bound(&format!("{key}_max")).is_none_or(|max| own <= max)
    };
    // Without a status, those that are open.
    let status = wanted("status").unwrap_or("open");
    let has_status = |order: &Value| match status {
        "any" => true,
        "cancelled" => order["cancelled_at"].is_string(),
        "closed" => order["closed_at"].is_string(),
        _ => !order["cancelled_at"].is_string() && !order["closed_at"].is_string(),
    };
    let before: Option<(i64, u64)> = wanted("last").and_then(|last| {
        let (ms, id) = last.split_once(',')?;
        Some((ms.parse().ok()?, id.parse().ok()?))
    });
    let mut found: Vec<(i64, u64)> = store
        .orders
        .iter()
        .filter(|(_, order)| {
            created(order) >= from_ms
                && has_status(order)
                && within("created_at", created(order))
                && within("processed_at", processed(order))
                && within("updated_at", time(order, "updated_at"))
        })
        .map(|(id, order)| (processed(order), *id))
        .filter(|entry| before.is_none_or(|before| *entry < before))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let more = found.len() > limit;
    found.truncate(limit);
    let orders: Vec<_> = found.iter().map(|(_, id)| store.orders[id].clone()).collect();
    let answer = Answer::new(200, json!({ "orders": orders }));
    let Some((ms, id)) = found.last().filter(|_| more) else { return answer };
    let kept = asked.iter().filter(|(key, _)| key != "last" && key != "limit");
    let kept = kept.map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    let cursor: Vec<_> = kept.chain([format!("last={ms}%2C{id}")]).collect();
    let cursor = encode(&STANDARD.encode(cursor.join("&")));
    answer.with("link", format!("<{site}{}?limit={limit}&page_info={cursor}>; rel=\"next\"", call.path))
}
