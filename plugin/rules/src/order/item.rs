//! Makes Omneo's items from the lines of an order. Knows the settings that shape them, and not what their sum is used
//! for.

use serde_json::Map;
use tandem_sdk::{End, Value, View, json, refused};

use super::amount::Micros;
use super::piece::{EACH_MAX, Piece, pieces};
use super::sum::{Kind, Line, Sum};
use crate::product::sku;
use crate::settings::{ItemPrice, Settings};

/// Lines as items, with their totals.
pub struct Items {
    pub items: Vec<Value>,
    pub total: Micros,
    /// The list prices of what was bought, without tax where tax comes on top.
    pub original: Micros,
    /// Amounts that were paid but are not items.
    pub meta: Map<String, Value>,
}

/// The lines of a purchase or a return, and what they belong to.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub order: &'a View<'a>,
    /// The external id of the purchase or return.
    pub id: &'a str,
    pub sum: &'a Sum<'a>,
    /// Whether the lines came back. Then quantities and totals are negative; prices per piece are not.
    pub is_return: bool,
}

/// Makes items of the lines.
///
/// With `charges = "meta"`, shipping, tips, duties, fees and header tax are listed in `meta.charges` instead of among
/// the items. The total stays the same, and items and charges sum to it. With `gift_cards = "exclude"`, gift cards are
/// not counted: they leave the items, the total and the original total, and `meta.left_out` names them.
pub fn items(lines: Lines, settings: &Settings) -> Result<Items, End> {
    let (Lines { id, sum, .. }, orders) = (lines, &settings.orders);
    let mut made = Items { items: vec![], total: sum.total, original: 0, meta: Map::new() };
    let (mut charges, mut left_out) = (vec![], vec![]);
    for (n, line) in sum.lines.iter().enumerate() {
        let is_charge = !matches!(line.kind, Kind::Goods | Kind::GiftCard);
        if line.kind == Kind::GiftCard && !orders.gift_cards {
            made.total -= line.net;
            left_out.push(lines.named(line)?);
            continue;
        }
        if is_charge && !orders.charges_as_items {
            charges.push(lines.named(line)?);
            continue;
        }
        if line.kind != Kind::Shipping && line.view.is_some() {
            made.original += line.gross;
        }
        if orders.item_price == ItemPrice::Each && line.quantity > EACH_MAX {
            return Err(refused(format!(
                "{} pieces of `{}` are too many to send one by one: use `orders.item_price = \"unit\"` or `\"line\"`",
                line.quantity,
                name(line)?
            )));
        }
        let line_id = match (&line.id, line.kind) {
            (Some(line_id), Kind::Shipping) => format!("shipping:{line_id}"),
            (Some(line_id), _) => line_id.clone(),
            (None, kind) if is_charge => format!("{id}:{}", kind.name()),
            (None, _) => format!("{id}:line:{}", n + 1),
        };
        for (i, piece) in pieces(line, orders.item_price, sum.purse.unit()).iter().enumerate() {
            // The first item has the line's own id, so that the line keeps its id when its pieces are split.
            let item_id = if i == 0 { line_id.clone() } else { format!("{line_id}:{}", i + 1) };
            made.items.push(lines.item(line, piece, item_id, settings)?);
        }
    }
    for (key, list) in [("charges", charges), ("left_out", left_out)] {
        if !list.is_empty() {
            made.meta.insert(key.to_owned(), Value::Array(list));
        }
    }
    Ok(made)
}

impl Lines<'_> {
    pub fn sign(self) -> Micros {
        if self.is_return { -1 } else { 1 }
    }

    fn named(self, line: &Line) -> Result<Value, End> {
        let amount = self.sum.purse.number(self.sign() * line.net);
        Ok(json!({"kind": line.kind.name(), "name": name(line)?, "amount": amount}))
    }

    fn item(self, line: &Line, piece: &Piece, item_id: String, settings: &Settings) -> Result<Value, End> {
        // A line's price is part of the total and has its sign. A piece's price is multiplied by the signed quantity.
        let sign = if settings.orders.item_price == ItemPrice::Line { self.sign() } else { 1 };
        let amount = |micros| self.sum.purse.number(sign * micros);
        let mut keys = Map::new();
        let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
        put("external_id", json!(item_id));
        put("name", json!(name(line)?));
        put("quantity", json!((self.sign() * piece.quantity) as i64));
        put("price_current", amount(piece.list));
        put("price_original", amount(piece.list));
        put("price_sell", amount(piece.sell));
        put("price_tax", amount(piece.tax));
        if piece.list > piece.sell {
            let reason = if self.is_return { String::new() } else { discount_reason(self.order, line)? };
            let reason = if reason.is_empty() { "Discount".to_owned() } else { reason };
            put("discounts", json!([{"amount": amount(piece.list - piece.sell), "reason_desc": reason}]));
        }
        match &line.view {
            Some(view) if line.kind == Kind::Goods => named(view, settings.sync.products, put)?,
            _ => put("department", json!(line.kind.name())),
        }
        Ok(Value::Object(keys))
    }
}

/// Names the variant of an item. Where products are sent, Omneo knows each variant by its id, and the SKU is not used
/// to name it: two variants of a shop can have the same SKU, so it could name the wrong one. Where products are not
/// sent, the SKU is the only name.
fn named(line: &View, by_id: bool, mut put: impl FnMut(&str, Value)) -> Result<(), End> {
    let (variant, own) = (line.opt_id("/variant_id")?, line.opt_loose("/sku")?);
    let own = own.as_deref().map(str::trim).filter(|own| !own.is_empty());
    match (variant, own) {
        (Some(_), Some(own)) if by_id => put("meta", json!({ "sku": own })),
        (Some(_), None) if by_id => {}
        _ => {
            if let Some(sku) = sku(own, variant) {
                put("sku", json!(sku));
            }
        }
    }
    if let Some(variant) = variant {
        put("variant_external_id", json!(variant.to_string()));
    }
    Ok(())
}

/// The titles or codes of the line's discounts. A return has none, because it must come out the same whether its refund
/// arrives with the order or alone.
fn discount_reason(order: &View, line: &Line) -> Result<String, End> {
    let mut reasons: Vec<&str> = vec![];
    let applications = order.get("/discount_applications");
    let allocations = line.view.as_ref().map_or(Ok(vec![]), |view| view.list("/discount_allocations"))?;
    for allocation in allocations {
        let Some(n) = allocation.opt_id("/discount_application_index")? else { continue };
        let Some(discount) = applications.and_then(|all| all.get(&format!("/{n}"))) else { continue };
        for key in ["/title", "/code", "/description"] {
            if let Some(reason) = discount.opt_text(key)?.filter(|text| !text.is_empty()) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
                break;
            }
        }
    }
    Ok(reasons.join(", "))
}

fn name(line: &Line) -> Result<String, End> {
    if let Some(view) = &line.view {
        for at in ["/name", "/title"] {
            if let Some(name) = view.opt_text(at)?.filter(|name| !name.trim().is_empty()) {
                return Ok(name.to_owned());
            }
        }
    }
    Ok(line.kind.name().to_owned())
}

impl Kind {
    /// The name and the department of an item that is not a product.
    fn name(self) -> &'static str {
        match self {
            Kind::Goods => "goods",
            Kind::GiftCard => "gift_card",
            Kind::Tip => "tip",
            Kind::Shipping => "shipping",
            Kind::Duties => "duties",
            Kind::Fees => "fees",
            Kind::Tax => "tax",
            Kind::Rounding => "rounding",
            Kind::Discrepancy => "discrepancy",
        }
    }
}
