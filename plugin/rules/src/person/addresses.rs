//! Addresses, both ways: a list on each side, matched by Omneo's external id, each address merged as a whole. The parts
//! of an address belong together: mixing two edits could produce a place that does not exist.
//!
//! Absence deletes nothing: an address that one side lacks stays on the other. Does not know which fields a person has.

mod sides;

use tandem_sdk::{End, View, Wrong, join, json};

use super::address::Address;
use super::fields::Side;
use super::mark::Mark;
use super::memory::{AddressEntry as Entry, Base, Memory, Window};
use super::run::Run;
use crate::clock::seconds;
use crate::mapping::Owner;
use sides::{List, Written};

/// How often, within one event, both sides are read again after a write whose outcome is not known.
const PASSES_MAX: usize = 3;

/// Whether every address in a body of Shopify is as last seen. Some bodies have an empty list and the default address
/// beside it, so both are compared.
pub fn are_as_seen(memory: &Memory, body: &View) -> Result<bool, Wrong> {
    let mut shown =
        if body.get("/addresses").is_some_and(|list| list.is_list()) { body.list("/addresses")? } else { vec![] };
    shown.extend(body.get("/default_address").filter(|default| default.is_object()));
    for one in shown {
        let Some(address) = Address::of_body(&one)? else { continue };
        if !is_seen(memory, Side::Shopify, &address) {
            return Ok(false);
        }
        let default = memory.addresses.default.as_ref().and_then(|default| default.0.as_ref());
        if address.is_default && default != Some(&address.id) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The addresses in an event's body that a write of ours ran over, as `merge::run_over` finds fields: each dates from
/// between our read and our write, and equals neither what we read nor what we wrote. The side of the event must be one
/// that may win.
pub fn run_over(memory: &Memory, side: Side, body: &View, owner: Owner) -> Result<Vec<Address>, Wrong> {
    let may_win = match owner {
        Owner::Latest => true,
        Owner::Shopify => side == Side::Shopify,
        Owner::Omneo => side == Side::Omneo,
    };
    let windows = memory.addresses.entries.iter().any(|entry| entry.window(side).is_some());
    if !may_win || !windows {
        return Ok(vec![]);
    }
    let list =
        if body.get("/addresses").is_some_and(|list| list.is_list()) { body.list("/addresses")? } else { vec![] };
    let mut shown = vec![];
    match side {
        Side::Shopify => {
            let at = seconds(body, "/updated_at")?;
            for one in &list {
                if let Some(mut address) = Address::of_body(one)? {
                    address.at = at;
                    shown.push(address);
                }
            }
        }
        Side::Omneo if body.has("/address_line_1") => shown.push(Address::of_row(body)?),
        Side::Omneo => {
            for one in &list {
                shown.push(Address::of_row(one)?);
            }
        }
    }
    shown.retain(|address| {
        let window = entry_of(memory, side, &address.id).and_then(|entry| entry.window(side));
        window.zip(address.at).is_some_and(|(window, at)| {
            let shows = mark(memory, address);
            shows != window.read && shows != window.wrote && window.read_at < at && at <= window.wrote_at
        })
    });
    Ok(shown)
}

/// Whether all of Omneo's addresses are as last seen.
pub async fn omneo_as_seen(run: &Run<'_>, profile: &str) -> Result<bool, End> {
    let Some(list) = sides::omneo(run.cx, profile).await? else {
        return Ok(true);
    };
    let memory = &run.memory;
    let default = memory.addresses.default.as_ref().and_then(|default| default.1.as_deref());
    // The row belongs to another system, or to an address that Shopify no longer has.
    let is_left =
        |address: &Address| address.external.is_some() && entry_of(memory, Side::Omneo, &address.id).is_none();
    let is_there = |entry: &Entry| entry.gone || entry.omneo.as_ref().is_none_or(|id| list.find(id).is_some());
    Ok(list.all.iter().all(|address| is_left(address) || is_seen(memory, Side::Omneo, address))
        && memory.addresses.entries.iter().all(is_there)
        && list.default() == default)
}

fn entry_of<'a>(memory: &'a Memory, side: Side, id: &str) -> Option<&'a Entry> {
    memory.addresses.entries.iter().find(|entry| entry.id(side).is_some_and(|known| known == id))
}

