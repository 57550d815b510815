//! What rules may say: the checks between a plugin and the host, the same when an event is run and when a case is.
//!
//! Knows the limits of a run and the form of a call; neither the journal nor who sends.

use crate::client::check_path;
use crate::model::{Blame, Call, End, Entity, Failure, Names, Next, Outcome, Request, Webhook, is_name, two_of_a_kind};
use crate::rules::Manifest;

/// Passes of a run, calls of a pass, and bytes of a pass: more is a plugin gone astray.
const PASSES_MAX: usize = 64;
const CALLS_PER_PASS_MAX: usize = 100;
const PASS_BYTES_MAX: usize = 8 << 20;
/// Names of an answer, bytes that are remembered of an entity, and characters of a reason: likewise.
const NAMES_MAX: usize = 100;
const MEMORY_BYTES_MAX: usize = 1 << 20;
const REASON_CHARS_MAX: usize = 1_000;

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
    if !manifest.targets.iter().any(|declared| declared.name == *target) {
        return refuse(format!("the rules called `{target}`, which their manifest does not declare as a target"));
    }
    if !matches!(target.as_str(), "shopify" | "omneo") {
        return refuse(format!("the rules called `{target}`: there are the targets `shopify` and `omneo`"));
    }
    match &call.request {
        Request::Rest { path, body, .. } => {
            if let Err(why) = check_path(path) {
                return refuse(format!("the rules asked for a call that may not be sent: {why}"));
            }
            if body.as_deref().is_some_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_err()) {
                return refuse(format!("the body of `{}` is not JSON", call.line()));
            }
        }
        Request::Graphql { variables, .. } => {
            if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(variables).is_err() {
                return refuse(format!("the variables of `{}` are not a JSON object", call.line()));
            }
        }
    }
    Ok(())
}
