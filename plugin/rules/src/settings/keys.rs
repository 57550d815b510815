//! The keys of a rules file: which keys there are, and what was meant by an unknown one. Knows no values.

use serde_json::Map;
use tandem_sdk::{Problem, Value};

use super::FIELDS;
use super::table::KNOWN;
use crate::problems::{escaped, nearest, problem};

/// Tables that an author may expect, and where their settings are.
const ELSEWHERE: [(&str, &str); 1] =
    [("owners", "write `owner = \"…\"` into `[fields.NAME]`, and into `[addresses]` for addresses")];

/// Finds every key of a rules file that is not a setting, and suggests where it belongs.
pub fn check(rules: &Value, at: &str, problems: &mut Vec<Problem>) {
    let empty = Map::new();
    for (key, value) in rules.as_object().unwrap_or(&empty) {
        let place = format!("{at}/{}", escaped(key));
        if place == FIELDS || KNOWN.iter().any(|known| known.at == place) {
            continue;
        }
        let inside = format!("{place}/");
        if KNOWN.iter().any(|known| known.at.starts_with(&inside)) {
            if value.is_object() {
                check(value, &place, problems);
            } else {
                problems.push(problem(
                    &place,
                    format!("`{key}` is a table"),
                    format!("write `[{key}]` and its keys below it"),
                ));
            }
            continue;
        }
        // The keys that are allowed at this place; then, other places that have a key of this name.
        let tables = (at.is_empty()).then_some("fields").into_iter();
        let here = KNOWN.iter().filter_map(|known| known.at.strip_prefix(at)?.strip_prefix('/')?.split('/').next());
        let elsewhere = KNOWN.iter().find(|known| known.at.rsplit('/').next() == Some(key.as_str()));
        let moved = ELSEWHERE.iter().find(|(name, _)| at.is_empty() && name == key);
        let fix = match (nearest(key, here.chain(tables)), elsewhere) {
            _ if let Some((_, fix)) = moved => (*fix).to_owned(),
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(known)) => format!("did you mean `{}`?", known.at[1..].replace('/', ".")),
            (None, None) => "remove it".to_owned(),
        };
        problems.push(problem(&place, format!("unknown key `{key}`"), fix));
    }
}
