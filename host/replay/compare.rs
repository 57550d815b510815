//! Asks a candidate about one event, with the recorded memory and replies, and says what is different from the record.
//!
//! Knows the checks that a run goes through; reads no journal and keeps nothing, so that a shadow run can use it too.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference::{Change, Class, Difference, changes, parsed};
use super::replies::Replies;
use crate::check::Key;
use crate::compliance;
use crate::conversation::{Conversation, Rules};
use crate::journal::{Recorded, Run};
use crate::model::{Blame, End, Entity, Failure, Names, Next, Outcome};

/// Compares what became of a recorded event with what a candidate would have made of it.
pub fn compare(recorded: &Recorded, rules: &Rules) -> Difference {
    let webhook = &recorded.event.webhook;
    let mut difference = Difference {
        event: recorded.event.id,
        topic: format!("{} {}", webhook.source, webhook.topic),
        class: Class::Identical,
        note: String::new(),
        reason: String::new(),
        key_differs: false,
        changes: vec![],
        calls_asked: 0,
        calls_recorded: 0,
    };
    if let Some((class, note)) = aside(recorded, rules.manifest.hears(webhook)) {
        return Difference { class, note: note.unwrap_or_else(|| difference.topic.clone()), ..difference };
    }
    let nothing = Run::default();
    let run = recorded.run.as_ref().unwrap_or(&nothing);
    let mut talk =
        Talk { recorded, run, rules, replies: Replies::new(&run.passes), changes: vec![], names: Names::default() };
    let ended = talk.hold();
    let is_key = |change: &Change| change.call.is_none() && change.at.starts_with("/key");
    // An event whose topic was not listened to was in no lane, and leaves none.
    difference.key_differs = was_heard(recorded) && talk.changes.iter().any(is_key);
    (difference.calls_asked, difference.calls_recorded) = (talk.replies.taken(), talk.replies.all());
    difference.changes = talk.changes;
    // Changes of the event itself come after those of its calls.
    let order = |change: &Change| (change.call.is_none(), change.call.clone(), change.at.clone());
    difference.changes.sort_by_cached_key(order);
    match ended {
        Ended::Failed(reason) => {
            difference.class = Class::Failed;
            difference.note = in_short(&reason);
            difference.reason = reason;
        }
        // The topic was not listened to, so there is nothing to compare with.
        _ if !was_heard(recorded) => {
            let note = difference.topic.clone();
            return Difference { class: Class::NewlyHeard, note, changes: vec![], ..difference };
        }
        Ended::Diverged => difference.class = Class::Diverged,
        Ended::Over if !difference.changes.is_empty() => difference.class = Class::Different,
        Ended::Over => {}
    }
    difference
}

/// Why an event is not compared, if it is not. Without a note, its topic says enough.
fn aside(recorded: &Recorded, is_heard: bool) -> Option<(Class, Option<String>)> {
    if compliance::duty(&recorded.event.webhook).is_some() {
        return Some((Class::Host, None));
    }
    if recorded.is_redacted {
        return Some((Class::Redacted, None));
    }
    let Some((outcome, blame, _)) = &recorded.ending else {
        return Some((Class::Unfinished, Some("it waits".into())));
    };
    if *outcome == Outcome::Discarded {
        return Some((Class::Unfinished, Some("put away by a person".into())));
    }
    let is_by_rules = match &recorded.run {
        Some(run) => run.is_ended || is_failed_by_rules(recorded),
        // An event that was skipped by no version was dropped by an operator.
        None if *outcome == Outcome::Skipped => recorded.entity.is_none() && recorded.version.is_some(),
        None => recorded.entity.is_none() && (*outcome != Outcome::Failed || is_failed_by_rules(recorded)),
    };
    if !is_by_rules {
        let blame = blame.map(|blame| format!(", {}", blame.name())).unwrap_or_default();
        return Some((Class::Unfinished, Some(format!("{} by the host{blame}", outcome.name()))));
    }
    if !recorded.is_whole {
        return Some((Class::Incomplete, None));
    }
    match (was_heard(recorded), is_heard) {
        (false, false) => Some((Class::Unheard, None)),
        (true, false) => Some((Class::NoLongerHeard, None)),
        (_, true) => None,
    }
}

