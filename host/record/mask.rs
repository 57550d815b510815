//! Replaces what is personal in bodies, calls and sentences by invented values, the same everywhere. Knows where such values
//! stand and how to find them again elsewhere; not what a conversation is.
//!
//! What comes from outside is learned first. A value is personal by its key, by its form (e-mail addresses, UUIDs, long
//! tokens), or because nobody knows its key and it looks like words. What the rules say is made of what came from outside, so
//! there only what was learned is replaced; and what they said first, an answer may repeat.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Number, Value};

use super::invent::{Invented, is_letter, is_uuid, runs};
use super::kind::{Kind, is_complaint, is_id, is_number, is_wordy, kind};
use crate::model::{Answer, Reply};

/// Digits from which on a number under the key of an id is one: shorter ones count rows, and name nobody.
const ID_DIGITS_MIN: usize = 5;
/// Digits from which on a text of digits is an id whatever its key.
const NUMBER_DIGITS_MIN: usize = 6;
/// Letters and digits in one piece from which on they are a token.
const TOKEN_CHARS_MIN: usize = 16;

/// What there is to replace.
#[derive(Default)]
pub struct Learned {
    seen: HashSet<String>,
    ids: BTreeSet<String>,
    tails: HashSet<String>,
    phrases: HashMap<String, Kind>,
    /// Texts that came from outside, and those that the rules said before that: words of theirs.
    outside: HashSet<String>,
    own: HashSet<String>,
}

pub struct Mask {
    ids: BTreeSet<String>,
    tails: HashSet<String>,
    /// By their first character, the longest first.
    phrases: BTreeMap<char, Vec<(String, Kind)>>,
    own: HashSet<String>,
    invented: Invented,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    key: &'a str,
    beside: Option<&'a Map<String, Value>>,
    complaint: bool,
}

impl Place<'_> {
    const ROOT: Self = Self { key: "", beside: None, complaint: false };

    fn kind(self) -> Kind {
        if self.complaint { Kind::Plain } else { kind(self.key, self.beside) }
    }
}

