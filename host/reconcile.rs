//! Reconciliation: every night, both sides of each tenant are read again from where the last reading ended, and once a week
//! by names, in case that a webhook never came. Before that, webhook subscriptions that are gone are made again.
//!
//! Knows when; not what an item means.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock;
use crate::config::Nightly;
use crate::connect::Connect;
use crate::imports::{Imports, Reconciling, Refused};
use crate::journal::{HOST, Import, ImportKind, Journal};
use crate::model::Millis;
use crate::tenants::Tenants;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Tenants begin so long after each other at most, so that not all ask at the same moment.
const SPREAD_MS: u64 = 3_600_000;
/// Tenants whose webhooks are looked at at a time.
const AT_ONCE: usize = 4;
/// How long a tenant that cannot be reconciled now is left alone.
const AGAIN_MS: Millis = 3_600_000;
const DAY_MS: Millis = 24 * 3_600_000;
/// All names are read after so many days, too, if the host did not run on the day for it.
const NAMES_DAYS_MAX: Millis = 8;

/// What reconciliations work with.
#[derive(Clone)]
pub struct Parts {
    pub journal: Journal,
    pub tenants: Tenants,
    pub connect: Connect,
    pub imports: Imports,
}

/// What a tenant's reconciliations of the past say.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// When the tenant was first served.
    served: Option<Millis>,
    /// When the host last began one, and one by names.
    last: Option<Millis>,
    last_by_names: Option<Millis>,
}

/// What is to be done for a tenant now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Changes,
    ChangesAndNames,
}

