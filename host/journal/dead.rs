//! Dead letters: lists them by cause, retries them, and discards them. Knows reasons only as texts.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::operators::{Deed, record};
use super::{Journal, Reader, drop_open_runs, reopen_last};
use crate::clock;
use crate::model::{EventId, Millis};
use crate::scheduler::{Input, Opened};

/// The name in the audit trail for what is done without a token.
const HOST: &str = "host";
const IS_DEAD: &str = "outcome IN ('refused', 'invalid', 'failed') AND redacted_by IS NULL";

/// The dead letters of a tenant that share a cause.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetters {
    pub topic: String,
    pub outcome: String,
    pub blame: Option<String>,
    /// The reason that they share, with `…` for what differs between them: ids, numbers, addresses.
    pub cause: String,
    pub last_ended_at: Millis,
    /// In order of arrival.
    pub events: Vec<EventId>,
}

/// Selects dead letters of a tenant. An absent field selects all.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub event: Option<EventId>,
    pub topic: Option<String>,
    /// As in [`DeadLetters`].
    pub cause: Option<String>,
}

impl Reader {
    /// The dead letters of a tenant by cause, the most frequent cause first. Redacted events are left out.
    pub fn dead_letters(&self, tenant: &str) -> anyhow::Result<Vec<DeadLetters>> {
        let sql = format!(
            "SELECT id, topic, outcome, blame, reason, ended_at FROM events WHERE tenant = ? AND {IS_DEAD} ORDER BY id"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([tenant])?;
        let mut causes: BTreeMap<(String, String, String), DeadLetters> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (event, topic, outcome) = (EventId(row.get(0)?), row.get::<_, String>(1)?, row.get::<_, String>(2)?);
            let cause = cause(&row.get::<_, Option<String>>(4)?.unwrap_or_default());
            let ended_at: Option<Millis> = row.get(5)?;
            let blame: Option<String> = row.get(3)?;
            let known = causes.entry((topic.clone(), outcome.clone(), cause.clone()));
            let known =
                known.or_insert_with(|| DeadLetters { topic, outcome, blame, cause, last_ended_at: 0, events: vec![] });
            known.last_ended_at = known.last_ended_at.max(ended_at.unwrap_or_default());
            known.events.push(event);
        }
        let mut causes: Vec<_> = causes.into_values().collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.events.len()));
        Ok(causes)
    }
}

impl Journal {
    /// Retries a dead letter, as a new run at the end of its lane. `false`: the event is no dead letter. Fails for a
    /// redacted event, of which nothing is left to run.
    pub async fn retry(&self, event: EventId) -> anyhow::Result<bool> {
        let row = self.read(|reader| Ok(reader.show(event)?.map(|(row, _)| row)))?;
        let Some(row) = row else { return Ok(false) };
        if let Some(at) = row.redacted_at {
            anyhow::bail!("event {event} was redacted on {}: nothing is left to run", clock::date(at));
        }
        let which = Which { event: Some(event), ..Which::default() };
        Ok(!self.retry_dead(&row.event.webhook.tenant, which, HOST).await?.is_empty())
    }

    /// Retries dead letters, each as a new run at the end of its lane, and says so in the audit trail.
    pub async fn retry_dead(&self, tenant: &str, which: Which, by: &str) -> anyhow::Result<Vec<EventId>> {
        let retry = |tx: &Transaction, event: EventId| reopen_last(tx, event).map(Some);
        self.settle(tenant, which, by, "retried", String::new(), retry).await
    }

    /// Discards dead letters for good, with a reason, and says so in the audit trail.
    pub async fn discard_dead(&self, tenant: &str, which: Which, why: &str, by: &str) -> anyhow::Result<Vec<EventId>> {
        let said = format!("discarded by {by}: {why}; it had ended ");
        let discard = move |tx: &Transaction, event: EventId| {
            drop_open_runs(tx, event)?;
            tx.prepare_cached(
                "UPDATE events SET reason = ? || outcome || ': ' || reason, outcome = 'discarded' WHERE id = ?",
            )?
            .execute(params![said, event.0])?;
            Ok(None)
        };
        self.settle(tenant, which, by, "discarded", format!(": {why}"), discard).await
    }

