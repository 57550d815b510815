//! The tokens that one app holds of one shop, and when they end.
//! Knows nothing of who asks for them or how.

use std::collections::BTreeMap;

use super::{RefreshRule, hex_digits};

/// Shopify changelog 2026-08: no longer than this after its first use does an old refresh token stay good.
const OLD_REFRESH_MS_MAX: i64 = 30 * 86_400_000;

/// Tokens by their text. Those that have ended stay, and are refused.
#[derive(Default)]
pub(crate) struct Book {
    access: BTreeMap<String, Access>,
    /// When each refresh token ends, Unix milliseconds.
    refresh: BTreeMap<String, i64>,
}

struct Access {
    /// `None`: never.
    ends_ms: Option<i64>,
    scopes: Vec<String>,
}

impl Book {
    /// A new access token; the older ones live out their time.
    pub fn give_access(&mut self, random: &mut fastrand::Rng, ends_ms: Option<i64>, scopes: Vec<String>) -> String {
        let token = format!("shpat_{}", hex_digits(random, 32));
        self.access.insert(token.clone(), Access { ends_ms, scopes });
        token
    }

    /// A new refresh token. What becomes of the older ones is decided by whoever calls, before.
    pub fn give_refresh(&mut self, random: &mut fastrand::Rng, ends_ms: i64) -> String {
        let token = format!("shprt_{}", hex_digits(random, 32));
        self.refresh.insert(token.clone(), ends_ms);
        token
    }

    /// The scopes of an access token that is good at `now_ms`.
    pub fn accepts(&self, token: &str, now_ms: i64) -> Option<&[String]> {
        let access = self.access.get(token)?;
        access.ends_ms.is_none_or(|ends_ms| now_ms < ends_ms).then_some(&access.scopes[..])
    }

    /// Uses a refresh token; false when it is not good at `now_ms`.
    ///
    /// This is the one place that decides between the readings of Shopify's contradictory texts ([`RefreshRule`]): what
    /// becomes of the token that was used. All others end here in any case: an app has one refreshable token for each
    /// shop, and using the replacement of a token ends that token.
    pub fn redeem(&mut self, token: &str, rule: RefreshRule, now_ms: i64) -> bool {
        if self.refresh.get(token).is_none_or(|ends_ms| *ends_ms <= now_ms) {
            return false;
        }
        self.refresh.retain(|other, _| other == token);
        let good_for_ms = match rule {
            RefreshRule::Strict => 0,
            RefreshRule::Seconds(seconds) => i64::try_from(seconds).unwrap_or(OLD_REFRESH_MS_MAX / 1_000) * 1_000,
            RefreshRule::UntilUsed => OLD_REFRESH_MS_MAX,
        };
        // The least of all ends: a second use does not prolong it.
        self.refresh.values_mut().for_each(|ends_ms| *ends_ms = (*ends_ms).min(now_ms.saturating_add(good_for_ms)));
        true
    }

    /// Ends every refresh token: a new grant replaces them.
    pub fn end_refreshing(&mut self) {
        self.refresh.clear();
    }

    /// Ends an access token that has no end of its own; false when it is none of those.
    pub fn end_lasting(&mut self, token: &str) -> bool {
        let lasts = self.access.get(token).is_some_and(|access| access.ends_ms.is_none());
        if lasts {
            self.access.remove(token);
        }
        lasts
    }

    /// Ends everything.
    pub fn clear(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }
}
