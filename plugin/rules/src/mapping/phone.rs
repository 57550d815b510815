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

/// The number as `+` and digits; `None` where that would have to be guessed at. Without a country only numbers that begin
/// with `+` have one.
pub fn international(text: &str, country: Option<&str>) -> Option<String> {
    let number: String = text.chars().filter(|c| !c.is_whitespace() && !"-().".contains(*c)).collect();
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(digits) = number.strip_prefix('+') {
        let is_number = is_digits(digits) && (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        return is_number.then_some(number);
    }
    let (_, code, trunk, least, most) = *COUNTRIES.iter().find(|(known, ..)| Some(*known) == country)?;
    // In North America the 1 may be left out; elsewhere a number without its 0 is one of another kind.
    let own = match number.strip_prefix(trunk) {
        Some(own) => own,
        None if trunk == "1" => &number,
        None => return None,
    };
    let is_own = is_digits(own) && (least..=most).contains(&own.len()) && !own.starts_with('0');
    is_own.then(|| format!("+{code}{own}"))
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
            ("0011 61 400 000 001", Some("AU"), None),
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
