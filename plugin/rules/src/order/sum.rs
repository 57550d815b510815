//! Takes an order apart into lines that sum exactly to its total, or says what is missing. Knows Shopify's amounts, and
//! nothing of Omneo or of later changes to the order.

use tandem_sdk::{End, View, refused};

use super::amount::{Micros, Purse, quantity};
use crate::settings::Money;

/// An order whose lines sum to its total.
#[derive(Clone, Debug)]
pub struct Sum<'a> {
    pub lines: Vec<Line<'a>>,
    pub total: Micros,
    /// Cash rounding that the total does not contain.
    pub rounding: Micros,
    pub purse: Purse<'a>,
}

#[derive(Clone, Debug)]
pub struct Line<'a> {
    pub kind: Kind,
    /// The line's own id, if it has one.
    pub id: Option<String>,
    /// The line item that this is, or that came back.
    pub of: Option<u64>,
    /// The line in the order's body; absent for a charge that stands only in the header.
    pub view: Option<View<'a>>,
    pub quantity: i128,
    /// Price × quantity.
    pub gross: Micros,
    pub discount: Micros,
    /// The tax of the line, whether on top of the price or within it.
    pub tax: Micros,
    /// The amount paid for the line: after all discounts, with tax.
    pub net: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Goods,
    GiftCard,
    Tip,
    Shipping,
    Duties,
    Fees,
    Tax,
    Rounding,
    /// The amount that a refund paid back beyond the worth of its goods, or short of it.
    Discrepancy,
}

/// An amount in the header that may explain why the lines do not sum to the total.
struct Candidate {
    name: &'static str,
    /// What the amount becomes if it is the explanation: a line of this kind or, without a kind, a discount that is
    /// shared out over the lines.
    kind: Option<Kind>,
    amount: Micros,
}

/// The total that the lines must sum to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Total {
    /// The order's own total. Amounts of the header that the lines lack are added.
    Sold,
    /// The worth of the lines together, for an order whose total is still that of before an exchange. The discounts and
    /// taxes in its header are then of before the exchange too, so those of the lines count.
    OfLines(Micros),
}

impl Line<'_> {
    /// An amount that is not a line of the order.
    fn charge(kind: Kind, amount: Micros) -> Self {
        Self { kind, id: None, of: None, view: None, quantity: 1, gross: amount, discount: 0, tax: 0, net: amount }
    }

    pub fn is_charge(&self) -> bool {
        self.id.is_none() && self.view.is_none() && self.kind != Kind::Goods
    }

    /// Whether this is shipping that an edit took off the order.
    pub fn is_removed(&self) -> bool {
        let said = self.view.as_ref().map(|view| view.opt_bool("/is_removed"));
        self.kind == Kind::Shipping && matches!(said, Some(Ok(Some(true))))
    }
}

impl Sum<'_> {
    /// Adds to the charge of a kind. There is at most one charge of each kind, because its item is named by the kind.
    pub fn charge(&mut self, kind: Kind, amount: Micros) {
        let is_it = |line: &&mut Line| line.kind == kind && line.is_charge();
        match self.lines.iter_mut().find(is_it) {
            Some(line) => (line.gross, line.net) = (line.gross + amount, line.net + amount),
            None => self.lines.push(Line::charge(kind, amount)),
        }
        self.lines.retain(|line| !line.is_charge() || line.net != 0);
    }
}

/// The order's own total, without later changes.
pub fn total(order: &View, purse: &mut Purse) -> Result<Micros, End> {
    purse.money(order, "/total_price", "/total_price_set")
}

/// The order's total after edits and refunds, according to Shopify.
pub fn current_total(order: &View, mut purse: Purse) -> Result<Option<Micros>, End> {
    purse.set_or_flat(order, "/current_total_price", "/current_total_price_set")
}

/// The lines as they stand in the body, without a total yet.
pub fn unsettled<'a>(order: &View<'a>, money: Money) -> Result<Sum<'a>, End> {
    let mut purse = Purse::of(order, money)?;
    let taxes_included = order.opt_bool("/taxes_included")?.unwrap_or(false);
    let mut lines = vec![];
    for view in order.list("/line_items")? {
        lines.push(line(&mut purse, view, None, taxes_included)?);
    }
    for view in order.list("/shipping_lines")? {
        lines.push(line(&mut purse, view, Some(Kind::Shipping), taxes_included)?);
    }
    Ok(Sum { lines, total: 0, rounding: 0, purse })
}

