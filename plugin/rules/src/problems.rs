//! Describes mistakes in a rules file in words. Knows no setting.

use std::fmt::Display;

use tandem_sdk::Problem;

/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 60;

pub fn problem(at: &str, message: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem { at: at.into(), message: message.into(), fix: fix.into() }
}

/// The known word that was probably meant.
pub fn nearest<'a>(text: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = |known: &str| 2.max(known.len() / 3);
    // The edit distance is at least the difference in length. Checking that first keeps a long text cheap.
    let chars = text.chars().count();
    let may_be = among.filter(|known| chars.abs_diff(known.chars().count()) <= most(known));
    let scored = may_be.map(|known| (strsim::damerau_levenshtein(text, known), known));
    scored.min().filter(|(distance, known)| *distance <= most(known)).map(|(_, known)| known)
}

pub fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// A key as part of a JSON pointer.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Enough of a value for the author to recognise it.
pub fn brief(value: impl Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
