//! Tenants that are added, changed and removed while the host runs, with credentials and webhook secrets that are never
//! shown again.
//!
//! Knows the journal, where tenants are kept with sealed secrets, and which stages to inform. Knows neither HTTP nor a
//! tenant's rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, bail};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

use crate::clock;
use crate::config::{self, Apps, Quota, Tenant};
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::journal::{Deed, Journal};
use crate::mapping::{Control, Farewell};
use crate::model::{self, Millis};
use crate::tenants::{Taken, Tenants};
use crate::vault::Keys;

mod account;

use account::Kind;
pub use account::{Account, Secret, Side};

const SECRET_CHARS_MAX: usize = 4096;

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
    /// Held during a change, so that changes happen one at a time.
    changing: Mutex<()>,
}

/// A tenant to be added, or the changes to a tenant. An absent value stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub shop: Option<String>,
    pub shopify: WantedSide,
    pub omneo: WantedSide,
    /// Limits by name.
    pub limits: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct WantedSide {
    pub url: Option<String>,
    /// Calls a minute; 0 for no limit.
    pub per_minute: Option<u32>,
}

/// The secrets of one side of a tenant that is to be added.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The name of an app, which replaces a token and webhook secrets.
    pub app: Option<String>,
    pub token: Option<String>,
    pub webhook_secrets: Vec<String>,
}

/// A tenant's Omneo tenant.
#[derive(Clone)]
pub struct Connection {
    /// The address of its API: `https://api.acme.getomneo.com/api/v3`.
    pub url: String,
    pub token: String,
    /// The secret with which Omneo signs its webhooks.
    pub webhook_secret: String,
}

/// Who connects a tenant to its Omneo tenant.
#[derive(Clone, Debug, PartialEq)]
pub enum Connector {
    /// An operator, who may also replace a connection.
    Operator { name: String },
    /// The tenant itself, with its token. It may not change to another Omneo tenant.
    Tenant { name: String },
    /// The merchant of this shop, while the shop is the tenant's and not connected yet.
    Merchant { shop: String },
}

/// Why nothing was changed.
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
    #[error("another tenant of this host has that Omneo tenant")]
    OmneoTaken,
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
    /// Why nothing is sent for the tenant: its secrets cannot be opened, so that it has none here, or Omneo is not
    /// connected yet. `None` if calls are sent.
    pub closed: Option<String>,
}

/// The tenants that are kept in the journal. Secrets that were sealed with an older key are sealed again with the
/// newest. A fault in one tenant does not keep the others from running.
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

/// Removes a tenant from a journal that no host uses, and returns its shop. For a tenant that was in the configuration,
/// the shop has to be given.
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

impl Secrets {
    fn is_empty(&self) -> bool {
        self.app.is_none() && self.token.is_none() && self.webhook_secrets.is_empty()
    }
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

