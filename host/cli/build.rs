//! `tandem build`: reads the files, has them built, and writes the component. Knows no other command.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::read_component;
use crate::rules::Plugin;
use crate::{bake, engine};

#[derive(clap::Args)]
pub struct Arguments {
    /// The rules file.
    rules: PathBuf,
    /// The component, or core module, to freeze it into; without it, the default rules.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Where to write the component.
    #[arg(short, long)]
    output: PathBuf,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { rules, base, output } = arguments;
    let name = rules.display().to_string();
    let text = std::fs::read_to_string(rules).with_context(|| format!("reading the rules `{name}`"))?;
    let base = match base {
        Some(base) => read_component(&base)?,
        None => bake::default_base()?,
    };
    let component = match bake::bake(&engine::building_engine()?, &base, &name, &text).await {
        Ok(component) => component,
        Err(refused) => bail!("{refused}"),
    };
    // What cannot be loaded is not worth keeping.
    let plugin = Plugin::load(&engine::engine()?, &component)?;
    std::fs::write(&output, &component).with_context(|| format!("writing `{}`", output.display()))?;
    println!("{} {} bytes sha256:{}", output.display(), component.len(), plugin.digest());
    Ok(())
}
