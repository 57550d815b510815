//! Runs a case: a folder with an event and the conversation that it must lead to.
//!
//! Knows cases, and runs them as the host runs events, with the same checks and limits; sends nothing and keeps nothing.
//! `tandem test`, a deploy and the tests all come here, so that none of them drifts from what production does.

mod bench;
mod case;
mod layout;
mod report;
mod request;
mod trace;
mod transcript;

use crate::check::Key;
use crate::conversation::Conversation;
use crate::lookup::{self, Lookup};
use crate::model::{Call, End, Failure, Next, Outcome, Webhook};
use crate::rules::Manifest;
use crate::topics;

pub use crate::conversation::{Ask, Rules};
pub use bench::{Bench, Source};
pub use case::{Case, MEMORY_AFTER, MOMENT, Moment, PAYLOAD, RULES, TRANSCRIPT, find, memory_file, name_of};
pub use layout::text as laid_out;
pub use report::{Counts, Ran, Report, diff, json, summary};
pub use request::{Schema, refusal, unknown};
pub use trace::trace;
pub use transcript::{Exchange, Given, Pass, Transcript, one_line};

impl Case {
    /// Runs the event to its end, or up to a call for which the case has no reply. Each call is looked at as it is
    /// written, GraphQL against the schema if there is one.
    pub fn run(&self, rules: &Rules, schema: Option<&Schema>) -> Report {
        let mut conversation = Conversation::new(rules, &self.event, &self.memory);
        let mut run = Run { case: self, sent: vec![], transcript: Transcript::default() };
        let mut after = vec![];
        let ending = match conversation.key() {
            Key::Entity(entity) => {
                after = entity.after;
                run.converse(&mut conversation)
            }
            Key::Over(outcome, blame, reason) => {
                let blame = blame.map(|blame| format!(" ({})", blame.name())).unwrap_or_default();
                Some(Ending { outcome, text: format!("{}: {reason}{blame}", outcome.name()), memory: None })
            }
        };
        let outcome = ending.as_ref().map(|ending| ending.outcome);
        let (text, memory) = ending.map_or((transcript::UNKNOWN.into(), None), |end| (end.text, end.memory));
        run.transcript.end = transcript::one_line(&text);
        let exchanges: Vec<_> = run.transcript.passes.iter().flat_map(|pass| &pass.exchanges).collect();
        let missing = exchanges.iter().filter(|exchange| exchange.reply.is_none());
        Report {
            missing: missing.map(|exchange| exchange.line.clone()).collect(),
            refused: run.sent.iter().filter_map(|call| refusal(call, schema)).collect(),
            unknown: run.sent.iter().filter_map(unknown).collect(),
            unheard: unheard(&self.event.webhook, rules.manifest),
            sent: run.sent,
            outcome,
            expected: self.transcript.as_ref().map(Transcript::render),
            actual: run.transcript.render(),
            memory_expected: self.memory_after.as_deref().map(layout::text),
            memory_actual: layout::text(memory.as_ref().or(self.memory.first()).map_or("", String::as_str)),
            remembered: memory,
            names: conversation.names().learned.clone(),
            after,
            asks: conversation.into_asks().0,
            transcript: run.transcript,
        }
    }
}

/// Why rules are not asked about a webhook, with the topic that was probably meant.
fn unheard(webhook: &Webhook, manifest: &Manifest) -> Option<String> {
    let heard = manifest.listens.iter().map(|(_, topic)| topic.as_str());
    let (topic, source) = (&webhook.topic, &webhook.source);
    let hint = topics::hint(topic, heard);
    (!manifest.hears(webhook)).then(|| format!("the rules do not listen to `{topic}` of {source}{hint}"))
}

/// How an event ended, and what it leaves behind if not what was there before.
struct Ending {
    outcome: Outcome,
    text: String,
    memory: Option<String>,
}

struct Run<'a> {
    case: &'a Case,
    sent: Vec<Call>,
    transcript: Transcript,
}

impl Run<'_> {
    /// `None` when a reply is missing.
    fn converse(&mut self, conversation: &mut Conversation) -> Option<Ending> {
        let passes = self.case.transcript.iter().flat_map(|transcript| &transcript.passes);
        let mut recorded: Vec<&Exchange> = passes.flat_map(|pass| &pass.exchanges).collect();
        loop {
            match conversation.go_on() {
                Ok((Next::Send { calls, .. }, names)) => {
                    let known = &conversation.names().learned;
                    let exchanges = calls.iter().map(|call| exchange(call, &mut recorded, known)).collect();
                    let pass = Pass { names, exchanges };
                    let given =
                        pass.exchanges.iter().map(|exchange| exchange.reply.clone()).collect::<Option<Vec<_>>>();
                    self.transcript.passes.push(pass);
                    self.sent.extend(calls);
                    conversation.answer(given?.into_iter().map(|given| given.reply).collect());
                }
                Ok((Next::End(End { outcome, reason, memory, .. }), names)) => {
                    self.transcript.names = names;
                    return Some(Ending { outcome, text: format!("{}: {reason}", outcome.name()), memory });
                }
                Err(failure) => return Some(failed(failure)),
            }
        }
    }
}

