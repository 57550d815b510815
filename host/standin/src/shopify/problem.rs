//! What Shopify finds wrong with a mutation, and how an answer says it. Knows nothing of what was wanted.

use serde_json::{Value, json};

/// One entry of `userErrors`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// `None` where Shopify says null.
    pub field: Option<Vec<String>>,
    pub message: String,
    pub code: Option<&'static str>,
}

impl Problem {
    pub fn new(field: &[&str], message: impl Into<String>, code: &'static str) -> Problem {
        Problem {
            field: Some(field.iter().map(|&part| part.to_owned()).collect()),
            message: message.into(),
            code: Some(code),
        }
    }
}

/// The answer to a mutation of which nothing was done: no `what`, and the problems.
pub(crate) fn refused(what: &str, problems: &[Problem]) -> Value {
    json!({ what: null, "userErrors": problems.iter().map(user_error).collect::<Vec<_>>() })
}

pub(crate) fn user_error(problem: &Problem) -> Value {
    json!({ "field": problem.field, "message": problem.message, "code": problem.code })
}