fn is_seen(memory: &Memory, side: Side, address: &Address) -> bool {
    let base = entry_of(memory, side, &address.id).and_then(|entry| entry.base.as_ref());
    base.is_some_and(|base| *base.of(side) == mark(memory, address))
}

fn mark(memory: &Memory, address: &Address) -> Mark {
    address.mark(memory.link.as_ref().map_or("", |link| &link.profile))
}

/// Reads the addresses of both sides and brings them in step, if anything suggests that they may differ.
pub async fn sync(run: &mut Run<'_>, customer: u64, profile: &str) -> Result<(), End> {
    if !run.addresses_due || !run.settings.sync.addresses {
        return Ok(());
    }
    for _ in 0..PASSES_MAX {
        let (s, o) = join(sides::shopify(run.cx, customer), sides::omneo(run.cx, profile)).await;
        let (Some(s), Some(o)) = (s?, o?) else {
            return Ok(());
        };
        let mut pass = Pass { run, customer, profile, s, o, wrote_shopify: false };
        if pass.run().await? {
            return Ok(());
        }
    }
    run.note("what became of an address is not known; its next event looks again");
    Ok(())
}

/// One look at the addresses of both sides.
struct Pass<'r, 'a> {
    run: &'r mut Run<'a>,
    customer: u64,
    profile: &'r str,
    s: List,
    o: List,
    wrote_shopify: bool,
}

impl Pass<'_, '_> {
    /// Merges all addresses. Gives whether the outcome of every write is known.
    async fn run(&mut self) -> Result<bool, End> {
        let mut entries = std::mem::take(&mut self.run.memory.addresses.entries);
        pair_up(&mut entries, &self.s, &self.o);
        let mut is_over = true;
        for entry in &mut entries {
            is_over &= self.one(entry).await?;
        }
        let is_left = |id: &Option<String>, list: &List| id.as_ref().is_some_and(|id| list.find(id).is_some());
        entries.retain(|entry| is_left(&entry.shopify, &self.s) || is_left(&entry.omneo, &self.o));
        for entry in &entries {
            if let Some(why) = &entry.held {
                let id = entry.shopify.as_ref().or(entry.omneo.as_ref()).map_or("", String::as_str);
                self.run.note(format!("address {id} is held: {why}"));
            }
        }
        if self.wrote_shopify {
            // Shopify's addresses have no clock. The windows end with the customer's clock after all writes.
            let at = sides::updated_at(self.run.cx, self.customer).await?;
            for entry in &mut entries {
                let open = entry.shopify_window.take_if(|window| window.wrote_at == i64::MAX);
                let closed = open.zip(at).map(|(window, wrote_at)| Window { wrote_at, ..window });
                entry.shopify_window = entry.shopify_window.take().or(closed);
            }
        }
        self.run.memory.addresses.entries = entries;
        if is_over {
            self.default().await?;
        }
        Ok(is_over)
    }

    async fn one(&mut self, entry: &mut Entry) -> Result<bool, End> {
        let find = |id: &Option<String>, list: &List| id.as_ref().and_then(|id| list.find(id)).cloned();
        let (s, o) = (find(&entry.shopify, &self.s), find(&entry.omneo, &self.o));
        let is_new = |side: Side, address: &Address| {
            entry.base.as_ref().is_none_or(|base| *base.of(side) != mark(&self.run.memory, address))
        };
        match (s, o) {
            (Some(s), Some(o)) => self.both(entry, &s, &o).await,
            (Some(s), None) => {
                let is_new = is_new(Side::Shopify, &s);
                if entry.omneo.is_some() && entry.omneo == self.run.address_deleted && !entry.gone {
                    entry.gone = true;
                    if entry.ours && !is_new && self.run.to_shopify {
                        match sides::drop_address(self.run.cx, self.customer, &s.id).await? {
                            Some(why) => self.run.note(format!("address {} stays in Shopify: `{why}`", s.id)),
                            None => {
                                self.s.all.retain(|other| other.id != s.id);
                                self.run.wrote(Side::Shopify, format!("address {} deleted", s.id));
                            }
                        }
                    }
                    return Ok(true);
                }
                if entry.gone || !is_new || !self.run.to_omneo {
                    Ok(true)
                } else {
                    self.write_omneo(entry, &s, None).await
                }
            }
            // The address was deleted in Shopify, so it is not created there again.
            (None, Some(_)) if entry.shopify.is_some() => Ok(true),
            (None, Some(o)) if is_new(Side::Omneo, &o) && self.run.to_shopify => {
                self.write_shopify(entry, None, &o).await
            }
            _ => Ok(true),
        }
    }

