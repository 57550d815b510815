//! What must be true of a world at rest. Does not know how the world came to its state, except for the edits that
//! people made.

use std::collections::BTreeSet;

use tandem_sdk::{Outcome, Value};

use super::scenario::{Edit, FIELDS, History, Plot, WHITELIST, Who, history, same, shown};
use super::{World, omneo_name};

pub fn check(world: &World, plot: Plot, owner: &str) -> Vec<String> {
    let mut bad = vec![];
    for memory in world.host.memories() {
        let memory: Value = serde_json::from_str(memory).expect("a memory is JSON");
        let link = &memory["link"];
        let (Some(customer), Some(profile)) = (link["customer"].as_u64(), link["profile"].as_str()) else {
            continue;
        };
        let pair: [Who; 2] = [("shopify", customer.to_string()), ("omneo", profile.to_owned())];
        let (Some(s), Some(o)) = (shown(world, &pair[0]), shown(world, &pair[1])) else {
            continue;
        };
        for field in FIELDS.into_iter().filter(|field| memory["held"][field].is_null()) {
            if !same(field, &s[field], &o[field]) {
                bad.push(format!("{field} differs: {:?} / {:?}", s[field], o[field]));
            }
            bad.extend(history(|history| check_history(history, &pair, field, &s[field], plot, owner)));
        }
        bad.extend(check_tags(world, customer, profile, &memory));
        bad.extend(check_consent(world, customer, profile));
        bad.extend(check_addresses(world, customer, profile, &memory));
    }
    bad.extend(check_everybody(world));
    bad
}

fn check_history(
    history: &History,
    pair: &[Who; 2],
    field: &'static str,
    now: &Option<String>,
    plot: Plot,
    owner: &str,
) -> Vec<String> {
    let none = vec![];
    let of = |n: usize| history.edits.get(&(pair[n].clone(), field)).unwrap_or(&none);
    let (s, o) = (of(0), of(1));
    let ends: Vec<_> = [s.last(), o.last()].into_iter().flatten().collect();
    let Some(last) = ends.iter().max_by_key(|(at, ..)| at) else {
        return vec![];
    };
    let mut bad = vec![];
    // For two edits in one second, no clock tells which was later.
    let is_last = |edits: &[Edit]| {
        edits.last().is_some_and(|(last, ..)| edits.iter().any(|(at, v, _)| last - at <= 1000 && same(field, now, v)))
    };
    if !is_last(s) && !is_last(o) {
        bad.push(format!("lost edit: {field} is {now:?}, last edits were {ends:?}"));
    }
    let is_wide = plot == Plot::Wide && !history.collided.contains(field) && s.len().max(o.len()) > 1;
    if is_wide && !same(field, now, &last.1) {
        bad.push(format!("last edit not kept: {field} is {now:?}, edits were {s:?} and {o:?}"));
    }
    if plot == Plot::Duel
        && field == "last_name"
        && let (Some(a), Some(b)) = (s.last(), o.last())
        && (s.len() > 1 && !o.is_empty() && a.0 != b.0 && a.1 != b.1)
        && a.1.as_deref() == Some("From Shopify")
        && b.1.as_deref() == Some("From Omneo")
    {
        // The person who edited second may not have seen the first edit: then the owner decides.
        let (late, owned) = (if a.0 > b.0 { a } else { b }, if owner == "shopify" { a } else { b });
        let wins = match late.2 {
            Some(true) => [owned, owned],
            Some(false) => [late, late],
            None => [owned, late],
        };
        if !wins.iter().any(|wins| same(field, now, &wins.1)) {
            bad.push(format!("owner violated: {field} of {owner} is {now:?}, edits were {a:?} and {b:?}"));
        }
    }
    bad
}

fn folded(tag: &str) -> String {
    tag.replace(' ', "-").to_lowercase()
}

