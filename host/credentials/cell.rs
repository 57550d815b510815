//! The state of one tenant and its app: the grant, what the shop and Shopify have said about it, and what follows from
//! that.
//!
//! Knows times and answers. Makes no requests and stores nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Token;
use super::grant::{Grant, Refused};
use super::held::Held;
use crate::config::App;
use crate::model::Millis;

/// How long to wait before Shopify is asked again after a failure. Doubled with each failure, up to the maximum.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// A wait that Shopify asks for is respected up to this limit.
const ASKED_TO_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How long a refusal that somebody has to resolve is repeated without asking Shopify.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// How long to wait before a grant is tried again that the shop has refused twice.
const REFUSED_TWICE_FOR: Duration = Duration::from_secs(300);
/// How many times in a row access may be unclear before a person has to look.
const UNCLEAR_MAX: u32 = 5;

/// The state of one tenant and app.
pub struct Cell {
    pub shop: String,
    /// Part of the address that receives the tenant's webhooks.
    pub webhook_key: String,
    /// Held by the task that asks Shopify.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    /// The revision of the row in the journal.
    pub revision: i64,
    pub held: Option<Arc<Held>>,
    /// Why the stored grant cannot be opened; `None` if it can.
    pub closed: Option<Refused>,
    /// Whether the grant was dropped because the shop refused it.
    pub is_dropped: bool,
    /// A grant that could not be stored yet. It is stored before Shopify is asked again.
    pub unkept: Option<Arc<Held>>,
    /// Whether the stored grant is sealed with the newest key.
    pub is_newest: bool,
    /// The revision that the shop does not accept, and the revision that has replaced it, until the shop accepts the
    /// latter.
    not_accepted: Option<i64>,
    on_trial: Option<i64>,
    /// Why Shopify granted nothing the last time.
    refused: Option<Refusal>,
    failures: u32,
    /// When the shop has refused a grant for the second time.
    refused_twice_at: Option<Instant>,
    unclear: u32,
}

struct Refusal {
    until: Instant,
    why: Refused,
    /// The app that was refused. With another secret, the question is a different one.
    app: Arc<App>,
}

