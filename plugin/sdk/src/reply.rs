//! Reads replies. Knows how HTTP and GraphQL report errors, and nothing of what an error means to a system.

use crate::{Answer, End, Json, Reply, View, refused};

/// One entry of `errors` or `userErrors` in a GraphQL answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphqlError {
    /// The path of the field that the error is about, joined by dots; empty when the error names none.
    pub field: String,
    pub message: String,
    /// The code of the error; empty where the schema has no codes.
    pub code: String,
}

impl Reply {
    /// The answer. If the fate of the call is unknown, ends the event as refused.
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

    /// The answer itself if it is a 2xx. Otherwise ends the event as refused; the reason says what was being done and
    /// what came back.
    pub fn ok(self, doing: &str) -> Result<Self, End> {
        if self.is_success() { Ok(self) } else { Err(self.unexpected(doing)) }
    }

    /// The ending for an answer from which the rules cannot go on.
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

    /// The `userErrors` of a mutation's top-level field, which is given by its name or alias.
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
