//! Who is let in by the two doors: whatever anybody writes into a query, a token or an origin, nobody gets a token for somebody else.

use reqwest::Method;
use serde_json::json;
use tandem_standin::{AppProxy, SessionToken, sign_proxy};

use super::{EXTENSION, Front, PATH, PROXIED, ask, encoded, pairs, query, signed_by};
use crate::grants::street::{ID, SECRET};

/// Seconds since 1970, so many ago.
fn ago(seconds: i64) -> String {
    (tandem::clock::now() / 1_000 - seconds).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_the_app_proxys_or_nobodys() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    let (bob, bobs) = front.shopper("bob").await;
    let (ada, bob) = (ada.to_string(), bob.to_string());
    assert_eq!((front.signed(&ada).await.pid(), front.signed(&bob).await.pid()), (adas, bobs));
    let (now, good) = (ago(0), query(&bob));
    let mut table = vec![
        (401, good.replace(&format!("id={bob}"), &format!("id={ada}"))),
        (401, good.replace(&format!("id={bob}"), "id=")),
        (401, good.replace("acme", "zeta")),
        (401, query(&bob).replace("timestamp=1", "timestamp=2")),
        (400, good.split("&signature=").next().unwrap().to_owned()),
        (400, String::new()),
        (400, "signature=".to_owned()),
        // The signature in capitals, with a digit less, with one more, of another app, of nothing.
        (
            400,
            format!(
                "{}&signature={}",
                encoded(&pairs(&bob, &now)),
                sign_proxy(SECRET, &pairs(&bob, &now)).to_uppercase()
            ),
        ),
        (400, good[..good.len() - 1].to_owned()),
        (400, format!("{good}0")),
        (401, signed_by("another-secret", &pairs(&bob, &now))),
        (401, signed_by("", &pairs(&bob, &now))),
        // Old, of the future, no time.
        (401, signed_by(SECRET, &pairs(&bob, &ago(91)))),
        (401, signed_by(SECRET, &pairs(&bob, &ago(-100)))),
        (401, signed_by(SECRET, &pairs(&bob, "now"))),
        (401, signed_by(SECRET, &pairs(&bob, ""))),
    ];
    // Customers that are none, signed as Shopify would not.
    for customer in ["0", "-7", "18446744073709551616", " 7", "7 ", "07", "7.0", "7,8", "null", "7\0", "٧", "+7", "0x7"]
    {
        table.push((400, signed_by(SECRET, &pairs(customer, &now))));
    }
    // Other shops: not of this host, not of the form, and one that is signed but does not have the app.
    for (status, shop) in
        [(404, "zeta.myshopify.com"), (400, "acme.example.org"), (400, "ACME.myshopify.com"), (400, "")]
    {
        let pairs: Vec<_> =
            pairs(&bob, &now).into_iter().map(|(n, v)| (n, if n == "shop" { shop } else { v })).collect();
        table.push((status, signed_by(SECRET, &pairs)));
    }
    // Other paths, and other parameters.
    for path in ["/apps/cx/", "/apps/cx/more", "/apps", "/shop/cx", "/apps/c=x", "/apps/cx?", "", "//apps/cx"] {
        let pairs: Vec<_> =
            pairs(&bob, &now).into_iter().map(|(n, v)| (n, if n == "path_prefix" { path } else { v })).collect();
        table.push((400, signed_by(SECRET, &pairs)));
    }
    for (name, value) in
        [("q", "1"), ("logged_in_customer_id[]", &*ada), ("hmac", "1"), ("Shop", "acme.myshopify.com"), ("a", "1")]
    {
        let mut pairs = pairs(&bob, &now);
        pairs.push((name, value));
        table.push((400, signed_by(SECRET, &pairs)));
        table.push((400, format!("{good}&{}={value}", name.replace('[', "%5B"))));
    }
    for name in ["shop", "logged_in_customer_id", "path_prefix", "timestamp", "signature"] {
        // Left out, repeated, repeated under a name that is written in another way, with an array's suffix, behind another case.
        let left: Vec<_> = pairs(&bob, &now).into_iter().filter(|(other, _)| *other != name).collect();
        if name != "signature" {
            table.push((400, signed_by(SECRET, &left)));
        }
        let own = good.split('&').find(|pair| pair.starts_with(&format!("{name}="))).unwrap();
        let hidden = format!("%{:02x}{}", name.as_bytes()[0], &own[1..]);
        for more in [own, &*hidden, &own.replacen('=', "[]=", 1), &own.replacen('=', "%5B%5D=", 1)] {
            table.push((400, format!("{good}&{more}")));
            table.push((400, format!("{more}&{good}")));
        }
        table.push((400, format!("{good}&{name}={ada}")));
        table.push((400, good.replace(own, &own.replacen('=', "[0]=", 1))));
        table.push((400, good.replace(own, &own.replacen('=', "", 1))));
    }
    for (status, query) in &table {
        let seen = front.at(Method::GET, &format!("{PROXIED}?{query}"), &[]).await;
        seen.is_refused(*status, query);
        assert!(!seen.headers.contains_key("access-control-allow-origin"), "{query}");
    }
    assert!(table.len() > 90, "{}", table.len());
    front.stop().await;
}

