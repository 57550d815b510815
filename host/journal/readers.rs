//! Reads the journal beside the writing thread, on connections that are kept open, and tries again if the disk fails.
//!
//! Knows connections and their failures; not what is read.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::{Journal, Reader, writer};

/// The pauses before each further try of a read that has failed.
const READ_PAUSES_MS: [u64; 5] = [1, 10, 50, 200, 500];

/// Connections that are kept open while nobody reads.
const IDLE_MAX: usize = 16;

/// Idle connections to the journal.
#[derive(Debug)]
pub struct Readers {
    pub path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn of(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    fn take(&self) -> anyhow::Result<Reader> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Reader::beside(&self.path), |connection| Ok(Reader::new(connection)))
    }

    fn put_back(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(reader.into_connection());
        }
    }
}

impl Journal {
    /// Reads committed data on a connection of its own. Blocks. If the disk fails, the read is tried again a few times.
    /// If the data looks damaged at the last try, too, the journal is broken, as after a failed `fsync`.
    pub fn read<T>(&self, mut read: impl FnMut(&Reader) -> anyhow::Result<T>) -> anyhow::Result<T> {
        for pause in READ_PAUSES_MS.map(Duration::from_millis) {
            match self.read_once(&mut read) {
                Err(error) if sqlite(&error).is_some_and(may_pass) => {
                    tracing::warn!(blame = "host", "reading the journal again in {pause:?}: {error:#}");
                    std::thread::sleep(pause);
                }
                other => return other,
            }
        }
        let last = self.read_once(&mut read);
        if let Err(error) = &last
            && sqlite(error).is_some_and(writer::is_damaged)
        {
            self.writer.break_off(&format!("what is on disk is damaged: {error:#}"));
        }
        last
    }

    /// After an error the connection is closed, since its cache may hold the damage.
    fn read_once<T>(&self, read: &mut impl FnMut(&Reader) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let reader = self.readers.take()?;
        let value = read(&reader)?;
        self.readers.put_back(reader);
        Ok(value)
    }
}

/// Whether another read may succeed. SQLite reports a read that failed with EIO as damage to the journal, so damage is
/// a reason to read again, too.
fn may_pass(error: &rusqlite::Error) -> bool {
    writer::is_unread(error) || writer::is_damaged(error)
}

/// What SQLite said, if an error comes from it.
fn sqlite(error: &anyhow::Error) -> Option<&rusqlite::Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_kept_open_however_many_have_read_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        drop(Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)"));
        let readers = Readers::of(path);
        let all: Vec<_> = (0..4 * IDLE_MAX).map(|_| readers.take().unwrap()).collect();
        all.into_iter().for_each(|reader| readers.put_back(reader));
        assert_eq!(readers.idle.lock().unwrap().len(), IDLE_MAX);
        assert!(readers.take().is_ok());
        assert_eq!(readers.idle.lock().unwrap().len(), IDLE_MAX - 1);
    }
}
