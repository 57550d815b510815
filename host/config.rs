//! The host's configuration: reads `tandem.toml`, resolves secrets, finds contradictions. Only this module and its
//! folder read the environment.
//!
//! Knows names and numbers, and opens no socket and no journal.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::DeTable;
use url::Url;

use crate::excerpt::{self, Mistake};
use crate::files::Unusable;
use crate::model::Millis;
use crate::paint::unquoted;
use crate::vault::Keys;

mod added;
mod alerts;
mod apps;
mod changes;
mod check;
mod environment;
mod file;
mod quota;
mod reconcile;
mod shape;

pub use added::added;
pub use alerts::{Alerts, Post};
pub use apps::{App, Apps, Kind as AppKind, PROXY, proxy_parts};
pub use changes::{Changes, changes};
pub use check::BODY_BYTES_MAX;
pub use environment::{Log, cache_folder, host_and_token, log, no_color, notify_socket, path, this_program};

use check::Check;
use file::{File, default_journal};
pub use quota::{KEEP_DAYS_MIN, Quota};
pub use reconcile::Nightly;
pub use shape::paths;

const NAME_CHARS_MAX: usize = 64;

/// The configuration that `serve` runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub journal: PathBuf,
    pub body_bytes_max: usize,
    /// `host:port` of each address that may be plain HTTP or private.
    pub allow: Vec<String>,
    /// The addresses among `allow` that a merchant, or a tenant with its own token, may name as its Omneo.
    pub allow_merchants: Vec<String>,
    pub delivery: Delivery,
    /// The address at which webhooks reach this host from outside, without a `/` at its end. Set-up gives it to both
    /// systems.
    pub public_url: Option<String>,
    /// The apps that tenants may name.
    pub apps: Apps,
    pub tenants: Vec<Tenant>,
    /// The keys with which the secrets of tenants are sealed that are added over the admin API.
    pub keys: Keys,
    /// The address of the admin API, if there is one.
    pub admin: Option<SocketAddr>,
    pub alerts: Alerts,
    /// When the host reads again what may have changed without a webhook; `None`: never.
    pub reconcile: Option<Nightly>,
    /// Tenants whose rules may change settings that people are linked by at this start. Only from the command line.
    pub relink: Vec<String>,
}

/// How calls are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// From the first byte sent to the last byte read.
    pub timeout_ms: u64,
    /// The delay before each further attempt. After the last of them, the call is given up.
    pub retry_delays_ms: Vec<u64>,
    /// How long an attempt of unknown fate may still take effect, without what its connection adds. Not shorter than
    /// the timeout.
    pub quiet_ms: u64,
}

impl Delivery {
    /// How long the operating system tries to deliver data that was written to a closed connection. Shorter than the
    /// timeout, and included in [`Delivery::settled_ms`], so that nothing arrives after that time.
    pub const fn unacknowledged_ms(timeout_ms: u64) -> u64 {
        timeout_ms.div_ceil(4)
    }

    /// How long after its beginning an attempt of unknown fate may take effect: longer than its timeout and than the
    /// time in which the operating system may still deliver its data.
    pub fn settled_ms(&self) -> u64 {
        self.quiet_ms.max(self.timeout_ms).saturating_add(Self::unacknowledged_ms(self.timeout_ms))
    }
}

#[derive(Clone, Debug)]
pub struct Tenant {
    pub name: String,
    /// `acme.myshopify.com`, in the form that [`crate::model::shop`] returns.
    pub shop: String,
    pub rules: RulesFrom,
    pub shopify: Peer,
    pub omneo: Peer,
    pub limits: Quota,
}

/// Where a tenant's rules come from.
#[derive(Clone, Debug, PartialEq)]
pub enum RulesFrom {
    /// A rules file, which is built into the default component at start.
    File(PathBuf),
    /// A component that was built before.
    Component(PathBuf),
    /// The version that was activated over the admin API.
    Deployed,
}

/// One side of a tenant.
#[derive(Clone)]
pub struct Peer {
    /// Without a `/` at its end. REST calls go to paths below it, GraphQL calls to `/admin/api/{version}/graphql.json`
    /// below it.
    pub url: String,
    pub credential: Credential,
    pub webhook_secrets: Vec<WebhookSecret>,
    pub per_minute: Option<u32>,
}

