//! Details: further values of an order or a product that go to Omneo, one way. Knows where they stand in the bodies of
//! webhooks, and not when those bodies are sent.

use serde_json::Map;
use tandem_sdk::{Problem, Value, View, json};

use super::expression::{Computed, Expression};
use super::format::Format;
use super::keys::{KEYS, Keys};
use crate::problems::quoted;

/// What a detail belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Order,
    Product,
}

/// An entry of the table whose Omneo path begins with `transaction.` or `product.`.
#[derive(Clone, Debug)]
pub struct Detail {
    pub name: String,
    pub of: Of,
    /// The place below the transaction or the product: a key, or `meta.` and a key of `meta`.
    key: String,
    from: From,
    format: Format,
}

#[derive(Clone, Debug)]
enum From {
    /// A key of the body.
    Key(&'static str),
    /// A note attribute by its name, which the shop's theme chooses.
    Note(String),
    /// Computed from the whole body.
    Expression(Expression),
}

/// How the path of a note attribute begins, and the path of a free key, which Omneo keeps without interpreting it.
const NOTE: &str = "order.note_attributes.";
const META: &str = "meta.";
/// Keys of `meta` that the rules write themselves.
const META_TAKEN: [&str; 2] = ["charges", "left_out"];
/// Keys of a product in Omneo that the rules do not write otherwise.
const PRODUCT_KEYS: [&str; 3] = ["department", "position", "web_url"];
const ORDER_BODY: [&str; 8] = [
    "confirmation_number",
    "customer_locale",
    "landing_site",
    "note",
    "po_number",
    "referring_site",
    "source_name",
    "tags",
];
const PRODUCT_BODY: [&str; 4] = ["product_type", "published_at", "template_suffix", "vendor"];

impl Of {
    /// What an entry of the table belongs to; `None` for a field of a person.
    pub(super) fn line(keys: &Map<String, Value>) -> Option<Self> {
        let path = |key: &str| keys.get(key).and_then(Value::as_str).unwrap_or_default();
        let begins = |prefix: &str| path("omneo").starts_with(prefix) || path("shopify").starts_with(prefix);
        if begins("transaction.") || begins("order.") {
            return Some(Self::Order);
        }
        begins("product.").then_some(Self::Product)
    }

    fn omneo(self) -> &'static str {
        match self {
            Self::Order => "transaction",
            Self::Product => "product",
        }
    }

    fn shopify(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Product => "product",
        }
    }

    fn body(self) -> &'static [&'static str] {
        match self {
            Self::Order => &ORDER_BODY,
            Self::Product => &PRODUCT_BODY,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Order => &[],
            Self::Product => &PRODUCT_KEYS,
        }
    }
}

/// The Omneo paths that a detail may have, as a regular expression.
pub(super) fn omneo_pattern(of: Of) -> String {
    let keys: String = of.keys().iter().map(|key| format!("{key}|")).collect();
    format!(r"{}\.({keys}meta\.[A-Za-z0-9_-]+)", of.omneo())
}

/// The Shopify paths that a detail may have, as a regular expression.
pub(super) fn shopify_pattern(of: Of) -> String {
    let notes = if of == Of::Order { r"|note_attributes\.[\s\S]+" } else { "" };
    format!(r"{}\.({}{notes})", of.shopify(), of.body().join("|"))
}

impl Detail {
    /// The keys of the body that the value is made of.
    pub fn keys(&self) -> Vec<&str> {
        match &self.from {
            From::Key(key) => vec![*key],
            From::Note(_) => vec!["note_attributes"],
            From::Expression(expression) => expression.roots().collect(),
        }
    }

    /// Reads an entry, or finds every mistake in it.
    pub(super) fn read(at: &str, name: &str, keys: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let of = Of::line(keys).unwrap_or(Of::Order);
        let mut read = Keys::new(at, keys);
        read.name(name);
        read.unknown(&KEYS);
        if keys.contains_key("owner") {
            read.wrong("owner", "an owner decides between two sides, and this goes one way", "remove it");
        }
        let key = read.text("omneo").and_then(|path| Self::key(&mut read, of, &path));
        let from = Self::from(&mut read, of);
        let format = read.format();
        if !keys.contains_key("omneo") {
            read.wrong("", "`omneo` is missing", format!("write `omneo = \"{}.meta.{name}\"`", of.omneo()));
        }
        if let Some(way) = read.text("way").filter(|way| way != "to_omneo") {
            let message = format!("the field cannot go `{way}`: orders and products go to Omneo only");
            read.wrong("way", message, "remove it");
        }
        match (key, from, format) {
            (Some(key), Some(from), Some(format)) if read.problems.is_empty() => {
                Ok(Self { name: name.to_owned(), of, key, from, format })
            }
            _ => Err(read.problems),
        }
    }

