//! Tells whoever watches a terminal what takes longer than a moment. Knows what is done only by its name.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::output::noteln;

/// What takes less needs no word.
const QUIET: Duration = Duration::from_secs(1);

/// What is done until this is dropped.
pub struct Slow {
    _done: mpsc::Sender<()>,
}

/// Says what is done, such as `building acme.toml`, if it takes longer than [`QUIET`] and somebody watches.
pub fn slow(what: String) -> Option<Slow> {
    std::io::stderr().is_terminal().then(|| after(QUIET, move || noteln!("{what} …")))
}

fn after(quiet: Duration, say: impl FnOnce() + Send + 'static) -> Slow {
    let (done, is_done) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_done.recv_timeout(quiet) == Err(RecvTimeoutError::Timeout) {
            say();
        }
    });
    Slow { _done: done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_told() {
        let (told, is_told) = mpsc::channel();
        let of_long = told.clone();
        let slow = after(Duration::ZERO, move || of_long.send("long").unwrap());
        assert_eq!(is_told.recv(), Ok("long"));
        drop(slow);
        drop(after(Duration::from_secs(3_600), move || told.send("short").unwrap()));
        // Nobody can say anything any more, and nobody has.
        assert!(is_told.recv().is_err());
    }
}
