//! Reads replies. Knows how HTTP and GraphQL say no; not what a system means by it.

use crate::{Answer, End, Json, Reply, View, refused};

/// One entry of `errors` or `userErrors` in a GraphQL answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphqlError {
    /// The field it is about, joined by dots; empty when it names none.
    pub field: String,
    pub message: String,
    /// Empty where the schema has no codes.
    pub code: String,
}

impl Reply {
    /// The answer; an unknown fate ends the event as refused.
    pub fn answer(self) -> Result<Answer, End> {
        match self {
            Reply::Answer(answer) => Ok(answer),
            Reply::Unknown(why) => Err(refused(format!("it is not known whether a call was carried out: {why}"))),
        }
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Itself when it is a 2xx; anything else ends the event as refused, with what was being done and what came back.
    pub fn ok(self, doing: &str) -> Result<Self, End> {
        if self.is_success() { Ok(self) } else { Err(self.unexpected(doing)) }
    }

    /// The ending for an answer that the rules have no way to go on from.
    pub fn unexpected(&self, doing: &str) -> End {
        let body: String = self.body.chars().take(300).collect();
        refused(format!("{doing}: answered {} {body}", self.status))
    }

    /// The body as JSON; an empty body is null.
    pub fn json(&self) -> Result<Json<'static>, End> {
        let body = if self.body.is_empty() { "null" } else { &self.body };
        Ok(Json::answer(body.to_owned())?)
    }
}

impl Json<'_> {
    /// The top-level `errors` of a GraphQL answer.
    pub fn graphql_errors(&self) -> Vec<GraphqlError> {
        errors(self.view().get("/errors"))
    }

    /// The `userErrors` of the root field of a mutation, given by its name or alias.
    pub fn user_errors(&self, root: &str) -> Vec<GraphqlError> {
        errors(self.view().get(&format!("/data/{root}/userErrors")))
    }
}

fn errors(list: Option<View>) -> Vec<GraphqlError> {
    let list = list.and_then(|list| list.list("").ok()).unwrap_or_default();
    let text = |view: &View, at: &str| view.opt_text(at).ok().flatten().unwrap_or_default().to_owned();
    list.iter()
        .map(|error| GraphqlError {
            field: match error.get("/field").filter(View::is_list) {
                Some(_) => {
                    let parts = error.list("/field").unwrap_or_default();
                    parts.iter().map(|part| text(part, "")).collect::<Vec<_>>().join(".")
                }
                None => text(error, "/field"),
            },
            message: text(error, "/message"),
            code: text(error, if error.has("/code") { "/code" } else { "/extensions/code" }),
        })
        .collect()
}
