//! Decides whether a target gets a call now: whether it is paused, has asked to wait, or is down, and what its budget
//! allows.
//!
//! One state machine for all of it, so that every wait for a target has one bound and one name. Pure.
//!
//! A target that has asked to wait, or has failed [`FAILURES_MAX`] times in a row, is shut: all its calls wait, and
//! none of them has an attempt counted. When the time is over, one call is let through to try. If that call is
//! answered, all others go on.

use std::collections::BTreeMap;

use super::{Bucket, Claim, WAIT_MS_MAX};
use crate::model::Tick;

/// Failures in a row after which a target counts as down.
pub const FAILURES_MAX: u32 = 5;
/// The pause between two tries at a target that is down: `PROBE_MS` at first, doubled after each try, and
/// `PROBE_MS_MAX` at most.
pub const PROBE_MS: u64 = 1_000;
pub const PROBE_MS_MAX: u64 = 60_000;
/// The same for a target that asks to wait again and again: at least this pause at first, doubled after each try, even
/// if the target names a shorter time.
const BUSY_MS: u64 = 250;
/// Longest time that a target may ask to wait. After that it is tried again, which does no harm.
pub const HOLD_MS_MAX: u64 = 3_600_000;
/// How much of a budget the reading of collections may take: of a rate, and of a bucket of cost as it is when full. Live
/// events find the rest.
pub const PULLS_SHARE: f64 = 0.5;

pub struct Gate {
    paused: BTreeMap<Cause, String>,
    door: Door,
    /// Counts the calls that were let through to try.
    tries: u64,
    /// The calls per minute that `rate` was made for.
    per_minute: Option<u32>,
    rate: Option<Bucket>,
    /// The part of `rate` that pulls may take.
    pulls: Option<Bucket>,
    /// The bucket of cost, and the same bucket before the target has said anything of it.
    cost: Option<(Bucket, Bucket)>,
    in_flight: f64,
}

/// Why a target is paused. Several causes may hold at once, and each is lifted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its tenant's secrets cannot be opened, or Omneo is not connected.
    Closed,
    /// An operator has paused it, or the app was uninstalled. The journal keeps this cause.
    Ordered,
    /// It answers 401, or there is no token for it, until its credentials change.
    Unauthorized,
    /// It answers that the shop is frozen or locked, which other credentials do not change.
    Locked,
}

impl Cause {
    /// A word for it, in counters and alerts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Ordered => "ordered",
            Self::Unauthorized => "unauthorized",
            Self::Locked => "locked",
        }
    }
}

enum Door {
    Open { failures: u32 },
    Shut(Shut),
}

struct Shut {
    by: HeldBy,
    why: String,
    since: Tick,
    until: Tick,
    /// Tries in a row that changed nothing.
    in_vain: u32,
    /// The try that is under way.
    probe: Option<u64>,
}

/// Why calls wait for a target that nobody paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// It asked to wait, or its budget is used up.
    Throttled,
    /// It does not answer as it should.
    Down,
}

/// A target whose calls wait, as people are shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub by: HeldBy,
    pub why: String,
    pub since: Tick,
    /// When the next call is let through: in the past if no call has come since.
    pub until: Tick,
    /// Whether the target is the reason, and not a budget that is used up.
    pub is_shut: bool,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub cost: f64,
    pub per_minute: Option<u32>,
    /// It may not be sent twice, so it is the last to try a target that is down.
    pub is_once: bool,
    /// No event has asked for it: it reads a collection.
    pub is_pull: bool,
}

/// A call that was let through.
#[derive(Debug, PartialEq)]
#[must_use = "what is in flight is counted until it has ended"]
pub struct Pass {
    cost: f64,
    probe: Option<u64>,
}

/// What a call waits for. After any change of the gate, it is worth asking again.
#[derive(Debug, PartialEq)]
pub enum Wait {
    Paused,
    /// Another call is trying.
    Probed,
    Until(Tick),
}

/// How a call that was let through ended.
#[derive(Debug, PartialEq)]
pub enum Ended {
    /// It was answered, whatever the answer.
    Answered,
    /// Refused connections, no answer, 5xx.
    Failed(String),
    /// The target asked to wait for this many milliseconds.
    Busy(u64, String),
    /// Nothing was sent after all.
    Unsent,
}

