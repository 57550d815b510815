//! The verbs of the admin API, each with what it takes, what it answers and who may use it. Knows no SQL.

use std::iter::empty;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::{Admin, Body, Kind, Of, Path, Problem, Query, Side, TARGETS, Who};
use crate::clock;
use crate::delivery::Holding;
use crate::events::{Event, EventInFull};
use crate::journal::{self, Deed, Filter, Which};
use crate::metrics::{Counted, Format, Now, TenantNow};
use crate::model::{EventId, Millis};
use crate::registry::Unbuilt;
use crate::topics;

/// How long a try to write counts, and how long it may take.
const TRIED_FOR: Duration = Duration::from_secs(1);
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// Events and deeds of one answer.
pub(super) const LISTED_MAX: usize = 1_000;
const LISTED: usize = 50;
/// Characters of a reason that somebody gives.
pub(super) const WHY_CHARS_MAX: usize = 500;

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    pub tenant: String,
    /// Events that are not over, and the age of the oldest in seconds.
    pub waiting: u64,
    pub oldest_s: f64,
    pub dead_letters: u64,
    /// Targets that take no calls now.
    pub paused: Vec<String>,
    /// Targets whose calls wait though they are not paused: `shopify throttled`, `omneo down`.
    #[serde(default)]
    pub held: Vec<String>,
    /// Directions that do not simply run: `shopify hold`, `omneo drop`.
    pub directions: Vec<String>,
    /// Why it is not on the rules that the configuration names: `being built`, while its events wait, or what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbuilt: Option<String>,
    /// Webhooks taken in and events brought to an end since the host started.
    pub accepted: u64,
    pub ended: u64,
}

/// Why a tenant is not on its rules yet.
pub const BEING_BUILT: &str = "being built";

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeadLetters {
    pub topic: String,
    pub outcome: String,
    pub blame: Option<String>,
    /// Their reason, with `…` for what differs between them.
    pub cause: String,
    pub count: usize,
    pub last_ended_at: String,
    /// The first of them.
    pub events: Vec<i64>,
}

