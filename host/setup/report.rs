//! Describes the state of a step for people. Knows neither side.

use super::difference::{State, Step};
use crate::paint::Paint;

/// One line, and a second one if there is a hint.
pub fn line(step: &Step, is_dry: bool, paint: Paint) -> String {
    let (sign, word) = match (step.state, is_dry) {
        (State::There, _) => (paint.dim("="), "already there"),
        (State::Create, false) => (paint.green("+"), "created"),
        (State::Create, true) => (paint.green("+"), "would be created"),
        (State::Change, false) => (paint.yellow("~"), "changed"),
        (State::Change, true) => (paint.yellow("~"), "would be changed"),
        // The text of the step already says what is missing or worth knowing.
        (State::Missing, _) => (paint.red("!"), ""),
        (State::Note, _) => (paint.dim("i"), ""),
        (State::Offer, _) => (paint.yellow("?"), ""),
    };
    let word = if word.is_empty() { String::new() } else { format!(": {word}") };
    let hint = step.hint.as_ref().map_or(String::new(), |hint| format!("  hint: {hint}\n"));
    format!("{sign} {:<8} {}{word}\n{hint}", step.side, step.what)
}
