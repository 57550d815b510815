//! Finds what events are about, by asking the active version.
//!
//! Knows the rules' keys and the host's own; not what is done about an event.

use std::time::Duration;

use anyhow::Context;
use tokio::task::spawn_blocking;

use super::{Message, Shared, Worker};
use crate::check::{self, Key};
use crate::compliance;
use crate::engine::{Ended, StillWanted, Wanted};
use crate::journal::{Known, With};
use crate::model::{Blame, EventId, Outcome};
use crate::rules::Plugin;
use crate::scheduler::{Input, Order, Ticket};

/// How long a turn may go on finding keys before others have their turns.
const TURN_MAX: Duration = Duration::from_millis(5);

/// The version that found the keys, and the keys.
type Keys = (String, Vec<(EventId, Known)>);

impl Worker {
    /// Asks for the keys of events.
    pub(super) fn name(&mut self, ticket: Ticket, events: Vec<EventId>) {
        // Keys of an earlier ticket are not wanted any more.
        self.keys.clear();
        let wanted = self.naming.insert(Wanted::default()).still();
        let (shared, tenant, inbox) = (self.shared.clone(), self.tenant.clone(), self.inbox.clone());
        tokio::spawn(async move {
            let keys = find(&shared, &tenant, events, &wanted).await;
            if !wanted.is_so() {
                return;
            }
            let message = match keys {
                Ok(keys) => {
                    if keys.is_none() {
                        tracing::info!(stage = "mapping", tenant, "events wait until a version is activated");
                    }
                    Message::Named { ticket, keys }
                }
                Err(error) => {
                    let failed = Input::Failed { what: Order::Ticket(ticket) };
                    Message::Told(failed, With::Why(format!("{error:#}")))
                }
            };
            // Sending fails only while the host stops, when the worker is gone.
            let _ = inbox.send(message);
        });
    }
}

/// Finds the keys of events with the active version; `None` if there is none. Each turn finds only some of the keys, so
/// that nobody waits for all of them.
async fn find(
    shared: &Shared,
    tenant: &str,
    events: Vec<EventId>,
    wanted: &StillWanted,
) -> anyhow::Result<Option<Keys>> {
    let mut found: Keys = Default::default();
    let mut rest = events.clone();
    while !rest.is_empty() && wanted.is_so() {
        let turn = shared.turns.turn(tenant).await;
        let (shared, tenant, wanted) = (shared.clone(), tenant.to_owned(), wanted.clone());
        let finding = spawn_blocking(move || {
            let Some(plugin) = shared.registry.active(&tenant)? else { return anyhow::Ok(None) };
            let plugin = plugin.while_wanted(wanted);
            let (mut rest, mut keys) = (rest.into_iter(), vec![]);
            for event in rest.by_ref() {
                keys.push((event, key(&shared, &plugin, event)?));
                if turn.took() > TURN_MAX {
                    break;
                }
            }
            Ok(Some((plugin.digest().to_owned(), keys, rest.collect())))
        });
        let Some((version, keys, left)) = finding.await.context("asking for keys")?? else { return Ok(None) };
        let is_first = found.0.is_empty();
        if is_first || found.0 == version {
            found.1.extend(keys);
            (found.0, rest) = (version, left);
        } else {
            // Another version was activated meanwhile, and is asked about all the events.
            found = Keys::default();
            rest = events.clone();
        }
    }
    Ok(Some(found))
}

/// Finds what an event is about, or how it ends before its rules can handle it. An error is the host's and says nothing
/// about the event, which is asked for its key again. Blocks.
fn key(shared: &Shared, plugin: &Plugin, event: EventId) -> anyhow::Result<Known> {
    let journal = &shared.journal;
    match journal.read(|reader| Ok(reader.event(event)?.zip(Some(reader.is_put_away(event)?))))? {
        // Nobody may be told any more whom this event is about. It had not begun when its redaction was requested,
        // because it was held or the host restarted.
        Some((_, true)) => Ok(Known::Over(Outcome::Skipped, None, "it was to be redacted before it began".into())),
        Some((event, false)) => {
            let ask = || {
                let asked = plugin.key(&event);
                journal.metrics().ask_ended(asked.usage.ended.map(Ended::name));
                asked.result
            };
            let asked = || check::key(&event.webhook, plugin.manifest(), ask);
            let Some(duty) = compliance::duty(&event.webhook) else {
                return Ok(match asked() {
                    Key::Entity(entity) => Known::Entity(entity),
                    Key::Over(outcome, blame, reason) => Known::Over(outcome, blame, reason),
                });
            };
            // If the rules cannot name the entity, or do not want to, the host does its duty all the same.
            let entity =
                shared.are_rules_asked(&event.webhook.tenant, duty, plugin.manifest()).then(asked).and_then(|key| {
                    match key {
                        Key::Entity(entity) => Some(entity),
                        Key::Over(..) => None,
                    }
                });
            Ok(Known::Entity(journal.read(|reader| compliance::key(reader, &event, duty, entity.clone()))?))
        }
        None => Ok(Known::Over(Outcome::Failed, Some(Blame::Host), "the event is not in the journal".into())),
    }
}
