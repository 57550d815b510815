//! The verb that makes on both sides what a tenant's active rules need, as `tandem setup` does. Knows no step.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verbs::record;
use super::{Admin, Body, Of, Problem};
use crate::config;
use crate::setup::{self, Setup, Zone};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Where webhooks reach this host from outside; the configuration's `public_url` if absent.
    address: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// `shopify`, `omneo` or `rules`.
    pub side: String,
    /// `there`, `create` or `change` (what was done, or would be), `missing` (it cannot be made from here), or `note`.
    pub state: String,
    pub what: String,
    pub hint: Option<String>,
}

/// Looks at what the active rules need on both sides, and makes it: metafield definitions, and a webhook for every topic. What
/// is there already is left alone.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/setup", params(("tenant" = String, Path)), request_body = Wish,
    responses((status = 200, body = Vec<Step>), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn set_up(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(Wish { dry_run, address }): Body<Wish>,
) -> Result<Json<Vec<Step>>, Problem> {
    let unfit = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    if let Some(address) = &address {
        config::check_public_url(address).map_err(|why| unfit(format!("`address` {why}")))?;
    }
    let address = address.or_else(|| admin.0.public_url.clone()).ok_or_else(|| {
        unfit("it is not known where webhooks reach this host\nhint: give `address`, or write `public_url` into the configuration".into())
    })?;
    let (registry, name) = (admin.0.versions.registry.clone(), tenant.clone());
    let manifest = admin.read(move |_| registry.manifest(&name)).await?.ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, format!("tenant `{tenant}` has no active version\nhint: activate one first"))
    })?;
    let known = admin.0.tenants.get(&tenant);
    let known = known.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no tenant `{tenant}`")))?;
    let setup = Setup {
        client: &admin.0.client,
        tenant: &known,
        manifest: &manifest,
        zone: Zone::of_component(&manifest),
        address: Some(address.trim_end_matches('/')),
    };
    let mut steps = vec![];
    for step in setup::plan(&setup).await {
        let setup::Step { side, state, what, hint, .. } = if dry_run { step } else { setup::apply(&setup, step).await };
        let state = match state {
            setup::State::There => "there",
            setup::State::Create => "create",
            setup::State::Change => "change",
            setup::State::Missing => "missing",
            setup::State::Note => "note",
        };
        steps.push(Step { side: side.to_owned(), state: state.to_owned(), what, hint });
    }
    if !dry_run {
        record(&admin, &who, &tenant, format!("set up both sides for {address}")).await?;
    }
    Ok(Json(steps))
}
