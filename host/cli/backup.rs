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
    #[command(flatten)]
    place: Place,
}

pub fn backup(Backup { file, place }: Backup) -> anyhow::Result<()> {
    let copied = journal::back_up(&place.path()?, &file)?;
    outln!("{}: {}", file.display(), text(copied))?;
    noteln!("it holds personal data; the keys of `[secrets]` are not in it, so keep them elsewhere");
    Ok(())
}

pub fn restore(Restore { file, place }: Restore) -> anyhow::Result<()> {
    let journal = place.path()?;
    let copied = journal::restore(&file, &journal)?;
    outln!("{}: {}", journal.display(), text(copied))?;
    noteln!("what happened after the backup is not in it, and neither system sends it again");
    Ok(())
}

fn text(Copied { events, waiting, bytes }: Copied) -> String {
    format!("{events} events, {waiting} of them not over, {bytes} bytes, looked through")
}
