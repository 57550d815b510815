//! Reads the keys of one entry of the table `[fields]`, one by one, and notes what is wrong with each. Does not know
//! what an entry means.

use serde_json::Map;
use tandem_sdk::{Problem, Value};

use super::expression::{Expression, Wrong};
use super::format::{self, Format};
use super::place::{ATTRIBUTE, METAFIELD, OMNEO_KEYS, OmneoPlace, SHOPIFY_KEYS, ShopifyPlace, TAG};
use super::{Owner, Way};
use crate::problems::{escaped, nearest, problem, quoted};

pub const KEYS: [&str; 7] = ["omneo", "shopify", "format", "owner", "way", "expression", "currency"];
const NAME_CHARS_MAX: usize = 64;

/// The keys of one entry, read one by one.
pub struct Keys<'a> {
    at: &'a str,
    keys: &'a Map<String, Value>,
    pub problems: Vec<Problem>,
}

impl<'a> Keys<'a> {
    pub fn new(at: &'a str, keys: &'a Map<String, Value>) -> Self {
        Self { at, keys, problems: vec![] }
    }

    pub fn name(&mut self, name: &str) {
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_word || name.chars().count() > NAME_CHARS_MAX {
            let fix = format!("use up to {NAME_CHARS_MAX} letters, digits and `_`");
            self.wrong("", format!("`{name}` is no name for a field"), fix);
        }
    }

    pub fn place(&self, key: &str) -> String {
        if self.keys.contains_key(key) { format!("{}/{}", self.at, escaped(key)) } else { self.at.to_owned() }
    }

    pub fn wrong(&mut self, key: &str, message: impl Into<String>, fix: impl Into<String>) {
        let at = self.place(key);
        self.problems.push(problem(&at, message, fix));
    }

    pub fn unknown(&mut self, known: &[&str]) {
        let keys = self.keys;
        for key in keys.keys().filter(|key| !known.contains(&key.as_str())) {
            let fix = nearest(key, known.iter().copied())
                .map_or_else(|| format!("a field has {}", quoted(known)), |near| format!("did you mean `{near}`?"));
            self.wrong(key, format!("unknown key `{key}`"), fix);
        }
    }

    /// The value of a key that must be a text; anything else is noted as a mistake.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.keys.get(key) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                self.wrong(key, format!("expected a text, found `{other}`"), format!("write `{key} = \"…\"`"));
                None
            }
        }
    }

    /// The places on both sides: two paths, or a path and an expression over the other side.
    pub fn places(&mut self) -> (Option<OmneoPlace>, Option<ShopifyPlace>) {
        let (has_omneo, has_shopify) = (self.keys.contains_key("omneo"), self.keys.contains_key("shopify"));
        let has_expression = self.keys.contains_key("expression");
        match (has_omneo, has_shopify, has_expression) {
            (true, true, true) => {
                self.wrong(
                    "expression",
                    "an expression stands in place of a path, and both paths are there",
                    "remove it, or the path of the side that it reads",
                );
            }
            (false, false, _) => {
                self.wrong("", "neither `omneo` nor `shopify` says where the field is", "write both paths")
            }
            (true, false, false) => {
                self.wrong(
                    "",
                    "`shopify` is missing",
                    "write its path in Shopify, or an `expression` over the customer",
                );
            }
            (false, true, false) => {
                self.wrong("", "`omneo` is missing", "write its path in Omneo, or an `expression` over the profile");
            }
            _ => {}
        }
        let omneo = self.text("omneo").and_then(|path| match OmneoPlace::parse(&path) {
            Ok(place) => Some(place),
            Err(why) => self.no_place("omneo", &path, why),
        });
        let shopify = self.text("shopify").and_then(|path| match ShopifyPlace::parse(&path) {
            Ok(place) => Some(place),
            Err(why) => self.no_place("shopify", &path, why),
        });
        let expression = self.expression();
        match (has_omneo, has_shopify) {
            (false, true) => (expression.map(OmneoPlace::Expression), shopify),
            (true, false) => (omneo, expression.map(ShopifyPlace::Expression)),
            _ => (omneo, shopify),
        }
    }

    pub fn expression(&mut self) -> Option<Expression> {
        match Expression::new(&self.text("expression")?) {
            Ok(expression) => Some(expression),
            // The place of the mistake: that of the text, followed by the number of the character.
            Err(Wrong { why, at }) => {
                let place = format!("{}/{at}", self.place("expression"));
                self.problems.push(problem(&place, why, "see https://jmespath.org/specification.html"));
                None
            }
        }
    }

    fn no_place<T>(&mut self, key: &str, path: &str, why: String) -> Option<T> {
        let (known, others): (Vec<&str>, _) = match key {
            "omneo" => {
                let known = OMNEO_KEYS.iter().map(|key| key.path).chain(["birth_date"]);
                (known.collect(), format!("{ATTRIBUTE}NAMESPACE.HANDLE"))
            }
            _ => {
                let known = SHOPIFY_KEYS.iter().map(|key| key.path);
                (known.collect(), format!("{METAFIELD}NAMESPACE.KEY` or `{TAG}NAME"))
            }
        };
        let fix = match nearest(path, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}, or `{others}`", known.join(", ")),
        };
        self.wrong(key, why, fix);
        None
    }

    pub fn format(&mut self) -> Option<Format> {
        let currency = self.text("currency");
        let is_code = |code: &&String| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase());
        if let Some(code) = currency.as_ref().filter(|code| !is_code(code)) {
            self.wrong(
                "currency",
                format!("`{code}` is no currency"),
                "write the three capital letters of ISO 4217: `currency = \"AUD\"`",
            );
            return None;
        }
        let name = match self.keys.get("format") {
            None => "text".to_owned(),
            Some(_) => self.text("format")?,
        };
        if name != "money" && currency.is_some() {
            self.wrong(
                "currency",
                "only `format = \"money\"` has a currency",
                "remove it, or write `format = \"money\"`",
            );
        }
        let format = Format::named(&name, currency.as_deref());
        if format.is_none() {
            let (message, fix) = match nearest(&name, format::NAMES.into_iter()) {
                _ if name == "money" => ("money needs a currency".to_owned(), "add `currency = \"AUD\"`".to_owned()),
                Some(near) => (format!("there is no format `{name}`"), format!("did you mean \"{near}\"?")),
                None => (format!("there is no format `{name}`"), format!("use one of {}", quoted(&format::NAMES))),
            };
            self.wrong("format", message, fix);
        }
        format
    }

    pub fn way(&mut self) -> Option<Way> {
        let name = self.text("way")?;
        let way = Way::named(&name);
        if way.is_none() {
            self.wrong("way", format!("there is no way `{name}`"), "use one of \"both\", \"to_omneo\", \"to_shopify\"");
        }
        way
    }

    pub fn owner(&mut self, way: Way) -> Option<Owner> {
        let name = self.text("owner")?;
        let owner = Owner::named(&name);
        if owner.is_none() {
            self.wrong("owner", format!("there is no owner `{name}`"), "use one of \"omneo\", \"shopify\", \"latest\"");
        } else if way != Way::Both {
            self.wrong(
                "owner",
                "an owner decides between two sides, and this field goes one way",
                "remove it, or write `way = \"both\"`",
            );
        }
        owner
    }
}
