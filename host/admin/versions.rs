//! The verbs about versions: deploy, prove, activate, roll back. Knows no SQL and no lane.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::verbs::record;
use super::{Admin, Body, Of, Problem};
use crate::clock;
use crate::journal::{Activated, Range};
use crate::registry::{Activate, Deployed};
use crate::replay::{Report, Require};

/// Events that a version is proved by, if nobody says how many.
const PROOF_EVENTS: u64 = 10_000;
/// What a rules file is sent as; anything else is a component.
const TOML: &str = "application/toml";

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    /// SHA-256 of the component.
    digest: String,
    /// What it says it is called.
    name: String,
    deployed_at: Option<String>,
    is_active: bool,
    /// Whether the tenant did not have it before this deploy.
    is_new: Option<bool>,
    /// What its rules file is in doubt about, right after a deploy.
    warnings: Option<String>,
}

/// Beside a tenant, what a path names: the digest of a version, or its first digits.
#[derive(Deserialize)]
pub(super) struct One {
    digest: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Proof {
    /// The newest so many events; 10000 if absent.
    last: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Required {
    Identical,
    #[default]
    NoFailures,
    None,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// What a replay of recorded events must say; `none` replays nothing.
    #[serde(default)]
    require: Required,
    /// The newest so many events are replayed; 10000 if absent.
    last: Option<u64>,
    /// The digest that must be active now.
    expected: Option<String>,
    /// Whether to wait until nothing runs, even if the replay finds no event in another lane.
    #[serde(default)]
    drain: bool,
    /// Rolls back by itself when so many of the latest 64 events fail by the version's fault.
    rollback_on_failures: Option<u32>,
    /// Whether it may change what people are linked by.
    #[serde(default)]
    relink: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// The digest that must be active now, and is left.
    expected: Option<String>,
    /// Whether to wait until nothing runs.
    #[serde(default)]
    drain: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Swapped {
    /// The digest that is active now.
    active: String,
    replaced: Option<String>,
    /// People who are linked anew.
    relinked: usize,
    /// Events that begin again on it.
    again: usize,
}

/// The versions of a tenant, in the order they were deployed.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/versions", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<Version>), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn list(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<Version>> {
    let (rows, active) = admin.read(move |reader| Ok((reader.versions(&tenant)?, reader.active(&tenant)?))).await?;
    let active = active.map(|active| active.digest);
    let version = |row: crate::journal::VersionRow| {
        let manifest: Value = serde_json::from_str(&row.manifest).unwrap_or_default();
        Version {
            name: manifest["name"].as_str().unwrap_or_default().to_owned(),
            deployed_at: Some(clock::rfc3339(row.deployed_at)),
            is_active: active.as_ref() == Some(&row.digest),
            is_new: None,
            warnings: None,
            digest: row.digest,
        }
    };
    Ok(Json(rows.into_iter().map(version).collect()))
}

/// Keeps a component, or a rules file (`application/toml`) frozen into the default rules. Nothing runs on it yet. With a
/// header `x-sha256` it must have that digest.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions", params(("tenant" = String, Path)),
    request_body(content = String, content_type = "application/wasm"),
    responses((status = 200, body = Version), (status = 401, body = Problem), (status = 404, body = Problem), (status = 413),
        (status = 422, body = Problem)))]
pub(super) async fn deploy(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Version> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let versions = &admin.0.versions;
    let deployed = if text(header::CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with(TOML)) {
        let rules = std::str::from_utf8(&body).map_err(|error| unfit(format!("the rules are not UTF-8: {error}")))?;
        versions.deploy_rules(&tenant, "rules.toml", rules).await
    } else {
        versions.deploy(&tenant, &body, text("x-sha256")).await
    };
    let Deployed { digest, manifest, warnings, is_new } = deployed.map_err(|error| unfit(format!("{error:#}")))?;
    record(&admin, &who, &tenant, format!("deployed {digest}")).await?;
    let (is_new, warnings) = (Some(is_new), Some(warnings).filter(|warnings| !warnings.is_empty()));
    Ok(Json(Version { digest, name: manifest.name, deployed_at: None, is_active: false, is_new, warnings }))
}

