//! How much may be sent now: a bucket that fills at a rate, and the gate of a target (`budget/gate.rs`). Pure: `now` is
//! an argument, of a clock that only goes forward.

mod gate;
mod said;

pub use gate::{Ask, Cause, Change, Ended, Gate, HOLD_MS_MAX, Held, HeldBy, Pass, Wait};
pub use said::{SHOPIFY_BUCKET, said};

use crate::model::Tick;

/// Longest wait before a bucket is asked again. No wait for a target's own bucket comes near it, since its claims are
/// clamped; a rate of one call a minute does.
pub const WAIT_MS_MAX: u64 = 60_000;
/// The bounds of a bucket, whatever a target claims of it. Shopify gives a shop 1,000 points or more, and 50 a second
/// or more.
const POINTS: (f64, f64) = (100.0, 1e6);
const PER_SECOND: (f64, f64) = (10.0, 1e5);

/// Points that are spent by sending and come back with time. For Shopify, the cost bucket of an app in a shop; for a
/// plain rate, one point a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    max: f64,
    per_second: f64,
    available: f64,
    at: Tick,
}

/// What a target says of its bucket and of one call, unchecked: any number, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Claim {
    pub max: Option<f64>,
    pub available: Option<f64>,
    pub per_second: Option<f64>,
    pub cost: Option<f64>,
}

/// A claim that has been checked: every number is finite, and within its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sane {
    pub max: f64,
    pub available: f64,
    pub per_second: f64,
    pub cost: f64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(max: f64, per_second: f64, now: Tick) -> Self {
        Self { max, per_second, available: max, at: now }
    }

    /// A plain rate, or a share of it, which begins with the calls of one second, and with one at least.
    pub fn per_minute(calls: u32, share: f64, now: Tick) -> Self {
        let per_second = f64::from(calls.max(1)) / 60.0 * share;
        Self::new(per_second.max(1.0), per_second, now)
    }

    /// Takes the points, or says how many milliseconds to wait before asking again: at least one, and never more than
    /// [`WAIT_MS_MAX`].
    pub fn take(&mut self, cost: f64, now: Tick) -> Result<(), u64> {
        self.take_of(1.0, cost, now)
    }

    /// The same, of this share of the bucket: the rest of it stays for others.
    fn take_of(&mut self, share: f64, cost: f64, now: Tick) -> Result<(), u64> {
        self.wait(cost + self.max * (1.0 - share), now)?;
        self.available -= cost.min(self.max);
        Ok(())
    }

    /// The same, without taking the points.
    fn wait(&mut self, cost: f64, now: Tick) -> Result<(), u64> {
        self.fill(now);
        // A cost that can never fit is let through when the bucket is full, or it would wait for ever.
        let cost = cost.min(self.max);
        if self.available >= cost {
            return Ok(());
        }
        let ms = (cost - self.available) / self.per_second.max(0.001) * 1000.0;
        Err((ms.ceil() as u64).clamp(1, WAIT_MS_MAX))
    }

    /// Takes over what a target says of its bucket. Calls that are under way may not be in its sum yet, so their cost
    /// is subtracted from what is available.
    pub fn correct(&mut self, claim: Claim, in_flight: f64, now: Tick) -> Sane {
        self.fill(now);
        let sane = self.sane(claim);
        let available = (sane.available - in_flight.max(0.0)).max(0.0);
        *self = Self { max: sane.max, per_second: sane.per_second, available, at: now };
        sane
    }

    /// Checks a claim. A number that is missing or NaN leaves what was known; a number out of bounds becomes the bound.
    fn sane(&self, claim: Claim) -> Sane {
        let within = |claimed: Option<f64>, known: f64, (least, most): (f64, f64)| {
            claimed.filter(|number| !number.is_nan()).map_or(known, |number| number.clamp(least, most))
        };
        let max = within(claim.max, self.max, POINTS);
        let per_second = within(claim.per_second, self.per_second, PER_SECOND);
        let available = within(claim.available, self.available.clamp(0.0, max), (0.0, max));
        let cost = within(claim.cost, 0.0, (0.0, max));
        Sane { max, available, per_second, cost }
    }

    fn fill(&mut self, now: Tick) {
        let seconds = now.since(self.at) as f64 / 1000.0;
        self.available = (self.available + seconds * self.per_second).min(self.max);
        self.at = self.at.max(now);
    }
}

