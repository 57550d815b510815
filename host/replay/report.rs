//! The report of a replay: counts, and the differences that many events share, with some of these events as examples.
//!
//! Knows what a report says, as data and as JSON; asks nobody. Values are left out unless they are wanted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::difference::{Change, Class, Difference, Shape};
use crate::journal::Recorded;
use crate::model::EventId;
use crate::rules::Manifest;

/// The format of the JSON. What is only added does not change this number.
const FORMAT: u32 = 1;
/// Groups of differences that are listed. Events of further groups are only counted.
const GROUPS_MAX: usize = 200;
/// How many events and topics of a group are listed.
const EXAMPLES_MAX: usize = 5;
const TOPICS_MAX: usize = 20;
/// How many changes of an event are listed, and characters of a value.
const CHANGES_MAX: usize = 30;
const VALUE_CHARS_MAX: usize = 200;
/// Characters of what is wrong with a case.
const WRONG_CHARS_MAX: usize = 2_000;

/// Which reports let a version be activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Require {
    /// Everything that was compared is identical, and the topics are the same.
    Identical,
    /// No event fails that did not fail before.
    NoFailures,
    /// Whatever the report says.
    None,
}

/// What a replay found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub format: u32,
    pub tenant: String,
    pub candidate: Candidate,
    pub events: u64,
    pub first: Option<EventId>,
    pub last: Option<EventId>,
    pub took_ms: u64,
    /// Events by the digest of the version that ended them.
    pub recorded_by: BTreeMap<String, u64>,
    /// How many events are of each class; every class is listed.
    #[serde(serialize_with = "by_class")]
    pub counts: BTreeMap<Class, u64>,
    /// Events that the candidate puts into another lane. If there are any, it is activated with empty lanes only.
    pub key_differs: u64,
    /// Groups of every class but `identical`, those that matter most first.
    pub groups: Vec<Group>,
    /// Events that are not identical and are in none of these groups.
    pub ungrouped: u64,
    /// How the tenant's cases fare with the candidate, if they were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<Cases>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cases {
    pub passed: u64,
    pub failed: Vec<FailedCase>,
}

/// A case whose result is not what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedCase {
    pub name: String,
    /// The difference, as `tandem test` shows it; cut if it is long.
    pub wrong: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub digest: String,
    pub name: String,
    pub version: String,
}

/// Events with the same difference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    pub class: Class,
    /// Why they fail or are not compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub key_differs: bool,
    pub changes: Vec<Shape>,
    pub events: u64,
    pub topics: BTreeSet<String>,
    /// The first events of the group.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Example {
    pub event: EventId,
    pub topic: String,
    pub calls_asked: usize,
    pub calls_recorded: usize,
    /// Why it failed, if values are wanted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub changes: Vec<Told>,
    /// How many changes are left out.
    pub more_changes: usize,
}

/// A change of one event. `then` and `now` are texts that may be cut, and are only there if values are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    #[serde(flatten)]
    pub shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

impl Report {
    /// The report on a candidate that has seen no event yet.
    pub fn empty(tenant: &str, digest: &str, manifest: &Manifest) -> Self {
        Self {
            format: FORMAT,
            tenant: tenant.to_owned(),
            candidate: Candidate {
                digest: digest.to_owned(),
                name: manifest.name.clone(),
                version: manifest.version.clone(),
            },
            events: 0,
            first: None,
            last: None,
            took_ms: 0,
            recorded_by: BTreeMap::new(),
            counts: Class::ALL.map(|class| (class, 0)).into(),
            key_differs: 0,
            groups: vec![],
            ungrouped: 0,
            cases: None,
        }
    }

    pub fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// Events that the candidate was asked about and that have something to be compared with.
    pub fn compared(&self) -> u64 {
        [Class::Identical, Class::Different, Class::Diverged, Class::Failed].map(|class| self.count(class)).iter().sum()
    }

    /// Events that stand against activating the candidate.
    pub fn against(&self, require: Require) -> u64 {
        use Class::{Different, Diverged, Failed, NewlyHeard, NoLongerHeard};
        let classes: &[Class] = match require {
            Require::Identical => &[Failed, Diverged, Different, NewlyHeard, NoLongerHeard],
            Require::NoFailures => &[Failed],
            Require::None => &[],
        };
        classes.iter().map(|class| self.count(*class)).sum()
    }

