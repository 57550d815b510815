//! Looks for what somebody should know of: in the journal, at the targets, on the disk. Changes nothing.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::book::{Alert, Kind};
use crate::clock;
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::journal::{Filter, Journal};
use crate::model::Millis;
use crate::registry::{Registry, Unbuilt};
use crate::tenants::Tenants;

/// Tenants with dead letters that are looked at, and causes of one.
const TENANTS_MAX: usize = 200;
const CAUSES_MAX: usize = 20;
/// Data requests of one look.
const REQUESTS_MAX: usize = 100;
const DAY_MS: i64 = 86_400_000;
/// Shopify wants a data request answered within so many days.
const DATA_REQUEST_DAYS: i64 = 30;
/// How long before its end somebody has to see to what only a merchant can renew.
const TOKEN_DAYS: i64 = 14;
/// The share of a tenant's room in the journal from which on it fills up; and of the disk, what has to be free.
const FULL_PERCENT: u64 = 80;
const FREE_PERCENT: u64 = 10;
const FREE_BYTES: u64 = 1 << 30;

pub struct Look {
    pub journal: Journal,
    pub delivery: Arc<Delivery>,
    pub credentials: Credentials,
    pub registry: Registry,
    pub tenants: Tenants,
}

impl Look {
    /// Everything that is wrong now.
    pub async fn look(&self) -> anyhow::Result<Vec<Alert>> {
        let now = clock::now();
        let mut found = self.targets();
        found.extend(self.unbuilt());
        found.extend(self.tokens(now).await);
        let (journal, tenants) = (self.journal.clone(), self.tenants.clone());
        let read = spawn_blocking(move || read(&journal, &tenants, now));
        found.extend(read.await.context("looking for alerts")??);
        Ok(found)
    }

    fn targets(&self) -> Vec<Alert> {
        let paused = self.delivery.paused().into_iter().map(|(tenant, target, why)| Alert {
            kind: Kind::TargetPaused,
            text: format!("{target} of {tenant} is sent no calls: {why}"),
            tenant: Some(tenant),
            about: target,
            hint: "`tandem targets TENANT` says more; `tandem resume` sends calls again",
        });
        let held = self.delivery.holding().into_iter().map(|(tenant, target, _)| Alert {
            kind: Kind::TargetHeld,
            text: format!("{target} of {tenant} has its calls wait: it asks for that, or does not answer"),
            tenant: Some(tenant),
            about: target,
            hint: "`tandem targets TENANT` says until when and why",
        });
        paused.chain(held).collect()
    }

    fn unbuilt(&self) -> Vec<Alert> {
        let failed = self.registry.unbuilt().into_iter().filter(|(_, unbuilt)| *unbuilt != Unbuilt::Building);
        let alert = |(tenant, _): (String, Unbuilt)| Alert {
            kind: Kind::RulesUnbuilt,
            text: format!("the rules of {tenant} that the configuration names could not be built"),
            tenant: Some(tenant),
            about: String::new(),
            hint: "`tandem tenant show TENANT` says why",
        };
        failed.map(alert).collect()
    }

    /// Grants that only a merchant can renew, and those that were refused.
    async fn tokens(&self, now: Millis) -> Vec<Alert> {
        let mut found = vec![];
        for name in self.tenants.names() {
            let Some(tenant) = self.tenants.get(&name).filter(|tenant| tenant.shopify.app().is_some()) else {
                continue;
            };
            if let Some(shown) = self.credentials.show(&tenant).await {
                let ends_at = shown.held.as_ref().and_then(|held| held.refresh_ends_at);
                let ends = ends_at.filter(|ends_at| ends_at - now < TOKEN_DAYS * DAY_MS);
                let text = match (&shown.refused, ends) {
                    (Some(why), _) => format!("the app `{}` gets no token for {name}: {why}", shown.app),
                    (None, Some(at)) => {
                        format!("what the app `{}` may do for {name} ends on {}", shown.app, clock::date(at))
                    }
                    (None, None) => continue,
                };
                found.push(Alert {
                    kind: Kind::TokenEnding,
                    tenant: Some(name.clone()),
                    about: shown.app,
                    text,
                    hint: "the merchant opens the app in the shop's admin",
                });
            }
        }
        found
    }
}

