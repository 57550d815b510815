//! A case on disk: `<source>/<topic>/<a sentence that says what must happen>/`. Knows its files; runs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::transcript::Transcript;
use crate::clock;
use crate::model::{Event, EventId, Webhook};

/// What an event would have from the world: the same for every case, so that a case never changes with the day.
const ID: i64 = 1;
const OCCURRED_AT: &str = "2026-03-04T05:06:07Z";
const RECEIVED_AT: &str = "2026-03-04T05:06:08Z";
const SHOPIFY_API_VERSION: &str = "2026-07";
const SOURCES: [&str; 3] = ["shopify", "omneo", "tandem"];
/// Characters of a part of a case's name, and files with what is remembered before it.
const PART_CHARS_MAX: usize = 200;
const MEMORIES_MAX: usize = 20;

pub const PAYLOAD: &str = "payload.json";
pub const TRANSCRIPT: &str = "transcript.http";
pub const RULES: &str = "rules.toml";
pub const MOMENT: &str = "event.toml";
const MEMORY: &str = "memory.json";
pub const MEMORY_AFTER: &str = "memory.after.json";

/// An event and the conversation that it must lead to.
#[derive(Clone, Debug)]
pub struct Case {
    dir: PathBuf,
    /// `shopify/orders-paid/a-guest-order-is-sent-without-a-profile`.
    pub name: String,
    pub event: Event,
    /// What is remembered before the event: nothing, one text, or several, the newest first, of entities that were joined.
    pub memory: Vec<String>,
    /// What must be remembered after it, if the case says so.
    pub memory_after: Option<String>,
    /// The rules file that the case is about, if it is not about the usual one.
    pub rules: Option<String>,
    /// The conversation that is expected, if somebody has said so.
    pub transcript: Option<Transcript>,
}

/// What the world says of an event beside its payload, where it matters: `event.toml`. What it leaves out is the same for
/// every case.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moment {
    pub id: i64,
    /// RFC 3339.
    pub occurred_at: String,
    /// RFC 3339.
    pub received_at: String,
    pub api_version: Option<String>,
}

/// The file that holds what is remembered before the event: the newest, the one before it, and so on.
pub fn memory_file(n: usize) -> String {
    if n == 0 { MEMORY.into() } else { format!("memory.{}.json", n + 1) }
}

/// The cases below a folder, or the one that it is: every folder without a folder inside. In order of their names.
pub fn find(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = |error: std::io::Error| {
        anyhow!("reading the folder `{}`: {error}\nhint: name a folder of cases, or one case", dir.display())
    };
    let mut folders = vec![];
    for entry in fs::read_dir(dir).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type().map_err(reading)?.is_dir() {
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
        Self::made(place(dir)?, dir, |file| optional(dir, file))
    }

    /// A case that stands in no folder: its name as [`Case::name`] has it, and its files as texts. Errors name both.
    pub fn of_files(name: &str, files: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let parts: Vec<_> = name.split('/').collect();
        let is_part = |part: &&str| {
            let is_name = !part.is_empty() && !part.starts_with('.') && part.chars().count() <= PART_CHARS_MAX;
            is_name && !part.contains(|c: char| c == '\\' || c.is_control())
        };
        let [source, topic, sentence] = parts[..] else {
            bail!("`{name}` is no name of a case\nhint: it is like `shopify/orders-paid/a-guest-order-is-sent`");
        };
        if !SOURCES.contains(&source) || !parts.iter().all(is_part) {
            bail!("`{name}` is no name of a case\nhint: it is like `shopify/orders-paid/a-guest-order-is-sent`");
        }
        let known = |file: &str| {
            [PAYLOAD, TRANSCRIPT, RULES, MOMENT, MEMORY_AFTER].contains(&file)
                || (0..MEMORIES_MAX).any(|n| memory_file(n) == file)
        };
        if let Some(file) = files.keys().find(|file| !known(file)) {
            bail!(
                "the case `{name}` has a file `{file}`, which cases do not have\nhint: they have `{PAYLOAD}`, `{TRANSCRIPT}`, `{MEMORY}`, `{MEMORY_AFTER}`, `{MOMENT}` and `{RULES}`"
            );
        }
        let place = (source.to_owned(), topic.to_owned(), sentence.to_owned());
        Self::made(place, Path::new(name), |file| Ok(files.get(file).cloned()))
    }

    fn made(
        (source, topic, name): (String, String, String),
        dir: &Path,
        read: impl Fn(&str) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Self> {
        let name = format!("{source}/{topic}/{name}");
        let Some(payload) = read(PAYLOAD)? else {
            bail!(
                "the case `{}` has no `{PAYLOAD}`\nhint: put the body of the webhook there, or remove the folder",
                dir.display()
            );
        };
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&payload) {
            bail!(
                "`{}` is not JSON: {error}\nhint: put the body of the webhook there as it was sent",
                dir.join(PAYLOAD).display()
            );
        }
        let transcript = read(TRANSCRIPT)?.map(|text| Transcript::parse(&text)).transpose();
        // Shopify's topics have a slash, which the name of a folder cannot have. Omneo's have none.
        let topic = if source == "shopify" { topic.replace('-', "/") } else { topic };
        let moment = read(MOMENT)?.map(|text| toml::from_str(&text)).transpose();
        let moment: Option<Moment> = moment.with_context(|| format!("`{}`", dir.join(MOMENT).display()))?;
        let mut memory = vec![];
        while let Some(text) = read(&memory_file(memory.len()))? {
            memory.push(text);
        }
        Ok(Self {
            memory,
            memory_after: read(MEMORY_AFTER)?,
            rules: read(RULES)?,
            transcript: transcript.with_context(|| format!("`{}`", dir.join(TRANSCRIPT).display()))?,
            name,
            dir: dir.to_owned(),
            ..Self::of(&source, &topic, payload, moment.unwrap_or_default())?
        })
    }

    /// A case of an event alone, that stands in no folder: nothing is remembered and nothing is expected.
    pub fn of(source: &str, topic: &str, payload: String, moment: Moment) -> anyhow::Result<Self> {
        let Moment { id, occurred_at, received_at, api_version } = moment;
        let received_at = clock::parse(&received_at)
            .with_context(|| format!("`{received_at}` is not a time\nhint: write it as `{RECEIVED_AT}`"))?;
        let webhook = Webhook {
            tenant: "acme".into(),
            source: source.to_owned(),
            topic: topic.to_owned(),
            delivery_id: None,
            occurred_at,
            received_at,
            api_version: api_version.unwrap_or_else(|| usual_version(source).into()),
            payload,
        };
        Ok(Self {
            dir: PathBuf::new(),
            name: format!("{source} {topic}"),
            event: Event { id: EventId(id), webhook },
            memory: vec![],
            memory_after: None,
            rules: None,
            transcript: None,
        })
    }

    /// The folder; empty for a case that stands in none.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self { id: ID, occurred_at: OCCURRED_AT.into(), received_at: RECEIVED_AT.into(), api_version: None }
    }
}

