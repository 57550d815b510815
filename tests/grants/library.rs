//! Shopify's own library for JavaScript and this host are of one mind about what is signed: what the stand-in signs the library
//! accepts, and what the library signs the host accepts.
//!
//! npm brings the library. Without npm this is skipped, and says so; where `CI` is set it has to be there.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tandem::config::AppKind;
use tandem::verify::{Signature, proxy, query, session};
use tandem_standin::{AppOptions, AppProxy, SessionToken, Shopify, ShopifyOptions, sign_proxy, sign_shopify};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::street::{ID, SECRET, options};

const LIBRARY: &str = "@shopify/shopify-api@15";
const BODY: &str = r#"{"id": 7, "name": "Zoë"}"#;

/// The folder with the library; `None`, said aloud, where there is no npm.
fn library() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shopify-api");
    std::fs::create_dir_all(&folder).unwrap();
    if !folder.join("node_modules/@shopify/shopify-api").exists() {
        let npm = Command::new("npm").args(["install", "--no-save", "--silent", LIBRARY]).current_dir(&folder).output();
        let is_there = npm.is_ok_and(|npm| npm.status.success());
        assert!(is_there || std::env::var_os("CI").is_none(), "npm cannot install {LIBRARY}");
        if !is_there {
            eprintln!("SKIPPED: npm does not bring {LIBRARY}, so it is not asked about signatures");
            return None;
        }
    }
    std::fs::write(folder.join("library.mjs"), include_str!("library.mjs")).unwrap();
    Some(folder)
}

/// What the library says of this.
fn asked(folder: &Path, question: &Value) -> Value {
    let mut node = Command::new("node");
    node.arg("library.mjs").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().unwrap();
    node.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let said = node.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let read = serde_json::from_str(&text);
    read.unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&said.stderr)))
}

/// The query with which the stand-in's app proxy passes on what a customer's browser asks for.
async fn passed_on(shopify: &Shopify) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/storefront/main", listener.local_addr().unwrap());
    shopify.edit_app(ID, |app| app.proxy = Some(AppProxy { path: "/apps/cx".into(), url }));
    let page = format!("{}/apps/cx", shopify.url());
    let cookies = [("cookie", "storefront_customer=7; secret=1")];
    let asked = super::storefront::ask(reqwest::Method::GET, &page, &cookies);
    let heard = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 16_384];
        let read = stream.read(&mut bytes).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    let (seen, heard) = tokio::join!(asked, heard);
    // Cookies pass in neither direction.
    assert!(seen.status == 200 && !seen.headers.contains_key("set-cookie"), "{seen:?}");
    assert!(!heard.to_lowercase().contains("cookie"), "{heard}");
    let target = heard.split(' ').nth(1).unwrap();
    target.split_once('?').unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn shopifys_own_library_and_this_host_accept_the_same() {
    // First: what is signed below is good for a minute.
    let Some(folder) = library() else { return };
    let app = AppOptions::embedded(ID, SECRET, "http://127.0.0.1:1/shopify/main");
    let shopify = Shopify::start(ShopifyOptions::with_apps(vec![app])).await.unwrap();
    shopify.install(ID);
    let standalone =
        Shopify::start(ShopifyOptions::with_apps(vec![options(AppKind::Standalone, 3_600)])).await.unwrap();
    standalone.install(ID);
    let now = tandem::clock::now() / 1_000;
    let at = now.to_string();
    let pairs = [
        ("logged_in_customer_id", "7"),
        ("path_prefix", "/apps/cx"),
        ("shop", "acme.myshopify.com"),
        ("timestamp", &*at),
    ];
    let mut proxied = url::form_urlencoded::Serializer::new(String::new());
    let proxied = proxied.extend_pairs(pairs).append_pair("signature", &sign_proxy(SECRET, &pairs)).finish();
    let passed = passed_on(&shopify).await;
    let opened = standalone.app_url_query(ID).unwrap();
    let forged = opened.replace("shop=acme", "shop=zeta");
    let token = |token: SessionToken| shopify.session_token(ID, &token).unwrap();
    let tokens = [
        token(SessionToken::admin(42)),
        token(SessionToken::admin(42).secret("foreign")),
        token(SessionToken::admin(42).claim("aud", "other")),
        token(SessionToken::admin(42).claim("exp", 1)),
        token(SessionToken::admin(42).algorithm("none")),
    ];
    let question = json!({
        "id": ID, "secret": SECRET, "queries": [opened, forged], "body": BODY, "tokens": tokens,
        "proxies": [proxied, proxied.replace("customer_id=7", "customer_id=8"), passed, passed.replace("id=7", "id=8")],
        "signature": sign_shopify(SECRET, BODY.as_bytes()),
    });
    let said = asked(&folder, &question);
    let now = tandem::clock::now() / 1_000;
    assert_eq!(
        (&said["queries"], &said["proxies"]),
        (&json!([true, false]), &json!([true, false, true, false])),
        "{said}"
    );
    assert_eq!(said["webhook"], json!(true), "{said}");
    // And this host says the same of each.
    let secrets = || [SECRET].into_iter();
    for (n, token) in tokens.iter().enumerate() {
        let own = session::admin(token, ID, secrets(), now).is_ok();
        assert_eq!(said["tokens"][n] == json!(true), own, "token {n}: {said}");
        assert_eq!(own, n == 0);
    }
    assert_eq!(proxy::checked(&passed, |path| path == "/apps/cx", secrets(), now).unwrap().customer, Some(7));
    assert!(query::checked(&opened, secrets(), now).is_ok() && query::checked(&forged, secrets(), now).is_err());
    // What the library signs.
    let own = |name: &str| said["own"][name].as_str().unwrap();
    assert_eq!(query::checked(own("query"), secrets(), now).unwrap().shop().domain(), "acme.myshopify.com");
    assert!(proxy::checked(own("proxy"), |path| path == "/apps/cx", secrets(), now).is_ok(), "{said}");
    assert_eq!(session::admin(own("token"), ID, secrets(), now).unwrap().shop.domain(), "acme.myshopify.com");
    let signature = Signature::of_shopify(Some(own("signature"))).unwrap();
    assert!(signature.check(secrets(), BODY.as_bytes()).is_ok());
}
