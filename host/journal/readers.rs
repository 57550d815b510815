//! Reading beside the one thread that writes: on connections that are kept, and again where the disk does not give what is
//! asked of it.
//!
//! Knows connections and their failures; not what is read.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::{Journal, Reader, writer};

/// How long a read waits, each time, before it asks the disk once more for what it did not give.
const READ_PAUSES_MS: [u64; 5] = [1, 10, 50, 200, 500];

/// Connections that nobody reads on now.
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
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader.into_connection());
    }
}

impl Journal {
    /// Reads, on a connection of its own, what is committed. Blocks. What the disk does not give is asked for again, a few
    /// times; what it gives that cannot be believed, however often it is read, breaks the journal, as a failed `fsync` does.
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

    /// After an error the connection goes, whose cache may be what is wrong.
    fn read_once<T>(&self, read: &mut impl FnMut(&Reader) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let reader = self.readers.take()?;
        let value = read(&reader)?;
        self.readers.put_back(reader);
        Ok(value)
    }
}

/// Whether another read may fare better. SQLite says of a read that failed with EIO that the journal is damaged, so that what
/// is damaged is read again, too.
fn may_pass(error: &rusqlite::Error) -> bool {
    writer::is_unread(error) || writer::is_damaged(error)
}

/// What SQLite said, if an error comes from it.
fn sqlite(error: &anyhow::Error) -> Option<&rusqlite::Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}
