//! What Shopify grants to an app for a shop: how to ask for it, how to read the answer, and when to renew it. Pure:
//! answers and times are arguments.

use serde::Deserialize;
use serde_json::Value;

use crate::client::Posted;
use crate::config::App;
use crate::model::Millis;

/// A token is renewed this long before its end, or after three quarters of its life, whichever is later. A token of an
/// hour then has five minutes left, as in Shopify's own JavaScript library.
const AHEAD_MS: Millis = 300_000;
/// A refresh token that has not been used is renewed after a third of its life: of 90 days, 60 are then left.
const REFRESH_LIFE_SHARE: Millis = 3;
/// The longest lifetime that is accepted for a token that ends.
const LIFE_S_MAX: i64 = 10 * 366 * 86_400;
/// The lifetime of a refresh token according to Shopify's documentation.
const REFRESH_LIFE_MS: Millis = 90 * 86_400_000;
const TOKEN_CHARS_MAX: usize = 4_096;
/// How many characters of an answer are shown to people.
const SAID_CHARS_MAX: usize = 200;

/// The ways to ask for a token with `POST /admin/oauth/access_token`, each as Shopify documents it.
#[derive(Clone, PartialEq)]
pub enum Ask {
    /// With the app's own id and secret. The result has no refresh token; instead, the app asks again.
    ClientCredentials,
    /// With the code from the merchant's approval.
    Code(String),
    /// With a session token of the app's page in Shopify's admin.
    Exchange(String),
    /// With the refresh token of the previous grant.
    Refresh(String),
}

/// A grant. The secrets in it are not sealed; sealing happens where it is stored.
#[derive(Clone, PartialEq)]
pub struct Grant {
    pub access_token: String,
    pub ends_at: Millis,
    /// If absent, a new grant is asked for instead of a renewal.
    pub refresh: Option<Refresh>,
    /// The scopes as Shopify names them.
    pub scopes: Vec<String>,
    /// When the grant was asked for.
    pub since: Millis,
}

#[derive(Clone, PartialEq)]
pub struct Refresh {
    pub token: String,
    pub ends_at: Millis,
}

/// Why there is no token, with advice on what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("Shopify gives no token now: {why}")]
    Later { why: String, after_ms: Option<u64> },
    #[error(
        "Shopify does not accept the id and secret of the app `{app}` (invalid_client): its secret is another one, or the app is not installed in the shop any more\nhint: compare `[apps.{app}]` with the Dev Dashboard, and see in the shop's admin whether the app is installed"
    )]
    Client { app: String },
    #[error(
        "what the shop granted has ended (invalid_grant)\nhint: have somebody open the app `{app}` in the shop's admin: that grants it anew"
    )]
    Ended { app: String },
    #[error("the shop has not granted anything to the app `{app}` yet\nhint: open the app in the shop's admin")]
    Never { app: String },
    #[error(
        "Shopify does not take the session token (invalid_subject_token): it is over after a minute\nhint: load the page again"
    )]
    SessionToken,
    #[error(
        "the app `{app}` and the shop are not in one organisation (shop_not_permitted), so the app's own credentials give no token for it\nhint: `kind = \"standalone\"` or `\"embedded\"` in `[apps.{app}]`, for an app that a merchant installs"
    )]
    NotPermitted { app: String },
    #[error(
        "the app `{app}` is not installed in the shop (app_not_installed)\nhint: install it from the Dev Dashboard, or from its install link"
    )]
    NotInstalled { app: String },
    #[error(
        "Shopify's answer has a token without an end (no `expires_in`), which is of no use: every app's token ends\nhint: does the shop's address lead to Shopify?"
    )]
    Endless,
    #[error("Shopify's answer has no token: {0}\nhint: does the shop's address lead to Shopify?")]
    Odd(&'static str),
    #[error(
        "what the shop granted cannot be opened: {why}\nhint: put the key back into `[secrets] keys`, or have somebody open the app in the shop's admin: that grants it anew"
    )]
    NotOpened { why: String },
    #[error(
        "another shop answers as {shop} now, so nothing is sent to it\nhint: `tandem resume {tenant} shopify` and `tandem resume {tenant} omneo` if it is the right one; otherwise remove the tenant"
    )]
    OtherShop { tenant: String, shop: String },
    #[error("Shopify refuses the app `{app}`: {said}\nhint: see to the app in the Dev Dashboard")]
    Other { app: String, said: String },
}

