//! The host's configuration: reads `tandem.toml`, resolves secrets, finds contradictions. The one place that reads the
//! environment.
//!
//! Knows names and numbers; opens no socket and no journal.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use crate::engine::Limits;

/// Bodies that Shopify sends have been seen up to a few hundred KiB.
const BODY_BYTES_MAX: usize = 2 << 20;
const TIMEOUT_MS: u64 = 20_000;
/// Calls of one tenant to one target at a time.
const CONCURRENT_CALLS: usize = 8;
/// Delays before each further attempt, in milliseconds: about two days in all.
const RETRY_DELAYS_MS: [u64; 13] = [
    1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
    43_200_000, 86_400_000,
];

/// What `serve` runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub journal: PathBuf,
    pub body_bytes_max: usize,
    /// `host:port` of each address that may be plain HTTP or private.
    pub allow: Vec<String>,
    pub delivery: Delivery,
    /// Where webhooks reach this host from outside, without a `/` at its end; set-up tells both systems.
    pub public_url: Option<String>,
    pub tenants: Vec<Tenant>,
    /// Where the admin API listens, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Tenants whose rules may change, at this start, what people are linked by. From the command line only.
    pub relink: Vec<String>,
}

/// How calls are sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// From the first byte sent to the last one read.
    pub timeout_ms: u64,
    /// The delay before each further attempt; when they are used up, the call is given up.
    pub retry_delays_ms: Vec<u64>,
    /// How long after an attempt of unknown fate the rules are told so. Not shorter than the timeout.
    pub quiet_ms: u64,
    pub concurrent_calls: usize,
}

#[derive(Clone, Debug)]
pub struct Tenant {
    pub name: String,
    /// `acme.myshopify.com`, in lower case.
    pub shop: String,
    pub rules: RulesFrom,
    pub shopify: Peer,
    pub omneo: Peer,
}

/// Where a tenant's rules come from.
#[derive(Clone, Debug, PartialEq)]
pub enum RulesFrom {
    /// A rules file, frozen into the default component at start.
    File(PathBuf),
    /// A component built before.
    Component(PathBuf),
}

/// One side of a tenant.
#[derive(Clone)]
pub struct Peer {
    /// Without a `/` at its end. Calls of REST go below it; GraphQL goes to `/admin/api/{version}/graphql.json` below it.
    pub url: String,
    pub token: String,
    /// Every secret with which a webhook may be signed now.
    pub webhook_secrets: Vec<String>,
    pub per_minute: Option<u32>,
}

/// What is wrong with a configuration, each with the lines it concerns and the fix.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_listen")]
    listen: Spanned<String>,
    #[serde(default = "default_journal")]
    journal: PathBuf,
    body_bytes_max: Option<Spanned<usize>>,
    public_url: Option<Spanned<String>>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    admin: AdminFile,
    #[serde(default)]
    delivery: DeliveryFile,
    #[serde(default)]
    tenants: BTreeMap<String, TenantFile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AdminFile {
    listen: Spanned<String>,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self { listen: Spanned::new(0..0, "127.0.0.1:8081".into()) }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveryFile {
    timeout_ms: Option<Spanned<u64>>,
    retry_delays_ms: Option<Vec<u64>>,
    quiet_ms: Option<Spanned<u64>>,
    concurrent_calls: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    shop: Spanned<String>,
    rules: Option<Spanned<PathBuf>>,
    component: Option<Spanned<PathBuf>>,
    shopify: PeerFile,
    omneo: PeerFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerFile {
    url: Option<Spanned<String>>,
    token: Spanned<String>,
    webhook_secrets: Spanned<Vec<String>>,
    per_minute: Option<u32>,
}

fn default_listen() -> Spanned<String> {
    Spanned::new(0..0, "127.0.0.1:8080".into())
}

fn default_journal() -> PathBuf {
    "tandem.db".into()
}

/// Reads a configuration file; paths in it are below its folder.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    let text = read(path, "`--config FILE` names another")?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let parsed = parse(&path.display().to_string(), &text, folder, |name| std::env::var(name).ok());
    parsed.map_err(|Problems(problems)| {
        let shown: Vec<_> = problems.iter().map(|problem| format!("error: {}", problem.trim_end())).collect();
        anyhow::Error::msg(shown.join("\n\n"))
    })
}

fn read(path: &Path, hint: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("reading the configuration `{}`: {error}\nhint: {hint}", path.display()))
}

