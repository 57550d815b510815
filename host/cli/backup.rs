//! `tandem backup` and `tandem restore`: a journal as one file. Know no other command.

use std::path::PathBuf;

use clap::Args;

use super::Place;
use crate::journal::{self, Copied};
use crate::output::{noteln, outln};

#[derive(Args)]
pub struct Backup {
    /// The file to write, which must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Restore {
    /// What `tandem backup` has written.
    file: PathBuf,
    /// Keep what shops have granted to apps. Without this it is let go of, since the host of the backup may be using it still.
    #[arg(long)]
    keep_grants: bool,
    #[command(flatten)]
    place: Place,
}

pub fn backup(Backup { file, place }: Backup) -> anyhow::Result<()> {
    let copied = journal::back_up(&place.path()?, &file)?;
    outln!("{}: {}", file.display(), text(copied))?;
    noteln!("it holds personal data; the keys of `[secrets]` are not in it, so keep them elsewhere");
    Ok(())
}

pub fn restore(Restore { file, keep_grants, place }: Restore) -> anyhow::Result<()> {
    let journal = place.path()?;
    let (copied, let_go) = journal::restore(&file, &journal, keep_grants)?;
    outln!("{}: {}", journal.display(), text(copied))?;
    if !let_go.is_empty() {
        noteln!(
            "what these tenants' shops have granted is let go of: {}\nhint: an app of the kind `own` gets its access by itself; of another kind, have somebody open the app in the shop's admin",
            let_go.join(", ")
        );
    }
    noteln!("what happened after the backup is not in it, and neither system sends it again");
    Ok(())
}

fn text(Copied { events, waiting, bytes }: Copied) -> String {
    format!("{events} events, {waiting} of them not over, {bytes} bytes, looked through")
}
