//! Connect: a shop that has an app and an Omneo tenant become one tenant that is in step. Checks what is said of Omneo, keeps it,
//! builds the default rules where there are none, and sets both sides up. Whatever fails is named, and all of it can be sent again.
//!
//! Knows the order of these; neither pages nor HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use crate::accounts::{self, Accounts, Connection, Connector};
use crate::client::Client;
use crate::config::{self, Peer, Tenant};
use crate::credentials::{Credentials, WithTokens};
use crate::deploy::Versions;
use crate::model::Millis;
use crate::registry::Activate;
use crate::rules::Manifest;
use crate::setup::{self, Setup, State, Step, Trouble, Zone};
use crate::tenants::Tenants;

/// How long Omneo may take to say whether the token is good. A target may ask for patience.
const CHECK_MAX: Duration = Duration::from_secs(60);
/// How long the rest may take: the rules are compiled, and both sides asked for dozens of things.
const MAKE_MAX: Duration = Duration::from_secs(240);
/// How long webhooks that are gone may take to be made again.
const MEND_MAX: Duration = Duration::from_secs(60);
/// How many of them are named.
const NAMED_MAX: usize = 5;
/// How long the webhook secret of before stays in force, when another one comes.
const OVERLAP_MS: Millis = 24 * 3_600_000;
/// What the rules file of a tenant is called that wrote none.
const RULES_NAME: &str = "the default rules";

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Connect(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Tenants that are being connected.
    under_way: Mutex<BTreeSet<String>>,
}

/// What it takes.
pub struct Parts {
    pub accounts: Accounts,
    pub tenants: Tenants,
    pub versions: Versions,
    pub credentials: Credentials,
    pub client: Client,
    /// Where this host is reached from outside, without a `/` at its end.
    pub public_url: Option<String>,
    /// `host:port` of each address that may be plain HTTP or private, for whoever runs the host; and of those that merchants and
    /// tenants may name, too.
    pub allow: Vec<String>,
    pub allow_merchants: Vec<String>,
}

/// What is said of Omneo.
#[derive(Clone, Default)]
pub struct Omneo {
    /// Where its API is: `https://api.acme.getomneo.com/api/v3`, or as much of it as makes clear which is meant: `acme`.
    pub address: String,
    pub token: String,
    /// With which it signs its webhooks; `None`: Omneo is asked.
    pub webhook_secret: Option<String>,
}

/// How both sides are set up.
#[derive(Clone, Copy, Default)]
pub struct HowToSetUp<'a> {
    /// Where webhooks reach this host, if not where it thinks.
    pub address: Option<&'a str>,
    /// Only say what would be done.
    pub is_dry: bool,
    /// Switch the webhooks of Omneo's own app off.
    pub leave_official: bool,
}

/// Why nothing has changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("{0}")]
    Address(String),
    #[error("{0}")]
    Token(String),
    #[error("Omneo does not tell its webhook secret\nhint: give it, too: CX Manager, Settings, Webhooks has it")]
    NoWebhookSecret,
    #[error("it is being connected just now\nhint: wait a minute, and look at what came of it")]
    UnderWay,
    #[error("{0}")]
    Account(#[from] accounts::Refused),
}

