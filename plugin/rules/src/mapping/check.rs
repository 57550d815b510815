//! Reads the table of the rules file, `[fields.NAME]`, and finds every mistake in it. Knows no other setting.

use serde_json::Map;
use tandem_sdk::{Problem, Value};

use super::detail::{Detail, Of};
use super::keys::{KEYS, Keys};
use super::place::{OmneoPlace, ShopifyPlace};
use super::{Entry, Mapping, Owner, TYPE, Way, defaults, doubled};
use crate::problems::{escaped, nearest, problem, quoted};

/// The keys of a core field that an author may set.
const CORE_KEYS: [&str; 2] = ["owner", "way"];
/// Limits the number of fields, because each metafield makes every read of a customer more expensive.
const FIELDS_MAX: usize = 64;

/// The table in force, given a rules file without mistakes in it.
pub fn read(rules: &Value) -> Mapping {
    let Table { entries, details, .. } = table(rules);
    Mapping::new(entries, details)
}

/// Every mistake in the table of a rules file.
pub fn problems(rules: &Value) -> Vec<Problem> {
    let Table { entries, details, mut problems } = table(rules);
    problems.extend(doubled::find(&entries, &details));
    let count = entries.len() + details.len();
    if count > FIELDS_MAX {
        let many = format!("{count} fields are more than {FIELDS_MAX}");
        problems.push(problem("/fields", many, "map fewer"));
    }
    problems
}

struct Table {
    entries: Vec<Entry>,
    details: Vec<Detail>,
    problems: Vec<Problem>,
}