impl Learned {
    /// Takes in a body: JSON, or any text.
    pub fn body(&mut self, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.value(&value, Place::ROOT),
            Err(_) => self.see(text),
        }
    }

    /// Takes in a body that the rules made, before the answers to it.
    pub fn said(&mut self, text: &str) {
        self.see(text);
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            self.own(&value);
        }
    }

    fn own(&mut self, value: &Value) {
        match value {
            Value::Array(members) => members.iter().for_each(|member| self.own(member)),
            Value::Object(members) => members.values().for_each(|member| self.own(member)),
            Value::String(text) if !self.outside.contains(text.trim()) => drop(self.own.insert(text.trim().to_owned())),
            _ => {}
        }
    }

    /// Takes in the name of an entity: `shopify/customer/7064055069`.
    pub fn name(&mut self, name: &str) {
        self.see(name);
        self.ids.extend(name.rsplit('/').next().filter(|id| is_long(id)).map(str::to_owned));
    }

    /// That is all there is.
    pub fn mask(self) -> Mask {
        let mut phrases: BTreeMap<char, Vec<(String, Kind)>> = BTreeMap::new();
        for (phrase, kind) in self.phrases {
            if let Some(first) = phrase.chars().next() {
                phrases.entry(first).or_default().push((phrase, kind));
            }
        }
        for phrases in phrases.values_mut() {
            phrases.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        }
        let mut invented = Invented::new(self.seen);
        invented.ids(&self.ids);
        Mask { ids: self.ids, tails: self.tails, phrases, own: self.own, invented }
    }

    /// Every word and number, so that none of them is invented.
    pub fn see(&mut self, text: &str) {
        self.seen.extend(
            runs(text).filter(|run| run.contains(|c: char| is_letter(c) || c.is_ascii_digit())).map(str::to_lowercase),
        );
    }

    fn value(&mut self, value: &Value, place: Place) {
        match value {
            Value::Array(members) => members.iter().for_each(|member| self.value(member, place)),
            Value::Object(members) => {
                for (key, value) in members {
                    let complaint = place.complaint || is_complaint(key);
                    self.value(value, Place { key, beside: Some(members), complaint });
                }
            }
            Value::Number(number) => {
                let digits = number.to_string();
                self.see(&digits);
                if is_id(place.key) && is_long(&digits) {
                    self.ids.insert(digits);
                }
            }
            Value::String(text) => match nested(text) {
                Some(inner) => self.value(&inner, place),
                None => self.text(text, place),
            },
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn text(&mut self, text: &str, place: Place) {
        self.see(text);
        let phrase = text.trim();
        self.outside.insert(phrase.to_owned());
        match place.kind() {
            Kind::Phone => self.tails.extend(Invented::tail(text)),
            Kind::Name => {
                self.phrase(phrase, Kind::Name);
                phrase.split_whitespace().for_each(|word| self.phrase(word, Kind::Name));
            }
            kind @ (Kind::Text | Kind::Born) => self.phrase(phrase, kind),
            Kind::Unknown if is_wordy(phrase) && !self.own.contains(phrase) => self.phrase(phrase, Kind::Text),
            _ => {}
        }
        if place.kind() == Kind::Phone {
            return;
        }
        if is_id(place.key) && is_mixed(phrase) && !is_uuid(phrase) && !runs(phrase).any(is_long) {
            self.phrase(phrase, Kind::Token);
        }
        let is_number = phrase.len() >= NUMBER_DIGITS_MIN && is_long(phrase) && place.kind() != Kind::Fixed;
        if is_number || is_id(place.key) || text.starts_with("gid://") {
            self.ids.extend(runs(text).filter(|run| is_long(run)).map(str::to_owned));
        }
    }

    fn phrase(&mut self, phrase: &str, kind: Kind) {
        // A number would be found in amounts and times, too; one letter everywhere.
        let is_telling = phrase.chars().count() > 1 && phrase.contains(is_letter) || kind == Kind::Born;
        if is_telling && !phrase.contains('@') {
            self.phrases.entry(phrase.to_owned()).or_insert(kind);
        }
    }
}

impl Mask {
    /// A body from outside.
    pub fn body(&mut self, text: &str) -> String {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.value(&value, Place::ROOT, true).to_string(),
            Err(_) => self.text(text),
        }
    }

    /// A body that the rules made.
    pub fn said(&mut self, text: &str) -> String {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.value(&value, Place::ROOT, false).to_string(),
            Err(_) => self.text(text),
        }
    }

    pub fn reply(&mut self, reply: Reply) -> Reply {
        match reply {
            Reply::Unknown(why) => Reply::Unknown(self.text(&why)),
            Reply::Answer(Answer { status, headers, body }) => {
                let headers = headers.into_iter().map(|(name, value)| (name, self.text(&value))).collect();
                Reply::Answer(Answer { status, headers, body: self.body(&body) })
            }
        }
    }

    /// A sentence, a path or a name, in which only what was learned is replaced.
    pub fn text(&mut self, text: &str) -> String {
        self.replaced(text, true, false)
    }

    fn value(&mut self, value: &Value, place: Place, outside: bool) -> Value {
        match value {
            Value::Array(members) => members.iter().map(|member| self.value(member, place, outside)).collect(),
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| {
                    let complaint = place.complaint || is_complaint(key);
                    let value = self.value(value, Place { key, beside: Some(members), complaint }, outside);
                    (key.clone(), value)
                };
                Value::Object(members.iter().map(member).collect())
            }
            Value::Number(number) => self.number(number, place),
            Value::String(text) => match nested(text) {
                Some(inner) => Value::String(self.value(&inner, place, outside).to_string()),
                None => Value::String(self.string(text, place, outside)),
            },
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    fn number(&mut self, number: &Number, place: Place) -> Value {
        let digits = number.to_string();
        let made = match place.kind() {
            Kind::Born => {
                let max = if place.key.to_lowercase().ends_with("month") { 12 } else { 31 };
                number.as_u64().filter(|n| (1..=max).contains(n)).map(|n| self.invented.small(n, max).to_string())
            }
            Kind::Place => {
                digits.split_once('.').map(|(whole, part)| format!("{whole}.{}", self.invented.digits(part)))
            }
            _ if is_number(place.key) && is_digits(&digits) => Some(self.invented.digits(&digits)),
            _ if self.ids.contains(&digits) => Some(self.invented.digits(&digits)),
            _ => None,
        };
        let made = made.and_then(|made| made.parse::<Number>().ok());
        Value::Number(made.unwrap_or_else(|| number.clone()))
    }

    fn string(&mut self, text: &str, place: Place, outside: bool) -> String {
        match place.kind() {
            Kind::Fixed => self.replaced(text, false, false),
            Kind::Plain => self.replaced(text, true, false),
            Kind::Name | Kind::Text => self.replaced(text, true, true),
            Kind::Phone => self.invented.phone(text),
            Kind::Born => self.invented.day(text),
            Kind::Ip if !text.is_empty() => self.invented.ip(text),
            Kind::Token => self.invented.token(text),
            Kind::Place => match text.split_once('.') {
                Some((whole, part)) => format!("{whole}.{}", self.invented.digits(part)),
                None => text.to_owned(),
            },
            Kind::Unknown if is_number(place.key) && is_digits(text) => self.invented.digits(text),
            Kind::Unknown => {
                let personal = outside && is_wordy(text.trim()) && !self.own.contains(text.trim());
                self.replaced(text, true, personal)
            }
            Kind::Ip => String::new(),
        }
    }

    /// Replaces what has a form of its own, and known phrases if these count here, and every other word and number if all
    /// of the text is personal.
    fn replaced(&mut self, text: &str, phrases: bool, all: bool) -> String {
        let mut made = String::with_capacity(text.len());
        let (mut rest, mut before) = (text, None::<char>);
        while let Some(first) = rest.chars().next() {
            let found = self.piece(rest, before, phrases).or_else(|| {
                let run = runs(rest).next().filter(|_| all)?;
                Some((run.len(), self.invented.text(run)))
            });
            let (length, with) = found.unwrap_or_else(|| (first.len_utf8(), first.to_string()));
            before = rest[..length].chars().next_back();
            made.push_str(&with);
            rest = &rest[length..];
        }
        made
    }

    /// What stands at the beginning of a text, and what to put in its place.
    fn piece(&mut self, text: &str, before: Option<char>, phrases: bool) -> Option<(usize, String)> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let is_amount =
            text[digits..].strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_whole = digits > 0 && !is_amount && !before.is_some_and(|c| c.is_ascii_digit());
        if is_whole && self.ids.contains(&text[..digits]) {
            return Some((digits, self.invented.digits(&text[..digits])));
        }
        if before.is_some_and(char::is_alphanumeric) {
            return None;
        }
        if let Some(length) = email(text) {
            return Some((length, self.invented.email(&text[..length])));
        }
        let plain = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
        if is_uuid(&text[..plain]) {
            return Some((plain, self.invented.token(&text[..plain])));
        }
        if let Some(length) = self.phone(text) {
            return Some((length, self.invented.phone(&text[..length])));
        }
        if let Some(number) = text.strip_prefix('#') {
            let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            if digits > 0 {
                return Some((digits + 1, format!("#{}", self.invented.digits(&number[..digits]))));
            }
        }
        let run = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let token = &text[..run];
        if run >= TOKEN_CHARS_MIN && is_mixed(token) {
            return Some((run, self.invented.token(token)));
        }
        let known = self.phrases.get(&text.chars().next()?).filter(|_| phrases)?;
        let ends = |phrase: &str| !text[phrase.len()..].starts_with(char::is_alphanumeric);
        let (phrase, kind) =
            known.iter().find(|(phrase, _)| text.starts_with(phrase.as_str()) && ends(phrase))?.clone();
        let with = match kind {
            Kind::Born => self.invented.day(&phrase),
            Kind::Token => self.invented.token(&phrase),
            _ => self.replaced(&phrase, false, true),
        };
        Some((phrase.len(), with))
    }

    /// The length of the known phone number that a text begins with, however it is written.
    fn phone(&self, text: &str) -> Option<usize> {
        let begins = text.starts_with(|c: char| c == '+' || c == '(' || c.is_ascii_digit());
        let run = text.find(|c: char| !(c.is_ascii_digit() || " +()-.".contains(c))).unwrap_or(text.len());
        let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let mut ends = (1..=run).filter(|end| begins && is_digit(end - 1) && !is_digit(*end));
        ends.find(|end| Invented::tail(&text[..*end]).is_some_and(|tail| self.tails.contains(&tail)))
    }
}