/// What calls are authenticated with.
#[derive(Clone, PartialEq)]
pub enum Credential {
    /// A token that was copied by hand, or that is valid at the moment.
    Token(String),
    /// The token that this app is granted.
    App(Arc<App>),
}

/// A secret that webhooks may be signed with.
#[derive(Clone, PartialEq)]
pub struct WebhookSecret {
    pub secret: String,
    /// The end of its validity; absent if it has none.
    pub ends_at: Option<Millis>,
}

/// Every mistake in a configuration, shown in its line with the fix, ready to print. Text of the file that could be a
/// secret is left out.
#[derive(Debug)]
pub struct Problems(String);

/// Reads a configuration file. Paths in it are relative to its folder.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    let text = read(path, "`--config FILE` names another")?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let parsed = parse(&path.display().to_string(), &text, folder, |name| std::env::var(name).ok());
    parsed.map_err(anyhow::Error::msg)
}

fn read(path: &Path, hint: &'static str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    Ok(text.map_err(|cause| Unusable::new("reading the configuration", path, cause, hint))?)
}

/// The journal's place according to a configuration, whose secrets need not be available.
pub fn journal_path(path: &Path) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default = "default_journal")]
        journal: PathBuf,
    }
    let text = read(path, "`--journal FILE` names the journal itself, `--config FILE` another configuration")?;
    let only: Only = part(path, &text)?;
    Ok(path.parent().unwrap_or(Path::new("")).join(only.journal))
}

/// The file with a tenant's rules, according to a configuration whose secrets need not be available. `None` if there is
/// no such tenant.
pub fn rules_of(path: &Path, tenant: &str) -> anyhow::Result<Option<PathBuf>> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default)]
        tenants: BTreeMap<String, OnlyTenant>,
    }
    #[derive(Deserialize)]
    struct OnlyTenant {
        rules: Option<PathBuf>,
        component: Option<PathBuf>,
    }
    let text = read(path, "`--rules FILE` names the rules, `--config FILE` another configuration")?;
    let mut only: Only = part(path, &text)?;
    let rules = only.tenants.remove(tenant).and_then(|tenant| tenant.rules.or(tenant.component));
    Ok(rules.map(|rules| path.parent().unwrap_or(Path::new("")).join(rules)))
}

