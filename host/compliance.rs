//! Compliance: what the host itself does about the topics by which Shopify has data shown or redacted, or ends an app's
//! access. It does that whatever the rules listen to.
//!
//! Knows what these bodies say and what of the journal they concern; neither lanes nor who sends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock;
use crate::credentials::Access;
use crate::journal::{CallRow, EventRow, Journal, Reader, Redacted, RunRow};
use crate::model::{self, End, Entity, Event, EventId, Outcome, Reply, Webhook};
use crate::rules::Manifest;

mod subject;

use subject::{Relation, Subject, email_of, is_person};

/// Events that are searched in one read, so that the journal's log of writes can soon be emptied again.
const EVENTS_PER_READ: usize = 500;
/// The entity of events about the app itself.
const APP: &str = "shopify/app/own";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    RedactCustomer,
    ShowCustomer,
    RedactShop,
    Uninstalled,
    Scopes,
}

impl Duty {
    /// Whether the event says that the app has no access any more.
    pub fn ends_access(self) -> bool {
        matches!(self, Self::RedactShop | Self::Uninstalled)
    }
}

/// Whether to believe an event that says that the app has no access any more. `None`: the shop does not let the app in,
/// so the event is believed. Otherwise gives how the event ends: it is from before the app was installed again, or
/// forged, or a person has to look. An error: it may be clearer later.
pub fn believed(duty: Duty, access: Access, end: End) -> anyhow::Result<Option<End>> {
    let erases = duty == Duty::RedactShop;
    let person = |why: String| {
        let reason =
            format!("{why}; if the app is uninstalled, `tandem retry` has it carried out once the shop says so");
        Ok(Some(End { outcome: Outcome::Refused, reason, ..end.clone() }))
    };
    match access {
        Access::Refused => Ok(None),
        Access::LetIn(_) => {
            let reason = "the shop lets the app in, so it is not uninstalled, or is installed again".into();
            Ok(Some(End { outcome: Outcome::Skipped, reason, ..end }))
        }
        // A pause is undone in a moment, and an erasure never.
        Access::NotAccepted | Access::Frozen(_) if !erases => Ok(None),
        Access::NotAccepted => {
            person("Shopify does not accept the app's id and secret, which may be a mistake here".into())
        }
        Access::Frozen(status) => person(format!("the shop answers {status}, which does not say that the app is gone")),
        Access::Unclear(why) => anyhow::bail!("whether the shop lets the app in is not known: {why}"),
        Access::StaysUnclear(why) => person(format!("whether the shop lets the app in is not known: {why}")),
    }
}

/// The duty that the host itself has about an event, if any.
pub fn duty(webhook: &Webhook) -> Option<Duty> {
    duty_of(&webhook.source, &webhook.topic)
}

/// The same by source and topic.
pub fn duty_of(source: &str, topic: &str) -> Option<Duty> {
    match (source, topic) {
        ("shopify", "customers/redact") => Some(Duty::RedactCustomer),
        ("shopify", "customers/data_request") => Some(Duty::ShowCustomer),
        ("shopify", "shop/redact") => Some(Duty::RedactShop),
        ("shopify", "app/uninstalled") => Some(Duty::Uninstalled),
        ("shopify", "app/scopes_update") => Some(Duty::Scopes),
        _ => None,
    }
}

/// Whether the rules are asked about a duty, before the host does it: only about a redaction, and if they listen.
pub fn is_asked(duty: Duty, manifest: &Manifest) -> bool {
    let listens = |(source, topic): &(String, String)| source == "shopify" && topic == "customers/redact";
    duty == Duty::RedactCustomer && manifest.listens.iter().any(listens)
}

