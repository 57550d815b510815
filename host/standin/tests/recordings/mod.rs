//! The stand-in answers as the real Shopify is recorded to have answered: it takes and refuses the same requests, with
//! the same errors in the same words.
//!
//! The recordings are not part of the project. They are read from the folder named by `TANDEM_SHOPIFY_RECORDINGS`, or
//! from the one beside the checkout; without either, the test says that it did not run.

mod ask;
mod left;
mod read;
mod shop;
mod untold;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ask::{Ask, Schema};
use left::LEFT;
use read::Recorded;
use serde_json::{Map, Value, json};
use shop::Shop;

/// How many requests are compared today. A change of the recordings or of the stand-in may raise it.
const COMPARED_MIN: usize = 522;

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/shopify-recordings");
    let folder = std::env::var_os("TANDEM_SHOPIFY_RECORDINGS").map_or(beside, PathBuf::from);
    folder.join("README.md").is_file().then_some(folder)
}

#[test]
fn recordings() {
    let Some(folder) = folder() else {
        assert!(std::env::var_os("CI").is_none(), "CI has the recordings, and this run has not found them");
        println!("SKIPPED: no recordings of Shopify; name their folder in TANDEM_SHOPIFY_RECORDINGS");
        return;
    };
    let schema = Schema::load();
    let (mut count, mut compared, mut wrong) = (0, BTreeMap::<String, usize>::new(), vec![]);
    let mut left = vec![0; LEFT.len()];
    for path in files(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // One of the recordings about metafields has definitions of products and of customers beside each other.
        let as_customers = name.contains("/metafields/") && !name.contains("owner-scoped");
        let (file, mut requests) = read::requests(&text, as_customers);
        requests.iter_mut().for_each(|recorded| untold::tell(&name, recorded));
        let mut shop = Shop::open(&file, &requests);
        for recorded in requests.iter().filter(|recorded| schema.concerns(recorded)) {
            let place = format!("{name}: {}", recorded.place);
            let entries = LEFT.iter().enumerate().filter(|(_, entry)| entry.covers(&name, &recorded.place));
            let (keys, entries): (Vec<_>, Vec<_>) = entries.map(|(at, entry)| (entry.key, at)).unzip();
            let both = compare(&schema, &mut shop, recorded);
            let agrees = both.as_ref().is_ok_and(|both| both.difference(&[]).is_none());
            let difference = match &both {
                Ok(both) => both.difference(&keys),
                Err(why) => Some(why.clone()),
            };
            if keys.contains(&"") && !agrees {
                entries.iter().for_each(|entry| left[*entry] += 1);
            } else if keys.contains(&"") {
                wrong.push(format!("{place}: agrees; take it off the list"));
            } else if let Some(difference) = difference {
                wrong.push(format!("{place}: {difference}"));
            } else {
                count += 1;
                (both.into_iter().flat_map(|both| both.ask.fields))
                    .for_each(|(_, field)| *compared.entry(field).or_default() += 1);
                entries.iter().filter(|_| !agrees).for_each(|entry| left[*entry] += 1);
            }
        }
    }
    println!("{count} answers agree:");
    compared.iter().for_each(|(field, count)| println!("{count:>4}  {field}"));
    println!("{} are left out, or a value of them:", left.iter().sum::<usize>());
    for (entry, count) in LEFT.iter().zip(&left) {
        println!("{count:>4}  {}: {} {}: {}", entry.file, entry.place, entry.key, entry.why);
        if *count == 0 {
            wrong.push(format!("{}: {}: nothing differs there; take it off the list", entry.file, entry.place));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= COMPARED_MIN, "only {count} answers are compared, {COMPARED_MIN} were");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (vec![], vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What was asked, the recorded answer with the stand-in's ids in it, and the stand-in's answer.
struct Both {
    ask: Ask,
    recorded: Value,
    answer: Value,
}

fn compare(schema: &Schema, shop: &mut Shop, recorded: &Recorded) -> Result<Both, String> {
    let ask = schema.ask(recorded).ok_or("nothing says what was asked")?;
    let (recorded, answer) = shop.ask(&ask, recorded);
    Ok(Both { ask, recorded, answer })
}

impl Both {
    /// What is different, besides these keys, if anything is.
    fn difference(&self, aside: &[&str]) -> Option<String> {
        let expected = outcome(&self.recorded, &self.answer, &self.ask, aside);
        let got = outcome(&self.answer, &self.recorded, &self.ask, aside);
        (expected != got).then(|| {
            let (expected, got) = (difference(&expected, &got), difference(&got, &expected));
            format!("{}\n  recorded {expected}\n  stand-in {got}", self.ask.document)
        })
    }
}

/// What is compared of an answer: the errors of the whole, what became of each root field, and of what mutations give
/// back the values that both answers have.
fn outcome(answer: &Value, other: &Value, ask: &Ask, aside: &[&str]) -> Value {
    let errors = answer["errors"].as_array().into_iter().flatten().map(|error| {
        let message = error["message"].as_str().unwrap_or_default();
        // What follows in brackets is written for people, such as all values of an enum.
        json!([message.split(" (").next(), error["extensions"]["code"]])
    });
    let mut fields = Map::new();
    for (key, _) in &ask.fields {
        let (value, other) = (&answer["data"][key], &other["data"][key]);
        let told = if ask.is_mutation { values(value, other, aside) } else { json!(!value.is_null()) };
        fields.insert(key.clone(), told);
    }
    json!({ "errors": errors.collect::<Vec<_>>(), "fields": fields })
}

/// Times and what only the server knows: told as there or not.
const UNCHOSEN: [&str; 7] =
    ["createdAt", "cursor", "endCursor", "legacyResourceId", "ownerType", "startCursor", "updatedAt"];

/// The part of a value that both have.
fn values(value: &Value, other: &Value, aside: &[&str]) -> Value {
    match (value, other) {
        (Value::Object(map), Value::Object(other)) => {
            let both = map.iter().filter_map(|(key, value)| Some((key.as_str(), value, other.get(key)?)));
            let told = both.filter(|(key, ..)| !aside.contains(key)).map(|(key, value, other)| {
                let told = if UNCHOSEN.contains(&key) { json!(!value.is_null()) } else { values(value, other, aside) };
                (key.to_owned(), told)
            });
            Value::Object(told.collect())
        }
        (Value::Array(items), Value::Array(other)) => {
            let beside = |at| other.get(at).unwrap_or(&Value::Null);
            items.iter().enumerate().map(|(at, item)| values(item, beside(at), aside)).collect()
        }
        (Value::Object(_), _) => json!("something"),
        (value, _) => value.clone(),
    }
}

/// The part of `one` that is not in `other`.
fn difference(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let differs = one.iter().filter(|(key, value)| other.get(*key) != Some(value));
            let of = |(key, value): (&String, &Value)| {
                (key.clone(), difference(value, other.get(key).unwrap_or(&Value::Null)))
            };
            Value::Object(differs.map(of).collect())
        }
        _ => one.clone(),
    }
}
