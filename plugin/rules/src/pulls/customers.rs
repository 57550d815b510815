//! Reads Shopify's customers. Knows how they are listed, and not how a customer is compared with anything.

use tandem_sdk::{Answer, CallTo, Time, View, json, query};

use super::graphql::{self, Said};
use super::place::Place;
use super::{Ask, Item, Page, Person, Reading, clues, since};
use crate::customer::document;
use crate::key::customer_name;
use crate::settings::Settings;

pub const NAME: &str = "customers";

/// Customers in a page.
const PAGE: u64 = 100;
/// Customers in a page of nothing but names.
const PAGE_OF_NAMES: u64 = 250;

/// How far the clock of a shop can be behind UTC, in milliseconds. Shopify's filter for customers takes whole days, and
/// it is not documented whose days they are.
const BEHIND_UTC_MAX: i64 = 12 * 60 * 60 * 1000;

/// The count has no filter, so it is the number of all customers.
const CUSTOMERS: &str = "query PullCustomers($n: Int!, $after: String, $query: String, $sort: CustomerSortKeys!) { \
     customers(first: $n, after: $after, query: $query, sortKey: $sort) { nodes { ...Person } \
     pageInfo { hasNextPage endCursor } } customersCount(limit: null) { count } }";
const NAMES: &str = "query PullCustomerNames($n: Int!, $query: String) { \
     customers(first: $n, query: $query, sortKey: ID) { nodes { id } pageInfo { hasNextPage endCursor } } \
     customersCount(limit: null) { count } }";

/// How the customers of a reading are walked through.
enum Way {
    /// All, by their ids: each page begins behind the last id. This cannot skip anybody, whatever changes meanwhile, and
    /// can be continued at any time.
    ById,
    /// Those that have changed, the longest ago first, by Shopify's cursor. A customer who changes meanwhile moves to
    /// the end and is seen twice.
    Since(Time),
}

pub fn ask(settings: &Settings, reading: &Reading) -> Result<Ask, String> {
    let place = Place::read(&reading.cursor);
    let n = place.size(most(reading));
    let call = match way(reading)? {
        Way::ById if reading.names_only => query(NAMES, json!({ "n": n, "query": behind(&place) })),
        Way::ById => customers(settings, json!({ "n": n, "query": behind(&place), "sort": "ID" })),
        Way::Since(since) => {
            let day = Time(since.0 - BEHIND_UTC_MAX).rfc3339();
            let filter = format!("updated_at:>='{}'", &day[..day.len().min(10)]);
            customers(settings, json!({ "n": n, "after": place.after, "query": filter, "sort": "UPDATED_AT" }))
        }
    };
    Ok(Ask::Call(call.to("shopify")))
}

pub fn read(settings: &Settings, reading: &Reading, answer: &Answer) -> Result<Page, String> {
    let place = Place::read(&reading.cursor);
    let json = match graphql::said(answer, &place, most(reading))? {
        Said::Body(json) => json,
        Said::Smaller(page) => return Ok(page),
    };
    let body = json.view();
    let nodes = graphql::nodes(&body, "customers")?;
    let way = way(reading)?;
    let (mut items, mut last) = (vec![], last_id(&place));
    for (n, node) in nodes.iter().enumerate() {
        let id = node.id("/id").map_err(|wrong| wrong.to_string())?;
        if let Way::ById = way
            && last.replace(id).is_some_and(|before| id <= before)
        {
            return Err(format!("Shopify lists customers out of the order of their ids: {id} comes too late"));
        }
        if !is_older(node, &way)? {
            items.push(item(settings, node, n, id)?);
        }
    }
    let (next, total) = match way {
        Way::Since(_) => (graphql::end(&body, "customers")?.map(|cursor| place.moved(Some(cursor), None)), None),
        Way::ById => {
            let has_more = graphql::has_more(&body, "customers")?;
            if has_more && nodes.is_empty() {
                return Err("Shopify answered an empty page and says that there are more customers".to_owned());
            }
            let next = has_more.then(|| place.moved(last.map(|id| id.to_string()), None));
            (next, graphql::count(&body, "customersCount")?)
        }
    };
    Ok(Page { items, next: next.map(|place| place.write()), total })
}

/// Names are always read by id.
fn way(reading: &Reading) -> Result<Way, String> {
    Ok(match since(reading)? {
        Some(since) if !reading.names_only => Way::Since(since),
        _ => Way::ById,
    })
}

fn most(reading: &Reading) -> u64 {
    if reading.names_only { PAGE_OF_NAMES } else { PAGE }
}

fn customers(settings: &Settings, variables: tandem_sdk::Value) -> CallTo {
    query(&document(CUSTOMERS, &settings.mapping), variables)
}

fn last_id(place: &Place) -> Option<u64> {
    place.after.as_ref()?.parse().ok()
}

/// The filter for the customers behind a place; nothing at the beginning.
fn behind(place: &Place) -> Option<String> {
    last_id(place).map(|id| format!("id:>{id}"))
}

/// Whether a customer has not changed since the time that is asked for. One whose clock cannot be read counts as
/// changed.
fn is_older(node: &View, way: &Way) -> Result<bool, String> {
    let Way::Since(since) = way else { return Ok(false) };
    let at = node.opt_text("/updatedAt").map_err(|wrong| wrong.to_string())?.and_then(Time::parse);
    Ok(at.is_some_and(|at| at.seconds() < since.seconds()))
}

fn item(settings: &Settings, node: &View, n: usize, id: u64) -> Result<Item, String> {
    let text = |at: &str| node.opt_text(at).map_err(|wrong| wrong.to_string());
    let (email, phone) = (text("/defaultEmailAddress/emailAddress")?, text("/defaultPhoneNumber/phoneNumber")?);
    let tags = node.list("/tags").map_err(|wrong| wrong.to_string())?;
    let person = Person {
        email,
        phone,
        names: [text("/firstName")?, text("/lastName")?],
        tags: tags.iter().filter_map(|tag| tag.text("").ok()).collect(),
        claims: text("/link/value")?.map(|profile| format!("link/{profile}")).into_iter().collect(),
    };
    Ok(Item { at: format!("/data/customers/nodes/{n}"), name: customer_name(id), clues: clues(settings, person) })
}
