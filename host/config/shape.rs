//! The keys of the configuration and the kind of value that each may hold, as one table. It serves to find every key at
//! once that is unknown, missing or of another kind. Does not know what a value means.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::excerpt::{Mistake, nearest};

/// What a key may hold.
#[derive(Clone, Copy)]
pub enum Shape {
    Text,
    Number,
    Texts,
    Numbers,
    Table(&'static [Key]),
    /// A table with one entry for each name that the author chooses.
    Named(&'static [Key]),
    /// A number for each name. The names are checked elsewhere.
    Limits,
}

/// A key of a table.
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub is_required: bool,
}

const fn may(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, is_required: false }
}

const fn must(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, is_required: true }
}

/// The whole configuration.
pub const CONFIGURATION: &[Key] = &[
    may("listen", Shape::Text),
    may("journal", Shape::Text),
    may("public_url", Shape::Text),
    may("body_bytes_max", Shape::Number),
    may("admin", Shape::Table(&[may("listen", Shape::Text)])),
    may("network", Shape::Table(&[may("allow", Shape::Texts), may("allow_merchants", Shape::Texts)])),
    may("secrets", Shape::Table(&[may("keys", Shape::Texts)])),
    may(
        "delivery",
        Shape::Table(&[
            may("timeout_ms", Shape::Number),
            may("retry_delays_ms", Shape::Numbers),
            may("quiet_ms", Shape::Number),
            may("concurrent_calls", Shape::Number),
        ]),
    ),
    may("alerts", Shape::Table(&[may("url", Shape::Text), may("secret", Shape::Text), may("every_s", Shape::Number)])),
    may("reconcile", Shape::Table(&[may("at", Shape::Text), may("names_on", Shape::Text)])),
    may("apps", Shape::Named(APP)),
    may("tenants", Shape::Named(TENANT)),
];

const APP: &[Key] = &[
    must("client_id", Shape::Text),
    must("client_secret", Shape::Text),
    may("previous_secret", Shape::Text),
    may("endpoint", Shape::Text),
    may("proxy", Shape::Text),
    may("trust_classic_accounts", Shape::Texts),
    must("kind", Shape::Text),
];

/// The table of one tenant.
pub const TENANT: &[Key] = &[
    must("shop", Shape::Text),
    may("rules", Shape::Text),
    may("component", Shape::Text),
    must("shopify", Shape::Table(SHOPIFY)),
    must("omneo", Shape::Table(OMNEO)),
    may("limits", Shape::Limits),
];

/// The same for a tenant that is added to a running host. A tenant with an app may be connected to Omneo later.
pub const ADDED: &[Key] = &[
    must("shop", Shape::Text),
    may("rules", Shape::Text),
    may("component", Shape::Text),
    must("shopify", Shape::Table(SHOPIFY)),
    may("omneo", Shape::Table(OMNEO)),
    may("limits", Shape::Limits),
];

/// Either a token with webhook secrets, or an app. Which of the two is checked elsewhere.
const SHOPIFY: &[Key] = &[
    may("url", Shape::Text),
    may("app", Shape::Text),
    may("token", Shape::Text),
    may("webhook_secrets", Shape::Texts),
    may("per_minute", Shape::Number),
];

const OMNEO: &[Key] = &[
    may("url", Shape::Text),
    must("token", Shape::Text),
    must("webhook_secrets", Shape::Texts),
    may("per_minute", Shape::Number),
];

impl Shape {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("a text", "\"…\""),
            Self::Number => ("a whole number of 0 or more", "…"),
            Self::Texts => ("a list of texts", "[\"…\"]"),
            Self::Numbers => ("a list of numbers", "[1000, 5000]"),
            Self::Table(_) | Self::Named(_) | Self::Limits => ("a table", "{ … }"),
        }
    }

    fn fits(self, value: &DeValue) -> bool {
        let is_number = |value: &DeValue| match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).is_ok_and(|n| n >= 0),
            _ => false,
        };
        match (self, value) {
            (Self::Text, DeValue::String(_)) => true,
            (Self::Number, value) => is_number(value),
            (Self::Texts, DeValue::Array(list)) => list.iter().all(|one| matches!(one.get_ref(), DeValue::String(_))),
            (Self::Numbers, DeValue::Array(list)) => list.iter().all(|one| is_number(one.get_ref())),
            (Self::Table(_) | Self::Named(_) | Self::Limits, DeValue::Table(_)) => true,
            _ => false,
        }
    }
}

