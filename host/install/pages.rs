//! The pages that a merchant sees while an app is installed. Knows words and headers; decides nothing.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::journal::Mode;

/// How every page looks, in the light and in the dark.
pub const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 36rem; margin: 4rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
.wrong h1::before { content: '! '; }
code { font-size: 0.95em; overflow-wrap: anywhere; }
label { display: block; margin: 1.25rem 0 0.25rem; font-weight: 600; }
label small, .steps small { display: block; font-weight: 400; font-size: 0.875rem; }
input { box-sizing: border-box; width: 100%; padding: 0.5rem; font: inherit; }
button, .button { margin: 1.5rem 0; padding: 0.5rem 1.25rem; font: inherit; font-weight: 600; }
.button { display: inline-block; margin: 0.5rem 0; border: 1px solid; border-radius: 0.125rem; text-decoration: none; }
.problem { border-left: 0.25rem solid; padding-left: 0.75rem; }
.steps { padding: 0; list-style: none; }
.steps li { margin: 0.5rem 0; }
details { margin: 1.5rem 0; }
.switch { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 0.5rem; margin: 0; }
.switch button { margin: 0.5rem 0; min-width: 8rem; }
";
/// Asks App Bridge to send its request once more with a new session token (shopify-app-js).
const RETRY_SESSION: HeaderName = HeaderName::from_static("x-shopify-retry-invalid-session-request");
pub const STYLE_PATH: &str = "/pages.css";

/// What a merchant can fill in.
pub enum Form {
    /// Which Omneo tenant is the shop's.
    Connect {
        action: String,
        /// Good once.
        token: String,
        /// What was said before, if something was wrong with it.
        address: String,
    },
    /// To try once more what did not work; or, where Omneo's own app is in step with the shop, too, to leave that.
    Again { action: String, token: String, leave: Option<String> },
    /// A code that admits the shop.
    Code { action: String, token: String },
    /// What goes from one side to the other, and what does not.
    Switches { action: String, token: String, directions: [Direction; 2] },
}

/// One of the two directions, and what becomes of its events.
pub struct Direction {
    /// Where they come from.
    pub source: &'static str,
    pub name: &'static str,
    pub mode: Mode,
    /// Why an operator has set it, if so: then it is not a merchant's to change.
    pub by_operator: Option<String>,
}

/// How a thing stands that the tenant needs.
pub struct Line {
    pub is_good: bool,
    pub what: String,
    pub hint: Option<String>,
}

/// A page: what it says first, and what there is to do.
pub struct Page(Box<Content>);

struct Content {
    status: StatusCode,
    title: String,
    text: Vec<String>,
    /// What was wrong with what was filled in.
    problem: Option<String>,
    forms: Vec<Form>,
    lines: Vec<Line>,
    /// Where to go on, with a cookie that has to be there by then. After a form this is a link: what a form leads to has to be of this
    /// host alone, by the page's own policy.
    goes_on: Option<Way>,
    /// The shop in whose admin it may stand in a frame.
    framed_by: Option<String>,
    /// Whether App Bridge is to try once more, with a new session token.
    tries_again: bool,
}

struct Way {
    why: Option<&'static str>,
    address: String,
    cookie: Option<String>,
}

impl Page {
    pub fn good(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Box::new(Content {
            status: StatusCode::OK,
            title: title.into(),
            text: vec![text.into()],
            problem: None,
            forms: vec![],
            lines: vec![],
            goes_on: None,
            framed_by: None,
            tries_again: false,
        }))
    }

    /// `cure` is what the merchant, or whoever helps, can do.
    pub fn wrong(status: StatusCode, title: impl Into<String>, cure: impl Into<String>) -> Self {
        let mut page = Self::good(title, cure);
        page.0.status = status;
        page
    }

    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.0.text.push(text.into());
        self
    }

    pub fn with(mut self, form: Form) -> Self {
        self.0.forms.push(form);
        self
    }

    pub fn lines(mut self, lines: Vec<Line>) -> Self {
        self.0.lines = lines;
        self
    }

    /// With a link to Shopify, and a cookie for when the browser comes back from there.
    pub fn going_on(mut self, why: Option<&'static str>, (address, cookie): (String, Option<String>)) -> Self {
        self.0.goes_on = Some(Way { why, address, cookie });
        self
    }

    /// Something was filled in that is not right.
    pub fn problem(mut self, status: StatusCode, said: String) -> Self {
        (self.0.status, self.0.problem) = (status, Some(said));
        self
    }

    pub fn framed_by(mut self, shop: &str) -> Self {
        self.0.framed_by = Some(shop.to_owned());
        self
    }

    pub fn tried_again(mut self) -> Self {
        self.0.tries_again = true;
        self
    }
}

