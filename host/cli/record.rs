//! `tandem record`: turns a journalled event into a case and says whether that runs as the event did. Knows no other command.

use std::path::PathBuf;

use anyhow::{anyhow, bail};

use super::{Place, test, wrong_command};
use crate::config;
use crate::journal::Reader;
use crate::model::EventId;
use crate::output::{note, outln};
use crate::record::record;

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of the event.
    event: i64,
    /// The folder of cases to put it in.
    #[arg(short, long)]
    output: PathBuf,
    /// What the case is called; better a sentence that says what it shows.
    #[arg(long)]
    name: Option<String>,
    /// The rules that the event ran with; without it, those that the configuration has for its tenant.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// The component, or core module, that a rules file is frozen into; without it, the default rules.
    #[arg(long, requires = "rules")]
    base: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { event, output, name, rules, base, place } = arguments;
    let id = EventId(event);
    let config = place.journal().is_none().then(|| place.configuration());
    let reader = place.path().and_then(|path| Reader::open(&path)).map_err(wrong_command)?;
    let rules = match rules {
        Some(rules) => rules,
        None => rules_of(&reader, id, config).map_err(wrong_command)?,
    };
    let bench = test::bench(&rules, base.as_deref()).await?;
    let recorded = record(&reader, bench.usual(), id)?;
    let name = name.unwrap_or_else(|| format!("event-{id}"));
    let folder = recorded.write(&output, &name).map_err(wrong_command)?;
    outln!("{}", folder.display())?;
    let Some(difference) = recorded.difference else { return Ok(()) };
    note!("{difference}");
    let version = match &recorded.other_version {
        Some(version) => format!("give the rules that it ran with: their digest begins with {}", &version[..version.len().min(12)]),
        None => "invented values may mean something else to these rules, or the host ended the event: read the difference, and correct the case".into(),
    };
    bail!("with invented values the event does not run as it did; the case holds what it did\nhint: {version}")
}

/// The rules that the configuration has for the tenant of an event.
fn rules_of(reader: &Reader, id: EventId, config: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let Some(event) = reader.event(id)? else {
        bail!("there is no event {id} in the journal\nhint: `tandem events` lists them");
    };
    let Some(config) = config else {
        bail!("it is not known which rules the event ran with\nhint: `--rules FILE` names them");
    };
    let tenant = event.webhook.tenant;
    config::rules_of(&config, &tenant)?.ok_or_else(|| {
        anyhow!("`{}` has no rules for the tenant `{tenant}`\nhint: `--rules FILE` names them", config.display())
    })
}