/// What a duty is about. A redaction waits for what is under way of the person and of the orders. Blocks.
pub fn key(reader: &Reader, event: &Event, duty: Duty, asked: Option<Entity>) -> anyhow::Result<Entity> {
    let app = || Entity { names: vec![APP.into()], after: vec![] };
    if duty != Duty::RedactCustomer {
        return Ok(app());
    }
    let Ok(subject) = Subject::read(&event.webhook.payload) else { return Ok(asked.unwrap_or_else(app)) };
    let subject = known(reader, &event.webhook.tenant, subject, event.id)?;
    let (people, others): (Vec<_>, Vec<_>) = subject.names.into_iter().partition(|name| is_person(name));
    // Only one name is given: several would make several entities one.
    let mut entity = asked.unwrap_or_else(|| match people.first() {
        Some(name) => Entity { names: vec![name.clone()], after: vec![] },
        None => app(),
    });
    entity.after.extend(people.into_iter().chain(others).filter(|name| !entity.names.contains(name)));
    Ok(entity)
}

/// Does a duty, once the rules have said how its event ends; gives how the event ends. May be done again: the end is
/// the same.
pub async fn fulfil(
    journal: &Journal,
    manifest: &Manifest,
    duty: Duty,
    event: &Event,
    end: End,
) -> anyhow::Result<End> {
    if end.outcome.is_dead_letter() {
        let reason = match duty {
            Duty::RedactCustomer => format!("{}; the journal is redacted when this is retried and done", end.reason),
            _ => end.reason,
        };
        return Ok(End { reason, ..end });
    }
    let mut outcome = Outcome::Done;
    let said = match duty {
        Duty::RedactCustomer | Duty::ShowCustomer => match Subject::read(&event.webhook.payload) {
            Err(why) => {
                outcome = Outcome::Invalid;
                why
            }
            Ok(subject) if duty == Duty::RedactCustomer => redact_customer(journal, event, subject).await?,
            Ok(subject) => show_customer(journal, event, subject).await?,
        },
        Duty::RedactShop => {
            redact_shop(journal, event).await?;
            let redacted = journal.read(|reader| reader.redacted_by(event.id))?;
            format!("{}, and everything remembered", counted(redacted))
        }
        Duty::Uninstalled => {
            let tenant = &event.webhook.tenant;
            journal.pause_uninstalled(tenant).await?;
            format!("shopify takes no calls until `tandem resume {tenant} shopify`: the app was uninstalled")
        }
        Duty::Scopes => scopes(&event.webhook.payload, manifest),
    };
    let reason = if end.reason.is_empty() { said } else { format!("{}; {said}", end.reason) };
    Ok(End { outcome, reason, ..end })
}

async fn redact_customer(journal: &Journal, event: &Event, subject: Subject) -> anyhow::Result<String> {
    let (by, tenant) = (event.id, event.webhook.tenant.clone());
    let searching = journal.clone();
    let found = tokio::task::spawn_blocking(move || {
        searching.read(|reader| {
            let subject = known(reader, &tenant, subject.clone(), by)?;
            find(reader, &tenant, &subject, by)
        })
    });
    let found = found.await??;
    let mut events: Vec<_> = found.theirs.into_iter().chain(found.mentions).collect();
    // The event itself is redacted at its end.
    events.push(by);
    journal.redact(by, &events).await?;
    // The memory of its own lane goes with its end, so that the rules can be asked again until then.
    let own = own_names(journal, event)?;
    let others = found.people.into_iter().filter(|name| !own.contains(name)).collect();
    journal.forget(&event.webhook.tenant, others, by).await?;
    Ok(counted(journal.read(|reader| reader.redacted_by(by))?))
}

/// Every name of the entity whose lane an event is in.
fn own_names(journal: &Journal, event: &Event) -> anyhow::Result<BTreeSet<String>> {
    journal.read(|reader| {
        let mut own = BTreeSet::new();
        for name in reader.show(event.id)?.map(|(row, _)| row.names).unwrap_or_default() {
            own.extend(reader.names_with(&event.webhook.tenant, &name)?);
        }
        Ok(own)
    })
}

/// Redacts everything of the tenant up to this event, which is included. Events that are not over are cut off, since
/// the app has no access any more.
async fn redact_shop(journal: &Journal, event: &Event) -> anyhow::Result<()> {
    let (searching, tenant, by) = (journal.clone(), event.webhook.tenant.clone(), event.id);
    let events = tokio::task::spawn_blocking(move || searching.read(|reader| reader.unredacted(&tenant, by)));
    journal.redact(by, &events.await??).await?;
    journal.erase(&event.webhook.tenant, by).await
}