    async fn settle(
        &self,
        tenant: &str,
        which: Which,
        by: &str,
        verb: &'static str,
        why: String,
        settle: impl Fn(&Transaction, EventId) -> rusqlite::Result<Option<Opened>> + Send + 'static,
    ) -> anyhow::Result<Vec<EventId>> {
        let (feeds, tenant, by) = (self.feeds.clone(), tenant.to_owned(), by.to_owned());
        let told = tenant.clone();
        let work = move |tx: &Transaction| {
            let events = find(tx, &tenant, &which)?;
            let mut opened = vec![];
            for event in &events {
                opened.extend(settle(tx, *event)?);
            }
            if !events.is_empty() {
                let of = [
                    which.topic.as_deref().map(|topic| format!(" of {topic}")),
                    which.cause.map(|c| format!(" ({c})")),
                ];
                let of: String = of.into_iter().flatten().collect();
                let what = match which.event {
                    Some(event) => format!("{verb} event {event}{why}"),
                    None => format!("{verb} {} dead letters{of}{why}", events.len()),
                };
                record(tx, &Deed { by, tenant: Some(tenant), what })?;
            }
            Ok((events, opened))
        };
        let tell = move |(_, opened): &(Vec<EventId>, Vec<Opened>)| {
            opened.iter().for_each(|opened| feeds.tell(&told, Input::Arrived(*opened)));
        };
        Ok(self.writer.write(work, tell).await?.0)
    }
}

fn find(tx: &Transaction, tenant: &str, which: &Which) -> rusqlite::Result<Vec<EventId>> {
    let sql = format!(
        "SELECT id, reason FROM events WHERE tenant = ?1 AND (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR topic = ?3) AND {IS_DEAD}
         ORDER BY id"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params![tenant, which.event.map(|event| event.0), which.topic])?;
    let mut events = vec![];
    while let Some(row) = rows.next()? {
        let reason: Option<String> = row.get(1)?;
        if which.cause.as_ref().is_none_or(|wanted| *wanted == cause(&reason.unwrap_or_default())) {
            events.push(EventId(row.get(0)?));
        }
    }
    Ok(events)
}

/// A reason without what belongs to one event only: words with a digit or an `@`, and what is quoted and is neither a key nor a
/// topic, such as a name.
fn cause(reason: &str) -> String {
    let is_own = |word: &str| word.contains(|c: char| c.is_ascii_digit() || c == '@');
    let is_key = |c: char| c.is_ascii_lowercase() || "_./-$[]*'\"".contains(c);
    let parts: Vec<_> = reason.split('`').collect();
    // Every second part is between two quotes; the last may have one only.
    let is_quoted = |n: usize| n % 2 == 1 && n + 1 < parts.len();
    let part = |(n, part): (usize, &&str)| match is_quoted(n) && !part.chars().all(is_key) {
        true => "…".to_owned(),
        false => part.split(' ').map(|word| if is_own(word) { "…" } else { word }).collect::<Vec<_>>().join(" "),
    };
    parts.iter().enumerate().map(part).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn a_cause_is_a_reason_without_ids_numbers_and_addresses() {
        assert_eq!(
            cause("the customer's e-mail ada@example.org belongs to profile 0b7dbfa6-25d3, which is customer 7's"),
            "the customer's e-mail … belongs to profile … which is customer …"
        );
        for name in ["Fitzroy", "Saint Kilda", "Chapel St 7"] {
            assert_eq!(cause(&format!("location `{name}` has no phone")), "location `…` has no phone");
        }
        for same in
            ["`tags.whitelist` is no list", "`/customer/first_name` is missing", "a ` alone", "ends in `Fitzroy"]
        {
            assert_eq!(cause(same), same);
        }
    }
}
