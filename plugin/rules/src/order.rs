//! Sends orders to Omneo: as Omneo orders below the threshold, as transactions from there on. The state in the body
//! decides, never the topic. Knows the sequence of the checks, and nothing of how amounts add up or who has which
//! profile.

mod alone;
mod amount;
mod body;
mod figures;
mod graphql;
mod item;
mod memory;
mod piece;
mod profile;
mod refund;
mod send;
mod status;
mod sum;
mod worth;

use std::collections::BTreeSet;

use serde_json::Map;
use tandem_sdk::{Cx, End, Ending, Event, Json, Time, Value, View, done, invalid, refused, skipped};

use crate::clock::Clock;
use crate::fingerprint::fingerprint;
use crate::key::own_id;
use crate::settings::{OnRefund, Settings};
pub use graphql::{body as body_of_node, orders as orders_document, shown_keys};

use amount::Purse;
use body::{CANCELLED, Draft};
use item::Lines;
use memory::{Memory, head, return_id};
use worth::Worth;

/// Handles every topic of orders.
pub async fn handle(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let order = payload.view();
    match event.topic.as_str() {
        "orders/delete" => return deleted(cx, settings, order).await,
        "refunds/create" => return alone::handle(cx, settings, order).await,
        _ => {}
    }
    if !order.get("/line_items").is_some_and(|lines| lines.is_list()) {
        return Ok(invalid("not an order: it has no `line_items`"));
    }
    if !order.list("/line_items")?.iter().all(View::is_object) {
        return Ok(invalid("not an order: one of its `line_items` is no object"));
    }
    if order.opt_decimal("/total_price")?.is_none() {
        return Ok(invalid("not an order: it has no `total_price`"));
    }
    if order.opt_bool("/test")? == Some(true) && !settings.orders.include_test {
        return Ok(skipped("a test order: `orders.include_test = false`"));
    }
    let id = own_id(&order)?.to_string();
    let mut memory = Memory::read(cx.memory());
    if memory.deleted {
        return Ok(skipped("the order was deleted in Shopify"));
    }
    if !memory.has_sent()
        && let Some(reason) = is_before(&order, settings.orders.from)?
    {
        return Ok(skipped(reason));
    }
    let clock = Clock::of(&order, event)?;
    if memory.clock.is_some_and(|known| clock.is_older_than(known)) {
        let stale = skipped("older than what is known of the order");
        // An order that has once reached the threshold stays reached, even when the body that shows it comes late: the
        // next body is a sale.
        if memory.reached || memory.lost || !status::is_reached(&order, settings.orders.transaction_status)? {
            return Ok(stale);
        }
        return Ok(stale.remember(Memory { reached: true, state: String::new(), ..memory }.text()));
    }
    let is_same_time = memory.clock == Some(clock);
    memory.clock = Some(clock.or(memory.clock));
    let before = std::mem::take(&mut memory.state);
    let is_over = memory.cancelled || order.opt_text("/cancelled_at")?.is_some() || status::voided(&order)?.is_some();
    let whole = if is_over { None } else { graphql::with_refunds(cx, &order).await? };
    let order = whole.as_ref().map_or(order, Json::view);
    let mut job = Job { cx, settings, order, id, memory };
    let result = if job.memory.cancelled || job.order.opt_text("/cancelled_at")?.is_some() {
        job.cancel().await
    } else if let Some(status) = status::voided(&job.order)? {
        job.lapse(status).await
    } else {
        job.send(is_same_time.then_some(before)).await
    };
    remembering(job.memory, result)
}

/// Why an order is left out that was processed before orders count; `None` if it counts. Without a time in the body,
/// the order counts.
fn is_before(order: &View, from: Option<Time>) -> Result<Option<String>, End> {
    let Some(from) = from else { return Ok(None) };
    for at in ["/processed_at", "/created_at"] {
        if let Some(time) = order.opt_text(at)?.and_then(Time::parse) {
            let day = &from.rfc3339()[..10];
            return Ok((time < from).then(|| format!("processed before `orders.from = \"{day}\"`")));
        }
    }
    Ok(None)
}

/// Handles `orders/delete`, whose body may hold only the id: makes void what was sent.
async fn deleted(cx: &Cx, settings: &Settings, order: View<'_>) -> Ending {
    let id = own_id(&order)?.to_string();
    let mut job = Job { cx, settings, order, id, memory: Memory::read(cx.memory()) };
    let result = job.delete().await;
    remembering(job.memory, result)
}