fn counted(redacted: Redacted) -> String {
    let Redacted { events, waiting, calls } = redacted;
    let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let later = if waiting > 0 { format!(", {waiting} of them when they are over") } else { String::new() };
    format!("redacted {} with {}{later}", plural(events, "event"), plural(calls, "call"))
}

async fn show_customer(journal: &Journal, event: &Event, subject: Subject) -> anyhow::Result<String> {
    let (searching, tenant, by) = (journal.clone(), event.webhook.tenant.clone(), event.id);
    let found = tokio::task::spawn_blocking(move || {
        searching.read(|reader| {
            let subject = known(reader, &tenant, subject.clone(), by)?;
            find(reader, &tenant, &subject, by)
        })
    });
    let found = found.await??;
    let (events, people) = (found.theirs.len(), found.people.len());
    Ok(format!("held: {events} events, under {people} names; `tandem data-request {by}` writes them"))
}

fn scopes(payload: &str, manifest: &Manifest) -> String {
    let body: Value = serde_json::from_str(payload).unwrap_or_default();
    let Some(current) = body["current"].as_array() else { return "the body does not list the app's scopes".into() };
    let granted: Vec<_> = current.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect();
    let shopify = manifest.targets.iter().filter(|target| target.name == "shopify");
    let needed = shopify.flat_map(|target| &target.scopes);
    let missing: Vec<_> = needed.filter(|scope| !model::is_scope_granted(scope, &granted)).cloned().collect();
    if missing.is_empty() {
        return "the app has every scope that the rules need".into();
    }
    format!("the rules need {}, which the app does not have", missing.join(", "))
}

/// The events that concern somebody.
struct Found {
    theirs: Vec<EventId>,
    /// Events about somebody else that hold the person's e-mail address.
    mentions: Vec<EventId>,
    /// Their names, as a customer and as a profile.
    people: BTreeSet<String>,
}

/// Adds the other names that a person is known by. A person who is named by an e-mail address only is looked for in
/// every payload.
fn known(reader: &Reader, tenant: &str, mut subject: Subject, upto: EventId) -> anyhow::Result<Subject> {
    if !subject.has_person() && subject.email.is_some() {
        let mut after = EventId(0);
        loop {
            let texts = reader.texts(tenant, after, upto, EVENTS_PER_READ)?;
            let Some(last) = texts.last() else { break };
            after = last.event;
            for texts in texts {
                if !subject.stands_in(&texts.payload) {
                    continue;
                }
                let email = serde_json::from_str(&texts.payload).ok().and_then(|payload| email_of(&payload));
                if let Some(entity) = texts.entity.filter(|_| email == subject.email) {
                    let names = entity.names.into_iter().chain(entity.after);
                    subject.names.extend(names.filter(|name| is_person(name)));
                }
            }
        }
    }
    for name in subject.names.clone().into_iter().filter(|name| is_person(name)) {
        subject.names.extend(reader.names_with(tenant, &name)?);
    }
    Ok(subject)
}

/// Searches every event of a tenant, whatever its topic: events that the rules do not listen to hold payloads, too.
fn find(reader: &Reader, tenant: &str, subject: &Subject, upto: EventId) -> anyhow::Result<Found> {
    let people = subject.names.iter().filter(|name| is_person(name)).cloned().collect();
    let mut found = Found { theirs: vec![], mentions: vec![], people };
    let mut after = EventId(0);
    loop {
        let texts = reader.texts(tenant, after, upto, EVENTS_PER_READ)?;
        let Some(last) = texts.last() else { return Ok(found) };
        after = last.event;
        for texts in texts.iter().filter(|texts| texts.event != upto) {
            match subject.relation(texts) {
                Relation::Nothing => {}
                Relation::Mentions => found.mentions.push(texts.event),
                Relation::Theirs => {
                    found.theirs.push(texts.event);
                    let names = texts.entity.iter().flat_map(|entity| entity.names.iter());
                    found.people.extend(names.filter(|name| is_person(name)).cloned());
                }
            }
        }
    }
}