/// Where the journal of a configuration is, without its secrets having to be there.
pub fn journal_path(path: &Path) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default = "default_journal")]
        journal: PathBuf,
    }
    let text = read(path, "`--journal FILE` names the journal itself, `--config FILE` another configuration")?;
    let only: Only =
        toml::from_str(&text).map_err(|error| anyhow::anyhow!(not_toml(&path.display().to_string(), &text, &error)))?;
    Ok(path.parent().unwrap_or(Path::new("")).join(only.journal))
}

/// Where the rules of a tenant come from, without any secret having to be there. `None`: there is no such tenant.
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
    let mut only: Only =
        toml::from_str(&text).map_err(|error| anyhow::anyhow!(not_toml(&path.display().to_string(), &text, &error)))?;
    let rules = only.tenants.remove(tenant).and_then(|tenant| tenant.rules.or(tenant.component));
    Ok(rules.map(|rules| path.parent().unwrap_or(Path::new("")).join(rules)))
}

/// What is logged, from `TANDEM_LOG`; by default what operators want to see.
pub fn log_filter() -> tracing_subscriber::EnvFilter {
    let filter = std::env::var("TANDEM_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"))
}

/// Whether `NO_COLOR` asks for none.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Reads a configuration; `variable` looks up an environment variable.
pub fn parse(
    name: &str,
    text: &str,
    folder: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let file: File = toml::from_str(text).map_err(|error| Problems(vec![not_toml(name, text, &error)]))?;
    let mut check = Check { name, text, variable: &variable, problems: vec![] };
    let body_bytes_max = check.body_bytes_max(file.body_bytes_max.as_ref());
    let delivery = check.delivery(&file.delivery);
    let listen = check.listen(&file.listen);
    let admin = check.listen(&file.admin.listen);
    let public_url = check.public_url(file.public_url.as_ref());
    let mut tenants = vec![];
    for (tenant, table) in &file.tenants {
        tenants.extend(check.tenant(tenant, table, folder, &file.network.allow));
    }
    check.shops(&file.tenants);
    if check.problems.is_empty() {
        let journal = folder.join(&file.journal);
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(Config {
            listen,
            journal,
            body_bytes_max,
            allow: file.network.allow,
            delivery,
            public_url,
            tenants,
            admin,
            relink: vec![],
        })
    } else {
        Err(Problems(check.problems))
    }
}

fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |place| place.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("{name}:{line}: {}", error.message().replace('\n', ", "))
}

