//! Which recorded reply answers which call of a candidate: the reply to the same call, or else to the one that differs
//! least from it. Knows the calls of one run; not what they are for.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::difference::{Change, changes, content, route};
use crate::model::{Call, Reply};

/// The recorded calls of a run, each of which answers one call at most.
pub struct Replies<'a> {
    known: Vec<Known<'a>>,
    /// The last pass that a call was answered from. Later replies are preferred to earlier ones.
    from: usize,
}

struct Known<'a> {
    pass: usize,
    call: &'a Call,
    reply: Option<&'a Reply>,
    place: String,
    content: OnceCell<Value>,
    /// The pass of the candidate's call that it answers.
    taken: Option<usize>,
}

impl<'a> Replies<'a> {
    pub fn new(passes: &'a [Vec<(Call, Option<Reply>)>]) -> Self {
        let calls = passes.iter().enumerate().flat_map(|(pass, calls)| calls.iter().map(move |call| (pass, call)));
        let known = calls.map(|(pass, (call, reply))| Known {
            pass,
            call,
            reply: reply.as_ref(),
            place: call.place(),
            content: OnceCell::new(),
            taken: None,
        });
        Self { known: known.collect(), from: 0 }
    }

    pub fn taken(&self) -> usize {
        self.known.iter().filter(|known| known.taken.is_some()).count()
    }

    pub fn all(&self) -> usize {
        self.known.len()
    }

    /// The replies to the calls of a pass, in their order. Adds to `found` how the calls differ from the recorded ones
    /// that they stand for. `None` if a call has no reply; then that call is added, too.
    pub fn answer(&mut self, pass: usize, calls: &[Call], found: &mut Vec<Change>) -> Option<Vec<Reply>> {
        let mut answers: Vec<Option<usize>> = vec![None; calls.len()];
        for (call, answer) in calls.iter().zip(&mut answers) {
            let order = |n: &usize| self.order(*n);
            *answer = self.free().filter(|n| self.known[*n].call == call).min_by_key(order);
            if let Some(n) = *answer {
                self.known[n].taken = Some(pass);
            }
        }
        self.take_similar(pass, calls, &mut answers, found);
        let taken = answers.iter().flatten().map(|n| self.known[*n].pass);
        self.from = taken.max().unwrap_or(0).max(self.from);
        for (call, _) in calls.iter().zip(&answers).filter(|(_, answer)| answer.is_none()) {
            found.push(Change { call: Some(route(call)), at: String::new(), then: None, now: Some(content(call)) });
        }
        answers.into_iter().map(|answer| self.known[answer?].reply.cloned()).collect()
    }

    /// Adds the recorded calls that were asked for in another pass, and those that were not asked for at all.
    pub fn finish(&self, found: &mut Vec<Change>) {
        let used: BTreeSet<usize> =
            self.known.iter().filter(|known| known.taken.is_some()).map(|known| known.pass).collect();
        for known in &self.known {
            let (call, at) = (Some(route(known.call)), String::new());
            match known.taken {
                None => found.push(Change { call, at, then: Some(known.content().clone()), now: None }),
                Some(now) => {
                    // A pass that is missing does not move those after it.
                    let then = used.range(..known.pass).count();
                    if then != now {
                        let (then, now) = (Some(json!(then + 1)), Some(json!(now + 1)));
                        found.push(Change { call, at: "/pass".into(), then, now });
                    }
                }
            }
        }
    }

    fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.known.len()).filter(|n| self.known[*n].taken.is_none())
    }

    fn order(&self, n: usize) -> (bool, usize) {
        let pass = self.known[n].pass;
        (pass < self.from, pass)
    }

    /// Pairs the calls that go to the same place so that they differ least, in whatever order they stand.
    fn take_similar(&mut self, pass: usize, calls: &[Call], answers: &mut [Option<usize>], found: &mut Vec<Change>) {
        loop {
            let mut pairs = vec![];
            for (c, call) in calls.iter().enumerate().filter(|(c, _)| answers[*c].is_none()) {
                let place = call.place();
                let same: Vec<usize> = self.free().filter(|n| self.known[*n].place == place).collect();
                let Some(best) = same.iter().map(|n| self.order(*n)).min() else { continue };
                let now = content(call);
                for n in same.into_iter().filter(|n| self.order(*n) == best) {
                    let known = &self.known[n];
                    let changes = changes(Some(&route(call)), known.content(), &now);
                    pairs.push((changes, known.call.body(), call.body(), n, c));
                }
            }
            if pairs.is_empty() {
                return;
            }
            pairs.sort_by(|one, other| {
                (one.0.len(), one.1, one.2, one.3, one.4).cmp(&(other.0.len(), other.1, other.2, other.3, other.4))
            });
            let pairs: Vec<_> = pairs.into_iter().map(|(changes, _, _, n, c)| (changes, n, c)).collect();
            for (changes, n, c) in pairs {
                if answers[c].is_none() && self.known[n].taken.is_none() {
                    answers[c] = Some(n);
                    self.known[n].taken = Some(pass);
                    found.extend(changes);
                }
            }
        }
    }
}

impl Known<'_> {
    fn content(&self) -> &Value {
        self.content.get_or_init(|| content(self.call))
    }
}
