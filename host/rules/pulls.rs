//! The pulls of a component: which there are, what to ask for, and where the items are in an answer. Knows the contract's
//! functions; not who reads.

use anyhow::bail;
use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};

use super::{Asked, EXPORT, Inner, Manifest, Plugin, v0_1};
use crate::engine::{Limits, State, StillWanted, Usage};
use crate::model::{Answer, Blame, Call, Effect, Failure};

/// How many pulls a component may have.
const PULLS_MAX: usize = 32;

/// How the topics of items begin; the name of their pull follows.
pub const TOPIC: &str = "pull/";
/// How the topics begin of events about known names that a whole reading did not list; the name of their pull follows.
pub const MISSING: &str = "missing/";

/// A collection that a component says how to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    pub name: String,
    /// The system that is asked, and the source of the events.
    pub source: String,
    /// What a person must agree to before it is first read; may be empty.
    pub caution: String,
    /// The kind of names whose absence from a whole reading means something; may be empty.
    pub gone: String,
}

/// One reading of a pull, at one of its pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub pull: String,
    /// RFC 3339, as `since`.
    pub begun_at: String,
    pub since: Option<String>,
    pub names_only: bool,
    /// Whether the rules may have the whole collection read by a job.
    pub bulk: bool,
    pub cursor: String,
}

/// What is sent to get a page, or everything at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Call(Call),
    /// A GraphQL query that the source runs as a job.
    Bulk(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub items: Vec<Item>,
    pub next: Option<String>,
    pub total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// JSON pointer into the answer.
    pub at: String,
    pub name: String,
    pub clues: Vec<String>,
}

impl Plugin {
    /// What to send to get the next page. The inner error is the rules' own reason for the tenant.
    pub fn ask_page(&self, reading: &Reading) -> Asked<Result<Ask, String>> {
        self.inner.ask_page(reading, self.wanted.clone())
    }

    /// Where the items are in an answer.
    pub fn read_page(&self, reading: &Reading, answer: &Answer) -> Asked<Result<Page, String>> {
        let bytes = reading.cursor.len() + reading.pull.len() + answer.body.len();
        let parameters = (v0_1::Reading::from(reading), v0_1::Answer::from(answer));
        let asked = self.inner.asked("read-page", parameters, bytes, self.wanted.clone());
        asked.map(|(page,): (Result<v0_1::Page, String>,)| page.map(Page::from))
    }
}

impl Inner {
    /// The pulls of the component, in their order; none for a component that was built before there were any. The first page
    /// of each is asked for, so that a wrong request is found before anybody reads.
    pub(super) fn pulls(&self, manifest: &Manifest) -> anyhow::Result<Vec<Pull>> {
        let Some(function) = self.function("pulls") else { return Ok(vec![]) };
        let wanted = StillWanted::default();
        let asked = self.call(&function, (), Limits::for_input(0), wanted.clone());
        let (pulls,): (Vec<v0_1::Pull>,) = match asked.result {
            Ok(pulls) => pulls,
            Err(failure) => bail!("the component cannot be asked for its pulls: {}", failure.reason),
        };
        let pulls: Vec<_> = pulls.into_iter().map(Pull::from).collect();
        check(&pulls, manifest)?;
        for Pull { name, source, .. } in &pulls {
            let begun_at = "2026-01-02T03:04:05Z".to_owned();
            let pages = Reading {
                pull: name.clone(),
                begun_at,
                since: None,
                names_only: false,
                bulk: false,
                cursor: String::new(),
            };
            for first in [Reading { bulk: true, ..pages.clone() }, pages] {
                match self.ask_page(&first, wanted.clone()).result {
                    Ok(Ok(Ask::Call(call))) if call.target != *source || call.effect != Effect::Read => {
                        bail!("the first page of the pull `{name}` is `{}`, which is no read of {source}", call.line())
                    }
                    // A reason for the tenant: a setting is missing, say.
                    Ok(_) => {}
                    Err(failure) => bail!("the pull `{name}` cannot be asked for: {}", failure.reason),
                }
            }
        }
        Ok(pulls)
    }

    /// What to send to get the next page. The inner error is the rules' own reason for the tenant.
    fn ask_page(&self, reading: &Reading, wanted: StillWanted) -> Asked<Result<Ask, String>> {
        let bytes = reading.cursor.len() + reading.pull.len();
        let asked = self.asked("ask-page", (v0_1::Reading::from(reading),), bytes, wanted);
        asked.map(|(ask,): (Result<v0_1::Ask, String>,)| match ask? {
            v0_1::Ask::Call(call) => Ok(Ask::Call(Call::from(call))),
            v0_1::Ask::Bulk(query) if reading.bulk => Ok(Ask::Bulk(query)),
            v0_1::Ask::Bulk(_) => Err("the rules gave a bulk query where none was allowed".into()),
        })
    }

    fn asked<P, R>(&self, name: &str, parameters: P, bytes: usize, wanted: StillWanted) -> Asked<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let limits = Limits::for_input(bytes);
        match self.function(name) {
            Some(function) => self.call(&function, parameters, limits, wanted),
            None => {
                let failure = Failure::new(Blame::Plugin, format!("the component has no function `{name}`"));
                Asked { result: Err(failure), usage: Usage::default(), limits, log: vec![] }
            }
        }
    }

    /// A function of the contract that not every component has.
    pub(super) fn function(&self, name: &str) -> Option<ComponentExportIndex> {
        let component = self.pre.component();
        let rules = component.get_export_index(None, EXPORT)?;
        component.get_export_index(Some(&rules), name)
    }
}

/// The collections that a component under construction has.
pub(super) async fn listed(
    store: &mut Store<State>,
    component: &Component,
    instance: &Instance,
) -> wasmtime::Result<Vec<Pull>> {
    let rules = component.get_export_index(None, EXPORT);
    let function = rules.and_then(|rules| component.get_export_index(Some(&rules), "pulls"));
    let Some(function) = function else { return Ok(vec![]) };
    let pulls = instance.get_typed_func::<(), (Vec<v0_1::Pull>,)>(&mut *store, &function)?;
    let (pulls,) = pulls.call_async(&mut *store, ()).await?;
    Ok(pulls.into_iter().map(Pull::from).collect())
}

/// Whether the collections have good names and read what the manifest declares.
pub(super) fn check(pulls: &[Pull], manifest: &Manifest) -> anyhow::Result<()> {
    if pulls.len() > PULLS_MAX {
        bail!("the component has {} pulls; {PULLS_MAX} are allowed", pulls.len());
    }
    for (n, Pull { name, source, .. }) in pulls.iter().enumerate() {
        if !is_word(name) {
            bail!("the pull `{name}` has no good name\nhint: use lower-case letters, digits and `-`, 64 at most");
        }
        if pulls[..n].iter().any(|other| other.name == *name) {
            bail!("the component has two pulls `{name}`");
        }
        if !manifest.targets.iter().any(|target| target.name == *source) {
            bail!("the pull `{name}` reads `{source}`, which the manifest does not declare as a target");
        }
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}
