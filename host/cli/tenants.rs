//! `tandem tenants` and `tandem tenant`: the tenants of a host. Knows no other command.

use clap::Subcommand;

use super::operations::{TARGETS, TENANTS, VERSIONS};
use super::table::{age, table};
use crate::admin::{self, Target, Version};
use crate::config;
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Remote};
use crate::rules::short;

#[derive(clap::Args)]
pub struct List {
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub enum Tenant {
    /// Show what waits, what is dead, which targets take calls, and which version is active.
    Show {
        /// The tenant.
        tenant: String,
    },
}

pub async fn list(host: &Remote, List { json }: List) -> anyhow::Result<()> {
    let answer = host.ask(TENANTS, &[], &[], Body::Nothing).await?;
    if json {
        println!("{}", answer.text);
        return Ok(());
    }
    let tenants: Vec<admin::Tenant> = answer.json()?;
    if tenants.is_empty() {
        println!("no tenants");
        return Ok(());
    }
    let row = |tenant: &admin::Tenant| {
        vec![
            tenant.tenant.clone(),
            tenant.waiting.to_string(),
            age(tenant.oldest_s),
            tenant.dead_letters.to_string(),
            tenant.paused.join(", "),
        ]
    };
    let rows: Vec<_> = tenants.iter().map(row).collect();
    let head = ["tenant", "waiting", "oldest", "dead letters", "paused"];
    print!("{}", table(&head, &rows, Paint::for_stdout(config::no_color())));
    Ok(())
}

pub async fn run(host: &Remote, verb: Tenant) -> anyhow::Result<()> {
    match verb {
        Tenant::Show { tenant } => show(host, &tenant).await,
    }
}

async fn show(host: &Remote, name: &str) -> anyhow::Result<()> {
    // First, so that a stranger's is said to be none.
    let targets: Vec<Target> = host.ask(TARGETS, &[name], &[], Body::Nothing).await?.json()?;
    let tenants: Vec<admin::Tenant> = host.ask(TENANTS, &[], &[], Body::Nothing).await?.json()?;
    let versions: Vec<Version> = host.ask(VERSIONS, &[name], &[], Body::Nothing).await?.json()?;
    let paint = Paint::for_stdout(config::no_color());
    let field = |name: &str, value: &str| println!("{} {}", paint.dim(format!("{name:<12}")), harmless(value));
    field("tenant", name);
    if let Some(now) = tenants.iter().find(|tenant| tenant.tenant == name) {
        let oldest = age(now.oldest_s);
        let oldest = if oldest.is_empty() { oldest } else { format!(", the oldest for {oldest}") };
        field("waiting", &format!("{}{oldest}", now.waiting));
        field("dead letters", &now.dead_letters.to_string());
    }
    for Target { target, paused } in &targets {
        field(target, paused.as_deref().unwrap_or("takes calls"));
    }
    let active = versions.iter().find(|version| version.is_active);
    field("version", &active.map_or("none".into(), |active| format!("{} {}", short(&active.digest), active.name)));
    Ok(())
}
