//! The host's events `missing/…`: a whole list did not show a known name any more. Each is treated as the webhook about a
//! deletion that never came. Knows what those webhooks are called; not what a deletion leads to.

use tandem_sdk::{Cx, End, Event, Json, Wrong, json, query, refused};

/// How their topics begin; the name of the pull follows.
pub const TOPIC: &str = "missing/";

const STILL_THERE: &str = "query StillThere($id: ID!) { node(id: $id) { id } }";

/// What a name stands for: how it begins, the webhook about a deletion, and Shopify's type.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("shopify/customer/", "shopify", "customers/delete", "Customer"),
    ("shopify/product/", "shopify", "products/delete", "Product"),
    ("shopify/location/", "shopify", "locations/delete", "Location"),
    ("omneo/profile/", "omneo", "profile.deleted", ""),
];

/// The webhook that never came.
pub fn as_webhook(event: &Event) -> Result<Event, Wrong> {
    let payload = Json::payload(event)?;
    let payload = payload.view();
    let name = payload.text("/name")?;
    let mut of_kind = KINDS.iter().filter(|kind| kind.1 == event.source);
    let Some((&(_, source, topic, _), id)) = of_kind.find_map(|kind| Some((kind, name.strip_prefix(kind.0)?))) else {
        let wanted = "expected a customer, a product or a location of Shopify, or a profile of Omneo";
        return Err(payload.wrong("/name", wanted));
    };
    let id = match source {
        "shopify" => {
            json!(id.parse::<u64>().map_err(|_| payload.wrong("/name", "expected a number at its end"))?)
        }
        _ => json!(id),
    };
    let payload = json!({ "id": id }).to_string();
    Ok(Event { source: source.into(), topic: topic.into(), payload, ..event.clone() })
}

/// Asks Shopify whether it still has what a webhook about a deletion names. A profile is read before anything is done in any
/// case.
pub async fn is_there(cx: &Cx, webhook: &Event) -> Result<bool, End> {
    let kind = KINDS.iter().find(|kind| kind.1 == "shopify" && kind.2 == webhook.topic);
    let Some((_, _, _, of_type)) = kind else { return Ok(false) };
    let id = Json::payload(webhook)?.view().id("/id")?;
    let call = query(STILL_THERE, json!({ "id": format!("gid://shopify/{of_type}/{id}") }));
    let doing = "looking whether it is gone";
    let answer = cx.shopify(call).await?.ok(doing)?.json()?;
    if let Some(error) = answer.graphql_errors().first() {
        return Err(refused(format!("{doing}: Shopify answered `{}` {}", error.message, error.code)));
    }
    // An answer without the member is no answer to the SDK, which asks again and then gives up.
    Ok(answer.view().get("/data/node").is_some_and(|node| !node.is_null()))
}
