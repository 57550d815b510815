//! What a merchant and an app's developer do, as methods for tests: install, approve, uninstall, rotate a secret; and the
//! signed queries and session tokens that Shopify makes. Knows nothing of pages.

use super::links::Visit;
use super::{AppOptions, Recipient, STAFF, SessionToken, TokenCounts, hooks, tokens};
use crate::lock;
use crate::shopify::{Core, Shopify, webhooks};

/// A merchant's answer to `GET /admin/oauth/authorize`.
#[derive(Clone, Debug, Default)]
pub struct Approval {
    pub redirect_uri: String,
    /// Handed back as it is.
    pub state: Option<String>,
    /// What is granted; `None` for the scopes of the app's configuration.
    pub scopes: Option<Vec<String>>,
    /// With `grant_options[]=per-user`: the member of staff whom the token is for.
    pub user: Option<u64>,
}

impl Shopify {
    /// Managed installation: Shopify grants the scopes of the app's configuration and does not call the app. Of an app that
    /// is installed it renews the scopes. False when there is no such app.
    pub fn install(&self, client_id: &str) -> bool {
        self.core.install(client_id)
    }

    /// Ends every token and code of the app at once, deletes its subscriptions, and tells `app/uninstalled`, signed with
    /// its secret, to those of them that are for it and to its configured address. False when it is not installed.
    pub fn uninstall(&self, client_id: &str) -> bool {
        self.core.uninstall(client_id)
    }

    pub fn is_installed(&self, client_id: &str) -> bool {
        lock(&self.core.apps).find(client_id).is_some_and(|app| app.granted.is_some())
    }

    /// Gives the app a new client secret; what was the secret becomes the previous one. False when there is no such app.
    pub fn rotate_secret(&self, client_id: &str, new: &str) -> bool {
        self.edit_app(client_id, |app| app.rotate(new))
    }

    /// Ends every token of the app, refresh tokens included, while it stays installed. False when there is no such app.
    pub fn revoke_tokens(&self, client_id: &str) -> bool {
        lock(&self.core.apps).find_mut(client_id).map(|app| app.book.clear()).is_some()
    }

    /// Changes what the developer has set up; scopes that were granted stay as they are. False when there is no such app.
    pub fn edit_app(&self, client_id: &str, change: impl FnOnce(&mut AppOptions)) -> bool {
        lock(&self.core.apps).find_mut(client_id).map(|app| change(&mut app.options)).is_some()
    }

    /// The app as it is set up now.
    pub fn app(&self, client_id: &str) -> Option<AppOptions> {
        lock(&self.core.apps).find(client_id).map(|app| app.options.clone())
    }

    /// The query with which Shopify opens the App URL now: `hmac host shop timestamp`, and for an embedded app `embedded
    /// id_token locale session`. `None` when there is no such app.
    pub fn app_url_query(&self, client_id: &str) -> Option<String> {
        self.core.visit(client_id, |visit, random| visit.query(STAFF, random))
    }

    /// The App URL with that query.
    pub fn app_url(&self, client_id: &str) -> Option<String> {
        self.core.visit(client_id, |visit, random| visit.app_url(STAFF, random))
    }

    /// A session token made now. `None` when there is no such app.
    pub fn session_token(&self, client_id: &str, token: &SessionToken) -> Option<String> {
        self.core.visit(client_id, |visit, random| token.sign(visit.app, visit.shop, visit.now_ms, random))
    }

    /// Approves what an app asks for at `GET /admin/oauth/authorize`, which installs it; gives the address that the browser
    /// is sent to, `redirect_uri` with `code hmac host shop state timestamp`. Otherwise what Shopify finds wrong.
    pub fn approve(&self, client_id: &str, approval: &Approval) -> Result<String, String> {
        self.core.approve(client_id, approval)
    }

    /// What the token endpoint did for an app; zeros when there is no such app.
    pub fn token_counts(&self, client_id: &str) -> TokenCounts {
        lock(&self.core.apps).find(client_id).map(|app| app.counted()).unwrap_or_default()
    }

    /// From now on the token endpoint holds its answers back for so many milliseconds; what it does is done before.
    pub fn set_token_delay_ms(&self, delay_ms: u64) {
        lock(&self.core.apps).delay_ms = delay_ms;
    }
}

impl Core {
    pub(super) fn install(&self, client_id: &str) -> bool {
        let mut apps = lock(&self.apps);
        let Some(app) = apps.find_mut(client_id) else { return false };
        app.install(app.options.scopes.clone());
        true
    }

    pub(super) fn uninstall(&self, client_id: &str) -> bool {
        const TOPIC: &str = "app/uninstalled";
        let mut state = lock(&self.state);
        state.store.now_ms = self.clock.now_ms();
        let told: Vec<Recipient> = {
            let mut apps = lock(&self.apps);
            let Some(app) = apps.find_mut(client_id) else { return false };
            if !app.uninstall() {
                return false;
            }
            hooks::of_app(app, &state.store.subscriptions, TOPIC)
        };
        state.store.subscriptions.retain(|one| one.app.as_deref() != Some(client_id));
        let (body, event_id) = (webhooks::shop(&state.store.facts), crate::uuid(&mut state.random));
        self.send(&mut state, TOPIC, &body, &event_id, told);
        true
    }

    pub(super) fn approve(&self, client_id: &str, approval: &Approval) -> Result<String, String> {
        let Approval { redirect_uri, state, scopes, user } = approval;
        let (mut apps, now_ms) = (lock(&self.apps), self.clock.now_ms());
        let mut random = apps.random.fork();
        let app = apps.find_mut(client_id).ok_or(NO_APP)?;
        if !app.options.redirect_urls.contains(redirect_uri) {
            return Err(NO_REDIRECT.to_owned());
        }
        let scopes = scopes.clone().unwrap_or_else(|| app.options.scopes.clone());
        app.install(scopes.clone());
        let code = tokens::give_code(app, &mut random, now_ms, scopes, *user);
        let shop = self.shop();
        let visit = Visit { app: &app.options, shop: &shop, now_ms };
        Ok(visit.callback(redirect_uri, &code, state.as_deref()))
    }

    /// Gives an act the app, the shop and the time.
    pub(super) fn visit<T>(&self, client_id: &str, act: impl FnOnce(&Visit, &mut fastrand::Rng) -> T) -> Option<T> {
        let mut apps = lock(&self.apps);
        let mut random = apps.random.fork();
        let app = &apps.find(client_id)?.options;
        Some(act(&Visit { app, shop: &self.shop(), now_ms: self.clock.now_ms() }, &mut random))
    }
}

/// Both as public threads show them (Shopify/embedded-app-example #32, Shopify/shopify_app #1531).
pub(super) const NO_APP: &str = "invalid_request: Could not find Shopify API application with api_key";
pub(super) const NO_REDIRECT: &str = "invalid_request: The redirect_uri is not whitelisted";
