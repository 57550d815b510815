//! One proof: a tenant's recorded events and its cases, through one of its versions. Knows what is asked of the version;
//! not who waits for it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use anyhow::bail;

use super::proofs::Running;
use crate::engine::{self, Engine};
use crate::journal::{Journal, Range};
use crate::registry::Registry;
use crate::replay::{Cases, Replay, Report};
use crate::rules::Plugin;
use crate::sandbox::{Case, RULES, Rules};

pub struct Proof {
    pub registry: Registry,
    pub journal: Journal,
    pub tenant: String,
    pub digest: String,
    pub range: Range,
}

impl Proof {
    /// Blocks, until it is done or given up.
    pub fn run(&self, running: &Running) -> anyhow::Result<Report> {
        // On an engine of its own, so that it takes no instance from events that are live, and leaves no memory behind.
        let engine = engine::engine()?;
        let candidate = self.registry.load_on(&engine, &self.digest)?;
        let cases = self.cases(&engine, &candidate, running)?;
        let replay = Replay { tenant: &self.tenant, range: self.range, candidate: &candidate, with_values: false };
        let progress = |done, all| {
            running.all.store(all, Ordering::Relaxed);
            running.done.store(done, Ordering::Relaxed);
        };
        let report = self.journal.read(|reader| replay.run_unless(&running.given_up, reader, progress))?;
        Ok(Report { cases: Some(cases), ..report })
    }

    fn cases(&self, engine: &Engine, candidate: &Plugin, running: &Running) -> anyhow::Result<Cases> {
        let mut cases = Cases::default();
        // By the text of the rules file that some cases bring along.
        let mut frozen: HashMap<String, Result<Plugin, String>> = HashMap::new();
        for (name, files) in self.journal.read(|reader| reader.cases(&self.tenant))? {
            if running.given_up.load(Ordering::Relaxed) {
                bail!("the proof was given up");
            }
            let case = match Case::of_files(&name, &files) {
                Ok(case) => case,
                // Another host has kept it.
                Err(error) => {
                    cases.add(&name, Some(format!("{error:#}")));
                    continue;
                }
            };
            let plugin = match &case.rules {
                None => Ok(candidate),
                Some(text) => frozen
                    .entry(text.clone())
                    .or_insert_with(|| {
                        let file = format!("{name}/{RULES}");
                        self.registry.freeze(engine, &self.digest, &file, text).map_err(|error| format!("{error:#}"))
                    })
                    .as_ref()
                    .map_err(String::clone),
            };
            let wrong = plugin.map_or_else(Some, |plugin| case.run(&Rules::from(plugin), None).wrong());
            cases.add(&name, wrong);
        }
        Ok(cases)
    }
}
