//! Tenants that come, change and go while the host runs, with credentials and webhook secrets that nobody is shown again.
//!
//! Knows the journal, where they are kept sealed, and whom to tell; neither HTTP nor what a tenant's rules are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::clock;
use crate::config::{self, Apps, Credential, Peer, Quota, RulesFrom, Tenant, WebhookSecret};
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::journal::{Deed, Journal};
use crate::mapping::Control;
use crate::model::{self, Millis};
use crate::tenants::{Taken, Tenants};
use crate::vault::{Keys, Sealed};

/// Webhook secrets of one side, those that end soon included.
const WEBHOOK_SECRETS_MAX: usize = 8;
const SECRET_CHARS_MAX: usize = 4096;
const URL_CHARS_MAX: usize = 1024;

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    journal: Journal,
    tenants: Tenants,
    delivery: Arc<Delivery>,
    credentials: Credentials,
    lanes: Control,
    keys: RwLock<Keys>,
    /// `host:port` of each address that may be plain HTTP or private.
    allow: Vec<String>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// What is kept of a tenant.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Account {
    pub shop: String,
    pub shopify: Side,
    pub omneo: Side,
    #[serde(default)]
    pub limits: Quota,
    pub added_at: Millis,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Side {
    pub url: String,
    pub per_minute: Option<u32>,
    /// Of Shopify: the app, by its name in the configuration, in place of a token and webhook secrets.
    #[serde(default)]
    pub app: Option<String>,
    pub token: Option<Secret>,
    pub webhook_secrets: Vec<Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Secret {
    /// What it is called where it cannot be shown.
    pub id: String,
    #[serde(flatten)]
    sealed: Sealed,
    pub added_at: Millis,
    pub ends_at: Option<Millis>,
}

/// A tenant to be added, or what there is to change of one: what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub shop: Option<String>,
    pub shopify: WantedSide,
    pub omneo: WantedSide,
    /// By their names.
    pub limits: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct WantedSide {
    pub url: Option<String>,
    /// Calls a minute; 0 for no limit.
    pub per_minute: Option<u32>,
}

/// The secrets of a side of a tenant to be added.
#[derive(Clone, Default)]
pub struct Secrets {
    /// In place of the others.
    pub app: Option<String>,
    pub token: Option<String>,
    pub webhook_secrets: Vec<String>,
}

/// Why nothing has changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error(
        "tenant `{0}` stands in the configuration\nhint: change it there, and send the host SIGHUP, or start it again"
    )]
    Configured(String),
    #[error("there is a tenant `{0}`")]
    Exists(String),
    #[error(
        "a tenant `{name}` was removed whose shop was `{shop}`, and its events may still be here\nhint: use another name"
    )]
    Former { name: String, shop: String },
    #[error("another tenant has the shop `{0}`: its webhooks go to one address for all")]
    ShopTaken(String),
    #[error(
        "there is no key to seal secrets with\nhint: `openssl rand -hex 32` makes one; `[secrets] keys = [\"env:TANDEM_KEY\"]` in the configuration names it"
    )]
    NoKey,
    #[error("{0}")]
    Unfit(String),
    #[error("there is no webhook secret `{0}`")]
    NoSecret(String),
    #[error(
        "it is the last webhook secret that stays: soon no webhook could be verified without it\nhint: add another first"
    )]
    LastSecret,
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// A tenant that is kept in the journal.
pub struct Kept {
    pub tenant: Tenant,
    /// Why its secrets cannot be opened, if so: then the tenant has none here.
    pub closed: Option<String>,
}

/// The tenants that are kept in the journal. What an older key has sealed is sealed with the newest one now. What is wrong
/// with one tenant keeps no other from running.
pub async fn kept(journal: &Journal, keys: &Keys, apps: &Apps) -> anyhow::Result<Vec<Kept>> {
    let mut tenants = vec![];
    for (name, text) in journal.read(|reader| reader.accounts())? {
        let mut account: Account = match serde_json::from_str(&text) {
            Ok(account) => account,
            Err(error) => {
                tracing::error!(
                    tenant = name,
                    blame = "host",
                    "its account in the journal is damaged, and it waits: {error}"
                );
                continue;
            }
        };
        let kept = account.opened_or_closed(&name, keys, apps);
        if kept.closed.is_none() && account.reseal(&name, keys)? {
            journal.keep_account(&name, serde_json::to_string(&account)?, None).await?;
            tracing::info!(tenant = name, "its secrets are sealed with the newest key now");
        }
        tenants.push(kept);
    }
    Ok(tenants)
}

