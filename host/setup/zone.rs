//! The shop's time zone in the rules. Knows the rules file, and makes no calls.

use std::path::{Path, PathBuf};

use anyhow::Context;
use toml_edit::{DocumentMut, value};

use super::difference::{Act, State, Step};
use crate::files;
use crate::rules::Manifest;

/// The time zone in the rules, and the file into which it could be written.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Absent for a component that was built before, which cannot be changed.
    pub file: Option<PathBuf>,
    pub timezone: Option<String>,
}

impl Zone {
    /// The time zone of a rules file, and a text from which the rules can be built for now. Without a time zone they
    /// cannot be built, and set-up is about to find out the right one.
    pub fn of_file(path: &Path, text: &str) -> anyhow::Result<(Self, String)> {
        // Mistakes in the file are reported where it is built.
        let Ok(document) = text.parse::<DocumentMut>() else {
            return Ok((Self { file: Some(path.to_owned()), timezone: None }, text.to_owned()));
        };
        let timezone = document.get("timezone").and_then(|zone| zone.as_str()).map(str::to_owned);
        let buildable = if document.contains_key("timezone") { text.to_owned() } else { with_timezone(text, "UTC")? };
        Ok((Self { file: Some(path.to_owned()), timezone }, buildable))
    }

    /// The time zone of a component, according to its manifest.
    pub fn of_component(manifest: &Manifest) -> Self {
        let setting = manifest.settings.iter().find(|setting| setting.at == "/timezone");
        let timezone = setting.and_then(|setting| serde_json::from_str(&setting.value).ok());
        Self { file: None, timezone }
    }
}

/// Compares the time zone with the shop's.
pub fn steps(zone: &Zone, timezone: &str, currency: &str) -> Vec<Step> {
    let line = format!("timezone = \"{timezone}\"");
    let step = match (&zone.timezone, &zone.file) {
        (Some(own), _) if own == timezone => Step::new("rules", State::There, line),
        (Some(own), _) => Step::new("rules", State::Note, format!("the rules say `{own}`, the shop `{timezone}`"))
            .hint(format!("if the shop is right, write `{line}`")),
        (None, Some(_)) => Step::new("rules", State::Create, line).act(Act::Timezone(timezone.to_owned())),
        (None, None) => Step::new("rules", State::Missing, "the component has no time zone")
            .hint(format!("add `{line}` to its rules file and build it again")),
    };
    let currency = format!("the shop's currency is {currency}: no setting needs it, every order names its own");
    vec![step, Step::new("rules", State::Note, currency)]
}

/// Writes the time zone into the rules file, keeping comments and order.
pub fn write(zone: &Zone, timezone: &str) -> anyhow::Result<()> {
    let Some(path) = &zone.file else { return Ok(()) };
    let name = || format!("the rules `{}`", path.display());
    let text = String::from_utf8(files::read(path, "the rules")?).with_context(name)?;
    let written = with_timezone(&text, timezone).with_context(name)?;
    files::write(path, written.as_bytes())?;
    Ok(())
}

fn with_timezone(text: &str, timezone: &str) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse()?;
    document.insert("timezone", value(timezone));
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_its_comments_and_the_zone_stands_before_its_tables() {
        let text = "# Acme\n[tags] # ours\nwhitelist = [\"vip\"]\n";
        let written = with_timezone(text, "Australia/Sydney").unwrap();
        assert!(written.contains("# Acme") && written.contains("[tags] # ours"), "{written}");
        assert!(written.find("timezone") < written.find("[tags]"), "{written}");
        let read: toml::Table = toml::from_str(&written).unwrap();
        assert_eq!(read["timezone"].as_str(), Some("Australia/Sydney"));
        assert_eq!(read["tags"]["whitelist"][0].as_str(), Some("vip"));
    }
}
