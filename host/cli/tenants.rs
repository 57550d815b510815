//! `tandem tenants` and `tandem tenant`: the tenants of a host. Knows no other command.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::access::confirm;
use super::invitations::{self, Invite};
use super::operations::{
    ADD_TENANT, ADD_WEBHOOK_SECRET, CHANGE_TENANT, END_WEBHOOK_SECRET, REMOVE_TENANT, SET_TOKEN, TARGETS, TENANT,
    TENANTS,
};
use super::set_up::{self, SetUp};
use super::table::{age, moment, table};
use super::targets::state;
use super::{Place, wrong_command};
use crate::accounts;
use crate::admin::{self, Account, AccountSide, Target};
use crate::config::{self, Quota};
use crate::files;
use crate::journal::{Claim, Journal, Reader};
use crate::output::{out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Answer, Body, Remote};
use crate::rules::short;

#[derive(Args)]
pub struct List {
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub enum Tenant {
    /// Show what is known of a tenant, what waits, what is dead, and which targets take calls.
    Show {
        /// The tenant.
        tenant: String,
        /// The host's answer as it is.
        #[arg(long)]
        json: bool,
    },
    /// Add a tenant. Its webhooks are taken in at once; its events wait until a version is activated.
    Add {
        /// The tenant.
        tenant: String,
        /// `shop`, `[shopify]` and `[omneo]`, as below `[tenants.…]` of a configuration, without the rules; secrets may be
        /// `env:NAME` or `file:PATH`.
        file: PathBuf,
    },
    /// Change a tenant's shop, addresses or rates. What is not given stays as it is.
    Change(Change),
    /// Make on both sides what the active rules need: metafield definitions, and a webhook for every topic.
    Setup(SetUp),
    /// Admit a shop to an app for a week, though no tenant names it yet.
    Invite(Invite),
    /// List the invitations that are open.
    Invitations {
        /// The host's answer as it is.
        #[arg(long)]
        json: bool,
    },
    /// End an invitation at once.
    Uninvite {
        /// Its id, as `tandem tenant invitations` has it.
        id: String,
    },
    /// Take no more webhooks of a tenant and send no more calls. What is not over is discarded. On a host, or in a journal that
    /// no host runs on.
    Remove(Remove),
    /// Give one of the two systems another token, read from a file, or from standard input if that is `-`.
    Token {
        /// The tenant.
        tenant: String,
        /// Which of its two systems.
        #[arg(value_parser = ["shopify", "omneo"])]
        target: String,
        /// A file, or `-` for standard input.
        file: PathBuf,
    },
    /// Add a webhook secret, read from a file, or from standard input if that is `-`. The ones before it stay in force
    /// for a while.
    Secret {
        /// The tenant.
        tenant: String,
        /// Which of its two systems.
        #[arg(value_parser = ["shopify", "omneo"])]
        target: String,
        /// A file, or `-` for standard input.
        file: PathBuf,
        /// For how long; the host's default is a day.
        #[arg(long, value_name = "HOURS")]
        overlap_hours: Option<u32>,
    },
    /// End a webhook secret at once, by its id, which `tandem tenant show` has.
    EndSecret {
        /// The tenant.
        tenant: String,
        /// Which of its two systems.
        #[arg(value_parser = ["shopify", "omneo"])]
        target: String,
        /// The id of the secret, as `tandem tenant show` has it.
        id: String,
    },
}

#[derive(Args)]
pub struct Remove {
    /// The tenant.
    tenant: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// In a journal: the shop of a tenant that stood in the configuration.
    #[arg(long, value_name = "SHOP")]
    shop: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// The shop: `acme.myshopify.com`.
    #[arg(long)]
    shop: Option<String>,
    /// Where Shopify's API is.
    #[arg(long, value_name = "URL")]
    shopify_url: Option<String>,
    /// Where Omneo's API is.
    #[arg(long, value_name = "URL")]
    omneo_url: Option<String>,
    /// Calls a minute; 0: as many as it takes.
    #[arg(long, value_name = "CALLS")]
    shopify_per_minute: Option<u32>,
    /// Calls a minute; 0: as many as it takes.
    #[arg(long, value_name = "CALLS")]
    omneo_per_minute: Option<u32>,
    /// Webhooks a second.
    #[arg(long, value_name = "WEBHOOKS")]
    events_per_second: Option<u64>,
    /// Calls at a time, to each of the two systems.
    #[arg(long, value_name = "CALLS")]
    concurrent_calls: Option<u64>,
    /// Bytes of all that the journal keeps of it.
    #[arg(long, value_name = "BYTES")]
    journal_bytes_max: Option<u64>,
    /// Days that an event is kept once it is over.
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u64>,
    /// Versions that are kept.
    #[arg(long, value_name = "VERSIONS")]
    versions_max: Option<u64>,
    /// Bytes of their components.
    #[arg(long, value_name = "BYTES")]
    versions_bytes_max: Option<u64>,
}

#[derive(Args)]
pub struct Change {
    /// The tenant.
    tenant: String,
    #[command(flatten)]
    changes: Changes,
}

pub async fn list(host: &Remote, List { json }: List) -> anyhow::Result<()> {
    let answer = host.ask(TENANTS, &[], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let tenants: Vec<admin::Tenant> = answer.json()?;
    if tenants.is_empty() {
        outln!("no tenants")?;
        return Ok(());
    }
    let row = |tenant: &admin::Tenant| {
        vec![
            tenant.tenant.clone(),
            tenant.waiting.to_string(),
            age(tenant.oldest_s),
            tenant.dead_letters.to_string(),
            stopped(tenant),
        ]
    };
    let rows: Vec<_> = tenants.iter().map(row).collect();
    let head = ["tenant", "waiting", "oldest", "dead letters", "stopped"];
    out!("{}", table(&head, &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

/// What takes no calls, what is held or dropped, and whether its rules are to come yet.
pub fn stopped(tenant: &admin::Tenant) -> String {
    let paused = tenant.paused.iter().map(|target| format!("{target} paused")).chain(tenant.held.iter().cloned());
    let unbuilt = tenant.unbuilt.as_deref().map(|why| match why {
        admin::BEING_BUILT => "rules being built".to_owned(),
        _ => "rules not built".to_owned(),
    });
    paused.chain(tenant.directions.iter().cloned()).chain(unbuilt).collect::<Vec<_>>().join(", ")
}

pub async fn run(host: &Remote, verb: Tenant) -> anyhow::Result<()> {
    match verb {
        Tenant::Show { tenant, json } => show(host, &tenant, json).await,
        Tenant::Add { tenant, file } => {
            let mut body = config::added(&file)?;
            body["tenant"] = json!(tenant);
            host.ask(ADD_TENANT, &[], &[], Body::Json(body)).await?;
            outln!("tenant {tenant} is added; its events wait for rules: `tandem deploy {tenant} FILE --activate`")?;
            Ok(())
        }
        Tenant::Change(Change { tenant, changes }) => {
            let answer = host.ask(CHANGE_TENANT, &[&tenant], &[], Body::Json(changes.body())).await?;
            changed(&answer)
        }
        Tenant::Setup(arguments) => set_up::run(host, arguments).await,
        Tenant::Invite(arguments) => invitations::invite(host, arguments).await,
        Tenant::Invitations { json } => invitations::list(host, json).await,
        Tenant::Uninvite { id } => invitations::withdraw(host, &id).await,
        Tenant::Remove(Remove { tenant, yes, .. }) => {
            // So that a name that is none is said to be so before anybody is asked.
            let account: Account = host.ask(TENANT, &[&tenant], &[], Body::Nothing).await?.json()?;
            confirm(&format!("remove tenant {tenant}, the shop {}", account.shop), true, yes)?;
            host.ask(REMOVE_TENANT, &[&tenant], &[], Body::Nothing).await?;
            outln!("{}", removed(&tenant))?;
            Ok(())
        }
        Tenant::Token { tenant, target, file } => {
            let body = json!({ "token": secret(&file)? });
            changed(&host.ask(SET_TOKEN, &[&tenant, &target], &[], Body::Json(body)).await?)
        }
        Tenant::Secret { tenant, target, file, overlap_hours } => {
            let body = json!({ "secret": secret(&file)?, "overlap_hours": overlap_hours });
            changed(&host.ask(ADD_WEBHOOK_SECRET, &[&tenant, &target], &[], Body::Json(body)).await?)
        }
        Tenant::EndSecret { tenant, target, id } => {
            changed(&host.ask(END_WEBHOOK_SECRET, &[&tenant, &target, &id], &[], Body::Nothing).await?)
        }
    }
}

fn removed(tenant: &str) -> String {
    format!(
        "tenant {tenant} is removed; what was not over is discarded, its tokens are revoked, and its name stays its shop's"
    )
}

/// Removes a tenant from a journal that no host runs on.
pub async fn remove_offline(Remove { tenant, yes, shop, place }: Remove) -> anyhow::Result<()> {
    let config = place.configuration();
    if place.journal().is_none() && config::rules_of(&config, &tenant)?.is_some() {
        let config = config.display();
        bail!(
            "tenant `{tenant}` stands in `{config}`, and would be there again at the next start\nhint: take it out of the configuration first"
        );
    }
    let path = place.path()?;
    // Made here it would be another.
    drop(Reader::open(&path)?);
    confirm(&format!("remove tenant {tenant} from `{}`", path.display()), true, yes)?;
    let claim = Claim::on(&path)?;
    let (journal, feeds, thread) = Journal::open_as_host(&claim)?;
    let done = accounts::remove_offline(&journal, &tenant, shop.as_deref()).await;
    drop((journal, feeds));
    if thread.join().is_err() {
        bail!("the journal's thread ended in a panic");
    }
    outln!("{}, {}", removed(&tenant), done?)
}

async fn show(host: &Remote, name: &str, json: bool) -> anyhow::Result<()> {
    let answer = host.ask(TENANT, &[name], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    changed(&answer)?;
    let targets: Vec<Target> = host.ask(TARGETS, &[name], &[], Body::Nothing).await?.json()?;
    let tenants: Vec<admin::Tenant> = host.ask(TENANTS, &[], &[], Body::Nothing).await?.json()?;
    let paint = Paint::for_stdout(config::no_color());
    outln!("")?;
    if let Some(now) = tenants.iter().find(|tenant| tenant.tenant == name) {
        let oldest = age(now.oldest_s);
        let oldest = if oldest.is_empty() { oldest } else { format!(", the oldest for {oldest}") };
        field("waiting", &format!("{}{oldest}", now.waiting), paint)?;
        field("dead letters", &now.dead_letters.to_string(), paint)?;
        if let Some(why) = &now.unbuilt {
            field("rules", why, paint)?;
        }
    }
    for target in &targets {
        field(&target.target, &state(target), paint)?;
    }
    Ok(())
}

/// What is known of a tenant now.
fn changed(answer: &Answer) -> anyhow::Result<()> {
    let Account { tenant, shop, managed_by, added_at, active, shopify, omneo, limits, journal_bytes } =
        answer.json()?;
    let paint = Paint::for_stdout(config::no_color());
    field("tenant", &tenant, paint)?;
    field("shop", &shop, paint)?;
    let added = added_at.as_deref().map(|at| format!(", added {}", moment(at))).unwrap_or_default();
    field("kept by", &format!("{managed_by}{added}"), paint)?;
    field("version", active.as_deref().map_or("none: its events wait", short), paint)?;
    for (name, AccountSide { url, per_minute, grant, token_added_at, webhook_secrets }) in
        [("shopify", shopify), ("omneo", omneo)]
    {
        let rate = per_minute.map(|calls| format!(", {calls} calls a minute")).unwrap_or_default();
        let token = token_added_at.as_deref().map(|at| format!(", token of {}", moment(at))).unwrap_or_default();
        let url = if url.is_empty() { format!("not connected: `tandem connect {tenant}`") } else { url };
        field(name, &format!("{url}{rate}{token}"), paint)?;
        if let Some(grant) = grant {
            let app = format!("app {} ({})", grant.app, grant.kind);
            let held = grant.held.map(|held| {
                let renewed = format!("; {} of {}, ends {}", held.how, moment(&held.since), moment(&held.ends_at));
                let merchant = held.refresh_ends_at.as_deref().map(moment);
                renewed + &merchant.map(|at| format!("; without the merchant until {at}")).unwrap_or_default()
            });
            field("", &format!("{app}{}", held.unwrap_or_else(|| "; nothing was granted yet".into())), paint)?;
            for line in grant.refused.iter().flat_map(|why| why.lines()) {
                field("", line, paint)?;
            }
        }
        for secret in webhook_secrets {
            let ends = secret.ends_at.as_deref().map(|at| format!(", until {}", moment(at))).unwrap_or_default();
            field("", &format!("webhook secret {} of {}{ends}", secret.id, moment(&secret.added_at)), paint)?;
        }
    }
    let Quota { events_per_second, concurrent_calls, journal_bytes_max, keep_days, versions_max, versions_bytes_max } =
        limits;
    field("webhooks", &format!("{events_per_second} a second at most"), paint)?;
    field("calls", &format!("{concurrent_calls} at a time to each side at most"), paint)?;
    field(
        "journal",
        &format!("{} of {} MiB, kept for {keep_days} days", journal_bytes >> 20, journal_bytes_max >> 20),
        paint,
    )?;
    field("versions", &format!("{versions_max} at most, {} MiB in all", versions_bytes_max >> 20), paint)?;
    Ok(())
}

fn field(name: &str, value: &str, paint: Paint) -> anyhow::Result<()> {
    outln!("{} {}", paint.dim(format!("{name:<12}")), harmless(value))
}

impl Changes {
    /// What is not given is not in it.
    fn body(self) -> Value {
        let given = |pairs: &[(&str, Option<Value>)]| {
            let pairs = pairs.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        let side = |url: Option<String>, per_minute: Option<u32>| {
            given(&[("url", url.map(Value::from)), ("per_minute", per_minute.map(Value::from))])
        };
        let limits = given(&[
            ("events_per_second", self.events_per_second.map(Value::from)),
            ("concurrent_calls", self.concurrent_calls.map(Value::from)),
            ("journal_bytes_max", self.journal_bytes_max.map(Value::from)),
            ("keep_days", self.keep_days.map(Value::from)),
            ("versions_max", self.versions_max.map(Value::from)),
            ("versions_bytes_max", self.versions_bytes_max.map(Value::from)),
        ]);
        json!({
            "shop": self.shop,
            "shopify": side(self.shopify_url, self.shopify_per_minute),
            "omneo": side(self.omneo_url, self.omneo_per_minute),
            "limits": limits,
        })
    }
}

/// A secret, never from the command line, where others of the machine could read it.
pub fn secret(file: &Path) -> anyhow::Result<String> {
    let bytes = if file == Path::new("-") {
        let mut bytes = vec![];
        std::io::stdin().read_to_end(&mut bytes).context("reading the secret from standard input")?;
        bytes
    } else {
        files::read(file, "the secret")?
    };
    let text = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
    if text.is_empty() {
        let file = file.display();
        return Err(wrong_command(anyhow!("there is no secret in `{file}`\nhint: write it there, and nothing else")));
    }
    Ok(text)
}
