//! How much may be sent now: a bucket that fills at a rate. Pure: `now` is an argument.

use crate::model::Millis;

/// Points that are spent by sending and come back with time. For Shopify, the cost bucket of an app in a shop; for a
/// plain rate, one point a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    max: f64,
    per_second: f64,
    available: f64,
    at: Millis,
}

impl Bucket {
    /// A full bucket.
    pub fn new(max: f64, per_second: f64, now: Millis) -> Self {
        Self { max, per_second, available: max, at: now }
    }

    /// A plain rate, with a second's worth to begin with.
    pub fn per_minute(calls: u32, now: Millis) -> Self {
        let per_second = f64::from(calls.max(1)) / 60.0;
        Self::new(per_second.max(1.0), per_second, now)
    }

    /// Takes the points, or says how many milliseconds to wait before asking again.
    pub fn take(&mut self, cost: f64, now: Millis) -> Result<(), u64> {
        self.fill(now);
        let cost = cost.min(self.max);
        if self.available >= cost {
            self.available -= cost;
            return Ok(());
        }
        let seconds = (cost - self.available) / self.per_second.max(0.001);
        Err((seconds * 1000.0).ceil() as u64)
    }

    /// What the other side says of the bucket, which is right whatever was reckoned here.
    pub fn correct(&mut self, max: f64, available: f64, per_second: f64, now: Millis) {
        *self = Self { max: max.max(1.0), per_second, available, at: now };
    }

    fn fill(&mut self, now: Millis) {
        let seconds = (now - self.at).max(0) as f64 / 1000.0;
        self.available = (self.available + seconds * self.per_second).min(self.max);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back() {
        let mut bucket = Bucket::new(100.0, 50.0, 0);
        assert_eq!(bucket.take(80.0, 0), Ok(()));
        assert_eq!(bucket.take(40.0, 0), Err(400));
        assert_eq!(bucket.take(40.0, 400), Ok(()));
        // More than ever fits is let through when the bucket is full, or it would wait for ever.
        assert_eq!(bucket.take(500.0, 400), Err(2000));
        assert_eq!(bucket.take(500.0, 2400), Ok(()));
    }

    #[test]
    fn the_other_side_knows_better() {
        let mut bucket = Bucket::new(1000.0, 50.0, 0);
        bucket.correct(2000.0, 0.0, 100.0, 0);
        assert_eq!(bucket.take(10.0, 0), Err(100));
    }
}