/// What has changed for all calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Shut(HeldBy),
    Opened,
}

impl Pass {
    /// Whether this call is a try, for whose end other calls wait.
    pub fn is_try(&self) -> bool {
        self.probe.is_some()
    }
}

impl Gate {
    /// `cost`: the size and the points per second of a bucket of cost, if the target has one.
    pub fn new(cost: Option<(f64, f64)>, now: Tick) -> Self {
        let cost = cost.map(|(max, per_second)| Bucket::new(max, per_second, now));
        Self {
            paused: BTreeMap::new(),
            door: Door::Open { failures: 0 },
            tries: 0,
            per_minute: None,
            rate: None,
            pulls: None,
            cost: cost.map(|bucket| (bucket.clone(), bucket)),
            in_flight: 0.0,
        }
    }

    /// Pauses the target for one more cause.
    pub fn pause(&mut self, cause: Cause, why: String) {
        self.paused.insert(cause, why);
    }

    /// Removes a cause. When none is left, the target takes calls again.
    pub fn lift(&mut self, cause: Cause) {
        self.paused.remove(&cause);
    }

    /// Removes every reason to wait that a person may end, and forgets what was estimated and claimed of the budget. A tenant
    /// without secrets, or without Omneo, stays closed.
    pub fn resume(&mut self) {
        self.paused.retain(|cause, _| *cause == Cause::Closed);
        self.door = Door::Open { failures: 0 };
        self.per_minute = None;
        if let Some((bucket, fresh)) = &mut self.cost {
            *bucket = fresh.clone();
        }
    }

    /// Why the target is paused; `None` if it is not.
    pub fn why_paused(&self) -> Option<String> {
        (!self.paused.is_empty()).then(|| self.paused.values().cloned().collect::<Vec<_>>().join("; "))
    }

    /// Everything that it is paused by, and why.
    pub fn causes(&self) -> Vec<(Cause, String)> {
        self.paused.iter().map(|(cause, why)| (*cause, why.clone())).collect()
    }

    /// Lets a call through, or says what to wait for. No wait is longer than [`WAIT_MS_MAX`] before asking again.
    pub fn admit(&mut self, ask: Ask, now: Tick) -> Result<Pass, Wait> {
        if !self.paused.is_empty() {
            return Err(Wait::Paused);
        }
        if let Door::Shut(shut) = &self.door {
            if shut.probe.is_some() {
                return Err(Wait::Probed);
            }
            let last = if ask.is_once && shut.by == HeldBy::Down { probe_ms(shut.in_vain) } else { 0 };
            let due = shut.until.plus(last);
            if now < due {
                return Err(Wait::Until(due.min(now.plus(WAIT_MS_MAX))));
            }
        }
        self.spend(ask, now).map_err(|ms| Wait::Until(now.plus(ms)))?;
        self.in_flight += ask.cost;
        let mut pass = Pass { cost: ask.cost, probe: None };
        if let Door::Shut(shut) = &mut self.door {
            self.tries += 1;
            shut.probe = Some(self.tries);
            pass.probe = shut.probe;
        }
        Ok(pass)
    }

    /// Takes back a pass, and learns from how the call ended and from what the target claims. Also gives the time that
    /// the target has asked to wait, within bounds.
    pub fn ended(&mut self, pass: Pass, how: Ended, claim: Option<Claim>, now: Tick) -> (Option<Change>, u64) {
        self.in_flight = (self.in_flight - pass.cost).max(0.0);
        let in_flight = self.in_flight;
        let bucket = self.cost.as_mut().map(|(bucket, _)| bucket);
        let lacking = bucket.zip(claim).map_or(0, |(bucket, claim)| bucket.correct(claim, in_flight, now).wait_ms());
        let (how, asked) = match how {
            Ended::Busy(ms, why) => (Ended::Busy(ms.max(lacking), why), hold_ms(ms.max(lacking), 0)),
            how => (how, 0),
        };
        (self.learn(pass.probe, how, now), asked)
    }

