//! Mistakes in a rules file, in words. Knows no setting.

use tandem_sdk::Problem;

pub fn problem(at: &str, message: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem { at: at.into(), message: message.into(), fix: fix.into() }
}

/// The known word that was probably meant.
pub fn nearest<'a>(text: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = among.map(|known| (strsim::damerau_levenshtein(text, known), known));
    scored.min().filter(|(distance, known)| *distance <= 2.max(known.len() / 3)).map(|(_, known)| known)
}

pub fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// A key as part of a JSON pointer.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