    fn key(read: &mut Keys, of: Of, path: &str) -> Option<String> {
        let key = path.strip_prefix(of.omneo()).and_then(|rest| rest.strip_prefix('.'));
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let is_place = |key: &&str| match key.strip_prefix(META) {
            Some(word) => is_word(word) && !(of == Of::Order && META_TAKEN.contains(&word)),
            None => of.keys().contains(key),
        };
        if let Some(key) = key.filter(is_place) {
            return Some(key.to_owned());
        }
        let (whose, fix) = match of {
            Of::Order => ("an order", format!("use `transaction.meta.KEY`, where KEY is not {}", quoted(&META_TAKEN))),
            Of::Product => {
                let keys: Vec<_> = of.keys().iter().map(|key| format!("`product.{key}`, ")).collect();
                ("a product", format!("use {}or `product.meta.KEY`", keys.concat()))
            }
        };
        read.wrong("omneo", format!("a value of {whose} cannot go to `{path}`"), fix);
        None
    }

    fn from(read: &mut Keys, of: Of) -> Option<From> {
        match (read.text("shopify"), read.expression()) {
            (Some(_), Some(_)) => {
                read.wrong("expression", "an expression stands in place of `shopify`", "remove one of them");
                None
            }
            (None, Some(expression)) => Some(From::Expression(expression)),
            (Some(path), None) => {
                if let Some(name) = path.strip_prefix(NOTE).filter(|name| of == Of::Order && !name.is_empty()) {
                    return Some(From::Note(name.to_owned()));
                }
                let key = path.strip_prefix(of.shopify()).and_then(|rest| rest.strip_prefix('.'));
                let known = key.and_then(|key| of.body().iter().find(|known| **known == key));
                if known.is_none() {
                    let note = if of == Of::Order { format!(", `{NOTE}NAME`") } else { String::new() };
                    let fix = format!(
                        "use one of {}{note}, or an `expression` over the body of the webhook",
                        of.body().iter().map(|key| format!("{}.{key}", of.shopify())).collect::<Vec<_>>().join(", ")
                    );
                    read.wrong(
                        "shopify",
                        format!("`{path}` is no value of a Shopify {} that is known", of.shopify()),
                        fix,
                    );
                }
                known.copied().map(From::Key)
            }
            (None, None) if read.problems.is_empty() => {
                read.wrong("", "`shopify` is missing", "write its path in Shopify, or an `expression` over the body");
                None
            }
            (None, None) => None,
        }
    }

    /// The entry as the manifest lists it.
    pub fn to_json(&self) -> Value {
        let omneo = format!("{}.{}", self.of.omneo(), self.key);
        let mut line = json!({"omneo": omneo, "format": self.format.name(), "way": "to_omneo"});
        match &self.from {
            From::Key(key) => line["shopify"] = json!(format!("{}.{key}", self.of.shopify())),
            From::Note(name) => line["shopify"] = json!(format!("{NOTE}{name}")),
            From::Expression(expression) => line["expression"] = json!(expression.text()),
        }
        if let Format::Money(currency) = &self.format {
            line["currency"] = json!(currency);
        }
        line
    }

    /// The place in Omneo that the detail writes to; used to find two entries with the same place.
    pub(super) fn place(&self) -> String {
        format!("{}.{}", self.of.omneo(), self.key)
    }

    /// The value, or the reason why it cannot be computed.
    fn value(&self, body: &View) -> Result<Option<String>, String> {
        let found = match &self.from {
            From::Key(key) => body.get(&format!("/{key}")).map(|found| found.value()),
            From::Note(name) => {
                let notes = body.list("/note_attributes").unwrap_or_default();
                let is_it = |note: &&View| note.opt_text("/name").ok().flatten() == Some(name);
                notes.iter().find(is_it).and_then(|note| note.get("/value")).map(|found| found.value())
            }
            From::Expression(expression) => match expression.of(&body.value()) {
                Computed::Value(found) => found,
                Computed::Hidden(_) => None,
                Computed::Failed(why) => return Err(why),
            },
        };
        Ok(found.and_then(|found| self.format.of_json(&found)).filter(|text| !self.format.is_nothing(text)))
    }
}

/// A key in Omneo to which a detail is written.
pub struct Place<'d> {
    pub key: &'d str,
    /// Whether the key is a key of `meta`.
    pub is_meta: bool,
}

