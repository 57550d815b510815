//! The table of REST endpoints: what there is and what each requires.
//! Knows nothing of what they do.

use super::addresses::REQUIRED as ADDRESS_REQUIRED;
use super::commerce::SALE_REQUIRED;

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
