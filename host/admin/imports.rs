//! The verbs about imports: what a tenant has of its past, read and made into events. Knows no SQL.

use axum::Json;
use axum::extract::State as FromState;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verbs::given;
use super::{Admin, Body, Kind, Of, Problem};
use crate::clock;
use crate::imports::{Reconciling, Refused, Wanted};
use crate::journal::{self, ImportKind, ImportState};
use crate::rules;

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Import {
    pub id: i64,
    pub kind: Kinds,
    /// Whether nothing is made of what is read.
    pub plan: bool,
    pub state: State,
    /// Why it is in this state; may be empty.
    pub why: String,
    pub began_at: String,
    pub ended_at: Option<String>,
    /// The name of the token that began it, or `the host`.
    pub by: String,
    /// Only what has changed since then is read; absent: everything.
    pub since: Option<String>,
    pub readings: Vec<Reading>,
    /// Its events that are not over.
    pub waiting: u64,
    /// Its events that are over and still in the journal, by outcome.
    pub outcomes: Vec<Outcomes>,
}

/// How far the reading of one collection has come.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// As the rules call it: `customers`.
    pub name: String,
    /// The system that is read: `shopify` or `omneo`.
    pub source: String,
    /// Only what has changed since then is read; absent: everything.
    pub since: Option<String>,
    /// Whether only names are read, to find what is gone.
    pub by_names: bool,
    pub began_at: Option<String>,
    pub ended_at: Option<String>,
    /// Why its end is not what was wanted; may be empty.
    pub why: String,
    /// How many items there are, as far as the system says.
    pub total: Option<u64>,
    /// Items that were read.
    pub items: u64,
    /// Items of these for which there was nothing to do, so that no event was made.
    pub in_step: u64,
    /// Items of these that became events; in a plan, those that would.
    pub events: u64,
    /// Known names that were not listed: one event each, at which the rules look whether it is gone.
    pub missing: u64,
    /// What some of the items that are not in step would lead to. Only in a plan.
    pub sample: Vec<Sampled>,
}

/// What the rules would do about some items. They were asked with real reads, until they would have written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Sampled {
    /// `would write: POST omneo /profiles`, or how the event would end. Ids are left out.
    pub what: String,
    pub items: u64,
    /// The names of a few of them.
    pub names: Vec<String>,
}

/// What items share by which they may be about the same thing, as they were last read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Shared {
    pub collections: Vec<SharedBy>,
    pub alike: Vec<Alike>,
}

/// How the items of a collection stand to those of others. Items of which nothing can be shared are not counted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SharedBy {
    pub collection: String,
    /// Items that share something with one item of another collection, and with no other of their own.
    pub matched: u64,
    /// Items that share something with several.
    pub doubtful: u64,
    pub alone: u64,
}

/// Things that several items of a collection have, which a person may want to look at before an import.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Alike {
    /// `email`, `phone`, or as the rules call it; `alike` for e-mail addresses that differ only in how they are written; and
    /// `note/…` for what the rules say of an item.
    pub kind: String,
    /// Empty for `alike`.
    pub collection: String,
    /// How many such things there are; of a note, how many items.
    pub count: u64,
    /// The names of the items of some of them.
    pub groups: Vec<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Outcomes {
    /// `customers`; `missing/customers` for names that were not listed.
    pub collection: String,
    pub outcome: String,
    pub events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportKind)]
pub enum Kinds {
    Import,
    /// What has changed since the last reading is read again, in case that a webhook never came.
    Reconciliation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportState)]
