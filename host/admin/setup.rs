//! The verbs that make on both sides what a tenant's active rules need, as `tandem setup` does, and that say which Omneo tenant
//! is its own. Knows no step.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::verbs::record;
use super::{Admin, Body, Kind, Of, Problem};
use crate::accounts::Connector;
use crate::config;
use crate::connect::{HowToSetUp, Omneo, Refused};
use crate::setup::{self, Setup, Zone};

/// How long an activation waits for both sides to say what is there.
const LOOKED_FOR_MAX: Duration = Duration::from_secs(5);

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUpWanted {
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Where webhooks reach this host from outside; the configuration's `public_url` if absent.
    address: Option<String>,
    /// Switch the webhooks of Omneo's own app for Shopify off, which would send each change a second time.
    #[serde(default)]
    leave_official_app: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// `shopify`, `omneo` or `rules`.
    pub side: String,
    /// `there`, `create` or `change` (what was done, or would be), `missing` (it cannot be made from here), `offer` (it is done if
    /// asked for) or `note`.
    pub state: String,
    pub what: String,
    /// `scope`, `metafield definition` or `webhook`; absent for anything else.
    pub kind: Option<String>,
    /// Which one of its kind.
    pub name: Option<String>,
    pub hint: Option<String>,
}

/// Looks at what the active rules need on both sides, and makes it: metafield definitions, and a webhook for every topic. What
/// is there already is left alone.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/setup", params(("tenant" = String, Path)), request_body = SetUpWanted,
    responses((status = 200, body = Vec<Step>), (status = 400),
        (status = 404), (status = 409), (status = 422)))]
pub(super) async fn set_up(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(SetUpWanted { dry_run, address, leave_official_app }): Body<SetUpWanted>,
) -> Result<Json<Vec<Step>>, Problem> {
    let unfit = |detail: String| Problem::new(Kind::Unfit, detail);
    if let Some(address) = &address {
        config::check_public_url(address).map_err(|why| unfit(format!("`address` {why}")))?;
    }
    let address = address.or_else(|| admin.0.public_url.clone()).ok_or_else(|| {
        unfit("it is not known where webhooks reach this host\nhint: give `address`, or write `public_url` into the configuration".into())
    })?;
    let manifest = admin.0.connect.manifest(&tenant).await.map_err(Problem::own)?.ok_or_else(|| {
        Problem::new(Kind::Conflict, format!("tenant `{tenant}` has no active version\nhint: activate one first"))
    })?;
    let known = admin.0.tenants.get(&tenant);
    let known = known.ok_or_else(|| Problem::new(Kind::NoTenant, format!("there is no tenant `{tenant}`")))?;
    let known =
        admin.0.credentials.with_tokens(&known).await.map_err(|why| Problem::new(Kind::Conflict, why.to_string()))?;
    let how = HowToSetUp { address: Some(&address), is_dry: dry_run, leave_official: leave_official_app };
    let steps = admin.0.connect.set_up(&known, &manifest, how).await;
    if !dry_run {
        let leaving = if leave_official_app { "; Omneo's own app is left" } else { "" };
        record(&admin, &who, &tenant, format!("set up both sides for {address}{leaving}")).await?;
    }
    Ok(Json(steps.into_iter().map(shown).collect()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectWanted {
    /// Where Omneo's API is: `https://api.acme.getomneo.com/api/v3`, or as much of it as makes clear which is meant: `acme`. Absent,
    /// with the token: what is known stays, and what is missing is made.
    address: Option<String>,
    token: Option<String>,
    /// With which Omneo signs its webhooks; if absent, Omneo is asked.
    webhook_secret: Option<String>,
}

/// Says which Omneo tenant is the tenant's own, once Omneo accepts the token; builds the default rules if none are active, and makes
/// what the rules need on both sides. It can be sent again: what is there already is left alone. A tenant of the configuration
/// has its Omneo tenant there. Another Omneo tenant takes an operator's token.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/connect", params(("tenant" = String, Path)), request_body = ConnectWanted,
    responses((status = 200, body = Vec<Step>), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn connect(
    State(admin): State<Admin>,
    Of { who, tenant }: Of,
    Body(ConnectWanted { address, token, webhook_secret }): Body<ConnectWanted>,
) -> Result<Json<Vec<Step>>, Problem> {
    let by = match who.is_operator() {
        Ok(()) => Connector::Operator { name: who.name },
        Err(_) => Connector::Tenant { name: who.name },
    };
    let steps = match (address, token) {
        (Some(address), Some(token)) => {
            admin.0.connect.connect(&tenant, Omneo { address, token, webhook_secret }, by).await?
        }
        (None, None) if webhook_secret.is_none() => {
            let known = admin.0.tenants.get(&tenant);
            if !known.is_some_and(|known| known.has_omneo()) {
                let detail = format!("tenant `{tenant}` is not connected\nhint: give `address` and `token`");
                return Err(Problem::new(Kind::Conflict, detail));
            }
            admin.0.connect.again(&tenant, false).await?
        }
        _ => {
            let detail = "`address` and `token` go together\nhint: give both, or neither".to_owned();
            return Err(Problem::new(Kind::Unfit, detail));
        }
    };
    Ok(Json(steps.into_iter().map(shown).collect()))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::Account(refused) => return refused.into(),
            Refused::UnderWay => Kind::Conflict,
            Refused::Address(_) | Refused::Token(_) | Refused::NoWebhookSecret => Kind::Unfit,
        };
        Self::new(kind, refused.to_string())
    }
}

/// What the active rules of a tenant need on both sides and is not there. Nothing, where a side does not say in time.
pub(super) async fn lacks(admin: &Admin, tenant: &str) -> Vec<Step> {
    let (registry, name) = (admin.0.versions.registry.clone(), tenant.to_owned());
    let manifest = admin.read(move |_| registry.manifest(&name)).await;
    let (Ok(Some(manifest)), Some(known)) = (manifest, admin.0.tenants.get(tenant)) else { return vec![] };
    let Ok(known) = admin.0.credentials.with_tokens(&known).await else { return vec![] };
    let address = admin.0.public_url.as_deref().map(|address| address.trim_end_matches('/'));
    let zone = Zone::of_component(&manifest);
    let setup = Setup {
        client: &admin.0.client,
        tenant: &known.tenant,
        manifest: &manifest,
        zone,
        address,
        app: known.app.as_ref(),
        leave_official: false,
    };
    let steps = timeout(LOOKED_FOR_MAX, setup::plan(&setup)).await.unwrap_or_default();
    let lacks =
        |step: &setup::Step| matches!(step.state, setup::State::Create | setup::State::Change | setup::State::Missing);
    steps.into_iter().filter(lacks).map(shown).collect()
}

fn shown(setup::Step { side, state, what, one, hint, .. }: setup::Step) -> Step {
    let state = match state {
        setup::State::There => "there",
        setup::State::Create => "create",
        setup::State::Change => "change",
        setup::State::Missing => "missing",
        setup::State::Note => "note",
        setup::State::Offer => "offer",
    };
    let kind = |kind| match kind {
        setup::Kind::Scope => "scope",
        setup::Kind::Definition => "metafield definition",
        setup::Kind::Webhook => "webhook",
    };
    let (kind, name) = one.map(|(of, name)| (kind(of).to_owned(), name)).unzip();
    Step { side: side.to_owned(), state: state.to_owned(), what, kind, name, hint }
}