/// Whether its rules listened to the topic. If they did not, the event was skipped before they were asked.
fn was_heard(recorded: &Recorded) -> bool {
    let skipped = recorded.ending.as_ref().is_some_and(|(outcome, ..)| *outcome == Outcome::Skipped);
    recorded.run.is_some() || recorded.entity.is_some() || !skipped
}

fn is_failed_by_rules(recorded: &Recorded) -> bool {
    matches!(recorded.ending, Some((Outcome::Failed, Some(Blame::Plugin), _)))
}

/// The part of a reason before anything that rules or bodies say, which comes after a colon or semicolon, or in
/// backticks.
fn in_short(reason: &str) -> String {
    let own = reason.split(": ").next().unwrap_or_default().split(';').next().unwrap_or_default();
    let parts = own.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { part } else { "…" });
    parts.collect::<Vec<_>>().join("`")
}

enum Ended {
    Over,
    Diverged,
    Failed(String),
}

struct Talk<'a> {
    recorded: &'a Recorded,
    run: &'a Run,
    rules: &'a Rules<'a>,
    replies: Replies<'a>,
    changes: Vec<Change>,
    /// All names that the candidate has given.
    names: Names,
}

impl Talk<'_> {
    fn hold(&mut self) -> Ended {
        let mut conversation = Conversation::new(self.rules, &self.recorded.event, &self.run.memory);
        match conversation.key() {
            Key::Entity(entity) => self.compare_key(Some(&entity)),
            Key::Over(outcome, _, reason) => {
                self.compare_key(None);
                return self.end(&End { outcome, reason, memory: None, names: Names::default() });
            }
        }
        loop {
            let next = match conversation.go_on() {
                Ok((next, _)) => next,
                Err(Failure { reason, .. }) => {
                    let (outcome, names) = (Outcome::Failed, Names::default());
                    return self.end(&End { outcome, reason, memory: None, names });
                }
            };
            if self.was_refused(conversation.pass(), next.names()) {
                return Ended::Over;
            }
            self.names.learned.extend_from_slice(&next.names().learned);
            self.names.retired.extend_from_slice(&next.names().retired);
            match next {
                Next::Send { calls, .. } => match self.replies.answer(conversation.pass(), &calls, &mut self.changes) {
                    Some(given) => conversation.answer(given),
                    None => return Ended::Diverged,
                },
                Next::End(end) => return self.end(&end),
            }
        }
    }

    /// Whether the host refused these names at this ask. It would refuse them again, by what it knew then of other
    /// entities.
    fn was_refused(&self, ask: usize, names: &Names) -> bool {
        let then = self.run.names.get(ask).map(|names| sorted(&names.learned)).unwrap_or_default();
        is_failed_by_rules(self.recorded)
            && self.run.names.len() == ask + 1
            && !then.is_empty()
            && then == sorted(&names.learned)
    }

    fn compare_key(&mut self, now: Option<&Entity>) {
        let then = self.recorded.entity.as_ref();
        if then != now {
            let value = |entity: Option<&Entity>| match entity {
                Some(Entity { names, after }) => json!({"key": {"names": sorted(names), "after": sorted(after)}}),
                None => json!({}),
            };
            self.changes.extend(changes(None, &value(then), &value(now)));
        }
    }

    fn end(&mut self, end: &End) -> Ended {
        if end.outcome == Outcome::Failed && !is_failed_by_rules(self.recorded) {
            return Ended::Failed(end.reason.clone());
        }
        let Some((outcome, _, reason)) = &self.recorded.ending else { return Ended::Over };
        self.replies.finish(&mut self.changes);
        let (before, after) = (&self.run.memory, &self.run.memory_after);
        let memory = match end.memory.as_deref() {
            None => before.clone(),
            Some("") => vec![],
            Some(memory) => vec![memory.to_owned()],
        };
        let said = |names: &[Names]| {
            let learned = names.iter().flat_map(|names| &names.learned);
            json!({"learned": sorted(learned), "retired": sorted(names.iter().flat_map(|names| &names.retired))})
        };
        let then = ending(*outcome, reason, after, said(&self.run.names));
        let now = ending(end.outcome, &end.reason, &memory, said(std::slice::from_ref(&self.names)));
        self.changes.extend(changes(None, &then, &now));
        Ended::Over
    }
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    names.into_iter().map(String::as_str).collect()
}