pub enum State {
    Running,
    Paused,
    Done,
    Failed,
    Cancelled,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportWanted {
    /// The collections, as the rules call them: `customers`. Absent: all that the rules have, in their order.
    #[serde(default)]
    #[schema(max_items = 32)]
    collections: Vec<String>,
    /// Read only what has changed since then: `2026-01-31`, or a time with an offset. Absent: read everything.
    since: Option<String>,
    /// Whether what the rules warn of was read and accepted.
    #[serde(default)]
    agreed: bool,
    /// Read and compare, and make nothing of it: `events` of the answer says how many events there would be.
    #[serde(default)]
    plan: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReconciliationWanted {
    /// Read all names, too, to find what is gone.
    #[serde(default)]
    names: bool,
    /// Read and compare, and make nothing of it.
    #[serde(default)]
    plan: bool,
    /// Have names looked at, one by one, though more than a tenth of those that are known are not listed any more.
    #[serde(default)]
    agreed: bool,
}

/// What may be asked of an import that is open.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wish {
    Run,
    Pause,
    Cancel,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportChanged {
    /// `run` goes on with what is paused; `cancel` ends it, and keeps what has become events.
    wish: Wish,
    /// Why: it is shown with the import and in the audit trail.
    why: String,
}

/// The imports of a tenant, the newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/imports", operation_id = "imports", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<Import>), (status = 404)))]
pub(super) async fn list(FromState(admin): FromState<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<Import>> {
    Ok(Json(shown(&admin, &tenant).await?))
}

/// Begins to read what a tenant has of its past, page by page, behind its live events. Every item goes through the rules as an
/// event, so that reading twice does no harm. One import of a tenant is open at a time. Where no collections are named, those that the
/// rules cannot read yet are left out, as `why` of the answer says.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/imports", operation_id = "import", params(("tenant" = String, Path)),
    request_body = ImportWanted,
    responses((status = 201, body = Import), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn begin(
    FromState(admin): FromState<Admin>,
    Of { who, tenant }: Of,
    Body(ImportWanted { collections, since, agreed, plan }): Body<ImportWanted>,
) -> Result<(StatusCode, Json<Import>), Problem> {
    let wanted = Wanted { pulls: collections, since, agreed, plan };
    let import = admin.0.imports.begin(&tenant, wanted, &who.name).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(show(vec![], import))))
}

/// What the items of a tenant share by which they may be about the same thing: what matches, what is in doubt, and what a
/// person may want to look at before an import. From what was last read, by a plan or an import.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/clues", operation_id = "clues", params(("tenant" = String, Path)),
    responses((status = 200, body = Shared), (status = 404)))]
pub(super) async fn clues(FromState(admin): FromState<Admin>, Of { tenant, .. }: Of) -> Answer<Shared> {
    let journal::Shared { collections, alike: found } = admin.read(move |reader| reader.shared(&tenant)).await?;
    let by = |(collection, standing): (String, journal::ClueStanding)| SharedBy {
        collection,
        matched: standing.matched,
        doubtful: standing.doubtful,
        alone: standing.alone,
    };
    let alike = |journal::Alike { kind, collection, clues, groups }| Alike { kind, collection, count: clues, groups };
    Ok(Json(Shared {
        collections: collections.into_iter().map(by).collect(),
        alike: found.into_iter().map(alike).collect(),
    }))
}

/// Begins to read again what has changed on both sides since it was last read, in case that a webhook never came. The host does
/// so itself every night, and by names once a week, as its configuration says. It is an import of another kind: one of
/// either is open at a time, and `imports` shows both.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/reconciliations", operation_id = "reconcile", params(("tenant" = String, Path)),
    request_body = ReconciliationWanted,
    responses((status = 201, body = Import), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn reconcile(
    FromState(admin): FromState<Admin>,
    Of { who, tenant }: Of,
    Body(ReconciliationWanted { names, plan, agreed }): Body<ReconciliationWanted>,
) -> Result<(StatusCode, Json<Import>), Problem> {
    let why = if plan { String::new() } else { admin.0.connect.mend_webhooks(&tenant).await };
    let wanted = Reconciling { names, plan, agreed, why };
    let import = admin.0.imports.reconcile(&tenant, wanted, &who.name).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(show(vec![], import))))
}

