//! The verbs about tenants themselves: add, show, change, remove, and other credentials. No answer has a secret in it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Admin, Body, Grant, Kind, Of, Path, Problem, Side, Who};
use crate::accounts::{self, Refused, Secrets, Wanted, WantedSide};
use crate::clock;
use crate::config::Quota;
use crate::model::Millis;

const HOUR_MS: Millis = 3_600_000;
/// How long the webhook secrets before a new one stay in force, if nobody says: as long as Shopify may sign with either
/// after a rotation is an hour; a day leaves time for both systems to be changed by hand.
const OVERLAP_HOURS: u32 = 24;
pub(super) const OVERLAP_HOURS_MAX: u32 = 24 * 90;

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    pub tenant: String,
    pub shop: String,
    /// `configuration`, where alone it can be changed, or `api`.
    pub managed_by: String,
    pub added_at: Option<String>,
    /// The digest that its new events run on; absent while they wait for one.
    pub active: Option<String>,
    pub shopify: AccountSide,
    pub omneo: AccountSide,
    pub limits: Quota,
    /// Bytes of its payloads, calls and replies in the journal.
    pub journal_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountSide {
    /// Of Omneo empty as long as it is not connected.
    pub url: String,
    /// Calls a minute, if they are limited.
    pub per_minute: Option<u32>,
    /// Of Shopify: what the tenant's app is granted, if it has one in place of a token.
    pub grant: Option<Grant>,
    /// When its token was given; absent if the configuration has it, and of an app.
    pub token_added_at: Option<String>,
    /// Those in force; none is listed if the configuration has them.
    pub webhook_secrets: Vec<WebhookSecret>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    /// What it is called, since it cannot be shown.
    pub id: String,
    pub added_at: String,
    pub ends_at: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    /// Letters, digits, `-` and `_`: it is part of the address that Omneo sends webhooks to.
    tenant: String,
    /// `acme.myshopify.com`.
    shop: String,
    shopify: NewTenantSide,
    /// Absent: it is to be connected later. That takes an app.
    #[serde(default)]
    omneo: NewTenantSide,
    /// What is absent is as usual.
    #[serde(default)]
    #[schema(value_type = Quota)]
    limits: BTreeMap<String, u64>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenantSide {
    /// Omneo's is like `https://api.acme.getomneo.com/api/v3`; Shopify's is that of the shop, if absent.
    url: Option<String>,
    /// Of Shopify: the name of an app in the host's configuration, in place of a token and webhook secrets.
    app: Option<String>,
    token: Option<String>,
    #[serde(default)]
    webhook_secrets: Vec<String>,
    /// Calls a minute; absent or 0: as many as the other side takes.
    per_minute: Option<u32>,
}

/// What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantChange {
    shop: Option<String>,
    #[serde(default)]
    shopify: TenantChangeSide,
    #[serde(default)]
    omneo: TenantChangeSide,
    #[serde(default)]
    #[schema(value_type = Quota)]
    limits: BTreeMap<String, u64>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantChangeSide {
    url: Option<String>,
    /// Calls a minute; 0: as many as the other side takes.
    per_minute: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenWanted {
    token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretWanted {
    secret: String,
    /// How long the ones before it stay in force; 24 if absent, 2160 at most.
    overlap_hours: Option<u32>,
}

/// Beside a side of a tenant, what a path names.
#[derive(Deserialize)]
pub(super) struct One {
    id: String,
}

/// Adds a tenant. Its webhooks are taken in at once; its events wait until a version is activated. Takes an operator's
/// token, and a key in the host's configuration that its secrets are sealed with.
#[utoipa::path(post, path = "/v1/tenants", request_body = NewTenant,
    responses((status = 201, body = Account), (status = 403),
        (status = 409), (status = 422)))]
pub(super) async fn add(
    State(admin): State<Admin>,
    who: Who,
    Body(NewTenant { tenant, shop, shopify, omneo, limits }): Body<NewTenant>,
) -> Result<(StatusCode, Json<Account>), Problem> {
    who.is_operator()?;
    let side = |side: &NewTenantSide| WantedSide { url: side.url.clone(), per_minute: side.per_minute };
    let wanted = Wanted { shop: Some(shop), shopify: side(&shopify), omneo: side(&omneo), limits };
    let secrets = [shopify, omneo].map(|side| {
        let NewTenantSide { app, token, webhook_secrets, .. } = side;
        Secrets { app, token, webhook_secrets }
    });
    let account = admin.0.accounts.add(&tenant, wanted, secrets, &who.name).await?;
    Ok((StatusCode::CREATED, Json(shown(&admin, tenant, Some(account)).await?)))
}

/// What is known of a tenant, without its secrets.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", params(("tenant" = String, Path)),
    responses((status = 200, body = Account), (status = 404)))]
pub(super) async fn show(State(admin): State<Admin>, Of { tenant, .. }: Of) -> Answer<Account> {
    let (accounts, name) = (admin.0.accounts.clone(), tenant.clone());
    let kept = admin.read(move |_| accounts.show(&name)).await?;
    Ok(Json(shown(&admin, tenant, kept).await?))
}

/// Changes shop, addresses, rates or limits. Calls that wait go by them, too. Takes an operator's token.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", params(("tenant" = String, Path)), request_body = TenantChange,
    responses((status = 200, body = Account), (status = 403),
        (status = 404), (status = 409), (status = 422)))]
