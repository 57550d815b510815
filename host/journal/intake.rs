//! How a webhook is taken in: to be run, or as one that is over already. Knows what it is refused for; not who sent it.

use rusqlite::Transaction;

use super::{Appended, Arrived, Journal, append, finish};
use crate::model::{Outcome, Webhook};

/// On which terms a webhook is taken in.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Why it is skipped and nothing is done about it, if so.
    pub skipped: Option<String>,
}

impl Journal {
    /// Takes a webhook in. When this returns it is on disk.
    pub async fn append(&self, webhook: Webhook) -> anyhow::Result<Appended> {
        self.take_in(webhook, Terms::default()).await
    }

    /// The same on these terms.
    pub async fn take_in(&self, webhook: Webhook, terms: Terms) -> anyhow::Result<Appended> {
        let feeds = self.feeds.clone();
        let (tenant, waits) = (webhook.tenant.clone(), terms.skipped.is_none());
        let take = move |tx: &Transaction| {
            let appended = append(tx, &webhook)?;
            if let (Appended::Accepted(event), Some(why)) = (appended, &terms.skipped) {
                finish(tx, event, Outcome::Skipped, None, why, None)?;
            }
            Ok(appended)
        };
        let tell = move |appended: &Appended| {
            if let Appended::Accepted(event) = *appended
                && waits
            {
                let _ = feeds.events.send(Arrived { event, tenant });
            }
        };
        self.writer.write(take, tell).await
    }
}