/// Removes a tenant from a journal that no host runs on; gives its shop. One that stood in the configuration has its shop
/// named.
pub async fn remove_offline(journal: &Journal, name: &str, shop: Option<&str>) -> anyhow::Result<String> {
    let account = journal.read(|reader| reader.account(name))?;
    let known = account.and_then(|text| serde_json::from_str::<Account>(&text).ok()).map(|account| account.shop);
    let Some(shop) = known.or(shop.map(model::shop)) else {
        bail!(
            "tenant `{name}` was not added over the admin API, and the journal does not say which shop it was\nhint: if it stood in the configuration, name the shop: `--shop {name}.myshopify.com`"
        );
    };
    let what = format!("removed tenant {name} beside the stopped host");
    journal.remove_tenant(name, &shop, deed("tandem tenant remove", name, what)).await?;
    Ok(shop)
}

impl Accounts {
    pub fn new(
        journal: Journal,
        tenants: Tenants,
        delivery: Arc<Delivery>,
        credentials: Credentials,
        lanes: Control,
        config: &config::Config,
    ) -> Self {
        let (keys, allow, changing) = (RwLock::new(config.keys.clone()), config.allow.clone(), Mutex::default());
        Self(Arc::new(Inner { journal, tenants, delivery, credentials, lanes, keys, allow, changing }))
    }