/// A merchant may change the path of the app proxy in the shop's admin, and tells nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_may_have_the_app_at_another_path() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    for path in ["/apps/other", "/tools/points_2", "/a/cx", "/community/Omneo-1"] {
        let url = format!("http://{}{PROXIED}", front.0.playground.server.address);
        front.shopify().edit_app(ID, |app| app.proxy = Some(AppProxy { path: path.into(), url }));
        let cookie = format!("storefront_customer={ada}");
        let seen = ask(Method::GET, &format!("{}{path}", front.shopify().url()), &[("cookie", &cookie)]).await;
        assert_eq!(seen.pid(), adas, "{path}");
    }
    front.stop().await;
}

/// What Shopify signs has nothing between its parts. Each of these has Bob's signature and says that he is Ada, or that he is there
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_text_is_not_split_anew() {
    let front = Front::new().await;
    let (ada, _) = front.shopper("ada").await;
    let (_, now) = (ada, ago(0));
    // A visitor who is not logged in has a signature for this, and may move what comes behind the empty number.
    let nobody = sign_proxy(SECRET, &pairs("", &now));
    let rest = format!("shop=acme.myshopify.com&timestamp={now}&signature={nobody}");
    for split in [
        format!("logged_in_customer_id=path_prefix%3D%2Fapps%2Fcx&{rest}"),
        format!("logged_in_customer_id%3Dpath_prefix=%2Fapps%2Fcx&{rest}"),
        format!(
            "logged_in_customer_id=&path_prefix=%2Fapps%2Fcxshop%3Dacme.myshopify.com&timestamp={now}&signature={nobody}"
        ),
        format!(
            "logged_in_customer_id=&path_prefix=%2Fapps%2Fcx&shop=acme.myshopify.comtimestamp%3D{now}&signature={nobody}"
        ),
    ] {
        front.at(Method::GET, &format!("{PROXIED}?{split}"), &[]).await.is_refused(400, &split);
    }
    // A visitor who may have Shopify sign a parameter of their own.
    let ada = ada.to_string();
    let own = format!("1logged_in_customer_id={ada}");
    let cookie = "storefront_customer=";
    let url = format!("{}{PATH}?{}", front.shopify().url(), encoded(&[("a", &own)]));
    ask(Method::GET, &url, &[("cookie", cookie)]).await.is_refused(400, &own);
    let mut signed = pairs("", &now);
    signed.push(("a", &own));
    let signature = sign_proxy(SECRET, &signed);
    let moved = format!(
        "a=1&logged_in_customer_id={ada}logged_in_customer_id%3D&path_prefix=%2Fapps%2Fcx&shop=acme.myshopify.com&timestamp={now}&signature={signature}"
    );
    front.at(Method::GET, &format!("{PROXIED}?{moved}"), &[]).await.is_refused(400, &moved);
    // And one of a name that is Shopify's, by the shop's own address.
    for name in ["logged_in_customer_id", "shop", "path_prefix", "timestamp", "signature"] {
        let url = format!("{}{PATH}?{name}={ada}", front.shopify().url());
        ask(Method::GET, &url, &[("cookie", cookie)]).await.is_refused(400, name);
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_let_in_by_its_own_token_alone() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    let theirs = || SessionToken::extension(Some(ada));
    let now = tandem::clock::now() / 1_000;
    assert_eq!(front.extension(&theirs()).await.pid(), adas);
    assert_eq!(front.extension(&theirs().without("iss")).await.pid(), adas);
    // Nobody is logged in, or the app may not read who is.
    assert_eq!(front.extension(&SessionToken::extension(None)).await.pid(), "null");
    let bad = [
        SessionToken::admin(42),
        SessionToken::admin(ada),
        SessionToken::admin(42).claim("sub", format!("gid://shopify/Customer/{ada}")),
        theirs().claim("iss", "https://acme.myshopify.com/admin"),
        theirs().claim("iss", "https://zeta.myshopify.com/checkouts"),
        theirs().claim("sub", ada.to_string()),
        theirs().claim("sub", format!("gid://shopify/User/{ada}")),
        theirs().claim("sub", format!("gid://shopify/Customer/0{ada}")),
        theirs().claim("sub", ""),
        theirs().claim("aud", "another-app"),
        theirs().claim("aud", json!([ID])),
        theirs().claim("dest", "zeta.myshopify.com"),
        theirs().claim("dest", "acme.example.org"),
        theirs().claim("exp", now - 11),
        theirs().claim("nbf", now + 60),
        theirs().secret("another-secret"),
        theirs().secret(""),
        theirs().algorithm("none"),
        theirs().algorithm("HS512"),
    ];
    for token in &bad {
        let seen = front.extension(token).await;
        seen.is_refused(401, "");
        // The extension can read why.
        assert_eq!(seen.header("access-control-allow-origin"), "*", "{token:?}");
    }
    let token = front.shopify().session_token(ID, &theirs()).unwrap();
    for headers in [
        &[][..],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", &*format!("Basic {token}"))],
        &[("cookie", &*format!("authorization=Bearer {token}"))],
        &[("authorization", &*format!("Bearer {token}")), ("authorization", "Bearer x")],
    ] {
        front.at(Method::POST, EXTENSION, headers).await.is_refused(401, &token);
    }
    front.at(Method::POST, &format!("{EXTENSION}?id_token={token}"), &[]).await.is_refused(401, &token);
    // A signed query opens the other door alone, and a token this one.
    front.at(Method::POST, &format!("{EXTENSION}?{}", query(&ada.to_string())), &[]).await.is_refused(401, "");
    front.at(Method::GET, PROXIED, &[("authorization", &*format!("Bearer {token}"))]).await.is_refused(400, &token);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_ask_from_any_origin_by_the_door_of_extensions_alone() {
    let front = Front::new().await;
    let (ada, adas) = front.shopper("ada").await;
    for origin in ["https://extensions.shopifycdn.com", "https://evil.example", "null"] {
        let asks = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        let allowed = front.at(Method::OPTIONS, EXTENSION, &asks).await;
        assert_eq!((allowed.status, allowed.text.as_str()), (204, ""));
        assert_eq!(allowed.header("access-control-allow-origin"), "*");
        assert_eq!(allowed.header("access-control-allow-headers"), "Authorization, Content-Type");
        assert_eq!(
            (allowed.header("access-control-allow-methods"), allowed.header("access-control-max-age")),
            ("POST, OPTIONS", "7200")
        );
        assert!(!allowed.headers.contains_key("access-control-allow-credentials"));
        // Without the token nobody gets anything, wherever they are.
        front.at(Method::POST, EXTENSION, &[("origin", origin)]).await.is_refused(401, "");
        let token = front.shopify().session_token(ID, &SessionToken::extension(Some(ada))).unwrap();
        let headers = [("origin", origin), ("authorization", &*format!("Bearer {token}"))];
        let seen = front.at(Method::POST, EXTENSION, &headers).await;
        assert_eq!((seen.pid(), seen.header("access-control-allow-origin")), (adas.clone(), "*"));
        // A page of another site can have the shop's app proxy asked, and not read the answer.
        let seen =
            front.at(Method::GET, &format!("{PROXIED}?{}", query(&ada.to_string())), &[("origin", origin)]).await;
        assert_eq!(seen.pid(), adas);
        assert!(!seen.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{seen:?}");
        let seen = front.at(Method::OPTIONS, PROXIED, &asks).await;
        seen.is_refused(405, "");
        assert!(!seen.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{seen:?}");
    }
    front.stop().await;
}

/// A cache between the shop and the host, which keeps whatever it may: what is for one is never for the next.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_may_be_kept_by_anybody() {
    let front = Front::new().await;
    let (ada, _) = front.shopper("ada").await;
    let good = query(&ada.to_string());
    let long = format!("{PROXIED}?{}", "a".repeat(20_000));
    let all = [
        (Method::GET, format!("{PROXIED}?{good}"), 200),
        (Method::GET, format!("{PROXIED}/?{good}"), 200),
        (Method::HEAD, format!("{PROXIED}?{good}"), 200),
        (Method::GET, PROXIED.into(), 400),
        (Method::GET, long, 400),
        (Method::GET, format!("/storefront/other?{good}"), 404),
        (Method::GET, format!("/storefront/%ff?{good}"), 400),
        (Method::GET, format!("{PROXIED}/cart?{good}"), 404),
        (Method::GET, format!("{PROXIED}/../main?{good}"), 200),
        (Method::GET, "/storefront".into(), 404),
        (Method::GET, "/storefront/".into(), 404),
        (Method::POST, format!("{PROXIED}?{good}"), 405),
        (Method::PUT, format!("{PROXIED}?{good}"), 405),
        (Method::DELETE, format!("{PROXIED}?{good}"), 405),
        (Method::GET, EXTENSION.into(), 405),
        (Method::POST, EXTENSION.into(), 401),
        (Method::OPTIONS, EXTENSION.into(), 204),
    ];
    for (method, target, due) in all {
        let seen = front.at(method.clone(), &target, &[]).await;
        assert_eq!(seen.status, due, "{method} {target}: {seen:?}");
        assert_eq!(seen.header("cache-control"), "no-store", "{method} {target}: {seen:?}");
        for name in ["etag", "last-modified", "expires", "age", "set-cookie", "location"] {
            assert!(!seen.headers.contains_key(name), "{method} {target}: {seen:?}");
        }
    }
    // Through the shop as well.
    assert_eq!(front.visit(Some(ada)).await.header("cache-control"), "no-store");
    front.stop().await;
}
