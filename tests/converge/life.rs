//! A life: what people do, when, under which settings and with which troubles; all of it out of one seed.
//!
//! Knows what can be done; not how it is carried out, nor what should come of it.

use std::fmt;

use super::addresses;

/// A field that both sides have and that must agree in the end. A line here is all that a new one needs.
pub struct Mapped {
    /// In settings, memory and reasons.
    pub name: &'static str,
    /// Keys of the customer's and the profile's body.
    pub shopify: &'static str,
    pub omneo: &'static str,
    /// Where Omneo has it instead while the first is somebody else's and the memory says so.
    pub omneo_second: Option<&'static str>,
    /// What people write into it.
    pub values: &'static [Option<&'static str>],
    /// Whether two persons cannot have one value.
    pub unique: bool,
    /// The value as far as both stores can hold it.
    pub neutral: fn(&str) -> String,
}

const NAMES: &[Option<&str>] =
    &[Some("ada"), Some("Ada"), Some("mcDonald"), Some("jean luc"), Some("ÉMILE"), Some("Zoë"), None];
const EMAILS: &[Option<&str>] =
    &[Some("a@mail.example"), Some("b@mail.example"), Some("c@mail.example"), Some("d@mail.example")];
const PHONES: &[Option<&str>] = &[Some("+61400000001"), Some("+61400000002"), Some("+61400000003"), None];

pub const MAPPED: &[Mapped] = &[
    mapped("first_name", "first_name", "first_name", NAMES, title_case),
    mapped("last_name", "last_name", "last_name", NAMES, title_case),
    Mapped { unique: true, ..mapped("email", "email", "email", EMAILS, str::to_lowercase) },
    Mapped {
        unique: true,
        omneo_second: Some("secondary_phone"),
        ..mapped("phone", "phone", "mobile_phone", PHONES, str::to_owned)
    },
];

const fn mapped(
    name: &'static str,
    shopify: &'static str,
    omneo: &'static str,
    values: &'static [Option<&'static str>],
    neutral: fn(&str) -> String,
) -> Mapped {
    Mapped { name, shopify, omneo, omneo_second: None, values, unique: false, neutral }
}

/// As Omneo writes names: every word begins with a capital, the rest is small. Its `Unknown` is no name.
fn title_case(name: &str) -> String {
    let mut before = ' ';
    let cased = name.chars().flat_map(|c| {
        let begins = !std::mem::replace(&mut before, c).is_alphabetic();
        if begins { c.to_uppercase().collect::<Vec<_>>() } else { c.to_lowercase().collect() }
    });
    let cased: String = cased.collect();
    if cased == "Unknown" { String::new() } else { cased }
}

pub const WHITELIST: [&str; 3] = ["vip", "mobile app", "wholesale"];
pub const TAGS: [&str; 6] = ["vip", "mobile app", "mobile-app", "other", "cx-gold", "gold"];
pub const OWN_TAGS: [&str; 4] = ["gold", "mobile app", "vip", "stylist client"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Shopify,
    Omneo,
}

#[derive(Clone, Debug)]
pub struct Life {
    pub seed: u64,
    /// One of [`SETTINGS`].
    pub settings: usize,
    pub plot: Plot,
    pub deeds: Vec<Deed>,
    pub troubles: Troubles,
}

/// What decides how much can be said of the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plot {
    /// Anything within twenty seconds.
    Busy,
    /// A minute between any two deeds.
    Wide,
    /// Two people edit one field at nearly the same moment.
    Duel,
    /// Somebody edits the field or the address that a write of ours is just about to change.
    Ambush,
}

#[derive(Clone, Debug)]
pub struct Deed {
    pub when: When,
    pub what: What,
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Milliseconds from the beginning.
    At(i64),
    /// Just before the first write of fields to that side after this time.
    BeforeWrite(Side, i64),
}

