//! A past for both sides: people, products and orders that were there before anybody listened, made in one go and told to nobody.
//! Knows neither side's store: it says who and what there was, and when.

use serde_json::{Value, json};

use crate::clock;

const FIRST: [&str; 12] = ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Lou"];
const LAST: [&str; 11] = ["Abel", "Brown", "Cole", "Dunn", "Ellis", "Frost", "Grant", "Hale", "Irwin", "Jones", "Kerr"];
const CITIES: [(&str, &str, &str); 4] =
    [("Perth", "WA", "6000"), ("Melbourne", "VIC", "3000"), ("Sydney", "NSW", "2000"), ("Hobart", "TAS", "7000")];

/// One line, paid and sent.
const ORDER: &str = r#"{
  "id": 0, "name": "", "order_number": 0, "test": false, "financial_status": "paid", "fulfillment_status": "fulfilled",
  "cancelled_at": null, "closed_at": null, "source_name": "web", "location_id": null, "customer": null, "email": null,
  "created_at": "", "processed_at": "", "updated_at": "", "payment_gateway_names": ["shopify_payments"],
  "note_attributes": [], "tags": "", "total_price": "", "current_total_price": "", "total_tax": "0.00",
  "total_discounts": "0.00", "total_outstanding": "0.00", "tax_lines": [], "shipping_lines": [], "discount_applications": [],
  "discount_codes": [], "refunds": [],
  "line_items": [{ "id": 0, "name": "", "title": "", "sku": "", "variant_id": null, "product_id": null, "quantity": 1,
    "current_quantity": 1, "gift_card": false, "price": "", "tax_lines": [], "discount_allocations": [] }]
}"#;

/// How much past there is, and how much of it the two sides share.
#[derive(Clone, Debug)]
pub struct Past {
    pub people: u64,
    pub products: u64,
    pub orders: u64,
    /// When the first of each was made, and the last, in Unix milliseconds.
    pub from_ms: i64,
    pub until_ms: i64,
    /// Of a hundred people: those whom both sides have, linked to each other; and those whom both have with the same e-mail
    /// address and no link. Of the rest, every second is on one side.
    pub linked: u64,
    pub shared: u64,
}

/// A person of the past; the same on both sides.
pub(crate) struct Person {
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub email: String,
    pub phone: String,
    pub city: (&'static str, &'static str, &'static str),
    pub tags: Vec<String>,
    pub is_subscribed: bool,
    pub made_ms: i64,
}

/// On which sides a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    Linked,
    Both,
    Shop,
    Tenant,
}

impl Past {
    /// Nobody and nothing, between two times.
    pub fn between(from_ms: i64, until_ms: i64) -> Past {
        Past { people: 0, products: 0, orders: 0, from_ms, until_ms, linked: 60, shared: 20 }
    }

    pub(crate) fn sides(&self, n: u64) -> Sides {
        match n % 100 {
            of if of < self.linked => Sides::Linked,
            of if of < self.linked + self.shared => Sides::Both,
            of if of % 2 == 0 => Sides::Shop,
            _ => Sides::Tenant,
        }
    }

    pub(crate) fn person(&self, n: u64) -> Person {
        let pick = |of: usize, salt: u64| usize::try_from(n / salt).unwrap_or_default() % of;
        Person {
            first_name: FIRST[pick(FIRST.len(), 1)],
            last_name: LAST[pick(LAST.len(), 12)],
            email: format!("person{n}@mail.test"),
            phone: format!("+614{n:08}"),
            city: CITIES[pick(CITIES.len(), 3)],
            tags: if n.is_multiple_of(5) { vec!["vip".to_owned()] } else { vec![] },
            is_subscribed: n.is_multiple_of(3),
            made_ms: self.at(n, self.people),
        }
    }

    /// The body of product `n` of a shop whose times are written with this offset.
    pub(crate) fn product(&self, n: u64, id: u64, offset_minutes: i32) -> Value {
        let at = clock::local(self.at(n, self.products), offset_minutes);
        let price = format!("{}.95", 10 + n % 90);
        json!({
            "id": id, "title": format!("Product {n}"), "handle": format!("product-{n}"), "vendor": "Acme", "status": "active",
            "product_type": "Things", "body_html": format!("<p>Thing {n}</p>"), "tags": "", "created_at": at, "updated_at": at,
            "published_at": at, "options": [{ "name": "Title" }],
            "variants": [{ "id": id + 1, "product_id": id, "title": "Default Title", "option1": "Default Title", "position": 1,
                "sku": format!("SKU-{n}"), "price": price, "compare_at_price": null, "barcode": null, "created_at": at, "updated_at": at }],
            "images": [{ "id": id + 2, "src": format!("https://cdn.test/{n}.jpg") }],
        })
    }

    /// The body of an order on which the others are modelled.
    pub(crate) fn order(currency: &str, taxes_included: bool) -> Value {
        let mut body: Value = serde_json::from_str(ORDER).expect("the model is part of the source");
        body["taxes_included"] = json!(taxes_included);
        body["currency"] = json!(currency);
        body["presentment_currency"] = json!(currency);
        let money = json!({ "amount": "0.00", "currency_code": currency });
        let set = json!({ "shop_money": money, "presentment_money": money });
        body["total_price_set"] = set.clone();
        body["current_total_price_set"] = set.clone();
        body["line_items"][0]["price_set"] = set;
        body
    }

    /// When thing `n` of so many was made.
    pub(crate) fn at(&self, n: u64, of: u64) -> i64 {
        let span = i128::from(self.until_ms - self.from_ms) * i128::from(n) / i128::from(of.max(1));
        (self.from_ms + i64::try_from(span).unwrap_or_default()).div_euclid(1000) * 1000
    }
}