/// The data that is held on the person of a `customers/data_request`. It is read on demand, so that no copy lies about.
pub fn document(reader: &Reader, request: EventId) -> anyhow::Result<Value> {
    let Some((row, _)) = reader.show(request)? else {
        anyhow::bail!(
            "there is no event {request}, or not any more\nhint: `tandem events --topic customers/data_request` lists requests"
        )
    };
    let webhook = &row.event.webhook;
    if duty(webhook) != Some(Duty::ShowCustomer) {
        anyhow::bail!("event {request} is `{}`, no `customers/data_request`", webhook.topic);
    }
    if let Some(at) = row.redacted_at {
        anyhow::bail!("event {request} was redacted on {}: nothing is held", clock::date(at));
    }
    let subject = Subject::read(&webhook.payload).map_err(anyhow::Error::msg)?;
    let subject = known(reader, &webhook.tenant, subject, EventId(i64::MAX))?;
    let found = find(reader, &webhook.tenant, &subject, EventId(i64::MAX))?;
    let mut events = vec![];
    for event in found.theirs.iter().filter(|event| **event != request) {
        events.extend(reader.show(*event)?.map(|(row, runs)| shown(&row, &runs)));
    }
    let mut memory = BTreeSet::new();
    for name in &found.people {
        memory.extend(reader.memory(&webhook.tenant, name)?);
    }
    Ok(json!({
        "request": parsed(&webhook.payload),
        "received": clock::rfc3339(webhook.received_at),
        "names": found.people,
        "memory": memory.iter().map(|memory| parsed(memory)).collect::<Vec<_>>(),
        "events": events,
        // Events about others, who must not be shown: these are for the operator to look at.
        "mentioned_in": found.mentions.iter().map(|event| event.0).collect::<Vec<_>>(),
    }))
}

fn shown(row: &EventRow, runs: &[RunRow]) -> Value {
    let webhook = &row.event.webhook;
    json!({
        "event": row.event.id,
        "source": webhook.source,
        "topic": webhook.topic,
        "occurred": webhook.occurred_at,
        "received": clock::rfc3339(webhook.received_at),
        "about": row.names,
        "outcome": row.outcome,
        "reason": row.reason,
        "payload": parsed(&webhook.payload),
        "calls": runs.iter().flat_map(|run| &run.calls).map(call).collect::<Vec<_>>(),
        "log": runs.iter().filter_map(|run| run.log.as_deref()).collect::<Vec<_>>(),
    })
}

fn call(call: &CallRow) -> Value {
    let reply = match &call.reply {
        Some(Reply::Answer(answer)) => json!({"status": answer.status, "body": parsed(&answer.body)}),
        Some(Reply::Unknown(why)) => json!({"unknown": why}),
        None => Value::Null,
    };
    let attempts: Vec<_> = call.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    json!({"call": call.call.line(), "body": parsed(call.call.body()), "attempts": attempts, "reply": reply})
}

/// The JSON that a text is, or else the text itself.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Names;

    #[test]
    fn only_the_shop_itself_has_a_shop_erased() {
        let end = || End { outcome: Outcome::Done, reason: String::new(), memory: None, names: Names::default() };
        let said = |duty, access| believed(duty, access, end()).map(|end| end.map(|end| end.outcome)).ok();
        let why = || "timed out".to_owned();
        // Carried out, over with that outcome, or to be asked again.
        let (carried_out, again) = (Some(None), None);
        let over = |outcome| Some(Some(outcome));
        for (access, uninstalled, erased) in [
            (Access::LetIn(Some(7)), over(Outcome::Skipped), over(Outcome::Skipped)),
            (Access::Refused, carried_out, carried_out),
            (Access::NotAccepted, carried_out, over(Outcome::Refused)),
            (Access::Frozen(402), carried_out, over(Outcome::Refused)),
            (Access::Unclear(why()), again, again),
            (Access::StaysUnclear(why()), over(Outcome::Refused), over(Outcome::Refused)),
        ] {
            assert_eq!(said(Duty::Uninstalled, access.clone()), uninstalled, "{access:?}");
            assert_eq!(said(Duty::RedactShop, access.clone()), erased, "{access:?}");
        }
    }
}
