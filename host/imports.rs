//! Imports: reads what a tenant has of its past, page by page, and makes an event of each item that is not in step already.
//!
//! Knows the journal, the registry and the delivery; neither HTTP nor what an item means. Where an import stands is in the
//! journal, so that it goes on after a crash from the page that was to be read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::clock;
use crate::delivery::{Delivery, Unread};
use crate::journal::{
    Import, ImportKind as Kind, ImportState as State, Journal, Mode, PageTaken, Reading, Sampled, TakenPage,
};
use crate::model::Millis;
use crate::registry::Registry;
use crate::rules::{self, Ask, Plugin, Pull};
use crate::tenants::Tenants;

mod bulk;
mod page;
mod sample;

pub use bulk::{JOB_DOCUMENTS, Shelf};

/// How often the imports that run are looked for, and how many are under way at a time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 4;
/// Events of items that a tenant may have waiting before its next page is read, and how often that is looked at. Live events
/// find no more than these before them.
const WAITING_MAX: usize = 500;
/// Events of any kind that a tenant may have waiting before its next page is read.
const BACKLOG_MAX: usize = 5_000;
const WAIT: Duration = Duration::from_millis(200);

/// What an import works with.
pub struct Parts {
    pub journal: Journal,
    pub registry: Registry,
    pub delivery: Arc<Delivery>,
    pub tenants: Tenants,
    pub shelf: Shelf,
}

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Imports(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// The tenants whose import is under way here.
    under_way: Mutex<HashSet<String>>,
    /// Imports that wait for a job elsewhere, by id, and when that is looked at again.
    asleep: Mutex<HashMap<i64, Instant>>,
}

/// How far before the last reading a reconciliation begins: what changed just before may not have been listed yet.
const OVERLAP_MS: Millis = 3_600_000;

/// What somebody wants to be read.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The collections, by name; all if there are none.
    pub pulls: Vec<String>,
    /// RFC 3339, or a date, which begins in UTC.
    pub since: Option<String>,
    /// Whether what the collections warn of was read and accepted.
    pub agreed: bool,
    /// Whether nothing is to be made of what is read.
    pub plan: bool,
}

/// What is to be reconciled.
#[derive(Clone, Debug, Default)]
pub struct Reconciling {
    /// Whether to find what is gone, too, by reading all names.
    pub names: bool,
    /// Whether nothing is to be made of what is read.
    pub plan: bool,
    /// Whether many names may be gone.
    pub agreed: bool,
    /// What was done before, for people.
    pub why: String,
}

