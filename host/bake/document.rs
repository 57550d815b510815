//! A rules file as text: reads the TOML, turns it into JSON, and shows mistakes where they stand.
//!
//! Knows where each key is; what the keys mean only the component knows.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::paint::harmless;
use crate::rules::Problem;

/// Mistakes shown of one file, and looked up in it; the rest is counted.
const MISTAKES_MAX: usize = 100;
const PROBLEMS_MAX: usize = 1_000;
/// Characters shown of a message, a fix, and a line of the file.
const MESSAGE_CHARS_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 160;
/// Of a longer line, how many stand before the place in question.
const BEFORE_CHARS: usize = 40;

/// A rules file that has been read as far as it can be.
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    table: Spanned<DeValue<'a>>,
    /// What the TOML itself does wrong, and what it can say and JSON cannot.
    mistakes: Vec<Mistake>,
    /// Whether the table is a guess, because the TOML is broken somewhere.
    guessed: bool,
}

#[derive(Clone)]
struct Mistake {
    place: Range<usize>,
    message: String,
    fix: String,
}

/// What a pointer leads to, as far as it leads.
struct Found<'a> {
    /// Of the key, or of the element of a list; for the root the beginning of the file.
    place: Range<usize>,
    value: &'a DeValue<'a>,
    whole: bool,
}

impl<'a> Document<'a> {
    pub fn read(file: &'a str, text: &'a str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let guessed = !errors.is_empty();
        let mut mistakes = of_toml(text, table.get_ref(), &errors);
        let table = Spanned::new(0..0, DeValue::Table(table.into_inner()));
        unsayable(text, 0..0, &table, &mut mistakes);
        Self { file, text, table, mistakes, guessed }
    }

    /// The rules as JSON.
    pub fn json(&self) -> Value {
        to_json(self.table.get_ref())
    }

    pub fn is_sound(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The line, from 1, of what a JSON pointer leads to.
    pub fn line(&self, pointer: &str) -> Option<usize> {
        let found = self.find(pointer);
        found.whole.then(|| line_of(self.text, found.place.start))
    }

    /// Every mistake in the file, those that the component has found among them, in the order of the file.
    pub fn refused(&self, problems: &[Problem]) -> String {
        let lines: Vec<_> = self.mistakes.iter().map(|mistake| line_of(self.text, mistake.place.start)).collect();
        let known = |problem: &&Problem| {
            let found = self.find(&problem.at);
            // Where the TOML is broken, something may seem to be missing that stands there, and what stands in a broken
            // line was not read right.
            let is_sure = !self.guessed || found.whole && !found.value.is_table();
            is_sure && !lines.contains(&line_of(self.text, found.place.start))
        };
        let of_component = problems.iter().take(PROBLEMS_MAX).filter(known).map(|problem| self.mistake(problem));
        let mistakes = self.mistakes.iter().cloned().chain(of_component).collect();
        self.show("error", mistakes, problems.len().saturating_sub(PROBLEMS_MAX))
    }

    /// What the component was in doubt about.
    pub fn warnings(&self, problems: &[Problem]) -> String {
        let warnings = problems.iter().take(PROBLEMS_MAX).map(|problem| self.mistake(problem)).collect();
        self.show("warning", warnings, problems.len().saturating_sub(PROBLEMS_MAX))
    }

    fn mistake(&self, problem: &Problem) -> Mistake {
        let Problem { at, message, fix } = problem;
        Mistake { place: self.find(at).place, message: message.clone(), fix: fix.clone() }
    }

    fn find(&self, pointer: &str) -> Found<'_> {
        let mut found = Found { place: 0..0, value: self.table.get_ref(), whole: true };
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match found.value {
                DeValue::Table(table) => table
                    .iter()
                    .find(|(key, _)| key.get_ref().as_ref() == part)
                    .map(|(key, value)| (key.span(), value.get_ref())),
                DeValue::Array(list) => {
                    part.parse().ok().and_then(|n: usize| list.get(n)).map(|value| (value.span(), value.get_ref()))
                }
                _ => None,
            };
            let Some((place, value)) = next else { return Found { whole: false, ..found } };
            found = Found { place, value, whole: true };
        }
        found
    }

    fn show(&self, kind: &str, mut mistakes: Vec<Mistake>, others: usize) -> String {
        mistakes.sort_by_key(|mistake| mistake.place.start);
        let more = mistakes.len().saturating_sub(MISTAKES_MAX) + others;
        let mut shown: Vec<_> = mistakes.iter().take(MISTAKES_MAX).map(|mistake| self.render(kind, mistake)).collect();
        if more > 0 {
            shown.push(format!("{kind}: {more} more in {}\nhint: begin with these\n", self.file));
        }
        shown.join("\n")
    }

    /// A mistake as a compiler would show it.
    fn render(&self, kind: &str, mistake: &Mistake) -> String {
        let Mistake { place, message, fix } = mistake;
        let start = self.text.floor_char_boundary(place.start.min(self.text.len()));
        let mark = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let line_start = self.text[..start].rfind('\n').map_or(mark.min(start), |at| at + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let (number, column) = (line_of(self.text, start), self.text[line_start..start].chars().count());
        let width = self.text.get(start..place.end.min(line_start + line.len())).map_or(1, |part| part.chars().count());
        // A window on a long line.
        let from = if line.chars().count() > LINE_CHARS_MAX { column.saturating_sub(BEFORE_CHARS) } else { 0 };
        let mut seen: String = line.chars().skip(from).take(LINE_CHARS_MAX).collect();
        let to = from + seen.chars().count();
        if to < line.chars().count() {
            seen.push('…');
        }
        let ahead = if from > 0 { "…" } else { "" };
        // A tab is wider than the caret below it.
        let seen = harmless(&seen).replace('\t', " ");
        let indent = " ".repeat(column - from + ahead.chars().count());
        let carets = "^".repeat(width.clamp(1, to.saturating_sub(column).max(1)));
        let gutter = " ".repeat(number.to_string().len());
        let (message, fix) = (brief(message), brief(fix));
        let (file, column) = (self.file, column + 1);
        format!(
            "{kind}: {message}\n{gutter}--> {file}:{number}:{column}\n{gutter} |\n{number} | {ahead}{seen}\n{gutter} | {indent}{carets}\nhint: {fix}\n"
        )
    }
}

