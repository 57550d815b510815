//! Shopify's names of a topic: as webhooks carry it, and as its Admin API has it.
//! Knows no subscription.

/// Set in the app's own configuration only: the Admin API has no such topics.
pub(super) const OF_THE_APP: [&str; 3] = ["customers/data_request", "customers/redact", "shop/redact"];
/// Wanted by the host itself, whatever the rules listen to.
pub(super) const OF_THE_HOST: [&str; 2] = ["app/uninstalled", "app/scopes_update"];
/// Bodies that can carry metafields of a customer. [INF] that the topics of deletion and merging, whose bodies are a few
/// ids, cannot.
const WITH_METAFIELDS: [&str; 4] = ["customers/create", "customers/update", "customers/enable", "customers/disable"];

/// `CUSTOMERS_CREATE` for `customers/create`, `CUSTOMER_TAGS_ADDED` for `customer.tags_added`.
pub fn topic_enum(topic: &str) -> String {
    topic.replace(['/', '.'], "_").to_ascii_uppercase()
}

pub(super) fn carries_metafields(topic: &str) -> bool {
    WITH_METAFIELDS.contains(&topic)
}
