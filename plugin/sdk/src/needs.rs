//! Checks whether a 2xx is the answer to its call, or something else: a proxy's page, an empty body, half a body, JSON
//! about another matter. Knows the shape that a call asks for, and not what follows when it is missing.

use crate::{Answer, GraphqlRequest, Json, View};

/// What a 2xx must hold to count as the answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Needs {
    /// No body is required: the status is enough.
    Nothing,
    /// JSON with a value at one place of each list; the places are JSON pointers. When no list is given, a 204 will do
    /// too.
    Json(Vec<Vec<String>>),
    /// A GraphQL answer: either `errors`, or `data` with each field of the document. For a mutation, each field is an
    /// object and has its `userErrors`.
    Graphql { roots: Vec<String>, is_mutation: bool, has_user_errors: bool, places: Vec<Vec<String>> },
}

const NO_CONTENT: u16 = 204;

impl Needs {
    pub fn of_document(request: &GraphqlRequest) -> Self {
        Self::Graphql {
            roots: roots(&request.document),
            is_mutation: kind(&request.document) == Some("mutation"),
            has_user_errors: request.document.contains("userErrors"),
            places: vec![],
        }
    }

    pub fn add(&mut self, one_of: Vec<String>) {
        match self {
            Self::Nothing => *self = Self::Json(vec![one_of]),
            Self::Json(places) | Self::Graphql { places, .. } => places.push(one_of),
        }
    }

    /// What the answer lacks of what the call needs; `None` when it lacks nothing.
    pub fn lacking(&self, answer: &Answer) -> Option<String> {
        match self {
            Self::Nothing => return None,
            Self::Json(places) if answer.status == NO_CONTENT && places.is_empty() => return None,
            _ if answer.body.trim().is_empty() => return Some("an empty body".to_owned()),
            _ => {}
        }
        let Ok(json) = Json::answer(answer.body.as_str()) else { return Some("a body that is not JSON".to_owned()) };
        let body = json.view();
        match self {
            _ if !(body.is_object() || body.is_list()) => Some("JSON that is neither an object nor a list".to_owned()),
            Self::Nothing => None,
            Self::Json(places) => missing(&body, places),
            // Fields may be missing when `errors` says why.
            Self::Graphql { .. } if !json.graphql_errors().is_empty() => None,
            Self::Graphql { roots, is_mutation, has_user_errors, places } => {
                let is_there = |root: &&String| match body.get(&format!("/data/{root}")) {
                    Some(found) if *is_mutation => {
                        found.is_object() && (!has_user_errors || found.get("/userErrors").is_some_and(|e| e.is_list()))
                    }
                    found => found.is_some(),
                };
                let lost = roots.iter().find(|root| !is_there(root));
                lost.map(|root| format!("neither `errors` nor a whole `/data/{root}`"))
                    .or_else(|| missing(&body, places))
            }
        }
    }
}

fn missing(body: &View, places: &[Vec<String>]) -> Option<String> {
    // An empty text counts as missing: an empty id cannot be put into a path.
    let is_empty = |found: &View| found.is_null() || found.text("").is_ok_and(str::is_empty);
    let is_there = |at: &String| body.get(at).is_some_and(|found| !is_empty(&found));
    let lost = places.iter().find(|one_of| !one_of.iter().any(is_there))?;
    Some(format!("nothing at `{}`", lost.join("` or `")))
}

/// The kind of the document's operation: `query` or `mutation`.
fn kind(document: &str) -> Option<&str> {
    let mut words = document.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.find(|word| matches!(*word, "query" | "mutation"))
}

