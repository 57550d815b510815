//! The token endpoint, `POST /admin/oauth/access_token`: reads a request, checks who asks and what for, and gives tokens.
//! Knows nothing of pages or of the Admin API.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::sessions::exchangeable;
use super::{App, Apps, Code, RefreshRule, hex_digits, pages, told};
use crate::server::{Answer, Call};

/// Longer values are refused: no id, secret or token comes near.
const VALUE_BYTES_MAX: usize = 8_192;
/// Shopify docs: a code is good for a minute.
const CODE_MS: i64 = 60_000;
/// Shopify docs: the token of a member of staff lives for a day, less a second.
const USER_SECONDS: u64 = 86_399;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const OFFLINE: &str = "urn:shopify:params:oauth:token-type:offline-access-token";
const ONLINE: &str = "urn:shopify:params:oauth:token-type:online-access-token";

/// Why no token is given. Every refusal is answered with 400: shopify-app-php knows that status with `error` in JSON, and
/// for the others no status is published.
enum Refusal {
    /// `error` and `error_description` in JSON.
    Error(&'static str, &'static str),
    /// A page that says the same; some refusals never come as JSON.
    Page(&'static str, &'static str),
}

/// What a grant is asked for.
struct Wanted {
    scopes: Vec<String>,
    /// `None`: for the shop.
    user: Option<u64>,
    life: Life,
}

enum Life {
    /// No end, and nothing to renew.
    Endless,
    /// It ends; another is asked for in the same way.
    Ends(u64),
    /// It ends, and comes with a refresh token.
    Renewable,
}

/// Gives tokens to one app, which has asked.
struct Issuer<'a> {
    app: &'a mut App,
    random: &'a mut fastrand::Rng,
    rule: RefreshRule,
    shop: &'a str,
    now_ms: i64,
}

type Fields = BTreeMap<String, String>;

/// The name by which a test's fault meets a token request: `token/client_credentials`, `token/authorization_code`,
/// `token/token-exchange` or `token/refresh_token`.
pub(super) fn operation(call: &Call) -> String {
    let grant = fields(call).map(|fields| grant(&fields).to_owned()).unwrap_or_default();
    format!("token/{}", grant.rsplit(':').next().unwrap_or_default())
}

/// Answers one request; the answer is held back for as long as the options say, and counts as under way until then.
pub(super) fn answer(apps: &mut Apps, shop: &str, now_ms: i64, call: &Call) -> Answer {
    let delay = Duration::from_millis(apps.delay_ms);
    let fields = match fields(call) {
        Ok(fields) => fields,
        Err(refusal) => return refused(&refusal),
    };
    let rule = apps.rule;
    let Apps { all, random, .. } = apps;
    let app = all.iter_mut().find(|app| text(&fields, "client_id") == app.options.client_id);
    let Some(app) = app else { return refused(&NO_CLIENT) };
    app.counts.requests += 1;
    let passing = app.under_way.enter();
    let mut issuer = Issuer { app, random, rule, shop, now_ms };
    let mut answer = issuer.grant(&fields).map_or_else(|refusal| refused(&refusal), |body| Answer::new(200, body));
    answer.delay = delay;
    answer.guard = Some(Box::new(passing));
    answer.with("cache-control", "no-store")
}

/// A new code for what a merchant has approved; good once, for a minute.
pub(super) fn give_code(
    app: &mut App,
    random: &mut fastrand::Rng,
    now_ms: i64,
    scopes: Vec<String>,
    user: Option<u64>,
) -> String {
    let code = hex_digits(random, 32);
    app.codes.insert(code.clone(), Code { ends_ms: now_ms + CODE_MS, scopes, user });
    code
}

/// shopify-app-php: of wrong credentials and of an app that is not installed alike.
const NO_CLIENT: Refusal = Refusal::Error("invalid_client", "Client authentication failed");
const NO_SUBJECT: Refusal = Refusal::Error("invalid_subject_token", "The subject token is not valid");

