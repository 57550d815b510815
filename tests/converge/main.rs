//! Convergence: whatever people do on both sides, and whatever goes wrong on the way, both sides agree in the end. Lives
//! of one seed each, through the real component, the shipped scheduler, the real journal and the stand-ins.
//!
//! In half of the lives operators act and the host is killed, as `operators.rs` has it; in all of them with `TANDEM_OPERATORS`.
//! `TANDEM_SWEEP` says how many lives (100000 for a long night), `TANDEM_SEED` where to begin.

mod addresses;
mod check;
#[path = "../scheduler/guards.rs"]
mod guards;
mod host;
mod life;
mod operators;
mod orders;
mod people;
mod shrink;
mod world;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use guards::{Guard, Mutant, Suite};
use life::{Life, SETTINGS, rules_file};
use operators::Step;
use tandem::journal::{Range, Reader};
use tandem::replay::{Class, Replay};
use tandem::rules::Plugin;
use world::World;

/// Lives without a word from anybody.
const LIVES: u64 = 1_000;
/// Lives whose journals are replayed.
const LIVES_REPLAYED: u64 = 60;
/// Lives of a mutant at a time.
const AT_ONCE: usize = 50;
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
    steps: BTreeMap<Step, usize>,
    is_forgetful: bool,
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
    lived.is_forgetful = world.is_forgetful();
    lived.steps = std::mem::take(&mut world.steps);
    (lived.restarts, lived.windows_taken) = (world.host.restarts, world.host.windows_taken);
    lived.story = world.story.unwrap_or_default();
    lived
}

/// The journal of a life, replayed through the version that wrote it, and how many events of it were dropped.
fn replayed(life: &Life) -> (tandem::replay::Report, u64) {
    let plugin = &plugins()[life.settings];
    let mut world = World::new(life, plugin, Mutant::None, false);
    world.rest();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("life.db");
    world.host.journal.copy_to(&path).unwrap();
    let (tenant, range) = (host::TENANT, Range::Last(u64::MAX));
    let replay = Replay { tenant, range, candidate: plugin, with_values: true };
    let report = replay.run(&Reader::open(&path).unwrap(), |_, _| ()).unwrap();
    (report, world.dropped.len() as u64)
}

/// Everything is delivered once more: first what waited for somebody else may go through, then nothing is written.
fn replay(world: &mut World, life: &Life) -> Vec<String> {
    world.troubles = life::Troubles::default();
    let webhooks = std::mem::take(&mut world.delivered);
    // What was dropped is owed from now on, hours late.
    let was_dropped = !std::mem::take(&mut world.dropped).is_empty();
    world.was_hours_late |= was_dropped;
    for round in 0..2 {
        let before = world.writes.len();
        // Looked at before: what waited and goes through now is not held any more.
        let is_waiting = was_dropped
            || world.host.dead_letters().next().is_some()
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
    let mut steps: BTreeMap<Step, usize> = BTreeMap::new();
    for (step, count) in lived.iter().flat_map(|(_, lived)| &lived.steps) {
        *steps.entry(*step).or_default() += count;
    }
    println!("operators: {steps:?}; less is asked of {} lives", sum(|lived| usize::from(lived.is_forgetful)));
    let all = [
        Step::Restart,
        Step::Hold,
        Step::Drop,
        Step::Drain,
        Step::Activate,
        Step::RollBack,
        Step::RollBackFailing,
        Step::Retry,
        Step::Reload,
        Step::Kill,
    ];
    assert!(lives < LIVES || all.iter().all(|step| steps.contains_key(step)), "a step is never taken: {steps:?}");
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
    for (seed, (report, dropped)) in &replayed {
        let told = || tandem::replay::text(report, tandem::paint::Paint::plain());
        let same = report.count(Class::Identical) + report.count(Class::Unheard) + dropped;
        assert_eq!((same, report.key_differs), (report.events, 0), "seed {seed}\n{}", told());
    }
    let identical: u64 = replayed.iter().map(|(_, (report, _))| report.count(Class::Identical)).sum();
    assert!(identical >= lives, "{identical} events in {lives} lives");
}

/// What a mutant does wrong, and how many windows were taken from it: the first life is enough that goes wrong, unless a number
/// of lives is wished.
fn findings(guard: &Guard) -> (Vec<String>, usize) {
    let wished = number("TANDEM_SWEEP");
    let (mut windows, mut bad) = (0, vec![]);
    let seeds: Vec<u64> = match wished {
        Some(lives) => (1..1 + lives).collect(),
        None => guards::seeds(guard).collect(),
    };
    // The one that is known goes wrong, as long as lives are made as they are now.
    let mut rest = &seeds[..];
    while !rest.is_empty() && (bad.is_empty() || wished.is_some()) {
        let (now, later) = rest.split_at(rest.len().min(if rest.len() == seeds.len() { 1 } else { AT_ONCE }));
        rest = later;
        let lived =
            sweep(0..now.len() as u64, |at| Some(live(&Life::from_seed(now[at as usize]), guard.mutant, false)));
        for (at, lived) in lived {
            windows += lived.windows_taken;
            let (seed, said) = (now[at as usize], |bad: &String| bad.contains(guard.says));
            if lived.bad.iter().any(said) && live(&Life::from_seed(seed), Mutant::None, false).bad.is_empty() {
                bad.extend(lived.bad.into_iter().filter(said).map(|bad| format!("seed {seed}: {bad}")));
            }
        }
    }
    let lives = seeds.len() - rest.len();
    println!(
        "{}\n  {:?}: {} findings in {lives} lives, such as {:?}",
        guard.guard,
        guard.mutant,
        bad.len(),
        bad.first()
    );
    (bad, windows)
}

/// Each guard is missed: some life goes wrong without it, and the same life goes well with it.
#[test]
fn without_each_guard_some_life_goes_wrong() {
    let mut missed: Vec<&Guard> = vec![];
    for guard in guards::of(Suite::Converge) {
        let (bad, windows) = findings(guard);
        missed.extend(bad.is_empty().then_some(guard));
        assert!(
            guard.mutant != Mutant::NoGuard || windows > 0,
            "the memory has no `windows` any more: the guard was not switched off"
        );
    }
    assert!(missed.is_empty(), "nothing is missed without {missed:#?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in 1..9 {
        let life = Life::from_seed(seed);
        assert_eq!(live(&life, Mutant::None, true).story, live(&life, Mutant::None, true).story, "seed {seed}");
    }
}
