//! The verbs about a tenant's cases, which every proof runs. Knows no SQL and runs no case.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verbs::record;
use super::{Admin, Body, Kind, Of, Problem};
use crate::sandbox::{Case, RULES};

/// Cases of a tenant, and bytes of all their files. A case of the usual kind has a few thousand.
pub(super) const CASES_MAX: usize = 500;
const BYTES_MAX: usize = 4 << 20;
/// Rules files that cases bring along, each counted once: every proof freezes each of them into the candidate.
const RULES_FILES_MAX: usize = 10;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// By name, `shopify/orders-paid/a-guest-order-is-sent`, the texts of its files by their names.
    pub cases: BTreeMap<String, BTreeMap<String, String>>,
}

/// The tenant's cases.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/cases", params(("tenant" = String, Path)),
    responses((status = 200, body = Cases), (status = 404)))]
pub(super) async fn list_cases(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Result<Json<Cases>, Problem> {
    let cases = admin.read(move |reader| reader.cases(&tenant)).await?;
    Ok(Json(Cases { cases }))
}

/// Takes these cases in place of all that the tenant has. Every proof runs them from now on.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/cases", params(("tenant" = String, Path)), request_body = Cases,
    responses((status = 204), (status = 404), (status = 413), (status = 422)))]
pub(super) async fn replace_cases(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(Cases { cases }): Body<Cases>,
) -> Result<StatusCode, Problem> {
    check(&cases).map_err(|why| Problem::new(Kind::Unfit, why))?;
    let count = cases.len();
    admin.0.journal.keep_cases(&tenant, cases).await.map_err(Problem::own)?;
    record(&admin, &who, &tenant, format!("replaced its cases by {count}")).await
}

/// Removes all cases of the tenant.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/cases", params(("tenant" = String, Path)),
    responses((status = 204), (status = 404)))]
pub(super) async fn remove_cases(State(admin): State<Admin>, Of { who, tenant }: Of) -> Result<StatusCode, Problem> {
    let of = tenant.clone();
    if admin.read(move |reader| reader.cases(&of)).await?.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    admin.0.journal.keep_cases(&tenant, BTreeMap::new()).await.map_err(Problem::own)?;
    record(&admin, &who, &tenant, "removed its cases".into()).await
}

/// All that is wrong with them, if anything is: a case that could not be run would speak against every version.
fn check(cases: &BTreeMap<String, BTreeMap<String, String>>) -> Result<(), String> {
    if cases.len() > CASES_MAX {
        return Err(format!("these are {} cases; {CASES_MAX} are allowed", cases.len()));
    }
    let files = || cases.values().flatten();
    let bytes: usize = files().map(|(_, text)| text.len()).sum();
    if bytes > BYTES_MAX {
        return Err(format!("these cases have {bytes} bytes; {BYTES_MAX} are allowed"));
    }
    let rules: BTreeSet<_> = files().filter(|(file, _)| *file == RULES).map(|(_, text)| text).collect();
    if rules.len() > RULES_FILES_MAX {
        return Err(format!(
            "these cases bring {} different `{RULES}` along; {RULES_FILES_MAX} are allowed",
            rules.len()
        ));
    }
    let wrong = cases.iter().filter_map(|(name, files)| Case::of_files(name, files).err());
    let wrong: Vec<_> = wrong.map(|error| format!("{error:#}")).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n\n")) }
}
