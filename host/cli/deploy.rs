//! `tandem deploy`, `undeploy`, `prove`, `activate` and `rollback`: a tenant's versions on a host. Knows no other command.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::operations::{ACTIVATE, DEPLOY, PROGRESS, PROOF, PROVE, REMOVE_VERSION, ROLL_BACK};
use super::replay::{bar, since, verdict};
use super::slow::slow;
use crate::admin::{Progress, Step, Swapped, Version};
use crate::clock;
use crate::model::Millis;
use crate::output::{note, noteln, out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Answer, Body, Operation, Remote};
use crate::replay::{self, Report, Require};
use crate::rules::short;
use crate::{bake, config};

/// Things of one kind that are named where a version lacks many.
const NAMES_SHOWN: usize = 4;
/// How often a host is asked how far a proof is.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

#[derive(Args)]
pub struct Deploy {
    /// The tenant.
    tenant: String,
    /// A component, or a rules file, which the host freezes into the default rules.
    file: PathBuf,
    /// Say this of the version wherever versions are listed.
    #[arg(long)]
    note: Option<String>,
    /// Make it current if its proof lets it.
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    how: How,
    /// The host's answers as they are, a line each.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Undeploy {
    /// The tenant.
    tenant: String,
    /// The version, by its digest or the first digits.
    version: String,
}

