//! The files of jobs, beside the journal. They hold what is personal: only their owner may read them, and a file is there no
//! longer than its import runs.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::files;

/// How long a file may be there, whatever its import does: as long as Shopify keeps its own.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A folder of files that are named after an import and one of its readings.
pub struct Shelf {
    folder: PathBuf,
}

/// A reading: its import, and its place there.
pub type Whose = (i64, usize);

impl Shelf {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn whole(&self, (import, reading): Whose) -> PathBuf {
        self.folder.join(format!("{import}-{reading}.jsonl"))
    }

    fn half(&self, (import, reading): Whose) -> PathBuf {
        self.folder.join(format!("{import}-{reading}.part"))
    }

    /// An empty file to write to.
    pub fn begin(&self, whose: Whose) -> io::Result<File> {
        files::private_folder(&self.folder).map_err(io::Error::other)?;
        let half = self.half(whose);
        remove(&half)?;
        files::private().create_new(true).write(true).open(half)
    }

    /// What was written.
    pub fn written(&self, whose: Whose) -> io::Result<File> {
        File::open(self.half(whose))
    }

    /// Takes what was written for whole.
    pub fn keep(&self, whose: Whose) -> io::Result<()> {
        let whole = self.whole(whose);
        fs::rename(self.half(whose), &whole)?;
        files::settle_folder(&whole)
    }

    /// The whole file from an offset on; `None` if there is none of this size.
    pub fn open(&self, whose: Whose, size: u64, offset: u64) -> io::Result<Option<File>> {
        let mut file = match File::open(self.whole(whose)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.metadata()?.len() != size || offset > size {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(offset))?;
        Ok(Some(file))
    }

    pub fn remove(&self, whose: Whose) -> io::Result<()> {
        remove(&self.whole(whose))?;
        remove(&self.half(whose))
    }

    /// Deletes every file but those of these readings, and whatever is too old. Gives how many it deleted.
    pub fn sweep(&self, wanted: &[Whose], now: SystemTime) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut deleted = 0;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let is_wanted = wanted.iter().any(|whose| path == self.whole(*whose) || path == self.half(*whose));
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = changed.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > AGE_MAX));
            if !is_wanted || is_old {
                remove(&path)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_file_is_private_and_there_as_long_as_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("journal.db-bulk"));
        let (one, other, now) = ((7, 0), (7, 1), SystemTime::now());
        assert_eq!(shelf.sweep(&[], now).unwrap(), 0);
        for whose in [one, other] {
            // What a crash has left is written over.
            shelf.begin(whose).unwrap().write_all(b"half of it, and more").unwrap();
            shelf.begin(whose).unwrap().write_all(b"{}\n{}\n").unwrap();
            assert!(shelf.open(whose, 6, 0).unwrap().is_none());
        }
        shelf.keep(one).unwrap();
        let mut text = String::new();
        shelf.open(one, 6, 3).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}\n");
        assert!(shelf.open(one, 7, 0).unwrap().is_none() && shelf.open(one, 6, 7).unwrap().is_none());
        #[cfg(unix)]
        for path in [shelf.folder.clone(), shelf.whole(one), shelf.half(other)] {
            assert_eq!(files::wider(&path), None, "{}", path.display());
        }

        assert_eq!(shelf.sweep(&[one, other], now).unwrap(), 0);
        assert_eq!(shelf.sweep(&[one], now).unwrap(), 1);
        assert!(shelf.written(other).is_err());
        assert_eq!(shelf.sweep(&[one], now + AGE_MAX + Duration::from_secs(60)).unwrap(), 1);
        assert!(shelf.open(one, 6, 0).unwrap().is_none());
        shelf.remove(one).unwrap();
    }
}