fn check_tags(world: &World, customer: u64, profile: &str, memory: &Value) -> Vec<String> {
    let (customer, profile) = (&world.shopify.customers[&customer], &world.omneo.profiles[profile]);
    let texts = |at: &str| -> BTreeSet<String> {
        let list = memory["tags"][at].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    };
    let (brought, seen) = (texts("brought"), texts("seen"));
    let own = profile.tags.iter().filter(|tag| !brought.contains(&folded(tag)));
    let expected: BTreeSet<_> = own.map(|tag| format!("cx-{}", tag.to_lowercase())).collect();
    let have: BTreeSet<_> = customer.tags.keys().filter(|tag| tag.starts_with("cx-")).cloned().collect();
    let mut bad = vec![];
    if expected != have {
        bad.push(format!("cx tags are {have:?}, expected {expected:?}"));
    }
    let listed = |tag: &&String| WHITELIST.iter().any(|listed| folded(listed) == folded(tag));
    let listed: BTreeSet<_> = customer.tags.keys().filter(listed).map(|tag| folded(tag)).collect();
    if listed != seen {
        bad.push(format!("whitelisted tags are {listed:?}, seen were {seen:?}"));
    }
    bad
}

fn check_consent(world: &World, customer: u64, profile: &str) -> Vec<String> {
    let (customer, profile) = (&world.shopify.customers[&customer], &world.omneo.profiles[profile]);
    let mut bad = vec![];
    for (medium, state, address) in
        [("email", customer.email_consent.0, &customer.email), ("sms", customer.sms_consent.0, &customer.phone)]
    {
        let flag = |name: &str| profile.comms.get(&format!("{medium}_{name}")).and_then(Value::as_bool);
        let refuses = flag("bounced") == Some(true) || flag("optout") == Some(true);
        if refuses && state == "subscribed" && address.is_some() {
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
            && address.is_some()
        {
            bad.push(format!("{medium} consent differs: {s} / {o}"));
        }
    }
    bad
}

/// Every pair has equal content, apart from Omneo's notation of names. Nothing that one side created is missing on the
/// other, unless it was deleted there. No address exists twice.
fn check_addresses(world: &World, customer: u64, profile: &str, memory: &Value) -> Vec<String> {
    let (customer, profile) = (&world.shopify.customers[&customer], &world.omneo.profiles[profile]);
    let mut bad = vec![];
    let entries = memory["addresses"]["entries"].as_array().cloned().unwrap_or_default();
    for address in &customer.addresses {
        let id = address["id"].to_string();
        let rows: Vec<_> = profile.addresses.iter().filter(|row| row["external_id"].as_str() == Some(&id)).collect();
        let is_gone = entries.iter().any(|entry| entry["s"] == id && entry["gone"] == true);
        match rows[..] {
            [] if is_gone => {}
            [row] => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                for (s, o) in [("address1", "address_line_1"), ("zip", "postcode"), ("city", "city")] {
                    if omneo_name(&text(&address[s])).to_lowercase() != omneo_name(&text(&row[o])).to_lowercase() {
                        bad.push(format!("address {id}: {} / {}", address[s], row[o]));
                    }
                }
            }
            _ => bad.push(format!("address {id} is {} times in Omneo: {memory}", rows.len())),
        }
    }
    for row in profile.addresses.iter().filter(|row| !row["external_id"].is_string()) {
        bad.push(format!("address {row} never went to Shopify"));
    }
    bad
}

fn check_everybody(world: &World) -> Vec<String> {
    let mut bad = vec![];
    let identities: Vec<_> = world.omneo.profiles.values().flat_map(|profile| &profile.identities).collect();
    if identities.iter().collect::<BTreeSet<_>>().len() < identities.len() {
        bad.push("one customer on two profiles".to_owned());
    }
    // Refusals that are meant for a person to see.
    let meant = [
        "the customer's e-mail belongs to profile",
        "has this e-mail, and belongs to profile",
        "would be a second name of its kind",
        "can neither be created nor found",
    ];
    for ended in world.host.dead_letters() {
        if ended.end.outcome != Outcome::Refused || !meant.iter().any(|text| ended.end.reason.contains(text)) {
            bad.push(format!("dead letter: {}", ended.end.reason));
        }
    }
    bad
}
