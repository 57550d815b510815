//! Computes what an order is worth now: the lines of its sale, and the refunds that become returns beside it. Knows how
//! Shopify's totals are related, and nothing of Omneo.
//!
//! With R for what the shop keeps of the order, Shopify defines `R = current_total_price + Σ discrepancies of refunds`,
//! and `total_price − Σ goods of refunds = current_total_price`. So each refund lowers R by its goods less its
//! discrepancy, whatever money it moves: Shopify may report the goods and the money of one return separately. The sale
//! less the returns always equals R; the money only decides whether a refund changes the sale or becomes a return.

use tandem_sdk::{End, View};

use super::amount::Micros;
use super::refund::{self, Meaning, READINGS, Reading, Refund};
use super::sum::{self, Kind, Sum, Total};
use crate::key::own_id;
use crate::settings::{OnRefund, Orders};

/// The result for an order.
#[derive(Debug)]
pub struct Worth<'a> {
    /// The sale, after the refunds that have lowered it.
    pub sum: Sum<'a>,
    pub returns: Vec<Return<'a>>,
    /// Notes for people.
    pub notes: Vec<String>,
    /// Contradictions in the body, because of which Shopify should be asked for its own figures.
    pub doubts: Vec<String>,
    /// What could not be processed, and why.
    pub wrong: Vec<String>,
    /// Whether the sale is what is left after every refund. Then a refund that arrives alone brings nothing new.
    pub is_left: bool,
}

/// A refund that becomes a return of its own. Its lines are what came back, as positive amounts.
#[derive(Debug)]
pub struct Return<'a> {
    pub id: u64,
    pub view: View<'a>,
    pub sum: Sum<'a>,
}

/// The sale before any refund, and how its refunds are to be read. Without a reading, the money of each refund decides.
struct Basis<'a> {
    sum: Sum<'a>,
    reading: Option<Reading>,
}

/// The order's worth according to its body, or the reason why its lines do not sum to its total.
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

/// The order's worth when Shopify's figures give it and the lines do not: the lines as far as they are known, and one
/// difference for the rest.
pub fn of_figure<'a>(order: &View<'a>, settings: &Orders, left: Micros) -> Result<Worth<'a>, End> {
    let mut sum = without_removed(sum::unsettled(order, settings.money)?);
    let bought = refund::bought(order)?;
    for view in order.list("/refunds")? {
        if let Ok(refund) = refund::read(order, &bought, &view, sum.purse)
            && let Meaning::Back(gone) | Meaning::Removed(gone) = refund.by_goods(READINGS[0])
        {
            // What cannot be taken off the lines goes into the difference.
            let _ = refund::take_off(&mut sum, &gone);
        }
    }
    sum.lines.retain(|line| line.quantity > 0);
    let known: Micros = sum.lines.iter().map(|line| line.net).sum();
    sum.total = left;
    sum.charge(Kind::Discrepancy, left - known);
    Ok(Worth { sum, returns: vec![], notes: vec![], doubts: vec![], wrong: vec![], is_left: true })
}

/// The sale and the reading for which the equation of Shopify's totals holds.
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
    // After an exchange, the total may still be the earlier one. Then the worth of the lines is computed from the
    // current total.
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

/// The lines in each way in which the total may count them, with the amount that an edit took off without a refund.
/// Removed shipping may not count at all, may count in the total and be taken off by the edit, or may be taken off by a
/// refund.
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

/// The lines, settled against the order's own total.
fn sold<'a>(order: &View<'a>, all: &Sum<'a>) -> Result<Sum<'a>, End> {
    let without = sum::settle(order, without_removed(all.clone()), Total::Sold);
    without.or_else(|why| sum::settle(order, all.clone(), Total::Sold).map_err(|_| why))
}

/// What speaks against a body for which the equation does not hold, if anything came back or was taken off.
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
            // The equation gives the result, whatever the lines say.
            (Err(_), true) => {
                self.sum.total -= gone.total;
                self.sum.charge(Kind::Discrepancy, -gone.total);
            }
            (Err(why), false) => self.wrong.push(format!("refund {id} not taken off the sale: {why}")),
        }
    }
}