#[derive(Args)]
pub struct Prove {
    /// The tenant.
    tenant: String,
    /// The version, by its digest or the first digits.
    version: String,
    #[command(flatten)]
    proof: Proof,
    /// Show what the latest proof found, and run none.
    #[arg(long)]
    kept: bool,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Activate {
    /// The tenant.
    tenant: String,
    /// The version, by its digest or the first digits.
    version: String,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    how: How,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Rollback {
    /// The tenant.
    tenant: String,
    /// The whole digest that must be active now, and is left.
    #[arg(long, value_name = "DIGEST")]
    expected: Option<String>,
    /// Wait until nothing runs.
    #[arg(long)]
    drain: bool,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

/// What a version has to show.
#[derive(Args)]
struct Proof {
    /// What a replay of recorded events must say; `none` replays nothing where a version is activated.
    #[arg(long, value_enum, default_value_t = Require::NoFailures)]
    require: Require,
    /// Replay the newest so many events.
    #[arg(long, conflicts_with = "since")]
    last: Option<u64>,
    /// Replay those received since: `2026-01-02`, `2026-01-02T03:04:05Z`, or `90m`, `36h`, `7d` ago.
    #[arg(long, value_parser = since)]
    since: Option<Millis>,
}

/// How a version is made current.
#[derive(Args)]
struct How {
    /// The whole digest that must be active now.
    #[arg(long, value_name = "DIGEST")]
    expected: Option<String>,
    /// Wait until nothing runs, even if no event would be in another lane.
    #[arg(long)]
    drain: bool,
    /// Roll back by itself when so many of the latest 64 events fail by the version's fault.
    #[arg(long, value_name = "N")]
    rollback_on_failures: Option<u32>,
    /// Let it change what people are linked by, and link everybody anew.
    #[arg(long)]
    relink: bool,
}

pub async fn undeploy(host: &Remote, Undeploy { tenant, version }: Undeploy) -> anyhow::Result<()> {
    host.ask(REMOVE_VERSION, &[&tenant, &version], &[], Body::Nothing).await?;
    outln!("version {version} of {tenant} is removed")
}

pub async fn deploy(host: &Remote, arguments: Deploy) -> anyhow::Result<()> {
    let Deploy { tenant, file, note, activate, proof, how, json } = arguments;
    let is_rules = file.extension().is_some_and(|extension| extension == "toml");
    let body = if is_rules {
        Body::File { kind: "application/toml", sha256: None, bytes: bake::read_rules(&file)?.into_bytes() }
    } else {
        let bytes = bake::read_component(&file)?;
        Body::File { kind: "application/wasm", sha256: Some(hex::encode(Sha256::digest(&bytes))), bytes }
    };
    let mut said: Vec<_> = note.into_iter().map(|note| ("note", note)).collect();
    said.extend(is_rules.then(|| ("file", file.display().to_string())));
    let building = slow(format!("the host builds {}", file.display()));
    let answer = host.ask(DEPLOY, &[&tenant], &said, body).await?;
    drop(building);
    let version: Version = answer.json()?;
    say(json, &answer, || {
        let there = if version.is_new == Some(false) { "was there before" } else { "is new" };
        outln!("version {} ({}) {there}", short(&version.digest), harmless(&version.name))?;
        note!("{}", harmless(version.warnings.as_deref().unwrap_or_default()));
        Ok(())
    })?;
    if activate {
        // The activation proves the version; a proof before it would be the same work twice.
        let proves = proof.require != Require::None;
        let made = make_current(host, &tenant, &version.digest, proof, how).await;
        let is_told = proves && (made.is_ok() || version.is_new == Some(true));
        if is_told && let Ok(answer) = host.ask(PROOF, &[&tenant, &version.digest], &[], Body::Nothing).await {
            let report = answer.json()?;
            say(json, &answer, || told(&report))?;
        }
        let kept = || format!("version {} is kept, and not active", short(&version.digest));
        return swapped(&tenant, &made.map_err(|error| error.context(kept()))?, json);
    }
    let (answer, report) = replayed(host, &tenant, &version.digest, &proof).await?;
    say(json, &answer, || told(&report))?;
    if let Err(error) = verdict(&report, proof.require) {
        let kept = format!("version {} is kept, and not active", short(&version.digest));
        return Err(error.context(kept));
    }
    if version.is_new == Some(true) {
        noteln!("nothing runs on it yet: `tandem activate {tenant} {}`", short(&version.digest));
    }
    Ok(())
}

/// A report as people read it.
fn told(report: &Report) -> anyhow::Result<()> {
    out!("\n{}", replay::text(report, Paint::for_stdout(config::no_color())))
}

pub async fn prove(host: &Remote, arguments: Prove) -> anyhow::Result<()> {
    let Prove { tenant, version, proof, kept, json } = arguments;
    let (answer, report) = if kept {
        let answer = host.ask(PROOF, &[&tenant, &version], &[], Body::Nothing).await?;
        let report = answer.json()?;
        (answer, report)
    } else {
        replayed(host, &tenant, &version, &proof).await?
    };
    say(json, &answer, || out!("{}", replay::text(&report, Paint::for_stdout(config::no_color()))))?;
    verdict(&report, proof.require)
}

pub async fn activate(host: &Remote, arguments: Activate) -> anyhow::Result<()> {
    let Activate { tenant, version, proof, how, json } = arguments;
    swapped(&tenant, &make_current(host, &tenant, &version, proof, how).await?, json)
}

pub async fn rollback(host: &Remote, arguments: Rollback) -> anyhow::Result<()> {
    let Rollback { tenant, expected, drain, json } = arguments;
    let body = json!({ "expected": whole(expected)?, "drain": drain });
    let answer = host.ask(ROLL_BACK, &[&tenant], &[], Body::Json(body)).await?;
    swapped(&tenant, &answer, json)
}

/// The events that a proof replays, as the API takes them.
struct Range {
    last: Option<u64>,
    since: Option<String>,
}

impl Proof {
    fn range(&self) -> Range {
        Range { last: self.last, since: self.since.map(clock::rfc3339) }
    }
}

async fn replayed(host: &Remote, tenant: &str, version: &str, proof: &Proof) -> anyhow::Result<(Answer, Report)> {
    let Range { last, since } = proof.range();
    let answer = watched(host, PROVE, [tenant, version], json!({ "last": last, "since": since })).await?;
    let report = answer.json()?;
    Ok((answer, report))
}

/// Asks for what begins with a proof, and shows how far that is until the answer comes.
async fn watched(host: &Remote, operation: Operation, names: [&str; 2], body: Value) -> anyhow::Result<Answer> {
    let bar = bar()?;
    let answer = host.ask(operation, &names, &[], Body::Json(body));
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => {
                bar.finish_and_clear();
                return answer;
            }
            () = tokio::time::sleep(PROGRESS_EVERY) => {
                // It is only for show.
                let Ok(said) = host.ask(PROGRESS, &names, &[], Body::Nothing).await else { continue };
                if let Ok(Progress { done, all, running: true }) = said.json() {
                    bar.set_length(all);
                    bar.set_position(done);
                }
            }
        }
    }
}

async fn make_current(
    host: &Remote,
    tenant: &str,
    version: &str,
    proof: Proof,
    How { expected, drain, rollback_on_failures, relink }: How,
) -> anyhow::Result<Answer> {
    let require = match proof.require {
        Require::Identical => "identical",
        Require::NoFailures => "no-failures",
        Require::None => "none",
    };
    let Range { last, since } = proof.range();
    let body = json!({
        "require": require, "last": last, "since": since, "expected": whole(expected)?, "drain": drain,
        "rollback_on_failures": rollback_on_failures, "relink": relink,
    });
    watched(host, ACTIVATE, [tenant, version], body).await
}

fn swapped(tenant: &str, answer: &Answer, json: bool) -> anyhow::Result<()> {
    let Swapped { active, replaced, relinked, again, lacks } = answer.json()?;
    say(json, answer, || {
        let before = replaced.as_deref().map(|digest| format!(", in place of {}", short(digest))).unwrap_or_default();
        outln!("{tenant} runs {}{before}", short(&active))?;
        if relinked > 0 {
            outln!("{relinked} people are linked anew")?;
        }
        if again > 0 {
            outln!("{again} events begin again on it")?;
        }
        note!("{}", lacking(tenant, &lacks));
        Ok(())
    })
}

/// What a version lacks on both sides: a line for all of one kind, the hint of each once, and where to see the whole.
fn lacking(tenant: &str, lacks: &[Step]) -> String {
    let mut groups: Vec<(&Step, Vec<&str>)> = vec![];
    for step in lacks {
        let is_same = |(other, _): &&mut (&Step, Vec<&str>)| {
            step.kind.is_some() && (&step.side, &step.state, &step.kind) == (&other.side, &other.state, &other.kind)
        };
        let name = step.name.as_deref().unwrap_or_default();
        match groups.iter_mut().find(is_same) {
            Some((_, names)) => names.push(name),
            None => groups.push((step, vec![name])),
        }
    }
    let mut text = String::new();
    let mut told: Vec<&str> = vec![];
    for (n, (step, names)) in groups.iter().enumerate() {
        if n == 0 {
            text += &format!("it lacks on both sides, until `tandem tenant setup {tenant}` makes it:\n");
        }
        let what = match &step.kind {
            Some(kind) if names.len() > 1 => {
                let more = names.len().saturating_sub(NAMES_SHOWN);
                let shown = names[..names.len() - more].join(", ");
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{} {kind}s: {shown}{more}", names.len())
            }
            _ => step.what.clone(),
        };
        text += &format!("  {:<8} {}\n", harmless(&step.side), harmless(&what));
        if let Some(hint) = step.hint.as_deref().filter(|hint| !told.contains(hint)) {
            text += &format!("  hint: {}\n", harmless(hint));
            told.push(hint);
        }
    }
    if groups.iter().any(|(_, names)| names.len() > NAMES_SHOWN) {
        text += &format!("hint: `tandem tenant setup {tenant} --dry-run` names each\n");
    }
    text
}

/// The host's answer as it is, or what people read.
fn say(json: bool, answer: &Answer, tell: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    if json { outln!("{}", answer.text.trim_end()) } else { tell() }
}

/// A digest that is compared as a whole.
fn whole(digest: Option<String>) -> anyhow::Result<Value> {
    match digest {
        Some(digest) if digest.len() != 64 => {
            bail!(
                "`--expected {digest}` is not a whole digest, which has 64 digits\nhint: `tandem versions TENANT --json` has them"
            )
        }
        digest => Ok(json!(digest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(side: &str, state: &str, of: Option<(&str, &str)>, hint: Option<&str>) -> Step {
        let (kind, name) = of.map(|(kind, name)| (kind.to_owned(), name.to_owned())).unzip();
        let what = format!("{} {}", kind.as_deref().unwrap_or("the time zone"), name.as_deref().unwrap_or_default());
        Step { side: side.into(), state: state.into(), what, kind, name, hint: hint.map(str::to_owned) }
    }

    #[test]
    fn what_a_version_lacks_is_told_in_a_few_lines() {
        assert_eq!(lacking("acme", &[]), "");
        let topics: Vec<_> = (0..40).map(|n| format!("topic/{n}")).collect();
        let mut lacks: Vec<_> =
            topics.iter().map(|topic| step("shopify", "create", Some(("webhook", topic)), None)).collect();
        lacks.push(step("shopify", "missing", Some(("scope", "read_orders")), Some("add it to the app")));
        lacks.push(step("shopify", "missing", Some(("scope", "read_products")), Some("add it to the app")));
        lacks.push(step("omneo", "create", Some(("webhook", "profile.created")), None));
        lacks.push(step("rules", "missing", None, Some("add it to the app")));
        assert_eq!(
            lacking("acme", &lacks),
            "it lacks on both sides, until `tandem tenant setup acme` makes it:
  shopify  40 webhooks: topic/0, topic/1, topic/2, topic/3 and 36 more
  shopify  2 scopes: read_orders, read_products
  hint: add it to the app
  omneo    webhook profile.created
  rules    the time zone 
hint: `tandem tenant setup acme --dry-run` names each
"
        );
    }
}
