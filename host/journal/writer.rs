//! The only thread that writes to disk. It writes all waiting jobs in one transaction, commits once, and only then
//! answers.
//!
//! Knows transactions; not what is in them.

use std::iter;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, ffi};
use tokio::sync::{oneshot, watch};

use super::fence::Fence;
use super::queues::{Queues, What, Who};

/// Jobs that one commit takes at most, so that the first of them does not wait for long.
const JOBS_PER_COMMIT_MAX: usize = 512;
/// Jobs that may wait. If there are more, the senders wait.
const JOBS_WAITING_MAX: usize = 4096;
/// How often a host with nothing to write checks whether the journal is still its own.
const FENCE_EVERY: Duration = Duration::from_secs(1);

/// One job. It writes in the transaction, and what it returns is told afterwards whether that was committed. If there
/// is no transaction, it only tells its caller why.
type Job = Box<dyn FnOnce(Result<&Transaction, &str>) -> Option<Written> + Send>;
/// What the writing thread can be asked to do.
enum Work {
    Job(Job),
    /// Empties SQLite's log of writes, and says whether no reader was in the way.
    EmptyLog(oneshot::Sender<Result<bool, String>>),
}
type Finish = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// The result of a job before the commit.
struct Written {
    finish: Finish,
    failed: Option<Failed>,
    /// Whether the caller has the result already, and goes on with it.
    promised: bool,
}

struct Failed {
    why: String,
    how: How,
}

/// What a failure leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The next commit may succeed.
    Passing,
    /// Something could not be read. The transaction is lost, and what is on disk is as it was.
    Unread,
    /// What is on disk is unknown, or damaged.
    Disk,
    /// Another host has the journal now.
    Taken,
}

/// Why the journal writes nothing more before a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    pub why: String,
    /// Another host has the journal, and a restart would take it away from that host.
    pub is_taken: bool,
}

/// A handle on the writing thread. When the last handle is dropped, the thread finishes what waits and ends.
#[derive(Clone)]
pub struct Writer {
    to: To,
    /// Who the writes of this handle are for.
    who: Who,
    broken: watch::Sender<Option<Broken>>,
}

#[derive(Clone)]
enum To {
    Thread(SyncSender<(Who, Work)>),
    /// Each write is done at once, in a transaction of its own.
    Here(Arc<Mutex<Connection>>),
}

