//! `tandem setup`: prints the plan of a tenant's set-up, and carries it out. Knows no other command.

use std::path::PathBuf;

use anyhow::bail;

use super::known_tenant;
use crate::client::Client;
use crate::config;
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
    /// The configuration; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tenant, dry_run, address, config: path } = arguments;
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
    let (manifest, zone) = setup::of_rules(&tenant.rules).await?;
    let client = Client::new(config.delivery.timeout_ms, config.allow.clone())?;
    let address = address.trim_end_matches('/');
    let setup = Setup { client: &client, tenant, manifest: &manifest, zone, address: Some(address) };
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