/// Beside a tenant, what a path names.
#[derive(Deserialize)]
pub(super) struct One {
    id: i64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    /// `waiting`, `done`, `skipped`, `refused`, `invalid`, `failed`, `discarded`, or `dead` for what a person should look at.
    outcome: Option<String>,
    topic: Option<String>,
    /// Only events with a higher number.
    after: Option<i64>,
    /// Only events with a lower number: the page before.
    before: Option<i64>,
    /// Only events received then or later; RFC 3339.
    since: Option<String>,
    /// Only events received before then; RFC 3339.
    until: Option<String>,
    /// Only events about whoever has this name: `customer/706405506`, `order/4501`, `profile/2b1c…`.
    about: Option<String>,
    /// The newest so many; 50 if absent, 1000 at most.
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Deeds {
    /// The newest so many; 50 if absent, 1000 at most.
    limit: Option<usize>,
}

/// Which dead letters are meant. Nothing: all of the tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryWanted {
    event: Option<i64>,
    topic: Option<String>,
    /// As the list of dead letters has it.
    cause: Option<String>,
    /// Only say which they are.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscardWanted {
    event: Option<i64>,
    topic: Option<String>,
    /// As the list of dead letters has it.
    cause: Option<String>,
    /// Why: it is kept with each event and in the audit trail.
    why: String,
    /// Only say which they are.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// The events, in order of arrival.
    pub events: Vec<i64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Target {
    pub target: String,
    /// Why it is paused; absent if it is not.
    pub paused: Option<String>,
    /// Why its calls wait though it is not paused; absent if they do not.
    pub held: Option<HeldTarget>,
}

/// A target that asked to wait, or that is down. Its calls wait without an attempt being counted; one at a time is sent to try.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldTarget {
    pub cause: HeldCause,
    pub why: String,
    pub since: String,
    /// When the next call is sent.
    pub until: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeldCause {
    Throttled,
    Down,
}

impl HeldCause {
    fn of(holding: &Holding) -> Self {
        if holding.is_down { Self::Down } else { Self::Throttled }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Down => "down",
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseWanted {
    /// Why: it is shown with the target and in the audit trail.
    why: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Done {
    pub at: String,
    /// The name of the token.
    pub by: String,
    pub tenant: Option<String>,
    pub what: String,
}

/// The host is alive.
#[utoipa::path(get, path = "/health", security(()), responses((status = 200, body = String)))]
pub(super) async fn health() -> &'static str {
    "alive\n"
}

/// The host can take webhooks in durably: it has just written something, and that is on disk. Lines that follow say how many
/// tenants wait for their rules to be built (which, an operator reads in the list of tenants), and how many asks took too long.
#[utoipa::path(get, path = "/ready", security(()), responses((status = 200, body = String), (status = 503)))]
pub(super) async fn ready(State(admin): State<Admin>) -> Result<String, Problem> {
    let mut tried = admin.1.lock().await;
    // Whoever asks often is told what came of the last try: it takes an `fsync`, and needs no token.
    let fresh = tried.take().filter(|(at, _)| at.elapsed() < TRIED_FOR);
    let (at, outcome) = match fresh {
        Some(fresh) => fresh,
        None => {
            let tried = timeout(WRITTEN_WITHIN, admin.0.journal.try_to_write()).await;
            let late = || anyhow::anyhow!("nothing was written within {} s", WRITTEN_WITHIN.as_secs());
            (Instant::now(), tried.unwrap_or_else(|_| Err(late())).map_err(|error| format!("{error:#}")))
        }
    };
    *tried = Some((at, outcome.clone()));
    match outcome {
        Ok(()) => Ok(format!("ready\n{}", notes(&admin))),
        Err(why) => {
            let detail = format!("webhooks cannot be stored now: {why}");
            Err(Problem::new(Kind::NotReady, detail))
        }
    }
}

/// What an operator may want to look at, in lines with a number each; usually none.
fn notes(admin: &Admin) -> String {
    let (building, failed) = admin.0.versions.registry.unbuilt_count();
    let late = usize::try_from(admin.0.journal.metrics().asks_late()).unwrap_or(usize::MAX);
    let line = |count: usize, what: &str| if count == 0 { String::new() } else { format!("{what}: {count}\n") };
    line(building, "tenants whose rules are being built, and whose events wait")
        + &line(failed, "tenants whose rules could not be built")
        + &line(late, "asks that were ended for their processor time, since the start")
}

/// Counters and gauges for Prometheus: in the OpenMetrics text format, or in the older one with `accept: text/plain`. Takes an
/// operator's token.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, content((String = "application/openmetrics-text"), (String = "text/plain"))), (status = 403)))]
pub(super) async fn metrics(
    State(admin): State<Admin>,
    who: Who,
    headers: HeaderMap,
) -> Result<([(header::HeaderName, &'static str); 1], String), Problem> {
    who.is_operator()?;
    let registry = &admin.0.versions.registry;
    let (versions_loaded, code_bytes) = (registry.loaded_count(), registry.loaded_bytes());
    let (rules_building, rules_failed) = registry.unbuilt_count();
    let journal_bytes = admin.0.journal.bytes();
    let tenants = now(&admin).await?;
    let now = Now { tenants, journal_bytes, versions_loaded, code_bytes, rules_building, rules_failed };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    Ok(([(header::CONTENT_TYPE, format.media_type())], admin.0.journal.metrics().text(&now, format)))
}

/// The tenants that the token is for, with what waits and what is dead.
#[utoipa::path(get, path = "/v1/tenants", responses((status = 200, body = Vec<Tenant>)))]
pub(super) async fn tenants(State(admin): State<Admin>, who: Who) -> Answer<Vec<Tenant>> {
    let mut tenants = now(&admin).await?;
    tenants.retain(|now| who.tenant.as_ref().is_none_or(|own| *own == now.tenant));
    let counted = |tenant: &str| admin.0.journal.metrics().counted(tenant);
    let mut unbuilt = admin.0.versions.registry.unbuilt();
    let mut unbuilt = |tenant: &str| {
        unbuilt.remove(tenant).map(|unbuilt| match unbuilt {
            Unbuilt::Building => BEING_BUILT.to_owned(),
            Unbuilt::Failed(why) => why,
        })
    };
    let tenant = |Counted { accepted, ended }: Counted, unbuilt: Option<String>, now: TenantNow| Tenant {
        accepted,
        ended,
        tenant: now.tenant,
        waiting: now.waiting,
        oldest_s: now.oldest_ms as f64 / 1000.0,
        dead_letters: now.dead_letters,
        paused: now.paused,
        held: now.held.iter().map(|(target, cause)| format!("{target} {cause}")).collect(),
        directions: now.directions.iter().map(|(source, mode)| format!("{source} {mode}")).collect(),
        unbuilt,
    };
    let tenants = tenants.into_iter().map(|now| tenant(counted(&now.tenant), unbuilt(&now.tenant), now));
    Ok(Json(tenants.collect()))
}

/// Events of a tenant, the newest last.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events", params(("tenant" = String, Path), Events),
    responses((status = 200, body = Vec<Event>), (status = 400), (status = 404)))]
pub(super) async fn events(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Query(wanted): Query<Events>,
) -> Answer<Vec<Event>> {
    let Events { outcome, topic, after, before, since, until, about, limit } = wanted;
    let filter = Filter {
        tenant: Some(tenant),
        outcome,
        topic,
        after: after.map(EventId),
        before: before.map(EventId),
        since: since.map(|since| time(&since)).transpose()?,
        until: until.map(|until| time(&until)).transpose()?,
        about,
        limit: limit.unwrap_or(LISTED).min(LISTED_MAX),
    };
    let wanted = filter.topic.clone();
    let rows = admin.read(move |reader| reader.events(&filter)).await?;
    // There are no events of a topic that nobody has: whoever asks for them has mistyped it.
    if let (true, Some(topic)) = (rows.is_empty(), &wanted)
        && let Some(meant) = topics::meant(topic, empty())
    {
        return Err(Problem::new(
            Kind::BadRequest,
            format!("there is no topic `{topic}`\nhint: did you mean `{meant}`?"),
        ));
    }
    Ok(Json(rows.iter().map(Event::from).collect()))
}

/// One event with its payload, and every run with its calls, attempts and replies.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{id}", params(("tenant" = String, Path), ("id" = i64, Path)),
    responses((status = 200, body = EventInFull), (status = 404)))]
pub(super) async fn event(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { id }): Path<One>,
) -> Answer<EventInFull> {
    let shown = admin.read(move |reader| reader.show(EventId(id))).await?;
    match shown.filter(|(row, _)| row.event.webhook.tenant == tenant) {
        Some((row, runs)) => Ok(Json(EventInFull::of(row, runs))),
        None => Err(Problem::new(Kind::NotFound, format!("tenant `{tenant}` has no event {id}"))),
    }
}