/// JSON in a text, if it was written without blanks: so that it can be written again.
fn nested(text: &str) -> Option<Value> {
    let value = text.starts_with(['{', '[']).then(|| serde_json::from_str::<Value>(text).ok()).flatten()?;
    let again = serde_json::to_string(&value).ok()?;
    (again == text).then_some(value)
}

/// Of letters and digits.
fn is_mixed(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit()) && text.contains(|c: char| c.is_ascii_alphabetic())
}

fn is_long(text: &str) -> bool {
    text.len() >= ID_DIGITS_MIN && is_digits(text)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// The length of the e-mail address that a text begins with, escaped for a URL or not.
fn email(text: &str) -> Option<usize> {
    let allowed = |c: char| c.is_alphanumeric() || "._%+-@'".contains(c);
    let run = &text[..text.find(|c| !allowed(c)).unwrap_or(text.len())];
    let run = run.trim_end_matches(['.', '-', '\'', '%', '+', '_']);
    let (local, domain) = run.split_once('@').or_else(|| run.split_once("%40"))?;
    (!local.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.starts_with('.'))
        .then_some(run.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":7064055069,"first_name":"Ada","last_name":"Lovelace","phone":"+61 412 345 678","email":"Ada@Lovelace.dev",
        "note":"ring Ada","tags":"vip","total":"7064055069.50","metafield":{"value":"[\"Ada\",7064055069]"},
        "gid":"gid://shopify/Customer/7064055069?x=1","state":"enabled","unknown":"Quiet Words","code":"SAVE10"}"#;

    fn learned() -> Learned {
        let mut learned = Learned::default();
        learned.body(BODY);
        learned
    }

    #[test]
    fn a_value_is_the_same_wherever_it_stands_and_what_is_not_personal_stays() {
        let mut mask = learned().mask();
        let body: Value = serde_json::from_str(&mask.body(BODY)).unwrap();
        let (id, first) = (body["id"].to_string(), body["first_name"].as_str().unwrap().to_owned());
        assert!(id.len() == 10 && id != "7064055069" && first.len() == 3 && first != "Ada", "{body:#}");
        assert_eq!(body["gid"], format!("gid://shopify/Customer/{id}?x=1"));
        assert_eq!(body["metafield"]["value"], format!("[\"{first}\",{id}]"));
        assert!(body["note"].as_str().unwrap().ends_with(&format!(" {first}")), "{body:#}");
        assert!(!body.to_string().contains("Quiet"), "{body:#}");
        let fixed = ["tags", "state", "code", "total"].map(|key| body[key].as_str().unwrap());
        assert_eq!(fixed, ["vip", "enabled", "SAVE10", "7064055069.50"]);
        let sentence = mask.text("Ada (0412 345 678, ada@lovelace.dev) is shopify/customer/7064055069; Adam is not");
        assert!(sentence.starts_with(&format!("{first} (04")), "{sentence}");
        assert!(sentence.ends_with(&format!(" is shopify/customer/{id}; Adam is not")), "{sentence}");
        assert!(!sentence.contains("345 678") && !sentence.contains("lovelace"), "{sentence}");
        assert!(sentence.contains(&format!("{}@", first.to_lowercase())), "{sentence}");
    }

    #[test]
    fn what_the_rules_said_first_is_no_secret_of_anybody() {
        let mut learned = learned();
        learned.said(r#"{"reason_desc":"Bulk Discount","greeting":"Quiet Words"}"#);
        let answer =
            r#"{"reason_desc":"Bulk Discount","greeting":"Quiet Words","errors":{"first_name":["Is Too Long"]}}"#;
        learned.body(answer);
        let mut mask = learned.mask();
        let (body, said) = (mask.body(answer), mask.said(r#"{"reason_desc":"Bulk Discount"}"#));
        assert!(body.contains("Bulk Discount") && body.contains("Is Too Long") && !body.contains("Quiet"), "{body}");
        assert_eq!(said, r#"{"reason_desc":"Bulk Discount"}"#);
    }
}
