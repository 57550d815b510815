//! What every page of an installation has in common: whose app and shop it is about, what a browser is asked and answers once, and
//! what is said when that is wrong. Knows no page of its own.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::Mutex;

use super::once::{Anew, Seen, hash};
use super::pages::Page;
use crate::accounts::{self, Accounts, Secrets, Wanted};
use crate::clock;
use crate::config::{App, AppKind, Tenant};
use crate::connect::Connect;
use crate::credentials::{Access, Ask, Credentials, Refused};
use crate::journal::{AskedMerchant, Invitation, Journal, Reader};
use crate::model::{self, Millis, Shop};
use crate::rules::Manifest;
use crate::tenants::Tenants;

/// How long a merchant may take to approve, or to fill in a form.
pub const ANSWER_MAX_MS: Millis = 600_000;
/// Random bytes of a state and of a cookie.
const SECRET_BYTES: usize = 32;
/// The cookie by which an answer is known to come from the browser that was asked. Its name ends with the first digits of the
/// question's hash, so that one tab does not take another one's.
const COOKIE: &str = "tandem-install-";
const COOKIE_DIGITS: usize = 8;
/// What to do about anything that is not as Shopify sends it.
pub const OPEN_AGAIN: &str = "Open the app again in Shopify's admin, under Apps.";
/// Numbers that are tried behind the name of a shop, where there is a tenant of that name.
const NAMES_MAX: u32 = 20;

#[derive(Clone)]
pub struct Install(pub Arc<Parts>);

pub struct Parts {
    pub journal: Journal,
    pub tenants: Tenants,
    pub credentials: Credentials,
    pub accounts: Accounts,
    pub connect: Connect,
    /// One shop is admitted at a time.
    pub admitting: Mutex<()>,
    /// Session tokens that have opened a page.
    pub seen: Seen,
    pub anew: Anew,
    /// Where this host is reached from outside, without a `/` at its end. No address is made of what a request says.
    pub public_url: Option<String>,
}

/// What a browser is asked. What was asked for one is no answer to another.
#[derive(Clone, Copy)]
pub enum Question {
    /// To approve at Shopify.
    Approve,
    /// To say at Shopify who it is, where the app is approved already.
    SignIn,
    /// To come from there to the page of the shop.
    Enter,
    /// To say which Omneo tenant is the shop's.
    Connect,
    /// To switch a direction.
    Switch,
    /// To type a code.
    Code,
}

impl Question {
    fn hash(self, secret: &str) -> String {
        let name = match self {
            Self::Approve => "approve",
            Self::SignIn => "sign in",
            Self::Enter => "enter",
            Self::Connect => "connect",
            Self::Switch => "switch",
            Self::Code => "code",
        };
        hash(&format!("{name} {secret}"))
    }
}

impl Install {
    pub fn app(&self, name: &str) -> Result<Arc<App>, Page> {
        self.0.credentials.app(name).ok_or_else(|| {
            let cure =
                "The address of the app is wrong. Whoever runs this host finds the right one in its configuration.";
            Page::wrong(StatusCode::NOT_FOUND, "There is no such app here", cure)
        })
    }

    /// The tenant that names the shop and the app, or the one that an invitation makes of it. Who is none is not told whether
    /// another one does.
    pub async fn tenant(&self, app: &App, shop: &Shop) -> Result<Option<Arc<Tenant>>, Page> {
        if let Some(known) = self.0.tenants.of_shop(shop.domain()) {
            return Ok(
                Some(known).filter(|known| known.shopify.app().is_some_and(|own| own.client_id == app.client_id))
            );
        }
        let (client_id, domain, now) = (app.client_id.clone(), shop.domain().to_owned(), clock::now());
        let invitation = self.read(move |reader| reader.invitation_of(&client_id, &domain, now)).await?;
        match invitation {
            Some(invitation) => self.admit(invitation, app, shop).await,
            None => Ok(None),
        }
    }

