//! A collection that is read by a job of Shopify's: asked for, waited for, downloaded, and read part by part like pages.
//!
//! Every step begins with what the journal has of the job and ends with a row, so that a crash anywhere neither loses nor
//! doubles an item: the next step is the same after it.

use std::io::{self, BufReader};
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{Inner, PAGE_MAX, Then, UNANSWERED, page};
use crate::client::{Bounds, NotDownloaded};
use crate::clock;
use crate::config::AppKind;
use crate::delivery::Unread;
use crate::journal::{Import, ItemRead, Job, PageTaken, Reading, TakenPage};
use crate::model::{Answer, Call, EventId, Webhook};
use crate::rules::{self, Plugin};

mod answers;
mod lines;
mod shelf;

use answers::{BUSY_MS_MAX, Begun, JOB_MS_MAX, Said, Status};
use lines::Unfit;
pub use shelf::Shelf;

/// Jobs that are tried for a reading before a person has to look, and downloads that are tried of the file of each.
const JOBS_MAX: u32 = 3;
const DOWNLOADS_MAX: u32 = 3;
const FILE: Bounds =
    Bounds { bytes_max: 8 << 30, silence: Duration::from_secs(30), whole: Duration::from_secs(2 * 3_600) };
/// How often a download asks whether its import still runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a job may take to be asked for. It ends by itself, too.
const CANCEL_MAX: Duration = Duration::from_secs(10);
/// What Shopify is asked about a job: to run it, how it stands, and to end it.
pub const JOB_DOCUMENTS: [&str; 3] = [answers::RUN, answers::LOOK, answers::CANCEL];

/// Whether the rules may have a collection read by a job. An app that merchants install may read orders in no other way.
/// One of the shop's own reads them over REST, as webhooks have them: without what GraphQL does not show, and at once.
pub fn is_offered(source: &str, app: Option<AppKind>, names_only: bool) -> bool {
    source == "shopify" && !names_only && matches!(app, Some(AppKind::Standalone | AppKind::Embedded))
}

/// What a step works with.
pub struct Step<'a> {
    pub import: &'a Import,
    pub at: usize,
    pub plugin: &'a Plugin,
    pub place: &'a rules::Reading,
    /// What the job is to run.
    pub query: &'a str,
    pub version: &'a str,
    /// What the tenant may have in the journal.
    pub bytes_max: u64,
}

/// Has the next thing done that a reading by a job needs. A disk that does not take the file needs a person.
pub async fn go_on(inner: &Inner, step: Step<'_>) -> anyhow::Result<Then> {
    match next(inner, &step).await {
        Err(error) if error.downcast_ref::<io::Error>().is_some() => pause(inner, &step, &format!("{error:#}")).await,
        done => done,
    }
}

async fn next(inner: &Inner, step: &Step<'_>) -> anyhow::Result<Then> {
    let query = hex::encode(Sha256::digest(step.query));
    let job = match &step.reading().job {
        Some(job) if job.query == query => job.clone(),
        // Other rules, or other settings: what the file has of an item is not what they read.
        known => Job { query, failed: known.as_ref().map_or(0, |job| job.failed), ..Job::default() },
    };
    if job.id.is_empty() {
        return begin(inner, step, job).await;
    }
    let open = || inner.parts.shelf.open(step.whose(), job.size, job.offset);
    let file = if job.size > 0 { open().context("opening the file of a job")? } else { None };
    match file {
        Some(file) => part(inner, step, job, file).await,
        None => look(inner, step, job).await,
    }
}

/// Asks Shopify to end the job that an import waits for, without waiting long for the answer.
pub async fn cancel(inner: &Inner, import: &Import) {
    let Some(reading) = import.current().map(|at| &import.readings[at]) else { return };
    let Some(job) = reading.job.as_ref().filter(|job| !job.id.is_empty() && job.size == 0) else { return };
    let Ok(Some(plugin)) = inner.active(&import.tenant).await else { return };
    let (call, version) = (answers::cancel(&job.id), plugin.manifest().api_version(&reading.source));
    drop(timeout(CANCEL_MAX, inner.parts.delivery.read(&import.tenant, &call, version)).await);
}

