//! Shopify apps: tokens are requested with their credentials, and webhooks are signed with their secrets. Knows what
//! the configuration says of an app, and not what is stored of it for a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The default path of the app proxy, which is that of Omneo's own app.
pub const PROXY: &str = "/apps/cx";
/// How the path of an app proxy may begin, and the greatest length of the rest (Shopify's documentation of app
/// proxies).
const PROXY_PREFIXES: [&str; 4] = ["a", "apps", "community", "tools"];
const PROXY_CHARS_MAX: usize = 30;

/// The apps of a configuration, by the names that tenants use.
pub type Apps = BTreeMap<String, Arc<App>>;

/// A Shopify app, `[apps.NAME]`.
#[derive(Clone, PartialEq)]
pub struct App {
    /// Its name in the configuration, which is part of addresses.
    pub name: String,
    pub client_id: String,
    pub client_secret: String,
    /// The previous client secret, for as long as something signed with it may arrive.
    pub previous_secret: Option<String>,
    pub kind: Kind,
    /// An address that replaces those of all the app's shops, for a stand-in.
    pub endpoint: Option<String>,
    /// The path of the app proxy on the shop's domain, as the app's configuration at Shopify has it. A merchant may
    /// change it.
    pub proxy: String,
    /// The shops, by their domains, whose classic customer accounts count as accounts of the people who have the e-mail
    /// addresses.
    pub trust_classic_accounts: BTreeSet<String>,
}

/// How an app gets its tokens. Shopify's documentation on access tokens distinguishes these three ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// App and shop are in one organisation: the app's own id and secret are enough (client credentials).
    Own,
    /// The merchant approves, and the app has pages of its own (authorization code).
    Standalone,
    /// The app's pages are inside Shopify's admin (token exchange).
    Embedded,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Own, Self::Standalone, Self::Embedded];

    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Standalone => "standalone",
            Self::Embedded => "embedded",
        }
    }
}

/// The prefix of an app proxy's path, and the rest: `apps` and `cx` for `/apps/cx`.
pub fn proxy_parts(path: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = path.strip_prefix('/')?.split_once('/')?;
    let is_rest = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = (1..=PROXY_CHARS_MAX).contains(&rest.len()) && rest.chars().all(is_rest);
    (PROXY_PREFIXES.contains(&prefix) && fits).then_some((prefix, rest))
}

impl App {
    /// The address of a shop's Admin API, without a `/` at its end.
    pub fn address_of(&self, shop: &str) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("https://{shop}"))
    }

    /// Whether the operator takes the word of a shop's classic customer accounts for who has an e-mail address.
    pub fn trusts_classic_accounts(&self, shop: &str) -> bool {
        self.trust_classic_accounts.contains(shop)
    }

    /// The secrets that a webhook or a query may be signed with, the newest first.
    pub fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::once(&self.client_secret).chain(&self.previous_secret).map(String::as_str)
    }
}

impl fmt::Debug for App {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("App").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Credential, parse};
    use super::*;

    const GOOD: &str = r#"
