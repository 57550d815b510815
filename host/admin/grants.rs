//! The verb that shows what Shopify has granted to the apps of this host. No answer has a token in it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Admin, Problem, Who};
use crate::clock;
use crate::credentials::{Shown, ShownGrant};

/// What the host holds of one tenant and its app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    pub tenant: String,
    /// As the configuration calls it.
    pub app: String,
    /// `own`, `standalone` or `embedded`.
    pub kind: String,
    pub shop: String,
    /// Absent: nothing was granted yet.
    pub held: Option<HeldGrant>,
    /// Why there is no newer one, if it was asked for in vain.
    pub refused: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldGrant {
    /// How it was come by: `client credentials`, `authorization code`, `token exchange` or `refresh token`.
    pub how: String,
    /// When it was granted: its last renewal.
    pub since: String,
    pub ends_at: String,
    /// When only the merchant can renew it.
    pub refresh_ends_at: Option<String>,
    pub scopes: Vec<String>,
}

/// What is granted to the apps of this host: those that are missing first, then those that end first. Takes an operator's token.
#[utoipa::path(get, path = "/v1/grants", responses((status = 200, body = Vec<Grant>), (status = 403)))]
pub(super) async fn grants(State(admin): State<Admin>, who: Who) -> Result<Json<Vec<Grant>>, Problem> {
    who.is_operator()?;
    let mut shown = vec![];
    for name in admin.0.tenants.names() {
        if let Some(tenant) = admin.0.tenants.get(&name) {
            shown.extend(admin.0.credentials.show(&tenant).await);
        }
    }
    shown.sort_by_key(|one| one.held.as_ref().map(|held| held.ends_at));
    Ok(Json(shown.into_iter().map(Grant::from).collect()))
}

impl From<Shown> for Grant {
    fn from(Shown { tenant, app, kind, shop, held, refused }: Shown) -> Self {
        let refused = refused.map(|refused| refused.to_string());
        Self { tenant, app, kind: kind.name().to_owned(), shop, held: held.map(HeldGrant::from), refused }
    }
}

impl From<ShownGrant> for HeldGrant {
    fn from(ShownGrant { how, since, ends_at, refresh_ends_at, scopes }: ShownGrant) -> Self {
        let [since, ends_at] = [since, ends_at].map(clock::rfc3339);
        Self { how, since, ends_at, refresh_ends_at: refresh_ends_at.map(clock::rfc3339), scopes }
    }
}
