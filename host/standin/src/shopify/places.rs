//! Countries and provinces by code and name, as Shopify shows them.
//! Knows nothing of addresses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A line is a code and a name: the countries that the Admin API lists, and the provinces (`AU-VIC`) of those in
/// [`WITH_PROVINCES`]. A table and no crate: ISO 3166 has other names, and provinces for countries where Shopify has none.
const PLACES: &str = include_str!("places.txt");
const WITH_PROVINCES: [&str; 4] = ["AU", "CA", "NZ", "US"];
/// Recorded answer: a province given for one of these is forgotten.
const WITHOUT_PROVINCES: [&str; 1] = ["SG"];

/// What a province may be.
pub(crate) enum Provinces {
    /// One of the table.
    Listed,
    None,
    /// Anything: the stand-in does not know this country's.
    Unknown,
}

/// Code and name.
pub(crate) type Place = (&'static str, &'static str);

static TABLE: LazyLock<BTreeMap<&str, &str>> =
    LazyLock::new(|| PLACES.lines().filter_map(|line| line.split_once(' ')).collect());

/// By code or by name.
pub(crate) fn country(given: &str) -> Option<Place> {
    find("", given)
}

/// By code or by name, of a country by its code.
pub(crate) fn province(country: &str, given: &str) -> Option<Place> {
    find(&format!("{country}-"), given)
}

pub(crate) fn provinces(country: &str) -> Provinces {
    if WITH_PROVINCES.contains(&country) {
        Provinces::Listed
    } else if WITHOUT_PROVINCES.contains(&country) {
        Provinces::None
    } else {
        Provinces::Unknown
    }
}

/// Among the codes that begin with `before` and have no dash after it.
fn find(before: &str, given: &str) -> Option<Place> {
    let among = TABLE.iter().filter_map(|(code, name)| Some((code.strip_prefix(before)?, *name)));
    let mut among = among.filter(|(code, _)| !code.contains('-'));
    among.find(|(code, name)| *code == given || name.eq_ignore_ascii_case(given))
}
