//! Looks for what somebody should know of: in the journal, at the targets, on the disk. Changes nothing but what it was told to keep.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::book::{Alert, Found, Kind, Told, Turn};
use crate::clock;
use crate::credentials::{Credentials, Refused};
use crate::delivery::{Cause, Delivery};
use crate::journal::{Journal, Mode, ToldAlert};
use crate::model::Millis;
use crate::registry::{Registry, Unbuilt};
use crate::tenants::Tenants;

/// Tenants with dead letters that are looked at, and causes of one that are told one by one.
const TENANTS_MAX: usize = 200;
const CAUSES_MAX: usize = 20;
/// Data requests of one look.
const REQUESTS_MAX: usize = 100;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Shopify wants a data request answered within so many days.
const DATA_REQUEST_DAYS: i64 = 30;
/// How long before its end somebody has to see to what only a merchant can renew.
const TOKEN_DAYS: i64 = 14;
/// How long a target has to be shut without a break: one is throttled now and then.
const HELD_MS: i64 = 5 * MINUTE_MS;
/// How long a tenant may go without a reconciliation that came to its end.
const RECONCILED_MS: i64 = 3 * DAY_MS;
/// How long an event may wait where nothing else says why.
const WAITING_MS: i64 = 30 * MINUTE_MS;
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
    /// Whether the host reconciles every night.
    pub reconciles: bool,
}

impl Look {
    /// Everything that is wrong now. What cannot be looked at is said to be left out, and the rest is found.
    pub async fn look(&self) -> Found {
        let now = clock::now();
        let mut found = Found::default();
        // Whose events wait for a reason that is told, or that somebody has given.
        let mut waits = self.targets(now, &mut found);
        waits.extend(self.unbuilt(&mut found));
        self.tokens(now, &mut found).await;
        let (journal, tenants) = (self.journal.clone(), self.tenants.clone());
        let (registry, reconciles) = (self.registry.clone(), self.reconciles);
        let read = spawn_blocking(move || {
            let part = Part { journal: &journal, tenants: &tenants, now };
            let mut found = Found::default();
            found.try_for(&[Kind::DeadLetters], |found| part.dead_letters(found));
            found.try_for(&[Kind::DataRequest], |found| part.data_requests(found));
            found.try_for(&[Kind::VersionFailed, Kind::JournalFilling], |found| part.each_tenant(found));
            found.try_for(&[Kind::EventsWaiting], |found| part.waiting(&waits, found));
            if reconciles {
                found.try_for(&[Kind::NotReconciled], |found| part.not_reconciled(&registry, found));
            }
            found.try_for(&[Kind::DiskFilling], |found| {
                found.alerts.extend(disk(&journal.path())?);
                Ok(())
            });
            found
        });
        match read.await {
            Ok(read) => {
                found.alerts.extend(read.alerts);
                found.cut.extend(read.cut);
            }
            Err(error) => found.leave_out(&Kind::ALL, &error.into()),
        }
        found
    }

    /// What somebody was told of before the host was started.
    pub async fn told(&self) -> anyhow::Result<Vec<Told>> {
        let journal = self.journal.clone();
        let rows = spawn_blocking(move || journal.read(|reader| reader.told_alerts())).await.context("reading")??;
        let told = rows.into_iter().filter_map(|ToldAlert { id, kind, tenant, since, told_at }| {
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
            Some(Told { id, kind, tenant, since, told_at })
        });
        Ok(told.collect())
    }

    /// Keeps what was told for the next start.
    pub async fn keep(&self, Turn { told, over, .. }: Turn) -> anyhow::Result<()> {
        let row = |Told { id, kind, tenant, since, told_at }| ToldAlert {
            id,
            kind: kind.name().to_owned(),
            tenant,
            since,
            told_at,
        };
        self.journal.keep_alerts(told.into_iter().map(row).collect(), over).await
    }

