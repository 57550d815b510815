//! What happens to orders, kept in Shopify's books, and what must stand in Omneo of it: sale and returns are together what
//! the shop keeps. Knows nothing of people but who bought.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_standin::{Ledger, Pays};

use super::check::is_dropped;
use super::life::{Life, Side, Step, writes_to};
use super::world::World;

/// An order and how far it came.
pub struct Book {
    books: Ledger,
    customer: Option<Value>,
    is_paid: bool,
    is_cancelled: bool,
    /// When it changed last, in milliseconds: Shopify tells two states of one order by when each was sent off.
    changed_at: i64,
}

impl World {
    pub fn order(&mut self, number: u64, customer: Option<Value>, step: Step) {
        // Shopify's clock in a body is of whole seconds.
        let now = tandem::clock::rfc3339(self.now - self.now.rem_euclid(1_000));
        if step == Step::Placed && !self.history.orders.contains_key(&number) {
            let customer = customer.map(|body| json!({ "id": body["id"], "email": body["email"], "first_name": body["first_name"], "last_name": body["last_name"] }));
            let lines = [(995, 2, 0), (4_800, 1, 960)];
            let mut books = Ledger::sell(number, number.is_multiple_of(2), &lines, 550, [28, 300]);
            books.manner.shipping_without_tax = number.is_multiple_of(2);
            self.history
                .orders
                .insert(number, Book { books, customer, is_paid: false, is_cancelled: false, changed_at: self.now });
        } else if !self.history.orders.get_mut(&number).is_some_and(|book| book.comes_to(step, self.now)) {
            // What was cancelled is over, what was not placed has no other step, and no two fall into one millisecond.
            return;
        }
        self.history.count += 1;
        let book = &self.history.orders[&number];
        let (body, refund) = (book.body(&now), book.books.last_refund());
        let topics: &[&str] = match step {
            Step::Placed => &["orders/create"],
            Step::Paid => &["orders/paid", "orders/updated"],
            Step::Changed(_) => &["orders/updated"],
            Step::Cancelled => &["orders/cancelled", "orders/updated"],
        };
        for topic in topics {
            self.shopify.send_order(topic, body.clone());
        }
        if let Some(refund) = refund.filter(|_| matches!(step, Step::Changed(_))) {
            self.shopify.send("refunds/create", refund);
        }
    }
}

impl Book {
    /// Whether the step could be taken.
    fn comes_to(&mut self, step: Step, now: i64) -> bool {
        let may = match step {
            _ if self.is_cancelled || self.changed_at == now => false,
            Step::Placed => false,
            Step::Paid => !self.is_paid,
            Step::Changed(_) => self.is_paid,
            Step::Cancelled => true,
        };
        if !may {
            return false;
        }
        self.changed_at = now;
        match step {
            Step::Paid => {
                self.is_paid = true;
                self.books.pay();
            }
            Step::Cancelled => self.is_cancelled = true,
            Step::Changed(what) => self.change(what),
            Step::Placed => {}
        }
        true
    }

    /// One of the ways in which an order changes after it was paid.
    fn change(&mut self, what: u8) {
        let line = usize::from(what % 2);
        let books = &mut self.books;
        let _ = match what % 12 {
            0 => books.exchange(line, 365),
            1 => books.exchange(line, 9_000),
            2 => books.exchange(1, 3_840),
            3 => books.give_back(line, 1, true, Pays::Now),
            4 => books.give_back(line, 1, true, Pays::Later),
            5 => books.give_back(line, 1, false, Pays::Less(45)),
            6 => books.give_back(line, 1, false, Pays::Never),
            7 => books.give_back(line, 1, false, Pays::Nothing),
            8 => books.settle(),
            9 => books.goodwill(585),
            10 => {
                books.remove_shipping();
                None
            }
            _ => {
                books.arrive(if what > 127 { "success" } else { "failure" });
                None
            }
        };
    }

    fn body(&self, now: &str) -> Value {
        let mut body = self.books.body(now);
        body["customer"] = self.customer.clone().into();
        body["cancelled_at"] = self.is_cancelled.then_some(now).into();
        body
    }
}

/// Every transaction once, and what stands together what the shop keeps; nothing of what was cancelled.
pub fn check(world: &World, life: &Life) -> Vec<String> {
    let mut bad = vec![];
    let mut sent: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in world.omneo.transactions() {
        sent.entry(row["external_id"].as_str().unwrap_or_default().to_owned()).or_default().push(row);
    }
    for (id, rows) in sent.iter().filter(|(_, rows)| rows.len() > 1) {
        bad.push(format!("transaction {id} is there {} times", rows.len()));
    }
    if !writes_to(life.settings, Side::Omneo) {
        return bad;
    }
    for (number, book) in &world.history.orders {
        if is_dropped(world, &number.to_string()) {
            continue;
        }
        let of_order = |id: &&String| **id == number.to_string() || id.starts_with(&format!("{number}-R"));
        let rows = sent.iter().filter(|(id, _)| of_order(id)).flat_map(|(_, rows)| rows);
        let live: Vec<_> = rows.filter(|row| row["is_void"] != true).collect();
        let customer = book.customer.as_ref().map(|customer| (Side::Shopify, customer["id"].to_string()));
        if let Some((_, profile)) = customer.and_then(|customer| world.other_half(&customer)) {
            // What a deleted profile had bought stays with it.
            let is_gone = world.history.deleted.iter().any(|(who, _)| who.0 == Side::Omneo);
            let foreign = live.iter().find(|row| row["profile_id"] != *profile && !is_gone && !life.troubles.is_bare);
            bad.extend(foreign.map(|row| format!("order {number} of profile {profile} is another's: {row}")));
        }
        let net: i64 = live.iter().map(|row| cents(&row["total"])).sum();
        let due = if book.is_paid && !book.is_cancelled { book.books.kept() } else { 0 };
        if net != due {
            bad.push(format!("order {number}: {net} cents stand in Omneo, {due} are kept: {:?}", sent));
        }
    }
    bad
}

fn cents(total: &Value) -> i64 {
    let text = total.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "00"));
    format!("{whole}{fraction}").parse().unwrap_or(i64::MAX)
}