fn usual_version(source: &str) -> &'static str {
    if source == "shopify" { SHOPIFY_API_VERSION } else { "" }
}

/// What a case in this folder is called, whatever is in it.
pub fn name_of(dir: &Path) -> anyhow::Result<String> {
    let (source, topic, name) = place(dir)?;
    Ok(format!("{source}/{topic}/{name}"))
}

/// Source, topic and name, as the folders are called.
fn place(dir: &Path) -> anyhow::Result<(String, String, String)> {
    let whole = dir.canonicalize().with_context(|| format!("reading the case `{}`", dir.display()))?;
    let mut names = whole.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let (Some(name), Some(topic), Some(source)) = (names.next(), names.next(), names.next()) else {
        bail!("`{}` does not stand in a folder for its topic, in one for its source", dir.display());
    };
    if !SOURCES.contains(&source.as_str()) {
        bail!(
            "`{}` does not stand below a source\nhint: cases are folders like `shopify/orders-paid/a-guest-order-is-sent`",
            dir.display()
        );
    }
    Ok((source, topic, name))
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
        assert!(wrong().contains("it-is-sent` has no `payload.json`\nhint: put"), "{}", wrong());
        fs::write(dir.join(PAYLOAD), "{").unwrap();
        assert!(wrong().contains("payload.json` is not JSON: EOF"), "{}", wrong());
        fs::write(dir.join(PAYLOAD), "{}").unwrap();
        fs::write(dir.join(TRANSCRIPT), "GET\n").unwrap();
        assert!(wrong().contains("transcript.http`: "), "{}", wrong());
        fs::remove_file(dir.join(TRANSCRIPT)).unwrap();
        fs::write(dir.join(MOMENT), "received_at = \"today\"").unwrap();
        assert!(wrong().starts_with("`today` is not a time"), "{}", wrong());
        fs::write(dir.join(MOMENT), "id = 7").unwrap();
        fs::write(dir.join("memory.2.json"), "lost without a first").unwrap();
        let case = Case::read(&dir).unwrap();
        assert_eq!((case.event.id, case.event.webhook.occurred_at.as_str()), (EventId(7), OCCURRED_AT));
        assert!(case.transcript.is_none() && case.memory.is_empty());
        assert_eq!((case.event.webhook.source.as_str(), case.event.webhook.topic.as_str()), ("shopify", "orders/paid"));
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", Case::read(elsewhere.path()).unwrap_err()).contains("below a source"));
    }
}
