//! `tandem shadow`: a version that runs beside a tenant's live one on a host, sending nothing. Knows no other command.

use clap::Subcommand;
use serde_json::json;

use super::operations::{BEGIN_SHADOW, END_SHADOW, SHADOW};
use super::table::moment;
use crate::admin;
use crate::config;
use crate::output::{out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Remote};
use crate::replay::{self, Report};
use crate::rules::short;

#[derive(Subcommand)]
pub enum Shadow {
    /// Have a version follow the events that come from now on.
    Begin {
        /// The tenant.
        tenant: String,
        /// The version, by its digest or the first digits.
        version: String,
        /// End after so many events.
        #[arg(long)]
        events: Option<u64>,
        /// The host's answer as it is.
        #[arg(long)]
        json: bool,
    },
    /// Show what the shadow has found so far, or the last one.
    Show {
        /// The tenant.
        tenant: String,
        /// The host's answer as it is.
        #[arg(long)]
        json: bool,
    },
    /// End the shadow. What it has found stays.
    End {
        /// The tenant.
        tenant: String,
    },
}

pub async fn run(host: &Remote, verb: Shadow) -> anyhow::Result<()> {
    let (answer, json) = match verb {
        Shadow::Begin { tenant, version, events, json } => {
            let body = json!({ "version": version, "events": events });
            (host.ask(BEGIN_SHADOW, &[&tenant], &[], Body::Json(body)).await?, json)
        }
        Shadow::Show { tenant, json } => (host.ask(SHADOW, &[&tenant], &[], Body::Nothing).await?, json),
        Shadow::End { tenant } => {
            host.ask(END_SHADOW, &[&tenant], &[], Body::Nothing).await?;
            outln!("the shadow of {tenant} has ended: `tandem shadow show {tenant}` says what it found")?;
            return Ok(());
        }
    };
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let admin::Shadow { version, since, running, ended_at, ended, events, report } = answer.json()?;
    let until = events.map(|events| format!(", for {events} events")).unwrap_or_default();
    outln!("shadow {} since {}{until}", short(&version), moment(&since))?;
    if !running {
        let at = ended_at.as_deref().map(moment).unwrap_or_default();
        outln!("ended {at}: {}", harmless(ended.as_deref().unwrap_or_default()))?;
    }
    // Not every shadow has seen an event.
    if let Ok(report) = serde_json::from_value::<Report>(report) {
        out!("\n{}", replay::text(&report, Paint::for_stdout(config::no_color())))?;
    }
    Ok(())
}
