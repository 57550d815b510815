//! The verbs about versions: deploy, prove, activate, roll back. Knows no SQL and no lane.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::setup::{Step, lacks};
use super::verbs::{line, record, time};
use super::{Admin, Body, Kind, Of, Path, Problem, Query, Upload, to_its_end};
use crate::clock;
use crate::deploy::Unproved;
use crate::journal::{Activated, ActivationRow, NoRoom, Range, Removed};
use crate::paint::Paint;
use crate::registry::{Activate, Deployed};
use crate::replay::{self, Report, Require};

/// Events that a version is proved by, if nobody says how many.
const PROOF_EVENTS: u64 = 10_000;
/// The latest events that a version is judged by.
pub(super) const TRIAL_EVENTS: u32 = u64::BITS;
/// Activations of one answer.
const ACTIVATIONS_MAX: usize = 20;
/// What a rules file is called whose sender does not say.
const RULES_FILE: &str = "rules.toml";
/// What a rules file is sent as; anything else is a component.
const TOML: &str = "application/toml";

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// SHA-256 of the component.
    pub digest: String,
    /// What it says it is called.
    pub name: String,
    pub deployed_at: Option<String>,
    /// What somebody said of it when it was deployed.
    pub note: Option<String>,
    pub is_active: bool,
    /// Whether the tenant did not have it before this deploy.
    pub is_new: Option<bool>,
    /// What its rules file is in doubt about, right after a deploy.
    pub warnings: Option<String>,
}