impl Sane {
    /// Milliseconds until the bucket has what the call costs.
    pub fn wait_ms(&self) -> u64 {
        let ms = (self.cost - self.available).max(0.0) / self.per_second * 1000.0;
        (ms.ceil() as u64).min(WAIT_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back() {
        let mut bucket = Bucket::new(100.0, 50.0, Tick(0));
        assert_eq!(bucket.take(80.0, Tick(0)), Ok(()));
        assert_eq!(bucket.take(40.0, Tick(0)), Err(400));
        assert_eq!(bucket.take(40.0, Tick(400)), Ok(()));
        // A cost that can never fit is let through when the bucket is full, or it would wait for ever.
        assert_eq!(bucket.take(500.0, Tick(400)), Err(2000));
        assert_eq!(bucket.take(500.0, Tick(2400)), Ok(()));
    }

    fn claim(max: f64, available: f64, per_second: f64, cost: f64) -> Claim {
        Claim { max: Some(max), available: Some(available), per_second: Some(per_second), cost: Some(cost) }
    }

    #[test]
    fn a_share_leaves_the_rest_of_the_bucket_to_others() {
        let mut bucket = Bucket::new(100.0, 10.0, Tick(0));
        assert_eq!(bucket.take_of(0.5, 40.0, Tick(0)), Ok(()));
        assert_eq!(bucket.take_of(0.5, 40.0, Tick(0)), Err(3000));
        assert_eq!(bucket.take(60.0, Tick(0)), Ok(()));
        // A cost that never fits into the share waits for the whole bucket.
        assert_eq!(bucket.take_of(0.5, 70.0, Tick(9_999)), Err(1));
        assert_eq!(bucket.take_of(0.5, 70.0, Tick(10_000)), Ok(()));
    }

    #[test]
    fn the_other_side_knows_better() {
        let mut bucket = Bucket::new(1000.0, 50.0, Tick(0));
        bucket.correct(claim(2000.0, 0.0, 100.0, 1.0), 0.0, Tick(0));
        assert_eq!(bucket.take(10.0, Tick(0)), Err(100));
    }

    #[test]
    fn a_correction_does_not_forget_what_is_in_flight() {
        let mut bucket = Bucket::new(1000.0, 100.0, Tick(0));
        bucket.correct(claim(1000.0, 50.0, 100.0, 1.0), 45.0, Tick(0));
        assert_eq!(bucket.take(15.0, Tick(0)), Err(100));
        bucket.correct(claim(1000.0, 10.0, 100.0, 1.0), 45.0, Tick(0));
        assert_eq!(bucket.take(15.0, Tick(0)), Err(150));
    }

    #[test]
    fn what_a_target_claims_is_clamped_to_what_can_be() {
        let known = Bucket::new(2000.0, 100.0, Tick(0));
        let sane = |max, available, per_second, cost| Sane { max, available, per_second, cost };
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        let table = [
            // As it should be.
            (claim(1000.0, 990.0, 50.0, 12.0), sane(1000.0, 990.0, 50.0, 12.0)),
            (claim(40_000.0, 40_000.0, 2000.0, 1.0), sane(40_000.0, 40_000.0, 2000.0, 1.0)),
            // One number at a time.
            (claim(2000.0, -1e300, 100.0, 1.0), sane(2000.0, 0.0, 100.0, 1.0)),
            (claim(2000.0, 1e300, 100.0, 1.0), sane(2000.0, 2000.0, 100.0, 1.0)),
            (claim(2000.0, 5.0, 0.0, 1.0), sane(2000.0, 5.0, 10.0, 1.0)),
            (claim(2000.0, 5.0, 1e-300, 1.0), sane(2000.0, 5.0, 10.0, 1.0)),
            (claim(2000.0, 5.0, -50.0, 1.0), sane(2000.0, 5.0, 10.0, 1.0)),
            (claim(2000.0, 5.0, infinite, 1.0), sane(2000.0, 5.0, 1e5, 1.0)),
            (claim(0.0, 5.0, 100.0, 1.0), sane(100.0, 5.0, 100.0, 1.0)),
            (claim(-7.0, 5.0, 100.0, 1.0), sane(100.0, 5.0, 100.0, 1.0)),
            (claim(infinite, 5.0, 100.0, 1.0), sane(1e6, 5.0, 100.0, 1.0)),
            (claim(2000.0, 5.0, 100.0, 1e9), sane(2000.0, 5.0, 100.0, 2000.0)),
            (claim(2000.0, 5.0, 100.0, -1e9), sane(2000.0, 5.0, 100.0, 0.0)),
            // No numbers.
            (claim(nan, nan, nan, nan), sane(2000.0, 2000.0, 100.0, 0.0)),
            (Claim::default(), sane(2000.0, 2000.0, 100.0, 0.0)),
            // More available than there is room for.
            (claim(500.0, 600.0, 100.0, 1.0), sane(500.0, 500.0, 100.0, 1.0)),
            // Everything at once.
            (claim(0.0, -1e300, 0.0, 1e9), sane(100.0, 0.0, 10.0, 100.0)),
        ];
        for (claim, sane) in table {
            assert_eq!(known.sane(claim), sane, "{claim:?}");
            assert!(sane.wait_ms() <= WAIT_MS_MAX);
        }
    }

    /// A call that waits as long as it is told is let through after few waits, whatever a target claims and however
    /// often.
    #[test]
    fn no_claim_stops_a_target() {
        let odd = [0.0, -0.0, 1.0, -1.0, 1e9, -1e9, 1e300, -1e300, 1e-300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut any = || match random.u8(0..4) {
                0 => None,
                1 => Some(random.f64() * 5_000.0),
                _ => Some(odd[random.usize(0..odd.len())]),
            };
            let mut now = Tick(any().unwrap_or_default().clamp(0.0, 1e15) as u64);
            let mut bucket = Bucket::new(2000.0, 100.0, now);
            for _ in 0..20 {
                let claim = Claim { max: any(), available: any(), per_second: any(), cost: any() };
                let sane = bucket.correct(claim, any().unwrap_or_default(), now);
                assert!(sane.wait_ms() <= WAIT_MS_MAX, "seed {seed}: {claim:?}");
                for waits in 0.. {
                    match bucket.take(15.0, now) {
                        Ok(()) => break,
                        Err(ms) => now = now.plus(ms),
                    }
                    assert!(waits < 3, "seed {seed}: waits for ever after {claim:?}: {bucket:?}");
                }
            }
        }
    }
}
