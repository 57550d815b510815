//! A disk that does not give what was written: an event is never given up for it, and a journal that cannot be believed is
//! said to be broken.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::ffi;
use tandem::journal::{Appended, Claim, Journal, Reader};
use tandem::model::{EventId, Webhook};

use crate::desk::Desk;
use crate::host::{Host, TENANT, hostile};

fn webhook(n: usize) -> Webhook {
    Webhook {
        tenant: TENANT.into(),
        source: "shopify".into(),
        topic: "good".into(),
        delivery_id: None,
        occurred_at: "2026-01-02T03:04:05Z".into(),
        received_at: 0,
        api_version: "2026-07".into(),
        payload: format!(r#"{{"id": {n}, "note": "{}"}}"#, "n".repeat(3_000)),
    }
}

/// What SQLite says of a disk.
fn said(code: i32) -> anyhow::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
}

#[tokio::test]
async fn what_the_disk_does_not_give_is_asked_for_again_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, feeds, thread) = Journal::open(&folder.path().join("a.db")).unwrap();
    for (fails, code, is_read, tries) in [
        (3, ffi::SQLITE_IOERR_READ, true, 4),
        (3, ffi::SQLITE_IOERR_SHORT_READ, true, 4),
        // What SQLite makes of EIO.
        (3, ffi::SQLITE_CORRUPT, true, 4),
        (99, ffi::SQLITE_IOERR_READ, false, 6),
        // Another try would not help.
        (99, ffi::SQLITE_CANTOPEN, false, 1),
        (99, ffi::SQLITE_BUSY, false, 1),
    ] {
        let mut tried = 0;
        let read = journal.read(|_| {
            tried += 1;
            if tried > fails { Ok(()) } else { Err(said(code)) }
        });
        assert_eq!((read.is_ok(), tried), (is_read, tries), "{code}");
    }
    assert_eq!(journal.why_broken(), None);
    drop((journal, feeds));
    thread.join().unwrap();
}

#[tokio::test]
async fn what_cannot_be_believed_breaks_the_journal() {
    for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
        let folder = tempfile::tempdir().unwrap();
        let (journal, feeds, thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        assert!(journal.read(|_| Err::<(), _>(said(code))).is_err());
        let why = journal.why_broken().unwrap();
        assert!(
            why.starts_with("what is on disk is damaged: ") && why.ends_with("; nothing is written until a restart")
        );
        assert!(journal.append(webhook(1)).await.unwrap_err().to_string().contains("damaged"));
        assert!(!journal.broken().await.is_taken);
        drop((journal, feeds));
        thread.join().unwrap();
    }
}

/// Overwrites the middle of a file.
fn damage(path: &Path) {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    // The tables' roots and their rows; the header stays.
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length - 4_096).unwrap()]).unwrap();
}

/// In a real file: whoever comes upon it, reading or writing, has the host say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_makes_the_host_not_ready_and_no_dead_letter() {
    let host = Host::start([(TENANT.to_owned(), hostile())]).await;
    let event = host.event(TENANT, "good", r#"{"id": 1}"#).await;
    host.over(event).await;
    let desk = Desk::of(host);
    assert_eq!(desk.get("", "/ready").await.0, 200);
    for n in 0..50 {
        desk.host.server.journal.append(webhook(n)).await.unwrap();
    }
    let other = rusqlite::Connection::open(&desk.host.journal).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(other);
    damage(&desk.host.journal);
    // Whoever reads beside the host comes upon it first: its own pages are in memory.
    let _ = desk.host.server.journal.read(|reader| reader.miscounted());
    let why = tokio::time::timeout(Duration::from_secs(30), desk.host.server.journal.broken()).await.unwrap();
    assert!(why.why.contains("damaged") || why.why.contains("malformed"), "{why:?}");
    let mut ready = (200, serde_json::Value::Null);
    for _ in 0..500 {
        ready = desk.get("", "/ready").await;
        if ready.0 == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        ready.0 == 503 && ready.1["detail"].as_str().unwrap().contains("webhooks cannot be stored now: "),
        "{ready:?}"
    );
    desk.host.omneo.stop();
}

#[test]
fn what_is_no_journal_is_said_to_be_none_and_left_as_it_is() {
    let journal = |sql: &'static str| {
        move |path: &Path| {
            drop(Journal::open(path).unwrap());
            std::thread::sleep(Duration::from_millis(50));
            rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
        }
    };
    type Make = Box<dyn Fn(&Path)>;
    let cases: Vec<(Make, &str)> = vec![
        (
            Box::new(journal("PRAGMA user_version = -5")),
            "it says that it has schema -5 (`user_version`), and there is none",
        ),
        (Box::new(journal("PRAGMA user_version = 99")), "is of a newer tandem\nhint: use that one"),
        (Box::new(journal("PRAGMA user_version = 3")), "its tables are not those of schema 3, which it says it has: "),
        (Box::new(journal("PRAGMA application_id = 7")), "is a database, and no journal of a tandem\nhint: "),
        (
            Box::new(journal(
                "DROP TABLE attempts; DROP TABLE calls; DROP TABLE log; DROP TABLE runs; DROP TABLE events",
            )),
            "no journal of a tandem\nhint: ",
        ),
        (
            Box::new(|path| {
                let other = rusqlite::Connection::open(path).unwrap();
                other.execute_batch("CREATE TABLE places (a); INSERT INTO places VALUES (1)").unwrap();
            }),
            "is a database, and no journal of a tandem\nhint: ",
        ),
        (
            Box::new(|path| std::fs::write(path, "a".repeat(9_000)).unwrap()),
            "is damaged, or is no journal: file is not a database",
        ),
    ];
    for (make, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let claim = Claim::on(&path).unwrap();
        let said = format!("{:#}", Journal::open_as_host(&claim).err().expect(expected));
        assert!(said.contains(expected) && said.contains("\nhint: "), "{said}");
        assert!(!said.contains("out of range") && !said.contains("Error code"), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{said}");
        assert!(Reader::open(&path).is_err(), "{said}");
    }
}

/// A journal of the schema before this one is brought up to date, and what is in it is counted.
#[tokio::test]
async fn an_older_journal_is_counted_when_it_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    let Appended::Accepted(EventId(event)) = journal.append(webhook(1)).await.unwrap() else { panic!("a duplicate") };
    drop((journal, feeds));
    thread.join().unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    let triggers: Vec<String> = {
        let mut all = old.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert!(triggers.len() > 30);
    for trigger in triggers {
        old.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    old.execute_batch(&format!(
        "ALTER TABLE memory DROP COLUMN tenant;
         INSERT INTO memory (entity, event, body, current) VALUES ({event}, {event}, '0123456789', 1);
         INSERT INTO names (tenant, name, entity) VALUES ('acme', 'a/b/1', {event});
         DELETE FROM memory WHERE event = 99;
         UPDATE usage SET bytes = 7;
         DROP TABLE fence; DROP TABLE retention;
         PRAGMA user_version = 6; PRAGMA application_id = 0;"
    ))
    .unwrap();
    drop(old);
    let (journal, feeds, thread) = Journal::open(&path).unwrap();
    assert_eq!(journal.read(|reader| reader.miscounted()).unwrap(), BTreeMap::new());
    let before = journal.read(|reader| reader.bytes_of(TENANT)).unwrap();
    assert!(before > 3_000 + 3 * 100, "{before}");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("DELETE FROM memory", []).unwrap();
    let after = journal.read(|reader| reader.bytes_of(TENANT)).unwrap();
    assert_eq!(before - after, 110);
    drop((journal, feeds));
    thread.join().unwrap();
}
