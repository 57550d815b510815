//! Phone numbers in their international form. Knows how some countries dial; nothing of whose number it is.

/// A country's calling code, what is dialled before a national number inside it, and how many digits one has without that.
/// Only countries in which these tell a number for certain; any other number is left as it is.
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

/// Whether national numbers of this country can be made international.
pub fn is_known(country: &str) -> bool {
    COUNTRIES.iter().any(|(code, ..)| *code == country)
}

/// What is dialled before a number of another country: everywhere but where one of these is.
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
/// Countries whose mobile numbers have no trunk prefix though others have: China's have eleven digits and begin with 1.
const BARE: [(&str, &str, usize); 1] = [("CN", "1", 11)];

/// The number as `+` and digits; `None` where that would have to be guessed at, as with letters and extensions. Without a
/// country only numbers that begin with `+` have one.
pub fn international(text: &str, country: Option<&str>) -> Option<String> {
    // `+61 (0)400 …`: the 0 is dialled at home alone.
    let text = if text.trim_start().starts_with('+') { text.replacen("(0)", "", 1) } else { text.to_owned() };
    let number: String = text.chars().filter_map(sign).collect();
    let abroad = |digits: &str| {
        let is_number = is_digits(digits) && (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        is_number.then(|| format!("+{digits}"))
    };
    if let Some(digits) = number.strip_prefix('+') {
        return abroad(digits);
    }
    let (home, code, trunk, least, most) = *COUNTRIES.iter().find(|(known, ..)| Some(*known) == country)?;
    let prefix = ABROAD_OF.iter().find(|(known, _)| *known == home).map_or(ABROAD, |(_, prefix)| prefix);
    // One that begins like a number at home, as Japan's does, says nothing for certain.
    if let Some(digits) = number.strip_prefix(prefix).filter(|_| trunk != "0" || prefix.starts_with("00")) {
        return abroad(digits);
    }
    let is_bare = |&(known, begins, count): &(&str, &str, usize)| {
        known == home && number.starts_with(begins) && number.len() == count && is_digits(&number)
    };
    if BARE.iter().any(is_bare) {
        return Some(format!("+{code}{number}"));
    }
    // In North America the 1 may be left out; elsewhere a number without its 0 is one of another kind.
    let own = match number.strip_prefix(trunk) {
        Some(own) => own,
        None if trunk == "1" => &number,
        None => return None,
    };
    let is_own = is_digits(own) && (least..=most).contains(&own.len()) && !own.starts_with('0');
    is_own.then(|| format!("+{code}{own}"))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A sign of a number as it is compared: what only separates is left out, and digits of full width are digits.
fn sign(c: char) -> Option<char> {
    match c {
        '-' | '(' | ')' | '.' | '/' | '\u{2010}'..='\u{2015}' => None,
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
