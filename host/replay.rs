//! Replays a tenant's recorded events through a candidate version, and compares with what was really sent: the proof
//! before a version goes live.
//!
//! Only reads the journal, which a host may be writing; sends nothing. One event is compared by [`compare`].

use std::iter;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::bail;

use crate::conversation::Rules;
use crate::engine;
use crate::journal::{Range, Reader, Recorded};
use crate::model::EventId;
use crate::rules::Plugin;

mod asked;
mod compare;
mod difference;
mod replies;
mod report;
mod text;

pub use asked::{AskedAgain, AskedCall, Ends, ask_again};
pub use compare::compare;
pub use difference::{Change, Class, Difference, Kind, Shape};
pub use report::{Candidate, Cases, Example, FailedCase, Group, Report, Require, Tally};
pub use text::text;

/// Threads that ask, each in an instance of the pool.
const THREADS_MAX: usize = engine::INSTANCES_MAX as usize / 2;
/// How far the priority of these threads is below that of live events.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Which events to replay, and through which version.
pub struct Replay<'a> {
    pub tenant: &'a str,
    pub range: Range,
    /// The candidate is on an engine of its own, so that it takes no instance from live events.
    pub candidate: &'a Plugin,
    /// Whether examples show what was sent. That is personal data, and a report outlives a redaction of the journal.
    pub with_values: bool,
}

impl Replay<'_> {
    /// Compares every event of the range. Blocks, on all cores; `progress` is told how many of how many are done.
    pub fn run(&self, reader: &Reader, progress: impl FnMut(u64, u64)) -> anyhow::Result<Report> {
        self.run_unless(&AtomicBool::new(false), reader, progress)
    }

    /// The same, but if `given_up` is set meanwhile, ends soon and with an error.
    pub fn run_unless(
        &self,
        given_up: &AtomicBool,
        reader: &Reader,
        mut progress: impl FnMut(u64, u64),
    ) -> anyhow::Result<Report> {
        let span = reader.span(self.tenant, self.range)?;
        let next = |after| span.map_or(Ok(vec![]), |span| reader.recorded(self.tenant, after, span));
        self.compare_each(given_up, next, |done| progress(done, span.map_or(0, |span| span.events)))
    }

    /// Compares these events, which are in order of arrival, whatever the range. Blocks.
    pub fn run_these(&self, reader: &Reader, events: &[EventId]) -> anyhow::Result<Report> {
        let next = |after| reader.recorded_of(self.tenant, after, events);
        self.compare_each(&AtomicBool::new(false), next, |_| ())
    }

    /// Compares the events that `next` gives after an event, until it gives none.
    fn compare_each(
        &self,
        given_up: &AtomicBool,
        next: impl Fn(Option<EventId>) -> anyhow::Result<Vec<Recorded>>,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<Report> {
        let began = Instant::now();
        let mut tally = Tally::go_on(
            Report::empty(self.tenant, self.candidate.digest(), self.candidate.manifest()),
            self.with_values,
        );
        let mut batch = next(None)?;
        let mut done = 0;
        while let Some(last) = batch.last() {
            let last = last.event.id;
            // The next events are read while the rules are asked about these.
            let (differences, following) = thread::scope(|scope| {
                let asking = scope.spawn(|| compare_all(&batch, self.candidate, given_up));
                let following = next(Some(last));
                (asking.join(), following)
            });
            let Ok(Ok(differences)) = differences else { bail!("a comparison ended in a panic") };
            if given_up.load(Ordering::Relaxed) {
                bail!("the replay was given up");
            }
            done += batch.len() as u64;
            for (recorded, difference) in batch.iter().zip(differences) {
                tally.add(recorded, difference);
            }
            progress(done);
            batch = following?;
        }
        Ok(tally.report(began.elapsed()))
    }
}

/// Compares events on several threads, and gives the differences in the order of the events. Some are missing if the
/// replay is given up. `Err`: a thread panicked.
fn compare_all(events: &[Recorded], candidate: &Plugin, given_up: &AtomicBool) -> thread::Result<Vec<Difference>> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let work = || {
        step_back();
        let rules = Rules::from(candidate);
        let mine = iter::from_fn(|| {
            if given_up.load(Ordering::Relaxed) {
                return None;
            }
            let n = next.fetch_add(1, Ordering::Relaxed);
            Some((n, events.get(n)?))
        });
        mine.map(|(n, recorded)| (n, compare(recorded, &rules))).collect::<Vec<_>>()
    };
    let mut found = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = threads.into_iter().map(|thread| thread.join()).collect::<thread::Result<Vec<_>>>();
        found.map(|found| found.into_iter().flatten().collect::<Vec<_>>())
    })?;
    found.sort_unstable_by_key(|(n, _)| *n);
    Ok(found.into_iter().map(|(_, difference)| difference).collect())
}

/// Lowers the priority of this thread below that of live events. On other systems it would be the priority of the whole
/// process.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    // If that is not permitted, the thread keeps its priority.
    let _ = rustix::process::nice(NICE);
}
