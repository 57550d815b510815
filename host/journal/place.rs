//! Where the journal is on disk. Only its owner may read its files, and only one host at a time has it, whatever path
//! it is opened by.
//!
//! Knows files and locks; not what is in them.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::files::{self, Unusable};

const PLACE_HINT: &str =
    "the journal is a file in a folder that is there and can be written to; `journal` in the configuration names it";

const LOCKING: &str = "locking the journal by";

/// Another host has the journal. A supervisor that restarts hosts should not restart this one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Taken(pub String);

/// A claim on a journal: no other host on this machine can have the journal as long as this value lives.
#[derive(Debug)]
pub struct Claim {
    /// The journal's path, without links.
    path: PathBuf,
    /// The lock on the file beside the journal, which a second host meets first.
    _beside: Lock,
    /// The lock on the journal itself, whatever path it is opened by. This handle is opened before SQLite opens the
    /// file and closed after SQLite has closed it, because closing any handle on a file releases the locks that SQLite
    /// holds on it.
    _itself: Option<Lock>,
}

/// A locked file. Ends the lock itself instead of closing the file only: a process that is just being started has the
/// open file too, until it becomes its program, and the lock would last as long.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Claim {
    /// Claims a journal, and makes it if there is none. The claim of a host that was killed does not last.
    pub fn on(journal: &Path) -> anyhow::Result<Self> {
        make(journal)?;
        let path =
            journal.canonicalize().with_context(|| format!("looking for the journal `{}`", journal.display()))?;
        let beside = with_ending(&path, "-lock");
        let beside = lock(&beside, journal)?;
        // On other systems this kind of lock and SQLite's own exclude each other, and SQLite would find the journal
        // busy for ever.
        let itself = cfg!(target_os = "linux").then(|| lock(&path, journal)).transpose()?;
        refuse_names(&path)?;
        Ok(Self { path, _beside: beside, _itself: itself })
    }

    /// The journal's path, without links. The files beside the journal are named after this path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the files of jobs are as long as they are read.
    pub fn bulk_folder(&self) -> PathBuf {
        with_ending(&self.path, "-bulk")
    }

    /// Warns of files of the journal that others than their owner may read. Files that an older `tandem` made may be
    /// such.
    pub fn warn_of_width(&self) {
        for path in beside(&self.path).into_iter().chain([with_ending(&self.path, "-compiled"), self.bulk_folder()]) {
            if let Some(mode) = files::wider(&path) {
                let kind = if path.is_dir() { "700" } else { "600" };
                let path = path.display();
                tracing::warn!(
                    "`{path}` has the mode {mode:o}: others may read personal data\nhint: chmod {kind} {path}"
                );
            }
        }
    }
}

/// A journal's files, whether they are there or not.
pub fn beside(journal: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-lock"].map(|ending| with_ending(journal, ending)).into()
}

/// Makes an empty journal where there is none, for its owner only. The files that SQLite puts beside it get the same
/// mode.
pub fn make(journal: &Path) -> anyhow::Result<()> {
    match files::private().create_new(true).write(true).open(journal) {
        Ok(_) => given_away(journal),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Unusable::new("making the journal", journal, error, PLACE_HINT).into()),
    }
}

/// What root makes here would be closed to the host that runs as the folder's owner.
fn given_away(path: &Path) -> anyhow::Result<()> {
    Ok(files::give_away(path).map_err(|cause| Unusable::new("making the journal", path, cause, PLACE_HINT))?)
}

/// Refuses a journal with two names (hard links). SQLite names its log of writes after the path that the journal is
/// opened by, so under the other name the log is missing, and what is written is lost.
pub fn refuse_names(journal: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let names = std::fs::metadata(journal).map_or(1, |file| std::os::unix::fs::MetadataExt::nlink(&file));
        if names > 1 {
            bail!(
                "the journal `{}` has {names} names (hard links), and its log of writes belongs to one of them only\nhint: `find DIR -samefile {}` lists them; remove all but the one that the host ran on",
                journal.display(),
                journal.display()
            );
        }
    }
    Ok(())
}

fn lock(path: &Path, journal: &Path) -> anyhow::Result<Lock> {
    let file = files::private().create(true).truncate(false).read(true).write(true).open(path);
    let file = file.map_err(|cause| Unusable::new(LOCKING, path, cause, PLACE_HINT))?;
    match file.try_lock() {
        Ok(()) => given_away(path).map(|()| Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Taken(format!(
            "another host runs on the journal `{}`\nhint: stop that one, or give this one another journal",
            journal.display()
        ))
        .into()),
        Err(TryLockError::Error(cause)) => Err(Unusable::new(LOCKING, path, cause, PLACE_HINT).into()),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the handle stands for a process that is just being started.
    #[test]
    fn a_claim_ends_though_another_process_has_the_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let claim = Claim::on(&journal).unwrap();
        let inherited = claim._beside.0.try_clone().unwrap();
        assert!(Claim::on(&journal).unwrap_err().to_string().starts_with("another host runs on the journal `"));
        drop(claim);
        Claim::on(&journal).unwrap();
        drop(inherited);
    }
}
