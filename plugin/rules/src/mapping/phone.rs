//! Writes phone numbers in their international form. Knows how some countries dial, and not whose number it is.

/// For each country: the calling code, the trunk prefix that is dialled before a national number, and the least and the
/// greatest number of digits of a national number without that prefix. Only countries are listed in which these
/// identify a number for certain; the numbers of other countries are left as they are.
const COUNTRIES: [(&str, &str, &str, usize, usize); 31] = [
    ("AT", "43", "0", 7, 13),
    ("AU", "61", "0", 9, 9),
    ("BE", "32", "0", 8, 9),
    ("CA", "1", "1", 10, 10),
    ("CH", "41", "0", 9, 9),
    ("CN", "86", "0", 10, 11),
    ("CZ", "420", "", 9, 9),
    ("DE", "49", "0", 7, 11),
    ("DK", "45", "", 8, 8),
    ("ES", "34", "", 9, 9),
    ("FI", "358", "0", 6, 11),
    ("FR", "33", "0", 9, 9),
    ("GB", "44", "0", 9, 10),
    ("GR", "30", "", 10, 10),
    ("HK", "852", "", 8, 8),
    ("ID", "62", "0", 8, 11),
    ("IE", "353", "0", 8, 9),
    ("IN", "91", "0", 10, 10),
    ("JP", "81", "0", 9, 10),
    ("KR", "82", "0", 8, 10),
    ("MY", "60", "0", 8, 10),
    ("NL", "31", "0", 9, 9),
    ("NO", "47", "", 8, 8),
    ("NZ", "64", "0", 8, 10),
    ("PH", "63", "0", 8, 10),
    ("PL", "48", "", 9, 9),
    ("PT", "351", "", 9, 9),
    ("SE", "46", "0", 7, 9),
    ("SG", "65", "", 8, 8),
    ("US", "1", "1", 10, 10),
    ("ZA", "27", "0", 9, 9),
];

/// Countries whose national numbers can be made international.
pub fn known() -> impl Iterator<Item = &'static str> {
    COUNTRIES.iter().map(|(country, ..)| *country)
}

/// Whether national numbers of this country can be made international.
pub fn is_known(country: &str) -> bool {
    COUNTRIES.iter().any(|(code, ..)| *code == country)
}

/// The international prefix, which is dialled before a number of another country; below, the countries that use a
/// different one.
const ABROAD: &str = "00";
const ABROAD_OF: [(&str, &str); 8] = [
    ("AU", "0011"),
    ("CA", "011"),
    ("HK", "001"),
    ("ID", "001"),
    ("JP", "010"),
    ("KR", "001"),
    ("SG", "001"),
    ("US", "011"),
];
/// Countries whose mobile numbers are dialled and written without the trunk prefix: the digit that such a number begins
/// with, and its number of digits.
const BARE: [(&str, &str, usize); 5] =
    [("CN", "1", 11), ("IN", "6", 10), ("IN", "7", 10), ("IN", "8", 10), ("IN", "9", 10)];

/// The number as `+` and digits; `None` where it would have to be guessed, as with letters and extensions. Without a
/// country, only a number that begins with `+` can be converted.
pub fn international(text: &str, country: Option<&str>) -> Option<String> {
    let number: String = text.chars().filter_map(sign).collect();
    let shows_trunk = text.contains("(0)");
    if let Some(digits) = number.strip_prefix('+') {
        return abroad(digits, shows_trunk);
    }
    let (home, code, trunk, least, most) = *COUNTRIES.iter().find(|(known, ..)| Some(*known) == country)?;
    let prefix = ABROAD_OF.iter().find(|(known, _)| *known == home).map_or(ABROAD, |(_, prefix)| prefix);
    // A prefix with which a national number could begin too, as Japan's, decides nothing.
    if let Some(digits) = number.strip_prefix(prefix).filter(|_| trunk != "0" || prefix.starts_with("00")) {
        // Where the prefix is 001, a number may also have been meant as 00 and 1. The length of the number tells.
        let fits = country_of(digits).is_none_or(|(code, trunk, lengths)| {
            let own = &digits[code.len()..];
            lengths.contains(&own.strip_prefix(trunk).unwrap_or(own).len())
        });
        return abroad(digits, shows_trunk).filter(|_| fits);
    }
    let is_bare = |&(known, begins, count): &(&str, &str, usize)| {
        known == home && number.starts_with(begins) && number.len() == count && is_digits(&number)
    };
    if BARE.iter().any(is_bare) {
        return Some(format!("+{code}{number}"));
    }
    // In North America the trunk prefix 1 may be left out. Elsewhere, a number without its trunk prefix is of another
    // kind.
    let own = match number.strip_prefix(trunk) {
        Some(own) => own,
        None if trunk == "1" => &number,
        None => return None,
    };
    let is_own = is_digits(own) && (least..=most).contains(&own.len()) && !own.starts_with('0');
    is_own.then(|| format!("+{code}{own}"))
}

