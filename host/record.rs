//! Turns a journalled event into a case: its payload, what was remembered before, and the conversation with its replies, all
//! personal data replaced by invented values.
//!
//! What is remembered holds marks of values, which only the rules can make. So the memory of a case is never translated: the
//! events that left it are run again, masked like the event itself, from the first of them on. Whether the masked event runs
//! as the real one did is checked in the end, and said if not. Sends nothing; reads the journal and asks the rules.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::clock;
use crate::files;
use crate::journal::{CallRow, EventRow, Reader};
use crate::model::{EventId, Names, Reply};
use crate::rules::{self, Plugin};
use crate::sandbox::{self, Case, Exchange, Given, Moment, Pass, Report, Rules, Transcript};

mod invent;
mod kind;
mod mask;

use mask::{Learned, Mask};

/// A case that is ready to be written.
pub struct Recorded {
    /// Name and text of each file.
    files: Vec<(String, String)>,
    source: String,
    topic: String,
    /// The difference between what the event did and what the masked one does, if there is any.
    pub difference: Option<String>,
    /// The version that the event ran with, if the rules at hand are another.
    pub other_version: Option<String>,
}

/// An event with what was done about it and what was remembered before.
struct Link {
    event: EventRow,
    version: Option<String>,
    calls: Vec<CallRow>,
    /// The events that left what was remembered, the newest first.
    before: Vec<EventId>,
}

/// Makes a case of an event.
pub fn record(reader: &Reader, plugin: &Plugin, id: EventId) -> anyhow::Result<Recorded> {
    let mut links = BTreeMap::new();
    let order = trace_back(reader, id, &mut links)?;
    let mut mask = learn(order.iter().map(|event| &links[event]));
    let rules = Rules::from(plugin);
    let mut left: HashMap<EventId, String> = HashMap::new();
    for event in order.iter().filter(|event| **event != id) {
        let case = masked(&links[event], &mut mask, &left)?;
        let Some(memory) = case.run(&rules, None).remembered else {
            bail!(
                "what was remembered before event {id} cannot be told without personal data: event {event}, which left it, does not run with these rules as it did\nhint: give the rules that it ran with: `--rules FILE`{}",
                links[event]
                    .version
                    .as_deref()
                    .map(|version| format!("; their digest begins with {}", rules::short(version)))
                    .unwrap_or_default()
            );
        };
        left.insert(*event, memory);
    }
    let link = &links[&id];
    let case = masked(link, &mut mask, &left)?;
    let report = case.run(&rules, None);
    let difference = difference(&case, &report);
    let transcript = match &difference {
        None => report.actual.clone(),
        Some(_) => case.transcript.as_ref().map(Transcript::render).unwrap_or_default(),
    };
    let webhook = &case.event.webhook;
    let mut files = vec![
        (sandbox::PAYLOAD.to_owned(), pretty(&webhook.payload)),
        (sandbox::MOMENT.to_owned(), toml::to_string(&moment(&link.event)).context("writing down the event")?),
        (sandbox::TRANSCRIPT.to_owned(), transcript),
    ];
    for (n, memory) in case.memory.iter().enumerate() {
        files.push((sandbox::memory_file(n), pretty(memory)));
    }
    if report.remembered.is_some() && difference.is_none() {
        files.push((sandbox::MEMORY_AFTER.to_owned(), format!("{}\n", report.memory_actual)));
    }
    let other_version = link.version.clone().filter(|version| version != plugin.digest());
    Ok(Recorded {
        files,
        source: webhook.source.clone(),
        topic: webhook.topic.replace('/', "-"),
        difference,
        other_version,
    })
}

impl Recorded {
    /// Writes the case below a folder of cases, under this name, and says where. What is there is not touched.
    pub fn write(&self, cases: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let folder = cases.join(&self.source).join(&self.topic).join(name);
        if folder.exists() {
            bail!("there is a case `{}` already\nhint: `--name NAME` gives this one another", folder.display());
        }
        // Its owner's alone, though what is personal is invented: somebody may find what was missed.
        files::private_folder(&folder)?;
        for (file, text) in &self.files {
            files::write_private(&folder.join(file), text.as_bytes())?;
        }
        Ok(folder)
    }
}

/// Finds an event and those that left what was remembered before it, each after those before it.
fn trace_back(reader: &Reader, id: EventId, links: &mut BTreeMap<EventId, Link>) -> anyhow::Result<Vec<EventId>> {
    let mut order = vec![];
    // An event is visited twice: the second time those before it are in order.
    let mut stack = vec![(id, false)];
    while let Some((event, again)) = stack.pop() {
        if again {
            order.push(event);
        } else if let Entry::Vacant(place) = links.entry(event) {
            let found = place.insert(link(reader, event, id)?);
            stack.push((event, true));
            stack.extend(found.before.iter().map(|before| (*before, false)));
        }
    }
    Ok(order)
}

