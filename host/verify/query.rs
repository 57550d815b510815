//! Checks a query that Shopify signs with `hmac`: the query that opens an app, and the one that returns a code.
//!
//! Knows neither the app nor whether the shop may install it. A query that passes was signed by Shopify a moment ago,
//! for the app that the secrets belong to. Anybody who has seen the query can send it again within that time, so it may
//! begin OAuth and nothing more.

use std::fmt;

use super::Signature;
use super::parameters::{ParametersRefused, parameters};
use super::timestamp::{self, TimestampRefused};
use crate::model::{Shop, shop_of_shopify};

/// A query that Shopify signed.
#[derive(Clone, PartialEq)]
pub struct Query {
    shop: Shop,
    timestamp: i64,
    /// Decoded names and values, without the signature.
    parameters: Vec<(String, String)>,
}

/// Why a query does not count as signed by Shopify, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum QueryRefused {
    #[error(transparent)]
    Parameters(#[from] ParametersRefused),
    /// A fault in the parameter `hmac` itself.
    #[error(transparent)]
    Hmac(#[from] super::HexRefused),
    #[error("the signature does not fit the query")]
    Signature,
    #[error(transparent)]
    Timestamp(#[from] TimestampRefused),
    #[error("the shop is missing")]
    ShopMissing,
    #[error("the shop is not a domain of the form `acme.myshopify.com`")]
    Shop,
}

/// The query, if Shopify signed it with one of the secrets (the app's new secret, then its old one) and its timestamp
/// is recent.
///
/// `raw_query` is the text after the `?` as it was received: Shopify signs the encoded parameters, sorted and without
/// `hmac`.
pub fn checked<'a>(raw_query: &str, secrets: impl Iterator<Item = &'a str>, now_s: i64) -> Result<Query, QueryRefused> {
    let parameters = parameters(raw_query)?;
    let (hmac, signed): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|parameter| parameter.name == "hmac");
    let signature = Signature::of_query(hmac.first().map(|hmac| hmac.value.as_str()))?;
    let mut pairs: Vec<&str> = signed.iter().map(|parameter| parameter.pair).collect();
    pairs.sort_unstable();
    signature.check(secrets, pairs.join("&").as_bytes()).map_err(|_| QueryRefused::Signature)?;

    let parameters: Vec<_> = signed.into_iter().map(|parameter| (parameter.name, parameter.value)).collect();
    let timestamp = timestamp::recent(value(&parameters, "timestamp"), now_s)?;
    let shop = value(&parameters, "shop").ok_or(QueryRefused::ShopMissing)?;
    let shop = shop_of_shopify(shop).ok_or(QueryRefused::Shop)?;
    Ok(Query { shop, timestamp, parameters })
}

impl Query {
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// When Shopify made the query, in seconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The code, which can be exchanged for a token once.
    pub fn code(&self) -> Option<&str> {
        self.filled("code")
    }

    /// The text that the app gave when it sent the merchant to Shopify.
    pub fn state(&self) -> Option<&str> {
        self.filled("state")
    }

    /// The place in Shopify's admin where the app is shown: base64 of an address without its scheme.
    pub fn host(&self) -> Option<&str> {
        self.filled("host")
    }

