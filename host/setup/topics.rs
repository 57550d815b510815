//! The names of Shopify's topics: those that webhooks carry, and those of the Admin API. Knows no subscriptions.

/// Topics that can be set only in the app's own configuration, because the Admin API does not have them.
pub(super) const OF_THE_APP: [&str; 3] = ["customers/data_request", "customers/redact", "shop/redact"];
/// Topics that the host needs itself, whatever the rules listen to.
pub(super) const OF_THE_HOST: [&str; 2] = ["app/uninstalled", "app/scopes_update"];
/// Topics whose bodies can carry a customer's metafields. [INF] that the topics of deletion and merging, whose bodies
/// hold only a few ids, cannot.
const WITH_METAFIELDS: [&str; 4] = ["customers/create", "customers/update", "customers/enable", "customers/disable"];

/// `CUSTOMERS_CREATE` for `customers/create`, `CUSTOMER_TAGS_ADDED` for `customer.tags_added`.
pub fn topic_enum(topic: &str) -> String {
    topic.replace(['/', '.'], "_").to_ascii_uppercase()
}

pub(super) fn carries_metafields(topic: &str) -> bool {
    WITH_METAFIELDS.contains(&topic)
}
