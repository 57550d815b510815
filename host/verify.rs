//! Checks what Shopify and Omneo sign. This file checks the bodies of webhooks; the files below it check Shopify's
//! queries and session tokens. Pure: secrets and the time are arguments.

pub mod parameters;
pub mod proxy;
pub mod query;
pub mod session;
pub mod timestamp;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_OF_TOKENS};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Why a webhook is refused. The status of the answer tells the sender.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("the signature is missing")]
    Unsigned,
    #[error("the signature does not fit the body")]
    BadSignature,
}

/// Why a text is not a signature in hexadecimal digits, as Shopify writes it into a query.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum HexRefused {
    #[error("the signature is missing")]
    Missing,
    #[error("the signature does not have 64 digits")]
    Length,
    #[error("the signature has capital letters, which Shopify does not write")]
    Capitals,
    #[error("the signature is not hexadecimal")]
    NotHex,
}

/// A signature as it was received. A text that cannot be a signature is refused before any body is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Shopify's signature: base64 of the HMAC-SHA256 of the body, keyed with the app's client secret.
    pub fn of_shopify(header: Option<&str>) -> Result<Self, Refused> {
        let bytes = BASE64.decode(header.ok_or(Refused::Unsigned)?).map_err(|_| Refused::BadSignature)?;
        Self::new(bytes)
    }

    /// Omneo's signature: lower-case hex of the HMAC-SHA256 of the body, keyed with the shared secret (Omneo's PHP
    /// client and starter app agree).
    pub fn of_omneo(header: Option<&str>) -> Result<Self, Refused> {
        let bytes = hex::decode(header.ok_or(Refused::Unsigned)?).map_err(|_| Refused::BadSignature)?;
        Self::new(bytes)
    }

    /// The signature of a query from Shopify: exactly 64 hexadecimal digits in lower case.
    pub fn of_query(text: Option<&str>) -> Result<Self, HexRefused> {
        let text = text.ok_or(HexRefused::Missing)?;
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return Err(HexRefused::Length);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HexRefused::NotHex)?;
        if text.contains(|c: char| c.is_ascii_uppercase()) { Err(HexRefused::Capitals) } else { Ok(Self(bytes)) }
    }

    /// The signature of a session token: base64 in its URL-safe alphabet, without padding.
    pub fn of_token(text: &str) -> Result<Self, Refused> {
        Self::new(BASE64_OF_TOKENS.decode(text).map_err(|_| Refused::BadSignature)?)
    }

    fn new(bytes: Vec<u8>) -> Result<Self, Refused> {
        bytes.try_into().map(Self).map_err(|_| Refused::BadSignature)
    }

    /// Checks that the signature is of this body. Each of the secrets is valid, since for up to an hour after a
    /// rotation either may sign (Shopify's documentation on verifying deliveries). An empty secret is ignored: anybody
    /// could sign with it.
    pub fn check<'a>(&self, secrets: impl Iterator<Item = &'a str>, body: &[u8]) -> Result<(), Refused> {
        let fits = secrets.filter(|secret| !secret.is_empty()).any(|secret| {
            Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(body).verify_slice(&self.0).is_ok())
        });
        if fits { Ok(()) } else { Err(Refused::BadSignature) }
    }
}

/// A person's number at Shopify, in its only valid notation: digits, not beginning with 0.
fn person(digits: &str) -> Option<u64> {
    let is_one = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| is_one)
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
        // A text that cannot be a signature is refused before there is a body.
        for bad in ["", "zz", &HEX[2..], "bm8="] {
            assert_eq!(Signature::of_omneo(Some(bad)), Err(Refused::BadSignature));
            assert_eq!(Signature::of_shopify(Some(bad)), Err(Refused::BadSignature));
        }
        // Hex where base64 is expected, and the reverse.
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

    #[test]
    fn a_query_is_signed_in_lower_case_hex() {
        assert!(Signature::of_query(Some(HEX)).is_ok());
        let cases = [
            (None, HexRefused::Missing),
            (Some(String::new()), HexRefused::Length),
            (Some(HEX[2..].to_owned()), HexRefused::Length),
            (Some(format!("{HEX}00")), HexRefused::Length),
            (Some(format!("{HEX} ")), HexRefused::Length),
            (Some(HEX.to_uppercase()), HexRefused::Capitals),
            (Some(HEX.replacen('b', "B", 1)), HexRefused::Capitals),
            (Some(HEX.replace('5', "g")), HexRefused::NotHex),
            (Some(HEX.replace('5', "+")), HexRefused::NotHex),
            // Two bytes that form one letter: the length is right, but the letter is no digit.
            (Some(HEX.replacen("5b", "é", 1)), HexRefused::NotHex),
        ];
        for (text, due) in cases {
            assert_eq!(Signature::of_query(text.as_deref()), Err(due), "{text:?}");
        }
    }

    #[test]
    fn a_person_has_one_number() {
        assert_eq!(person("7064"), Some(7064));
        assert_eq!(person("18446744073709551615"), Some(u64::MAX));
        for text in ["", "0", "07", "+7", "-7", "7.0", "7e3", " 7", "7 ", "0x7", "\u{667}", "18446744073709551616"] {
            assert_eq!(person(text), None, "{text:?}");
        }
    }
}
