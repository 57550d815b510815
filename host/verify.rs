//! Checks the signature of a webhook over its raw body. Pure: secrets are arguments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Why a webhook is not let in: the sender is told, by the status.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("the signature is missing")]
    Unsigned,
    #[error("the signature does not fit the body")]
    BadSignature,
}

/// A signature as it came. Without one that could be right nobody has to read a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Shopify's: base64 of the HMAC-SHA256 of the body, keyed with the app's client secret.
    pub fn of_shopify(header: Option<&str>) -> Result<Self, Refused> {
        let bytes = BASE64.decode(header.ok_or(Refused::Unsigned)?).map_err(|_| Refused::BadSignature)?;
        Self::new(bytes)
    }

    /// Omneo's: lower-case hex of the HMAC-SHA256 of the body, keyed with the shared secret (Omneo's PHP client and starter
    /// app agree).
    pub fn of_omneo(header: Option<&str>) -> Result<Self, Refused> {
        let bytes = hex::decode(header.ok_or(Refused::Unsigned)?).map_err(|_| Refused::BadSignature)?;
        Self::new(bytes)
    }

    fn new(bytes: Vec<u8>) -> Result<Self, Refused> {
        bytes.try_into().map(Self).map_err(|_| Refused::BadSignature)
    }

    /// Whether it is of this body. Each secret given is valid, since for up to an hour after a rotation either may sign
    /// (Shopify's documentation on verifying deliveries). An empty one is none: anybody could sign with it.
    pub fn check<'a>(&self, secrets: impl Iterator<Item = &'a str>, body: &[u8]) -> Result<(), Refused> {
        let fits = secrets.filter(|secret| !secret.is_empty()).any(|secret| {
            Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(body).verify_slice(&self.0).is_ok())
        });
        if fits { Ok(()) } else { Err(Refused::BadSignature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    const KEY: &str = "Jefe";
    const BODY: &[u8] = b"what do ya want for nothing?";
    const HEX: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn omneo<'a>(secrets: impl Iterator<Item = &'a str>, body: &[u8], header: Option<&str>) -> Result<(), Refused> {
        Signature::of_omneo(header)?.check(secrets, body)
    }

    fn shopify<'a>(secrets: impl Iterator<Item = &'a str>, body: &[u8], header: Option<&str>) -> Result<(), Refused> {
        Signature::of_shopify(header)?.check(secrets, body)
    }

    #[test]
    fn a_known_signature_fits() {
        let secrets = || ["old", KEY].into_iter();
        let base64 = BASE64.encode(hex::decode(HEX).unwrap());
        assert_eq!(omneo(secrets(), BODY, Some(HEX)), Ok(()));
        assert_eq!(shopify(secrets(), BODY, Some(&base64)), Ok(()));
    }

    #[test]
    fn anything_else_does_not() {
        let secrets = || [KEY].into_iter();
        assert_eq!(omneo(secrets(), BODY, None), Err(Refused::Unsigned));
        assert_eq!(omneo(secrets(), b"what do ya want for nothing!", Some(HEX)), Err(Refused::BadSignature));
        for bad in ["", "zz", &HEX[2..], &HEX.replace('5', "6")] {
            assert_eq!(omneo(secrets(), BODY, Some(bad)), Err(Refused::BadSignature));
        }
        // What cannot be one is known before there is a body.
        for bad in ["", "zz", &HEX[2..], "bm8="] {
            assert_eq!(Signature::of_omneo(Some(bad)), Err(Refused::BadSignature));
            assert_eq!(Signature::of_shopify(Some(bad)), Err(Refused::BadSignature));
        }
        // Hex where base64 is due, and the other way round.
        assert_eq!(shopify(secrets(), BODY, Some(HEX)), Err(Refused::BadSignature));
        assert_eq!(omneo(std::iter::empty(), BODY, Some(HEX)), Err(Refused::BadSignature));
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes();
        let by_nobody = hex::encode(mac);
        assert_eq!(omneo(["", KEY].into_iter(), BODY, Some(&by_nobody)), Err(Refused::BadSignature));
        assert_eq!(omneo(["", KEY].into_iter(), BODY, Some(HEX)), Ok(()));
    }
}
