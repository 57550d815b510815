//! Convergence: whatever people do on both sides, and whatever goes wrong on the way, both sides agree in the end. Lives
//! of one seed each, through the real component, the shipped scheduler, the real journal and the stand-ins.
//!
//! `TANDEM_SWEEP` says how many lives (100000 for a long night), `TANDEM_SEED` where to begin. With `TANDEM_OPERATORS` the host is
//! killed, too, and events are restarted, held and drained. A life may end otherwise then without a fault of the rules: whoever
//! has an event begin again while its write is under way takes the guard of that write away with the run (seed 283).

mod addresses;
mod check;
mod host;
mod life;
mod orders;
mod people;
mod shrink;
mod world;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use life::{Life, SETTINGS, rules_file};
use tandem::journal::{Range, Reader};
use tandem::replay::{Class, Replay};
use tandem::rules::Plugin;
use world::{Mutant, World};

/// Lives without a word from anybody.
const LIVES: u64 = 1_000;
/// Lives whose journals are replayed.
const LIVES_REPLAYED: u64 = 60;
/// Lives of each mutant: it must be found out within them.
const MUTANT_LIVES: u64 = 300;
/// An edit must fall between a read and the write after it, which is rare.
const MUTANT_LIVES_WITHOUT_READ: u64 = 800;
/// The most calls that may come of so many edits: more is an echo that does not end.
const CALLS_PER_EDIT_MAX: usize = 14;
const CALLS_MORE_MAX: usize = 30;

fn plugins() -> &'static [Plugin] {
    static PLUGINS: LazyLock<Vec<Plugin>> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let baked =
            (0..SETTINGS.len()).map(|settings| runtime.block_on(tandem::playground::plugin(&rules_file(settings))));
        baked.map(Result::unwrap).collect()
    });
    &PLUGINS
}

/// What became of a life.
#[derive(Default)]
struct Lived {
    bad: Vec<String>,
    calls: usize,
    edits: usize,
    events: usize,
    restarts: usize,
    windows_taken: usize,
    story: Vec<String>,
}

fn live(life: &Life, mutant: Mutant, is_told: bool) -> Lived {
    let mut world = World::new(life, &plugins()[life.settings], mutant, is_told);
    let mut lived = Lived::default();
    if !world.rest() {
        lived.bad.push("never comes to rest".to_owned());
    }
    (lived.calls, lived.edits, lived.events) = (world.calls, world.history.count, world.host.ended.len());
    if lived.calls > CALLS_PER_EDIT_MAX * lived.edits + CALLS_MORE_MAX {
        lived.bad.push(format!("echo storm: {} calls for {} edits", lived.calls, lived.edits));
    }
    lived.bad.extend(check::check(&world, life));
    if lived.bad.is_empty() {
        lived.bad.extend(replay(&mut world, life));
        lived.bad.extend(check::check(&world, life).into_iter().map(|bad| format!("after replay: {bad}")));
    }
    lived.bad.append(&mut world.bad);
    (lived.restarts, lived.windows_taken) = (world.host.restarts, world.host.windows_taken);
    lived.story = world.story.unwrap_or_default();
    lived
}

/// The journal of a life, replayed through the version that wrote it.
fn replayed(life: &Life) -> tandem::replay::Report {
    let plugin = &plugins()[life.settings];
    let mut world = World::new(life, plugin, Mutant::None, false);
    world.rest();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("life.db");
    world.host.journal.copy_to(&path).unwrap();
    let (tenant, range) = (host::TENANT, Range::Last(u64::MAX));
    let replay = Replay { tenant, range, candidate: plugin, with_values: true };
    replay.run(&Reader::open(&path).unwrap(), |_, _| ()).unwrap()
}

/// Everything is delivered once more: first what waited for somebody else may go through, then nothing is written.
fn replay(world: &mut World, life: &Life) -> Vec<String> {
    world.troubles = life::Troubles::default();
    let webhooks = std::mem::take(&mut world.delivered);
    for round in 0..2 {
        let before = world.writes.len();
        // Looked at before: what waited and goes through now is not held any more.
        let is_waiting = world.host.dead_letters().next().is_some()
            || life.troubles.is_bare
            || world.host.ended.iter().any(|ended| ended.reason.contains("sent without a profile"))
            || world.memories().any(|memory| memory.to_string().contains("\"held\""));
        for mut webhook in webhooks.clone() {
            webhook.delivery_id.iter_mut().for_each(|id| id.push_str(&format!("-replay{round}")));
            world.after(1, world::Job::Deliver(webhook));
            if !world.rest() {
                return vec!["never comes to rest when replayed".to_owned()];
            }
        }
        let wrote = &world.writes[before..];
        if wrote.is_empty() {
            break;
        }
        if round == 1 || !is_waiting {
            return vec![format!("replay {round} wrote {wrote:?}")];
        }
    }
    vec![]
}

