//! Which host a command is for, and whether whoever typed it means it. Knows no verb.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};

use super::{Place, operations, wrong_command};
use crate::admin::Tenant;
use crate::output::{note, noteln};
use crate::remote::{Body, Remote};
use crate::{config, files};

/// The options that every command has.
#[derive(clap::Args)]
#[command(next_help_heading = "A running host")]
pub struct Access {
    /// Ask this host, by the address of its admin API; without this, what `TANDEM_HOST` names.
    #[arg(long, value_name = "URL", global = true)]
    host: Option<String>,
    /// Take the token from this file; without this, from `TANDEM_TOKEN`, or the file that `TANDEM_TOKEN_FILE` names.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

/// What is shown of a tenant.
#[derive(clap::Args)]
pub struct OfTenant {
    /// The tenant.
    pub tenant: String,
    /// The host's answer as it is.
    #[arg(long)]
    pub json: bool,
}

impl Access {
    /// The host, if one is named.
    pub fn host(&self) -> anyhow::Result<Option<Remote>> {
        let (host, token) = config::host_and_token();
        let Some(host) = self.host.clone().or(host) else { return Ok(None) };
        let file = config::path("TANDEM_TOKEN_FILE").filter(|_| token.is_none());
        let token = match self.token_file.clone().or(file) {
            Some(path) => {
                if let Some(mode) = files::wider(&path) {
                    let path = path.display();
                    noteln!("warning: others can read the token in `{path}` (mode {mode:o})\nhint: chmod 600 {path}");
                }
                let text = String::from_utf8(files::read(&path, "the token")?);
                let text = text.with_context(|| format!("the token in `{}` is not text", path.display()));
                Some(text.map_err(wrong_command)?.trim().to_owned())
            }
            None => token,
        };
        Remote::new(&host, token.as_deref()).map(Some).map_err(wrong_command)
    }

    /// The host, for a command that is of no use without one.
    pub fn needed(&self) -> anyhow::Result<Remote> {
        self.host()?.ok_or_else(|| {
            wrong_command(anyhow!(
                "this is asked of a running host, and none is named\nhint: `tandem --host http://127.0.0.1:8081 …`, or that address in `TANDEM_HOST`"
            ))
        })
    }

    /// The host, unless a journal is named that is to be read instead.
    pub fn unless_journal(&self, place: &Place) -> anyhow::Result<Option<Remote>> {
        match (&self.host, &place.journal) {
            (Some(_), Some(_)) => Err(wrong_command(anyhow!(
                "`--host` contradicts `--journal`: either asks, or reads\nhint: leave one of them out"
            ))),
            (None, Some(_)) => Ok(None),
            _ => self.host(),
        }
    }

    /// For a command that works on this machine only. What the environment says may be meant for others.
    pub fn refuse(&self) -> anyhow::Result<()> {
        match &self.host {
            Some(_) => Err(wrong_command(anyhow!(
                "this command works on this machine, and asks no host\nhint: leave `--host` out, and run it where the files are"
            ))),
            None => Ok(()),
        }
    }
}

/// The tenant that is meant: the one that is named, or the only one that the token is for.
pub async fn tenant(host: &Remote, named: Option<String>) -> anyhow::Result<String> {
    if let Some(named) = named {
        return Ok(named);
    }
    let known: Vec<Tenant> = host.ask(operations::TENANTS, &[], &[], Body::Nothing).await?.json()?;
    match &known[..] {
        [only] => Ok(only.tenant.clone()),
        _ => {
            let names: Vec<_> = known.iter().take(10).map(|tenant| tenant.tenant.as_str()).collect();
            let more = if known.len() > names.len() { ", …" } else { "" };
            Err(wrong_command(anyhow!(
                "no tenant is named\nhint: `--tenant NAME`; there are {}{more}",
                names.join(", ")
            )))
        }
    }
}

/// Asks on the terminal whether to go on. Without one, what is much takes `--yes`.
pub fn confirm(what: &str, is_much: bool, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return match is_much {
            false => Ok(()),
            true => Err(wrong_command(anyhow!(
                "this would {what}, and there is no terminal to ask on\nhint: pass `--yes` if that is meant"
            ))),
        };
    }
    note!("this would {what}. Go on? [y/N] ");
    let mut said = String::new();
    std::io::stdin().lock().read_line(&mut said).context("reading the answer")?;
    if ["y", "yes"].contains(&said.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    bail!("nothing was done")
}