    /// Gives the tenants that have a target without calls.
    fn targets(&self, now: Millis, found: &mut Found) -> BTreeSet<String> {
        let mut waits = BTreeSet::new();
        for (tenant, target, causes) in self.delivery.causes() {
            let is_connected = self.tenants.get(&tenant).is_some_and(|tenant| !tenant.omneo.url.is_empty());
            for (cause, why) in causes {
                // A merchant connects Omneo when it suits, and the page says so.
                if cause == Cause::Closed && !is_connected {
                    continue;
                }
                // Secrets that cannot be opened close both targets, and are one alert.
                let about =
                    if cause == Cause::Closed { "secrets".to_owned() } else { format!("{target}, {}", cause.name()) };
                found.alerts.push(Alert {
                    kind: Kind::TargetPaused,
                    text: format!("{target} of {tenant} is sent no calls: {why}"),
                    tenant: Some(tenant.clone()),
                    about,
                    hint: hint_of(cause).replace("TENANT", &tenant).replace("TARGET", &target),
                });
            }
            waits.insert(tenant);
        }
        for (tenant, target, holding) in self.delivery.holding() {
            // A budget that is used up is no fault of anybody, and neither is a wait that ends soon.
            if holding.is_shut && now - holding.since >= HELD_MS {
                let what = if holding.is_down { "does not answer as it should" } else { "asks to wait" };
                found.alerts.push(Alert {
                    kind: Kind::TargetHeld,
                    text: format!(
                        "{target} of {tenant} {what} since {}, and its calls wait: {}",
                        clock::rfc3339(holding.since),
                        holding.why
                    ),
                    hint: format!("the host tries by itself; `tandem targets {tenant}` says when next"),
                    tenant: Some(tenant.clone()),
                    about: target,
                });
                waits.insert(tenant);
            }
        }
        waits
    }

    /// Gives the tenants whose rules are not there, or not yet.
    fn unbuilt(&self, found: &mut Found) -> Vec<String> {
        let unbuilt = self.registry.unbuilt();
        for (tenant, _) in unbuilt.iter().filter(|(_, unbuilt)| **unbuilt != Unbuilt::Building) {
            found.alerts.push(Alert {
                kind: Kind::RulesUnbuilt,
                text: format!("the rules of {tenant} that the configuration names could not be built"),
                tenant: Some(tenant.clone()),
                about: String::new(),
                hint: format!("`tandem tenant show {tenant}` says why"),
            });
        }
        unbuilt.into_keys().collect()
    }

    /// Grants that only a merchant can renew, and those that were refused.
    async fn tokens(&self, now: Millis, found: &mut Found) {
        for name in self.tenants.names() {
            let Some(tenant) = self.tenants.get(&name).filter(|tenant| tenant.shopify.app().is_some()) else {
                continue;
            };
            let Some(shown) = self.credentials.show(&tenant).await else { continue };
            let alert = |kind, text: String, hint: &str| Alert {
                kind,
                tenant: Some(name.clone()),
                about: shown.app.clone(),
                text,
                hint: hint.to_owned(),
            };
            match &shown.refused {
                // A merchant who has not opened the app yet has refused nothing.
                None | Some(Refused::Never { .. }) => {}
                Some(refused) => {
                    let whole = refused.to_string();
                    let (text, hint) =
                        whole.split_once("\nhint: ").unwrap_or((&whole, "the host asks again by itself"));
                    let text = format!("the app `{}` gets no token for {name}: {text}", shown.app);
                    found.alerts.push(alert(Kind::TokenRefused, text, hint));
                }
            }
            let ends_at = shown.held.as_ref().and_then(|held| held.refresh_ends_at);
            if let Some(at) = ends_at.filter(|ends_at| ends_at - now < TOKEN_DAYS * DAY_MS) {
                let text = format!("what the app `{}` may do for {name} ends on {}", shown.app, clock::date(at));
                found.alerts.push(alert(Kind::TokenEnding, text, "the merchant opens the app in the shop's admin"));
            }
        }
    }
}

