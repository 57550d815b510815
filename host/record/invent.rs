//! Invents values in place of personal ones: of the same form, the same for the same, never the same for two. Knows forms;
//! not where a value stands or what it means.
//!
//! What is invented depends on the order of what was asked for, not on the value itself, so nothing leads back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Digits of a number that may be an id, and so must not be one of another's.
const ID_DIGITS_MIN: usize = 5;
/// Tries before a form that is used up makes way for a longer one.
const TRIES_MAX: usize = 500;
/// Letters of a word from which on it would be recognised in a longer one.
const PART_LETTERS_MIN: usize = 3;
/// Last digits of a phone number, which are the person's own: country and area stay.
const TAIL_DIGITS: usize = 7;
/// Domains that belong to nobody (RFC 2606) tell nothing of anybody.
const NOBODYS: [&str; 7] = ["example.com", "example.net", "example.org", ".example", ".invalid", ".localhost", ".test"];
/// Omneo's name of who has none.
const NO_NAME: &str = "unknown";

pub struct Invented {
    random: fastrand::Rng,
    /// Words and runs of digits that stand in what is to be masked.
    seen: HashSet<String>,
    made: HashMap<String, String>,
    used: HashSet<String>,
    /// By the largest number there may be, and the number.
    small: HashMap<(u64, u64), u64>,
}

impl Invented {
    /// `seen` is every word, in lower case, and every run of digits there is: none of them is invented.
    pub fn new(seen: HashSet<String>) -> Self {
        Self {
            random: fastrand::Rng::with_seed(1),
            seen,
            made: HashMap::new(),
            used: HashSet::new(),
            small: HashMap::new(),
        }
    }

    /// A text with every word and every number in it replaced; everything between stays.
    pub fn text(&mut self, text: &str) -> String {
        runs(text)
            .map(|run| match run.chars().next() {
                Some(c) if is_letter(c) => self.word(run),
                Some(c) if c.is_ascii_digit() => self.digits(run),
                _ => run.to_owned(),
            })
            .collect()
    }

    /// A word as long, with capital letters where the original has them: however it is written, it stays the same word.
    pub fn word(&mut self, word: &str) -> String {
        let plain = word.to_lowercase();
        if plain == NO_NAME {
            return word.to_owned();
        }
        let letters = plain.chars().count();
        let made = self.make(&plain, |random, tries| {
            let letter = |n: usize| if n.is_multiple_of(2) { "bdfgklmnprstvz" } else { "aeiou" };
            (0..letters + tries / TRIES_MAX).map(|n| one_of(random, letter(n))).collect()
        });
        let capital: Vec<bool> = word.chars().map(char::is_uppercase).collect();
        let case = |(n, c): (usize, char)| {
            if capital.get(n).or(capital.last()) == Some(&true) { c.to_ascii_uppercase() } else { c }
        };
        made.chars().enumerate().map(case).collect()
    }

    /// As many digits; a leading zero stays.
    pub fn digits(&mut self, digits: &str) -> String {
        let first = if digits.starts_with('0') { "0" } else { "123456789" };
        let length = digits.len();
        self.make(digits, |random, tries| {
            let rest = (1..length + tries / TRIES_MAX).map(|_| one_of(random, "0123456789")).collect::<String>();
            format!("{}{rest}", one_of(random, first))
        })
    }

    /// Makes up for all ids at once, so that a larger one stays larger. Each keeps its first digit.
    pub fn ids(&mut self, ids: &BTreeSet<String>) {
        let mut alike: BTreeMap<(usize, &str), Vec<&String>> = BTreeMap::new();
        for id in ids.iter().filter(|id| !self.made.contains_key(*id)) {
            alike.entry((id.len(), &id[..1])).or_default().push(id);
        }
        for ((length, first), ids) in alike {
            let mut made = BTreeSet::new();
            while made.len() < ids.len() {
                let rest: String = (1..length).map(|_| one_of(&mut self.random, "0123456789")).collect();
                let id = format!("{first}{rest}");
                if !self.is_taken(&id) {
                    made.insert(id);
                }
            }
            for (id, made) in ids.into_iter().zip(made) {
                self.used.insert(made.clone());
                self.made.insert(id.clone(), made);
            }
        }
    }

    /// Country code, area and punctuation stay; the last digits are others. The same number stays the same with and
    /// without its country code.
    pub fn phone(&mut self, phone: &str) -> String {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        let own = digits.len().saturating_sub(TAIL_DIGITS);
        let made = format!("{}{}", &digits[..own], self.digits(&digits[own..]));
        let mut made = made.chars();
        phone.chars().map(|c| if c.is_ascii_digit() { made.next().unwrap_or(c) } else { c }).collect()
    }