/// Begins what is due, until told to stop.
pub async fn run(parts: Parts, nightly: Option<Nightly>, mut stopping: watch::Receiver<bool>) {
    let Some(nightly) = nightly else {
        let _ = stopping.wait_for(|stopping| *stopping).await;
        return;
    };
    // When each tenant is to be looked at again.
    let mut again: HashMap<String, Millis> = HashMap::new();
    loop {
        let look = look(&parts, nightly, &mut again);
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = look => {}
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(parts: &Parts, nightly: Nightly, again: &mut HashMap<String, Millis>) {
    let now = clock::now();
    let names: BTreeSet<_> = parts.tenants.names().into_iter().collect();
    again.retain(|name, _| names.contains(name));
    let mut begun = JoinSet::new();
    for name in names {
        if again.get(&name).is_some_and(|at| now < *at && *at - now <= DAY_MS) {
            continue;
        }
        let night = last_night(nightly, spread(&name), now);
        // Until the next night, if nothing goes wrong.
        again.insert(name.clone(), night + DAY_MS);
        if parts.tenants.get(&name).is_none_or(|tenant| tenant.is_closed() || !tenant.has_omneo()) {
            again.insert(name, now + AGAIN_MS);
            continue;
        }
        let due = match past(&parts.journal, &name) {
            Ok(past) => due(nightly, night, past),
            Err(error) => {
                tracing::error!(tenant = name, blame = "host", "looking for its reconciliations: {error:#}");
                None
            }
        };
        let Some(due) = due else { continue };
        while begun.len() >= AT_ONCE {
            if let Some(Ok(over)) = begun.join_next().await {
                note(over, now, again);
            }
        }
        let parts = parts.clone();
        begun.spawn(async move { (begin(&parts, &name, due).await, name) });
    }
    while let Some(over) = begun.join_next().await {
        if let Ok(over) = over {
            note(over, now, again);
        }
    }
}

/// Looks later at a tenant for which nothing could be begun.
fn note((begun, tenant): (Result<(), Refused>, String), now: Millis, again: &mut HashMap<String, Millis>) {
    if let Err(refused) = begun {
        // A tenant without rules has nothing to be reconciled by.
        if !matches!(refused, Refused::NoVersion(_) | Refused::NoPulls(_)) {
            tracing::warn!(tenant, "not reconciled: {refused}; it is tried again in an hour");
        }
        again.insert(tenant, now + AGAIN_MS);
    }
}

async fn begin(parts: &Parts, tenant: &str, due: Due) -> Result<(), Refused> {
    let why = parts.connect.mend_webhooks(tenant).await;
    if !why.is_empty() {
        tracing::warn!(tenant, "{why}");
    }
    let wanted = Reconciling { names: due == Due::ChangesAndNames, why, ..Reconciling::default() };
    parts.imports.reconcile(tenant, wanted, HOST).await.map(drop)
}

fn past(journal: &Journal, tenant: &str) -> anyhow::Result<Past> {
    let (served, imports) = journal.read(|reader| Ok((reader.served_since(tenant)?, reader.imports(tenant)?)))?;
    let own = |import: &&Import| import.kind == ImportKind::Reconciliation && !import.plan && import.by == HOST;
    let by_names = |import: &&Import| import.readings.iter().any(|reading| reading.names_of.is_some());
    Ok(Past {
        served,
        last: imports.iter().filter(own).map(|import| import.began_at).max(),
        last_by_names: imports.iter().filter(own).filter(by_names).map(|import| import.began_at).max(),
    })
}

/// When a tenant was to be reconciled for the last time.
fn last_night(nightly: Nightly, spread: Millis, now: Millis) -> Millis {
    let at = Millis::from(nightly.at) * 60_000 + spread;
    (now - at).div_euclid(DAY_MS) * DAY_MS + at
}

/// What is due, if that night was the last. A time in the future was noted by a clock that was wrong.
fn due(nightly: Nightly, night: Millis, past: Past) -> Option<Due> {
    let is_over = |at: Option<Millis>| at.is_some_and(|at| night <= at && at < night + DAY_MS);
    let served = past.served?;
    if served >= night || is_over(past.last) {
        return None;
    }
    let Some(day) = nightly.names_on else { return Some(Due::Changes) };
    // 1970-01-01 was a Thursday.
    let is_day = (night.div_euclid(DAY_MS) + 4).rem_euclid(7) == Millis::from(day);
    let last = past.last_by_names.filter(|at| *at < night + DAY_MS).unwrap_or(served);
    let is_late = night - last >= NAMES_DAYS_MAX * DAY_MS;
    Some(if is_day || is_late { Due::ChangesAndNames } else { Due::Changes })
}

/// A tenant's place among the others, which stays the same.
fn spread(tenant: &str) -> Millis {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    Millis::try_from(hasher.finish() % SPREAD_MS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        clock::parse(text).unwrap()
    }

    #[test]
    fn a_night_is_the_last_one_that_has_begun() {
        let nightly = Nightly { at: 120, names_on: None };
        for (spread, now, night) in [
            (0, "2026-03-02T02:00:00Z", "2026-03-02T02:00:00Z"),
            (0, "2026-03-02T01:59:59Z", "2026-03-01T02:00:00Z"),
            (1_800_000, "2026-03-02T02:15:00Z", "2026-03-01T02:30:00Z"),
            (1_800_000, "2026-03-02T23:59:00Z", "2026-03-02T02:30:00Z"),
            (0, "1969-12-31T01:00:00Z", "1969-12-30T02:00:00Z"),
        ] {
            assert_eq!(clock::rfc3339(last_night(nightly, spread, at(now))), clock::rfc3339(at(night)), "{now}");
        }
    }

    #[test]
    fn each_night_is_for_changes_and_one_in_a_week_for_names() {
        let nightly = Nightly { at: 120, names_on: Some(0) };
        // A Monday.
        let night = at("2026-03-02T02:00:00Z");
        let (sunday, day) = (night - DAY_MS, DAY_MS);
        let ago = |days: Millis| Some(night - days * day);
        for (night, served, last, by_names, due_then) in [
            (night, None, None, None, None),
            (night, ago(30), None, ago(1), Some(Due::Changes)),
            // Since the night began, and long before it.
            (night, Some(night + 1), None, None, None),
            (night, ago(30), Some(night), ago(1), None),
            (night, ago(30), Some(night - 1), ago(1), Some(Due::Changes)),
            // A clock that was a year ahead.
            (night, ago(30), ago(-365), ago(-365), Some(Due::ChangesAndNames)),
            (sunday, ago(30), ago(2), ago(8), Some(Due::ChangesAndNames)),
            // The host did not run on the last Sunday.
            (night, ago(30), ago(1), ago(7), Some(Due::Changes)),
            (night, ago(30), ago(1), ago(8), Some(Due::ChangesAndNames)),
            (night, ago(7), ago(1), None, Some(Due::Changes)),
            (night, ago(8), ago(1), None, Some(Due::ChangesAndNames)),
        ] {
            let past = Past { served, last, last_by_names: by_names };
            assert_eq!(due(nightly, night, past), due_then, "{past:?}");
        }
        let never = Nightly { names_on: None, ..nightly };
        let past = Past { served: ago(90), ..Past::default() };
        assert_eq!(due(never, sunday, past), Some(Due::Changes));
    }

    #[test]
    fn tenants_are_spread_over_an_hour_each_always_at_the_same_time() {
        let spreads: Vec<_> = (0..1_000).map(|n| spread(&format!("tenant-{n}"))).collect();
        assert!(spreads.iter().all(|spread| (0..3_600_000).contains(spread)));
        assert!(spreads.iter().filter(|spread| **spread < 1_800_000).count().abs_diff(500) < 100);
        assert_eq!(spread("acme"), spread("acme"));
    }
}
