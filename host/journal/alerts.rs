//! Which alerts somebody was told of, so that a start tells none anew; and the data requests that wait for an answer. Knows no
//! alert's text.

use rusqlite::{OptionalExtension, Transaction, params};

use super::operators::{Deed, record};
use super::{Journal, Reader};
use crate::clock;
use crate::model::{EventId, Millis};

/// An alert that is open and was told.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldAlert {
    /// A hash of what it is about.
    pub id: String,
    pub kind: String,
    pub tenant: Option<String>,
    pub since: Millis,
    pub told_at: Millis,
}

/// A `customers/data_request` that nobody has said to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRequest {
    pub event: EventId,
    pub tenant: String,
    pub received_at: Millis,
}

/// What came of saying that a data request is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answering {
    Answered,
    /// It was said before, then and by whom.
    Before(Millis, String),
    /// There is no such event, or it is no data request.
    NoRequest,
}

impl Journal {
    /// Keeps what was told, and forgets what is over.
    pub async fn keep_alerts(&self, told: Vec<ToldAlert>, over: Vec<String>) -> anyhow::Result<()> {
        if told.is_empty() && over.is_empty() {
            return Ok(());
        }
        let keep = move |tx: &Transaction| {
            for ToldAlert { id, kind, tenant, since, told_at } in &told {
                tx.prepare_cached(
                    "INSERT INTO alerts (id, kind, tenant, since, told_at) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET told_at = excluded.told_at",
                )?
                .execute(params![id, kind, tenant, since, told_at])?;
            }
            for id in &over {
                tx.prepare_cached("DELETE FROM alerts WHERE id = ?")?.execute([id])?;
            }
            Ok(())
        };
        self.writer.write(keep, |()| ()).await
    }

    /// Says that a data request is answered, for good, and says so in the audit trail.
    pub async fn answer(&self, event: EventId, by: &str) -> anyhow::Result<Answering> {
        let by = by.to_owned();
        let answer = move |tx: &Transaction| {
            let known =
                "SELECT tenant FROM events WHERE id = ? AND source = 'shopify' AND topic = 'customers/data_request'";
            let tenant: Option<String> = tx.query_row(known, [event.0], |row| row.get(0)).optional()?;
            let Some(tenant) = tenant else { return Ok(Answering::NoRequest) };
            let before = "SELECT at, by FROM answers WHERE event = ?";
            if let Some((at, by)) = tx.query_row(before, [event.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()? {
                return Ok(Answering::Before(at, by));
            }
            tx.execute(
                "INSERT INTO answers (event, tenant, at, by) VALUES (?, ?, ?, ?)",
                params![event.0, tenant, clock::now(), by],
            )?;
            let what = format!("answered the data request of event {event}");
            record(tx, &Deed { by: by.clone(), tenant: Some(tenant), what })?;
            Ok(Answering::Answered)
        };
        self.writer.write(answer, |_| ()).await
    }
}

impl Reader {
    /// The alerts that somebody was told of and that were open then.
    pub fn told_alerts(&self) -> anyhow::Result<Vec<ToldAlert>> {
        let mut statement = self.connection.prepare_cached("SELECT id, kind, tenant, since, told_at FROM alerts")?;
        let rows = statement.query_map([], |row| {
            Ok(ToldAlert {
                id: row.get(0)?,
                kind: row.get(1)?,
                tenant: row.get(2)?,
                since: row.get(3)?,
                told_at: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Up to `limit` data requests that wait for an answer, the oldest first. Those of which nothing is left, and those that were
    /// put away, wait for none.
    pub fn data_requests(&self, limit: usize) -> anyhow::Result<Vec<DataRequest>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, tenant, received_at FROM events INDEXED BY data_requests
             WHERE topic = 'customers/data_request' AND source = 'shopify' AND redacted_at IS NULL
               AND outcome IS NOT 'discarded' AND id NOT IN (SELECT event FROM answers) ORDER BY id LIMIT ?",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(DataRequest { event: EventId(row.get(0)?), tenant: row.get(1)?, received_at: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Appended, Old};
    use crate::model::Webhook;

    fn webhook(topic: &str, received_at: Millis) -> Webhook {
        Webhook {
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: topic.into(),
            delivery_id: None,
            occurred_at: String::new(),
            received_at,
            api_version: String::new(),
            payload: "{}".into(),
        }
    }

    #[tokio::test]
    async fn a_data_request_waits_and_stays_until_somebody_says_that_it_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        let mut events = vec![];
        for (topic, at) in
            [("customers/data_request", 1), ("orders/paid", 2), ("customers/data_request", 3), ("orders/paid", 4)]
        {
            let Appended::Accepted(event) = journal.append(webhook(topic, at)).await.unwrap() else { panic!("known") };
            events.push(event);
        }
        let end = |tx: &Transaction| tx.execute("UPDATE events SET outcome = 'done', ended_at = 5", []);
        journal.writer.write(end, |_| ()).await.unwrap();
        let waiting = || -> Vec<EventId> {
            let all = journal.read(|reader| reader.data_requests(10)).unwrap();
            all.into_iter().map(|request| request.event).collect()
        };
        assert_eq!(waiting(), [events[0], events[2]]);
        let leaves = async |event| journal.remove(vec![Old { event, before: 9 }]).await.unwrap();
        assert_eq!((leaves(events[1]).await, leaves(events[0]).await), (1, 0), "it is not answered yet");
        assert_eq!(journal.answer(events[1], "ops").await.unwrap(), Answering::NoRequest);
        assert_eq!(journal.answer(events[0], "ops").await.unwrap(), Answering::Answered);
        let again = journal.answer(events[0], "others").await.unwrap();
        assert!(matches!(again, Answering::Before(_, by) if by == "ops"));
        assert_eq!(waiting(), [events[2]]);
        assert_eq!(leaves(events[0]).await, 1);
        let audit = journal.read(|reader| reader.audit(Some("acme"), 9)).unwrap();
        assert_eq!(audit[0].1.what, format!("answered the data request of event {}", events[0]));
        assert_eq!(journal.read(|reader| reader.miscounted()).unwrap(), Default::default());
        drop((journal, _feeds));
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn what_was_told_is_there_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _feeds, thread) = Journal::open(&folder.path().join("a.db")).unwrap();
        let told = |id: &str, told_at| ToldAlert {
            id: id.into(),
            kind: "target-paused".into(),
            tenant: (id != "a").then(|| "acme".into()),
            since: 1,
            told_at,
        };
        journal.keep_alerts(vec![told("a", 2), told("b", 2)], vec![]).await.unwrap();
        journal.keep_alerts(vec![told("a", 3)], vec!["b".into()]).await.unwrap();
        assert_eq!(journal.read(|reader| reader.told_alerts()).unwrap(), [told("a", 3)]);
        drop((journal, _feeds));
        thread.join().unwrap();
    }
}