/// What to do about a target that is sent nothing.
fn hint_of(cause: Cause) -> &'static str {
    match cause {
        Cause::Closed => "put the key back into `[secrets] keys`, behind the newest, and send SIGHUP",
        Cause::Ordered => "`tandem resume TENANT TARGET` sends calls again",
        Cause::Unauthorized => {
            "give it new credentials: `tandem tenant token TENANT TARGET FILE`; calls go on by themselves then"
        }
        Cause::Locked => "see whether the account is frozen or locked there; then `tandem resume TENANT TARGET`",
    }
}

impl Found {
    /// Looks at a part. Where that fails, its kinds were not looked at.
    fn try_for(&mut self, kinds: &[Kind], look: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        if let Err(error) = look(self) {
            self.leave_out(kinds, &error);
        }
    }

    fn leave_out(&mut self, kinds: &[Kind], error: &anyhow::Error) {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        tracing::warn!("not looked for: {}: {error:#}", names.join(", "));
        self.cut.extend(kinds.iter().map(|kind| (*kind, None)));
    }
}

/// What a look into the journal takes.
struct Part<'a> {
    journal: &'a Journal,
    tenants: &'a Tenants,
    now: Millis,
}

impl Part<'_> {
    fn dead_letters(&self, found: &mut Found) -> anyhow::Result<()> {
        let mut dead: Vec<_> = self.journal.read(|reader| reader.waiting())?.into_iter().collect();
        dead.retain(|(tenant, now)| now.dead_letters > 0 && self.tenants.get(tenant).is_some());
        dead.sort_by_key(|(tenant, now)| (std::cmp::Reverse(now.dead_letters), tenant.clone()));
        if dead.len() > TENANTS_MAX {
            found.cut.insert((Kind::DeadLetters, None));
        }
        for (tenant, _) in dead.into_iter().take(TENANTS_MAX) {
            let causes = self.journal.read(|reader| reader.dead_letters(&tenant))?;
            let alert = |about: String, text: String| Alert {
                kind: Kind::DeadLetters,
                tenant: Some(tenant.clone()),
                about,
                text,
                hint: format!("`tandem dead {tenant}` lists them, `tandem retry` and `tandem discard` see to them"),
            };
            for cause in causes.iter().take(CAUSES_MAX) {
                let text = format!("{} dead letters of {tenant}, {}: {}", cause.events.len(), cause.topic, cause.cause);
                found.alerts.push(alert(format!("{}: {}", cause.topic, cause.cause), text));
            }
            if let Some(others) = causes.get(CAUSES_MAX..).filter(|others| !others.is_empty()) {
                let events: usize = others.iter().map(|cause| cause.events.len()).sum();
                let text = format!("{events} more dead letters of {tenant}, of {} causes", others.len());
                found.alerts.push(alert("(others)".into(), text));
                found.cut.insert((Kind::DeadLetters, Some(tenant.clone())));
            }
        }
        Ok(())
    }

    fn data_requests(&self, found: &mut Found) -> anyhow::Result<()> {
        let requests = self.journal.read(|reader| reader.data_requests(REQUESTS_MAX + 1))?;
        if requests.len() > REQUESTS_MAX {
            found.cut.insert((Kind::DataRequest, None));
        }
        for request in requests.into_iter().take(REQUESTS_MAX).filter(|of| self.tenants.get(&of.tenant).is_some()) {
            let due = request.received_at + DATA_REQUEST_DAYS * DAY_MS;
            let until = if due < self.now { "was to be answered by" } else { "is to be answered by" };
            let event = request.event;
            found.alerts.push(Alert {
                kind: Kind::DataRequest,
                text: format!("event {event} of {}, a data request, {until} {}", request.tenant, clock::date(due)),
                about: event.to_string(),
                hint: format!(
                    "`tandem data-request {event}` writes what is held; `tandem data-request {event} --answered` once it was handed over"
                ),
                tenant: Some(request.tenant),
            });
        }
        Ok(())
    }

    fn each_tenant(&self, found: &mut Found) -> anyhow::Result<()> {
        for name in self.tenants.names() {
            let (activations, bytes) =
                self.journal.read(|reader| Ok((reader.activations(&name, 2)?, reader.bytes_of(&name)?)))?;
            // The latest activation is of the version that it went back to, and the one before of the version that failed.
            if let [back, failed] = &activations[..]
                && back.cause == crate::journal::Cause::Failing.name()
                && self.journal.read(|reader| reader.versions(&name))?.iter().any(|row| row.digest == failed.digest)
            {
                found.alerts.push(Alert {
                    kind: Kind::VersionFailed,
                    text: format!(
                        "version {} of {name} failed too many events, and was rolled back on {} to {}",
                        short(&failed.digest),
                        clock::date(back.at),
                        short(&back.digest)
                    ),
                    tenant: Some(name.clone()),
                    about: failed.digest.clone(),
                    hint: format!(
                        "`tandem versions {name}` shows both; another version that is activated ends this, or `tandem undeploy {name} {}`",
                        short(&failed.digest)
                    ),
                });
            }
            let max = self.tenants.get(&name).map_or(u64::MAX, |tenant| tenant.limits.journal_bytes_max);
            if u128::from(bytes) * 100 >= u128::from(max) * u128::from(FULL_PERCENT) {
                found.alerts.push(Alert {
                    kind: Kind::JournalFilling,
                    text: format!("{name} has {bytes} of the {max} bytes that it may have in the journal"),
                    tenant: Some(name),
                    about: String::new(),
                    hint: "raise `journal_bytes_max`, or lower `keep_days`".into(),
                });
            }
        }
        Ok(())
    }

    /// Events that wait though nothing is known to be in their way.
    fn waiting(&self, waits: &BTreeSet<String>, found: &mut Found) -> anyhow::Result<()> {
        let (waiting, directions) = self.journal.read(|reader| Ok((reader.waiting()?, reader.directions()?)))?;
        for (tenant, now) in waiting {
            let is_held = directions.iter().any(|of| of.tenant == tenant && of.mode == Mode::Hold);
            if now.waiting == 0 || now.oldest_ms < WAITING_MS || is_held || waits.contains(&tenant) {
                continue;
            }
            if self.tenants.get(&tenant).is_some() {
                found.alerts.push(Alert {
                    kind: Kind::EventsWaiting,
                    text: format!(
                        "{} events of {tenant} are not over, the oldest for {} minutes",
                        now.waiting,
                        now.oldest_ms / MINUTE_MS
                    ),
                    about: String::new(),
                    hint: format!("`tandem events --tenant {tenant} --outcome waiting` lists them, and one of them says what it waits for"),
                    tenant: Some(tenant),
                });
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    /// Tenants of which nobody knows whether a webhook is missing.
    fn not_reconciled(&self, registry: &Registry, found: &mut Found) -> anyhow::Result<()> {
        let before = self.now - RECONCILED_MS;
        for (tenant, last) in self.journal.read(|reader| reader.not_reconciled_since(before, TENANTS_MAX))? {
            let is_served = self.tenants.get(&tenant).is_some_and(|tenant| !tenant.is_closed() && tenant.has_omneo());
            if !is_served || registry.manifest(&tenant)?.is_none_or(|manifest| manifest.pulls.is_empty()) {
                continue;
            }
            let since = match last {
                Some(at) => format!("since {}", clock::date(at)),
                None => "ever".to_owned(),
            };
            found.alerts.push(Alert {
                kind: Kind::NotReconciled,
                about: String::new(),
                text: format!("no reconciliation of {tenant} came to its end {since}"),
                hint: format!("`tandem import {tenant} --status` says what stands in its way"),
                tenant: Some(tenant),
            });
        }
        Ok(())
    }
}

/// As many digits of a version as commands show.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
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
            hint: "make room: without it no webhook is taken in".into(),
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
