//! `tandem build`: reads the files, has them built, and writes the component. Knows no other command.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::slow::slow;
use crate::bake::{self, Baked, Refused};
use crate::output::{note, noteln, out, outln};
use crate::paint::harmless;
use crate::rules::{Manifest, Plugin, digest};
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
    /// Where to write the component; without this, the rules file is only checked.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print every setting in force as a rules file, and of each whether it is the default.
    #[arg(long)]
    explain: bool,
    /// Take the place of a component with another value of what people are linked by, such as `identity.handle`.
    #[arg(long)]
    relink: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { rules, base: base_path, output, explain, relink } = arguments;
    let base = match &base_path {
        Some(path) => bake::read_component(path)?,
        None => bake::default_base()?,
    };
    let is_default = base_path.is_none();
    let given = rules.as_ref().or(base_path.as_ref()).map_or(String::new(), |path| path.display().to_string());
    let base_name = base_path.map_or("the default rules".to_owned(), |path| format!("plugin `{}`", path.display()));
    let _slow = slow(format!("building {given}"));
    // What the component was built of, for those who want it explained.
    let (component, manifest, file, text) = match rules {
        Some(path) => {
            let file = path.display().to_string();
            let text = bake::read_rules(&path)?;
            let baked = bake::bake(&engine::building_engine()?, &base, &file, &text).await;
            let Baked { component, manifest, warnings } = baked.map_err(|refused| match refused {
                Refused::Rules(mistakes) => anyhow!("{}", mistakes.trim_end()),
                Refused::Other(error) => error.context(base_name.clone()),
            })?;
            note!("{warnings}");
            if !is_default {
                // Editors need the schema; what is built does not.
                let doubts = bake::schema_doubts(&base, &text).unwrap_or_else(|error| vec![format!("{error:#}")]);
                for doubt in doubts {
                    noteln!("warning: {base_name}: {}", harmless(&doubt));
                }
            }
            (component, manifest, file, text)
        }
        None => {
            let text = bake::origin(&base).map(|origin| origin.rules).unwrap_or_default();
            (base, None, "rules".to_owned(), text)
        }
    };
    let manifest = match manifest {
        Some(manifest) => manifest,
        // What cannot be loaded is not worth keeping.
        None => Plugin::load(&engine::checking_engine()?, &component).context(base_name)?.manifest().clone(),
    };
    if explain {
        out!("{}", bake::explain(&file, &text, &manifest))?;
    }
    let Some(output) = output else {
        return if explain { Ok(()) } else { outln!("{given} is right; `-o FILE` writes the component") };
    };
    if !relink {
        keep_links(&output, &component, &manifest)?;
    }
    files::write(&output, &component)?;
    let done = format!("{} {} bytes sha256:{}", output.display(), component.len(), digest(&component));
    // Standard output is for one kind of data.
    if explain {
        noteln!("{done}")
    } else {
        outln!("{done}")?
    }
    Ok(())
}

/// Refuses to write over a component whose people were linked by something else. The host that runs it knows whether
/// anybody is; here it is only likely.
fn keep_links(output: &Path, new: &[u8], manifest: &Manifest) -> anyhow::Result<()> {
    let Ok(old) = std::fs::read(output) else { return Ok(()) };
    let links = manifest.settings.iter().filter(|setting| setting.fixed);
    // Of one base and the same settings in the file come the same links, and nothing has to be compiled to know that.
    if bake::say_the_same(&old, new, links.clone().map(|setting| setting.at.as_str())) {
        return Ok(());
    }
    let Ok(old) = Plugin::load(&engine::checking_engine()?, &old) else { return Ok(()) };
    for setting in links {
        let was = old.manifest().settings.iter().find(|was| was.at == setting.at && was.value != setting.value);
        if let Some(was) = was {
            bail!(
                "`{}` was built with `{} = {}`, and this would be {}: whoever is linked by the old value would be cut off\n\
                 hint: set it back, or pass `--relink` here and to `tandem serve`, which then links everybody anew",
                output.display(),
                setting.at.trim_start_matches('/').replace('/', "."),
                was.value,
                setting.value
            );
        }
    }
    Ok(())
}
