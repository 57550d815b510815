//! Finds contradictions in a configuration, and reports each with its line and the fix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::file::{AppFile, DeliveryFile, PeerFile, TenantFile};
use super::{
    App, AppKind, Apps, Credential, Delivery, PROXY, Peer, Quota, RulesFrom, Tenant, check_app_url, check_name,
    check_public_url, check_url, proxy_parts,
};
use crate::engine::Limits;
use crate::excerpt::{Mistake, line_of};
use crate::model;
use crate::vault::Keys;

/// Orders of 2.6 MB are known to exist. A body that is refused is lost in the end, so the maximum is as much as the
/// memory of rules allows.
pub const BODY_BYTES_MAX: usize = 10 << 20;
/// The smallest value that is useful.
const BODY_BYTES_MIN: usize = 1_024;
const TIMEOUT_MS: u64 = 20_000;
/// An answer may take at most ten minutes, and a call of unknown fate at most a day.
const TIMEOUT_MS_BOUNDS: std::ops::RangeInclusive<u64> = 10..=600_000;
const QUIET_MS_MAX: u64 = 24 * 3_600_000;
/// The longest wait between two attempts: a week.
const RETRY_DELAY_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// A secret is one line. The limit keeps an endless file from being read.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// Delays before each further attempt, in milliseconds: about two days in all.
const RETRY_DELAYS_MS: [u64; 13] = [
    1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
    43_200_000, 86_400_000,
];

pub struct Check<'a> {
    pub text: &'a str,
    /// The folder that paths are relative to.
    pub folder: &'a Path,
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub problems: Vec<Mistake>,
}

