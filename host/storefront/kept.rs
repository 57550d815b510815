//! What was said of one customer, by what it was said, and for how long it counts. Pure but for the lock of whoever asks.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::ask::Trouble;
use super::token::{self, IdToken};
use super::whose::Unproven;
use crate::config::Tenant;
use crate::model::{Millis, Tick};

/// How long it counts that a customer could not be shown to be a profile's.
const UNPROVEN_MS: u64 = 30_000;
/// The same where Shopify does not let the app read customers: somebody has to ask Shopify for an approval.
const DENIED_MS: u64 = 300_000;
/// How long a failure counts, at least and at most.
pub const FAILED_MS: u64 = 1_000;
const FAILED_MS_MAX: u64 = 60_000;
/// Longer than anybody waits.
const WAITING_MS: u64 = 60_000;
/// A failure counts for so many times as long as it took. So of the time, shoppers wait for a system that hangs a quarter at most.
const TIMES_AS_LONG: u64 = 3;

/// Where what was said of one customer is kept.
#[derive(Default)]
pub struct Spot {
    kept: Mutex<Option<Kept>>,
    /// Held by whoever asks. The others wait, and then take what came.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

/// What was said, and until when it counts.
pub struct Kept {
    pub basis: Basis,
    pub said: Said,
    /// When it was said.
    pub at: Tick,
    pub until: Tick,
    /// Until when it counts for those who were waiting when it came.
    pub until_for_waiting: Tick,
}

/// What it was said by: if any of this is another by now, it is asked anew. So a link that was changed, merged or taken away, a
/// redaction and other credentials end what is in memory without anybody having to think of it.
#[derive(Clone)]
pub struct Basis {
    /// What is in memory keeps no tenant, with its credentials, that is not there any more. The same tenant with anything changed of
    /// it is another one.
    pub tenant: Weak<Tenant>,
    /// The profiles, and the revision of what is remembered of the person. `None`: it is about nobody.
    pub link: Option<(Vec<String>, i64)>,
}

#[derive(Clone)]
pub enum Said {
    Token(IdToken),
    Unproven(Unproven),
    Failed(Trouble),
    /// The host had no turn to give in which the systems could be asked.
    Busy,
}

impl Spot {
    /// What counts now for somebody who asks.
    pub fn good(&self, basis: &Basis, now: Tick) -> Option<(Said, u64)> {
        self.found(basis, |kept| now < kept.until, now)
    }

    /// The same for somebody who has waited since `since`: they take what was said meanwhile, if it is of use at all. Otherwise each of
    /// those who wait would ask once more for what is too short-lived to be kept.
    pub fn good_after(&self, basis: &Basis, since: Tick, now: Tick) -> Option<(Said, u64)> {
        let is_good = |kept: &Kept| now < kept.until || since <= kept.at && now < kept.until_for_waiting;
        self.found(basis, is_good, now)
    }

    fn found(&self, basis: &Basis, is_good: impl Fn(&Kept) -> bool, now: Tick) -> Option<(Said, u64)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| kept.basis == *basis && is_good(kept))?;
        Some((kept.said.clone(), kept.until.since(now)))
    }

    pub fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl Kept {
    /// `took_ms`: how long it took to be said.
    pub fn new(basis: Basis, said: Said, took_ms: u64, now: Tick, time: Millis) -> Self {
        let ms = kept_ms(&said, took_ms, time);
        let for_waiting = match &said {
            Said::Token(token) => token::left_ms(token, time),
            _ => WAITING_MS,
        };
        Self { basis, said, at: now, until: now.plus(ms), until_for_waiting: now.plus(for_waiting) }
    }
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.tenant, &other.tenant) && self.link == other.link
    }
}

