//! What a demo that stays open tells its user: a configuration, a token, and the variables that name all of it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use tandem_standin::OmneoOptions;

use crate::playground::{APP, CLIENT_ID, CLIENT_SECRET, Playground, TENANT};
use crate::{admin, files};

/// What the audit trail calls whoever tries the demo out.
const TOKEN_NAME: &str = "demo";

/// Makes a token and writes the configuration into a folder; lines for a shell that name both, and the stand-ins with their
/// secrets.
pub async fn exports(playground: &Playground, folder: &Path) -> anyhow::Result<String> {
    let (server, shopify, omneo) = (&playground.server, &playground.shopify, &playground.omneo);
    let admin = server.admin.context("the demo's host has no admin API")?;
    let token = admin::new_token()?;
    server.journal.add_token(TOKEN_NAME, None, &admin::hash(&token)).await?;
    let path = folder.join("tandem.toml");
    files::write_private(&path, configuration(playground).as_bytes())?;
    let mut text = String::from("\nstill running until Ctrl-C; in another terminal:\n\n");
    for (name, value) in [
        ("TANDEM_HOST", format!("http://{admin}")),
        ("TANDEM_TOKEN", token),
        ("TANDEM_CONFIG", path.display().to_string()),
        ("SHOPIFY_URL", shopify.url()),
        ("SHOPIFY_CLIENT_ID", CLIENT_ID.to_owned()),
        ("SHOPIFY_SECRET", CLIENT_SECRET.to_owned()),
        ("OMNEO_URL", omneo.url()),
        ("OMNEO_TOKEN", OmneoOptions::default().token),
        ("OMNEO_SECRET", OmneoOptions::default().webhook_secret),
    ] {
        let _ = writeln!(text, "export {name}={value}");
    }
    text += "\ntandem trigger orders/paid --edit total_price=10.00   # a signed webhook\n";
    text += &format!("tandem events --tenant {TENANT}                          # what came of it\n");
    text += &format!("tandem deploy {TENANT} acme.toml --activate              # rules of your own\n");
    Ok(text)
}

/// As `tandem serve` would have it, for commands that read one.
fn configuration(playground: &Playground) -> String {
    let (config, server) = (&playground.config, &playground.server);
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let allow: Vec<_> = config.allow.iter().map(|address| quoted(address)).collect();
    let mut text = format!(
        "listen = \"{}\"\njournal = {}\n[network]\nallow = [{}]\n",
        server.address,
        quoted(&config.journal.display().to_string()),
        allow.join(", ")
    );
    if let Some(admin) = server.admin {
        let _ = writeln!(text, "[admin]\nlisten = \"{admin}\"");
    }
    let (shopify, omneo, secret) = (&playground.shopify, &playground.omneo, OmneoOptions::default());
    let _ = write!(
        text,
        "[secrets]\nkeys = [\"{}\"]\n[apps.{APP}]\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\nkind = \"standalone\"\n\
         endpoint = {}\n[tenants.{TENANT}]\nshop = {}\nrules = \"acme.toml\"\nshopify = {{ app = \"{APP}\" }}\n\
         omneo = {{ url = {}, token = {}, webhook_secrets = [{}] }}\n",
        playground.key,
        quoted(&shopify.url()),
        quoted(&shopify.shop()),
        quoted(&omneo.url()),
        quoted(&secret.token),
        quoted(&secret.webhook_secret)
    );
    text
}
