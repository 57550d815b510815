//! What an entity's memory keeps of the items of pulls: a mark of the last item of each side that led to something. As
//! long as an item has that mark, the entity is in step with it, and nothing has to be asked.
//!
//! The marks stand beside what the rules of persons, orders and products remember, and these rules know nothing of
//! them. Any other change of the memory removes the marks.

use serde_json::Map;
use tandem_sdk::{End, Event, Outcome, Value, json};

use crate::fingerprint::{fingerprint, fingerprint_json};
use crate::pulled::is_item;

/// The key of the marks in a memory.
const KEY: &str = "pulled";

/// The marks that an event finds in its entity's memory, and the mark of its own item.
pub struct Seen {
    source: String,
    /// Absent for an event that is no item.
    mark: Option<String>,
    /// The memory without the marks, and the marks. Empty unless the memory is one text.
    memory: Map<String, Value>,
    marks: Map<String, Value>,
}

impl Seen {
    /// `settings` is the rules file: an item that was dealt with under other settings is new.
    pub fn of(memory: &[String], event: &Event, settings: &Value) -> Self {
        let mark = is_item(event).then(|| {
            let settings = fingerprint_json([settings]);
            let of = [env!("CARGO_PKG_VERSION"), &settings, &event.topic, &event.payload];
            fingerprint(of.join("\n"))
        });
        let (memory, marks) = match memory {
            [one] if mark.is_some() || one.contains(KEY) => split(one),
            _ => (Map::new(), Map::new()),
        };
        Self { source: event.source.clone(), mark, memory, marks }
    }

    /// Why nothing has to be asked about the item; `None` if something may have to be.
    pub fn as_before(&self) -> Option<String> {
        let mark = self.mark.as_ref()?;
        let seen = self.marks.get(&self.source).filter(|seen| seen["mark"] == json!(mark))?;
        Some(match seen["why"].as_str() {
            Some(why) => format!("as when it was last read: {why}"),
            None => "in step: it is as when it was last read".to_owned(),
        })
    }

    /// The ending with the marks in its memory. The item gets one if it is dealt with: if it has changed the memory, and
    /// `is_open` finds nothing in the memory that should be looked at again.
    pub fn keep(mut self, mut end: End, is_open: impl Fn(&str) -> bool) -> End {
        let Some(text) = end.memory.as_ref().filter(|text| !text.is_empty()) else { return end };
        let is_settled = matches!(end.outcome, Outcome::Done | Outcome::Skipped) && !is_open(text);
        let mark = self.mark.take().filter(|_| is_settled);
        if mark.is_none() && self.marks.is_empty() {
            return end;
        }
        let (mut memory, _) = split(text);
        let mut marks = if memory == self.memory { self.marks } else { Map::new() };
        if let Some(mark) = mark {
            let why = (end.outcome == Outcome::Skipped).then_some(&end.reason);
            marks.insert(self.source, json!({ "mark": mark, "why": why }));
        }
        if !marks.is_empty() {
            memory.insert(KEY.to_owned(), Value::Object(marks));
            end.memory = Some(Value::Object(memory).to_string());
        }
        end
    }
}

/// A memory without its marks, and the marks.
fn split(text: &str) -> (Map<String, Value>, Map<String, Value>) {
    let Ok(Value::Object(mut memory)) = serde_json::from_str(text) else { return (Map::new(), Map::new()) };
    match memory.remove(KEY) {
        Some(Value::Object(marks)) => (memory, marks),
        _ => (memory, Map::new()),
    }
}
