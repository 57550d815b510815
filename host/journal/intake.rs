//! Takes webhooks in, as events that will run or as events that are skipped at once. Knows why a webhook is refused;
//! not who sent it.

use anyhow::Context;
use rusqlite::{Transaction, params};
use sha2::{Digest as _, Sha256};

use super::usage::{ROW_BYTES, bytes};
use super::{Appended, Journal, finish, next_place};
use crate::model::{EventId, Outcome, Webhook, is_duty};
use crate::scheduler::{Input, Opened, System};

/// The terms on which a webhook is taken in.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Why the event is skipped at once; `None` if it is to run.
    pub skipped: Option<String>,
    /// How many bytes the tenant may have in the journal, this webhook included.
    pub bytes_max: Option<u64>,
}

impl Journal {
    /// Takes a webhook in. When this returns it is on disk.
    pub async fn append(&self, webhook: Webhook) -> anyhow::Result<Appended> {
        self.take_in(webhook, Terms::default()).await?.context("no room for a webhook, without a limit")
    }

    /// Takes a webhook in on these terms. `None`: there is no room for it.
    pub async fn take_in(&self, webhook: Webhook, terms: Terms) -> anyhow::Result<Option<Appended>> {
        let feeds = self.feeds.clone();
        let (tenant, writer) = (webhook.tenant.clone(), self.writer.intake_of(&webhook.tenant));
        let take = move |tx: &Transaction| {
            let more = ROW_BYTES + webhook.payload.len() as u64;
            if let Some(most) = terms.bytes_max
                && bytes(tx, &webhook.tenant)?.saturating_add(more) > most
            {
                return Ok(None);
            }
            let (appended, opened) = append(tx, &webhook)?;
            if let (Some(Opened { event, .. }), Some(why)) = (opened, &terms.skipped) {
                finish(tx, event, Outcome::Skipped, None, why, None)?;
                return Ok(Some((appended, None)));
            }
            Ok(Some((appended, opened)))
        };
        let tell = move |taken: &Option<(Appended, Option<Opened>)>| {
            if let Some((_, Some(opened))) = taken {
                feeds.tell(&tenant, Input::Arrived(*opened));
            }
        };
        Ok(writer.write(take, tell).await?.map(|(appended, _)| appended))
    }
}

/// Adds an event, unless the webhook is there already. A sender that gives one id to two bodies or topics has sent two
/// webhooks: the second is kept under the id and a digest of what differs, so that it is kept only once, too. Also
/// gives what the scheduler is told of a new event.
pub(super) fn append(tx: &Transaction, webhook: &Webhook) -> rusqlite::Result<(Appended, Option<Opened>)> {
    let id = webhook.delivery_id.as_deref();
    if let Some(opened) = insert(tx, webhook, id)? {
        return Ok((Appended::Accepted(opened.event), Some(opened)));
    }
    // A redacted event has lost its body, and the same webhook must not come back as a new event.
    let (from, same_body, same_topic) = tx
        .prepare_cached(
            "SELECT id, payload = ? OR redacted_at IS NOT NULL, topic = ? FROM events
             WHERE tenant = ? AND source = ? AND delivery_id = ?",
        )?
        .query_row(params![webhook.payload, webhook.topic, webhook.tenant, webhook.source, id], |row| {
            Ok((EventId(row.get(0)?), row.get::<_, bool>(1)?, row.get::<_, bool>(2)?))
        })?;
    if same_body && same_topic {
        return Ok((Appended::Duplicate(from), None));
    }
    let mut digest = Sha256::new();
    if !same_topic {
        digest.update(&webhook.topic);
        digest.update([0]);
    }
    digest.update(&webhook.payload);
    let other = format!("{} {}", id.unwrap_or_default(), hex::encode(digest.finalize()));
    match insert(tx, webhook, Some(&other))? {
        Some(opened) => Ok((Appended::Differs { event: opened.event, from }, Some(opened))),
        None => tx.query_row(
            "SELECT id FROM events WHERE tenant = ? AND source = ? AND delivery_id = ?",
            params![webhook.tenant, webhook.source, other],
            |row| Ok((Appended::Duplicate(EventId(row.get(0)?)), None)),
        ),
    }
}

/// `None`: the tenant has an event of this source with the same id.
fn insert(tx: &Transaction, webhook: &Webhook, delivery_id: Option<&str>) -> rusqlite::Result<Option<Opened>> {
    let place = next_place(tx)?;
    let inserted = tx
        .prepare_cached(
            "INSERT INTO events
                 (tenant, source, topic, delivery_id, occurred_at, received_at, api_version, payload, place)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            webhook.tenant,
            webhook.source,
            webhook.topic,
            delivery_id,
            webhook.occurred_at,
            webhook.received_at,
            webhook.api_version,
            webhook.payload,
            place.0
        ])?;
    let (event, source) = (EventId(tx.last_insert_rowid()), System::named(&webhook.source));
    let is_duty = is_duty(&webhook.source, &webhook.topic);
    let opened = Opened { event, place, source, is_duty, has_asked: false, in_flight: false };
    Ok((inserted == 1).then_some(opened))
}
