//! Omneo's API for shoppers: ID tokens, and what widgets ask for with one. Everything here is below `/id/api/v1`.
//! Knows what a token says; values obey the same rules as in the API for programs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::store::{Errors, Profile, Store, text};
use super::{Core, comms, profiles, unauthorized, views};
use crate::lock;
use crate::server::{Answer, Call};
use crate::sign::sign_token;

/// How long an ID token lives; Omneo publishes no number.
pub(super) const SECONDS: i64 = 3_600;
const API: &str = "/id/api/v1";
/// What the token of nobody says in place of a profile (Omneo SDK tests).
const NOBODY: &str = "null";

/// The path below this API, with its slash.
pub(super) fn below(path: &str) -> Option<&str> {
    path.strip_prefix(API).filter(|rest| rest.starts_with('/'))
}

/// Browsers ask from the shop's own origin.
pub(super) fn answer(core: &Core, call: &Call, path: &str) -> Answer {
    let answer = match (call.method.as_str(), path) {
        ("OPTIONS", _) => Answer::new(204, Value::Null),
        ("POST", "/auth/token") => given(core, call),
        _ => asked(core, call, path),
    };
    answer
        .with("access-control-allow-origin", "*")
        .with("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS")
        .with("access-control-allow-headers", "Authorization, Content-Type")
}

/// A token for a profile, by its UUID or by one of its identities; without any, one that is nobody's (Omneo docs:
/// shopify-authentication).
fn given(core: &Core, call: &Call) -> Answer {
    if call.header("authorization") != format!("Bearer {}", lock(&core.token)) {
        return unauthorized();
    }
    let body = call.body.clone().unwrap_or_default();
    let (id, handle) = (body.get("id").and_then(text), body.get("id_handle").and_then(text));
    let found = core.with(true, |store| {
        let profile = match (&id, &handle) {
            (None, _) => return Some(NOBODY.to_owned()),
            (Some(id), None) => store.profile(id),
            (Some(id), Some(handle)) => store.by_identity(handle, id),
        };
        profile.map(|profile| profile.id.clone())
    });
    let Some(pid) = found else { return no_profile() };
    let exp = core.clock.now_ms().div_euclid(1_000) + *lock(&core.id_seconds);
    Answer::new(200, json!({ "data": { "token": signed(core, &pid, exp), "exp": exp } }))
}

fn signed(core: &Core, pid: &str, exp: i64) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": core.tenant, "pid": pid, "exp": exp });
    let text = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let signature = sign_token("HS256", &key(core), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key(core: &Core) -> String {
    format!("id tokens of {}", core.secret)
}

/// The profile that a token is for, while it lives.
fn bearer(core: &Core, call: &Call) -> Option<String> {
    let (text, signature) = call.header("authorization").strip_prefix("Bearer ")?.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let lives = claims["exp"].as_i64()?.saturating_mul(1_000) > core.clock.now_ms();
    let is_own = sign_token("HS256", &key(core), text.as_bytes()) == signature;
    claims["pid"].as_str().filter(|_| lives && is_own).map(str::to_owned)
}

/// What a widget asks for with an ID token. `me` is the profile of the token, and nobody else can be named.
fn asked(core: &Core, call: &Call, path: &str) -> Answer {
    let Some(pid) = bearer(core, call) else { return unauthorized() };
    let Some(rest) = path.strip_prefix("/profiles/me") else {
        return match path {
            "/locations" | "/rewards" | "/tiers" => list(vec![]),
            _ => Answer::new(404, json!({ "message": "Not Found" })),
        };
    };
    core.with(true, |store| match store.profile(&pid).cloned() {
        Some(profile) => of_me(store, call, rest, profile).unwrap_or_else(|body| Answer::new(422, body)),
        None => no_profile(),
    })
}

fn of_me(store: &mut Store, call: &Call, rest: &str, mut me: Profile) -> Result<Answer, Value> {
    let shown = views::view(store.promo_default, &me);
    let body: Map<String, Value> = call.body.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(match (call.method.as_str(), rest) {
        ("GET", "") => data(shown),
        ("PUT", "") => {
            let new = profiles::apply(store, Some(&me), &body, false)?;
            store.save(new.clone());
            data(views::view(store.promo_default, &new))
        }
        ("GET", "/balances") => {
            let balances = shown.as_object().into_iter().flatten().filter(|(key, _)| key.contains("balance"));
            data(Value::Object(balances.map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        ("GET", "/addresses") => list(me.addresses.iter().cloned().map(Value::Object).collect()),
        ("GET", "/identities") => list(me.identities.iter().cloned().map(Value::Object).collect()),
        // Whoever has a token may say that an identity is theirs.
        ("POST", "/identities") => {
            let mut errors = Errors::default();
            let identity = profiles::add_identity(store, &mut me, &Value::Object(body), "", &mut errors);
            errors.check()?;
            store.save(me);
            Answer::new(201, json!({ "data": identity }))
        }
        ("GET", "/attributes/comms") => data(Value::Object(comms::view(store.promo_default, &me))),
        ("GET", "/tiers") => data(shown["tier"].clone()),
        ("GET", "/rewards" | "/points" | "/benefits" | "/transactions" | "/aggregations" | "/redemptions") => {
            list(vec![])
        }
        ("GET", path) if path.starts_with("/lists/") => list(vec![]),
        _ => Answer::new(404, json!({ "message": "Not Found" })),
    })
}

fn data(data: Value) -> Answer {
    Answer::new(200, json!({ "data": data }))
}

fn list(rows: Vec<Value>) -> Answer {
    let total = rows.len();
    Answer::new(200, json!({ "data": rows, "meta": { "total": total } }))
}

fn no_profile() -> Answer {
    Answer::new(404, json!({ "message": "No query results for model [Profile]." }))
}