impl Connect {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, under_way: Mutex::default() }))
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects a tenant; gives how each thing stands that it needs. In a task of its own: whoever asks may go away.
    pub async fn connect(&self, tenant: &str, omneo: Omneo, by: Connector) -> Result<Vec<Step>, Refused> {
        let (connect, tenant) = (self.clone(), tenant.to_owned());
        let connecting = tokio::spawn(async move {
            let Some(_turn) = Turn::take(&connect, &tenant) else { return Err(Refused::UnderWay) };
            let checked = timeout(CHECK_MAX, connect.checked(omneo, &by)).await;
            let connection = checked.unwrap_or_else(|_| Err(Refused::Token("Omneo does not answer in time".into())))?;
            connect.0.parts.accounts.connect(&tenant, connection, OVERLAP_MS, &by).await?;
            Ok(connect.make_in_time(&tenant, false).await)
        });
        connecting.await.unwrap_or_else(|error| Err(accounts::Refused::Other(error.into()).into()))
    }

    /// The same for a tenant whose Omneo tenant is known: what is missing is made; and if so, Omneo's own app is left.
    pub async fn again(&self, tenant: &str, leave_official: bool) -> Result<Vec<Step>, Refused> {
        let (connect, tenant) = (self.clone(), tenant.to_owned());
        let connecting = tokio::spawn(async move {
            let Some(_turn) = Turn::take(&connect, &tenant) else { return Err(Refused::UnderWay) };
            Ok(connect.make_in_time(&tenant, leave_official).await)
        });
        connecting.await.unwrap_or_else(|error| Err(accounts::Refused::Other(error.into()).into()))
    }

    /// Builds the default rules of a tenant whose Omneo tenant is not known yet, so that what the law wants done about its shop is done.
    /// What fails is tried again when it is connected.
    pub async fn prepare(&self, tenant: &Tenant) {
        let prepared = async {
            let known = self.0.parts.credentials.with_tokens(tenant).await.map_err(|refused| refused.to_string())?;
            self.rules(&tenant.name, &known.tenant).await.map_err(|step| step.what)
        };
        let prepared = timeout(MAKE_MAX, prepared).await.unwrap_or_else(|_| Err("it takes too long".into()));
        if let Err(why) = prepared {
            tracing::warn!(tenant = tenant.name, "the default rules were not built yet: {why}");
        }
    }

    /// The same for each tenant that was left so by a host that stopped in between.
    pub async fn prepare_all(&self) {
        let Parts { tenants, credentials, .. } = &self.0.parts;
        for name in tenants.names() {
            let Some(tenant) = tenants.get(&name).filter(|tenant| !tenant.has_omneo()) else { continue };
            if credentials.is_granted(&tenant).await && matches!(self.manifest(&name).await, Ok(None)) {
                self.prepare(&tenant).await;
            }
        }
    }

    async fn make_in_time(&self, tenant: &str, leave_official: bool) -> Vec<Step> {
        let late = || vec![Step::new("rules", State::Missing, "it takes too long").hint(AGAIN)];
        timeout(MAKE_MAX, self.make(tenant, leave_official)).await.unwrap_or_else(|_| late())
    }

    /// What is said of Omneo, with what Omneo says itself. Changes nothing.
    async fn checked(&self, omneo: Omneo, by: &Connector) -> Result<Connection, Refused> {
        let url = address(&omneo.address).map_err(Refused::Address)?;
        let Parts { allow, allow_merchants, client, .. } = &self.0.parts;
        let fits = match by {
            Connector::Operator { .. } => config::check_url(&url, allow),
            Connector::Tenant { .. } | Connector::Merchant { .. } => {
                config::check_merchants_url(&url, allow, allow_merchants)
            }
        };
        fits.map_err(Refused::Address)?;
        let peer = Peer::with_token(&url, omneo.token.trim());
        let told = setup::look_at_omneo(client, &peer).await.map_err(|Trouble { why, hint, .. }| {
            // What could not be sent at all says itself what to do.
            let hint = hint.filter(|_| !why.contains("\nhint: ")).map(|hint| format!("\nhint: {hint}"));
            Refused::Token(format!("{why}{}", hint.unwrap_or_default()))
        })?;
        let given = omneo.webhook_secret.map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
        let webhook_secret = given.or(told).ok_or(Refused::NoWebhookSecret)?;
        Ok(Connection { url, token: omneo.token.trim().to_owned(), webhook_secret })
    }

    /// Builds the default rules where none are active, and makes what they need on both sides.
    async fn make(&self, name: &str, leave_official: bool) -> Vec<Step> {
        let Some(tenant) = self.0.parts.tenants.get(name) else {
            return vec![Step::new("rules", State::Missing, "the tenant was removed").hint("add or invite it again")];
        };
        let known = match self.0.parts.credentials.with_tokens(&tenant).await {
            Ok(known) => known,
            Err(refused) => return vec![failed("shopify", "the shop lets nobody in", &refused.into())],
        };
        let rules = match self.rules(name, &known.tenant).await {
            Ok(step) => step,
            Err(step) => return vec![step],
        };
        let made = match self.manifest(name).await {
            Ok(Some(manifest)) => {
                self.set_up(&known, &manifest, HowToSetUp { leave_official, ..HowToSetUp::default() }).await
            }
            Ok(None) => vec![Step::new("rules", State::Missing, "no version is active any more").hint(AGAIN)],
            Err(error) => vec![failed("rules", "what they need was not looked at", &error)],
        };
        let no_address = self.0.parts.public_url.is_none().then(|| {
            let what = "no webhooks: it is not known where they reach this host";
            Step::new("rules", State::Missing, what).hint("write `public_url` into the host's configuration")
        });
        std::iter::once(rules).chain(made).chain(no_address).collect()
    }

    /// A version is active: the default rules, with the shop's time zone, where there was none.
    async fn rules(&self, name: &str, tenant: &Tenant) -> Result<Step, Step> {
        let failed = |error: &anyhow::Error| failed("rules", "the default rules were not built", error);
        match self.manifest(name).await {
            Ok(Some(_)) => return Ok(Step::new("rules", State::There, "an active version")),
            Ok(None) => {}
            Err(error) => return Err(failed(&error)),
        }
        let zone = setup::timezone(&self.0.parts.client, &tenant.shopify).await;
        let zone = zone.map_err(|trouble| Step::trouble("shopify", "its time zone", &trouble))?;
        let text = format!("timezone = {}\n", toml::Value::from(&*zone));
        let deployed =
            self.0.parts.versions.deploy_rules(name, RULES_NAME, &text).await.map_err(|error| failed(&error))?;
        let version = Activate { tenant: name, version: &deployed.digest, ..Activate::default() };
        self.0.parts.versions.activate(version, false).await.map_err(|refused| failed(&refused.into()))?;
        Ok(Step::new("rules", State::Create, format!("the default rules, timezone = \"{zone}\"")))
    }

    /// Of the active version of a tenant.
    pub async fn manifest(&self, name: &str) -> anyhow::Result<Option<Manifest>> {
        let (registry, of) = (self.0.parts.versions.registry.clone(), name.to_owned());
        spawn_blocking(move || registry.manifest(&of)).await?
    }

    /// Makes webhook subscriptions again that are gone; gives what was done, for people, which is empty if all are there.
    pub async fn mend_webhooks(&self, tenant: &str) -> String {
        let mended = timeout(MEND_MAX, self.mended(tenant)).await;
        let mended = mended.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")));
        mended.unwrap_or_else(|error| format!("webhooks were not looked at: {error:#}"))
    }

    async fn mended(&self, name: &str) -> anyhow::Result<String> {
        let parts = &self.0.parts;
        let Some(tenant) = parts.tenants.get(name) else { return Ok(String::new()) };
        let Some(manifest) = self.manifest(name).await? else { return Ok(String::new()) };
        let address = parts.public_url.as_deref().context("`public_url` is not set in the configuration")?;
        let known = parts.credentials.with_tokens(&tenant).await?;
        let setup = Setup {
            client: &parts.client,
            tenant: &known.tenant,
            app: known.app.as_ref(),
            zone: Zone::of_component(&manifest),
            manifest: &manifest,
            address: Some(address.trim_end_matches('/')),
            leave_official: false,
        };
        let (mut made, mut failed) = (vec![], vec![]);
        for step in setup::plan(&setup).await {
            let is_webhook = matches!(step.one, Some((setup::Kind::Webhook, _)));
            if is_webhook && matches!(step.state, State::Create | State::Change) {
                let step = setup::apply(&setup, step).await;
                let of = if step.state == State::Missing { &mut failed } else { &mut made };
                of.push(format!("{}: {}", step.side, step.what));
            }
        }
        let said = |what: &str, steps: &[String]| {
            let more = steps.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let named = &steps[..steps.len().min(NAMED_MAX)];
            (!steps.is_empty()).then(|| format!("{what} ({}{more})", named.join("; ")))
        };
        let made = said("webhooks were gone and are made again", &made);
        let failed = said("webhooks are gone and could not be made", &failed);
        Ok(made.into_iter().chain(failed).collect::<Vec<_>>().join("; "))
    }

    /// Looks at what these rules need on both sides, and makes it unless it is only to be said.
    pub async fn set_up(&self, known: &WithTokens, manifest: &Manifest, how: HowToSetUp<'_>) -> Vec<Step> {
        let HowToSetUp { address, is_dry, leave_official } = how;
        let address = address.or(self.0.parts.public_url.as_deref()).map(|address| address.trim_end_matches('/'));
        let setup = Setup {
            client: &self.0.parts.client,
            tenant: &known.tenant,
            app: known.app.as_ref(),
            manifest,
            zone: Zone::of_component(manifest),
            address,
            leave_official,
        };
        let mut steps = vec![];
        for step in setup::plan(&setup).await {
            steps.push(if is_dry { step } else { setup::apply(&setup, step).await });
        }
        steps
    }
}

