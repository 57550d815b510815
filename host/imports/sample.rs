//! A sample of what rules would do about items: they are asked with real reads, until they would write. Nothing is written or
//! kept. Knows which calls only read, whatever rules say of them.

use apollo_compiler::ast::{Definition, Document, OperationType};
use tokio::task::spawn_blocking;

use crate::check;
use crate::delivery::{Delivery, Unread};
use crate::journal::{Journal, Sampled};
use crate::lookup::{self, Lookup};
use crate::model::{Answer, Call, Effect, End, Event, EventId, Failure, Method, Next, Reply, Request, Webhook};
use crate::rules::Plugin;

/// Items that are looked at in all, and those of one page.
pub const ITEMS_MAX: u64 = 200;
const OF_A_PAGE: usize = 20;
/// Things that the items of a collection would lead to that are told apart, the names of each, and the length of one.
const KINDS_MAX: usize = 30;
const NAMES_MAX: usize = 5;
const WHAT_CHARS_MAX: usize = 300;
/// The POST requests that only read, as Omneo's reference has them.
const READING_POSTS: [(&str, &str); 2] = [("omneo", "/profiles/search-id"), ("omneo", "/profiles/availability")];

/// Looks at some of a page's items, and adds to what is known of those before.
pub async fn sample(
    (journal, delivery): (&Journal, &Delivery),
    plugin: &Plugin,
    events: &[(String, Webhook)],
    before: &mut Vec<Sampled>,
    most: u64,
) -> Result<(), Unread> {
    let looked: u64 = before.iter().map(|sampled| sampled.items).sum();
    let some = usize::try_from(most.saturating_sub(looked)).unwrap_or(usize::MAX).min(OF_A_PAGE);
    for (name, webhook) in events.iter().take(some) {
        let tenant = webhook.tenant.clone();
        let event = Event { id: EventId(0), webhook: webhook.clone() };
        let what = would((journal, delivery), plugin, &tenant, event, name).await?;
        add(before, what, name);
    }
    Ok(())
}

fn add(sampled: &mut Vec<Sampled>, what: String, name: &str) {
    let mut what: String = what.chars().take(WHAT_CHARS_MAX).collect();
    if sampled.len() >= KINDS_MAX && sampled.iter().all(|one| one.what != what) {
        what = "something else".to_owned();
    }
    let at = sampled.iter().position(|one| one.what == what).unwrap_or_else(|| {
        sampled.push(Sampled { what, ..Sampled::default() });
        sampled.len() - 1
    });
    let one = &mut sampled[at];
    one.items += 1;
    if one.names.len() < NAMES_MAX {
        one.names.push(name.to_owned());
    }
}

/// What the rules would do about an event.
async fn would(
    (journal, delivery): (&Journal, &Delivery),
    plugin: &Plugin,
    tenant: &str,
    event: Event,
    name: &str,
) -> Result<String, Unread> {
    let memory = journal.read(|reader| reader.remembered_at_rest(tenant, name, &[]));
    let memory = match memory {
        Ok(memory) => memory.unwrap_or_default(),
        Err(error) => return Ok(format!("could not be looked at: {error:#}")),
    };
    let mut replies: Vec<Vec<Reply>> = vec![];
    loop {
        let (asking, asked, known, said) = (plugin.clone(), event.clone(), memory.clone(), replies.clone());
        let next = spawn_blocking(move || {
            let said_of = asking.step(&asked, &known, &said).result;
            check::next(said_of, asking.manifest(), said.len())
        });
        let calls = match next.await {
            Ok(Ok(Next::Send { calls, .. })) => calls,
            Ok(Ok(Next::End(End { outcome, reason, .. }))) => {
                return Ok(format!("{}: {}", outcome.name(), plain(&reason)));
            }
            Ok(Err(Failure { reason, .. })) => return Ok(format!("the rules fail: {}", plain(&reason))),
            Err(error) => return Ok(format!("could not be looked at: {error}")),
        };
        let mut writes: Vec<_> =
            calls.iter().filter(|call| !only_reads(call)).map(|call| plain(&call.line())).collect();
        writes.dedup();
        if !writes.is_empty() {
            return Ok(format!("would write: {}", writes.join(", ")));
        }
        let mut answers = vec![];
        for call in &calls {
            let reply = match Lookup::of(call) {
                Some(Lookup::Names(name)) => {
                    let names = journal.read(|reader| reader.standing_names(tenant, &name)).unwrap_or_default();
                    lookup::answer(&names)
                }
                None => match delivery.read(tenant, call, plugin.manifest().api_version(&call.target)).await {
                    Ok(Answer { status, headers, body }) => Reply::Answer(Answer { status, headers, body }),
                    Err(Unread::GivenUp(why)) => return Ok(format!("could not be looked at: {}", plain(&why))),
                    Err(other) => return Err(other),
                },
            };
            answers.push(reply);
        }
        replies.push(answers);
    }
}

