//! A grant as it is stored: JSON with sealed secrets, each sealed for its own tenant, app and shop. Knows keys, and not
//! where the grant is stored.

use serde::{Deserialize, Serialize};

use super::grant::{Grant, Refresh, Refused};
use crate::journal::GrantRow;
use crate::model::Millis;
use crate::vault::{Keys, Sealed};

/// A grant, and how it was obtained.
#[derive(Clone)]
pub struct Held {
    /// The name of the way: see [`super::Ask::name`].
    pub how: String,
    pub grant: Grant,
    /// Whether it is known which shop has made the grant. Until then, no call is sent with it.
    pub is_numbered: bool,
}

/// The stored form of a grant.
#[derive(Deserialize, Serialize)]
struct Kept {
    how: String,
    since: Millis,
    scopes: Vec<String>,
    access_token: Sealed,
    ends_at: Millis,
    refresh_token: Option<Sealed>,
    refresh_ends_at: Option<Millis>,
    /// Absent in grants of an older host, whose number is asked for once more.
    #[serde(default)]
    is_numbered: bool,
}

impl Held {
    pub fn sealed(&self, keys: &Keys, tenant: &str, client_id: &str, shop: &str) -> anyhow::Result<String> {
        let Self { how, grant, is_numbered } = self;
        let seal = |kind: &str, text: &str| keys.seal(&place(kind, tenant, client_id, shop), text);
        let kept = Kept {
            how: how.clone(),
            since: grant.since,
            scopes: grant.scopes.clone(),
            access_token: seal("access token", &grant.access_token)?,
            ends_at: grant.ends_at,
            refresh_token: grant.refresh.as_ref().map(|refresh| seal("refresh token", &refresh.token)).transpose()?,
            refresh_ends_at: grant.refresh.as_ref().map(|refresh| refresh.ends_at),
            is_numbered: *is_numbered,
        };
        Ok(serde_json::to_string(&kept)?)
    }

    /// Opens a stored grant, and tells whether it is sealed with the newest key. `None` if there is no grant.
    pub fn opened(keys: &Keys, row: &GrantRow) -> Result<Option<(Self, bool)>, Refused> {
        let Some(text) = &row.body else { return Ok(None) };
        let not_opened = |why: String| Refused::NotOpened { why };
        let kept: Kept = serde_json::from_str(text).map_err(|error| not_opened(format!("it is damaged: {error}")))?;
        let open = |kind: &str, sealed: &Sealed| {
            let opened = keys.open(&place(kind, &row.tenant, &row.client_id, &row.shop), sealed);
            opened.map_err(|error| not_opened(format!("{error:#}")))
        };
        let refresh = match (&kept.refresh_token, kept.refresh_ends_at) {
            (Some(sealed), Some(ends_at)) => Some(Refresh { token: open("refresh token", sealed)?, ends_at }),
            _ => None,
        };
        let access_token = open("access token", &kept.access_token)?;
        let grant = Grant { access_token, ends_at: kept.ends_at, refresh, scopes: kept.scopes, since: kept.since };
        let sealed = std::iter::once(&kept.access_token).chain(&kept.refresh_token);
        let is_newest = sealed.into_iter().all(|sealed| keys.is_newest(sealed));
        Ok(Some((Self { how: kept.how, grant, is_numbered: kept.is_numbered }, is_newest)))
    }
}

/// The purpose for which a secret is sealed. It can be opened for this purpose only.
fn place(kind: &str, tenant: &str, client_id: &str, shop: &str) -> String {
    format!("{kind} of the shop `{shop}` for the app {client_id} of tenant `{tenant}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_opens_for_its_own_tenant_app_and_shop_only() {
        let keys = Keys::parse(&["a".repeat(64)]).unwrap();
        let refresh = Some(Refresh { token: "shprt_1".into(), ends_at: 9 });
        let grant = Grant { access_token: "shpat_1".into(), ends_at: 7, refresh, scopes: vec!["a".into()], since: 3 };
        let held = Held { how: "refresh token".into(), grant: grant.clone(), is_numbered: true };
        let text = held.sealed(&keys, "acme", "id", "a.myshopify.com").unwrap();
        assert!(!text.contains("shpat_1") && !text.contains("shprt_1"));
        let row = |tenant: &str, client_id: &str, body: String| GrantRow {
            tenant: tenant.into(),
            client_id: client_id.into(),
            shop: "a.myshopify.com".into(),
            webhook_key: "k".into(),
            revision: 1,
            body: Some(body),
            is_dropped: false,
        };
        let opened = |row: &GrantRow, keys: &Keys| Held::opened(keys, row).map(Option::unwrap);
        let (same, is_newest) =
            opened(&row("acme", "id", text.clone()), &keys).unwrap_or_else(|refused| panic!("{refused}"));
        assert!(same.grant == grant && same.how == held.how && same.is_numbered && is_newest);
        let older = text.replace(",\"is_numbered\":true", "");
        assert!(older != text && opened(&row("acme", "id", older), &keys).is_ok_and(|(held, _)| !held.is_numbered));
        let moved = GrantRow { shop: "b.myshopify.com".into(), ..row("acme", "id", text.clone()) };
        for (row, keys) in [
            (row("zeta", "id", text.clone()), &keys),
            (row("acme", "other", text.clone()), &keys),
            (moved, &keys),
            (row("acme", "id", "{}".into()), &keys),
            (row("acme", "id", text.clone()), &Keys::parse(&["b".repeat(64)]).unwrap()),
        ] {
            let refused = opened(&row, keys).err().map(|refused| refused.to_string()).unwrap_or_default();
            assert!(refused.starts_with("what the shop granted cannot be opened: "), "{refused}");
        }
        let none = GrantRow { body: None, ..row("acme", "id", text) };
        assert!(Held::opened(&keys, &none).is_ok_and(|held| held.is_none()));
    }
}
