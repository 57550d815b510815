//! The pages of the merchant's admin, as HTML that needs no script. Everything that is not of this file is escaped.
//! Knows nothing of requests.

use super::links::store_name;
use super::{App, AppOptions, Approval, STAFF, told};
use crate::query::encode;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:45rem;padding:0 1rem}\
    form{margin:.5rem 0}button,input{font:inherit;padding:.3rem .8rem}iframe{border:1px solid #888;height:40rem;width:100%}";

/// What the merchant is asked.
pub(super) struct Question<'a> {
    pub app: &'a AppOptions,
    pub shop: &'a str,
    pub approval: &'a Approval,
    /// The parameters of the request, which the form sends on.
    pub pairs: &'a [(String, String)],
}

/// Asks the merchant to approve an app: a form that is sent to the address it came from.
pub(super) fn question(Question { app, shop, approval, pairs }: &Question) -> String {
    let scopes = told(approval.scopes.as_deref().unwrap_or(&app.scopes));
    let scopes: String = scopes.iter().map(|scope| format!("<li>{}</li>", escape(scope))).collect();
    let known = ["client_id", "scope", "redirect_uri", "state", "grant_options[]"];
    let kept = pairs.iter().filter(|(key, _)| known.contains(&key.as_str()));
    let kept = kept
        .map(|(key, value)| format!(r#"<input type="hidden" name="{}" value="{}">"#, escape(key), escape(value)))
        .collect::<String>();
    let (name, shop, user) = (escape(&app.name), escape(shop), approval.user.unwrap_or(STAFF));
    let whose = if approval.user.is_some() { "this member of staff" } else { "the shop" };
    page(
        &format!("Install {}", app.name),
        &format!(
            r#"<p>{name} asks for access to {shop}, for {whose}:</p><ul>{scopes}</ul>
<form method="post" action="/admin/oauth/authorize">{kept}
<p><label for="user">Member of staff</label> <input id="user" name="user" inputmode="numeric" pattern="[0-9]+" value="{user}"></p>
<button type="submit">Approve</button></form>"#
        ),
    )
}

/// The merchant's list of apps, with a form for each thing that can be done.
pub(super) fn apps(shop: &str, apps: &[App]) -> String {
    let items: String = apps.iter().enumerate().map(|(n, app)| item(shop, n, app)).collect();
    page("Apps", &format!("<p>Shop {}</p>{items}", escape(shop)))
}

fn item(shop: &str, n: usize, app: &App) -> String {
    let options = &app.options;
    let (name, path) = (escape(&options.name), app_path(shop, options));
    let button = |act: &str, label: &str| {
        format!(
            r#"<form method="post" action="{path}/{act}"><button type="submit" aria-label="{label} {name}">{label}</button></form>"#
        )
    };
    let (state, buttons) = match app.granted {
        Some(_) => {
            ("Installed", format!(r#"<p><a href="{path}">Open {name}</a></p>{}"#, button("uninstall", "Uninstall")))
        }
        None => ("Not installed", button("install", "Install")),
    };
    let rotate = format!(
        r#"<form method="post" action="{path}/rotate"><label for="secret-{n}">New client secret of {name}</label>
<input id="secret-{n}" name="secret" autocomplete="off" required>
<button type="submit" aria-label="Rotate secret of {name}">Rotate secret</button></form>"#
    );
    format!(
        r#"<section aria-labelledby="app-{n}"><h2 id="app-{n}">{name}</h2><p>{state}</p>{buttons}{rotate}</section>"#
    )
}

/// An embedded app inside the admin.
pub(super) fn frame(app: &AppOptions, shop: &str, url: &str) -> String {
    let (title, url, shop) = (escape(&app.name), escape(url), escape(store_name(shop)));
    let list = format!(r#"<p><a href="/store/{shop}/apps">Apps</a></p>"#);
    page(&app.name, &format!(r#"{list}<iframe src="{url}" title="{title}"></iframe>"#))
}

/// What Shopify says when it refuses an app: `Oauth error invalid_request: …`.
pub(super) fn refused(message: &str) -> String {
    failed(&format!("Oauth error {message}"))
}

/// What a merchant reads when nothing comes of a request.
pub(super) fn failed(message: &str) -> String {
    page("Something went wrong", &format!("<p>{}</p>", escape(message)))
}

fn app_path(shop: &str, app: &AppOptions) -> String {
    format!("/store/{}/apps/{}", escape(store_name(shop)), encode(&app.client_id))
}

/// A whole page; the title is escaped here, the body before.
fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE}</style></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"#
    )
}

/// For text and for attributes in quotation marks.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
