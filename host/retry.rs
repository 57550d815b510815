//! What to do after an attempt. Pure: a table from outcomes to decisions; chance is an argument.

use crate::budget::{Ended, HOLD_MS_MAX};
use crate::model::{Answer, Effect, Reply};

/// How an attempt ended, before anyone has decided what that means.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The target answered.
    Answered { answer: Answer, retry_after_ms: Option<u64> },
    /// GraphQL's THROTTLED: the bucket lacks this many milliseconds.
    Throttled { wait_ms: u64 },
    /// No connection was made: nothing was sent.
    NotSent(String),
    /// Something was sent, and no whole answer came back.
    NoAnswer(String),
    /// The host itself refuses to send this.
    Blocked(String),
    /// There is no token to send it with, until somebody provides one.
    NoToken(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The rules get this reply.
    Reply(Reply),
    /// Try once more, after this time. The attempt does not count if the target only asked to wait.
    Again { after_ms: u64, counts: bool },
    /// After a quiet time, the rules are told that the fate of the call is unknown.
    Unknown(String),
    /// The target takes nothing more until it has new credentials.
    Pause(String),
    /// Do not try again.
    GiveUp(String),
}

/// Decides what to do. `attempts` are those made, this one included; `delays_ms` is the schedule; `chance` is between 0
/// and 1.
pub fn decide(outcome: Outcome, effect: Effect, attempts: u32, delays_ms: &[u64], chance: f64) -> Decision {
    let again = |why: String, at_least_ms: u64| match delays_ms.get(attempts.saturating_sub(1) as usize) {
        Some(delay) => Decision::Again { after_ms: jittered(*delay, chance).max(at_least_ms), counts: true },
        None => Decision::GiveUp(format!("given up after {attempts} attempts; the last one: {why}")),
    };
    match outcome {
        Outcome::Throttled { wait_ms } => Decision::Again { after_ms: jittered(wait_ms, chance), counts: false },
        Outcome::Blocked(why) => Decision::GiveUp(why),
        Outcome::NoToken(why) => Decision::Pause(why),
        Outcome::NotSent(why) => again(why, 0),
        Outcome::NoAnswer(why) if effect == Effect::Once => Decision::Unknown(why),
        Outcome::NoAnswer(why) => again(why, 0),
        Outcome::Answered { answer, retry_after_ms } => {
            let asked = retry_after_ms.unwrap_or(0).min(HOLD_MS_MAX);
            match answer.status {
                401 | 402 | 423 => Decision::Pause(describe(&answer)),
                429 if asked > 0 => {
                    Decision::Again { after_ms: jittered(asked, chance).min(HOLD_MS_MAX), counts: false }
                }
                // A gateway's 408 or 5xx does not tell whether what stands behind it has acted.
                408 | 500.. if effect == Effect::Once => Decision::Unknown(describe(&answer)),
                408 | 425 | 429 | 500.. => again(describe(&answer), asked),
                _ => Decision::Reply(Reply::Answer(answer)),
            }
        }
    }
}

/// How often a target may ask one call to wait before that counts as an attempt.
const WAITS_MAX: u32 = 100;

/// The outcome, when the target has asked this call to wait `waits` times before. After too many waits, one more counts
/// as a failed attempt.
pub fn patient(outcome: Outcome, waits: u32) -> Outcome {
    match outcome {
        outcome if waits < WAITS_MAX => outcome,
        // A throttled call did nothing, so its fate is known.
        Outcome::Throttled { .. } => Outcome::NotSent(format!("throttled {waits} times")),
        Outcome::Answered { answer, .. } if answer.status == 429 => Outcome::Answered { answer, retry_after_ms: None },
        outcome => outcome,
    }
}

/// What an attempt says of its target, for all the calls that wait for it.
pub fn toll(outcome: &Outcome) -> Ended {
    match outcome {
        Outcome::Throttled { wait_ms } => Ended::Busy(*wait_ms, "answers THROTTLED".into()),
        Outcome::NotSent(why) | Outcome::NoAnswer(why) => Ended::Failed(why.clone()),
        Outcome::Blocked(_) | Outcome::NoToken(_) => Ended::Unsent,
        Outcome::Answered { answer, retry_after_ms } => {
            // Without the body, which may hold personal data.
            let why = format!("answers {}", answer.status);
            match (answer.status, retry_after_ms.unwrap_or(0)) {
                (429 | 500.., asked) if asked > 0 => Ended::Busy(asked, why),
                (408 | 425 | 429 | 500.., _) => Ended::Failed(why),
                _ => Ended::Answered,
            }
        }
    }
}

/// Adds up to a quarter by chance, and never takes away: that would be to ask sooner than was said.
fn jittered(ms: u64, chance: f64) -> u64 {
    ms + (ms as f64 * 0.25 * chance) as u64
}