    async fn both(&mut self, entry: &mut Entry, s: &Address, o: &Address) -> Result<bool, End> {
        for (side, now) in [(Side::Shopify, s), (Side::Omneo, o)] {
            // An edit that was overwritten is put back only while the side still shows what we wrote. Any other value
            // is a later edit.
            let over = self.run.addresses_over.iter().find(|over| Some(&over.id) == entry.id(side)).cloned();
            let over =
                over.filter(|_| entry.window(side).is_some_and(|window| window.wrote == mark(&self.run.memory, now)));
            if let Some(over) = over {
                return self.put_back(entry, side, &over, s, o).await;
            }
        }
        let memory = &self.run.memory;
        let changed = |side: Side, address: &Address| {
            entry.base.as_ref().is_none_or(|base| *base.of(side) != mark(memory, address))
        };
        let changes = (changed(Side::Shopify, s), changed(Side::Omneo, o));
        let is_named = o.external.as_deref() == Some(&s.id);
        if changes == (false, false) && is_named {
            return Ok(true);
        }
        if s.same(o) || changes == (false, false) {
            self.settle(entry, Some(s), Some(o));
            return if is_named { Ok(true) } else { self.name(entry, s, o).await };
        }
        let from = match (changes.0 && self.run.to_omneo, changes.1 && self.run.to_shopify) {
            (true, false) => Side::Shopify,
            (false, true) => Side::Omneo,
            (true, true) => self.owner(o),
            (false, false) => return Ok(true),
        };
        match from {
            Side::Shopify => self.write_omneo(entry, s, Some(o)).await,
            Side::Omneo => self.write_shopify(entry, Some(s), o).await,
        }
    }

    /// Restores an address to its state before a write of ours ran over it: first on its own side, then on the other.
    async fn put_back(
        &mut self,
        entry: &mut Entry,
        side: Side,
        over: &Address,
        s: &Address,
        o: &Address,
    ) -> Result<bool, End> {
        let (is_allowed, input) = match side {
            Side::Shopify => (self.run.to_shopify, over.for_shopify(Some(s), s.parts())),
            Side::Omneo => (self.run.to_omneo, over.for_omneo(o.parts())),
        };
        let written = match side {
            _ if !is_allowed || input.is_empty() => return Ok(true),
            Side::Shopify => sides::change(self.run.cx, self.customer, &s.id, input).await?,
            Side::Omneo => sides::change_row(self.run.cx, self.profile, &o.id, input).await?,
        };
        let now = match written {
            Written::Done(now) => now,
            Written::Again => return Ok(false),
            Written::Held { why, .. } => return Ok(self.hold(entry, Some(s), Some(o), why)),
        };
        let what = format!("address {} (an edit that was overwritten at the same moment is put back)", s.id);
        self.run.wrote(side, what);
        match side {
            Side::Shopify => {
                let mut now = *now;
                now.is_default = s.is_default;
                self.s.put(now.clone());
                self.write_omneo(entry, &now, Some(o)).await
            }
            Side::Omneo => {
                self.o.put((*now).clone());
                self.write_shopify(entry, Some(s), &now).await
            }
        }
    }

    /// The side that wins an address which both have changed. Shopify's addresses have no clock, so `latest` compares
    /// Omneo's clock of the address with Shopify's clock of the customer. Every change moves the latter, so in doubt
    /// Shopify wins, where shoppers edit.
    fn owner(&self, o: &Address) -> Side {
        match self.run.settings.addresses_owner {
            Owner::Shopify => Side::Shopify,
            Owner::Omneo => Side::Omneo,
            Owner::Latest if o.at > self.s.at => Side::Omneo,
            Owner::Latest => Side::Shopify,
        }
    }

