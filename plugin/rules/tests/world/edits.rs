//! Edits that people make in the stores, each of which is recorded. Knows nothing of what should follow from them.

use tandem_sdk::json;

use super::World;
use super::scenario::{EMAILS, FIELDS, NAMES, PHONES, Who, history, other_half, plain, same, shown};

/// Sets a field, as a person would.
pub fn set(world: &mut World, who: &Who, field: &'static str, value: Option<&str>) {
    let (Some(before), other) = (shown(world, who), other_half(world, who)) else {
        return;
    };
    let other = other.and_then(|other| shown(world, &other));
    let differed = other.is_none_or(|other| !same(field, &before[field], &other[field]));
    let differed = (differed || world.unanswered == 0).then_some(differed);
    let done = world.edit(|world| match who.0 {
        "shopify" => world.shopify.update(who.1.parse().expect("an id"), &[(field, value)]),
        _ => world.omneo.update(&who.1, &json!({ if field == "phone" { "mobile_phone" } else { field }: value })),
    });
    let now = world.now;
    world.say(|| format!("EDIT {who:?} {field} = {value:?}: {done:?}"));
    // An edit that changes nothing leaves no trace, neither in a store nor in a webhook.
    let is_seen = shown(world, who).is_some_and(|after| after[field] != before[field]);
    history(|history| match done {
        Ok(()) => history.count += 1,
        Err(_) => drop(history.collided.insert(field)),
    });
    if done.is_ok() && is_seen {
        history(|history| {
            let value = value.and_then(|value| plain(field, value));
            history.edits.entry((who.clone(), field)).or_default().push((now, value, differed));
        });
    }
}

pub fn edit(world: &mut World) {
    let mut halves: Vec<Who> = world.shopify.customers.keys().map(|id| ("shopify", id.to_string())).collect();
    if world.random.percent(50) || halves.is_empty() {
        halves = world.omneo.profiles.keys().map(|id| ("omneo", id.clone())).collect();
    }
    if halves.is_empty() {
        return;
    }
    let who = world.random.pick(&halves);
    match world.random.below(100) {
        0..55 => {
            let field = world.random.pick(&FIELDS);
            let value = match field {
                "email" => Some(world.random.pick(&EMAILS)),
                "phone" => world.random.pick(&PHONES),
                _ => world.random.pick(&NAMES),
            };
            set(world, &who, field, value.filter(|_| who.0 == "shopify").or(value));
        }
        55..70 if world.has_addresses => edit_address(world, &who),
        55..80 => edit_tags(world, &who),
        _ => edit_consent(world, &who),
    }
}

fn edit_address(world: &mut World, who: &Who) {
    history(|history| history.count += 1);
    let (city, company) =
        (world.random.pick(&["melbourne", "Perth", "mcKinnon"]), world.random.pick(&[Some("Acme"), None]));
    let (line, dice) = (format!("{} High St", world.random.below(1000)), world.random.below(100));
    world.say(|| format!("EDIT {who:?} address {line} {dice}"));
    world.edit(|world| {
        if who.0 == "shopify" {
            let id = who.1.parse().expect("an id");
            let ids: Vec<_> =
                world.shopify.customers[&id].addresses.iter().filter_map(|one| one["id"].as_u64()).collect();
            let one = (!ids.is_empty()).then(|| world.random.pick(&ids));
            let new = json!({ "address1": line, "city": city, "zip": "3000", "countryCode": "AU", "company": company });
            return match (dice, one) {
                (0..30, _) | (_, None) => drop(world.shopify.address(id, None, &new)),
                (30..70, Some(_)) => drop(world.shopify.address(id, one, &json!({ "city": city, "company": company }))),
                (70..85, Some(one)) => world.shopify.prefer(id, one),
                (_, Some(one)) => world.shopify.drop_address(id, one),
            };
        }
        let rows: Vec<_> = world.omneo.profiles[&who.1].addresses.iter().map(|row| row["id"].clone()).collect();
        let one = (!rows.is_empty()).then(|| world.random.pick(&rows));
        let new =
            json!({ "address_line_1": line, "city": city, "postcode": "3000", "country": "AU", "company": company });
        match (dice, one) {
            (0..30, _) | (_, None) => drop(world.omneo.address(&who.1, None, &new)),
            (30..70, one) => drop(world.omneo.address(&who.1, one, &json!({ "city": city, "company": company }))),
            (70..85, one) => drop(world.omneo.address(&who.1, one, &json!({ "is_default": true }))),
            _ => world.omneo.drop_address(&who.1, rows.len() - 1),
        }
    });
}

fn edit_tags(world: &mut World, who: &Who) {
    history(|history| history.count += 1);
    let (pool, is_more) = (["vip", "mobile app", "mobile-app", "other", "cx-gold"], world.random.percent(60));
    let (add, remove) = (world.random.pick(&pool), world.random.pick(&pool));
    let own = world.random.pick(&["gold", "mobile app", "vip", "stylist client"]).replace(' ', "-");
    world.say(|| format!("EDIT {who:?} tags"));
    world.edit(|world| {
        if who.0 == "shopify" {
            let add: &[&str] = if is_more { &[add] } else { &[] };
            let remove: &[&str] = if add == [remove] { &[] } else { &[remove] };
            return world.shopify.tag(who.1.parse().expect("an id"), add, remove);
        }
        let mut tags = world.omneo.profiles[&who.1].tags.clone();
        if !tags.remove(&own) {
            tags.insert(own);
        }
        world.omneo.update(&who.1, &json!({ "tags": tags })).expect("tags collide with nobody's");
    });
}

fn edit_consent(world: &mut World, who: &Who) {
    history(|history| history.count += 1);
    let medium = world.random.pick(&["email", "sms"]);
    let (n, at) = (world.random.below(4), world.seconds());
    world.say(|| format!("EDIT {who:?} consent to {medium}: {n}"));
    world.edit(|world| {
        if who.0 == "shopify" {
            let state = if n < 2 { "subscribed" } else { "unsubscribed" };
            return world.shopify.consent(who.1.parse().expect("an id"), medium, state, Some(at));
        }
        let (promo, optout) = (format!("{medium}_promo"), format!("{medium}_optout"));
        let (bounced, time) = (format!("{medium}_bounced"), format!("{medium}_consent_updated_at"));
        let at = tandem_sdk::Time(at * 1000).plain();
        world.omneo.comms(
            &who.1,
            &match n {
                0 => json!({ promo: true, optout: false, time: at }),
                1 => json!({ promo: false, time: at }),
                2 => json!({ optout: true, time: at }),
                _ => json!({ bounced: true }),
            },
        );
    });
}

pub fn duel(world: &mut World, side: &'static str) {
    let Some((id, _)) = world.shopify.customers.iter().next() else {
        return;
    };
    let customer: Who = ("shopify", id.to_string());
    let Some(profile) = other_half(world, &customer) else {
        return;
    };
    let (who, value) = if side == "shopify" { (customer, "From Shopify") } else { (profile, "From Omneo") };
    set(world, &who, "last_name", Some(value));
}
