//! Whether the two stand-ins say the same of everybody, and both said side by side. Knows what corresponds to what.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::paint::{Paint, harmless};
use crate::playground::Playground;

/// A row of the table: what it is about, and what each side says.
struct Row {
    what: String,
    shopify: String,
    omneo: String,
    same: bool,
}

/// Every point in which the two sides do not say the same.
pub fn differences(playground: &Playground) -> Vec<String> {
    let different = rows(playground).into_iter().filter(|row| !row.same);
    different.map(|row| format!("{}: Shopify {:?}, Omneo {:?}", row.what, row.shopify, row.omneo)).collect()
}

pub fn side_by_side(playground: &Playground, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(format!("{:<26} {:<34} {}", "", "Shopify", "Omneo")));
    for row in rows(playground) {
        let mark = if row.same { paint.green("=") } else { paint.red("≠") };
        let _ = writeln!(
            text,
            "{mark} {:<24} {:<34} {}",
            harmless(&row.what),
            harmless(&row.shopify),
            harmless(&row.omneo)
        );
    }
    text
}

/// The profile that has a customer as its Shopify identity.
pub fn profile_of(playground: &Playground, customer: u64) -> Option<Value> {
    let customer = customer.to_string();
    playground.omneo.profiles().into_iter().find(|profile| {
        let identities = profile["identities"].as_array().into_iter().flatten();
        identities
            .clone()
            .any(|identity| identity["handle"] == "shopify" && identity["identifier"] == customer.as_str())
    })
}

fn rows(playground: &Playground) -> Vec<Row> {
    let mut rows = vec![];
    let (customers, profiles) = (playground.shopify.customers(), playground.omneo.profiles());
    let linked = customers.iter().filter(|customer| profile_of(playground, id(customer)).is_some()).count();
    rows.push(row("people", customers.len(), profiles.len(), linked == customers.len() && linked == profiles.len()));
    for customer in &customers {
        if let Some(profile) = profile_of(playground, id(customer)) {
            person(customer, &profile, &mut rows);
        }
    }
    let transactions = playground.omneo.transactions();
    for order in playground.shopify.orders() {
        let sale = transactions.iter().find(|sale| said(&sale["external_id"]) == said(&order["id"]));
        let (omneo, same) = match sale {
            Some(sale) => {
                let void = sale["is_void"] == true;
                let items = sale["items"].as_array().map_or(0, Vec::len);
                let sum = format!(
                    "{} {}{}",
                    amount(&sale["total"]),
                    said(&sale["currency"]),
                    if void { ", void" } else { "" }
                );
                let same =
                    amount(&sale["total"]) == amount(&order["total_price"]) && void != order["cancelled_at"].is_null();
                (format!("{sum}, {items} items"), same)
            }
            None => ("no transaction".to_owned(), false),
        };
        let state = if order["cancelled_at"].is_null() { said(&order["financial_status"]) } else { "cancelled".into() };
        let shopify = format!("{} {}, {state}", amount(&order["total_price"]), said(&order["currency"]));
        rows.push(Row { what: format!("order {}", said(&order["name"])), shopify, omneo, same });
    }
    for product in playground.shopify.products() {
        let stored = playground.omneo.products();
        let stored = stored.iter().find(|stored| said(&stored["external_id"]) == said(&product["id"]));
        let variants = |product: &Value| product["variants"].as_array().map_or(0, Vec::len);
        let show = |product: &Value| {
            format!("{}, {}, {} variants", said(&product["title"]), said(&product["status"]), variants(product))
        };
        let omneo = stored.map_or("no product".into(), show);
        rows.push(Row { what: "product".into(), same: omneo == show(&product), shopify: show(&product), omneo });
    }
    rows
}

fn person(customer: &Value, profile: &Value, rows: &mut Vec<Row>) {
    let name = |person: &Value| format!("{} {}", said(&person["first_name"]), said(&person["last_name"]));
    let who = said(&customer["first_name"]);
    let mut add = |what: &str, shopify: String, omneo: String, same: bool| {
        rows.push(Row { what: format!("{who}: {what}"), shopify, omneo, same });
    };
    // Omneo writes names in title case, which is no difference.
    let (one, two) = (name(customer), name(profile));
    let same = one.to_lowercase() == two.to_lowercase();
    add("name", one, two, same);
    for (what, at, there) in [("e-mail", "email", "email"), ("phone", "phone", "mobile_phone")] {
        let (one, two) = (said(&customer[at]), said(&profile[there]));
        let same = one == two;
        add(what, one, two, same);
    }
    let tags = |value: &Value| -> BTreeSet<String> { value.as_array().into_iter().flatten().map(said).collect() };
    let (one, two) = (tags(&customer["tags"]), tags(&profile["tags"]));
    // What Omneo has shows in Shopify with the prefix, unless it came from there.
    let same = two.iter().all(|tag| one.contains(&format!("cx-{tag}")) || one.contains(tag))
        && one.iter().filter_map(|tag| tag.strip_prefix("cx-")).all(|tag| two.contains(tag));
    let list = |tags: &BTreeSet<String>| tags.iter().cloned().collect::<Vec<_>>().join(", ");
    add("tags", list(&one), list(&two), same);
    let state = said(&customer["email_marketing_consent"]["state"]);
    let promo = &profile["attributes"]["comms"]["email_promo"];
    let raw = &profile["attributes"]["comms"]["email_promo_raw"];
    let same = (state == "subscribed") == (promo == true && !raw.is_null());
    add("newsletter", state, if raw.is_null() { "never said".into() } else { format!("promo {promo}") }, same);
}

fn row(what: &str, shopify: usize, omneo: usize, same: bool) -> Row {
    Row { what: what.into(), shopify: shopify.to_string(), omneo: omneo.to_string(), same }
}

fn id(customer: &Value) -> u64 {
    said(&customer["id"]).parse().unwrap_or_default()
}

/// An amount without the zeros at its end, since one side writes text and the other a number.
fn amount(value: &Value) -> String {
    let text = said(value);
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        None => text,
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
