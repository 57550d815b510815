//! Checks whether the schema that rules give of their settings takes what their `configure` takes. Knows nothing of the
//! rules themselves.

use serde_json::{Map, Value, json};

use crate::rules::Problem;

/// How many rules files are tried at most, since each takes an ask; and how many choices of one setting.
const TRIALS_MAX: usize = 300;
const CHOICES_MAX: usize = 5;

/// A value to try at one place of the rules file.
struct Trial {
    at: String,
    value: Value,
}

/// Says where a schema and `configure` disagree. Begins at a rules file that `configure` takes, and tries the file
/// itself, each choice and default that the schema names, and one wrong type for each setting.
pub fn doubts(
    schema: &Value,
    rules: &Value,
    mut configure: impl FnMut(&Value) -> anyhow::Result<Vec<Problem>>,
) -> Vec<String> {
    let elsewhere = elsewhere(schema, "");
    if !elsewhere.is_empty() {
        return elsewhere;
    }
    // A pattern may be anything, so the engine is the one whose time is bounded by what it reads.
    let patterns = jsonschema::PatternOptions::regex();
    let validator = match jsonschema::draft7::options().with_pattern_options(patterns).build(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("what `schema` gives is no JSON Schema of draft 7: {error}")],
    };
    let mut found = vec![];
    if let Some(error) = validator.iter_errors(rules).next() {
        found.push(format!("the schema refuses this rules file, and `configure` takes it: {error}"));
    }
    let mut trials = vec![];
    collect(schema, "", &mut trials);
    for Trial { at, value } in trials.into_iter().take(TRIALS_MAX) {
        let mut rules = rules.clone();
        if !put(&mut rules, &at, value.clone()) {
            continue;
        }
        let said = match configure(&rules) {
            Ok(said) => said,
            Err(error) => {
                found.push(format!("`{value}` for `{at}`: {error:#}"));
                continue;
            }
        };
        // What either finds wrong elsewhere is not about this value.
        let is_here =
            |place: &str| place.strip_prefix(&at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_refused = said.iter().any(|problem| is_here(&problem.at));
        let is_valid = !validator.iter_errors(&rules).any(|error| is_here(error.instance_path().as_str()));
        if is_valid && is_refused {
            found.push(format!("the schema takes `{value}` for `{at}`, and `configure` refuses it"));
        } else if !is_valid && said.is_empty() {
            found.push(format!("the schema refuses `{value}` for `{at}`, and `configure` takes it"));
        }
    }
    found
}

/// Each `$ref` to another document: nobody fetches that, neither here nor where an editor has the schema as a file.
fn elsewhere(schema: &Value, at: &str) -> Vec<String> {
    let inner = |(key, inner): (String, &Value)| elsewhere(inner, &format!("{at}/{key}"));
    match schema {
        Value::Object(keys) => {
            let named = keys.get("$ref").and_then(Value::as_str).filter(|named| !named.starts_with('#'));
            let own = named.map(|named| {
                format!("its `$ref` at `{at}` names another document, `{named}`: put that under `definitions`, and write `#/definitions/…`")
            });
            own.into_iter().chain(keys.iter().map(|(key, value)| (key.clone(), value)).flat_map(inner)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(n, value)| (n.to_string(), value)).flat_map(inner).collect()
        }
        _ => vec![],
    }
}

/// Collects what to try at each place below this one that is no table.
fn collect(schema: &Value, at: &str, trials: &mut Vec<Trial>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        if inner["properties"].is_object() {
            collect(inner, &at, trials);
            continue;
        }
        let is_list = inner["type"] == "array";
        let choices = inner["enum"].as_array().or(inner["items"]["enum"].as_array()).into_iter().flatten();
        let choices = choices.take(CHOICES_MAX).map(|choice| if is_list { json!([choice]) } else { choice.clone() });
        let wrong = if inner["type"] == "object" { json!(7) } else { json!({"no": "such"}) };
        let values = choices.chain(inner.get("default").cloned()).chain([wrong]);
        trials.extend(values.map(|value| Trial { at: at.clone(), value }));
    }
}

