//! Reads Shopify's products. Knows how they are listed, as pages and as a job, and nothing of what is sent of them.

use tandem_sdk::{Answer, Time, json, query};

use super::graphql::{self, Said};
use super::place::Place;
use super::{Ask, Item, Page, Reading, since};
use crate::product::{PRODUCT, VARIANT};

pub const NAME: &str = "products";

/// Products in a page: each has its variants and images below it, which makes a query costly.
const PAGE: u64 = 25;
/// Products in a page of nothing but names.
const PAGE_OF_NAMES: u64 = 250;

const NAMES: &str = "query PullProductNames($n: Int!, $after: String) { \
     products(first: $n, after: $after, sortKey: ID) { nodes { id } pageInfo { hasNextPage endCursor } } \
     productsCount(limit: null) { count } }";

pub fn ask(reading: &Reading) -> Result<Ask, String> {
    let place = Place::read(&reading.cursor);
    if is_bulk(reading) {
        return Ok(Ask::Bulk(bulk()));
    }
    let filter = since(reading)?.map(|since| filter(&since));
    let n = place.size(most(reading));
    let call = match reading.names_only {
        true => query(NAMES, json!({ "n": n, "after": place.after })),
        false => {
            let sort = if filter.is_some() { "UPDATED_AT" } else { "ID" };
            query(&paged(), json!({ "n": n, "after": place.after, "query": filter, "sort": sort }))
        }
    };
    Ok(Ask::Call(call.to("shopify")))
}

pub fn read(reading: &Reading, answer: &Answer) -> Result<Page, String> {
    let place = Place::read(&reading.cursor);
    let item = |at: String, id| Item { at, name: format!("shopify/product/{id}"), clues: vec![] };
    if is_bulk(reading) {
        return graphql::grouped(answer, "Product", item);
    }
    match graphql::said(answer, &place, most(reading))? {
        Said::Body(json) => {
            let mut page = graphql::page(&json.view(), &place, "products", item)?;
            // Shopify counts all products, which says nothing of those that have changed.
            page.total = page.total.filter(|_| reading.names_only || reading.since.is_none());
            Ok(page)
        }
        Said::Smaller(page) => Ok(page),
    }
}

/// A job takes minutes, however little it finds: it pays where everything is read.
fn is_bulk(reading: &Reading) -> bool {
    reading.bulk && !reading.names_only && reading.since.is_none()
}

fn most(reading: &Reading) -> u64 {
    if reading.names_only { PAGE_OF_NAMES } else { PAGE }
}

/// The time stands in quotes: without them Shopify reads no further than the day.
fn filter(since: &Time) -> String {
    format!("updated_at:>='{}'", since.rfc3339())
}

fn paged() -> String {
    format!(
        "query PullProducts($n: Int!, $after: String, $query: String, $sort: ProductSortKeys!) {{ \
         products(first: $n, after: $after, query: $query, sortKey: $sort) {{ nodes {{ {PRODUCT} \
         variants(first: 250) {{ nodes {{ {VARIANT} }} }} \
         media(first: 250) {{ nodes {{ __typename id ... on MediaImage {{ image {{ url }} }} }} }} }} \
         pageInfo {{ hasNextPage endCursor }} }} productsCount(limit: null) {{ count }} }}"
    )
}

/// A job takes no variables, and no order: with one, Shopify has left products out.
fn bulk() -> String {
    format!(
        "query BulkProducts {{ products {{ edges {{ node {{ {PRODUCT} \
         variants {{ edges {{ node {{ {VARIANT} }} }} }} \
         media {{ edges {{ node {{ __typename id ... on MediaImage {{ image {{ url }} }} }} }} }} }} }} }} }}"
    )
}
