//! `[reconcile]`: when the host reads again what may have changed without a webhook. Knows times; not what is read.

use std::ops::Range;

use super::check::Check;
use super::file::ReconcileFile;

const NEVER: &str = "never";
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// When tenants are reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nightly {
    /// Minutes after midnight, UTC.
    pub at: u16,
    /// The day on which all names are read, too; 0 is Sunday.
    pub names_on: Option<u8>,
}

impl Default for Nightly {
    fn default() -> Self {
        Self { at: 2 * 60, names_on: Some(0) }
    }
}

impl Check<'_> {
    pub fn reconcile(&mut self, file: &ReconcileFile) -> Option<Nightly> {
        let default = Nightly::default();
        let names_on = match &file.names_on {
            Some(given) => match DAYS.iter().position(|day| day == given.get_ref()) {
                Some(day) => u8::try_from(day).ok(),
                None if given.get_ref() == NEVER => None,
                None => {
                    self.unfit(given.span(), "names_on", given.get_ref(), "a day, such as `sunday`, or `never`");
                    None
                }
            },
            None => default.names_on,
        };
        let at = match &file.at {
            Some(given) if given.get_ref() == NEVER => return None,
            Some(given) => match minutes(given.get_ref()) {
                Some(at) => at,
                None => {
                    self.unfit(given.span(), "at", given.get_ref(), "a time in UTC, such as `02:00`, or `never`");
                    return None;
                }
            },
            None => default.at,
        };
        Some(Nightly { at, names_on })
    }

    fn unfit(&mut self, place: Range<usize>, key: &str, given: &str, wanted: &str) {
        self.problem(place, format!("`{key}` of `[reconcile]` is `{given}`\nhint: use {wanted}"));
    }
}

/// `02:00` in minutes after midnight.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| is_number(text));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(60 * hours + minutes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_time_and_a_day_are_read_and_what_is_neither_is_named() {
        let read = |lines: &str| {
            let text = format!("[reconcile]\n{lines}\n");
            let config = super::super::parse("tandem.toml", &text, Path::new("/"), |_| None);
            config.map(|config| config.reconcile).map_err(|problems| problems.to_string())
        };
        assert_eq!(read(""), Ok(Some(Nightly { at: 120, names_on: Some(0) })));
        assert_eq!(read("at = \"never\""), Ok(None));
        assert_eq!(read("at = \"23:59\"\nnames_on = \"never\""), Ok(Some(Nightly { at: 1439, names_on: None })));
        assert_eq!(read("names_on = \"saturday\""), Ok(Some(Nightly { at: 120, names_on: Some(6) })));
        for at in ["24:00", "12:60", "2:00", "noon", "02:00:00", "+1:00", "", "é:00"] {
            let said = read(&format!("at = \"{at}\"")).unwrap_err();
            assert!(said.contains(&format!("`at` of `[reconcile]` is `{at}`")), "{said}");
        }
        assert!(read("names_on = \"Sunday\"").unwrap_err().contains("a day, such as `sunday`"));
    }
}
