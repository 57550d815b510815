//! The collections that can be read as a whole: what to ask for to get a page, and what stands in the answer. Knows how
//! each system lists things, and nothing of what becomes of an item.

mod clues;
mod customers;
mod graphql;
mod locations;
mod orders;
mod place;
mod products;
mod profiles;

use tandem_sdk::{Answer, Ask, Item, Json, Page, Pull, Reading, Time, View};

use crate::settings::Settings;

use clues::{Person, clues};

pub use locations::NAME as LOCATIONS;
pub use orders::NAME as ORDERS;
pub use products::NAME as PRODUCTS;

/// Every pull, in the order in which they are to be read. Profiles come before customers, so that the clues of a
/// customer can name the profile that may be the same person. Shopify shows an app no orders that are older than 60 days
/// unless it may read all of them, so the absence of an order says nothing.
pub fn all() -> Vec<Pull> {
    let pull = |name: &str, source: &str, gone: &str| Pull {
        name: name.into(),
        source: source.into(),
        caution: if name == ORDERS { orders::CAUTION.into() } else { String::new() },
        gone: gone.into(),
    };
    vec![
        pull(LOCATIONS, "shopify", "shopify/location"),
        pull(PRODUCTS, "shopify", "shopify/product"),
        pull(profiles::NAME, "omneo", "omneo/profile"),
        pull(customers::NAME, "shopify", "shopify/customer"),
        pull(ORDERS, "shopify", ""),
    ]
}

/// What to ask for to get the next page. An error is a reason for the tenant.
pub fn ask_page(settings: &Settings, reading: &Reading) -> Result<Ask, String> {
    if let Some(switch) = switched_off(settings, &reading.pull) {
        return Err(format!("switched off: `sync.{switch} = false`"));
    }
    match reading.pull.as_str() {
        LOCATIONS => locations::ask(reading),
        PRODUCTS => products::ask(reading),
        ORDERS => orders::ask(settings, reading),
        profiles::NAME => profiles::ask(reading),
        customers::NAME => customers::ask(settings, reading),
        other => Err(unknown(other)),
    }
}

/// Where the items are in an answer, and where to go on.
pub fn read_page(settings: &Settings, reading: &Reading, answer: &Answer) -> Result<Page, String> {
    match reading.pull.as_str() {
        LOCATIONS => locations::read(reading, answer),
        PRODUCTS => products::read(reading, answer),
        ORDERS => orders::read(reading, answer),
        profiles::NAME => profiles::read(settings, reading, answer),
        customers::NAME => customers::read(settings, reading, answer),
        other => Err(unknown(other)),
    }
}

/// The switch by which the items of a pull are switched off, if it is off.
fn switched_off(settings: &Settings, pull: &str) -> Option<&'static str> {
    let sync = &settings.sync;
    let (name, is_on) = match pull {
        LOCATIONS => ("locations", sync.locations),
        PRODUCTS => ("products", sync.products),
        ORDERS => ("orders", sync.orders),
        profiles::NAME | customers::NAME => ("profiles", sync.profiles),
        _ => return None,
    };
    (!is_on).then_some(name)
}

fn unknown(pull: &str) -> String {
    format!("these rules have no pull `{pull}`")
}

/// The moment from which on changes are wanted.
fn since(reading: &Reading) -> Result<Option<Time>, String> {
    let time = |since: &String| Time::parse(since).ok_or_else(|| format!("`since` is no time: `{since}`"));
    reading.since.as_ref().map(time).transpose()
}

/// The body of an answer that did not refuse; otherwise what the system said.
fn body(of: &str, answer: &Answer) -> Result<Json<'static>, String> {
    if !answer.is_success() {
        let said: String = answer.body.chars().take(SAID_MAX).collect();
        return Err(format!("{of} answered {} {said}", answer.status).trim_end().to_owned());
    }
    Json::answer(answer.body.clone()).map_err(|wrong| format!("{of} did not answer with a page: {wrong}"))
}

/// How much of a refusal is repeated to the tenant, in characters.
const SAID_MAX: usize = 300;

/// The members of the list at the pointer, which must be there.
fn members<'a>(of: &str, body: &View<'a>, at: &str) -> Result<Vec<View<'a>>, String> {
    if !body.get(at).is_some_and(|list| list.is_list()) {
        return Err(format!("{of} did not answer with a page: there is no list at `{at}`"));
    }
    body.list(at).map_err(|wrong| wrong.to_string())
}