/// Reports everything that is wrong with the keys of a table. `path` is the table's own name, such as `tenants.acme.`,
/// or empty.
pub fn wrong(keys: &[Key], table: &DeTable, place: Range<usize>, path: &str, mistakes: &mut Vec<Mistake>) {
    for (name, value) in table.iter() {
        match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
            Some(key) => inside(key.shape, name, value, &format!("{path}{}", key.name), mistakes),
            None => mistakes.push(unknown(keys, name.get_ref(), name.span(), path)),
        }
    }
    for key in keys.iter().filter(|key| key.is_required) {
        if !table.iter().any(|(name, _)| name.get_ref().as_ref() == key.name) {
            let (_, example) = key.shape.words();
            mistakes.push(Mistake {
                place: place.clone(),
                message: format!("`{path}{}` is missing", key.name),
                fix: format!("add `{} = {example}`", key.name),
            });
        }
    }
}

fn inside(
    shape: Shape,
    name: &Spanned<toml::de::DeString>,
    value: &Spanned<DeValue>,
    path: &str,
    mistakes: &mut Vec<Mistake>,
) {
    let key = name.get_ref();
    if !shape.fits(value.get_ref()) {
        let (what, example) = shape.words();
        mistakes.push(Mistake {
            place: name.span(),
            message: format!("`{path}` is not {what}"),
            fix: match shape {
                Shape::Number => "write the digits alone, without quotation marks and without a unit".to_owned(),
                _ => format!("write `{key} = {example}`"),
            },
        });
        return;
    }
    match (shape, value.get_ref()) {
        (Shape::Table(keys), DeValue::Table(table)) => {
            wrong(keys, table, name.span(), &format!("{path}."), mistakes);
        }
        (Shape::Named(keys), DeValue::Table(tables)) => {
            for (name, value) in tables.iter() {
                inside(Shape::Table(keys), name, value, &format!("{path}.{}", name.get_ref()), mistakes);
            }
        }
        (Shape::Limits, DeValue::Table(limits)) => {
            for (name, value) in limits.iter() {
                inside(Shape::Number, name, value, &format!("{path}.{}", name.get_ref()), mistakes);
            }
        }
        _ => {}
    }
}

fn unknown(keys: &[Key], name: &str, place: Range<usize>, path: &str) -> Mistake {
    let fix = match nearest(name, keys.iter().map(|key| key.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
            format!("there are {}", names.join(", "))
        }
    };
    Mistake { place, message: format!("unknown key `{path}{name}`"), fix }
}

/// Every key with its path, such as `tenants.NAME.shopify.token`, for checks of the documentation.
pub fn paths() -> Vec<String> {
    fn walk(keys: &[Key], path: &str, found: &mut Vec<String>) {
        for key in keys {
            let path = format!("{path}{}", key.name);
            match key.shape {
                Shape::Table(keys) => walk(keys, &format!("{path}."), found),
                Shape::Named(keys) => walk(keys, &format!("{path}.NAME."), found),
                _ => found.push(path),
            }
        }
    }
    let mut found = vec![];
    walk(CONFIGURATION, "", &mut found);
    found
}

/// Whether a text says where a secret is stored, instead of being the secret.
fn is_place(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
    };
    text.strip_prefix("env:").is_some_and(is_name)
        || text.strip_prefix("file:").is_some_and(|path| path.starts_with(['/', '.']))
}

/// The text with everything masked that could be a secret, in its original length: all texts and, in a line that is not
/// TOML, everything after the first `=` or quote.
pub fn masked(text: &str, table: &DeTable, broken: &[usize]) -> String {
    let mut bytes: Vec<u8> = text.as_bytes().to_vec();
    let mut hide = |range: Range<usize>, kept: &[u8]| {
        for at in range {
            if let Some(byte) = bytes.get_mut(at).filter(|byte| !kept.contains(byte)) {
                *byte = b'*';
            }
        }
    };
    fn texts(value: &Spanned<DeValue>, found: &mut Vec<Range<usize>>) {
        match value.get_ref() {
            DeValue::String(_) => found.push(value.span()),
            DeValue::Array(list) => list.iter().for_each(|value| texts(value, found)),
            DeValue::Table(table) => table.values().for_each(|value| texts(value, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    table.values().for_each(|value| texts(value, &mut found));
    for Range { start, end } in found {
        let inside = start + 1..end.saturating_sub(1);
        if !text.get(inside.clone()).is_some_and(is_place) {
            hide(inside, b"\r\n");
        }
    }
    for at in broken {
        let start = text[..text.floor_char_boundary(*at)].rfind('\n').map_or(0, |n| n + 1);
        let line = text[start..].split('\n').next().unwrap_or_default();
        let from = line.find(['=', '"', '\'']).map_or(line.len(), |n| n + 1);
        // The punctuation of TOML stays visible, because the mistake may be in it.
        hide(start + from..start + line.len(), b"\r\n\t []{},\"'");
    }
    String::from_utf8(bytes).unwrap_or_default()
}
