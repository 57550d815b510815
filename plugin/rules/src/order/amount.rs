//! Reads amounts of money as whole numbers. Knows currencies and bounds, and not what an amount is for.
//!
//! An amount is a whole number of millionths in 128 bits. With the bounds below, no sum or product here can overflow or
//! need rounding.

use tandem_sdk::{Decimal, End, Value, View, Wrong, number, refused};

use crate::settings::Money;

/// A millionth of the currency.
pub type Micros = i128;

/// Greatest number of decimals of an amount.
pub const DECIMALS_MAX: u32 = 6;
/// Amounts of this size and above are refused: no shop takes them, and the arithmetic stays far from its limits.
const AMOUNT_MAX: Micros = 10_i128.pow(15 + DECIMALS_MAX);
const QUANTITY_MAX: i128 = 1_000_000;

/// ISO 4217: the currencies that do not have two decimals.
const NO_DECIMALS: [&str; 16] =
    ["JPY", "KRW", "VND", "CLP", "PYG", "UGX", "XAF", "XOF", "XPF", "RWF", "ISK", "KMF", "GNF", "DJF", "BIF", "VUV"];
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Reads amounts in one of an order's two currencies, and keeps track of the decimals that they need.
#[derive(Clone, Copy, Debug)]
pub struct Purse<'a> {
    /// The number of decimals of the minor unit: that of the currency, or more if an amount read so far has more.
    pub scale: u32,
    pub currency: Option<&'a str>,
    /// The order's other currency, if it has two.
    other: Option<&'a str>,
    money: Money,
}

impl<'a> Purse<'a> {
    /// The purse for an order's amounts. If the order names one currency, or the same one twice, its flat keys hold the
    /// shop's money and are read whichever money is wanted.
    pub fn of(order: &View<'a>, money: Money) -> Result<Self, Wrong> {
        let shop = order.opt_text("/currency")?;
        let shown = order.opt_text("/presentment_currency")?.filter(|shown| Some(*shown) != shop);
        let in_shop_money = Self { scale: scale(shop), currency: shop, other: shown, money: Money::Shop };
        Ok(if money == Money::Presentment && shown.is_some() { in_shop_money.turned() } else { in_shop_money })
    }

    /// The purse for the same amounts in the order's other currency.
    pub fn turned(self) -> Self {
        let money = match self.money {
            Money::Shop => Money::Presentment,
            Money::Presentment => Money::Shop,
        };
        Self { scale: scale(self.other), currency: self.other, other: self.currency, money }
    }

    /// Whether an amount in this currency belongs to the purse of the other currency.
    pub fn is_other(&self, currency: Option<&str>) -> bool {
        self.other.is_some() && currency == self.other
    }

    /// The minor unit, in millionths.
    pub fn unit(self) -> Micros {
        10_i128.pow(DECIMALS_MAX - self.scale)
    }

    /// An amount; absent, null and the empty text are `None`.
    pub fn read(&mut self, view: &View, at: &str) -> Result<Option<Micros>, End> {
        let Some(decimal) = view.opt_decimal(at)? else { return Ok(None) };
        let decimal = decimal.normalize();
        let finer = DECIMALS_MAX.checked_sub(decimal.scale());
        let micros = finer.and_then(|finer| decimal.mantissa().checked_mul(10_i128.pow(finer)));
        match micros {
            Some(micros) if micros.abs() < AMOUNT_MAX => {
                self.scale = self.scale.max(decimal.scale());
                Ok(Some(micros))
            }
            _ => Err(beyond(view, at, format!("an amount of `{decimal}` is beyond what can be counted exactly"))),
        }
    }

    /// An amount: for the shop's money from the flat key, otherwise from the set; zero when there is none.
    pub fn money(&mut self, view: &View, flat: &str, set: &str) -> Result<Micros, End> {
        let own = if self.money == Money::Shop { self.read(view, flat)? } else { None };
        match own {
            Some(micros) => Ok(micros),
            None => Ok(self.set_or_flat(view, flat, set)?.unwrap_or(0)),
        }
    }

    /// An amount from the set, or else from the flat key. The flat key holds the shop's money, so about the other
    /// currency it can only say that the amount is zero.
    pub fn set_or_flat(&mut self, view: &View, flat: &str, set: &str) -> Result<Option<Micros>, End> {
        if let Some(micros) = self.of_set(view, set)? {
            return Ok(Some(micros));
        }
        match (self.money, Self { ..*self }.read(view, flat)?) {
            (Money::Presentment, Some(micros)) if micros != 0 => {
                Err(refused(view.wrong(set, "it has no presentment money").to_string()))
            }
            (Money::Presentment, nothing) => Ok(nothing),
            (Money::Shop, _) => self.read(view, flat),
        }
    }