pub(super) async fn change(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(TenantChange { shop, shopify, omneo, limits }): Body<TenantChange>,
) -> Answer<Account> {
    who.is_operator()?;
    let side = |side: TenantChangeSide| WantedSide { url: side.url, per_minute: side.per_minute };
    let wanted = Wanted { shop, shopify: side(shopify), omneo: side(omneo), limits };
    let account = admin.0.accounts.change(&tenant, wanted, &who.name).await?;
    Ok(Json(shown(&admin, tenant, Some(account)).await?))
}

/// Takes no more webhooks of a tenant, sends no more calls, forgets its secrets, cases, pauses and directions, revokes its
/// tokens, and discards what is not over. The journal keeps the rest for as long as for other tenants; so its name is for its
/// own shop from now on. Takes an operator's token.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", params(("tenant" = String, Path)),
    responses((status = 204), (status = 403), (status = 404),
        (status = 409)))]
pub(super) async fn remove(State(admin): State<Admin>, Of { who, tenant }: Of) -> Result<StatusCode, Problem> {
    who.is_operator()?;
    admin.0.accounts.remove(&tenant, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a side other credentials. Calls that wait since the old ones were refused are sent.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/targets/{target}/token",
    params(("tenant" = String, Path), ("target" = String, Path)), request_body = TokenWanted,
    responses((status = 200, body = Account), (status = 404),
        (status = 409), (status = 422)))]
pub(super) async fn set_token(
    State(admin): State<Admin>,
    Side { who, tenant, target }: Side,
    Body(TokenWanted { token }): Body<TokenWanted>,
) -> Answer<Account> {
    let account = admin.0.accounts.set_token(&tenant, &target, &token, &who.name).await?;
    Ok(Json(shown(&admin, tenant, Some(account)).await?))
}

/// Adds a webhook secret. The ones before it stay in force for a while, so that no webhook is refused during the change.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/targets/{target}/webhook-secrets",
    params(("tenant" = String, Path), ("target" = String, Path)), request_body = SecretWanted,
    responses((status = 200, body = Account), (status = 404),
        (status = 409), (status = 422)))]
pub(super) async fn add_webhook_secret(
    State(admin): State<Admin>,
    Side { who, tenant, target }: Side,
    Body(SecretWanted { secret, overlap_hours }): Body<SecretWanted>,
) -> Answer<Account> {
    let hours = overlap_hours.unwrap_or(OVERLAP_HOURS).min(OVERLAP_HOURS_MAX);
    let overlap = Millis::from(hours) * HOUR_MS;
    let account = admin.0.accounts.add_webhook_secret(&tenant, &target, &secret, overlap, &who.name).await?;
    Ok(Json(shown(&admin, tenant, Some(account)).await?))
}

/// Ends a webhook secret at once.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/targets/{target}/webhook-secrets/{id}",
    params(("tenant" = String, Path), ("target" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Account), (status = 404),
        (status = 409)))]
pub(super) async fn end_webhook_secret(
    State(admin): State<Admin>,
    Side { who, tenant, target }: Side,
    Path(One { id }): Path<One>,
) -> Answer<Account> {
    let account = admin.0.accounts.end_webhook_secret(&tenant, &target, &id, &who.name).await?;
    Ok(Json(shown(&admin, tenant, Some(account)).await?))
}

async fn shown(admin: &Admin, tenant: String, kept: Option<accounts::Account>) -> Result<Account, Problem> {
    let Some(known) = admin.0.tenants.get(&tenant) else {
        return Err(Problem::new(Kind::NoTenant, format!("there is no tenant `{tenant}`")));
    };
    let of = tenant.clone();
    let (active, journal_bytes) = admin.read(move |reader| Ok((reader.active(&of)?, reader.bytes_of(&of)?))).await?;
    let active = active.map(|active| active.digest);
    let now = clock::now();
    let secret = |secret: &accounts::Secret| WebhookSecret {
        id: secret.id.clone(),
        added_at: clock::rfc3339(secret.added_at),
        ends_at: secret.ends_at.map(clock::rfc3339),
    };
    let side = |target: &str, kept: Option<&accounts::Side>| {
        let secrets = kept.into_iter().flat_map(|side| &side.webhook_secrets);
        known.peer(target).map(|peer| AccountSide {
            url: peer.url.clone(),
            per_minute: peer.per_minute,
            grant: None,
            token_added_at: kept.and_then(|side| side.token.as_ref()).map(|token| clock::rfc3339(token.added_at)),
            webhook_secrets: secrets.filter(|secret| secret.is_in_force(now)).map(secret).collect(),
        })
    };
    let sides = (
        side("shopify", kept.as_ref().map(|kept| &kept.shopify)),
        side("omneo", kept.as_ref().map(|kept| &kept.omneo)),
    );
    let (Some(mut shopify), Some(omneo)) = sides else {
        return Err(Problem::own(anyhow::anyhow!("tenant `{tenant}` has not both sides")));
    };
    shopify.grant = admin.0.credentials.show(&known).await.map(Grant::from);
    Ok(Account {
        shop: known.shop.clone(),
        managed_by: if kept.is_some() { "api" } else { "configuration" }.to_owned(),
        added_at: kept.as_ref().map(|kept| clock::rfc3339(kept.added_at)),
        tenant,
        active,
        shopify,
        omneo,
        limits: known.limits,
        journal_bytes,
    })
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Configured(_) | Refused::Exists(_) | Refused::Former { .. } | Refused::ShopTaken(_) => {
                Kind::Conflict
            }
            Refused::NoKey | Refused::LastSecret | Refused::OmneoTaken => Kind::Conflict,
            Refused::Unfit(_) => Kind::Unfit,
            Refused::NoSecret(_) => Kind::NotFound,
            Refused::Other(error) => return Self::own(error),
        };
        Self::new(status, refused.to_string())
    }
}
