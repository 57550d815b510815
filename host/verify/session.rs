//! Checks session tokens of Shopify: those of its admin, which stand for a person of the shop's staff, and those of
//! extensions in a shop's checkout and customer accounts, which stand for a customer or for nobody.
//!
//! Knows neither what the person may do nor whether the shop is a tenant's. Both kinds are signed with the same secret for the
//! same app and shop, so that only their claims tell staff from customers: [`admin`] and [`extension`] each take one kind.
//! `iat` is not read: `exp` and `nbf` say when a token is valid.

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

use super::{BASE64_OF_TOKENS, Signature, person};
use crate::model::{Shop, shop_of_shopify};

/// Greatest length of a token. Shopify's have about 600 bytes.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// The greatest difference between Shopify's clock and the host's, as in Shopify's own libraries.
pub const CLOCKS_APART_S_MAX: i64 = 10;

#[derive(Clone, Debug, PartialEq)]
pub enum Session {
    Admin(AdminSession),
    Extension(ExtensionSession),
}

/// A member of the shop's staff, in Shopify's admin.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminSession {
    pub shop: Shop,
    /// The staff member's number.
    pub user: u64,
    /// The login at Shopify that the token belongs to (`sid`).
    pub id: Option<String>,
    /// The token's own id.
    pub jti: Option<String>,
    /// In seconds since 1970.
    pub expires_s: i64,
}

/// Somebody at the shop's checkout or in a customer account.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtensionSession {
    pub shop: Shop,
    /// The number of the logged-in customer, if there is one. Also `None` where the app may not read customers.
    pub customer: Option<u64>,
    /// The token's own id.
    pub jti: Option<String>,
    /// In seconds since 1970.
    pub expires_s: i64,
}

/// Why a token is refused, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SessionRefused {
    #[error("the session token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("the session token does not have three parts")]
    Parts,
    #[error("the header of the session token is not JSON in base64")]
    Header,
    #[error("the session token is not signed by HS256")]
    Algorithm,
    #[error("the header of the session token names another type than JWT")]
    Type,
    #[error("the header of the session token has `crit`, which is not supported")]
    Critical,
    #[error("the signature of the session token does not fit")]
    Signature,
    #[error("the claims of the session token are not JSON in base64, or one of them comes twice")]
    Claims,
    #[error("the claim `{0}` of the session token is missing")]
    Missing(&'static str),
    #[error("the claim `{0}` of the session token is not a text")]
    NotAText(&'static str),
    #[error("the claim `{0}` of the session token is not a whole number of seconds")]
    NotSeconds(&'static str),
    #[error("the session token has expired")]
    Expired,
    #[error("the session token is not valid yet")]
    NotYet,
    #[error("the session token is for another app")]
    OtherApp,
    #[error("the claim `dest` of the session token is not a shop of the form `acme.myshopify.com`")]
    Shop,
    #[error("the claims `iss` and `dest` of the session token name different hosts")]
    OtherHost,
    #[error("the claim `iss` of the session token names the admin, but not as `https://SHOP/admin`")]
    Issuer,
    #[error("the claim `dest` of the admin's session token is not `https://SHOP`")]
    AdminDestination,
    #[error("the claim `sub` of the admin's session token is not the number of a staff member")]
    NotStaff,
    #[error("the claim `sub` of the extension's session token is not a customer")]
    NotCustomer,
    #[error("the session token is an extension's, and this address is for the shop's staff")]
    ExtensionAtAdmin,
    #[error("the session token is the admin's, and this address is for extensions")]
    AdminAtExtension,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    crit: Option<Value>,
}

/// The claims as they were received. Each is checked by itself, so that an error can name it.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    dest: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    jti: Option<Value>,
    sid: Option<Value>,
}

/// Accepts a token of the shop's staff, and refuses one of an extension.
pub fn admin<'a>(
    token: &str,
    client_id: &str,
    secrets: impl Iterator<Item = &'a str>,
    now_s: i64,
) -> Result<AdminSession, SessionRefused> {
    match checked(token, client_id, secrets, now_s)? {
        Session::Admin(session) => Ok(session),
        Session::Extension(_) => Err(SessionRefused::ExtensionAtAdmin),
    }
}