impl Step<'_> {
    fn reading(&self) -> &Reading {
        &self.import.readings[self.at]
    }

    fn tenant(&self) -> &str {
        &self.import.tenant
    }

    fn whose(&self) -> shelf::Whose {
        (self.import.id, self.at)
    }

    /// The reading as it is with this job.
    fn with(&self, job: Job) -> Reading {
        let reading = self.reading().clone();
        let begun_at = reading.begun_at.or_else(|| clock::parse(&self.place.begun_at));
        Reading { begun_at, job: Some(job), pages: reading.pages + 1, ..reading }
    }

    /// The reading from its beginning, with another job than those that failed.
    fn anew(&self, failed: u32) -> Reading {
        let query = self.reading().job.as_ref().map(|job| job.query.clone()).unwrap_or_default();
        let job = Job { query, failed, ..Job::default() };
        self.with(job)
    }
}

/// Asks for the job.
async fn begin(inner: &Inner, step: &Step<'_>, job: Job) -> anyhow::Result<Then> {
    let now = clock::now();
    let asked_after = inner.parts.journal.read(|reader| reader.newest_event())?;
    let answer = match ask(inner, step, &answers::run(step.query)).await? {
        Ok(answer) => answer,
        Err(then) => return Ok(then),
    };
    match answers::begun(&answer) {
        Begun::Runs(id) => {
            let job = Job { id, asked_at: Some(now), asked_after: asked_after.0, ..job };
            tracing::info!(job = job.id, "a job runs");
            // The items of another job's file are counted anew; what is an event already stays one.
            let events = if step.import.plan { 0 } else { step.reading().events };
            let reading = Reading { items: 0, in_step: 0, events, total: None, sample: vec![], ..step.with(job) };
            noted(inner, step, reading, Then::After(Duration::from_millis(answers::look_after(0)))).await
        }
        Begun::Busy(why) => {
            let since = job.asked_at.unwrap_or(now);
            if now - since > BUSY_MS_MAX {
                noted(inner, step, step.anew(job.failed), Then::Over).await?;
                let hours = BUSY_MS_MAX / 3_600_000;
                let why =
                    format!("other bulk operations of the app have kept this one waiting for {hours} hours: {why}");
                return pause(inner, step, &why).await;
            }
            let then = Then::After(Duration::from_millis(answers::look_after(now - since)));
            if job.asked_at.is_some() {
                return Ok(then);
            }
            tracing::info!("a job waits for others: {why}");
            noted(inner, step, step.with(Job { asked_at: Some(since), ..job }), then).await
        }
        Begun::Wrong(why) => inner.fail(step.tenant(), &format!("`{}`: {why}", step.place.pull)).await,
        Begun::Refused(why) => pause(inner, step, &why).await,
    }
}

/// Looks how the job stands.
async fn look(inner: &Inner, step: &Step<'_>, job: Job) -> anyhow::Result<Then> {
    let answer = match ask(inner, step, &answers::look(&job.id)).await? {
        Ok(answer) => answer,
        Err(then) => return Ok(then),
    };
    match answers::status(&answer) {
        Status::Runs => {
            let ran = clock::now() - job.asked_at.unwrap_or_default();
            if ran <= JOB_MS_MAX {
                return Ok(Then::After(Duration::from_millis(answers::look_after(ran))));
            }
            cancel(inner, step.import).await;
            let why = format!("the job has run for {} hours, which is longer than any may", JOB_MS_MAX / 3_600_000);
            noted(inner, step, step.anew(0), Then::Over).await?;
            pause(inner, step, &why).await
        }
        Status::Whole(said) => fetch(inner, step, job, said).await,
        Status::Empty => {
            let over = Reading { ended_at: Some(clock::now()), total: Some(0), ..step.with(job) };
            noted(inner, step, over, Then::Next).await
        }
        Status::Lost(why) => again(inner, step, &job, &why).await,
        Status::Refused(why) => {
            noted(inner, step, step.anew(0), Then::Over).await?;
            pause(inner, step, &why).await
        }
    }
}

