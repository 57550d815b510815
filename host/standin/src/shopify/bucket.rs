//! The bucket of query points that Shopify throttles by, and the `cost` part of an answer.
//! Knows nothing of documents; somebody else counts their points.

use serde_json::{Value, json};

use super::cost::MUTATION_COST;

pub(crate) struct Bucket {
    max: f64,
    restore_per_s: f64,
    available: f64,
    at_ms: i64,
}

impl Bucket {
    pub fn new((max, restore_per_s): (f64, f64), now_ms: i64) -> Bucket {
        Bucket { max, restore_per_s, available: max, at_ms: now_ms }
    }

    /// Lets the points of the time since then flow back.
    pub fn refill(&mut self, now_ms: i64) {
        let seconds = (now_ms - self.at_ms).max(0) as f64 / 1000.0;
        self.available = (self.available + seconds * self.restore_per_s).min(self.max);
        self.at_ms = now_ms;
    }

    pub fn covers(&self, requested: u64) -> bool {
        requested as f64 <= self.available
    }

    /// Takes the points and gives the answer's `extensions.cost`.
    pub fn charge(&mut self, requested: u64, actual: u64) -> Value {
        self.available = (self.available - actual as f64).max(0.0);
        self.cost(requested, json!(actual), self.available)
    }

    /// The whole answer to a request that the bucket does not cover.
    pub fn throttled(&self, requested: u64) -> Value {
        throttled(self.cost(requested, Value::Null, self.available))
    }

    /// The same for a fault, which finds the bucket empty whatever it holds.
    pub fn empty(&self) -> Value {
        throttled(self.cost(MUTATION_COST, Value::Null, 0.0))
    }

    fn cost(&self, requested: u64, actual: Value, available: f64) -> Value {
        let status = json!({ "maximumAvailable": whole(self.max), "currentlyAvailable": whole(available), "restoreRate": whole(self.restore_per_s) });
        json!({ "requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status })
    }
}

fn throttled(cost: Value) -> Value {
    let extensions = json!({ "code": "THROTTLED", "documentation": "https://shopify.dev/api/usage/rate-limits" });
    json!({ "errors": [{ "message": "Throttled", "extensions": extensions }], "extensions": { "cost": cost } })
}

fn whole(points: f64) -> Value {
    if points.fract() == 0.0 { json!(points as i64) } else { json!(points) }
}
