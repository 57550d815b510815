//! Events for people: a line each, or one with all that was done about it. Knows how to show; reads nothing itself.

use std::fmt::Write as _;

use crate::clock;
use crate::model::Millis;
use crate::paint::{Paint, harmless};

mod view;

pub use view::{Attempt, Call, Event, EventInFull, Run};

/// Characters of a JSON text that are shown before it is cut.
const TEXT_CHARS_MAX: usize = 2_000;
/// Characters that a list leaves for the name of a tenant; a longer one moves its line.
const TENANT_CHARS: usize = 10;

/// What stands above a list of events. Times are in UTC, as the journal keeps them.
pub fn head(paint: Paint) -> String {
    let columns = format!(
        "{:>5} {:<19} {:<TENANT_CHARS$} {:<26} {:<24} {:<8} {:<7} {}",
        "event", "received (UTC)", "tenant", "topic", "about", "outcome", "calls", "reason"
    );
    format!("{}\n", paint.dim(columns))
}

/// A line an event, in order of arrival.
pub fn list(events: &[Event], paint: Paint) -> String {
    if events.is_empty() {
        return "no events\n".to_owned();
    }
    let lines = events.iter().map(|event| format!("{}\n", dated(event, paint)));
    head(paint) + &lines.collect::<String>()
}

/// A line of a list that may span days.
pub fn dated(event: &Event, paint: Paint) -> String {
    let moment = |at: Millis| format!("{} {}", clock::date(at), clock::time_of_day(at));
    with_time(event, &at(&event.received_at, moment), TENANT_CHARS, paint)
}

/// `    7 09:41:03 acme  customers/update  shopify/customer/7064  done  2 calls  to Omneo: first name`
pub fn line(event: &Event, paint: Paint) -> String {
    with_time(event, &at(&event.received_at, clock::time_of_day), 0, paint)
}

fn with_time(event: &Event, time: &str, width: usize, paint: Paint) -> String {
    let outcome = event.outcome.as_deref();
    let calls = match event.calls {
        0 => "       ".to_owned(),
        1 => " 1 call".to_owned(),
        n => format!("{n:>2} calls"),
    };
    format!(
        "{:>5} {} {:<width$} {:<26} {} {} {} {}",
        event.id,
        paint.dim(time),
        harmless(&event.tenant),
        harmless(&event.topic),
        paint.dim(format!("{:<24}", short(event.names.first().map_or("", String::as_str)))),
        paint.outcome(outcome, format!("{:<8}", outcome.unwrap_or("waiting"))),
        calls,
        harmless(&reason(event))
    )
}

/// Why an event ended as it did, or that this is not known any more.
fn reason(event: &Event) -> String {
    match (&event.reason, &event.redacted_at) {
        (Some(reason), _) => reason.clone(),
        (None, Some(when)) if event.outcome.is_some() => format!("redacted on {}", at(when, clock::date)),
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

/// A time shown so; as it is, if it is none.
fn at(rfc3339: &str, show: fn(Millis) -> String) -> String {
    clock::parse(rfc3339).map_or_else(|| harmless(rfc3339), show)
}

/// An event with its payload, and each run with its calls, attempts and replies.
pub fn show(EventInFull { event, payload, runs }: &EventInFull, paint: Paint) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{} {}", paint.dim(format!("{name:<10}")), harmless(value));
        }
    };
    field("event", &event.id.to_string());
    field("tenant", &event.tenant);
    field("topic", &format!("{} {}", event.source, event.topic));
    field("delivery", event.delivery_id.as_deref().unwrap_or_default());
    field("occurred", &event.occurred_at);
    field("received", &event.received_at);
    field("about", &event.names.join(", "));
    field("outcome", event.outcome.as_deref().unwrap_or("waiting"));
    field("blame", event.blame.as_deref().unwrap_or_default());
    field("reason", event.reason.as_deref().unwrap_or_default());
    field("ended", event.ended_at.as_deref().unwrap_or_default());
    field("redacted", event.redacted_at.as_deref().unwrap_or_default());
    if !payload.is_empty() {
        let _ = writeln!(text, "\n{}\n{}", paint.bold("payload"), json(payload, ""));
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

fn show_call(text: &mut String, call: &Call, paint: Paint) {
    let _ = writeln!(text, "  {} {}", paint.dim(format!("{}.", call.pass + 1)), paint.bold(harmless(&call.call)));
    if !call.body.is_empty() {
        let _ = writeln!(text, "{}", json(&call.body, "     "));
    }
    for attempt in &call.attempts {
        let outcome = attempt.outcome.as_deref().unwrap_or("under way, or cut off by a stop of the host");
        let ended = attempt.ended_at.as_deref().and_then(clock::parse);
        let took = ended.zip(clock::parse(&attempt.began_at)).map(|(ended, began)| format!(" in {} ms", ended - began));
        let (began, took) = (at(&attempt.began_at, clock::time_of_day), took.unwrap_or_default());
        let _ = writeln!(text, "     {}", paint.dim(format!("attempt at {began}: {}{took}", harmless(outcome))));
    }
    let _ = match (&call.status, &call.reply) {
        (Some(status), body) => {
            let body = json(body.as_deref().unwrap_or_default(), "     ");
            writeln!(text, "  {} {status}\n{body}", paint.dim("<"))
        }
        (None, Some(why)) => writeln!(text, "  {} unknown: {}", paint.dim("<"), harmless(why)),
        (None, None) => writeln!(text, "  {} no reply yet", paint.dim("<")),
    };
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
