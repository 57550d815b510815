//! A copy of the journal, of one moment, while a host runs on it; and a journal made of such a copy. Each is looked through
//! before it is in its place, and there is a whole one or none.

use std::ffi::OsString;
use std::io::ErrorKind::{AlreadyExists, IsADirectory};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

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
const IN_FOLDER_HINT: &str = "this is a folder: name a file in it";
const FOLDER_HINT: &str = "name a file in a folder that is there and can be written to";
const NAME_HINT: &str = "check the name";
const BACKUP_HINT: &str = "name a file that `tandem backup` has written";
const PART_HINT: &str = "another command writes to it now; remove it if there is none";

/// Copies a journal into a new file, its owner's alone.
pub fn back_up(journal: &Path, to: &Path) -> anyhow::Result<Copied> {
    let connection = read(journal)?;
    let beside = Beside::of(to)?;
    copy(&connection, journal, &beside)?;
    let copied = looked_through(beside.path())?;
    beside.keep(to)?;
    Ok(copied)
}

/// Makes a journal of a copy, where there is none; gives what it holds, and the tenants whose grants were let go of. Each renewal of a
/// grant ends the one before, so that two hosts with one grant would end each other's.
pub fn restore(backup: &Path, journal: &Path, keep_grants: bool) -> anyhow::Result<(Copied, Vec<String>)> {
    looked_through(backup)?;
    for there in place::beside(journal) {
        if there.symlink_metadata().is_ok() && !there.is_dir() {
            bail!(
                "`{}` is there\nhint: stop the host, and move the journal and what is beside it away: `mv {journal}* ELSEWHERE`",
                there.display(),
                journal = journal.display()
            );
        }
    }
    let beside = Beside::of(journal)?;
    // By SQLite, which knows what the log of writes beside it holds, if there is one.
    copy(&read(backup)?, backup, &beside)?;
    let let_go = if keep_grants { vec![] } else { let_go_of_grants(beside.path())? };
    let copied = looked_through(beside.path())?;
    beside.keep(journal)?;
    // A host that was started meanwhile has the place.
    drop(Claim::on(journal)?);
    Ok((copied, let_go))
}

fn copy(connection: &Connection, from: &Path, to: &Beside) -> anyhow::Result<()> {
    let copied = connection.execute("VACUUM INTO ?1", [to.path().to_string_lossy()]);
    copied.with_context(|| format!("copying `{}`", from.display())).map(drop)
}

/// Empties the grants of a copy, whatever schema it has; gives the tenants that had one.
fn let_go_of_grants(copy: &Path) -> anyhow::Result<Vec<String>> {
    let connection = Connection::open(copy).with_context(|| format!("opening `{}`", copy.display()))?;
    if !connection.table_exists(None, "grants")? {
        return Ok(vec![]);
    }
    connection.pragma_update(None, "secure_delete", true)?;
    let mut statement = connection.prepare(
        "UPDATE grants SET body = NULL, revision = revision + 1, is_dropped = FALSE WHERE body IS NOT NULL RETURNING tenant",
    )?;
    let mut tenants = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    tenants.sort();
    Ok(tenants)
}

/// The file that is to be made, under a name that says that it is not whole yet: `FILE.part`, which goes when it is not kept.
struct Beside(NamedTempFile);

impl Beside {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let refused = |cause: std::io::ErrorKind, hint| Unusable::new("writing", path, cause.into(), hint);
        if path.is_dir() || path.as_os_str().to_string_lossy().ends_with(std::path::is_separator) {
            return Err(refused(IsADirectory, IN_FOLDER_HINT).into());
        }
        // A link that leads nowhere is there, too.
        if path.symlink_metadata().is_ok() {
            return Err(refused(AlreadyExists, TAKEN_HINT).into());
        }
        let part = part_of(path);
        let made = match made(&part) {
            Err(error) if error.kind() == AlreadyExists && is_left_over(&part) => {
                std::fs::remove_file(&part).and_then(|()| self::made(&part))
            }
            made => made,
        };
        let made = made.map_err(|error| match error.kind() {
            AlreadyExists => Unusable::new("writing", &part, AlreadyExists.into(), PART_HINT),
            kind => refused(kind, FOLDER_HINT),
        })?;
        if cfg!(target_os = "linux") {
            // Held until this is dropped. Whoever finds the file and can have the lock knows that nobody writes it any more.
            made.as_file().try_lock().map_err(|_| refused(AlreadyExists, PART_HINT))?;
        }
        Ok(Self(made))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn keep(self, path: &Path) -> anyhow::Result<()> {
        let failed = |cause| Unusable::new("writing", path, cause, FOLDER_HINT);
        self.0.as_file().sync_all().map_err(failed)?;
        files::give_away(self.path()).map_err(failed)?;
        self.0.persist_noclobber(path).map_err(|error| failed(error.error))?;
        files::settle_folder(path).map_err(failed)?;
        Ok(())
    }
}

