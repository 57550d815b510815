//! The host and its journal on disk: one host at a time, damage that is found and said, room that is counted and used up, and
//! a configuration that changes under a host that runs.

mod damage;
#[cfg(unix)]
mod one_host;
#[cfg(unix)]
mod reload;
mod room;
