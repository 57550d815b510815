//! What running a case gave, and what it took. Knows how to show it; judges only whether it is what was expected.

use std::path::PathBuf;

use serde_json::{Value, json};
use similar::TextDiff;

use super::case::{Case, MEMORY_AFTER, TRANSCRIPT};
use super::transcript::{Transcript, UNKNOWN};
use crate::conversation::Ask;
use crate::engine::LOG_BYTES_MAX;
use crate::files;
use crate::model::{Call, Outcome, Request};
use crate::paint::{Paint, harmless};
use crate::rules::Plugin;

/// The share of a limit from which on it is worth a look.
const NEAR: f64 = 0.8;

/// A case that was run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The transcript of the case, if it has one, and the one of the run, in one layout.
    pub expected: Option<String>,
    pub actual: String,
    /// How it ended; `None` when it stopped for want of a reply.
    pub outcome: Option<Outcome>,
    /// Every call, in order.
    pub sent: Vec<Call>,
    /// Calls to which the case gives no reply: there the run stopped.
    pub missing: Vec<String>,
    /// Calls that the other side would not take as they are written, with the reason.
    pub refused: Vec<String>,
    /// Calls of which nobody here knows whether the other side has them.
    pub unknown: Vec<String>,
    /// Why nobody was asked, if the rules do not listen to the topic.
    pub unheard: Option<String>,
    /// What must be remembered, if the case says so, and what is.
    pub memory_expected: Option<String>,
    pub memory_actual: String,
    /// What the end says is to be remembered, as the rules wrote it; `None`: what was before.
    pub remembered: Option<String>,
    /// The names of the entity, those learned included, and of the entities it comes after.
    pub names: Vec<String>,
    pub after: Vec<String>,
    /// The first one is for the key.
    pub asks: Vec<Ask>,
    pub transcript: Transcript,
}

/// Use against a limit, of the ask that came closest to it.
struct Meter {
    name: &'static str,
    unit: &'static str,
    used: u64,
    max: u64,
    /// Of the unit.
    scale: f64,
}

impl Report {
    /// What is not as it should be: a diff, a call that would be refused, or why the conversation could not go on. A case
    /// that expects nothing is wrong if the rules failed, do not listen, find the payload invalid, or asked for what would be
    /// refused: whoever means one of these says so in a transcript.
    pub fn wrong(&self) -> Option<String> {
        let mut wrong = String::new();
        match &self.expected {
            Some(expected) => wrong.push_str(&diff(TRANSCRIPT, expected, &self.actual)),
            None if self.outcome == Some(Outcome::Failed) => wrong.push_str("the rules failed\n"),
            None if self.outcome == Some(Outcome::Invalid) => wrong.push_str("the rules cannot read the payload\n"),
            None => wrong.extend(self.unheard.iter().map(|unheard| format!("{unheard}\n"))),
        }
        if let Some(expected) = &self.memory_expected {
            wrong.push_str(&diff(MEMORY_AFTER, expected, &self.memory_actual));
        }
        for refused in &self.refused {
            wrong.push_str(&format!("would be refused: {refused}\n"));
        }
        if self.expected.is_some() && !self.missing.is_empty() {
            for call in &self.missing {
                wrong.push_str(&format!("the case gives no reply to `{call}`\n"));
            }
            wrong.push_str(&format!(
                "hint: `--bless` writes the call down; then put its reply in place of `< {UNKNOWN}`\n"
            ));
        }
        (!wrong.is_empty()).then_some(wrong)
    }

