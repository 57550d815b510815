//! `tandem audit`: who did what. Knows no other command.

use super::operations::AUDIT;
use super::table::{moment, table};
use crate::admin::Done;
use crate::config;
use crate::output::{out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Arguments {
    /// The newest so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

pub async fn run(host: &Remote, Arguments { limit, json }: Arguments) -> anyhow::Result<()> {
    let answer = host.ask(AUDIT, &[], &[("limit", limit.to_string())], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let deeds: Vec<Done> = answer.json()?;
    let row = |done: Done| vec![moment(&done.at), done.by, done.tenant.unwrap_or_default(), done.what];
    let rows: Vec<_> = deeds.into_iter().map(row).collect();
    out!("{}", table(&["at", "by", "tenant", "what"], &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}
