//! The configuration as it is written. Does not know what the values mean; [`super::shape`] finds unknown keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
pub struct File {
    #[serde(default = "default_listen")]
    pub listen: Spanned<String>,
    #[serde(default = "default_journal")]
    pub journal: PathBuf,
    pub body_bytes_max: Option<Spanned<usize>>,
    pub public_url: Option<Spanned<String>>,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub admin: AdminFile,
    #[serde(default)]
    pub secrets: SecretsFile,
    #[serde(default)]
    pub delivery: DeliveryFile,
    #[serde(default)]
    pub alerts: AlertsFile,
    #[serde(default)]
    pub reconcile: ReconcileFile,
    #[serde(default)]
    pub apps: BTreeMap<String, AppFile>,
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantFile>,
}

#[derive(Deserialize)]
pub struct AppFile {
    pub client_id: Spanned<String>,
    pub client_secret: Spanned<String>,
    pub previous_secret: Option<Spanned<String>>,
    pub endpoint: Option<Spanned<String>>,
    pub proxy: Option<Spanned<String>>,
    #[serde(default)]
    pub trust_classic_accounts: Vec<Spanned<String>>,
    pub kind: Spanned<String>,
}

#[derive(Default, Deserialize)]
pub struct Network {
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    #[serde(default)]
    pub allow_merchants: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(default)]
pub struct AdminFile {
    pub listen: Spanned<String>,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self { listen: Spanned::new(0..0, "127.0.0.1:8081".into()) }
    }
}

#[derive(Default, Deserialize)]
pub struct SecretsFile {
    /// The keys, the newest first.
    pub keys: Option<Spanned<Vec<String>>>,
}

#[derive(Default, Deserialize)]
pub struct AlertsFile {
    pub url: Option<Spanned<String>>,
    pub secret: Option<Spanned<String>>,
    pub every_s: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
pub struct ReconcileFile {
    pub at: Option<Spanned<String>>,
    pub names_on: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct DeliveryFile {
    pub timeout_ms: Option<Spanned<u64>>,
    pub retry_delays_ms: Option<Spanned<Vec<u64>>>,
    pub quiet_ms: Option<Spanned<u64>>,
    pub concurrent_calls: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
pub struct TenantFile {
    pub shop: Spanned<String>,
    pub rules: Option<Spanned<PathBuf>>,
    pub component: Option<Spanned<PathBuf>>,
    pub shopify: Spanned<PeerFile>,
    /// Absent only for a tenant that is added to a running host.
    pub omneo: Option<Spanned<PeerFile>>,
    #[serde(default)]
    pub limits: BTreeMap<String, Spanned<u64>>,
}

#[derive(Deserialize)]
pub struct PeerFile {
    pub url: Option<Spanned<String>>,
    /// Only for Shopify: an app, which replaces a token and webhook secrets.
    pub app: Option<Spanned<String>>,
    pub token: Option<Spanned<String>>,
    pub webhook_secrets: Option<Spanned<Vec<String>>>,
    pub per_minute: Option<u32>,
}

fn default_listen() -> Spanned<String> {
    Spanned::new(0..0, "127.0.0.1:8080".into())
}

pub fn default_journal() -> PathBuf {
    "tandem.db".into()
}