    /// The decoded value of a parameter, which may be empty. Names are case-sensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name)
    }

    fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// Shows no values, because a code or a session token among them gives access.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Query").field("shop", &self.shop.domain()).field("names", &names).finish_non_exhaustive()
    }
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    use super::*;
    use crate::verify::HexRefused;

    const KEY: &str = "hush";
    const NOW_S: i64 = 1_337_178_173;
    /// The example in Shopify's documentation of the authorization code grant.
    const CALLBACK: &str = "code=0907a61c0c8d55e99db179b68161bc00&hmac=700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf&shop=some-shop.myshopify.com&state=0.6784241404160823&timestamp=1337178173";

    fn check(raw_query: &str) -> Result<Query, QueryRefused> {
        checked(raw_query, [KEY].into_iter(), NOW_S)
    }

    fn hmac_of(key: &str, text: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(text);
        hex::encode(mac.finalize().into_bytes())
    }

    /// The query with its `hmac`. Its parameters must be in order.
    fn signed(query: &str) -> String {
        format!("{query}&hmac={}", hmac_of(KEY, query))
    }

    #[test]
    fn a_known_query_is_shopifys() {
        let query = check(CALLBACK).unwrap();
        assert_eq!(query.shop().domain(), "some-shop.myshopify.com");
        assert_eq!(query.timestamp(), NOW_S);
        assert_eq!(query.code(), Some("0907a61c0c8d55e99db179b68161bc00"));
        assert_eq!(query.state(), Some("0.6784241404160823"));
        assert_eq!((query.host(), query.get("hmac")), (None, None));
        // The order in which the parameters came is not signed.
        let turned = CALLBACK.split('&').rev().collect::<Vec<_>>().join("&");
        assert!(check(&turned).is_ok());
        let shown = format!("{query:?}");
        assert!(shown.contains("some-shop") && !shown.contains("0907a61c"), "{shown}");
    }

    #[test]
    fn a_space_is_signed_as_it_is_sent() {
        let hmac = "491031fd2566a6987f171305bcbacc1e857ee3780fc2b68c86c7a8279342b8e7";
        let query = format!("custom=hello%20world&hmac={hmac}&shop=myshop.myshopify.com&timestamp=1337178173");
        let check = |query: &str| checked(query, ["my super secret key"].into_iter(), NOW_S);
        assert_eq!(check(&query).unwrap().get("custom"), Some("hello world"));
        let plus = query.replace("%20", "+");
        assert_eq!(check(&plus), Err(QueryRefused::Parameters(ParametersRefused::Plus)));
        assert_eq!(check(&query.replace("hello", "%68ello")), Err(QueryRefused::Signature));
    }

    #[test]
    fn either_secret_of_the_app_is_right() {
        for secrets in [&["new", KEY][..], &[KEY, "old"]] {
            assert!(checked(CALLBACK, secrets.iter().copied(), NOW_S).is_ok());
        }
        for secrets in [&[][..], &[""], &["hush "], &["HUSH", "hus"]] {
            assert_eq!(checked(CALLBACK, secrets.iter().copied(), NOW_S), Err(QueryRefused::Signature), "{secrets:?}");
        }
        let by_nobody = format!("shop=a.myshopify.com&hmac={}", hmac_of("", "shop=a.myshopify.com"));
        assert_eq!(checked(&by_nobody, ["", "x"].into_iter(), NOW_S), Err(QueryRefused::Signature));
    }

    #[test]
    fn each_relative_of_a_query_is_refused_for_its_reason() {
        let hmac = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf";
        let twice = QueryRefused::Parameters(ParametersRefused::Twice);
        let cases = [
            ("".to_owned(), QueryRefused::Hmac(HexRefused::Missing)),
            (CALLBACK.replace("hmac=", "HMAC="), QueryRefused::Hmac(HexRefused::Missing)),
            (CALLBACK.replace("hmac=", "signature="), QueryRefused::Hmac(HexRefused::Missing)),
            (CALLBACK.replace(hmac, ""), QueryRefused::Hmac(HexRefused::Length)),
            (CALLBACK.replace(hmac, &hmac[..62]), QueryRefused::Hmac(HexRefused::Length)),
            (CALLBACK.replace(hmac, &hmac.to_uppercase()), QueryRefused::Hmac(HexRefused::Capitals)),
            (CALLBACK.replace("hmac=7", "hmac=x"), QueryRefused::Hmac(HexRefused::NotHex)),
            (CALLBACK.replace("hmac=7", "hmac=8"), QueryRefused::Signature),
            (CALLBACK.replace("some-shop", "other-shop"), QueryRefused::Signature),
            (CALLBACK.replace("&state=0.6784241404160823", ""), QueryRefused::Signature),
            (format!("{CALLBACK}&x=1"), QueryRefused::Signature),
            // An `&` that is part of a value does not begin a parameter.
            (CALLBACK.replace("&state", "%26state"), QueryRefused::Signature),
            (format!("{CALLBACK}&shop=evil.myshopify.com"), twice),
            (format!("{CALLBACK}&hmac={hmac}"), twice),
            (format!("{CALLBACK}&%68mac={hmac}"), twice),
            (format!("{CALLBACK}&timestamp=1337178173"), twice),
            (format!("?{CALLBACK}"), QueryRefused::Signature),
            (format!("{CALLBACK}&"), QueryRefused::Parameters(ParametersRefused::NotAPair)),
        ];
        for (query, due) in cases {
            assert_eq!(check(&query), Err(due), "{query}");
        }
    }

    #[test]
    fn what_is_signed_must_make_sense_too() {
        let cases = [
            ("shop=a.myshopify.com", QueryRefused::Timestamp(TimestampRefused::Missing)),
            ("shop=a.myshopify.com&timestamp=", QueryRefused::Timestamp(TimestampRefused::Empty)),
            ("shop=a.myshopify.com&timestamp=1337178173.0", QueryRefused::Timestamp(TimestampRefused::Fraction)),
            ("shop=a.myshopify.com&timestamp=NaN", QueryRefused::Timestamp(TimestampRefused::NotANumber)),
            ("shop=a.myshopify.com&timestamp=1337178082", QueryRefused::Timestamp(TimestampRefused::Past)),
            ("shop=a.myshopify.com&timestamp=1337178264", QueryRefused::Timestamp(TimestampRefused::Future)),
            ("timestamp=1337178173", QueryRefused::ShopMissing),
            ("shop=&timestamp=1337178173", QueryRefused::Shop),
            ("shop=A.myshopify.com&timestamp=1337178173", QueryRefused::Shop),
            ("shop=a.myshopify.com%0A&timestamp=1337178173", QueryRefused::Shop),
            ("shop=a.myshopify.com%2F&timestamp=1337178173", QueryRefused::Shop),
            ("shop=a.myshopify.com.evil.com&timestamp=1337178173", QueryRefused::Shop),
            ("shop=evil.com%23.myshopify.com&timestamp=1337178173", QueryRefused::Shop),
        ];
        for (query, due) in cases {
            assert_eq!(check(&signed(query)), Err(due), "{query}");
        }
        // A wrong signature is reported before any fault in what it signs.
        assert_eq!(check(&signed("shop=evil&timestamp=x").replace("evil", "vile")), Err(QueryRefused::Signature));
        let empty = check(&signed("code=&shop=a.myshopify.com&state=&timestamp=1337178173")).unwrap();
        assert_eq!((empty.code(), empty.state(), empty.get("code")), (None, None, Some("")));
    }

    /// If any one byte of a signed query is changed, added or left out, the query is refused.
    #[test]
    fn no_byte_of_a_query_may_change() {
        let query = signed("custom=hello%20world&host=YWRtaW4%3D&shop=a.myshopify.com&timestamp=1337178173");
        assert!(check(&query).is_ok());
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut changed, at) = (query.clone(), random.usize(..query.len()));
            let other = char::from(random.u8(b' '..=b'~'));
            match random.u8(..3) {
                0 => changed.replace_range(at..=at, &other.to_string()),
                1 => changed.insert(at, other),
                _ => _ = changed.remove(at),
            }
            assert!(changed == query || check(&changed).is_err(), "seed {seed}: {changed}");
        }
    }
}