    /// The shop that an invitation is for, or that has typed its code, becomes a tenant. `None`: somebody else has taken it up.
    pub async fn admit(&self, invitation: Invitation, app: &App, shop: &Shop) -> Result<Option<Arc<Tenant>>, Page> {
        let _alone = self.0.admitting.lock().await;
        let is_in = |tenant: &Arc<Tenant>| tenant.shopify.app().is_some_and(|own| own.client_id == app.client_id);
        let known = || self.0.tenants.of_shop(shop.domain());
        if let Some(known) = known() {
            return if is_in(&known) { Ok(Some(known)) } else { Err(elsewhere(shop)) };
        }
        // First, so that it is good for one shop.
        if !self.0.journal.take_invitation(&invitation.id).await.map_err(failed)? {
            return Ok(None);
        }
        let added = self.add(&invitation, app, shop.domain()).await;
        if let Some(made) = known() {
            return Ok(Some(made));
        }
        self.0.journal.invite(invitation, clock::now(), None).await.map_err(failed)?;
        Err(match added {
            Err(refused) => failed(refused.into()),
            Ok(()) => {
                let cure =
                    "Whoever runs this Tandem invites the shop once more, with another name: `tandem tenant invite`.";
                Page::wrong(StatusCode::CONFLICT, "There is another tenant of this name", cure)
            }
        })
    }

    /// Under the name of the invitation, or the first that nobody has.
    async fn add(&self, invitation: &Invitation, app: &App, shop: &str) -> Result<(), accounts::Refused> {
        let own = shop.split('.').next().unwrap_or_default();
        let names = match &invitation.tenant {
            Some(name) => vec![name.clone()],
            None => std::iter::once(own.to_owned()).chain((2..=NAMES_MAX).map(|n| format!("{own}-{n}"))).collect(),
        };
        for name in names {
            let wanted = Wanted { shop: Some(shop.to_owned()), ..Wanted::default() };
            let secrets = [Secrets { app: Some(app.name.clone()), ..Secrets::default() }, Secrets::default()];
            let by = format!("invitation by {}", invitation.by);
            match self.0.accounts.add(&name, wanted, secrets, &by).await {
                Err(accounts::Refused::Exists(_) | accounts::Refused::Former { .. }) => {}
                added => return added.map(drop),
            }
        }
        Ok(())
    }

    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnMut(&Reader) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, Page> {
        let journal = self.0.journal.clone();
        let read = tokio::task::spawn_blocking(move || journal.read(read)).await;
        read.map_err(anyhow::Error::from).flatten().map_err(failed)
    }

