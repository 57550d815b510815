//! What a shopper's browser meets: a shop's pages and its app proxy, and Omneo's API for shoppers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tandem_standin::{AppOptions, AppProxy, Omneo, sign_proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::kit::{Reply, START, http, shop_with, tenant};

const AT: i64 = START / 1_000;

#[tokio::test]
async fn the_app_proxy_passes_on_and_signs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/storefront/main", listener.local_addr().unwrap());
    let app = AppOptions::standalone("client-id-123", "hush", "http://127.0.0.1:1/shopify/app");
    let proxy = Some(AppProxy { path: "/apps/cx".to_owned(), url });
    let (shop, _) = shop_with(|options| options.apps = vec![AppOptions { proxy, ..app }]).await;
    // Not while the app is not installed.
    assert_eq!(http(shop.address(), "GET /apps/cx", &[], None).await.unwrap().status, 404);
    shop.install("client-id-123");
    let heard = tokio::spawn(async move {
        let mut heard = vec![];
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![];
            while !bytes.ends_with(b"\r\n\r\n") {
                bytes.push(stream.read_u8().await.unwrap());
            }
            let answer = "HTTP/1.1 201 Created\r\nset-cookie: a=b\r\nx-own: 1\r\ncontent-length: 2\r\n\r\nhi";
            stream.write_all(answer.as_bytes()).await.unwrap();
            heard.push(String::from_utf8(bytes).unwrap());
        }
        heard
    });
    let cookies = [("cookie", "a=b; storefront_customer=7; c=d"), ("accept", "text/html")];
    let reply = http(shop.address(), "GET /apps/cx?q=a%20b&q=c", &cookies, None).await.unwrap();
    assert_eq!(
        (reply.status, reply.text.as_str(), reply.header("x-own"), reply.header("set-cookie")),
        (201, "hi", "1", "")
    );
    http(shop.address(), "GET /apps/cx/more", &[], None).await.unwrap();
    http(shop.address(), "GET /apps/cx?logged_in_customer_id=9", &cookies, None).await.unwrap();
    // Another path that begins so.
    assert_eq!(http(shop.address(), "GET /apps/cxx", &[], None).await.unwrap().status, 404);
    let heard = heard.await.unwrap();
    let signed = |more: &[(&str, &str)], customer: &str| {
        let at = AT.to_string();
        let mut pairs = more.to_vec();
        pairs.extend([
            ("shop", "acme.myshopify.com"),
            ("logged_in_customer_id", customer),
            ("path_prefix", "/apps/cx"),
            ("timestamp", &*at),
        ]);
        format!(
            "shop=acme.myshopify.com&logged_in_customer_id={customer}&path_prefix=%2Fapps%2Fcx&timestamp={AT}&signature={}",
            sign_proxy("hush", &pairs)
        )
    };
    let line = |target: &str, query: &str| format!("GET /storefront/main{target}{query} HTTP/1.1\r\n");
    let own = [("q", "a b"), ("q", "c")];
    assert!(heard[0].starts_with(&line("?q=a%20b&q=c&", &signed(&own, "7"))), "{}", heard[0]);
    assert!(heard[1].starts_with(&line("/more?", &signed(&[], ""))), "{}", heard[1]);
    assert!(
        heard[2].starts_with(&line("?logged_in_customer_id=9&", &signed(&[("logged_in_customer_id", "9")], "7"))),
        "{}",
        heard[2]
    );
    assert!(heard[0].contains("accept: text/html") && !heard[0].contains("cookie"), "{}", heard[0]);
}

#[tokio::test]
async fn a_theme_has_pages_and_somebody_is_logged_in() {
    let app = AppOptions::default();
    let (shop, _) = shop_with(|options| options.apps = vec![app]).await;
    shop.set_page("/pages/points", "<h1>Points</h1>");
    let page = http(shop.address(), "GET /pages/points", &[], None).await.unwrap();
    assert_eq!((page.status, page.text.as_str()), (200, "<h1>Points</h1>"));
    let login = http(shop.address(), "GET /account/login?customer=7", &[], None).await.unwrap();
    assert_eq!((login.status, login.header("location")), (302, "/"));
    assert!(login.header("set-cookie").starts_with("storefront_customer=7; "), "{}", login.head);
    assert_eq!(http(shop.address(), "GET /pages/none", &[], None).await.unwrap().status, 404);
}