/// The keys under which the top-level fields of the operation are answered: their aliases, or else their own names.
/// Fragments may stand before the operation.
fn roots(document: &str) -> Vec<String> {
    let (mut found, mut braces, mut parens, mut is_fragment) = (vec![], 0_u32, 0_u32, false);
    let mut before = ' ';
    let mut rest = document;
    while let Some(c) = rest.chars().next() {
        let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let taken = name.max(c.len_utf8());
        match c {
            '(' => parens += 1,
            ')' => parens = parens.saturating_sub(1),
            '{' if parens == 0 => braces += 1,
            '}' if parens == 0 => braces = braces.saturating_sub(1),
            // A field that the variables can leave out is not required.
            _ if braces == 1 && parens == 0 && before == '@' && matches!(&rest[..name], "include" | "skip") => {
                found.pop();
            }
            // A word after a colon is the field behind an alias; a word after a dot or an at sign is not a field.
            _ if name > 0 && braces == 0 && &rest[..name] == "fragment" => is_fragment = true,
            _ if name > 0 && braces == 1 && parens == 0 && !is_fragment && !matches!(before, ':' | '.' | '@') => {
                found.push(rest[..name].to_owned());
            }
            _ => {}
        }
        if c == '}' && braces == 0 && parens == 0 && !std::mem::take(&mut is_fragment) {
            break;
        }
        if !c.is_whitespace() {
            before = if name > 0 { 'a' } else { c };
        }
        rest = &rest[taken..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallTo, Value, delete, get, json, mutation, post, put, query};

    fn lacking(call: &CallTo, status: u16, body: &str) -> Option<String> {
        call.lacking(&Answer { status, headers: vec![], body: body.into() })
    }

    #[test]
    fn the_fields_of_a_document_are_found() {
        let of = |document: &str| roots(document).join(" ");
        assert_eq!(of("query Person($id: ID!) { customer(id: $id) { id } }"), "customer");
        assert_eq!(
            of("mutation Swap($a: [X!] = [{b: 1}]) { add: tagsAdd(i: {c: 1}) { id } remove: tagsRemove { id } }"),
            "add remove"
        );
        assert_eq!(of("query A { ...Shop a b: c { d } } fragment Shop on QueryRoot { e }"), "a b");
        assert_eq!(of("query A { a { b } c: d(e: $f) @include(if: $g) { h } i @skip(if: $j) k }"), "a k");
        assert_eq!(of("fragment Shop on QueryRoot { e } mutation A { a b: c { d } }"), "a b");
        assert_eq!(kind("fragment Shop on QueryRoot { e } mutation A { a }"), Some("mutation"));
    }

    #[test]
    fn what_is_no_answer_is_told_from_one() {
        let page = "<html><body>We will be back soon</body></html>";
        let rest = post("/transactions/update-create", Value::Null).needs("/data/id");
        let search = post("/search", Value::Null).needs_one_of(["/data/id", "/data/0/id"]);
        let write = put("/orders/1", Value::Null);
        let read = query("query Person { customer { id } }", Value::Null);
        let change = mutation("mutation Tags { tagsAdd { userErrors { message } } }", Value::Null);
        for call in [&rest, &search, &write, &read, &change] {
            for none in ["", " ", page, "\u{1f}\u{fffd}\u{8}", r#"{"data":{"id":7"#, "null", "7", r#""ok""#] {
                assert!(lacking(call, 200, none).is_some(), "{none} for {call:?}");
            }
        }
        for (call, body) in [
            (&rest, r#"{"status":"maintenance"}"#),
            (&rest, r#"{"data":{"id":null}}"#),
            (&rest, r#"{"data":{"id":""}}"#),
            (&search, r#"{"data":[]}"#),
            (&read, r#"{"data":null}"#),
            (&read, r#"{"errors":[]}"#),
            (&read, r#"{"data":{"shop":{}}}"#),
            (&change, r#"{"data":{"tagsAdd":null}}"#),
            (&change, r#"{"data":{"tagsAdd":{}}}"#),
        ] {
            assert!(lacking(call, 200, body).is_some(), "{body} for {call:?}");
        }
        for (call, body) in [
            (&rest, json!({"data": {"id": 77}})),
            (&search, json!({"data": [{"id": "p1"}]})),
            (&write, json!({})),
            (&read, json!({"data": {"customer": null}})),
            (&read, json!({"errors": [{"message": "denied"}]})),
            (&change, json!({"data": {"tagsAdd": {"userErrors": []}}})),
        ] {
            assert_eq!(lacking(call, 200, &body.to_string()), None, "{body} for {call:?}");
        }
    }

    #[test]
    fn a_status_says_enough_where_nothing_is_needed() {
        assert_eq!(lacking(&delete("/orders/1"), 200, ""), None);
        assert_eq!(lacking(&put("/orders/1", Value::Null), 204, ""), None);
        assert!(lacking(&get("/orders").needs("/data"), 204, "").is_some());
        // An answer with any other status is not checked.
        assert_eq!(lacking(&get("/orders").needs("/data"), 404, "<html>"), None);
    }
}
