//! Shows a replay's report to people. Compares nothing.

use std::fmt::Write as _;

use super::difference::{Class, Kind, Shape};
use super::report::{Cases, Example, Group, Report, Told};
use crate::paint::{Paint, harmless};

/// Characters of a digest that tell versions apart.
const DIGEST_CHARS: usize = 12;

/// What `tandem replay` prints.
pub fn text(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let candidate = &report.candidate;
    let digest: String = candidate.digest.chars().take(DIGEST_CHARS).collect();
    let _ = writeln!(
        text,
        "{} of {} through {} {} ({digest})",
        events(report.events),
        harmless(&report.tenant),
        harmless(&candidate.name),
        harmless(&candidate.version)
    );
    let _ = writeln!(text, "{}", paint.dim(pace(report)));
    text.push('\n');
    let asked = [Class::Identical, Class::Different, Class::Diverged, Class::Failed];
    for class in Class::ALL {
        let count = report.count(class);
        if count > 0 || asked.contains(&class) {
            let name = format!("{:<15}", class.name());
            let name = if count > 0 { colour(class, name, paint) } else { paint.dim(name) };
            let _ = writeln!(text, "{count:>9}  {name} {}", paint.dim(meaning(class)));
        }
    }
    if report.key_differs > 0 {
        let _ = writeln!(
            text,
            "\n{}",
            paint.yellow(format!(
                "{} would be in another lane: this version is activated with empty lanes only",
                events(report.key_differs)
            ))
        );
    }
    if let Some(cases) = report.cases.as_ref().filter(|cases| **cases != Cases::default()) {
        show_cases(&mut text, cases, paint);
    }
    let (brief, told): (Vec<_>, Vec<_>) = report.groups.iter().partition(|group| is_brief(group));
    for group in told {
        show(&mut text, group, paint);
    }
    if !brief.is_empty() {
        text.push('\n');
    }
    for group in brief {
        let name = colour(group.class, format!("{:<15}", group.class.name()), paint);
        let _ = writeln!(text, "{name} {}: {}", harmless(&group.note), paint.dim(which(group)));
    }
    if report.ungrouped > 0 {
        let _ = writeln!(text, "\n{} with yet other differences", events(report.ungrouped));
    }
    text
}

fn pace(report: &Report) -> String {
    let (Some(first), Some(last)) = (report.first, report.last) else { return "nothing to replay".into() };
    let seconds = report.took_ms as f64 / 1e3;
    let rate = report.events as f64 / seconds.max(0.001);
    format!("events {first} to {last}, in {seconds:.1} s, {rate:.0} a second")
}

fn events(n: u64) -> String {
    format!("{n} event{}", if n == 1 { "" } else { "s" })
}

fn meaning(class: Class) -> &'static str {
    match class {
        Class::Identical => "the same calls, and the same end",
        Class::Different => "other calls, or another end",
        Class::Diverged => "asks for what has no recorded reply",
        Class::Failed => "fails, and did not",
        Class::NewlyHeard => "of a topic that nobody listened to; not compared",
        Class::NoLongerHeard => "of a topic that it does not listen to; not compared",
        Class::Unheard => "of a topic that neither listens to",
        Class::Unfinished => "not brought to an end by rules; not compared",
        Class::Redacted => "nothing is left to run",
        Class::Host => "of a topic that the host answers itself",
        Class::Incomplete => "the record lacks what the run was given; not compared",
    }
}

fn colour(class: Class, text: String, paint: Paint) -> String {
    match class {
        Class::Identical => paint.green(text),
        Class::Failed => paint.red(text),
        Class::Different | Class::Diverged | Class::NewlyHeard | Class::NoLongerHeard => paint.yellow(text),
        _ => text,
    }
}

fn show(text: &mut String, group: &Group, paint: Paint) {
    let name = paint.bold(colour(group.class, group.class.name().to_owned(), paint));
    let topics = group.topics.iter().map(|topic| harmless(topic)).collect::<Vec<_>>();
    let _ = writeln!(text, "\n{name}, {}: {}", events(group.events), topics.join(", "));
    if !group.note.is_empty() {
        let _ = writeln!(text, "  {}", harmless(&group.note));
    }
    for shape in &group.changes {
        let _ = writeln!(text, "  {}", line(shape));
    }
    for example in &group.examples {
        show_values(text, example, paint);
    }
    let Some(first) = group.examples.first() else { return };
    let far = match group.class {
        Class::Diverged => format!("; {} of {} recorded calls asked", first.calls_asked, first.calls_recorded),
        _ => String::new(),
    };
    let _ = writeln!(text, "  {}", paint.dim(format!("{}{far}: `tandem events {}`", which(group), first.event)));
}

fn show_cases(text: &mut String, cases: &Cases, paint: Paint) {
    let Cases { passed, failed } = cases;
    let _ = writeln!(
        text,
        "\n{passed} case{}, {} fail{}",
        if *passed == 1 { " passes" } else { "s pass" },
        failed.len(),
        if failed.len() == 1 { "s" } else { "" }
    );
    for case in failed {
        let _ = writeln!(text, "{}", paint.red(harmless(&case.name)));
        for line in harmless(&case.wrong).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
}

/// Whether the topic of a group is all there is to say of it.
fn is_brief(group: &Group) -> bool {
    group.changes.is_empty() && group.topics.contains(&group.note)
}

/// `events 17, 19, 23 and 4 more`
fn which(group: &Group) -> String {
    let numbers: Vec<_> = group.examples.iter().map(|example| example.event.to_string()).collect();
    let more = group.events - numbers.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("event{} {}{more}", if group.events == 1 { "" } else { "s" }, numbers.join(", "))
}

/// `PUT omneo /profiles/* /body/last_name changed`
fn line(shape: &Shape) -> String {
    let call = shape.call.as_ref().map(|call| harmless(call));
    match (&call, shape.at.as_str(), shape.change) {
        (Some(call), "", Kind::Added) => return format!("{call} is asked for, and has no recorded reply"),
        (Some(call), "", _) => return format!("{call} is not asked for"),
        _ => {}
    }
    let call = call.map(|call| format!("{call} ")).unwrap_or_default();
    let at = harmless(&shape.at);
    match (&shape.words, shape.change) {
        (Some([then, now]), _) => format!("{call}{at} was {}, is {}", harmless(then), harmless(now)),
        (None, Kind::Added) => format!("{call}{at} added"),
        (None, Kind::Changed) => format!("{call}{at} changed"),
        (None, Kind::Removed) => format!("{call}{at} removed"),
    }
}

fn show_values(text: &mut String, example: &Example, paint: Paint) {
    let has_value = |told: &&Told| told.then.is_some() || told.now.is_some();
    let told: Vec<_> = example.changes.iter().filter(has_value).collect();
    if told.is_empty() && example.reason.is_empty() {
        return;
    }
    let _ = writeln!(text, "    {}", paint.dim(format!("event {}", example.event)));
    if !example.reason.is_empty() {
        let _ = writeln!(text, "      {}", harmless(&example.reason));
    }
    for told in told {
        let call = told.shape.call.as_ref().map(|call| format!("{call} ")).unwrap_or_default();
        let value = |value: &Option<String>| harmless(value.as_deref().unwrap_or("nothing"));
        let place = harmless(&format!("{call}{}", told.shape.at));
        let place = place.trim_end();
        let _ = writeln!(text, "      {place}: {} → {}", paint.red(value(&told.then)), paint.green(value(&told.now)));
    }
    if example.more_changes > 0 {
        let _ = writeln!(text, "      and {} more", example.more_changes);
    }
}
