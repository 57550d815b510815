//! Webhook subscriptions: what is refused and what is kept. Those of the fixed token are only noted, since where its webhooks
//! go is the stand-in's own setting; those of an app are sent to.
//! Knows nothing of bodies.

use serde_json::{Map, Value, json};

use super::model::Subscription;
use super::problem::{Problem, refused};
use super::store::Store;
use crate::clock;

/// Recorded answer, for addresses and for filters.
const BYTES_MAX: usize = 65_535;
/// What an app that is sent events through AWS is known by there; that of the recordings.
const API_CLIENT: &str = "347082227713";
/// The part of `userErrors` that blames the address.
const ADDRESS: [&str; 2] = ["webhookSubscription", "callbackUrl"];

pub(crate) fn create(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let (topic, input) = (&arguments["topic"], &arguments["webhookSubscription"]);
    let uri = uri_of(input).unwrap_or_default();
    let mut problems = problems(Some(uri), input);
    let is_taken =
        |known: &Subscription| store.is_own(known) && known.value["topic"] == *topic && known.value["uri"] == uri;
    if problems.is_empty() && store.subscriptions.iter().any(is_taken) {
        problems.push(Problem::new(&ADDRESS, "Address for this topic has already been taken", "INVALID"));
    }
    if !problems.is_empty() {
        return refused("webhookSubscription", &problems);
    }
    let (id, now) = (store.next_id(), clock::utc(store.now_ms));
    let mut subscription = json!({
        "__typename": "WebhookSubscription", "callbackUrl": uri, "createdAt": now, "filter": null, "format": "JSON",
        "id": format!("gid://shopify/WebhookSubscription/{id}"), "includeFields": [], "legacyResourceId": id.to_string(),
        "metafieldNamespaces": [], "metafields": [], "name": null, "topic": topic, "updatedAt": now, "uri": uri,
    });
    put(&mut subscription, input);
    let app = store.acting.as_ref().map(|acting| acting.client_id.clone());
    store.subscriptions.push(Subscription { app, value: subscription.clone() });
    json!({ "webhookSubscription": subscription, "userErrors": [] })
}

/// What the input names is replaced, a list as a whole; the rest stays.
pub(crate) fn update(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let (id, input, now) = (&arguments["id"], &arguments["webhookSubscription"], clock::utc(store.now_ms));
    let Some(at) = position(store, id) else { return not_found("webhookSubscription") };
    let problems = problems(uri_of(input), input);
    if !problems.is_empty() {
        return refused("webhookSubscription", &problems);
    }
    let known = &mut store.subscriptions[at].value;
    put(known, input);
    known["updatedAt"] = json!(now);
    json!({ "webhookSubscription": known, "userErrors": [] })
}

pub(crate) fn delete(store: &mut Store, arguments: &Map<String, Value>) -> Value {
    let id = &arguments["id"];
    let Some(at) = position(store, id) else { return not_found("deletedWebhookSubscriptionId") };
    store.subscriptions.remove(at);
    json!({ "deletedWebhookSubscriptionId": id, "userErrors": [] })
}

/// Where a subscription is that belongs to whoever asks.
fn position(store: &Store, id: &Value) -> Option<usize> {
    store.subscriptions.iter().position(|known| store.is_own(known) && known.value["id"] == *id)
}

fn not_found(what: &str) -> Value {
    refused(what, &[Problem::new(&["id"], "Webhook subscription does not exist", "NOT_FOUND")])
}

fn uri_of(input: &Value) -> Option<&str> {
    input["uri"].as_str().or(input["callbackUrl"].as_str()).map(str::trim)
}

/// Recorded answers.
fn problems(uri: Option<&str>, input: &Value) -> Vec<Problem> {
    let complaints = uri.map(complaints).unwrap_or_default();
    let mut problems: Vec<_> =
        complaints.into_iter().map(|message| Problem::new(&ADDRESS, message, "INVALID")).collect();
    let filter = input["filter"].as_str().unwrap_or_default();
    let complaint = if filter.len() > BYTES_MAX {
        Some("The specified filter exceeds the maximum allowed size.")
    } else if !filter.is_empty() && !filter.contains(':') {
        Some("The specified filter is invalid, please ensure you specify the field(s) you wish to filter on.")
    } else {
        None
    };
    problems.extend(complaint.map(|message| Problem::new(&ADDRESS[..1], message, "INVALID")));
    problems
}

/// Recorded answers, but for an address without a scheme.
fn complaints(uri: &str) -> Vec<String> {
    let told = |messages: &[&str]| messages.iter().map(ToString::to_string).collect();
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let rest = rest.trim_start_matches("//");
    match scheme {
        _ if uri.is_empty() => told(&["Address can't be blank"]),
        _ if uri.len() > BYTES_MAX => told(&["Address is too big (maximum is 64 KB)"]),
        "https" if !rest.is_empty() => vec![],
        // Unlike Shopify's own: a host beside the stand-in, for a demonstration or a test, has no certificate.
        "http" if rest.starts_with("127.0.0.1:") => vec![],
        "https" | "" => told(&["Address is invalid"]),
        "pubsub" => match rest.split_once(':').filter(|(_, topic)| !topic.is_empty()) {
            None => told(&[
                "Address protocol pubsub:// is not supported",
                "Address is not a valid GCP pub/sub format. Format should be pubsub://project:topic",
            ]),
            Some((project, _)) if !project.starts_with(|c: char| c.is_ascii_lowercase()) => {
                told(&["Address is invalid", "Address is not a valid GCP project id."])
            }
            Some((_, topic)) if topic.starts_with("goog") => {
                told(&["Address is invalid", "Address is not a valid GCP topic id."])
            }
            Some(_) => vec![],
        },
        "arn" => {
            match rest.split_once("::event-source/aws.partner/shopify.com/").and_then(|(_, rest)| rest.split_once('/'))
            {
                None => told(&["Address is invalid", "Address is not a valid AWS ARN"]),
                Some((API_CLIENT, _)) => vec![],
                Some((client, _)) => vec![
                    "Address is invalid".to_owned(),
                    format!("Address is an AWS ARN and includes api_client_id '{client}' instead of '{API_CLIENT}'"),
                ],
            }
        }
        "kafka" => told(&["Address protocol kafka:// is not supported", "Address is not a valid kafka topic"]),
        scheme => vec![format!("Address protocol {scheme}:// is not supported")],
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