    /// Asks a browser something that it can answer once. Gives what its answer begins with, and the cookie that has to come with
    /// it, if one is to.
    pub async fn ask(
        &self,
        question: Question,
        app: &App,
        shop: &str,
        with_cookie: bool,
    ) -> Result<(String, Option<String>), Page> {
        let secret = secret().map_err(failed)?;
        let state = question.hash(&secret);
        let cookie = if with_cookie { self::secret().map_err(failed)? } else { String::new() };
        let asked = AskedMerchant {
            cookie: hash(&cookie),
            client_id: app.client_id.clone(),
            shop: shop.to_owned(),
            ends_at: clock::now().saturating_add(ANSWER_MAX_MS),
            state,
        };
        let name = cookie_name(&asked.state);
        self.0.journal.ask_merchant(asked, clock::now()).await.map_err(failed)?;
        let seconds = ANSWER_MAX_MS / 1_000;
        let path = format!("/shopify/{}", app.name);
        let set = format!("{name}={cookie}; Path={path}; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
        Ok((secret, with_cookie.then_some(set)))
    }

    /// The shop whose browser was asked this, once, if the answer comes from the same browser in time.
    pub async fn answered(
        &self,
        question: Question,
        app: &App,
        secret: &str,
        headers: &HeaderMap,
        with_cookie: bool,
    ) -> Result<Option<String>, Page> {
        let state = question.hash(secret);
        let cookie = if with_cookie { cookie(headers, &cookie_name(&state)) } else { String::new() };
        let asked = self.0.journal.answered(state, hash(&cookie), clock::now()).await.map_err(failed)?;
        Ok(asked.filter(|asked| asked.client_id == app.client_id).map(|asked| asked.shop))
    }

    /// Has the app granted what a code or a session token stands for, and its calls go on; what Shopify has taken away with the app is
    /// made anew. In a task of its own: the browser may go away.
    pub async fn grant(&self, tenant: &Arc<Tenant>, app: &Arc<App>, ask: Ask) -> Result<(), Page> {
        let (own, tenant, app) = (self.clone(), tenant.clone(), app.clone());
        let granted = tokio::spawn(async move {
            own.0.credentials.grant(&tenant, &app, ask).await.map_err(|refused| not_granted(&refused))?;
            own.granted(&tenant).await
        });
        granted.await.unwrap_or_else(|error| Err(failed(error.into())))
    }

    /// What follows when a shop has granted its access anew: its calls go on, and what is missing is made.
    pub async fn granted(&self, tenant: &Tenant) -> Result<(), Page> {
        let Parts { credentials, connect, .. } = &*self.0;
        let (access, _) = credentials.access(tenant).await;
        self.goes_on(tenant, &access).await?;
        if tenant.has_omneo() && !tenant.is_closed() {
            // What is missing is named by `tandem tenant setup`.
            let _ = connect.again(&tenant.name, false).await;
        } else {
            connect.prepare(tenant).await;
        }
        Ok(())
    }

    /// The tenant whose shop has this number, if it is under another domain here: the tenant moves to the new one with all it has.
    pub async fn moved(&self, app: &Arc<App>, shop: &Shop, ask: Ask) -> Result<Option<Arc<Tenant>>, Page> {
        let (own, app, shop) = (self.clone(), app.clone(), shop.clone());
        let moving = tokio::spawn(async move {
            let stranger = own.0.credentials.stranger(&app, &shop, ask).await;
            let Some(stranger) = stranger.map_err(|refused| not_granted(&refused))? else { return Ok(None) };
            let Some(name) = own.move_here(&app, &shop, stranger.number).await? else { return Ok(None) };
            let Some(tenant) = own.0.tenants.get(&name) else { return Ok(None) };
            let taken_in = own.0.credentials.take_in(&tenant, &app, stranger).await;
            taken_in.map_err(|refused| not_granted(&refused))?;
            tracing::info!(tenant = name, app = app.name, "its shop has moved to {}", shop.domain());
            own.granted(&tenant).await?;
            Ok(Some(tenant))
        });
        moving.await.unwrap_or_else(|error| Err(failed(error.into())))
    }

    /// Moves the tenant of this app whose shop has this number, if there is one under another domain; gives its name.
    async fn move_here(&self, app: &App, shop: &Shop, number: u64) -> Result<Option<String>, Page> {
        let _alone = self.0.admitting.lock().await;
        let client_id = app.client_id.clone();
        let known = self.read(move |reader| reader.tenants_numbered(&client_id, number)).await?;
        let is_so = |(name, of): &(String, String)| self.0.tenants.get(name).is_some_and(|tenant| tenant.shop == *of);
        let Some((name, of)) = known.into_iter().find(is_so) else { return Ok(None) };
        // Somebody else has had it moved while this one asked.
        if of == shop.domain() {
            return Ok(None);
        }
        match self.0.accounts.move_shop(&name, &of, shop.domain(), &app.client_id).await {
            Ok(()) => Ok(Some(name)),
            Err(accounts::Refused::Configured(_)) => {
                tracing::error!(tenant = name, "its shop is {} now: write that into the configuration", shop.domain());
                let title = format!("{} was known here by another address", shop.domain());
                let cure = "Whoever runs this Tandem has to write the new address into its configuration.";
                Err(in_admin(Page::wrong(StatusCode::CONFLICT, title, cure)))
            }
            Err(refused) => Err(in_admin(failed(refused.into()))),
        }
    }

    /// Whether the merchant has nothing to do: what was granted is good, and the shop lets the app in. Then calls go on that waited
    /// because the app was uninstalled.
    pub async fn is_granted(&self, tenant: &Tenant, app: &App) -> Result<bool, Page> {
        let credentials = &self.0.credentials;
        // An app that gets its access by itself asks for it here.
        if app.kind != AppKind::Own && !credentials.is_granted(tenant).await {
            return Ok(false);
        }
        if app.kind != AppKind::Own && self.lacks_scopes(tenant).await? {
            return Ok(false);
        }
        let (access, _) = credentials.access(tenant).await;
        if matches!(access, Access::Refused | Access::NotAccepted) && app.kind != AppKind::Own {
            return Ok(false);
        }
        self.goes_on(tenant, &access).await?;
        // What was not done when the access was granted.
        if !tenant.has_omneo() {
            self.0.connect.prepare(tenant).await;
        }
        Ok(true)
    }

    /// Whether the rules need what was not granted, and Shopify was not asked for it lately: the app's own configuration may have it
    /// by now.
    async fn lacks_scopes(&self, tenant: &Tenant) -> Result<bool, Page> {
        let Some(granted) = self.0.credentials.scopes(tenant).await else { return Ok(false) };
        let manifest = self.0.connect.manifest(&tenant.name).await.map_err(failed)?;
        let of_shopify = |manifest: Manifest| manifest.targets.into_iter().find(|target| target.name == "shopify");
        let wanted = manifest.and_then(of_shopify).map(|target| target.scopes).unwrap_or_default();
        let lacks = wanted.iter().any(|scope| !model::is_scope_granted(scope, &granted));
        Ok(lacks && self.0.anew.is_time(&tenant.name, clock::now()))
    }

    /// Calls go on that waited because the app was uninstalled, unless it is another shop that answers now, or cannot be told.
    async fn goes_on(&self, tenant: &Tenant, access: &Access) -> Result<(), Page> {
        let journal = &self.0.journal;
        let (name, shop) = (tenant.name.clone(), tenant.shop.clone());
        match access {
            Access::LetIn(Some(number)) => {
                if journal.number_shop(&name, &shop, *number).await.map_err(failed)?.is_some() {
                    tracing::error!(tenant = name, "another shop answers as {shop}: paused");
                    return Err(other_shop(&shop));
                }
            }
            _ => {
                if self.read(move |reader| reader.is_shop_numbered(&name, &shop)).await? {
                    let title = "The shop does not say which one it is";
                    let cure = "Shopify does not answer as it should just now. Try again in a minute.";
                    return Err(in_admin(Page::wrong(StatusCode::SERVICE_UNAVAILABLE, title, cure).and(OPEN_AGAIN)));
                }
            }
        }
        journal.resume_installed(&tenant.name).await.map_err(failed)
    }
}

fn elsewhere(shop: &Shop) -> Page {
    let title = format!("{} is known here in another way", shop.domain());
    let cure = "Ask whoever runs this Tandem: the shop has a token or another app here, and would lose it by this one.";
    Page::wrong(StatusCode::CONFLICT, title, cure)
}

/// A preview of a link, as chats and mail programs make them, must not begin or use up anything.
pub fn not_head(method: &Method) -> Result<(), Page> {
    if *method == Method::HEAD {
        return Err(Page::wrong(StatusCode::METHOD_NOT_ALLOWED, "This address is for browsers", OPEN_AGAIN));
    }
    Ok(())
}

pub fn unsigned(refused: &dyn std::error::Error) -> Page {
    tracing::warn!("an app was opened by a link that is not as Shopify makes it: {refused}");
    let title = "This link does not come from Shopify, or is too old";
    Page::wrong(StatusCode::UNAUTHORIZED, title, format!("What is wrong with it: {refused}.")).and(OPEN_AGAIN)
}

/// A page that Shopify's admin may show in a frame, whichever shop's it is.
pub fn in_admin(page: Page) -> Page {
    page.framed_by("*.myshopify.com")
}

/// App Bridge tries once more, with a new session token.
pub fn again(page: Page) -> Page {
    in_admin(page).tried_again()
}

fn other_shop(shop: &str) -> Page {
    let title = format!("{shop} is another shop than before");
    let cure = "Nothing is sent until whoever runs this Tandem has looked at it. Tell them that the shop is a new one.";
    in_admin(Page::wrong(StatusCode::CONFLICT, title, cure))
}

pub fn not_granted(refused: &Refused) -> Page {
    const TITLE: &str = "Shopify has not granted the access";
    if refused.is_passing() {
        // The log has the reason, which may be the host's own.
        let cure = "Shopify does not answer as it should just now. Try again in a minute.";
        return in_admin(Page::wrong(StatusCode::SERVICE_UNAVAILABLE, TITLE, cure).and(OPEN_AGAIN));
    }
    if let Refused::OtherShop { shop, .. } = refused {
        return other_shop(shop);
    }
    let said = refused.to_string();
    let (why, cure) = said.split_once("\nhint: ").unwrap_or((&said, "open the app again"));
    let page = |status| Page::wrong(status, TITLE, format!("{why}.")).and(format!("What to do: {cure}."));
    match refused {
        Refused::SessionToken => again(page(StatusCode::UNAUTHORIZED)),
        _ => in_admin(page(StatusCode::BAD_GATEWAY)),
    }
}

pub fn failed(error: anyhow::Error) -> Page {
    tracing::error!(blame = "host", "installing an app: {error:#}");
    let cure = "Try again in a minute; whoever runs this host finds the reason in its log.";
    Page::wrong(StatusCode::SERVICE_UNAVAILABLE, "This does not work just now", cure)
}

fn cookie_name(state: &str) -> String {
    format!("{COOKIE}{}", state.get(..COOKIE_DIGITS).unwrap_or_default())
}

fn cookie(headers: &HeaderMap, own: &str) -> String {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == own).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("drawing a secret: {error}"))?;
    Ok(hex::encode(bytes))
}