    /// What two ways to write a phone number have in common.
    pub fn tail(phone: &str) -> Option<String> {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        digits.len().checked_sub(TAIL_DIGITS).map(|own| digits[own..].to_owned())
    }

    /// `ada.lovelace@analytical.dev` is somebody at a domain that nobody has.
    pub fn email(&mut self, email: &str) -> String {
        let at = if email.contains('@') { "@" } else { "%40" };
        let (local, domain) = email.split_once(at).unwrap_or((email, ""));
        let local = self.text(local);
        let plain = domain.to_lowercase();
        let is_nobodys = NOBODYS.iter().any(|known| plain == known.trim_start_matches('.') || plain.ends_with(known));
        if is_nobodys {
            return format!("{local}{at}{domain}");
        }
        let made = self.make(&format!("@{plain}"), |random, tries| {
            let letter = |n: usize| if n.is_multiple_of(2) { "bdfgklmnprstvz" } else { "aeiou" };
            let name: String = (0..6 + tries / TRIES_MAX).map(|n| one_of(random, letter(n))).collect();
            format!("{name}.example")
        });
        format!("{local}{at}{made}")
    }

    /// A token, a digest or a UUID: hexadecimal digits and letters become others of their kind.
    pub fn token(&mut self, token: &str) -> String {
        let is_uuid = is_uuid(token);
        let hex = token.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        self.make(token, |random, _| {
            let digit = |(n, c): (usize, char)| match c {
                // Version and variant.
                c if is_uuid && (n == 14 || n == 19) => c,
                '0'..='9' => one_of(random, "0123456789"),
                'a'..='z' if hex => one_of(random, "abcdef"),
                'a'..='z' => one_of(random, "abcdefghijklmnopqrstuvwxyz"),
                'A'..='Z' if hex => one_of(random, "ABCDEF"),
                'A'..='Z' => one_of(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
                c => c,
            };
            token.chars().enumerate().map(digit).collect()
        })
    }

    /// Another day of the same year, in `1815-12-10` and what may follow it.
    pub fn day(&mut self, date: &str) -> String {
        let Some((day, rest)) = date.split_at_checked(10) else { return self.text(date) };
        let Some(year) = day.split('-').next().filter(|year| year.len() == 4).and_then(|year| year.parse::<i32>().ok())
        else {
            return self.text(date);
        };
        let made = self.make(day, |random, tries| {
            let year = year.saturating_sub(i32::try_from(tries / TRIES_MAX).unwrap_or(0));
            format!("{year}-{:02}-{:02}", random.u8(1..=12), random.u8(1..=28))
        });
        format!("{made}{rest}")
    }

    /// A private address.
    pub fn ip(&mut self, ip: &str) -> String {
        self.make(ip, |random, _| format!("10.{}.{}.{}", random.u8(..), random.u8(..), random.u8(1..)))
    }

    /// Another number from 1 to `max`.
    pub fn small(&mut self, number: u64, max: u64) -> u64 {
        if let Some(made) = self.small.get(&(max, number)) {
            return *made;
        }
        let taken: Vec<u64> = self.small.iter().filter(|((of, _), _)| *of == max).map(|(_, made)| *made).collect();
        let free: Vec<u64> = (1..=max).filter(|made| !taken.contains(made)).collect();
        let made = self.random.choice(free).unwrap_or(number);
        self.small.insert((max, number), made);
        made
    }

    /// What was made of something before, or something that is used nowhere. `make` is told how often it has tried.
    fn make(&mut self, of: &str, mut make: impl FnMut(&mut fastrand::Rng, usize) -> String) -> String {
        if let Some(made) = self.made.get(of) {
            return made.clone();
        }
        let mut tries = 0;
        let made = loop {
            let made = make(&mut self.random, tries);
            let is_found = tries < 3 * TRIES_MAX && self.holds_seen(&made);
            if made != of && !is_found && !self.is_taken(&made) {
                break made;
            }
            tries += 1;
        };
        self.used.insert(made.clone());
        self.made.insert(of.to_owned(), made.clone());
        made
    }

    fn is_taken(&self, made: &str) -> bool {
        // There are too few short numbers to leave out all that stand somewhere.
        let short = made.len() < ID_DIGITS_MIN && made.bytes().all(|c| c.is_ascii_digit());
        self.used.contains(made) || !short && self.seen.contains(made)
    }

    /// Whether a word that stands somewhere is part of a word that was made: it would be found there.
    fn holds_seen(&self, made: &str) -> bool {
        let word = made.split('.').next().unwrap_or_default();
        let ends = |start: usize| (start + PART_LETTERS_MIN..=word.len()).map(move |end| (start, end));
        let mut parts = (0..word.len()).flat_map(ends);
        word.bytes().all(|c| c.is_ascii_lowercase()) && parts.any(|(start, end)| self.seen.contains(&word[start..end]))
    }
}

/// One of some letters of ASCII.
fn one_of(random: &mut fastrand::Rng, letters: &str) -> char {
    random.choice(letters.as_bytes()).map_or('x', |letter| char::from(*letter))
}

/// The runs of letters, of digits, and of everything else that a text is made of.
pub fn runs(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| (is_letter(c), c.is_ascii_digit());
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = kind(rest.chars().next()?);
        let end = rest.find(|c| kind(c) != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// Signs that make letters of scripts that we do not know count as letters.
pub fn is_letter(c: char) -> bool {
    c.is_alphabetic() || !c.is_ascii() && !c.is_whitespace() && !c.is_ascii_punctuation() && c != '…' && c != '’'
}

pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, c)| match n {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invented() -> Invented {
        Invented::new(HashSet::new())
    }

    #[test]
    fn a_word_stays_the_same_however_it_is_written() {
        let mut made = invented();
        let (ada, all) = (made.word("Ada"), made.text("ADA, ada: Ada-Mae McDonald"));
        assert!(ada.len() == 3 && ada != "Ada" && ada.chars().next().unwrap().is_uppercase());
        assert!(all.starts_with(&format!("{}, {}: {ada}-", ada.to_uppercase(), ada.to_lowercase())), "{all}");
        assert_eq!(made.word("Unknown"), "Unknown");
        let capitals: Vec<bool> = made.word("McDonald").chars().map(char::is_uppercase).collect();
        assert_eq!(capitals, [true, false, true, false, false, false, false, false]);
    }

    #[test]
    fn two_are_never_one_even_when_a_form_is_used_up() {
        let mut made = invented();
        let words: HashSet<_> = ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("{a}{b}"))).collect();
        let others: HashSet<_> = words.iter().map(|word| made.word(word)).collect();
        assert_eq!(others.len(), words.len());
        let digits: HashSet<_> = (0..100).map(|n| made.digits(&format!("{n:02}"))).collect();
        assert_eq!(digits.len(), 100);
    }

