//! Finds what events are about, by the version that is active.
//!
//! Knows the rules' keys and the host's own; not what is done about an event.

use tokio::task::spawn_blocking;

use super::{Message, Worker};
use crate::check::{self, Key};
use crate::compliance;
use crate::journal::{Journal, Known, With};
use crate::model::{Blame, EventId, Outcome};
use crate::rules::Plugin;
use crate::scheduler::{Input, Order, Ticket};

impl Worker {
    /// Asks for the keys of events.
    pub(super) fn name(&mut self, ticket: Ticket, events: Vec<EventId>) {
        // Those of an earlier ticket are not wanted any more.
        self.keys.clear();
        let (shared, tenant, inbox) = (self.shared.clone(), self.tenant.clone(), self.inbox.clone());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let Ok(permit) = shared.keying.acquire_owned().await else { return };
            let (journal, registry, of) = (shared.journal, shared.registry, tenant.clone());
            let keyed = spawn_blocking(move || {
                let _permit = permit;
                let Some(plugin) = registry.active(&of)? else { return anyhow::Ok(None) };
                let keys = events.into_iter().map(|event| key(&journal, &plugin, event).map(|known| (event, known)));
                Ok(Some((plugin.digest().to_owned(), keys.collect::<anyhow::Result<_>>()?)))
            });
            let failed = |why| Message::Told(Input::Failed { what: Order::Ticket(ticket) }, With::Why(why));
            let message = match keyed.await {
                Ok(Ok(keys)) => {
                    if keys.is_none() {
                        tracing::info!(stage = "mapping", tenant, "events wait until a version is activated");
                    }
                    Message::Named { ticket, keys }
                }
                Ok(Err(error)) => failed(format!("{error:#}")),
                Err(error) => failed(format!("asking for keys: {error}")),
            };
            // The worker is gone when the host stops.
            let _ = inbox.send(message);
        });
    }
}

/// What an event is about, or how it is over before its rules could handle it. An error is the host's, and says nothing about
/// the event: it is asked for its key again. Blocks.
fn key(journal: &Journal, plugin: &Plugin, event: EventId) -> anyhow::Result<Known> {
    match journal.read(|reader| Ok(reader.event(event)?.zip(Some(reader.is_put_away(event)?))))? {
        // Nobody may be told of whom it is about any more. It was held when that was asked for, or the host restarted.
        Some((_, true)) => Ok(Known::Over(Outcome::Skipped, None, "it was to be redacted before it began".into())),
        Some((event, false)) => {
            let asked = || check::key(&event.webhook, plugin.manifest(), || plugin.key(&event).result);
            let Some(duty) = compliance::duty(&event.webhook) else {
                return Ok(match asked() {
                    Key::Entity(entity) => Known::Entity(entity),
                    Key::Over(outcome, blame, reason) => Known::Over(outcome, blame, reason),
                });
            };
            // What the rules cannot name, or do not want to, the host does all the same.
            let entity = compliance::is_asked(duty, plugin.manifest()).then(asked).and_then(|key| match key {
                Key::Entity(entity) => Some(entity),
                Key::Over(..) => None,
            });
            Ok(Known::Entity(journal.read(|reader| compliance::key(reader, &event, duty, entity.clone()))?))
        }
        None => Ok(Known::Over(Outcome::Failed, Some(Blame::Host), "the event is not in the journal".into())),
    }
}
