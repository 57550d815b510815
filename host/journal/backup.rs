//! A copy of the journal, of one moment, while a host runs on it; and a journal made of such a copy. Each is looked through
//! before it is in its place, and there is a whole one or none.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rusqlite::{Connection, OpenFlags};

use super::place::{self, Claim};
use super::{BUSY_MS, schema};
use crate::files::{self, Unusable};

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Copied {
    pub events: u64,
    /// Those of them that are not over.
    pub waiting: u64,
    pub bytes: u64,
}

const TAKEN_HINT: &str = "name a file that is not there yet";
const FOLDER_HINT: &str = "name a file in a folder that is there and can be written to";
const BACKUP_HINT: &str = "name a file that `tandem backup` has written";

/// Copies a journal into a new file, its owner's alone.
pub fn back_up(journal: &Path, to: &Path) -> anyhow::Result<Copied> {
    let connection = read(journal)?;
    connection.busy_timeout(Duration::from_millis(BUSY_MS)).context("opening the journal to read")?;
    schema::refuse_strangers(&connection, journal)?;
    let beside = Beside::of(to)?;
    let copied = connection.execute("VACUUM INTO ?1", [beside.0.path().to_string_lossy()]);
    copied.with_context(|| format!("copying the journal `{}` to `{}`", journal.display(), to.display()))?;
    let copied = looked_through(beside.0.path())?;
    beside.keep(to)?;
    Ok(copied)
}

/// Makes a journal of a copy, where there is none; gives what it holds, and the tenants whose grants were let go of. Each renewal of a
/// grant ends the one before, so that two hosts with one grant would end each other's.
pub fn restore(backup: &Path, journal: &Path, keep_grants: bool) -> anyhow::Result<(Copied, Vec<String>)> {
    looked_through(backup)?;
    for there in place::beside(journal) {
        if there.exists() {
            bail!(
                "`{}` is there\nhint: stop the host, and move the journal and what is beside it away: `mv {journal}* ELSEWHERE`",
                there.display(),
                journal = journal.display()
            );
        }
    }
    let mut beside = Beside::of(journal)?;
    let mut from = File::open(backup).map_err(|cause| Unusable::new("reading", backup, cause, BACKUP_HINT))?;
    std::io::copy(&mut from, &mut beside.0).with_context(|| format!("copying `{}`", backup.display()))?;
    let let_go = if keep_grants { vec![] } else { let_go_of_grants(beside.0.path())? };
    let copied = looked_through(beside.0.path())?;
    beside.keep(journal)?;
    // A host that was started meanwhile has the place.
    drop(Claim::on(journal)?);
    Ok((copied, let_go))
}

/// Empties the grants of a copy; gives the tenants that had one.
fn let_go_of_grants(copy: &Path) -> anyhow::Result<Vec<String>> {
    let connection = Connection::open(copy).with_context(|| format!("opening `{}`", copy.display()))?;
    let mut statement = connection.prepare(
        "UPDATE grants SET body = NULL, revision = revision + 1, is_dropped = FALSE WHERE body IS NOT NULL RETURNING tenant",
    )?;
    let mut tenants = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    tenants.sort();
    Ok(tenants)
}

/// A file beside the one that is to be made, which goes when it is not kept.
struct Beside(tempfile::NamedTempFile);

