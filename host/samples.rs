//! A body for each topic, to try rules with or to send to a host, and edits of one. What is not known of a topic is its id
//! alone. Pure.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::topics;

/// Keys that an edit may name, one in the other, and members that it may add to a list.
const DEPTH_MAX: usize = 20;
const MEMBERS_MAX: usize = 100;
const ADA: &str = "5f0c2a4e-8d37-4b1c-9a61-2e7d40c9b813";

/// The shop that an invented body names, until [`in_shop`] says another.
const SHOP: &str = "acme.myshopify.com";
const SHOP_NUMBER: u64 = 954_889;
/// Where topics come from that the host makes itself, and nobody sends.
pub const OWN: &str = "tandem";

/// What is wrong with an edit: it does not fit the body.
#[derive(Debug, thiserror::Error)]
#[error("`--edit`: {0}")]
pub struct Unfit(pub String);

/// The system that sends a topic; by its looks, where nobody lists it.
pub fn source_of(topic: &str) -> &'static str {
    let has = |source: &str| topics::of(source).contains(&topic);
    match topic {
        _ if has("shopify") => "shopify",
        _ if has("omneo") => "omneo",
        _ if has(OWN) => OWN,
        _ if topic.contains('/') => "shopify",
        _ => "omneo",
    }
}

/// What would be sent under a topic; `now` is RFC 3339.
pub fn body(topic: &str, now: &str) -> Value {
    let (resource, verb) = topic.split_once(['/', '.']).unwrap_or((topic, ""));
    match (resource, verb) {
        ("customers", "redact" | "data_request") | ("shop", "redact") | ("app", _) => duty(resource, verb, now),
        ("customers", "delete") => json!({"id": 7_064_055_069_u64}),
        ("customers", _) => customer(now),
        ("customer", _) => {
            json!({"customerId": "gid://shopify/Customer/7064055069", "tags": ["vip"], "occurredAt": now})
        }
        ("customers_email_marketing_consent", _) => {
            let consent = json!({"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": now});
            json!({"customer_id": 7_064_055_069_u64, "email_address": "ada@lovelace.dev", "email_marketing_consent": consent})
        }
        ("customers_marketing_consent", _) => {
            let consent = json!({"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": now});
            json!({"id": 7_064_055_069_u64, "phone": "+61400000001", "sms_marketing_consent": consent})
        }
        ("orders", "delete") => json!({"id": 5_500_000_001_001_u64}),
        ("orders", verb) => order(verb, now),
        ("refunds", _) => refund(now),
        ("products", "delete") => json!({"id": 7_700_000_000_001_u64}),
        ("products", _) => product(now),
        ("locations", _) => location(now),
        ("profile", _) => profile(now),
        ("identity", _) => {
            json!({"id": 11, "profile_id": ADA, "handle": "shopify", "identifier": "7064055069", "created_at": now})
        }
        _ if source_of(topic) == "omneo" => json!({"id": 1, "profile_id": ADA, "updated_at": now}),
        _ => json!({"id": 1, "updated_at": now}),
    }
}

/// What the law asks for, and what becomes of an app.
fn duty(resource: &str, verb: &str, now: &str) -> Value {
    let mut body = json!({"shop_id": SHOP_NUMBER, "shop_domain": SHOP});
    let orders = match (resource, verb) {
        ("app", "uninstalled") => {
            return json!({"id": SHOP_NUMBER, "name": "Acme", "domain": SHOP, "myshopify_domain": SHOP, "updated_at": now});
        }
        ("app", _) => {
            let scopes = ["read_customers", "write_customers"];
            return json!({"id": 7, "shop_id": "gid://shopify/Shop/954889", "previous": scopes, "current": scopes, "updated_at": now});
        }
        ("customers", "redact") => "orders_to_redact",
        ("customers", _) => {
            body["data_request"] = json!({"id": 9_999});
            "orders_requested"
        }
        _ => return body,
    };
    body["customer"] = json!({"id": 7_064_055_069_u64, "email": "ada@lovelace.dev", "phone": "+61400000001"});
    body[orders] = json!([5_500_000_001_001_u64]);
    body
}

/// Has an invented body name this shop, and its number where that is known.
pub fn in_shop(body: &mut Value, shop: &str, number: Option<u64>) {
    let is_shop = body.get("myshopify_domain").is_some();
    let keys = if is_shop { ["domain", "myshopify_domain", "id"] } else { ["shop_domain", "shop_id", "shop_id"] };
    for key in keys {
        match body.get_mut(key) {
            Some(named) if *named == SHOP => *named = json!(shop),
            Some(named) if *named == SHOP_NUMBER => *named = json!(number.unwrap_or(SHOP_NUMBER)),
            _ => {}
        }
    }
}

fn customer(now: &str) -> Value {
    json!({
        "id": 7_064_055_069_u64, "email": "ada@lovelace.dev", "first_name": "Ada", "last_name": "Lovelace",
        "phone": "+61400000001", "state": "enabled", "tags": "vip", "note": null, "verified_email": true,
        "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": now},
        "sms_marketing_consent": {"state": "not_subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": null},
        "addresses": [], "created_at": now, "updated_at": now,
    })
}

