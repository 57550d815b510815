//! Finds out whether a shop lets an app in, and which shop has granted something. Knows the one question that answers
//! both.

use std::sync::Arc;

use super::cell::Cell;
use super::grant::{self, Ask, Grant, Refused};
use super::held::Held;
use super::{Credentials, Token, later};
use crate::clock;
use crate::config::{App, Peer, Tenant};
use crate::model::{Call, Effect, Request, Shop};
use crate::retry::Outcome;

/// Used for a question that is the same in every version. When this version has ended, Shopify answers as the oldest
/// version that it still serves.
pub const LEAST_API_VERSION: &str = "2026-07";

/// Whether a shop lets the app in.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// The shop lets the app in, and says that it has this number, which stays the same when its domain changes.
    LetIn(Option<u64>),
    Refused,
    /// Shopify does not accept the app's id and secret: the app was uninstalled, or the secret was changed.
    NotAccepted,
    /// The shop answers with this status, which says nothing about the app: 402 and 423 for a shop that is frozen or
    /// locked.
    Frozen(u16),
    /// It cannot be told now, with the reason. Another try may help.
    Unclear(String),
    /// It could not be told several times in a row.
    StaysUnclear(String),
}

/// A shop's answer to a token.
enum Said {
    LetIn(Option<u64>),
    /// 401.
    NotAccepted,
    /// There is no such shop.
    Gone,
    Frozen(u16),
    Unclear(String),
}

/// A grant from a shop that is no tenant's, and the number of the shop.
pub struct Stranger {
    pub number: u64,
    ask: Ask,
    grant: Grant,
}

impl Credentials {
    /// Asks the shop, with the newest token, whether it lets the app in. Returns the result and the revision of the
    /// grant that it is about.
    pub async fn access(&self, tenant: &Tenant) -> (Access, i64) {
        let (access, judged) = self.asked_for_access(tenant).await;
        let cell = tenant.shopify.app().and_then(|app| self.known(&tenant.name, app));
        let access = match (access, cell) {
            (Access::Unclear(why), Some(cell)) if !cell.state().is_unclear() => Access::StaysUnclear(why),
            (Access::Unclear(why), _) => Access::Unclear(why),
            (clear, cell) => {
                if let Some(cell) = cell {
                    cell.state().is_clear();
                }
                clear
            }
        };
        (access, judged)
    }

    async fn asked_for_access(&self, tenant: &Tenant) -> (Access, i64) {
        let mut judged = 0;
        let cell = tenant.shopify.app().and_then(|app| self.known(&tenant.name, app));
        let mut is_refused = cell.is_some_and(|cell| cell.state().is_refused_by_shop());
        // A second 401 is final, so two tries are enough.
        for _ in 0..2 {
            let token = match self.token(tenant, "shopify").await {
                Ok(token) => token,
                Err(no) => {
                    let access = match no.refused {
                        Refused::Ended { .. } | Refused::NotInstalled { .. } => Access::Refused,
                        // By itself, a refusal may mean a wrong secret, or a shop that has granted nothing yet. After a
                        // 401 to a token that was valid, it means more, whichever call had the 401.
                        Refused::Client { .. } | Refused::Never { .. } if is_refused => Access::Refused,
                        Refused::Client { .. } => Access::NotAccepted,
                        other => Access::Unclear(other.to_string()),
                    };
                    return (access, no.revision.unwrap_or_default());
                }
            };
            judged = token.revision.unwrap_or_default();
            match self.said(&tenant.shopify, &token.text).await {
                Said::NotAccepted if self.refused_by_shop(tenant, "shopify", &token) => is_refused = true,
                Said::NotAccepted | Said::Gone => return (Access::Refused, judged),
                Said::Frozen(status) => return (Access::Frozen(status), judged),
                Said::Unclear(why) => return (Access::Unclear(why), judged),
                Said::LetIn(number) => {
                    self.accepted_by_shop(tenant, "shopify", &token);
                    return (Access::LetIn(number), judged);
                }
            }
        }
        (Access::Refused, judged)
    }

