//! Derives what the rules need on both sides from their manifest. Pure. Knows nothing of what exists.

use serde_json::Value;

use super::topics::{self, topic_enum};
use crate::rules::Manifest;

/// The metafield in which the rules store a customer's profile, and by which `customId` finds the customer, at Shopify
/// and at the stand-in.
const LINK: (&str, &str) = ("omneo", "profile_id");
/// The path that receives Shopify's webhooks, below the host's address. Those of an app go to a path below it.
pub const SHOPIFY_PATH: &str = "/webhooks/shopify";
/// [INF] A Twig template over the event's context, in which, according to the documentation, the profile's own keys are
/// at the root. The rules read the profile in any case; with identities in the body, an event names its customer at
/// once.
const IDENTITIES: &str = r#"{"identities": {{ identities | json_encode | raw }}}"#;
/// The scopes of an Omneo token that set-up itself needs.
const WEBHOOK_SCOPES: [&str; 3] = ["read-webhooks", "create-webhooks", "update-webhooks"];

pub struct Wanted {
    pub shopify: Option<OfShopify>,
    pub omneo: Option<OfOmneo>,
}

pub struct OfShopify {
    pub api_version: String,
    pub scopes: Vec<String>,
    pub definitions: Vec<Definition>,
    pub subscriptions: Vec<Subscription>,
    /// The address that the app's own configuration must give for compliance topics.
    pub duties: Option<String>,
}

pub struct OfOmneo {
    pub scopes: Vec<String>,
    pub webhooks: Vec<Webhook>,
}

/// A metafield definition of customers.
pub struct Definition {
    pub namespace: String,
    pub key: String,
    pub name: String,
    /// Shopify's type of the values.
    pub kind: String,
    /// Whether storefronts may read it.
    pub public: bool,
}

pub struct Subscription {
    /// The topic as webhooks carry it.
    pub topic: String,
    /// The topic as the Admin API names it.
    pub topic_enum: String,
    pub uri: String,
    /// Namespace and key of each metafield that the body carries in addition.
    pub metafields: Vec<(String, String)>,
}

pub struct Webhook {
    pub trigger: String,
    pub url: String,
    pub namespace: String,
    pub extra_data_template: &'static str,
}

/// The definitions: first the link, then every mapped metafield, in the order of the manifest. A theme may read the
/// metafields that only Omneo writes, since they exist to be shown.
fn definitions(manifest: &Manifest) -> Vec<Definition> {
    let link = Definition {
        namespace: LINK.0.into(),
        key: LINK.1.into(),
        name: "Omneo profile".into(),
        kind: "id".into(),
        public: false,
    };
    let fields = manifest.settings.iter().filter_map(|setting| {
        let field = setting.at.strip_prefix("/fields/")?;
        let entry: Value = serde_json::from_str(&setting.value).ok()?;
        let (namespace, key) = entry["shopify"].as_str()?.strip_prefix("metafields.")?.split_once('.')?;
        Some(Definition {
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            name: format!("Omneo {}", field.replace('_', " ")),
            kind: entry["type"].as_str()?.to_owned(),
            public: entry["way"] == "to_shopify",
        })
    });
    std::iter::once(link).chain(fields).collect()
}

/// What a tenant's rules need. Without an address, no webhooks are included, since there is nowhere to send them.
pub fn wanted(tenant: &str, manifest: &Manifest, address: Option<&str>, app: Option<&(String, String)>) -> Wanted {
    let target = |name: &str| manifest.targets.iter().find(|target| target.name == name);
    let topics = |source: &str| {
        let listens = manifest.listens.iter().filter(|(from, _)| from == source && address.is_some());
        listens.map(|(_, topic)| topic.clone()).collect::<Vec<_>>()
    };
    let shopify = target("shopify").map(|target| {
        let below = |path: &str| address.map(|address| format!("{address}{SHOPIFY_PATH}{path}"));
        let (uri, duties) = match app {
            Some((name, key)) => (below(&format!("/{name}/{key}")), below(&format!("/{name}"))),
            None => (below(""), below("")),
        };
        let own = topics::OF_THE_HOST.map(str::to_owned).into_iter().filter(|_| uri.is_some());
        let mut wanted: Vec<String> = topics("shopify").into_iter().chain(own).collect();
        wanted.retain(|topic| !topics::OF_THE_APP.contains(&topic.as_str()));
        let subscription = |topic: String| Subscription {
            topic_enum: topic_enum(&topic),
            uri: uri.clone().unwrap_or_default(),
            metafields: match topics::carries_metafields(&topic) {
                true => vec![(LINK.0.to_owned(), LINK.1.to_owned())],
                false => vec![],
            },
            topic,
        };
        OfShopify {
            api_version: target.api_version.clone(),
            scopes: target.scopes.clone(),
            definitions: definitions(manifest),
            subscriptions: wanted.into_iter().map(subscription).collect(),
            duties,
        }
    });
    let omneo = target("omneo").map(|target| {
        let webhook = |trigger| Webhook {
            trigger,
            url: format!("{}/webhooks/omneo/{tenant}", address.unwrap_or_default()),
            // The namespace differs from the official app's `shopify-{tenant}`, and is unique for each of our tenants,
            // because two shops may share an Omneo tenant.
            namespace: format!("tandem-{tenant}"),
            extra_data_template: IDENTITIES,
        };
        let own = WEBHOOK_SCOPES.map(str::to_owned).into_iter();
        OfOmneo {
            scopes: target.scopes.iter().cloned().chain(own).collect(),
            webhooks: topics("omneo").into_iter().map(webhook).collect(),
        }
    });
    Wanted { shopify, omneo }
}
