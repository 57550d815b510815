//! The fence: of all hosts that were ever started on a journal, only the last one writes it.
//!
//! A host raises the epoch in the journal when it starts, and each of its transactions begins by checking that the
//! epoch is still the one that it raised. The check and the writes are one transaction, so nothing can come between
//! them. Knows one row; not what is written behind the fence.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::clock;
use crate::model::Millis;

/// A host's right to write its journal, which lasts until another host is started on that journal.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    epoch: i64,
}

impl Fence {
    /// Takes the journal over: the host that had it until now can no longer write to it.
    pub fn raise(connection: &mut Connection) -> rusqlite::Result<Self> {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let epoch = tx.query_row(
            "INSERT INTO fence (one, epoch, since, process) VALUES (1, 1, ?, ?)
             ON CONFLICT DO UPDATE SET epoch = epoch + 1, since = excluded.since, process = excluded.process
             RETURNING epoch",
            params![clock::now(), std::process::id()],
            |row| row.get(0),
        )?;
        tx.commit()?;
        Ok(Self { epoch })
    }

    /// Which host has the journal instead of this one; `None` as long as this one has it.
    pub fn lost(self, connection: &Connection) -> rusqlite::Result<Option<String>> {
        let mut statement = connection.prepare_cached("SELECT epoch, since, process FROM fence WHERE one = 1")?;
        let row = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((epoch, since, process)) = row else { return Ok(Some("its epoch is not in it any more".into())) };
        let (epoch, since, process): (i64, Millis, u32) = (epoch, since, process);
        let other = || format!("another host was started on it at {}, as process {process}", clock::rfc3339(since));
        Ok((epoch != self.epoch).then(other))
    }
}
