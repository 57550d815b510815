//! Writes an item of a pull as the webhook's body that the rules read, and what is missing in a list as the webhook that tells
//! of a deletion. Knows which pull lists what.

use std::borrow::Cow;

use tandem_sdk::{Event, Json, Wrong};

use crate::node::Node;
use crate::{location, missing, order, product, pulls};

/// How the topic of an item begins; the rest is the name of its pull.
pub const TOPIC: &str = "pull/";

/// Whether an event is an item of a pull.
pub fn is_item(event: &Event) -> bool {
    event.topic.starts_with(TOPIC)
}

/// The event with a webhook's body in place of an item that GraphQL has given, or the webhook that never came. Any other
/// event stays as it is, and so does an item that is a webhook's body already, as REST gives them.
pub fn as_webhook(event: &Event) -> Result<Cow<'_, Event>, Wrong> {
    if event.topic.starts_with(missing::TOPIC) {
        return missing::as_webhook(event).map(Cow::Owned);
    }
    let Some(pull) = event.topic.strip_prefix(TOPIC).filter(|_| event.source == "shopify") else {
        return Ok(Cow::Borrowed(event));
    };
    let write = match pull {
        pulls::ORDERS => order::body_of_node,
        pulls::PRODUCTS => product::body_of_node,
        pulls::LOCATIONS => |node: &Node| location::body_of_node(&node.own),
        _ => return Ok(Cow::Borrowed(event)),
    };
    let payload = Json::payload(event)?;
    let Some(node) = Node::read(&payload.view())? else { return Ok(Cow::Borrowed(event)) };
    let body = write(&node)?.to_string();
    Ok(Cow::Owned(Event { payload: body, ..event.clone() }))
}
