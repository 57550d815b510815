//! `tandem dead`, `retry`, `discard` and `restart`: what a person should look at, on a host. Knows no other command.

use clap::Args;
use serde_json::{Value, json};

use super::access::{OfTenant, confirm};
use super::operations::{DEAD_LETTERS, DISCARD, RESTART, RETRY};
use super::table::{count, events, moment};
use crate::admin::{DeadLetters, Settled};
use crate::config;
use crate::output::outln;
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Operation, Remote};

#[derive(Args)]
pub struct Retry {
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
pub struct Discard {
    #[command(flatten)]
    which: Which,
    /// Why: it is kept with each event and in the audit trail.
    #[arg(long)]
    why: String,
}

#[derive(Args)]
pub struct Restart {
    /// The tenant.
    tenant: String,
    /// The number of the event.
    event: i64,
}

/// Which dead letters, and how.
#[derive(Args)]
struct Which {
    /// The tenant.
    tenant: String,
    #[command(flatten)]
    filter: Filter,
    /// Only say which they are.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Filter {
    /// The number of one.
    #[arg(conflicts_with_all = ["topic", "cause", "all"])]
    event: Option<i64>,
    /// Only this topic's.
    #[arg(long)]
    topic: Option<String>,
    /// Only those with this cause, as `tandem dead` has it.
    #[arg(long)]
    cause: Option<String>,
    /// All of the tenant.
    #[arg(long, conflicts_with_all = ["topic", "cause"])]
    all: bool,
}

pub async fn list(host: &Remote, OfTenant { tenant, json }: OfTenant) -> anyhow::Result<()> {
    let answer = host.ask(DEAD_LETTERS, &[&tenant], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let causes: Vec<DeadLetters> = answer.json()?;
    let paint = Paint::for_stdout(config::no_color());
    if causes.is_empty() {
        outln!("no dead letters")?;
    }
    for (n, dead) in causes.iter().enumerate() {
        let blame = dead.blame.as_deref().map(|blame| format!(" by the {blame}'s fault")).unwrap_or_default();
        let head = format!("{} of {}", count(dead.count, "dead letter"), harmless(&dead.topic));
        let tail = format!("{}{blame}, last {}", dead.outcome, moment(&dead.last_ended_at));
        outln!("{}{}, {}", if n > 0 { "\n" } else { "" }, paint.bold(head), harmless(&tail))?;
        outln!("  {}", harmless(&dead.cause))?;
        let told = if dead.count > dead.events.len() { "the first of them: " } else { "" };
        outln!("  {}", paint.dim(format!("{told}{}", events(&dead.events))))?;
    }
    Ok(())
}

pub async fn restart(host: &Remote, Restart { tenant, event }: Restart) -> anyhow::Result<()> {
    host.ask(RESTART, &[&tenant, &event.to_string()], &[], Body::Nothing).await?;
    outln!("event {event} begins again")?;
    Ok(())
}

pub async fn retry(host: &Remote, Retry { which }: Retry) -> anyhow::Result<()> {
    settle(host, RETRY, which, json!({}), "take up again").await
}

pub async fn discard(host: &Remote, Discard { which, why }: Discard) -> anyhow::Result<()> {
    settle(host, DISCARD, which, json!({ "why": why }), "put away for good").await
}

async fn settle(host: &Remote, operation: Operation, which: Which, mut body: Value, what: &str) -> anyhow::Result<()> {
    let Which { tenant, filter: Filter { event, topic, cause, all: _ }, dry_run, yes, json } = which;
    body["event"] = json!(event);
    body["topic"] = json!(topic);
    body["cause"] = json!(cause);
    let ask = async |dry_run: bool| {
        let mut body = body.clone();
        body["dry_run"] = json!(dry_run);
        host.ask(operation, &[&tenant], &[], Body::Json(body)).await
    };
    if !dry_run && !yes {
        let Settled { events: meant } = ask(true).await?.json()?;
        if !meant.is_empty() {
            let what = format!("{what} {}: {}", count(meant.len(), "dead letter"), events(&meant));
            confirm(&what, meant.len() > 1, yes)?;
        }
    }
    let answer = ask(dry_run).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let Settled { events: settled } = answer.json()?;
    let done = match (dry_run, operation == RETRY) {
        (true, _) => format!("would {what}"),
        (false, true) => "taken up again".to_owned(),
        (false, false) => "put away".to_owned(),
    };
    outln!("{done}: {}", events(&settled))?;
    Ok(())
}
