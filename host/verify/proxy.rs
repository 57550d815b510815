//! Checks a query of Shopify's app proxy, which says which customer is looking at a shop's pages.
//!
//! Knows neither the customer's profile nor whether the shop is a tenant's.
//!
//! Shopify signs the decoded parameters one after the other, with nothing between them, so the signature of `a=1` and `b=2` is
//! the signature of `a=1b=2` as well. A visitor who may add a parameter of their own could use that to move digits into the
//! number of the customer. A query therefore must have the five parameters that Shopify adds and no other, each once and in
//! a form that leaves one way to split the signed text: no value has a `=`. (Shopify joins the values of a repeated name by commas before it signs.
//! Here a repeated name is refused.)

use super::parameters::{ParametersRefused, parameters};
use super::timestamp::{self, TimestampRefused};
use super::{HexRefused, Signature, person};
use crate::model::{Shop, shop_of_shopify};

/// Who asks through a shop's app proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Visitor {
    pub shop: Shop,
    /// The number of the logged-in customer, if there is one.
    pub customer: Option<u64>,
    /// When Shopify passed the request on, in seconds since 1970.
    pub timestamp: i64,
}

/// Why a query does not count as signed by the app proxy, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ProxyRefused {
    #[error(transparent)]
    Parameters(#[from] ParametersRefused),
    #[error("the query has a parameter that Shopify does not add")]
    Unexpected,
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// A fault in the parameter `signature` itself.
    #[error(transparent)]
    Hex(#[from] HexRefused),
    #[error("the signature does not fit the query")]
    Signature,
    #[error(transparent)]
    Timestamp(#[from] TimestampRefused),
    #[error("the path is not one that an app proxy can have")]
    Path,
    #[error("the shop is not a domain of the form `acme.myshopify.com`")]
    Shop,
    #[error("the customer is neither a number nor empty")]
    Customer,
}

/// The parameters that Shopify adds.
const ADDED: [&str; 5] = ["shop", "logged_in_customer_id", "path_prefix", "timestamp", "signature"];

/// Who asks, if Shopify signed the query with one of the secrets (the app's new one, then its old one), its timestamp is recent
/// and the request came by a path that an app proxy can have, as `is_path` says: a merchant may change the path, and Shopify signs
/// whichever the shop has. Such a path has no `=`. `raw_query` is the text after the `?`, as it came.
pub fn checked<'a>(
    raw_query: &str,
    is_path: impl Fn(&str) -> bool,
    secrets: impl Iterator<Item = &'a str>,
    now_s: i64,
) -> Result<Visitor, ProxyRefused> {
    let parameters = parameters(raw_query)?;
    let pairs: Vec<_> = parameters.iter().map(|parameter| (&*parameter.name, &*parameter.value)).collect();
    let value = |name: &str| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
    if pairs.iter().any(|(name, _)| !ADDED.contains(name)) {
        return Err(ProxyRefused::Unexpected);
    }
    let due = |name: &'static str| value(name).ok_or(ProxyRefused::Missing(name));
    let (shop, customer) = (due("shop")?, due("logged_in_customer_id")?);
    let (path, timestamp) = (due("path_prefix")?, due("timestamp")?);
    let signature = Signature::of_query(value("signature"))?;
    let text = signed_text(pairs.iter().copied().filter(|(name, _)| *name != "signature"));
    signature.check(secrets, text.as_bytes()).map_err(|_| ProxyRefused::Signature)?;

    if path.contains('=') || !is_path(path) {
        return Err(ProxyRefused::Path);
    }
    let timestamp = timestamp::recent(Some(timestamp), now_s)?;
    let shop = shop_of_shopify(shop).ok_or(ProxyRefused::Shop)?;
    let customer = match customer {
        "" => None,
        digits => Some(person(digits).ok_or(ProxyRefused::Customer)?),
    };
    Ok(Visitor { shop, customer, timestamp })
}

/// The text that the app proxy signs: `name=value` of every decoded parameter, sorted as whole texts, one after the other.
fn signed_text<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<String> = parameters.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort_unstable();
    pairs.concat()
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    use super::*;

    const KEY: &str = "hush";
    const NOW_S: i64 = 1_466_106_083;
    const QUERY: &str =
        "shop=acme.myshopify.com&logged_in_customer_id=7064&path_prefix=%2Fapps%2Fcx&timestamp=1466106083";

    fn is_path(path: &str) -> bool {
        ["/apps/cx", "/tools/points"].contains(&path)
    }

    fn check(raw_query: &str) -> Result<Visitor, ProxyRefused> {
        checked(raw_query, is_path, [KEY].into_iter(), NOW_S)
    }

    fn signature_of(key: &str, query: &str) -> String {
        let parameters = parameters(query).unwrap();
        let text = signed_text(parameters.iter().map(|parameter| (&*parameter.name, &*parameter.value)));
        let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(text);
        hex::encode(mac.finalize().into_bytes())
    }

    fn signed(query: &str) -> String {
        format!("{query}&signature={}", signature_of(KEY, query))
    }

    /// The first two queries are from the tests of Shopify's library for Ruby. Its parser gives a parameter without `=`
    /// an empty value.
    #[test]
    fn known_queries_have_their_signatures() {
        let shopify = "shop=some-random-store.myshopify.com&path_prefix=%2Fapps%2Fmy-app&timestamp=1466106083";
        let due = "f5cd7233558b1c50102a6f33c0b63ad1e1072a2fc126cb58d4500f75223cefcd";
        assert_eq!(signature_of("secret", shopify), due);
        let more = format!("{shopify}&foo=bar&baz[1]=&baz[2]=b&baz[c[0]]=whatup&baz[c[1]]=notmuch");
        let due = "bbf3aa60e098f08919a2ea4c64a388414f164e6a117a63b03479ac7aa9464b4f";
        assert_eq!(signature_of("secret", &more), due);
        assert_ne!(signature_of("secret", &format!("{more}&evil=1")), due);
        // Sorted as whole texts: `a1=2` comes before `a=1`.
        let sorted = "a=1&a1=2&shop=some-shop.myshopify.com&timestamp=1337178173";
        let due = "f7978b118525243fe5ebd71a129cca0c8309c41bbc3cecdcad1370229f38b2c1";
        assert_eq!(signature_of(KEY, sorted), due);
    }

    #[test]
    fn a_visitor_is_a_customer_or_nobody() {
        let visitor = check(&signed(QUERY)).unwrap();
        assert_eq!((visitor.shop.domain(), visitor.customer), ("acme.myshopify.com", Some(7064)));
        assert_eq!(visitor.timestamp, NOW_S);
        let nobody = check(&signed(&QUERY.replace("7064", ""))).unwrap();
        assert_eq!(nobody, Visitor { customer: None, ..visitor });
        // The order in which the parameters came is not signed.
        let turned = signed(QUERY).split('&').rev().collect::<Vec<_>>().join("&");
        assert!(check(&turned).is_ok());
        // A merchant has given the app another path.
        assert!(check(&signed(&QUERY.replace("apps%2Fcx", "tools%2Fpoints"))).is_ok());
        assert!(checked(&signed(QUERY), is_path, ["new", KEY].into_iter(), NOW_S).is_ok());
        assert_eq!(checked(&signed(QUERY), is_path, ["new", ""].into_iter(), NOW_S), Err(ProxyRefused::Signature));
    }

    #[test]
    fn each_relative_of_a_query_is_refused_for_its_reason() {
        let twice = ProxyRefused::Parameters(ParametersRefused::Twice);
        let cases = [
            (String::new(), ProxyRefused::Missing("shop")),
            (QUERY.to_owned(), ProxyRefused::Hex(HexRefused::Missing)),
            (signed(&QUERY.replace("shop=acme.myshopify.com&", "")), ProxyRefused::Missing("shop")),
            (signed(&QUERY.replace("&path_prefix=%2Fapps%2Fcx", "")), ProxyRefused::Missing("path_prefix")),
            (signed(&QUERY.replace("&timestamp=1466106083", "")), ProxyRefused::Missing("timestamp")),
            (signed(&QUERY.replace("&logged_in_customer_id=7064", "")), ProxyRefused::Missing("logged_in_customer_id")),
            (signed(&format!("{QUERY}&foo=bar")), ProxyRefused::Unexpected),
            (signed(&format!("{QUERY}&hmac=1")), ProxyRefused::Unexpected),
            (signed(&format!("{QUERY}&Shop=acme.myshopify.com")), ProxyRefused::Unexpected),
            (signed(&QUERY.replace("logged_in_customer_id", "logged_in_customer_id[]")), ProxyRefused::Unexpected),
            (format!("{}&shop=evil.myshopify.com", signed(QUERY)), twice),
            (format!("{}&logged_in_customer_id=1", signed(QUERY)), twice),
            (format!("{}&%6cogged_in_customer_id=1", signed(QUERY)), twice),
            (format!("{}&path_prefix=%2Fapps%2Fcx", signed(QUERY)), twice),
            (format!("{}&timestamp=1466106083", signed(QUERY)), twice),
            (format!("{}&signature={}", signed(QUERY), signature_of(KEY, QUERY)), twice),
            (signed(QUERY).replace("signature=", "signature=0"), ProxyRefused::Hex(HexRefused::Length)),
            (signed(QUERY).replace("7064", "7065"), ProxyRefused::Signature),
            (signed(QUERY).replace("acme", "evil"), ProxyRefused::Signature),
            (signed(&QUERY.replace("cx", "cy")), ProxyRefused::Path),
            (signed(&QUERY.replace("cx", "cx%2F")), ProxyRefused::Path),
            (signed(&QUERY.replace("cx", "c%3Dx")), ProxyRefused::Path),
            (signed(&QUERY.replace("%2Fapps%2Fcx", "")), ProxyRefused::Path),
            (signed(&QUERY.replace("acme.", "acme.evil.")), ProxyRefused::Shop),
            (signed(&QUERY.replace("acme.", "Acme.")), ProxyRefused::Shop),
        ];
        for (query, due) in cases {
            assert_eq!(check(&query), Err(due), "{query}");
        }
        // A path with a `=` could be split in another way, whoever takes it for a path.
        let with_equals = signed(&QUERY.replace("cx", "c%3Dx"));
        assert_eq!(checked(&with_equals, |_| true, [KEY].into_iter(), NOW_S), Err(ProxyRefused::Path));
    }

    #[test]
    fn a_query_is_recent_and_of_one_customer() {
        let cases = [
            ("", TimestampRefused::Empty),
            ("NaN", TimestampRefused::NotANumber),
            ("Infinity", TimestampRefused::NotANumber),
            ("1466106083.5", TimestampRefused::Fraction),
            ("1466105992", TimestampRefused::Past),
            ("1466106174", TimestampRefused::Future),
        ];
        for (text, due) in cases {
            let query = signed(&QUERY.replace("1466106083", text));
            assert_eq!(check(&query), Err(ProxyRefused::Timestamp(due)), "{text}");
        }
        for customer in
            ["0", "07064", "-7064", "%207064", "7064.0", "7064,7065", "null", "7064%00", "99999999999999999999"]
        {
            let query = signed(&QUERY.replace("7064", customer));
            assert_eq!(check(&query), Err(ProxyRefused::Customer), "{customer}");
        }
    }

    /// Each of these splits the text that Shopify signed in a different way, so the signature fits.
    #[test]
    fn a_signature_is_not_for_another_split() {
        let signature = signature_of(KEY, &QUERY.replace("7064", ""));
        let rest = "shop=acme.myshopify.com&timestamp=1466106083";
        let splits = [
            &format!("logged_in_customer_id=path_prefix%3D%2Fapps%2Fcx&{rest}"),
            &format!("logged_in_customer_id%3Dpath_prefix=%2Fapps%2Fcx&{rest}"),
            "logged_in_customer_id=&path_prefix=%2Fapps%2Fcxshop%3Dacme.myshopify.com&timestamp=1466106083",
            "logged_in_customer_id=&path_prefix=%2Fapps%2Fcx&shop=acme.myshopify.comtimestamp%3D1466106083",
        ];
        for split in splits {
            assert_eq!(signature_of(KEY, split), signature, "{split}");
            let refused = check(&format!("{split}&signature={signature}"));
            assert!(
                matches!(refused, Err(ProxyRefused::Unexpected | ProxyRefused::Missing(_))),
                "{split}: {refused:?}"
            );
        }
        // A parameter that the visitor has added, whose value ends in digits. The rule of the five parameters keeps it
        // out.
        let own = "a=1logged_in_customer_id%3D7064&logged_in_customer_id=&path_prefix=%2Fapps%2Fcx";
        let moved = "a=1&logged_in_customer_id=7064logged_in_customer_id%3D&path_prefix=%2Fapps%2Fcx";
        let [own, moved] = [own, moved].map(|begin| format!("{begin}&{rest}"));
        assert_eq!(signature_of(KEY, &own), signature_of(KEY, &moved));
        for query in [own, moved] {
            assert_eq!(check(&signed(&query)), Err(ProxyRefused::Unexpected), "{query}");
        }
    }

    /// If any one byte of a signed query is changed, added or left out, the query is refused, or it is the same query
    /// with an escape in the other case, since Shopify signs the decoded text.
    #[test]
    fn no_byte_of_a_query_may_change() {
        let query = signed(QUERY);
        let due = check(&query);
        assert!(due.is_ok());
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut changed, at) = (query.clone(), random.usize(..query.len()));
            let other = char::from(random.u8(b' '..=b'~'));
            match random.u8(..3) {
                0 => changed.replace_range(at..=at, &other.to_string()),
                1 => changed.insert(at, other),
                _ => _ = changed.remove(at),
            }
            let is_same = changed.replace("%2f", "%2F") == query;
            let checked = check(&changed);
            assert!(if is_same { checked == due } else { checked.is_err() }, "seed {seed}: {changed}");
        }
    }
}
