//! What rules may say: the checks between a plugin and the host, the same when an event is run and when a case is.
//!
//! Knows the limits of a run and the form of a call; neither the journal nor who sends.

use crate::client::check_path;
use crate::lookup::{HOST, Lookup};
use crate::model::{
    Blame, Call, Effect, End, Entity, Failure, Names, Next, Outcome, Request, Webhook, is_name, two_of_a_kind,
};
use crate::rules::Manifest;

/// Passes of a run, calls of a pass, and bytes of a pass: more is a plugin gone astray.
const PASSES_MAX: usize = 64;
const CALLS_PER_PASS_MAX: usize = 100;
const PASS_BYTES_MAX: usize = 8 << 20;
/// Names of an answer, bytes that are remembered of an entity, and characters of a reason: likewise.
const NAMES_MAX: usize = 100;
const MEMORY_BYTES_MAX: usize = 1 << 20;
const REASON_CHARS_MAX: usize = 1_000;
/// Bytes of a query that a system runs as a job: more is refused by Shopify (recorded answer).
const BULK_BYTES_MAX: usize = 65_535;

/// What an event is about, or how it is over before its rules could handle it.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Entity(Entity),
    Over(Outcome, Option<Blame>, String),
}

/// Asks for the key, unless the rules do not listen.
pub fn key(
    webhook: &Webhook,
    manifest: &Manifest,
    ask: impl FnOnce() -> Result<Result<Entity, String>, Failure>,
) -> Key {
    let failed = |blame, reason: String| Key::Over(Outcome::Failed, Some(blame), reason);
    if !manifest.hears(webhook) {
        let reason = format!("topic `{}` of {} is not mapped by these rules", webhook.topic, webhook.source);
        return Key::Over(Outcome::Skipped, None, reason);
    }
    match ask() {
        Ok(Ok(entity)) if entity.names.is_empty() => failed(Blame::Plugin, "the rules gave the event no name".into()),
        Ok(Ok(entity)) => match check_names(&entity.names).and_then(|()| check_names(&entity.after)) {
            Ok(()) => Key::Entity(entity),
            Err(failure) => failed(failure.blame, failure.reason),
        },
        Ok(Err(why)) => Key::Over(Outcome::Invalid, Some(Blame::Payload), sentence(&why)),
        Err(failure) => failed(failure.blame, failure.reason),
    }
}

/// What the rules say after so many passes, if they may say it, and do not ask for one more than they may have.
pub fn next(said: Result<Next, Failure>, manifest: &Manifest, passes: usize) -> Result<Next, Failure> {
    match checked(said?, manifest)? {
        Next::Send { .. } if passes >= PASSES_MAX => {
            refuse(format!("the rules asked for more than {PASSES_MAX} rounds of calls"))
        }
        next => Ok(next),
    }
}

/// A call that rules ask for outside a run, to read: what a run may not send, this may not either.
pub fn read(call: &Call, manifest: &Manifest) -> Result<(), Failure> {
    if call.effect != Effect::Read {
        return refuse(format!("the rules asked for a page by `{}`, which does not only read", call.line()));
    }
    check_amount(std::slice::from_ref(call))?;
    check_call(call, manifest)
}

/// A query that rules want a system to run as a job. What a call may not do, it may not either.
pub fn bulk(query: &str) -> Result<(), Failure> {
    if query.len() > BULK_BYTES_MAX {
        let bytes = query.len();
        return refuse(format!("the rules gave a bulk query of {bytes} bytes; {BULK_BYTES_MAX} are allowed"));
    }
    if subscribes(query, "") { refuse(SUBSCRIPTIONS.into()) } else { Ok(()) }
}