/// The number after `+`, without a trunk prefix. `+61 (0)400 …` and `+61 0400 …` have one, which is dialled only inside
/// the country. In countries that the table does not list, a 0 may be part of the number, as in Italy.
fn abroad(digits: &str, shows_trunk: bool) -> Option<String> {
    if !is_digits(digits) || !(7..=15).contains(&digits.len()) || digits.starts_with('0') {
        return None;
    }
    let Some((code, trunk, lengths)) = country_of(digits) else {
        return (!shows_trunk).then(|| format!("+{digits}"));
    };
    match digits[code.len()..].strip_prefix(trunk).filter(|_| !trunk.is_empty()) {
        Some(own) => (lengths.contains(&own.len()) && !own.starts_with('0')).then(|| format!("+{code}{own}")),
        None => Some(format!("+{digits}")),
    }
}

/// Calling code, trunk prefix and lengths for the country whose calling code these digits begin with.
fn country_of(digits: &str) -> Option<(&'static str, &'static str, std::ops::RangeInclusive<usize>)> {
    let (_, code, trunk, least, most) = COUNTRIES.iter().find(|(_, code, ..)| digits.starts_with(code))?;
    Some((code, trunk, *least..=*most))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A character of a number in the form in which it is compared: separators are left out, and full-width digits become
/// digits.
fn sign(c: char) -> Option<char> {
    match c {
        '-' | '(' | ')' | '.' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}' => None,
        // Full-width separators, and invisible characters that come along when a number is copied from an address book.
        '－'
        | 'ー'
        | '（'
        | '）'
        | '．'
        | '／'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => None,
        c if c.is_whitespace() => None,
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10),
        '＋' => Some('+'),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_national_number_needs_its_country() {
        for (text, country, expected) in [
            ("0400 000 001", Some("AU"), Some("+61400000001")),
            ("(02) 9000-0000", Some("AU"), Some("+61290000000")),
            ("+61 400 000 001", None, Some("+61400000001")),
            ("0400 000 001", None, None),
            ("400 000 001", Some("AU"), None),
            ("0011 61 400 000 001", Some("AU"), Some("+61400000001")),
            ("00 61 400 000 001", Some("AU"), None),
            ("00 49 30 123456", Some("DE"), Some("+4930123456")),
            ("011 44 20 7946 0958", Some("US"), Some("+442079460958")),
            ("030/123456", Some("DE"), Some("+4930123456")),
            ("+44 (0)20 7946 0958", None, Some("+442079460958")),
            ("+61 (0)400 000 001", Some("AU"), Some("+61400000001")),
            ("131 2345 6789", Some("CN"), Some("+8613123456789")),
            ("010 1234 5678", Some("CN"), Some("+861012345678")),
            ("０４００ ０００ ００１", Some("AU"), Some("+61400000001")),
            ("0400–000–001", Some("AU"), Some("+61400000001")),
            ("1-800-FLOWERS", Some("US"), None),
            // A trunk prefix after a calling code.
            ("+61 0400 000 001", None, Some("+61400000001")),
            ("0011 61 0400 000 001", Some("AU"), Some("+61400000001")),
            ("+44 020 7946 0018", None, Some("+442079460018")),
            ("0044 (0)20 7946 0018", Some("FR"), Some("+442079460018")),
            ("+49 (0)30 1234567", None, Some("+49301234567")),
            ("00 49 (0)30 1234567", Some("GB"), Some("+49301234567")),
            ("+33 06 12 34 56 78", None, Some("+33612345678")),
            ("+91 098765 43210", None, Some("+919876543210")),
            ("+81 090-1234-5678", None, Some("+819012345678")),
            ("+1 (1) 202 555 0100", None, Some("+12025550100")),
            ("+61 00400 000 001", None, None),
            ("+39 06 698 12345", None, Some("+390669812345")),
            ("+39 (0)6 698 12345", None, None),
            // `00 1` is not a prefix in Hong Kong, and `001 41` would be a Swiss number that is too short.
            ("00 1 415 555 2671", Some("HK"), None),
            ("001 1 415 555 2671", Some("SG"), Some("+14155552671")),
            ("98765 43210", Some("IN"), Some("+919876543210")),
            ("（０３）１２３４ー５６７８", Some("JP"), Some("+81312345678")),
            ("\u{202a}+61 400 000 001\u{202c}", None, Some("+61400000001")),
            ("−0400 000 001", Some("AU"), Some("+61400000001")),
            ("(202) 555-0100 ext 5", Some("US"), None),
            ("13 11 14", Some("AU"), None),
            ("1300 000 000", Some("AU"), None),
            ("(202) 555-0100", Some("US"), Some("+12025550100")),
            ("1 202 555 0100", Some("US"), Some("+12025550100")),
            ("8123 4567", Some("SG"), Some("+6581234567")),
            ("07700 900000", Some("GB"), Some("+447700900000")),
            ("0400 000 001 x2", Some("AU"), None),
            ("+0400000001", Some("AU"), None),
            ("", Some("AU"), None),
            ("0400 000 001", Some("XX"), None),
        ] {
            assert_eq!(international(text, country).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_international_stays_so() {
        for (country, ..) in COUNTRIES {
            let number = Some("+61400000001".to_owned());
            assert_eq!(international("+61400000001", Some(country)), number);
            assert_eq!(international("0400000001", Some("AU")).and_then(|n| international(&n, Some(country))), number);
        }
    }
}
