//! What must be true of a world at rest. Does not know how it came there, but for what people did.

use std::collections::BTreeSet;

use serde_json::Value;
use tandem::model::Outcome;

use super::addresses;
use super::life::{Life, MAPPED, Plot, Side, WHITELIST, owner, writes_to};
use super::orders;
use super::people::{Edit, Who, same};
use super::world::World;

/// Endings that are a person's to settle, and right.
const MEANT: [&str; 5] = [
    "the customer's e-mail belongs to profile",
    "has this e-mail, and belongs to profile",
    "are one, which only an event may say",
    "can neither be created nor found",
    "is deleted",
];

pub fn check(world: &World, life: &Life) -> Vec<String> {
    let mut bad = vec![];
    let both = writes_to(life.settings, Side::Shopify) && writes_to(life.settings, Side::Omneo);
    for memory in world.memories() {
        let (Some(customer), Some(profile)) = (memory["link"]["customer"].as_u64(), memory["link"]["profile"].as_str())
        else {
            continue;
        };
        let pair: [Who; 2] = [(Side::Shopify, customer.to_string()), (Side::Omneo, profile.to_owned())];
        let (Some(s), Some(o)) = (world.shown(&pair[0]), world.shown(&pair[1])) else { continue };
        // What was dropped is not owed.
        let both = both && !pair.iter().any(|(_, id)| is_dropped(world, id));
        // What a deleted customer left in a profile may win over whoever has its e-mail now. A customer whose profile
        // was deleted has another one only if the creation was sent again before anybody heard of it: nothing is
        // remembered of that one, so it meets the customer like a stranger. So does a profile that an order made.
        let is_bought = world.history.bought_first.contains(&pair[0].1);
        let is_taken_over = is_bought
            || world.history.deleted.iter().any(|(who, other)| match who.0 {
                Side::Shopify => other.as_ref().is_none_or(|other| *other == pair[1]),
                Side::Omneo => other.as_ref() == Some(&pair[0]),
            });
        for field in (0..MAPPED.len()).filter(|field| memory["held"][MAPPED[*field].name].is_null()) {
            bad.extend(check_erased(world, &pair, field, [&s[field], &o[field]]));
            // What an app is not shown it cannot carry.
            if !both || life.troubles.is_bare {
                continue;
            }
            if !same(field, &s[field], &o[field]) {
                bad.push(format!("{} differs: {:?} / {:?}", MAPPED[field].name, s[field], o[field]));
            }
            if !is_taken_over && !world.is_forgetful() {
                bad.extend(check_history(world, life, &pair, field, &s[field]));
            }
        }
        if both && !life.troubles.is_bare {
            let (customer, profile) =
                (world.shopify.customer(customer).unwrap(), world.omneo.profile(profile).unwrap());
            bad.extend(check_tags(&customer, &profile, &memory));
            bad.extend(check_consent(&customer, &profile, true));
            bad.extend(addresses::check(world, life, &pair, &memory, is_taken_over));
        }
    }
    bad.extend(check_everybody(world));
    bad.extend(check_over(world));
    bad.extend(orders::check(world, life));
    bad.extend(check_directions(world, life));
    bad
}

/// Whether a webhook was dropped that said something of this customer, profile or order.
pub fn is_dropped(world: &World, id: &str) -> bool {
    world.dropped.iter().any(|payload| payload.contains(id))
}

/// Every event is over, and once.
fn check_over(world: &World) -> Vec<String> {
    let mut ended: Vec<_> = world.host.ended.iter().map(|ended| ended.event).collect();
    ended.sort_unstable();
    let twice = ended.windows(2).filter(|two| two[0] == two[1]).map(|two| format!("event {} is over twice", two[0]));
    let mut open: Vec<_> = world.host.events.keys().filter(|event| ended.binary_search(event).is_err()).collect();
    open.sort_unstable();
    twice.chain(open.into_iter().map(|event| format!("event {event} is never over"))).collect()
}

fn edits<'a>(world: &'a World, who: &Who, field: usize) -> &'a [Edit] {
    world.history.edits.get(&(who.clone(), field)).map_or(&[], Vec::as_slice)
}

/// A field that is empty though nobody emptied it.
fn check_erased(world: &World, pair: &[Who; 2], field: usize, now: [&Option<String>; 2]) -> Vec<String> {
    let all: Vec<&Edit> = pair.iter().flat_map(|who| edits(world, who, field)).collect();
    let is_cleared = all.iter().any(|edit| edit.value.is_none());
    let erased = |(who, now): (&Who, &Option<String>)| {
        let was_set = edits(world, who, field).iter().any(|edit| edit.value.is_some());
        (was_set && now.is_none() && !is_cleared)
            .then(|| format!("erased: {} of {who:?}, which nobody cleared", MAPPED[field].name))
    };
    pair.iter().zip(now).filter_map(erased).collect()
}