/// Why no import was begun, or changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("no version of `{0}` is active, and rules say what can be read\nhint: `tandem deploy --activate` one")]
    NoVersion(String),
    #[error("the rules of `{0}` say of no collection how it is read\nhint: deploy rules that do")]
    NoPulls(String),
    #[error("the rules have no collection `{0}`\nhint: they have {1}")]
    Unknown(String, String),
    #[error("`{0}` cannot be read yet: {1}")]
    Unready(String, String),
    #[error("{0}\nhint: read that, and say that you agree: `--yes`, or `\"agreed\": true`")]
    Caution(String),
    #[error("`since` is `{0}`, which is {1}\nhint: give a date, `2026-01-31`, or a time, `2026-01-31T08:00:00+11:00`")]
    Since(String, &'static str),
    #[error("another import of the tenant is open\nhint: let it end, or cancel it: `tandem import {0} --cancel`")]
    Open(String),
    #[error("{0}")]
    NotOpen(String),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Whether to go on at once.
enum Then {
    Next,
    Wait,
    After(Duration),
    Over,
}

impl Imports {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, under_way: Mutex::default(), asleep: Mutex::default() }))
    }

    /// The collections that a tenant's rules say how to read.
    async fn pulls(&self, tenant: &str) -> Result<Vec<Pull>, Refused> {
        let plugin = self.0.active(tenant).await?.ok_or_else(|| Refused::NoVersion(tenant.to_owned()))?;
        let pulls = plugin.manifest().pulls.clone();
        if pulls.is_empty() { Err(Refused::NoPulls(tenant.to_owned())) } else { Ok(pulls) }
    }

    /// Begins an import; it goes on by itself. Where everything is wanted, a collection that the rules cannot read yet is left
    /// out, and `why` of the import that is given says so.
    pub async fn begin(&self, tenant: &str, wanted: Wanted, by: &str) -> Result<Import, Refused> {
        let known = self.pulls(tenant).await?;
        let names = || known.iter().map(|pull| format!("`{}`", pull.name)).collect::<Vec<_>>().join(", ");
        if let Some(other) = wanted.pulls.iter().find(|name| known.iter().all(|pull| pull.name != **name)) {
            return Err(Refused::Unknown(other.clone(), names()));
        }
        let is_wanted = |pull: &&Pull| wanted.pulls.is_empty() || wanted.pulls.contains(&pull.name);
        let (mut chosen, mut left_out) = (vec![], vec![]);
        for pull in known.iter().filter(is_wanted) {
            match self.0.first_page(tenant, pull).await? {
                Ok(()) => chosen.push(pull),
                Err(why) if wanted.pulls.is_empty() => left_out.push((pull.name.clone(), why)),
                Err(why) => return Err(Refused::Unready(pull.name.clone(), why)),
            }
        }
        if let (true, Some((name, why))) = (chosen.is_empty(), left_out.first()) {
            return Err(Refused::Unready(name.clone(), why.clone()));
        }
        let cautions = chosen.iter().filter(|pull| !pull.caution.is_empty());
        let cautions: Vec<_> = cautions.map(|pull| format!("`{}`: {}", pull.name, pull.caution)).collect();
        if !cautions.is_empty() && !wanted.agreed && !wanted.plan {
            return Err(Refused::Caution(cautions.join("\n")));
        }
        let since = wanted.since.as_deref().map(|since| moment(since, clock::now())).transpose()?.map(clock::rfc3339);
        let readings = chosen.iter().map(|pull| Reading {
            pull: pull.name.clone(),
            source: pull.source.clone(),
            since: since.clone(),
            ..Reading::default()
        });
        let left_out = left_out.iter().map(|(name, why)| format!("`{name}` is left out: {why}"));
        let import = Import {
            plan: wanted.plan,
            agreed: wanted.agreed,
            why: left_out.collect::<Vec<_>>().join("; "),
            since: since.clone(),
            readings: readings.collect(),
            ..new(tenant, Kind::Import, by)
        };
        self.keep(import).await
    }

    /// Begins to read again what has changed since it was last read, in case that a webhook never came. What was never read is
    /// read from the day on that the tenant is served. Collections that the rules cannot read yet are left out.
    pub async fn reconcile(&self, tenant: &str, wanted: Reconciling, by: &str) -> Result<Import, Refused> {
        let known = self.pulls(tenant).await?;
        let of = tenant.to_owned();
        let (checkpoints, served) =
            self.0.parts.journal.read(|reader| Ok((reader.checkpoints(&of)?, reader.served_since(&of)?)))?;
        let now = clock::now();
        let mut readings = vec![];
        for pull in &known {
            if self.0.first_page(tenant, pull).await?.is_ok() {
                let since = since(checkpoints.get(&pull.name).copied().or(served), now).map(clock::rfc3339);
                readings.push(Reading {
                    pull: pull.name.clone(),
                    source: pull.source.clone(),
                    since,
                    ..Reading::default()
                });
            }
        }
        if readings.is_empty() {
            return Err(Refused::NoPulls(tenant.to_owned()));
        }
        if wanted.names {
            let is_read = |pull: &&Pull| !pull.gone.is_empty() && readings.iter().any(|other| other.pull == pull.name);
            let by_names = known.iter().filter(is_read).map(|pull| Reading {
                pull: pull.name.clone(),
                source: pull.source.clone(),
                names_of: Some(pull.gone.clone()),
                ..Reading::default()
            });
            let by_names: Vec<_> = by_names.collect();
            readings.extend(by_names);
        }
        let Reconciling { plan, agreed, why, .. } = wanted;
        self.keep(Import { plan, agreed, why, readings, ..new(tenant, Kind::Reconciliation, by) }).await
    }

    async fn keep(&self, import: Import) -> Result<Import, Refused> {
        let begun = self.0.parts.journal.begin_import(import.clone()).await?;
        let id = begun.ok_or_else(|| Refused::Open(import.tenant.clone()))?;
        Ok(Import { id, ..import })
    }

    /// Pauses the import that runs, lets one go on that is paused, or cancels the one that is open. What has become an event
    /// stays one.
    pub async fn set(&self, tenant: &str, to: State, why: &str, by: &str) -> Result<(), Refused> {
        let (from, word): (&[State], _) = match to {
            State::Running => (&[State::Paused], "paused"),
            State::Paused => (&[State::Running], "running"),
            _ => (&[State::Running, State::Paused], "open"),
        };
        let (journal, of) = (&self.0.parts.journal, tenant.to_owned());
        let open = journal.read(|reader| reader.imports(&of))?.into_iter().find(|import| import.state.is_open());
        let set = journal.set_import(tenant, from, to, why, Some(by)).await?;
        if let (true, State::Cancelled, Some(import)) = (set, to, open) {
            let inner = self.0.clone();
            tokio::spawn(async move { bulk::cancel(&inner, &import).await });
        }
        let none = || Refused::NotOpen(format!("no import of `{tenant}` is {word}"));
        if set { Ok(()) } else { Err(none()) }
    }

    /// Carries on with the imports that run, until told to stop.
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        loop {
            match self.0.parts.journal.read(|reader| reader.running_imports()) {
                Ok(running) => {
                    self.0.sweep(&running);
                    for import in running {
                        if under_way.len() < AT_ONCE && self.0.is_awake(import.id) && self.0.claim(&import.tenant) {
                            let inner = self.0.clone();
                            let span = tracing::info_span!("import", tenant = import.tenant, import = import.id);
                            under_way
                                .spawn(async move { inner.go_on(&import.tenant, import.id).await }.instrument(span));
                        }
                    }
                }
                Err(error) => tracing::error!(blame = "host", "looking for imports: {error:#}"),
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                () = sleep(LOOK_EVERY) => {}
                Some(_) = under_way.join_next() => {}
            }
        }
        // Waits for a target end by themselves when the host stops; a page that was answered is taken in before that.
        while under_way.join_next().await.is_some() {}
    }
}