/// Beside a tenant, what a path names: the digest of a version, or its first digits.
#[derive(Deserialize)]
pub(super) struct One {
    digest: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// What to say of the version: a line of 1 to 500 characters, shown wherever versions are listed.
    note: Option<String>,
    /// What its sender calls a rules file, for what is said of mistakes in it: a line of 1 to 500 characters; `rules.toml` if
    /// absent.
    file: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofWanted {
    /// The newest so many events; 10000 if this and `since` are absent.
    last: Option<u64>,
    /// Or those received since: RFC 3339.
    since: Option<String>,
}

#[derive(Deserialize, Debug, Serialize, ToSchema)]
pub struct Progress {
    /// Events that are done, of all that are to be; none yet while its cases run, or while it waits for another proof.
    pub done: u64,
    pub all: u64,
    pub running: bool,
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
pub(super) struct ActivationWanted {
    /// What its proof must say; `none` proves nothing. Otherwise no case of the tenant may fail.
    #[serde(default)]
    require: Required,
    /// The newest so many events are replayed; 10000 if this and `since` are absent.
    last: Option<u64>,
    /// Or those received since: RFC 3339.
    since: Option<String>,
    /// The digest that must be active in the end; the one that is when this is asked for, if absent.
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
pub(super) struct RollBackWanted {
    /// The digest that must be active now, and is left.
    expected: Option<String>,
    /// Whether to wait until nothing runs.
    #[serde(default)]
    drain: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Swapped {
    /// The digest that is active now.
    pub active: String,
    pub replaced: Option<String>,
    /// People who are linked anew.
    pub relinked: usize,
    /// Events that begin again on it.
    pub again: usize,
    /// What its rules need on both sides and is not there, as far as both sides said so in time: webhooks, metafield
    /// definitions, scopes.
    #[serde(default)]
    pub lacks: Vec<Step>,
}

/// The versions of a tenant, in the order they were deployed.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/versions", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<Version>), (status = 404)))]
pub(super) async fn list(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Vec<Version>> {
    let (rows, active) = admin.read(move |reader| Ok((reader.versions(&tenant)?, reader.active(&tenant)?))).await?;
    let active = active.map(|active| active.digest);
    let version = |row: crate::journal::VersionRow| {
        let manifest: Value = serde_json::from_str(&row.manifest).unwrap_or_default();
        Version {
            name: manifest["name"].as_str().unwrap_or_default().to_owned(),
            deployed_at: Some(clock::rfc3339(row.deployed_at)),
            note: row.note,
            is_active: active.as_ref() == Some(&row.digest),
            is_new: None,
            warnings: None,
            digest: row.digest,
        }
    };
    Ok(Json(rows.into_iter().map(version).collect()))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Activations {
    /// What a roll back goes to, if to anything.
    pub back: Option<String>,
    /// The latest ones, the last one first.
    pub activations: Vec<Activation>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Activation {
    pub digest: String,
    pub at: String,
    /// `configured`, `activated`, `rolled back`, or `failing`: the one before failed too many events.
    pub cause: String,
}

/// Which version was made current when and why, and what a roll back goes to.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/activations", params(("tenant" = String, Path)),
    responses((status = 200, body = Activations), (status = 404)))]
pub(super) async fn activations(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Activations> {
    let (active, rows) =
        admin.read(move |reader| Ok((reader.active(&tenant)?, reader.activations(&tenant, ACTIVATIONS_MAX)?))).await?;
    let activation =
        |row: ActivationRow| Activation { digest: row.digest, at: clock::rfc3339(row.at), cause: row.cause };
    let activations = rows.into_iter().map(activation).collect();
    Ok(Json(Activations { back: active.and_then(|active| active.back), activations }))
}

/// Keeps a component, or a rules file (`application/toml`) frozen into the default rules. Nothing runs on it yet. With a
/// header `x-sha256` it must have that digest.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions", params(("tenant" = String, Path), Said),
    request_body(content = String, content_type = "application/wasm"),
    responses((status = 200, body = Version), (status = 404), (status = 413),
        (status = 422), (status = 507)))]
pub(super) async fn deploy(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Query(Said { note, file }): Query<Said>,
    headers: HeaderMap,
    Upload(body): Upload,
) -> Answer<Version> {
    let note = note.as_deref().map(|note| line("note", note)).transpose()?;
    let file = file.as_deref().map_or(Ok(RULES_FILE), |file| line("file", file))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let versions = &admin.0.versions;
    let deployed = if text(header::CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with(TOML)) {
        let rules = std::str::from_utf8(&body).map_err(|error| unfit(format!("the rules are not UTF-8: {error}")))?;
        versions.deploy_rules(&tenant, file, rules).await
    } else {
        versions.deploy(&tenant, &body, text("x-sha256")).await
    };
    let refused = |error: anyhow::Error| match error.downcast::<NoRoom>() {
        Ok(NoRoom(why)) => Problem::new(Kind::NoRoom, why),
        Err(error) => unfit(format!("{error:#}")),
    };
    let Deployed { digest, manifest, warnings, is_new } = deployed.map_err(refused)?;
    if let Some(note) = note {
        admin.0.journal.note(&tenant, &digest, note).await.map_err(Problem::own)?;
    }
    let said = note.map(|note| format!(": {note}")).unwrap_or_default();
    record(&admin, &who, &tenant, format!("deployed {digest}{said}")).await?;
    let (is_new, warnings) = (Some(is_new), Some(warnings).filter(|warnings| !warnings.is_empty()));
    let note = note.map(str::to_owned);
    Ok(Json(Version { digest, name: manifest.name, deployed_at: None, note, is_active: false, is_new, warnings }))
}

/// Removes a version that nothing needs: one that is not active, that no roll back of the next few goes to, that the
/// configuration does not name, and that nothing runs on. Roll backs go past it from then on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/versions/{digest}", operation_id = "remove_version", params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 204), (status = 404), (status = 409)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Path(One { digest }): Path<One>,
) -> Result<StatusCode, Problem> {
    let digest = known(&admin, &tenant, &digest).await?;
    match admin.0.versions.registry.remove(&tenant, &digest).await.map_err(Problem::own)? {
        Removed::Gone(_) => record(&admin, &who, &tenant, format!("removed version {digest}")).await,
        Removed::Needed(why) => {
            let detail = format!("version `{digest}` stays: {why}\nhint: what nothing needs can be removed");
            Err(Problem::new(Kind::Conflict, detail))
        }
        Removed::Unknown => Err(unknown(&tenant, &digest, "no such version")),
    }
}

/// What the latest proof of a version has found; with `accept: text/plain` as a text for people.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/versions/{digest}/proof", params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 200, content((Value = "application/json"), (String = "text/plain"))), (status = 404)))]
pub(super) async fn report(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { digest }): Path<One>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = known(&admin, &tenant, &digest).await?;
    let Some(report) = kept(&admin, &tenant, &digest).await? else {
        return Err(unknown(&tenant, &digest, "no proof of it"));
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(match accept.starts_with("text/plain") {
        true => replay::text(&report, Paint::plain()).into_response(),
        false => Json(report).into_response(),
    })
}

/// Runs the tenant's recorded events and its cases through a version, sends nothing, and keeps the report with it. Whoever
/// closes the connection gives it up.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions/{digest}/proof", params(("tenant" = String, Path), ("digest" = String, Path)),
    request_body = ProofWanted,
    responses((status = 200, body = Value), (status = 400), (status = 404), (status = 409)))]
pub(super) async fn prove(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { digest }): Path<One>,
    Body(ProofWanted { last, since }): Body<ProofWanted>,
) -> Answer<Value> {
    let range = range(last, since)?;
    let digest = known(&admin, &tenant, &digest).await?;
    let report = admin.0.versions.prove(&tenant, &digest, range).await?;
    Ok(Json(serde_json::to_value(report).unwrap_or_default()))
}

/// How far the proof of a version is.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/versions/{digest}/progress", params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 200, body = Progress), (status = 404)))]
pub(super) async fn progress(
    State(admin): State<Admin>,
    Of { tenant, .. }: Of,
    Path(One { digest }): Path<One>,
) -> Answer<Progress> {
    let digest = known(&admin, &tenant, &digest).await?;
    if let Some((done, all)) = admin.0.versions.progress(&tenant, &digest) {
        return Ok(Json(Progress { done, all, running: true }));
    }
    let events = kept(&admin, &tenant, &digest).await?.map_or(0, |report| report.events);
    Ok(Json(Progress { done: events, all: events, running: false }))
}

/// Makes a version current between two events, if its proof lets it. Where an event would be in another lane, nothing runs
/// at that moment.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/versions/{digest}/activate", params(("tenant" = String, Path), ("digest" = String, Path)),
    request_body = ActivationWanted,
    responses((status = 200, body = Swapped), (status = 400), (status = 404), (status = 409)))]
