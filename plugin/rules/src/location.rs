//! Sends locations to Omneo, one way. Knows the locations of both systems, and nothing of what was sold there.
//!
//! No body of these topics has been published, so they are read leniently, as the Location resource that Shopify
//! documents. An order of the point of sale names its location by the same external id.

mod node;

use serde::Serialize;
use serde_json::Map;
use tandem_sdk::{
    Cx, End, Ending, Event, Json, Value, View, delete, done, get, invalid, json, post, put, refused, segment, skipped,
};

use crate::clock::Clock;
use crate::fingerprint::fingerprint_json;
use crate::key::own_id;
use crate::settings::Settings;

pub use node::body as body_of_node;

/// The key by which a deletion names the location that takes over. Inferred: Omneo requires such a location and does
/// not say under which key.
const FALLBACK_KEY: &str = "fallback_location_id";

/// Omneo's address keys and Shopify's. Inferred to be the keys of a profile's address, because those of a location are
/// not documented.
const ADDRESS: [(&str, &[&str]); 8] = [
    ("address_line_1", &["/address1"]),
    ("address_line_2", &["/address2"]),
    ("city", &["/city"]),
    ("postcode", &["/zip"]),
    ("state", &["/province"]),
    ("iso_state", &["/province_code"]),
    ("country", &["/country_name", "/country"]),
    ("iso", &["/country_code"]),
];

#[derive(Default, Serialize)]
struct Memory {
    clock: Clock,
    hash: String,
    deleted: bool,
}

/// Handles every topic of locations.
pub async fn handle(cx: &Cx, settings: &Settings, event: &Event) -> Ending {
    let payload = Json::payload(event)?;
    let location = payload.view();
    let id = own_id(&location)?.to_string();
    let known = remembered(cx.memory());
    if event.topic == "locations/delete" {
        return deleted(cx, settings, &id, known).await;
    }
    let Some(name) = text(&location, "/name")? else {
        return Ok(invalid("not a location: it has no `name`"));
    };
    if known.deleted {
        return Ok(skipped("the location was deleted in Shopify"));
    }
    let clock = Clock::of(&location, event)?;
    if clock.is_older_than(known.clock) {
        return Ok(skipped("older than what is known of the location"));
    }
    let mut body = body(&location, event, &id, name)?;
    let memory = Memory { clock: clock.or(Some(known.clock)), hash: fingerprint_json([&body]), deleted: false };
    if memory.hash == known.hash {
        return Ok(skipped("nothing of the location that Omneo keeps has changed").remember(memory.text()));
    }
    let (call, doing) = match find(cx, &id).await? {
        Some(found) => (put(format!("/locations/{}", segment(found)), body), "updated"),
        None => {
            match (body.get("phone"), &settings.locations.phone) {
                (Some(_), _) => {}
                (None, Some(phone)) => body["phone"] = json!(phone),
                (None, None) => {
                    return Err(refused(format!(
                        "location `{name}` has no phone, which Omneo requires: give it one, or set `locations.phone`"
                    )));
                }
            }
            (post("/locations", body), "created")
        }
    };
    cx.omneo(call.needs("/data/id")).await?.ok("sending the location")?;
    Ok(done(format!("location `{name}` {doing}")).remember(memory.text()))
}

/// Handles the deletion of a location, whose body holds only the id. Everything in Omneo that names the location moves
/// to the fallback location of the settings.
async fn deleted(cx: &Cx, settings: &Settings, id: &str, known: Memory) -> Ending {
    let memory = Memory { hash: String::new(), deleted: true, ..known }.text();
    let Some(found) = find(cx, id).await? else {
        return Ok(skipped("the location was deleted, and Omneo does not have it").remember(memory));
    };
    let Some(fallback) = &settings.locations.fallback else {
        return Err(refused(
            "the location was deleted, and Omneo needs to know which one takes over: set `locations.fallback`",
        ));
    };
    let heir = if fallback == id { None } else { find(cx, fallback).await? };
    let Some(heir) = heir else {
        return Err(refused(format!(
            "the location was deleted, and none that Omneo has takes over: `locations.fallback` is `{fallback}`"
        )));
    };
    let call = delete(format!("/locations/{}", segment(found))).query(FALLBACK_KEY, heir);
    let answer = cx.omneo(call).await?;
    if answer.status != 404 {
        answer.ok("deleting the location")?;
    }
    Ok(done(format!("the location was deleted: location {fallback} takes over")).remember(memory))
}

impl Memory {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers, a text and a boolean")
    }
}

fn remembered(memory: &[String]) -> Memory {
    let Some(Ok(memory)) = memory.first().map(|text| Json::memory(text)) else { return Memory::default() };
    let memory = memory.view();
    Memory {
        clock: Clock::read(&memory).unwrap_or_default(),
        hash: memory.opt_text("/hash").ok().flatten().unwrap_or_default().to_owned(),
        deleted: memory.opt_bool("/deleted").ok().flatten().unwrap_or(false),
    }
}

/// The location's id in Omneo. A location can be there although it was never sent: Omneo makes a placeholder when a
/// sale names one first.
async fn find(cx: &Cx, external_id: &str) -> Result<Option<String>, End> {
    let answer = cx.omneo(get("/locations").query("filter[external_id]", external_id).needs("/data")).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let json = answer.ok("looking up the location")?.json()?;
    for found in json.view().list("/data")? {
        if found.opt_loose("/external_id")?.as_deref() == Some(external_id) {
            return Ok(found.opt_loose("/id")?);
        }
    }
    Ok(None)
}

fn text<'a>(location: &View<'a>, at: &str) -> Result<Option<&'a str>, End> {
    Ok(location.opt_text(at)?.map(str::trim).filter(|text| !text.is_empty()))
}

/// The body that is sent for a location. The payload says whether the location is active; if it does not, the topic
/// does.
fn body(location: &View, event: &Event, id: &str, name: &str) -> Result<Value, End> {
    let is_active = location.opt_bool("/active")?.unwrap_or(event.topic != "locations/deactivate");
    let mut body = json!({"external_id": id, "name": name, "is_published": is_active});
    if let Some(phone) = text(location, "/phone")? {
        body["phone"] = json!(phone);
    }
    let mut address = Map::new();
    for (key, places) in ADDRESS {
        for at in places {
            if let Some(value) = text(location, at)? {
                address.insert(key.to_owned(), json!(value));
                break;
            }
        }
    }
    if !address.is_empty() {
        body["address"] = Value::Object(address);
    }
    Ok(body)
}
