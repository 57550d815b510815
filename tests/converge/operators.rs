//! What operators do to a host, and how it dies: events begin again by hand, directions are held or dropped, lanes are
//! drained, versions are activated and rolled back. Each goes through the journal's own verbs and the scheduler's inputs, as the
//! host's driver has them.
//!
//! Knows what can be done; not what should come of it.

use std::collections::BTreeMap;

use tandem::journal::{Activation, Cause, Direction, Journal, Mode, Moved, Which};
use tandem::model::{Blame, EventId, Failure};
use tandem::scheduler::Input;

use super::guards::Mutant;
use super::host::{TENANT, at_once};
use super::life::Troubles;
use super::world::{Job, World};

/// What an event says that a version was made to fail.
pub const MADE_TO_FAIL: &str = "as this version was made to";
/// How long a direction is held or dropped, a drain is waited for, and a host takes to find a version, in milliseconds.
const DIRECTED_MS_MAX: i64 = 4_000;
const DRAIN_MS_MAX: i64 = 4_000;
const LOADING_MS_MAX: i64 = 4_000;
/// Versions of a life: enough to go back and forth.
const VERSIONS_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Restart,
    Hold,
    Drop,
    /// Nothing runs for a while, and perhaps a version is activated then.
    Drain,
    /// A version is activated between two events. It may be one that fails.
    Activate,
    /// People go back to the version before.
    RollBack,
    /// Dead letters of a version that fails are taken up again.
    Retry,
    /// The tenant leaves and comes back while its calls are under way.
    Reload,
    Kill,
    /// The host goes back by itself.
    RollBackFailing,
}

/// The versions of a life: all are one component under several digests, of which some fail events.
pub struct Versions {
    /// Which fail.
    fails: BTreeMap<String, Option<Fails>>,
    /// The one that is active, before it those to go back to.
    active: Vec<String>,
}

/// Every third event fails, by its key or by a pass.
#[derive(Clone, Copy, Debug)]
struct Fails {
    third: i64,
    /// As many passes has the event had, if it has a key.
    passes: Option<usize>,
}

impl Versions {
    pub fn new(journal: &Journal, digest: &str) -> Self {
        let activation = Activation { cause: Cause::Configured, ..activation(digest) };
        at_once(journal.activate(activation)).unwrap().unwrap();
        Self { fails: BTreeMap::from([(digest.to_owned(), None)]), active: vec![digest.to_owned()] }
    }

    pub fn active(&self) -> &str {
        self.active.last().expect("one is active from the beginning")
    }

    fn is_good(&self) -> bool {
        self.fails[self.active()].is_none()
    }

    /// Whether a version fails an event that has had so many passes; without a number, whether it cannot say what the event is
    /// about.
    pub fn failure(&self, version: &str, event: EventId, passes: Option<usize>) -> Option<Failure> {
        let fails = self.fails[version]?;
        let is_meant =
            event.0 % 3 == fails.third && fails.passes.is_some() == passes.is_some() && passes >= fails.passes;
        is_meant.then(|| Failure::new(Blame::Plugin, MADE_TO_FAIL))
    }
}

fn activation(digest: &str) -> Activation {
    Activation {
        tenant: TENANT.into(),
        digest: digest.into(),
        cause: Cause::Activated,
        fixed: BTreeMap::new(),
        relink: false,
        expected: None,
        failures_max: None,
        configured: None,
    }
}

impl World {
    /// Every step has its chance at every moment.
    pub fn disturb(&mut self) {
        let Troubles { restarted, held, dropped, drained, activated, rolled_back, retried, reloaded, killed, .. } =
            self.troubles;
        let chances = [
            (restarted, Step::Restart),
            (held, Step::Hold),
            (dropped, Step::Drop),
            (drained, Step::Drain),
            (activated, Step::Activate),
            (rolled_back, Step::RollBack),
            (retried, Step::Retry),
            (reloaded, Step::Reload),
            (killed, Step::Kill),
        ];
        for (chance, step) in chances {
            if self.operators.u8(..100) < chance {
                self.operate(step);
            }
        }
    }