/// A guest's order of two items with tax, a discount and shipping: 59.95 + 20.00 - 5.00 + 9.95 = 84.90.
fn order(verb: &str, now: &str) -> Value {
    let line = |id: u64, sku: &str, price: &str, quantity: u32, discount: &str| {
        json!({
            "id": id, "name": sku, "title": sku, "sku": sku, "price": price, "quantity": quantity, "variant_id": id + 1,
            "discount_allocations": [{"amount": discount, "discount_application_index": 0}], "tax_lines": [], "gift_card": false,
        })
    };
    let status = match verb {
        "create" => "pending",
        "cancelled" => "refunded",
        _ => "paid",
    };
    json!({
        "id": 5_500_000_001_001_u64, "name": "#1001", "order_number": 1001, "test": false, "email": "ada@lovelace.dev",
        "currency": "AUD", "taxes_included": true, "financial_status": status,
        "fulfillment_status": if verb == "fulfilled" { json!("fulfilled") } else { Value::Null },
        "cancelled_at": if verb == "cancelled" { json!(now) } else { Value::Null },
        "created_at": now, "processed_at": now, "updated_at": now, "total_price": "84.90", "total_discounts": "5.00",
        "total_tax": "7.72", "source_name": "web", "payment_gateway_names": ["shopify_payments"], "customer": null,
        "note_attributes": [],
        "line_items": [line(10_010, "DRESS-M", "59.95", 1, "0.00"), line(10_012, "SOCKS", "10.00", 2, "5.00")],
        "shipping_lines": [{"id": 10_015, "title": "Standard", "price": "9.95", "discount_allocations": [], "tax_lines": []}],
        "refunds": [],
    })
}

fn refund(now: &str) -> Value {
    json!({
        "id": 9_400_000_000_001_u64, "order_id": 5_500_000_001_001_u64, "created_at": now, "processed_at": now, "note": null,
        "order_adjustments": [], "duties": [], "refund_shipping_lines": [],
        "refund_line_items": [{"id": 1, "line_item_id": 10_010, "quantity": 1, "restock_type": "return", "subtotal": 59.95, "total_tax": 5.45}],
        "transactions": [{"id": 2, "amount": "59.95", "kind": "refund", "status": "success"}],
    })
}

fn product(now: &str) -> Value {
    json!({
        "id": 7_700_000_000_001_u64, "title": "Dress", "handle": "dress", "vendor": "Acme", "body_html": "<p>Blue.</p>",
        "status": "active", "tags": "new", "published_at": now, "updated_at": now, "images": [], "options": [{"name": "Size"}],
        "variants": [{"id": 11, "sku": "DRESS-M", "title": "M", "price": "59.95", "position": 1, "option1": "M"}],
    })
}

fn location(now: &str) -> Value {
    json!({
        "id": 73_971_466_454_u64, "name": "Fitzroy", "address1": "1 Gertrude Street", "city": "Fitzroy", "zip": "3065",
        "phone": "+61390000000", "country": "AU", "country_code": "AU", "country_name": "Australia", "active": true,
        "updated_at": now,
    })
}

fn profile(now: &str) -> Value {
    json!({
        "id": ADA, "first_name": "Ada", "last_name": "Lovelace", "email": "ada@lovelace.dev", "mobile_phone": "+61400000001",
        "type": "active", "tier_handle": "gold", "flattened_tags": [], "flattened_statuses": ["active"], "point_balance": 120,
        "identities": [], "attributes": {"comms": {"email_promo": null, "sms_promo": null}}, "updated_at": now,
    })
}

/// A change of one place of a body: `total_price=10.00`, `line_items.0.quantity=3`, `customer={"id": 7}`. What is JSON is that
/// value; anything else is a text, and a text that looks like JSON is quoted: `note="7"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    keys: Vec<String>,
    value: Value,
}

impl FromStr for Edit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((place, value)) = text.split_once('=') else {
            return Err("an edit is `key=value`, or `key.0.key=value`".into());
        };
        let keys: Vec<_> = place.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) || keys.len() > DEPTH_MAX {
            return Err(format!(
                "`{place}` is no place: write keys and numbers with a `.` between them, {DEPTH_MAX} at most"
            ));
        }
        // A price is a text in both systems' bodies; as a number it would lose the zeros at its end.
        let is_amount = value.contains('.') && value.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        let parsed = serde_json::from_str(value).ok().filter(|_| !is_amount);
        Ok(Self { keys, value: parsed.unwrap_or_else(|| value.into()) })
    }
}

