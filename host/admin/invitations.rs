//! The verbs that admit shops to an app which no tenant names yet. A code is shown once.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Admin, Body, Kind, Problem, Who};
use crate::clock;
use crate::config;
use crate::journal::{self, Deed};
use crate::model::{Millis, shop_as_typed};

/// How long an invitation is good: a week.
const GOOD_MS: Millis = 7 * 24 * 3_600_000;
/// Random bytes of a code, which somebody types.
const CODE_BYTES: usize = 10;

/// A shop that may install an app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    pub id: String,
    /// As the configuration calls it; its client id, if it calls none so any more.
    pub app: String,
    /// Absent: whichever shop's merchant types the code.
    pub shop: Option<String>,
    /// What its tenant is to be called; absent: after the shop.
    pub tenant: Option<String>,
    /// The address of the app, which the merchant opens; absent where the host does not know its own. It is no secret.
    pub link: Option<String>,
    /// What the merchant types; shown once.
    pub code: Option<String>,
    /// The name of the token that made it.
    pub by: String,
    pub ends_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationWanted {
    /// By its name in the configuration.
    app: String,
    /// `acme.myshopify.com`; absent: whichever shop's merchant types the code.
    shop: Option<String>,
    /// What its tenant is to be called; absent: after the shop.
    tenant: Option<String>,
}

/// Admits a shop to an app for a week, though no tenant names it yet: once its merchant opens the app, it becomes a tenant, to be
/// connected to Omneo. Takes an operator's token.
#[utoipa::path(post, path = "/v1/invitations", request_body = InvitationWanted,
    responses((status = 201, body = Invitation), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn invite(
    State(admin): State<Admin>,
    who: Who,
    Body(InvitationWanted { app, shop, tenant }): Body<InvitationWanted>,
) -> Result<(StatusCode, Json<Invitation>), Problem> {
    who.is_operator()?;
    let unfit = |detail: String| Problem::new(Kind::Unfit, detail);
    let app = admin.0.credentials.app(&app).ok_or_else(|| {
        unfit(format!("there is no app `{app}`\nhint: `[apps.{app}]` in the configuration says what it is"))
    })?;
    let shop = match shop {
        Some(text) => Some(
            shop_as_typed(&text)
                .map(|shop| shop.domain().to_owned())
                .ok_or_else(|| unfit(format!("`{text}` is no shop\nhint: it is like `acme.myshopify.com`")))?,
        ),
        None => None,
    };
    if let Some(other) = shop.as_deref().and_then(|shop| admin.0.tenants.of_shop(shop)) {
        let detail =
            format!("tenant `{}` has this shop already\nhint: its merchant only has to open the app", other.name);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if let Some(name) = &tenant {
        config::check_name(name).map_err(unfit)?;
        if admin.0.tenants.get(name).is_some() {
            return Err(Problem::new(Kind::Conflict, format!("there is a tenant `{name}`")));
        }
    }
    let code = if shop.is_none() { Some(random(CODE_BYTES)?) } else { None };
    let now = clock::now();
    let kept = journal::Invitation {
        id: random(4)?,
        client_id: app.client_id.clone(),
        code: code.as_deref().map(super::hash),
        shop,
        tenant,
        by: who.name.clone(),
        ends_at: now.saturating_add(GOOD_MS),
    };
    let whom = kept.shop.clone().unwrap_or_else(|| "whoever has its code".into());
    let what = format!("invited {whom} to the app {}", app.name);
    let deed = Deed { by: who.name, tenant: None, what };
    admin
        .0
        .journal
        .invite(kept.clone(), now, Some(deed))
        .await
        .map_err(|error| Problem::new(Kind::Conflict, format!("{error:#}")))?;
    Ok((StatusCode::CREATED, Json(Invitation { code, ..shown(&admin, kept) })))
}

/// Invitations that are open; those that end first are first. Takes an operator's token.
#[utoipa::path(get, path = "/v1/invitations", operation_id = "invitations", responses((status = 200, body = Vec<Invitation>), (status = 403)))]
pub(super) async fn list(State(admin): State<Admin>, who: Who) -> Result<Json<Vec<Invitation>>, Problem> {
    who.is_operator()?;
    let open = admin.read(move |reader| reader.invitations(clock::now())).await?;
    Ok(Json(open.into_iter().map(|one| shown(&admin, one)).collect()))
}

/// Ends an invitation at once. Takes an operator's token.
#[utoipa::path(delete, path = "/v1/invitations/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub(super) async fn withdraw(
    State(admin): State<Admin>,
    who: Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    who.is_operator()?;
    let deed = Deed { by: who.name, tenant: None, what: format!("withdrew invitation {id}") };
    if !admin.0.journal.withdraw(&id, deed).await.map_err(Problem::own)? {
        return Err(Problem::new(Kind::NotFound, format!("there is no invitation `{id}`")));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn shown(admin: &Admin, kept: journal::Invitation) -> Invitation {
    let journal::Invitation { id, client_id, shop, tenant, by, ends_at, .. } = kept;
    let known = admin.0.credentials.apps().into_values().find(|app| app.client_id == client_id);
    let app = known.map_or(client_id, |app| app.name.clone());
    let address = admin.0.public_url.as_deref().map(|url| url.trim_end_matches('/'));
    let link = address.map(|url| format!("{url}/shopify/{app}"));
    Invitation { id, app, shop, tenant, link, code: None, by, ends_at: clock::rfc3339(ends_at) }
}

fn random(bytes: usize) -> Result<String, Problem> {
    let mut drawn = vec![0; bytes];
    getrandom::fill(&mut drawn).map_err(|error| Problem::own(anyhow::anyhow!("drawing a secret: {error}")))?;
    Ok(hex::encode(drawn))
}
