//! Tells what each refund of an order means: money back, goods that were taken off unpaid, or nothing yet. Knows
//! Shopify's refunds; nothing of Omneo.
//!
//! `goods − discrepancies = money` holds for every refund that a shop has shown. One for which it does not hold is not
//! sent, and does not hold up the sale.

use tandem_sdk::{End, View, refused};

use super::amount::{Micros, Purse, quantity};
use super::sum::{Kind, Line, Sum, kind_of};
use crate::key::own_id;
use crate::settings::OnRefund;

/// What an order's refunds come to.
#[derive(Debug, Default)]
pub struct Refunds<'a> {
    pub returns: Vec<Return<'a>>,
    /// What is waited for, for people.
    pub notes: Vec<String>,
    /// What could not be taken, and why.
    pub wrong: Vec<String>,
}

/// A refund that moved money. Its lines are what came back, as positive amounts, and sum to the money.
#[derive(Debug)]
pub struct Return<'a> {
    pub id: u64,
    pub view: View<'a>,
    pub sum: Sum<'a>,
}

/// What a refund means.
pub enum Meaning<'a> {
    /// Money went back, for these lines.
    Back(Sum<'a>),
    /// These were taken off the order without money.
    Removed(Sum<'a>),
    /// Nothing yet, or nothing at all.
    Nothing(&'static str),
}

/// A refund as it was read.
struct Refund<'a> {
    lines: Vec<Line<'a>>,
    shipping: Shipping,
    duties: Micros,
    discrepancy: Micros,
    money: Micros,
    is_pending: bool,
    has_failed: bool,
    /// The money went back in the order's other currency.
    is_foreign: bool,
    purse: Purse<'a>,
}

/// Shipping that was paid back: as a list of its own, which may lack the tax, and among the adjustments, which older
/// bodies have alone.
#[derive(Clone, Copy)]
struct Shipping {
    listed: Option<Micros>,
    adjusted: Option<Micros>,
}

/// Reads the refunds, and takes off the sale what was removed from it without money; what was paid back too, if that is
/// not a return of its own.
pub fn take<'a>(order: &View<'a>, sum: &mut Sum<'a>, on_refund: OnRefund) -> Result<Refunds<'a>, End> {
    let mut refunds = Refunds::default();
    for view in order.list("/refunds")? {
        let id = own_id(&view)?;
        let gone = match meaning(order, &view, sum.purse) {
            Ok(Meaning::Back(_)) if on_refund == OnRefund::Ignore => continue,
            Ok(Meaning::Back(back)) if on_refund == OnRefund::Return => {
                refunds.returns.push(Return { id, view, sum: back });
                continue;
            }
            Ok(Meaning::Back(gone) | Meaning::Removed(gone)) => gone,
            Ok(Meaning::Nothing(why)) => {
                refunds.notes.push(format!("refund {id} {why}"));
                continue;
            }
            Err(why) => {
                refunds.wrong.push(format!("refund {id} not sent: {why}"));
                continue;
            }
        };
        if let Err(why) = take_off(sum, &gone) {
            refunds.wrong.push(format!("refund {id} not taken off the sale: {why}"));
        }
    }
    Ok(refunds)
}

/// What a refund means for its order, of which the lines may be missing; or why that cannot be said.
pub fn meaning<'a>(order: &View<'a>, view: &View<'a>, purse: Purse<'a>) -> Result<Meaning<'a>, String> {
    let read = |purse| read(order, view, purse).map_err(|end| end.reason);
    let refund = read(purse)?;
    let shipping = refund.shipping();
    if refund.money == 0 {
        return Ok(match (refund.is_pending, refund.has_failed) {
            (true, _) => Meaning::Nothing("is pending"),
            (false, true) => Meaning::Nothing("was not carried out"),
            (false, false) => Meaning::Removed(Refund { discrepancy: 0, ..refund }.laid_out(shipping)),
        });
    }
    if refund.is_foreign {
        // The identity holds in the currency of the payment; the goods say what that is in the other.
        balance(read(purse.turned())?)?;
        return Ok(Meaning::Back(refund.laid_out(shipping)));
    }
    balance(refund).map(Meaning::Back)
}

