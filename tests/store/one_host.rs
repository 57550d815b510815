//! One host has a journal, by whatever name it is called: a second one does not start, and one that has lost its journal
//! writes nothing, sends nothing and ends. With hosts in processes of their own.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tandem::journal::{Appended, Claim, Journal, Taken};
use tandem::model::{Call, Effect, Request, Webhook};
use tempfile::TempDir;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// A host in a process of its own, killed when it is dropped.
pub struct Process {
    pub child: Child,
    pub address: String,
}

impl Process {
    /// Starts a host on this journal, by way of a shell that does something before.
    pub fn spawn(folder: &Path, journal: &Path, before: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join(format!("{port}.toml"));
        let journal = journal.display();
        std::fs::write(
            &config,
            format!("listen = \"{address}\"\njournal = \"{journal}\"\nadmin.listen = \"127.0.0.1:0\"\n"),
        )
        .unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\" serve --config \"$1\""), env!("CARGO_BIN_EXE_tandem")])
            .arg(&config)
            .env("TANDEM_LOG", "warn")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    pub fn start(folder: &Path, journal: &Path) -> Self {
        let mut process = Self::spawn(folder, journal, "");
        process.serves();
        process
    }

    /// Waits until it answers: it listens before it has its journal.
    fn serves(&mut self) {
        let began = Instant::now();
        while !self.answers() {
            assert!(self.child.try_wait().unwrap().is_none(), "{:?}", self.ended());
            assert!(began.elapsed() < WAIT_MAX, "the host does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = std::net::TcpStream::connect(&self.address) else { return false };
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        sent.is_ok() && stream.read(&mut [0]).is_ok_and(|bytes| bytes == 1)
    }

    /// Waits for its end; gives the exit code and what it said.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let code = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if began.elapsed() < WAIT_MAX => std::thread::sleep(Duration::from_millis(5)),
                None => panic!("the host does not end"),
            }
        };
        let mut said = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a journal in a folder of its own.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("own")).unwrap();
    let journal = folder.path().join("own/tandem.db");
    (folder, journal)
}

fn refused(folder: &Path, journal: &Path, before: &str, way: &str) {
    let (code, said) = Process::spawn(folder, journal, before).ended();
    assert!(said.contains("error: another host runs on the journal `"), "{way}: {said}");
    assert_eq!(code, Some(3), "{way}: {said}");
}

#[test]
fn a_second_host_does_not_start_whatever_the_journal_is_called() {
    type Way = (&'static str, fn(&Path, &Path) -> PathBuf);
    let ways: [Way; 8] = [
        ("the same path", |_, journal| journal.to_owned()),
        ("a path with a detour", |folder, _| folder.join("own/../own/./tandem.db")),
        ("a symlink to the journal", |folder, journal| {
            symlink(journal, folder.join("link.db")).unwrap();
            folder.join("link.db")
        }),
        ("a symlink to the folder", |folder, _| {
            symlink(folder.join("own"), folder.join("other")).unwrap();
            folder.join("other/tandem.db")
        }),
        ("a hard link", |folder, journal| {
            std::fs::hard_link(journal, folder.join("hard.db")).unwrap();
            folder.join("hard.db")
        }),
        ("a deleted lock", |_, journal| {
            std::fs::remove_file(journal.with_file_name("tandem.db-lock")).unwrap();
            journal.to_owned()
        }),
        ("a copied lock", |folder, journal| {
            let lock = journal.with_file_name("tandem.db-lock");
            std::fs::copy(&lock, folder.join("copy")).unwrap();
            std::fs::rename(folder.join("copy"), &lock).unwrap();
            journal.to_owned()
        }),
        ("a journal that was moved", |folder, journal| {
            std::fs::rename(journal, folder.join("moved.db")).unwrap();
            folder.join("moved.db")
        }),
    ];
    for (way, other) in ways {
        let (folder, journal) = place();
        let mut first = Process::start(folder.path(), &journal);
        refused(folder.path(), &other(folder.path(), &journal), "", way);
        assert!(first.child.try_wait().unwrap().is_none(), "{way}: the first host has ended: {:?}", first.ended());
    }
}

/// The journal, or its folder, mounted a second time.
#[test]
fn a_second_host_does_not_start_on_a_bind_mount() {
    let allowed = Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|out| out.status.success());
    if !allowed {
        eprintln!("SKIPPED: `unshare -rm` is not allowed here, so nothing can be mounted");
        return;
    }
    for (what, at) in [("own/tandem.db", "mounted.db"), ("own", "mounted")] {
        let (folder, journal) = place();
        let _first = Process::start(folder.path(), &journal);
        let (from, to) = (folder.path().join(what), folder.path().join(at));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap()
        } else {
            std::fs::write(&to, "").unwrap()
        }
        let other = if from.is_dir() { to.join("tandem.db") } else { to.clone() };
        let mount = format!(
            "[ -n \"$INSIDE\" ] || INSIDE=1 exec unshare -rm sh -c 'mount --bind {} {} && exec \"$0\" serve --config \"$1\"' \"$0\" \"$1\";",
            from.display(),
            to.display()
        );
        refused(folder.path(), &other, &mount, what);
    }
}

