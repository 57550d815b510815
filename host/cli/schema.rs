//! `tandem schema`: asks a component for the schema of its rules file. Knows no other command.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::slow::slow;
use crate::output::outln;
use crate::{bake, files, rules};

#[derive(clap::Args)]
pub struct Arguments {
    /// Describe the rules file of this component, or core module, instead of that of the default rules.
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Write the schema to this file; without it, to the standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (base, name) = match arguments.base {
        Some(path) => (bake::read_component(&path)?, format!("plugin `{}`", path.display())),
        None => (bake::default_base()?, "the default rules".to_owned()),
    };
    let _slow = slow(format!("asking {name}"));
    let plugin: rules::Plugin = bake::whole(&base).context(name.clone())?;
    let Some(schema) = plugin.schema().context(name.clone())? else {
        bail!("{name} has no function `schema`\nhint: build it against wit/v0.1 as it is now");
    };
    let Some(output) = arguments.output else { return outln!("{schema:#}") };
    files::write(&output, format!("{schema:#}\n").as_bytes())?;
    outln!("{}", output.display())
}
