//! `tandem setup`: prints the plan of a tenant's set-up, and carries it out. Knows no other command.

use std::path::PathBuf;

use anyhow::bail;

use super::known_tenant;
use crate::client::Client;
use crate::config::{self, AppKind, Config, Tenant};
use crate::credentials::{Credentials, WithTokens};
use crate::journal::Journal;
use crate::output::out;
use crate::paint::Paint;
use crate::setup::{self, Setup, State};

#[derive(clap::Args)]
pub struct Arguments {
    /// The tenant, as the configuration calls it.
    tenant: String,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Where webhooks reach this host from outside; without it, `public_url` of the configuration.
    #[arg(long)]
    address: Option<String>,
    /// Switch the webhooks of Omneo's own app for Shopify off, which would send each change a second time.
    #[arg(long)]
    leave_official_app: bool,
    /// The configuration; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tenant, dry_run, address, leave_official_app, config: path } = arguments;
    let path = super::configuration(path);
    let config = config::load(&path)?;
    let tenant = known_tenant(&config, &tenant, &path)?;
    if let Some(address) = &address
        && let Err(why) = config::check_public_url(address)
    {
        bail!("`--address {address}` {why}");
    }
    let Some(address) = address.or(config.public_url.clone()) else {
        bail!(
            "it is not known where webhooks reach this host\nhint: pass `--address https://…`, or write `public_url = \"https://…\"` into `{}`",
            path.display()
        );
    };
    if let Some(app) = tenant.shopify.app().filter(|app| app.kind != AppKind::Own) {
        bail!(
            "tenant `{name}` is in the app `{app}`, whose tokens only its host may renew\nhint: `tandem tenant setup {name}` asks the host, while `tandem serve` runs",
            name = tenant.name,
            app = app.name
        );
    }
    let (manifest, zone) = setup::of_rules(&tenant.rules).await?;
    let client = Client::new(config.delivery.timeout_ms, config.allow.clone())?;
    let known = with_tokens(&config, &client, tenant).await?;
    let setup = Setup {
        client: &client,
        tenant: &known.tenant,
        manifest: &manifest,
        zone,
        address: Some(address.trim_end_matches('/')),
        app: known.app.as_ref(),
        leave_official: leave_official_app,
    };
    let paint = Paint::for_stdout(config::no_color());
    let mut missing = 0;
    for step in setup::plan(&setup).await {
        let step = if dry_run { step } else { setup::apply(&setup, step).await };
        missing += usize::from(step.state == State::Missing);
        out!("{}", setup::line(&step, dry_run, paint))?;
    }
    if missing > 0 {
        bail!(
            "{missing} things are missing that cannot be made from here\nhint: see the lines that begin with `!`, and run this again"
        );
    }
    Ok(())
}

/// A tenant of an app has its token and the key of its address in the journal, which is made if there is none.
async fn with_tokens(config: &Config, client: &Client, tenant: &Tenant) -> anyhow::Result<WithTokens> {
    if tenant.shopify.app().is_none() {
        return Ok(WithTokens { tenant: tenant.clone(), app: None });
    }
    let (journal, _, _) = Journal::open(&config.journal)?;
    let credentials = Credentials::new(journal, client.clone(), config.keys.clone(), config.apps.clone());
    credentials.settle(tenant).await?;
    Ok(credentials.with_tokens(tenant).await?)
}
