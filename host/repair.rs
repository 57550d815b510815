//! Repair: recorded events through the live version once more, comparing only or sending, with what would be sent first.
//!
//! Knows the registry, the journal and the replay; neither HTTP nor lanes.

use std::sync::Arc;
use std::thread;

use anyhow::anyhow;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::compliance;
use crate::conversation::Rules;
use crate::engine;
use crate::journal::{Chosen, Journal, REPLAYED_MAX, Range, Reader, Recorded, Unchosen, Wanted};
use crate::model::Effect;
use crate::registry::Registry;
use crate::replay::{self, AskedAgain, Ends, Replay, Report};
use crate::rules::Plugin;
use crate::topics;

/// Events whose calls are told.
const TOLD_MAX: usize = 100;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Repair {
    registry: Registry,
    journal: Journal,
    /// Whoever asks rules does so alone: each takes an engine and all cores.
    turn: Arc<Semaphore>,
}

/// What would be sent.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The first events, each with what would be asked for.
    pub events: Vec<AskedAgain>,
    /// Calls of all of them, and those that write.
    pub calls: u64,
    pub writes: u64,
    /// Events of which more might be asked than is known, and those that would fail.
    pub open: u64,
    pub failing: u64,
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum Refused {
    #[error(
        "more than {REPLAYED_MAX} events are meant\nhint: narrow them by `first`, `last`, `since`, `topic` or `outcome`"
    )]
    TooMany,
    #[error("no version is active that they could run on\nhint: activate one")]
    NoVersion,
    #[error("there is nothing to replay: {0}")]
    Nothing(String),
    #[error(
        "sending takes two steps\nhint: ask with `\"dry_run\": true` first, look at what would be sent, and give its `confirm` value"
    )]
    Unconfirmed,
    #[error(
        "this `confirm` stands for other events or another version than there are now: nothing was sent\nhint: ask with `\"dry_run\": true` again"
    )]
    Moved,
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Repair {
    pub fn new(registry: Registry, journal: Journal) -> Self {
        Self { registry, journal, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Compares what the live version asks for with what was sent. Sends nothing.
    pub async fn compare(&self, tenant: &str, wanted: Wanted) -> Result<(Chosen, Report), Refused> {
        self.read(tenant, wanted, |journal, tenant, chosen, candidate| {
            let replay = Replay { tenant, range: Range::Last(0), candidate, with_values: false };
            journal.read(|reader| replay.run_these(reader, &chosen.events))
        })
        .await
    }

    /// What would be sent if they began again: with what is remembered now, and the recorded replies. Sends nothing.
    pub async fn preview(&self, tenant: &str, wanted: Wanted) -> Result<(Chosen, Preview), Refused> {
        self.read(tenant, wanted, |journal, tenant, chosen, candidate| {
            let asked = thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    replay::step_back();
                    journal.read(|reader| preview(reader, tenant, chosen, candidate))
                });
                asking.join()
            });
            asked.map_err(|_| anyhow!("the preview ended in a panic"))?
        })
        .await
    }

    /// Has them begin again, if `confirm` is what a preview of exactly these gave.
    pub async fn send(
        &self,
        tenant: &str,
        wanted: Wanted,
        confirm: Option<String>,
        by: &str,
    ) -> Result<Chosen, Refused> {
        let confirm = confirm.ok_or(Refused::Unconfirmed)?;
        let topic = wanted.topic.clone();
        let chosen = self.journal.begin_again(tenant, wanted, is_own, confirm.clone(), by).await?;
        let chosen = some(chosen, topic.as_deref())?;
        if chosen.confirm == confirm { Ok(chosen) } else { Err(Refused::Moved) }
    }

    /// Chooses, and does something with what is chosen and the live version, on an engine of its own.
    async fn read<T: Send + 'static>(
        &self,
        tenant: &str,
        wanted: Wanted,
        work: impl FnOnce(&Journal, &str, &Chosen, &Plugin) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<(Chosen, T), Refused> {
        let turn = self.turn.clone().acquire_owned().await.map_err(anyhow::Error::from)?;
        let (registry, journal, tenant) = (self.registry.clone(), self.journal.clone(), tenant.to_owned());
        let done = spawn_blocking(move || {
            let _turn = turn;
            let chosen = journal.read(|reader| reader.choose(&tenant, &wanted, is_own))?;
            let chosen = some(chosen, wanted.topic.as_deref())?;
            let candidate = registry.load_on(&engine::engine()?, &chosen.version)?;
            let done = work(&journal, &tenant, &chosen, &candidate)?;
            Ok((chosen, done))
        });
        done.await.map_err(anyhow::Error::from)?
    }
}

fn is_own(source: &str, topic: &str) -> bool {
    compliance::duty_of(source, topic).is_some()
}

/// What is chosen, if that is anything; of this topic, if one was named.
fn some(chosen: Result<Chosen, Unchosen>, topic: Option<&str>) -> Result<Chosen, Refused> {
    let chosen = chosen.map_err(|unchosen| match unchosen {
        Unchosen::TooMany => Refused::TooMany,
        Unchosen::NoVersion => Refused::NoVersion,
    })?;
    if !chosen.events.is_empty() {
        return Ok(chosen);
    }
    let left_out = [
        (chosen.redacted.len(), "redacted"),
        (chosen.waiting.len(), "not over yet"),
        (chosen.own.len(), "for the host itself to do"),
        (chosen.unknown.len(), "not in the journal"),
    ];
    let counts = left_out.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> =
        counts.map(|(count, what)| format!("{count} {} {what}", if *count == 1 { "is" } else { "are" })).collect();
    Err(Refused::Nothing(match topic {
        _ if !said.is_empty() => said.join(", "),
        Some(topic) => format!("no event of the topic `{topic}` is meant{}", topics::hint(topic, std::iter::empty())),
        None => "no event is meant".into(),
    }))
}

fn preview(reader: &Reader, tenant: &str, chosen: &Chosen, candidate: &Plugin) -> anyhow::Result<Preview> {
    let rules = Rules::from(candidate);
    let mut preview = Preview::default();
    let mut after = None;
    loop {
        let batch = reader.recorded_of(tenant, after, &chosen.events)?;
        let Some(last) = batch.last() else { return Ok(preview) };
        after = Some(last.event.id);
        for recorded in &batch {
            preview.add(replay::ask_again(recorded, &remembered(reader, tenant, recorded)?, &rules));
        }
    }
}

/// What is remembered now of what an event was about.
fn remembered(reader: &Reader, tenant: &str, recorded: &Recorded) -> anyhow::Result<Vec<String>> {
    let name = recorded.entity.as_ref().and_then(|entity| entity.names.first());
    name.map_or(Ok(vec![]), |name| reader.memory(tenant, name))
}

impl Preview {
    fn add(&mut self, asked: AskedAgain) {
        let sent = asked.calls.iter().filter(|call| !call.is_answered);
        self.calls += sent.clone().count() as u64;
        self.writes += sent.filter(|call| call.call.effect != Effect::Read).count() as u64;
        self.open += u64::from(asked.ends == Ends::Open);
        self.failing += u64::from(matches!(asked.ends, Ends::Failed(_)));
        if self.events.len() < TOLD_MAX {
            self.events.push(asked);
        }
    }
}