    /// Cases that stand against activating the candidate.
    pub fn cases_against(&self, require: Require) -> usize {
        match require {
            Require::Identical | Require::NoFailures => self.cases.as_ref().map_or(0, |cases| cases.failed.len()),
            Require::None => 0,
        }
    }
}

impl Cases {
    /// Counts a case. `wrong` is what is wrong with it, if anything.
    pub fn add(&mut self, name: &str, wrong: Option<String>) {
        match wrong {
            None => self.passed += 1,
            Some(wrong) => {
                self.failed.push(FailedCase { name: name.to_owned(), wrong: cut(wrong.trim_end(), WRONG_CHARS_MAX) });
            }
        }
    }
}

/// A report in the making.
pub struct Tally {
    report: Report,
    with_values: bool,
    groups: BTreeMap<Same, Group>,
}

/// What the events of a group have in common.
type Same = (Class, String, bool, Vec<Shape>);

impl Tally {
    /// Goes on with a report that was made before.
    pub fn go_on(mut report: Report, with_values: bool) -> Self {
        let groups = std::mem::take(&mut report.groups).into_iter();
        let same = |group: &Group| (group.class, group.note.clone(), group.key_differs, group.changes.clone());
        let groups = groups.map(|group| (same(&group), group)).collect();
        Self { report, with_values, groups }
    }

    /// How many events were added, before and now.
    pub fn events(&self) -> u64 {
        self.report.events
    }

    /// Adds an event. Events are added in their order, so that a report does not depend on which thread was faster.
    pub fn add(&mut self, recorded: &Recorded, difference: Difference) {
        let report = &mut self.report;
        report.events += 1;
        report.first.get_or_insert(difference.event);
        report.last = Some(difference.event);
        if let Some(version) = &recorded.version {
            *report.recorded_by.entry(version.clone()).or_default() += 1;
        }
        *report.counts.entry(difference.class).or_default() += 1;
        report.key_differs += u64::from(difference.key_differs);
        if difference.class == Class::Identical {
            return;
        }
        let mut shapes: Vec<Shape> = vec![];
        for shape in difference.changes.iter().map(Change::shape) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let same = (difference.class, difference.note.clone(), difference.key_differs, shapes);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&same) {
            report.ungrouped += 1;
            return;
        }
        let group = self.groups.entry(same).or_insert_with_key(|(class, note, key_differs, changes)| Group {
            class: *class,
            note: note.clone(),
            key_differs: *key_differs,
            changes: changes.clone(),
            events: 0,
            topics: BTreeSet::new(),
            examples: vec![],
        });
        group.events += 1;
        if group.topics.len() < TOPICS_MAX {
            group.topics.insert(difference.topic.clone());
        }
        if group.examples.len() < EXAMPLES_MAX {
            group.examples.push(Example::of(difference, self.with_values));
        }
    }

    pub fn report(self, took: Duration) -> Report {
        let mut report = self.report;
        report.took_ms += u64::try_from(took.as_millis()).unwrap_or_default();
        report.groups = self.groups.into_values().collect();
        let first = |group: &Group| group.examples.first().map(|example| example.event);
        report.groups.sort_by_key(|group| (group.class, Reverse(group.events), first(group)));
        report
    }
}

impl Example {
    fn of(difference: Difference, with_values: bool) -> Self {
        let told = difference.changes.iter().take(CHANGES_MAX).map(|change| Told::of(change, with_values));
        Self {
            event: difference.event,
            topic: difference.topic,
            calls_asked: difference.calls_asked,
            calls_recorded: difference.calls_recorded,
            reason: if with_values { cut(&difference.reason, VALUE_CHARS_MAX) } else { String::new() },
            changes: told.collect(),
            more_changes: difference.changes.len().saturating_sub(CHANGES_MAX),
        }
    }
}

impl Told {
    fn of(change: &Change, with_values: bool) -> Self {
        let text = |value: &Option<Value>| {
            let told = value.as_ref().filter(|_| with_values);
            told.map(|value| cut(&value.to_string(), VALUE_CHARS_MAX))
        };
        Self {
            // An example keeps the numbers in its pointer.
            shape: Shape { at: change.at.clone(), ..change.shape() },
            then: text(&change.then),
            now: text(&change.now),
        }
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes the counts in the order in which people read them.
fn by_class<S: Serializer>(counts: &BTreeMap<Class, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Class::ALL.iter().map(|class| (class, counts.get(class).copied().unwrap_or_default())))
}
