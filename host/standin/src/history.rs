//! One past of both sides: the same people, linked where they are linked. Knows nothing of what either side keeps.

use crate::past::{Past, Sides};
use crate::{Omneo, Shopify};

/// Puts a past into both sides, told to nobody. Customers buy in turn.
pub fn live_through(shop: &Shopify, omneo: &Omneo, past: &Past) {
    let customers = shop.live_through(past);
    let linked: Vec<_> = customers.into_iter().filter(|(n, _)| past.sides(*n) == Sides::Linked).collect();
    let profiles = omneo.live_through(past, &linked);
    shop.link_people(&profiles);
}