fn read<'a>(order: &View<'a>, view: &View<'a>, mut purse: Purse<'a>) -> Result<Refund<'a>, End> {
    let taxes_included = order.opt_bool("/taxes_included")?.unwrap_or(false);
    let bought = order.list("/line_items")?;
    let mut lines = vec![];
    for member in view.list("/refund_line_items")? {
        lines.push(back(&bought, &member, &mut purse, taxes_included)?);
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
    let mut listed = None;
    for shipping in view.list("/refund_shipping_lines")? {
        *listed.get_or_insert(0) += purse.of_set(&shipping, "/subtotal_amount_set")?.unwrap_or(0);
    }
    let duties = purse.of_set(view, "/total_duties_set")?.unwrap_or(0);
    let (mut money, mut is_pending, mut has_failed, mut is_foreign) = (0, false, false, false);
    for transaction in view.list("/transactions")? {
        if transaction.opt_text("/kind")? == Some("refund") {
            match transaction.opt_text("/status")? {
                Some("success") => {
                    money += purse.read(&transaction, "/amount")?.unwrap_or(0);
                    is_foreign |= purse.is_other(transaction.opt_text("/currency")?);
                }
                Some("pending") => is_pending = true,
                _ => has_failed = true,
            }
        }
    }
    let shipping = Shipping { listed, adjusted };
    Ok(Refund { lines, shipping, duties, discrepancy, money, is_pending, has_failed, is_foreign, purse })
}

fn back<'a>(
    bought: &[View<'a>],
    member: &View<'a>,
    purse: &mut Purse<'a>,
    taxes_included: bool,
) -> Result<Line<'a>, End> {
    let of = member.opt_id("/line_item_id")?;
    let found = bought.iter().find(|line| of.is_some() && id_of(line) == of).cloned();
    let view = found.or_else(|| member.get("/line_item").filter(|line| line.is_object()));
    // The set holds texts; the flat keys hold numbers that may have been through a float.
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

/// The lines of a refund, with shipping, duties and discrepancies among them, if they sum to the money.
fn balance(refund: Refund) -> Result<Sum, String> {
    let Refund { shipping, discrepancy, money, purse, .. } = refund;
    let goods = refund.goods();
    let readings = [shipping.listed.or(shipping.adjusted), shipping.adjusted];
    let [first, second] = readings.map(|reading| reading.unwrap_or(0));
    let Some(shipping) = [first, second].into_iter().find(|shipping| goods + shipping - discrepancy == money) else {
        return Err(format!(
            "goods of {} less differences of {} are not the {} paid back",
            purse.decimal(goods + first),
            purse.decimal(discrepancy),
            purse.decimal(money)
        ));
    };
    let mut sum = refund.laid_out(shipping);
    if sum.lines.iter().any(|line| line.quantity == 0 && line.net != 0) {
        return Err("a line without pieces has a price".to_owned());
    }
    sum.lines.retain(|line| line.quantity > 0);
    Ok(sum)
}

impl<'a> Refund<'a> {
    fn goods(&self) -> Micros {
        self.lines.iter().map(|line| line.net).sum::<Micros>() + self.duties
    }

    /// Shipping as the list has it, or else the adjustments.
    fn shipping(&self) -> Micros {
        self.shipping.listed.or(self.shipping.adjusted).unwrap_or(0)
    }

    /// What came back, as a sum.
    fn laid_out(self, shipping: Micros) -> Sum<'a> {
        let total = self.goods() + shipping - self.discrepancy;
        let mut sum = Sum { lines: self.lines, total, rounding: 0, purse: self.purse };
        let charges = [(Kind::Shipping, shipping), (Kind::Duties, self.duties), (Kind::Discrepancy, -self.discrepancy)];
        charges.into_iter().for_each(|(kind, amount)| sum.charge(kind, amount));
        sum
    }
}

/// Takes lines off the sale: their own amounts, which price × quantity may miss.
fn take_off<'a>(sum: &mut Sum<'a>, gone: &Sum<'a>) -> Result<(), String> {
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