fn ending(outcome: Outcome, reason: &str, memory: &[String], names: Value) -> Value {
    let mut ending = Map::new();
    ending.insert("outcome".into(), json!(outcome.name()));
    ending.insert("reason".into(), json!(reason));
    match memory {
        [] => {}
        [one] => drop(ending.insert("memory".into(), parsed(one))),
        several => drop(ending.insert("memory".into(), several.iter().map(|one| parsed(one)).collect())),
    }
    ending.insert("names".into(), names);
    Value::Object(ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limits, Usage};
    use crate::model::{Answer, Call, Effect, Event, EventId, Method, Reply, Request, Webhook};
    use crate::replay::Shape;
    use crate::rules::{Asked, Manifest, Target};

    fn asked<T>(result: Result<T, Failure>) -> Asked<T> {
        Asked { result, usage: Usage::default(), limits: Limits::for_input(0), log: vec![] }
    }

    fn put(id: &str, body: Value) -> Call {
        let path = format!("/profiles/{id}");
        let request = Request::Rest { method: Method::Put, path, query: vec![], body: Some(body.to_string()) };
        Call { target: "omneo".into(), request, effect: Effect::Repeatable }
    }

    fn answer(body: &str) -> Reply {
        Reply::Answer(Answer { status: 200, headers: vec![], body: body.into() })
    }

    /// An event that was done with these passes of calls; the reply to each is its own body.
    fn recorded(passes: Vec<Vec<Call>>) -> Recorded {
        let webhook = Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: "orders/paid".into(),
            delivery_id: None,
            occurred_at: String::new(),
            received_at: 0,
            api_version: String::new(),
            payload: "{}".into(),
        };
        let names = vec![Names::default(); passes.len() + 1];
        let replied = |call: Call| (call.clone(), Some(answer(call.body())));
        let passes = passes.into_iter().map(|calls| calls.into_iter().map(replied).collect()).collect();
        Recorded {
            event: Event { id: EventId(7), webhook },
            entity: Some(entity()),
            is_redacted: false,
            version: None,
            ending: Some((Outcome::Done, None, "fine".into())),
            run: Some(Run { passes, names, is_ended: true, ..Run::default() }),
            is_whole: true,
        }
    }

    fn entity() -> Entity {
        Entity { names: vec!["shopify/order/1".into()], after: vec!["shopify/customer/2".into()] }
    }

    fn fine() -> End {
        End { outcome: Outcome::Done, reason: "fine".into(), memory: None, names: Names::default() }
    }

    fn manifest() -> Manifest {
        Manifest {
            name: "test".into(),
            version: "1".into(),
            listens: vec![("shopify".into(), "orders/paid".into())],
            targets: vec![Target { name: "omneo".into(), api_version: String::new(), scopes: vec![] }],
            settings: vec![],
            pulls: vec![],
        }
    }

    /// Compares a record with rules that ask for these passes and end in this way.
    fn through(recorded: &Recorded, passes: &[Vec<Call>], end: &End) -> Difference {
        through_key(recorded, passes, end, entity())
    }

    fn through_key(recorded: &Recorded, passes: &[Vec<Call>], end: &End, key: Entity) -> Difference {
        let manifest = manifest();
        let step = |_: &Event, _: &[String], replies: &[Vec<Reply>]| {
            asked(Ok(match passes.get(replies.len()) {
                Some(calls) => Next::Send { calls: calls.clone(), names: Names::default() },
                None => Next::End(end.clone()),
            }))
        };
        let key = move |_: &Event| asked(Ok(Ok(key.clone())));
        compare(recorded, &Rules { manifest: &manifest, key: Box::new(key), step: Box::new(step) })
    }

    fn told(difference: &Difference) -> Vec<String> {
        let line = |change: &Change| {
            let Shape { call, change: kind, .. } = change.shape();
            format!("{}{} {kind:?}", call.unwrap_or_default(), change.at)
        };
        difference.changes.iter().map(line).collect()
    }

    #[test]
    fn the_order_of_calls_in_a_pass_and_of_keys_in_a_body_does_not_matter() {
        let (one, two) = (put("1", json!({"a": 1, "b": 2})), put("2", json!({"a": 2})));
        let other = put("1", json!({"b": 2, "a": 1}));
        let recorded = recorded(vec![vec![one.clone(), two.clone()]]);
        for pass in [[one.clone(), two.clone()], [two.clone(), one], [two, other]] {
            let difference = through(&recorded, &[pass.to_vec()], &fine());
            assert_eq!((difference.class, told(&difference)), (Class::Identical, vec![]));
            assert_eq!((difference.calls_asked, difference.calls_recorded), (2, 2));
        }
    }

    /// Two calls to one place, both with another value: each is compared with the recorded call that it is most like.
    #[test]
    fn a_call_stands_for_the_one_that_differs_least() {
        let body = |id: u32, price: &str| put("7", json!({"id": id, "price": price, "unit": "AUD"}));
        let recorded = recorded(vec![vec![body(1, "1.00"), body(2, "2.00")]]);
        let (one, two) = (body(1, "1.10"), body(2, "2.20"));
        for pass in [[one.clone(), two.clone()], [two, one]] {
            let difference = through(&recorded, &[pass.to_vec()], &fine());
            let at = "PUT omneo /profiles/*/body/price Changed";
            assert_eq!((difference.class, told(&difference)), (Class::Different, vec![at.to_owned(); 2]));
            let now: Vec<_> = difference.changes.iter().map(|change| change.now.clone().unwrap()).collect();
            assert!(now.contains(&json!("1.10")) && now.contains(&json!("2.20")));
        }
    }

    #[test]
    fn a_pass_that_is_gone_does_not_move_the_others() {
        let (read, write) = (put("1", json!({"a": 1})), put("2", json!({"a": 2})));
        let recorded = recorded(vec![vec![read.clone()], vec![write.clone()], vec![read.clone()]]);
        let difference = through(&recorded, &[vec![write.clone()], vec![read.clone()]], &fine());
        assert_eq!(told(&difference), ["PUT omneo /profiles/* Removed"]);
        let difference = through(&recorded, &[vec![write, read.clone()], vec![read]], &fine());
        assert_eq!(difference.class, Class::Different);
        assert_eq!(told(&difference), ["PUT omneo /profiles/*/pass Changed"; 2]);
    }

    #[test]
    fn the_reply_to_the_same_call_is_given_the_later_one_after_a_later_one() {
        let (read, write) = (put("1", json!({})), put("2", json!({})));
        let mut recorded = recorded(vec![vec![read.clone()], vec![write.clone()], vec![read.clone()]]);
        recorded.run.as_mut().unwrap().passes[2][0].1 = Some(answer("as written"));
        let manifest = manifest();
        let heard = std::sync::Mutex::new(vec![]);
        let step = |_: &Event, _: &[String], replies: &[Vec<Reply>]| {
            *heard.lock().unwrap() = replies.to_vec();
            asked(Ok(match replies.len() {
                0 => Next::Send { calls: vec![write.clone()], names: Names::default() },
                1 => Next::Send { calls: vec![read.clone()], names: Names::default() },
                _ => Next::End(fine()),
            }))
        };
        compare(
            &recorded,
            &Rules { manifest: &manifest, key: Box::new(|_| asked(Ok(Ok(entity())))), step: Box::new(step) },
        );
        assert_eq!(heard.lock().unwrap()[1], [answer("as written")]);
    }

    #[test]
    fn it_goes_as_far_as_there_are_replies() {
        let (one, two) = (put("1", json!({})), put("2", json!({})));
        let recorded = recorded(vec![vec![one.clone()], vec![two]]);
        let difference = through(&recorded, &[vec![one], vec![put("3", json!({}))]], &fine());
        assert_eq!((difference.class, difference.calls_asked, difference.calls_recorded), (Class::Diverged, 1, 2));
        assert_eq!(told(&difference), ["PUT omneo /profiles/* Added"]);
    }

    #[test]
    fn another_key_is_told_for_itself() {
        let recorded = recorded(vec![]);
        let mut key = entity();
        key.names.push("shopify/order/9".into());
        let difference = through_key(&recorded, &[], &fine(), key);
        assert_eq!((difference.class, difference.key_differs), (Class::Different, true));
        assert_eq!(told(&difference), ["/key/names/1 Added"]);
        let difference = through(&recorded, &[], &End { reason: "other".into(), ..fine() });
        assert_eq!((difference.key_differs, told(&difference)), (false, vec!["/reason Changed".to_owned()]));
    }

    #[test]
    fn a_topic_newly_heard_is_only_tried() {
        let mut recorded = recorded(vec![]);
        (recorded.entity, recorded.run) = (None, None);
        recorded.ending = Some((Outcome::Skipped, None, "not mapped".into()));
        // No version skipped it, so an operator had it dropped.
        assert_eq!(through(&recorded, &[], &fine()).class, Class::Unfinished);
        recorded.version = Some("0123".into());
        let difference = through(&recorded, &[vec![put("1", json!({}))]], &fine());
        assert_eq!((difference.class, difference.key_differs), (Class::NewlyHeard, false));
        assert_eq!((difference.note.as_str(), told(&difference)), ("shopify orders/paid", vec![]));
        let call = Call { target: "stripe".into(), ..put("1", json!({})) };
        let difference = through(&recorded, &[vec![call]], &fine());
        assert_eq!((difference.class, difference.key_differs), (Class::Failed, false));
    }

    #[test]
    fn what_is_remembered_is_compared_by_what_is_left() {
        let remembering = |before: &[&str], after: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let mut recorded = recorded(vec![]);
            let run = recorded.run.as_mut().unwrap();
            (run.memory, run.memory_after) = (texts(before), texts(after));
            recorded
        };
        let end = |memory: Option<&str>| End { memory: memory.map(str::to_owned), ..fine() };
        let told = |recorded: Recorded, memory| told(&through(&recorded, &[], &end(memory)));
        let nothing: Vec<String> = vec![];
        assert_eq!(told(remembering(&[r#"{"a":1}"#], &[r#"{"a":1}"#]), None), nothing);
        assert_eq!(told(remembering(&[r#"{"a":1}"#], &[r#"{"a":1}"#]), Some(r#"{ "a": 1 }"#)), nothing);
        assert_eq!(told(remembering(&[], &[]), Some("")), nothing);
        assert_eq!(told(remembering(&[r#"{"a":1}"#], &[]), None), ["/memory Added"]);
        assert_eq!(told(remembering(&[], &[r#"{"a":1}"#]), Some(r#"{"a":2}"#)), ["/memory/a Changed"]);
    }

    #[test]
    fn a_failure_that_the_record_has_too_is_none_of_the_candidates() {
        let mut recorded = recorded(vec![]);
        let failing = |reason: &'static str| {
            let manifest = manifest();
            let step = move |_: &Event, _: &[String], _: &[Vec<Reply>]| asked(Err(Failure::new(Blame::Plugin, reason)));
            let key = |_: &Event| asked(Ok(Ok(entity())));
            move |recorded: &Recorded| {
                let rules = Rules { manifest: &manifest, key: Box::new(key), step: Box::new(step) };
                compare(recorded, &rules).class
            }
        };
        assert_eq!(failing("it broke")(&recorded), Class::Failed);
        recorded.ending = Some((Outcome::Failed, Some(Blame::Plugin), "it broke".into()));
        recorded.run.as_mut().unwrap().is_ended = false;
        assert_eq!(failing("it broke")(&recorded), Class::Identical);
        assert_eq!(failing("elsewhere")(&recorded), Class::Different);
        // Names that the host refused, by what it knew of other entities.
        let names = Names { learned: vec!["omneo/profile/1".into()], retired: vec![] };
        recorded.run.as_mut().unwrap().names = vec![names.clone()];
        let end = End { names, ..fine() };
        assert_eq!(through(&recorded, &[], &end).class, Class::Identical);
        assert_eq!(through(&recorded, &[], &fine()).class, Class::Different);
    }

    #[test]
    fn a_reason_in_short_is_what_the_host_says() {
        assert_eq!(
            in_short("the rules panicked at src/lib.rs:5:3: Ada is no number"),
            "the rules panicked at src/lib.rs:5:3"
        );
        assert_eq!(
            in_short("the rules trapped (unreachable); the last line of their log: Ada"),
            "the rules trapped (unreachable)"
        );
        assert_eq!(in_short("the rules gave the name `ada@b.c`, which"), "the rules gave the name `…`, which");
    }
}
