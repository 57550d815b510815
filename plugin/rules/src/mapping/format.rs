//! Formats: how a value is written, compared and checked. Knows no side and no field.
//!
//! Between the two sides a value is a text. A number, a boolean or a list of one side is converted to text here, and
//! back.

use rust_decimal::Decimal;
use tandem_sdk::{Time, Value, json, number};

use super::phone::international;

/// The format of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// A person's name. Compared without case, since Omneo changes the case; `Unknown` counts as no name.
    Name,
    Email,
    /// A phone number in its international form. A number without `+` is taken to be of this country, if one is given.
    Phone(Option<String>),
    Text,
    /// A day: `1990-12-31`.
    Date,
    /// A moment, in RFC 3339. Omneo's own notation has no zone and is UTC.
    Time,
    Number,
    Integer,
    Boolean,
    /// A list of texts, in order.
    List,
    /// An amount in this currency.
    Money(String),
}

/// The values of `format` in a rules file.
pub const NAMES: [&str; 8] = ["text", "date", "time", "number", "integer", "boolean", "list", "money"];

impl Format {
    /// The format with that name. Money needs a currency.
    pub fn named(name: &str, currency: Option<&str>) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "date" => Self::Date,
            "time" => Self::Time,
            "number" => Self::Number,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "list" => Self::List,
            "money" => Self::Money(currency?.to_owned()),
            _ => return None,
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone(_) => "phone",
            Self::Text => "text",
            Self::Date => "date",
            Self::Time => "time",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Money(_) => "money",
        }
    }

    /// The value that a side keeps, as a text. A text stays as it is, whatever it contains.
    pub fn of_json(&self, value: &Value) -> Option<String> {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Object(money) if matches!(self, Self::Money(_)) => {
                return money.get("amount").and_then(|amount| self.of_json(amount));
            }
            other => other.to_string(),
        };
        // Shopify keeps a value that is not a text as JSON in a text.
        match self {
            Self::Money(_) if text.starts_with('{') => {
                serde_json::from_str::<Value>(&text).ok().and_then(|money| self.of_json(&money)).or(Some(text))
            }
            _ => Some(text),
        }
    }

    /// Whether a value stands for no value.
    pub fn is_nothing(&self, value: &str) -> bool {
        let value = value.trim();
        value.is_empty() || (*self == Self::Name && value == "Unknown") || (*self == Self::List && value == "[]")
    }

    /// The value in the form in which it is written to the other side. An invalid value stays as it is.
    pub fn plain(&self, value: &str) -> String {
        match self {
            Self::Name | Self::Text => value.trim().to_owned(),
            Self::Email => value.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect(),
            Self::Phone(country) => international(value, country.as_deref())
                .unwrap_or_else(|| value.chars().filter(|c| !c.is_whitespace() && !"-().".contains(*c)).collect()),
            _ => self.exact(value).unwrap_or_else(|| value.to_owned()),
        }
    }

    /// The value in the form in which it is compared: without the changes that either side is known to make.
    pub fn folded(&self, value: &str) -> String {
        match self {
            Self::Name => value.trim().to_lowercase(),
            Self::Phone(_) => self.plain(value).chars().filter(char::is_ascii_digit).collect(),
            _ => self.plain(value),
        }
    }

    /// Why a value cannot be written; `None` if it can.
    pub fn wrong(&self, value: &str) -> Option<&'static str> {
        let why = match self {
            Self::Name | Self::Email | Self::Text => return None,
            Self::Phone(_) => return (!is_e164(&self.plain(value))).then_some("it is not an international number"),
            Self::Date => "it is not a date",
            Self::Time => "it is not a time",
            Self::Number | Self::Money(_) => "it is not a number",
            Self::Integer => "it is not a whole number",
            Self::Boolean => "it is neither true nor false",
            Self::List => "it is not a list of texts",
        };
        self.exact(value).is_none().then_some(why)
    }

    /// The canonical notation of a value of a strict format; `None` if the value is not valid.
    fn exact(&self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Self::Date => {
                let day = value.get(..10)?;
                let rest = &value[10..];
                let is_day = Time::parse(&format!("{day}T00:00:00Z")).is_some();
                (is_day && (rest.is_empty() || rest.starts_with(['T', ' ']))).then(|| day.to_owned())
            }
            Self::Time => Some(Time::parse(value)?.rfc3339()),
            Self::Number => Some(decimal(value)?.normalize().to_string()),
            Self::Money(_) => {
                let amount = decimal(value)?.normalize();
                Some(if amount.scale() < 2 { format!("{amount:.2}") } else { amount.to_string() })
            }
            Self::Integer => Some(decimal(value)?.normalize()).filter(|n| n.scale() == 0).map(|n| n.to_string()),
            Self::Boolean => match value.to_lowercase().as_str() {
                "true" | "1" | "yes" => Some("true".to_owned()),
                "false" | "0" | "no" => Some("false".to_owned()),
                _ => None,
            },
            Self::List => {
                let list: Vec<String> = match value.starts_with('[') {
                    true => serde_json::from_str(value).ok()?,
                    false => value.split(',').map(|part| part.trim().to_owned()).collect(),
                };
                let list: Vec<_> = list.into_iter().filter(|text| !text.trim().is_empty()).collect();
                Some(json!(list).to_string())
            }
            Self::Name | Self::Email | Self::Phone(_) | Self::Text => Some(value.to_owned()),
        }
    }

    /// The value as JSON.
    pub fn to_json(&self, value: &str) -> Value {
        match self {
            Self::Number | Self::Integer | Self::Money(_) => decimal(value).map_or_else(|| json!(value), number),
            Self::Boolean => json!(value == "true"),
            Self::List => serde_json::from_str(value).unwrap_or_else(|_| json!([value])),
            _ => json!(value),
        }
    }

    /// The type of an Omneo custom attribute.
    pub fn attribute_type(&self) -> &'static str {
        match self {
            Self::Number | Self::Money(_) => "float",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::List => "array",
            _ => "string",
        }
    }

    /// The type of a Shopify metafield.
    pub fn metafield_type(&self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "date_time",
            Self::Number => "number_decimal",
            Self::Integer => "number_integer",
            Self::Boolean => "boolean",
            Self::List => "list.single_line_text_field",
            Self::Money(_) => "money",
            Self::Name | Self::Email | Self::Phone(_) | Self::Text => "single_line_text_field",
        }
    }

    /// The value as the text of a Shopify metafield; every type of metafield takes a text.
    pub fn to_metafield(&self, value: &str) -> String {
        match self {
            Self::Money(currency) => json!({"amount": value, "currency_code": currency}).to_string(),
            // A single-line metafield takes no line break.
            Self::Text => value.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => value.to_owned(),
        }
    }
}

