//! Reads a page of Shopify's Admin API: its errors, its nodes and whether there are more. Knows no kind of item.

use tandem_sdk::{Answer, Json, View, Wrong};

use super::place::Place;
use super::{Item, Page, members};

/// Shopify's name, in what the tenant is told.
pub const SHOPIFY: &str = "Shopify";

/// The code of a query that costs more than any query may.
const TOO_COSTLY: &str = "MAX_COST_EXCEEDED";

/// An answer of the API.
pub enum Said {
    Body(Json<'static>),
    /// The query asks for too much at once: the same place, in smaller pages.
    Smaller(Page),
}

/// Reads an answer to a query for a page that begins at a place.
pub fn said(answer: &Answer, place: &Place, most: u64) -> Result<Said, String> {
    let json = super::body(SHOPIFY, answer)?;
    let errors = json.graphql_errors();
    let Some(error) = errors.first() else { return Ok(Said::Body(json)) };
    if errors.iter().any(|error| error.code == TOO_COSTLY) {
        let smaller =
            place.smaller(most).ok_or_else(|| format!("Shopify finds a page of one too much: {}", error.message))?;
        return Ok(Said::Smaller(Page { next: Some(smaller.write()), ..Page::default() }));
    }
    let code = if error.code.is_empty() { String::new() } else { format!(" ({})", error.code) };
    Err(format!("Shopify refused the query: {}{code}", error.message))
}

/// A page of a connection that is walked through by Shopify's own cursor. `item` makes an item of its place and its id.
pub fn page(body: &View, place: &Place, connection: &str, item: impl Fn(String, u64) -> Item) -> Result<Page, String> {
    let mut items = vec![];
    for (n, node) in nodes(body, connection)?.iter().enumerate() {
        let id = node.id("/id").map_err(|wrong| wrong.to_string())?;
        items.push(item(format!("/data/{connection}/nodes/{n}"), id));
    }
    let next = end(body, connection)?.map(|cursor| place.moved(Some(cursor), None).write());
    Ok(Page { items, next, total: count(body, &format!("{connection}Count"))? })
}

/// A part of the result of a job: for each item, the lines about it, its own first.
pub fn grouped(answer: &Answer, kind: &str, item: impl Fn(String, u64) -> Item) -> Result<Page, String> {
    let json = super::body(SHOPIFY, answer)?;
    let (mut items, wrong) = (vec![], |wrong: Wrong| wrong.to_string());
    for (n, lines) in members(SHOPIFY, &json.view(), "")?.iter().enumerate() {
        let id = lines.id("/0/id").map_err(wrong)?;
        if lines.text("/0/__typename").map_err(wrong)? != kind {
            return Err(lines.wrong("/0/__typename", format!("expected a line about a `{kind}`")).to_string());
        }
        items.push(item(format!("/{n}"), id));
    }
    Ok(Page { items, next: None, total: None })
}

/// The nodes of a connection.
pub fn nodes<'a>(body: &View<'a>, connection: &str) -> Result<Vec<View<'a>>, String> {
    members(SHOPIFY, body, &format!("/data/{connection}/nodes"))
}

/// Whether there are more nodes behind the page.
pub fn has_more(body: &View, connection: &str) -> Result<bool, String> {
    let at = format!("/data/{connection}/pageInfo/hasNextPage");
    let said = body.opt_bool(&at).map_err(|wrong| wrong.to_string())?;
    said.ok_or_else(|| format!("Shopify does not say whether there are more: nothing at `{at}`"))
}

/// The cursor behind the page, if there are more nodes.
pub fn end(body: &View, connection: &str) -> Result<Option<String>, String> {
    if !has_more(body, connection)? {
        return Ok(None);
    }
    let cursor = body.text(&format!("/data/{connection}/pageInfo/endCursor")).map_err(|wrong| wrong.to_string())?;
    Ok(Some(cursor.to_owned()))
}

/// How many there are in all.
pub fn count(body: &View, field: &str) -> Result<Option<u64>, String> {
    body.opt_id(&format!("/data/{field}/count")).map_err(|wrong| wrong.to_string())
}
