//! Shopify's search syntax, as far as it is used for looking through a whole shop: `field:value` terms with `>`, `>=`, `<` and
//! `<=`, quoted or not, all of which must hold. Knows nothing of who or what is looked for.

use crate::clock;

/// A query, read once and asked of many.
pub(crate) struct Search(Vec<Term>);

struct Term {
    field: String,
    relation: Relation,
    value: String,
    /// The value as a number, and as a time in Unix milliseconds.
    number: Option<i64>,
    at_ms: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    More,
    AtLeast,
    Less,
    AtMost,
}

/// What a thing has in a field.
pub(crate) enum Field<'a> {
    Number(i64),
    /// Unix milliseconds.
    Time(i64),
    /// A time that is looked for by its day alone; the minutes are the shop's offset from UTC.
    Day(i64, i32),
    Text(Option<&'a str>),
    AnyOf(&'a [String]),
    /// Nothing of this kind can be looked for by it.
    Unknown,
}

impl Search {
    pub fn read(query: &str) -> Search {
        Search(terms(query).iter().map(|term| Term::read(term)).collect())
    }

    /// Whether all terms hold of a thing whose fields `field` gives.
    pub fn holds<'a>(&self, field: impl Fn(&str) -> Field<'a>) -> bool {
        self.0.iter().all(|term| term.holds(&field(&term.field)))
    }
}

impl Term {
    fn read(term: &str) -> Term {
        let (field, value) = term.split_once(':').unwrap_or(("", term));
        let signs = [(">=", Relation::AtLeast), ("<=", Relation::AtMost), (">", Relation::More), ("<", Relation::Less)];
        let found = signs.iter().find_map(|(sign, relation)| Some((value.strip_prefix(sign)?, *relation)));
        let (value, relation) = found.unwrap_or((value, Relation::Equal));
        let value = value.trim_matches(['"', '\'']).to_owned();
        let (number, at_ms) = (value.parse().ok(), clock::parse(&value));
        Term { field: field.to_owned(), relation, value, number, at_ms }
    }

    fn holds(&self, field: &Field) -> bool {
        let compared = |own: i64, wanted: Option<i64>| wanted.is_some_and(|wanted| self.relation.holds(own, wanted));
        match field {
            Field::Number(own) => compared(*own, self.number),
            Field::Time(own) => compared(own.div_euclid(1000), self.at_ms.map(|ms| ms.div_euclid(1000))),
            Field::Day(own, offset_minutes) => {
                let day = |ms: i64| (ms + i64::from(*offset_minutes) * 60_000).div_euclid(86_400_000);
                // A bare date is that day of the shop; a time is the day that the shop has then.
                let wanted =
                    self.at_ms.map(|ms| if self.value.len() == 10 { ms.div_euclid(86_400_000) } else { day(ms) });
                compared(day(*own), wanted)
            }
            Field::Text(own) => own.is_some_and(|own| own.eq_ignore_ascii_case(&self.value)),
            Field::AnyOf(own) => own.iter().any(|own| own.eq_ignore_ascii_case(&self.value)),
            Field::Unknown => false,
        }
    }
}

impl Relation {
    fn holds(self, own: i64, wanted: i64) -> bool {
        match self {
            Relation::Equal => own == wanted,
            Relation::More => own > wanted,
            Relation::AtLeast => own >= wanted,
            Relation::Less => own < wanted,
            Relation::AtMost => own <= wanted,
        }
    }
}

/// The query cut at blanks outside of quotes, without the word `AND`.
fn terms(query: &str) -> Vec<String> {
    let (mut terms, mut term, mut quote) = (Vec::new(), String::new(), None);
    for c in query.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                terms.push(std::mem::take(&mut term));
                continue;
            }
            _ => {}
        }
        term.push(c);
    }
    terms.push(term);
    terms.retain(|term| !term.is_empty() && term != "AND");
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_cut_outside_of_quotes_and_all_must_hold() {
        let at = |text: &str| clock::parse(text).unwrap();
        let search =
            Search::read("processed_at:>='2026-07-01T00:00:00Z' AND updated_at:<\"2026-07-02 00:00:00\" id:>7");
        let holds = |id: i64, processed: &str, updated: &str| {
            search.holds(|field| match field {
                "id" => Field::Number(id),
                "processed_at" => Field::Time(at(processed)),
                "updated_at" => Field::Time(at(updated)),
                _ => Field::Unknown,
            })
        };
        assert!(holds(8, "2026-07-01T00:00:00Z", "2026-07-01T23:59:59Z"));
        assert!(!holds(7, "2026-07-01T00:00:00Z", "2026-07-01T23:59:59Z"));
        assert!(!holds(8, "2026-06-30T23:59:59Z", "2026-07-01T23:59:59Z"));
        assert!(!holds(8, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"));
    }

    #[test]
    fn a_day_is_the_shops() {
        let holds = |query: &str, updated: &str, offset: i32| {
            Search::read(query).holds(|_| Field::Day(clock::parse(updated).unwrap(), offset))
        };
        assert!(holds("updated_at:>='2026-07-01T22:00:00Z'", "2026-07-01T00:00:00Z", 0), "the hour counts for nothing");
        assert!(holds("updated_at:>=2026-07-01", "2026-06-30T14:00:00Z", 600));
        assert!(!holds("updated_at:>=2026-07-01", "2026-06-30T13:59:59Z", 600));
        assert!(!holds("updated_at:>=2026-07-01", "2026-07-01T03:59:59Z", -240));
        assert!(Search::read("x:1").0.len() == 1 && !Search::read("x:1").holds(|_| Field::Unknown));
    }
}
