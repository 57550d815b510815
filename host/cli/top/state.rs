//! What `tandem top` knows: tenants with their rates, what is selected, sorted and left out. Pure; asks and draws nothing.

use std::cmp::Reverse;
use std::collections::HashMap;

use ratatui::crossterm::event::KeyCode;

use crate::admin::Tenant;
use crate::events::Event;
use crate::model::Millis;

/// Rates over less than this jump about.
const RATE_MS_MIN: Millis = 1_000;
const PAGE: usize = 10;

/// Webhooks taken in and events ended, by tenant.
type Counts = HashMap<String, (u64, u64)>;

pub struct State {
    pub address: String,
    /// As the host said last.
    rows: Vec<Row>,
    /// Of which tenant, the newest last.
    pub failures: Option<(String, Vec<Event>)>,
    pub selected: Option<String>,
    pub sort: Sort,
    pub filter: String,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// Whether the keys are shown in place of the tenants.
    pub is_helping: bool,
    /// Why the host said nothing the last time.
    pub trouble: Option<String>,
    /// When it last said something.
    pub asked_at: Option<Millis>,
    counted: Option<(Millis, Counts)>,
}

/// A tenant, with webhooks taken in and events ended a second, once that is known.
pub struct Row {
    pub now: Tenant,
    pub rates: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sort {
    /// Paused, then by the age of what waits in whole minutes, then by dead letters.
    Attention,
    Waiting,
    Dead,
    Rate,
    Name,
}

pub enum Then {
    GoOn,
    End,
}

impl Sort {
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Waiting => "waiting",
            Self::Dead => "dead letters",
            Self::Rate => "rate",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Attention => Self::Waiting,
            Self::Waiting => Self::Dead,
            Self::Dead => Self::Rate,
            Self::Rate => Self::Name,
            Self::Name => Self::Attention,
        }
    }
}