    async fn write_omneo(&mut self, entry: &mut Entry, s: &Address, o: Option<&Address>) -> Result<bool, End> {
        if let Some(why) = s.lacks() {
            return Ok(self.hold(entry, Some(s), o, why));
        }
        let mut body = s.for_omneo(entry.had.0);
        body.insert("external_id".into(), json!(s.id));
        let mut left_out = None;
        loop {
            let written = match o.filter(|o| o.external.as_deref() != Some(&s.id)) {
                Some(o) => sides::change_row(self.run.cx, self.profile, &o.id, body.clone()).await?,
                None => sides::upsert(self.run.cx, self.profile, body.clone()).await?,
            };
            match written {
                // A faulty phone number does not hold the address back: the address is written without it.
                Written::Held { why, is_phone: true } if body.remove("phone").is_some() => left_out = Some(why),
                Written::Held { why, .. } => return Ok(self.hold(entry, Some(s), o, why)),
                Written::Again => return Ok(false),
                Written::Done(after) => {
                    entry.omneo = Some(after.id.clone());
                    self.settle(entry, Some(s), Some(&after));
                    entry.held = left_out.map(without_phone);
                    entry.omneo_window = o.and_then(|o| Some(self.window(o, o.at?, &after, after.at?)));
                    self.o.put(*after);
                    self.run.wrote(Side::Omneo, format!("address {}", s.id));
                    return Ok(true);
                }
            }
        }
    }

    async fn write_shopify(&mut self, entry: &mut Entry, s: Option<&Address>, o: &Address) -> Result<bool, End> {
        let mut input = o.for_shopify(s, entry.had.1);
        let mut left_out = None;
        while !input.is_empty() {
            let written = match s {
                Some(s) => sides::change(self.run.cx, self.customer, &s.id, input.clone()).await?,
                None => sides::add(self.run.cx, self.customer, input.clone()).await?,
            };
            match written {
                Written::Held { why, is_phone: true } if input.remove("phone").is_some() => left_out = Some(why),
                Written::Held { why, .. } => return Ok(self.hold(entry, s, Some(o), why)),
                Written::Again => return Ok(false),
                Written::Done(mut after) => {
                    after.is_default = s.is_some_and(|s| s.is_default) || self.s.all.is_empty();
                    entry.ours |= s.is_none();
                    entry.shopify = Some(after.id.clone());
                    self.settle(entry, Some(&after), Some(o));
                    entry.held = left_out.map(without_phone);
                    entry.shopify_window = s.and_then(|s| Some(self.window(s, self.s.at?, &after, i64::MAX)));
                    self.wrote_shopify |= entry.shopify_window.is_some();
                    self.run.wrote(Side::Shopify, format!("address {}", after.id));
                    self.s.put((*after).clone());
                    let is_named = o.external.as_deref() == Some(&after.id);
                    return if is_named { Ok(true) } else { self.name(entry, &after, o).await };
                }
            }
        }
        self.settle(entry, s, Some(o));
        entry.held = left_out.map(without_phone);
        Ok(true)
    }

    /// Writes Shopify's id into Omneo's address, to record that the two are one. An id of another system stays.
    async fn name(&mut self, entry: &mut Entry, s: &Address, o: &Address) -> Result<bool, End> {
        if !self.run.to_omneo {
            return Ok(true);
        }
        let body = [("external_id".to_owned(), json!(s.id))].into_iter().collect();
        match sides::change_row(self.run.cx, self.profile, &o.id, body).await? {
            Written::Done(after) => {
                // Only the id was written. If the answer shows an edit too, the edit has an event of its own.
                let mut now = o.clone();
                (now.external, now.is_default) = (after.external, after.is_default);
                self.o.put(now);
                self.run.wrote(Side::Omneo, format!("the id of address {}", s.id));
                Ok(true)
            }
            Written::Held { why, .. } => Ok(self.hold(entry, Some(s), Some(o), why)),
            Written::Again => Ok(false),
        }
    }

