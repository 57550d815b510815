//! What a verb takes of a request: who asks, about which tenant and side, and the rest of its path, query and body. Whatever
//! cannot be read is a [`Problem`]. Knows no verb.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{Method, header};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::{Admin, Kind, Problem, TARGETS, hash};
use crate::paint::unquoted;

/// Who asks: the name of a token, and the one tenant that it is for, if it is not an operator's.
pub struct Who {
    pub name: String,
    pub tenant: Option<String>,
    /// One of the places of the tenant's requests.
    _place: Option<OwnedSemaphorePermit>,
}

/// Who asks about which tenant, from the path: one that the token may know of.
pub struct Of {
    pub who: Who,
    pub tenant: String,
}

/// The same, and which of its two systems.
pub struct Side {
    pub who: Who,
    pub tenant: String,
    pub target: String,
}

/// A body of JSON.
pub struct Body<T>(pub T);

/// A body of bytes, within the limit of its route.
pub struct Upload(pub Bytes);

/// The query of the address.
pub struct Query<T>(pub T);

/// What the path names beside a tenant.
pub struct Path<T>(pub T);

impl Who {
    pub fn is_operator(&self) -> Result<(), Problem> {
        match self.tenant {
            None => Ok(()),
            Some(_) => Err(Problem::new(Kind::OperatorsOnly, "this takes an operator's token, not a tenant's")),
        }
    }
}

impl FromRequestParts<Admin> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = given.and_then(|value| value.strip_prefix("Bearer ")) else {
            let detail = "a token is missing: send `Authorization: Bearer …`; `tandem token create` makes one";
            return Err(Problem::new(Kind::NoToken, detail));
        };
        let hash = hash(token.trim());
        match admin.read(move |reader| reader.token(&hash)).await? {
            Some(token) => {
                Span::current().record("by", &token.name);
                let place = token.tenant.as_ref().map(|tenant| admin.0.places.take(tenant)).transpose()?;
                Ok(Self { name: token.name, tenant: token.tenant, _place: place })
            }
            None => Err(Problem::new(Kind::UnknownToken, "this token is not known, or was revoked")),
        }
    }
}

impl FromRequestParts<Admin> for Of {
    type Rejection = Problem;

    /// To a token of another tenant it is not there, so that names do not leak.
    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, admin).await?;
        let tenant = part(parts, admin, "tenant").await?;
        let may_know = who.tenant.as_ref().is_none_or(|own| *own == tenant);
        match admin.0.tenants.get(&tenant).filter(|_| may_know) {
            Some(known) => {
                // Whoever is an operator sees to it that there is room.
                if who.tenant.is_some() && parts.method != Method::GET && !makes_room(parts) {
                    let of = tenant.clone();
                    if let Some(full) = admin.read(move |reader| reader.no_room(&of, &known.limits)).await? {
                        return Err(Problem::new(Kind::NoRoom, full.0));
                    }
                }
                Span::current().record("tenant", &tenant);
                Ok(Self { who, tenant })
            }
            None => Err(Problem::new(Kind::NoTenant, format!("there is no tenant `{tenant}`"))),
        }
    }
}

/// Whether a request removes something, or goes back: what a tenant without room does about that, and what cannot be put off.
/// Neither can be done more often than there is something, so the audit trail does not grow by them for ever.
fn makes_room(parts: &Parts) -> bool {
    parts.method == Method::DELETE || parts.uri.path().ends_with("/roll-back")
}

impl FromRequestParts<Admin> for Side {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let Of { who, tenant } = Of::from_request_parts(parts, admin).await?;
        let target = part(parts, admin, "target").await?;
        if TARGETS.contains(&target.as_str()) {
            return Ok(Self { who, tenant, target });
        }
        let detail = format!("there is no target `{target}`: there are `shopify` and `omneo`");
        Err(Problem::new(Kind::NotFound, detail))
    }
}

impl<T: DeserializeOwned> FromRequest<Admin> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        let body = axum::Json::from_request(request, admin).await;
        body.map(|axum::Json(body)| Self(body))
            .map_err(|rejected| unread(rejected.status().as_u16(), &rejected.body_text()))
    }
}

impl FromRequest<Admin> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, admin).await;
        bytes.map(Self).map_err(|rejected| unread(rejected.status().as_u16(), &rejected.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Admin> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, admin).await;
        query
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejected| unread(rejected.status().as_u16(), &rejected.body_text()))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, admin).await;
        path.map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejected| unread(rejected.status().as_u16(), &rejected.body_text()))
    }
}

fn unread(status: u16, why: &str) -> Problem {
    Problem::new(Kind::of_status(status), unquoted(why))
}

/// A part of the path, by its name there.
async fn part(parts: &mut Parts, admin: &Admin, name: &str) -> Result<String, Problem> {
    let path = RawPathParams::from_request_parts(parts, admin).await;
    let path = path.map_err(|error| unread(error.status().as_u16(), &error.body_text()))?;
    let value = path.iter().find(|(of, _)| *of == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Problem::own(anyhow::anyhow!("the path has no `{name}`")))
}
