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
    endpoint("GET", "/profiles", &[]),
    endpoint("POST", "/profiles", &["email"]),
    endpoint("GET", "/profiles/{id}", &[]),
    endpoint("PUT", "/profiles/{id}", &[]),
    endpoint("DELETE", "/profiles/{id}", &[]),
    endpoint("DELETE", "/profiles/{id}/purge", &[]),
    endpoint("GET", "/profiles/{id}/identities", &[]),
    endpoint("POST", "/profiles/{id}/identities", &["handle", "identifier"]),
    endpoint("GET", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("DELETE", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("GET", "/profiles/{id}/attributes/comms", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/comms", &[]),
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
    endpoint("PUT", "/profiles/{id}/update-type", &["profile_type"]),
    endpoint("POST", "/profiles/{id}/custom-event", &["event"]),
    endpoint("POST", "/profiles/{id}/redeem", &["amount"]),
    endpoint("GET", "/profiles/{id}/balances", &[]),
    endpoint("GET", "/profiles/{id}/orders", &[]),
    endpoint("GET", "/profiles/{id}/tiers", &[]),
    endpoint("PUT", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("DELETE", "/profiles/{id}/identities/{handle}", &[]),
    endpoint("GET", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("PUT", "/profiles/{id}/identities/id/{identity}", &[]),
    endpoint("GET", "/profiles/{id}/attributes/appearance", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/appearance", &[]),
    endpoint("GET", "/profiles/{id}/attributes/custom", &[]),
    endpoint("GET", "/profiles/{id}/attributes/custom/{attribute}", &[]),
    endpoint("GET", "/profiles/{id}/attributes/dates", &[]),
    endpoint("PUT", "/profiles/{id}/attributes/dates", &[]),
    endpoint("GET", "/identities", &[]),
    endpoint("GET", "/identities/search-profile/{identifier}", &[]),
    endpoint("GET", "/tags", &[]),
    endpoint("POST", "/tags", &["handle"]),
    endpoint("POST", "/orders/queue", &[]),
    endpoint("POST", "/transactions/queue", &[]),
    endpoint("POST", "/transactions/{id}/event-trigger", &["event"]),
    endpoint("GET", "/transactions/{id}/items", &[]),
    endpoint("POST", "/products", &["external_id", "handle", "title", "brand", "variants"]),
    endpoint("PUT", "/products/{id}", &[]),
    endpoint("DELETE", "/products/{id}", &[]),
    endpoint("GET", "/products/{id}/variants", &[]),
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

/// Why Omneo would not take a request as it is written, whatever it holds of data: there is no such endpoint, or its body
/// lacks what is required. `path` is the one below `/api/v3`; `body` is JSON, or empty.
pub fn refusal(method: &str, path: &str, body: &str) -> Option<String> {
    let endpoint = match find(ENDPOINTS.iter().chain(ELSEWHERE), method, path) {
        Found::Endpoint(endpoint, _) => endpoint,
        Found::OtherMethods(methods) => return Some(format!("`{path}` takes {}, not {method}", methods.join(", "))),
        Found::Nothing => return Some(format!("there is no endpoint `{path}`")),
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