/// The files that hold secrets of a configuration, one for each `file:PATH`.
pub fn secret_files(path: &Path) -> Vec<PathBuf> {
    fn within(value: &toml::Value, folder: &Path, found: &mut Vec<PathBuf>) {
        match value {
            toml::Value::String(text) => found.extend(text.strip_prefix("file:").map(|file| folder.join(file))),
            toml::Value::Array(values) => values.iter().for_each(|value| within(value, folder, found)),
            toml::Value::Table(table) => table.values().for_each(|value| within(value, folder, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    within(&toml::Value::Table(table.unwrap_or_default()), path.parent().unwrap_or(Path::new("")), &mut found);
    found
}

/// Reads a configuration. `variable` looks up an environment variable.
pub fn parse(
    name: &str,
    text: &str,
    folder: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let file: File = typed(name, text, shape::CONFIGURATION)?;
    let mut check = Check { text, folder, variable: &variable, problems: vec![] };
    let body_bytes_max = check.body_bytes_max(file.body_bytes_max.as_ref());
    let delivery = check.delivery(&file.delivery);
    let listen = check.listen(&file.listen);
    let admin = check.listen(&file.admin.listen);
    let public_url = check.public_url(file.public_url.as_ref());
    let keys = check.keys(file.secrets.keys.as_ref());
    let of_all = file.delivery.concurrent_calls.iter().map(|given| ("concurrent_calls", given));
    let limits = check.limits(Quota::default(), of_all);
    let allow = check.allowed(&file.network.allow);
    let alerts = check.alerts(&file.alerts, &allow);
    let reconcile = check.reconcile(&file.reconcile);
    let allow_merchants = check.allowed(&file.network.allow_merchants);
    if let Some(other) = file.network.allow_merchants.iter().find(|one| !allow.contains(one.get_ref())) {
        let address = other.get_ref();
        check.problem(other.span(), format!("`{address}` is not in `[network] allow`\nhint: add it there, too"));
    }
    let apps = check.apps(&file.apps, file.secrets.keys.is_some(), &allow);
    let mut tenants = vec![];
    for (tenant, table) in &file.tenants {
        tenants.extend(check.tenant(tenant, table, limits, &allow, &apps));
    }
    check.shops(&file.tenants);
    if check.problems.is_empty() {
        let journal = folder.join(&file.journal);
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(Config {
            listen,
            journal,
            body_bytes_max,
            allow,
            allow_merchants,
            delivery,
            public_url,
            apps,
            tenants,
            keys,
            admin,
            alerts,
            reconcile,
            relink: vec![],
        })
    } else {
        Err(Problems::of(name, text, check.problems))
    }
}

/// The parsed file, if every key is known and has a value of the right kind.
fn typed<T: DeserializeOwned>(name: &str, text: &str, keys: &[shape::Key]) -> Result<T, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = excerpt::of_toml(text, table.get_ref(), &errors);
    // In a file that is not TOML, a key may only seem to be missing.
    if mistakes.is_empty() {
        shape::wrong(keys, table.get_ref(), 0..0, "", &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(Problems::of(name, text, mistakes));
    }
    toml::from_str(text).map_err(|error| {
        let message = unquoted(error.message()).replace('\n', ", ");
        Problems::of(name, text, vec![Mistake { place: error.span().unwrap_or(0..0), message, fix: String::new() }])
    })
}

/// A part of the file, which can be read even if the rest is wrong, as long as the file is TOML.
fn part<T: DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    let not_toml = |error: toml::de::Error| {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut mistakes = excerpt::of_toml(text, table.get_ref(), &errors);
        if mistakes.is_empty() {
            let message = unquoted(error.message()).replace('\n', ", ");
            mistakes.push(Mistake { place: error.span().unwrap_or(0..0), message, fix: String::new() });
        }
        anyhow::Error::msg(Problems::of(&path.display().to_string(), text, mistakes))
    };
    toml::from_str(text).map_err(not_toml)
}

/// Checks the name of a tenant.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "the tenant name `{name}` is part of an address\nhint: use 1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`"
    ))
}

/// Checks that calls may go to this address: it must use TLS, or be allowed by name.
pub fn check_url(url: &str, allow: &[String]) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| format!("`{url}` is not an address: {error}"))?;
    let host = parsed.host_str().unwrap_or_default();
    let authority = format!("{host}:{}", parsed.port_or_known_default().unwrap_or_default());
    if parsed.scheme() == "https" || allow.contains(&authority) {
        return Ok(());
    }
    Err(format!(
        "`{url}` is not https\nhint: use https, or allow this address by name: `[network] allow = [\"{authority}\"]`"
    ))
}

/// Checks that a merchant, or a tenant with its own token, may have calls sent to this address. An address that an
/// operator allows for one tenant is not allowed for all.
pub fn check_merchants_url(url: &str, allow: &[String], allow_merchants: &[String]) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| format!("`{url}` is not an address: {error}"))?;
    let (host, port) = (parsed.host_str().unwrap_or_default(), parsed.port_or_known_default().unwrap_or_default());
    let authority = format!("{host}:{port}");
    let why = match parsed.scheme() {
        _ if allow_merchants.contains(&authority) => return Ok(()),
        "https" if allow.contains(&authority) => "is not a public address",
        "https" => return Ok(()),
        _ => "is not https",
    };
    Err(format!(
        "`{url}` {why}\nhint: use the public address, with https; whoever runs this host may allow another: `[network] allow_merchants = [\"{authority}\"]`"
    ))
}

/// Checks that calls for an app may go to this address, which is not that of its shop. Because the app's secret is sent
/// there, the operator must allow the address by name.
pub fn check_app_url(url: &str, allow: &[String]) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| format!("`{url}` is not an address: {error}"))?;
    let (host, port) = (parsed.host_str().unwrap_or_default(), parsed.port_or_known_default().unwrap_or_default());
    if allow.contains(&format!("{host}:{port}")) {
        return Ok(());
    }
    Err(format!(
        "`{url}` is not the shop's own address, and the secret of its app would be sent there\nhint: leave it out; a stand-in is allowed by name: `[network] allow = [\"{host}:{port}\"]`"
    ))
}

