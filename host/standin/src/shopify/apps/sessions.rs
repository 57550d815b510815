//! Session tokens: what Shopify gives an app's pages and extensions to prove whose they are, and the checks before one is
//! exchanged. Knows nothing of grants.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{AppOptions, hex_digits};
use crate::sign::sign_token;

/// Shopify docs: a session token of the admin lives for a minute.
const ADMIN_SECONDS: i64 = 60;
/// Shopify docs: one of an extension lives for five minutes.
const EXTENSION_SECONDS: i64 = 300;
/// Shopify's libraries allow clocks to differ by so much.
const LEEWAY_SECONDS: i64 = 10;

/// A session token to be made: of the admin or of an extension, with any claim, the algorithm or the key replaced, so that
/// a test can make hostile ones.
///
/// The claims are `iss dest aud sub exp nbf iat jti`, and `sid` in the admin; times are Unix seconds.
#[derive(Clone, Debug)]
pub struct SessionToken {
    /// `None` for an extension.
    user: Option<u64>,
    customer: Option<u64>,
    changes: Vec<(String, Option<Value>)>,
    algorithm: String,
    secret: Option<String>,
}

impl SessionToken {
    /// Of a page in the merchant's admin: `iss` `https://{shop}/admin`, `dest` `https://{shop}`, `sub` the digits of a
    /// member of staff, good for a minute.
    pub fn admin(user: u64) -> SessionToken {
        SessionToken { user: Some(user), ..SessionToken::extension(None) }
    }

    /// Of an extension at checkout or in customer accounts: `iss` `https://{shop}/checkouts`, `dest` `{shop}`, `sub`
    /// `gid://shopify/Customer/N` or absent when nobody is logged in, good for five minutes.
    pub fn extension(customer: Option<u64>) -> SessionToken {
        SessionToken { user: None, customer, changes: Vec::new(), algorithm: "HS256".to_owned(), secret: None }
    }

    /// Sets a claim; one that is not there yet comes last.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> SessionToken {
        self.changes.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> SessionToken {
        self.changes.push((name.to_owned(), None));
        self
    }

    /// Names this algorithm in the header. `none` leaves the signature empty, `HS512` signs so; every other name is only a
    /// name, and the signature that of `HS256`.
    pub fn algorithm(self, name: &str) -> SessionToken {
        SessionToken { algorithm: name.to_owned(), ..self }
    }

    /// Signs with this in place of the app's client secret.
    pub fn secret(self, secret: &str) -> SessionToken {
        SessionToken { secret: Some(secret.to_owned()), ..self }
    }