impl Cell {
    pub fn new(shop: String, webhook_key: String, state: State) -> Self {
        Self { shop, webhook_key, turn: Arc::default(), state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A state without a grant.
    pub fn of(revision: i64) -> Self {
        Self { revision, is_newest: true, ..Self::default() }
    }

    /// The token, if its grant passes `fits` and the shop has not refused it.
    pub fn token(&self, fits: impl Fn(&Grant) -> bool) -> Option<Token> {
        let is_usable = |held: &&Arc<Held>| fits(&held.grant) && held.is_numbered;
        let held = self.held.as_ref().filter(|held| is_usable(held) && self.not_accepted != Some(self.revision))?;
        Some(Token { text: held.grant.access_token.clone(), revision: Some(self.revision) })
    }

    /// Whether it must first be found out which shop has made the grant.
    pub fn is_to_be_numbered(&self, now: Millis) -> bool {
        let is_accepted = self.not_accepted != Some(self.revision);
        is_accepted && self.held.as_ref().is_some_and(|held| !held.is_numbered && held.grant.is_alive(now))
    }

    /// Records that the shop has answered 401 to a token of this revision. Returns whether another token is worth
    /// trying.
    pub fn refused_by_shop(&mut self, revision: i64) -> bool {
        if revision != self.revision {
            return true;
        }
        if self.on_trial == Some(revision) {
            self.refused_twice_at = Some(Instant::now());
            return false;
        }
        self.not_accepted = Some(revision);
        true
    }

    /// Whether the shop has refused this grant while it should have been valid.
    pub fn is_refused_by_shop(&self) -> bool {
        self.is_dropped || self.not_accepted == Some(self.revision)
    }

    /// Records that the shop has accepted a token of this revision.
    pub fn accepted_by_shop(&mut self, revision: i64) {
        if self.on_trial == Some(revision) {
            self.on_trial = None;
        }
    }

    /// Records that a grant is on disk, with this revision.
    pub fn keep(&mut self, revision: i64, held: Arc<Held>) {
        let is_same = self.held.as_ref().is_some_and(|own| own.grant.access_token == held.grant.access_token);
        let stays_on_trial = is_same && self.on_trial == Some(self.revision);
        let replaces_refused =
            stays_on_trial || self.not_accepted == Some(self.revision) || self.refused_twice_at.is_some();
        self.on_trial = replaces_refused.then_some(revision);
        (self.revision, self.held) = (revision, Some(held));
        (self.closed, self.unkept, self.not_accepted, self.refused_twice_at) = (None, None, None, None);
        (self.is_newest, self.is_dropped, self.refused, self.failures) = (true, false, None, 0);
    }

    /// Records that there is no grant any more, with this revision.
    pub fn drop_grant(&mut self, revision: i64) {
        *self = Self { is_dropped: true, ..Self::of(revision) };
    }

    /// The refusal to repeat, if Shopify should not be asked now.
    pub fn refusal(&self, app: &Arc<App>, now: Instant) -> Option<Refused> {
        self.refused.as_ref().filter(|refusal| now < refusal.until && refusal.app == *app).map(|it| it.why.clone())
    }

    /// Why there is no newer grant, for people.
    pub fn why(&self) -> Option<&Refused> {
        self.refused.as_ref().map(|refusal| &refusal.why).or(self.closed.as_ref())
    }

    /// Records that Shopify granted nothing. Returns whether this is news.
    pub fn refuse(&mut self, why: Refused, app: &Arc<App>, now: Instant) -> bool {
        let wait = match &why {
            Refused::Later { after_ms, .. } => {
                let asked = Duration::from_millis(after_ms.unwrap_or_default()).min(ASKED_TO_WAIT_MAX);
                let own = AGAIN.saturating_mul(1 << self.failures.min(10)).min(AGAIN_MAX);
                self.failures = self.failures.saturating_add(1);
                own.max(asked)
            }
            // Ended by an operator, so there is nothing to wait for.
            Refused::OtherShop { .. } => Duration::ZERO,
            _ => REFUSED_FOR,
        };
        let is_news = self.refused.as_ref().is_none_or(|before| before.why != why);
        self.refused = Some(Refusal { until: now + wait, why, app: app.clone() });
        is_news
    }

    /// Whether to ask Shopify although no call waits: a refresh token is about to expire, the cause of a refusal may be
    /// gone, or the shop may now accept a grant that it has refused twice.
    pub fn is_worth_asking(&self, now: Instant, time: Millis) -> bool {
        if let Some(refusal) = &self.refused {
            return refusal.why.may_mend_itself() && now >= refusal.until;
        }
        let is_aging = self.held.as_ref().is_some_and(|held| held.grant.is_aging(time));
        let is_tried_again = self.refused_twice_at.is_some_and(|at| now.duration_since(at) >= REFUSED_TWICE_FOR);
        is_aging || is_tried_again || self.unkept.is_some() || self.is_to_be_numbered(time)
    }

    /// Whether the merchant need not do anything: there is a grant, and neither Shopify nor the shop has refused it.
    pub fn is_good(&self) -> bool {
        let is_refused = self.refused.as_ref().is_some_and(|refusal| !refusal.why.is_passing());
        let is_accepted = self.not_accepted != Some(self.revision) && self.refused_twice_at.is_none();
        self.held.is_some() && !is_refused && is_accepted
    }

    /// Records that access is unclear once more. `false` if that has happened too often.
    pub fn is_unclear(&mut self) -> bool {
        self.unclear += 1;
        if self.unclear < UNCLEAR_MAX {
            return true;
        }
        self.unclear = 0;
        false
    }

    pub fn is_clear(&mut self) {
        self.unclear = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AppKind;

    fn held(token: &str) -> Arc<Held> {
        let grant = Grant { access_token: token.into(), ends_at: 1_000, refresh: None, scopes: vec![], since: 0 };
        Arc::new(Held { how: "client credentials".into(), grant, is_numbered: true })
    }

    fn app(secret: &str) -> Arc<App> {
        let [name, client_id, client_secret] = ["main", "id", secret].map(str::to_owned);
        Arc::new(App {
            name,
            client_id,
            client_secret,
            previous_secret: None,
            kind: AppKind::Own,
            endpoint: None,
            proxy: String::new(),
            trust_classic_accounts: [].into(),
        })
    }

    fn text(state: &State) -> Option<String> {
        state.token(|_| true).map(|token| token.text)
    }

    #[test]
    fn a_token_that_is_refused_is_replaced_once() {
        let mut state = State::default();
        state.keep(1, held("a"));
        assert!(state.refused_by_shop(1) && state.refused_by_shop(1));
        assert_eq!(text(&state), None);
        state.keep(2, held("b"));
        // A caller that still has the first token takes the second.
        assert!(state.refused_by_shop(1));
        assert_eq!(text(&state).as_deref(), Some("b"));
        // The second token is refused too, so nobody tries any further.
        assert!(!state.refused_by_shop(2) && !state.refused_by_shop(2));
        let now = Instant::now();
        assert!(!state.is_worth_asking(now, 0) && state.is_worth_asking(now + REFUSED_TWICE_FOR, 0));
        // The next token is on trial too, until the shop accepts it.
        state.keep(3, held("c"));
        assert!(!state.refused_by_shop(3));
        state.keep(4, held("d"));
        state.accepted_by_shop(4);
        assert!(state.refused_by_shop(4));
    }

    #[test]
    fn what_nobody_knows_the_shop_of_is_no_token() {
        let mut state = State::default();
        state.keep(1, held("a"));
        assert!(state.refused_by_shop(1));
        state.keep(2, Arc::new(Held { is_numbered: false, ..(*held("b")).clone() }));
        assert_eq!(text(&state), None);
        let now = Instant::now();
        assert!(state.is_to_be_numbered(999) && !state.is_to_be_numbered(1_000) && state.is_worth_asking(now, 0));
        // The token is still the same, and still on trial.
        state.keep(3, held("b"));
        assert_eq!(text(&state).as_deref(), Some("b"));
        assert!(!state.is_to_be_numbered(0) && !state.refused_by_shop(3));
    }

    #[test]
    fn a_refusal_is_told_again_for_a_while_and_of_the_same_app() {
        let (mut state, now) = (State::default(), Instant::now());
        let later = |after_ms| Refused::Later { why: "answers 503".into(), after_ms };
        let mut waits = vec![];
        for _ in 0..9 {
            let is_news = state.refuse(later(None), &app("s"), now);
            assert_eq!(is_news, waits.is_empty());
            let waited = (0..100).find(|s| state.refusal(&app("s"), now + Duration::from_secs(*s)).is_none());
            waits.push(waited.unwrap());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(state.refusal(&app("other"), now).is_none());
        // Shopify's wait is respected, up to an hour.
        state.refuse(later(Some(u64::MAX)), &app("s"), now);
        let hour = Duration::from_secs(3_600);
        assert!(
            state.refusal(&app("s"), now + hour - AGAIN).is_some() && state.refusal(&app("s"), now + hour).is_none()
        );
        let ended = Refused::Ended { app: "main".into() };
        assert!(state.refuse(ended.clone(), &app("s"), now));
        assert_eq!(state.refusal(&app("s"), now + REFUSED_FOR - AGAIN), Some(ended));
        // Only the merchant can resolve this.
        assert!(state.refusal(&app("s"), now + REFUSED_FOR).is_none() && !state.is_worth_asking(now + hour, 0));
        state.refuse(Refused::Client { app: "main".into() }, &app("s"), now);
        assert!(state.is_worth_asking(now + REFUSED_FOR, 0));
    }
}
