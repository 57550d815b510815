//! Reads a tenant that is to be added to a running host. It is written like a tenant of the configuration, so its
//! secrets may be in the environment or in files. Knows the keys; what is allowed is for the host to decide.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use toml::Spanned;

use super::check::Check;
use super::file::{PeerFile, TenantFile};
use super::{Problems, shape};

/// Reads such a file. The result is in the form that the admin API takes, and contains every secret.
pub fn added(path: &Path) -> anyhow::Result<Value> {
    let text = super::read(path, "name a file with the tenant's table: `shop`, `[shopify]`, `[omneo]`")?;
    let (name, folder) = (path.display().to_string(), path.parent().unwrap_or(Path::new("")));
    parse(&name, &text, folder, |name| std::env::var(name).ok()).map_err(anyhow::Error::msg)
}

fn parse(name: &str, text: &str, folder: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Value, Problems> {
    let file: TenantFile = super::typed(name, text, shape::ADDED)?;
    let mut check = Check { text, folder, variable: &variable, problems: vec![] };
    for rules in [&file.rules, &file.component].into_iter().flatten() {
        let tenant = "`tandem deploy TENANT FILE` gives it rules afterwards";
        check.problem(rules.span(), format!("a tenant is added without rules\nhint: leave them out; {tenant}"));
    }
    if file.omneo.is_none() && file.shopify.get_ref().app.is_none() {
        let hint = "add `omneo = { … }`; only a tenant in an app can be connected later, by `tandem connect`";
        check.problem(file.shop.span(), format!("`omneo` is missing\nhint: {hint}"));
    }
    let shopify = side(&mut check, file.shopify.get_ref());
    let omneo = file.omneo.as_ref().map(|omneo| side(&mut check, omneo.get_ref()));
    let limits: BTreeMap<_, _> = file.limits.iter().map(|(name, given)| (name, given.get_ref())).collect();
    if !check.problems.is_empty() {
        return Err(Problems::of(name, text, check.problems));
    }
    let mut added = json!({ "shop": file.shop.get_ref(), "shopify": shopify, "limits": limits });
    if let Some(omneo) = omneo {
        added["omneo"] = omneo;
    }
    Ok(added)
}

fn side(check: &mut Check, file: &PeerFile) -> Value {
    let given = file.webhook_secrets.iter().flat_map(|given| given.get_ref().iter().map(move |secret| (secret, given)));
    let secrets: Vec<_> = given.filter_map(|(secret, at)| check.secret(secret, at)).collect();
    json!({
        "url": file.url.as_ref().map(Spanned::get_ref),
        "app": file.app.as_ref().map(Spanned::get_ref),
        "token": file.token.as_ref().and_then(|token| check.secret(token.get_ref(), token)),
        "webhook_secrets": secrets,
        "per_minute": file.per_minute,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "shop = \"a.example\"\nshopify = { token = \"env:T\", webhook_secrets = [\"s\"] }\nomneo = { url = \"https://o\", token = \"t\", webhook_secrets = [\"u\"], per_minute = 9 }\n";

    fn read(text: &str) -> Result<Value, String> {
        let variable = |name: &str| (name == "T").then(|| "sesame".to_owned());
        parse("acme.toml", text, Path::new(""), variable).map_err(|problems| problems.to_string())
    }

    #[test]
    fn secrets_are_looked_up_and_rules_have_no_place() {
        let added = read(GOOD).unwrap();
        assert_eq!((&added["shopify"]["token"], &added["omneo"]["per_minute"]), (&json!("sesame"), &json!(9)));
        let rules = read(&format!("{GOOD}rules = \"a.toml\"\n")).unwrap_err();
        assert!(rules.starts_with("error: a tenant is added without rules\n --> acme.toml:4:9\n"), "{rules}");
        let of_app = read("shop = \"a.example\"\nshopify = { app = \"main\" }\n").unwrap();
        assert_eq!((&of_app["shopify"]["app"], of_app.get("omneo")), (&json!("main"), None));
        let alone = read("shop = \"a.example\"\nshopify = { token = \"t\", webhook_secrets = [\"s\"] }\n").unwrap_err();
        assert!(alone.starts_with("error: `omneo` is missing\n --> acme.toml:1:8\n"), "{alone}");
        let missing = read(&GOOD.replace("env:T", "env:NO")).unwrap_err();
        assert!(missing.starts_with("error: the environment variable `NO` is not set\n --> acme.toml:2:"), "{missing}");
    }
}
