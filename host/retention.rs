//! Retention: removes events from the journal that are over and older than their tenant keeps them, a few at a time and
//! in the background.
//!
//! Knows how long each tenant keeps events; not what hangs on one.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock;
use crate::config::{KEEP_DAYS_MIN, Quota};
use crate::journal::{Journal, Old};
use crate::model::{EventId, Millis};
use crate::tenants::Tenants;

mod pace;

use pace::Seen;

/// The pause between two rounds through the journal.
const EVERY: Duration = Duration::from_secs(3_600);
/// Events that one write removes, so that no webhook waits long behind it.
const EVENTS_PER_WRITE: usize = 20;
/// Events of one read.
const EVENTS_PER_READ: usize = 1_000;
/// Retention takes one part in this many of the writer's time.
const SHARE: u32 = 5;
const DAY_MS: Millis = 24 * 3_600 * 1_000;

/// Looks through the journal at start and from time to time, until told to stop.
pub async fn run(journal: Journal, tenants: Tenants, mut stopping: watch::Receiver<bool>) {
    let mut last = Instant::now();
    loop {
        let ran = last.elapsed();
        last = Instant::now();
        let looked = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            looked = look(&journal, &tenants, clock::now(), ran) => looked,
        };
        match looked {
            Ok(0) => {}
            Ok(removed) => tracing::info!("took {removed} events out of the journal that are over and old enough"),
            Err(error) => tracing::error!(blame = "host", "taking old events out of the journal: {error:#}"),
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// Removes the events that are old enough, but no more than a share of the journal; gives how many. The clock is
/// believed only as far as the journal and the time that the host has run bear it out.
pub async fn look(journal: &Journal, tenants: &Tenants, clock: Millis, ran: Duration) -> anyhow::Result<u64> {
    let reading = journal.clone();
    let look = move || reading.read(|reader| Ok((reader.pace()?, reader.newest()?, reader.events_count()?)));
    let (before, newest, events) = spawn_blocking(look).await??;
    let pace = pace::later(before, Seen { clock, ran, newest, events });
    let now = pace::now(pace, clock);
    if now < clock {
        tracing::warn!(
            "the clock says {}, {} days after what this journal has seen: events are kept as at {}, until that has caught up",
            clock::rfc3339(clock),
            (clock - pace.at) / DAY_MS,
            clock::rfc3339(now)
        );
    }
    // The share is used up first, so that a round that is cut off does not get it again.
    let most = pace::most(pace);
    journal.keep_pace(pace::less(pace, most)).await?;
    let removed = sweep(journal, tenants, now, most).await?;
    journal.keep_pace(pace::less(pace, removed)).await?;
    Ok(removed)
}

/// Removes the events that are old enough now, `most` at most; gives how many. May be cut off between any two writes.
pub async fn sweep(journal: &Journal, tenants: &Tenants, now: Millis, most: u64) -> anyhow::Result<u64> {
    let (reading, mut after, mut count) = (journal.clone(), EventId(0), 0);
    let removed = spawn_blocking(move || reading.read(|reader| reader.removed_tenants())).await??;
    while count < most {
        let reading = journal.clone();
        let rows = spawn_blocking(move || reading.read(|reader| reader.received(after, EVENTS_PER_READ))).await??;
        let Some(last) = rows.last() else { return Ok(count) };
        after = last.event;
        // Every event after it is younger still.
        let is_last = last.received_at >= ago(now, KEEP_DAYS_MIN);
        let mut old = vec![];
        for row in rows {
            let keep_days = match tenants.get(&row.tenant) {
                Some(tenant) => tenant.limits.keep_days,
                None if removed.contains(&row.tenant) => Quota::default().keep_days,
                // A tenant that is only missing in the configuration may be back tomorrow, and nobody has said how long
                // its events are kept.
                None => continue,
            };
            let before = ago(now, keep_days);
            if row.received_at < before {
                old.push(Old { event: row.event, before });
            }
        }
        for some in old.chunks(EVENTS_PER_WRITE) {
            let began = Instant::now();
            let left = usize::try_from(most - count).unwrap_or(usize::MAX).min(some.len());
            count += journal.remove(some[..left].to_vec()).await?;
            sleep(began.elapsed() * (SHARE - 1)).await;
        }
        if is_last {
            return Ok(count);
        }
    }
    Ok(count)
}

fn ago(now: Millis, days: u64) -> Millis {
    now.saturating_sub(Millis::try_from(days).unwrap_or(Millis::MAX).saturating_mul(DAY_MS))
}
