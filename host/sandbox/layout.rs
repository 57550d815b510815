//! Lays JSON out for people: on a line what fits on one, with the keys in alphabetical order, so that equal values look
//! equal. Knows nothing of what it says.

use serde_json::Value;

/// Columns of a line.
const WIDTH_MAX: usize = 110;

/// A text that should be JSON; if it is not, as it is.
pub fn text(text: &str) -> String {
    serde_json::from_str(text).map_or_else(|_| text.trim_end().to_owned(), |value| json(&value))
}

pub fn json(value: &Value) -> String {
    layout(value, 0, 0)
}

/// `before` is what stands in front of the value in its line.
fn layout(value: &Value, indent: usize, before: usize) -> String {
    let line = line(value);
    if indent + before + line.chars().count() <= WIDTH_MAX {
        return line;
    }
    let inner = indent + 2;
    let (open, close, members): (_, _, Vec<String>) = match value {
        Value::Array(members) => ('[', ']', members.iter().map(|member| layout(member, inner, 0)).collect()),
        Value::Object(_) => {
            let member = |(key, value): (String, &Value)| {
                let value = layout(value, inner, key.chars().count() + 3);
                format!("{key}: {value}")
            };
            ('{', '}', sorted(value).into_iter().map(member).collect())
        }
        _ => return line,
    };
    let margin = " ".repeat(inner);
    format!("{open}\n{margin}{}\n{}{close}", members.join(&format!(",\n{margin}")), " ".repeat(indent))
}

fn line(value: &Value) -> String {
    match value {
        Value::Array(members) if !members.is_empty() => {
            format!("[{}]", members.iter().map(line).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) if !members.is_empty() => {
            let members = sorted(value).into_iter().map(|(key, value)| format!("{key}: {}", line(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The members of an object by their keys, which are quoted.
fn sorted(value: &Value) -> Vec<(String, &Value)> {
    let members = value.as_object().into_iter().flatten();
    let mut members: Vec<_> = members.map(|(key, value)| (Value::from(key.as_str()).to_string(), value)).collect();
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_on_a_line_and_numbers_keep_their_digits() {
        assert_eq!(text(r#"{"b":[1,2.50],"a":{}}"#), r#"{ "a": {}, "b": [1, 2.50] }"#);
        assert_eq!(text("gone\n"), "gone");
        let long = format!(r#"{{"b":{{"c":1}},"a":["{}","x"]}}"#, "y".repeat(WIDTH_MAX));
        assert_eq!(
            text(&long),
            format!("{{\n  \"a\": [\n    \"{}\",\n    \"x\"\n  ],\n  \"b\": {{ \"c\": 1 }}\n}}", "y".repeat(WIDTH_MAX))
        );
    }
}