/// Takes what the rules have found out into the names known of the entity; gives what of it is new.
pub fn learn(known: &mut Names, found: Names) -> Result<Names, Failure> {
    let new = |found: Vec<String>, known: &[String]| {
        let mut new: Vec<String> = vec![];
        for name in found {
            if !known.contains(&name) && !new.contains(&name) {
                new.push(name);
            }
        }
        new
    };
    let retired = new(found.retired, &known.retired);
    known.learned.retain(|name| !retired.contains(name));
    let learned = new(found.learned, &known.learned);
    if let Some(two) = two_of_a_kind(&known.learned, &learned).or_else(|| two_of_a_kind(&learned, &learned)) {
        return refuse(two);
    }
    known.retired.retain(|name| !learned.contains(name));
    known.learned.extend(learned.iter().cloned());
    known.retired.extend(retired.iter().cloned());
    Ok(Names { learned, retired })
}

/// What the rules ask, if they may ask it.
fn checked(next: Next, manifest: &Manifest) -> Result<Next, Failure> {
    match next {
        Next::Send { calls, names } => {
            check_known(&names)?;
            check_amount(&calls)?;
            for call in &calls {
                check_call(call, manifest)?;
            }
            Ok(Next::Send { calls, names })
        }
        Next::End(end) => {
            check_known(&end.names)?;
            let bytes = end.memory.as_ref().map_or(0, String::len);
            if bytes > MEMORY_BYTES_MAX {
                return refuse(format!("the rules remembered {bytes} bytes; {MEMORY_BYTES_MAX} are allowed"));
            }
            Ok(Next::End(End { reason: sentence(&end.reason), ..end }))
        }
    }
}

fn refuse<T>(why: String) -> Result<T, Failure> {
    Err(Failure::new(Blame::Plugin, sentence(&why)))
}

/// A reason as the one line it should be, no longer than people read.
fn sentence(reason: &str) -> String {
    let line = reason.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{} [TRUNCATED]", &line[..end]),
        None => line,
    }
}

fn check_known(names: &Names) -> Result<(), Failure> {
    check_names(&names.learned)?;
    check_names(&names.retired)
}

fn check_names(names: &[String]) -> Result<(), Failure> {
    if names.len() > NAMES_MAX {
        return refuse(format!("the rules gave {} names at once; {NAMES_MAX} are allowed", names.len()));
    }
    match names.iter().find(|name| !is_name(name)) {
        Some(bad) => refuse(format!("the rules gave the name `{bad}`, which is not of the form source/kind/id")),
        None => Ok(()),
    }
}

fn check_amount(calls: &[Call]) -> Result<(), Failure> {
    if calls.is_empty() {
        return refuse("the rules asked to send nothing".into());
    }
    if calls.len() > CALLS_PER_PASS_MAX {
        return refuse(format!("the rules asked for {} calls at once; {CALLS_PER_PASS_MAX} are allowed", calls.len()));
    }
    let bytes: usize = calls.iter().map(Call::bytes).sum();
    if bytes > PASS_BYTES_MAX {
        return refuse(format!("the rules asked to send {bytes} bytes at once; {PASS_BYTES_MAX} are allowed"));
    }
    Ok(())
}

fn check_call(call: &Call, manifest: &Manifest) -> Result<(), Failure> {
    let target = &call.target;
    if target == HOST {
        return Lookup::read(call).map(drop).or_else(refuse);
    }
    if !manifest.targets.iter().any(|declared| declared.name == *target) {
        return refuse(format!("the rules called `{target}`, which their manifest does not declare as a target"));
    }
    if !matches!(target.as_str(), "shopify" | "omneo") {
        return refuse(format!("the rules called `{target}`: there are the targets `shopify` and `omneo`"));
    }
    match &call.request {
        Request::Rest { path, body, .. } => {
            if target == "shopify" && is_of_webhooks(path) {
                return refuse(SUBSCRIPTIONS.into());
            }
            if let Err(why) = check_path(path) {
                return refuse(format!("the rules asked for a call that may not be sent: {why}"));
            }
            if body.as_deref().is_some_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_err()) {
                return refuse(format!("the body of `{}` is not JSON", call.line()));
            }
        }
        Request::Graphql { document, variables } => {
            if subscribes(document, variables) {
                return refuse(SUBSCRIPTIONS.into());
            }
            if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(variables).is_err() {
                return refuse(format!("the variables of `{}` are not a JSON object", call.line()));
            }
        }
    }
    Ok(())
}

