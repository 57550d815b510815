//! A case on disk: `<source>/<topic>/<a sentence that says what must happen>/`. Knows its files; runs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::report::Report;
use super::transcript::Transcript;
use crate::clock;
use crate::model::{Event, EventId, Webhook};

/// What an event would have from the world: the same for every case, so that a case never changes with the day.
const ID: EventId = EventId(1);
const OCCURRED_AT: &str = "2026-03-04T05:06:07Z";
const RECEIVED_AT: &str = "2026-03-04T05:06:08Z";
const SHOPIFY_API_VERSION: &str = "2026-07";

const PAYLOAD: &str = "payload.json";
const TRANSCRIPT: &str = "transcript.http";
const RULES: &str = "rules.toml";
const MEMORY: &str = "memory.json";
const MEMORY_AFTER: &str = "memory.after.json";

/// An event and the conversation that it must lead to.
#[derive(Clone, Debug)]
pub struct Case {
    dir: PathBuf,
    /// `shopify/orders-paid/a-guest-order-is-sent-without-a-profile`.
    pub name: String,
    pub event: Event,
    /// What is remembered before the event; nothing, or one text.
    pub memory: Vec<String>,
    /// What must be remembered after it, if the case says so.
    pub memory_after: Option<String>,
    /// The rules file that the case is about, if it is not about the usual one.
    pub rules: Option<String>,
    pub(super) transcript: Transcript,
}

/// The cases below a folder, or the one that it is: every folder without a folder inside. In order of their names.
pub fn find(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading the folder `{}`", dir.display());
    let mut folders = vec![];
    for entry in fs::read_dir(dir).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        if entry.file_type().with_context(reading)?.is_dir() {
            folders.push(entry.path());
        }
    }
    if folders.is_empty() {
        return Ok(vec![dir.to_owned()]);
    }
    folders.sort();
    let found: anyhow::Result<Vec<_>> = folders.iter().map(|folder| find(folder)).collect();
    Ok(found?.concat())
}

impl Case {
    /// Reads a folder. Errors name the file.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("reading the case `{}`", dir.display()))?;
        let (source, topic, name) = place(&dir)?;
        let name = format!("{source}/{topic}/{name}");
        let payload = required(&dir, PAYLOAD)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&payload)
            .with_context(|| format!("`{}` is not JSON", dir.join(PAYLOAD).display()))?;
        let text = required(&dir, TRANSCRIPT)?;
        let transcript = Transcript::parse(&text).with_context(|| format!("`{}`", dir.join(TRANSCRIPT).display()))?;
        // Shopify's topics have a slash, which the name of a folder cannot have. Omneo's have none.
        let (topic, api_version) = match source.as_str() {
            "shopify" => (topic.replace('-', "/"), SHOPIFY_API_VERSION),
            _ => (topic, ""),
        };
        let webhook = Webhook {
            tenant: "acme".into(),
            source,
            topic,
            delivery_id: None,
            occurred_at: OCCURRED_AT.into(),
            received_at: clock::parse(RECEIVED_AT).unwrap_or_default(),
            api_version: api_version.into(),
            payload,
        };
        Ok(Self {
            event: Event { id: ID, webhook },
            memory: optional(&dir, MEMORY)?.into_iter().collect(),
            memory_after: optional(&dir, MEMORY_AFTER)?,
            rules: optional(&dir, RULES)?,
            transcript,
            name,
            dir,
        })
    }

    /// Begins a case that has only its payload: with an ending that is not known, for [`Case::bless`] to find out.
    pub fn begin(dir: &Path) -> anyhow::Result<()> {
        let path = dir.join(TRANSCRIPT);
        if path.exists() {
            return Ok(());
        }
        let nothing = Transcript { end: super::transcript::UNKNOWN.into(), ..Transcript::default() };
        fs::write(&path, nothing.render()).with_context(|| format!("writing `{}`", path.display()))
    }

    /// Makes what happened what must happen. A call without a reply waits for somebody to give it one.
    pub fn bless(&self, report: &Report) -> anyhow::Result<()> {
        let mut files = vec![(TRANSCRIPT, report.actual.clone())];
        if report.memory_expected.is_some() {
            files.push((MEMORY_AFTER, format!("{}\n", report.memory_actual)));
        }
        for (file, text) in files {
            let path = self.dir.join(file);
            fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))?;
        }
        Ok(())
    }
}

/// Source, topic and name, as the folders are called.
fn place(dir: &Path) -> anyhow::Result<(String, String, String)> {
    let mut names = dir.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let (Some(name), Some(topic), Some(source)) = (names.next(), names.next(), names.next()) else {
        bail!("`{}` does not stand in a folder for its topic, in one for its source", dir.display());
    };
    if !matches!(source.as_str(), "shopify" | "omneo" | "tandem") {
        bail!(
            "`{}` does not stand below a source\nhint: cases are folders like `shopify/orders-paid/a-guest-order-is-sent`",
            dir.display()
        );
    }
    Ok((source, topic, name))
}

fn required(dir: &Path, file: &str) -> anyhow::Result<String> {
    optional(dir, file)?.with_context(|| format!("the case `{}` has no `{file}`", dir.display()))
}

fn optional(dir: &Path, file: &str) -> anyhow::Result<Option<String>> {
    let path = dir.join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading `{}`", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_folder_without_folders_and_says_what_it_lacks() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("shopify/orders-paid/it-is-sent");
        fs::create_dir_all(&dir).unwrap();
        fs::write(root.path().join("rules.toml"), "").unwrap();
        assert_eq!(find(root.path()).unwrap(), std::slice::from_ref(&dir));
        let wrong = || format!("{:#}", Case::read(&dir).unwrap_err());
        assert!(wrong().ends_with("it-is-sent` has no `payload.json`"), "{}", wrong());
        fs::write(dir.join(PAYLOAD), "{").unwrap();
        assert!(wrong().contains("payload.json` is not JSON: EOF"), "{}", wrong());
        fs::write(dir.join(PAYLOAD), "{}").unwrap();
        assert!(wrong().ends_with("it-is-sent` has no `transcript.http`"), "{}", wrong());
        fs::write(dir.join(TRANSCRIPT), "GET\n").unwrap();
        assert!(wrong().contains("transcript.http`: "), "{}", wrong());
        fs::remove_file(dir.join(TRANSCRIPT)).unwrap();
        Case::begin(&dir).unwrap();
        let case = Case::read(&dir).unwrap();
        assert_eq!((case.event.webhook.source.as_str(), case.event.webhook.topic.as_str()), ("shopify", "orders/paid"));
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", Case::read(elsewhere.path()).unwrap_err()).contains("below a source"));
    }
}