#[derive(Deserialize)]
struct Given {
    access_token: Option<String>,
    scope: Option<String>,
    expires_in: Option<Value>,
    refresh_token: Option<String>,
    refresh_token_expires_in: Option<Value>,
    /// Present in the answer if the token belongs to a person.
    associated_user: Option<Value>,
}

impl Ask {
    /// The fields of the request form.
    pub fn form<'a>(&'a self, app: &'a App) -> Vec<(&'static str, &'a str)> {
        const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
        const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
        const OFFLINE: &str = "urn:shopify:params:oauth:token-type:offline-access-token";
        let mut form = vec![("client_id", &*app.client_id), ("client_secret", &*app.client_secret)];
        match self {
            Self::ClientCredentials => form.push(("grant_type", "client_credentials")),
            Self::Code(code) => form.extend([("code", &**code), ("expiring", "1")]),
            Self::Refresh(token) => form.extend([("grant_type", "refresh_token"), ("refresh_token", token)]),
            Self::Exchange(token) => form.extend([
                ("grant_type", EXCHANGE),
                ("subject_token", token),
                ("subject_token_type", ID_TOKEN),
                ("requested_token_type", OFFLINE),
                ("expiring", "1"),
            ]),
        }
        form
    }

    /// The name of this way where it is shown.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client credentials",
            Self::Code(_) => "authorization code",
            Self::Exchange(_) => "token exchange",
            Self::Refresh(_) => "refresh token",
        }
    }

    /// Whether the request can be repeated after its answer was lost. A code and a session token are valid once only.
    pub fn is_repeatable(&self) -> bool {
        matches!(self, Self::ClientCredentials | Self::Refresh(_))
    }
}

/// Reads the answer to a request that was made at that time.
pub fn read(app: &App, answer: &Posted, asked_at: Millis) -> Result<Grant, Refused> {
    granted(body_of(app, answer)?, asked_at)
}

/// Whether the answer is to the code of a person who signs in (`grant_options[]=per-user`). That person's token is not
/// kept. Otherwise the shop itself was asked, and the answer is a grant.
pub fn is_signed_in(app: &App, answer: &Posted) -> Result<bool, Refused> {
    let body: Value = serde_json::from_str(body_of(app, answer)?).unwrap_or_default();
    Ok(body["associated_user"]["id"].as_u64().is_some())
}

fn body_of<'a>(app: &App, answer: &'a Posted) -> Result<&'a str, Refused> {
    match answer.status {
        200 => Ok(&answer.body),
        408 | 425 | 429 | 500.. => {
            Err(Refused::Later { why: format!("answers {}", answer.status), after_ms: answer.retry_after_ms })
        }
        _ => Err(refused(&app.name, answer)),
    }
}

fn granted(body: &str, asked_at: Millis) -> Result<Grant, Refused> {
    let given: Given = serde_json::from_str(body).map_err(|_| Refused::Odd("it is no JSON object of that kind"))?;
    if given.associated_user.is_some() {
        return Err(Refused::Odd("it is for a member of staff, not for the shop"));
    }
    let access_token = token(given.access_token.as_deref()).ok_or(Refused::Odd("`access_token` is missing or odd"))?;
    let life = given.expires_in.ok_or(Refused::Endless)?;
    let ends_at = end(&life, asked_at).ok_or(Refused::Odd("`expires_in` is no number of seconds"))?;
    let refresh = match given.refresh_token {
        None => None,
        Some(text) => {
            let token = token(Some(&text)).ok_or(Refused::Odd("`refresh_token` is odd"))?;
            // The previous token is used up, so the new one must not be lost because its lifetime cannot be read.
            let life = given.refresh_token_expires_in.unwrap_or_default();
            let ends_at = end(&life, asked_at).unwrap_or(asked_at.saturating_add(REFRESH_LIFE_MS));
            Some(Refresh { token, ends_at })
        }
    };
    let scopes = given.scope.unwrap_or_default();
    let scopes = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    Ok(Grant { access_token, ends_at, refresh, scopes, since: asked_at })
}