    fn learn(&mut self, probe: Option<u64>, how: Ended, now: Tick) -> Option<Change> {
        match &mut self.door {
            Door::Open { failures } => {
                match how {
                    Ended::Answered => *failures = 0,
                    Ended::Failed(_) => *failures += 1,
                    Ended::Busy(..) | Ended::Unsent => {}
                }
                let down = *failures >= FAILURES_MAX;
                let (by, why, ms) = match how {
                    Ended::Failed(why) if down => (HeldBy::Down, why, probe_ms(0)),
                    Ended::Busy(ms, why) => (HeldBy::Throttled, why, hold_ms(ms, 0)),
                    _ => return None,
                };
                let shut = Shut { by, why, since: now, until: now.plus(ms), in_vain: 0, probe: None };
                self.door = Door::Shut(shut);
                Some(Change::Shut(by))
            }
            Door::Shut(shut) if probe.is_some() && probe == shut.probe => {
                shut.probe = None;
                let before = shut.by;
                match how {
                    Ended::Answered => {
                        self.door = Door::Open { failures: 0 };
                        return Some(Change::Opened);
                    }
                    Ended::Failed(why) => {
                        shut.in_vain = shut.in_vain.saturating_add(1);
                        (shut.by, shut.why, shut.until) = (HeldBy::Down, why, now.plus(probe_ms(shut.in_vain)));
                    }
                    Ended::Busy(ms, why) => {
                        shut.in_vain = shut.in_vain.saturating_add(1);
                        (shut.by, shut.why) = (HeldBy::Throttled, why);
                        shut.until = now.plus(hold_ms(ms, shut.in_vain));
                    }
                    Ended::Unsent => {}
                }
                (shut.by != before).then_some(Change::Shut(shut.by))
            }
            // The call was let through before the gate was shut, so only a longer wait is news.
            Door::Shut(shut) => {
                if let Ended::Busy(ms, _) = how {
                    shut.until = shut.until.max(now.plus(hold_ms(ms, 0)));
                }
                None
            }
        }
    }

    /// Why calls wait, if they do for another reason than a pause.
    pub fn held(&mut self, now: Tick, usual_cost: f64) -> Option<Held> {
        match &self.door {
            Door::Shut(Shut { by, why, since, until, probe, .. }) => {
                let is_over = *by == HeldBy::Throttled && *until <= now && probe.is_none();
                (!is_over).then(|| Held { by: *by, why: why.clone(), since: *since, until: *until, is_shut: true })
            }
            Door::Open { .. } => {
                let cost = self.cost.as_mut().and_then(|(bucket, _)| bucket.wait(usual_cost, now).err());
                let rate = self.rate.as_mut().and_then(|bucket| bucket.wait(1.0, now).err());
                let until = now.plus(cost.max(rate)?);
                let why = "its budget is used up".into();
                Some(Held { by: HeldBy::Throttled, why, since: now, until, is_shut: false })
            }
        }
    }

    /// Takes the cost of a call from both buckets or from none, or says how many milliseconds to wait.
    fn spend(&mut self, ask: Ask, now: Tick) -> Result<(), u64> {
        if self.per_minute != ask.per_minute {
            self.per_minute = ask.per_minute;
            let rate = |share| ask.per_minute.map(|calls| Bucket::per_minute(calls, share, now));
            (self.rate, self.pulls) = (rate(1.0), rate(PULLS_SHARE));
        }
        let pulls = if ask.is_pull { self.pulls.as_mut() } else { None };
        let mut rates: Vec<_> = self.rate.iter_mut().chain(pulls).collect();
        for rate in &mut rates {
            rate.wait(1.0, now)?;
        }
        if let Some((bucket, _)) = &mut self.cost {
            bucket.take_of(if ask.is_pull { PULLS_SHARE } else { 1.0 }, ask.cost, now)?;
        }
        rates.into_iter().try_for_each(|rate| rate.take(1.0, now))
    }
}

fn probe_ms(in_vain: u32) -> u64 {
    doubled(PROBE_MS, in_vain)
}

fn hold_ms(asked: u64, in_vain: u32) -> u64 {
    asked.min(HOLD_MS_MAX).max(doubled(BUSY_MS, in_vain))
}