/// Whether sending a call changes nothing, so that it may be sent though nothing is to be written.
pub fn only_reads(call: &Call) -> bool {
    call.effect == Effect::Read
        && match &call.request {
            Request::Rest { method: Method::Get, .. } => true,
            Request::Rest { method: Method::Post, path, .. } => {
                READING_POSTS.iter().any(|(target, known)| *target == call.target && known == path)
            }
            Request::Rest { .. } => false,
            Request::Graphql { document, .. } => is_query(document),
        }
}

fn is_query(document: &str) -> bool {
    let Ok(document) = Document::parse(document, "call.graphql") else { return false };
    let reads = |definition: &Definition| match definition {
        Definition::OperationDefinition(operation) => operation.operation_type == OperationType::Query,
        Definition::FragmentDefinition(_) => true,
        _ => false,
    };
    document.definitions.iter().all(reads)
}

/// A text without the ids in it, so that what is the same for many reads the same.
fn plain(text: &str) -> String {
    let is_id = |word: &str| word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_digit());
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_alphanumeric() || letter == '-' {
            word.push(letter);
            continue;
        }
        plain.push_str(if is_id(&word) { "…" } else { &word });
        word.clear();
        plain.push(letter);
    }
    plain.pop();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(target: &str, method: Method, path: &str, effect: Effect) -> Call {
        Call {
            target: target.into(),
            request: Request::Rest { method, path: path.into(), query: vec![], body: None },
            effect,
        }
    }

    fn graphql(document: &str) -> Call {
        let request = Request::Graphql { document: document.into(), variables: "{}".into() };
        Call { target: "shopify".into(), request, effect: Effect::Read }
    }

    /// What rules say of a call is not believed.
    #[test]
    fn a_call_reads_if_it_cannot_write_and_not_because_rules_say_so() {
        for (call, reads) in [
            (rest("omneo", Method::Get, "/profiles/1", Effect::Read), true),
            (rest("omneo", Method::Get, "/profiles/1", Effect::Once), false),
            (rest("omneo", Method::Post, "/profiles/search-id", Effect::Read), true),
            (rest("shopify", Method::Post, "/profiles/search-id", Effect::Read), false),
            (rest("omneo", Method::Post, "/profiles/search-id/x", Effect::Read), false),
            (rest("omneo", Method::Post, "/profiles", Effect::Read), false),
            (rest("omneo", Method::Delete, "/profiles/1", Effect::Read), false),
            (graphql("{ shop { id } }"), true),
            (graphql("query A { shop { id } } fragment F on Shop { id }"), true),
            (graphql("mutation A { shop { id } }"), false),
            (graphql("fragment F on Shop { id } mutation A { shop { id } }"), false),
            (graphql("query A { shop { id } } mutation B { x }"), false),
            (graphql("# query\nmutation A { x }"), false),
            (graphql("subscription A { x }"), false),
            (graphql("query { "), false),
        ] {
            assert_eq!(only_reads(&call), reads, "{call:?}");
        }
    }

    #[test]
    fn what_would_happen_is_counted_by_kind() {
        let mut sampled = vec![];
        for n in 0..8 {
            let line =
                plain(&format!("would write: PUT omneo /profiles/9b1d{n}-4a/identities, GRAPHQL shopify UpdatePerson"));
            add(&mut sampled, line, &format!("shopify/customer/{n}"));
        }
        assert_eq!(sampled.len(), 1);
        assert_eq!(sampled[0].what, "would write: PUT omneo /profiles/…/identities, GRAPHQL shopify UpdatePerson");
        assert_eq!((sampled[0].items, sampled[0].names.len()), (8, NAMES_MAX));
        for n in 0..2 * KINDS_MAX {
            add(&mut sampled, format!("kind {}", "x".repeat(n)), "shopify/customer/9");
        }
        assert_eq!(sampled.len(), KINDS_MAX + 1);
        assert_eq!(sampled.last().unwrap().what, "something else");
        assert_eq!(sampled.iter().map(|one| one.items).sum::<u64>(), 8 + 2 * KINDS_MAX as u64);
    }
}
