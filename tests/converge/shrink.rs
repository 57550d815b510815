//! Makes a life that fails as short as it can be while it still fails. Knows what a life is made of; not why it fails.

use super::life::{Life, Troubles};

/// Tries of one shrinking, so that it ends in a moment.
const TRIES_MAX: usize = 400;

/// The shortest life found, and what is wrong with it. `fails` gives what is wrong.
pub fn shrink(life: Life, bad: Vec<String>, fails: impl Fn(&Life) -> Vec<String>) -> (Life, Vec<String>) {
    let mut best = (life, bad);
    let mut tries = 0;
    loop {
        let shorter = shorter(&best.0).find_map(|life| {
            tries += 1;
            if tries > TRIES_MAX {
                return None;
            }
            let bad = fails(&life);
            (!bad.is_empty()).then_some((life, bad))
        });
        match shorter {
            Some(shorter) => best = shorter,
            None => return best,
        }
    }
}

/// Lives that are a step shorter: without a trouble, without some deeds.
fn shorter(life: &Life) -> impl Iterator<Item = Life> {
    let t = life.troubles;
    let calmer = [
        Troubles::default(),
        Troubles { doubled: 0, ..t },
        Troubles { late: 0, ..t },
        Troubles { hours_late: 0, ..t },
        Troubles { lost: 0, ..t },
        Troubles { refused: 0, ..t },
        Troubles { slow: 0, ..t },
        Troubles { restarted: 0, ..t },
        Troubles { held: 0, ..t },
        Troubles { dropped: 0, ..t },
        Troubles { drained: 0, ..t },
        Troubles { activated: 0, ..t },
        Troubles { rolled_back: 0, ..t },
        Troubles { retried: 0, ..t },
        Troubles { reloaded: 0, ..t },
        Troubles { killed: 0, ..t },
        Troubles { is_bare: false, ..t },
    ];
    let calmer = calmer.into_iter().filter(move |troubles| *troubles != t);
    let calmer = calmer.map({
        let life = life.clone();
        move |troubles| Life { troubles, ..life.clone() }
    });
    let life = life.clone();
    let fewer = [8, 4, 2, 1].into_iter().flat_map({
        let count = life.deeds.len();
        move |n| (0..count).step_by(n).filter(move |at| n < count && at + n <= count).map(move |at| (at, n))
    });
    let fewer = fewer.map(move |(at, n)| {
        let mut life = life.clone();
        life.deeds.drain(at..at + n);
        life
    });
    calmer.chain(fewer)
}
