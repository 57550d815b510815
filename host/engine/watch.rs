//! Ends an ask for what fuel does not count: it takes too much processor time, or nobody wants its answer any more.
//!
//! Knows clocks and a flag; neither what is asked nor who asks.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use thiserror::Error;

/// The processor time of a thread is not asked for before one part in this many of an ask's time has gone by.
const UNMEASURED_PART: u32 = 16;

/// Held as long as an answer is wanted. When it is dropped, the ask ends within one slice of fuel.
#[derive(Debug)]
pub struct Wanted(Arc<AtomicBool>);

/// Whether somebody still wants the answer.
#[derive(Clone, Debug, Default)]
pub struct StillWanted(Option<Arc<AtomicBool>>);

/// Why an ask that had fuel left was ended.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum Ended {
    #[error("the ask took too much processor time")]
    Late,
    #[error("nobody wants the answer any more")]
    Unwanted,
}

/// Looks after one ask, on the thread that carries it out.
#[derive(Clone, Debug)]
pub struct Watch {
    wanted: StillWanted,
    time_max: Duration,
    /// When the ask was first checked, by the clock.
    since: Option<Instant>,
    /// The processor time of this thread at the first check that asked for it.
    used: Option<Duration>,
}

impl Ended {
    /// The name under which this is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Unwanted => "unwanted",
        }
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Wanted {
    pub fn still(&self) -> StillWanted {
        StillWanted(Some(self.0.clone()))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl StillWanted {
    /// Whether the answer is still wanted. Without a [`Wanted`] it always is.
    pub fn is_so(&self) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.load(Ordering::Relaxed))
    }
}

impl Watch {
    pub fn new(wanted: StillWanted, time_max: Duration) -> Self {
        Self { wanted, time_max, since: None, used: None }
    }

    /// Whether the ask may go on. Processor time decides, so that an ask on a busy machine is not ended for the work of
    /// others. Most asks end before the processor time is asked for, which costs ten times what the clock does.
    pub fn look(&mut self) -> Result<(), Ended> {
        if !self.wanted.is_so() {
            return Err(Ended::Unwanted);
        }
        let took = self.since.get_or_insert_with(Instant::now).elapsed();
        if took < self.time_max / UNMEASURED_PART {
            return Ok(());
        }
        let used = *self.used.get_or_insert_with(|| thread_time(took));
        let is_late = took > self.time_max && thread_time(took).saturating_sub(used) > self.time_max;
        if is_late { Err(Ended::Late) } else { Ok(()) }
    }

    /// Carries out work that yields after each slice of fuel, as long as it may go on.
    pub fn carry_out<T, E: From<Ended>>(mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match work.as_mut().poll(&mut context) {
                Poll::Ready(done) => return done,
                Poll::Pending => self.look()?,
            }
        }
    }
}

/// The processor time of this thread; where the system does not tell, the time that has gone by.
#[cfg(unix)]
fn thread_time(_: Duration) -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn thread_time(gone_by: Duration) -> Duration {
    gone_by
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that never ends by itself, and yields all the time.
    async fn endless() -> Result<(), Ended> {
        loop {
            let mut yielded = false;
            std::future::poll_fn(
                |_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending },
            )
            .await;
        }
    }

    #[test]
    fn processor_time_ends_and_waiting_does_not() {
        let watch = Watch::new(StillWanted::default(), Duration::from_millis(20));
        assert_eq!(watch.clone().carry_out(endless()), Err(Ended::Late));
        let mut idle = watch;
        assert_eq!(idle.look(), Ok(()));
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(idle.look(), Ok(()), "the machine was busy with something else");
    }

    #[test]
    fn what_nobody_wants_ends() {
        let wanted = Wanted::default();
        let watch = Watch::new(wanted.still(), Duration::MAX);
        let ended = std::thread::spawn(move || watch.carry_out(endless()));
        drop(wanted);
        assert_eq!(ended.join().unwrap(), Err(Ended::Unwanted));
    }
}