    /// Lines for people: the name and whether all is well; use against limits; what is wrong, and if nothing is expected,
    /// what would be sent.
    pub fn show(&self, name: &str, paint: Paint) -> String {
        let wrong = self.wrong();
        let mark = match (&wrong, &self.expected) {
            (Some(_), _) => paint.red("FAIL"),
            (None, Some(_)) => paint.green("ok  "),
            (None, None) => paint.yellow("new "),
        };
        let mut text = format!("{mark} {}\n     {}\n", harmless(name), self.used(paint));
        for line in self.log() {
            text.push_str(&format!("     {} {}\n", paint.dim("log"), harmless(line)));
        }
        for unknown in &self.unknown {
            text.push_str(&format!("     {} {}\n", paint.yellow("note"), harmless(unknown)));
        }
        if let Some(wrong) = &wrong {
            text.push_str(&indented(wrong, paint, colored));
        }
        if self.expected.is_none() {
            text.push_str(&indented(&self.actual, paint, |_, line| line.to_owned()));
            for call in &self.missing {
                text.push_str(&format!(
                    "     {} `{}` needs a reply before it can go on\n",
                    paint.yellow("?"),
                    harmless(call)
                ));
            }
        }
        text
    }

    /// `2 calls in 3 asks, fuel 0.51 M of 51.00 M (1.0 %), …`, red where it is over its limit.
    pub fn used(&self, paint: Paint) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut parts = vec![format!("{} in {}", count(self.sent.len(), "call"), count(self.asks.len(), "ask"))];
        parts.extend(self.meters().iter().map(|meter| meter.show(paint)));
        parts.join(", ")
    }

    /// Of the last ask, as the journal keeps it.
    pub fn log(&self) -> &[String] {
        self.asks.last().map_or(&[], |ask| &ask.log)
    }

    fn meters(&self) -> Vec<Meter> {
        type Read = fn(&Ask) -> (u64, u64);
        let (kib, mib) = (f64::from(1 << 10), f64::from(1 << 20));
        let reads: [(&str, &str, f64, Read); 4] = [
            ("fuel", "M", 1e6, |ask| (ask.usage.fuel, ask.limits.fuel_max)),
            ("memory", "MiB", mib, |ask| (ask.usage.memory_bytes as u64, ask.limits.memory_bytes_max as u64)),
            ("output", "KiB", kib, |ask| (ask.usage.output_bytes as u64, ask.limits.output_bytes_max as u64)),
            ("log", "KiB", kib, |ask| (ask.usage.log_bytes as u64, LOG_BYTES_MAX as u64)),
        ];
        let meter = |&(name, unit, scale, read): &(_, _, _, Read)| {
            let share = |(used, max): &(u64, u64)| u128::from(*used) * 1_000_000 / u128::from((*max).max(1));
            let (used, max) = self.asks.iter().map(read).max_by_key(share)?;
            Some(Meter { name, unit, used, max, scale })
        };
        reads.iter().filter_map(meter).collect()
    }

    /// Makes what happened what must happen in its case, and says whether that changes anything. A call without a reply
    /// waits for somebody to give it one.
    pub fn bless(&self, case: &Case) -> anyhow::Result<bool> {
        let mut files = vec![];
        if self.expected.as_ref() != Some(&self.actual) {
            files.push((TRANSCRIPT, self.actual.clone()));
        }
        if self.memory_expected.as_ref().is_some_and(|expected| *expected != self.memory_actual) {
            files.push((MEMORY_AFTER, format!("{}\n", self.memory_actual)));
        }
        for (file, text) in &files {
            let path = case.dir().join(file);
            files::write(&path, text.as_bytes())?;
        }
        Ok(!files.is_empty())
    }

    fn to_json(&self, case: &Case) -> Value {
        let meter = |meter: &Meter| (meter.name.to_owned(), json!({ "used": meter.used, "max": meter.max }));
        let exchanges = self.transcript.passes.iter().flat_map(|pass| &pass.exchanges);
        let calls = exchanges.zip(&self.sent).map(|(exchange, sent)| {
            let body = serde_json::from_str(&exchange.body).unwrap_or(Value::Null);
            let mut call = json!({ "call": exchange.line, "body": body, "answered": exchange.reply.is_some() });
            if let Request::Graphql { document, .. } = &sent.request {
                call["document"] = json!(document);
            }
            call
        });
        let verdict = match (self.wrong(), &self.expected) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "passed",
            (None, None) => "new",
        };
        json!({
            "name": case.name,
            "dir": case.dir().display().to_string(),
            "result": verdict,
            "outcome": self.outcome.map(Outcome::name),
            "ending": self.transcript.end,
            "wrong": self.wrong(),
            "calls": calls.collect::<Vec<_>>(),
            "missing": self.missing,
            "refused": self.refused,
            "unknown": self.unknown,
            "remembered": self.remembered.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))),
            "asks": self.asks.len(),
            // The unit is one of fuel, or a byte.
            "use": self.meters().iter().map(meter).collect::<serde_json::Map<_, _>>(),
            "log": self.log(),
        })
    }
}

