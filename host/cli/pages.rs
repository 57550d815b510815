//! `tandem completions` and `tandem man`: what a shell and `man` know of the commands. Know no other command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use super::help;
use crate::files;
use crate::output::{data, outln};

const NAME: &str = "tandem";

#[derive(Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Args)]
pub struct Man {
    /// The folder to write the pages into: `tandem.1`, `tandem-serve.1`, `tandem-token-create.1` and one for each other command.
    folder: PathBuf,
}

pub fn completions(Completions { shell }: Completions) -> anyhow::Result<()> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut help::plain(), NAME, &mut text);
    data(format_args!("{}", String::from_utf8(text).context("writing the completions")?))
}

pub fn man(Man { folder }: Man) -> anyhow::Result<()> {
    files::folder(&folder)?;
    let mut whole = help::plain();
    whole.build();
    let mut pages = vec![];
    written(&whole, NAME, &mut pages)?;
    for (name, text) in &pages {
        files::write(&folder.join(format!("{name}.1")), text)?;
    }
    outln!("{}: {} pages", folder.display(), pages.len())
}

/// The pages of a command and of those below it: a page lists the pages of its commands, so each of these is there.
fn written(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    // `help` has no page, and so is listed on none.
    let listed = command.clone().mut_subcommands(|one| if shown(&&one) { one } else { one.hide(true) });
    let page = clap_mangen::Man::new(listed.display_name(name.to_owned())).title(name);
    let mut text = vec![];
    page.render(&mut text).with_context(|| format!("writing the page of `{name}`"))?;
    pages.push((name.to_owned(), text));
    for inner in command.get_subcommands().filter(shown) {
        written(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}