/// Downloads the file and looks through it.
async fn fetch(inner: &Inner, step: &Step<'_>, job: Job, said: Said) -> anyhow::Result<Then> {
    let too_long = |what: &str| format!("`{}`: {what}", step.place.pull);
    let most =
        format!("the file of the job has more than {} GiB\nhint: read less at once: `--since`", FILE.bytes_max >> 30);
    if said.bytes.is_some_and(|bytes| bytes > FILE.bytes_max) {
        return inner.fail(step.tenant(), &too_long(&most)).await;
    }
    let whose = step.whose();
    let file = inner.parts.shelf.begin(whose).context("making the file of a job")?;
    let downloaded = tokio::select! {
        downloaded = inner.parts.delivery.download(&said.url, file, FILE) => downloaded,
        ended = unwanted(inner, step.import) => {
            inner.parts.shelf.remove(whose).context("deleting the file of a job")?;
            return ended.map(|()| Then::Over);
        }
    };
    let Some(downloaded) = downloaded else { return Ok(Then::Over) };
    let checked = match downloaded {
        Ok(_) => {
            let written = inner.parts.shelf.written(whose).context("opening the file of a job")?;
            let (reader, expected) = (BufReader::with_capacity(1 << 16, written), said.clone());
            spawn_blocking(move || lines::check(reader, &expected)).await?
        }
        Err(NotDownloaded::Failed(why)) => Err(Unfit::Broken(why)),
        Err(NotDownloaded::Disk(error)) => Err(Unfit::Disk(error)),
        Err(NotDownloaded::Forbidden(why)) => {
            inner.parts.shelf.remove(whose).context("deleting the file of a job")?;
            return pause(inner, step, &format!("the file of the job {why}")).await;
        }
        Err(NotDownloaded::TooLong) => {
            inner.parts.shelf.remove(whose).context("deleting the file of a job")?;
            return inner.fail(step.tenant(), &too_long(&most)).await;
        }
    };
    match checked {
        // An empty file of nothing, which has an address all the same.
        Ok(0) => {
            inner.parts.shelf.remove(whose).context("deleting the file of a job")?;
            let over = Reading { ended_at: Some(clock::now()), total: Some(0), ..step.with(job) };
            noted(inner, step, over, Then::Next).await
        }
        Ok(size) if job.size > 0 && size != job.size => {
            again(inner, step, &job, "the file of the job is another one than before").await
        }
        Ok(size) => {
            inner.parts.shelf.keep(whose).context("keeping the file of a job")?;
            tracing::info!(job = job.id, bytes = size, "the file of the job is whole");
            let total = said.items.or(step.reading().total);
            noted(inner, step, Reading { total, ..step.with(Job { size, ..job }) }, Then::Next).await
        }
        Err(unfit) => {
            inner.parts.shelf.remove(whose).context("deleting the file of a job")?;
            match unfit {
                Unfit::Broken(why) => {
                    let (why, downloads) = (format!("the file of the job {why}"), job.downloads + 1);
                    if downloads >= DOWNLOADS_MAX {
                        return again(inner, step, &job, &why).await;
                    }
                    tracing::warn!(blame = "peer", downloads, "{why}");
                    let then = Then::After(inner.parts.delivery.pause_after(downloads));
                    noted(inner, step, step.with(Job { downloads, ..job }), then).await
                }
                Unfit::TooLong(of) => {
                    let most = lines::ITEM_BYTES_MAX >> 20;
                    let what = format!("the item {of} has more than {most} MiB in the file of the job");
                    inner.fail(step.tenant(), &too_long(&what)).await
                }
                Unfit::Disk(error) => pause(inner, step, &format!("the file of the job: {error}")).await,
            }
        }
    }
}

