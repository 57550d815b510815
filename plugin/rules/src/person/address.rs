//! One address in a form that both systems can hold: how each system names its parts, and when two addresses count as
//! the same. Makes no calls.

use serde_json::Map;
use tandem_sdk::{Value, View, Wrong, json};

use super::mark::Mark;

/// The mapped parts of an address, with their names in a webhook of Shopify, in its GraphQL, in its input, and in
/// Omneo. Inferred: Omneo's `iso` and `iso_state` are the codes, and `country` and `state` the names. Where only a
/// short `country` or `state` in capitals is given, it is read as the code too.
const PARTS: [(&str, &str, &str, &str); COUNT] = [
    ("/address1", "/address1", "address1", "address_line_1"),
    ("/address2", "/address2", "address2", "address_line_2"),
    ("/city", "/city", "city", "city"),
    ("/company", "/company", "company", "company"),
    ("/zip", "/zip", "zip", "postcode"),
    ("/phone", "/phone", "phone", "phone"),
    ("/province", "/province", "province", "state"),
    ("/province_code", "/provinceCode", "provinceCode", "iso_state"),
    ("/country", "/country", "country", "country"),
    ("/country_code", "/countryCodeV2", "countryCode", "iso"),
    ("", "", "", "name"),
];
const COUNT: usize = 11;
const PHONE: usize = 5;
const STATE: usize = 6;
const COUNTRY: usize = 8;
const NAME: usize = 10;

/// The parts that Omneo's documentation requires of an address.
const REQUIRED: [usize; 4] = [0, 2, 4, COUNTRY];

/// An address of either side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Address {
    /// The id of the address on its own side.
    pub id: String,
    parts: [Option<String>; COUNT],
    /// Only in Omneo: the id of Shopify's address, or of another system's.
    pub external: Option<String>,
    pub is_default: bool,
    /// When the address was last changed, in seconds. Shopify's addresses have no clock of their own.
    pub at: Option<i64>,
}

impl Address {
    /// The address in a body; `None` where protected data is withheld, since the address lines are then absent instead
    /// of null.
    pub fn of_body(body: &View) -> Result<Option<Self>, Wrong> {
        if !body.has("/address1") {
            return Ok(None);
        }
        let parts = read(body, |part| part.0)?;
        let name = full_name(body, "/first_name", "/last_name")?;
        let is_default = body.opt_bool("/default")?.unwrap_or(false);
        Ok(Some(Self { id: body.id("/id")?.to_string(), is_default, ..Self::default() }.with(parts, name)))
    }

    pub fn of_node(node: &View) -> Result<Self, Wrong> {
        let name = full_name(node, "/firstName", "/lastName")?;
        Ok(Self { id: node.id("/id")?.to_string(), ..Self::default() }.with(read(node, |part| part.1)?, name))
    }

    pub fn of_row(row: &View) -> Result<Self, Wrong> {
        let mut parts: [Option<String>; COUNT] = Default::default();
        for (part, (.., key)) in parts.iter_mut().zip(PARTS) {
            *part = tidy(row.opt_loose(&format!("/{key}"))?);
        }
        let name = parts[NAME].take();
        let id = row.opt_loose("/id")?.ok_or_else(|| row.wrong("/id", "missing"))?;
        let external = tidy(row.opt_loose("/external_id")?);
        let is_default = row.opt_bool("/is_default") == Ok(Some(true));
        let at = crate::clock::seconds(row, "/updated_at")?;
        Ok(Self { id, external, is_default, at, ..Self::default() }.with(parts, name))
    }

    fn with(mut self, parts: [Option<String>; COUNT], name: Option<String>) -> Self {
        self.parts = parts;
        self.parts[NAME] = name;
        self
    }

    /// The mark of all mapped parts.
    pub fn mark(&self, whose: &str) -> Mark {
        let parts: Vec<_> = self.parts.iter().map(|part| part.as_deref().unwrap_or_default()).collect();
        Mark::of_text(&format!("{whose}\naddress\n{}", parts.join("\n")))
    }

    /// The parts that the address has, one bit for each.
    pub fn parts(&self) -> u16 {
        (0..COUNT).filter(|n| self.parts[*n].is_some()).map(|n| 1 << n).sum()
    }

    /// Whether both addresses say the same, apart from case, blanks and the notation of countries and states.
    pub fn same(&self, other: &Self) -> bool {
        (0..COUNT).all(|n| self.same_part(other, n))
    }

    fn same_part(&self, other: &Self, n: usize) -> bool {
        match n {
            STATE | COUNTRY => self.same_place(other, n),
            _ if n == STATE + 1 || n == COUNTRY + 1 => self.same_place(other, n - 1),
            _ => folded(n, &self.parts[n]) == folded(n, &other.parts[n]),
        }
    }

    fn same_place(&self, other: &Self, n: usize) -> bool {
        let code = |of: &Self| of.code(n);
        let words = |of: &Self| [folded(n, &of.parts[n]), folded(n, &of.parts[n + 1])];
        match (code(self), code(other)) {
            (Some(a), Some(b)) => a == b,
            _ => {
                let (a, b) = (words(self), words(other));
                (a == [None, None] && b == [None, None])
                    || a.iter().flatten().any(|a| b.iter().flatten().any(|b| a == b))
            }
        }
    }