/// Adds the memory to an ending. If something was sent, that is remembered even when the event failed afterwards. An
/// event that was refused before anything was sent leaves no trace, so that the same body counts when it is run again.
fn remembering(memory: Memory, result: Ending) -> Ending {
    match result {
        Ok(end) => Ok(end.remember(memory.text())),
        Err(end) if memory.has_sent() => Err(end.remember(Memory { state: String::new(), ..memory }.text())),
        Err(end) => Err(end),
    }
}

/// One order while it is being handled.
struct Job<'a> {
    cx: &'a Cx,
    settings: &'a Settings,
    order: View<'a>,
    id: String,
    /// The memory that will be stored at the end.
    memory: Memory,
}

/// What an order amounts to for Omneo.
struct Plan {
    /// The sale first, then the returns, each with the id of its refund.
    drafts: Vec<(String, Draft)>,
    notes: Vec<String>,
    wrong: Vec<String>,
    /// The refunds that the body shows; empty unless all of them can be processed.
    refunds: BTreeSet<String>,
    /// What a refund of the sale needs whose event comes alone. Empty when the sale is what its refunds have left.
    head: Map<String, Value>,
}

impl Job<'_> {
    /// A cancelled order stays cancelled, and nothing is made void a second time.
    async fn cancel(&mut self) -> Ending {
        let before = std::mem::replace(&mut self.memory.cancelled, true);
        if self.memory.lost {
            return Ok(refused(
                "cancelled, but what was remembered of the order cannot be read: void it in Omneo if it is there",
            ));
        }
        let mut what = self.void_for_good().await?;
        if self.memory.order.as_ref().is_some_and(|order| order.status != CANCELLED)
            && self.set_status(CANCELLED).await?
        {
            what.push("Omneo order cancelled".to_owned());
        }
        what.extend(self.void_forgotten().await?);
        Ok(match (what.is_empty(), before) {
            (false, _) => done(format!("the order was cancelled: {}", what.join(", "))),
            (true, true) => skipped("cancelled before"),
            (true, false) => skipped("cancelled and never sent"),
        })
    }

    /// A deleted order stays deleted: a body that comes late does not send it again.
    async fn delete(&mut self) -> Ending {
        if self.memory.lost {
            return Ok(refused(
                "deleted, but what was remembered of the order cannot be read: void it in Omneo if it is there",
            ));
        }
        let mut what = self.void_for_good().await?;
        if self.memory.order.is_some() && self.delete_order().await? {
            what.push("Omneo order deleted".to_owned());
        }
        what.extend(self.void_forgotten().await?);
        let before = std::mem::replace(&mut self.memory.deleted, true);
        Ok(match (what.is_empty(), before) {
            (false, _) => done(format!("the order was deleted: {}", what.join(", "))),
            (true, true) => skipped("deleted before"),
            (true, false) => skipped("deleted, and nothing of it stands in Omneo"),
        })
    }

    /// Makes void what may stand in Omneo although the memory says nothing of it: the sale, and one return for each
    /// known refund. Each external id is looked up once only.
    async fn void_forgotten(&mut self) -> Result<Vec<String>, End> {
        let mut refunds = self.memory.shown.clone();
        if self.order.get("/refunds").is_some_and(|all| all.is_list()) {
            for refund in self.order.list("/refunds")? {
                refunds.insert(own_id(&refund)?.to_string());
            }
        }
        if self.settings.orders.refunds != OnRefund::Return {
            refunds.clear();
        }
        let ids: Vec<_> = refunds.iter().map(|refund| return_id(&self.id, refund)).collect();
        let mut what = vec![];
        for id in std::iter::once(self.id.clone()).chain(ids) {
            what.extend(self.void_one_forgotten(id).await?);
        }
        Ok(what)
    }

    /// Handles a sale whose authorisation has lapsed. It may still be paid in another way, so the next body decides
    /// afresh.
    async fn lapse(&mut self, status: &str) -> Ending {
        self.memory.reached = false;
        let what = self.void_all().await?;
        let status = format!("financial status is `{status}`");
        Ok(if what.is_empty() { skipped(status) } else { done(format!("{status}: {}", what.join(", "))) })
    }

    /// Sends what has to be sent. `before` is the mark of the state that was handled last, if the clock has not moved
    /// since.
    async fn send(&mut self, before: Option<String>) -> Ending {
        let threshold = self.settings.orders.transaction_status;
        let sold = self.memory.sale.as_ref().is_some_and(|sale| !sale.void);
        let reached = self.memory.reached || sold || status::is_reached(&self.order, threshold)?;
        let Plan { drafts, notes, wrong, refunds, head } = self.plan().await?;
        let state = self.state(&drafts, reached)?;
        if before.as_ref() == Some(&state) {
            self.memory.state = state;
            return Ok(skipped("an echo: this state of the order was dealt with before"));
        }
        if !drafts[0].1.has_items && !self.memory.has_sent() {
            return Ok(skipped("no line of the order is an item for Omneo"));
        }
        let who = profile::find(self.cx, self.settings, &self.order, &self.memory).await?;
        let mut what = match reached {
            true => {
                self.memory.head = head;
                self.send_sale(drafts, refunds, who).await?
            }
            false => self.send_order(drafts, who, &status::below(&self.order, threshold)?).await?,
        };
        if !wrong.is_empty() {
            what.extend(wrong);
            return Err(refused(what.join("; ")));
        }
        // As long as a customer has no profile, each event of the order looks for one, even an event that brings
        // nothing new.
        let is_settled = self.memory.profile.is_some() || profile::customer_id(&self.order).is_none();
        self.memory.state = if is_settled { state } else { String::new() };
        if what.is_empty() {
            what.push("nothing of the order that Omneo keeps has changed".to_owned());
            return Ok(skipped(what.into_iter().chain(notes).collect::<Vec<_>>().join("; ")));
        }
        what.extend(notes);
        Ok(done(what.join("; ")))
    }

    async fn plan(&self) -> Result<Plan, End> {
        let order = &self.order;
        let Worth { sum, returns, notes, mut wrong, is_left, .. } = self.worth().await?;
        let sale = Lines { order, id: &self.id, sum: &sum, is_return: false };
        let mut drafts = vec![(String::new(), body::draft(sale, None, self.settings)?)];
        for refund in returns {
            let (view, refund_id) = (&refund.view, refund.id.to_string());
            let back = Lines { id: &return_id(&self.id, &refund_id), sum: &refund.sum, is_return: true, ..sale };
            match body::draft(back, Some(view), self.settings) {
                Ok(draft) if draft.has_items => drafts.push((refund_id, draft)),
                Ok(_) => {}
                Err(end) => wrong.push(format!("refund {refund_id} not sent: {}", end.reason)),
            }
        }
        let mut refunds = BTreeSet::new();
        if wrong.is_empty() {
            for refund in order.list("/refunds")? {
                refunds.insert(own_id(&refund)?.to_string());
            }
        }
        let head = if is_left { Map::new() } else { head(order, sum.purse.scale) };
        Ok(Plan { drafts, notes, wrong, refunds, head })
    }

    /// What the order is worth: by its body or, where the body contradicts itself, by Shopify's own figures.
    async fn worth(&self) -> Result<Worth<'_>, End> {
        let (order, orders) = (&self.order, &self.settings.orders);
        let by_body = worth::of_body(order, orders);
        let why = match &by_body {
            Ok(worth) if worth.doubts.is_empty() && worth.wrong.is_empty() => return by_body,
            Ok(worth) => worth.wrong.iter().chain(&worth.doubts).cloned().collect::<Vec<_>>().join("; "),
            Err(end) => end.reason.clone(),
        };
        let purse = Purse::of(order, orders.money)?;
        match (figures::worth(self.cx, &self.id, purse).await?, by_body) {
            (Ok((left, scale)), _) => {
                let mut worth = worth::of_figure(order, orders, left)?;
                worth.sum.purse.scale = worth.sum.purse.scale.max(scale);
                let left = worth.sum.purse.decimal(left);
                worth.notes.push(format!("Shopify's own figures say that {left} is left of the order ({why})"));
                Ok(worth)
            }
            (Err(unsaid), Ok(mut worth)) => {
                if worth.wrong.is_empty() {
                    worth.notes.push(format!("{why}: {unsaid}"));
                } else {
                    worth.wrong.push(unsaid);
                }
                Ok(worth)
            }
            (Err(unsaid), Err(end)) => Err(refused(format!("{}; {unsaid}", end.reason))),
        }
    }

    /// The mark of everything that decides what is sent.
    fn state(&self, drafts: &[(String, Draft)], reached: bool) -> Result<String, End> {
        let customer = (profile::customer_id(&self.order), self.order.opt_text("/customer/email")?);
        let marks: Vec<_> = drafts.iter().map(|(_, draft)| draft.mark.as_str()).collect();
        Ok(fingerprint(format!("{} {reached} {customer:?} {:?}", marks.join(" "), self.order.opt_text("/email")?)))
    }
}
