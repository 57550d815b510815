//! `tandem try`: lets events happen in the stand-ins' world, through rules. Knows no other command.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;

use super::slow::slow;
use super::trigger::made;
use crate::output::{out, outln};
use crate::paint::Paint;
use crate::samples::{self, Edit, Unfit};
use crate::simulate::{self, Step};
use crate::{config, playground, topics};

#[derive(Args)]
pub struct Arguments {
    /// What happens, in this order: `orders/paid`, `profile.updated`. A person is on both sides before, unless that is how it begins.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    with: With,
    /// The body of the last event; `-` for standard input. Without it, the stand-in does what the topic tells of.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Change one place of what happens last: `first_name=Augusta`, `total_price=10.00`. May be repeated.
    #[arg(long = "edit", value_name = "PLACE=VALUE")]
    edits: Vec<Edit>,
}

/// The rules, and what must come of it.
#[derive(Args)]
pub struct With {
    /// The rules: a rules file, a component, or a core module that carries the plugin world.
    #[arg(long)]
    pub rules: PathBuf,
    /// The component, or core module, that a rules file is frozen into; without it, the default rules.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// How these events have to end; without it, `done` or `skipped`.
    #[arg(long, value_parser = ["done", "skipped", "refused", "invalid", "failed"])]
    pub ends: Option<String>,
    /// Print events and both sides as JSON.
    #[arg(long)]
    pub json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { topics, with, body, edits } = arguments;
    let (last, before) = topics.split_last().ok_or_else(|| anyhow!("nothing happens"))?;
    let mut steps = vec![];
    for topic in before {
        let (topic, _) = made(topic, None, &[])?;
        steps.push(Step { topic, body: None, edits: vec![] });
    }
    let (topic, whole) = made(last, body.as_deref(), &[])?;
    let body = body.map(|_| edits.iter().try_fold(whole, |mut body, edit| edit.apply(&mut body).map(|()| body)));
    let body = body.transpose().map_err(Unfit)?;
    steps.push(Step { topic, body, edits });
    play(&with, &steps).await
}

/// Plays the steps and prints what came of them.
pub async fn play(With { rules, base, ends, json }: &With, steps: &[Step]) -> anyhow::Result<()> {
    let compiling = slow(format!("compiling {}", rules.display()));
    let plugin = playground::plugin_of(rules, base.as_deref()).await?;
    drop(compiling);
    let heard = plugin.manifest().listens.clone();
    for Step { topic, .. } in steps {
        let source = samples::source_of(topic);
        if !heard.iter().any(|(of, known)| of == source && known == topic) {
            let hint = topics::hint(topic, heard.iter().map(|(_, topic)| topic.as_str()));
            bail!("the rules do not listen to `{topic}` of {source}{hint}");
        }
    }
    let simulated = simulate::run(plugin, steps).await?;
    match json {
        true => outln!("{:#}", simulated.json()?)?,
        false => out!("{}", simulated.show(Paint::for_stdout(config::no_color())))?,
    }
    let ends = ends.as_deref().map_or(vec!["done", "skipped"], |ends| vec![ends]);
    let otherwise = simulated.otherwise(&ends);
    if !otherwise.is_empty() {
        bail!("{}\nhint: `--ends` says how it has to end", otherwise.join("; "));
    }
    Ok(())
}