/// SQLite's log of writes goes by the name: under another one a journal is without what is in the log.
#[test]
fn a_journal_of_two_names_is_refused_when_nobody_has_it() {
    let (folder, journal) = place();
    drop(Process::start(folder.path(), &journal));
    std::fs::hard_link(&journal, folder.path().join("hard.db")).unwrap();
    let (code, said) = Process::spawn(folder.path(), &journal, "").ended();
    assert!(said.contains("has 2 names (hard links)") && said.contains("\nhint: "), "{said}");
    assert_eq!(code, Some(1));
    std::fs::remove_file(folder.path().join("hard.db")).unwrap();
    Process::start(folder.path(), &journal);
}

/// Raises the epoch as another host does that no lock has kept out: on another machine, say.
fn raise(journal: &Path) {
    let other = rusqlite::Connection::open(journal).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(other.execute("UPDATE fence SET epoch = epoch + 1, process = 7", []), Ok(1));
}

#[test]
fn a_host_that_has_lost_its_journal_ends_though_it_has_nothing_to_write() {
    let (folder, journal) = place();
    let mut host = Process::start(folder.path(), &journal);
    raise(&journal);
    let (code, said) = host.ended();
    let expected =
        format!("error: the journal `{}` was taken over: another host was started on it at ", journal.display());
    assert!(said.contains(&expected) && said.contains(", as process 7\nhint: one host runs on a journal"), "{said}");
    assert_eq!(code, Some(3));
}

fn call(effect: Effect) -> Call {
    let request = Request::Graphql { document: "mutation { a }".into(), variables: "{}".into() };
    Call { target: "shopify".into(), effect, request }
}

/// Nothing is taken in, and no call is sent: its attempt would have to be in the journal before.
#[tokio::test]
async fn a_host_that_has_lost_its_journal_takes_nothing_in_and_sends_nothing() {
    let (_folder, path) = place();
    let claim = Claim::on(&path).unwrap();
    let (journal, feeds, thread) = Journal::open_as_host(&claim).unwrap();
    let webhook = Webhook {
        tenant: "acme".into(),
        source: "shopify".into(),
        topic: "orders/create".into(),
        delivery_id: None,
        occurred_at: String::new(),
        received_at: 0,
        api_version: String::new(),
        payload: "{}".into(),
    };
    let Appended::Accepted(event) = journal.append(webhook.clone()).await.unwrap() else { panic!("not accepted") };
    let connection = rusqlite::Connection::open(&path).unwrap();
    let run = "INSERT INTO runs (id, event, version, memory, begun_at, state) VALUES (1, ?, 'd', '[]', 0, 'open')";
    connection.execute(run, [event.0]).unwrap();
    for effect in [Effect::Once, Effect::Repeatable, Effect::Read] {
        let insert = "INSERT INTO calls (run, pass, target, call) VALUES (1, 0, 'shopify', ?)";
        connection.execute(insert, [serde_json::to_string(&call(effect)).unwrap()]).unwrap();
    }
    let due = journal.read(|reader| reader.unanswered()).unwrap();
    assert_eq!(due.len(), 3);
    assert!(journal.attempt(&due[0]).await.unwrap().is_some());
    raise(&path);
    for due in &due {
        let refused = format!("{:#}", journal.attempt(due).await.unwrap_err());
        assert!(refused.contains("another host was started on it"), "{refused}");
    }
    assert!(journal.append(webhook).await.is_err());
    assert!(journal.try_to_write().await.is_err());
    assert!(journal.broken().await.is_taken);
    let count =
        |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0));
    assert_eq!((count("events"), count("attempts")), (Ok(1), Ok(1)));
    drop((journal, feeds));
    thread.join().unwrap();
    // Whoever is started next has it.
    drop(claim);
    let claim = Claim::on(&path).unwrap();
    assert!(Claim::on(&path).unwrap_err().is::<Taken>());
    let (journal, feeds, thread) = Journal::open_as_host(&claim).unwrap();
    journal.try_to_write().await.unwrap();
    drop((journal, feeds));
    thread.join().unwrap();
}

/// What is personal is its owner's alone, whatever the umask; and where an older host has made it wider, that is said.
#[test]
fn files_are_their_owners_alone() {
    let (folder, journal) = place();
    let mut host = Process::spawn(folder.path(), &journal, "umask 000;");
    host.serves();
    let modes: Vec<(String, u32)> = std::fs::read_dir(journal.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().mode() & 0o777))
        .collect();
    assert!(modes.len() >= 4, "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    host.child.kill().unwrap();
    let said = host.ended().1;
    assert!(!said.contains("chmod"), "{said}");
    std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut host = Process::start(folder.path(), &journal);
    host.child.kill().unwrap();
    let said = host.ended().1;
    assert!(said.contains("tandem.db` has the mode 644: others may read personal data\nhint: chmod 600"), "{said}");
}
