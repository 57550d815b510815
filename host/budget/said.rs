//! What Shopify says of cost and throttling beside the data of a GraphQL answer. A function of values.

use serde_json::Value;

use super::{Bucket, Claim};
use crate::model::{Answer, Tick};

/// A bucket until the first answer tells the real one: the values that development stores show.
pub const SHOPIFY_BUCKET: (f64, f64) = (2000.0, 100.0);

/// What Shopify says of its bucket, and whether it did nothing for want of points.
#[derive(Clone, Copy)]
pub struct Said {
    pub claim: Claim,
    pub is_throttled: bool,
}

/// Reads that in an answer that HTTP calls a success. Anything malformed counts as missing.
pub fn said(answer: &Answer) -> Option<Said> {
    // Only GraphQL answers have either. To search the text spares the others a parse.
    if answer.status != 200 || !answer.body.contains("\"throttleStatus\"") && !answer.body.contains("THROTTLED") {
        return None;
    }
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let cost = &body["extensions"]["cost"];
    let number = |value: &Value| value.as_f64();
    let status = &cost["throttleStatus"];
    let claim = Claim {
        max: number(&status["maximumAvailable"]),
        available: number(&status["currentlyAvailable"]),
        per_second: number(&status["restoreRate"]),
        cost: number(&cost["requestedQueryCost"]),
    };
    let mut errors = body["errors"].as_array().into_iter().flatten();
    let is_throttled = errors.any(|error| error["extensions"]["code"] == "THROTTLED");
    Some(Said { claim, is_throttled })
}

impl Said {
    /// After how many milliseconds the bucket has what the request costs, for a caller without a bucket of its own.
    pub fn wait_ms(&self) -> u64 {
        let (max, per_second) = SHOPIFY_BUCKET;
        // A claim is checked without regard to the time.
        Bucket::new(max, per_second, Tick::default()).sane(self.claim).wait_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, headers: vec![], body: body.into() }
    }

    #[test]
    fn a_throttled_answer_says_when_to_ask_again() {
        let with = |available: u32, cost: u32| {
            answer(&format!(
                r#"{{"errors": [{{"extensions": {{"code": "THROTTLED"}}}}], "extensions": {{"cost": {{"requestedQueryCost": {cost},
                "throttleStatus": {{"maximumAvailable": 1000, "currentlyAvailable": {available}, "restoreRate": 50}}}}}}}}"#
            ))
        };
        for (answer, due) in [(with(0, 100), 2_000), (with(75, 100), 500), (with(0, 90_000), 20_000)] {
            let said = said(&answer).unwrap();
            assert_eq!((said.is_throttled, said.wait_ms()), (true, due), "{}", answer.body);
        }
        let bare = said(&answer(r#"{"errors": [{"extensions": {"code": "THROTTLED"}}]}"#)).unwrap();
        assert_eq!((bare.is_throttled, bare.wait_ms()), (true, 0));
        let fine = said(&answer(r#"{"data": {}, "extensions": {"cost": {"throttleStatus": {}}}}"#)).unwrap();
        assert!(!fine.is_throttled);
        assert!(said(&answer(r#"{"data": {"name": "throttled"}}"#)).is_none());
        assert!(said(&Answer { status: 500, ..with(0, 100) }).is_none());
    }
}