/// A case of a run: what came of it, or why it could not be run.
pub struct Ran {
    /// As [`Case::name`], or the folder where that has no such name.
    pub name: String,
    /// Empty for an event that stands in none.
    pub dir: PathBuf,
    /// What is broken is a failure of its own: the other cases run.
    pub result: Result<(Case, Report), String>,
}

/// Cases of each result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    /// Without anything expected.
    pub new: usize,
}

impl Ran {
    fn wrong(&self) -> Option<String> {
        match &self.result {
            Ok((_, report)) => report.wrong(),
            Err(broken) => Some(broken.clone()),
        }
    }

    /// As [`Report::show`].
    pub fn show(&self, paint: Paint) -> String {
        match &self.result {
            Ok((_, report)) => report.show(&self.name, paint),
            Err(broken) => {
                let head = format!("{} {}\n", paint.red("FAIL"), harmless(&self.name));
                head + &indented(broken, paint, |_, line| line.to_owned())
            }
        }
    }

    fn to_json(&self) -> Value {
        match &self.result {
            Ok((case, report)) => report.to_json(case),
            Err(broken) => json!({
                "name": self.name, "dir": self.dir.display().to_string(), "result": "failed", "wrong": broken,
            }),
        }
    }
}

impl Counts {
    pub fn of(all: &[Ran]) -> Self {
        let failed = all.iter().filter(|ran| ran.wrong().is_some()).count();
        let is_new = |ran: &&Ran| {
            ran.result.as_ref().is_ok_and(|(_, report)| report.expected.is_none()) && ran.wrong().is_none()
        };
        let new = all.iter().filter(is_new).count();
        Self { passed: all.len() - failed - new, failed, new }
    }
}

/// What `--json` prints: the rules with the digest of their component, each case with its result (`passed`, `failed`, or `new` without anything expected), and
/// how many of each there are.
pub fn json(plugin: &Plugin, digest: &str, all: &[Ran]) -> Value {
    let Counts { passed, failed, new } = Counts::of(all);
    json!({
        "rules": {
            "name": plugin.manifest().name,
            "version": plugin.manifest().version,
            "digest": format!("sha256:{digest}"),
        },
        "cases": all.iter().map(Ran::to_json).collect::<Vec<_>>(),
        "passed": passed,
        "failed": failed,
        "new": new,
    })
}

/// `12 cases: 10 ok, 1 failed, 1 new`.
pub fn summary(Counts { passed, failed, new }: Counts, paint: Paint) -> String {
    let mut parts = vec![format!("{passed} ok")];
    if failed > 0 {
        parts.push(paint.red(format!("{failed} failed")));
    }
    if new > 0 {
        parts.push(paint.yellow(format!("{new} new, without a transcript: `--bless` writes down what happened")));
    }
    let count = passed + failed + new;
    let cases = if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
    format!("{cases}: {}\n", parts.join(", "))
}

impl Meter {
    fn show(&self, paint: Paint) -> String {
        let (used, max) = (self.used as f64 / self.scale, self.max as f64 / self.scale);
        let share = self.used as f64 / self.max.max(1) as f64;
        let text =
            format!("{} {used:.2} {unit} of {max:.2} {unit} ({:.1} %)", self.name, share * 100.0, unit = self.unit);
        match share {
            share if share >= 1.0 => paint.red(text),
            share if share > NEAR => paint.yellow(text),
            _ => text,
        }
    }
}

