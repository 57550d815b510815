//! Handles `refunds/create`: a refund that arrives by itself, before the order that carries it. Knows what is
//! remembered of the order, but neither its lines nor anything of its buyer besides ids.
//!
//! The event comes once, when the refund is made. So anything that is known of the refund already is at least as new,
//! and a refund whose money is still on its way comes again with its order.

use serde_json::{Map, Value};
use tandem_sdk::{Cx, End, Ending, Json, View, done, json, refused, skipped};

use super::amount::{DECIMALS_MAX, Purse};
use super::body;
use super::item::Lines;
use super::memory::{Memory, SCALE, Sale, return_id};
use super::profile::Who;
use super::refund::{self, Meaning};
use super::send::Place;
use super::sum::Sum;
use super::{Job, remembering};
use crate::key::own_id;
use crate::settings::{OnRefund, Settings};

pub async fn handle(cx: &Cx, settings: &Settings, refund: View<'_>) -> Ending {
    let (id, order) = (own_id(&refund)?.to_string(), refund.id("/order_id")?.to_string());
    let memory = Memory::read(cx.memory());
    let head: Json = order_of(&memory).to_string().parse()?;
    let mut job = Job { cx, settings, order: head.view(), id: order, memory };
    if let Some(why) = not_now(&job.memory, settings, &id) {
        return job.leave(&id, why).await;
    }
    let result = job.send_return(&id, &refund).await;
    remembering(job.memory, result)
}

/// Why nothing is sent for a refund, regardless of its content.
fn not_now(memory: &Memory, settings: &Settings, refund: &str) -> Option<&'static str> {
    let is_sold = memory.sale.as_ref().is_some_and(|sale| !sale.void);
    Some(match settings.orders.refunds {
        _ if memory.deleted => "the order was deleted in Shopify",
        _ if memory.cancelled => "the order was cancelled",
        _ if memory.returns.contains_key(refund) => "the refund was sent before",
        _ if memory.shown.contains(refund) => "the order's own body has shown the refund",
        OnRefund::Ignore => "refunds are left alone: `orders.refunds = \"ignore\"`",
        OnRefund::Update => "the order's own body lowers the sale: `orders.refunds = \"update\"`",
        OnRefund::Return if !memory.has_sent() => "the order was not seen yet: its own body carries the refund",
        OnRefund::Return if !is_sold => "the order is not sold yet: its own body carries the refund",
        OnRefund::Return if memory.head.is_empty() => "the order's own body carries the refund",
        OnRefund::Return => return None,
    })
}

/// The order, as far as it is remembered.
fn order_of(memory: &Memory) -> Value {
    let customer = memory.profile.as_ref().and_then(|link| link.customer);
    let customer = customer.map(|id| ("customer".to_owned(), json!({ "id": id })));
    Value::Object(memory.head.clone().into_iter().chain(customer).collect::<Map<_, _>>())
}

impl Job<'_> {
    /// Sends nothing for the refund. If its order is over, a return that an earlier run may have left is made void.
    async fn leave(&mut self, refund_id: &str, why: &'static str) -> Ending {
        let is_over = self.memory.cancelled || self.memory.deleted;
        if !is_over || self.settings.orders.refunds != OnRefund::Return {
            return Ok(skipped(why));
        }
        Ok(match self.void_one_forgotten(return_id(&self.id, refund_id)).await? {
            Some(what) => done(format!("{why}: {what}")),
            None => skipped(why),
        })
    }

    async fn send_return(&mut self, refund_id: &str, refund: &View<'_>) -> Ending {
        let mut purse = Purse::of(&self.order, self.settings.orders.money)?;
        let scale = self.order.opt_id(&format!("/{SCALE}"))?.and_then(|scale| u32::try_from(scale).ok());
        purse.scale = purse.scale.max(scale.unwrap_or(0)).min(DECIMALS_MAX);
        let unsent = |end: End| refused(format!("refund {refund_id} not sent: {}", end.reason));
        let bought = refund::Bought::new();
        let read = refund::read(&self.order, &bought, refund, purse).map_err(unsent)?;
        let sum = match read.by_money(&self.order, &bought) {
            Ok(Meaning::Back(sum)) => sum,
            Ok(Meaning::Removed(_)) => return Ok(skipped("no money went back: the order's own body lowers the sale")),
            Ok(Meaning::Nothing(why)) => return Ok(skipped(format!("the refund {why}"))),
            // The refund may be part of an exchange, or repeat what an edit has taken off before. Only the order's
            // total tells.
            Err(why) => return Ok(skipped(format!("the order's own body says what the refund is worth ({why})"))),
        };
        let draft = self.draft(refund_id, refund, &sum)?;
        if !draft.has_items {
            return Ok(skipped("nothing of the refund is an item for Omneo"));
        }
        let who = match &self.memory.profile {
            Some(link) => Who::Profile(link.clone()),
            None => Who::Nobody(String::new()),
        };
        let (amount, total) = (draft.amount.clone(), draft.total.abs().to_string());
        let (answer, hash, _) = self.deliver(Place::Transaction, draft, who).await?;
        answer.ok("sending a return")?;
        self.memory.returns.insert(refund_id.to_owned(), Sale { hash, total, void: false });
        Ok(done(format!("return of {amount} sent")))
    }

    fn draft(&self, refund_id: &str, refund: &View, sum: &Sum) -> Result<body::Draft, End> {
        let id = return_id(&self.id, refund_id);
        body::draft(Lines { order: &self.order, id: &id, sum, is_return: true }, Some(refund), self.settings)
    }
}
