//! `tandem reconcile`: what has changed on both sides of a tenant, read again by a host. Knows how an import is followed, and
//! no other command.

use clap::Args;
use serde_json::json;

use super::import::{begun, follow};
use super::operations::RECONCILE;
use crate::admin::Import;
use crate::remote::{Body, Remote};

#[derive(Args)]
pub struct Arguments {
    /// The tenant.
    tenant: String,
    /// Read the names of all items, too, to find what was deleted without a webhook.
    #[arg(long)]
    names: bool,
    /// Read and compare, and make nothing of it.
    #[arg(long)]
    plan: bool,
    /// Have names looked at, one by one, though more than a tenth of the known ones are not listed any more.
    #[arg(long, short, requires = "names")]
    yes: bool,
    /// Do not wait until it is over.
    #[arg(long)]
    detach: bool,
}

pub async fn run(host: &Remote, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tenant, names, plan, yes, detach } = &arguments;
    let body = json!({ "names": names, "plan": plan, "agreed": yes });
    let import: Import = host.ask(RECONCILE, &[tenant], &[], Body::Json(body)).await?.json()?;
    if *detach {
        return begun(tenant, &import);
    }
    follow(host, tenant, import.id).await
}
