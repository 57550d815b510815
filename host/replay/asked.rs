//! Finds what a version would ask for if a recorded event began again: with what is remembered now, and the replies of
//! then. Keeps nothing, and compares nothing.

use super::replies::Replies;
use crate::check::Key;
use crate::conversation::{Conversation, Rules};
use crate::journal::Recorded;
use crate::model::{Call, Effect, EventId, Failure, Next, Outcome, Reply};

#[derive(Clone, Debug, PartialEq)]
pub struct AskedAgain {
    pub event: EventId,
    /// Source and topic.
    pub topic: String,
    pub calls: Vec<AskedCall>,
    pub ends: Ends,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AskedCall {
    pub call: Call,
    /// The call may not be sent twice, and was answered in the last run: that reply is taken instead.
    pub is_answered: bool,
}

/// How far it is known what the version would ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ends {
    Over(Outcome, String),
    /// What comes after these calls depends on replies that nobody has.
    Open,
    Failed(String),
}

/// Asks a version about an event as if it began now.
pub fn ask_again(recorded: &Recorded, memory: &[String], rules: &Rules) -> AskedAgain {
    let event = &recorded.event;
    let topic = format!("{} {}", event.webhook.source, event.webhook.topic);
    let mut asked = AskedAgain { event: event.id, topic, calls: vec![], ends: Ends::Open };
    let mut conversation = Conversation::new(rules, event, memory);
    if let Key::Over(outcome, _, reason) = conversation.key() {
        return AskedAgain { ends: Ends::Over(outcome, reason), ..asked };
    }
    let passes = recorded.run.as_ref().map(|run| &run.passes[..]).unwrap_or_default();
    let is_answered = |call: &Call| {
        call.effect == Effect::Once
            && passes.iter().flatten().any(|(then, reply)| then == call && is_done(reply.as_ref()))
    };
    let mut recorded = Replies::new(passes);
    loop {
        match conversation.go_on() {
            Err(Failure { reason, .. }) => return AskedAgain { ends: Ends::Failed(reason), ..asked },
            Ok((Next::End(end), _)) => return AskedAgain { ends: Ends::Over(end.outcome, end.reason), ..asked },
            Ok((Next::Send { calls, .. }, _)) => {
                let given = recorded.answer(conversation.pass(), &calls, &mut vec![]);
                asked.calls.extend(calls.into_iter().map(|call| AskedCall { is_answered: is_answered(&call), call }));
                match given {
                    Some(given) => conversation.answer(given),
                    None => return asked,
                }
            }
        }
    }
}

fn is_done(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Answer(answer)) if (200..300).contains(&answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limits, Usage};
    use crate::journal::Run;
    use crate::model::{Answer, End, Entity, Event, Method, Names, Request, Webhook};
    use crate::rules::{Asked, Manifest, Target};

    fn call(path: &str, effect: Effect) -> Call {
        let request = Request::Rest { method: Method::Post, path: path.into(), query: vec![], body: Some("{}".into()) };
        Call { target: "omneo".into(), request, effect }
    }

    fn reply(status: u16) -> Option<Reply> {
        Some(Reply::Answer(Answer { status, headers: vec![], body: "{}".into() }))
    }

    fn recorded(passes: Vec<Vec<(Call, Option<Reply>)>>) -> Recorded {
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
        Recorded {
            event: Event { id: EventId(7), webhook },
            entity: None,
            is_redacted: false,
            version: None,
            ending: None,
            run: Some(Run { passes, ..Run::default() }),
            is_whole: true,
        }
    }

    fn asked<T>(result: Result<T, Failure>) -> Asked<T> {
        Asked { result, usage: Usage::default(), limits: Limits::for_input(0), log: vec![] }
    }

    /// Asks rules that ask for these passes, and then end with what is remembered.
    fn through(recorded: &Recorded, passes: &[Vec<Call>]) -> AskedAgain {
        let manifest = Manifest {
            name: "test".into(),
            version: "1".into(),
            listens: vec![("shopify".into(), "orders/paid".into())],
            targets: vec![Target { name: "omneo".into(), api_version: String::new(), scopes: vec![] }],
            settings: vec![],
            pulls: vec![],
        };
        let names = Names { learned: vec!["shopify/order/1".into()], retired: vec![] };
        let step = |_: &Event, memory: &[String], replies: &[Vec<Reply>]| {
            let end = End { outcome: Outcome::Done, reason: memory.join(""), memory: None, names: names.clone() };
            let send = |calls: &Vec<Call>| Next::Send { calls: calls.clone(), names: names.clone() };
            asked(Ok(passes.get(replies.len()).map_or(Next::End(end), send)))
        };
        let key = |_: &Event| asked(Ok(Ok(Entity { names: names.learned.clone(), after: vec![] })));
        ask_again(
            recorded,
            &["now".to_owned()],
            &Rules { manifest: &manifest, key: Box::new(key), step: Box::new(step) },
        )
    }

    #[test]
    fn what_may_not_be_sent_twice_and_was_answered_is_not_sent() {
        let all = [
            (call("/orders/1", Effect::Once), reply(201)),
            (call("/orders/2", Effect::Once), reply(500)),
            (call("/orders/3", Effect::Repeatable), reply(200)),
        ];
        let calls: Vec<_> = all.iter().map(|(call, _)| call.clone()).collect();
        let again = through(&recorded(vec![all.to_vec()]), &[calls]);
        let answered: Vec<_> = again.calls.iter().map(|call| call.is_answered).collect();
        assert_eq!((answered, again.ends), (vec![true, false, false], Ends::Over(Outcome::Done, "now".into())));
    }

    #[test]
    fn what_hangs_on_a_reply_that_nobody_has_is_left_open() {
        let known = call("/orders/1", Effect::Repeatable);
        let recorded = recorded(vec![vec![(known.clone(), reply(200))]]);
        let again = through(&recorded, &[vec![known], vec![call("/orders/2", Effect::Repeatable)], vec![]]);
        let lines: Vec<_> = again.calls.iter().map(|asked| asked.call.line()).collect();
        assert_eq!(
            (lines, again.ends),
            (vec!["POST omneo /orders/1".to_owned(), "POST omneo /orders/2".to_owned()], Ends::Open)
        );
    }
}
