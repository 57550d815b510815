//! Addresses with signed queries: how Shopify opens an app, and how it sends the merchant back after the approval.
//! Knows nothing of what an app may do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{AppOptions, SessionToken, hex_digits};
use crate::query::{encoded, pairs};
use crate::sign::sign_query;

/// Who is sent where.
pub(super) struct Visit<'a> {
    pub app: &'a AppOptions,
    /// `acme.myshopify.com`.
    pub shop: &'a str,
    pub now_ms: i64,
}

impl Visit<'_> {
    /// The query with which the App URL is opened: `hmac host shop timestamp`; embedded apps get `embedded id_token locale
    /// session` too, with the session token of the member of staff `user` (Shopify docs: session tokens, app home).
    pub fn query(&self, user: u64, random: &mut fastrand::Rng) -> String {
        let (host, timestamp) = (self.host(), self.timestamp());
        let mut pairs = vec![("host", host.as_str()), ("shop", self.shop), ("timestamp", &timestamp)];
        let (id_token, session) = match self.app.embedded {
            true => (SessionToken::admin(user).sign(self.app, self.shop, self.now_ms, random), hex_digits(random, 64)),
            false => Default::default(),
        };
        if self.app.embedded {
            pairs.extend([("embedded", "1"), ("id_token", &id_token), ("locale", "en"), ("session", &session)]);
        }
        self.signed(&pairs)
    }

    /// The App URL with that query.
    pub fn app_url(&self, user: u64, random: &mut fastrand::Rng) -> String {
        join(&self.app.application_url, &self.query(user, random))
    }

    /// Where an approval leads: the redirect address with `code hmac host shop state timestamp`. A query that the address
    /// has already is signed with the rest.
    pub fn callback(&self, redirect_uri: &str, code: &str, state: Option<&str>) -> String {
        let (base, own) = redirect_uri.split_once('?').unwrap_or((redirect_uri, ""));
        let (own, host, timestamp) = (pairs(own), self.host(), self.timestamp());
        let mut pairs: Vec<_> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.extend([("code", code), ("host", host.as_str()), ("shop", self.shop)]);
        pairs.extend(state.map(|state| ("state", state)));
        pairs.push(("timestamp", &timestamp));
        join(base, &self.signed(&pairs))
    }

    /// The pairs as a query, sorted, with their `hmac`.
    fn signed(&self, pairs: &[(&str, &str)]) -> String {
        let mut parts = encoded(pairs);
        parts.push(format!("hmac={}", sign_query(&self.app.client_secret, pairs)));
        parts.sort();
        parts.join("&")
    }

    /// Base64, without padding, of where the merchant's admin is (Shopify docs: the `host` parameter).
    fn host(&self) -> String {
        STANDARD_NO_PAD.encode(format!("admin.shopify.com/store/{}", store_name(self.shop)))
    }

    /// Unix seconds.
    fn timestamp(&self) -> String {
        self.now_ms.div_euclid(1_000).to_string()
    }
}

/// `acme` of `acme.myshopify.com`.
pub(super) fn store_name(shop: &str) -> &str {
    shop.split('.').next().unwrap_or_default()
}

fn join(address: &str, query: &str) -> String {
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}{query}")
}
