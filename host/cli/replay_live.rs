//! `tandem replay` on a host: recorded events through the live version once more, compared or sent. Knows no other command.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::access::confirm;
use super::operations::REPLAY;
use super::table::{count, events};
use super::wrong_command;
use crate::admin::{LeftOut, PreviewedCall, PreviewedEvent, ReplayPreview, Replayed};
use crate::clock;
use crate::config;
use crate::model::Millis;
use crate::output::{out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Remote};
use crate::replay::{self, Report};
use crate::rules::short;

/// Which events, and what about them. Only a host takes these.
#[derive(Args)]
#[command(next_help_heading = "On a host, through the live version")]
pub struct Live {
    /// These events: `7,9,12`.
    #[arg(long, value_delimiter = ',', value_name = "EVENTS")]
    events: Option<Vec<i64>>,
    /// From this event on.
    #[arg(long, value_name = "EVENT")]
    from: Option<i64>,
    /// Up to this event.
    #[arg(long, value_name = "EVENT")]
    to: Option<i64>,
    /// Only this topic's.
    #[arg(long)]
    topic: Option<String>,
    /// Only those that ended so; `dead` for every dead letter.
    #[arg(long, value_parser = ["done", "skipped", "refused", "invalid", "failed", "discarded", "dead"])]
    outcome: Option<String>,
    /// Have them begin again and send their calls, instead of only comparing.
    #[arg(long)]
    send: bool,
    /// With `--send`: only show what would be sent.
    #[arg(long, requires = "send")]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, requires = "send")]
    yes: bool,
}

impl Live {
    /// Whether anything is wished that a journal alone cannot do.
    pub fn is_wished(&self) -> bool {
        self.send
            || self.events.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.topic.is_some()
            || self.outcome.is_some()
    }
}

pub async fn run(host: &Remote, tenant: &str, since: Option<Millis>, live: Live, json: bool) -> anyhow::Result<()> {
    if !live.is_wished() && since.is_none() {
        return Err(wrong_command(anyhow!(
            "it is not said which events\nhint: `--events 7,9`, `--from`, `--to`, `--since`, `--topic` or `--outcome`; a candidate is proved by `tandem deploy` and `tandem prove`"
        )));
    }
    let Live { events: chosen, from, to, topic, outcome, send, dry_run, yes } = live;
    let mut body = json!({
        "events": chosen, "first": from, "last": to, "since": since.map(clock::rfc3339), "topic": topic,
        "outcome": outcome, "send": send,
    });
    if !send {
        let answer = host.ask(REPLAY, &[tenant], &[], Body::Json(body)).await?;
        if json {
            outln!("{}", answer.text)?;
            return Ok(());
        }
        let Replayed { left_out, report, .. } = answer.json()?;
        let report: Report = serde_json::from_value(report.unwrap_or_default())?;
        out!("{}", replay::text(&report, Paint::for_stdout(config::no_color())))?;
        out!("{}", omitted(&left_out))?;
        return Ok(());
    }
    body["dry_run"] = json!(true);
    let answer = host.ask(REPLAY, &[tenant], &[], Body::Json(body.clone())).await?;
    let dry: Replayed = answer.json()?;
    if dry_run && json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    if !json {
        out!("{}", shown(&dry, Paint::for_stdout(config::no_color())))?;
    }
    if dry_run {
        return Ok(());
    }
    let writes = dry.preview.as_ref().map_or(0, |preview| preview.writes);
    let what =
        format!("replay {} of {tenant} and send calls, {writes} of them writes", count(dry.events.len(), "event"));
    // What is sent is sent: also one event takes somebody who means it.
    confirm(&what, true, yes)?;
    body["dry_run"] = Value::Bool(false);
    body["confirm"] = json!(dry.confirm);
    let answer = host.ask(REPLAY, &[tenant], &[], Body::Json(body)).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let Replayed { events: again, .. } = answer.json()?;
    outln!("begin again: {}", events(&again))?;
    Ok(())
}

/// What would be sent.
fn shown(dry: &Replayed, paint: Paint) -> String {
    let mut text = format!("{} through {}\n", count(dry.events.len(), "event"), short(&dry.version));
    let Some(ReplayPreview { calls, writes, open, failing, events: told }) = &dry.preview else { return text };
    text += &format!("{calls} calls, {writes} of them writes\n");
    if *open > 0 {
        text += &format!("{open} may ask for more: that hangs on replies that nobody has\n");
    }
    if *failing > 0 {
        text += &format!("{}\n", paint.red(format!("{failing} would fail")));
    }
    for PreviewedEvent { event, topic, calls, ending } in told {
        text += &format!("\n{} {}\n", paint.bold(format!("event {event}")), harmless(topic));
        for PreviewedCall { call, writes, answered, .. } in calls {
            let note = match (answered, writes) {
                (true, _) => paint.dim(" (not again: it was answered, and may not be sent twice)"),
                (false, true) => String::new(),
                (false, false) => paint.dim(" (reads)"),
            };
            text += &format!("  {}{note}\n", harmless(call));
        }
        text += &format!("  {}\n", paint.dim(harmless(ending)));
    }
    let untold = dry.events.len().saturating_sub(told.len());
    if untold > 0 {
        text += &format!("\nand {}\n", count(untold, "more event"));
    }
    text + &omitted(&dry.left_out)
}

/// Events that were meant and are not replayed, with why.
fn omitted(left_out: &LeftOut) -> String {
    let LeftOut { waiting, redacted, own, unknown } = left_out;
    let why = BTreeMap::from([
        ("not over yet", waiting),
        ("redacted", redacted),
        ("done by the host itself, once", own),
        ("not in the journal", unknown),
    ]);
    let some = why.into_iter().filter(|(_, ids)| !ids.is_empty());
    some.map(|(why, ids)| format!("left out, {why}: {}\n", events(ids))).collect()
}
