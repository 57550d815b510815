//! A rules file as text: reads the TOML, turns it into JSON, and shows mistakes where they stand.
//!
//! Knows where each key is; what the keys mean only the component knows.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::excerpt::{self, Mistake, line_of, of_toml};
use crate::rules::Problem;

/// Mistakes that are looked up in a file. The rest are counted.
const PROBLEMS_MAX: usize = 1_000;

/// A rules file that has been read as far as it can be.
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    table: Spanned<DeValue<'a>>,
    /// Mistakes of the TOML itself, and what TOML can say and JSON cannot.
    mistakes: Vec<Mistake>,
    /// Whether the table is a guess, because the TOML is broken somewhere.
    guessed: bool,
}

/// What a pointer leads to, as far as it leads.
struct Found<'a> {
    /// The place of the key, or of the element of a list; for the root, the beginning of the file.
    place: Range<usize>,
    /// The place of the value.
    span: Range<usize>,
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
            // If the TOML is broken, something may seem to be missing that is there, and a broken line was not read
            // right.
            let is_sure = !self.guessed || found.whole && !found.value.is_table();
            is_sure && !lines.contains(&line_of(self.text, found.place.start))
        };
        let of_component = problems.iter().take(PROBLEMS_MAX).filter(known).map(|problem| self.mistake(problem));
        let mistakes = self.mistakes.iter().cloned().chain(of_component).collect();
        excerpt::show("error", self.file, self.text, mistakes, problems.len().saturating_sub(PROBLEMS_MAX))
    }

    /// The doubts of the component.
    pub fn warnings(&self, problems: &[Problem]) -> String {
        let warnings = problems.iter().take(PROBLEMS_MAX).map(|problem| self.mistake(problem)).collect();
        excerpt::show("warning", self.file, self.text, warnings, problems.len().saturating_sub(PROBLEMS_MAX))
    }

    fn mistake(&self, problem: &Problem) -> Mistake {
        let Problem { at, message, fix } = problem;
        Mistake { place: self.find(at).place, message: message.clone(), fix: fix.clone() }
    }

    fn find(&self, pointer: &str) -> Found<'_> {
        let mut found = Found { place: 0..0, span: 0..0, value: self.table.get_ref(), whole: true };
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match found.value {
                DeValue::Table(table) => table
                    .iter()
                    .find(|(key, _)| key.get_ref().as_ref() == part)
                    .map(|(key, value)| (key.span(), value.span(), value.get_ref())),
                DeValue::Array(list) => {
                    let value = part.parse().ok().and_then(|n: usize| list.get(n));
                    value.map(|value| (value.span(), value.span(), value.get_ref()))
                }
                // After the pointer to a text, a number stands for one of its characters.
                DeValue::String(_) => {
                    let place = part.parse().ok().and_then(|n| self.character(&found.span, n));
                    Some((place.unwrap_or(found.place.clone()), found.span.clone(), found.value))
                }
                _ => None,
            };
            let Some((place, span, value)) = next else { return Found { whole: false, ..found } };
            found = Found { place, span, value, whole: true };
        }
        found
    }

    /// The place of a character of a text, counted from 0, or of its end if the text is shorter. `None` if the file
    /// writes the text with escapes or in several lines.
    fn character(&self, span: &Range<usize>, n: usize) -> Option<Range<usize>> {
        let written = self.text.get(span.clone())?;
        let mark = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|mark| written.starts_with(mark))?;
        let inside = written.strip_prefix(mark)?.strip_suffix(mark)?;
        if inside.contains(['\\', '\n']) {
            return None;
        }
        let (at, c) = inside.char_indices().nth(n).unwrap_or((inside.len(), '"'));
        let start = span.start + mark.len() + at;
        Some(start..start + c.len_utf8())
    }
}

/// Adds what TOML can say and JSON cannot.
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