fn failed(failure: Failure) -> Ending {
    let text = format!("{}: {} ({})", Outcome::Failed.name(), failure.reason, failure.blame.name());
    Ending { outcome: Outcome::Failed, text, memory: None }
}

/// The call with the reply that the case gives to it: to the same call, or else to the same request with another body.
/// Each reply is given once. A question to the host without one is answered as a host would that knows of this event only,
/// and so of these names.
fn exchange(call: &Call, recorded: &mut Vec<&Exchange>, known: &[String]) -> Exchange {
    let asked = Exchange::of(call);
    let same = recorded.iter().position(|known| known.line == asked.line && known.body == asked.body);
    let similar = || recorded.iter().position(|known| known.line == asked.line);
    let reply = same.or_else(similar).and_then(|n| recorded.remove(n).reply.clone());
    let by_host = || {
        let Lookup::Names(name) = Lookup::of(call)?;
        Some(Given::of(lookup::answer(if known.contains(&name) { known } else { &[] })))
    };
    Exchange { reply: reply.or_else(by_host), ..asked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limits, Usage};
    use crate::model::{Effect, Entity, Method, Names, Request};
    use crate::rules::{Asked, Target};

    fn asked<T>(answer: T) -> Asked<T> {
        Asked { result: Ok(answer), usage: Usage::default(), limits: Limits::for_input(0), log: vec![] }
    }

    /// Runs a case whose transcript is this, through rules that make this call first and then end.
    fn run(transcript: &str, target: &str, names: &[&str]) -> Report {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("shopify/orders-paid/a-case");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("payload.json"), "{}").unwrap();
        std::fs::write(dir.join("transcript.http"), transcript).unwrap();
        let manifest = Manifest {
            name: "test".into(),
            version: "1".into(),
            listens: vec![("shopify".into(), "orders/paid".into())],
            targets: vec![Target { name: "omneo".into(), api_version: String::new(), scopes: vec![] }],
            settings: vec![],
            pulls: vec![],
        };
        let request = Request::Rest { method: Method::Get, path: "/profiles".into(), query: vec![], body: None };
        let call = Call { target: target.into(), request, effect: Effect::Read };
        let learned = names.iter().map(|name| (*name).to_owned()).collect();
        let names = Names { learned, retired: vec![] };
        let end = End { outcome: Outcome::Done, reason: "seen".into(), memory: None, names: Names::default() };
        let rules = Rules {
            manifest: &manifest,
            key: Box::new(|_| asked(Ok(Entity { names: vec!["shopify/order/1".into()], after: vec![] }))),
            step: Box::new(move |_, _, replies| match replies.len() {
                0 => asked(Next::Send { calls: vec![call.clone()], names: names.clone() }),
                _ => asked(Next::End(end.clone())),
            }),
        };
        Case::read(&dir).unwrap().run(&rules, None)
    }

    #[test]
    fn a_conversation_is_held_as_it_is_written() {
        let talk = "@ omneo/profile/2b1c\nGET omneo /profiles\n< 404\n\n= done: seen\n";
        let report = run(talk, "omneo", &["omneo/profile/2b1c", "shopify/order/1"]);
        assert_eq!((report.wrong(), report.sent.len(), report.asks.len()), (None, 1, 3));
    }

    #[test]
    fn what_the_host_would_not_do_the_sandbox_does_not_either() {
        let end = |target, names: &[&str]| run("= ?\n", target, names).actual;
        assert_eq!(
            end("shopify", &[]),
            "= failed: the rules called `shopify`, which their manifest does not declare as a target (plugin)\n"
        );
        assert_eq!(
            end("omneo", &["shopify/order/2"]),
            "= failed: the rules concluded that `shopify/order/1` and `shopify/order/2` are one, which only an event may say (plugin)\n"
        );
    }

    #[test]
    fn a_call_without_a_reply_stops_the_run() {
        let report = run("= ?\n", "omneo", &[]);
        assert_eq!(
            (report.actual.as_str(), &report.missing[..]),
            ("GET omneo /profiles\n< ?\n\n= ?\n", &["GET omneo /profiles".to_owned()][..])
        );
    }
}
