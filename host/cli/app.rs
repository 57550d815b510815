//! `tandem app config`: what Shopify has to be told of an app, as `shopify.app.toml`. Knows no other command.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::slow::slow;
use crate::config::{self, App as OwnApp, AppKind, Config, RulesFrom, proxy_parts};
use crate::credentials::LEAST_API_VERSION;
use crate::output::out;
use crate::rules::Plugin;
use crate::{bake, engine, setup};

/// The scope without which Shopify takes no app proxy of an app (shopify.dev, "About app proxies").
const PROXY_SCOPE: &str = "write_app_proxy";
/// Topics that an app says in its configuration: no subscription of the Admin API takes them.
const COMPLIANCE: [&str; 3] = ["customers/data_request", "customers/redact", "shop/redact"];

#[derive(Subcommand)]
pub enum App {
    /// Print `shopify.app.toml`, which `shopify app deploy` sends to Shopify.
    Config {
        /// The app, as `[apps.NAME]` of the configuration calls it.
        name: String,
        /// The configuration; without this, what `TANDEM_CONFIG` names, or `tandem.toml`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub async fn run(App::Config { name, config: path }: App) -> anyhow::Result<()> {
    let path = super::configuration(path);
    let config = config::load(&path)?;
    let Some(app) = config.apps.get(&name) else {
        let names: Vec<_> = config.apps.keys().map(|name| format!("`{name}`")).collect();
        let hint = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
        bail!("there is no app `{name}` in `{}`\nhint: {hint}", path.display());
    };
    let Some(public_url) = &config.public_url else {
        bail!(
            "it is not known where Shopify reaches this host\nhint: write `public_url = \"https://…\"` into `{}`",
            path.display()
        );
    };
    let scopes = scopes(&config, app).await?;
    out!("{}", document(app, public_url.trim_end_matches('/'), &scopes)?)
}

/// What the rules of its tenants need, and the default rules, which whoever is invited gets.
async fn scopes(config: &Config, app: &OwnApp) -> anyhow::Result<BTreeSet<String>> {
    let is_in = |own: Option<&Arc<OwnApp>>| own.is_some_and(|own| own.client_id == app.client_id);
    let tenants = config.tenants.iter().filter(|tenant| is_in(tenant.shopify.app()));
    let mut manifests = vec![];
    for tenant in tenants.filter(|tenant| tenant.rules != RulesFrom::Deployed) {
        manifests.push(setup::of_rules(&tenant.rules).await?.0);
    }
    let _slow = slow("asking the default rules".to_owned());
    let baked = bake::bake(&engine::building_engine()?, &bake::default_base()?, "", "timezone = \"UTC\"\n").await;
    let baked = baked.map_err(|refused| anyhow::anyhow!("{refused}"))?.component;
    manifests.push(Plugin::load(&engine::engine()?, &baked).context("the default rules")?.manifest().clone());
    let of_shopify =
        manifests.into_iter().flat_map(|manifest| manifest.targets).filter(|target| target.name == "shopify");
    Ok(of_shopify.flat_map(|target| target.scopes).collect())
}

fn document(app: &OwnApp, public_url: &str, scopes: &BTreeSet<String>) -> anyhow::Result<String> {
    let address = format!("{public_url}/shopify/{}", app.name);
    let mut document = DocumentMut::new();
    document["client_id"] = value(&app.client_id);
    document["name"] = value("Tandem");
    document["application_url"] = value(&address);
    document["embedded"] = value(app.kind == AppKind::Embedded);
    document["access_scopes"] = Item::Table(Table::new());
    let scopes: BTreeSet<_> = scopes.iter().map(String::as_str).chain([PROXY_SCOPE]).collect();
    document["access_scopes"]["scopes"] = value(Vec::from_iter(scopes).join(","));
    document["auth"] = Item::Table(Table::new());
    document["auth"]["redirect_urls"] = value(Array::from_iter([format!("{address}/callback")]));
    document["webhooks"] = Item::Table(Table::new());
    document["webhooks"]["api_version"] = value(LEAST_API_VERSION);
    let uri = format!("{public_url}/webhooks/shopify/{}", app.name);
    let mut duties = Table::new();
    duties["compliance_topics"] = value(Array::from_iter(COMPLIANCE));
    duties["uri"] = value(&uri);
    let mut subscriptions = toml_edit::ArrayOfTables::new();
    subscriptions.push(duties);
    document["webhooks"]["subscriptions"] = Item::ArrayOfTables(subscriptions);
    let (prefix, subpath) = proxy_parts(&app.proxy).context("the path of the app proxy")?;
    document["app_proxy"] = Item::Table(Table::new());
    document["app_proxy"]["url"] = value(format!("{public_url}/storefront/{}", app.name));
    document["app_proxy"]["subpath"] = value(subpath);
    document["app_proxy"]["prefix"] = value(prefix);
    let text = document.to_string();
    let explain = |text: String, line: &str, why: &str| text.replacen(line, &format!("{why}{line}"), 1);
    let text = explain(text, "scopes = ", SCOPES);
    Ok(format!(
        "# Of the app `{}`. `shopify app deploy` sends it to Shopify.\n{}",
        app.name,
        explain(explain(text, "[[webhooks.", DUTIES), "[app_proxy]", PROXIED)
    ))
}

const SCOPES: &str = "\
# What the rules need, and `write_app_proxy` for the app proxy below. Two more that you may want: `read_customer_merge`, to hear how a merge of customers went; and
# `read_all_orders`, for orders older than 60 days, which Shopify has to allow first (API access, in the Dev Dashboard).
";
const DUTIES: &str = "\
# Every other webhook is subscribed to for each shop, by `tandem tenant setup` or the app's page.
";

const PROXIED: &str = "\
# Where a theme asks for its shopper's token. One app of a shop has a path. A merchant may change the path in the shop's
# admin: the theme then asks there, and the host answers by any path.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PROXY;

    #[test]
    fn it_is_what_shopify_wants() {
        let app = OwnApp {
            name: "main".into(),
            client_id: "id".into(),
            client_secret: "hush".into(),
            previous_secret: None,
            kind: AppKind::Standalone,
            endpoint: None,
            proxy: PROXY.into(),
            trust_classic_accounts: [].into(),
        };
        let scopes = ["read_orders", "write_customers"].map(str::to_owned).into();
        let text = document(&app, "https://t.example", &scopes).unwrap();
        assert!(!text.contains("hush"), "{text}");
        let read: toml::Value = toml::from_str(&text).unwrap();
        assert_eq!(read["application_url"].as_str(), Some("https://t.example/shopify/main"));
        assert_eq!(read["embedded"].as_bool(), Some(false));
        assert_eq!(read["access_scopes"]["scopes"].as_str(), Some("read_orders,write_app_proxy,write_customers"));
        let callback = "https://t.example/shopify/main/callback";
        assert_eq!(read["auth"]["redirect_urls"][0].as_str(), Some(callback));
        let proxy = &read["app_proxy"];
        assert_eq!(proxy["url"].as_str(), Some("https://t.example/storefront/main"));
        assert_eq!((proxy["prefix"].as_str(), proxy["subpath"].as_str()), (Some("apps"), Some("cx")));
        let duties = &read["webhooks"]["subscriptions"][0];
        assert_eq!(duties["compliance_topics"].as_array().unwrap().len(), 3);
        assert_eq!(duties["uri"].as_str(), Some("https://t.example/webhooks/shopify/main"));
    }
}
