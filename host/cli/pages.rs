//! `tandem completions` and `tandem man`: what a shell and `man` know of the commands. Know no other command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
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
    /// The folder to write the pages into: `tandem.1`, `tandem-serve.1` and one for each other command.
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
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let pages = shown.map(|command| (format!("{NAME}-{}", command.get_name()), command.clone()));
    let pages: Vec<_> = [(NAME.to_owned(), whole.clone())].into_iter().chain(pages).collect();
    for (name, page) in &pages {
        let mut text = vec![];
        let page = clap_mangen::Man::new(page.clone()).title(name);
        page.render(&mut text).with_context(|| format!("writing the page of `{name}`"))?;
        files::write(&folder.join(format!("{name}.1")), &text)?;
    }
    outln!("{}: {} pages", folder.display(), pages.len())
}
