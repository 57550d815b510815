//! Who gets a webhook, and whose secret signs it: the app behind each subscription, and the address that an app's own
//! configuration gives. Knows nothing of bodies.

use super::{App, Apps};
use crate::shopify::model::Subscription;

/// Shopify docs: these are set up in an app's configuration alone.
const COMPLIANCE: [&str; 3] = ["customers/data_request", "customers/redact", "shop/redact"];
const UNINSTALLED: &str = "app/uninstalled";

/// One address that a webhook goes to.
pub(crate) struct Recipient {
    pub secret: String,
    /// `None`: where the stand-in sends webhooks anyway.
    pub url: Option<String>,
}

/// The apps that are told of a topic. One that has subscribed and is configured for it is told twice, as at Shopify.
pub(crate) fn recipients(apps: &Apps, subscriptions: &[Subscription], topic: &str) -> Vec<Recipient> {
    apps.all.iter().flat_map(|app| of_app(app, subscriptions, topic)).collect()
}

/// Those of one app.
pub(super) fn of_app(app: &App, subscriptions: &[Subscription], topic: &str) -> Vec<Recipient> {
    let options = &app.options;
    let name = topic.to_uppercase().replace(['/', '.'], "_");
    let subscribed = subscriptions
        .iter()
        .filter(|one| one.app.as_deref() == Some(&options.client_id) && one.value["topic"] == name.as_str());
    let uris = subscribed.filter_map(|one| one.value["uri"].as_str());
    let is_configured = app.was_installed && (topic == UNINSTALLED || COMPLIANCE.contains(&topic));
    let uris = uris.chain(options.webhook_uri.as_deref().filter(|_| is_configured));
    let urls = uris.filter_map(|uri| reachable(uri, &options.application_url));
    urls.map(|url| Recipient { secret: options.client_secret.clone(), url: Some(url) }).collect()
}

/// Where a subscription's address can be reached: the stand-in speaks no TLS, so that beside an App URL of plain HTTP an
/// address of `https` stands for its path there, as a path alone does. `None` for what is no web address.
fn reachable(uri: &str, application_url: &str) -> Option<String> {
    // Said to a stand-in alone.
    if uri.starts_with("http://127.0.0.1:") {
        return Some(uri.to_owned());
    }
    if !uri.starts_with('/') && !uri.starts_with("https://") {
        return None;
    }
    let plain = application_url.strip_prefix("http://");
    if uri.starts_with("https://") && plain.is_none() {
        return Some(uri.to_owned());
    }
    let (scheme, rest) = application_url.split_once("://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let path = uri.strip_prefix("https://").map_or(uri, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    Some(format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reached_without_tls() {
        let app = "http://127.0.0.1:8080/shopify/app?x=1";
        assert_eq!(reachable("/hooks", app).as_deref(), Some("http://127.0.0.1:8080/hooks"));
        assert_eq!(reachable("https://cx.example/a/b?c", app).as_deref(), Some("http://127.0.0.1:8080/a/b?c"));
        assert_eq!(reachable("https://cx.example", app).as_deref(), Some("http://127.0.0.1:8080/"));
        assert_eq!(reachable("pubsub://project:topic", app), None);
        assert_eq!(reachable("http://127.0.0.1:9/a", app).as_deref(), Some("http://127.0.0.1:9/a"));
        assert_eq!(reachable("http://cx.example/a", app), None);
        assert_eq!(reachable("https://cx.example/a", "https://cx.example").as_deref(), Some("https://cx.example/a"));
        assert_eq!(reachable("/a", "https://cx.example").as_deref(), Some("https://cx.example/a"));
    }
}
