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

/// A message of serde without the text that did not fit: it may be a secret that stands in the wrong place.
pub fn unquoted(message: &str) -> String {
    let (mut left, mut rest) = (String::new(), message);
    while let Some((before, quoted)) = rest.split_once(": string \"") {
        let mut escaped = false;
        let end = quoted.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        left += &format!("{before}: a text");
        rest = end.map_or("", |end| &quoted[end + 1..]);
    }
    left + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_not_repeated() {
        let message =
            r#"at /token: invalid type: string "s\"3\\", expected u32; invalid value: string "x", expected y"#;
        let said = "at /token: invalid type: a text, expected u32; invalid value: a text, expected y";
        assert_eq!(unquoted(message), said);
        assert_eq!(unquoted("missing field `token`"), "missing field `token`");
    }
}
