//! Imports: reads what a tenant has of its past, page by page, and makes an event of each item that is not in step already.
//!
//! Knows the journal, the registry and the delivery; neither HTTP nor what an item means. Where an import stands is in the
//! journal, so that it goes on after a crash from the page that was to be read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

use crate::clock;
use crate::delivery::{Delivery, Unread};
use crate::journal::{HOST, Import, ImportState as State, ItemRead, Journal, PageTaken, Reading, Sampled, TakenPage};
use crate::registry::Registry;
use crate::rules::{self, Ask, Plugin};
use crate::tenants::Tenants;

mod begin;
mod bulk;
mod page;
mod sample;

pub use begin::{Reconciling, Refused, Wanted};
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
    /// How often the page was refused at which an import stands, by the import's id.
    refusals: Mutex<HashMap<i64, u32>>,
}

/// Pages of a reading. One that has more goes round in a circle.
const PAGES_MAX: u64 = 50_000;
/// How often a page may come again right behind itself: once, as a rule, where a list is read by a time that all of its items
/// have.
const SAME_PAGES_MAX: u64 = 3;
/// How long a page may be on its way, with all tries, before others have their turn; and after how long it is asked for again.
const PAGE_MAX: Duration = Duration::from_secs(120);
const UNANSWERED: Duration = Duration::from_secs(60);
/// After how long a target that is paused is looked at again.
const PAUSED: Duration = Duration::from_secs(5);
/// How often a page is asked for again that the rules refuse, and after how long, doubled with each time.
const REFUSALS_MAX: u32 = 3;
const REFUSED: Duration = Duration::from_secs(5);
/// How long an import keeps its place while its events, or a redaction, are not over: what is held may wait for ever.
const WAITS_MAX: Duration = Duration::from_secs(10);

/// Whether to go on at once.
enum Then {
    Next,
    Wait,
    After(Duration),
    Over,
}

impl Imports {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            under_way: Mutex::default(),
            asleep: Mutex::default(),
            refusals: Mutex::default(),
        }))
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

