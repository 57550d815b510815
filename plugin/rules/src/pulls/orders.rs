//! Reads Shopify's orders, from the day on that the settings name. Knows how they are listed, as a job and over REST, and
//! nothing of what is sent of them.

use tandem_sdk::{Answer, Time, get};

use super::graphql::{self, SHOPIFY};
use super::place::Place;
use super::{Ask, Item, Page, Reading, body, members, since};
use crate::SHOPIFY_API_VERSION;
use crate::key::own_id;
use crate::mapping::Of;
use crate::order;
use crate::settings::Settings;

pub const NAME: &str = "orders";

/// What reading orders for the first time does.
pub const CAUTION: &str = "Every order since `orders.from` becomes a purchase in Omneo, which counts points for it and may \
     send mails about it.";

/// Orders in a page of REST, which is all that Shopify gives.
const PAGE: u64 = 250;

pub fn ask(settings: &Settings, reading: &Reading) -> Result<Ask, String> {
    let Some(from) = &settings.orders.from else {
        return Err("orders are read only from a day on: set `orders.from`, such as `orders.from = \"2026-01-01\"`. \
             Orders before it stay out of Omneo, by webhook too"
            .to_owned());
    };
    let since = since(reading)?.map(Time::rfc3339);
    if reading.bulk {
        hidden(settings)?;
        let changed = since.map(|since| format!(" AND updated_at:>='{since}'")).unwrap_or_default();
        let filter = format!("processed_at:>='{}'{changed}", from.rfc3339());
        return Ok(Ask::Bulk(order::orders_document(&filter, settings.orders.money)));
    }
    let call = get(format!("/admin/api/{SHOPIFY_API_VERSION}/orders.json")).query("limit", PAGE.to_string());
    // A page behind the first takes no filter: its cursor holds all of them.
    let call = match Place::read(&reading.cursor).after {
        Some(after) => call.query("page_info", after),
        None => {
            let call = call.query("status", "any").query("processed_at_min", from.rfc3339());
            since.into_iter().fold(call, |call, since| call.query("updated_at_min", since))
        }
    };
    Ok(Ask::Call(call.to("shopify")))
}

pub fn read(reading: &Reading, answer: &Answer) -> Result<Page, String> {
    let item = |at: String, id: u64| Item { at, name: format!("shopify/order/{id}"), clues: vec![] };
    if reading.bulk {
        return graphql::grouped(answer, "Order", item);
    }
    let json = body(SHOPIFY, answer)?;
    let mut items = vec![];
    for (n, order) in members(SHOPIFY, &json.view(), "/orders")?.iter().enumerate() {
        let id = own_id(order).map_err(|wrong| wrong.to_string())?;
        items.push(item(format!("/orders/{n}"), id));
    }
    let links = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    let next = links.filter_map(|(_, links)| next_page(links)).next();
    let next = next.map(|next| Place::default().moved(Some(next), None).write());
    Ok(Page { items, next, total: None })
}

/// The cursor of the next page in a header such as `<https://…?limit=250&page_info=abc>; rel="next"`.
fn next_page(links: &str) -> Option<String> {
    let link = links.split(',').find(|link| link.split(';').skip(1).any(|part| part.trim() == "rel=\"next\""))?;
    let (address, _) = link.trim().strip_prefix('<')?.split_once('>')?;
    let (_, parameters) = address.split_once('?')?;
    parameters.split('&').find_map(|parameter| parameter.strip_prefix("page_info=")).map(decoded)
}

/// A parameter without its percent-encoding. Shopify's cursors are Base64, which has three signs that are encoded.
fn decoded(parameter: &str) -> String {
    [("%2B", "+"), ("%2F", "/"), ("%3D", "=")]
        .iter()
        .fold(parameter.to_owned(), |text, (code, sign)| text.replace(code, sign).replace(&code.to_lowercase(), sign))
}

/// Refuses a job if a field is made of something that its orders do not show: an order that a webhook has brought would
/// lose it.
fn hidden(settings: &Settings) -> Result<(), String> {
    for detail in settings.mapping.details(Of::Order) {
        if let Some(key) = detail.keys().into_iter().find(|key| !order::shown_keys().any(|shown| shown == *key)) {
            return Err(format!(
                "field `{}` is made of `order.{key}`, which a list of orders does not show; only webhooks bring it",
                detail.name
            ));
        }
    }
    Ok(())
}
