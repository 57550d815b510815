//! The settings in force as a rules file: what was written, and every default. Knows TOML and what a manifest lists.

use std::fmt::Write as _;

use serde_json::Value;
use toml_edit::Key;

use super::document::Document;
use crate::paint::harmless;
use crate::rules::Manifest;

/// A line of the result.
struct Leaf {
    /// The keys that lead to it.
    path: Vec<String>,
    value: Value,
    from: String,
}

/// Every setting with its value in force, as TOML that could be built instead of the rules file. A comment says of each
/// in which line it was written, or that it is the default.
pub fn explain(file: &str, rules: &str, manifest: &Manifest) -> String {
    let document = Document::read(file, rules);
    let mut leaves = vec![];
    flatten(&document.json(), vec![], &mut |path, value| {
        let pointer: String =
            path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
        let line = document.line(&pointer).unwrap_or(1);
        leaves.push(Leaf { path, value, from: format!("{file}:{line}") });
    });
    let written = leaves.len();
    for setting in &manifest.settings {
        let path = setting.at.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        let value = serde_json::from_str(&setting.value).unwrap_or(Value::Null);
        let fixed = if setting.fixed { ", fixed once profiles are linked" } else { "" };
        flatten(&value, path, &mut |path, value| {
            let within = |leaf: &Leaf| path.starts_with(&leaf.path) || leaf.path.starts_with(&path);
            match leaves[..written].iter_mut().find(|leaf| within(leaf)) {
                Some(leaf) => leaf.from.push_str(fixed),
                None => leaves.push(Leaf { path, value, from: format!("default{fixed}") }),
            }
        });
    }
    show(&leaves)
}

/// Calls back for each value that is no table, with its path.
fn flatten(value: &Value, path: Vec<String>, each: &mut impl FnMut(Vec<String>, Value)) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                flatten(value, [path.as_slice(), std::slice::from_ref(key)].concat(), each);
            }
        }
        other => each(path, other.clone()),
    }
}

fn show(leaves: &[Leaf]) -> String {
    let mut tables: Vec<&[String]> = vec![&[]];
    for Leaf { path, .. } in leaves {
        let table = &path[..path.len().saturating_sub(1)];
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    // A table comes after the one that it is in.
    tables.sort();
    let mut text = String::new();
    for table in tables {
        if !table.is_empty() {
            let keys: Vec<_> = table.iter().map(|key| Key::new(key.as_str()).to_string()).collect();
            let _ = writeln!(text, "\n[{}]", keys.join("."));
        }
        for Leaf { path, value, from } in
            leaves.iter().filter(|leaf| leaf.path.split_last().is_some_and(|(_, rest)| rest == table))
        {
            let key = path.last().map(|key| Key::new(key.as_str()).to_string()).unwrap_or_default();
            let line = match toml(value) {
                Some(value) => format!("{key} = {value}  # {from}"),
                None => format!("# {key} is not set  # {from}"),
            };
            let _ = writeln!(text, "{}", harmless(&line));
        }
    }
    text
}

/// A value in TOML; `None` for null, which TOML does not have.
fn toml(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(switch) => (*switch).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().filter_map(toml).collect::<toml_edit::Array>().into(),
        Value::Object(keys) => {
            let keys = keys.iter().filter_map(|(key, value)| Some((key.as_str(), toml(value)?)));
            keys.collect::<toml_edit::InlineTable>().into()
        }
    })
}