fn check_history(world: &World, life: &Life, pair: &[Who; 2], field: usize, now: &Option<String>) -> Vec<String> {
    let (s, o) = (edits(world, &pair[0], field), edits(world, &pair[1], field));
    let (name, ends) = (MAPPED[field].name, [s.last(), o.last()].into_iter().flatten().collect::<Vec<_>>());
    let Some(last) = ends.iter().max_by_key(|edit| edit.at) else { return vec![] };
    let mut bad = vec![];
    // Of two edits in one second, no clock tells which was last.
    let is_last = |edits: &[Edit]| {
        edits
            .last()
            .is_some_and(|last| edits.iter().any(|edit| last.at - edit.at <= 1_000 && same(field, now, &edit.value)))
    };
    if !is_last(s) && !is_last(o) {
        bad.push(format!("lost edit: {name} is {now:?}, last edits were {ends:?}"));
    }
    // What a customer with an account, or Omneo without a name, cannot take is nobody's last word.
    let was_cleared = ends.iter().any(|edit| edit.value.is_none());
    let is_wide = life.plot == Plot::Wide && !world.was_hours_late;
    if is_wide
        && !was_cleared
        && !world.history.collided.contains(&field)
        && s.len().max(o.len()) > 1
        && !same(field, now, &last.value)
    {
        bad.push(format!("last edit not kept: {name} is {now:?}, edits were {s:?} and {o:?}"));
    }
    if matches!(life.plot, Plot::Duel | Plot::Ambush)
        && let (Some(a), Some(b)) = (s.last(), o.last())
        && a.value.as_deref() == Some("From Shopify")
        && b.value.as_deref() == Some("From Omneo")
        && (a.at - b.at).abs() > 1_000
    {
        // Whoever edited second may not have seen the other's edit: then the owner decides.
        let late = if a.at > b.at { a } else { b };
        let owned = match owner(life.settings, field) {
            "shopify" => a,
            "omneo" => b,
            _ => late,
        };
        let wins = match late.differed {
            Some(true) => [owned, owned],
            Some(false) => [late, late],
            None => [owned, late],
        };
        if !wins.iter().any(|wins| same(field, now, &wins.value)) {
            let owner = owner(life.settings, field);
            bad.push(format!("owner violated: {name} of {owner} is {now:?}, edits were {a:?} and {b:?}"));
        }
    }
    bad
}

fn folded(tag: &str) -> String {
    tag.replace(' ', "-").to_lowercase()
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn check_tags(customer: &Value, profile: &Value, memory: &Value) -> Vec<String> {
    let (brought, seen) = (texts(&memory["tags"]["brought"]), texts(&memory["tags"]["seen"]));
    let own = texts(&profile["tags"]);
    let expected: BTreeSet<_> = own
        .iter()
        .filter(|tag| !brought.contains(&folded(tag)))
        .map(|tag| format!("cx-{}", tag.to_lowercase()))
        .collect();
    let have: BTreeSet<_> =
        texts(&customer["tags"]).iter().map(|tag| tag.to_lowercase()).filter(|tag| tag.starts_with("cx-")).collect();
    let mut bad = vec![];
    if expected != have {
        bad.push(format!("cx tags are {have:?}, expected {expected:?}"));
    }
    let listed = |tag: &String| WHITELIST.iter().any(|listed| folded(listed) == *tag);
    let listed: BTreeSet<_> = texts(&customer["tags"]).iter().map(|tag| folded(tag)).filter(listed).collect();
    if listed != seen {
        bad.push(format!("whitelisted tags are {listed:?}, seen were {seen:?}"));
    }
    bad
}

fn check_consent(customer: &Value, profile: &Value, must_agree: bool) -> Vec<String> {
    let mut bad = vec![];
    for medium in ["email", "sms"] {
        let consent = &customer[format!("{medium}_marketing_consent")];
        // Null: no address, no number, and nobody to ask.
        if consent.is_null() {
            continue;
        }
        let comms = &profile["attributes"]["comms"];
        let flag = |name: &str| comms[format!("{medium}_{name}_raw")].as_u64().map(|flag| flag == 1);
        let refuses = flag("bounced") == Some(true) || flag("optout") == Some(true);
        let state = consent["state"].as_str().unwrap_or_default();
        if refuses && state == "subscribed" {
            bad.push(format!("{medium}: subscribed in Shopify though bounced or opted out"));
        }
        let omneo = if refuses { Some(false) } else { flag("promo") };
        let shopify = match state {
            "subscribed" => Some(true),
            "unsubscribed" => Some(false),
            _ => None,
        };
        if let (Some(s), Some(o)) = (shopify, omneo)
            && s != o
            && must_agree
        {
            bad.push(format!("{medium} consent differs: {s} / {o}"));
        }
    }
    bad
}

fn check_everybody(world: &World) -> Vec<String> {
    let mut bad = vec![];
    let mut seen = BTreeSet::new();
    for profile in world.omneo.profiles() {
        let identities = profile["identities"].as_array().into_iter().flatten();
        let ids = identities.filter_map(|identity| identity["identifier"].as_str()?.parse::<u64>().ok());
        let living: Vec<_> = ids.filter(|id| world.shopify.customer(*id).is_some()).collect();
        if living.len() > 1 {
            bad.push(format!("profile {} is of the living customers {living:?}", profile["id"]));
        }
        for identity in profile["identities"].as_array().into_iter().flatten() {
            if !seen.insert(identity["identifier"].to_string()) {
                bad.push(format!("customer {} is on two profiles", identity["identifier"]));
            }
        }
    }
    for ended in world.host.dead_letters() {
        if ended.outcome == Outcome::Invalid || !MEANT.iter().any(|text| ended.reason.contains(text)) {
            bad.push(format!("dead letter: event {}: {}", ended.event, ended.reason));
        }
    }
    bad
}

/// A side that is not to be written is not, but for the link.
fn check_directions(world: &World, life: &Life) -> Vec<String> {
    let mut bad = vec![];
    for (side, target, allowed) in [(Side::Shopify, "shopify ", "Loyalty"), (Side::Omneo, "omneo ", "/identities")] {
        if writes_to(life.settings, side) {
            continue;
        }
        let wrote = world.writes.iter().find(|line| line.contains(target) && !line.contains(allowed));
        bad.extend(wrote.map(|line| format!("{side:?} is written though that is off: {line}")));
    }
    bad
}