impl State {
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            rows: vec![],
            failures: None,
            selected: None,
            sort: Sort::Attention,
            filter: String::new(),
            is_typing: false,
            is_helping: false,
            trouble: None,
            asked_at: None,
            counted: None,
        }
    }

    /// What the host says now.
    pub fn take(&mut self, tenants: Vec<Tenant>, failures: Option<(String, Vec<Event>)>, now: Millis) {
        let before: HashMap<_, _> = self.rows.drain(..).map(|row| (row.now.tenant, row.rates)).collect();
        let passed = self.counted.as_ref().map(|(at, _)| now - at);
        let rates = |tenant: &Tenant| {
            let (Some((_, counted)), Some(passed)) = (&self.counted, passed) else { return None };
            if passed < RATE_MS_MIN {
                return before.get(&tenant.tenant).copied().flatten();
            }
            let (accepted, ended) = counted.get(&tenant.tenant).copied().unwrap_or_default();
            // A host that was started again counts from 0.
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1e3 / passed as f64;
            Some((rate(tenant.accepted, accepted), rate(tenant.ended, ended)))
        };
        let rows: Vec<Row> = tenants.into_iter().map(|now| Row { rates: rates(&now), now }).collect();
        if passed.is_none_or(|passed| passed >= RATE_MS_MIN) {
            let count = |row: &Row| (row.now.tenant.clone(), (row.now.accepted, row.now.ended));
            self.counted = Some((now, rows.iter().map(count).collect()));
        }
        self.rows = rows;
        self.failures = failures;
        self.trouble = None;
        self.asked_at = Some(now);
        self.keep_selected();
    }

    pub fn fail(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// The tenants that the filter lets through, in order.
    pub fn shown(&self) -> Vec<&Row> {
        let mut shown: Vec<_> = self.rows.iter().filter(|row| row.now.tenant.contains(&self.filter)).collect();
        shown.sort_by_key(|row| {
            let Tenant { tenant, waiting, oldest_s, dead_letters, paused, directions, .. } = &row.now;
            let first = match self.sort {
                Sort::Attention => {
                    (u64::from(!paused.is_empty() || !directions.is_empty()), (oldest_s / 60.0) as u64, *dead_letters)
                }
                Sort::Waiting => (*waiting, *oldest_s as u64, 0),
                Sort::Dead => (*dead_letters, 0, 0),
                Sort::Rate => (row.rates.map_or(0, |(accepted, ended)| ((accepted + ended) * 100.0) as u64), 0, 0),
                Sort::Name => (0, 0, 0),
            };
            (Reverse(first), tenant)
        });
        shown
    }

    pub fn all(&self) -> &[Row] {
        &self.rows
    }

    /// Where the selected one stands among those that are shown.
    pub fn position(&self) -> Option<usize> {
        self.shown().iter().position(|row| Some(&row.now.tenant) == self.selected.as_ref())
    }

    pub fn key(&mut self, key: KeyCode) -> Then {
        // The first key after the list of keys only puts it away.
        if std::mem::take(&mut self.is_helping) && key != KeyCode::Char('q') {
            return Then::GoOn;
        }
        match key {
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Backspace if self.is_typing => drop(self.filter.pop()),
            KeyCode::Char(c) if self.is_typing => self.filter.push(c),
            KeyCode::Char('q') => return Then::End,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Up => self.step(|at, _| at.saturating_sub(1)),
            KeyCode::Down => self.step(|at, _| at + 1),
            KeyCode::PageUp => self.step(|at, _| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.step(|at, _| at + PAGE),
            KeyCode::Home => self.step(|_, _| 0),
            KeyCode::End => self.step(|_, last| last),
            _ => {}
        }
        self.keep_selected();
        Then::GoOn
    }

    fn step(&mut self, to: impl Fn(usize, usize) -> usize) {
        let shown = self.shown();
        let Some(last) = shown.len().checked_sub(1) else { return };
        let at = to(self.position().unwrap_or(0), last).min(last);
        self.selected = Some(shown[at].now.tenant.clone());
    }

    /// The selected one stays so wherever it goes; one that is not shown gives way to the first.
    fn keep_selected(&mut self) {
        if self.position().is_none() {
            self.selected = self.shown().first().map(|row| row.now.tenant.clone());
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn tenant(name: &str, waiting: u64, oldest_s: f64, dead_letters: u64, paused: &[&str]) -> Tenant {
        let paused = paused.iter().map(|target| (*target).to_owned()).collect();
        let directions = vec![];
        Tenant {
            tenant: name.into(),
            waiting,
            oldest_s,
            dead_letters,
            paused,
            held: vec![],
            directions,
            unbuilt: None,
            accepted: 0,
            ended: 0,
        }
    }

    fn names(state: &State) -> Vec<&str> {
        state.shown().into_iter().map(|row| row.now.tenant.as_str()).collect()
    }

    fn three() -> Vec<Tenant> {
        vec![tenant("calm", 0, 0.0, 9, &[]), tenant("late", 3, 700.0, 0, &[]), tenant("shut", 1, 5.0, 0, &["omneo"])]
    }

    #[test]
    fn what_needs_attention_comes_first_and_s_sorts_otherwise() {
        let mut state = State::new("");
        state.take(three(), None, 0);
        assert_eq!(names(&state), ["shut", "late", "calm"]);
        let mut seen = vec![];
        for _ in 0..4 {
            state.key(KeyCode::Char('s'));
            seen.push((state.sort.name(), names(&state)[0].to_owned()));
        }
        let expected = [("waiting", "late"), ("dead letters", "calm"), ("rate", "calm"), ("name", "calm")];
        assert_eq!(seen, expected.map(|(sort, first)| (sort, first.to_owned())));
        // Whatever the order, what was selected stays so.
        assert_eq!(state.selected.as_deref(), Some("shut"));
    }

    #[test]
    fn rates_are_differences_and_a_restart_is_not_less_than_nothing() {
        let mut state = State::new("");
        let at = |accepted, ended| vec![Tenant { accepted, ended, ..tenant("a", 0, 0.0, 0, &[]) }];
        let rates = |state: &State| state.all()[0].rates;
        state.take(at(100, 90), None, 10_000);
        assert_eq!(rates(&state), None);
        state.take(at(120, 100), None, 12_000);
        assert_eq!(rates(&state), Some((10.0, 5.0)));
        // Too soon to say anything new.
        state.take(at(121, 100), None, 12_100);
        assert_eq!(rates(&state), Some((10.0, 5.0)));
        state.take(at(3, 2), None, 14_000);
        assert_eq!(rates(&state), Some((0.0, 0.0)));
        state.take(at(5, 2), None, 15_000);
        assert_eq!(rates(&state), Some((2.0, 0.0)));
    }

    #[test]
    fn arrows_select_and_a_filter_leaves_out() {
        let mut state = State::new("");
        state.key(KeyCode::Down);
        state.take(three(), None, 0);
        for (key, selected) in
            [(KeyCode::Down, "late"), (KeyCode::End, "calm"), (KeyCode::Down, "calm"), (KeyCode::Up, "late")]
        {
            state.key(key);
            assert_eq!(state.selected.as_deref(), Some(selected), "{key:?}");
        }
        for key in ['/', 's', 'h', 'q'] {
            assert!(matches!(state.key(KeyCode::Char(key)), Then::GoOn));
        }
        assert_eq!((state.filter.as_str(), names(&state).len(), &state.selected), ("shq", 0, &None));
        state.key(KeyCode::Backspace);
        assert_eq!((names(&state), state.selected.as_deref()), (vec!["shut"], Some("shut")));
        state.key(KeyCode::Enter);
        assert!(matches!(state.key(KeyCode::Char('q')), Then::End));
        state.key(KeyCode::Esc);
        assert_eq!(names(&state).len(), 3);
        state.take(vec![tenant("calm", 0, 0.0, 0, &[])], None, 0);
        assert_eq!(state.selected.as_deref(), Some("calm"));
    }
}
