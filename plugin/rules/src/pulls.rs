//! The collections that can be read as a whole: what to ask for to get a page, and what stands in the answer. Knows how
//! each system lists things, and nothing of what becomes of an item.

mod customers;
mod graphql;
mod place;
mod profiles;

use tandem_sdk::{Answer, Call, Json, Time, View};

use crate::mapping::{Core, is_e164};
use crate::settings::Settings;

/// A collection that the host reads, whole or what has changed, making an event of each item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pull {
    pub name: &'static str,
    /// Whose items they are: the source of their events.
    pub source: &'static str,
    /// What a person must agree to before it is first read. Empty: nothing.
    pub caution: &'static str,
    /// A kind of names: an entity whose name of this kind no item of a whole reading has gets a `missing` event. Empty:
    /// absence says nothing.
    pub gone: &'static str,
}

/// One reading of a pull.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub pull: String,
    /// When the host began with it.
    pub begun_at: String,
    /// Give what has changed since. Absent: everything.
    pub since: Option<String>,
    /// Only the items' names are wanted.
    pub names_only: bool,
    /// Whether a bulk document may be given.
    pub bulk: bool,
    /// The `next` of the page before; empty at the beginning.
    pub cursor: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Call(Call),
    /// A GraphQL query without variables, for the source to run as a job.
    Bulk(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub items: Vec<Item>,
    /// Where to go on; absent after the last page.
    pub next: Option<String>,
    /// How many items there are in all, as far as anybody knows.
    pub total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it is in the body of the answer, as a JSON pointer.
    pub at: String,
    pub name: String,
    /// What may tell that an item of another pull is about the same.
    pub clues: Vec<String>,
}

/// Every pull, in the order in which they are to be read. Profiles come before customers, so that the clues of a
/// customer can name the profile that may be the same person.
pub const PULLS: [Pull; 2] = [
    Pull { name: profiles::NAME, source: "omneo", caution: "", gone: "omneo/profile" },
    Pull { name: customers::NAME, source: "shopify", caution: "", gone: "shopify/customer" },
];

/// What to ask for to get the next page. An error is a reason for the tenant.
pub fn ask_page(settings: &Settings, reading: &Reading) -> Result<Ask, String> {
    match reading.pull.as_str() {
        profiles::NAME => profiles::ask(reading),
        customers::NAME => customers::ask(settings, reading),
        other => Err(unknown(other)),
    }
}

/// Where the items are in an answer, and where to go on.
pub fn read_page(settings: &Settings, reading: &Reading, answer: &Answer) -> Result<Page, String> {
    match reading.pull.as_str() {
        profiles::NAME => profiles::read(settings, reading, answer),
        customers::NAME => customers::read(settings, reading, answer),
        other => Err(unknown(other)),
    }
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

/// What may tell that a customer and a profile are one person. E-mail addresses and numbers are written here as the
/// rules compare them.
fn clues(settings: &Settings, email: Option<&str>, phone: Option<&str>) -> Vec<String> {
    let plain = |core: Core, value: &str| {
        let field = settings.mapping.fields().find(|field| field.is(core));
        Some(field?.plain(value)).filter(|value| !value.is_empty())
    };
    let email = email.and_then(|email| plain(Core::Email, email)).map(|email| format!("email/{email}"));
    let phone = phone.and_then(|phone| plain(Core::Phone, phone)).filter(|phone| is_e164(phone));
    email.into_iter().chain(phone.map(|phone| format!("phone/{phone}"))).collect()
}

/// The members of the list at the pointer, which must be there.
fn members<'a>(of: &str, body: &View<'a>, at: &str) -> Result<Vec<View<'a>>, String> {
    if !body.get(at).is_some_and(|list| list.is_list()) {
        return Err(format!("{of} did not answer with a page: there is no list at `{at}`"));
    }
    body.list(at).map_err(|wrong| wrong.to_string())
}
