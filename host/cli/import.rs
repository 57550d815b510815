//! `tandem import`: what a tenant has of its past, read by a host and made into events. Knows no other command.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::access::confirm;
use super::operations::{CHANGE_IMPORT, CLUES, IMPORT, IMPORTS};
use super::table::{count, moment, table};
use crate::admin::{Import, ImportKind, ImportReading, ImportState, Sampled, SharedClues};
use crate::config;
use crate::output::{note, noteln, out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

/// Groups of items that share something, of each kind.
const GROUPS_SHOWN: usize = 3;
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
    /// Read and compare, and make nothing of it: how many items are not in step is shown.
    #[arg(long)]
    plan: bool,
    /// Do not ask before anything is begun, and agree to what the rules warn of.
    #[arg(long, short)]
    yes: bool,
    /// Print how far the imports of the tenant are, and begin none.
    #[arg(long, conflicts_with_all = ["collections", "since", "yes", "detach"], group = "instead")]
    status: bool,
    /// Print what the items that were read share: what matches, and what a person may want to look at.
    #[arg(long, conflicts_with_all = ["collections", "since", "plan", "yes", "detach"], group = "instead")]
    conflicts: bool,
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
    let Arguments { tenant, collections, since, plan, yes, why, detach, json, .. } = &arguments;
    let wish = match () {
        () if arguments.status => return status(host, tenant, *json).await,
        () if arguments.conflicts => return conflicts(host, tenant).await,
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
    let act = format!("read {what}{from} of {tenant}, and have its rules write what is not in step");
    if !plan {
        confirm(&act, true, *yes)?;
    }
    let body = json!({ "collections": collections, "since": since, "agreed": yes, "plan": plan });
    let import: Import = host.ask(IMPORT, &[tenant], &[], Body::Json(body)).await?.json()?;
    if *detach {
        return begun(tenant, &import);
    }
    follow(host, tenant, import.id).await
}

/// Says of an import that it has begun, for whoever does not wait.
pub fn begun(tenant: &str, import: &Import) -> anyhow::Result<()> {
    if !import.why.is_empty() {
        noteln!("{}", import.why);
    }
    outln!("{} {} of {tenant} has begun; `tandem import {tenant} --status` says how far it is", kind(import), import.id)
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
pub async fn follow(host: &Remote, tenant: &str, id: i64) -> anyhow::Result<()> {
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
            if import.plan && import.state == ImportState::Done {
                conflicts(host, tenant).await?;
            }
            if import.state != ImportState::Done {
                bail!("{} {id} of {tenant} {}: {}", kind(&import), how(import.state), import.why);
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
    let (state, kind) = (word(import.state), kind(import));
    outln!("{kind} {} by {}, begun {}{since}: {state}{why}", import.id, import.by, moment(&import.began_at))?;
    let rows: Vec<_> = import.readings.iter().map(|reading| row(import, reading)).collect();
    let head: &[&str] = match import.plan {
        true => &["collection", "now", "there are", "read", "in step", "not in step", "gone"],
        false => &["collection", "now", "there are", "read", "in step", "events", "gone", "over"],
    };
    out!("{}", table(head, &rows, Paint::for_stdout(config::no_color())))?;
    for reading in import.readings.iter().filter(|reading| !reading.why.is_empty()) {
        outln!("{}: {}", reading.name, reading.why)?;
    }
    if import.waiting > 0 {
        outln!("{} not over", count(usize::try_from(import.waiting).unwrap_or(usize::MAX), "event"))?;
    }
    if import.plan {
        import.readings.iter().filter(|reading| !reading.sample.is_empty()).try_for_each(show_sample)?;
        outln!("nothing was made of it")?;
    }
    Ok(())
}

fn show_sample(reading: &ImportReading) -> anyhow::Result<()> {
    let looked: u64 = reading.sample.iter().map(|sampled| sampled.items).sum();
    outln!("of {} that are not in step, {looked} were looked at:", reading.name)?;
    let row = |sampled: &Sampled| vec![sampled.items.to_string(), sampled.what.clone(), sampled.names.join(", ")];
    let rows: Vec<_> = reading.sample.iter().map(row).collect();
    out!("{}", table(&["items", "what the rules do", "such as"], &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

/// What the items that were read share.
async fn conflicts(host: &Remote, tenant: &str) -> anyhow::Result<()> {
    let SharedClues { collections, alike } = host.ask(CLUES, &[tenant], &[], Body::Nothing).await?.json()?;
    let paint = || Paint::for_stdout(config::no_color());
    if collections.is_empty() {
        outln!("nothing is known of what is shared; `tandem import {tenant} --plan` reads it")?;
        return Ok(());
    }
    let rows: Vec<_> = collections
        .into_iter()
        .map(|by| vec![by.collection, by.matched.to_string(), by.doubtful.to_string(), by.alone.to_string()])
        .collect();
    out!("{}", table(&["collection", "match", "in doubt", "alone"], &rows, paint()))?;
    let rows: Vec<_> = alike
        .into_iter()
        .map(|alike| {
            let groups: Vec<_> = alike.groups.iter().take(GROUPS_SHOWN).map(|names| names.join(" = ")).collect();
            let of = if alike.collection.is_empty() { "all".to_owned() } else { alike.collection };
            vec![of, alike.kind, alike.count.to_string(), groups.join("; ")]
        })
        .collect();
    if !rows.is_empty() {
        outln!("to be looked at:")?;
        out!("{}", table(&["of", "what", "how many", "such as"], &rows, paint()))?;
    }
    Ok(())
}

fn row(import: &Import, reading: &ImportReading) -> Vec<String> {
    let state = match (&reading.began_at, &reading.ended_at) {
        (None, _) => "to come",
        (_, None) => "under way",
        _ => "read",
    };
    let what = match (&reading.since, reading.by_names) {
        (_, true) => format!("names of {}", reading.name),
        (Some(since), _) if import.since.is_none() => format!("{} since {}", reading.name, moment(since)),
        _ => reading.name.clone(),
    };
    let number = |number: u64, counts: bool| if counts { number.to_string() } else { String::new() };
    let mut row = vec![
        format!("{what} of {}", reading.source),
        state.to_owned(),
        reading.total.map(|total| total.to_string()).unwrap_or_default(),
        reading.items.to_string(),
        number(reading.in_step, !reading.by_names),
        number(reading.events - reading.missing.min(reading.events), !reading.by_names),
        number(reading.missing, reading.by_names),
    ];
    if !import.plan {
        let collection = if reading.by_names { format!("missing/{}", reading.name) } else { reading.name.clone() };
        let ends = import.outcomes.iter().filter(|over| over.collection == collection);
        row.push(ends.map(|over| format!("{} {}", over.events, over.outcome)).collect::<Vec<_>>().join(", "));
    }
    row
}

fn kind(import: &Import) -> &'static str {
    match (import.kind, import.plan) {
        (ImportKind::Import, false) => "import",
        (ImportKind::Import, true) => "plan of an import",
        (ImportKind::Reconciliation, false) => "reconciliation",
        (ImportKind::Reconciliation, true) => "plan of a reconciliation",
    }
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