const SUBSCRIPTIONS: &str = "the rules asked about webhook subscriptions, which are the host's affair: with an app that other \
    tenants share, they would collect bodies that are signed for all; `tandem tenant setup` makes those that the rules listen to";
/// A part of the name of every field of Shopify's Admin API that reads or changes subscriptions (`webhookSubscriptions`,
/// `pubSubWebhookSubscriptionCreate`, `eventBridgeWebhookSubscriptionUpdate` and so on, in the schemas of 2026).
const OF_SUBSCRIPTIONS: &str = "webhooksubscription";

/// Whether a GraphQL request is about webhook subscriptions, also as the text of a bulk mutation.
fn subscribes(document: &str, variables: &str) -> bool {
    let names = |text: &str| unescaped(text).to_ascii_lowercase().contains(OF_SUBSCRIPTIONS);
    names(document) || document.contains("bulkOperationRun") && names(variables)
}

/// Whether a path of Shopify's REST API leads to subscriptions, `/admin/api/2026-07/webhooks/7.json`, or to GraphQL, whose requests
/// have a form of their own here.
fn is_of_webhooks(path: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase();
    let is = |segment: &str, name: &str| {
        segment == name || segment.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    };
    decoded.split('/').any(|segment| is(segment, "webhooks") || is(segment, "graphql"))
}

/// A text of GraphQL or JSON with its escapes `\u0041` and `\u{41}` as the letters that they stand for.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (digits, rest) = braced.or_else(|| part.split_at_checked(4)).unwrap_or(("", part));
        match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
            Some(letter) => {
                plain.push(letter);
                plain.push_str(rest);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_not_the_rules_affair() {
        let create = "mutation { webhookSubscriptionCreate(topic: ORDERS_PAID) { userErrors { field } } }";
        let bulk =
            "mutation Bulk($text: String!) { bulkOperationRunMutation(mutation: $text) { bulkOperation { id } } }";
        let update = "mutation Update($input: CustomerInput!) { customerUpdate(input: $input) { customer { id } } }";
        for (document, variables, is_refused) in [
            (create, "{}", true),
            ("query { webhookSubscriptions(first: 9) { nodes { id uri } } }", "{}", true),
            ("mutation { a: pubSubWebhookSubscriptionCreate(topic: X) { userErrors { field } } }", "{}", true),
            ("mutation { eventBridgeWebhookSubscriptionUpdate(id: 1) { userErrors { field } } }", "{}", true),
            (bulk, &format!("{{\"text\": {create:?}}}"), true),
            (bulk, r#"{"text": "mutation { \u0077ebhookSubscriptionDelete(id: 1) { userErrors { field } } }"}"#, true),
            (
                r#"mutation { bulkOperationRunMutation(mutation: "mutation { \u{0077}ebhookSubscriptionDelete }") { id } }"#,
                "{}",
                true,
            ),
            (bulk, r#"{"text": "mutation { customerUpdate(input: $input) { customer { id } } }"}"#, false),
            (update, "{}", false),
            // What a customer writes into a note is no request.
            (update, r#"{"input": {"note": "webhookSubscriptionCreate"}}"#, false),
        ] {
            assert_eq!(subscribes(document, variables), is_refused, "{document} {variables}");
        }
        for (path, is_refused) in [
            ("/admin/api/2026-07/webhooks.json", true),
            ("/admin/api/2026-07/webhooks/7.json", true),
            ("/admin/api/2026-07/WebHooks.json", true),
            ("/admin/api/2026-07/%77ebhooks.json", true),
            ("/admin/api/2026-07/graphql.json", true),
            ("/admin/api/graphql", true),
            ("/admin/api/2026-07/orders/7.json", false),
            ("/admin/api/2026-07/products/webhooks-shirt.json", false),
        ] {
            assert_eq!(is_of_webhooks(path), is_refused, "{path}");
        }
    }
}