impl Writer {
    /// Starts the thread: for a host with the fence that it has raised, or without one for a command beside a host.
    pub fn start(connection: Connection, fence: Option<Fence>) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::sync_channel(JOBS_WAITING_MAX);
        let broken = watch::Sender::new(None);
        let breaks = broken.clone();
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || run(connection, fence, &waiting, &breaks))
            .context("starting the journal's thread")?;
        Ok((Self { to: To::Thread(jobs), who: Who::default(), broken }, thread))
    }

    /// A writer without a thread, for a journal that is not to last: a write is done when it is first polled.
    pub fn here(connection: Connection) -> Self {
        let to = To::Here(Arc::new(Mutex::new(connection)));
        Self { to, who: Who::default(), broken: watch::Sender::new(None) }
    }

    /// A handle for the writes of a tenant. Writes of one tenant keep their order; tenants and the host itself take
    /// turns.
    pub fn of(&self, tenant: &str) -> Self {
        self.for_what(tenant, What::Other)
    }

    /// A handle for webhooks that come in for a tenant, which go before all other writes.
    pub fn intake_of(&self, tenant: &str) -> Self {
        self.for_what(tenant, What::Intake)
    }

    fn for_what(&self, tenant: &str, what: What) -> Self {
        Self { who: Who { tenant: tenant.into(), what }, ..self.clone() }
    }

    /// Copies a journal in memory to a file.
    pub fn copy_to(&self, path: &Path) -> anyhow::Result<()> {
        let To::Here(connection) = &self.to else { bail!("this journal is a file already") };
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .execute("VACUUM INTO ?", [path.to_string_lossy()])
            .map(drop)
            .with_context(|| format!("writing `{}`", path.display()))
    }

    /// Why the journal writes nothing more before a restart; `None` as long as all is well.
    pub fn broken(&self) -> watch::Receiver<Option<Broken>> {
        self.broken.subscribe()
    }

    /// Stops all writing until a restart, because what was read is damaged.
    pub fn break_off(&self, why: &str) {
        break_off(&self.broken, why);
    }

    /// Runs `job` in the next transaction, and gives its result when that is on disk: `fsync` has returned. `publish`
    /// runs just before the result is given, on the writing thread. So what is published keeps the order of the writes,
    /// and is not lost when the caller stops waiting.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
        publish: impl FnOnce(&T) + Send + 'static,
    ) -> anyhow::Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let transaction = match transaction {
                Ok(transaction) => transaction,
                Err(why) => {
                    let _ = answer.send(Err(refusal(why)));
                    return None;
                }
            };
            let result = in_savepoint(transaction, job);
            let failed = result.as_ref().err().map(Failed::of);
            let finish = Box::new(move |committed: Result<(), &str>| {
                let result = match (result, committed) {
                    (Ok(value), Ok(())) => {
                        publish(&value);
                        Ok(value)
                    }
                    (Err(error), _) => Err(anyhow!(error).context("writing the journal")),
                    (Ok(_), Err(why)) => Err(refusal(why)),
                };
                // Sending fails if the caller was cancelled; what was written stays written.
                let _ = answer.send(result);
            });
            Some(Written { finish, failed, promised: false })
        });
        self.send(Work::Job(job)).await?;
        answered.await.map_err(|_| anyhow!("the journal has stopped"))?
    }

    /// Runs `job` in the next transaction, and gives its result before the commit. A crash may lose such a write. That
    /// does no harm if whatever depends on it is written later and durably: a transaction is never on disk without
    /// those before it.
    pub async fn write_soon<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let transaction = match transaction {
                Ok(transaction) => transaction,
                Err(why) => {
                    let _ = answer.send(Err(refusal(why)));
                    return None;
                }
            };
            let result = in_savepoint(transaction, job);
            let (failed, promised) = (result.as_ref().err().map(Failed::of), result.is_ok());
            // Sending fails if the caller was cancelled.
            let _ = answer.send(result.map_err(|error| anyhow!(error).context("writing the journal")));
            Some(Written { finish: Box::new(|_| ()), failed, promised })
        });
        self.send(Work::Job(job)).await?;
        answered.await.map_err(|_| anyhow!("the journal has stopped"))?
    }

    /// Runs `job` in the next transaction. `tell` gets its result at once, on the writing thread, so that what is told
    /// keeps the order of the jobs; what `tell` gives is handed to `then` when the commit has succeeded or failed. With
    /// `promises`, somebody goes on with what was told, and a failed commit breaks the journal. This returns when the
    /// job is queued: jobs that are handed over one after the other run in that order.
    pub async fn order<V: Send + 'static, T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction) -> rusqlite::Result<V> + Send + 'static,
        tell: impl FnOnce(Result<V, String>) -> Option<T> + Send + 'static,
        then: impl FnOnce(Result<T, &str>) + Send + 'static,
        promises: bool,
    ) -> anyhow::Result<()> {
        let job: Job = Box::new(move |transaction| {
            let transaction = match transaction {
                Ok(transaction) => transaction,
                Err(why) => {
                    tell(Err(why.to_owned()));
                    return None;
                }
            };
            let result = in_savepoint(transaction, job);
            let failed = result.as_ref().err().map(Failed::of);
            let told = tell(result.map_err(|error| error.to_string()));
            let promised = promises && failed.is_none();
            let finish = Box::new(move |committed: Result<(), &str>| {
                if let Some(told) = told {
                    then(committed.map(|()| told));
                }
            });
            Some(Written { finish, failed, promised })
        });
        self.send(Work::Job(job)).await
    }

    /// Moves what was written from the log of writes into the journal's file and empties the log, so that neither holds
    /// anything older. `false`: a reader was in the way, and was not waited for.
    pub async fn empty_log(&self) -> anyhow::Result<bool> {
        let (answer, answered) = oneshot::channel();
        self.send(Work::EmptyLog(answer)).await?;
        let emptied = answered.await.map_err(|_| anyhow!("the journal has stopped"))?;
        emptied.map_err(|why| anyhow!("emptying the journal's log of writes: {why}"))
    }

    async fn send(&self, work: Work) -> anyhow::Result<()> {
        let jobs = match &self.to {
            To::Thread(jobs) => jobs,
            To::Here(connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                match work {
                    Work::Job(job) => {
                        let (written, committed) = commit(&mut connection, None, iter::once(job));
                        let outcome = committed.as_ref().copied().map_err(|failed| failed.why.as_str());
                        written.into_iter().for_each(|written| (written.finish)(outcome));
                    }
                    // A journal in memory has no log.
                    Work::EmptyLog(answer) => drop(answer.send(Ok(true))),
                }
                return Ok(());
            }
        };
        match jobs.try_send((self.who.clone(), work)) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(anyhow!("the journal has stopped")),
            Err(mpsc::TrySendError::Full(job)) => {
                let jobs = jobs.clone();
                let sent = tokio::task::spawn_blocking(move || jobs.send(job).is_ok()).await;
                if matches!(sent, Ok(true)) { Ok(()) } else { Err(anyhow!("the journal has stopped")) }
            }
        }
    }
}

