//! Which tenant's rules are asked next: whoever has the fewest turns now, and of these whoever has used the least.
//!
//! A decision about values: knows tenants, turns and what they cost; not what is done in a turn. So a tenant never has more
//! than its share while another waits, and one whose turns are long goes behind all others, however many do the same.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// Stands for one who waits. Earlier ones have lower numbers.
pub type Ticket = u64;

/// How far a tenant can fall behind for what it has used, in microseconds: what one ask can take, a few times over.
const DEBT_MAX: u64 = 10_000_000;
/// What a tenant that was not here may use before it is level with the others: so a light one is next among many that are
/// not.
const CREDIT: u64 = 1_000_000;
/// Tenants that are kept in mind before those that nothing is known of any more are dropped.
const TENANTS_KEPT: usize = 256;

/// Turns, who has them and who waits.
#[derive(Debug)]
pub struct Shares {
    turns_max: usize,
    turns: usize,
    tickets: Ticket,
    /// What the last one had used whose turn came.
    level: u64,
    tenants: HashMap<String, Tenant>,
    /// Tenants that wait and may have a turn, the next one first: turns it has, what it has used, its first ticket.
    next: BTreeSet<(usize, u64, Ticket, String)>,
    kept_max: usize,
}

#[derive(Debug, Default)]
struct Tenant {
    turns: usize,
    used: u64,
    waiting: VecDeque<Ticket>,
}

impl Shares {
    pub fn new(turns_max: usize) -> Self {
        let (tenants, next) = (HashMap::new(), BTreeSet::new());
        Self { turns_max, turns: 0, tickets: 0, level: 0, tenants, next, kept_max: TENANTS_KEPT }
    }

    /// Turns that one tenant may have, even if nobody else wants any: whoever comes next finds one free.
    pub fn of_one_max(&self) -> usize {
        (self.turns_max / 2).max(1)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.tenants.values().map(|tenant| tenant.waiting.len()).sum()
    }

    /// Somebody wants a turn for this tenant.
    pub fn wait(&mut self, name: &str) -> Ticket {
        self.forget();
        self.tickets += 1;
        let (ticket, least) = (self.tickets, self.level.saturating_sub(CREDIT));
        self.change(name, |tenant| {
            if tenant.turns == 0 && tenant.waiting.is_empty() {
                tenant.used = tenant.used.max(least);
            }
            tenant.waiting.push_back(ticket);
        });
        ticket
    }

    /// Somebody does not want it any more.
    pub fn leave(&mut self, name: &str, ticket: Ticket) {
        self.change(name, |tenant| tenant.waiting.retain(|waits| *waits != ticket));
    }

    /// Whose turn it is, if there is one for anybody.
    pub fn hand_out(&mut self) -> Option<(String, Ticket)> {
        if self.turns >= self.turns_max {
            return None;
        }
        let (_, used, ticket, name) = self.next.first()?.clone();
        self.level = self.level.max(used);
        self.turns += 1;
        self.change(&name, |tenant| {
            tenant.waiting.pop_front();
            tenant.turns += 1;
        });
        Some((name, ticket))
    }

    /// A turn is over that took so many microseconds.
    pub fn done(&mut self, name: &str, took: u64) {
        self.turns = self.turns.saturating_sub(1);
        let used_max = self.level.saturating_add(DEBT_MAX);
        self.change(name, |tenant| {
            tenant.turns = tenant.turns.saturating_sub(1);
            tenant.used = tenant.used.saturating_add(took).min(used_max);
        });
    }