/// The same, whosever event it is of the tenants that the token is for: numbers are the host's.
#[utoipa::path(get, path = "/v1/events/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = EventInFull), (status = 404)))]
pub(super) async fn any_event(
    State(admin): State<Admin>,
    who: Who,
    Path(One { id }): Path<One>,
) -> Answer<EventInFull> {
    let shown = admin.read(move |reader| reader.show(EventId(id))).await?;
    let is_own = |tenant: &String| who.tenant.as_ref().is_none_or(|own| own == tenant);
    match shown.filter(|(row, _)| is_own(&row.event.webhook.tenant)) {
        Some((row, runs)) => Ok(Json(EventInFull::of(row, runs))),
        None => Err(Problem::new(Kind::NotFound, format!("there is no event {id}"))),
    }
}

/// Has an event that is under way begin again, on the version that is active now. What it was told so far does not count,
/// and calls that may not be repeated are not sent a second time.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{id}/restart", params(("tenant" = String, Path), ("id" = i64, Path)),
    responses((status = 204), (status = 404), (status = 409)))]
pub(super) async fn restart(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Path(One { id }): Path<One>,
) -> Result<StatusCode, Problem> {
    let shown = admin.read(move |reader| reader.show(EventId(id))).await?;
    let Some((row, runs)) = shown.filter(|(row, _)| row.event.webhook.tenant == tenant) else {
        return Err(Problem::new(Kind::NotFound, format!("tenant `{tenant}` has no event {id}")));
    };
    if let Some(outcome) = row.outcome {
        return Err(Problem::new(Kind::Conflict, format!("event {id} is over: {outcome}")));
    }
    if !runs.iter().any(|run| run.state == "open") {
        let detail =
            format!("event {id} has not begun: it waits for its turn, and takes the version that is active then");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    admin.0.versions.restart(&tenant, EventId(id)).map_err(Problem::own)?;
    record(&admin, &who, &tenant, format!("had event {id} begin again")).await
}

/// What a person should look at, by cause, the most numerous first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/dead-letters", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<DeadLetters>), (status = 404)))]
pub(super) async fn dead_letters(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<DeadLetters>> {
    let causes = admin.read(move |reader| reader.dead_letters(&tenant)).await?;
    let dead = |cause: journal::DeadLetters| DeadLetters {
        count: cause.events.len(),
        events: cause.events.iter().take(LISTED).map(|event| event.0).collect(),
        topic: cause.topic,
        outcome: cause.outcome,
        blame: cause.blame,
        cause: cause.cause,
        last_ended_at: clock::rfc3339(cause.last_ended_at),
    };
    Ok(Json(causes.into_iter().map(dead).collect()))
}

/// Takes dead letters up again, each as a new run at the end of its lane.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/dead-letters/retry", params(("tenant" = String, Path)), request_body = RetryWanted,
    responses((status = 200, body = Settled), (status = 404)))]
