//! Bodies of webhooks and the flat picture of a customer, in the names and shapes of API version 2025-01 and later.
//! Knows nothing of when a webhook is due.

use serde_json::{Map, Value, json};

use super::model::{Address, Consent, Customer, Facts};
use crate::clock;

pub(crate) fn gid(ty: &str, id: u64) -> String {
    format!("gid://shopify/{ty}/{id}")
}

/// The body of app/uninstalled: the shop, as REST shows it (Shopify docs: webhook topics); the main part of it.
pub(crate) fn shop(facts: &Facts) -> Value {
    json!({
        "id": facts.shop_id,
        "name": facts.shop.split('.').next(),
        "email": format!("owner@{}", facts.shop),
        "domain": facts.shop,
        "myshopify_domain": facts.shop,
        "currency": facts.currency,
        "iana_timezone": facts.timezone,
        "taxes_included": facts.taxes_included,
    })
}

/// The body of customers/create and customers/update: no tags, no consent, no totals (Shopify changelog, 2025-01).
pub(crate) fn customer(facts: &Facts, customer: &Customer) -> Value {
    let mut body = json!({
        "id": customer.id,
        "email": customer.email,
        "created_at": clock::local(customer.created_ms, facts.offset_minutes),
        "updated_at": clock::local(customer.updated_ms, facts.offset_minutes),
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "state": customer.state,
        "note": customer.note,
        "verified_email": customer.verified_email,
        "multipass_identifier": null,
        "tax_exempt": customer.tax_exempt,
        "currency": facts.currency,
        "phone": customer.phone,
        "addresses": addresses(customer),
        "tax_exemptions": customer.tax_exemptions,
        "admin_graphql_api_id": gid("Customer", customer.id),
    });
    if let Some(default) = customer.addresses.iter().find(|address| Some(address.id) == customer.default_address) {
        body["default_address"] = address(customer, default);
    }
    body
}

pub(crate) fn tags(customer: &Customer, tags: &[&String], now_ms: i64) -> Value {
    let occurred_at = clock::utc(now_ms).replace('Z', ".000Z");
    json!({ "customerId": gid("Customer", customer.id), "tags": tags, "occurredAt": occurred_at })
}

pub(crate) fn email_consent(facts: &Facts, customer: &Customer) -> Value {
    let consent = consent(facts, &customer.email_consent);
    json!({ "customer_id": customer.id, "email_address": customer.email, "email_marketing_consent": consent })
}

pub(crate) fn sms_consent(facts: &Facts, customer: &Customer) -> Value {
    let mut consent = consent(facts, &customer.sms_consent);
    consent["consent_collected_from"] = json!("other");
    json!({ "id": customer.id, "phone": customer.phone, "sms_marketing_consent": consent })
}

/// What tests see of a customer: the webhook body with tags, consent and metafields (`"omneo.profile_id": "…"`).
pub(crate) fn flat(facts: &Facts, shown: &Customer) -> Value {
    let mut body = customer(facts, shown);
    body["tags"] = json!(shown.tags);
    body["locale"] = json!(shown.locale);
    body["email_marketing_consent"] = shown.email.as_ref().map(|_| consent(facts, &shown.email_consent)).into();
    body["sms_marketing_consent"] = shown.phone.as_ref().map(|_| consent(facts, &shown.sms_consent)).into();
    let metafields =
        shown.metafields.iter().map(|field| (format!("{}.{}", field.namespace, field.key), json!(field.value)));
    body["metafields"] = metafields.collect::<Map<_, _>>().into();
    body
}

fn consent(facts: &Facts, consent: &Consent) -> Value {
    let at = consent.at_ms.map(|at| clock::local(at, facts.offset_minutes));
    json!({ "state": consent.state, "opt_in_level": consent.level, "consent_updated_at": at })
}

fn addresses(customer: &Customer) -> Vec<Value> {
    customer.addresses.iter().map(|one| address(customer, one)).collect()
}

fn address(customer: &Customer, address: &Address) -> Value {
    let name = [address.get("firstName"), address.get("lastName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    json!({
        "id": address.id,
        "customer_id": customer.id,
        "first_name": address.get("firstName"),
        "last_name": address.get("lastName"),
        "company": address.get("company"),
        "address1": address.get("address1"),
        "address2": address.get("address2"),
        "city": address.get("city"),
        "province": address.get("province"),
        "country": address.get("country"),
        "zip": address.get("zip"),
        "phone": address.get("phone"),
        "name": name,
        "province_code": address.get("provinceCode"),
        "country_code": address.get("countryCode"),
        "country_name": address.get("country"),
        "default": Some(address.id) == customer.default_address,
    })
}