/// For how many milliseconds it counts.
fn kept_ms(said: &Said, took_ms: u64, time: Millis) -> u64 {
    match said {
        Said::Token(token) => token::kept_ms(token, time),
        Said::Unproven(Unproven::Denied) => DENIED_MS,
        Said::Unproven(_) => UNPROVEN_MS,
        Said::Failed(trouble) => {
            let wanted = trouble.after_ms.unwrap_or_default().max(took_ms.saturating_mul(TIMES_AS_LONG));
            wanted.clamp(FAILED_MS, FAILED_MS_MAX)
        }
        Said::Busy => FAILED_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Peer, Quota, RulesFrom};

    const T0: Tick = Tick(1_000);
    const TIME: Millis = 1_800_000_000_000;

    fn tenant() -> Arc<Tenant> {
        Arc::new(Tenant {
            name: "acme".into(),
            shop: "acme.myshopify.com".into(),
            rules: RulesFrom::Deployed,
            shopify: Peer::with_token("https://acme.myshopify.com", "t"),
            omneo: Peer::with_token("https://o", "t"),
            limits: Quota::default(),
        })
    }

    fn token(seconds: i64) -> Said {
        Said::Token(IdToken { text: "t".into(), expires_s: TIME / 1_000 + seconds })
    }

    fn basis(tenant: &Arc<Tenant>, profile: &str, revision: i64) -> Basis {
        Basis { tenant: Arc::downgrade(tenant), link: Some((vec![profile.to_owned()], revision)) }
    }

    /// What drops a token that is in memory.
    #[test]
    fn a_token_counts_while_nothing_is_different() {
        let acme = tenant();
        let spot = Spot::default();
        spot.keep(Kept::new(basis(&acme, "p", 3), token(70), 5, T0, TIME));
        let is_good = |basis: &Basis, now: Tick| spot.good(basis, now).is_some();
        assert!(is_good(&basis(&acme, "p", 3), T0.plus(9_999)));
        assert!(!is_good(&basis(&acme, "p", 3), T0.plus(10_000)), "its time is over");
        assert!(!is_good(&basis(&acme, "q", 3), T0), "linked to another profile");
        assert!(!is_good(&basis(&acme, "p", 4), T0), "something was learned of the person");
        assert!(!is_good(&Basis { link: None, ..basis(&acme, "p", 3) }, T0));
        assert!(!is_good(&basis(&tenant(), "p", 3), T0), "the tenant was changed");
    }

    #[test]
    fn what_is_in_memory_keeps_no_tenant_that_is_gone() {
        let acme = tenant();
        let spot = Spot::default();
        spot.keep(Kept::new(basis(&acme, "p", 3), token(600), 5, T0, TIME));
        let gone = Arc::downgrade(&acme);
        drop(acme);
        assert!(gone.upgrade().is_none());
    }

    /// A token that is too short-lived to be kept is one question for all who wait for it.
    #[test]
    fn those_who_wait_take_what_comes_while_it_is_of_use() {
        let acme = tenant();
        let (spot, own) = (Spot::default(), basis(&acme, "p", 3));
        spot.keep(Kept::new(own.clone(), token(30), 5, T0, TIME));
        assert!(spot.good(&own, T0).is_none(), "it is not kept");
        let waited = |since: Tick, now: Tick| spot.good_after(&own, since, now).is_some();
        assert!(waited(Tick(0), T0) && waited(T0, T0.plus(20_000)));
        assert!(!waited(T0.plus(1), T0.plus(1)), "this one came later");
        assert!(!waited(Tick(0), T0.plus(25_000)), "it ends in five seconds");
        assert!(spot.good_after(&basis(&acme, "q", 3), Tick(0), T0).is_none(), "linked to another profile meanwhile");
    }

    #[test]
    fn a_failure_counts_for_as_long_as_is_asked_for_and_as_it_took_within_bounds() {
        let failed = |after_ms, took_ms| {
            kept_ms(&Said::Failed(Trouble { target: "omneo", why: String::new(), after_ms }), took_ms, TIME)
        };
        for (after_ms, took_ms, due) in [
            (None, 0, 1_000),
            (Some(0), 100, 1_000),
            (Some(30_000), 100, 30_000),
            (Some(u64::MAX), 0, 60_000),
            (None, 1_000, 3_000),
            (None, 5_000, 15_000),
            (Some(20_000), 5_000, 20_000),
            (None, u64::MAX, 60_000),
        ] {
            assert_eq!(failed(after_ms, took_ms), due, "{after_ms:?} {took_ms}");
        }
        let unproven = |unproven| kept_ms(&Said::Unproven(unproven), 5_000, TIME);
        assert_eq!((unproven(Unproven::OtherEmail), unproven(Unproven::Denied)), (30_000, 300_000));
    }
}
