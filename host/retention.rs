//! Retention: takes out of the journal, a few at a time and in the background, what is over and older than its tenant keeps
//! it.
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

/// From one look through the journal to the next.
const EVERY: Duration = Duration::from_secs(3_600);
/// Events that one write takes out, so that no webhook waits long behind it.
const EVENTS_PER_WRITE: usize = 20;
/// Events of one read.
const EVENTS_PER_READ: usize = 1_000;
/// Of the writer's time, this takes one part in so many.
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

/// Takes out what is old enough by a clock that is believed only as far as the journal and the time that the host has run
/// bear it out, and no more than a share of the journal; gives how many events that were.
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
    // First: what is cut off has used up its share.
    let most = pace::most(pace);
    journal.keep_pace(pace::less(pace, most)).await?;
    let removed = sweep(journal, tenants, now, most).await?;
    journal.keep_pace(pace::less(pace, removed)).await?;
    Ok(removed)
}

/// Takes out what is old enough now, but not more than so many events; gives how many that were. May be cut off between any
/// two writes.
pub async fn sweep(journal: &Journal, tenants: &Tenants, now: Millis, most: u64) -> anyhow::Result<u64> {
    let (reading, mut after, mut count) = (journal.clone(), EventId(0), 0);
    let removed = spawn_blocking(move || reading.read(|reader| reader.removed_tenants())).await??;
    while count < most {
        let reading = journal.clone();
        let rows = spawn_blocking(move || reading.read(|reader| reader.received(after, EVENTS_PER_READ))).await??;
        let Some(last) = rows.last() else { return Ok(count) };
        after = last.event;
        // Whatever comes after it is younger still.
        let is_last = last.received_at >= ago(now, KEEP_DAYS_MIN);
        let mut old = vec![];
        for row in rows {
            let keep_days = match tenants.get(&row.tenant) {
                Some(tenant) => tenant.limits.keep_days,
                None if removed.contains(&row.tenant) => Quota::default().keep_days,
                // It may be back tomorrow: of who only does not stand in the configuration nobody has said how long.
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