impl Beside {
    fn of(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            let cause = std::io::ErrorKind::AlreadyExists.into();
            return Err(Unusable::new("writing", path, cause, TAKEN_HINT).into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::NamedTempFile::new_in(folder);
        let cause = |error: std::io::Error| std::io::Error::from(error.kind());
        Ok(Self(beside.map_err(|error| Unusable::new("writing", path, cause(error), FOLDER_HINT))?))
    }

    fn keep(self, path: &Path) -> anyhow::Result<()> {
        let failed = |cause| Unusable::new("writing", path, cause, FOLDER_HINT);
        self.0.as_file().sync_all().map_err(failed)?;
        self.0.persist_noclobber(path).map_err(|error| failed(error.error))?;
        files::settle_folder(path).map_err(failed)?;
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Connection> {
    if let Err(cause) = std::fs::metadata(path) {
        return Err(Unusable::new("reading", path, cause, "check the name").into());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).with_context(|| format!("opening `{}` to read", path.display()))
}

/// What a copy holds, if SQLite finds nothing wrong with any page of it.
fn looked_through(path: &Path) -> anyhow::Result<Copied> {
    let connection = read(path)?;
    schema::refuse_strangers(&connection, path)?;
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| schema::unreadable(path, error))?;
    if said != "ok" {
        return Err(anyhow!("`{}` is damaged: {said}\nhint: {BACKUP_HINT}", path.display()));
    }
    let count = |of: &str| connection.query_row(&format!("SELECT count(*) FROM events {of}"), [], |row| row.get(0));
    let what = || format!("reading `{}`", path.display());
    Ok(Copied {
        events: count("").with_context(what)?,
        waiting: count("WHERE outcome IS NULL").with_context(what)?,
        bytes: std::fs::metadata(path).with_context(what)?.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_is_no_copy_becomes_no_journal_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let (journal, copy) = (path("tandem.db"), path("copy.db"));
        drop(super::super::Journal::open(&journal).unwrap());
        assert_eq!(back_up(&journal, &copy).unwrap().events, 0);
        let said = |done: anyhow::Result<Copied>| format!("{:#}", done.unwrap_err());
        let restore = |backup: &Path, journal: &Path| super::restore(backup, journal, false).map(|(copied, _)| copied);
        assert!(said(back_up(&journal, &copy)).contains("name a file that is not there yet"));
        assert!(said(back_up(&path("no.db"), &path("a"))).contains("check the name"));
        assert!(said(back_up(&journal, &path("no/copy.db"))).contains("a folder that is there"));
        assert!(said(restore(&copy, &journal)).contains("move the journal and what is beside it away"));
        // Its log of writes alone would be taken for that of the restored one.
        std::fs::remove_file(&journal).unwrap();
        std::fs::write(path("tandem.db-wal"), "").unwrap();
        assert!(said(restore(&copy, &journal)).contains("tandem.db-wal` is there"));
        std::fs::write(path("text"), "hello, this is no database at all").unwrap();
        assert!(said(restore(&path("text"), &path("new.db"))).contains("is damaged, or is no journal"));
        // A page in the middle that is another's.
        let mut bytes = std::fs::read(&copy).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4_096].fill(0xa5);
        std::fs::write(path("broken.db"), bytes).unwrap();
        assert!(said(restore(&path("broken.db"), &path("new.db"))).contains("is damaged"));
        assert!(!path("new.db").exists());
        assert_eq!(restore(&copy, &path("new.db")).unwrap(), back_up(&path("new.db"), &path("again.db")).unwrap());
        let others = std::fs::read_dir(folder.path()).unwrap().flatten().filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(".tmp")
        });
        assert_eq!(others.count(), 0, "something is left beside them");
    }

    #[test]
    fn a_grant_is_not_used_by_two_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let (journal, copy) = (path("tandem.db"), path("copy.db"));
        drop(super::super::Journal::open(&journal).unwrap());
        let row =
            "INSERT INTO grants (tenant, client_id, shop, webhook_key, revision, body) VALUES (?, 'id', 's', ?, 3, ?)";
        let connection = Connection::open(&journal).unwrap();
        for (tenant, body) in [("zeta", Some("{}")), ("acme", Some("{}")), ("eta", None)] {
            connection.execute(row, rusqlite::params![tenant, tenant, body]).unwrap();
        }
        drop(connection);
        back_up(&journal, &copy).unwrap();
        let held = |journal: &Path| -> (u64, u64, i64) {
            let all = "SELECT count(*), count(body), max(revision) FROM grants";
            Connection::open(journal)
                .unwrap()
                .query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .unwrap()
        };
        assert_eq!(restore(&copy, &path("new.db"), false).unwrap().1, ["acme", "zeta"]);
        // The address for webhooks stays, and so does every row.
        assert_eq!(held(&path("new.db")), (3, 0, 4));
        assert!(restore(&copy, &path("kept.db"), true).unwrap().1.is_empty());
        assert_eq!(held(&path("kept.db")), (3, 2, 3));
    }
}
