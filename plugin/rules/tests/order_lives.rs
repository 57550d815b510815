//! Lives of orders. For any events and any sequence of webhooks, the sale and the returns in Omneo together equal what
//! the shop keeps of the order according to Shopify's books.
//!
//! `ORDER_LIVES=100000` runs more lives; `ORDER_LIFE=17` runs a single one and prints it.

use crate::conversation;
#[path = "../../../host/standin/src/shopify/ledger.rs"]
mod ledger;

use crate::conversation::{Omneo, rules, shopify};
use ledger::{Ledger, Pays};
use tandem_sdk::{Call, Decimal, End, Event, Outcome, Reply, Value, converse, json};

const LIVES: u64 = 400;

/// A random generator without a dependency (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The books of an order at the end of its life, and the webhooks about it in the order in which they were sent.
struct Life {
    books: Ledger,
    told: Vec<String>,
    events: Vec<Event>,
}

fn life(random: &mut Random) -> Life {
    let line =
        |random: &mut Random| (random.below(9_000) as i64 + 100, random.below(3) as i64 + 1, random.below(90) as i64);
    let lines: Vec<_> = (0..random.below(3) + 1).map(|_| line(random)).collect();
    let shipping = if random.is(60) { random.below(900) as i64 + 10 } else { 0 };
    let mut charge = || if random.is(30) { random.below(500) as i64 + 1 } else { 0 };
    let charges = [charge(), charge()];
    let mut books = Ledger::sell(4501, random.is(50), &lines, shipping, charges);
    books.manner.shipping_without_tax = random.is(50);
    books.manner.first_total_stays = random.is(15);
    let mut life =
        Life { books, told: vec![format!("sold {lines:?}, shipping {shipping}, charges {charges:?}")], events: vec![] };
    life.send();
    life.books.pay();
    life.send();
    for _ in 0..random.below(5) {
        life.act(random);
        life.send();
    }
    life
}

impl Life {
    fn send(&mut self) {
        let at = format!("2026-11-05T10:{:02}:00Z", self.events.len());
        self.events.push(shopify("orders/updated", &self.books.body(&at)));
    }

    fn act(&mut self, random: &mut Random) {
        let (line, pieces) = (random.below(3) as usize, random.below(2) as i64 + 1);
        let (what, refund) = match random.below(12) {
            0..3 => {
                let pays = [Pays::Now, Pays::Later, Pays::Never, Pays::Less(random.below(50) as i64)]
                    [random.below(4) as usize];
                let with_charges = random.is(50);
                (
                    format!("{pieces} of line {line} back, {pays:?}, charges {with_charges}"),
                    self.books.give_back(line, pieces, with_charges, pays),
                )
            }
            3..5 => (
                format!("{pieces} of line {line} removed by an edit"),
                self.books.give_back(line, pieces, false, Pays::Nothing),
            ),
            5..8 => {
                let price = random.below(9_000) as i64 + 100;
                (format!("line {line} exchanged for something of {price}"), self.books.exchange(line, price))
            }
            8 => ("settled".to_owned(), self.books.settle()),
            9 => ("goodwill".to_owned(), self.books.goodwill(random.below(90) as i64 + 1)),
            10 => {
                self.books.remove_shipping();
                ("shipping removed by an edit".to_owned(), None)
            }
            _ => {
                let status = if random.is(60) { "success" } else { "failure" };
                self.books.arrive(status);
                (format!("what was on its way: {status}"), None)
            }
        };
        self.told.push(what);
        if refund.is_some()
            && let Some(body) = self.books.last_refund()
        {
            self.events.push(shopify("refunds/create", &body));
        }
    }
}

/// A change to the calls of the rules, as a fault in the rules would make it.
type Mutant = fn(&mut Call, &Value);

