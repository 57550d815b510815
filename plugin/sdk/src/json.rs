//! Reads JSON by pointer, and names the place in every error.
//!
//! Ids are whole numbers of 64 bits and amounts are decimals. No value passes through a float, so none loses a digit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};

use crate::{End, Event, invalid, refused};

mod tape;

use tape::{Kind, Tape};

/// A parsed JSON text.
#[derive(Clone, Debug)]
pub struct Json<'t> {
    tape: Tape<'t>,
    of: Of,
}

/// A place in a [`Json`]. The methods take a JSON pointer relative to that place.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    json: &'a Json<'a>,
    node: usize,
}

/// What is wrong, and where. It becomes an [`End`] that is `invalid` for a payload and `refused` for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    pub at: String,
    pub message: String,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Payload,
    Answer,
    Memory,
}

/// A decimal as a JSON number with exactly the same digits.
pub fn number(decimal: Decimal) -> Value {
    Value::Number(Number::from_string_unchecked(decimal.to_string()))
}

impl<'t> Json<'t> {
    /// The payload of an event.
    pub fn payload(event: &'t Event) -> Result<Self, Wrong> {
        Self::parse(event.payload.as_str(), Of::Payload)
    }

    /// The body of an answer.
    pub fn answer(body: impl Into<Cow<'t, str>>) -> Result<Self, Wrong> {
        Self::parse(body, Of::Answer)
    }

    /// A text that was remembered of an entity.
    pub fn memory(text: &'t str) -> Result<Self, Wrong> {
        Self::parse(text, Of::Memory)
    }

    fn parse(text: impl Into<Cow<'t, str>>, of: Of) -> Result<Self, Wrong> {
        let text = text.into();
        match Tape::read(text) {
            Ok(tape) => Ok(Self { tape, of }),
            Err(why) => Err(Wrong { at: String::new(), message: format!("not JSON: {why}"), of }),
        }
    }

    /// The root of the document.
    pub fn view(&self) -> View<'_> {
        View { json: self, node: 0 }
    }
}

impl<'a> View<'a> {
    /// A copy of the value at this place.
    pub fn value(&self) -> Value {
        let text = self.json.tape.text(self.node);
        match self.kind() {
            Kind::Text => Value::String(text.to_owned()),
            // The text was read once as part of the whole, so it can be read by itself.
            _ => serde_json::from_str(text).unwrap_or_default(),
        }
    }

    /// A copy of the object at this place, or `None` if the value is not an object.
    pub fn object(&self) -> Option<Map<String, Value>> {
        match self.value() {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    pub fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    pub fn is_list(&self) -> bool {
        self.kind() == Kind::List
    }

    pub fn is_text(&self) -> bool {
        self.kind() == Kind::Text
    }

    fn kind(&self) -> Kind {
        self.json.tape.kind(self.node)
    }

    /// The value at the pointer, which may be null; `None` when there is none.
    pub fn get(&self, pointer: &str) -> Option<View<'a>> {
        let (mut view, mut rest) = (*self, pointer);
        while let Some(below) = rest.strip_prefix('/') {
            let end = below.bytes().position(|byte| byte == b'/').unwrap_or(below.len());
            view.node = view.child(&below[..end])?;
            rest = &below[end..];
        }
        rest.is_empty().then_some(view)
    }

    fn child(&self, step: &str) -> Option<usize> {
        let tape = &self.json.tape;
        match self.kind() {
            Kind::Object if step.bytes().any(|byte| byte == b'~') => {
                tape.member(self.node, &step.replace("~1", "/").replace("~0", "~"))
            }
            Kind::Object => tape.member(self.node, step),
            Kind::List if step == "0" || !step.starts_with(['+', '0']) => {
                tape.inside(self.node).nth(step.parse().ok()?)
            }
            _ => None,
        }
    }

    /// Whether there is a value at the pointer; null counts as one.
    pub fn has(&self, pointer: &str) -> bool {
        self.get(pointer).is_some()
    }

    /// Kind and text of the value at the pointer, unless it is absent or null.
    fn some(&self, pointer: &str) -> Option<(Kind, &'a str)> {
        let view = self.get(pointer).filter(|view| !view.is_null())?;
        Some((view.kind(), view.json.tape.text(view.node)))
    }

    /// A text; absent and null are `None`.
    pub fn opt_text(&self, pointer: &str) -> Result<Option<&'a str>, Wrong> {
        match self.some(pointer) {
            None => Ok(None),
            Some((Kind::Text, text)) => Ok(Some(text)),
            Some((other, _)) => Err(self.wrong(pointer, format!("expected a text, found {}", kind(other)))),
        }
    }

