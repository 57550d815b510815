//! Reads the refunds of an order: what each takes off the order, and whether money moved. Knows Shopify's refunds, and
//! nothing of Omneo or of the order's worth without them.

use std::collections::BTreeMap;

use tandem_sdk::{End, View, refused};

use super::amount::{Micros, Purse, quantity};
use super::sum::{Kind, Line, Sum, kind_of};
use crate::key::own_id;

/// A refund as it was read.
#[derive(Clone, Debug)]
pub struct Refund<'a> {
    pub id: u64,
    pub view: View<'a>,
    lines: Vec<Line<'a>>,
    shipping: Shipping,
    duties: Charge,
    fees: Charge,
    /// The part of the goods' worth that was kept back; negative when more than their worth was paid back.
    discrepancy: Micros,
    money: Micros,
    is_pending: bool,
    has_failed: bool,
    /// Whether the money went back in the order's other currency.
    is_foreign: bool,
    purse: Purse<'a>,
}

/// Shipping that came back. It stands in a list of its own, which may lack the tax, and among the adjustments; older
/// bodies have only the adjustments.
#[derive(Clone, Copy, Debug)]
struct Shipping {
    listed: Option<Micros>,
    listed_tax: Micros,
    adjusted: Option<Micros>,
}

/// Duties or fees that came back, and their tax if the body gives it separately.
#[derive(Clone, Copy, Debug, Default)]
struct Charge {
    amount: Micros,
    tax: Micros,
}

/// How the amounts of a refund are to be read, where Shopify's own bodies differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    shipping: OfShipping,
    /// Whether the tax of duties and fees comes on top of them.
    with_tax: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum OfShipping {
    Listed,
    ListedAndTax,
    Adjusted,
}

/// Every reading, the most likely first.
pub const READINGS: [Reading; 6] = [
    Reading { shipping: OfShipping::Listed, with_tax: false },
    Reading { shipping: OfShipping::ListedAndTax, with_tax: false },
    Reading { shipping: OfShipping::Adjusted, with_tax: false },
    Reading { shipping: OfShipping::Listed, with_tax: true },
    Reading { shipping: OfShipping::ListedAndTax, with_tax: true },
    Reading { shipping: OfShipping::Adjusted, with_tax: true },
];

/// What a refund means for its order.
#[derive(Debug)]
pub enum Meaning<'a> {
    /// These lines came back, and money moved or will move: a return.
    Back(Sum<'a>),
    /// These lines were taken off the order without money: the sale is lowered.
    Removed(Sum<'a>),
    /// The refund has no effect, or none yet, and the reason.
    Nothing(&'static str),
}

/// The lines of an order by their ids.
pub type Bought<'a> = BTreeMap<u64, View<'a>>;

/// The lines with which refunds are read. An order that is only remembered has none.
pub fn bought<'a>(order: &View<'a>) -> Result<Bought<'a>, End> {
    Ok(order.list("/line_items")?.into_iter().filter_map(|line| Some((id_of(&line)?, line))).rev().collect())
}

/// Reads a refund of an order.
pub fn read<'a>(
    order: &View<'a>,
    bought: &Bought<'a>,
    view: &View<'a>,
    mut purse: Purse<'a>,
) -> Result<Refund<'a>, End> {
    let taxes_included = order.opt_bool("/taxes_included")?.unwrap_or(false);
    let mut lines = vec![];
    for member in view.list("/refund_line_items")? {
        lines.push(back(bought, &member, &mut purse, taxes_included)?);
    }
    let (mut adjusted, mut discrepancy) = (None, 0);
    for adjustment in view.list("/order_adjustments")? {
        let amount = purse.money(&adjustment, "/amount", "/amount_set")?
            + purse.money(&adjustment, "/tax_amount", "/tax_amount_set")?;
        match adjustment.opt_text("/kind")? {
            Some("shipping_refund") => *adjusted.get_or_insert(0) -= amount,
            _ => discrepancy += amount,
        }
    }
    let (mut listed, mut listed_tax) = (None, 0);
    for shipping in view.list("/refund_shipping_lines")? {
        let amount = purse.of_set(&shipping, "/subtotal_amount_set")?.unwrap_or(0);
        *listed.get_or_insert(0) += amount;
        if let Some(line) = shipping.get("/shipping_line") {
            listed_tax += tax_of(&line, amount, &mut purse, taxes_included)?;
        }
    }
    let shipping = Shipping { listed, listed_tax, adjusted };
    let duties = charge(view, ["/total_duties_set", "/duties", "/amount_set"], &mut purse)?;
    let fees = charge(view, ["/total_additional_fees_set", "/additional_fees", "/price_set"], &mut purse)?;
    let mut refund = Refund {
        id: own_id(view)?,
        view: *view,
        lines,
        shipping,
        duties,
        fees,
        discrepancy,
        money: 0,
        is_pending: false,
        has_failed: false,
        is_foreign: false,
        purse,
    };
    refund.see_money()?;
    Ok(refund)
}

