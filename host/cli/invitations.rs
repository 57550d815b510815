//! `tandem tenant invite`, `invitations` and `uninvite`: shops that may install an app. Knows no other command.

use serde_json::json;

use super::operations::{INVITATIONS, INVITE, WITHDRAW};
use super::table::{moment, table};
use crate::admin::Invitation;
use crate::config;
use crate::output::{out, outln};
use crate::paint::{Paint, harmless};
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Invite {
    /// The shop: `acme.myshopify.com`. Without it there is a code, which any shop's merchant may type.
    shop: Option<String>,
    /// The app, as the host's configuration calls it.
    #[arg(long, value_name = "NAME")]
    app: String,
    /// What its tenant is to be called; without this, after the shop.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

pub async fn invite(host: &Remote, Invite { shop, app, tenant }: Invite) -> anyhow::Result<()> {
    let body = json!({ "shop": shop, "app": app, "tenant": tenant });
    let made: Invitation = host.ask(INVITE, &[], &[], Body::Json(body)).await?.json()?;
    let (whom, until) = (made.shop.as_deref().unwrap_or("the shop whose merchant has the code"), moment(&made.ends_at));
    outln!("{} may install the app {} until {until}", harmless(whom), harmless(&made.app))?;
    match &made.link {
        Some(link) => outln!("link  {}", harmless(link))?,
        None => outln!("the host does not know its own address: `public_url` in its configuration says it")?,
    }
    if let Some(code) = &made.code {
        outln!("code  {}   (shown once)", harmless(code))?;
    }
    outln!(
        "The merchant installs the app in Shopify, opens it, and connects Omneo there; or you do: `tandem connect`."
    )?;
    Ok(())
}

pub async fn list(host: &Remote, json: bool) -> anyhow::Result<()> {
    let answer = host.ask(INVITATIONS, &[], &[], Body::Nothing).await?;
    if json {
        outln!("{}", answer.text)?;
        return Ok(());
    }
    let rows: Vec<_> = answer.json::<Vec<Invitation>>()?.into_iter().map(row).collect();
    if rows.is_empty() {
        outln!("no invitation is open")?;
        return Ok(());
    }
    let head = ["id", "app", "shop", "tenant", "by", "ends"];
    out!("{}", table(&head, &rows, Paint::for_stdout(config::no_color())))?;
    Ok(())
}

fn row(Invitation { id, app, shop, tenant, by, ends_at, .. }: Invitation) -> Vec<String> {
    let shop = shop.unwrap_or_else(|| "(by code)".into());
    vec![id, app, shop, tenant.unwrap_or_else(|| "(as the shop)".into()), by, moment(&ends_at)]
}

pub async fn withdraw(host: &Remote, id: &str) -> anyhow::Result<()> {
    host.ask(WITHDRAW, &[id], &[], Body::Nothing).await?;
    outln!("the invitation is withdrawn")?;
    Ok(())
}