impl Edit {
    /// Changes a body, or says why this edit does not fit it.
    pub fn apply(&self, body: &mut Value) -> Result<(), String> {
        let mut inside = body;
        for (n, key) in self.keys.iter().enumerate() {
            let at = self.keys[..=n].join(".");
            if inside.is_null() {
                *inside = Value::Object(Map::new());
            }
            inside = match inside {
                Value::Object(members) => members.entry(key.as_str()).or_insert(Value::Null),
                Value::Array(members) => {
                    let place = key.parse::<usize>().ok().filter(|place| *place <= members.len().min(MEMBERS_MAX));
                    let place =
                        place.ok_or_else(|| format!("`{at}` is no member of its list, which has {}", members.len()))?;
                    if place == members.len() {
                        members.push(Value::Null);
                    }
                    &mut members[place]
                }
                _ => return Err(format!("`{at}` is inside of a value that is neither a list nor an object")),
            };
        }
        inside.clone_from(&self.value);
        Ok(())
    }

    /// What edits change, as an object for what takes changed keys. A place in a list takes the rest of the list along as it is
    /// there, since a list is replaced as a whole.
    pub fn changes(edits: &[Self], there: &Value) -> Result<Value, Unfit> {
        let mut changes = json!({});
        for edit in edits {
            let key = edit.keys.first().map(String::as_str).unwrap_or_default();
            if edit.keys.len() > 1 && changes.get(key).is_none() && there[key].is_array() {
                changes[key] = there[key].clone();
            }
            edit.apply(&mut changes).map_err(Unfit)?;
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_body_of_its_system() {
        for source in ["shopify", "omneo"] {
            for topic in topics::of(source) {
                let body = body(topic, "2026-01-02T03:04:05Z");
                assert_eq!(source_of(topic), source, "{topic}");
                assert!(body.as_object().is_some_and(|body| !body.is_empty()), "{topic}");
            }
        }
        assert_eq!((source_of("loyalty/tick"), source_of("tick.done")), ("shopify", "omneo"));
        assert_eq!(source_of("resync"), OWN);
        // Whose body has to name a shop names one, and a person where it is about one.
        for (topic, at) in [
            ("customers/redact", "/customer/id"),
            ("customers/data_request", "/customer/email"),
            ("customers/redact", "/orders_to_redact/0"),
            ("customers/data_request", "/orders_requested/0"),
            ("shop/redact", "/shop_id"),
            ("app/scopes_update", "/current/0"),
            ("app/uninstalled", "/myshopify_domain"),
        ] {
            let mut body = body(topic, "now");
            assert!(body.pointer(at).is_some(), "{topic}: {at}");
            in_shop(&mut body, "other.myshopify.com", Some(7));
            assert!(!body.to_string().contains(SHOP), "{topic}");
            assert!(topic == "app/scopes_update" || !body.to_string().contains("954889"), "{topic}");
        }
        let order = |topic: &str| body(topic, "now");
        assert_eq!(order("orders/create")["financial_status"], "pending");
        assert_eq!(order("orders/cancelled")["cancelled_at"], "now");
    }

    #[test]
    fn an_edit_changes_one_place_and_one_that_does_not_fit_says_why() {
        let edited = |edit: &str| {
            let mut body = json!({"a": "x", "list": [{"n": 1}], "nothing": null});
            edit.parse::<Edit>().and_then(|edit| edit.apply(&mut body)).map(|()| body)
        };
        for (edit, place, expected) in [
            ("a=y", "/a", json!("y")),
            ("a=10.00", "/a", json!("10.00")),
            ("a=7", "/a", json!(7)),
            ("a=\"7\"", "/a", json!("7")),
            ("a=", "/a", json!("")),
            ("a=b=c", "/a", json!("b=c")),
            ("list.0.n=true", "/list/0/n", json!(true)),
            ("list.1={\"n\": 2}", "/list/1/n", json!(2)),
            ("nothing.inner.most=null", "/nothing/inner/most", json!(null)),
            ("new=[1]", "/new/0", json!(1)),
        ] {
            assert_eq!(edited(edit).unwrap().pointer(place), Some(&expected), "{edit}");
        }
        for (edit, expected) in [
            ("a", "an edit is `key=value`"),
            ("=1", "`` is no place"),
            ("a..b=1", "`a..b` is no place"),
            ("a.b=1", "`a.b` is inside of a value that is neither"),
            ("list.2=1", "`list.2` is no member of its list, which has 1"),
            ("list.n=1", "`list.n` is no member of its list"),
        ] {
            let said = edited(edit).unwrap_err();
            assert!(said.starts_with(expected), "{edit}: {said}");
        }
        let changes = |edits: &[&str]| {
            let edits: Vec<Edit> = edits.iter().map(|edit| edit.parse().unwrap()).collect();
            let there = json!({"b": {"kept": 1}, "list": [{"n": 1}, {"n": 2, "m": 3}]});
            Edit::changes(&edits, &there).map_err(|unfit| unfit.to_string())
        };
        assert_eq!(changes(&["a=1", "b.c=x"]), Ok(json!({"a": 1, "b": {"c": "x"}})));
        // The rest of a list stays.
        assert_eq!(changes(&["list.1.n=7"]), Ok(json!({"list": [{"n": 1}, {"n": 7, "m": 3}]})));
        assert_eq!(changes(&["list.3.n=7"]), Err("`--edit`: `list.3` is no member of its list, which has 2".into()));
    }
}