impl Inner {
    fn claim(&self, tenant: &str) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned())
    }

    fn asleep(&self) -> MutexGuard<'_, HashMap<i64, Instant>> {
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<i64, u32>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awake(&self, import: i64) -> bool {
        self.asleep().get(&import).is_none_or(|until| *until <= Instant::now())
    }

    /// Forgets whatever there is of imports that do not run any more: the files of their jobs are deleted.
    fn sweep(&self, running: &[Import]) {
        let runs = |id: &i64| running.iter().any(|import| import.id == *id);
        self.asleep().retain(|id, _| runs(id));
        self.refusals().retain(|id, _| runs(id));
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

    async fn go_on(&self, tenant: &str, import: i64) {
        let mut stopping = self.parts.delivery.stopping();
        let mut read_at = Instant::now();
        loop {
            let then = match self.page(tenant).await {
                Ok(then) => then,
                Err(error) => {
                    tracing::error!(blame = "host", "{error:#}");
                    Then::Over
                }
            };
            let then = match then {
                Then::Wait if read_at.elapsed() > WAITS_MAX => Then::After(PAUSED),
                then => then,
            };
            let wait = match then {
                Then::Next => {
                    read_at = Instant::now();
                    Duration::ZERO
                }
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
        let imports = journal.read(|reader| reader.imports(&of))?;
        let running = imports.into_iter().find(|import| import.state == State::Running);
        let Some(import) = running else { return Ok(Then::Over) };
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
            return self.pause(&import, "no version is active").await;
        };
        let reading = &import.readings[at];
        // Others have their turn as long as nothing can be asked.
        if self.parts.delivery.paused().iter().any(|(of, target, _)| of == tenant && *target == reading.source) {
            return Ok(Then::After(PAUSED));
        }
        if reading.pages >= PAGES_MAX {
            return self
                .fail(
                    tenant,
                    &format!("`{}` has more than {PAGES_MAX} pages, so it goes round in a circle", reading.pull),
                )
                .await;
        }
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
        let answer = match timeout(PAGE_MAX, self.parts.delivery.read(tenant, &call, &version)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Unread::Stopped | Unread::Gone)) => return Ok(Then::Over),
            Ok(Err(Unread::GivenUp(why))) => return self.pause(&import, &why).await,
            Err(_) => {
                tracing::warn!(
                    "{} has given no page for {PAGE_MAX:?}; it is asked again in {UNANSWERED:?}",
                    reading.source
                );
                return Ok(Then::After(UNANSWERED));
            }
        };
        let reading_plugin = plugin.clone();
        let (reader, known) =
            (journal.clone(), page::Known { tenant: of, import: import.id, asked_at, version, is_part: false });
        let read = spawn_blocking(move || page::read(&reading_plugin, &place, &answer, &known, &reader)).await?;
        let read = match read {
            Ok(read) => read,
            Err(page::Unfit::Wrong(why)) => return self.fail(tenant, &format!("`{}`: {why}", reading.pull)).await,
            Err(page::Unfit::Refused(why)) => {
                return self.refused(&import, &format!("`{}`: {why}", reading.pull)).await;
            }
            Err(page::Unfit::Host(error)) => return Err(error),
        };
        let names = digest_of(&read.listed);
        let is_same = !names.is_empty() && names == reading.last_page;
        let same_pages = if is_same { reading.same_pages + 1 } else { 0 };
        if same_pages > SAME_PAGES_MAX {
            let why = format!("`{}`: {} gives the same page again under another cursor", reading.pull, reading.source);
            return self.refused(&import, &why).await;
        }
        self.refusals().remove(&import.id);
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
            last_page: names,
            same_pages,
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
                self.pause(import, &why).await
            }
            PageTaken::NoRoom => self.pause(import, "the tenant has used up its space in the journal").await,
        }
    }

    /// In a plan, what the rules would do about some of the items; `None`: the host is about to stop.
    async fn sampled(&self, import: &Import, at: usize, plugin: &Plugin, read: &page::Read) -> Option<Vec<Sampled>> {
        let mut sampled = import.readings[at].sample.clone();
        if import.plan {
            let with = (&self.parts.journal, &*self.parts.delivery);
            let most = sample::ITEMS_MAX / import.readings.len() as u64;
            // What takes too long is left out: the sample is a sample.
            let sample = sample::sample(with, plugin, &read.events, &mut sampled, most);
            if let Ok(sample) = timeout(PAGE_MAX, sample).await {
                sample.ok()?;
            }
        }
        Some(sampled)
    }

    /// Asks again for a page that the rules refuse, a few times: another answer may do.
    async fn refused(&self, import: &Import, why: &str) -> anyhow::Result<Then> {
        let refusals = {
            let mut refusals = self.refusals();
            let refusals = refusals.entry(import.id).or_default();
            *refusals += 1;
            *refusals
        };
        if refusals <= REFUSALS_MAX {
            tracing::warn!("a page is refused, and asked for again: {why}");
            return Ok(Then::After(REFUSED * 2u32.pow(refusals - 1)));
        }
        self.pause(import, why).await
    }

    /// Leaves an import to whoever began it. What the host began by itself ends: it begins another one in the next night, from
    /// where this one began.
    async fn pause(&self, import: &Import, why: &str) -> anyhow::Result<Then> {
        let tenant = &import.tenant;
        self.refusals().remove(&import.id);
        if import.by == HOST {
            tracing::warn!("ended: {why}");
            self.parts.journal.set_import(tenant, &[State::Running], State::Failed, why, None).await?;
            return Ok(Then::Over);
        }
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

/// What tells a page from another one; empty for a page without items.
fn digest_of(items: &[ItemRead]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut digest = Sha256::new();
    for item in items {
        digest.update(&item.name);
        digest.update([0]);
    }
    hex::encode(&digest.finalize()[..8])
}
