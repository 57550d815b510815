//! Finds what events are about, by the version that is active, and puts each into its lane.
//!
//! Knows the rules' keys and the host's own; not what is done about an event.

use tokio::task::spawn_blocking;

use super::{JOURNAL_PAUSE, Message, Worker};
use crate::check::{self, Key};
use crate::compliance;
use crate::journal::{By, Journal};
use crate::model::{Blame, EventId, Outcome};
use crate::rules::Plugin;

impl Worker {
    /// Finds the lanes of events, in order of arrival.
    pub(super) async fn key(&mut self, events: Vec<EventId>) {
        if events.is_empty() {
            return;
        }
        if let Some(held) = &mut self.held {
            return held.events.extend(events);
        }
        let (journal, registry, tenant) = (self.journal.clone(), self.registry.clone(), self.tenant.clone());
        // The semaphores are never closed.
        let Ok(permit) = self.keying.clone().acquire_owned().await else { return };
        let keyed = spawn_blocking(move || {
            let _permit = permit;
            let plugin = match registry.active(&tenant) {
                Ok(Some(plugin)) => plugin,
                Ok(None) => return Ok(Err(events)),
                Err(error) => return Err((events, error)),
            };
            let keys = events.into_iter().map(|event| (event, key(&journal, &plugin, event)));
            Ok(Ok((plugin.digest().to_owned(), keys.collect::<Vec<_>>())))
        });
        let (version, keyed) = match keyed.await {
            Ok(Ok(Ok(keyed))) => keyed,
            // They go on when whoever activates the first one says so.
            Ok(Ok(Err(events))) => {
                tracing::info!(stage = "mapping", tenant = self.tenant, "events wait until a version is activated");
                return self.held.get_or_insert_default().events.extend(events);
            }
            Ok(Err((events, error))) => return self.later(events, &error),
            // The runtime is going down, or the key panicked: they are in the journal.
            Err(_) => return,
        };
        let mut keys = vec![];
        for (event, key) in keyed {
            match key {
                Key::Entity(entity) => keys.push((event, entity)),
                Key::Over(outcome, blame, reason) => {
                    self.keyless.insert(event);
                    self.close(event, By::Key(version.clone()), outcome, blame, reason);
                }
            }
        }
        let keyed = loop {
            match self.journal.key(&self.tenant, keys.clone()).await {
                Ok(keyed) => break keyed,
                // They are in the journal, and are found there at the next start.
                Err(_) if *self.stopping.borrow() => return,
                Err(error) => {
                    tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
                    tokio::time::sleep(JOURNAL_PAUSE).await;
                }
            }
        };
        for keyed in keyed {
            self.join(keyed.lane.entity, &keyed.lane.from).await;
            self.lanes.push(keyed.event, keyed.lane.entity, keyed.after);
        }
    }

    /// Has the lanes of events found a little later.
    pub(super) fn later(&self, events: Vec<EventId>, error: &anyhow::Error) {
        tracing::error!(stage = "mapping", tenant = self.tenant, blame = "host", "{error:#}");
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(JOURNAL_PAUSE).await;
            for event in events {
                // The worker is gone when the host stops.
                let _ = inbox.send(Message::Arrived(event));
            }
        });
    }
}

/// What an event is about, or how it is over before its rules could handle it. Blocks.
fn key(journal: &Journal, plugin: &Plugin, event: EventId) -> Key {
    let failed = |reason| Key::Over(Outcome::Failed, Some(Blame::Host), reason);
    match journal.read(|reader| Ok(reader.event(event)?.zip(Some(reader.is_put_away(event)?)))) {
        // Nobody may be told of whom it is about any more. It was held when that was asked for, or the host restarted.
        Ok(Some((_, true))) => Key::Over(Outcome::Skipped, None, "it was to be redacted before it began".into()),
        Ok(Some((event, false))) => {
            let asked = || check::key(&event.webhook, plugin.manifest(), || plugin.key(&event).result);
            let Some(duty) = compliance::duty(&event.webhook) else { return asked() };
            // What the rules cannot name, or do not want to, the host does all the same.
            let entity = compliance::is_asked(duty, plugin.manifest()).then(asked).and_then(|key| match key {
                Key::Entity(entity) => Some(entity),
                Key::Over(..) => None,
            });
            match journal.read(|reader| compliance::key(reader, &event, duty, entity)) {
                Ok(entity) => Key::Entity(entity),
                Err(error) => failed(format!("{error:#}")),
            }
        }
        Ok(None) => failed("the event is not in the journal".into()),
        Err(error) => failed(format!("{error:#}")),
    }
}