/// The line of a place, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What is wrong with the TOML. One mistake makes others behind it: the first of a line stands for them, and what is not
/// closed for all that it seems to hold.
fn of_toml(text: &str, table: &DeTable, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut mistakes: Vec<_> = errors.iter().take(PROBLEMS_MAX).map(|error| Mistake::of_toml(text, error)).collect();
    let mut open = vec![];
    for mistake in &mut mistakes {
        let (at, message) = (mistake.place.start, mistake.message.as_str());
        let is_open = message.starts_with("unclosed array,") || message.starts_with("unclosed inline table,");
        if is_open && let Some(span) = table.values().find_map(|value| bracket(text, value, at)) {
            mistake.place = span.start..span.start + 1;
            mistake.fix = format!("{}, where it ends", mistake.fix.trim_end_matches(" here"));
            open.push(span);
        }
    }
    let inside = |at: usize| open.iter().any(|span| span.start < at && at <= span.end);
    mistakes.retain(|mistake| !inside(mistake.place.start));
    mistakes.sort_by_key(|mistake| mistake.place.start);
    mistakes.dedup_by_key(|mistake| line_of(text, mistake.place.start));
    mistakes
}

/// The outermost list or inline table around a place.
fn bracket(text: &str, value: &Spanned<DeValue>, at: usize) -> Option<Range<usize>> {
    let span = value.span();
    let is_bracket = text.get(span.start..).is_some_and(|text| text.starts_with(['[', '{']));
    match value.get_ref() {
        DeValue::Array(_) | DeValue::Table(_) if is_bracket && span.start < at && at <= span.end => Some(span),
        DeValue::Array(list) => list.iter().find_map(|value| bracket(text, value, at)),
        DeValue::Table(table) => table.values().find_map(|value| bracket(text, value, at)),
        _ => None,
    }
}

impl Mistake {
    fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().unwrap_or(0..0);
        let before = text.get(..place.start).unwrap_or_default().trim_end_matches([' ', '\t']);
        let behind = text.get(place.start..).unwrap_or_default();
        let is_missing = behind.is_empty() || behind.starts_with(['\n', '\r', '}', ']', ',', '#']);
        let message = match before.ends_with('=') && is_missing {
            true => "a value is missing, expected value".to_owned(),
            false => error.message().replace('\n', ", "),
        };
        let fix = match message.rsplit_once(", expected ") {
            _ if message == "duplicate key" => "keep one of the two".to_owned(),
            _ if message.contains("must be quoted") => "put the text in quotes: `\"…\"`".to_owned(),
            _ if message.contains("keys cannot be empty") => "write a key here".to_owned(),
            Some((_, "nothing")) => "remove it".to_owned(),
            Some((_, "value")) => "write one: `\"text\"`, `3`, `true` or `[\"one\", \"two\"]`".to_owned(),
            Some((_, one)) if one.starts_with('`') && one.matches('`').count() == 2 => format!("write {one} here"),
            _ => "correct the TOML; it is described at https://toml.io".to_owned(),
        };
        Self { place, message, fix }
    }
}

/// What TOML can say and JSON cannot.
fn unsayable(text: &str, place: Range<usize>, value: &Spanned<DeValue>, mistakes: &mut Vec<Mistake>) {
    let wrong = |why: &str| Mistake {
        place: place.clone(),
        message: format!("`{}` is {why}", text.get(value.span()).unwrap_or_default()),
        fix: "write another number, or a text in quotes".to_owned(),
    };
    match value.get_ref() {
        DeValue::Integer(integer) if i64::from_str_radix(integer.as_str(), integer.radix()).is_err() => {
            mistakes.push(wrong("more than 64 bits hold"));
        }
        DeValue::Float(float) if !float.as_str().parse::<f64>().is_ok_and(f64::is_finite) => {
            mistakes.push(wrong("no number that a setting can be"));
        }
        DeValue::Array(list) => list.iter().for_each(|value| unsayable(text, value.span(), value, mistakes)),
        DeValue::Table(table) => table.iter().for_each(|(key, value)| unsayable(text, key.span(), value, mistakes)),
        _ => {}
    }
}

fn to_json(value: &DeValue) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(float) => float.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(list) => list.iter().map(|value| to_json(value.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect(),
        ),
    }
}

/// A text from elsewhere, in one line of bearable length.
fn brief(text: &str) -> String {
    let text = harmless(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
