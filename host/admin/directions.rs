//! The verbs about directions, named by the system that their events come from: run, hold or drop. Knows no SQL and no lane.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verbs::given;
use super::{Admin, Body, Kind, Of, Path, Problem, TARGETS};
use crate::clock;
use crate::journal::{self, Mode};

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Deserialize, Debug, Serialize, ToSchema)]
pub struct Direction {
    /// Where its events come from: `shopify` or `omneo`.
    pub source: String,
    /// The other one.
    pub target: String,
    pub mode: DirectionMode,
    /// Since when, by which token and why, if it does not simply run.
    pub since: Option<String>,
    pub by: Option<String>,
    pub why: Option<String>,
    /// Its events that are not over.
    pub waiting: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DirectionMode {
    Run,
    /// Events are kept, and begin in order of arrival when the direction runs again.
    Hold,
    /// Events are acknowledged, and over as skipped.
    Drop,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectionWanted {
    mode: DirectionMode,
    /// Why: it is shown with the direction, kept with what is dropped, and in the audit trail.
    why: String,
}

/// Beside a tenant, what a path names.
#[derive(Deserialize)]
pub(super) struct One {
    source: String,
}

/// The two directions, and whether their events run, are held, or are dropped.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/directions", operation_id = "directions", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<Direction>), (status = 404)))]
pub(super) async fn list(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<Direction>> {
    Ok(Json(directions(&admin, &tenant).await?))
}

/// Sets what becomes of the events that come from one system, from now on and whatever restarts there are. What has begun
/// ends. What had arrived before a drop is not dropped, and what was held runs then. Compliance topics and the host's own
/// events are neither held nor dropped.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/directions/{source}", operation_id = "direct",
    params(("tenant" = String, Path), ("source" = String, Path)), request_body = DirectionWanted,
    responses((status = 200, body = Direction), (status = 400), (status = 404), (status = 422)))]
pub(super) async fn set(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Path(One { source }): Path<One>,
    Body(DirectionWanted { mode, why }): Body<DirectionWanted>,
) -> Answer<Direction> {
    if !TARGETS.contains(&source.as_str()) {
        let detail =
            format!("there is no direction `{source}`: there are `shopify` and `omneo`, where events come from");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let mode = match mode {
        DirectionMode::Run => Mode::Run,
        DirectionMode::Hold => Mode::Hold,
        DirectionMode::Drop => Mode::Drop,
    };
    let why = given(&why)?.to_owned();
    let direction = journal::Direction {
        tenant: tenant.clone(),
        source: source.clone(),
        mode,
        since: clock::now(),
        by: who.name,
        why,
    };
    admin.0.journal.direct(direction).await.map_err(Problem::own)?;
    let direction = directions(&admin, &tenant).await?.into_iter().find(|direction| direction.source == source);
    direction.map(Json).ok_or_else(|| Problem::own(anyhow::anyhow!("the direction is not there")))
}

async fn directions(admin: &Admin, tenant: &str) -> Result<Vec<Direction>, Problem> {
    let known = admin.0.journal.directions(tenant);
    let of = tenant.to_owned();
    let waiting = admin.read(move |reader| reader.waiting_from(&of)).await?;
    let direction = |source: &str, target: &str| {
        let known = known.iter().find(|direction| direction.source == source);
        Direction {
            source: source.to_owned(),
            target: target.to_owned(),
            mode: match known.map_or(Mode::Run, |direction| direction.mode) {
                Mode::Run => DirectionMode::Run,
                Mode::Hold => DirectionMode::Hold,
                Mode::Drop => DirectionMode::Drop,
            },
            since: known.map(|direction| clock::rfc3339(direction.since)),
            by: known.map(|direction| direction.by.clone()),
            why: known.map(|direction| direction.why.clone()),
            waiting: waiting.get(source).copied().unwrap_or_default(),
        }
    };
    let [shopify, omneo] = TARGETS;
    Ok(vec![direction(shopify, omneo), direction(omneo, shopify)])
}
