//! Makes one call of set-up: sends it, tries again where that helps, and reads the answer. Knows what each side's
//! refusals mean, and not what the call is for.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::client::Client;
use crate::config::{Credential, Peer};
use crate::model::{Answer, Call, Method, Reply, Request};
use crate::retry::{self, Decision, Outcome};

/// Delays between attempts. A person is waiting, so they only bridge a short disturbance.
const DELAYS_MS: [u64; 2] = [500, 1_500];
/// If a target asks for a longer wait than this, the person is told instead.
const WAIT_MS_MAX: u64 = 65_000;
/// How many times a target may ask for a wait.
const THROTTLED_MAX: u32 = 10;
/// How long Shopify's bucket needs until it allows any call of set-up again.
const THROTTLED_MS: u64 = 1_000;

/// Why something could not be read or done, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub why: String,
    pub hint: Option<String>,
    /// Whether the target has answered and only this call is not allowed, so that it can be asked other things.
    pub denied: bool,
}

/// Makes a call. Returns the answer's `data` for GraphQL, and its body for REST.
pub async fn ask(client: &Client, peer: &Peer, call: &Call, api_version: &str) -> Result<Value, Trouble> {
    let (mut attempts, mut throttled) = (0, 0);
    loop {
        attempts += 1;
        let Credential::Token(token) = &peer.credential else {
            return trouble(format!("{} has no token yet", call.target), "open its app in the shop's admin");
        };
        let outcome = match client.send(peer, token, call, api_version).await {
            Outcome::Answered { answer, .. } if is_throttled(&answer) => Outcome::Throttled { wait_ms: THROTTLED_MS },
            outcome => outcome,
        };
        match retry::decide(outcome, call.effect, attempts, &DELAYS_MS, 0.0) {
            Decision::Reply(Reply::Answer(answer)) => return read(call, &answer),
            Decision::Again { after_ms, counts } if after_ms <= WAIT_MS_MAX && throttled < THROTTLED_MAX => {
                if !counts {
                    (attempts, throttled) = (attempts - 1, throttled + 1);
                }
                sleep(Duration::from_millis(after_ms)).await;
            }
            Decision::Again { .. } => {
                return trouble(format!("{} asks to wait too long", call.target), "run the command again later");
            }
            Decision::Reply(Reply::Unknown(why)) | Decision::Unknown(why) => {
                let hint = "whether it was done is not known: run the command again, which looks first";
                return trouble(format!("{} did not answer: {why}", call.target), hint);
            }
            Decision::Pause(why) => {
                return trouble(format!("{} refuses the token: {why}", call.target), new_token(call));
            }
            Decision::GiveUp(why) => {
                let hint = format!("is `{}` its address, and does it answer from here?", peer.url);
                return trouble(format!("{} cannot be reached: {why}", call.target), hint);
            }
        }
    }
}

fn trouble<T>(why: impl Into<String>, hint: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble { why: why.into(), hint: Some(hint.into()), denied: false })
}

fn denied<T>(why: String, hint: &str) -> Result<T, Trouble> {
    Err(Trouble { why, hint: Some(hint.into()), denied: true })
}

fn is_throttled(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(&answer.body) else { return false };
    let errors = body["errors"].as_array().into_iter().flatten();
    answer.status == 200 && errors.into_iter().any(|error| error["extensions"]["code"] == "THROTTLED")
}

fn read(call: &Call, answer: &Answer) -> Result<Value, Trouble> {
    let said: String = answer.body.chars().take(300).collect();
    match (answer.status, &call.request) {
        (200..=299, Request::Graphql { .. }) => graphql(&answer.body),
        (200..=299, Request::Rest { .. }) => Ok(serde_json::from_str(&answer.body).unwrap_or_default()),
        (403, Request::Rest { method, path, .. }) => {
            let scope = scope(*method, path);
            denied(format!("the token lacks the scope `{scope}`: 403 {said}"), MORE_SCOPES)
        }
        (404, Request::Graphql { .. }) => trouble(
            format!("shopify knows no such shop or API version: 404 {said}"),
            "see to `shop` and `shopify.url` in the configuration",
        ),
        (status, _) => {
            Err(Trouble { why: format!("{} refuses: {status} {said}", call.target), hint: None, denied: false })
        }
    }
}

