//! Colour, where there is a terminal to show it. Knows escape codes only.

use std::fmt::Display;
use std::io::IsTerminal;

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// On when standard output is a terminal, unless colour is not wanted.
    pub fn for_stdout(no_color: bool) -> Self {
        Self { on: !no_color && std::io::stdout().is_terminal() }
    }

    pub fn plain() -> Self {
        Self { on: false }
    }

    #[cfg(test)]
    pub fn colors() -> Self {
        Self { on: true }
    }

    pub fn green(self, text: impl Display) -> String {
        self.with("32", text)
    }

    pub fn yellow(self, text: impl Display) -> String {
        self.with("33", text)
    }

    pub fn red(self, text: impl Display) -> String {
        self.with("31", text)
    }

    pub fn dim(self, text: impl Display) -> String {
        self.with("2", text)
    }

    pub fn bold(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// By how an event ended.
    pub fn outcome(self, outcome: Option<&str>, text: impl Display) -> String {
        match outcome {
            Some("done") => self.green(text),
            Some("skipped") => self.dim(text),
            Some(_) => self.red(text),
            None => self.yellow(text),
        }
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// A text from outside without anything that a terminal would act on.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}