    /// Goes by other keys from now on, and by the apps that there are now: who could not be opened with those before is taken in and
    /// sent to again.
    pub async fn reopen(&self, keys: Keys) -> anyhow::Result<()> {
        let _alone = self.0.changing.lock().await;
        for Kept { tenant, closed } in kept(&self.0.journal, &keys, &self.0.credentials.apps()).await? {
            let name = tenant.name.clone();
            // One that did not come to be at start has the name or the shop of another.
            if self.0.tenants.get(&name).is_some() && self.0.tenants.set(tenant).is_ok() {
                self.0.delivery.set_closed(&name, closed);
                self.0.delivery.credentials_changed(&name, "shopify");
            }
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn keys(&self) -> Keys {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is kept of a tenant; `None` if it stands in the configuration. Blocks.
    pub fn show(&self, tenant: &str) -> anyhow::Result<Option<Account>> {
        let text = self.0.journal.read(|reader| reader.account(tenant))?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Adds a tenant. Until a version is activated, its events wait. What one of its name has left that stood in the
    /// configuration goes on at the next start of the host.
    pub async fn add(&self, name: &str, wanted: Wanted, secrets: [Secrets; 2], by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        config::check_name(name).map_err(Refused::Unfit)?;
        if self.0.tenants.get(name).is_some() {
            return Err(Refused::Exists(name.to_owned()));
        }
        if self.keys().is_empty() {
            return Err(Refused::NoKey);
        }
        let shop = wanted.shop.as_deref().ok_or_else(|| Refused::Unfit("`shop` is missing".into()))?;
        let shop = model::shop(shop);
        let removed = self.0.journal.read(|reader| reader.removed_shop(name))?;
        if let Some(other) = removed.filter(|other| model::shop(other) != shop) {
            return Err(Refused::Former { name: name.to_owned(), shop: other });
        }
        let [shopify, omneo] = secrets;
        let side = |target: &str, url: String, secrets: Secrets| {
            let Secrets { app, token, webhook_secrets } = secrets;
            if let Some(app) = app {
                let is_whole = token.is_none() && webhook_secrets.is_empty() && target == "shopify";
                if !is_whole {
                    return Err(Refused::Unfit(format!(
                        "`{target}.app` is for Shopify alone, in place of a token and webhook secrets"
                    )));
                }
                return Ok(Side { url, per_minute: None, app: Some(app), token: None, webhook_secrets: vec![] });
            }
            let token = token.ok_or_else(|| Refused::Unfit(format!("`{target}.token` is missing")))?;
            if webhook_secrets.is_empty() {
                return Err(Refused::Unfit(format!(
                    "no webhook of {target} could be verified\nhint: give `webhook_secrets` at least one secret"
                )));
            }
            let seal = |kind, text: &str| self.seal(name, target, kind, text);
            Ok(Side {
                url,
                per_minute: None,
                app: None,
                token: Some(seal(Kind::Token, &token)?),
                webhook_secrets: webhook_secrets
                    .iter()
                    .map(|text| seal(Kind::Webhook, text))
                    .collect::<Result<_, _>>()?,
            })
        };
        let omneo_url = wanted.omneo.url.clone();
        let omneo_url = omneo_url.ok_or_else(|| {
            Refused::Unfit("`omneo.url` is missing\nhint: it is like `https://api.acme.getomneo.com/api/v3`".into())
        })?;
        let account = Account {
            shopify: side("shopify", format!("https://{shop}"), shopify)?,
            omneo: side("omneo", omneo_url, omneo)?,
            shop,
            limits: Quota::default(),
            added_at: clock::now(),
        };
        self.keep(name, account, &wanted, by, format!("added tenant {name}")).await
    }

    /// Changes what is no secret.
    pub async fn change(&self, name: &str, wanted: Wanted, by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let account = self.account(name)?;
        self.keep(name, account, &wanted, by, "changed its shop, addresses, rates or limits".into()).await
    }

    /// Takes no more webhooks of a tenant and sends no more calls; forgets its secrets, and discards what is not over.
    pub async fn remove(&self, name: &str, by: &str) -> Result<(), Refused> {
        let _alone = self.0.changing.lock().await;
        let account = self.account(name)?;
        // First, so that nothing is taken in that would be left over.
        let known = self.0.tenants.get(name);
        self.0.tenants.remove(name);
        let deed = deed(by, name, format!("removed tenant {name}"));
        if let Err(error) = self.0.journal.remove_tenant(name, &account.shop, deed).await {
            let back = known.map(|known| self.0.tenants.set((*known).clone()));
            debug_assert!(matches!(back, Some(Ok(()))), "nobody else could take its shop: changes are one at a time");
            return Err(error.into());
        }
        self.0.delivery.forget(name);
        self.0.credentials.forget(name);
        Ok(self.0.lanes.leave(name).await?)
    }

    /// Gives a side other credentials. Calls that wait because the old ones were refused are sent.
    pub async fn set_token(&self, name: &str, target: &str, token: &str, by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let mut account = self.account(name)?;
        account.has_no_app(target)?.token = Some(self.seal(name, target, Kind::Token, token)?);
        let what = format!("gave {target} another token");
        let account = self.keep(name, account, &Wanted::default(), by, what).await?;
        self.0.delivery.credentials_changed(name, target);
        Ok(account)
    }

    /// Adds a webhook secret; the ones before it end after a time, so that what was signed with them meanwhile still
    /// comes in.
    pub async fn add_webhook_secret(
        &self,
        name: &str,
        target: &str,
        secret: &str,
        overlap_ms: Millis,
        by: &str,
    ) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let mut account = self.account(name)?;
        let added = self.seal(name, target, Kind::Webhook, secret)?;
        let end = added.added_at.saturating_add(overlap_ms);
        let secrets = &mut account.has_no_app(target)?.webhook_secrets;
        for old in secrets.iter_mut() {
            old.ends_at = Some(old.ends_at.map_or(end, |ends| ends.min(end)));
        }
        let what = format!("added webhook secret {} of {target}", added.id);
        secrets.push(added);
        self.keep(name, account, &Wanted::default(), by, what).await
    }

    /// Ends a webhook secret now.
    pub async fn end_webhook_secret(&self, name: &str, target: &str, id: &str, by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let mut account = self.account(name)?;
        let now = clock::now();
        let secrets = &mut account.has_no_app(target)?.webhook_secrets;
        let Some(place) = secrets.iter().position(|secret| secret.id == id && secret.is_in_force(now)) else {
            return Err(Refused::NoSecret(id.to_owned()));
        };
        secrets.remove(place);
        // One that ends by itself would leave nothing.
        if !secrets.iter().any(|secret| secret.ends_at.is_none()) {
            return Err(Refused::LastSecret);
        }
        self.keep(name, account, &Wanted::default(), by, format!("ended webhook secret {id} of {target}")).await
    }

    fn account(&self, name: &str) -> Result<Account, Refused> {
        self.show(name)?.ok_or_else(|| Refused::Configured(name.to_owned()))
    }

    fn seal(&self, name: &str, target: &str, kind: Kind, text: &str) -> Result<Secret, Refused> {
        if text.is_empty() || text.chars().count() > SECRET_CHARS_MAX || text.contains(char::is_control) {
            let what = kind.place(name, target);
            return Err(Refused::Unfit(format!("the {what} is a line of 1 to {SECRET_CHARS_MAX} characters")));
        }
        if self.keys().is_empty() {
            return Err(Refused::NoKey);
        }
        let id = hex::encode(fastrand::u32(..).to_be_bytes());
        let sealed = self.keys().seal(&kind.place(name, target), text)?;
        Ok(Secret { id, sealed, added_at: clock::now(), ends_at: None })
    }

    /// Checks an account with what is wanted of it, keeps it, and has the stages go by it.
    async fn keep(
        &self,
        name: &str,
        mut account: Account,
        wanted: &Wanted,
        by: &str,
        what: String,
    ) -> Result<Account, Refused> {
        let now = clock::now();
        for side in [&mut account.shopify, &mut account.omneo] {
            side.webhook_secrets.retain(|secret| secret.is_in_force(now));
        }
        account.take(wanted).map_err(Refused::Unfit)?;
        account.check(&self.0.allow, &self.0.credentials.apps()).map_err(Refused::Unfit)?;
        if self.0.tenants.of_shop(&account.shop).is_some_and(|other| other.name != name) {
            return Err(Refused::ShopTaken(account.shop));
        }
        let tenant = account
            .open(name, &self.keys(), &self.0.credentials.apps())
            .map_err(|error| Refused::Unfit(format!("{error:#}")))?;
        let text = serde_json::to_string(&account).context("keeping the account")?;
        self.0.journal.keep_account(name, text, Some(deed(by, name, what))).await?;
        self.0.tenants.set(tenant).map_err(|Taken| Refused::ShopTaken(account.shop.clone()))?;
        self.0.delivery.set_closed(name, None);
        Ok(account)
    }
}

impl Account {
    fn side(&mut self, target: &str) -> Result<&mut Side, Refused> {
        match target {
            "shopify" => Ok(&mut self.shopify),
            "omneo" => Ok(&mut self.omneo),
            _ => Err(Refused::Unfit(format!("there is no target `{target}`"))),
        }
    }

    /// A side whose token and webhook secrets are its own.
    fn has_no_app(&mut self, target: &str) -> Result<&mut Side, Refused> {
        let side = self.side(target)?;
        match &side.app {
            None => Ok(side),
            Some(app) => Err(Refused::Unfit(format!(
                "its token and webhook secrets are those of the app `{app}`\nhint: `[apps.{app}]` in the configuration has them"
            ))),
        }
    }

    fn take(&mut self, wanted: &Wanted) -> Result<(), String> {
        if let Some((name, _)) = wanted.limits.iter().find(|(name, limit)| !self.limits.set(name, **limit)) {
            let names: Vec<_> = Quota::names().map(|name| format!("`{name}`")).collect();
            return Err(format!("there is no limit `{name}`\nhint: there are {}", names.join(", ")));
        }
        let address = |shop: &str| format!("https://{shop}");
        if let Some(shop) = &wanted.shop {
            let shop = model::shop(shop);
            // Or its people would be written into the shop of before.
            if self.shopify.url == address(&self.shop) {
                self.shopify.url = address(&shop);
            }
            self.shop = shop;
        }
        for (side, wanted) in [(&mut self.shopify, &wanted.shopify), (&mut self.omneo, &wanted.omneo)] {
            if let Some(url) = &wanted.url {
                url.trim_end_matches('/').clone_into(&mut side.url);
            }
            if let Some(rate) = wanted.per_minute {
                side.per_minute = (rate > 0).then_some(rate);
            }
        }
        Ok(())
    }

    fn check(&self, allow: &[String], apps: &Apps) -> Result<(), String> {
        let mut problems: Vec<_> = self.limits.problems().into_iter().map(|(_, why)| why).collect();
        problems.extend(model::no_shop(&self.shop));
        if let Some(name) = &self.shopify.app {
            if !apps.contains_key(name) {
                problems.push(no_app(name));
            }
            if model::shop_of_shopify(&self.shop).is_none() {
                problems.push(format!("`{}` is no shop that an app can be installed in", self.shop));
            }
            if self.shopify.url != format!("https://{}", self.shop) {
                problems.extend(config::check_app_url(&self.shopify.url, allow).err());
            }
        }
        for side in [&self.shopify, &self.omneo] {
            if side.url.len() > URL_CHARS_MAX {
                problems.push(format!("an address has {URL_CHARS_MAX} characters at most"));
            } else if let Err(why) = config::check_url(&side.url, allow) {
                problems.push(why);
            }
            if side.webhook_secrets.len() > WEBHOOK_SECRETS_MAX {
                problems.push(format!(
                    "a side has {WEBHOOK_SECRETS_MAX} webhook secrets at most\nhint: end one that is not used any more"
                ));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    fn opened_or_closed(&self, name: &str, keys: &Keys, apps: &Apps) -> Kept {
        match self.open(name, keys, apps) {
            Ok(tenant) => Kept { tenant, closed: None },
            Err(error) => {
                let peer = |side: &Side| {
                    // It keeps its app, by which it is known where webhooks come in; and no secret.
                    let app = side.app.as_ref().and_then(|app| apps.get(app)).cloned();
                    let of_app = app.map(|app| Peer::of_app(side.url.clone(), app, side.per_minute));
                    let peer = of_app.unwrap_or_else(|| Peer::with_token(&side.url, ""));
                    Peer { webhook_secrets: vec![], per_minute: side.per_minute, ..peer }
                };
                let tenant = self.tenant(name, peer(&self.shopify), peer(&self.omneo));
                Kept { tenant, closed: Some(format!("its secrets cannot be opened: {error:#}")) }
            }
        }
    }

    fn open(&self, name: &str, keys: &Keys, apps: &Apps) -> anyhow::Result<Tenant> {
        let side = |target: &str, side: &Side| {
            if let Some(app) = &side.app {
                let app = apps.get(app).cloned().with_context(|| no_app(app))?;
                return Ok(Peer::of_app(side.url.clone(), app, side.per_minute));
            }
            let token = side.token.as_ref().context("its account has neither a token nor an app")?;
            let open = |kind: Kind, secret: &Secret| keys.open(&kind.place(name, target), &secret.sealed);
            let webhook_secret =
                |secret: &Secret| Ok(WebhookSecret { secret: open(Kind::Webhook, secret)?, ends_at: secret.ends_at });
            Ok::<_, anyhow::Error>(Peer {
                url: side.url.clone(),
                credential: Credential::Token(open(Kind::Token, token)?),
                webhook_secrets: side.webhook_secrets.iter().map(webhook_secret).collect::<anyhow::Result<_>>()?,
                per_minute: side.per_minute,
            })
        };
        Ok(self.tenant(name, side("shopify", &self.shopify)?, side("omneo", &self.omneo)?))
    }

    fn tenant(&self, name: &str, shopify: Peer, omneo: Peer) -> Tenant {
        // An older host kept the shop as it was written.
        let (name, shop) = (name.to_owned(), model::shop(&self.shop));
        Tenant { name, shop, rules: RulesFrom::Deployed, shopify, omneo, limits: self.limits }
    }

    /// Seals with the newest key what an older one has sealed. `false`: nothing was.
    fn reseal(&mut self, name: &str, keys: &Keys) -> anyhow::Result<bool> {
        let mut any = false;
        for (target, side) in [("shopify", &mut self.shopify), ("omneo", &mut self.omneo)] {
            let token = side.token.iter_mut().map(|token| (Kind::Token, token));
            let secrets = side.webhook_secrets.iter_mut().map(|secret| (Kind::Webhook, secret));
            for (kind, secret) in token.chain(secrets).filter(|(_, secret)| !keys.is_newest(&secret.sealed)) {
                let place = kind.place(name, target);
                secret.sealed = keys.seal(&place, &keys.open(&place, &secret.sealed)?)?;
                any = true;
            }
        }
        Ok(any)
    }
}

impl Secret {
    pub fn is_in_force(&self, now: Millis) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Token,
    Webhook,
}

impl Kind {
    /// What a secret is for: it opens for that alone.
    fn place(self, tenant: &str, target: &str) -> String {
        match self {
            Self::Token => format!("token of {target} of tenant `{tenant}`"),
            Self::Webhook => format!("webhook secret of {target} of tenant `{tenant}`"),
        }
    }
}

fn no_app(name: &str) -> String {
    format!("there is no app `{name}`\nhint: `[apps.{name}]` in the configuration says what it is")
}

fn deed(by: &str, tenant: &str, what: String) -> Deed {
    Deed { by: by.to_owned(), tenant: Some(tenant.to_owned()), what }
}