    async fn said(&self, peer: &Peer, token: &str) -> Said {
        let answer = match self.0.client.send(peer, token, &least(), LEAST_API_VERSION).await {
            Outcome::Answered { answer, .. } => answer,
            Outcome::NotSent(why) | Outcome::NoAnswer(why) | Outcome::Blocked(why) | Outcome::NoToken(why) => {
                return Said::Unclear(why);
            }
            Outcome::Throttled { .. } => return Said::Unclear("throttled".into()),
        };
        match answer.status {
            200 => Said::LetIn(number(&answer.body)),
            401 => Said::NotAccepted,
            404 => Said::Gone,
            402 | 423 => Said::Frozen(answer.status),
            status => Said::Unclear(format!("the shop answers {status}")),
        }
    }

    /// Finds out which shop has made the grant, before any call uses its token. If it is a different shop than before,
    /// no call gets the token: both targets of the tenant are paused, and an operator who resumes them confirms that
    /// the other shop is the right one.
    pub(super) async fn number(&self, cell: &Cell, tenant: &Tenant, app: &App) -> Result<Token, Refused> {
        let (held, revision) = {
            let state = cell.state();
            (state.held.clone().ok_or_else(|| Refused::Never { app: app.name.clone() })?, state.revision)
        };
        let not_known = |why: &str| later(format!("which shop has granted the access is not known: {why}"));
        let number = match self.said(&tenant.shopify, &held.grant.access_token).await {
            Said::LetIn(number) => number.ok_or_else(|| not_known("it does not say its number"))?,
            // The next token, from the refresh token, shows whether the grant has ended.
            Said::NotAccepted if cell.state().refused_by_shop(revision) => {
                return Err(not_known("it does not accept the token"));
            }
            Said::NotAccepted | Said::Gone => return Err(Refused::Ended { app: app.name.clone() }),
            Said::Frozen(status) => return Err(not_known(&format!("it answers {status}"))),
            Said::Unclear(why) => return Err(not_known(&why)),
        };
        let (journal, name, shop) = (&self.0.journal, &tenant.name, &tenant.shop);
        let not_kept = |error: anyhow::Error| later(format!("{error:#}"));
        if journal.number_shop(name, shop, number).await.map_err(not_kept)?.is_some() {
            return Err(Refused::OtherShop { tenant: name.clone(), shop: shop.clone() });
        }
        let numbered = Held { is_numbered: true, ..(*held).clone() };
        let revision = self.keep(cell, tenant, app, Arc::new(numbered)).await.map_err(not_kept)?;
        Ok(Token { text: held.grant.access_token.clone(), revision: Some(revision) })
    }

    /// Has Shopify make the grant that a merchant has approved for a shop that is no tenant's, to find out the shop's
    /// number. Nothing is stored.
    pub async fn stranger(&self, app: &Arc<App>, shop: &Shop, ask: Ask) -> Result<Option<Stranger>, Refused> {
        let peer = Peer::of_app(app.address_of(shop.domain()), app.clone(), None);
        let (url, asked_at) = (format!("{}/admin/oauth/access_token", peer.url), clock::now());
        let answer = self.0.client.post_form(&url, &ask.form(app)).await.map_err(|not| later(not.why))?;
        let grant = grant::read(app, &answer, asked_at)?;
        Ok(match self.said(&peer, &grant.access_token).await {
            Said::LetIn(Some(number)) => Some(Stranger { number, ask, grant }),
            _ => None,
        })
    }

    /// Keeps a stranger's grant for the tenant to which the shop has turned out to belong.
    pub async fn take_in(&self, tenant: &Tenant, app: &Arc<App>, stranger: Stranger) -> Result<(), Refused> {
        let cell = self.cell(tenant, app).await?;
        let _turn = cell.turn.lock().await;
        self.hold(&cell, tenant, app, &stranger.ask, stranger.grant).await?;
        self.number(&cell, tenant, app).await.map(drop)
    }
}

/// The smallest request to the Admin API.
fn least() -> Call {
    let request = Request::Graphql { document: "query { shop { id } }".into(), variables: "{}".into() };
    Call { target: "shopify".into(), request, effect: Effect::Read }
}

/// `gid://shopify/Shop/7` is 7.
fn number(body: &str) -> Option<u64> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    body["data"]["shop"]["id"].as_str()?.strip_prefix("gid://shopify/Shop/")?.parse().ok()
}
