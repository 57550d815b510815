//! The merchant's side: how apps are opened, approved, uninstalled and told, by methods and by pages.

use crate::kit;

use crate::kit::{Receiver, get, post_form, shop_with, status_with};
use serde_json::{Value, json};
use tandem_standin::{
    AppOptions, Approval, Clock, Delivery, SessionToken, Shopify, ShopifyOptions, sign_query, sign_shopify,
};

const APP: &str = "http://127.0.0.1:1/shopify/cx";
const TOKENS: &str = "/admin/oauth/access_token";

async fn with_apps(apps: Vec<AppOptions>) -> (Shopify, Clock) {
    shop_with(|options| {
        *options = ShopifyOptions {
            delivery: Delivery::Manual,
            clock: options.clock.clone(),
            ..ShopifyOptions::with_apps(apps)
        }
    })
    .await
}

async fn standalone() -> (Shopify, Clock) {
    with_apps(vec![AppOptions::standalone("cx", "hush", APP)]).await
}

/// The decoded pairs of an address's query; what a test needs no more than hexadecimal digits and dots is left encoded.
fn pairs(query: &str) -> Vec<(&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

fn value<'a>(pairs: &[(&str, &'a str)], name: &str) -> &'a str {
    pairs.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// Whether the query's `hmac` is that of its other pairs.
fn is_signed(query: &str, secret: &str) -> bool {
    let mut pairs = pairs(query);
    let hmac = value(&pairs, "hmac");
    pairs.retain(|(key, _)| *key != "hmac");
    !hmac.is_empty() && sign_query(secret, &pairs) == hmac
}

async fn token(shop: &Shopify, client_id: &str) -> String {
    let form = format!("client_id={client_id}&client_secret=hush&grant_type=client_credentials");
    let reply = post_form(shop.address(), TOKENS, &form).await.unwrap();
    reply.body["access_token"].as_str().unwrap().to_owned()
}

async fn subscribe(shop: &Shopify, token: &str, topic: &str, uri: &str) -> Value {
    let query = "mutation S($topic: WebhookSubscriptionTopic!, $uri: String!) {
        webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri }) {
            webhookSubscription { id } userErrors { message } } }";
    let answer = kit::ask_with(shop, token, query, json!({ "topic": topic, "uri": uri })).await;
    answer.body["data"]["webhookSubscriptionCreate"].clone()
}

#[tokio::test]
async fn an_app_is_opened_with_a_signed_query() {
    let embedded = AppOptions::embedded("inside", "hush", APP);
    let (shop, clock) = with_apps(vec![AppOptions::standalone("cx", "hush", APP), embedded]).await;
    let query = shop.app_url_query("cx").unwrap();
    let names: Vec<_> = pairs(&query).into_iter().map(|(key, _)| key).collect();
    assert_eq!(names, ["hmac", "host", "shop", "timestamp"]);
    assert!(is_signed(&query, "hush") && !is_signed(&query, "other"));
    assert_eq!(value(&pairs(&query), "timestamp"), (kit::START / 1_000).to_string());
    // admin.shopify.com/store/acme
    assert_eq!(value(&pairs(&query), "host"), "YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvYWNtZQ");
    let query = shop.app_url_query("inside").unwrap();
    let names: Vec<_> = pairs(&query).into_iter().map(|(key, _)| key).collect();
    assert_eq!(names, ["embedded", "hmac", "host", "id_token", "locale", "session", "shop", "timestamp"]);
    assert!(is_signed(&query, "hush"));
    assert_eq!(value(&pairs(&query), "id_token").split('.').count(), 3);
    clock.advance(1_000);
    assert!(shop.rotate_secret("inside", "new"));
    assert!(is_signed(&shop.app_url_query("inside").unwrap(), "new"));
    assert!(shop.app_url("cx").unwrap().starts_with(&format!("{APP}?hmac=")));
    assert!(shop.edit_app("cx", |app| app.application_url = format!("{APP}?a=1")));
    assert!(shop.app_url("cx").unwrap().starts_with(&format!("{APP}?a=1&hmac=")));
    assert_eq!((shop.app_url_query("other"), shop.session_token("other", &SessionToken::admin(1))), (None, None));
}

