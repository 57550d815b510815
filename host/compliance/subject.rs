//! Whose data an event is, by the ids and the e-mail address that Shopify names a person with. Pure: knows the shapes
//! of payloads; not where they are kept.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::journal::Texts;

const CUSTOMER: &str = "shopify/customer/";
const PROFILE: &str = "omneo/profile/";
const ORDER: &str = "shopify/order/";

/// A person, and the orders that Shopify names with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// `shopify/customer/7`, `omneo/profile/2b1c…`, `shopify/order/5`.
    pub names: BTreeSet<String>,
    /// In lower case.
    pub email: Option<String>,
}

/// What an event has to do with a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Nothing,
    /// The event is about somebody else, and holds this person's e-mail address.
    Mentions,
    Theirs,
}

impl Subject {
    /// Reads the body of `customers/redact` or `customers/data_request`. The phone number does not count: households
    /// share one.
    pub fn read(payload: &str) -> Result<Self, String> {
        let body: Value = serde_json::from_str(payload).map_err(|error| format!("the body is not JSON: {error}"))?;
        let customer = &body["customer"];
        let email = customer["email"].as_str().map(|email| email.trim().to_lowercase());
        let mut subject = Self { names: BTreeSet::new(), email: email.filter(|email| email.contains('@')) };
        subject.names.extend(id(&customer["id"]).map(|id| format!("{CUSTOMER}{id}")));
        if subject.names.is_empty() && subject.email.is_none() {
            return Err("the body has neither an id nor an e-mail address of a customer".into());
        }
        for list in ["orders_to_redact", "orders_requested"] {
            let orders = body[list].as_array().map(Vec::as_slice).unwrap_or_default();
            subject.names.extend(orders.iter().filter_map(id).map(|id| format!("{ORDER}{id}")));
        }
        Ok(subject)
    }

    pub fn has_person(&self) -> bool {
        self.names.iter().any(|name| is_person(name))
    }

    /// What an event has to do with this person.
    pub fn relation(&self, texts: &Texts) -> Relation {
        let (names, after) = match &texts.entity {
            Some(entity) => (&entity.names[..], &entity.after[..]),
            None => (&[][..], &[][..]),
        };
        let mut all = names.iter().chain(after);
        if all.clone().any(|name| self.names.contains(name)) {
            return Relation::Theirs;
        }
        let others_customer = all.any(|name| name.starts_with(CUSTOMER));
        let anybodys = others_customer || names.iter().any(|name| is_person(name));
        let in_payload = self.stands_in(&texts.payload);
        if let Ok(payload) = serde_json::from_str::<Value>(&texts.payload)
            && (self.is_named_in(&texts.topic, &payload)
                || in_payload && !others_customer && self.email.is_some() && email_of(&payload) == self.email)
        {
            return Relation::Theirs;
        }
        match in_payload {
            true if !anybodys => Relation::Theirs,
            false if !texts.others.iter().any(|text| self.stands_in(text)) => Relation::Nothing,
            _ => Relation::Mentions,
        }
    }

    /// Whether the e-mail address stands in a text, as it is or escaped, and is not part of a longer one.
    pub fn stands_in(&self, text: &str) -> bool {
        let Some(email) = &self.email else { return false };
        if !text.contains(['@', '\\', '%']) {
            return false;
        }
        let plain = unescaped(text).to_lowercase();
        plain.match_indices(email.as_str()).any(|(at, _)| {
            let before = plain[..at].chars().next_back();
            let mut after = plain[at + email.len()..].chars();
            let inside = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
            let longer = match after.next() {
                Some('.') => after.next().is_some_and(char::is_alphanumeric),
                Some(c) => c.is_alphanumeric() || c == '-',
                None => false,
            };
            !before.is_some_and(inside) && !longer
        })
    }

    /// Whether a payload names the person, or one of the orders, where Shopify and Omneo name a person or an order.
    fn is_named_in(&self, topic: &str, payload: &Value) -> bool {
        let own = match topic.split(['/', '.', '_']).next() {
            Some("customers" | "customer") => CUSTOMER,
            Some("orders") => ORDER,
            Some("profile") => PROFILE,
            _ => "",
        };
        !own.is_empty() && self.has(own, &payload["id"]) || self.is_named_below(payload)
    }

    fn is_named_below(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => members.iter().any(|(key, value)| {
                let named = match key.as_str() {
                    "customer_id" | "customerId" => self.has(CUSTOMER, value),
                    "order_id" | "orderId" => self.has(ORDER, value),
                    "profile_id" | "resource_owner_id" => self.has(PROFILE, value),
                    "customer" => self.has(CUSTOMER, &value["id"]),
                    "order" => self.has(ORDER, &value["id"]),
                    "profile" => self.has(PROFILE, &value["id"]),
                    _ => false,
                };
                named || self.is_named_below(value)
            }),
            Value::Array(members) => members.iter().any(|member| self.is_named_below(member)),
            Value::String(text) => match text.strip_prefix("gid://shopify/") {
                Some(rest) if rest.starts_with("Customer/") => self.has(CUSTOMER, value),
                Some(rest) if rest.starts_with("Order/") => self.has(ORDER, value),
                _ => false,
            },
            _ => false,
        }
    }

    fn has(&self, kind: &str, value: &Value) -> bool {
        id(value).is_some_and(|id| self.names.contains(&format!("{kind}{id}")))
    }
}