/// The tax of a shipping line that came back: all of it, or the proportion that came back.
fn tax_of(line: &View, back: Micros, purse: &mut Purse, taxes_included: bool) -> Result<Micros, End> {
    let (mut tax, mut net) = (0, purse.money(line, "/price", "/price_set")?);
    for part in line.list("/tax_lines")? {
        tax += purse.money(&part, "/price", "/price_set")?;
    }
    for allocation in line.list("/discount_allocations")? {
        net -= purse.money(&allocation, "/amount", "/amount_set")?;
    }
    net -= if taxes_included { tax } else { 0 };
    if back >= net || net <= 0 {
        return Ok(tax);
    }
    let (tax, back, net) = (tax / purse.unit(), back / purse.unit(), net / purse.unit());
    Ok((2 * tax * back + net).div_euclid(2 * net) * purse.unit())
}

/// Duties or fees: the total if the body has one, else the sum of the list.
fn charge(refund: &View, [total, list, amount]: [&str; 3], purse: &mut Purse) -> Result<Charge, End> {
    let mut sum = Charge::default();
    for one in refund.list(list)? {
        sum.amount += purse.of_set(&one, amount)?.unwrap_or(0);
        for part in one.list("/tax_lines")? {
            sum.tax += purse.money(&part, "/price", "/price_set")?;
        }
    }
    Ok(Charge { amount: purse.of_set(refund, total)?.unwrap_or(sum.amount), ..sum })
}

fn back<'a>(
    bought: &Bought<'a>,
    member: &View<'a>,
    purse: &mut Purse<'a>,
    taxes_included: bool,
) -> Result<Line<'a>, End> {
    let of = member.opt_id("/line_item_id")?;
    let found = of.and_then(|of| bought.get(&of)).copied();
    let view = found.or_else(|| member.get("/line_item").filter(|line| line.is_object()));
    // The set holds texts. The flat keys hold numbers that may have passed through a float.
    let Some(subtotal) = purse.set_or_flat(member, "/subtotal", "/subtotal_set")? else {
        return Err(refused(member.wrong("/subtotal", "missing").to_string()));
    };
    let tax = purse.set_or_flat(member, "/total_tax", "/total_tax_set")?.unwrap_or(0);
    let quantity = quantity(member, "/quantity")?;
    let price = view.as_ref().map(|view| purse.money(view, "/price", "/price_set")).transpose()?;
    let gross = price.map_or(subtotal, |price| price * quantity);
    Ok(Line {
        kind: view.as_ref().map_or(Ok(Kind::Goods), kind_of)?,
        id: member.opt_loose("/id")?,
        of,
        view,
        quantity,
        gross,
        discount: gross - subtotal,
        tax,
        net: subtotal + if taxes_included { 0 } else { tax },
    })
}

fn id_of(line: &View) -> Option<u64> {
    line.opt_id("/id").ok().flatten()
}

impl<'a> Refund<'a> {
    fn see_money(&mut self) -> Result<(), End> {
        for transaction in self.view.list("/transactions")? {
            if transaction.opt_text("/kind")? != Some("refund") {
                continue;
            }
            match transaction.opt_text("/status")? {
                Some("success") => {
                    self.money += self.purse.read(&transaction, "/amount")?.unwrap_or(0);
                    self.is_foreign |= self.purse.is_other(transaction.opt_text("/currency")?);
                }
                Some("pending") => self.is_pending = true,
                _ => self.has_failed = true,
            }
        }
        Ok(())
    }

    /// The worth of what came back or was taken off, with tax, before discrepancies.
    pub fn goods(&self, reading: Reading) -> Micros {
        let taxes = if reading.with_tax { self.duties.tax + self.fees.tax } else { 0 };
        let lines: Micros = self.lines.iter().map(|line| line.net).sum();
        lines + self.shipping(reading) + self.duties.amount + self.fees.amount + taxes
    }

    fn shipping(&self, reading: Reading) -> Micros {
        let Shipping { listed, listed_tax, adjusted } = self.shipping;
        let first = match reading.shipping {
            OfShipping::Listed => listed,
            OfShipping::ListedAndTax => listed.map(|listed| listed + listed_tax),
            OfShipping::Adjusted => adjusted,
        };
        first.or(listed).or(adjusted).unwrap_or(0)
    }

