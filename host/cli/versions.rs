//! `tandem versions`: the versions of a tenant, which one is active, and what a roll back would make so.
//!
//! Knows how to show them; changes nothing.

use std::fmt::Write as _;

use anyhow::bail;

use super::Place;
use crate::clock;
use crate::config;
use crate::journal::{ActivationRow, Active, Reader, VersionRow};
use crate::paint::{Paint, harmless};
use crate::rules::{Manifest, short};

/// Activations that are shown, the last ones.
const ACTIVATIONS_MAX: usize = 20;

#[derive(clap::Args)]
pub struct Versions {
    /// The tenant, as the configuration calls it.
    tenant: String,
    #[command(flatten)]
    place: Place,
}

pub fn run(Versions { tenant, place }: Versions) -> anyhow::Result<()> {
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
    print!("{}", list(&versions, &activations, reader.active(&tenant)?.as_ref(), paint));
    Ok(())
}

/// Each version with a star at the active one; then how it came to that.
fn list(versions: &[VersionRow], activations: &[ActivationRow], active: Option<&Active>, paint: Paint) -> String {
    let mut text = String::new();
    let is_active = |digest: &str| active.is_some_and(|active| active.digest == digest);
    for VersionRow { digest, manifest, deployed_at } in versions {
        let name = serde_json::from_str::<Manifest>(manifest)
            .map_or_else(|_| String::new(), |manifest| format!("{} {}", manifest.name, manifest.version));
        let line = format!(
            "{} {}  {:<24} deployed {}",
            if is_active(digest) { '*' } else { ' ' },
            short(digest),
            harmless(&name).replace('\n', " "),
            moment(*deployed_at)
        );
        let _ = writeln!(text, "{}", if is_active(digest) { paint.bold(line) } else { line });
    }
    text.push('\n');
    for ActivationRow { digest, at, cause } in activations {
        let why = match cause.as_str() {
            "configured" => "the configuration named it",
            "rolled back" => "rolled back to",
            "failing" => "rolled back to by itself: the one before failed too often",
            _ => "activated",
        };
        let _ = writeln!(text, "{}  {}  {why}", paint.dim(moment(*at)), short(digest));
    }
    match active.and_then(|active| active.back.as_deref()) {
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
