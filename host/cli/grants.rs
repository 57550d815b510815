//! `tandem grants`: what Shopify has granted to the apps of a host. Knows no other command.

use super::operations::GRANTS;
use super::table::{moment, table};
use crate::admin::{Grant, HeldGrant};
use crate::config;
use crate::output::{out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Arguments {
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

pub async fn run(host: &Remote, Arguments { json }: Arguments) -> anyhow::Result<()> {
    let answer = host.ask(GRANTS, &[], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let rows: Vec<_> = answer.json::<Vec<Grant>>()?.into_iter().map(row).collect();
    if rows.is_empty() {
        outln!("no tenant of this host is in an app")?;
        return Ok(());
    }
    let head = ["tenant", "app", "renewed", "ends", "without the merchant until", "state"];
    out!("{}", table(&head, &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

fn row(Grant { tenant, app, held, refused, .. }: Grant) -> Vec<String> {
    let state = match (&held, &refused) {
        (_, Some(why)) => why.lines().next().unwrap_or_default().to_owned(),
        (Some(held), None) => held.how.clone(),
        (None, None) => "nothing was granted yet".into(),
    };
    let of =
        |pick: fn(&HeldGrant) -> Option<&String>| held.as_ref().and_then(pick).map(|at| moment(at)).unwrap_or_default();
    let times =
        [of(|held| Some(&held.since)), of(|held| Some(&held.ends_at)), of(|held| held.refresh_ends_at.as_ref())];
    [tenant, app].into_iter().chain(times).chain([state]).collect()
}