/// Whether a phone number is one that both systems can hold: `+` and up to 15 digits. Any other number would need
/// guessing.
pub fn is_e164(phone: &str) -> bool {
    phone.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    })
}

fn decimal(value: &str) -> Option<Decimal> {
    match value.contains(['e', 'E']) {
        true => Decimal::from_scientific(value).ok(),
        false => Decimal::from_str_exact(value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money() -> Format {
        Format::Money("AUD".into())
    }

    #[test]
    fn a_value_has_one_way_to_be_written() {
        let cases = [
            (Format::Date, "1990-12-31T00:00:00Z", "1990-12-31"),
            (Format::Date, "1990-12-31 00:00:00", "1990-12-31"),
            (Format::Time, "2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
            (Format::Number, "1.50", "1.5"),
            (Format::Number, "1e3", "1000"),
            (Format::Integer, "120.0", "120"),
            (Format::Boolean, "1", "true"),
            (Format::Boolean, "No", "false"),
            (Format::List, "a, b", r#"["a","b"]"#),
            (Format::List, r#"["a","","b"]"#, r#"["a","b"]"#),
            (money(), "12.5", "12.50"),
            (Format::Text, "  a b ", "a b"),
            (Format::Email, "A da@Example.org", "ada@example.org"),
        ];
        for (format, given, expected) in cases {
            assert_eq!(format.plain(given), expected, "{format:?}");
            assert_eq!(format.plain(expected), expected, "{format:?} twice");
            assert_eq!(format.wrong(given), None, "{format:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_format_says_so_and_stays() {
        let cases = [
            (Format::Date, "31.12.1990"),
            (Format::Date, "1990-13-01"),
            (Format::Date, "1990-12-3é"),
            (Format::Time, "soon"),
            (Format::Number, "many"),
            (Format::Integer, "1.5"),
            (Format::Boolean, "maybe"),
            (Format::List, "[1,2"),
            (money(), "$5"),
            (Format::Phone(None), "0400 000 001"),
        ];
        for (format, given) in cases {
            assert!(format.wrong(given).is_some(), "{format:?} {given}");
            assert_eq!(format.of_json(&json!(given)), Some(given.to_owned()));
        }
    }

    #[test]
    fn each_side_has_its_own_json() {
        assert_eq!(Format::Number.to_json("706405506930370084.5").to_string(), "706405506930370084.5");
        assert_eq!(Format::List.to_json(r#"["a"]"#), json!(["a"]));
        assert_eq!(Format::Boolean.of_json(&json!(true)), Some("true".into()));
        assert_eq!(money().to_metafield("12.50"), r#"{"amount":"12.50","currency_code":"AUD"}"#);
        assert_eq!(money().of_json(&json!(money().to_metafield("12.50"))), Some("12.50".into()));
        assert_eq!(Format::Text.to_metafield("two\nlines"), "two lines");
        assert_eq!(Format::Text.of_json(&Value::Null), None);
    }

    #[test]
    fn only_international_numbers_travel() {
        assert!(is_e164("+61400000001"));
        for phone in ["0400000001", "61400000001", "+0400", "+61400000001x2", "+"] {
            assert!(!is_e164(phone), "{phone}");
        }
    }

    #[test]
    fn a_national_number_equals_its_international_form() {
        let phone = Format::Phone(Some("AU".into()));
        assert_eq!((phone.plain("0400 000 001").as_str(), phone.wrong("0400 000 001")), ("+61400000001", None));
        assert_eq!(phone.folded("0400 000 001"), phone.folded("+61 400 000 001"));
    }

    #[test]
    fn unknown_is_no_name_and_an_empty_list_is_nothing() {
        assert!(Format::Name.is_nothing("Unknown") && !Format::Text.is_nothing("Unknown"));
        assert!(Format::List.is_nothing("[]") && Format::Email.is_nothing(" "));
    }
}