    /// An amount that bodies give in the shop's money only.
    pub fn shop_only(&mut self, view: &View, flat: &str) -> Result<Option<Micros>, End> {
        if self.money == Money::Shop { self.read(view, flat) } else { Ok(None) }
    }

    /// The money of a set of two currencies. One published sample wraps the set in itself once more.
    pub fn of_set(&mut self, view: &View, set: &str) -> Result<Option<Micros>, End> {
        let Some(mut set) = view.get(set) else { return Ok(None) };
        if !set.has(self.of_sets())
            && let Value::Object(members) = set.value()
            && members.len() == 1
            && let Some(inner) = members.keys().next().and_then(|key| set.get(&format!("/{key}")))
        {
            set = inner;
        }
        self.read(&set, &format!("{}/amount", self.of_sets()))
    }

    fn of_sets(&self) -> &'static str {
        match self.money {
            Money::Shop => "/shop_money",
            Money::Presentment => "/presentment_money",
        }
    }

    /// The name of this money in a set of GraphQL.
    pub fn of_graphql(self) -> &'static str {
        match self.money {
            Money::Shop => "shopMoney",
            Money::Presentment => "presentmentMoney",
        }
    }

    /// The amount with the decimals of the minor unit.
    pub fn decimal(self, micros: Micros) -> Decimal {
        // Only thousands of lines at their bounds exceed 96 bits. The greatest decimal is better than a panic.
        Decimal::try_from_i128_with_scale(micros / self.unit(), self.scale).unwrap_or(Decimal::MAX)
    }

    /// The amount as a JSON number.
    pub fn number(self, micros: Micros) -> Value {
        number(self.decimal(micros))
    }
}

fn scale(currency: Option<&str>) -> u32 {
    match currency {
        Some(code) if NO_DECIMALS.contains(&code) => 0,
        Some(code) if THREE_DECIMALS.contains(&code) => 3,
        _ => 2,
    }
}

/// A number of pieces; zero when absent or null.
pub fn quantity(view: &View, at: &str) -> Result<i128, End> {
    let Some(decimal) = view.opt_decimal(at)? else { return Ok(0) };
    let decimal = decimal.normalize();
    if decimal.scale() > 0 {
        return Err(view.wrong(at, format!("expected a whole number, found `{decimal}`")).into());
    }
    match decimal.mantissa() {
        pieces if (0..=QUANTITY_MAX).contains(&pieces) => Ok(pieces),
        pieces => Err(beyond(view, at, format!("a quantity of {pieces} is beyond what can be counted"))),
    }
}

fn beyond(view: &View, at: &str, what: String) -> End {
    refused(view.wrong(at, what).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::Json;

    fn read(text: &str) -> Result<(Micros, u32), String> {
        let json: Json = format!(r#"{{"a":{text}}}"#).parse().unwrap();
        let mut purse = Purse::of(&json.view(), Money::Shop).unwrap();
        let micros = purse.read(&json.view(), "/a").map_err(|end| end.reason)?;
        Ok((micros.unwrap_or(0), purse.scale))
    }

    #[test]
    fn amounts_are_whole() {
        assert_eq!(read(r#""19.90""#), Ok((19_900_000, 2)));
        assert_eq!(read("127342.560001"), Ok((127_342_560_001, 6)));
        assert_eq!(read(r#""""#), Ok((0, 2)));
        let json: Json = r#"{"currency":"KWD"}"#.parse().unwrap();
        let mut purse = Purse::of(&json.view(), Money::Shop).unwrap();
        assert_eq!(purse.number(3_332_000).to_string(), "3.332");
        purse.scale = 0;
        assert_eq!(purse.number(-2_999_000_000).to_string(), "-2999");
    }

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_place() {
        for text in ["1e15", r#""1000000000000000.00""#, "0.1234567", "79228162514264337593543950335", "1e28"] {
            assert!(read(text).unwrap_err().starts_with("payload at `/a`: an amount of"), "{text}");
        }
        for text in ["1e400", r#""ten""#, "0.1234567890123456789012345678901234567890"] {
            assert!(read(text).unwrap_err().starts_with("payload at `/a`: expected an amount"), "{text}");
        }
    }
}