fn doubled(ms: u64, times: u32) -> u64 {
    ms.saturating_mul(1 << times.min(20)).min(PROBE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask { cost: 10.0, per_minute: None, is_once: false, is_pull: false };

    fn gate() -> Gate {
        Gate::new(None, Tick(0))
    }

    fn failed() -> Ended {
        Ended::Failed("503".into())
    }

    fn busy(ms: u64) -> Ended {
        Ended::Busy(ms, "429".into())
    }

    /// Lets a call through that ends at once, in this way.
    fn sent(gate: &mut Gate, how: Ended, now: u64) -> Option<Change> {
        let pass = gate.admit(ASK, Tick(now)).unwrap();
        gate.ended(pass, how, None, Tick(now)).0
    }

    fn waits(gate: &mut Gate, now: u64) -> Option<Wait> {
        gate.admit(ASK, Tick(now)).err()
    }

    #[test]
    fn each_cause_of_a_pause_goes_by_itself() {
        let mut gate = gate();
        gate.pause(Cause::Unauthorized, "omneo answers 401".into());
        gate.pause(Cause::Ordered, "paused by ops: a migration".into());
        assert_eq!(gate.why_paused().as_deref(), Some("paused by ops: a migration; omneo answers 401"));
        gate.lift(Cause::Unauthorized);
        gate.lift(Cause::Unauthorized);
        assert_eq!(gate.why_paused().as_deref(), Some("paused by ops: a migration"));
        gate.lift(Cause::Ordered);
        assert_eq!(gate.why_paused(), None);
        gate.pause(Cause::Locked, "shopify answers 402".into());
        gate.lift(Cause::Unauthorized);
        assert_eq!(gate.why_paused().as_deref(), Some("shopify answers 402"));
        assert_eq!(waits(&mut gate, 0), Some(Wait::Paused));
        gate.resume();
        assert_eq!((gate.why_paused(), waits(&mut gate, 0)), (None, None));
        // A person's word opens no secrets, and connects nothing.
        gate.pause(Cause::Closed, "Omneo is not connected yet".into());
        gate.pause(Cause::Ordered, "paused by ops".into());
        gate.resume();
        assert_eq!(gate.causes(), [(Cause::Closed, "Omneo is not connected yet".to_owned())]);
        gate.lift(Cause::Closed);
        assert_eq!(waits(&mut gate, 0), None);
    }

    #[test]
    fn a_budget_that_is_used_up_is_told_from_a_target_that_is_shut() {
        let mut gate = gate();
        let ask = Ask { per_minute: Some(60), ..ASK };
        while let Ok(pass) = gate.admit(ask, Tick(0)) {
            let _ = gate.ended(pass, Ended::Answered, None, Tick(0));
        }
        assert!(!gate.held(Tick(0), 1.0).unwrap().is_shut);
        let mut gate = self::gate();
        sent(&mut gate, busy(9_000), 0);
        assert!(gate.held(Tick(0), 1.0).unwrap().is_shut);
    }

    #[test]
    fn pulls_take_half_of_a_budget_and_live_events_the_rest() {
        let sent = |gate: &mut Gate, ask: Ask, now: u64| {
            let pass = gate.admit(ask, Tick(now)).ok();
            pass.map(|pass| gate.ended(pass, Ended::Answered, None, Tick(now))).is_some()
        };
        let pull = Ask { cost: 100.0, is_pull: true, ..ASK };
        let mut gate = Gate::new(Some((1_000.0, 50.0)), Tick(0));
        let count = |gate: &mut Gate, ask: Ask, now| (0..).take_while(|_| sent(gate, ask, now)).count();
        assert_eq!(count(&mut gate, pull, 0), 5);
        assert_eq!(count(&mut gate, Ask { is_pull: false, ..pull }, 0), 5);
        // Pulls wait until half of the bucket is there again.
        assert_eq!((count(&mut gate, pull, 10_000), count(&mut gate, pull, 12_000)), (0, 1));

        let mut gate = self::gate();
        let pull = Ask { per_minute: Some(600), ..pull };
        let mut both = [0, 0];
        for now in 0..60 {
            both[0] += count(&mut gate, pull, now * 1_000);
            both[1] += count(&mut gate, Ask { is_pull: false, ..pull }, now * 1_000);
        }
        assert_eq!(both, [300, 300]);
    }

    #[test]
    fn a_target_that_asks_to_wait_gets_nothing_and_then_one_call() {
        let mut gate = gate();
        let (one, other) = (gate.admit(ASK, Tick(0)).unwrap(), gate.admit(ASK, Tick(0)).unwrap());
        assert_eq!(gate.ended(one, busy(30_000), None, Tick(5)).0, Some(Change::Shut(HeldBy::Throttled)));
        // A call that was under way may ask for a longer wait, but an answer to it opens nothing.
        assert_eq!(gate.ended(other, Ended::Answered, None, Tick(6)).0, None);
        assert_eq!(waits(&mut gate, 6), Some(Wait::Until(Tick(30_005))));
        assert_eq!(waits(&mut gate, 30_004), Some(Wait::Until(Tick(30_005))));
        let probe = gate.admit(ASK, Tick(30_005)).unwrap();
        assert_eq!(waits(&mut gate, 30_006), Some(Wait::Probed));
        assert_eq!(gate.ended(probe, Ended::Answered, None, Tick(30_007)).0, Some(Change::Opened));
        assert_eq!(waits(&mut gate, 30_007), None);
    }

    #[test]
    fn a_target_is_down_after_failures_in_a_row() {
        let mut gate = gate();
        for _ in 1..FAILURES_MAX {
            assert_eq!(sent(&mut gate, failed(), 0), None);
        }
        sent(&mut gate, Ended::Answered, 0);
        for _ in 1..FAILURES_MAX {
            assert_eq!(sent(&mut gate, failed(), 0), None);
        }
        assert_eq!(sent(&mut gate, failed(), 0), Some(Change::Shut(HeldBy::Down)));
        // Each try in vain doubles the time to the next, up to a minute.
        let mut now = 0;
        let mut gaps = vec![];
        for _ in 0..9 {
            let Some(Wait::Until(Tick(until))) = waits(&mut gate, now) else { panic!("open") };
            gaps.push((until - now) / 1000);
            now = until;
            assert_eq!(sent(&mut gate, failed(), now), None);
        }
        assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(gate.held(Tick(now), 1.0).unwrap().by, HeldBy::Down);
        now += PROBE_MS_MAX;
        assert_eq!(sent(&mut gate, Ended::Answered, now), Some(Change::Opened));
        assert_eq!(gate.held(Tick(now), 1.0), None);
    }

    #[test]
    fn a_call_that_may_not_be_sent_twice_is_the_last_to_try() {
        let mut gate = gate();
        (0..FAILURES_MAX).for_each(|_| _ = sent(&mut gate, failed(), 0));
        let once = Ask { is_once: true, ..ASK };
        assert_eq!(gate.admit(once, Tick(1_000)), Err(Wait::Until(Tick(2_000))));
        assert!(gate.admit(once, Tick(2_000)).is_ok());
    }

    #[test]
    fn a_try_that_was_not_made_is_for_the_next() {
        let mut gate = gate();
        sent(&mut gate, busy(1_000), 0);
        let probe = gate.admit(ASK, Tick(1_000)).unwrap();
        gate.ended(probe, Ended::Unsent, None, Tick(1_500));
        assert_eq!(waits(&mut gate, 1_500), None);
    }

    #[test]
    fn who_asks_to_wait_for_no_time_again_and_again_waits_longer() {
        let mut gate = gate();
        let (mut now, mut sends) = (0, 0);
        while now < 3_600_000 {
            sent(&mut gate, busy(0), now);
            sends += 1;
            let Some(Wait::Until(Tick(until))) = waits(&mut gate, now) else { panic!("open") };
            now = until;
        }
        assert!(sends < 75, "{sends} in an hour");
    }

    #[test]
    fn no_wait_is_longer_than_an_hour_and_it_is_looked_at_again_each_minute() {
        let mut gate = gate();
        sent(&mut gate, busy(u64::MAX), 0);
        assert_eq!(waits(&mut gate, 0), Some(Wait::Until(Tick(WAIT_MS_MAX))));
        assert_eq!(waits(&mut gate, HOLD_MS_MAX - 1), Some(Wait::Until(Tick(HOLD_MS_MAX))));
        assert_eq!(waits(&mut gate, HOLD_MS_MAX), None);
    }

    #[test]
    fn resuming_forgets_everything_and_a_try_of_before_changes_nothing() {
        let mut gate = Gate::new(Some((1000.0, 50.0)), Tick(0));
        let pass = gate.admit(ASK, Tick(0)).unwrap();
        let claim = Claim { available: Some(-1e300), per_second: Some(0.0), ..Claim::default() };
        gate.ended(pass, busy(3_000_000), Some(claim), Tick(0));
        gate.pause(Cause::Ordered, "ops".into());
        assert_eq!(waits(&mut gate, 0), Some(Wait::Paused));
        gate.resume();
        let before = gate.admit(ASK, Tick(0)).unwrap();
        gate.ended(before, busy(1_000), None, Tick(0));
        let probe = gate.admit(ASK, Tick(1_000)).unwrap();
        gate.resume();
        sent(&mut gate, busy(9_000), 1_000);
        assert_eq!(gate.ended(probe, Ended::Answered, None, Tick(1_100)).0, None);
        assert_eq!(gate.held(Tick(1_100), 1.0).unwrap().until, Tick(10_000));
    }

    #[test]
    fn the_rate_takes_nothing_where_the_cost_is_not_there() {
        let mut gate = Gate::new(Some((100.0, 10.0)), Tick(0));
        let ask = Ask { cost: 100.0, per_minute: Some(60), ..ASK };
        assert!(gate.admit(ask, Tick(0)).is_ok());
        assert_eq!(gate.admit(ask, Tick(1_000)), Err(Wait::Until(Tick(10_000))));
        // The rate is one call a second, and the refused call has taken none of it.
        assert!(gate.admit(Ask { cost: 1.0, ..ask }, Tick(1_200)).is_ok());
        assert_eq!(gate.held(Tick(1_200), 1.0).map(|held| held.until), Some(Tick(2_200)));
    }

    /// Whatever targets answer and claim, a call that asks again when it is told to is let through within the longest
    /// hold. At most one call tries at a time, and nothing is in flight in the end.
    #[test]
    fn every_wait_ends() {
        for seed in 0..1_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut gate = Gate::new((seed % 2 == 0).then_some((1000.0, 50.0)), Tick(0));
            let (mut now, mut out) = (Tick(0), vec![]);
            for _ in 0..200 {
                now = now.plus(random.u64(0..2_000));
                if !out.is_empty() && random.u8(0..3) > 0 {
                    let pass = out.swap_remove(random.usize(0..out.len()));
                    let how = match random.u8(0..6) {
                        0 | 1 => Ended::Answered,
                        2 | 3 => failed(),
                        4 => busy([0, 1, 1_000, 86_400_000, u64::MAX][random.usize(0..5)]),
                        _ => Ended::Unsent,
                    };
                    let number = [-1e300, 0.0, 1e-300, 1e9, f64::NAN, 500.0][random.usize(0..6)];
                    let claim = Claim { available: Some(number), per_second: Some(number), ..Claim::default() };
                    gate.ended(pass, how, random.bool().then_some(claim), now);
                }
                let ask = Ask { is_once: random.bool(), ..ASK };
                match gate.admit(ask, now) {
                    Ok(pass) => out.push(pass),
                    Err(Wait::Until(until)) => assert!(until > now && until <= now.plus(WAIT_MS_MAX), "seed {seed}"),
                    Err(Wait::Probed) => assert!(out.iter().any(|pass| pass.probe.is_some()), "seed {seed}"),
                    Err(Wait::Paused) => panic!("seed {seed}: nobody paused it"),
                }
            }
            out.into_iter().for_each(|pass| _ = gate.ended(pass, Ended::Unsent, None, now));
            assert!(gate.in_flight == 0.0, "seed {seed}: {} in flight", gate.in_flight);
            let began = now;
            while let Err(wait) = gate.admit(ASK, now) {
                let Wait::Until(until) = wait else { panic!("seed {seed}: waits for {wait:?}") };
                now = until;
                assert!(now.since(began) <= HOLD_MS_MAX + WAIT_MS_MAX, "seed {seed}");
            }
        }
    }
}
