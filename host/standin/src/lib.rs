//! Stateful stand-ins for Shopify's Admin API and Omneo's REST API, on loopback, for the demo, the sandbox and the tests.
//! They check the host from outside, so nothing here knows the host, its journal or its rules, and they sign webhooks by themselves.
#![deny(unsafe_code)]

mod browser;
mod clock;
mod faults;
mod forward;
mod history;
mod http;
mod omneo;
mod outbox;
mod past;
mod query;
mod server;
mod shopify;
mod sign;

pub use browser::Browser;
pub use clock::Clock;
pub use faults::{Fault, Faults, Rule};
pub use history::live_through;
pub use omneo::{ENDPOINTS, Endpoint, Omneo, OmneoOptions, refusal, unknown};
pub use outbox::{Delivery, Losing, Outbox, Webhook};
pub use past::Past;
pub use server::{Request, Response};
pub use shopify::{
    AppOptions, AppProxy, Approval, BulkFault, Ledger, Manner, Pays, RefreshRule, SessionToken, Shopify,
    ShopifyOptions, TokenCounts,
};
pub use sign::{sign_omneo, sign_proxy, sign_query, sign_shopify};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a test's closure panicked while holding the lock: state here is only ever replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A version 4 UUID out of a seeded generator, so that a run can be repeated.
fn uuid(random: &mut fastrand::Rng) -> String {
    let bits = (random.u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
    format!("{a}-{b}-{c}-{}-{}", &hex[16..20], &hex[20..])
}