/// What the journal and the disk say.
fn read(journal: &Journal, tenants: &Tenants, now: Millis) -> anyhow::Result<Vec<Alert>> {
    let mut found = vec![];
    let mut dead: Vec<_> = journal.read(|reader| reader.waiting())?.into_iter().collect();
    dead.retain(|(tenant, now)| now.dead_letters > 0 && tenants.get(tenant).is_some());
    dead.sort_by_key(|(tenant, now)| (std::cmp::Reverse(now.dead_letters), tenant.clone()));
    for (tenant, _) in dead.into_iter().take(TENANTS_MAX) {
        for cause in journal.read(|reader| reader.dead_letters(&tenant))?.into_iter().take(CAUSES_MAX) {
            found.push(Alert {
                kind: Kind::DeadLetters,
                text: format!("{} dead letters of {tenant}, {}: {}", cause.events.len(), cause.topic, cause.cause),
                tenant: Some(tenant.clone()),
                about: format!("{}: {}", cause.topic, cause.cause),
                hint: "`tandem dead TENANT` lists them, `tandem retry` and `tandem discard` see to them",
            });
        }
    }
    let since = now - DATA_REQUEST_DAYS * DAY_MS;
    let requests = Filter {
        topic: Some("customers/data_request".into()),
        since: Some(since),
        limit: REQUESTS_MAX,
        ..Filter::default()
    };
    let requests = journal.read(|reader| reader.events(&requests))?;
    for row in requests.into_iter().filter(|row| row.redacted_at.is_none()) {
        let due = clock::date(row.event.webhook.received_at + DATA_REQUEST_DAYS * DAY_MS);
        found.push(Alert {
            kind: Kind::DataRequest,
            text: format!(
                "{} has a data request, event {}, to be answered until {due}",
                row.event.webhook.tenant, row.event.id
            ),
            tenant: Some(row.event.webhook.tenant),
            about: row.event.id.to_string(),
            hint: "`tandem data-request EVENT` writes what is held",
        });
    }
    for name in tenants.names() {
        let (activations, bytes) =
            journal.read(|reader| Ok((reader.activations(&name, 1)?, reader.bytes_of(&name)?)))?;
        if let Some(last) = activations.first().filter(|last| last.cause == crate::journal::Cause::Failing.name()) {
            found.push(Alert {
                kind: Kind::VersionFailed,
                text: format!(
                    "a version of {name} failed too many events and was rolled back on {}",
                    clock::date(last.at)
                ),
                tenant: Some(name.clone()),
                about: last.digest.clone(),
                hint: "`tandem versions TENANT` shows which; an activation by hand ends this",
            });
        }
        let max = tenants.get(&name).map_or(u64::MAX, |tenant| tenant.limits.journal_bytes_max);
        if u128::from(bytes) * 100 >= u128::from(max) * u128::from(FULL_PERCENT) {
            found.push(Alert {
                kind: Kind::JournalFilling,
                text: format!("{name} has {bytes} of the {max} bytes that it may have in the journal"),
                tenant: Some(name),
                about: String::new(),
                hint: "raise `journal_bytes_max`, or lower `keep_days`",
            });
        }
    }
    found.extend(disk(&journal.path())?);
    Ok(found)
}

/// Whether the disk that the journal is on fills up.
fn disk(journal: &Path) -> anyhow::Result<Option<Alert>> {
    #[cfg(unix)]
    {
        let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let disk = rustix::fs::statvfs(folder).context("asking how full the disk is")?;
        let (free, all) = (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
        Ok(is_filling(free, all).then(|| Alert {
            kind: Kind::DiskFilling,
            tenant: None,
            about: String::new(),
            text: format!("the journal's disk has {} MiB free of {} MiB", free >> 20, all >> 20),
            hint: "make room: without it no webhook is taken in",
        }))
    }
    #[cfg(not(unix))]
    {
        let _ = journal;
        Ok(None)
    }
}

/// A large disk has room for long in its last tenth; a small one has none in its last gigabyte.
fn is_filling(free: u64, all: u64) -> bool {
    u128::from(free) * 100 < u128::from(all) * u128::from(FREE_PERCENT) && free < 50 * FREE_BYTES || free < FREE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_fills_up_by_share_and_by_bytes() {
        let gib = |n: u64| n << 30;
        for (free, all, expected) in [
            (gib(50), gib(100), false),
            (gib(9), gib(100), true),
            (gib(60), gib(1_000), false),
            (gib(40), gib(1_000), true),
            (gib(1) - 1, gib(2), true),
            (gib(1), gib(2), false),
            (0, 0, true),
            (u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(is_filling(free, all), expected, "{free} of {all}");
        }
    }
}