/// Whether a name is a person's.
pub fn is_person(name: &str) -> bool {
    name.starts_with(CUSTOMER) || name.starts_with(PROFILE)
}

/// The e-mail address of the person that a payload is about, in lower case.
pub fn email_of(payload: &Value) -> Option<String> {
    let found = ["/email", "/customer/email", "/profile/email"].map(|at| payload.pointer(at).and_then(Value::as_str));
    found.into_iter().flatten().next().map(|email| email.trim().to_lowercase())
}

/// An id as text: a number, a text, or the end of a global id.
fn id(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let text = text.split('?').next().unwrap_or_default();
            text.rsplit('/').next().unwrap_or_default().to_owned()
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A text in which the characters that JSON in JSON and addresses hide are plain: `\\u0040`, `%40`.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '%']) {
        plain.push_str(&rest[..at]);
        let here = &rest[at..];
        // The more often JSON was put into JSON, the more backslashes stand before the character.
        let slashes = here.len() - here.trim_start_matches('\\').len();
        let (digits, skip) = match (slashes, here.as_bytes().get(slashes)) {
            (0, _) => (here.get(1..3), 3),
            (_, Some(b'u')) => (here.get(slashes + 1..slashes + 5), slashes + 5),
            _ => (None, 0),
        };
        let code = digits.filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
        match code.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32) {
            Some(c) if slashes > 0 || c.is_ascii() => {
                plain.push(c);
                rest = &here[skip..];
            }
            _ => {
                let skip = slashes.max(1);
                plain.push_str(&here[..skip]);
                rest = &here[skip..];
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entity, EventId};

    fn ada() -> Subject {
        Subject::read(r#"{"customer":{"id":191167,"email":" Ada@Lovelace.dev"},"orders_to_redact":[299938]}"#).unwrap()
    }

    fn relation(topic: &str, names: &[&str], payload: &str) -> Relation {
        let entity = Entity { names: names.iter().map(ToString::to_string).collect(), after: vec![] };
        let entity = (!names.is_empty()).then_some(entity);
        let (source, others) = ("shopify".into(), vec![]);
        ada().relation(&Texts {
            event: EventId(1),
            source,
            topic: topic.into(),
            entity,
            payload: payload.into(),
            others,
        })
    }

    #[test]
    fn a_body_names_a_person_by_id_or_by_email() {
        assert_eq!(ada().names.into_iter().collect::<Vec<_>>(), ["shopify/customer/191167", "shopify/order/299938"]);
        assert!(!Subject::read(r#"{"customer":{"email":"a@b.c"}}"#).unwrap().has_person());
        for bad in ["", "[]", "{}", r#"{"customer":null}"#, r#"{"customer":{"id":null,"email":"x","phone":"555"}}"#] {
            assert!(Subject::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_email_is_found_however_it_is_written_and_never_in_a_longer_one() {
        for yes in [
            "ada@lovelace.dev",
            "<ADA@lovelace.dev>, please",
            r#"{"email":"ada\u0040lovelace.dev"}"#,
            r#"{"body":"{\"email\":\"ada\\u0040lovelace.dev\"}"}"#,
            "GET /profiles?filter[email]=ada%40lovelace.dev",
            "it is ada@lovelace.dev.",
        ] {
            assert!(ada().stands_in(yes), "{yes}");
        }
        for no in [
            "bada@lovelace.dev",
            "x.ada@lovelace.dev",
            "ada@lovelace.dev.au",
            "ada@lovelace.development",
            "%4",
            "\\u00",
            "é%\\",
            "ada+x@lovelace.dev",
        ] {
            assert!(!ada().stands_in(no), "{no}");
        }
    }

    #[test]
    fn whose_an_event_is() {
        use Relation::{Mentions, Nothing, Theirs};
        for (topic, names, payload, expected) in [
            ("customers/update", &["shopify/customer/191167"][..], "", Theirs),
            ("customers/update", &["shopify/customer/7"], r#"{"id":7,"note":"like ada@lovelace.dev"}"#, Mentions),
            ("customers/update", &["shopify/customer/7"], r#"{"id":7,"email":"ada@lovelace.dev"}"#, Mentions),
            ("customers/update", &["shopify/customer/7"], r#"{"id":7,"email":"bob@x.dev"}"#, Nothing),
            ("profile.created", &["omneo/profile/2b1c"], r#"{"id":"2b1c","email":"ada@lovelace.dev"}"#, Theirs),
            ("checkouts/create", &[], r#"{"email":"ada@lovelace.dev"}"#, Theirs),
            ("checkouts/create", &[], r#"{"id":191167,"customer":{"id":191167}}"#, Theirs),
            ("checkouts/create", &[], r#"{"id":191167,"customer":{"id":8}}"#, Nothing),
            ("refunds/create", &[], r#"{"id":1,"order_id":299938}"#, Theirs),
            ("customer.tags_added", &[], r#"{"customerId":"gid://shopify/Customer/191167"}"#, Theirs),
            ("orders/paid", &["shopify/order/4"], r#"{"id":4,"email":"ada@lovelace.dev"}"#, Theirs),
            ("orders/paid", &[], "not JSON: ada@lovelace.dev", Theirs),
        ] {
            assert_eq!(relation(topic, names, payload), expected, "{topic} {payload}");
        }
    }
}