pub(super) async fn retry(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(RetryWanted { event, topic, cause, dry_run }): Body<RetryWanted>,
) -> Answer<Settled> {
    let which = Which { event: event.map(EventId), topic, cause };
    if dry_run {
        return dead(&admin, tenant, which).await;
    }
    let retried = admin.0.journal.retry_dead(&tenant, which.clone(), &who.name).await.map_err(Problem::own)?;
    settled(&admin, &tenant, which, retried).await
}

/// Puts dead letters away for good, with a reason. They stay in the journal.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/dead-letters/discard", params(("tenant" = String, Path)), request_body = DiscardWanted,
    responses((status = 200, body = Settled), (status = 400), (status = 404)))]
pub(super) async fn discard(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(DiscardWanted { event, topic, cause, why, dry_run }): Body<DiscardWanted>,
) -> Answer<Settled> {
    let which = Which { event: event.map(EventId), topic, cause };
    if dry_run {
        return dead(&admin, tenant, which).await;
    }
    let why = given(&why)?;
    let discarded = admin.0.journal.discard_dead(&tenant, which.clone(), why, &who.name).await.map_err(Problem::own)?;
    settled(&admin, &tenant, which, discarded).await
}

/// The two systems, and whether they take calls now.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/targets", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<Target>), (status = 404)))]
pub(super) async fn targets(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<Target>> {
    let (paused, held) = (admin.0.delivery.paused(), admin.0.delivery.holding());
    let why = |name: &str| paused.iter().find(|(of, target, _)| *of == tenant && target == name);
    let held = |name: &str| {
        let (.., holding) = held.iter().find(|(of, target, _)| *of == tenant && target == name)?;
        let (cause, why) = (HeldCause::of(holding), holding.why.clone());
        Some(HeldTarget { cause, why, since: clock::rfc3339(holding.since), until: clock::rfc3339(holding.until) })
    };
    let target = |name: &str| {
        let paused = why(name).map(|(_, _, why)| why.clone());
        Target { target: name.to_owned(), paused, held: held(name) }
    };
    Ok(Json(TARGETS.map(target).into()))
}

/// Sends a target no calls until it is resumed, whatever restarts there are. Calls wait in the journal.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/targets/{target}/pause", params(("tenant" = String, Path), ("target" = String, Path)),
    request_body = PauseWanted,
    responses((status = 204), (status = 400), (status = 404)))]
pub(super) async fn pause(
    State(admin): State<Admin>,
    Side { who, tenant, target }: Side,
    Body(PauseWanted { why }): Body<PauseWanted>,
) -> Result<StatusCode, Problem> {
    let why = given(&why)?;
    let journal = &admin.0.journal;
    journal.pause(&tenant, &target, &format!("paused by {}: {why}", who.name)).await.map_err(Problem::own)?;
    record(&admin, &who, &tenant, format!("paused {target}: {why}")).await
}

/// Lets a target take calls again, whatever paused or held it: what was reckoned of its budget is forgotten, and calls that
/// wait for a further attempt are sent now.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/targets/{target}/resume", params(("tenant" = String, Path), ("target" = String, Path)),
    responses((status = 204), (status = 404)))]
pub(super) async fn resume(
    State(admin): State<Admin>,
    Side { who, tenant, target }: Side,
) -> Result<StatusCode, Problem> {
    admin.0.journal.resume(&tenant, &target).await.map_err(Problem::own)?;
    record(&admin, &who, &tenant, format!("resumed {target}")).await
}

/// What was done by whom, the newest first: to one tenant with its token, to all with an operator's.
#[utoipa::path(get, path = "/v1/audit", params(Deeds), responses((status = 200, body = Vec<Done>)))]
pub(super) async fn audit(State(admin): State<Admin>, who: Who, Query(wanted): Query<Deeds>) -> Answer<Vec<Done>> {
    let limit = wanted.limit.unwrap_or(LISTED).min(LISTED_MAX);
    let deeds = admin.read(move |reader| reader.audit(who.tenant.as_deref(), limit)).await?;
    let done =
        |(at, deed): (i64, Deed)| Done { at: clock::rfc3339(at), by: deed.by, tenant: deed.tenant, what: deed.what };
    Ok(Json(deeds.into_iter().map(done).collect()))
}

