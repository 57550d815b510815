//! One page of a reading: what is asked for, what stands in the answer, and which of its items are in step. Whatever rules and
//! targets say of a page is held to limits here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::check::{self, Key};
use crate::clock;
use crate::conversation::{Conversation, Rules};
use crate::journal::{ItemRead, Journal};
use crate::model::{Answer, End, Event, EventId, Millis, Next, Outcome, Webhook, is_name};
use crate::rules::{Ask, Item, Page, Plugin, Reading};

/// How long the rules may be asked about the items of a page. Those that are left become events.
const ASKING_MAX: Duration = Duration::from_secs(5);
/// Items of a page, bytes of a cursor, clues of an item, and bytes of a clue: more is a plugin gone astray.
const ITEMS_MAX: usize = 1_000;
const CURSOR_BYTES_MAX: usize = 4 << 10;
const CLUES_MAX: usize = 20;
const CLUE_BYTES_MAX: usize = 512;

/// What the events of a page have in common.
pub struct Known {
    pub tenant: String,
    pub import: i64,
    pub asked_at: Millis,
    /// The API version in which the items are written.
    pub version: String,
    /// They are a part of a job's file, which goes on where the host knows.
    pub is_part: bool,
}

/// A page that was read.
pub struct Read {
    pub next: Option<String>,
    pub total: Option<u64>,
    pub items: u64,
    /// Items whose rules have nothing to do and nothing to remember.
    pub in_step: u64,
    /// The events of the others, each with the name of its item.
    pub events: Vec<(String, Webhook)>,
    /// All items.
    pub listed: Vec<ItemRead>,
}

pub enum Unfit {
    /// By the fault of the rules.
    Wrong(String),
    /// For a reason that the rules give, which may lie in the answer: another one may do.
    Refused(String),
    Host(anyhow::Error),
}

/// The call that gets the page, or the query of a job, if it may be sent.
pub fn ask(plugin: &Plugin, reading: &Reading) -> Result<Ask, String> {
    let ask = plugin.ask_page(reading).result.map_err(|failure| failure.reason)??;
    let source = plugin.manifest().pulls.iter().find(|pull| pull.name == reading.pull).map(|pull| &pull.source);
    let checked = match &ask {
        Ask::Call(call) if Some(&call.target) != source => {
            return Err(format!("the rules asked {} for a page", call.target));
        }
        Ask::Call(call) => check::read(call, plugin.manifest()),
        Ask::Bulk(query) => check::bulk(query),
    };
    checked.map(|()| ask).map_err(|failure| failure.reason)
}

/// Reads the answer: which items there are, and which are in step.
pub fn read(
    plugin: &Plugin,
    reading: &Reading,
    answer: &Answer,
    known: &Known,
    journal: &Journal,
) -> Result<Read, Unfit> {
    let page = plugin.read_page(reading, answer).result.map_err(|failure| Unfit::Wrong(failure.reason))?;
    let mut page = page.map_err(Unfit::Refused)?;
    if known.is_part {
        page.next = None;
    }
    check_page(&page, reading).map_err(Unfit::Wrong)?;
    let noted = |item: &Item| ItemRead { name: item.name.clone(), clues: item.clues.clone() };
    let listed = page.items.iter().map(noted).collect();
    let (next, total, items) = (page.next, page.total, page.items.len() as u64);
    let mut read = Read { next, total, items, in_step: 0, events: vec![], listed };
    if reading.names_only {
        return Ok(read);
    }
    let payloads = cut(&answer.body, &page.items).map_err(Unfit::Wrong)?;
    let rules = Rules::from(plugin);
    let source = plugin.manifest().pulls.iter().find(|pull| pull.name == reading.pull).map(|pull| pull.source.clone());
    let busy = journal.read(|reader| reader.busy_names(&known.tenant)).map_err(Unfit::Host)?;
    let began = Instant::now();
    for (item, payload) in page.items.iter().zip(payloads) {
        let webhook = Webhook {
            tenant: known.tenant.clone(),
            source: source.clone().unwrap_or_default(),
            topic: format!("pull/{}", reading.pull),
            delivery_id: Some(format!("import/{}/{}", known.import, item.name)),
            occurred_at: clock::rfc3339(known.asked_at),
            received_at: clock::now(),
            api_version: known.version.clone(),
            payload: payload.to_owned(),
        };
        let remembered = match &busy {
            Some(busy) if began.elapsed() < ASKING_MAX => {
                let at_rest = journal.read(|reader| reader.remembered_at_rest(&known.tenant, &item.name, busy));
                at_rest.map_err(Unfit::Host)?
            }
            _ => None,
        };
        let event = Event { id: EventId(0), webhook };
        match remembered {
            Some(memory) if is_in_step(&rules, &event, &memory, &item.name) => read.in_step += 1,
            _ => read.events.push((item.name.clone(), event.webhook)),
        }
    }
    Ok(read)
}