    fn operate(&mut self, step: Step) {
        match step {
            Step::Restart => {
                let open = self.host.open_events();
                if open.is_empty() {
                    return;
                }
                let event = open[self.operators.usize(..open.len())];
                self.count_step(step);
                self.step(Input::Restart { event });
            }
            Step::Hold => self.direct_for_a_while(step, Mode::Hold),
            Step::Drop => self.direct_for_a_while(step, Mode::Drop),
            Step::Drain => self.drain(),
            Step::Activate => {
                let version = self.deploy();
                self.activate(version);
            }
            Step::RollBack => self.roll_back(),
            Step::Retry => drop(self.retry()),
            Step::Reload => {
                self.say(|| "the tenant leaves and comes back".into());
                self.count_step(step);
                self.forget();
            }
            Step::Kill => self.kill(),
            Step::RollBackFailing => unreachable!("that is the host's own"),
        }
    }

    fn count_step(&mut self, step: Step) {
        *self.steps.entry(step).or_default() += 1;
    }

    fn direct_for_a_while(&mut self, step: Step, mode: Mode) {
        let source = ["shopify", "omneo"][self.operators.usize(..2)];
        self.count_step(step);
        self.direct(source, mode);
        let ms = self.operators.i64(1..DIRECTED_MS_MAX);
        self.after(ms, Job::Run(source));
    }

    pub fn direct(&mut self, source: &str, mode: Mode) {
        self.say(|| format!("{source}: {mode:?}"));
        let (tenant, by, why) = (TENANT.into(), "ops".into(), "a drill".into());
        let direction = Direction { tenant, source: source.into(), mode, since: 0, by, why };
        at_once(self.host.journal.direct(direction)).unwrap();
    }

    fn drain(&mut self) {
        let wish = self.operators.u64(..);
        let version = self.operators.bool().then(|| self.deploy());
        self.say(|| format!("the lanes are drained for {version:?}"));
        self.count_step(Step::Drain);
        self.host.drains.insert(wish, version);
        self.step(Input::Drain { wish });
        let ms = self.operators.i64(1..DRAIN_MS_MAX);
        self.after(ms, Job::Go(wish));
    }

    /// Nothing runs: a version is activated soon, and whoever waited does not give up any more.
    pub fn drained(&mut self, wish: u64) {
        if let Some(Some(_)) = self.host.drains.get(&wish) {
            self.forego(|job| matches!(job, Job::Go(other) if *other == wish));
            let ms = self.operators.i64(1..LOADING_MS_MAX);
            self.after(ms, Job::Swap(wish));
        }
    }

    pub fn swap(&mut self, wish: u64) {
        if let Some(Some(version)) = self.host.drains.remove(&wish) {
            self.activate(version);
            self.step(Input::Go { wish });
        }
    }

    pub fn give_up_draining(&mut self, wish: u64) {
        self.host.drains.remove(&wish);
        self.step(Input::Go { wish });
    }

    /// Uploads a version. Half of them fail events.
    fn deploy(&mut self) -> String {
        let versions = &self.host.versions.fails;
        if versions.len() > VERSIONS_MAX {
            return versions.keys().nth(self.operators.usize(..VERSIONS_MAX)).expect("there are more").clone();
        }
        let random = &mut self.operators;
        let passes = if random.u8(..4) > 0 { Some(random.usize(..3)) } else { None };
        let fails = random.bool().then(|| Fails { third: random.i64(0..3), passes });
        let digest = format!("{}-{:?}", versions.len(), fails);
        let bytes = digest.clone().into_bytes();
        at_once(self.host.journal.deploy(TENANT, &digest, "{}".into(), bytes, None)).unwrap();
        self.host.versions.fails.insert(digest.clone(), fails);
        digest
    }

    fn activate(&mut self, digest: String) {
        let expected = Some(self.host.versions.active().to_owned());
        let failures_max = [None, Some(1), Some(2)][self.operators.usize(..3)];
        self.say(|| format!("version {digest} is activated, for {failures_max:?} failures"));
        let activation = Activation { expected, failures_max, ..activation(&digest) };
        let activated = at_once(self.host.journal.activate(activation)).unwrap().unwrap();
        self.count_step(Step::Activate);
        // Twice the same is not twice something to go back to.
        if activated.replaced.as_ref() != Some(&digest) {
            self.host.versions.active.push(digest);
        }
    }

