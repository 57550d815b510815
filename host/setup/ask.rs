//! One call of set-up: sent, tried again where that helps, and its answer read.
//! Knows what each side's refusals mean; not what is asked.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::client::Client;
use crate::config::Peer;
use crate::model::{Answer, Call, Method, Reply, Request};
use crate::retry::{self, Decision, Outcome};

/// A person waits for this: long enough for a hiccup.
const DELAYS_MS: [u64; 2] = [500, 1_500];
/// Longest wait that a target may ask for before a person is told instead.
const WAIT_MS_MAX: u64 = 65_000;
/// How often a target may ask for patience.
const THROTTLED_MAX: u32 = 10;
/// Until Shopify's bucket holds enough for any call of set-up again.
const THROTTLED_MS: u64 = 1_000;

/// Why something could not be read or done, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub why: String,
    pub hint: Option<String>,
}

/// The answer's `data` for GraphQL, its body for REST.
pub async fn ask(client: &Client, peer: &Peer, call: &Call, api_version: &str) -> Result<Value, Trouble> {
    let (mut attempts, mut throttled) = (0, 0);
    loop {
        attempts += 1;
        let outcome = match client.send(peer, call, api_version).await {
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
            Decision::Pause(why) => return trouble(format!("{} refuses the token: {why}", call.target), token(call)),
            Decision::GiveUp(why) => {
                let hint = format!("is `{}` its address, and does it answer from here?", peer.url);
                return trouble(format!("{} cannot be reached: {why}", call.target), hint);
            }
        }
    }
}

fn trouble<T>(why: impl Into<String>, hint: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble { why: why.into(), hint: Some(hint.into()) })
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
            trouble(format!("the token lacks the scope `{scope}`: 403 {said}"), MORE_SCOPES)
        }
        (404, Request::Graphql { .. }) => trouble(
            format!("shopify knows no such shop or API version: 404 {said}"),
            "see to `shop` and `shopify.url` in the configuration",
        ),
        (status, _) => Err(Trouble { why: format!("{} refuses: {status} {said}", call.target), hint: None }),
    }
}

/// What to do about a scope that an Omneo token lacks.
pub const MORE_SCOPES: &str = "a token's scopes are chosen when it is made: CX Manager, Settings, API Tokens; put the new token into `tandem.toml`";

fn token(call: &Call) -> &'static str {
    match call.target.as_str() {
        "shopify" => "is the app still installed in the shop, and `shopify.token` its Admin API access token?",
        _ => "tokens expire: make one in CX Manager, Settings, API Tokens, and put it into `omneo.token`",
    }
}

/// The scope that a request needs, by Omneo's way of naming them.
fn scope(method: Method, path: &str) -> String {
    let verb = match method {
        Method::Get => "read",
        Method::Post => "create",
        Method::Put | Method::Patch => "update",
        Method::Delete => "delete",
    };
    format!("{verb}-{}", path.split('/').nth(1).unwrap_or_default())
}

/// HTTP calls a success also what GraphQL refuses.
fn graphql(body: &str) -> Result<Value, Trouble> {
    let Ok(mut body) = serde_json::from_str::<Value>(body) else {
        return trouble("shopify's answer is no JSON", "is `shopify.url` the shop's own address?");
    };
    let data = body["data"].take();
    let refusals = data.as_object().into_iter().flatten().filter_map(|(_, field)| field["userErrors"].as_array());
    let errors = body["errors"].as_array().into_iter().chain(refusals).flatten();
    let errors: Vec<_> = errors.filter_map(|error| error["message"].as_str().map(str::trim_end)).collect();
    if errors.is_empty() && data.is_object() {
        return Ok(data);
    }
    let why = if errors.is_empty() { body["errors"].to_string() } else { errors.join("; ") };
    Err(Trouble { why: format!("shopify refuses: {why}"), hint: None })
}
