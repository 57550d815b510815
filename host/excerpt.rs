//! Shows the mistakes in a file, each in its line, as a compiler does; also finds mistakes in the syntax of TOML. Knows
//! no keys.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::paint::harmless;

/// The greatest number of mistakes that are shown of one file, and that are looked up in it. The others are only
/// counted.
const MISTAKES_MAX: usize = 100;
const PROBLEMS_MAX: usize = 1_000;
/// The greatest number of characters of a message, a fix, and a line of the file.
const MESSAGE_CHARS_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 160;
/// In a longer line, how many characters are shown before the place of the mistake.
const BEFORE_CHARS: usize = 40;

/// What is wrong at a place of a file, and the fix.
#[derive(Clone)]
pub struct Mistake {
    pub place: Range<usize>,
    pub message: String,
    pub fix: String,
}

/// All mistakes in the order of the file, and the number of those that are left out.
pub fn show(kind: &str, file: &str, text: &str, mut mistakes: Vec<Mistake>, others: usize) -> String {
    mistakes.sort_by_key(|mistake| mistake.place.start);
    let more = mistakes.len().saturating_sub(MISTAKES_MAX) + others;
    let mut shown: Vec<_> =
        mistakes.iter().take(MISTAKES_MAX).map(|mistake| render(kind, file, text, mistake)).collect();
    if more > 0 {
        shown.push(format!("{kind}: {more} more in {}\nhint: begin with these\n", file));
    }
    shown.join("\n")
}

/// Shows one mistake, as a compiler does.
fn render(kind: &str, file: &str, text: &str, mistake: &Mistake) -> String {
    let Mistake { place, message, fix } = mistake;
    let start = text.floor_char_boundary(place.start.min(text.len()));
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let line_start = text[..start].rfind('\n').map_or(mark.min(start), |at| at + 1);
    let line = text[line_start..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let (number, column) = (line_of(text, start), text[line_start..start].chars().count());
    let width = text.get(start..place.end.min(line_start + line.len())).map_or(1, |part| part.chars().count());
    // Only a part of a long line is shown.
    let from = if line.chars().count() > LINE_CHARS_MAX { column.saturating_sub(BEFORE_CHARS) } else { 0 };
    let mut seen: String = line.chars().skip(from).take(LINE_CHARS_MAX).collect();
    let to = from + seen.chars().count();
    if to < line.chars().count() {
        seen.push('…');
    }
    let ahead = if from > 0 { "…" } else { "" };
    // A tab would be wider than the caret below it.
    let seen = harmless(&seen).replace('\t', " ");
    let indent = " ".repeat(column - from + ahead.chars().count());
    let carets = "^".repeat(width.clamp(1, to.saturating_sub(column).max(1)));
    let gutter = " ".repeat(number.to_string().len());
    let (message, fix) = (brief(message), brief(fix));
    let column = column + 1;
    let hint = if fix.is_empty() { String::new() } else { format!("hint: {fix}\n") };
    format!(
        "{kind}: {message}\n{gutter}--> {file}:{number}:{column}\n{gutter} |\n{number} | {ahead}{seen}\n{gutter} | {indent}{carets}\n{hint}"
    )
}

/// The number of the line at a place, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The mistakes in the syntax of TOML. One mistake causes others after it: of several in one line only the first is
/// reported, and an unclosed bracket stands for everything inside it.
pub fn of_toml(text: &str, table: &DeTable, errors: &[toml::de::Error]) -> Vec<Mistake> {
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

/// The known word that was probably meant.
pub fn nearest<'a>(text: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = among.map(|known| (strsim::damerau_levenshtein(text, known), known));
    scored.min().filter(|(distance, known)| *distance <= 2.max(known.len() / 3)).map(|(_, known)| known)
}

/// A text from outside, in one line and cut to a reasonable length.
fn brief(text: &str) -> String {
    let text = harmless(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
