//! Secrets at rest. Each is sealed with a key that the journal does not hold, and for the one place where it is stored.
//!
//! Knows keys and texts, and not where they come from.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const KEY_BYTES: usize = 32;
/// Long enough to be chosen at random for each secret (XChaCha20-Poly1305).
const NONCE_BYTES: usize = 24;
/// The number of hex digits of a key's SHA-256 that serve as its name.
const ID_DIGITS: usize = 12;

/// The available keys, the newest first. The newest seals; all of them open. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keys(Arc<[Key]>);

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// The stored form of a secret.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sealed {
    /// The name of the key that opens it.
    key: String,
    /// Nonce and ciphertext, in hex.
    sealed: String,
}

impl Keys {
    /// Reads keys of 64 hex digits. An error does not repeat the text.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let key = |text: &String| {
            let mut bytes = [0; KEY_BYTES];
            hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| {
                format!("a key is {} hex digits\nhint: `openssl rand -hex {KEY_BYTES}` makes one", 2 * KEY_BYTES)
            })?;
            let id = hex::encode(Sha256::digest(bytes))[..ID_DIGITS].to_owned();
            Ok(Key { id, cipher: XChaCha20Poly1305::new(&bytes.into()) })
        };
        Ok(Self(texts.iter().map(key).collect::<Result<_, String>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Seals a secret for a place. It cannot be opened for any other place.
    pub fn seal(&self, place: &str, secret: &str) -> anyhow::Result<Sealed> {
        let key = self.0.first().context("there is no key to seal secrets with")?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| anyhow!("sealing a secret: {error}"))?;
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let text = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| anyhow!("sealing a secret"))?;
        Ok(Sealed { key: key.id.clone(), sealed: hex::encode(nonce) + &hex::encode(text) })
    }

    pub fn open(&self, place: &str, secret: &Sealed) -> anyhow::Result<String> {
        let Some(key) = self.0.iter().find(|key| key.id == secret.key) else {
            bail!(
                "the {place} is sealed with the key {}, which is not configured\nhint: add it to `[secrets] keys`, after the newest one",
                secret.key
            );
        };
        let damaged = || anyhow!("the {place} is not what was sealed for it: the journal is damaged");
        let bytes = hex::decode(&secret.sealed).map_err(|_| damaged())?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let payload = Payload { msg: text, aad: place.as_bytes() };
        let secret = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| damaged())?;
        String::from_utf8(secret).map_err(|_| damaged())
    }

    /// Whether the secret is sealed with the newest key.
    pub fn is_newest(&self, secret: &Sealed) -> bool {
        self.0.first().is_some_and(|key| key.id == secret.key)
    }
}

impl PartialEq for Keys {
    /// Compares the names of the keys, which are derived from the keys.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.id).eq(other.0.iter().map(|key| &key.id))
    }
}

impl fmt::Debug for Keys {
    /// Shows the names of the keys, and not the keys.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(digits: &[&str]) -> Keys {
        Keys::parse(&digits.iter().map(|digit| digit.repeat(64)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_secret_opens_with_its_key_in_its_place_only() {
        let (old, both, new) = (keys(&["a"]), keys(&["b", "a"]), keys(&["b"]));
        let sealed = old.seal("token of acme", "s3cret").unwrap();
        assert!(!format!("{sealed:?}").contains("s3cret") && sealed != old.seal("token of acme", "s3cret").unwrap());
        assert_eq!(both.open("token of acme", &sealed).unwrap(), "s3cret");
        assert!(old.is_newest(&sealed) && !both.is_newest(&sealed));
        assert!(old.open("token of zeta", &sealed).unwrap_err().to_string().contains("is damaged"));
        assert!(new.open("token of acme", &sealed).unwrap_err().to_string().contains("is not configured"));
        for (from, to) in [("0", "1"), ("", "z")] {
            let changed = Sealed { sealed: sealed.sealed.replacen(from, to, 1), ..sealed.clone() };
            assert_eq!(old.open("token of acme", &changed).is_ok(), changed == sealed);
        }
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        let error = Keys::parse(&["hunter2".into()]).unwrap_err();
        assert!(error.starts_with("a key is 64 hex digits") && !error.contains("hunter2"));
        assert!(!format!("{:?}", keys(&["a"])).contains("aaaaaaaaaaaaa"));
    }
}