impl Issuer<'_> {
    fn grant(&mut self, fields: &Fields) -> Result<Value, Refusal> {
        if text(fields, "client_secret") != self.app.options.client_secret {
            return Err(NO_CLIENT);
        }
        let grant = grant(fields);
        let wanted = match grant {
            "client_credentials" => self.by_credentials(),
            "authorization_code" => self.by_code(fields),
            "refresh_token" => self.by_refresh_token(fields),
            EXCHANGE if text(fields, "subject_token_type") == OFFLINE => self.by_lasting_token(fields),
            EXCHANGE => self.by_session_token(fields),
            _ => Err(Refusal::Error("unsupported_grant_type", "The grant type is not supported")),
        }?;
        // What a renewal ends depends on the rule, and is done. Every other grant ends all older refresh tokens.
        if grant != "refresh_token" && matches!(wanted.life, Life::Renewable) {
            self.app.book.end_refreshing();
        }
        Ok(self.give(wanted))
    }

    /// What the merchant has granted; an app that is not installed is no client.
    fn granted(&self) -> Result<Vec<String>, Refusal> {
        self.app.granted.clone().ok_or(NO_CLIENT)
    }

    fn by_credentials(&self) -> Result<Wanted, Refusal> {
        if !self.app.options.may_use_client_credentials {
            let message = "Client credentials cannot be performed on this shop.";
            return Err(Refusal::Page("shop_not_permitted", message));
        }
        let life = Life::Ends(self.app.options.token_seconds);
        Ok(Wanted { scopes: self.granted()?, user: None, life })
    }

    fn by_code(&mut self, fields: &Fields) -> Result<Wanted, Refusal> {
        self.granted()?;
        let code = self.app.codes.remove(text(fields, "code")).filter(|code| self.now_ms < code.ends_ms);
        // Told by a public thread (ShopifySharp #70).
        let message = "The authorization code was not found or was already used";
        let Code { scopes, user, .. } = code.ok_or(Refusal::Error("invalid_request", message))?;
        Ok(Wanted { scopes, user, life: life(user, fields) })
    }

    fn by_refresh_token(&mut self, fields: &Fields) -> Result<Wanted, Refusal> {
        self.app.counts.renewals += 1;
        let scopes = self.granted()?;
        if !self.app.book.redeem(text(fields, "refresh_token"), self.rule, self.now_ms) {
            return Err(Refusal::Error("invalid_grant", "The refresh token is not valid"));
        }
        Ok(Wanted { scopes, user: None, life: Life::Renewable })
    }

    fn by_session_token(&self, fields: &Fields) -> Result<Wanted, Refusal> {
        let scopes = self.granted()?;
        if text(fields, "subject_token_type") != ID_TOKEN {
            return Err(Refusal::Error("invalid_request", "The subject token type is not supported"));
        }
        let user = exchangeable(text(fields, "subject_token"), &self.app.options, self.shop, self.now_ms);
        let user = user.ok_or(NO_SUBJECT)?;
        let user = match text(fields, "requested_token_type") {
            OFFLINE => None,
            ONLINE => Some(user),
            _ => return Err(Refusal::Error("invalid_request", "The requested token type is not supported")),
        };
        Ok(Wanted { scopes, user, life: life(user, fields) })
    }

    /// Shopify docs: a token without an end is exchanged for a pair that ends, and is revoked.
    fn by_lasting_token(&mut self, fields: &Fields) -> Result<Wanted, Refusal> {
        let scopes = self.granted()?;
        if text(fields, "requested_token_type") != OFFLINE || !expires(fields) {
            return Err(Refusal::Error("invalid_request", "Only an expiring offline token can be requested"));
        }
        if !self.app.book.end_lasting(text(fields, "subject_token")) {
            return Err(NO_SUBJECT);
        }
        Ok(Wanted { scopes, user: None, life: Life::Renewable })
    }

    /// Gives the tokens and tells them.
    fn give(&mut self, Wanted { scopes, user, life }: Wanted) -> Value {
        let seconds = match life {
            Life::Endless => None,
            Life::Ends(seconds) => Some(seconds),
            Life::Renewable => Some(self.app.options.token_seconds),
        };
        let ends_ms = seconds.map(|seconds| after(self.now_ms, seconds));
        let scope = told(&scopes).join(",");
        self.app.counts.given += 1;
        let token = self.app.book.give_access(self.random, ends_ms, scopes);
        let mut told = json!({ "access_token": token, "scope": scope });
        if let Some(seconds) = seconds {
            told["expires_in"] = json!(seconds);
        }
        if let Life::Renewable = life {
            let seconds = self.app.options.refresh_seconds;
            let refresh = self.app.book.give_refresh(self.random, after(self.now_ms, seconds));
            told["refresh_token"] = json!(refresh);
            told["refresh_token_expires_in"] = json!(seconds);
        }
        if let Some(user) = user {
            told["associated_user_scope"] = json!(scope);
            told["associated_user"] = staff(user, self.shop);
        }
        told
    }
}

/// Shopify docs: what is told of the member of staff whom a token is for.
fn staff(user: u64, shop: &str) -> Value {
    json!({
        "id": user, "first_name": "Sam", "last_name": "Staff", "email": format!("staff-{user}@{shop}"),
        "email_verified": true, "account_owner": true, "locale": "en", "collaborator": false,
    })
}

/// The fields of a form or of a JSON object, each once and none too long.
fn fields(call: &Call) -> Result<Fields, Refusal> {
    let bad = |message| Refusal::Error("invalid_request", message);
    let pairs: Vec<(String, String)> = match &call.body {
        Some(Value::Object(object)) => object.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        _ => call.form.clone(),
    };
    let count = pairs.len();
    if pairs.iter().any(|(_, value)| value.len() > VALUE_BYTES_MAX) {
        return Err(bad("A parameter is too long"));
    }
    let fields: Fields = pairs.into_iter().collect();
    if fields.len() < count {
        return Err(bad("A parameter is repeated"));
    }
    Ok(fields)
}

/// A JSON value as a form would have it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}

/// The grant type; where there is none, Shopify takes a code.
fn grant(fields: &Fields) -> &str {
    match text(fields, "grant_type") {
        "" if fields.contains_key("code") => "authorization_code",
        grant => grant,
    }
}

fn expires(fields: &Fields) -> bool {
    ["1", "true"].contains(&text(fields, "expiring"))
}

fn life(user: Option<u64>, fields: &Fields) -> Life {
    match user {
        Some(_) => Life::Ends(USER_SECONDS),
        None if expires(fields) => Life::Renewable,
        None => Life::Endless,
    }
}

/// Unix milliseconds.
fn after(now_ms: i64, seconds: u64) -> i64 {
    now_ms.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Error(error, message) => Answer::new(400, json!({ "error": error, "error_description": message })),
        Refusal::Page(error, message) => Answer::html(400, pages::refused(&format!("{error}: {message}"))),
    }
}
