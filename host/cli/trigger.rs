//! `tandem trigger`: sends a host a signed webhook, as Shopify or Omneo would. Knows no other command.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::Value;
use tandem_standin::{Omneo, OmneoOptions, Outbox, Shopify, ShopifyOptions};

use super::access::confirm;
use super::{known_tenant, wrong_command};
use crate::compliance::{self, Duty};
use crate::config::{self, App, Config, Credential, Tenant};
use crate::journal::Reader;
use crate::output::outln;
use crate::samples::{self, Edit, Unfit};
use crate::{clock, files, topics};

#[derive(Args)]
pub struct Arguments {
    /// The topic: `orders/paid`, `profile.updated`.
    topic: String,
    /// The body; `-` for standard input. Without it, an invented one of the topic.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Change one place of the body: `total_price=10.00`, `line_items.0.quantity=3`, `customer={"id": 7}`. May be repeated.
    #[arg(long = "edit", value_name = "PLACE=VALUE")]
    edits: Vec<Edit>,
    /// Whose webhook it is; without this, the only tenant that there is.
    #[arg(long)]
    tenant: Option<String>,
    /// The configuration of the host, for its address and secrets; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to send it to, if it is not the host's own of the configuration.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Print the body, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before what erases or pauses.
    #[arg(long)]
    yes: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { topic, body, edits, tenant, config: path, to, dry_run, yes } = arguments;
    let (topic, mut body) = made(&topic, body.as_deref(), &edits)?;
    if dry_run {
        return outln!("{body:#}");
    }
    let path = super::configuration(path);
    let config = config::load(&path)?;
    let tenant = match (&tenant, &config.tenants[..]) {
        (Some(name), _) => known_tenant(&config, name, &path)?,
        (None, [only]) => only,
        (None, []) => {
            let path = path.display();
            return Err(wrong_command(anyhow!(
                "`{path}` has no tenant, and only its tenants' secrets are known here\nhint: the secrets of one that was added to a running host stay with that host"
            )));
        }
        (None, all) => {
            let names: Vec<_> = all.iter().take(10).map(|tenant| tenant.name.as_str()).collect();
            let why = format!("no tenant is named\nhint: `--tenant NAME`; there are {}", names.join(", "));
            return Err(wrong_command(anyhow!(why)));
        }
    };
    // An app knows its shops by their numbers.
    let number = match tenant.shopify.app() {
        Some(_) => Reader::open(&config.journal)?.shop_number(&tenant.name, &tenant.shop)?,
        None => None,
    };
    samples::in_shop(&mut body, &tenant.shop, number);
    if let Some(what) = consequence(&topic) {
        confirm(&format!("have the host {what}, of tenant `{}`", tenant.name), true, yes)?;
    }
    let is_own = to.is_none();
    let (outbox, url) = signed(&config, tenant, &topic, body, to)?;
    for mut webhook in outbox.take() {
        webhook.url = Some(url.clone());
        match outbox.deliver(&webhook).await {
            Ok(status @ 200..=299) => outln!("{topic} to {url}: {status}")?,
            Ok(status) => bail!("{url} answered {status}\nhint: {}", hint_of(status)),
            Err(why) if is_own => {
                bail!("{why}\nhint: does the host run? `tandem serve --config {}`", path.display())
            }
            Err(why) => bail!("{why}\nhint: does a host listen at the address of `--to`?"),
        }
    }
    Ok(())
}

/// What a host does about a topic that cannot be taken back, or not by itself.
fn consequence(topic: &str) -> Option<&'static str> {
    match compliance::duty_of("shopify", topic)? {
        Duty::RedactShop => Some("erase everything that it holds"),
        Duty::RedactCustomer => Some("redact everything that it holds of a person"),
        Duty::Uninstalled => Some("pause the calls to the shop"),
        Duty::ShowCustomer | Duty::Scopes => None,
    }
}

fn hint_of(status: u16) -> &'static str {
    match status {
        401 => "that host has another secret: does it run by this configuration, and did it read it again?",
        404 => "that host has no such tenant or address: does it run by this configuration?",
        413 => "the body is longer than `body_bytes_max`",
        _ => "its log says why",
    }
}

