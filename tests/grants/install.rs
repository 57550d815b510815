//! A merchant installs an app, in a browser that is played here: what is shown, what is refused, and what comes of it.

use std::net::SocketAddr;

use reqwest::{Method, Response, redirect};
use serde_json::json;
use tandem::config::AppKind;
use tandem::playground::TENANT;
use tandem_standin::{AppOptions, Approval, RefreshRule, SessionToken, Shopify, sign_query};

use super::street::*;

/// Where a host listens.
pub trait Listens {
    fn address(&self) -> SocketAddr;
}

impl Listens for Street {
    fn address(&self) -> SocketAddr {
        self.playground.server.address
    }
}

/// A browser, with the one cookie that matters.
#[derive(Default)]
pub struct Browser {
    pub cookie: Option<String>,
}

impl Browser {
    pub async fn send(&mut self, host: &impl Listens, method: Method, path: &str) -> Response {
        self.send_with(host, method, path, String::new()).await
    }

    async fn send_with(&mut self, host: &impl Listens, method: Method, path: &str, body: String) -> Response {
        let client = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        let url = format!("http://{}{path}", host.address());
        // Whatever a proxy or an attacker writes here: no address is made of it.
        let mut request = client
            .request(method, url)
            .body(body)
            .header("x-forwarded-host", "evil.example")
            .header("host", "evil.example");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("a=b; {cookie}"));
        }
        let answer = request.send().await.unwrap();
        if let Some(set) = answer.headers().get("set-cookie") {
            let set = set.to_str().unwrap();
            for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/shopify/main; ", "Max-Age=600"] {
                assert!(set.contains(attribute), "{set}");
            }
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        answer
    }

    pub async fn get(&mut self, host: &impl Listens, path: &str) -> (u16, String, String) {
        Self::read(self.send(host, Method::GET, path).await).await
    }

    /// Sends a form, as a browser does.
    pub async fn post(&mut self, host: &impl Listens, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::read(self.send_with(host, Method::POST, path, body).await).await
    }

    async fn read(answer: Response) -> (u16, String, String) {
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, location) = (answer.status().as_u16(), header("location").unwrap_or_default());
        let policy = header("content-security-policy").unwrap_or_default();
        if location.is_empty() {
            assert!(policy.starts_with("default-src 'none'; style-src 'self'; "), "{policy}");
            assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
        }
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        (status, location, answer.text().await.unwrap() + &policy)
    }
}

fn opened(street: &Street) -> String {
    format!("/shopify/main?{}", street.playground.shopify.app_url_query(ID).unwrap())
}

/// The merchant approves at Shopify; gives the path and query that the browser is sent back to.
pub fn approved(shopify: &Shopify, location: &str) -> String {
    let url = reqwest::Url::parse(location).unwrap();
    let given = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!((url.path(), given("client_id").as_deref()), ("/admin/oauth/authorize", Some(ID)));
    assert_eq!(url.port(), reqwest::Url::parse(&shopify.url()).unwrap().port());
    assert_eq!(given("scope"), None);
    let user = given("grant_options[]").map(|option| {
        assert_eq!(option, "per-user");
        42
    });
    let (redirect_uri, state) = (given("redirect_uri").unwrap(), given("state"));
    let approval = Approval { redirect_uri, state, user, ..Approval::default() };
    let back = shopify.approve(ID, &approval).unwrap();
    back.strip_prefix(PUBLIC).unwrap().to_owned()
}