/// What to do about a scope that a Shopify app lacks.
pub const MORE_APP_SCOPES: &str = "add it to the app's access scopes in the Dev Dashboard, and have the shop accept it";
/// What to do about a scope that an Omneo token lacks.
pub const MORE_SCOPES: &str = "a token's scopes are chosen when it is made: CX Manager, Settings, API Tokens; put the new token in the place of this one";

fn new_token(call: &Call) -> &'static str {
    match call.target.as_str() {
        "shopify" => {
            "is the app still installed in the shop, and is its token in force: `shopify.token`, or what `tandem grants` shows?"
        }
        _ => "tokens expire: make one in CX Manager, Settings, API Tokens, and put it in the place of this one",
    }
}

/// The scope that a request needs, in Omneo's naming.
fn scope(method: Method, path: &str) -> String {
    let verb = match method {
        Method::Get => "read",
        Method::Post => "create",
        Method::Put | Method::Patch => "update",
        Method::Delete => "delete",
    };
    format!("{verb}-{}", path.split('/').nth(1).unwrap_or_default())
}

/// Reads an answer of GraphQL, which has a successful HTTP status even for a refusal.
fn graphql(body: &str) -> Result<Value, Trouble> {
    let Ok(mut body) = serde_json::from_str::<Value>(body) else {
        return trouble("shopify's answer is no JSON", "is `shopify.url` the shop's own address?");
    };
    let data = body.get_mut("data").map(Value::take).unwrap_or_default();
    let refusals = data.as_object().into_iter().flatten().filter_map(|(_, field)| field["userErrors"].as_array());
    let errors: Vec<_> = body["errors"].as_array().into_iter().chain(refusals).flatten().collect();
    if let Some(error) = errors.iter().find(|error| error["extensions"]["code"] == "ACCESS_DENIED") {
        // Shopify usually names the scope. If a metafield belongs to another app, no scope would help.
        let needs = error["extensions"]["requiredAccess"].as_str().unwrap_or_default().trim();
        let hint = if needs.contains("scope") { MORE_APP_SCOPES } else { "see to who owns it" };
        let needs = if needs.is_empty() { error["message"].as_str().unwrap_or_default().trim() } else { needs };
        return denied(format!("shopify denies access, which needs {needs}"), hint);
    }
    let messages: Vec<_> = errors.iter().filter_map(|error| error["message"].as_str().map(str::trim_end)).collect();
    if messages.is_empty() && data.is_object() {
        return Ok(data);
    }
    let why = if messages.is_empty() { body["errors"].to_string() } else { messages.join("; ") };
    Err(Trouble { why: format!("shopify refuses: {why}"), hint: None, denied: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Effect;

    fn answered(request: Request, status: u16, body: &str) -> Trouble {
        let target = if matches!(request, Request::Rest { .. }) { "omneo" } else { "shopify" };
        let call = Call { target: target.into(), request, effect: Effect::Read };
        read(&call, &Answer { status, headers: vec![], body: body.into() }).unwrap_err()
    }

    #[test]
    fn what_is_not_allowed_is_told_from_what_went_wrong() {
        let rest = || Request::Rest { method: Method::Post, path: "/webhooks".into(), query: vec![], body: None };
        let graphql = || Request::Graphql { document: String::new(), variables: "{}".into() };
        // Recorded from Shopify, except for the scope.
        let no_scope = r#"{"errors":[{"message":"Access denied for metafieldDefinitions field.","extensions":{
            "code":"ACCESS_DENIED","requiredAccess":"`read_customers` access scope."}}],"data":null}"#;
        let others = r#"{"errors":[{"message":"Access denied for metafieldDefinitionCreate field.","extensions":{
            "code":"ACCESS_DENIED","requiredAccess":"API client to have access to the namespace.\n"}}],
            "data":{"metafieldDefinitionCreate":null}}"#;
        for (request, status, body, why, denied) in [
            (rest(), 403, "{}", "the token lacks the scope `create-webhooks`: 403 {}", true),
            (rest(), 422, "no scope", "omneo refuses: 422 no scope", false),
            (graphql(), 200, no_scope, "shopify denies access, which needs `read_customers` access scope.", true),
            (
                graphql(),
                200,
                others,
                "shopify denies access, which needs API client to have access to the namespace.",
                true,
            ),
            (graphql(), 200, r#"{"errors":[{"message":"scope"}]}"#, "shopify refuses: scope", false),
        ] {
            let trouble = answered(request, status, body);
            assert_eq!((trouble.why.as_str(), trouble.denied), (why, denied));
            assert_eq!(trouble.hint.is_some(), denied, "{why}");
        }
    }
}
