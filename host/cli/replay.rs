//! `tandem replay`: reads its arguments, shows how far it is, and prints the report. Knows no journal and no rules.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::access::Access;
use super::replay_live::{self, Live};
use super::{Place, runtime, wrong_command};
use crate::journal::{Range, Reader};
use crate::model::Millis;
use crate::output::{noteln, out, outln};
use crate::paint::Paint;
use crate::replay::{self, Replay, Report, Require};
use crate::rules::Plugin;
use crate::{bake, clock, config, engine};

/// Events that are replayed if nobody says how many.
const LAST: u64 = 10_000;

#[derive(Args)]
pub struct Arguments {
    /// The candidate: a component, or a rules file to freeze into the default rules. Not on a host.
    #[arg(conflicts_with_all = ["events", "from", "to", "topic", "outcome", "send"])]
    candidate: Option<PathBuf>,
    /// Whose events.
    #[arg(long)]
    tenant: String,
    /// The newest so many; without it and `--since`, the newest 10000.
    #[arg(long, conflicts_with = "since")]
    last: Option<u64>,
    /// Those received since: `2026-01-02`, `2026-01-02T03:04:05Z`, or `90m`, `36h`, `7d` ago.
    #[arg(long, value_parser = since)]
    since: Option<Millis>,
    /// What the report must say for exit code 0.
    #[arg(long, value_enum, default_value_t = Require::NoFailures)]
    require: Require,
    /// Show what was sent and what would be. It is personal data: do not keep it.
    #[arg(long)]
    values: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    live: Live,
    #[command(flatten)]
    place: Place,
}

pub fn run(arguments: Arguments, access: &Access) -> anyhow::Result<()> {
    let Arguments { candidate, tenant, last, since, require, values, json, live, place } = arguments;
    // A candidate is a file here, whatever host is meant otherwise.
    let Some(candidate) = candidate else {
        return match access.unless_journal(&place)? {
            Some(host) => runtime()?.block_on(replay_live::run(&host, &tenant, since, live, json)),
            None => Err(wrong_command(anyhow!(
                "it is not said what to replay through\nhint: name a candidate, a component or a rules file; or a host, for its live version: `--host URL`"
            ))),
        };
    };
    access.refuse()?;
    let path = place.path()?;
    let reader = Reader::open(&path)?;
    let plugin = plugin(&candidate)?;
    let range = since.map_or(Range::Last(last.unwrap_or(LAST)), Range::Since);
    let bar = bar()?;
    let replay = Replay { tenant: &tenant, range, candidate: &plugin, with_values: values };
    let report = replay.run(&reader, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    if report.events == 0 && !reader.tenants()?.contains(&tenant) {
        let tenants = reader.tenants()?.join(", ");
        let hint =
            if tenants.is_empty() { "it has no events at all".into() } else { format!("it has those of {tenants}") };
        bail!("there are no events of `{tenant}` in `{}`\nhint: {hint}", path.display());
    }
    if json {
        outln!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        out!("{}", replay::text(&report, Paint::for_stdout(config::no_color())))?;
    }
    verdict(&report, require)
}

/// Whether the report lets a version through.
pub(super) fn verdict(report: &Report, require: Require) -> anyhow::Result<()> {
    let cases = report.cases_against(require);
    if cases > 0 {
        bail!("{cases} of the tenant's cases fail\nhint: correct the rules, or put other cases: `tandem cases put`");
    }
    if report.compared() == 0 {
        noteln!("note: no event could be compared, so this proves nothing");
    }
    let against = report.against(require);
    match require {
        _ if against == 0 => Ok(()),
        Require::Identical => bail!(
            "{against} of {} events are not identical\nhint: `--require no-failures` lets a version through that does something else",
            report.events
        ),
        _ => bail!(
            "{against} of {} events fail that did not\nhint: `--values` shows the whole reasons; `--require none` lets it through all the same",
            report.events
        ),
    }
}

fn plugin(path: &Path) -> anyhow::Result<Plugin> {
    let name = path.display();
    let component = if path.extension().is_some_and(|extension| extension == "toml") {
        let (text, base) = (bake::read_rules(path)?, bake::default_base()?);
        let baked = runtime()?.block_on(bake::bake(&engine::building_engine()?, &base, &name.to_string(), &text));
        baked.map_err(|refused| anyhow!("{refused}"))?.component
    } else {
        bake::read_component(path)?
    };
    Plugin::load(&engine::engine()?, &component).with_context(|| format!("the candidate `{name}`"))
}

/// Shown on standard error, if that is a terminal.
pub(super) fn bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left")?;
    Ok(ProgressBar::no_length().with_style(style))
}

pub(super) fn since(text: &str) -> Result<Millis, String> {
    let ago = |unit: char, ms: Millis| {
        text.strip_suffix(unit).and_then(|n| n.parse::<u32>().ok()).map(|n| Millis::from(n) * ms)
    };
    if let Some(ms) = ago('m', 60_000).or(ago('h', 3_600_000)).or(ago('d', 86_400_000)) {
        return Ok(clock::now() - ms);
    }
    let moment = clock::parse(text).or_else(|| clock::parse(&format!("{text}T00:00:00Z")));
    moment.ok_or_else(|| "write a date, a time with its offset, or `90m`, `36h`, `7d`".to_owned())
}