/// Writes a value to a place; `false` if something on the way is no table.
fn put(rules: &mut Value, at: &str, value: Value) -> bool {
    let mut inside = rules;
    let keys: Vec<_> = at.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    for key in &keys {
        let Some(table) = inside.as_object_mut() else { return false };
        inside = table.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    *inside = value;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of an invented plugin: a colour, a number of stars, a list of shapes.
    fn configure(rules: &Value) -> anyhow::Result<Vec<Problem>> {
        anyhow::ensure!(rules.get("broken").is_none(), "`configure` failed: the rules panicked");
        let wrong = |at: &str| Problem { at: at.into(), message: "no".into(), fix: "yes".into() };
        let shapes = rules.pointer("/look/shapes");
        let right = [
            ("/colour", rules.get("colour").is_none_or(|colour| *colour == "red" || *colour == "blue")),
            ("/stars", rules.get("stars").is_none_or(Value::is_u64)),
            (
                "/look/shapes",
                shapes.is_none_or(|shapes| shapes.as_array().is_some_and(|all| all.iter().all(|one| *one == "round"))),
            ),
        ];
        Ok(right.into_iter().filter(|(_, is_right)| !is_right).map(|(at, _)| wrong(at)).collect())
    }

    fn schema(colours: Value, stars: Value, shapes: Value) -> Value {
        json!({"type": "object", "additionalProperties": false, "properties": {
            "colour": {"type": "string", "enum": colours, "default": "red"},
            "stars": stars,
            "look": {"type": "object", "properties": {"shapes": {"type": "array", "items": {"enum": shapes}}}}
        }})
    }

    #[test]
    fn a_schema_and_configure_that_agree_raise_no_doubt_and_others_are_told_where() {
        let (colours, stars, shapes) = (json!(["red", "blue"]), json!({"type": "integer"}), json!(["round"]));
        let table = [
            (schema(colours.clone(), stars.clone(), shapes.clone()), vec![]),
            (
                schema(json!(["red", "green"]), stars.clone(), shapes.clone()),
                vec![
                    "the schema refuses this rules file, and `configure` takes it: \"blue\" is not one of \"red\" or \"green\"",
                    "the schema takes `\"green\"` for `/colour`, and `configure` refuses it",
                ],
            ),
            (
                schema(colours.clone(), json!({"type": "object"}), shapes.clone()),
                vec!["the schema refuses `7` for `/stars`, and `configure` takes it"],
            ),
            (
                schema(colours.clone(), json!({}), json!(["round", "flat"])),
                vec![
                    "the schema takes `{\"no\":\"such\"}` for `/stars`, and `configure` refuses it",
                    "the schema takes `[\"flat\"]` for `/look/shapes`, and `configure` refuses it",
                ],
            ),
            (
                json!({"properties": {"broken": {"type": "boolean", "default": true}}}),
                vec![
                    "`true` for `/broken`: `configure` failed: the rules panicked",
                    "`{\"no\":\"such\"}` for `/broken`: `configure` failed: the rules panicked",
                ],
            ),
            (
                json!({"properties": {"a": {"$ref": "https://example.org/a.json#/b"}, "b": {"allOf": [{"$ref": "b.json"}]}}}),
                vec![
                    "its `$ref` at `/properties/a` names another document, `https://example.org/a.json#/b`: put that under `definitions`, and write `#/definitions/…`",
                    "its `$ref` at `/properties/b/allOf/0` names another document, `b.json`: put that under `definitions`, and write `#/definitions/…`",
                ],
            ),
            (
                json!({"properties": {"colour": {"$ref": "#/definitions/colour"}}, "definitions": {"colour": {"enum": ["red", "blue"]}}}),
                vec![],
            ),
            (
                json!({"type": 3}),
                vec![
                    "what `schema` gives is no JSON Schema of draft 7: 3 is not valid under any of the schemas listed in the 'anyOf' keyword",
                ],
            ),
        ];
        for (schema, expected) in table {
            let found = doubts(&schema, &json!({"colour": "blue"}), configure);
            assert_eq!(found, expected, "{schema}");
        }
    }

    #[test]
    fn a_schema_without_end_is_tried_only_so_often() {
        let many: Vec<_> = (0..10_000).map(|n| json!(n.to_string())).collect();
        let settings: Map<_, _> = (0..10_000).map(|n| (format!("{n}~/"), json!({"enum": [n, 1, 2]}))).collect();
        let schema = json!({"properties": {"a": {"enum": many, "pattern": "^(a|aa)+(a+)+$"}}});
        let mut wrong = 0;
        doubts(&schema, &json!({}), |rules| {
            wrong += usize::from(rules["a"].is_object());
            Ok(vec![])
        });
        assert_eq!(wrong, 1, "a setting of many choices is tried with a wrong type, too");
        let schema = json!({"properties": settings});
        let mut asked = 0;
        doubts(&schema, &json!({}), |_| {
            asked += 1;
            Ok(vec![])
        });
        assert_eq!(asked, TRIALS_MAX);
    }
}
