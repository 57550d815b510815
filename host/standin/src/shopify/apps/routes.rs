//! The addresses of a shop's apps: the token endpoint, the approval of an app, and the merchant's list of apps.
//! Reads requests and picks an answer; knows nothing of how a page looks.

use super::merchant::{NO_APP, NO_REDIRECT};
use super::pages::{self, Question};
use super::{Approval, STAFF, links, proxy, tokens};
use crate::lock;
use crate::query::encode;
use crate::server::{Answer, Call};
use crate::shopify::Core;

/// A longer parameter is refused: a browser's address has no room for it.
const PARAMETER_BYTES_MAX: usize = 2_048;

/// The answer to a request below one of these addresses; `None` for all others.
pub(crate) fn route(core: &Core, call: &Call) -> Option<Answer> {
    let parts: Vec<_> = call.path.trim_matches('/').split('/').collect();
    let is_here = |name: &str| name == links::store_name(&core.shop());
    let method = call.method.as_str();
    Some(match parts[..] {
        ["admin", "oauth", "access_token"] if method == "POST" => {
            tokens::answer(&mut lock(&core.apps), &core.shop(), core.clock.now_ms(), call)
        }
        ["admin", "oauth", "authorize"] if method == "GET" => asked(core, &call.query),
        ["admin", "oauth", "authorize"] if method == "POST" => approved(core, &call.form),
        ["store", name, "apps"] if is_here(name) && method == "GET" => listed(core),
        ["store", name, "apps", client_id] if is_here(name) && method == "GET" => opened(core, client_id),
        ["store", name, "apps", client_id, act] if is_here(name) && method == "POST" => {
            acted(core, call, client_id, act)
        }
        _ => return proxy::passed_on(core, call),
    })
}

/// What a request is called in the log and by faults, if it is one for tokens.
pub(crate) fn operation(call: &Call) -> Option<String> {
    (call.path.trim_matches('/') == "admin/oauth/access_token").then(|| tokens::operation(call))
}

/// The page that asks the merchant.
fn asked(core: &Core, pairs: &[(String, String)]) -> Answer {
    let (client_id, approval) = match approval(pairs) {
        Ok(read) => read,
        Err(message) => return Answer::html(400, pages::refused(message)),
    };
    let apps = lock(&core.apps);
    let Some(app) = apps.find(&client_id) else { return Answer::html(400, pages::refused(NO_APP)) };
    if !app.options.redirect_urls.contains(&approval.redirect_uri) {
        return Answer::html(400, pages::refused(NO_REDIRECT));
    }
    Answer::html(200, pages::question(&Question { app: &app.options, shop: &core.shop(), approval: &approval, pairs }))
}

fn approved(core: &Core, pairs: &[(String, String)]) -> Answer {
    let location = match approval(pairs) {
        Ok((client_id, approval)) => core.approve(&client_id, &approval),
        Err(message) => Err(message.to_owned()),
    };
    match location {
        Ok(location) => Answer::html(302, "").with("location", location),
        Err(message) => Answer::html(400, pages::refused(&message)),
    }
}

fn listed(core: &Core) -> Answer {
    Answer::html(200, pages::apps(&core.shop(), &lock(&core.apps).all))
}

/// Opens an app: inside a page of the admin, or at its own address.
fn opened(core: &Core, client_id: &str) -> Answer {
    let answer = core.visit(client_id, |visit, random| {
        let url = visit.app_url(STAFF, random);
        if visit.app.embedded {
            Answer::html(200, pages::frame(visit.app, &core.shop(), &url))
        } else {
            Answer::html(303, "").with("location", url)
        }
    });
    answer.unwrap_or_else(|| Answer::html(404, pages::failed("There is no such app")))
}

/// What the merchant's buttons do, and where they lead. A standalone app is not installed by its button: it is opened, and
/// asks for approval.
fn acted(core: &Core, call: &Call, client_id: &str, act: &str) -> Answer {
    let Some(is_embedded) = core.visit(client_id, |visit, _| visit.app.embedded) else {
        return Answer::html(404, pages::failed("There is no such app"));
    };
    let list = format!("/store/{}/apps", links::store_name(&core.shop()));
    let secret = single(&call.form, "secret").ok().flatten().filter(|secret| !secret.is_empty());
    let location = match (act, secret) {
        ("install", _) => {
            if is_embedded {
                core.install(client_id);
            }
            format!("{list}/{}", encode(client_id))
        }
        ("uninstall", _) => {
            core.uninstall(client_id);
            list
        }
        ("rotate", Some(secret)) => {
            if let Some(app) = lock(&core.apps).find_mut(client_id) {
                app.options.rotate(secret);
            }
            list
        }
        ("rotate", None) => return Answer::html(400, pages::failed("A new secret is needed")),
        _ => return Answer::html(404, pages::failed("Not Found")),
    };
    Answer::html(303, "").with("location", location)
}

/// The parameters of an authorization: each once at most, and none too long.
fn approval(pairs: &[(String, String)]) -> Result<(String, Approval), &'static str> {
    if pairs.iter().any(|(_, value)| value.len() > PARAMETER_BYTES_MAX) {
        return Err("invalid_request: A parameter is too long");
    }
    let client_id = single(pairs, "client_id")?.unwrap_or_default();
    let scopes = single(pairs, "scope")?.filter(|scopes| !scopes.trim().is_empty());
    let is_per_user = single(pairs, "grant_options[]")? == Some("per-user");
    let user = single(pairs, "user")?.and_then(|user| user.parse().ok()).unwrap_or(STAFF);
    let approval = Approval {
        redirect_uri: single(pairs, "redirect_uri")?.unwrap_or_default().to_owned(),
        state: single(pairs, "state")?.map(str::to_owned),
        scopes: scopes.map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect()),
        user: is_per_user.then_some(user),
    };
    Ok((client_id.to_owned(), approval))
}

fn single<'a>(pairs: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.next().is_some() { Err("invalid_request: A parameter is repeated") } else { Ok(first) }
}