pub fn diff(file: &str, expected: &str, actual: &str) -> String {
    if expected == actual {
        return String::new();
    }
    let (expected, actual) = (format!("{}\n", expected.trim_end()), format!("{}\n", actual.trim_end()));
    let diff = TextDiff::from_lines(&expected, &actual);
    diff.unified_diff().context_radius(6).header(&format!("{file}, expected"), &format!("{file}, actual")).to_string()
}

/// A line of a diff in its colour.
fn colored(paint: Paint, line: &str) -> String {
    match line.chars().next() {
        Some('-') => paint.red(line),
        Some('+') => paint.green(line),
        Some('@') => paint.dim(line),
        _ => line.to_owned(),
    }
}

fn indented(text: &str, paint: Paint, show: impl Fn(Paint, &str) -> String) -> String {
    let lines = harmless(text.trim_end());
    lines.lines().map(|line| format!("{}\n", format!("     {}", show(paint, line)).trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limits, Usage};

    fn report(expected: &str, actual: &str) -> Report {
        let usage = Usage { fuel: 500_000, memory_bytes: 1 << 20, output_bytes: 100, log_bytes: 6, ended: None };
        Report {
            expected: Some(expected.into()),
            actual: actual.into(),
            outcome: Some(Outcome::Done),
            sent: vec![],
            missing: vec![],
            refused: vec![],
            unknown: vec![],
            unheard: None,
            memory_expected: None,
            memory_actual: String::new(),
            remembered: None,
            names: vec![],
            after: vec![],
            asks: vec![Ask { usage, limits: Limits::for_input(0), log: vec!["hello".into()] }],
            transcript: Transcript::default(),
        }
    }

    #[test]
    fn a_difference_and_a_missing_reply_are_shown() {
        let talk = "GET omneo /a\n< 404\n\n= done: x\n";
        assert_eq!(report(talk, talk).wrong(), None);
        let stopped = report(talk, "GET omneo /a\n< ?\n\n= ?\n");
        let wrong = Report { missing: vec!["GET omneo /a".into()], ..stopped }.wrong().unwrap();
        assert!(wrong.contains("\n-< 404\n+< ?\n") && wrong.contains("no reply to `GET omneo /a`\n"), "{wrong}");
    }

    #[test]
    fn without_expectations_only_what_cannot_be_right_is_wrong() {
        let new =
            Report { expected: None, missing: vec!["GET omneo /a".into()], ..report("", "GET omneo /a\n< ?\n\n= ?\n") };
        assert_eq!(new.wrong(), None);
        for outcome in [Outcome::Failed, Outcome::Invalid] {
            assert!(Report { outcome: Some(outcome), ..new.clone() }.wrong().is_some());
        }
        let unheard = Report { unheard: Some("nobody listens".into()), ..new.clone() };
        assert_eq!(unheard.wrong().as_deref(), Some("nobody listens\n"));
        let meant = Report { expected: Some(unheard.actual.clone()), missing: vec![], ..unheard };
        assert_eq!(meant.wrong(), None, "a transcript that says so means it");
        assert!(Report { refused: vec!["GET omneo /b".into()], ..new }.wrong().is_some());
    }

    #[test]
    fn use_stands_beside_the_limit_and_is_red_above_it() {
        let mut report = report("x\n", "x\n");
        let shown = report.show("a/b/c", Paint::plain());
        assert!(
            shown.starts_with("ok   a/b/c\n     0 calls in 1 ask, fuel 0.50 M of 50.00 M (1.0 %), memory 1.00 MiB of "),
            "{shown}"
        );
        assert!(shown.ends_with("log 0.01 KiB of 16.00 KiB (0.0 %)\n     log hello\n"), "{shown}");
        report.asks[0].usage.log_bytes = LOG_BYTES_MAX + 1;
        let shown = report.used(Paint::colors());
        assert!(shown.contains("\u{1b}[31mlog 16.00 KiB of 16.00 KiB (100.0 %)\u{1b}[0m"), "{shown}");
        assert!(!shown.contains("\u{1b}[31mmemory"), "{shown}");
    }
}