fn in_savepoint<T>(
    transaction: &Transaction,
    job: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    match job(transaction) {
        Ok(value) => {
            transaction.prepare_cached("RELEASE job")?.execute([])?;
            Ok(value)
        }
        Err(error) => {
            // If this fails too, so will the commit.
            let _ = transaction.execute_batch("ROLLBACK TO job; RELEASE job");
            Err(error)
        }
    }
}

fn run(
    mut connection: Connection,
    fence: Option<Fence>,
    waiting: &Receiver<(Who, Work)>,
    broken: &watch::Sender<Option<Broken>>,
) {
    let mut queues = Queues::new();
    loop {
        if queues.is_empty() {
            match waiting.recv_timeout(FENCE_EVERY) {
                Ok((who, work)) => queues.push(who, work),
                Err(RecvTimeoutError::Timeout) => {
                    // If the fence cannot be read now, the next commit looks at it.
                    if let Some(Ok(Some(why))) = fence.map(|fence| fence.lost(&connection)) {
                        taken(broken, why);
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        queues.begin();
        let next = iter::from_fn(|| {
            while queues.len() < JOBS_WAITING_MAX
                && let Ok((who, work)) = waiting.try_recv()
            {
                queues.push(who, work);
            }
            queues.pop()
        });
        let mut emptied = vec![];
        let jobs = next.take(JOBS_PER_COMMIT_MAX).filter_map(|work| match work {
            Work::Job(job) => Some(job),
            Work::EmptyLog(answer) => {
                emptied.push(answer);
                None
            }
        });
        let before = broken.borrow().clone();
        if let Some(Broken { why, .. }) = before {
            refuse(jobs, &why);
            continue;
        }
        let (written, committed) = commit(&mut connection, fence, jobs);
        let outcome = match committed {
            Ok(()) => Ok(()),
            Err(Failed { why, how }) => {
                tracing::error!(blame = "host", "the journal could not commit: {why}");
                // After a failed fsync nobody knows what is on disk, and what was promised is lost with the
                // transaction. Only a restart, which reads what there is, puts that right.
                match how {
                    How::Taken => taken(broken, why.clone()),
                    How::Disk => break_off(broken, &why),
                    How::Passing | How::Unread if written.iter().any(|written| written.promised) => {
                        break_off(broken, &why);
                    }
                    How::Passing | How::Unread => {}
                }
                Err(why)
            }
        };
        for written in written {
            (written.finish)(outcome.as_ref().copied().map_err(String::as_str));
        }
        for answer in emptied {
            let _ = answer.send(empty_log(&connection).map_err(|error| error.to_string()));
        }
    }
}

/// The first reason is kept.
fn break_off(broken: &watch::Sender<Option<Broken>>, why: &str) {
    let why = format!("{why}; nothing is written until a restart");
    broken.send_if_modified(|broken| broken.is_none() && broken.replace(Broken { why, is_taken: false }).is_none());
}

fn taken(broken: &watch::Sender<Option<Broken>>, why: String) {
    broken.send_if_modified(|broken| broken.is_none() && broken.replace(Broken { why, is_taken: true }).is_none());
}

fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    let patience: u64 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
    connection.busy_timeout(Duration::ZERO)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(Duration::from_millis(patience))?;
    Ok(!busy?)
}

fn commit(
    connection: &mut Connection,
    fence: Option<Fence>,
    jobs: impl Iterator<Item = Job>,
) -> (Vec<Written>, Result<(), Failed>) {
    let transaction = match begin(connection, fence) {
        Ok(transaction) => transaction,
        Err(failed) => {
            // Refuses only the jobs that wait now. Jobs that come after this refusal may succeed.
            let waited: Vec<Job> = jobs.collect();
            refuse(waited.into_iter(), &failed.why);
            return (vec![], Err(failed));
        }
    };
    let (mut all, mut lost) = (vec![], None::<Failed>);
    for job in jobs {
        if let Some(lost) = &lost {
            refuse(iter::once(job), &lost.why);
        } else if let Some(mut written) = job(Ok(&transaction)) {
            let failed = written.failed.take();
            // An error such as a full disk has ended the transaction, and each further job would be committed by
            // itself.
            lost = failed.filter(|failed| failed.how != How::Passing || transaction.is_autocommit());
            all.push(written);
        }
    }
    let committed = match lost {
        Some(failed) => Err(failed),
        None => transaction.commit().map_err(|error| Failed::of(&error)),
    };
    (all, committed)
}

/// Begins a transaction, if this host still has the journal.
fn begin(connection: &mut Connection, fence: Option<Fence>) -> Result<Transaction<'_>, Failed> {
    // Immediate, so that another process' lock is waited for once and not by each job, and so that the epoch cannot
    // change before the commit.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| Failed::of(&error))?;
    match fence.map_or(Ok(None), |fence| fence.lost(&transaction)) {
        Ok(None) => Ok(transaction),
        Ok(Some(why)) => Err(Failed { why, how: How::Taken }),
        Err(error) => Err(Failed::of(&error)),
    }
}

fn refuse(jobs: impl Iterator<Item = Job>, why: &str) {
    for job in jobs {
        job(Err(why));
    }
}

fn refusal(why: &str) -> anyhow::Error {
    anyhow!("the journal could not commit: {why}")
}

impl Failed {
    fn of(error: &rusqlite::Error) -> Self {
        Self { why: error.to_string(), how: How::of(error) }
    }
}

impl How {
    fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::SystemIoFailure) if is_unread(error) => Self::Unread,
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Disk,
            _ => Self::Passing,
        }
    }
}

