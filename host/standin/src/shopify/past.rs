//! A shop with a past: customers, products and orders in one go, with their own times, told to nobody.
//! Values are taken as they are, since nobody typed them just now.

use serde_json::{Value, json};

use super::Shopify;
use super::model::{Address, Consent, Customer, Metafield};
use super::shelf::Shelf;
use super::store::Store;
use super::webhooks::gid;
use crate::clock;
use crate::past::{Past, Sides};

const LINK: [&str; 3] = ["omneo", "profile_id", "id"];

impl Shopify {
    /// Puts a past into the shop; the customers that it made, by the number of the person.
    pub(crate) fn live_through(&self, past: &Past) -> Vec<(u64, u64)> {
        self.core.with(|store| {
            let people = (0..past.people).filter(|n| past.sides(*n) != Sides::Tenant);
            let people: Vec<_> = people.map(|n| (n, person(store, past, n))).collect();
            let buyers: Vec<_> = people.iter().map(|(_, id)| *id).collect();
            let products: Vec<_> = (0..past.products).map(|n| product(store, past, n)).collect();
            let model = Past::order(&store.facts.currency, store.facts.taxes_included);
            for n in 0..past.orders {
                order(store, past, n, model.clone(), &buyers, &products);
            }
            people
        })
    }

    /// Gives customers of the past the profiles that they are linked to.
    pub(crate) fn link_people(&self, profiles: &[(u64, String)]) {
        self.core.with(|store| {
            for (customer, profile) in profiles {
                let Some(mut linked) = store.customers.get(customer).cloned() else { continue };
                let [namespace, key, ty] = LINK.map(str::to_owned);
                let (id, at_ms) = (store.next_id(), linked.created_ms);
                let value = profile.clone();
                linked.metafields.push(Metafield {
                    id,
                    namespace,
                    key,
                    ty,
                    value,
                    created_ms: at_ms,
                    updated_ms: at_ms,
                });
                store.customers.insert(*customer, linked);
            }
        });
    }

    /// Keeps order bodies that were there before anybody listened; each has its id and its times.
    pub fn add_past_orders(&self, orders: impl IntoIterator<Item = Value>) {
        self.core.with(|store| shelve(&mut store.orders, orders));
    }

    /// The same for product bodies.
    pub fn add_past_products(&self, products: impl IntoIterator<Item = Value>) {
        self.core.with(|store| shelve(&mut store.products, products));
    }

    /// Moves the times of a customer into the past, as though nothing had happened since.
    pub fn backdate_customer(&self, id: u64, created_ms: i64, updated_ms: i64) {
        self.core.with(|store| {
            if let Some(customer) = store.customers.get(&id).cloned() {
                store.customers.insert(id, Customer { created_ms, updated_ms, ..customer });
            }
        });
    }
}

fn shelve(shelf: &mut Shelf<Value>, bodies: impl IntoIterator<Item = Value>) {
    for body in bodies {
        if let Some(id) = body["id"].as_u64() {
            shelf.insert(id, body);
        }
    }
}

fn person(store: &mut Store, past: &Past, n: u64) -> u64 {
    let of = past.person(n);
    let (city, province, zip) = of.city;
    let fields = [
        ("address1", format!("{} High St", 1 + n % 300)),
        ("city", city.to_owned()),
        ("country", "Australia".to_owned()),
        ("countryCode", "AU".to_owned()),
        ("firstName", of.first_name.to_owned()),
        ("lastName", of.last_name.to_owned()),
        ("provinceCode", province.to_owned()),
        ("zip", zip.to_owned()),
    ];
    let fields = fields.map(|(key, value)| (key.to_owned(), value)).into();
    let address = Address { id: store.next_id(), fields };
    let state = if of.is_subscribed { "subscribed" } else { "not_subscribed" };
    let consent =
        Consent { state: state.to_owned(), at_ms: of.is_subscribed.then_some(of.made_ms), ..Consent::default() };
    let customer = Customer {
        email: Some(of.email),
        first_name: Some(of.first_name.to_owned()),
        last_name: Some(of.last_name.to_owned()),
        phone: Some(of.phone),
        tags: of.tags,
        email_consent: consent,
        default_address: Some(address.id),
        addresses: vec![address],
        created_ms: of.made_ms,
        updated_ms: of.made_ms,
        ..store.blank_customer()
    };
    let id = customer.id;
    store.customers.insert(id, customer);
    id
}

fn product(store: &mut Store, past: &Past, n: u64) -> u64 {
    let id = store.next_id();
    let body = past.product(n, id, store.facts.offset_minutes);
    store.products.insert(id, body);
    id
}

fn order(store: &mut Store, past: &Past, n: u64, mut body: Value, buyers: &[u64], products: &[u64]) {
    let id = store.next_id();
    let turn = |of: &[u64]| of.get(usize::try_from(n).unwrap_or_default() % of.len().max(1)).copied();
    let at = clock::local(past.at(n, past.orders), store.facts.offset_minutes);
    for key in ["created_at", "processed_at", "updated_at"] {
        body[key] = json!(at);
    }
    body["id"] = json!(id);
    body["admin_graphql_api_id"] = json!(gid("Order", id));
    body["order_number"] = json!(1_001 + n);
    body["name"] = json!(format!("#{}", 1_001 + n));
    if let Some(buyer) = turn(buyers).and_then(|id| store.customers.get(&id)) {
        body["email"] = json!(buyer.email);
        body["customer"] = json!({ "id": buyer.id, "email": buyer.email, "first_name": buyer.first_name, "last_name": buyer.last_name });
    }
    let line = &mut body["line_items"][0];
    let mut price = json!("19.95");
    line["id"] = json!(id + 1);
    if let Some(sold) = turn(products).and_then(|id| store.products.get(&id)) {
        price = sold["variants"][0]["price"].clone();
        line["product_id"] = sold["id"].clone();
        line["variant_id"] = sold["variants"][0]["id"].clone();
        line["sku"] = sold["variants"][0]["sku"].clone();
        line["title"] = sold["title"].clone();
        line["name"] = sold["title"].clone();
    }
    line["price"] = price.clone();
    for money in ["shop_money", "presentment_money"] {
        line["price_set"][money]["amount"] = price.clone();
    }
    for key in ["total_price", "current_total_price"] {
        body[key] = price.clone();
        for money in ["shop_money", "presentment_money"] {
            body[format!("{key}_set")][money]["amount"] = price.clone();
        }
    }
    store.orders.insert(id, body);
}
