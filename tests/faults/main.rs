//! Faults: a host that is killed, stopped, cut off from power, given a failing disk, a wrong clock, targets that answer
//! wrongly and clients that dawdle loses nothing that it acknowledged and does nothing twice. Lives of one seed each, of
//! real processes, real sockets and real journals.
//!
//! `TANDEM_SWEEP` says how many lives (10000 for a long night), `TANDEM_SEED` where to begin. On Linux with a C compiler.
#![cfg(target_os = "linux")]

mod check;
mod disk;
#[path = "../host/mod.rs"]
mod host;
mod http;
mod life;
mod process;
mod senders;
mod shrink;
mod target;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use life::{KINDS, Life};
use world::{Lived, live};

/// Lives without a word from anybody.
const LIVES: u64 = 40;
/// Lives at a time: most of one is waiting.
const AT_ONCE: usize = 4;
/// After so many that went wrong no other one is begun: where all of them wait in vain, the rest would, too.
const BAD_MAX: u64 = 12;
/// The time that the host gives its targets, and how long it waits before it says that nobody knows.
const TIMEOUT_MS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives so many lives, a few at a time; gives what came of each, by seed.
fn sweep(seeds: std::ops::Range<u64>) -> Vec<(u64, Lived)> {
    let (next, bad) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    world::prepare();
    let mut lived: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let mine =
                std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end));
            let one = |seed| {
                let lived = live(&Life::from_seed(seed));
                bad.fetch_add(u64::from(!lived.bad.is_empty()), Ordering::Relaxed);
                (seed, lived)
            };
            mine.take_while(|_| bad.load(Ordering::Relaxed) < BAD_MAX).map(one).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    lived.sort_by_key(|(seed, _)| *seed);
    lived
}

/// A life that fails, with as few troubles as it takes, and the command that lives it again. Processes and threads go
/// their own ways, so that it may take a few tries.
fn told(seed: u64, lived: &Lived) -> String {
    let life = Life::from_seed(seed);
    let (shorter, bad) = shrink::shrink(life.clone(), lived.bad.clone(), |life| live(life).bad);
    format!(
        "seed {seed} does not end as it should:\n{life}what is wrong:\n  {}\nthe end of the host's log:\n{}\
         shortened:\n{shorter}what is wrong then:\n  {}\n\
         once more: TANDEM_SEED={seed} TANDEM_SWEEP=1 cargo test --test faults whatever_fails",
        lived.bad.join("\n  "),
        lived.log,
        bad.join("\n  ")
    )
}

/// Three seconds with a clock 400 days ahead, once everything is over: retention removes nothing of it.
#[test]
fn a_start_with_a_clock_that_is_ahead_removes_nothing() {
    let ahead = life::Episode { after: 40, trouble: life::Trouble::Ahead { ms: 3_000 } };
    let life = Life { seed: 1, webhooks: 40, wrong: 0, sync_us: 0, events_per_second: 1_000, episodes: vec![ahead] };
    let lived = live(&life);
    assert_eq!(lived.bad, Vec::<String>::new(), "{}", lived.log);
    assert_eq!(lived.met, ["clock ahead at start"]);
}

#[test]
fn whatever_fails_nothing_is_lost_or_done_twice() {
    let (first, lives) = (number("TANDEM_SEED").unwrap_or(1), number("TANDEM_SWEEP").unwrap_or(LIVES));
    let began = Instant::now();
    let lived = sweep(first..first + lives);
    let took = began.elapsed().as_secs_f64();
    let sum = |count: fn(&Lived) -> usize| lived.iter().map(|(_, lived)| count(lived)).sum::<usize>();
    println!(
        "{lives} lives in {took:.1} s: {} webhooks, {} requests to targets, {} starts of a host, {} calls of the disk struck, \
         {} unknown, {} dead letters taken up again",
        sum(|lived| lived.webhooks),
        sum(|lived| lived.requests),
        sum(|lived| lived.starts),
        sum(|lived| lived.struck),
        sum(|lived| lived.unknown),
        sum(|lived| lived.dead),
    );
    for (seed, lived) in lived.iter().filter(|(_, lived)| !lived.bad.is_empty()) {
        println!("seed {seed}: {}", lived.bad.join("; "));
    }
    let bad: Vec<_> = lived.iter().filter(|(_, lived)| !lived.bad.is_empty()).collect();
    if let Some((seed, of)) = bad.first() {
        panic!("{} of {} lives go wrong. {}", bad.len(), lived.len(), told(*seed, of));
    }
    let met: BTreeSet<_> = lived.iter().flat_map(|(_, lived)| lived.met.iter().copied()).collect();
    let missed: Vec<_> = KINDS.iter().filter(|kind| !met.contains(*kind)).collect();
    assert!(lives < LIVES || missed.is_empty(), "no life met {missed:?}");
}
