//! Lives of products. Values are filled and emptied in Shopify, and Omneo always has what Shopify shows, without
//! additional variants.

use crate::conversation;

use crate::conversation::{rules, shopify};
use tandem_sdk::{Call, Reply, Value, converse, json};

const LIVES: u64 = 200;

/// A change to the calls of the rules, as a fault in the rules would make it.
type Mutant = fn(&mut Value);

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

fn product(random: &mut u64, second: u64) -> Value {
    let mut or_null = |value: &str| if next(random).is_multiple_of(2) { json!(value) } else { Value::Null };
    let description = or_null("<p>Green</p>");
    let mut variant = |id: u64| {
        json!({"id": id, "title": "One", "price": "10.00", "position": id, "option1": "One", "sku": or_null(&format!("SKU-{id}")),
            "barcode": or_null("930"), "compare_at_price": or_null("12.00")})
    };
    let mut variants = vec![variant(91), variant(92)];
    variants.truncate(1 + (next(random) % 2) as usize);
    json!({"id": 61, "title": "Tea", "body_html": description, "variants": variants,
        "updated_at": format!("2026-03-01T10:00:{second:02}Z")})
}

/// A stand-in for Omneo's queue: null empties a key, variants are identified by SKU, and variants that a whole list
/// lacks are archived.
fn queue(stored: &mut Value, sent: &Value) {
    let merged = |into: &mut Value, from: &Value| {
        for (key, value) in from.as_object().unwrap() {
            match value {
                Value::Null => drop(into.as_object_mut().unwrap().remove(key)),
                value if key != "variants" => into[key] = value.clone(),
                _ => {}
            }
        }
    };
    let mut known = stored["variants"].as_object().cloned().unwrap_or_default();
    merged(stored, sent);
    let listed = sent["variants"].as_array().unwrap();
    if sent["archive_existing_variants"] == true {
        known.retain(|sku, _| listed.iter().any(|variant| variant["sku"] == **sku));
    }
    for variant in listed {
        merged(known.entry(variant["sku"].as_str().unwrap()).or_insert_with(|| json!({})), variant);
    }
    stored["variants"] = Value::Object(known);
}

/// Why a life goes wrong; `None` if it does not.
fn wrong(seed: u64, mutant: Mutant) -> Option<String> {
    let (mut random, rules) = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), rules(json!({})));
    let (mut stored, mut memory, mut last) = (json!({}), vec![], Value::Null);
    for second in 0..4 {
        last = product(&mut random, second);
        let (_, end) = converse(&rules, &shopify("products/update", &last), &memory, |call: &Call| {
            let mut sent = conversation::body_of(call);
            mutant(&mut sent);
            queue(&mut stored, &sent);
            Reply::Answer(tandem_sdk::Answer { status: 200, headers: vec![], body: r#"{"data":"queued"}"#.into() })
        });
        memory = end.memory.into_iter().collect();
    }
    let variants = last["variants"].as_array().unwrap();
    let shown = |value: Option<&Value>| value.cloned().unwrap_or_default();
    let mut bad = vec![];
    if shown(stored.get("description")) != last["body_html"] {
        bad.push("description".to_owned());
    }
    if stored["variants"].as_object().unwrap().len() != variants.len() {
        bad.push(format!("variants: {}", stored["variants"]));
    }
    for variant in variants {
        let is_it = |row: &&Value| row["external_id"] == json!(variant["id"].to_string());
        let row = stored["variants"].as_object().unwrap().values().find(is_it).cloned().unwrap_or_default();
        let price = variant["compare_at_price"].as_str().unwrap_or_default();
        if shown(row.get("barcode")) != variant["barcode"]
            || row.get("price_comparison").map(Value::to_string).unwrap_or_default() != price
        {
            bad.push(format!("{variant} is {row}"));
        }
    }
    (!bad.is_empty()).then(|| format!("life {seed}: {bad:?}"))
}

#[test]
fn omneo_has_what_shopify_shows() {
    let wrong: Vec<_> = (0..LIVES).filter_map(|seed| wrong(seed, |_| {})).collect();
    assert!(wrong.is_empty(), "{} of {LIVES} lives go wrong; the first: {}", wrong.len(), wrong[0]);
}

fn without_nulls(sent: &mut Value) {
    let keep = |_: &String, value: &mut Value| !value.is_null();
    sent.as_object_mut().unwrap().retain(keep);
    for variant in sent["variants"].as_array_mut().unwrap() {
        variant.as_object_mut().unwrap().retain(keep);
    }
}

fn archives_nothing(sent: &mut Value) {
    sent.as_object_mut().unwrap().remove("archive_existing_variants");
}

#[test]
fn faults_in_what_is_emptied_are_found() {
    for (name, mutant) in [("null left out", without_nulls as Mutant), ("nothing archived", archives_nothing)] {
        let found = (0..LIVES).find(|seed| wrong(*seed, mutant).is_some());
        eprintln!("{name}: life {found:?} goes wrong");
        assert!(found.is_some(), "{name}: no life finds it");
    }
}
