//! Writes a purchase as Omneo wants it: as a transaction, as a return, or as an order. Knows the keys of both systems,
//! and not which of the three is due.

use serde_json::Map;
use tandem_sdk::{Decimal, End, Time, Value, View, json, number, refused};

use super::item::{Lines, items};
use crate::fingerprint::fingerprint_json;
use crate::mapping::{self, Of};
use crate::settings::Settings;

/// The status in Omneo of an order that has no transaction yet. As far as is known, Omneo's statuses are free text.
pub const OPEN: &str = "pending";
/// The status in Omneo of an order whose transaction has been sent.
pub const FULFILLED: &str = "fulfilled";
pub const CANCELLED: &str = "cancelled";

/// The channel of a purchase in Omneo: Shopify's point of sale, or anything else.
const SYSTEM_POS: &str = "pos";
const SYSTEM_WEB: &str = "web";

/// A purchase or a return, without its buyer.
#[derive(Clone, Debug)]
pub struct Draft {
    body: Value,
    pub total: Decimal,
    /// The amount with its currency: `19.90 AUD`.
    pub amount: String,
    pub has_items: bool,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// The mark of the whole draft.
    pub mark: String,
}

/// Drafts a purchase from the lines of an order, or a return when a refund is given.
pub fn draft(lines: Lines, refund: Option<&View>, settings: &Settings) -> Result<Draft, End> {
    let Some(timezone) = &settings.timezone else {
        return Err(refused("`timezone` is not set: Omneo wants the shop's time zone with every order"));
    };
    let Lines { order, sum, id, .. } = lines;
    let made = items(lines, settings)?;
    let currency = sum.purse.currency;
    let total = sum.purse.decimal(lines.sign() * made.total);
    let amount = currency.map_or_else(|| total.abs().to_string(), |currency| format!("{} {currency}", total.abs()));
    let is_pos = order.opt_text("/source_name")? == Some("pos");
    let receipt = order.opt_text("/name")?;

    let mut keys = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            keys.insert(key.to_owned(), value);
        }
    };
    put("external_id", Some(json!(id)));
    match refund {
        None => put("receipt_ref", receipt.map(Value::from)),
        Some(_) => {
            put("receipt_ref", Some(json!(id)));
            put("linked_receipt_ref", receipt.map(Value::from));
        }
    }
    put("total", Some(number(total)));
    put("total_original", Some(sum.purse.number(lines.sign() * made.original)));
    put("currency", currency.map(Value::from));
    put("rounding", (sum.rounding != 0).then(|| sum.purse.number(sum.rounding)));
    put("transacted_at", Some(json!(transacted_at(order, refund)?.plain())));
    put("timezone", Some(json!(timezone)));
    put("location_id", order.opt_loose("/location_id")?.filter(|_| is_pos).map(Value::from));
    put("systems", Some(json!([if is_pos { SYSTEM_POS } else { SYSTEM_WEB }])));
    put("payments", order.get("/payment_gateway_names").map(|names| names.value()).filter(Value::is_array));
    put("meta", (!made.meta.is_empty()).then_some(Value::Object(made.meta)));
    let has_items = !made.items.is_empty();
    put("items", Some(Value::Array(made.items)));
    let left_out = match refund {
        None => mapping::add(settings.mapping.details(Of::Order), order, &mut keys),
        Some(_) => vec![],
    };
    let body = Value::Object(keys);
    let mark = fingerprint_json([&body]);
    Ok(Draft { body, total, amount, has_items, left_out, mark })
}

impl Draft {
    /// The body of `POST /transactions/update-create`. That call has no `order_id` and no `status`, and takes neither
    /// `is_void` nor `receipt_is_email` as null.
    pub fn transaction(self, order_id: &str, who: (&str, &str)) -> Value {
        let link = ("external_order_id", json!(order_id));
        self.with([link, ("is_void", json!(false)), ("delete_existing_items", json!(true))], who)
    }

    /// The body of `POST /orders` and `PUT /orders/{id}`.
    pub fn order(self, number: Option<String>, who: (&str, &str)) -> Value {
        let number = number.map(|number| ("order_number", json!(number)));
        self.with(number.into_iter().chain([("status", json!(OPEN))]), who)
    }

    fn with<'a>(mut self, more: impl IntoIterator<Item = (&'a str, Value)>, who: (&str, &str)) -> Value {
        for (key, value) in more {
            self.body[key] = value;
        }
        let (key, value) = who;
        if !value.is_empty() {
            self.body[key] = json!(value);
        }
        self.body
    }
}

/// When the purchase or the return happened. A refund that has no time yet gets the time of its order.
fn transacted_at(order: &View, refund: Option<&View>) -> Result<Time, End> {
    for of in refund.into_iter().chain([order]) {
        for at in ["/processed_at", "/created_at"] {
            if let Some(text) = of.opt_text(at)? {
                let wrong = || of.wrong(at, format!("expected a time, found `{text}`"));
                return Ok(Time::parse(text).ok_or_else(wrong)?);
            }
        }
    }
    Err(order.wrong("/created_at", "missing").into())
}