/// The default table with the changes and additions of the rules file.
fn table(rules: &Value) -> Table {
    let default_country = rules.pointer("/people/default_country").and_then(Value::as_str);
    let (mut entries, mut details, mut problems) = (defaults(default_country), vec![], vec![]);
    let none = Map::new();
    let written = match rules.get("fields") {
        None => &none,
        Some(Value::Object(fields)) => fields,
        Some(_) => {
            problems.push(problem("/fields", "`fields` is a table", "write `[fields.NAME]` and its keys below it"));
            &none
        }
    };
    for (name, given) in written {
        let at = format!("/fields/{}", escaped(name));
        let known = entries.iter().position(|entry| entry.name == *name);
        let result = match (given, known) {
            (Value::Bool(false), Some(n)) if entries[n].name == "email" => Err(vec![problem(
                &at,
                "`email` cannot be left out: Omneo has no profile without one",
                "remove this line",
            )]),
            (Value::Bool(false), Some(n)) => {
                entries.remove(n);
                continue;
            }
            (Value::Bool(false), None) => {
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                let fix = nearest(name, names.iter().copied()).map_or_else(
                    || format!("the defaults are {}", names.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                Err(vec![problem(&at, format!("there is no default field `{name}` to leave out"), fix)])
            }
            (Value::Object(keys), Some(n)) if entries[n].core.is_some() => core(&at, keys, &mut entries[n]),
            (Value::Object(keys), None) if Of::line(keys).is_some() => {
                Detail::read(&at, name, keys).map(|detail| details.push(detail))
            }
            (Value::Object(keys), _) => match entry(&at, name, &overlaid(known.map(|n| &entries[n]), keys)) {
                Ok(entry) => {
                    match known {
                        Some(n) => entries[n] = entry,
                        None => entries.push(entry),
                    }
                    Ok(())
                }
                Err(found) => Err(found),
            },
            _ => {
                let fix =
                    format!("write `[fields.{name}]` and its keys below it, or `{name} = false` under `[fields]`");
                Err(vec![problem(&at, format!("`{name}` is neither a table nor `false`"), fix)])
            }
        };
        problems.extend(result.err().unwrap_or_default());
    }
    Table { entries, details, problems }
}

/// Reads the settings of a core field.
fn core(at: &str, keys: &Map<String, Value>, entry: &mut Entry) -> Result<(), Vec<Problem>> {
    let mut read = Keys::new(at, keys);
    // Repeating the value that a key has anyway is not a mistake, so that the settings in force can be built again.
    let as_it_is = entry.to_json();
    let chosen = keys.iter().filter(|(key, value)| as_it_is.get(key.as_str()) != Some(value));
    for (key, _) in chosen.filter(|(key, _)| !CORE_KEYS.contains(&key.as_str())) {
        let message = format!("`{key}` of `{}` is not to be chosen: by it the two systems find each other", entry.name);
        let fix = format!("remove it; {} can be set, and other fields have names of their own", quoted(&CORE_KEYS));
        read.problems.push(problem(&read.place(key), message, fix));
    }
    let way = read.way();
    let owner = read.owner(way.unwrap_or(Way::Both));
    (entry.way, entry.owner) = (way.unwrap_or(entry.way), owner.unwrap_or(entry.owner));
    if read.problems.is_empty() { Ok(()) } else { Err(read.problems) }
}

/// The keys of an entry, completed with those of the default field of the same name, if there is one. An expression
/// replaces the path of the side that it reads, and the type follows the format.
fn overlaid(default: Option<&Entry>, keys: &Map<String, Value>) -> Map<String, Value> {
    let Some(Value::Object(mut all)) = default.map(Entry::to_json) else { return keys.clone() };
    all.remove(TYPE);
    if keys.contains_key("expression") {
        all.remove(if keys.contains_key("omneo") { "shopify" } else { "omneo" });
    }
    if keys.contains_key("format") {
        all.remove("currency");
    }
    // The direction follows from the places, unless both places are the default ones.
    if ["omneo", "shopify", "expression"].iter().any(|key| keys.contains_key(*key)) {
        all.remove("way");
        all.remove("owner");
    }
    all.extend(keys.clone());
    all
}

/// Reads a field that the tenant has added.
fn entry(at: &str, name: &str, keys: &Map<String, Value>) -> Result<Entry, Vec<Problem>> {
    let mut read = Keys::new(at, keys);
    read.name(name);
    read.unknown(&[&KEYS[..], &[TYPE]].concat());
    let (omneo, shopify) = read.places();
    let format = read.format();
    let wanted_way = read.way();
    let (Some(omneo), Some(shopify), Some(format)) = (omneo, shopify, format) else {
        return Err(read.problems);
    };
    if keys.get(TYPE).is_some_and(|kind| kind.as_str() != Some(format.metafield_type())) {
        let message = format!("the type of a `{}` is `{}`", format.name(), format.metafield_type());
        read.wrong(TYPE, message, "remove it: it follows from `format`");
    }
    let possible = possible_way(&omneo, &shopify);
    let way = wanted_way.unwrap_or(possible);
    if possible != Way::Both && way != possible {
        let why = match (&omneo, &shopify) {
            (OmneoPlace::Expression(_), _) | (_, ShopifyPlace::Expression(_)) => {
                "an expression can only be read".to_owned()
            }
            _ => format!("Omneo works out `{}` itself", omneo.path()),
        };
        let message = format!("the field cannot go `{}`: {why}", way.name());
        read.problems.push(problem(&read.place("way"), message, format!("write `way = \"{}\"`", possible.name())));
    }
    let owner = read.owner(way).unwrap_or(if way == Way::ToShopify { Owner::Omneo } else { Owner::Latest });
    for (key, path, suits) in
        [("omneo", omneo.path(), omneo.suits(&format)), ("shopify", shopify.path(), shopify.suits(&format))]
    {
        if !suits {
            let message = format!("`{path}` cannot be read as `{}`", format.name());
            let fix = match &shopify {
                ShopifyPlace::Tag { after: None, .. } if key == "shopify" => {
                    "a tag is there or not: write `format = \"boolean\"`, or `tags.BEFORE*` for a value"
                }
                _ => "choose another `format`",
            };
            read.problems.push(problem(
                &read.place(if keys.contains_key("format") { "format" } else { key }),
                message,
                fix,
            ));
        }
    }
    if read.problems.is_empty() {
        Ok(Entry { name: name.to_owned(), core: None, omneo, shopify, format, owner, way, rank: 0 })
    } else {
        Err(read.problems)
    }
}

fn possible_way(omneo: &OmneoPlace, shopify: &ShopifyPlace) -> Way {
    match (omneo.is_writable(), shopify) {
        (_, ShopifyPlace::Expression(_)) => Way::ToOmneo,
        (false, _) => Way::ToShopify,
        (true, _) => Way::Both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    fn found(fields: Value) -> Vec<String> {
        let mut found: Vec<_> = problems(&json!({ "fields": fields }))
            .iter()
            .map(|problem| format!("{}: {}; {}", problem.at, problem.message, problem.fix))
            .collect();
        found.sort();
        found
    }

    fn names(fields: Value) -> Vec<String> {
        let rules = json!({ "fields": fields });
        assert_eq!(problems(&rules), vec![]);
        read(&rules).fields().map(|field| format!("{} {:?}", field.name(), field.way)).collect()
    }

    #[test]
    fn the_defaults_can_be_changed_left_out_and_added_to() {
        let defaults = names(json!({}));
        assert_eq!(defaults.len(), 8);
        let changed = names(json!({
            "last_name": false,
            "first_name": {"owner": "omneo"},
            "phone": {"way": "to_omneo"},
            "points": {"omneo": "point_balance", "shopify": "metafields.loyalty.points", "format": "number"},
            "birthday": {"omneo": "birth_date", "shopify": "metafields.facts.birth_date", "format": "date"},
            "greeting": {"shopify": "note", "expression": "first_name"},
            "vip": {"omneo": "custom_attributes.shop.vip", "shopify": "tags.vip", "format": "boolean", "way": "to_omneo"},
        }));
        assert_eq!(
            changed,
            [
                "first_name Both",
                "email Both",
                "phone ToOmneo",
                "tier ToShopify",
                "tier_name ToShopify",
                "points ToShopify",
                "reward_balance ToShopify",
                "birthday Both",
                "greeting ToShopify",
                "vip ToOmneo"
            ]
        );
    }

    #[test]
    fn every_mistake_is_named_with_its_fix() {
        let cases = [
            (
                json!({"a": {"omneo": "compny", "shopify": "note"}}),
                "/fields/a/omneo: there is no `compny` in an Omneo profile; did you mean `company`?",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "zzzzzzzzz"}}),
                "/fields/a/shopify: there is no `zzzzzzzzz` in a Shopify customer; use one of first_name, last_name, email, phone, note, locale, or `metafields.NAMESPACE.KEY` or `tags.NAME`",
            ),
            (
                json!({"a": {"omneo": "company"}}),
                "/fields/a: `shopify` is missing; write its path in Shopify, or an `expression` over the customer",
            ),
            (json!({"a": {}}), "/fields/a: neither `omneo` nor `shopify` says where the field is; write both paths"),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "fromat": "text"}}),
                "/fields/a/fromat: unknown key `fromat`; did you mean `format`?",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "format": "dat"}}),
                "/fields/a/format: there is no format `dat`; did you mean \"date\"?",
            ),
            (
                json!({"a": {"omneo": "birth_date", "shopify": "note", "format": "number"}}),
                "/fields/a/format: `birth_date` cannot be read as `number`; choose another `format`",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "tags.vip"}}),
                "/fields/a/shopify: `tags.vip` cannot be read as `text`; a tag is there or not: write `format = \"boolean\"`, or `tags.BEFORE*` for a value",
            ),
            (
                json!({"a": {"omneo": "tier.name", "shopify": "note", "way": "both"}}),
                "/fields/a/way: the field cannot go `both`: Omneo works out `tier.name` itself; write `way = \"to_shopify\"`",
            ),
            (
                json!({"a": {"omneo": "company", "expression": "note", "way": "to_shopify"}}),
                "/fields/a/way: the field cannot go `to_shopify`: an expression can only be read; write `way = \"to_omneo\"`",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "expression": "x"}}),
                "/fields/a/expression: an expression stands in place of a path, and both paths are there; remove it, or the path of the side that it reads",
            ),
            (
                json!({"a": {"shopify": "note", "expression": "upper(x)"}}),
                "/fields/a/expression/0: there is no function `upper` (character 6); see https://jmespath.org/specification.html",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note"}, "b": {"omneo": "title", "shopify": "note"}}),
                "/fields/b: `a` and `b` both write `note` in Shopify; give one of them `way = \"to_omneo\"`, or leave it out",
            ),
            (
                json!({"a": {"omneo": "email", "shopify": "note"}}),
                "/fields/a: `email` and `a` both write `email` in Omneo; give one of them `way = \"to_shopify\"`, or leave it out",
            ),
            (
                json!({"email": false}),
                "/fields/email: `email` cannot be left out: Omneo has no profile without one; remove this line",
            ),
            (
                json!({"emial": false}),
                "/fields/emial: there is no default field `emial` to leave out; did you mean `email`?",
            ),
            (
                json!({"email": {"omneo": "title"}}),
                "/fields/email/omneo: `omneo` of `email` is not to be chosen: by it the two systems find each other; remove it; \"owner\", \"way\" can be set, and other fields have names of their own",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "owner": "me"}}),
                "/fields/a/owner: there is no owner `me`; use one of \"omneo\", \"shopify\", \"latest\"",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "owner": "omneo", "way": "to_omneo"}}),
                "/fields/a/owner: an owner decides between two sides, and this field goes one way; remove it, or write `way = \"both\"`",
            ),
            (
                json!({"a": {"omneo": "point_balance", "shopify": "metafields.omneo.money", "format": "money"}}),
                "/fields/a/format: money needs a currency; add `currency = \"AUD\"`",
            ),
            (
                json!({"a": {"omneo": "point_balance", "shopify": "metafields.omneo.money", "format": "money", "currency": "dollars"}}),
                "/fields/a/currency: `dollars` is no currency; write the three capital letters of ISO 4217: `currency = \"AUD\"`",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "note", "currency": "AUD"}}),
                "/fields/a/currency: only `format = \"money\"` has a currency; remove it, or write `format = \"money\"`",
            ),
            (
                json!({"a": {"omneo": "company", "shopify": "metafields.acme.kind", "type": "json"}}),
                "/fields/a/type: the type of a `text` is `single_line_text_field`; remove it: it follows from `format`",
            ),
            (
                json!({"a": {"omneo": 3, "shopify": "note"}}),
                "/fields/a/omneo: expected a text, found `3`; write `omneo = \"…\"`",
            ),
            (
                json!({"a": true}),
                "/fields/a: `a` is neither a table nor `false`; write `[fields.a]` and its keys below it, or `a = false` under `[fields]`",
            ),
            (
                json!({"a-b": {"omneo": "company", "shopify": "note"}}),
                "/fields/a-b: `a-b` is no name for a field; use up to 64 letters, digits and `_`",
            ),
            (json!(3), "/fields: `fields` is a table; write `[fields.NAME]` and its keys below it"),
            (
                json!({"a": {"omneo": "company", "shopify": "metafields.omneo.profile_id"}}),
                "/fields/a/shopify: the metafield `omneo.profile_id` links a customer to its profile; use one of first_name, last_name, email, phone, note, locale, or `metafields.NAMESPACE.KEY` or `tags.NAME`",
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(found(fields.clone()), [expected], "{fields}");
        }
    }

    #[test]
    fn what_is_in_force_can_be_said_again() {
        let fields = json!({
            "first_name": {"owner": "omneo"},
            "greeting": {"shopify": "note", "expression": "first_name"},
            "staff": {"omneo": "transaction.meta.staff", "expression": "note_attributes[0].value"},
            "source": {"omneo": "transaction.meta.source", "shopify": "order.source_name"},
            "size": {"expression": "note", "omneo": "custom_attributes.shop.size"},
            "spent": {"omneo": "point_balance", "shopify": "metafields.acme.kind", "format": "money", "currency": "AUD"},
        });
        let rules = json!({ "fields": fields });
        assert_eq!(problems(&rules), vec![]);
        let list = |rules: &Value| -> Map<String, Value> {
            let read = read(rules);
            let details = [Of::Order, Of::Product].into_iter().flat_map(|of| read.details(of));
            let details = details.map(|detail| (detail.name.clone(), detail.to_json()));
            read.fields().map(|field| (field.name().to_owned(), field.to_json())).chain(details).collect()
        };
        let in_force = list(&rules);
        let again = json!({ "fields": in_force });
        assert_eq!(problems(&again), vec![]);
        assert_eq!(list(&again), in_force);
    }

    #[test]
    fn several_mistakes_are_all_found() {
        let found = found(json!({"a": {"omneo": "compny", "shopify": "nte", "format": "dat", "way": "up"}, "b": 1}));
        assert_eq!(found.len(), 5, "{found:#?}");
    }
}
