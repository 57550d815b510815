//! Events for people: a line each, or one with all that was done about it. Knows how to show; reads nothing itself.

use std::fmt::Write as _;

use crate::clock;
use crate::journal::{CallRow, EventRow, RunRow};
use crate::model::Reply;
use crate::paint::{Paint, harmless};

/// Characters of a JSON text that are shown before it is cut.
const TEXT_CHARS_MAX: usize = 2_000;

/// A line an event, in order of arrival.
pub fn list(events: &[EventRow], paint: Paint) -> String {
    let mut text = String::new();
    for event in events {
        let _ = writeln!(text, "{}", line(event, paint));
    }
    if events.is_empty() {
        text.push_str("no events\n");
    }
    text
}

/// `    7 09:41:03 acme  customers/update  shopify/customer/7064  done  2 calls  to Omneo: first name`
pub fn line(event: &EventRow, paint: Paint) -> String {
    let webhook = &event.event.webhook;
    let outcome = event.outcome.as_deref();
    let calls = match event.calls {
        0 => "       ".to_owned(),
        1 => " 1 call".to_owned(),
        n => format!("{n:>2} calls"),
    };
    format!(
        "{:>5} {} {} {:<26} {} {} {} {}",
        event.event.id,
        paint.dim(clock::time_of_day(webhook.received_at)),
        harmless(&webhook.tenant),
        harmless(&webhook.topic),
        paint.dim(format!("{:<24}", short(event.names.first().map_or("", String::as_str)))),
        paint.outcome(outcome, format!("{:<8}", outcome.unwrap_or("waiting"))),
        calls,
        harmless(&reason(event))
    )
}

/// Why an event ended as it did, or that this is not known any more.
fn reason(event: &EventRow) -> String {
    match (&event.reason, event.redacted_at) {
        (Some(reason), _) => reason.clone(),
        (None, Some(at)) if event.outcome.is_some() => format!("redacted on {}", clock::date(at)),
        (None, Some(_)) => "is redacted when it is over".into(),
        (None, None) => String::new(),
    }
}

/// A name without its source, and a UUID by its first part.
fn short(name: &str) -> String {
    let name = name.split_once('/').map_or(name, |(_, rest)| rest);
    match name.rsplit_once('/') {
        Some((kind, id)) if id.len() == 36 => format!("{kind}/{}", &harmless(id).chars().take(8).collect::<String>()),
        _ => harmless(name),
    }
}

/// An event with its payload, and each run with its calls, attempts and replies.
pub fn show(event: &EventRow, runs: &[RunRow], paint: Paint) -> String {
    let webhook = &event.event.webhook;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{} {}", paint.dim(format!("{name:<10}")), harmless(value));
        }
    };
    field("event", &event.event.id.to_string());
    field("tenant", &webhook.tenant);
    field("topic", &format!("{} {}", webhook.source, webhook.topic));
    field("delivery", webhook.delivery_id.as_deref().unwrap_or_default());
    field("occurred", &webhook.occurred_at);
    field("received", &clock::rfc3339(webhook.received_at));
    field("about", &event.names.join(", "));
    field("outcome", event.outcome.as_deref().unwrap_or("waiting"));
    field("blame", event.blame.as_deref().unwrap_or_default());
    field("reason", event.reason.as_deref().unwrap_or_default());
    field("ended", &event.ended_at.map(clock::rfc3339).unwrap_or_default());
    field("redacted", &event.redacted_at.map(clock::rfc3339).unwrap_or_default());
    if !webhook.payload.is_empty() {
        let _ = writeln!(text, "\n{}\n{}", paint.bold("payload"), json(&webhook.payload, ""));
    }
    for (n, run) in runs.iter().enumerate() {
        let version: String = run.version.chars().take(12).collect();
        let _ = writeln!(
            text,
            "\n{} {}",
            paint.bold(format!("run {}", n + 1)),
            paint.dim(format!(
                "version {version}, {}, {} asks, {} million units of fuel",
                run.state,
                run.asks,
                run.fuel / 1_000_000
            ))
        );
        for call in &run.calls {
            show_call(&mut text, call, paint);
        }
        for line in run.log.iter().flat_map(|log| log.lines()) {
            let _ = writeln!(text, "  {} {}", paint.dim("log"), harmless(line));
        }
    }
    text
}

fn show_call(text: &mut String, call: &CallRow, paint: Paint) {
    let _ =
        writeln!(text, "  {} {}", paint.dim(format!("{}.", call.pass + 1)), paint.bold(harmless(&call.call.line())));
    if !call.call.body().is_empty() {
        let _ = writeln!(text, "{}", json(call.call.body(), "     "));
    }
    for attempt in &call.attempts {
        let outcome = attempt.outcome.as_deref().unwrap_or("under way, or cut off by a stop of the host");
        let took = attempt.ended_at.map(|ended| format!(" in {} ms", ended - attempt.began_at)).unwrap_or_default();
        let at = clock::time_of_day(attempt.began_at);
        let _ = writeln!(text, "     {}", paint.dim(format!("attempt at {at}: {}{took}", harmless(outcome))));
    }
    match &call.reply {
        Some(Reply::Answer(answer)) => {
            let _ = writeln!(text, "  {} {}\n{}", paint.dim("<"), answer.status, json(&answer.body, "     "));
        }
        Some(Reply::Unknown(why)) => {
            let _ = writeln!(text, "  {} unknown: {}", paint.dim("<"), harmless(why));
        }
        None => {
            let _ = writeln!(text, "  {} no reply yet", paint.dim("<"));
        }
    }
}

/// JSON laid out and indented; anything else as it is.
fn json(text: &str, indent: &str) -> String {
    let laid_out = serde_json::from_str::<serde_json::Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned());
    let mut shown: String = laid_out.chars().take(TEXT_CHARS_MAX).collect();
    if laid_out.chars().count() > TEXT_CHARS_MAX {
        let _ = write!(shown, "\n… ({} characters in all)", laid_out.chars().count());
    }
    harmless(&shown).lines().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}