fn describe(answer: &Answer) -> String {
    let body: String = answer.body.chars().take(200).collect();
    if body.is_empty() { answer.status.to_string() } else { format!("{} {body}", answer.status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: [u64; 2] = [1_000, 60_000];

    fn answered(status: u16, retry_after_ms: Option<u64>) -> Outcome {
        Outcome::Answered { answer: Answer { status, headers: vec![], body: String::new() }, retry_after_ms }
    }

    #[test]
    fn the_table() {
        use Effect::{Once, Read, Repeatable};
        let reply = |status| Decision::Reply(Reply::Answer(Answer { status, headers: vec![], body: String::new() }));
        let again = |after_ms, counts| Decision::Again { after_ms, counts };
        let gave_up = |why: &str| Decision::GiveUp(format!("given up after 3 attempts; the last one: {why}"));
        let lost = || Outcome::NoAnswer("timed out".into());
        let table = [
            (answered(200, None), Once, 1, reply(200)),
            (answered(404, None), Read, 1, reply(404)),
            (answered(403, None), Repeatable, 1, reply(403)),
            (answered(422, None), Once, 1, reply(422)),
            (answered(401, None), Read, 1, Decision::Pause("401".into())),
            (answered(429, Some(30_000)), Once, 1, again(30_000, false)),
            (answered(429, None), Once, 1, again(1_000, true)),
            (answered(429, Some(u64::MAX)), Read, 1, again(3_600_000, false)),
            (answered(503, Some(5_000)), Repeatable, 1, again(5_000, true)),
            (answered(503, Some(5_000)), Repeatable, 2, again(60_000, true)),
            (answered(503, None), Repeatable, 3, gave_up("503")),
            (answered(504, None), Once, 1, Decision::Unknown("504".into())),
            (answered(408, None), Once, 1, Decision::Unknown("408".into())),
            (answered(408, None), Repeatable, 1, again(1_000, true)),
            (answered(425, None), Once, 1, again(1_000, true)),
            (lost(), Read, 1, again(1_000, true)),
            (lost(), Once, 1, Decision::Unknown("timed out".into())),
            (Outcome::NotSent("refused".into()), Once, 1, again(1_000, true)),
            (Outcome::NotSent("refused".into()), Once, 3, gave_up("refused")),
            (Outcome::Throttled { wait_ms: 70 }, Once, 9, again(70, false)),
            (Outcome::Blocked("private".into()), Read, 1, Decision::GiveUp("private".into())),
            (Outcome::NoToken("ended".into()), Once, 9, Decision::Pause("ended".into())),
        ];
        for (outcome, effect, attempts, decision) in table {
            assert_eq!(decide(outcome.clone(), effect, attempts, &DELAYS, 0.0), decision, "{outcome:?} {effect:?}");
        }
    }

    #[test]
    fn what_an_attempt_says_of_its_target() {
        let busy = |ms, why: &str| Ended::Busy(ms, why.into());
        let failed = |why: &str| Ended::Failed(why.into());
        let table = [
            (answered(200, None), Ended::Answered),
            (answered(404, Some(9)), Ended::Answered),
            (answered(401, None), Ended::Answered),
            (answered(429, Some(30_000)), busy(30_000, "answers 429")),
            (answered(503, Some(5_000)), busy(5_000, "answers 503")),
            (answered(429, None), failed("answers 429")),
            (answered(408, None), failed("answers 408")),
            (answered(500, None), failed("answers 500")),
            (Outcome::NoAnswer("timed out".into()), failed("timed out")),
            (Outcome::NotSent("refused".into()), failed("refused")),
            (Outcome::Throttled { wait_ms: 70 }, busy(70, "answers THROTTLED")),
            (Outcome::Blocked("private".into()), Ended::Unsent),
        ];
        for (outcome, ended) in table {
            assert_eq!(toll(&outcome), ended, "{outcome:?}");
        }
    }

    #[test]
    fn nobody_asks_to_wait_for_ever() {
        for outcome in [Outcome::Throttled { wait_ms: 70 }, answered(429, Some(70))] {
            assert_eq!(patient(outcome.clone(), 99), outcome);
            let decision = decide(patient(outcome, 100), Effect::Once, 1, &DELAYS, 0.0);
            assert_eq!(decision, Decision::Again { after_ms: 1_000, counts: true });
        }
        assert_eq!(patient(answered(503, Some(5)), 100), answered(503, Some(5)));
    }

    #[test]
    fn chance_only_adds() {
        let decision = |chance| decide(answered(503, Some(900)), Effect::Read, 1, &DELAYS, chance);
        assert_eq!(decision(0.0), Decision::Again { after_ms: 1_000, counts: true });
        assert_eq!(decision(1.0), Decision::Again { after_ms: 1_250, counts: true });
        // Operators are not told of a longer wait than a target can be held.
        let decision = decide(answered(429, Some(u64::MAX)), Effect::Read, 1, &DELAYS, 1.0);
        assert_eq!(decision, Decision::Again { after_ms: HOLD_MS_MAX, counts: false });
    }
}
