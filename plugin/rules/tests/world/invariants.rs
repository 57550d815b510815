//! What must be true of every run, whatever its outcome (RULES §4.2). Looks only at calls, replies and memories.

use std::collections::BTreeMap;

use tandem_sdk::{Call, Effect, Method, Outcome, Reply, Request, Value};

use super::World;
use super::host::Ended;

/// The keys of Omneo's profiles that the rules write.
const WRITTEN: [&str; 5] = ["first_name", "last_name", "email", "mobile_phone", "secondary_phone"];

/// All faults of the runs that are over.
pub fn broken(world: &World) -> Vec<String> {
    let mut bad = vec![];
    for ended in &world.host.ended {
        let found = [unread(ended), needless(ended), erased(ended), turned_back(ended), values_kept(ended)];
        let name = |what: String| format!("{} {}: {what}", ended.event.topic, ended.event.id);
        bad.extend(found.into_iter().flatten().map(name));
    }
    bad
}

fn passes(ended: &Ended) -> impl Iterator<Item = (&Vec<Call>, Option<&Vec<Reply>>)> {
    ended.sent.iter().enumerate().map(|(n, calls)| (calls, ended.replies.get(n)))
}

/// I3: there is no write without a read of the same side in the same event.
fn unread(ended: &Ended) -> Vec<String> {
    let (mut read, mut bad) = (vec![], vec![]);
    for (calls, _) in passes(ended) {
        for call in calls.iter().filter(|call| call.effect != Effect::Read) {
            if !read.contains(&call.target) {
                bad.push(format!("I3: `{}` without a read before it", call.line()));
            }
        }
        read.extend(calls.iter().filter(|call| call.effect == Effect::Read).map(|call| call.target.clone()));
    }
    bad
}

fn body(call: &Call) -> Option<(&str, Value)> {
    let Request::Rest(rest) = &call.request else { return None };
    let id = rest.path.strip_prefix("/profiles/").filter(|id| rest.method == Method::Put && !id.contains('/'))?;
    Some((id, serde_json::from_str(rest.body.as_deref()?).ok()?))
}

/// For every write of a profile: the profile in the latest reply before it, and the body written.
fn writes_of_profiles(ended: &Ended) -> Vec<(Value, Value)> {
    let (mut shown, mut writes) = (BTreeMap::new(), vec![]);
    for (calls, replies) in passes(ended) {
        for (id, body) in calls.iter().filter_map(body) {
            writes.push((shown.get(id).cloned().unwrap_or_default(), body));
        }
        for reply in replies.into_iter().flatten() {
            let Reply::Answer(answer) = reply else { continue };
            let data = serde_json::from_str::<Value>(&answer.body).unwrap_or_default()["data"].take();
            if let Some(id) = data["id"].as_str().filter(|_| data["email"].is_string()) {
                shown.insert(id.to_owned(), data.clone());
            }
        }
    }
    writes
}

/// I4: no value is written that the target already shows.
fn needless(ended: &Ended) -> Vec<String> {
    let mut bad = vec![];
    for (shown, body) in writes_of_profiles(ended) {
        let same = |key: &&&str| body.get(**key).is_some_and(|value| *value == shown[**key] && !value.is_null());
        bad.extend(WRITTEN.iter().filter(same).map(|key| format!("I4: `{key}` is written as it is: {body}")));
    }
    bad
}

/// I5: no value that Omneo requires is written as null.
fn erased(ended: &Ended) -> Vec<String> {
    let mut bad = vec![];
    for (_, body) in writes_of_profiles(ended) {
        let is_null = |key: &&&str| body.get(**key).is_some_and(Value::is_null);
        bad.extend(WRITTEN[..3].iter().filter(is_null).map(|key| format!("I5: `{key}` is erased")));
    }
    bad
}

/// I6: a clock never goes back while the two halves stay the same.
fn turned_back(ended: &Ended) -> Vec<String> {
    let read = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (Some(before), Some(after)) = (ended.memory.first().map(read), ended.end.memory.as_ref().map(read)) else {
        return vec![];
    };
    let clock = |memory: &Value, key: &str| memory["clock"][key].as_i64().unwrap_or_default();
    let is_back = |key: &&&str| before["link"] == after["link"] && clock(&after, key) < clock(&before, key);
    ["merged", "wrote"].iter().filter(is_back).map(|key| format!("I6: the clock `{key}` went back")).collect()
}

/// No value of a field is stored in a memory.
fn values_kept(ended: &Ended) -> Vec<String> {
    let kept = ended.end.memory.iter().filter(|memory| memory.contains('@'));
    kept.map(|memory| format!("an e-mail address is remembered: {memory}")).collect()
}

/// I10: every event is sent once more, and nothing may be written.
pub fn is_at_rest(world: &mut World) {
    let events = std::mem::take(&mut world.delivered);
    world.clean_slate();
    for event in events {
        world.send(1, event);
        assert!(world.rest());
    }
    let wrote = |ended: &&Ended| ended.end.outcome == Outcome::Done;
    let done: Vec<_> = world.host.ended.iter().filter(wrote).map(|ended| &ended.end.reason).collect();
    assert_eq!((world.writes.len(), done.len()), (0, 0), "{:?} {done:?}", world.writes);
}

/// Asserts that every run is correct, that no event waits for a person, and that a repetition of all events changes
/// nothing.
pub fn hold(world: &mut World) {
    assert_eq!(broken(world), Vec::<String>::new());
    is_at_rest(world);
    assert_eq!(broken(world), Vec::<String>::new());
}