impl Check<'_> {
    pub fn line<T>(&self, of: &Spanned<T>) -> usize {
        line_of(self.text, of.span().start)
    }

    /// Records a mistake at a place. In `text`, the fix follows `hint:`.
    pub fn problem(&mut self, place: Range<usize>, text: String) {
        let (message, fix) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        self.problems.push(Mistake { place, message: message.to_owned(), fix: fix.to_owned() });
    }

    pub fn listen(&mut self, listen: &Spanned<String>) -> Option<SocketAddr> {
        let address = listen.get_ref().parse().ok();
        if address.is_none() {
            let place = listen.span();
            self.problem(
                place,
                format!(
                    "`listen = \"{}\"` is not an address\nhint: write `listen = \"127.0.0.1:8080\"`",
                    listen.get_ref()
                ),
            );
        }
        address
    }

    pub fn public_url(&mut self, given: Option<&Spanned<String>>) -> Option<String> {
        let given = given?;
        if let Err(why) = check_public_url(given.get_ref()) {
            let place = given.span();
            self.problem(place, format!("`public_url = \"{}\"` {why}", given.get_ref()));
        }
        Some(given.get_ref().trim_end_matches('/').to_owned())
    }

    pub fn keys(&mut self, given: Option<&Spanned<Vec<String>>>) -> Keys {
        let Some(given) = given else { return Keys::default() };
        let texts: Vec<_> = given.get_ref().iter().filter_map(|text| self.secret(text, given)).collect();
        Keys::parse(&texts).unwrap_or_else(|why| {
            let place = given.span();
            self.problem(place, why);
            Keys::default()
        })
    }

    pub fn body_bytes_max(&mut self, given: Option<&Spanned<usize>>) -> usize {
        let Some(given) = given else { return BODY_BYTES_MAX };
        if *given.get_ref() < BODY_BYTES_MIN {
            let place = given.span();
            let less = format!(
                "`body_bytes_max = {}` is less than webhooks have\nhint: use {BODY_BYTES_MIN} at least",
                given.get_ref()
            );
            self.problem(place, less);
        }
        if *given.get_ref() > Limits::input_bytes_max() {
            let place = given.span();
            self.problem(
                place,
                format!(
                    "`body_bytes_max = {}` is more than the rules' memory can hold\nhint: use {} at most",
                    given.get_ref(),
                    Limits::input_bytes_max()
                ),
            );
        }
        *given.get_ref()
    }

    pub fn delivery(&mut self, file: &DeliveryFile) -> Delivery {
        let timeout_ms = file.timeout_ms.as_ref().map_or(TIMEOUT_MS, |given| *given.get_ref());
        let quiet_ms = file.quiet_ms.as_ref().map_or(timeout_ms, |given| *given.get_ref());
        for (name, given, bounds) in [
            ("timeout_ms", &file.timeout_ms, TIMEOUT_MS_BOUNDS),
            ("quiet_ms", &file.quiet_ms, TIMEOUT_MS_BOUNDS.start().to_owned()..=QUIET_MS_MAX),
        ] {
            if let Some(given) = given.as_ref().filter(|given| !bounds.contains(given.get_ref())) {
                let (place, value) = (given.span(), given.get_ref());
                self.problem(
                    place,
                    format!(
                        "`{name} = {value}` is out of bounds\nhint: use {} to {} milliseconds",
                        bounds.start(),
                        bounds.end()
                    ),
                );
            }
        }
        if let Some(quiet) = &file.quiet_ms
            && quiet_ms < timeout_ms
        {
            let other = match &file.timeout_ms {
                Some(timeout) => format!("`timeout_ms = {timeout_ms}` in line {}", self.line(timeout)),
                None => format!("the default `timeout_ms = {timeout_ms}`"),
            };
            let place = quiet.span();
            self.problem(place, format!(
                "`quiet_ms = {quiet_ms}` contradicts {other}: a read after it could overtake the write it asks about\nhint: make quiet_ms at least as long as timeout_ms"
            ));
        }
        let retry_delays_ms =
            file.retry_delays_ms.as_ref().map_or(RETRY_DELAYS_MS.to_vec(), |given| given.get_ref().clone());
        if let Some(given) =
            file.retry_delays_ms.as_ref().filter(|given| given.get_ref().iter().any(|ms| *ms > RETRY_DELAY_MS_MAX))
        {
            let place = given.span();
            self.problem(place, format!("a wait of `retry_delays_ms` is longer than a week\nhint: use {RETRY_DELAY_MS_MAX} milliseconds at most"));
        }
        Delivery { timeout_ms, retry_delays_ms, quiet_ms }
    }

    /// Checks the addresses that calls may go to. Each needs a port: without one it would match nothing.
    pub fn allowed(&mut self, given: &[Spanned<String>]) -> Vec<String> {
        for one in given {
            let address = one.get_ref();
            let is_whole =
                address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_whole {
                self.problem(
                    one.span(),
                    format!("`{address}` is no host with a port\nhint: write both, `127.0.0.1:8080`, as in the address of the calls"),
                );
            }
        }
        given.iter().map(|one| one.get_ref().clone()).collect()
    }

    /// The given limits, combined with defaults for those that are not given.
    pub fn limits<'a>(
        &mut self,
        mut limits: Quota,
        given: impl IntoIterator<Item = (&'a str, &'a Spanned<u64>)>,
    ) -> Quota {
        for (name, given) in given {
            if !limits.set(name, *given.get_ref()) {
                let names: Vec<_> = Quota::names().map(|name| format!("`{name}`")).collect();
                let names = names.join(", ");
                self.problem(given.span(), format!("there is no limit `{name}`\nhint: there are {names}"));
            } else if let Some((_, why)) = limits.problems().into_iter().find(|(of, _)| *of == name) {
                self.problem(given.span(), why);
            }
        }
        limits
    }

    /// Checks the apps. `keys` says whether there are keys to seal grants with.
    pub fn apps(&mut self, files: &BTreeMap<String, AppFile>, keys: bool, allow: &[String]) -> Apps {
        let mut apps = Apps::new();
        for (name, file) in files {
            if let Err(why) = check_name(name) {
                self.problem(file.client_id.span(), why.replace("the tenant name", "the app name"));
            }
            if !keys {
                self.problem(
                    file.client_id.span(),
                    format!("the app `{name}` needs a key: what it is granted is sealed in the journal\nhint: `openssl rand -hex 32` makes one; `[secrets] keys = [\"env:TANDEM_KEY\"]` names it"),
                );
            }
            apps.extend(self.app(name, file, allow).map(|app| (name.clone(), Arc::new(app))));
        }
        self.client_ids(files);
        apps
    }

    fn app(&mut self, name: &str, file: &AppFile, allow: &[String]) -> Option<App> {
        let kind = AppKind::ALL.into_iter().find(|kind| kind.name() == file.kind.get_ref());
        if kind.is_none() {
            self.problem(
                file.kind.span(),
                format!("`kind` of the app `{name}` is none of those that there are\nhint: write `own` where app and shop are in one organisation; `standalone` or `embedded` where a merchant installs it"),
            );
        }
        let client_id = file.client_id.get_ref().clone();
        if client_id.is_empty() || !client_id.chars().all(|c| c.is_ascii_graphic()) {
            self.problem(
                file.client_id.span(),
                "`client_id` is no client id\nhint: it is shown in the Dev Dashboard, under Settings".into(),
            );
        }
        let client_secret = self.secret(file.client_secret.get_ref(), &file.client_secret);
        let previous_secret = match &file.previous_secret {
            Some(given) => Some(self.secret(given.get_ref(), given)?),
            None => None,
        };
        let endpoint = file.endpoint.as_ref().map(|at| (at.span(), at.get_ref().trim_end_matches('/').to_owned()));
        if let Some((span, url)) = &endpoint
            && let Err(why) = check_app_url(url, allow)
        {
            self.problem(span.clone(), why);
        }
        let proxy = file.proxy.as_ref().map_or(PROXY, |path| path.get_ref().as_str());
        if let Some(path) = file.proxy.as_ref().filter(|_| proxy_parts(proxy).is_none()) {
            self.problem(
                path.span(),
                "`proxy` is no path of an app proxy\nhint: write it as the app has it at Shopify: `/apps/cx`; it begins with `/apps`, `/a`, `/community` or `/tools`".into(),
            );
        }
        let mut trust_classic_accounts = BTreeSet::new();
        for given in &file.trust_classic_accounts {
            let shop = model::shop(given.get_ref());
            if model::shop_of_shopify(&shop).is_none() {
                self.problem(given.span(), format!("`{shop}` is no shop that an app can be installed in\nhint: write the domain that ends in `.myshopify.com`: `acme.myshopify.com`"));
            }
            trust_classic_accounts.insert(shop);
        }
        let (client_secret, kind, endpoint) = (client_secret?, kind?, endpoint.map(|(_, url)| url));
        let (name, proxy) = (name.to_owned(), proxy.to_owned());
        Some(App { name, client_id, client_secret, previous_secret, kind, endpoint, proxy, trust_classic_accounts })
    }

    /// Reports apps with the same client id: they would hold two grants, each of which ends the other.
    fn client_ids(&mut self, files: &BTreeMap<String, AppFile>) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, file) in files {
            if let Some(other) = seen.insert(file.client_id.get_ref(), name) {
                self.problem(
                    file.client_id.span(),
                    format!(
                        "the apps `{other}` and `{name}` have one `client_id`\nhint: several tenants may name one app"
                    ),
                );
            }
        }
    }

    /// Checks a tenant. `limits` apply where the tenant gives none.
    pub fn tenant(
        &mut self,
        name: &str,
        file: &TenantFile,
        limits: Quota,
        allow: &[String],
        apps: &Apps,
    ) -> Option<Tenant> {
        let folder = self.folder;
        if let Err(why) = check_name(name) {
            self.problem(file.shop.span(), why);
        }
        let rules = match (&file.rules, &file.component) {
            (Some(rules), None) => Some(RulesFrom::File(folder.join(rules.get_ref()))),
            (None, Some(component)) => Some(RulesFrom::Component(folder.join(component.get_ref()))),
            (None, None) => {
                let place = file.shop.span();
                self.problem(place, format!("tenant `{name}` has no rules\nhint: add `rules = \"{name}.toml\"` or `component = \"{name}.wasm\"`"));
                None
            }
            (Some(rules), Some(component)) => {
                let (place, other) = (rules.span(), self.line(component));
                self.problem(
                    place,
                    format!(
                        "`rules` contradicts `component` in line {other}: a tenant has one of them\nhint: remove one"
                    ),
                );
                None
            }
        };
        let shop = model::shop(file.shop.get_ref());
        if let Some(why) = model::no_shop(&shop) {
            self.problem(file.shop.span(), why);
        }
        let shopify = match &file.shopify.get_ref().app {
            Some(app) => self.app_peer(file, &shop, app, allow, apps),
            None => self.peer(name, "shopify", &file.shopify, Some(format!("https://{shop}")), allow),
        };
        let omneo = file.omneo.as_ref().and_then(|omneo| self.peer(name, "omneo", omneo, None, allow));
        let limits = self.limits(limits, file.limits.iter().map(|(name, given)| (name.as_str(), given)));
        Some(Tenant { name: name.to_owned(), shop, rules: rules?, shopify: shopify?, omneo: omneo?, limits })
    }

    /// The Shopify side of a tenant that has an app instead of a token.
    fn app_peer(
        &mut self,
        tenant: &TenantFile,
        shop: &str,
        name: &Spanned<String>,
        allow: &[String],
        apps: &Apps,
    ) -> Option<Peer> {
        let file = tenant.shopify.get_ref();
        let beside = [
            ("token", file.token.as_ref().map(Spanned::span)),
            ("webhook_secrets", file.webhook_secrets.as_ref().map(Spanned::span)),
        ];
        for (key, place) in beside {
            if let Some(place) = place {
                self.problem(place, format!("`{key}` contradicts `app`: the app has it\nhint: remove one of them"));
            }
        }
        if model::shop_of_shopify(shop).is_none() {
            self.problem(tenant.shop.span(), format!("`{shop}` is no shop that an app can be installed in\nhint: write the domain that ends in `.myshopify.com`: `acme.myshopify.com`"));
        }
        let given = file.url.as_ref().map(|url| url.get_ref().trim_end_matches('/').to_owned());
        if let (Some(url), Some(at)) = (&given, &file.url)
            && *url != format!("https://{shop}")
            && let Err(why) = check_app_url(url, allow)
        {
            self.problem(at.span(), why);
        }
        let Some(app) = apps.get(name.get_ref()) else {
            // If the app exists and is wrong, its own mistake has been reported already.
            let named = name.get_ref();
            self.problem(
                name.span(),
                format!(
                    "there is no app `{named}`, or something is wrong with it\nhint: `[apps.{named}]` says what it is"
                ),
            );
            return None;
        };
        let url = given.unwrap_or_else(|| app.address_of(shop));
        Some(Peer::of_app(url, app.clone(), file.per_minute))
    }

    fn peer(
        &mut self,
        tenant: &str,
        side: &str,
        at: &Spanned<PeerFile>,
        default: Option<String>,
        allow: &[String],
    ) -> Option<Peer> {
        let file = at.get_ref();
        let (Some(token), Some(webhook_secrets)) = (&file.token, &file.webhook_secrets) else {
            let missing = if file.token.is_none() { "token" } else { "webhook_secrets" };
            let other =
                if side == "shopify" { "; or name an app: `app = \"…\"`, with a table `[apps.…]`" } else { "" };
            let example = if missing == "token" { "\"…\"" } else { "[\"…\"]" };
            self.problem(
                at.span(),
                format!("`tenants.{tenant}.{side}.{missing}` is missing\nhint: add `{missing} = {example}`{other}"),
            );
            return None;
        };
        let url = match (&file.url, default) {
            (Some(url), _) => url.get_ref().trim_end_matches('/').to_owned(),
            (None, Some(default)) => default,
            (None, None) => {
                let place = token.span();
                self.problem(place, format!(
                    "`tenants.{tenant}.{side}` has no `url`\nhint: add `url = \"https://api.{tenant}.getomneo.com/api/v3\"`"
                ));
                return None;
            }
        };
        if let Some(given) = &file.url
            && let Err(why) = check_url(&url, allow)
        {
            let place = given.span();
            self.problem(place, why);
        }
        let token = self.secret(token.get_ref(), token)?;
        let secrets: Vec<_> = webhook_secrets
            .get_ref()
            .iter()
            .filter_map(|secret| self.secret(secret, webhook_secrets))
            .map(|secret| secret.as_str().into())
            .collect();
        if webhook_secrets.get_ref().is_empty() {
            let place = webhook_secrets.span();
            self.problem(
                place,
                format!("no webhook of {side} could be verified\nhint: give `webhook_secrets` at least one secret"),
            );
        }
        let credential = Credential::Token(token);
        Some(Peer { url, credential, webhook_secrets: secrets, per_minute: file.per_minute })
    }

    /// A secret, given literally, by the environment (`env:NAME`) or by a file (`file:PATH`, without its last line
    /// break).
    pub fn secret<T>(&mut self, text: &str, at: &Spanned<T>) -> Option<String> {
        let (value, what, fix) = if let Some(name) = text.strip_prefix("env:") {
            let what = format!("the environment variable `{name}` is not set");
            ((self.variable)(name), what, "set it, or write the secret itself")
        } else if let Some(path) = text.strip_prefix("file:") {
            let path = self.folder.join(path);
            match read_secret(&path) {
                Ok(value) => {
                    let what = format!("the file `{}` is empty", path.display());
                    (Some(value.trim_end().to_owned()), what, "write the secret into it")
                }
                Err(error) => {
                    let what = format!("reading the secret `{}`: {error}", path.display());
                    (None, what, "check the path: it counts from the folder of the configuration")
                }
            }
        } else {
            (Some(text.to_owned()), "an empty secret".to_owned(), "write the secret, or `env:NAME`, or `file:PATH`")
        };
        let is_mistyped = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let value = value.filter(|value| !value.is_empty());
        let wrong = match &value {
            None => Some((what, fix)),
            Some(_) if !text.starts_with("env:") && is_mistyped("env:") => {
                Some(("a secret begins with `env:` in capitals".to_owned(), "write `env:` in small letters"))
            }
            Some(_) if !text.starts_with("file:") && is_mistyped("file:") => {
                Some(("a secret begins with `file:` in capitals".to_owned(), "write `file:` in small letters"))
            }
            Some(value) if value.contains(char::is_control) => Some((
                "a secret has a line break or another control character in it".to_owned(),
                "write it as one line",
            )),
            Some(_) => None,
        };
        if let Some((what, fix)) = wrong {
            let place = at.span();
            self.problem(place, format!("{what}\nhint: {fix}"));
            return None;
        }
        value
    }

    /// Reports a shop that two tenants have. Webhooks of all tenants come to one address, so the shop must identify the
    /// tenant.
    pub fn shops(&mut self, tenants: &BTreeMap<String, TenantFile>) {
        let mut seen: BTreeMap<String, (&str, &Spanned<String>)> = BTreeMap::new();
        for (name, tenant) in tenants {
            let shop = model::shop(tenant.shop.get_ref());
            if let Some((other, place)) = seen.insert(shop.clone(), (name, &tenant.shop)) {
                let (place, line) = (tenant.shop.span(), self.line(place));
                self.problem(place, format!(
                    "tenant `{name}` has the shop `{shop}`, which tenant `{other}` has in line {line}\nhint: a shop belongs to one tenant"
                ));
            }
        }
    }
}

/// Reads a secret from a file. Devices, pipes and files that are too long are refused.
fn read_secret(path: &std::path::Path) -> std::io::Result<String> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() || about.len() > SECRET_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is no file of {SECRET_BYTES_MAX} bytes at most")));
    }
    std::fs::read_to_string(path)
}