impl Content {
    fn markup(&self) -> Markup {
        let is_wrong = !self.status.is_success();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " – Tandem" }
                    link rel="stylesheet" href=(STYLE_PATH);
                }
                body class=[is_wrong.then_some("wrong")] {
                    main {
                        h1 { (self.title) }
                        @if let Some(problem) = &self.problem {
                            div.problem role="alert" { @for line in problem.lines() { p { (sentence(line)) } } }
                        }
                        @for text in &self.text { p { (text) } }
                        @if !self.lines.is_empty() { (lines(&self.lines)) }
                        @for form in &self.forms { (form.markup()) }
                        @if let Some(Way { why, address, .. }) = &self.goes_on {
                            @if let Some(why) = why { p { (why) } }
                            p { a.button href=(address) autofocus[self.forms.is_empty()] { "Go on to Shopify" } }
                        }
                    }
                }
            }
        }
    }
}

impl Form {
    fn markup(&self) -> Markup {
        match self {
            Self::Connect { action, token, address } => html! {
                form method="post" action=(action) {
                    input type="hidden" name="form" value=(token);
                    label for="address" { "Address of your Omneo tenant" }
                    input #address name="address" value=(address) required autofocus autocomplete="off" spellcheck="false"
                        placeholder="https://api.acme.getomneo.com/api/v3";
                    label for="token" { "API token" small { "Made in CX Manager, under Settings, API Tokens." } }
                    input #token name="token" type="password" required autocomplete="off";
                    details {
                        summary { "Webhook secret" }
                        label for="secret" { "Secret of Omneo’s webhooks" small { "Only if Omneo does not tell it by itself." } }
                        input #secret name="secret" type="password" autocomplete="off";
                    }
                    button { "Connect" }
                }
            },
            Self::Switches { action, token, directions } => html! {
                form method="post" action=(action) {
                    input type="hidden" name="form" value=(token);
                    @for Direction { source, name, mode, by_operator } in directions {
                        @let (state, to, verb) = match mode {
                            Mode::Run => ("on", "off", "Switch off"),
                            Mode::Hold => ("on hold: what comes waits", "on", "Let it go on"),
                            Mode::Drop => ("off", "on", "Switch on"),
                        };
                        p.switch {
                            span { strong { (name) } " is " (state) }
                            @match by_operator {
                                Some(why) => span { "Set by whoever runs this Tandem: " (why) },
                                None => button name=(source) value=(to) aria-label={ (verb) ": " (name) } { (verb) },
                            }
                        }
                    }
                    p { small { "What comes while a direction is off is not sent later." } }
                }
            },
            Self::Again { action, token, leave } => html! {
                form method="post" action=(action) {
                    input type="hidden" name="form" value=(token);
                    @match leave {
                        None => button { "Try again" },
                        Some(why) => {
                            p { (why) }
                            button name="leave" value="yes" { "Switch its webhooks off" }
                        }
                    }
                }
            },
            Self::Code { action, token } => html! {
                form method="post" action=(action) {
                    input type="hidden" name="form" value=(token);
                    label for="code" { "Invitation code" }
                    input #code name="code" required autofocus autocomplete="off" spellcheck="false";
                    button { "Continue" }
                }
            },
        }
    }
}

/// What is wrong first, then what is as it should be.
fn lines(all: &[Line]) -> Markup {
    let (good, wrong): (Vec<_>, Vec<_>) = all.iter().partition(|line| line.is_good);
    html! {
        @if !wrong.is_empty() {
            h2 { "Missing" }
            ul.steps { @for line in &wrong {
                li { "✗ " (line.what) @if let Some(hint) = &line.hint { small { (sentence(hint)) } } }
            } }
        }
        details {
            summary { (good.len()) " things are as they should be" }
            ul.steps { @for line in &good { li { "✓ " (line.what) } } }
        }
    }
}

/// A line of a message: a hint of a command is a sentence here.
fn sentence(line: &str) -> String {
    let said = line.strip_prefix("hint: ").unwrap_or(line);
    let mut chars = said.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}{}", chars.as_str(), if said.ends_with(['.', '?', '!']) { "" } else { "." })
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let content = *self.0;
        let frames = match &content.framed_by {
            Some(shop) => format!("https://{shop} https://admin.shopify.com"),
            None => "'none'".to_owned(),
        };
        let forms = if content.forms.is_empty() { "'none'" } else { "'self'" };
        let policy = format!(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors {frames}"
        );
        let headers = [
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
            (HeaderName::from_static("x-content-type-options"), "nosniff".to_owned()),
        ];
        let mut page = (content.status, headers, Html(content.markup().into_string())).into_response();
        if content.tries_again {
            page.headers_mut().insert(RETRY_SESSION, HeaderValue::from_static("1"));
        }
        let cookie = content.goes_on.and_then(|way| way.cookie);
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
            page.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        page
    }
}