secrets.keys = ["abababababababababababababababababababababababababababababababab"]
network.allow = ["127.0.0.1:9"]
[apps.main]
client_id = "id"
client_secret = "env:SECRET"
previous_secret = "older"
kind = "own"
[tenants.acme]
shop = "Acme.myshopify.com"
rules = "acme.toml"
shopify = { app = "main" }
omneo = { url = "https://o", token = "t", webhook_secrets = ["c"] }
"#;

    fn read(text: &str) -> Result<Config, String> {
        let secret = |name: &str| (name == "SECRET").then(|| "newer".to_owned());
        parse("tandem.toml", text, Path::new(""), secret).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_tenant_has_the_secrets_of_its_app() {
        let config = read(GOOD).unwrap();
        let shopify = &config.tenants[0].shopify;
        assert!(shopify.credential == Credential::App(config.apps["main"].clone()));
        assert_eq!(shopify.secrets_at(0).collect::<Vec<_>>(), ["newer", "older"]);
        assert_eq!((&*shopify.url, config.apps["main"].kind), ("https://acme.myshopify.com", Kind::Own));
        let of_proxy = |text: &str| read(text).unwrap().apps["main"].proxy.clone();
        let other = GOOD.replace("kind", "proxy = \"/tools/tandem_1\"\nkind");
        assert_eq!((of_proxy(GOOD), of_proxy(&other)), ("/apps/cx".into(), "/tools/tandem_1".into()));
        let trusts = |text: &str| read(text).unwrap().apps["main"].trusts_classic_accounts("acme.myshopify.com");
        let trusting = |shop: &str| GOOD.replace("kind", &format!("trust_classic_accounts = [\"{shop}\"]\nkind"));
        assert_eq!((trusts(GOOD), trusts(&trusting("b.myshopify.com"))), (false, false));
        assert_eq!((trusts(&trusting("acme.myshopify.com")), trusts(&trusting("Acme.myshopify.com"))), (true, true));
        let shown = format!("{config:?}");
        assert!(!shown.contains("newer") && !shown.contains("older"));
        let standin = GOOD.replace("app = \"main\"", "app = \"main\", url = \"http://127.0.0.1:9/\"");
        assert_eq!(read(&standin).unwrap().tenants[0].shopify.url, "http://127.0.0.1:9");
    }

    #[test]
    fn what_an_app_cannot_be_is_refused_with_the_fix() {
        let again = "kind = \"own\"\n[apps.other]\nclient_id = \"id\"\nclient_secret = \"s\"\nkind = \"embedded\"";
        let in_app = |more: &str| GOOD.replace("app = \"main\"", &format!("app = \"main\", {more}"));
        let table = [
            (GOOD.replace("secrets.keys", "#"), "the app `main` needs a key", "openssl rand -hex 32"),
            (GOOD.replace("\"own\"", "\"public\""), "`kind` of the app `main` is none", "`standalone` or `embedded`"),
            (GOOD.replace("kind = \"own\"", again), "the apps `main` and `other` have one `client_id`", "name one app"),
            (GOOD.replace("\"id\"", "\"\""), "`client_id` is no client id", "Dev Dashboard"),
            (GOOD.replace("\"id\"", "\"a b\""), "`client_id` is no client id", "Dev Dashboard"),
            (GOOD.replace("kind", "proxy = \"/shop/cx\"\nkind"), "`proxy` is no path of an app proxy", "`/apps/cx`"),
            (GOOD.replace("kind", "proxy = \"/apps/cx/\"\nkind"), "`proxy` is no path of an app proxy", "`/apps/cx`"),
            (GOOD.replace("kind", "proxy = \"apps/cx\"\nkind"), "`proxy` is no path of an app proxy", "`/apps/cx`"),
            (
                GOOD.replace("kind", "trust_classic_accounts = [\"shop.acme.example\"]\nkind"),
                "`shop.acme.example` is no shop that an app can be installed in",
                "acme.myshopify.com",
            ),
            (GOOD.replace("env:SECRET", "env:NONE"), "`NONE` is not set", "set it"),
            (
                GOOD.replace("client_secret", "client_secrt"),
                "`apps.main.client_secret` is missing",
                "add `client_secret",
            ),
            (GOOD.replace("[apps.main]", "[apps.\"ma in\"]"), "the app name `ma in` is part of an address", "letters"),
            (GOOD.replace("app = \"main\"", "app = \"mian\""), "there is no app `mian`", "`[apps.mian]`"),
            (GOOD.replace("Acme.myshopify.com", "shop.acme.example"), "is no shop that an app", "acme.myshopify.com"),
            (
                GOOD.replace("Acme.myshopify.com", "acme.myshopify.com.evil.com"),
                "is no shop that an app",
                ".myshopify.com",
            ),
            (in_app("token = \"t\""), "`token` contradicts `app`", "remove one"),
            (in_app("webhook_secrets = [\"t\"]"), "`webhook_secrets` contradicts `app`", "remove one"),
            (in_app("url = \"https://evil.example\""), "is not the shop's own address", "leave it out"),
            (GOOD.replace("app = \"main\"", ""), "`tenants.acme.shopify.token` is missing", "or name an app"),
            (
                GOOD.replace("app = \"main\"", "token = \"t\""),
                "`tenants.acme.shopify.webhook_secrets` is missing",
                "add",
            ),
            (
                GOOD.replace("token = \"t\"", "token = \"t\", app = \"main\""),
                "unknown key `tenants.acme.omneo.app`",
                "there are",
            ),
        ];
        for (text, why, fix) in table {
            let problems = read(&text).unwrap_err();
            assert!(problems.contains(why) && problems.contains(fix), "{why}\nis not in\n{problems}");
            assert!(!problems.contains("newer") && !problems.contains("older"), "{problems}");
        }
    }
}