    /// The code of a country or a state; for Omneo's `AU-VIC`, `VIC`.
    fn code(&self, n: usize) -> Option<String> {
        let is_code = |text: &&String| {
            let most = if n == COUNTRY { 2 } else { 3 };
            (2..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let code = self.parts[n + 1].clone().or_else(|| self.parts[n].as_ref().filter(is_code).cloned())?;
        let code = code.split_once('-').map_or(code.as_str(), |(_, code)| code).to_uppercase();
        Some(code)
    }

    /// What the address lacks that Omneo requires; `None` when it lacks nothing.
    pub fn lacks(&self) -> Option<String> {
        let is_there = |n: usize| self.parts[n].is_some() || (n == COUNTRY && self.parts[n + 1].is_some());
        let lacking: Vec<_> = REQUIRED.into_iter().filter(|n| !is_there(*n)).map(|n| PARTS[n].3).collect();
        (!lacking.is_empty()).then(|| format!("Omneo requires {}, which Shopify's does not have", lacking.join(", ")))
    }

    /// The keys to store in Omneo: every part that the address has, and null for each part that it had before.
    pub fn for_omneo(&self, had: u16) -> Map<String, Value> {
        let mut body = Map::new();
        for (n, (.., key)) in PARTS.into_iter().enumerate() {
            match &self.parts[n] {
                Some(value) => drop(body.insert(key.into(), json!(value))),
                None if had & (1 << n) != 0 => drop(body.insert(key.into(), Value::Null)),
                None => {}
            }
        }
        if !body.contains_key("country") || body["country"].is_null() {
            body.extend(self.parts[COUNTRY + 1].as_ref().map(|code| ("country".to_owned(), json!(code))));
        }
        body
    }

    /// The keys to store in Shopify: the parts that differ from what Shopify shows now, and null for each part that the
    /// address had before.
    pub fn for_shopify(&self, now: Option<&Address>, had: u16) -> Map<String, Value> {
        let mut input = Map::new();
        for (n, (_, _, key, _)) in PARTS.into_iter().enumerate() {
            if now.is_some_and(|now| self.same_part(now, n)) {
                continue;
            }
            let value = match n {
                STATE | COUNTRY if self.code(n).is_some() => continue,
                _ if n == STATE + 1 || n == COUNTRY + 1 => self.code(n - 1),
                _ => self.parts[n].clone(),
            };
            let was_there = had & (1 << n) != 0;
            if n == NAME {
                // Omneo has one name where Shopify wants two: the last word is taken as the last name.
                let name = value.unwrap_or_default();
                let (first, last) = name.rsplit_once(' ').unwrap_or((name.as_str(), ""));
                if !name.is_empty() || was_there {
                    input.insert("firstName".into(), json!(first));
                    input.insert("lastName".into(), json!(last));
                }
                continue;
            }
            match value {
                Some(value) => drop(input.insert(key.into(), json!(value))),
                None if was_there => drop(input.insert(key.into(), Value::Null)),
                None => {}
            }
        }
        input
    }

    /// The id as Shopify's GraphQL writes it.
    pub fn gid(id: &str) -> String {
        format!("gid://shopify/MailingAddress/{id}?model_name=CustomerAddress")
    }
}

fn read(
    from: &View,
    at: impl Fn((&'static str, &'static str, &'static str, &'static str)) -> &'static str,
) -> Result<[Option<String>; COUNT], Wrong> {
    let mut parts: [Option<String>; COUNT] = Default::default();
    for (part, names) in parts.iter_mut().zip(PARTS) {
        if !at(names).is_empty() {
            *part = tidy(from.opt_loose(at(names))?);
        }
    }
    Ok(parts)
}

fn full_name(from: &View, first: &str, last: &str) -> Result<Option<String>, Wrong> {
    let names = [from.opt_loose(first)?, from.opt_loose(last)?];
    Ok(tidy(Some(names.into_iter().flatten().collect::<Vec<_>>().join(" "))))
}

fn tidy(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn folded(n: usize, value: &Option<String>) -> Option<String> {
    let value = value.as_ref()?;
    let folded: String = match n {
        PHONE => value.chars().filter(char::is_ascii_digit).collect(),
        _ => value.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect(),
    };
    Some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::Json;

    fn row(value: Value) -> Address {
        Address::of_row(&Json::answer(value.to_string()).unwrap().view()).unwrap()
    }

    fn body(value: Value) -> Option<Address> {
        Address::of_body(&Json::answer(value.to_string()).unwrap().view()).unwrap()
    }

    #[test]
    fn both_sides_write_one_address_in_their_own_way() {
        let omneo = row(json!({"id": 8, "address_line_1": "1 High St", "city": "MELBOURNE", "postcode": "3000",
            "state": "VIC", "country": "AU", "name": "Ada Byron"}));
        let shopify = body(
            json!({"id": 5, "address1": "1 High St", "city": "Melbourne", "zip": "3000", "province": "Victoria",
            "province_code": "VIC", "country": "Australia", "country_code": "AU", "first_name": "Ada", "last_name": "Byron"}),
        );
        assert!(omneo.same(&shopify.unwrap()));
        let input = omneo.for_shopify(None, 0);
        assert_eq!((&input["countryCode"], &input["provinceCode"]), (&json!("AU"), &json!("VIC")));
        assert_eq!((&input["firstName"], &input["lastName"]), (&json!("Ada"), &json!("Byron")));
        assert!(!input.contains_key("country"));
    }

    #[test]
    fn null_clears_only_what_was_there() {
        let address =
            row(json!({"id": 8, "address_line_1": "1 High St", "city": "X", "postcode": "1", "country": "AU"}));
        assert!(!address.for_omneo(0).contains_key("company"));
        assert_eq!(address.for_omneo(1 << 3)["company"], Value::Null);
    }

    #[test]
    fn withheld_data_is_no_address() {
        assert_eq!(body(json!({"id": 5, "country": "Canada", "country_code": "CA"})), None);
        let bare = body(json!({"id": 5, "address1": "1 High St", "country_code": "AU"})).unwrap();
        assert_eq!(bare.lacks().unwrap(), "Omneo requires city, postcode, which Shopify's does not have");
    }
}
