//! Asks the rules about an event, and rolls back a version that fails.
//!
//! Knows the pool and its shares; not what is done with an answer.

use std::time::Instant;

use tokio::task::spawn_blocking;
use tracing::Instrument as _;

use super::{Answered, Asked, Deed, Message, Refused, Worker, millis};
use crate::check;
use crate::compliance;
use crate::engine::{Ended, Usage, Wanted};
use crate::journal::{Begun, With};
use crate::model::{Blame, End, EventId, Failure, Names, Next, Outcome};
use crate::rules::short;
use crate::scheduler::{Input, Order, Try};

impl Worker {
    /// Asks the rules about an event that has begun.
    pub(super) fn ask(&mut self, event: EventId, of: Try) {
        let Some(held) = self.known.get_mut(&event) else { return };
        let Some(begun) = held.begun.take() else { return };
        held.failure = None;
        held.answer = None;
        // This gives up an earlier ask about the event.
        let wanted = held.wanted.insert(Wanted::default()).still();
        let plugin = held.plugin.clone();
        let (shared, tenant, inbox) = (self.shared.clone(), self.tenant.clone(), self.inbox.clone());
        let span = self.span(event);
        span.record("run", begun.run.0).record("version", short(&begun.version));
        let asking = async move {
            let plugin = match plugin.filter(|plugin| plugin.digest() == begun.version) {
                Some(plugin) => plugin,
                None => match shared.registry.plugin(&begun.version).await {
                    Ok(plugin) => plugin,
                    Err(error) => {
                        let input = Input::Failed { what: Order::Event(event, of) };
                        let _ = inbox.send(Message::Told(input, With::Why(format!("{error:#}"))));
                        return;
                    }
                },
            };
            let Begun { event: webhook, memory, replies, .. } = *begun;
            let duty = compliance::duty(&webhook.webhook);
            let answered = if let Some(duty) =
                duty.filter(|duty| !shared.are_rules_asked(&tenant, *duty, plugin.manifest()))
            {
                let end = End { outcome: Outcome::Done, reason: String::new(), memory: None, names: Names::default() };
                let (next, duty) = (Ok(Next::End(end)), Some((duty, webhook)));
                Answered { event, of, plugin, next, asked: Asked::default(), duty }
            } else {
                let duty = duty.map(|duty| (duty, webhook.clone()));
                let turn = shared.turns.turn(&tenant).await;
                let (rules, metrics) = (plugin.clone().while_wanted(wanted.clone()), shared.journal.metrics().clone());
                let began = Instant::now();
                let step = spawn_blocking(move || {
                    let mut step = rules.step(&webhook, &memory, &replies);
                    let Usage { fuel, ended, .. } = step.usage;
                    metrics.asked(turn.took().as_secs_f64(), fuel, ended.map(Ended::name));
                    drop(turn);
                    step.result = check::next(step.result, rules.manifest(), replies.len());
                    step
                });
                let (next, asked) = match step.await {
                    Ok(step) => {
                        tracing::debug!(took_ms = millis(began), fuel = step.usage.fuel, "asked");
                        let names = step.result.as_ref().map(|next| next.names().clone()).unwrap_or_default();
                        (step.result, Asked { usage: step.usage, log: step.log, names })
                    }
                    Err(error) => {
                        (Err(Failure::new(Blame::Host, format!("the ask failed: {error}"))), Asked::default())
                    }
                };
                Answered { event, of, plugin, next, asked, duty }
            };
            // The answer is not wanted if the event has begun again or is over, or if the host stops: the run is in the
            // journal.
            if !wanted.is_so() {
                return;
            }
            let _ = inbox.send(Message::Answered(Box::new(answered)));
        };
        tokio::spawn(asking.instrument(span));
    }

    /// Rolls back a version that failed this many of its latest events.
    pub(super) fn roll_back(&self, version: String, failures: u32) {
        let (shared, tenant, inbox) = (self.shared.clone(), self.tenant.clone(), self.inbox.clone());
        tokio::spawn(async move {
            match shared.registry.roll_back_failing(&tenant, &version).await {
                Ok(activated) => {
                    let (from, to) = (short(&version), short(&activated.digest));
                    tracing::error!(
                        stage = "mapping",
                        tenant,
                        blame = "plugin",
                        "version {from} failed {failures} of its latest events: rolled back to {to}; {} events begin again",
                        activated.again.len()
                    );
                    let what =
                        format!("rolled back from {from}, which failed {failures} of its latest events, to {to}");
                    let deed = Deed { by: "the host".into(), tenant: Some(tenant), what };
                    if let Err(error) = shared.journal.record(deed).await {
                        tracing::error!(blame = "host", "{error:#}");
                    }
                    return;
                }
                // Another activation came first.
                Err(Refused::Moved(_)) => {}
                Err(error) => tracing::error!(
                    stage = "mapping",
                    tenant,
                    blame = "host",
                    "version {} fails and cannot be rolled back: {error}",
                    short(&version)
                ),
            }
            let _ = inbox.send(Message::Told(Input::NotRolledBack, With::Nothing));
        });
    }
}