/// Handles the events. Gives the sum of what stands in Omneo, and the last ending that should not occur.
fn hear(events: &[&Event], setting: &str, mutant: Mutant) -> (Decimal, Option<End>) {
    let rules = rules(json!({"orders": {"refunds": setting}}));
    let (mut omneo, mut wrong) = (Omneo::default(), None);
    for event in events {
        let body = conversation::parse(&event.payload);
        let memory = omneo.memory.clone();
        let (_, end) = converse(&rules, event, &memory, |call| {
            let mut call = call.clone();
            mutant(&mut call, &body);
            let (status, answer) = omneo.answer(&call);
            Reply::Answer(tandem_sdk::Answer { status, headers: vec![], body: answer.to_string() })
        });
        if let Some(memory) = &end.memory {
            omneo.memory = vec![memory.clone()];
        }
        if matches!(end.outcome, Outcome::Refused | Outcome::Invalid) {
            wrong = Some(end);
        }
    }
    let live = omneo.transactions.values().filter(|sent| sent["is_void"] != json!(true));
    (live.map(|sent| sent["total"].to_string().parse::<Decimal>().unwrap()).sum(), wrong)
}

/// Why a life goes wrong with these rules; `None` if it does not.
fn wrong(seed: u64, mutant: Mutant) -> Option<String> {
    let mut random = Random(seed);
    let Life { books, told, events } = life(&mut random);
    let kept = Decimal::new(books.kept(), 2);
    let [net_payment, outstanding, current, discrepancies] = books.figures();
    assert_eq!(
        (net_payment + outstanding, current + discrepancies),
        (books.kept(), books.kept()),
        "the books: {told:?}"
    );
    let mut late: Vec<&Event> = events.iter().collect();
    for n in (1..late.len()).rev() {
        late.swap(n, random.below(n as u64 + 1) as usize);
    }
    let twice: Vec<_> = late.iter().chain(&late).copied().collect();
    let last = events.last()?;
    for setting in ["return", "update"] {
        for (way, events) in [
            ("in order", events.iter().collect()),
            ("the last alone", vec![last]),
            ("in any order, twice", twice.clone()),
        ] {
            let (net, ending) = hear(&events, setting, mutant);
            let ending = ending.map(|end| end.reason);
            if net != kept || ending.is_some() {
                return Some(format!(
                    "life {seed}, {setting}, {way}: {net} in Omneo, {kept} kept; {ending:?}\n{told:#?}"
                ));
            }
        }
    }
    None
}

fn faithful(_: &mut Call, _: &Value) {}

#[test]
fn sale_and_returns_are_what_the_shop_keeps() {
    if let Some(seed) = std::env::var("ORDER_LIFE").ok().and_then(|seed| seed.parse().ok()) {
        println!("{:#?}", life(&mut Random(seed)).told);
        assert_eq!(wrong(seed, faithful), None);
        return;
    }
    let lives = std::env::var("ORDER_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(LIVES);
    let wrong: Vec<_> = (0..lives).filter_map(|seed| wrong(seed, faithful)).collect();
    assert!(wrong.is_empty(), "{} of {lives} lives go wrong; the first:\n{}", wrong.len(), wrong[0]);
}

/// A fault: a return is worth the money that its refund moved.
fn by_money(call: &mut Call, order: &Value) {
    call.edit(|sent| {
        let id = sent["external_id"].as_str().unwrap_or_default().to_owned();
        for refund in order["refunds"].as_array().into_iter().flatten() {
            if id == format!("{}-R{}", order["id"], refund["id"]) && sent["total"].is_number() {
                let moved = refund["transactions"][0]["amount"].as_str().unwrap_or("0");
                sent["total"] = tandem_sdk::number(-moved.parse::<Decimal>().unwrap());
            }
        }
    });
}

/// A fault: a return that is no longer valid is left in place.
fn never_void(call: &mut Call, _: &Value) {
    call.edit(|sent| {
        if sent["is_void"] == true {
            sent["is_void"] = json!(false);
        }
    });
}

#[test]
fn faults_in_what_an_order_is_worth_are_found() {
    for (name, mutant) in [("value by money", by_money as Mutant), ("nothing made void", never_void)] {
        let found = (0..LIVES).find(|seed| wrong(*seed, mutant).is_some());
        eprintln!("{name}: life {found:?} goes wrong");
        assert!(found.is_some(), "{name}: no life finds it");
    }
}