pub(super) async fn activate(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Path(One { digest }): Path<One>,
    Body(wish): Body<ActivationWanted>,
) -> Answer<Swapped> {
    let digest = known(&admin, &tenant, &digest).await?;
    let require = match wish.require {
        Required::Identical => Require::Identical,
        Required::NoFailures => Require::NoFailures,
        Required::None => Require::None,
    };
    let range = range(wish.last, wish.since)?;
    if wish.rollback_on_failures.is_some_and(|most| !(1..=TRIAL_EVENTS).contains(&most)) {
        let detail =
            format!("`rollback_on_failures` is 1 to {TRIAL_EVENTS}: so many of the latest {TRIAL_EVENTS} events");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    // From here on: whoever activates another one while the proof runs has decided without knowing of this one.
    let of = tenant.clone();
    let active = admin.read(move |reader| reader.active(&of)).await?.map(|active| active.digest);
    let expected = wish.expected.or(active);
    let mut drain = wish.drain;
    if require != Require::None {
        let report = admin.0.versions.prove(&tenant, &digest, range).await?;
        let (events, cases) = (report.against(require), report.cases_against(require));
        let mut against = vec![];
        if events > 0 {
            against.push(format!("{events} of {} recorded events", report.compared()));
        }
        if cases > 0 {
            against.push(format!("{cases} of the tenant's cases"));
        }
        if !against.is_empty() {
            let detail = format!(
                "{} speak against it\nhint: its proof says which (`tandem prove {tenant} {short} --kept`); `require` `none` (`--require none`) activates it all the same",
                against.join(" and "),
                short = crate::rules::short(&digest)
            );
            return Err(Problem::new(Kind::Conflict, detail));
        }
        drain |= report.key_differs > 0;
    }
    to_its_end(async move {
        let how = Activate {
            tenant: &tenant,
            version: &digest,
            expected: expected.as_deref(),
            failures_max: wish.rollback_on_failures,
            relink: wish.relink,
        };
        let activated = admin.0.versions.activate(how, drain).await?;
        record(&admin, &who, &tenant, format!("activated {digest}")).await?;
        let lacks = lacks(&admin, &tenant).await;
        Ok(Json(Swapped { lacks, ..swapped(activated) }))
    })
    .await?
}

/// Makes the version current that was before the active one.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/roll-back", params(("tenant" = String, Path)), request_body = RollBackWanted,
    responses((status = 200, body = Swapped), (status = 404), (status = 409)))]
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(RollBackWanted { expected, drain }): Body<RollBackWanted>,
) -> Answer<Swapped> {
    let activated = admin.0.versions.roll_back(&tenant, expected.as_deref(), drain).await?;
    record(&admin, &who, &tenant, format!("rolled back to {}", activated.digest)).await?;
    Ok(Json(swapped(activated)))
}

/// The whole digest of a version that the tenant has, given its first digits.
pub(super) async fn known(admin: &Admin, tenant: &str, digest: &str) -> Result<String, Problem> {
    let of = tenant.to_owned();
    let rows = admin.read(move |reader| reader.versions(&of)).await?;
    let mut found = rows.iter().filter(|row| digest.len() >= 6 && row.digest.starts_with(digest));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row.digest.clone()),
        _ => Err(unknown(tenant, digest, "no such version")),
    }
}

/// The report of the latest proof.
async fn kept(admin: &Admin, tenant: &str, digest: &str) -> Result<Option<Report>, Problem> {
    let (tenant, digest) = (tenant.to_owned(), digest.to_owned());
    let kept = admin.read(move |reader| reader.report(&tenant, &digest)).await?;
    let report = kept.map(|(_, report)| serde_json::from_str(&report));
    report.transpose().map_err(|error| Problem::own(error.into()))
}

fn range(last: Option<u64>, since: Option<String>) -> Result<Range, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
    match (last, since) {
        (Some(_), Some(_)) => Err(bad("`last` and `since` exclude each other".into())),
        (_, Some(since)) => Ok(Range::Since(time(&since)?)),
        (last, None) => Ok(Range::Last(last.unwrap_or(PROOF_EVENTS))),
    }
}

impl From<Unproved> for Problem {
    fn from(unproved: Unproved) -> Self {
        match unproved {
            Unproved::UnderWay(_) => Self::new(Kind::Conflict, unproved.to_string()),
            Unproved::Other(error) => Self::own(error),
        }
    }
}

fn swapped(activated: Activated) -> Swapped {
    Swapped {
        active: activated.digest,
        replaced: activated.replaced,
        relinked: activated.relinked,
        again: activated.again.len(),
        lacks: vec![],
    }
}

fn unfit(detail: String) -> Problem {
    Problem::new(Kind::Unfit, detail)
}

fn unknown(tenant: &str, digest: &str, what: &str) -> Problem {
    let detail = format!(
        "tenant `{tenant}` has {what}: `{digest}`\nhint: `tandem versions {tenant}` lists its versions; 6 digits and more name one"
    );
    Problem::new(Kind::NotFound, detail)
}
