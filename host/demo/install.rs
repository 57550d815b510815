//! How a shop comes to its host: its merchant installs the app, approves, and names the Omneo tenant; then its rules file is
//! deployed. Knows the merchant's browser and the operator's part; no events.

use std::path::Path;

use anyhow::bail;
use tandem_standin::{Browser, OmneoOptions};

use crate::bake;
use crate::clock;
use crate::journal::Invitation;
use crate::output::outln;
use crate::paint::{Paint, harmless};
use crate::playground::{APP, CLIENT_ID, Playground, TENANT};
use crate::registry::Activate;

/// How long the invitation is good.
const INVITED_MS: i64 = 600_000;
/// Of a digest, as much as tells versions apart.
const VERSION_CHARS: usize = 12;

/// Until both sides are connected with the default rules.
pub async fn installed(playground: &Playground, paint: Paint) -> anyhow::Result<()> {
    outln!("\n{}", paint.bold("A shop is invited, and its merchant installs the app"))?;
    let (shop, shopify) = (playground.shopify.shop().to_string(), playground.shopify.url());
    let invitation = Invitation {
        id: "demo".into(),
        client_id: CLIENT_ID.into(),
        shop: Some(shop.clone()),
        code: None,
        tenant: Some(TENANT.into()),
        by: "demo".into(),
        ends_at: clock::now().saturating_add(INVITED_MS),
    };
    playground.server.journal.invite(invitation, clock::now(), None).await?;
    let mut browser = Browser::default();
    let store = shop.split('.').next().unwrap_or_default();
    let opened = browser.open(&format!("{shopify}/store/{store}/apps/{CLIENT_ID}")).await;
    says(&browser, opened, "opens the app in the admin", "Install Tandem")?;
    let scopes = browser.texts("li");
    outln!("    it asks for {}", harmless(&scopes.join(", ")))?;
    let approved = browser.submit("/admin/oauth/authorize", &[]).await;
    says(&browser, approved, "approves", "Connect")?;
    let (address, token) = (playground.omneo.url(), OmneoOptions::default().token);
    let fields = [("address", &*address), ("token", &*token)];
    let connected = browser.submit(&format!("/shopify/{APP}/connect"), &fields).await;
    says(&browser, connected, "fills that in", "is in step")?;
    let lines = browser.texts("li");
    let of = |side: &str| lines.iter().filter(|line| line.contains(side)).count();
    outln!("    set up: {} things at Shopify, {} at Omneo, and the default rules", of("shopify: "), of("omneo: "))
}

/// A rules file of the shop's own, in place of the default rules: the demo's, or one that somebody gives, or a component.
pub async fn configured(
    playground: &Playground,
    given: Option<&Path>,
    rules: &str,
    paint: Paint,
) -> anyhow::Result<()> {
    let versions = &playground.server.versions;
    let deployed = match given {
        None => {
            outln!("\n{}", paint.bold("Its rules file is deployed: the tag `vip` goes to Omneo, too"))?;
            versions.deploy_rules(TENANT, "acme.toml", rules).await?
        }
        Some(path) => {
            outln!("\n{}", paint.bold(format!("Its rules are deployed: {}", harmless(&path.display().to_string()))))?;
            match path.extension().is_some_and(|extension| extension == "wasm") {
                true => versions.deploy(TENANT, &bake::read_component(path)?, None).await?,
                false => versions.deploy_rules(TENANT, &path.display().to_string(), &bake::read_rules(path)?).await?,
            }
        }
    };
    let version = Activate { tenant: TENANT, version: &deployed.digest, ..Activate::default() };
    versions.activate(version, false).await?;
    outln!("  version {} is active", deployed.digest.chars().take(VERSION_CHARS).collect::<String>())
}

/// Prints what the merchant has done and the title of the page that came of it, which has to hold these words.
fn says(browser: &Browser, status: Result<u16, String>, done: &str, title: &str) -> anyhow::Result<()> {
    let status = status.map_err(|error| anyhow::anyhow!("the merchant {done}: {error}"))?;
    let said = browser.texts("h1").join(" ");
    if !(200..300).contains(&status) || !said.contains(title) {
        let texts = [browser.texts("p"), browser.texts("li")].concat();
        bail!("the merchant {done}: {status} {said}\n{}", texts.join("\n"));
    }
    outln!("  the merchant {done:<28} → {}", harmless(&said))
}