#[derive(Clone, Debug)]
pub enum What {
    Born { side: Side, values: Vec<Option<&'static str>> },
    Set { side: Side, who: usize, field: usize, value: Option<&'static str> },
    Tag { side: Side, who: usize, tag: &'static str, is_added: bool },
    Consent { side: Side, who: usize, medium: &'static str, decision: u8 },
    Delete { side: Side, who: usize },
    Address { side: Side, who: usize, deed: addresses::Deed },
    Order { number: u64, who: Option<usize>, step: Step },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Placed,
    Paid,
    /// Something happens to it; the number says what.
    Changed(u8),
    Cancelled,
}

/// Of a hundred; shrinking switches one after the other off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Troubles {
    /// Webhooks that come twice.
    pub doubled: u8,
    /// Webhooks that come late, up to nine seconds, so that they overtake each other; and by hours.
    pub late: u8,
    pub hours_late: u8,
    /// Calls that are carried out and whose answers are lost.
    pub lost: u8,
    /// Calls that are refused for now: 429, 503, THROTTLED, a closed connection.
    pub refused: u8,
    /// Calls that take longer than a moment.
    pub slow: u8,
    /// What operators do, and kills: of a hundred moments, as `operators.rs` has them.
    pub restarted: u8,
    pub held: u8,
    pub dropped: u8,
    pub drained: u8,
    pub activated: u8,
    pub rolled_back: u8,
    pub retried: u8,
    pub reloaded: u8,
    pub killed: u8,
    /// Whether Shopify keeps protected customer data from webhooks.
    pub is_bare: bool,
}

/// Rules files that lives are lived under.
pub const SETTINGS: [&str; 6] = [
    "",
    "[fields]\nfirst_name.owner = \"omneo\"\nlast_name.owner = \"omneo\"\nemail.owner = \"omneo\"\nphone.owner = \"omneo\"\n[people]\nemail_to_accounts = true\n[addresses]\nowner = \"omneo\"\n",
    "[fields]\nfirst_name.owner = \"shopify\"\nlast_name.owner = \"shopify\"\nemail.owner = \"shopify\"\nphone.owner = \"shopify\"\n[addresses]\nowner = \"shopify\"\n",
    "[fields]\nfirst_name.owner = \"omneo\"\nlast_name.owner = \"shopify\"\nemail.owner = \"latest\"\nphone.owner = \"omneo\"\n[people]\non_customer_delete = \"ignore\"\n[orders]\nrefunds = \"update\"\n",
    "[sync]\nomneo_to_shopify = false\n",
    "[sync]\nshopify_to_omneo = false\n",
];

/// Who wins a field by these settings: `omneo`, `shopify` or `latest`.
pub fn owner(settings: usize, field: usize) -> &'static str {
    match (settings, MAPPED[field].name) {
        (1, _) | (3, "first_name" | "phone") => "omneo",
        (2, _) | (3, "last_name") => "shopify",
        _ => "latest",
    }
}

/// The same of addresses.
pub fn address_owner(settings: usize) -> &'static str {
    ["latest", "omneo", "shopify", "latest", "latest", "latest"][settings]
}

pub fn writes_to(settings: usize, side: Side) -> bool {
    !matches!((settings, side), (4, Side::Shopify) | (5, Side::Omneo))
}

pub fn rules_file(settings: usize) -> String {
    // Tags come first in the file so that a setting's own tables may follow.
    format!(
        "timezone = \"Australia/Melbourne\"\ntags = {{ whitelist = [{}] }}\n{}",
        WHITELIST.map(|tag| format!("{tag:?}")).join(", "),
        SETTINGS[settings]
    )
}

impl Life {
    pub fn from_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7a6d);
        let plot = [Plot::Busy, Plot::Wide, Plot::Duel, Plot::Ambush][(seed % 4) as usize];
        let settings = if random.u8(..100) < 12 { random.usize(4..6) } else { random.usize(0..4) };
        let mut deeds = vec![];
        for n in 0..1 + usize::from(random.u8(..3) == 0) + usize::from(random.u8(..6) == 0) {
            births(&mut random, &mut deeds, n);
        }
        if plot == Plot::Busy && random.u8(..100) < 30 {
            takeover(&mut random, &mut deeds);
        }
        match plot {
            Plot::Busy | Plot::Wide => {
                for n in 0..random.i64(1..9) {
                    let at = if plot == Plot::Wide { 60_000 * (n + 1) } else { random.i64(0..20_000) };
                    deed(&mut random, at, &mut deeds);
                }
            }
            Plot::Duel => {
                let (field, offset) = (random.usize(..2), random.i64(-4_000..4_000));
                deeds.push(set(When::At(100_000), Side::Shopify, field, "From Shopify"));
                deeds.push(set(When::At(100_000 + offset), Side::Omneo, field, "From Omneo"));
            }
            Plot::Ambush => {
                let field = random.usize(..2);
                let (first, second) =
                    if random.bool() { (Side::Shopify, Side::Omneo) } else { (Side::Omneo, Side::Shopify) };
                if random.u8(..3) == 0 {
                    // Alone: a write of a field in the same second would hide when the address was edited.
                    let on = |side, deed| What::Address { side, who: 0, deed };
                    let add = addresses::Deed::Add("1 Old Street");
                    deeds.push(Deed { when: When::At(30_000), what: on(first, add) });
                    let [one, other] =
                        ["2 First Street", "3 Second Street"].map(|street| addresses::Deed::Move(0, street));
                    deeds.push(Deed { when: When::At(100_000), what: on(first, one) });
                    deeds.push(Deed { when: When::BeforeWrite(second, 100_000), what: on(second, other) });
                } else {
                    let named = |side| if side == Side::Shopify { "From Shopify" } else { "From Omneo" };
                    deeds.push(set(When::At(100_000), first, field, named(first)));
                    deeds.push(set(When::BeforeWrite(second, 100_000), second, field, named(second)));
                }
            }
        }
        let is_bare = matches!(plot, Plot::Busy) && random.u8(..100) < 8;
        let is_operated = random.bool() || std::env::var_os("TANDEM_OPERATORS").is_some();
        let operators = u8::from(is_operated);
        let troubles = Troubles {
            doubled: 15,
            late: 60,
            hours_late: 2,
            lost: 6,
            refused: 4,
            slow: 75,
            restarted: operators,
            held: operators,
            // What was dropped is not owed, so that less can be said of such a life.
            dropped: if random.u8(..4) == 0 { operators } else { 0 },
            drained: operators,
            activated: 2 * operators,
            rolled_back: operators,
            retried: operators,
            reloaded: operators,
            killed: operators,
            is_bare,
        };
        Self { seed, settings, plot, deeds, troubles }
    }
}

