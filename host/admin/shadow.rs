//! The verbs about a tenant's shadow: a version beside the live one, sending nothing. Knows no SQL and compares nothing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::verbs::record;
use super::versions::known;
use super::{Admin, Body, Kind, Of, Problem};
use crate::clock;
use crate::shadow::Refused;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShadowWanted {
    /// The digest of a version that is not active, or its first digits.
    version: String,
    /// It ends after so many events; without it, when its version is activated or somebody ends it.
    events: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Shadow {
    pub version: String,
    pub since: String,
    pub running: bool,
    pub ended_at: Option<String>,
    /// Why, if it did.
    pub ended: Option<String>,
    /// It ends after so many events.
    pub events: Option<u64>,
    /// What it has found so far, like the report of a proof.
    pub report: Value,
}

/// Has a version follow the events that come from now on, beside the live one: each that is over is run through it with
/// what was recorded, and nothing is sent. It takes the place of the shadow that was.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/shadow", params(("tenant" = String, Path)), request_body = ShadowWanted,
    responses((status = 200, body = Shadow), (status = 400), (status = 404),
        (status = 409), (status = 422)))]
pub(super) async fn begin_shadow(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(ShadowWanted { version, events }): Body<ShadowWanted>,
) -> Result<Json<Shadow>, Problem> {
    if events == Some(0) {
        return Err(Problem::new(Kind::BadRequest, "a shadow of no events shows nothing"));
    }
    let digest = known(&admin, &tenant, &version).await?;
    admin.0.versions.shadows.begin(&tenant, &digest, events).await?;
    record(&admin, &who, &tenant, format!("began a shadow of {digest}")).await?;
    shadow(&admin, &tenant).await
}

/// The tenant's shadow, or the last one that it had, and what it has found.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/shadow", params(("tenant" = String, Path)),
    responses((status = 200, body = Shadow), (status = 404)))]
pub(super) async fn show_shadow(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Result<Json<Shadow>, Problem> {
    shadow(&admin, &tenant).await
}

/// Ends the tenant's shadow; what it has found stays.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/shadow", params(("tenant" = String, Path)),
    responses((status = 204), (status = 404)))]
pub(super) async fn end_shadow(State(admin): State<Admin>, Of { who, tenant }: Of) -> Result<StatusCode, Problem> {
    let why = format!("{} ended it", who.name);
    if !admin.0.journal.end_shadow(&tenant, &why).await.map_err(Problem::own)? {
        return Err(Problem::new(Kind::NotFound, format!("no shadow of tenant `{tenant}` runs")));
    }
    record(&admin, &who, &tenant, "ended its shadow".into()).await
}

async fn shadow(admin: &Admin, tenant: &str) -> Result<Json<Shadow>, Problem> {
    let of = tenant.to_owned();
    let Some((shadow, report)) = admin.read(move |reader| reader.shadow(&of)).await? else {
        return Err(Problem::new(Kind::NotFound, format!("tenant `{tenant}` has no shadow, and had none")));
    };
    let (ended_at, ended) = shadow.ended.unzip();
    Ok(Json(Shadow {
        version: shadow.digest,
        since: clock::rfc3339(shadow.since),
        running: ended.is_none(),
        ended_at: ended_at.map(clock::rfc3339),
        ended,
        events: shadow.events_max,
        report: serde_json::from_str(&report).unwrap_or_default(),
    }))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Active(_) | Refused::Running(_) | Refused::TooMany => {
                Self::new(Kind::Conflict, refused.to_string())
            }
            Refused::Other(error) => Self::own(error),
        }
    }
}