async fn id(omneo: &Omneo, line: &str, token: &str, body: Value) -> Reply {
    let (method, path) = line.split_once(' ').unwrap();
    let authorization = format!("Bearer {token}");
    let body = if body.is_null() { None } else { Some(body.to_string()) };
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    http(omneo.address(), &format!("{method} /id/api/v1{path}"), &headers, body).await.unwrap()
}

fn claims(reply: &Reply) -> Value {
    let token = reply.body["data"]["token"].as_str().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn an_id_token_is_for_one_profile() {
    let (omneo, clock) = tenant().await;
    let ada = omneo.create_profile(json!({ "email": "ada@example.com", "first_name": "Ada" })).unwrap();
    omneo.add_identity(&ada, "shopify", "7").unwrap();
    let given = async |body: Value| id(&omneo, "POST /auth/token", "omneo-token", body).await;
    for body in
        [json!({ "id": ada }), json!({ "id": "7", "id_handle": "shopify" }), json!({ "id": 7, "id_handle": "shopify" })]
    {
        let reply = given(body).await;
        assert_eq!((reply.status, &claims(&reply)["pid"]), (200, &json!(ada)));
        assert_eq!((&claims(&reply)["exp"], &reply.body["data"]["exp"]), (&json!(AT + 3_600), &json!(AT + 3_600)));
    }
    assert_eq!(given(json!({ "id": "8", "id_handle": "shopify" })).await.status, 404);
    assert_eq!(given(json!({ "id": "7" })).await.status, 404);
    let nobody = given(json!({})).await;
    assert_eq!(claims(&nobody)["pid"], json!("null"));
    assert_eq!(id(&omneo, "POST /auth/token", "wrong", json!({})).await.status, 401);

    let token = given(json!({ "id": ada })).await.body["data"]["token"].as_str().unwrap().to_owned();
    let me = id(&omneo, "GET /profiles/me", &token, Value::Null).await;
    assert_eq!((me.status, &me.body["data"]["id"], me.header("access-control-allow-origin")), (200, &json!(ada), "*"));
    let put = id(&omneo, "PUT /profiles/me", &token, json!({ "first_name": "augusta" })).await;
    assert_eq!((put.status, &put.body["data"]["first_name"]), (200, &json!("Augusta")));
    let more = json!({ "handle": "shopify", "identifier": "9" });
    assert_eq!(id(&omneo, "POST /profiles/me/identities", &token, more.clone()).await.status, 201);
    assert_eq!(id(&omneo, "POST /profiles/me/identities", &token, more).await.status, 422);
    for path in [
        "balances",
        "rewards",
        "points",
        "benefits",
        "tiers",
        "transactions",
        "aggregations",
        "addresses",
        "identities",
    ] {
        assert_eq!(id(&omneo, &format!("GET /profiles/me/{path}"), &token, Value::Null).await.status, 200, "{path}");
    }
    let nobodys = nobody.body["data"]["token"].as_str().unwrap();
    assert_eq!(id(&omneo, "GET /profiles/me", nobodys, Value::Null).await.status, 404);
    // Neither a program's token here, nor this one there, nor one that is forged or has ended.
    let other = token.replace(
        token.split('.').nth(1).unwrap(),
        &URL_SAFE_NO_PAD.encode(json!({ "pid": ada, "exp": AT + 9 }).to_string()),
    );
    for bad in ["omneo-token", "", "a.b.c", &other] {
        assert_eq!(id(&omneo, "GET /profiles/me", bad, Value::Null).await.status, 401, "{bad}");
    }
    let there =
        http(omneo.address(), "GET /api/v3/profiles", &[("authorization", &format!("Bearer {token}"))], None).await;
    assert_eq!(there.unwrap().status, 401);
    clock.advance(3_600_000);
    assert_eq!(id(&omneo, "GET /profiles/me", &token, Value::Null).await.status, 401);
    omneo.set_id_seconds(60);
    assert_eq!(given(json!({})).await.body["data"]["exp"], json!(AT + 3_660));
    let asked = http(omneo.address(), "OPTIONS /id/api/v1/profiles/me", &[], None).await.unwrap();
    assert_eq!((asked.status, asked.header("access-control-allow-headers")), (204, "Authorization, Content-Type"));
}
