//! `tandem resume`: lets a paused target take calls again, on a host or in a journal. Knows no other command.

use anyhow::bail;

use super::Place;
use super::access::Access;
use super::operations::RESUME;
use crate::journal::{Journal, Reader};
use crate::output::outln;
use crate::remote::Body;

#[derive(clap::Args)]
pub struct Arguments {
    /// The tenant.
    tenant: String,
    /// Which of its two systems.
    #[arg(value_parser = ["shopify", "omneo"])]
    target: String,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments, access: &Access) -> anyhow::Result<()> {
    let host = access.unless_journal(&arguments.place)?;
    let Arguments { tenant, target, place } = arguments;
    if let Some(host) = host {
        host.ask(RESUME, &[&tenant, &target], &[], Body::Nothing).await?;
        outln!("{target} of {tenant} takes calls")?;
        return Ok(());
    }
    let path = place.path()?;
    // Made here it would be another.
    drop(Reader::open(&path)?);
    let (journal, feeds, thread) = Journal::open(&path)?;
    let resumed = journal.resume(&tenant, &target).await;
    drop((journal, feeds));
    if thread.join().is_err() {
        bail!("the journal's thread ended in a panic");
    }
    if !resumed? {
        bail!("{target} of `{tenant}` is not paused in `{}`", path.display());
    }
    outln!("{target} of {tenant} takes calls again from the next start of `tandem serve`")?;
    Ok(())
}