    /// Merges the default address of each side as one more value.
    async fn default(&mut self) -> Result<(), End> {
        let (s, o) = (self.s.default().map(str::to_owned), self.o.default().map(str::to_owned));
        let base = self.run.memory.addresses.default.clone();
        let pair = |side: Side, id: &Option<String>| {
            let entries = &self.run.memory.addresses.entries;
            let entry = entries.iter().find(|entry| entry.id(side).is_some() && entry.id(side) == id.as_ref())?;
            Some((entry.shopify.clone()?, entry.omneo.clone()?))
        };
        let changes = match &base {
            None => (s.is_some(), o.is_some() && s.is_none()),
            Some((was_s, was_o)) => (*was_s != s, *was_o != o),
        };
        let from = match (changes.0 && self.run.to_omneo, changes.1 && self.run.to_shopify) {
            (false, false) => None,
            (true, false) => Some(Side::Shopify),
            (false, true) => Some(Side::Omneo),
            (true, true) if self.run.settings.addresses_owner == Owner::Omneo => Some(Side::Omneo),
            (true, true) => Some(Side::Shopify),
        };
        let now = match from {
            Some(Side::Shopify) => {
                match pair(Side::Shopify, &s).filter(|(_, id)| o.as_ref() != Some(id) && self.o.find(id).is_some()) {
                    Some((_, id)) => {
                        let body = [("is_default".to_owned(), json!(true))].into_iter().collect();
                        let done = sides::change_row(self.run.cx, self.profile, &id, body).await?;
                        self.run.wrote(Side::Omneo, "the default address");
                        if matches!(done, Written::Done(_)) { (s, Some(id)) } else { (s, o) }
                    }
                    None => (s, o),
                }
            }
            Some(Side::Omneo) => {
                match pair(Side::Omneo, &o).filter(|(id, _)| s.as_ref() != Some(id) && self.s.find(id).is_some()) {
                    Some((id, _)) if sides::prefer(self.run.cx, self.customer, &id).await? => {
                        self.run.wrote(Side::Shopify, "the default address");
                        (Some(id), o)
                    }
                    _ => (s, o),
                }
            }
            None => (s, o),
        };
        self.run.memory.addresses.default = (now != (None, None)).then_some(now);
        Ok(())
    }

    /// Remembers the two addresses as one merged state.
    fn settle(&self, entry: &mut Entry, s: Option<&Address>, o: Option<&Address>) {
        let of = |address: Option<&Address>| address.map_or_else(Mark::never_taken, |one| mark(&self.run.memory, one));
        entry.base = Some(Base { shopify: of(s), omneo: of(o) });
        entry.had = (s.map_or(0, Address::parts), o.map_or(0, Address::parts));
        entry.held = None;
        (entry.shopify_window, entry.omneo_window) = (None, None);
    }

    /// The window of a write of ours, from the read before it to its answer.
    fn window(&self, read: &Address, read_at: i64, wrote: &Address, wrote_at: i64) -> Window {
        let of = |address| mark(&self.run.memory, address);
        Window { read_at, wrote_at, read: of(read), wrote: of(wrote) }
    }

    /// Holds an address. It is tried again when either side changes.
    fn hold(&self, entry: &mut Entry, s: Option<&Address>, o: Option<&Address>, why: String) -> bool {
        self.settle(entry, s, o);
        entry.held = Some(why);
        true
    }
}

fn without_phone(why: String) -> String {
    format!("its phone was left out: {why}")
}

/// Gives every address an entry, and finds the pairs: by the memory, by the external id, or by equal content. Equal
/// content finds an address again whose creation was never answered. If the external id of an Omneo address is not the
/// id of an address of this customer, the address belongs to another system, or Shopify has deleted its counterpart; it
/// is left alone.
fn pair_up(entries: &mut Vec<Entry>, s: &List, o: &List) {
    for address in &s.all {
        if !entries.iter().any(|entry| entry.shopify.as_ref() == Some(&address.id)) {
            entries.push(Entry { shopify: Some(address.id.clone()), ..Entry::default() });
        }
    }
    for address in &s.all {
        let is_paired = |id: &String| entries.iter().any(|e| e.shopify.is_some() && e.omneo.as_ref() == Some(id));
        let at = entries.iter().position(|entry| entry.shopify.as_ref() == Some(&address.id));
        let Some(at) =
            at.filter(|at| !entries[*at].gone && entries[*at].omneo.as_ref().is_none_or(|id| o.find(id).is_none()))
        else {
            continue;
        };
        let free = || o.all.iter().filter(|row| !is_paired(&row.id));
        let by_name = free().find(|row| row.external.as_ref() == Some(&address.id));
        let found = by_name.or_else(|| free().find(|row| row.external.is_none() && row.same(address)));
        let Some(id) = found.map(|row| row.id.clone()) else { continue };
        let is_new = entries[at].omneo.is_none();
        entries[at].omneo = Some(id.clone());
        if is_new {
            entries[at].base = None;
        }
        entries.retain(|entry| entry.shopify.is_some() || entry.omneo.as_ref() != Some(&id));
    }
    for row in o.all.iter().filter(|row| row.external.is_none()) {
        if !entries.iter().any(|entry| entry.omneo.as_ref() == Some(&row.id)) {
            entries.push(Entry { omneo: Some(row.id.clone()), ..Entry::default() });
        }
    }
}
