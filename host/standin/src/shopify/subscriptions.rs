//! Webhook subscriptions: what is refused and what is kept. They are only noted: where webhooks go is the stand-in's own
//! setting.
//! Knows nothing of bodies.

use serde_json::{Map, Value, json};

use super::customer::Problem;
use super::mutations::refused;
use super::store::Store;
use crate::clock;

/// The part of `userErrors` that blames the address.
const ADDRESS: [&str; 2] = ["webhookSubscription", "callbackUrl"];

pub(crate) fn create(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let (topic, input) = (&arguments["topic"], &arguments["webhookSubscription"]);
    let uri = uri_of(input).unwrap_or_default();
    let problem = refusal(uri).or_else(|| {
        let taken = store.subscriptions.iter().any(|known| known["topic"] == *topic && known["uri"] == uri);
        taken.then_some("Address for this topic has already been taken")
    });
    if let Some(message) = problem {
        return refused("webhookSubscription", &[Problem::new(&ADDRESS, message, "INVALID")]);
    }
    let (id, now) = (store.next_id(), clock::utc(store.now_ms));
    let mut subscription = json!({
        "__typename": "WebhookSubscription", "callbackUrl": uri, "createdAt": now, "filter": "", "format": "JSON",
        "id": format!("gid://shopify/WebhookSubscription/{id}"), "includeFields": [], "legacyResourceId": id.to_string(),
        "metafieldNamespaces": [], "metafields": [], "name": null, "topic": topic, "updatedAt": now, "uri": uri,
    });
    put(&mut subscription, input);
    store.subscriptions.push(subscription.clone());
    json!({ "webhookSubscription": subscription, "userErrors": [] })
}

/// What the input names is replaced, a list as a whole; the rest stays.
pub(crate) fn update(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let (id, input, now) = (&arguments["id"], &arguments["webhookSubscription"], clock::utc(store.now_ms));
    let Some(known) = store.subscriptions.iter_mut().find(|known| known["id"] == *id) else {
        return not_found("webhookSubscription");
    };
    if let Some(message) = uri_of(input).and_then(refusal) {
        return refused("webhookSubscription", &[Problem::new(&ADDRESS, message, "INVALID")]);
    }
    put(known, input);
    known["updatedAt"] = json!(now);
    json!({ "webhookSubscription": known, "userErrors": [] })
}

pub(crate) fn delete(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let (id, before) = (&arguments["id"], store.subscriptions.len());
    store.subscriptions.retain(|known| known["id"] != *id);
    if store.subscriptions.len() == before {
        return not_found("deletedWebhookSubscriptionId");
    }
    json!({ "deletedWebhookSubscriptionId": id, "userErrors": [] })
}

fn not_found(what: &str) -> Value {
    refused(what, &[Problem::new(&["id"], "Webhook subscription does not exist", "NOT_FOUND")])
}

fn uri_of(input: &Value) -> Option<&str> {
    input["uri"].as_str().or(input["callbackUrl"].as_str())
}

/// Recorded answers.
fn refusal(uri: &str) -> Option<&'static str> {
    match uri.split("://").next() {
        Some("") => Some("Address can't be blank"),
        Some("http") => Some("Address protocol http:// is not supported"),
        _ => None,
    }
}

fn put(subscription: &mut Value, input: &Value) {
    if let Some(uri) = uri_of(input) {
        (subscription["uri"], subscription["callbackUrl"]) = (json!(uri), json!(uri));
    }
    for key in ["includeFields", "metafieldNamespaces", "metafields", "filter", "name"] {
        if let Some(given) = input.get(key).filter(|given| !given.is_null()) {
            subscription[key] = given.clone();
        }
    }
}
