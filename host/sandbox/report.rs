//! What running a case gave, and what it took. Knows how to show it; judges only whether it is what was expected.

use std::fmt;

use similar::TextDiff;

use super::transcript::UNKNOWN;
use crate::engine::{Limits, Usage};

/// A case that was run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The transcript of the case and the one of the run, in one layout.
    pub expected: String,
    pub actual: String,
    pub calls: usize,
    /// Calls to which the case gives no reply: there the run stopped.
    pub missing: Vec<String>,
    /// What must be remembered, if the case says so, and what is.
    pub memory_expected: Option<String>,
    pub memory_actual: String,
    /// The first one is for the key.
    pub asks: Vec<Ask>,
    /// Of the last ask.
    pub log: Vec<String>,
}

/// What an ask used, of what it may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    pub usage: Usage,
    pub limits: Limits,
}

impl Report {
    /// What is not as expected: a diff, or why the conversation could not go on.
    pub fn wrong(&self) -> Option<String> {
        let mut wrong = diff("transcript.http", &self.expected, &self.actual);
        if let Some(expected) = &self.memory_expected {
            wrong.push_str(&diff("memory.after.json", expected, &self.memory_actual));
        }
        for call in &self.missing {
            wrong.push_str(&format!("the case gives no reply to `{call}`\n"));
        }
        if !self.missing.is_empty() {
            wrong.push_str(&format!(
                "hint: `BLESS=1` writes the call down; then put its reply in place of `< {UNKNOWN}`\n"
            ));
        }
        (!wrong.is_empty()).then_some(wrong)
    }
}

fn diff(file: &str, expected: &str, actual: &str) -> String {
    if expected == actual {
        return String::new();
    }
    let (expected, actual) = (format!("{}\n", expected.trim_end()), format!("{}\n", actual.trim_end()));
    let diff = TextDiff::from_lines(&expected, &actual);
    diff.unified_diff().context_radius(6).header(&format!("{file}, expected"), &format!("{file}, actual")).to_string()
}

/// One line of use against limits, of the ask that came closest to each, and the log beneath it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        write!(f, "{} in {}", count(self.calls, "call"), count(self.asks.len(), "ask"))?;
        let fuel = |ask: &&Ask| share(ask.usage.fuel, ask.limits.fuel_max);
        if let Some(ask) = self.asks.iter().max_by_key(fuel) {
            let (used, max) = (ask.usage.fuel as f64 / 1e6, ask.limits.fuel_max as f64 / 1e6);
            write!(f, ", fuel {used:.2} M of {max:.2} M ({:.1} %)", fuel(&ask) as f64 / 10.0)?;
        }
        let memory = |ask: &&Ask| share(ask.usage.memory_bytes as u64, ask.limits.memory_bytes_max as u64);
        if let Some(ask) = self.asks.iter().max_by_key(memory) {
            let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
            let (used, max) = (mib(ask.usage.memory_bytes), mib(ask.limits.memory_bytes_max));
            write!(f, ", memory {used:.2} MiB of {max:.2} MiB ({:.1} %)", memory(&ask) as f64 / 10.0)?;
        }
        for line in &self.log {
            write!(f, "\nlog: {line}")?;
        }
        Ok(())
    }
}

/// In thousandths.
fn share(used: u64, max: u64) -> u64 {
    used.saturating_mul(1000) / max.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(expected: &str, actual: &str) -> Report {
        let usage = Usage { fuel: 500_000, memory_bytes: 1 << 20 };
        Report {
            expected: expected.into(),
            actual: actual.into(),
            calls: 1,
            missing: vec![],
            memory_expected: None,
            memory_actual: String::new(),
            asks: vec![Ask { usage, limits: Limits::for_input(0) }],
            log: vec!["hello".into()],
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
    fn use_stands_beside_the_limit() {
        let shown = report("", "GET omneo /a\n< 404\n\n= done: x\n").to_string();
        assert!(shown.starts_with("1 call in 1 ask, fuel 0.50 M of "), "{shown}");
        assert!(shown.contains(", memory 1.00 MiB of ") && shown.ends_with("\nlog: hello"), "{shown}");
    }
}
