//! Signs webhook bodies, queries and session tokens as the two senders do.
//! Knows nothing of what they say: bytes and pairs are all the same to it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use crate::query::encoded;

/// `X-Shopify-Hmac-Sha256`: base64 of HMAC-SHA256 over the raw body, keyed with the app's client secret
/// (Shopify docs: verify webhook deliveries).
pub fn sign_shopify(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac(secret, body))
}

/// `x-omneo-hmac-sha256`: lower-case hex of HMAC-SHA256 over the raw body, keyed with the shared secret
/// (Omneo's PHP client and its app starter agree).
pub fn sign_omneo(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac(secret, body))
}

/// `hmac` of a query with which Shopify opens an app or calls its redirect address: lower-case hex of HMAC-SHA256, keyed
/// with the app's client secret, over the sorted `key=value` joined by `&`. The pairs are decoded and without `hmac`; they
/// are signed percent-encoded, a space as `%20` (Shopify docs: authorization code grant; shopify-app-js signs spaces so).
pub fn sign_query(secret: &str, pairs: &[(&str, &str)]) -> String {
    let mut parts = encoded(pairs);
    parts.sort();
    hex::encode(hmac(secret, parts.join("&").as_bytes()))
}

/// `signature` of a request that comes through an app proxy: lower-case hex of HMAC-SHA256, keyed with the app's client
/// secret, over the sorted `key=value` with nothing between them. The pairs are decoded and without `signature`; the values
/// of a repeated key are joined by `,` (Shopify docs: authenticate app proxies; sorted as its Ruby library does).
pub fn sign_proxy(secret: &str, pairs: &[(&str, &str)]) -> String {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    pairs.iter().for_each(|(key, value)| values.entry(key).or_default().push(value));
    let mut parts: Vec<_> = values.iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect();
    parts.sort();
    hex::encode(hmac(secret, parts.concat().as_bytes()))
}

/// The signature of a JSON Web Token's first two parts, as bytes: none for `none`, HMAC-SHA512 for `HS512`, and
/// HMAC-SHA256 for `HS256` and every other name (RFC 7518 §3).
pub(crate) fn sign_token(algorithm: &str, secret: &str, signed: &[u8]) -> Vec<u8> {
    match algorithm {
        "none" => Vec::new(),
        "HS512" => hmac_sha512(secret, signed),
        _ => hmac(secret, signed),
    }
}

fn hmac(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

fn hmac_sha512(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::pairs;

    fn signed(sign: fn(&str, &[(&str, &str)]) -> String, secret: &str, query: &str) -> String {
        let pairs = pairs(query);
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        sign(secret, &pairs)
    }

    /// Shopify's docs; the last is this project's own.
    #[test]
    fn queries_are_signed_as_published() {
        let code = "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com";
        let table = [
            (
                "hush",
                format!("{code}&state=0.6784241404160823&timestamp=1337178173"),
                "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
            ),
            (
                "hush",
                format!("timestamp=1337178173&{code}"),
                "4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20",
            ),
            (
                "my super secret key",
                "custom=hello%20world&shop=myshop.myshopify.com&timestamp=1337178173".to_owned(),
                "491031fd2566a6987f171305bcbacc1e857ee3780fc2b68c86c7a8279342b8e7",
            ),
        ];
        for (secret, query, expected) in table {
            assert_eq!(signed(sign_query, secret, &query), expected, "{query}");
        }
    }

    /// Shopify's docs, the tests of its Ruby library; the last is this project's own and holds to Ruby's order.
    #[test]
    fn proxy_requests_are_signed_as_published() {
        let random = "shop=some-random-store.myshopify.com&path_prefix=%2Fapps%2Fmy-app&timestamp=1466106083";
        let table = [
            ("secret", random.to_owned(), "f5cd7233558b1c50102a6f33c0b63ad1e1072a2fc126cb58d4500f75223cefcd"),
            (
                "secret",
                format!("{random}&foo=bar&baz[1]&baz[2]=b&baz[c[0]]=whatup&baz[c[1]]=notmuch"),
                "bbf3aa60e098f08919a2ea4c64a388414f164e6a117a63b03479ac7aa9464b4f",
            ),
            (
                "hush",
                "extra=1&extra=2&shop=shop-name.myshopify.com&logged_in_customer_id=1&path_prefix=%2Fapps%2Fawesome_reviews&timestamp=1317327555".to_owned(),
                "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb",
            ),
            (
                "hush",
                "a=1&a1=2&shop=some-shop.myshopify.com&timestamp=1337178173".to_owned(),
                "f7978b118525243fe5ebd71a129cca0c8309c41bbc3cecdcad1370229f38b2c1",
            ),
        ];
        for (secret, query, expected) in table {
            assert_eq!(signed(sign_proxy, secret, &query), expected, "{query}");
            assert_ne!(signed(sign_proxy, secret, &format!("{query}&evil=1")), expected);
        }
    }
}
