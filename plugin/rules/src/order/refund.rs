//! Tells what each refund of an order means: money back, goods that were taken off unpaid, or nothing yet. Knows
//! Shopify's refunds; nothing of Omneo.
//!
//! `goods − discrepancies = money` holds for every refund that a shop has shown. One for which it does not hold is not
//! sent, and does not hold up the sale.

use tandem_sdk::{End, View, refused};

use super::amount::{Micros, Purse, quantity};
use super::sum::{Kind, Line, Sum, kind_of};
use crate::key::own_id;

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

/// A refund as it was read.
struct Refund<'a> {
    lines: Vec<Back<'a>>,
    shipping: Shipping,
    duties: Micros,
    discrepancy: Micros,
    money: Micros,
    is_pending: bool,
    has_failed: bool,
    purse: Purse,
}

/// What came back of a line item.
struct Back<'a> {
    of: Option<u64>,
    line: Line<'a>,
}

/// Shipping that was paid back: as a list of its own, which may lack the tax, and among the adjustments, which older
/// bodies have alone.
#[derive(Clone, Copy)]
struct Shipping {
    listed: Option<Micros>,
    adjusted: Option<Micros>,
}

/// Reads the refunds, and takes off the sale what was removed from it without money.
pub fn take<'a>(order: &View<'a>, sum: &mut Sum<'a>) -> Result<Refunds<'a>, End> {
    let taxes_included = order.opt_bool("/taxes_included")?.unwrap_or(false);
    let bought = order.list("/line_items")?;
    let mut refunds = Refunds::default();
    for view in order.list("/refunds")? {
        let id = own_id(&view)?;
        let refund = match read(&bought, &view, sum.purse, taxes_included) {
            Ok(refund) => refund,
            Err(end) => {
                refunds.wrong.push(format!("refund {id} not sent: {}", end.reason));
                continue;
            }
        };
        if refund.money != 0 {
            match balance(refund) {
                Ok(sum) => refunds.returns.push(Return { id, view, sum }),
                Err(why) => refunds.wrong.push(format!("refund {id} not sent: {why}")),
            }
        } else if refund.is_pending {
            refunds.notes.push(format!("refund {id} is pending"));
        } else if refund.has_failed {
            refunds.notes.push(format!("refund {id} was not carried out"));
        } else if let Err(why) = remove(sum, &refund) {
            refunds.wrong.push(format!("refund {id} not taken off the sale: {why}"));
        }
    }
    Ok(refunds)
}

fn read<'a>(bought: &[View<'a>], view: &View<'a>, mut purse: Purse, taxes_included: bool) -> Result<Refund<'a>, End> {
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
    let mut listed = None;
    for shipping in view.list("/refund_shipping_lines")? {
        *listed.get_or_insert(0) += purse.of_set(&shipping, "/subtotal_amount_set")?.unwrap_or(0);
    }
    let duties = purse.of_set(view, "/total_duties_set")?.unwrap_or(0);
    let (mut money, mut is_pending, mut has_failed) = (0, false, false);
    for transaction in view.list("/transactions")? {
        if transaction.opt_text("/kind")? == Some("refund") {
            match transaction.opt_text("/status")? {
                Some("success") => money += purse.read(&transaction, "/amount")?.unwrap_or(0),
                Some("pending") => is_pending = true,
                _ => has_failed = true,
            }
        }
    }
    let shipping = Shipping { listed, adjusted };
    Ok(Refund { lines, shipping, duties, discrepancy, money, is_pending, has_failed, purse })
}

fn back<'a>(bought: &[View<'a>], member: &View<'a>, purse: &mut Purse, taxes_included: bool) -> Result<Back<'a>, End> {
    let of = member.opt_id("/line_item_id")?;
    let found = bought.iter().find(|line| of.is_some() && id_of(line) == of).cloned();
    let view = found.or_else(|| member.get("/line_item").filter(|line| line.value().is_object()));
    // The set holds texts; the flat keys hold numbers that may have been through a float.
    let mut amount = |flat, set| match purse.of_set(member, set)? {
        Some(amount) => Ok::<_, End>(Some(amount)),
        None => purse.read(member, flat),
    };
    let Some(subtotal) = amount("/subtotal", "/subtotal_set")? else {
        return Err(refused(member.wrong("/subtotal", "missing").to_string()));
    };
    let tax = amount("/total_tax", "/total_tax_set")?.unwrap_or(0);
    let quantity = quantity(member, "/quantity")?;
    let price = view.as_ref().map(|view| purse.money(view, "/price", "/price_set")).transpose()?;
    let gross = price.map_or(subtotal, |price| price * quantity);
    let line = Line {
        kind: view.as_ref().map_or(Ok(Kind::Goods), kind_of)?,
        id: member.opt_loose("/id")?,
        view,
        quantity,
        gross,
        discount: gross - subtotal,
        tax,
        net: subtotal + if taxes_included { 0 } else { tax },
    };
    Ok(Back { of, line })
}

fn id_of(line: &View) -> Option<u64> {
    line.opt_id("/id").ok().flatten()
}

/// The lines of a refund, with shipping, duties and discrepancies among them, if they sum to the money.
fn balance(refund: Refund) -> Result<Sum, String> {
    let Refund { lines, shipping, duties, discrepancy, money, purse, .. } = refund;
    let mut lines: Vec<_> = lines.into_iter().map(|back| back.line).collect();
    let goods = lines.iter().map(|line| line.net).sum::<Micros>() + duties;
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
    for (kind, amount) in [(Kind::Shipping, shipping), (Kind::Duties, duties), (Kind::Discrepancy, -discrepancy)] {
        if amount != 0 {
            lines.push(Line::charge(kind, amount));
        }
    }
    if lines.iter().any(|line| line.quantity == 0 && line.net != 0) {
        return Err("a line without pieces has a price".to_owned());
    }
    lines.retain(|line| line.quantity > 0);
    Ok(Sum { lines, total: money, rounding: 0, purse })
}

/// Takes off the sale what an edit removed: the refund's own subtotal and tax, which price × quantity may miss.
fn remove(sum: &mut Sum, refund: &Refund) -> Result<(), String> {
    let mut lines = sum.lines.clone();
    let mut total = sum.total;
    for Back { of, line: gone } in &refund.lines {
        let is_it = |line: &&mut Line| {
            line.kind != Kind::Shipping && of.is_some() && line.view.as_ref().is_some_and(|view| id_of(view) == *of)
        };
        let line = lines.iter_mut().find(is_it).ok_or("it names a line that the order does not have")?;
        line.quantity -= gone.quantity;
        line.gross -= gone.gross;
        line.discount -= gone.discount;
        line.tax -= gone.tax;
        line.net -= gone.net;
        total -= gone.net;
    }
    let shipping = refund.shipping.listed.or(refund.shipping.adjusted).unwrap_or(0);
    for (kind, amount) in [(Kind::Shipping, -shipping), (Kind::Duties, -refund.duties)] {
        if amount != 0 {
            lines.push(Line::charge(kind, amount));
            total += amount;
        }
    }
    if lines.iter().any(|line| line.quantity < 0 || (line.quantity == 0 && line.net != 0)) {
        return Err("it takes off more or less than there was".to_owned());
    }
    lines.retain(|line| line.quantity > 0);
    sum.purse.scale = sum.purse.scale.max(refund.purse.scale);
    (sum.lines, sum.total) = (lines, total);
    Ok(())
}
