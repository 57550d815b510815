//! Many lives of people, each from a seed.

use crate::world::scenario::live;

/// A number from the environment: `TANDEM_SEED` runs and prints a single life, `TANDEM_SWEEP` sets how many lives there
/// are.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn every_life_comes_to_rest_in_step() {
    if let Some(seed) = number("TANDEM_SEED") {
        let life = live(seed, false, true);
        assert_eq!(life.bad, Vec::<String>::new(), "seed {seed}");
        return;
    }
    let (mut bad, mut calls, mut edits, mut restarts, mut refused) = (vec![], 0, 0, 0, 0);
    let lives = number("TANDEM_SWEEP").unwrap_or(300);
    for seed in 0..lives {
        let life = live(seed, false, false);
        bad.extend(life.bad.iter().map(|what| format!("seed {seed}: {what}")));
        (calls, edits) = (calls + life.calls, edits + life.edits);
        restarts += life.world.host.restarts;
        refused += life.world.host.dead_letters().count();
    }
    let found = bad.len();
    println!("{lives} lives, {edits} edits, {calls} calls, {restarts} restarts, {refused} refused, {found} findings");
    assert!(bad.is_empty(), "tell one with TANDEM_SEED=<seed>:\n{}", bad[..bad.len().min(20)].join("\n"));
}

/// The world must find faults when names are neither claimed nor joined; otherwise, finding none would prove little.
#[test]
fn without_claims_lives_go_wrong() {
    let bad: usize = (0..60).map(|seed| live(seed, true, false).bad.len()).sum();
    assert!(bad > 0);
}
