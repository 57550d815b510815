//! Decides whose write is next. Tenants take turns, so a tenant with many writes does not make another one wait for all
//! of them.
//!
//! Pure: knows who waits; not what is written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Who wants something written, and what for. The host itself has the empty name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    pub tenant: Arc<str>,
    pub what: What,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum What {
    /// A webhook is taken in. Its sender is waiting, so it goes before all other writes.
    Intake,
    #[default]
    Other,
}

impl What {
    /// How many writes one tenant may have in a commit that it shares with others. A tenant that is alone has no such
    /// limit: the more one commit takes, the less each write costs.
    fn beside_others_max(self) -> usize {
        match self {
            What::Intake => 64,
            What::Other => 16,
        }
    }
}

/// Webhooks that one commit takes while other writes wait, so that what came in is also worked off.
const INTAKE_MAX: usize = 256;

/// The writes that wait, in order for each tenant.
#[derive(Debug)]
pub struct Queues<T> {
    waiting: HashMap<Who, VecDeque<T>>,
    /// Everybody with a waiting write, the next one first.
    next: VecDeque<Who>,
    /// How many writes each has had in this commit.
    had: HashMap<Who, usize>,
    /// Webhooks in this commit.
    taken_in: usize,
    len: usize,
}

impl<T> Queues<T> {
    pub fn new() -> Self {
        Self { waiting: HashMap::new(), next: VecDeque::new(), had: HashMap::new(), taken_in: 0, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, who: Who, what: T) {
        let waiting = self.waiting.entry(who.clone()).or_default();
        if waiting.is_empty() {
            self.next.push_back(who);
        }
        waiting.push_back(what);
        self.len += 1;
    }

    /// Begins the next commit.
    pub fn begin(&mut self) {
        self.had.clear();
        self.taken_in = 0;
    }

    /// The next write of this commit; `None` if nothing waits, or if nobody who waits may have more in this commit.
    pub fn pop(&mut self) -> Option<T> {
        let may = |who: &Who| self.may_have_more(who);
        let is_open = self.taken_in < INTAKE_MAX || self.next.iter().all(|who| who.what == What::Intake);
        let first = self.next.iter().position(|who| who.what == What::Intake && is_open && may(who));
        let at = first.or_else(|| self.next.iter().position(|who| who.what == What::Other && may(who)))?;
        let who = self.next.remove(at)?;
        self.taken_in += usize::from(who.what == What::Intake);
        let waiting = self.waiting.get_mut(&who)?;
        let what = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&who);
        } else {
            self.next.push_back(who.clone());
        }
        *self.had.entry(who).or_default() += 1;
        self.len -= 1;
        what
    }

    fn may_have_more(&self, who: &Who) -> bool {
        let is_other = |other: &Who| other.tenant != who.tenant;
        let had = self.had.get(who).copied().unwrap_or(0);
        had < who.what.beside_others_max() || !self.next.iter().chain(self.had.keys()).any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str) -> Who {
        Who { tenant: tenant.into(), what: What::Other }
    }

    fn queues(waiting: &[(&str, usize)]) -> Queues<(String, usize)> {
        let mut queues = Queues::new();
        for (who, count) in waiting {
            (0..*count).for_each(|n| queues.push(of(who), ((*who).to_owned(), n)));
        }
        queues
    }

    fn commit(queues: &mut Queues<(String, usize)>) -> Vec<(String, usize)> {
        queues.begin();
        std::iter::from_fn(|| queues.pop()).collect()
    }

    #[test]
    fn one_that_is_alone_has_all_of_a_commit() {
        let mut queues = queues(&[("flood", 1_000)]);
        assert_eq!(commit(&mut queues).len(), 1_000);
        assert!(queues.is_empty() && queues.waiting.is_empty() && queues.next.is_empty());
    }

    #[test]
    fn beside_another_it_has_a_part_and_the_other_does_not_wait_for_it() {
        let mut queues = queues(&[("flood", 1_000), ("light", 2)]);
        let first = commit(&mut queues);
        assert_eq!(first.len(), What::Other.beside_others_max() + 2);
        let light: Vec<_> = (0..first.len()).filter(|at| first[*at].0 == "light").collect();
        assert_eq!(light, [1, 3]);
        assert_eq!(queues.len(), 1_000 - What::Other.beside_others_max());
    }

    #[test]
    fn a_commit_ends_for_one_who_comes_late() {
        let mut queues = queues(&[("flood", 1_000)]);
        queues.begin();
        for _ in 0..500 {
            assert!(queues.pop().is_some());
        }
        queues.push(of("light"), ("light".to_owned(), 0));
        assert_eq!(queues.pop().map(|(who, _)| who).as_deref(), Some("light"));
        assert_eq!(queues.pop(), None);
        assert_eq!(commit(&mut queues).len(), 500);
    }

    #[test]
    fn what_comes_in_goes_first() {
        let mut queues = queues(&[("flood", 3)]);
        queues.push(Who { tenant: "light".into(), what: What::Intake }, ("in".to_owned(), 0));
        queues.push(Who { tenant: "flood".into(), what: What::Intake }, ("in".to_owned(), 1));
        let all: Vec<_> = commit(&mut queues).into_iter().map(|(who, _)| who).collect();
        assert_eq!(all, ["in", "in", "flood", "flood", "flood"]);
    }

    #[test]
    fn a_flood_of_webhooks_leaves_room_for_what_is_made_of_them() {
        let mut queues = queues(&[("flood", 100)]);
        for n in 0..1_000 {
            queues.push(Who { tenant: "flood".into(), what: What::Intake }, ("in".to_owned(), n));
        }
        queues.begin();
        let first: Vec<_> = (0..512).filter_map(|_| queues.pop()).collect();
        assert_eq!(first.iter().filter(|(who, _)| who == "flood").count(), 100);
        // Once nothing else waits, webhooks take the rest of the commit.
        assert_eq!(first.len(), 512);
    }

    #[test]
    fn each_has_its_own_order_whoever_waits_beside_it() {
        let seed = std::env::var("TANDEM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let (mut random, mut queues) = (fastrand::Rng::with_seed(seed), Queues::new());
        let (mut given, mut taken) = ([0; 4], [0; 4]);
        for _ in 0..10_000 {
            let who = random.usize(..4);
            match random.u8(..10) {
                0..=5 => {
                    queues.push(of(["", "a", "b", "c"][who]), (who, given[who]));
                    given[who] += 1;
                }
                6 => queues.begin(),
                _ => {
                    if let Some((who, n)) = queues.pop() {
                        assert_eq!(n, taken[who], "seed {seed}");
                        taken[who] += 1;
                    }
                }
            }
        }
        while !queues.is_empty() {
            queues.begin();
            while let Some((who, n)) = queues.pop() {
                assert_eq!(n, taken[who], "seed {seed}");
                taken[who] += 1;
            }
        }
        assert_eq!(given, taken, "seed {seed}");
    }
}
