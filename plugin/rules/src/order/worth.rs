//! Says what an order is worth now: the lines of its sale, and the refunds that are returns beside it. Knows how Shopify's
//! totals hang together; nothing of Omneo.
//!
//! With R for what the shop keeps of the order, Shopify defines `R = current_total_price + Σ discrepancies of refunds`, and
//! `total_price − Σ goods of refunds = current_total_price`. So a refund takes its goods off the order, less its
//! discrepancy, whatever money it moves: Shopify splits one giving-back into what goes and what is paid. Sale less returns
//! is R, always; money only decides which of the two a refund changes.

use tandem_sdk::{End, View};

use super::amount::Micros;
use super::refund::{self, Meaning, READINGS, Reading, Refund};
use super::sum::{self, Kind, Sum, Total};
use crate::key::own_id;
use crate::settings::{OnRefund, Orders};

/// What an order comes to.
#[derive(Debug)]
pub struct Worth<'a> {
    /// The sale: what is left of it where refunds have lowered it.
    pub sum: Sum<'a>,
    pub returns: Vec<Return<'a>>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// Why Shopify should be asked for its own figures: the body contradicts itself.
    pub doubts: Vec<String>,
    /// What could not be taken, and why.
    pub wrong: Vec<String>,
    /// The sale is what is left after every refund, so that one that comes alone says nothing new.
    pub is_left: bool,
}

/// A refund that is a return of its own. Its lines are what came back, as positive amounts.
#[derive(Debug)]
pub struct Return<'a> {
    pub id: u64,
    pub view: View<'a>,
    pub sum: Sum<'a>,
}

/// The sale as it was before any refund, and how its refunds are to be read; where nothing tells, each by its money.
struct Basis<'a> {
    sum: Sum<'a>,
    reading: Option<Reading>,
}

/// What the body says that the order is worth, or why its lines do not sum.
pub fn of_body<'a>(order: &View<'a>, settings: &Orders) -> Result<Worth<'a>, End> {
    let all = sum::unsettled(order, settings.money)?;
    let bought = refund::bought(order)?;
    let (mut refunds, mut wrong) = (vec![], vec![]);
    for view in order.list("/refunds")? {
        let id = own_id(&view)?;
        match refund::read(order, &bought, &view, all.purse) {
            Ok(refund) => refunds.push(refund),
            Err(end) => wrong.push(format!("refund {id} not sent: {}", end.reason)),
        }
    }
    let checked = if wrong.is_empty() { checked(order, &all, &refunds)? } else { None };
    let (basis, doubts) = match checked {
        Some(basis) => (basis, vec![]),
        None => {
            let doubts = doubts(order, &all, &refunds)?;
            (Basis { sum: sold(order, &all)?, reading: None }, doubts)
        }
    };
    let is_left = settings.refunds == OnRefund::Update;
    let mut worth = Worth { sum: basis.sum, returns: vec![], notes: vec![], doubts, wrong, is_left };
    for refund in &refunds {
        let meaning = match basis.reading {
            Some(reading) => Ok(refund.by_goods(reading)),
            None => refund.by_money(order, &bought),
        };
        worth.take(refund, meaning, basis.reading.is_some(), settings.refunds);
    }
    Ok(worth)
}

/// What is left of the order where Shopify says how much that is and the lines do not: the lines as far as they are known,
/// and the rest as one difference.
pub fn of_figure<'a>(order: &View<'a>, settings: &Orders, left: Micros) -> Result<Worth<'a>, End> {
    let mut sum = without_removed(sum::unsettled(order, settings.money)?);
    let bought = refund::bought(order)?;
    for view in order.list("/refunds")? {
        if let Ok(refund) = refund::read(order, &bought, &view, sum.purse)
            && let Meaning::Back(gone) | Meaning::Removed(gone) = refund.by_goods(READINGS[0])
        {
            // What cannot be taken off the lines is in the difference.
            let _ = refund::take_off(&mut sum, &gone);
        }
    }
    sum.lines.retain(|line| line.quantity > 0);
    let known: Micros = sum.lines.iter().map(|line| line.net).sum();
    sum.total = left;
    sum.charge(Kind::Discrepancy, left - known);
    Ok(Worth { sum, returns: vec![], notes: vec![], doubts: vec![], wrong: vec![], is_left: true })
}

