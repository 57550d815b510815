//! `tandem import`: what a tenant has of its past, read by a host and made into events. Knows no other command.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::access::confirm;
use super::operations::{CHANGE_IMPORT, IMPORT, IMPORTS};
use super::table::{count, moment, table};
use crate::admin::{Import, ImportState};
use crate::config;
use crate::output::{note, noteln, out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

/// How often the host is asked how far an import is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Arguments {
    /// The tenant.
    tenant: String,
    /// The collections to read, as the rules call them: `customers`. Without any, all that the rules have.
    collections: Vec<String>,
    /// Read only what has changed since then: `2026-01-31`, or a time with an offset.
    #[arg(long)]
    since: Option<String>,
    /// Do not ask before anything is begun, and agree to what the rules warn of.
    #[arg(long, short)]
    yes: bool,
    /// Print how far the imports of the tenant are, and begin none.
    #[arg(long, conflicts_with_all = ["collections", "since", "yes", "detach"], group = "instead")]
    status: bool,
    /// Read no further until `--resume`. Events that were made go on.
    #[arg(long, conflicts_with_all = ["collections", "since", "yes"], group = "instead")]
    pause: bool,
    /// Go on with the import that is paused.
    #[arg(long, conflicts_with_all = ["collections", "since", "yes"], group = "instead")]
    resume: bool,
    /// End the import that is open. What has become an event stays one.
    #[arg(long, conflicts_with_all = ["collections", "since", "yes"], group = "instead")]
    cancel: bool,
    /// Why it is paused, resumed or cancelled: it is shown with the import and in the audit trail.
    #[arg(long, default_value = "asked for by hand")]
    why: String,
    /// Do not wait until it is over.
    #[arg(long)]
    detach: bool,
    /// Print the host's answer as JSON.
    #[arg(long, requires = "status")]
    json: bool,
}

pub async fn run(host: &Remote, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tenant, collections, since, yes, why, detach, json, .. } = &arguments;
    let wish = match () {
        () if arguments.status => return status(host, tenant, *json).await,
        () if arguments.pause => Some("pause"),
        () if arguments.resume => Some("run"),
        () if arguments.cancel => Some("cancel"),
        () => None,
    };
    if let Some(wish) = wish {
        let body = json!({ "wish": wish, "why": why });
        let import: Import = host.ask(CHANGE_IMPORT, &[tenant], &[], Body::Json(body)).await?.json()?;
        if arguments.resume && !detach {
            return follow(host, tenant, import.id).await;
        }
        outln!("import {} of {tenant} is {}", import.id, word(import.state))?;
        return Ok(());
    }
    let what = if collections.is_empty() { "everything".to_owned() } else { collections.join(" and ") };
    let from = since.as_deref().map(|since| format!(" that has changed since {since}")).unwrap_or_default();
    confirm(&format!("read {what}{from} of {tenant}, and have its rules write what is not in step"), true, *yes)?;
    let body = json!({ "collections": collections, "since": since, "agreed": yes });
    let import: Import = host.ask(IMPORT, &[tenant], &[], Body::Json(body)).await?.json()?;
    if !import.why.is_empty() {
        noteln!("{}", import.why);
    }
    if *detach {
        outln!("import {} of {tenant} has begun; `tandem import {tenant} --status` says how far it is", import.id)?;
        return Ok(());
    }
    follow(host, tenant, import.id).await
}

async fn status(host: &Remote, tenant: &str, json: bool) -> anyhow::Result<()> {
    let answer = host.ask(IMPORTS, &[tenant], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let imports: Vec<Import> = answer.json()?;
    if imports.is_empty() {
        outln!("nothing was imported for {tenant} yet")?;
    }
    imports.iter().try_for_each(show)
}

/// Waits until everything was read and every event is over, or the import ends otherwise.
async fn follow(host: &Remote, tenant: &str, id: i64) -> anyhow::Result<()> {
    let (began, watches) = (Instant::now(), std::io::stderr().is_terminal());
    loop {
        let imports: Vec<Import> = host.ask(IMPORTS, &[tenant], &[], Body::Nothing).await?.json()?;
        let import =
            imports.into_iter().find(|import| import.id == id).context("the host has no such import any more")?;
        let is_over = match import.state {
            ImportState::Running => false,
            ImportState::Done => import.waiting == 0,
            _ => true,
        };
        if watches {
            note!("\r\x1b[2K{}", line(&import, began.elapsed()));
        }
        if is_over {
            if watches {
                note!("\r\x1b[2K");
            }
            show(&import)?;
            if import.state != ImportState::Done {
                bail!("import {id} of {tenant} {}: {}", how(import.state), import.why);
            }
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// How far an import is, in a line that is written over.
fn line(import: &Import, taken: Duration) -> String {
    let (items, total) = import.readings.iter().fold((0, 0), |(items, total), reading| {
        (items + reading.items, total + reading.total.unwrap_or(reading.items).max(reading.items))
    });
    let rate = items as f64 / taken.as_secs_f64().max(1.0);
    let left = if rate > 0.0 { (total - items) as f64 / rate } else { 0.0 };
    let reading = import.readings.iter().find(|reading| reading.ended_at.is_none());
    let what = reading.map_or("everything was read", |reading| reading.name.as_str());
    let filled = usize::try_from(20 * items / total.max(1)).unwrap_or(20).min(20);
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(20 - filled));
    let waiting = import.waiting;
    format!("[{bar}] {items} of {total}, {rate:.0}/s, {left:.0} s left: {what}; {waiting} events under way")
}

fn show(import: &Import) -> anyhow::Result<()> {
    let since =
        import.since.as_deref().map(|since| format!(", what has changed since {}", moment(since))).unwrap_or_default();
    let why = if import.why.is_empty() { String::new() } else { format!(" ({})", import.why) };
    let state = word(import.state);
    outln!("import {} by {}, begun {}{since}: {state}{why}", import.id, import.by, moment(&import.began_at))?;
    let rows: Vec<_> = import
        .readings
        .iter()
        .map(|reading| {
            let state = match (&reading.began_at, &reading.ended_at) {
                (None, _) => "to come",
                (_, None) => "under way",
                _ => "read",
            };
            vec![
                format!("{} of {}", reading.name, reading.source),
                state.to_owned(),
                reading.total.map(|total| total.to_string()).unwrap_or_default(),
                reading.items.to_string(),
                reading.in_step.to_string(),
                reading.events.to_string(),
            ]
        })
        .collect();
    let head = ["collection", "now", "there are", "read", "in step", "events"];
    out!("{}", table(&head, &rows, Paint::for_stdout(config::no_color())))?;
    let mut ends: Vec<_> = import.outcomes.iter().map(|over| format!("{} {}", over.events, over.outcome)).collect();
    if import.waiting > 0 {
        ends.push(format!("{} not over", import.waiting));
    }
    if !ends.is_empty() {
        outln!("{}: {}", count(usize::try_from(events(import)).unwrap_or(usize::MAX), "event"), ends.join(", "))?;
    }
    Ok(())
}

fn events(import: &Import) -> u64 {
    import.waiting + import.outcomes.iter().map(|outcome| outcome.events).sum::<u64>()
}

fn word(state: ImportState) -> &'static str {
    match state {
        ImportState::Running => "running",
        ImportState::Paused => "paused",
        ImportState::Done => "done",
        ImportState::Failed => "failed",
        ImportState::Cancelled => "cancelled",
    }
}

/// How an import that was followed ended otherwise.
fn how(state: ImportState) -> &'static str {
    match state {
        ImportState::Failed => "has failed",
        ImportState::Paused => "is paused",
        _ => "was cancelled",
    }
}
