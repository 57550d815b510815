//! The commands that are asked of a running host. Knows which; not what each does.

use clap::Subcommand;

use super::access::{Access, OfTenant};
use super::{
    audit, cases, connect, dead, deploy, directions, grants, import, reconcile, shadow, status, targets, tenants, top,
};
use crate::admin::DirectionMode;

#[derive(Subcommand)]
pub enum Verb {
    /// Show whether a host is alive and can take webhooks in.
    Status,
    /// Watch tenants, rates, waiting events and failures, live.
    ///
    /// Keys: arrows select, `s` sorts, `/` filters, `?` shows all keys, `q` ends. Without a terminal one frame is printed
    /// as text.
    Top,
    /// Print a host's counters and gauges for Prometheus.
    Metrics,
    /// Print the OpenAPI document of the admin API.
    Openapi,
    /// List tenants with waiting events and dead letters.
    Tenants(tenants::List),
    /// Show, add, change or remove a tenant; replace credentials.
    Tenant {
        #[command(subcommand)]
        verb: tenants::Tenant,
    },
    /// Say which Omneo tenant is a tenant's own, and set both up.
    ///
    /// For a tenant in an app, whose merchant has not done so on the app's page. Builds the default rules if none are active.
    Connect(connect::Connect),
    /// Read what a tenant has of its past, and bring it in step.
    ///
    /// The rules say how each collection is read. Every item goes through them as an event, behind live events, so that reading
    /// twice does no harm. Waits until everything is over; exit code 1 if the import fails.
    Import(import::Arguments),
    /// Read again what has changed, in case that a webhook never came.
    ///
    /// Both sides of the tenant are read from where the last reading ended. The host does so every night by itself. Waits until
    /// everything is over; exit code 1 if it fails.
    Reconcile(reconcile::Arguments),
    /// List a tenant's dead letters by cause.
    Dead(OfTenant),
    /// Begin dead letters again: one, a topic, a cause, or all.
    Retry(dead::Retry),
    /// Put dead letters away for good, with a reason.
    Discard(dead::Discard),
    /// Make an event that is under way begin again.
    ///
    /// It begins again on the version that is active now.
    Restart(dead::Restart),
    /// Show whether a tenant's two systems take calls.
    Targets(OfTenant),
    /// Send a target no calls until it is resumed.
    Pause(targets::Pause),
    /// Show whether a tenant's directions run, hold or drop.
    Directions(OfTenant),
    /// Let the events that come from one system run again.
    ///
    /// Held events begin in order of arrival.
    Run(directions::Run),
    /// Keep the events that come from one system for later.
    ///
    /// Events that have begun go on to their end; the other direction flows. `tandem run` lets held events begin.
    Hold(directions::Direct),
    /// Acknowledge the events that come from one system, only.
    ///
    /// They are recorded as skipped with the reason. Events that arrived before are not dropped.
    Drop(directions::Direct),
    /// Show what Shopify has granted to apps, and when it ends.
    Grants(grants::Arguments),
    /// Show who did what.
    Audit(audit::Arguments),
    /// Give a tenant a version, and prove it.
    ///
    /// The version is a component or a rules file. The proof replays recorded events; `--activate` makes the version
    /// current if the proof lets it.
    Deploy(deploy::Deploy),
    /// Remove one of a tenant's versions that nothing needs.
    Undeploy(deploy::Undeploy),
    /// Replay recorded events through one of a tenant's versions.
    Prove(deploy::Prove),
    /// List, replace or remove the cases that every proof runs.
    Cases {
        #[command(subcommand)]
        verb: cases::Cases,
    },
    /// Run a version beside the live one, sending nothing.
    Shadow {
        #[command(subcommand)]
        verb: shadow::Shadow,
    },
    /// Make a version current.
    Activate(deploy::Activate),
    /// Return to the version before the active one.
    Rollback(deploy::Rollback),
}

pub async fn run(verb: Verb, access: &Access) -> anyhow::Result<()> {
    let verb = match verb {
        Verb::Tenant { verb: tenants::Tenant::Remove(how) } if access.unless_journal(&how.place)?.is_none() => {
            return tenants::remove_offline(how).await;
        }
        verb => verb,
    };
    let host = access.needed()?;
    match verb {
        Verb::Status => status::status(&host).await,
        Verb::Top => top::run(host).await,
        Verb::Metrics => status::metrics(&host).await,
        Verb::Openapi => status::openapi(&host).await,
        Verb::Tenants(arguments) => tenants::list(&host, arguments).await,
        Verb::Tenant { verb } => tenants::run(&host, verb).await,
        Verb::Connect(arguments) => connect::run(&host, arguments).await,
        Verb::Dead(arguments) => dead::list(&host, arguments).await,
        Verb::Retry(arguments) => dead::retry(&host, arguments).await,
        Verb::Discard(arguments) => dead::discard(&host, arguments).await,
        Verb::Restart(arguments) => dead::restart(&host, arguments).await,
        Verb::Targets(arguments) => targets::list(&host, arguments).await,
        Verb::Pause(arguments) => targets::pause(&host, arguments).await,
        Verb::Import(arguments) => import::run(&host, arguments).await,
        Verb::Reconcile(arguments) => reconcile::run(&host, arguments).await,
        Verb::Directions(arguments) => directions::list(&host, arguments).await,
        Verb::Run(arguments) => directions::set(&host, DirectionMode::Run, arguments.into()).await,
        Verb::Hold(arguments) => directions::set(&host, DirectionMode::Hold, arguments).await,
        Verb::Drop(arguments) => directions::set(&host, DirectionMode::Drop, arguments).await,
        Verb::Grants(arguments) => grants::run(&host, arguments).await,
        Verb::Audit(arguments) => audit::run(&host, arguments).await,
        Verb::Deploy(arguments) => deploy::deploy(&host, arguments).await,
        Verb::Undeploy(arguments) => deploy::undeploy(&host, arguments).await,
        Verb::Prove(arguments) => deploy::prove(&host, arguments).await,
        Verb::Cases { verb } => cases::run(&host, verb).await,
        Verb::Shadow { verb } => shadow::run(&host, verb).await,
        Verb::Activate(arguments) => deploy::activate(&host, arguments).await,
        Verb::Rollback(arguments) => deploy::rollback(&host, arguments).await,
    }
}
