//! Sends orders and transactions to Omneo, and keeps what was sent in memory. Knows Omneo's calls for them, and not
//! when they are due.

use std::collections::BTreeSet;

use tandem_sdk::{Answer, CallTo, End, Reply, Value, delete, get, json, post, put, segment};

use super::Job;
use super::body::{Draft, FULFILLED, OPEN};
use super::memory::{OmneoOrder, Sale, return_id};
use super::profile::{self, Who};
use crate::fingerprint::fingerprint;
use crate::settings::OnRefund;

/// Where the answer to a write shows that Omneo has stored it.
const STORED: &str = "/data/id";

/// How many times an order of unknown fate is looked for and created again before a person has to look.
const TRIES_MAX: u32 = 3;

/// Where a draft goes.
pub(super) enum Place {
    Transaction,
    NewOrder,
    Order(String),
}

impl Job<'_> {
    pub(super) async fn void_all(&mut self) -> Result<Vec<String>, End> {
        self.void(|_| true).await
    }

    /// As `void_all`, for an order that is over: also notes that nothing stands in Omneo under these external ids any
    /// more.
    pub(super) async fn void_for_good(&mut self) -> Result<Vec<String>, End> {
        let live: Vec<_> = self.memory.live(&self.id).into_iter().map(|(id, _)| id).collect();
        let what = self.void_all().await?;
        self.memory.looked.extend(live);
        Ok(what)
    }

    /// Makes void a transaction with this external id that the memory does not know. A run that failed after its write
    /// can have left one. Only for an order that is over.
    pub(super) async fn void_one_forgotten(&mut self, id: String) -> Result<Option<String>, End> {
        // This event has made it void, or an earlier event has looked it up.
        if self.memory.looked.contains(&id) {
            return Ok(None);
        }
        let path = format!("/transactions/external/{}", segment(&id));
        let answer = self.cx.omneo(get(path).needs("/data")).await?;
        let mut what = None;
        match answer.status {
            404 => {}
            // An older token may not be allowed to read transactions. What is remembered was made void all the same.
            403 => return Ok(None),
            _ => {
                let found = answer.ok("looking for a transaction")?.json()?;
                if found.view().opt_bool("/data/is_void").ok().flatten() != Some(true) {
                    let answer = self.cx.omneo(sale(json!({"external_id": id, "is_void": true}))).await?;
                    answer.ok("making a transaction void")?;
                    what = Some(format!("{id} made void, of which nothing was remembered"));
                }
            }
        }
        self.memory.looked.insert(id);
        Ok(what)
    }

    /// Makes void the remembered transactions whose external id `is_over` accepts.
    async fn void(&mut self, is_over: impl Fn(&str) -> bool) -> Result<Vec<String>, End> {
        let mut what = vec![];
        for (id, sent) in self.memory.live(&self.id) {
            if !is_over(&id) {
                continue;
            }
            let body = json!({"external_id": id, "is_void": true});
            let answer = self.cx.omneo(sale(body)).await?;
            answer.ok("making a transaction void")?;
            sent.void = true;
            let kind = if id == self.id { "sale" } else { "return" };
            what.push(format!("{kind} of {} made void", sent.total));
        }
        Ok(what)
    }

    /// Sends the sale and its returns. Gives what was sent, in words.
    pub(super) async fn send_sale(
        &mut self,
        drafts: Vec<(String, Draft)>,
        refunds: BTreeSet<String>,
        mut who: Who,
    ) -> Result<Vec<String>, End> {
        self.memory.reached = true;
        // Some returns were sent that this body no longer yields, because a setting has changed or the money did not
        // move after all. The sale counts their amount now, so they are made void. A refund that the body does not show
        // yet is left alone.
        let sale_is_left = self.memory.head.is_empty();
        let kept: BTreeSet<_> = drafts.iter().map(|(refund, _)| return_id(&self.id, refund)).collect();
        let shown: BTreeSet<_> = refunds.iter().map(|refund| return_id(&self.id, refund)).collect();
        self.memory.shown.extend(refunds);
        let (order, ignores) = (self.id.clone(), self.settings.orders.refunds == OnRefund::Ignore);
        let is_over = |id: &str| id != order && !kept.contains(id) && (sale_is_left || shown.contains(id));
        let mut what = if ignores { vec![] } else { self.void(is_over).await? };
        for (n, (refund, draft)) in drafts.into_iter().enumerate() {
            let (amount, total, left_out) =
                (draft.amount.clone(), draft.total.abs().to_string(), draft.left_out.clone());
            let known = if n == 0 { self.memory.sale.as_ref() } else { self.memory.returns.get(&refund) };
            if let Some(known) = known.filter(|known| !known.void)
                && self.is_same(&known.hash, &draft, &who)?
            {
                continue;
            }
            let (answer, hash, whose) = self.deliver(Place::Transaction, draft, who).await?;
            who = whose;
            answer.ok(if n == 0 { "sending the sale" } else { "sending a return" })?;
            let sent = Sale { hash, total, void: false };
            if n == 0 {
                self.memory.sale = Some(sent);
                what.push(format!("sale of {amount} sent {}", to(&who)));
                what.extend(left_out);
            } else {
                self.memory.returns.insert(refund, sent);
                what.push(format!("return of {amount} sent"));
            }
        }
        // A memory that cannot be read may have known an Omneo order.
        if self.memory.lost || self.memory.order.as_ref().is_some_and(|order| order.status != FULFILLED) {
            let closed = self.set_status(FULFILLED).await?;
            what.extend((closed && what.is_empty()).then(|| "Omneo order fulfilled".to_owned()));
        }
        Ok(what)
    }

    /// Sends the order. Gives what was sent, in words.
    pub(super) async fn send_order(
        &mut self,
        mut drafts: Vec<(String, Draft)>,
        who: Who,
        below: &str,
    ) -> Result<Vec<String>, End> {
        let (_, draft) = drafts.swap_remove(0);
        let (_, hash) = self.buyer(&draft, &who)?;
        if self.memory.order.as_ref().is_some_and(|order| order.hash == hash && order.status == OPEN) {
            return Ok(vec![]);
        }
        let amount = draft.amount.clone();
        let place = self.omneo_order().await?.map_or(Place::NewOrder, Place::Order);
        let known = if let Place::Order(id) = &place { Some(id.clone()) } else { None };
        // Noted before the call: should the answer be lost, it is at least known that there may be an order to cancel
        // or fulfil.
        self.memory.order.get_or_insert_default();
        let (answer, hash, who) = self.deliver(place, draft, who).await?;
        if answer.status == 404 {
            // Somebody has deleted the order in Omneo. The next try looks for it and creates it anew.
            self.memory.order = Some(OmneoOrder::default());
        }
        let answer = answer.ok("sending the order")?;
        let named = || answer.json().ok()?.view().opt_loose("/data/id").ok()?;
        let id = known.or_else(named).unwrap_or_default();
        self.memory.order = Some(OmneoOrder { id, hash, status: OPEN.to_owned() });
        Ok(vec![format!("order of {amount} sent {}: {below}", to(&who))])
    }

    /// Sends a draft and remembers the profile that it went to. The profile may be gone or merged by now: if Omneo
    /// declines it, the customer's profile is looked up again, once.
    pub(super) async fn deliver(
        &mut self,
        mut place: Place,
        draft: Draft,
        mut who: Who,
    ) -> Result<(Answer, String, Who), End> {
        let (buyer, mut hash) = self.buyer(&draft, &who)?;
        let mut tries = 1;
        let mut answer = loop {
            let call = self.call(&place, draft.clone(), buyer)?;
            if tries == TRIES_MAX {
                break self.cx.omneo(call).await?;
            }
            match self.cx.ask("omneo", call).await? {
                Reply::Answer(answer) => break answer,
                // The order may exist by now, so it is looked for before it is created again.
                Reply::Unknown(_) => place = self.omneo_order().await?.map_or(Place::NewOrder, Place::Order),
            }
            tries += 1;
        };
        if let Who::Profile(link) = &who
            && matches!(answer.status, 404 | 422)
        {
            let found = profile::find_again(self.cx, self.settings, &self.order, link).await?;
            if found != who {
                self.memory.gone = matches!(found, Who::Nobody(_)).then(|| link.clone());
                who = found;
                let buyer = self.buyer(&draft, &who)?;
                hash = buyer.1;
                answer = self.cx.omneo(self.call(&place, draft, buyer.0)?).await?;
            }
        }
        self.memory.profile = match &who {
            Who::Profile(link) => Some(link.clone()),
            Who::Nobody(_) => None,
        };
        Ok((answer, hash, who))
    }

    /// Whether a draft equals what was sent. A transaction that was sent to a profile which is gone now stays as it is.
    fn is_same(&self, sent: &str, draft: &Draft, who: &Who) -> Result<bool, End> {
        let gone = self.memory.gone.clone().filter(|_| matches!(who, Who::Nobody(_))).map(Who::Profile);
        let to_gone = gone.map(|gone| self.buyer(draft, &gone).map(|(_, hash)| hash)).transpose()?;
        Ok(self.buyer(draft, who)?.1 == sent || to_gone.is_some_and(|hash| hash == sent))
    }

    /// The key and the value that name the buyer, and the mark of the draft together with them.
    fn buyer<'a>(&'a self, draft: &Draft, who: &'a Who) -> Result<((&'static str, &'a str), String), End> {
        let buyer = match who {
            Who::Profile(link) => ("profile_id", link.id.as_str()),
            Who::Nobody(_) => ("receipt_email", self.order.opt_text("/email")?.unwrap_or_default()),
        };
        Ok((buyer, fingerprint(format!("{} {} {}", draft.mark, buyer.0, buyer.1))))
    }

    fn call(&self, place: &Place, draft: Draft, who: (&str, &str)) -> Result<CallTo, End> {
        let number = self.order.opt_loose("/order_number")?;
        Ok(match place {
            Place::Transaction => sale(draft.transaction(&self.id, who)),
            Place::NewOrder => post("/orders", draft.order(number, who)).needs(STORED),
            Place::Order(id) => put(format!("/orders/{}", segment(id)), draft.order(number, who)).needs(STORED),
        })
    }

    /// The id of the order in Omneo, if there is one. Omneo is asked each time before an order would be created,
    /// because creating it twice would make two orders.
    async fn omneo_order(&self) -> Result<Option<String>, End> {
        if let Some(order) = self.memory.order.as_ref().filter(|order| !order.id.is_empty()) {
            return Ok(Some(order.id.clone()));
        }
        let answer = self.cx.omneo(get("/orders").query("filter[external_id]", &self.id).needs("/data")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let json = answer.ok("looking up the order")?.json()?;
        for found in json.view().list("/data")? {
            if found.opt_loose("/external_id")?.as_deref() == Some(&self.id) {
                return Ok(found.opt_loose("/id")?);
            }
        }
        Ok(None)
    }

    /// Deletes the order in Omneo. Gives whether there was one; an order that is already deleted counts.
    pub(super) async fn delete_order(&mut self) -> Result<bool, End> {
        let found = self.omneo_order().await?;
        if let Some(id) = &found {
            let answer = self.cx.omneo(delete(format!("/orders/{}", segment(id)))).await?;
            if answer.status != 404 {
                answer.ok("deleting the order")?;
            }
        }
        self.memory.order = None;
        Ok(found.is_some())
    }

    /// Sets the status of the order in Omneo. Gives whether there was one.
    pub(super) async fn set_status(&mut self, status: &str) -> Result<bool, End> {
        let Some(id) = self.omneo_order().await? else {
            self.memory.order = None;
            return Ok(false);
        };
        let path = format!("/orders/{}", segment(&id));
        let answer = self.cx.omneo(put(path, json!({"status": status})).needs(STORED)).await?;
        if answer.status == 404 {
            self.memory.order = None;
            return Ok(false);
        }
        answer.ok("setting the status of the order")?;
        let order = self.memory.order.get_or_insert_default();
        (order.id, order.status) = (id, status.to_owned());
        Ok(true)
    }
}

/// A call that writes a transaction. Omneo looks transactions up by external id, so sending the same again changes
/// nothing.
fn sale(body: Value) -> CallTo {
    post("/transactions/update-create", body).repeatable().needs(STORED)
}

fn to(who: &Who) -> String {
    match who {
        Who::Profile(link) => format!("to profile {}", link.id),
        Who::Nobody(why) => format!("without a profile ({why})"),
    }
}
