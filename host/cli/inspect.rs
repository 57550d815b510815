//! `tandem inspect`: loads a component and prints what it is. Knows no other command.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::output::out;
use crate::rules::Plugin;
use crate::{bake, engine, inspect};

#[derive(clap::Args)]
pub struct Arguments {
    /// A component, or a core module that carries the plugin world.
    component: PathBuf,
    /// Print the rules file that it was built from, as it was written, and nothing else.
    #[arg(long)]
    rules: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { component: path, rules } = arguments;
    let bytes = bake::read_component(&path)?;
    let origin = bake::origin(&bytes);
    if rules {
        let Some(origin) = origin else {
            bail!(
                "plugin `{}` carries no rules file\nhint: one that `tandem build RULES.toml -o FILE` has made does",
                path.display()
            );
        };
        out!("{}", origin.rules)?;
        return Ok(());
    }
    let plugin =
        Plugin::load(&engine::checking_engine()?, &bytes).with_context(|| format!("plugin `{}`", path.display()))?;
    out!("{}", inspect::report(&plugin, origin.as_ref()))?;
    Ok(())
}