/// Whether the disk failed to give what was asked of it, so that another try may succeed.
pub fn is_unread(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_FSTAT))
}

/// Whether what is on disk is damaged, or no journal.
pub fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    type Write<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

    const SMALL: usize = 10;
    const LARGE: usize = 1 << 20;

    /// A writer on a disk with room for little.
    fn writer(folder: &tempfile::TempDir) -> Writer {
        let connection = Connection::open(folder.path().join("test.db")).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE rows (body TEXT)").unwrap();
        connection.query_row("PRAGMA max_page_count = 10", [], |_| Ok(())).unwrap();
        Writer::start(connection, None).unwrap().0
    }

    fn insert(length: usize) -> impl FnOnce(&Transaction) -> rusqlite::Result<()> + Send + 'static {
        move |tx| tx.execute("INSERT INTO rows VALUES (?)", ["a".repeat(length)]).map(|_| ())
    }

    fn durable(writer: &Writer, length: usize) -> Write<'_> {
        Box::pin(writer.write(insert(length), |_| ()))
    }

    fn promised(writer: &Writer, length: usize) -> Write<'_> {
        Box::pin(writer.write_soon(insert(length)))
    }

    fn reported(result: anyhow::Result<()>) -> String {
        result.map_or_else(|error| format!("{error:#}"), |()| "written".to_owned())
    }

    /// The results of writes that share a commit: they wait behind a first write, which goes on when all of them have
    /// been sent.
    async fn together(writer: &Writer, writes: Vec<Write<'_>>) -> Vec<String> {
        let (open, gate) = mpsc::channel::<()>();
        let first = move |_: &Transaction| {
            // Receiving fails when the sender is dropped, below.
            let _ = gate.recv();
            Ok(())
        };
        let mut all: Vec<Write> = vec![Box::pin(writer.write(first, |_| ()))];
        all.extend(writes);
        poll_fn(|context| {
            assert!(all.iter_mut().all(|write| write.as_mut().poll(context).is_pending()));
            Poll::Ready(())
        })
        .await;
        drop(open);
        let mut results = vec![];
        for write in all {
            results.push(reported(write.await));
        }
        results.split_off(1)
    }

    async fn rows(writer: &Writer) -> u32 {
        let count = |tx: &Transaction| tx.query_row("SELECT count(*) FROM rows", [], |row| row.get(0));
        writer.write(count, |_| ()).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_refuses_all_of_a_commit_and_takes_the_next_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        assert_eq!(reported(durable(&writer, SMALL).await), "written");
        let writes = vec![durable(&writer, SMALL), durable(&writer, LARGE), durable(&writer, SMALL)];
        let refused = "the journal could not commit: database or disk is full";
        assert_eq!(
            together(&writer, writes).await,
            [
                refused,
                "writing the journal: database or disk is full: Error code 13: database or disk is full",
                refused
            ]
        );
        assert_eq!((rows(&writer).await, writer.broken().borrow().clone()), (1, None));
        let more_room = |tx: &Transaction| tx.query_row("PRAGMA max_page_count = 10000", [], |_| Ok(()));
        writer.write(more_room, |_| ()).await.unwrap();
        assert_eq!(reported(durable(&writer, LARGE).await), "written");
    }

    #[tokio::test]
    async fn what_was_promised_and_is_lost_breaks_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let writes = vec![promised(&writer, SMALL), durable(&writer, LARGE)];
        assert_eq!(together(&writer, writes).await[0], "written");
        let why = "the journal could not commit: database or disk is full; nothing is written until a restart";
        assert_eq!(reported(durable(&writer, SMALL).await), why);
        assert_eq!(reported(promised(&writer, SMALL).await), why);
        assert!(writer.broken().borrow().is_some());
    }

    #[tokio::test]
    async fn what_could_not_be_read_loses_its_transaction_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let unread = |_: &Transaction| -> rusqlite::Result<()> {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), Some("disk I/O error".into())))
        };
        let writes = vec![durable(&writer, SMALL), Box::pin(writer.write(unread, |_| ()))];
        assert_eq!(together(&writer, writes).await[0], "the journal could not commit: disk I/O error");
        assert_eq!((reported(durable(&writer, SMALL).await), rows(&writer).await), ("written".to_owned(), 1));
        // What was promised cannot be taken back.
        let writes = vec![promised(&writer, SMALL), Box::pin(writer.write(unread, |_| ()))];
        assert_eq!(together(&writer, writes).await[0], "written");
        assert!(writer.broken().borrow().as_ref().is_some_and(|broken| !broken.is_taken));
    }

    #[tokio::test]
    async fn after_a_failed_fsync_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let fsync = |_: &Transaction| -> rusqlite::Result<()> {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), Some("disk I/O error".into())))
        };
        let writes = vec![durable(&writer, SMALL), Box::pin(writer.write(fsync, |_| ())), durable(&writer, SMALL)];
        let lost = "the journal could not commit: disk I/O error";
        assert_eq!(
            together(&writer, writes).await,
            [lost, "writing the journal: disk I/O error: Error code 1034: disk I/O error", lost]
        );
        for write in [durable(&writer, SMALL), promised(&writer, SMALL)] {
            assert_eq!(reported(write.await), format!("{lost}; nothing is written until a restart"));
        }
        let connection = Connection::open(folder.path().join("test.db")).unwrap();
        assert_eq!(connection.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)), Ok(0));
    }
}
