//! The table of REST endpoints: what there is, what each requires, and which one a request is for.
//! Knows nothing of what they do.

use serde_json::{Map, Value};

use super::addresses::REQUIRED as ADDRESS_REQUIRED;
use super::commerce::SALE_REQUIRED;
use super::store::lacking;

/// One endpoint below `/api/v3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub method: &'static str,
    /// With `{names}` for the parts that vary.
    pub path: &'static str,
    /// Keys of the body without which the answer is 422.
    pub required: &'static [&'static str],
}

const fn endpoint(method: &'static str, path: &'static str, required: &'static [&'static str]) -> Endpoint {
    Endpoint { method, path, required }
}

/// Every endpoint there is here, the more special before the more general (Omneo SDK and docs).
pub const ENDPOINTS: &[Endpoint] = &[
    endpoint("GET", "/auth/verify", &[]),
    endpoint("GET", "/auth/access-tokens", &[]),
    endpoint("GET", "/settings/environment", &[]),
    endpoint("POST", "/profiles/search-id", &["type", "id"]),
    endpoint("POST", "/profiles/exists", &["type", "id"]),
    endpoint("POST", "/profiles/availability", &[]),
    endpoint("POST", "/profiles/merge", &["source_profile_id", "destination_profile_id"]),
    endpoint("POST", "/profiles/sync", &[]),
    endpoint("GET", "/profiles", &[]),
    endpoint("POST", "/profiles", &["email"]),
    endpoint("GET", "/profiles/{id}", &[]),
    endpoint("PUT", "/profiles/{id}", &[]),
    endpoint("DELETE", "/profiles/{id}", &[]),
    endpoint("DELETE", "/profiles/{id}/purge", &[]),
    endpoint("PUT", "/profiles/{id}/update-type", &["profile_type"]),
    endpoint("GET", "/profiles/{id}/resync", &[]),
    endpoint("GET", "/profiles/{id}/identities", &[]),
    endpoint("POST", "/profiles/{id}/identities", &["handle", "identifier"]),
    endpoint("GET", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("PUT", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("DELETE", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("GET", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("PUT", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("DELETE", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("GET", "/profiles/{id}/attributes/comms", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/comms", &[]),
    endpoint("GET", "/profiles/{id}/attributes/custom", &[]),
    endpoint("GET", "/profiles/{id}/attributes/custom/{attribute}", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/custom/{attribute}", &["type"]),
    endpoint("DELETE", "/profiles/{id}/attributes/custom/{attribute}", &[]),
    endpoint("GET", "/profiles/{id}/addresses", &[]),
    endpoint("POST", "/profiles/{id}/addresses", ADDRESS_REQUIRED),
    // What is there already need not come whole (Omneo docs: required on create).
    endpoint("POST", "/profiles/{id}/addresses/upsert", &[]),
    endpoint("GET", "/profiles/{id}/addresses/{address}", &[]),
    endpoint("PUT", "/profiles/{id}/addresses/{address}", &[]),
    endpoint("DELETE", "/profiles/{id}/addresses/{address}", &[]),
    endpoint("GET", "/profiles/{id}/transactions", &[]),
    endpoint("GET", "/identities", &[]),
    endpoint("GET", "/identities/search-profile/{identifier}", &[]),
    endpoint("GET", "/tags", &[]),
    endpoint("POST", "/tags", &["handle"]),
    endpoint("GET", "/tags/{id}", &[]),
    endpoint("DELETE", "/tags/{id}", &[]),
    endpoint("GET", "/orders", &[]),
    endpoint("POST", "/orders", SALE_REQUIRED),
    endpoint("GET", "/orders/{id}", &[]),
    endpoint("PUT", "/orders/{id}", &[]),
    endpoint("DELETE", "/orders/{id}", &[]),
    endpoint("POST", "/transactions/update-create", &[]),
    endpoint("GET", "/transactions/external/{external}", &[]),
    endpoint("GET", "/transactions", &[]),
    endpoint("POST", "/transactions", SALE_REQUIRED),
    endpoint("GET", "/transactions/{id}", &[]),
    endpoint("PUT", "/transactions/{id}", &[]),
    endpoint("DELETE", "/transactions/{id}", &[]),
    endpoint("POST", "/products/queue", &["external_id"]),
    endpoint("GET", "/products", &[]),
    endpoint("GET", "/products/{id}", &[]),
    endpoint("GET", "/locations", &[]),
    endpoint("POST", "/locations", &["name", "phone"]),
    endpoint("GET", "/locations/{id}", &[]),
    endpoint("PUT", "/locations/{id}", &[]),
    endpoint("DELETE", "/locations/{id}", &[]),
    endpoint("GET", "/webhooks", &[]),
    endpoint("POST", "/webhooks", &["trigger", "url", "namespace"]),
    endpoint("GET", "/webhooks/{id}", &[]),
    endpoint("PUT", "/webhooks/{id}", &[]),
    endpoint("DELETE", "/webhooks/{id}", &[]),
];

/// Endpoints that Omneo documents and that are not played here: a request to one is no mistake.
const ELSEWHERE: &[Endpoint] = &[
    endpoint("POST", "/profiles/batch", &["match_criteria", "profiles"]),
    endpoint("POST", "/profiles/{id}/custom-event", &["event"]),
    endpoint("POST", "/profiles/{id}/redeem", &["amount"]),
    endpoint("GET", "/profiles/{id}/balances", &[]),
    endpoint("GET", "/profiles/{id}/orders", &[]),
    endpoint("GET", "/profiles/{id}/tiers", &[]),
    endpoint("GET", "/profiles/{id}/attributes/appearance", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/appearance", &[]),
    endpoint("GET", "/profiles/{id}/attributes/dates", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/dates", &[]),
    endpoint("POST", "/orders/queue", &[]),
    endpoint("POST", "/transactions/queue", &[]),
    endpoint("POST", "/transactions/{id}/event-trigger", &["event"]),
    endpoint("GET", "/transactions/{id}/items", &[]),
    endpoint("POST", "/products", &["external_id", "handle", "title", "brand", "variants"]),
    endpoint("PUT", "/products/{id}", &[]),
    endpoint("DELETE", "/products/{id}", &[]),
    endpoint("GET", "/products/{id}/variants", &[]),
    // The rest of what Omneo's SDK for TypeScript calls (2026), the more special before the more general.
    endpoint("GET", "/achievements/definitions", &[]),
    endpoint("POST", "/achievements/definitions", &[]),
    endpoint("GET", "/audits", &[]),
    endpoint("POST", "/auth/api-tokens", &[]),
    endpoint("GET", "/automations", &[]),
    endpoint("POST", "/automations", &[]),
    endpoint("GET", "/benefits", &[]),
    endpoint("POST", "/benefits", &[]),
    endpoint("GET", "/benefits.count", &[]),
    endpoint("GET", "/benefits/definitions", &[]),
    endpoint("POST", "/benefits/definitions", &[]),
    endpoint("POST", "/benefits/extend", &[]),
    endpoint("GET", "/brands", &[]),
    endpoint("POST", "/brands", &[]),
    endpoint("GET", "/connections", &[]),
    endpoint("POST", "/connections", &[]),
    endpoint("GET", "/countries", &[]),
    endpoint("POST", "/countries", &[]),
    endpoint("GET", "/currencies", &[]),
    endpoint("GET", "/interactions", &[]),
    endpoint("POST", "/interactions", &[]),
    endpoint("GET", "/permissions", &[]),
    endpoint("GET", "/points", &[]),
    endpoint("POST", "/points", &[]),
    endpoint("GET", "/products/variants", &[]),
    endpoint("GET", "/profiles/attributes/custom", &[]),
    endpoint("GET", "/regions", &[]),
    endpoint("POST", "/regions", &[]),
    endpoint("GET", "/rewards", &[]),
    endpoint("POST", "/rewards", &[]),
    endpoint("GET", "/rewards/definitions", &[]),
    endpoint("POST", "/rewards/definitions", &[]),
    endpoint("GET", "/roles", &[]),
    endpoint("GET", "/settings", &[]),
    endpoint("GET", "/statuses", &[]),
    endpoint("POST", "/statuses", &[]),
    endpoint("GET", "/systems", &[]),
    endpoint("POST", "/systems", &[]),
    endpoint("GET", "/targets", &[]),
    endpoint("POST", "/targets", &[]),
    endpoint("GET", "/tenants/custom-fields", &[]),
    endpoint("POST", "/tenants/custom-fields", &[]),
    endpoint("GET", "/triggers", &[]),
    endpoint("POST", "/triggers", &[]),
    endpoint("GET", "/users", &[]),
    endpoint("POST", "/users", &[]),
    endpoint("GET", "/users/me", &[]),
    endpoint("DELETE", "/achievements/definitions/{a}", &[]),
    endpoint("GET", "/achievements/definitions/{a}", &[]),
    endpoint("PUT", "/achievements/definitions/{a}", &[]),
    endpoint("GET", "/audits/{a}", &[]),
    endpoint("DELETE", "/auth/api-tokens/{a}", &[]),
    endpoint("DELETE", "/automations/{a}", &[]),
    endpoint("GET", "/automations/{a}", &[]),
    endpoint("PUT", "/automations/{a}", &[]),
    endpoint("GET", "/automations/{a}/actions", &[]),
    endpoint("POST", "/automations/{a}/trigger", &[]),
    endpoint("GET", "/benefits/definitions/handle/{a}", &[]),
    endpoint("DELETE", "/benefits/definitions/{a}", &[]),
    endpoint("GET", "/benefits/definitions/{a}", &[]),
    endpoint("PUT", "/benefits/definitions/{a}", &[]),
    endpoint("POST", "/benefits/definitions/{a}/clone", &[]),
    endpoint("DELETE", "/benefits/{a}", &[]),
    endpoint("GET", "/benefits/{a}", &[]),
    endpoint("PUT", "/benefits/{a}", &[]),
    endpoint("DELETE", "/brands/{a}", &[]),
    endpoint("GET", "/brands/{a}", &[]),
    endpoint("PUT", "/brands/{a}", &[]),
    endpoint("DELETE", "/connections/{a}", &[]),
    endpoint("GET", "/connections/{a}", &[]),
    endpoint("DELETE", "/countries/{a}", &[]),
    endpoint("GET", "/countries/{a}", &[]),
    endpoint("PUT", "/countries/{a}", &[]),
    endpoint("DELETE", "/interactions/{a}", &[]),
    endpoint("GET", "/interactions/{a}", &[]),
    endpoint("PUT", "/interactions/{a}", &[]),
    endpoint("GET", "/permissions/{a}", &[]),
    endpoint("GET", "/points/{a}", &[]),
    endpoint("GET", "/profiles/{a}/aggregations", &[]),
    endpoint("GET", "/profiles/{a}/aggregations/calculate", &[]),
    endpoint("GET", "/profiles/{a}/benefits", &[]),
    endpoint("PUT", "/profiles/{a}/comms", &[]),
    endpoint("GET", "/profiles/{a}/connections", &[]),
    endpoint("GET", "/profiles/{a}/find-transactions", &[]),
    endpoint("GET", "/profiles/{a}/group_transactions", &[]),
    endpoint("GET", "/profiles/{a}/interactions", &[]),
    endpoint("GET", "/profiles/{a}/ledgers", &[]),
    endpoint("GET", "/profiles/{a}/lists", &[]),
    endpoint("POST", "/profiles/{a}/lists", &[]),
    endpoint("GET", "/profiles/{a}/points", &[]),
    endpoint("GET", "/profiles/{a}/regions", &[]),
    endpoint("POST", "/profiles/{a}/regions", &[]),
    endpoint("GET", "/profiles/{a}/rewards", &[]),
    endpoint("POST", "/profiles/{a}/tiers/assign", &[]),
    endpoint("GET", "/profiles/{a}/tiers/calculate", &[]),
    endpoint("GET", "/profiles/{a}/transaction-products", &[]),
    endpoint("GET", "/profiles/{a}/transactionitems/list/unassigned", &[]),
    endpoint("GET", "/profiles/{a}/transactions/claims", &[]),
    endpoint("DELETE", "/regions/{a}", &[]),
    endpoint("GET", "/regions/{a}", &[]),
    endpoint("PUT", "/regions/{a}", &[]),
    endpoint("DELETE", "/rewards/definitions/{a}", &[]),
    endpoint("GET", "/rewards/definitions/{a}", &[]),
    endpoint("PUT", "/rewards/definitions/{a}", &[]),
    endpoint("DELETE", "/rewards/{a}", &[]),
    endpoint("GET", "/rewards/{a}", &[]),
    endpoint("PUT", "/rewards/{a}", &[]),
    endpoint("GET", "/roles/{a}", &[]),
    endpoint("GET", "/settings/{a}", &[]),
    endpoint("PUT", "/settings/{a}", &[]),
    endpoint("DELETE", "/statuses/{a}", &[]),
    endpoint("GET", "/statuses/{a}", &[]),
    endpoint("PUT", "/statuses/{a}", &[]),
    endpoint("DELETE", "/systems/{a}", &[]),
    endpoint("GET", "/systems/{a}", &[]),
    endpoint("DELETE", "/targets/{a}", &[]),
    endpoint("GET", "/targets/{a}", &[]),
    endpoint("PUT", "/targets/{a}", &[]),
    endpoint("POST", "/transactions/{a}resend", &[]),
    endpoint("DELETE", "/triggers/{a}", &[]),
    endpoint("GET", "/triggers/{a}", &[]),
    endpoint("PUT", "/triggers/{a}", &[]),
    endpoint("GET", "/triggers/{a}/actions", &[]),
    endpoint("DELETE", "/users/{a}", &[]),
    endpoint("GET", "/users/{a}", &[]),
    endpoint("PUT", "/users/{a}", &[]),
    endpoint("POST", "transactions/items/{a}/resend", &[]),
    endpoint("DELETE", "/products/{a}/variants/{b}", &[]),
    endpoint("GET", "/products/{a}/variants/{b}", &[]),
    endpoint("PUT", "/products/{a}/variants/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/attributes/dates/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/benefits/{b}", &[]),
    endpoint("GET", "/profiles/{a}/benefits/{b}", &[]),
    endpoint("PUT", "/profiles/{a}/benefits/{b}", &[]),
    endpoint("POST", "/profiles/{a}/benefits/{b}/redeem", &[]),
    endpoint("PUT", "/profiles/{a}/connections/{b}", &[]),
    endpoint("GET", "/profiles/{a}/connections/{b}/profileInfo", &[]),
    endpoint("GET", "/profiles/{a}/interaction/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/interactions/{b}", &[]),
    endpoint("GET", "/profiles/{a}/ledgers/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/lists/{b}", &[]),
    endpoint("GET", "/profiles/{a}/lists/{b}", &[]),
    endpoint("PUT", "/profiles/{a}/lists/{b}", &[]),
    endpoint("GET", "/profiles/{a}/lists/{b}/items", &[]),
    endpoint("GET", "/profiles/{a}/points/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/regions/{b}", &[]),
    endpoint("PUT", "/profiles/{a}/regions/{b}", &[]),
    endpoint("GET", "/profiles/{a}/rewards/{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/transactions/claims/{b}", &[]),
    endpoint("GET", "/profiles/{a}/transactions/claims/{b}", &[]),
    endpoint("GET", "/profiles/{a}/transactions/{b}", &[]),
    endpoint("DELETE", "/tenants/custom-fields/{a}:{b}", &[]),
    endpoint("PUT", "/tenants/custom-fields/{a}:{b}", &[]),
    endpoint("DELETE", "/profiles/{a}/attributes/custom/{b}:{c}", &[]),
    endpoint("GET", "/profiles/{a}/attributes/custom/{b}:{c}", &[]),
    endpoint("PUT", "/profiles/{a}/attributes/custom/{b}:{c}", &[]),
    endpoint("DELETE", "/profiles/{a}/lists/{b}/items/{c}", &[]),
    endpoint("GET", "/profiles/{a}/lists/{b}/items/{c}", &[]),
    endpoint("POST", "/profiles/{a}/lists/{b}/items/{c}", &[]),
    endpoint("PUT", "/profiles/{a}/lists/{b}/items/{c}", &[]),
];

/// Which endpoint a request is for.
pub(crate) enum Found<'a> {
    /// With the values of its `{names}`.
    Endpoint(&'a Endpoint, Vec<String>),
    /// The path is known with these methods only.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Looks a request up; `path` is the one below `/api/v3`.
pub(crate) fn find<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>, method: &str, path: &str) -> Found<'a> {
    let mut methods = vec![];
    for endpoint in endpoints {
        match matched(endpoint.path, path) {
            Some(parts) if endpoint.method == method => return Found::Endpoint(endpoint, parts),
            Some(_) => methods.push(endpoint.method),
            None => {}
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods) }
}

/// The values of the template's `{names}`, if the path fits it.
fn matched(template: &str, path: &str) -> Option<Vec<String>> {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.trim_end_matches('/').split('/').collect());
    if template.len() != path.len() {
        return None;
    }
    let mut values = Vec::new();
    for (wanted, given) in template.into_iter().zip(path) {
        if wanted.starts_with('{') && !given.is_empty() {
            values.push(given.to_owned());
        } else if wanted != given {
            return None;
        }
    }
    Some(values)
}

/// What is not known of a request: an endpoint that neither Omneo's documentation nor its SDK has. It may be there all the same.
pub fn unknown(path: &str) -> Option<String> {
    let is_known = ENDPOINTS.iter().chain(ELSEWHERE).any(|endpoint| matched(endpoint.path, path).is_some());
    (!is_known).then(|| format!("neither Omneo's documentation nor its SDK has `{path}`"))
}

/// Why Omneo would not take a request as it is written, whatever it holds of data: its endpoint takes other methods, or its body
/// lacks what is required. `path` is the one below `/api/v3`; `body` is JSON, or empty.
pub fn refusal(method: &str, path: &str, body: &str) -> Option<String> {
    let endpoint = match find(ENDPOINTS.iter().chain(ELSEWHERE), method, path) {
        Found::Endpoint(endpoint, _) => endpoint,
        Found::OtherMethods(methods) => return Some(format!("`{path}` takes {}, not {method}", methods.join(", "))),
        Found::Nothing => return None,
    };
    let empty = Map::new();
    let parsed = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or(Value::Bool(false)) };
    let body = match &parsed {
        Value::Object(body) => body,
        Value::Null => &empty,
        _ => return Some("the body is no JSON object".to_owned()),
    };
    let missing = lacking(body, endpoint.required);
    (!missing.is_empty()).then(|| format!("the body lacks `{}`, which is required", missing.join("`, `")))
}