fn set(when: When, side: Side, field: usize, value: &'static str) -> Deed {
    Deed { when, what: What::Set { side, who: 0, field, value: Some(value) } }
}

fn births(random: &mut fastrand::Rng, deeds: &mut Vec<Deed>, n: usize) {
    let mut values: Vec<_> = MAPPED.iter().map(|field| field.values[random.usize(..field.values.len())]).collect();
    for (value, field) in values.iter_mut().zip(MAPPED).filter(|(_, field)| field.unique) {
        *value = if field.name == "email" || random.bool() { field.values[n % field.values.len()] } else { None };
    }
    let (one, other) = if random.bool() { (Side::Shopify, Side::Omneo) } else { (Side::Omneo, Side::Shopify) };
    deeds.push(Deed { when: When::At(0), what: What::Born { side: one, values: values.clone() } });
    if random.u8(..100) < 30 {
        // The same person signs up on the other side at that moment, and gives another name.
        values[0] = Some("Adele");
        let at = [0, 30, 900][random.usize(..3)];
        deeds.push(Deed { when: When::At(at), what: What::Born { side: other, values } });
    }
}

/// The first customer gives an e-mail up, and at nearly the same moment somebody else signs up with it and buys.
fn takeover(random: &mut fastrand::Rng, deeds: &mut Vec<Deed>) {
    let Some(What::Born { values, .. }) = deeds.first().map(|deed| deed.what.clone()) else { return };
    let (at, side) = (random.i64(22_000..25_000), Side::Shopify);
    let (field, value) = (2, Some("e@mail.example"));
    deeds.push(Deed { when: When::At(at), what: What::Set { side, who: 0, field, value } });
    let at = at + [10, 300, 2_000][random.usize(..3)];
    let values = vec![Some("Bob"), Some("Boole"), values[field], None];
    deeds.push(Deed { when: When::At(at), what: What::Born { side, values } });
    for (n, step) in [Step::Placed, Step::Paid].into_iter().enumerate() {
        // The youngest customer is the last one.
        let what = What::Order { number: 4_599, who: Some(usize::MAX), step };
        deeds.push(Deed { when: When::At(at + 20 + n as i64 * random.i64(1..900)), what });
    }
}

