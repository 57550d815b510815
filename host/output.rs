//! Everything that a command prints: data to standard output, everything else to standard error. Knows no command.
//!
//! A reader that has seen enough closes the pipe: `tandem events | head`. [`outln!`] and [`out!`] then give [`Closed`],
//! which ends the command without a word. What goes to standard error is for people, and is lost when nobody reads it.

use std::fmt::Arguments;
use std::io::{self, Write as _};

/// The exit code of a command whose reader went away: that of a program which SIGPIPE has ended.
pub const CLOSED: u8 = 128 + 13;

/// Nobody reads the standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the standard output any more")]
pub struct Closed;

/// Data, for standard output. Fails with [`Closed`] when nobody reads any more.
pub fn data(text: Arguments) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("writing to the standard output")),
    }
}

/// A word to whoever watches, for standard error.
pub fn aside(text: Arguments) {
    let mut err = io::stderr().lock();
    // Nobody can be told that nobody reads this.
    let _ = err.write_fmt(text).and_then(|()| err.flush());
}

/// `print!` for the data of a command.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::data(format_args!($($text)*)) };
}

/// `println!` for the data of a command.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::data(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprint!` for everything that is not data.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::aside(format_args!($($text)*)) };
}

/// `eprintln!` for everything that is not data.
macro_rules! noteln {
    ($($text:tt)*) => { $crate::output::aside(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {note, noteln, out, outln};
