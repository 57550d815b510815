//! What a shop keeps: its customers, their addresses, consents and metafields. Does nothing with them.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    pub id: u64,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone: Option<String>,
    pub note: Option<String>,
    pub locale: String,
    /// As in webhook bodies: `disabled`, `invited`, `enabled`, `declined`.
    pub state: String,
    /// Whether Shopify counts the e-mail address as verified. By its SDL, true for whoever was made by the admin or the API.
    pub verified_email: bool,
    pub tax_exempt: bool,
    pub tax_exemptions: Vec<String>,
    pub tags: Vec<String>,
    pub email_consent: Consent,
    pub sms_consent: Consent,
    pub addresses: Vec<Address>,
    pub default_address: Option<u64>,
    pub metafields: Vec<Metafield>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Customer {
    /// Somebody of whom nothing is known.
    pub fn nobody(id: u64, now_ms: i64) -> Customer {
        Customer {
            id,
            email: None,
            first_name: None,
            last_name: None,
            phone: None,
            note: None,
            locale: "en".to_owned(),
            state: "disabled".to_owned(),
            verified_email: true,
            tax_exempt: false,
            tax_exemptions: Vec::new(),
            tags: Vec::new(),
            email_consent: Consent::default(),
            sms_consent: Consent::default(),
            addresses: Vec::new(),
            default_address: None,
            metafields: Vec::new(),
            created_ms: now_ms,
            updated_ms: now_ms,
        }
    }
}

/// State and level in the small letters of webhook bodies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consent {
    pub state: String,
    pub level: String,
    pub at_ms: Option<i64>,
}

impl Default for Consent {
    /// Recorded answer: a customer nobody asked is NOT_SUBSCRIBED with SINGLE_OPT_IN and no time.
    fn default() -> Consent {
        Consent { state: "not_subscribed".to_owned(), level: "single_opt_in".to_owned(), at_ms: None }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Address {
    pub id: u64,
    /// By GraphQL name, `address1` to `zip`; no nulls.
    pub fields: BTreeMap<String, String>,
}

impl Address {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub fn gid(&self) -> String {
        format!("gid://shopify/MailingAddress/{}?model_name=CustomerAddress", self.id)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metafield {
    pub id: u64,
    pub namespace: String,
    pub key: String,
    pub ty: String,
    pub value: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Metafield {
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.value.as_bytes()))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub id: u64,
    pub owner: String,
    pub namespace: String,
    pub key: String,
    pub name: String,
    pub description: Option<String>,
    pub ty: String,
    /// `NONE` or `PUBLIC_READ`.
    pub storefront: String,
}

/// What a shop is, apart from its data.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub shop_id: u64,
    pub shop: String,
    pub timezone: String,
    pub offset_minutes: i32,
    pub currency: String,
    pub taxes_included: bool,
    pub scopes: Vec<String>,
    pub api_version: String,
    pub classic_accounts: bool,
    pub customers_denied: bool,
}

/// The app in whose name a request is made.
#[derive(Clone, Debug)]
pub(crate) struct Acting {
    pub client_id: String,
    /// What the merchant has granted it.
    pub scopes: Vec<String>,
    /// Whether it is one of the shop's own organisation, which may use REST.
    pub may_use_rest: bool,
}

/// A webhook subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// The client id of the app that made it; `None` for the app of the fixed token.
    pub app: Option<String>,
    /// As GraphQL shows it.
    pub value: Value,
}