    /// Goes back by hand, if there is a version to go back to.
    fn roll_back(&mut self) {
        if let [.., back, now] = &self.host.versions.active[..] {
            let activation = Activation { cause: Cause::RolledBack, expected: Some(now.clone()), ..activation(back) };
            self.say(|| format!("people roll back to {}", activation.digest));
            self.count_step(Step::RollBack);
            at_once(self.host.journal.roll_back(activation)).unwrap().unwrap();
            self.host.versions.active.pop();
        }
    }

    /// The scheduler wants a version to go that fails: the host finds the one before, and goes back soon.
    pub fn order_roll_back(&mut self, version: String) {
        let ms = self.operators.i64(1..LOADING_MS_MAX);
        self.after(ms, Job::RollBack { version, driver: self.host.driver });
    }

    pub fn roll_back_failing(&mut self, version: String, driver: usize) {
        let [.., back, now] = &self.host.versions.active[..] else { return self.not_rolled_back(driver) };
        let expected = if self.mutant == Mutant::AnyVersion { now } else { &version };
        let (cause, expected) = (Cause::Failing, Some(expected.clone()));
        let done = at_once(self.host.journal.roll_back(Activation { cause, expected, ..activation(back) })).unwrap();
        self.say(|| format!("the host rolls back from {version}: {done:?}"));
        match done {
            Ok(activated) => {
                self.count_step(Step::RollBackFailing);
                self.host.versions.active.pop();
                if activated.replaced.as_ref() != Some(&version) {
                    self.bad.push(format!("{:?} is rolled back for what {version} has failed", activated.replaced));
                }
            }
            // Somebody was faster.
            Err(Moved::Other(_)) => self.not_rolled_back(driver),
            Err(moved) => panic!("{moved:?}"),
        }
    }

    /// Only whoever ordered it is told.
    fn not_rolled_back(&mut self, driver: usize) {
        if driver == self.host.driver {
            self.step(Input::NotRolledBack);
        }
    }

    /// Takes up again what a version failed. Gives false if there is nothing.
    fn retry(&mut self) -> bool {
        let dead = self.host.dead_letters().filter(|ended| ended.reason == MADE_TO_FAIL);
        let dead: Vec<EventId> = dead.map(|ended| ended.event).collect();
        if dead.is_empty() {
            return false;
        }
        self.say(|| format!("events {dead:?} are retried"));
        self.count_step(Step::Retry);
        for event in dead {
            let which = Which { event: Some(event), ..Which::default() };
            at_once(self.host.journal.retry_dead(TENANT, which, "ops")).unwrap();
        }
        true
    }

    /// Whether a run was dropped by somebody's will after it had written. Then nothing remembers what that write may have run
    /// over, nor what it has added: an edit of the same moment may be lost, an address may be there twice, a return may stand
    /// without its sale. Fields agree all the same.
    pub fn is_forgetful(&self) -> bool {
        let is_dropped =
            [Step::Restart, Step::RollBackFailing, Step::Retry].iter().any(|step| self.steps.contains_key(step));
        is_dropped && !self.half_done.is_empty()
    }

    /// What an operator does in the end: nobody leaves a version active that fails, nor what it has failed. Gives false if there
    /// is nothing to do.
    pub fn mend(&mut self) -> bool {
        let was_good = self.host.versions.is_good();
        while !self.host.versions.is_good() {
            self.roll_back();
        }
        self.retry() || !was_good
    }

    /// The host is killed and starts again. What its scheduler waited for is forgotten with it.
    pub fn kill(&mut self) {
        self.say(|| "the host is killed and starts again".into());
        self.count_step(Step::Kill);
        self.forego(|job| matches!(job, Job::RollBack { .. }));
        self.forget();
    }

    /// The scheduler's driver is another one: what the old one waited for is forgotten.
    fn forget(&mut self) {
        self.forego(|job| matches!(job, Job::Told(_) | Job::Go(_) | Job::Swap(_)));
        self.reload();
    }
}