    /// The token's text.
    pub(super) fn sign(&self, app: &AppOptions, shop: &str, now_ms: i64, random: &mut fastrand::Rng) -> String {
        let mut claims = self.claims(&app.client_id, shop, now_ms.div_euclid(1_000), random);
        for (name, value) in &self.changes {
            let at = claims.iter().position(|(known, _)| known == name);
            match (at, value) {
                (Some(at), Some(value)) => claims[at].1 = value.clone(),
                (Some(at), None) => drop(claims.remove(at)),
                (None, Some(value)) => claims.push((name.clone(), value.clone())),
                (None, None) => {}
            }
        }
        let header = [("alg".to_owned(), json!(self.algorithm)), ("typ".to_owned(), json!("JWT"))];
        let signed = format!("{}.{}", part(&header), part(&claims));
        let secret = self.secret.as_deref().unwrap_or(&app.client_secret);
        let signature = sign_token(&self.algorithm, secret, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims(&self, client_id: &str, shop: &str, now: i64, random: &mut fastrand::Rng) -> Vec<(String, Value)> {
        let seconds = if self.user.is_some() { ADMIN_SECONDS } else { EXTENSION_SECONDS };
        let (iss, dest) = match self.user {
            Some(_) => (format!("https://{shop}/admin"), format!("https://{shop}")),
            None => (format!("https://{shop}/checkouts"), shop.to_owned()),
        };
        let customer = self.customer.map(|customer| format!("gid://shopify/Customer/{customer}"));
        let sub = self.user.map(|user| user.to_string()).or(customer);
        let mut claims = vec![("iss", json!(iss)), ("dest", json!(dest)), ("aud", json!(client_id))];
        claims.extend(sub.map(|sub| ("sub", json!(sub))));
        claims.extend([("exp", json!(now + seconds)), ("nbf", json!(now)), ("iat", json!(now))]);
        claims.push(("jti", json!(crate::uuid(random))));
        claims.extend(self.user.map(|_| ("sid", json!(hex_digits(random, 64)))));
        claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// One part of a JSON Web Token: an object with its keys in this order.
fn part(pairs: &[(String, Value)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    URL_SAFE_NO_PAD.encode(format!("{{{}}}", pairs.join(",")))
}

/// The member of staff that a session token stands for, if it can be exchanged at `now_ms`: one of the admin of this shop,
/// for this app, in its time, signed with one of the app's secrets by HS256. Tokens of extensions cannot be exchanged
/// (shopify-app-php).
pub(super) fn exchangeable(token: &str, app: &AppOptions, shop: &str, now_ms: i64) -> Option<u64> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let secrets = std::iter::once(&app.client_secret).chain(&app.previous_secret);
    let is_ours = secrets.into_iter().any(|secret| sign_token("HS256", secret, signed.as_bytes()) == signature);
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (header, claims) = (read(header)?, read(claims)?);
    let (now, time) = (now_ms.div_euclid(1_000), |name: &str| claims[name].as_i64());
    let is_in_time = time("exp")? + LEEWAY_SECONDS > now && time("nbf")? - LEEWAY_SECONDS <= now;
    let is_meant = header["alg"] == "HS256"
        && claims["aud"] == app.client_id.as_str()
        && claims["iss"] == format!("https://{shop}/admin")
        && claims["dest"] == format!("https://{shop}");
    let user = claims["sub"].as_str()?;
    let user = user.bytes().all(|byte| byte.is_ascii_digit()).then(|| user.parse().ok())??;
    (is_ours && is_in_time && is_meant).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "exampleshop.myshopify.com";

    fn made(token: &SessionToken) -> String {
        token.sign(&AppOptions::default(), SHOP, 1_591_764_998_000, &mut fastrand::Rng::with_seed(1))
    }

    fn admin() -> SessionToken {
        SessionToken::admin(42)
            .claim("jti", "f8912129-1af6-4cad-9ca3-76b0f7621087")
            .claim("sid", "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685")
    }

    /// This project's own, with the payload of the example in Shopify's docs.
    #[test]
    fn tokens_come_out_byte_for_byte() {
        let expected = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20vYWRtaW4iLCJkZXN0IjoiaHR0cHM6Ly9leGFtcGxlc2hvcC5teXNob3BpZnkuY29tIiwiYXVkIjoiY2xpZW50LWlkLTEyMyIsInN1YiI6IjQyIiwiZXhwIjoxNTkxNzY1MDU4LCJuYmYiOjE1OTE3NjQ5OTgsImlhdCI6MTU5MTc2NDk5OCwianRpIjoiZjg5MTIxMjktMWFmNi00Y2FkLTljYTMtNzZiMGY3NjIxMDg3Iiwic2lkIjoiYWFlYTE4MmYyNzMyZDQ0YzIzMDU3YzBmZWE1ODQwMjFhNDQ4NWIyYmQyNWQzZWI3ZmQzNDkzMTNhZDI0YzY4NSJ9.8HhzXyurpS8bODfnFN3Yx_4KNnlhuVi5OoCnSfwImlk";
        assert_eq!(made(&admin()), expected);
        let customer = SessionToken::extension(Some(123_456_789))
            .claim("exp", 1_591_765_058)
            .claim("nbf", 1_591_764_758)
            .claim("iat", 1_591_764_758)
            .claim("jti", "f8912129-1af6-4cad-9ca3-76b0f7621087");
        let expected = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20vY2hlY2tvdXRzIiwiZGVzdCI6ImV4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20iLCJhdWQiOiJjbGllbnQtaWQtMTIzIiwic3ViIjoiZ2lkOi8vc2hvcGlmeS9DdXN0b21lci8xMjM0NTY3ODkiLCJleHAiOjE1OTE3NjUwNTgsIm5iZiI6MTU5MTc2NDc1OCwiaWF0IjoxNTkxNzY0NzU4LCJqdGkiOiJmODkxMjEyOS0xYWY2LTRjYWQtOWNhMy03NmIwZjc2MjEwODcifQ.YYuFwF1rCXSzfEG9Wx1slmTVT2FF0D5-YNUy2rYFvi0";
        assert_eq!(made(&customer), expected);
    }

    #[test]
    fn hostile_tokens_are_not_exchanged() {
        let app = AppOptions { previous_secret: Some("old".to_owned()), ..AppOptions::default() };
        let exchanged = |token: &str| exchangeable(token, &app, SHOP, 1_591_765_000_000);
        assert_eq!(exchanged(&made(&admin())), Some(42));
        assert_eq!(exchanged(&made(&admin().secret("old"))), Some(42));
        let now = 1_591_765_000;
        let hostile = [
            admin().secret("other"),
            admin().algorithm("none"),
            admin().algorithm("HS512"),
            admin().algorithm("RS256"),
            admin().claim("exp", now - 10),
            admin().claim("nbf", now + 11),
            admin().claim("exp", "9999999999"),
            admin().without("exp"),
            admin().claim("aud", "other"),
            admin().claim("iss", format!("https://{SHOP}/checkouts")),
            admin().claim("dest", "https://other.myshopify.com"),
            admin().claim("sub", "gid://shopify/Customer/42"),
            admin().claim("sub", ""),
            admin().without("sub"),
            SessionToken::extension(Some(42)),
            SessionToken::extension(None),
        ];
        for token in hostile {
            assert_eq!(exchanged(&made(&token)), None, "{token:?}");
        }
        for text in ["", ".", "..", "not_a_valid_token", "a.b.c"] {
            assert_eq!(exchanged(text), None);
        }
    }
}