struct Check<'a> {
    name: &'a str,
    text: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Check<'_> {
    fn line<T>(&self, of: &Spanned<T>) -> usize {
        self.text[..of.span().start.min(self.text.len())].matches('\n').count() + 1
    }

    fn at<T>(&self, of: &Spanned<T>) -> String {
        format!("{}:{}", self.name, self.line(of))
    }

    fn problem(&mut self, message: String) {
        self.problems.push(message);
    }

    fn listen(&mut self, listen: &Spanned<String>) -> Option<SocketAddr> {
        let address = listen.get_ref().parse().ok();
        if address.is_none() {
            let at = self.at(listen);
            self.problem(format!(
                "{at}: `listen = \"{}\"` is not an address\nhint: write `listen = \"127.0.0.1:8080\"`",
                listen.get_ref()
            ));
        }
        address
    }

    fn public_url(&mut self, given: Option<&Spanned<String>>) -> Option<String> {
        let given = given?;
        if let Err(why) = check_public_url(given.get_ref()) {
            let at = self.at(given);
            self.problem(format!("{at}: `public_url = \"{}\"` {why}", given.get_ref()));
        }
        Some(given.get_ref().trim_end_matches('/').to_owned())
    }

    fn body_bytes_max(&mut self, given: Option<&Spanned<usize>>) -> usize {
        let Some(given) = given else { return BODY_BYTES_MAX };
        if *given.get_ref() > Limits::input_bytes_max() {
            let at = self.at(given);
            self.problem(format!(
                "{at}: `body_bytes_max = {}` is more than the rules' memory can hold\nhint: use {} at most",
                given.get_ref(),
                Limits::input_bytes_max()
            ));
        }
        *given.get_ref()
    }

    fn delivery(&mut self, file: &DeliveryFile) -> Delivery {
        let timeout_ms = file.timeout_ms.as_ref().map_or(TIMEOUT_MS, |given| *given.get_ref());
        let quiet_ms = file.quiet_ms.as_ref().map_or(timeout_ms, |given| *given.get_ref());
        if let Some(quiet) = &file.quiet_ms
            && quiet_ms < timeout_ms
        {
            let other = match &file.timeout_ms {
                Some(timeout) => format!("`timeout_ms = {timeout_ms}` in line {}", self.line(timeout)),
                None => format!("the default `timeout_ms = {timeout_ms}`"),
            };
            let at = self.at(quiet);
            self.problem(format!(
                "{at}: `quiet_ms = {quiet_ms}` contradicts {other}: a read after it could overtake the write it asks about\nhint: make quiet_ms at least as long as timeout_ms"
            ));
        }
        let concurrent_calls = file.concurrent_calls.as_ref().map_or(CONCURRENT_CALLS, |given| *given.get_ref());
        if let Some(given) = &file.concurrent_calls
            && concurrent_calls == 0
        {
            let at = self.at(given);
            self.problem(format!("{at}: `concurrent_calls = 0` would send nothing\nhint: use 1 or more"));
        }
        let retry_delays_ms = file.retry_delays_ms.clone().unwrap_or_else(|| RETRY_DELAYS_MS.to_vec());
        Delivery { timeout_ms, retry_delays_ms, quiet_ms, concurrent_calls }
    }

    fn tenant(&mut self, name: &str, file: &TenantFile, folder: &Path, allow: &[String]) -> Option<Tenant> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            self.problem(format!(
                "{}: the tenant name `{name}` is part of an address\nhint: use letters, digits, `-` and `_`",
                self.name
            ));
        }
        let rules = match (&file.rules, &file.component) {
            (Some(rules), None) => Some(RulesFrom::File(folder.join(rules.get_ref()))),
            (None, Some(component)) => Some(RulesFrom::Component(folder.join(component.get_ref()))),
            (None, None) => {
                let at = self.at(&file.shop);
                self.problem(format!("{at}: tenant `{name}` has no rules\nhint: add `rules = \"{name}.toml\"` or `component = \"{name}.wasm\"`"));
                None
            }
            (Some(rules), Some(component)) => {
                let (at, other) = (self.at(rules), self.line(component));
                self.problem(format!(
                    "{at}: `rules` contradicts `component` in line {other}: a tenant has one of them\nhint: remove one"
                ));
                None
            }
        };
        let shop = file.shop.get_ref().to_ascii_lowercase();
        let shopify = self.peer(name, "shopify", &file.shopify, Some(format!("https://{shop}")), allow);
        let omneo = self.peer(name, "omneo", &file.omneo, None, allow);
        Some(Tenant { name: name.to_owned(), shop, rules: rules?, shopify: shopify?, omneo: omneo? })
    }

    fn peer(
        &mut self,
        tenant: &str,
        side: &str,
        file: &PeerFile,
        default: Option<String>,
        allow: &[String],
    ) -> Option<Peer> {
        let url = match (&file.url, default) {
            (Some(url), _) => url.get_ref().trim_end_matches('/').to_owned(),
            (None, Some(default)) => default,
            (None, None) => {
                let at = self.at(&file.token);
                self.problem(format!(
                    "{at}: `tenants.{tenant}.{side}` has no `url`\nhint: add `url = \"https://api.{tenant}.getomneo.com/api/v3\"`"
                ));
                return None;
            }
        };
        if let Some(given) = &file.url
            && let Err(why) = check_url(&url, allow)
        {
            let at = self.at(given);
            self.problem(format!("{at}: {why}"));
        }
        let token = self.secret(file.token.get_ref(), &file.token)?;
        let secrets: Vec<_> = file
            .webhook_secrets
            .get_ref()
            .iter()
            .filter_map(|secret| self.secret(secret, &file.webhook_secrets))
            .collect();
        if file.webhook_secrets.get_ref().is_empty() {
            let at = self.at(&file.webhook_secrets);
            self.problem(format!(
                "{at}: no webhook of {side} could be verified\nhint: give `webhook_secrets` at least one secret"
            ));
        }
        Some(Peer { url, token, webhook_secrets: secrets, per_minute: file.per_minute })
    }

    /// A secret as it stands, or from the environment: `env:NAME`.
    fn secret<T>(&mut self, text: &str, at: &Spanned<T>) -> Option<String> {
        let value = match text.strip_prefix("env:") {
            Some(name) => (self.variable)(name),
            None => Some(text.to_owned()),
        };
        match value {
            Some(value) if !value.is_empty() => Some(value),
            _ => {
                let at = self.at(at);
                let what = text.strip_prefix("env:").map_or("an empty secret".to_owned(), |name| {
                    format!("the environment variable `{name}` is not set")
                });
                self.problem(format!("{at}: {what}\nhint: set it, or write the secret itself"));
                None
            }
        }
    }

    /// A shop is one tenant's: its webhooks go to one address for all.
    fn shops(&mut self, tenants: &BTreeMap<String, TenantFile>) {
        let mut seen: BTreeMap<String, (&str, &Spanned<String>)> = BTreeMap::new();
        for (name, tenant) in tenants {
            let shop = tenant.shop.get_ref().to_ascii_lowercase();
            if let Some((other, place)) = seen.insert(shop.clone(), (name, &tenant.shop)) {
                let (at, line) = (self.at(&tenant.shop), self.line(place));
                self.problem(format!(
                    "{at}: tenant `{name}` has the shop `{shop}`, which tenant `{other}` has in line {line}\nhint: a shop belongs to one tenant"
                ));
            }
        }
    }
}

