//! What the pages do once, and not again for a while. Knows times; nothing of why.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::model::Millis;
use crate::verify::session::CLOCKS_APART_S_MAX;

/// Session tokens of a shop that are remembered.
const SEEN_MAX: usize = 1_000;
/// How long an app that was asked for more scopes is not asked again: one whose configuration lacks them gets no others.
const ASKED_ANEW_MS: Millis = 600_000;

/// Session tokens by their shop and hash, and when each ends: an address that somebody else has read opens nothing.
#[derive(Default)]
pub struct Seen(Mutex<HashMap<String, HashMap<String, i64>>>);

impl Seen {
    /// Whether a token opens a page for the first time. Of a shop that has opened too many pages within a minute, none does.
    pub fn is_new(&self, shop: &str, token: &str, ends_s: i64, now_s: i64) -> bool {
        let mut shops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shops.retain(|_, seen| {
            seen.retain(|_, ends_s| *ends_s >= now_s);
            !seen.is_empty()
        });
        let seen = shops.entry(shop.to_owned()).or_default();
        if seen.len() >= SEEN_MAX {
            tracing::warn!("{shop} has opened {SEEN_MAX} pages within a minute: it opens no more for a moment");
            return false;
        }
        seen.insert(hash(token), ends_s.saturating_add(CLOCKS_APART_S_MAX)).is_none()
    }
}

/// When a tenant's app was last asked for more scopes.
#[derive(Default)]
pub struct Anew(Mutex<HashMap<String, Millis>>);

impl Anew {
    /// Whether it is time to ask, which is noted.
    pub fn is_time(&self, tenant: &str, now: Millis) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| now.saturating_sub(*at) < ASKED_ANEW_MS);
        if asked.contains_key(tenant) {
            return false;
        }
        asked.insert(tenant.to_owned(), now);
        true
    }
}

pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_token_opens_once_and_there_are_so_many() {
        let seen = Seen::default();
        let is_new = |token: &str, now_s| seen.is_new("acme", token, 60, now_s);
        assert!(is_new("a", 0) && !is_new("a", 0) && is_new("b", 0));
        for n in 2..SEEN_MAX {
            assert!(is_new(&n.to_string(), 0), "{n}");
        }
        assert!(!is_new("one more", 0) && !is_new("one more", 60 + CLOCKS_APART_S_MAX));
        // Another shop has its own, and those that have ended make room.
        assert!(seen.is_new("zeta", "a", 60, 0));
        let later = 61 + CLOCKS_APART_S_MAX;
        assert!(seen.is_new("acme", "one more", 180, later) && !seen.is_new("acme", "one more", 180, later));
    }

    #[test]
    fn an_app_is_asked_for_more_scopes_now_and_then() {
        let anew = Anew::default();
        assert!(anew.is_time("acme", 0) && !anew.is_time("acme", ASKED_ANEW_MS - 1) && anew.is_time("zeta", 5));
        assert!(anew.is_time("acme", ASKED_ANEW_MS));
    }
}
