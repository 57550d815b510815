//! IANA's names of time zones. Knows only the names, and no rules of time.

use tandem_sdk::Problem;

use crate::problems::{brief, nearest, problem};

/// One line for each area, followed by its places; `-` stands for no area. From the time zone database 2025b, with its
/// older names.
const ZONES: &str = include_str!("zones.txt");

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ZONES.lines().filter_map(|line| line.split_once(' ')).flat_map(|(area, places)| {
        let area = if area == "-" { "" } else { area };
        places.split(' ').map(move |place| (area, place))
    })
}

fn name((area, place): (&str, &str)) -> String {
    if area.is_empty() { place.to_owned() } else { format!("{area}/{place}") }
}

/// Every name.
pub fn names() -> impl Iterator<Item = String> {
    all().map(name)
}

/// The greatest number of letters of an abbreviation such as `AEST`.
const ABBREVIATION_CHARS_MAX: usize = 5;

fn area_of(zone: &str) -> Option<&str> {
    zone.rsplit_once('/').map(|(area, _)| area)
}

/// What is wrong with the name of a time zone, if anything.
pub fn check(at: &str, zone: &str) -> Option<Problem> {
    let place = zone.rsplit('/').next().unwrap_or(zone);
    if names().any(|known| known == zone) {
        return None;
    }
    let fix = match meant(zone, place) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write the IANA name of the shop's time zone, such as \"Australia/Melbourne\"".to_owned(),
    };
    Some(problem(at, format!("there is no time zone `{}`", brief(zone)), fix))
}

/// The time zone that was probably meant: the one whose place has this name, or else the one with the most similar
/// name.
fn meant(zone: &str, place: &str) -> Option<String> {
    let place = place.replace(' ', "_");
    if let Some(found) = all().find(|(area, known)| !area.is_empty() && known.eq_ignore_ascii_case(&place)) {
        return Some(name(found));
    }
    // Similar abbreviations mean places far apart: `AEST` is not near `EST`.
    if area_of(zone).is_none() && zone.len() <= ABBREVIATION_CHARS_MAX {
        return None;
    }
    let names: Vec<_> = all().map(name).collect();
    // Names are long, so the usual allowance of a third of the length would match other names.
    let near = nearest(zone, names.iter().map(String::as_str))?;
    (strsim::damerau_levenshtein(zone, near) <= 3).then(|| near.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(zone: &str) -> Option<String> {
        check("/timezone", zone).map(|problem| problem.fix)
    }

    #[test]
    fn iana_knows_these() {
        for zone in
            ["UTC", "Etc/UTC", "Australia/Melbourne", "America/Argentina/Buenos_Aires", "Asia/Calcutta", "Asia/Kolkata"]
        {
            assert_eq!(fix(zone), None, "{zone}");
        }
        let count = all().count();
        assert!((590..700).contains(&count), "{count}");
    }

    #[test]
    fn what_iana_does_not_know_has_a_fix() {
        for (zone, expected) in [
            ("Melbourne", "did you mean \"Australia/Melbourne\"?"),
            ("Australia/Melborne", "did you mean \"Australia/Melbourne\"?"),
            ("America/New York", "did you mean \"America/New_York\"?"),
            ("europe/berlin", "did you mean \"Europe/Berlin\"?"),
            ("Foo/Bar", "write the IANA name of the shop's time zone, such as \"Australia/Melbourne\""),
            ("AEST", "write the IANA name of the shop's time zone, such as \"Australia/Melbourne\""),
            ("PDT", "write the IANA name of the shop's time zone, such as \"Australia/Melbourne\""),
            ("GMT+10:00", "write the IANA name of the shop's time zone, such as \"Australia/Melbourne\""),
        ] {
            assert_eq!(fix(zone).as_deref(), Some(expected), "{zone}");
        }
    }
}
