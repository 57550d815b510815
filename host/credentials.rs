//! Provides the current token for a side of a tenant: either a token that was copied by hand, or one that Shopify
//! grants to the tenant's app. Grants are kept sealed and are renewed before they end.
//!
//! Knows when Shopify is asked, by whom and how often, and not what a token is used for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use anyhow::{Context, bail};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::clock;
use crate::config::{App, AppKind, Apps, Credential, Tenant};
use crate::journal::{GrantRow, Journal};
use crate::model::Millis;
use crate::vault::Keys;

mod access;
mod cell;
mod grant;
mod held;

pub use access::{Access, LEAST_API_VERSION, Stranger};
use cell::{Cell, State};
use grant::Grant;
pub use grant::{Ask, Refused};
use held::Held;

/// Bytes of the key in an app's webhook address.
const KEY_BYTES: usize = 16;
/// How often keeping a grant is tried while a command beside the host keeps grants as well.
const KEPT_TRIES: usize = 5;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    journal: Journal,
    client: Client,
    keys: RwLock<Keys>,
    apps: RwLock<Apps>,
    /// By tenant and client id. A cell stays for good, because its `turn` keeps two tasks from asking at once.
    cells: Mutex<HashMap<(String, String), Arc<Cell>>>,
    /// Client ids of apps whose id and secret are not accepted, so that the log reports each only once.
    not_accepted: Mutex<BTreeSet<String>>,
    /// Tenants with a new grant, until [`Credentials::news`] has given them.
    news: Mutex<BTreeSet<String>>,
    told: Notify,
}

/// The token that a call is sent with.
#[derive(Clone, PartialEq)]
pub struct Token {
    pub text: String,
    /// The revision of the grant that the token belongs to; `None` for a token that was copied by hand.
    pub revision: Option<i64>,
}

/// Why there is no token, and for which revision of the grant.
#[derive(Clone, Debug, PartialEq)]
pub struct NoToken {
    pub refused: Refused,
    /// `None` if not even the revision could be read.
    pub revision: Option<i64>,
}

/// A tenant whose sides both have a token that is valid at the moment.
pub struct WithTokens {
    pub tenant: Tenant,
    /// The name of its app, and the key of its webhook address.
    pub app: Option<(String, String)>,
}

/// What is stored for a tenant and its app, for operators. Contains no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub tenant: String,
    pub app: String,
    pub kind: AppKind,
    pub shop: String,
    /// `None` if nothing has been granted yet.
    pub held: Option<ShownGrant>,
    /// Why there is no newer grant, if one was asked for in vain.
    pub refused: Option<Refused>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShownGrant {
    /// The way in which it was granted.
    pub how: String,
    /// When it was granted or last renewed.
    pub since: Millis,
    pub ends_at: Millis,
    /// After this time it cannot be renewed without the merchant.
    pub refresh_ends_at: Option<Millis>,
    pub scopes: Vec<String>,
}

impl Credentials {
    pub fn new(journal: Journal, client: Client, keys: Keys, apps: Apps) -> Self {
        Self(Arc::new(Inner {
            journal,
            client,
            keys: RwLock::new(keys),
            apps: RwLock::new(apps),
            cells: Mutex::default(),
            not_accepted: Mutex::default(),
            news: Mutex::default(),
            told: Notify::new(),
        }))
    }

