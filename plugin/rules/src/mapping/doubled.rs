//! Finds entries of the table that write to the same place. Knows nothing of what they read.

use tandem_sdk::Problem;

use super::detail::Detail;
use super::{Entry, Way};
use crate::problems::problem;

/// Two entries that write to one place would overwrite each other for ever.
pub fn find(entries: &[Entry], details: &[Detail]) -> Vec<Problem> {
    let mut found = vec![];
    for (n, entry) in entries.iter().enumerate() {
        for earlier in &entries[..n] {
            let to_omneo = |entry: &Entry| entry.way != Way::ToShopify;
            let to_shopify = |entry: &Entry| entry.way != Way::ToOmneo;
            let both = |goes: fn(&Entry) -> bool, a: String, b: String| {
                goes(entry) && goes(earlier) && a.eq_ignore_ascii_case(&b)
            };
            let places = [
                (both(to_omneo, entry.omneo.path(), earlier.omneo.path()), entry.omneo.path(), "Omneo"),
                (both(to_shopify, entry.shopify.path(), earlier.shopify.path()), entry.shopify.path(), "Shopify"),
            ];
            for (_, path, side) in places.into_iter().filter(|(both, ..)| *both) {
                let message = format!("`{}` and `{}` both write `{path}` in {side}", earlier.name, entry.name);
                let fix = format!(
                    "give one of them `way = \"{}\"`, or leave it out",
                    if side == "Omneo" { "to_shopify" } else { "to_omneo" }
                );
                found.push(problem(&format!("/fields/{}", entry.name), message, fix));
            }
        }
    }
    for (n, detail) in details.iter().enumerate() {
        if let Some(earlier) = details[..n].iter().find(|earlier| earlier.place() == detail.place()) {
            let message = format!("`{}` and `{}` both write `{}` in Omneo", earlier.name, detail.name, detail.place());
            found.push(problem(&format!("/fields/{}", detail.name), message, "leave one of them out"));
        }
    }
    found
}
