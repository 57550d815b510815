//! `tandem build`: reads the files, has them built, and writes the component. Knows no other command.

use std::path::PathBuf;

use anyhow::{Context, anyhow};

use crate::bake::{self, Baked, Refused};
use crate::rules::Plugin;
use crate::{engine, files};

#[derive(clap::Args)]
pub struct Arguments {
    /// The rules file; without it, `--base` is only made a component.
    #[arg(required_unless_present = "base")]
    rules: Option<PathBuf>,
    /// The component, or core module, to freeze it into; without it, the default rules. One that was built so stands for
    /// the one that it was built of.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Where to write the component.
    #[arg(short, long, required_unless_present = "explain")]
    output: Option<PathBuf>,
    /// Print every setting in force as a rules file, and of each whether it is the default.
    #[arg(long)]
    explain: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { rules, base: base_path, output, explain } = arguments;
    let base = match &base_path {
        Some(path) => bake::read_component(path)?,
        None => bake::default_base()?,
    };
    let base_name = base_path.map_or("the default rules".to_owned(), |path| format!("plugin `{}`", path.display()));
    // What the component was built of, for those who want it explained.
    let (component, file, text) = match rules {
        Some(path) => {
            let file = path.display().to_string();
            let text = bake::read_rules(&path)?;
            let baked = bake::bake(&engine::building_engine()?, &base, &file, &text).await;
            let Baked { component, warnings } = baked.map_err(|refused| match refused {
                Refused::Rules(mistakes) => anyhow!("{}", mistakes.trim_end()),
                Refused::Other(error) => error.context(base_name.clone()),
            })?;
            eprint!("{warnings}");
            (component, file, text)
        }
        None => {
            let text = bake::origin(&base).map(|origin| origin.rules).unwrap_or_default();
            (base, "rules".to_owned(), text)
        }
    };
    // What cannot be loaded is not worth keeping.
    let plugin = Plugin::load(&engine::checking_engine()?, &component).context(base_name)?;
    if explain {
        print!("{}", bake::explain(&file, &text, plugin.manifest()));
    }
    let Some(output) = output else { return Ok(()) };
    files::write(&output, &component)?;
    let done = format!("{} {} bytes sha256:{}", output.display(), component.len(), plugin.digest());
    // Standard output is for one kind of data.
    if explain {
        eprintln!("{done}")
    } else {
        println!("{done}")
    }
    Ok(())
}