#[tokio::test]
async fn the_merchant_approves_on_a_page_and_comes_back_with_a_code() {
    let (shop, _) = standalone().await;
    let ask = format!("client_id=cx&redirect_uri={APP}/callback&state=a%20%22%3Cb%3E");
    let page = get(shop.address(), &format!("/admin/oauth/authorize?{ask}")).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let parts = [
        "<html lang=\"en\">",
        "<title>Install cx</title>",
        "<form method=\"post\" action=\"/admin/oauth/authorize\">",
        "<button type=\"submit\">Approve</button>",
        "name=\"state\" value=\"a &quot;&lt;b&gt;\"",
        "<li>write_customers</li>",
    ];
    parts.iter().for_each(|part| assert!(page.text.contains(part), "{part} in {}", page.text));
    assert_eq!(page.text.matches("<h1>").count(), 1);
    assert_eq!(page.text.matches("<label for=").count(), 1);
    assert!(!shop.is_installed("cx"));

    let sent = post_form(shop.address(), "/admin/oauth/authorize", &format!("{ask}&user=42")).await.unwrap();
    let (address, query) = sent.header("location").split_once('?').unwrap();
    assert_eq!((sent.status, address), (302, format!("{APP}/callback").as_str()));
    let pairs = pairs(query);
    let names: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
    assert_eq!(names, ["code", "hmac", "host", "shop", "state", "timestamp"]);
    assert_eq!(value(&pairs, "state"), "a%20%22%3Cb%3E");
    assert!(shop.is_installed("cx"));
    let plain = Approval {
        redirect_uri: format!("{APP}/callback"),
        state: Some("1".to_owned()),
        scopes: Some(vec!["read_orders".to_owned()]),
        user: None,
    };
    let location = shop.approve("cx", &plain).unwrap();
    assert!(is_signed(location.split_once('?').unwrap().1, "hush"));
    let form = format!("client_id=cx&client_secret=hush&code={}", value(&pairs, "code"));
    let reply = post_form(shop.address(), TOKENS, &form).await.unwrap();
    assert_eq!(reply.status, 200, "each approval's code is its own");
    let installed = "query Q { currentAppInstallation { accessScopes { handle } } }";
    let token = reply.body["access_token"].as_str().unwrap();
    let scopes = kit::ask_with(&shop, token, installed, json!({})).await.body;
    assert_eq!(scopes["data"]["currentAppInstallation"]["accessScopes"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_token_for_a_member_of_staff_ends_no_token_of_the_shop() {
    let (shop, _) = standalone().await;
    let ask = format!("client_id=cx&redirect_uri={APP}/callback&state=1");
    let redeem = async |form: &str| {
        let sent = post_form(shop.address(), "/admin/oauth/authorize", form).await.unwrap();
        let code = value(&pairs(sent.header("location").split_once('?').unwrap().1), "code").to_owned();
        let form = format!("client_id=cx&client_secret=hush&expiring=1&code={code}");
        post_form(shop.address(), TOKENS, &form).await.unwrap().body
    };
    let pair = redeem(&ask).await;
    let personal = redeem(&format!("{ask}&grant_options%5B%5D=per-user&user=7")).await;
    assert_eq!((&personal["associated_user"]["id"], personal.get("refresh_token")), (&json!(7), None));
    let refresh = pair["refresh_token"].as_str().unwrap();
    let form = format!("client_id=cx&client_secret=hush&grant_type=refresh_token&refresh_token={refresh}");
    assert_eq!(post_form(shop.address(), TOKENS, &form).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_no_app_may_ask_for_ends_on_a_page() {
    let (shop, _) = standalone().await;
    let huge = "x".repeat(3_000);
    let table = [
        (format!("client_id=cx&redirect_uri={APP}/callback/"), "The redirect_uri is not whitelisted"),
        ("client_id=cx&redirect_uri=https://evil.example/".to_owned(), "The redirect_uri is not whitelisted"),
        ("client_id=cx".to_owned(), "The redirect_uri is not whitelisted"),
        (format!("client_id=%3Cscript%3E&redirect_uri={APP}/callback"), "Could not find Shopify API application"),
        (String::new(), "Could not find Shopify API application"),
        (format!("client_id=cx&redirect_uri={APP}/callback&redirect_uri=x"), "A parameter is repeated"),
        (format!("client_id=cx&redirect_uri={APP}/callback&state=1&state=2"), "A parameter is repeated"),
        (format!("client_id=cx&redirect_uri={APP}/callback&state={huge}"), "A parameter is too long"),
    ];
    for (query, message) in table {
        for reply in [
            get(shop.address(), &format!("/admin/oauth/authorize?{query}")).await,
            post_form(shop.address(), "/admin/oauth/authorize", &query).await.unwrap(),
        ] {
            assert_eq!(reply.status, 400, "{query}");
            let expected = format!("Oauth error invalid_request: {message}");
            assert!(reply.text.contains(&expected), "{query}: {}", reply.text);
            assert!(!reply.text.contains("<script>"));
        }
    }
    assert!(!shop.is_installed("cx"));
    let approval = Approval { redirect_uri: "https://evil.example/".to_owned(), ..Approval::default() };
    assert!(shop.approve("cx", &approval).is_err());
}

#[tokio::test]
async fn the_list_of_apps_installs_opens_rotates_and_uninstalls() {
    let inside = AppOptions { name: "<Inside> & \"out\"".to_owned(), ..AppOptions::embedded("in/side", "hush", APP) };
    let (shop, _) = with_apps(vec![AppOptions::standalone("cx", "hush", APP), inside]).await;
    let post = async |act: &str, form: &str| {
        post_form(shop.address(), &format!("/store/acme/apps/{act}"), form).await.unwrap()
    };
    let list = get(shop.address(), "/store/acme/apps").await;
    assert_eq!((list.status, list.text.matches("<h1>").count()), (200, 1));
    assert!(list.text.contains("&lt;Inside&gt; &amp; &quot;out&quot;") && !list.text.contains("<Inside>"));
    assert!(list.text.contains(r#"<label for="secret-0">New client secret of cx</label>"#));

    let sent = post("cx/install", "").await;
    assert_eq!((sent.status, sent.header("location")), (303, "/store/acme/apps/cx"));
    let opened = get(shop.address(), "/store/acme/apps/cx").await;
    assert!(is_signed(opened.header("location").split_once('?').unwrap().1, "hush"));
    assert!(!shop.is_installed("cx"), "a standalone app asks for approval first");

    assert!(shop.edit_app("in/side", |app| app.client_id = "inside".to_owned()));
    assert_eq!(post("inside/install", "").await.header("location"), "/store/acme/apps/inside");
    assert!(shop.is_installed("inside"), "managed installation does not call the app");
    let frame = get(shop.address(), "/store/acme/apps/inside").await;
    assert!(frame.text.contains(&format!("<iframe src=\"{APP}?embedded=1&amp;hmac=")), "{}", frame.text);
    assert!(get(shop.address(), "/store/acme/apps").await.text.contains("Uninstall"));

    assert_eq!(post("inside/rotate", "secret=new").await.status, 303);
    assert_eq!(shop.app("inside").unwrap().client_secret, "new");
    assert_eq!(post("inside/rotate", "secret=").await.status, 400);
    assert_eq!(post("inside/uninstall", "").await.header("location"), "/store/acme/apps");
    assert!(!shop.is_installed("inside"));
    for act in ["inside/other", "nobody/install", "nobody/rotate"] {
        assert_eq!(post(act, "").await.status, 404, "{act}");
    }
    assert_eq!(get(shop.address(), "/store/other/apps").await.status, 404);
}

#[tokio::test]
async fn webhooks_of_an_app_go_to_its_subscriptions_signed_with_its_secret() {
    let receiver = Receiver::answering(&[]).await;
    let origin = receiver.url.strip_suffix("/webhooks").unwrap();
    let app = |id: &str| AppOptions { application_url: format!("{origin}/{id}"), ..AppOptions::own(id, "hush") };
    let configured = AppOptions { webhook_uri: Some("/webhooks/two".to_owned()), ..app("two") };
    let (shop, _) = with_apps(vec![app("one"), configured]).await;
    assert!(shop.install("one") && shop.install("two"));
    let (one, two) = (token(&shop, "one").await, token(&shop, "two").await);
    let uri = "https://cx.example/webhooks/shopify/one/key?a=1";
    let made = subscribe(&shop, &one, "CUSTOMERS_CREATE", uri).await;
    assert_eq!(made["userErrors"], json!([]));
    let taken = "Address for this topic has already been taken";
    assert_eq!(subscribe(&shop, &one, "CUSTOMERS_CREATE", uri).await["userErrors"][0]["message"], taken);
    assert_eq!(subscribe(&shop, &two, "CUSTOMER_TAGS_ADDED", uri).await["userErrors"], json!([]));
    let list = "query L { webhookSubscriptions(first: 5) { nodes { topic } } }";
    let seen = kit::ask_with(&shop, &two, list, json!({})).await.body;
    let expected = json!([{ "topic": "CUSTOMER_TAGS_ADDED" }]);
    assert_eq!(seen["data"]["webhookSubscriptions"]["nodes"], expected, "an app sees its own");
    let delete = "mutation D($id: ID!) { webhookSubscriptionDelete(id: $id) { userErrors { message } } }";
    let id = &made["webhookSubscription"]["id"];
    let refused = kit::ask_with(&shop, &two, delete, json!({ "id": id })).await.body;
    assert_eq!(refused["data"]["webhookSubscriptionDelete"]["userErrors"].as_array().unwrap().len(), 1);

    assert!(shop.rotate_secret("one", "new"));
    shop.outbox().set_delivery(Delivery::Automatic);
    shop.create_customer(json!({ "email": "ann@example.com" })).unwrap();
    shop.outbox().settled().await;
    let received = receiver.received();
    assert_eq!(received.len(), 1, "one app has subscribed, and there is no fixed token");
    let (head, body) = &received[0];
    assert!(head.starts_with("post /webhooks/shopify/one/key?a=1 http/1.1"), "{head}");
    let signature = sign_shopify("new", body.as_bytes()).to_lowercase();
    assert!(head.contains(&format!("x-shopify-hmac-sha256: {signature}")));

    shop.send("customers/redact", json!({ "shop_id": 1 }));
    shop.outbox().settled().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert!(
        received[1].0.starts_with("post /webhooks/two http/1.1"),
        "compliance topics are configured, not subscribed"
    );
}

#[tokio::test]
async fn an_uninstalled_app_is_told_where_it_can_be_and_hears_nothing_else() {
    let app = AppOptions { webhook_uri: Some("/hooks".to_owned()), ..AppOptions::own("cx", "hush") };
    let (shop, _) = with_apps(vec![app]).await;
    shop.edit_app("cx", |app| app.application_url = APP.to_owned());
    shop.send("shop/redact", json!({}));
    assert!(shop.outbox().take().is_empty(), "it was never installed");
    assert!(shop.install("cx"));
    let access = token(&shop, "cx").await;
    for topic in ["APP_UNINSTALLED", "CUSTOMERS_CREATE"] {
        assert_eq!(subscribe(&shop, &access, topic, "https://cx.example/told").await["userErrors"], json!([]));
    }
    assert!(shop.uninstall("cx"));
    assert_eq!(status_with(&shop, &access).await, 401);
    let told = shop.outbox().take();
    let urls: Vec<_> = told.iter().map(|webhook| webhook.url.as_deref().unwrap()).collect();
    assert_eq!(urls, ["http://127.0.0.1:1/told", "http://127.0.0.1:1/hooks"]);
    for webhook in &told {
        assert_eq!(webhook.topic, "app/uninstalled");
        assert_eq!(webhook.header("x-shopify-hmac-sha256"), Some(sign_shopify("hush", &webhook.body).as_str()));
        assert_eq!(webhook.json()["myshopify_domain"], "acme.myshopify.com");
    }
    assert!(shop.install("cx"));
    shop.create_customer(json!({ "email": "ann@example.com" })).unwrap();
    assert!(shop.outbox().take().is_empty(), "its subscriptions went with it");
    shop.uninstall("cx");
    shop.outbox().take();
    shop.send("shop/redact", json!({ "shop_id": 1 }));
    assert_eq!(shop.outbox().take().len(), 1, "two days after it is gone");
}