/// Accepts a token of an extension, and refuses one of the admin.
pub fn extension<'a>(
    token: &str,
    client_id: &str,
    secrets: impl Iterator<Item = &'a str>,
    now_s: i64,
) -> Result<ExtensionSession, SessionRefused> {
    match checked(token, client_id, secrets, now_s)? {
        Session::Extension(session) => Ok(session),
        Session::Admin(_) => Err(SessionRefused::AdminAtExtension),
    }
}

/// The session of a token, if Shopify signed it for this app with one of the secrets (the app's new secret, then its
/// old one) and it is valid now. Code that protects an address calls [`admin`] or [`extension`] instead.
pub fn checked<'a>(
    token: &str,
    client_id: &str,
    secrets: impl Iterator<Item = &'a str>,
    now_s: i64,
) -> Result<Session, SessionRefused> {
    let claims = signed(token, secrets)?;
    let (expires_s, begins_s) = (seconds("exp", claims.exp)?, seconds("nbf", claims.nbf)?);
    if now_s >= expires_s.saturating_add(CLOCKS_APART_S_MAX) {
        return Err(SessionRefused::Expired);
    }
    if now_s < begins_s.saturating_sub(CLOCKS_APART_S_MAX) {
        return Err(SessionRefused::NotYet);
    }
    // Shopify gives a text here. A list, which a JWT may have, is always refused.
    if text("aud", claims.aud)?.ok_or(SessionRefused::Missing("aud"))? != client_id {
        return Err(SessionRefused::OtherApp);
    }
    let dest = text("dest", claims.dest)?.ok_or(SessionRefused::Missing("dest"))?;
    let shop = shop_of_shopify(without_scheme(&dest)).ok_or(SessionRefused::Shop)?;
    let (iss, sub) = (text("iss", claims.iss)?, text("sub", claims.sub)?);
    let jti = text("jti", claims.jti)?;
    if iss.as_ref().is_some_and(|iss| *iss == format!("https://{shop}/admin")) {
        if dest != format!("https://{shop}") {
            return Err(SessionRefused::AdminDestination);
        }
        let user = sub.as_deref().and_then(person).ok_or(SessionRefused::NotStaff)?;
        return Ok(Session::Admin(AdminSession { shop, user, id: text("sid", claims.sid)?, jti, expires_s }));
    }
    if let Some(iss) = iss {
        let mut parts = without_scheme(&iss).split('/');
        if parts.next() != Some(shop.domain()) {
            return Err(SessionRefused::OtherHost);
        }
        // A token whose issuer resembles the admin must not pass for an extension's.
        if parts.any(|part| part.eq_ignore_ascii_case("admin")) {
            return Err(SessionRefused::Issuer);
        }
    }
    let customer = match sub {
        Some(sub) => Some(customer(&sub).ok_or(SessionRefused::NotCustomer)?),
        None => None,
    };
    Ok(Session::Extension(ExtensionSession { shop, customer, jti, expires_s }))
}

/// The claims, after the signature over them has been checked.
fn signed<'a>(token: &str, secrets: impl Iterator<Item = &'a str>) -> Result<Claims, SessionRefused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(SessionRefused::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SessionRefused::Parts);
    };
    let json = BASE64_OF_TOKENS.decode(header).map_err(|_| SessionRefused::Header)?;
    let Header { alg, typ, crit } = serde_json::from_slice(&json).map_err(|_| SessionRefused::Header)?;
    if alg != "HS256" {
        return Err(SessionRefused::Algorithm);
    }
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(SessionRefused::Type);
    }
    if crit.is_some() {
        return Err(SessionRefused::Critical);
    }
    let over = &token[..header.len() + 1 + claims.len()];
    let signature = Signature::of_token(signature).map_err(|_| SessionRefused::Signature)?;
    signature.check(secrets, over.as_bytes()).map_err(|_| SessionRefused::Signature)?;
    let json = BASE64_OF_TOKENS.decode(claims).map_err(|_| SessionRefused::Claims)?;
    serde_json::from_slice(&json).map_err(|_| SessionRefused::Claims)
}