/// Whether the rules skip an item at once, without a call, and leave nothing behind.
fn is_in_step(rules: &Rules, event: &Event, memory: &[String], name: &str) -> bool {
    let mut conversation = Conversation::new(rules, event, memory);
    let Key::Entity(entity) = conversation.key() else { return false };
    if !entity.names.iter().any(|known| known == name) {
        return false;
    }
    let Ok((Next::End(End { outcome: Outcome::Skipped, memory: None, .. }), new)) = conversation.go_on() else {
        return false;
    };
    new.learned.is_empty() && new.retired.is_empty()
}

fn check_page(page: &Page, reading: &Reading) -> Result<(), String> {
    if page.items.len() > ITEMS_MAX {
        return Err(format!("the rules found {} items in one page; {ITEMS_MAX} are allowed", page.items.len()));
    }
    if let Some(next) = &page.next {
        if *next == reading.cursor {
            return Err("the next page is the one that was just read".into());
        }
        if next.is_empty() || next.len() > CURSOR_BYTES_MAX {
            let bytes = next.len();
            return Err(format!("the rules gave a cursor of {bytes} bytes; 1 to {CURSOR_BYTES_MAX} are allowed"));
        }
    }
    for Item { at, clues, .. } in &page.items {
        let is_good = |clue: &String| {
            let kind = clue.split_once('/').map(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
            kind == Some(true) && clue.len() <= CLUE_BYTES_MAX
        };
        if clues.len() > CLUES_MAX || !clues.iter().all(is_good) {
            return Err(format!(
                "the item at `{at}` has clues that are not {CLUES_MAX} texts of the form kind/value, {CLUE_BYTES_MAX} bytes long, at most"
            ));
        }
    }
    match page.items.iter().find(|item| !is_name(&item.name)) {
        Some(Item { name, at, .. }) => {
            Err(format!("the item at `{at}` has the name `{name}`, which is not of the form source/kind/id"))
        }
        None => Ok(()),
    }
}

/// The items as they stand in the answer, byte for byte.
fn cut<'a>(body: &'a str, items: &[Item]) -> Result<Vec<&'a str>, String> {
    // Items stand side by side: whatever holds them is read once.
    let mut last: Option<(&str, Children<'a>)> = None;
    let mut cut = vec![];
    for Item { at, .. } in items {
        let nothing = || format!("there is nothing at `{at}` in the answer");
        let (parent, token) = at.rsplit_once('/').ok_or_else(nothing)?;
        if last.as_ref().is_none_or(|(known, _)| *known != parent) {
            let mut children = Children::of(body).ok_or_else(nothing)?;
            for token in parent.split('/').skip(1) {
                let text = children.get(token).ok_or_else(nothing)?;
                children = Children::of(text).ok_or_else(nothing)?;
            }
            last = Some((parent, children));
        }
        let found = last.as_ref().and_then(|(_, children)| children.get(token));
        cut.push(found.ok_or_else(nothing)?);
    }
    // Each becomes a payload of its own: a thousand at one place would be a thousand times the answer.
    if cut.iter().map(|item| item.len()).sum::<usize>() > body.len() {
        return Err("the items lie within each other".to_owned());
    }
    Ok(cut)
}