    /// How many pieces of a line the refund takes off.
    pub fn pieces_of(&self, line: Option<u64>) -> i128 {
        self.lines.iter().filter(|gone| gone.of.is_some() && gone.of == line).map(|gone| gone.quantity).sum()
    }

    /// The meaning of the refund when the reading is known: the goods give its worth, and the money decides whether it
    /// is a return.
    pub fn by_goods(&self, reading: Reading) -> Meaning<'a> {
        let (goods, moved) = (self.goods(reading), self.money != 0 || self.is_pending);
        match (goods - self.discrepancy, moved) {
            (0, _) if self.is_pending => Meaning::Nothing("is pending"),
            (0, true) if goods == 0 => Meaning::Nothing("pays back what was taken off the sale before"),
            (0, _) => Meaning::Nothing("changes nothing of what the order is worth"),
            (_, true) => Meaning::Back(self.laid_out(reading)),
            (_, false) => Meaning::Removed(self.laid_out(reading)),
        }
    }

    /// The meaning when only the refund itself can tell: the goods less the discrepancies must equal the money.
    /// Otherwise, the reason why the meaning is not known.
    pub fn by_money(&self, order: &View<'a>, bought: &Bought<'a>) -> Result<Meaning<'a>, String> {
        if self.money == 0 {
            return Ok(match (self.is_pending, self.has_failed) {
                (true, _) => Meaning::Nothing("is pending"),
                (false, true) => Meaning::Nothing("was not carried out"),
                (false, false) => match self.by_goods(READINGS[0]) {
                    Meaning::Back(gone) => Meaning::Removed(gone),
                    other => other,
                },
            });
        }
        if self.is_foreign {
            // Goods less discrepancies equal the money in the currency of the payment. The goods give the amount in the
            // other currency.
            let paid = read(order, bought, &self.view, self.purse.turned()).map_err(|end| end.reason)?;
            return Ok(Meaning::Back(self.laid_out(paid.balance()?)));
        }
        Ok(Meaning::Back(self.laid_out(self.balance()?)))
    }

    /// The reading in which goods less discrepancies equal the money.
    fn balance(&self) -> Result<Reading, String> {
        let is_it = |reading: &Reading| self.goods(*reading) - self.discrepancy == self.money;
        READINGS.into_iter().find(is_it).ok_or_else(|| {
            format!(
                "goods of {} less differences of {} are not the {} paid back",
                self.purse.decimal(self.goods(READINGS[0])),
                self.purse.decimal(self.discrepancy),
                self.purse.decimal(self.money)
            )
        })
    }

    /// The amounts that the refund takes off, as a sum. Amounts without pieces become a difference.
    fn laid_out(&self, reading: Reading) -> Sum<'a> {
        let total = self.goods(reading) - self.discrepancy;
        let (lines, without_pieces): (Vec<_>, Vec<_>) = self.lines.iter().cloned().partition(|line| line.quantity > 0);
        let odd: Micros = without_pieces.iter().map(|line| line.net).sum();
        let taxed = |charge: Charge| charge.amount + if reading.with_tax { charge.tax } else { 0 };
        let mut sum = Sum { lines, total, rounding: 0, purse: self.purse };
        for (kind, amount) in [
            (Kind::Shipping, self.shipping(reading)),
            (Kind::Duties, taxed(self.duties)),
            (Kind::Fees, taxed(self.fees)),
            (Kind::Discrepancy, odd - self.discrepancy),
        ] {
            sum.charge(kind, amount);
        }
        sum
    }
}

/// Takes lines off the sale by their own amounts, which can differ from price × quantity.
pub fn take_off<'a>(sum: &mut Sum<'a>, gone: &Sum<'a>) -> Result<(), String> {
    let mut left = Sum { lines: sum.lines.clone(), ..*sum };
    for gone in &gone.lines {
        left.total -= gone.net;
        if gone.is_charge() {
            left.charge(gone.kind, -gone.net);
            continue;
        }
        let is_it = |line: &&mut Line| gone.of.is_some() && line.of == gone.of;
        let line = left.lines.iter_mut().find(is_it).ok_or("it names a line that the order does not have")?;
        line.quantity -= gone.quantity;
        line.gross -= gone.gross;
        line.discount -= gone.discount;
        line.tax -= gone.tax;
        line.net -= gone.net;
    }
    if left.lines.iter().any(|line| line.quantity < 0 || (line.quantity == 0 && line.net != 0)) {
        return Err("it takes off more or less than there was".to_owned());
    }
    left.lines.retain(|line| line.quantity > 0);
    left.purse.scale = left.purse.scale.max(gone.purse.scale);
    *sum = left;
    Ok(())
}