/// Whether calls may go to this address: TLS, or allowed by name.
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

impl Tenant {
    /// The side of this name, if there is one.
    pub fn peer(&self, target: &str) -> Option<&Peer> {
        match target {
            "shopify" => Some(&self.shopify),
            "omneo" => Some(&self.omneo),
            _ => None,
        }
    }
}

impl fmt::Debug for Peer {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Peer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether webhooks can be sent there: Shopify takes no other than https.
pub fn check_public_url(url: &str) -> Result<(), String> {
    let is_https = Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.has_host() && url.query().is_none());
    let why = "is no address that Shopify sends webhooks to\nhint: write where a proxy with TLS listens: `https://tandem.example.org`";
    if is_https { Ok(()) } else { Err(why.to_owned()) }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0.join("\n\n"))
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
            (acme.shopify.token.as_str(), acme.omneo.url.as_str()),
            ("secret", "https://api.acme.getomneo.com/api/v3")
        );
        assert_eq!(acme.rules, RulesFrom::File("/etc/tandem/acme.toml".into()));
        assert!(!format!("{config:?}").contains("secret\""));
    }

    #[test]
    fn a_contradiction_names_both_lines() {
        let text = format!(
            "{GOOD}[tenants.zeta]\nshop = \"acme.myshopify.com\"\nrules = \"a\"\ncomponent = \"b\"\nshopify = {{ token = \"t\", webhook_secrets = [\"a\"] }}\nomneo = {{ url = \"https://o\", token = \"t\", webhook_secrets = [\"c\"] }}\n[delivery]\ntimeout_ms = 9000\nquiet_ms = 10\n"
        );
        let problems = read(&text).unwrap_err();
        assert_eq!(
            problems,
            "tandem.toml:15: `quiet_ms = 10` contradicts `timeout_ms = 9000` in line 14: a read after it could overtake the write it asks about\nhint: make quiet_ms at least as long as timeout_ms\n\n\
             tandem.toml:9: `rules` contradicts `component` in line 10: a tenant has one of them\nhint: remove one\n\n\
             tandem.toml:8: tenant `zeta` has the shop `acme.myshopify.com`, which tenant `acme` has in line 3\nhint: a shop belongs to one tenant"
        );
    }

    #[test]
    fn plain_http_needs_its_name() {
        let text = GOOD.replace("https://api.acme.getomneo.com", "http://10.0.0.1:81");
        assert!(read(&text).unwrap_err().contains("tandem.toml:6: `http://10.0.0.1:81/api/v3` is not https\nhint: use https, or allow this address by name: `[network] allow = [\"10.0.0.1:81\"]`"));
        assert!(read(&format!("network = {{ allow = [\"10.0.0.1:81\"] }}\n{text}")).is_ok());
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert!(read("lisen = \"127.0.0.1:1\"").unwrap_err().contains("unknown field `lisen`"));
        assert!(read(&GOOD.replace("TOKEN", "NOPE")).unwrap_err().contains("`NOPE` is not set"));
    }
}
