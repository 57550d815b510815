//! Signs webhook bodies as the two senders do.
//! Knows nothing of webhooks beyond the bytes of their body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `X-Shopify-Hmac-Sha256`: base64 of HMAC-SHA256 over the raw body, keyed with the app's client secret
/// (Shopify docs: verify webhook deliveries).
pub fn sign_shopify(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac(secret, body))
}

/// `x-omneo-hmac-sha256`: lower-case hex of HMAC-SHA256 over the raw body, keyed with the shared secret
/// (Omneo's PHP client and its app starter agree).
pub fn sign_omneo(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac(secret, body))
}

fn hmac(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}