async fn bare(kind: AppKind) -> Street {
    let options = match kind {
        AppKind::Embedded => AppOptions::embedded(ID, SECRET, "http://127.0.0.1:1/shopify/main"),
        kind => options(kind, 3_600),
    };
    Street::bare(kind, options, RefreshRule::Strict).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_approves_and_the_shop_is_in_step() {
    let street = bare(AppKind::Standalone).await;
    let mut browser = Browser::default();
    let (status, location, _) = browser.get(&street, &opened(&street)).await;
    assert_eq!(status, 302);
    assert!(
        location.contains("redirect_uri=https%3A%2F%2Ftandem.example.org%2Fshopify%2Fmain%2Fcallback"),
        "{location}"
    );
    let back = approved(&street.playground.shopify, &location);
    let (status, location, _) = browser.get(&street, &back).await;
    assert!(status == 303 && location.starts_with("/shopify/main/connect?once="), "{location}");
    let (status, _, page) = browser.get(&street, &location).await;
    assert!(status == 200 && page.contains("acme.myshopify.com is connected"), "{page}");
    // Back, and once more: it is used.
    let (status, _, page) = browser.get(&street, &back).await;
    assert!(status == 400 && page.contains("This approval is not open any more"), "{page}");
    street.set_up().await;
    street.customer(1);
    street.until("the profile", || street.profiles() == 1).await;
    // Opened again, the member of staff signs in. The token of the shop stays: its refresh token is still good.
    let (status, location, _) = browser.get(&street, &opened(&street)).await;
    assert!(status == 302 && location.contains("grant_options%5B%5D=per-user"), "{location}");
    let server = &street.playground.server;
    let ends = async || {
        let shown = server.credentials.show(&street.playground.config.tenants[0]).await;
        shown.and_then(|shown| shown.held).map(|held| (held.since, held.ends_at))
    };
    let before = ends().await;
    let (_, location, page) = browser.get(&street, &approved(&street.playground.shopify, &location)).await;
    assert!(location.starts_with("/shopify/main/connect?once="), "{page}");
    assert!(browser.get(&street, &location).await.2.contains("acme.myshopify.com is connected"));
    assert!(before.is_some());
    assert_eq!(ends().await, before);
    street.customer(2);
    street.until("the profile", || street.profiles() == 2).await;
    street.playground.settle().await.unwrap();
    street.no_dead_letters();
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_this_merchants_changes_nothing() {
    let street = bare(AppKind::Standalone).await;
    let mut browser = Browser::default();
    let (_, location, _) = browser.get(&street, &opened(&street)).await;
    let back = approved(&street.playground.shopify, &location);
    let query = |path: &str| path.split_once('?').unwrap().1.to_owned();
    let (signed, now) = (query(&back), tandem::clock::now() / 1_000);
    let own = |secret: &str, shop: &str, state: &str, at: i64| {
        let at = at.to_string();
        let pairs = [("code", "c0de"), ("host", "aG9zdA"), ("shop", shop), ("state", state), ("timestamp", &*at)];
        let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}&hmac={}", text.join("&"), sign_query(secret, &pairs))
    };
    let shop = "acme.myshopify.com";
    let without = |name: &str| {
        let kept: Vec<_> = signed.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect();
        kept.join("&")
    };
    let state = signed.split('&').find_map(|pair| pair.strip_prefix("state=")).unwrap().to_owned();
    let mine = browser.cookie.clone();
    let foreign = mine.as_ref().map(|cookie| format!("{}={}", cookie.split('=').next().unwrap(), "0".repeat(64)));
    let table = [
        ("no cookie", signed.clone(), None, 400),
        ("another browser's", signed.clone(), foreign, 400),
        ("no signature", without("hmac"), mine.clone(), 401),
        ("no code", without("code"), mine.clone(), 401),
        ("a parameter twice", format!("{signed}&shop={shop}"), mine.clone(), 401),
        ("a parameter more", format!("{signed}&a=b"), mine.clone(), 401),
        ("signed by another app", own("foreign", shop, &state, now), mine.clone(), 401),
        ("too old", own(SECRET, shop, &state, now - 91), mine.clone(), 401),
        ("of tomorrow", own(SECRET, shop, &state, now + 600), mine.clone(), 401),
        ("a foreign state", own(SECRET, shop, "0123", now), mine.clone(), 400),
        ("no shop", own(SECRET, "evil.myshopify.com.attacker.com", &state, now), mine.clone(), 401),
        ("nothing", String::new(), mine.clone(), 401),
        ("a lot", "a=b&".repeat(3_000), mine.clone(), 401),
    ];
    let asked = street.counts().requests;
    for (what, query, cookie, status) in table {
        let (said, _, page) = Browser { cookie }.get(&street, &format!("/shopify/main/callback?{query}")).await;
        assert_eq!(said, status, "{what}: {page}");
        assert!(page.contains("Open the app again in Shopify"), "{what}: {page}");
    }
    // A preview of the link, by somebody's chat.
    let head = Browser { cookie: mine.clone() }.send(&street, Method::HEAD, &back).await;
    assert_eq!(head.status(), 405);
    assert_eq!(street.counts().requests, asked);
    // And the merchant's own answer is still good.
    assert_eq!(browser.get(&street, &back).await.0, 303);
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_nobodys_is_told_whom_to_ask() {
    let street = bare(AppKind::Standalone).await;
    let at = (tandem::clock::now() / 1_000).to_string();
    let pairs = [("host", "aG9zdA"), ("shop", "zeta.myshopify.com"), ("timestamp", &*at)];
    let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = format!("/shopify/main?{}&hmac={}", text.join("&"), sign_query(SECRET, &pairs));
    let mut browser = Browser::default();
    let (status, _, page) = browser.get(&street, &path).await;
    assert!(status == 403 && page.contains("zeta.myshopify.com is not known here"), "{page}");
    assert!(page.contains("Ask whoever runs this Tandem") && page.contains("Invitation code"), "{page}");
    for path in ["/shopify/other", "/shopify/main", "/shopify/main?shop=acme.myshopify.com"] {
        let (status, _, page) = browser.get(&street, path).await;
        assert!([401, 404].contains(&status), "{path}: {page}");
    }
    street.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_app_exchanges_the_staffs_session_token() {
    let street = bare(AppKind::Embedded).await;
    let mut browser = Browser::default();
    let shopify = &street.playground.shopify;
    let hostile = [
        SessionToken::extension(Some(7)),
        SessionToken::admin(42).algorithm("none"),
        SessionToken::admin(42).claim("aud", "other"),
        SessionToken::admin(42).claim("exp", 1),
        SessionToken::admin(42).claim("iss", "https://other.myshopify.com/admin"),
        SessionToken::admin(42).secret("foreign"),
    ];
    for (n, token) in hostile.iter().enumerate() {
        let token = shopify.session_token(ID, token).unwrap();
        let answer = browser.send(&street, Method::GET, &format!("/shopify/main?id_token={token}")).await;
        assert_eq!(answer.status(), 401, "{n}");
        assert_eq!(answer.headers().get("x-shopify-retry-invalid-session-request").unwrap(), "1");
    }
    assert_eq!(street.counts().requests, 0);
    let (status, _, page) = browser.get(&street, &opened(&street)).await;
    assert!(status == 200 && page.contains("acme.myshopify.com is connected"), "{page}");
    assert!(page.contains("frame-ancestors https://acme.myshopify.com https://admin.shopify.com"), "{page}");
    // Opened again, nothing is exchanged; the shop is asked whether it lets the app in.
    assert_eq!(browser.get(&street, &opened(&street)).await.0, 200);
    assert_eq!(street.counts().given, 1);
    street.set_up().await;
    street.customer(1);
    street.until("the profile", || street.profiles() == 1).await;
    // Taken away and installed again, by whoever opens it.
    street.playground.settle().await.unwrap();
    shopify.uninstall(ID);
    street.until("the pause", || street.paused().contains("the app was uninstalled")).await;
    shopify.install(ID);
    assert_eq!(browser.get(&street, &opened(&street)).await.0, 200);
    street.until("calls to be taken again", || street.paused().is_empty()).await;
    street.set_up().await;
    street.playground.omneo.create_profile(json!({"first_name": "Grace", "email": "grace@hopper.dev"})).unwrap();
    street.until("the customer", || shopify.customers().len() == 2).await;
    assert!(street.events().iter().all(|row| row.event.webhook.tenant == TENANT));
    street.stop().await;
}
