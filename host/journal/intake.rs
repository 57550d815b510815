//! How a webhook is taken in: to be run, or as one that is over already. Knows what it is refused for; not who sent it.

use anyhow::Context;
use rusqlite::Transaction;

use super::keep::bytes;
use super::{Appended, Journal, append, finish};
use crate::model::{Outcome, Webhook};
use crate::scheduler::{Input, Opened};

/// On which terms a webhook is taken in.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Why it is skipped and nothing is done about it, if so.
    pub skipped: Option<String>,
    /// What the tenant's payloads, calls and replies may come to with it, in bytes.
    pub bytes_max: Option<u64>,
}

impl Journal {
    /// Takes a webhook in. When this returns it is on disk.
    pub async fn append(&self, webhook: Webhook) -> anyhow::Result<Appended> {
        self.take_in(webhook, Terms::default()).await?.context("no room for a webhook, without a limit")
    }

    /// The same on these terms. `None`: there is no room for it.
    pub async fn take_in(&self, webhook: Webhook, terms: Terms) -> anyhow::Result<Option<Appended>> {
        let feeds = self.feeds.clone();
        let tenant = webhook.tenant.clone();
        let take = move |tx: &Transaction| {
            if let Some(most) = terms.bytes_max
                && bytes(tx, &webhook.tenant)?.saturating_add(webhook.payload.len() as u64) > most
            {
                return Ok(None);
            }
            let (appended, opened) = append(tx, &webhook)?;
            if let (Appended::Accepted(event), Some(why)) = (appended, &terms.skipped) {
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
        Ok(self.writer.write(take, tell).await?.map(|(appended, _)| appended))
    }
}
