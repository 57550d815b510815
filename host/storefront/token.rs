//! An ID token of Omneo: reads the answer that has one, and says how long it may be kept. Pure.
//!
//! The token goes to a shopper as Omneo gave it. What it says of itself is read, so that nobody gets one that is for somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::model::Millis;

/// Longest token. Omneo's have about 300 bytes.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// How long a token is kept, at most.
pub const KEPT_MS_MAX: u64 = 600_000;
/// A token is not given out of memory that ends within so many seconds: the widget that has it would ask for another one at once.
pub const MARGIN_S: i64 = 60;
/// A token is not given at all that ends within so many seconds.
const LEAST_S: i64 = 5;

#[derive(Clone, PartialEq)]
pub struct IdToken {
    pub text: String,
    /// In seconds since 1970.
    pub expires_s: i64,
}

impl std::fmt::Debug for IdToken {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("IdToken").field("expires_s", &self.expires_s).finish_non_exhaustive()
    }
}

/// Why an answer holds no token that can be given to the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NoIdToken {
    #[error("Omneo's answer has no `data.token` and `data.exp`")]
    NotThere,
    #[error("Omneo's token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("Omneo's token is no JSON Web Token with `pid` and `exp`")]
    NoToken,
    #[error("Omneo's token is for another profile than the one it was asked for")]
    SomebodyElses,
    #[error("Omneo's token and the answer that it is in end at different times")]
    OtherEnd,
    #[error("Omneo's token has ended, or is about to")]
    Ended,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    token: String,
    exp: i64,
}

#[derive(Deserialize)]
struct Claims {
    /// Of one that is nobody's: the text `null`.
    pid: Option<String>,
    exp: i64,
}

/// The token in an answer of Omneo, if it is for this profile, or for nobody.
pub fn read(body: &str, profile: Option<&str>, now_s: i64) -> Result<IdToken, NoIdToken> {
    let Answer { data: Data { token, exp } } = serde_json::from_str(body).map_err(|_| NoIdToken::NotThere)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NoIdToken::TooLong);
    }
    let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part)).collect();
    let [Ok(_), Ok(claims), Ok(_)] = &parts[..] else { return Err(NoIdToken::NoToken) };
    let claims: Claims = serde_json::from_slice(claims).map_err(|_| NoIdToken::NoToken)?;
    if claims.pid.as_deref().filter(|pid| *pid != "null") != profile {
        return Err(NoIdToken::SomebodyElses);
    }
    if claims.exp != exp {
        return Err(NoIdToken::OtherEnd);
    }
    if exp.saturating_sub(now_s) <= LEAST_S {
        return Err(NoIdToken::Ended);
    }
    Ok(IdToken { text: token, expires_s: exp })
}

/// How many milliseconds a token is of use to whoever gets it now.
pub fn left_ms(token: &IdToken, now: Millis) -> u64 {
    let left = token.expires_s.saturating_sub(LEAST_S).saturating_mul(1_000).saturating_sub(now);
    u64::try_from(left).unwrap_or_default()
}

/// How many milliseconds a token may be given out of memory.
pub fn kept_ms(token: &IdToken, now: Millis) -> u64 {
    let left = token.expires_s.saturating_sub(MARGIN_S).saturating_mul(1_000).saturating_sub(now);
    u64::try_from(left).unwrap_or_default().min(KEPT_MS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ADAS: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";
    const NOW_S: i64 = 1_800_000_000;

    fn jwt(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{}", part(&json!({ "alg": "HS256" })), part(claims), URL_SAFE_NO_PAD.encode([7; 32]))
    }

    fn answer(claims: &Value, exp: impl Into<Value>) -> String {
        json!({ "data": { "token": jwt(claims), "exp": exp.into() } }).to_string()
    }

    #[test]
    fn a_token_is_read_if_it_is_for_the_one_who_asks() {
        let exp = NOW_S + 3_600;
        let theirs = json!({ "pid": ADAS, "exp": exp });
        let nobodys = json!({ "pid": "null", "exp": exp });
        let token = read(&answer(&theirs, exp), Some(ADAS), NOW_S).unwrap();
        assert_eq!((token.text, token.expires_s), (jwt(&theirs), exp));
        assert!(read(&answer(&nobodys, exp), None, NOW_S).is_ok());
        assert!(read(&answer(&json!({ "pid": null, "exp": exp }), exp), None, NOW_S).is_ok());
        assert!(read(&answer(&json!({ "exp": exp }), exp), None, NOW_S).is_ok());
        let at = |exp: i64| answer(&json!({ "pid": ADAS, "exp": exp }), exp);
        let long = json!({ "pid": ADAS, "exp": exp, "more": "x".repeat(TOKEN_BYTES_MAX) });
        let table = [
            (answer(&theirs, exp), None, NoIdToken::SomebodyElses),
            (answer(&nobodys, exp), Some(ADAS), NoIdToken::SomebodyElses),
            (answer(&json!({ "pid": "somebody", "exp": exp }), exp), Some(ADAS), NoIdToken::SomebodyElses),
            (answer(&json!({ "pid": ADAS.to_uppercase(), "exp": exp }), exp), Some(ADAS), NoIdToken::SomebodyElses),
            (answer(&theirs, exp + 1), Some(ADAS), NoIdToken::OtherEnd),
            (answer(&theirs, exp.to_string()), Some(ADAS), NoIdToken::NotThere),
            (answer(&theirs, Value::Null), Some(ADAS), NoIdToken::NotThere),
            (answer(&json!({ "pid": 7, "exp": exp }), exp), Some(ADAS), NoIdToken::NoToken),
            (answer(&json!({ "pid": ADAS }), exp), Some(ADAS), NoIdToken::NoToken),
            (answer(&long, exp), Some(ADAS), NoIdToken::TooLong),
            (at(NOW_S + 5), Some(ADAS), NoIdToken::Ended),
            (at(NOW_S - 1), Some(ADAS), NoIdToken::Ended),
            (at(i64::MIN), Some(ADAS), NoIdToken::Ended),
            (json!({ "data": { "token": "a.b", "exp": exp } }).to_string(), Some(ADAS), NoIdToken::NoToken),
            (json!({ "data": { "token": "a b.c.d", "exp": exp } }).to_string(), Some(ADAS), NoIdToken::NoToken),
            (json!({ "token": jwt(&theirs), "exp": exp }).to_string(), Some(ADAS), NoIdToken::NotThere),
            ("<html></html>".to_owned(), Some(ADAS), NoIdToken::NotThere),
            (String::new(), Some(ADAS), NoIdToken::NotThere),
            ("[]".to_owned(), None, NoIdToken::NotThere),
        ];
        for (body, profile, due) in table {
            assert_eq!(read(&body, profile, NOW_S), Err(due), "{body}");
        }
    }

    #[test]
    fn a_token_is_kept_for_ten_minutes_and_never_into_its_last_one() {
        let kept = |seconds: i64| kept_ms(&IdToken { text: String::new(), expires_s: NOW_S + seconds }, NOW_S * 1_000);
        let table = [(3_600, 600_000), (660, 600_000), (659, 599_000), (61, 1_000), (60, 0), (5, 0), (-1, 0)];
        for (seconds, due) in table {
            assert_eq!(kept(seconds), due, "{seconds}");
        }
        let for_ever = IdToken { text: String::new(), expires_s: i64::MAX };
        assert_eq!((kept_ms(&for_ever, 0), kept_ms(&for_ever, Millis::MIN)), (KEPT_MS_MAX, KEPT_MS_MAX));
    }
}