    /// Replaces the keys, and takes over the apps of the present configuration. A tenant whose secrets can be opened
    /// now is served again.
    pub async fn reopen(&self, keys: Keys) -> anyhow::Result<()> {
        let _alone = self.0.changing.lock().await;
        for Kept { tenant, closed } in kept(&self.0.journal, &keys, &self.0.credentials.apps()).await? {
            let name = tenant.name.clone();
            // A tenant that was left out at start has the name or the shop of another one.
            if self.0.tenants.get(&name).is_some() && self.0.tenants.set(tenant).is_ok() {
                self.0.delivery.set_closed(&name, closed);
                self.0.delivery.credentials_changed(&name, "shopify");
                self.0.delivery.credentials_changed(&name, "omneo");
            }
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn keys(&self) -> Keys {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The account of a tenant; `None` if the tenant is in the configuration. Blocks.
    pub fn show(&self, tenant: &str) -> anyhow::Result<Option<Account>> {
        let text = self.0.journal.read(|reader| reader.account(tenant))?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Adds a tenant. Its events wait until a version is activated. If a tenant of this name was in the configuration
    /// before, its unfinished work continues at the next start of the host.
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
        let omneo = match wanted.omneo.url.clone() {
            Some(url) => side("omneo", url, omneo)?,
            // The merchant of an app's shop may connect Omneo later.
            None if shopify.app.is_some() && omneo.is_empty() => Side::unconnected(),
            None => {
                let why = "`omneo.url` is missing\nhint: it is like `https://api.acme.getomneo.com/api/v3`";
                return Err(Refused::Unfit(why.into()));
            }
        };
        let app = shopify.app.as_ref().and_then(|app| self.0.credentials.app(app));
        let address = app.map_or_else(|| format!("https://{shop}"), |app| app.address_of(&shop));
        let account = Account {
            shopify: side("shopify", address, shopify)?,
            omneo,
            shop,
            limits: Quota::default(),
            added_at: clock::now(),
        };
        self.keep(name, account, &wanted, by, format!("added tenant {name}")).await
    }

    /// Changes the values of a tenant that are not secret.
    pub async fn change(&self, name: &str, wanted: Wanted, by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let account = self.account(name)?;
        let before = account.shop.clone();
        let account =
            self.keep(name, account, &wanted, by, "changed its shop, addresses, rates or limits".into()).await?;
        if account.shop != before
            && let Some(tenant) = self.0.tenants.get(name)
        {
            self.0.credentials.settle(&tenant).await?;
        }
        Ok(account)
    }

    /// Continues a tenant under its shop's new domain. Its app needs a new grant.
    pub async fn move_shop(&self, name: &str, from: &str, shop: &str, client_id: &str) -> Result<(), Refused> {
        let _alone = self.0.changing.lock().await;
        let account = self.account(name)?;
        if account.shop != from {
            return Err(Refused::Unfit(format!("its shop was changed to `{}` meanwhile", account.shop)));
        }
        let wanted = Wanted { shop: Some(shop.to_owned()), ..Wanted::default() };
        let by = format!("merchant of {shop}");
        let deed = deed(&by, name, format!("its shop is {shop} now, and was {}", account.shop));
        let Checked { account, tenant, text } = self.checked(name, account, &wanted)?;
        self.0.journal.keep_moved(name, client_id, shop, text, deed).await?;
        self.0.credentials.forget(name);
        self.go_by(tenant, &account)
    }

    /// Answers requests to disconnect tenants from Omneo, for as long as requests may come.
    pub async fn let_go(self, mut asked: UnboundedReceiver<Farewell>) {
        while let Some(Farewell { tenant, done }) = asked.recv().await {
            // If nobody waits for the answer, the host is stopping, and the request is made again.
            let _ = done.send(self.disconnect(&tenant).await);
        }
    }

    /// Forgets Omneo's token and webhook secrets because the shop is redacted. When the app is installed again, Omneo
    /// has to be connected again. `false` if there are no such secrets here, or if they are in the configuration.
    async fn disconnect(&self, name: &str) -> anyhow::Result<bool> {
        let _alone = self.0.changing.lock().await;
        let Some(mut account) = self.show(name)?.filter(Account::is_connected) else { return Ok(false) };
        account.omneo = Side::unconnected();
        let what = "forgot Omneo's token and webhook secrets: the shop is redacted".to_owned();
        self.keep(name, account, &Wanted::default(), "shop/redact", what).await?;
        self.0.delivery.credentials_changed(name, "omneo");
        Ok(true)
    }

    /// Removes a tenant: takes no more of its webhooks, sends no more of its calls, forgets its secrets, and discards
    /// its unfinished events.
    pub async fn remove(&self, name: &str, by: &str) -> Result<(), Refused> {
        let _alone = self.0.changing.lock().await;
        let account = self.account(name)?;
        // The tenant is removed here first, so that no webhook is taken in that would be left over.
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

    /// Replaces the token of a side. Calls that wait because the old token was refused are sent.
    pub async fn set_token(&self, name: &str, target: &str, token: &str, by: &str) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let mut account = self.account(name)?;
        account.has_no_app(target)?.token = Some(self.seal(name, target, Kind::Token, token)?);
        let what = format!("gave {target} another token");
        let account = self.keep(name, account, &Wanted::default(), by, what).await?;
        self.0.delivery.credentials_changed(name, target);
        Ok(account)
    }

    /// Adds a webhook secret. The earlier ones end after a while, so that webhooks which were signed with them
    /// meanwhile are still accepted.
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
        let what = format!("added webhook secret {} of {target}", added.id);
        account.has_no_app(target)?.add_webhook_secret(added, overlap_ms);
        self.keep(name, account, &Wanted::default(), by, what).await
    }

    /// Connects a tenant to its Omneo tenant, or replaces the connection. Earlier webhook secrets stay valid for a
    /// while.
    pub async fn connect(
        &self,
        name: &str,
        connection: Connection,
        overlap_ms: Millis,
        by: &Connector,
    ) -> Result<Account, Refused> {
        let _alone = self.0.changing.lock().await;
        let mut account = self.account(name)?;
        let is_other = account.is_connected() && !is_same_origin(&account.omneo.url, &connection.url);
        match by {
            Connector::Operator { .. } => {}
            Connector::Tenant { .. } if !is_other => {}
            Connector::Merchant { shop } if account.shop == *shop && !account.is_connected() => {}
            Connector::Tenant { .. } => {
                let why = "it is connected to another Omneo tenant\nhint: an operator changes that, and a tenant's token gives a new token";
                return Err(Refused::Unfit(why.into()));
            }
            Connector::Merchant { .. } => {
                return Err(Refused::Unfit("it was connected meanwhile\nhint: open the app again".into()));
            }
        }
        if self.is_anothers(name, &connection.url) {
            return Err(Refused::OmneoTaken);
        }
        let now = clock::now();
        let token = self.seal(name, "omneo", Kind::Token, &connection.token)?;
        let known = self.0.tenants.get(name);
        let secrets = known.map(|tenant| tenant.omneo.webhook_secrets.clone()).unwrap_or_default();
        let is_last = secrets.iter().any(|own| own.secret == connection.webhook_secret && own.ends_at.is_none());
        if !is_last {
            let secret = self.seal(name, "omneo", Kind::Webhook, &connection.webhook_secret)?;
            account.omneo.webhook_secrets.retain(|secret| secret.is_in_force(now));
            account.omneo.add_webhook_secret(secret, overlap_ms);
        }
        account.omneo.url = connection.url.trim_end_matches('/').to_owned();
        account.omneo.token = Some(token);
        let what = format!("connected Omneo, {}", account.omneo.url);
        let account = self.keep(name, account, &Wanted::default(), &by.to_string(), what).await?;
        self.0.delivery.credentials_changed(name, "omneo");
        Ok(account)
    }

    /// Whether another tenant is connected to this Omneo tenant.
    fn is_anothers(&self, name: &str, omneo_url: &str) -> bool {
        let others = self.0.tenants.names().into_iter().filter(|other| other != name);
        let mut others = others.filter_map(|other| self.0.tenants.get(&other));
        others.any(|other| is_same_origin(&other.omneo.url, omneo_url))
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
        // A secret that has an end of its own is not enough: after that, none would be left.
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

    /// Checks an account with the wanted changes, stores it, and makes the stages use it.
    async fn keep(
        &self,
        name: &str,
        account: Account,
        wanted: &Wanted,
        by: &str,
        what: String,
    ) -> Result<Account, Refused> {
        let Checked { account, tenant, text } = self.checked(name, account, wanted)?;
        self.0.journal.keep_account(name, text, Some(deed(by, name, what))).await?;
        self.go_by(tenant, &account)?;
        Ok(account)
    }

    fn checked(&self, name: &str, mut account: Account, wanted: &Wanted) -> Result<Checked, Refused> {
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
        Ok(Checked { account, tenant, text })
    }

    /// Makes the stages use an account that has been stored.
    fn go_by(&self, tenant: Tenant, account: &Account) -> Result<(), Refused> {
        let name = tenant.name.clone();
        self.0.tenants.set(tenant).map_err(|Taken| Refused::ShopTaken(account.shop.clone()))?;
        self.0.delivery.set_closed(&name, account.why_closed());
        Ok(())
    }
}

/// An account that passed the checks: as it is, as an opened tenant, and as text.
struct Checked {
    account: Account,
    tenant: Tenant,
    text: String,
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Operator { name } | Self::Tenant { name } => f.write_str(name),
            Self::Merchant { shop } => write!(f, "merchant of {shop}"),
        }
    }
}

/// Whether two addresses have the same host and port. Such addresses count as the same Omneo tenant, regardless of
/// their paths.
fn is_same_origin(one: &str, other: &str) -> bool {
    let origin = |url: &str| {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
        Some((host, url.port_or_known_default()))
    };
    origin(one).is_some_and(|one| origin(other) == Some(one))
}

fn deed(by: &str, tenant: &str, what: String) -> Deed {
    Deed { by: by.to_owned(), tenant: Some(tenant.to_owned()), what }
}
