//! `tandem versions`: the versions of a tenant, which one is active, and what a roll back would make so.
//!
//! Knows how to show them; changes nothing.

use std::fmt::Write as _;

use anyhow::bail;

use super::Place;
use super::access::Access;
use super::operations::{ACTIVATIONS, VERSIONS};
use super::table;
use crate::admin::{Activations, Version};
use crate::clock;
use crate::config;
use crate::journal::{ActivationRow, Active, Reader, VersionRow};
use crate::output::{out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Remote};
use crate::rules::{Manifest, short};

/// Activations that are shown, the last ones.
const ACTIVATIONS_MAX: usize = 20;

#[derive(clap::Args)]
pub struct Versions {
    /// The tenant, as the configuration calls it.
    tenant: String,
    /// The host's answer as it is.
    #[arg(long, conflicts_with = "journal")]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Versions, access: &Access) -> anyhow::Result<()> {
    let host = access.unless_journal(&arguments.place)?;
    let Versions { tenant, json, place } = arguments;
    if let Some(host) = host {
        return ask(&host, &tenant, json).await;
    }
    let path = place.path()?;
    let reader = Reader::open(&path)?;
    let (versions, activations) = (reader.versions(&tenant)?, reader.activations(&tenant, ACTIVATIONS_MAX)?);
    if versions.is_empty() && activations.is_empty() {
        bail!(
            "tenant `{tenant}` has no versions in `{}`\nhint: `tandem serve` keeps the one that the configuration names",
            path.display()
        );
    }
    let paint = Paint::for_stdout(config::no_color());
    out!("{}", list(&versions, &activations, reader.active(&tenant)?.as_ref(), paint))?;
    Ok(())
}

async fn ask(host: &Remote, tenant: &str, json: bool) -> anyhow::Result<()> {
    let answer = host.ask(VERSIONS, &[tenant], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let versions: Vec<Version> = answer.json()?;
    let paint = Paint::for_stdout(config::no_color());
    if versions.is_empty() {
        outln!("no versions")?;
        return Ok(());
    }
    for Version { digest, name, deployed_at, note, is_active, .. } in &versions {
        let deployed = deployed_at.as_deref().map(table::moment).unwrap_or_default();
        outln!("{}{}", line(digest, name, &deployed, *is_active, paint), said(note.as_deref()))?;
    }
    let answer = host.ask(ACTIVATIONS, &[tenant], &[], Body::Nothing).await?;
    let Activations { back, activations } = answer.json()?;
    let rows = activations.iter().map(|row| (row.digest.as_str(), table::moment(&row.at), row.cause.as_str()));
    out!("{}", history(rows, back.as_deref(), paint))?;
    Ok(())
}

/// `* 0123456789ab  default 0.1.0  deployed 2026-01-02 03:04:05`
fn line(digest: &str, name: &str, deployed: &str, is_active: bool, paint: Paint) -> String {
    let star = if is_active { '*' } else { ' ' };
    let name = harmless(name).replace('\n', " ");
    let line = format!("{star} {}  {name:<24} deployed {deployed}", short(digest));
    if is_active { paint.bold(line) } else { line }
}

/// What somebody said of a version, behind its line.
fn said(note: Option<&str>) -> String {
    note.map(|note| format!("  {}", harmless(note))).unwrap_or_default()
}

/// Each version with a star at the active one; then how it came to that.
fn list(versions: &[VersionRow], activations: &[ActivationRow], active: Option<&Active>, paint: Paint) -> String {
    let mut text = String::new();
    let is_active = |digest: &str| active.is_some_and(|active| active.digest == digest);
    for VersionRow { digest, manifest, deployed_at, note } in versions {
        let name = serde_json::from_str::<Manifest>(manifest)
            .map_or_else(|_| String::new(), |manifest| format!("{} {}", manifest.name, manifest.version));
        let line = line(digest, &name, &moment(*deployed_at), is_active(digest), paint);
        let _ = writeln!(text, "{line}{}", said(note.as_deref()));
    }
    let activations = activations.iter().map(|row| (row.digest.as_str(), moment(row.at), row.cause.as_str()));
    text + &history(activations, active.and_then(|active| active.back.as_deref()), paint)
}

/// How it came to the active version, the last step first, and what a roll back would make so.
fn history<'a>(
    activations: impl Iterator<Item = (&'a str, String, &'a str)>,
    back: Option<&str>,
    paint: Paint,
) -> String {
    let mut text = "\n".to_owned();
    for (digest, at, cause) in activations {
        let why = match cause {
            "configured" => "the configuration named it",
            "rolled back" => "rolled back to",
            "failing" => "rolled back to by itself: the one before failed too often",
            _ => "activated",
        };
        let _ = writeln!(text, "{}  {}  {why}", paint.dim(at), short(digest));
    }
    match back {
        Some(back) => {
            let _ = writeln!(text, "\na roll back goes to {}", short(back));
        }
        None => text.push_str("\nthere is nothing to roll back to\n"),
    }
    text
}

fn moment(at: i64) -> String {
    format!("{} {}", clock::date(at), clock::time_of_day(at))
}