/// An import that has read nothing yet.
fn new(tenant: &str, kind: Kind, by: &str) -> Import {
    Import {
        id: 0,
        tenant: tenant.to_owned(),
        began_at: clock::now(),
        ended_at: None,
        by: by.to_owned(),
        kind,
        plan: false,
        agreed: false,
        state: State::Running,
        why: String::new(),
        since: None,
        readings: vec![],
    }
}

/// Where a reconciliation begins that follows a reading; `None`: with everything. A reading in the future was noted by a clock
/// that was wrong, so that nothing is known.
fn since(last: Option<Millis>, now: Millis) -> Option<Millis> {
    last.filter(|last| *last <= now).map(|last| last.saturating_sub(OVERLAP_MS))
}

/// A moment as somebody gives it, which lies in the past.
fn moment(text: &str, now: Millis) -> Result<Millis, Refused> {
    let wrong = |why| Refused::Since(text.to_owned(), why);
    let at = clock::parse(text).or_else(|| clock::parse(&format!("{text}T00:00:00Z")));
    let at = at.ok_or_else(|| wrong("neither a date nor a time"))?;
    if at < now { Ok(at) } else { Err(wrong("not in the past")) }
}

impl Inner {
    fn claim(&self, tenant: &str) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned())
    }

    fn asleep(&self) -> MutexGuard<'_, HashMap<i64, Instant>> {
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awake(&self, import: i64) -> bool {
        self.asleep().get(&import).is_none_or(|until| *until <= Instant::now())
    }

    /// Forgets whatever there is of imports that do not run any more: the files of their jobs are deleted.
    fn sweep(&self, running: &[Import]) {
        self.asleep().retain(|id, _| running.iter().any(|import| import.id == *id));
        let wanted = running.iter().filter_map(|import| {
            let at = import.current()?;
            let is_read = import.readings[at].job.is_some() && self.parts.tenants.get(&import.tenant).is_some();
            is_read.then_some((import.id, at))
        });
        match self.parts.shelf.sweep(&wanted.collect::<Vec<_>>(), SystemTime::now()) {
            Ok(0) => {}
            Ok(deleted) => tracing::info!("{deleted} files of jobs are deleted, which no import reads any more"),
            Err(error) => tracing::error!(blame = "host", "deleting the files of jobs: {error}"),
        }
    }

    async fn active(&self, tenant: &str) -> anyhow::Result<Option<Plugin>> {
        let (registry, tenant) = (self.parts.registry.clone(), tenant.to_owned());
        spawn_blocking(move || registry.active(&tenant)).await?
    }

    /// Whether the rules can say what to ask for; otherwise why not.
    async fn first_page(&self, tenant: &str, pull: &Pull) -> anyhow::Result<Result<(), String>> {
        if self.parts.journal.mode(tenant, &pull.source) == Mode::Drop {
            return Ok(Err(format!(
                "what comes from {} is dropped; `tandem directions {tenant}` says why",
                pull.source
            )));
        }
        let Some(plugin) = self.active(tenant).await? else { return Ok(Err("no version is active".into())) };
        let app = self.parts.tenants.get(tenant).and_then(|tenant| tenant.shopify.app().map(|app| app.kind));
        let reading = rules::Reading {
            pull: pull.name.clone(),
            begun_at: clock::rfc3339(clock::now()),
            since: None,
            names_only: false,
            bulk: bulk::is_offered(&pull.source, app, false),
            cursor: String::new(),
        };
        Ok(spawn_blocking(move || page::ask(&plugin, &reading).map(drop)).await?)
    }

    async fn go_on(&self, tenant: &str, import: i64) {
        let mut stopping = self.parts.delivery.stopping();
        loop {
            let then = match self.page(tenant).await {
                Ok(then) => then,
                Err(error) => {
                    tracing::error!(blame = "host", "{error:#}");
                    Then::Over
                }
            };
            let wait = match then {
                Then::Next => Duration::ZERO,
                Then::Wait => WAIT,
                Then::After(time) if time <= LOOK_EVERY => time,
                // Others may be under way meanwhile.
                Then::After(time) => {
                    self.asleep().insert(import, Instant::now() + time);
                    break;
                }
                Then::Over => break,
            };
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                () = sleep(wait) => {}
            }
        }
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    /// Reads one page of the tenant's import, if it still runs and the events of the pages before are nearly over.
    async fn page(&self, tenant: &str) -> anyhow::Result<Then> {
        let journal = &self.parts.journal;
        let of = tenant.to_owned();
        let running = journal.read(|reader| reader.running_imports())?;
        let Some(import) = running.into_iter().find(|import| import.tenant == of) else { return Ok(Then::Over) };
        let Some(at) = import.current() else {
            let whys = import.readings.iter().map(|reading| &reading.why).chain([&import.why]);
            let whys = whys.filter(|why| !why.is_empty()).cloned().chain(["everything was read".to_owned()]);
            let why = whys.collect::<Vec<_>>().join("; ");
            journal.set_import(tenant, &[State::Running], State::Done, &why, None).await?;
            tracing::info!("done");
            return Ok(Then::Over);
        };
        let (waiting, items) = journal.read(|reader| reader.waiting_items(&of, BACKLOG_MAX))?;
        if waiting >= BACKLOG_MAX || items >= WAITING_MAX || journal.read(|reader| reader.is_redacting(&of))? {
            return Ok(Then::Wait);
        }
        let Some(configured) = self.parts.tenants.get(tenant) else { return Ok(Then::Over) };
        let Some(plugin) = self.active(tenant).await? else {
            if self.parts.registry.is_building(tenant) {
                return Ok(Then::Wait);
            }
            return self.pause(tenant, "no version is active").await;
        };
        let reading = &import.readings[at];
        if plugin.manifest().pulls.iter().all(|pull| pull.name != reading.pull || pull.source != reading.source) {
            let why = format!("the active version has no collection `{}` of {} any more", reading.pull, reading.source);
            return self.fail(tenant, &why).await;
        }
        let (asked_at, asked_after) = (clock::now(), journal.read(|reader| reader.newest_event())?);
        let (begun_at, names_only) = (reading.begun_at.unwrap_or(asked_at), reading.names_of.is_some());
        let app = configured.shopify.app().map(|app| app.kind);
        let place = rules::Reading {
            pull: reading.pull.clone(),
            begun_at: clock::rfc3339(begun_at),
            since: reading.since.clone(),
            names_only,
            bulk: reading.job.is_some()
                || reading.cursor.is_empty() && bulk::is_offered(&reading.source, app, names_only),
            cursor: reading.cursor.clone(),
        };
        let (asking, asked) = (plugin.clone(), place.clone());
        let ask = spawn_blocking(move || page::ask(&asking, &asked)).await?;
        let (version, bytes_max) =
            (plugin.manifest().api_version(&reading.source).to_owned(), configured.limits.journal_bytes_max);
        let call = match ask {
            Ok(Ask::Call(call)) => call,
            Ok(Ask::Bulk(query)) => {
                let (plugin, place, query, version) = (&plugin, &place, &*query, &*version);
                let step = bulk::Step { import: &import, at, plugin, place, query, version, bytes_max };
                return bulk::go_on(self, step).await;
            }
            Err(why) => return self.fail(tenant, &format!("`{}`: {why}", reading.pull)).await,
        };
        let answer = match self.parts.delivery.read(tenant, &call, &version).await {
            Ok(answer) => answer,
            Err(Unread::Stopped | Unread::Gone) => return Ok(Then::Over),
            Err(Unread::GivenUp(why)) => return self.pause(tenant, &why).await,
        };
        let reading_plugin = plugin.clone();
        let (reader, known) =
            (journal.clone(), page::Known { tenant: of, import: import.id, asked_at, version, is_part: false });
        let read = spawn_blocking(move || page::read(&reading_plugin, &place, &answer, &known, &reader)).await?;
        let read = match read {
            Ok(read) => read,
            Err(page::Unfit::Wrong(why)) => return self.fail(tenant, &format!("`{}`: {why}", reading.pull)).await,
            Err(page::Unfit::Host(error)) => return Err(error),
        };
        let Some(sample) = self.sampled(&import, at, &plugin, &read).await else { return Ok(Then::Over) };
        let after = Reading {
            sample,
            begun_at: Some(begun_at),
            ended_at: read.next.is_none().then(clock::now),
            cursor: read.next.unwrap_or_default(),
            pages: reading.pages + 1,
            total: read.total.or(reading.total),
            items: reading.items + read.items,
            in_step: reading.in_step + read.in_step,
            job: None,
            ..reading.clone()
        };
        let events = read.events.into_iter().map(|(_, event)| event).collect();
        let taken = TakenPage { at, after, events, items: read.listed, asked_after, bytes_max };
        let taken = journal.take_page(&import, taken).await?;
        self.then(&import, at, taken).await
    }

    /// What follows from what became of a page.
    async fn then(&self, import: &Import, at: usize, taken: PageTaken) -> anyhow::Result<Then> {
        let tenant = &import.tenant;
        match taken {
            PageTaken::Yes | PageTaken::Moved | PageTaken::Redacted => Ok(Then::Next),
            PageTaken::Dropped => {
                let source = &import.readings[at].source;
                let why = format!("what comes from {source} is dropped; `tandem directions {tenant}` says why");
                self.pause(tenant, &why).await
            }
            PageTaken::NoRoom => self.pause(tenant, "the tenant has used up its space in the journal").await,
        }
    }

    /// In a plan, what the rules would do about some of the items; `None`: the host is about to stop.
    async fn sampled(&self, import: &Import, at: usize, plugin: &Plugin, read: &page::Read) -> Option<Vec<Sampled>> {
        let mut sampled = import.readings[at].sample.clone();
        if import.plan {
            let with = (&self.parts.journal, &*self.parts.delivery);
            let most = sample::ITEMS_MAX / import.readings.len() as u64;
            sample::sample(with, plugin, &read.events, &mut sampled, most).await.ok()?;
        }
        Some(sampled)
    }

    async fn pause(&self, tenant: &str, why: &str) -> anyhow::Result<Then> {
        tracing::warn!("paused: {why}");
        let why = format!("{why}; `tandem import {tenant} --resume` goes on");
        self.parts.journal.set_import(tenant, &[State::Running], State::Paused, &why, None).await?;
        Ok(Then::Over)
    }

    async fn fail(&self, tenant: &str, why: &str) -> anyhow::Result<Then> {
        tracing::warn!(blame = "plugin", "ended: {why}");
        self.parts.journal.set_import(tenant, &[State::Running], State::Failed, why, None).await?;
        Ok(Then::Over)
    }
}

impl From<tokio::task::JoinError> for Refused {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(anyhow!(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_date_or_a_time_in_the_past() {
        let now = clock::parse("2026-03-01T00:00:00Z").unwrap();
        for (text, at) in [
            ("2026-02-28", Some("2026-02-28T00:00:00.000Z")),
            ("2026-02-28T10:00:00+11:00", Some("2026-02-27T23:00:00.000Z")),
            ("2026-03-01", None),
            ("2027-01-01", None),
            ("2026-02-30", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text, now).ok().map(clock::rfc3339).as_deref(), at, "{text}");
        }
    }
}
