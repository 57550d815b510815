//! The conversation of a case step by step, for people: the event, what was remembered, what the rules asked and were told,
//! what each ask took, and what they remember in the end. Knows how to show it; runs nothing.

use similar::{ChangeTag, TextDiff};

use super::case::Case;
use super::layout;
use super::report::Report;
use crate::clock;
use crate::conversation::Ask;
use crate::model::{Names, Reply, Request};
use crate::paint::{Paint, harmless};

/// Characters of a text that are shown before it is cut.
const TEXT_CHARS_MAX: usize = 4_000;

/// Every step of a case that was run.
pub fn trace(case: &Case, report: &Report, paint: Paint) -> String {
    let webhook = &case.event.webhook;
    let mut lines = Lines { text: format!("{}\n", paint.bold(harmless(&case.name))), paint };
    let received = clock::rfc3339(webhook.received_at);
    lines.say(
        "event",
        &format!("{} of {}, occurred {}, received {received}", webhook.topic, webhook.source, webhook.occurred_at),
    );
    lines.more(&layout::text(&webhook.payload));
    match case.memory.is_empty() {
        true => lines.say("memory", "nothing"),
        false => case.memory.iter().for_each(|memory| lines.say("memory", &layout::text(memory))),
    }
    let mut asks = report.asks.iter();
    lines.step("key", asks.next());
    if !report.names.is_empty() {
        lines.say("about", &report.names.join(", "));
    }
    if !report.after.is_empty() {
        lines.say("after", &report.after.join(", "));
    }
    let mut sent = report.sent.iter();
    for (n, pass) in report.transcript.passes.iter().enumerate() {
        lines.step(&format!("step {}", n + 1), asks.next());
        lines.names(&pass.names);
        for exchange in &pass.exchanges {
            lines.say("asked", &exchange.line);
            // What a reply has to hold stands in the document.
            if let Some(Request::Graphql { document, .. }) = sent.next().map(|call| &call.request) {
                lines.more(document);
            }
            lines.more(&exchange.body);
            match &exchange.reply {
                Some(given) => match &given.reply {
                    Reply::Answer(answer) => {
                        lines.say("was told", &answer.status.to_string());
                        lines.more(&layout::text(&answer.body));
                    }
                    Reply::Unknown(why) => lines.say("was told", &format!("that nobody knows how it ended: {why}")),
                },
                None => lines.say("was told", "nothing: the case gives no reply"),
            }
        }
    }
    if report.outcome.is_none() {
        lines.say("stopped", "for want of a reply");
    } else {
        lines.step(&format!("step {}", report.transcript.passes.len() + 1), asks.next());
        lines.names(&report.transcript.names);
        lines.say("ended", &report.transcript.end);
        match &report.remembered {
            None => lines.say("remembers", "what was there before"),
            Some(memory) if memory.is_empty() => lines.say("remembers", "nothing any more"),
            Some(_) => {
                lines.say("remembers", "");
                let before = case.memory.first().map(|memory| layout::text(memory)).unwrap_or_default();
                lines.change(&before, &report.memory_actual);
            }
        }
    }
    for refused in &report.refused {
        lines.painted("refused", &paint.red(harmless(refused)));
    }
    lines.text
}

struct Lines {
    text: String,
    paint: Paint,
}

impl Lines {
    /// The head of a step, with what its ask took and logged; nothing if nobody was asked.
    fn step(&mut self, name: &str, ask: Option<&Ask>) {
        let Some(Ask { usage, limits, log }) = ask else { return };
        let share = usage.fuel as f64 / limits.fuel_max.max(1) as f64 * 100.0;
        let (fuel, memory) = (usage.fuel as f64 / 1e6, usage.memory_bytes as f64 / f64::from(1 << 20));
        let took = self.paint.dim(format!("{fuel:.2} M of fuel ({share:.1} %), {memory:.2} MiB of memory"));
        self.text.push_str(&format!("{} {took}\n", self.paint.bold(format!("{name:<12}"))));
        for line in log {
            self.say("logged", line);
        }
    }

    fn names(&mut self, names: &Names) {
        names.learned.iter().for_each(|name| self.say("learned", name));
        names.retired.iter().for_each(|name| self.say("retired", name));
    }

    fn say(&mut self, what: &str, text: &str) {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.painted(what, &harmless(first));
        self.more(rest);
    }

    fn painted(&mut self, what: &str, line: &str) {
        let line = format!("  {} {line}", self.paint.dim(format!("{what:<10}")));
        self.text.push_str(&format!("{}\n", line.trim_end()));
    }

    fn more(&mut self, text: &str) {
        let text = harmless(text);
        let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
        for line in shown.lines() {
            self.text.push_str(&format!("             {line}\n"));
        }
        if shown.len() < text.len() {
            self.text.push_str(&format!("             … ({} characters in all)\n", text.chars().count()));
        }
    }

    /// What is remembered, with what was forgotten and what is new.
    fn change(&mut self, before: &str, after: &str) {
        let (before, after) = (format!("{before}\n"), format!("{after}\n"));
        for change in TextDiff::from_lines(if before == "\n" { "" } else { &before }, &after).iter_all_changes() {
            let line = harmless(change.value().trim_end());
            let line = match change.tag() {
                ChangeTag::Equal => format!("  {line}"),
                ChangeTag::Delete => self.paint.red(format!("- {line}")),
                ChangeTag::Insert => self.paint.green(format!("+ {line}")),
            };
            self.text.push_str(&format!("           {line}\n"));
        }
    }
}
