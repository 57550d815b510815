//! `tandem tenant setup`: has a host make on both sides what a tenant's active rules need. Knows no other command.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::operations::SET_UP;
use crate::admin::Step;
use crate::config;
use crate::output::outln;
use crate::paint::{Paint, harmless};
use crate::remote::{Answer, Body, Remote};

#[derive(Args)]
pub struct SetUp {
    /// The tenant.
    tenant: String,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Where webhooks reach the host from outside; without it, as its configuration says.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// Switch the webhooks of Omneo's own app for Shopify off, which would send each change a second time.
    #[arg(long)]
    leave_official_app: bool,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

pub async fn run(
    host: &Remote,
    SetUp { tenant, dry_run, address, leave_official_app, json }: SetUp,
) -> anyhow::Result<()> {
    let body = json!({ "dry_run": dry_run, "address": address, "leave_official_app": leave_official_app });
    let answer = host.ask(SET_UP, &[&tenant], &[], Body::Json(body)).await?;
    show(&answer, dry_run, json)
}

/// Prints how each thing stands, and fails if something is missing.
pub fn show(answer: &Answer, dry_run: bool, json: bool) -> anyhow::Result<()> {
    let steps: Vec<Step> = answer.json()?;
    if json {
        outln!("{}", answer.text)?;
    } else {
        let paint = Paint::for_stdout(config::no_color());
        for Step { side, state, what, hint, .. } in &steps {
            // As `tandem setup` says it.
            let (sign, word) = match (state.as_str(), dry_run) {
                ("there", _) => (paint.dim("="), ": already there"),
                ("create", true) => (paint.green("+"), ": would be created"),
                ("create", false) => (paint.green("+"), ": created"),
                ("change", true) => (paint.yellow("~"), ": would be changed"),
                ("change", false) => (paint.yellow("~"), ": changed"),
                ("missing", _) => (paint.red("!"), ""),
                ("offer", _) => (paint.yellow("?"), ""),
                _ => (paint.dim("i"), ""),
            };
            outln!("{sign} {:<8} {}{word}", harmless(side), harmless(what))?;
            if let Some(hint) = hint {
                outln!("  hint: {}", harmless(hint))?;
            }
        }
    }
    match steps.iter().filter(|step| step.state == "missing").count() {
        0 => Ok(()),
        missing => bail!(
            "{missing} things are missing that cannot be made from here\nhint: see the lines that begin with `!`, and ask again"
        ),
    }
}
