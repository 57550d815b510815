//! Reads amounts of money and keeps them whole. Knows currencies and bounds; not what an amount is for.
//!
//! An amount is a whole number of millionths in 128 bits. With the bounds below, nothing that is added or multiplied
//! here can overflow or round.

use tandem_sdk::{Decimal, End, Value, View, number, refused};

/// A millionth of the currency.
pub type Micros = i128;

/// Decimals that an amount may have.
const DECIMALS_MAX: u32 = 6;
/// Amounts from here on are refused: no shop takes them, and arithmetic stays far from its limits.
const AMOUNT_MAX: Micros = 10_i128.pow(15 + DECIMALS_MAX);
const QUANTITY_MAX: i128 = 1_000_000;

/// ISO 4217: the currencies that do not have two decimals.
const NO_DECIMALS: [&str; 16] =
    ["JPY", "KRW", "VND", "CLP", "PYG", "UGX", "XAF", "XOF", "XPF", "RWF", "ISK", "KMF", "GNF", "DJF", "BIF", "VUV"];
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Reads amounts in the shop's money and keeps track of the decimals that they need.
#[derive(Clone, Copy, Debug)]
pub struct Purse {
    /// The decimals of the minor unit: those of the currency, or of the finest amount read so far.
    pub scale: u32,
}

impl Purse {
    pub fn of(currency: &str) -> Self {
        let scale = match currency {
            code if NO_DECIMALS.contains(&code) => 0,
            code if THREE_DECIMALS.contains(&code) => 3,
            _ => 2,
        };
        Self { scale }
    }

    /// The minor unit.
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

    /// An amount in the shop's money: from the flat key, else from the set; nothing is nought.
    pub fn money(&mut self, view: &View, flat: &str, set: &str) -> Result<Micros, End> {
        match self.read(view, flat)? {
            Some(micros) => Ok(micros),
            None => Ok(self.of_set(view, set)?.unwrap_or(0)),
        }
    }

    /// The shop's money of a set of two currencies. One published sample wraps the set in itself once more.
    pub fn of_set(&mut self, view: &View, set: &str) -> Result<Option<Micros>, End> {
        let Some(mut set) = view.get(set) else { return Ok(None) };
        if let Some(members) = set.value().as_object()
            && members.len() == 1
            && !set.has("/shop_money")
            && let Some(inner) = members.keys().next().and_then(|key| set.get(&format!("/{key}")))
        {
            set = inner;
        }
        self.read(&set, "/shop_money/amount")
    }

    /// The amount with the decimals of the minor unit.
    pub fn decimal(self, micros: Micros) -> Decimal {
        // Beyond 96 bits only if thousands of lines each stand at their bounds; an end of the scale beats a panic.
        Decimal::try_from_i128_with_scale(micros / self.unit(), self.scale).unwrap_or(Decimal::MAX)
    }

    /// The amount as a JSON number.
    pub fn number(self, micros: Micros) -> Value {
        number(self.decimal(micros))
    }
}

/// A count of pieces; absent and null are nought.
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
        let mut purse = Purse::of("AUD");
        let micros = purse.read(&json.view(), "/a").map_err(|end| end.reason)?;
        Ok((micros.unwrap_or(0), purse.scale))
    }

    #[test]
    fn amounts_are_whole() {
        assert_eq!(read(r#""19.90""#), Ok((19_900_000, 2)));
        assert_eq!(read("127342.560001"), Ok((127_342_560_001, 6)));
        assert_eq!(read(r#""""#), Ok((0, 2)));
        let mut purse = Purse::of("KWD");
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
