//! `tandem directions`, `run`, `hold` and `drop`: the two directions of a tenant, on a host. Knows no other command.

use clap::Args;
use serde_json::json;

use super::access::OfTenant;
use super::operations::{DIRECT, DIRECTIONS};
use super::table::{count, moment, table};
use crate::admin::{Direction, DirectionMode};
use crate::config;
use crate::output::{out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

#[derive(Args)]
pub struct Direct {
    /// The tenant.
    tenant: String,
    /// The system that the events come from.
    #[arg(value_parser = ["shopify", "omneo"])]
    source: String,
    /// Why: it is shown with the direction, kept with what is dropped, and in the audit trail.
    #[arg(long)]
    why: String,
}

/// A direction that is to run again: there need not be more to say.
#[derive(Args)]
pub struct Run {
    /// The tenant.
    tenant: String,
    /// The system that the events come from.
    #[arg(value_parser = ["shopify", "omneo"])]
    source: String,
    /// Why: it is shown with the direction and in the audit trail.
    #[arg(long, default_value = "it may run again")]
    why: String,
}

impl From<Run> for Direct {
    fn from(Run { tenant, source, why }: Run) -> Self {
        Self { tenant, source, why }
    }
}

pub async fn list(host: &Remote, OfTenant { tenant, json }: OfTenant) -> anyhow::Result<()> {
    let answer = host.ask(DIRECTIONS, &[&tenant], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let directions: Vec<Direction> = answer.json()?;
    let row = |direction: &Direction| {
        let who = direction.by.iter().zip(&direction.why).map(|(by, why)| format!("{by}: {why}")).collect();
        vec![
            format!("{} to {}", direction.source, direction.target),
            word(direction.mode).to_owned(),
            direction.waiting.to_string(),
            direction.since.as_deref().map(moment).unwrap_or_default(),
            who,
        ]
    };
    let rows: Vec<_> = directions.iter().map(row).collect();
    out!("{}", table(&["direction", "now", "waiting", "since", "by"], &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

pub async fn set(host: &Remote, mode: DirectionMode, arguments: Direct) -> anyhow::Result<()> {
    let Direct { tenant, source, why } = arguments;
    let body = json!({ "mode": mode, "why": why });
    let direction: Direction = host.ask(DIRECT, &[&tenant, &source], &[], Body::Json(body)).await?.json()?;
    let waiting = count(usize::try_from(direction.waiting).unwrap_or(usize::MAX), "event");
    let held = if matches!(direction.mode, DirectionMode::Drop) && direction.waiting > 0 {
        "; what was held begins now"
    } else {
        ""
    };
    outln!("what comes from {source} to {tenant} {}; {waiting} waiting{held}", word(direction.mode))?;
    Ok(())
}

fn word(mode: DirectionMode) -> &'static str {
    match mode {
        DirectionMode::Run => "runs",
        DirectionMode::Hold => "is held",
        DirectionMode::Drop => "is dropped",
    }
}