    /// The apps of the present configuration.
    pub fn apps(&self) -> Apps {
        self.0.apps.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The app with this name in the configuration.
    pub fn app(&self, name: &str) -> Option<Arc<App>> {
        self.0.apps.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The token for a call to a side of a tenant now. If the present token is due to be renewed, that happens in the
    /// background. If there is no valid token, this waits for Shopify: at most twice ten seconds for the token, as long
    /// as a call may take for the shop's number, and as long again if another request is under way.
    pub async fn token(&self, tenant: &Tenant, target: &str) -> Result<Token, NoToken> {
        match tenant.peer(target).map(|peer| &peer.credential) {
            Some(Credential::App(app)) => self.granted(tenant, app).await,
            Some(Credential::Token(text)) => Ok(Token { text: text.clone(), revision: None }),
            None => Ok(Token { text: String::new(), revision: None }),
        }
    }

    /// Records that a target has answered 401 to a token. Returns whether there is, or may be, another token that is
    /// worth trying.
    pub fn refused_by_shop(&self, tenant: &Tenant, target: &str, token: &Token) -> bool {
        let cell = tenant.peer(target).and_then(|peer| peer.app()).and_then(|app| self.known(&tenant.name, app));
        token.revision.zip(cell).is_some_and(|(revision, cell)| cell.state().refused_by_shop(revision))
    }

    /// Records that a target has accepted a token: its answer was not a 401.
    pub fn accepted_by_shop(&self, tenant: &Tenant, target: &str, token: &Token) {
        let cell = tenant.peer(target).and_then(|peer| peer.app()).and_then(|app| self.known(&tenant.name, app));
        if let Some((revision, cell)) = token.revision.zip(cell) {
            cell.state().accepted_by_shop(revision);
        }
    }

    /// Whether a side's credentials have changed since this token was asked for.
    pub fn has_changed(&self, tenant: &Tenant, target: &str, then: &Result<Token, NoToken>) -> bool {
        let Some(peer) = tenant.peer(target) else { return false };
        match (&peer.credential, then) {
            (Credential::Token(text), Ok(token)) => token.revision.is_some() || *text != token.text,
            (Credential::Token(_), Err(_)) => true,
            (Credential::App(app), then) => {
                let then = then.as_ref().map_or_else(|no| no.revision, |token| token.revision);
                let known = self.known(&tenant.name, app).map(|cell| cell.state().revision);
                then.zip(known).is_some_and(|(then, known)| then != known)
            }
        }
    }

    /// The tenant with tokens in place of its app, for a caller that makes several calls in a row.
    pub async fn with_tokens(&self, tenant: &Tenant) -> Result<WithTokens, Refused> {
        let mut known = WithTokens { tenant: tenant.clone(), app: None };
        if let Some(app) = tenant.shopify.app() {
            let token = self.token(tenant, "shopify").await.map_err(|no| no.refused)?;
            known.tenant.shopify.credential = Credential::Token(token.text);
            known.app = Some((app.name.clone(), self.webhook_key(tenant, app).await?));
        }
        Ok(known)
    }

    /// Asks Shopify for the grant that a merchant has just approved, with a code or a session token, either of which is
    /// valid once.
    pub async fn grant(&self, tenant: &Tenant, app: &Arc<App>, ask: Ask) -> Result<(), Refused> {
        let cell = self.cell(tenant, app).await?;
        let turn = cell.turn.clone().lock_owned().await;
        self.ask(cell, turn, tenant, app, ask).await.map(drop)
    }

    /// Checks the code of a member of staff who signs in. The token that the code is exchanged for belongs to that
    /// person and is not kept; the shop's own grant stays as it is. If the code turns out to be for the shop instead of
    /// the person, Shopify has made a new grant of the shop's, which ends the one before. It is kept then, and the
    /// result is `true`.
    pub async fn sign_in(&self, tenant: &Tenant, app: &Arc<App>, code: String) -> Result<bool, Refused> {
        let cell = self.cell(tenant, app).await?;
        let turn = cell.turn.clone().lock_owned().await;
        let (own, tenant, app) = (self.clone(), tenant.clone(), app.clone());
        // Runs in a task of its own: if the caller stopped waiting, the new grant would be lost.
        let asked = tokio::spawn(async move {
            let _turn = turn;
            let (url, ask, asked_at) =
                (format!("{}/admin/oauth/access_token", tenant.shopify.url), Ask::Code(code), clock::now());
            let answer = own.0.client.post_form(&url, &ask.form(&app)).await.map_err(|not| later(not.why))?;
            if grant::is_signed_in(&app, &answer)? {
                return Ok(false);
            }
            let grant = grant::read(&app, &answer, asked_at)?;
            own.hold(&cell, &tenant, &app, &ask, grant).await?;
            own.number(&cell, &tenant, &app).await.map(|_| true)
        });
        asked.await.unwrap_or_else(|_| Err(later("asking for a token ended in a panic".into())))
    }

    /// Whether there is a grant that is valid as far as is known, so that the merchant need not do anything.
    pub async fn is_granted(&self, tenant: &Tenant) -> bool {
        let Some(app) = tenant.shopify.app() else { return true };
        self.cell(tenant, app).await.is_ok_and(|cell| cell.state().is_good())
    }

    /// The scopes of the grant, if there is one.
    pub async fn scopes(&self, tenant: &Tenant) -> Option<Vec<String>> {
        let cell = self.cell(tenant, tenant.shopify.app()?).await.ok()?;
        let state = cell.state();
        state.held.as_ref().map(|held| held.grant.scopes.clone())
    }

    /// Whether the shop has uninstalled the app, and has granted nothing since.
    pub async fn is_uninstalled(&self, tenant: &Tenant) -> Result<bool, Refused> {
        let Some(app) = tenant.shopify.app() else { return Ok(false) };
        Ok(self.cell(tenant, app).await?.state().is_dropped)
    }

    /// Drops the grant if it is still the revision that the shop has refused. `false` if there is a newer one.
    pub async fn drop_grant(&self, tenant: &Tenant, judged: i64) -> anyhow::Result<bool> {
        let Some(app) = tenant.shopify.app() else { return Ok(true) };
        let cell = self.cell(tenant, app).await?;
        let _turn = cell.turn.lock().await;
        if cell.state().revision != judged {
            return Ok(false);
        }
        let dropped = self.0.journal.keep_grant(&tenant.name, &app.client_id, judged, None).await?;
        if let Some(revision) = dropped {
            cell.state().drop_grant(revision);
        }
        Ok(dropped.is_some())
    }

    /// The secret part of the address at which a tenant receives its app's webhooks.
    pub async fn webhook_key(&self, tenant: &Tenant, app: &App) -> Result<String, Refused> {
        Ok(self.cell(tenant, app).await?.webhook_key.clone())
    }

    /// The tenant that receives an app's webhooks at the address with this key.
    pub async fn tenant_of_key(&self, app: &App, key: &str) -> anyhow::Result<Option<String>> {
        let own = |((_, client_id), cell): &(&(String, String), &Arc<Cell>)| {
            *client_id == app.client_id && cell.webhook_key == key
        };
        if let Some(((tenant, _), _)) = self.cells().iter().find(own) {
            return Ok(Some(tenant.clone()));
        }
        let (journal, client_id, key) = (self.0.journal.clone(), app.client_id.clone(), key.to_owned());
        spawn_blocking(move || journal.read(|reader| reader.tenant_of_webhook_key(&client_id, &key))).await?
    }

    /// Renews a grant that is about to expire, asks again where the cause of a refusal may be gone, and seals with the
    /// newest key.
    pub async fn look(&self, tenant: &Tenant) {
        let Some(app) = tenant.shopify.app() else { return };
        let Ok(cell) = self.cell(tenant, app).await else { return };
        if cell.state().is_worth_asking(Instant::now(), clock::now()) {
            let turn = cell.turn.clone().lock_owned().await;
            let _ = self.renew(cell.clone(), turn, tenant, app).await;
        }
        let _turn = cell.turn.lock().await;
        let old = {
            let state = cell.state();
            state.held.clone().filter(|_| !state.is_newest && state.unkept.is_none())
        };
        if let Some(held) = old
            && let Err(why) = self.keep(&cell, tenant, app, held).await
        {
            tracing::error!(
                tenant = tenant.name,
                blame = "host",
                "its grant is not sealed with the newest key: {why:#}"
            );
        }
    }

    /// Waits until tenants have new grants, and returns their names.
    pub async fn news(&self) -> BTreeSet<String> {
        loop {
            let told = self.0.told.notified();
            let news = std::mem::take(&mut *self.0.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            told.await;
        }
    }

    /// Forgets a tenant here. The journal still has it.
    pub fn forget(&self, tenant: &str) {
        self.cells().retain(|(of, _), _| of != tenant);
    }

    /// Replaces keys and apps. Grants that could not be opened before are opened, if that is possible now.
    pub fn set(&self, keys: Keys, apps: Apps) {
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        *self.0.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
        let cells: Vec<_> = self.cells().iter().map(|(of, cell)| (of.clone(), cell.clone())).collect();
        for ((tenant, client_id), cell) in cells {
            cell.state().is_newest = false;
            if cell.state().closed.is_none() {
                continue;
            }
            let row = self.0.journal.read(|reader| reader.grant(&tenant, &client_id));
            if let Ok(Some(row)) = row
                && let Ok(Some((held, _))) = Held::opened(&keys, &row)
                && cell.state().revision == row.revision
            {
                let mut state = cell.state();
                (state.held, state.closed) = (Some(Arc::new(held)), None);
                drop(state);
                self.tell(&tenant);
            }
        }
    }

    /// What is stored for a tenant that has an app.
    pub async fn show(&self, tenant: &Tenant) -> Option<Shown> {
        let app = tenant.shopify.app()?;
        let (held, refused) = match self.cell(tenant, app).await {
            Ok(cell) => {
                let state = cell.state();
                let held = state.held.as_ref().map(|held| ShownGrant {
                    how: held.how.clone(),
                    since: held.grant.since,
                    ends_at: held.grant.ends_at,
                    refresh_ends_at: held.grant.refresh.as_ref().map(|refresh| refresh.ends_at),
                    scopes: held.grant.scopes.clone(),
                });
                (held, state.why().cloned())
            }
            Err(refused) => (None, Some(refused)),
        };
        let (tenant, shop) = (tenant.name.clone(), tenant.shop.clone());
        Some(Shown { tenant, app: app.name.clone(), kind: app.kind, shop, held, refused })
    }

    async fn granted(&self, tenant: &Tenant, app: &Arc<App>) -> Result<Token, NoToken> {
        let cell = self.cell(tenant, app).await.map_err(|refused| NoToken { refused, revision: None })?;
        let now = clock::now();
        if let Some(token) = cell.state().token(|grant| !grant.is_due(now)) {
            return Ok(token);
        }
        let alive = cell.state().token(|grant| grant.is_alive(now));
        if let Some(token) = alive {
            if let Ok(turn) = cell.turn.clone().try_lock_owned() {
                let (own, tenant, app) = (self.clone(), tenant.clone(), app.clone());
                tokio::spawn(async move { own.renew(cell, turn, &tenant, &app).await.map(drop) });
            }
            return Ok(token);
        }
        let turn = cell.turn.clone().lock_owned().await;
        let renewed = self.renew(cell.clone(), turn, tenant, app).await;
        renewed.map_err(|refused| NoToken { refused, revision: Some(cell.state().revision) })
    }

    /// Asks for a new grant, unless the task that had the turn before has got one, or Shopify is known to refuse.
    async fn renew(
        &self,
        cell: Arc<Cell>,
        turn: OwnedMutexGuard<()>,
        tenant: &Tenant,
        app: &Arc<App>,
    ) -> Result<Token, Refused> {
        let unkept = cell.state().unkept.clone();
        if let Some(held) = unkept {
            self.keep(&cell, tenant, app, held).await.map_err(|error| later(format!("{error:#}")))?;
        }
        let ask = {
            let (state, now) = (cell.state(), clock::now());
            if let Some(token) = state.token(|grant| !grant.is_due(now)) {
                return Ok(token);
            }
            if let Some(refused) = state.refusal(app, Instant::now()) {
                return Err(refused);
            }
            let refresh = state.held.as_ref().and_then(|held| held.grant.refresh.as_ref());
            match (app.kind, refresh, &state.closed) {
                _ if state.is_to_be_numbered(now) => None,
                (AppKind::Own, _, _) => Some(Ask::ClientCredentials),
                (_, Some(refresh), _) => Some(Ask::Refresh(refresh.token.clone())),
                (_, None, Some(closed)) => return Err(closed.clone()),
                (_, None, None) => return Err(Refused::Never { app: app.name.clone() }),
            }
        };
        match ask {
            Some(ask) => self.ask(cell, turn, tenant, app, ask).await,
            None => {
                let numbered = self.number(&cell, tenant, app).await;
                if let Err(refused) = &numbered {
                    cell.state().refuse(refused.clone(), app, Instant::now());
                }
                numbered
            }
        }
    }

    /// Asks Shopify, and keeps the grant before anybody uses it. Runs in a task of its own: if the caller stopped
    /// waiting, the grant would be lost.
    async fn ask(
        &self,
        cell: Arc<Cell>,
        turn: OwnedMutexGuard<()>,
        tenant: &Tenant,
        app: &Arc<App>,
        ask: Ask,
    ) -> Result<Token, Refused> {
        let (own, tenant, app) = (self.clone(), tenant.clone(), app.clone());
        let asked = tokio::spawn(async move {
            let _turn = turn;
            let asked = own.asked(&cell, &tenant, &app, &ask).await;
            own.note(&cell, &tenant.name, &app, &ask, asked.as_ref().err());
            asked
        });
        asked.await.unwrap_or_else(|_| Err(later("asking for a token ended in a panic".into())))
    }

    async fn asked(&self, cell: &Cell, tenant: &Tenant, app: &App, ask: &Ask) -> Result<Token, Refused> {
        let (url, form) = (format!("{}/admin/oauth/access_token", tenant.shopify.url), ask.form(app));
        let asked_at = clock::now();
        let mut answer = self.0.client.post_form(&url, &form).await;
        if answer.as_ref().is_err_and(|not| not.is_lost) && ask.is_repeatable() {
            // The first request may have succeeded. The refresh token stays valid for a moment, and gives the same
            // answer.
            answer = self.0.client.post_form(&url, &form).await;
        }
        let grant = grant::read(app, &answer.map_err(|not| later(not.why))?, asked_at)?;
        let token = self.hold(cell, tenant, app, ask, grant).await?;
        if cell.state().is_to_be_numbered(clock::now()) { self.number(cell, tenant, app).await } else { Ok(token) }
    }

    /// Keeps a grant, and returns its token. A merchant may have approved it for a different shop than before.
    async fn hold(&self, cell: &Cell, tenant: &Tenant, app: &App, ask: &Ask, grant: Grant) -> Result<Token, Refused> {
        let is_numbered = ask.is_repeatable() && cell.state().held.as_ref().is_none_or(|held| held.is_numbered);
        let text = grant.access_token.clone();
        let held = Arc::new(Held { how: ask.name().to_owned(), grant, is_numbered });
        cell.state().unkept = Some(held.clone());
        let revision = self.keep(cell, tenant, app, held).await.map_err(|error| later(format!("{error:#}")))?;
        Ok(Token { text, revision: Some(revision) })
    }

    /// Stores a grant on disk, then puts it into use. Returns its revision.
    async fn keep(&self, cell: &Cell, tenant: &Tenant, app: &App, held: Arc<Held>) -> anyhow::Result<i64> {
        let text = held.sealed(&self.keys(), &tenant.name, &app.client_id, &cell.shop)?;
        let mut old = cell.state().revision;
        let journal = &self.0.journal;
        for _ in 0..KEPT_TRIES {
            if let Some(revision) = journal.keep_grant(&tenant.name, &app.client_id, old, Some(text.clone())).await? {
                let is_news = held.is_numbered;
                cell.state().keep(revision, held);
                if is_news {
                    self.tell(&tenant.name);
                }
                return Ok(revision);
            }
            let row = journal.read(|reader| reader.grant(&tenant.name, &app.client_id))?;
            let row = row.context("the tenant was removed meanwhile")?;
            if app.kind != AppKind::Own || row.shop != cell.shop {
                bail!("another process keeps grants of this tenant, too");
            }
            // `tandem setup`, running beside the host, has kept a grant. An app of the `own` kind may have any number
            // of tokens.
            old = row.revision;
        }
        bail!("others keep grants of this tenant, too")
    }

    /// Counts and logs the result of a request, and remembers a refusal for the next request. The refusal of a code or
    /// a session token says nothing about the stored grant.
    fn note(&self, cell: &Cell, tenant: &str, app: &Arc<App>, ask: &Ask, refused: Option<&Refused>) {
        self.0.journal.metrics().asked_for_token(&app.name, refused.map_or("granted", Refused::code));
        let mut not_accepted = self.0.not_accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(refused) = refused else {
            not_accepted.remove(&app.client_id);
            tracing::info!(tenant, app = app.name, "has a new token");
            return;
        };
        let is_news = !ask.is_repeatable() || cell.state().refuse(refused.clone(), app, Instant::now());
        let is_of_app = matches!(refused, Refused::Client { .. });
        if is_news && (!is_of_app || not_accepted.insert(app.client_id.clone())) {
            tracing::error!(tenant, app = app.name, blame = "peer", "{refused}");
        }
    }

    fn tell(&self, tenant: &str) {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned());
        self.0.told.notify_waiters();
    }

    fn known(&self, tenant: &str, app: &App) -> Option<Arc<Cell>> {
        self.cells().get(&(tenant.to_owned(), app.client_id.clone())).cloned()
    }

    /// Takes over the shop that a tenant has now. The grant of another shop is dropped, and so is its webhook address,
    /// because that shop's webhooks still arrive there.
    pub async fn settle(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let Some(app) = tenant.shopify.app() else { return Ok(()) };
        let shop = &tenant.shop;
        self.0.journal.settle_grant(&tenant.name, &app.client_id, shop, webhook_key()?).await?;
        self.cells().retain(|(of, _), cell| *of != tenant.name || cell.shop == *shop);
        Ok(())
    }

    async fn cell(&self, tenant: &Tenant, app: &App) -> Result<Arc<Cell>, Refused> {
        if let Some(known) = self.known(&tenant.name, app).filter(|cell| cell.shop == tenant.shop) {
            return Ok(known);
        }
        let key = webhook_key().map_err(|error| later(format!("{error:#}")))?;
        let row = self.0.journal.grant_row(&tenant.name, &app.client_id, &tenant.shop, key).await;
        let row = row.map_err(|error| later(format!("{error:#}")))?;
        if row.shop != tenant.shop {
            return Err(later(format!("the tenant's shop is {} by now", row.shop)));
        }
        let state = self.opened(&row);
        let cell = Arc::new(Cell::new(row.shop, row.webhook_key, state));
        let mut cells = self.cells();
        let known = cells.entry((tenant.name.clone(), app.client_id.clone())).or_insert_with(|| cell.clone());
        // If two tasks have read the row at once, the first cell stays, unless the tenant has a different shop by now.
        if known.shop != cell.shop {
            *known = cell;
        }
        Ok(known.clone())
    }

    fn opened(&self, row: &GrantRow) -> State {
        let mut state = State::of(row.revision);
        state.is_dropped = row.is_dropped;
        match Held::opened(&self.keys(), row) {
            Ok(None) => {}
            Ok(Some((held, is_newest))) => (state.held, state.is_newest) = (Some(Arc::new(held)), is_newest),
            Err(refused) => state.closed = Some(refused),
        }
        state
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Cell>>> {
        self.0.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> Keys {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn webhook_key() -> anyhow::Result<String> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("drawing a key: {error}"))?;
    Ok(hex::encode(key))
}

fn later(why: String) -> Refused {
    Refused::Later { why, after_ms: None }
}
