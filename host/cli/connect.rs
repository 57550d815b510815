//! `tandem connect`: which Omneo tenant is a tenant's own, asked at a terminal or told. Knows no other command.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;

use super::operations::CONNECT;
use super::set_up;
use super::tenants::secret;
use crate::output::noteln;
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Connect {
    /// The tenant.
    tenant: String,
    /// Where Omneo's API is: `https://api.acme.getomneo.com/api/v3`, or only `acme`. Without it, it is asked for.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// A file with the API token, or `-` for standard input. Without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// A file with the secret of Omneo's webhooks, for where Omneo does not tell it by itself.
    #[arg(long, value_name = "FILE")]
    webhook_secret: Option<PathBuf>,
    /// Leave Omneo as it is known, and make what is missing.
    #[arg(long, conflicts_with_all = ["address", "token", "webhook_secret"])]
    again: bool,
    /// The host's answer as it is.
    #[arg(long)]
    json: bool,
}

pub async fn run(
    host: &Remote,
    Connect { tenant, address, token, webhook_secret, again, json }: Connect,
) -> anyhow::Result<()> {
    if again {
        let answer = host.ask(CONNECT, &[&tenant], &[], Body::Json(json!({}))).await?;
        return set_up::show(&answer, false, json);
    }
    if (address.is_none() || token.is_none()) && !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask at\nhint: give `--address URL` and `--token FILE`");
    }
    let address = match address {
        Some(address) => address,
        None => asked("Address of the Omneo tenant, like https://api.acme.getomneo.com/api/v3: ")?,
    };
    let token = match token {
        Some(file) => secret(&file)?,
        None => rpassword::prompt_password("API token, from CX Manager, Settings, API Tokens: ")
            .context("reading the token")?,
    };
    let webhook_secret = webhook_secret.map(|file| secret(&file)).transpose()?;
    let body = json!({ "address": address, "token": token, "webhook_secret": webhook_secret });
    let answer = host.ask(CONNECT, &[&tenant], &[], Body::Json(body)).await?;
    set_up::show(&answer, false, json)
}

fn asked(question: &str) -> anyhow::Result<String> {
    noteln!("{question}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    Ok(line.trim().to_owned())
}