/// Reads the next part of the file, as an answer to the rules.
async fn part(inner: &Inner, step: &Step<'_>, job: Job, file: std::fs::File) -> anyhow::Result<Then> {
    let offset = job.offset;
    let part = spawn_blocking(move || lines::part(BufReader::with_capacity(1 << 16, file), offset)).await?;
    let part = match part {
        Ok(part) => part,
        Err(Unfit::Disk(error)) => return Err(error).context("reading the file of a job"),
        Err(Unfit::Broken(why) | Unfit::TooLong(why)) => {
            return again(inner, step, &job, &format!("the file of the job {why}")).await;
        }
    };
    let known = page::Known {
        tenant: step.tenant().to_owned(),
        import: step.import.id,
        asked_at: job.asked_at.unwrap_or_default(),
        version: step.version.to_owned(),
        is_part: true,
    };
    let (plugin, place, journal) = (step.plugin.clone(), step.place.clone(), inner.parts.journal.clone());
    let answer = Answer { status: 200, headers: vec![], body: part.text };
    let read = spawn_blocking(move || page::read(&plugin, &place, &answer, &known, &journal)).await?;
    let read = match read {
        Ok(read) => read,
        Err(page::Unfit::Wrong(why) | page::Unfit::Refused(why)) => {
            return inner.fail(step.tenant(), &format!("`{}`: {why}", step.place.pull)).await;
        }
        Err(page::Unfit::Host(error)) => return Err(error),
    };
    let Some(sample) = inner.sampled(step.import, step.at, step.plugin, &read).await else { return Ok(Then::Over) };
    let before = step.reading();
    let after = Reading {
        items: before.items + read.items,
        in_step: before.in_step + read.in_step,
        sample,
        ended_at: (part.end >= job.size).then(clock::now),
        ..step.with(Job { offset: part.end, ..job.clone() })
    };
    let is_over = after.ended_at.is_some();
    let events = read.events.into_iter().map(|(_, event)| event).collect();
    match take(inner, step, after, (read.listed, events), EventId(job.asked_after)).await? {
        PageTaken::Yes if is_over => {
            inner.parts.shelf.remove(step.whose()).context("deleting the file of a job")?;
            Ok(Then::Next)
        }
        PageTaken::Redacted => {
            again(inner, step, &job, "somebody's data was to be redacted since the job was asked for").await
        }
        taken => inner.then(step.import, step.at, taken).await,
    }
}

/// Begins another job, unless enough were tried.
async fn again(inner: &Inner, step: &Step<'_>, job: &Job, why: &str) -> anyhow::Result<Then> {
    inner.parts.shelf.remove(step.whose()).context("deleting the file of a job")?;
    let failed = job.failed + 1;
    if failed >= JOBS_MAX {
        noted(inner, step, step.anew(0), Then::Over).await?;
        return pause(inner, step, &format!("{JOBS_MAX} jobs have failed; of the last one, {why}")).await;
    }
    tracing::warn!(blame = "peer", failed, "another job is begun: {why}");
    noted(inner, step, step.anew(failed), Then::After(inner.parts.delivery.pause_after(failed))).await
}

async fn pause(inner: &Inner, step: &Step<'_>, why: &str) -> anyhow::Result<Then> {
    inner.pause(step.import, &format!("`{}`: {why}", step.place.pull)).await
}

/// Ends when the import does not run any more.
async fn unwanted(inner: &Inner, import: &Import) -> anyhow::Result<()> {
    loop {
        sleep(LOOK_EVERY).await;
        let running = inner.parts.journal.read(|reader| reader.running_imports())?;
        if inner.parts.tenants.get(&import.tenant).is_none() || running.iter().all(|other| other.id != import.id) {
            return Ok(());
        }
    }
}

/// Sends a call about the job; otherwise gives what is to be done without an answer.
async fn ask(inner: &Inner, step: &Step<'_>, call: &Call) -> anyhow::Result<Result<Answer, Then>> {
    match timeout(PAGE_MAX, inner.parts.delivery.read(step.tenant(), call, step.version)).await {
        Ok(Ok(answer)) => Ok(Ok(answer)),
        Ok(Err(Unread::Stopped | Unread::Gone)) => Ok(Err(Then::Over)),
        Ok(Err(Unread::GivenUp(why))) => pause(inner, step, &why).await.map(Err),
        Err(_) => Ok(Err(Then::After(UNANSWERED))),
    }
}

/// Notes how far the reading is, without an item, and gives what follows; `then`, if nothing is in the way.
async fn noted(inner: &Inner, step: &Step<'_>, after: Reading, then: Then) -> anyhow::Result<Then> {
    let newest = inner.parts.journal.read(|reader| reader.newest_event())?;
    match take(inner, step, after, (vec![], vec![]), newest).await? {
        PageTaken::Yes => Ok(then),
        taken => inner.then(step.import, step.at, taken).await,
    }
}

async fn take(
    inner: &Inner,
    step: &Step<'_>,
    after: Reading,
    (items, events): (Vec<ItemRead>, Vec<Webhook>),
    asked_after: EventId,
) -> anyhow::Result<PageTaken> {
    let (at, bytes_max) = (step.at, step.bytes_max);
    let page = TakenPage { at, after, events, items, asked_after, bytes_max };
    inner.parts.journal.take_page(step.import, page).await
}
