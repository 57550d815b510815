//! `tandem targets` and `pause`: a tenant's two systems, on a host. Knows no other command.

use serde_json::json;

use super::access::OfTenant;
use super::operations::{PAUSE, TARGETS};
use super::table::table;
use crate::admin::{HeldCause, HeldTarget, Target};
use crate::config;
use crate::output::{out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Pause {
    /// The tenant.
    tenant: String,
    /// Which of its two systems.
    #[arg(value_parser = ["shopify", "omneo"])]
    target: String,
    /// Why: it is shown with the target and in the audit trail.
    #[arg(long)]
    why: String,
}

pub async fn list(host: &Remote, OfTenant { tenant, json }: OfTenant) -> anyhow::Result<()> {
    let answer = host.ask(TARGETS, &[&tenant], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let targets: Vec<Target> = answer.json()?;
    let rows: Vec<_> = targets.into_iter().map(|target| vec![target.target.clone(), state(&target)]).collect();
    out!("{}", table(&["target", "now"], &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

/// Whether a target takes calls now, and if not, why and until when.
pub fn state(Target { paused, held, .. }: &Target) -> String {
    match (paused, held) {
        (Some(why), _) => why.clone(),
        (None, Some(HeldTarget { cause: HeldCause::Throttled, why, until, .. })) => {
            format!("throttled until {until}: {why}")
        }
        (None, Some(HeldTarget { cause: HeldCause::Down, why, since, until })) => {
            format!("down since {since}: {why}; the next call is sent at {until}")
        }
        (None, None) => "takes calls".into(),
    }
}

pub async fn pause(host: &Remote, Pause { tenant, target, why }: Pause) -> anyhow::Result<()> {
    host.ask(PAUSE, &[&tenant, &target], &[], Body::Json(json!({ "why": why }))).await?;
    outln!("{target} of {tenant} gets no calls until `tandem resume {tenant} {target}`")?;
    Ok(())
}