/// What to do about what did not work.
const AGAIN: &str = "send it again: what is done already is left alone";

fn failed(side: &'static str, what: &str, error: &anyhow::Error) -> Step {
    let said = format!("{error:#}");
    let (why, hint) = said.split_once("\nhint: ").unwrap_or((&said, AGAIN));
    Step::new(side, State::Missing, format!("{what}: {why}")).hint(hint)
}

/// That a tenant is being connected; it ends with this.
struct Turn {
    connect: Connect,
    tenant: String,
}

impl Turn {
    fn take(connect: &Connect, tenant: &str) -> Option<Self> {
        let is_first = connect.under_way().insert(tenant.to_owned());
        is_first.then(|| Self { connect: connect.clone(), tenant: tenant.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.connect.under_way().remove(&self.tenant);
    }
}

/// The address of Omneo's API that is meant. Self-service tenants are at `api.{name}.getomneo.com` (Omneo's documentation).
fn address(said: &str) -> Result<String, String> {
    let said = said.trim();
    let unfit = |why: &str| {
        format!(
            "`{said}` is no address of an Omneo tenant{why}\nhint: it is like `https://api.acme.getomneo.com/api/v3`"
        )
    };
    // The parser leaves out what cannot be seen.
    if said.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(unfit(""));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let whole = match said.contains("://") {
        true => said.to_owned(),
        false if !said.is_empty() && said.chars().all(is_name) => format!("https://api.{said}.getomneo.com"),
        false => format!("https://{said}"),
    };
    let url = Url::parse(&whole).map_err(|error| unfit(&format!(": {error}")))?;
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err(unfit(""));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unfit(": it has a `?` or a `#` in it"));
    }
    let path = match url.path().trim_end_matches('/') {
        "" => "/api/v3",
        path => path,
    };
    Ok(format!("{}{path}", url.origin().ascii_serialization()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_said_in_several_ways() {
        let whole = "https://api.acme.getomneo.com/api/v3";
        for said in [
            "acme",
            " acme ",
            "api.acme.getomneo.com",
            "https://api.acme.getomneo.com/",
            "https://API.acme.getomneo.com/api/v3/",
        ] {
            assert_eq!(address(said).as_deref(), Ok(whole), "{said}");
        }
        assert_eq!(address("http://127.0.0.1:9").as_deref(), Ok("http://127.0.0.1:9/api/v3"));
        assert_eq!(address("omneo.acme.example/own").as_deref(), Ok("https://omneo.acme.example/own"));
        for said in ["", "a b", "https://", "https://me:secret@omneo.example", "acme?x=1", "acme#x", "acme\nevil"] {
            assert!(address(said).is_err(), "{said:?} {:?}", address(said));
        }
    }
}
