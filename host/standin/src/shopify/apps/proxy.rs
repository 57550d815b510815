//! The storefront as far as apps see it: the pages of a theme, who is logged in, and the app proxy, which passes what a visitor asks for
//! below an app's path on to the app, with the visitor's customer number, signed. Knows nothing of what an app answers.

use crate::forward::Forward;
use crate::lock;
use crate::query::{encode, encoded};
use crate::server::{Answer, Call};
use crate::shopify::Core;
use crate::sign::sign_proxy;

/// The cookie that says who is logged in. A real shop's says nothing that can be read; only that it does not reach the app counts.
const COOKIE: &str = "storefront_customer";

/// Where an app is reached through the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppProxy {
    /// Of the shop: `/apps/cx`.
    pub path: String,
    /// Of the app: `http://127.0.0.1:8080/storefront/main`. What is asked for below the path is asked for below this.
    pub url: String,
}

/// The answer to what a visitor of the shop asks for; `None`: the shop has nothing there.
pub(super) fn passed_on(core: &Core, call: &Call) -> Option<Answer> {
    if let Some(page) = lock(&core.theme).get(&call.path).filter(|_| call.method == "GET") {
        return Some(Answer::html(200, page.clone()));
    }
    match call.path.as_str() {
        "/account/login" => {
            let customer = call.query.iter().find(|(name, _)| name == "customer").map(|(_, value)| value.as_str());
            Some(logged_in(&encode(customer.unwrap_or_default())))
        }
        "/account/logout" => Some(logged_in("")),
        _ => proxied(core, call),
    }
}

fn logged_in(customer: &str) -> Answer {
    Answer::html(302, "").with("location", "/").with("set-cookie", format!("{COOKIE}={customer}; Path=/; HttpOnly"))
}

fn proxied(core: &Core, call: &Call) -> Option<Answer> {
    let apps = lock(&core.apps);
    // One app has a path.
    let (app, proxy, below) = apps.all.iter().find_map(|app| {
        let proxy = app.options.proxy.as_ref().filter(|_| app.granted.is_some())?;
        let below = call.path.strip_prefix(&proxy.path).filter(|below| below.is_empty() || below.starts_with('/'))?;
        Some((app, proxy, below))
    })?;
    let timestamp = core.clock.now_ms().div_euclid(1_000).to_string();
    let (customer, shop) = (customer(call), core.shop());
    let mut pairs: Vec<(&str, &str)> = call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // What a visitor's own parameters of these names become is not documented: here they stay beside Shopify's.
    pairs.extend([
        ("shop", &*shop),
        ("logged_in_customer_id", customer.as_str()),
        ("path_prefix", proxy.path.as_str()),
        ("timestamp", timestamp.as_str()),
    ]);
    let signature = sign_proxy(&app.options.client_secret, &pairs);
    pairs.push(("signature", &signature));
    let url = format!("{}{below}?{}", proxy.url, encoded(&pairs).join("&"));
    // Shopify docs: neither `Cookie` nor `Set-Cookie` passes.
    let is_passed = |name: &str| !["cookie", "host", "connection", "content-length", "authorization"].contains(&name);
    let headers = call.headers.iter().filter(|(name, _)| is_passed(name.as_str()));
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let headers = headers.chain([("x-forwarded-host".to_owned(), shop.to_string())]).collect();
    Some(Answer::forwarded(Forward { method: call.method.clone(), url, headers, kept_back: &["set-cookie"] }))
}

/// The number of the customer who is logged in; nothing, if nobody is.
fn customer(call: &Call) -> String {
    let cookies = call.header("cookie").split(';').filter_map(|pair| pair.trim().split_once('='));
    cookies.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}