/// The parts of a JSON text, as they are written.
enum Children<'a> {
    List(Vec<&'a RawValue>),
    Object(BTreeMap<String, &'a RawValue>),
}

impl<'a> Children<'a> {
    fn of(text: &'a str) -> Option<Self> {
        match text.trim_start().chars().next()? {
            '[' => serde_json::from_str(text).ok().map(Self::List),
            '{' => serde_json::from_str(text).ok().map(Self::Object),
            _ => None,
        }
    }

    fn get(&self, token: &str) -> Option<&'a str> {
        match self {
            Self::List(list) => list.get(token.parse::<usize>().ok()?).map(|raw| raw.get()),
            Self::Object(object) => object.get(&token.replace("~1", "/").replace("~0", "~")).map(|raw| raw.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(at: &str) -> Item {
        Item { at: at.into(), name: "shopify/customer/7".into(), clues: vec![] }
    }

    #[test]
    fn items_are_cut_out_byte_for_byte() {
        let body = r#"{"data": {"a/b": [ {"n": 1.00} , {"n":706405506930370084}], "c": {"x": "é"}}}"#;
        let cut = |places: &[&str]| cut(body, &places.iter().map(|at| item(at)).collect::<Vec<_>>());
        assert_eq!(
            cut(&["/data/a~1b/0", "/data/a~1b/1", "/data/c"]),
            Ok(vec![r#"{"n": 1.00}"#, r#"{"n":706405506930370084}"#, r#"{"x": "é"}"#])
        );
        for within in [&["/data"; 1_000][..], &["/data", "/data/c"]] {
            assert_eq!(cut(within), Err("the items lie within each other".to_owned()), "{within:?}");
        }
        for at in ["", "data", "/", "/data/a~1b/2", "/data/a~1b/-1", "/data/b/0", "/data/c/x/0", "/0", "/data/a~1b/x"] {
            assert_eq!(cut(&[at]), Err(format!("there is nothing at `{at}` in the answer")), "{at}");
        }
        assert!(super::cut("<html>", &[item("/data/0")]).is_err());
        assert!(super::cut(r#"{"data": [1"#, &[item("/data/0")]).is_err());
    }

    #[test]
    fn a_page_that_goes_nowhere_is_refused() {
        let reading = |cursor: &str| Reading {
            pull: "customers".into(),
            begun_at: String::new(),
            since: None,
            names_only: false,
            bulk: false,
            cursor: cursor.into(),
        };
        let page = |next: Option<&str>, items: usize| Page {
            items: vec![item("/data/0"); items],
            next: next.map(str::to_owned),
            total: None,
        };
        for (next, items, good) in [
            (None, 0, true),
            (Some("b"), 1, true),
            (Some("a"), 1, false),
            (Some(""), 1, false),
            (None, ITEMS_MAX, true),
            (None, ITEMS_MAX + 1, false),
        ] {
            assert_eq!(check_page(&page(next, items), &reading("a")).is_ok(), good, "{next:?} {items}");
        }
        let long = "x".repeat(CURSOR_BYTES_MAX + 1);
        assert!(check_page(&page(Some(&long), 1), &reading("a")).is_err());
        let with =
            |clues: Vec<String>| Page { items: vec![Item { clues, ..item("/data/0") }], next: None, total: None };
        for (clues, good) in [
            (vec!["email/a".to_owned(); CLUES_MAX], true),
            (vec!["email/a".to_owned(); CLUES_MAX + 1], false),
            (vec!["email".to_owned()], false),
            (vec!["/a".to_owned()], false),
            (vec!["email/".to_owned()], false),
            (vec![format!("email/{}", "a".repeat(CLUE_BYTES_MAX - 6))], true),
            (vec![format!("email/{}", "a".repeat(CLUE_BYTES_MAX - 5))], false),
        ] {
            assert_eq!(check_page(&with(clues.clone()), &reading("")).is_ok(), good, "{clues:?}");
        }
        let nameless = Page { items: vec![Item { name: "ada".into(), ..item("/data/0") }], next: None, total: None };
        assert!(check_page(&nameless, &reading("a")).is_err());
    }
}