/// What the latest replay through a version has found.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/versions/{digest}/proof", params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 200, body = Value), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn report(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { digest }): Path<One>,
) -> Answer<Value> {
    let kept = admin.read({
        let (tenant, digest) = (tenant.clone(), digest.clone());
        move |reader| reader.report(&tenant, &digest)
    });
    match kept.await? {
        Some((_, report)) => Ok(Json(serde_json::from_str(&report).unwrap_or_default())),
        None => Err(unknown(&tenant, &digest, "no proof of it")),
    }
}

/// Replays the tenant's recorded events through a version, sends nothing, and keeps the report with it.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions/{digest}/proof", params(("tenant" = String, Path), ("digest" = String, Path)),
    request_body = Proof,
    responses((status = 200, body = Value), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn prove(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { digest }): Path<One>,
    Body(Proof { last }): Body<Proof>,
) -> Answer<Value> {
    let digest = known(&admin, &tenant, &digest).await?;
    let report = proof(&admin, &tenant, &digest, last).await?;
    Ok(Json(serde_json::to_value(report).unwrap_or_default()))
}

/// Makes a version current between two events, if its proof lets it. Where an event would be in another lane, nothing runs
/// at that moment.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions/{digest}/activate", params(("tenant" = String, Path), ("digest" = String, Path)),
    request_body = Wish,
    responses((status = 200, body = Swapped), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn activate(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Path(One { digest }): Path<One>,
    Body(wish): Body<Wish>,
) -> Answer<Swapped> {
    let digest = known(&admin, &tenant, &digest).await?;
    let require = match wish.require {
        Required::Identical => Require::Identical,
        Required::NoFailures => Require::NoFailures,
        Required::None => Require::None,
    };
    let mut drain = wish.drain;
    if require != Require::None {
        let report = proof(&admin, &tenant, &digest, wish.last).await?;
        let against = report.against(require);
        if against > 0 {
            let detail = format!(
                "{against} of {} recorded events speak against it; GET its proof to see which, or pass another `require`",
                report.compared()
            );
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        drain |= report.key_differs > 0;
    }
    let how = Activate {
        tenant: &tenant,
        version: &digest,
        expected: wish.expected.as_deref(),
        failures_max: wish.rollback_on_failures,
        relink: wish.relink,
    };
    let activated = admin.0.versions.activate(how, drain).await?;
    record(&admin, &who, &tenant, format!("activated {digest}")).await?;
    Ok(Json(swapped(activated)))
}

/// Makes the version current that was before the active one.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/roll-back", params(("tenant" = String, Path)), request_body = Back,
    responses((status = 200, body = Swapped), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(Back { expected, drain }): Body<Back>,
) -> Answer<Swapped> {
    let activated = admin.0.versions.roll_back(&tenant, expected.as_deref(), drain).await?;
    record(&admin, &who, &tenant, format!("rolled back to {}", activated.digest)).await?;
    Ok(Json(swapped(activated)))
}

/// The whole digest of a version that the tenant has, given its first digits.
async fn known(admin: &Admin, tenant: &str, digest: &str) -> Result<String, Problem> {
    let of = tenant.to_owned();
    let rows = admin.read(move |reader| reader.versions(&of)).await?;
    let mut found = rows.iter().filter(|row| digest.len() >= 6 && row.digest.starts_with(digest));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row.digest.clone()),
        _ => Err(unknown(tenant, digest, "no such version")),
    }
}

async fn proof(admin: &Admin, tenant: &str, digest: &str, last: Option<u64>) -> Result<Report, Problem> {
    let range = Range::Last(last.unwrap_or(PROOF_EVENTS));
    admin.0.versions.prove(tenant, digest, range).await.map_err(Problem::own)
}

fn swapped(activated: Activated) -> Swapped {
    Swapped {
        active: activated.digest,
        replaced: activated.replaced,
        relinked: activated.relinked,
        again: activated.again.len(),
    }
}

fn unfit(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn unknown(tenant: &str, digest: &str, what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("tenant `{tenant}` has {what}: `{digest}`"))
}
