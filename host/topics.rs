//! The topics that there are, for whoever names one wrongly. A topic that is not listed here may be one all the same, of a
//! later version of either API: nothing is refused for that alone, and nearest names are a hint. Pure.

use crate::excerpt::nearest;

/// Shopify's of 2026-07, with those that only an app's own configuration names.
const SHOPIFY: &str = include_str!("topics/shopify.txt");
/// Omneo's, as its starter app lists them.
const OMNEO: &str = include_str!("topics/omneo.txt");
/// The host's own.
const TANDEM: [&str; 1] = ["resync"];

/// The topics of one system.
pub fn of(source: &str) -> Vec<&'static str> {
    match source {
        "shopify" => SHOPIFY.split_whitespace().collect(),
        "omneo" => OMNEO.split_whitespace().collect(),
        _ => TANDEM.to_vec(),
    }
}

/// Every topic.
fn all() -> impl Iterator<Item = &'static str> + Clone {
    SHOPIFY.split_whitespace().chain(OMNEO.split_whitespace()).chain(TANDEM)
}

/// The topic that was probably meant by one that nobody has: first among those that somebody listens to. `None` for a topic
/// that there is, and for what looks like none.
pub fn meant<'a>(topic: &str, heard: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if heard.clone().any(|known| known == topic) || all().any(|known| known == topic) {
        return None;
    }
    // `ORDERS_PAID` is how GraphQL writes it, and `orders-paid` how a folder of cases is called.
    let bare = |topic: &str| topic.to_ascii_lowercase().replace(['_', '-', '.', ' '], "/");
    let (written, known) = (bare(topic), heard.chain(all().map(|known| -> &'a str { known })));
    let same = known.clone().find(|known| bare(known) == written);
    same.or_else(|| nearest(&topic.to_ascii_lowercase(), known))
}

/// `; did you mean …` as a hint line, or nothing.
pub fn hint<'a>(topic: &str, heard: impl Iterator<Item = &'a str> + Clone) -> String {
    meant(topic, heard).map(|meant| format!("\nhint: did you mean `{meant}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::iter::empty;

    use super::*;

    #[test]
    fn a_mistyped_topic_is_known_by_the_nearest_one() {
        for (written, expected) in [
            ("orders/piad", Some("orders/paid")),
            ("order/paid", Some("orders/paid")),
            ("orders-paid", Some("orders/paid")),
            ("ORDERS_PAID", Some("orders/paid")),
            ("Orders/Paid", Some("orders/paid")),
            ("profile.update", Some("profile.updated")),
            ("profile/updated", Some("profile.updated")),
            ("customer/tags_added", Some("customer.tags_added")),
            ("resynch", Some("resync")),
            ("orders/paid", None),
            ("profile.merged", None),
            ("loyalty/tick", None),
            ("", None),
        ] {
            assert_eq!(meant(written, empty()), expected, "{written}");
        }
    }

    #[test]
    fn what_somebody_listens_to_is_a_topic_and_is_meant_first() {
        let heard = ["orders/pay", "tick"];
        assert_eq!(meant("orders/pay", heard.into_iter()), None);
        assert_eq!(meant("tik", heard.into_iter()), Some("tick"));
        assert_eq!(hint("tik", heard.into_iter()), "\nhint: did you mean `tick`?");
    }

    #[test]
    fn each_topic_is_listed_once() {
        let listed: Vec<_> = all().collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
        assert!(of("shopify").contains(&"app/uninstalled") && of("omneo").contains(&"tier.lost"));
        assert_eq!(of("tandem"), ["resync"]);
    }
}