fn deed(random: &mut fastrand::Rng, at: i64, deeds: &mut Vec<Deed>) {
    let side = if random.bool() { Side::Shopify } else { Side::Omneo };
    let who = random.usize(..6);
    let what = match random.u8(..100) {
        0..50 => {
            let field = random.usize(..MAPPED.len());
            let values = MAPPED[field].values;
            What::Set { side, who, field, value: values[random.usize(..values.len())] }
        }
        50..66 => {
            let tags: &[&str] = if side == Side::Shopify { &TAGS } else { &OWN_TAGS };
            What::Tag { side, who, tag: tags[random.usize(..tags.len())], is_added: random.u8(..100) < 65 }
        }
        66..82 => {
            What::Consent { side, who, medium: if random.bool() { "email" } else { "sms" }, decision: random.u8(..4) }
        }
        82..88 => {
            let street = ["1 High Street", "2 Low Road", "3 Long Lane"][random.usize(..3)];
            let n = random.usize(..3);
            let deed = match random.u8(..10) {
                0..5 => addresses::Deed::Add(street),
                5..9 => addresses::Deed::Move(n, street),
                _ => addresses::Deed::Drop(n),
            };
            What::Address { side, who, deed }
        }
        88..97 => {
            let (number, last) = (4_501 + random.u64(..2), random.usize(..6));
            let who = (random.u8(..4) > 0).then_some(who);
            // From placing on, as far as this order comes.
            let changed = [(); 3].map(|()| Step::Changed(random.u8(..)));
            let steps = [Step::Placed, Step::Paid].into_iter().chain(changed).chain([Step::Cancelled]);
            for (n, step) in steps.take(last + 1).enumerate() {
                let when = When::At(at + n as i64 * random.i64(0..1_500));
                deeds.push(Deed { when, what: What::Order { number, who, step } });
            }
            return;
        }
        _ => What::Delete { side, who },
    };
    deeds.push(Deed { when: When::At(at), what });
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let settings = SETTINGS[self.settings].lines().collect::<Vec<_>>().join(" ");
        writeln!(f, "settings: {}", if settings.is_empty() { "those by default" } else { &settings })?;
        writeln!(f, "troubles: {:?}", self.troubles)?;
        let mut deeds: Vec<_> = self.deeds.iter().collect();
        deeds.sort_by_key(|deed| match deed.when {
            When::At(at) | When::BeforeWrite(_, at) => at,
        });
        for deed in deeds {
            match deed.when {
                When::At(at) => write!(f, "  at {:>9.3} s  ", at as f64 / 1000.0)?,
                When::BeforeWrite(side, at) => {
                    write!(f, "  from {:>7.3} s, just before {side:?} is written  ", at as f64 / 1000.0)?
                }
            }
            writeln!(f, "{:?}", deed.what)?;
        }
        Ok(())
    }
}
