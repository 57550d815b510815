//! Amounts as texts, added without a float. Knows nothing of currencies.

use serde_json::{Value, json};

const PLACES: usize = 4;

/// Decimal texts added to the cent or finer.
pub(crate) fn sum<'a>(amounts: impl IntoIterator<Item = &'a Value>) -> Value {
    let parts = amounts.into_iter().filter_map(Value::as_str).map(|text| {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        sign * format!("{whole}{fraction:0<PLACES$.PLACES$}").parse::<i64>().unwrap_or_default()
    });
    let total: i64 = parts.sum();
    let unit = 10_i64.pow(PLACES as u32);
    let sign = if total < 0 { "-" } else { "" };
    json!(format!("{sign}{}.{:02}", total.abs() / unit, total.abs() % unit / 100))
}

pub(crate) fn negative(amount: &Value) -> Value {
    let text = amount.as_str().unwrap_or_default();
    json!(text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned))
}