impl Tenant {
    /// The side of this name, if there is one.
    pub fn peer(&self, target: &str) -> Option<&Peer> {
        match target {
            "shopify" => Some(&self.shopify),
            "omneo" => Some(&self.omneo),
            _ => None,
        }
    }

    /// Whether Omneo is connected.
    pub fn has_omneo(&self) -> bool {
        !self.omneo.url.is_empty()
    }

    /// Whether the tenant has no secrets because they could not be opened. It then neither accepts webhooks nor sends
    /// calls.
    pub fn is_closed(&self) -> bool {
        self.shopify.webhook_secrets.is_empty() && self.omneo.webhook_secrets.is_empty()
    }
}

impl Peer {
    /// A side with a token, but without webhook secrets and limits.
    pub fn with_token(url: &str, token: &str) -> Self {
        let credential = Credential::Token(token.to_owned());
        Self { url: url.to_owned(), credential, webhook_secrets: vec![], per_minute: None }
    }

    /// The Shopify side of a tenant with an app.
    pub fn of_app(url: String, app: Arc<App>, per_minute: Option<u32>) -> Self {
        let webhook_secrets = app.secrets().map(WebhookSecret::from).collect();
        Self { url, credential: Credential::App(app), webhook_secrets, per_minute }
    }

    /// The app, if the side has one instead of a token.
    pub fn app(&self) -> Option<&Arc<App>> {
        match &self.credential {
            Credential::App(app) => Some(app),
            Credential::Token(_) => None,
        }
    }

    /// Every secret that a webhook may be signed with at that time.
    pub fn secrets_at(&self, now: Millis) -> impl Iterator<Item = &str> {
        let in_force = move |secret: &&WebhookSecret| secret.ends_at.is_none_or(|end| now < end);
        self.webhook_secrets.iter().filter(in_force).map(|secret| secret.secret.as_str())
    }
}

impl From<&str> for WebhookSecret {
    fn from(secret: &str) -> Self {
        Self { secret: secret.to_owned(), ends_at: None }
    }
}

impl fmt::Debug for Peer {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Peer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Checks that webhooks can be sent to this address: Shopify accepts https only.
pub fn check_public_url(url: &str) -> Result<(), String> {
    let is_https = Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.has_host() && url.query().is_none());
    let why = "is no address that Shopify sends webhooks to\nhint: write where a proxy with TLS listens: `https://tandem.example.org`";
    if is_https { Ok(()) } else { Err(why.to_owned()) }
}

