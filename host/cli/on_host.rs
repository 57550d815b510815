//! The commands that are asked of a running host. Knows which; not what each does.

use clap::Subcommand;

use super::access::{Access, OfTenant};
use super::{audit, cases, dead, deploy, directions, shadow, status, targets, tenants, top};
use crate::admin::DirectionMode;

#[derive(Subcommand)]
pub enum Verb {
    /// Say whether a host is alive and can take webhooks in.
    Status,
    /// Watch tenants, rates, what waits and what fails. Keys: arrows, `s` sorts, `/` filters, `q` ends.
    Top,
    /// Print a host's counters and gauges, as Prometheus reads them.
    Metrics,
    /// Print the document that describes the admin API.
    Openapi,
    /// List a host's tenants, with what waits and what is dead.
    Tenants(tenants::List),
    /// Show, add, change or remove a tenant, or give it other credentials.
    Tenant {
        #[command(subcommand)]
        verb: tenants::Tenant,
    },
    /// List a tenant's dead letters by cause.
    Dead(OfTenant),
    /// Take dead letters up again: one, those of a topic or a cause, or all.
    Retry(dead::Retry),
    /// Put dead letters away for good, with a reason.
    Discard(dead::Discard),
    /// Have an event that is under way begin again, on the version that is active now.
    Restart(dead::Restart),
    /// Say of each of a tenant's two systems whether it takes calls.
    Targets(OfTenant),
    /// Send a target no calls until it is resumed.
    Pause(targets::Pause),
    /// Say of each of a tenant's two directions whether its events run, are held, or are dropped.
    Directions(OfTenant),
    /// Let the events that come from one system run again; what was held begins in order.
    Run(directions::Direct),
    /// Keep the events that come from one system until they are to run.
    Hold(directions::Direct),
    /// Acknowledge the events that come from one system, and do nothing about them.
    Drop(directions::Direct),
    /// Show who did what.
    Audit(audit::Arguments),
    /// Give a tenant a version: a component, or a rules file; proved against what was recorded.
    Deploy(deploy::Deploy),
    /// Replay a tenant's recorded events through one of its versions on the host.
    Prove(deploy::Prove),
    /// List, replace or remove the cases that every proof of a tenant's versions runs.
    Cases {
        #[command(subcommand)]
        verb: cases::Cases,
    },
    /// Run a version beside the live one on the events that come, sending nothing.
    Shadow {
        #[command(subcommand)]
        verb: shadow::Shadow,
    },
    /// Make a version current.
    Activate(deploy::Activate),
    /// Make the version current that was before the active one.
    Rollback(deploy::Rollback),
}

pub async fn run(verb: Verb, access: &Access) -> anyhow::Result<()> {
    let host = access.needed()?;
    match verb {
        Verb::Status => status::status(&host).await,
        Verb::Top => top::run(host).await,
        Verb::Metrics => status::metrics(&host).await,
        Verb::Openapi => status::openapi(&host).await,
        Verb::Tenants(arguments) => tenants::list(&host, arguments).await,
        Verb::Tenant { verb } => tenants::run(&host, verb).await,
        Verb::Dead(arguments) => dead::list(&host, arguments).await,
        Verb::Retry(arguments) => dead::retry(&host, arguments).await,
        Verb::Discard(arguments) => dead::discard(&host, arguments).await,
        Verb::Restart(arguments) => dead::restart(&host, arguments).await,
        Verb::Targets(arguments) => targets::list(&host, arguments).await,
        Verb::Pause(arguments) => targets::pause(&host, arguments).await,
        Verb::Directions(arguments) => directions::list(&host, arguments).await,
        Verb::Run(arguments) => directions::set(&host, DirectionMode::Run, arguments).await,
        Verb::Hold(arguments) => directions::set(&host, DirectionMode::Hold, arguments).await,
        Verb::Drop(arguments) => directions::set(&host, DirectionMode::Drop, arguments).await,
        Verb::Audit(arguments) => audit::run(&host, arguments).await,
        Verb::Deploy(arguments) => deploy::deploy(&host, arguments).await,
        Verb::Prove(arguments) => deploy::prove(&host, arguments).await,
        Verb::Cases { verb } => cases::run(&host, verb).await,
        Verb::Shadow { verb } => shadow::run(&host, verb).await,
        Verb::Activate(arguments) => deploy::activate(&host, arguments).await,
        Verb::Rollback(arguments) => deploy::rollback(&host, arguments).await,
    }
}
