//! The calls of set-up, in the notation of each side. Decides nothing.

use serde_json::{Value, json};

use super::wanted::{Definition, Subscription, Webhook};
use crate::model::{Call, Effect, Method, Request};

/// Entries in a page of a list.
const PAGE: usize = 100;

const SHOP_FACTS: &str =
    "query ShopFacts { shop { ianaTimezone currencyCode } currentAppInstallation { accessScopes { handle } } }";
const DEFINITIONS: &str = "query Definitions($first: Int!, $after: String) { \
    metafieldDefinitions(ownerType: CUSTOMER, first: $first, after: $after) { \
    nodes { namespace key type { name } access { storefront } } pageInfo { hasNextPage endCursor } } }";
const SUBSCRIPTIONS: &str = "query Subscriptions($first: Int!, $after: String) { \
    webhookSubscriptions(first: $first, after: $after) { \
    nodes { id topic uri format includeFields filter metafieldNamespaces metafields { namespace key } } \
    pageInfo { hasNextPage endCursor } } }";
const DEFINE: &str = "mutation Define($definition: MetafieldDefinitionInput!) { \
    metafieldDefinitionCreate(definition: $definition) { createdDefinition { id } userErrors { field message code } } }";
const SUBSCRIBE: &str = "mutation Subscribe($topic: WebhookSubscriptionTopic!, $webhookSubscription: WebhookSubscriptionInput!) { \
    webhookSubscriptionCreate(topic: $topic, webhookSubscription: $webhookSubscription) { \
    webhookSubscription { id } userErrors { field message } } }";
const RESUBSCRIBE: &str = "mutation Resubscribe($id: ID!, $webhookSubscription: WebhookSubscriptionInput!) { \
    webhookSubscriptionUpdate(id: $id, webhookSubscription: $webhookSubscription) { \
    webhookSubscription { id } userErrors { field message } } }";

pub fn shop_facts() -> Call {
    graphql(SHOP_FACTS, json!({}), Effect::Read)
}

pub fn definitions(after: Option<&str>) -> Call {
    graphql(DEFINITIONS, json!({ "first": PAGE, "after": after }), Effect::Read)
}

pub fn subscriptions(after: Option<&str>) -> Call {
    graphql(SUBSCRIPTIONS, json!({ "first": PAGE, "after": after }), Effect::Read)
}

/// Creates a metafield definition. Not repeatable: Shopify refuses a second time, and that refusal would hide the
/// success of the first call.
pub fn define(wanted: &Definition) -> Call {
    let mut definition = json!({
        "namespace": wanted.namespace, "key": wanted.key, "name": wanted.name, "type": wanted.kind,
        "ownerType": "CUSTOMER",
    });
    if wanted.public {
        definition["access"] = json!({ "storefront": "PUBLIC_READ" });
    }
    graphql(DEFINE, json!({ "definition": definition }), Effect::Once)
}

/// Subscribes to a webhook, without `includeFields`: the rules read most of a body, and Shopify drops reduced bodies
/// that have not changed as duplicates.
pub fn subscribe(wanted: &Subscription) -> Call {
    let variables = json!({ "topic": wanted.topic_enum, "webhookSubscription": input(wanted) });
    graphql(SUBSCRIBE, variables, Effect::Once)
}

/// Resets a subscription, including fields that somebody has added to it.
pub fn resubscribe(id: &str, wanted: &Subscription) -> Call {
    let mut input = input(wanted);
    (input["includeFields"], input["metafieldNamespaces"], input["filter"]) = (json!([]), json!([]), json!(""));
    graphql(RESUBSCRIBE, json!({ "id": id, "webhookSubscription": input }), Effect::Repeatable)
}

fn input(wanted: &Subscription) -> Value {
    let metafield = |(namespace, key): &(String, String)| json!({ "namespace": namespace, "key": key });
    let metafields: Vec<_> = wanted.metafields.iter().map(metafield).collect();
    json!({ "uri": wanted.uri, "format": "JSON", "metafields": metafields })
}

/// Asks whether the token is valid (Omneo's SDK, `resources/auth`).
pub fn verify() -> Call {
    rest(Method::Get, "/auth/verify".into(), None, Effect::Read)
}

/// Reads settings of the Omneo tenant (Omneo's SDK).
pub fn environment() -> Call {
    rest(Method::Get, "/settings/environment".into(), None, Effect::Read)
}

pub fn tokens() -> Call {
    rest(Method::Get, "/auth/access-tokens".into(), None, Effect::Read)
}

pub fn webhooks(page: usize) -> Call {
    let call = rest(Method::Get, "/webhooks".into(), None, Effect::Read);
    let query =
        [("page[size]", PAGE), ("page[number]", page)].map(|(name, value)| (name.to_owned(), value.to_string()));
    let Request::Rest { method, path, body, .. } = call.request else { return call };
    Call { request: Request::Rest { method, path, query: query.into(), body }, ..call }
}

pub fn create_webhook(wanted: &Webhook) -> Call {
    let mut body = webhook(wanted);
    (body["trigger"], body["namespace"]) = (json!(wanted.trigger), json!(wanted.namespace));
    rest(Method::Post, "/webhooks".into(), Some(body), Effect::Once)
}

pub fn change_webhook(id: &str, wanted: &Webhook) -> Call {
    let mut body = webhook(wanted);
    body["trigger"] = json!(wanted.trigger);
    rest(Method::Put, format!("/webhooks/{id}"), Some(body), Effect::Repeatable)
}

/// Switches a webhook off, regardless of its owner.
pub fn switch_webhook_off(id: &str) -> Call {
    rest(Method::Put, format!("/webhooks/{id}"), Some(json!({ "is_active": false })), Effect::Repeatable)
}

/// The values that our webhooks must have, besides trigger and namespace. Retries are on, so that webhooks which were
/// lost while the host was away come again.
pub fn webhook(wanted: &Webhook) -> Value {
    json!({
        "url": wanted.url, "is_active": true, "retry_hourly": true, "retry_daily": true,
        "extra_data_template": wanted.extra_data_template,
    })
}

fn graphql(document: &str, variables: Value, effect: Effect) -> Call {
    let request = Request::Graphql { document: document.into(), variables: variables.to_string() };
    Call { target: "shopify".into(), request, effect }
}

fn rest(method: Method, path: String, body: Option<Value>, effect: Effect) -> Call {
    let request = Request::Rest { method, path, query: vec![], body: body.map(|body| body.to_string()) };
    Call { target: "omneo".into(), request, effect }
}
