//! Reads Omneo's profiles. Knows how they are listed, and not how a profile is compared with anything.
//!
//! Omneo's pages have numbers and no cursor, and the list changes while it is read: when a profile leaves the part that
//! was read, the pages behind it move up, and a reading by numbers would skip one. So the list is sorted by the time of
//! the last change, and each page begins at the time of the last profile before it. Nothing that changes leaves what is
//! still ahead; what stands at that time is seen twice. Numbers are only used among profiles of one second.
//! There a profile that changes leaves the second, and the pages behind it move up: so that second is read again from
//! its first page until it has as many profiles as the time before.

use tandem_sdk::{Answer, CallTo, Time, View, get};

use super::place::Place;
use super::{Ask, Item, Page, Person, Reading, body, clues, members, since};
use crate::key::{profile_id, profile_name};
use crate::settings::Settings;

pub const NAME: &str = "profiles";

const OMNEO: &str = "Omneo";

/// Profiles in a page. Omneo's limit is not documented: if it objects, the pages become smaller.
const PAGE: u64 = 250;

pub fn ask(reading: &Reading) -> Result<Ask, String> {
    let place = Place::read(&reading.cursor);
    let call = get("/profiles").query("page[size]", place.size(PAGE).to_string()).query("sort", "updated_at");
    let call = match from(&place, reading)? {
        Some(from) => call.query("filter[updated_at][gte]", from),
        None => call,
    };
    let call: CallTo = call.query("page[number]", place.page.unwrap_or(1).to_string());
    Ok(Ask::Call(call.to("omneo")))
}

pub fn read(settings: &Settings, reading: &Reading, answer: &Answer) -> Result<Page, String> {
    let place = Place::read(&reading.cursor);
    if answer.status == 422
        && let Some(smaller) = smaller(&place)
    {
        return Ok(Page { next: Some(smaller.write()), ..Page::default() });
    }
    let json = body(OMNEO, answer)?;
    let body = json.view();
    let profiles = members(OMNEO, &body, "/data")?;
    let items = profiles.iter().enumerate().map(|(n, profile)| item(settings, profile, n));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let Some(link) = body.get("/links/next") else {
        return Err("Omneo does not say whether there are more profiles: nothing at `/links/next`".to_owned());
    };
    let next = match link.is_null() {
        true => again(&place, &profiles)?,
        false if profiles.is_empty() => {
            return Err("Omneo answered an empty page and says that there are more profiles".to_owned());
        }
        false => Some(behind(&place, from(&place, reading)?, &profiles)?),
    };
    let next = next.map(|place| place.write());
    // Behind the first page, Omneo counts only what is still ahead.
    let total =
        if place.after.is_none() { body.opt_id("/meta/total").map_err(|wrong| wrong.to_string())? } else { None };
    Ok(Page { items, next, total })
}

/// The time at which the page begins, as Omneo writes times.
fn from(place: &Place, reading: &Reading) -> Result<Option<String>, String> {
    match &place.after {
        Some(after) => Ok(Some(after.clone())),
        None => Ok(since(reading)?.map(Time::plain)),
    }
}

/// The place behind a page: at the time of its last profile if that is later than where the page began, or else the
/// next page by number. A list that is not in the order that was asked for is read by numbers as well.
fn behind(place: &Place, from: Option<String>, profiles: &[View]) -> Result<Place, String> {
    let mut before = from.as_deref().and_then(Time::parse);
    let began = before;
    for profile in profiles {
        let at = profile.opt_text("/updated_at").map_err(|wrong| wrong.to_string())?.and_then(Time::parse);
        if at.is_none() || at < before {
            return Ok(by_number(place));
        }
        before = at;
    }
    Ok(match before.filter(|last| began.is_none_or(|began| *last > began)) {
        Some(last) => again(place, profiles)?.unwrap_or_else(|| place.moved(Some(last.plain()), None)),
        None => Place { read: Some(so_far(place, profiles)?), before: place.before, ..by_number(place) },
    })
}

fn by_number(place: &Place) -> Place {
    place.moved(place.after.clone(), Some(place.page.unwrap_or(1) + 1))
}

/// How many profiles of the second at which the place stands were read in this round, with those of this page.
fn so_far(place: &Place, profiles: &[View]) -> Result<u64, String> {
    let second = place.after.as_deref().and_then(Time::parse);
    let mut count = place.read.unwrap_or_default();
    for profile in profiles {
        let at = profile.opt_text("/updated_at").map_err(|wrong| wrong.to_string())?.and_then(Time::parse);
        count += u64::from(second.is_some() && at == second);
    }
    Ok(count)
}

/// The first page of the same second, if it was read by more than one page and had another number of profiles in the round
/// before.
fn again(place: &Place, profiles: &[View]) -> Result<Option<Place>, String> {
    if place.after.is_none() || place.page.unwrap_or(1) == 1 {
        return Ok(None);
    }
    let count = so_far(place, profiles)?;
    let again = Place { before: Some(count), ..place.moved(place.after.clone(), Some(1)) };
    Ok((place.before != Some(count)).then_some(again))
}

/// The same place with half the profiles in a page. The number of the page changes with the size.
fn smaller(place: &Place) -> Option<Place> {
    let smaller = place.smaller(PAGE)?;
    let page = place.page.map(|page| 2 * page.max(1) - 1);
    Some(smaller.moved(place.after.clone(), page))
}

fn item(settings: &Settings, profile: &View, n: usize) -> Result<Item, String> {
    let wrong = |wrong: tandem_sdk::Wrong| wrong.to_string();
    let id = profile_id(profile).map_err(wrong)?;
    let email = profile.opt_text("/email").map_err(wrong)?;
    let typed = profile.opt_loose("/mobile_phone").map_err(wrong)?;
    let phone = match &typed {
        Some(number) if !number.starts_with('+') => profile.opt_loose("/mobile_phone_e164").map_err(wrong)?.or(typed),
        _ => typed,
    };
    let mut claims = vec![];
    for identity in profile.list("/identities").map_err(wrong)? {
        if identity.opt_text("/handle").map_err(wrong)? == Some(settings.identity_handle.as_str()) {
            claims.extend(
                identity.opt_loose("/identifier").map_err(wrong)?.map(|customer| format!("identity/{customer}")),
            );
        }
    }
    let name = |at: &str| profile.opt_text(at).map_err(wrong);
    let names = [name("/first_name")?, name("/last_name")?];
    let person = Person { email, phone: phone.as_deref(), names, tags: vec![], claims };
    Ok(Item { at: format!("/data/{n}"), name: profile_name(id), clues: clues(settings, person) })
}