/// The text of a claim. A claim that is `null` counts as missing.
fn text(name: &'static str, claim: Option<Value>) -> Result<Option<String>, SessionRefused> {
    match claim {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(SessionRefused::NotAText(name)),
    }
}

fn seconds(name: &'static str, claim: Option<Value>) -> Result<i64, SessionRefused> {
    claim.ok_or(SessionRefused::Missing(name))?.as_i64().ok_or(SessionRefused::NotSeconds(name))
}

fn without_scheme(address: &str) -> &str {
    address.strip_prefix("https://").unwrap_or(address)
}

fn customer(sub: &str) -> Option<u64> {
    person(sub.strip_prefix("gid://shopify/Customer/")?)
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use serde_json::json;
    use sha2::Sha256;

    use super::*;

    const KEY: &str = "hush";
    const APP: &str = "client-id-123";
    const NOW_S: i64 = 1_591_765_000;
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    /// The example in Shopify's documentation of session tokens.
    const ADMIN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20vYWRtaW4\
        iLCJkZXN0IjoiaHR0cHM6Ly9leGFtcGxlc2hvcC5teXNob3BpZnkuY29tIiwiYXVkIjoiY2xpZW50LWlkLTEyMyIsInN1YiI6IjQ\
        yIiwiZXhwIjoxNTkxNzY1MDU4LCJuYmYiOjE1OTE3NjQ5OTgsImlhdCI6MTU5MTc2NDk5OCwianRpIjoiZjg5MTIxMjktMWFmNi0\
        0Y2FkLTljYTMtNzZiMGY3NjIxMDg3Iiwic2lkIjoiYWFlYTE4MmYyNzMyZDQ0YzIzMDU3YzBmZWE1ODQwMjFhNDQ4NWIyYmQyNWQ\
        zZWI3ZmQzNDkzMTNhZDI0YzY4NSJ9.8HhzXyurpS8bODfnFN3Yx_4KNnlhuVi5OoCnSfwImlk";
    /// A token of the same shop as a checkout extension has it, with a `dest` without a scheme.
    const CUSTOMER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20vY2hlY2t\
        vdXRzIiwiZGVzdCI6ImV4YW1wbGVzaG9wLm15c2hvcGlmeS5jb20iLCJhdWQiOiJjbGllbnQtaWQtMTIzIiwic3ViIjoiZ2lkOi8\
        vc2hvcGlmeS9DdXN0b21lci8xMjM0NTY3ODkiLCJleHAiOjE1OTE3NjUwNTgsIm5iZiI6MTU5MTc2NDc1OCwiaWF0IjoxNTkxNzY\
        0NzU4LCJqdGkiOiJmODkxMjEyOS0xYWY2LTRjYWQtOWNhMy03NmIwZjc2MjEwODcifQ.YYuFwF1rCXSzfEG9Wx1slmTVT2FF0D5-\
        YNUy2rYFvi0";

    fn check(token: &str) -> Result<Session, SessionRefused> {
        checked(token, APP, [KEY].into_iter(), NOW_S)
    }

    fn at_admin(token: &str) -> Result<AdminSession, SessionRefused> {
        admin(token, APP, [KEY].into_iter(), NOW_S)
    }

    fn at_extension(token: &str) -> Result<ExtensionSession, SessionRefused> {
        extension(token, APP, [KEY].into_iter(), NOW_S)
    }

    fn signed_as(header: &str, claims: &str) -> String {
        let text = format!("{}.{}", BASE64_OF_TOKENS.encode(header), BASE64_OF_TOKENS.encode(claims));
        let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap().chain_update(&text).finalize();
        format!("{text}.{}", BASE64_OF_TOKENS.encode(mac.into_bytes()))
    }

    /// A signed token with the claims of another token, some of them replaced or, where `null`, left out.
    fn with(token: &str, changes: Value) -> String {
        let mut claims = claims_of(token);
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signed_as(HEADER, &claims.to_string())
    }

    fn claims_of(token: &str) -> Value {
        let json = BASE64_OF_TOKENS.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn each_door_takes_its_own_tokens() {
        let staff = at_admin(ADMIN).unwrap();
        assert_eq!((staff.shop.domain(), staff.user), ("exampleshop.myshopify.com", 42));
        assert_eq!(staff.id.as_deref(), Some("aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685"));
        assert_eq!(staff.jti.as_deref(), Some("f8912129-1af6-4cad-9ca3-76b0f7621087"));
        assert_eq!(staff.expires_s, NOW_S + 58);
        let customer = at_extension(CUSTOMER).unwrap();
        assert_eq!((customer.shop.domain(), customer.customer), ("exampleshop.myshopify.com", Some(123_456_789)));
        assert_eq!(at_admin(CUSTOMER), Err(SessionRefused::ExtensionAtAdmin));
        assert_eq!(at_extension(ADMIN), Err(SessionRefused::AdminAtExtension));
        // If the signature is wrong, the claims are not judged.
        let (admin, customer) = (ADMIN.replace('8', "9"), format!("{CUSTOMER}x"));
        assert_eq!(at_extension(&admin), Err(SessionRefused::Signature));
        assert_eq!(at_admin(&customer), Err(SessionRefused::Signature));
    }

    #[test]
    fn an_extensions_token_comes_in_several_forms() {
        let shop = "exampleshop.myshopify.com";
        let forms = [
            (json!({}), Some(123_456_789)),
            (json!({ "sub": null }), None),
            (json!({ "iss": null }), Some(123_456_789)),
            (json!({ "iss": null, "sub": null, "jti": null, "iat": null }), None),
            (json!({ "dest": format!("https://{shop}") }), Some(123_456_789)),
            (json!({ "iss": format!("https://{shop}") }), Some(123_456_789)),
            (json!({ "iss": format!("{shop}/checkouts") }), Some(123_456_789)),
            // `iat` is ignored: a token is not valid before `nbf`.
            (json!({ "iat": NOW_S + 3_600 }), Some(123_456_789)),
            (json!({ "iat": "soon" }), Some(123_456_789)),
        ];
        for (changes, due) in forms {
            let session = at_extension(&with(CUSTOMER, changes.clone()));
            assert_eq!(session.map(|session| session.customer), Ok(due), "{changes}");
        }
    }

    #[test]
    fn what_is_neither_staffs_nor_a_customers_is_refused() {
        let admin = [
            (json!({ "sub": "gid://shopify/Customer/42" }), SessionRefused::NotStaff),
            (json!({ "sub": "gid://shopify/User/42" }), SessionRefused::NotStaff),
            (json!({ "sub": "" }), SessionRefused::NotStaff),
            (json!({ "sub": "+42" }), SessionRefused::NotStaff),
            (json!({ "sub": "42 " }), SessionRefused::NotStaff),
            (json!({ "sub": null }), SessionRefused::NotStaff),
            (json!({ "sub": 42 }), SessionRefused::NotAText("sub")),
            (json!({ "dest": "exampleshop.myshopify.com" }), SessionRefused::AdminDestination),
            (json!({ "dest": "https://othershop.myshopify.com" }), SessionRefused::OtherHost),
            (json!({ "dest": "https://exampleshop.myshopify.com/" }), SessionRefused::Shop),
            (json!({ "dest": "http://exampleshop.myshopify.com" }), SessionRefused::Shop),
            (json!({ "dest": "https://exampleshop.myshopify.com:443" }), SessionRefused::Shop),
            (json!({ "dest": "https://exampleshop.myshopify.com.evil.com" }), SessionRefused::Shop),
            (json!({ "dest": "https://Exampleshop.myshopify.com" }), SessionRefused::Shop),
            (json!({ "dest": "https://" }), SessionRefused::Shop),
            (json!({ "dest": null }), SessionRefused::Missing("dest")),
            (json!({ "dest": ["https://exampleshop.myshopify.com"] }), SessionRefused::NotAText("dest")),
            (json!({ "iss": "https://exampleshop.myshopify.com/admin/" }), SessionRefused::Issuer),
            (json!({ "iss": "https://exampleshop.myshopify.com/Admin" }), SessionRefused::Issuer),
            (json!({ "iss": "https://exampleshop.myshopify.com//admin" }), SessionRefused::Issuer),
            (json!({ "iss": "https://exampleshop.myshopify.com/x/admin" }), SessionRefused::Issuer),
            (json!({ "iss": "exampleshop.myshopify.com/admin" }), SessionRefused::Issuer),
            (json!({ "iss": "http://exampleshop.myshopify.com/admin" }), SessionRefused::OtherHost),
            (json!({ "iss": "https://othershop.myshopify.com/admin" }), SessionRefused::OtherHost),
            (json!({ "iss": "https://exampleshop.myshopify.com@evil.com/admin" }), SessionRefused::OtherHost),
            (json!({ "iss": "" }), SessionRefused::OtherHost),
            (json!({ "iss": 1 }), SessionRefused::NotAText("iss")),
            // A member of staff is not a customer, and without `iss` a token is not one of staff.
            (json!({ "iss": "https://exampleshop.myshopify.com/checkouts" }), SessionRefused::NotCustomer),
            (json!({ "iss": null }), SessionRefused::NotCustomer),
            (json!({ "jti": 1 }), SessionRefused::NotAText("jti")),
            (json!({ "sid": 1 }), SessionRefused::NotAText("sid")),
        ];
        let customer = [
            (json!({ "sub": "123456789" }), SessionRefused::NotCustomer),
            (json!({ "sub": "" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/Customer/" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/Customer/1/2" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/Customer/01" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/Customer/1?x=2" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/customer/1" }), SessionRefused::NotCustomer),
            (json!({ "sub": "gid://shopify/CompanyContact/1" }), SessionRefused::NotCustomer),
            (json!({ "sub": "xgid://shopify/Customer/1" }), SessionRefused::NotCustomer),
            (json!({ "iss": "https://exampleshop.myshopify.com.evil.com/checkouts" }), SessionRefused::OtherHost),
            (json!({ "iss": "https://othershop.myshopify.com/checkouts" }), SessionRefused::OtherHost),
            (json!({ "iss": "https://exampleshop.myshopify.com/admin" }), SessionRefused::AdminDestination),
            (
                json!({ "iss": "https://exampleshop.myshopify.com/admin", "dest": "https://exampleshop.myshopify.com" }),
                SessionRefused::NotStaff,
            ),
        ];
        let of = |token: &'static str| move |(changes, due)| (token, changes, due);
        for (token, changes, due) in admin.into_iter().map(of(ADMIN)).chain(customer.into_iter().map(of(CUSTOMER))) {
            let token = with(token, changes);
            let claims = claims_of(&token);
            assert_eq!(at_admin(&token), Err(due), "{claims}");
            assert_eq!(at_extension(&token), Err(due), "{claims}");
        }
    }

    #[test]
    fn a_token_is_for_one_app_and_its_secrets() {
        assert!(admin(ADMIN, APP, ["new", KEY].into_iter(), NOW_S).is_ok());
        for secrets in [&[][..], &[""], &["HUSH"], &["hush\0x"]] {
            let refused = admin(ADMIN, APP, secrets.iter().copied(), NOW_S);
            assert_eq!(refused, Err(SessionRefused::Signature), "{secrets:?}");
        }
        assert_eq!(admin(ADMIN, "client-id-124", [KEY].into_iter(), NOW_S), Err(SessionRefused::OtherApp));
        let cases = [
            (json!({ "aud": "" }), SessionRefused::OtherApp),
            (json!({ "aud": "client-id-1234" }), SessionRefused::OtherApp),
            (json!({ "aud": [APP] }), SessionRefused::NotAText("aud")),
            (json!({ "aud": ["other", APP] }), SessionRefused::NotAText("aud")),
            (json!({ "aud": null }), SessionRefused::Missing("aud")),
        ];
        for (changes, due) in cases {
            assert_eq!(at_admin(&with(ADMIN, changes.clone())), Err(due), "{changes}");
        }
    }

    #[test]
    fn a_token_has_its_time() {
        let at = |now_s| admin(ADMIN, APP, [KEY].into_iter(), now_s).map(|_| ());
        let (exp, nbf) = (NOW_S + 58, NOW_S - 2);
        assert_eq!((at(exp + 9), at(exp + 10)), (Ok(()), Err(SessionRefused::Expired)));
        assert_eq!((at(nbf - 10), at(nbf - 11)), (Ok(()), Err(SessionRefused::NotYet)));
        assert_eq!((at(i64::MIN), at(i64::MAX)), (Err(SessionRefused::NotYet), Err(SessionRefused::Expired)));
        for claim in ["exp", "nbf"] {
            let token = with(ADMIN, json!({ claim: null }));
            assert_eq!(at_admin(&token), Err(SessionRefused::Missing(claim)));
            for value in
                ["1591765000.0", "1591765000.5", "1591765e3", "\"1591765000\"", "true", "[1591765000]", "1e400"]
            {
                let value: Value = serde_json::from_str(value).unwrap();
                let token = with(ADMIN, json!({ claim: value }));
                assert_eq!(at_admin(&token), Err(SessionRefused::NotSeconds(claim)), "{claim}: {value}");
            }
            for value in ["9223372036854775808", "-9223372036854775809"] {
                let value: Value = serde_json::from_str(value).unwrap();
                assert_eq!(at_admin(&with(ADMIN, json!({ claim: value }))), Err(SessionRefused::NotSeconds(claim)));
            }
        }
        assert!(at_admin(&with(ADMIN, json!({ "exp": i64::MAX, "nbf": i64::MIN }))).is_ok());
        assert_eq!(at_admin(&with(ADMIN, json!({ "exp": i64::MIN }))), Err(SessionRefused::Expired));
        assert_eq!(at_admin(&with(ADMIN, json!({ "nbf": i64::MAX }))), Err(SessionRefused::NotYet));
    }

    #[test]
    fn a_header_chooses_nothing() {
        let claims = claims_of(ADMIN).to_string();
        for header in [
            HEADER,
            r#"{"alg":"HS256"}"#,
            r#"{"typ":"jwt","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"../../dev/null","jku":"https://evil.com"}"#,
        ] {
            assert!(at_admin(&signed_as(header, &claims)).is_ok(), "{header}");
        }
        let cases = [
            (r#"{"alg":"none"}"#, SessionRefused::Algorithm),
            (r#"{"alg":"None","typ":"JWT"}"#, SessionRefused::Algorithm),
            (r#"{"alg":"hs256"}"#, SessionRefused::Algorithm),
            (r#"{"alg":"HS512"}"#, SessionRefused::Algorithm),
            (r#"{"alg":"RS256"}"#, SessionRefused::Algorithm),
            (r#"{"alg":""}"#, SessionRefused::Algorithm),
            (r#"{"alg":"HS256","typ":"at+jwt"}"#, SessionRefused::Type),
            (r#"{"alg":"HS256","crit":["exp"]}"#, SessionRefused::Critical),
            (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, SessionRefused::Critical),
            (r#"{"alg":"HS256","crit":[]}"#, SessionRefused::Critical),
            (r#"{"alg":"HS256","alg":"none"}"#, SessionRefused::Header),
            (r#"{"alg":["HS256"]}"#, SessionRefused::Header),
            (r#"{"alg":null}"#, SessionRefused::Header),
            (r#"{"typ":"JWT"}"#, SessionRefused::Header),
            (r#"{"alg":"HS256"} {}"#, SessionRefused::Header),
            ("", SessionRefused::Header),
            ("null", SessionRefused::Header),
        ];
        for (header, due) in cases {
            assert_eq!(at_admin(&signed_as(header, &claims)), Err(due), "{header}");
        }
        // An unsigned token, as a reader that trusts the header would accept it.
        let unsigned =
            format!("{}.{}.", BASE64_OF_TOKENS.encode(r#"{"alg":"none"}"#), ADMIN.split('.').nth(1).unwrap());
        assert_eq!(at_admin(&unsigned), Err(SessionRefused::Algorithm));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let part = |n: usize| ADMIN.split('.').nth(n).unwrap();
        let (header, claims, signature) = (part(0), part(1), part(2));
        // The last letter encodes two unused bits.
        assert!(signature.ends_with('k'));
        let cases = [
            (String::new(), SessionRefused::Parts),
            ("not_a_valid_token".to_owned(), SessionRefused::Parts),
            (format!("{header}.{claims}"), SessionRefused::Parts),
            (format!("{ADMIN}."), SessionRefused::Parts),
            (format!("{header}.{ADMIN}"), SessionRefused::Parts),
            ("..".to_owned(), SessionRefused::Header),
            (format!("Bearer {ADMIN}"), SessionRefused::Header),
            (format!("{header}=.{claims}.{signature}"), SessionRefused::Header),
            (format!("{header}.{claims}."), SessionRefused::Signature),
            (format!("{header}..{signature}"), SessionRefused::Signature),
            (format!("{header}.{claims}=.{signature}"), SessionRefused::Signature),
            (format!("{header}.{claims}.{signature}="), SessionRefused::Signature),
            (format!("{header}.{claims}.{signature}\n"), SessionRefused::Signature),
            (format!("{header}.{claims}.{}l", &signature[..42]), SessionRefused::Signature),
            (format!("{header}.{claims}.{}", &signature[..42]), SessionRefused::Signature),
            (format!("{header}.{claims}.{}", signature.replace('_', "/")), SessionRefused::Signature),
            (format!("{header}.{claims}.{}", CUSTOMER.split('.').nth(2).unwrap()), SessionRefused::Signature),
            (format!("{header}.{}.{signature}", CUSTOMER.split('.').nth(1).unwrap()), SessionRefused::Signature),
            (format!("{ADMIN}{}", "A".repeat(TOKEN_BYTES_MAX + 1 - ADMIN.len())), SessionRefused::TooLong),
            (format!("{ADMIN}{}", "A".repeat(TOKEN_BYTES_MAX - ADMIN.len())), SessionRefused::Signature),
            (signed_as(HEADER, ""), SessionRefused::Claims),
            (signed_as(HEADER, "null"), SessionRefused::Claims),
            (signed_as(HEADER, r#"{"exp":1"#), SessionRefused::Claims),
            (signed_as(HEADER, r#"{"sub":"1","sub":"2"}"#), SessionRefused::Claims),
            (signed_as(HEADER, r#"{"dest":"a","\u0064est":"b"}"#), SessionRefused::Claims),
            (signed_as(HEADER, "{}"), SessionRefused::Missing("exp")),
        ];
        for (token, due) in cases {
            assert_eq!(check(&token), Err(due), "{token}");
        }
    }

    /// If any one letter of a token is changed, added or left out, the token is refused.
    #[test]
    fn no_letter_of_a_token_may_change() {
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let token = random.choice([ADMIN, CUSTOMER]).unwrap_or(ADMIN);
            let (mut changed, at) = (token.to_owned(), random.usize(..token.len()));
            let other = char::from(random.u8(b' '..=b'~'));
            match random.u8(..3) {
                0 => changed.replace_range(at..=at, &other.to_string()),
                1 => changed.insert(at, other),
                _ => _ = changed.remove(at),
            }
            assert!(changed == token || check(&changed).is_err(), "seed {seed}: {changed}");
        }
    }
}
