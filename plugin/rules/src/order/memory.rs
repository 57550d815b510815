//! What is remembered of an order. Knows the shape of the memory, and not what follows from it.
//!
//! Every field is read by itself, and a field that cannot be read counts as absent: other versions of the rules write
//! here too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Map;
use tandem_sdk::{Json, Value, View};

use crate::clock::Clock;
pub use crate::key::return_id;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// The mark of the state that was handled last; empty when it was not handled completely.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Whether the threshold was ever reached. An edit can take the status back, but the order stays reached.
    pub reached: bool,
    pub cancelled: bool,
    /// Whether the order was deleted in Shopify: later bodies are ignored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale: Option<Sale>,
    /// The returns, by the id of the refund.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub returns: BTreeMap<String, Sale>,
    /// The refunds that a body of the sold order has shown, whatever their effect was.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub shown: BTreeSet<String>,
    /// External ids that were looked up, or made void, after the order was over: nothing stands in Omneo under them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub looked: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OmneoOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Link>,
    /// The profile that the order was linked to and that was found to be gone. No new profile is made for its customer
    /// because of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Link>,
    /// What a refund of the sold order needs that arrives alone: see [`head`].
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub head: Map<String, Value>,
    /// Whether a memory could not be read, so that more may have been sent than this memory says.
    #[serde(skip)]
    pub lost: bool,
}

/// A transaction that was sent: the sale, or the return of a refund.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sale {
    pub hash: String,
    pub total: String,
    pub void: bool,
}

/// The order that stands in Omneo. Without an id, it is only known that it may stand there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OmneoOrder {
    /// Empty when no answer has given it.
    pub id: String,
    pub hash: String,
    pub status: String,
}

/// The profile that the order was linked to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Absent for a guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<u64>,
    pub id: String,
}

impl Memory {
    pub fn read(memory: &[String]) -> Self {
        let Some(text) = memory.first().filter(|text| !text.is_empty()) else { return Self::default() };
        let json = match Json::memory(text) {
            Ok(json) if json.view().is_object() => json,
            _ => return Self { lost: true, ..Self::default() },
        };
        let view = json.view();
        let text = |at: &str| view.opt_text(at).ok().flatten().unwrap_or_default().to_owned();
        let is = |at: &str| view.opt_bool(at).ok().flatten().unwrap_or(false);
        let thing = |at: &str| view.get(at).is_some_and(|found| found.is_object());
        let link = |at: &str| {
            let id = Some(text(&format!("{at}/id"))).filter(|id| !id.is_empty())?;
            Some(Link { customer: view.opt_id(&format!("{at}/customer")).ok().flatten(), id })
        };
        Self {
            clock: Clock::read(&view),
            state: text("/state"),
            reached: is("/reached"),
            cancelled: is("/cancelled"),
            deleted: is("/deleted"),
            sale: view.get("/sale").and_then(|sale| Sale::read(&sale)),
            returns: returns(&view),
            shown: view.list("/shown").into_iter().flatten().filter_map(|id| id.opt_loose("").ok().flatten()).collect(),
            looked: view
                .list("/looked")
                .into_iter()
                .flatten()
                .filter_map(|id| id.opt_loose("").ok().flatten())
                .collect(),
            order: thing("/order").then(|| OmneoOrder {
                id: text("/order/id"),
                hash: text("/order/hash"),
                status: text("/order/status"),
            }),
            profile: link("/profile"),
            gone: link("/gone"),
            head: view.get("/head").and_then(|head| head.object()).unwrap_or_default(),
            lost: false,
        }
    }

    /// The transactions that are not void, each with its external id.
    pub fn live(&mut self, order_id: &str) -> Vec<(String, &mut Sale)> {
        let sale = self.sale.as_mut().map(|sale| (order_id.to_owned(), sale));
        let returns = self.returns.iter_mut().map(|(refund, sent)| (return_id(order_id, refund), sent));
        sale.into_iter().chain(returns).filter(|(_, sent)| !sent.void).collect()
    }

    /// Whether something stands in Omneo or may stand there.
    pub fn has_sent(&self) -> bool {
        self.sale.is_some() || self.order.is_some()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("it is made of texts, numbers and booleans")
    }
}

/// The keys of an order that are needed to write its returns; none of them is personal data.
const HEAD: [&str; 9] = [
    "name",
    "currency",
    "presentment_currency",
    "taxes_included",
    "created_at",
    "processed_at",
    "source_name",
    "location_id",
    "payment_gateway_names",
];
/// The number of decimals that the order's amounts need.
pub const SCALE: &str = "scale";

/// The part of an order that is remembered for its returns.
pub fn head(order: &View, scale: u32) -> Map<String, Value> {
    let keys = HEAD.iter().filter_map(|key| Some(((*key).to_owned(), order.get(&format!("/{key}"))?.value())));
    keys.filter(|(_, value)| !value.is_null()).chain([(SCALE.to_owned(), scale.into())]).collect()
}

impl Sale {
    fn read(sale: &View) -> Option<Self> {
        let text = |at: &str| sale.opt_text(at).ok().flatten().unwrap_or_default().to_owned();
        let void = sale.opt_bool("/void").ok().flatten().unwrap_or(false);
        sale.is_object().then(|| Self { hash: text("/hash"), total: text("/total"), void })
    }
}

fn returns(memory: &View) -> BTreeMap<String, Sale> {
    let ids = memory.get("/returns").and_then(|returns| returns.object()).into_iter().flatten();
    ids.filter_map(|(id, _)| Some((id.clone(), Sale::read(&memory.get(&format!("/returns/{id}"))?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let memory = Memory {
            clock: Some(Clock { updated_at: Some(1), triggered_at: None }),
            reached: true,
            sale: Some(Sale { hash: "a".into(), total: "19.90".into(), void: false }),
            returns: BTreeMap::from([("7".into(), Sale { hash: "b".into(), total: "1.00".into(), void: true })]),
            profile: Some(Link { customer: Some(u64::MAX), id: "p".into() }),
            ..Memory::default()
        };
        assert_eq!(Memory::read(&[memory.text()]), memory);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let read = |text: &str| Memory::read(&[text.to_owned()]);
        assert_eq!(
            read(r#"{"reached":"yes","sale":[1],"order":{"id":7},"clock":3,"cancelled":true}"#),
            Memory { cancelled: true, order: Some(OmneoOrder::default()), ..Memory::default() }
        );
        assert!(read("[]").lost && read("{").lost && !read("").lost);
    }
}