/// Where a listener is reached from here: one that listens on every address is reached on this machine's own.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A topic and the body for it: an invented one or a given one, edited. A topic that nobody has is answered with the one that was
/// meant.
pub fn made(topic: &str, body: Option<&Path>, edits: &[Edit]) -> anyhow::Result<(String, Value)> {
    if let Some(meant) = topics::meant(topic, std::iter::empty()) {
        return Err(wrong_command(anyhow!("there is no topic `{topic}`\nhint: did you mean `{meant}`?")));
    }
    if samples::source_of(topic) == samples::OWN {
        let why =
            format!("`{topic}` is the host's own topic, which nobody sends\nhint: `serve --relink` brings it about");
        return Err(wrong_command(anyhow!(why)));
    }
    let mut made = match body {
        None => samples::body(topic, &clock::rfc3339(clock::now())),
        Some(path) => given(path)?,
    };
    for edit in edits {
        edit.apply(&mut made).map_err(Unfit)?;
    }
    Ok((topic.to_owned(), made))
}

fn given(path: &Path) -> anyhow::Result<Value> {
    let (name, bytes) = match path.to_str() {
        Some("-") => {
            let mut bytes = vec![];
            std::io::stdin().read_to_end(&mut bytes).context("reading the body from standard input")?;
            ("what standard input gave".to_owned(), bytes)
        }
        _ => (format!("`{}`", path.display()), files::read(path, "the body")?),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        wrong_command(anyhow!("{name} is not JSON: {error}\nhint: give the body of a webhook as it is sent"))
    })
}

/// The path that an app's webhooks of a tenant come to: the key in it is the journal's.
fn of_app(config: &Config, tenant: &Tenant, app: &App) -> anyhow::Result<Option<String>> {
    let row = Reader::open(&config.journal)?.grant(&tenant.name, &app.client_id)?;
    Ok(row.map(|row| format!("/webhooks/shopify/{}/{}", app.name, row.webhook_key)))
}

/// The webhook with its signature, in the outbox of a system that is not connected to anything, and where it goes.
fn signed(
    config: &Config,
    tenant: &Tenant,
    topic: &str,
    body: Value,
    to: Option<String>,
) -> anyhow::Result<(Outbox, String)> {
    let source = samples::source_of(topic);
    let peer = if source == "shopify" { &tenant.shopify } else { &tenant.omneo };
    let (path, secret) = match &peer.credential {
        Credential::App(app) => (of_app(config, tenant, app)?, app.secrets().next().map(str::to_owned)),
        Credential::Token(_) if source == "shopify" => (Some("/webhooks/shopify".to_owned()), None),
        Credential::Token(_) => (Some(format!("/webhooks/omneo/{}", tenant.name)), None),
    };
    let secret = secret.or_else(|| peer.webhook_secrets.first().map(|known| known.secret.clone()));
    let secret = secret.ok_or_else(|| anyhow!("the configuration has no secret that {source} signs webhooks with"))?;
    let own = path.map(|path| format!("http://{}{path}", reached(config.listen)));
    let Some(url) = to.or(own) else {
        bail!(
            "the journal has no address for the webhooks of `{}`, which is in an app\nhint: its merchant opens the app in the shop's admin; or `--to URL` names the address",
            tenant.name
        );
    };
    if !url.starts_with("http://") {
        bail!(
            "`{url}` is not plain HTTP, which is all that this command sends\nhint: send it on the host's own machine"
        );
    }
    // So that no two webhooks have one id.
    let seed = fastrand::u64(..);
    if source == "shopify" {
        let shopify = Shopify::unplugged(ShopifyOptions {
            shop: tenant.shop.clone(),
            webhook_secret: secret,
            seed,
            ..ShopifyOptions::default()
        });
        shopify.send(topic, body);
        return Ok((shopify.outbox(), url));
    }
    let omneo = Omneo::unplugged(OmneoOptions {
        tenant: tenant.name.clone(),
        webhook_secret: secret,
        seed,
        ..OmneoOptions::default()
    });
    omneo.send(topic, body);
    Ok((omneo.outbox(), url))
}