    #[test]
    fn ids_keep_their_length_and_their_order() {
        let mut made = invented();
        let ids = ["706405506930370084", "706405506930370085", "8214905651352", "8214905651353", "12345"];
        made.ids(&ids.iter().map(ToString::to_string).collect());
        let others: Vec<_> = ids.iter().map(|id| made.digits(id)).collect();
        for (id, other) in ids.iter().zip(&others) {
            assert!(id.len() == other.len() && id != other && id[..1] == other[..1], "{id} {other}");
        }
        assert!(others[0] < others[1] && others[2] < others[3]);
    }

    #[test]
    fn a_phone_number_keeps_its_country_and_its_form() {
        let mut made = invented();
        let (e164, local) = (made.phone("+61412345678"), made.phone("0412 345 678"));
        assert!(e164.starts_with("+6141") && e164.len() == 12 && e164 != "+61412345678", "{e164}");
        assert_eq!(local.replace(' ', ""), format!("0{}", &e164[3..]), "{local}");
        assert_eq!(Invented::tail("+61 412 345 678"), Invented::tail("0412345678"));
    }

    #[test]
    fn an_address_for_mail_stays_one_and_domains_stay_apart() {
        let mut made = invented();
        let (one, two) = (made.email("Ada.L@lovelace.dev"), made.email("ada.l@analytical.dev"));
        let ((local, domain), (other, elsewhere)) = (one.split_once('@').unwrap(), two.split_once('@').unwrap());
        assert_eq!(local.to_lowercase(), other);
        assert!(domain.ends_with(".example") && elsewhere.ends_with(".example") && domain != elsewhere, "{one} {two}");
        assert!(made.email("ada@example.com").ends_with("@example.com"));
        assert_eq!(made.email("ada.l%40lovelace.dev"), one.to_lowercase().replace('@', "%40"));
    }

    #[test]
    fn other_forms_are_kept() {
        let mut made = invented();
        let uuid = made.token("9d2b6f1e-3c58-4a07-9e41-7f0c2a5d8b36");
        assert!(is_uuid(&uuid) && uuid.as_bytes()[14] == b'4' && uuid != "9d2b6f1e-3c58-4a07-9e41-7f0c2a5d8b36");
        let day = made.day("1815-12-10 00:00:00");
        assert!(day.starts_with("1815-") && day.ends_with(" 00:00:00") && !day.starts_with("1815-12-10"), "{day}");
        assert!(made.ip("203.0.113.7").starts_with("10."));
    }
}