/// A token that is valid in a header.
fn token(text: Option<&str>) -> Option<String> {
    let text = text?;
    let fits = (1..=TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// The end of a lifetime in seconds, counted from the time of the request.
fn end(seconds: &Value, asked_at: Millis) -> Option<Millis> {
    let seconds = seconds.as_i64().filter(|seconds| (1..=LIFE_S_MAX).contains(seconds))?;
    asked_at.checked_add(seconds * 1_000)
}

/// Shopify's errors are usually JSON, and otherwise pages for people (shopify-app-php reads both).
fn refused(app: &str, answer: &Posted) -> Refused {
    let app = app.to_owned();
    let json: Option<Value> = serde_json::from_str(&answer.body).ok();
    let said = json.as_ref().and_then(|body| body["error"].as_str());
    let is = |code: &str| said == Some(code) || said.is_none() && answer.body.contains(code);
    if is("invalid_client") {
        Refused::Client { app }
    } else if is("invalid_grant") {
        Refused::Ended { app }
    } else if is("invalid_subject_token") {
        Refused::SessionToken
    } else if is("shop_not_permitted") {
        Refused::NotPermitted { app }
    } else if is("app_not_installed") {
        Refused::NotInstalled { app }
    } else {
        // The code of an error is one word. A page can contain anything, so it is not shown.
        let code = said.filter(|said| said.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'));
        let code: String = code.unwrap_or_default().chars().take(SAID_CHARS_MAX).collect();
        Refused::Other { app, said: format!("{} {code}", answer.status).trim_end().to_owned() }
    }
}

impl Grant {
    /// How long before its end the grant is renewed.
    fn ahead_ms(&self) -> Millis {
        AHEAD_MS.min(self.ends_at.saturating_sub(self.since) / 4)
    }

    pub fn is_alive(&self, now: Millis) -> bool {
        now < self.ends_at
    }

    /// Whether the grant has to be renewed before a call is sent now.
    pub fn is_due(&self, now: Millis) -> bool {
        now >= self.ends_at.saturating_sub(self.ahead_ms())
    }

    /// Whether the grant is renewed although no call is sent, so that its refresh token does not expire.
    pub fn is_aging(&self, now: Millis) -> bool {
        let Some(refresh) = &self.refresh else { return false };
        let life = refresh.ends_at.saturating_sub(self.since);
        now >= self.since.saturating_add(life / REFRESH_LIFE_SHARE)
    }
}

impl Refused {
    /// Whether the same request may succeed later, without anybody doing something.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Later { .. })
    }

    /// Whether it makes sense to ask again without a sign of change. A merchant's actions at Shopify cannot be noticed
    /// in any other way.
    pub fn may_mend_itself(&self) -> bool {
        !matches!(self, Self::Ended { .. } | Self::Never { .. } | Self::NotOpened { .. } | Self::SessionToken)
    }

    /// A word for the refusal, used in counters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Later { .. } => "later",
            Self::Client { .. } => "invalid_client",
            Self::Ended { .. } => "invalid_grant",
            Self::Never { .. } => "never granted",
            Self::SessionToken => "invalid_subject_token",
            Self::NotPermitted { .. } => "shop_not_permitted",
            Self::NotInstalled { .. } => "app_not_installed",
            Self::Endless => "no end",
            Self::Odd(_) => "odd answer",
            Self::NotOpened { .. } => "not opened",
            Self::OtherShop { .. } => "another shop",
            Self::Other { .. } => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AppKind;

    const NOW: Millis = 1_000_000_000;

    fn app() -> App {
        let [client_id, client_secret] = ["id", "secret"].map(str::to_owned);
        App {
            name: "main".into(),
            client_id,
            client_secret,
            previous_secret: None,
            kind: AppKind::Own,
            endpoint: None,
            proxy: String::new(),
            trust_classic_accounts: [].into(),
        }
    }

    fn answered(status: u16, body: &str) -> Result<Grant, Refused> {
        read(&app(), &Posted { status, retry_after_ms: Some(7_000), body: body.to_owned() }, NOW)
    }

    #[test]
    fn what_is_granted_ends() {
        let given = r#"{"access_token":"shpat_1","scope":"read_orders, write_customers","expires_in":3600,"refresh_token":"shprt_1","refresh_token_expires_in":7776000}"#;
        let grant = answered(200, given).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!((&*grant.access_token, grant.ends_at), ("shpat_1", NOW + 3_600_000));
        assert_eq!(grant.scopes, ["read_orders", "write_customers"]);
        assert!(grant.refresh == Some(Refresh { token: "shprt_1".into(), ends_at: NOW + 7_776_000_000 }));
        // Five minutes before the end, or in the last quarter of a shorter life.
        for (life_s, due_s) in [(3_600, 3_300), (86_399, 86_099), (2, 1), (1, 0), (400, 300)] {
            let grant = Grant { ends_at: NOW + life_s * 1_000, ..grant.clone() };
            assert!(!grant.is_due(NOW + due_s * 1_000 - 1) || due_s == 0, "{life_s}");
            assert!(grant.is_due(NOW + life_s * 1_000 - 1) && !grant.is_alive(NOW + life_s * 1_000), "{life_s}");
        }
        assert!(!grant.is_aging(NOW + 29 * 86_400_000) && grant.is_aging(NOW + 30 * 86_400_000));
        let alone =
            answered(200, r#"{"access_token":"a","expires_in":86399}"#).unwrap_or_else(|refused| panic!("{refused}"));
        for odd in ["", ",\"refresh_token_expires_in\":0", ",\"refresh_token_expires_in\":\"soon\""] {
            let given = format!(r#"{{"access_token":"a","expires_in":1,"refresh_token":"r"{odd}}}"#);
            let refresh = answered(200, &given).ok().and_then(|grant| grant.refresh);
            assert!(refresh.is_some_and(|refresh| refresh.ends_at == NOW + REFRESH_LIFE_MS), "{odd}");
        }
        assert!(alone.refresh.is_none() && alone.scopes.is_empty() && !alone.is_aging(Millis::MAX));
    }

    #[test]
    fn an_odd_answer_is_none() {
        let long = format!(r#"{{"access_token":"{}","expires_in":1}}"#, "a".repeat(TOKEN_CHARS_MAX + 1));
        let table = [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("<html>", "no JSON object"),
            ("{}", "`access_token` is missing"),
            (r#"{"access_token":7,"expires_in":1}"#, "no JSON object"),
            (r#"{"access_token":"","expires_in":1}"#, "`access_token` is missing"),
            (r#"{"access_token":"a\nb","expires_in":1}"#, "`access_token` is missing"),
            (r#"{"access_token":"a b","expires_in":1}"#, "`access_token` is missing"),
            (&long, "`access_token` is missing"),
            (r#"{"access_token":"a","scope":"x"}"#, "without an end"),
            (r#"{"access_token":"a","expires_in":null}"#, "without an end"),
            (r#"{"access_token":"a","expires_in":0}"#, "no number of seconds"),
            (r#"{"access_token":"a","expires_in":-5}"#, "no number of seconds"),
            (r#"{"access_token":"a","expires_in":1.5}"#, "no number of seconds"),
            (r#"{"access_token":"a","expires_in":"3600"}"#, "no number of seconds"),
            (r#"{"access_token":"a","expires_in":1e300}"#, "no number of seconds"),
            (r#"{"access_token":"a","expires_in":9223372036854775807}"#, "no number of seconds"),
            (
                r#"{"access_token":"a","expires_in":1,"refresh_token":"","refresh_token_expires_in":1}"#,
                "`refresh_token` is odd",
            ),
        ];
        for (body, why) in table {
            let refused = answered(200, body).err().map(|refused| refused.to_string()).unwrap_or_default();
            assert!(refused.contains(why), "{body}: {refused}");
        }
    }

    #[test]
    fn each_refusal_has_its_own_cure() {
        let page = "Oauth error shop_not_permitted: Client credentials cannot be performed on this shop.";
        let table = [
            (400, r#"{"error":"invalid_client"}"#, "compare `[apps.main]`"),
            (401, r#"{"error":"invalid_client","error_description":"x"}"#, "compare `[apps.main]`"),
            (400, r#"{"error":"invalid_grant"}"#, "have somebody open the app `main`"),
            (400, r#"{"error":"invalid_subject_token"}"#, "load the page again"),
            (400, page, "`kind = \"standalone\"`"),
            (400, r#"{"error":"shop_not_permitted"}"#, "`kind = \"standalone\"`"),
            (400, r#"{"error":"app_not_installed"}"#, "install it"),
            (404, "<html>no such shop</html>", "refuses the app `main`: 404\n"),
            (403, r#"{"error":"forbidden_grant"}"#, "403 forbidden_grant\n"),
            // A text that could contain anything is not repeated.
            (403, r#"{"error":"your token shpat_1 is bad"}"#, "refuses the app `main`: 403\n"),
            (301, "", "refuses the app `main`: 301\n"),
            (204, "", "refuses the app `main`: 204\n"),
        ];
        for (status, body, cure) in table {
            let refused = answered(status, body).err().unwrap_or(Refused::Endless);
            assert!(refused.to_string().contains(cure) && !refused.is_passing(), "{status} {body}: {refused}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            let later = Refused::Later { why: format!("answers {status}"), after_ms: Some(7_000) };
            assert_eq!(answered(status, r#"{"error":"invalid_client"}"#).err(), Some(later));
        }
    }

    impl std::fmt::Debug for Grant {
        fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("Grant")
        }
    }
}
