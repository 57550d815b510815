//! Reads what exists on both sides now. Knows nothing of what is wanted.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::ask::{Trouble, ask};
use super::documents;
use crate::client::Client;
use crate::config::Peer;
use crate::credentials::LEAST_API_VERSION;

/// A list with more pages than this is taken to be endless.
const PAGES_MAX: usize = 50;

pub struct Shop {
    pub facts: Facts,
    pub definitions: Result<Vec<Definition>, Trouble>,
    pub subscriptions: Result<Vec<Subscription>, Trouble>,
}

pub struct Facts {
    pub timezone: String,
    pub currency: String,
    pub scopes: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Definition {
    pub namespace: String,
    pub key: String,
    pub kind: String,
    pub public: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subscription {
    pub id: String,
    /// The topic as the Admin API names it.
    pub topic: String,
    pub uri: String,
    pub format: String,
    pub include_fields: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub filter: String,
    pub metafield_namespaces: Vec<String>,
    pub metafields: Vec<Metafield>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Metafield {
    pub namespace: String,
    pub key: String,
}

pub struct Omneo {
    /// The scopes of all tokens of this user; `None` where Omneo does not tell.
    pub scopes: Option<Vec<String>>,
    /// The webhooks as Omneo gives them.
    pub webhooks: Result<Vec<Value>, Trouble>,
}

fn or_default<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(text)?.unwrap_or_default())
}

/// Reads a shop. If it does not answer the first question, no others are asked.
pub async fn shopify(client: &Client, peer: &Peer, api_version: &str) -> Result<Shop, Trouble> {
    let data = ask(client, peer, &documents::shop_facts(), api_version).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scopes = data["currentAppInstallation"]["accessScopes"].as_array();
    let facts = Facts {
        timezone: text(&data["shop"]["ianaTimezone"]),
        currency: text(&data["shop"]["currencyCode"]),
        scopes: scopes.into_iter().flatten().map(|scope| text(&scope["handle"])).collect(),
    };
    let definition = |node: Value| Definition {
        namespace: text(&node["namespace"]),
        key: text(&node["key"]),
        kind: text(&node["type"]["name"]),
        public: node["access"]["storefront"] == "PUBLIC_READ",
    };
    let subscription = |node: Value| serde_json::from_value(node).unwrap_or_default();
    let nodes = nodes(client, peer, api_version, "metafieldDefinitions", documents::definitions).await;
    let definitions = nodes.map(|nodes| nodes.into_iter().map(definition).collect());
    let nodes = self::nodes(client, peer, api_version, "webhookSubscriptions", documents::subscriptions).await;
    let subscriptions = nodes.map(|nodes| nodes.into_iter().map(subscription).collect());
    Ok(Shop { facts, definitions, subscriptions })
}

/// The time zone of a shop, by its IANA name.
pub async fn timezone(client: &Client, peer: &Peer) -> Result<String, Trouble> {
    let data = ask(client, peer, &documents::shop_facts(), LEAST_API_VERSION).await?;
    let zone = data["shop"]["ianaTimezone"].as_str().map(str::to_owned);
    zone.ok_or_else(|| Trouble { why: "the shop does not say its time zone".into(), hint: None, denied: false })
}

/// Every node of a connection.
async fn nodes(
    client: &Client,
    peer: &Peer,
    api_version: &str,
    field: &str,
    page: impl Fn(Option<&str>) -> crate::model::Call,
) -> Result<Vec<Value>, Trouble> {
    let (mut nodes, mut after) = (vec![], None::<String>);
    for _ in 0..PAGES_MAX {
        let mut data = ask(client, peer, &page(after.as_deref()), api_version).await?;
        let nodes_of = data.get_mut(field).and_then(|connection| connection.get_mut("nodes"));
        nodes.extend(nodes_of.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default());
        let connection = &data[field];
        after = connection["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        if connection["pageInfo"]["hasNextPage"] != true || after.is_none() {
            break;
        }
    }
    Ok(nodes)
}

pub async fn omneo(client: &Client, peer: &Peer) -> Result<Omneo, Trouble> {
    let webhooks = match webhooks(client, peer).await {
        // If Omneo cannot be reached, no others are asked.
        Err(trouble) if !trouble.denied => return Err(trouble),
        webhooks => webhooks,
    };
    // It is not documented which tokens may ask this, so a refusal is ignored.
    let tokens = ask(client, peer, &documents::tokens(), "").await.ok();
    let list = |tokens: &Value| tokens.as_array().or(tokens["data"].as_array()).cloned();
    let living = |token: &Value| !matches!(&token["revoked"], Value::Bool(true)) && token["revoked"] != 1;
    let scopes = |token: Value| token["scopes"].as_array().cloned().unwrap_or_default();
    let scopes = tokens.and_then(|tokens| list(&tokens)).map(|tokens| {
        let all = tokens.into_iter().filter(living).flat_map(scopes);
        all.filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
    });
    Ok(Omneo { scopes, webhooks })
}

async fn webhooks(client: &Client, peer: &Peer) -> Result<Vec<Value>, Trouble> {
    let mut webhooks = vec![];
    for page in 1..=PAGES_MAX {
        let mut answer = ask(client, peer, &documents::webhooks(page), "").await?;
        webhooks.extend(answer.get_mut("data").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default());
        if answer["meta"]["last_page"].as_u64().unwrap_or(1) <= page as u64 {
            break;
        }
    }
    Ok(webhooks)
}