fn link(reader: &Reader, event: EventId, of: EventId) -> anyhow::Result<Link> {
    let needed =
        if event == of { String::new() } else { format!(", and what was remembered before event {of} was left by it") };
    let Some((row, mut runs)) = reader.show(event)? else {
        bail!(
            "there is no event {event} in the journal, or not any more{needed}\nhint: `tandem events` lists them; they leave when they are older than `keep_days`"
        );
    };
    if let Some(at) = row.redacted_at {
        bail!("event {event} was redacted on {}{needed}\nhint: there is nothing left to record", clock::date(at));
    }
    if row.outcome.is_none() {
        bail!("event {event} is not over yet{needed}\nhint: `tandem events {event}` says what it waits for");
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(&row.event.webhook.payload).is_err() {
        bail!(
            "the payload of event {event} is not JSON{needed}\nhint: a case cannot hold it; `tandem events {event}` shows it"
        );
    }
    let Some(before) = reader.began_with(event)? else {
        bail!("what was remembered before event {event} is not in the journal any more{needed}");
    };
    let run = runs.pop();
    let version = run.as_ref().map(|run| run.version.clone());
    let calls = run.map(|run| run.calls).unwrap_or_default();
    Ok(Link { event: row, version, calls, before: before.into_iter().map(|(event, _)| event).collect() })
}

/// Learns what is personal in all of them, in the order in which it was heard and said, so that what is replaced in one is
/// replaced alike in the others.
fn learn<'a>(links: impl Iterator<Item = &'a Link>) -> Mask {
    let mut learned = Learned::default();
    for link in links {
        learned.body(&link.event.event.webhook.payload);
        link.event.names.iter().for_each(|name| learned.name(name));
        learned.see(link.event.reason.as_deref().unwrap_or_default());
        let mut passes: BTreeMap<usize, Vec<&CallRow>> = BTreeMap::new();
        link.calls.iter().for_each(|call| passes.entry(call.pass).or_default().push(call));
        for calls in passes.into_values() {
            calls.iter().for_each(|call| learned.said(call.call.body()));
            for call in calls {
                if let Some(Reply::Answer(answer)) = &call.reply {
                    learned.body(&answer.body);
                }
            }
        }
    }
    learned.mask()
}

/// The masked event with the conversation as it was, also masked; its ending is what it came to.
fn masked(link: &Link, mask: &mut Mask, left: &HashMap<EventId, String>) -> anyhow::Result<Case> {
    let webhook = &link.event.event.webhook;
    let mut passes: Vec<Pass> = vec![];
    for row in &link.calls {
        let mut exchange = Exchange::of(&row.call);
        exchange.line = mask.text(&exchange.line);
        exchange.body = sandbox::laid_out(&mask.said(&exchange.body));
        exchange.reply = row.reply.clone().map(|reply| Given::of(mask.reply(reply)));
        passes.resize_with(passes.len().max(row.pass + 1), Pass::default);
        passes[row.pass].exchanges.push(exchange);
    }
    let reason = mask.text(link.event.reason.as_deref().unwrap_or_default());
    let end = format!("{}: {reason}", link.event.outcome.as_deref().unwrap_or_default());
    let transcript = Transcript { passes, names: Names::default(), end: sandbox::one_line(&end) };
    let mut case = Case::of(&webhook.source, &webhook.topic, mask.body(&webhook.payload), moment(&link.event))?;
    // As it will be read.
    case.transcript = Some(Transcript::parse(&transcript.render()).context("writing down the conversation")?);
    case.memory = link.before.iter().filter_map(|event| left.get(event).cloned()).collect();
    Ok(case)
}

fn moment(event: &EventRow) -> Moment {
    let webhook = &event.event.webhook;
    Moment {
        id: event.event.id.0,
        occurred_at: webhook.occurred_at.clone(),
        received_at: clock::rfc3339(webhook.received_at),
        api_version: Some(webhook.api_version.clone()),
    }
}

/// Where the masked event runs otherwise than the real one did. The journal does not keep when a name was learned, nor does
/// it say an ending's blame in its reason.
fn difference(case: &Case, report: &Report) -> Option<String> {
    let nameless = |transcript: &Transcript| {
        let passes =
            transcript.passes.iter().map(|pass| Pass { names: Names::default(), exchanges: pass.exchanges.clone() });
        let end = ["payload", "plugin", "peer", "host"]
            .iter()
            .find_map(|blame| transcript.end.strip_suffix(&format!(" ({blame})")))
            .unwrap_or(&transcript.end);
        Transcript { passes: passes.collect(), names: Names::default(), end: end.to_owned() }.render()
    };
    let recorded = nameless(case.transcript.as_ref()?);
    let difference = sandbox::diff("the event", &recorded, &nameless(&report.transcript));
    (!difference.is_empty()).then_some(difference)
}

fn pretty(json: &str) -> String {
    let pretty = serde_json::from_str::<serde_json::Value>(json).map(|value| format!("{value:#}\n"));
    pretty.unwrap_or_else(|_| json.to_owned())
}