fn part_of(path: &Path) -> PathBuf {
    let mut part = OsString::from(path);
    part.push(".part");
    part.into()
}

fn made(part: &Path) -> std::io::Result<NamedTempFile> {
    let folder = part.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = part.file_name().unwrap_or_default();
    let made = tempfile::Builder::new().prefix(name).rand_bytes(0).tempfile_in(folder);
    // Without the name of the file, which the caller says.
    made.map_err(|error| error.kind().into())
}

/// Whether this is of a command that was killed. Elsewhere than on Linux, SQLite's own locks and these exclude each other, and nobody
/// knows.
fn is_left_over(part: &Path) -> bool {
    let open = || std::fs::File::open(part).is_ok_and(|file| file.try_lock().is_ok());
    cfg!(target_os = "linux") && part.is_file() && open()
}

/// Opens a journal to read, or a copy of one, if this program knows what it is.
fn read(path: &Path) -> anyhow::Result<Connection> {
    let unusable = |cause: std::io::Error, hint| Unusable::new("reading", path, cause, hint);
    let there = std::fs::metadata(path).map_err(|cause| unusable(cause, NAME_HINT))?;
    if there.is_dir() {
        return Err(unusable(IsADirectory.into(), IN_FOLDER_HINT).into());
    }
    std::fs::File::open(path).map_err(|cause| unusable(cause, "let yourself read it"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let what = || format!("opening `{}` to read", path.display());
    let connection = Connection::open_with_flags(path, flags).with_context(what)?;
    connection.busy_timeout(Duration::from_millis(BUSY_MS)).with_context(what)?;
    schema::refuse_unknown(&connection, path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).with_context(what)?;
    if mode == "wal" {
        // Under another name its log of writes would not be found.
        place::refuse_names(path)?;
    }
    Ok(connection)
}

/// What a copy holds, if SQLite finds nothing wrong with any page of it.
fn looked_through(path: &Path) -> anyhow::Result<Copied> {
    let connection = read(path)?;
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
        assert_eq!(left_over(folder.path()), Vec::<String>::new(), "something is left beside them");
    }

    /// Files in this folder that are no journal, no backup, and nothing that a test has written.
    fn left_over(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with('.') || name.contains(".part")).collect()
    }

    /// A journal that was copied with `cp`, with its log of writes: what is only in the log was committed.
    #[test]
    fn what_is_in_the_log_of_writes_beside_a_copy_is_restored_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        drop(super::super::Journal::open(&path("tandem.db")).unwrap());
        let live = Connection::open(path("tandem.db")).unwrap();
        live.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        live.execute_batch("INSERT INTO removed_tenants VALUES ('acme', 'acme.example', 7)").unwrap();
        for ending in ["", "-wal"] {
            std::fs::copy(path(&format!("tandem.db{ending}")), path(&format!("copy.db{ending}"))).unwrap();
        }
        drop(live);
        restore(&path("copy.db"), &path("new.db"), false).unwrap();
        let new = Connection::open(path("new.db")).unwrap();
        let removed: String = new.query_row("SELECT tenant FROM removed_tenants", [], |row| row.get(0)).unwrap();
        assert_eq!(removed, "acme");
        // Under a second name, the log would not be found.
        std::fs::hard_link(path("copy.db"), path("other.db")).unwrap();
        for said in [
            restore(&path("other.db"), &path("more.db"), false).map(drop),
            back_up(&path("other.db"), &path("more.db")).map(drop),
        ] {
            assert!(format!("{:#}", said.unwrap_err()).contains("has 2 names (hard links)"));
        }
        // A backup has no such log, and may have as many names as it likes.
        back_up(&path("tandem.db"), &path("backup.db")).unwrap();
        std::fs::hard_link(path("backup.db"), path("snapshot.db")).unwrap();
        restore(&path("snapshot.db"), &path("more.db"), false).unwrap();
    }

    #[test]
    fn a_file_that_is_no_backup_and_a_place_that_is_none_are_named_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        drop(super::super::Journal::open(&path("tandem.db")).unwrap());
        back_up(&path("tandem.db"), &path("newer.db")).unwrap();
        Connection::open(path("newer.db")).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
        std::fs::write(path("empty.db"), "").unwrap();
        std::fs::create_dir(path("there")).unwrap();
        for (name, expected) in [
            ("empty.db", "is empty, and no journal"),
            ("there", "this is a folder: name a file in it"),
            ("newer.db", "is of a newer tandem"),
            ("no.db", "check the name"),
        ] {
            let said = format!("{:#}", restore(&path(name), &path("new.db"), false).unwrap_err());
            assert!(said.contains(expected), "{name}: {said}");
        }
        let mut places =
            vec![("there", "this is a folder"), ("newdir/", "this is a folder"), ("no/a.db", "a folder that is there")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("nowhere"), path("link.db")).unwrap();
            places.push(("link.db", "name a file that is not there yet"));
        }
        for (name, expected) in places {
            let said = format!("{:#}", back_up(&path("tandem.db"), &path(name)).unwrap_err());
            assert!(said.contains(expected), "{name}: {said}");
        }
        assert_eq!(left_over(folder.path()), Vec::<String>::new());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_an_interrupted_command_has_left_makes_room_and_what_is_being_written_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        drop(super::super::Journal::open(&path("tandem.db")).unwrap());
        std::fs::write(path("copy.db.part"), "half of a copy").unwrap();
        let written = std::fs::File::open(path("copy.db.part")).unwrap();
        written.try_lock().unwrap();
        let said = format!("{:#}", back_up(&path("tandem.db"), &path("copy.db")).unwrap_err());
        assert!(said.contains("copy.db.part`") && said.contains("another command writes to it now"), "{said}");
        drop(written);
        back_up(&path("tandem.db"), &path("copy.db")).unwrap();
        assert_eq!(left_over(folder.path()), Vec::<String>::new());
    }

    /// A backup of before there were grants.
    #[test]
    fn a_backup_of_an_older_schema_becomes_a_journal_of_that_schema() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        drop(super::super::Journal::open(&path("tandem.db")).unwrap());
        back_up(&path("tandem.db"), &path("old.db")).unwrap();
        let old = Connection::open(path("old.db")).unwrap();
        old.execute_batch("DROP TABLE grants; PRAGMA user_version = 4").unwrap();
        drop(old);
        assert!(restore(&path("old.db"), &path("new.db"), false).unwrap().1.is_empty());
        let new = Connection::open(path("new.db")).unwrap();
        let version: i64 = new.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 4, "the tandem that goes with it can take it");
    }

    /// Root restores for a host that runs as somebody else.
    #[cfg(unix)]
    #[test]
    fn a_restored_journal_belongs_to_whoever_has_its_folder() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        drop(super::super::Journal::open(&path("tandem.db")).unwrap());
        back_up(&path("tandem.db"), &path("copy.db")).unwrap();
        std::fs::create_dir(path("state")).unwrap();
        let own = std::fs::metadata(path("state")).unwrap().uid();
        // Only root can give anything away, and to anybody else the files belong anyway.
        let owner = if own == 0 { 12_345 } else { own };
        chown(path("state"), Some(owner), None).unwrap();
        restore(&path("copy.db"), &path("state/tandem.db"), false).unwrap();
        for name in ["tandem.db", "tandem.db-lock"] {
            let file = std::fs::metadata(path("state").join(name)).unwrap();
            assert_eq!((file.uid(), file.mode() & 0o777), (owner, 0o600), "{name}");
        }
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
