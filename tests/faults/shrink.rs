//! Makes a life that fails shorter while it still fails. Knows what a life is made of; not why it fails.

use std::time::{Duration, Instant};

use super::life::Life;

/// Tries of one shrinking, each a whole life.
const TRIES_MAX: usize = 12;
/// After so long no other try is begun.
const TIME_MAX: Duration = Duration::from_secs(120);

/// The shortest life found, and what is wrong with it. `fails` gives what is wrong.
pub fn shrink(life: Life, bad: Vec<String>, fails: impl Fn(&Life) -> Vec<String>) -> (Life, Vec<String>) {
    let mut best = (life, bad);
    let (mut tries, began) = (0, Instant::now());
    loop {
        let shorter = shorter(&best.0).find_map(|life| {
            tries += 1;
            let is_enough = tries > TRIES_MAX || began.elapsed() > TIME_MAX;
            let bad = if is_enough { vec![] } else { fails(&life) };
            (!bad.is_empty()).then_some((life, bad))
        });
        match shorter {
            Some(shorter) => best = shorter,
            None => return best,
        }
    }
}

/// Lives that are a step shorter: without wrong answers, without one of the troubles.
fn shorter(life: &Life) -> impl Iterator<Item = Life> {
    let right = (life.wrong > 0).then(|| Life { wrong: 0, ..life.clone() });
    let calmer = (0..life.episodes.len()).map({
        let life = life.clone();
        move |n| {
            let mut life = life.clone();
            life.episodes.remove(n);
            life
        }
    });
    right.into_iter().chain(calmer)
}