/// Pauses the import that is open, lets it go on, or cancels it. What has become an event stays one.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/import", operation_id = "change_import", params(("tenant" = String, Path)),
    request_body = ImportChanged,
    responses((status = 200, body = Import), (status = 400), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn change(
    FromState(admin): FromState<Admin>,
    Of { who, tenant }: Of,
    Body(ImportChanged { wish, why }): Body<ImportChanged>,
) -> Answer<Import> {
    let to = match wish {
        Wish::Run => ImportState::Running,
        Wish::Pause => ImportState::Paused,
        Wish::Cancel => ImportState::Cancelled,
    };
    admin.0.imports.set(&tenant, to, given(&why)?, &who.name).await.map_err(problem)?;
    let changed = shown(&admin, &tenant).await?.into_iter().next();
    changed.map(Json).ok_or_else(|| Problem::own(anyhow::anyhow!("the import is not there")))
}

fn problem(refused: Refused) -> Problem {
    let kind = match &refused {
        Refused::Other(_) => return Problem::own(anyhow::anyhow!(refused)),
        Refused::Open(_) | Refused::NotOpen(_) | Refused::NoVersion(_) => Kind::Conflict,
        Refused::NoPulls(_)
        | Refused::Unknown(..)
        | Refused::Caution(_)
        | Refused::Since(..)
        | Refused::Unready(..) => Kind::Unfit,
    };
    Problem::new(kind, refused.to_string())
}

async fn shown(admin: &Admin, tenant: &str) -> Result<Vec<Import>, Problem> {
    let of = tenant.to_owned();
    let shown = admin.read(move |reader| {
        let imports = reader.imports(&of)?;
        imports.into_iter().map(|import| Ok(show(reader.outcomes_of_import(&of, import.id)?, import))).collect()
    });
    let mut shown: Vec<Import> = shown.await?;
    let paused = admin.0.delivery.paused();
    for import in shown.iter_mut().filter(|import| import.state == State::Running) {
        let source = import.readings.iter().find(|reading| reading.ended_at.is_none()).map(|reading| &reading.source);
        let why = paused.iter().find(|(of, target, _)| of == tenant && Some(target) == source);
        if let Some((_, target, why)) = why {
            import.why = format!("it waits, since {target} is paused: {why}");
        }
    }
    Ok(shown)
}

fn sampled(journal::Sampled { what, items, names }: journal::Sampled) -> Sampled {
    Sampled { what, items, names }
}

fn show(counts: Vec<journal::Outcomes>, import: journal::Import) -> Import {
    let reading = |reading: journal::Reading| Reading {
        name: reading.pull,
        source: reading.source,
        since: reading.since,
        by_names: reading.names_of.is_some(),
        why: reading.why,
        began_at: reading.begun_at.map(clock::rfc3339),
        ended_at: reading.ended_at.map(clock::rfc3339),
        total: reading.total,
        items: reading.items,
        in_step: reading.in_step,
        events: reading.events,
        missing: reading.missing,
        sample: reading.sample.into_iter().map(sampled).collect(),
    };
    let waiting = counts.iter().filter(|one| one.outcome.is_none()).map(|one| one.events).sum();
    let over = counts.into_iter().filter_map(|one| {
        let collection = one.topic.strip_prefix(rules::TOPIC).unwrap_or(&one.topic).to_owned();
        Some(Outcomes { collection, outcome: one.outcome?, events: one.events })
    });
    Import {
        id: import.id,
        kind: match import.kind {
            ImportKind::Import => Kinds::Import,
            ImportKind::Reconciliation => Kinds::Reconciliation,
        },
        plan: import.plan,
        state: match import.state {
            ImportState::Running => State::Running,
            ImportState::Paused => State::Paused,
            ImportState::Done => State::Done,
            ImportState::Failed => State::Failed,
            ImportState::Cancelled => State::Cancelled,
        },
        why: import.why,
        began_at: clock::rfc3339(import.began_at),
        ended_at: import.ended_at.map(clock::rfc3339),
        by: import.by,
        since: import.since,
        readings: import.readings.into_iter().map(reading).collect(),
        waiting,
        outcomes: over.collect(),
    }
}
