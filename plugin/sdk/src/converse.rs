//! Holds whole conversations with rules, without wasm and without a host, for tests of rules. Knows nothing of what the
//! calls and replies mean.

use crate::{Answer, Call, End, Event, Next, Reply, Rules, Value, step};

/// After this many passes, the rules are taken to loop for ever.
const PASSES_MAX: usize = 100;

/// Runs an event to its end. `answer` gives the reply to each call, and is asked in the order of the calls. Returns
/// every call that was made, and the ending.
///
/// Each pass is run as the host runs it: from the beginning, with all replies so far. Panics where [`step`] does, and
/// when the rules do not come to an end.
///
/// ```
/// use tandem_rules::DefaultRules;
/// use tandem_sdk::*;
///
/// let event = Event { topic: "locations/delete".into(), payload: r#"{"id": 7}"#.into(), ..event() };
/// let (calls, end) = converse(&DefaultRules::default(), &event, &[], |call| match &*call.line() {
///     "GET omneo /locations?filter[external_id]=7" => reply(200, json!({"data": []})),
///     unexpected => panic!("{unexpected}"),
/// });
/// assert_eq!((calls.len(), end.outcome), (1, Outcome::Skipped));
/// ```
pub fn converse<R: Rules>(
    rules: &R,
    event: &Event,
    memory: &[String],
    mut answer: impl FnMut(&Call) -> Reply,
) -> (Vec<Call>, End) {
    let (mut calls, mut replies) = (vec![], vec![]);
    while replies.len() < PASSES_MAX {
        match step(rules, event, memory, replies.clone()) {
            Next::Send(mut send) => {
                replies.push(send.calls.iter().map(&mut answer).collect());
                calls.append(&mut send.calls);
            }
            Next::End(end) => return (calls, end),
        }
    }
    panic!("the rules have not ended after {PASSES_MAX} passes")
}

/// An answer with this status and a body of JSON, as a target would give it.
pub fn reply(status: u16, body: Value) -> Reply {
    Reply::Answer(Answer { status, headers: vec![], body: body.to_string() })
}
