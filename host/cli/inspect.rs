//! `tandem inspect`: loads a component and prints what it is. Knows no other command.

use std::path::PathBuf;

use super::load;
use crate::inspect;

#[derive(clap::Args)]
pub struct Arguments {
    /// A component, or a core module that carries the plugin world.
    component: PathBuf,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plugin = load(&arguments.component)?;
    print!("{}", inspect::report(&plugin));
    Ok(())
}