    pub fn text(&self, pointer: &str) -> Result<&'a str, Wrong> {
        self.opt_text(pointer)?.ok_or_else(|| self.missing(pointer))
    }

    /// A text, or a number as text, for keys where systems use both; absent and null are `None`.
    pub fn opt_loose(&self, pointer: &str) -> Result<Option<String>, Wrong> {
        match self.some(pointer) {
            None => Ok(None),
            Some((Kind::Text | Kind::Number, text)) => Ok(Some(text.to_owned())),
            Some((other, _)) => Err(self.wrong(pointer, format!("expected a text or a number, found {}", kind(other)))),
        }
    }

    /// A whole number from 0 to 2^64-1, written as a number, as its digits in a text, or as the tail of a `gid://`; a
    /// query behind the tail is ignored.
    pub fn opt_id(&self, pointer: &str) -> Result<Option<u64>, Wrong> {
        let text = match self.some(pointer) {
            None => return Ok(None),
            Some((Kind::Text, text)) if text.starts_with("gid://") => {
                let tail = text.rsplit('/').next().unwrap_or_default();
                tail.split('?').next().unwrap_or_default()
            }
            Some((Kind::Text | Kind::Number, text)) => text,
            Some((other, _)) => return Err(self.wrong(pointer, format!("expected an id, found {}", kind(other)))),
        };
        match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(self.wrong(pointer, format!("expected an id, found `{text}`"))),
        }
    }

    pub fn id(&self, pointer: &str) -> Result<u64, Wrong> {
        self.opt_id(pointer)?.ok_or_else(|| self.missing(pointer))
    }

    /// An amount, written as a number or as its digits in a text; absent, null and the empty text are `None`.
    pub fn opt_decimal(&self, pointer: &str) -> Result<Option<Decimal>, Wrong> {
        let text = match self.some(pointer) {
            None => return Ok(None),
            Some((Kind::Text, "")) => return Ok(None),
            Some((Kind::Text | Kind::Number, text)) => text,
            Some((other, _)) => return Err(self.wrong(pointer, format!("expected an amount, found {}", kind(other)))),
        };
        let decimal =
            if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
        match decimal {
            Ok(decimal) => Ok(Some(decimal)),
            Err(_) => Err(self.wrong(pointer, format!("expected an amount, found `{text}`"))),
        }
    }

    pub fn decimal(&self, pointer: &str) -> Result<Decimal, Wrong> {
        self.opt_decimal(pointer)?.ok_or_else(|| self.missing(pointer))
    }

    /// A boolean, which may be written as 0 or 1; absent and null are `None`.
    pub fn opt_bool(&self, pointer: &str) -> Result<Option<bool>, Wrong> {
        match self.some(pointer) {
            None => Ok(None),
            Some((Kind::True, _) | (Kind::Number, "1")) => Ok(Some(true)),
            Some((Kind::False, _) | (Kind::Number, "0")) => Ok(Some(false)),
            Some((other, _)) => Err(self.wrong(pointer, format!("expected true or false, found {}", kind(other)))),
        }
    }

    /// The members of a list; absent and null count as an empty list.
    pub fn list(&self, pointer: &str) -> Result<Vec<View<'a>>, Wrong> {
        match self.get(pointer).filter(|list| !list.is_null()) {
            None => Ok(vec![]),
            Some(list) if list.is_list() => {
                Ok(self.json.tape.inside(list.node).map(|node| View { node, ..list }).collect())
            }
            Some(other) => Err(self.wrong(pointer, format!("expected a list, found {}", kind(other.kind())))),
        }
    }

    /// An error at the pointer.
    pub fn wrong(&self, pointer: &str, message: impl Into<String>) -> Wrong {
        let above = self.json.tape.pointer(self.node);
        Wrong { at: format!("{above}{pointer}"), message: message.into(), of: self.json.of }
    }

    fn missing(&self, pointer: &str) -> Wrong {
        self.wrong(pointer, "missing")
    }
}

impl FromStr for Json<'static> {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        Self::parse(text.to_owned(), Of::Payload)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let of = match self.of {
            Of::Payload => "payload",
            Of::Answer => "answer",
            Of::Memory => "memory",
        };
        if self.at.is_empty() {
            write!(f, "{of}: {}", self.message)
        } else {
            write!(f, "{of} at `{}`: {}", self.at, self.message)
        }
    }
}

impl From<Wrong> for End {
    fn from(wrong: Wrong) -> End {
        match wrong.of {
            Of::Payload => invalid(wrong.to_string()),
            Of::Answer | Of::Memory => refused(wrong.to_string()),
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::False | Kind::True => "a boolean",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::List => "a list",
        Kind::Object => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_a_double_stay_exact() {
        let json: Json = r#"{"a":706405506930370084,"b":"gid://shopify/MailingAddress/820982911946154508?model_name=CustomerAddress"}"#.parse().unwrap();
        assert_eq!(json.view().id("/a"), Ok(706405506930370084));
        assert_eq!(json.view().id("/b"), Ok(820982911946154508));
    }

    #[test]
    fn amounts_stay_exact() {
        let json: Json = r#"{"a":0.1,"b":"23600","c":127342.560}"#.parse().unwrap();
        let read = |pointer| json.view().decimal(pointer).unwrap();
        assert_eq!(number(read("/a") + read("/b") + read("/c")).to_string(), "150942.660");
    }

    #[test]
    fn an_error_names_the_place() {
        let json: Json = r#"{"lines":[{"id":1},{"id":-1}]}"#.parse().unwrap();
        let lines = json.view().list("/lines").unwrap();
        assert_eq!(lines[1].id("/id").unwrap_err().to_string(), "payload at `/lines/1/id`: expected an id, found `-1`");
        assert_eq!(lines[0].text("/name").unwrap_err().to_string(), "payload at `/lines/0/name`: missing");
    }
}