/// Makes the lines sum to the total. `price × quantity − discounts + taxes on top`, over all lines and shipping lines,
/// must give the total, if necessary together with amounts that stand only in the header. No other total in a body is
/// used: each of them contradicts the total in some order.
pub fn settle<'a>(order: &View<'a>, mut sum: Sum<'a>, against: Total) -> Result<Sum<'a>, End> {
    sum.total = match against {
        Total::Sold => total(order, &mut sum.purse)?,
        Total::OfLines(total) => total,
    };
    let candidates = candidates(order, &mut sum, against)?;
    let net: Micros = sum.lines.iter().map(|line| line.net).sum();
    let used = match explain(sum.total - net, &candidates) {
        Some(used) => used,
        None => return Err(unexplained(net, sum.total, &candidates, sum.purse)),
    };
    for (candidate, used) in candidates.iter().zip(used) {
        match (used, candidate.kind) {
            (true, Some(kind)) => sum.charge(kind, candidate.amount),
            (true, None) => share_out(&mut sum.lines, -candidate.amount, sum.purse)?,
            (false, Some(Kind::Rounding)) => sum.rounding = candidate.amount,
            (false, _) => {}
        }
    }
    let without_pieces = |line: &&Line| line.quantity == 0 && line.net != 0;
    if let Some(view) = sum.lines.iter().find(without_pieces).and_then(|line| line.view.as_ref()) {
        return Err(refused(view.wrong("", "a line without pieces has a price").to_string()));
    }
    sum.lines.retain(|line| line.quantity > 0);
    Ok(sum)
}

fn line<'a>(purse: &mut Purse, view: View<'a>, kind: Option<Kind>, taxes_included: bool) -> Result<Line<'a>, End> {
    let kind = kind.map_or_else(|| kind_of(&view), Ok)?;
    let id = view.opt_loose("/id")?;
    let quantity = if kind == Kind::Shipping { 1 } else { quantity(&view, "/quantity")? };
    let gross = purse.money(&view, "/price", "/price_set")? * quantity;
    let mut discount = 0;
    for allocation in view.list("/discount_allocations")? {
        discount += purse.money(&allocation, "/amount", "/amount_set")?;
    }
    let mut tax = 0;
    for part in view.list("/tax_lines")? {
        tax += purse.money(&part, "/price", "/price_set")?;
    }
    let net = gross - discount + if taxes_included { 0 } else { tax };
    let of = if kind == Kind::Shipping { None } else { view.opt_id("/id").ok().flatten() };
    Ok(Line { kind, id, of, view: Some(view), quantity, gross, discount, tax, net })
}

/// The kind of a line item.
pub fn kind_of(line: &View) -> Result<Kind, End> {
    Ok(match line.opt_bool("/gift_card")? {
        _ if is_tip(line) => Kind::Tip,
        Some(true) => Kind::GiftCard,
        _ => Kind::Goods,
    })
}

/// Whether a line item is a tip: a tip has no product, and is marked by a key of its own or, in older bodies, only by
/// its name.
fn is_tip(line: &View) -> bool {
    let nothing = |at| line.get(at).is_none_or(|found| found.is_null());
    line.has("/tip_payment_gateway")
        || !nothing("/tip")
        || (line.opt_text("/name") == Ok(Some("Tip")) && nothing("/product_id"))
}

/// The amounts that can explain a difference: a closed list, without those that are zero.
fn candidates(order: &View, sum: &mut Sum, against: Total) -> Result<Vec<Candidate>, End> {
    let Sum { lines, purse, .. } = sum;
    let of_lines = |of: fn(&Line) -> Micros| lines.iter().map(of).sum::<Micros>();
    let (allocated, taxed) = (of_lines(|line| line.discount), of_lines(|line| line.tax));
    let (mut unallocated, mut tax) = (0, 0);
    if against == Total::Sold {
        unallocated = purse.money(order, "/total_discounts", "/total_discounts_set")? - allocated;
        if order.opt_bool("/taxes_included")? != Some(true) {
            tax = purse.money(order, "/total_tax", "/total_tax_set")? - taxed;
        }
    }
    let tip = match lines.iter().any(|line| line.kind == Kind::Tip) {
        true => 0,
        false => purse.shop_only(order, "/total_tip_received")?.unwrap_or(0),
    };
    let duties = match order.opt_bool("/duties_included")? {
        Some(true) => 0,
        _ => match purse.of_set(order, "/original_total_duties_set")? {
            Some(duties) => duties,
            None => duties_of_lines(purse, order)?,
        },
    };
    let fees = purse.of_set(order, "/original_total_additional_fees_set")?.unwrap_or(0);
    let rounding = purse.of_set(order, "/total_cash_rounding_payment_adjustment_set")?.unwrap_or(0);
    let all = [
        // If more is allocated than the header says, no discount is left to share out.
        Candidate { name: "unallocated discount", kind: None, amount: -unallocated.max(0) },
        Candidate { name: "tip", kind: Some(Kind::Tip), amount: tip },
        Candidate { name: "duties", kind: Some(Kind::Duties), amount: duties },
        Candidate { name: "fees", kind: Some(Kind::Fees), amount: fees },
        Candidate { name: "header tax", kind: Some(Kind::Tax), amount: tax },
        Candidate { name: "cash rounding", kind: Some(Kind::Rounding), amount: rounding },
    ];
    Ok(all.into_iter().filter(|candidate| candidate.amount != 0).collect())
}