/// The places of the details that a body names, either with a value that can be sent or with none. A body does not name
/// a value that an expression computes.
pub fn named<'d>(details: impl Iterator<Item = &'d Detail>, body: &View) -> Vec<Place<'d>> {
    let is_sendable = |detail: &Detail| match detail.value(body) {
        Ok(value) => value.is_none_or(|value| detail.format.wrong(&value).is_none()),
        Err(_) => false,
    };
    let is_named = |detail: &&Detail| {
        matches!(&detail.from, From::Key(key) if body.has(&format!("/{key}"))) && is_sendable(detail)
    };
    let place = |detail: &'d Detail| match detail.key.strip_prefix(META) {
        Some(key) => Place { key, is_meta: true },
        None => Place { key: &detail.key, is_meta: false },
    };
    details.filter(is_named).map(place).collect()
}

/// Writes the details of a body into what is sent to Omneo. Returns what was left out, and why.
pub fn add<'d>(details: impl Iterator<Item = &'d Detail>, body: &View, to: &mut Map<String, Value>) -> Vec<String> {
    let mut left_out = vec![];
    for detail in details {
        let value = match detail.value(body) {
            Ok(Some(value)) => value,
            Ok(None) => continue,
            Err(why) => {
                left_out.push(format!("{} is left out: {why}", detail.name));
                continue;
            }
        };
        if let Some(why) = detail.format.wrong(&value) {
            left_out.push(format!("{} is left out: {why}", detail.name));
            continue;
        }
        let value = detail.format.to_json(&detail.format.plain(&value));
        match detail.key.strip_prefix(META) {
            None => drop(to.insert(detail.key.clone(), value)),
            Some(key) => {
                if let Some(meta) = to.entry("meta").or_insert_with(|| json!({})).as_object_mut() {
                    meta.insert(key.to_owned(), value);
                }
            }
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::super::check::problems;
    use tandem_sdk::json;

    #[test]
    fn every_mistake_is_named_with_its_fix() {
        let cases = [
            (
                json!({"omneo": "transaction.gift", "shopify": "order.note"}),
                "/fields/a/omneo: a value of an order cannot go to `transaction.gift`; use `transaction.meta.KEY`, where KEY is not \"charges\", \"left_out\"",
            ),
            (
                json!({"omneo": "transaction.meta.charges", "shopify": "order.note"}),
                "/fields/a/omneo: a value of an order cannot go to `transaction.meta.charges`; use `transaction.meta.KEY`, where KEY is not \"charges\", \"left_out\"",
            ),
            (
                json!({"omneo": "product.title", "shopify": "product.vendor"}),
                "/fields/a/omneo: a value of a product cannot go to `product.title`; use `product.department`, `product.position`, `product.web_url`, or `product.meta.KEY`",
            ),
            (
                json!({"omneo": "product.department", "shopify": "order.note"}),
                "/fields/a/omneo: a value of an order cannot go to `product.department`; use `transaction.meta.KEY`, where KEY is not \"charges\", \"left_out\"",
            ),
            (
                json!({"omneo": "transaction.meta.a", "shopify": "order.nte"}),
                "/fields/a/shopify: `order.nte` is no value of a Shopify order that is known; use one of order.confirmation_number, order.customer_locale, order.landing_site, order.note, order.po_number, order.referring_site, order.source_name, order.tags, `order.note_attributes.NAME`, or an `expression` over the body of the webhook",
            ),
            (
                json!({"omneo": "transaction.meta.a", "shopify": "order.note", "way": "both"}),
                "/fields/a/way: the field cannot go `both`: orders and products go to Omneo only; remove it",
            ),
            (
                json!({"omneo": "transaction.meta.a", "shopify": "order.note", "owner": "latest"}),
                "/fields/a/owner: an owner decides between two sides, and this goes one way; remove it",
            ),
            (
                json!({"omneo": "transaction.meta.a", "shopify": "order.note", "expression": "note"}),
                "/fields/a/expression: an expression stands in place of `shopify`; remove one of them",
            ),
            (
                json!({"omneo": "transaction.meta.a"}),
                "/fields/a: `shopify` is missing; write its path in Shopify, or an `expression` over the body",
            ),
            (json!({"shopify": "order.note"}), "/fields/a: `omneo` is missing; write `omneo = \"transaction.meta.a\"`"),
            (
                json!({"omneo": "transaction.meta.a", "expression": "nope(note)"}),
                "/fields/a/expression/0: there is no function `nope` (character 5); see https://jmespath.org/specification.html",
            ),
        ];
        for (line, expected) in cases {
            let found = problems(&json!({ "fields": { "a": line } }));
            let shown: Vec<_> =
                found.iter().map(|problem| format!("{}: {}; {}", problem.at, problem.message, problem.fix)).collect();
            assert_eq!(shown, [expected]);
        }
        let twice = json!({"omneo": "transaction.meta.a", "shopify": "order.note"});
        let found = problems(&json!({ "fields": { "a": twice, "b": twice } }));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "`a` and `b` both write `transaction.meta.a` in Omneo");
    }
}
