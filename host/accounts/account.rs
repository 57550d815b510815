//! What is stored of a tenant: as text with sealed secrets, and opened in the form that the stages use. Pure.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Kept, Refused, Wanted};
use crate::config::{self, Apps, Credential, Peer, Quota, RulesFrom, Tenant, WebhookSecret};
use crate::model::{self, Millis};
use crate::vault::{Keys, Sealed};

/// Greatest number of webhook secrets of one side, including those that end soon.
const WEBHOOK_SECRETS_MAX: usize = 8;
const URL_CHARS_MAX: usize = 1024;

/// Why nothing is sent for a tenant whose merchant has not connected Omneo yet.
const NOT_CONNECTED: &str = "Omneo is not connected yet: `tandem connect`, or the app's page in the shop's admin";

/// The stored form of a tenant.
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
    /// Only for Shopify: the name of an app in the configuration, which replaces a token and webhook secrets.
    #[serde(default)]
    pub app: Option<String>,
    pub token: Option<Secret>,
    pub webhook_secrets: Vec<Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Secret {
    /// The name by which the secret is shown, since the secret itself is not.
    pub id: String,
    #[serde(flatten)]
    pub(super) sealed: Sealed,
    pub added_at: Millis,
    pub ends_at: Option<Millis>,
}

impl Side {
    /// The Omneo side of a tenant that is not connected yet.
    pub(super) fn unconnected() -> Self {
        Self { url: String::new(), per_minute: None, app: None, token: None, webhook_secrets: vec![] }
    }

    /// Adds a webhook secret. The earlier ones end after a while, so that webhooks which were signed with them
    /// meanwhile are still accepted.
    pub(super) fn add_webhook_secret(&mut self, added: Secret, overlap_ms: Millis) {
        let end = added.added_at.saturating_add(overlap_ms);
        for old in &mut self.webhook_secrets {
            old.ends_at = Some(old.ends_at.map_or(end, |ends| ends.min(end)));
        }
        self.webhook_secrets.push(added);
    }
}

impl Account {
    /// Whether Omneo is connected.
    pub fn is_connected(&self) -> bool {
        self.omneo.token.is_some()
    }

    /// Why nothing is sent for the tenant; `None` if calls are sent.
    pub(super) fn why_closed(&self) -> Option<String> {
        (!self.is_connected()).then(|| NOT_CONNECTED.to_owned())
    }

    pub(super) fn side(&mut self, target: &str) -> Result<&mut Side, Refused> {
        match target {
            "shopify" => Ok(&mut self.shopify),
            "omneo" => Ok(&mut self.omneo),
            _ => Err(Refused::Unfit(format!("there is no target `{target}`"))),
        }
    }

    /// The side, if it has a token and webhook secrets of its own and not those of an app.
    pub(super) fn has_no_app(&mut self, target: &str) -> Result<&mut Side, Refused> {
        let side = self.side(target)?;
        match &side.app {
            None => Ok(side),
            Some(app) => Err(Refused::Unfit(format!(
                "its token and webhook secrets are those of the app `{app}`\nhint: `[apps.{app}]` in the configuration has them"
            ))),
        }
    }

    pub(super) fn take(&mut self, wanted: &Wanted) -> Result<(), String> {
        if let Some((name, _)) = wanted.limits.iter().find(|(name, limit)| !self.limits.set(name, **limit)) {
            let names: Vec<_> = Quota::names().map(|name| format!("`{name}`")).collect();
            return Err(format!("there is no limit `{name}`\nhint: there are {}", names.join(", ")));
        }
        let address = |shop: &str| format!("https://{shop}");
        if let Some(shop) = &wanted.shop {
            let shop = model::shop(shop);
            // Otherwise, the tenant's people would be written into the previous shop.
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

    pub(super) fn check(&self, allow: &[String], apps: &Apps) -> Result<(), String> {
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
            } else if let Err(why) = config::check_url(&side.url, allow)
                && (self.is_connected() || !side.url.is_empty())
            {
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

    pub(super) fn opened_or_closed(&self, name: &str, keys: &Keys, apps: &Apps) -> Kept {
        match self.open(name, keys, apps) {
            Ok(tenant) => Kept { tenant, closed: self.why_closed() },
            Err(error) => {
                tracing::error!(tenant = name, blame = "host", "its secrets cannot be opened: {error:#}");
                let peer = |side: &Side| {
                    // The side keeps its app, by which incoming webhooks find the tenant, but none of the secrets.
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

    pub(super) fn open(&self, name: &str, keys: &Keys, apps: &Apps) -> anyhow::Result<Tenant> {
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
        let shopify = side("shopify", &self.shopify)?;
        let omneo = if self.is_connected() { side("omneo", &self.omneo)? } else { Peer::with_token("", "") };
        Ok(self.tenant(name, shopify, omneo))
    }

    pub(super) fn tenant(&self, name: &str, shopify: Peer, omneo: Peer) -> Tenant {
        // An older host stored the shop as it was typed.
        let (name, shop) = (name.to_owned(), model::shop(&self.shop));
        Tenant { name, shop, rules: RulesFrom::Deployed, shopify, omneo, limits: self.limits }
    }

    /// Seals secrets again that were sealed with an older key. `false` if there were none.
    pub(super) fn reseal(&mut self, name: &str, keys: &Keys) -> anyhow::Result<bool> {
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
pub(super) enum Kind {
    Token,
    Webhook,
}

impl Kind {
    /// The purpose for which a secret is sealed. It can be opened for this purpose only.
    pub(super) fn place(self, tenant: &str, target: &str) -> String {
        match self {
            Self::Token => format!("token of {target} of tenant `{tenant}`"),
            Self::Webhook => format!("webhook secret of {target} of tenant `{tenant}`"),
        }
    }
}

pub(super) fn no_app(name: &str) -> String {
    format!("there is no app `{name}`\nhint: `[apps.{name}]` in the configuration says what it is")
}