fn duties_of_lines(purse: &mut Purse, order: &View) -> Result<Micros, End> {
    let mut duties = 0;
    for line in order.list("/line_items")? {
        for duty in line.list("/duties")? {
            duties += purse.of_set(&duty, "")?.unwrap_or(0);
        }
    }
    Ok(duties)
}

/// Which candidates make up the rest. Tries all without the rounding first, since a total rarely contains it, then all,
/// and then the fewest, in their order.
fn explain(rest: Micros, candidates: &[Candidate]) -> Option<Vec<bool>> {
    let n = candidates.len();
    let bit = |i: usize| 1_u32 << (n - 1 - i);
    let all = (1_u32 << n) - 1;
    let is_rounding = |i: &usize| candidates[*i].kind == Some(Kind::Rounding);
    let expected = all - (0..n).filter(is_rounding).map(bit).sum::<u32>();
    let fewest = (0..=n as u32).flat_map(|k| (0..=all).rev().filter(move |subset| subset.count_ones() == k));
    let sums = |subset: &u32| {
        let chosen = candidates.iter().enumerate().filter(|(i, _)| subset & bit(*i) != 0);
        chosen.map(|(_, candidate)| candidate.amount).sum::<Micros>() == rest
    };
    let subset = [expected, all].into_iter().chain(fewest).find(sums)?;
    Some((0..n).map(|i| subset & bit(i) != 0).collect())
}

fn unexplained(net: Micros, total: Micros, candidates: &[Candidate], purse: Purse) -> End {
    let tried: Vec<_> = candidates.iter().map(|c| format!("{} {}", c.name, purse.decimal(c.amount))).collect();
    let tried =
        if tried.is_empty() { "the header has nothing else".to_owned() } else { format!("tried {}", tried.join(", ")) };
    let (net, total, missing) = (purse.decimal(net), purse.decimal(total), purse.decimal((total - net).abs()));
    refused(format!("the lines sum to {net} but the total is {total}: {missing} unexplained ({tried})"))
}

/// Shares a discount out over the goods in proportion to their prices, by largest remainder, ties going to the earlier
/// line. If the goods cost nothing, over the shipping.
fn share_out(lines: &mut [Line], discount: Micros, purse: Purse) -> Result<(), End> {
    let costs =
        |line: &Line, shipping: bool| line.view.is_some() && (line.kind == Kind::Shipping) == shipping && line.net > 0;
    let shipping = !lines.iter().any(|line| costs(line, false));
    let mut takers: Vec<_> = lines.iter_mut().filter(|line| costs(line, shipping)).collect();
    let weights: Vec<_> = takers.iter().map(|line| line.net).collect();
    let shares = share(discount, &weights, purse.unit())
        .ok_or_else(|| refused(format!("a discount of {} has no line to come off", purse.decimal(discount))))?;
    for (line, share) in takers.iter_mut().zip(shares) {
        line.discount += share;
        line.net -= share;
    }
    Ok(())
}

/// Splits `total` by the weights in whole units; `None` when there is no weight, or the numbers are too large.
fn share(total: Micros, weights: &[Micros], unit: Micros) -> Option<Vec<Micros>> {
    let weight: Micros = weights.iter().sum();
    let units = total / unit;
    let (mut shares, mut remainders) = (vec![], vec![]);
    for (i, w) in weights.iter().enumerate() {
        let exact = units.checked_mul(*w)?;
        shares.push(exact.checked_div(weight)?);
        remainders.push((exact % weight, i));
    }
    let left = units.checked_sub(shares.iter().sum())?;
    remainders.sort_by_key(|(remainder, i)| (-remainder, *i));
    for (_, i) in remainders.into_iter().take(usize::try_from(left).ok()?) {
        shares[i] += 1;
    }
    (!shares.is_empty()).then(|| shares.iter().map(|share| share * unit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_remainder_gets_the_odd_unit_and_ties_go_to_the_earlier() {
        assert_eq!(share(10, &[1, 1, 1], 1), Some(vec![4, 3, 3]));
        assert_eq!(share(1_000, &[100, 200, 300], 10), Some(vec![170, 330, 500]));
        assert_eq!(share(5, &[], 1), None);
        assert_eq!(share(i128::MAX, &[10, 10], 1), None);
    }
}
