//! What people do to addresses, and what must be true of them at rest. Knows nothing of people's fields.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_standin::Response;

use super::life::{Life, Plot, Side, address_owner};
use super::people::Who;
use super::world::World;

/// What somebody does to one of a person's addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    Add(&'static str),
    /// Moves the address with this number to another street.
    Move(usize, &'static str),
    Drop(usize),
}

/// A person's half, and an address's id there.
type Which = (Who, String);

/// What people did to addresses.
#[derive(Default)]
pub struct Done {
    /// When each address was given which street.
    edits: BTreeMap<Which, Vec<(i64, String)>>,
    dropped: Vec<Who>,
}

const ADD: &str = "mutation Shopper($id: ID!, $address: MailingAddressInput!) { customerAddressCreate(customerId: $id, \
    address: $address) { address { id } userErrors { message } } }";
const MOVE: &str = "mutation Shopper($id: ID!, $address: MailingAddressInput!, $which: ID!) { customerAddressUpdate(\
    customerId: $id, addressId: $which, address: $address) { address { id } userErrors { message } } }";
const DROP: &str = "mutation Shopper($id: ID!, $which: ID!) { customerAddressDelete(customerId: $id, addressId: $which) \
    { deletedAddressId userErrors { message } } }";

/// An address as people see it: its id, its street, and in Omneo the id of Shopify's.
#[derive(Debug)]
struct Shown {
    id: String,
    street: String,
    external: Option<String>,
}

impl World {
    pub fn move_house(&mut self, who: &Who, deed: Deed) {
        let shown = self.houses(who);
        let of = |n: usize| shown.get(n % shown.len().max(1)).map(|one| one.id.clone());
        let (id, street) = match deed {
            Deed::Add(street) => (None, street),
            Deed::Move(n, street) => (of(n), street),
            Deed::Drop(n) => (of(n), ""),
        };
        if id.is_none() && !matches!(deed, Deed::Add(_)) {
            return;
        }
        let done = match who.0 {
            Side::Shopify => self.shopper(&who.1, id.as_deref(), street),
            Side::Omneo => self.member(&who.1, id.as_deref(), street),
        };
        let Some(id) = id.or(done) else { return };
        self.history.count += 1;
        if street.is_empty() {
            self.history.addresses.dropped.push(who.clone());
        } else {
            let edits = self.history.addresses.edits.entry((who.clone(), id)).or_default();
            edits.push((self.now, street.to_owned()));
        }
    }

    /// A shopper in Shopify: gives the id of a new address.
    fn shopper(&self, customer: &str, which: Option<&str>, street: &str) -> Option<String> {
        let gid = |id: &str| format!("gid://shopify/MailingAddress/{id}?model_name=CustomerAddress");
        let address = json!({ "address1": street, "city": "Melbourne", "zip": "3000", "countryCode": "AU" });
        let variables =
            json!({ "id": format!("gid://shopify/Customer/{customer}"), "address": address, "which": which.map(gid) });
        let document = match which {
            None => ADD,
            Some(_) if street.is_empty() => DROP,
            Some(_) => MOVE,
        };
        let answer = self.ask_shopify(document, &variables.to_string())?;
        let id = body(&answer)["data"]["customerAddressCreate"]["address"]["id"].as_str().map(str::to_owned)?;
        Some(id.rsplit('/').next()?.split('?').next()?.to_owned())
    }

    /// A member in Omneo.
    fn member(&self, profile: &str, which: Option<&str>, street: &str) -> Option<String> {
        let address = json!({ "address_line_1": street, "city": "Melbourne", "postcode": "3000", "country": "AU" });
        let (method, path) = match which {
            None => ("POST", format!("/api/v3/profiles/{profile}/addresses")),
            Some(id) if street.is_empty() => ("DELETE", format!("/api/v3/profiles/{profile}/addresses/{id}")),
            Some(id) => ("PUT", format!("/api/v3/profiles/{profile}/addresses/{id}")),
        };
        let answer = self.omneo.ask(method, &path, &[("authorization", "Bearer omneo-token")], &address.to_string())?;
        Some(body(&answer)["data"]["id"].to_string())
    }

    fn houses(&self, who: &Who) -> Vec<Shown> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (list, street) = match who.0 {
            Side::Shopify => (who.1.parse().ok().and_then(|id| self.shopify.customer(id)), "address1"),
            Side::Omneo => (self.omneo.profile(&who.1), "address_line_1"),
        };
        let list = list.map(|body| body["addresses"].clone()).unwrap_or_default();
        let shown = |one: &Value| Shown {
            id: text(&one["id"]),
            street: text(&one[street]),
            external: one["external_id"].as_str().map(str::to_owned),
        };
        list.as_array().into_iter().flatten().map(shown).collect()
    }
}

fn body(answer: &Response) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}

/// Both sides have the same addresses, and of each the last edit. What an earlier customer of the profile left in it, who is
/// deleted, may be more than the customer has.
pub fn check(world: &World, life: &Life, pair: &[Who; 2], memory: &Value, is_taken_over: bool) -> Vec<String> {
    // What such a run has added is taken for another address by the next one.
    if world.is_forgetful() {
        return vec![];
    }
    let (s, o) = (world.houses(&pair[0]), world.houses(&pair[1]));
    let done = &world.history.addresses;
    let mut bad = vec![];
    for one in &s {
        let held = memory["addresses"]["entries"].as_array().into_iter().flatten();
        if held.clone().any(|entry| entry["s"] == *one.id && !entry["held"].is_null()) {
            continue;
        }
        let twins: Vec<_> = o.iter().filter(|other| other.external.as_ref() == Some(&one.id)).collect();
        let [twin] = twins[..] else {
            if !twins.is_empty() || !done.dropped.contains(&pair[1]) {
                bad.push(format!("address {one:?} of Shopify is {} times in Omneo: {o:?}", twins.len()));
            }
            continue;
        };
        if twin.street != one.street {
            bad.push(format!("address {} differs: {} / {}", one.id, one.street, twin.street));
        }
        let edits = |who: &Who, id: &str| done.edits.get(&(who.clone(), id.to_owned())).cloned().unwrap_or_default();
        let all = [edits(&pair[0], &one.id), edits(&pair[1], &twin.id)];
        // Of two edits in one second, no clock tells which was last.
        let is_last = |edits: &[(i64, String)]| {
            edits
                .last()
                .is_some_and(|last| edits.iter().any(|(at, street)| last.0 - at <= 1_000 && *street == one.street))
        };
        if all.iter().any(|edits| !edits.is_empty()) && !all.iter().any(|edits| is_last(edits)) {
            bad.push(format!("lost edit: address {} is at {}, edits were {all:?}", one.id, one.street));
        }
        if life.plot == Plot::Ambush
            && let (Some(a), Some(b)) = (all[0].last(), all[1].last())
            && (a.0 - b.0).abs() > 1_000
        {
            let (late, side) = if a.0 > b.0 { (a, "shopify") } else { (b, "omneo") };
            if ["latest", side].contains(&address_owner(life.settings)) && late.1 != one.street {
                bad.push(format!("run over: address {} is at {}, edits were {all:?}", one.id, one.street));
            }
        }
    }
    let is_right = s.len() == o.len() || is_taken_over && s.len() < o.len();
    if done.dropped.is_empty() && !is_right {
        bad.push(format!("{} addresses in Shopify, {} in Omneo", s.len(), o.len()));
    }
    bad
}