async fn now(admin: &Admin) -> Result<Vec<TenantNow>, Problem> {
    let mut waiting = admin.read(|reader| reader.waiting()).await?;
    let (paused, held) = (admin.0.delivery.paused(), admin.0.delivery.holding());
    let tenant = |name: &String| {
        let mut now = waiting.remove(name).unwrap_or_default();
        now.tenant = name.clone();
        now.paused = paused.iter().filter(|(of, ..)| of == name).map(|(_, target, _)| target.clone()).collect();
        now.paused.sort();
        let of_tenant = held.iter().filter(|(of, ..)| of == name);
        now.held = of_tenant.map(|(_, target, holding)| (target.clone(), HeldCause::of(holding).name())).collect();
        let directions = admin.0.journal.directions(name);
        now.directions = directions.into_iter().map(|direction| (direction.source, direction.mode.name())).collect();
        now
    };
    Ok(admin.0.tenants.names().iter().map(tenant).collect())
}

async fn dead(admin: &Admin, tenant: String, which: Which) -> Answer<Settled> {
    let of = tenant.clone();
    let causes = admin.read(move |reader| reader.dead_letters(&of)).await?;
    let is_meant = |cause: &journal::DeadLetters| {
        which.topic.as_ref().is_none_or(|topic| *topic == cause.topic)
            && which.cause.as_ref().is_none_or(|wanted| *wanted == cause.cause)
    };
    let events = causes.iter().filter(|cause| is_meant(cause)).flat_map(|cause| &cause.events);
    let mut events: Vec<_> = events.copied().filter(|event| which.event.is_none_or(|one| one == *event)).collect();
    events.sort();
    settled(admin, &tenant, which, events).await
}

async fn settled(admin: &Admin, tenant: &str, which: Which, events: Vec<EventId>) -> Answer<Settled> {
    if !events.is_empty() || (which.event.is_none() && which.topic.is_none() && which.cause.is_none()) {
        return Ok(Json(Settled { events: events.into_iter().map(|event| event.0).collect() }));
    }
    let Some(event) = which.event else {
        let detail = format!(
            "tenant `{tenant}` has no dead letter of this topic and cause\nhint: {}",
            match which.topic.as_deref().and_then(|topic| topics::meant(topic, empty())) {
                Some(meant) => format!("did you mean the topic `{meant}`?"),
                None => "take them as the list of dead letters has them".to_owned(),
            }
        );
        return Err(Problem::new(Kind::NotFound, detail));
    };
    let shown = admin.read(move |reader| reader.show(event)).await?;
    let detail = match shown.filter(|(row, _)| row.event.webhook.tenant == tenant) {
        None => format!("tenant `{tenant}` has no event {event}"),
        Some((row, _)) if row.redacted_at.is_some() => {
            format!("event {event} is redacted: there is nothing left to do it with")
        }
        Some((row, _)) => match row.outcome {
            None => format!("event {event} is no dead letter: it is not over"),
            Some(outcome) => format!(
                "event {event} is no dead letter: it is {outcome}\nhint: `tandem replay --tenant {tenant} --send` puts events that are over through the rules once more"
            ),
        },
    };
    Err(Problem::new(Kind::NotFound, detail))
}

/// A time that a request gives.
pub(super) fn time(text: &str) -> Result<Millis, Problem> {
    let why = || format!("`{text}` is not a time; write it as `2026-01-02T03:04:05Z`");
    clock::parse(text).ok_or_else(|| Problem::new(Kind::BadRequest, why()))
}

pub(super) fn given(why: &str) -> Result<&str, Problem> {
    line("why", why)
}

/// A line that a request gives for people, by the name that it has there.
pub(super) fn line<'a>(name: &str, text: &'a str) -> Result<&'a str, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > WHY_CHARS_MAX || text.contains(char::is_control) {
        let detail = format!("`{name}` is a line of 1 to {WHY_CHARS_MAX} characters: others will want to know");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    Ok(text)
}

pub(super) async fn record(admin: &Admin, who: &Who, tenant: &str, what: String) -> Result<StatusCode, Problem> {
    let deed = Deed { by: who.name.clone(), tenant: Some(tenant.to_owned()), what };
    admin.0.journal.record(deed).await.map_err(Problem::own)?;
    Ok(StatusCode::NO_CONTENT)
}
