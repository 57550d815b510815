//! `tandem cases`: what every proof of a tenant's versions on a host runs. Knows no other command.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::access::confirm;
use super::operations::{CASES, REMOVE_CASES, REPLACE_CASES};
use super::table::count;
use super::wrong_command;
use crate::admin;
use crate::output::outln;
use crate::paint::harmless;
use crate::remote::{Body, Remote};
use crate::sandbox::{self, Case};

#[derive(Subcommand)]
pub enum Cases {
    /// List a tenant's cases by name.
    List {
        /// The tenant.
        tenant: String,
        /// The host's answer as it is, with every file.
        #[arg(long)]
        json: bool,
    },
    /// Take the cases of a folder in place of all that the tenant has.
    Put {
        /// The tenant.
        tenant: String,
        /// The folder, with a folder for each case.
        folder: PathBuf,
    },
    /// Remove all cases of a tenant.
    Remove {
        /// The tenant.
        tenant: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub async fn run(host: &Remote, verb: Cases) -> anyhow::Result<()> {
    match verb {
        Cases::List { tenant, json } => {
            let answer = host.ask(CASES, &[&tenant], &[], Body::Nothing).await?;
            if json {
                outln!("{}", answer.text)?;
                return Ok(());
            }
            let admin::Cases { cases } = answer.json()?;
            if cases.is_empty() {
                outln!("no cases")?;
            }
            for name in cases.keys() {
                outln!("{}", harmless(name))?;
            }
        }
        Cases::Put { tenant, folder } => {
            let cases = read(&folder).map_err(wrong_command)?;
            let body = json!({ "cases": cases });
            host.ask(REPLACE_CASES, &[&tenant], &[], Body::Json(body)).await?;
            outln!("{tenant} has {}, which every proof runs", count(cases.len(), "case"))?;
        }
        Cases::Remove { tenant, yes } => {
            let there: admin::Cases = host.ask(CASES, &[&tenant], &[], Body::Nothing).await?.json()?;
            let cases = count(there.cases.len(), "case");
            confirm(&format!("remove {cases} of {tenant}"), !there.cases.is_empty(), yes)?;
            host.ask(REMOVE_CASES, &[&tenant], &[], Body::Nothing).await?;
            outln!("{tenant} has no cases; it had {cases}")?;
        }
    }
    Ok(())
}

/// The files of each case below a folder, by the case's name.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut cases = BTreeMap::new();
    for dir in sandbox::find(folder)? {
        let name = Case::read(&dir)?.name;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("reading the case `{}`", dir.display()))? {
            let entry = entry.with_context(|| format!("reading the case `{}`", dir.display()))?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with('.') || entry.path().is_dir() {
                continue;
            }
            let text = fs::read_to_string(entry.path());
            files.insert(file, text.with_context(|| format!("reading `{}`", entry.path().display()))?);
        }
        cases.insert(name, files);
    }
    Ok(cases)
}