impl Problems {
    /// Shows each mistake in its line, with every text masked that could be a secret.
    fn of(name: &str, text: &str, mistakes: Vec<Mistake>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        // If the file is not TOML, a secret may stand in a line without quotes.
        let shown = mistakes.iter().map(|mistake| mistake.place.start).filter(|_| !errors.is_empty());
        let places = errors.iter().filter_map(|error| Some(error.span()?.start)).chain(shown);
        let broken: Vec<_> = places.map(|at| at.min(text.len())).collect();
        let masked = shape::masked(text, table.get_ref(), &broken);
        Self(excerpt::show("error", name, &masked, mistakes, 0).trim_end().to_owned())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[tenants.acme]
shop = "Acme.myshopify.com"
rules = "acme.toml"
shopify = { token = "env:TOKEN", webhook_secrets = ["a", "b"] }
omneo = { url = "https://api.acme.getomneo.com/api/v3/", token = "t", webhook_secrets = ["c"] }
"#;

    /// For any configuration, the connection of an attempt is closed after the timeout, and data that the operating
    /// system still delivers arrives before the attempt counts as settled.
    #[test]
    fn nothing_arrives_after_an_attempt_is_settled() {
        for timeout_ms in [1, 3, 1_000, 5_000, 20_000, u64::MAX] {
            for quiet_ms in [0, timeout_ms, timeout_ms.saturating_add(1)] {
                let delivery = Delivery { timeout_ms, retry_delays_ms: vec![], quiet_ms };
                let last = timeout_ms.saturating_add(Delivery::unacknowledged_ms(timeout_ms));
                assert!(delivery.settled_ms() >= last && last >= timeout_ms, "{delivery:?}");
            }
        }
    }

    fn read(text: &str) -> Result<Config, String> {
        let token = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
        parse("tandem.toml", text, Path::new("/etc/tandem"), token).map_err(|problems| problems.to_string())
    }

    #[test]
    fn defaults_are_filled_in() {
        let config = read(GOOD).unwrap();
        let acme = &config.tenants[0];
        assert_eq!(
            (acme.shop.as_str(), acme.shopify.url.as_str()),
            ("acme.myshopify.com", "https://acme.myshopify.com")
        );
        assert_eq!(
            (acme.shopify.credential == Credential::Token("secret".into()), acme.omneo.url.as_str()),
            (true, "https://api.acme.getomneo.com/api/v3")
        );
        assert_eq!(acme.rules, RulesFrom::File("/etc/tandem/acme.toml".into()));
        assert!(!format!("{config:?}").contains("secret\""));
    }

    #[test]
    fn a_contradiction_names_both_lines() {
        let text = format!(
            "{GOOD}[tenants.zeta]\nshop = \"acme.myshopify.com.\"\nrules = \"a\"\ncomponent = \"b\"\nshopify = {{ token = \"t\", webhook_secrets = [\"a\"] }}\nomneo = {{ url = \"https://o\", token = \"t\", webhook_secrets = [\"c\"] }}\n[delivery]\ntimeout_ms = 9000\nquiet_ms = 10\n"
        );
        let problems = read(&text).unwrap_err();
        for shown in [
            "error: tenant `zeta` has the shop `acme.myshopify.com`, which tenant `acme` has in line 3\n --> tandem.toml:8:8\n  |\n8 | shop = \"*******************\"\n  |        ^^^^^^^^^^^^^^^^^^^^^\nhint: a shop belongs to one tenant\n",
            "error: `rules` contradicts `component` in line 10: a tenant has one of them\n --> tandem.toml:9:9\n",
            "error: `quiet_ms = 10` contradicts `timeout_ms = 9000` in line 14: a read after it could overtake the write it asks about\n  --> tandem.toml:15:12\n   |\n15 | quiet_ms = 10\n   |            ^^\nhint: make quiet_ms at least as long as timeout_ms",
        ] {
            assert!(problems.contains(shown), "{shown}\nis not in\n{problems}");
        }
        assert_eq!(problems.matches("error: ").count(), 3);
    }

    #[test]
    fn plain_http_needs_its_name() {
        let text = GOOD.replace("https://api.acme.getomneo.com", "http://10.0.0.1:81");
        assert!(
            read(&text)
                .unwrap_err()
                .contains("hint: use https, or allow this address by name: `[network] allow = [\"10.0.0.1:81\"]`")
        );
        assert!(read(&format!("network = {{ allow = [\"10.0.0.1:81\"] }}\n{text}")).is_ok());
    }

    #[test]
    fn what_could_not_work_is_refused() {
        let table = [
            (GOOD.replace("token = \"t\"", "token = \"ENV:TOKEN\""), "a secret begins with `env:` in capitals"),
            (GOOD.replace("token = \"t\"", "token = \"File:token\""), "a secret begins with `file:` in capitals"),
            (GOOD.replace("token = \"t\"", "token = \"a\\nb\""), "a secret has a line break"),
            (GOOD.replace("token = \"t\"", "token = \"file:/dev/zero\""), "it is no file of 65536 bytes at most"),
            (format!("network = {{ allow = [\"127.0.0.1\"] }}\n{GOOD}"), "`127.0.0.1` is no host with a port"),
            (format!("body_bytes_max = 0\n{GOOD}"), "`body_bytes_max = 0` is less than webhooks have"),
            (format!("{GOOD}[delivery]\ntimeout_ms = 0\n"), "`timeout_ms = 0` is out of bounds"),
            (format!("{GOOD}[delivery]\nquiet_ms = 9223372036854775807\n"), "is out of bounds"),
            (format!("{GOOD}[delivery]\nretry_delays_ms = [9223372036854775807]\n"), "is longer than a week"),
        ];
        for (text, why) in table {
            let problems = read(&text).unwrap_err();
            assert!(problems.contains(why), "{why}\nis not in\n{problems}");
        }
        for shop in
            ["acme", "acme.shopify.com", "admin.shopify.com/store/acme", "acme myshopify.com", ".myshopify.com:1"]
        {
            assert!(crate::model::no_shop(&crate::model::shop(shop)).is_some(), "{shop}");
        }
        for shop in ["acme.myshopify.com", "https://ACME.myshopify.com/", "shop.acme.example"] {
            assert_eq!(crate::model::no_shop(&crate::model::shop(shop)), None, "{shop}");
        }
    }

    #[test]
    fn every_mistake_is_shown_in_its_line_and_no_secret_with_it() {
        let text = GOOD
            .replace("webhook_secrets = [\"a\"", "webhok_secrets = [\"hush-hush\"")
            .replace("token = \"t\"", "token = 7")
            + "colour = 3\n[delivery]\ntimeout_ms = \"soon\"\n";
        let problems = read(&text).unwrap_err();
        for shown in [
            "error: unknown key `tenants.acme.shopify.webhok_secrets`\n --> tandem.toml:5:34\n",
            "hint: did you mean `webhook_secrets`?",
            "error: `tenants.acme.omneo.token` is not a text\n",
            "error: unknown key `tenants.acme.colour`\n --> tandem.toml:7:1\n",
            "error: `delivery.timeout_ms` is not a whole number of 0 or more\n",
        ] {
            assert!(problems.contains(shown), "{shown}\nis not in\n{problems}");
        }
        assert!(!problems.contains("hush"), "{problems}");
        assert!(read(&GOOD.replace("TOKEN", "NOPE")).unwrap_err().contains("`NOPE` is not set"));
    }

    #[test]
    fn no_secret_is_shown_of_a_file_that_is_no_toml() {
        for token in ["\"hush", "hush", "'hush", "\"\"\"\nhush", "[ hush"] {
            let problems = read(&GOOD.replace("\"env:TOKEN\"", token)).unwrap_err();
            assert!(problems.starts_with("error: ") && !problems.contains("hush"), "{problems}");
        }
    }

    #[test]
    fn a_limit_out_of_bounds_is_named_with_its_line() {
        let limits = |text: &str| read(&format!("{GOOD}[tenants.acme.limits]\n{text}\n"));
        assert_eq!(limits("").unwrap().tenants[0].limits, Quota::default());
        let all = read(&format!("{GOOD}[delivery]\nconcurrent_calls = 3\n[tenants.acme.limits]\nkeep_days = 7\n"));
        let expected = Quota { concurrent_calls: 3, keep_days: 7, ..Quota::default() };
        assert_eq!(all.unwrap().tenants[0].limits, expected);
        let problems = limits("events_per_second = 0\nkeep_days = 4000\njournal_bytes_max = 18_000_000_000_000\nconcurrent_calls = 0\nkeep_hours = 3")
            .unwrap_err();
        for shown in [
            "error: `events_per_second = 0` is too little: nothing would be taken in\n --> tandem.toml:8:21\n  |\n8 | events_per_second = 0\n  |                     ^\nhint: use 1 or more\n",
            "error: `keep_days = 4000` is too much: personal data is not kept for longer than ten years\n --> tandem.toml:9:",
            "error: `journal_bytes_max = 18000000000000` is too much: a journal is one file, and nobody backs up as much\n",
            "error: `concurrent_calls = 0` is too little: nothing would be sent\n  --> tandem.toml:11:",
            "error: there is no limit `keep_hours`\n  --> tandem.toml:12:",
            "hint: there are `events_per_second`, `concurrent_calls`, `journal_bytes_max`, `keep_days`, `versions_max`, `versions_bytes_max`",
        ] {
            assert!(problems.contains(shown), "{shown}\nis not in\n{problems}");
        }
        assert!(
            limits("keep_days = -1")
                .unwrap_err()
                .contains("`tenants.acme.limits.keep_days` is not a whole number of 0 or more\n")
        );
    }
}
