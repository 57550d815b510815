//! One life from one seed: people are created and edited until everything has come to rest. Knows what people do, and
//! not what is right.

use std::collections::{BTreeMap, BTreeSet};

use tandem_sdk::json;

use super::check::check;
use super::edits::{duel, edit};
use super::{Manners, Random, World, omneo_name};

pub const FIELDS: [&str; 4] = ["first_name", "last_name", "email", "phone"];
pub const NAMES: [Option<&str>; 7] =
    [Some("ada"), Some("Ada"), Some("mcDonald"), Some("jean luc"), Some("ÉMILE"), Some("Zoë"), None];
pub const PHONES: [Option<&str>; 4] = [Some("+61400000001"), Some("+61400000002"), Some("+61400000003"), None];
pub const EMAILS: [&str; 4] = ["a@example.org", "b@example.org", "c@example.org", "d@example.org"];
pub const WHITELIST: [&str; 3] = ["vip", "mobile app", "wholesale"];

/// A side, and an id on it.
pub type Who = (&'static str, String);
type Shown = BTreeMap<&'static str, Option<String>>;

/// The time, the value, and whether the two halves differed just before. The last is not known while a write is under
/// way.
pub type Edit = (i64, Option<String>, Option<bool>);

/// What people did, for comparison with the result.
#[derive(Default)]
pub struct History {
    pub edits: BTreeMap<(Who, &'static str), Vec<Edit>>,
    /// Fields in which somebody once wanted a value that another person had.
    pub collided: BTreeSet<&'static str>,
    pub count: usize,
}

pub struct Life {
    pub world: World,
    pub bad: Vec<String>,
    pub edits: usize,
    /// The number of calls before the events were replayed.
    pub calls: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Plot {
    /// Edits within twenty seconds.
    Busy,
    /// A minute between any two edits.
    Wide,
    /// Two people edit one field at almost the same moment.
    Duel,
}

thread_local! {
    static HISTORY: std::cell::RefCell<History> = std::cell::RefCell::default();
}

pub fn history<T>(f: impl FnOnce(&mut History) -> T) -> T {
    HISTORY.with_borrow_mut(f)
}

pub fn plain(field: &str, value: &str) -> Option<String> {
    let value = if field == "email" { value.to_lowercase() } else { value.trim().to_owned() };
    let is_nothing = value.is_empty() || (field.ends_with("name") && value == "Unknown");
    (!is_nothing).then_some(value)
}

/// Whether two values are equal as far as both stores can hold them.
pub fn same(field: &str, a: &Option<String>, b: &Option<String>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if field.ends_with("name") => omneo_name(a) == omneo_name(b),
        (a, b) => a == b,
    }
}

pub fn shown(world: &World, who: &Who) -> Option<Shown> {
    let values = |of: &dyn Fn(&str) -> Option<String>| {
        FIELDS.into_iter().map(|field| (field, of(field).and_then(|value| plain(field, &value)))).collect()
    };
    if who.0 == "shopify" {
        let customer = world.shopify.customers.get(&who.1.parse().ok()?)?;
        return Some(values(&|field| customer.get(field).clone()));
    }
    let profile = world.omneo.profiles.get(&who.1)?;
    // Only the memory tells in which slot the phone is.
    let second = world.memory(&format!("omneo/profile/{}", who.1))["second_phone"] == json!(true);
    let second = profile.secondary_phone.clone().filter(|_| second);
    Some(values(&|field| match field {
        "first_name" => Some(profile.first_name.clone()),
        "last_name" => Some(profile.last_name.clone()),
        "email" => Some(profile.email.clone()),
        _ => profile.mobile_phone.clone().or(second.clone()),
    }))
}

pub fn other_half(world: &World, who: &Who) -> Option<Who> {
    if who.0 == "shopify" {
        let profile = world.omneo.profiles.values().find(|profile| profile.identities.contains(&who.1))?;
        return Some(("omneo", profile.id.clone()));
    }
    let ids = &world.omneo.profiles.get(&who.1)?.identities;
    let id = ids.iter().find(|id| id.parse().is_ok_and(|id| world.shopify.customers.contains_key(&id)))?;
    Some(("shopify", id.clone()))
}

fn born(world: &World, who: Who) {
    let values = shown(world, &who).expect("it was just made");
    history(|history| {
        history.count += 1;
        for (field, value) in values {
            history.edits.entry((who.clone(), field)).or_default().push((world.now, value, Some(false)));
        }
    });
}

/// Runs one life.
pub fn live(seed: u64, without_claims: bool, is_traced: bool) -> Life {
    let mut dice = Random(seed.wrapping_mul(77) + 5);
    let owner = dice.pick(&["shopify", "omneo"]);
    let rules = json!({
        "timezone": "UTC", "tags": { "whitelist": WHITELIST }, "people": { "email_to_accounts": dice.percent(50) },
        "fields": { "last_name": { "owner": owner } },
    });
    let manners = Manners { is_wild: true, without_claims, is_omneo_silent: dice.percent(25) };
    let mut world = World::new(rules, seed, manners);
    world.is_traced = is_traced;
    world.has_addresses = dice.percent(50);
    world.shopify.is_chatty = dice.percent(40);
    world.shopify.has_old_bodies = dice.percent(25);
    history(|history| *history = History::default());
    for n in 0..dice.pick(&[1, 1, 2]) {
        birth(&mut world, &mut dice, n);
    }
    let plot = [Plot::Busy, Plot::Wide, Plot::Duel, Plot::Wide][(seed % 4) as usize];
    if plot == Plot::Duel {
        let offset = dice.below(8000) - 4000;
        world.after(100_000, |world| duel(world, "shopify"));
        world.after(100_000 + offset, |world| duel(world, "omneo"));
    } else {
        for n in 0..1 + dice.below(8) {
            let when = if plot == Plot::Wide { 60_000 * (n + 1) } else { dice.below(20_000) };
            world.after(when, edit);
        }
    }
    let mut bad = vec![];
    if !world.rest() {
        bad.push("never comes to rest".to_owned());
    }
    let edits = history(|history| history.count);
    let calls = world.calls.len();
    if calls > 14 * edits + 30 {
        bad.push(format!("echo storm: {calls} calls for {edits} edits"));
    }
    bad.extend(check(&world, plot, owner));
    bad.extend(super::invariants::broken(&world));
    bad.extend(replay(&mut world));
    bad.extend(check(&world, Plot::Busy, owner).into_iter().map(|bad| format!("after replay: {bad}")));
    Life { world, bad, edits, calls }
}

fn birth(world: &mut World, dice: &mut Random, n: usize) {
    let email = EMAILS[n];
    let phone = if n == 0 { dice.pick(&PHONES) } else { None };
    let (name, last) = (dice.pick(&NAMES), dice.pick(&NAMES));
    match dice.below(100) {
        0..40 => {
            let has_account = dice.percent(30);
            let id = world.edit(|world| {
                let values = [("first_name", name), ("last_name", last), ("email", Some(email)), ("phone", phone)];
                let id = world.shopify.create(&values).expect("nobody else is there");
                world.shopify.customers.get_mut(&id).expect("it was just made").has_account = has_account;
                id
            });
            born(world, ("shopify", id.to_string()));
        }
        40..70 => {
            let body = json!({ "first_name": name, "last_name": last, "email": email, "mobile_phone": phone });
            let id = world.edit(|world| world.omneo.create(&body).expect("nobody else is there"));
            born(world, ("omneo", id));
        }
        _ => {
            let values = [("first_name", Some("ada")), ("last_name", Some("x")), ("email", Some(email))];
            let id = world.edit(|world| world.shopify.create(&values).expect("nobody else is there"));
            born(world, ("shopify", id.to_string()));
            let delay = dice.pick(&[0, 30, 900]);
            world.after(delay, move |world| {
                let body = json!({ "first_name": "Adele", "email": email });
                if let Ok(id) = world.edit(|world| world.omneo.create(&body)) {
                    born(world, ("omneo", id));
                }
            });
        }
    }
}

/// Delivers every event once more. In the first round, values that waited for somebody else may still be written; in
/// the second, nothing may be.
fn replay(world: &mut World) -> Vec<String> {
    let events = std::mem::take(&mut world.delivered);
    for round in 0..2 {
        let before = world.writes.len();
        for event in &events {
            world.send(1 + world.random.0 as i64 % 2, event.clone());
            world.rest();
        }
        let is_waiting = world.host.dead_letters().next().is_some()
            || world.host.memories().any(|memory| memory.contains("\"held\""));
        if world.writes.len() > before && (round == 1 || !is_waiting) {
            return vec![format!("replay {round} wrote {:?}", &world.writes[before..])];
        }
    }
    vec![]
}