    /// Changes a tenant, and where it stands.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Tenant)) {
        let of_one_max = self.of_one_max();
        let tenant = self.tenants.entry(name.to_owned()).or_default();
        let place = |tenant: &Tenant| {
            let first = tenant.waiting.front().filter(|_| tenant.turns < of_one_max)?;
            Some((tenant.turns, tenant.used, *first, name.to_owned()))
        };
        if let Some(place) = place(tenant) {
            self.next.remove(&place);
        }
        change(tenant);
        self.next.extend(place(tenant));
    }

    fn forget(&mut self) {
        if self.tenants.len() < self.kept_max {
            return;
        }
        let least = self.level.saturating_sub(CREDIT);
        self.tenants.retain(|_, tenant| tenant.turns > 0 || !tenant.waiting.is_empty() || tenant.used > least);
        self.kept_max = TENANTS_KEPT.max(2 * self.tenants.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has a turn and until when, on a clock of its own; tenants that always want more, with what a turn of theirs takes.
    struct Town {
        shares: Shares,
        now: u64,
        busy: Vec<(u64, String)>,
        greedy: Vec<(String, u64)>,
    }

    impl Town {
        fn new(turns: usize, greedy: &[(&str, u64)]) -> Self {
            let greedy: Vec<_> = greedy.iter().map(|(name, took)| ((*name).to_owned(), *took)).collect();
            let mut town = Self { shares: Shares::new(turns), now: 0, busy: vec![], greedy };
            for (name, _) in town.greedy.clone() {
                (0..100).for_each(|_| _ = town.shares.wait(&name));
            }
            town
        }

        /// Hands out turns, and gives who has begun.
        fn begin(&mut self) -> Vec<String> {
            let mut begun = vec![];
            while let Some((name, _)) = self.shares.hand_out() {
                self.busy.push((self.now + self.takes(&name), name.clone()));
                begun.push(name);
            }
            begun
        }

        /// Goes on to when the next turn is over.
        fn end(&mut self) {
            self.busy.sort();
            let (over, name) = self.busy.remove(0);
            self.now = over;
            self.shares.done(&name, self.takes(&name));
            if self.greedy.iter().any(|(greedy, _)| *greedy == name) {
                self.shares.wait(&name);
            }
        }

        fn takes(&self, name: &str) -> u64 {
            self.greedy.iter().find(|(greedy, _)| *greedy == name).map_or(50, |(_, took)| *took)
        }

        fn go_on(&mut self) -> Vec<String> {
            let begun = self.begin();
            self.end();
            begun
        }

        /// How long this tenant waits for a turn that it wants now, with all turns taken that others may have.
        fn waits(&mut self, name: &str) -> u64 {
            self.begin();
            let from = self.now;
            self.shares.wait(name);
            while !self.begin().iter().any(|begun| begun == name) {
                self.end();
            }
            self.now - from
        }
    }

    #[test]
    fn one_tenant_never_has_all_turns() {
        let mut town = Town::new(4, &[("evil", 500_000)]);
        assert_eq!(town.begin(), ["evil", "evil"]);
        assert_eq!(town.waits("good"), 0, "a turn was free");
        let mut one = Shares::new(1);
        one.wait("only");
        assert_eq!(one.hand_out().map(|(name, _)| name).as_deref(), Some("only"));
    }

    /// However many they are: whoever wants little waits for the end of one turn, not for one of each of them.
    #[test]
    fn among_greedy_tenants_a_light_one_is_next() {
        for count in [2, 4, 10, 100] {
            let names: Vec<String> = (0..count).map(|n| format!("evil-{n}")).collect();
            let greedy: Vec<_> = names.iter().map(|name| (name.as_str(), 500_000)).collect();
            let mut town = Town::new(4, &greedy);
            // Of those that nobody knows yet, each has a turn.
            let waited = town.waits("good");
            assert!(waited <= 500_000 * (count / 4 + 1), "{count}: {waited} at first");
            (0..3 * count).for_each(|_| drop(town.go_on()));
            for _ in 0..20 {
                let waited = town.waits("good");
                assert!(waited <= 500_000, "{count}: {waited}");
            }
        }
    }

    #[test]
    fn nobody_has_more_than_a_share_while_another_waits() {
        let mut shares = Shares::new(8);
        for name in ["a", "b", "c", "d"] {
            (0..10).for_each(|_| _ = shares.wait(name));
        }
        let mut begun: Vec<_> = std::iter::from_fn(|| shares.hand_out()).map(|(name, _)| name).collect();
        begun.sort();
        assert_eq!(begun, ["a", "a", "b", "b", "c", "c", "d", "d"]);
    }

    #[test]
    fn whoever_was_away_has_saved_up_no_more_than_its_credit() {
        let took = CREDIT / 10;
        let mut town = Town::new(2, &[("a", took), ("b", took)]);
        (0..1_000).for_each(|_| drop(town.go_on()));
        town.greedy.push(("c".into(), took));
        (0..100).for_each(|_| _ = town.shares.wait("c"));
        let begun: Vec<_> = (0..300).flat_map(|_| town.go_on()).collect();
        let of = |name: &str| begun.iter().filter(|begun| *begun == name).count();
        assert!(
            (105..=115).contains(&of("c")) && of("a").abs_diff(of("b")) <= 2,
            "{} {} {}",
            of("a"),
            of("b"),
            of("c")
        );
    }

    #[test]
    fn whoever_leaves_has_no_turn() {
        let mut shares = Shares::new(1);
        let (one, two) = (shares.wait("a"), shares.wait("a"));
        shares.leave("a", one);
        assert_eq!(shares.hand_out(), Some(("a".into(), two)));
        assert_eq!(shares.hand_out(), None);
        shares.done("a", 10);
        assert_eq!(shares.hand_out(), None);
    }

    #[test]
    fn tenants_of_long_ago_are_forgotten() {
        let mut shares = Shares::new(4);
        for n in 0..10_000 {
            shares.wait(&format!("t{n}"));
            let (name, _) = shares.hand_out().unwrap();
            shares.done(&name, 0);
        }
        assert!(shares.tenants.len() <= 2 * TENANTS_KEPT, "{}", shares.tenants.len());
    }
}