/// The sale and the reading for which Shopify's check holds.
fn checked<'a>(order: &View<'a>, all: &Sum<'a>, refunds: &[Refund<'a>]) -> Result<Option<Basis<'a>>, End> {
    let Some(current) = sum::current_total(order, all.purse)? else { return Ok(None) };
    let total = sum::total(order, &mut { all.purse })?;
    let has_removed = all.lines.iter().any(|line| line.is_removed());
    let ways = ways(all, has_removed);
    let readings = if refunds.is_empty() { &READINGS[..1] } else { &READINGS[..] };
    let gone = |reading: &Reading| refunds.iter().map(|refund| refund.goods(*reading)).sum::<Micros>();
    for (reading, (sum, removed)) in readings.iter().flat_map(|reading| ways.iter().map(move |way| (reading, way))) {
        if total - gone(reading) - removed == current
            && let Ok(sum) = sum::settle(order, sum.clone(), Total::Sold)
        {
            return Ok(Some(basis(sum, *removed, *reading)));
        }
    }
    // The total of an exchange may be the one of before: then the lines say what they were worth together.
    if has_removed || !refunds.is_empty() {
        for (reading, (sum, removed)) in readings.iter().flat_map(|reading| ways.iter().map(move |way| (reading, way)))
        {
            let total = Total::OfLines(current + gone(reading) + removed);
            if let Ok(sum) = sum::settle(order, sum.clone(), total) {
                return Ok(Some(basis(sum, *removed, *reading)));
            }
        }
    }
    Ok(None)
}

/// The lines as the total may count them, each with what an edit has taken off without a refund: shipping that was removed
/// is a line that is not there, or one that is and no longer counts, or one that a refund takes off.
fn ways<'a>(all: &Sum<'a>, has_removed: bool) -> Vec<(Sum<'a>, Micros)> {
    if !has_removed {
        return vec![(all.clone(), 0)];
    }
    let removed: Micros = all.lines.iter().filter(|line| line.is_removed()).map(|line| line.net).sum();
    vec![(without_removed(all.clone()), 0), (all.clone(), removed), (all.clone(), 0)]
}

fn without_removed(mut sum: Sum) -> Sum {
    sum.lines.retain(|line| !line.is_removed());
    sum
}

fn basis(mut sum: Sum, removed: Micros, reading: Reading) -> Basis {
    if removed != 0 {
        sum = without_removed(sum);
        sum.total -= removed;
    }
    Basis { sum, reading: Some(reading) }
}

/// The lines against the order's own total.
fn sold<'a>(order: &View<'a>, all: &Sum<'a>) -> Result<Sum<'a>, End> {
    let without = sum::settle(order, without_removed(all.clone()), Total::Sold);
    without.or_else(|why| sum::settle(order, all.clone(), Total::Sold).map_err(|_| why))
}

/// What speaks against a body for which the check does not hold, if something came back or went.
fn doubts(order: &View, all: &Sum, refunds: &[Refund]) -> Result<Vec<String>, End> {
    let mut doubts = vec![];
    for line in all.lines.iter().filter(|line| line.of.is_some()) {
        let Some(view) = line.view.as_ref().filter(|view| view.has("/current_quantity")) else { continue };
        let left = super::amount::quantity(view, "/current_quantity")?;
        let unsaid = line.quantity - left - refunds.iter().map(|refund| refund.pieces_of(line.of)).sum::<i128>();
        if unsaid > 0 {
            let of = line.id.as_deref().unwrap_or_default();
            doubts.push(format!("no refund says what {unsaid} pieces of line {of} were worth that are gone"));
        }
    }
    let has_moved = !refunds.is_empty() || !doubts.is_empty() || all.lines.iter().any(|line| line.is_removed());
    if let Some(current) = sum::current_total(order, all.purse)?.filter(|_| has_moved) {
        let total = sum::total(order, &mut { all.purse })?;
        let gone: Micros = refunds.iter().map(|refund| refund.goods(READINGS[0])).sum();
        let [total, gone, current] = [total, gone, current].map(|amount| all.purse.decimal(amount));
        doubts.push(format!("{total} less {gone} that came back is not the current total of {current}"));
    }
    Ok(doubts)
}

impl<'a> Worth<'a> {
    fn take(
        &mut self,
        refund: &Refund<'a>,
        meaning: Result<Meaning<'a>, String>,
        is_checked: bool,
        on_refund: OnRefund,
    ) {
        let id = refund.id;
        let gone = match meaning {
            Ok(Meaning::Back(_)) if on_refund == OnRefund::Ignore => return,
            Ok(Meaning::Back(sum)) if on_refund == OnRefund::Return => {
                return self.returns.push(Return { id, view: refund.view, sum });
            }
            Ok(Meaning::Back(gone) | Meaning::Removed(gone)) => gone,
            Ok(Meaning::Nothing(why)) => return self.notes.push(format!("refund {id} {why}")),
            Err(why) => return self.wrong.push(format!("refund {id} not sent: {why}")),
        };
        match (refund::take_off(&mut self.sum, &gone), is_checked) {
            (Ok(()), _) => {}
            // The check says what it comes to, whatever the lines say.
            (Err(_), true) => {
                self.sum.total -= gone.total;
                self.sum.charge(Kind::Discrepancy, -gone.total);
            }
            (Err(why), false) => self.wrong.push(format!("refund {id} not taken off the sale: {why}")),
        }
    }
}
