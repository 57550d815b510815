//! Reads Shopify's locations. Shopify has no filter for those that have changed, and a shop has few, so a reading is
//! always of all.

use tandem_sdk::{Answer, CallTo, json, query};

use super::graphql::{self, Said};
use super::place::Place;
use super::{Ask, Item, Page, Reading};

pub const NAME: &str = "locations";

/// Locations in a page.
const PAGE: u64 = 250;

const LOCATIONS: &str = "query PullLocations($n: Int!, $after: String) { \
     locations(first: $n, after: $after, includeInactive: true, sortKey: ID) { nodes { id name isActive updatedAt \
     address { address1 address2 city province provinceCode country countryCode zip phone } } \
     pageInfo { hasNextPage endCursor } } locationsCount(limit: null) { count } }";

pub fn ask(reading: &Reading) -> Result<Ask, String> {
    let place = Place::read(&reading.cursor);
    let call: CallTo = query(LOCATIONS, json!({ "n": place.size(PAGE), "after": place.after }));
    Ok(Ask::Call(call.to("shopify")))
}

pub fn read(reading: &Reading, answer: &Answer) -> Result<Page, String> {
    let place = Place::read(&reading.cursor);
    match graphql::said(answer, &place, PAGE)? {
        Said::Body(json) => {
            let items = |at: String, id| Item { at, name: format!("shopify/location/{id}"), clues: vec![] };
            graphql::page(&json.view(), &place, "locations", items)
        }
        Said::Smaller(page) => Ok(page),
    }
}