/// Lives so many lives on all cores; gives what `each` makes of those that are of interest, by seed.
fn sweep<T: Send>(seeds: std::ops::Range<u64>, each: impl Fn(u64) -> Option<T> + Sync) -> Vec<(u64, T)> {
    let next = AtomicU64::new(seeds.start);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    plugins();
    let mut found: Vec<(u64, T)> = std::thread::scope(|scope| {
        let work = || {
            let mine =
                std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end));
            mine.filter_map(|seed| Some((seed, each(seed)?))).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    found.sort_by_key(|(seed, _)| *seed);
    found
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A life that fails, as short as it can be told, and the command that lives it again.
fn told(seed: u64, bad: Vec<String>) -> String {
    let life = Life::from_seed(seed);
    let (life, bad) = shrink::shrink(life, bad, |life| live(life, Mutant::None, false).bad);
    let story = live(&life, Mutant::None, true).story;
    format!(
        "seed {seed} does not end as it should; shortened, it is this life:\n{life}{}\nwhat is wrong:\n  {}\n\
         once more: TANDEM_SEED={seed} TANDEM_SWEEP=1 cargo test --test converge both_sides",
        story.join("\n"),
        bad.join("\n  ")
    )
}

#[test]
fn both_sides_agree_in_the_end_whatever_happens() {
    let (first, lives) = (number("TANDEM_SEED").unwrap_or(1), number("TANDEM_SWEEP").unwrap_or(LIVES));
    let began = Instant::now();
    let lived = sweep(first..first + lives, |seed| Some(live(&Life::from_seed(seed), Mutant::None, false)));
    let took = began.elapsed().as_secs_f64();
    let sum = |count: fn(&Lived) -> usize| lived.iter().map(|(_, lived)| count(lived)).sum::<usize>();
    let (calls, edits) = (sum(|lived| lived.calls), sum(|lived| lived.edits));
    println!(
        "{lives} lives in {took:.1} s ({:.0}/s): {edits} edits, {} events, {calls} calls ({:.1} per edit), {} restarts",
        lives as f64 / took,
        sum(|lived| lived.events),
        calls as f64 / edits.max(1) as f64,
        sum(|lived| lived.restarts)
    );
    let bad: Vec<_> = lived.iter().filter(|(_, lived)| !lived.bad.is_empty()).collect();
    for (seed, lived) in &bad {
        println!("seed {seed}: {}", lived.bad.join("; "));
    }
    if let Some((seed, lived)) = bad.first() {
        panic!("{} of {lives} lives go wrong. {}", bad.len(), told(*seed, lived.bad.clone()));
    }
}

#[test]
fn a_life_replayed_through_its_own_version_is_what_it_was() {
    let (first, lives) = (number("TANDEM_SEED").unwrap_or(1), number("TANDEM_SWEEP").unwrap_or(LIVES_REPLAYED));
    let replayed = sweep(first..first + lives, |seed| Some(replayed(&Life::from_seed(seed))));
    for (seed, report) in &replayed {
        let told = || tandem::replay::text(report, tandem::paint::Paint::plain());
        let same = report.count(Class::Identical) + report.count(Class::Unheard);
        assert_eq!((same, report.key_differs), (report.events, 0), "seed {seed}\n{}", told());
    }
    let identical: u64 = replayed.iter().map(|(_, report)| report.count(Class::Identical)).sum();
    assert!(identical >= lives, "{identical} events in {lives} lives");
}

/// What a mutant does wrong in so many lives, and how many windows were taken from it.
fn findings(mutant: Mutant) -> (Vec<String>, usize) {
    let lives = if mutant == Mutant::NoRead { MUTANT_LIVES_WITHOUT_READ } else { MUTANT_LIVES };
    let lived = sweep(1..1 + lives, |seed| Some(live(&Life::from_seed(seed), mutant, false)));
    let windows = lived.iter().map(|(_, lived)| lived.windows_taken).sum();
    let bad: Vec<_> = lived
        .into_iter()
        .flat_map(|(seed, lived)| lived.bad.into_iter().map(move |bad| format!("seed {seed}: {bad}")))
        .collect();
    println!("{mutant:?}: {} findings in {lives} lives, such as {:?}", bad.len(), bad.first());
    (bad, windows)
}

#[test]
fn without_the_read_before_the_write_it_goes_wrong() {
    let (bad, _) = findings(Mutant::NoRead);
    assert!(
        bad.iter().any(|bad| bad.contains("owner violated")),
        "nothing was missed in {MUTANT_LIVES} lives: {bad:?}"
    );
}

#[test]
fn without_claims_it_goes_wrong() {
    let (bad, _) = findings(Mutant::NoClaims);
    assert!(!bad.is_empty(), "nothing was missed in {MUTANT_LIVES} lives");
}

#[test]
fn without_the_question_whose_a_profile_is_it_goes_wrong() {
    let (bad, _) = findings(Mutant::NoOwner);
    assert!(bad.iter().any(|bad| bad.contains("of the living customers")), "{bad:?}");
}

#[test]
fn without_the_guard_it_goes_wrong() {
    let (bad, windows) = findings(Mutant::NoGuard);
    assert!(windows > 0, "the memory has no `windows` any more: the guard was not switched off");
    assert!(
        bad.iter().any(|bad| bad.contains("owner violated")),
        "nothing was missed in {MUTANT_LIVES} lives: {bad:?}"
    );
}

#[test]
fn a_seed_decides_everything() {
    for seed in 1..9 {
        let life = Life::from_seed(seed);
        assert_eq!(live(&life, Mutant::None, true).story, live(&life, Mutant::None, true).story, "seed {seed}");
    }
}
